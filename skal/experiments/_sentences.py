"""What a comparison says of each strategy, in one sentence."""

from __future__ import annotations

import pandas as pd

from ._statistics import LEVEL, POWER

__all__ = ["POINT", "censored_sentence", "counted", "power_sentence", "sentence", "statistics_sentence"]

# The difference that undecided strategies are asked to show.
POINT = 0.01


def counted(n: float, one: str, many: str | None = None) -> str:
    """A whole number of things, with their name in singular or plural."""
    return f"{n:,.0f} {one if n == 1 else many or f'{one}s'}"


def sentence(row: pd.Series, reference: str, score: str, needed: float) -> str:
    """One strategy against the reference, in words.

    Parameters
    ----------
    row : Series
        Its row of the summary.
    reference, score : str
        Names of the strategy that it is compared with, and of the score that decides.
    needed : float
        Runs that would find a difference of `POINT`; NaN with a single run.
    """
    name, n, word = row.name, int(row["n_seeds"]), row["area_verdict"]
    if word == "reference":
        return f"{name} is what the others are compared with."
    score = score.replace("_", " ")
    if n == 1:
        return f"{name}: not decided; a single run decides nothing."
    mean, low, high = (row[key] for key in ("area_difference", "area_low", "area_high"))
    if word == "undecided":
        found = (
            f"mean {score} {mean:+.3f} against {reference}, {LEVEL:.0%} interval {low:+.3f} to {high:+.3f}, {n} runs"
        )
        if low > 0 or high < 0:
            return f"{name}: not decided once its p-value is adjusted for the number of strategies ({found})."
        if needed > n:
            more = counted(needed - n, "more run")
            return f"{name}: not decided; about {more} would decide a difference of {POINT} ({found})."
        return f"{name}: not decided, and {n} runs would show a difference of {POINT} as a rule ({found})."
    base = row["labels_needed_reference"]
    least, most = (max(0.0, base - row[key]) for key in ("labels_saved_high", "labels_saved_low"))
    side = "above" if word == "better" else "below"
    size = f"{abs(mean):.3f}" if abs(mean) >= 0.0005 else f"{abs(mean):.1g}"
    return (
        f"{name} is {word}: it needed about {row['labels_needed']:.0f} labels where {reference} needed {base:.0f} "
        f"({LEVEL:.0%} interval {least:.0f} to {most:.0f}, {n} runs); its mean {score} was {size} {side}."
    )


def statistics_sentence(summary: pd.DataFrame, correction: str | None) -> str:
    """How to read intervals and verdicts."""
    n_seeds, n_tests = int(summary["n_seeds"].iloc[0]), len(summary) - 1
    adjusted = f", adjusted for {n_tests} strategies (Holm)," if correction and n_tests > 1 else ""
    return (
        f"{counted(n_seeds, 'paired run')} per strategy. Intervals: Student t over the runs, for each strategy on its "
        f"own. Undecided: the p-value of the paired t test{adjusted} is not below {1 - LEVEL:.2f}. Labels saved: for "
        "the best score that both reach."
    )


def censored_sentence(summary: pd.DataFrame, reference: str) -> list[str]:
    """Where labels saved are no more than a bound."""
    missed = summary["labels_saved_censored"].drop(reference)
    named = [f"{name} in {count}" for name, count in missed.items() if count > 0]
    runs = counted(summary["n_seeds"].iloc[0], "run")
    return [
        f"The best score of {reference} was missed by {', '.join(named)} of {runs}: labels saved are then "
        "those for the strategy's own best score, and it would need more for the other."
    ] * bool(named)


def power_sentence(summary: pd.DataFrame) -> list[str]:
    """What the runs that would decide a difference are, where they are spoken of."""
    is_said = (summary["n_seeds"] > 1) & (summary["area_verdict"] == "undecided")
    return [
        f"Runs that would decide a difference of {POINT}: so many find one that is there with a probability of {POWER}"
        ", by the spread of these runs, and where no other strategy is compared."
    ] * bool(is_said.any())
