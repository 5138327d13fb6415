"""Time and memory of one query of 100 samples by every strategy, in floors, beside scikit-activeml and modAL.

    pip install -e ".[benchmark]"
    OMP_NUM_THREADS=1 python benchmarks/selection_speed.py [--sizes 1000 10000 50000 200000] [--classes 10 100 1000]
        [--names BADGE CoreSet] [--base ANOTHER_TREE --repeat 3]

The pool is n x 512 features after a ReLU, in float32, seen by a linear head; five samples of each class are labelled.
Everybody gets the same features and the same head. A floor is one float32 product of the pool by the head, ``X @ W.T``,
the median processor time of seven in the same process. Each measurement is a process of its own, forked from one that
has imported everything, after a warm-up on a small pool: processor seconds, floors, and peak memory beyond what was
resident before, in MiB and in multiples of the pool's own bytes.

Times include what the strategy itself trains (clones of QueryByCommittee, BALQUE and UncertaintyHerding, helper
networks), not the classifier's own fit. Those that ask for several opinions get a network of dropout and a linear
layer, with the same weights. A size is left out where the one before it foretells more than --limit seconds, with the
time growing as the pool does; a measurement that reaches --timeout is stopped and left out.

--base measures the strategies of another working tree of skal as well, in turns with this one's, --repeat times.
--table writes the table of the user guide. Linux only.
"""

import argparse
import contextlib
import csv
import json
import multiprocessing
import os
import queue
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
D, PER_CLASS, BATCH = 512, 5, 100
# Needs a network with dropout, or boxes, or wraps another strategy and is no method of its own.
OPINIONS = ("BALD", "BayesianEntropy", "EPIG")
WITHOUT = ("Partitioned", "Prefilter")
CONTENDERS = {
    "scikit-activeml Badge": "BADGE",
    "scikit-activeml CoreSet": "CoreSet",
    "scikit-activeml TypiClust": "TypiClust",
    "scikit-activeml ProbCover": "ProbCover",
    "modAL margin_sampling": "MarginSampling",
    "modAL entropy_sampling": "EntropySampling",
    "modAL uncertainty_sampling": "LeastConfidence",
}
SAME_PICKS = {"CoreSet", "EntropySampling", "MarginSampling", "LeastConfidence"}  # nothing is drawn at random
# Badge holds arrays of n x (C d), 20 GB each at 50,000 of 100 classes; ProbCover of n x n; TypiClust takes long.
LARGEST = {"scikit-activeml Badge": 1000, "scikit-activeml ProbCover": 10_000, "scikit-activeml TypiClust": 1000}


def names():
    """Every strategy for classifiers that `skal.strategies` exports, and one case of two of them."""
    from skal import strategies
    from skal.base import QueryStrategy

    found = [getattr(strategies, name) for name in strategies.__all__]
    classes = [obj for obj in found if isinstance(obj, type) and issubclass(obj, QueryStrategy)]
    shown = sorted(cls.__name__ for cls in classes if "boxes" not in cls.requires and cls.__name__ not in WITHOUT)
    return [*shown, "MaxHerding cold"]


def problem(n, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((n_classes, D), dtype=np.float32)
    y = np.repeat(np.arange(n_classes), PER_CLASS)
    labeled = np.maximum(centers[y] + rng.standard_normal((len(y), D), dtype=np.float32), 0)
    pool = rng.standard_normal((n, D), dtype=np.float32)
    pool *= 1.5
    pool += centers[rng.integers(n_classes, size=n)]
    np.maximum(pool, 0, out=pool)
    weight = rng.standard_normal((n_classes, D), dtype=np.float32) * np.float32(0.02) + centers * np.float32(0.04)
    return pool, labeled, y, weight, (rng.standard_normal(n_classes) * 0.1).astype(np.float32)


def linear_model(weight, bias):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=30)
    model.coef_, model.intercept_, model.classes_ = weight, bias, np.arange(len(weight))
    model.n_features_in_, model.n_iter_ = weight.shape[1], np.array([1])
    return model


def dropout_model(weight, bias):
    import torch
    from torch import nn

    from skal.nets import DeepClassifier

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout, self.linear = nn.Dropout(0.5), nn.Linear(weight.shape[1], len(weight))

        def forward(self, X):
            return self.linear(self.dropout(X))

    net = DeepClassifier(Head, classes=list(range(len(weight))), device="cpu", batch_size=1024, random_state=0)
    net.initialize()
    net.fit(np.zeros((2, weight.shape[1]), np.float32), np.array([0, 1]), epochs=0)
    with torch.no_grad():
        net.module_.linear.weight.copy_(torch.from_numpy(weight))
        net.module_.linear.bias.copy_(torch.from_numpy(bias))
    return net


