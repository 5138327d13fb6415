"""FGSM accuracy and the corruption report against slow recomputations; errors."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from torch import nn

from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.metrics import corruption_report, fgsm_accuracy
from skal.metrics._robustness import _corrupted
from skal.nets import AdversarialClassifier, DeepClassifier
from skal.strategies import RandomSampling


class Remembers:
    """Predicts 0, and keeps what it was shown."""

    def __init__(self):
        self.shown = []

    def predict(self, X):
        self.shown.append(X)
        return np.zeros(len(X), dtype=int)


class Net(nn.Module):
    def __init__(self, n_classes=2):
        super().__init__()
        self.head = nn.Linear(3, n_classes)

    def forward(self, x):
        return self.head(x)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(60, 3)).astype(np.float32)
    y = np.where(X[:, 0] > 0.5, "b", "a")
    return DeepClassifier(Net, max_epochs=60, lr=0.5, random_state=0).fit(X, y), X, y


@pytest.mark.parametrize("epsilon", [0, 0.05, 0.3])
def test_fgsm_accuracy_equals_a_slow_one(epsilon, problem):
    """Of a linear model the gradient is W^T (p - onehot(y)), one sample at a time."""
    net, X, y = problem
    weight = net.module_.head.weight.detach().numpy().astype(np.float64)
    right = 0
    for x, label in zip(X.astype(np.float64), y):
        p = net.predict_proba(x[None])[0].astype(np.float64)
        gradient = weight.T @ (p - (net.classes_ == label))
        copy = np.clip(x + epsilon * np.sign(gradient), 0, 1)
        right += net.predict(copy[None])[0] == label
    assert fgsm_accuracy(net, X, y, epsilon) == pytest.approx(right / len(X))
    if epsilon == 0:
        assert fgsm_accuracy(net, X, y, 0) == net.score(X, y)


def test_fgsm_accuracy_falls_with_epsilon(problem):
    net, X, y = problem
    found = [fgsm_accuracy(net, X, y, epsilon) for epsilon in (0, 0.05, 0.1, 0.3, 1)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.9
    assert found[-1] == 0


def test_fgsm_accuracy_of_what_holds_a_network(problem):
    net, X, y = problem
    expected = fgsm_accuracy(net, X, y, 0.1)
    assert fgsm_accuracy(ActiveLearner(net, RandomSampling()), X, y, 0.1) == expected
    unfitted = DeepClassifier(Net, max_epochs=60, lr=0.5, random_state=0)
    search = GridSearchCV(unfitted, {"lr": [0.5]}, cv=2).fit(X, y)
    assert fgsm_accuracy(search, X, y, 0.1) == expected
    al = ActiveLearningClassifier(unfitted, RandomSampling(), n_initial=1.0, n_queries=0, random_state=0).fit(X, y)
    assert fgsm_accuracy(al, X, y, 0.1) == fgsm_accuracy(al.estimator_, X, y, 0.1)
    assert fgsm_accuracy(AdversarialClassifier(Net, max_epochs=1).fit(X, y), X, y, 0.1) >= 0


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"epsilon": -0.1}, ValueError, "'epsilon' parameter of fgsm_accuracy must be a finite number of 0 or more"),
        ({"clip": (1, 0)}, ValueError, "The 'clip' parameter of fgsm_accuracy must be None or a pair"),
        ({"clip": (0, 0.5)}, ValueError, r"Samples must lie in clip=\(0.0, 0.5\) of fgsm_accuracy. Got values from"),
        ({"y": ["a"]}, ValueError, r"'y' of fgsm_accuracy must hold one label .* Got shape \(1,\) for 60 samples"),
        ({"y": ["c"] * 60}, ValueError, "labels that DeepClassifier knows"),
        ({"estimator": LogisticRegression()}, TypeError, "fgsm_accuracy needs an estimator with `input_gradient"),
    ],
)
def test_fgsm_accuracy_refuses(kwargs, error, message, problem):
    net, X, y = problem
    with pytest.raises(error, match=message):
        fgsm_accuracy(**{"estimator": net, "X": X, "y": y, "epsilon": 0.1, **kwargs})


def images(n=3, c=2, size=8, seed=0):
    return np.random.default_rng(seed).uniform(size=(n, c, size, size))


def test_report_has_one_row_for_each_corruption_and_strength():
    model, y = Remembers(), [0, 0, 1]
    report = corruption_report(model, images(), y)
    assert list(report.columns) == ["corruption", "severity", "strength", "accuracy"]
    assert report["corruption"].tolist() == [
        "none", *["gaussian_noise"] * 5, *["gaussian_blur"] * 5, *["contrast"] * 5,
    ]  # fmt: skip
    assert report["severity"].tolist() == [0, *[1, 2, 3, 4, 5] * 3]
    np.testing.assert_allclose(report["accuracy"], 2 / 3)
    np.testing.assert_allclose(model.shown[0], images(), atol=1e-12)
    changes = [np.abs(shown - images()).mean() for shown in model.shown]
    for start in (1, 6, 11):
        assert changes[start : start + 5] == sorted(changes[start : start + 5])
        assert changes[start] > 0


def test_corruptions_equal_their_definitions():
    X, model = images(), Remembers()
    report = corruption_report(model, X, [0, 0, 0], random_state=4)
    noise = np.random.default_rng([4]).standard_normal((6, 1, 8, 8), dtype=np.float32).reshape(X.shape)
    for (_, corruption, _, strength, _), shown in zip(report.itertuples(), model.shown):
        if corruption == "none":
            expected = X
        elif corruption == "gaussian_noise":
            expected = np.clip(X + strength * noise, 0, 1)
        elif corruption == "contrast":
            mean = X.mean(axis=(2, 3), keepdims=True)
            expected = mean + strength * (X - mean)
        else:
            truncate = np.ceil(3 * strength) / strength
            expected = np.empty_like(X)
            for i in range(3):
                for c in range(2):
                    expected[i, c] = gaussian_filter(X[i, c], strength, mode="mirror", truncate=truncate)
        np.testing.assert_allclose(shown, expected, atol=1e-5, err_msg=f"{corruption} {strength}")


def test_report_in_another_range_and_kind():
    plain, scaled, grey = Remembers(), Remembers(), Remembers()
    corruption_report(plain, images(), [0] * 3)
    corruption_report(scaled, torch.tensor(images() * 255), [0] * 3, clip=(0, 255))
    corruption_report(grey, images(c=1)[:, 0], [0] * 3)
    for first, second, third in zip(plain.shown, scaled.shown, grey.shown):
        assert isinstance(second, torch.Tensor)
        np.testing.assert_allclose(second.numpy() / 255, first, atol=1e-6)
        assert third.shape == (3, 8, 8)


def test_report_repeats_and_leaves_its_input_and_the_global_generators_alone():
    X, state, numpy_state = images(), torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, third = Remembers(), Remembers(), Remembers()
    corruption_report(first, X, [0] * 3)
    corruption_report(second, X, [0] * 3)
    corruption_report(third, X, [0] * 3, random_state=1)
    np.testing.assert_array_equal(first.shown[3], second.shown[3])
    assert not np.array_equal(first.shown[3], third.shown[3])
    np.testing.assert_array_equal(X, images())
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_a_wide_blur_on_the_smallest_image():
    blurred = _corrupted(torch.rand(2, 1, 4, 4), "gaussian_blur", 3.0, 0)
    assert blurred.shape == (2, 1, 4, 4)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"X": np.zeros((3, 64))}, ValueError, r"must hold images \(n, h, w\) .* Got shape \(3, 64\)"),
        ({"X": np.zeros((3, 3, 8))}, ValueError, "of 4 x 4 pixels or more"),
        ({"X": 2 * images()}, ValueError, r"Samples must lie in clip=\(0.0, 1.0\) of corruption_report"),
        ({"clip": None}, ValueError, r"must be a pair \(low, high\). Got None"),
        ({"clip": (1, 1)}, ValueError, "with low < high"),
        ({"y": [0, 0]}, ValueError, r"'y' of corruption_report must hold one label .* Got shape \(2,\) for 3 samples"),
        ({"X": ["a", "b", "c"]}, TypeError, "must be an array, tensor or DataFrame of numbers"),
    ],
)
def test_report_refuses(kwargs, error, message):
    with pytest.raises(error, match=message):
        corruption_report(**{"estimator": Remembers(), "X": images(), "y": [0, 0, 0], **kwargs})
