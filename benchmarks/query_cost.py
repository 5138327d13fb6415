"""What a query costs beyond the model: against modAL, and against another checkout of skal.

    python benchmarks/query_cost.py [--against CHECKOUT] [--repeats 3] [--turns 3]

Each measurement runs in a process of its own, on one thread, in processor time: the least of `--repeats` in each of
`--turns` processes, which take turns with those of the other checkout and of modAL. Writes results/query_cost.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def least(work, repeats):
    """Processor seconds of the fastest of several runs, and the peak of Python's allocations in MB."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return {"seconds": min(seconds), "peak_mb": peak}


def sparse(model, strategy, repeats):
    """A text pool of 7,800 documents and 20,000 words."""
    import numpy as np
    import scipy.sparse as sp
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB

    X = sp.random(8000, 20_000, density=0.003, format="csr", random_state=0)
    estimator = {"logistic": LogisticRegression(max_iter=10), "naive bayes": MultinomialNB()}[model]
    return ask(estimator, X[:200], np.arange(200) % 5, X[200:], strategy, repeats)


def dense(strategy, repeats):
    """50,000 embeddings of 512 numbers in float32, ten classes."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    X = np.random.default_rng(0).standard_normal((50_500, 512), dtype=np.float32)
    return ask(LogisticRegression(max_iter=20), X[:500], np.arange(500) % 10, X[500:], strategy, repeats)


def ask(estimator, X, y, pool, strategy, repeats):
    from skal.learners import ActiveLearner
    from skal.strategies import MarginSampling

    learner = ActiveLearner(estimator, MarginSampling(random_state=0), X, y)
    if strategy == "modAL":
        from modAL.uncertainty import margin_sampling

        return least(lambda: margin_sampling(learner, pool, n_instances=10), repeats)
    return least(lambda: learner.query(pool, n_instances=10), repeats)


def memory_map(repeats):
    """400,000 rows of 512 numbers in float32 on disk: what a query allocates beyond what it maps."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    from skal.learners import ActiveLearner
    from skal.strategies import MarginSampling

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.npy"
        pool = np.lib.format.open_memmap(path, "w+", np.float32, (400_000, 512))
        rng = np.random.default_rng(0)
        for start in range(0, len(pool), 50_000):
            pool[start : start + 50_000] = rng.standard_normal((50_000, 512), dtype=np.float32)
        pool.flush()
        pool = np.load(path, mmap_mode="r")
        learner = ActiveLearner(
            LogisticRegression(max_iter=20), MarginSampling(random_state=0), np.array(pool[:200]), np.arange(200) % 10
        )
        start = time.process_time()
        tracemalloc.start()
        learner.query(pool, n_instances=10)
        return {"peak_mb": tracemalloc.get_traced_memory()[1] / 2**20, "seconds": time.process_time() - start}


def dataset(repeats):
    """60,000 samples of a torch Dataset, 2,048 numbers before the head: growth of the process over `predict_proba`."""
    import numpy as np
    import torch
    from torch import nn
    from torch.utils.data import Dataset

    from skal.learners import ActiveLearner
    from skal.nets import DeepClassifier
    from skal.strategies import MarginSampling

    class Pool(Dataset):
        def __len__(self):
            return 60_000

        def __getitem__(self, i):
            return torch.full((8,), (i % 97) / 97)

    torch.set_num_threads(1)
    module = nn.Sequential(nn.Linear(8, 2048), nn.ReLU(), nn.Linear(2048, 10))
    net = DeepClassifier(module, max_epochs=1, lr=1e-4, batch_size=256, random_state=0)
    learner = ActiveLearner(net, MarginSampling(random_state=0), torch.randn(50, 8), np.arange(50) % 10)
    learner.predict_proba(Pool())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    learner.query(Pool(), n_instances=10)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"grown_mb": grown, "seconds": time.process_time() - start}


def every_strategy(repeats):
    """Each strategy for classifiers on 4,000 rows of 64 numbers, ten classes, 20 picks."""
    from sklearn.datasets import make_blobs
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    from skal import strategies
    from skal.learners import ActiveLearner

    X, y = make_blobs(4_200, centers=10, n_features=64, cluster_std=9.0, random_state=0)
    params = {"BAL": {"n_rounds": 5}, "PT4AL": {"n_rounds": 5, "pretext": PCA(4)}}
    found = {}
    for name in strategies.__all__:
        strategy = getattr(strategies, name)
        if not isinstance(strategy, type) or name.startswith("Detection"):
            continue
        strategy = strategy(random_state=0, **params.get(name, {}))
        learner = ActiveLearner(LogisticRegression(max_iter=200), strategy, X[:200], y[:200])
        found[name] = least(lambda learner=learner: learner.query(X[200:], n_instances=20), repeats)
    return found


CASES = {
    "sparse, logistic, modAL": lambda n: sparse("logistic", "modAL", n),
    "sparse, logistic, skal": lambda n: sparse("logistic", "skal", n),
    "sparse, naive bayes, modAL": lambda n: sparse("naive bayes", "modAL", n),
    "sparse, naive bayes, skal": lambda n: sparse("naive bayes", "skal", n),
    "dense, modAL": lambda n: dense("modAL", n),
    "dense, skal": lambda n: dense("skal", n),
    "memory map": memory_map,
    "dataset": dataset,
    "every strategy": every_strategy,
}
WITH_MODAL = ("sparse, logistic", "sparse, naive bayes", "dense")


def measure(case, repeats, checkout):
    """The case in a process of its own, with the package of that checkout."""
    command = [sys.executable, __file__, "--case", case, "--repeats", str(repeats)]
    env = {**os.environ, **THREADS, "PYTHONPATH": str(checkout)}
    answer = subprocess.run(command, env=env, cwd=tempfile.gettempdir(), capture_output=True, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def best(known, found):
    """The lesser of each figure."""
    if known is None:
        return found
    return {
        key: best(known[key], value) if isinstance(value, dict) else min(known[key], value)
        for key, value in found.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout of skal")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=CASES, help="some of the cases")
    args = parser.parse_args()
    if args.case:
        warnings.simplefilter("ignore")
        print(json.dumps(CASES[args.case](args.repeats)))
        return
    now, before = {}, {}
    for case in [case for _ in range(args.turns) for case in args.only]:
        now[case] = best(now.get(case), measure(case, args.repeats, HERE.parent))
        if args.against and not case.endswith("modAL"):
            before[case] = best(before.get(case), measure(case, args.repeats, args.against))
    report = {"now": now, "before": before, "ratios": {}}
    ratios = report["ratios"]
    for kind in WITH_MODAL:
        if f"{kind}, skal" in now and f"{kind}, modAL" in now:
            ratios[f"{kind}: skal / modAL"] = now[f"{kind}, skal"]["seconds"] / now[f"{kind}, modAL"]["seconds"]
    for case in before:
        pairs = (
            [(f"{case}, {name}", before[case][name], now[case][name]) for name in now[case]]
            if case == "every strategy"
            else [(case, before[case], now[case])]
        )
        for name, old, new in pairs:
            ratios[f"{name}: before / now"] = old["seconds"] / new["seconds"]
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    for case in ("memory map", "dataset"):
        if case in now:
            print(case, now[case], before.get(case, ""))
    (HERE / "results" / "query_cost.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
