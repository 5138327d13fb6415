"""Every strategy keeps the rules of `skal.testing.check_strategy`, and those below, which hold for skal's own."""

import functools
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from modAL.models import ActiveLearner as ModALActiveLearner
from modAL.models import Committee
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version
from torch import nn

from skal import strategies
from skal.base import QueryStrategy
from skal.exceptions import ColdStartWarning, PoolCapabilityError
from skal.learners import ActiveLearner
from skal.nets import DeepClassifier
from skal.testing import strategy_checks
from skal.utils._compat import STRATEGIES_RETURN_PAIRS

# Constructors with what a strategy cannot do without, or would be slow without; the rest are called with no argument.
MAKE = {
    "ActiveFT": lambda: {"max_iter": 30},  # its default is ten times as many, for the same checks
    # Without a loop that knows its length; n_clusters for the cold start, where no model knows the classes.
    "BAL": lambda: {"n_rounds": 4, "n_clusters": 3},
    "PT4AL": lambda: {"n_rounds": 4, "pretext": PCA(2, random_state=0)},
    # As many parts as leave each a few samples; test_partitioned.py has other numbers.
    "Partitioned": lambda: {"strategy": strategies.MarginSampling(), "n_parts": 4},
    # Both stages; test_prefilter.py has candidates that are fewer than the pool.
    "Prefilter": lambda: {"strategy": strategies.MarginSampling(), "n_candidates": 1000},
    "EPIG": lambda: {"n_passes": 4},  # each may be a fit
    "PAL": lambda: {"max_epochs": 10, "n_subqueries": 2},  # a tenth of the default, for the same checks
    "StochasticBatch": lambda: {"strategy": strategies.MarginSampling()},
    # Smaller networks, trained for less; their own tests have the defaults.
    "CoreGCN": lambda: {"hidden": 16, "max_epochs": 20},
    "UncertainGCN": lambda: {"hidden": 16, "max_epochs": 20},
    "VAAL": lambda: {"hidden": 16, "n_iter": 4},
}

ALL = [name for name in strategies.__all__ if isinstance(getattr(strategies, name), type)]
# What asks a detector about boxes in images meets the checks below on a detector, in test_detection.py.
CLASSES = [name for name in ALL if "boxes" not in getattr(strategies, name).requires]
TWINS = [
    name
    for name in strategies.__all__
    if getattr(getattr(strategies, name), "strategy_class", QueryStrategy).__name__ in CLASSES
]
# Strategies that ask nothing of the model, so that a model which is not fitted is no error.
# Strategies that know what to do before there are labels.
OWN_COLD_START = [name for name in CLASSES if getattr(strategies, name)._cold_start is not QueryStrategy._cold_start]

every_strategy = pytest.mark.parametrize("name", CLASSES)
every_twin = pytest.mark.parametrize("name", TWINS)


def make(name, **params):
    cls = getattr(strategies, name)
    defaults = MAKE.get(name, dict)()
    if "random_state" in cls._get_param_names():
        defaults.setdefault("random_state", 0)
    return cls(**{**defaults, **params})


# Strategies that ask nothing of the model, so that a model which is not fitted is no error.
MODEL_FREE = [name for name in CLASSES if not make(name).requires]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("check", strategy_checks(), ids=lambda check: check.__name__)
def test_rules(name, check):
    check(make(name, random_state=None))


@pytest.fixture(scope="module")
def data():
    X, y = make_blobs(150, centers=3, n_features=6, cluster_std=4.0, random_state=0)
    return X[:30], y[:30], X[30:], y[30:]


@pytest.fixture
def learner(data):
    X, y, _, _ = data

    def build(strategy, estimator=None, cls=ActiveLearner):
        estimator = LogisticRegression(max_iter=500) if estimator is None else estimator
        if cls is ModALActiveLearner:
            # modAL's own fit does not run on today's scikit-learn; its constructor does.
            return cls(estimator, query_strategy=strategy, X_training=X, y_training=y)
        return cls(estimator, query_strategy=strategy, X_training=X, y_training=y)

    return build


