"""Time and memory of the strategies that ask several models, one query of 100 samples, with every fit they make.

    python benchmarks/opinions_speed.py [--sizes 1000 10000 50000] [--out benchmarks/results/opinions_speed.json]

Pools of n x 512 features in float64, 100 classes, 300 labelled samples. Two classifiers: `LogisticRegression` (clones
are trained), and a torch network of dropout and a linear layer (dropout masks; for QueryByCommittee and BALQUE clones).
Each measurement is a process of its own, after a query of a pool of 200: processor seconds, peak memory beyond what was
resident before the query, and the time as a ratio to one pool-by-head product. Linux only.
"""

import argparse
import json
import multiprocessing
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from skal import strategies
from skal.nets import DeepClassifier

D, C, LABELED, BATCH = 512, 100, 300, 100
NAMES = ["BALD", "BayesianEntropy", "QueryByCommittee", "NoiseStability", "BALQUE"]


class Head(nn.Module):
    def __init__(self, n_classes=C):
        super().__init__()
        self.dropout, self.linear = nn.Dropout(0.5), nn.Linear(D, n_classes)

    def forward(self, X):
        return self.linear(self.dropout(X))


def peak_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def measure(name, kind, n, answers):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((C, D)) / 2
    y = np.arange(LABELED) % C
    X = centers[y] + rng.standard_normal((LABELED, D))
    pool = rng.standard_normal((n, D))
    pool += centers[rng.integers(0, C, n)]
    if kind == "logistic":
        classifier = LogisticRegression(max_iter=30).fit(X, y)
        weight = classifier.coef_
    else:
        settings = {"max_epochs": 10, "lr": 1e-3, "optimizer": torch.optim.Adam, "device": "cpu", "random_state": 0}
        classifier = DeepClassifier(Head, **settings).fit(X, y)
        weight = classifier.module_.linear.weight.detach().double().numpy()
    strategy = getattr(strategies, name)(random_state=0)
    strategy.select(classifier, pool[:200], 10, X_training=X, y_training=y)
    products = []
    for _ in range(3):
        started = time.process_time()
        pool @ weight.T
        products.append(time.process_time() - started)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from the present size
    before, started = peak_mib(), time.process_time()
    strategy.select(classifier, pool, BATCH, X_training=X, y_training=y)
    seconds = time.process_time() - started
    answers.put(
        {
            "strategy": name, "classifier": kind, "n": n, "cpu_seconds": round(seconds, 3),
            "extra_mib": round(peak_mib() - before), "over_product": round(seconds / max(np.median(products), 1e-6)),
        }
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rows = []
    for n in options.sizes:
        for kind in ("logistic", "dropout"):
            for name in NAMES:
                answers = context.Queue()
                process = context.Process(target=measure, args=(name, kind, n, answers))
                process.start()
                rows.append(answers.get())
                process.join()
                print(json.dumps(rows[-1]), flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        body = ",\n".join(json.dumps(row) for row in rows)
        options.out.write_text(f"[\n{body}\n]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
