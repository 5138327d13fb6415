"""torch tensors."""

import numpy as np
import pandas as pd
import pytest
import torch

from skal.rows import as_dense, batch_keys, flat_numeric, is_finite, like, row_blocks, row_keys, stack_rows, take_rows


@pytest.mark.parametrize(
    "first, second, dtype",
    [
        (torch.tensor([[1]]), torch.tensor([[0.7]]), torch.float64),
        (torch.tensor([[1]]), np.array([[0.7]]), torch.float64),
        (torch.tensor([[1]], dtype=torch.uint8), torch.tensor([[0.7]]), torch.float32),
        (torch.tensor([[1]], dtype=torch.uint8), torch.tensor([[300]]), torch.int64),
        (torch.tensor([[1]], dtype=torch.int16), [[70000]], torch.int64),
        (torch.tensor([[True]]), torch.tensor([[0.25]]), torch.float32),
        (torch.tensor([[True]]), torch.tensor([[2]]), torch.int64),
        (torch.tensor([[1.0]]), torch.tensor([[0.7]], dtype=torch.float64), torch.float32),
        (torch.tensor([[1.0]]), torch.tensor([[3]]), torch.float32),
        (torch.tensor([[1.0]]), torch.tensor([[2**24 + 1]]), torch.float64),
        (torch.tensor([[1.0]]), torch.tensor([[1e300]], dtype=torch.float64), torch.float64),
        (torch.tensor([[1.0]]).half(), torch.tensor([[70000.0]]), torch.float32),
        (torch.tensor([[1.0]]).bfloat16(), torch.tensor([[0.5]]), torch.bfloat16),
        (torch.tensor([[1.0]]).bfloat16(), torch.tensor([[257]]), torch.float64),
        (torch.tensor([[1]]), torch.tensor([[0.5]]).bfloat16(), torch.float64),
        (torch.tensor([[1.0]]), pd.DataFrame([[0.5]]), torch.float32),
    ],
)
def test_no_value_is_rounded_or_wrapped(first, second, dtype):
    stacked = stack_rows(first, second)
    assert stacked.dtype == dtype and stacked.shape == (2, 1)
    value = float(second[-1]) if isinstance(second, torch.Tensor) else float(np.asarray(second)[-1, 0])
    assert float(stacked[-1]) == pytest.approx(value, rel=1e-6)
    assert float(stacked[0]) == float(first[0])


def test_what_cannot_stand_together():
    with pytest.raises(ValueError, match="must hold numbers"):
        stack_rows(torch.ones(2, 1), np.array([["a"]]))
    with pytest.raises(ValueError, match="shape of the labelled ones"):
        stack_rows(torch.ones(2, 1), torch.ones(2, 3))
    with pytest.raises(ValueError, match="would be rounded"):
        stack_rows(torch.tensor([2**60 + 1]), torch.tensor([0.5]))


def test_in_dicts_and_with_gradients():
    first = {"a": torch.tensor([[1]]), "b": torch.ones(1, 2)}
    stacked = stack_rows(first, {"a": torch.tensor([[0.5]]), "b": torch.ones(1, 2, requires_grad=True)})
    assert float(stacked["a"][1]) == 0.5 and not stacked["b"].requires_grad


def test_positions_and_blocks():
    X = torch.arange(10).reshape(5, 2)
    assert take_rows(X, 1).tolist() == [2, 3] and take_rows(X, torch.tensor([4, 0])).tolist() == [[8, 9], [0, 1]]
    assert [block.data_ptr() for _, block in row_blocks(X, 3)] == [X.data_ptr(), X[3:].data_ptr()]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_not_finite(dtype):
    X = torch.ones(3, 2, dtype=dtype)
    assert is_finite(X) and is_finite(X.to_sparse()) and is_finite(X * 3e4) and is_finite(torch.ones(2).int())
    X[2, 1] = float("nan")
    assert not is_finite(X) and not is_finite(X.to_sparse())


def test_keys_are_of_values():
    X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert row_keys(X) == row_keys(X.double()) == row_keys(X.numpy())
    assert row_keys(X.bfloat16()) == row_keys(X.bfloat16().float())
    assert len(set(row_keys(X))) == 5


def test_numbers():
    X = torch.ones(2, 3, 2).bfloat16()
    assert flat_numeric(X).dtype == np.float32 and flat_numeric(X).shape == (2, 6)
    assert flat_numeric(X.float().requires_grad_()).shape == (2, 6)
    assert as_dense(X, "FGSM").shape == (2, 3, 2)
    assert isinstance(like(X, np.ones((1, 2))), torch.Tensor)
    with pytest.raises(TypeError, match="must be dense"):
        as_dense(X[:, 0].to_sparse(), "FGSM")


def test_keys_of_a_batch_tell_dtypes_apart():
    X = torch.ones(2, 3)
    keys = [batch_keys(b"net", batch)[0] for batch in (X, X.double(), X.bfloat16(), X.half(), {"a": X, "b": X})]
    assert len(set(keys)) == 5 and batch_keys(b"net", X) == batch_keys(b"net", X.numpy()) != batch_keys(b"other", X)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_rows_of_sparse_tensors(layout):
    dense = torch.tensor([[0.0, 1.5, 0], [2, 0, 0], [0, 0, 0], [0, 0.5, 0]])
    X = dense.to_sparse(layout=layout)
    for idx in ([2, 0], [-1], slice(1, 3), slice(None, None, -1), np.array([True, False, False, True]), []):
        taken = take_rows(X, idx)
        assert taken.layout == layout
        np.testing.assert_array_equal(taken.to_dense().numpy(), take_rows(dense.numpy(), idx))
    for other in (X, dense, dense.numpy(), dense.tolist(), dense.to_sparse(), dense.to_sparse_csr()):
        stacked = stack_rows(X, other)
        assert stacked.layout == layout and torch.equal(stacked.to_dense(), torch.cat([dense, dense]))
        assert torch.equal(stack_rows(dense, X), torch.cat([dense, dense]))
    assert [len(block) for _, block in row_blocks(X, 3)] == [3, 1]
    assert row_keys(X) == row_keys(dense) and is_finite(X) and not is_finite((dense * np.nan).to_sparse(layout=layout))
    assert stack_rows(dense.int().to_sparse(layout=layout), dense[:1]).dtype == torch.float64
    assert take_rows(dense[:4].to_sparse_bsr((2, 3)), [1]).to_dense().tolist() == [[2, 0, 0]]


def test_slices_backwards():
    assert take_rows(torch.arange(4), slice(None, None, -2)).tolist() == [3, 1]
