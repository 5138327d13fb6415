"""
A round trip through Label Studio
=================================

Tasks are written for Label Studio, people answer there, and its export is read back. Some tasks are skipped, and on
some two people disagree: what is counted, and what is asked again?
"""

# %%
# Digits of scikit-learn, under file names. A session asks for the first twelve.

import json
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skal.labeling import SKIPPED, LabelingSession, read_labels, write_tasks
from skal.learners import ActiveLearner
from skal.strategies import MarginSampling

images, y = load_digits(return_X_y=True)
names = [f"digit-{i:04d}.png" for i in range(len(y))]
words = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
truth = dict(zip(names, words[y].tolist()))
place = {name: i for i, name in enumerate(names)}
work = Path(tempfile.mkdtemp())

learner = ActiveLearner(LogisticRegression(max_iter=500), MarginSampling(), images[:60] / 16, words[y[:60]])
session = LabelingSession(
    learner,
    images[60:] / 16,
    journal=work / "labels.jsonl",
    ids=names[60:],
    classes=words.tolist(),
)
batch = session.query(12)

# %%
# One file for Label Studio's import. Each task carries its id, what the model thinks, and a score by which the tasks
# are to be ordered, ascending: the most informative comes first.

rows = images[[place[name] for name in batch]] / 16
write_tasks(
    work / "tasks.json",
    batch,
    proba=session.learner.predict_proba(rows),
    classes=list(session.learner.classes_),
    files=[f"/data/upload/1/{name}" for name in batch],
    format="label-studio",
)
tasks = json.loads((work / "tasks.json").read_text())
print(json.dumps(tasks[0], indent=1))

# %%
# The export, simulated: one person answers all but one, and cancels that; another looks at every third, and takes the
# first two of these for a seven. In Label Studio it is "Export", "JSON".


def answer(person, label):
    result = [{"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}]
    return {"completed_by": {"email": f"{person}@example.org"}, "result": result}


for i, task in enumerate(tasks):
    label = truth[task["data"]["skal_id"]]
    task["annotations"] = [answer("first", label)]
    if i == 4:
        task["annotations"] = [{**answer("first", label), "result": [], "was_cancelled": True}]
    elif i % 3 == 0:
        task["annotations"].append(answer("second", label if i > 3 else "seven"))
(work / "export.json").write_text(json.dumps(tasks))

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    answers = read_labels(work / "export.json", classes=session.classes)
for warning in caught:
    print(warning.message)

# %%
# Back into the session: every answer is in the journal when the call returns. What people disagree on has no label, so
# that the next query offers it again, before anything new.

labels = {name: label for name, label in answers.items() if label is not SKIPPED}
session.label(labels.keys(), labels.values(), by="label-studio")
session.skip([name for name, label in answers.items() if label is SKIPPED])
again = session.query(12)
print(session)
print("asked again:", *again)

# %%
# The twelve tasks in the order in which people saw them.

scores = {task["data"]["skal_id"]: task["predictions"][0]["score"] for task in tasks}
fig, axes = plt.subplots(2, 6, figsize=(9, 3.9), layout="constrained")
for ax, name in zip(axes.flat, sorted(batch, key=scores.get)):
    ax.imshow(images[place[name]].reshape(8, 8), cmap="gray_r")
    if name in labels:
        said, color = f"labelled {labels[name]}", "black"
    else:
        said, color = ("skipped", "#0072B2") if name in session.skipped_ else ("asked again", "#D55E00")
    ax.set_title(said, fontsize=9, color=color)
    ax.axis("off")
fig.suptitle("twelve tasks, after the export was read")
session.close()
plt.show()
