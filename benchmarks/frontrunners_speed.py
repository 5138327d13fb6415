"""Time and memory of one query of 100 samples by the strategies that independent benchmarks put in front.

    OMP_NUM_THREADS=1 python benchmarks/frontrunners_speed.py [--sizes 10000 50000] [--out results.json]

The pool is n x 512 features after a ReLU, in float32, seen by a linear head with 100 classes; 500 samples are
labelled, 5 of each class (see baselines_speed.py). A floor is the time of one float32 product of the pool by the head,
(n x 512) by (512 x 100), the median of seven in the same process. Each measurement is a process of its own, after a
warm-up on a small pool: processor seconds, floors, and peak memory beyond what was resident before, also as a multiple
of the pool's own size. "cold" is a query before anything is labelled. UncertaintyHerding is
measured without its clone's fit, which is the classifier's own; ClusterMargin with the clusters to make, and with
clusters that are kept; EPIG with 10 classes, 20 members and 100 targets, since its cost grows with the square of the
classes. Linux only.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from baselines_speed import BATCH, D, Model, memory, problem
from sklearn.linear_model import LogisticRegression

from skal import strategies
from skal.learners import ActiveLearner
from skal.pool import view_pool
from skal.strategies import MarginSampling
from skal.utils._memory import Memory

MEASURED = [
    "MarginSampling", "BADGE", "StochasticBatch", "MaxHerding", "MaxHerding cold", "MaxHerding n_candidates=5000",
    "UncertaintyHerding", "BAIT", "DropQuery", "ClusterMargin", "ClusterMargin again", "EPIG",
]  # fmt: skip
SETTINGS = {
    "StochasticBatch": {"strategy": MarginSampling()},
    "UncertaintyHerding": {"calibrate": False},
    "MaxHerding n_candidates=5000": {"n_candidates": 5000},
}


class Members:
    """An ensemble of linear classifiers, as EPIG asks for one."""

    def __init__(self, model, n_members=20, n_classes=10):
        rng = np.random.default_rng(0)
        weight, bias = model.coef_[:n_classes], model.intercept_[:n_classes]
        self.estimators_ = [Model(weight + 0.01 * rng.standard_normal(weight.shape), bias) for _ in range(n_members)]
        self.classes_ = np.arange(n_classes)


def make_query(name, n):
    """A function without arguments, and the operands of the floor."""
    model, pool, labeled, y = problem(n)
    pool, labeled = pool.astype(np.float32), labeled.astype(np.float32)
    model = Model(model.coef_.astype(np.float32), model.intercept_.astype(np.float32))
    floor = (pool, model.coef_.T.copy())
    cls, _, how = name.partition(" ")
    strategy = getattr(strategies, cls)(**SETTINGS.get(name, {}), random_state=0)
    if how == "cold":
        learner = ActiveLearner(LogisticRegression(), strategy)
        return lambda: strategy.select(learner, pool, BATCH), floor
    if cls == "EPIG":
        from skal.strategies._epig import mean_information

        members = Members(model).estimators_

        def query():
            samples = np.stack([member.predict_proba(pool) for member in members])
            return mean_information(samples, samples[:, :100])

        return query, floor

    def view():
        return view_pool(model, pool, X_training=labeled, y_training=y)

    if how != "again":
        return lambda: strategy.select(view(), pool, BATCH), floor
    kept = view()
    kept.memory = Memory()
    strategy.select(kept, pool, BATCH)

    def again():
        later = view()
        later.memory = kept.memory
        return strategy.select(later, pool, BATCH)

    return again, floor


def measure(name, n, answers):
    """In a process of its own."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    make_query(name, 500)[0]()
    query, (pool, head) = make_query(name, n)
    times = []
    for _ in range(7):
        start = time.process_time()
        pool @ head
        times.append(time.process_time() - start)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from the present size
    before, start = memory("VmRSS"), time.process_time()
    query()
    seconds, floor = time.process_time() - start, statistics.median(times)
    extra = memory("VmHWM") - before
    answers.put(
        {
            "name": name,
            "n": n,
            "cpu_seconds": seconds,
            "floors": seconds / floor,
            "floor_seconds": floor,
            "extra_mib": extra,
            "extra_over_pool": extra * 2**20 / pool.nbytes,
        }
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--strategies", nargs="+", default=MEASURED, choices=MEASURED)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    context, rows = multiprocessing.get_context("fork"), []
    for n in options.sizes:
        for name in options.strategies:
            answers = context.Queue()
            process = context.Process(target=measure, args=(name, n, answers))
            process.start()
            row = answers.get()
            process.join()
            rows.append({key: float(f"{v:.4g}") if isinstance(v, float) else v for key, v in row.items()})
            print(json.dumps(rows[-1]), flush=True)
            if options.out:
                setting = {"d": D, "classes": 100, "batch": BATCH, "labeled": 500, "dtype": "float32", "threads": 1}
                lines = ",\n  ".join(json.dumps(row) for row in rows)
                options.out.write_text(f'{{"setting": {json.dumps(setting)},\n "rows": [\n  {lines}\n]}}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
