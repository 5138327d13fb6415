"""The one file that touches private scikit-learn names and settles what differs between modAL's versions."""

import numpy as np
from modAL.models import ActiveLearner as ModALActiveLearner
from modAL.models.base import BaseCommittee, BaseLearner
from modAL.utils.selection import multi_argmax
from sklearn.ensemble._base import _BaseHeterogeneousEnsemble as BaseHeterogeneousEnsemble
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
)
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

__all__ = [
    "STRATEGIES_RETURN_PAIRS",
    "BaseCommittee",
    "BaseHeterogeneousEnsemble",
    "BaseLearner",
    "BatchNorm",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "ModALActiveLearner",
    "RealNotInt",
    "StrOptions",
    "validate_parameter_constraints",
]

# modAL 0.4.2 turned the contract around: a strategy returns (indices, metrics) instead of indices.
# Asked of the installed package by what it does, not by its version number.
STRATEGIES_RETURN_PAIRS: bool = isinstance(multi_argmax(np.zeros(1)), tuple)
