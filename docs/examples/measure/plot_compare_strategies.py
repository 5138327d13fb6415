"""
A comparison, its verdicts and its report
=========================================

Five strategies in paired runs: for each seed all of them begin with the same labels, the same split and the same model.
What is better, what is worse, and what have so few runs not decided?
"""

# %%
# `compare` adds random sampling, which the others are measured against. ``aa=True`` runs a second random sampling, too,
# of which a sound comparison says "undecided", and the model of all labels, the ceiling.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skal.experiments import compare
from skal.strategies import DECERN, CoreSet, EntropySampling, MarginSampling

X, y = load_digits(return_X_y=True)
X, y = X[:900] / 16, y[:900]
found = compare(
    [MarginSampling(), EntropySampling(), CoreSet(), DECERN()],
    LogisticRegression(max_iter=300),
    X,
    y,
    n_initial=20,
    n_instances=20,
    n_queries=4,
    seeds=6,
    aa=True,
)
print(found.table())

# %%
# The checks, and how many runs would find a difference of one point of the area, if there were one.

print(f"a second random sampling: {found.aa()['area_verdict']}")
print(f"all labels: {found.ceiling().loc['accuracy', 'mean']:.3f}")
print(found.runs_needed(0.01).to_string())

# %%
# The report is one page that needs nothing beside it: verdicts in sentences, the pictures, what each strategy picked
# first, and how to repeat it. Its Markdown twin is for a pull request; here is how that begins.

report = found.to_html(Path(tempfile.mkdtemp()) / "report.html")
print(f"{report.name}: {report.stat().st_size / 1024:.0f} KiB\n")
print("\n".join(found.to_markdown().splitlines()[:12]))

# %%
# The report's pictures, drawn into axes of one's own. Right is what decides: the difference to random sampling of the
# same seed, of which two bands that overlap on the left tell little. `DECERN` is better here, and entropy sampling is
# worse. The interval of `CoreSet` lies above zero, and yet it is undecided: an interval stands for one strategy alone,
# the verdict for four, one of which may well look good by luck.

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained", width_ratios=(1.3, 1))
found.displays.curves.plot(ax=left)
found.displays.differences.plot(ax=right)
plt.show()
