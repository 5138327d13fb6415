"""ActiveLearner: modAL's usage patterns, scikit-learn's protocol, every kind of pool, and nothing lost on failure."""

import functools
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from modAL.batch import uncertainty_batch_sampling
from modAL.density import information_density
from modAL.models import ActiveLearner as ModALActiveLearner
from modAL.models import Committee
from modAL.uncertainty import classifier_margin, classifier_uncertainty, uncertainty_sampling
from modAL.uncertainty import margin_sampling as modal_margin_sampling
from modAL.utils.combination import make_linear_combination, make_product, make_query_strategy
from modAL.utils.selection import multi_argmax
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skal.learners import ActiveLearner
from skal.nets import DeepClassifier
from skal.strategies import (
    DECERN,
    UFFM,
    EntropySampling,
    LeastConfidence,
    MarginSampling,
    RandomSampling,
    decern_sampling,
    margin_sampling,
    uffm_sampling,
)
from skal.utils._compat import STRATEGIES_RETURN_PAIRS

STRATEGIES = [RandomSampling, LeastConfidence, MarginSampling, EntropySampling, DECERN]
each_strategy = pytest.mark.parametrize("S", STRATEGIES, ids=lambda cls: cls.__name__)


class Net(nn.Module):
    def __init__(self, n_inputs=4, n_classes=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, n_classes))

    def forward(self, X):
        return self.layers(X)


def plain_net(**params):
    torch.manual_seed(0)
    return NeuralNetClassifier(
        Net, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=3, lr=0.1, verbose=0, **params
    )


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    return X[:15], y[:15], X[15:], y[15:]


def logistic():
    return LogisticRegression(max_iter=500)


def estimator_for(S):
    """A classifier that supplies what the strategy needs."""
    return logistic() if S is DECERN else KNeighborsClassifier(3)


# -- the twelve patterns -----------------------------------------------------------------------------------------


@each_strategy
def test_1_loop_one_at_a_time(S, iris):
    X, y, X_pool, y_pool = iris
    learner = ActiveLearner(estimator=estimator_for(S), query_strategy=S(), X_training=X, y_training=y)
    assert isinstance(learner, ModALActiveLearner)
    for _ in range(5):
        query_index, query_instance = learner.query(X_pool)
        np.testing.assert_array_equal(query_instance, X_pool[query_index])
        learner.teach(X=X_pool[query_index].reshape(1, -1), y=y_pool[query_index].reshape(1))
        X_pool, y_pool = np.delete(X_pool, query_index, axis=0), np.delete(y_pool, query_index)
    assert len(learner.X_training) == len(learner.y_training) == 20
    assert learner.round == 5


@each_strategy
def test_2_preset_batch(S, iris):
    X, y, X_pool, _ = iris
    learner = ActiveLearner(
        estimator=estimator_for(S), X_training=X, y_training=y, query_strategy=functools.partial(S(), n_instances=3)
    )
    assert learner.query(X_pool)[1].shape == (3, 4)


@each_strategy
@pytest.mark.parametrize("n_instances", [1, 2, 3, 100])
def test_3_n_instances_at_query_time(S, n_instances, iris):
    X, y, X_pool, _ = iris
    learner = ActiveLearner(estimator_for(S), S(), X, y)
    query_idx, instances = learner.query(X_pool, n_instances=n_instances, random_state=3)
    assert query_idx.shape == (n_instances,)
    assert instances.shape == (n_instances, 4)


@each_strategy
def test_4_positional_after_the_pool(S, iris):
    X, y, X_pool, _ = iris
    assert len(ActiveLearner(estimator_for(S), S(), X, y).query(X_pool, 5)[0]) == 5


