"""Answers in an export of Label Studio: choices, and boxes for detection."""

from __future__ import annotations

import json
from typing import Any

from ._answers import Id
from ._cells import Read
from ._found import SKIPPED, Answer, Box, Found, one_of, value_of_boxes

__all__ = ["from_label_studio"]


def from_label_studio(content: Any, name: str, classify: bool, read: Read) -> Found:
    """The annotations of all people; what they were asked to begin with (predictions) does not count."""
    if not isinstance(content, list) or not all(isinstance(task, dict) for task in content):
        raise ValueError(f"'{name}' is no export of Label Studio, which is a list of tasks.")
    has_boxes = '"rectanglelabels"' in json.dumps([_annotations_of(task) for task in content])
    found = Found()
    for number, task in enumerate(content, start=1):
        data = task.get("data", task)
        if not isinstance(data, dict) or "skal_id" not in data:
            raise ValueError(f"Task {task.get('id', number)!r} of '{name}' has no skal_id in its data.")
        one = data["skal_id"]
        if "data" not in task:
            value = _of_short_task(task, one, name, classify, read)
            found.answers.append(Answer(one, value, _names_of(task.get("annotator")), _time_of(task)))
        for annotation in _annotations_of(task):
            about = _names_of(annotation.get("completed_by")), _time_of(annotation)
            if annotation.get("was_cancelled"):
                found.answers.append(Answer(one, SKIPPED, *about))
                continue
            result = annotation.get("result") or []
            chosen = _chosen_for_all(result) if classify else []
            if has_boxes and not chosen:
                value = _boxes_of(result, one, name, classify, read)
            else:
                value = _choice_of(chosen or result, one, name, read)
            if value is not None:
                found.answers.append(Answer(one, value, *about))
    return found


def _annotations_of(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Before version 1.0 they had another name."""
    return task.get("annotations") or task.get("completions") or []


def _names_of(who: Any) -> tuple[str, ...]:
    """All that a person can be called by: number, address, name; the first tells one from another."""
    if isinstance(who, dict):
        full = " ".join(filter(None, (who.get("first_name"), who.get("last_name"))))
        return tuple(str(each) for each in (who.get("id"), who.get("email"), who.get("username"), full) if each)
    return () if who is None or who == "" else (str(who),)


def _time_of(annotation: dict[str, Any]) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _of_short_task(task: dict[str, Any], one: Id, name: str, classify: bool, read: Read) -> Any:
    """The answer in a task of JSON-MIN, where it stands under the name of the control."""
    chosen = next((task[control] for control in ("label", "choice") if control in task), None)
    if not chosen:
        raise ValueError(f"The answer to {one!r} in '{name}' must stand under label or choice. Export as JSON instead.")
    chosen = chosen.get("choices", chosen) if isinstance(chosen, dict) else chosen
    chosen = chosen if isinstance(chosen, list) else [chosen]
    if any(isinstance(each, dict) for each in chosen):
        parts = [{**each, "type": "rectanglelabels", "value": each} for each in chosen]
        return _boxes_of(parts, one, name, classify, read)
    return one_of(chosen, one, name, read)


def _chosen_for_all(result: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The choices for the whole sample; one for a box has the box's id."""
    boxes = {part.get("id") for part in result if part.get("type") == "rectanglelabels"}
    return [part for part in result if part.get("type") == "choices" and part.get("id") not in boxes]


def _choice_of(result: list[dict[str, Any]], one: Id, name: str, read: Read) -> Any:
    chosen = [choice for part in result if part.get("type") == "choices" for choice in part["value"]["choices"]]
    if not chosen and result:
        kinds = ", ".join(sorted({str(part.get("type")) for part in result}))
        raise ValueError(f"The answer to {one!r} in '{name}' holds neither choices nor boxes, but {kinds}.")
    return one_of(chosen, one, name, read) if chosen else None


def _boxes_of(result: list[dict[str, Any]], one: Id, name: str, classify: bool, read: Read) -> Any:
    """Boxes in percent of the image as boxes in pixels."""
    boxes = []
    for part in result:
        kind = str(part.get("type"))
        if kind != "rectanglelabels":
            if kind.endswith("labels"):
                raise ValueError(f"The answer to {one!r} in '{name}' must hold boxes alone. Got {kind} beside them.")
            continue  # what is said of a box, such as a choice or a text
        value, width, height = part["value"], part.get("original_width"), part.get("original_height")
        if not width or not height:
            raise ValueError(f"A box of {one!r} in '{name}' lacks original_width and original_height of its image.")
        x, y = value["x"] * width / 100, value["y"] * height / 100
        edges = [x, y, x + value["width"] * width / 100, y + value["height"] * height / 100]
        boxes.append(Box(edges, one_of(value["rectanglelabels"], one, name, read), bool(value.get("rotation"))))
    return value_of_boxes(boxes, one, name, classify)
