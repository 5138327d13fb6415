"""
What DECERN picks, in two dimensions
====================================

Four classes in the plane, twelve labels, a logistic regression. Which twelve samples does each strategy ask for
next?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner
from skal.strategies import DECERN, EntropySampling, RandomSampling

centers = [(2.2, 0.4), (0.2, 2.0), (-2.4, 0.0), (0.0, -2.2)]
X, y = make_blobs(600, centers=centers, cluster_std=0.95, random_state=3)
start = np.concatenate([np.flatnonzero(y == label)[:3] for label in range(4)])
X_pool = np.delete(X, start, axis=0)

# %%
# ``score_samples`` says how informative each sample is to a strategy. Scored over a grid, it is the
# background: yellow is more informative. Random sampling has no opinion.

strategies = {
    "random sampling": RandomSampling(random_state=0),
    "entropy sampling": EntropySampling(random_state=0),
    "DECERN": DECERN(random_state=0),
}
limits = (-5.5, 5.5)
axis = np.linspace(*limits, 90)
grid = np.column_stack([part.ravel() for part in np.meshgrid(axis, axis)])

fig, axes = plt.subplots(1, 3, figsize=(12, 4.4), sharex=True, sharey=True, layout="constrained")
for ax, (name, strategy) in zip(axes, strategies.items()):
    learner = ActiveLearner(LogisticRegression(), query_strategy=strategy, X_training=X[start], y_training=y[start])
    idx, _ = learner.query(X_pool, n_instances=12)
    if hasattr(strategy, "score_samples"):
        scores = strategy.score_samples(learner, grid).reshape(90, 90)
        ax.imshow(scores, origin="lower", extent=limits * 2, cmap="viridis", aspect="auto")
    ax.scatter(*X_pool.T, s=6, color="0.75", edgecolor="0.3", linewidth=0.2)
    ax.scatter(*X[start].T, s=60, color="white", marker="^", edgecolor="black", label="labelled")
    ax.scatter(*X_pool[idx].T, s=60, color="#D55E00", edgecolor="black", label="asked for")
    ax.set(title=name, xticks=[], yticks=[], xlim=limits, ylim=limits)
axes[0].legend(loc="lower left")
plt.show()

# %%
# Entropy sampling asks for twelve samples that are nearly the same, where all classes meet. DECERN finds
# that region informative, too, and the borders between classes, but takes one sample from each of twelve
# clusters of informative samples. The steps in its background come from the mask: in two dimensions it
# mixes one coordinate, and which one changes from place to place.
