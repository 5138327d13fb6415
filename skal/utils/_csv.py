"""Tables of CSV files, whose columns are those that the first line names."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["read_csv"]


def read_csv(path: str | os.PathLike, sep: str = ",") -> pd.DataFrame:
    """The table in a file with a header; a column without a name that only counts the rows, or is empty, is none.

    The former is what pandas and R write beside a table, and would tell a model the order of the file.

    Raises
    ------
    ValueError
        If two columns have one name, of which pandas would rename the second, or rows are longer than the header, whose
        first cells pandas would take for an index: labels would be learned from, or columns shifted. And whatever else
        pandas raises of a file that is none.
    """
    options: dict[str, Any] = {"sep": sep, "encoding": "utf-8-sig"}
    # A column may be named NA.
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **options).iloc[0]
    named = header[header != ""]
    twice = named[named.duplicated()]
    if len(twice):
        raise ValueError(f"its columns must have distinct names, and {twice.iloc[0]!r} is there twice")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(path, index_col=False, **options)
        except pd.errors.ParserWarning as error:
            raise ValueError("its rows hold more cells than its header has names") from error
    nameless = [frame.columns[i] for i in np.flatnonzero(header == "")]
    return frame.drop(columns=[name for name in nameless if _says_nothing(frame[name])])


def _says_nothing(column: pd.Series) -> bool:
    values = column.to_numpy()
    counts = np.arange(len(values))
    return bool(column.isna().all() or np.array_equal(values, counts) or np.array_equal(values, counts + 1))
