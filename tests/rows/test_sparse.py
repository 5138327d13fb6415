"""scipy's sparse matrices and arrays in all formats."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skal.rows import (
    as_dense,
    check_finite,
    feature_shape,
    flat_numeric,
    is_finite,
    net_input,
    read_rows,
    row_blocks,
    row_keys,
    stack_rows,
    take_rows,
)

DENSE = np.array([[0, 1.5, 0], [2, 0, 0], [0, 0, 0], [0, 1.5, 0]])
FORMATS = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]
KINDS = [getattr(sp, f"{name}_{suffix}") for name in FORMATS for suffix in ("matrix", "array")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format(kind):
    X = kind(DENSE)
    for idx in ([2, 0], slice(1, 3), np.array([True, False, False, True])):
        taken = take_rows(X, idx)
        assert type(taken) is kind
        np.testing.assert_array_equal(taken.toarray(), DENSE[idx])
    assert take_rows(X, 1).shape == (1, 3) and type(take_rows(X, 1)) is kind
    for other in (sp.csr_matrix(DENSE), sp.coo_array(DENSE), DENSE, pd.DataFrame(DENSE), DENSE.tolist()):
        stacked = stack_rows(X, other)
        assert type(stacked) is kind
        np.testing.assert_array_equal(stacked.toarray(), np.vstack([DENSE, DENSE]))
    blocks = list(row_blocks(X, 3))
    assert [type(block) for _, block in blocks] == [kind, kind]
    np.testing.assert_array_equal(np.vstack([block.toarray() for _, block in blocks]), DENSE)
    assert row_keys(X) == row_keys(sp.csr_matrix(DENSE)) == row_keys(sp.csc_array(DENSE.astype("f4")))
    assert len(set(row_keys(X))) == 3
    assert is_finite(X) and not is_finite(kind(DENSE * np.nan))
    np.testing.assert_array_equal(flat_numeric(X), DENSE)
    with pytest.raises(TypeError, match="must be dense"):
        as_dense(X, "FGSM")


def test_equal_rows_have_equal_keys():
    zero = sp.csr_matrix((np.array([0.0, 1.5]), np.array([0, 1]), np.array([0, 2])), shape=(1, 3))
    unsorted = sp.csr_matrix((np.array([3.0, 2.0]), np.array([2, 0]), np.array([0, 2])), shape=(1, 3))
    twice = sp.coo_array((np.array([1.0, 0.5]), (np.array([0, 0]), np.array([1, 1]))), shape=(1, 3))
    plain = row_keys(sp.csr_matrix([[0, 1.5, 0]]))
    assert row_keys(zero) == row_keys(twice) == plain
    assert row_keys(unsorted) == row_keys(sp.csr_matrix([[2.0, 0, 3]]))
    assert zero.nnz == 2 and unsorted.indices.tolist() == [2, 0]
    assert row_keys(sp.csr_matrix([[0, 3, 0]])) == row_keys(sp.csr_matrix([[0, 3.0, 0]]))


def test_no_value_is_rounded():
    stacked = stack_rows(sp.csr_array(np.ones((1, 2), "u1")), sp.csr_array([[0.7, 300]]))
    np.testing.assert_allclose(stacked.toarray(), [[1, 1], [0.7, 300]], rtol=1e-6)
    assert stack_rows(sp.csr_array(np.ones((1, 2), "f4")), sp.csr_array([[0.7, 0]])).dtype == np.float32


def test_what_cannot_stand_together():
    with pytest.raises(ValueError, match="shape of the labelled ones"):
        stack_rows(sp.csr_array(DENSE), sp.csr_array(DENSE[:, :2]))
    with pytest.raises(ValueError, match="rows of numbers"):
        stack_rows(sp.csr_array(DENSE), ["a"])


def test_half_precision_onto_sparse_rows():
    assert stack_rows(sp.csr_matrix(DENSE), DENSE.astype("f2")).dtype == np.float64


@pytest.mark.parametrize("kind", [sp.dok_matrix, sp.dok_array])
def test_dok_is_no_dict_of_inputs(kind):
    X = kind(DENSE)
    assert feature_shape(X) == (3,) and read_rows(X, [1]).toarray().tolist() == [[2, 0, 0]]
    np.testing.assert_array_equal(net_input(X), DENSE.astype("f4"))
    with pytest.raises(ValueError, match=r"^X contains NaN or infinity\.$"):
        check_finite(kind(DENSE * np.nan), "X")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_onto_a_list(kind):
    stacked = stack_rows([[1.0, 2.0, 3.0]], kind(DENSE))
    np.testing.assert_array_equal(np.array(stacked), [[1, 2, 3], *DENSE])
