"""Small faults (mutants.toml), put into a copy of the package one at a time: does a test notice each?

    python benchmarks/mutants.py [--only NAME ...] [--jobs 2] [--list] [--out benchmarks/results/mutants.json]

For each mutation the tests that mirror the file are run, up to the first failure, and where they pass a wider set. What
no test notices survives; the exit code is 1 where a survivor is not one of `EQUIVALENT`. A mutation whose old text does
not occur exactly once in its file is an error (exit code 2): the code has moved on, and the list must follow.

Before anything is mutated, the tests that mirror the files must pass on the copy as it is.
"""

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 900  # seconds: a fault may well run for ever

# Survivors that are no faults: what the text says cannot be told apart by any input. At most two.
EQUIVALENT: dict[str, str] = {}

# Tests of files that have none of their own name.
TESTS = {
    "base.py": ["tests/test_base.py", "tests/test_testing.py"],
    "strategies/_entropy_sampling.py": ["tests/strategies/test_uncertainty.py"],
    "strategies/_least_confidence.py": ["tests/strategies/test_uncertainty.py"],
    "strategies/_margin_sampling.py": ["tests/strategies/test_uncertainty.py"],
    "strategies/_random_sampling.py": ["tests/strategies/test_uncertainty.py"],
    "strategies/_detection_entropy.py": ["tests/strategies/test_detection.py"],
    "strategies/_detection_least_confidence.py": ["tests/strategies/test_detection.py"],
    "strategies/_detection_margin.py": ["tests/strategies/test_detection.py"],
    "strategies/_patra_bruzzone.py": ["tests/strategies/test_uffm.py"],
    "strategies/_uffm.py": ["tests/strategies/test_remove_similar.py", "tests/strategies/test_uffm.py"],
    "strategies/_parts/_descriptors.py": ["tests/strategies/test_uffm.py", "tests/strategies/test_prefilter.py"],
    "strategies/_parts/_detection.py": ["tests/strategies/test_detection.py"],
    "strategies/_parts/_opinions.py": ["tests/strategies/test_bald.py", "tests/strategies/test_bayesian_entropy.py"],
    "strategies/_parts/_sub_pools.py": [
        "tests/strategies/test_bal.py",
        "tests/strategies/test_pt4al.py",
        "tests/strategies/test_prefilter.py",
    ],
    "strategies/_parts/_thinning.py": ["tests/strategies/test_uffm.py", "tests/strategies/test_prefilter.py"],
    "learners/_active_learner.py": ["tests/learners/test_active_learner.py", "tests/learners/test_rounds.py"],
    "learners/_dm2_at.py": ["tests/learners/test_dm2_at.py", "tests/learners/test_rounds.py"],
    "learners/_simulation.py": ["tests/learners/test_simulation.py", "tests/learners/test_rounds.py"],
    "learners/_transaction.py": [
        "tests/learners/test_transaction.py",
        "tests/learners/test_rounds.py",
        "tests/learners/test_active_learner.py",
        "tests/learners/test_labels.py",
    ],
    "models/_base.py": ["tests/models/test_heads.py", "tests/test_pool.py"],
    "models/_linear.py": ["tests/models/test_heads.py", "tests/models", "tests/test_pool.py"],
    "models/_mlp.py": ["tests/models/test_heads.py", "tests/models", "tests/test_pool.py"],
    "models/_heads.py": ["tests/models", "tests/test_pool.py"],
    "models/_skorch.py": ["tests/models", "tests/test_pool.py"],
    "models/_fgsm.py": [
        "tests/models/test_fgsm.py",
        "tests/nets/test_adversarial.py",
        "tests/metrics/test_robustness.py",
    ],
    "metrics/_robustness.py": ["tests/metrics/test_robustness.py"],
}


class Mutant(NamedTuple):
    """A fault: `old` in `file` becomes `new`."""

    name: str
    file: str
    old: str
    new: str


def mutants() -> list[Mutant]:
    """Those of mutants.toml: a table for each file, and in it name = [old, new]."""
    tables = tomllib.loads((ROOT / "benchmarks" / "mutants.toml").read_text(encoding="utf-8"))
    return [
        Mutant(f"{file}: {name}", file, *texts) for file, faults in tables.items() for name, texts in faults.items()
    ]


MUTANTS = mutants()


def own_tests(file: str) -> list[str]:
    """The tests that mirror a file."""
    if file in TESTS:
        return TESTS[file]
    *rooms, name = Path(file).parts
    mirror = Path("tests", *rooms, f"test_{name.lstrip('_')}")
    return [mirror.as_posix() if (ROOT / mirror).exists() else Path("tests", *rooms).as_posix()]


def wider_tests(file: str) -> list[str]:
    """What else may notice: the whole room, and the rules that all strategies keep."""
    rooms = Path(file).parts[:1] if "/" in file else ("strategies",)
    wide = ["tests/test_pool.py", "tests/test_common.py", "tests/test_testing.py", f"tests/{rooms[0]}"]
    return wide if rooms[0] != "learners" else [*wide, "tests/meta"]


