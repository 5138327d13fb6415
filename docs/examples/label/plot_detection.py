"""
Object detection: which images to draw boxes in
===============================================

One round of active learning for a detector. It is trained on a few photographs of PASCAL VOC; the entropies of all the
boxes that it finds in an image say how much there is to learn from the image, and `UFFM` leaves out what looks like a
more uncertain one. The images queried are shown with the boxes that a person would draw.
"""

# %%
# Photographs of PASCAL VOC 2012 are read where the folder that ``SKAL_DATA`` names holds them; without it, squares and
# discs on noise stand in. Images differ in size, and stay as they are: 8-bit integers (3, height, width).

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch import nn
from torchvision.datasets import VOCDetection
from torchvision.models import squeezenet1_0
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.transforms.functional import pil_to_tensor

from skal.learners import ActiveLearner
from skal.nets import DeepDetector, FusionDescriptor
from skal.strategies import UFFM, DetectionEntropy

DATA = Path(os.environ.get("SKAL_DATA", "data"))
VOC, WEIGHTS = DATA / "voc2012-mini100", DATA / "weights/squeezenet1_0_imagenet/squeezenet1_0_deepcompressed.pth"
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc():
    images, targets = [], []
    for photo, notes in VOCDetection(VOC, year="2012", image_set="train"):
        objects = notes["annotation"]["object"]
        images.append(pil_to_tensor(photo))
        boxes = [[float(one["bndbox"][corner]) for corner in CORNERS] for one in objects]
        targets.append({"boxes": boxes, "labels": [one["name"] for one in objects]})
    return images, targets


def draw_shapes(n=40):
    rng = np.random.default_rng(0)
    images, targets = [], []
    for _ in range(n):
        height, width = rng.integers(120, 180, 2)
        image = rng.integers(0, 90, (3, height, width)).astype(np.uint8)
        boxes, labels = [], []
        for kind in rng.integers(0, 2, rng.integers(1, 4)):
            side = rng.integers(30, 60)
            x, y = rng.integers(0, width - side), rng.integers(0, height - side)
            columns, rows = np.meshgrid(np.arange(width) - x - side / 2, np.arange(height) - y - side / 2)
            inside = np.hypot(columns, rows) < side / 2 if kind else np.maximum(abs(columns), abs(rows)) < side / 2
            image[:, inside] = rng.integers(150, 255, (3, 1))
            boxes.append([x, y, x + side, y + side])
            labels.append("disc" if kind else "square")
        images.append(image)
        targets.append({"boxes": boxes, "labels": labels})
    return images, targets


images, targets = read_voc() if VOC.is_dir() else draw_shapes()
classes = sorted({label for target in targets for label in target["labels"]})
print(f"{len(images)} images, {sum(len(target['boxes']) for target in targets)} boxes, {len(classes)} classes")

# %%
# The detector: a Faster R-CNN on a small frozen backbone, so that this page takes seconds. On a GPU, and for results,
# it is one line, ``DeepDetector("fasterrcnn_resnet50_fpn", weights="DEFAULT", classes=classes)``.


def squeezenet():
    net = squeezenet1_0()
    if WEIGHTS.is_file():
        net.load_state_dict({name: value.float() for name, value in torch.load(WEIGHTS, weights_only=True).items()})
    return net.features.requires_grad_(False)


def small_rcnn(num_classes):
    # SqueezeNet ends without a normalization.
    backbone = nn.Sequential(squeezenet(), nn.BatchNorm2d(512))
    backbone.out_channels = 512
    return FasterRCNN(
        backbone,
        min_size=112,
        max_size=168,
        rpn_anchor_generator=AnchorGenerator(((24, 48, 96),), ((0.5, 1.0, 2.0),)),
        rpn_post_nms_top_n_train=100,
        rpn_post_nms_top_n_test=100,
        box_roi_pool=MultiScaleRoIAlign(["0"], 4, 2),
        box_head=nn.Sequential(nn.Flatten(), nn.Linear(512 * 16, 128), nn.ReLU()),
        box_predictor=FastRCNNPredictor(128, num_classes),
        box_batch_size_per_image=64,
    )


detector = DeepDetector(
    small_rcnn,
    classes=classes,
    optimizer=torch.optim.AdamW,
    lr=5e-4,
    max_epochs=3,
    score_threshold=0.1,
    random_state=0,
)

# %%
# Sixteen random images are labelled. Descriptors come from the same kind of network; they are made once for each image.

start = np.random.default_rng(0).permutation(len(images))
begin, pool = start[:16], start[16:]
descriptor = FusionDescriptor(
    module=squeezenet, layers=("6", "10"), n_components=16, image_size=112, normalize=True, random_state=0
)
strategy = UFFM(DetectionEntropy(), descriptor=descriptor, random_state=0)
began = time.perf_counter()
learner = ActiveLearner(detector, strategy, [images[i] for i in begin], [targets[i] for i in begin])
fitted = time.perf_counter()
idx, queried, scores = learner.query([images[i] for i in pool], n_instances=6, return_metrics=True)
print(f"fitted in {fitted - began:.1f} s, queried {len(pool)} images in {time.perf_counter() - fitted:.1f} s")

# %%
# The images queried. Solid: the boxes that are drawn by hand now. Dashed: the detector's three best guesses so far,
# with their scores.

revealed = [targets[pool[i]] for i in idx]
fig, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
for ax, image, target, found, score in zip(axes.flat, queried, revealed, learner.predict(queried), scores):
    ax.imshow(np.moveaxis(np.asarray(image), 0, 2))
    for boxes, style, color in ((target["boxes"], "-", "#F0E442"), (found["boxes"][:3], "--", "#56B4E9")):
        for x1, y1, x2, y2 in boxes:
            ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ls=style, ec=color, lw=2))
    for (x1, _, _, y2), label, sure in zip(found["boxes"][:3], found["labels"], found["scores"]):
        ax.text(x1, y2, f"{label} {sure:.2f}", size=8, va="top", bbox={"fc": "#56B4E9", "ec": "none", "pad": 1})
    drawn = ", ".join(sorted(set(target["labels"])))
    ax.set_title(f"uncertainty {score:.1f}; boxes: {len(target['boxes'])}\n{drawn}", size=9)
    ax.axis("off")
plt.show()

# %%
# The answer is taught, and the detector trained anew. With so few images and epochs it knows next to nothing, and one
# round says nothing of a strategy: ``benchmarks/voc_detection.py`` runs whole rounds.

learner.teach(queried, revealed)
print(f"{len(learner.X_training)} images are labelled, with {sum(len(t['boxes']) for t in learner.y_training)} boxes")
