"""Data sets for the command line: bundled, from torchvision, a folder of images, or an npz file."""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from ..rows import ImageFiles
from ._tables import TABLES, load_table

__all__ = ["BUNDLED", "LoadedData", "is_photos", "list_photos", "load_data"]

IDX_FILES = {
    "X": "train-images-idx3-ubyte",
    "y": "train-labels-idx1-ubyte",
    "X_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
# The formats that torchvision's image folders know.
_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}


class LoadedData(NamedTuple):
    """A data set; images are float32 (n, c, h, w) in [0, 1]. Without a test set, runs split their own off."""

    X: Any
    y: NDArray
    X_test: Any = None
    y_test: NDArray | None = None


def load_data(name: str, root: str | Path = "data", image_size: int = 32, target: str | None = None) -> LoadedData:
    """Load a data set by name or path.

    Parameters
    ----------
    name : str
        ``digits`` (1,797 images 8 x 8, bundled with scikit-learn), ``fashion_mnist`` or ``cifar10`` (under `root`,
        downloaded there by torchvision if missing), a folder with one sub-folder of images per class (or ``train`` and
        ``test`` folders of such), an ``.npz`` file with arrays ``X`` and ``y`` and, if it likes, ``X_test`` and
        ``y_test``, or a CSV or Parquet file with a column of labels. Images may lie in folders below that of their
        class; what is hidden (``.ipynb_checkpoints``, ``__MACOSX``) and files without an image's suffix are passed
        over. Images of an ``.npz`` file in 8 or 16 bits are scaled to [0, 1]; other numbers stay as they are.
    root : path, default="data"
        Where ``fashion_mnist`` and ``cifar10`` are, in torchvision's layout; for ``cifar10`` also ``train``
        and ``test`` folders of class folders. It is only read if the data is there.
    image_size : int, default=32
        Images of a folder become RGB of ``image_size x image_size`` pixels, >= 4, as `skal.rows.ImageFiles` reads
        them: upright, and with the whole range of 16 bits.
    target : str, default=None
        The column of labels of a CSV or Parquet file; `None` looks for one named label, target, class or y.

    Returns
    -------
    LoadedData
        Labels are class names where folders name them, else as stored.

    Raises
    ------
    ValueError
        If the name is unknown, or what is there cannot be read as data, or does not fit into memory.
    OSError
        If files cannot be read, or a download fails.
    """
    try:
        if name in BUNDLED:
            return BUNDLED[name](Path(root), image_size)
        path = Path(name)
        # An empty name would be the folder that the command runs in.
        if name.strip() and path.is_dir():
            return _load_folder(path, image_size)
        if path.is_file() and path.suffix.lower() == ".npz":
            return _load_npz(path)
        if path.is_file() and path.suffix.lower() in TABLES:
            return LoadedData(*load_table(path, target))
    except MemoryError as error:
        raise ValueError(f"The data '{name}' must fit into memory. {_first_line(error)}") from error
    what = "does not exist"
    if not name.strip():
        what = "is no name"
    elif path.exists():
        what = "is a file of another kind"
    raise ValueError(
        f"The data must be one of {', '.join(BUNDLED)}, a folder of class folders, or an .npz, .csv or .parquet file. "
        f"Got '{name}', which {what}."
    )


def _load_digits(root: Path, image_size: int) -> LoadedData:
    X, y = load_digits(return_X_y=True)
    return LoadedData((X / 16).astype(np.float32).reshape(-1, 1, 8, 8), y.astype(np.int64))


def _load_fashion_mnist(root: Path, image_size: int) -> LoadedData:
    # Read here and not by torchvision, which would unpack the files into a folder that may be read-only.
    raw = root / "FashionMNIST" / "raw"
    if not all(_find_idx(raw, file) for file in IDX_FILES.values()):
        from torchvision import datasets

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
    # Here, as above, since it takes seconds that nobody else need wait for.
    from torchvision import datasets

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


