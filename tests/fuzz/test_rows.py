"""The generics of containers, and metrics."""

import inspect

import numpy as np
from hypothesis import strategies as st

from skal import metrics, rows

from . import containers, labels, models, parameters
from .profiles import fuzz
from .rules import check_call, number
from .test_queries import in_words

a_container = st.sampled_from([*containers.PLAIN]) | st.sampled_from([*containers.ODD])
INDICES = {
    "some": [0, 2],
    "one": 1,
    "negative": [-1],
    "none": [],
    "slice": slice(1, 3),
    "mask": np.arange(5) % 2 == 0,
    "short mask": np.array([True]),
    "outside": [99],
    "floats": [0.5],
    "words": ["a"],
    "None": None,
    "2-D": [[0, 1]],
    "uint8": np.array([1, 3], dtype=np.uint8),
    "repeated": [1, 1, 1],
    "far": [10**30],
}
ONE = ["n_rows", "row_keys", "is_finite", "as_dense", "numbers_of", "feature_shape", "column_names", "own_labels"]
ONE += ["plain_labels", "check_finite", "flat_numeric", "net_input"]
BY_INDEX = ["take_rows", "drop_rows", "read_rows"]


def of_rows(answer, expected):
    """Checks the number of rows."""
    found = rows.n_rows(answer)
    return None if found == expected else f"{found} rows instead of {expected}"


@fuzz(6, call=st.sampled_from(ONE), pool=containers.recipes(n=(0, 5)))
def test_generics_of_one_container(call, pool):
    X = pool.make() if pool.n else containers.KINDS["no rows"](pool._replace(n=1).numbers())
    by = {"by": "DM2"} if call == "as_dense" else {}
    check_call(f"rows.{call}", lambda: getattr(rows, call)(X, **by), in_words(pool), unchanged=[X])


@fuzz(5, call=st.sampled_from(BY_INDEX), kind=a_container, index=st.sampled_from(sorted(INDICES)), d=st.integers(1, 3))
def test_rows_by_position(call, kind, index, d):
    pool = containers.Recipe(kind, 5, d, 0)
    X = pool.make()
    check_call(
        f"rows.{call}",
        lambda: getattr(rows, call)(X, INDICES[index]),
        in_words(kind, index, d),
        unchanged=[X],
        must="answer" if kind in containers.PLAIN and index in ("some", "slice", "mask", "uint8", "one") else None,
    )


@fuzz(6, first=containers.recipes(n=(1, 4), d=(2, 2)), second=containers.recipes(n=(1, 4), d=(2, 2)))
def test_stacks_of_rows(first, second):
    if "Dataset too short" in (first.kind, second.kind):
        return  # which holds fewer than it says
    X, Y = first.make(), second.make()
    plain = {first.kind, second.kind} <= {*containers.PLAIN}
    check_call(
        "rows.stack_rows",
        lambda: rows.stack_rows(X, Y),
        in_words(first, second),
        unchanged=[X, Y],
        valid=(lambda answer: of_rows(answer, first.n + second.n)) if plain else None,
        must="answer" if plain else None,
    )


@fuzz(3, samples=a_container, kind=st.sampled_from(sorted(labels.KINDS)))
def test_checks_of_training_data(samples, kind):
    X, y = models.training_data(2)
    X, y = containers.KINDS[samples](X), labels.KINDS[kind](y)
    check_call("rows.check_training_data", lambda: rows.check_training_data(X, y), in_words(samples, kind))


def boxes(n):
    return [
        {"boxes": np.array([[0.0, 0, 4, 4 + i]]), "labels": np.array([1 + i % 2]), "scores": np.array([0.5])}
        for i in range(n)
    ]


