"""DeepDetector: torchvision's own answers and their distributions, training on drawn shapes, targets, bad input."""

import os
import pickle
import warnings
import xml.etree.ElementTree as ElementTree
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from torch import nn
from torch.utils.data import Dataset
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.ssd import SSD
from torchvision.ops import MultiScaleRoIAlign
from torchvision.tv_tensors import BoundingBoxes

from skal.exceptions import PoolCapabilityError, TrainingDivergedError
from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.metrics import mean_average_precision
from skal.nets import DeepClassifier, DeepDetector, FusionDescriptor
from skal.nets.detector._module import build_detector
from skal.pool import view_pool
from skal.rows import ImageFiles
from skal.strategies import UFFM, DetectionEntropy, DetectionMargin, EntropySampling, RandomSampling

DATA = Path(os.environ.get("SKAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
VOC = DATA / "voc2012-mini100"
needs_voc = pytest.mark.skipif(not VOC.is_dir(), reason="the real data (SKAL_DATA) is absent")
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


class Body(nn.Module):
    """Maps of one eighth of the image, as a plain or a named output."""

    def __init__(self, named):
        super().__init__()
        layers = []
        for i, o in ((3, 8), (8, 16), (16, 32)):
            layers += [nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU()]
        self.layers, self.named = nn.Sequential(*layers), named
        self.out_channels = [32] if named else 32

    def forward(self, x):
        return OrderedDict([("0", self.layers(x))]) if self.named else self.layers(x)


def tiny_rcnn(num_classes=3):
    return FasterRCNN(
        Body(named=False),
        min_size=64,
        max_size=96,
        rpn_anchor_generator=AnchorGenerator(((12, 20, 30),), ((1.0,),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2),
        rpn_pre_nms_top_n_train=60,
        rpn_post_nms_top_n_train=30,
        rpn_pre_nms_top_n_test=60,
        rpn_post_nms_top_n_test=30,
        box_head=nn.Sequential(nn.Flatten(), nn.Linear(32 * 25, 32), nn.ReLU()),
        box_predictor=FastRCNNPredictor(32, num_classes),
        **HALF,
    )


def tiny_ssd(num_classes=3):
    generator = DefaultBoxGenerator([[1]], scales=[0.25, 0.4])
    return SSD(Body(named=True), generator, (64, 64), num_classes, **HALF)


FAMILIES = pytest.mark.parametrize("module", [tiny_rcnn, tiny_ssd])


def draw(n, seed):
    """Red squares and green discs on grey noise, in images of several sizes."""
    rng = np.random.default_rng(seed)
    images, targets = [], []
    for _ in range(n):
        h, w = rng.choice([64, 72], 2)
        image = rng.random((3, h, w)).astype(np.float32) * 0.3
        boxes, labels = [], []
        for _ in range(rng.integers(1, 3)):
            side, kind = int(rng.integers(14, 28)), rng.integers(2)
            x, y = int(rng.integers(0, w - side)), int(rng.integers(0, h - side))
            columns, rows = np.meshgrid(np.arange(w), np.arange(h))
            square = (columns >= x) & (columns < x + side) & (rows >= y) & (rows < y + side)
            disc = (columns - x - side / 2) ** 2 + (rows - y - side / 2) ** 2 <= (side / 2) ** 2
            image[:, disc if kind else square] = np.array([[0.2, 0.9, 0.2] if kind else [0.9, 0.2, 0.2]]).T
            boxes.append([x, y, x + side, y + side])
            labels.append(["square", "disc"][kind])
        images.append(image)
        targets.append({"boxes": np.array(boxes), "labels": np.array(labels)})
    return images, targets


X, Y = draw(24, seed=0)
X_TEST, Y_TEST = draw(12, seed=1)


def make(module=tiny_ssd, **kwargs):
    return DeepDetector(module, **{"max_epochs": 1, "lr": 0.01, "random_state": 0, **kwargs})


@pytest.fixture(scope="module")
def trained():
    return make(max_epochs=20).fit(X, Y)


def same(first, second):
    return all(np.array_equal(a[key], b[key]) for a, b in zip(first, second) for key in a)


class Pairs(Dataset):
    def __init__(self, images, targets):
        self.images, self.targets = images, targets

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], self.targets[i]


# ---------------------------------------------------------------- what torchvision itself answers


@FAMILIES
@pytest.mark.parametrize("score_threshold", [None, 0.02, 0.4])
def test_answers_are_torchvisions_and_distributions_go_with_them(module, score_threshold):
    detector = make(module, score_threshold=score_threshold, max_epochs=2).fit(X, Y)
    found, proba = detector.predict(X_TEST), detector.predict_proba(X_TEST)
    reference = module(num_classes=3)
    reference.load_state_dict(detector.module_.state_dict())
    if score_threshold is not None:
        (reference.roi_heads if module is tiny_rcnn else reference).score_thresh = score_threshold
    reference.eval()
    n_boxes = 0
    for image, one, p in zip(X_TEST, found, proba):
        with torch.no_grad():
            (theirs,) = reference([torch.from_numpy(image)])
        np.testing.assert_allclose(one["boxes"], theirs["boxes"], atol=1e-3)
        np.testing.assert_allclose(one["scores"], theirs["scores"], atol=1e-5)
        codes = theirs["labels"].numpy()
        np.testing.assert_array_equal(one["labels"], np.array(["disc", "square"])[codes - 1])
        assert p.shape == (len(codes), 3) and p.dtype == np.float32
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(p[np.arange(len(p)), codes], one["scores"])
        n_boxes += len(p)
    assert n_boxes > 0 or score_threshold == 0.4


@pytest.mark.parametrize("score_threshold", [0.5, 0.05])
def test_the_best_class_of_a_sure_box_is_its_label(trained, score_threshold):
    detector = pickle.loads(pickle.dumps(trained)).set_params(score_threshold=score_threshold)
    n_sure = 0
    for one in detector.detect(X_TEST):
        sure = one["scores"] > 0.5
        best = one["proba"][sure].argmax(axis=1)
        np.testing.assert_array_equal(one["labels"][sure], np.array(["background", "disc", "square"])[best])
        np.testing.assert_array_equal(one["scores"][sure], one["proba"][sure].max(axis=1))
        n_sure += len(best)
    assert n_sure >= 12


@FAMILIES
def test_distributions_against_a_slow_loop(module):
    """Every kept box is decoded again from the raw outputs of the head, one candidate and class at a time."""
    detector = make(module, score_threshold=0.1, max_epochs=2).fit(X, Y)
    part = detector.module_.roi_heads if module is tiny_rcnn else detector.module_
    seen = {}
    own = part.postprocess_detections
    part.postprocess_detections = lambda *args: seen.update(args=args) or own(*args)
    # One image of 64 x 64: nothing is scaled on the way.
    image = next(image for image in X_TEST if image.shape == (3, 64, 64))
    with torch.no_grad():
        (kept,) = detector.module_.eval()([torch.from_numpy(image)])
    del part.postprocess_detections
    if module is tiny_rcnn:
        logits, deltas, (proposals,), (shape,) = seen["args"]
        boxes = part.box_coder.decode(deltas, [proposals])
    else:
        outputs, (anchors,), (shape,) = seen["args"]
        logits = outputs["cls_logits"][0]
        boxes = part.box_coder.decode_single(outputs["bbox_regression"][0], anchors)[:, None].expand(-1, 3, -1)
    (proba,) = detector.predict_proba([image])
    assert len(proba) == len(kept["boxes"]) > 0
    for box, label, row in zip(kept["boxes"], kept["labels"], proba):
        rows = [
            np.exp(logits[i].double().numpy()) / np.exp(logits[i].double().numpy()).sum()
            for i in range(len(logits))
            if np.allclose(np.clip(boxes[i, label].numpy(), 0, [shape[1], shape[0]] * 2), box.numpy(), atol=1e-4)
        ]
        assert len(rows) == 1
        np.testing.assert_allclose(row, rows[0], atol=1e-6)


@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn"])
def test_torchvisions_names(name):
    images = [image[:, :64, :64] for image in X[:2]]
    detector = make(name, max_epochs=0, classes=["disc", "square", "star"], score_threshold=0.01).fit(images, Y[:2])
    assert detector.n_outputs_ == 4
    found = detector.detect(images)
    with torch.no_grad():
        for one, theirs in zip(make_eval(detector, 0.01)(list(map(torch.from_numpy, images))), found):
            np.testing.assert_allclose(one["scores"], theirs["scores"], atol=1e-5)
    assert all(one["proba"].shape == (len(one["boxes"]), 4) for one in found)
    assert sum(len(one["boxes"]) for one in found) > 0


def make_eval(detector, score_thresh):
    module = build_detector(detector.module, weights=None, weights_backbone=None, n_outputs=4, kwargs={})
    module.load_state_dict(detector.module_.state_dict())
    getattr(module, "roi_heads", module).score_thresh = score_thresh
    return module.eval()


def test_weights_of_torchvision_are_loaded_by_its_own_api_and_the_head_fits(monkeypatch):
    trained_on_coco = torchvision.models.detection.ssdlite320_mobilenet_v3_large(num_classes=91, weights_backbone=None)
    calls = []

    def get_state_dict(self, *args, **kwargs):
        calls.append(self)
        return trained_on_coco.state_dict()

    enum = torchvision.models.detection.SSDLite320_MobileNet_V3_Large_Weights
    monkeypatch.setattr(enum, "get_state_dict", get_state_dict)
    detector = make("ssdlite320_mobilenet_v3_large", weights="DEFAULT", max_epochs=0).fit(X[:2], Y[:2])
    assert calls == [enum.COCO_V1]
    state, trained = detector.module_.state_dict(), trained_on_coco.state_dict()
    # Biases of anchors times classes.
    assert detector.module_.head.classification_head.module_list[0][1].bias.shape == (6 * 3,)
    kept = [key for key in state if "classification_head" not in key]
    assert len(kept) > 300 and all(torch.equal(state[key], trained[key]) for key in kept)
    # Without training the classes are those of the weights, numbered from 1.
    raw = make("ssdlite320_mobilenet_v3_large", weights="COCO_V1").initialize()
    np.testing.assert_array_equal(raw.classes_, np.arange(1, 91))
    assert raw.predict_proba(X[:1])[0].shape[1] == 91


def test_weights_from_a_file(tmp_path, trained):
    torch.save(trained.module_.state_dict(), tmp_path / "shapes.pth")
    same_classes = make(weights=tmp_path / "shapes.pth", classes=["disc", "square"]).initialize()
    assert same(same_classes.detect(X_TEST[:3]), trained.detect(X_TEST[:3]))
    more = make(weights=tmp_path / "shapes.pth", classes=["disc", "square", "star"]).initialize()
    for key, value in more.module_.state_dict().items():
        if "classification_head" not in key:
            assert torch.equal(value, trained.module_.state_dict()[key])
    assert more.predict_proba(X_TEST[:1])[0].shape[1] == 4


# ---------------------------------------------------------------- training


def test_learns_drawn_shapes(trained):
    assert trained.score(X_TEST, Y_TEST) > 0.6
    assert trained.classes_.tolist() == ["disc", "square"]
    assert trained.history[-1, "train_loss"] < 0.3 * trained.history[0, "train_loss"]


def test_two_stage_learns():
    detector = make(tiny_rcnn, max_epochs=4, lr=0.02).fit(X[:16], Y[:16])
    assert detector.history[-1, "train_loss"] < 0.7 * detector.history[0, "train_loss"]


def test_the_loss_is_torchvisions_and_a_step_is_sgds():
    detector = make(batch_size=24, optimizer__momentum=0, optimizer__weight_decay=0, lr=0.05)
    detector.fit(X, Y)
    reference = make(max_epochs=0).fit(X, Y).module_.train()
    codes = {"disc": 1, "square": 2}
    targets = [
        {
            "boxes": torch.tensor(target["boxes"], dtype=torch.float32),
            "labels": torch.tensor([codes[label] for label in target["labels"]]),
        }
        for target in Y
    ]
    loss = sum(reference(list(map(torch.from_numpy, X)), targets).values())
    assert detector.history[0, "train_loss"] == pytest.approx(loss.item(), rel=1e-4)
    loss.backward()
    for ours, theirs in zip(detector.module_.parameters(), reference.parameters()):
        np.testing.assert_allclose(ours.detach(), (theirs - 0.05 * theirs.grad).detach(), atol=1e-4)


def test_defaults_of_the_optimizer_are_torchvisions_and_may_be_changed():
    assert make().fit(X[:4], Y[:4]).optimizer_.param_groups[0]["momentum"] == 0.9
    group = make(optimizer__momentum=0.5).fit(X[:4], Y[:4]).optimizer_.param_groups[0]
    assert group["momentum"] == 0.5 and group["weight_decay"] == 5e-4
    assert "amsgrad" in make(optimizer=torch.optim.Adam).fit(X[:4], Y[:4]).optimizer_.param_groups[0]


@FAMILIES
def test_the_same_seed_gives_the_same_detector_and_global_generators_are_left_alone(module):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = make(module).fit(X[:8], Y[:8]), make(module).fit(X[:8], Y[:8])
    assert same(first.detect(X_TEST), second.detect(X_TEST))
    assert not same([make(module, random_state=1).fit(X[:8], Y[:8]).module_.state_dict()], [first.module_.state_dict()])
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_an_answer_does_not_depend_on_the_other_images(trained):
    one_by_one = [trained.detect([image])[0] for image in X_TEST]
    for first, second in zip(one_by_one, trained.detect(X_TEST)):
        np.testing.assert_allclose(first["proba"], second["proba"], atol=1e-5)
    rcnn = make(tiny_rcnn).fit(X, Y)
    for first, second in zip([rcnn.detect([image])[0] for image in X_TEST], rcnn.detect(X_TEST)):
        np.testing.assert_allclose(first["proba"], second["proba"], atol=1e-5)


def test_thresholds_may_change_after_fit(trained):
    detector = pickle.loads(pickle.dumps(trained))
    before = detector.predict(X_TEST)
    strict = detector.set_params(score_threshold=0.5, detections_per_image=1).predict(X_TEST)
    assert max(len(one["boxes"]) for one in strict) == 1
    assert all((one["scores"] > 0.5).all() for one in strict)
    many = detector.set_params(score_threshold=0.01, nms_threshold=1.0, detections_per_image=None).predict(X_TEST)
    assert sum(len(one["boxes"]) for one in many) > sum(len(one["boxes"]) for one in before)
    assert same(detector.set_params(score_threshold=None, nms_threshold=None).predict(X_TEST), before)


def test_inputs(trained):
    images = [image[:, :64, :64] for image in X_TEST]
    expected = trained.detect(images)
    assert same(trained.detect(np.stack(images)), expected)
    assert same(trained.detect(torch.from_numpy(np.stack(images))), expected)
    assert same(trained.detect([torch.from_numpy(image) for image in images]), expected)
    assert same(trained.detect([image.astype(np.float64) for image in images]), expected)
    assert same(trained.detect(Pairs(images, Y_TEST)), expected)
    assert same(trained.iter_detect(Pairs(images, Y_TEST)), expected)
    as_bytes = [np.round(image * 255).astype(np.uint8) for image in images]
    in_floats = [image.astype(np.float32) / 255 for image in as_bytes]
    assert same(trained.detect(as_bytes), trained.detect(in_floats))
    backwards = [image[:, ::-1] for image in images]
    assert same(trained.detect(backwards), trained.detect([image.copy() for image in backwards]))


def test_a_dataset_of_pairs_trains_as_its_lists_do():
    assert same(make().fit(Pairs(X, Y)).detect(X_TEST), make().fit(X, Y).detect(X_TEST))
    assert same(make().fit(Pairs(X, [None] * len(X)), Y).detect(X_TEST), make().fit(X, Y).detect(X_TEST))


def test_numbers_as_labels():
    codes = [{"boxes": one["boxes"], "labels": np.where(one["labels"] == "disc", 3, 7)} for one in Y]
    detector = make(max_epochs=0).fit(X, codes)
    assert detector.classes_.tolist() == [3, 7] and detector.predict(X[:1])[0]["labels"].dtype == np.int64
    # An instance has its width; numbers from 1 are its outputs'.
    wide = make(tiny_ssd(6), max_epochs=0).fit(X, [{**one, "labels": np.ones(len(one["boxes"]))} for one in codes])
    assert wide.classes_.tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match=r"y has 2 classes, \[3, 7\], but the network has 5 outputs"):
        make(tiny_ssd(6)).fit(X, codes)


def test_images_without_annotations_are_learned_from():
    targets = [{"boxes": [], "labels": []} if i % 2 else target for i, target in enumerate(Y)]
    detector = make().fit(X, targets)
    assert np.isfinite(detector.history[-1, "train_loss"])
    nothing = [{"boxes": np.empty((0, 4)), "labels": []} for _ in X]
    assert make(classes=["disc", "square"]).fit(X, nothing).n_outputs_ == 3
    with pytest.raises(ValueError, match="y must hold at least one box, unless classes= lists the labels"):
        make().fit(X, nothing)


def test_boxes_without_area():
    targets = [{**target, "boxes": target["boxes"].astype(float)} for target in Y]
    targets[3]["boxes"][0] = [10, 10, 10, 20]
    targets[5]["boxes"][0] = [10, 20, 30, 15]
    kept = [target if i not in (3, 5) else {k: v[1:] for k, v in target.items()} for i, target in enumerate(targets)]
    n = sum(len(target["boxes"]) for target in targets)
    first = r"the first is \[10.0, 10.0, 10.0, 20.0\] in y\[3\]"
    message = f"2 of {n} boxes have no area in the image and are left out; {first}"
    with pytest.warns(UserWarning, match=message):
        detector = make().fit(X, targets)
    assert same(detector.detect(X_TEST), make().fit(X, kept).detect(X_TEST))
    with pytest.raises(ValueError, match=r"in pixels of the image. Got \[10.0, 10.0, 10.0, 20.0\] in y\[3\]"):
        make(invalid_boxes="error").fit(X, targets)


def test_further_training(trained):
    detector = make(warm_start=True).fit(X, Y)
    first = detector.history[-1, "train_loss"]
    assert detector.fit(X, Y).history[-1, "train_loss"] < first and len(detector.history) == 2
    assert len(make().partial_fit(X, Y, classes=["disc", "square", "star"]).partial_fit(X, Y).history) == 2
    with pytest.raises(ValueError, match="y must hold labels that DeepDetector knows"):
        detector.partial_fit(X[:1], [{"boxes": [[1, 1, 9, 9]], "labels": ["star"]}])


def test_validation_and_callbacks():
    from skorch.callbacks import EarlyStopping
    from skorch.dataset import ValidSplit

    detector = make(max_epochs=3, train_split=ValidSplit(3), callbacks=[("stop", EarlyStopping(patience=2))])
    detector.fit(X, Y)
    assert np.isfinite(detector.history[:, "valid_loss"]).all()
    # The running statistics saw the batches of training alone.
    batches = next(part for part in detector.module_.modules() if isinstance(part, nn.BatchNorm2d)).num_batches_tracked
    assert batches == 3 * 4


# ---------------------------------------------------------------- scikit-learn and active learning


def test_clone_pickle_repr(trained):
    twin = clone(trained)
    assert twin.get_params()["lr"] == 0.01 and twin.get_params()["device"] == "auto"
    with pytest.raises(NotFittedError):
        twin.predict(X_TEST)
    assert same(pickle.loads(pickle.dumps(trained)).detect(X_TEST), trained.detect(X_TEST))
    assert repr(twin).startswith(("DeepDetector", "<class 'skal.nets.detector._detector.DeepDetector'>"))


def test_grid_search_and_cross_validation():
    search = GridSearchCV(make(max_epochs=8), {"lr": [1e-6, 0.01]}, cv=KFold(2), error_score="raise").fit(X, Y)
    assert search.best_params_ == {"lr": 0.01}
    assert search.cv_results_["mean_test_score"][1] > search.cv_results_["mean_test_score"][0]


@pytest.mark.parametrize("strategy", [DetectionEntropy(random_state=0), "uffm", RandomSampling(random_state=0)])
def test_query_teach_retrain(strategy):
    if strategy == "uffm":
        layers = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))
        descriptor = FusionDescriptor(module=layers, layers=("1", "2"), top_k=4, n_components=6, image_size=64)
        strategy = UFFM(DetectionEntropy(), descriptor=descriptor, sampling_ratio=2, random_state=0)
    detector = make(max_epochs=10, score_threshold=0.1, classes=["disc", "square"])
    learner = ActiveLearner(detector, query_strategy=strategy, X_training=X[:8], y_training=Y[:8])
    pool, oracle = list(X[8:]), list(Y[8:])
    for _ in range(2):
        query_idx, images = learner.query(pool, n_instances=5)
        assert len(set(query_idx.tolist())) == 5 and all(a is pool[i] for a, i in zip(images, query_idx))
        learner.teach(images, [oracle[i] for i in query_idx])
        pool = [image for i, image in enumerate(pool) if i not in set(query_idx.tolist())]
        oracle = [target for i, target in enumerate(oracle) if i not in set(query_idx.tolist())]
    assert len(learner.X_training) == len(learner.y_training) == 18 and learner.round == 2
    assert learner.score(X_TEST, Y_TEST) > 0.5
    assert len(learner.predict_proba(pool[:2])) == 2
    assert clone(learner).get_params()["estimator__score_threshold"] == 0.1


