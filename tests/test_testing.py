"""FakePool gives back what it was given; check_strategy passes what keeps the rules, and names a broken one."""

import functools
import math
import pickle
from numbers import Real
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances_argmin_min

from skal.base import Interval, QueryStrategy, ScoringStrategy
from skal.exceptions import PoolCapabilityError
from skal.models import Head
from skal.pool import PoolView, view_pool
from skal.strategies import (
    BADGE,
    BAL,
    BALD,
    BALQUE,
    DECERN,
    DM2,
    UFFM,
    CoreSet,
    DetectionEntropy,
    DetectionLeastConfidence,
    EntropySampling,
    LeastConfidence,
    MarginSampling,
    NoiseStability,
    QueryByCommittee,
    decern_sampling,
)
from skal.testing import FakePool, check_strategy, strategy_checks

P = [[0.5, 0.3, 0.2], [0.9, 0.05, 0.05], [0.4, 0.35, 0.25]]


class TestFakePool:
    def test_uncertainty(self):
        fake = FakePool(proba=P)
        assert view_pool(fake, fake.X) is fake
        assert fake.X.tolist() == [[0.0], [1.0], [2.0]]
        query_idx, scores = MarginSampling().select(fake, fake.X, 3)
        assert query_idx.tolist() == [2, 0, 1]
        np.testing.assert_allclose(scores, [-0.05, -0.2, -0.85])
        entropy = [-sum(p * math.log(p) for p in row) for row in P]
        np.testing.assert_allclose(EntropySampling().score_samples(fake, fake.X), entropy)
        np.testing.assert_allclose(LeastConfidence().score_samples(fake, fake.X), [0.5, 0.1, 0.6])
        assert dict(fake.asked) == {"proba": 1}

    def test_core_set(self):
        fake = FakePool(embeddings=[[0.0], [1.0], [2.0], [3.0]], labeled=FakePool(embeddings=[[0.0], [3.0]], y=[0, 1]))
        query_idx, scores = CoreSet().select(fake, fake.X, 4)
        assert set(query_idx[:2].tolist()) == {1, 2}
        assert scores.tolist() == [1.0, 1.0, 0.0, 0.0]
        assert dict(fake.asked) == dict(fake.labeled.asked) == {"embeddings": 1}

    def test_labels_of_the_labelled_are_needed_only_where_they_are_read(self):
        fake = FakePool(embeddings=[[0.0], [2.0]], labeled=FakePool(embeddings=[[0.0]]))
        assert CoreSet().select(fake, fake.X, 1)[0].tolist() == [1]
        with pytest.raises(ValueError, match="The FakePool of the labelled data needs y="):
            fake.labeled.y_encoded  # noqa: B018

    def test_badge(self):
        # Equally unsure, so the longest; and one that is longer but sure.
        fake = FakePool(embeddings=[[1.0, 1.0], [3.0, 3.0], [2.0, 2.0], [50.0, 0.0]], head=(np.eye(2), np.zeros(2)))
        query_idx, scores = BADGE(random_state=0).select(fake, fake.X, 1)
        assert query_idx.tolist() == [1]
        np.testing.assert_allclose(scores, [0.5 * 18])
        assert set(fake.asked) == {"embeddings", "logits", "head"}

    def test_decern(self):
        weight, bias = np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2)
        Z, L = np.array([[0.2, 0.1], [3.0, 0.0], [0.0, 2.0]]), np.array([[4.0, 0.0], [0.0, 4.0]])
        known = FakePool(
            embeddings=Z, head=(weight, bias), labeled=FakePool(embeddings=L, head=(weight, bias), y=[0, 1])
        )
        query_idx, _ = DECERN(random_state=0).select(known, known.X, 1)
        assert query_idx.tolist() == [0]

    def test_boxes(self):
        fake = FakePool(boxes=[[[0.5, 0.5], [1.0, 0.0]], np.empty((0, 2)), [[0.9, 0.1]]])
        scores = DetectionLeastConfidence().score_samples(fake, fake.X)
        np.testing.assert_allclose(scores[[0, 2]], [0.5, 0.1])
        assert scores.argmin() == 1

    def test_several_opinions(self):
        sure = [np.eye(2)[[0, 0]], np.eye(2)[[0, 1]]]
        fake = FakePool(opinions=sure)
        np.testing.assert_allclose(BALD().score_samples(fake, fake.X), [0.0, math.log(2)])
        labeled = FakePool(y=[0, 1])
        for member in ("clones", "members"):
            fake = FakePool(**{member: sure}, labeled=labeled)
            np.testing.assert_allclose(QueryByCommittee(n_members=2).score_samples(fake, fake.X), [0.0, math.log(2)])
            assert dict(fake.asked) == {member: 1}
        fake = FakePool(snapshots=sure, labeled=labeled)
        assert BALQUE().select(fake, fake.X, 1)[0].tolist() == [1]
        fake = FakePool(proba=[[0.9, 0.1], [0.6, 0.4]], perturbed=[np.array([[0.9, 0.1], [0.1, 0.9]])])
        assert NoiseStability(n_samples=1, random_state=0).select(fake, fake.X, 1)[0].tolist() == [1]
        with pytest.raises(ValueError, match="FakePool must be given as many perturbed as are asked for, 2. Got 1"):
            NoiseStability(n_samples=2).select(fake, fake.X, 1)

    def test_rounds_and_memory(self):
        X = np.random.default_rng(0).standard_normal((12, 2))
        first = FakePool(X=X, proba=np.full((12, 2), 0.5), round=1, n_rounds=4)
        made = []
        for fake in (first, FakePool(X=X, proba=np.full((12, 2), 0.5), round=2, memory=first.memory)):
            assert fake.counts_rounds
            fake.memory.recall("me", {"a": 1}, lambda: made.append(1))
        assert (first.round, first.n_rounds, len(made)) == (1, 4, 1)
        assert len(BAL(n_clusters=2, random_state=0).select(first, first.X, 2)[0]) == 2

    def test_what_follows(self):
        Z, weight, bias = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.5, 1.0], [0.0, 0.0]]), np.ones(3)
        logits = Z @ weight.T + bias
        for head in ((weight, bias), Head(weight=weight, bias=bias)):
            fake = FakePool(embeddings=Z, head=head, classes=["a", "b", "c"])
            np.testing.assert_allclose(fake.logits, logits)
            np.testing.assert_allclose(fake.proba, softmax(logits, axis=1))
            np.testing.assert_array_equal(fake.linear_head.weight, weight)
            assert fake.classes.tolist() == ["a", "b", "c"]
        fake = FakePool(embeddings=Z, head=torch.tanh)
        np.testing.assert_allclose(fake.logits, np.tanh(Z))
        with pytest.raises(PoolCapabilityError, match="BADGE needs a linear `head`, which FakePool does not supply"):
            BADGE().select(fake, fake.X, 1)
        np.testing.assert_allclose(FakePool(logits=logits).proba, softmax(logits, axis=1))

    def test_the_labelled_have_the_pools_classes_and_asker(self):
        fake = FakePool(
            proba=[[0.5, 0.5]], classes=["b", "a"], labeled=FakePool(embeddings=[[0.0]], X=[[0.0]], y=["a"])
        )
        assert fake.labeled.y_encoded.tolist() == [1]
        fake.require("proba", by="Mine")
        with pytest.raises(PoolCapabilityError, match="Mine needs class probabilities, which FakePool does not supply"):
            fake.labeled.proba  # noqa: B018

    def test_callable_probabilities_serve_other_samples(self):
        X = np.array([[0.0, 1.0], [2.0, 0.0], [3.0, 5.0]])
        fake = FakePool(embeddings=X, proba=lambda X: softmax(X, axis=1))
        assert len(DM2(random_state=0).select(fake, X, 2)[0]) == 2
        fake = FakePool(embeddings=X, proba=softmax(X, axis=1))
        with pytest.raises(ValueError, match="FakePool knows proba of its own samples only: give proba as a callable"):
            DM2().select(fake, X, 2)

    def test_blocks(self):
        fake = FakePool(proba=P, embeddings=np.arange(3.0)[:, None])
        found = list(fake.iter_outputs(("proba",), 2))
        assert [rows for rows, _ in found] == [slice(0, 2), slice(2, 3)]
        np.testing.assert_array_equal(np.concatenate([outputs.proba for _, outputs in found]), P)
        assert found[0][1].embeddings is None

    @pytest.mark.parametrize(
        ("strategy", "given", "message"),
        [
            (
                MarginSampling(),
                {"embeddings": [[1.0]]},
                "MarginSampling needs class probabilities, which FakePool does",
            ),
            (CoreSet(), {"embeddings": [[1.0]]}, "CoreSet needs the labelled data, which FakePool does not supply"),
            (BADGE(), {"embeddings": [[1.0]]}, r"BADGE needs a linear `head`, which FakePool .* Give it head=\."),
            (
                BALD(source="own"),
                {"proba": [[1.0, 0.0]]},
                "BALD needs several opinions of the classifier, which FakePool",
            ),
            (
                QueryByCommittee(),
                {"proba": [[1.0, 0.0]]},
                "QueryByCommittee needs the members of a committee or clones",
            ),
            (DetectionEntropy(), {"proba": [[1.0, 0.0]]}, "DetectionEntropy needs class distributions of the boxes"),
        ],
        ids=str,
    )
    def test_what_is_absent(self, strategy, given, message):
        fake = FakePool(**given)
        with pytest.raises(PoolCapabilityError, match=message):
            strategy.select(fake, fake.X, 1)
        assert not fake.asked

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "FakePool needs X=, since nothing that it was given shows how many samples there are"),
            ({"proba": [0.5, 0.5]}, r"The 'proba' of FakePool must have two axes, samples first. Got shape \(2,\)"),
            ({"proba": P, "embeddings": [[1.0]]}, "must be of the same number of samples, 1: proba has 3"),
            ({"proba": P, "y": [0]}, "must be of the same number of samples, 3: y has 1"),
            ({"proba": P, "opinions": [P, P[:2]]}, "must be of the same number of samples, 3: opinions has 2"),
            ({"proba": P, "logits": [[0.0, 0.0]] * 3}, "must have one column for each class"),
            ({"head": (np.eye(2), np.zeros(2))}, "The 'head' of FakePool needs embeddings="),
            ({"embeddings": P, "head": (np.eye(2), np.zeros(2))}, "takes embeddings of 2 dimensions, but these have 3"),
            ({"embeddings": P, "head": (np.eye(3), np.zeros(2))}, r"Got shapes \(3, 3\) and \(2,\)"),
            ({"embeddings": P, "head": 3}, r"must be \(weight, bias\), a callable or a Head. Got 3 instead"),
            (
                {"embeddings": P, "head": (np.eye(3), np.zeros(3)), "logits": np.zeros((3, 3))},
                "The 'logits' of FakePool must be what its head makes of its embeddings",
            ),
            ({"proba": P, "labeled": 3}, "The 'labeled' of FakePool must be another FakePool. Got int"),
            ({"proba": P, "labeled": FakePool(proba=[[1.0, 0.0]])}, "must have the pool's classes, 3. Got 2"),
            ({"proba": P, "classes": [0, 1]}, "classes"),
        ],
        ids=lambda value: "" if isinstance(value, str) else "-".join(value),
    )
    def test_errors(self, given, message):
        with pytest.raises(ValueError, match=message):
            FakePool(**given)

    def test_is_a_view(self):
        fake = FakePool(proba=P)
        assert isinstance(fake, PoolView)
        assert repr(fake) == "PoolView(n=3, model=FakePool)"
        assert fake.take([1]).tolist() == [[1.0]]
        assert fake.labeled is None


