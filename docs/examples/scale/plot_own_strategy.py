"""
A strategy of your own
======================

An uncertain sample that is like no other says little about others. A strategy that weighs uncertainty by density is a
class of a few lines. It is tested on numbers, checked against the rules, drawn, and compared with what it should
improve on.
"""

# %%
# The score of a sample is one less the confidence, times its density to the power of ``power``. The density is the
# inverse of the distance to the k-th neighbour in the pool, one for the densest sample:
#
# .. math:: s_i = (1 - \max_c p_{ic}) \left(\frac{\min_j d_j}{d_i}\right)^{\mathrm{power}}
#
# A class names its parameters and their ranges, what it needs of a model, and the score. The rest is done around it.

from numbers import Integral, Real
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from skal.base import Interval, ScoringStrategy
from skal.experiments import compare
from skal.learners import ActiveLearner
from skal.strategies import LeastConfidence, RandomSampling
from skal.testing import FakePool, check_strategy


class DenseUncertainty(ScoringStrategy):
    """Least confident samples, rather those in dense regions.

    Parameters
    ----------
    power : float >= 0, default=1.0
        Exponent of the density; 0 is least confidence.
    n_neighbors : int >= 1, default=10
        Which neighbour's distance tells the density.
    random_state : int, RandomState or None, default=None
        Breaks ties.
    """

    _parameter_constraints: ClassVar = {
        "power": [Interval(Real, 0, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    requires = ("proba", "embeddings")

    def __init__(self, *, power=1.0, n_neighbors=10, random_state=None):
        self.power = power
        self.n_neighbors = n_neighbors
        self.random_state = random_state

    def _score(self, pool, rng):
        Z = pool.embeddings
        # A sample is its own nearest neighbour, of which there is one more.
        k = min(self.n_neighbors + 1, len(Z))
        distance = NearestNeighbors(n_neighbors=k).fit(Z).kneighbors(Z)[0][:, -1]
        tiny = np.finfo(float).tiny
        density = (distance.min() + tiny) / (distance + tiny)
        return (1 - pool.proba.max(axis=1)) * density**self.power


# %%
# Known numbers first: three samples on a line, the third as uncertain as the second and three times as far from its
# neighbour. Then the rules: `check_strategy` raises at the first that is broken.

fake = FakePool(proba=[[0.9, 0.1], [0.5, 0.5], [0.5, 0.5]], embeddings=[[0.0], [1.0], [4.0]])
idx, scores = DenseUncertainty(n_neighbors=1).select(fake, fake.X, 3)
np.testing.assert_allclose(scores, [0.5, 0.5 / 3, 0.1])
assert idx.tolist() == [1, 2, 0]
check_strategy(DenseUncertainty())

# %%
# What it asks for: two classes, and one sample in six anywhere at all. Least confidence asks along the border, wherever
# that runs; the density keeps to where it runs through the crowd.


def draw_samples(seed, n=600):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 2)) * [1.0, 1.2] + np.where(y == 1, 1.3, -1.3)[:, None] * [1, 0]
    far = rng.random(n) < 1 / 6
    X[far] = rng.uniform(-9, 9, (far.sum(), 2))
    y[far] = rng.integers(0, 2, far.sum())  # of which the label says nothing
    return X, y


X, y = draw_samples(0)
start, pool = np.arange(12), np.arange(12, len(y))
strategies = {
    "random sampling": RandomSampling(random_state=0),
    "least confidence": LeastConfidence(random_state=0),
    "density-weighted": DenseUncertainty(random_state=0),
}
fig, axes = plt.subplots(1, 3, figsize=(12, 4), sharex=True, sharey=True, layout="constrained")
for ax, (name, strategy) in zip(axes, strategies.items()):
    learner = ActiveLearner(LogisticRegression(), strategy, X[start], y[start])
    _, chosen = learner.query(X[pool], n_instances=20)
    ax.scatter(*X[pool].T, s=8, c=np.where(y[pool], "#56B4E9", "0.7"))
    ax.scatter(*chosen.T, s=40, color="#D55E00", edgecolor="black", label="asked for")
    ax.set(title=name, xticks=[], yticks=[])
_ = axes[0].legend(loc="lower left")

# %%
# Does the density pay on such samples? Ten seeds, each compared with least confidence of the same seed, since that is
# what the new strategy should improve on. Random sampling is worse than it here. Whether the density helps is
# undecided: that is an answer, too, and `Comparison.runs_needed` tells how many runs would give another.

found = compare(
    {"least confidence": LeastConfidence(), "density-weighted": DenseUncertainty()},
    LogisticRegression(),
    *draw_samples(1, 1500),
    n_initial=12,
    n_instances=10,
    n_queries=6,
    seeds=10,
    reference="least confidence",
)
print(found.table())
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained", width_ratios=(1.3, 1))
found.displays.curves.plot(ax=left)
found.displays.differences.plot(ax=right)
plt.show()
