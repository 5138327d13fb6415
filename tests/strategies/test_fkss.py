"""FKSS: descriptors and choice against literal loops, what it must prefer, the split, validation data, layers."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from skal.exceptions import PoolCapabilityError
from skal.nets import DeepClassifier
from skal.pool import view_pool
from skal.strategies import FKSS
from skal.strategies._fkss import farthest_first, rank_by_rank, standardised

X, Y = make_blobs(240, centers=3, n_features=5, cluster_std=6.0, random_state=0)
LABELED = {"X_training": X[:60], "y_training": Y[:60]}
POOL = X[60:200]
VALIDATION = {"X_validation": X[200:], "y_validation": Y[200:]}


def pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else 0.0


def literal(z_pool, g_of_pool, z_val, g_val, y_val, missed, n_instances, n_neighbors, rng):
    """Sample by sample, with a list of layers each; `g_of_pool(i, label)` are the gradients of a pool sample."""
    targets = [j for j in range(len(y_val)) if missed[j]]

    def alike(a, b):
        return sum(pearson(x, y) for x, y in zip(a, b))

    def similarity(j, k):
        return alike(z_val[j], z_val[k]) + alike(g_val[j], g_val[k])

    if len(targets) > n_instances:
        chosen = [targets[int(rng.integers(len(targets)))]]
        while len(chosen) < n_instances:
            rest = [j for j in targets if j not in chosen]
            chosen.append(min(rest, key=lambda j: max(similarity(j, k) for k in chosen)))
        targets = chosen
    table = {}
    for i in range(len(z_pool)):
        label = y_val[max(range(len(y_val)), key=lambda j: alike(z_pool[i], z_val[j]))]
        g = g_of_pool(i, label)
        for j in targets:
            table[j, i] = alike(z_pool[i], z_val[j]) + alike(g, g_val[j])
    ranks = [sorted(range(len(z_pool)), key=lambda i: -table[j, i])[:n_neighbors] for j in targets]
    picks = []
    for rank in range(n_neighbors):
        for j, row in sorted(zip(targets, ranks), key=lambda pair: -table[pair[0], pair[1][rank]]):
            if row[rank] not in [i for i, _ in picks]:
                picks.append((row[rank], table[j, row[rank]]))
            if len(picks) == n_instances:
                return picks
    return picks


@pytest.mark.parametrize(("n_instances", "n_neighbors"), [(1, 1), (4, 32), (12, 3), (30, 32)])
def test_against_a_literal_loop_with_a_linear_head(n_instances, n_neighbors):
    clf = LogisticRegression(max_iter=500).fit(X[:60], Y[:60])

    def gradient(x, label):
        p = clf.predict_proba(x[None])[0]
        return [(p - np.eye(3)[label]) @ clf.coef_]

    X_val, y_val = X[200:], Y[200:]
    missed = clf.predict(X_val) != y_val
    assert 4 < missed.sum() < 30
    expected = literal(
        [[x] for x in POOL], lambda i, label: gradient(POOL[i], label), [[x] for x in X_val],
        [gradient(x, label) for x, label in zip(X_val, y_val)], y_val, missed, n_instances, n_neighbors,
        np.random.default_rng([3, 0, 60]),
    )  # fmt: skip
    strategy = FKSS(**VALIDATION, n_neighbors=n_neighbors, random_state=3)
    query_idx, scores = strategy.select(clf, POOL, n_instances, **LABELED)
    assert query_idx[: len(expected)].tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(scores[: len(expected)], [value for _, value in expected], atol=1e-5)


class Net(nn.Module):
    def __init__(self, n_classes=3):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 2)
        self.flat = nn.Linear(16, 6)
        self.head = nn.Linear(6, n_classes)

    def forward(self, x):
        x = self.conv(x[:, None]).relu().flatten(1)
        return self.head(self.flat(x).relu())


def test_against_a_literal_loop_with_layers():
    net = DeepClassifier(Net, max_epochs=20, lr=0.02, batch_size=16, random_state=0).fit(X[:60], Y[:60])
    module = net.module_.eval()

    def features_and_gradients(x, label):
        conv = module.conv(torch.tensor(x, dtype=torch.float32)[None, None]).detach().requires_grad_(True)
        flat = module.flat(conv.relu().flatten(1))
        flat.retain_grad()
        F.cross_entropy(module.head(flat.relu()), torch.tensor([label])).backward()
        z = [conv.detach().numpy()[0].mean(1), flat.detach().numpy()[0]]
        return [a.astype(float) for a in z], [conv.grad.numpy()[0].mean(1), flat.grad.numpy()[0]]

    val = [features_and_gradients(x, label) for x, label in zip(X[200:], Y[200:])]
    missed = net.predict(X[200:]) != Y[200:]
    expected = literal(
        [features_and_gradients(x, 0)[0] for x in POOL], lambda i, label: features_and_gradients(POOL[i], label)[1],
        [z for z, _ in val], [g for _, g in val], Y[200:], missed, 6, 32, np.random.default_rng([3, 0, 60]),
    )  # fmt: skip
    strategy = FKSS(layers=["conv", "flat"], **VALIDATION, random_state=3)
    assert strategy.requires == ("layers", "proba")
    query_idx, scores = strategy.select(net, POOL.astype(np.float32), 6, **LABELED)
    assert query_idx.tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(scores, [value for _, value in expected], atol=1e-4)


def test_it_takes_pool_samples_like_those_that_are_misclassified():
    """A class that the labelled data have wrong in one corner: the corner is asked about."""
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0, 9, 0], [0, 9, 0, 0], [9, 0, 0, 0], [9, 9, 0, 9]])
    group = rng.integers(0, 4, 400)
    points = centers[group] + rng.normal(size=(400, 4))
    labels = np.array([0, 1, 2, 0])[group]  # the last cluster is of class 0, too ...
    train = (group < 3) & (np.arange(400) < 100)
    clf = LogisticRegression(max_iter=1000).fit(points[train], labels[train])  # ... which the classifier has not seen
    validation, pool = slice(100, 200), slice(200, 400)
    assert set(group[validation][clf.predict(points[validation]) != labels[validation]].tolist()) == {3}
    strategy = FKSS(X_validation=points[validation], y_validation=labels[validation], random_state=0)
    query_idx, _ = strategy.select(clf, points[pool], 20, X_training=points[train], y_training=labels[train])
    assert (group[pool][query_idx] == 3).mean() == 1


def test_the_split_is_tried_on_a_clone_that_has_not_seen_it():
    clf = LogisticRegression(max_iter=500).fit(X[:60], Y[:60])
    pool = view_pool(clf, POOL, **LABELED)
    view, columns, missed = FKSS(validation_fraction=0.3)._validation(pool, np.random.default_rng(4))
    held = np.sort(np.random.default_rng(4).permutation(60)[:18])
    np.testing.assert_array_equal(view.X, X[held])
    np.testing.assert_array_equal(columns, Y[held])
    rest = np.setdiff1d(np.arange(60), held)
    own = clone(clf).fit(X[rest], Y[rest])
    np.testing.assert_array_equal(missed, own.predict(X[held]) != Y[held])


def test_predicted_pseudo_labels():
    clf = LogisticRegression(max_iter=500).fit(X[:60], Y[:60])
    strategies = [FKSS(**VALIDATION, pseudo_label=kind, random_state=0) for kind in ("similar", "predicted")]
    first, second = (strategy.select(clf, POOL, 20, **LABELED)[0] for strategy in strategies)
    assert set(first.tolist()) != set(second.tolist())


def test_nothing_misclassified():
    clf = LogisticRegression(max_iter=500).fit(X[:60], Y[:60])
    right = clf.predict(X[200:])
    strategy = FKSS(X_validation=X[200:], y_validation=right, random_state=0)
    with pytest.warns(UserWarning, match="FKSS found no validation sample that is misclassified"):
        query_idx, scores = strategy.select(clf, POOL, 5, **LABELED)
    confidence = clf.predict_proba(POOL).max(axis=1)
    np.testing.assert_array_equal(query_idx, np.argsort(confidence)[:5])
    np.testing.assert_allclose(scores, 1 - confidence[query_idx])


def test_blocks_and_what_follows_the_last_rank(monkeypatch):
    rng = np.random.default_rng(5)
    descriptors, targets = rng.normal(size=(50, 7)).astype(np.float32), rng.normal(size=(3, 7)).astype(np.float32)
    whole = rank_by_rank(descriptors, targets, 40, 4)
    values = descriptors @ targets.T
    by_rank = list(dict.fromkeys(np.argsort(-values, axis=0)[:4].ravel()))
    assert set(whole[0][: len(by_rank)].tolist()) == set(by_rank)
    rest = [i for i in np.argsort(-values.max(axis=1)) if i not in by_rank]
    assert whole[0][len(by_rank) :].tolist() == rest[: 40 - len(by_rank)]
    monkeypatch.setattr("skal.strategies._fkss._VALUES", 20)
    parts = rank_by_rank(descriptors, targets, 40, 4)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_allclose(whole[1], parts[1], rtol=1e-6)


def test_rows_are_standardised_and_targets_spread():
    rows = standardised([np.array([[1.0, 2, 3], [5, 5, 5], [1e-30, 2e-30, 3e-30]]), np.eye(3)])
    np.testing.assert_allclose(rows[0, :3], [-np.sqrt(0.5), 0, np.sqrt(0.5)], atol=1e-6)
    assert (rows[1, :3] == 0).all()
    np.testing.assert_allclose(rows[2, :3], rows[0, :3], atol=1e-6)
    targets = np.array([[1.0, 0], [0.99, 0.1], [-1, 0], [0, 1]])
    for seed in range(5):
        assert {0, 1} != set(farthest_first(targets, 2, np.random.default_rng(seed)).tolist())
    assert farthest_first(targets, 4, np.random.default_rng(0)).tolist() == [0, 1, 2, 3]


def test_refusals():
    clf = LogisticRegression(max_iter=500).fit(X[:60], Y[:60])
    with pytest.raises(ValueError, match="'X_validation' and 'y_validation' parameters of FKSS must be given together"):
        FKSS(X_validation=X[:5]).select(clf, POOL, 2, **LABELED)
    with pytest.raises(ValueError, match="'X_validation' parameter of FKSS must hold samples like those of the pool"):
        FKSS(X_validation=X[:5, :3], y_validation=Y[:5]).select(clf, POOL, 2, **LABELED)
    with pytest.raises(ValueError, match="labels that LogisticRegression has no output for: .7."):
        FKSS(X_validation=X[:5], y_validation=[7] * 5).select(clf, POOL, 2, **LABELED)
    with pytest.raises(PoolCapabilityError, match="FKSS needs the labelled data"):
        FKSS().select(clf, POOL, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(FKSS(**VALIDATION).select(clf, POOL, 2)[0]) == 2
