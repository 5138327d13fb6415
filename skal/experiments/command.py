"""The command `skal compare`: see active learning strategies compared before writing any code."""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

from .. import strategies as catalogue
from ..base import QueryStrategy
from ..utils._files import write_atomically
from ._comparison import Comparison
from ._data import BUNDLED, LoadedData, load_data
from ._models import demo_estimator
from ._plan import Plan, check_data, check_plan
from ._run import RunError, compare

__all__ = ["add_arguments", "run"]

BASELINES = ("RandomSampling", "EntropySampling")
METHODS = ("DECERN", "BAL", "UFFM", "DM2")


# Parameters of `compare` that are options of the command, too.
SIZES = ("n_initial", "n_instances", "n_queries", "pool_size")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    command.description = (
        "Compare query strategies: paired runs from the same splits, initial sets and model seeds, with random "
        "sampling always among them. Prints a table and writes results.csv, summary.csv and learning_curves.png."
    )
    command.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    command.add_argument(
        "--data",
        default="digits",
        metavar="NAME|PATH",
        help=f"{', '.join(BUNDLED)}; a folder with one sub-folder of images per class (or train/ and test/ "
        "of such); an .npz file with arrays X and y (and X_test, y_test)",
    )
    command.add_argument(
        "--data-root",
        default="data",
        metavar="PATH",
        help="where fashion_mnist and cifar10 are or are downloaded to",
    )
    command.add_argument(
        "--image-size",
        type=int,
        default=32,
        metavar="PIXELS",
        help="images from folders are resized to this square",
    )
    command.add_argument(
        "--strategies",
        nargs="+",
        default=",".join(_default_strategies()),
        metavar="NAME",
        help=f"separated by spaces or commas, of: {', '.join(_strategy_classes())}",
    )
    command.add_argument("--n-initial", type=int, default=20, metavar="N", help="labels to begin with, at random")
    command.add_argument("--n-queries", type=int, default=8, metavar="N", help="queries per run")
    command.add_argument("--n-instances", type=int, default=20, metavar="N", help="labels per query")
    command.add_argument(
        "--seeds",
        nargs="+",
        default="8",
        metavar="N",
        help="one number: how many runs; several: their seeds",
    )
    command.add_argument(
        "--pool-size", type=int, default=None, metavar="N", help="limit of the pool, drawn per run; None: all"
    )
    command.add_argument("--n-jobs", type=int, default=-1, metavar="N", help="runs at the same time; -1: one per core")
    command.add_argument("--out", type=Path, default=Path("skal-results"), metavar="PATH", help="results folder")


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Returns
    -------
    int
        Exit code: 0, 1 when a run failed, 2 for bad arguments, data or files.

    Raises
    ------
    KeyboardInterrupt
        With the sentence that says what is kept, if it is interrupted.
    """
    try:
        with _one_line_warnings():
            return _run(args)
    except RunError as error:
        return _fail(f"{error} Finished runs are kept in {args.out}.", code=1)
    except (ValueError, OSError) as error:
        return _fail(str(error), code=2)
    except KeyboardInterrupt as stop:
        stop.args = (f"Finished runs are kept in {args.out}; the same command goes on from there.",)
        raise


def _run(args: argparse.Namespace) -> int:
    strategies = _make_strategies(_split(args.strategies))
    seeds = _parse_seeds(_split(args.seeds))
    if args.n_jobs == 0:
        raise ValueError("--n-jobs must be a number of processes, or -1 for one per core. Got 0.")
    if not args.data.strip():
        raise ValueError(f"--data must be {', '.join(BUNDLED)}, a folder or an .npz file. Got an empty text.")
    if args.out.exists() and not args.out.is_dir():
        raise ValueError(f"--out must be a folder, or one to be made. Got '{args.out}', which is a file.")
    data = load_data(args.data, args.data_root, args.image_size)
    sizes = {name: getattr(args, name) for name in SIZES}
    _check_sizes(sizes, data, args.data)
    estimator = demo_estimator(data.X, data.y)
    _say(_describe(args, data, estimator, strategies, seeds))
    found = compare(strategies, estimator, *data, **sizes, seeds=seeds, n_jobs=args.n_jobs, out=args.out, progress=True)
    return _report(found, args.out)


def _check_sizes(sizes: dict[str, Any], data: LoadedData, name: str) -> None:
    """What `compare` will check, in the words of the command: options, and the data by name."""
    try:
        check_plan(Plan(**sizes, test_size=0.25), check_data(*data))
    except ValueError as error:
        text = str(error).replace(" of compare", "")
        for option in SIZES:
            text = text.replace(f"'{option}'", f"--{option.replace('_', '-')}")
        raise ValueError(re.sub(r"'(X|y|X_test|y_test)'", rf"'\1' of the data {name}", text)) from error


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Warnings of ours are meant for whoever types the command: a sentence, without a line of code."""
    usual = warnings.showwarning

    def show(message: Any, category: type[Warning], filename: str, *where: Any, **more: Any) -> None:
        if category is UserWarning and Path(__file__).parents[1] in Path(filename).parents:
            sys.stderr.write(f"skal compare: {' '.join(str(message).split())}\n")
        else:
            usual(message, category, filename, *where, **more)

    warnings.showwarning = show  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.showwarning = usual


