"""
Photographs: the first batch, and the next
==========================================

A folder of photographs without one label. `TypiClust` begins with typical and different ones; after their labels the
strategy asks for those that the model cannot tell apart.
"""

# %%
# Photographs of fruit are read where the folder that ``SKAL_DATA`` names holds them; without it, digits of scikit-learn
# are written into files. They are described by colours and edges: a pretrained network would tell more.

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.labeling import ColourEdges, LabelingSession
from skal.learners import ActiveLearner
from skal.rows import ImageFiles
from skal.strategies import MarginSampling, TypiClust

work = Path(tempfile.mkdtemp())
fruit = Path(os.environ.get("SKAL_DATA", "data")) / "GroceryStore-128" / "dataset" / "train" / "Fruit"
if fruit.is_dir():
    names = ["Apple", "Banana", "Lemon", "Orange"]
    files = {path: name for name in names for path in sorted((fruit / name).rglob("*.jpg"))[:60]}
else:
    images, digits = load_digits(n_class=4, return_X_y=True)
    names, files = ["0", "1", "2", "3"], {}
    for i, (image, digit) in enumerate(zip(images[:240], digits[:240])):
        path = work / f"{i:03d}.png"
        Image.fromarray((image.reshape(8, 8) * 15).astype(np.uint8)).convert("RGB").resize((64, 64)).save(path)
        files[path] = str(digit)
paths, truth = list(files), np.array(list(files.values()))

# %%
# The session's ids are the file names; the photographs stay in their files.

learner = ActiveLearner(
    make_pipeline(ColourEdges(), StandardScaler(), LogisticRegression(max_iter=1000)), MarginSampling(), random_state=0
)
session = LabelingSession(
    learner,
    ImageFiles(paths, size=64),
    journal=work / "labels.jsonl",
    ids=[f"{path.parent.name}/{path.name}" for path in paths],
    classes=names,
    cold_start=TypiClust(random_state=0),
)
place = {one: i for i, one in enumerate(session.pool_ids_)}


def show(batch, title, guesses=None):
    fig, axes = plt.subplots(2, 6, figsize=(9, 3.6), layout="constrained")
    for i, (ax, one) in enumerate(zip(axes.flat, batch)):
        ax.imshow(Image.open(paths[place[one]]))
        ax.set_title(truth[place[one]] + ("" if guesses is None else f", not {guesses[i]}"), fontsize=8)
        ax.axis("off")
    fig.suptitle(title)


first = session.query(12)
show(first, "asked for first, without a label")
session.label(first, [str(truth[place[one]]) for one in first])

# %%
# With these labels the next batch is what the model is in doubt about.

second = session.query(12)
show(second, "asked for next")
session.label(second, [str(truth[place[one]]) for one in second])

# %%
# How many of the others does a model trained on these 24 get right? And which ones does it get wrong?

session.retrain()
left = [place[one] for one in session.pool_ids_]
predicted = learner.predict(ImageFiles([paths[i] for i in left], size=64))
print(f"{len(session.labels_)} labels: {np.mean(predicted == truth[left]):.3f} of {len(left)} right")
wrong = np.flatnonzero(predicted != truth[left])
wrong = np.random.default_rng(0).permutation(wrong)[:12]
show([session.pool_ids_[i] for i in wrong], "what it gets wrong, some of it at random", predicted[wrong])
session.close()
plt.show()
