"""What an object computes, told from all that it only looks like."""

import functools
import os
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skal.experiments._identity import identity
from skal.nets import DeepClassifier
from skal.strategies import UFFM, MarginSampling, margin_sampling


def from_text(code, name="f", **globals_):
    """A function or class of a module of the user's, such as a notebook."""
    namespace = {"__name__": "notebook", **globals_}
    exec(compile(code, f"<cell {id(namespace)}>", "exec"), namespace)
    return namespace[name]


def closure(k):
    def f(classifier, X, n_instances=1):
        return np.arange(k, k + n_instances)

    return f


class Callable_:
    def __init__(self, k=0, **more):
        self.k = k
        self.__dict__.update(more)

    def __call__(self, classifier, X, n_instances=1):
        return np.arange(n_instances) + self.k


class Slots:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k


class Samples(torch.utils.data.Dataset):
    def __init__(self, X, cache=None):
        self.X, self.cache = X, cache

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i]


def layers(p=0.0, seed=0, bias=0.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(p), nn.BatchNorm1d(2))
    module[2].running_mean += bias
    return module


def holding_itself(k):
    items = [k]
    items.append(items)
    obj = Callable_(items)
    obj.me = {"self": obj}
    return obj


LONG = np.arange(5000.0)
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.Categorical(["u", "v"]), "d": pd.array([1, None], "Int64")})

