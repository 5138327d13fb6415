"""
A table, labelled over two days
===============================

A `LabelingSession` asks for rows of a table; somebody answers, skips, mistypes and corrects, goes home, and goes on
where the work was left. In the end: what that bought, beside rows chosen at random, and when one could have stopped.
"""

# %%
# Measurements of cells, benign or malignant. Whoever labels is simulated: 2 rows of the second batch are not clear.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.labeling import LabelingSession, StabilizedPredictions
from skal.learners import ActiveLearner
from skal.strategies import MarginSampling, RandomSampling, TypiClust

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
truth = y.map({0: "malignant", 1: "benign"}).tolist()
journal = Path(tempfile.mkdtemp()) / "labels.jsonl"


def make_learner(strategy):
    return ActiveLearner(make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), strategy, random_state=0)


def accuracy(session):
    """On what is not labelled, which only a simulation knows."""
    session.retrain()
    left = session.pool_ids_
    return float(np.mean(session.learner.predict(X.iloc[left]) == np.array(truth)[left]))


# %%
# The first day. `TypiClust` chooses while there is no label. A typing error is refused, and nothing is written down.

session = LabelingSession(
    make_learner(MarginSampling()),
    X,
    journal=journal,
    classes=["malignant", "benign"],
    cold_start=TypiClust(random_state=0),
)
batch = session.query(10)
session.label(batch, [truth[row] for row in batch], by="ann")
batch = session.query(10)
session.skip(batch[:2], by="ann")
try:
    session.label(batch[2], "maligant", by="ann")
except ValueError as error:
    print(error)
session.label(batch[2:6], [truth[row] for row in batch[2:6]], by="ann")
session.close()

# %%
# The second day: what was asked for and not answered comes first.

session = LabelingSession.resume(journal, make_learner(MarginSampling()), X)
print(session)
assert session.query(10) == batch[6:]
session.label(batch[6:], [truth[row] for row in batch[6:]], by="bob")

criterion = StabilizedPredictions(random_state=0)
curve, stopped = [(session.n_labels_, accuracy(session))], None
while session.n_labels_ < 100:
    batch = session.query(10)
    session.label(batch, [truth[row] for row in batch], by="bob")
    curve.append((session.n_labels_, accuracy(session)))
    if criterion.update(session.learner, X.iloc[session.pool_ids_]).stop and stopped is None:
        stopped = session.n_labels_
history = session.journal.events()
session.close()
history.groupby(["by", "event"]).size()

# %%
# The same number of rows at random, ten times over.

chance = []
for seed in range(10):
    learner = make_learner(RandomSampling(random_state=seed))
    with LabelingSession(learner, X, journal=journal.with_name(f"random-{seed}.jsonl")) as random_session:
        points = []
        while random_session.n_labels_ < 100:
            batch = random_session.query(10)
            random_session.label(batch, [truth[row] for row in batch])
            if len(set(random_session.labels_.values())) == 2:
                points.append((random_session.n_labels_, accuracy(random_session)))
    chance.append(points)

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for points in chance:
    ax.plot(*np.transpose(points), c="lightgrey", label="at random" if points is chance[0] else None)
ax.plot(*np.transpose(curve), "C0o-", label="margin sampling, by the session")
if stopped is not None:
    ax.axvline(stopped, c="C3", ls=":", label="predictions are stable")
ax.set(xlabel="labels", ylabel="accuracy on the unlabelled rows")
_ = ax.legend()

# %%
# The rows that are left get easier as the difficult ones are labelled, so that this accuracy flatters a strategy that
# asks for difficult ones: `skal.experiments.compare` measures on samples of their own.
