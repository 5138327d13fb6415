"""Answers in COCO: boxes, or the one category of all boxes of an image."""

from __future__ import annotations

from typing import Any

from ._cells import Read
from ._found import Answer, Box, Found, some, value_of_boxes

__all__ = ["from_coco"]


def from_coco(content: Any, name: str, classify: bool, read: Read) -> Found:
    """The boxes of each image that has any; it does not tell who has drawn them."""
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise ValueError(f"'{name}' is no COCO, which has images, annotations and categories.")
    names = {category["id"]: category["name"] for category in content.get("categories", ())}
    of_image: dict[Any, list[dict[str, Any]]] = {}
    n_crowds = 0
    for annotation in content.get("annotations", ()):
        # A mask of a group is no box, and yet tells what the image shows.
        if annotation.get("iscrowd") and not classify:
            n_crowds += 1
        else:
            of_image.setdefault(annotation["image_id"], []).append(annotation)
    found = Found()
    for image in content["images"]:
        one = image.get("skal_id", image.get("file_name"))
        if one is None:
            raise ValueError(f"Image {image.get('id')!r} of '{name}' has neither skal_id nor file_name.")
        if "skal_id" not in image:
            found.files.add(one)
        boxes = []
        for annotation in of_image.get(image["id"], ()):
            if annotation.get("category_id") not in names:
                unknown = annotation.get("category_id")
                raise ValueError(f"A box of {one!r} in '{name}' is of the category {unknown!r}, which is not listed.")
            x, y, width, height = annotation["bbox"]
            label = read(str(names[annotation["category_id"]]))
            is_rotated = bool((annotation.get("attributes") or {}).get("rotation"))
            boxes.append(Box([x, y, x + width, y + height], label, is_rotated))
        if boxes:
            found.answers.append(Answer(one, value_of_boxes(boxes, one, name, classify)))
        else:
            found.without.append(one)
    if n_crowds:
        found.notes.append(
            f"{n_crowds} annotations of '{name}' are masks of groups (iscrowd), which are no boxes, and are left out."
        )
    if found.without:
        found.notes.append(
            f"{len(found.without)} of {len(content['images'])} images of '{name}' have no boxes and are left out: "
            f"{some(found.without)}. COCO does not tell whether somebody looked; label those without objects by hand."
        )
    return found
