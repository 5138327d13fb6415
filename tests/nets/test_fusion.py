"""FusionDescriptor: the paper's vectors, a slow recomputation, inputs, errors, real weights."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from skal.nets import FusionDescriptor
from skal.nets.fusion import _fusion as fusion_file

DATA = Path(os.environ.get("SKAL_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
WEIGHTS = DATA / "weights" / "squeezenet1_0_imagenet" / "squeezenet1_0_deepcompressed.pth"
F_MAPS = [[[1, 3], [1, 3]], [[0, 0], [0, 4]], [[2, 2], [2, 2]]]
G_MAPS = [[[0, 8], [0, 8]], [[1, 1], [1, 1]], [[5, 5], [5, 6]]]


class Net(nn.Module):
    """Maps of 8 x 8, 4 x 4 and, after an in-place ReLU, 4 x 4 again; then a head that must not run."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(seed)
            self.low = nn.Conv2d(2, 6, 3, padding=1)
            self.down = nn.MaxPool2d(2)
            self.mid = nn.Conv2d(6, 8, 3, padding=1)
            self.relu = nn.ReLU(inplace=True)
            self.head = nn.Linear(8, 3)
        self.unused = nn.Identity()
        self.n_heads = 0

    def forward(self, x):
        x = self.relu(self.mid(self.down(self.low(x))))
        self.n_heads += 1
        return self.head(x.mean(dim=(2, 3)))


def images(n=30, size=8, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 2, size, size)).astype(np.float32)


def make(**params):
    defaults = {"module": Net(), "layers": ("low", "relu"), "top_k": 3, "n_components": 5, "random_state": 0}
    return FusionDescriptor(**{**defaults, **params})


def slow_fused(X, layers, top_k, pool):
    """Everything in float64, image by image."""
    net = Net().double().eval()
    maps = {"low": [], "mid": [], "relu": []}
    for image in torch.from_numpy(X).double():
        with torch.no_grad():
            low = net.low(image[None])
            mid = net.mid(net.down(low))
            relu = torch.relu(mid)
        for name, value in (("low", low), ("mid", mid), ("relu", relu)):
            maps[name].append(value[0].numpy())
    selected, variances = [], []
    for layer in layers:
        v = np.mean([[((x - x.mean()) ** 2).mean() for x in image] for image in maps[layer]], axis=0)
        variances.append(v)
        selected.append(np.argsort(-v, kind="stable")[:top_k])
    size = min(maps[layer][0].shape[1] for layer in layers)
    rows = []
    for i in range(len(X)):
        row = []
        for layer, channels in zip(layers, selected):
            for channel in channels:
                x = maps[layer][i][channel]
                r = len(x) // size
                cells = x.reshape(size, r, size, r).transpose(0, 2, 1, 3).reshape(size, size, -1)
                row.append((cells.mean(axis=2) if pool == "avg" else cells.max(axis=2)).ravel())
        row = np.concatenate(row)
        rows.append(row / np.linalg.norm(row))
    return np.array(rows), variances, selected


def test_channels_and_vector_of_the_paper():
    X = np.array([F_MAPS, G_MAPS], dtype=float)
    one = FusionDescriptor(module=nn.Sequential(nn.Identity()), layers=["0"], top_k=1, n_components=None).fit(X)
    np.testing.assert_allclose(one.channel_variances_[0], [8.5, 1.5, 0.09375])
    assert one.selected_channels_[0].tolist() == [0]
    two = clone(one).set_params(top_k=2).fit(X)
    assert two.selected_channels_[0].tolist() == [0, 1]
    np.testing.assert_allclose(two.transform(X)[0], [1 / 6, 1 / 2, 1 / 6, 1 / 2, 0, 0, 0, 2 / 3], atol=1e-7)
    # Each image alone, where f would take channel 1 and g channel 0.
    np.testing.assert_allclose(clone(one).fit(X[:1]).channel_variances_[0], [1, 3, 0])
    np.testing.assert_allclose(clone(one).fit(X[1:]).channel_variances_[0], [16, 0, 0.1875])


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize("layers", [("low", "relu"), ("mid", "relu"), ("low",), ("relu", "low", "mid")])
def test_equals_the_slow_recomputation(layers, pool):
    X = images(12)
    expected, variances, selected = slow_fused(X, layers, 3, pool)
    descriptor = make(layers=layers, pool=pool, n_components=None, batch_size=7).fit(X)
    np.testing.assert_allclose(descriptor.transform(X), expected, atol=1e-5)
    for i in range(len(layers)):
        np.testing.assert_allclose(descriptor.channel_variances_[i], variances[i], rtol=1e-4)
        np.testing.assert_array_equal(descriptor.selected_channels_[i], selected[i])
    # Components: those of a PCA of the fused vectors, and unit length afterwards.
    D = make(layers=layers, pool=pool).fit_transform(X)
    reduced = PCA(5, svd_solver="full").fit_transform(expected)
    reduced /= np.linalg.norm(reduced, axis=1)[:, None]
    np.testing.assert_allclose(D @ D.T, reduced @ reduced.T, atol=1e-3)
    assert D.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(D, axis=1), 1, atol=1e-5)


