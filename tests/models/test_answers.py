"""What a model answers with is looked at once: a member that is offered and absent, wrong rows, no distribution."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.naive_bayes import GaussianNB
from torch import nn

from skal.exceptions import PoolCapabilityError
from skal.models import Model, Outputs, checked_proba, model_for, register_model
from skal.pool import view_pool
from skal.strategies import BALD, DECERN, CoreSet, MarginSampling, ProbCover, usable_with

X = np.random.default_rng(0).normal(size=(50, 4))
Y = np.arange(50) % 3
POOL = X[20:]


def select(strategy, model):
    return strategy.select(model, POOL, 3, X_training=X[:20], y_training=Y[:20])


# -- probabilities ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        [[0.25, 0.75], [1, 0]],
        torch.tensor([[0.5, 0.5], [0.2, 0.8]], requires_grad=True),
        np.array([[0.3333, 0.6665], [0.0, 1.0]], dtype=np.float16),
        [[1], [1]],
    ],
)
def test_probabilities_of_any_container(values):
    assert checked_proba(values, 2, "Mine").shape[0] == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, r"shape \(2, n_classes\), one row for each sample. Got None."),
        ([[0.5, 0.5]], r"Got shape \(1, 2\)."),
        ([0.5, 0.5], r"Got shape \(2,\)."),
        ([[[0.5, 0.5]], [[0.5, 0.5]]], r"Got shape \(2, 1, 2\)."),
        ([["a", "b"], ["c", "d"]], "Got list."),
        (np.empty((2, 0)), r"Got shape \(2, 0\)."),
        ([[0.9, 0.9], [0.5, 0.5]], "whose sum is 1. Got a row that sums to 1.8."),
        ([[0.0, 0.0], [0.5, 0.5]], "whose sum is 1. Got a row that sums to 0."),
        ([[np.nan, 0.5], [0.5, 0.5]], "whose sum is 1. Got a row that sums to nan."),
        ([[1.5, -0.5], [0.5, 0.5]], "whose sum is 1. Got -0.5."),
    ],
)
def test_no_probabilities(values, message):
    with pytest.raises(ValueError, match=f"predict_proba of Mine must .*{message}"):
        checked_proba(values, 2, "Mine")


# -- a family that does not keep its word ----------------------------------------------------------------------


class Told(GaussianNB):
    """A class of this file's own, since a registration stays; it says what its family is to do."""


class Broken(Model):
    """Offers and gives what its estimator says."""

    def __init__(self, estimator):
        super().__init__(estimator)
        self.offers = frozenset(estimator.told["offers"])

    def outputs(self, X, want):
        return self.estimator.told["outputs"](X)

    def head(self):
        return self.estimator.told["head"]

    def opinions(self, X, n, rng):
        return iter(self.estimator.told["opinions"])


register_model(lambda estimator: isinstance(estimator, Told), Broken)


def told(*offers, outputs=lambda X: Outputs(), head=None, opinions=()):
    model = Told().fit(X[:20], Y[:20])
    model.told = {"offers": offers, "outputs": outputs, "head": head, "opinions": opinions}
    return model


def even(X):
    return np.full((len(X), 3), 1 / 3)


@pytest.mark.parametrize(
    ("outputs", "error", "message"),
    [
        (lambda X: Outputs(), TypeError, "Broken offers 'embeddings' of Told, but its outputs has none."),
        (lambda X: None, TypeError, "outputs of Broken must return skal.models.Outputs. Got None instead."),
        (lambda X: Outputs(embeddings=X[1:]), ValueError, r"embeddings of Told .* \(30, d\).* Got shape \(29, 4\)."),
        (lambda X: Outputs(embeddings=X[:, 0]), ValueError, r"embeddings of Told .* Got shape \(30,\)."),
        (lambda X: Outputs(embeddings=X * np.nan), ValueError, "embeddings of Told must be finite. Got NaN"),
    ],
)
def test_outputs_that_are_wrong(outputs, error, message):
    with pytest.raises(error, match=message):
        select(CoreSet(), told("embeddings", outputs=outputs))


@pytest.mark.parametrize("container", [np.asarray, torch.as_tensor, sp.csr_matrix, np.ndarray.tolist])
def test_embeddings_of_any_container(container):
    expected = select(CoreSet(random_state=0), told("embeddings", outputs=lambda X: Outputs(embeddings=X)))
    found = select(CoreSet(random_state=0), told("embeddings", outputs=lambda X: Outputs(embeddings=container(X))))
    np.testing.assert_array_equal(found[0], expected[0])


