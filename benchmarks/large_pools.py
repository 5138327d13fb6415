"""Queries of pools that are large: memory, time, and the picks of a plain loop.

    python benchmarks/large_pools.py [--folder /tmp] [--out benchmarks/results/large_pools.json]

Each measurement is a process of its own with one thread; 6 GB of disk are needed in `--folder`. Memory is the growth of
the largest resident size (pages of mapped files count) over that before the query. Time is processor time, of all
processes, but for `workers`.

`shards`: 10,000,000 x 64 float32 in shards, LogisticRegression with 10 classes: MarginSampling of 1,000, whose picks
are compared with those of a plain loop, and BADGE of 100 among the 50,000 smallest margins. `map`: 1,000,000 x 512
float32 in a memory map: MarginSampling of 1,000 against ``predict_proba`` in blocks of 65,536. `workers`: 200,000
samples of 3 x 16 x 16, a small convolutional network in a memory map: seconds on the clock of MarginSampling in one
process and with two workers of loky, in turns.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from skal.nets import DeepClassifier
from skal.rows import Shards, row_blocks, write_shards
from skal.strategies import BADGE, MarginSampling, Prefilter

N_SHARDS, D_SHARDS = 10_000_000, 64
N_MAP, D_MAP = 1_000_000, 512
N_IMAGES = 200_000
BLOCK = 65_536


def blocks(n, d):
    rng = np.random.default_rng(0)
    for start in range(0, n, BLOCK):
        yield rng.standard_normal((min(BLOCK, n - start), d), dtype=np.float32)


def linear(d):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((2_000, d), dtype=np.float32)
    return LogisticRegression(max_iter=200).fit(X, (X @ rng.standard_normal((d, 10))).argmax(axis=1))


def cpu():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measured(call):
    """What `call` returned, its processor seconds, and the growth of the largest resident size in MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = cpu()
    answer = call()
    seconds = cpu() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return answer, {"seconds": round(seconds, 2), "grown_mb": round(grown, 1)}


def loop(model, pool, k):
    """The `k` smallest margins, by a plain loop over blocks."""
    margins = []
    for start in range(0, len(pool), BLOCK):
        proba = model.predict_proba(np.asarray(pool[start : start + BLOCK]))
        top = np.sort(proba, axis=1)
        margins.append(top[:, -1] - top[:, -2])
    return np.argsort(np.concatenate(margins), kind="stable")[:k]


def shards_margin(folder):
    model, pool = linear(D_SHARDS), Shards(folder / "shards")
    (picks, _), found = measured(lambda: MarginSampling(random_state=0).select(model, pool, 1_000))
    found["picks_of_a_plain_loop"] = bool(set(picks.tolist()) == set(loop(model, pool, 1_000).tolist()))
    return found


def shards_two_stages(folder):
    model, pool = linear(D_SHARDS), Shards(folder / "shards")
    strategy = Prefilter(BADGE(), first=MarginSampling(), n_candidates=50_000, random_state=0)
    return measured(lambda: strategy.select(model, pool, 100))[1]


def mapped(folder):
    return np.memmap(folder / "map.dat", np.float32, "r", shape=(N_MAP, D_MAP))


def map_margin(folder):
    model, pool = linear(D_MAP), mapped(folder)

    def proba():
        for _, block in row_blocks(pool, BLOCK):
            model.predict_proba(block)

    turns = []
    for _ in range(5):
        margin = measured(lambda: MarginSampling(random_state=0).select(model, pool, 1_000))[1]
        turns.append((margin["grown_mb"], margin["seconds"] / measured(proba)[1]["seconds"]))
    return {
        "margin_over_predict_proba": [round(ratio, 2) for _, ratio in sorted(turns, key=lambda turn: turn[1])],
        "grown_mb": max(grown for grown, _ in turns),
    }


def workers(folder):
    images = np.memmap(folder / "images.dat", np.float32, "r", shape=(N_IMAGES, 3, 16, 16))
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 10),
    )  # fmt: skip
    net = DeepClassifier(module, max_epochs=1, batch_size=128, device="cpu", random_state=0)
    net.fit(np.array(images[:500]), np.arange(500) % 10)
    strategy, seconds, picks = MarginSampling(random_state=0), {1: [], 2: []}, []
    with joblib.parallel_config(n_jobs=2):
        strategy.select(net, images[:5_000], 5)  # starts the workers
    for _ in range(3):
        for n in (1, 2):
            start = time.perf_counter()
            with joblib.parallel_config(n_jobs=n):
                picks.append(strategy.select(net, images, 1_000)[0].tolist())
            seconds[n].append(round(time.perf_counter() - start, 1))
    ratios = [one / two for one, two in zip(seconds[1], seconds[2])]
    return {
        "seconds_of_one": seconds[1],
        "seconds_of_two": seconds[2],
        "one_over_two": [round(ratio, 2) for ratio in sorted(ratios)],
        "same_picks": all(each == picks[0] for each in picks),
    }


def in_a_process(work, folder):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return pool.submit(work, folder).result()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "large_pools.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder, found = Path(name), {}
        write_shards(folder / "shards", blocks(N_SHARDS, D_SHARDS))
        run = partial(in_a_process, folder=folder)
        found["shards"] = {"margin": run(shards_margin), "two_stages": run(shards_two_stages)}
        print(json.dumps(found["shards"]), file=sys.stderr)
        with open(folder / "map.dat", "wb") as file:
            for block in blocks(N_MAP, D_MAP):
                block.tofile(file)
        found["map"] = run(map_margin)
        print(json.dumps(found["map"]), file=sys.stderr)
        with open(folder / "images.dat", "wb") as file:
            for block in blocks(N_IMAGES, 3 * 16 * 16):
                block.tofile(file)
        # Here, since a process that ends waits for its workers of loky, which idle for minutes.
        torch.set_num_threads(1)
        found["workers"] = workers(folder)
    args.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
