"""What every call must keep to: a valid answer or one clear error, and everything else as it was."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import traceback
import warnings
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier

import skal
from skal.exceptions import SkalError

from .known import reason_to_skip

HOME = str(Path(skal.__file__).parent)
CLEAR = (ValueError, TypeError, SkalError, NotFittedError)
# Subclasses of the clear ones that come from Python's machinery.
UNCLEAR = (UnicodeError, np.linalg.LinAlgError)
LONGEST = 400
SECONDS = 20  # that no case may take
MACHINERY = re.compile(
    r"object has no attribute|mat1|broadcast|unhashable|subscriptable|cannot convert|dtype\('|out of (range|bounds)|"
    r"NoneType|positional argument|truth value|setting an array element|not iterable|int\(\)|Errno 17|inhomogeneous|"
    r"could not convert|not supported between|unsupported operand|has no len|must be real number|object of type|"
    r"expected scalar type|isnan|ufunc|cannot be interpreted|Cannot interpret|can't convert|unpack|zip\(|reduction"
)


class Violation(AssertionError):
    """A call broke a rule."""


class Endless(BaseException):
    """A call took too long."""


@contextlib.contextmanager
def time_limit():
    def stop(signum, frame):
        raise Endless

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Fault:
    """An error that a fuzzed object raises at the k-th call of one of its methods."""

    def __init__(self, error, at=1):
        self.error, self.at, self.calls = error, at, 0

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        # The same for every count of calls, so that it is no change of its owner.
        return Fault, (type(self.error)("injected"), self.at)

    def __repr__(self):
        return f"Fault({type(self.error).__name__}, at={self.at})"

    def tick(self):
        self.calls += 1
        if self.calls == self.at:
            raise self.error


class Campaign:
    """Cases and violations of a run; `strict` raises the first one, so that Hypothesis makes it small."""

    def __init__(self):
        self.strict, self.cases, self.errors = True, 0, 0
        self.violations, self.skipped = Counter(), Counter()
        self.examples = {}

    def report(self, where, what, how):
        reason = reason_to_skip(where, what)
        if reason is not None:
            self.skipped[reason] += 1
            return
        if self.strict:
            raise Violation(f"{where}: {what}\n  case: {how}")
        kind = f"{where.split('(')[0]}: {what}"
        self.violations[kind] += 1
        self.examples.setdefault(kind, how)


CAMPAIGN = Campaign()


def fingerprint(value):
    """Tells whether anything in `value` has changed; None where it cannot be told."""
    value = plain(value)
    try:
        first, second = joblib.hash(value), joblib.hash(value)
    except Exception:
        return None
    return first if first == second else None


def plain(value):
    """Content alone, of what notes down how it was read: a frame keeps what it has looked up, a tree counts calls."""
    if sp.issparse(value) and hasattr(value, "indptr"):
        # It notes down whether its indices are in order.
        return [value.shape, value.data, value.indices, value.indptr]
    if isinstance(value, pd.Series):
        return [value.name, str(value.dtype), list(value.index), list(value)]
    if isinstance(value, pd.DataFrame):
        return [list(value.columns), [plain(value.iloc[:, i]) for i in range(value.shape[1])]]
    if isinstance(value, KNeighborsClassifier):
        return {name: part for name, part in vars(value).items() if name != "_tree"}
    return [plain(part) for part in value] if type(value) in (list, tuple) else value


def generators():
    """State of the global random generators."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return name, keys.tobytes(), *rest, torch.get_rng_state().numpy().tobytes(), random.getstate()


def frames_of(error):
    return list(traceback.walk_tb(error.__traceback__))


def is_skals(frame):
    return frame.f_code.co_filename.startswith(HOME)


def passed_through(error):
    """Whether a foreign object that skal called raised the error: an estimator, or what the test itself has made."""
    frames = [frame for frame, _ in frames_of(error)]
    last = max((i for i, frame in enumerate(frames) if is_skals(frame)), default=-1)
    if last < 0 or last + 1 == len(frames):
        return False
    callee = frames[last + 1]
    owner = callee.f_locals.get("self", callee.f_locals.get("estimator"))
    own = type(owner).__module__.startswith("skal.")
    # A Dataset of the test may lie within one of torch's.
    is_tests = any("/fuzz/" in frame.f_code.co_filename for frame in frames[last + 1 :])
    return (isinstance(owner, BaseEstimator) and not own) or is_tests


