"""People at work on all samples at once: ask, label, skip, correct, stop, and go on tomorrow."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from ..exceptions import JournalError
from ..learners import ActiveLearner
from ..rows import check_labels, n_rows, row_keys, take_rows
from ._events import Id, as_ids, as_value
from ._journal import LabelJournal
from ._memory import keep_memory, kept_memory

__all__ = ["LabelingSession"]

# So many samples, evenly spread, tell whether a resumed session is about the same data.
_WITNESSES = 16


class LabelingSession:
    """Labelling by people, over days: stable ids, nothing shrinks, every answer is on disk before the call returns.

    Parameters
    ----------
    learner : ActiveLearner
        Chooses what to ask for. Data of its own (`X_training`) stay its initial data; what is labelled here comes
        behind. It is changed: it holds, and is trained on, what is labelled.
    X : container of n samples
        All samples, labelled or not, in any container that skal takes. It is not copied and does not shrink.
    journal : str, path or LabelJournal
        Where everything is written down; a new one.
    ids : sequence of n different str or int, or None, default=None
        Names of the samples, such as file names. None: their positions, 0 to n - 1.
    classes : sequence of labels or None, default=None
        All labels that there are. A label outside them is an error that names the nearest.
    cold_start : "random", strategy or None, default=None
        Chooses while nothing is labelled; None is the learner's own choice.

    Attributes
    ----------
    journal : LabelJournal
    learner : ActiveLearner
    classes : list or None
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
    ValueError
        `ids` of another number, or twice the same.

    Notes
    -----
    What is labelled is what the journal says; all else is computed from it. So a session that ended in whatever way
    is resumed where it was, and its next query is the one that would have come, provided that the learner's training
    is deterministic (`random_state`). What strategies keep from one query to the next (BAL's order, for one) lies in
    `<journal>.memory`, a pickle, and is made anew, with a warning, where that is missing.

    Cost: `label` writes a line per id and waits for the disk; `query` trains the learner on all labels where they are
    new, and hands it the rows of the pool.

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
    >>> make = lambda: ActiveLearner(LogisticRegression(max_iter=500), MarginSampling(), random_state=0)
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
        known = _known_ids(ids, X)
        names = None if classes is None else [as_value(each) for each in classes]
        _check_learner(learner)
        opened = journal if isinstance(journal, LabelJournal) else None
        if opened is None and Path(journal).exists() and Path(journal).stat().st_size > 0:
            raise JournalError(
                f"The journal '{journal}' exists already. LabelingSession.resume goes on with it; a new session needs "
                f"a new file."
            )
        opened = opened or LabelJournal(journal)
        try:
            if opened.settings or opened.labels() or opened.batches:
                raise JournalError(
                    f"The journal '{opened.path}' holds a session already, which LabelingSession.resume goes on with."
                )
            opened.open(classes=names, n=n_rows(X), ids="given" if ids is not None else "positions", seen=_witnesses(X))
            self._begin(learner, X, opened, known, cold_start)
            if cold_start is not None:
                self._keep_memory()
        except BaseException:
            if opened is not journal:
                opened.close()
            raise

    @classmethod
    def resume(
        cls,
        journal: str | os.PathLike[str] | LabelJournal,
        learner: ActiveLearner,
        X: Any,
        *,
        ids: Sequence[Id] | None = None,
    ) -> Self:
        """Go on with a journal.

        Parameters
        ----------
        journal : str, path or LabelJournal
            What was written down. Classes and cold start come from it.
        learner : ActiveLearner
            As the session had it at its beginning: the same estimator and strategy, and the same initial data.
        X : container of n samples
            The same samples in the same order; more may stand behind them.
        ids : sequence of n different str or int, or None, default=None
            As at the beginning.

        Returns
        -------
        LabelingSession

        Raises
        ------
        JournalError
            There is no such journal, or it cannot be used.
        ValueError
            The journal has ids that are not among `ids`.

        Warns
        -----
        UserWarning
            Samples are not what they were; what strategies keep is missing; lines of the journal are damaged.
        """
        known = _known_ids(ids, X)
        _check_learner(learner)
        opened = journal if isinstance(journal, LabelJournal) else None
        if opened is None and not Path(journal).is_file():
            raise JournalError(f"There is no journal '{journal}' to resume. LabelingSession begins one.")
        opened = opened or LabelJournal(journal)
        session = cls.__new__(cls)
        try:
            _check_same(opened, X, known, given=ids is not None)
            memory, cold_start = kept_memory(opened.path, expected=opened.settings.get("memory", False))
            session._begin(learner, X, opened, known, cold_start)
            if memory is not None:
                learner.memory = memory
        except BaseException:
            if opened is not journal:
                opened.close()
            raise
        return session

    def _begin(self, learner: ActiveLearner, X: Any, journal: LabelJournal, ids: _Ids, cold_start: Any) -> None:
        self.learner, self.X, self.journal, self.cold_start = learner, X, journal, cold_start
        self._ids = ids
        self.classes = journal.settings.get("classes")
        self._first_round = learner.round
        self._taught: dict[Id, Any] | None = None
        self._changes = learner.memory.changes

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def labels_(self) -> dict[Id, Any]:
        return self.journal.labels()

    @property
    def skipped_(self) -> set[Id]:
        return self.journal.skipped()

    @property
    def n_labels_(self) -> int:
        return len(self.journal)

    @property
    def pool_ids_(self) -> list[Id]:
        return self._ids.names(self._pool())

    @property
    def round(self) -> int:
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
        list of ids
            Most informative first.

        Raises
        ------
        ValueError
            More samples than there are left. As with every failed query, session and learner are as they were.
        """
        if isinstance(n_instances, bool) or not isinstance(n_instances, (int, np.integer)) or n_instances < 1:
            raise ValueError(f"n_instances must be an int in the range [1, inf). Got {n_instances!r} instead.")
        left = [one for batch in self.journal.batches for one in self._unanswered(batch)]
        if left:
            return list(dict.fromkeys(left))[:n_instances]
        pool = self._pool()
        if n_instances > len(pool):
            raise ValueError(
                f"n_instances must be at most {len(pool)}, the number of samples left of {len(self._ids)}. "
                f"Got {n_instances} instead."
            )
        if self._taught != self.journal.labels():
            self.retrain()
        self.learner.round = self._first_round + self.round
        rows = take_rows(self.X, pool) if len(pool) < len(self._ids) else self.X
        with self._own_cold_start():
            picks = np.asarray(self.learner.query(rows, n_instances=n_instances, **overrides)[0], dtype=np.int64)
        batch = self._ids.names(pool[picks])
        # Before the query is noted, so that what it found is there for the same query after a kill.
        self._keep_memory()
        self.journal.query(batch, strategy=_text_of(self.learner.query_strategy), model=_hash_of(self.learner))
        return batch

    def label(self, ids: Any, y: Any, *, by: str | None = None) -> None:
        """Labels of samples, in the pool or not; when the call returns, they are on disk.

        Parameters
        ----------
        ids : id or sequence of n different ids
        y : label or sequence of n labels
            For a detector: a dict of pixel `boxes` (x1, y1, x2, y2) and `labels`, or a list of such.
        by : str or None, default=None
            Who says so.

        Raises
        ------
        ValueError
            An unknown id; a label that is missing, of another kind than the others, or not among `classes`; an id
            that has another label (`relabel` corrects it). Nothing is written.
        JournalError
            The disk did not take it; nothing is written.
        """
        self.journal.label(self._known(ids), self._labels_of(y), by=by)

    def relabel(self, ids: Any, y: Any, *, by: str | None = None) -> None:
        """Correct labels; parameters and errors as `label` has them."""
        self.journal.relabel(self._known(ids), self._labels_of(y), by=by)

    def skip(self, ids: Any, *, by: str | None = None) -> None:
        """Do not ask for these samples again; `label` of one ends the skip."""
        self.journal.skip(self._known(ids), by=by)

    def undo(self, n: int = 1, *, by: str | None = None) -> list[Id]:
        """Take back the last `n` answers (labels, corrections, skips), one for each id.

        Returns
        -------
        list of ids
            Whose answers these were, latest first.
        """
        return self.journal.undo(n, by=by)

    def retrain(self) -> None:
        """Train the learner on its own initial data and on all labels, in the order of the journal.

        `query` calls it where labels are new. A classifier waits for a second class; until then, and while there are
        no labels, the learner stays untrained and its cold start chooses.
        """
        labels = self.journal.labels()
        rows = take_rows(self.X, self._ids.positions(labels)) if labels else None
        y = list(labels.values())
        one_class = self.learner.n_initial == 0 and is_classifier(self.learner.estimator) and len(set(map(str, y))) == 1
        if one_class or not labels:
            rows, y = None, None
        self.learner.retrain(rows, y if y is None or isinstance(y[0], dict) else np.asarray(y))
        self._taught = labels

    # -- the end -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Release the journal."""
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    # -- parts ---------------------------------------------------------------------------------------------------

    def _known(self, ids: Any) -> list[Id]:
        found = as_ids(ids)
        self._ids.positions(found)
        return found

    def _labels_of(self, y: Any) -> list[Any]:
        """Labels as they are written down, checked against the classes and the kind of the others."""
        one = isinstance(y, (str, bytes, dict)) or not hasattr(y, "__len__") or getattr(y, "shape", None) == ()
        labels = [as_value(each) for each in ([y] if one else y)]
        for label in labels:
            if label is None or label == "":
                raise ValueError(f"A label must not be empty. Got {label!r}; skip says that a sample has none.")
        if self.classes is not None:
            check_labels(labels, self.classes)
        else:
            known = next(iter(self.journal.labels().values()), labels[0] if labels else None)
            for label in labels:
                if _kind(label) != _kind(known):
                    raise ValueError(f"Labels must be of one kind. Got {label!r} beside {known!r}.")
        return labels

    def _keep_memory(self) -> None:
        memory = self.learner.memory
        if memory.changes != self._changes or not self.journal.batches:
            keep_memory(self.journal.path, memory, self.cold_start)
            self._changes = memory.changes

    @contextmanager
    def _own_cold_start(self) -> Iterator[None]:
        """The learner with the session's cold start in place of its own."""
        if self.cold_start is None:
            yield
            return
        before = self.learner.cold_start
        self.learner.cold_start = self.cold_start
        try:
            yield
        finally:
            self.learner.cold_start = before


class _Ids:
    """Names of samples and their positions."""

    def __init__(self, ids: Sequence[Id] | None, n: int) -> None:
        self._n = n
        self._names = None if ids is None else list(ids)
        self._positions = None if self._names is None else {one: i for i, one in enumerate(self._names)}

    def __len__(self) -> int:
        return self._n

    def names(self, positions: NDArray[np.int64]) -> list[Id]:
        found = positions.tolist()
        return found if self._names is None else [self._names[i] for i in found]

    def positions(self, names: Iterable[Id]) -> NDArray[np.int64]:
        return np.array([self._position(one) for one in names], dtype=np.int64)

    def _position(self, one: Id) -> int:
        if self._positions is not None and one in self._positions:
            return self._positions[one]
        if self._positions is None and isinstance(one, int) and 0 <= one < self._n:
            return one
        what = f"a position in [0, {self._n})" if self._names is None else f"one of the {self._n} ids of the session"
        raise ValueError(f"An id must be {what}. Got {one!r} instead.")


def _known_ids(ids: Any, X: Any) -> _Ids:
    n = n_rows(X)
    if n == 0:
        raise ValueError("X must hold at least one sample. Got an empty X.")
    if ids is None:
        return _Ids(None, n)
    found = as_ids(ids)
    if len(found) != n:
        raise ValueError(f"ids must name each of the {n} samples of X. Got {len(found)} ids.")
    return _Ids(found, n)


def _check_learner(learner: Any) -> None:
    if not isinstance(learner, ActiveLearner):
        raise TypeError(f"learner must be a skal.learners.ActiveLearner. Got {type(learner).__name__} instead.")


def _witnesses(X: Any) -> dict[str, str]:
    """Content of some samples, by position; none where reading one twice gives two contents (augmentation)."""
    positions = np.unique(np.linspace(0, n_rows(X) - 1, _WITNESSES).astype(np.int64))
    keys = _keys_at(X, positions)
    return dict(zip(map(str, positions), keys)) if keys == _keys_at(X, positions) else {}


def _keys_at(X: Any, positions: NDArray[np.int64]) -> list[str]:
    return [key.hex()[:16] for key in row_keys(take_rows(X, positions))]


def _check_same(journal: LabelJournal, X: Any, ids: _Ids, *, given: bool) -> None:
    """Whether `X` and `ids` are those of the journal."""
    expected = journal.settings.get("ids")
    if expected is not None and expected != ("given" if given else "positions"):
        say = "ids were given when it began: give the same" if not given else "it began without ids: leave them out"
        raise ValueError(f"ids must be as at the beginning of the journal '{journal.path}'; {say}.")
    try:
        ids.positions([*journal.labels(), *journal.skipped(), *(one for batch in journal.batches for one in batch)])
    except ValueError as error:
        raise ValueError(f"X and ids must be those of the journal '{journal.path}'. {error}") from error
    seen = journal.settings.get("seen") or {}
    positions = [int(position) for position in seen if int(position) < n_rows(X)]
    if positions and not given:
        keys = _keys_at(X, np.array(positions, dtype=np.int64))
        changed = [position for position, key in zip(positions, keys) if seen[str(position)] != key]
        if changed:
            warnings.warn(
                f"{len(changed)} of {len(positions)} samples that the journal '{journal.path}' remembers are not what "
                f"they were, position {changed[0]} for one. Labels belong to positions: the order of X must not change.",
                UserWarning,
                stacklevel=4,
            )
    if not journal.settings and len(journal):
        warnings.warn(
            f"The journal '{journal.path}' has lost its first event, and with it what classes there are.",
            UserWarning,
            stacklevel=4,
        )


def _kind(label: Any) -> str:
    return "number" if isinstance(label, (int, float)) and not isinstance(label, bool) else type(label).__name__


def _text_of(strategy: Any) -> str:
    return " ".join(repr(strategy).split()) if hasattr(strategy, "get_params") else getattr(strategy, "__name__", "")


def _hash_of(learner: ActiveLearner) -> str | None:
    """What tells one fitted model from another; None for one that cannot be pickled."""
    try:
        return str(joblib.hash(learner.estimator))
    except Exception:
        return None
