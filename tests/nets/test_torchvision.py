"""Networks by name, with heads that fit, and weights from files."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from sklearn.base import clone
from torch import nn

from skal.nets import DeepClassifier
from skal.nets._backbone import _BUILT, build_module
from skal.nets._features import STORE, fingerprint

DATA = Path(os.environ.get("SKAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(12, 3, 32, 32)).astype(np.float32)
NAMES = np.array(["a", "b", "c"])[np.arange(12) % 3]


def make(module, **kwargs):
    return DeepClassifier(module, **{"max_epochs": 1, "random_state": 0, "batch_size": 6, **kwargs})


@pytest.fixture(autouse=True)
def empty_store():
    STORE.clear()
    yield
    STORE.clear()


def test_resnet18():
    net = make("resnet18").fit(IMAGES, NAMES)
    assert net.module_.fc.out_features == 3 and net.predict_proba(IMAGES).shape == (12, 3)
    assert net.embed(IMAGES).shape == (12, 512) and net.input_gradient(IMAGES, NAMES).shape == IMAGES.shape
    twin = make("resnet18").fit(IMAGES, NAMES)
    np.testing.assert_array_equal(net.predict_proba(IMAGES), twin.predict_proba(IMAGES))


@pytest.mark.parametrize(
    ("name", "size", "d"),
    [
        ("squeezenet1_1", 32, 512),
        ("mobilenet_v3_small", 32, 1024),
        ("shufflenet_v2_x0_5", 32, 1024),
        ("mnasnet0_5", 32, 1280),
        ("efficientnet_b0", 32, 1280),
        ("densenet121", 32, 1024),
        ("regnet_y_400mf", 32, 440),
        ("googlenet", 32, 1024),
    ],
)
def test_heads(name, size, d):
    images = IMAGES[:4, :, :size, :size]
    net = make(name, max_epochs=0, freeze="backbone").fit(images, NAMES[:4])
    assert net.embed(images).shape == (4, d) and net.predict_proba(images).shape == (4, 3)


@pytest.mark.parametrize(
    "name", ["swin_t", "vit_b_32", "convnext_tiny", "vgg11", "alexnet", "inception_v3", "maxvit_t"]
)
def test_large_heads_by_shape(name):
    """Without memory or time for their weights: only what is replaced, and that nothing else ends the network."""
    with torch.device("meta"):
        module = build_module(name, weights=None, n_outputs=7, head=None, kwargs={})
    linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
    assert linear[-1].out_features == 7
    size = 299 if name == "inception_v3" else 224
    module.eval()
    assert module(torch.zeros(1, 3, size, size, device="meta")).shape == (1, 7)


def test_googlenet_trains():
    assert make("googlenet", batch_size=4).fit(IMAGES[:4], NAMES[:4]).predict(IMAGES[:2]).shape == (2,)


def test_unknown_name():
    with pytest.raises(ValueError, match="'resnet18'.* Got 'resnet81' instead"):
        make("resnet81").fit(IMAGES, NAMES)
    with pytest.raises(ValueError, match="'module' parameter"):
        make("fasterrcnn_resnet50_fpn").fit(IMAGES, NAMES)


@pytest.mark.parametrize(
    ("images", "fix"),
    [
        (IMAGES[:, :1], r"np.repeat\(X, 3, axis=1\)"),
        (IMAGES[:, 0], r"np.repeat\(X\[:, None\], 3, axis=1\)"),
        (IMAGES.transpose(0, 2, 3, 1), r"X.transpose\(0, 3, 1, 2\)"),
        (IMAGES.reshape(12, -1), "samples of shape"),
    ],
)
def test_images_of_another_kind(images, fix):
    with pytest.raises(ValueError, match=fix):
        make("squeezenet1_1").fit(images, NAMES)


class TestWeights:
    @pytest.fixture
    def model(self):
        torch.manual_seed(5)
        return torchvision.models.squeezenet1_1(weights=None)

    @pytest.mark.parametrize("wrap", ["plain", "state_dict", "module.", "half"])
    def test_from_a_file(self, model, wrap, tmp_path):
        state = model.state_dict()
        if wrap == "state_dict":
            state = {"state_dict": state, "epoch": 3}
        if wrap == "module.":
            state = {f"module.{key}": value for key, value in state.items()}
        if wrap == "half":
            state = {key: value.half() for key, value in state.items()}
        torch.save(state, tmp_path / "weights.pth")
        net = make("squeezenet1_1", weights=tmp_path / "weights.pth", max_epochs=0).fit(IMAGES, NAMES)
        expected = model.features(torch.tensor(IMAGES)).mean((2, 3)).detach()
        np.testing.assert_allclose(net.embed(IMAGES), expected, rtol=1e-4, atol=0.02 if wrap == "half" else 1e-4)
        assert net.module_.features[0].weight.dtype == torch.float32

    def test_a_head_that_fits_is_kept(self, tmp_path):
        first = make("squeezenet1_1").fit(IMAGES, NAMES)
        torch.save(first.module_.state_dict(), tmp_path / "weights.pth")
        second = make("squeezenet1_1", weights=str(tmp_path / "weights.pth"), max_epochs=0).fit(IMAGES, NAMES)
        np.testing.assert_array_equal(first.predict_proba(IMAGES), second.predict_proba(IMAGES))

    def test_wrong_files(self, model, tmp_path):
        torch.save(torchvision.models.shufflenet_v2_x0_5(weights=None).state_dict(), tmp_path / "other.pth")
        with pytest.raises(ValueError, match="must hold the weights of SqueezeNet. Got no features"):
            make("squeezenet1_1", weights=tmp_path / "other.pth").fit(IMAGES, NAMES)
        torch.save([1, 2], tmp_path / "list.pth")
        with pytest.raises(ValueError, match="must hold a state dict"):
            make("squeezenet1_1", weights=tmp_path / "list.pth").fit(IMAGES, NAMES)
        with pytest.raises(ValueError, match="is no file"):
            make("squeezenet1_1", weights="absent.pth").fit(IMAGES, NAMES)

    def test_unknown_name(self):
        with pytest.raises(ValueError, match=r"one of \['IMAGENET1K_V1'\] for squeezenet1_1. Got 'BEST'"):
            make("squeezenet1_1", weights="BEST").fit(IMAGES, NAMES)

    @pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1", torchvision.models.SqueezeNet1_1_Weights.DEFAULT])
    def test_names_load_through_torchvision(self, model, weights, monkeypatch):
        """torchvision's own loading, with the download replaced."""
        urls = []

        def download(url, **kwargs):
            urls.append(url)
            return model.state_dict()

        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
        net = make("squeezenet1_1", weights=weights, max_epochs=0).fit(IMAGES, NAMES)
        assert urls == [torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url]
        torch.testing.assert_close(net.module_.features[0].weight, model.features[0].weight)

    def test_own_module(self, tmp_path):
        class Small(nn.Module):
            def __init__(self, n_classes):
                super().__init__()
                self.body, self.head = nn.Linear(4, 5), nn.Linear(5, n_classes)

            def forward(self, x):
                return self.head(self.body(x))

        source = Small(10)
        torch.save(source.state_dict(), tmp_path / "small.pt")
        net = make(Small, weights=tmp_path / "small.pt", max_epochs=0).fit(IMAGES[:, 0, 0, :4], NAMES)
        torch.testing.assert_close(net.module_.body.weight, source.body.weight)
        assert net.module_.head.out_features == 3


