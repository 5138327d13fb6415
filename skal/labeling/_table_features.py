"""Numbers of a table's columns: fitted on one table, computed of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ..utils._validation import kind_of

__all__ = ["MAX_TERMS", "TableFeatures"]

# A column of texts has many different ones, of several words; else its texts are names of categories.
_MANY, _WORDS = 50, 4
# The cold start holds a block of them in full.
MAX_TERMS, _N_TOPICS = 5_000, 50


class TableFeatures(TransformerMixin, BaseEstimator):
    """Numbers are scaled, categories become columns, sentences a few numbers each; float32.

    Parameters
    ----------
    random_state : int, default=0
        For the numbers of sentences.

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        The columns that are used: those with more than one value. Others are passed over.

    Raises
    ------
    ValueError
        No column has more than one value; on transforming, a column is missing.
    TypeError
        What is to be transformed is no data frame of pandas.
    """

    def __init__(self, *, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: Any = None) -> TableFeatures:
        self.fit_transform(X)
        return self

    def fit_transform(self, X: pd.DataFrame, y: Any = None) -> NDArray[np.float32]:
        self._first = {name: X[name].min() for name in X.columns if _is_time(X[name])}
        self._numbers = {name for name in X.columns if name not in self._first and _is_number(X[name])}
        plain = pd.DataFrame({name: self._plain(X[name]) for name in X.columns})
        varied = [name for name in plain.columns if plain[name].nunique(dropna=False) > 1]
        numbers = [name for name in varied if plain[name].dtype.kind == "f"]
        texts = [name for name in varied if name not in numbers and _is_text(plain[name])]
        categories = [name for name in varied if name not in numbers and name not in texts]
        if not varied:
            raise ValueError("The table must have a column with more than one value. Got none.")
        self.feature_names_in_ = np.array(varied, dtype=object)
        to_numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
        to_columns = OneHotEncoder(max_categories=_MANY, handle_unknown="ignore", sparse_output=False)
        parts = [("numbers", to_numbers, numbers), ("categories", to_columns, categories)]
        # A text's column is given by its name alone, as one sequence of texts.
        parts += [(f"text {i}", self._topics(), name) for i, name in enumerate(texts)]
        self._columns = ColumnTransformer(parts)
        return np.asarray(self._columns.fit_transform(plain[varied]), dtype=np.float32)

    def transform(self, X: pd.DataFrame) -> NDArray[np.float32]:
        if not isinstance(X, pd.DataFrame):
            raise TypeError(f"X must be a data frame of pandas, with the columns of the project. Got {kind_of(X)}.")
        frame = X.set_axis([str(name) for name in X.columns], axis=1)
        lacking = [name for name in self.feature_names_in_ if name not in frame.columns]
        if lacking:
            raise ValueError(f"X must have the columns of the project. It lacks {', '.join(map(repr, lacking))}.")
        plain = pd.DataFrame({name: self._plain(frame[name]) for name in self.feature_names_in_})
        return np.asarray(self._columns.transform(plain), dtype=np.float32)

    def _plain(self, column: pd.Series) -> pd.Series:
        """Numbers, truth values and times as floats, all else as texts; as the column was when this was fitted."""
        if column.name in self._first:
            seconds = (pd.to_datetime(column, errors="coerce") - self._first[column.name]).dt.total_seconds()
            return seconds.astype(np.float64)
        if column.name in self._numbers:
            if not _is_number(column):
                column = pd.to_numeric(column, errors="coerce")
            numbers = column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
            return pd.Series(np.where(np.isfinite(numbers), numbers, np.nan), index=column.index)
        return column.astype(object).where(column.notna(), "").map(str).astype(object)

    def _topics(self) -> Any:
        """Few numbers for each text, which stay within memory beside the other columns."""
        topics = TruncatedSVD(n_components=_N_TOPICS, random_state=self.random_state)
        return make_pipeline(TfidfVectorizer(max_features=MAX_TERMS), topics)


def _is_time(column: pd.Series) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(column))


def _is_number(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column)) and not pd.api.types.is_complex_dtype(column)


def _is_text(column: pd.Series) -> bool:
    return bool(column.nunique() > _MANY and column.str.split().str.len().mean() >= _WORDS)
