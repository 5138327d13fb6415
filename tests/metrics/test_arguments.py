"""Every public metric with arguments that are not what they should be: one sentence that names the argument."""

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression

import skal.metrics
from skal.metrics import (
    area_under_learning_curve,
    combined_distances,
    corruption_report,
    coverage_rate,
    fgsm_accuracy,
    label_savings,
    labeled_imbalance,
    mean_average_precision,
    retrieval_map,
)


class Brightness:
    """Tells bright images from dark ones; the gradient of its loss is that of the mean."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def predict(self, X):
        return (np.asarray(X).reshape(len(X), -1).mean(axis=1) > 0.5).astype(int)

    def input_gradient(self, X, y):
        signs = np.where(np.asarray(y) == 1, -1.0, 1.0).reshape(-1, *[1] * (np.ndim(X) - 1))
        return np.broadcast_to(signs, np.shape(X)).astype(np.float32)


IMAGES = np.linspace(0, 1, 4 * 16).reshape(4, 4, 4)
CURVE = {"n_labels": [1, 2, 3], "scores": [0.1, 0.2, 0.3]}
BOX = {"boxes": [[0, 0, 5, 5]], "labels": ["a"], "scores": [0.5]}
# What each is called with, and what it answers then.
GOOD = {
    area_under_learning_curve: (CURVE, 0.2),
    label_savings: ({**CURVE, "ref_n_labels": [1, 2, 3], "ref_scores": [0.0, 0.1, 0.3], "target": 0.2}, 0.5),
    labeled_imbalance: ({"y": [0, 1, 0, 1], "n_classes": 2}, 0),
    coverage_rate: ({"descriptors": np.eye(3), "selected": [0, 2], "threshold": 0.5}, 2 / 3),
    retrieval_map: ({"descriptors": np.eye(4)[[0, 0, 1, 1]], "y": [0, 0, 1, 1]}, 1),
    combined_distances: ({"X": [[3, 4]], "Y": [[1, 0]]}, 0.523607),
    mean_average_precision: ({"y_true": [BOX], "y_pred": [BOX], "iou_threshold": 0.5}, 1),
    fgsm_accuracy: ({"estimator": Brightness(), "X": IMAGES, "y": [0, 0, 1, 1], "epsilon": 0.1, "clip": (0, 1)}, 1),
    corruption_report: (
        {"estimator": Brightness(), "X": IMAGES, "y": [0, 0, 1, 1], "clip": (0, 1), "random_state": 0},
        None,
    ),
}
RAGGED, NOTHING, PARTIAL = [[1, 2], [3]], [None] * 3, [0.1, None, 0.3]
ODD = {
    "None": None,
    "ragged": RAGGED,
    "empty": [],
    "nan": [0.1, np.nan, 0.3],
    "infinity": np.array([np.inf, 1, 2]),
    "text": ["a", "b", "c"],
    "digits": ["1", "2", "3"],
    "one text": "abc",
    "a number": 3,
    "2-d": [[1.0, 2.0, 3.0]],
    "column": [[1.0], [2.0], [3.0]],
    "3-d": np.ones((1, 2, 3)),
    "objects": np.array([{}, 1, "a"], dtype=object),
    "none among": PARTIAL,
    "nones": NOTHING,
    "mixed": [1, "a", 2],
    "complex": np.array([1j, 2, 3]),
    "dict": {"a": 1},
    "set": {1, 2, 3},
    "iterator": iter([1, 2, 3]),
    "negative": -1,
    "negatives": [-3, -2, -1],
    "huge": 10**400,
    "huge ones": [10**400, 1, 2],
    "a function": len,
    "a class": LogisticRegression,
    "bytes": b"abc",
    "bool": True,
    "frame of text": pd.DataFrame({"a": ["x", "y", "z"]}),
    "sparse": sp.csr_array(np.eye(2)),
    "tensor": torch.ones(2, 2, requires_grad=True),
    "dates": np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="M8[D]"),
    "longer": list(range(1, 8)),
}
# Of these, an optional argument may be None, and labels, flags and numbers may well be what they are called with.
MAY_BE = {
    ("target", "None"), ("n_classes", "None"), ("Y", "None"), ("clip", "None"), ("random_state", "None"),
    ("normalize", "None"),
}  # fmt: skip
WORDS = ("numpy", "inhomogeneous", "ufunc", "sequence", "object has no attribute", "not supported between", "dtype(")


def test_all_are_here():
    assert {function.__name__ for function in GOOD} == set(skal.metrics.__all__)


@pytest.mark.parametrize("function", GOOD, ids=lambda function: function.__name__)
def test_the_good_arguments_are_good(function):
    kwargs, expected = GOOD[function]
    answer = function(**kwargs)
    if expected is not None:
        assert np.ravel(answer)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("function", GOOD, ids=lambda function: function.__name__)
def test_one_sentence_or_an_answer(function, odd):
    for parameter in set(inspect.signature(function).parameters) - {"normalize"}:
        kwargs = {**GOOD[function][0], parameter: ODD[odd]}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                answer = function(**kwargs)
        except (ValueError, TypeError) as error:
            said = str(error)
            assert "\n" not in said and said.endswith((".", ")")) and not any(word in said for word in WORDS), said
            # Where it is good by itself, but not beside the others.
            beside = {"clip": {"Samples"}, "X": {"samples"}, "descriptors": {"selected", "'y'"}}
            named = {parameter} | beside.get(parameter, set())
            assert any(name in said for name in named), f"{parameter}: {said}"
        else:
            assert function in (label_savings, corruption_report) or np.isfinite(answer).all()
            assert is_meant(function, parameter, odd), f"{parameter} = {odd}: {answer}"


def is_meant(function, parameter, odd):
    """Whether it is right that there is an answer."""
    if (parameter, odd) in MAY_BE:
        return True
    if parameter == "y":
        return function is labeled_imbalance and odd in ("text", "digits", "negatives", "bool", "complex", "dates")
    meant = {
        "X": ["column", "2-d", "sparse", "tensor"],
        "Y": ["sparse", "tensor"],
        "descriptors": ["2-d", "column", "sparse", "tensor"],
        "selected": ["empty"],
        "target": ["a number", "negative"],
        "n_classes": ["a number", "huge"],
        "epsilon": ["a number"],
        "random_state": ["a number", "huge"],
    }
    curves = {key: ["negatives"] for key in ("n_labels", "scores", "ref_n_labels", "ref_scores")}
    return odd in {**meant, **curves}.get(parameter, [])


def test_labels_of_another_kind_than_the_predictions_are_no_0():
    kwargs = GOOD[corruption_report][0]
    with pytest.raises(
        ValueError, match="'y' of corruption_report must hold labels as the estimator predicts them. Got text"
    ):
        corruption_report(**{**kwargs, "y": ["0", "0", "1", "1"]})

    class Column(Brightness):
        def predict(self, X):
            return super().predict(X)[:, None]

    with pytest.raises(ValueError, match=r"What the estimator of corruption_report predicts .* Got shape \(4, 1\)"):
        corruption_report(**{**kwargs, "estimator": Column()})
    with pytest.raises(TypeError, match="'estimator' of corruption_report .* Got the class Brightness"):
        corruption_report(**{**kwargs, "estimator": Brightness})
