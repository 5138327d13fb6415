"""What the baselines with a model of their own must show: exact algebra, what they prefer, and time and memory.

    OMP_NUM_THREADS=2 python benchmarks/own_model_strategies.py [--n 50000] [--threads 2] [--out results.json]

"exact" holds the largest relative difference of each fast form from the slow one: the graph's product from that with
the (n, n) matrix, EMOC from a step of gradient descent by autograd for every label of every sample, BatchRank's
product from that with its matrix.

"prefers" has a pool of two groups of 100 samples and 40 labels, all of them in the first: the share of 30 picks that
are from the other group, by seed. Half is chance.

"cost" has one query of 100 samples from a pool of n x 512 features in float32, with 100 classes and 500 labels (see
selection_speed.py), each in a process of its own, after a warm-up on a small pool: seconds on the clock, processor
seconds, and peak memory beyond what was resident before, where the pool and its labels are. Features are those behind
a ReLU, or, where it says so, standardised, which have both signs. Linux only.
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
from selection_speed import BATCH, D, linear_model, memory, problem

from skal import strategies
from skal.nets._graph_selector import degrees, graph_product, unit_rows
from skal.pool import view_pool
from skal.strategies._batch_rank import Differences
from skal.testing import FakePool

COST = ["CoreGCN", "UncertainGCN", "EMOC", "EMOC signed", "BatchRank", "SMAL", "VAAL", "CoreSet", "MarginSampling"]
VAAL_SETTINGS = {
    "as published": {},
    "mean divergence": {"kl_reduction": "mean"},
    "mean divergence, weak adversary": {"kl_reduction": "mean", "adversary_weight": 0.02},
}


def difference(found, expected):
    return float(abs(found - expected).max() / abs(expected).max())


def exact():
    rng = np.random.default_rng(0)
    f = unit_rows(abs(rng.standard_normal((1000, 64))))
    similarity = f @ f.T - np.eye(1000)
    graph = similarity / similarity.sum(axis=0) + np.eye(1000)
    z = rng.standard_normal((1000, 16))
    own, degree = degrees(f)
    proba = rng.dirichlet(np.ones(10), 1000)
    log_p = np.log(proba)
    cross = proba @ log_p.T
    matrix = np.diag(cross)[:, None] + np.diag(cross) - cross - cross.T
    np.fill_diagonal(matrix, -np.diag(cross))
    batch = rng.choice(1000, size=100, replace=False)
    return {
        "graph product": difference(graph_product(f, own, degree, z), graph @ z),
        "EMOC": emoc_difference(rng),
        "BatchRank product": difference(Differences(proba, 1.0).times(batch), matrix[:, batch].sum(axis=1)),
    }


def emoc_difference(rng, n=40, d=16, n_classes=10):
    weight, bias, z = rng.standard_normal((n_classes, d)), rng.standard_normal(n_classes), rng.standard_normal((n, d))
    head = {"head": (weight, bias)}
    pool = FakePool(embeddings=z, labeled=FakePool(embeddings=z[:5], y=np.zeros(5, dtype=int), **head), **head)
    everyone, expected = torch.from_numpy(np.vstack([z, z[:5]])), []
    for h in torch.from_numpy(z):
        w, b = (torch.tensor(value, requires_grad=True) for value in (weight, bias))
        log_p = torch.log_softmax(h @ w.T + b, dim=0)
        change = 0.0
        for label in range(n_classes):
            of_w, of_b = torch.autograd.grad(-log_p[label], (w, b), retain_graph=True)
            moved = (everyone @ (w - of_w).T + b - of_b) - (everyone @ w.T + b)
            change += float((log_p[label].exp() * moved.abs().sum(dim=1).mean()).detach())
        expected.append(change)
    return difference(strategies.EMOC().score_samples(pool, z), np.array(expected))


def prefers():
    made = [("UncertainGCN", "default", strategies.UncertainGCN()), ("CoreGCN", "default", strategies.CoreGCN())]
    made += [("VAAL", how, strategies.VAAL(hidden=32, n_iter=300, **params)) for how, params in VAAL_SETTINGS.items()]
    for name, how, strategy in made:
        shares = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            X = np.vstack([rng.normal(center, 0.1, size=(100, 2)) for center in ([0, 1], [1, 0])])
            labeled = rng.normal([0, 1], 0.1, size=(40, 2))
            known = FakePool(X=labeled, embeddings=labeled, y=np.zeros(40, dtype=int))
            pool = FakePool(X=X, embeddings=X, labeled=known)
            shares.append(float((strategy.select(pool, X, 30, random_state=seed)[0] >= 100).mean()))
        yield {"name": name, "setting": how, "shares": [round(share, 3) for share in shares]}


def make_query(name, n):
    pool, labeled, y, weight, bias = problem(n, 100)
    pool, labeled = pool.astype(np.float32), labeled.astype(np.float32)
    cls, _, how = name.partition(" ")
    if how == "signed":
        mean, scale = pool.mean(axis=0), pool.std(axis=0)
        pool, labeled = (pool - mean) / scale, (labeled - mean) / scale
    model = linear_model(weight, bias)
    strategy = getattr(strategies, cls)(random_state=0)
    return lambda: strategy.select(view_pool(model, pool, X_training=labeled, y_training=y), pool, BATCH)


def measure(name, n, threads, answers):
    """In a process of its own."""
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    make_query(name, 500)()
    query = make_query(name, n)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from the present size
    before, start, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    query()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    answers.put({"name": name, "n": n, "seconds": seconds, "cpu_seconds": cpu, "extra_mib": memory("VmHWM") - before})


def cost(n, threads, names):
    context = multiprocessing.get_context("fork")
    for name in names:
        answers = context.Queue()
        process = context.Process(target=measure, args=(name, n, threads, answers))
        process.start()
        row = answers.get()
        process.join()
        yield {key: float(f"{v:.4g}") if isinstance(v, float) else v for key, v in row.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--strategies", nargs="*", default=COST, choices=COST, help="whose cost is measured")
    parser.add_argument("--parts", nargs="+", default=["cost", "exact", "prefers"])
    parser.add_argument("--out", type=Path, help="what is in it already and is not measured again stays")
    options = parser.parse_args()
    found = {"exact": {}, "cost": [], "prefers": []}
    if options.out and options.out.exists():
        found |= json.loads(options.out.read_text())
    found["setting"] = {"d": D, "classes": 100, "batch": BATCH, "labeled": 500, "threads": options.threads}

    def add(part, row, key):
        found[part] = [old for old in found[part] if old[key] != row[key] or old["name"] != row["name"]] + [row]
        write()

    def write():
        if options.out:
            lines = [f' "{key}": {json.dumps(found[key])}' for key in ("setting", "exact")]
            lines += [
                f' "{key}": [\n  ' + ",\n  ".join(json.dumps(row) for row in found[key]) + "\n ]"
                for key in ("cost", "prefers")
            ]
            options.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")

    # First: a process that has used several threads of torch cannot be forked.
    if "cost" in options.parts:
        for row in cost(options.n, options.threads, options.strategies):
            print(json.dumps(row), flush=True)
            add("cost", row, "n")
    if "exact" in options.parts:
        found["exact"] = exact()
        print(json.dumps(found["exact"]), flush=True)
        write()
    if "prefers" in options.parts:
        for row in prefers():
            print(json.dumps(row), flush=True)
            add("prefers", row, "setting")
    return 0


if __name__ == "__main__":
    sys.exit(main())