def test_a_subset_for_the_components_is_seeded(monkeypatch):
    X = images(60)
    monkeypatch.setattr(fusion_file, "_PCA_BYTES", 20 * 4 * 96)
    seen = []
    fit = PCA.fit
    monkeypatch.setattr(PCA, "fit", lambda self, rows, y=None: (seen.append(rows.copy()), fit(self, rows))[1])
    first = make().fit(X).transform(X)
    np.testing.assert_array_equal(make().fit(X).transform(X), first)
    assert [len(rows) for rows in seen] == [20, 20]
    np.testing.assert_array_equal(seen[0], seen[1])
    make(random_state=1).fit(X)
    assert not np.array_equal(seen[2], seen[0])
    # Never fewer images than components.
    assert make(n_components=30).fit(X).transform(X).shape == (60, 30)
    assert len(seen[3]) == 30


def test_runs_no_further_than_needed_and_changes_nothing():
    net = Net().train()
    before = pickle.dumps(net.state_dict())
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    descriptor = make(module=net, random_state=None).fit(images())
    assert descriptor.module_ is not net
    assert descriptor.module_.n_heads == net.n_heads == 0
    assert not descriptor.module_.training
    assert net.training
    assert pickle.dumps(net.state_dict()) == before
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert descriptor.get_feature_names_out()[0] == "fusiondescriptor0"


class Pictures(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return torch.from_numpy(self.X[i]), i % 3


def test_images_of_any_kind():
    X = images()
    expected = make().fit_transform(X)
    for other in (
        torch.from_numpy(X),
        X.astype(np.float64),
        list(X),
        Pictures(X),
        TensorDataset(torch.from_numpy(X)),
    ):
        np.testing.assert_allclose(make().fit(other).transform(other), expected, atol=1e-4)
    np.testing.assert_allclose(make(batch_size=1).fit_transform(X), expected, atol=1e-4)
    for module in (Net, Net()):
        np.testing.assert_allclose(make(module=module).fit_transform(X), expected, atol=1e-4)
    twin = pickle.loads(pickle.dumps(make().fit(X)))
    np.testing.assert_allclose(twin.transform(X[:4]), expected[:4], atol=1e-4)
    assert make(layers="relu").fit_transform(X).shape == (30, 5)


def test_other_sizes_that_give_multiples():
    X = images(size=16)
    assert make().fit(X).map_size_ == (8, 8)
    # Wider than high: each direction has its own ratio.
    wide = np.random.default_rng(0).standard_normal((20, 2, 8, 16)).astype(np.float32)
    assert make().fit(wide).map_size_ == (4, 8)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"layers": ("low", "lost")}, r"submodules of Net. Got 'lost'.* Its submodules are low, down, mid, relu, he"),
        ({"layers": ("low", "relo")}, r"Did you mean 'relu'\?"),
        ({"layers": ()}, r"The 'layers' of FusionDescriptor must be distinct names, one or more. Got \[\]."),
        ({"layers": ("low", "low")}, r"must be distinct names"),
        ({"layers": ("low", "unused")}, r"must run in Net. 'unused' did not."),
        ({"layers": ("low", "head")}, r"maps of shape \(n, channels, h, w\). 'head' of Net outputs \(16, 3\)."),
        ({"top_k": 7}, r"'top_k' of FusionDescriptor must be at most the number of channels, which is 6 in layer"),
        ({"top_k": 0}, r"The 'top_k' parameter of FusionDescriptor must be an int in the range \[1, inf\)"),
        ({"n_components": 31}, r"must be at most the number of images, 30. Got 31 instead."),
        ({"n_components": 29, "top_k": 1, "layers": "relu"}, r"at most the length of a fused vector, 16. Got 29"),
        ({"pool": "sum"}, r"The 'pool' parameter of FusionDescriptor must be a str among"),
        ({"batch_size": 0}, r"The 'batch_size' parameter"),
        ({"module": 3}, r"The 'module' parameter of FusionDescriptor must be"),
        ({"module": "vgg61"}, r"The 'module' parameter of FusionDescriptor must be .* Got 'vgg61'"),
        ({"weights": "IMAGENET1K_V1"}, r"The 'weights' parameter of FusionDescriptor must be None or the path"),
        ({"weights": "lost.pth"}, r"The 'weights' parameter of FusionDescriptor must be .* no file"),
    ],
)
def test_bad_parameters(params, message):
    X = images()
    fitted = make().fit(X)
    expected = fitted.transform(X)
    fitted.set_params(**params)
    with pytest.raises(ValueError, match=message):
        fitted.fit(X)
    # As it was.
    fitted.set_params(**make().get_params())
    np.testing.assert_array_equal(fitted.transform(X), expected)


