"""Mean average precision against a slow loop, and its errors."""

import builtins

import numpy as np
import pytest
import torch

from skal.metrics import mean_average_precision


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = width * height
    return area / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - area)


def slow_map(truth, found, threshold):
    """Each class: detections by falling score, each takes the free object it overlaps most; 101 recalls."""
    labels = sorted({label for target in truth for label in target["labels"]})
    precisions = []
    for label in labels:
        objects = {
            (i, j): box
            for i, target in enumerate(truth)
            for j, box in enumerate(target["boxes"])
            if target["labels"][j] == label
        }
        detections = [
            (float(target["scores"][j]), i, box)
            for i, target in enumerate(found)
            for j, box in enumerate(target["boxes"])
            if target["labels"][j] == label
        ]
        taken, hits = set(), []
        for _, i, box in sorted(detections, key=lambda one: -one[0]):
            free = {key: iou(box, other) for key, other in objects.items() if key[0] == i and key not in taken}
            best = max(free, key=free.get, default=None)
            hits.append(best is not None and free[best] >= threshold)
            if hits[-1]:
                taken.add(best)
        total = 0.0
        for recall in np.linspace(0, 1, 101):
            at_least = [
                sum(hits[: k + 1]) / (k + 1) for k in range(len(hits)) if sum(hits[: k + 1]) / len(objects) >= recall
            ]
            total += max(at_least, default=0.0)
        precisions.append(total / 101)
    return float(np.mean(precisions))


def scene(seed, names):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(6):
        corner = rng.uniform(0, 80, (rng.integers(0, 5), 2))
        boxes = np.hstack([corner, corner + rng.uniform(8, 20, corner.shape)])
        labels = rng.choice(names, len(boxes))
        truth.append({"boxes": boxes, "labels": labels})
        noisy = boxes + rng.normal(scale=2, size=boxes.shape)
        extra = rng.uniform(0, 40, (3, 2))
        extra = np.hstack([extra, extra + 15])
        wrong = np.where(rng.random(len(labels)) < 0.2, names[0], labels)
        found.append(
            {
                "boxes": np.vstack([noisy, extra]).astype(np.float32),
                "labels": np.concatenate([wrong, rng.choice(names, 3)]),
                "scores": rng.permutation(np.linspace(0.1, 0.9, len(boxes) + 3)) + rng.random() * 1e-3,
            }
        )
    return truth, found


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("names", [np.array(["cat", "dog", "hen"]), np.array([3, 7, 11])], ids=["names", "numbers"])
@pytest.mark.parametrize("seed", range(4))
def test_against_a_slow_loop(seed, names, threshold):
    truth, found = scene(seed, names)
    expected = slow_map(truth, found, threshold)
    assert mean_average_precision(truth, found, iou_threshold=threshold) == pytest.approx(expected, abs=1e-9)
    tensors = [{**one, "boxes": torch.tensor(one["boxes"])} for one in truth]
    assert mean_average_precision(tensors, found, iou_threshold=threshold) == pytest.approx(expected, abs=1e-9)


def test_limits(capsys):
    truth, found = scene(0, np.array(["cat", "dog", "hen"]))
    perfect = [{**target, "scores": np.ones(len(target["boxes"]))} for target in truth]
    assert mean_average_precision(truth, perfect) == pytest.approx(1)
    nothing = [{"boxes": [], "labels": [], "scores": []} for _ in truth]
    assert mean_average_precision(truth, nothing) == 0
    strangers = [{**target, "labels": ["owl"] * len(target["labels"])} for target in found]
    assert mean_average_precision(truth, strangers) == 0
    assert capsys.readouterr().out == ""
    many = [{"boxes": [[0, 0, 1, 1]] * 300 + [[5, 5, 9, 9]], "labels": ["a"] * 301, "scores": [0.9] * 300 + [0.1]}]
    assert mean_average_precision([{"boxes": [[5, 5, 9, 9]], "labels": ["a"]}], many) == pytest.approx(1 / 301)


ONE = {"boxes": [[0, 0, 5, 5]], "labels": ["a"], "scores": [0.5]}


@pytest.mark.parametrize(
    ("truth", "found", "kwargs", "error", "message"),
    [
        ([ONE], [], {}, ValueError, "same length. Got 1 and 0"),
        ([{"boxes": [], "labels": []}], [ONE], {}, ValueError, "y_true must hold at least one object"),
        ([ONE], [{"boxes": [[0, 0, 5, 5]], "labels": ["a"]}], {}, ValueError, "one finite score per box, 1"),
        ([ONE], [{**ONE, "scores": [np.nan]}], {}, ValueError, "one finite score"),
        ([ONE], [ONE], {"iou_threshold": 0}, ValueError, r"iou_threshold must be in \(0, 1\]"),
        ([ONE], [np.ones(4)], {}, TypeError, r"y_pred\[0\] must be a dict"),
        (None, [ONE], {}, TypeError, "y_true must be a list"),
    ],
)
def test_errors(truth, found, kwargs, error, message):
    with pytest.raises(error, match=message):
        mean_average_precision(truth, found, **kwargs)


def test_without_the_extra(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "skal\[detection\]"'):
        mean_average_precision([ONE], [ONE])
