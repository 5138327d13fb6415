"""Learners: who holds the labels."""

from ._active_learner import ActiveLearner

__all__ = ["ActiveLearner"]