def test_bad_images():
    X = images()
    with pytest.raises(ValueError, match=r"multiples of the smallest in height and width, 5 x 5. Those of layer 'low'"):
        make().fit(images(size=11))
    with pytest.raises(NotFittedError):
        make().transform(X)
    fitted = make().fit(X)
    with pytest.raises(ValueError, match=r"maps are 4 x 4. Got images whose maps are 16 x 16 and 8 x 8."):
        fitted.transform(images(size=16))
    with pytest.raises(ValueError, match=r"at least one image"):
        fitted.transform(X[:0])
    with pytest.raises(ValueError, match=r"NaN"):
        make().fit(np.where(X > 2, np.nan, X))
    with pytest.raises(ValueError, match=r"Net must accept X. Given a batch of shape \(16, 64\)"):
        make().fit(X[:, :1].reshape(30, -1))
    with pytest.raises(ValueError, match=r"images of shape \(n, 3, height, width\) for SqueezeNet"):
        make(module="squeezenet1_0", weights=None, layers=("features.6", "features.10")).fit(X)
    with pytest.raises(TypeError, match=r"X\[0\] must be an array of numbers. Got dtype <U"):
        make().fit(["a"] * 30)


def test_vgg16_is_the_default():
    """Without weights, which would be downloaded: the paper's layers are of one size, here 4 x 4 for 32 pixels."""
    X = np.random.default_rng(0).random((3, 3, 32, 32)).astype(np.float32)
    descriptor = FusionDescriptor(weights=None, n_components=2, random_state=0).fit(X)
    assert [len(v) for v in descriptor.channel_variances_] == [256, 512]
    assert [len(c) for c in descriptor.selected_channels_] == [25, 25]
    assert descriptor.map_size_ == (4, 4)
    assert descriptor.pca_.n_features_in_ == 50 * 16
    assert FusionDescriptor().weights == "DEFAULT"


