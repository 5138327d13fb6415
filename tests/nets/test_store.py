"""BlockStore: what is put is found, as it was, within a limit; a scan keeps what the store holds."""

import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skal.nets._store import BlockStore, row_bytes

D = 512  # numbers of a row, float32: 2,048 bytes


def keys_of(numbers, name="k"):
    return [f"{name}{i}".encode() for i in numbers]


def rows_of(numbers, d=D):
    return np.repeat(np.asarray(numbers, dtype=np.float32)[:, None], d, axis=1)


def scan(store, numbers, limit, *, name="k", d=D, batch=20):
    """Share of the rows found in a pass, in which the others are put there, as `backbone_features` does."""
    since, n_found, left = store.clock, 0, []
    for start in range(0, len(numbers), batch):
        part = np.asarray(numbers[start : start + batch])
        where, found = store.get(keys_of(part, name))
        if len(where):
            np.testing.assert_array_equal(found, rows_of(part[where], d))
        part = np.delete(part, where)
        n_found += len(where)
        left += part[store.put(keys_of(part, name), rows_of(part, d), limit)].tolist()
        assert store.nbytes <= limit
    if left:
        store.replace(keys_of(left, name), rows_of(left, d), limit, since=since, found=n_found > 0)
    assert store.nbytes <= limit
    return n_found / len(numbers)


def test_what_was_put_is_found():
    store = BlockStore()
    assert store.get([b"k1"])[1] is None
    assert len(store.put(keys_of([1, 2]), rows_of([1, 2]), limit=10**6)) == 0
    where, rows = store.get(keys_of([3, 2, 1, 2]))
    assert where.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(rows, rows_of([2, 1, 2]))
    rows[:] = -1  # a copy
    np.testing.assert_array_equal(store.get([b"k2"])[1], rows_of([2]))
    store.put([b"k2"], rows_of([5]), limit=10**6)
    np.testing.assert_array_equal(store.get([b"k2"])[1], rows_of([2]))
    store.clear()
    assert len(store) == store.nbytes == 0 and store.get([b"k1"])[1] is None


def test_equals_a_dict_over_random_operations():
    """Kinds of several shapes and limits that change: a row that is found is the one that was put."""
    rng, store = np.random.default_rng(0), BlockStore()
    for _ in range(400):
        name, d = [("a", 3), ("b", 40), ("c", 600)][rng.integers(3)]
        scan(store, rng.integers(0, 300, 60), int(rng.choice([0, 3000, 60_000, 200_000])), name=name, d=d)
        held = sum(len(store.get(keys_of(range(300), name))[0]) for name in "abc")
        assert held == len(store)


@pytest.mark.parametrize("share", [1, 0.9, 0.5, 0.1])
def test_a_scan_keeps_what_the_store_holds(share):
    store, limit = BlockStore(), int(share * 1000 * D * 4)
    hits = [scan(store, range(1000), limit) for _ in range(4)]
    assert hits == [0] + 3 * [share]
    # Some rows leave the pool, and a few others are looked at between two passes.
    for i in range(1, 4):
        scan(store, range(20), limit, name="other")
        assert scan(store, range(10 * i, 1000), limit) > share - 0.05


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_pool_that_comes_in_parts_stays(share):
    store, limit = BlockStore(), int(share * 1000 * D * 4)
    hits = [np.mean([scan(store, range(i, i + 100), limit) for i in range(0, 1000, 100)]) for _ in range(6)]
    assert hits[0] == 0 and min(hits[1:]) > share - 0.02


@pytest.mark.parametrize("d", [D, 100], ids=["shape", "other shape"])
def test_other_data_take_over(d):
    store, limit = BlockStore(), 400 * D * 4
    for _ in range(3):
        scan(store, range(400), limit)
    assert len(store) == 400
    assert [scan(store, range(400), limit, name="new", d=d) for _ in range(2)] == [0, 1]


def test_what_a_growing_pool_no_longer_holds_goes():
    store, limit = BlockStore(), 400 * D * 4
    scan(store, range(400), limit)
    hits = [scan(store, range(300, 700), limit) for _ in range(8)]
    assert hits[:2] == [0.25, 0.25] and hits[-1] == 1


@pytest.mark.parametrize("d", [1, 16, 100, D, 1280])
def test_the_bytes_are_true_to_within_a_tenth(d):
    store, values = BlockStore(), rows_of(range(100), d)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(10_000_000 // (50 * (4 * d + 150)) // 2):
        store.put([os.urandom(16) for _ in range(100)], values, limit=10**9)
    true = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.9 < true / store.nbytes < 1.1
    assert row_bytes(values) >= 4 * d


def test_the_limit_holds():
    store = BlockStore()
    assert len(store.put(keys_of(range(100)), rows_of(range(100)), limit=50 * D * 4)) == 50
    assert len(store) == 50
    store.put([b"other"], rows_of([200], 10), limit=20 * D * 4)
    assert len(store) == 1 and store.nbytes <= 20 * D * 4
    store.put([], rows_of([], 10), limit=0)
    assert len(store) == store.nbytes == 0


def test_a_row_beyond_the_limit_costs_no_other():
    store, limit = BlockStore(), 1000
    store.put([b"a"], rows_of([1], 10), limit)
    since = store.clock
    assert store.put([b"b"], rows_of([1], 1000), limit).tolist() == [0]
    store.replace([b"b"], rows_of([1], 1000), limit, since=since, found=False)
    assert store.get([b"a", b"b"])[0].tolist() == [0]


def test_several_threads():
    store, limit = BlockStore(), 300 * D * 4
    with ThreadPoolExecutor(4) as pool:
        hits = list(pool.map(lambda _: scan(store, range(600), limit), range(24)))
    assert np.mean(hits[8:]) > 0.4 and len(store) <= 300
    assert len(store.get(keys_of(range(600)))[0]) == len(store)