def test_5_strategies_made_of_modals_parts(iris):
    X, y, X_pool, _ = iris
    linear = make_linear_combination(classifier_uncertainty, classifier_margin, weights=[1.0, 1.0])
    product = make_product(classifier_uncertainty, classifier_margin, exponents=[1.0, 1.0])

    def mine(classifier, X, n_instances=1):
        return multi_argmax(linear(classifier, X), n_instances=n_instances)

    def with_density(classifier, X, n_instances=1):
        return multi_argmax(product(classifier, X) * information_density(X), n_instances=n_instances)

    for strategy in (mine, with_density):
        for n_instances in (1, 2, 4):
            query_idx, instances = ActiveLearner(logistic(), strategy, X, y).query(X_pool, n_instances=n_instances)
            assert len(query_idx) == n_instances
            np.testing.assert_array_equal(instances, X_pool[query_idx])
    made = make_query_strategy(utility_measure=classifier_uncertainty, selector=multi_argmax)
    assert len(ActiveLearner(logistic(), made, X, y).query(X_pool)[0]) == 1


@each_strategy
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_6_plain_skorch_net(S, dtype, iris):
    """float64 pools too, for a float32 network; labels of any integer width."""
    X, y, X_pool, y_pool = (a.astype(dtype) if a.dtype.kind == "f" else a.astype(np.int32) for a in iris)
    learner = ActiveLearner(estimator=plain_net(), query_strategy=S(), X_training=X, y_training=y)
    query_idx, _ = learner.query(X_pool, n_instances=4)
    learner.teach(X_pool[query_idx], y_pool[query_idx], only_new=True)
    learner.teach(X_pool[query_idx].astype(np.float64), y_pool[query_idx])
    assert learner.score(X_pool, y_pool) > 0.1
    assert learner.X_training.dtype == dtype
    assert learner.predict_proba(X_pool).shape == (len(X_pool), 3)


@pytest.mark.skipif(not STRATEGIES_RETURN_PAIRS, reason="modAL 0.4.1 has no DeepActiveLearner")
@pytest.mark.parametrize("S", [RandomSampling, LeastConfidence, MarginSampling, EntropySampling])
def test_7_deep_active_learner(S, iris):
    from modAL.models import DeepActiveLearner

    X, y, X_pool, y_pool = (torch.as_tensor(a, dtype=torch.float32 if a.dtype.kind == "f" else None) for a in iris)
    learner = DeepActiveLearner(estimator=plain_net(), query_strategy=S())
    learner.teach(X, y)
    query_idx, instances = learner.query(X_pool, n_instances=20)
    assert instances.shape == (20, 4)
    learner.teach(X_pool[query_idx], y_pool[query_idx], warm_start=False)
    learner.num_epochs = 5


@pytest.mark.parametrize("S", [RandomSampling, LeastConfidence, MarginSampling, EntropySampling])
def test_8_text_pipeline_on_transformed(S):
    words = ["red fish", "blue fish", "old dog", "new dog", "red dog", "cat"]
    learner = ActiveLearner(
        make_pipeline(CountVectorizer(), RandomForestClassifier(5)), S(), words[:4], [0, 0, 1, 1], on_transformed=True
    )
    query_idx, instances = learner.query(words, n_instances=2)
    assert instances == [words[i] for i in query_idx]
    learner.teach(instances, [0, 1])
    assert len(learner.X_training) == 6


@each_strategy
@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.lil_matrix, sp.csr_array])
def test_9_sparse_pools(S, container, iris):
    X, y, X_pool, y_pool = iris
    learner = ActiveLearner(logistic(), S(random_state=0), container(X), y)
    query_idx, instances = learner.query(container(X_pool), n_instances=3)
    np.testing.assert_allclose(instances.toarray(), X_pool[query_idx])
    dense = ActiveLearner(logistic(), S(random_state=0), X, y)
    np.testing.assert_array_equal(query_idx, dense.query(X_pool, n_instances=3)[0])
    learner.teach(instances, y_pool[query_idx])
    learner.teach(instances, y_pool[query_idx], bootstrap=True)
    assert learner.X_training.shape == (21, 4)


@pytest.mark.parametrize("S", [RandomSampling, LeastConfidence, MarginSampling, EntropySampling])
def test_10_committee(S, iris):
    X, y, X_pool, y_pool = iris
    # Seeded: modAL's committee cannot predict once a bootstrap sample of `rebag` lacks a class.
    learners = [ActiveLearner(m, S(), X, y, random_state=0) for m in (logistic(), KNeighborsClassifier(3))]
    committee = Committee(learner_list=learners, query_strategy=S())
    query_idx, _ = committee.query(X_pool, n_instances=4)
    committee.teach(X_pool[query_idx], y_pool[query_idx])
    committee.rebag()
    assert len(learners[0].X_training) == 19
    assert committee.predict(X_pool).shape == (135,)


