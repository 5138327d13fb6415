"""Comparisons on several data sets, taken together."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ..utils._validation import shown
from ._comparison import Comparison
from ._display import plot_ranks
from ._statistics import LEVEL, adjust

__all__ = ["AcrossDataSets"]

_MEASURES = ("area", "final")


class AcrossDataSets:
    """Comparisons of the same strategies on several data sets: ranks, tests and a win matrix.

    Parameters
    ----------
    comparisons : mapping of str to Comparison
        One for each data set, by its name, two or more. Strategies that all of them have are compared.
    measure : {"area", "final"}, default="area"
        What strategies are ranked by: area under the learning curve, or final score, means over the seeds.

    Raises
    ------
    TypeError
        If `comparisons` is no mapping of comparisons.
    ValueError
        If there are fewer than two data sets or common strategies, their first scores differ, or `measure` is none.

    Notes
    -----
    A data set counts once, however many seeds it was run with. Where the Friedman test finds no difference, differences
    of pairs are not to be believed. With five data sets, Wilcoxon's least p-value is 0.06: no pair can be decided.

    References
    ----------
    J. Demsar. Statistical comparisons of classifiers over multiple data sets. JMLR 7 (2006), 1-30. A. Benavoli,
    G. Corani, F. Mangili. Should we really use post-hoc tests based on mean-ranks? JMLR 17 (2016), 1-10.

    Examples
    --------
    >>> from sklearn.datasets import load_iris, load_wine
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skal.experiments import AcrossDataSets, compare
    >>> from skal.strategies import EntropySampling, MarginSampling
    >>> model = make_pipeline(StandardScaler(), LogisticRegression())
    >>> sizes = {"n_initial": 6, "n_instances": 4, "n_queries": 3, "seeds": 2}
    >>> found = AcrossDataSets({
    ...     name: compare([EntropySampling(), MarginSampling()], model, *load(return_X_y=True), **sizes)
    ...     for name, load in (("iris", load_iris), ("wine", load_wine))
    ... })
    >>> found.table().shape
    (3, 2)
    >>> bool(found.ranks().sum() == 6)
    True
    """

    def __init__(self, comparisons: Mapping[str, Comparison], measure: str = "area") -> None:
        if not isinstance(comparisons, Mapping) or any(not isinstance(one, Comparison) for one in comparisons.values()):
            raise TypeError(f"'comparisons' must be a dict of Comparison by data set. Got {shown(comparisons)}.")
        if len(comparisons) < 2:
            raise ValueError(f"'comparisons' must be of two data sets or more. Got {len(comparisons)}.")
        if measure not in _MEASURES:
            raise ValueError(f"'measure' must be one of {', '.join(_MEASURES)}. Got {shown(measure)}.")
        scores = {one.scores[0]: name for name, one in comparisons.items()}
        if len(scores) > 1:
            found = ", ".join(f"{score} on {name}" for score, name in scores.items())
            raise ValueError(f"'comparisons' must have one score that decides, the first of each. Got {found}.")
        self.comparisons = dict(comparisons)
        self.measure = measure
        names = [one.results["strategy"].unique().tolist() for one in self.comparisons.values()]
        self.strategies = [name for name in names[0] if all(name in others for others in names)]
        if len(self.strategies) < 2:
            raise ValueError(
                f"'comparisons' must have two strategies or more in common. Got {', '.join(self.strategies) or 'none'}."
            )

    def table(self) -> pd.DataFrame:
        """The measure of each strategy (rows) on each data set (columns), means over the seeds."""
        columns = {name: one.summary()[self.measure] for name, one in self.comparisons.items()}
        return pd.DataFrame(columns).loc[self.strategies].rename_axis("strategy")

    def ranks(self) -> pd.Series:
        """Mean rank of each strategy over the data sets, the best first: 1 is best, ties share their ranks."""
        return self.table().rank(ascending=False).mean(axis=1).rename("rank").sort_values(kind="stable")

    def friedman(self) -> float:
        """p-value of the Friedman test that all strategies are alike; of Wilcoxon's, for two strategies."""
        table = self.table()
        if len(table) == 2:
            return _wilcoxon(table.iloc[0] - table.iloc[1])
        with np.errstate(invalid="ignore"):  # 0 / 0 where all tie
            p = float(stats.friedmanchisquare(*table.to_numpy()).pvalue)
        return 1.0 if np.isnan(p) else p

    def pairs(self) -> pd.DataFrame:
        """All pairs of strategies over the data sets, by Wilcoxon's signed-rank test with Holm's correction.

        Returns
        -------
        DataFrame
            `first`, `second`, the mean `difference` of the first to the second, `p` (adjusted) and `verdict`: `better`
            or `worse` is the first, where `p` is below 0.05, else `undecided`.
        """
        table = self.table()
        rows = []
        for first, second in itertools.combinations(self.ranks().index, 2):
            differences = table.loc[first] - table.loc[second]
            rows.append((first, second, float(differences.mean()), _wilcoxon(differences), _side(differences)))
        found = pd.DataFrame(rows, columns=["first", "second", "difference", "p", "verdict"])
        found["p"] = adjust(found["p"], "holm")
        found.loc[~(found["p"] < 1 - LEVEL), "verdict"] = "undecided"
        return found

    def wins(self) -> pd.DataFrame:
        """Data sets on which the strategy of the row was decided better than that of the column, paired by seed.

        Each column is a reference of its own: verdicts are those of ``comparison.summary(reference=column)``.
        """
        better = pd.DataFrame(0, index=self.strategies, columns=self.strategies)
        for one in self.comparisons.values():
            for column in self.strategies:
                words = one.summary(column)[f"{self.measure}_verdict"].loc[self.strategies]
                better[column] += (words == "better").astype(int)
        return better

    def plot(self, path: str | os.PathLike) -> Path:
        """Draw the mean ranks; a bar joins strategies of which no two are decided (critical difference diagram).

        Needs matplotlib (``pip install "skal[plot]"``); the suffix of `path` chooses the format.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return plot_ranks(self.ranks(), self.groups(), len(self.comparisons), path)

    def groups(self) -> list[list[str]]:
        """Strategies that follow each other in rank and of which no two are decided; the largest such groups."""
        names = self.ranks().index.tolist()
        pairs = self.pairs()
        decided = pairs[pairs["verdict"] != "undecided"]
        apart = {frozenset(pair) for pair in zip(decided["first"], decided["second"], strict=True)}
        found: list[list[str]] = []
        for start in range(len(names)):
            stop = start + 1
            while stop < len(names) and not any(frozenset((one, names[stop])) in apart for one in names[start:stop]):
                stop += 1
            if stop - start > 1 and not (found and set(names[start:stop]) <= set(found[-1])):
                found.append(names[start:stop])
        return found

    def __repr__(self) -> str:
        return f"AcrossDataSets({len(self.strategies)} strategies; {len(self.comparisons)} data sets)"


def _wilcoxon(differences: pd.Series) -> float:
    values = differences.to_numpy(float)
    return float(stats.wilcoxon(values).pvalue) if values.any() else 1.0


def _side(differences: pd.Series) -> str:
    """Which way Wilcoxon's ranks lean."""
    values = differences.to_numpy(float)
    return "better" if np.sum(np.sign(values) * stats.rankdata(np.abs(values))) > 0 else "worse"
