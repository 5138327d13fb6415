"""VAAL: samples that a discriminator of an autoencoder's codes takes for unlabelled (Sinha et al., ICCV 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ..base import Interval, ScoringStrategy, StrOptions, make_query_function
from ..pool import PoolView
from ..rows import take_rows
from ..utils._random import sklearn_seed
from ._parts._helpers import helper_device, refuse_tokens

__all__ = ["VAAL", "vaal_sampling"]


class VAAL(ScoringStrategy):
    """The samples that are least like labelled ones, by an autoencoder that hides the difference from a discriminator.

    In each query a variational autoencoder learns to describe labelled samples and the pool's, and to do so in such a
    way that a discriminator cannot tell which are labelled; the discriminator learns to tell all the same. What it is
    surest of being unlabelled comes first. The classifier is not asked: the method looks at samples alone.

    Parameters
    ----------
    latent : int >= 1, default=32
        Length of a code.
    beta : float >= 0, default=1.0
        Weight of the codes' divergence from the normal distribution.
    adversary_weight : float >= 0, default=1.0
        Weight of what hides the labelled samples (the paper's gamma).
    n_iter : int >= 1 or None, default=None
        Steps of the discriminator, each after two of the autoencoder. None: as many as pass over the labelled samples
        100 times, ``100 * n_labeled / batch_size``.
    kl_reduction : {"sum", "mean"}, default="sum"
        Whether that divergence is summed over batch and code, as in the authors' code, where it outweighs all else, or
        averaged.
    channels : sequence of int >= 1, default=(128, 256, 512, 1024)
        For images, the width of each convolution; those are left out for which an image is too small. The default
        needs a GPU; ``(16, 32, 64)`` suits a CPU.
    hidden : int >= 1, default=512
        Units of each hidden layer of the discriminator and, for tables, of the autoencoder.
    lr : float > 0, default=5e-4
        Of Adam.
    batch_size : int >= 1, default=128
        Labelled samples, and as many of the pool, in a step.
    n_train : int >= 1 or None, default=None
        How many samples of the pool, drawn at random, the networks are trained on; None: all. All are scored in any
        case.
    random_state : int, RandomState or None, default=None
        Draws the training samples, seeds the networks and breaks ties; an integer gives the same run every time.

    Raises
    ------
    TypeError
        Samples that are no dense numbers of one shape, or integers that the classifier reads as tokens.
    TrainingDivergedError
        A loss that is not finite.

    Notes
    -----
    With the discriminator's probability D(mu(x)) that the sample x is labelled, by its mean code mu, the score is 1 -
    D(mu(x)), in [0, 1]; the largest first. The networks and their losses are those of `skal.nets.AdversarialVAE`; new
    ones are made in each query, on the device of the classifier's network where it is one, else on the CPU. They see
    the samples as the classifier does, behind a pipeline's transformers (`PoolView.X_transformed`), scaled to [-1, 1].
    A learner with ``verbose=True`` shows their progress.

    Time: 6 x `batch_size` samples through the networks for each of `n_iter` steps, and the pool once more. Memory: the
    networks and batches.

    Differences from the paper: the length of the training, where the authors' code passes over the whole data 100
    times; tables, for which the paper has no network; images of any size. The mean code of the discriminator's steps is
    in training mode, that of the scores in eval mode. With the authors' settings the divergence outweighs everything
    else, and after few steps the discriminator may be at chance: more of them, ``kl_reduction="mean"`` or a small
    `adversary_weight` such as 0.02 make it find what is unlike the labelled samples.

    References
    ----------
    S. Sinha, S. Ebrahimi and T. Darrell, "Variational adversarial active learning", ICCV 2019, arXiv 1904.00370.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import VAAL
    >>> X, y = load_digits(return_X_y=True)
    >>> learner = ActiveLearner(LogisticRegression(max_iter=1000), VAAL(hidden=64, random_state=0), X[:50] / 16, y[:50])
    >>> query_idx, X_query, scores = learner.query(X[50:] / 16, n_instances=10, return_metrics=True)
    >>> len(set(query_idx.tolist())), bool((scores[:-1] >= scores[1:]).all())
    (10, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "latent": [Interval(Integral, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "adversary_weight": [Interval(Real, 0, None, closed="left")],
        "n_iter": [Interval(Integral, 1, None, closed="left"), None],
        "kl_reduction": [StrOptions({"sum", "mean"})],
        "channels": ["array-like"],
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_train": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }
    requires = ("labeled",)

    def __init__(
        self,
        *,
        latent: int = 32,
        beta: float = 1.0,
        adversary_weight: float = 1.0,
        n_iter: int | None = None,
        kl_reduction: Literal["sum", "mean"] = "sum",
        channels: Sequence[int] = (128, 256, 512, 1024),
        hidden: int = 512,
        lr: float = 5e-4,
        batch_size: int = 128,
        n_train: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.latent = latent
        self.beta = beta
        self.adversary_weight = adversary_weight
        self.n_iter = n_iter
        self.kl_reduction = kl_reduction
        self.channels = channels
        self.hidden = hidden
        self.lr = lr
        self.batch_size = batch_size
        self.n_train = n_train
        self.random_state = random_state

    @property
    def begins(self) -> bool:
        """Without a label there is nothing to tell apart."""
        return False

    def _score(self, pool: PoolView, rng: np.random.Generator) -> NDArray[np.float64]:
        from ..nets import AdversarialVAE

        refuse_tokens(pool, self.__name__)
        params = self.get_params(deep=False)
        del params["n_train"]
        seed = sklearn_seed(rng)
        net = AdversarialVAE(**{**params, "random_state": seed, "device": helper_device(pool), "verbose": pool.verbose})
        X, n = pool.X_transformed, len(pool)
        some = X
        if self.n_train is not None and self.n_train < n:
            some = take_rows(X, np.sort(rng.choice(n, size=self.n_train, replace=False)))
        return expit(-net.fit_sets(some, pool.labeled.X_transformed).decision_function(X))  # type: ignore[union-attr]


vaal_sampling = make_query_function(VAAL, "vaal_sampling")
