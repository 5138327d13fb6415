"""Parameters, weights files and samples that make no sense: one sentence that names them, before any work."""

import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import EpochScoring
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader

from skal.nets import DeepClassifier, DeepDetector, FusionDescriptor, RotationPretext
from skal.strategies import MarginSampling

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype("f4")
Y = np.arange(24) % 3
NAN = float("nan")


def make(**kwargs):
    return DeepClassifier(**{"module": nn.Linear(4, 3), "max_epochs": 1, "random_state": 0, **kwargs})


class MyNet(DeepClassifier):
    pass


class Hidden(nn.Module):
    def __init__(self, hidden):
        super().__init__()


WRONG = [
    ("module", 3), ("module", None), ("module", "resnet81"), ("module", dict), ("module", lambda: 3),
    ("module", Hidden),
    ("criterion", "mse"), ("criterion", 3), ("criterion", torch.optim.SGD),
    ("optimizer", "adam"), ("optimizer", nn.CrossEntropyLoss),
    ("optimizer", torch.optim.SGD([torch.zeros(1, requires_grad=True)])), ("optimizer__momentum", "a"),
    ("max_epochs", NAN), ("max_epochs", 0.5), ("max_epochs", -1), ("max_epochs", "3"), ("max_epochs", None),
    ("batch_size", 0), ("batch_size", -3), ("batch_size", 2.5), ("batch_size", "8"), ("batch_size", None),
    ("iterator_train__batch_size", "8"), ("iterator_valid__batch_size", 0), ("iterator_train", 3),
    ("iterator_train__num_workers", "2"), ("lr", "fast"), ("lr", NAN), ("lr", -1), ("lr", None), ("lr", float("inf")),
    ("train_split", 2), ("train_split", ValidSplit), ("device", 3.5), ("device", "gpu"), ("device", "cuda:99999"),
    ("callbacks", 3), ("callbacks", [3]), ("callbacks", "none"), ("callbacks", EpochScoring("accuracy")),
    ("callbacks", [("a", 3)]), ("verbose", "yes"), ("verbose", -1), ("warm_start", "no"), ("dataset", 3),
    ("classes", 3), ("classes", "abc"), ("classes", []), ("classes", {0, 1, 2}), ("classes", [[0, 1], [2, 3]]),
    ("classes", [0, None, 2]), ("classes", [0, NAN, 2]), ("classes", [0, "a", 2]),
    ("embedding_layer", 3), ("embedding_layer", "nowhere"), ("feature_cache", "lots"), ("feature_cache", -1),
    ("freeze", "head"), ("freeze", True), ("random_state", -1), ("random_state", "x"), ("weights", 3),
]  # fmt: skip


