"""ALFA-Mix: samples whose prediction changes when mixed a little with a class's anchor (Parvaneh et al., CVPR 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from ..base import Interval, ScoringStrategy, StrOptions, make_query_function
from ..models import Head
from ..pool import PoolView
from ..utils._arrays import (
    as_dtype,
    beside,
    blocks,
    class_means,
    l2_normalize,
    on_host,
    squared_norms,
    squares_dtype,
)
from ._parts._clustering import fit_kmeans, nearest_of_clusters, squared_distances
from ._parts._gradients import pseudo_label_errors

__all__ = ["ALFAMix", "alfa_mix_sampling"]

_ROWS = 512  # samples whose quantities fit into a processor's cache while they are mixed with each anchor
_MIX_ROWS = 4096  # samples mixed at once where the head is not linear or alpha is optimised
_TINY = {4: 1e-20, 8: 1e-150}  # lead of a predicted class that shares the first place, in float32 and float64

# (anchor (d,), positions (s,)): whether mixing these samples with the anchor changes their predictions, (s,).
_Changes = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class ALFAMix(ScoringStrategy):
    """Samples whose predicted class changes when their features are mixed a little with those of a labelled class.

    Every pool sample's embedding is mixed with the mean embedding (anchor) of each class. Where the least mixing
    changes the prediction, the model has missed features that it knows from labelled samples. These candidates are
    clustered, and one is taken near each centre. Strong with few labels and pretrained networks.

    Parameters
    ----------
    alpha : {"closed_form", "optimised"}, default="closed_form"
        The mixing strengths: the paper's closed form, or some steps of gradient ascent on the loss for each anchor
        and cap, which costs thousands of times as much.
    cap_step : float in (0, 1], default=1/32
        The cap on the mixing grows by this, up to 1, until there are more candidates than `n_instances`: there are at
        most 1 / `cap_step` caps.
    n_steps : int >= 1, default=5
        Steps for ``alpha="optimised"``.
    learning_rate : float > 0, default=0.1
        Length of a step of each strength for ``alpha="optimised"``; a tenth of it in the last third.
    l2 : float >= 0, default=0.01
        Weight of the norm of the strengths for ``alpha="optimised"``.
    n_init : int >= 1 or "auto", default="auto"
        Restarts of k-means; "auto" is scikit-learn's own choice, one.
    random_state : int, RandomState or None, default=None
        Seeds k-means, the first strengths and the random fill; an integer gives the same run every time.

    Notes
    -----
    With z an embedding (`PoolView.embeddings`, (n, d)), y its predicted class, F the head (`PoolView.head`), g the
    gradient of the cross-entropy of y by z, and a_j the mean embedding of the labelled samples of class j (of all of
    them, where class j has none), the mixture and the closed form of its strengths under the cap c are

    .. math:: F(z + \\alpha \\odot (a_j - z)), \\qquad
              \\alpha = \\frac{c}{\\sqrt d} \\lVert a_j - z \\rVert \\frac{g}{\\lVert g \\rVert} \\oslash (a_j - z)

    (the paper's eqs. 4 and 7; the division by sqrt(d) is the authors' code). A feature in which sample and anchor are
    equal cannot be mixed: its strength is 0, and nothing is divided by the difference. The score of a sample is
    1 / (1 + c), with c the smallest cap at which some anchor changes the prediction, so in [0, 1], and 0 where none
    does. Candidates are the samples with c below the cap; k-means with `n_instances` clusters on their unit-length
    embeddings gives one of each cluster, nearest to the centre. With fewer candidates, even at the cap 1, all are
    taken and the rest is random. The answer is ordered by score.

    With a linear head the mixture's logits are the sample's plus ``c ||a_j - z|| / sqrt(d)`` times ``W g / ||g||``,
    whatever the anchor, so that the exact smallest c follows from the distances and W W^T: O(n C (C + d)) time. Only
    where features and anchors are equal, W g is corrected over these features, O(n C) for each such feature of an
    anchor. Memory: O(n C) and blocks; float32 embeddings are worked on as they are.
    Under any other head, and for ``alpha="optimised"``, each cap and anchor is
    tried in turn on the samples that have not changed yet, and c is the first cap that succeeds; caps that
    `n_instances` does not need are not tried in a query.

    Of the optimised form, as in the authors' code: alpha starts at a normal draw of mean and deviation c / 2, is kept
    in [1e-8, c], and as Adam is set up anew for every step, each step has length `learning_rate` in every feature.
    Differences from the code: its closed form adds 1e-8 to ``a_j - z``; its random fill can return a sample twice.

    References
    ----------
    A. Parvaneh, E. Abbasnejad, D. Teney, R. Haffari, A. van den Hengel and J. Q. Shi, "Active learning by feature
    mixing", CVPR 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import ALFAMix
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=500).fit(X[:50], y[:50])
    >>> strategy = ALFAMix(random_state=0)
    >>> query_idx, scores = strategy.select(clf, X[50:], n_instances=5, X_training=X[:50], y_training=y[:50])
    >>> len(query_idx), bool((scores[:-1] >= scores[1:]).all())
    (5, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "alpha": [StrOptions({"closed_form", "optimised"})],
        "cap_step": [Interval(Real, 0, 1, closed="right")],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "l2": [Interval(Real, 0, None, closed="left")],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = ("head", "embeddings", "logits", "labeled")

    def __init__(
        self,
        *,
        alpha: Literal["closed_form", "optimised"] = "closed_form",
        cap_step: float = 1 / 32,
        n_steps: int = 5,
        learning_rate: float = 0.1,
        l2: float = 0.01,
        n_init: int | Literal["auto"] = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.alpha = alpha
        self.cap_step = cap_step
        self.n_steps = n_steps
        self.learning_rate = learning_rate
        self.l2 = l2
        self.n_init = n_init
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        return 1 / (1 + self._smallest_caps(pool, rng, enough=len(pool)))

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        caps = self._smallest_caps(pool, rng, enough=n_instances)
        for cap in self._caps():
            candidates = np.flatnonzero(caps <= cap)
            if len(candidates) > n_instances:
                break
        chosen = candidates
        if len(candidates) > n_instances:
            features = l2_normalize(pool.embeddings[candidates])
            labels, centers = fit_kmeans(features, n_instances, rng, n_init=self.n_init)
            chosen = candidates[nearest_of_clusters(features, labels, centers)[0]]
        rest = np.setdiff1d(np.arange(len(pool)), chosen)
        chosen = np.concatenate([chosen, rng.choice(rest, size=n_instances - len(chosen), replace=False)])
        scores = 1 / (1 + caps[chosen])
        order = np.argsort(-scores, kind="stable")
        return chosen[order], scores[order]

    def _caps(self) -> Iterator[float]:
        """The caps in the order in which they are tried; the last is 1."""
        for step in range(1, math.ceil(1 / self.cap_step - 1e-9) + 1):
            yield min(step * self.cap_step, 1.0)

    def _smallest_caps(self, pool: PoolView, rng: np.random.Generator, enough: int) -> NDArray[np.float64]:
        """The smallest cap that changes each sample's prediction, `(n,)`; infinite where none up to 1 does.

        Where each cap must be tried, none is tried after one that leaves more than `enough` changed.
        """
        labeled, head = pool.labeled, pool.head
        anchors = class_means(labeled.embeddings, labeled.y_encoded, pool.logits.shape[1])  # type: ignore[union-attr]
        if self.alpha == "closed_form" and head.weight is not None:
            own = pool.on_device("embeddings")
            own = as_dtype(own, squares_dtype(own, as_dtype(beside(anchors, own), f"float{8 * own.dtype.itemsize}")))
            caps = exact_caps(own, beside(pool.on_device("logits"), own), head.weight, anchors)
            caps[caps > 1] = np.inf
            return caps
        z = torch.from_numpy(np.asarray(pool.embeddings, dtype=np.float64))
        mixing = self._closed_form if self.alpha == "closed_form" else self._optimised
        caps = np.full(len(z), np.inf)
        for cap in self._caps():
            for rows in blocks(len(z), _MIX_ROWS):
                left = np.flatnonzero(np.isinf(caps[rows])) + rows.start
                if len(left):
                    caps[left[_any_anchor(z[left], torch.from_numpy(anchors), head, mixing, cap, rng)]] = cap
            if np.count_nonzero(caps <= cap) > enough:
                break
        return caps

    def _closed_form(
        self, z: torch.Tensor, predicted: torch.Tensor, head: Head, cap: float, rng: np.random.Generator
    ) -> _Changes:
        direction = torch.nn.functional.normalize(_gradient(z, predicted, head), dim=1, eps=1e-300)

        def changes(anchor: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
            difference = anchor - z[left]
            step = cap / math.sqrt(z.shape[1]) * difference.norm(dim=1, keepdim=True)
            with torch.no_grad():
                logits = head(z[left] + torch.where(difference != 0, step * direction[left], 0))
            return logits.argmax(dim=1) != predicted[left]

        return changes

    def _optimised(
        self, z: torch.Tensor, predicted: torch.Tensor, head: Head, cap: float, rng: np.random.Generator
    ) -> _Changes:
        def changes(anchor: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
            start, difference = z[left], anchor - z[left]
            alpha = torch.from_numpy(rng.normal(cap / 2, cap / 2, size=start.shape)).clamp_(1e-8, cap)
            changed = torch.zeros(len(start), dtype=torch.bool)
            for step in range(self.n_steps):
                with torch.enable_grad():
                    alpha.requires_grad_(True)
                    logits = head(start + alpha * difference)
                    loss = -torch.nn.functional.cross_entropy(logits, predicted[left], reduction="sum")
                    loss = loss + self.l2 * alpha.norm(dim=1).sum()
                    (gradient,) = torch.autograd.grad(loss, alpha)
                changed |= logits.detach().argmax(dim=1) != predicted[left]
                length = self.learning_rate if step < self.n_steps * 2 / 3 else self.learning_rate / 10
                # Adam's first step.
                alpha = (alpha.detach() - length * gradient / (gradient.abs() + 1e-8)).clamp_(1e-8, cap)
            return changed

        return changes


def exact_caps(embeddings: Any, logits: Any, weight: NDArray, anchors: NDArray) -> NDArray[np.float64]:
    """The smallest cap at which some anchor changes the prediction of a linear head, `(n,)`; infinite where none does.

    Logits move along a ray: class c overtakes the predicted one, y, after the step lead_c / (moved_c - moved_y).
    For arrays and tensors, in the dtype of the embeddings. In a block classes come first, samples last.
    """
    xp = array_namespace(embeddings)
    place = {"dtype": embeddings.dtype, "device": device(embeddings)}
    # Distances are the same around the anchors' mean, where products of float32 lose less of them.
    mean = xp.asarray(anchors.mean(axis=0), **place)
    columns, centers = xp.asarray(weight.T, **place), xp.asarray(anchors - on_host(mean), **place)
    gram, sq_centers = columns.T @ columns, squared_norms(centers)[:, None]
    rays, tiny, found = _Rays(embeddings, columns, anchors), _TINY[embeddings.dtype.itemsize], []
    errors, predicted = pseudo_label_errors(logits, relative=True)  # only the gradient's direction counts
    for rows in blocks(len(embeddings), _ROWS):
        z, error, y = embeddings[rows], xp.astype(errors[rows], embeddings.dtype), predicted[rows]
        own = (y, xp.arange(len(y), device=place["device"]))
        moved = gram @ error.T  # W g, with g = W^T error
        length = xp.sqrt(xp.clip(xp.vecdot(error, moved.T), min=0))
        pace = xp.empty_like(moved)
        pace[:] = 1 / xp.clip(logits[rows].T[own] - logits[rows].T, min=tiny)
        around = z - mean
        distances = xp.sqrt(squared_distances(centers @ around.T, sq_centers, squared_norms(around)))
        moved -= moved[own]
        speeds = xp.max(moved * pace, axis=0) * distances  # at least 0, which is the predicted class's own
        for j, fixed in rays.own(z, error):
            fixed -= fixed[own]
            xp.subtract(moved, fixed, out=fixed)
            speeds[j] = xp.max(xp.multiply(fixed, pace, out=fixed), axis=0) * distances[j]
        found.append(xp.stack([length, xp.max(speeds, axis=0)]))
    lengths, speeds = on_host(xp.concat(found, axis=1)).astype(np.float64)
    return np.divide(lengths * np.sqrt(embeddings.shape[1]), speeds, out=np.full(len(speeds), np.inf), where=speeds > 0)


class _Rays:
    """What the features in which samples and anchors are equal, and which so stay where they are, take from W g."""

    def __init__(self, embeddings: Any, columns: Any, anchors: NDArray) -> None:
        self._xp, self._columns = array_namespace(columns), columns  # features first: they are gathered for each anchor
        shared = _shared_values(on_host(embeddings), anchors)
        # After a ReLU the value is 0, whatever the anchor.
        self._zero = [self._positions(row) for row in shared & (anchors == 0)]
        self._other = [self._positions(row) for row in shared & (anchors != 0)]
        # Of the pool's dtype, in which they are equal to some of its values.
        self._values = self._xp.asarray(anchors, dtype=embeddings.dtype, device=device(columns))

    def _positions(self, is_shared: NDArray[np.bool_]) -> Any:
        return self._xp.asarray(np.flatnonzero(is_shared), device=device(self._columns))

    def own(self, z: Any, error: Any) -> Iterator[tuple[int, Any]]:
        """For each anchor that has a ray of its own in these samples: its position and what to take off, `(C, s)`."""
        with_own = [j for j, (zero, other) in enumerate(zip(self._zero, self._other)) if len(zero) or len(other)]
        if not with_own:
            return
        gradient = self._columns @ error.T
        z_columns = self._xp.empty_like(gradient)
        z_columns[:] = z.T
        at_zero = gradient * (z_columns == 0)
        for j in with_own:
            zero, other = self._zero[j], self._other[j]
            fixed = self._columns[zero].T @ at_zero[zero]
            if len(other):
                is_equal = z_columns[other] == self._values[j, other][:, None]
                fixed += self._columns[other].T @ (gradient[other] * is_equal)
            yield j, fixed


def _shared_values(embeddings: NDArray, anchors: NDArray) -> NDArray[np.bool_]:
    """Whether some sample has exactly the anchor's value in a feature, `(C, d)`."""
    shared = (anchors == 0) & (embeddings == 0).any(axis=0)
    # The mean of some float32 numbers is seldom one itself.
    possible = (anchors != 0) & (anchors.astype(embeddings.dtype) == anchors)
    for k in np.flatnonzero(possible.any(axis=0)):
        values = np.sort(embeddings[:, k])
        wanted = anchors[possible[:, k], k]
        at = np.minimum(np.searchsorted(values, wanted.astype(values.dtype)), len(values) - 1)
        shared[possible[:, k], k] = values[at] == wanted
    return shared


def _gradient(z: torch.Tensor, predicted: torch.Tensor, head: Head) -> torch.Tensor:
    """Gradient of the predicted class's cross-entropy by the embeddings, `(s, d)`."""
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(head(z), predicted, reduction="sum")
        return torch.autograd.grad(loss, z)[0]


def _any_anchor(
    z: torch.Tensor, anchors: torch.Tensor, head: Head, mixing: Callable, cap: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Whether mixing with some anchor changes the prediction, `(s,)`; what has changed is not mixed again."""
    with torch.no_grad():
        predicted = head(z).argmax(dim=1)
    changes: _Changes = mixing(z, predicted, head, cap, rng)
    changed = torch.zeros(len(z), dtype=torch.bool)
    for anchor in anchors:
        left = torch.nonzero(~changed)[:, 0]
        if len(left) == 0:
            break
        changed[left] = changes(anchor, left)
    return changed.numpy()


alfa_mix_sampling = make_query_function(ALFAMix, "alfa_mix_sampling")
