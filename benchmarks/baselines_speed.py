"""Time and memory of one query of 100 samples, beside scikit-activeml 1.0.1 and modAL, in one run.

    pip install -e ".[benchmark]"
    python benchmarks/baselines_speed.py [--sizes 1000 10000 50000] [--strategies BADGE CoreSet] [--out results.json]

The pool is n x 512 features after a ReLU, in float64; the head is linear with 100 classes; 500 samples are labelled,
5 of each class. Everybody gets the same features and the same head, and nobody's time contains a fit. Each measurement
is a process of its own, after a warm-up on a small pool: processor seconds of the query (``cpu_seconds``; ``seconds``
are on the clock and mean little where the machine is busy), peak memory beyond what was resident before it, and both
as a ratio to one pool-by-head product, ``Z @ W.T`` (its median processor time in the same process, and the size of its
result). A contender's ratio to skal is in processor time, too. Run it with OMP_NUM_THREADS=1 for one thread each.

A measurement that reaches --timeout seconds is stopped, and its figures are lower bounds. Linux only.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import queue
import statistics
import sys
import time

import numpy as np
from scipy.special import softmax

D, C, PER_CLASS, BATCH = 512, 100, 5, 100
SKAL = [
    "ActiveFT", "ALFAMix", "ALFAMix candidates", "BADGE", "CoreSet", "EntropySampling", "KMeansSampling",
    "MarginSampling", "ProbCover", "TypiClust",
]  # fmt: skip
# Measurement: the strategy of skal's that it is compared with.
CONTENDERS = {
    "scikit-activeml Badge": "BADGE",
    "scikit-activeml CoreSet": "CoreSet",
    "scikit-activeml TypiClust": "TypiClust",
    "scikit-activeml ProbCover": "ProbCover",
    "modAL margin_sampling": "MarginSampling",
    "modAL entropy_sampling": "EntropySampling",
}
SAME_PICKS = {"CoreSet", "EntropySampling", "MarginSampling"}  # nothing is drawn at random
# Badge holds arrays of n x (C d), 20 GB each at 50,000; ProbCover of n x n; TypiClust takes long.
LARGEST = {"scikit-activeml Badge": 10_000, "scikit-activeml ProbCover": 1000, "scikit-activeml TypiClust": 1000}


class Model:
    """A fitted linear classifier."""

    def __init__(self, weight, bias):
        self.coef_, self.intercept_, self.classes_ = weight, bias, np.arange(len(weight))

    def predict_proba(self, X):
        return softmax(X @ self.coef_.T + self.intercept_, axis=1)


class Known:
    """A classifier whose probabilities are known; its input is their row numbers."""

    def __init__(self, proba):
        self.proba, self.classes_ = proba, np.arange(proba.shape[1])

    def predict_proba(self, X):
        return self.proba


def problem(n, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((C, D))
    y = np.repeat(np.arange(C), PER_CLASS)
    labeled = np.maximum(centers[y] + rng.standard_normal((len(y), D)), 0)
    pool = np.maximum(centers[rng.integers(C, size=n)] + 1.5 * rng.standard_normal((n, D)), 0)
    model = Model(rng.standard_normal((C, D)) * 0.02 + centers * 0.04, rng.standard_normal(C) * 0.1)
    return model, pool, labeled, y


def make_query(name, model, pool, labeled, y):
    """A function without arguments that returns the positions of the picks, or None."""
    if name.startswith("scikit-activeml"):
        return _scikit_activeml(name.split()[1], model, pool, labeled, y)
    if name.startswith("modAL"):
        from modAL import uncertainty

        return lambda: np.asarray(getattr(uncertainty, name.split()[1])(model, pool, n_instances=BATCH)).tolist()
    from skal import strategies

    if name == "ALFAMix candidates":
        from skal.strategies._alfa_mix import exact_caps
        from skal.utils._arrays import class_means

        logits = pool @ model.coef_.T + model.intercept_
        anchors = class_means(labeled, y, C)
        return lambda: np.argsort(exact_caps(pool, logits, model.coef_, anchors))[:BATCH].tolist()
    strategy = getattr(strategies, name)(random_state=0)
    return lambda: strategy.select(model, pool, BATCH, X_training=labeled, y_training=y)[0].tolist()


def _scikit_activeml(name, model, pool, labeled, y):
    from skactiveml import pool as skactiveml_pool
    from skactiveml.base import SkactivemlClassifier

    class Wrapped(SkactivemlClassifier):
        """The same head for scikit-activeml."""

        def fit(self, X, y, sample_weight=None):
            return self

        def predict_proba(self, X):
            return model.predict_proba(X)

    X = np.concatenate([labeled, pool])
    labels = np.concatenate([y.astype(float), np.full(len(pool), np.nan)])
    strategy = getattr(skactiveml_pool, name)(random_state=0, **({"n_classes": C} if name == "ProbCover" else {}))
    more = {"clf": Wrapped(classes=np.arange(C)), "fit_clf": False} if name == "Badge" else {}
    return lambda: (np.asarray(strategy.query(X, labels, batch_size=BATCH, **more)) - len(labeled)).tolist()


def make_margin_of_a_million(name):
    proba = np.random.default_rng(0).dirichlet(np.ones(10), size=1_000_000)
    X = np.arange(len(proba))[:, None]
    if name.startswith("modAL"):
        from modAL.uncertainty import margin_sampling

        return lambda: np.asarray(margin_sampling(Known(proba), X, n_instances=1000)).tolist()
    from skal.strategies import MarginSampling

    return lambda: MarginSampling(random_state=0).select(Known(proba), X, 1000)[0].tolist()


def memory(field, pid="self"):
    """MiB of a process: VmRSS is what is resident now, VmHWM the peak."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


