"""The one file that touches private names of other packages, and settles what differs between their versions."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from modAL.models import ActiveLearner as ModALActiveLearner
from modAL.models.base import BaseCommittee, BaseLearner
from modAL.utils.selection import multi_argmax
from numpy.random import mtrand
from sklearn.ensemble._base import _BaseHeterogeneousEnsemble as BaseHeterogeneousEnsemble
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    Options,
    RealNotInt,
    StrOptions,
)
from sklearn.utils._param_validation import validate_parameter_constraints as _validate
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.modules.dropout import _DropoutNd as Dropout

try:
    from modAL.models import DeepActiveLearner as ModALDeepActiveLearner
except ImportError:  # of modAL 0.4.1
    ModALDeepActiveLearner = BaseLearner

from ._validation import shown

__all__ = [
    "GLOBAL_GENERATORS",
    "STRATEGIES_RETURN_PAIRS",
    "BaseCommittee",
    "BaseHeterogeneousEnsemble",
    "BaseLearner",
    "BaseSearchCV",
    "BatchNorm",
    "Dropout",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "LinearClassifierMixin",
    "ModALActiveLearner",
    "ModALDeepActiveLearner",
    "Options",
    "RealNotInt",
    "StrOptions",
    "keywords_of",
    "net_parts",
    "param_names",
    "parameter_constraints",
    "plain_module",
    "predict_nonlinearity",
    "set_training",
    "tensor_version",
    "trained_parts",
    "validate_parameter_constraints",
]

# Of the whole process, which are never touched: NumPy's and Python's.
GLOBAL_GENERATORS: tuple[Any, ...] = (mtrand._rand, random._inst)  # type: ignore[attr-defined]

# modAL 0.4.2 turned the contract around: a strategy returns (indices, metrics) instead of indices.
# Asked of the installed package by what it does, not by its version number.
STRATEGIES_RETURN_PAIRS: bool = isinstance(multi_argmax(np.zeros(1)), tuple)


def param_names(owner: Any) -> list[str]:
    """Names of the parameters of a scikit-learn estimator, or of its class, sorted."""
    return owner._get_param_names()


def parameter_constraints(owner: Any) -> dict[str, list[Any]]:
    """What a scikit-learn estimator, or its class, says of the values of its parameters."""
    return owner._parameter_constraints


def validate_parameter_constraints(
    constraints: Mapping[str, list[Any]], params: dict[str, Any], caller_name: str
) -> None:
    """scikit-learn's check of parameters, which shows a wrong value on one short line."""
    for name, value in params.items():
        try:
            _validate(dict(constraints), {name: value}, caller_name=caller_name)
        except InvalidParameterError as error:
            must = str(error).partition(" Got ")[0]
            raise InvalidParameterError(f"{must} Got {shown(value)} instead.") from None


# -- skorch and torch ------------------------------------------------------------------------------------------


def plain_module(net: Any) -> nn.Module:
    """The module that the user wrote, which torch.compile wraps."""
    return getattr(net.module_, "_orig_mod", net.module_)


def net_parts(net: Any) -> list[Any]:
    """All modules and criteria of a skorch net."""
    names = [*getattr(net, "_modules", []), *getattr(net, "_criteria", [])] or ["module", "criterion"]
    return [getattr(net, f"{name}_", None) for name in names]


def keywords_of(net: Any) -> tuple[list[str], set[str]]:
    """Keywords of a skorch net that it does not know, sorted, and those that it does."""
    named = {
        name for kind in type(net).__mro__ for name in inspect.signature(vars(kind).get("__init__", object)).parameters
    }
    known = named | set(net.prefixes_)
    keywords = {key for key in net._params_to_validate if not key.endswith("_")} - known
    return sorted(key for key in keywords if not key.startswith(tuple(f"{part}__" for part in net.prefixes_))), known


def set_training(net: Any, training: bool) -> None:
    """Put all modules and criteria of a skorch net into train or eval mode."""
    net._set_training(training)


def tensor_version(tensor: Tensor) -> int:
    """How often torch has written to a tensor in place, but for writes to its `.data`."""
    return tensor._version


def trained_parts(net: Any) -> set[str]:
    """Names of all that training changes in a skorch net."""
    return {*net._modules, *net._criteria, *net._optimizers, "history"}


def predict_nonlinearity(net: Any) -> Callable[[Any], Any]:
    """What a skorch net makes probabilities of its module's output with."""
    return net._get_predict_nonlinearity()