SQUEEZENET = DATA / "weights" / "squeezenet1_0_imagenet" / "squeezenet1_0_deepcompressed.pth"
GROCERIES = DATA / "GroceryStore-128" / "dataset"


@pytest.mark.skipif(not SQUEEZENET.is_file() or not GROCERIES.is_dir(), reason="the real data (SKAL_DATA) is absent")
def test_real_frozen_backbone():
    """ImageNet features tell a few products apart that 16 labelled photos show."""
    from PIL import Image

    paths, labels = [], []
    for line in (GROCERIES / "train.txt").read_text().splitlines():
        path, fine, _ = (part.strip() for part in line.split(","))
        if int(fine) in (0, 20, 40, 60) and labels.count(fine) < 12:
            paths.append(path)
            labels.append(fine)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = [np.asarray(Image.open(GROCERIES / path).convert("RGB").resize((128, 128))) for path in paths]
    X = ((np.array(pixels) / 255 - mean) / std).transpose(0, 3, 1, 2)
    y = np.array(labels)
    train = np.array([labels[:i].count(label) < 4 for i, label in enumerate(labels)])
    net = make("squeezenet1_0", weights=SQUEEZENET, freeze="backbone", max_epochs=30, lr=0.02)
    net.set_params(optimizer__momentum=0.9).fit(X[train], y[train])
    assert net.score(X[~train], y[~train]) > 0.6
    assert net.embed(X).shape == (len(X), 512)
    expected = net.module_.eval().features(torch.tensor(X[:3], dtype=torch.float32)).mean((2, 3)).detach()
    np.testing.assert_allclose(net.embed(X[:3]), expected, rtol=1e-3, atol=1e-3)
    # A later round: every photo is known, so a fresh copy does not run the backbone at all.
    again = clone(net)
    sizes = []
    with torch.nn.modules.module.register_module_forward_pre_hook(
        lambda part, args: sizes.append(len(args[0])) if isinstance(part, torchvision.models.SqueezeNet) else None
    ):
        again.fit(X, y).predict(X)
    assert sizes == [] and np.array_equal(again.embed(X), net.embed(X))


