"""Answers in CVAT's own XML ("CVAT for images"): tags of whole images, and boxes."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from ._cells import Read
from ._found import Answer, Box, Found, some, value_of_boxes

__all__ = ["from_cvat"]


def from_cvat(text: str, name: str, classify: bool, read: Read) -> Found:
    """The tag, or the boxes, of each image; its name is its id. It does not tell who has answered."""
    root = _root_of(text, name)
    if root.tag != "annotations":
        raise ValueError(f"'{name}' is no export of CVAT, whose XML begins with annotations. Got {root.tag}.")
    if root.find("track") is not None:
        raise ValueError(f"'{name}' is of the format CVAT for video. Export it as CVAT for images.")
    found = Found()
    images = root.findall("image")
    for image in images:
        one = image.get("name")
        if not one:
            raise ValueError(f"Image {image.get('id')!r} of '{name}' has no name.")
        found.files.add(one)
        value = _value_of(image, one, name, classify, read)
        if value is None:
            found.without.append(one)
        else:
            found.answers.append(Answer(one, value))
    if found.without:
        found.notes.append(
            f"{len(found.without)} of {len(images)} images of '{name}' have neither tag nor box and are left out: "
            f"{some(found.without)}. CVAT does not tell whether somebody looked; label those without objects by hand."
        )
    return found


def _root_of(text: str, name: str) -> ElementTree.Element:
    # Entities, which can grow without end or name other files, are declared there and nowhere else.
    if "<!DOCTYPE" in text:
        raise ValueError(f"'{name}' must be XML without a DOCTYPE, which CVAT does not write. It is not read.")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeEncodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeEncodeError) else str(error)
        raise ValueError(f"'{name}' cannot be read as cvat: {why}.") from None


def _value_of(image: ElementTree.Element, one: str, name: str, classify: bool, read: Read) -> Any:
    if classify:  # whatever the shape
        return value_of_boxes([Box([], read(part.attrib["label"])) for part in image], one, name, classify)
    kinds = dict.fromkeys(part.tag for part in image)
    other = [kind for kind in kinds if kind not in ("tag", "box")]
    if other:
        raise ValueError(
            f"The answer to {one!r} in '{name}' must be a tag or boxes. Got {other[0]}; CVAT's export as COCO has a "
            f"box around each."
        )
    if len(kinds) > 1:
        raise ValueError(f"The answer to {one!r} in '{name}' must be a tag or boxes. Got both.")
    if "tag" in kinds:
        tags = list(dict.fromkeys(part.attrib["label"] for part in image))
        if len(tags) > 1:
            raise ValueError(f"The answer to {one!r} in '{name}' must be one tag. Got {', '.join(map(repr, tags))}.")
        return read(tags[0])
    boxes = [
        Box(
            [_number(part, edge, one, name) for edge in ("xtl", "ytl", "xbr", "ybr")],
            read(part.attrib["label"]),
            "rotation" in part.attrib and _number(part, "rotation", one, name) != 0,
        )
        for part in image
    ]
    return value_of_boxes(boxes, one, name, classify) if boxes else None


def _number(part: ElementTree.Element, key: str, one: str, name: str) -> float:
    try:
        return float(part.attrib[key])
    except ValueError:
        raise ValueError(
            f"A box of {one!r} in '{name}' must have a number for {key}. Got {part.attrib[key]!r}."
        ) from None