def wrong_with(error, faults):
    """What breaks the rules in an error, or None."""
    if any(error is fault.error for fault in faults):
        return None
    if any(fault.calls >= fault.at for fault in faults):
        return f"the injected fault came out as {type(error).__name__}: {error}"
    if isinstance(error, Endless):
        return f"no end within {SECONDS} seconds"
    if passed_through(error):
        return None
    words = f"{type(error).__name__}: {error}"
    line = next((f"{f.f_code.co_filename[len(HOME) + 1 :]}:{n}" for f, n in frames_of(error)[::-1] if is_skals(f)), "?")
    words = f"{words[:300]} [{line}]"
    text = str(error)
    if isinstance(error, IndexError) and line.startswith("rows/_generics.py"):
        # Positions of rows: as NumPy has it, in skal's own words.
        return None if "\n" not in str(error) else f"no short sentence, {words!r}"
    if not isinstance(error, CLEAR) or isinstance(error, UNCLEAR):
        return f"an error of machinery, {words}"
    if not text or "\n" in text or len(text) > LONGEST:
        return f"no short sentence, {len(text)} characters, {words!r}"
    # The first line of what another package says, in skal's own sentence.
    cause = "" if error.__cause__ is None else str(error.__cause__).strip().partition("\n")[0]
    quoted = bool(cause) and cause[:100] in text
    words_of_python = re.fullmatch(r"[\w.]+\(\) missing \d required (positional|keyword-only) argument: '\w+'", text)
    if not quoted and not words_of_python and (found := MACHINERY.search(text)):
        return f"words of machinery ({found[0]!r}), {words}"
    if not any(is_skals(frame) for frame, _ in frames_of(error)[-1:]) and not is_validation(error):
        return f"raised in another package, {words}"
    return None


def is_validation(error):
    """Errors of scikit-learn's own checks that are as clear as skal's, and Python's of a keyword or argument."""
    last = frames_of(error)[-1][0]
    return "sklearn/utils" in last.f_code.co_filename or last.f_code.co_filename.startswith(str(Path(__file__).parent))


def check_call(where, call, how="", *, unchanged=(), after_error=(), faults=(), valid=None, must=None):
    """Make the call, hold it to the rules, and return its answer (None where it raised).

    Parameters
    ----------
    where : str
        The entry point.
    call : callable without arguments
    how : str
        The case, in words.
    unchanged : values that stay as they are
    after_error : values that stay as they are where the call raises
    faults : `Fault`s that may come out, and must, once raised
    valid : callable
        Gets the answer, and says what is wrong with it or returns None.
    must : {"answer", "refuse"} or None
    """
    CAMPAIGN.cases += 1
    answer, error = None, None
    kept = [(value, fingerprint(value)) for value in (*unchanged, *after_error)]
    state = generators()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with time_limit():
                answer = call()
        except (Exception, KeyboardInterrupt, Endless) as raised:
            error = raised
    problems = []
    if error is not None:
        CAMPAIGN.errors += 1
        problems.append(wrong_with(error, faults))
        if must == "answer":
            problems.append(f"a valid call was refused, {type(error).__name__}: {str(error)[:200]}")
    else:
        if any(fault.calls >= fault.at for fault in faults):
            problems.append("an answer in spite of an injected fault")
        if must == "refuse":
            problems.append(f"an answer that nothing stands for, {short(answer)}")
        elif valid is not None:
            problems.append(valid(answer))
    for i, (value, before) in enumerate(kept):
        may = error is None and i >= len(unchanged)
        if before is not None and not may and fingerprint(value) != before:
            problems.append(f"changed its {type(value).__name__}" + (" in spite of an error" if error else ""))
    if generators() != state:
        problems.append("touched a global random generator")
    for warning in caught:
        if warning.filename.startswith(HOME) and issubclass(warning.category, RuntimeWarning):
            problems.append(f"warned of its own arithmetic, {warning.message} [{warning.filename[len(HOME) :]}]")
    for problem in filter(None, problems):
        CAMPAIGN.report(where, problem, how)
    return answer


def short(value):
    with contextlib.suppress(Exception):
        return repr(value).replace("\n", " ")[:80]
    return type(value).__name__


# -- what an answer must be ----------------------------------------------------------------------------------------


def selection(n_instances, n_pool, *, scored=True):
    """Checks positions and scores of `select`."""

    def wrong(answer):
        idx, scores = answer
        if idx.dtype != np.int64 or idx.shape != (n_instances,):
            return f"positions of {idx.dtype} and shape {idx.shape}"
        if len(set(idx.tolist())) != n_instances or idx.min() < 0 or idx.max() >= n_pool:
            return f"positions that are no selection of {n_instances} in {n_pool}"
        if scores.dtype != np.float64 or scores.shape != (n_instances,) or not np.isfinite(scores).all():
            return f"scores that are no finite float64 of shape ({n_instances},)"
        if scored and (np.diff(scores) > 0).any():
            return "scores that are not in order"
        return None

    return wrong


def number(answer):
    """Checks a metric."""
    if isinstance(answer, (float, np.floating)):
        return None if np.isfinite(answer) else f"the value {answer}"
    return None
