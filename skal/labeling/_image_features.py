"""Features of image files, each computed once and kept in the project's cache."""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from ..utils._files import write_atomically
from ._project import located
from ._sources import Images

__all__ = ["ImageDescriptor", "check_backbone", "image_features"]

_BLOCK, _SECONDS = 32, 20
# Sides, in pixels, to which images are scaled: for colours and edges, and for networks.
_SIZE, _NET_SIZE = 128, 224
# What torchvision's weights expect of red, green and blue.
_MEAN, _STD = (
    np.asarray(each, dtype=np.float32)[:, None, None] for each in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
)

# From some images' paths to their features.
_Describe = Callable[[list[Path]], NDArray[np.float32]]


def image_features(source: Images, backbone: dict[str, Any], folder: Path) -> NDArray[np.float32]:
    """One row for each image; only files that are new, or changed, are read.

    Parameters
    ----------
    source : Images
    backbone : dict
        As `skal.toml` has it; empty for colours and edges.
    folder : path
        Of the project.
    """
    kept = _Kept(folder / "cache" / _name_of(backbone, folder))
    keys = [_key_of(one, path) for one, path in zip(source.ids or (), source.paths, strict=True)]
    missing = [i for i, key in enumerate(keys) if key not in kept.rows]
    if missing:
        try:
            _fill(kept, _describer(backbone, folder), [(keys[i], source.paths[i]) for i in missing])
        finally:
            kept.save()
    return np.stack([kept.rows[key] for key in keys])


def check_backbone(backbone: dict[str, Any], folder: Path) -> None:
    """Whether there is such a network with such weights, by a run."""
    size = backbone.get("size", _NET_SIZE)
    _made_network(backbone, folder, np.zeros((2, 3, size, size), dtype=np.float32))


def _fill(kept: _Kept, describe: _Describe, todo: list[tuple[bytes, Path]]) -> None:
    from tqdm import tqdm

    saved = time.monotonic()
    with tqdm(total=len(todo), desc="reading images", unit="image", leave=False, disable=None) as bar:
        for begin in range(0, len(todo), _BLOCK):
            block = todo[begin : begin + _BLOCK]
            for (key, _), row in zip(block, describe([path for _, path in block]), strict=True):
                kept.rows[key] = row
            bar.update(len(block))
            if time.monotonic() - saved > _SECONDS:
                kept.save()
                saved = time.monotonic()


# -- what describes an image -----------------------------------------------------------------------------------------


class ImageDescriptor(TransformerMixin, BaseEstimator):
    """Features of image files by their paths, as a project has them, without its cache; there is nothing to fit.

    Parameters
    ----------
    backbone : dict
        As `skal.toml` has it, but with weights that need no folder; empty for colours and edges.
    """

    def __init__(self, backbone: dict[str, Any]) -> None:
        self.backbone = backbone

    @classmethod
    def of(cls, backbone: dict[str, Any], folder: Path) -> ImageDescriptor:
        """That of the project in `folder`."""
        if not backbone:
            return cls({})
        file = (folder / backbone["weights"]).resolve()
        return cls({**backbone, "weights": str(file) if file.is_file() else backbone["weights"]})

    def fit(self, X: Any, y: Any = None) -> ImageDescriptor:
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        paths = [Path(each) for each in X]
        describe = _describer(self.backbone, Path())
        blocks = [describe(paths[begin : begin + _BLOCK]) for begin in range(0, len(paths), _BLOCK)]
        if not blocks:
            raise ValueError("X must hold at least one path of an image. Got none.")
        return np.concatenate(blocks)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _describer(backbone: dict[str, Any], folder: Path) -> _Describe:
    return _network(backbone, folder) if backbone else _colours_and_edges


def _colours_and_edges(paths: list[Path]) -> NDArray[np.float32]:
    from ._colour_edges import ColourEdges

    return ColourEdges().transform(_read(paths, _SIZE))


def _network(backbone: dict[str, Any], folder: Path) -> _Describe:
    size = backbone.get("size", _NET_SIZE)
    made: list[Any] = []

    def describe(paths: list[Path]) -> NDArray[np.float32]:
        images = (_read(paths, size) - _MEAN) / _STD
        if not made:
            made.append(_made_network(backbone, folder, images))
        features: NDArray[np.float32] = made[0].embed(images)
        return features

    return describe


def _made_network(backbone: dict[str, Any], folder: Path, images: NDArray[np.float32]) -> Any:
    """The network, of which the head, which nobody uses, is trained on two images."""
    from ..nets import DeepClassifier

    file = located(backbone["weights"], folder)
    net = DeepClassifier(
        backbone["name"],
        weights=str(file) if file.is_file() else backbone["weights"],
        freeze="backbone",
        feature_cache=None,
        max_epochs=1,
        batch_size=_BLOCK,
        random_state=0,
    )
    return net.fit(np.stack([images[0], images[-1]]), [0, 1])


def _read(paths: list[Path], size: int) -> NDArray[np.float32]:
    from ..rows import ImageFiles

    files = ImageFiles(paths, size=size)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:  # decoders let other threads work
        return np.stack([image.numpy() for image in threads.map(files.__getitem__, range(len(files)))])


# -- the cache -------------------------------------------------------------------------------------------------------


class _Kept:
    """Rows by key, in a file that may go at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[bytes, NDArray[np.float32]] = {}
        try:
            with np.load(path, allow_pickle=False) as file:
                self.rows = dict(zip([key.tobytes() for key in file["keys"]], file["rows"], strict=True))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass  # none yet, or damaged: computed anew
        self._n_saved = len(self.rows)

    def save(self) -> None:
        if len(self.rows) == self._n_saved:
            return
        content = io.BytesIO()
        keys = np.frombuffer(b"".join(self.rows), dtype=np.uint8).reshape(len(self.rows), -1)
        np.savez(content, keys=keys, rows=np.stack(list(self.rows.values())))
        self.path.parent.mkdir(exist_ok=True)
        write_atomically(self.path, content.getvalue())
        self._n_saved = len(self.rows)


def _name_of(backbone: dict[str, Any], folder: Path) -> str:
    """One file for each way to compute features: another network, or other weights, is another."""
    if not backbone:
        return "colour-edges.npz"
    weights = (folder / backbone["weights"]).resolve()
    state = os.stat(weights) if weights.is_file() else None
    about = repr((sorted(backbone.items()), state and (state.st_size, state.st_mtime_ns)))
    name = re.sub(r"\W", "-", backbone["name"])
    return f"{name}-{hashlib.sha1(about.encode()).hexdigest()[:12]}.npz"


def _key_of(one: str, path: Path) -> bytes:
    try:
        state = os.stat(path)
    except OSError as error:
        raise ValueError(f"The image '{path}' cannot be read: {error.strerror}.") from error
    about = f"{one}|{state.st_size}|{state.st_mtime_ns}".encode("utf-8", "surrogateescape")
    return hashlib.sha1(about).digest()
