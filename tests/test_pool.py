"""PoolView: what it says of each kind of classifier, and that its members agree with one another."""

from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skal.base import QueryStrategy
from skal.exceptions import ModelNotFittedError, PoolCapabilityError, SkalError
from skal.learners import ActiveLearner
from skal.nets import DeepClassifier
from skal.pool import view_pool
from skal.strategies import BALQUE, DECERN, UFFM, MarginSampling, NoiseStability, RandomSampling, usable_with
from skal.testing import FakePool

X, Y = load_iris(return_X_y=True)


class Net(nn.Module):
    def __init__(self, n_classes=3, softmax=False):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
        self.head = nn.Linear(6, n_classes)
        self.end = nn.Softmax(dim=1) if softmax else nn.Identity()

    def forward(self, X):
        return self.end(self.head(self.body(X)))


def plain_net(**params):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return NeuralNetClassifier(
            Net, **{"criterion": nn.CrossEntropyLoss, "train_split": None, "max_epochs": 3, "verbose": 0, **params}
        ).fit(X.astype(np.float32), Y)


MODELS = {
    "logistic": lambda: LogisticRegression(max_iter=500).fit(X, Y),
    "binary logistic": lambda: LogisticRegression(max_iter=500).fit(X, Y > 1),
    "mlp": lambda: MLPClassifier((5, 7), max_iter=60, random_state=0).fit(X, Y),
    "binary mlp": lambda: MLPClassifier((5,), activation="tanh", max_iter=60, random_state=0).fit(X, Y > 1),
    "deep": lambda: DeepClassifier(Net, max_epochs=3, random_state=0).fit(X, Y),
    "deep, strings": lambda: DeepClassifier(Net, max_epochs=3, random_state=0).fit(X, np.array(list("abc"))[Y]),
    "skorch": plain_net,
    "skorch, NLLLoss": lambda: plain_net(criterion=nn.NLLLoss, module__softmax=True),
    "pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, Y),
    "search": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), {"logisticregression__C": [1.0]}, cv=2
    ).fit(X, Y),
    "learner": lambda: ActiveLearner(LogisticRegression(max_iter=500), RandomSampling(), X, Y),
    "nested": lambda: make_pipeline(
        StandardScaler(), make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=60, random_state=0))
    ).fit(X, Y),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", MODELS)
def test_members_agree(kind):
    model = MODELS[kind]()
    pool = view_pool(model, X)
    head = pool.head
    expected = model.predict_proba(X.astype(np.float32) if kind.startswith("skorch") else X)
    assert len(pool) == len(X)
    np.testing.assert_allclose(pool.proba, expected, atol=1e-6)
    np.testing.assert_allclose(softmax(pool.logits, axis=1), pool.proba, atol=1e-5)
    by_head = head(torch.as_tensor(pool.embeddings, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(by_head, pool.logits, atol=1e-4)
    np.testing.assert_allclose(pool.embeddings @ head.weight.T + head.bias, pool.logits, atol=1e-4)
    np.testing.assert_allclose(pool.predict_proba(X[:5]), pool.proba[:5], atol=1e-6)
    assert len(pool.classes) == pool.proba.shape[1]


def test_head_is_differentiable():
    pool = view_pool(MODELS["deep"](), X)
    z = torch.as_tensor(pool.embeddings[:3], dtype=torch.float64).requires_grad_(True)
    pool.head(z).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), np.tile(pool.head.weight.sum(axis=0), (3, 1)), atol=1e-12)


def test_a_nonlinear_head():
    class TwoLayers(nn.Module):
        def __init__(self, n_classes=3):
            super().__init__()
            self.body = nn.Linear(4, 6)
            self.classifier = nn.Sequential(nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, n_classes))

        def forward(self, X):
            return self.classifier(self.body(X))

    net = DeepClassifier(TwoLayers, embedding_layer="classifier", max_epochs=2, random_state=0).fit(X, Y)
    pool = view_pool(net, X)
    assert pool.embeddings.shape == (150, 6)
    assert not pool.head.is_linear
    by_head = pool.head(torch.as_tensor(pool.embeddings, dtype=torch.float64)).detach().numpy()
    np.testing.assert_allclose(by_head, pool.logits, atol=1e-5)


