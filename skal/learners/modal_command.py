"""The command `skal modal`: what of modAL a script imports, what of that breaks here, and what to write instead."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import check_X_y

from ..utils._compat import STRATEGIES_RETURN_PAIRS

__all__ = ["add_arguments", "run"]

CLASSES = ("ActiveLearner", "BayesianOptimizer", "Committee", "CommitteeRegressor", "DeepActiveLearner")
# Where modAL keeps its classes, and where they are imported from.
_HOMES = ("modAL", "modAL.models", "modAL.models.learners")
# What each name is replaced by; all others of modAL stay.
INSTEAD = {f"{home}.{name}": f"skal.learners.{name}" for home in _HOMES for name in CLASSES} | {
    "modAL.expected_error.expected_error_reduction": "skal.strategies.expected_error_reduction",
    "modAL.dropout.mc_dropout_bald": "skal.strategies.bald_sampling",
}


class Found(NamedTuple):
    """One use of modAL in a script."""

    line: int
    code: str
    names: list[str]
    remarks: list[str]
    instead: list[str]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    command.description = (
        "List each import of modAL in a script, what of it breaks with the packages installed here, and the line to "
        "write instead. Nothing is changed, and the script is not run."
    )
    command.add_argument("file", metavar="FILE", nargs="+", help="a Python script")


def run(args: argparse.Namespace) -> int:
    """Print what is found in each file; 2 where one cannot be read."""
    packages = ("modAL-python", "scikit-learn", "numpy", "pandas")
    lines = ["Installed: " + ", ".join(f"{name} {version(name)}" for name in packages)]
    for name in args.file:
        try:
            found = uses_of_modal(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError, SyntaxError) as error:
            what = f"line {error.lineno} is no Python" if isinstance(error, SyntaxError) else str(error)
            sys.stderr.write(f"skal modal: {name} cannot be read: {what}\n")
            return 2
        for use in found:
            lines += ["", f"{name}:{use.line}: {use.code}", *(f"    {remark}" for remark in use.remarks)]
            lines += [f"    write: {line}" for line in use.instead] or ["    keep it"]
        n = sum(bool(use.instead) for use in found)
        lines += ["", f"{name}: {len(found)} uses of modAL, {n} to change." if found else f"{name}: no modAL in it."]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def uses_of_modal(source: str) -> list[Found]:
    """Imports of modAL in a script, and names that it reaches through an imported module, in the order of lines.

    Raises `SyntaxError` where the script is no Python of today.
    """
    tree = ast.parse(source)
    modules: dict[str, str] = {}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_modal(alias.name):
                    modules[alias.asname or "modAL"] = alias.name if alias.asname else "modAL"
                    found.append(_found(node, [alias.name], []))
        elif isinstance(node, ast.ImportFrom) and not node.level and _is_modal(node.module or ""):
            names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name: path for name, path in names.items() if _is_module(path)}
            found.append(_found(node, [*names.values()], _rewritten(node)))
    outermost = _outermost_attributes(tree)
    for node, (first, *rest) in outermost:
        if first in modules:
            path = ".".join([modules[first], *rest])
            known = next((name for name in INSTEAD if path == name or path.startswith(name + ".")), None)
            if known is not None:
                new = INSTEAD[known] + path.removeprefix(known)
                package = INSTEAD[known].rpartition(".")[0]
                found.append(_found(node, [known], [f"import {package}", new]))
    return sorted(found, key=lambda use: use.line)


def _is_modal(module: str) -> bool:
    return module.partition(".")[0] == "modAL"


def _is_module(path: str) -> bool:
    return path.count(".") == 1 and path.rpartition(".")[2].islower()


def _found(node: ast.stmt | ast.expr, names: list[str], instead: list[str]) -> Found:
    remarks = list(dict.fromkeys(remark for name in names for remark in _remarks(name)))
    return Found(node.lineno, ast.unparse(node), names, remarks, instead)


def _outermost_attributes(tree: ast.AST) -> Iterator[tuple[ast.expr, list[str]]]:
    """Each dotted name as a whole, and its parts."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            parts, value = [node.attr], node.value
            while isinstance(value, ast.Attribute):
                parts.insert(0, value.attr)
                value = value.value
            if isinstance(value, ast.Name):
                yield node, [value.id, *parts]


def _rewritten(node: ast.ImportFrom) -> list[str]:
    """The import with the names that skal has taken from there; nothing where it has none of them."""
    lines: dict[str, list[str]] = {}
    for alias in node.names:
        path = f"{node.module}.{alias.name}"
        if alias.name == "*" and node.module in _HOMES:
            # A star brings all of them.
            lines["skal.learners"] = [*CLASSES]
            continue
        package, _, name = INSTEAD.get(path, path).rpartition(".")
        asname = alias.asname or (alias.name if name != alias.name else None)
        lines.setdefault(package, []).append(f"{name} as {asname}" if asname else name)
    if all(_is_modal(package) for package in lines):
        return []
    return [f"from {package} import {', '.join(names)}" for package, names in lines.items()]


def _remarks(path: str) -> list[str]:
    """What breaks of a name of modAL with the packages that are installed; asked of them, not of their versions."""
    home, _, name = path.rpartition(".")
    remarks = _of_the_module(home if home not in ("", "modAL") or name in CLASSES or name == "*" else path)
    classes = CLASSES if name == "*" and home in _HOMES else (name,) if home in _HOMES else ()
    if {*classes} & {*CLASSES}:
        remarks += _of_the_classes(classes)
    if home == "modAL.batch":
        remarks.append("ranked batch sampling on a DataFrame raises AttributeError; it works in skal's learners")
    return remarks


def _of_the_module(module: str) -> list[str]:
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever the import of an old module raises
        return [f"{module} does not import here: {type(error).__name__}: {str(error).splitlines()[0]}"]
    return []


def _of_the_classes(classes: tuple[str, ...]) -> list[str]:
    remarks = []
    if "DeepActiveLearner" in classes and not hasattr(importlib.import_module("modAL.models"), "DeepActiveLearner"):
        remarks.append("the installed modAL has no DeepActiveLearner")
    if {*classes} - {"DeepActiveLearner"}:
        if "force_all_finite" not in inspect.signature(check_X_y).parameters:
            remarks.append("fit and teach raise TypeError: scikit-learn has no force_all_finite any more")
        if not hasattr(pd.DataFrame, "append"):
            remarks.append("teach on DataFrames raises AttributeError: pandas has no DataFrame.append any more")
    if {*classes} & {"ActiveLearner", "BayesianOptimizer"}:
        remarks.append("repr, clone, get_params and GridSearchCV raise AttributeError: bootstrap_init is not stored")
    if "Committee" in classes:
        remarks.append("text labels stop vote and vote entropy: votes are numbers")
    if STRATEGIES_RETURN_PAIRS:
        remarks.append("a strategy that returns a plain array, or raises, is run a second time")
    if not hasattr(np, "bool"):
        remarks.append("modAL 0.4.1's ranked batch sampling raises AttributeError: NumPy has no bool")
    return remarks
