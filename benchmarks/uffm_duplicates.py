"""UFFM on a pool with planted near-duplicates: how many it queries, coverage rate, accuracy; five paired seeds.

    python benchmarks/uffm_duplicates.py --data ../shared/data [--backbone efficientnet] [--cache DIR]

GroceryStore's training images. Each seed draws a pool of 2,000: 1,000 images alone, and 200 images with
four altered copies each (mirrored; rotated by 5 degrees; 90 % of the picture, enlarged; 20 % brighter with noise).
The classifier is logistic regression on the pooled features of a frozen network with ImageNet weights: SqueezeNet (512,
at 128 pixels) or EfficientNet-Lite0 (1,280, at 224 pixels; see baselines_accuracy.py for its packages). The
descriptors are `FusionDescriptor`'s (SqueezeNet, features.6 and features.10, 256 components, fitted on the 2,640
training images): both are computed once. 100 random labels, then eight queries of 50; all strategies of a seed share
the pool and the start.

Means over the queries: "redundant" is the share of the batch whose original or copy stands before it in the batch;
"near_duplicates" the share that has any relative in the batch; "coverage" the batch's coverage rate in the whole pool
over its largest possible value, where two samples are alike from the median cosine of relatives on.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from baselines_accuracy import ROOT, efficientnet
from PIL import Image, ImageEnhance
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from uffm_retrieval import LAYERS, MEAN, STD, describe, grocery

from skal.learners import ActiveLearner, simulate
from skal.metrics import coverage_rate
from skal.nets import DeepClassifier
from skal.strategies import DECERN, UFFM, EntropySampling, MarginSampling, PatraBruzzone, RandomSampling

N_GROUPS, N_COPIES, N_SINGLE, N_INITIAL, N_INSTANCES, N_QUERIES = 200, 4, 1000, 100, 50, 8
SIZES, N_COMPONENTS = {"squeezenet": 128, "efficientnet": 224}, 256
N_SOURCES = 600  # images of which copies are made; each seed draws its 200 among them


def copies(image, rng):
    """Four altered copies of a normalized image (3, h, w)."""
    pixels = np.clip((image.transpose(1, 2, 0) * STD + MEAN) * 255, 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels)
    size, margin = picture.width, round(0.05 * picture.width)
    noisy = np.asarray(ImageEnhance.Brightness(picture).enhance(1.2), dtype=float) + rng.normal(0, 6, pixels.shape)
    altered = [
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        picture.rotate(5, Image.BILINEAR),
        picture.crop((margin, margin, size - margin, size - margin)).resize((size, size), Image.BILINEAR),
        np.clip(noisy, 0, 255),
    ]
    return [((np.asarray(a) / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float32) for a in altered]


def squeezenet(weights):
    net = DeepClassifier("squeezenet1_0", weights=weights, freeze="backbone", feature_cache=None, batch_size=32)
    images = np.zeros((2, 3, 128, 128), dtype=np.float32)
    return net.set_params(max_epochs=1, random_state=0).fit(images, [0, 1]).embed


def better():
    """EfficientNet-Lite0, which takes pixels, for normalized images."""
    embed = efficientnet()

    def of(images, size=32):
        parts = (images[start : start + size] for start in range(0, len(images), size))
        return np.concatenate([embed((part.transpose(0, 2, 3, 1) * STD + MEAN) * 255) for part in parts])

    return of


def prepare(data, cache, backbone):
    """Features and descriptors of all originals, copies and test images; from the cache where it is there."""
    file = Path(cache) / f"uffm_duplicates_{backbone}.npz"
    if file.is_file():
        return dict(np.load(file))
    size = SIZES[backbone]
    weights = str(next((Path(data) / "weights" / "squeezenet1_0_imagenet").glob("*.pth")))
    (X, y), (X_test, y_test) = grocery(data, "train", size), grocery(data, "test", size)
    rng = np.random.default_rng(0)
    sources = rng.choice(len(X), N_SOURCES, replace=False)
    X_copies = np.stack([copy for i in sources for copy in copies(X[i], rng)])
    embed = squeezenet(weights) if backbone == "squeezenet" else better()
    descriptor = describe(weights, LAYERS["fused"]).fit(X)
    out = {"y": y, "y_test": y_test, "sources": sources, "F_test": embed(X_test)}
    for name, images in (("", X), ("_copies", X_copies)):
        out[f"F{name}"], out[f"D{name}"] = embed(images), descriptor.transform(images)
    np.savez(file, **out)
    return out


def make_pool(data, seed):
    """Rows [descriptor, features], labels, and the group (original) of each row."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(N_SOURCES, N_GROUPS, replace=False)
    others = np.setdiff1d(np.arange(len(data["F"])), data["sources"])
    originals = np.concatenate([data["sources"][chosen], rng.choice(others, N_SINGLE, replace=False)])
    rows = (chosen[:, None] * N_COPIES + np.arange(N_COPIES)).ravel()
    groups = np.concatenate([np.arange(len(originals)), np.repeat(np.arange(N_GROUPS), N_COPIES)])
    features = np.concatenate([data["F"][originals], data["F_copies"][rows]])
    descriptors = np.concatenate([data["D"][originals], data["D_copies"][rows]])
    order = rng.permutation(len(groups))
    X = np.hstack([descriptors, features])[order]
    return X, data["y"][originals][groups][order], groups[order]


