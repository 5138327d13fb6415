"""The strategies that independent benchmarks put in front, on features and pixels, paired over ten seeds.

    python benchmarks/frontrunners_accuracy.py [--data digits fashion grocery_squeezenet grocery_efficientnet]
        [--efficientnet FOLDER] [--seeds 10]

MaxHerding, UncertaintyHerding, BAIT, DropQuery, ClusterMargin and StochasticBatch beside random and margin sampling,
BADGE, TypiClust and DECERN, all with their defaults; EPIG, which wants several opinions and whose cost grows with the
square of the classes, on FashionMNIST alone. GroceryStore-128, through two frozen backbones, and FashionMNIST are those
of baselines_accuracy.py, digits are scikit-learn's, with logistic regression. Nothing was tuned to
the result.
"""

import argparse
import sys

from baselines_accuracy import TASKS, add_arguments, prepare, run
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skal.strategies import (
    BADGE,
    BAIT,
    DECERN,
    EPIG,
    ClusterMargin,
    DropQuery,
    MarginSampling,
    MaxHerding,
    RandomSampling,
    StochasticBatch,
    TypiClust,
    UncertaintyHerding,
)


def chosen(task):
    strategies = [
        RandomSampling(), MarginSampling(), BADGE(), TypiClust(), DECERN(), MaxHerding(), UncertaintyHerding(), BAIT(),
        DropQuery(), ClusterMargin(), StochasticBatch(MarginSampling()),
    ]  # fmt: skip
    if task == "fashion":
        strategies.append(EPIG())
    return {type(strategy).__name__: strategy for strategy in strategies}


def digits(work):
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.5, random_state=0, stratify=y)
    return [X, X_test], (y, y_test)


SPECS = {
    "digits": {
        "load": digits,
        "net": lambda: LogisticRegression(max_iter=1000),
        "plan": {"n_initial": 10, "n_instances": 10, "n_queries": 9},
        "title": "digits",
    },
    **TASKS,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=list(SPECS), default=list(SPECS))
    add_arguments(parser, "frontrunners")
    options = parser.parse_args()
    prepare(options)
    for task in options.data:
        run(
            task, SPECS[task], chosen(task), options, file="frontrunners_accuracy_{}.json", part="frontrunners_{}"
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
