"""DM2 against DM2-AT on clean, FGSM and corrupted test images.

    python benchmarks/dm2_robustness.py --data fashion_mnist --data-root ../shared/data
    python benchmarks/dm2_robustness.py --regime paper --seeds 3 ...

--regime paper: pools of 10,000, 1,000 + 4 x 500 labels and the network of published_networks.py, trained to
convergence. --regime small, the default: that of dm2_images.py (a narrow CNN, 20 epochs, pools of 2,000, 50 + 5 x 50
labels). Both are judged on 1,000 test images with all their labels, and are paired: all learners start from the same
samples with the same network.

"DM2" trains a plain network; "DM2-AT" keeps one copy of each queried sample, crafted from the predicted label ("true":
from the true one); "DM2, FGSM training" queries by DM2 and trains an AdversarialClassifier, whose copies are
crafted anew in every step. Copies are further rows, so that DM2-AT takes up to twice as many steps of training: "copies
unmoved" is DM2-AT with an epsilon of 0, the same steps on copies that equal their samples. Differences to the first
of `--learners`, with 95 % t intervals over seeds. Each run is a line of a file in --work, and is not run again.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from dm2_images import network
from published_networks import network as converged
from published_tabular import keep, read, write_figures

from skal.experiments._data import load_data
from skal.experiments._statistics import mean_interval, verdict
from skal.learners import ActiveLearner, DM2ATLearner, simulate
from skal.metrics import corruption_report, fgsm_accuracy
from skal.nets import AdversarialClassifier
from skal.strategies import DM2

ROOT = Path(__file__).resolve().parent.parent
EPSILONS = (2 / 255, 8 / 255)
SHOWN = ("clean", "fgsm 2/255", "fgsm 8/255", "corrupted")
REGIMES = {
    "small": {"n_pool": 2000, "n_initial": 50, "n_instances": 50, "n_queries": 5},
    "paper": {"n_pool": 10_000, "n_initial": 1000, "n_instances": 500, "n_queries": 4},
}


def learners(net, seed, start):
    """Each learner, trained on its first samples."""
    adversarial = AdversarialClassifier(epsilon=8 / 255, **net.get_params(deep=False))

    def plain(estimator):
        return ActiveLearner(estimator, DM2(random_state=seed), *start)

    def with_copies(**params):
        return DM2ATLearner(network_like(net), DM2(random_state=seed), *start, **params)

    return {
        "DM2": lambda: plain(network_like(net)),
        "DM2-AT": lambda: with_copies(epsilon=8 / 255),
        "DM2-AT, true": lambda: with_copies(epsilon=8 / 255, label="true"),
        "copies unmoved": lambda: with_copies(epsilon=0),
        "DM2, FGSM training": lambda: plain(adversarial),
    }


def network_like(net):
    return type(net)(**net.get_params(deep=False))


def judge(learner, X, y):
    figures = {"clean": float(np.mean(learner.predict(X) == y))}
    for epsilon in EPSILONS:
        figures[f"fgsm {round(epsilon * 255)}/255"] = fgsm_accuracy(learner, X, y, epsilon)
    report = corruption_report(learner, X, y)
    corrupted = report[report["corruption"] != "none"]
    figures |= corrupted.groupby("corruption", sort=False)["accuracy"].mean().to_dict()
    figures["corrupted"] = float(corrupted["accuracy"].mean())
    return figures


def run(make, pool, X, y, test, plan):
    learner = make()
    for _ in simulate(learner, X, y, pool=pool, n_instances=plan["n_instances"], n_queries=plan["n_queries"]):
        pass
    return judge(learner, *test)


def measured(options):
    """{learner: {seed: figures}}, from the file of finished runs and what is missing there."""
    file = options.work / "robustness.jsonl"
    options.work.mkdir(parents=True, exist_ok=True)
    found = {}
    for kept in read(file):
        if (kept["data"], kept["regime"]) == (options.data, options.regime):
            found.setdefault(kept["learner"], {})[kept["seed"]] = kept["figures"]
    X, y, X_test, y_test = load_data(options.data, options.data_root)
    rows = np.random.default_rng(0).permutation(len(y_test))[:1000]
    plan = REGIMES[options.regime]
    options.labels, options.channels, options.full = y, X.shape[1], False
    for seed in range(options.seeds):
        drawn = np.random.default_rng([seed, 1]).choice(len(y), plan["n_pool"], replace=False)
        initial, pool = drawn[: plan["n_initial"]], drawn[plan["n_initial"] :]
        net = (network(X, y) if options.regime == "small" else converged(options)).set_params(random_state=seed)
        makers = learners(net, seed, (X[initial], y[initial]))
        for name in options.learners:
            if seed in found.get(name, {}):
                continue
            figures = run(makers[name], pool, X, y, (X_test[rows], y_test[rows]), plan)
            found.setdefault(name, {})[seed] = figures
            made = {"data": options.data, "regime": options.regime, "learner": name, "seed": seed, "figures": figures}
            keep(file, made)
            print(seed, name, {key: round(value, 3) for key, value in figures.items()}, flush=True)
    return {name: [found[name][seed] for seed in range(options.seeds)] for name in options.learners}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion_mnist", choices=["fashion_mnist", "cifar10"])
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--regime", choices=list(REGIMES), default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--learners", nargs="+", default=["DM2", "DM2-AT", "DM2-AT, true", "DM2, FGSM training"], metavar="NAME"
    )
    parser.add_argument("--work", type=Path, default=Path("skal-results") / "published", help="finished runs")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = measured(options)
    first = options.learners[0]
    report = {"data": options.data, "regime": options.regime, "seeds": options.seeds, "mean_accuracy": {}}
    tables = {name: {key: np.array([row[key] for row in of]) for key in of[0]} for name, of in figures.items()}
    # The control of DM2-AT's further steps is compared with, too.
    for base in dict.fromkeys([first, *{"copies unmoved"} & {*tables}]):
        report[f"minus_{base}"] = {
            name: {key: compared(values - tables[base][key]) for key, values in table.items()}
            for name, table in tables.items()
            if name != base
        }
    rows = []
    for name, table in tables.items():
        report["mean_accuracy"][name] = {key: round(float(values.mean()), 4) for key, values in table.items()}
        cells = [f"{100 * table[key].mean():.1f}" for key in SHOWN]
        if name != first:
            of = [report[f"minus_{first}"][name][key] for key in SHOWN]
            differences = (100 * np.array([one["difference"], *one["interval"]]) for one in of)
            cells = [
                "{}, {:+.1f} [{:+.1f}, {:+.1f}] {}".format(cell, *values, one["verdict"])
                for cell, values, one in zip(cells, differences, of)
            ]
        rows.append([name, str(options.seeds), *cells])
    report["runs"] = {name: [{k: round(v, 4) for k, v in run.items()} for run in of] for name, of in figures.items()}
    print(json.dumps(report, indent=2))
    if options.regime == "paper":
        name = f"dm2_at_{options.data}"
        write_figures(options, name, report, **{name: [["learner", "seeds", *SHOWN], *rows]})
    else:
        file = options.results / f"dm2_robustness_{options.data}.json"
        file.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def compared(differences):
    interval = mean_interval(differences)
    return {
        "difference": round(interval.mean, 4),
        "interval": [round(interval.low, 4), round(interval.high, 4)],
        "verdict": verdict(interval),
    }


if __name__ == "__main__":
    sys.exit(main())
