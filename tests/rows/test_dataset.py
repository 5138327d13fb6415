"""torch Datasets: taken by reference, stacked flat."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from skal.rows import (
    dataset_labels,
    drop_rows,
    flat_numeric,
    is_finite,
    n_rows,
    net_input,
    read_rows,
    row_blocks,
    row_keys,
    stack_rows,
    take_rows,
)


class Samples(Dataset):
    def __init__(self, n=40):
        self.n, self.read = n, []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if not 0 <= i < self.n:
            raise IndexError(i)
        self.read.append(i)
        return torch.full((3,), float(i))


def values(X):
    return [int(X[i][0]) for i in range(len(X))]


def depth_of_one_item(X):
    depths = []

    class Probe(Samples):
        def __getitem__(self, i):
            frame, n = sys._getframe(), 0
            while frame is not None:
                frame, n = frame.f_back, n + 1
            depths.append(n)
            return torch.zeros(1)

    base = Probe(10_000)
    for k in range(X):
        part = Subset(base, [2 * k, 2 * k + 1])
        labelled = part if k == 0 else stack_rows(labelled, part)  # noqa: F821
    labelled[0], labelled[2 * X - 1]
    return max(depths), labelled


def test_stacking_stays_flat():
    (few, _), (many, labelled) = depth_of_one_item(2), depth_of_one_item(1100)
    assert many == few and type(labelled) is Subset and len(labelled) == 2200


def test_parts_of_several_bases():
    a, b = Samples(5), Samples(5)
    X = a
    for k in range(4):
        X = stack_rows(X, Subset(b, [k]))
    assert type(X) is ConcatDataset and len(X.datasets) == 2 and values(X) == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    X = stack_rows(stack_rows(X, ConcatDataset([a, b])), X)
    assert values(X) == [*range(5), *range(4), *range(5), *range(5), *range(5), *range(4)]
    assert all(not isinstance(part, ConcatDataset) for part in X.datasets)


def test_parts_of_parts_are_parts_of_the_base():
    base = Samples()
    X = take_rows(take_rows(Subset(base, np.arange(20, 40)), [5, 6, 7]), slice(1, None))
    assert X.dataset is base and list(X.indices) == [26, 27] and not base.read
    assert values(drop_rows(take_rows(base, range(4)), [0, 2])) == [1, 3]
    assert [values(block) for _, block in row_blocks(Subset(base, [3, 2, 1]), 2)] == [[3, 2], [1]]
    assert take_rows(base, 7)[0] == 7


def test_a_subclass_of_subset_keeps_what_it_does():
    class Doubled(Subset):
        def __getitem__(self, i):
            return 2 * super().__getitem__(i)

        def __getitems__(self, indices):
            return [self[i] for i in indices]

    X = Doubled(Samples(), [1, 2])
    assert values(stack_rows(X, X)) == [2, 4, 2, 4] and values(take_rows(X, [1])) == [4]


def test_nothing_is_read_but_for_keys():
    X = Samples(4)
    assert is_finite(X) and flat_numeric(X) is None and net_input(X) is X and n_rows(X) == 4
    stack_rows(X, X)
    assert not X.read and len(set(row_keys(X))) == 4


def test_pairs():
    X = TensorDataset(torch.arange(6.0).reshape(3, 2), torch.tensor([1, 0, 1]))
    assert [row.tolist() for row in read_rows(X, [2, 0])] == [[4, 5], [0, 1]] and read_rows(X, 1).tolist() == [2, 3]
    assert dataset_labels(X).tolist() == [1, 0, 1] and dataset_labels(take_rows(X, [1])).tolist() == [0]
    assert read_rows(np.arange(3), [1]).tolist() == [1] and len(read_rows({"a": X}, [0])["a"]) == 1
    X.targets = [7, 8, 9]
    assert dataset_labels(take_rows(X, [2, 0])).tolist() == [9, 7]
    with pytest.raises(ValueError, match="pairs"):
        dataset_labels(Samples(1))


def test_errors():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(TypeError, match="map-style"):
        n_rows(Stream())
    with pytest.raises(ValueError, match="must be a Dataset"):
        stack_rows(Samples(), pd.DataFrame({"a": [1]}))
