"""Files of images, each opened when it is asked for."""

from __future__ import annotations

import copy
import hashlib
import os
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..utils._validation import kind_of, shown
from ._dataset import part_keys
from ._generics import as_index, n_rows, stack_rows, take_rows
from ._keys import digest

__all__ = ["ImageFiles", "path_in", "wrap_advice"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".heic", ".npy")


class ImageFiles(Dataset):
    """Image files without labels as a pool: a map-style torch Dataset that reads an image when it is asked for.

    It goes wherever a Dataset does (the pool of `skal.learners.ActiveLearner.query`, a strategy's `select`,
    `skal.nets.DeepClassifier`), with as little memory as its paths take.

    Parameters
    ----------
    paths : iterable of str or path
        The files, in the order of the rows; one may occur several times. That each is a file is checked here; none is
        opened.
    size : int, (height, width) or None, default=None
        The size, in pixels, that images are scaled to (bilinear, antialiased); an integer is both, and the shape is not
        kept. None leaves each as it is: a classifier then needs files that are all of one size, a detector does not.
    transform : callable or None, default=None
        Called with each image, upright and scaled, as a `PIL.Image.Image` in mode RGB, which is what torchvision's
        transforms, old and new, and ``weights.transforms()`` take. What it returns is the sample; a PIL image becomes
        a tensor as without `transform`. It should give one image the same answer each time, and be picklable where
        images are read in other processes.

    Attributes
    ----------
    paths : list of str or path
        As given.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        On construction: no path at all, one text instead of a list, no such file, what is no regular file (a folder, a
        pipe), an invalid `size` or `transform`.
    ValueError
        On reading, in one sentence that names the file: it is gone or may not be read, is broken or no image, has more
        than ``PIL.Image.MAX_IMAGE_PIXELS`` pixels or does not fit into memory, or holds numbers whose range is not
        known.

    Notes
    -----
    A sample is a float32 tensor (3, height, width) in [0, 1]. An image is turned as its EXIF orientation says. Grey and
    palette images and CMYK become RGB; what is transparent is laid on white. 16-bit grey values are divided by 65,535
    and keep their precision (a `transform` gets 8 bits of them); integers of more bits must lie in that range, too, and
    floats in [0, 1]. Of several frames or pages the first is read.

    Parts (``files[2:5]``, ``files[[0, 7]]``, `take_rows`) are `ImageFiles` again, and nothing is read for them. The
    key of a row (`row_keys`) is that of the bytes of the file. Reading costs one decoding of the file each time: some
    milliseconds a photograph, in parallel with ``iterator_valid__num_workers=`` of a network.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skal.rows import ImageFiles
    >>> folder = Path(tempfile.mkdtemp())
    >>> for i in range(4):
    ...     Image.new("RGB", (60, 40), (85 * i, 0, 0)).save(folder / f"{i}.png")
    >>> pool = ImageFiles(sorted(folder.glob("*.png")), size=32)
    >>> pool
    ImageFiles(4 files, size=32)
    >>> pool[1].shape, round(float(pool[1].max()), 3)
    (torch.Size([3, 32, 32]), 0.333)
    >>> [path.name for path in pool[2:].paths]
    ['2.png', '3.png']
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        size: int | tuple[int, int] | None = None,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        if transform is not None and not callable(transform):
            raise TypeError(
                f"The 'transform' of ImageFiles must be a callable or None. Got {shown(transform)} instead."
            )
        self.paths, self.size, self.transform = _checked_paths(paths), _checked_size(size), transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: Any) -> Any:
        idx = as_index(i, len(self))
        if isinstance(idx, int):
            return self._read(self.paths[idx])
        part = copy.copy(self)
        part.paths = self.paths[idx] if isinstance(idx, slice) else [self.paths[j] for j in idx.tolist()]
        return part

    def __repr__(self) -> str:
        shown = [f"{len(self):,} file{'' if len(self) == 1 else 's'}"]
        shown += [
            f"{name}={getattr(self, name)!r}" for name in ("size", "transform") if getattr(self, name) is not None
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _read(self, path: Any) -> Any:
        with _named(path):
            image = _scaled(_upright(path), self.size)
            if self.transform is None:
                return _tensor(image)
            image = _in_bytes(image)
        sample = self.transform(image)
        # As a transform of PIL's images alone leaves it.
        return _tensor(_with_known_range(sample)) if type(sample).__module__.startswith("PIL.") else sample


def _checked_paths(paths: Any) -> list[Any]:
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise TypeError(f"The 'paths' of ImageFiles must be a list of paths. Got one, {paths!r}: put it into a list.")
    if isinstance(paths, (Mapping, Dataset)) or not isinstance(paths, Iterable):
        raise TypeError(f"The 'paths' of ImageFiles must be a list of paths. Got {kind_of(paths)} instead.")
    found = list(paths)
    if not found:
        raise ValueError("The 'paths' of ImageFiles must hold at least one path. Got none.")
    for i, path in enumerate(found):
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"The 'paths' of ImageFiles must be str or path objects. Got {shown(path)} at {i}.")
        fault = _fault(path)
        if fault is not None:
            kind = FileNotFoundError if fault == _MISSING else ValueError
            raise kind(f"The image '{os.fspath(path)}' cannot be read: {fault}.")
    return found


def _checked_size(size: Any) -> Any:
    sides = size if isinstance(size, (tuple, list)) else (size, size)
    is_number = [isinstance(side, Integral) and not isinstance(side, bool) and int(side) >= 1 for side in sides]
    if size is None or (len(sides) == 2 and all(is_number)):
        return tuple(map(int, size)) if isinstance(size, (tuple, list)) else size
    raise ValueError(
        "The 'size' of ImageFiles must be an integer of 1 or more, a pair (height, width) of them, or None. "
        f"Got {shown(size)} instead."
    )


_MISSING = "there is no such file"


def _fault(path: Any) -> str | None:
    """Why `path` cannot be read as a file. A pipe is not even opened, which would wait for its other end."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _MISSING
    except OSError as error:
        return error.strerror or type(error).__name__
    except ValueError as error:
        return str(error)
    if stat.S_ISREG(mode):
        return None
    return "it is a folder" if stat.S_ISDIR(mode) else "it is no regular file"


