"""
Photographs by a frozen network: the backbone runs once
=======================================================

A pretrained network describes each photograph; only its last layer is trained. The descriptions are kept, so that later
queries cost next to nothing. What does asking for the next photographs buy, beside choosing them at random?
"""

# %%
# Photographs of fruit, with the weights of SqueezeNet, are read where the folder that ``SKAL_DATA`` names holds them.
# Without it, scikit-learn's digits stand in, and a network with random weights; it says so.

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torchvision.models import squeezenet1_0

from skal.experiments import compare
from skal.learners import ActiveLearner
from skal.nets import DeepClassifier
from skal.strategies import BADGE, MarginSampling

DATA = Path(os.environ.get("SKAL_DATA", "data"))
FRUIT = DATA / "GroceryStore-128" / "dataset" / "train" / "Fruit"
WEIGHTS = DATA / "weights/squeezenet1_0_imagenet/squeezenet1_0_deepcompressed.pth"
SIZE = 96

if FRUIT.is_dir() and WEIGHTS.is_file():
    names = ["Lemon", "Lime", "Orange", "Satsumas", "Red-Grapefruit"]
    paths = [path for name in names for path in sorted((FRUIT / name).rglob("*.jpg"))[:32]]
    y = np.array([path.relative_to(FRUIT).parts[0] for path in paths])
    images = np.array([np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE))) for path in paths])
else:
    print("no photographs at hand: scikit-learn's digits, and random weights")
    grey, y = load_digits(n_class=5, return_X_y=True)
    grey, y = np.kron(grey[:150].reshape(-1, 8, 8) * 15, np.ones((SIZE // 8, SIZE // 8))), y[:150]
    images = np.stack([grey.astype(np.uint8)] * 3, axis=-1)
order = np.random.default_rng(0).permutation(len(y))
images, y = images[order], y[order]
# As ImageNet's weights expect them: channels first, normalized.
X = ((images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(0, 3, 1, 2).astype(np.float32)
print(f"{len(y)} images, {len(set(y))} classes")

# %%
# With ``freeze="backbone"`` all but the last ``nn.Linear`` is frozen. The first query runs the backbone on every image
# of the pool; the second finds its features in the cache.


class FrozenSqueezeNet(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        net = squeezenet1_0()
        if WEIGHTS.is_file():
            net.load_state_dict({name: value.float() for name, value in torch.load(WEIGHTS, weights_only=True).items()})
        self.body = nn.Sequential(net.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(512))
        self.head = nn.Linear(512, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


net = DeepClassifier(
    FrozenSqueezeNet, classes=np.unique(y), freeze="backbone", max_epochs=40, lr=0.05, batch_size=16, random_state=0
)
learner = ActiveLearner(net, BADGE(random_state=0), X[:20], y[:20])
pool = np.arange(20, len(y))
for number in (1, 2):
    began = time.perf_counter()
    idx, chosen = learner.query(X[pool], n_instances=10)
    print(f"query {number}: {time.perf_counter() - began:.2f} s")
    if number == 1:
        learner.teach(chosen, y[pool[idx]])
        pool = np.delete(pool, idx)

# %%
# What it asks for next, beside the label that the network would have given. `BADGE` looks for images that would change
# the head, and for different ones.

fig, axes = plt.subplots(2, 5, figsize=(9, 4.2), layout="constrained")
for ax, i, guess in zip(axes.flat, pool[idx], learner.predict(chosen)):
    ax.imshow(images[i])
    right = guess == y[i]
    ax.set_title(f"{y[i]}" if right else f"{y[i]}, not {guess}", fontsize=8, color="black" if right else "#D55E00")
    ax.axis("off")
_ = fig.suptitle("asked for next (vermilion: the network is wrong)")

# %%
# The features once more, as a table of 512 numbers a photograph, for a comparison of many runs: a logistic regression
# on them is what the head is, and its fits take milliseconds. Where an interval holds zero, six runs do not decide.

features = learner.estimator.embed(X)
found = compare(
    [BADGE(), MarginSampling()],
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
    features,
    y,
    n_initial=10,
    n_instances=10,
    n_queries=3,
    seeds=6,
)
for name, row in found.summary().drop("RandomSampling").iterrows():
    print(
        f"{name}: {row['area_difference']:+.3f} of the area [{row['area_low']:+.3f}, {row['area_high']:+.3f}], "
        f"{row['area_verdict']}"
    )
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=(1.4, 1))
found.displays.curves.plot(ax=left)
found.displays.differences.plot(ax=right)
plt.show()
