"""FeatureStore: what is put is found, as it was, within a limit."""

import numpy as np

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
