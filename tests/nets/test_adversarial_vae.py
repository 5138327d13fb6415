"""AdversarialVAE: its losses by hand, images of any size, what it finds, seeds, the errors."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn
from torch.utils.data import Dataset

from skal.exceptions import TrainingDivergedError
from skal.nets import AdversarialVAE

IMAGES = np.random.default_rng(0).random((12, 2, 9, 13))
TABLE = np.random.default_rng(1).normal(size=(30, 4))


def small(**params):
    given = {"latent": 3, "hidden": 8, "channels": (4, 6), "n_iter": 2, "batch_size": 8, "random_state": 0}
    return AdversarialVAE(**(given | params))


def two_groups(n=100, n_labeled=50, seed=0):
    """Labels in the first group alone."""
    rng = np.random.default_rng(seed)
    X = np.vstack([rng.normal(center, 0.1, size=(n, 2)) for center in ([0, 1], [1, 0])])
    return X, np.arange(2 * n) < n_labeled


@pytest.mark.parametrize("kl_reduction", ["sum", "mean"])
def test_the_loss_of_the_autoencoder(kl_reduction):
    """Against the formula, with codes that are not random: their variance is 0."""
    net = small(beta=0.7, adversary_weight=0.3, kl_reduction=kl_reduction).fit(TABLE, np.arange(30) < 9)
    vae, x = net.vae_, torch.from_numpy(TABLE[:5].astype(np.float32))
    with torch.no_grad():
        vae.log_var.weight.zero_()
        vae.log_var.bias.fill_(-40.0)
        mu = vae.encode(x)[0].double().numpy()
        rebuilt = vae.decode(torch.from_numpy(mu).float()).numpy()
        loss = float(net._vae_loss(vae, net.discriminator_, x))
        logits = net.discriminator_(torch.from_numpy(mu).float()).numpy()
    divergence = [(m**2 + np.exp(-40) - 1 + 40) / 2 for m in mu.ravel()]
    total = np.sum(divergence) if kl_reduction == "sum" else np.mean(divergence)
    hidden = np.mean(np.log(1 + np.exp(-logits)))
    assert loss == pytest.approx(np.mean((rebuilt - TABLE[:5]) ** 2) + 0.7 * total + 0.3 * hidden, rel=1e-5)


def test_the_loss_of_the_discriminator(monkeypatch):
    """At chance in the first step: its last layer is made 0 before."""
    from skal.nets import _adversarial_vae

    start = _adversarial_vae._start

    def at_chance(vae, discriminator):
        start(vae, discriminator)
        nn.init.zeros_(discriminator[-1].weight)

    monkeypatch.setattr(_adversarial_vae, "_start", at_chance)
    assert small().fit(TABLE, np.arange(30) < 9).losses_[0, 1] == pytest.approx(2 * np.log(2), rel=1e-6)
    assert small().fit(TABLE, np.zeros(30)).losses_[0, 1] == pytest.approx(np.log(2), rel=1e-6)


def test_two_steps_of_the_autoencoder_for_one_of_the_discriminator(monkeypatch):
    steps = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *a, **k: (steps.append(len(self.param_groups[0]["params"])), step(self))
    )
    net = small(n_iter=3).fit(TABLE, np.arange(30) < 9)
    of_vae, of_discriminator = (len(list(part.parameters())) for part in (net.vae_, net.discriminator_))
    assert of_vae != of_discriminator
    assert steps == [of_vae, of_vae, of_discriminator] * 3


@pytest.mark.parametrize(("n_labeled", "batch_size", "expected"), [(9, 8, 113), (1, 128, 1), (20, 100, 20)])
def test_the_length_by_default(n_labeled, batch_size, expected):
    net = small(n_iter=None, batch_size=batch_size).fit(TABLE, np.arange(30) < n_labeled)
    assert net.losses_.shape == (expected, 2)


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (8, 8), (9, 13), (28, 28), (33, 64)])
@pytest.mark.parametrize("channels", [(4,), (4, 6, 8, 10)])
def test_images_of_any_size_are_rebuilt_in_their_size(size, channels):
    X = np.random.default_rng(0).random((5, 3, *size))
    net = small(channels=channels, n_iter=1).fit(X, [1, 0, 0, 1, 0])
    codes = net.transform(X)
    assert codes.shape == (5, 3)
    with torch.no_grad():
        assert net.vae_.decode(torch.from_numpy(codes)).shape == X.shape
    n_layers = sum(isinstance(part, nn.Conv2d) for part in net.vae_.body)
    assert n_layers == min(len(channels), int(np.log2(min(size))))


@pytest.mark.parametrize("X", [TABLE, IMAGES])
def test_samples_are_scaled_to_their_range(X):
    net = small().fit(X, np.arange(len(X)) < 5)
    scaled = (X.reshape(len(X), -1) if X.ndim == 2 else X) - net.center_
    scaled = scaled / net.half_span_
    axis = 0 if X.ndim == 2 else None
    np.testing.assert_allclose(scaled.min(axis=axis), -1)
    np.testing.assert_allclose(scaled.max(axis=axis), 1)


def test_columns_that_are_constant_and_numbers_that_are_large():
    X = TABLE.copy()
    X[:, 0], X[:, 1] = 7, X[:, 1] * 1e300
    assert np.isfinite(small().fit(X, np.arange(30) < 5).transform(X)).all()


def test_what_has_no_labels_near_is_found():
    X, is_labeled = two_groups()
    shares = []
    for seed in range(3):
        net = AdversarialVAE(hidden=32, kl_reduction="mean", adversary_weight=0.02, n_iter=300, random_state=seed).fit(
            X, is_labeled
        )
        picks = np.argsort(net.decision_function(X))[:30]
        shares.append((picks >= 100).mean())
    assert min(shares) == 1.0


def test_probabilities_are_those_of_the_logits():
    X, is_labeled = two_groups()
    net = small().fit(X, is_labeled)
    np.testing.assert_allclose(net.predict_proba(X)[:, 1], 1 / (1 + np.exp(-net.decision_function(X))))
    np.testing.assert_allclose(net.predict_proba(X).sum(axis=1), 1)


class Pairs(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return torch.from_numpy(self.X[i]), 0


@pytest.mark.parametrize("as_given", [torch.from_numpy, Pairs, list, lambda X: (1000 * X).astype(np.int32)])
def test_containers(as_given):
    y = np.arange(12) < 5
    X = (IMAGES * 1000).astype(np.int32) / 1000.0
    expected = small().fit(X, y).transform(X)
    given = as_given(X)
    np.testing.assert_allclose(small().fit(given, y).transform(given), expected, atol=1e-4)


def test_frames_and_other_shapes_are_tables():
    y = np.arange(30) < 9
    expected = small().fit(TABLE, y).transform(TABLE)
    for given in (pd.DataFrame(TABLE), TABLE.reshape(30, 2, 2)):
        np.testing.assert_array_equal(small().fit(given, y).transform(given), expected)


def test_sets_apart_are_the_same_as_together():
    y = np.arange(30) % 3 == 0
    apart = small().fit_sets(TABLE[~y], TABLE[y])
    np.testing.assert_array_equal(apart.transform(TABLE), small().fit(TABLE, y).transform(TABLE))


@pytest.mark.parametrize("X", [TABLE, IMAGES])
@pytest.mark.parametrize("n_labeled", [0, 1, 12])
def test_few_and_none(X, n_labeled):
    X = X[:12]
    net = small().fit(X, np.arange(12) < n_labeled)
    assert np.isfinite(net.predict_proba(X)).all()


def test_a_seed_repeats_it_and_the_global_generators_stay():
    y = np.arange(12) < 5
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = (small().fit(IMAGES, y).transform(IMAGES) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, small(random_state=5).fit(IMAGES, y).transform(IMAGES))
    np.testing.assert_array_equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002
    fitted = small().fit(IMAGES, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(IMAGES), first)
    assert not hasattr(clone(fitted), "vae_")


def test_scores_of_one_do_not_hang_on_others():
    y = np.arange(12) < 5
    net = small().fit(IMAGES, y)
    one_by_one = np.concatenate([net.decision_function(IMAGES[[i]]) for i in range(12)])
    np.testing.assert_allclose(one_by_one, net.decision_function(IMAGES), rtol=1e-4, atol=1e-6)


def test_a_failed_fit_changes_nothing(monkeypatch):
    y = np.arange(30) < 9
    net = small(random_state=np.random.RandomState(0)).fit(TABLE, y)
    before, state = copy.copy(vars(net)), net.random_state.get_state()[1].copy()

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.fit(TABLE[:, :2], y)
    assert vars(net).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(net).items())
    np.testing.assert_array_equal(net.random_state.get_state()[1], state)


def test_progress(capsys):
    small().fit(TABLE, np.arange(30) < 9)
    assert capsys.readouterr().err == ""
    small(verbose=1).fit(TABLE, np.arange(30) < 9)
    assert "autoencoder: 100%" in capsys.readouterr().err


def test_a_loss_that_is_not_finite():
    with pytest.raises(TrainingDivergedError, match="The loss of AdversarialVAE must be finite. Got .* lower lr"):
        small(lr=1e20, n_iter=20).fit(TABLE, np.arange(30) < 9)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"latent": 0}, "The 'latent' parameter of AdversarialVAE must be an int in the range"),
        ({"kl_reduction": "max"}, "The 'kl_reduction' parameter of AdversarialVAE must be a str among"),
        ({"channels": ()}, r"The 'channels' parameter of AdversarialVAE must be a sequence of integers of 1 or more"),
        ({"channels": (4, 0)}, r"sequence of integers of 1 or more. Got \(4, 0\) instead."),
        ({"channels": (4.5,)}, r"sequence of integers of 1 or more. Got \(4.5,\) instead."),
        ({"device": "tpu!"}, "The 'device' parameter of AdversarialVAE must be 'auto' or a device of torch"),
    ],
)
def test_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        small(**params).fit(TABLE, np.arange(30) < 9)


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        (["a", "b"], [0, 1], TypeError, "AdversarialVAE computes with raw samples"),
        (sp.eye(3, format="csr"), [0, 1, 0], TypeError, r"must be dense. Got a sparse csr_matrix: use X.toarray\(\)."),
        (np.array([[np.nan], [1.0]]), [0, 1], ValueError, "X must hold finite numbers. Got NaN or infinity."),
        (np.empty((0, 2)), [], ValueError, "X must hold at least one sample. Got none."),
        (np.eye(2), [0, 2], ValueError, "y must be 0 or 1 for each sample"),
        (np.eye(2), [0], ValueError, "y must say of each of the 2 samples whether it is labelled. Got 1 values."),
        (np.ones((3, 1, 1, 4)), [0, 1, 0], ValueError, "Images must be of 2 x 2 pixels at least. Got 1 x 4."),
    ],
)
def test_samples(X, y, error, message):
    with pytest.raises(error, match=message):
        small().fit(X, y)


def test_other_shapes_and_no_fit():
    with pytest.raises(NotFittedError):
        small().transform(TABLE)
    with pytest.raises(ValueError, match=r"must have the same shape. Got \(3,\) and \(4,\)."):
        small().fit_sets(TABLE, TABLE[:, :3])
    with pytest.raises(ValueError, match=r"X must hold samples of shape \(4,\), as in fit. Got \(2,\)."):
        small().fit(TABLE, np.arange(30) < 9).transform(TABLE[:, :2])
