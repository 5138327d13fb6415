"""What a comparison found, as data, as a table and as a picture."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..rows import n_rows
from ..utils._files import write_atomically
from ..utils._validation import shown
from ._display import DifferencesDisplay, Displays, LearningCurvesDisplay, format_table, plot_comparison
from ._pictures import Pick, look
from ._plan import check_reference
from ._records import shared_queries
from ._report import html_report, markdown_report
from ._statistics import mean_interval, per_run, runs_needed, score_columns, summarize
from ._store import AGAIN, CEILING

__all__ = ["Comparison", "Record"]


class Record(NamedTuple):
    """What a comparison keeps beside its results."""

    queried: pd.DataFrame
    checks: pd.DataFrame | None  # rows of the second random sampling, and of the ceiling
    random: str  # the strategy that the second random sampling repeats
    labels: NDArray  # of all samples
    picks: list[Pick]  # what each strategy queried first
    setup: dict[str, str]  # what it was run with, in words


class Comparison:
    """Results of a paired comparison of query strategies, made by :func:`compare`.

    Parameters
    ----------
    results : DataFrame
        One row per strategy, seed and round: `strategy`, `seed`, `round` (0 is the initial set), `n_labels`, one column
        for each score on the test set (``accuracy``), `imbalance` of the labelled set (DECERN, eq. 12), `n_classes`
        among its labels, `near_duplicates` (the share of this round's samples that nearly repeat a labelled one, within
        a tenth of the median distance of two samples; NaN where samples are no numbers), `peak_memory` of the process
        in this round in MiB (outside Linux: since it began), `fit_seconds` of this round's fit, `query_seconds` of the
        query that led to this round (NaN in round 0).
    reference : str
        Name of the strategy that all others are compared with: random sampling, if no other was asked for.
    notes : sequence of str, default=()
        What readers must know of single strategies: sentences that stand under the table.
    correction : {"holm", None}, default="holm"
        How p-values and verdicts are adjusted for the number of strategies.
    record : Record, default=None
        What `compare` keeps beside the results.

    Raises
    ------
    TypeError
        If `results` is no such DataFrame.
    ValueError
        If `reference` is none of its strategies.
    """

    def __init__(
        self,
        results: pd.DataFrame,
        reference: str,
        notes: Sequence[str] = (),
        *,
        correction: str | None = "holm",
        record: Record | None = None,
    ):
        if not isinstance(results, pd.DataFrame) or "strategy" not in results:
            raise TypeError(f"'results' of Comparison must be a DataFrame, as of compare. Got {shown(results)}.")
        check_reference(reference, dict.fromkeys(results["strategy"].unique()), reference)
        self.results = results
        self.reference = reference
        self.notes = tuple(notes)
        self.correction = correction
        self._record = record

    @property
    def scores(self) -> list[str]:
        """Names of the scores; `area` and `final` are of the first."""
        return score_columns(self.results)

    @property
    def queried(self) -> pd.DataFrame:
        """Positions in `X` that were queried, one a row, in their order: `strategy`, `seed`, `round`, `position`.

        Round 0 is the initial set. Taught in this order, they give the learning curve again.
        """
        return self._kept().queried.copy()

    def summary(self, reference: str | None = None) -> pd.DataFrame:
        """One row per strategy: means over seeds, and paired differences to the reference.

        Parameters
        ----------
        reference : str, default=None
            Name of another strategy to compare all others with.

        Returns
        -------
        DataFrame indexed by strategy
            `n_seeds`, `final` and `area` of the first score (at the end of the run; area under the learning curve
            divided by the range of labels: the mean score), each score at the end by its name, `imbalance` of the last
            labelled set, `query_seconds`; `labels_needed` and `labels_needed_reference` for the best score that both
            reach, and `labels_saved_censored`, the number of runs in which the strategy misses the reference's best
            score, where labels saved are those at its own best. For `final`, `area`, `labels_saved` and further scores
            the mean paired difference (`final_difference`, `area_difference`, `labels_saved`), the ends of its 95 %
            Student t interval over seeds (`<name>_low`, `<name>_high`), the p-value of the paired t test (`<name>_p`)
            and of an exact one without normality (`<name>_exact_p`: permutation of signs up to 16 runs, Wilcoxon
            beyond), and `<name>_verdict`: `better` or `worse` where `<name>_p` is below 0.05, else `undecided`.
            Both p-values are adjusted for the number of strategies as `correction` says, intervals are not.

        Raises
        ------
        ValueError
            If there is no such strategy.
        """
        return summarize(self.results, self._reference(reference), self.correction)

    def runs_needed(self, difference: float = 0.01, reference: str | None = None) -> pd.Series:
        """Paired runs with which a true difference of the area is found with power 0.8 at level 0.05.

        Parameters
        ----------
        difference : float > 0, default=0.01
            Difference of the area that shall be found, in the unit of the first score.
        reference : str, default=None
            As in `summary`.

        Returns
        -------
        Series indexed by strategy
            Runs in all, those that are there included; NaN for the reference, and where there is a single run.

        Raises
        ------
        ValueError
            For a difference that is no number above 0.

        Notes
        -----
        Power of the paired t test, with the standard deviation of the differences found, which a few runs know
        roughly: from five runs the answer may be half or twice as large. A single comparison is planned for; Holm's
        correction for several strategies needs more.
        """
        name = self._reference(reference)
        areas = {key: per_run(runs, self.scores[0])["area"] for key, runs in self.results.groupby("strategy")}
        needed = {}
        for key in self.results["strategy"].unique():
            differences = areas[key] - areas[name]
            known = key != name and len(differences) > 1
            needed[key] = runs_needed(float(differences.std(ddof=1)) if known else float("nan"), difference)
        return pd.Series(needed, name="runs_needed").rename_axis("strategy")

    def overlap(self) -> pd.DataFrame:
        """For each two strategies, the share of the samples queried by one that the other queried, too.

        Means over seeds, without the initial set: 1 for the same samples by the end of the run.
        """
        return shared_queries(self._kept().queried, self.results["strategy"].unique())

    def class_counts(self) -> pd.DataFrame:
        """Labels of each class at the end of the run, by strategy: means over seeds."""
        kept = self._kept()
        classes = kept.queried.assign(label=kept.labels[kept.queried["position"]])
        counts = pd.crosstab(classes["strategy"], classes["label"]) / self.results["seed"].nunique()
        return counts.reindex(index=self.results["strategy"].unique(), columns=np.unique(kept.labels), fill_value=0.0)

    def aa(self) -> pd.Series:
        """The second random sampling against the first: a row of `summary`, whose verdicts should be "undecided".

        They are otherwise in one of twenty comparisons by chance alone; oftener, something is wrong.

        Raises
        ------
        ValueError
            If `compare` was called without ``aa=True``.
        """
        kept = self._checked()
        own = self.results[self.results["strategy"] == kept.random]
        again = kept.checks[kept.checks["strategy"] == AGAIN]  # type: ignore[index]
        return summarize(pd.concat([own, again], ignore_index=True), kept.random, None).loc[AGAIN]

    def ceiling(self) -> pd.DataFrame:
        """Scores of the model trained on all labels of the pool: `mean`, `low` and `high` of its 95 % interval.

        Raises
        ------
        ValueError
            If `compare` was called without ``aa=True``.
        """
        checks = self._checked().checks
        rows = checks[checks["strategy"] == CEILING]  # type: ignore[index]
        found = [mean_interval(rows[score]) for score in self.scores]
        return pd.DataFrame(found, index=pd.Index(self.scores, name="score"))

    def table(self) -> str:
        """The summary as text for people, with lines on how to read it, and the notes."""
        return "\n".join([format_table(self.summary(), self.reference, self.scores[0], self.correction), *self.notes])

    @property
    def displays(self) -> Displays:
        """`curves` and `differences`, to be drawn into axes of one's own with ``displays.curves.plot(ax=ax)``."""
        return Displays(
            LearningCurvesDisplay(self.results, self.reference), DifferencesDisplay(self.summary(), self.reference)
        )

    def to_html(self, path: str | os.PathLike, *, command: str | None = None, samples: Any = None) -> Path:
        """Write a report: one page that needs nothing beside it, in light and dark, to be opened in any browser.

        One sentence for each strategy, the table of verdicts, learning curves and differences with values under the
        pointer, what each strategy picked first (with near-duplicates framed), balance of classes, overlap, cost, and
        how to repeat it.

        Parameters
        ----------
        path : path
            The file, ``report.html`` for example; replaced where it exists.
        command : str, default=None
            What repeats the comparison, to be shown.
        samples : array-like or Dataset, default=None
            What is shown of each sample in place of `X`: images, for example, where `X` is their features.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        TypeError
            If `command` is no text.
        ValueError
            If there is not one of the `samples` for each row of `X`.
        OSError
            If the file cannot be written.
        """
        _check_command(command, "to_html")
        picks = self.first_picks
        if samples is not None:
            n = len(self._kept().labels)
            if n_rows(samples) != n:
                raise ValueError(
                    f"'samples' of to_html must hold one for each row of X. Got {n_rows(samples)} for {n}."
                )
            looks = [look(samples, pick.position) for pick in picks]
            picks = [pick._replace(picture=each[0], text=each[1]) for pick, each in zip(picks, looks, strict=True)]
        # Names of files may hold what is no text.
        write_atomically(Path(path), html_report(self, command, picks).encode("utf-8", "replace"))
        return Path(path)

    def to_markdown(self, *, command: str | None = None) -> str:
        """The report as Markdown, for a pull request: sentences, table, checks, and how to repeat it."""
        _check_command(command, "to_markdown")
        return markdown_report(self, command)

    @property
    def has_checks(self) -> bool:
        """Whether `aa` and `ceiling` are known."""
        return self._kept().checks is not None

    @property
    def first_picks(self) -> list[Pick]:
        """What each strategy queried first in the run of the first seed, with pictures or texts of the samples."""
        return list(self._kept().picks)

    @property
    def setup(self) -> dict[str, str]:
        """What the comparison was run with: data, model, sizes, seeds and versions, in words."""
        return dict(self._kept().setup)

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
        return plot_comparison(self.displays, path)

    def _reference(self, reference: str | None) -> str:
        return check_reference(reference, dict.fromkeys(self.results["strategy"].unique()), self.reference)

    def _kept(self) -> Record:
        if self._record is None:
            raise ValueError(
                "What was queried is known of a Comparison that compare has made. This one has results alone."
            )
        return self._record

    def _checked(self) -> Record:
        kept = self._kept()
        if kept.checks is None:
            raise ValueError("The checks of a comparison are run by compare(..., aa=True). This one was run without.")
        return kept

    def __repr__(self) -> str:
        names = ", ".join(self.results["strategy"].unique())
        return f"Comparison({names}; {self.results['seed'].nunique()} seeds)"


def _check_command(command: Any, of: str) -> None:
    if command is not None and not isinstance(command, str):
        raise TypeError(f"'command' of {of} must be a text or None. Got {shown(command)}.")