IMAGES = np.random.default_rng(0).uniform(size=(6, 3, 4, 4))
FINE = {
    "area_under_learning_curve": {"n_labels": [1, 2, 4], "scores": [0.1, 0.5, 0.6]},
    "label_savings": {
        "n_labels": [1, 2, 4],
        "scores": [0.1, 0.5, 0.6],
        "ref_n_labels": [1, 4],
        "ref_scores": [0.1, 0.6],
    },
    "retrieval_map": {"descriptors": IMAGES.reshape(6, -1), "y": [0, 0, 1, 1, 2, 2]},
    "mean_average_precision": {"y_true": boxes(3), "y_pred": boxes(3)},
    "combined_distances": {"X": IMAGES.reshape(6, -1), "Y": IMAGES.reshape(6, -1)[:2]},
    "corruption_report": {"estimator": None, "X": IMAGES, "y": [0, 1, 2, 0, 1, 2]},
    "fgsm_accuracy": {"estimator": None, "X": IMAGES, "y": [0, 1, 2, 0, 1, 2], "epsilon": 0.1},
    "labeled_imbalance": {"y": [0, 0, 1]},
    "coverage_rate": {"descriptors": IMAGES.reshape(6, -1), "selected": [0, 2]},
}
ARRAYS = {
    "ragged": [[1, 2], [3]],
    "words": ["a", "b", "c"],
    "mixed": [1, "a", None],
    "with NaN": [0.1, np.nan, 0.3],
    "with infinity": [0.1, np.inf, 0.3],
    "empty": [],
    "empty 2-D": np.zeros((0, 3)),
    "no columns": np.zeros((6, 0)),
    "negative": [-3, -2, -1],
    "descending": [3, 2, 1],
    "repeated": [1, 1, 1],
    "huge": [1e300, 1e305, 1e308],
    "tiny": [1e-320, 1e-310, 1e-300],
    "2-D": np.ones((3, 3)),
    "4-D": np.ones((6, 3, 4, 4)),
    "constant": np.ones((6, 48)),
    "zeros": np.zeros((6, 48)),
    "huge 2-D": np.full((6, 48), 1e200),
    "bools": [True, False, True],
    "complex": [1j, 2j, 3j],
    "dicts": [{"a": 1}] * 3,
    "lists": [[1], [2], [3]],
    "longer": list(range(9)),
    "boxes": boxes(3),
    "more boxes": boxes(5),
    "boxes as words": [{"boxes": "a", "labels": "b"}] * 3,
    "boxes without labels": [{"boxes": np.zeros((1, 4))}] * 3,
    "boxes of NaN": [{"boxes": np.full((1, 4), np.nan), "labels": [1], "scores": [0.5]}] * 3,
    "boxes of two numbers": [{"boxes": np.zeros((1, 2)), "labels": [1], "scores": [0.5]}] * 3,
    "labels of words": [{"boxes": np.array([[0.0, 0, 2, 2]]), "labels": ["1"], "scores": [0.5]}] * 3,
    "no scores": [{"boxes": np.array([[0.0, 0, 2, 2]]), "labels": [1]}] * 3,
    "ragged boxes": [{"boxes": [[0, 0, 1], [0, 0, 1, 1]], "labels": [1, 2], "scores": [0.5, 0.5]}] * 3,
    "no boxes": [{"boxes": np.zeros((0, 4)), "labels": [], "scores": []}] * 3,
}
VALUES = {**ARRAYS, **parameters.ODD_VALUES}


@fuzz(12, data=st.data(), name=st.sampled_from(sorted(FINE)))
def test_metrics(data, name):
    function, arguments = getattr(metrics, name), dict(FINE[name])
    estimator = models.fitted("logistic", 48)
    if "estimator" in arguments:
        estimator = Flat(estimator)
        arguments["estimator"] = estimator
    odd = data.draw(st.sampled_from([*inspect.signature(function).parameters]))
    value = data.draw(st.sampled_from(sorted(VALUES)))
    arguments[odd] = VALUES[value]
    check_call(
        f"metrics.{name}({odd})",
        lambda: function(**arguments),
        in_words(value),
        # A RandomState goes on; where no curve reaches the target, no number of labels is saved.
        unchanged=[] if value == "RandomState" else [arguments],
        valid=None if name == "label_savings" else number,
    )


class Flat:
    """Predicts images by their pixels."""

    def __init__(self, estimator):
        self.estimator = estimator
        self.classes_ = estimator.classes_

    def predict(self, X):
        return self.estimator.predict(np.asarray(X).reshape(len(X), -1))
