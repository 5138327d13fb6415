"""Strategies work where the model's outputs lie: with tensors of an accelerator the picks are those with arrays."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skal.models import Head, Model, Outputs
from skal.pool import PoolView
from skal.strategies import (
    BADGE,
    DECERN,
    ActiveFT,
    ALFAMix,
    CoreSet,
    MaxHerding,
    ProbCover,
    UncertaintyHerding,
)

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")),
]
X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
POOL, LABELED = X[300:700], slice(0, 60)


class Linear(Model):
    """A linear model whose outputs are arrays."""

    offers = frozenset({"proba", "logits", "embeddings", "head", "linear_head", "clones"})
    place = None

    def accelerator(self):
        return None if self.place is None else torch.device(self.place)

    def head(self):
        return Head(weight=self.estimator.coef_, bias=self.estimator.intercept_)

    def outputs(self, X, want):
        logits = (X @ self.estimator.coef_.T + self.estimator.intercept_).astype(np.float32)
        found = {"embeddings": X, "logits": logits, "proba": torch.from_numpy(logits).softmax(1).numpy()}
        return Outputs(**{member: found[member] for member in want})


def view_of(place):
    classifier = LogisticRegression(max_iter=200).fit(X[LABELED], Y[LABELED])
    view = PoolView(classifier, POOL, X_training=X[LABELED], y_training=Y[LABELED])
    view.model = Linear(classifier)
    view.model.place = place
    return view


@pytest.mark.parametrize("place", DEVICES)
@pytest.mark.parametrize(
    "strategy",
    [
        CoreSet(random_state=0),
        ProbCover(random_state=0),
        BADGE(random_state=0),
        ALFAMix(random_state=0),
        ActiveFT(max_iter=20, random_state=0),
        DECERN(random_state=0),
        MaxHerding(random_state=0),
        UncertaintyHerding(calibrate=False, random_state=0),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_picks_are_those_with_arrays(strategy, place, monkeypatch):
    expected, scores = strategy.select(view_of(None), POOL, 20)
    view, asked = view_of(place), []
    on_device = PoolView.on_device

    def seen(self, member):
        found = on_device(self, member)
        asked.append(type(found))
        return found

    monkeypatch.setattr(PoolView, "on_device", seen)
    found, found_scores = strategy.select(view, POOL, 20)
    assert asked and set(asked) == {torch.Tensor}
    assert found.tolist() == expected.tolist()
    np.testing.assert_allclose(found_scores, scores, rtol=1e-3, atol=1e-6)


def test_a_pool_that_does_not_fit_is_compared_with_labelled_samples_on_the_host(monkeypatch):
    expected, _ = CoreSet(random_state=0).select(view_of(None), POOL, 20)
    monkeypatch.setattr("skal.models._kept.room_on", lambda device: POOL.nbytes - 1)
    view = view_of("cpu")
    assert isinstance(view.labeled.on_device("embeddings"), torch.Tensor)
    assert CoreSet(random_state=0).select(view, POOL, 20)[0].tolist() == expected.tolist()
