"""The command `skal compare`: see active learning strategies compared before writing any code."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.base import BaseEstimator

from ..utils._files import write_atomically
from ._comparison import Comparison
from ._data import BUNDLED, LoadedData, is_photos, list_photos, load_data
from ._features import Backbone, backbone_at_hand, kept_features
from ._models import Training, demo_estimator, named_estimator
from ._plan import Plan, check_data, check_plan, check_reference
from ._run import RunError, compare
from ._scoring import check_scoring
from ._sentences import counted
from ._spoken import split_words
from ._spoken_strategies import default_strategies, make_strategies, spoken_name, strategy_classes
from ._tables import TABLES

__all__ = ["add_arguments", "run"]

# Larger pools are not trained on as a whole unless asked for.
_LARGEST_CHECKED = 10_000

# What is typed to repeat a comparison, and of that the parameters of `compare`.
OPTIONS = (
    "data", "data_root", "target", "image_size", "model", "weights", "device", "epochs", "batch_size", "strategies",
    "n_initial", "n_queries", "n_instances", "seeds", "pool_size", "scoring", "reference", "checks", "n_jobs", "out",
)  # fmt: skip
SIZES = ("n_initial", "n_instances", "n_queries", "pool_size")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    command.description = (
        "Compare query strategies on labelled data: paired runs from the same splits, initial labels and model seeds, "
        "with random sampling always among them. Prints a table, and writes report.html, report.md, "
        "learning_curves.png, results.csv and summary.csv. Interrupted, the same command goes on where it stopped."
    )
    _describe_data(command.add_argument_group("data"))
    _describe_model(command.add_argument_group("model"))
    _describe_comparison(command.add_argument_group("comparison"))
    running = command.add_argument_group("running")
    running.add_argument(
        "--n-jobs", type=int, default=-1, metavar="N", help="runs at the same time; -1: one per core (default: -1)"
    )
    running.add_argument(
        "--out", type=Path, default=Path("skal-results"), metavar="FOLDER", help="results folder (default: %(default)s)"
    )
    command.set_defaults(defaults={name: command.get_default(name) for name in OPTIONS})


def _describe_data(group: Any) -> None:
    group.add_argument(
        "--data",
        default="digits",
        metavar="DATA",
        help=f"{', '.join(BUNDLED)}; a folder with one folder of images per class, or train/ and test/ of such; an "
        ".npz file with X and y (and X_test, y_test); a .csv or .parquet file (default: %(default)s)",
    )
    group.add_argument(
        "--target",
        metavar="COLUMN",
        help="column of a table that holds the labels (default: label, target, class or y)",
    )
    group.add_argument(
        "--data-root",
        default="data",
        metavar="FOLDER",
        help="where fashion_mnist and cifar10 lie, or are downloaded to (default: %(default)s)",
    )
    group.add_argument(
        "--image-size",
        type=int,
        metavar="N",
        help="side in pixels of the square that images of a folder become (default: 224 for a pretrained backbone, "
        "else 32)",
    )
    group.add_argument(
        "--pool-size", type=int, metavar="N", help="samples of the pool, drawn anew for each run (default: all)"
    )


def _describe_model(group: Any) -> None:
    group.add_argument(
        "--model",
        metavar="MODEL",
        help="logistic, cnn, a torchvision classifier such as resnet18, or module:object, an estimator or torch module "
        "of your own (default: cnn for images, logistic for tables; for a folder of images logistic on features of a "
        "frozen backbone, where its weights are at hand)",
    )
    group.add_argument(
        "--weights",
        metavar="WEIGHTS",
        help="weights of a torchvision classifier, by name, such as DEFAULT, or of a file; all but its last layer is "
        "then frozen (default: none, all of it is trained)",
    )
    group.add_argument(
        "--device", metavar="DEVICE", help="where networks run, such as cpu or cuda (default: cuda where there is one)"
    )
    group.add_argument("--epochs", type=int, metavar="N", help="epochs of each training of a network (default: 50)")
    group.add_argument("--batch-size", type=int, metavar="N", help="samples of a network's batch (default: 32)")


def _describe_comparison(group: Any) -> None:
    group.add_argument(
        "--strategies",
        nargs="+",
        default=",".join(default_strategies()),
        metavar="STRATEGY",
        help='separated by spaces or commas, with parameters as in "DECERN(xi=0.4)"; module:Class, or one of '
        f"{', '.join(strategy_classes())} (default: {', '.join(default_strategies())})",
    )
    group.add_argument(
        "--reference", metavar="STRATEGY", help="what all others are compared with (default: RandomSampling)"
    )
    group.add_argument(
        "--scoring",
        nargs="+",
        default="accuracy",
        metavar="SCORE",
        help="scores of scikit-learn, separated by spaces or commas; the first decides (default: %(default)s)",
    )
    group.add_argument(
        "--n-initial", type=int, default=20, metavar="N", help="labels to begin with, at random (default: %(default)s)"
    )
    group.add_argument("--n-queries", type=int, default=8, metavar="N", help="queries per run (default: %(default)s)")
    group.add_argument(
        "--n-instances", type=int, default=20, metavar="N", help="labels per query (default: %(default)s)"
    )
    group.add_argument(
        "--seeds",
        nargs="+",
        default="8",
        metavar="N",
        help="one number: how many runs; several: their seeds (default: %(default)s)",
    )
    group.add_argument(
        "--checks",
        action=argparse.BooleanOptionalAction,
        help="run a second random sampling and a model of all labels, too (default: in pools of up to "
        f"{_LARGEST_CHECKED:,})",
    )


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
    strategies = make_strategies(split_words(args.strategies))
    seeds = _parse_seeds(split_words(args.seeds))
    scoring = list(check_scoring(split_words(args.scoring), "--scoring"))
    if args.n_jobs == 0:
        raise ValueError("--n-jobs must be a number of processes, or -1 for one per core. Got 0.")
    for option in ("epochs", "batch_size"):
        if getattr(args, option) is not None and getattr(args, option) < 1:
            raise ValueError(f"--{option.replace('_', '-')} must be at least 1. Got {getattr(args, option)}.")
    if not args.data.strip():
        raise ValueError(f"--data must be {', '.join(BUNDLED)}, a folder or a file. Got an empty text.")
    # What is not there is said later.
    is_there = args.data in BUNDLED or Path(args.data).exists()
    if is_there and args.target is not None and Path(args.data).suffix.lower() not in TABLES:
        raise ValueError(f"--target is for tables, {' and '.join(TABLES)} files. Got --data {args.data}.")
    if is_there and args.image_size is not None and not (is_photos(args.data) or args.data == "cifar10"):
        raise ValueError(f"--image-size is for folders of images. Got --data {args.data}.")
    if args.out.exists() and not args.out.is_dir():
        raise ValueError(f"--out must be a folder, or one to be made. Got '{args.out}', which is a file.")
    reference = args.reference
    if reference is not None:
        reference = check_reference(spoken_name(reference), strategies, "")
    sizes = {name: getattr(args, name) for name in SIZES}
    work = _load(args, sizes)
    checks = work.n_pool <= _LARGEST_CHECKED if args.checks is None else args.checks
    _say(_describe(args, work, strategies, seeds))
    if args.checks is None and not checks:
        _say(f"No checks: the pool is larger than {_LARGEST_CHECKED:,}; --checks runs them.")
    found = compare(
        strategies, work.estimator, *work.data, **sizes, seeds=seeds, scoring=scoring, reference=reference, aa=checks,
        n_jobs=args.n_jobs, out=args.out, progress=True,
    )  # fmt: skip
    return _report(found, args, work.samples)


class _Work(NamedTuple):
    """What is compared on: data, a model with its name, what people see of the samples, and the size of the pool."""

    data: LoadedData
    estimator: BaseEstimator
    model: str
    samples: Any
    n_pool: int


def _load(args: argparse.Namespace, sizes: dict[str, Any]) -> _Work:
    training = Training(args.device, args.epochs, args.batch_size)
    if args.weights is not None and args.model is None:
        raise ValueError("--weights need a --model, such as resnet18.")
    samples, model = None, args.model
    backbone = _backbone(args)
    if backbone is not None:
        size = args.image_size or 224
        photos = list_photos(args.data, size)
        _check_sizes(sizes, photos, args.data)  # before the work
        device, batch = training.device or "auto", training.batch_size or 32
        if training.epochs is not None:
            raise ValueError("--epochs is for networks that are trained; the backbone is frozen.")
        # Kept, so that a comparison which goes on finds the same numbers, whatever computes them.
        features = [
            None if files is None else kept_features(files, backbone, device, batch, size, args.out / name)
            for files, name in ((photos.X, "features.npz"), (photos.X_test, "test-features.npz"))
        ]
        data, samples = LoadedData(features[0], photos.y, features[1], photos.y_test), photos.X
        estimator, head = demo_estimator(data.X, data.y)
        model = f"{head} on features of a frozen {backbone.name}"
    else:
        data = load_data(args.data, args.data_root, args.image_size or 32, args.target)
        if args.model is None:
            estimator, model = demo_estimator(data.X, data.y, training)
        else:
            estimator, model = named_estimator(args.model, data.X, data.y, args.weights, training)
    n_pool = _check_sizes(sizes, data, args.data)
    return _Work(data, estimator, model, samples, n_pool)


def _backbone(args: argparse.Namespace) -> Backbone | None:
    """The frozen network that describes the photos, if it is to be one."""
    if not is_photos(args.data):
        return None
    if args.model is None:
        found = backbone_at_hand()
        if found is None:
            _say(
                "No weights of a pretrained network are at hand: photos go to a small CNN. A pretrained one serves "
                "better: --model resnet18 --weights DEFAULT."
            )
        return found
    return None if args.weights is None or ":" in args.model else Backbone(args.model, args.weights)


def _check_sizes(sizes: dict[str, Any], data: LoadedData, name: str) -> int:
    """What `compare` will check, in the words of the command: options, data by name. Returns the pool's size."""
    try:
        check_plan(Plan(**sizes, test_size=0.25), check_data(*data))
        return min(len(data.y), sizes["pool_size"] or len(data.y))
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