@each_strategy
def test_11_no_initial_data(S, iris):
    X, y, X_pool, _ = iris
    learner = ActiveLearner(estimator=logistic(), query_strategy=S())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        query_idx, _ = learner.query(X_pool, n_instances=3)
    assert len(set(query_idx.tolist())) == 3
    learner.teach(X, y)
    assert len(learner.query(X_pool)[0]) == 1


@each_strategy
def test_12_scores(S, iris):
    X, y, X_pool, _ = iris
    for strategy in (S(), functools.partial(S(), n_instances=2)):
        answer = ActiveLearner(logistic(), strategy, X, y).query(X_pool, n_instances=5, return_metrics=True)
        assert [len(part) for part in answer] == [5, 5, 5]


# -- more of modAL's documentation -------------------------------------------------------------------------------


def test_ranked_batch_mode(iris):
    X, y, X_pool, y_pool = iris
    learner = ActiveLearner(KNeighborsClassifier(3), functools.partial(uncertainty_batch_sampling, n_instances=3), X, y)
    query_idx, instances = learner.query(X_pool)
    assert instances.shape == (3, 4)
    learner.teach(instances, y_pool[query_idx])


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_ranked_batch_on_transformed(output, iris):
    X, y, X_pool, _ = iris
    scaler = StandardScaler().set_output(transform=output)
    pipeline = make_pipeline(scaler, logistic())
    learner = ActiveLearner(pipeline, uncertainty_batch_sampling, X, y, on_transformed=True)
    query_idx, _ = learner.query(X_pool, n_instances=4)
    reference = ActiveLearner(
        logistic(), uncertainty_batch_sampling, scaler.fit(X).set_output(transform="default").transform(X), y
    )
    np.testing.assert_array_equal(query_idx, reference.query(scaler.transform(X_pool), n_instances=4)[0])


def test_ensemble_on_transformed(iris):
    X, y, X_pool, _ = iris
    voting = VotingClassifier([(f"m{i}", make_pipeline(StandardScaler(), logistic())) for i in range(2)], voting="soft")
    learner = ActiveLearner(voting, uncertainty_batch_sampling, X, y, on_transformed=True)
    assert len(learner.query(X_pool, n_instances=3)[0]) == 3
    assert learner.transform_without_estimating(X_pool).shape == (135, 8)


def test_stream_based(iris):
    X, y, X_pool, y_pool = iris
    learner = ActiveLearner(logistic(), X_training=X, y_training=y)
    for row, label in zip(X_pool[:10], y_pool[:10]):
        if classifier_uncertainty(learner, row.reshape(1, -1))[0] >= 0.1:
            learner.teach(row.reshape(1, -1), label.reshape(1))
    assert len(learner.X_training) > 15


def test_regression_with_a_custom_strategy():
    X = np.linspace(0, 6, 40).reshape(-1, 1)
    y = np.sin(X).ravel()

    def widest(regressor, X):
        return np.argmax(regressor.predict(X, return_std=True)[1])

    learner = ActiveLearner(GaussianProcessRegressor(), widest, X[[0, 39]], y[[0, 39]])
    query_idx, instance = learner.query(X)
    np.testing.assert_array_equal(instance, X[query_idx])
    learner.teach(X[query_idx].reshape(1, -1), y[query_idx].reshape(1))
    assert len(learner.X_training) == 3


def test_bagging_repeats(iris):
    X, y, _, _ = iris
    first, second = (
        ActiveLearner(KNeighborsClassifier(1), X_training=X, y_training=y, bootstrap_init=True, random_state=4)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.estimator._y, second.estimator._y)
    assert sorted(first.estimator._y.tolist()) != sorted(y.tolist())