def is_photos(name: str) -> bool:
    """Whether this is a folder."""
    return bool(name.strip()) and name not in BUNDLED and Path(name).is_dir()


def list_photos(path: str | Path, image_size: int) -> LoadedData:
    """As `load_data` of a folder, with datasets of images that are read one by one."""
    return _load_folder(Path(path), image_size, _image_files)


def _load_folder(path: Path, image_size: int, read: Callable[[Path, int], Any] | None = None) -> LoadedData:
    read = _read_images if read is None else read
    if not ((path / "train").is_dir() and (path / "test").is_dir()):
        return LoadedData(*read(path, image_size))
    train, test = read(path / "train", image_size), read(path / "test", image_size)
    strange = sorted(set(test[1]) - set(train[1]))
    if strange:
        raise ValueError(f"The class folders of '{path / 'test'}' must be in 'train' too. Got {', '.join(strange)}.")
    return LoadedData(*train, *test)


def _image_files(path: Path, image_size: int) -> tuple[ImageFiles, NDArray]:
    """The images of the class folders in `path`, not read yet, and their class names."""
    if image_size < 4:
        raise ValueError(f"The image size must be at least 4 pixels. Got {image_size}.")
    try:
        of_class = {folder.name: list(_image_paths(folder)) for folder in _class_folders(path)}
    except OSError as error:
        raise ValueError(f"The folder '{error.filename}' cannot be read: {error.strerror}.") from error
    empty = [name for name, files in of_class.items() if not files]
    if empty or not of_class:
        got = f"no image in {', '.join(empty)}" if empty else "no folder"
        raise ValueError(
            f"'{path}' must hold one sub-folder of images per class. Got {got}; images are {', '.join(_SUFFIXES)}."
        )
    if set(of_class) <= _SPLITS:
        raise ValueError(
            f"'{path}' must hold one sub-folder of images per class, or folders named 'train' and 'test' of such. "
            f"Got {', '.join(of_class)}."
        )
    labels = np.asarray([name for name, files in of_class.items() for _ in files])
    return ImageFiles([file for part in of_class.values() for file in part], size=image_size), labels


def _read_images(path: Path, image_size: int) -> tuple[NDArray, NDArray]:
    """All images of the class folders in `path`, as RGB of one size, and their class names."""
    files, labels = _image_files(path, image_size)
    images = _room_for(len(files), image_size)
    for position in range(len(files)):
        images[position] = files[position]
    return images, labels


def _room_for(n: int, image_size: int) -> NDArray[np.float32]:
    """An array for that many images, or an error that says how much memory they take."""
    shape = (n, 3, image_size, image_size)
    needed = 4 * 3 * n * image_size**2
    try:
        # The system promises more memory than it has, and ends the process that uses it.
        if hasattr(os, "sysconf") and needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
            raise MemoryError
        return np.empty(shape, dtype=np.float32)
    except (MemoryError, ValueError) as error:
        raise MemoryError(
            f"{n:,} images of {image_size} x {image_size} pixels take {needed / 2**30:,.1f} GiB: choose a smaller "
            "image size"
        ) from error


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _class_folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not _is_hidden(entry.name))


