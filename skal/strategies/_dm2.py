"""DM2: distance-measured data mixing (Entropy 27, 1159, 2025)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base import Interval, ScoringStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..rows import as_dense, check_finite, like, read_rows, working_dtype
from ..utils._arrays import blocks, l2_normalize
from ..utils._validation import kind_of
from ._parts._neighbors import Metric, Neighbors, Search, nearest_neighbors

__all__ = ["DM2", "dm2_sampling"]

_BLOCK = 32 * 2**20  # bytes of mixtures that are held at once
_ROWS = 4096  # samples that the model is shown at once for their embeddings


class DM2(ScoringStrategy):
    """Samples whose mixture with their nearest neighbours the classifier is least sure of.

    Every pool sample is mixed, pixel by pixel or column by column, with the samples nearest to it in the space of the
    classifier's embeddings, and the mixture is shown to the classifier. Among neighbours of one class the mixture looks
    like that class; between classes it is ambiguous. The samples whose mixture has the least confident prediction
    are queried: the samples themselves, not the mixtures. For images and numeric tables.

    Parameters
    ----------
    n_neighbors : int >= 1, default=5
        Nearest other samples of the pool that take part; all others, where the pool holds fewer.
    mixing : {"mean", "mixup"}, default="mean"
        With the mean of the neighbours (eq. 7), or with one of them, drawn at random for each sample (algorithms 1
        and 2).
    mixing_weight : float in [0, 1], default=0.5
        Weight of the sample itself. 1 is least confidence, 0 the neighbours alone.
    alpha : float > 0 or None, default=1.0
        "mixup" draws each sample's own weight from Beta(alpha, alpha); None takes `mixing_weight` for all. Without
        effect for "mean".
    neighbor_weights : {"uniform", "distance"}, default="uniform"
        What each neighbour counts in the mean: all alike, or in inverse proportion to its distance by `metric`, as in
        scikit-learn's neighbours; neighbours at distance 0, if any, are then the only ones. For "mixup", the chances
        of being drawn. The same for `n_neighbors` = 1.
    metric : {"combined", "euclidean", "manhattan"}, default="combined"
        Distance between embeddings of unit length; "combined" is the mean of the other two.
    n_candidates : int >= 1 or None, default=256
        Samples nearest by Euclidean distance among which `metric` finds the neighbours. Exact for pools of at most
        ``n_candidates + 1`` samples; beyond, a few neighbours may be missed. None compares all pairs, which is exact
        and many times slower.
    search : {"blocks", "approximate"}, default="blocks"
        How these candidates are found: by matrix products with the whole pool, or near-linearly by an HNSW graph, for
        pools far above 100,000 samples (``pip install "skal[neighbors]"``); the latter misses neighbours around samples
        that the pool holds some fifty times or more.
    random_state : int, RandomState or None, default=None
        Seeds "mixup" and breaks ties; an integer gives the same run every time.

    Raises
    ------
    TypeError
        A pool that cannot be averaged: sparse, text, token ids, dicts of inputs, samples of different shapes.
    ImportError
        ``search="approximate"`` without faiss.

    Notes
    -----
    With f_i an embedding (`PoolView.embeddings`, (n, d)) divided by its length, N_i the `n_neighbors` nearest others of
    sample i, x_i its raw input (`PoolView.X`, (n, ...)), lambda = `mixing_weight` and p the probabilities through the
    whole pipeline (`PoolView.predict_proba`, (n, n_classes)):

    .. math::
        d_C(i, j) = \\frac{1}{2d} (\\lVert \\hat f_i - \\hat f_j \\rVert_2 + \\lVert \\hat f_i - \\hat f_j \\rVert_1),
        \\quad
        \\tilde x_i = \\lambda x_i + (1 - \\lambda) \\sum_{j \\in N_i} w_{ij} x_j, \\quad
        s_i = 1 - \\max_c p_c(\\tilde x_i)

    with equal w_ij, or proportional to 1 / d(i, j), of sum 1. `score_samples` returns s (eqs. 4-11). With
    "mixup", x_i is mixed with one x_j, j drawn from N_i by w, and a lambda of its own.

    Differences from the paper, which contradicts itself. Its eq. 7 and analysis use a fixed lambda and the mean of the
    neighbours, the default here; both of its algorithm boxes use MixUp, with one neighbour and a random ratio
    (``mixing="mixup"``). A fixed weight of 0.5 with neighbours that count alike is near the "equal-weight fusion" that
    its ablation (table 5) calls worse than "adaptive fusion ratios", which it does not define. The *distance-weighted*
    mixing of its abstract and section 5.2 has no formula either: by default distances choose the neighbours and nothing
    else, and ``neighbor_weights="distance"`` is our reading of it. Its defaults for n, lambda and alpha are not legible
    in the text at hand; those here are ours. A zero embedding stays zero; a pool of one sample is scored unmixed.

    Raw samples are read in blocks: a Dataset or a memory map is never held, and each of its samples is read about
    `n_neighbors` + 2 times (three times with "mixup"), so that random augmentation mixes other images than those that
    were embedded.

    Time: a second pass of the model over the pool, and O(n^2 d) in matrix products plus O(n n_candidates d) for the
    neighbours. Memory: the embeddings of unit length and a float32 copy of them, O(n k), and blocks of 64 MB; mixtures
    are made and scored 32 MB at a time. float32 embeddings are worked on as they are.

    References
    ----------
    S. Song, X. Wang, S. Dong, J. Jiang, "Robust deep active learning via distance-measured data mixing and
    adversarial training", Entropy 27, 1159, 2025.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import DM2
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=500).fit(X[:50], y[:50])
    >>> query_idx, scores = DM2(random_state=0).select(clf, X[50:], n_instances=5)
    >>> len(query_idx), bool((scores[:-1] >= scores[1:]).all())
    (5, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "mixing": [StrOptions({"mean", "mixup"})],
        "mixing_weight": [Interval(Real, 0, 1, closed="both")],
        "alpha": [Interval(Real, 0, None, closed="neither"), None],
        "neighbor_weights": [StrOptions({"uniform", "distance"})],
        "metric": [StrOptions({"combined", "euclidean", "manhattan"})],
        "n_candidates": [Interval(Integral, 1, None, closed="left"), None],
        "search": [StrOptions({"blocks", "approximate"})],
        "random_state": ["random_state"],
    }
    requires = ("embeddings", "proba")
    # The mixtures are a second one.
    one_pass = False

    def __init__(
        self,
        *,
        n_neighbors: int = 5,
        mixing: Literal["mean", "mixup"] = "mean",
        mixing_weight: float = 0.5,
        alpha: float | None = 1.0,
        neighbor_weights: Literal["uniform", "distance"] = "uniform",
        metric: Metric = "combined",
        n_candidates: int | None = 256,
        search: Search = "blocks",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.mixing = mixing
        self.mixing_weight = mixing_weight
        self.alpha = alpha
        self.neighbor_weights = neighbor_weights
        self.metric = metric
        self.n_candidates = n_candidates
        self.search = search
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        first = _read(pool.X, np.arange(1))
        if first.dtype.kind in "iub" and pool.model.reads_tokens:
            raise TypeError(
                f"DM2 mixes samples, and {pool.model_name} reads integers as tokens (nn.Embedding), of which a mixture "
                "means nothing: use a strategy that does not mix its input."
            )
        n, scores = len(pool), np.empty(len(pool))
        weights = self._weights(n, rng)
        if n == 1 or np.all(weights == 1):
            for rows, outputs in pool.iter_outputs(("proba",), _ROWS):
                scores[rows] = _doubt(outputs.proba)
            return scores
        found = self._neighbors(pool)
        neighbors, shares = found.idx, self._shares(found.distances)
        if self.mixing == "mixup":
            neighbors, shares = self._drawn(neighbors, shares, rng)
        for rows in blocks(n, _BLOCK // max(1, 8 * first.size)):
            mixed = _mix(pool.X, rows, neighbors[rows], shares[rows], weights[rows])
            scores[rows] = _doubt(pool.predict_proba(like(pool.X, mixed)))
        return scores

    def _weights(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Each sample's own share of its mixture, `(n,)`."""
        if self.mixing == "mean" or self.alpha is None:
            return np.full(n, float(self.mixing_weight))
        return rng.beta(self.alpha, self.alpha, size=n)

    def _neighbors(self, pool: PoolView) -> Neighbors:
        """The nearest others of each sample, `(n, k)`."""
        k = min(self.n_neighbors, len(pool) - 1)
        unit = _unit_embeddings(pool)
        return nearest_neighbors(unit, k, metric=self.metric, n_candidates=self.n_candidates, search=self.search)

    def _shares(self, distances: NDArray) -> NDArray[np.float64]:
        """What each neighbour counts in the mean of a sample's neighbours, `(n, k)`, of sum 1."""
        if self.neighbor_weights == "uniform":
            return np.full(distances.shape, 1 / distances.shape[1])
        # In units of the nearest, whose inverse a double always holds.
        nearest, alike = distances[:, :1].astype(np.float64), distances == 0
        shares = np.where(alike, alike, nearest / np.where(alike, 1, distances))
        return shares / shares.sum(axis=1, keepdims=True)

    def _drawn(
        self, neighbors: NDArray[np.int64], shares: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """One neighbour of each sample, `(n, 1)`, and its share, which is 1."""
        n, k = neighbors.shape
        if self.neighbor_weights == "uniform":
            drawn = rng.integers(k, size=n)
        else:
            # Rounding may leave the last sum below 1.
            drawn = np.minimum((rng.random((n, 1)) >= np.cumsum(shares, axis=1)).sum(axis=1), k - 1)
        return neighbors[np.arange(n), drawn][:, None], np.ones((n, 1))


def _read(X: Any, rows: Any) -> NDArray:
    """Raw samples `rows` as one array of numbers, of a Dataset read anew."""
    samples = read_rows(X, rows)
    try:
        return as_dense(samples, "DM2")
    except TypeError:
        if isinstance(samples, type(X)):
            raise
        raise TypeError(
            "DM2 computes with raw samples, which must be arrays or tensors of numbers, all of one shape. "
            f"Got a {kind_of(X)} of {kind_of(samples[0])}."
        ) from None


def _doubt(proba: Any) -> NDArray[np.float64]:
    """One minus the confidence, `(n,)`."""
    return 1 - np.asarray(proba).max(axis=1).astype(np.float64)


def _unit_embeddings(pool: PoolView) -> NDArray:
    """Embeddings of unit length `(n, d)`; those of the model are held for one block at a time."""
    unit = np.empty((0, 0))
    for rows, outputs in pool.iter_outputs(("embeddings",), _ROWS):
        embeddings = np.asarray(outputs.embeddings)
        check_finite(embeddings, "The embeddings of the pool")
        block = l2_normalize(embeddings)
        if rows.start == 0:
            unit = np.empty((len(pool), block.shape[1]), dtype=block.dtype)
        unit[rows] = block
    return unit


def _mix(
    X: Any, rows: slice, neighbors: NDArray[np.int64], shares: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray:
    """Eq. 7 for the samples `rows`; their neighbours one after the other, so that no (rows, k, ...) array exists."""
    samples = _read(X, rows)
    dtype = working_dtype(samples)

    def times(of_samples: NDArray, values: NDArray) -> NDArray:
        return values * of_samples.astype(dtype).reshape(-1, *[1] * (samples.ndim - 1))

    mixed = times(weights, samples)
    for column, share in zip(neighbors.T, shares.T):
        mixed += times((1 - weights) * share, _read(X, column))
    return mixed


dm2_sampling = make_query_function(DM2, "dm2_sampling")