class TestParameters:
    @pytest.mark.parametrize(("name", "value"), WRONG)
    def test_wrong_values(self, name, value):
        net = make().fit(X, Y)
        before = net.predict_proba(X)
        module, vars_before = net.module_, dict(vars(make(**{name: value})))
        if name == "device" and value == "cuda:99999" and torch.cuda.is_available():
            pytest.skip("a device of this machine")
        wrong = MyNet(**{"module": nn.Linear(4, 3), "max_epochs": 1, name: value})
        with pytest.raises((ValueError, TypeError), match=rf"(?s){name.partition('__')[0]}.*") as caught:
            wrong.fit(X, Y)
        text = str(caught.value)
        assert "DeepClassifier" not in text and "attribute" not in text and "\n" not in text
        assert set(vars_before) == set(vars(wrong)) and not wrong.initialized_
        # A net that was trained stays as it was.
        if "__" not in name:
            setattr(net, name, value)
            with pytest.raises((ValueError, TypeError)):
                net.fit(X, Y)
            setattr(net, name, getattr(make(), name))
            assert net.module_ is module
            np.testing.assert_array_equal(net.predict_proba(X), before)

    def test_the_sentence(self):
        with pytest.raises(ValueError) as caught:
            MyNet(nn.Linear(4, 3), max_epochs=NAN).fit(X, Y)
        assert str(caught.value) == (
            "The 'max_epochs' parameter of MyNet must be an int in the range [0, inf). Got nan instead."
        )

    @pytest.mark.parametrize(
        ("name", "likely"),
        [
            ("max_epoch", "max_epochs"),
            ("optimzer__momentum", "optimizer__momentum"),
            ("optimizer__momentun", "optimizer__momentum"),
            ("iterator_train_shuffle", "iterator_train__shuffle"),
            ("iterator_train__shufle", "iterator_train__shuffle"),
            ("module__bas", "module__bias"),
            ("class", "classes"),
        ],
    )
    def test_unknown_keywords(self, name, likely):
        net = make(module=nn.Linear, module__in_features=4, **{name: 1})
        with pytest.raises((ValueError, TypeError), match=f"has no parameter '{name}'. Did you mean '{likely}'"):
            net.fit(X, Y)

    @pytest.mark.parametrize(
        "params",
        [
            {"max_epochs": np.int64(1), "lr": np.float32(0.1), "batch_size": -1},
            {"max_epochs": 0, "lr": 0.0, "device": None},
            {"criterion": nn.CrossEntropyLoss(), "device": torch.device("cpu")},
            {"optimizer": lambda params, lr, **kwargs: torch.optim.Adam(params, lr=lr, **kwargs)},
            {"criterion": lambda: nn.CrossEntropyLoss(), "callbacks": "disable"},
            {"callbacks": [EpochScoring("accuracy", on_train=True), ("none", None)]},
            {"callbacks": [("epochs", EpochScoring("accuracy", on_train=True))], "callbacks__print_log": None},
            {"iterator_train": DataLoader, "iterator_train__num_workers": 0, "optimizer__weight_decay": 0.1},
            {"optimizer__param_groups": [("weight", {"lr": 0.5})], "train_split": ValidSplit(3), "verbose": False},
            {"module": lambda n_classes: nn.Linear(4, n_classes), "classes": np.arange(3)},
            {"feature_cache": "1 MB", "freeze": "backbone", "module": nn.Sequential(nn.Tanh(), nn.Linear(4, 3))},
        ],
    )
    def test_right_values(self, params):
        assert make(**params).fit(X, Y).predict(X).shape == (24,)

    @pytest.mark.parametrize(
        ("make_one", "data"),
        [
            (lambda **k: RotationPretext(nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), **k), np.ones((4, 1, 8, 8))),
            (lambda **k: FusionDescriptor(module=nn.Conv2d(1, 2, 3), layers=("",), **k), np.ones((4, 1, 8, 8))),
            (lambda **k: DeepDetector("ssdlite320_mobilenet_v3_large", **k), [np.ones((3, 8, 8))]),
        ],
    )
    @pytest.mark.parametrize(("name", "value"), [("device", "gpu"), ("batch_size", 2.5), ("random_state", "x")])
    def test_other_estimators(self, make_one, data, name, value):
        one = make_one(**{name: value})
        y = [{"boxes": [[0, 0, 4, 4]], "labels": ["a"]}]
        with pytest.raises((ValueError, TypeError), match=f"'{name}' parameter of {type(one).__name__} must be"):
            one.fit(data, y)


def write(path, kind):
    module = nn.Linear(4, 3)
    good = module.state_dict()
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        torch.save(good, path)
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "zip":
        import zipfile

        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.txt", "hello")
    elif kind == "function":
        path.write_bytes(pickle.dumps({"weight": print}))
    elif kind == "plain pickle":
        path.write_bytes(pickle.dumps({"weight": [1.0]}))
    elif kind == "module":
        torch.save(module, path)
    elif kind == "safetensors":
        path.write_bytes((8).to_bytes(8, "little") + b'{"a":{}}')
    elif kind == "folder":
        path.mkdir()
    elif kind == "numbers":
        torch.save({0: torch.zeros(1)}, path)
    elif kind == "list":
        torch.save([torch.zeros(1)], path)
    elif kind == "nan":
        torch.save({**good, "weight": torch.full((3, 4), NAN)}, path)
    elif kind == "inf":
        torch.save({"state_dict": {**good, "bias": torch.full((3,), float("inf"))}}, path)
    elif kind == "shape":
        torch.save({"weight": torch.zeros(3, 5), "bias": torch.zeros(3), "more": torch.zeros(1)}, path)


