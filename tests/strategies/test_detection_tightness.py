"""LT/C: hand-worked boxes, a slow loop, the proposals of torchvision's detectors, models without any."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign, box_iou

from skal.exceptions import PoolCapabilityError
from skal.nets import DeepDetector
from skal.strategies import DetectionTightness
from skal.strategies._parts._detection import overlaps
from skal.testing import FakePool


class Body(torch.nn.Sequential):
    out_channels = 16

    def __init__(self):
        super().__init__(torch.nn.Conv2d(3, 8, 3, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, 2, 1))


def tiny_rcnn(num_classes=3):
    return FasterRCNN(
        Body(),
        min_size=64,
        max_size=96,
        rpn_anchor_generator=AnchorGenerator(((12, 20, 30),), ((1.0,),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2),
        rpn_post_nms_top_n_test=30,
        box_head=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(400, 32), torch.nn.ReLU()),
        box_predictor=FastRCNNPredictor(32, num_classes),
        box_score_thresh=0.0,
    )


RNG = np.random.default_rng(0)
IMAGES = [RNG.random((3, *size), dtype=np.float32) for size in [(48, 64), (64, 40), (64, 64), (30, 90)]]
TARGETS = [{"boxes": [[4, 4, 20, 28]], "labels": ["cat" if i % 2 else "dog"]} for i in range(4)]


def image(*boxes):
    """Of (final box, proposal, score)."""
    return {
        "boxes": np.array([box for box, _, _ in boxes]),
        "proposals": np.array([proposal for _, proposal, _ in boxes]),
        "scores": np.array([score for _, _, score in boxes]),
    }


def fake(found):
    return FakePool(detections=found, boxes=[np.empty((0, 2))] * len(found))


WHOLE, HALF, FAR = [0, 0, 10, 10], [0, 0, 5, 10], [50, 50, 60, 60]


def test_hand_worked():
    pool = fake(
        [
            image((WHOLE, WHOLE, 1.0)),  # tight and sure: |1 + 1 - 1|
            image((WHOLE, WHOLE, 0.1)),  # tight, not sure: |1 + 0.1 - 1|
            image((WHOLE, FAR, 0.9)),  # sure, and far from its proposal: |0 + 0.9 - 1|
            image((WHOLE, HALF, 0.5)),  # |0.5 + 0.5 - 1|
            image((WHOLE, WHOLE, 1.0), (WHOLE, HALF, 0.7)),  # the least of |1| and |0.2|
            image(),
        ]
    )
    scores = DetectionTightness().score_samples(pool, pool.X)
    np.testing.assert_allclose(scores, [-1, -0.1, -0.1, 0, -0.2, -2], atol=1e-12)
    assert DetectionTightness(empty="first").score_samples(pool, pool.X)[5] == 1
    assert DetectionTightness(random_state=0).select(pool, pool.X, 1)[0].tolist() == [3]


def slow_overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def test_overlaps_are_those_of_a_slow_loop():
    rng = np.random.default_rng(1)
    first, second = (np.concatenate([c := rng.random((n, 2)) * 9, c + rng.random((n, 2)) * 9], 1) for n in (7, 5))
    found = overlaps(first[:, None], second)
    np.testing.assert_allclose(found, [[slow_overlap(a, b) for b in second] for a in first], atol=1e-14)
    np.testing.assert_allclose(found, box_iou(torch.from_numpy(first), torch.from_numpy(second)).numpy(), atol=1e-12)
    point = np.array([3.0, 3.0, 3.0, 3.0])
    assert overlaps(point, point) == 0


@pytest.fixture(scope="module")
def detector():
    return DeepDetector(tiny_rcnn, max_epochs=1, detections_per_image=8, random_state=0).fit(IMAGES, TARGETS)


def test_scores_of_a_detector_are_those_of_a_slow_loop(detector):
    expected = []
    for found in detector.iter_proposals(IMAGES):
        scores = [
            abs(slow_overlap(b, r) + s - 1) for b, r, s in zip(*(found[k] for k in ("boxes", "proposals", "scores")))
        ]
        expected.append(-min(scores))
    np.testing.assert_allclose(DetectionTightness().score_samples(detector, IMAGES), expected, atol=1e-5)


def test_proposals_are_what_torchvision_moved(detector):
    """Decoded by hand from the head's output for each proposal, the boxes are those that are kept."""
    module = detector.module_.eval()
    for picture, found in zip(IMAGES, detector.iter_proposals(IMAGES)):
        with torch.no_grad():
            tensor, _ = module.transform([torch.from_numpy(picture)])
            maps = {"0": module.backbone(tensor.tensors)}
            height, width = picture.shape[1:]
            scale = np.array(tensor.image_sizes[0])[[1, 0, 1, 0]] / [width, height, width, height]
            for box, proposal, label in zip(found["boxes"], found["proposals"], found["labels"]):
                again = torch.from_numpy((proposal * scale).astype(np.float32))[None]
                heads = module.roi_heads
                features = heads.box_head(heads.box_roi_pool(maps, [again], tensor.image_sizes))
                _, moves = heads.box_predictor(features)
                column = 1 + detector.classes_.tolist().index(label)
                decoded = heads.box_coder.decode(moves, [again])[0, column].numpy() / scale
                clipped = decoded.clip(0, [width, height, width, height])
                np.testing.assert_allclose(box, clipped, atol=2e-2)
    assert len(found["boxes"]) == 8


def test_proposals_come_with_what_detect_gives(detector):
    for plain, found in zip(detector.detect(IMAGES), detector.iter_proposals(IMAGES), strict=True):
        assert set(found) - set(plain) == {"proposals"}
        for name, values in plain.items():
            np.testing.assert_array_equal(found[name], values)


def test_models_without_proposals():
    ssd = DeepDetector("ssdlite320_mobilenet_v3_large", max_epochs=1, random_state=0)
    assert not ssd.has_proposals
    assert DeepDetector().has_proposals and DeepDetector(tiny_rcnn).has_proposals
    ssd.fit(IMAGES[:2], TARGETS[:2])
    with pytest.raises(PoolCapabilityError, match="needs the proposals that boxes come from.*SSD has no proposals"):
        DetectionTightness().select(ssd, IMAGES, 1)
    with pytest.raises(PoolCapabilityError, match="iter_proposals of DeepDetector needs .*SSD is none"):
        ssd.iter_proposals(IMAGES)
    with pytest.raises(PoolCapabilityError, match="DetectionTightness needs"):
        DetectionTightness().select(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), [[0.5]], 1)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"boxes": [WHOLE], "scores": [0.5], "proposals": [[0, 0]]}, "all else .n_boxes, 4.. Got shape"),
        (
            {"boxes": [WHOLE, WHOLE], "scores": [0.5], "proposals": [WHOLE]},
            "as many of all for each image. Got {'boxes'",
        ),
        ({"boxes": [[0, 0, np.nan, 1]], "scores": [0.5], "proposals": [WHOLE]}, "must be finite. Got NaN"),
    ],
)
def test_detections_of_another_form(found, message):
    pool = FakePool(detections=[{k: np.array(v, dtype=float) for k, v in found.items()}], boxes=[np.empty((0, 2))])
    with pytest.raises(ValueError, match=message):
        DetectionTightness().select(pool, pool.X, 1)