def _report(found: Comparison, args: argparse.Namespace, samples: Any) -> int:
    out, command = args.out, _as_typed(args)
    write_atomically(out / "summary.csv", found.summary().to_csv(lineterminator="\n"))
    found.to_html(out / "report.html", command=command, samples=samples)
    write_atomically(out / "report.md", found.to_markdown(command=command).encode("utf-8", "replace"))
    files = ["report.html", "report.md", "results.csv", "summary.csv"]
    try:
        found.plot(out / "learning_curves.png")
        files.append("learning_curves.png")
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
    _say(f"\n{found.table()}\n\nWritten to {out}: {', '.join(files)}")
    return 0


def _as_typed(args: argparse.Namespace) -> str:
    """The command, with all options that differ from their defaults."""
    words = ["skal", "compare"]
    for name, default in args.defaults.items():
        value, option = getattr(args, name), f"--{name.replace('_', '-')}"
        if value is True or value is False:
            words.append(option if value else f"--no-{name}")
        elif value != default:
            words += [option, *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(words)


def _describe(args: argparse.Namespace, work: _Work, strategies: dict[str, Any], seeds: int | list[int]) -> str:
    n_seeds = seeds if isinstance(seeds, int) else len(seeds)
    seen = work.data.X if work.samples is None else None
    shape = "" if seen is None else f" of shape {'x'.join(map(str, seen.shape[1:]))}"
    n_final = args.n_initial + args.n_queries * args.n_instances
    return (
        f"{args.data}: {len(work.data.y)} {'photos' if seen is None else 'samples'}{shape}, "
        f"{len(set(work.data.y.tolist()))} classes; {work.model}; {args.n_initial} to {n_final} labels in "
        f"{counted(args.n_queries, 'query', 'queries')}; {counted(len(strategies), 'strategy', 'strategies')} x "
        f"{counted(n_seeds, 'seed')}"
    )


def _parse_seeds(words: list[str]) -> int | list[int]:
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        numbers = []
    if (
        not numbers
        or min(numbers) < 0
        or max(numbers) >= 1 << 63
        or numbers == [0]
        or len(set(numbers)) != len(numbers)
    ):
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