def test_a_failed_teach_leaves_the_learner_as_it_was(trained):
    learner = ActiveLearner(make(), query_strategy=DetectionMargin(), X_training=X[:6], y_training=Y[:6])
    before, weights = learner.predict(X_TEST), learner.estimator.module_
    bad = [{"boxes": [[1, 1, 9, 9]], "labels": ["disc"]}]
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        learner.teach(X[6:8], bad)
    with pytest.raises(ValueError, match=r"must be an image of shape \(3, height, width\). Got shape \(64, 64\)"):
        learner.teach([np.zeros((64, 64))], bad)
    with pytest.raises(TypeError, match="'boxes' and 'labels'"):
        learner.teach(X[6:7], [{"boxes": [[1, 1, 9, 9]]}])
    with pytest.raises(ValueError, match="NaN"):
        learner.query([*X[6:8], np.full((3, 64, 64), np.nan)])
    assert len(learner.X_training) == 6 and learner.estimator.module_ is weights
    assert same(learner.predict(X_TEST), before)


def test_strategies_for_classifiers_say_what_to_use(trained):
    with pytest.raises(PoolCapabilityError, match=r"EntropySampling needs class probabilities.*use DetectionEntropy"):
        EntropySampling().select(trained, X_TEST)
    with pytest.raises(PoolCapabilityError, match=r"UFFM needs `embeddings`.*DetectionEntropy"):
        UFFM(DetectionEntropy()).select(trained, X_TEST, 2)
    with pytest.raises(
        PoolCapabilityError, match="which DeepDetector does not supply. It is a detector, which tells of boxes"
    ):
        view_pool(trained, X_TEST).embeddings  # noqa: B018
    with pytest.raises(TypeError, match="must be a classifier. DeepDetector is a detector: use it in ActiveLearner"):
        ActiveLearningClassifier(trained, DetectionEntropy(), n_initial=2).fit(X, Y)
    net = DeepClassifier(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), max_epochs=1).fit(np.ones((4, 3)), [0, 1, 0, 1])
    with pytest.raises(PoolCapabilityError, match=r"DetectionEntropy needs class distributions.*DeepDetector"):
        DetectionEntropy().select(net, np.ones((4, 3)))


