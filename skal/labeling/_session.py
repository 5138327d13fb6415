"""People at work on all samples at once: ask, label, skip, correct, stop, and go on tomorrow."""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import NDArray

from ..exceptions import JournalError
from ..learners import ActiveLearner, check_cold_start
from ..rows import check_labels, lazy_rows, take_rows
from ..utils._validation import check_n_instances, kind_of, shown
from ._answers import Id, as_ids, as_values, pairs_of, same_value
from ._classes import (
    check_among,
    check_given,
    checked_classes,
    continued_classes,
    kind_of_label,
    labels_outside,
    listed_classes,
)
from ._ids import Ids, changed_samples, witnesses
from ._journal import LabelJournal
from ._memory import keep_memory, kept_memory

__all__ = ["LabelingSession"]


class LabelingSession:
    """Labelling by people, over days: stable ids, nothing shrinks, every answer is on disk before the call returns.

    Parameters
    ----------
    learner : ActiveLearner
        Chooses what to ask for. What it has been taught before stays its own; what is labelled here comes behind. It
        is changed: it holds, and is trained on, what is labelled.
    X : container of n samples
        All samples, labelled or not, in any container that skal takes. The session keeps no copy, and `X` does not
        shrink.
    journal : str, path or LabelJournal
        Where everything is written down; a new one.
    ids : sequence of n different str or int, or None, default=None
        Names of the samples, such as file names. None: their positions, 0 to n - 1.
    classes : sequence of labels or None, default=None
        All labels that there are. A label outside them is an error that names the nearest. None: those of the learner,
        which must be the same where both are given.
    cold_start : "random", strategy or None, default=None
        Chooses while nothing is labelled, or one class only; a strategy must need embeddings alone. None is the
        learner's own choice.

    Attributes
    ----------
    journal : LabelJournal
    learner : ActiveLearner
    classes : list or None
        A copy. May be set, to add a class at any time, or to drop one that no sample has: the list is journalled, and
        is then that of the learner, too, where that has one.
    labels_ : dict of id to label
        In the order of labelling.
    skipped_ : set of ids
    pool_ids_ : list of ids
        Neither labelled nor skipped, in the order of `X`.
    n_labels_ : int
    round : int
        Queries of which every id is labelled or skipped.

    Raises
    ------
    JournalError
        The journal holds something already (`LabelingSession.resume` goes on with it), or cannot be used.
    JournalLockedError
        Another session writes to it.
    TypeError
        `learner` is no `ActiveLearner`, an id neither str nor int, or `cold_start` no strategy.
    ValueError
        `ids` of another number, or twice the same; `classes` that are not those of the learner, or that lack a label
        that it has.

    Notes
    -----
    What is labelled is what the journal says; all else is computed from it. So a session that ended in whatever way is
    resumed where it was, and its next query is the one that would have come, provided that training and strategy are
    deterministic (`random_state` an integer). What strategies keep from one query to the next (BAL's order, for one)
    lies in `<journal>.memory`, a pickle, to be loaded only from people you trust; it is made anew, with a warning,
    where it is missing.

    Cost: `label` writes a line for each id and waits for the disk once. `query` trains the learner on all labels where
    they are new, and hands it the rows of the pool: of a Dataset, a list or a large memory map references to them, of
    `Shards` their positions, of an array in memory or a frame a copy that lasts as long as the query.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.labeling import LabelingSession
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import MarginSampling
    >>> X, y = load_iris(return_X_y=True)
    >>> names = ["setosa", "versicolor", "virginica"]
    >>> path = os.path.join(tempfile.mkdtemp(), "labels.jsonl")
    >>> def make():
    ...     model = LogisticRegression(max_iter=500)
    ...     return ActiveLearner(model, MarginSampling(), cold_start="random", random_state=0)
    >>> with LabelingSession(make(), X, journal=path, classes=names) as session:
    ...     for _ in range(3):
    ...         batch = session.query(5)
    ...         session.label(batch, [names[y[i]] for i in batch])
    >>> with LabelingSession.resume(path, make(), X) as session:
    ...     session.n_labels_, session.round, len(session.query(5))
    (15, 3, 5)
    """

    def __init__(
        self,
        learner: ActiveLearner,
        X: Any,
        *,
        journal: str | os.PathLike[str] | LabelJournal,
        ids: Sequence[Id] | None = None,
        classes: Sequence[Any] | None = None,
        cold_start: Any = None,
    ) -> None:
        _check_learner(learner)
        _check_journal(journal)
        known = Ids(ids, X)
        if cold_start is not None:
            check_cold_start(cold_start)
        names = checked_classes(classes, learner)
        _check_own(learner, names)
        if not isinstance(journal, LabelJournal) and os.path.isfile(journal) and os.path.getsize(journal) > 0:
            raise JournalError(
                f"The journal '{journal}' exists already. LabelingSession.resume goes on with it; a new session needs "
                f"a new file."
            )
        with _opened(journal) as opened:
            if opened.settings or opened.batches:
                raise JournalError(
                    f"The journal '{opened.path}' holds a session already, which LabelingSession.resume goes on with."
                )
            settings: dict[str, Any] = {
                "session": uuid.uuid4().hex,
                "classes": names,
                "n": len(known),
                "ids": "positions" if known.are_positions else "given",
                "seen": witnesses(X, known),
                "cold_start": cold_start if cold_start is None or isinstance(cold_start, str) else _text_of(cold_start),
                "round": learner.round,
            }
            if settings["cold_start"] != cold_start:
                # First, so that a journal that says so is never without it.
                keep_memory(opened.path, settings["session"], learner.memory, cold_start)
            opened.open(**settings)
            self._begin(learner, X, opened, known, names, cold_start)

    @classmethod
    def resume(
        cls,
        journal: str | os.PathLike[str] | LabelJournal,
        learner: ActiveLearner,
        X: Any,
        *,
        ids: Sequence[Id] | None = None,
        classes: Sequence[Any] | None = None,
    ) -> Self:
        """Go on with a journal.

        Parameters
        ----------
        journal : str, path or LabelJournal
            What was written down. Classes and cold start come from it.
        learner : ActiveLearner
            As the session had it at its beginning: the same estimator and strategy, and the same data of its own. The
            one that the session has had all along will do. It is trained by the next query.
        X : container of n samples
            The same samples in the same order; more may stand behind them. With `ids`, in any order.
        ids : sequence of n different str or int, or None, default=None
            As at the beginning.
        classes : sequence of labels or None, default=None
            All classes of the journal and new ones, where some are to be added: the list is journalled, and the next
            `resume` needs it no more. None: those of the learner, for which the same holds, else those of the journal.

        Returns
        -------
        LabelingSession

        Raises
        ------
        JournalError
            There is no such journal, it holds nothing, or it cannot be used.
        JournalLockedError
            Another session writes to it.
        TypeError, ValueError
            As at the beginning; the journal has ids that are not among `ids`, classes or labels that are not among
            those given.

        Warns
        -----
        UserWarning
            Samples are not what they were; what strategies keep is missing; lines of the journal are damaged, or it has
            labels that are none of its classes, which then are classes, too.
        """
        _check_learner(learner)
        _check_journal(journal)
        known = Ids(ids, X)
        if not isinstance(journal, LabelJournal) and not os.path.isfile(journal):
            raise JournalError(f"There is no journal '{journal}' to resume. LabelingSession begins one.")
        session = cls.__new__(cls)
        with _opened(journal) as opened:
            if not (opened.settings or opened.batches or opened.labels() or opened.skipped()):
                raise JournalError(f"The journal '{opened.path}' holds nothing to resume. LabelingSession begins one.")
            _check_same(opened, X, known)
            noted = opened.settings
            names = _continued(opened, checked_classes(classes, learner))
            _check_own(learner, names)
            cold_start = noted.get("cold_start")
            is_kept = noted.get("memory", False) or cold_start not in (None, "random")
            memory, strategy = kept_memory(opened.path, noted.get("session"), expected=is_kept)
            if names is not noted.get("classes"):
                opened.open(classes=names)
            session._begin(learner, X, opened, known, names, cold_start if cold_start in (None, "random") else strategy)
            if memory is not None:
                learner.memory = memory
                session._changes = memory.changes
        return session

    def _begin(
        self,
        learner: ActiveLearner,
        X: Any,
        journal: LabelJournal,
        ids: Ids,
        classes: list[Any] | None,
        cold_start: Any,
    ) -> None:
        self.learner, self.X, self.journal = learner, X, journal
        self._classes, self.cold_start = classes, cold_start
        self._ids = ids
        # Whose labels the learner is given; by the path where the journal's first line is lost.
        self._source = str(journal.settings.get("session", journal.path.resolve()))
        self._first_round = journal.settings.get("round", learner.round)
        self._kind = None if classes is not None else _kind_of(learner.y_training)
        # What the learner has been trained on, in order; of a resumed one that is not known.
        self._taught: list[tuple[Id, Any]] | None = None if journal.labels() else []
        self._changes = 0

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def classes(self) -> list[Any] | None:
        """All labels that there are; None where that was not said."""
        return None if self._classes is None else list(self._classes)

    @classes.setter
    def classes(self, classes: Sequence[Any]) -> None:
        names = listed_classes(classes)
        check_given(self.journal.labels(), names)
        _check_own(self.learner, names)
        if not same_value(names, self._classes):
            self.journal.open(classes=names)
        self._classes, self._kind = names, None
        if self.learner.classes is not None:
            self.learner.classes = names

    @property
    def labels_(self) -> dict[Id, Any]:
        """The label of each id that has one, in the order of labelling."""
        return self.journal.labels()

    @property
    def skipped_(self) -> set[Id]:
        """The ids that are skipped."""
        return self.journal.skipped()

    @property
    def n_labels_(self) -> int:
        """The number of labels."""
        return len(self.journal)

    @property
    def pool_ids_(self) -> list[Id]:
        """The ids that are neither labelled nor skipped, in the order of `X`."""
        return self._ids.names(self._pool())

    @property
    def round(self) -> int:
        """The number of queries of which every id is labelled or skipped."""
        return sum(not self._unanswered(batch) for batch in self.journal.batches)

    def _unanswered(self, batch: Sequence[Id]) -> list[Id]:
        return [one for one in batch if not self.journal.state_of(one)[0]]

    def _pool(self) -> NDArray[np.int64]:
        is_open = np.ones(len(self._ids), dtype=bool)
        is_open[self._ids.positions([*self.journal.labels(), *self.journal.skipped()])] = False
        return np.flatnonzero(is_open)

    def __repr__(self) -> str:
        return (
            f"LabelingSession('{self.journal.path}', {len(self._ids)} samples, {self.n_labels_} labels, "
            f"{len(self.skipped_)} skipped, round {self.round})"
        )

    # -- what people do ------------------------------------------------------------------------------------------

    def query(self, n_instances: int = 1, **overrides: Any) -> list[Id]:
        """Ask which samples to label next.

        A query that was not answered is offered again first: while ids of one are neither labelled nor skipped, they
        come back, the first `n_instances` of them, and nothing new is chosen. `skip` ends them.

        Parameters
        ----------
        n_instances : int, default=1
            How many, at most the samples left.
        **overrides
            Parameters of the strategy for this query only.

        Returns
        -------
        list of n_instances ids
            Most informative first; fewer where a query is offered again that has fewer left.

        Raises
        ------
        ValueError
            More samples than there are left.
        JournalError
            The disk did not take the query. As with every failed query, session and learner are as they were, but for
            a training on new labels that was finished.
        """
        check_n_instances(n_instances, len(self._ids))
        left = [one for batch in self.journal.batches for one in self._unanswered(batch)]
        if left:
            return list(dict.fromkeys(left))[:n_instances]
        pool = self._pool()
        if n_instances > len(pool):
            raise ValueError(
                f"n_instances must be at most {len(pool)}, the number of samples left of {len(self._ids)}. "
                f"Got {n_instances} instead."
            )
        if self._taught != list(self.journal.labels().items()):
            self.retrain()
        rows = lazy_rows(self.X, pool) if len(pool) < len(self._ids) else self.X
        with self._in_its_round():
            picks = self._picks(rows, len(pool), n_instances, overrides)
            batch = self._ids.names(pool[picks])
            # Before the query is noted, so that what it found is there for the same query after a kill.
            kept = self._keep_memory()
            about = {"strategy": _text_of(self.learner.query_strategy), "model": _hash_of(self.learner)}
            if kept and not self.journal.settings.get("memory"):
                self.journal.open(memory=True)
            self.journal.query(batch, **about)
        return batch

    def label(self, ids: Any, y: Any, *, by: str | None = None) -> None:
        """Labels of samples, in the pool or not; when the call returns, they are on disk.

        Parameters
        ----------
        ids : id or sequence of n different ids
        y : label or container of n labels
            For a detector: a dict of pixel `boxes` (x1, y1, x2, y2) and `labels`, or a list of such.
        by : str or None, default=None
            Who says so.

        Raises
        ------
        TypeError
            An id or a label of a kind that there is not.
        ValueError
            An unknown id; a label that is missing, of another kind than the others, or not among `classes`; an id
            that has another label (`relabel` corrects it). Nothing is written.
        JournalError
            The disk did not take it; nothing is written.
        """
        self.journal.label(*self._checked(ids, y, "label"), by=by)

    def relabel(self, ids: Any, y: Any, *, by: str | None = None) -> None:
        """Correct labels of samples that have one; parameters and errors as `label` has them."""
        self.journal.relabel(*self._checked(ids, y, "relabel"), by=by)

    def skip(self, ids: Any, *, by: str | None = None) -> None:
        """Do not ask for these samples again; a label that one has ends, and `label` of one ends the skip.

        Parameters
        ----------
        ids : id or sequence of n different ids
        by : str or None, default=None
            Who says so.
        """
        found = as_ids(ids)
        self._ids.positions(found)
        self.journal.skip(found, by=by)

    def undo(self, n: int = 1, *, by: str | None = None) -> list[Id]:
        """Take back the last `n` answers (labels, corrections, skips), one for each id.

        Parameters
        ----------
        n : int, default=1
        by : str or None, default=None
            Who says so.

        Returns
        -------
        list of n ids
            Whose answers these were, latest first.

        Raises
        ------
        ValueError
            There are fewer answers. Nothing is written.
        """
        undone = self.journal.undo(n, by=by)
        if self._classes is not None:
            # A class that was dropped comes back with its label.
            labels = self.journal.labels()
            back = {one: labels[one] for one in undone if one in labels}
            lacking = dict.fromkeys(label for _, label in labels_outside(back, self._classes))
            if lacking:
                self.classes = [*self._classes, *lacking]
        return undone

    def retrain(self) -> None:
        """Train the learner on what it has of its own and on all labels, in the order of the journal.

        `query` calls it where labels are new. A classifier without labels of its own waits for a second class; until
        then the learner stays untrained and its cold start chooses.
        """
        labels = self.journal.labels()
        y = list(labels.values())
        if labels:
            rows = take_rows(self.X, self._ids.positions(labels))
            self.learner.retrain(rows, y if isinstance(y[0], dict) else np.asarray(y), source=self._source)
        else:
            self.learner.retrain(source=self._source)
        self._taught = list(labels.items())

    # -- the end -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Release the journal; what is held can still be asked for."""
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    # -- parts ---------------------------------------------------------------------------------------------------

    def _checked(self, ids: Any, y: Any, verb: str) -> tuple[list[Id], list[Any]]:
        """Ids and labels as they are written down, checked against the classes and the kind of the others."""
        pairs = pairs_of(ids, y, verb)
        found, labels = [one for one, _ in pairs], [label for _, label in pairs]
        self._ids.positions(found)
        for label in labels:
            if label is None or (isinstance(label, str) and not label.strip()):
                raise ValueError(f"A label must not be empty. Got {label!r}; skip says that a sample has none.")
        if self._classes is not None:
            check_among(labels, self._classes)
        else:
            known = self._kind or kind_of_label(self.journal.a_label(labels[0] if labels else None))
            for label in labels:
                if kind_of_label(label) != known:
                    raise ValueError(f"Labels must be of one kind, here {known}. Got {shown(label)}.")
        return found, labels

    @contextmanager
    def _in_its_round(self) -> Iterator[None]:
        """The learner in the session's round, with its cold start; a failure leaves it, and its memory, as it was."""
        learner = self.learner
        before, own = learner.round, learner.cold_start
        learner.round = self._first_round + self.round
        if self.cold_start is not None:
            learner.cold_start = self.cold_start
        try:
            with learner.memory.unchanged_on_error():
                yield
        except BaseException:
            learner.round = before
            raise
        finally:
            learner.cold_start = own

    def _picks(self, rows: Any, n: int, n_instances: int, overrides: dict[str, Any]) -> NDArray[np.int64]:
        """Positions in the pool; those of a strategy that is not skal's may be anything."""
        picks = np.asarray(self.learner.query(rows, n_instances=n_instances, **overrides)[0])
        if picks.dtype == bool and picks.shape == (n,):
            picks = np.flatnonzero(picks)
        is_fine = picks.ndim == 1 and picks.dtype.kind in "iu" and len(np.unique(picks)) == len(picks) > 0
        if not is_fine or picks.min() < 0 or picks.max() >= n:
            raise ValueError(
                f"The query strategy must return different positions in the pool of {n} samples. Got {shown(picks)}."
            )
        return picks.astype(np.int64)

    def _keep_memory(self) -> bool:
        """Write down what strategies keep, where there is something new; whether they keep anything."""
        memory = self.learner.memory
        if memory.changes != self._changes:
            is_strategy = not (self.cold_start is None or isinstance(self.cold_start, str))
            session = self.journal.settings.get("session")
            keep_memory(self.journal.path, session, memory, self.cold_start if is_strategy else None)
            self._changes = memory.changes
        return memory.changes > 0


