"""FKSS: pool samples like those that the classifier gets wrong, by Fisher kernels (Gudovskiy et al., CVPR 2020)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..base import Interval, QueryStrategy, StrOptions, make_query_function, requirement
from ..pool import PoolView, view_pool
from ..utils._arrays import blocks, top_k
from ._parts._calibration import proba_of_held
from ._parts._layers import layer_features

__all__ = ["FKSS", "fkss_sampling"]

_VALUES = 4 * 2**20  # of a work array
_SPLIT = ("labeled", "clones")  # what a split of the labelled data needs


class FKSS(QueryStrategy):
    """The samples of the pool that are most like validation samples which the classifier gets wrong.

    Like are samples whose features agree, and which would move the classifier in the same direction.

    Parameters
    ----------
    layers : sequence of str, str or None, default=None
        Dotted names of a network's submodules, whose outputs (n, channels, ...) are averaged over positions, as are the
        gradients by them: three further passes. None: the embeddings alone, of any classifier with a head.
    validation_fraction : float in (0, 1), default=0.2
        Part of the labelled samples, drawn at random, that a clone trained on the rest is tried on. Of no effect with
        `X_validation`.
    n_neighbors : int >= 1, default=32
        How many samples of the pool are kept for each sample gone wrong.
    pseudo_label : {"similar", "predicted"}, default="similar"
        The class that a pool sample's gradient is taken for: that of the validation sample with the most similar
        features, or the predicted one.
    X_validation : n_validation samples of the kind of the pool, or None, default=None
        Validation samples that the classifier was not trained on. They are labels that the budget does not count.
    y_validation : array-like of shape (n_validation,) or None, default=None
        Their labels.
    random_state : int, RandomState or None, default=None
        Draws the validation samples, seeds the clone, and draws the first of the targets where there are too many; an
        integer gives the same run every time.

    Raises
    ------
    ValueError
        One of `X_validation` and `y_validation` without the other, samples unlike those of the pool, or labels that the
        classifier does not know.

    Notes
    -----
    A sample's descriptor has, for each layer, its features z and the gradient g of its cross-entropy by them, for the
    true label of a validation sample and for the pseudo-label of the pool's. Each is centred and scaled to length 1, so
    that products are Pearson's correlations. With the validation samples j that are misclassified, if more than
    `n_instances` reduced to that many by farthest-first search on the same similarity, and a pool sample i,

    .. math:: s_{ij} = \\sum_{\\text{layers}} z_i \\cdot z_j + g_i \\cdot g_j .

    The batch are the nearest samples of all targets, the most similar first, then the second nearest, and so on. The
    score of a sample is the similarity that it was chosen by; scores fall within a rank only. Where `n_neighbors` ranks
    are not enough, the samples most similar to any target follow. Where nothing is misclassified the least confident
    are chosen, with a warning.

    Evidence: the authors' source was read. Differences: they have a labelled validation set beside the budget; here a
    part of the labelled data is held out, and what is misclassified is told by a clone that has not seen it, while
    descriptors are the classifier's, which has. Each layer counts alike, whatever its width. Ours: the random first
    target, what follows the last rank, and what is done where nothing is missed.

    Time: a fit of a clone, and O(n (n_validation + n_instances) d). Memory: the descriptors, 2 n d float32 values.

    References
    ----------
    D. Gudovskiy, A. Hodgkinson, T. Yamaguchi and S. Tsukizawa, "Deep active learning for biased datasets via Fisher
    kernel self-supervision", CVPR 2020, arXiv 2003.00393.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import FKSS
    >>> X, y = load_digits(return_X_y=True)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=500), FKSS(random_state=0), X[:60], y[:60])
    >>> query_idx, X_query = learner.query(X[60:], n_instances=5)
    >>> len(set(query_idx.tolist()))
    5
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "layers": [str, "array-like", None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "pseudo_label": [StrOptions({"similar", "predicted"})],
        "X_validation": [object, None],
        "y_validation": ["array-like", None],
        "random_state": ["random_state"],
    }
    requires = requirement(
        ("embeddings", "head", "proba", *_SPLIT),
        lambda strategy: (
            *(("embeddings", "head") if strategy.layers is None else ("layers",)),
            "proba",
            *(_SPLIT if strategy.X_validation is None else ()),
        ),
    )

    def __init__(
        self,
        *,
        layers: Sequence[str] | str | None = None,
        validation_fraction: float = 0.2,
        n_neighbors: int = 32,
        pseudo_label: Literal["similar", "predicted"] = "similar",
        X_validation: Any = None,
        y_validation: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.layers = layers
        self.validation_fraction = validation_fraction
        self.n_neighbors = n_neighbors
        self.pseudo_label = pseudo_label
        self.X_validation = X_validation
        self.y_validation = y_validation
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        view, columns, missed = self._validation(pool, rng)
        if not missed.any():
            warnings.warn(
                f"{self.__name__} found no validation sample that is misclassified, so it chooses by least confidence.",
                UserWarning,
                stacklevel=5,
            )
            scores = 1 - pool.proba.max(axis=1).astype(np.float64)
            query_idx = top_k(scores, n_instances, rng)
            return query_idx, scores[query_idx]
        known = self._features(view)
        features = self._features(pool)
        if self.pseudo_label == "similar":
            pseudo = columns[most_similar(features, known)]
        else:
            pseudo = pool.proba.argmax(axis=1)
        targets = np.hstack([known, self._gradients(view, columns)])[missed]
        targets = targets[farthest_first(targets, n_instances, rng)]
        descriptors = np.hstack([features, self._gradients(pool, pseudo)])
        return rank_by_rank(descriptors, targets, n_instances, self.n_neighbors)

    def _validation(
        self, pool: PoolView, rng: np.random.Generator
    ) -> tuple[PoolView, NDArray[np.int64], NDArray[np.bool_]]:
        """Validation samples, the columns of their labels, and which of them are misclassified."""
        if (self.X_validation is None) != (self.y_validation is None):
            raise ValueError("The 'X_validation' and 'y_validation' parameters of FKSS must be given together.")
        if self.X_validation is None:
            labeled: Any = pool.labeled
            n_held = max(1, round(self.validation_fraction * len(labeled)))
            held = np.sort(rng.permutation(len(labeled))[:n_held])
            columns = labeled.y_encoded[held]
            proba = proba_of_held(labeled, held, rng, str(self.__name__))
            return labeled.part(held), columns, proba.argmax(axis=1) != columns
        try:
            whole = view_pool(pool.classifier, pool.X, X_training=self.X_validation, y_training=self.y_validation)
            whole.check()
            view: Any = whole.labeled
            columns, proba = view.y_encoded, view.proba
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The 'X_validation' parameter of FKSS must hold samples like those of the pool, and 'y_validation' "
                f"labels of theirs. {error}"
            ) from error
        return view, columns, proba.argmax(axis=1) != columns

    def _features(self, view: PoolView) -> NDArray[np.float32]:
        return standardised(layer_features(view, self.layers))

    def _gradients(self, view: PoolView, columns: NDArray[np.int64]) -> NDArray[np.float32]:
        if self.layers is not None:
            return standardised(view.model.layers(view.X_transformed, self.layers, columns)[1])
        return standardised([head_gradients(view, columns)])