# ---------------------------------------------------------------- modules of one's own


class Brightest(nn.Module):
    """A box around the brightest pixel; it learns its side and tells a distribution itself."""

    def __init__(self, num_classes, tells=True):
        super().__init__()
        self.side, self.num_classes, self.tells = nn.Parameter(torch.tensor(5.0)), num_classes, tells

    def forward(self, images, targets=None):
        if self.training:
            sides = torch.stack([(target["boxes"][:, 2] - target["boxes"][:, 0]).mean() for target in targets])
            return {"side": ((self.side - sides) ** 2).mean()}
        found = []
        for image in images:
            y, x = divmod(int(image.sum(dim=0).argmax()), image.shape[2])
            box = torch.stack([torch.tensor(float(x)), torch.tensor(float(y)), x + self.side, y + self.side])
            one = {"boxes": box[None], "labels": torch.tensor([1]), "scores": torch.tensor([0.75])}
            if self.tells:
                rest = 0.25 / (self.num_classes - 1)
                one["proba"] = torch.tensor([[rest, 0.75] + [rest] * (self.num_classes - 2)])
            found.append(one)
        return found


class Undecided(Brightest):
    def forward(self, images, targets=None):
        answer = super().forward(images, targets)
        if self.training:
            return answer
        twice = [{key: torch.cat([value, value]) for key, value in one.items()} for one in answer]
        return [{**one, "labels": torch.tensor([0, 2])} for one in twice]