@contextmanager
def _named(path: Any) -> Iterator[None]:
    """Say in one sentence which file cannot be read, and why."""
    from PIL import Image, UnidentifiedImageError

    try:
        fault = _fault(path)
        if fault is not None:
            raise ValueError(fault)
        yield
    except Exception as error:  # whatever a damaged file leads to in a decoder
        if isinstance(error, UnidentifiedImageError):
            why = "it is empty" if os.path.getsize(path) == 0 else "it is no image of a format that Pillow knows"
        elif isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
            why = f"it has more than the {Image.MAX_IMAGE_PIXELS:,} pixels that PIL.Image.MAX_IMAGE_PIXELS allows"
        elif isinstance(error, MemoryError):
            why = "it does not fit into memory"
        else:
            lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
            why = (lines or [type(error).__name__])[0].rstrip(".")
        raise ValueError(f"The image '{os.fspath(path)}' cannot be read: {why}.") from error


def _upright(path: Any) -> Any:
    """The image as its maker saw it, in mode RGB, or in mode F and [0, 1] where 8 bits do not hold its values."""
    from PIL import Image, ImageOps

    # By a file, so that what is named "x.png" may be of any format.
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(file)
        image.load()
        try:
            turned = ImageOps.exif_transpose(image)
        except MemoryError:
            raise
        except Exception:  # damaged EXIF data, which viewers pass over, too
            turned = image
    return _with_known_range(turned)


def _with_known_range(image: Any) -> Any:
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64) / (1 if image.mode == "F" else 65535)
        if not (values.min() >= 0 and values.max() <= 1):
            what = "floats must lie in [0, 1]" if image.mode == "F" else "integers must lie in 0 ... 65535"
            raise ValueError(f"its {what}, or their range is not known")
        return Image.fromarray(values.astype(np.float32))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        # By two steps, which Pillow knows for all of them.
        seen = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return image.convert("RGB")


def _scaled(image: Any, size: Any) -> Any:
    from PIL import Image

    if size is None:
        return image
    height, width = size if isinstance(size, tuple) else (size, size)
    return image.resize((int(width), int(height)), Image.Resampling.BILINEAR)


def _in_bytes(image: Any) -> Any:
    from PIL import Image

    if image.mode != "F":
        return image
    return Image.fromarray((np.asarray(image) * 255).round().astype(np.uint8)).convert("RGB")


def _tensor(image: Any) -> torch.Tensor:
    # A copy, since PIL's memory is read-only.
    values = torch.from_numpy(np.array(image, dtype=np.float32))
    return values.repeat(3, 1, 1) if image.mode == "F" else (values / 255).permute(2, 0, 1).contiguous()


@take_rows.register(ImageFiles)
def _(X: ImageFiles, idx: Any) -> Any:
    # A subclass may hold more for each file than its path.
    return X[idx] if type(X) is ImageFiles else take_rows.dispatch(Dataset)(X, idx)


@stack_rows.register(ImageFiles)
def _(first: ImageFiles, second: Any) -> Any:
    given = path_in(second)
    if given is not None:
        raise ValueError(
            f"New samples must be images, as the labelled ones are. Got paths, such as {wrap_advice(given)}."
        )
    if type(first) is type(second) is ImageFiles and (first.size, first.transform) == (second.size, second.transform):
        both = copy.copy(first)
        both.paths = [*first.paths, *second.paths]
        return both
    return stack_rows.dispatch(Dataset)(first, second)


@part_keys.register(ImageFiles)
def _(base: ImageFiles, places: Any) -> list[bytes]:
    if type(base) is not ImageFiles:
        return part_keys.dispatch(Dataset)(base, places)
    return [_file_key(base.paths[i], base.size) for i in places]


def _file_key(path: Any, size: Any) -> bytes:
    with _named(path), open(path, "rb") as file:
        # In pieces, as a photograph from a microscope may have gigabytes.
        return digest(b"f" + repr(size).encode() + hashlib.file_digest(file, "sha1").digest())


def path_in(X: Any) -> Any:
    """The first row of `X` where that is a path of an image, else None; nothing is read."""
    if isinstance(X, (str, bytes, Mapping, Dataset)) or not hasattr(X, "__len__") or n_rows(X) == 0:
        return None
    first = take_rows(X, 0)
    is_path = isinstance(first, os.PathLike) or (isinstance(first, str) and first.lower().endswith(_SUFFIXES))
    return first if is_path else None


def wrap_advice(path: Any) -> str:
    """A path, and what to make of a list of them, for messages."""
    return f"{str(path)!r}: wrap them, skal.rows.ImageFiles(paths)"
