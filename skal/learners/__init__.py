"""Learners: who holds the labels."""

from ._active_learner import ActiveLearner
from ._dm2_at import DM2ATLearner
from ._simulation import Round, learner_from, simulate

__all__ = ["ActiveLearner", "DM2ATLearner", "Round", "learner_from", "simulate"]