def test_boxes_of_the_background_are_left_out():
    detector = make(Undecided, max_epochs=1).fit(X, Y)
    (one,) = detector.detect(X_TEST[:1])
    assert one["labels"].tolist() == ["square"] and len(one["boxes"]) == len(one["proba"]) == len(one["scores"]) == 1


def test_a_module_of_ones_own():
    detector = make(Brightest, max_epochs=5, lr=0.1).fit(X, Y)
    assert detector.module_.num_classes == 3 and detector.module_.side > 6
    assert detector.predict(X_TEST[:1])[0]["labels"].tolist() == ["disc"]
    np.testing.assert_allclose(detector.predict_proba(X_TEST[:1])[0], [[0.125, 0.75, 0.125]])
    silent = make(Brightest, module__tells=False, max_epochs=1).fit(X, Y)
    assert len(silent.predict(X_TEST)) == 12
    with pytest.raises(PoolCapabilityError, match="predict_proba of DeepDetector needs a detector of the Faster R-CNN"):
        silent.predict_proba(X_TEST)
    with pytest.raises(ValueError, match="'score_threshold' parameter of DeepDetector must be None for Brightest"):
        silent.set_params(score_threshold=0.5).predict(X_TEST)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"module": "fasterrcnn"}, "name of a torchvision detector, such as 'fasterrcnn_"),
        ({"module": "maskrcnn_resnet50_fpn"}, "name of a torchvision detector"),
        ({"module": "ssdlite320_mobilenet_v3_large", "weights": "COCO"}, r"or one of \['COCO_V1'\]"),
        ({"weights": "DEFAULT"}, "'weights' parameter of DeepDetector must be None or the path"),
        ({"weights": "no/such/file.pth"}, "which is no file"),
        ({"weights_backbone": "DEFAULT"}, "'weights_backbone' parameter of DeepDetector must be None, unless"),
        (
            {"module": "ssdlite320_mobilenet_v3_large", "weights": "DEFAULT", "weights_backbone": "DEFAULT"},
            "must be None where 'weights'",
        ),
        ({"classes": []}, "'classes' parameter of DeepDetector"),
        ({"classes": ["disc"]}, "y must hold labels that DeepDetector knows.*Got 'square'"),
        ({"score_threshold": 1.5}, r"must be a float in the range \[0.0, 1.0\] or None. Got 1.5"),
        ({"nms_threshold": -1}, r"'nms_threshold' parameter of DeepDetector must be a float in the range"),
        (
            {"detections_per_image": 0},
            r"'detections_per_image' parameter of DeepDetector must be an int in the range \[1, inf\) or None",
        ),
        (
            {"detections_per_image": 1.5},
            r"'detections_per_image' parameter of DeepDetector must be an int in the range \[1, inf\) or None",
        ),
        ({"score_threshold": "0.5"}, r"or None. Got '0.5' instead"),
        ({"module": "ssdlite320_mobilenet_v3_large", "weights_backbone": "nix"}, "'weights_backbone' parameter"),
        ({"invalid_boxes": "drop"}, "'invalid_boxes' parameter of DeepDetector must be a str among"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        make(**params).fit(X[:4], Y[:4])


GREY = np.zeros((64, 64))


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([], ValueError, "at least one image"),
        ("image.png", TypeError, "X must be images"),
        ([X[0], GREY], ValueError, r"X\[1\] must be an image of shape \(3, height, width\).*It is grey: np.repeat"),
        ([X[0], GREY[None]], ValueError, r"It is grey: np.repeat\(image, 3, axis=0\)"),
        ([X[0], GREY[:, :, None]], ValueError, "It is grey"),
        ([X[0], X[1].transpose(1, 2, 0)], ValueError, r"Move the channels first: image.transpose\(2, 0, 1\)"),
        ([X[0], np.zeros((3, 0, 4))], ValueError, r"Got shape \(3, 0, 4\)"),
        ([X[0], np.full((3, 64, 64), np.inf)], ValueError, r"X\[1\] contains NaN or infinity"),
        (X[0], ValueError, r"Got one image of shape \(3, \d+, \d+\): pass \[X\]"),
        ([X[0], "image.png"], TypeError, r"X\[1\] must be an image.*Got str"),
    ],
)
def test_images(images, error, message, trained):
    with pytest.raises(error, match=message):
        make().fit(images, Y[: len(images)] if isinstance(images, list) else Y)
    with pytest.raises(error, match=message):
        trained.predict(images)


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        (None, TypeError, "y must be a list of dicts with 'boxes' and 'labels'. Got None"),
        (Y[0], TypeError, "Got dict"),
        (Y[:1], ValueError, "X and y must have the same length. Got 2 and 1"),
        ([Y[0], {"boxes": []}], TypeError, r"y\[1\] must be a dict with .*Got the keys \['boxes'\]"),
        ([Y[0], [1, 2]], TypeError, r"y\[1\] must be a dict.*Got list"),
        ([Y[0], {"boxes": [[1, 2, 3]], "labels": ["disc"]}], ValueError, r"shape \(n, 4\). Got \(1, 3\)"),
        ([Y[0], {"boxes": [[1, 2, 3, 4]], "labels": []}], ValueError, r"one label per box, 1. Got .* \(0,\)"),
        ([Y[0], {"boxes": [[1, 2, 3, np.nan]], "labels": ["disc"]}], ValueError, r"boxes of y\[1\] contain NaN"),
        ([Y[0], {"boxes": [["a", 2, 3, 4]], "labels": ["disc"]}], ValueError, "must be numbers"),
        ([Y[0], {"boxes": [[1, 2, 3, 4]], "labels": [5]}], ValueError, "Labels of y must be of one type"),
        ([Y[0], {"boxes": [[1, 2, 3, 4]], "labels": [None]}], ValueError, "none may be missing"),
        ([{"boxes": [[1, 2, 3, 4]], "labels": [np.nan]}] * 2, ValueError, "none may be missing. Got missing ones"),
        ([{"boxes": [[0.1, 0.2, 0.3, 0.9]], "labels": ["disc"]}] * 2, ValueError, "Got fractions of it, up to 0.9"),
        (
            [{"boxes": BoundingBoxes([[1, 2, 3, 4]], format="XYWH", canvas_size=(64, 64)), "labels": ["disc"]}] * 2,
            ValueError,
            r"boxes of y\[0\] must be \(x1, y1, x2, y2\), in torch's words XYXY. Got XYWH",
        ),
    ],
)
def test_targets(targets, error, message):
    with pytest.raises(error, match=message):
        make().fit(X[:2], targets)