# -- check_strategy ----------------------------------------------------------------------------------------------


def test_a_strategy_of_somebody_else_passes():
    class NovelUncertainty(ScoringStrategy):
        """The example of the user guide; a class that only cloudpickle knows."""

        _parameter_constraints: ClassVar[dict] = {
            "power": [Interval(Real, 0, None, closed="left")],
            "random_state": ["random_state"],
        }
        requires = ("proba", "embeddings", "labeled")

        def __init__(self, *, power=1.0, random_state=None):
            self.power = power
            self.random_state = random_state

        def _score(self, pool, rng):
            _, distance = pairwise_distances_argmin_min(pool.embeddings, pool.labeled.embeddings)
            return (1 - pool.proba.max(axis=1)) * distance**self.power

    check_strategy(NovelUncertainty())
    check_strategy(NovelUncertainty(power=0.5, random_state=3))


def plain_function(classifier, X, n_instances=1):
    return np.arange(n_instances)


@pytest.mark.parametrize(
    "strategy",
    [
        UFFM(DetectionEntropy(), descriptor=PCA(2, random_state=0)),
        UFFM(plain_function),
        UFFM(functools.partial(decern_sampling, xi=0.4)),
        BALD(source="own", n_samples=3),
        BAL(normalize_logits=True, order="descending"),
    ],
    ids=lambda strategy: repr(strategy)[:30],
)
def test_other_parameters_pass(strategy):
    check_strategy(strategy)