@every_strategy
@pytest.mark.parametrize(
    ("n_instances", "error", "message"),
    [
        (121, ValueError, "n_instances must be at most the size of the pool, 120. Got 121 instead."),
        (0, ValueError, "n_instances must be at least 1. Got 0 instead."),
        (-1, ValueError, "n_instances must be at least 1"),
        (2.0, TypeError, "n_instances must be an integer. Got 2.0 instead."),
        (True, TypeError, "n_instances must be an integer"),
    ],
)
def test_n_instances(name, n_instances, error, message, learner, data):
    with pytest.raises(error, match=message):
        make(name).select(learner(make(name)), data[2], n_instances)


@every_strategy
def test_empty_pool(name, learner, data):
    with pytest.raises(ValueError, match="empty pool"):
        make(name).select(learner(make(name)), data[2][:0])


@every_strategy
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(name, bad, learner, data):
    if name in MODEL_FREE:
        pytest.skip("asks nothing of the pool's values")
    pool = data[2].copy()
    pool[3, 1] = bad
    with pytest.raises(ValueError, match="(?i)nan|infinity"):
        make(name).select(learner(make(name)), pool, 2)


@every_strategy
def test_wrong_number_of_features(name, learner, data):
    if name in MODEL_FREE:
        pytest.skip("asks nothing of the pool's values")
    with pytest.raises(ValueError, match="X has 5 features per sample, but the labelled data has 6 features"):
        make(name).select(learner(make(name)), data[2][:, :5], 2)


@every_strategy
def test_bare_classifier_must_be_fitted(name, data):
    if name in MODEL_FREE:
        pytest.skip("asks nothing of the model")
    with pytest.raises(NotFittedError, match="LogisticRegression instance is not fitted yet"):
        make(name).select(LogisticRegression(), data[2], 2)


@every_strategy
def test_bare_classifier_with_labelled_data(name, learner, data):
    X, y, pool, _ = data
    with_learner = make(name).select(learner(make(name)), pool, 5)
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    bare = make(name).select(fitted, pool, 5, X_training=X, y_training=y)
    np.testing.assert_array_equal(with_learner[0], bare[0])
    np.testing.assert_allclose(with_learner[1], bare[1])


@every_strategy
def test_random_state_kinds(name, learner, data):
    for random_state in (None, 5, np.random.RandomState(5)):
        query_idx, _ = make(name, random_state=random_state).select(learner(make(name)), data[2], 4)
        assert len(query_idx) == 4
    first = make(name, random_state=np.random.RandomState(5)).select(learner(make(name)), data[2], 4)
    second = make(name, random_state=np.random.RandomState(5)).select(learner(make(name)), data[2], 4)
    np.testing.assert_array_equal(first[0], second[0])


@every_strategy
def test_fitted_search_as_estimator(name, data):
    X, y, pool, _ = data
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), {"logisticregression__C": [1.0]}, cv=2
    )
    learner = ActiveLearner(search, make(name), X, y)
    assert len(learner.query(pool, n_instances=3)[0]) == 3


@every_strategy
@pytest.mark.skipif(
    parse_version(sklearn.__version__) >= parse_version("1.8"), reason="modAL's teach needs scikit-learn < 1.8"
)
def test_loop_in_modals_own_learner(name, learner, data):
    stock, pool, y_pool = learner(make(name), cls=ModALActiveLearner), data[2], data[3]
    for _ in range(3):
        query_idx, instances = stock.query(pool, n_instances=2)
        np.testing.assert_array_equal(instances, pool[query_idx])
        stock.teach(instances, y_pool[query_idx])
        pool, y_pool = np.delete(pool, query_idx, axis=0), np.delete(y_pool, query_idx)
    assert len(stock.X_training) == 36


@every_strategy
def test_returns_what_the_installed_modal_expects(name, learner, data):
    answer = make(name)(learner(make(name)), data[2], 2)
    if STRATEGIES_RETURN_PAIRS:
        assert isinstance(answer, tuple)
        assert len(answer) == 2
        assert answer[0].shape == answer[1].shape == (2,)
    else:
        assert isinstance(answer, np.ndarray)
        assert answer.shape == (2,)


