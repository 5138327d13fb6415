"""DECERN's scores against the literal loop over classes with dense mixes, in one run; and the memory of a large pool.

    python benchmarks/decern_scores.py [--threads 2] [--out decern_scores.json]

Both sides compute eq. 9 for a linear head in float32, as the authors' code runs, in torch with the same threads. The
literal loop mixes every sample with one class's anchor at a time, (n, d), and applies the head to the mixture. Ratios
are of seconds on the clock and of processor seconds (of all threads); each repeat measures both sides, one after the
other. ``max_abs_difference`` is skal's float32 from skal's float64. ``--many`` adds 1,000 classes, ``--part`` rows of
them at a time being enough to know what 50,000 take: the time of a row does not depend on n.
"""

import argparse
import json
import statistics
import sys
import time

import numpy as np
import torch

from skal.models import Head
from skal.strategies._decern import discrepancy_confusion


def literal(z, weight, bias, anchors, anchor_proba, dtype):
    z, weight, bias, anchors, anchor_proba = (
        torch.from_numpy(a).to(dtype) for a in (z, weight, bias, anchors, anchor_proba)
    )
    d = z.shape[1]
    p_u = torch.softmax(z @ weight.T + bias, 1)
    g = (p_u - torch.nn.functional.one_hot(p_u.argmax(1), p_u.shape[1])) @ weight
    top = torch.nn.functional.adaptive_avg_pool1d(g[:, None], 100)[:, 0].topk(10, dim=1).indices
    bins = torch.zeros(len(z), 100, dtype=dtype).scatter_(1, top, 1.0)
    mask = torch.nn.functional.interpolate(bins[:, None], size=d)[:, 0]
    share = mask.mean(1, keepdim=True)
    total = 0
    for j in range(len(anchors)):
        alpha = p_u[:, j : j + 1].clamp(1 / 64, 63 / 64)
        mixed = (1 - mask) * z + mask * ((1 - alpha) * z + alpha * anchors[j])
        log_p = torch.log((p_m := torch.softmax(mixed @ weight.T + bias, 1)) + 1e-10)
        p_b = (1 - alpha) * p_u + alpha * anchor_proba[j]
        p_w = (1 - share * alpha) * p_u + share * alpha * anchor_proba[j]
        beta = (1 - (1 + torch.cosine_similarity(z, anchors[j][None], dim=1)) / 2).clamp(0, 1)
        entropy = (-(p_m * log_p).sum(1)).clamp(min=0) ** (1 - beta)

        def s_dc(q, entropy=entropy, log_p=log_p, beta=beta):
            return entropy + (-(q * log_p).sum(1)).clamp(min=0) ** beta

        total = total + (1 - share[:, 0]) * s_dc(p_u) + share[:, 0] * s_dc(p_b) + s_dc(p_w)
    return (total / len(anchors)).numpy()


def problem(n, d, n_classes, seed=0):
    rng = np.random.default_rng(seed)
    z = np.maximum(rng.standard_normal((n, d)), 0)
    weight, bias = rng.standard_normal((n_classes, d)) / np.sqrt(d) * 4, rng.standard_normal(n_classes)
    anchors = np.maximum(rng.standard_normal((n_classes, d)), 0)
    anchor_proba = rng.dirichlet(np.ones(n_classes), size=n_classes)
    return z, weight, bias, anchors, anchor_proba


def skal_scores(z, weight, bias, anchors, anchor_proba):
    head = Head(weight=weight, bias=bias)
    return discrepancy_confusion(z, anchors, anchor_proba, head, mask_ratio=0.1, n_bins=100, alpha_clip=1 / 64)


def timed(call, *args):
    start, cpu = time.perf_counter(), time.process_time()
    result = call(*args)
    return time.perf_counter() - start, time.process_time() - cpu, result


def peak_mib():
    """Peak resident memory of this process; Linux only."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def measured(n, d, n_classes):
    """One call, and its peak memory beyond what was resident before."""
    arrays = in_dtype(problem(n, d, n_classes), np.float32)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from the present size
    before = peak_mib()
    seconds, cpu, _ = timed(skal_scores, *arrays)
    return {
        "n": n, "d": d, "C": n_classes, "extra_mib": peak_mib() - before, "seconds": seconds, "cpu_seconds": cpu
    }  # fmt: skip


def in_dtype(arrays, dtype):
    return [values.astype(dtype) for values in arrays]


def compared(n, d, n_classes, repeats):
    arrays = problem(n, d, n_classes)
    narrow = in_dtype(arrays, np.float32)
    rows = []
    for _ in range(repeats):
        *fast, fast_scores = timed(skal_scores, *narrow)
        *slow, slow_scores = timed(literal, *narrow, torch.float32)
        rows.append((fast, slow))
    clock, cpu = ([slow[k] / fast[k] for fast, slow in rows] for k in range(2))
    wide = skal_scores(*in_dtype(narrow, np.float64))
    return {
        "n": n, "d": d, "C": n_classes, "max_abs_difference": float(np.abs(fast_scores - wide).max()),
        "max_abs_difference_of_the_literal": float(np.abs(slow_scores - wide).max()),
        "skal_seconds": statistics.median(fast[0] for fast, _ in rows),
        "literal_over_skal": [min(clock), statistics.median(clock), max(clock)],
        "literal_over_skal_cpu": [min(cpu), statistics.median(cpu), max(cpu)],
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shapes", nargs="*", default=["5000x512x100", "2000x2048x100"], metavar="NxDxC")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--many", action="store_true")
    parser.add_argument("--part", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {"threads": torch.get_num_threads(), "dtype": "float32", "speed": [], "large": []}

    # First, while the peak is still this part's own.
    large = [(50_000, 512, 100)] * (not options.no_memory) + [(options.part, 512, 1000)] * options.many
    for shape in large:
        results["large"].append(measured(*shape))
        print(json.dumps(results["large"][-1]), flush=True)
    for shape in options.shapes:
        results["speed"].append(compared(*map(int, shape.split("x")), options.repeats))
        print(json.dumps(results["speed"][-1]), flush=True)

    if options.out:
        with open(options.out, "w") as file:
            json.dump(results, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