def test_a_failing_fit_leaves_the_detector_as_it_was(trained):
    detector = pickle.loads(pickle.dumps(trained))
    before = detector.predict(X_TEST)
    with pytest.raises(ValueError, match="same length"):
        detector.fit(X, Y[:3])
    detector.set_params(lr=1e9)
    with pytest.raises(TrainingDivergedError, match="lower lr, which is 1000000000"):
        detector.fit(X, Y)
    assert same(detector.predict(X_TEST), before) and len(detector.history) == 20


@pytest.mark.parametrize("further", ["fit", "partial_fit"])
def test_failing_further_training_leaves_the_detector_as_it_was(further):
    detector = make(warm_start=further == "fit", max_epochs=2).fit(X, Y)
    before, n_epochs = detector.detect(X_TEST), len(detector.history)
    for bad in ({"lr": 1e9}, {"lr": 0.01, "callbacks": None}):
        detector.set_params(**bad)
        data = (X, Y) if bad["lr"] > 1 else (Pairs([*X[:8], np.full((3, 64, 64), np.nan)], Y[:9]),)
        with pytest.raises((TrainingDivergedError, ValueError)):
            getattr(detector, further)(*data)
        assert same(detector.detect(X_TEST), before) and len(detector.history) == n_epochs
    # The optimizer's parameters are the module's again.
    getattr(detector, further)(X, Y)
    assert not same(detector.detect(X_TEST), before) and len(detector.history) == n_epochs + 2


