"""Values of parameters: in range, as their constraints say, and odd ones."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from skal import strategies
from skal.utils._compat import HasMethods, Interval, StrOptions, param_names

ALL = {name: cls for name in strategies.__all__ if isinstance(cls := getattr(strategies, name), type)}
DETECTION = sorted(name for name, cls in ALL.items() if "boxes" in cls.requires)
# Those that look at the class distributions of boxes alone, and not at where these lie.
OF_DISTRIBUTIONS = [name for name in DETECTION if ALL[name].requires == ("boxes",)]
CLASSES = sorted({*ALL} - {*DETECTION})
TWINS = {
    twin.strategy_class.__name__: twin
    for name in strategies.__all__
    if hasattr(twin := getattr(strategies, name), "strategy_class")
}
# What is needed, or would be slow by default.
LIGHT = {
    "ALFAMix": {"n_steps": 2},
    "ActiveFT": {"max_iter": 3},
    "BAL": {"n_rounds": 4, "n_clusters": 2},
    "BALD": {"n_samples": 3},
    "BALQUE": {"n_snapshots": 2},
    "BayesianEntropy": {"n_samples": 3},
    "CoreGCN": {"max_epochs": 2, "hidden": 4},
    "EPIG": {"n_passes": 2},
    "LearningLoss": {"max_epochs": 2},
    "NoiseStability": {"n_samples": 3},
    "PAL": {"max_epochs": 2, "fine_tune_epochs": 1, "n_subqueries": 2},
    "PT4AL": {"n_rounds": 4, "pretext": PCA(1)},
    "Partitioned": {"strategy": strategies.MarginSampling(), "n_parts": 3},
    "Prefilter": {"strategy": strategies.MarginSampling(), "n_candidates": 5},
    "QueryByCommittee": {"n_members": 2},
    "StochasticBatch": {"strategy": strategies.MarginSampling()},
    "UncertainGCN": {"max_epochs": 2, "hidden": 4},
    "VAAL": {"n_iter": 1, "hidden": 4, "channels": (2,)},
}
# Parameters whose larger values cost time alone: what is in range, and would run for ever.
COSTLY = {"n_steps", "max_iter", "n_samples", "n_members", "n_snapshots", "n_init", "max_epochs", "n_passes"}
COSTLY |= {"fine_tune_epochs", "n_iter", "hidden", "latent"}


class Unprintable:
    """Its words are long and of many lines."""

    def __repr__(self):
        return "<an object\nwith a long\nstory>" * 50


ODD_VALUES = {
    "None": None,
    "True": True,
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "half": 0.5,
    "two": 2.0,
    "NaN": np.nan,
    "infinity": np.inf,
    "-infinity": -np.inf,
    "1e308": 1e308,
    "1e-308": 1e-308,
    "int of 30 digits": 10**30,
    "complex": 1j,
    "word": "auto",
    "empty word": "",
    "lines": "a\nb" * 300,
    "list": [1],
    "tuple": (1, 2, 3),
    "empty list": [],
    "dict": {"a": 1},
    "set": {1},
    "array": np.arange(400.0).reshape(20, 20),
    "0-D array": np.array(1),
    "np.float32": np.float32(0.5),
    "np.int64": np.int64(1),
    "np.bool_": np.bool_(True),
    "Decimal": __import__("decimal").Decimal("0.5"),
    "frame": pd.DataFrame({"a": range(50), "b": "text"}),
    "tensor": torch.arange(200).reshape(20, 10),
    "RandomState": np.random.RandomState(0),
    "Generator": np.random.default_rng(0),
    "class": PCA,
    "transformer": PCA(1),
    "function": len,
    "strategy": strategies.MarginSampling(),
    "strategy class": strategies.MarginSampling,
    "object": object(),
    "unprintable": Unprintable(),
}
odd_values = st.sampled_from(sorted(ODD_VALUES))


def is_endless(param, value):
    """Whether a value is in range, and would take for ever."""
    return param in COSTLY and value == "int of 30 digits"


def in_range(constraint, name):
    """Values that one constraint of scikit-learn's allows, as a generator; None where it cannot be told."""
    if isinstance(constraint, StrOptions):
        return st.sampled_from(sorted(constraint.options))
    if isinstance(constraint, Interval):
        low = 0 if constraint.left is None else constraint.left
        high = low + (4 if name in COSTLY else 30) if constraint.right is None else constraint.right
        if constraint.type is Integral:
            return st.integers(int(low) + (constraint.closed in ("right", "neither")), int(high))
        # As many caps are tried as it is small.
        low = 1e-3 if name == "cap_step" else low
        inner = st.floats(low, high, exclude_min=True, exclude_max=True)
        edges = [low] * (constraint.closed in ("left", "both")) + [high] * (constraint.closed in ("right", "both"))
        return inner | st.sampled_from(edges) if edges else inner
    if constraint is None:
        return st.none()
    if constraint == "boolean":
        return st.booleans()
    if constraint == "random_state":
        return st.integers(0, 99)
    if isinstance(constraint, HasMethods) and name in ("descriptor", "pretext"):
        return st.just(PCA(1, random_state=0))
    if isinstance(constraint, HasMethods):
        return st.just(strategies.MarginSampling())
    return None


def valid_params(draw, name):
    """Some parameters of the strategy class `name`, in range."""
    params = dict(LIGHT.get(name, {}))
    constraints = ALL[name]._parameter_constraints
    for param in draw(st.lists(st.sampled_from(param_names(ALL[name])), max_size=3, unique=True)):
        options = [found for c in constraints[param] if (found := in_range(c, param)) is not None]
        params[param] = draw(st.one_of(options))
    return params
