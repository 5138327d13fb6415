"""The command `skal`. Each subcommand lies with what it does, and is imported when it is used."""

from __future__ import annotations

import argparse
import difflib
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn, Protocol

from ._version import __version__

__all__ = ["main"]


class Module(Protocol):
    """What a subcommand is: a module with its options and its work.

    `run` returns the exit code. Where it is interrupted, the text of its KeyboardInterrupt says what is kept.
    """

    def add_arguments(self, command: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


class Command(NamedTuple):
    """A subcommand: a line of help, its module, what is true of an interruption before that is imported, examples."""

    help: str
    load: Callable[[], Module]
    interrupted: str
    examples: tuple[str, ...]


def _load_compare() -> Any:
    from .experiments import command

    return command


def _load_labeling(name: str) -> Callable[[], Any]:
    def load() -> Any:
        from .labeling import commands

        return getattr(commands, name)

    return load


def _load_modal() -> Any:
    from .learners import modal_command

    return modal_command


COMMANDS = {
    "start": Command(
        "begin a labelling project",
        _load_labeling("START"),
        "Nothing was begun.",
        (
            "skal start photos/ --classes cat,dog",
            "skal start photos/ --classes cat,dog \\\n    --backbone resnet18 --weights DEFAULT",
            "skal start table.csv --classes 0,1 --drop name,remark",
            "skal start texts.csv --text review --classes good,bad",
        ),
    ),
    "query": Command(
        "choose what to label next",
        _load_labeling("QUERY"),
        "No label is lost.",
        ("skal query", "skal query -n 20", "skal query -n 20 --project animals/"),
    ),
    "teach": Command(
        "take over answers, and train the model",
        _load_labeling("TEACH"),
        "Nothing was taken over; give the file again.",
        (
            "skal teach batches/0001/tasks.csv",
            "skal teach label-studio-export.json --by ann",
            "skal teach cvat-annotations.xml --no-train",
        ),
    ),
    "status": Command(
        "say what is labelled, and how good the model is",
        _load_labeling("STATUS"),
        "No label is lost.",
        ("skal status", "skal status --project animals/"),
    ),
    "undo": Command(
        "take back the last answers",
        _load_labeling("UNDO"),
        "Nothing was taken back.",
        ("skal undo", "skal undo -n 5"),
    ),
    "compare": Command(
        "compare query strategies on labelled data",
        _load_compare,
        "Finished runs are kept in the results folder; the same command goes on from there.",
        (
            "skal compare",
            "skal compare --data table.csv --target species",
            "skal compare --data photos/ \\\n    --model resnet18 --weights DEFAULT --seeds 20",
            'skal compare --strategies "margin,DECERN(xi=0.4)"',
        ),
    ),
    "modal": Command(
        "say what to change in a script that uses modAL",
        _load_modal,
        "Nothing was changed.",
        ("skal modal my_script.py", "skal modal first.py second.py"),
    ),
}
# Of `skal` itself: the way of a labelling project, and a comparison.
EXAMPLES = (
    "skal start photos/ --classes cat,dog",
    "skal query -n 100",
    "skal teach batches/0001/tasks.csv",
    "skal compare --data photos/",
)
EXIT_CODES = (
    "Exit codes: 0 done; 1 a part of the work failed; 2 bad arguments, data or files; 130 interrupted (Ctrl-C); "
    "143 terminated (SIGTERM)."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments without the program's name; `None` takes the process's own.

    Returns
    -------
    int
        Exit code: 0, 1 when the work failed, 2 for bad arguments, data or files, 130 when interrupted (Ctrl-C),
        143 when terminated (SIGTERM).
    """
    words = list(sys.argv[1:] if argv is None else argv)
    name = next((word for word in words if word in COMMANDS), None)
    try:
        with _terminable():
            return _run(words)
    except SystemExit as stop:  # argparse's, after its message
        return int(stop.code or 0)
    except KeyboardInterrupt as stop:
        if argv is None:  # The process ends now: a second Ctrl-C must not break into that.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        what, code = ("terminated", 143) if isinstance(stop, _Terminated) else ("interrupted", 130)
        kept = str(stop) or ("" if name is None else COMMANDS[name].interrupted)
        sys.stderr.write(f"{' '.join(filter(None, ['skal', name]))}: {what}. {kept}".rstrip() + "\n")
        return code


def _run(words: list[str]) -> int:
    parser, parsers = _parsers()
    if not words:
        parser.print_help(sys.stderr)
        return 2
    # The first word that is no option is the command's name: only that one is imported.
    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else "."
        parser.error(f"there is no command '{name}'{hint} The commands are: {', '.join(COMMANDS)}.")
    if name is None:
        parser.parse_args(words)
        return 0
    module = COMMANDS[name].load()
    module.add_arguments(parsers[name])
    args, unknown = parser.parse_known_args(words)
    if unknown:
        parsers[name].refuse(unknown[0])
    return module.run(args)


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """The parser of `skal`, and by its name that of each command, which lacks its options."""
    parser = _Parser(
        prog="skal",
        description="Active learning for scikit-learn, skorch and modAL: label data, and compare query strategies. "
        "'skal COMMAND --help' says more of a command.",
        epilog=EXIT_CODES,
        examples=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"skal {__version__}", help="show the version and exit")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    return parser, {
        name: commands.add_parser(name, help=command.help, examples=command.examples)
        for name, command in COMMANDS.items()
    }


class _Parser(argparse.ArgumentParser):
    """A parser whose help ends in examples, and whose errors are one line and exit code 2."""

    def __init__(self, *, examples: Sequence[str] = (), **more: Any):
        super().__init__(add_help=False, **more)
        self.examples = examples
        self.register("type", int, _integer)
        self.add_argument("-h", "--help", action="help", help="show this help and exit")

    def format_help(self) -> str:
        """Argparse's, which would break the lines of examples anew."""
        lines = [line for example in self.examples for line in example.split("\n")]
        return "\n  ".join([f"{super().format_help()}\nexamples:", *lines]) + "\n"

    def error(self, message: str) -> NoReturn:
        """Argparse's own sentences are given the form of the others."""
        said = re.sub(r"^argument (\S+?): must ", r"\1 must ", message)
        said = re.sub(r"^argument (\S+?): expected ", r"\1 needs ", said)
        see = "" if said.endswith(".") else f"{'' if said.endswith('?') else '.'} See {self.prog} --help."
        self.exit(2, f"{self.prog}: {said}{see}\n")

    def refuse(self, word: str) -> NoReturn:
        """For a word that is none of the arguments."""
        if not word.startswith("-"):
            self.error(f"there is one argument too many, '{word}'")
        options = re.findall(r"--?[a-z][a-z-]*", self.format_usage())
        near = difflib.get_close_matches(word.partition("=")[0], options, n=1, cutoff=0.6)
        self.error(f"there is no option '{word}'" + (f"; did you mean {near[0]}?" if near else ""))


def _integer(text: str) -> int:
    """In place of `int`, whose errors argparse says in words of Python."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer. Got '{text}'.") from None


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which then ends everything as Ctrl-C does."""


@contextmanager
def _terminable() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: Any) -> None:
        raise _Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
