"""Ids and labels as they are written down."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..utils._validation import shown

__all__ = ["Id", "as_id", "as_ids", "as_value", "as_values", "pairs_of", "same_value"]

Id = str | int


def as_ids(ids: Any) -> list[Id]:
    """`ids` as they are kept: one or several different texts or integers."""
    one = isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable) or getattr(ids, "shape", None) == ()
    found = [as_id(each) for each in ([ids] if one else ids)]
    seen: set[Id] = set()
    for each in found:
        if each in seen:
            raise ValueError(f"ids must be different. Got {each!r} twice.")
        seen.add(each)
    return found


def as_id(one: Any) -> Id:
    """One id: text or an integer, NumPy's as Python's."""
    plain = _plain(one)
    if isinstance(plain, bool) or not isinstance(plain, (str, int)):
        raise TypeError(f"An id must be a str or an int. Got {shown(one)} instead.")
    return _exact(plain)


def as_values(values: Any) -> list[Any]:
    """One or several labels, in whatever container, as they are kept."""
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__") or getattr(values, "shape", 0) == ():
        return [as_value(values)]
    if isinstance(values, (set, frozenset)):
        raise TypeError("Labels must have an order. Got a set.")
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if getattr(values, "ndim", 1) == 2:
        if values.shape[1] != 1:
            raise ValueError(f"There must be one label for each id. Got {values.shape[1]} columns of them.")
        values = values[:, 0]
    return [as_value(value) for value in values]


def as_value(value: Any) -> Any:
    """One label as JSON has it: NumPy's scalars as Python's, boxes and their labels as lists."""
    if isinstance(value, Mapping):
        if not {"boxes", "labels"} <= value.keys():
            raise ValueError(f"A label that is a dict must have 'boxes' and 'labels'. Got {shown(value)} instead.")
        target = {str(key): _as_json(part) for key, part in value.items()}
        _check_boxes(target["boxes"], target["labels"])
        return target
    plain = _plain(value)
    if isinstance(plain, float) and not math.isfinite(plain):
        raise ValueError(f"A label must not be missing or infinite. Got {value!r}.")
    if plain is None or isinstance(plain, (str, bool, int, float)):
        return _exact(plain)
    raise TypeError(
        f"A label must be a text, a number, a bool or a dict of boxes and labels. Got {shown(value)} instead."
    )


def _check_boxes(boxes: Any, labels: Any) -> None:
    if not isinstance(boxes, list) or not isinstance(labels, list) or len(boxes) != len(labels):
        raise ValueError("A dict of 'boxes' and 'labels' must hold as many labels as boxes, in two lists.")
    for box in boxes:
        is_box = isinstance(box, list) and len(box) == 4 and all(isinstance(edge, (int, float)) for edge in box)
        if not is_box or box[0] >= box[2] or box[1] >= box[3]:
            raise ValueError(
                f"A box must be (x1, y1, x2, y2) in pixels, x1 < x2 and y1 < y2. Got {shown(box)} instead."
            )


def _exact(plain: Any) -> Any:
    """A member of an enumeration, and whatever else is more than text or number, as JSON gives it back."""
    return plain if type(plain) in (str, int, bool, float, type(None)) else json.loads(json.dumps(plain))


def _as_json(part: Any) -> Any:
    plain = _plain(part)
    return [_as_json(each) for each in plain] if isinstance(plain, (list, tuple)) else as_value(plain)


def pairs_of(ids: Any, values: Any, verb: str) -> list[tuple[Id, Any]]:
    """Ids with their labels, which are as many."""
    if isinstance(ids, (set, frozenset)) and len(ids) > 1:
        raise TypeError(f"The ids of {verb} must have an order, as the labels have. Got a set.")
    found, given = as_ids(ids), as_values(values)
    if len(given) != len(found):
        raise ValueError(f"{verb} needs one label for each of {len(found)} ids. Got {len(given)} instead.")
    return list(zip(found, given, strict=True))


def same_value(first: Any, second: Any) -> bool:
    """Whether two labels are the same, of the same kind: 1, 1.0, True and "1" are four."""
    return json.dumps(first) == json.dumps(second)


def _plain(value: Any) -> Any:
    """NumPy's and torch's scalars and arrays as Python's."""
    return value.tolist() if hasattr(value, "tolist") else value
