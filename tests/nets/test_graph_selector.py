"""GraphSelector: the graph's product equals the dense one, the network its slow twin, and what it learns to prefer."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skal.exceptions import TrainingDivergedError
from skal.nets import GraphSelector
from skal.nets._graph_selector import _chosen, degrees, graph_product, unit_rows


def dense(X):
    """The matrix of the graph, number by number."""
    f = [x / np.linalg.norm(x) if np.any(x) else x for x in X]
    n = len(X)
    similarity = np.array([[f[i] @ f[j] if i != j else 0.0 for j in range(n)] for i in range(n)])
    degree = [max(1.0, sum(similarity[i, j] for i in range(n))) for j in range(n)]
    return np.array(f), np.array([[similarity[i, j] / degree[j] + (i == j) for j in range(n)] for i in range(n)])


def samples(n, d, kind):
    X = np.random.default_rng([n, d]).standard_normal((n, d))
    if kind != "any":
        X = abs(X)
    if kind == "with zeros":
        X[:: max(2, n // 3)] = 0
    return X


@pytest.mark.parametrize("kind", ["any", "not negative", "with zeros"])
@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (2, 5, 3), (40, 7, 2), (60, 90, 4)])
@pytest.mark.parametrize("as_given", [np.asarray, torch.from_numpy])
def test_the_product_equals_the_dense_one(n, d, m, kind, as_given):
    X = samples(n, d, kind)
    f, graph = dense(X)
    unit = unit_rows(X)
    np.testing.assert_allclose(unit, f, atol=1e-15)
    z = np.random.default_rng(1).standard_normal((n, m))
    own, degree = degrees(as_given(unit))
    before = z.copy()
    found = np.asarray(graph_product(as_given(unit), own, degree, as_given(z)))
    np.testing.assert_allclose(found, graph @ z, rtol=0, atol=1e-12 * max(1, abs(graph @ z).max()))
    np.testing.assert_array_equal(z, before)


def test_without_negative_similarities_the_graph_is_the_papers():
    X = samples(30, 6, "not negative")
    f = X / np.linalg.norm(X, axis=1, keepdims=True)
    similarity = f @ f.T - np.eye(30)
    expected = similarity / similarity.sum(axis=0) + np.eye(30)
    np.testing.assert_allclose(graph_product(f, *degrees(f), np.eye(30)), expected, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_length_one_of_numbers_of_any_size(scale):
    X = samples(5, 3, "any")
    np.testing.assert_allclose(unit_rows(X * scale), unit_rows(X), atol=1e-15)


@pytest.mark.parametrize("kind", ["any", "not negative", "with zeros"])
def test_features_and_probabilities_follow_from_the_weights(kind):
    X = samples(50, 6, kind)
    net = GraphSelector(hidden=8, max_epochs=5, random_state=0).fit(X, np.arange(50) < 10)
    assert net.is_signed_ == (kind == "any")
    # With a constant beside them, cosines in [-1, 1] become similarities in [0, 1].
    f, graph = dense(np.hstack([dense(X)[0], np.ones((50, 1))]) if kind == "any" else X)
    first, second = net.module_.first, net.module_.second
    weights = [p.detach().numpy().astype(float) for p in (first.weight, first.bias, second.weight, second.bias)]
    units = np.maximum(graph @ f @ weights[0].T + weights[1], 0)
    logits = graph @ units @ weights[2].T + weights[3]
    np.testing.assert_allclose(net.transform(X), np.hstack([units, logits]), atol=1e-5)
    np.testing.assert_allclose(net.predict_proba(X)[:, 1], expit(logits[:, 0]), atol=1e-6)
    np.testing.assert_allclose(net.predict_proba(X).sum(axis=1), 1)


def test_the_first_loss_follows_from_the_first_weights():
    """Without dropout, by the formula; the weights before training are those of a step that does nothing."""
    X, is_labeled = samples(30, 4, "not negative"), np.arange(30) % 3 == 0
    net = GraphSelector(hidden=5, dropout=0, unlabeled_weight=0.7, max_epochs=1, lr=1e-30, random_state=3)
    p = net.fit(X, is_labeled).predict_proba(X)[:, 1]
    expected = -np.log(p[is_labeled]).mean() - 0.7 * np.log(1 - p[~is_labeled]).mean()
    assert net.losses_ == pytest.approx([expected], rel=1e-5)
    bound = 1 / np.sqrt(5)
    weight = net.module_.first.weight.detach().numpy()
    assert abs(weight).max() <= bound
    assert abs(weight).max() > 0.7 * bound
    assert abs(net.module_.second.weight.detach().numpy()).max() <= 1


@pytest.mark.parametrize("sign", ["any", "not negative"])
def test_what_is_far_from_the_labelled_looks_unlabelled(sign):
    rng = np.random.default_rng(0)
    centers = np.array([[1.0, 0, 0], [0, 1.0, 0]]) if sign == "not negative" else np.array([[1.0, 1, 1], [-1, -1, -1]])
    X = np.vstack([center + 0.1 * rng.standard_normal((60, 3)) for center in centers])
    for seed in range(3):
        net = GraphSelector(random_state=seed).fit(X, np.arange(120) < 25)
        p = net.predict_proba(X)[:, 1]
        assert p[60:].max() < 0.1 < 0.3 < p[:60].min()
        assert net.losses_[-1] < net.losses_[0]


def test_a_weight_of_zero_forgets_the_unlabelled():
    X = samples(40, 4, "not negative")
    p = GraphSelector(unlabeled_weight=0, random_state=0).fit(X, np.arange(40) < 10).predict_proba(X)[:, 1]
    assert p.min() > 0.8


@pytest.mark.parametrize("value", [0, 1])
def test_all_samples_alike_in_being_labelled(value):
    X = samples(20, 3, "any")
    net = GraphSelector(lr=0.05, random_state=0).fit(X, np.full(20, value))
    assert ((net.predict_proba(X)[:, 1] > 0.5) == value).all()


def test_a_seed_repeats_it_and_the_global_generator_stays():
    X, y = samples(30, 4, "any"), np.arange(30) < 9
    before = torch.get_rng_state()
    net = GraphSelector(max_epochs=20, random_state=4)
    first, again = (clone(net).fit(X, y).transform(X) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, clone(net).set_params(random_state=5).fit(X, y).transform(X))
    np.testing.assert_array_equal(torch.get_rng_state(), before)
    fitted = clone(net).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(X), first)


def test_a_failed_fit_changes_nothing(monkeypatch):
    X, y = samples(30, 4, "any"), np.arange(30) < 9
    net = GraphSelector(max_epochs=3, random_state=np.random.RandomState(0)).fit(X, y)
    before, state = copy.copy(vars(net)), net.random_state.get_state()[1].copy()

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y)
    assert vars(net) == before
    np.testing.assert_array_equal(net.random_state.get_state()[1], state)


def test_progress(capsys):
    X, y = samples(30, 4, "any"), np.arange(30) < 9
    GraphSelector(max_epochs=3, random_state=0).fit(X, y)
    assert capsys.readouterr().err == ""
    GraphSelector(max_epochs=3, random_state=0, verbose=1).fit(X, y)
    assert "graph: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden": 0}, "The 'hidden' parameter of GraphSelector must be an int in the range"),
        ({"dropout": 1}, r"The 'dropout' parameter of GraphSelector must be a float in the range \[0.0, 1.0\)"),
        ({"device": "tpu!"}, "The 'device' parameter of GraphSelector must be 'auto' or a device of torch"),
    ],
)
def test_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        GraphSelector(**params).fit(np.eye(3), [0, 1, 0])


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ([["a"], ["b"]], [0, 1], TypeError, r"X must be an array of numbers \(n, d\) for GraphSelector. Got list"),
        ([[np.nan], [1]], [0, 1], ValueError, "X must hold samples of finite numbers. Got none, NaN or infinity."),
        (np.empty((0, 2)), [], ValueError, "X must hold samples of finite numbers"),
        (np.eye(2), [0, 2], ValueError, "y must be 0 or 1 for each sample"),
        (np.eye(2), [[0, 1]], ValueError, "y must be 0 or 1 for each sample"),
        (np.eye(2), [0, 1, 1], ValueError, "y must say of each of the 2 samples whether it is labelled. Got 3 values."),
    ],
)
def test_samples(X, y, error, message):
    with pytest.raises(error, match=message):
        GraphSelector().fit(X, y)


def test_other_features_and_no_fit():
    with pytest.raises(NotFittedError):
        GraphSelector().transform(np.eye(2))
    net = GraphSelector(max_epochs=1).fit(np.eye(2), [0, 1])
    with pytest.raises(ValueError, match="X must have 2 features, as in fit. Got 3 instead."):
        net.predict_proba(np.eye(3))


def test_a_loss_that_is_not_finite():
    with pytest.raises(TrainingDivergedError, match="The loss of GraphSelector must be finite. Got .* lower lr"):
        GraphSelector(lr=1e30, random_state=0).fit(np.eye(4), [0, 1, 0, 1])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.999])
@pytest.mark.parametrize("shape", [(7, 3), (300, 257)])
def test_units_are_dropped_with_their_probability(shape, share):
    like = torch.zeros(shape)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        masks = [_chosen(like, share) for _ in range(400 if shape[0] == 7 else 20)]
    assert masks[0].shape == shape
    means = torch.stack(masks).double().mean(dim=0)
    spread = np.sqrt(share * (1 - share) / len(masks))
    assert abs(means.mean() - share) < 5 * spread / np.sqrt(like.numel()) + 1e-5
    if len(masks) == 400:
        assert (abs(means - share) < 6 * spread + 1e-9).all()


def test_dropout_is_made_up_for_in_training_alone():
    X, is_labeled = samples(200, 4, "not negative"), np.arange(200) % 2 == 0

    def loss(dropout):
        net = GraphSelector(hidden=4000, dropout=dropout, max_epochs=1, lr=1e-30, random_state=0)
        return net.fit(X, is_labeled).losses_[0]

    assert loss(0.5) == pytest.approx(loss(0.0), rel=0.1)
    assert loss(0.5) != loss(0.0)
