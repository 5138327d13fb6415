"""
When to stop
============

Three criteria watch the same runs on labelled data, each until it says stop. How many labels does each save, how much
accuracy does that cost, and how often is it too much?
"""

# %%
# `compare_stopping` runs margin sampling to its end, for five seeds. A stop that loses more than 0.02 of the accuracy
# at the end is a false one: with test sets of 500 digits, a smaller difference would be noise.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skal.experiments import compare, compare_stopping
from skal.labeling import ClassificationChange, OverallUncertainty, StabilizedPredictions
from skal.strategies import MarginSampling

X, y = load_digits(return_X_y=True)
X, y = X[:1500] / 16, y[:1500]
model = LogisticRegression(max_iter=300)
sizes = {"n_initial": 20, "n_instances": 20, "n_queries": 12, "seeds": 5, "test_size": 1 / 3}
criteria = {
    "sure of what is left": OverallUncertainty(threshold=0.3),
    "predictions are stable": StabilizedPredictions(threshold=0.95, random_state=0),
    "hardly any prediction changes": ClassificationChange(tolerance=0.01, patience=2),
}
stops = compare_stopping(criteria, MarginSampling(), model, X, y, tolerance=0.02, **sizes)
by_criterion = stops.groupby("criterion", sort=False)
print(by_criterion[["stopped", "labels_saved", "score_lost", "false_stop"]].mean().round(3).to_string())

# %%
# `compare` with the same seeds and sizes runs the same runs, and has their curves: thin lines. A mark is a stop.
# Whoever stops earlier saves more and loses more: stable predictions stop first, in one of five runs too early. Five
# runs on one data set say little of how often that happens on another: measure on data like yours.

curves = compare({"margin": MarginSampling()}, model, X, y, **sizes).results
margin, random = (curves[curves["strategy"] == name] for name in ("margin", "RandomSampling"))

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
for _, run in margin.groupby("seed"):
    left.plot(run["n_labels"], run["accuracy"], color="0.6", linewidth=0.8)
mean = random.groupby("n_labels")["accuracy"].mean()
left.plot(mean.index, mean, color="black", linewidth=1.5, linestyle=":", label="random sampling, mean")
for (name, found), marker, color in zip(by_criterion, "os^", ["#0072B2", "#D55E00", "#009E73"]):
    stopped = found[found["stopped"]]
    label = f"{name} (stops in {len(stopped)} of {len(found)})"
    left.plot(stopped["n_labels"], stopped["score"], marker, color=color, markersize=7, label=label)
    right.plot(stopped["labels_saved"], stopped["score_lost"], marker, color=color, markersize=7, alpha=0.8)
left.set(xlabel="labels", ylabel="test accuracy", ylim=(0.6, 1))
left.set_title("Five runs of margin sampling, and where each criterion stops", loc="left", fontsize=11)
left.legend(frameon=False, loc="lower right")
right.axhline(0.02, color="0.4", linewidth=1)
right.axhline(0, color="0.8", linewidth=1)
right.text(0, 0.0205, "above: a false stop", fontsize=9, color="0.3")
right.set(xlabel="labels saved", ylabel="accuracy lost against the end of the run", xlim=(-5, 150))
right.set_title("What a stop brings and costs", loc="left", fontsize=11)
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
