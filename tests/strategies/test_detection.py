"""RLC, RMS and RES: the paper's vectors, a slow loop, images without boxes, and the checks every strategy meets."""

import pickle

import numpy as np
import pytest
from modAL.models import ActiveLearner as ModALActiveLearner
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skal import strategies
from skal.exceptions import ColdStartWarning, PoolCapabilityError
from skal.learners import ActiveLearner
from skal.pool import view_pool
from skal.strategies import (
    UFFM,
    DetectionEntropy,
    DetectionLeastConfidence,
    DetectionMargin,
    RandomSampling,
    detection_entropy_sampling,
)
from skal.utils._compat import STRATEGIES_RETURN_PAIRS

P, R = [0.5, 0.3, 0.2], [0.9, 0.05, 0.05]
CLASSES = [DetectionEntropy, DetectionLeastConfidence, DetectionMargin]
every_strategy = pytest.mark.parametrize("strategy_class", CLASSES)


class Detector(BaseEstimator):
    """Finds in a sample the boxes that the sample is: (n_boxes, n_classes) logits."""

    def __init__(self, *, lists=False):
        self.lists = lists

    def fit(self, X, y):
        self.n_fits_ = getattr(self, "n_fits_", 0) + 1
        self.n_passes_ = 0
        return self

    def predict(self, X):
        return [{"boxes": np.zeros((len(x), 4))} for x in X]

    def predict_proba(self, X):
        self.n_passes_ += 1
        proba = [np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in X]
        return [p.tolist() for p in proba] if self.lists else proba


class Known:
    """Distributions as they are."""

    def predict_proba(self, X):
        return X


def pool_of(n, seed, n_classes=4):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(rng.integers(0, 5), n_classes)) for _ in range(n)]


POOL = pool_of(40, seed=0)
TRAINING = pool_of(6, seed=1), [{"boxes": np.zeros((0, 4)), "labels": []} for _ in range(6)]


@pytest.fixture
def detector():
    return Detector().fit(*TRAINING)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (DetectionLeastConfidence(), 0.6),
        (DetectionMargin(), -1.05),
        (DetectionEntropy(), 1.424050705512),
        (DetectionMargin(margin="one_minus"), 0.95),
        # The single-object uncertainties, which the paper compares with.
        (DetectionLeastConfidence(aggregation="max"), 0.5),
        (DetectionMargin(aggregation="max"), -0.2),
        (DetectionMargin(aggregation="max", margin="one_minus"), 0.8),
        (DetectionEntropy(aggregation="max"), 1.029653014065),
        (DetectionLeastConfidence(aggregation="mean"), 0.3),
        (DetectionMargin(aggregation="mean"), -0.525),
        (DetectionEntropy(aggregation="mean"), 0.712025352756),
    ],
)
def test_vectors_of_the_paper(strategy, expected):
    assert strategy.score_samples(Known(), [np.array([P, R])])[0] == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("aggregation", ["sum", "mean", "max"])
@pytest.mark.parametrize("n_classes", [1, 2, 3, 21])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_against_a_slow_loop(aggregation, n_classes, dtype):
    rng = np.random.default_rng(n_classes)
    pool = [rng.dirichlet(np.ones(n_classes) * 0.3, size=rng.integers(1, 9)).astype(dtype) for _ in range(30)]
    expected = {"lc": [], "margin": [], "one_minus": [], "entropy": []}
    for boxes in pool:
        values = {name: [] for name in expected}
        for row in boxes.tolist():
            first, second = [*sorted(row, reverse=True), 0.0][:2]
            values["lc"].append(1 - first)
            values["margin"].append(-(first - second))
            values["one_minus"].append(1 - (first - second))
            values["entropy"].append(-sum(p * np.log(p) for p in row if p > 0))
        for name, of_boxes in values.items():
            total = sum(of_boxes)
            value = {"sum": total, "mean": total / len(of_boxes), "max": max(of_boxes)}[aggregation]
            expected[name].append(value)
    for name, strategy in (
        ("lc", DetectionLeastConfidence(aggregation=aggregation)),
        ("margin", DetectionMargin(aggregation=aggregation)),
        ("one_minus", DetectionMargin(aggregation=aggregation, margin="one_minus")),
        ("entropy", DetectionEntropy(aggregation=aggregation)),
    ):
        np.testing.assert_allclose(strategy.score_samples(Known(), pool), expected[name], rtol=1e-9, atol=1e-12)


