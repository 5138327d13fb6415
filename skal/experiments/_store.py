"""Results on disk: finished runs survive an interruption, and runs of different settings never mix."""

import csv
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["COLUMNS", "ResultStore", "describe"]

COLUMNS = ["strategy", "seed", "round", "n_labels", "accuracy", "imbalance", "fit_seconds", "query_seconds"]
_KINDS = {"strategy": str, "seed": int, "round": int, "n_labels": int}  # the others are floats


def describe(obj: Any) -> str:
    """The text of an estimator with all its parameters, the same in every process (no memory addresses)."""
    if hasattr(obj, "get_params") and not isinstance(obj, type):
        params = sorted(obj.get_params(deep=True).items())
        parts = (f"{key}={describe_value(value)}" for key, value in params if not key.startswith("_"))
        return f"{type(obj).__name__}({', '.join(parts)})"
    return describe_value(obj)


def describe_value(value: Any) -> str:
    """`repr` without memory addresses; nested estimators by class, as their parameters are listed too."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        return type(value).__name__
    if isinstance(value, (set, frozenset)):  # their order differs between processes
        return f"{type(value).__name__}({sorted(map(describe_value, value))})"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


class ResultStore:
    """`results.csv` and `settings.json` of one results folder.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    settings : mapping of str to JSON values
        What the runs depend on. Results made with other settings are an error; `settings["strategies"]`, the
        text of each strategy by name, may gain names.

    Raises
    ------
    ValueError
        If the folder holds results of other settings, or files that cannot be read as results.
    OSError
        If the folder cannot be made or written.
    """

    def __init__(self, folder: str | os.PathLike, settings: Mapping[str, Any]):
        self.folder = Path(folder)
        self.results_path = self.folder / "results.csv"
        settings_path = self.folder / "settings.json"
        merged = dict(settings)
        if self.results_path.exists() or settings_path.exists():
            self.results = self._read_results()
            merged["strategies"] = self._check_settings(settings_path, settings) | dict(settings["strategies"])
        else:
            self.results = pd.DataFrame(columns=COLUMNS)
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(settings_path, json.dumps(merged, indent=1) + "\n")

    def done(self) -> set[tuple[str, int]]:
        """The (strategy, seed) pairs that are finished."""
        return set(zip(self.results["strategy"], self.results["seed"].astype(int), strict=True))

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Add one finished run. The file is replaced as a whole, so that it never holds half a run."""
        new = pd.DataFrame(rows, columns=COLUMNS)
        self.results = new if self.results.empty else pd.concat([self.results, new], ignore_index=True)
        _write(self.results_path, self.results.to_csv(index=False, na_rep="nan"))

    def _read_results(self) -> pd.DataFrame:
        if not self.results_path.exists():  # interrupted before the first run was finished
            return pd.DataFrame(columns=COLUMNS)
        try:
            # Not pandas' reader: whether its floats are exact depends on its version.
            with self.results_path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                if reader.fieldnames != COLUMNS:
                    raise ValueError(f"its columns must be {', '.join(COLUMNS)}")
                rows = [{key: _KINDS.get(key, float)(text) for key, text in row.items()} for row in reader]
            return pd.DataFrame(rows, columns=COLUMNS)
        except (ValueError, TypeError, OSError, csv.Error) as error:
            raise ValueError(
                f"{self.results_path} cannot be read as results of a comparison ({_line(error)}). "
                "Use another out folder."
            ) from error

    def _check_settings(self, path: Path, settings: Mapping[str, Any]) -> dict[str, str]:
        """Compare the stored settings with these; returns the stored strategies."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            strategies = dict(stored["strategies"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ValueError(
                f"{self.folder} holds results without readable settings ({_line(error)}). Use another out folder."
            ) from error
        differing = [
            _difference(key, stored.get(key), settings.get(key))
            for key in {**settings, **stored}
            if key != "strategies" and stored.get(key) != settings.get(key)
        ]
        differing += [
            _difference(name, strategies[name], text)
            for name, text in settings["strategies"].items()
            if strategies.get(name, text) != text
        ]
        if differing:
            raise ValueError(
                f"{self.folder} holds results of other settings: {'; '.join(differing)}. Use another out folder."
            )
        return strategies


def _write(path: Path, text: str) -> None:
    """Write through a temporary file beside it: readers see the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _difference(name: str, stored: Any, wanted: Any) -> str:
    text = f"{name} was {stored}, not {wanted}"
    return text if len(text) <= 80 else f"{name} was another"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