def _check_learner(learner: Any) -> None:
    if not isinstance(learner, ActiveLearner):
        raise TypeError(f"learner must be a skal.learners.ActiveLearner. Got {kind_of(learner)} instead.")


def _check_journal(journal: Any) -> None:
    if not isinstance(journal, (str, os.PathLike, LabelJournal)):
        raise TypeError(f"journal must be a str, a path or a LabelJournal. Got {shown(journal)} instead.")


@contextmanager
def _opened(journal: str | os.PathLike[str] | LabelJournal) -> Iterator[LabelJournal]:
    """The journal, which is closed where the block fails, unless it came open."""
    opened = journal if isinstance(journal, LabelJournal) else LabelJournal(journal)
    try:
        yield opened
    except BaseException:
        if opened is not journal:
            opened.close()
        raise


def _check_own(learner: ActiveLearner, classes: list[Any] | None) -> None:
    """Whether the labels of the learner's own data are among the classes."""
    if classes is not None and learner.y_training is not None:
        check_labels(learner.y_training, classes, "y_training of the learner")


def _continued(journal: LabelJournal, given: list[Any] | None) -> list[Any] | None:
    """The classes that a journal goes on with."""
    noted, labels = journal.settings.get("classes"), journal.labels()
    names = continued_classes(noted, given, labels, journal.path)
    if given is None and noted is not None and names is not noted:
        one, label = next(labels_outside(labels, noted))
        _warn(
            f"The journal '{journal.path}' has labels that are none of its classes, {label!r} of {one!r} for one. They "
            f"are classes from now on."
        )
    return names