def features(X):
    return X[:, N_COMPONENTS:]


def descriptors(X):
    return X[:, :N_COMPONENTS]


def strategies():
    given = FunctionTransformer(descriptors)
    return {
        "random": RandomSampling(random_state=0),
        "entropy": EntropySampling(random_state=0),
        "UFFM(entropy)": UFFM(descriptor=given, random_state=0),
        "UFFM(entropy), as printed": UFFM(descriptor=given, resampling="printed", random_state=0),
        "UFFM(entropy), ratio 2": UFFM(descriptor=given, sampling_ratio=2.0, random_state=0),
        "UFFM(entropy), fraction 0.01": UFFM(descriptor=given, similar_fraction=0.01, random_state=0),
        "UFFM(entropy), ratio 2, fraction 0.01": UFFM(
            descriptor=given, sampling_ratio=2.0, similar_fraction=0.01, random_state=0
        ),
        "UFFM(entropy), own embeddings": UFFM(random_state=0),
        "PatraBruzzone(entropy)": PatraBruzzone(descriptor=given, random_state=0),
        "PatraBruzzone(entropy), ratio 2": PatraBruzzone(descriptor=given, sampling_ratio=2.0, random_state=0),
        "margin": MarginSampling(random_state=0),
        "UFFM(margin)": UFFM(MarginSampling(), descriptor=given, random_state=0),
        "DECERN": DECERN(random_state=0),
        "UFFM(DECERN)": UFFM(DECERN(), descriptor=given, random_state=0),
    }