def settings(name):
    """What a strategy cannot do without."""
    from sklearn.decomposition import PCA

    from skal.strategies import MarginSampling

    return {
        "BAL": {"n_rounds": 5},
        "PT4AL": {"pretext": PCA(32, random_state=0), "n_rounds": 5},
        "StochasticBatch": {"strategy": MarginSampling()},
    }.get(name, {})


def make_query(name, n, n_classes):
    """A function without arguments that returns the positions of the picks, and the operands of the floor."""
    pool, labeled, y, weight, bias = problem(n, n_classes)
    floor = pool, weight
    model = linear_model(weight, bias)
    if name.startswith("scikit-activeml"):
        return scikit_activeml(name.split()[1], model, pool, labeled, y), floor
    if name.startswith("modAL"):
        from modAL import uncertainty

        ask = getattr(uncertainty, name.split()[1])
        return lambda: np.asarray(ask(model, pool, n_instances=BATCH)).tolist(), floor
    from skal import strategies

    cls, _, how = name.partition(" ")
    strategy = getattr(strategies, cls)(**settings(cls), random_state=0)
    if how == "cold":
        from sklearn.linear_model import LogisticRegression

        from skal.learners import ActiveLearner

        learner = ActiveLearner(LogisticRegression(), strategy)
        return lambda: strategy.select(learner, pool, BATCH)[0].tolist(), floor
    if cls in OPINIONS:
        model = dropout_model(weight, bias)
    return lambda: strategy.select(model, pool, BATCH, X_training=labeled, y_training=y)[0].tolist(), floor


def scikit_activeml(name, model, pool, labeled, y):
    from skactiveml import pool as skactiveml_pool
    from skactiveml.base import SkactivemlClassifier

    class Wrapped(SkactivemlClassifier):
        """The same head for scikit-activeml."""

        def fit(self, X, y, sample_weight=None):
            return self

        def predict_proba(self, X):
            return model.predict_proba(X)

    n_classes = len(model.classes_)
    X = np.concatenate([labeled, pool])
    labels = np.concatenate([y.astype(float), np.full(len(pool), np.nan)])
    more = {"n_classes": n_classes} if name == "ProbCover" else {}
    strategy = getattr(skactiveml_pool, name)(random_state=0, **more)
    more = {"clf": Wrapped(classes=np.arange(n_classes)), "fit_clf": False} if name == "Badge" else {}
    return lambda: (np.asarray(strategy.query(X, labels, batch_size=BATCH, **more)) - len(labeled)).tolist()