FILES = [
    "text", "empty", "truncated", "zip", "function", "plain pickle", "module", "safetensors", "folder", "numbers",
    "list", "nan", "inf", "shape", "absent",
]  # fmt: skip


class TestWeights:
    @pytest.mark.parametrize("kind", FILES)
    def test_files_that_hold_none(self, tmp_path, kind):
        path = tmp_path / "given.pth"
        write(path, kind)
        body = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
        estimators = [
            (make(module=nn.Sequential(*body), weights=path), X, Y),
            (
                FusionDescriptor(module=nn.Conv2d(1, 2, 3), layers=("",), weights=path, n_components=2),
                np.ones((4, 1, 8, 8)),
                None,
            ),
            (
                DeepDetector("ssdlite320_mobilenet_v3_large", weights=str(path)),
                [np.ones((3, 8, 8))],
                [{"boxes": [[0, 0, 4, 4]], "labels": ["a"]}],
            ),
        ]
        for estimator, data, y in estimators[: 3 if kind in ("text", "nan") else 2]:
            with pytest.raises(ValueError, match=r"given\.pth") as caught:
                estimator.fit(data, y)
            text = str(caught.value)
            assert "weights_only" not in text and "unsafe" not in text and "\n" not in text

    def test_nan_and_permission(self, tmp_path, monkeypatch):
        path = tmp_path / "given.pth"
        for kind in ("nan", "inf"):
            write(path, kind)
            with pytest.raises(ValueError, match="must hold finite weights"):
                make(module=nn.Sequential(nn.Linear(4, 3)), weights=self.prefixed(path)).fit(X, Y)

        def refuse(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(torch, "load", refuse)
        with pytest.raises(ValueError, match=r"given\.pth.*[Pp]ermission denied"):
            make(weights=path).fit(X, Y)

    def prefixed(self, path):
        held = torch.load(path, weights_only=True)
        held = held.get("state_dict", held)
        torch.save({f"0.{key}": value for key, value in held.items()}, path)
        return path


ODD = {
    "one axis": X[:, 0],
    "a list of numbers": X[:, 0].tolist(),
    "a range": range(24),
    "dates": (X * 100).astype("M8[D]"),
    "a text": "hello",
    "a set": set(range(24)),
    "five features": np.c_[X, X[:, :1]],
    "none": None,
    "ragged": [[1.0, 2.0, 3.0, 4.0]] * 23 + [[1.0]],
    "no column": X[:, :0],
    "complex": X.astype(complex),
    "complex tensor": torch.tensor(X).to(torch.complex64),
    "objects": np.full((24, 4), "a", dtype=object),
    "a dict": {"a": X},
    "dicts": [{"a": row} for row in X],
    "a generator": (row for row in X),
    "an image": np.zeros((24, 3, 8, 8)),
}


class TestSamples:
    @pytest.mark.parametrize("name", list(ODD))
    def test_no_samples(self, name):
        net = make().fit(X, Y)
        for ask in (net.predict, net.predict_proba, net.embed, net.decision_function):
            with pytest.raises((ValueError, TypeError), match="X|samples") as caught:
                ask(ODD[name])
            text = str(caught.value)
            assert "mat1" not in text and "attribute" not in text and "argument" not in text
        with pytest.raises((ValueError, TypeError), match="X|samples"):
            make().fit(ODD[name], Y)
        with pytest.raises((ValueError, TypeError), match="X|samples"):
            net.partial_fit(ODD[name], Y)

    @pytest.mark.parametrize("name", ["one axis", "a list of numbers", "five features", "complex", "a set"])
    def test_pools_of_a_query(self, name):
        net = make().fit(X, Y)
        with pytest.raises((ValueError, TypeError), match="X|samples") as caught:
            MarginSampling().select(net, ODD[name], 2)
        assert "mat1" not in str(caught.value)

    def test_lists_are_samples(self):
        net = make().fit(X.tolist(), Y)
        assert net.n_features_in_ == 4
        np.testing.assert_array_equal(net.predict(list(X)), net.predict(X))