def test_each_member_is_computed_once():
    rows = []

    class Counting(Net):
        def forward(self, X):
            rows.append(len(X))
            return super().forward(X)

    net = DeepClassifier(Counting, max_epochs=1, random_state=0).fit(X, Y)
    pool = view_pool(net, X)
    rows.clear()
    assert pool.proba is pool.proba
    assert pool.logits.shape == (150, 3)
    assert pool.embeddings.shape == (150, 6)
    assert pool.head.weight.shape == (3, 6)
    assert sum(rows) == 150


def test_columns_follow_the_module_and_labels_map_onto_them():
    """Six labelled classes of ten: a plain skorch net has ten columns and says classes_ of six."""
    y = np.arange(150) % 6 + 2
    net = plain_net(module__n_classes=10)
    net.fit(X.astype(np.float32), y)
    assert len(net.classes_) == 6
    pool = view_pool(net, X, X_training=X, y_training=y)
    assert pool.proba.shape == (150, 10)
    np.testing.assert_array_equal(pool.classes, np.arange(10))
    np.testing.assert_array_equal(pool.labeled.y_encoded, y)


def test_labeled_is_the_same_view():
    learner = ActiveLearner(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), RandomSampling(), X[::4], Y[::4]
    )
    pool = view_pool(learner, X)
    np.testing.assert_allclose(pool.labeled.proba, learner.predict_proba(X[::4]))
    np.testing.assert_allclose(pool.labeled.embeddings, learner.estimator[0].transform(X[::4]))
    np.testing.assert_array_equal(pool.classes[pool.labeled.y_encoded], learner.y_training)
    assert pool.n_labeled == 38
    assert view_pool(learner.estimator, X).labeled is None


def test_round():
    learner = ActiveLearner(LogisticRegression(max_iter=500), RandomSampling(), X[::5], Y[::5])
    assert view_pool(learner, X).round == 0
    learner.query(X)
    assert view_pool(learner, X).round == 0
    learner.teach(X[:2], Y[:2])
    assert view_pool(learner, X).round == 1
    learner.teach(X[:2], Y[:2])
    assert view_pool(learner, X).round == 1


def test_without_a_head():
    forest = RandomForestClassifier(5, random_state=0).fit(X, Y)
    pool = view_pool(forest, X)
    assert pool.embeddings.shape == (150, 4)
    for member in ("head", "logits"):
        with pytest.raises(PoolCapabilityError, match="which RandomForestClassifier does not supply. Use a skorch"):
            getattr(pool, member)
    pool.require("proba", "embeddings", by="Mine")
    with pytest.raises(PoolCapabilityError, match="Mine needs a differentiable `head`"):
        pool.require("head", by="Mine")
    assert issubclass(PoolCapabilityError, SkalError)
    assert issubclass(PoolCapabilityError, TypeError)


@pytest.mark.parametrize("model", [OneVsRestClassifier(LogisticRegression()), GaussianNB()])
def test_no_head_is_invented(model):
    with pytest.raises(PoolCapabilityError):
        _ = view_pool(clone(model).fit(X, Y), X).head


def test_sparse_input_gives_dense_embeddings():
    model = LogisticRegression(max_iter=500).fit(sp.csr_matrix(X), Y)
    np.testing.assert_allclose(view_pool(model, sp.csr_matrix(X)).embeddings, X)


def test_not_fitted():
    for model in (LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression()), DeepClassifier(Net)):
        with pytest.raises(ModelNotFittedError, match="not fitted yet"):
            view_pool(model, X).check()
    assert issubclass(ModelNotFittedError, NotFittedError)


def test_labelled_data_must_match():
    with pytest.raises(ValueError, match="same number of samples"):
        view_pool(LogisticRegression(max_iter=500).fit(X, Y), X, X_training=X, y_training=Y[:3])


def test_a_refusal_comes_before_the_transformers_run():
    seen = []

    def look(samples):
        seen.append(len(samples))
        return samples

    model = make_pipeline(FunctionTransformer(look), GaussianNB()).fit(X, Y)
    seen.clear()
    with pytest.raises(PoolCapabilityError, match="DECERN needs a differentiable `head`"):
        DECERN().select(model, X, X_training=X, y_training=Y)
    assert seen == []


class Scaled(Net):
    """No layer of it gives its output."""

    def forward(self, X):
        return 2 * super().forward(X)