class Least(ScoringStrategy):
    """Least confidence, in which one rule is broken by each subclass."""

    _parameter_constraints: ClassVar[dict] = {"random_state": ["random_state"]}
    requires = ("proba",)

    def __init__(self, *, random_state=None):
        self.random_state = random_state

    def _score(self, pool, rng):
        return 1 - pool.proba.max(axis=1)


class Duplicates(Least):
    def _query(self, pool, n_instances, rng):
        return np.zeros(n_instances, dtype=int), np.zeros(n_instances)


class Floats(Least):
    def _query(self, pool, n_instances, rng):
        return np.arange(n_instances) + 0.7, np.zeros(n_instances)


class OutOfRange(Least):
    def _query(self, pool, n_instances, rng):
        return np.arange(n_instances) + len(pool) - 1, np.zeros(n_instances)


class NaNScores(Least):
    def _score(self, pool, rng):
        return np.full(len(pool), np.nan)


class TakesMore(Least):
    def select(self, classifier, X, n_instances=1, **kwargs):
        return super().select(classifier, X, min(n_instances, len(X)), **kwargs)


class Mutates(Least):
    def _score(self, pool, rng):
        pool.X[0] += 1.0
        return super()._score(pool, rng)


class MutatesTheView(Least):
    def _score(self, pool, rng):
        proba = pool.proba
        proba.sort(axis=1)
        return 1 - proba[:, -1]


