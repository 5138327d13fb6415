"""The commands of a labelling project: `skal start`, `query`, `teach`, `status` and `undo`.

Nothing of torch is imported before a query has a new batch to choose, or `teach` has something to train, so that all
else answers at once.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ._journal import LabelJournal
from ._model import MODEL, is_current, key_of, noted
from ._project import KINDS, Project, Settings, open_batches
from ._sources import Images, Source, kind_of_data, load_source
from ._teach import Changes, answers_in, changes_of

__all__ = ["QUERY", "START", "STATUS", "TEACH", "UNDO"]


class Command(NamedTuple):
    """A subcommand, as `skal.cli` takes it: its options, its work, and what is true where it is interrupted."""

    name: str
    describe: Callable[[argparse.ArgumentParser], None]
    work: Callable[[argparse.Namespace], int | None]
    kept: str

    def add_arguments(self, command: argparse.ArgumentParser) -> None:
        self.describe(command)
        command.add_argument(
            "--project", type=Path, default=Path(), metavar="FOLDER", help="project folder (default: the current one)"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Run the command; 0, 1 where a part of the work failed, or 2 for bad arguments, data or files."""
        try:
            with _one_line_warnings(self.name):
                return self.work(args) or 0
        except (ValueError, OSError, ImportError) as error:
            sys.stderr.write(f"skal {self.name}: {' '.join(str(error).split())}\n")
            return 2
        except KeyboardInterrupt as stop:
            stop.args = stop.args or (self.kept,)
            raise


# -- start ---------------------------------------------------------------------------------------------------------


def _describe_start(command: argparse.ArgumentParser) -> None:
    command.description = "Begin a labelling project: write skal.toml, in which everything can be edited."
    data = command.add_argument_group("data")
    data.add_argument("data", metavar="DATA", help="a folder of images, a list of images (.txt), or a table (.csv)")
    data.add_argument("--classes", required=True, metavar="A,B,...", help="all labels that there are")
    data.add_argument("--kind", metavar="KIND", help=f"{', '.join(KINDS)}: what the data is (default: by its name)")
    data.add_argument("--text", default="", metavar="COLUMN", help="column of a table that holds texts to label")
    data.add_argument("--drop", default="", metavar="A,B,...", help="columns of a table to leave out (default: none)")
    model = command.add_argument_group("model")
    model.add_argument(
        "--model", metavar="MODEL", help="a classifier by name, or module:object (default: LogisticRegression)"
    )
    model.add_argument(
        "--strategy", metavar="STRATEGY", help="a strategy by name, or module:object (default: MarginSampling)"
    )
    model.add_argument(
        "--backbone",
        metavar="NAME",
        help="a torchvision classifier that describes images, such as resnet18 (default: none, colours and edges do)",
    )
    model.add_argument(
        "--weights", metavar="WEIGHTS", help="the backbone's weights, by name, such as DEFAULT, or of a file"
    )
    model.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of all that is random (default: %(default)s)"
    )


def _start(args: argparse.Namespace) -> None:
    data = Path(args.data)
    if not data.exists():
        raise ValueError(f"There is no data at '{data}'.")
    kind = args.kind or kind_of_data(data, args.text)
    if bool(args.backbone) != bool(args.weights):
        raise ValueError("--backbone and --weights go together: a torchvision model, and its weights by name or file.")
    given: dict[str, Any] = {
        name: {"name": getattr(args, name)} for name in ("model", "strategy") if getattr(args, name)
    }
    if args.backbone:
        is_file = Path(args.weights).is_file()
        weights = _in_project(Path(args.weights), args.project) if is_file else args.weights
        given["backbone"] = {"name": args.backbone, "weights": weights}
    settings = Settings(
        data=_in_project(data, args.project),
        kind=kind,
        classes=_classes(_split(args.classes)),
        seed=args.seed,
        column=args.text,
        drop=_split(args.drop),
        **given,
    )
    _check_settings(settings)
    _check_named(settings, args.project, *given)
    with _nothing_left_behind(args.project):
        project = Project.begin(args.project, settings)
        n = len(load_source(project))
    _say(f"{_count(n, kind)}, {len(settings.classes)} classes: {', '.join(map(str, settings.classes))}.")
    _say_features(project)
    _say(f"Written: {project.folder / 'skal.toml'}. Next: skal query -n {min(100, n)}{_option(project.folder)}")


