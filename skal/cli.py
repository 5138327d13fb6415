"""The command `skal`. Each subcommand lies with what it does, and is imported when it is used."""

from __future__ import annotations

import argparse
import difflib
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
    """A subcommand: a line of help, its module, and what is true of an interruption before that is imported."""

    help: str
    load: Callable[[], Module]
    interrupted: str


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
    "start": Command("begin a labelling project", _load_labeling("START"), "Nothing was begun."),
    "query": Command("choose what to label next", _load_labeling("QUERY"), "No label is lost."),
    "teach": Command("take over answers", _load_labeling("TEACH"), "Nothing was taken over; give the file again."),
    "status": Command("say what is labelled, and how good the model is", _load_labeling("STATUS"), "No label is lost."),
    "undo": Command("take back the last answers", _load_labeling("UNDO"), "Nothing was taken back."),
    "compare": Command(
        "compare query strategies in simulated active learning",
        _load_compare,
        "Finished runs are kept in the results folder; the same command goes on from there.",
    ),
    "modal": Command("say what to change in a script that uses modAL", _load_modal, "Nothing was changed."),
}


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
    parser = _Parser(prog="skal", description="Active learning methods for scikit-learn, skorch and modAL.")
    parser.add_argument("--version", action="version", version=f"skal {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {name: commands.add_parser(name, help=command.help) for name, command in COMMANDS.items()}
    # The first word that is no option is the command's name: only that one is imported.
    name = next((word for word in words if not word.startswith("-")), None)
    if name is None or name not in COMMANDS:
        if name is not None:
            near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            parser.error(f"there is no command '{name}'{hint} The commands are: {', '.join(COMMANDS)}.")
        parser.parse_args(words)
        return 0
    module = COMMANDS[name].load()
    module.add_arguments(parsers[name])
    return module.run(parser.parse_args(words))


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


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