@every_strategy
def test_learner_query(name, learner, data):
    pool = data[2]
    fitted = learner(make(name))
    query_idx, instances = fitted.query(pool, 5)
    np.testing.assert_array_equal(instances, pool[query_idx])
    query_idx, instances, scores = fitted.query(pool, n_instances=2, return_metrics=True)
    assert query_idx.shape == scores.shape == (2,)
    with pytest.raises(TypeError, match=f"{name} has no parameter 'foo'"):
        fitted.query(pool, foo=1)


@every_strategy
def test_partial(name, learner, data):
    fitted = learner(functools.partial(make(name), n_instances=3))
    assert len(fitted.query(data[2])[0]) == 3
    query_idx, _, scores = fitted.query(data[2], n_instances=2, return_metrics=True)
    assert query_idx.shape == scores.shape == (2,)


@every_strategy
def test_cold_start(name, data):
    learner = ActiveLearner(LogisticRegression(), make(name))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first = learner.query(data[2], n_instances=4)[0]
        again = learner.query(data[2], n_instances=4)[0]
    assert len(set(first.tolist())) == 4
    cold = [w for w in caught if issubclass(w.category, ColdStartWarning)]
    # Two features are embeddings enough for those that need no more.
    assert len(cold) == (0 if make(name).begins else 1)
    np.testing.assert_array_equal(first, again)


@every_strategy
def test_committee(name, learner, data):
    committee = Committee(
        [learner(make(name)), learner(make(name), estimator=RandomForestClassifier(5, random_state=0))], make(name)
    )
    if name not in strategies.usable_with(committee):
        with pytest.raises(PoolCapabilityError, match=f"{name} needs"):
            make(name).select(committee, data[2], 2)
        return
    assert len(committee.query(data[2], n_instances=4)[0]) == 4


@every_strategy
def test_with_other_models(name, data):
    X, y, pool, _ = data

    class Net(nn.Module):
        def __init__(self, n_classes=3):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, n_classes))

        def forward(self, X):
            return self.layers(X)

    net = DeepClassifier(Net, max_epochs=3, lr=0.1, random_state=0)
    for estimator in (MLPClassifier((5,), max_iter=60, random_state=0), net):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            learner = ActiveLearner(clone(estimator), make(name), X, y)
        query_idx, _ = learner.query(pool, n_instances=5)
        assert len(set(query_idx.tolist())) == 5


@every_strategy
def test_dataframe_with_integer_columns(name, data):
    X, y, pool, _ = data
    learner = ActiveLearner(LogisticRegression(max_iter=500), make(name), pd.DataFrame(X), y)
    query_idx, instances = learner.query(pd.DataFrame(pool), n_instances=5)
    np.testing.assert_array_equal(instances.to_numpy(), pool[query_idx])


@every_twin
def test_twins(name, learner, data):
    twin = getattr(strategies, name)
    class_name = twin.strategy_class.__name__
    params = make(class_name, random_state=2).get_params(deep=False)
    fitted = learner(make(class_name))
    expected = make(class_name, random_state=2).select(fitted, data[2], 5)[0]
    answer = twin(fitted, data[2], 5, **params)
    np.testing.assert_array_equal(answer[0] if STRATEGIES_RETURN_PAIRS else answer, expected)
    assert twin.__name__ == name
    assert pickle.loads(pickle.dumps(twin)) is twin
    with pytest.raises(TypeError, match=f"{name} has no parameter 'foo'"):
        twin(fitted, data[2], foo=1)
    by_learner = learner(twin).query(data[2], n_instances=2, return_metrics=True, **MAKE.get(class_name, dict)())
    assert by_learner[0].shape == by_learner[2].shape == (2,)


def test_the_lists_are_what_they_were():
    """`requires` and the code tell what the tests above are spared."""
    assert MODEL_FREE == ["RandomSampling"]
    assert OWN_COLD_START == ["BAL", "PT4AL", "RandomSampling"]
    assert set(ALL) - set(CLASSES) == {
        "DetectionEntropy",
        "DetectionLeastConfidence",
        "DetectionMargin",
        "DetectionStability",
        "DetectionTightness",
    }
    assert [name for name in ALL if not getattr(strategies, name).one_pass] == ["DM2", "Partitioned", "Prefilter"]


def test_every_name_is_exported_and_sorted():
    assert sorted(strategies.__all__) == sorted(set(strategies.__all__))
    assert len(CLASSES) == len(TWINS)
