"""LS+C: hand-worked boxes, a slow loop, boxes that jump under noise, images in every container, refusals."""

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from torch.utils.data import Dataset

from skal.exceptions import PoolCapabilityError
from skal.models._noisy_images import noisy_images
from skal.nets import DeepDetector
from skal.pool import view_pool
from skal.strategies import DetectionStability
from skal.testing import FakePool

WHOLE, HALF, FAR = [0.0, 0, 10, 10], [0.0, 0, 5, 10], [50.0, 50, 60, 60]


def image(*boxes):
    return {
        "boxes": np.array([box for box, _ in boxes]).reshape(-1, 4),
        "scores": np.array([score for _, score in boxes], dtype=float),
    }


def test_hand_worked():
    clean = [image((WHOLE, 0.8)), image((WHOLE, 0.8)), image((WHOLE, 0.6), (FAR, 0.2)), image()]
    noisy = {
        8.0: [image((WHOLE, 0.1)), image((HALF, 0.9), (FAR, 0.9)), image((WHOLE, 0.5)), image((WHOLE, 0.9))],
        16.0: [image((WHOLE, 0.3)), image(), image((FAR, 0.5), (HALF, 0.5)), image()],
    }
    fake = FakePool(
        detections=lambda level: clean if level == 0 else noisy[level], boxes=[np.empty((0, 2))] * 4, X=np.zeros((4, 1))
    )
    strategy = DetectionStability(noise_levels=(8, 16))
    # S: 1; 0.25; of the two boxes 0.75 and 0.5, weighted by 0.6 and 0.2. U: 0.2; 0.2; 0.8.
    expected = [0.2 - 1, 0.2 - 0.25, 0.8 - (0.6 * 0.75 + 0.2 * 0.5) / 0.8]
    scores = strategy.score_samples(fake, fake.X)
    np.testing.assert_allclose(scores, [*expected, min(expected) - 1], atol=1e-12)
    scores = strategy.score_samples(fake, fake.X, stability_weight=0, empty="first")
    np.testing.assert_allclose(scores, [0.2, 0.2, 0.8, 1.8], atol=1e-12)


def test_scores_of_zero_weigh_alike():
    fake = FakePool(detections=[image((WHOLE, 0.0), (FAR, 0.0))], boxes=[np.empty((0, 2))])
    assert DetectionStability().score_samples(fake, fake.X)[0] == pytest.approx(0.0)


class Brightest(BaseEstimator):
    """A box of 5 x 5 pixels around the brightest pixel of each image."""

    def detect(self, images):
        self.seen_ = [np.asarray(picture) for picture in images]
        return [self.found(picture[0]) for picture in self.seen_]

    def found(self, picture):
        y, x = np.unravel_index(picture.argmax(), picture.shape)
        return {"boxes": np.array([[x - 2, y - 2, x + 3, y + 3]]), "scores": np.array([0.9])}


def spots(brightness):
    images = np.zeros((len(brightness), 1, 24, 24), dtype=np.float32)
    images[np.arange(len(brightness)), 0, 6, 6] = brightness
    return images


def test_boxes_that_jump_under_noise_come_first():
    images = spots([0.9, 0.05, 0.8, 0.02, 0.03, 1.0])
    idx, scores = DetectionStability(random_state=0).select(Brightest(), images, 6)
    assert set(idx[:3].tolist()) == {1, 3, 4}
    assert scores[3] < scores[2] - 0.4


