"""The strategies of the command line: by name, with parameters, or of one's own."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from .. import strategies as catalogue
from ..base import QueryStrategy
from ._plan import named_strategies
from ._spoken import parse_call

__all__ = ["default_strategies", "make_strategies", "spoken_name", "strategy_classes"]

BASELINES = ("RandomSampling", "EntropySampling")
METHODS = ("DECERN", "BAL", "UFFM", "DM2")


def strategy_classes() -> dict[str, type[QueryStrategy]]:
    """The strategies that can be named, by class name: those for classifiers that need no parameters."""
    return {name: cls for name, cls in _classes().items() if "boxes" not in cls.requires and not _needs_parameters(cls)}


def default_strategies() -> list[str]:
    """Names of those that are compared where nobody names any."""
    available = strategy_classes()
    return [name for name in (*BASELINES, *METHODS) if name in available]


def make_strategies(words: list[str]) -> dict[str, Any]:
    """Strategies by what was typed for them; random sampling comes first.

    Raises
    ------
    ValueError
        For an unknown name, or parameters that a strategy does not take.
    """
    by_key = {_key(name): name for name in strategy_classes()}
    plain = [word for word in words if word.isidentifier()]
    unknown = [word for word in plain if _key(word) not in by_key]
    if not words or unknown:
        raise ValueError(_no_strategy(unknown, by_key))
    # A dict drops what was typed twice and keeps the order.
    chosen = dict.fromkeys(["RandomSampling", *map(spoken_name, words)])
    made = {name: parse_call(name, _find, "--strategies") for name in chosen}
    try:
        return named_strategies(made)[0]
    except TypeError as error:
        raise ValueError(str(error)) from error


def spoken_name(word: str) -> str:
    """The name under which a strategy runs: of its class, or what was typed."""
    return {_key(name): name for name in strategy_classes()}.get(_key(word), word)


def _find(name: str) -> Any:
    return {_key(known): cls for known, cls in _classes().items()}.get(_key(name))


def _classes() -> dict[str, type[QueryStrategy]]:
    found = {name: getattr(catalogue, name) for name in catalogue.__all__}
    return {name: obj for name, obj in found.items() if isinstance(obj, type) and issubclass(obj, QueryStrategy)}


def _needs_parameters(cls: type[QueryStrategy]) -> bool:
    return any(param.default is param.empty for param in inspect.signature(cls).parameters.values())


def _no_strategy(unknown: list[str], by_key: dict[str, str]) -> str:
    choice = f"Choose from {', '.join(by_key.values())}."
    if not unknown:
        return f"--strategies must name at least one strategy. {choice}"
    others = {_key(name): name for name in catalogue.__all__ if isinstance(getattr(catalogue, name), type)}
    if _key(unknown[0]) in others:
        name = others[_key(unknown[0])]
        return f"strategy {name} cannot run in this command; use skal.experiments.compare in Python for it. {choice}"
    near = [difflib.get_close_matches(_key(name), by_key, n=1, cutoff=0.5) for name in unknown]
    hints = [f"{name} (did you mean {by_key[found[0]]}?)" if found else name for name, found in zip(unknown, near)]
    return f"unknown strategy {', '.join(hints)}. {choice}"


def _key(name: str) -> str:
    """What a class and its function twin share: EntropySampling and entropy_sampling are both `entropy`."""
    return name.lower().replace("_", "").removesuffix("sampling")