def head_gradients(view: PoolView, columns: NDArray[np.int64]) -> NDArray:
    """Gradients `(n, d)` of each sample's cross-entropy for its column by its embedding."""
    head, found = view.head, np.empty(view.embeddings.shape, dtype=np.float32)
    for rows in blocks(len(found), 4096):
        embeddings = torch.tensor(view.embeddings[rows], dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            logits = head(embeddings)
            loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(columns[rows]), reduction="sum")
            found[rows] = torch.autograd.grad(loss, embeddings)[0].numpy()
    return found


def standardised(layers: list[NDArray]) -> NDArray[np.float32]:
    """The rows of each layer, centred and of length 1, side by side; what is constant becomes 0."""
    found = []
    for rows in layers:
        # To a common size first: products of what is all but 0 would be 0.
        rows = rows.astype(np.float64)
        rows /= np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        rows -= rows.mean(axis=1, keepdims=True)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        found.append(np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-9).astype(np.float32))
    return np.hstack(found)


def most_similar(rows: NDArray, others: NDArray) -> NDArray[np.int64]:
    """Position of the row of `others` with the largest product with each of `rows`, `(n,)`."""
    found = np.empty(len(rows), dtype=np.int64)
    for part in blocks(len(rows), _VALUES // len(others)):
        found[part] = (rows[part] @ others.T).argmax(axis=1)
    return found


def farthest_first(targets: NDArray, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Up to `n` of the targets, the first at random, and each next one the least similar to those before it."""
    if len(targets) <= n:
        return np.arange(len(targets))
    chosen = [int(rng.integers(len(targets)))]
    nearest = targets @ targets[chosen[0]]
    while len(chosen) < n:
        nearest[chosen[-1]] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, targets @ targets[chosen[-1]])
    return np.array(chosen)


class _Best(NamedTuple):
    """The most similar pool samples of each target, `(n_targets, m)`, the most similar first."""

    idx: NDArray[np.int64]
    values: NDArray[np.float32]


def rank_by_rank(
    descriptors: NDArray, targets: NDArray, n_instances: int, n_neighbors: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest sample of each target, by similarity, then the second nearest, until there are `n_instances`; then
    those nearest to any target. Positions, and the similarities that they were chosen by."""
    n = len(descriptors)
    best, largest = None, np.empty(n, dtype=np.float32)
    for part in blocks(n, _VALUES // len(targets)):
        values = targets @ descriptors[part].T
        largest[part] = values.max(axis=0)
        idx = np.broadcast_to(np.arange(part.start, part.stop), values.shape)
        if best is not None:
            values, idx = np.hstack([best.values, values]), np.hstack([best.idx, idx])
        # Of equals the first in the pool.
        order = np.argsort(-values, axis=1, kind="stable")[:, :n_neighbors]
        best = _Best(np.take_along_axis(idx, order, axis=1), np.take_along_axis(values, order, axis=1))
    chosen: dict[int, float] = {}
    for rank in range(best.idx.shape[1] if best is not None else 0):
        idx, values = best.idx[:, rank], best.values[:, rank]  # type: ignore[union-attr]
        for place in np.argsort(-values, kind="stable"):
            chosen.setdefault(int(idx[place]), float(values[place]))
            if len(chosen) == n_instances:
                return np.array([*chosen]), np.array([*chosen.values()])
    rest = np.setdiff1d(np.arange(n), [*chosen])
    more = rest[np.argsort(-largest[rest], kind="stable")[: n_instances - len(chosen)]]
    query_idx = np.concatenate([np.array([*chosen], dtype=np.int64), more])
    return query_idx, np.concatenate([[*chosen.values()], largest[more].astype(np.float64)])


fkss_sampling = make_query_function(FKSS, "fkss_sampling")
