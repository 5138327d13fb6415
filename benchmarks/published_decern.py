"""DECERN's claim and its ablation in the paper's protocol, on photos of groceries through frozen backbones.

    python benchmarks/published_decern.py [--backbone efficientnet squeezenet] [--k 1 2] [--seeds 20]
        [--efficientnet FOLDER]

arXiv 2509.24181, table 1: eight cycles of K times the number of classes, the first drawn at random; the head of a
frozen backbone, reset in each cycle and trained for 200 epochs by Adam at 1e-3 with five epochs of warm-up and a cosine
schedule, batches of 128. Here the photos are GroceryStore-128 (81 classes, 2,640 in the pool, 2,485 for testing) and
the features those of EfficientNet-Lite0 (1,280, at 224 x 224) and SqueezeNet (512); see baselines_accuracy.py. The
rows of the paper's ablation stand beside the method: without confusion, without discrepancy, diversity only,
uncertainty only, without weights, without clustering (xi = 0), without calibration (xi = 1); so do the rivals of
table 1. The paper has 5 seeds.

Runs are kept under --work and resumed; figures and tables are written from the seeds that all strategies have.
"""

import argparse
import math
import sys

import numpy as np
import torch
from baselines_accuracy import add_arguments, grocery_efficientnet, grocery_squeezenet, network, prepare
from published_tabular import write_figures
from skorch.callbacks import LRScheduler

from skal.experiments import compare
from skal.experiments._statistics import mean_interval
from skal.metrics import area_under_learning_curve
from skal.strategies import (
    BALQUE,
    DECERN,
    ActiveFT,
    ALFAMix,
    CoreGCN,
    CoreSet,
    KMeansSampling,
    NoiseStability,
    RandomSampling,
)
from skal.utils._arrays import class_means, top_k

N_CLASSES, N_CYCLES, EPOCHS, WARM_UP, FLOOR = 81, 8, 200, 5, 1e-2
BACKBONES = {"efficientnet": (grocery_efficientnet, 1280), "squeezenet": (grocery_squeezenet, 512)}
# Final accuracy after eight cycles on Caltech101 with ResNet50, one and two samples per class and cycle.
PUBLISHED = {
    "RandomSampling": (74.14, 82.93), "DECERN": (82.95, 88.49), "diversity only": (80.73, 87.08),
    "without confusion": (82.10, 88.25), "without discrepancy": (82.43, 88.16), "uncertainty only": (81.53, 88.18),
    "without weights": (82.39, 88.18), "without clustering": (81.27, 88.43), "without calibration": (82.94, 88.04),
    "KMeansSampling": (76.50, 82.95), "CoreSet": (78.92, 87.46), "CoreGCN": (76.68, 86.26), "ActiveFT": (74.39, 82.38),
    "BALQUE": (81.86, 87.97), "NoiseStability": (77.50, 87.51), "ALFAMix": (82.60, 88.18),
}  # fmt: skip


def rate(epoch):
    """Share of the learning rate: warm-up from 1e-3 of it, then a cosine down to a hundredth."""
    if epoch < WARM_UP:
        return 1e-3 + (1 - 1e-3) * epoch / WARM_UP
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * epoch / EPOCHS)) / 2


class UncertaintyOnly(DECERN):
    """The highest scores."""

    def _query(self, pool, n_instances, rng):
        scores = self._checked_scores(pool, rng)
        chosen = top_k(scores, n_instances)
        return chosen, scores[chosen]


class DiversityOnly(DECERN):
    """The whole pool is clustered, without weights."""

    def _score(self, pool, rng):
        return np.ones(len(pool))

    def _query(self, pool, n_instances, rng):
        chosen = self._pick(pool, np.arange(len(pool)), np.ones(len(pool)), n_instances, rng)
        return chosen, np.ones(n_instances)


class WithoutWeights(DECERN):
    """Candidates are clustered without weights."""

    def _pick(self, pool, candidates, weights, n_instances, rng):
        return super()._pick(pool, candidates, np.ones_like(weights), n_instances, rng)


