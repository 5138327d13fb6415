"""What a comparison found, as data, as a table and as a picture."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ._display import format_table, plot_comparison
from ._statistics import summarize

__all__ = ["Comparison"]


class Comparison:
    """Results of a paired comparison of query strategies, made by :func:`compare`.

    Parameters
    ----------
    results : DataFrame
        One row per strategy, seed and round: `strategy`, `seed`, `round` (0 is the initial set), `n_labels`,
        `accuracy` on the test set, `imbalance` of the labelled set (DECERN, eq. 12), `fit_seconds` of this
        round's fit, `query_seconds` of the query that led to this round (NaN in round 0).
    reference : str
        Name of the random sampling that all others are compared with.
    notes : sequence of str, default=()
        What readers must know of single strategies: sentences that stand under the table.
    """

    def __init__(self, results: pd.DataFrame, reference: str, notes: Sequence[str] = ()):
        self.results = results
        self.reference = reference
        self.notes = tuple(notes)

    def summary(self) -> pd.DataFrame:
        """One row per strategy: means over seeds, and paired differences to the reference.

        Returns
        -------
        DataFrame indexed by strategy
            `n_seeds`, `final_accuracy`, `area` (area under the learning curve divided by the range of labels:
            the mean accuracy), `imbalance` of the last labelled set, `query_seconds`; for `final_accuracy`,
            `area` and `labels_saved` the mean paired difference (`final_accuracy_difference`,
            `area_difference`, `labels_saved`), the ends of its 95 % Student t interval over seeds
            (`<name>_low`, `<name>_high`), and `<name>_verdict`: `better`, `worse`, or `undecided` where the
            interval contains 0. Intervals are per strategy, not adjusted for the number of strategies.
        """
        return summarize(self.results, self.reference)

    def table(self) -> str:
        """The summary as text for people, with a line on how to read it, and the notes."""
        return "\n".join([format_table(self.summary(), self.reference), *self.notes])

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write `results` as a CSV file."""
        self.results.to_csv(path, index=False, na_rep="nan")

    def plot(self, path: str | os.PathLike) -> Path:
        """Draw mean learning curves with 95 % bands and the paired differences, into a picture file.

        Needs matplotlib (``pip install "skal[plot]"``); the suffix of `path` chooses the format.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return plot_comparison(self.results, self.summary(), self.reference, path)

    def __repr__(self) -> str:
        names = ", ".join(self.results["strategy"].unique())
        return f"Comparison({names}; {self.results['seed'].nunique()} seeds)"
