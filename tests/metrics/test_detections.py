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


def slow_flagged_map(truth, found, threshold):
    """As `slow_map`, but that a detection which takes no object that counts is passed over if a flagged one is near."""
    counting = [
        [not (d or c) for d, c in zip(one["difficult"], one["iscrowd"])] for one in truth
    ]  # one list of bools an image
    labels = {label for one, mask in zip(truth, counting) for label, is_in in zip(one["labels"], mask) if is_in}
    precisions = []
    for label in sorted(labels):
        places = [(i, j) for i, one in enumerate(truth) for j, own in enumerate(one["labels"]) if own == label]
        n_objects = sum(counting[i][j] for i, j in places)
        detections = [
            (float(one["scores"][j]), i, one["boxes"][j])
            for i, one in enumerate(found)
            for j, own in enumerate(one["labels"])
            if own == label
        ]
        taken, hits = set(), []
        for _, image, box in sorted(detections, key=lambda one: -one[0]):
            here = [(i, j) for i, j in places if i == image]
            overlaps = {
                (i, j): iou(box, truth[i]["boxes"][j]) for i, j in here if counting[i][j] and (i, j) not in taken
            }
            best = max(overlaps, key=overlaps.get, default=None)
            if best is not None and overlaps[best] >= threshold:
                taken.add(best)
                hits.append(True)
                continue
            is_near = False
            for i, j in here:
                if not counting[i][j]:
                    other = truth[i]["boxes"][j]
                    overlap = iou(box, other)
                    if truth[i]["iscrowd"][j]:
                        width = min(box[2], other[2]) - max(box[0], other[0])
                        height = min(box[3], other[3]) - max(box[1], other[1])
                        own = (box[2] - box[0]) * (box[3] - box[1])
                        overlap = width * height / own if width > 0 and height > 0 else 0.0
                    is_near = is_near or overlap >= threshold
            if not is_near:
                hits.append(False)
        total = 0.0
        for recall in np.linspace(0, 1, 101):
            reached = [k for k in range(len(hits)) if sum(hits[: k + 1]) / n_objects >= recall]
            total += max((sum(hits[: k + 1]) / (k + 1) for k in reached), default=0.0)
        precisions.append(total / 101)
    return float(np.mean(precisions))


@pytest.mark.parametrize("threshold", [0.3, 0.5])
@pytest.mark.parametrize("seed", range(6))
def test_flags_against_a_slow_loop(seed, threshold):
    truth, found = scene(seed, np.array(["cat", "dog"]))
    rng = np.random.default_rng(seed)
    for one, other in zip(truth, found):
        n = len(one["boxes"])
        one |= {"difficult": rng.random(n) < 0.3, "iscrowd": rng.integers(0, 5, n) == 0}
        # Crowds are large, and many are found in one.
        one["boxes"] = np.where(one["iscrowd"][:, None], one["boxes"] + [-20, -20, 20, 20], one["boxes"])
        again = other["boxes"] + rng.normal(scale=2, size=(len(other["boxes"]), 1)).astype(np.float32)
        other |= {
            "boxes": np.vstack([other["boxes"], again]),
            "labels": np.concatenate([other["labels"]] * 2),
            "scores": np.concatenate([other["scores"], 0.9 * other["scores"] + 0.01]),
        }
    expected = slow_flagged_map(truth, found, threshold)
    assert mean_average_precision(truth, found, iou_threshold=threshold) == pytest.approx(expected, abs=1e-9)
    plain = [{"boxes": one["boxes"], "labels": one["labels"]} for one in truth]
    assert mean_average_precision(plain, found, iou_threshold=threshold) != pytest.approx(expected, abs=1e-3)
    tensors = [
        {**one, "difficult": torch.tensor(one["difficult"]), "iscrowd": one["iscrowd"].tolist()} for one in truth
    ]
    assert mean_average_precision(tensors, found, iou_threshold=threshold) == pytest.approx(expected, abs=1e-9)


A, B, FAR = [0, 0, 10, 10], [20, 20, 30, 30], [60, 60, 70, 70]


@pytest.mark.parametrize(
    ("flags", "boxes", "expected"),
    [
        # One object to find, found; what is near the flagged one is no mistake, even if found twice.
        ({"difficult": [0, 1]}, [B, B, A], 1.0),
        ({}, [B, B, A], 51 / 101 + 50 / 101 * (2 / 3)),
        ({"difficult": [0, 1]}, [FAR, A], 0.5),
        ({"difficult": [False, True]}, [B, B], 0.0),
        # Half of a crowd's member lies in it, or a ninth of it.
        ({"iscrowd": [0, 1]}, [[20, 20, 22, 22], [26, 26, 28, 28], [25, 20, 35, 30], A], 1.0),
        ({"iscrowd": [0, 1]}, [[27, 20, 37, 30], A], 0.5),
        ({"difficult": [0, 1]}, [[20, 20, 22, 22], A], 0.5),
        ({"difficult": [0, 1], "iscrowd": [0, 1]}, [[20, 20, 22, 22], A], 1.0),
    ],
)
def test_flags_by_hand(flags, boxes, expected):
    """Detections by falling score, of objects A and B of one class."""
    truth = [{"boxes": [A, B], "labels": ["a", "a"], **flags}]
    found = [{"boxes": boxes, "labels": ["a"] * len(boxes), "scores": np.linspace(0.9, 0.5, len(boxes))}]
    assert mean_average_precision(truth, found) == pytest.approx(expected, abs=1e-9)


