"""DM2, UFFM and BAL in the regimes of their papers: hundreds of labels a round, a network trained to convergence.

    python benchmarks/published_networks.py dm2 [--data fashion_mnist cifar10] [--seeds 5] [--only NAME ...]
    python benchmarks/published_networks.py uffm bal [--page] [--full --device cuda]

For each seed: 10,000 training images are the pool, and every strategy runs on it with the same model seed, from the
same random set, but for BAL and PT4AL in "bal", which begin with their own first selection, as in BAL's paper. The
network has two convolutions (three for CIFAR-10) with batch normalization and is trained from scratch in each round, 20
epochs of Adam with a cosine schedule, after which it knows its labels by heart; it is scored on all test images.

dm2: 1,000 labels and then 500 a round, as in the paper's larger cycles; mean and mixup, mixing weights 0.5, 0.7 and
0.9, one and five neighbours, neighbours alike and by distance.
uffm: 5 % of the pool a cycle. "entropy, 1.2 times" labels 20 % more a cycle, which is what the paper's algorithm 1 does
when it is read to the letter; its curve is compared at equal numbers of labels.
bal: 10 % and then six times 5 % (FashionMNIST), 10 % and four times 10 % (CIFAR-10), rotation networks of 12 epochs;
the samplers of the paper's section 5.4, the orders of 5.2 and 5.3, the labels of the rotation task of 5.1.

--full takes the paper's sizes, all of the training images, ResNet18 and 200 epochs, which needs a GPU; the rotation
networks stay small. Each run is a line of a file in --work, and is not run again; --page writes figures and tables from
the runs that are there.
"""

import argparse
import functools
import os
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from baselines_accuracy import ROOT
from published_tabular import keep, read, write_figures
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import LRScheduler
from torch import nn

from skal.experiments._data import load_data
from skal.experiments._statistics import mean_interval, verdict
from skal.meta import ActiveLearningClassifier
from skal.nets import DeepClassifier, RotationPretext
from skal.strategies import (
    BAL,
    DM2,
    PT4AL,
    UFFM,
    EntropySampling,
    LeastConfidence,
    MarginSampling,
    PatraBruzzone,
    RandomSampling,
)

N_POOL, EPOCHS, ROTATION_EPOCHS = 10_000, 20, 12
GOAL = 0.85  # of the accuracies of UFFM's table II the one that all strategies reach


class ConvNet(nn.Module):
    """Convolutions of twice as many channels each, and a hidden layer, whose activations are the embeddings."""

    def __init__(self, n_classes=10, in_channels=1, width=8, n_hidden=64, size=None):
        super().__init__()
        layers, size = [], size or (32 if in_channels == 3 else 28)
        while size > 7:
            layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
            in_channels, width, size = width, 2 * width, size // 2
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Sequential(nn.Linear(in_channels * size**2, n_hidden), nn.ReLU())
        self.head = nn.Linear(n_hidden, n_classes)

    def forward(self, X):
        return self.head(self.hidden(self.features(X)))


def mixed(**params):
    return lambda seed, options: DM2(**params)


def dm2_settings():
    """{name: how to make it}; k = 1 needs no weights of neighbours, and equals mixup with a fixed weight."""
    found = {}
    for weight in (0.5, 0.7, 0.9):
        found[f"DM2 {weight}, 1 neighbour"] = mixed(mixing_weight=weight, n_neighbors=1)
        found[f"DM2 {weight}, 5 alike"] = mixed(mixing_weight=weight, n_neighbors=5)
        found[f"DM2 {weight}, 5 by distance"] = mixed(mixing_weight=weight, n_neighbors=5, neighbor_weights="distance")
        found[f"DM2 mixup {weight}, 5"] = mixed(mixing="mixup", alpha=None, mixing_weight=weight, n_neighbors=5)
    found["DM2 mixup, drawn weight, 5"] = mixed(mixing="mixup", n_neighbors=5)
    return found


def pretext(seed, options, target="rotation"):
    """The rotation network of a seed, trained once."""
    file = options.work / f"pretext_{options.dataset}_{target}_{seed}{'_full' if options.full else ''}.joblib"
    if not file.exists():
        X = options.images[pool_rows(seed, options)]
        module = functools.partial(ConvNet, in_channels=X.shape[1], width=16, size=X.shape[-1])
        fitted = RotationPretext(
            module, target=target, max_epochs=ROTATION_EPOCHS, lr=0.05, lr_steps=(8, 11), batch_size=64,
            device=options.device, random_state=seed,
        ).fit(X)  # fmt: skip
        print(f"rotation network, {target}, seed {seed}: losses {np.round(fitted.losses_, 3).tolist()}", flush=True)
        joblib.dump(fitted, file)
    return FrozenEstimator(joblib.load(file))


