"""Does `skal compare` lose or invent anything when it is killed, interrupted, started twice, or finds damaged files?

One comparison of three strategies is run undisturbed. Then the same command is killed (``kill -9``) at random moments
and given again, on one folder until it is finished, with one and two processes; the same with Ctrl-C; two commands use
one folder; and files of a finished folder are damaged at random. Whatever happens, the final table must be that of the
undisturbed comparison, or the command must say one sentence and exit with code 2. Counts go to standard output and to
``results/compare_kills.json``. POSIX only: the commands are forks of a process that has imported everything.

    python benchmarks/compare_kills.py [--kills 100] [--interrupts 50] [--damages 100] [--seed 0]
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np  # noqa: E402

import skal.experiments.command  # noqa: E402, F401  (so that the forks have it)
from skal.cli import main  # noqa: E402

N_QUERIES, N_RUNS = 3, 12
SIZES = ["--n-initial", "10", "--n-queries", str(N_QUERIES), "--n-instances", "4", "--seeds", str(N_RUNS // 3)]
COMMAND = ["compare", "--strategies", "EntropySampling,MarginSampling", *SIZES]
FILES = {
    "results.csv", "checks.csv", "settings.json", "summary.csv", "learning_curves.png", "report.html", "report.md"
}  # fmt: skip
BEFORE = 99
KEYS = ("strategy", "seed", "round", "n_labels", "accuracy", "imbalance", "queried")


def start(data, out, n_jobs, log):
    """Fork a process that runs the command in a session of its own, as a terminal would; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = BEFORE  # what a signal finds as long as this is not the command yet
    try:
        os.setsid()
        with open(log, "wb") as file:
            os.dup2(file.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.argv = ["skal", *COMMAND, "--data", str(data), "--n-jobs", str(n_jobs), "--out", str(out)]
        code = main()
    finally:
        os._exit(code)


def finish(pid):
    """The exit code; of a signal, its negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def command(data, out, n_jobs, log):
    """Run the command to its end: its exit code."""
    return finish(start(data, out, n_jobs, log))


def said(log):
    """What stands on standard error beside the progress bar."""
    lines = [part for line in Path(log).read_text().splitlines() for part in line.split("\r")]
    return [
        line for line in lines if line.strip() and "run/s" not in line and "s/run" not in line and "?run" not in line
    ]


def table(out):
    """The results, without times, run by run."""
    runs = {}
    for name in ("results.csv", "checks.csv"):
        if (out / name).exists():
            with open(out / name, newline="") as file:
                for row in csv.DictReader(file):
                    runs.setdefault((row["strategy"], row["seed"]), []).append(tuple(row[key] for key in KEYS))
    return runs


def workers_of(pid):
    """Ids of the processes that the command has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def alive(pid):
    """Whether a process runs, and is not only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def signals(number, n_signals, n_jobs, data, whole, top, rng, counts):
    """Send the signal at random moments, going on in one folder until it is finished, then in the next."""
    kind = f"{signal.Signals(number).name} with {n_jobs} processes"
    out, log, sent = top / "out", top / "log", 0
    while sent < n_signals:
        shutil.rmtree(out, ignore_errors=True)
        while True:
            before = table(out)
            begun = time.monotonic()
            pid = start(data, out, n_jobs, log)
            if n_jobs > 1 and rng.random() < 0.7:  # most moments would lie in the start of the processes
                while alive(pid) and len(table(out)) == len(before) and time.monotonic() - begun < 60:
                    time.sleep(0.005)
            time.sleep(rng.random() * 0.6)
            children = workers_of(pid)
            os.kill(pid, number)
            code = finish(pid)
            sent += 1
            deadline = time.monotonic() + 20
            while any(map(alive, children)) and time.monotonic() < deadline:
                time.sleep(0.01)
            check(not any(map(alive, children)), f"{kind}: a process is left", counts)
            after = table(out)
            rounds = {key: 1 if key[0] == "all labels" else N_QUERIES + 1 for key in after}
            check(all(len(run) == rounds[key] for key, run in after.items()), f"{kind}: half a run is left", counts)
            check(all(after.get(key) == run for key, run in before.items()), f"{kind}: a run was lost", counts)
            if code in (0, BEFORE):
                counts[f"{kind}: came too {'early' if code else 'late'}"] += 1
            elif number == signal.SIGKILL:
                check(code == -number, f"{kind}: exit code {code}", counts)
                counts[f"{kind}: killed"] += 1
            else:
                check(code == 130, f"{kind}: exit code {code}", counts)
                text = said(log)
                check(len(text) == 1 and "the same command goes on" in text[0], f"{kind}: said {text}", counts)
                counts[f"{kind}: interrupted"] += 1
            if sent >= n_signals or code == 0 or rng.random() < 0.2:
                break
        check(command(data, out, 1, log) == 0, f"{kind}: resuming failed: {said(log)}", counts)
        check(said(log) == [], f"{kind}: resuming said {said(log)}", counts)
        check(table(out) == whole, f"{kind}: the final table is another", counts)
        names = {path.name for path in out.iterdir()}
        check(names == FILES, f"left {names}", counts)
        counts[f"{kind}: final tables compared"] += 1


def two_at_once(n, data, whole, top, rng, counts):
    """Two commands on one folder: one does the work, the other says one sentence."""
    for _ in range(n):
        out = top / "out"
        shutil.rmtree(out, ignore_errors=True)
        pids = [start(data, out, 1, top / "log0")]
        time.sleep(rng.random() * 0.3)
        pids.append(start(data, out, 1, top / "log1"))
        codes = [finish(pid) for pid in pids]
        check(sorted(codes) in ([0, 2], [0, 0]), f"two at once: exit codes {codes}", counts)
        for code, log in zip(codes, ("log0", "log1")):
            text = said(top / log)
            if code == 2:
                check(len(text) == 1 and "is in use" in text[0] and "process" in text[0], f"two: {text}", counts)
        check(table(out) == whole, "two at once: the final table is another", counts)
        counts[f"two at once: exit codes {sorted(codes)}"] += 1


def damage(path, rng):
    """One of several kinds of damage to a file; its name."""
    content = bytearray(path.read_bytes())
    lines = bytes(content).splitlines(keepends=True)
    place = rng.randrange(len(content))
    kind = rng.choice(["cut", "cut at a line", "garbage", "line lost", "line twice", "lines swapped", "zeros", "empty"])
    if kind == "cut":
        content = content[:place]
    elif kind == "cut at a line":
        content = b"".join(lines[: rng.randrange(len(lines))])
    elif kind == "garbage":  # no digits, which could be a result
        content[place : place + 8] = bytes(rng.choice(b'\x00\xff,\n"abc-#') for _ in range(8))
    elif kind == "zeros":
        content[place:] = bytes(len(content) - place)
    elif kind == "empty":
        content = b""
    elif len(lines) > 2:
        i, j = rng.sample(range(len(lines)), 2)
        if kind == "line lost":
            del lines[i]
        elif kind == "line twice":
            lines.insert(i, lines[i])
        else:
            lines[i], lines[j] = lines[j], lines[i]
        content = b"".join(lines)
    path.write_bytes(bytes(content))
    return f"{path.name}, {kind}"


def damages(n, data, finished, whole, top, rng, counts):
    """Damage a finished folder: the same command mends it, or says one sentence and touches nothing."""
    for _ in range(n):
        out = top / "out"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(finished, out)
        path = out / rng.choice(["results.csv", "results.csv", "checks.csv", "settings.json"])
        kind = damage(path, rng)
        content = path.read_bytes()
        code = command(data, out, 1, top / "log")
        text = said(top / "log")
        if code == 0:
            check(table(out) == whole, f"{kind}: the final table is another", counts)
            check(
                len(text) <= 1 and all("results.csv" in line or "checks.csv" in line for line in text),
                f"{kind}: {text}",
                counts,
            )
            counts["damaged: mended"] += 1
        else:
            fine = code == 2 and len(text) == 1 and path.read_bytes() == content
            check(fine, f"{kind}: exit code {code}, {text}", counts)
            counts["damaged: one sentence"] += 1


def check(holds, what, counts):
    """Count and print a fault."""
    if not holds:
        counts["FAULTS"] += 1
        print("FAULT", what, flush=True)


def run(arguments):
    """All parts, with their counts."""
    rng, counts = random.Random(arguments.seed), Counter()
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        labels = np.arange(120) % 3
        generator = np.random.default_rng(0)
        data = top / "table.npz"
        np.savez(data, X=generator.normal(size=(120, 5)) + labels[:, None], y=labels)
        if command(data, top / "whole", 1, top / "log") != 0:
            raise RuntimeError(f"the undisturbed comparison failed: {said(top / 'log')}")
        whole = table(top / "whole")
        for number, n in ((signal.SIGKILL, arguments.kills), (signal.SIGINT, arguments.interrupts)):
            for n_jobs, share in ((1, 0.7), (2, 0.3)):
                begun = time.monotonic()
                signals(number, round(n * share), n_jobs, data, whole, top, rng, counts)
                print(f"{number.name}, {n_jobs}: {time.monotonic() - begun:.0f} s", flush=True)
        two_at_once(10, data, whole, top, rng, counts)
        damages(arguments.damages, data, top / "whole", whole, top, rng, counts)
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, default in (("kills", 100), ("interrupts", 50), ("damages", 100), ("seed", 0)):
        parser.add_argument(f"--{option}", type=int, default=default)
    arguments = parser.parse_args()
    found = dict(sorted(run(arguments).items()))
    text = json.dumps(found, indent=1)
    print(text)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "compare_kills.json").write_text(text + "\n")
    sys.exit(bool(found.get("FAULTS")))
