"""DM2 on real images: against random, least confidence and entropy, and how it depends on its two lost defaults.

    python benchmarks/dm2_images.py --data fashion_mnist --data-root ../shared/data --out dm2_fashion_mnist.json

Small on purpose (a CNN of two narrow convolutions, 20 epochs, pools of 2,000, 50 + 5 x 50 labels, the first 1,000
test images), so that the whole runs in minutes on one thread; five seeds, everything paired. Differences are
those of the mean accuracy over the whole curve ("area") and of the last round, with 95 % t intervals over
seeds. `--work` keeps finished runs and resumes.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch

from skal.experiments import compare
from skal.experiments._data import load_data
from skal.experiments._models import SmallCNN
from skal.experiments._statistics import mean_interval, verdict
from skal.metrics import area_under_learning_curve
from skal.nets import DeepClassifier
from skal.strategies import DM2, EntropySampling, LeastConfidence, RandomSampling

WEIGHTS, NEIGHBORS = (0.5, 0.7, 0.9), (2, 5, 10)


def network(X, y):
    return DeepClassifier(
        SmallCNN, classes=np.unique(y).tolist(), module__in_channels=X.shape[1], module__width=8, module__n_hidden=32,
        optimizer=torch.optim.Adam, lr=3e-3, batch_size=32, max_epochs=20, device="cpu",
    )  # fmt: skip


def strategies():
    found = {
        "RandomSampling": RandomSampling(),
        "LeastConfidence": LeastConfidence(),
        "EntropySampling": EntropySampling(),
    }
    for weight in WEIGHTS:
        for k in NEIGHBORS:
            found[setting(weight, k)] = DM2(mixing_weight=weight, n_neighbors=k)
    return found


def setting(weight, k):
    return f"DM2 weight={weight} k={k}"


def measures(results):
    """{strategy: {measure: array over seeds}} and mean curves."""
    found, curves = {}, {}
    for name, runs in results.groupby("strategy", sort=False):
        table = runs.pivot(index="seed", columns="n_labels", values="accuracy").sort_index()
        labels = table.columns.to_numpy()
        found[name] = {
            "area": np.array([area_under_learning_curve(labels, row) for row in table.to_numpy()]),
            "final": table.to_numpy()[:, -1],
        }
        curves[name] = {int(n): round(float(a), 4) for n, a in table.mean().items()}
    return found, curves


def paired(first, second):
    row = {}
    for measure in ("area", "final"):
        interval = mean_interval(first[measure] - second[measure])
        row[measure] = {
            "difference": round(interval.mean, 4),
            "interval": [round(interval.low, 4), round(interval.high, 4)],
            "verdict": verdict(interval),
        }
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion_mnist", choices=["fashion_mnist", "cifar10"])
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work")
    parser.add_argument("--out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    X, y, X_test, y_test = load_data(options.data, options.data_root)
    rows = np.random.default_rng(0).permutation(len(y_test))[:1000]
    named = strategies()
    results = compare(
        named, network(X, y), X, y, X_test[rows], y_test[rows],
        n_initial=50, n_instances=50, n_queries=5, pool_size=2000, seeds=options.seeds, out=options.work, progress=True,
    ).results  # fmt: skip
    found, curves = measures(results)
    default = setting(DM2().mixing_weight, DM2().n_neighbors)
    baselines = ["RandomSampling", "LeastConfidence", "EntropySampling"]
    settings = [name for name in named if name.startswith("DM2")]
    report = {
        "data": options.data,
        "seeds": options.seeds,
        "default": default,
        "mean_accuracy_by_labels": curves,
        "mean_area": {name: round(float(found[name]["area"].mean()), 4) for name in named},
        "default_minus_baseline": {name: paired(found[default], found[name]) for name in baselines},
        "baseline_minus_random": {
            name: paired(found[name], found["RandomSampling"]) for name in baselines if name != "RandomSampling"
        },
        "setting_minus_default": {name: paired(found[name], found[default]) for name in settings if name != default},
        "setting_minus_least_confidence": {name: paired(found[name], found["LeastConfidence"]) for name in settings},
        "query_seconds": {
            name: round(float(results[results["strategy"] == name]["query_seconds"].mean()), 3)
            for name in (*baselines, default)
        },
        "cpu_seconds_of_this_call": round(time.process_time() - start),
    }
    print(json.dumps(report, indent=2))
    if options.out:
        with open(options.out, "w") as file:
            json.dump(report, file, indent=2)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