def test_expected_error(iris, monkeypatch):
    monkeypatch.setattr(np, "float", float, raising=False)
    from modAL.expected_error import expected_error_reduction

    X, y, X_pool, _ = iris
    learner = ActiveLearner(logistic(), expected_error_reduction, X, y)
    assert len(learner.query(X_pool[:8], n_instances=2)[0]) == 2


def test_bootstrap_and_fit_kwargs(iris):
    X, y, X_pool, y_pool = iris
    learner = ActiveLearner(logistic(), X_training=X, y_training=y, sample_weight=np.ones(15))
    learner.teach(X_pool[:5], y_pool[:5], sample_weight=np.ones(20))
    learner.fit(X, y, bootstrap=True)
    assert len(learner.X_training) == 15


# -- what stock modAL cannot do ----------------------------------------------------------------------------------


def test_scikit_learn_protocol(iris):
    X, y, X_pool, _ = iris
    learner = ActiveLearner(logistic(), DECERN(xi=0.7), X, y, force_all_finite=False)
    assert "DECERN(xi=0.7)" in repr(learner)
    assert "array" not in repr(learner)
    assert len(learner.X_training) == 15
    learner._repr_html_()
    assert learner.get_params()["query_strategy__xi"] == 0.7
    learner.set_params(query_strategy__xi=0.3, estimator__C=2.0)
    assert learner.query_strategy.xi == 0.3
    twin = clone(learner)
    assert twin.X_training is None
    assert twin.estimator is not learner.estimator
    assert twin.get_params()["estimator__C"] == 2.0
    assert twin.force_all_finite is False
    with pytest.raises(NotFittedError):
        twin.predict(X_pool)
    assert is_classifier(learner)
    np.testing.assert_array_equal(learner.classes_, [0, 1, 2])
    assert learner.n_features_in_ == 4
    again = pickle.loads(pickle.dumps(learner))
    np.testing.assert_array_equal(again.predict(X_pool), learner.predict(X_pool))
    np.testing.assert_array_equal(again.X_training, learner.X_training)


def test_cross_validation_and_search_on_the_learner(iris):
    X, y, X_pool, y_pool = iris
    learner = ActiveLearner(logistic(), DECERN(), X, y)
    assert cross_val_score(learner, X_pool, y_pool, cv=3).mean() > 0.8
    search = GridSearchCV(learner, {"estimator__C": [0.01, 1.0], "query_strategy__xi": [0.5]}, cv=3)
    search.fit(X_pool, y_pool)
    assert search.best_params_["query_strategy__xi"] == 0.5
    assert cross_val_score(make_pipeline(StandardScaler(), learner), X_pool, y_pool, cv=3).mean() > 0.8


def test_plain_array_strategy_is_called_once(iris):
    X, y, X_pool, _ = iris
    calls = []

    def two(classifier, X, n_instances=2):
        calls.append(1)
        return np.array([5, 9])

    query_idx, instances = ActiveLearner(logistic(), two, X, y).query(X_pool)
    assert len(calls) == 1
    assert query_idx.tolist() == [5, 9]
    np.testing.assert_array_equal(instances, X_pool[[5, 9]])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_errors_of_a_strategy_pass_through(error, iris):
    X, y, X_pool, _ = iris
    calls = []

    def failing(classifier, X, n_instances=1):
        calls.append(1)
        raise error("stop")

    with pytest.raises(error):
        ActiveLearner(logistic(), failing, X, y).query(X_pool)
    assert len(calls) == 1


def test_a_foreign_tuple_is_read_as_the_installed_modal_reads_it(iris):
    X, y, X_pool, _ = iris

    def old_style(classifier, X):
        return np.array([1, 2]), "second"

    learner = ActiveLearner(logistic(), old_style, X, y)
    if STRATEGIES_RETURN_PAIRS:
        query_idx, instances, metrics = learner.query(X_pool, return_metrics=True)
        assert metrics == "second"
        np.testing.assert_array_equal(instances, X_pool[[1, 2]])
    else:
        with pytest.warns(DeprecationWarning, match="no longer return the selected instances"):
            query_idx, instances = learner.query(X_pool)
        assert instances == "second"
    assert query_idx.tolist() == [1, 2]


