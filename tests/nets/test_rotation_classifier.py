"""RotationClassifier: rotations and classes by a slow loop, what it learns, copies, containers, refusals."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError
from torch import nn
from torch.utils.data import Dataset

from skal.exceptions import TrainingDivergedError
from skal.nets import RotationClassifier
from skal.nets._rotation_classifier import turned


def pictures(n, seed, size=(8, 8)):
    """Bright at the top; of class 1 with a dark spot in the middle."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = np.linspace(1, 0, size[0])[None, None, :, None] + 0.1 * rng.normal(size=(n, 1, *size))
    X[y == 1, :, 3:5, 3:5] -= 1
    return X.astype(np.float32), y


X, Y = pictures(60, 0)


@pytest.fixture(scope="module")
def net():
    return RotationClassifier(max_epochs=12, batch_size=16, random_state=0).fit(X, Y)


def test_the_turns():
    square = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert [t[0, 0].tolist() for t in turned(square)] == [np.rot90(square[0, 0], k).tolist() for k in range(4)]
    wide = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert [t[0, 0].tolist() for t in turned(wide)] == [np.rot90(wide[0, 0], k).tolist() for k in (0, 2)]
    for width, shifts in ((1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (8, [0, 2, 4, 6])):
        row = torch.arange(float(width))[None]
        assert [t[0].tolist() for t in turned(row)] == [np.roll(row[0], k).tolist() for k in shifts]


def test_outputs_are_those_of_a_slow_loop(net):
    new, _ = pictures(9, 1)
    mean, scale = X.mean((0, 2, 3)), X.std((0, 2, 3))
    module = net.module_
    rotations, classes = net.outputs(new)
    for i, x in enumerate(new):
        x = (x - mean[:, None, None]) / scale[:, None, None]
        for k in range(4):
            with torch.no_grad():
                turns, own = module(torch.tensor(np.rot90(x, k, axes=(1, 2)).copy())[None])
            assert rotations[i, k] == pytest.approx(float(turns.log_softmax(1)[0, k]), abs=1e-4)
            if k == 0:
                np.testing.assert_allclose(classes[i], own.log_softmax(1)[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(net.score_rotations(new), np.exp(rotations).sum(axis=1))
    np.testing.assert_allclose(net.predict_proba(new).sum(axis=1), 1)


def test_it_learns_both_tasks(net):
    new, y = pictures(80, 2)
    assert (net.predict(new) == y).mean() > 0.9
    assert net.score_rotations(new).mean() > 3.5
    assert net.losses_[-1] < 0.2 * net.losses_[0]
    # It fails on what was turned before.
    assert net.score_rotations(np.rot90(new, 1, axes=(2, 3)).copy()).mean() < 1


def test_copies_learn_rotations_and_the_network_stays(net):
    odd = np.rot90(pictures(40, 3)[0], 1, axes=(2, 3)).copy()
    before, state = net.score_rotations(odd), torch.get_rng_state()
    copy = net.fine_tuned(odd, max_epochs=20, random_state=1)
    assert copy.score_rotations(odd).mean() > before.mean() + 0.2
    np.testing.assert_array_equal(net.score_rotations(odd), before)
    # What is like those it has seen is no longer odd, and what is odd in another way still is.
    like, unlike = (np.rot90(pictures(40, 4)[0], k, axes=(2, 3)).copy() for k in (1, 3))
    assert copy.score_rotations(like).mean() > copy.score_rotations(unlike).mean() + 0.2
    again = net.fine_tuned(odd, max_epochs=20, random_state=1)
    np.testing.assert_array_equal(again.score_rotations(odd), copy.score_rotations(odd))
    assert torch.equal(torch.get_rng_state(), state)


def test_fits_repeat_and_pickle(net):
    again = RotationClassifier(max_epochs=12, batch_size=16, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(again.score_rotations(X), net.score_rotations(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).predict_proba(X), net.predict_proba(X))


class Samples(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], 0


def test_containers_and_classes():
    rng = np.random.default_rng(4)
    rows, words = rng.normal(size=(30, 5)).astype(np.float32), np.array(["a", "b", "c"])[np.arange(30) % 3]
    settings = {"max_epochs": 3, "random_state": 0}
    expected = RotationClassifier(**settings).fit(rows, words)
    assert expected.classes_.tolist() == ["a", "b", "c"] and expected.n_turns_ == 4
    for kind in (list, torch.from_numpy, pd.DataFrame, sparse.csr_matrix, Samples):
        found = RotationClassifier(**settings).fit(kind(rows), words)
        np.testing.assert_allclose(found.predict_proba(kind(rows)), expected.predict_proba(rows), atol=1e-6)
    more = RotationClassifier(classes=["a", "b", "c", "d"], **settings).fit(rows, words)
    assert more.predict_proba(rows).shape == (30, 4)
    wide = RotationClassifier(**settings).fit(*pictures(12, 5, size=(6, 9)))
    assert wide.n_turns_ == 2 and wide.outputs(pictures(3, 5, size=(6, 9))[0])[0].shape == (3, 2)
    alone = RotationClassifier(**settings).fit(rows[:1, :1], [0])
    np.testing.assert_allclose(alone.score_rotations(rows[:3, :1]), 1)


def test_modules_of_ones_own():
    body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    before = body[0].weight.clone()
    for module in (body, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 5))):
        found = RotationClassifier(module, max_epochs=2, random_state=0).fit(X, Y)
        assert found.score_rotations(X).shape == (60,)
    assert torch.equal(body[0].weight, before)
    with pytest.raises(ValueError, match="Linear must accept X. Given a batch of shape"):
        RotationClassifier(nn.Linear(3, 2)).fit(X, Y)

    class Sum(nn.Module):
        def forward(self, x):
            return x.sum()

    with pytest.raises(
        ValueError, match=r"'module' of RotationClassifier must output features .n, ....*Got \(\) instead"
    ):
        RotationClassifier(Sum()).fit(X, Y)


def test_refusals(net):
    with pytest.raises(NotFittedError):
        RotationClassifier().outputs(X)
    with pytest.raises(ValueError, match=r"samples of shape \(1, 8, 8\), as in fit. Got shape \(1, 5, 8\)"):
        net.outputs(X[:, :, :5])
    with pytest.raises(ValueError, match="X and y must have the same length. Got 60 and 3"):
        RotationClassifier().fit(X, Y[:3])
    with pytest.raises(ValueError, match="at least one sample. Got an empty X for RotationClassifier"):
        RotationClassifier().fit(X[:0], Y[:0])
    with pytest.raises(ValueError, match="X contains NaN or infinity"):
        RotationClassifier().fit(np.full((3, 2), np.nan), [0, 1, 0])
    with pytest.raises(TypeError, match="numbers"):
        RotationClassifier().fit(["a", "b"], [0, 1])
    with pytest.raises(ValueError, match="too large for RotationClassifier, beside those of fit"):
        RotationClassifier(max_epochs=1, random_state=0).fit(1e-10 * np.eye(4), [0, 1, 0, 1]).outputs(
            np.full((1, 4), 1e38)
        )
    kept = net.module_
    with pytest.raises(TrainingDivergedError, match="The loss of RotationClassifier must be finite"):
        net.set_params(lr=1.0, weight_decay=1.0, module=lambda: Explodes()).fit(X, Y)
    assert net.module_ is kept


class Explodes(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((64, 2), 1e37))

    def forward(self, x):
        return (x.flatten(1) @ self.weight) * 100
