"""NoiseStability: how far predictions move when the weights are perturbed (AAAI 2024, arXiv 2205.13340)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import chain, count
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, QueryStrategy, make_query_function
from ..pool import PoolView
from ..utils._arrays import blocks
from ._parts._clustering import k_center_greedy
from ._parts._pieces import piece_of

__all__ = ["NoiseStability", "noise_stability_sampling"]

_HELD = 256 * 2**20  # bytes of deviations that are held; of larger pools some are made more than once ...
_ROWS = 1024  # ... for as many samples at once


class NoiseStability(QueryStrategy):
    """Samples whose predictions move far, and in different directions, when a little noise is added to the weights.

    The deviations of a sample's probabilities under several random perturbations make a vector: long where the
    prediction is unstable, and pointing elsewhere for samples that depend on other weights. Farthest-first picks from
    these vectors, with the origin as the first centre, are both uncertain and diverse.

    Parameters
    ----------
    n_samples : int >= 1, default=30
        Random perturbations of the weights.
    noise_scale : float > 0, default=0.001
        Norm of the noise in each weight array, as a share of the array's own norm.
    random_state : int, RandomState or None, default=None
        Seeds the noise and ties; an integer gives the same run every time.

    Raises
    ------
    PoolCapabilityError
        A classifier without weights, such as a random forest, or one whose weights do not give its probabilities
        through softmax.

    Notes
    -----
    With p(x) the probabilities (`PoolView.proba`, (n, n_classes)) and p_k(x) those of the model with weights W_k in
    place of every weight array W:

    .. math::
        W_k = W + \\lambda \\frac{\\|W\\|}{\\|\\epsilon_k\\|} \\epsilon_k, \\quad \\epsilon_k \\sim N(0, I), \\qquad
        v(x) = \\Big[\\frac{p_k(x) - p(x)}{\\|p(x)\\|}\\Big]_{k=1 \\dots K}, \\qquad
        s_i = \\arg\\max_x \\min\\big(\\|v(x)\\|, \\min_{j<i} \\|v(x) - v(s_j)\\|\\big)

    A pick's score is the distance that it maximises; scores never increase. Which arrays: of a skorch net every
    parameter named ``weight`` that training may change (with a frozen backbone the head's alone), normalization layers
    included; of `MLPClassifier` and `LogisticRegression` all coefficients. Biases stay. K, lambda, the normalisation
    and the origin as first centre are from the authors' published code.

    Differences from the code: it looks at 25,000 samples of the pool, drawn at random, where this looks at all of them
    (``Prefilter(NoiseStability(), n_candidates=25_000)`` does the same); frozen weights get no noise; a sample is never
    taken twice where all distances are 0 (ties are broken at random). Deviations are held in float32.

    Passes run in the model's own dtype: noisy weights keep that of the weights, so that float32 stays float32
    (probabilities are then rounded to 6e-8, against deviations of about lambda), and picks compare float32 vectors in
    float64, of which squared distances that differ by less than 1e-12 of themselves are ties.

    Time: K passes over the pool, and O(n) for each pick beside O(K n_classes) for each vector that may still be the
    farthest, a hundred or so. Memory: O(n), the picks' vectors of K n_classes floats of 8 bytes, and of the others, in
    4 bytes, as many as 256 MB take (22,000 at 100 classes and K = 30). In a larger pool the vectors of the samples that
    may still be the farthest are made again, from the same noise, when their turn comes: the answer is the same, but
    for rounding, and costs K passes over about as many samples as lie farther from the origin than the last pick from
    all others, several times where these are more than are held.

    References
    ----------
    X. Li, P. Yang, Y. Gu, X. Zhan, T. Wang, M. Xu and C. Xu, "Deep active learning with noise stability", AAAI 2024,
    arXiv 2205.13340.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import NoiseStability
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=500).fit(X[:50], y[:50])
    >>> query_idx, scores = NoiseStability(random_state=0).select(clf, X[50:], n_instances=5)
    >>> len(query_idx), bool((scores[:-1] >= scores[1:]).all())
    (5, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "noise_scale": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }
    requires = ("proba", "perturbed")

    def __init__(
        self,
        *,
        n_samples: int = 30,
        noise_scale: float = 0.001,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_samples = n_samples
        self.noise_scale = noise_scale
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        # What is known without a run need not be read.
        n_classes = pool.model.n_columns()
        if n_classes is None:
            with piece_of(pool, np.arange(1)) as first:
                first.require("proba", by="NoiseStability")
                n_classes = first.proba.shape[1]
        width = self.n_samples * n_classes
        # The generator itself for the first rows, and for all others a copy of it as it was: the same noise for all.
        start = copy.deepcopy(rng)
        generators = chain([rng], (copy.deepcopy(start) for _ in count()))

        def vectors_of(idx: NDArray[np.int64]) -> NDArray[np.float32]:
            if len(idx) == len(pool):
                return self._deviations(pool, next(generators))
            vectors = np.empty((len(idx), width), dtype=np.float32)
            for rows in blocks(len(idx), _ROWS):
                with piece_of(pool, idx[rows]) as part:
                    vectors[rows] = self._deviations(part, next(generators))
            return vectors

        return _farthest_first(vectors_of, len(pool), max(1, _HELD // (4 * width)), n_instances, rng)

    def _deviations(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float32]:
        """The vectors v, `(n, n_samples * n_classes)`."""
        samples = pool.iter_noisy_samples(self.n_samples, self.noise_scale, rng, by="NoiseStability")
        pool.require("proba", by="NoiseStability")
        proba = pool.proba
        norms = np.linalg.norm(proba, axis=1, keepdims=True)
        deviations = np.empty((len(proba), self.n_samples, proba.shape[1]), dtype=np.float32)
        for k, noisy in enumerate(samples):
            np.divide(noisy - proba, norms, out=deviations[:, k], casting="same_kind")
        return deviations.reshape(len(proba), -1)


def _farthest_first(
    vectors_of: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    n: int,
    n_held: int,
    n_picks: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Picks, each farthest from the origin and from those before it, and that distance.

    Of the `n` vectors, which `vectors_of` makes of positions, `n_held` are held at once.
    """
    vectors = _Vectors(vectors_of, n, n_held)
    picks, sq_distances = k_center_greedy(vectors, vectors.sq_norms, n_picks, rng, n_rows=min(_ROWS, n_held))
    return picks, np.sqrt(sq_distances)


class _Vectors:
    """Vectors of which some are held; where others are asked for, those that may be the farthest are made and held."""

    def __init__(self, vectors_of: Callable[[NDArray[np.int64]], NDArray[np.float32]], n: int, n_held: int) -> None:
        self.vectors_of, self.n_held = vectors_of, n_held
        self.sq_norms = np.empty(n)
        for part in blocks(n, n_held):
            self._hold(np.arange(n)[part])
            for rows in blocks(len(self.held), _ROWS):
                vectors = self.vectors[rows].astype(np.float64)
                self.sq_norms[self.held[rows]] = np.einsum("ij,ij->i", vectors, vectors)

    def _hold(self, held: NDArray[np.int64]) -> None:
        self.vectors = np.empty(0, dtype=np.float32)  # before the next are made
        self.held, self.vectors = held, self.vectors_of(held)

    def __call__(self, rows: NDArray[np.int64], bounds: NDArray[np.float64]) -> NDArray[np.float32]:
        if not np.isin(rows, self.held).all():
            if bounds[rows[0]] < 0:
                return self.vectors_of(rows)  # a pick, which will not be asked for again
            wanted = bounds.copy()
            wanted[rows] = np.inf
            self._hold(np.sort(np.argpartition(-wanted, self.n_held - 1)[: self.n_held]))
        return self.vectors[np.searchsorted(self.held, rows)]


noise_stability_sampling = make_query_function(NoiseStability, "noise_stability_sampling")
