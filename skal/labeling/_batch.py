"""Batches: chosen by the project's strategy, and written for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..learners import ActiveLearner
from ..strategies import Prefilter
from ..utils._files import write_atomically
from ._answers import Id
from ._contact_sheet import Card, contact_sheet
from ._features import features_of
from ._journal import LabelJournal
from ._named import make_model, make_strategy
from ._project import Project
from ._session import LabelingSession
from ._sources import Source
from ._write_tasks import write_tasks

__all__ = ["Batch", "new_batch", "write_batch"]

# Beyond, the cold start does not look at every sample.
_LARGE = 10_000


@dataclass
class Batch:
    """Samples to be labelled, the most informative first, and what the model thinks of them, where there is one."""

    ids: list[Id]
    proba: Any = None
    classes: list[Any] = field(default_factory=list)

    def guess(self, i: int) -> str:
        if self.proba is None:
            return ""
        best = int(self.proba[i].argmax())
        return f"{self.classes[best]} ({self.proba[i][best]:.0%})"


def new_batch(project: Project, source: Source, journal: LabelJournal, n: int) -> Batch:
    """Train on what the journal holds, and choose."""
    settings, folder = project.settings, project.folder
    learner = ActiveLearner(
        make_model(settings.model, folder, settings.seed),
        make_strategy(settings.strategy, folder, settings.seed),
        classes=settings.classes,
        cold_start=_cold_start(project, len(source), n),
        random_state=settings.seed,
    )
    X = features_of(project, source)
    session = LabelingSession.resume(journal, learner, X, ids=source.ids)
    batch = Batch(session.query(n))
    if len(set(journal.labels().values())) > 1 and hasattr(learner.estimator, "predict_proba"):
        batch.proba = learner.predict_proba(X[[source.position(one) for one in batch.ids]])
        batch.classes = list(learner.estimator.classes_)
    return batch


def _cold_start(project: Project, n_samples: int, n: int) -> Any:
    """Who chooses without labels: of a large pool, among samples drawn at random, as clustering all takes too long."""
    spec, seed = project.settings.cold_start, project.settings.seed
    if spec["name"] == "random":
        return "random"
    strategy = make_strategy(spec, project.folder, seed)
    if n_samples <= _LARGE:
        return strategy
    return Prefilter(strategy, n_candidates=max(_LARGE, n), random_state=seed)


def write_batch(project: Project, source: Source, number: int, batch: Batch) -> Path:
    """Write the files of a batch that are not there; those that are may hold answers.

    The contact sheet comes last: where it is, the others are.
    """
    folder = project.batch_folder(number)
    folder.mkdir(parents=True, exist_ok=True)
    shown = [source.show(source.position(one)) for one in batch.ids]  # type: ignore[arg-type]
    files = [_line(each, one) for each, one in zip(shown, batch.ids, strict=True)]
    about: dict[str, Any] = {"files": files, "classes": batch.classes or project.settings.classes, "proba": batch.proba}
    for name, format in (("tasks.csv", "csv"), ("label-studio.json", "label-studio")):
        if not (folder / name).exists():
            write_tasks(folder / name, batch.ids, format=format, **about)
    cards = [Card(one, each, batch.guess(i)) for i, (one, each) in enumerate(zip(batch.ids, shown, strict=True))]
    title = f"Batch {number:04d}: {len(cards)} to label"
    note = f"Classes: {', '.join(map(str, project.settings.classes))}. The most informative come first."
    # Names of files may hold bytes that are no text.
    write_atomically(folder / "contact-sheet.html", contact_sheet(title, note, cards).encode("utf-8", "replace"))
    return folder


def _line(shown: Any, one: Id) -> str:
    """A sample in one cell of a spreadsheet, or one field of an annotation tool; an image by its name."""
    if isinstance(shown, Path):
        return str(one)
    if isinstance(shown, dict):
        return "; ".join(f"{name}: {value}" for name, value in shown.items())
    return str(shown)
