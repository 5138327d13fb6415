"""freeze="backbone": what trains, what is computed how often, and what the stored features depend on."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import TensorDataset

from skal.learners import ActiveLearner
from skal.models import net_head, net_outputs
from skal.nets import DeepClassifier, _features
from skal.nets._features import STORE, backbone_features, fingerprint, parse_bytes
from skal.nets._plumbing import _PROBED
from skal.strategies import MarginSampling

SEEN: list[int] = []  # batch sizes that backbones were given


class Body(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, x):
        SEEN.append(len(x))
        return self.layers(x).mean((2, 3))


class Net(nn.Module):
    def __init__(self, n_classes, width=5, deep=False):
        super().__init__()
        self.body = Body(width)
        last = nn.Linear(width, n_classes)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.2), last) if deep else last

    def forward(self, x):
        return self.head(self.body(x))


class Softmax(Net):
    def forward(self, x):
        return super().forward(x).softmax(-1)


RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 1, 6, 6)).astype(np.float32)
Y = np.array(["no", "yes"])[(X.mean((1, 2, 3)) > 0).astype(int)]


@pytest.fixture(autouse=True)
def empty_store():
    STORE.clear()
    _PROBED.clear()
    SEEN.clear()
    yield
    STORE.clear()


def make(module=Net, **kwargs):
    kwargs = {"freeze": "backbone", "max_epochs": 4, "lr": 0.1, "batch_size": 16, "random_state": 0, **kwargs}
    return DeepClassifier(module, **kwargs)


@contextmanager
def counted(module, name):
    """The arguments of each call of a function of `module`."""
    calls, function = [], getattr(module, name)

    def record(*args):
        calls.append(args)
        return function(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, record)
        yield calls


class Recorder(WeakKeyDictionary):
    """Appends each key that is set to a list."""

    def __init__(self, made):
        super().__init__()
        self.made = made

    def __setitem__(self, key, value):
        self.made.append(key)
        super().__setitem__(key, value)


def step(parameter):
    parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD([parameter.requires_grad_(True)], lr=0.5).step()


def n_rows_run():
    """Rows given to the backbone, without the two that `fit` looks at to learn the head."""
    return sum(size for size in SEEN if size != 2)


class TestTraining:
    def test_only_the_head_changes(self):
        start = make().set_params(max_epochs=0).fit(X, Y).module_.state_dict()
        net = make().fit(X, Y)
        for key, value in net.module_.state_dict().items():
            assert torch.equal(value, start[key]) != key.startswith("head"), key

    def test_modes_while_training(self):
        module = make().fit(X, Y).module_
        assert module.head.training and not any(part.training for part in module.body.modules())

    def test_equals_the_whole_network_with_a_frozen_body(self):
        """The same training by hand: full forward passes, the body in eval mode."""
        net = make(batch_size=-1, iterator_train__shuffle=False).fit(X, Y)
        module = make(max_epochs=0).fit(X, Y).module_
        module.eval()
        optimizer = torch.optim.SGD(module.head.parameters(), lr=0.1)
        for _ in range(4):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(torch.tensor(X)), torch.tensor(Y == "yes").long()).backward()
            optimizer.step()
        with torch.no_grad():
            expected = module(torch.tensor(X)).softmax(-1).numpy()
        np.testing.assert_allclose(net.predict_proba(X), expected, atol=1e-6)

    def test_same_as_running_everything(self):
        net = make().fit(X, Y)
        with torch.no_grad():
            expected = net.module_.eval()(torch.tensor(X)).softmax(-1).numpy()
        np.testing.assert_allclose(net.predict_proba(X), expected, atol=1e-6)
        np.testing.assert_allclose(
            net_outputs(net, X).embeddings, net.module_.body(torch.tensor(X)).detach(), atol=1e-6
        )
        assert net_head(net) is net.module_.head

    def test_deep_head_trains_whole(self):
        net = make(module__deep=True, embedding_layer="head").fit(X, Y)
        assert net.embed(X).shape == (40, 5) and net_head(net) is net.module_.head
        assert all(parameter.requires_grad for parameter in net.module_.head.parameters())
        assert not any(parameter.requires_grad for parameter in net.module_.body.parameters())

    def test_weights_splits_and_partial_fit(self):
        net = make(train_split=ValidSplit(4, stratified=True)).fit(X, Y, sample_weight=np.ones(40))
        assert 0 <= net.history[-1, "valid_acc"] <= 1
        net.partial_fit(X[::-1], Y[::-1])
        assert len(net.history) == 8

    def test_input_gradient_reaches_the_pixels(self):
        gradient = make().fit(X, Y).input_gradient(X, Y)
        assert gradient.shape == X.shape and np.abs(gradient).max() > 0

    def test_output_beyond_the_head(self):
        with pytest.raises(ValueError, match="whose output is that of its head"):
            make(Softmax).fit(X, Y)

    def test_no_head(self):
        with pytest.raises(ValueError, match="needs a"):
            make(nn.Sequential(nn.Conv2d(1, 2, 6), nn.Flatten())).fit(X, Y)


class TestReuse:
    def test_once_per_image(self):
        net = make().fit(X[:16], Y[:16])
        assert n_rows_run() == 16
        for use in (net.predict, net.embed, net.decision_function, lambda X: net_outputs(net, X)):
            use(X)
        # 16 known, 24 new
        assert n_rows_run() == 40
        before = len(SEEN)
        again = clone(net).fit(X, Y)
        again.predict(X[::-1])
        again.partial_fit(X[:4], Y[:4])
        assert len(SEEN) == before
        np.testing.assert_array_equal(again.embed(X), net.embed(X))

    def test_whole_blocks_on_a_cpu(self):
        make(device="cpu").fit(X[:11], Y[:11])
        assert SEEN == [2, 8, 8]

    def test_duplicates_run_once(self):
        net = make(batch_size=64).fit(np.repeat(X[:8], 5, axis=0), np.repeat(Y[:8], 5))
        assert n_rows_run() == 8 and net.embed(np.repeat(X[:8], 2, axis=0)).shape == (16, 5)

    @pytest.mark.parametrize("size", [None, 0])
    def test_off(self, size):
        net = make(feature_cache=size).fit(X[:16], Y[:16])
        # once for all epochs of a fit, but not beyond it
        assert n_rows_run() == 16 and len(STORE) == 0
        net.predict(X[:16])
        assert n_rows_run() == 32
        np.testing.assert_array_equal(net.predict_proba(X), make().fit(X[:16], Y[:16]).predict_proba(X))

    def test_bounded(self):
        net = make(feature_cache=3000).fit(X, Y)
        assert 0 < STORE.nbytes <= 3000 and len(STORE) < 40
        np.testing.assert_array_equal(net.embed(X), make(feature_cache=None).fit(X, Y).embed(X))

    def test_results_do_not_depend_on_what_is_stored(self):
        cold = make().fit(X, Y).predict_proba(X)
        STORE.clear()
        for i in range(0, 40, 3):
            make(max_epochs=0).fit(X[i : i + 3], Y[i : i + 3], sample_weight=None) if i else make().fit(X[:1], Y[:1])
        np.testing.assert_array_equal(make().fit(X, Y).predict_proba(X), cold)

    @pytest.mark.parametrize(
        "other",
        [{"random_state": 1}, {"module": Net(2)}, {"module__width": 6}],
        ids=["seed", "instance", "width"],
    )
    def test_other_backbones_have_their_own(self, other):
        make().fit(X, Y)
        first = n_rows_run()
        net = make(**{"module": Net, **other}).fit(X, Y)
        assert n_rows_run() == 2 * first
        with torch.no_grad():
            expected = net.module_.eval().body(torch.tensor(X)).numpy()
        np.testing.assert_allclose(net.embed(X), expected, atol=1e-6)

    def test_changed_weights_are_noticed(self):
        net = make().fit(X, Y)
        before = net.embed(X)
        net.module_.body.layers[0].weight.data.mul_(2)
        assert np.abs(net.embed(X) - before).max() > 0.1
        # BatchNorm statistics are buffers
        before = net.embed(X)
        net.module_.body.layers[1].running_mean.add_(1)
        assert np.abs(net.embed(X) - before).max() > 0.1

    @pytest.mark.parametrize(("share", "most"), [(1, 0), (0.9, 0.15), (0.5, 0.55)])
    def test_a_cache_of_a_part_saves_that_part(self, share, most):
        """Share of the pool's rows run anew in later passes: whole, and in parts as a streamed pool comes."""
        pool = np.random.default_rng(1).normal(size=(800, 1, 4, 4)).astype(np.float32)
        net = make(module__width=512, feature_cache=int(share * 800 * 512 * 4), max_epochs=0).fit(
            X[:4, :, :4, :4], Y[:4]
        )
        for n_parts in (1, 5):
            STORE.clear()
            for i in range(4):
                SEEN.clear()
                for part in np.split(pool, n_parts):
                    net.predict_proba(part)
                assert sum(SEEN) / 800 <= (most if i else 1), (n_parts, i)

    def test_rounds_run_only_what_is_new(self):
        """A second round's query finds every row that stayed in the pool; each of its rows is hashed once."""
        learner = ActiveLearner(make(), MarginSampling(random_state=0), X_training=X[:6], y_training=Y[:6])
        idx, chosen = learner.query(X[6:], n_instances=4)
        learner.teach(chosen, Y[6:][idx])
        pool = np.delete(X[6:], idx, axis=0)
        SEEN.clear()
        with counted(_features, "batch_keys") as keys, counted(_features, "_weights_digest") as fingerprints:
            learner.query(pool, n_instances=4)
        assert SEEN == [] and sum(len(batch) for _, batch in keys) == len(pool) and len(fingerprints) == 1

    def test_unchanged_weights_have_one_digest(self, monkeypatch):
        net, made = make().fit(X, Y), []
        monkeypatch.setattr(_features, "_DIGESTS", Recorder(made))
        for _ in range(3):
            net.predict(X)
        nn.init.zeros_(net.module_.head.weight)
        net.predict(X)
        assert len(made) == 1

    @pytest.mark.parametrize(
        "change",
        [
            lambda net: net.module_.body.layers[0].weight.data.mul_(2),
            lambda net: net.module_.body.layers[0].weight.detach().numpy().__imul__(2),
            lambda net: setattr(net.module_.body.layers[0].weight, "data", torch.ones(5, 1, 3, 3)),
            lambda net: net.module_.load_state_dict({k: v + 1 for k, v in net.module_.state_dict().items()}),
            lambda net: step(net.module_.body.layers[0].weight),
            lambda net: net.module_.body.layers[1].running_mean.add_(1),
            lambda net: setattr(net.module_.body.layers[0], "weight", nn.Parameter(torch.ones(5, 1, 3, 3))),
        ],
        ids=["data", "numpy", "data assigned", "load_state_dict", "optimizer", "buffer", "parameter"],
    )
    def test_every_kind_of_change_is_noticed(self, change):
        net = make().fit(X, Y)
        before = net.embed(X)
        change(net)
        after = net.embed(X)
        assert np.abs(after - before).max() > 0.01
        with torch.no_grad():
            expected = net.module_.eval().body(torch.tensor(X)).numpy()
        np.testing.assert_allclose(after, expected, atol=1e-5)

    def test_without_a_cache_nothing_is_hashed(self):
        with counted(_features, "batch_keys") as keys:
            make(feature_cache=None).fit(X, Y).predict(X)
        assert keys == []

    def test_an_interrupted_scan_keeps_what_it_has_run(self):
        net = make(max_epochs=0, batch_size=8).fit(X[:4], Y[:4])
        SEEN.clear()

        class Cut(TensorDataset):
            def __getitem__(self, i):
                if i == 20:
                    raise KeyboardInterrupt
                return super().__getitem__(i)

        with pytest.raises(KeyboardInterrupt):
            net.predict(Cut(torch.tensor(X)))
        # Of 12 new rows 8, and 4 waited for a full block: 28 are left, in 4 blocks.
        assert SEEN == [8]
        net.predict(X)
        assert SEEN == [8] * 5

    def test_datasets_and_copies_find_them(self):
        net = make().fit(X, Y)
        rows = n_rows_run()
        net.predict(TensorDataset(torch.tensor(X)))
        net.predict(X.astype(np.float64))
        twin = pickle.loads(pickle.dumps(net))
        np.testing.assert_array_equal(twin.predict_proba(X), net.predict_proba(X))
        assert n_rows_run() == rows
        assert len(pickle.dumps(net)) < 30_000

    def test_threads(self):
        expected = make().fit(X, Y).predict_proba(X)
        STORE.clear()
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: make().fit(X, Y).predict_proba(X), range(8)))
        for result in results:
            np.testing.assert_array_equal(result, expected)


class TestStore:
    def test_equals_direct_computation(self):
        batches = [torch.randn(n, 3) for n in (7, 1, 12)]
        result = backbone_features(iter(batches), lambda x: 2 * x, b"", limit=10**6, block=4)
        torch.testing.assert_close(result, 2 * torch.cat(batches))

    @pytest.mark.parametrize(
        ("size", "expected"), [("512MB", 512 * 10**6), ("1.5 GiB", 3 * 2**29), (7, 7), (None, 0), ("20", 20)]
    )
    def test_sizes(self, size, expected):
        assert parse_bytes(size) == expected

    @pytest.mark.parametrize("size", ["", "MB", "-1", -1, 1.5, True, "1 ZB"])
    def test_bad_sizes(self, size):
        with pytest.raises(ValueError, match="'feature_cache' parameter"):
            parse_bytes(size)

    def test_fingerprint(self):
        module = Net(2)
        first = fingerprint(module, "head")
        nn.init.zeros_(module.head.weight)
        assert fingerprint(module, "head") == first
        module.body.layers[3].p = 0.1
        assert fingerprint(module, "head") != first