def _report(found: Comparison, out: Path) -> int:
    write_atomically(out / "summary.csv", found.summary().to_csv(lineterminator="\n"))
    files = ["results.csv", "summary.csv"]
    try:
        found.plot(out / "learning_curves.png")
        files.append("learning_curves.png")
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
    _say(f"\n{found.table()}\n\nWritten to {out}: {', '.join(files)}")
    return 0


def _describe(
    args: argparse.Namespace,
    data: LoadedData,
    estimator: BaseEstimator,
    strategies: list[QueryStrategy],
    seeds: int | list[int],
) -> str:
    n_seeds = seeds if isinstance(seeds, int) else len(seeds)
    model = "logistic regression" if data.X.ndim == 2 else "small CNN"
    shape, n_classes = "x".join(map(str, data.X.shape[1:])), len(set(data.y.tolist()))
    n_final = args.n_initial + args.n_queries * args.n_instances
    return (
        f"{args.data}: {len(data.X)} samples of shape {shape}, {n_classes} classes; "
        f"{model}; {args.n_initial} to {n_final} labels in {args.n_queries} queries; "
        f"{len(strategies)} strategies x {n_seeds} seeds"
    )


def _strategy_classes() -> dict[str, type[QueryStrategy]]:
    """The strategies that can be named, by class name: those for classifiers that need no parameters."""
    found = {name: getattr(catalogue, name) for name in catalogue.__all__}
    classes = {name: obj for name, obj in found.items() if isinstance(obj, type) and issubclass(obj, QueryStrategy)}
    return {name: cls for name, cls in classes.items() if "boxes" not in cls.requires and not _needs_parameters(cls)}


def _needs_parameters(cls: type[QueryStrategy]) -> bool:
    return any(param.default is param.empty for param in inspect.signature(cls).parameters.values())


def _default_strategies() -> list[str]:
    available = _strategy_classes()
    return [name for name in (*BASELINES, *METHODS) if name in available]


def _make_strategies(names: list[str]) -> list[QueryStrategy]:
    """Default strategies by the names of their classes or function twins; random sampling comes first."""
    available = _strategy_classes()
    by_key = {_key(name): name for name in available}
    unknown = [name for name in names if _key(name) not in by_key]
    if not names or unknown:
        raise ValueError(_no_strategy(unknown, by_key))
    # A dict drops what was named twice and keeps the order.
    chosen = dict.fromkeys(["RandomSampling", *(by_key[_key(name)] for name in names)])
    return [available[name]() for name in chosen]


def _no_strategy(unknown: list[str], by_key: dict[str, str]) -> str:
    choice = f"Choose from {', '.join(by_key.values())}."
    if not unknown:
        return f"--strategies must name at least one strategy. {choice}"
    others = {_key(name): name for name in catalogue.__all__ if isinstance(getattr(catalogue, name), type)}
    if _key(unknown[0]) in others:
        name = others[_key(unknown[0])]
        return f"strategy {name} cannot run in this command; use skal.experiments.compare in Python for it. {choice}"
    near = [difflib.get_close_matches(_key(name), by_key, n=1, cutoff=0.5) for name in unknown]
    hints = [f"{name} (did you mean {by_key[found[0]]}?)" if found else name for name, found in zip(unknown, near)]
    return f"unknown strategy {', '.join(hints)}. {choice}"


def _key(name: str) -> str:
    """What a class and its function twin share: EntropySampling and entropy_sampling are both `entropy`."""
    return name.lower().replace("_", "").removesuffix("sampling")


def _split(words: str | list[str]) -> list[str]:
    """Words separated by commas, by spaces (a list already) or both."""
    text = words if isinstance(words, str) else ",".join(words)
    return [part.strip() for part in text.split(",") if part.strip()]


def _parse_seeds(words: list[str]) -> int | list[int]:
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or numbers == [0] or len(set(numbers)) != len(numbers):
        raise ValueError(
            f"--seeds must be a count of at least 1 or distinct non-negative integers. Got {' '.join(words)}."
        )
    return numbers[0] if len(numbers) == 1 else numbers


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"skal compare: {' '.join(message.split())}\n")
    return code
