"""How often does `compare` decide between equals, and does it decide what is there? Simulated curves, real statistics.

Learning curves are made up: a common rise, a level of the seed that all strategies share, and noise of each round. All
strategies are equal (A/A), or one is shifted by two standard deviations of the paired area differences. Each comparison
goes through `Comparison.summary`. Counted are comparisons with a verdict on the area: of one strategy with 5, 8 and 20
runs, of any of five strategies with and without Holm's correction, and the planted difference with ten runs; also with
scores of a test set of 200 samples (which tie) and with heavy-tailed noise. Intervals of shares are Wilson's. Counts go
to ``results/compare_aa.json``.

    python benchmarks/compare_aa.py [--n 200] [--seed 0]
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from scipy import stats

from skal.experiments import Comparison

N_ROUNDS, NOISE, LEVELS = 5, 0.02, 0.03


def noises(kind, rng, shape):
    """Noise of the standard deviation NOISE."""
    if kind == "heavy tails":
        return NOISE * rng.standard_t(3, shape) / 3**0.5
    return rng.normal(0, NOISE, shape)


def comparison(rng, n_runs, shifts, kind, correction):
    """A comparison of strategies with these shifts; the first is the reference."""
    rounds = np.arange(N_ROUNDS + 1)
    rise = 0.85 - 0.4 * np.exp(-rounds / 2) + rng.normal(0, LEVELS, (n_runs, 1))
    frames = []
    for position, shift in enumerate(shifts):
        scores = rise + shift + noises(kind, rng, rise.shape)
        if kind == "200 test samples":
            scores = np.round(200 * scores) / 200
        frames.append(
            pd.DataFrame(
                {
                    "strategy": f"s{position}",
                    "seed": np.repeat(np.arange(n_runs), N_ROUNDS + 1),
                    "round": np.tile(rounds, n_runs),
                    "n_labels": np.tile(20 + 20 * rounds, n_runs),
                    "accuracy": scores.ravel(),
                    "imbalance": 0.0,
                    "query_seconds": 0.0,
                }
            )
        )
    return Comparison(pd.concat(frames, ignore_index=True), "s0", correction=correction)


def deviation_of_areas():
    """Standard deviation of a paired area difference: two areas by the trapezoidal rule, of independent noise."""
    weights = np.full(N_ROUNDS + 1, 1 / N_ROUNDS)
    weights[[0, -1]] /= 2
    return float(NOISE * np.sqrt(2 * np.sum(weights**2)))


def share(words, wanted):
    """How many of these verdicts are wanted, with the 95 % interval of their share."""
    count = int(sum(wanted(word) for word in words))
    interval = stats.binomtest(count, len(words)).proportion_ci(method="wilson")
    return {
        "n": len(words),
        "verdicts": count,
        "share": count / len(words),
        "low": float(interval.low),
        "high": float(interval.high),
    }


def run(n, seed):
    """All counts, by name."""
    rng = np.random.default_rng(seed)
    found = {}
    for kind in ("normal", "200 test samples", "heavy tails"):
        for n_runs in (5, 8, 20):
            rows = [comparison(rng, n_runs, (0, 0), kind, "holm").summary().loc["s1"] for _ in range(n)]
            words = [row["area_verdict"] for row in rows]
            found[f"A/A, {n_runs} runs, {kind}"] = share(words, lambda word: word != "undecided")
            exact = [row["area_exact_p"] for row in rows]
            found[f"A/A, {n_runs} runs, {kind}, exact test"] = share(exact, lambda p: p < 0.05)
        for correction in ("holm", None):
            words = [
                set(comparison(rng, 8, (0,) * 6, kind, correction).summary()["area_verdict"]) - {"reference"}
                for _ in range(n)
            ]
            name = f"A/A, any of five strategies, 8 runs, {kind}, correction {correction}"
            found[name] = share(words, lambda each: each != {"undecided"})
        shift = 2 * deviation_of_areas()
        for sign, word in ((1, "better"), (-1, "worse")):
            words = [
                comparison(rng, 10, (0, sign * shift), kind, "holm").summary()["area_verdict"]["s1"] for _ in range(n)
            ]
            found[f"planted, two standard deviations {word}, 10 runs, {kind}"] = share(words, word.__eq__)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begun = time.monotonic()
    counts = run(arguments.n, arguments.seed)
    for name, row in counts.items():
        print(f"{row['share']:7.3f} [{row['low']:.3f}, {row['high']:.3f}]  {name}")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    record = {
        "command": f"python benchmarks/compare_aa.py --n {arguments.n} --seed {arguments.seed}",
        "seconds": round(time.monotonic() - begun),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "shares": counts,
    }
    (results / "compare_aa.json").write_text(json.dumps(record, indent=1) + "\n")
