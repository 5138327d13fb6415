"""Paired comparisons of query strategies, their statistics and displays, and the command `skal compare`."""

from ..exceptions import ResultsError, ResultsLockedError
from ._across import AcrossDataSets
from ._comparison import Comparison
from ._oracle import GreedyOracle
from ._run import RunError, compare
from ._stopping import compare_stopping

__all__ = [
    "AcrossDataSets",
    "Comparison",
    "GreedyOracle",
    "ResultsError",
    "ResultsLockedError",
    "RunError",
    "compare",
    "compare_stopping",
]
