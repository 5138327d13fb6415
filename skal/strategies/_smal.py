"""SMAL: samples whose kernels explain the uncertainties of the most uncertain ones (after Wang et al., 2019)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, QueryStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..utils._arrays import blocks, top_k
from ._parts._clustering import squared_distances

__all__ = ["SMAL", "smal_sampling"]

_ROWS = 16_384  # samples worked on at once
_RIDGE = 1e-10  # of the largest diagonal entry, so that kernels that are nearly alike can be told apart
_NOTHING = 1e-8  # what is left of the uncertainties, as a share of them, below which it is rounding


class SMAL(QueryStrategy):
    """The samples whose neighbourhoods, together, explain the uncertainties of the most uncertain ones.

    Sparse modelling: the entropies of the `n_atoms` most uncertain samples are written as a sum, with weights that are
    not negative, of kernels around few of these samples, chosen one by one. Each is an uncertain sample among others
    that are not explained by the ones before it.

    This is our reading of the paper's abstract, in its spirit; no fidelity to the paper is claimed.

    Parameters
    ----------
    n_atoms : int >= 1, default=2000
        How many of the most uncertain samples are looked at. What is asked for beyond them, or beyond what explains
        them all, is filled up with the most uncertain samples of the rest.
    bandwidth : float > 0 or "auto", default="auto"
        Width of the kernel, a distance between embeddings. "auto": half the distance between a sample looked at and the
        nearest one that is not alike, in the median. The wider it is, the fewer samples explain all.
    random_state : int, RandomState or None, default=None
        Breaks ties; an integer gives the same run every time.

    Raises
    ------
    ValueError
        Embeddings of 1e150 or more, whose squares are too large.

    Notes
    -----
    With u the entropies (of `PoolView.proba`, shape (n, n_classes)) of the m = `n_atoms` samples for which they are
    largest, z their embeddings (`PoolView.embeddings`, shape (n, d)) and k_j the columns of the kernel
    exp(-||z_i - z_j||^2 / (2 h^2)) of `bandwidth` h, non-negative orthogonal matching pursuit makes

    .. math:: \\min_{|S| = k, \\; \\alpha \\ge 0} \\lVert u - K_S \\alpha \\rVert^2

    small: with the residual r = u - K_S alpha, a pick is the column with the largest k_j . r / ||k_j||, and then alpha
    is fitted anew to all of S by non-negative least squares, exact but for a ridge of 1e-10. The score is that
    number, what is explained by the pick, which mostly decreases. It ends where no column has a positive one, or less
    than 1e-8 of u is left; what is then missing is filled up in the order of entropy, with scores of 0.

    Time: O(n n_classes + m^2 d), and for each pick O(m^2 + k^3), k picks so far. Memory: m^2 numbers in float64, 32 MB
    by default, whatever n is.

    References
    ----------
    G. Wang, J.-N. Hwang, C. Rose and F. Wallace, "Uncertainty-based active learning via sparse modeling for image
    classification", IEEE TIP 28(1), 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import SMAL
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X[:50] / 16, y[:50])
    >>> query_idx, scores = SMAL(n_atoms=500, random_state=0).select(clf, X[50:] / 16, n_instances=10)
    >>> len(set(query_idx.tolist())), bool((scores >= 0).all())
    (10, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_atoms": [Interval(Integral, 1, None, closed="left")],
        "bandwidth": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }
    requires = ("proba", "embeddings")

    def __init__(
        self,
        *,
        n_atoms: int = 2000,
        bandwidth: float | Literal["auto"] = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_atoms = n_atoms
        self.bandwidth = bandwidth
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        uncertainty = entropies(pool.proba)
        ranked = top_k(uncertainty, min(len(pool), max(self.n_atoms, n_instances)), rng)
        atoms = ranked[: self.n_atoms]
        z = pool.embeddings[atoms].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(np.einsum("ij,ij->i", z, z)).all():
                raise ValueError(
                    "SMAL squares embeddings, which must be below 1e150. Got larger ones: scale the samples, by "
                    "StandardScaler for example."
                )
        kernel = gaussian_kernel(z, None if self.bandwidth == "auto" else float(self.bandwidth))
        picked, explained = matching_pursuit(kernel, uncertainty[atoms], min(n_instances, len(atoms)))
        picks = atoms[picked]
        filling = ranked[~np.isin(ranked, picks)][: n_instances - len(picks)]
        return np.concatenate([picks, filling]), np.concatenate([explained, np.zeros(len(filling))])


def entropies(proba: NDArray) -> NDArray[np.float64]:
    """Entropy of each row, in nats."""
    found = np.empty(len(proba))
    for rows in blocks(len(proba), _ROWS):
        p = proba[rows].astype(np.float64)
        found[rows] = -np.einsum("ij,ij->i", p, np.log(np.where(p > 0, p, 1)))
    return np.maximum(found, 0)


def gaussian_kernel(z: NDArray[np.float64], bandwidth: float | None) -> NDArray[np.float64]:
    """``exp(-||z_i - z_j||^2 / (2 bandwidth^2))``, by default half the median distance of the nearest."""
    z = z - z.mean(axis=0)
    sq_norms = np.einsum("ij,ij->i", z, z)
    kernel = squared_distances(z @ z.T, sq_norms[:, None], sq_norms)
    np.fill_diagonal(kernel, 0)
    if bandwidth is None:
        nearest = kernel.min(axis=1, initial=np.inf, where=kernel > 0)
        nearest = nearest[np.isfinite(nearest)]
        bandwidth = float(np.sqrt(np.median(nearest)) / 2) if len(nearest) else 1.0
    kernel /= -bandwidth
    with np.errstate(over="ignore", under="ignore"):
        # Not by its square, which may be 0 or infinite.
        kernel /= 2 * bandwidth
        return np.exp(kernel, out=kernel)


def matching_pursuit(
    kernel: NDArray[np.float64], u: NDArray[np.float64], n_picks: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Non-negative orthogonal matching pursuit of `u` by the columns of `kernel`.

    Returns
    -------
    picks : ndarray of at most `n_picks` int64
        Columns in the order of picking: those that had anything to explain.
    explained : ndarray of float64
        Product of each, at length 1, with what was left before it.
    """
    lengths = np.sqrt(np.einsum("ij,ij->j", kernel, kernel))
    target = kernel.T @ u
    products = np.empty((n_picks, len(u)))  # of the picked columns with all
    picks = np.empty(n_picks, dtype=np.int64)
    explained = np.empty(n_picks)
    alpha = np.empty(0)
    ridge, least = _RIDGE * lengths.max() ** 2, _NOTHING * np.sqrt(u @ u)
    for step in range(n_picks):
        gains = (target - alpha @ products[:step]) / lengths
        gains[picks[:step]] = -np.inf
        pick = int(gains.argmax())
        if not gains[pick] > least:
            return picks[:step], explained[:step]
        picks[step], explained[step] = pick, gains[pick]
        products[step] = kernel[:, pick] @ kernel
        chosen = picks[: step + 1]
        gram = products[: step + 1, chosen]
        gram[np.diag_indices(step + 1)] += ridge
        alpha = nonnegative_fit(gram, target[chosen], np.append(alpha, 0.0))
    return picks, explained


def nonnegative_fit(gram: NDArray, target: NDArray, start: NDArray) -> NDArray[np.float64]:
    """The x >= 0 that makes ``x' gram x - 2 target' x`` least (Lawson and Hanson), from a `start` >= 0 nearby."""
    x = start.copy()
    active = x > 0
    tolerance = 1e-12 * max(1.0, np.abs(target).max())
    # Rounding might lead it round in a circle.
    for _ in range(3 * len(x) + 10):
        while True:
            best = np.zeros(len(x))
            best[active] = np.linalg.solve(gram[np.ix_(active, active)], target[active])
            falling = np.flatnonzero(active & (best <= 0))
            if len(falling) == 0:
                break
            # As far towards it as nothing becomes negative; what becomes 0 is left out.
            far, to = x[falling], best[falling]
            shares = np.divide(far, far - to, out=np.zeros(len(falling)), where=far > 0)
            x += shares.min() * (best - x)
            active[falling[shares == shares.min()]] = False
            x[~active] = 0
        x = best
        slope = np.where(active, -np.inf, target - gram @ x)
        if slope.max() <= tolerance:
            break
        active[slope.argmax()] = True
    return x


smal_sampling = make_query_function(SMAL, "smal_sampling")