def run(strategy, X, y, groups, X_test, y_test, seed, threshold):
    n = len(y)
    initial = np.random.default_rng([seed, 1]).choice(n, N_INITIAL, replace=False)
    model = make_pipeline(FunctionTransformer(features), StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    learner = ActiveLearner(model, strategy, X[initial], y[initial])
    rest = np.setdiff1d(np.arange(n), initial)
    out = {"redundant": [], "near_duplicates": [], "coverage": [], "accuracy": [learner.score(X_test, y_test)]}
    for step in simulate(learner, X, y, pool=rest, n_instances=N_INSTANCES, n_queries=N_QUERIES):
        idx = step.queried
        _, position, counts = np.unique(groups[idx], return_inverse=True, return_counts=True)
        out["redundant"].append(1 - len(counts) / len(idx))
        out["near_duplicates"].append(float((counts[position] > 1).mean()))
        out["coverage"].append(coverage_rate(descriptors(X), idx, threshold=threshold) * n / len(idx))
        out["accuracy"].append(learner.score(X_test, y_test))
    return {key: float(np.mean(values)) for key, values in out.items()} | {"final_accuracy": out["accuracy"][-1]}


def original_is_nearest(data):
    """For each kind of copy, the share whose nearest descriptor among all originals is that of its own."""
    kinds = data["D_copies"].reshape(N_SOURCES, N_COPIES, -1).transpose(1, 0, 2)
    return [round(float(((D @ data["D"].T).argmax(axis=1) == data["sources"]).mean()), 4) for D in kinds]


def paired(first, second):
    """Mean difference and its 95 % interval."""
    d = np.array(first) - np.array(second)
    half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
    return [round(float(v), 4) for v in (d.mean(), d.mean() - half, d.mean() + half)]


def write_table(record, docs):
    """The table of the user guide's page."""
    rows = [["strategy", "repeats, %", "against its base", "coverage, %", "accuracy, %", "against its base"]]
    for name, mean in record["mean"].items():
        against = record["against_base"].get(name)
        cells = [name]
        for key in ("redundant", "coverage", "accuracy"):
            cells.append(f"{100 * mean[key]:.1f}")
            if key != "coverage":
                cells.append("{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * v for v in against[key])) if against else "")
        rows.append(cells)
    folder = docs / "user_guide" / "strategies" / "uffm"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows]
    (folder / f"duplicates_{record['backbone']}.csv").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--backbone", choices=list(SIZES), default="squeezenet")
    parser.add_argument("--efficientnet", metavar="FOLDER", help="where its two packages are, if not installed")
    parser.add_argument("--cache", default="/tmp")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.efficientnet:
        sys.path.append(args.efficientnet)
    data = prepare(args.data, args.cache, args.backbone)
    relatives = (np.repeat(data["D"][data["sources"]], N_COPIES, axis=0) * data["D_copies"]).sum(axis=1)
    strangers = data["D"][:1000] @ data["D"][1000:2000].T
    threshold = float(np.quantile(relatives, 0.5))
    out = {
        "backbone": args.backbone,
        "threshold": round(threshold, 3),
        "cosine_of_relatives": np.quantile(relatives, [0.01, 0.1, 0.5, 0.9]).round(3).tolist(),
        "original_is_nearest": original_is_nearest(data),
        "cosine_of_strangers": np.quantile(strangers, [0.5, 0.99, 0.999]).round(3).tolist(),
        "runs": {name: [] for name in strategies()},
    }
    X_test = np.hstack([np.zeros((len(data["F_test"]), N_COMPONENTS)), data["F_test"]])
    for seed in range(args.seeds):
        X, y, groups = make_pool(data, seed)
        for name, strategy in strategies().items():
            start = time.perf_counter()
            out["runs"][name].append(run(strategy, X, y, groups, X_test, data["y_test"], seed, threshold))
            print(seed, name, out["runs"][name][-1], f"{time.perf_counter() - start:.1f} s", flush=True)
    out["mean"], out["against_base"] = {}, {}
    keys = ("redundant", "near_duplicates", "coverage", "accuracy", "final_accuracy")
    for name, runs in out["runs"].items():
        out["mean"][name] = {key: round(float(np.mean([r[key] for r in runs])), 4) for key in keys}
        inner = name.partition("(")[2].partition(")")[0]
        if inner:
            base = out["runs"][inner]
            out["against_base"][name] = {key: paired([r[key] for r in runs], [r[key] for r in base]) for key in keys}
    print(json.dumps({key: out[key] for key in ("mean", "against_base")}, indent=1))
    (args.results / f"uffm_duplicates_{args.backbone}.json").write_text(json.dumps(out, indent=1) + "\n")
    write_table(out, args.docs)


if __name__ == "__main__":
    main()
