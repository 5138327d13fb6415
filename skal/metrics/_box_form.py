"""Boxes that as a whole are of another form than (x1, y1, x2, y2) in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["are_fractions", "check_box_form"]

# Corners in the wrong order happen; from this share on they are no accident.
_SHARE_REVERSED = 1 / 3
# Boxes may reach beyond the image where the object does; by more of its size than this, half of them do not.
_BEYOND, _SHARE_BEYOND, _MIN_BEYOND = 0.1, 1 / 2, 4


def check_box_form(
    boxes: list[NDArray[np.float32]], name: str, sizes: list[tuple[int, int]] | None, *, in_pixels: bool
) -> None:
    """Raise `ValueError`, which names the likely form, where boxes (n_i, 4) of images are not corners (in pixels).

    `sizes` are (height, width) of the images, where they are known.
    """
    for i, found in enumerate(boxes if in_pixels else []):
        # Rows of zeros pad some targets.
        own = found[found.any(axis=1)]
        if are_fractions(own):
            raise ValueError(
                f"Boxes of {name} must be in pixels of the image. "
                f"Got fractions of it, up to {float(own.max()):.3g}, in {name}[{i}]."
            )
    every = np.concatenate([*boxes, np.empty((0, 4), dtype=np.float32)])
    image = np.repeat(np.arange(len(boxes)), [len(found) for found in boxes])
    limits = None if sizes is None else np.array([(w, h) for h, w in sizes], dtype=float).reshape(-1, 2)[image]
    is_reversed = (every[:, 2:] < every[:, :2]).any(axis=1)
    if is_reversed.sum() > 0 and is_reversed.mean() >= _SHARE_REVERSED:
        at = int(np.argmax(is_reversed))
        raise ValueError(
            f"Boxes of {name} must be (x1, y1, x2, y2) with x1 < x2 and y1 < y2, in pixels of the image. "
            f"Got {every[at].tolist()} in {name}[{image[at]}]{_likely_form(every, limits)}."
        )
    if limits is None or len(every) < _MIN_BEYOND:
        return
    slack = _BEYOND * limits
    is_beyond = ((every[:, 2:] > limits + slack) | (every[:, :2] < -slack)).any(axis=1)
    if is_beyond.mean() >= _SHARE_BEYOND:
        at = int(np.argmax(is_beyond))
        width, height = limits[at].astype(int).tolist()
        raise ValueError(
            f"Boxes of {name} must lie in their images, in pixels of the images as they are given. "
            f"Got {every[at].tolist()} in {name}[{image[at]}], whose image is {width} x {height}, and "
            f"{int(is_beyond.sum())} of {len(every)} such boxes."
        )


def are_fractions(boxes: NDArray[np.float32]) -> bool:
    """Whether boxes look like fractions of an image, a little beyond it at most, and not like pixels."""
    if len(boxes) == 0:
        return False
    most = 1 if (boxes == np.round(boxes)).all() else 2
    return bool(boxes.max() <= most and boxes.min() >= -1)


def _likely_form(every: NDArray[np.float32], limits: NDArray | None) -> str:
    """What the boxes look like: all of them must lie in their images when read as that."""
    first, size = every[:, :2].astype(np.float64), every[:, 2:].astype(np.float64)
    forms = {"(x, y, width, height)": first, "(centre x, centre y, width, height)": first - size / 2}
    likely = [
        form
        for form, start in forms.items()
        if (size >= 0).all() and (start >= -1).all() and (limits is None or (start + size <= limits + 1).all())
    ]
    return f": they look like {' or '.join(likely)}" if likely else ""
