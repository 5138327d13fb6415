"""DM2's neighbour search against all pairs in blocks: time, recall, growth, memory.

    python benchmarks/dm2_neighbors.py [--threads 1] [--out dm2_neighbors.json]

Data: `clusters` clusters of random centres, each a random 24-dimensional subspace of d = 512 plus isotropic
noise, ReLU, unit rows in float32, as embeddings of a network are; seed 0. The reference is a blockwise
torch.cdist(p=1) + torch.cdist(p=2) (torch's default, matrix products for p = 2) with topk. Of it and of the fast search
both the CPU seconds of the process (with one thread, the seconds on an idle machine) are measured in one run, in turn;
above `--full` rows the reference is timed on 512 rows and scaled, and recall is taken on these rows. Memory is the
peak above the inputs of the fast search (Linux). "isotropic" is data that is hard for a preselection by Euclidean
distance: two clusters of 2,000 rows with nothing but independent noise in all 512 directions (no ReLU), where
all distances within a cluster are nearly alike.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch

from skal.strategies._parts._neighbors import nearest_neighbors

K = 5


def clustered(n, d=512, clusters=100, inner=24, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    X = np.empty((n, d), dtype=np.float32)
    centers = rng.standard_normal((clusters, d), dtype=np.float32)
    label = rng.integers(clusters, size=n)
    for c in range(clusters):
        rows = np.flatnonzero(label == c)
        basis = rng.standard_normal((inner, d), dtype=np.float32) / np.sqrt(inner)
        X[rows] = centers[c] + rng.standard_normal((len(rows), inner), dtype=np.float32) @ basis
        X[rows] += noise * rng.standard_normal((len(rows), d), dtype=np.float32)
    np.maximum(X, 0, out=X)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X


def reference(X, rows):
    """Nearest others of the first `rows` rows by all pairs, in blocks of 256."""
    X = torch.from_numpy(X)
    found = []
    for start in range(0, rows, 256):
        block = X[start : min(start + 256, rows)]
        distances = torch.cdist(block, X, p=1).add_(torch.cdist(block, X, p=2))
        distances[torch.arange(len(block)), torch.arange(start, start + len(block))] = torch.inf
        found.append(distances.topk(K, largest=False).indices)
    return torch.cat(found).numpy()


def recall(found, truth):
    return float(np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(found, truth)]))


def peak_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def measured(X, **params):
    """Seconds, extra MiB, positions."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from the present size
    before, start = peak_mib(), time.process_time()
    idx = nearest_neighbors(X, K, metric="combined", **params).idx
    return time.process_time() - start, peak_mib() - before, idx


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="*", default=[5000, 10_000, 20_000, 50_000])
    parser.add_argument("--full", type=int, default=5000, help="largest size at which the reference runs in full")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--candidates", type=int, nargs="+", default=[64, 128, 512])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = {"d": 512, "k": K, "threads": options.threads, "rows": []}
    for n in options.sizes:
        X = clustered(n)
        rows = n if n <= options.full else 512
        slow, fast, extra = [], [], []
        for _ in range(options.repeats if n == 20_000 else 1):
            start = time.process_time()
            truth = reference(X, rows)
            slow.append((time.process_time() - start) * n / rows)
            seconds, mib, idx = measured(X)
            fast.append(seconds)
            extra.append(mib)
        ratios = [a / b for a, b in zip(slow, fast)]
        row = {
            "n": n, "reference_rows_timed": rows, "reference_cpu_seconds": round(float(np.median(slow)), 1),
            "fast_cpu_seconds": round(float(np.median(fast)), 2),
            "ratio": [round(float(v), 1) for v in (min(ratios), np.median(ratios), max(ratios))],
            "recall": round(recall(idx[:rows], truth), 5), "rows_of_recall": rows, "extra_mib": round(max(extra)),
        }  # fmt: skip
        if n == 20_000:
            row["by_candidates"] = {}
            for m in options.candidates:
                seconds, _, idx = measured(X, n_candidates=m)
                row["by_candidates"][m] = {
                    "cpu_seconds": round(seconds, 2), "recall": round(recall(idx[:rows], truth), 5)
                }  # fmt: skip
        if n == 20_000:
            try:
                seconds, _, idx = measured(X, search="approximate")
                row["approximate"] = {"cpu_seconds": round(seconds, 1), "recall": round(recall(idx[:rows], truth), 5)}
            except ImportError:
                row["approximate"] = None
        report["rows"].append(row)
        print(json.dumps(row), flush=True)
    rng = np.random.default_rng(0)
    X = np.repeat(rng.standard_normal((2, 512)), 2000, axis=0) + rng.standard_normal((4000, 512))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    truth = reference(X, 1000)
    report["isotropic"] = {
        m: round(recall(measured(X, n_candidates=m)[2][:1000], truth), 4) for m in (64, 128, 256, 512)
    }
    print(json.dumps({"isotropic": report["isotropic"]}), flush=True)
    if options.out:
        with open(options.out, "w") as file:
            json.dump(report, file, indent=2)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
