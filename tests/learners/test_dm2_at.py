"""DM2ATLearner: what is crafted, kept and trained on; errors; search; saving."""

import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skal.learners import ActiveLearner, DM2ATLearner
from skal.meta import ActiveLearningClassifier
from skal.nets import AdversarialClassifier, DeepClassifier
from skal.strategies import DM2, LeastConfidence, RandomSampling


class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.head = nn.Linear(4, n_classes)

    def forward(self, x):
        return self.head(x)


class Recorder(DeepClassifier):
    """Remembers what it was trained on."""

    def fit(self, X, y=None, sample_weight=None, **fit_params):
        super().fit(X, y, sample_weight=sample_weight, **fit_params)
        self.seen_ = (X, y, sample_weight)
        return self


def net(cls=Recorder, **params):
    return cls(Net, **{"max_epochs": 5, "lr": 0.5, "classes": [0, 1, 2], "random_state": 0, **params})


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(80, 4)).astype(np.float32)
    return X, (3 * X[:, 0] * 0.999).astype(int)


@pytest.fixture
def learner(data):
    X, y = data
    return DM2ATLearner(net(), X_training=X[:10], y_training=y[:10], epsilon=0.1, random_state=0)


def step(learner, data, n=4, **kwargs):
    """One query and its answer; the rows asked for, and the model that asked."""
    X, y = data[0][10:], data[1][10:]
    idx, instances = learner.query(X, n_instances=n)
    before = pickle.loads(pickle.dumps(learner.estimator))
    learner.teach(instances, y[idx], **kwargs)
    return X[idx], y[idx], before


def test_copies_are_crafted_once_from_the_querying_models_own_labels_and_kept(learner, data):
    assert isinstance(learner.query_strategy, DM2)
    assert learner.X_adversarial is None
    first_X, first_y, model = step(learner, data)
    expected = np.clip(first_X + 0.1 * np.sign(model.input_gradient(first_X, model.predict(first_X))), 0, 1)
    np.testing.assert_allclose(learner.X_adversarial, expected, atol=1e-7)
    np.testing.assert_array_equal(learner.y_adversarial, first_y)
    second_X, second_y, model = step(learner, data, 3)
    np.testing.assert_allclose(learner.X_adversarial[:4], expected, atol=1e-7)
    again = np.clip(second_X + 0.1 * np.sign(model.input_gradient(second_X, model.predict(second_X))), 0, 1)
    np.testing.assert_allclose(learner.X_adversarial[4:], again, atol=1e-7)
    np.testing.assert_array_equal(learner.y_adversarial, [*first_y, *second_y])
    # Copies cost no labels.
    assert len(learner.X_training) == 17
    assert learner.round == 2


def test_training_is_eq_14(data):
    X, y = data
    learner = DM2ATLearner(net(), X_training=X[:10], y_training=y[:10], epsilon=0.1, adversarial_weight=0.3)
    assert learner.estimator.seen_[2] is None  # initial samples: the clean loss only
    queried, labels, _ = step(learner, data)
    seen_X, seen_y, weight = learner.estimator.seen_
    np.testing.assert_array_equal(seen_X, np.concatenate([X[:10], queried, learner.X_adversarial]))
    np.testing.assert_array_equal(seen_y, np.concatenate([y[:10], labels, labels]))
    np.testing.assert_allclose(weight, [1.0] * 10 + [0.7] * 4 + [0.3] * 4)