# Each line: makers of objects, of which each must equal itself made anew, and no other.
KINDS = {
    "numbers": [lambda: 1, lambda: 1.0, lambda: True, lambda: "1", lambda: b"1", lambda: None, lambda: np.float32(1)],
    "containers": [lambda: [1, 2], lambda: (1, 2), lambda: [2, 1], lambda: {1, 2}, lambda: [[1], 2], lambda: [1, [2]]],
    "dicts": [lambda: {"a": 1, "b": 2}, lambda: {"a": 2, "b": 1}, lambda: {"a": 1}, lambda: [("a", 1), ("b", 2)]],
    "long arrays": [lambda: LONG.copy(), lambda: LONG + (np.arange(5000) == 2500), lambda: LONG.astype("f4")],
    "arrays": [
        lambda: np.arange(6).reshape(2, 3),
        lambda: np.arange(6).reshape(3, 2),
        lambda: np.arange(6).reshape(3, 2).T,
        lambda: np.array([]),
        lambda: np.zeros((0, 3)),
        lambda: np.array(3.0),
        lambda: np.array(["a", "b"]),
        lambda: np.array(["a", None], dtype=object),
        lambda: np.zeros(2, dtype=[("a", "f8")]),
        lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
    ],
    "tensors": [lambda: torch.ones(3), lambda: torch.zeros(3), lambda: torch.ones(3, dtype=torch.bfloat16)],
    "modules": [layers, lambda: layers(0.5), lambda: layers(seed=1), lambda: layers(bias=1.0), lambda: layers()[:1]],
    "frames": [
        lambda: FRAME.copy(),
        lambda: FRAME.assign(b=["x", "z"]),
        lambda: FRAME.rename(columns={"a": "e"}),
        lambda: FRAME.assign(a=[1.0, 2.0]),
        lambda: FRAME.assign(d=pd.array([1, 2], "Int64")),
        lambda: FRAME.assign(c=pd.Categorical(["u", "v"], categories=["v", "u"])),
        lambda: FRAME["b"],
        lambda: pl.DataFrame({"a": [1, 2]}),
        lambda: pl.DataFrame({"a": [1, 3]}),
        lambda: pl.DataFrame({"b": [1, 2]}),
    ],
    "sparse": [
        lambda: sp.csr_matrix(np.eye(3)),
        lambda: sp.csr_matrix(2 * np.eye(3)),
        lambda: sp.csr_matrix(np.eye(3)[::-1]),
        lambda: sp.csc_matrix(np.eye(3)),
    ],
    "datasets": [lambda: Samples([1, 2]), lambda: Samples([1, 3]), lambda: Samples([1])],
    "estimators": [
        lambda: LogisticRegression(),
        lambda: LogisticRegression(C=2.0),
        lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=2.0)),
        lambda: make_pipeline(StandardScaler(with_mean=False), LogisticRegression()),
        lambda: VotingClassifier([("a", LogisticRegression()), ("b", LogisticRegression(C=2.0))]),
        lambda: VotingClassifier([("a", LogisticRegression()), ("b", LogisticRegression(C=3.0))]),
        lambda: LogisticRegression(class_weight={0: 1.0, 1: 2.0}),
        lambda: DeepClassifier(layers(), classes=[0, 1]),
        lambda: DeepClassifier(layers(seed=1), classes=[0, 1]),
        lambda: DeepClassifier(layers(), classes=[0, 1], lr=0.5),
        lambda: DeepClassifier(layers(), classes=[0, 1], optimizer=torch.optim.Adam),
        lambda: DeepClassifier(layers, classes=[0, 1]),
    ],
    "strategies": [
        lambda: MarginSampling(),
        lambda: margin_sampling,
        lambda: MarginSampling,
        lambda: UFFM(),
        lambda: UFFM(MarginSampling()),
        lambda: UFFM(sampling_ratio=1.5),
        lambda: functools.partial(margin_sampling, random_state=3),
        lambda: functools.partial(margin_sampling, random_state=4),
    ],
    "closures": [lambda: closure(0), lambda: closure(40), lambda: closure(np.arange(3)), lambda: closure(closure(0))],
    "functions": [
        lambda: from_text("def f(x): return x + 1"),
        lambda: from_text("def f(x): return x + 2"),
        lambda: from_text("def f(x): return x - 1"),
        lambda: from_text("def f(x): return x.mean()"),
        lambda: from_text("def f(x): return x.sum()"),
        lambda: from_text("def f(x, a=1): return x + 1"),
        lambda: from_text("def f(x, a=2): return x + 1"),
        lambda: from_text("def f(x, *, a=2): return x + 1"),
        lambda: from_text("def f(x):\n def g(): return 1\n return g"),
        lambda: from_text("def f(x):\n def g(): return 2\n return g"),
        lambda: from_text("def f(x): return x in {'a', 'b', 'c'}"),
        lambda: from_text("f = lambda x: x * 3"),
    ],
    "functions and what they use": [
        lambda: from_text("def f(x): return g(x)", g=closure(1)),
        lambda: from_text("def f(x): return g(x)", g=closure(2)),
        lambda: from_text("def f(x): return x + K", K=1),
        lambda: from_text("def f(x): return x + K", K=2),
        lambda: from_text("def f(x): return x + K", K=np.arange(2)),
        lambda: from_text("def f(n): return f(n - 1) if n else 0"),
        lambda: from_text("def f(n): return f(n - 2) if n else 0"),
        lambda: functools.cache(from_text("def f(x): return x + 1")),
        lambda: functools.cache(from_text("def f(x): return x + 2")),
    ],
    "classes": [
        lambda: from_text("class f:\n def m(self): return 1"),
        lambda: from_text("class f:\n def m(self): return 2"),
        lambda: from_text("class f:\n k = 1"),
        lambda: from_text("class f:\n k = 2"),
        lambda: from_text("class f:\n @property\n def m(self): return 1"),
        lambda: from_text("class f:\n @staticmethod\n def m(self): return 1"),
        lambda: from_text("class f(B):\n pass", B=from_text("class f:\n def m(self): return 1")),
        lambda: from_text("class f(B):\n pass", B=from_text("class f:\n def m(self): return 2")),
        lambda: from_text("class f:\n __slots__ = ('a',)"),
    ],
    "objects": [
        lambda: Callable_(1),
        lambda: Callable_(2),
        lambda: Callable_(LONG.copy()),
        lambda: Callable_(LONG + (LONG == 77)),
        lambda: Callable_(1, lock=os.environ),
        lambda: Callable_(1).__call__,
        lambda: Callable_(2).__call__,
        lambda: Slots(1),
        lambda: Slots(2),
        lambda: np.random.default_rng(0),
        lambda: np.random.default_rng(1),
        lambda: holding_itself(1),
        lambda: holding_itself(2),
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_equal_objects_have_one_identity_and_others_another(kind):
    found = [identity(make()) for make in KINDS[kind]]
    assert found == [identity(make()) for make in KINDS[kind]]
    same = {text for text in found if found.count(text) > 1}
    assert not same


def test_it_names_the_class_or_function():
    assert identity(MarginSampling()).startswith("MarginSampling ")
    assert identity(closure(0)).startswith("f ")


class TestWhatDoesNotCount:
    def test_order_of_sets_and_dicts(self):
        words = [f"word{i}" for i in range(20)]
        assert identity(set(words)) == identity(set(reversed(words)))  # noqa: C414
        assert identity(dict.fromkeys(words, 1)) == identity(dict.fromkeys(words[::-1], 1))

    def test_sharing(self):
        item = [1, "a" * 3]
        assert identity([item, item]) == identity([item, [1, "".join(["a"] * 3)]])
        assert identity(np.array([item[1], item[1]], object)) == identity(np.array(["aaa", "".join("aaa")], object))

    def test_where_a_function_stands_and_modules_it_uses(self):
        plain = identity(from_text("def f(x): return np.mean(x)", np=np))
        assert identity(from_text("\n\n# moved\ndef f(x): return np.mean(x)", np=types)) == plain

    def test_memory_maps_and_layout(self, tmp_path):
        X = np.arange(12.0).reshape(3, 4)
        np.save(tmp_path / "X.npy", X)
        for same in (np.load(tmp_path / "X.npy", mmap_mode="r"), np.asfortranarray(X), np.repeat(X, 2, 0)[::2]):
            assert identity([same]) == identity([X])

    def test_sparse_zeros_and_order(self):
        plain, other = sp.csr_matrix(np.array([[0.0, 1.0, 2.0]])), sp.csr_matrix(([2.0, 1.0], [2, 1], [0, 2]), (1, 3))
        assert identity(plain) == identity(other)

    def test_caches_of_datasets_and_fitted_attributes(self):
        assert identity(Samples([1, 2])) == identity(Samples([1, 2], cache={0: 1}))
        fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
        assert identity(fitted) == identity(LogisticRegression())

    def test_the_generator_of_torch_is_left_alone(self):
        class Noisy(Samples):
            def __getitem__(self, i):
                return self.X[i] + 0 * torch.rand(1).item()

        before = torch.random.get_rng_state()
        identity(Noisy([1, 2]))
        assert torch.equal(torch.random.get_rng_state(), before)


def test_files_of_weights_count_by_content(tmp_path):
    first, second = tmp_path / "a.pt", tmp_path / "b.pt"
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")
    net = functools.partial(DeepClassifier, layers, classes=[0, 1])
    same = identity(net(weights=str(first)))
    assert identity(net(weights=second)) == same != identity(net(weights="a.pt"))
    first.write_bytes(b"others")
    assert identity(net(weights=str(first))) != same


def test_all_processes_agree(tmp_path):
    """With other addresses and another order of hashes; functions and classes of a script of one's own."""
    script = tmp_path / "script.py"
    script.write_text(
        "import functools, numpy as np, torch\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from skal.experiments._identity import identity\n"
        "from skal.strategies import DECERN\n"
        "K = {'one', 'two', 'three', 'four'}\n"
        "def helper(x): return x in K and x in {'five', 'six', 'seven'}\n"
        "class Mine:\n"
        "    names = frozenset({'a', 'b', 'c', 'd'})\n"
        "    def __init__(self): self.f = lambda x: helper(x)\n"
        "    def __call__(self, c, X, n_instances=1): return np.arange(n_instances)\n"
        "torch.manual_seed(0)\n"
        "things = [Mine(), functools.partial(helper, x='one'), DECERN(), torch.nn.Linear(2, 2), K,\n"
        "          {'b': object(), 'a': LogisticRegression(class_weight={'x': 1, 'y': 2})}]\n"
        "print([identity(thing) for thing in things])\n"
    )
    found = {
        subprocess.run([sys.executable, script], env={**os.environ, "PYTHONHASHSEED": seed}, **CAPTURED).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1 and "Mine" in next(iter(found))


CAPTURED = {"capture_output": True, "text": True, "check": True}
