"""
Near-duplicates: UFFM around entropy sampling
=============================================

A pool in which some images come five times, slightly altered, as frames of a video do. Entropy sampling finds one of
them uncertain, and so its copies; `UFFM` removes what looks like a more uncertain sample.
"""

# %%
# Digits of scikit-learn. Eighty of a pool of 680 images get four copies, each moved or blurred a little.

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter, shift
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner
from skal.strategies import UFFM, EntropySampling, PatraBruzzone, RandomSampling

X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 8, 8) / 16


def make_pool(seed):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(X), 710, replace=False)
    start, originals, copied = chosen[:30], chosen[30:], chosen[30:110]
    moves = [(0.3, 0), (-0.3, 0), (0, 0.3)]
    altered = [np.array([shift(X[i], move, order=1) for i in copied]) for move in moves]
    altered.append(np.array([gaussian_filter(X[i], 0.4) for i in copied]))
    images = np.concatenate([X[originals], *altered]).reshape(-1, 64)
    groups = np.concatenate([originals, *[copied] * 4])  # the number of the original tells relatives
    return images, groups, X[start].reshape(-1, 64), y[start]


# %%
# A query of 40 from a model with 30 labels, for five pools: the share of the batch that repeats an image already in it.

strategies = {
    "random": RandomSampling(),
    "entropy": EntropySampling(),
    "PatraBruzzone, ratio 1.2": PatraBruzzone(descriptor=PCA(20)),
    "PatraBruzzone, ratio 2": PatraBruzzone(descriptor=PCA(20), sampling_ratio=2.0),
    "UFFM, ratio 1.2": UFFM(descriptor=PCA(20)),
    "UFFM, ratio 2": UFFM(descriptor=PCA(20), sampling_ratio=2.0),
}


def repeated(strategy, seed):
    pool, groups, X_start, y_start = make_pool(seed)
    learner = ActiveLearner(LogisticRegression(max_iter=500), strategy.set_params(random_state=seed), X_start, y_start)
    idx, _ = learner.query(pool, n_instances=40)
    return 1 - len(np.unique(groups[idx])) / len(idx)


shares = {name: np.array([repeated(strategy, seed) for seed in range(5)]) for name, strategy in strategies.items()}
for name, share in shares.items():
    print(f"{name:>24}: {share.mean():.0%} of the batch repeats, from {share.min():.0%} to {share.max():.0%}")

# %%
# Points are single pools, bars their means.

fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
names = list(shares)
ax.barh(names, [shares[name].mean() for name in names], color="#0072B2", alpha=0.35)
for row, name in enumerate(names):
    ax.plot(shares[name], [row] * 5, "o", color="#0072B2", markersize=4)
ax.invert_yaxis()
ax.set(xlabel="share of the batch that repeats an image in it", title="Queries of 40 from a pool with near-duplicates")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# A larger ``sampling_ratio`` removes more and reaches less uncertain samples. A fixed share of the nearest is removed,
# whether they are copies or not: clustering the same candidates, as `PatraBruzzone` does, repeats less here.