def _check_settings(settings: Settings) -> None:
    """What `skal.toml` may hold, in the words of the command: options for its settings."""
    try:
        settings.check()
    except ValueError as error:
        said = str(error).replace("'column'", "'text'")
        raise ValueError(re.sub(r"^'(kind|classes|text|seed)'", r"--\1", said)) from error


def _check_named(settings: Settings, folder: Path, *names: str) -> None:
    """Whether what was named can be made; the defaults can."""
    if not names:
        return
    from ._named import make_model, make_strategy

    for name in names:
        if name == "backbone":
            from ._image_features import check_backbone

            check_backbone(settings.backbone, folder)
            continue
        make = make_model if name == "model" else make_strategy
        make(getattr(settings, name), folder, settings.seed)


def _say_features(project: Project) -> None:
    if project.settings.kind == "images" and not project.settings.backbone:
        _say(
            "There is no [backbone] in skal.toml: images are told apart by fixed descriptors of colours and edges. A "
            'pretrained network serves better: name = "resnet18" and weights = "DEFAULT" there.'
        )


@contextmanager
def _nothing_left_behind(folder: Path) -> Iterator[None]:
    """No settings, nor folders, of a project whose data cannot be read."""
    path = folder / "skal.toml"
    was_there = path.exists()
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    except BaseException:
        if not was_there:
            path.unlink(missing_ok=True)
        for each in new:
            with suppress(OSError):  # somebody has put something there
                each.rmdir()
        raise


def _in_project(path: Path, folder: Path) -> str:
    """A path as the project's settings have it: relative to its folder, unless it was given in full."""
    try:
        return str(path) if path.is_absolute() else Path(os.path.relpath(path, os.path.realpath(folder))).as_posix()
    except ValueError:  # on another drive
        return str(path.resolve())


def _classes(words: list[str]) -> list[Any]:
    """Integers where all are, else texts."""
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        return list(words)
    return list(numbers) if [str(number) for number in numbers] == words else list(words)


# -- query ---------------------------------------------------------------------------------------------------------


def _describe_query(command: argparse.ArgumentParser) -> None:
    command.description = "Choose what to label next, and write it for people: batches/0001/ and so on."
    command.add_argument(
        "-n", type=int, default=100, metavar="N", help="how many samples to choose (default: %(default)s)"
    )


def _query(args: argparse.Namespace) -> None:
    if args.n < 1:
        raise ValueError(f"-n must be at least 1. Got {args.n}.")
    project = Project(args.project)
    source = load_source(project)
    with project.journal(source) as journal:
        _warn_of_changes(source, journal.settings)
        _check_there(source, journal, project)
        left = open_batches(journal)
        if left:
            _offer_again(project, source, left)
            return
        n_left = sum(not journal.state_of(one)[0] for one in source.ids or range(len(source)))
        if n_left == 0:
            _say("Every sample is labelled or skipped.")
            return
        from ._batch import new_batch, write_batch

        _say_features(project)
        batch = new_batch(project, source, journal, min(args.n, n_left))
        number = len(journal.batches)
        folder = write_batch(project, source, number, batch)
    _say(
        f"Batch {number:04d}: {_count(len(batch.ids), project.settings.kind)} to label, {n_left - len(batch.ids)} left."
    )
    _next_step(folder)


def _check_there(source: Source, journal: LabelJournal, project: Project) -> None:
    known = [*journal.labels(), *journal.skipped(), *(one for batch in journal.batches for one in batch)]
    gone = [one for one in dict.fromkeys(known) if source.position(one) is None]
    if gone:
        raise ValueError(
            f"'{project.data}' must hold all samples that were asked for. {len(gone)} are gone, {gone[0]!r} for one: "
            f"put them back; skal query asks for no skipped one again."
        )


def _offer_again(project: Project, source: Source, left: dict[int, list[Any]]) -> None:
    """Batches that lack answers; their files stay as people have them, and what a kill left unwritten is written."""
    for number, ids in left.items():
        folder = project.batch_folder(number)
        if not (folder / "contact-sheet.html").exists():
            from ._batch import Batch, write_batch

            write_batch(project, source, number, Batch(ids))
        _say(f"Batch {number:04d} still has {len(ids)} without an answer; it comes first.")
        _next_step(folder)


def _next_step(folder: Path) -> None:
    _say(
        f"Look at {folder / 'contact-sheet.html'}\n"
        f"Fill in the column label (or mark skip) in {folder / 'tasks.csv'}, or import "
        f"{folder / 'label-studio.json'} into Label Studio.\n"
        f"Then: skal teach {folder / 'tasks.csv'}{_option(folder.parents[1])}"
    )