def test_metrics_of_a_foreign_strategy(iris):
    X, y, X_pool, _ = iris
    learner = ActiveLearner(logistic(), lambda c, X: np.array([3]), X, y)
    with pytest.warns(UserWarning, match="doesn't support return_metrics"):
        assert learner.query(X_pool, return_metrics=True)[2] is None


@each_strategy
def test_dataframes(S, iris):
    X, y, X_pool, y_pool = iris
    names = list("abcd")
    learner = ActiveLearner(logistic(), S(), pd.DataFrame(X, columns=names), pd.Series(y))
    pool = pd.DataFrame(X_pool, columns=names, index=np.arange(1000, 1135))
    query_idx, instances = learner.query(pool, n_instances=3)
    assert isinstance(instances, pd.DataFrame)
    assert instances.index.tolist() == [1000 + i for i in query_idx]
    learner.teach(instances, pd.Series(y_pool).iloc[query_idx])
    learner.teach(instances, y_pool[query_idx])
    learner.teach(instances, y_pool[query_idx], bootstrap=True)
    assert learner.X_training.shape == (24, 4)
    assert isinstance(learner.X_training, pd.DataFrame)
    assert len(learner.y_training) == 24


def test_columns_of_a_dataframe_must_agree(iris):
    X, y, X_pool, y_pool = iris
    learner = ActiveLearner(logistic(), MarginSampling(), pd.DataFrame(X, columns=list("abcd")), y)
    with pytest.raises(ValueError, match="must have the columns of the labelled ones"):
        learner.teach(pd.DataFrame(X_pool[:2], columns=list("abdc")), y_pool[:2])
    assert len(learner.X_training) == 15


@pytest.mark.parametrize("S", [RandomSampling, MarginSampling])
def test_lists_and_tensors(S, iris):
    X, y, X_pool, y_pool = iris
    learner = ActiveLearner(logistic(), S(), X.tolist(), y.tolist())
    query_idx, instances = learner.query(X_pool.tolist(), n_instances=2)
    assert instances == [X_pool[i].tolist() for i in query_idx]
    learner.teach(instances, y_pool[query_idx].tolist())
    assert len(learner.X_training) == 17

    tensors = [torch.as_tensor(a) for a in (X, y, X_pool, y_pool)]
    learner = ActiveLearner(DeepClassifier(Net, max_epochs=2, random_state=0), S(), tensors[0], tensors[1])
    query_idx, instances = learner.query(tensors[2], n_instances=2)
    assert torch.equal(instances, tensors[2][torch.as_tensor(query_idx)])
    learner.teach(instances, tensors[3][torch.as_tensor(query_idx)])
    assert learner.X_training.shape == (17, 4)


def test_image_arrays():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 1, 6, 6)), np.arange(30) % 2

    class Conv(nn.Module):
        def __init__(self, n_classes=2):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, n_classes))

        def forward(self, X):
            return self.layers(X)

    learner = ActiveLearner(DeepClassifier(Conv, max_epochs=2, random_state=0), DECERN(), X[:10], y[:10])
    query_idx, instances = learner.query(X[10:], n_instances=4)
    assert instances.shape == (4, 1, 6, 6)
    learner.teach(instances, y[10:][query_idx])
    assert learner.X_training.shape == (14, 1, 6, 6)


# -- nothing is lost ----------------------------------------------------------------------------------------------


def snapshot(learner):
    return pickle.dumps((learner.X_training, learner.y_training, learner.round, learner.estimator))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones((2, 4)), [0], "inconsistent numbers of samples"),
        (np.full((2, 4), np.nan), [0, 1], "NaN"),
        (np.ones((2, 5)), [0, 1], "shape of the labelled ones"),
        (np.ones((0, 4)), [], "empty"),
        (np.ones((2, 4)), None, "y must hold one label per sample"),
    ],
)
@pytest.mark.parametrize("verb", ["teach", "fit"])
def test_bad_training_data(verb, X, y, message, iris):
    if verb == "fit" and "shape" in message:
        pytest.skip("fit starts afresh")
    learner = ActiveLearner(logistic(), MarginSampling(), iris[0], iris[1])
    before = snapshot(learner)
    with pytest.raises(ValueError, match=message):
        getattr(learner, verb)(X, y)
    assert snapshot(learner) == before