class Flipped(Pairs):
    """From the second reading on, images are mirrored, and their boxes with them."""

    def __init__(self, images, targets):
        super().__init__(images, targets)
        self.n_read = 0

    def __getitem__(self, i):
        self.n_read += 1
        image, target = self.images[i], self.targets[i]
        if self.n_read <= len(self):
            return image, target
        boxes = target["boxes"].copy()
        boxes[:, [0, 2]] = image.shape[2] - boxes[:, [2, 0]]
        return np.ascontiguousarray(image[:, :, ::-1]), {**target, "boxes": boxes}


def test_a_dataset_may_augment_images_and_boxes_together():
    mirrored = Flipped(X, Y)
    mirrored.n_read = len(X)
    images, targets = zip(*[mirrored[i] for i in range(len(X))])
    expected = make(max_epochs=2).fit(list(images), list(targets)).detect(X_TEST)
    assert same(make(max_epochs=2).fit(Flipped(X, Y)).detect(X_TEST), expected)


def test_validation_on_data_of_its_own():
    from skorch.helper import predefined_split

    detector = make(max_epochs=2, train_split=predefined_split(Pairs(X_TEST, Y_TEST))).fit(X, Y)
    assert np.isfinite(detector.history[:, "valid_loss"]).all()


def test_changed_parameters_of_the_module_keep_the_classes():
    detector = make("ssdlite320_mobilenet_v3_large", max_epochs=0).fit(X[:2], Y[:2])
    detector.set_params(module__topk_candidates=50)
    assert detector.classes_.tolist() == ["disc", "square"] and detector.n_outputs_ == 3
    assert detector.module_.topk_candidates == 50


