"""What two stages cost in coverage: CoreSet in a whole pool, in parts of it, and among candidates.

    SKAL_DATA=../shared/data python benchmarks/two_stage.py [--out benchmarks/results/two_stage.json]

Two pools of 50,000 samples in 64 dimensions, float32: made-up data in 200 Gaussian clusters of very unequal size, and
FashionMNIST (its first 50,000 images on their 64 principal components; a reduced data set, and the tables in the data
folder are too small). 100 random samples, two of each class at least, are labelled, logistic regression is fitted to
them, and 200 of the others are queried. The coverage radius is the largest Euclidean distance of a sample to the
nearest one that is queried or labelled, which is what CoreSet makes small; the mean distance is beside it.

Exact CoreSet, Partitioned with 4, 16 and 64 parts, Prefilter with 5,000 candidates by chance and by MarginSampling, and
random samples as the floor, all in one run, repeated with other labels and, of the made-up data, other data. Processor
seconds of the query, and the peak of what Python and NumPy allocate in it (the pool itself is not counted), both also
as a ratio to exact CoreSet of the same repetition. Summaries are means with the smallest and the largest of the
repetitions. Run it with OMP_NUM_THREADS=1 for one thread.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances_argmin_min

from skal.strategies import CoreSet, MarginSampling, Partitioned, Prefilter, RandomSampling

N, D, N_LABELED, BATCH, CANDIDATES = 50_000, 64, 100, 200, 5_000
STRATEGIES = {
    "CoreSet": lambda seed: CoreSet(random_state=seed),
    **{
        f"Partitioned, {n_parts} parts": lambda seed, n_parts=n_parts: Partitioned(
            CoreSet(), n_parts=n_parts, random_state=seed
        )
        for n_parts in (4, 16, 64)
    },
    "Prefilter, at random": lambda seed: Prefilter(CoreSet(), n_candidates=CANDIDATES, random_state=seed),
    "Prefilter, MarginSampling": lambda seed: Prefilter(
        CoreSet(), first=MarginSampling(), n_candidates=CANDIDATES, random_state=seed
    ),
    "RandomSampling": lambda seed: RandomSampling(random_state=seed),
}


def made_up(seed):
    """Clusters whose sizes fall as 1 / rank, of widths between 0.3 and 1.5; a class is twenty clusters."""
    rng = np.random.default_rng(seed)
    centers, widths = rng.standard_normal((200, D)) * 2, rng.uniform(0.3, 1.5, size=200)
    share = 1 / np.arange(1, 201)
    cluster = rng.choice(200, size=N, p=share / share.sum())
    X = centers[cluster] + widths[cluster, None] * rng.standard_normal((N, D))
    return X.astype(np.float32), cluster % 10


def fashion(seed):
    """The same for every seed; labels and parts differ."""
    folder = Path(os.environ.get("SKAL_DATA", "../shared/data")) / "FashionMNIST"
    images = read_idx(next(folder.rglob("train-images-idx3-ubyte*")))[:N].reshape(N, -1).astype(np.float32) / 255
    labels = read_idx(next(folder.rglob("train-labels-idx1-ubyte*")))[:N]
    return PCA(D, svd_solver="covariance_eigh").fit_transform(images).astype(np.float32), labels


def read_idx(path):
    import gzip

    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        raw = file.read()
    shape = np.frombuffer(raw, dtype=">i4", count=raw[3], offset=4)
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def measured(make, seed, clf, pool, labeled, y):
    """Processor time of a query, and in a second, equal one the peak of what Python and NumPy allocate."""
    arguments = {"X_training": labeled, "y_training": y}
    make(seed).select(clf, pool[: 2 * BATCH], BATCH, **arguments)
    start = time.process_time()
    chosen, _ = make(seed).select(clf, pool, BATCH, **arguments)
    cpu = time.process_time() - start
    tracemalloc.start()
    again, _ = make(seed).select(clf, pool, BATCH, **arguments)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert np.array_equal(chosen, again)
    return {"cpu_seconds": cpu, "peak_mib": peak, "chosen": chosen}


def repetition(X, y, seed):
    """A row for each strategy."""
    rng = np.random.default_rng(1000 + seed)
    # Two of each class, so that the classifier knows them all.
    some = [rng.choice(np.flatnonzero(y == label), size=2, replace=False) for label in np.unique(y)]
    some = np.concatenate(some)
    rest = np.setdiff1d(np.arange(len(X)), some)
    some = np.concatenate([some, rng.choice(rest, size=N_LABELED - len(some), replace=False)])
    pool = np.delete(X, some, axis=0)
    clf = LogisticRegression(max_iter=300).fit(X[some], y[some])
    base = pairwise_distances_argmin_min(pool, X[some])[1]
    rows = []
    for name, make in STRATEGIES.items():
        answer = measured(make, seed, clf, pool, X[some], y[some])
        chosen = pool[answer.pop("chosen")]
        nearest = np.minimum(base, pairwise_distances_argmin_min(pool, chosen)[1])
        row = {"seed": seed, "strategy": name, "radius": float(nearest.max()), "mean_distance": float(nearest.mean())}
        row |= answer
        exact = rows[0] if rows else row
        for key in ("radius", "mean_distance", "cpu_seconds", "peak_mib"):
            row[f"{key}_ratio"] = row[key] / exact[key]
        rows.append(row)
        print(json.dumps(rounded(row)), flush=True)
    return rows


def rounded(row):
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}


def summary(rows):
    """Of each strategy, of each figure: mean, smallest, largest."""
    found = {}
    for name in STRATEGIES:
        own = [row for row in rows if row["strategy"] == name]
        figures = [key for key in own[0] if key not in ("seed", "strategy")]
        found[name] = {
            key: [float(f"{of([row[key] for row in own]):.4g}") for of in (statistics.fmean, min, max)]
            for key in figures
        }
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", nargs="+", default=["made-up", "FashionMNIST"])
    parser.add_argument("--out")
    options = parser.parse_args()
    results = {}
    for name in options.data:
        rows, known = [], None
        for seed in range(options.seeds):
            if name == "made-up" or known is None:
                known = made_up(seed) if name == "made-up" else fashion(seed)
            rows += repetition(*known, seed)
        results[name] = {"summary": summary(rows), "rows": [rounded(row) for row in rows]}
        if options.out:
            setting = {
                "n": N, "d": D, "labeled": N_LABELED, "batch": BATCH, "candidates": CANDIDATES, "dtype": "float32",
                "seeds": options.seeds, "threads": os.environ.get("OMP_NUM_THREADS", "default"),
                "python": platform.python_version(), "figures": "mean, smallest, largest of the seeds",
            }  # fmt: skip
            Path(options.out).write_text(as_text(setting, results), encoding="utf-8")
    return 0


def as_text(setting, results):
    """JSON with a line for each strategy and each row."""
    blocks = []
    for name, found in results.items():
        lines = ",\n   ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found["summary"].items())
        rows = ",\n   ".join(json.dumps(row) for row in found["rows"])
        blocks.append(f'{json.dumps(name)}: {{\n  "summary": {{\n   {lines}}},\n  "rows": [\n   {rows}]}}')
    return f'{{"setting": {json.dumps(setting)},\n ' + ",\n ".join(blocks) + "}\n"


if __name__ == "__main__":
    sys.exit(main())
