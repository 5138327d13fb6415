"""What is written down of a run beside its scores."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from torch.utils.data import TensorDataset

from skal.experiments._records import NearDuplicates, peak_memory, queried_positions, reset_peak_memory


def slow(X, pool, labeled, n_new):
    """The definition, one pair at a time."""
    flat = X.reshape(len(X), -1).astype(float)
    reference = flat[pool]
    scale = np.where(reference.std(axis=0) > 0, reference.std(axis=0), 1)
    flat = flat / scale
    pairs = [np.linalg.norm(flat[a] - flat[b]) for i, a in enumerate(pool) for b in pool[i + 1 :]]
    near = 0.1 * np.median(pairs)
    first = len(labeled) - n_new
    return [
        any(np.linalg.norm(flat[labeled[i]] - flat[labeled[j]]) <= near for j in range(i))
        for i in range(first, len(labeled))
    ]


class TestNearDuplicates:
    @pytest.mark.parametrize("shape", [(3,), (1, 4, 4), (1,)])
    def test_equals_the_slow_loop(self, shape):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(60, *shape)) * 7 + 3
        X[30:45] = X[:15] + rng.normal(size=(15, *shape)) * rng.choice([1e-4, 0.5, 3], (15, *[1] * len(shape)))
        X[50] = X[51]
        pool = np.arange(55)
        near = NearDuplicates(X, pool)
        for n_new in (1, 10, 40):
            labeled = np.concatenate([rng.permutation(45)[: 40 - n_new], [50, 51], rng.permutation(5) + 45])
            found = near.among(labeled, min(n_new, len(labeled)))
            assert found.tolist() == slow(X, pool, labeled, min(n_new, len(labeled)))

    def test_kinds_of_samples(self):
        rng = np.random.default_rng(0)
        X = rng.integers(0, 3, (40, 3)).astype(float)
        pool, labeled = np.arange(40), np.arange(20)
        expected = NearDuplicates(X, pool).among(labeled, 20)
        assert expected.any() and not expected[0]
        for kind in (pd.DataFrame(X), sp.csr_matrix(X)):
            np.testing.assert_array_equal(NearDuplicates(kind, pool).among(labeled, 20), expected)
        missing = X.copy()
        missing[3, 1] = np.nan
        texts = np.array(["a", "b"] * 20, dtype=object)
        for kind in (texts, [{"a": 1}] * 40, missing, np.empty((40, 0)), TensorDataset(torch.tensor(X))):
            assert NearDuplicates(kind, pool).among(labeled, 20) is None

    def test_wide_samples_and_a_single_one(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(10, 3, 64, 64))
        X[7] = X[2]
        found = NearDuplicates(X, np.arange(10)).among(np.arange(10), 10)
        assert np.flatnonzero(found).tolist() == [7]
        assert NearDuplicates(X, np.array([4])).among(np.array([4]), 1).tolist() == [False]


def test_memory_grows_by_what_is_held():
    reset_peak_memory()
    before = peak_memory()
    held = np.ones(30_000_000)
    assert peak_memory() >= before + 200 and held[-1] == 1


def test_positions_of_rounds():
    rows = pd.DataFrame({"strategy": ["a", "a"], "seed": [3, 3], "round": [0, 1], "queried": ["7 2", "5"]})
    assert queried_positions(rows).to_numpy().tolist() == [["a", 3, 0, 7], ["a", 3, 0, 2], ["a", 3, 1, 5]]