def test_a_file_of_another_width_is_an_error_where_nobody_asks_for_one(tmp_path):
    torch.save(make(max_epochs=0).fit(X, Y).module_.state_dict(), tmp_path / "shapes.pth")
    with pytest.raises(ValueError, match="must hold the weights of SSD"):
        make(tiny_ssd, module__num_classes=6, weights=tmp_path / "shapes.pth").initialize()


def test_containers():
    import pandas as pd

    objects, targets = np.empty(len(X), dtype=object), np.empty(len(Y), dtype=object)
    objects[:], targets[:] = X, Y
    expected = make().fit(X, Y).detect(X_TEST)
    assert same(make().fit(objects, targets).detect(X_TEST), expected)
    assert same(make().fit(tuple(X), tuple(Y)).detect(X_TEST), expected)
    series = pd.Series(list(objects), index=range(len(X))[::-1])
    assert same(make().fit(series, Y).detect(X_TEST), expected)
    learner = ActiveLearner(make(), DetectionEntropy(random_state=0), X_training=objects[:6], y_training=targets[:6])
    idx, images = learner.query(objects[6:], n_instances=2)
    learner.teach(images, targets[6:][idx])
    assert len(learner.X_training) == 8
    mixed = [{**one, "labels": one["labels"].astype(object)} if i % 2 else one for i, one in enumerate(Y)]
    assert same(make().fit(X, mixed).detect(X_TEST), expected)


def test_a_learner_over_arrays_takes_pools_of_other_sizes():
    images = np.stack([image[:, :64, :64] for image in X])
    learner = ActiveLearner(make(), DetectionEntropy(random_state=0), X_training=images[:6], y_training=Y[:6])
    assert len(learner.query(images[6:, :, :, :48], n_instances=2)[0]) == 2
    _, chosen = learner.query([*X[6:12], images[0, :, :48]], n_instances=7)
    with pytest.raises(ValueError, match="begin with a list of them instead of an array"):
        learner.teach(chosen, Y[:7])
    assert len(learner.X_training) == 6


def test_boxes_outside_their_image():
    targets = [*Y[:3], {**Y[3], "boxes": Y[3]["boxes"] + 1000}, {**Y[4], "boxes": Y[4]["boxes"] - 1000}, *Y[5:]]
    n = len(Y[3]["boxes"]) + len(Y[4]["boxes"])
    with pytest.warns(UserWarning, match=rf"{n} of \d+ boxes have no area in the image and are left out"):
        make(max_epochs=0).fit(X, targets)


def corners(y, change):
    return [
        {**one, "boxes": change(np.asarray(one["boxes"], dtype=float).reshape(-1, 4), i)} for i, one in enumerate(y)
    ]


def of_size(boxes, i):
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])


def of_centre(boxes, i):
    return np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])


def of_image(boxes, i):
    return boxes / (np.array(X[i].shape)[[2, 1, 2, 1]])


