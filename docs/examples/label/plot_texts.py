"""
Texts by TF-IDF
===============

Is a sentence of a manual about a parameter, an attribute, or what a function returns? The words are counted once, for
all texts and without labels; the pool is a sparse matrix. The third class is rare, and random sampling hardly meets it.
"""

# %%
# The texts are scikit-learn's own documentation: what its classes and functions say of their parameters, attributes and
# returned values. What stands under two of these headings, word for word, is left out.

import inspect
import re

import matplotlib.pyplot as plt
import numpy as np
from sklearn import cluster, decomposition, ensemble, feature_selection, linear_model, metrics, preprocessing
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from skal.experiments import compare
from skal.learners import ActiveLearner
from skal.strategies import LeastConfidence, TypiClust

KINDS = {"Parameters": "parameter", "Attributes": "attribute", "Returns": "returned"}
headings = {}
for package in (cluster, decomposition, ensemble, feature_selection, linear_model, metrics, preprocessing):
    for name in package.__all__:
        sections = re.split(r"^(\w+)\n-{3,}\n", inspect.getdoc(getattr(package, name)), flags=re.MULTILINE)
        for heading, section in zip(sections[1::2], sections[2::2]):
            if heading in KINDS:
                # A line "name : type", and what is indented under it.
                for entry in re.findall(r"^\w+ : .*\n((?:(?: {4}.*)?\n)+)", section + "\n", re.MULTILINE):
                    headings.setdefault(" ".join(entry.split()), set()).add(KINDS[heading])
texts = [text for text, kinds in headings.items() if len(kinds) == 1 and len(text) > 30]
y = np.array([next(iter(headings[text])) for text in texts])
X = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(texts)
print(f"{X.shape[0]} texts, {X.shape[1]} words, {X.nnz / X.shape[0]:.0f} of them in a text")

# %%
# While there is no label, `TypiClust` asks for typical texts of different kinds.

model = LogisticRegression(C=10)
learner = ActiveLearner(model, LeastConfidence(), cold_start=TypiClust(random_state=0), random_state=0)
first, _ = learner.query(X, n_instances=20)
learner.teach(X[first], y[first])
for i in first[:3]:
    print(f"{y[i]}: {texts[i][:90]}")

# %%
# With these 20 labels the next is what the model is least sure of.

rest = np.setdiff1d(np.arange(len(y)), first)
idx, _ = learner.query(X[rest], n_instances=3)
for i, proba in zip(rest[idx], learner.predict_proba(X[rest[idx]])):
    one, other = np.argsort(-proba)[:2]
    print(f"{learner.classes_[one]} or {learner.classes_[other]}? {texts[i][:90]}")

# %%
# Does asking pay here? Least confidence and random sampling, six seeds, by the balanced accuracy on texts of a test
# set: the mean of the shares of each class that are recognised.

found = compare(
    {"least confidence": LeastConfidence()},
    model,
    X,
    y,
    n_instances=20,
    n_queries=5,
    seeds=6,
    scoring="balanced_accuracy",
)
row = found.summary().loc["least confidence"]
print(
    f"least confidence against random: {row['area_difference']:+.3f} of the area "
    f"[{row['area_low']:+.3f}, {row['area_high']:+.3f}], {row['area_verdict']}"
)

# %%
# On the right, the labels of each class at the end of a run, on average: of the two rarer classes least confidence asks
# for nearly twice as many.

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=(1.4, 1))
found.displays.curves.plot(ax=left)
left.legend(loc="upper left", frameon=False)
counts = found.class_counts()
for place, (name, color) in enumerate({"RandomSampling": "black", "least confidence": "#0072B2"}.items()):
    bars = right.barh(np.arange(3) + 0.36 * place, counts.loc[name], height=0.34, color=color, alpha=0.7, label=name)
    right.bar_label(bars, fmt="%.0f", padding=3)
right.set(yticks=np.arange(3) + 0.18, yticklabels=counts.columns, xlabel="labels, of 120")
right.invert_yaxis()
right.legend(frameon=False, loc="lower right")
right.spines[["top", "right"]].set_visible(False)
plt.show()
