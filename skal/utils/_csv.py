"""Tables of CSV files, whose columns are those that the first line names."""

from __future__ import annotations

import os
import warnings

import pandas as pd

__all__ = ["read_csv"]


def read_csv(path: str | os.PathLike, sep: str = ",") -> pd.DataFrame:
    """The table in a file with a header.

    Raises
    ------
    ValueError
        If two columns have one name, of which pandas would rename the second, or rows are longer than the header, whose
        first cells pandas would take for an index: labels would be learned from, or columns shifted. And whatever else
        pandas raises of a file that is none.
    """
    first = pd.read_csv(path, sep=sep, encoding="utf-8-sig", header=None, nrows=1, dtype=str).iloc[0].dropna()
    twice = first[first.duplicated()]
    if len(twice):
        raise ValueError(f"its columns must have distinct names, and {twice.iloc[0]!r} is there twice")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(path, sep=sep, encoding="utf-8-sig", index_col=False)
        except pd.errors.ParserWarning as error:
            raise ValueError("its rows hold more cells than its header has names") from error
