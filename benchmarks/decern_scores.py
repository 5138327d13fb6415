"""DECERN's scores against the literal loop over classes with dense mixes, in one run; and the memory of a large pool.

    python benchmarks/decern_scores.py [--out decern_scores.json]

Both sides compute eq. 9 for a linear head in torch with all threads. The literal loop mixes every sample with one
class's anchor at a time, (n, d), and applies the head to the mixture; it is timed in float64 and, as the authors' code
runs, in float32. skal computes in float64 throughout.
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
    start = time.perf_counter()
    result = call(*args)
    return time.perf_counter() - start, result


def peak_mib():
    """Peak resident memory of this process; Linux only."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dims", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--no-memory", action="store_true")
    options = parser.parse_args()
    results = {"threads": torch.get_num_threads(), "speed": [], "memory": None}

    if not options.no_memory:
        # First, while the peak is still this part's own.
        arrays = problem(50_000, 512, 100)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts again from the present size
        before = peak_mib()
        seconds, _ = timed(skal_scores, *arrays)
        results["memory"] = {"n": 50_000, "d": 512, "C": 100, "extra_mib": peak_mib() - before, "seconds": seconds}
        print(json.dumps(results["memory"]))
        del arrays

    for d in options.dims:
        arrays = problem(5000, d, 100)
        rows = []
        for _ in range(options.repeats):
            fast, fast_scores = timed(skal_scores, *arrays)
            slow64, slow_scores = timed(literal, *arrays, torch.float64)
            slow32, _ = timed(literal, *arrays, torch.float32)
            rows.append((fast, slow64, slow32))
        error = float(np.abs(fast_scores - slow_scores).max())
        ratios64, ratios32 = [r[1] / r[0] for r in rows], [r[2] / r[0] for r in rows]
        row = {
            "n": 5000, "d": d, "C": 100, "max_abs_difference": error,
            "skal_seconds": statistics.median(r[0] for r in rows),
            "literal_float64_over_skal": [min(ratios64), statistics.median(ratios64), max(ratios64)],
            "literal_float32_over_skal": [min(ratios32), statistics.median(ratios32), max(ratios32)],
        }  # fmt: skip
        results["speed"].append(row)
        print(json.dumps(row))

    if options.out:
        with open(options.out, "w") as file:
            json.dump(results, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