def test_vector_of_the_mixed_loss():
    """PAPERS 4.5: pseudo-label 1, true label 0, half and half."""
    weight = torch.tensor([[2.0, -1.0], [-1.0, 2.0], [0.5, 0.5]], dtype=torch.float64)
    head = nn.Linear(2, 3, bias=False, dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(weight)
    X0 = np.array([[0.2, 0.8]])
    model = DeepClassifier(head, classes=[0, 1, 2], max_epochs=1, lr=0.0, device="cpu").initialize()
    learner = DM2ATLearner(model, epsilon=8 / 255)
    learner.X_training, learner.y_training = np.empty((0, 2)), np.empty(0, dtype=int)
    learner.teach(X0, [0])
    np.testing.assert_allclose(learner.X_adversarial, [(0.231372549020, 0.768627450980)], atol=1e-12)
    assert learner.y_adversarial == [0]
    assert learner.estimator.history[-1]["train_loss"] == pytest.approx(2.181258433894, abs=1e-6)

    true = DM2ATLearner(clone(model).initialize(), epsilon=8 / 255, label="true")
    true.teach(X0, [1])
    true.teach(X0, [0])
    np.testing.assert_allclose(true.X_adversarial[1:], [(0.168627450980, 0.831372549020)], atol=1e-12)


def test_true_label_moves_up_the_true_loss(data):
    X, y = data
    learner = DM2ATLearner(net(), X_training=X[:10], y_training=y[:10], epsilon=0.1, label="true")
    queried, labels, model = step(learner, data)
    expected = np.clip(queried + 0.1 * np.sign(model.input_gradient(queried, labels)), 0, 1)
    np.testing.assert_allclose(learner.X_adversarial, expected, atol=1e-7)


def test_a_true_label_that_the_model_does_not_know_yet(data):
    X, y = data
    known = y < 2
    learner = DM2ATLearner(
        net(classes=None), X_training=X[known][:10], y_training=y[known][:10], label="true", epsilon=0.1
    )
    model = pickle.loads(pickle.dumps(learner.estimator))
    new = X[~known][:2]
    learner.teach(new, [2, 2])
    expected = np.clip(new + 0.1 * np.sign(model.input_gradient(new, model.predict(new))), 0, 1)
    np.testing.assert_allclose(learner.X_adversarial, expected, atol=1e-7)
    assert learner.classes_.tolist() == [0, 1, 2]


def test_weight_zero_trains_as_a_plain_learner(data):
    X, y = data
    ours = DM2ATLearner(net(batch_size=-1), X_training=X[:10], y_training=y[:10], adversarial_weight=0.0)
    plain = ActiveLearner(net(batch_size=-1), DM2(), X[:10], y[:10])
    for each in (ours, plain):
        idx, queried = each.query(X[10:], n_instances=4)
        each.teach(queried, y[10:][idx])
    # Up to the order in which the sums are taken.
    np.testing.assert_allclose(ours.predict_proba(X), plain.predict_proba(X), atol=1e-5)


def test_cold_start_has_no_copies_until_there_is_a_model(data):
    X, y = data
    learner = DM2ATLearner(net())
    with pytest.warns(UserWarning, match="chooses uniformly at random"):
        idx, queried = learner.query(X, n_instances=8)
    learner.teach(queried, y[idx])
    assert learner.X_adversarial is None
    learner.teach(X[:3], y[:3])
    assert len(learner.X_adversarial) == 3
    np.testing.assert_allclose(learner.estimator.seen_[2], [1.0] * 8 + [0.5] * 6)


def test_fit_starts_anew(learner, data):
    step(learner, data)
    learner.fit(data[0][:20], data[1][:20])
    assert learner.X_adversarial is None
    assert learner.y_adversarial is None
    assert len(learner.estimator.seen_[0]) == 20
    step(learner, data)
    np.testing.assert_allclose(learner.estimator.seen_[2], [1.0] * 20 + [0.5] * 8)


def test_only_new_trains_on_the_new_samples_and_their_copies(learner, data):
    step(learner, data)
    queried, _, _ = step(learner, data, 2, only_new=True)
    seen_X, _, weight = learner.estimator.seen_
    np.testing.assert_array_equal(seen_X, np.concatenate([queried, learner.X_adversarial[-2:]]))
    np.testing.assert_allclose(weight, [0.5] * 4)
    assert len(learner.X_training) == 16


def test_bootstrap_draws_samples_and_copies_follow(learner, data):
    step(learner, data, bootstrap=True)
    seen_X, _, weight = learner.estimator.seen_
    rows, copies = seen_X[:14], seen_X[14:]
    halves = np.flatnonzero(weight[:14] == 0.5)
    assert 0 < len(halves) == len(copies) == len(weight) - 14
    queried = learner.X_training[10:].tolist()
    for row, copy in zip(rows[halves], copies):
        np.testing.assert_array_equal(copy, learner.X_adversarial[queried.index(row.tolist())])


def test_sample_weights_are_shared_with_the_copies(learner, data):
    step(learner, data, sample_weight=np.arange(1.0, 15.0))
    weight = learner.estimator.seen_[2]
    np.testing.assert_allclose(weight, [*range(1, 11), 5.5, 6, 6.5, 7, 5.5, 6, 6.5, 7])
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(15,\), as y has. Got \(3,\) instead."):
        learner.teach(data[0][:1], data[1][:1], sample_weight=[1.0, 1.0, 1.0])


@pytest.mark.parametrize("kind", ["frame", "tensor", "bytes", "byte tensor"])
def test_containers(kind, data):
    X, y = (255 * data[0]).round(), data[1]
    make = {
        "frame": lambda A: pd.DataFrame(A, columns=list("abcd")),
        "tensor": torch.from_numpy,
        "bytes": lambda A: A.astype(np.uint8),
        "byte tensor": lambda A: torch.tensor(A, dtype=torch.uint8),
    }[kind]
    learner = DM2ATLearner(net(lr=1e-5), X_training=make(X[:10]), y_training=y[:10], epsilon=0.5, clip=(0, 255))
    for _ in range(2):
        idx, queried = learner.query(make(X[10:]), n_instances=3)
        learner.teach(queried, y[10:][idx])
    assert type(learner.X_adversarial) is type(make(X))
    seen = np.asarray(learner.estimator.seen_[0])
    assert seen.shape == (22, 4)
    np.testing.assert_allclose(np.abs(seen[16:] - seen[10:16]).max(axis=1), 0.5)


@pytest.mark.parametrize("broken", ["shape", "range", "label", "fit"])
def test_a_failed_teach_leaves_the_learner_as_it_was(broken, learner, data, monkeypatch):
    step(learner, data)
    X, y = data[0][50:52].copy(), data[1][50:52]
    if broken == "shape":
        X = X[:, :3]
    elif broken == "range":
        X[0, 0] = 2
    elif broken == "label":
        y = np.array([0, 7])
    else:
        monkeypatch.setattr(DeepClassifier, "fit", lambda *args, **kwargs: 1 / 0)
    before, module = dict(vars(learner)), pickle.dumps(learner.estimator.module_.state_dict())
    with pytest.raises((ValueError, ZeroDivisionError)):
        learner.teach(X, y)
    assert vars(learner).keys() == before.keys()
    assert all(getattr(learner, name) is value for name, value in before.items())
    assert pickle.dumps(learner.estimator.module_.state_dict()) == module
    assert len(learner.X_training) == 14
    assert len(learner.X_adversarial) == 4
    monkeypatch.undo()
    step(learner, data, 2)


def test_data_outside_the_range_says_so(learner, data):
    step(learner, data)
    message = r"Samples must lie in clip=\(0.0, 1.0\) of DM2ATLearner. Got values from 5 to 5"
    with pytest.raises(ValueError, match=message):
        learner.teach(np.full((1, 4), 5.0), [0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"epsilon": -1}, "The 'epsilon' parameter of DM2ATLearner must be a finite number of 0 or more. Got -1"),
        ({"clip": (1, 0)}, r"The 'clip' parameter of DM2ATLearner must be None or a pair .*Got \(1, 0\)"),
        ({"adversarial_weight": 2}, "The 'adversarial_weight' parameter of DM2ATLearner"),
        ({"label": "both"}, "The 'label' parameter of DM2ATLearner must be 'pseudo' or 'true'. Got 'both'"),
    ],
)
def test_bad_parameters(params, message, data):
    with pytest.raises(ValueError, match=message):
        DM2ATLearner(net(), **params)
    later = DM2ATLearner(net()).set_params(**params)
    with pytest.raises(ValueError, match=message):
        later.fit(data[0][:10], data[1][:10])


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), make_pipeline(StandardScaler(), net(DeepClassifier))],
    ids=["linear", "pipeline"],
)
def test_an_estimator_without_input_gradient(estimator):
    message = rf"DM2ATLearner needs an estimator with `input_gradient\(X, y\)`.* {type(estimator).__name__} has none"
    with pytest.raises(TypeError, match=message):
        DM2ATLearner(estimator)