OTHER_FORMS = {
    "sizes": (of_size, r"in pixels .* they look like \(x, y, width, height\)\.$"),
    "centres": (of_centre, r"they look like \(centre x, centre y, width, height\)\.$"),
    "fractions": (of_image, r"must be in pixels of the image\. Got fractions of it, up to [01]\.?\d*, in y\[0\]"),
    "fractions of centres": (lambda boxes, i: of_centre(of_image(boxes, i), i), "must be in pixels .*Got fractions"),
    "fractions in one image": (lambda boxes, i: of_image(boxes, i) if i == 3 else boxes, r"fractions .* in y\[3\]"),
    "another scale": (
        lambda boxes, i: boxes * 4,
        r"lie in their images, .*\[\d+\], whose image is \d\d x \d\d, and \d+ of",
    ),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
@pytest.mark.parametrize(
    "kind", [np.asarray, torch.tensor, lambda boxes: boxes.tolist()], ids=["array", "tensor", "list"]
)
def test_boxes_of_another_form(form, kind):
    change, message = OTHER_FORMS[form]
    targets = corners(Y, lambda boxes, i: kind(change(boxes, i)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for invalid_boxes in ("skip", "error"):
            with pytest.raises(ValueError, match=message):
                make(invalid_boxes=invalid_boxes).fit(X, targets)
        if form != "another scale":
            with pytest.raises(ValueError, match=r"pixels"):
                make().fit(Pairs(X, targets))


def test_boxes_of_another_form_in_further_training_and_teaching(trained):
    detector = pickle.loads(pickle.dumps(trained))
    before = detector.predict(X_TEST)
    with pytest.raises(ValueError, match="Got fractions of it"):
        detector.partial_fit(X[:4], corners(Y[:4], of_image))
    with pytest.raises(ValueError, match="Got fractions of it"):
        detector.score(X[:4], corners(Y[:4], of_image))
    assert same(detector.predict(X_TEST), before)
    learner = ActiveLearner(make(), DetectionEntropy(random_state=0), X_training=X[:6], y_training=Y[:6])
    for change in (of_image, of_centre):
        with pytest.raises(ValueError, match=r"in y\[\d+\]"):
            learner.teach(X[6:], corners(Y[6:], change))
    assert len(learner.X_training) == len(learner.y_training) == 6


def test_boxes_that_are_no_other_form():
    """Padding, slivers beside others, an image without objects, what reaches a little beyond its image."""
    targets = [{**one, "boxes": one["boxes"].astype(float)} for one in Y[:8]]
    targets[0] = {"boxes": [], "labels": []}
    targets[1] = {"boxes": [*targets[1]["boxes"], [0, 0, 0.5, 0.5]], "labels": [*targets[1]["labels"], "disc"]}
    targets[2] = {"boxes": [[-3, -3, X[2].shape[2] + 3, X[2].shape[1] + 3]], "labels": ["disc"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(max_epochs=0).fit(X[:8], targets)
    targets[3] = {"boxes": [[0, 0, 0, 0]], "labels": ["disc"]}
    with pytest.warns(UserWarning, match=r"1 of \d+ boxes have no area"):
        make(max_epochs=0).fit(X[:8], targets)


def test_an_augmentation_may_leave_slivers():
    class Cropped(Flipped):
        def __getitem__(self, i):
            image, target = super().__getitem__(i)
            if self.n_read > len(self):
                target = {**target, "boxes": np.full_like(target["boxes"], 0.5, dtype=float) * [0, 0, 1, 1]}
            return image, target

    make(max_epochs=1).fit(Cropped(X[:4], Y[:4]))


def test_score_checks_before_it_predicts(trained, monkeypatch):
    monkeypatch.setattr(DeepDetector, "predict", lambda self, X: pytest.fail("predicted"))
    with pytest.raises(ValueError, match="X and y must have the same length. Got 12 and 3"):
        trained.score(X_TEST, Y_TEST[:3])


def test_score_warns_once_of_boxes_without_area(trained):
    truth = [{"boxes": [*one["boxes"], [5, 5, 5, 9]], "labels": [*one["labels"], "disc"]} for one in Y_TEST]
    with pytest.warns(UserWarning) as record:
        assert trained.score(X_TEST, truth) == trained.score(X_TEST, Y_TEST)
    assert len([one for one in record if "12 of" in str(one.message)]) == 1


def test_detectors_without_distributions_say_so_before_the_work(trained, monkeypatch):
    """RetinaNet and FCOS have torchvision's post-processing, but are of neither family."""

    class Sigmoid(Undecided):
        def postprocess_detections(self):
            raise NotImplementedError

    detector = make(Sigmoid, max_epochs=1).fit(X, Y)
    assert len(detector.predict(X_TEST)) == 12
    monkeypatch.setattr(DeepDetector, "infer", lambda self, x: pytest.fail("ran"))
    with pytest.raises(PoolCapabilityError, match="Sigmoid is neither"):
        detector.predict_proba(X_TEST)


def test_options_of_the_loader_for_validation_do_not_change_answers(trained):
    detector = pickle.loads(pickle.dumps(trained))
    vars(detector).update(iterator_valid__drop_last=True, iterator_valid__shuffle=True)
    assert same(detector.detect(Pairs(X_TEST, Y_TEST)), trained.detect(X_TEST))


def test_images_in_the_wrong_range():
    with pytest.warns(UserWarning, match=r"X holds values of up to 2\d\d. Images must be in \[0, 1\], or 8-bit"):
        make(max_epochs=0).fit([image * 255 for image in X], Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(max_epochs=0).fit(X, Y)


# ---------------------------------------------------------------- real data


class Replay(DeepDetector):
    """A detector whose detections are given."""

    def predict(self, X):
        return X


@needs_voc
def test_score_on_the_shipped_detections_of_voc():
    truth, found, annotated = [], [], []
    for path in sorted((VOC / "VOCdevkit" / "VOC2012" / "Annotations").glob("*.xml")):
        objects = list(ElementTree.parse(path).getroot().iter("object"))
        corners = ("xmin", "ymin", "xmax", "ymax")
        boxes = [[float(one.findtext(f"bndbox/{corner}")) for corner in corners] for one in objects]
        difficult = [int(one.findtext("difficult")) for one in objects]
        truth.append({"boxes": boxes, "labels": [one.findtext("name") for one in objects], "difficult": difficult})
        detections = VOC / "extra" / "dets" / "abs_xywh" / f"{path.stem}.txt"
        lines = detections.read_text().splitlines() if detections.is_file() else []
        annotated.append(np.array([line.split() for line in lines], dtype=float).reshape(-1, 6))
    # The classes of the detections are numbers, in the order of their names.
    names = np.unique([label for target in truth for label in target["labels"]])
    for rows in annotated:
        boxes = rows[:, 2:].copy()
        boxes[:, 2:] += boxes[:, :2]
        found.append({"boxes": boxes, "labels": names[rows[:, 0].astype(int)], "scores": rows[:, 1]})
    assert len(truth) == 100 and sum(len(one["boxes"]) for one in truth) == 273
    plain = [{key: one[key] for key in ("boxes", "labels")} for one in truth]
    assert Replay("ssd300_vgg16").score(found, plain) == pytest.approx(0.611, abs=0.005)
    assert sum(sum(one["difficult"]) for one in truth) == 38
    assert mean_average_precision(truth, found) > mean_average_precision(plain, found)


def test_a_pool_of_files_of_several_sizes(trained, tmp_path):
    paths = []
    for i, image in enumerate(X_TEST):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray((image * 255).round().astype(np.uint8).transpose(1, 2, 0)).save(paths[-1])
    pool = ImageFiles(paths)
    read = [sample.numpy() for sample in pool]
    assert len({image.shape for image in read}) > 1
    assert same(trained.detect(pool), trained.detect(read))
    strategy = DetectionEntropy(random_state=0)
    assert strategy.select(trained, pool, 3)[0].tolist() == strategy.select(trained, read, 3)[0].tolist()
