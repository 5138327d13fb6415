"""Models and strategies as a project names them: by name and parameters, or as `module:object`."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["make_model", "make_strategy"]

# Classifiers that can be named, and where they live: none is imported that is not asked for.
_MODELS = {
    "LogisticRegression": "sklearn.linear_model",
    "RandomForestClassifier": "sklearn.ensemble",
    "ExtraTreesClassifier": "sklearn.ensemble",
    "HistGradientBoostingClassifier": "sklearn.ensemble",
    "KNeighborsClassifier": "sklearn.neighbors",
    "GaussianNB": "sklearn.naive_bayes",
    "MLPClassifier": "sklearn.neural_network",
}


def make_model(spec: Mapping[str, Any], folder: Path, seed: int) -> Any:
    """The classifier that `spec` names, seeded where it takes a seed and none is given."""

    def find(name: str) -> Any:
        return getattr(importlib.import_module(_pick(name, _MODELS, "model")), name)

    made = _made(spec, find, "model", folder, seed)
    if not hasattr(made, "fit") or not hasattr(made, "predict"):
        raise ValueError(f"The model {spec['name']!r} must be a classifier with fit and predict.")
    return made


def make_strategy(spec: Mapping[str, Any], folder: Path, seed: int) -> Any:
    """The query strategy that `spec` names; a parameter that is a table with a name is a strategy, too."""
    from .. import strategies

    classes = {name: getattr(strategies, name) for name in strategies.__all__}
    known = {name: found for name, found in classes.items() if isinstance(found, type) and _serves(found)}
    made = _made(spec, lambda name: _pick(name, known, "strategy"), "strategy", folder, seed)
    if not callable(made):
        raise ValueError(f"The strategy {spec['name']!r} must be a query strategy. Got {type(made).__name__}.")
    return made


def _serves(strategy: Any) -> bool:
    return "boxes" not in getattr(strategy, "requires", ())


def _pick(name: str, known: Mapping[str, Any], what: str) -> Any:
    if name not in known:
        of_key = {each.lower(): each for each in known}
        near = difflib.get_close_matches(name.lower(), of_key, n=1, cutoff=0.5)
        hint = f"; did you mean {of_key[near[0]]}?" if near else "."
        raise ValueError(
            f"There is no {what} {name!r}{hint} Choose from {', '.join(sorted(known))}, or name your own as "
            f"module:object."
        )
    return known[name]


def _made(spec: Mapping[str, Any], find: Callable[[str], Any], what: str, folder: Path, seed: int) -> Any:
    name = str(spec["name"])
    found = _imported(name, what, folder) if ":" in name else find(name)
    params = {
        key: _made(value, find, what, folder, seed) if isinstance(value, dict) and "name" in value else value
        for key, value in spec.items()
        if key != "name"
    }
    if not isinstance(found, type) and not params and (hasattr(found, "get_params") or what == "strategy"):
        return found  # an object, or a function that is a strategy
    try:
        if "random_state" not in params and "random_state" in inspect.signature(found).parameters:
            params["random_state"] = seed
        return found(**params)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The {what} {name} cannot be made of what skal.toml says: {error}.") from error


def _imported(name: str, what: str, folder: Path) -> Any:
    """An object of the user's own, from a module that lies in the project's folder or is installed."""
    module, _, path = name.partition(":")
    sys.path.insert(0, str(folder.resolve()))
    try:
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        return found
    except Exception as error:  # whatever a foreign module raises
        raise ValueError(f"The {what} {name!r} cannot be imported: {type(error).__name__}: {error}.") from error
    finally:
        sys.path.remove(str(folder.resolve()))
