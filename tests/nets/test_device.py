"""What a query does on an accelerator: one forward pass, samples that travel as they are, and no waiting per batch.

The accelerator is a pretended one: torch's "meta" device, whose tensors have no numbers, with the numbers kept beside
them. What reads them on the host without a copy fails there, as on a real one; copies, which a real one waits for, are
counted.
"""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import Dataset

from skal.models import net_outputs
from skal.nets import DeepClassifier
from skal.nets._features import STORE
from skal.pool import view_pool
from skal.strategies import BADGE, CoreSet, MarginSampling

META = torch.device("meta")


class There(torch.Tensor):
    """A tensor of the pretended device, with its numbers."""

    @staticmethod
    def __new__(cls, numbers):
        with torch.inference_mode(False):
            there = torch.Tensor._make_wrapper_subclass(
                cls, numbers.shape, strides=numbers.stride(), dtype=numbers.dtype, device=META
            )
        there.numbers = numbers.detach()
        return there

    def __repr__(self):
        return f"There({self.numbers})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        with Device():
            return function(*args, **(kwargs or {}))


class Device(TorchDispatchMode):
    """Pretends inside that the device is there, and counts what is copied to and from it, by dtype and way."""

    def __init__(self):
        super().__init__()
        self.to_device, self.to_host = Counter(), Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        with self:
            # In inference mode operations come whole that are made of others.
            result = function.decompose(*args, **kwargs)
        return self.run(function, args, kwargs) if result is NotImplemented else result

    def run(self, function, args, kwargs):
        """The operation on the numbers; its result lies where it is asked for, else where what is given lies."""
        name, asked = function.overloadpacket.__name__, kwargs.get("device")
        there = [value for value in tree_leaves((args, kwargs)) if isinstance(value, There)]
        stays = bool(there) if asked is None else torch.device(asked) == META
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        numbers = tree_map(lambda value: value.numbers if isinstance(value, There) else value, (args, kwargs))
        result = function(*numbers[0], **numbers[1])
        if name == "copy_":
            stays = isinstance(args[0], There)
            if stays != isinstance(args[1], There):
                (self.to_device if stays else self.to_host)[args[1].dtype] += 1
            return args[0]
        if there and not isinstance(result, torch.Tensor | tuple | list):
            self.to_host["number"] += 1
        elif there and not stays:
            self.to_host[there[0].dtype] += 1
        elif stays and not there and name == "_to_copy":
            self.to_device[args[0].dtype] += 1
        if function._schema.is_mutable:
            return args[0]
        return tree_map(lambda value: There(value) if stays and isinstance(value, torch.Tensor) else value, result)


class Net(nn.Module):
    def __init__(self, n_classes=3):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(60, 1, 2, 3), dtype=np.uint8)
Y = np.arange(60) % 3


def make(**kwargs):
    settings = {"max_epochs": 1, "lr": 1e-3, "batch_size": 10, "random_state": 0, "device": "cpu", **kwargs}
    return DeepClassifier(Net, **settings).fit(IMAGES[:30], Y[:30])


def moved(net):
    """`net` on the pretended device."""
    for part in net.module_.modules():
        for name, value in part.named_parameters(recurse=False):
            part._parameters[name] = nn.Parameter(There(value.detach()), requires_grad=False)
        for name, value in part.named_buffers(recurse=False):
            part._buffers[name] = There(value)
    net.device = "meta"
    return net


def assert_same(found, expected, atol=0):
    for member in ("proba", "logits", "embeddings"):
        np.testing.assert_allclose(getattr(found, member), getattr(expected, member), rtol=0, atol=atol)


