"""What each strategy picked first, as small pictures or texts."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ..rows import column_names, flat_numeric, take_rows
from ._records import NearDuplicates

__all__ = ["Pick", "first_picks", "look", "png_url"]

# A page of 240 pictures of 64 x 64 pixels takes 4 MB at most.
_N_PICKS, _N_PICKS_OF_ALL = 12, 240
_LONGEST_SIDE = 64
_LONGEST_TEXT = 120


class Pick(NamedTuple):
    """A sample that was queried: a picture (h, w, 3) of bytes, or a text in its place."""

    strategy: str
    position: int
    label: str
    is_repeat: bool
    picture: NDArray[np.uint8] | None
    text: str


def first_picks(X: Any, y: NDArray, queried: pd.DataFrame, names: Sequence[str], seed: int) -> list[Pick]:
    """The first samples that each strategy queried in the run of one seed, and which of them nearly repeat another."""
    near = NearDuplicates(X, np.arange(len(y)))
    own, picks = queried[queried["seed"] == seed], list[Pick]()
    n_picks = max(1, min(_N_PICKS, _N_PICKS_OF_ALL // len(names)))
    for name in names:
        run = own[own["strategy"] == name]
        initial = run[run["round"] == 0]["position"].to_numpy()
        chosen = run[run["round"] > 0]["position"].to_numpy()[:n_picks]
        repeats = near.among(np.concatenate([initial, chosen]), len(chosen))
        for i, position in enumerate(chosen.tolist()):
            picture, text = look(X, position)
            picks.append(
                Pick(name, position, str(y[position]), repeats is not None and bool(repeats[i]), picture, text)
            )
    return picks


def look(X: Any, position: int) -> tuple[NDArray[np.uint8] | None, str]:
    """A sample as people see it: a picture, or a text."""
    if isinstance(X, Dataset):
        item = X[position]
        sample = np.asarray(item[0] if isinstance(item, tuple) else item)
        return _picture(sample), ""
    rows = take_rows(X, np.array([position]))
    flat = flat_numeric(rows)
    shape = getattr(rows, "shape", ())
    if flat is not None and len(shape) in (3, 4):
        picture = _picture(flat.reshape(shape[1:]))
        if picture is not None:
            return picture, ""
    names = column_names(rows) if hasattr(rows, "columns") else None
    if flat is not None or names is not None:
        values = np.asarray(rows, dtype=object).ravel() if flat is None else flat[0]
        cells = [f"{value:.3g}" if isinstance(value, (float, np.floating)) else str(value) for value in values]
        text = ", ".join(cells if names is None else [f"{key}: {cell}" for key, cell in zip(names, cells)])
    else:
        text = " ".join(str(rows[0] if isinstance(rows, (list, np.ndarray)) else rows).split())
    return None, text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 4]} ..."


def _picture(sample: NDArray) -> NDArray[np.uint8] | None:
    """A sample (h, w) or (c, h, w) of one or three channels as bytes (h, w, 3), its range that of the colours."""
    channels = sample[np.newaxis] if sample.ndim == 2 else sample
    if channels.ndim != 3 or channels.shape[0] not in (1, 3) or channels.size == 0 or sample.dtype.kind not in "fiub":
        return None
    step = -(-max(channels.shape[1:]) // _LONGEST_SIDE)
    values = np.nan_to_num(channels[:, ::step, ::step].astype(np.float64))
    low, high = values.min(), values.max()
    if low >= 0 and high <= 1 and sample.dtype != np.uint8:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    scaled = (255 * (values - low) / (high - low if high > low else 1)).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(scaled.transpose(1, 2, 0), (*scaled.shape[1:], 3)))


def png_url(picture: NDArray[np.uint8]) -> str:
    """A picture (h, w, 3) as a data URL, a PNG file within the page."""
    height, width = picture.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