def _check_same(journal: LabelJournal, X: Any, ids: Ids) -> None:
    """Whether `X` and `ids` are those of the journal."""
    expected = journal.settings.get("ids")
    if expected is not None and expected != ("positions" if ids.are_positions else "given"):
        say = "they were given then: give the same" if ids.are_positions else "there were none: leave them out"
        raise ValueError(f"ids must be as when the journal '{journal.path}' began; {say}.")
    try:
        ids.positions([*journal.labels(), *journal.skipped(), *(one for batch in journal.batches for one in batch)])
    except ValueError as error:
        raise ValueError(f"X and ids must be those of the journal '{journal.path}'. {error}") from error
    seen = journal.settings.get("seen") or []
    changed = changed_samples(X, ids, seen)
    if changed:
        _warn(
            f"{len(changed)} of {len(seen)} samples that the journal '{journal.path}' remembers are not what they "
            f"were, {changed[0]!r} for one. Each label belongs to the sample of its id."
        )
    if not journal.settings:
        _warn(f"The journal '{journal.path}' has lost its first line, and with it what classes there are.")


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=4)


def _kind_of(y: Any) -> str | None:
    """The kind of the labels that a learner has; None where it has none."""
    if y is None or len(y) == 0:
        return None
    with suppress(TypeError, ValueError):
        return kind_of_label(as_values(take_rows(y, slice(0, 1)))[0])
    return None


def _text_of(strategy: Any) -> str:
    if hasattr(strategy, "get_params"):
        return " ".join(repr(strategy).split())
    return getattr(strategy, "__name__", type(strategy).__name__)


def _hash_of(learner: ActiveLearner) -> str | None:
    """What tells one fitted model from another; None for one that cannot be pickled."""
    try:
        return str(joblib.hash(learner.estimator))
    except Exception:  # whatever a foreign object raises when it is pickled
        return None