def test_an_object_that_counts_is_taken_before_a_difficult_one():
    truth = [{"boxes": [A, [0, 0, 10, 9]], "labels": ["a", "a"], "difficult": [1, 0]}]
    found = [{"boxes": [A], "labels": ["a"], "scores": [0.5]}]
    assert mean_average_precision(truth, found) == pytest.approx(1)


def test_a_class_of_flagged_objects_alone_is_not_in_the_mean():
    truth = [{"boxes": [A, B], "labels": ["a", "b"], "difficult": [0, 1]}]
    found = [{"boxes": [A], "labels": ["a"], "scores": [0.5]}]
    assert mean_average_precision(truth, found) == pytest.approx(1)
    truth[0]["difficult"] = [1, 1]
    with pytest.raises(ValueError, match="at least one object that is neither difficult nor a crowd. Got none"):
        mean_average_precision(truth, found)


def test_flags_go_with_their_boxes_where_others_are_left_out():
    truth = [{"boxes": [[5, 5, 5, 9], A, B], "labels": ["a"] * 3, "difficult": [0, 0, 1]}]
    found = [{"boxes": [[5, 5, 5, 9], B, A], "labels": ["a"] * 3, "scores": [0.99, 0.9, 0.5]}]
    with pytest.warns(UserWarning, match="1 of 3 boxes"):
        assert mean_average_precision(truth, found) == pytest.approx(1)


def test_fractions_on_both_sides_have_one_unit():
    truth, found = scene(1, np.array(["cat", "dog"]))
    small = [[{**one, "boxes": one["boxes"] / 200} for one in side] for side in (truth, found)]
    assert mean_average_precision(*small) == pytest.approx(mean_average_precision(truth, found), abs=1e-9)
    with pytest.raises(ValueError, match="in one unit, pixels. Got fractions in y_true, up to 0.476"):
        mean_average_precision(small[0], found)


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
        ([ONE], None, {}, TypeError, "y_pred must be a list"),
        ([ONE], [ONE], {"iou_threshold": "0.5"}, ValueError, r"in \(0, 1\]. Got '0.5'"),
        ([ONE], [ONE], {"iou_threshold": True}, ValueError, "Got True"),
        ([ONE], [ONE], {"iou_threshold": np.nan}, ValueError, "Got nan"),
        ([ONE], [{**ONE, "scores": [[0.5], [0.1, 0.2]]}], {}, ValueError, "one finite score .* Got several shapes"),
        ([ONE], [{**ONE, "scores": ["high"]}], {}, ValueError, "one finite score per box, 1"),
        (
            [ONE],
            [{**ONE, "labels": [["a"], ["b", "c"]]}],
            {},
            ValueError,
            r"y_pred\[0\] must have one label per box, 1",
        ),
        ([ONE], [{**ONE, "boxes": [[0, 0, 5, 5], [1]]}], {}, ValueError, "must be numbers of shape"),
        ([ONE], [{**ONE, "boxes": [0, 0, 5, 5]}], {}, ValueError, r"Got \(4,\) instead: put the box into a list"),
        (
            [{**ONE, "labels": [1]}],
            [{**ONE, "labels": ["1"]}],
            {},
            ValueError,
            "Got numbers in y_true and text in y_pred",
        ),
        (
            [{**ONE, "labels": ["1"]}],
            [{**ONE, "labels": [1]}],
            {},
            ValueError,
            "Got text in y_true and numbers in y_pred",
        ),
        ([{**ONE, "difficult": [0, 1]}], [ONE], {}, ValueError, r"y_true\[0\]\['difficult'\] must hold .* of 1 boxes"),
        ([{**ONE, "difficult": [2]}], [ONE], {}, ValueError, "a bool, or 0 or 1"),
        ([{**ONE, "iscrowd": ["1"]}], [ONE], {}, ValueError, "'iscrowd'"),
        ([{**ONE, "iscrowd": None}], [ONE], {}, ValueError, "'iscrowd'"),
        (
            [{**ONE, "boxes": [[50, 20, 30, 15]]}],
            [ONE],
            {},
            ValueError,
            r"Got .* in y_true\[0\]: they look like \(x, y, w",
        ),
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