def test_a_search_as_the_estimator(data):
    X, y = data
    search = GridSearchCV(net(DeepClassifier), {"lr": [0.1, 0.5]}, cv=2)
    learner = DM2ATLearner(search, X_training=X[:30], y_training=y[:30])
    idx, queried = learner.query(X[30:], n_instances=3)
    learner.teach(queried, y[30:][idx])
    assert len(learner.X_adversarial) == 3


def test_any_strategy_and_an_adversarial_network(data):
    X, y = data
    learner = DM2ATLearner(net(AdversarialClassifier), LeastConfidence(random_state=0), X[:10], y[:10])
    idx, queried = learner.query(X[10:], n_instances=3)
    learner.teach(queried, y[10:][idx])
    assert len(learner.X_adversarial) == 3


def test_clone_repr_and_typo(learner, data):
    step(learner, data)
    twin = clone(learner)
    assert type(twin) is DM2ATLearner
    assert twin.X_adversarial is None
    assert twin.X_training is None
    assert twin.epsilon == 0.1
    assert twin.query_strategy is not learner.query_strategy
    assert "epsilon=0.1" in repr(learner)
    with pytest.raises(TypeError, match="DM2ATLearner has no parameter 'epsil'. Did you mean 'epsilon'?"):
        DM2ATLearner(net(), epsil=0.1)