@every_strategy
def test_images_without_boxes(strategy_class):
    pool = [np.array([P, R]), np.empty((0, 3)), np.array([[1.0, 0.0, 0.0]]), np.array([P] * 9), np.empty((0, 3))]
    last = strategy_class(random_state=0).select(Known(), pool, 5)
    assert set(last[0][-2:].tolist()) == {1, 4}
    assert (last[1][-2:] == last[1][:3].min() - 1).all()
    first = strategy_class(empty="first", random_state=0).select(Known(), pool, 5)
    assert set(first[0][:2].tolist()) == {1, 4} and (first[1][:2] == first[1][2:].max() + 1).all()
    nothing = strategy_class(random_state=0).select(Known(), [[], np.empty((0, 3)), []], 2)
    assert nothing[1].tolist() == [0, 0]


def test_more_boxes_make_the_printed_margin_less_interesting():
    one, two = np.array([P]), np.array([P, P])
    assert DetectionMargin().select(Known(), [one, two])[0].tolist() == [0]
    assert DetectionMargin(margin="one_minus").select(Known(), [one, two])[0].tolist() == [1]
    assert DetectionEntropy().select(Known(), [one, two])[0].tolist() == [1]


@every_strategy
@pytest.mark.parametrize("n_instances", [1, 2, 40])
def test_contract(strategy_class, n_instances, detector):
    query_idx, scores = strategy_class(random_state=0).select(detector, POOL, n_instances)
    assert query_idx.dtype == np.int64 and scores.dtype == np.float64
    assert query_idx.shape == scores.shape == (n_instances,) and len(set(query_idx.tolist())) == n_instances
    assert (scores[:-1] >= scores[1:]).all()
    again = strategy_class(random_state=0).select(detector, POOL, n_instances)
    np.testing.assert_array_equal(query_idx, again[0])
    assert detector.n_passes_ == 2
    with pytest.raises(ValueError, match="n_instances must be at most the size of the pool, 40"):
        strategy_class().select(detector, POOL, 41)
    with pytest.raises(ValueError, match="empty pool"):
        strategy_class().select(detector, [], 1)


@every_strategy
def test_parameters(strategy_class, detector):
    twin = clone(strategy_class(aggregation="mean", empty="first"))
    assert twin.get_params()["aggregation"] == "mean"
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(twin)).score_samples(detector, POOL), twin.score_samples(detector, POOL)
    )
    for name in ("aggregation", "empty", *(["margin"] if strategy_class is DetectionMargin else [])):
        with pytest.raises(ValueError, match=f"The '{name}' parameter of {strategy_class.__name__} must be a str"):
            strategy_class(**{name: "median"}).select(detector, POOL)


def test_global_generators_are_left_alone(detector):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    DetectionEntropy().select(detector, POOL, 5)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("lists", [False, True])
def test_in_learners(lists):
    strategy = DetectionEntropy(random_state=0)
    learner = ActiveLearner(Detector(lists=lists), strategy, X_training=TRAINING[0], y_training=TRAINING[1])
    query_idx, images, scores = learner.query(POOL, n_instances=5, return_metrics=True)
    expected = strategy.select(learner.estimator, POOL, 5)
    np.testing.assert_array_equal(query_idx, expected[0])
    np.testing.assert_allclose(scores, expected[1])
    learner.teach(images, [{"boxes": np.zeros((0, 4)), "labels": []} for _ in images])
    assert len(learner.X_training) == 11 and learner.estimator.n_fits_ == 2
    means = learner.query(POOL, n_instances=5, aggregation="mean")[0]
    np.testing.assert_array_equal(means, DetectionEntropy(aggregation="mean").select(learner.estimator, POOL, 5)[0])


