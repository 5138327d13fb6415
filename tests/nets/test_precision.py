"""Mixed precision, the order of memory, torch.compile, uint8 images, and what a pass leaves behind."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skal.models import net_outputs
from skal.nets import DeepClassifier
from skal.pool import view_pool
from skal.strategies import BADGE

SEEN = []  # dtype and order of memory of what the first layer was given


class Net(nn.Module):
    def __init__(self, n_classes=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(6 * 4, n_classes)

    def forward(self, x):
        SEEN.append((x.dtype, x.is_contiguous(memory_format=torch.channels_last)))
        return self.head(self.body(x))


RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(40, 2, 4, 4), dtype=np.uint8)
X = (IMAGES / 255).astype(np.float32)
Y = (X.mean((1, 2, 3)) * 7).astype(int) % 3


def make(module=Net, **kwargs):
    return DeepClassifier(
        module, **{"max_epochs": 3, "lr": 0.05, "batch_size": 8, "random_state": 0, "device": "cpu", **kwargs}
    )


@pytest.mark.parametrize("freeze", [None, "backbone"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_gives_float32_near_that_of_full(precision, freeze):
    net, full = make(precision=precision, freeze=freeze).fit(X, Y), make(freeze=freeze).fit(X, Y)
    full.module_.load_state_dict(net.module_.state_dict())
    found, expected = net_outputs(net, X), net_outputs(full, X)
    for member in ("proba", "logits", "embeddings"):
        values = getattr(found, member)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, getattr(expected, member), atol=0.02)
        assert not np.array_equal(values, getattr(expected, member)), "nothing was computed in half precision"
    assert net.predict_proba(X).dtype == net.embed(X).dtype == np.float32
    assert all(parameter.dtype == torch.float32 for parameter in net.module_.parameters())
    np.testing.assert_array_equal(clone(net).fit(X, Y).predict_proba(X), net.predict_proba(X))
    view = view_pool(net, X)
    view.require("embeddings", "linear_head", by="Somebody")
    assert view.embeddings.dtype == np.float32 and view.linear_head.weight.shape == (3, 24)


def test_half_precision_is_for_passes_alone():
    trained = [make(precision=precision).fit(X, Y).module_.state_dict() for precision in (None, "fp16", "bf16")]
    assert all(torch.equal(trained[1][key], value) for key, value in trained[0].items())
    assert not all(torch.equal(trained[2][key], value) for key, value in trained[0].items())


def test_several_outputs_and_opinions():
    class Two(Net):
        def __init__(self, n_classes=3):
            super().__init__(n_classes)
            self.dropout = nn.Dropout(0.5)

        def forward(self, x):
            features = self.dropout(self.body(x))
            return self.head(features), features

    net = make(Two, precision="bf16").fit(X, Y)
    logits, features = net.forward(X)
    assert logits.dtype == features.dtype == torch.float32
    assert view_pool(net, X).proba_samples(2, 0).dtype == np.float32


@pytest.mark.parametrize(("name", "value"), [("precision", "half"), ("precision", True), ("channels_last", "yes")])
def test_values_that_make_no_sense(name, value):
    with pytest.raises(ValueError, match=f"The {name!r} parameter of DeepClassifier must be .* Got {value!r}"):
        make(**{name: value}).fit(X, Y)


def test_channels_last():
    net, plain = make(channels_last=True).fit(X, Y), make().fit(X, Y)
    assert net.module_.body[0].weight.is_contiguous(memory_format=torch.channels_last)
    SEEN.clear()
    np.testing.assert_allclose(net.predict_proba(X), plain.predict_proba(X), atol=1e-5)
    assert [order for _, order in SEEN] == [True] * 5 + [False] * 5
    np.testing.assert_allclose(pickle.loads(pickle.dumps(net)).embed(X), plain.embed(X), atol=1e-4)
    rows = np.arange(40.0).reshape(10, 4)
    assert make(lambda: nn.Linear(4, 2), channels_last=True).fit(rows, [0, 1] * 5).predict(rows).shape == (10,)


def test_images_of_bytes_are_cast_batch_by_batch():
    """To the same numbers as the whole at once, in training too; no copy of all of them is made."""
    net, whole = make(lr=1e-4).fit(IMAGES, Y), make(lr=1e-4).fit(IMAGES.astype(np.float32), Y)
    SEEN.clear()
    for found, expected in zip(net.module_.parameters(), whole.module_.parameters(), strict=True):
        assert torch.equal(found, expected)
    for pool in (IMAGES, torch.from_numpy(IMAGES), IMAGES.astype(np.float64), IMAGES[::-1][::-1],
                 np.asfortranarray(IMAGES), IMAGES.astype(">i4"), IMAGES.astype(np.int64)):  # fmt: skip
        np.testing.assert_array_equal(net.predict_proba(pool), whole.predict_proba(IMAGES.astype(np.float32)))
    assert {dtype for dtype, _ in SEEN} == {torch.float32}
    data = net.get_dataset(IMAGES)
    assert data.X.dtype == torch.uint8 and np.shares_memory(data.X.numpy(), IMAGES)


class Remembers(Net):
    """Makes, in its first pass in eval mode, a mask that training needs."""

    def __init__(self, n_classes=3):
        super().__init__(n_classes)
        self.mask = None
        self.register_buffer("other", torch.zeros(1), persistent=False)

    def forward(self, x):
        if self.mask is None and not self.training:
            self.mask, self.other = x.mean(0), x.mean(0)
        return super().forward(x if self.mask is None else x * self.mask * self.other)


def test_what_a_module_keeps_of_a_pass_serves_in_training():
    net = make(Remembers, max_epochs=1).fit(X, Y)
    net.module_.mask = None
    net.predict_proba(X)
    assert net.module_.mask is not None and not net.module_.mask.is_inference() and not net.module_.other.is_inference()
    net.partial_fit(X, Y)


class NormalWhileTraining(Net):
    """Its modes are its own: the body is in eval mode whatever is asked for."""

    def train(self, mode=True):
        super().train(mode)
        self.body.eval()
        return self


def test_modes_are_set_where_they_differ():
    net = make(NormalWhileTraining, max_epochs=1).fit(X, Y)
    assert net.module_.training and not net.module_.body.training
    net.module_.head.eval()
    batch = next(iter(net.get_iterator(net.get_dataset(X, Y), training=True)))
    net.train_step_single(batch)
    assert net.module_.head.training and not net.module_.body.training
    net.evaluation_step(batch)
    assert not any(part.training for part in net.module_.modules())


@pytest.mark.parametrize("settings", [{}, {"precision": "bf16"}, {"channels_last": True}, {"freeze": "backbone"}])
def test_a_compiled_net_gives_the_same(settings):
    compiled = {"compile": True, "compile__backend": "eager", **settings}
    net, plain = make(**compiled).fit(X, Y), make(**settings).fit(X, Y)
    np.testing.assert_allclose(net.predict_proba(X), plain.predict_proba(X), atol=1e-5)
    found, expected = view_pool(net, X), view_pool(plain, X)
    for member in ("proba", "logits", "embeddings"):
        np.testing.assert_allclose(getattr(found, member), getattr(expected, member), atol=1e-4)
    idx, _ = BADGE(random_state=0).select(net, X, 3)
    np.testing.assert_array_equal(idx, BADGE(random_state=0).select(plain, X, 3)[0])