def _image_paths(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Files below a class folder that are named as images; links are followed, but for those that lead back up."""
    real = folder.resolve()
    above |= {real, *real.parents}
    entries = sorted(entry for entry in folder.iterdir() if not _is_hidden(entry.name))
    folders = [entry for entry in entries if entry.is_dir()]
    yield from (entry for entry in entries if entry.suffix.lower() in _SUFFIXES and entry not in folders)
    for entry in folders:
        if entry.resolve() not in above:
            yield from _image_paths(entry, above)


def _load_npz(path: Path) -> LoadedData:
    arrays = _read_npz(path)
    if not {"X", "y"} <= set(arrays) or ("X_test" in arrays) != ("y_test" in arrays):
        raise ValueError(
            f"'{path}' must hold the arrays X and y, and X_test and y_test together or not at all. "
            f"Got {', '.join(arrays) or 'none of them'}."
        )
    for samples, labels in (("X", "y"), ("X_test", "y_test")):
        if samples in arrays:
            arrays[samples] = _checked_samples(arrays[samples], f"'{samples}' in '{path}'")
            _check_labels(arrays[labels], len(arrays[samples]), f"'{labels}' in '{path}'")
    if "X_test" in arrays:
        _check_test_set(arrays, path)
    return LoadedData(**arrays)


def _read_npz(path: Path) -> dict[str, NDArray]:
    arrays, key = {}, ""
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in ("X", "y", "X_test", "y_test"):
                if key in file.files:
                    arrays[key] = file[key]
    except MemoryError:
        raise
    except Exception as error:  # zip, value, key and OS errors: whatever a damaged file leads to
        why = _first_line(error)
        if key and "allow_pickle" in why:
            kind = "str" if key.startswith("y") else "float"
            why = f"'{key}' holds Python objects instead of numbers or text; save {key}.astype({kind})."
        raise ValueError(f"'{path}' cannot be read as an npz file: {why}") from error
    return arrays


def _checked_samples(X: NDArray, name: str) -> NDArray[np.float32]:
    if X.dtype.kind not in "fiub" or X.ndim not in (2, 3, 4) or X.size == 0:
        raise ValueError(
            f"{name} must be numbers of shape (n, features), (n, h, w) or (n, c, h, w), not empty. "
            f"Got {X.dtype} of shape {X.shape}."
        )
    if X.ndim == 4 and X.shape[3] in (1, 3) and X.shape[1] > 3:
        raise ValueError(f"{name} must have its channels before height and width, (n, c, h, w). Got shape {X.shape}.")
    with np.errstate(over="ignore"):
        samples = X.astype(np.float32) if X.ndim == 2 else _as_images(X)
    if not np.isfinite(samples).all():
        raise ValueError(f"{name} must be finite. Got NaN, infinity or a number beyond the range of float32.")
    return samples


def _check_labels(y: NDArray, n: int, name: str) -> None:
    if y.ndim != 1 or len(y) != n:
        raise ValueError(f"{name} must hold one label for each of {n} samples, of shape ({n},). Got shape {y.shape}.")
    if y.dtype.kind not in "fiubUS":
        raise ValueError(f"{name} must be labels, numbers or text. Got {y.dtype}.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"{name} must hold one label per sample. Got NaN or infinity.")
    n_values = len(np.unique(y))
    is_many = y.dtype.kind in "fiu" and n_values > max(20, n / 2)
    if is_many or (y.dtype.kind == "f" and bool(np.any(y % 1))):
        raise ValueError(
            f"{name} must be class labels. It looks like a regression target: {n_values} different values in {n} rows."
        )


def _check_test_set(arrays: dict[str, NDArray], path: Path) -> None:
    X, y, X_test, y_test = (arrays[key] for key in ("X", "y", "X_test", "y_test"))
    if X.shape[1:] != X_test.shape[1:]:
        raise ValueError(
            f"'X_test' in '{path}' must have samples of the shape of X, {X.shape[1:]}. Got {X_test.shape[1:]}."
        )
    strange = sorted(set(y_test.tolist()) - set(y.tolist()), key=str)
    if strange:
        raise ValueError(
            f"The labels of 'y_test' in '{path}' must be in 'y' too. Got {', '.join(map(str, strange[:5]))}."
        )


def _as_images(images: NDArray) -> NDArray[np.float32]:
    """(n, h, w) or (n, c, h, w) as float32 with channels; unsigned 8 and 16 bits become [0, 1]."""
    scaled = images.astype(np.float32)
    if images.dtype.kind == "u" and images.dtype.itemsize <= 2:
        scaled /= np.iinfo(images.dtype).max
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