def test_failed_fit_inside_teach_restores_everything(iris):
    X, y, X_pool, y_pool = iris

    class Fragile(LogisticRegression):
        fail = False

        def fit(self, X, y, sample_weight=None):
            super().fit(X, y)
            if self.fail:
                self.coef_ = np.zeros_like(self.coef_)
                raise RuntimeError("out of memory")
            return self

    estimator = make_pipeline(StandardScaler(), Fragile(max_iter=500))
    learner = ActiveLearner(estimator, MarginSampling(), X, y)
    learner.query(X_pool)
    proba = learner.predict_proba(X_pool)
    Fragile.fail = True
    with pytest.raises(RuntimeError, match="out of memory"):
        learner.teach(X_pool[:3], y_pool[:3])
    np.testing.assert_array_equal(learner.predict_proba(X_pool), proba)
    assert len(learner.X_training) == 15
    assert learner.round == 0
    Fragile.fail = False
    learner.teach(X_pool[:3], y_pool[:3])
    assert learner.round == 1


@pytest.mark.parametrize("warm_start", [False, True])
def test_failed_fit_of_a_network_restores_its_weights(warm_start, iris):
    X, y, X_pool, y_pool = iris

    net = DeepClassifier(Net, max_epochs=3, lr=0.1, random_state=0, warm_start=warm_start)
    learner = ActiveLearner(net, MarginSampling(), X, y)
    proba = learner.predict_proba(X_pool)

    def raising(*args, **kwargs):
        raise RuntimeError("interrupted")

    net.on_epoch_end = raising
    with pytest.raises(RuntimeError, match="interrupted"):
        learner.teach(X_pool[:3], y_pool[:3])
    del net.on_epoch_end
    np.testing.assert_array_equal(learner.predict_proba(X_pool), proba)
    assert len(learner.X_training) == 15
    learner.teach(X_pool[:3], y_pool[:3])
    assert len(learner.X_training) == 18


def test_failed_query_leaves_the_learner(iris):
    X, y, X_pool, _ = iris
    learner = ActiveLearner(logistic(), DECERN(), X, y)
    before = snapshot(learner)
    for bad in ({"n_instances": 1000}, {"xi": 2}, {"unknown": 1}):
        with pytest.raises((ValueError, TypeError)):
            learner.query(X_pool, **bad)
    assert snapshot(learner) == before
    assert learner.query_strategy.xi == 0.8


def test_label_that_the_network_has_no_output_for(iris):
    X, y, X_pool, _ = iris
    learner = ActiveLearner(DeepClassifier(Net, max_epochs=2, classes=[0, 1, 2], random_state=0), DECERN(), X, y)
    proba = learner.predict_proba(X_pool)
    with pytest.raises(ValueError, match="9"):
        learner.teach(X_pool[:2], np.array([0, 9]))
    np.testing.assert_array_equal(learner.predict_proba(X_pool), proba)
    assert len(learner.X_training) == 15


# -- the constructor -----------------------------------------------------------------------------------------------