class OneTerm(DECERN):
    """One of the two terms of eq. 8 alone, with dense mixtures."""

    confusion = True

    def _score(self, pool, rng):
        with torch.no_grad():
            return self._one_term(pool)

    def _one_term(self, pool):
        weight, bias = (torch.as_tensor(np.asarray(a), dtype=torch.float32) for a in (pool.head.weight, pool.head.bias))
        z, proba = (torch.as_tensor(a, dtype=torch.float32) for a in (pool.embeddings, pool.proba))
        y, n_classes = pool.labeled.y_encoded, proba.shape[1]
        anchors, anchor_proba = (
            torch.as_tensor(class_means(a, y, n_classes), dtype=torch.float32)
            for a in (pool.labeled.embeddings, pool.labeled.proba)
        )
        gradient = (proba - torch.nn.functional.one_hot(proba.argmax(1), n_classes)) @ weight
        n_bins = min(self.n_bins, z.shape[1])
        bins = torch.nn.functional.adaptive_avg_pool1d(gradient[:, None], n_bins)[:, 0]
        chosen = torch.zeros_like(bins).scatter_(1, bins.topk(round(self.mask_ratio * n_bins)).indices, 1.0)
        mask = chosen[:, torch.arange(z.shape[1]) * n_bins // z.shape[1]]
        share, total = mask.mean(1, keepdim=True), torch.zeros(len(z))
        for j in range(n_classes):
            alpha = proba[:, j : j + 1].clamp(self.alpha_clip, 1 - self.alpha_clip)
            cosine = torch.nn.functional.cosine_similarity(z, anchors[j : j + 1], dim=1)
            beta = ((1 - cosine) / 2).clamp(0, 1)
            log_p = (torch.softmax((z + mask * alpha * (anchors[j] - z)) @ weight.T + bias, 1) + 1e-10).log()
            if self.confusion:
                total += 2 * (-(log_p.exp() * log_p).sum(1)).clamp(min=0) ** (1 - beta)
                continue

            def against(share_of_anchor, log_p=log_p, beta=beta, j=j):
                q = (1 - share_of_anchor) * proba + share_of_anchor * anchor_proba[j]
                return (-(q * log_p).sum(1)).clamp(min=0) ** beta

            r = share[:, 0]
            total += (1 - r) * against(torch.zeros_like(alpha)) + r * against(alpha) + against(share * alpha)
        return (total / n_classes).numpy().astype(np.float64)


class WithoutDiscrepancy(OneTerm):
    """Confusion alone."""


class WithoutConfusion(OneTerm):
    """Discrepancy alone."""

    confusion = False


STRATEGIES = {
    "RandomSampling": RandomSampling(), "DECERN": DECERN(), "without confusion": WithoutConfusion(),
    "without discrepancy": WithoutDiscrepancy(), "diversity only": DiversityOnly(),
    "uncertainty only": UncertaintyOnly(), "without weights": WithoutWeights(), "without clustering": DECERN(xi=0.0),
    "without calibration": DECERN(xi=1.0), "ALFAMix": ALFAMix(), "CoreSet": CoreSet(),
    "KMeansSampling": KMeansSampling(), "BALQUE": BALQUE(), "NoiseStability": NoiseStability(), "ActiveFT": ActiveFT(),
    "CoreGCN": CoreGCN(),
}  # fmt: skip


def by_seed(results, name):
    """{what: its values, by seed} of one strategy; accuracy and the imbalance of classes after the last cycle."""
    of = results[results["strategy"] == name]
    accuracy, imbalance = (
        of.pivot(index="seed", columns="n_labels", values=value).sort_index() for value in ("accuracy", "imbalance")
    )
    areas = [area_under_learning_curve(accuracy.columns.to_numpy(float), row) for row in accuracy.to_numpy()]
    return {"last": accuracy.to_numpy()[:, -1], "area": np.array(areas), "imbalance": imbalance.to_numpy()[:, -1]}


def run(backbone, k, options):
    load, n_features = BACKBONES[backbone]
    (X, X_test), (y, y_test) = load(options.work)
    net = network(
        torch.nn.Linear, N_CLASSES, module__in_features=n_features, max_epochs=EPOCHS, lr=1e-3, batch_size=128,
        callbacks=[("schedule", LRScheduler(policy="LambdaLR", lr_lambda=rate))],
    )  # fmt: skip
    chosen = {name: STRATEGIES[name] for name in options.only or STRATEGIES}
    found = compare(
        chosen, net, X, y, X_test, y_test, n_initial=k * N_CLASSES, n_instances=k * N_CLASSES,
        n_queries=N_CYCLES - 1, seeds=options.seeds, n_jobs=1, progress=True,
        out=options.work / f"decern_{backbone}_{k}",
    )  # fmt: skip
    print(found.table())
    summary, rows = found.summary(), []
    values = {name: by_seed(found.results, name) for name in summary.index}
    record = {"backbone": backbone, "k": k, "seeds": options.seeds, "n_test": len(y_test), "strategies": {}}
    for name in summary.index:
        of = found.results[found.results["strategy"] == name]
        table = of.pivot(index="seed", columns="n_labels", values="accuracy")
        line = summary.loc[name]
        record["strategies"][name] = {
            "accuracy": table.round(5).to_numpy().tolist(),
            **{
                key: line[key] if isinstance(line[key], str) else round(float(line[key]), 5)
                for key in ("final", "final_difference", "final_low", "final_high", "final_verdict", "area",
                            "area_difference", "area_low", "area_high", "area_verdict")
                if line[key] == line[key]
            },
        }  # fmt: skip
        theirs = PUBLISHED.get(name, (None, None))[k - 1]
        gain = "" if theirs is None else f"{theirs - PUBLISHED['RandomSampling'][k - 1]:+.2f}"
        cells = [f"{100 * line['final']:.2f}"]
        for first, second in ((name, "RandomSampling"), ("DECERN", name)):
            for what in ("last", "area"):
                if first == second or {first, second} - {*values}:
                    cells.append("")
                    continue
                interval = mean_interval(100 * (values[first][what] - values[second][what]))
                cells.append("{:+.2f} [{:+.2f}, {:+.2f}]".format(*interval[:3]))
                if first == "DECERN":
                    record["strategies"][name][f"DECERN over it, {what}"] = [round(v, 3) for v in interval[:3]]
        record["strategies"][name]["imbalance"] = values[name]["imbalance"].round(5).tolist()
        cells.append(f"{100 * values[name]['imbalance'].mean():.1f}")
        label = f"`{name}`" if name.isidentifier() else name
        rows.append([label, "" if theirs is None else f"{theirs:.2f}", gain, *cells])
    heads = ["strategy", "published", "over random", "ours, last", "over random, last", "over random, area"]
    heads += ["DECERN over it, last", "DECERN over it, area", "imbalance, %"]
    name = f"decern_{backbone}_{k}"
    write_figures(options, name, record, **{name: [heads, *rows]})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", nargs="+", choices=list(BACKBONES), default=list(BACKBONES))
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(STRATEGIES), help="of the strategies")
    parser.add_argument("--k", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    add_arguments(parser, "published", seeds=20)
    options = parser.parse_args()
    prepare(options)
    for backbone in options.backbone:
        for k in options.k:
            run(backbone, k, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
