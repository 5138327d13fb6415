"""Batches of tensors that are read at once: those that torch makes of the rows one by one."""

import numpy as np
import pytest
import torch
from skorch.dataset import Dataset as SkorchDataset
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Subset, default_collate

from skal.nets import DeepClassifier
from skal.nets._data import (
    FEATURES,
    INPUT,
    BatchesInOrder,
    PackedData,
    ShuffledBatches,
    batch_reader,
    collate_samples,
)
from skal.utils._torch import torch_rng

RNG = np.random.default_rng(0)
X = torch.from_numpy(RNG.normal(size=(23, 3, 2)).astype(np.float32))
CODES, WEIGHT = RNG.integers(3, size=23), RNG.uniform(size=23)
INPUTS = {"a": X, "b": X[:, :1] * 2}


def row_by_row(data, idx):
    return default_collate([data[i] for i in idx])


def assert_same(found, expected):
    assert type(found) is list and len(found) == len(expected)
    for one, other in zip(found, expected):
        if isinstance(other, dict):
            assert one.keys() == other.keys()
            for key in other:
                assert_same([one[key]], [other[key]])
        else:
            assert one.dtype == other.dtype
            torch.testing.assert_close(one, other, rtol=0, atol=0)


DATA = {
    "samples": SkorchDataset(X),
    "dict": SkorchDataset(INPUTS),
    "packed": PackedData(SkorchDataset(X), INPUT, X),
    "training": PackedData(SkorchDataset(INPUTS, CODES), INPUT, INPUTS, y=CODES, codes=CODES, weight=WEIGHT),
    "features": PackedData(SkorchDataset(X), FEATURES, X, y=CODES, codes=CODES),
}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("places", [None, [5, 2, 20, 7, 7]])
def test_batches_equal_those_of_rows(kind, places):
    data = DATA[kind] if places is None else Subset(Subset(DATA[kind], range(22, -1, -1)), places)
    reader = batch_reader(data)
    assert reader is not data and len(reader) == len(data)
    for idx in ([0], [3, 1, 4], list(range(len(data)))):
        assert_same(collate_samples(reader.__getitems__(idx)), row_by_row(data, idx))
    loader = DataLoader(reader, batch_size=2, collate_fn=collate_samples)
    for found, expected in zip(loader, DataLoader(data, batch_size=2), strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("places", [None, [5, 2, 20, 7, 7]])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_loaders_without_machinery_give_what_torchs_do(kind, places, size):
    data = DATA[kind] if places is None else Subset(DATA[kind], places)
    reader = batch_reader(data)
    in_order = BatchesInOrder(reader, size)
    expected = list(DataLoader(data, batch_size=size))
    assert len(in_order) == len(expected)
    for _ in range(2):
        for one, other in zip(in_order, expected, strict=True):
            assert_same(one, other)
    orders = []
    for make in (
        lambda: DataLoader(data, batch_size=size, shuffle=True),
        lambda: DataLoader(reader, batch_sampler=ShuffledBatches(reader, size), collate_fn=collate_samples),
    ):
        with torch_rng(0):
            loader = make()
            orders.append([batch for _ in range(3) for batch in loader] + [[torch.rand(1)]])
            assert len(loader) == len(expected)
    for one, other in zip(*orders, strict=True):
        assert_same(list(one), list(other))


@pytest.mark.parametrize("order", ["C", "F", "reversed"])
def test_batches_are_copies_in_the_order_of_c(order):
    array = {"C": X.numpy(), "F": np.asfortranarray(X.numpy()), "reversed": X.numpy().transpose(0, 2, 1)}[order]
    reader = batch_reader(SkorchDataset(torch.from_numpy(array)))
    for rows, _ in (reader.between(slice(3, 7)), reader.__getitems__([3, 4, 5, 6])):
        assert rows.is_contiguous() and not np.shares_memory(rows.numpy(), array)
        np.testing.assert_array_equal(rows, array[3:7])


def test_settings_of_the_user_are_torchs_own():
    net = DeepClassifier(InPlace, max_epochs=1, random_state=0).fit(X, CODES)
    plain = net.get_iterator(net.get_dataset(X, CODES), training=True)
    assert isinstance(plain.batch_sampler, ShuffledBatches)
    settings = {"iterator_train__drop_last": True, "iterator_valid__num_workers": 1}
    net = DeepClassifier(InPlace, max_epochs=0, random_state=0, **settings).fit(X, CODES)
    own = net.get_iterator(net.get_dataset(X, CODES), training=True)
    assert own.drop_last and own.batch_size == 128
    assert net.get_iterator(net.get_dataset(X)).num_workers == 1


def test_what_is_not_in_tensors_is_read_row_by_row():
    class Rows(SkorchDataset):
        """Somebody's own."""

    ragged = [X[0], X[1]]
    sparse = SkorchDataset(X[:, 0].to_sparse())
    for data in (Rows(X), SkorchDataset(X.numpy()), SkorchDataset(ragged), ConcatDataset([DATA["samples"]]), sparse,
                 SkorchDataset(X, CODES), PackedData(X, INPUT, X)):  # fmt: skip
        assert batch_reader(data) is data


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu, self.linear = nn.ReLU(inplace=True), nn.Linear(6, 3)

    def forward(self, x):
        return self.linear(self.relu(x).flatten(1))


def test_a_module_that_works_in_place_changes_no_sample():
    net = DeepClassifier(InPlace, max_epochs=2, random_state=0).fit(X, CODES)
    given = X.numpy().copy()
    net.predict_proba(X.numpy()), net.predict_proba(X)
    np.testing.assert_array_equal(X.numpy(), given)


def test_a_collate_function_of_the_user_gets_rows():
    seen = []

    def collate(rows):
        seen.append(type(rows[0]))
        return default_collate(rows)

    net = DeepClassifier(InPlace, max_epochs=1, random_state=0, iterator_valid__collate_fn=collate).fit(X, CODES)
    other = DeepClassifier(InPlace, max_epochs=1, random_state=0).fit(X, CODES)
    np.testing.assert_array_equal(net.predict_proba(X), other.predict_proba(X))
    assert seen and set(seen) == {tuple}
