"""What the feature cache of a frozen backbone saves: rows run again, and the time of a query in the second round.

    python benchmarks/feature_cache.py [--n 2000] [--out benchmarks/results/feature_cache.json]

torchvision's resnet18 without pretrained weights, frozen, before a head of dropout and a linear layer (512 features,
10 classes); a pool of n random images of 3 x 32 x 32. Each measurement is a process of its own with one thread.

`passes`: a cache of 100, 90 and 50 % of the bytes of the pool's features, four passes over the pool, and the share of
its rows that the backbone ran again in each. `rounds`: four rounds of margin sampling, 50 labels each, with such
caches, and the share of the pool's rows that the backbone ran in each query. `queries`: processor seconds and rows run
by the backbone in a query of the first and of the second round, and those of one pass of the head alone, in batches
of 128, over the features.
"""

import argparse
import json
import multiprocessing
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models import resnet18

from skal import strategies
from skal.learners import ActiveLearner
from skal.nets import DeepClassifier

D, C, BATCH = 512, 10, 50
ROWS = [0]  # run by the backbone


class Net(nn.Module):
    def __init__(self, n_classes=C):
        super().__init__()
        self.body = resnet18(weights=None)
        self.body.fc = nn.Identity()
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(D, n_classes))

    def forward(self, X):
        ROWS[0] += len(X)
        return self.head(self.body(X))


def data(n):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 3, 32, 32), dtype=np.float32), rng.permutation(np.arange(n) % C)


def make(cache):
    settings = {"max_epochs": 5, "lr": 0.1, "embedding_layer": "head", "device": "cpu", "random_state": 0}
    return DeepClassifier(Net, freeze="backbone", feature_cache=cache, **settings)


def measured(call):
    """Answer, processor seconds and rows run by the backbone."""
    rows, started = ROWS[0], time.process_time()
    found = call()
    return found, time.process_time() - started, ROWS[0] - rows


def passes(n, share):
    X, y = data(n)
    net = make(int(share * n * D * 4)).fit(X[:BATCH], y[:BATCH])
    return {"recomputed": [round(measured(lambda: net.predict_proba(X))[2] / n, 3) for _ in range(4)]}


def rounds(n, share):
    X, y = data(n)
    pool, found = np.arange(BATCH, n), []
    strategy = strategies.MarginSampling(random_state=0)
    learner = ActiveLearner(make(int(share * n * D * 4)), strategy, X_training=X[:BATCH], y_training=y[:BATCH])
    for _ in range(4):
        (idx, chosen), _, rows = measured(partial(learner.query, X[pool], n_instances=BATCH))
        found.append(round(rows / len(pool), 3))
        learner.teach(chosen, y[pool[idx]])
        pool = np.delete(pool, idx)
    return {"recomputed": found}


def queries(n, name):
    X, y = data(n)
    strategy = getattr(strategies, name)(random_state=0)
    learner = ActiveLearner(make("512MB"), strategy, X_training=X[:BATCH], y_training=y[:BATCH])
    (idx, chosen), first, first_rows = measured(lambda: learner.query(X[BATCH:], n_instances=BATCH))
    learner.teach(chosen, y[BATCH:][idx])
    pool = np.delete(X[BATCH:], idx, axis=0)
    _, second, second_rows = measured(lambda: learner.query(pool, n_instances=BATCH))
    features = torch.from_numpy(learner.estimator.embed(pool))
    head = learner.estimator.module_.head.eval()

    def run_head():
        with torch.no_grad():
            return [head(batch).softmax(-1) for batch in features.split(128)]

    run_head()
    alone = np.median([measured(run_head)[1] for _ in range(5)])
    return {
        "first_seconds": round(first, 3), "first_rows": first_rows, "second_seconds": round(second, 3),
        "second_rows": second_rows, "head_seconds": round(float(alone), 4),
        "second_over_first": round(second / first, 4), "second_over_head": round(second / alone, 1),
    }  # fmt: skip


def measure(what, n, setting, answers):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    answers.put({"what": what.__name__, "n": n, "setting": setting, **what(n, setting)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    settings = [(what, share) for what in (passes, rounds) for share in (1.0, 0.9, 0.5)]
    settings += [(queries, name) for name in ("MarginSampling", "DECERN", "BALD", "NoiseStability")]
    rows = []
    for what, setting in settings:
        answers = context.Queue()
        process = context.Process(target=measure, args=(what, options.n, setting, answers))
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