def test_force_all_finite_with_data():
    X = np.random.default_rng(0).standard_normal((30, 2))
    X[::3] = np.nan
    y = np.arange(30) % 2
    for strategy in (uncertainty_sampling, EntropySampling(), RandomSampling()):
        learner = ActiveLearner(
            HistGradientBoostingClassifier(max_iter=3), strategy, X_training=X, y_training=y, force_all_finite=False
        )
        learner.teach(X[:2], y[:2])
        assert len(learner.query(X, n_instances=2)[0]) == 2
    # What says that it takes missing values, or may impute them, is not asked twice.
    for estimator in (HistGradientBoostingClassifier(max_iter=3), make_pipeline(SimpleImputer(), LogisticRegression())):
        learner = ActiveLearner(estimator, EntropySampling(), X_training=X, y_training=y)
        assert len(learner.query(X, n_instances=2)[0]) == 2
    with pytest.raises(ValueError, match="X contains NaN or infinity: pass force_all_finite=False"):
        ActiveLearner(LogisticRegression(), X_training=X, y_training=y)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"query_strategy": DECERN}, TypeError, r"did you mean DECERN\(\)\?"),
        ({"query_strategy": "entropy"}, TypeError, "query_strategy must be callable"),
        ({"query_strat": margin_sampling}, TypeError, "Did you mean 'query_strategy'"),
        ({"force_all_finite": 1}, TypeError, "force_all_finite must be a bool"),
        ({"y_training": [1]}, ValueError, "without X_training"),
        ({"X_training": np.ones((2, 2))}, ValueError, "y must hold one label per sample"),
    ],
)
@pytest.mark.parametrize("make", [logistic, plain_net])
def test_bad_arguments(make, kwargs, error, message):
    with pytest.raises(error, match=message):
        ActiveLearner(make(), **kwargs)


def test_default_strategy_is_modals():
    assert ActiveLearner(logistic()).query_strategy is uncertainty_sampling


def test_modals_own_strategies(iris):
    X, y, X_pool, _ = iris
    for strategy in (uncertainty_sampling, modal_margin_sampling):
        for n_instances in (1, 2, 3):
            query_idx, instances = ActiveLearner(logistic(), strategy, X, y).query(X_pool, n_instances=n_instances)
            assert np.shape(query_idx) == (n_instances,)
            np.testing.assert_array_equal(instances, X_pool[query_idx])


def test_only_new_adds_and_partial_estimators(iris):
    X, y, X_pool, y_pool = iris
    learner = ActiveLearner(SGDClassifier(loss="log_loss", random_state=0), decern_sampling, X, y)
    learner.teach(X_pool[:30], y_pool[:30], only_new=True)
    assert len(learner.X_training) == 45
    alone = SGDClassifier(loss="log_loss", random_state=0).fit(X_pool[:30], y_pool[:30])
    np.testing.assert_allclose(learner.estimator.coef_, alone.coef_)


@pytest.mark.parametrize("dtype", [np.int16, np.int64])
def test_a_search_around_a_plain_net_casts_as_the_net_alone(dtype):
    X = np.random.default_rng(0).normal(size=(40, 4))
    y = (np.arange(40) % 2).astype(dtype)
    net = NeuralNetClassifier(nn.Linear(4, 2), criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=1, verbose=0)
    learner = ActiveLearner(GridSearchCV(net, {"lr": [0.1]}, cv=2), EntropySampling(random_state=0), X[:20], y[:20])
    query_idx, samples = learner.query(X[20:], n_instances=3)
    learner.teach(samples, y[20:][query_idx])
    assert learner.predict_proba(X).shape == (40, 2)


@pytest.mark.parametrize(("key", "meant"), [("n_instance", "n_instances"), ("X_train", "X_training"), ("xii", "xi")])
def test_a_misspelt_keyword_of_a_query_is_named(key, meant):
    X, y = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2
    for strategy in (DECERN(), decern_sampling):
        learner = ActiveLearner(LogisticRegression(), strategy, X[:20], y[:20])
        with pytest.raises(TypeError, match=f"has no parameter '{key}'. Did you mean '{meant}'?"):
            learner.query(X[20:], **{key: 3})


def test_nested_parameters_for_one_call():
    X, y = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2
    inner = DECERN(random_state=0)
    learner = ActiveLearner(LogisticRegression(), UFFM(inner, random_state=0), X[:20], y[:20])
    by_class = learner.query(X[20:], n_instances=4, base_strategy__gamma=2.0)[0]
    learner.query_strategy = uffm_sampling
    by_twin = learner.query(X[20:], n_instances=4, base_strategy=inner, random_state=0, base_strategy__gamma=2.0)[0]
    np.testing.assert_array_equal(by_twin, by_class)
    assert inner.gamma == 0.5
    with pytest.raises(
        TypeError, match="'base_strategy__xi' needs a 'base_strategy' of UFFM with parameters. Got None"
    ):
        UFFM().select(learner, X[20:], base_strategy__xi=0.5)