@pytest.mark.parametrize("label", ["pseudo", "true"])
def test_undo_and_relabel_take_the_copies_along(label, data):
    X, y = data
    learner = DM2ATLearner(net(), X_training=X[:10], y_training=y[:10], epsilon=0.1, label=label)
    step(learner, data)
    first = learner.X_adversarial.copy(), learner.predict_proba(X)
    step(learner, data, 3)
    second = learner.X_adversarial.copy()
    # Row 12 is the third queried sample. Its copy has its label, and is otherwise what it was.
    learner.relabel([0, 12], [(y[0] + 1) % 3, 2])
    assert learner.y_adversarial[2] == 2
    np.testing.assert_array_equal(learner.X_adversarial, second)
    seen_X, seen_y, weight = learner.estimator.seen_
    np.testing.assert_array_equal(seen_X, np.concatenate([learner.X_training, second]))
    np.testing.assert_array_equal(seen_y, np.concatenate([learner.y_training, learner.y_adversarial]))
    np.testing.assert_allclose(weight, [1.0] * 10 + [0.5] * 14)
    learner.relabel([0, 12], [y[0], first_label := learner.y_training[12]])
    assert first_label == 2
    learner = pickle.loads(pickle.dumps(learner))
    learner.undo()
    np.testing.assert_array_equal(learner.X_adversarial, first[0])
    assert learner.round == 1
    learner.undo()
    assert learner.X_adversarial is None and learner.y_adversarial is None
    plain = net().fit(X[:10], y[:10])
    np.testing.assert_array_equal(learner.predict_proba(X), plain.predict_proba(X))
    with pytest.raises(ValueError, match="nothing to undo"):
        learner.undo()


def test_undo_gives_the_predictions_back(learner, data):
    step(learner, data)
    proba = learner.predict_proba(data[0])
    step(learner, data, 3)
    np.testing.assert_array_equal(learner.undo().predict_proba(data[0]), proba)


def test_undo_of_the_first_lesson(data):
    X, y = data
    learner = DM2ATLearner(net())
    learner.teach(X[:8], y[:8])
    learner.teach(X[8:11], y[8:11])
    assert len(learner.X_adversarial) == 3
    learner.undo().undo()
    assert learner.X_training is None and learner.X_adversarial is None
    assert not learner.estimator.initialized_
    learner.teach(X[:8], y[:8])
    assert learner.X_adversarial is None


@pytest.mark.parametrize("save", ["pickle", "joblib"])
def test_saves_and_loads(save, learner, data):
    step(learner, data)
    if save == "pickle":
        twin = pickle.loads(pickle.dumps(learner))
    else:
        file = io.BytesIO()
        joblib.dump(learner, file)
        file.seek(0)
        twin = joblib.load(file)
    np.testing.assert_array_equal(twin.X_adversarial, learner.X_adversarial)
    results = []
    for each in (learner, twin):
        each.query_strategy.random_state = 0
        step(each, data)
        results.append(each.predict_proba(data[0]))
    np.testing.assert_array_equal(*results)


def test_in_scikit_learns_own_tools(data):
    X, y = data
    assert len(cross_val_score(DM2ATLearner(net()), X, y, cv=2)) == 2
    search = GridSearchCV(
        DM2ATLearner(net()), {"epsilon": [0.0, 0.1], "query_strategy__n_neighbors": [2, 5]}, cv=2, error_score="raise"
    )
    assert search.fit(X, y).best_estimator_.query_strategy.n_neighbors in (2, 5)


def loop(**params):
    settings = {"n_initial": 10, "n_instances": 5, "n_queries": 2, "random_state": 0, **params}
    return ActiveLearningClassifier(net(), DM2(), **settings)


def test_in_active_learning_classifier(data):
    X, y = data
    al = loop(learner=DM2ATLearner(None, epsilon=0.05)).fit(X, y)
    assert type(al.learner_) is DM2ATLearner
    assert al.learner_.epsilon == 0.05
    assert len(al.learner_.X_adversarial) == 10
    assert al.n_labels_ == 20
    assert al.learner.X_training is None  # the template stays as it was
    weight = al.estimator_.seen_[2]
    np.testing.assert_allclose(weight, [1.0] * 10 + [0.5] * 20)
    assert type(loop().fit(X, y).learner_) is ActiveLearner


def test_its_parameters_are_searched_in_active_learning_classifier(data):
    X, y = data
    grid = {"learner__epsilon": [0.0, 0.3], "query_strategy__n_neighbors": [2, 5], "learner__label": ["pseudo", "true"]}
    search = GridSearchCV(loop(learner=DM2ATLearner(None)), grid, cv=2, error_score="raise", refit=True).fit(X, y)
    assert set(search.best_params_) == set(grid)
    probas = [
        loop(learner=DM2ATLearner(None, epsilon=epsilon)).fit(X, y).predict_proba(X) for epsilon in (0.0, 0.3, 0.3)
    ]
    assert not np.array_equal(probas[0], probas[1])
    np.testing.assert_array_equal(probas[1], probas[2])


def test_the_learner_parameter_is_checked(data):
    with pytest.raises(ValueError, match="The 'learner' parameter of ActiveLearningClassifier must be"):
        loop(learner=RandomSampling()).fit(*data)
    twin = clone(loop(learner=DM2ATLearner(None, epsilon=0.2)))
    assert twin.learner.epsilon == 0.2
