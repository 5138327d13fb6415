"""DECERN: discrepancy-confusion uncertainty and calibration diversity (arXiv 2509.24181)."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import skew

from ..base import Interval, ScoringStrategy, StrOptions, make_query_function
from ..models import Head
from ..pool import PoolView
from ..utils._arrays import blocks, class_means, l2_normalize, min_max, on_host, top_k
from ..utils._torch import shared_tensor
from ._parts._clustering import fit_kmeans

__all__ = ["DECERN", "decern_sampling"]

_EPS = 1e-10  # inside every logarithm, as in the authors' code
_ROWS = 4096  # samples whose per-sample quantities are held at once
_ANCHOR_BLOCK = 1000  # anchors x classes ...
_BLOCK = 250_000  # ... and samples x anchors x classes of the work arrays, which stay in a processor's cache


class DECERN(ScoringStrategy):
    """Samples whose prediction is unstable and ambiguous when part of their features is mixed with each class's anchor.

    Every pool sample's embedding is mixed, in the features its own prediction is most sensitive to, with the mean
    embedding (anchor) of each class. A sample scores high where the mixtures' predictions move away from what the
    mixing predicts (discrepancy) and are ambiguous (confusion). Samples above a threshold that follows the skewness of
    the scores are clustered, weighted by score, and one sample is taken from each cluster: near its centre and far
    from every anchor. Made for fine-grained classification at small budgets.

    Parameters
    ----------
    mask_ratio : float in (0, 1], default=0.1
        Share of the feature bins (of the features, where there are fewer than `n_bins`) that are mixed.
    n_bins : int >= 1, default=100
        Contiguous feature bins over which the gradient is averaged before the largest are taken.
    xi : float in [0, 1], default=0.8
        Weight of closeness to the cluster centre against distance from the anchors (eq. 11).
    gamma : float >= 0, default=0.5
        Factor of the skewness in the threshold; the paper's lambda is ``gamma * skewness``.
    alpha_clip : float in [0, 0.5], default=1/64
        Mixing strengths are clipped to [alpha_clip, 1 - alpha_clip].
    normalize : {"minmax", "raw"}, default="minmax"
        Whether both terms of eq. 11 are scaled to [0, 1] within a cluster, as in the authors' code, or taken as the
        paper prints them.
    n_init : int >= 1 or "auto", default="auto"
        Restarts of k-means; "auto" is scikit-learn's own choice, one.
    random_state : int, RandomState or None, default=None
        Seeds k-means and the random fill of empty clusters; an integer gives the same run every time.

    Notes
    -----
    With z an embedding (`PoolView.embeddings`, (n, d)), p^u its probabilities, F the head (`PoolView.head`), z^a_j and
    p^a_j the mean embedding and mean probabilities of the labelled samples of class j (of all of them, where class j
    has none), M the 0/1 mask of the bins with the largest signed gradient of the pseudo-label's cross-entropy, R its
    mean, alpha_j = clip(p^u_j), beta_j = (1 - cos(z, z^a_j)) / 2:

    .. math::
        p^m_j = \\mathrm{softmax}\\,F((1-M) z + M ((1-\\alpha_j) z + \\alpha_j z^a_j)), \\quad
        p^b_j = (1-\\alpha_j) p^u + \\alpha_j p^a_j, \\quad p^w_j = (1-R\\alpha_j) p^u + R\\alpha_j p^a_j

        S_{dc}(q) = H(p^m_j)^{1-\\beta_j} + H(q, p^m_j)^{\\beta_j}, \\quad
        S = \\frac{1}{C} \\sum_j (1-R) S_{dc}(p^u) + R\\,S_{dc}(p^b_j) + S_{dc}(p^w_j)

    `score_samples` returns S (eq. 9). Candidates exceed mean(S) + gamma skew(S) std(S) (eq. 10); if they are fewer
    than `n_instances`, the highest S are taken. The answer is ordered by S.

    Differences from the paper, all from the authors' code unless noted: the factor `gamma`; the clipped alpha; the
    p^w term inside the sum; min-max scaling in eq. 11; random samples in place of empty clusters. Ours: C, over which
    eq. 9 averages, counts the classes that the classifier knows, and not those that the data hold (a classifier of
    scikit-learn knows those with a label); the whole pool is looked at, where the experiments with Food101 draw a
    random part in each cycle (``Prefilter(DECERN(), n_candidates=15_150)``); for fewer than `n_bins` features the mask
    takes single features (the code's mask would be empty); entropies are clamped to at least 0 and beta to [0, 1]
    against rounding.

    Under a linear head all is computed in float32 where the embeddings are float32 (scores then differ from those in
    float64 by about 1e-6 of themselves; by more where a prediction is sure to some 1e-11, since the entropies pass
    through 0 there, of which powers jump), else in float64; sums over the classes are kept in float64.

    Time: with a linear head O(n C^2 n_bins + d C^2), since the mixtures' logits are the original logits plus a
    correction over the masked bins: one product and ten passes over the C^2 logits of a sample, in blocks that stay in
    a processor's cache; 1,000 classes cost a hundred times 100. Otherwise n * C evaluations of the head. Memory:
    O(n), O(C + n_bins) for each of 4,096 samples, and blocks of about 5 MB; k-means holds two copies of the candidates.

    References
    ----------
    Y. Jin and X. Yang, "Combining discrepancy-confusion uncertainty and calibration diversity for active fine-grained
    image classification", arXiv 2509.24181, 2025.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import DECERN
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=500).fit(X[:50], y[:50])
    >>> strategy = DECERN(random_state=0)
    >>> query_idx, scores = strategy.select(clf, X[50:], n_instances=5, X_training=X[:50], y_training=y[:50])
    >>> len(query_idx), bool((scores[:-1] >= scores[1:]).all())
    (5, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "mask_ratio": [Interval(Real, 0, 1, closed="right")],
        "n_bins": [Interval(Integral, 1, None, closed="left")],
        "xi": [Interval(Real, 0, 1, closed="both")],
        "gamma": [Interval(Real, 0, None, closed="left")],
        "alpha_clip": [Interval(Real, 0, 0.5, closed="both")],
        "normalize": [StrOptions({"minmax", "raw"})],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = ("head", "proba", "embeddings", "labeled")

    def __init__(
        self,
        *,
        mask_ratio: float = 0.1,
        n_bins: int = 100,
        xi: float = 0.8,
        gamma: float = 0.5,
        alpha_clip: float = 1 / 64,
        normalize: Literal["minmax", "raw"] = "minmax",
        n_init: int | Literal["auto"] = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.mask_ratio = mask_ratio
        self.n_bins = n_bins
        self.xi = xi
        self.gamma = gamma
        self.alpha_clip = alpha_clip
        self.normalize = normalize
        self.n_init = n_init
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        return discrepancy_confusion(
            pool.on_device("embeddings"),
            *_anchors(pool),
            pool.head,
            mask_ratio=self.mask_ratio,
            n_bins=self.n_bins,
            alpha_clip=self.alpha_clip,
        )

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        scores = self._checked_scores(pool, rng)
        candidates = np.flatnonzero(scores > _threshold(scores, self.gamma))
        if len(candidates) < n_instances:
            chosen = top_k(scores, n_instances)
        elif len(candidates) == n_instances:
            chosen = candidates
        else:
            chosen = self._pick(pool, candidates, scores[candidates], n_instances, rng)
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        return chosen, scores[chosen]

    def _pick(
        self,
        pool: PoolView,
        candidates: NDArray[Any],
        weights: NDArray[Any],
        n_instances: int,
        rng: np.random.Generator,
    ) -> NDArray[Any]:
        """One candidate of each cluster (eq. 11); random samples of the pool where clusters came out empty."""
        features = l2_normalize(pool.embeddings[candidates])
        labels, centers = fit_kmeans(features, n_instances, rng, n_init=self.n_init, sample_weight=weights)
        centers = l2_normalize(centers)
        to_center = 1 - np.einsum("ij,ij->i", features, centers[labels])
        to_anchor = 1 - (features @ l2_normalize(_anchors(pool)[0]).astype(features.dtype).T).max(axis=1)

        chosen = []
        order = np.argsort(labels, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            chosen.append(
                members[_most_representative(to_center[members], to_anchor[members], self.xi, self.normalize)]
            )
        chosen = candidates[np.array(chosen)]
        missing = n_instances - len(chosen)
        rest = np.setdiff1d(np.arange(len(pool)), chosen)
        return np.concatenate([chosen, rng.choice(rest, size=missing, replace=False)])


def _anchors(pool: PoolView) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean embedding `(C, d)` and mean probabilities `(C, C)` of each class's labelled samples (eq. 2)."""
    labeled, n_classes = pool.labeled, pool.proba.shape[1]
    if labeled is None:  # `requires` has seen to it
        raise TypeError("DECERN needs the labelled data.")
    y = labeled.y_encoded
    return class_means(labeled.embeddings, y, n_classes), class_means(labeled.proba, y, n_classes)


def _threshold(scores: NDArray, gamma: float) -> float:
    """Eq. 10; infinite where all scores are equal, so that nothing exceeds it."""
    if np.ptp(scores) == 0:
        return np.inf
    return float(scores.mean() + gamma * skew(scores) * scores.std())


def _most_representative(to_center: NDArray, to_anchor: NDArray, xi: float, normalize: str) -> int:
    """Position in one cluster of the sample near the centre and far from every anchor (eq. 11); the first of equals."""
    if normalize == "minmax":
        to_center, to_anchor = min_max(to_center), min_max(to_anchor)
    return int(np.argmin(xi * to_center - (1 - xi) * to_anchor))


def discrepancy_confusion(
    embeddings: NDArray | torch.Tensor,
    anchors: NDArray,
    anchor_proba: NDArray,
    head: Head,
    *,
    mask_ratio: float,
    n_bins: int,
    alpha_clip: float,
) -> NDArray[np.float64]:
    """Eq. 9 for every sample, `(n,)`, in blocks of samples and anchors.

    Works where the embeddings lie, in float32 where they and a linear head are no wider, else in float64.
    """
    z = shared_tensor(embeddings)
    dtype = torch.float64 if z.dtype == torch.float64 or not head.is_linear else torch.float32
    n, d = z.shape
    n_classes = len(anchors)
    bins = _Bins(d, n_bins, mask_ratio).to(z.device, dtype)
    anchors_t, anchor_proba_t = (torch.as_tensor(a).to(z.device, dtype) for a in (anchors, anchor_proba))
    unit_anchors = _unit(anchors_t)
    center = torch.zeros_like(anchors_t[0])
    if head.weight is not None and head.bias is not None:
        # Logits and mixtures are the same around the anchors' mean, where float32 loses less of them.
        center = torch.as_tensor(anchors.mean(axis=0)).to(center)
        head = Head(weight=head.weight, bias=head.bias + head.weight @ on_host(center).astype(np.float64))
        anchors_t = torch.as_tensor(anchors - on_host(center)).to(anchors_t)
    mixer = (_LinearMixer if head.is_linear else _Mixer)(head, anchors_t, bins)
    n_anchors = max(1, min(n_classes, _ANCHOR_BLOCK // n_classes))

    scores = torch.zeros(n, dtype=torch.float64, device=z.device)
    for rows in blocks(n, _ROWS):
        part = z[rows].to(dtype)
        beta = _dissimilarity(_unit(part), unit_anchors)
        part = part - center
        with torch.no_grad():
            logit = head(part)
        proba = torch.softmax(logit, dim=1)
        chosen = bins.largest(_pooled_gradient(head, part, proba, bins))
        share = bins.share(chosen)[:, None]
        alpha = proba.clamp(alpha_clip, 1 - alpha_clip)
        mixer.set_samples(part, logit, chosen)
        total = scores[rows]
        for j in blocks(n_classes, n_anchors):
            mixer.set_anchors(j)
            for i in blocks(len(part), _BLOCK // (n_anchors * n_classes)):
                mixed = mixer.logits(i, alpha[i, j])
                total[i] += _score_mixtures(mixed, proba[i], anchor_proba_t[j], alpha[i, j], beta[i, j], share[i])
    return scores.cpu().numpy() / n_classes


def _unit(z: torch.Tensor) -> torch.Tensor:
    # float32 holds numbers whose squares it does not hold.
    largest = z.abs().amax(dim=1, keepdim=True).clamp_(min=1e-8)
    z = z / largest
    return z / torch.maximum(z.norm(dim=1, keepdim=True), 1e-8 / largest)


def _dissimilarity(unit: torch.Tensor, unit_anchors: torch.Tensor) -> torch.Tensor:
    """(1 - cos) / 2 of rows of length 1 (or 0, whose cosine is 0), which float32 rounds to 0 where rows are alike.

    Their distances from each other are exacter, around a point among them.
    """
    center = unit_anchors.mean(dim=0)
    a, b = unit - center, unit_anchors - center
    missing = (~unit.any(dim=1))[:, None] + (~unit_anchors.any(dim=1)).to(unit)  # of the squares of length 1
    squares = torch.linalg.vecdot(a, a)[:, None] + torch.linalg.vecdot(b, b) - 2 * (a @ b.T)
    return ((squares + missing) / 4).clamp_(0, 1)


def _score_mixtures(
    mixed: torch.Tensor,
    proba: torch.Tensor,
    anchor_proba: torch.Tensor,
    alpha: torch.Tensor,
    beta: torch.Tensor,
    share: torch.Tensor,
) -> torch.Tensor:
    """Sum over the anchors at hand of eq. 9's bracket, `(s,)`, from the mixtures' logits `(s, anchors, C)`.

    With e the exponentials and E their sum, log(p + eps) is log(e + eps E) - log E, so that p itself is never made.
    Cross-entropy is linear in its first argument: that of p^b and p^w follow from those of p^u and p^a.

    The largest e is 1, and the others are summed without it: a sure prediction's entropy is all in them, and its power
    of 1 - beta or beta would show what float32 rounds away beside 1.
    """
    mixed -= mixed.amax(dim=2, keepdim=True)
    e = torch.exp(mixed)
    total = e.sum(dim=2)
    floor = _EPS * total
    log_e = torch.add(e, floor[:, :, None], out=mixed).log_()
    from_pool = torch.matmul(log_e, proba[:, :, None])[:, :, 0]
    from_anchor = torch.bmm(log_e.transpose(0, 1), anchor_proba[:, :, None])[:, :, 0].T
    of_all = log_e.mul_(e).sum(dim=2)
    others = e.frac_().sum(dim=2)
    n_largest = (total - others).round_()
    if e.dtype == torch.float32:
        of_all += n_largest * floor  # log(1 + floor), which is 0 there
    log_total = others.add_(n_largest - 1).log1p_()
    entropy = (log_total - of_all / total).clamp_(min=0)
    from_pool, from_anchor = log_total - from_pool, log_total - from_anchor

    def discrepancy(weight: torch.Tensor | float) -> torch.Tensor:
        return torch.lerp(from_pool, from_anchor, weight * alpha).clamp_(min=0).pow_(beta)

    scores = 2 * entropy.pow_(1 - beta)
    scores += (1 - share) * from_pool.clamp(min=0).pow_(beta) + share * discrepancy(1.0) + discrepancy(share)
    return scores.sum(dim=1)


class _Bins:
    """The contiguous feature bins over which the mask is chosen; single features where there are fewer than bins."""

    def __init__(self, d: int, n_bins: int, mask_ratio: float) -> None:
        self.n = min(d, n_bins)
        self.n_chosen = max(1, round(mask_ratio * self.n))
        self.d = d
        # Average pooling reads overlapping windows where d / n is no integer; the mask gives each feature one bin.
        self.of_feature = torch.from_numpy(np.arange(d) * self.n // d)
        self.sizes = torch.bincount(self.of_feature, minlength=self.n).double()

    def to(self, device: torch.device, dtype: torch.dtype) -> _Bins:
        """The same, for work on that device in that dtype."""
        self.of_feature, self.sizes = self.of_feature.to(device), self.sizes.to(device, dtype)
        return self

    def pool(self, values: torch.Tensor) -> torch.Tensor:
        """Mean of `values (m, d)` over each bin's window, `(m, n)`."""
        return torch.nn.functional.adaptive_avg_pool1d(values[:, None], self.n)[:, 0]

    def split(self, values: torch.Tensor) -> torch.Tensor:
        """The columns of `values (m, d)` by bin, `(n, m, width)`; narrower bins are filled with zeros."""
        width, first = int(self.sizes.max()), torch.searchsorted(self.of_feature, self.of_feature)
        place = self.of_feature * width + torch.arange(self.d, device=values.device) - first
        out = values.new_zeros(len(values), self.n * width)
        out[:, place] = values
        return out.view(len(values), self.n, width).transpose(0, 1)

    def largest(self, pooled: torch.Tensor) -> torch.Tensor:
        """0/1 choice `(m, n)` of the largest bins; of equals the first."""
        order = torch.sort(pooled, dim=1, descending=True, stable=True).indices[:, : self.n_chosen]
        return torch.zeros_like(pooled).scatter_(1, order, 1.0)

    def share(self, chosen: torch.Tensor) -> torch.Tensor:
        """R of eq. 7: the share of the features that is mixed, `(m,)`."""
        return chosen @ self.sizes / self.d


def _pooled_gradient(head: Head, z: torch.Tensor, proba: torch.Tensor, bins: _Bins) -> torch.Tensor:
    """Gradient of the pseudo-label's cross-entropy by the embeddings, averaged over each bin, `(s, bins)`."""
    if head.weight is not None:
        error = proba - torch.nn.functional.one_hot(proba.argmax(dim=1), proba.shape[1])
        # Pooling is linear, so the small (C, d) weight is pooled instead of the (s, d) gradient.
        return error @ bins.pool(torch.from_numpy(head.weight).to(error))
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(head(z), proba.argmax(dim=1), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, z)
    return bins.pool(gradient)


class _Mixer:
    """Logits of the mixtures of samples with anchors (eqs. 3 and 6), under any head, one anchor at a time."""

    def __init__(self, head: Head, anchors: torch.Tensor, bins: _Bins) -> None:
        self.head, self.anchors, self.bins = head, anchors, bins

    def set_samples(self, z: torch.Tensor, logit: torch.Tensor, chosen: torch.Tensor) -> None:
        self.z, self.logit, self.chosen = z, logit, chosen

    def set_anchors(self, columns: slice) -> None:
        self.columns = columns

    def logits(self, rows: slice, alpha: torch.Tensor) -> torch.Tensor:
        """`(samples, anchors, C)` for the samples `rows` of those set, the anchors set and strengths `alpha`."""
        z, mask = self.z[rows], self.chosen[rows][:, self.bins.of_feature]
        with torch.no_grad():
            mixed = [
                self.head(z + mask * alpha[:, j, None] * (anchor - z))
                for j, anchor in enumerate(self.anchors[self.columns])
            ]
        return torch.stack(mixed, dim=1)


class _LinearMixer(_Mixer):
    """Under a linear head: the original logits plus alpha times a sum over the chosen bins, without any dense mix."""

    def __init__(self, head: Head, anchors: torch.Tensor, bins: _Bins) -> None:
        super().__init__(head, anchors, bins)
        self.weight = torch.from_numpy(head.weight).to(anchors)
        self.weight_of, self.anchors_of = bins.split(self.weight).mT, bins.split(anchors)

    def set_samples(self, z: torch.Tensor, logit: torch.Tensor, chosen: torch.Tensor) -> None:
        super().set_samples(z, logit, chosen)
        self.own = (z * chosen[:, self.bins.of_feature]) @ self.weight.T

    def set_anchors(self, columns: slice) -> None:
        """What each bin of each anchor adds to the logits, `(bins, anchors * C)`."""
        self.terms = torch.matmul(self.anchors_of[:, columns], self.weight_of).flatten(1)

    def logits(self, rows: slice, alpha: torch.Tensor) -> torch.Tensor:
        # A product with 0 and 1, which is no slower than a sum of the tenth of the rows that are chosen.
        mixed = (self.chosen[rows] @ self.terms).view(len(alpha), alpha.shape[1], -1)
        mixed -= self.own[rows, None]
        return torch.addcmul(self.logit[rows, None], alpha[:, :, None], mixed, out=mixed)


decern_sampling = make_query_function(DECERN, "decern_sampling")