@pytest.mark.parametrize("kind", ["plain", "frozen", "frozen, no cache"])
def test_a_pass_waits_as_often_for_two_batches_as_for_six(kind):
    settings = {} if kind == "plain" else {"freeze": "backbone", "feature_cache": None if "," in kind else "1MB"}
    net, counts = moved(make(**settings)), {}
    with Device():
        net_outputs(net, IMAGES[:1])  # the weights of a frozen backbone are hashed once
    for n in (20, 60):
        STORE.clear()
        rows = []
        handle = net.module_.body.register_forward_hook(lambda part, args, out, rows=rows: rows.append(len(out)))
        with Device() as device:
            found = net_outputs(net, IMAGES[:n])
        handle.remove()
        counts[n] = device.to_host
        assert rows == [10] * (n // 10), "one forward pass"
        assert device.to_device[torch.uint8] == n // 10, "samples travel as they are"
        assert set(device.to_device) == ({torch.uint8} if kind == "plain" else {torch.uint8, torch.float32})
    assert counts[20] == counts[60]
    if kind == "plain":
        # Finite or not, of the first batch and of all; and whether the head is the head.
        assert counts[60] == {torch.float32: 3, "number": 3}
    # On the CPU a frozen backbone runs over blocks of its own size.
    assert_same(found, net_outputs(make(**settings), IMAGES), atol=0 if kind == "plain" else 1e-5)


@pytest.mark.parametrize(
    "strategy", [MarginSampling(), BADGE(random_state=0), CoreSet()], ids=lambda s: type(s).__name__
)
def test_a_query_waits_no_more_for_more_batches(strategy):
    net, here = moved(make()), make()
    counts = {}
    for n in (20, 60):
        with Device() as device:
            idx, scores = strategy.select(net, IMAGES[:n], 4, X_training=IMAGES[:9], y_training=Y[:9])
        counts[n] = device.to_host
        expected = strategy.select(here, IMAGES[:n], 4, X_training=IMAGES[:9], y_training=Y[:9])
        np.testing.assert_array_equal(idx, expected[0])
        np.testing.assert_array_equal(scores, expected[1])
    assert counts[20] == counts[60]


def test_results_come_in_pieces_of_a_stated_size(monkeypatch):
    net, expected = moved(make()), net_outputs(make(), IMAGES)
    monkeypatch.setattr("skal.models._collected.CHUNK", 7 * 8 * 4)  # 7 rows of the embeddings
    with Device() as device:
        found = net_outputs(net, IMAGES)
    assert_same(found, expected)
    assert device.to_host[torch.float32] == 9 + 2 * 4  # of 60 rows, 7 or 18 at once


def test_float64_is_looked_at_before_it_travels():
    net = moved(make())
    with Device() as device:
        net_outputs(net, IMAGES.astype(np.float64))
    assert device.to_device == {torch.float32: 6}
    with pytest.raises(ValueError, match="within the range of the network's float32. Got 1e\\+300"):
        net_outputs(net, np.full((1, 1, 2, 3), 1e300))


class Samples(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i]


@pytest.mark.parametrize("row", [3, 44])
@pytest.mark.parametrize("is_there", [False, True])
def test_nan_of_a_dataset_is_told_wherever_it_is(row, is_there):
    X = torch.from_numpy(IMAGES).float()
    X[row, 0, 0, 0] = torch.nan
    net = moved(make()) if is_there else make()
    with Device(), pytest.raises(ValueError, match="X contains NaN or infinity"):
        net_outputs(net, Samples(X))


def test_outputs_stay_there_and_are_copied_once():
    view, expected = view_pool(moved(make()), IMAGES), view_pool(make(), IMAGES)
    with Device() as device:
        there = {member: view.on_device(member) for member in ("proba", "logits", "embeddings")}
        assert all(isinstance(values, There) for values in there.values())
        assert not device.to_host[torch.float32]
        part = view.part(np.array([41, 3])[::-1])
        assert isinstance(part.on_device("embeddings"), There) and not device.to_host[torch.float32]
        assert_same(view, expected)
        assert view.proba is view.proba and device.to_host[torch.float32] == 3
        np.testing.assert_array_equal(part.embeddings, expected.embeddings[[3, 41]])
    for member, values in there.items():
        assert view.on_device(member) is values
        assert not values.is_inference()


@pytest.mark.parametrize("room", [0, 60 * 8 * 4 + 100])
def test_what_has_no_room_there_is_an_array(room, monkeypatch):
    monkeypatch.setattr("skal.models._base.room_on", lambda device: room)
    monkeypatch.setattr("skal.models._kept.room_on", lambda device: 0)
    view, expected = view_pool(moved(make()), IMAGES), view_pool(make(), IMAGES)
    with Device():
        kinds = {member: type(view.on_device(member)) for member in ("embeddings", "logits", "proba")}
        assert_same(view, expected)
    assert kinds == {"embeddings": There if room else np.ndarray, "logits": np.ndarray, "proba": np.ndarray}


def test_a_large_pool_is_sent_there_once():
    view, expected = view_pool(moved(make()), IMAGES), view_pool(make(), IMAGES)
    view.block_size = 25
    with Device() as device:
        found = view.on_device("embeddings")
        assert isinstance(found, There) and view.on_device("embeddings") is found
        assert device.to_device[torch.float32] == 1
        np.testing.assert_array_equal(found.numbers, view.embeddings)
    np.testing.assert_allclose(view.embeddings, expected.embeddings, atol=1e-5)
    assert isinstance(view.block(slice(0, 25), IMAGES[:25]).embeddings, np.ndarray)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("settings", [{}, {"freeze": "backbone"}, {"channels_last": True}], ids=str)
def test_cuda(settings):
    net, here = make(**settings).set_params(device="cuda"), make(**settings)
    net.module_.to("cuda")
    view, expected = view_pool(net, IMAGES), view_pool(here, IMAGES)
    assert view.on_device("embeddings").device.type == "cuda"
    for member in ("proba", "logits", "embeddings"):
        np.testing.assert_allclose(getattr(view, member), getattr(expected, member), rtol=1e-4, atol=1e-4)
    batches = net.forward_iter(torch.from_numpy(IMAGES).to("cuda"), device="cuda")
    # What waits for the device is an error there: from the second batch on, nothing does.
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        next(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    idx, _ = CoreSet().select(net, IMAGES, 4, X_training=IMAGES[:9], y_training=Y[:9])
    assert sorted(idx) == sorted(CoreSet().select(here, IMAGES, 4, X_training=IMAGES[:9], y_training=Y[:9])[0])
