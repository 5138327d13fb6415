"""BAL: balancing diversity and novelty (arXiv 2312.15944)."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from ..base import HasMethods, Interval, QueryStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..rows import check_finite, flat_numeric
from ..utils._arrays import entropy, squares_dtype
from ..utils._random import make_generator, sklearn_seed
from ..utils._validation import shown
from ._parts._clustering import nearest_of_clusters, nearest_to_centers
from ._parts._sub_pools import (
    SubPoolMixin,
    cluster_distance_difference,
    fit_clone,
    highest_of_stretch,
    pretext_likelihood,
    sub_pool_bounds,
)

__all__ = ["BAL", "bal_sampling"]


class BAL(SubPoolMixin, QueryStrategy):
    """The least confident samples of an adaptive sub-pool, from the border of self-supervised clusters inwards.

    All samples are ordered once, before the first label: their self-supervised features are clustered, and those that
    lie between two clusters, the hardest to tell apart, come first. Each round looks at its own stretch of the order
    (its sub-pool), which keeps the batches diverse, and takes the samples there that the current model is least
    confident of. The balancing factor `beta` makes the sub-pools overlap or leaves gaps. Made for image classification
    with a schedule of rounds that is known beforehand; needs no model for the first one.

    Parameters
    ----------
    pretext : transformer or None, default=None
        Features by which the samples are ordered: anything with `fit` and `transform`, such as
        `skal.nets.RotationPretext`, PCA or a frozen backbone. A clone is fitted, once, on the initial pool and the
        labelled data. None takes the samples' own features, flattened.
    n_clusters : int >= 2 or None, default=None
        Clusters of k-means. None is the number of classes that the model knows; before there is a model, the number of
        the labels listed in its `classes` parameter.
    beta : float > 0, default=1.2
        Balancing factor: size of a sub-pool in units of N / n_rounds. Above 1 neighbouring sub-pools overlap, below 1
        there are gaps between them. Small values favour diversity, large values uncertainty.
    n_rounds : int >= 1 or None, default=None
        Rounds of the whole run, the first selection included. None takes the learner's `n_rounds`, which
        `skal.meta.ActiveLearningClassifier` and `skal.experiments.compare` set.
    normalize_logits : bool, default=False
        Whether confidence is the largest softmax of the logits divided by their Euclidean norm, as in the authors'
        code, instead of the largest probability, and entropy that of this softmax. The ranking differs. Needs a model
        with logits. Of no effect for the other samplers.
    indexing : {"paper", "repository"}, default="paper"
        Places of the sub-pools; see `sub_pool_bounds`.
    order_by : {"cdd", "distance", "loss"}, default="cdd"
        What the samples are ordered by: cluster distance difference, small between two clusters; the distance to the
        nearest centre, small inside a cluster (section 5.2); or minus the loss of the pretext task, as `PT4AL` does,
        which needs a `pretext` with `score_samples` and no clusters. The paper finds the first best.
    order : {"ascending", "descending"}, default="ascending"
        Which end of the order comes first. For "cdd" "descending" begins inside the clusters; the paper finds it worse
        (section 5.3).
    sampler : {"confidence", "entropy", "kmeans", "random"}, default="confidence"
        What is taken of a sub-pool (section 5.4): the least confident samples, those of the highest entropy, the ones
        nearest to the centres of as many clusters of the model's embeddings as are asked for, or any. The paper finds
        the first best.
    random_state : int, RandomState or None, default=None
        Seeds k-means, and `pretext` where it has a `random_state` of None. An integer gives the same order every time.

    Raises
    ------
    ValueError
        No `n_rounds` from anywhere, more clusters than samples, features that are not finite numbers, no
        `n_clusters` before there is a model that knows classes, or ``order_by="loss"`` without a pretext that has
        `score_samples`.

    Notes
    -----
    With h_i the features of sample i and c_k the centres of k-means, d_ik = ||h_i - c_k||_2 and d^(1) <= d^(2) the two
    smallest, the order is ascending in the cluster distance difference CDD_i = d_i^(2) - d_i^(1) (eq. 2). Of N samples
    and C = `n_rounds` rounds, S = N / C, round i >= 1 looks at the places

    .. math::
        P_i = \\{j : iS - \\tfrac{\\beta-1}{2}S \\le j < (i+1)S + \\tfrac{\\beta-1}{2}S\\} \\setminus \\text{labelled}

    (eq. 6; the last anchored at N) and takes the `n_instances` samples with the smallest max_c p_c (eq. 8), with p
    from `PoolView.proba`, (n, n_classes). Round 0 takes the first of the order. Data that a learner began with count as
    round 0. A sub-pool that runs short is filled with the samples nearest to it in the order; after the last round the
    least confident of all that remain are taken. Scores are 1 - max_c p_c, in round 0 the negative CDD. Other orders
    and samplers put values of their own in these places: the entropy, minus the distance to the nearest centre, a
    random number.

    The order belongs to a run and is kept in `PoolView.memory`: the pool may shrink and be reordered, since samples are
    found again by their content (those that are alike share a place). It is made anew when the pool holds a sample that
    was not there when it was made, when a learner's round 0 brings other data, and when `pretext`, `n_clusters`,
    `order_by` or `random_state` have changed, after which the schedule goes on where it was. The learner holds that
    memory: a pickle of the learner keeps the order, its `clone` and `fit` drop it, the strategy itself has none, and a
    bare classifier has nowhere to keep one (a warning says so). A strategy that first meets a run after its round 0
    takes the learner's `round` for the round of the schedule. Learners that do not count rounds, such as modAL's own,
    are followed by the sizes of pool and labelled data.

    Differences from the paper, besides what `indexing` and `normalize_logits` offer: features are those of the image
    as it is (the authors' code embeds a randomly rotated copy); short sub-pools are filled (the code returns fewer);
    repeated centres of k-means count once. `beta` is chosen beforehand; `skal.meta.tune_balancing_factor` does it as
    eq. 9 says.

    Time: once, the pretext, k-means and O(n n_clusters d); in each query one forward pass, O(n n_classes + n log n)
    and a hash of each sample; the "kmeans" sampler, k-means of the sub-pool besides. Memory: once, a copy of the
    features and that of k-means; then about 200 bytes for each sample.

    References
    ----------
    "BAL: Balancing diversity and novelty for active learning", IEEE Transactions on Pattern Analysis and Machine
    Intelligence, 2024, arXiv 2312.15944.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import BAL
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y = X[:500] / 16, y[:500]
    >>> strategy = BAL(pretext=PCA(20, random_state=0), n_clusters=10, n_rounds=4, random_state=0)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=500), query_strategy=strategy)
    >>> for _ in range(4):
    ...     query_idx, X_query = learner.query(X, n_instances=20)
    ...     learner.teach(X_query, y[query_idx])
    ...     X, y = np.delete(X, query_idx, axis=0), np.delete(y, query_idx)
    >>> learner.round, len(X)
    (4, 420)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "pretext": [HasMethods(["fit", "transform"]), None],
        "n_clusters": [Interval(Integral, 2, None, closed="left"), None],
        "beta": [Interval(Real, 0, None, closed="neither")],
        "n_rounds": [Interval(Integral, 1, None, closed="left"), None],
        "normalize_logits": ["boolean"],
        "indexing": [StrOptions({"paper", "repository"})],
        "order_by": [StrOptions({"cdd", "distance", "loss"})],
        "order": [StrOptions({"ascending", "descending"})],
        "sampler": [StrOptions({"confidence", "entropy", "kmeans", "random"})],
        "random_state": ["random_state"],
    }
    _order_params = ("pretext", "n_clusters", "order_by", "random_state")

    def __init__(
        self,
        *,
        pretext: Any = None,
        n_clusters: int | None = None,
        beta: float = 1.2,
        n_rounds: int | None = None,
        normalize_logits: bool = False,
        indexing: Literal["paper", "repository"] = "paper",
        order_by: Literal["cdd", "distance", "loss"] = "cdd",
        order: Literal["ascending", "descending"] = "ascending",
        sampler: Literal["confidence", "entropy", "kmeans", "random"] = "confidence",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.pretext = pretext
        self.n_clusters = n_clusters
        self.beta = beta
        self.n_rounds = n_rounds
        self.normalize_logits = normalize_logits
        self.indexing = indexing
        self.order_by = order_by
        self.order = order
        self.sampler = sampler
        self.random_state = random_state

    def _bounds(self, cycle: int, n_samples: int, n_rounds: int) -> tuple[int, int]:
        return sub_pool_bounds(cycle, n_samples, n_rounds, self.beta, self.indexing)

    def _first(self, places: NDArray[Any], stop: int, n_instances: int) -> NDArray[Any]:
        return np.argsort(places, kind="stable")[:n_instances]

    def _needs(self) -> tuple[str, ...]:
        if self.sampler in ("confidence", "entropy"):
            return super()._needs()
        return ("embeddings",) if self.sampler == "kmeans" else ()

    def _take(
        self, pool: Any, places: NDArray[Any], start: int, stop: int, n_instances: int, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.sampler == "confidence":
            return super()._take(pool, places, start, stop, n_instances, rng)
        if self.sampler == "kmeans":
            inside = np.flatnonzero((places >= start) & (places < stop))
            if len(inside) < n_instances:
                inside = highest_of_stretch(np.zeros(len(places)), places, start, stop, n_instances)
            chosen, distances = nearest_to_centers(pool.embeddings[inside], n_instances, rng)
            return inside[chosen], -distances
        scores = entropy(self._proba(pool)) if self.sampler == "entropy" else rng.random(len(pool))
        chosen = highest_of_stretch(scores, places, start, stop, n_instances)
        return chosen, scores[chosen]

    def _order_values(self, X: Any, pool: PoolView) -> NDArray[np.float64]:
        seed = sklearn_seed(make_generator(self.random_state))
        if self.order_by == "loss":
            if not hasattr(self.pretext, "score_samples"):
                raise ValueError(
                    'BAL(order_by="loss") needs a pretext with score_samples, such as '
                    f'skal.nets.RotationPretext(target="rotation"). Got {shown(self.pretext)} instead.'
                )
            return pretext_likelihood(self.pretext, X, seed, "BAL")
        if self.pretext is not None:
            X = fit_clone(self.pretext, X, seed).transform(X)
        features = flat_numeric(X)
        if features is None:
            raise ValueError(
                "BAL needs samples that are numbers, or a pretext that makes numbers of them: pass BAL(pretext=...). "
                f"Got samples of type {type(X).__name__}."
            )
        check_finite(features, "The features of BAL")
        kmeans = self._clusters(features, self._count_clusters(pool), seed)
        if self.order_by == "distance":
            # From the differences themselves: features far from the origin lose nothing.
            with np.errstate(over="ignore"):
                distances = nearest_of_clusters(features, kmeans.labels_, kmeans.cluster_centers_.astype(np.float64))[1]
            if not np.isfinite(distances).all():
                raise ValueError("The features of BAL must have finite squares, too. Got values beyond 1e150.")
            return distances
        # Fewer distinct samples than clusters repeat a centre, which would put its own samples on a border.
        centers = np.unique(kmeans.cluster_centers_, axis=0)
        if len(centers) < 2:
            warnings.warn(
                "All samples have the same features, so BAL's order says nothing: it is that of the pool.",
                UserWarning,
                stacklevel=7,
            )
            return np.zeros(len(features))
        return cluster_distance_difference(features, centers)

    def _clusters(self, features: NDArray, n_clusters: int, seed: int) -> KMeans:
        if n_clusters > len(features):
            raise ValueError(
                f"n_clusters of BAL must be at most the number of samples, pool and labelled data together, "
                f"{len(features)}. Got {n_clusters} instead."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            # In float64 where float32 does not hold the squares.
            X = features.astype(squares_dtype(features), copy=False)
            return KMeans(n_clusters, n_init="auto", random_state=seed).fit(X)

    def _count_clusters(self, pool: PoolView) -> int:
        if self.n_clusters is not None:
            return int(self.n_clusters)
        estimator = pool.model.estimator
        # The labels of a regressor are no classes. What has no tags is not asked for them.
        if not pool.is_cold and not (hasattr(estimator, "__sklearn_tags__") and is_regressor(estimator)):
            return max(2, len(pool.classes))
        classes = getattr(estimator, "classes", None)
        if classes is None:
            raise ValueError(
                "BAL needs n_clusters while there is no model that knows the number of classes: pass "
                "BAL(n_clusters=...), usually the number of classes, or list the labels in DeepClassifier(classes=...)."
                " Got None."
            )
        return max(2, len(classes))


bal_sampling = make_query_function(BAL, "bal_sampling")