class GlobalGenerator(Least):
    def _score(self, pool, rng):
        np.random.rand()  # noqa: NPY002
        return super()._score(pool, rng)


class OwnGenerator(Least):
    def _score(self, pool, rng):
        return np.random.default_rng(self.random_state).random(len(pool))


class NoClone(Least):
    _parameter_constraints: ClassVar[dict] = {"weights": ["array-like"], "random_state": ["random_state"]}

    def __init__(self, *, weights=(1.0,), random_state=None):
        self.weights = np.array(weights)
        self.random_state = random_state


class Keeps(Least):
    def _score(self, pool, rng):
        self.n_queries_ = getattr(self, "n_queries_", 0) + 1
        return super()._score(pool, rng)


class KeepsOfItsClass(Least):
    seen: ClassVar[list] = []

    def _score(self, pool, rng):
        self.seen.append(1)
        return super()._score(pool, rng) * len(self.seen)


class Forgets(Least):
    def _score(self, pool, rng):
        return super()._score(pool, rng) + 0 * pool.embeddings[:, 0]


class ForgetsTheLabelled(Least):
    requires = ("proba", "embeddings")

    def _score(self, pool, rng):
        return super()._score(pool, rng) + len(pool.labeled)


class Positional(Least):
    def __init__(self, random_state=None):
        self.random_state = random_state


class Unconstrained(Least):
    def __init__(self, *, power=1.0, random_state=None):
        self.power = power
        self.random_state = random_state


class OrderCounts(Least):
    order_free = True

    def _score(self, pool, rng):
        return np.arange(len(pool), dtype=float)


class TwoPasses(Least):
    def _score(self, pool, rng):
        pool.predict_proba(pool.X + 0.0)
        return super()._score(pool, rng)


