"""
A large pool: two stages
========================

`BADGE` compares samples with each other, and takes the longer the more there are. `Prefilter` gives it only the
candidates of a strategy that looks at one sample at a time. What does that save, and what does it cost?
"""

# %%
# Ten generated classes, the rarest of them with 2 % of the rows. The pool lies in a file, which is read block by block
# through a memory map.

import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

from skal.experiments import compare
from skal.learners import ActiveLearner
from skal.strategies import BADGE, MarginSampling, Prefilter

rng = np.random.default_rng(0)
shares = np.geomspace(0.2, 0.02, 10)
centers = rng.normal(0, 1.1, (10, 12))
path = Path(tempfile.mkdtemp()) / "pool.npy"


def draw_samples(n):
    y = rng.choice(10, n, p=shares / shares.sum())
    return (centers[y] + rng.normal(size=(n, 12))).astype(np.float32), y


samples, y = draw_samples(80_000)
np.save(path, samples)
pool = np.load(path, mmap_mode="r")
print(f"{len(pool)} rows, {path.stat().st_size / 2**20:.0f} MiB")

# %%
# The time of one query of 100, from a model with 50 labels: the better of two turns on the machine that built this
# page. Their proportions are what counts.


def seconds(strategy):
    learner = ActiveLearner(LogisticRegression(max_iter=300), strategy, pool[:50], y[:50])
    turns = []
    for _ in range(2):
        began = time.perf_counter()
        learner.query(pool, n_instances=100)
        turns.append(time.perf_counter() - began)
    return min(turns)


sizes = [500, 2_000, 10_000, 40_000]
times = [seconds(Prefilter(BADGE(), first=MarginSampling(), n_candidates=size, random_state=0)) for size in sizes]
margin_alone, badge_alone = seconds(MarginSampling(random_state=0)), seconds(BADGE(random_state=0))

# %%
# What becomes of the accuracy? Paired runs with five seeds, three queries of 25 each. So few decide large differences
# alone: margin sampling and `BADGE` of 500 candidates are better than random sampling; of 10,000 candidates it is
# undecided, and nothing here tells the three apart. With 500 candidates a query takes hardly longer than margin
# sampling.

found = compare(
    {
        "margin": MarginSampling(),
        "BADGE of 500": Prefilter(BADGE(), first=MarginSampling(), n_candidates=500),
        "BADGE of 10,000": Prefilter(BADGE(), first=MarginSampling(), n_candidates=10_000),
    },
    LogisticRegression(max_iter=300),
    pool,
    y,
    *draw_samples(4000),
    n_initial=50,
    n_instances=25,
    n_queries=3,
    seeds=5,
)
print(found.table())

fig, (first, second, third) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained", width_ratios=(1, 1.2, 1))
first.plot(sizes, times, "o-", color="#0072B2", label="BADGE of so many candidates")
first.axhline(badge_alone, color="#D55E00", linestyle="--", label="BADGE of the whole pool")
first.axhline(margin_alone, color="0.5", linestyle=":", label="margin sampling, no BADGE")
first.set(xscale="log", xlabel="candidates", ylabel="seconds for a query of 100", ylim=(0, 1.5 * badge_alone))
first.legend(frameon=False, loc="upper left")
first.spines[["top", "right"]].set_visible(False)
found.displays.curves.plot(ax=second)
found.displays.differences.plot(ax=third)
plt.show()
