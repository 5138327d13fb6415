"""
Labelling digits: DECERN beside random sampling
===============================================

An active-learning loop with a small torch network on scikit-learn's digits images, ten labels at a time. Both
strategies start from the same labels and the same initial weights; this is repeated with five seeds, and every run is
drawn.
"""

# %%
# ``DeepClassifier`` makes the torch module a scikit-learn classifier. With ``classes=`` it has an output for every
# digit from the start, even where the first labels miss some.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from skal.learners import ActiveLearner, simulate
from skal.metrics import area_under_learning_curve
from skal.nets import DeepClassifier
from skal.strategies import DECERN, RandomSampling


class SmallCNN(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 64), nn.ReLU()
        )
        self.head = nn.Linear(64, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 1, 8, 8) / 16

# %%
# One run: 20 labels to begin with, then ten queries of ten. ``y_pool`` plays the person who labels, in ``simulate``.
# With a real person it is ``learner.query``, and ``learner.teach`` when the answers are there.


def learning_curve(strategy, seed):
    X_pool, X_test, y_pool, y_test = train_test_split(X, y, stratify=y, random_state=seed)
    net = DeepClassifier(
        SmallCNN,
        classes=range(10),
        optimizer=torch.optim.Adam,
        lr=0.003,
        max_epochs=30,
        batch_size=32,
        random_state=seed,
    )
    learner = ActiveLearner(net, query_strategy=strategy)
    rounds = simulate(learner, X_pool, y_pool, initial=range(20), n_instances=10, n_queries=10)
    return [step.learner.score(X_test, y_test) for step in rounds]


seeds = range(5)
n_labels = np.arange(20, 121, 10)
curves = {
    "random sampling": np.array([learning_curve(RandomSampling(random_state=seed), seed) for seed in seeds]),
    "DECERN": np.array([learning_curve(DECERN(random_state=seed), seed) for seed in seeds]),
}

# %%
# The paired difference of the area under the curve (the mean accuracy over the labels spent), seed by seed:

areas = {name: np.array([area_under_learning_curve(n_labels, run) for run in runs]) for name, runs in curves.items()}
difference = areas["DECERN"] - areas["random sampling"]
print("DECERN less random sampling, per seed:", difference.round(3))
print(f"mean {difference.mean():.3f}")

# %%
# Thin lines are single runs, thick ones their means. Runs of one strategy differ by as much as the strategies do:
# compare pairs of runs with the same seed, never one run with another. The command ``skal compare`` does all of this
# for all strategies, with intervals.

fig, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for (name, accuracies), color, marker in zip(curves.items(), ["0.35", "#0072B2"], ["s", "o"]):
    ax.plot(n_labels, accuracies.T, color=color, linewidth=0.8, alpha=0.35)
    ax.plot(n_labels, accuracies.mean(axis=0), color=color, linewidth=2.5, marker=marker, label=name)
ax.set(
    xlabel="labels",
    ylabel="accuracy on the test set",
    title="Digits, small CNN: mean of five runs",
    xlim=(18, 122),
    ylim=(0.3, 1.0),
)
ax.grid(alpha=0.3)
ax.legend(loc="lower right", frameon=False)
plt.show()
