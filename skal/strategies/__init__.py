"""Query strategies: what to label next. One method, one file."""

from typing import Any

from ..models import Model, Unwrapped
from ._active_ft import ActiveFT, active_ft_sampling
from ._alfa_mix import ALFAMix, alfa_mix_sampling
from ._badge import BADGE, badge_sampling
from ._bait import BAIT, bait_sampling
from ._bal import BAL, bal_sampling
from ._bald import BALD, bald_sampling
from ._balque import BALQUE, balque_sampling
from ._batch_rank import BatchRank, batch_rank_sampling
from ._bayesian_entropy import BayesianEntropy, bayesian_entropy_sampling
from ._cluster_margin import ClusterMargin, cluster_margin_sampling
from ._core_gcn import CoreGCN, core_gcn_sampling
from ._core_set import CoreSet, core_set_sampling
from ._decern import DECERN, decern_sampling
from ._detection_entropy import DetectionEntropy, detection_entropy_sampling
from ._detection_least_confidence import DetectionLeastConfidence, detection_least_confidence_sampling
from ._detection_margin import DetectionMargin, detection_margin_sampling
from ._detection_stability import DetectionStability, detection_stability_sampling
from ._detection_tightness import DetectionTightness, detection_tightness_sampling
from ._dm2 import DM2, dm2_sampling
from ._drop_query import DropQuery, drop_query_sampling
from ._emoc import EMOC, emoc_sampling
from ._entropy_sampling import EntropySampling, entropy_sampling
from ._epig import EPIG, epig_sampling
from ._expected_error_reduction import expected_error_reduction
from ._fkss import FKSS, fkss_sampling
from ._kmeans_sampling import KMeansSampling, kmeans_sampling
from ._learning_loss import LearningLoss, learning_loss_sampling
from ._least_confidence import LeastConfidence, least_confidence_sampling
from ._margin_sampling import MarginSampling, margin_sampling
from ._max_herding import MaxHerding, max_herding_sampling
from ._noise_stability import NoiseStability, noise_stability_sampling
from ._pal import PAL, pal_sampling
from ._partitioned import Partitioned, partitioned_sampling
from ._parts._sub_pools import cluster_distance_difference, sub_pool_bounds
from ._patra_bruzzone import PatraBruzzone, patra_bruzzone_sampling
from ._prefilter import Prefilter, prefilter_sampling
from ._prob_cover import ProbCover, prob_cover_sampling
from ._pt4al import PT4AL, pt4al_sampling
from ._query_by_committee import QueryByCommittee, query_by_committee_sampling
from ._random_sampling import RandomSampling, random_sampling
from ._smal import SMAL, smal_sampling
from ._stochastic_batch import StochasticBatch, stochastic_batch_sampling
from ._typiclust import TypiClust, typiclust_sampling
from ._uffm import UFFM, remove_similar, uffm_sampling
from ._uncertain_gcn import UncertainGCN, uncertain_gcn_sampling
from ._uncertainty_herding import UncertaintyHerding, uncertainty_herding_sampling
from ._vaal import VAAL, vaal_sampling

__all__ = [
    "BADGE",
    "BAIT",
    "BAL",
    "BALD",
    "BALQUE",
    "DECERN",
    "DM2",
    "EMOC",
    "EPIG",
    "FKSS",
    "PAL",
    "PT4AL",
    "SMAL",
    "UFFM",
    "VAAL",
    "ALFAMix",
    "ActiveFT",
    "BatchRank",
    "BayesianEntropy",
    "ClusterMargin",
    "CoreGCN",
    "CoreSet",
    "DetectionEntropy",
    "DetectionLeastConfidence",
    "DetectionMargin",
    "DetectionStability",
    "DetectionTightness",
    "DropQuery",
    "EntropySampling",
    "KMeansSampling",
    "LearningLoss",
    "LeastConfidence",
    "MarginSampling",
    "MaxHerding",
    "NoiseStability",
    "Partitioned",
    "PatraBruzzone",
    "Prefilter",
    "ProbCover",
    "QueryByCommittee",
    "RandomSampling",
    "StochasticBatch",
    "TypiClust",
    "UncertainGCN",
    "UncertaintyHerding",
    "active_ft_sampling",
    "alfa_mix_sampling",
    "badge_sampling",
    "bait_sampling",
    "bal_sampling",
    "bald_sampling",
    "balque_sampling",
    "batch_rank_sampling",
    "bayesian_entropy_sampling",
    "cluster_distance_difference",
    "cluster_margin_sampling",
    "core_gcn_sampling",
    "core_set_sampling",
    "decern_sampling",
    "detection_entropy_sampling",
    "detection_least_confidence_sampling",
    "detection_margin_sampling",
    "detection_stability_sampling",
    "detection_tightness_sampling",
    "dm2_sampling",
    "drop_query_sampling",
    "emoc_sampling",
    "entropy_sampling",
    "epig_sampling",
    "expected_error_reduction",
    "fkss_sampling",
    "kmeans_sampling",
    "learning_loss_sampling",
    "least_confidence_sampling",
    "margin_sampling",
    "max_herding_sampling",
    "noise_stability_sampling",
    "pal_sampling",
    "partitioned_sampling",
    "patra_bruzzone_sampling",
    "prefilter_sampling",
    "prob_cover_sampling",
    "pt4al_sampling",
    "query_by_committee_sampling",
    "random_sampling",
    "remove_similar",
    "smal_sampling",
    "stochastic_batch_sampling",
    "sub_pool_bounds",
    "typiclust_sampling",
    "uffm_sampling",
    "uncertain_gcn_sampling",
    "uncertainty_herding_sampling",
    "usable_with",
    "vaal_sampling",
]


def usable_with(model: Any) -> list[str]:
    """Names of the strategies that a model can serve, as far as can be told without running it.

    Parameters
    ----------
    model : object
        A classifier, detector, pipeline or search, fitted or not; a learner or committee; or a `skal.models.Model`.

    Returns
    -------
    list of str
        Class names, sorted. What the strategies need of the labelled data counts as given, but for a committee, which
        has none. Strategies with parameters of their own choice (`UFFM` around a detector's strategy, say) count with
        their defaults, and `Prefilter`, `Partitioned` and `StochasticBatch` with none of the strategies that they are
        given.

    Notes
    -----
    Compares `requires` of each class with what the model's family `offers`. Only a run shows that a network's last
    layer gives its logits, or that a linear classifier's probabilities are a softmax: a query says so on its first
    rows.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> from skal.strategies import usable_with
    >>> usable_with(SVC())  # doctest: +NORMALIZE_WHITESPACE
    ['ActiveFT', 'CoreGCN', 'CoreSet', 'KMeansSampling', 'MaxHerding', 'PAL', 'Partitioned', 'Prefilter', 'ProbCover',
     'RandomSampling', 'StochasticBatch', 'TypiClust', 'UncertainGCN', 'VAAL']
    """
    known = model if isinstance(model, Model) else Unwrapped(model).model

    def serves(member: str) -> bool:
        return known.has_labels if member == "labeled" else known.supplies(member)

    classes: list[Any] = [item for name in __all__ if isinstance(item := globals()[name], type)]
    return sorted(
        strategy.__name__
        for strategy in classes
        if all(any(serves(part) for part in member.split("|")) for member in strategy.requires)
    )