def stale() -> list[str]:
    """Mutations whose text does not occur exactly once, or that change nothing, or whose name comes twice."""
    found = []
    for mutant in MUTANTS:
        n = (ROOT / "skal" / mutant.file).read_text(encoding="utf-8").count(mutant.old)
        if n != 1:
            found.append(f"{mutant.name}: its text occurs {n} times")
        elif mutant.old == mutant.new:
            found.append(f"{mutant.name}: it changes nothing")
    names = [mutant.name for mutant in MUTANTS]
    return found + [f"{name}: this name comes twice" for name in sorted({n for n in names if names.count(n) > 1})]


def copy_of_the_package(folder: Path) -> Path:
    for name in ("skal", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run_tests(tree: Path, tests: list[str]) -> tuple[str, str]:
    """ "passed", "failed" or "broken" (no test ran), and the first test that failed."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    settings = {
        **os.environ,
        **one_thread,
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "Agg",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=tree, env=settings, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return "failed", f"more than {TIMEOUT} s"
    if done.returncode == 0:
        return "passed", ""
    found = re.search(r"^(?:FAILED|ERROR) (\S+::\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or found is None:
        return "broken", (done.stdout + done.stderr).strip()[-400:]
    return "failed", found[1]


def judge(mutant: Mutant, tree: Path) -> dict:
    """Put the fault into the copy, run the tests, and take it out again."""
    path, started = tree / "skal" / mutant.file, time.perf_counter()
    source = path.read_text(encoding="utf-8")
    path.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        for tests in (own_tests(mutant.file), wider_tests(mutant.file)):
            state, by = run_tests(tree, tests)
            if state != "passed":
                break
    finally:
        path.write_text(source, encoding="utf-8")
    verdict = {"passed": "survived", "failed": "killed", "broken": "broken"}[state]
    seconds = round(time.perf_counter() - started, 1)
    return {**mutant._asdict(), "verdict": verdict, "by": by, "seconds": seconds}


def record(path: Path, results: list[dict]) -> None:
    """Write the verdicts down, beside those that the file has of other mutations that are still the same."""
    known = json.loads(path.read_text(encoding="utf-8"))["mutants"] if path.exists() else []
    last = {(r["name"], r["old"], r["new"]): r for r in [*known, *results]}
    told = [last[key] for mutant in MUTANTS if (key := (mutant.name, mutant.old, mutant.new)) in last]
    verdicts = [r["verdict"] for r in told]
    found = {
        "counts": {verdict: verdicts.count(verdict) for verdict in ("killed", "survived", "broken")},
        "survivors": [r["name"] for r in told if r["verdict"] == "survived"],
        "never_run": [mutant.name for mutant in MUTANTS if (mutant.name, mutant.old, mutant.new) not in last],
        "equivalent": EQUIVALENT,
        "mutants": told,
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="parts of names, such as a file's")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "mutants.json")
    args = parser.parse_args()
    chosen = [m for m in MUTANTS if not args.only or any(part in m.name for part in args.only)]
    if args.list:
        print(*(mutant.name for mutant in chosen), sep="\n")
        return 0
    problems = stale() or ([] if chosen else [f"no mutation is called {args.only}"])
    if problems:
        print(*problems, sep="\n")
        return 2

    with tempfile.TemporaryDirectory() as folder:
        trees: queue.Queue[Path] = queue.Queue()
        for job in range(args.jobs):
            trees.put(copy_of_the_package(Path(folder, str(job))))

        def at_work(task):
            tree = trees.get()
            try:
                return task(tree)
            finally:
                trees.put(tree)

        unchanged = sorted({test for mutant in chosen for test in own_tests(mutant.file)})
        state, by = at_work(lambda tree: run_tests(tree, unchanged))
        if state != "passed":
            print(f"The tests do not pass before anything is changed: {by}")
            return 2
        results = []
        with ThreadPoolExecutor(args.jobs) as pool:
            tasks = [pool.submit(at_work, lambda tree, mutant=mutant: judge(mutant, tree)) for mutant in chosen]
            for task in tasks:
                results.append(task.result())
                last = results[-1]
                print(f"{last['verdict']:9}{last['seconds']:6.1f} s  {last['name']}  {last['by']}", flush=True)

    survivors = [r["name"] for r in results if r["verdict"] == "survived"]
    broken = [r["name"] for r in results if r["verdict"] == "broken"]
    counts = {verdict: sum(r["verdict"] == verdict for r in results) for verdict in ("killed", "survived", "broken")}
    print(f"\n{len(results)} mutations: {counts}")
    for name in survivors:
        print(f"survived: {name}" + (f" (equivalent: {EQUIVALENT[name]})" if name in EQUIVALENT else ""))
    record(args.out, results)
    return int(bool(broken or set(survivors) - EQUIVALENT.keys() or len(EQUIVALENT) > 2))


if __name__ == "__main__":
    sys.exit(main())
