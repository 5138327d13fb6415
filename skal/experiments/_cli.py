"""The command `skal`: see active learning strategies compared before writing any code."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from sklearn.base import BaseEstimator

from .. import strategies as catalogue
from .._version import __version__
from ..base import QueryStrategy
from ._comparison import Comparison
from ._data import BUNDLED, LoadedData, load_data
from ._models import demo_estimator
from ._run import RunError, compare

__all__ = ["main"]

BASELINES = ("RandomSampling", "EntropySampling")
METHODS = ("DECERN", "BAL", "UFFM", "DM2")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments without the program's name; `None` takes the process's own.

    Returns
    -------
    int
        Exit code: 0, 1 when a run failed, 2 for bad arguments or data, 130 when interrupted.
    """
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return _compare(args)
    except KeyboardInterrupt:
        return _fail(
            f"interrupted. Finished runs are kept in {args.out}; the same command goes on from there.",
            code=130,
        )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="skal", description="Active learning methods for scikit-learn, skorch and modAL.")
    parser.add_argument("--version", action="version", version=f"skal {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="compare")
    command = commands.add_parser(
        "compare",
        help="compare query strategies in simulated active learning",
        description=(
            "Compare query strategies: paired runs from the same splits, initial sets and model seeds, with "
            "random sampling always among them. Prints a table and writes results.csv, summary.csv and "
            "learning_curves.png."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
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
    return parser


def _compare(args: argparse.Namespace) -> int:
    try:
        strategies = _make_strategies(_split(args.strategies))
        seeds = _parse_seeds(_split(args.seeds))
        if args.n_jobs == 0:
            raise ValueError("--n-jobs must be a number of processes, or -1 for one per core. Got 0.")
        data = load_data(args.data, args.data_root, args.image_size)
        estimator = demo_estimator(data.X, data.y)
        _say(_describe(args, data, estimator, strategies, seeds))
        found = compare(
            strategies,
            estimator,
            *data,
            n_initial=args.n_initial,
            n_instances=args.n_instances,
            n_queries=args.n_queries,
            seeds=seeds,
            pool_size=args.pool_size,
            n_jobs=args.n_jobs,
            out=args.out,
            progress=True,
        )
    except RunError as error:
        return _fail(f"{error} Finished runs are kept in {args.out}.", code=1)
    except (ValueError, OSError) as error:
        return _fail(str(error), code=2)
    return _report(found, args.out)


def _report(found: Comparison, out: Path) -> int:
    found.summary().to_csv(out / "summary.csv")
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
    """The strategies that can be named, by class name: those for classifiers."""
    found = {name: getattr(catalogue, name) for name in catalogue.__all__}
    classes = {name: obj for name, obj in found.items() if isinstance(obj, type) and issubclass(obj, QueryStrategy)}
    return {name: cls for name, cls in classes.items() if "boxes" not in cls.requires}


def _default_strategies() -> list[str]:
    available = _strategy_classes()
    return [name for name in (*BASELINES, *METHODS) if name in available]


def _make_strategies(names: list[str]) -> list[QueryStrategy]:
    """Default strategies by the names of their classes or function twins; random sampling comes first."""
    available = _strategy_classes()
    by_key = {_key(name): name for name in available}
    unknown = [name for name in names if _key(name) not in by_key]
    if unknown:
        raise ValueError(f"unknown strategy {', '.join(unknown)}. Choose from {', '.join(available)}.")
    # A dict drops what was named twice and keeps the order.
    chosen = list(dict.fromkeys(["RandomSampling", *(by_key[_key(name)] for name in names)]))
    made = []
    for name in chosen:
        try:
            made.append(available[name]())
        except TypeError as error:
            raise ValueError(
                f"strategy {name} needs parameters ({error}). Use skal.experiments.compare in Python for it."
            ) from error
    return made


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


if __name__ == "__main__":
    sys.exit(main())