def test_who_wanted_a_member_is_who_lacks_it():
    """A base strategy that is content with probabilities is not blamed for the embeddings of the one around it."""
    net = DeepClassifier(Scaled, max_epochs=1, random_state=0).fit(X, Y)
    with pytest.raises(PoolCapabilityError, match="^UFFM needs `embeddings`"):
        UFFM(MarginSampling()).select(net, X, 3)


def test_a_strategy_of_ones_own_is_named_without_saying_so():
    class Mine(QueryStrategy):
        def _query(self, pool, n_instances, rng):
            next(pool.iter_noisy_samples(1, 0.1, rng))

    with pytest.raises(PoolCapabilityError, match="^Mine needs weights to perturb"):
        Mine().select(GaussianNB().fit(X, Y), X)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(max_iter=500),
        LinearDiscriminantAnalysis(),
        SGDClassifier(loss="log_loss"),
        GridSearchCV(LogisticRegression(max_iter=500), {"C": [1.0]}, cv=2),
        GridSearchCV(make_pipeline(StandardScaler(), MLPClassifier((3,), max_iter=20)), {}, cv=2),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_serves_is_known_before_it_is_fitted(model):
    assert usable_with(model) == usable_with(clone(model).fit(X, Y))


def test_a_search_that_is_not_fitted_says_so_whatever_its_estimator():
    with pytest.raises(ModelNotFittedError, match="not fitted yet"):
        view_pool(GridSearchCV(LogisticRegression(max_iter=500).fit(X, Y), {"C": [1.0]}), X).check()


def test_a_frozen_model_answers_and_is_not_trained():
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, Y)
    pool, frozen = view_pool(fitted, X), view_pool(FrozenEstimator(fitted), X)
    np.testing.assert_array_equal(frozen.embeddings, pool.embeddings)
    np.testing.assert_array_equal(frozen.head.weight, pool.head.weight)
    assert "BALQUE" not in usable_with(FrozenEstimator(fitted))
    with pytest.raises(
        PoolCapabilityError, match="BALQUE needs .* which the frozen LogisticRegression does not supply"
    ):
        BALQUE().select(FrozenEstimator(fitted), X, X_training=X, y_training=Y)


def test_noise_is_refused_where_one_row_alone_would_pass():
    """One-versus-rest: where the first sample is certain, softmax and normalised sigmoids agree on it."""
    model = SGDClassifier(loss="log_loss", random_state=0).fit(X, Y)
    with pytest.raises(PoolCapabilityError, match="NoiseStability needs weights to perturb"):
        NoiseStability(n_samples=2).select(model, np.vstack([1e4 * X[:1], X]), 3)


# -- parts of a pool -------------------------------------------------------------------------------------------------


class Counted(FunctionTransformer):
    """Leaves the number of rows of each call in a list of the class."""

    rows: ClassVar[list] = []

    def transform(self, X):
        self.rows.append(len(X))
        return 2 * X


@pytest.fixture
def piped():
    Counted.rows = []
    model = make_pipeline(Counted(), LogisticRegression(max_iter=500)).fit(X, Y)
    Counted.rows.clear()
    return model


IDX = np.array([7, 149, 60])


def test_a_part_is_a_view_of_those_rows_alone(piped):
    pool = view_pool(piped, X, X_training=X[:5], y_training=Y[:5])
    part = pool.part(IDX)
    assert len(part) == 3
    np.testing.assert_array_equal(part.X, X[IDX])
    np.testing.assert_allclose(part.proba, piped.predict_proba(X[IDX]))
    np.testing.assert_array_equal(part.embeddings, 2 * X[IDX])
    assert Counted.rows == [3, 3]  # one of them is the test's own
    np.testing.assert_allclose(pool.proba, piped.predict_proba(X))
    assert pool.embeddings.shape == (150, 4)
    assert part.embeddings.shape == (3, 4)


def test_a_part_takes_what_is_known_already(piped):
    pool = view_pool(piped, X, X_training=X[:5], y_training=Y[:5])
    whole = {name: getattr(pool, name) for name in ("proba", "logits", "embeddings", "X_transformed")}
    labeled = pool.labeled.embeddings
    Counted.rows.clear()
    part = pool.part(IDX)
    for name, values in whole.items():
        np.testing.assert_array_equal(getattr(part, name), values[IDX])
    assert part.labeled.embeddings is labeled
    assert Counted.rows == []


