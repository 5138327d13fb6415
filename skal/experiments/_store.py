"""Results on disk: finished runs survive a crash, settings never mix, one comparison writes at a time."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ..exceptions import ResultsError, ResultsLockedError
from ..utils._files import FileLock, LockHeldError, write_atomically

__all__ = ["COLUMNS", "ResultStore"]

COLUMNS = ["strategy", "seed", "round", "n_labels", "accuracy", "imbalance", "fit_seconds", "query_seconds"]
_COUNTS = ("seed", "round", "n_labels")
_LOCK = ".skal.lock"

Run = tuple[str, int]
Row = dict[str, Any]


class ResultStore:
    """`results.csv` and `settings.json` of one results folder, which it holds until it is closed.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    settings : mapping of str to JSON values
        What the runs depend on, with `n_initial`, `n_instances` and `n_queries`. Results made with other settings are
        an error; `settings["strategies"]`, the identity of each strategy by name, may gain names.

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
        If `results.csv` holds runs that are damaged or not whole. They are dropped, and the file as it was is kept
        beside it as ``results.csv.damaged``.
    """

    def __init__(self, folder: str | os.PathLike, settings: Mapping[str, Any]):
        self.folder = Path(folder)
        self.results_path = self.folder / "results.csv"
        self._settings_path = self.folder / "settings.json"
        self._settings = settings
        self.results = pd.DataFrame(columns=COLUMNS)
        with self._named_errors():
            self._lock = self._hold()
            try:
                self._open()
            except BaseException:
                self._lock.close()
                raise

    def done(self) -> set[Run]:
        """The (strategy, seed) pairs that are finished."""
        return set(zip(self.results["strategy"], self.results["seed"].astype(int), strict=True))

    def add(self, rows: list[Row]) -> None:
        """Add one finished run. The file is replaced as a whole, so that it never holds half a run."""
        new = pd.DataFrame(rows, columns=COLUMNS)
        results = new if self.results.empty else pd.concat([self.results, new], ignore_index=True)
        with self._named_errors():
            write_atomically(self.results_path, _as_text(results))
        self.results = results

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
            if left.name.startswith((f".{self.results_path.name}.", f".{self._settings_path.name}.")):
                left.unlink()
        self.results = pd.DataFrame(columns=COLUMNS)
        stored = self._read_settings()
        merged = {**self._settings, "strategies": {**stored, **self._settings["strategies"]}}
        if self.results_path.exists():
            self._read_results(set(stored))
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
            if self.results_path.exists():
                raise ValueError(
                    f"'{self.folder}' holds results, but no settings.json that tells what they are of. {_ELSE}"
                )
            return {}
        try:
            stored = json.loads(self._settings_path.read_bytes())
        except (ValueError, RecursionError):
            stored = None
        if not (isinstance(stored, dict) and isinstance(stored.get("strategies"), dict)):
            raise ValueError(f"'{self._settings_path}' cannot be read as the settings of a comparison. {_ELSE}")
        if stored.get("format") != self._settings.get("format"):
            raise ValueError(
                f"'{self.folder}' holds results of another version of skal ({stored.get('skal')}), which does not say "
                f"what the strategies computed. {_ELSE}"
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
            raise ValueError(f"'{self.folder}' holds results of other settings: {'; '.join(differing)}. {_ELSE}")
        return strategies

    # -- results --

    def _read_results(self, strategies: set[str]) -> None:
        """Take over the whole runs; set the file aside if it holds anything else."""
        content = self.results_path.read_bytes()
        text = content.decode("utf-8", errors="replace")
        runs: dict[Run | None, list[Row | None]] = defaultdict(list)
        for run, row in _rows(text, self.results_path):
            runs[run].append(row)
        whole = [run for run, rows in runs.items() if run and run[0] in strategies and self._is_whole(rows)]
        rows = [row for run in whole for row in runs[run]]
        self.results = pd.DataFrame(rows, columns=COLUMNS)
        damaged = [f"{run[0]} with seed {run[1]}" for run in runs if run and run not in whole]
        if None in runs:
            damaged.append("lines that name no run")
        if damaged:
            aside = self.results_path.with_name(f"{self.results_path.name}.damaged")
            write_atomically(aside, content)
            write_atomically(self.results_path, _as_text(self.results))
            some = ", ".join(damaged[:5]) + (f" and {len(damaged) - 5} more" if len(damaged) > 5 else "")
            warnings.warn(
                f"'{self.results_path}' holds runs that are damaged or not whole ({some}). They are run again where "
                f"they are asked for; the file as it was is kept as {aside.name}.",
                stacklevel=5,
            )

    def _is_whole(self, rows: list[Row | None]) -> bool:
        """Whether these are the rows of one run, each of its rounds once and in order."""
        first, step, n_queries = (self._settings[key] for key in ("n_initial", "n_instances", "n_queries"))
        return len(rows) == n_queries + 1 and all(
            row is not None and row["round"] == round_ and row["n_labels"] == first + round_ * step and _is_sane(row)
            for round_, row in enumerate(rows)
        )


_ELSE = "Use another out folder."


def _rows(text: str, path: Path) -> Iterator[tuple[Run | None, Row | None]]:
    """The run of each row, if it says so, and the row, if it can be read."""
    # Not pandas' reader: whether its floats are exact depends on its version.
    reader = csv.reader(io.StringIO(text, newline=""))
    cut = None if text.endswith("\n") else len(text.splitlines())
    if text.partition("\n")[0].rstrip("\r") != ",".join(COLUMNS) or cut == 1:
        raise ValueError(
            f"'{path}' cannot be read as results of a comparison: its columns must be {', '.join(COLUMNS)}. {_ELSE}"
        )
    next(reader)
    try:
        for values in reader:
            row = _read_row(values)
            named = len(values) > 1 and values[1].isdecimal() and len(values[1]) < 20
            # What was cut within its last line may hold a number without its last digits.
            yield (values[0], int(values[1])) if named else None, None if reader.line_num == cut else row
    except csv.Error:  # a field without end
        yield None, None


def _read_row(values: list[str]) -> Row | None:
    if len(values) != len(COLUMNS):
        return None
    row: Row = dict(zip(COLUMNS, values, strict=True))
    try:
        for key in COLUMNS[1:]:
            if key in _COUNTS and not row[key].isdecimal():
                return None
            row[key] = (int if key in _COUNTS else float)(row[key])
    except ValueError:
        return None
    return row


def _is_sane(row: Row) -> bool:
    """Whether the numbers are such as a run can give; comparisons with NaN are false."""
    query = math.isnan(row["query_seconds"]) if row["round"] == 0 else 0 <= row["query_seconds"] < math.inf
    return query and 0 <= row["accuracy"] <= 1 and -1e-9 <= row["imbalance"] <= 1 and 0 <= row["fit_seconds"] < math.inf


def _as_text(results: pd.DataFrame) -> str:
    return results.to_csv(index=False, na_rep="nan", lineterminator="\n")


def _difference(name: str, stored: Any, wanted: Any) -> str:
    text = f"{name} was {stored}, not {wanted}"
    return text if len(text) <= 60 else f"{name} was another"