def test_a_head_that_is_none():
    model = told(
        "proba",
        "embeddings",
        "logits",
        "head",
        outputs=lambda X: Outputs(proba=even(X), embeddings=X, logits=np.zeros((len(X), 3))),
    )
    with pytest.raises(TypeError, match="head of Broken must return skal.models.Head. Got None instead."):
        select(DECERN(), model)


@pytest.mark.parametrize(
    ("opinions", "error", "message"),
    [
        ((), PoolCapabilityError, "BALD needs several opinions of the classifier, which Told does not supply."),
        ((even(POOL)[1:],), ValueError, r"predict_proba of Told .* Got shape \(29, 3\)."),
    ],
)
def test_opinions_that_are_wrong(opinions, error, message):
    with pytest.raises(error, match=message):
        select(
            BALD(source="own"), told("proba", "opinions", outputs=lambda X: Outputs(proba=even(X)), opinions=opinions)
        )


# -- user-made classifiers -------------------------------------------------------------------------------------


class Encoder:
    """No scikit-learn estimator, without probabilities of its own."""

    classes_ = np.arange(3)

    def __init__(self, dtype=torch.float32):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.last = nn.Linear(8, 3).to(dtype)

    def fit(self, X, y):
        return self

    def embed(self, X):
        return np.hstack([X, np.tanh(X)])

    def head(self, z):
        return self.last(z)

    def softmax(self, X):
        return torch.softmax(self.last.double()(torch.from_numpy(self.embed(X))), dim=1).detach().numpy()


class Agreeing(Encoder):
    asked = 0

    def predict_proba(self, X):
        self.asked += len(X)
        return self.softmax(X)


class Disagreeing(Encoder):
    def predict_proba(self, X):
        return np.tile([0.2, 0.3, 0.5], (len(X), 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_head_gives_logits_and_probabilities(dtype):
    pool = view_pool(Encoder(dtype), POOL)
    np.testing.assert_allclose(pool.proba, Encoder(dtype).softmax(POOL), atol=1e-6)
    by_head = pool.head(torch.as_tensor(pool.embeddings, dtype=torch.float64)).detach().numpy()
    np.testing.assert_allclose(by_head, pool.logits, atol=1e-6)


def test_its_own_probabilities_are_asked_where_it_has_them():
    model = Agreeing()
    select(MarginSampling(), model)
    assert model.asked == 30
    model.asked = 0
    select(CoreSet(), model)
    assert model.asked == 0
    select(DECERN(), model)
    assert model.asked == 50


def test_a_head_that_contradicts_its_probabilities_is_refused():
    model = Disagreeing()
    np.testing.assert_array_equal(view_pool(model, POOL).proba, model.predict_proba(POOL))
    with pytest.raises(
        PoolCapabilityError, match="DECERN needs `logits`.*softmax of head.embed.X.. must be its predict"
    ):
        select(DECERN(), model)
    with pytest.raises(PoolCapabilityError, match="The softmax of head"):
        _ = view_pool(model, POOL).logits


def test_embeddings_that_are_no_rows():
    class Wrong(Encoder):
        def embed(self, X):
            return None

    with pytest.raises(ValueError, match=r"embeddings of Wrong must be an array .* \(30, d\).* Got None."):
        select(CoreSet(), Wrong())


# -- the words of a refusal ------------------------------------------------------------------------------------


def test_either_of_two_needs_has_advice_for_both():
    error = model_for(GaussianNB()).lacks("members|clones", "QueryByCommittee")
    assert str(error) == (
        "QueryByCommittee needs the members of a committee or clones to train, which GaussianNB does not supply. "
        "Use a modAL Committee. Or use a classifier with fit, get_params and predict_proba."
    )
    assert error.member == "members|clones"


def test_a_model_without_probabilities_has_the_labels_that_it_has_seen():
    class Plain(Model):
        offers = frozenset({"embeddings"})

        def outputs(self, X, want):
            return Outputs(embeddings=X)

    class Silent:
        pass

    register_model(lambda estimator: type(estimator) is Silent, Plain)
    assert "ProbCover" in usable_with(Silent())
    assert len(select(ProbCover(random_state=0), Silent())[0]) == 3
    np.testing.assert_array_equal(view_pool(Silent(), POOL, X_training=X[:20], y_training=Y[:20]).classes, [0, 1, 2])