# -- teach ---------------------------------------------------------------------------------------------------------


def _describe_teach(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Take over the answers of a file that differ from what is known, then train the model on all labels."
    )
    command.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="a filled-in tasks.csv, or an export of Label Studio (JSON), COCO (JSON) or CVAT (XML for images)",
    )
    command.add_argument(
        "--by",
        metavar="NAME",
        help="who answered; of an export of Label Studio, take only this one's answers (default: nobody is noted, and "
        "all are taken)",
    )
    command.add_argument(
        "--no-train", action="store_true", help="take over the answers alone; the next skal query trains"
    )


def _teach(args: argparse.Namespace) -> int:
    project = Project(args.project)
    if not args.file.is_file():
        raise ValueError(f"There is no file '{args.file}'.")
    answers = answers_in(str(args.file), args.by, project.settings.classes)
    source = load_source(project)
    with project.journal(source) as journal:
        _warn_of_changes(source, journal.settings)
        for note in answers.notes:
            warnings.warn(note, UserWarning, stacklevel=2)
        changes = changes_of(answers, journal, source, project.settings.classes, str(args.file))
        changes.write(journal, args.by)
        n_labels, n_open = len(journal), sum(map(len, open_batches(journal).values()))
        _say_changes(args.file, changes)
        code = 0 if args.no_train else _retrain(project, source, journal)
    _say(
        f"{n_labels} labels in all. "
        + (f"{n_open} without an answer yet." if n_open else f"Next: skal query{_option(project.folder)}")
    )
    return code


def _say_changes(file: Path, changes: Changes) -> None:
    _say(f"{file}: {changes}.")
    if changes.renamed:
        one, given = next(iter(changes.renamed.items()))
        _say(f"  {len(changes.renamed)} have another path there, such as {given} for {one}")
    for one, (before, after) in list(changes.corrections.items())[:10]:
        _say(f"  {one}: {before} -> {after}")
    if len(changes.corrections) > 10:
        _say(f"  and {len(changes.corrections) - 10} more")


def _retrain(project: Project, source: Source, journal: LabelJournal) -> int:
    """Train on all labels, where that gives another model, and say so in one line; 1 where it failed."""
    labels = journal.labels()
    if len(set(labels.values())) < 2:
        _say("No model yet: it takes labels of two classes.")
        return 0
    try:
        key = key_of(project, source, labels)
        if is_current(project, key):
            _say(f"{MODEL} is up to date.")
            return 0
        _check_there(source, journal, project)
        from ._train import train

        before = noted(project)
        now = train(project, source, labels, key)
    except KeyboardInterrupt as stop:
        stop.args = (f"All answers are kept; {MODEL} was not trained anew, which the same command does.",)
        raise
    except Exception as error:  # whatever a foreign classifier raises
        why = " ".join(f"{type(error).__name__}: {error}".split())
        sys.stderr.write(f"skal teach: all answers are kept, but {MODEL} could not be trained anew. {why}\n")
        return 1
    what = f"{MODEL} is trained on {len(labels)} labels"
    if isinstance(now, str):
        _say(f"{what}; {' '.join(now.split())}.")
        return 0
    then = f"; it was {before['accuracy']:.3f} with {before['n_labels']}" if "accuracy" in before else ""
    _say(f"{what}: accuracy {now.accuracy:.3f}, 95 % interval {now.low:.3f} to {now.high:.3f}{then}.")
    return 0


# -- status --------------------------------------------------------------------------------------------------------


def _describe_status(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Say how many labels each class has, what accuracy can be expected, and how it grew with the labels."
    )


def _status(args: argparse.Namespace) -> None:
    project = Project(args.project)
    source = load_source(project)
    settings = project.settings
    with project.journal(source) as journal:
        labels, n_skipped, left = journal.labels(), len(journal.skipped()), open_batches(journal)
        n_last = sum(map(len, left.values())) or len(([[], *journal.batches])[-1])
        _warn_of_changes(source, journal.settings)
    about = noted(project)
    _say(f"{_count(len(source), settings.kind)}: {len(labels)} labelled, {n_skipped} skipped.")
    counts = Counter(labels.values())
    width = max(len(str(each)) for each in settings.classes)
    for each in settings.classes:
        _say(f"  {each!s:<{width}}  {counts[each]:>6,}")
    for number, ids in left.items():
        _say(f"Batch {number:04d} has {len(ids)} without an answer: {project.batch_folder(number) / 'tasks.csv'}")
    if about:
        is_new = is_current(project, key_of(project, source, labels))
        state = "up to date" if is_new else "out of date; the next skal teach trains it anew"
        _say(f"{MODEL}, trained on {about['n_labels']} labels, is {state}.")
    _say_accuracy(project, source, labels, min(n_last, len(source) - len(labels) - n_skipped))


