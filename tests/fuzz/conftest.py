"""Prints what a long run has found."""

from .profiles import CASES, SEED
from .rules import CAMPAIGN


def pytest_terminal_summary(terminalreporter):
    if not CASES:
        return
    write = terminalreporter.write_line
    for kind, count in CAMPAIGN.violations.most_common():
        write(f"{count:5d} x {kind}\n        for example {CAMPAIGN.examples[kind]}")
    for reason, count in CAMPAIGN.skipped.most_common():
        write(f"{count:5d} x known: {reason}")
    write(
        f"fuzz: {CAMPAIGN.cases} cases, {sum(CAMPAIGN.violations.values())} violations "
        f"({CAMPAIGN.errors} cases were refused; seed {SEED})"
    )