def test_the_twin_answers_as_the_installed_modal_expects(detector):
    assert detection_entropy_sampling.__name__ == "detection_entropy_sampling"
    answer = detection_entropy_sampling(detector, POOL, n_instances=3, random_state=0)
    expected = DetectionEntropy(random_state=0).select(detector, POOL, 3)
    np.testing.assert_array_equal(answer[0] if STRATEGIES_RETURN_PAIRS else answer, expected[0])
    for strategy_class in CLASSES:
        twins = [obj for obj in vars(strategies).values() if getattr(obj, "strategy_class", None) is strategy_class]
        assert len(twins) == 1 and twins[0].__name__ in strategies.__all__


def test_in_modals_own_learner(detector):
    learner = ModALActiveLearner(detector, query_strategy=DetectionEntropy(random_state=0))
    pool = np.stack([np.full((2, 3), i) * np.eye(2, 3) for i in range(8)])
    query_idx, images = learner.query(pool, n_instances=2)
    # The smallest logits are the most uncertain ones.
    assert sorted(np.asarray(query_idx).tolist()) == [0, 1] and len(images) == 2


def test_without_labels_images_are_chosen_at_random():
    learner = ActiveLearner(Detector(), query_strategy=DetectionEntropy(random_state=0))
    with pytest.warns(ColdStartWarning, match="DetectionEntropy chooses uniformly at random"):
        assert len(learner.query(POOL, n_instances=4)[0]) == 4


def test_uffm_around_them(detector):
    """The candidates are the base strategy's, matched by descriptors of the samples; the detector runs once."""
    flat = FunctionTransformer(lambda X: np.stack([np.resize(x, 12) if x.size else np.zeros(12) for x in X]))
    strategy = UFFM(DetectionEntropy(random_state=0), descriptor=make_pipeline(flat, PCA(4)), sampling_ratio=2)
    query_idx, scores = strategy.select(detector, POOL, 6)
    assert detector.n_passes_ == 1
    ranked = DetectionEntropy(random_state=0).select(detector, POOL, 12)
    assert set(query_idx.tolist()) < set(ranked[0].tolist()) and query_idx[0] == ranked[0][0]
    assert (scores[:-1] >= scores[1:]).all()


def test_pool_view(detector):
    pool = view_pool(detector, POOL)
    boxes = pool.box_proba
    assert [p.shape for p in boxes] == [x.shape if len(x) else (0, 4) for x in POOL]
    assert pool.box_proba is boxes and list(pool.iter_box_proba())[3] is boxes[3] and detector.n_passes_ == 1
    pipeline = make_pipeline(FunctionTransformer(lambda X: [2 * x for x in X]), detector)
    np.testing.assert_allclose(view_pool(pipeline, POOL[:3]).box_proba[0], detector.predict_proba([2 * POOL[0]])[0])


class Wrong:
    def __init__(self, answer):
        self.answer = answer

    def predict_proba(self, X):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (np.ones((3, 2)) / 2, PoolCapabilityError, "DetectionEntropy needs class distributions.*Wrong does"),
        ([np.array([P])] * 2, ValueError, "must return one array per image, 3. Got 2"),
        ([np.array(P)] * 3, ValueError, r"class probabilities \(n_boxes, n_classes\).*shape \(3,\)"),
        ([np.array([[0.5, np.nan]])] * 3, ValueError, "class probabilities"),
        ([np.array([[1.5, -0.5]])] * 3, ValueError, "class probabilities"),
        ([np.array([[12.0, 3.0]])] * 3, ValueError, "class probabilities"),
    ],
)
def test_wrong_answers_of_a_detector(answer, error, message):
    with pytest.raises(error, match=message):
        DetectionEntropy().select(Wrong(answer), POOL[:3])


def test_not_finite_and_not_fitted(detector):
    bad = [*POOL[:3], np.full((2, 4), np.nan)]
    with pytest.raises(ValueError, match=r"X\[3\] contains NaN"):
        DetectionEntropy().select(detector, bad)
    with pytest.raises(NotFittedError):
        DetectionEntropy().select(Detector(), POOL)
    assert len(RandomSampling(random_state=0).select(detector, POOL, 3)[0]) == 3
