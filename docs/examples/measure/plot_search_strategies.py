"""
A grid search over strategies
=============================

`ActiveLearningClassifier` is the whole loop as one scikit-learn estimator, so that ``GridSearchCV`` chooses a strategy,
its parameters and the model's together. All candidates spend the same number of labels.
"""

# %%
# Each fit hides the labels of its training fold, and reveals 65 of them: 20 to begin with, then three queries of 15.
# The folds are five splits at random, the same ones for all candidates.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit

from skal.meta import ActiveLearningClassifier
from skal.strategies import DECERN, MarginSampling, RandomSampling

X, y = load_digits(return_X_y=True)
X = X / 16
loop = ActiveLearningClassifier(
    LogisticRegression(max_iter=300),
    query_strategy=RandomSampling(),
    n_initial=20,
    n_instances=15,
    n_queries=3,
    random_state=0,
)
strategies = {
    "random": RandomSampling(),
    "margin": MarginSampling(),
    "DECERN, xi=0.4": DECERN(xi=0.4),
    "DECERN, xi=0.8": DECERN(xi=0.8),
}
strengths = [0.1, 1.0, 10.0]
folds = StratifiedShuffleSplit(5, train_size=400, test_size=600, random_state=0)
grid = {"query_strategy": list(strategies.values()), "estimator__C": strengths}
search = GridSearchCV(loop, grid, cv=folds, refit=False).fit(X, y)
print("best mean:", search.best_params_, f"{search.best_score_:.3f}")

# %%
# Candidates by mean accuracy, and the difference of each to random sampling with the same ``C``, fold by fold. The best
# of twelve means is best by luck, too, so look at the points: all but one lie above zero, and the gain is largest where
# the model is regularised too much. Which ``xi`` is the better one they do not tell.

shape = len(strengths), len(strategies)
scores = np.array([search.cv_results_[f"split{fold}_test_score"] for fold in range(5)])
rows = [strengths.index(C) for C in search.cv_results_["param_estimator__C"]]
columns = [grid["query_strategy"].index(one) for one in search.cv_results_["param_query_strategy"]]
table = np.empty((5, *shape))
table[:, rows, columns] = scores

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
means = table.mean(axis=0)
left.imshow(means, cmap="viridis", aspect="auto")
for (row, column), mean in np.ndenumerate(means):
    dark = mean < (means.min() + means.max()) / 2
    left.text(column, row, f"{mean:.3f}", ha="center", va="center", color="white" if dark else "black")
left.set(xticks=range(len(strategies)), xticklabels=strategies, yticks=range(3), yticklabels=strengths, ylabel="C")
left.set_title("mean accuracy after 65 labels", loc="left", fontsize=11)
for row, (C, color) in enumerate(zip(strengths, ["#56B4E9", "#0072B2", "black"])):
    for column in range(1, len(strategies)):
        differences = table[:, row, column] - table[:, row, 0]
        across = np.full(5, column + 0.18 * (row - 1))
        right.plot(
            across, differences, "o", color=color, alpha=0.6, markersize=5, label=f"C={C}" if column == 1 else None
        )
        right.plot(across[0], differences.mean(), "_", color=color, markersize=16, markeredgewidth=2.5)
right.axhline(0, color="0.5", linewidth=1)
right.set(xticks=range(1, len(strategies)), xticklabels=list(strategies)[1:], ylabel="accuracy less that of random")
right.set_title("the same, fold by fold; bars are means", loc="left", fontsize=11)
right.legend(frameon=False)
right.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The search has read every label of its training folds: it tells of a strategy for data like these, and nothing of
# labels saved on these.