def memory(field):
    """MiB of this process: VmRSS is what is resident now, VmHWM the peak."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


def measure(name, n, n_classes, answers):
    """In a process of its own."""
    try:
        answers.put(measured(name, n, n_classes))
    except Exception as error:
        answers.put({"error": f"{type(error).__name__}: {error}"})


def measured(name, n, n_classes):
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    make_query(name, 500, n_classes)[0]()
    query, (pool, weight) = make_query(name, n, n_classes)
    times = []
    for _ in range(7):
        start = time.process_time()
        pool @ weight.T
        times.append(time.process_time() - start)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from the present size
    before, start = memory("VmRSS"), time.process_time()
    picks = query()
    seconds, floor = time.process_time() - start, statistics.median(times)
    extra = memory("VmHWM") - before
    return {
        "cpu_seconds": seconds, "floors": seconds / floor, "floor_seconds": floor, "extra_mib": extra,
        "extra_over_pool": extra * 2**20 / pool.nbytes, "picks": picks,
    }  # fmt: skip


def serve():
    """Answer tasks from the standard input, one line of JSON each; imports happen once."""
    import modAL.uncertainty  # noqa: F401

    import skal.learners
    import skal.strategies  # noqa: F401

    with contextlib.suppress(ImportError):
        import skactiveml.pool  # noqa: F401
    context = multiprocessing.get_context("fork")
    print("{}", flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        if task == "names":
            print(json.dumps(names()), flush=True)
            continue
        answers = context.Queue()
        process = context.Process(target=measure, args=(task["name"], task["n"], task["classes"], answers))
        process.start()
        answer, start = {"error": "stopped"}, time.perf_counter()
        while time.perf_counter() - start < task["timeout"]:
            try:
                answer = answers.get(timeout=0.2)
                break
            except queue.Empty:
                if not process.is_alive():
                    answer = {"error": f"exit code {process.exitcode}"}
                    break
        process.terminate()
        process.join()
        print(json.dumps(answer), flush=True)


class Server:
    """A process that has imported one tree of skal."""

    def __init__(self, tree):
        path = os.pathsep.join([str(tree), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": path}, stderr=None,
        )  # fmt: skip
        self.read()

    def read(self):
        # Whatever else is printed is no JSON.
        while line := self.process.stdout.readline():
            try:
                return json.loads(line)
            except json.JSONDecodeError:
                continue
        raise RuntimeError("A measuring process has ended.")

    def ask(self, task):
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        return self.read()


def tasks(options, measured):
    for n_classes in options.classes:
        last = {}
        for n in sorted(options.sizes):
            for name in measured:
                if (
                    n > LARGEST.get(name, n)
                    or last.get(name, (0, 1))[0] * n / last.get(name, (0, 1))[1] > options.limit
                ):
                    continue
                seconds = yield name, n, n_classes
                last[name] = (seconds, n)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 50_000, 200_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--names", nargs="+", help="strategies and contenders; all of them by default")
    parser.add_argument("--limit", type=float, default=60)
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--base", type=Path, help="another working tree of skal")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="write the guide's table, of 100 classes, from --out")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    if options.table:
        return write_table(options)
    ours = Server(ROOT)
    base = Server(options.base) if options.base else None
    measured = options.names or [*ours.ask("names"), *CONTENDERS]
    rows, ask = [], tasks(options, measured)
    known = {}
    try:
        task = next(ask)
        while True:
            row = dict(zip(("name", "n", "classes"), task))
            found = {True: [], False: []}
            for _ in range(options.repeat):
                for server in filter(None, (ours, None if row["name"] in CONTENDERS else base)):
                    found[server is ours].append(server.ask({**row, "timeout": options.timeout}))
            row |= summary(found[True])
            picks = found[True][0].get("picks")
            if found[False] and "error" not in row and not any("error" in answer for answer in found[False]):
                there = summary(found[False])
                row["base_cpu_seconds"] = there["cpu_seconds"]
                row["times_faster"] = there["cpu_seconds"] / row["cpu_seconds"]
                row["same_picks"] = len({*picks} & {*found[False][0]["picks"]})
            rival = known.get((CONTENDERS.get(row["name"]), *task[1:]))
            if rival and "error" not in row:
                row["over_skal"] = row["cpu_seconds"] / rival["cpu_seconds"]
                row["memory_over_skal"] = row["extra_mib"] / max(rival["extra_mib"], 1)
                if CONTENDERS[row["name"]] in SAME_PICKS:
                    row["same_picks"] = len({*picks} & {*rival["picks"]})
            known[task] = {**row, "picks": picks}
            rows.append({k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()})
            print(json.dumps(rows[-1]), flush=True)
            if options.out:
                save(rows, options)
            task = ask.send(row.get("cpu_seconds", float("inf")))
    except StopIteration:
        return 0


def summary(answers):
    """Medians over the repeats."""
    bad = [answer["error"] for answer in answers if "error" in answer]
    if bad:
        return {"error": bad[0]}
    return {key: statistics.median(answer[key] for answer in answers) for key in answers[0] if key != "picks"}


def save(rows, options):
    setting = {"d": D, "batch": BATCH, "labeled_per_class": PER_CLASS, "dtype": "float32", "repeat": options.repeat}
    setting["threads"] = os.environ.get("OMP_NUM_THREADS", "default")
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    options.out.write_text(f'{{"setting": {json.dumps(setting)},\n "rows": [\n  {lines}\n]}}\n')


def write_table(options):
    """One line a strategy: floors at each size with 100 classes, and seconds and memory at the largest."""
    rows = [row for row in json.loads(options.out.read_text())["rows"] if "error" not in row]
    sizes = sorted({row["n"] for row in rows})
    of = {(row["name"], row["n"]): row for row in rows if row["classes"] == 100}
    with open(options.table, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", *(f"floors at {n:,}" for n in sizes), "CPU s at 50,000", "MiB at 50,000"])
        for name in dict.fromkeys(name for name, _ in of):
            cls, _, how = name.partition(" ")
            label = name if name in CONTENDERS else f"`{cls}`" + (f", {how}" if how else "")
            floors = [of.get((name, n), {}).get("floors") for n in sizes]
            cells = ["" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}" for value in floors]
            large = of.get((name, 50_000))
            more = [f"{large['cpu_seconds']:.2f}", f"{large['extra_mib']:.0f}"] if large else ["", ""]
            writer.writerow([label, *cells, *more])
    return 0


if __name__ == "__main__":
    sys.exit(main())
