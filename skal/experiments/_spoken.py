"""Objects by what is typed on a command line: `DECERN(xi=0.4)`, `module:Class`."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["import_object", "make", "parse_call", "split_words"]


def split_words(words: str | list[str]) -> list[str]:
    """Words separated by commas and spaces, but for those within brackets and quotes."""
    text = words if isinstance(words, str) else " ".join(words)
    found, depth, quote, word = [], 0, "", ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif depth <= 0 and sign in ", \t\n":
            found.append(word)
            word = ""
            continue
        word += sign
    return [word for word in [*found, word] if word]


def import_object(spoken: str, option: str) -> Any:
    """What ``module:object`` names, with modules of the working directory, too.

    Raises
    ------
    ValueError
        If there is no such module or object; the sentence names `option`.
    """
    module, _, path = spoken.partition(":")
    folder = os.getcwd()
    if folder not in sys.path:  # for good: the processes of a comparison import it, too
        sys.path.append(folder)
    try:
        found = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except Exception as error:  # whatever a module of the user's raises
        raise ValueError(
            f"{option} must name what can be imported, as module:object. Got '{spoken}': {_why(error)}."
        ) from error
    return found


def make(kind: Callable[..., Any], spoken: str, option: str, *args: Any, **keywords: Any) -> Any:
    """What a class or function gives; that it cannot be made is a ValueError, which names `option`."""
    try:
        return kind(*args, **keywords)
    except Exception as error:  # whatever a class of the user's raises
        raise ValueError(f"{option} '{spoken}' cannot be made: {_why(error)}.") from error


def _why(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def parse_call(spoken: str, find: Callable[[str], Any], option: str) -> Any:
    """An object from its name, with parameters in brackets: plain values, or such objects in turn.

    Parameters
    ----------
    spoken : str
        ``Name``, ``Name(parameter=value)`` or ``module:Name(parameter=value)``.
    find : callable
        From a name to a class or function, or to None.
    option : str
        The option that it was given with, for messages.

    Raises
    ------
    ValueError
        For what is no such text, an unknown name or parameter, or a value that the object does not take.
    """
    module, found, rest = spoken.partition(":")
    foreign = found and all(part.isidentifier() for part in module.split("."))
    try:
        tree = ast.parse(rest if foreign else spoken, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{option} must be names, with parameters as in DECERN(xi=0.4). Got '{spoken}'.") from error
    return _made(
        tree, (lambda name: import_object(f"{module}:{name}", option)) if foreign else find, find, spoken, option
    )


def _made(tree: ast.expr, find: Callable[[str], Any], inner: Callable[[str], Any], spoken: str, option: str) -> Any:
    call = tree if isinstance(tree, ast.Call) else None
    name = ast.unparse(call.func if call else tree)
    kind = find(name)
    if kind is None:
        raise ValueError(f"{option} must be names, with parameters as in DECERN(xi=0.4). Got '{spoken}'.")
    if call is None and not inspect.isclass(kind):
        return kind
    args = [_value(arg, inner, spoken, option) for arg in (call.args if call else [])]
    keywords = {str(each.arg): _value(each.value, inner, spoken, option) for each in (call.keywords if call else [])}
    known = _parameters(kind)
    for key in keywords:
        if known is not None and key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(known) or 'none'}."
            raise ValueError(f"{name} has no parameter '{key}'{hint}")
    return make(kind, spoken, option, *args, **keywords)


def _parameters(kind: Any) -> list[str] | None:
    """Names of what it takes; None where it says nothing, or takes any."""
    try:
        found = inspect.signature(kind).parameters
    except (TypeError, ValueError):
        return None
    return None if any(each.kind is each.VAR_KEYWORD for each in found.values()) else list(found)


def _value(tree: ast.expr, find: Callable[[str], Any], spoken: str, option: str) -> Any:
    try:
        return ast.literal_eval(tree)
    except (ValueError, TypeError):  # no literal, or none that can be hashed
        return _made(tree, find, find, spoken, option)
