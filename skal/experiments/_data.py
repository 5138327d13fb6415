"""Data sets for the command line: bundled, from torchvision, a folder of images, or an npz file."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torchvision import datasets

__all__ = ["BUNDLED", "LoadedData", "load_data"]

IDX_FILES = {
    "X": "train-images-idx3-ubyte",
    "y": "train-labels-idx1-ubyte",
    "X_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


class LoadedData(NamedTuple):
    """A data set; images are float32 (n, c, h, w) in [0, 1]. Without a test set, runs split their own off."""

    X: NDArray
    y: NDArray
    X_test: NDArray | None = None
    y_test: NDArray | None = None


def load_data(name: str, root: str | Path = "data", image_size: int = 32) -> LoadedData:
    """Load a data set by name or path.

    Parameters
    ----------
    name : str
        ``digits`` (1,797 images 8 x 8, bundled with scikit-learn), ``fashion_mnist`` or ``cifar10`` (under
        `root`, downloaded there by torchvision if missing), a folder with one sub-folder of images per class
        (or ``train`` and ``test`` folders of such), or an ``.npz`` file with arrays ``X`` and ``y`` and, if
        it likes, ``X_test`` and ``y_test``.
    root : path, default="data"
        Where ``fashion_mnist`` and ``cifar10`` are, in torchvision's layout; for ``cifar10`` also ``train``
        and ``test`` folders of class folders. It is only read if the data is there.
    image_size : int, default=32
        Images of a folder become RGB of ``image_size x image_size`` pixels, >= 4.

    Returns
    -------
    LoadedData
        Labels are class names where folders name them, else as stored.

    Raises
    ------
    ValueError
        If the name is unknown, or what is there cannot be read as data.
    OSError
        If files cannot be read, or a download fails.
    """
    if name in BUNDLED:
        return BUNDLED[name](Path(root), image_size)
    path = Path(name)
    if path.is_dir():
        return _load_folder(path, image_size)
    if path.is_file() and path.suffix == ".npz":
        return _load_npz(path)
    raise ValueError(
        f"The data must be one of {', '.join(BUNDLED)}, a folder of class folders, or an .npz file. "
        f"Got '{name}', which {'is a file of another kind' if path.is_file() else 'does not exist'}."
    )


def _load_digits(root: Path, image_size: int) -> LoadedData:
    X, y = load_digits(return_X_y=True)
    return LoadedData((X / 16).astype(np.float32).reshape(-1, 1, 8, 8), y.astype(np.int64))


def _load_fashion_mnist(root: Path, image_size: int) -> LoadedData:
    # Read here and not by torchvision, which would unpack the files into a folder that may be read-only.
    raw = root / "FashionMNIST" / "raw"
    if not all(_find_idx(raw, file) for file in IDX_FILES.values()):
        _download(datasets.FashionMNIST, root)
    arrays = {key: _read_idx(_find_idx(raw, file) or raw / file) for key, file in IDX_FILES.items()}
    return LoadedData(
        _as_images(arrays["X"]),
        arrays["y"].astype(np.int64),
        _as_images(arrays["X_test"]),
        arrays["y_test"].astype(np.int64),
    )


def _load_cifar10(root: Path, image_size: int) -> LoadedData:
    for folder in (root, *sorted(root.glob("cifar10*"))):
        if (folder / "train").is_dir() and (folder / "test").is_dir():
            return _load_folder(folder, image_size)
    if not (root / datasets.CIFAR10.base_folder).is_dir():
        _download(datasets.CIFAR10, root)
    parts: list[Any] = []
    for train in (True, False):
        try:
            part = datasets.CIFAR10(str(root), train=train)
        except RuntimeError as error:
            raise ValueError(f"The CIFAR-10 files under '{root}' are incomplete or damaged.") from error
        parts += [_as_images(part.data.transpose(0, 3, 1, 2)), np.asarray(part.targets, dtype=np.int64)]
    return LoadedData(*parts)


def _load_folder(path: Path, image_size: int) -> LoadedData:
    if not ((path / "train").is_dir() and (path / "test").is_dir()):
        return LoadedData(*_read_images(path, image_size))
    train, test = _read_images(path / "train", image_size), _read_images(path / "test", image_size)
    strange = sorted(set(test[1]) - set(train[1]))
    if strange:
        raise ValueError(f"The class folders of '{path / 'test'}' must be in 'train' too. Got {', '.join(strange)}.")
    return LoadedData(*train, *test)


def _read_images(path: Path, image_size: int) -> tuple[NDArray, NDArray]:
    """All images of the class folders in `path`, as RGB of one size, and their class names."""
    if image_size < 4:
        raise ValueError(f"The image size must be at least 4 pixels. Got {image_size}.")
    try:
        folder = datasets.ImageFolder(str(path))
    except FileNotFoundError as error:
        raise ValueError(f"'{path}' must hold one sub-folder of images per class. {_first_line(error)}") from error
    images = np.empty((len(folder.samples), 3, image_size, image_size), dtype=np.float32)
    for position, (file, _) in enumerate(folder.samples):
        try:
            image = folder.loader(file).resize((image_size, image_size))
        except OSError as error:  # Pillow's errors for damaged images are OSErrors
            raise ValueError(f"The image '{file}' cannot be read: {_first_line(error)}") from error
        images[position] = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255
    return images, np.asarray(folder.classes)[folder.targets]


def _load_npz(path: Path) -> LoadedData:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("X", "y", "X_test", "y_test") if key in file.files}
    except Exception as error:  # zip, value, key and OS errors: whatever a damaged file leads to
        raise ValueError(f"'{path}' cannot be read as an npz file: {_first_line(error)}") from error
    if not {"X", "y"} <= set(arrays) or ("X_test" in arrays) != ("y_test" in arrays):
        raise ValueError(
            f"'{path}' must hold the arrays X and y, and X_test and y_test together or not at all. "
            f"Got {', '.join(arrays) or 'none of them'}."
        )
    for key in arrays.keys() & {"X", "X_test"}:
        if arrays[key].dtype.kind not in "fiub" or arrays[key].ndim not in (2, 3, 4):
            raise ValueError(
                f"'{key}' in '{path}' must be numbers of shape (n, features), (n, h, w) or (n, c, h, w). "
                f"Got {arrays[key].dtype} of shape {arrays[key].shape}."
            )
        if arrays[key].ndim == 4 and arrays[key].shape[3] in (1, 3) and arrays[key].shape[1] > 3:
            raise ValueError(
                f"'{key}' in '{path}' must have its channels before height and width, (n, c, h, w). "
                f"Got shape {arrays[key].shape}."
            )
        arrays[key] = arrays[key].astype(np.float32) if arrays[key].ndim == 2 else _as_images(arrays[key])
        if not np.isfinite(arrays[key]).all():
            raise ValueError(f"'{key}' in '{path}' must be finite. Got NaN or infinity.")
    return LoadedData(**arrays)


def _as_images(images: NDArray) -> NDArray[np.float32]:
    """(n, h, w) or (n, c, h, w) as float32 with channels; bytes become [0, 1]."""
    scaled = images.astype(np.float32)
    if images.dtype == np.uint8:
        scaled /= 255
    return scaled[:, np.newaxis] if scaled.ndim == 3 else scaled


def _find_idx(raw: Path, file: str) -> Path | None:
    return next((path for path in (raw / file, raw / f"{file}.gz") if path.is_file()), None)


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """An idx file of bytes, packed or not: two zeros, the type (8), the number of axes, their sizes, data."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        n_axes = content[3]
        shape = np.frombuffer(content, ">u4", n_axes, 4).astype(int)
        if content[:3] != b"\x00\x00\x08":
            raise ValueError("it does not begin as an idx file of bytes does")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes).reshape(shape)
    except (ValueError, IndexError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"'{path}' cannot be read as an idx file: {_first_line(error)}") from error


def _download(dataset: Any, root: Path) -> None:
    try:
        dataset(str(root), download=True)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"{dataset.__name__} is not in '{root}' and could not be downloaded there: {_first_line(error)} "
            "Say where it is with --data-root."
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."


BUNDLED: dict[str, Callable[[Path, int], LoadedData]] = {
    "digits": _load_digits,
    "fashion_mnist": _load_fashion_mnist,
    "cifar10": _load_cifar10,
}