def real_pictures(size=128):
    from PIL import Image

    folder = DATA / "ukbench-neardup16"
    files = [*sorted((folder / "mixed_images").glob("*.jpg")), *sorted((folder / "base_images").glob("*.jpg"))]
    files = [file for file in files if "corrupt" not in file.name]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = [np.asarray(Image.open(file).convert("RGB").resize((size, size))) / 255 for file in files]
    X = ((np.array(pixels) - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    return X, np.array([file.name[:12] for file in files])


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no real weights: SKAL_DATA does not hold them")
@pytest.mark.parametrize("layers", [("features.6",), ("features.10",), ("features.12",), ("features.6", "features.10")])
def test_near_duplicates_are_each_others_nearest(layers):
    X, photo = real_pictures()
    descriptor = FusionDescriptor(module="squeezenet1_0", weights=WEIGHTS, layers=layers, n_components=None)
    D = descriptor.fit_transform(X)
    similarity = D @ D.T
    np.fill_diagonal(similarity, -1)
    nearest = photo[similarity.argmax(axis=1)]
    copied = np.isin(photo, ["ukbench00120", "ukbench09268"])
    assert (nearest == photo)[copied].all()


def ragged(n=8, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random((channels, 8 + i % 3, 9)).astype(np.float32) for i in range(n)]


def resized(image, size):
    """Bilinear with antialiasing, by torch; the descriptor of resized images is that of the images."""
    batch = torch.from_numpy(image)[None]
    return torch.nn.functional.interpolate(batch, size, mode="bilinear", antialias=True)[0].numpy()


@pytest.mark.parametrize(("image_size", "size"), [(8, (8, 8)), ((8, 16), (8, 16))])
def test_images_are_brought_to_one_size(image_size, size):
    images = ragged()
    params = {"module": Net(), "layers": ("low", "mid"), "top_k": 2, "n_components": 4, "random_state": 0}
    descriptor = FusionDescriptor(image_size=image_size, **params).fit(images)
    plain = FusionDescriptor(**params).fit(np.stack([resized(image, size) for image in images]))
    assert descriptor.image_size_ == size and plain.image_size_ is None
    expected = plain.transform(np.stack([resized(image, size) for image in images]))
    np.testing.assert_allclose(descriptor.transform(images), expected, atol=1e-5)
    np.testing.assert_allclose(descriptor.transform([torch.from_numpy(image) for image in images]), expected, atol=1e-5)
    np.testing.assert_allclose(descriptor.transform(ImageDataset(images)), expected, atol=1e-5)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(descriptor)).transform(images), expected, atol=1e-5)


class ImageDataset(Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], 0


def test_images_that_differ_in_size_are_brought_to_224():
    images = ragged(3)
    descriptor = FusionDescriptor(module=Net(), layers=("mid",), top_k=2, n_components=None).fit(images)
    assert descriptor.image_size_ == (224, 224) and descriptor.map_size_ == (112, 112)
    same = FusionDescriptor(module=Net(), layers=("mid",), top_k=2, n_components=None).fit([images[0]] * 3)
    assert same.image_size_ is None
    with pytest.raises(ValueError, match="must see images of one size"):
        FusionDescriptor(module=Net(), layers=("mid",), top_k=2, n_components=None).fit(ImageDataset(images))


def test_normalize():
    images = ragged(6, channels=3)
    mean = np.array([0.485, 0.456, 0.406], dtype=np.float32)[:, None, None]
    std = np.array([0.229, 0.224, 0.225], dtype=np.float32)[:, None, None]
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    params = {"module": module, "layers": ("1",), "top_k": 2, "n_components": 3, "image_size": 8, "random_state": 0}
    by_hand = np.stack([(resized(image, (8, 8)) - mean) / std for image in images])
    expected = FusionDescriptor(**params).fit_transform(by_hand)
    np.testing.assert_allclose(FusionDescriptor(normalize=True, **params).fit_transform(images), expected, atol=1e-4)
    as_bytes = [np.round(image * 255).astype(np.uint8) for image in images]
    in_floats = [image.astype(np.float32) / 255 for image in as_bytes]
    descriptor = FusionDescriptor(normalize=True, **params).fit(in_floats)
    np.testing.assert_allclose(descriptor.transform(as_bytes), descriptor.transform(in_floats), atol=1e-5)
    with pytest.raises(ValueError, match=r"shape \(3, height, width\) to be resized or normalized"):
        FusionDescriptor(normalize=True, **{**params, "module": Net(), "layers": ("mid",)}).fit(ragged(6))


@pytest.mark.parametrize("image_size", [0, (8, 0), (8,), (8, 8, 8), (8, 2.5), "8"])
def test_image_size_errors(image_size):
    with pytest.raises(ValueError, match="image_size"):
        FusionDescriptor(module=Net(), layers=("mid",), top_k=2, n_components=None, image_size=image_size).fit(ragged())
