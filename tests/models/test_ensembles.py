"""Which members of an ensemble are asked."""

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from skal.pool import view_pool

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((60, 4)), RNG.integers(3, size=60)  # nothing to learn, so that no two trees agree
FOREST = RandomForestClassifier(10, random_state=0).fit(X, Y)


def asked(n, seed):
    """Positions of the members whose opinions are handed out."""
    own = [tree.predict_proba(X) for tree in FOREST.estimators_]
    samples = view_pool(FOREST, X).iter_proba_samples(n, np.random.default_rng(seed))
    return [next(i for i, proba in enumerate(own) if np.array_equal(proba, sample)) for sample in samples]


def test_fewer_than_there_are_come_at_random_and_in_order():
    chosen = [asked(3, seed) for seed in range(30)]
    assert all(members == sorted(set(members)) and len(members) == 3 for members in chosen)
    assert {i for members in chosen for i in members} == set(range(10))


def test_all_of_them_where_more_are_asked_for():
    assert asked(10, 0) == asked(25, 0) == list(range(10))
