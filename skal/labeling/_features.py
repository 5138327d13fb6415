"""What a classifier is given of a project's samples: numbers, made without any label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._project import Project
from ._sources import Images, Source, Table, Texts

__all__ = ["features_of"]

# A column of texts has many different ones, of several words; else its texts are names of categories.
_MANY, _WORDS = 50, 4
# The cold start holds a block of them in full.
_MAX_TERMS, _N_TOPICS = 5_000, 50


def features_of(project: Project, source: Source) -> Any:
    """One row of numbers for each sample, in the order of `source`."""
    if isinstance(source, Table):
        return _of_table(source.frame, project.settings.seed)
    if isinstance(source, Texts):
        return _of_texts(source.texts)
    if isinstance(source, Images):
        from sklearn.preprocessing import StandardScaler

        from ._image_features import image_features

        return StandardScaler().fit_transform(image_features(source, project.settings.backbone, project.folder))
    raise TypeError(f"There are no features of {type(source).__name__}.")


def _of_texts(texts: list[str]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        return (
            TfidfVectorizer(sublinear_tf=True, max_features=_MAX_TERMS, dtype=np.float32).fit_transform(texts).tocsr()
        )
    except ValueError as error:  # its own words for it speak of a vocabulary
        raise ValueError("The texts must hold words of two letters or more. Got none.") from error


# -- tables --------------------------------------------------------------------------------------------------------


def _of_table(frame: pd.DataFrame, seed: int) -> NDArray[np.float32]:
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    plain = pd.DataFrame({name: _plain(frame[name]) for name in frame.columns})
    varied = [name for name in plain.columns if plain[name].nunique(dropna=False) > 1]
    numbers = [name for name in varied if plain[name].dtype.kind == "f"]
    texts = [name for name in varied if name not in numbers and _is_text(plain[name])]
    categories = [name for name in varied if name not in numbers and name not in texts]
    if not varied:
        raise ValueError("The table must have a column with more than one value. Got none.")
    parts = [
        ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
        ("categories", OneHotEncoder(max_categories=_MANY, handle_unknown="ignore", sparse_output=False), categories),
    ]
    # A text's column is given by its name alone, as one sequence of texts.
    parts += [
        (f"text {i}", make_pipeline(TfidfVectorizer(max_features=_MAX_TERMS), _topics(seed)), name)
        for i, name in enumerate(texts)
    ]
    return np.asarray(ColumnTransformer(parts).fit_transform(plain), dtype=np.float32)


def _plain(column: pd.Series) -> pd.Series:
    """Numbers, truth values and times as floats, all else as texts."""
    if pd.api.types.is_datetime64_any_dtype(column):
        seconds = (column - column.min()).dt.total_seconds()
        return seconds.astype(np.float64)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        numbers = column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        return pd.Series(np.where(np.isfinite(numbers), numbers, np.nan), index=column.index)
    return column.astype(object).where(column.notna(), "").map(str).astype(object)


def _is_text(column: pd.Series) -> bool:
    return column.nunique() > _MANY and column.str.split().str.len().mean() >= _WORDS


def _topics(seed: int) -> Any:
    """Few numbers for each text, which stay within memory beside the other columns."""
    from sklearn.decomposition import TruncatedSVD

    return TruncatedSVD(n_components=_N_TOPICS, random_state=seed)
