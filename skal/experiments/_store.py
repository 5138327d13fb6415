"""Results on disk: finished runs survive a crash, settings never mix, one comparison writes at a time."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ..exceptions import ResultsError, ResultsLockedError
from ..utils._files import FileLock, LockHeldError, write_atomically
from ..utils._validation import shown
from ._results_file import USE_ANOTHER, ResultsFile, Row, Run, columns_of

__all__ = ["AGAIN", "CEILING", "CHECKS", "ResultStore"]

# What is no strategy that was asked for: a second random sampling, and the model trained on all of the pool.
AGAIN, CEILING = "random again", "all labels"
CHECKS = (AGAIN, CEILING)
_LOCK = ".skal.lock"


class ResultStore:
    """`results.csv`, `checks.csv` and `settings.json` of one results folder, which it holds until it is closed.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    settings : mapping of str to JSON values
        What the runs depend on, with `n_initial`, `n_instances` and `n_queries`, and `scoring`, what each score
        computes, by name. Results made with other settings are an error; `settings["strategies"]`, the identity of each
        strategy by name, may gain names.

    Raises
    ------
    ValueError
        If the folder holds results of other settings, or files that cannot be read as results.
    ResultsLockedError
        If another comparison, of this process or another, is using the folder.
    ResultsError
        If the folder cannot be made, read or written.

    Warns
    -----
    UserWarning
        If a file holds runs that are damaged or not whole. They are dropped, and the file as it was is kept beside it,
        as ``results.csv.damaged``.
    """

    def __init__(self, folder: str | os.PathLike, settings: Mapping[str, Any]):
        self.folder = Path(folder)
        self._settings_path = self.folder / "settings.json"
        self._settings = settings
        columns = columns_of(sorted(settings["scoring"]))
        self._results = ResultsFile(self.folder / "results.csv", columns, self._is_whole)
        self._checks = ResultsFile(self.folder / "checks.csv", columns, self._is_whole)
        with self._named_errors():
            self._lock = self._hold()
            try:
                self._open()
            except BaseException:
                self._lock.close()
                raise

    @property
    def results(self) -> pd.DataFrame:
        """Rows of the strategies' runs."""
        return self._results.rows

    @property
    def checks(self) -> pd.DataFrame:
        """Rows of the runs of `CHECKS`."""
        return self._checks.rows

    def done(self) -> set[Run]:
        """The (strategy, seed) pairs that are finished."""
        return self._results.done() | self._checks.done()

    def add(self, rows: list[Row]) -> None:
        """Add one finished run. The file is replaced as a whole, so that it never holds half a run."""
        with self._named_errors():
            (self._checks if rows[0]["strategy"] in CHECKS else self._results).add(rows)

    def close(self) -> None:
        """Leave the folder to others."""
        self._lock.close()

    def __enter__(self) -> ResultStore:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _hold(self) -> FileLock:
        if self.folder.exists() and not self.folder.is_dir():
            raise ResultsError(f"The results folder '{self.folder}' is a file. Name a folder, or one to be made.")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(self.folder / _LOCK)
        except LockHeldError as holder:
            raise ResultsLockedError(
                f"The results folder '{self.folder}' is in use: it is {holder}. Wait for that comparison to end, or "
                "use another out folder."
            ) from holder

    def _open(self) -> None:
        for left in self.folder.glob(".*.tmp"):  # by a process that was killed while writing
            paths = (self._results.path, self._checks.path, self._settings_path)
            if left.name.startswith(tuple(f".{path.name}." for path in paths)):
                left.unlink()
        stored = self._read_settings()
        merged = {**self._settings, "strategies": {**stored, **self._settings["strategies"]}}
        self._results.read(set(stored) - set(CHECKS))
        self._checks.read(set(stored) & set(CHECKS))
        write_atomically(self._settings_path, json.dumps(merged, indent=1) + "\n")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Errors of the operating system as one sentence that names the file."""
        try:
            yield
        except ResultsError:
            raise
        except OSError as error:
            file, reason = error.filename2 or error.filename or self.folder, error.strerror or str(error)
            kept = " Finished runs are kept; the same call goes on from there." if error.errno == errno.ENOSPC else ""
            raise ResultsError(f"'{file}' cannot be read or written: {reason}.{kept}") from error

    # -- settings --

    def _read_settings(self) -> dict[str, str]:
        """Compare the stored settings with these; returns the stored strategies."""
        if not self._settings_path.exists():
            if self._results.path.exists() or self._checks.path.exists():
                raise ValueError(
                    f"'{self.folder}' holds results, but no settings.json that tells what they are of. {USE_ANOTHER}"
                )
            return {}
        try:
            stored = json.loads(self._settings_path.read_bytes())
        except (ValueError, RecursionError):
            stored = None
        if not (isinstance(stored, dict) and isinstance(stored.get("strategies"), dict)):
            raise ValueError(f"'{self._settings_path}' cannot be read as the settings of a comparison. {USE_ANOTHER}")
        if stored.get("format") != self._settings.get("format"):
            raise ValueError(
                f"'{self.folder}' holds results of another version of skal ({shown(stored.get('skal'))}), which keeps "
                f"them in another form. {USE_ANOTHER}"
            )
        strategies = stored["strategies"]
        differing = [
            _difference(key, stored.get(key), self._settings.get(key))
            for key in {**self._settings, **stored}
            if key != "strategies" and stored.get(key) != self._settings.get(key)
        ]
        differing += [
            f"the strategy '{name}' was another"
            for name, text in self._settings["strategies"].items()
            if strategies.get(name, text) != text
        ]
        if differing:
            raise ValueError(f"'{self.folder}' holds results of other settings: {'; '.join(differing)}. {USE_ANOTHER}")
        return strategies

    # -- results --

    def _is_whole(self, strategy: str, rows: list[Row | None]) -> bool:
        """Whether these are the rows of one run, each of its rounds once and in order."""
        first, step, n_queries = (self._settings[key] for key in ("n_initial", "n_instances", "n_queries"))
        if any(row is None or not self._has_shares(row) for row in rows):
            return False
        found = [row for row in rows if row is not None]
        if strategy == CEILING:
            return [row["round"] for row in found] == [0]
        queried = [row["queried"].split(" ") for row in found]
        positions = [position for part in queried for position in part]
        return (
            [row["round"] for row in found] == list(range(n_queries + 1))
            and [row["n_labels"] for row in found] == list(range(first, first + n_queries * step + 1, step))
            and [len(part) for part in queried] == [first] + n_queries * [step]
            and all(position.isdecimal() for position in positions)
            and len(set(positions)) == len(positions)
        )

    def _has_shares(self, row: Row) -> bool:
        """Whether an accuracy, if it is scikit-learn's, is one."""
        return self._settings["scoring"].get("accuracy") != "accuracy" or 0 <= row["accuracy"] <= 1


def _difference(name: str, stored: Any, wanted: Any) -> str:
    text = f"{name} was {stored}, not {wanted}"
    return text if len(text) <= 60 else f"{name} was another"
