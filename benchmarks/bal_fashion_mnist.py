"""BAL beside random, least confidence and PT4AL on FashionMNIST: learning curves and paired intervals.

    python benchmarks/bal_fashion_mnist.py --data-root data --out benchmarks/results/bal_fashion_mnist.json

For each seed: 10,000 of the training images are the pool, one rotation network is trained on them, and every strategy
runs on that pool with the same model seed. Random and least confidence begin with the same random set, BAL and PT4AL
with their own first selection, as in BAL's paper. Two budgets, scaled down from the paper's: "small" 5 rounds of 2 %
(as in the paper), "base" 4 % and then 6 rounds of 2 % (the paper: 10 % and 6 of 5 %), with the balancing factors that
the authors chose for CIFAR-10, 1.0 and 1.2. The model is a CNN of 8 and 16 channels, trained from scratch in each round
and scored on the first 4,000 test images.

The results are written after each seed; a file that is there is gone on with.
"""

import argparse
import functools
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.frozen import FrozenEstimator

from skal.experiments._data import load_data
from skal.experiments._models import SmallCNN
from skal.experiments._statistics import mean_interval, summarize, verdict
from skal.meta import ActiveLearningClassifier
from skal.metrics import area_under_learning_curve, labeled_imbalance
from skal.nets import DeepClassifier, RotationPretext
from skal.strategies import BAL, PT4AL, LeastConfidence, RandomSampling

BUDGETS = {
    "small": {"n_initial": 200, "n_instances": 200, "n_queries": 4, "beta": 1.0},
    "base": {"n_initial": 400, "n_instances": 200, "n_queries": 6, "beta": 1.2},
}


def strategies(rotation, beta):
    pretext = FrozenEstimator(rotation)
    return {
        "random": (RandomSampling(), None),
        "least confidence": (LeastConfidence(), None),
        "PT4AL": (PT4AL(pretext=pretext), "query_strategy"),
        "BAL, rotation": (BAL(pretext=pretext, n_clusters=10, beta=beta), "query_strategy"),
        "BAL, raw pixels": (BAL(n_clusters=10, beta=beta), "query_strategy"),
    }


def one_seed(seed, data, n_pool, epochs):
    subset = np.random.default_rng([seed, 1]).permutation(len(data.y))[:n_pool]
    X, y = data.X[subset], data.y[subset]
    started = time.perf_counter()
    rotation = RotationPretext(
        # Not an instance, whose first weights would not be those of the seed.
        functools.partial(SmallCNN, width=8),
        max_epochs=4,
        lr=0.05,
        lr_steps=(3,),
        batch_size=64,
        device="cpu",
        random_state=seed,
    ).fit(X)
    pretext = {"seed": seed, "seconds": time.perf_counter() - started, "losses": rotation.losses_}
    net = DeepClassifier(
        SmallCNN, module__width=8, optimizer=torch.optim.Adam, lr=3e-3, max_epochs=epochs, batch_size=32,
        classes=range(10), device="cpu",
    )  # fmt: skip
    rows = []
    for budget, plan in BUDGETS.items():
        plan = dict(plan)
        for name, (strategy, init) in strategies(rotation, plan.pop("beta")).items():
            al = ActiveLearningClassifier(net, strategy, init_strategy=init, random_state=seed, **plan)
            al.fit(X, y, eval_set=(data.X_test, data.y_test))
            for step in al.history_:
                labeled = al.queried_idx_[: step["n_labels"]]
                rows.append(
                    {
                        "budget": budget,
                        "strategy": name,
                        "seed": seed,
                        "round": step["round"],
                        "n_labels": step["n_labels"],
                        "accuracy": step["score"],
                        "imbalance": labeled_imbalance(y[labeled], 10),
                        "fit_seconds": round(step["fit_seconds"], 3),
                        "query_seconds": round(step["query_seconds"], 4),
                    }
                )
            print(f"seed {seed} {budget} {name}: {[round(s['score'], 4) for s in al.history_]}", flush=True)
    return rows, pretext


def areas(runs):
    return np.array(
        [
            area_under_learning_curve(run["n_labels"].to_numpy(float), run["accuracy"].to_numpy(float))
            for _, run in runs.sort_values("round").groupby("seed", sort=True)
        ]
    )


def report(rows):
    """Mean curves, differences to random, and the paired differences of BAL to each of the others."""
    found = {}
    for budget, results in pd.DataFrame(rows).groupby("budget", sort=False):
        summary = summarize(results.drop(columns="budget"), "random")
        curves = results.groupby(["strategy", "n_labels"], sort=False)["accuracy"].mean()
        last = results[results["round"] == results["round"].max()].sort_values("seed")
        own = dict(list(results.groupby("strategy", sort=False)))
        pairs = []
        for first, second in (
            ("BAL, rotation", "random"),
            ("BAL, rotation", "least confidence"),
            ("BAL, rotation", "PT4AL"),
            ("BAL, rotation", "BAL, raw pixels"),
            ("BAL, raw pixels", "random"),
            ("PT4AL", "random"),
            ("least confidence", "random"),
        ):
            final = {n: last[last["strategy"] == n]["accuracy"].to_numpy() for n in (first, second)}
            for measure, difference in (
                ("area", areas(own[first]) - areas(own[second])),
                ("final accuracy", final[first] - final[second]),
            ):
                interval = mean_interval(difference)
                pairs.append(
                    {
                        "difference": f"{first} - {second}",
                        "of": measure,
                        "mean": interval.mean,
                        "low": interval.low,
                        "high": interval.high,
                        "verdict": verdict(interval),
                    }
                )
        found[budget] = {
            "curves": {
                name: {int(n): round(float(a), 4) for n, a in curves[name].items()} for name in own
            },
            "labels_saved": summary["labels_saved"].round(1).to_dict(),
            "imbalance": summary["imbalance"].round(3).to_dict(),
            "query_seconds": summary["query_seconds"].round(3).to_dict(),
            "pairs": pairs,
        }  # fmt: skip
    return found


def without_nan(found):
    """JSON has no NaN: with one seed there is no interval."""
    if isinstance(found, dict):
        return {key: without_nan(value) for key, value in found.items()}
    if isinstance(found, list):
        return [without_nan(value) for value in found]
    return None if isinstance(found, float) and np.isnan(found) else found


def write(path, found, rows):
    """One line for each row."""
    head = json.dumps(without_nan(found), indent=1)[: -len("\n}")]
    lines = ",\n  ".join(json.dumps(without_nan(row)) for row in rows)
    path.write_text(f'{head},\n "runs": [\n  {lines}\n ]\n}}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default=os.environ.get("SKAL_DATA", "../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pool", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data("fashion_mnist", options.data_root)
    data = data._replace(X_test=data.X_test[:4000], y_test=data.y_test[:4000])
    settings = {"pool": options.pool, "epochs": options.epochs, "budgets": BUDGETS}
    stored = json.loads(options.out.read_text()) if options.out.exists() else {"settings": settings, "runs": []}
    if stored["settings"] != settings:
        parser.error(f"{options.out} holds results of other settings")
    rows, pretexts = stored["runs"], stored.get("pretext", [])
    for seed in range(options.seeds):
        if not any(row["seed"] == seed for row in rows):
            new, pretext = one_seed(seed, data, options.pool, options.epochs)
            rows, pretexts = rows + new, [*pretexts, pretext]
            write(options.out, {"settings": settings, "summary": report(rows), "pretext": pretexts}, rows)
    print(json.dumps(report(rows), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
