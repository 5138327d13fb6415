"""For everyone who writes a strategy: known numbers to try it on, and the rules that every strategy keeps."""

from ._checks import check_strategy, strategy_checks
from ._fake_pool import FakePool

__all__ = ["FakePool", "check_strategy", "strategy_checks"]
