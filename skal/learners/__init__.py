"""Learners: who holds the labels."""

from ._active_learner import ActiveLearner
from ._dm2_at import DM2ATLearner
from ._simulation import Round, simulate
from ._simulation import learner_from as learner_from  # for meta and experiments

__all__ = ["ActiveLearner", "DM2ATLearner", "Round", "simulate"]