def test_the_labelled_data_are_found_once_for_a_pool_and_its_parts(piped):
    pool = view_pool(piped, X, X_training=X[:5], y_training=Y[:5])
    parts = [pool.part(IDX), pool.part(IDX[:1])]
    for part in parts:
        np.testing.assert_array_equal(part.labeled.y_encoded, Y[:5])
        np.testing.assert_array_equal(part.labeled.proba, pool.labeled.proba)
        assert part.labeled.whole is part.labeled
    assert Counted.rows.count(5) <= 2


def test_a_part_has_the_memory_and_the_counters_of_the_whole():
    learner = ActiveLearner(LogisticRegression(max_iter=500), X_training=X[::10], y_training=Y[::10])
    learner.round = 4
    pool = view_pool(learner, X)
    part = pool.part(IDX).part(np.array([2, 0]))
    np.testing.assert_array_equal(part.X, X[[60, 7]])
    assert part.memory is part.labeled.memory is learner.memory
    assert (part.round, part.n_labeled, len(part.labeled)) == (4, 15, 15)
    assert part.whole is pool
    assert pool.whole is pool
    np.testing.assert_array_equal(part.classes, [0, 1, 2])


def test_what_is_wanted_of_a_part_is_not_wanted_of_the_whole():
    net = DeepClassifier(Net, max_epochs=1, random_state=0).fit(X, Y)
    pool = view_pool(net, X)
    pool.require("proba", by="One")
    part = pool.part(IDX)
    part.require("embeddings", by="Two")
    assert pool.proba.shape == (150, 3)
    assert pool._found.keys() == {"proba"}
    np.testing.assert_allclose(part.embeddings, pool.embeddings[IDX], rtol=1e-5)


def test_offers_are_checked_without_wanting_anything():
    net = DeepClassifier(Net, max_epochs=1, random_state=0).fit(X, Y)
    pool = view_pool(net, X)
    pool.check_offers("embeddings", "linear_head", by="Two")
    pool.require("proba", by="One")
    assert pool.proba.shape == (150, 3)
    assert pool._found.keys() == {"proba"}
    with pytest.raises(PoolCapabilityError, match="Two needs"):
        pool.check_offers("boxes", by="Two")
    with pytest.raises(PoolCapabilityError, match="Two needs the labelled data"):
        pool.check_offers("labeled", by="Two")


def test_a_part_of_a_fake_pool_has_its_rows_of_all_that_was_given():
    rng = np.random.default_rng(0)
    proba = [softmax(rng.standard_normal((5, 2)), axis=1) for _ in range(4)]
    boxes = [softmax(rng.standard_normal((i % 3, 2)), axis=1) for i in range(5)]
    fake = FakePool(
        proba=proba[0], embeddings=rng.standard_normal((5, 3)), opinions=proba[1:], boxes=boxes,
        labeled=FakePool(proba=[[1.0, 0.0]], embeddings=[[0.0, 1.0, 2.0]], y=[1]),
    )  # fmt: skip
    part = fake.part(np.array([4, 1]))
    np.testing.assert_array_equal(part.proba, proba[0][[4, 1]])
    np.testing.assert_array_equal(part.embeddings, fake.embeddings[[4, 1]])
    np.testing.assert_array_equal(part.proba_samples(3, 0), np.stack(proba[1:])[:, [4, 1]])
    assert [len(box) for box in part.box_proba] == [1, 1]
    np.testing.assert_array_equal(part.box_proba[0], boxes[4])
    assert [len(box) for box in fake.box_proba] == [0, 1, 2, 0, 1]
    np.testing.assert_array_equal(fake.part(np.array([2])).box_proba, [boxes[2]])
    assert part.labeled.y_encoded.tolist() == [1]
    np.testing.assert_array_equal(part.labeled.embeddings, [[0.0, 1.0, 2.0]])
    assert fake.asked["proba"] == 1
    assert len(fake.proba) == 5


def test_labels_of_two_kinds_have_no_order():
    model = Ridge().fit([[0.0], [1.0]], [0, 1])
    mixed = np.array([0, "a"], dtype=object)
    with pytest.raises(ValueError, match="must have labels of one kind, text or numbers. Got both"):
        view_pool(model, [[0.5]], X_training=[[0.0], [1.0]], y_training=mixed).classes  # noqa: B018
