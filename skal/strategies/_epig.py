"""EPIG: expected predictive information gain (Bickford Smith et al., AISTATS 2023)."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ..base import Interval, ScoringStrategy, make_query_function
from ..models import SkorchModel
from ..pool import PoolView, view_pool
from ..rows import stack_rows
from ..utils._arrays import blocks, entropy

__all__ = ["EPIG", "epig_sampling"]

_BLOCK = 32 * 2**20  # bytes of a work array


class EPIG(ScoringStrategy):
    """The samples whose labels tell most about the predictions on others.

    `BALD` asks for what tells most about the model; where the pool holds samples that nobody will ask about, it spends
    labels on parts of the model that do not matter. Here a label is worth what it tells about the classes of target
    samples: those for which the classifier is made, or a random part of the pool.

    Parameters
    ----------
    n_passes : int >= 2, default=20
        Versions of the model: the most members of an ensemble (drawn at random where it has more), or clones to train.
    X_target : n_target samples of the kind of the pool, or None, default=None
        Target samples, without labels; None: a random part of the pool.
    n_targets : int >= 1, default=100
        How many samples of the pool are targets, drawn anew in each query; all where it has fewer. Of no effect with
        `X_target`.
    random_state : int, RandomState or None, default=None
        Draws the targets, seeds members and clones and breaks ties; an integer gives the same run every time.

    Raises
    ------
    ValueError
        An `X_target` whose samples are not those of the pool in shape, or not finite.
    PoolCapabilityError
        A classifier without members that cannot be cloned, or is not given labelled data.

    Notes
    -----
    With p_k the class probabilities of version k of K, a sample x, T targets x* and H the entropy, the score is the
    mutual information of the two labels, averaged over the targets:

    .. math::
        S = \\frac1T \\sum_{x^*} \\Big[ H\\Big(\\frac1K \\sum_k p_k(y|x)\\Big)
            + H\\Big(\\frac1K \\sum_k p_k(y^*|x^*)\\Big) - H\\Big(\\frac1K \\sum_k p_k(y|x)\\, p_k(y^*|x^*)\\Big) \\Big]

    in [0, log n_classes]; 0 where the versions agree about the sample, or about all targets. The batch are the highest
    scores.

    Versions are the members of an ensemble or a committee (`PoolView.iter_proba_samples`), and for all other
    classifiers clones trained on bootstrap samples of the labelled data. A network's dropout masks, which the paper
    uses, are not versions here: each sample of a pass gets a mask of its own, so that the predictions on two samples
    are not those of one model, and have nothing in common but what chance gives them.

    Time: K passes over the pool, as many fits of clones, and O(n T K n_classes^2), with as many logarithms as n T
    n_classes^2: use `Prefilter` where that is much. Memory: the K n n_classes probabilities, and blocks of 32 MB; with
    `X_target` a copy of the pool.

    References
    ----------
    F. Bickford Smith, A. Kirsch, S. Farquhar, Y. Gal, A. Foster and T. Rainforth, "Prediction-oriented Bayesian active
    learning", AISTATS 2023, arXiv 2304.08151.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.strategies import EPIG
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(20, random_state=0).fit(X[::5], y[::5])
    >>> query_idx, scores = EPIG(X_target=X[100:], random_state=0).select(forest, X, n_instances=3)
    >>> bool((scores > 0).all() and (scores[:-1] >= scores[1:]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_passes": [Interval(Integral, 2, None, closed="left")],
        "X_target": [object, None],
        "n_targets": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = ("opinions|clones",)

    def __init__(
        self,
        *,
        n_passes: int = 20,
        X_target: Any = None,
        n_targets: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_passes = n_passes
        self.X_target = X_target
        self.n_targets = n_targets
        self.random_state = random_state

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        n = len(pool)
        if self.X_target is None:
            targets = np.sort(rng.choice(n, size=min(n, self.n_targets), replace=False))
            samples = self._versions(pool, rng)
        else:
            both = self._with_targets(pool)
            targets = np.arange(n, len(both))
            samples = self._versions(both, rng)
        return mean_information(samples[:, :n], samples[:, targets])

    def _with_targets(self, pool: PoolView) -> PoolView:
        """The pool, and the targets below it: they must be seen by the same versions."""
        data = {} if pool.labeled is None else {"X_training": pool.labeled.X, "y_training": pool.labeled.y}
        try:
            targets = view_pool(pool.classifier, self.X_target, **data)
            if len(targets) == 0:
                raise ValueError("There is no sample.")
            targets.check()
            return view_pool(pool.classifier, stack_rows(pool.X, self.X_target), **data)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The 'X_target' parameter of EPIG must hold samples like those of the pool. {error}"
            ) from error

    def _versions(self, view: PoolView, rng: np.random.Generator) -> NDArray:
        """Probabilities by each version, `(K, n, n_classes)`."""
        by = str(self.__name__)
        if view.has_samples and not isinstance(view.model, SkorchModel):
            return np.stack(list(view.iter_proba_samples(self.n_passes, rng, by=by)))
        return np.stack(list(view.iter_clone_samples(self.n_passes, rng, by=by)))


def mean_information(samples: NDArray, targets: NDArray) -> NDArray[np.float64]:
    """Mutual information of each sample's label and a target's, averaged over the targets, `(n,)`.

    Parameters
    ----------
    samples : ndarray of shape (K, n, n_classes)
        Class probabilities by K versions.
    targets : ndarray of shape (K, n_targets, n_classes)
        By the same versions.
    """
    n_versions, n, n_classes = samples.shape
    n_targets = targets.shape[1]
    found = entropy(samples.mean(axis=0, dtype=np.float64))
    found += entropy(targets.mean(axis=0, dtype=np.float64)).mean()
    size = 8 * n_classes**2
    for part in blocks(n_targets, _BLOCK // size):
        right = targets[:, part].reshape(n_versions, -1).astype(np.float64) / n_versions
        for rows in blocks(n, _BLOCK // (size * (part.stop - part.start))):
            left = samples[:, rows].reshape(n_versions, -1).astype(np.float64)
            joint = torch.special.entr(torch.from_numpy(left.T @ right))
            found[rows] -= joint.reshape(rows.stop - rows.start, -1).sum(dim=1).numpy() / n_targets
    # What agrees is 0; only rounding leads below.
    return np.where(found > 1e-12, found, 0.0)


epig_sampling = make_query_function(EPIG, "epig_sampling")
