"""A file of finished runs: it never holds half a run, and what is damaged in it is set aside."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..utils._files import write_atomically

__all__ = ["BEFORE_SCORES", "BEHIND_SCORES", "USE_ANOTHER", "ResultsFile", "Row", "Run", "columns_of"]

Run = tuple[str, int]
Row = dict[str, Any]

# The scores stand between these.
BEFORE_SCORES = ("strategy", "seed", "round", "n_labels")
BEHIND_SCORES = (
    "imbalance", "n_classes", "near_duplicates", "peak_memory", "fit_seconds", "query_seconds", "queried"
)  # fmt: skip
USE_ANOTHER = "Use another out folder."
_COUNTS = ("seed", "round", "n_labels", "n_classes")
_TEXTS = ("strategy", "queried")


def columns_of(scores: Collection[str]) -> list[str]:
    """Columns of a file with these scores."""
    return [*BEFORE_SCORES, *scores, *BEHIND_SCORES]


class ResultsFile:
    """The runs of one CSV file.

    Parameters
    ----------
    path : Path
    columns : sequence of str
    is_whole : callable
        Whether the rows of one strategy and seed are a run.

    Attributes
    ----------
    rows : DataFrame
        Of all runs that are finished.
    """

    def __init__(self, path: Path, columns: Sequence[str], is_whole: Callable[[str, list[Row | None]], bool]) -> None:
        self.path = path
        self.columns = list(columns)
        self.rows = pd.DataFrame(columns=self.columns)
        self._is_whole = is_whole

    def done(self) -> set[Run]:
        """The (strategy, seed) pairs that are finished."""
        return set(zip(self.rows["strategy"], self.rows["seed"].astype(int), strict=True))

    def add(self, rows: list[Row]) -> None:
        """Add one finished run. The file is replaced as a whole."""
        new = pd.DataFrame(rows, columns=self.columns)
        results = new if self.rows.empty else pd.concat([self.rows, new], ignore_index=True)
        write_atomically(self.path, _as_text(results))
        self.rows = results

    def read(self, strategies: Collection[str]) -> None:
        """Take over the whole runs of these strategies; set the file aside if it holds anything else."""
        self.rows = pd.DataFrame(columns=self.columns)
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        runs: dict[Run | None, list[Row | None]] = defaultdict(list)
        for run, row in self._read(content.decode("utf-8", errors="replace")):
            runs[run].append(row)
        whole = [run for run, rows in runs.items() if run and run[0] in strategies and self._is_whole(run[0], rows)]
        rows = [row for run in whole for row in runs[run]]
        self.rows = pd.DataFrame(rows, columns=self.columns)
        damaged = [f"{run[0]} with seed {run[1]}" for run in runs if run and run not in whole]
        if None in runs:
            damaged.append("lines that name no run")
        if damaged:
            aside = self.path.with_name(f"{self.path.name}.damaged")
            write_atomically(aside, content)
            write_atomically(self.path, _as_text(self.rows))
            some = ", ".join(damaged[:5]) + (f" and {len(damaged) - 5} more" if len(damaged) > 5 else "")
            warnings.warn(
                f"'{self.path}' holds runs that are damaged or not whole ({some}). They are run again where "
                f"they are asked for; the file as it was is kept as {aside.name}.",
                stacklevel=6,
            )

    def _read(self, text: str) -> Iterator[tuple[Run | None, Row | None]]:
        """The run of each row, if it says so, and the row, if it can be read."""
        # Not pandas' reader: whether its floats are exact depends on its version.
        reader = csv.reader(io.StringIO(text, newline=""))
        cut = None if text.endswith("\n") else len(text.splitlines())
        if text.partition("\n")[0].rstrip("\r") != ",".join(self.columns) or cut == 1:
            raise ValueError(
                f"'{self.path}' cannot be read as results of a comparison: its columns must be "
                f"{', '.join(self.columns)}. {USE_ANOTHER}"
            )
        next(reader)
        try:
            for values in reader:
                row = self._read_row(values)
                named = len(values) > 1 and values[1].isdecimal() and len(values[1]) < 20
                # What was cut within its last line may hold a number without its last digits.
                yield (values[0], int(values[1])) if named else None, None if reader.line_num == cut else row
        except csv.Error:  # a field without end
            yield None, None

    def _read_row(self, values: list[str]) -> Row | None:
        if len(values) != len(self.columns):
            return None
        row: Row = dict(zip(self.columns, values, strict=True))
        try:
            for key in self.columns:
                if key in _COUNTS and not row[key].isdecimal():
                    return None
                if key not in _TEXTS:
                    row[key] = (int if key in _COUNTS else float)(row[key])
        except ValueError:
            return None
        return row if _is_sane(row, self.columns[len(BEFORE_SCORES) : -len(BEHIND_SCORES)]) else None


def _is_sane(row: Row, scores: Sequence[str]) -> bool:
    """Whether the numbers are such as a run can give; comparisons with NaN are false."""
    return (
        all(math.isfinite(row[score]) for score in scores)
        and -1e-9 <= row["imbalance"] <= 1
        and all(math.isnan(row[key]) or 0 <= row[key] < math.inf for key in ("near_duplicates", "peak_memory"))
        and 0 <= row["fit_seconds"] < math.inf
        and (math.isnan(row["query_seconds"]) if row["round"] == 0 else 0 <= row["query_seconds"] < math.inf)
    )


def _as_text(results: pd.DataFrame) -> str:
    return results.to_csv(index=False, na_rep="nan", lineterminator="\n")
