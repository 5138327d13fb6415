"""Two profiles: a short repeatable one beside the other tests, and a long one by `make fuzz`.

FUZZ_CASES is the number of cases, FUZZ_SEED the seed; FUZZ_STOP=1 stops at the first violation and makes it small.
"""

import functools
import os

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from .rules import CAMPAIGN

CASES = int(os.environ.get("FUZZ_CASES", 0))
SEED = int(os.environ.get("FUZZ_SEED", 0))
STOP = "FUZZ_STOP" in os.environ
SHORT = 600  # cases beside the other tests

CAMPAIGN.strict = not CASES or STOP
PROFILE = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    derandomize=not CASES,
    phases=[*Phase] if CAMPAIGN.strict else [Phase.explicit, Phase.generate],
)


def fuzz(percent, **generators):
    """A test that Hypothesis calls with `percent` of all cases."""

    def decorate(test):
        cases = max(1, round((CASES or SHORT) * percent / 100))
        run = settings(PROFILE, max_examples=cases)(given(**generators)(test))
        run = seed(SEED)(run) if CASES else run

        @functools.wraps(test)
        def wrapper():
            before = sum(CAMPAIGN.violations.values())
            run()
            found = sum(CAMPAIGN.violations.values()) - before
            if found:
                pytest.fail(f"{found} violations, listed at the end", pytrace=False)

        del wrapper.__wrapped__  # whose parameters pytest would take for fixtures
        return wrapper

    return decorate
