"""A family of models joins from outside the package, in a few lines; the newest registration is asked first."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.exceptions import PoolCapabilityError
from skal.learners import ActiveLearner
from skal.models import Model, Outputs, model_for, register_model
from skal.pool import view_pool
from skal.strategies import BADGE, CoreSet, MarginSampling, usable_with
from skal.testing import FakePool


class LeafForest(RandomForestClassifier):
    """A class of this file's own, since a registration stays."""


# -- the whole family --------------------------------------------------------------------------------------------


class Leaves(Model):
    """The leaves that a sample falls into as its embedding."""

    offers = frozenset({"proba", "embeddings"})

    def outputs(self, X, want):
        return Outputs(
            proba=self.estimator.predict_proba(X) if "proba" in want else None,
            embeddings=self.estimator.apply(X).astype(float) if "embeddings" in want else None,
        )


register_model(lambda estimator: isinstance(estimator, LeafForest), Leaves)

# ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def data():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(150)
    return X[order[:30]], y[order[:30]], X[order[30:]]


def forest():
    return LeafForest(7, random_state=0)


def test_core_set_works_on_the_leaves(data):
    X, y, pool = data
    model = forest().fit(X, y)
    query_idx, scores = CoreSet(random_state=0).select(model, pool, 10, X_training=X, y_training=y)
    known = FakePool(
        embeddings=model.apply(pool).astype(float), labeled=FakePool(embeddings=model.apply(X).astype(float), y=y)
    )
    expected = CoreSet(random_state=np.random.RandomState(0)).select(known, known.X, 10)
    assert set(query_idx.tolist()) != set(range(10))
    np.testing.assert_allclose(scores, expected[1])
    # With the seed of a bare classifier: round 0, 30 labels.
    np.testing.assert_array_equal(query_idx, CoreSet(random_state=0).select(known, known.X, 10)[0])


def test_behind_a_pipeline_and_in_a_learner(data):
    X, y, pool = data
    learner = ActiveLearner(make_pipeline(StandardScaler(), forest()), CoreSet(random_state=0), X, y)
    view = view_pool(learner, pool)
    assert view.embeddings.shape == (len(pool), 7)
    assert view.labeled.embeddings.shape == (30, 7)
    assert len(learner.query(pool, n_instances=4)[0]) == 4


def test_what_it_does_not_offer_is_one_clear_error(data):
    X, y, pool = data
    model = forest().fit(X, y)
    with pytest.raises(PoolCapabilityError) as caught:
        BADGE().select(model, pool, 2, X_training=X, y_training=y)
    message = str(caught.value)
    assert message.startswith("BADGE needs a linear `head`, which LeafForest does not supply.")
    assert "\n" not in message


@pytest.mark.parametrize("is_fitted", [False, True])
def test_usable_with(is_fitted, data):
    model = forest().fit(*data[:2]) if is_fitted else forest()
    usable = usable_with(model)
    assert {"CoreSet", "MarginSampling", "DM2", "QueryByCommittee", "RandomSampling"} <= set(usable)
    assert {"BADGE", "DECERN", "ALFAMix", "NoiseStability", "DetectionEntropy", "BALQUE"}.isdisjoint(usable)
    assert usable_with(Leaves(model)) == usable
    assert usable_with(make_pipeline(StandardScaler(), model)) == usable


def test_the_newest_registration_is_asked_first(data):
    class Younger(LeafForest):
        pass

    class First(Model):
        offers = frozenset({"proba"})

        def outputs(self, X, want):
            return Outputs(proba=np.full((len(X), 3), 1 / 3))

    class Second(First):
        pass

    def is_younger(estimator):
        return isinstance(estimator, Younger)

    assert type(model_for(Younger())) is Leaves
    register_model(is_younger, First)
    assert type(model_for(Younger())) is First
    register_model(is_younger, Second)
    assert type(model_for(Younger())) is Second
    register_model(is_younger, First)  # the same pair again changes nothing
    assert type(model_for(Younger())) is Second
    assert type(model_for(clone(forest()))) is Leaves
    model = Younger(3, random_state=0).fit(*data[:2])
    np.testing.assert_allclose(MarginSampling().score_samples(model, data[2]), 0.0)


@pytest.mark.parametrize(
    ("matches", "model", "message"),
    [
        (3, Leaves, "The 'matches' of register_model must be callable. Got 3 instead"),
        (callable, LeafForest, "The 'model' of register_model must be a subclass of skal.models.Model"),
        (callable, Leaves(None), "The 'model' of register_model must be a subclass of skal.models.Model"),
    ],
)
def test_errors(matches, model, message):
    with pytest.raises(TypeError, match=message):
        register_model(matches, model)
