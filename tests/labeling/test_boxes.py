"""A session about images and their boxes."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

from skal.labeling import LabelingSession
from skal.learners import ActiveLearner
from skal.nets import DeepDetector
from skal.strategies import DetectionEntropy


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers, self.out_channels = nn.Conv2d(3, 8, 8, 8), [8]

    def forward(self, x):
        return OrderedDict([("0", self.layers(x))])


def tiny_ssd(num_classes=3):
    generator = DefaultBoxGenerator([[1]], scales=[0.25, 0.4])
    return SSD(Body(), generator, (64, 64), num_classes, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def learner():
    detector = DeepDetector(tiny_ssd, max_epochs=1, batch_size=2, random_state=0)
    return ActiveLearner(detector, DetectionEntropy(), cold_start="random", random_state=0)


def test_boxes_are_asked_for_corrected_and_resumed(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.random((3, 64, size)).astype(np.float32) for size in (64, 72, 64, 80, 64, 64)]
    target = {"boxes": np.array([[4.0, 4.0, 30.0, 30.0]]), "labels": np.array(["cat"])}
    path = tmp_path / "labels.jsonl"
    with LabelingSession(learner(), images, journal=path, classes=["cat", "dog"]) as session:
        batch = session.query(3)
        with pytest.raises(ValueError, match="did you mean 'dog'"):
            session.label(batch[0], {"boxes": [[0, 0, 5, 5]], "labels": ["dgo"]})
        session.label(batch[0], target)
        session.label(
            batch[1:], [{"boxes": torch.tensor([[1, 2, 20, 30]]), "labels": ["dog"]}, {"boxes": [], "labels": []}]
        )
        session.relabel(batch[0], {"boxes": [[4, 4, 30.5, 30]], "labels": ["dog"]})
        expected = session.query(2)
        assert not {*expected} & {*batch}
        found = session.labels_
        assert found[batch[0]] == {"boxes": [[4, 4, 30.5, 30]], "labels": ["dog"]}
        assert found[batch[2]] == {"boxes": [], "labels": []}
        scores = session.learner.estimator.predict(images[:1])
    active = learner()
    with LabelingSession.resume(path, active, images) as session:
        assert session.labels_ == found
        assert session.query(2) == expected
        session.retrain()
    again = active.estimator.predict(images[:1])
    assert len(again[0]["boxes"])
    np.testing.assert_array_equal(again[0]["boxes"], scores[0]["boxes"])
