"""Stopping criteria on three tables: the labels that each saves, the score that it loses, how often it stops too early.

    python benchmarks/stopping.py --data ../shared/data [--out FILE]

Letter and banknote (logistic regression on scaled features) and phoneme (a forest of ten trees), with pools of at most
2,000 samples: each of five seeds splits off a test set, starts from 20 labels and goes on by margin sampling, 20 labels
a query, up to 520.
The criteria have their default parameters but where the name says otherwise. A stop that loses more than 0.01 of the
accuracy at the end of the run is a false one. "held out" gives ExpectedGain 500 labelled samples of their own.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.experiments import compare_stopping
from skal.labeling import ClassificationChange, ExpectedGain, OverallUncertainty, StabilizedPredictions
from skal.strategies import MarginSampling

N_EVAL, SEEDS = 500, 5
SIZES = {"n_initial": 20, "n_instances": 20, "n_queries": 25, "seeds": SEEDS, "pool_size": 2000, "tolerance": 0.01}


def tables(folder):
    """Name, estimator, X, y of each table."""
    letter = pd.read_csv(folder / "letter-recognition.data")
    phoneme, banknote = (
        pd.read_csv(folder / f"{name}.csv", header=None) for name in ("phoneme", "banknote_authentication")
    )
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=10, max_iter=300))
    yield "letter", linear, letter.iloc[:, 1:].to_numpy(float), letter.iloc[:, 0].to_numpy(str)
    yield "phoneme", RandomForestClassifier(10), phoneme.iloc[:, :-1].to_numpy(), phoneme.iloc[:, -1].to_numpy()
    yield "banknote", linear, banknote.iloc[:, :-1].to_numpy(), banknote.iloc[:, -1].to_numpy()


def criteria():
    return {
        "OverallUncertainty": OverallUncertainty(),
        "OverallUncertainty, 0.2": OverallUncertainty(threshold=0.2),
        "StabilizedPredictions": StabilizedPredictions(random_state=0),
        "StabilizedPredictions, 0.95": StabilizedPredictions(threshold=0.95, random_state=0),
        "ClassificationChange": ClassificationChange(),
        "ClassificationChange, 1 %": ClassificationChange(tolerance=0.01, patience=3),
        "ExpectedGain": ExpectedGain(random_state=0),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "stopping.json"))
    args = parser.parse_args()
    # With 26 classes and 20 labels.
    warnings.filterwarnings("ignore", message="The number of unique classes")
    results = {}
    for name, estimator, X, y in tables(Path(args.data) / "tabular"):
        started = time.perf_counter()
        X, X_eval, y, y_eval = train_test_split(X, y, test_size=N_EVAL, stratify=y, random_state=0)
        strategy = MarginSampling()
        found = [
            compare_stopping(criteria(), strategy, estimator, X, y, **SIZES),
            compare_stopping(
                {"ExpectedGain, held out": ExpectedGain(random_state=0)},
                strategy, estimator, X, y, X_eval=X_eval, y_eval=y_eval, **SIZES,
            ),
        ]  # fmt: skip
        found = pd.concat(found)
        columns = ["stopped", "n_labels", "labels_saved", "score", "final_score", "score_lost", "false_stop"]
        means = found.groupby("criterion", sort=False)[columns].mean()
        means["largest_loss"] = found.groupby("criterion", sort=False)["score_lost"].max()
        print(f"{name} ({time.perf_counter() - started:.0f} s)\n{means.round(4).to_string()}\n", flush=True)
        results[name] = {
            "seconds": round(time.perf_counter() - started, 1),
            "means": {key: {k: round(v, 4) for k, v in row.items()} for key, row in means.to_dict("index").items()},
            "runs": found.round(4).to_dict("records"),
        }
    Path(args.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
