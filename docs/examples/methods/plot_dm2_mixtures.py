"""
What DM2 shows the classifier
=============================

DM2 does not ask a classifier about a sample, but about the sample mixed with its nearest neighbours. Here are the
digits that it queries first, and those that it queries last: the digit, its neighbours, and their mixture.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skal.metrics import combined_distances
from skal.strategies import DM2, LeastConfidence

X, y = load_digits(return_X_y=True)
X = X / 16
classifier = LogisticRegression(max_iter=1000).fit(X[:100], y[:100])
X_pool, y_pool = X[100:], y[100:]

# %%
# ``score_samples`` is one less the confidence in the mixture. For the pictures the neighbours are found again with
# `skal.metrics.combined_distances`; a logistic regression's embeddings are its inputs.

strategy = DM2(n_neighbors=5, mixing_weight=0.5, random_state=0)
scores = strategy.score_samples(classifier, X_pool)
order = np.argsort(-scores)
shown = np.concatenate([order[:4], order[-4:]])

fig, axes = plt.subplots(8, 7, figsize=(7, 8.4), layout="constrained")
for row, i in zip(axes, shown):
    distances = combined_distances(X_pool[i : i + 1], X_pool)[0]
    distances[i] = np.inf
    neighbors = np.argsort(distances)[:5]
    mixture = 0.5 * X_pool[i] + 0.5 * X_pool[neighbors].mean(axis=0)
    np.testing.assert_allclose(1 - classifier.predict_proba(mixture[None]).max(), scores[i])
    pictures = [X_pool[i], *X_pool[neighbors], mixture]
    titles = [f"a {y_pool[i]}", *(str(label) for label in y_pool[neighbors]), f"score {scores[i]:.2f}"]
    for ax, picture, title in zip(row, pictures, titles):
        ax.imshow(picture.reshape(8, 8), cmap="gray_r")
        ax.set_title(title, fontsize=9)
        ax.axis("off")
fig.suptitle("queried first (four rows) and last: digit, five neighbours, mixture")
plt.show()

# %%
# What makes one digit odd averages out in its mixture; what the classifier does not know of a whole region stays. The
# first queries are digits that stand among their like, and whose common look the classifier does not know. Beside least
# confidence, DM2 finds more samples that the classifier gets wrong, and more that have a neighbour of another class:

first = {
    "DM2": strategy.select(classifier, X_pool, n_instances=50)[0],
    "least confidence": LeastConfidence(random_state=0).select(classifier, X_pool, n_instances=50)[0],
    "the whole pool": np.arange(len(X_pool)),
}
wrong = classifier.predict(X_pool) != y_pool
distances = combined_distances(X_pool)
np.fill_diagonal(distances, np.inf)
between = (y_pool[np.argsort(distances, axis=1)[:, :5]] != y_pool[:, None]).any(axis=1)
for name, idx in first.items():
    print(f"{name}: {wrong[idx].mean():.0%} predicted wrong, {between[idx].mean():.0%} near another class")
common = len(np.intersect1d(first["DM2"], first["least confidence"]))
print(f"{common} of the first 50 queries are the same")