def balanced(target="rotation", **params):
    return lambda seed, options: BAL(pretext=pretext(seed, options, target), n_clusters=10, **params)


def plain(strategy):
    return lambda seed, options: strategy


BASE = {"random": plain(RandomSampling()), "least confidence": plain(LeastConfidence())}
STRATEGIES = {
    "dm2": {**BASE, "entropy": plain(EntropySampling()), "margin": plain(MarginSampling()), **dm2_settings()},
    "uffm": {
        "random": BASE["random"],
        "entropy": plain(EntropySampling()),
        "entropy, 1.2 times": plain(EntropySampling()),
        "UFFM, removal": plain(UFFM(EntropySampling())),
        "UFFM, printed": plain(UFFM(EntropySampling(), resampling="printed")),
        "PatraBruzzone": plain(PatraBruzzone(EntropySampling())),
    },
    "bal": {
        **BASE,
        "PT4AL": lambda seed, options: PT4AL(pretext=pretext(seed, options)),
        "BAL": balanced(),
        "BAL, entropy": balanced(sampler="entropy"),
        "BAL, k-means": balanced(sampler="kmeans"),
        "BAL, random": balanced(sampler="random"),
        "BAL, distance to centre": balanced(order_by="distance"),
        "BAL, pretext loss": balanced(order_by="loss"),
        "BAL, descending": balanced(order="descending"),
        "BAL, image labels": balanced("image"),
    },
}
PLANS = {
    ("dm2", "fashion_mnist"): {"n_initial": 1000, "n_instances": 500, "n_queries": 4},
    ("dm2", "cifar10"): {"n_initial": 1000, "n_instances": 500, "n_queries": 4},
    ("uffm", "fashion_mnist"): {"n_initial": 500, "n_instances": 500, "n_queries": 5},
    ("bal", "fashion_mnist"): {"n_initial": 1000, "n_instances": 500, "n_queries": 6},
    ("bal", "cifar10"): {"n_initial": 1000, "n_instances": 1000, "n_queries": 4},
}
# The first of each is what the others are compared with, beside random.
BASES = {"dm2": "least confidence", "uffm": "entropy", "bal": "least confidence"}


def pool_rows(seed, options):
    return np.random.default_rng([seed, 1]).permutation(len(options.labels))[: options.pool]


def network(options):
    epochs = 200 if options.full else EPOCHS
    module = {"module": "resnet18"} if options.full else {"module": ConvNet, "module__in_channels": options.channels}
    return DeepClassifier(
        **module, classes=sorted(set(options.labels.tolist())), optimizer=torch.optim.Adam,
        lr=1e-3 if options.full else 5e-3, batch_size=64, max_epochs=epochs, device=options.device,
        callbacks=[("schedule", LRScheduler(policy="CosineAnnealingLR", T_max=epochs))],
    )  # fmt: skip


