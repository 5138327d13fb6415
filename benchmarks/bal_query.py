"""One BAL query on a large pool, beside what cannot be avoided, in one run; what fitting is made of; memory.

    python benchmarks/bal_query.py [--out benchmarks/results/bal_query.json]

n = 50,000 samples of d = 512 float32 features around 100 centres, 100 classes, logistic regression. Once fitted, a
query is compared with one `predict_proba` pass over the pool plus one n x d @ d x k product; the ratio should be below
3. The share of k-means in the first query, which fits, is that of the same k-means on the same samples alone.
Single-threaded; seconds are those of the processor.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from skal.learners import ActiveLearner
from skal.rows import row_keys
from skal.strategies import BAL, cluster_distance_difference


def timed(call, *args, **kwargs):
    # Processor time of the one thread: other work on the machine does not count.
    start = time.process_time()
    result = call(*args, **kwargs)
    return time.process_time() - start, result


def memory_mib(field):
    """Memory of this process: VmHWM is the peak, VmRSS the present. Linux only."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("-n", type=int, default=50_000)
    options = parser.parse_args()
    n, d, k = options.n, 512, 100
    rng = np.random.default_rng(0)
    means = rng.standard_normal((k, d), dtype=np.float32) / 2
    y = rng.integers(k, size=n)
    X = rng.standard_normal((n, d), dtype=np.float32)
    X += means[y]
    centers = means.T.copy()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = np.concatenate([np.arange(k), rng.integers(k, n, size=4 * k)])
        labels = np.concatenate([np.arange(k), y[start[k:]]])
        pool = np.delete(X, start, axis=0)
        learner = ActiveLearner(
            LogisticRegression(max_iter=20), BAL(n_clusters=k, n_rounds=10, random_state=0), X[start], labels
        )
        learner.predict_proba(pool)  # first use of everything
        present = memory_mib("VmRSS")
        before = memory_mib("VmHWM")
        first, _ = timed(learner.query, pool, n_instances=500)
        extra = memory_mib("VmHWM") - max(before, present)
        rows = []
        for _ in range(options.repeats):
            query, _ = timed(learner.query, pool, n_instances=500)
            proba, _ = timed(learner.predict_proba, pool)
            product, _ = timed(np.matmul, pool, centers)
            hashes, _ = timed(row_keys, pool)
            rows.append((query, proba, product, hashes))
        kmeans, fitted = timed(KMeans(k, n_init="auto", random_state=0).fit, np.vstack([pool, X[start]]))
        cdd, _ = timed(cluster_distance_difference, pool, fitted.cluster_centers_)
    ratios = [query / (proba + product) for query, proba, product, _ in rows]
    results = {
        "n": n, "d": d, "n_clusters": k, "threads": 1,
        "query_over_predict_proba_plus_product": [min(ratios), statistics.median(ratios), max(ratios)],
        "median_seconds": dict(
            zip(("query", "predict_proba", "product", "hashes"), (statistics.median(part) for part in zip(*rows)))
        ),
        "first_query_seconds": first,
        "kmeans_seconds": kmeans,
        "kmeans_iterations": int(fitted.n_iter_),
        "kmeans_share_of_first_query": kmeans / first,
        "cdd_seconds": cdd,
        "extra_mib_of_first_query": extra,
    }  # fmt: skip
    print(json.dumps(results, indent=1))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