def built_again(net):
    return clone(net).set_params(max_epochs=0, classes=["a", "b", "c"]).initialize().module_


class TestBuiltOnce:
    """A frozen backbone by name is made once; what it is copied to is what it would be if it were made anew."""

    @pytest.fixture(autouse=True)
    def nothing_built(self):
        _BUILT.clear()
        yield
        _BUILT.clear()

    @pytest.fixture
    def n_built(self, monkeypatch):
        made, make_model = [], torchvision.models.get_model

        def get_model(name, **kwargs):
            made.append(name)
            return make_model(name, **kwargs)

        monkeypatch.setattr(torchvision.models, "get_model", get_model)
        return lambda: len(made)

    def test_rounds_and_clones(self, n_built):
        net = make("squeezenet1_1", freeze="backbone").fit(IMAGES, NAMES)
        first = {key: value.clone() for key, value in net.module_.state_dict().items()}
        proba = net.predict_proba(IMAGES)
        twin = clone(net).fit(IMAGES, NAMES)
        net.fit(IMAGES, NAMES)
        assert n_built() == 1
        for other in (net, twin):
            assert all(torch.equal(value, first[key]) for key, value in other.module_.state_dict().items())
            np.testing.assert_array_equal(other.predict_proba(IMAGES), proba)
        with torch.no_grad():
            net.module_.features[0].weight.zero_()
        np.testing.assert_array_equal(clone(net).fit(IMAGES, NAMES).predict_proba(IMAGES), proba)
        _BUILT.clear()
        np.testing.assert_array_equal(clone(net).fit(IMAGES, NAMES).predict_proba(IMAGES), proba)
        assert n_built() == 2

    def test_copies_are_hashed_once_unless_they_change(self, monkeypatch):
        made, blake2b = [], hashlib.blake2b

        def hashed(**settings):
            made.append(settings)
            return blake2b(**settings)

        net = make("squeezenet1_1", freeze="backbone").fit(IMAGES, NAMES)
        module, name = net.module_, net.head_name_
        digest = fingerprint(module, name)
        twin = clone(net).fit(IMAGES, NAMES).module_
        monkeypatch.setattr("skal.nets._features.hashlib.blake2b", hashed)
        third = built_again(net)
        assert fingerprint(third, name) == fingerprint(twin, name) == digest
        assert len(made) == 2, "each time that of the structure, and none of the weights"
        changed = built_again(net)
        changed.features[0].weight.data[0, 0, 0, 0] += 1
        assert fingerprint(changed, name) != digest and len(made) == 4

    @pytest.mark.parametrize(
        "other", [{"random_state": 1}, {"module__dropout": 0.1}, {"classes": ["a", "b", "c", "d"]}, {"freeze": None}]
    )
    def test_anything_else_is_made_anew(self, n_built, other):
        make("squeezenet1_1", freeze="backbone", max_epochs=0).fit(IMAGES, NAMES)
        net = make("squeezenet1_1", **{"freeze": "backbone", "max_epochs": 0, **other}).fit(IMAGES, NAMES)
        assert n_built() == 2
        _BUILT.clear()
        expected = clone(net).fit(IMAGES, NAMES).module_.state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in net.module_.state_dict().items())

    @pytest.mark.parametrize("times", [(0, 1), (1, 1)])
    def test_a_file_that_has_changed_is_read_again(self, n_built, tmp_path, times):
        """Also where another of its size and time, as archives and synchronisers keep it, takes its place."""
        path = tmp_path / "weights.pth"
        state = torchvision.models.squeezenet1_1(weights=None).state_dict()
        for time, number in zip(times, (0.1, 0.2)):
            torch.save({key: torch.full_like(value, number) for key, value in state.items()}, path)
            os.utime(path, (time, time))
            net = make("squeezenet1_1", freeze="backbone", weights=path, max_epochs=0).fit(IMAGES, NAMES)
            assert float(net.module_.features[0].weight.max()) == pytest.approx(number)
        assert n_built() == 2

    def test_large_ones_are_not_kept(self, n_built, monkeypatch):
        monkeypatch.setattr("skal.nets._backbone._LARGEST", 1000)
        for _ in range(2):
            make("squeezenet1_1", freeze="backbone", max_epochs=0).fit(IMAGES, NAMES)
        assert n_built() == 2 and not _BUILT
