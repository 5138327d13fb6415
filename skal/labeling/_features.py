"""What a classifier is given of a project's samples: numbers, made without any label."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

from ._image_features import ImageDescriptor, image_features
from ._project import Project
from ._sources import Images, Source, Table, Texts
from ._table_features import MAX_TERMS, TableFeatures

__all__ = ["features_of", "fitted_features"]


def features_of(project: Project, source: Source) -> Any:
    """One row of numbers for each sample, in the order of `source`."""
    return fitted_features(project, source)[0]


def fitted_features(project: Project, source: Source) -> tuple[Any, list[tuple[str, Any]]]:
    """These numbers, and the steps of a Pipeline that computes them of other samples.

    The steps take rows of a table (a data frame with the project's columns), texts, or paths of images.
    """
    if isinstance(source, Table):
        table = TableFeatures(random_state=project.settings.seed)
        return table.fit_transform(source.frame), [("columns", table)]
    if isinstance(source, Texts):
        words = TfidfVectorizer(sublinear_tf=True, max_features=MAX_TERMS, dtype=np.float32)
        try:
            return words.fit_transform(source.texts).tocsr(), [("words", words)]
        except ValueError as error:  # its own words for it speak of a vocabulary
            raise ValueError("The texts must hold words of two letters or more. Got none.") from error
    if isinstance(source, Images):
        scaler = StandardScaler()
        X = scaler.fit_transform(image_features(source, project.settings.backbone, project.folder))
        return X, [("images", ImageDescriptor.of(project.settings.backbone, project.folder)), ("scale", scaler)]
    raise TypeError(f"There are no features of {type(source).__name__}.")