def _say_accuracy(project: Project, source: Source, labels: dict[Any, Any], n_next: int) -> None:
    """The accuracy so far, its curve, and what `n_next` more labels are expected to bring."""
    from ._estimate import lacks, learning_curve, next_gain

    why_not = lacks(list(labels.values()))
    if why_not:
        _say(f"{why_not[0].upper()}{why_not[1:]}.")
        return
    from ._features import features_of
    from ._named import make_model

    settings = project.settings
    places = {one: source.position(one) for one in labels}
    known = {one: place for one, place in places.items() if place is not None}
    X = features_of(project, source)[list(known.values())]
    curve = learning_curve(
        make_model(settings.model, project.folder, settings.seed), X, [labels[one] for one in known], settings.seed
    )
    last = curve[-1]
    _say(
        f"Accuracy {last.accuracy:.3f}, 95 % interval {last.low:.3f} to {last.high:.3f}, by cross-validation on the "
        f"labelled samples.\nThese were chosen, mostly as difficult ones: on all samples it may well be another."
    )
    _say("labels  accuracy")
    for point in curve:
        _say(f"{point.n_labels:>6,}  {point.accuracy:.3f}  ({point.low:.3f} to {point.high:.3f})")
    found = next_gain(curve, n_next)
    if found is not None:
        _say(
            f"The next {n_next} labels are forecast to bring {found.gain:+.3f} of it, 95 % interval "
            f"{found.low:+.3f} to {found.high:+.3f}."
        )


# -- undo ----------------------------------------------------------------------------------------------------------


def _describe_undo(command: argparse.ArgumentParser) -> None:
    command.description = "Take back the last answers: labels, corrections and skips, each of one sample."
    command.add_argument(
        "-n", type=int, default=1, metavar="N", help="how many answers to take back (default: %(default)s)"
    )


def _undo(args: argparse.Namespace) -> None:
    if args.n < 1:
        raise ValueError(f"-n must be at least 1. Got {args.n}.")
    project = Project(args.project)
    with project.journal() as journal:
        if args.n > journal.n_answers:
            raise ValueError(f"-n must be at most {journal.n_answers}, the answers that there are. Got {args.n}.")
        before = journal.labels()
        undone = journal.undo(args.n)
        for one in dict.fromkeys(undone):
            state, value = journal.state_of(one)
            was = f"{before[one]}" if one in before else "skipped"
            _say(f"  {one}: {was} -> {value if state == 'label' else 'skipped' if state == 'skip' else 'no answer'}")
        _say(f"{len(undone)} taken back; {len(journal)} labels are left.")


# -- parts ---------------------------------------------------------------------------------------------------------


def _count(n: int, kind: str) -> str:
    noun = {"images": "image", "table": "row", "text": "text"}[kind]
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _option(folder: Path) -> str:
    return "" if folder == Path() else f" --project {folder}"


def _split(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _warn_of_changes(source: Source, noted: dict[str, Any]) -> None:
    if isinstance(source, Images):
        return
    rows = noted.get("rows") or []
    changed = source.changed(rows)
    if changed:
        warnings.warn(
            f"{len(changed)} of {len(rows)} rows that were noted when labelling began are not what they were, "
            f"row {changed[0]} for one. Each label belongs to the row of its number: new rows stand behind the others.",
            UserWarning,
            stacklevel=2,
        )


@contextmanager
def _one_line_warnings(name: str) -> Iterator[None]:
    """Warnings of ours are meant for whoever types the command: a sentence, without a line of code."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], filename: str, *where: Any, **more: Any) -> None:
            if category is UserWarning:
                sys.stderr.write(f"skal {name}: {' '.join(str(message).split())}\n")
            else:
                usual(message, category, filename, *where, **more)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


START = Command("start", _describe_start, _start, "Nothing was begun.")
QUERY = Command("query", _describe_query, _query, "No label is lost; the same command goes on from there.")
TEACH = Command("teach", _describe_teach, _teach, "What was taken over is kept; give the same file again for the rest.")
STATUS = Command("status", _describe_status, _status, "No label is lost.")
UNDO = Command("undo", _describe_undo, _undo, "skal status says what holds.")