def test_against_a_slow_loop():
    images, levels = spots(np.linspace(0.02, 0.9, 9)), (10, 30)
    found = DetectionStability(noise_levels=levels, stability_weight=0.7, random_state=5).score_samples(
        Brightest(), images
    )
    rng = np.random.default_rng([5, 0, 0])
    seeds = [int(rng.integers(2**31 - 1)) for _ in levels]
    for i, picture in enumerate(images):
        total = 0.0
        for level, seed in zip(levels, seeds):
            noise = np.random.default_rng([seed, i]).standard_normal(picture.shape, dtype=np.float32) * level / 255
            (a,), (b,) = (Brightest().found(p[0])["boxes"] for p in (picture, np.clip(picture + noise, 0, 1)))
            width, height = (max(0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
            total += width * height / (50 - width * height)
        assert found[i] == pytest.approx(0.1 - 0.7 * total / 2, abs=1e-6)


class Pictures(Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], {"boxes": [], "labels": []}


def test_the_same_whatever_the_container():
    images = spots([0.9, 0.05, 0.5])
    expected = DetectionStability(random_state=0).score_samples(Brightest(), images)
    for pool in (list(images), torch.from_numpy(images), [torch.from_numpy(one) for one in images]):
        found = DetectionStability(random_state=0).score_samples(Brightest(), pool)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_noise():
    images = np.full((70, 1, 40, 40), 0.5)
    blocks = list(noisy_images(images, 70, 25.5, seed=3))
    found = np.concatenate(blocks)
    assert [len(block) for block in blocks] == [64, 6] and found.dtype == np.float32
    assert abs(found.std() - 0.1) < 0.001 and abs(found.mean() - 0.5) < 0.001
    alone = next(noisy_images(images[:3], 3, 25.5, seed=3))
    np.testing.assert_array_equal(found[:3], alone)
    # Bytes are scaled; nothing leaves [0, 1], or the image's own range.
    of_bytes = next(noisy_images(np.full((1, 3, 8, 8), 255, dtype=np.uint8), 1, 50, seed=0))[0]
    assert of_bytes.max() == 1 and of_bytes.min() < 0.9
    wide = next(noisy_images(np.array([[[[-2.0, 3.0]]]]), 1, 5000, seed=0))[0]
    assert wide.min() >= -2 and wide.max() <= 3
    with pytest.raises(TypeError, match="must hold images of numbers to add noise to. Got"):
        next(noisy_images([["text"]], 1, 8, seed=0))


def test_a_deep_detector_and_a_dataset_of_pairs():
    rng = np.random.default_rng(0)
    images = list(rng.random((3, 3, 40, 40), dtype=np.float32))
    targets = [{"boxes": [[4, 4, 20, 28]], "labels": ["cat"]} for _ in images]
    net = DeepDetector("ssdlite320_mobilenet_v3_large", max_epochs=1, score_threshold=0.2, random_state=0)
    net.fit(images, targets)
    strategy = DetectionStability(noise_levels=[20], random_state=0)
    state = torch.get_rng_state()
    idx, scores = strategy.select(net, images, 3)
    assert torch.equal(torch.get_rng_state(), state) and np.isfinite(scores).all()
    again = strategy.select(net, Pictures(images), 3)
    np.testing.assert_array_equal(idx, again[0])
    np.testing.assert_allclose(scores, again[1], atol=1e-6)


@pytest.mark.parametrize("levels", [(), (0,), (8, -1), (np.inf,), ["a"], (np.nan,)])
def test_noise_levels(levels):
    with pytest.raises(ValueError, match="'noise_levels' parameter of DetectionStability must be one or more positive"):
        DetectionStability(noise_levels=levels).select(Brightest(), spots([1.0]), 1)


class Wrong(Brightest):
    def detect(self, images):
        return [[1, 2]] if self.kind == "form" else []


def test_refusals():
    class Known:
        def predict_proba(self, X):
            return X

    with pytest.raises(
        PoolCapabilityError, match="DetectionStability needs boxes where they lie.*skal.nets.DeepDetector"
    ):
        DetectionStability().select(Known(), [[[0.5, 0.5]]], 1)
    for kind, message in (
        ("form", "for each image a dict with 'boxes', 'scores'"),
        ("few", "one dict for each of 1 images"),
    ):
        detector = Wrong()
        detector.kind = kind
        assert view_pool(detector, spots([1.0])).model.supplies("detections")
        with pytest.raises(ValueError, match=message):
            DetectionStability().select(detector, spots([1.0]), 1)