def cpu_seconds(pid):
    """Processor time of another process."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(name, n, answers):
    """In a process of its own."""
    import warnings

    warnings.simplefilter("ignore")
    product = None
    if n == 1_000_000:
        query = make_margin_of_a_million(name)
    else:
        make_query(name, *problem(200))()
        model, pool, labeled, y = problem(n)
        query = make_query(name, model, pool, labeled, y)
        times = []
        for _ in range(7):
            start = time.process_time()
            pool @ model.coef_.T
            times.append(time.process_time() - start)
        product = statistics.median(times)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from the present size
    before, start, cpu_start = memory("VmRSS"), time.perf_counter(), time.process_time()
    answers.put({"before": before, "cpu_start": cpu_start, "product": product})
    picks = query()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    answers.put({"seconds": seconds, "cpu_seconds": cpu, "extra_mib": memory("VmHWM") - before, "picks": picks})


def measured(name, n, timeout):
    context = multiprocessing.get_context("fork")  # imports are shared; the parent computes nothing
    answers = context.Queue()
    process = context.Process(target=measure, args=(name, n, answers))
    process.start()
    got, start = {}, time.perf_counter()
    while "cpu_seconds" not in got:
        try:
            got |= answers.get(timeout=0.5)
        except queue.Empty:
            if not process.is_alive():
                return {**got, "error": f"exit code {process.exitcode}"}
            if time.perf_counter() - start > timeout and "before" in got:
                got |= {
                    "seconds": timeout,
                    "cpu_seconds": cpu_seconds(process.pid) - got["cpu_start"],
                    "extra_mib": memory("VmHWM", process.pid) - got["before"],
                    "stopped": True,
                }
                process.terminate()
    process.join()
    return got


def row_of(name, n, timeout, skal):
    answer = measured(name, n, timeout)
    keep = ("seconds", "cpu_seconds", "extra_mib", "stopped", "error")
    row = {"name": name, "n": n, **{key: answer[key] for key in keep if key in answer}}
    if answer.get("product") and "cpu_seconds" in answer:
        row["products"] = answer["cpu_seconds"] / answer["product"]
        row["extra_over_result"] = answer["extra_mib"] * 2**20 / (n * C * 8)
    ours = skal.get((CONTENDERS.get(name), n))
    if ours and "cpu_seconds" in answer and "cpu_seconds" in ours:
        row["over_skal"] = answer["cpu_seconds"] / ours["cpu_seconds"]
        if "picks" in answer and CONTENDERS[name] in SAME_PICKS:
            row["same_picks"] = len(set(answer["picks"]) & set(ours["picks"]))
    skal[name, n] = answer
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--strategies", nargs="+", default=SKAL)
    parser.add_argument("--contenders", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--no-million", action="store_true")
    parser.add_argument("--out")
    options = parser.parse_args()
    for module in ["skal.strategies", "modAL.uncertainty", *["skactiveml.pool"] * bool(options.contenders)]:
        importlib.import_module(module)
    rows, skal = [], {}
    tasks = [
        (name, n)
        for n in options.sizes
        for name in [*options.strategies, *options.contenders]
        if n <= LARGEST.get(name, n)
    ]
    if not options.no_million:
        tasks += [("MarginSampling", 1_000_000), ("modAL margin_sampling", 1_000_000)]
    for name, n in tasks:
        rows.append(row_of(name, n, options.timeout, skal))
        print(json.dumps(rows[-1]), flush=True)
        if options.out:
            with open(options.out, "w") as file:
                setting = {"d": D, "classes": C, "batch": BATCH, "labeled": C * PER_CLASS, "dtype": "float64"}
                setting["threads"] = os.environ.get("OMP_NUM_THREADS", "default")
                lines = ",\n  ".join(json.dumps(row) for row in rows)
                file.write(f'{{"setting": {json.dumps(setting)},\n "rows": [\n  {lines}\n]}}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
