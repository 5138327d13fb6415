"""BADGE: k-means++ on gradient embeddings (Ash et al., ICLR 2020)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..base import QueryStrategy, make_query_function
from ..pool import PoolView
from ..utils._arrays import as_dtype, beside, squared_norms
from ..utils._torch import shared_tensor
from ._parts._clustering import kmeans_plus_plus
from ._parts._gradients import pseudo_label_errors

__all__ = ["BADGE", "badge_sampling"]

_LEAST, _MOST = 1e-20, 1e30  # between these the largest squared norm leaves room in float32


class BADGE(QueryStrategy):
    """Samples with large and diverse gradients of the last layer, by k-means++ on these gradients.

    A sample on which the classifier is sure has a gradient near zero, and two samples that would move the classifier
    alike have gradients that are close: spreading a batch over the gradients asks for uncertainty and diversity at
    once, without a parameter that weighs them.

    Parameters
    ----------
    random_state : int, RandomState or None, default=None
        Draws the batch; an integer gives the same run every time.

    Notes
    -----
    With embeddings z (`PoolView.embeddings`, shape (n, d)), probabilities p (the softmax of `PoolView.logits`, shape
    (n, C)) and pseudo-labels y = argmax p, the gradient of the pseudo-label's cross-entropy by the weight of the
    linear head is

    .. math:: g_i = e_i \\otimes z_i, \\qquad e_i = p_i - \\mathrm{onehot}(y_i)

    (the paper's eq. 1). The first pick has the largest norm; each further one is drawn with a probability in
    proportion to its squared distance from the nearest gradient picked. The score is that squared distance at the
    time of picking, for the first its squared norm; the order is that of picking, and scores need not decrease.

    The (n, C d) array is never built, since ``<g_i, g_k> = <e_i, e_k> <z_i, z_k>``: a pick is two matrix-vector
    products. O(n_instances n (C + d)) time, O(n C) memory beside the embeddings. float32 embeddings are worked on as
    they are, with sums in float64 (in float64 as a whole where float32 cannot hold the squares).

    From the authors' code, where the paper names k-means++ only: the first pick by norm, and no bias in the gradient.
    Ours: where all that is left equals something picked, the rest is drawn uniformly, so that no sample comes twice.

    References
    ----------
    J. T. Ash, C. Zhang, A. Krishnamurthy, J. Langford and A. Agarwal, "Deep batch active learning by diverse,
    uncertain gradient lower bounds", ICLR 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import BADGE
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=500).fit(X[:50], y[:50])
    >>> query_idx, scores = BADGE(random_state=0).select(clf, X[50:], n_instances=5)
    >>> len(set(query_idx.tolist())), bool((scores > 0).all())
    (5, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"random_state": ["random_state"]}
    requires = ("linear_head", "embeddings", "logits")

    def __init__(self, *, random_state: int | np.random.RandomState | None = None) -> None:
        self.random_state = random_state

    def _query(self, pool: PoolView, n_instances: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
        # The gradients have this form under a linear head alone, of which only the view must know.
        pool.linear_head  # noqa: B018
        z = pool.on_device("embeddings")
        errors = pseudo_label_errors(beside(pool.on_device("logits"), z))[0]
        for dtype in (np.float32, np.float64)[z.dtype.itemsize == 8 :]:
            e, f = (shared_tensor(as_dtype(factor, dtype)) for factor in (errors, z))
            sq_norms = squared_norms(e) * squared_norms(f)
            if _LEAST < float(sq_norms.max()) < _MOST:
                # Else they are held by float64 alone.
                break
        if not sq_norms.isfinite().all():
            raise ValueError(
                "BADGE squares embeddings, which must be below 1e150. Got larger ones: scale the samples, by "
                "StandardScaler for example."
            )
        return spread_gradients(e, f, sq_norms, n_instances, rng)


def spread_gradients(
    errors: Any, z: Any, sq_norms: Any, n_picks: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """k-means++ on the outer products of `errors (n, C)` and `z (n, d)`, arrays or tensors; `sq_norms (n,)` theirs."""
    return kmeans_plus_plus(sq_norms, lambda i: (errors @ errors[i]) * (z @ z[i]), n_picks, rng)


badge_sampling = make_query_function(BADGE, "badge_sampling")
