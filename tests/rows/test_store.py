"""FeatureStore: what is put is found, as it was, within a limit."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skal.rows import FeatureStore


def rows(*numbers):
    return {str(i).encode(): np.full(4, float(i)) for i in numbers}


def test_what_was_put_is_found():
    store = FeatureStore()
    store.put(rows(1, 2), limit=10**6)
    found = store.get([b"1", b"2", b"3"])
    assert found.keys() == {b"1", b"2"}
    np.testing.assert_array_equal(found[b"2"], np.full(4, 2.0))
    store.clear()
    assert len(store) == store.nbytes == 0


def test_rows_are_copies_which_keep_no_batch_alive():
    store, batch = FeatureStore(), np.arange(8.0).reshape(2, 4)
    store.put({b"a": batch[0], b"b": batch[1]}, limit=10**6)
    batch[:] = -1
    found = store.get([b"a", b"b"])
    np.testing.assert_array_equal(found[b"b"], [4, 5, 6, 7])
    assert all(row.base is None for row in found.values())


def test_the_limit_holds():
    store = FeatureStore()
    store.put(rows(*range(100)), limit=5000)
    assert 0 < len(store) < 100
    assert store.nbytes <= 5000
    store.put(rows(200), limit=0)
    assert len(store) == store.nbytes == 0


class TestLimit:
    row = np.zeros(100, dtype=np.float32)  # 700 bytes with what it costs beside

    def scan(self, store, keys, limit, batch=20):
        """The share of `keys` found in one pass, in which the rest is put there."""
        found = 0
        for start in range(0, len(keys), batch):
            part = keys[start : start + batch]
            there = store.get(part)
            store.put({key: self.row for key in part if key not in there}, limit)
            found += len(there)
        return found / len(keys)

    @pytest.mark.parametrize("share", [0.9, 0.5])
    def test_a_part_of_a_scanned_pool_stays(self, share):
        store, keys = FeatureStore(), [b"%d" % i for i in range(1000)]
        limit = int(share * 1000 * 700)
        hits = [self.scan(store, keys, limit) for _ in range(4)]
        assert hits[0] == 0 and min(hits[1:]) > share - 0.02 and store.nbytes <= limit
        # Some rows leave the pool, and others are looked at between two passes.
        for i in range(1, 4):
            self.scan(store, [b"o%d" % k for k in range(50)], limit)
            assert self.scan(store, keys[10 * i :], limit) > share - 0.1

    def test_new_data_take_over(self):
        store, limit = FeatureStore(), 500 * 700
        for name in (b"a", b"b"):
            keys = [name + b"%d" % i for i in range(400)]
            hits = [self.scan(store, keys, limit) for _ in range(8)]
            assert hits[1] > 0.5 and hits[-1] > 0.85

    def test_several_threads(self):
        store, keys, limit = FeatureStore(), [b"%d" % i for i in range(600)], 300 * 700
        with ThreadPoolExecutor(4) as pool:
            hits = list(pool.map(lambda _: self.scan(store, keys, limit), range(24)))
        assert np.mean(hits[8:]) > 0.3
        assert len(store) <= 300 and store.nbytes == 700 * len(store)
        assert set(store.get(keys)) == {key for key in keys if key in store.get([key])}

    def test_a_row_beyond_the_limit_costs_no_other(self):
        store = FeatureStore()
        store.put({b"a": self.row}, limit=1000)
        store.put({b"b": np.zeros(1000)}, limit=1000)
        assert set(store.get([b"a", b"b"])) == {b"a"}
        store.put({}, limit=600)
        assert len(store) == 0 and store.nbytes == 0
