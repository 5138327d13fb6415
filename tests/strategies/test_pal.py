"""PAL: the score and the sub-queries by a slow loop, the rotation and the class it fails on, containers, refusals."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from torch.utils.data import Dataset

from skal.exceptions import ColdStartWarning, PoolCapabilityError
from skal.learners import ActiveLearner
from skal.nets import RotationClassifier
from skal.strategies import PAL
from skal.strategies._pal import divergence
from skal.utils._random import make_generator, sklearn_seed


def pictures(n, seed, turns=0, both=False):
    """Bright at the top, turned by quarters; a spot in the left (class 0) or right half, or in `both`."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = np.linspace(1, 0, 8)[None, None, :, None] + 0.1 * rng.normal(size=(n, 1, 8, 8))
    for column, with_it in ((1, y == 0), (5, y == 1)):
        X[with_it | both, :, 3:5, column : column + 2] -= 1
    return np.rot90(X, turns, axes=(2, 3)).astype(np.float32), y


X, Y = pictures(60, 0)
LABELED = {"X_training": X, "y_training": Y}
CLASSIFIER = DummyClassifier().fit(X, Y)
SETTINGS = {"max_epochs": 12, "batch_size": 16}


@pytest.mark.parametrize("n_subqueries", [1, 3, 50])
def test_against_a_slow_loop(n_subqueries):
    pool = np.concatenate([pictures(20, 1)[0], pictures(6, 2, turns=1)[0]])
    strategy = PAL(n_subqueries=n_subqueries, class_weight=0.5, diversity_weight=2.0, random_state=3, **SETTINGS)
    query_idx, scores = strategy.select(CLASSIFIER, pool, 7, **LABELED)

    rng = make_generator(3, 0, 60)
    network = RotationClassifier(device="cpu", random_state=sklearn_seed(rng), **SETTINGS).fit(X, Y)
    rotations, classes = np.exp(network.outputs(pool)[0]), network.predict_proba(pool)
    base = []
    for p_turns, p_classes in zip(rotations, classes):
        divergence = sum(0.5 * np.log2(0.5 / p) for p in p_classes)
        base.append(-sum(p_turns) - 0.5 * divergence)
    picked, values = [], []
    for part in np.array_split(np.arange(7), min(n_subqueries, 7)):
        current = list(base)
        if picked:
            copy = network.fine_tuned(pool[picked], max_epochs=5, random_state=sklearn_seed(rng))
            current = [score - 2.0 * turns for score, turns in zip(base, copy.score_rotations(pool))]
        rest = [i for i in range(26) if i not in picked]
        best = sorted(rest, key=lambda i: -current[i])[: len(part)]
        # Ties are broken by the same generator.
        rng.choice(1, size=1, replace=False), rng.shuffle(np.arange(len(part)))
        picked += best
        values += [current[i] for i in best]
    np.testing.assert_allclose(scores, values, atol=1e-5)
    assert query_idx.tolist() == picked


def test_divergence():
    log_proba = np.log([[0.5, 0.5], [0.9, 0.1]])
    expected = [0, 0.5 * np.log2(0.5 / 0.9) + 0.5 * np.log2(0.5 / 0.1)]
    np.testing.assert_allclose(divergence(log_proba), expected, atol=1e-12)
    assert divergence(np.zeros((3, 1))).tolist() == [0, 0, 0]
    assert np.isfinite(divergence(np.array([[0.0, -1e3]]))).all()


def test_it_takes_the_rotation_that_it_fails_on():
    pool = np.concatenate([pictures(40, 1)[0], pictures(8, 2, turns=1)[0], pictures(8, 3, turns=3)[0]])
    query_idx, _ = PAL(class_weight=0, n_subqueries=1, random_state=0, **SETTINGS).select(
        CLASSIFIER, pool, 16, **LABELED
    )
    assert (query_idx >= 40).mean() > 0.9


def test_it_takes_the_class_that_it_fails_on():
    pool = np.concatenate([pictures(40, 1)[0], pictures(10, 2, both=True)[0]])
    query_idx, _ = PAL(n_subqueries=1, random_state=0, max_epochs=30).select(CLASSIFIER, pool, 10, **LABELED)
    assert (query_idx >= 40).mean() > 0.7


class Images(Dataset):
    def __init__(self, X):
        self.X, self.reads = X, 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.reads += 1
        return self.X[i]


def test_a_dataset_as_pool_and_a_learner():
    pool = pictures(20, 1)[0]
    strategy = PAL(n_subqueries=2, random_state=0, **SETTINGS)
    expected = strategy.select(CLASSIFIER, pool, 4, **LABELED)
    images = Images(pool)
    found = strategy.select(CLASSIFIER, images, 4, **LABELED)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
    assert images.reads == 2 * 20 + 2
    learner = ActiveLearner(DummyClassifier(), strategy, X, Y)
    np.testing.assert_array_equal(learner.query(pool, n_instances=4)[0], expected[0])


def test_what_it_needs():
    pool = pictures(9, 1)[0]
    with pytest.raises(PoolCapabilityError, match="PAL needs the labelled data"):
        PAL().select(CLASSIFIER, pool, 2)
    with pytest.raises(ValueError, match="'lr' parameter of PAL must be .* Got 2 instead"):
        PAL(lr=2).select(CLASSIFIER, pool, 2, **LABELED)
    with pytest.warns(ColdStartWarning):
        assert len(ActiveLearner(LogisticRegression(), PAL()).query(np.eye(5), n_instances=2)[0]) == 2


def test_its_network_lies_on_the_cpu_beside_a_classifier_that_is_no_network():
    classifier = DummyClassifier()
    classifier.device = "gpu"  # what some boosters call theirs
    strategy = PAL(n_subqueries=1, random_state=0, **SETTINGS)
    assert len(strategy.select(classifier.fit(X, Y), pictures(9, 1)[0], 2, **LABELED)[0]) == 2
