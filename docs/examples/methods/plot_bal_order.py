"""
The plan of BAL: an order, and a stretch of it for each round
=============================================================

Points in two dimensions instead of self-supervised features, so that everything can be seen: the cluster distance
difference, the stretches of the order, and what is queried in each round.
"""

# %%
# Three clouds that touch. The order begins between them and ends inside them.

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner, simulate
from skal.strategies import BAL, cluster_distance_difference, sub_pool_bounds

X, y = make_blobs(900, centers=3, cluster_std=1.6, random_state=7)
centers = KMeans(3, random_state=0).fit(X).cluster_centers_
cdd = cluster_distance_difference(X, centers)

fig, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
points = axes[0].scatter(*X.T, c=cdd, s=8)
axes[0].scatter(*centers.T, c="red", marker="x")
axes[0].set_title("cluster distance difference")
fig.colorbar(points)
for row, beta in enumerate([0.5, 1.0, 2.0]):
    for i in range(5):
        start, stop = sub_pool_bounds(i, len(X), 5, beta)
        axes[1].barh(row + 0.1 * (i % 2), stop - start, left=start, height=0.25, color=f"C{i}", alpha=0.7)
axes[1].set(yticks=[0, 1, 2], yticklabels=["beta 0.5", "beta 1", "beta 2"], xlabel="place in the order")
_ = axes[1].set_title("the stretches of five rounds")

# %%
# A run. The first batch needs no model; each later one is the least confident of its stretch.

learner = ActiveLearner(LogisticRegression(), BAL(n_clusters=3, n_rounds=5, beta=1.2, random_state=0))
fig, axes = plt.subplots(1, 5, figsize=(14, 3), layout="constrained", sharex=True, sharey=True)
rounds = simulate(learner, X, y, n_initial=20, init_strategy=learner.query_strategy, n_instances=20, n_queries=4)
for ax, step in zip(axes, rounds):
    ax.scatter(*X.T, s=2, c="lightgrey")
    ax.scatter(*X[step.queried].T, s=12, c=f"C{step.round}")
    ax.set_title(f"round {step.round}")

# %%
# The rounds spread from the borders inwards, where a plain uncertainty strategy would stay at the border.
