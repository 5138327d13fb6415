"""remove_similar: the paper's vectors in every reading, a slow loop, the number kept."""

import math

import numpy as np
import pytest

from skal.strategies import remove_similar


def at(degrees):
    angles = np.deg2rad(degrees)
    return np.column_stack([np.cos(angles), np.sin(angles)])


SIX = at([0, 5, 90, 8, 95, 45])


def n_similar(n_later, fraction):
    return max(1, math.ceil(fraction * n_later))


def products(D):
    D = np.asarray(D, dtype=np.float64)
    D = D / np.maximum(np.linalg.norm(D, axis=1), 1e-8)[:, None]
    return (D @ D.T).tolist()


def similar_to(M, m, later, k):
    """The k of `later` with the largest product with m; of equal ones the first."""
    return sorted(later, key=lambda j: (-M[m][j], j))[:k]


def slow_removal(D, n_keep, fraction):
    M, standing, m = products(D), list(range(len(D))), 0
    while len(standing) > n_keep:
        if m >= len(standing) - 1:
            m = 0
        later = standing[m + 1 :]
        k = min(n_similar(len(later), fraction), len(standing) - n_keep)
        for j in similar_to(M, standing[m], later, k):
            standing.remove(j)
        m += 1
    return standing


def slow_printed(D, n_keep, fraction):
    """Algorithm 1 over a set, stopped at n_keep."""
    M, kept = products(D), set()
    for m in range(len(D)):
        later = list(range(m + 1, len(D)))
        similar = set(similar_to(M, m, later, n_similar(len(later), fraction)))
        for j in [m, *[j for j in later if j not in similar]]:
            if len(kept) < n_keep:
                kept.add(j)
    return sorted(kept)


@pytest.mark.parametrize(
    ("resampling", "n_keep", "expected"),
    [("removal", 4, [0, 2, 3, 5]), ("removal", 3, [0, 2, 3]), ("printed", 4, [0, 2, 3, 4])],
)
def test_vectors_of_the_paper(resampling, n_keep, expected):
    kept = remove_similar(SIX, n_keep, resampling=resampling)
    assert kept.tolist() == expected
    assert kept.dtype == np.int64


def test_the_readings_that_were_not_chosen():
    """The loops here do tell the readings apart: printed literally, greedy suppression, the wrong sign."""
    M, literal = products(SIX), []
    q = 0
    for m in range(6):
        literal.append(m)
        later = list(range(m + 1, 6))
        similar = similar_to(M, m, later, n_similar(len(later), 0.1))
        for j in later:
            if j not in similar:
                literal.append(j)
                q += 1
                if q >= 4:
                    break
    assert literal == [0, 2, 3, 4, 5, 1, 2, 2, 3, 3, 4, 4, 5]

    survivors, marked = [], set()
    for m in range(6):
        if m not in marked:
            survivors.append(m)
            marked |= set(similar_to(M, m, range(m + 1, 6), n_similar(5 - m, 0.1)))
    assert survivors == [0, 2, 3]

    wrong = [[-value for value in row] for row in M]
    standing, m = list(range(6)), 0
    while len(standing) > 4:
        later = standing[m + 1 :]
        standing.remove(similar_to(wrong, standing[m], later, 1)[0])
        m += 1
    assert standing == [0, 1, 3, 5]


@pytest.mark.parametrize("resampling", ["removal", "printed"])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 10, 11, 29, 70, 200])
@pytest.mark.parametrize("ratio", [1, 1.05, 1.2, 1.5, 2, 3])
@pytest.mark.parametrize("fraction", [0.1, 0.02, 0.5, 1.0])
def test_equals_the_slow_loop(resampling, n, ratio, fraction):
    n_keep = max(1, round(n / ratio))
    D = np.random.default_rng([n, round(10 * ratio)]).standard_normal((n, 5))
    slow = slow_removal if resampling == "removal" else slow_printed
    kept = remove_similar(D, n_keep, fraction, resampling)
    assert kept.tolist() == slow(D, n_keep, fraction)
    assert len(kept) == n_keep == len(set(kept.tolist()))


@pytest.mark.parametrize(("n", "ratio"), [(600, 1.2), (2000, 1.2), (1000, 2), (1500, 3)])
def test_equals_the_slow_loop_for_long_lists(n, ratio):
    D = np.random.default_rng(n).standard_normal((n, 8)).astype(np.float32).astype(np.float64)
    n_keep = round(n / ratio)
    assert remove_similar(D, n_keep).tolist() == slow_removal(D, n_keep, 0.1)
    assert remove_similar(D, n_keep, resampling="printed").tolist() == slow_printed(D, n_keep, 0.1)


@pytest.mark.parametrize("resampling", ["removal", "printed"])
def test_exactly_n_keep_whatever_is_asked(resampling):
    rng = np.random.default_rng(0)
    for n in range(1, 40):
        D = rng.standard_normal((n, 3))
        for n_keep in range(1, n + 1):
            kept = remove_similar(D, n_keep, resampling=resampling)
            assert len(kept) == n_keep
            assert (np.diff(kept) > 0).all()
            assert kept[0] == 0
        assert remove_similar(D, n).tolist() == list(range(n))


def test_ties_by_position_and_zero_rows():
    axis = np.eye(4)
    # 0 is like 1, 3 and 4, of which the first goes; then 2, which nothing is like, removes the first of the rest.
    D = axis[[0, 0, 1, 0, 0]]
    assert remove_similar(D, 4).tolist() == [0, 2, 3, 4]
    assert remove_similar(D, 3).tolist() == [0, 2, 4]
    # A zero row is as far from all as a right angle, nearer than an obtuse one.
    D = np.array([[1.0, 0], [-1, 0.1], [0, 0], [-1, 0]])
    assert remove_similar(D, 3).tolist() == [0, 1, 3]


def test_length_does_not_matter():
    D = np.random.default_rng(1).standard_normal((50, 4))
    scaled = D * np.random.default_rng(2).uniform(0.1, 9, (50, 1))
    assert remove_similar(D, 30).tolist() == remove_similar(scaled, 30).tolist()


def test_a_larger_ratio_reaches_less_uncertain_items():
    """As the paper says of SR, and as the printed reading does not do."""
    rng = np.random.default_rng(3)
    D = rng.standard_normal((300, 16))
    assert remove_similar(D[:120], 100)[-1] == 119
    assert remove_similar(D, 100)[-1] > 250
    assert remove_similar(D, 100, resampling="printed")[-1] < 150


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SIX, 0), r"The 'n_keep' of remove_similar must be in \[1, 6\]. Got 0 instead."),
        ((SIX, 7), r"must be in \[1, 6\]. Got 7 instead."),
        ((SIX, 4, 0.0), r"The 'fraction' of remove_similar must be in \(0, 1\]. Got 0.0 instead."),
        ((SIX, 4, 1.5), r"Got 1.5 instead."),
        ((SIX, 4, 0.1, "nms"), r"'resampling' of remove_similar must be 'removal' or 'printed'. Got 'nms' instead."),
        ((SIX[0], 1), r"array of shape \(n, d\) with n >= 1. Got shape \(2,\)."),
        ((SIX[:0], 1), r"Got shape \(0, 2\)."),
        ((np.full((3, 2), np.nan), 1), r"Got shape \(3, 2\) with NaN or infinity."),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        remove_similar(*arguments)
