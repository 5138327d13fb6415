"""Tables of a CSV or Parquet file, with the column that holds the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..utils._csv import read_csv
from ..utils._validation import shown

__all__ = ["TABLES", "load_table"]

TABLES = (".csv", ".parquet")
# Names under which labels go without saying.
_TARGETS = ("label", "target", "class", "y")


def load_table(path: Path, target: str | None = None) -> tuple[pd.DataFrame, NDArray]:
    """The columns of a table, and its labels.

    Parameters
    ----------
    path : Path
        A CSV or Parquet file with a header.
    target : str, default=None
        Name of the column of labels; `None` looks for a single one named label, target, class or y.

    Raises
    ------
    ValueError
        If the file cannot be read, no column can be told to hold the labels, or labels are missing.
    """
    try:
        frame = read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except ImportError as error:
        raise ValueError(
            f"'{path}' needs pyarrow to be read. Install it with: pip install pyarrow, or give a CSV file."
        ) from error
    except Exception as error:  # whatever pandas and its readers raise of a damaged file
        why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(f"'{path}' cannot be read as a table: {why}.") from error
    columns = [str(name) for name in frame.columns]
    found = [name for name in columns if name.lower() in _TARGETS] if target is None else [target]
    if len(found) != 1 or found[0] not in columns:
        what = "must name one" if target is None else f"must be one of them, not {shown(target)}"
        raise ValueError(
            f"'{path}' must have a column of labels, and --target {what}. Its columns are "
            f"{', '.join(columns[:20])}{' and more' if len(columns) > 20 else ''}."
        )
    labels = frame.iloc[:, columns.index(found[0])]
    if labels.isna().any() or len(labels) == 0:
        raise ValueError(f"The column {found[0]!r} of '{path}' must hold a label in each row. Got rows without one.")
    X = frame.drop(columns=labels.name)
    if X.shape[1] == 0:
        raise ValueError(f"'{path}' must have columns beside the labels. Got {found[0]!r} alone.")
    return X, labels.to_numpy() if labels.dtype.kind in "iufb" else np.array([str(label) for label in labels])
