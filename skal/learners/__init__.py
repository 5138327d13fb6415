"""Learners: who holds the labels."""

from ._active_learner import ActiveLearner
from ._arguments import check_cold_start as check_cold_start  # for labeling
from ._bayesian_optimizer import BayesianOptimizer
from ._committee import Committee
from ._committee_regressor import CommitteeRegressor
from ._deep_active_learner import DeepActiveLearner
from ._dm2_at import DM2ATLearner
from ._simulation import Round, simulate
from ._simulation import learner_from as learner_from  # for meta and experiments
from ._transaction import LARGEST_IN_QUERY as LARGEST_IN_QUERY  # for meta
from ._transaction import unchanged_on_error as unchanged_on_error  # for meta

__all__ = [
    "ActiveLearner",
    "BayesianOptimizer",
    "Committee",
    "CommitteeRegressor",
    "DM2ATLearner",
    "DeepActiveLearner",
    "Round",
    "simulate",
]