class NoTies(QueryStrategy):
    _parameter_constraints: ClassVar[dict] = {}
    requires = ("proba",)

    def _query(self, pool, n_instances, rng):
        _, first = np.unique(pool.proba[:, 0], return_index=True)
        return first[:n_instances], np.zeros(n_instances)


class OtherScores(Least):
    def _query(self, pool, n_instances, rng):
        idx, scores = super()._query(pool, n_instances, rng)
        return idx, 2 * scores


class NotRowwise(Least):
    """A sample's score depends on the others."""

    rowwise = True

    def _score(self, pool, rng):
        scores = super()._score(pool, rng)
        return -np.abs(scores - scores.mean())


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (Duplicates, "return unique int64 positions"),
        (Floats, "return unique int64 positions.*must return positions as integers. Got float64"),
        (OutOfRange, "return unique int64 positions"),
        (NaNScores, "finite"),
        (TakesMore, r"refuse n_instances outside \[1, n\], and an empty pool, with a ValueError: 61 passes"),
        (Mutates, "change nothing that it is given.*'pool'.* came back changed"),
        (MutatesTheView, "change nothing that it is given.*'proba 0'.* of the view came back changed"),
        (GlobalGenerator, r"leave the global random generators alone: that of \['numpy.random'\] is advanced"),
        (OwnGenerator, "choose differently in different rounds"),
        (NoClone, "have a keyword-only constructor that stores its parameters as they are: 'weights' is changed"),
        (Keeps, "choose the same with the same seed, and keep nothing between queries: a query leaves something on it"),
        (KeepsOfItsClass, "choose the same"),
        (Forgets, r"name in `requires` all that it reads: \('proba',\) is not enough.*embeddings"),
        (ForgetsTheLabelled, "name in `requires` all that it reads"),
        (Positional, "have a keyword-only constructor.*: 'random_state' is not keyword-only"),
        (Unconstrained, r"name exactly its parameters in _parameter_constraints: \['power'\] stand in one"),
        (OrderCounts, "choose the same samples of a permuted pool, as its order_free = True says"),
        (TwoPasses, r"name in `requires`|ask the model about the pool once \(or say one_pass = False\)"),
        (NoTies, "choose among duplicates, samples that are all alike"),
        (NotRowwise, "choose the same of a pool that is seen in blocks"),
        (OtherScores, "return of score_samples what it selects by"),
    ],
)
def test_a_broken_rule_is_named(broken, rule):
    with pytest.raises(AssertionError, match=rf"^{broken.__name__} must .*({rule})") as caught:
        check_strategy(broken())
    assert "\n" not in str(caught.value)


def test_what_is_no_strategy():
    for wrong in (MarginSampling, 3):
        with pytest.raises(TypeError, match="check_strategy takes an instance of a subclass of QueryStrategy"):
            check_strategy(wrong)


def test_checks_one_by_one():
    names = [check.__name__ for check in strategy_checks()]
    assert len(names) == len(set(names)) > 20
    assert all(name.startswith("check_") for name in names)
    strategy_checks()[0](MarginSampling())


def test_the_instance_stays():
    strategy = UFFM(MarginSampling(random_state=1), random_state=np.random.RandomState(2))
    before = pickle.dumps(strategy)
    check_strategy(strategy)
    assert pickle.dumps(strategy) == before


def test_what_only_a_committee_serves():
    class Voters(Least):
        requires = ("members",)

        def _score(self, pool, rng):
            return np.var([proba.max(axis=1) for proba in pool.iter_clone_samples(5, rng)], axis=0)

    check_strategy(Voters())
    assert Voters.requires == ("members",)


def test_the_most_that_can_be_asked_of_one_model():
    class Greedy(Least):
        """Needs a network with dropout: opinions beside a head."""

        requires = ("head", "opinions", "labeled")

        def _score(self, pool, rng):
            opinions = list(pool.iter_proba_samples(2, rng, by="Greedy"))
            return np.var(opinions, axis=0).sum(axis=1) + 0 * pool.logits[:, 0]

    check_strategy(Greedy())
