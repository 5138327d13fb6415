"""
A table with categories: a pipeline on a data frame
===================================================

Columns of texts and numbers, missing values among them, go as they are into a scikit-learn pipeline; the learner takes
and returns rows of the frame. Few rows are of the class that matters: how many of them does each strategy find?
"""

# %%
# Reports on pumps, generated: 2,000 rows, of which about one in ten needs a repair. Oil gets too warm where the load is
# heavy, and one make of pump does not stand one kind of oil.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skal.experiments import compare
from skal.learners import ActiveLearner
from skal.strategies import MarginSampling

rng = np.random.default_rng(0)
n = 2000
frame = pd.DataFrame(
    {
        "make": rng.choice(["Alto", "Brio", "Corda", "Dolce"], n, p=[0.4, 0.3, 0.2, 0.1]),
        "oil": rng.choice(["mineral", "synthetic", "vegetable"], n, p=[0.5, 0.4, 0.1]),
        "site": rng.choice([f"site {number}" for number in range(12)], n),
        "hours": rng.gamma(2, 1500, n).round(),
        "temperature": rng.normal(60, 9, n).round(1),
    }
)
risk = 0.9 * (frame["hours"] - 3000) / 2100 + 1.4 * (frame["temperature"] - 60) / 9
risk += 2.5 * (frame["make"] == "Dolce") + 2.0 * (frame["oil"] == "vegetable") + rng.logistic(0, 0.4, n)
y = np.where(risk > 3.2, "repair", "fine")
frame.loc[rng.random(n) < 0.05, "temperature"] = np.nan
print(f"{np.mean(y == 'repair'):.1%} need a repair")

# %%
# Labelled rows will not show all categories at first: ``handle_unknown="ignore"`` lets the encoder pass over those that
# it has not seen. The pipeline imputes, so that missing values reach it.

model = make_pipeline(
    make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
    ),
    LogisticRegression(max_iter=500),
)
start = np.concatenate([np.flatnonzero(y == label)[:10] for label in ("fine", "repair")])
learner = ActiveLearner(model, MarginSampling(random_state=0), frame.iloc[start], y[start])
idx, rows = learner.query(frame.drop(index=start), n_instances=5)
rows.head()

# %%
# What does asking buy? Eight seeds, from 20 random rows to 100, measured by the balanced accuracy, the mean of the
# shares of both classes that are found, on rows of a test set. The verdict is that of a paired test, about this table.

found = compare(
    {"margin": MarginSampling()},
    model,
    frame,
    y,
    n_initial=20,
    n_instances=20,
    n_queries=4,
    seeds=8,
    scoring="balanced_accuracy",
)
row = found.summary().loc["margin"]
print(
    f"margin against random: {row['area_difference']:+.3f} of the area "
    f"[{row['area_low']:+.3f}, {row['area_high']:+.3f}], {row['area_verdict']}"
)

# %%
# On the right, what was asked for: nearly half of the rows of margin sampling need a repair, of those at random one in
# ten, and it meets the rare make and the rare oil about twice as often.

queried = found.queried
rare = {
    "needs a repair": y == "repair",
    "make is Dolce": (frame["make"] == "Dolce").to_numpy(),
    "oil is vegetable": (frame["oil"] == "vegetable").to_numpy(),
}
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=(1.4, 1))
found.displays.curves.plot(ax=left)
for place, (name, color) in enumerate({"RandomSampling": "black", "margin": "#0072B2"}.items()):
    positions = queried.loc[queried["strategy"] == name, "position"]
    shares = [mask[positions].mean() for mask in rare.values()]
    right.barh(np.arange(3) + 0.36 * place, shares, height=0.34, color=color, alpha=0.7, label=name)
right.set(yticks=np.arange(3) + 0.18, yticklabels=rare, xlabel="share of the rows asked for")
right.invert_yaxis()
right.legend(frameon=False)
right.spines[["top", "right"]].set_visible(False)
plt.show()
