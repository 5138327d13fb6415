"""Rounds of active learning for a detector on PASCAL VOC photographs: train, query, teach, train anew.

    python benchmarks/voc_detection.py [--seeds 3] [--classes groups|all] [--out benchmarks/results/voc_detection.json]

70 photographs are the pool, 30 are for testing (`voc2012-mini100` in the folder that SKAL_DATA names, default
../shared/data from the project's root). The detector is a Faster R-CNN on SqueezeNet, whose ImageNet weights lie in the
same folder and stay as they are; all else is trained from scratch after every query. Each seed draws 20 photographs to
begin with and the weights; from there every strategy goes its own way, 10 photographs a round. The twenty classes are
VOC's own four groups (person, animal, vehicle, indoor) by default: a few boxes of each of twenty classes teach nothing.
"""

import argparse
import json
import os
import pickle
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import nn
from torchvision.datasets import VOCDetection
from torchvision.models import squeezenet1_0
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.transforms.functional import pil_to_tensor

from skal.learners import ActiveLearner, simulate
from skal.nets import DeepDetector, FusionDescriptor
from skal.strategies import UFFM, DetectionEntropy, RandomSampling

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SKAL_DATA", ROOT.parent / "shared" / "data"))
WEIGHTS = DATA / "weights" / "squeezenet1_0_imagenet" / "squeezenet1_0_deepcompressed.pth"
GROUPS = {
    "person": ["person"],
    "animal": ["bird", "cat", "cow", "dog", "horse", "sheep"],
    "vehicle": ["aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"],
    "indoor": ["bottle", "chair", "diningtable", "pottedplant", "sofa", "tvmonitor"],
}
N_START, N_INSTANCES, N_QUERIES, N_EPOCHS, SIZE = 20, 10, 2, 10, 160
# For the query alone; the mean average precision is computed with the detector's own 0.05.
QUERY_THRESHOLD = 0.2


def read(split, classes):
    group = {name: key if classes == "groups" else name for key, names in GROUPS.items() for name in names}
    corners = ("xmin", "ymin", "xmax", "ymax")
    images, targets = [], []
    for photo, notes in VOCDetection(DATA / "voc2012-mini100", year="2012", image_set=split):
        objects = notes["annotation"]["object"]
        boxes = [[float(one["bndbox"][corner]) for corner in corners] for one in objects]
        images.append(pil_to_tensor(photo))
        targets.append({"boxes": boxes, "labels": [group[one["name"]] for one in objects]})
    return images, targets


def squeezenet():
    net = squeezenet1_0()
    state = torch.load(WEIGHTS, map_location="cpu", weights_only=True)
    net.load_state_dict({name: value.float() for name, value in state.items()})
    return net.features.requires_grad_(False)


def squeezenet_rcnn(num_classes):
    # SqueezeNet ends without a normalization, and its maps are large: without one here, training goes nowhere.
    backbone = nn.Sequential(squeezenet(), nn.BatchNorm2d(512))
    backbone.out_channels = 512
    return FasterRCNN(
        backbone,
        min_size=SIZE,
        max_size=3 * SIZE // 2,
        rpn_anchor_generator=AnchorGenerator(((24, 48, 96, 192),), ((0.5, 1.0, 2.0),)),
        rpn_pre_nms_top_n_train=600,
        rpn_post_nms_top_n_train=200,
        rpn_pre_nms_top_n_test=300,
        rpn_post_nms_top_n_test=100,
        box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2),
        box_head=nn.Sequential(nn.Flatten(), nn.Linear(512 * 25, 256), nn.ReLU()),
        box_predictor=FastRCNNPredictor(256, num_classes),
        box_batch_size_per_image=64,
    )


def strategies(seed):
    def descriptor():
        return FusionDescriptor(
            module=squeezenet, layers=("6", "10"), n_components=32, image_size=SIZE, normalize=True, random_state=seed
        )

    return {
        "random": RandomSampling(random_state=seed),
        "RES": DetectionEntropy(random_state=seed),
        "RES, largest box": DetectionEntropy(aggregation="max", random_state=seed),
        "UFFM around RES": UFFM(DetectionEntropy(), descriptor=descriptor(), random_state=seed),
    }


def run(strategy, seed, data, test, first):
    """mAP after each training, seconds of each training and query, boxes labelled. `first` is the first learner."""
    images, targets = data
    order = np.random.default_rng(seed).permutation(len(images))
    begin, pool = order[:N_START].tolist(), order[N_START:]
    if first is None:
        detector = DeepDetector(
            squeezenet_rcnn,
            classes=sorted({label for target in targets for label in target["labels"]}),
            optimizer=torch.optim.AdamW,
            lr=5e-4,
            max_epochs=N_EPOCHS,
            random_state=seed,
        )
        started = time.perf_counter()
        learner = ActiveLearner(detector, strategy, [images[i] for i in begin], [targets[i] for i in begin])
        first = {"learner": learner, "fit": time.perf_counter() - started, "map": learner.score(*test)}
    learner = pickle.loads(pickle.dumps(first["learner"]))
    learner.query_strategy = strategy
    row = {"map": [first["map"]], "fit_seconds": [first["fit"]], "query_seconds": [], "labels": [N_START]}
    learner.estimator.set_params(score_threshold=QUERY_THRESHOLD)
    for step in simulate(learner, images, targets, pool=pool, n_instances=N_INSTANCES, n_queries=N_QUERIES):
        learner.estimator.set_params(score_threshold=None)
        row["query_seconds"].append(step.query_seconds)
        row["fit_seconds"].append(step.fit_seconds)
        row["map"].append(learner.score(*test))
        row["labels"].append(len(learner.X_training))
        learner.estimator.set_params(score_threshold=QUERY_THRESHOLD)
    row["boxes"] = sum(len(target["boxes"]) for target in learner.y_training)
    return row, first


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--classes", choices=["groups", "all"], default="groups")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not WEIGHTS.is_file():
        parser.error(f"no data under {DATA}: set SKAL_DATA")
    data, test = read("train", options.classes), read("val", options.classes)
    rows = []
    for seed in range(options.seeds):
        first = None
        for name, strategy in strategies(seed).items():
            row, first = run(strategy, seed, data, test, first)
            rows.append({"strategy": name, "seed": seed, **row})
            print(json.dumps(rows[-1], default=float), flush=True)
    finals = {name: np.array([row["map"][-1] for row in rows if row["strategy"] == name]) for name in strategies(0)}
    summary = []
    for name, final in finals.items():
        boxes = np.mean([row["boxes"] for row in rows if row["strategy"] == name])
        line = {"strategy": name, "final_map": float(final.mean()), "boxes": float(boxes)}
        if name != "random" and len(final) > 1:
            difference = final - finals["random"]
            half = stats.t.ppf(0.975, len(final) - 1) * difference.std(ddof=1) / np.sqrt(len(final))
            mean = float(difference.mean())
            line["against_random"] = {"mean": mean, "interval": [mean - float(half), mean + float(half)]}
        summary.append(line)
        print(line)
    if options.out:
        settings = {
            "classes": options.classes,
            "seeds": options.seeds,
            "epochs": N_EPOCHS,
            "query_threshold": QUERY_THRESHOLD,
            "torch_threads": torch.get_num_threads(),
        }
        options.out.write_text(json.dumps({"settings": settings, "summary": summary, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
