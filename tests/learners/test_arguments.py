"""What a learner is made of: estimator, strategy, classes, and who chooses the first labels."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skal.exceptions import ColdStartWarning
from skal.learners import ActiveLearner, DM2ATLearner
from skal.meta import ActiveLearningClassifier
from skal.nets import DeepClassifier
from skal.strategies import (
    BADGE,
    DECERN,
    ActiveFT,
    CoreSet,
    KMeansSampling,
    MarginSampling,
    ProbCover,
    RandomSampling,
    TypiClust,
    margin_sampling,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
Y = np.where(X[:, 0] > 0, "cat", "dog")
GROUP = np.repeat(np.arange(12), 25)[(order := rng.permutation(300))]
GROUPS = (rng.normal(size=(12, 8))[np.repeat(np.arange(12), 25)] * 8 + 0.1 * rng.normal(size=(300, 8)))[order]
STARTERS = [TypiClust, KMeansSampling, ActiveFT, CoreSet, ProbCover]


def learner(n=20, **params):
    return ActiveLearner(LogisticRegression(), MarginSampling(), X[:n], Y[:n], **params)


class TestEstimatorAndStrategy:
    @pytest.mark.parametrize(
        ("estimator", "message"),
        [
            (LogisticRegression, r"estimator must be an instance, not a class. .* did you mean LogisticRegression\(\)"),
            (None, "estimator must have the methods fit and predict. Got None instead"),
            ("logistic", "estimator must have the methods fit and predict. Got 'logistic' instead"),
            (3, "estimator must have the methods fit and predict. Got 3 instead"),
        ],
    )
    def test_what_is_no_estimator(self, estimator, message):
        with pytest.raises(TypeError, match=message):
            ActiveLearner(estimator, MarginSampling(), X, Y)

    @pytest.mark.parametrize(
        ("strategy", "message"),
        [
            ("decern", r"Got 'decern'; did you mean skal.strategies.DECERN\(\)\?"),
            ("MarginSamplin", r"did you mean skal.strategies.MarginSampling\(\)\?"),
            ("margin_sampling", r"did you mean skal.strategies.margin_sampling\?"),
            ("?", r"a strategy is, for example, DECERN\(\)."),
            (None, "Got None instead"),
            (DECERN, r"not a class. Got DECERN; did you mean DECERN\(\)\?"),
        ],
    )
    def test_what_is_no_strategy(self, strategy, message):
        with pytest.raises(TypeError, match=message):
            ActiveLearner(LogisticRegression(), strategy)

    @pytest.mark.parametrize("word", ["n_instance", "batch_size", "k", "n_samples"])
    @pytest.mark.parametrize("strategy", [DECERN(), margin_sampling])
    def test_the_number_of_samples_by_another_name(self, word, strategy):
        with pytest.raises(TypeError, match=f"'{word}'. Did you mean 'n_instances'"):
            ActiveLearner(LogisticRegression(), strategy, X[:20], Y[:20]).query(X[20:], **{word: 3})


class TestClasses:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ("dgo", "Got 'dgo'; did you mean 'dog'"),
            ("Cat", "Got 'Cat'; did you mean 'cat'"),
            (" cat", "Got ' cat'; did you mean 'cat'"),
            ("", "one of the classes 'cat', 'dog' for each sample. Got ''"),
            (None, "for each sample. Got None"),
            (float("nan"), "for each sample. Got nan"),
            (1, "Got 1; did you mean"),
            (True, "Got True; did you mean"),
            (["cat"], "did you mean"),
        ],
    )
    @pytest.mark.parametrize(
        "kind", [list, lambda y: pd.Series(y, dtype=object), lambda y: np.array([*y, 0], object)[:-1]]
    )
    def test_other_labels_are_errors(self, wrong, message, kind):
        taught = learner(classes=["cat", "dog"])
        before = taught.predict_proba(X)
        for work in (
            lambda: taught.teach(X[20:22], kind(["cat", wrong])),
            lambda: taught.relabel([0, 1], kind(["cat", wrong])),
            lambda: taught.fit(X[:3], kind(["cat", "dog", wrong])),
            lambda: ActiveLearner(
                LogisticRegression(), MarginSampling(), X[:2], kind(["cat", wrong]), classes=["cat", "dog"]
            ),
        ):
            with pytest.raises(ValueError, match=message):
                work()
        assert len(taught.X_training) == 20 and taught.y_training.tolist() == Y[:20].tolist()
        np.testing.assert_array_equal(taught.predict_proba(X), before)

    def test_numbers(self):
        taught = ActiveLearner(LogisticRegression(), MarginSampling(), X[:6], [0, 5, 9, 0, 5, 9], classes=[0, 5, 9])
        taught.teach(X[6:8], np.array([5, 9], dtype=np.int8))
        taught.teach(X[8:10], torch.tensor([5, 0]))
        with pytest.raises(ValueError, match="Got 6; did you mean 5"):
            taught.teach(X[:1], [6])
        with pytest.raises(ValueError, match="Got '5'; did you mean 5"):
            taught.teach(X[:1], ["5"])

    def test_one_label(self):
        taught = learner(classes=np.array(["cat", "dog"])).relabel(0, "dog")
        assert taught.y_training[0] == "dog"
        with pytest.raises(ValueError, match="did you mean 'dog'"):
            taught.relabel(0, "dig")

    @pytest.mark.parametrize("classes", ["cat", [], ["cat", None], ["cat", ""], ["cat", "cat"], 3])
    def test_what_lists_no_classes(self, classes):
        with pytest.raises(ValueError, match="The 'classes' parameter of ActiveLearner must be None or list"):
            learner(classes=classes)

    @pytest.mark.parametrize("twin", [clone, lambda one: pickle.loads(pickle.dumps(one))])
    def test_copies_keep_them(self, twin):
        copied = twin(learner(classes=["cat", "dog"], cold_start=TypiClust()))
        assert copied.classes == ["cat", "dog"] and isinstance(copied.cold_start, TypiClust)
        with pytest.raises(ValueError, match="did you mean 'dog'"):
            copied.fit(X[:2], ["cat", "dig"])

    def test_other_learners(self):
        net = DeepClassifier(nn.Linear(3, 2), max_epochs=1, random_state=0)
        made = DM2ATLearner(net, None, X[:6].astype("f4"), Y[:6], classes=["cat", "dog"], clip=None)
        with pytest.raises(ValueError, match="did you mean 'dog'"):
            made.teach(X[:1].astype("f4"), ["dig"])


class TestColdStart:
    """Twelve tight groups: geometry finds each, chance about eight."""

    def hits(self, made, pool=GROUPS):
        return len({*GROUP[made.query(pool, n_instances=12)[0]].tolist()})

    @pytest.mark.parametrize("Starter", STARTERS)
    @pytest.mark.parametrize("query_strategy", [MarginSampling(), BADGE(), margin_sampling])
    def test_a_named_strategy_is_obeyed(self, Starter, query_strategy):
        assert self.hits(ActiveLearner(LogisticRegression(), query_strategy, cold_start=Starter(random_state=0))) >= 11

    @pytest.mark.parametrize("Starter", STARTERS)
    def test_a_strategy_of_embeddings_begins_by_itself(self, Starter, recwarn):
        assert self.hits(ActiveLearner(LogisticRegression(), Starter(random_state=0))) >= 11
        assert not [w for w in recwarn if issubclass(w.category, ColdStartWarning)]
        loop = ActiveLearningClassifier(
            LogisticRegression(), MarginSampling(), init_strategy=Starter(), n_initial=12, n_instances=2, n_queries=1,
            random_state=0,
        )  # fmt: skip
        loop.fit(GROUPS, GROUP % 3)
        assert len({*GROUP[loop.queried_idx_[:12]].tolist()}) >= 11

    def test_random_is_obeyed_too(self):
        made = ActiveLearner(LogisticRegression(), TypiClust(random_state=0), cold_start="random", random_state=3)
        expected = RandomSampling(random_state=3).select(ActiveLearner(LogisticRegression()), GROUPS, 12)[0]
        np.testing.assert_array_equal(made.query(GROUPS, n_instances=12)[0], expected)

    def test_it_ends_with_the_first_labels(self):
        made = ActiveLearner(LogisticRegression(), MarginSampling(), cold_start=TypiClust(random_state=0))
        first = made.query(X, n_instances=12)[0]
        made.teach(X[first], Y[first])
        proba = np.sort(made.predict_proba(X), axis=1)
        assert made.query(X, n_instances=1)[0][0] == (proba[:, 1] - proba[:, 0]).argmin()

    def test_transformers_are_fitted_on_the_pool(self):
        pipeline = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
        holes = GROUPS * np.array([1e6, 1, 1, 1, 1, 1, 1, 1])
        holes[0, 1] = np.nan
        assert self.hits(ActiveLearner(pipeline, MarginSampling(), cold_start=TypiClust(random_state=0)), holes) == 12
        assert not hasattr(pipeline[0], "statistics_")

    def test_a_frozen_backbone(self):
        body = nn.Sequential(nn.Linear(8, 8, bias=False), nn.ReLU())
        nn.init.eye_(body[0].weight)
        module = nn.Sequential(body, nn.Linear(8, 3))
        net = DeepClassifier(module, freeze="backbone", max_epochs=1, random_state=0)
        made = ActiveLearner(net, MarginSampling(), cold_start=KMeansSampling(random_state=0))
        plain = ActiveLearner(LogisticRegression(), MarginSampling(), cold_start=KMeansSampling(random_state=0))
        X32 = GROUPS.astype("f4")
        np.testing.assert_array_equal(made.query(X32, 12)[0], plain.query(np.maximum(X32, 0), 12)[0])
        assert not net.initialized_

    def test_a_network_that_has_learned_nothing_has_no_embeddings(self):
        net = DeepClassifier(nn.Linear(8, 3), max_epochs=1, random_state=0)
        made = ActiveLearner(net, MarginSampling(), cold_start=TypiClust(random_state=0))
        with pytest.warns(ColdStartWarning, match="TypiClust chooses uniformly at random"):
            made.query(GROUPS.astype("f4"), n_instances=3)

    def test_a_pool_with_holes(self):
        holes = GROUPS.copy()
        holes[3, 3] = np.nan
        with pytest.raises(ValueError, match="X must hold finite numbers"):
            ActiveLearner(LogisticRegression(), cold_start=TypiClust()).query(holes, n_instances=3)

    @pytest.mark.parametrize(
        ("cold_start", "error", "message"),
        [
            (MarginSampling(), ValueError, r"Got MarginSampling\(\), which needs proba"),
            (TypiClust, TypeError, "must be 'random' or a strategy that needs embeddings only"),
            ("typiclust", TypeError, "Got 'typiclust' instead"),
            (None, TypeError, "Got None instead"),
        ],
    )
    def test_what_cannot_begin(self, cold_start, error, message):
        with pytest.raises(error, match=message):
            ActiveLearner(LogisticRegression(), cold_start=cold_start)

    def test_misspelt_keywords_are_errors_before_the_first_labels_too(self):
        made = ActiveLearner(LogisticRegression(), MarginSampling(), cold_start="random")
        with pytest.raises(TypeError, match="Did you mean 'n_instances'"):
            made.query(X, n_instance=3)

    def test_defaults_survive_copies(self):
        copied = pickle.loads(pickle.dumps(clone(ActiveLearner(LogisticRegression(), TypiClust(random_state=0)))))
        assert copied.cold_start == "random" and "cold_start" not in repr(copied)
        assert self.hits(copied) == 12