def one_run(method, name, seed, options):
    plan = dict(PLANS[method, options.dataset])
    if options.full:
        plan["n_initial"], plan["n_instances"] = (n * options.pool // N_POOL for n in list(plan.values())[:2])
    if name.endswith("1.2 times"):
        plan["n_instances"] = round(1.2 * plan["n_instances"])
    strategy = STRATEGIES[method][name](seed, options)
    own_start = "query_strategy" if isinstance(strategy, (BAL, PT4AL)) else None
    rows, started = pool_rows(seed, options), time.process_time()
    al = ActiveLearningClassifier(network(options), strategy, init_strategy=own_start, random_state=seed, **plan)
    al.fit(options.images[rows], options.labels[rows], eval_set=options.test)
    return {
        "method": method, "data": options.dataset, "strategy": name, "seed": seed, "full": options.full,
        "n_labels": [step["n_labels"] for step in al.history_],
        "accuracy": [round(step["score"], 5) for step in al.history_],
        "query_seconds": round(float(np.nanmean([step["query_seconds"] for step in al.history_])), 3),
        "seconds": round(time.process_time() - started, 1),
    }  # fmt: skip


def area(run, low, high):
    """Mean accuracy between two numbers of labels."""
    at = np.linspace(low, high, 201)
    return float(np.trapezoid(np.interp(at, run["n_labels"], run["accuracy"]), at) / (high - low))


def cycles_to(run, goal=GOAL):
    """After how many cycles, the first set included, a run has reached an accuracy; NaN where it never does."""
    reached = np.maximum.accumulate(run["accuracy"])
    return np.interp(goal, reached, np.arange(1, len(reached) + 1)) if reached[-1] >= goal else np.nan


def described(differences):
    interval = mean_interval(differences)
    return [round(100 * value, 2) for value in (interval.mean, interval.low, interval.high)], verdict(interval)


def page(method, data, runs, options):
    """The figures of one method on one data set: JSON, and a table for the guide."""
    runs = [run for run in runs if (run["method"], run["data"], run["full"]) == (method, data, options.full)]
    if not runs:
        return
    by = {name: {run["seed"]: run for run in runs if run["strategy"] == name} for name in STRATEGIES[method]}
    low = max(run["n_labels"][0] for run in runs)
    high = min(run["n_labels"][-1] for run in runs)
    pool = "all" if options.full else N_POOL
    record = {"method": method, "data": data, "pool": pool, "full": options.full, "strategies": {}}
    rows = []
    for name, own in by.items():
        if not own:
            continue
        seeds = sorted(own)
        curves = np.array([own[seed]["accuracy"] for seed in seeds])
        found = {
            "seeds": seeds, "n_labels": own[seeds[0]]["n_labels"], "accuracy": curves.tolist(),
            "query_seconds": round(float(np.mean([own[seed]["query_seconds"] for seed in seeds])), 3),
        }  # fmt: skip
        cells = [str(len(seeds)), *(f"{100 * curves[:, i].mean():.2f}" for i in (0, len(curves[0]) // 2, -1))]
        for other in ("random", BASES[method]):
            common = [seed for seed in seeds if seed in by[other]]
            if name == other or len(common) < 2:
                cells += ["", ""] if other != "random" else [""]
                continue
            what, decided = described(
                [area(own[seed], low, high) - area(by[other][seed], low, high) for seed in common]
            )
            found[f"area over {other}"] = {"difference": what, "verdict": decided}
            cells += ["{:+.2f} [{:+.2f}, {:+.2f}]".format(*what), *([decided] if other != "random" else [])]
        if method == "bal":
            common = [seed for seed in seeds if seed in by["BAL"]] if name != "BAL" else []
            cells.append("")
            if len(common) > 1:
                less = [area(by["BAL"][seed], low, high) - area(own[seed], low, high) for seed in common]
                found["BAL over it, area"], _ = described(less)
                cells[-1] = "{:+.2f} [{:+.2f}, {:+.2f}]".format(*found["BAL over it, area"])
        if method == "uffm":
            found["cycles"] = round(float(np.mean([cycles_to(own[seed]) for seed in seeds])), 2)
            cells.append(found["cycles"])
        record["strategies"][name] = found
        rows.append([name, *cells])
    other = BASES[method]
    heads = ["strategy", "seeds", "first", "middle", "last", "area over random", f"area over {other}", "verdict"]
    if method == "bal":
        heads.append("BAL over it, area")
    if method == "uffm":
        heads.append(f"cycles to {GOAL}")
    name = f"{method}_{data}{'_full' if options.full else ''}"
    write_figures(options, name, record, **{name: [heads, *rows]})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", choices=list(STRATEGIES))
    parser.add_argument("--data", nargs="+", choices=["fashion_mnist", "cifar10"], default=["fashion_mnist", "cifar10"])
    parser.add_argument("--data-root", default=os.environ.get("SKAL_DATA", "../shared/data"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the strategies")
    parser.add_argument("--page", action="store_true", help="only write figures and tables")
    parser.add_argument("--full", action="store_true", help="the paper's sizes, on a GPU")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=Path("skal-results") / "published")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    file = options.work / "networks.jsonl"
    runs = read(file)
    known = {tuple(run[key] for key in ("method", "data", "strategy", "seed", "full")) for run in runs}
    for method in options.methods:
        for data in options.data:
            if (method, data) not in PLANS:
                continue
            options.dataset, options.pool = data, N_POOL
            if not options.page:
                options.images, options.labels, X_test, y_test = load_data(data, options.data_root)
                if options.full and options.images.shape[1] == 1:  # ResNet18 sees three channels
                    options.images, X_test = (images.repeat(3, axis=1) for images in (options.images, X_test))
                options.test = X_test, y_test
                options.channels = options.images.shape[1]
                options.pool = len(options.labels) if options.full else N_POOL
                for seed in range(options.seeds):
                    for name in options.only or STRATEGIES[method]:
                        if (method, data, name, seed, options.full) in known:
                            continue
                        runs.append(one_run(method, name, seed, options))
                        keep(file, runs[-1])
                        print(data, name, seed, runs[-1]["accuracy"], runs[-1]["seconds"], flush=True)
            page(method, data, runs, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
