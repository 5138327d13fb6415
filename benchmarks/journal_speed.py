"""What a session of a million ids costs: a label, an undo, a query, and opening a journal of 100,000 events.

    python benchmarks/journal_speed.py [--ids 1000000] [--events 100000] [--out benchmarks/results/journal_speed.json]

A pool of n x 8 float32 with file names for ids, `LogisticRegression` and `MarginSampling`. Each figure is the median of
its repetitions with the least and the most; seconds of the clock, so that what the disk costs is in it.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from skal.labeling import LabelingSession, LabelJournal
from skal.learners import ActiveLearner
from skal.strategies import MarginSampling


def timed(work, times):
    seconds = []
    for i in range(times):
        begun = time.perf_counter()
        work(i)
        seconds.append(time.perf_counter() - begun)
    return {"median": float(np.median(seconds)), "least": min(seconds), "most": max(seconds)}


def measure(n, n_events, folder):
    X = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    ids = [f"photos/{i:07d}.jpg" for i in range(n)]
    values = ["cat" if i % 2 else "dog" for i in range(n)]
    found = {}
    for durable in (False, True):
        learner = ActiveLearner(LogisticRegression(), MarginSampling(), cold_start="random", random_state=0)
        journal = LabelJournal(folder / f"{durable}.jsonl", durable=durable)
        with LabelingSession(learner, X, journal=journal, ids=ids) as session:
            name = "durable" if durable else "fast"
            session.label(ids[:n_events], values[:n_events])
            found[f"label, {name}"] = timed(lambda i: session.label(ids[n_events + i], values[i]), 500)
            if not durable:
                found["undo"] = timed(lambda i: session.undo(), 5)
                found["query of 100, with training"] = timed(lambda i: session.query(100), 1)
    path = folder / "events.jsonl"
    with LabelJournal(path, durable=False) as journal:
        journal.label(ids[:n_events], values[:n_events])
    found["open"] = timed(lambda i: LabelJournal(path).close(), 5)
    return {"ids": n, "events": n_events, "seconds": found}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.ids, options.events, Path(folder))
    text = json.dumps(found, indent=1)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
