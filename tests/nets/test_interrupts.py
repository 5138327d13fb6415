"""Ctrl-C, or any other end that is no result, comes out of every training, and the net is as it was."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import Dataset

from skal.learners import ActiveLearner, simulate
from skal.models import interrupts_pass
from skal.nets import DeepClassifier, DeepDetector, FusionDescriptor, RotationPretext
from skal.nets._repeatable import RepeatableClassifier
from skal.strategies import BALD, MarginSampling

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 4)).astype("f4")
Y = np.arange(48) % 3
IMAGES = RNG.random((6, 1, 8, 8)).astype("f4")


class Stop(BaseException):
    """Neither an error nor Ctrl-C."""


def press():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):  # The handler runs between two of these.
        pass


def throw(kind):
    def end():
        raise kind

    return end


ENDS = {"signal": press, "raised": throw(KeyboardInterrupt), "exit": throw(SystemExit), "other": throw(Stop)}
KINDS = {"signal": KeyboardInterrupt, "raised": KeyboardInterrupt, "exit": SystemExit, "other": Stop}


@pytest.fixture(autouse=True)
def python_takes_ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class At(Callback):
    """Calls `ARMED` at one moment of a training."""

    armed = None  # of the class: clones share it
    first = 0

    def __init__(self, moment="on_batch_end", nth=1):
        self.moment = moment
        self.nth = nth

    def notify(self, method_name, net, **kwargs):
        if method_name == self.moment and At.armed is not None:
            At.first += 1
            if At.first >= self.nth:
                end, At.armed = At.armed, None
                end()


for name in ("on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end", "on_train_end"):
    setattr(At, name, lambda self, net, _name=name, **kwargs: self.notify(_name, net))


def arm(end):
    At.armed, At.first = end, 0


@pytest.fixture(autouse=True)
def disarmed():
    At.armed = None
    yield
    At.armed = None


def module():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def make(kind=DeepClassifier, moment="on_batch_end", nth=1, **kwargs):
    kwargs = {"max_epochs": 3, "batch_size": 16, "lr": 0.1, **kwargs}
    own = {"random_state": 0} if kind is not NeuralNetClassifier else {"train_split": None}
    if kind is not DeepClassifier:
        kwargs = {"criterion": nn.CrossEntropyLoss, "verbose": 0, **kwargs}
    return kind(kwargs.pop("module", None) or module(), callbacks=[("at", At(moment, nth))], **own, **kwargs)


def state(net):
    """All that a net has learned, in bytes, and the numbers of its generator."""
    found = {
        "module": net.module_.state_dict(),
        "optimizer": net.optimizer_.state_dict(),
        "modes": [part.training for part in net.module_.modules()],
        "history": net.history.to_list(),
        "names": sorted(vars(net)),
    }
    if isinstance(getattr(net, "random_state", None), np.random.RandomState):
        found["generator"] = net.random_state.get_state()[1].tolist()
    return pickle.dumps(torch.utils._pytree.tree_map(lambda v: v.tolist() if isinstance(v, torch.Tensor) else v, found))


MOMENTS = [
    ("on_train_begin", 1),
    ("on_epoch_begin", 2),
    ("on_batch_begin", 1),
    ("on_batch_end", 1),
    ("on_batch_end", 9),
    ("on_epoch_end", 2),
    ("on_train_end", 1),
]


class TestNets:
    @pytest.mark.parametrize(("moment", "nth"), MOMENTS)
    @pytest.mark.parametrize("end", ["signal", "raised"])
    @pytest.mark.parametrize("call", ["fit", "partial_fit", "warm"])
    def test_classifier(self, call, end, moment, nth):
        net = make(moment=moment, nth=nth, optimizer=torch.optim.Adam).fit(X, Y)
        net.set_params(warm_start=call == "warm")
        proba, before = net.predict_proba(X), state(net)
        arm(ENDS[end])
        with pytest.raises(KeyboardInterrupt):
            (net.partial_fit if call == "partial_fit" else net.fit)(X[:33], Y[:33])
        assert At.armed is None and state(net) == before
        np.testing.assert_array_equal(net.predict_proba(X), proba)
        # It goes on as one that nothing happened to.
        twin = pickle.loads(pickle.dumps(net))
        np.testing.assert_array_equal(net.partial_fit(X, Y).predict_proba(X), twin.partial_fit(X, Y).predict_proba(X))

    @pytest.mark.parametrize("kind", [DeepClassifier, RepeatableClassifier])
    @pytest.mark.parametrize("end", list(ENDS))
    @pytest.mark.parametrize("call", ["fit", "partial_fit"])
    def test_whatever_ends_it(self, kind, call, end):
        net = make(kind, nth=3).set_params(random_state=np.random.RandomState(0)).fit(X, Y)
        before = state(net)
        arm(ENDS[end])
        with pytest.raises(KINDS[end]):
            getattr(net, call)(X, Y)
        assert state(net) == before

    def test_the_first_fit_leaves_nothing(self):
        net = make()
        twin = clone(net)
        names = sorted(vars(net))
        arm(press)
        with pytest.raises(KeyboardInterrupt):
            net.fit(X, Y)
        assert sorted(vars(net)) == names and not net.initialized_
        np.testing.assert_array_equal(net.fit(X, Y).predict_proba(X), twin.fit(X, Y).predict_proba(X))

    def test_while_data_are_loaded_or_validated(self):
        class Samples(Dataset):
            def __len__(self):
                return len(X)

            def __getitem__(self, i):
                if At.armed is not None and i == 40:
                    end, At.armed = At.armed, None
                    end()
                return X[i], Y[i]

        net = make(train_split=ValidSplit(3)).fit(Samples(), None)
        before = state(net)
        for end in (press, throw(KeyboardInterrupt)):
            arm(end)
            with pytest.raises(KeyboardInterrupt):
                net.partial_fit(Samples())
            assert state(net) == before

    def test_early_stopping_still_ends_a_training(self):
        stop = ("stop", EarlyStopping("train_loss", patience=1, threshold=10.0, sink=lambda *_: None))
        for kind in (DeepClassifier, RepeatableClassifier):
            net = make(kind, max_epochs=20).set_params(callbacks=[stop]).fit(X, Y)
            assert len(net.history) < 5
        learner = ActiveLearner(make(NeuralNetClassifier, max_epochs=20).set_params(callbacks=[stop]), X_training=X,
                                y_training=Y)  # fmt: skip
        assert len(learner.estimator.history) < 5

    @pytest.mark.parametrize("end", ["signal", "raised", "exit"])
    def test_pretext(self, end, monkeypatch):
        small = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 4))
        pretext = RotationPretext(small, max_epochs=2, random_state=np.random.RandomState(0), device="cpu").fit(IMAGES)
        before, own = pretext.transform(IMAGES), dict(vars(pretext))
        numbers = pretext.random_state.get_state()[1].tolist()
        monkeypatch.setattr("skal.nets._pretext._Bar.on_epoch_end", lambda *args, **kwargs: ENDS[end]())
        with pytest.raises(KINDS[end]):
            pretext.fit(IMAGES)
        assert vars(pretext) == own and pretext.random_state.get_state()[1].tolist() == numbers
        np.testing.assert_array_equal(pretext.transform(IMAGES), before)

    def test_fusion(self):
        body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1))
        fusion = FusionDescriptor(module=body, layers=("0", "2"), top_k=2, n_components=3, device="cpu").fit(IMAGES)
        own = dict(vars(fusion))

        class Cut(Dataset):
            def __len__(self):
                return len(IMAGES)

            def __getitem__(self, i):
                return press() if i == 4 else IMAGES[i]

        with pytest.raises(KeyboardInterrupt):
            fusion.fit(Cut())
        assert vars(fusion) == own

    def test_detector(self):
        class Tiny(nn.Module):
            def __init__(self, num_classes):
                super().__init__()
                self.layer = nn.Linear(1, num_classes)

            def forward(self, images, targets=None):
                if self.training:
                    return {"loss": self.layer.weight.square().sum()}
                return [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long),
                         "scores": torch.zeros(0)} for _ in images]  # fmt: skip

        images = [np.full((3, 8, 8), 0.5, dtype="f4")] * 4
        y = [{"boxes": [[1, 1, 5, 5]], "labels": ["a"]}] * 4
        net = DeepDetector(Tiny, max_epochs=2, batch_size=2, random_state=0, callbacks=[("at", At())]).fit(images, y)
        before = state(net)
        for call in (net.fit, net.partial_fit):
            arm(press)
            with pytest.raises(KeyboardInterrupt):
                call(images, y)
            assert state(net) == before


class Careless(ClassifierMixin, BaseEstimator):
    """Trains a plain net inside, as a user's own estimator does."""

    def __init__(self, net=None):
        self.net = net

    def fit(self, X, y):
        self.net_ = clone(self.net).fit(X, y)
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return self.net_.predict_proba(X)

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


class TestWhereSkalTrains:
    nets = pytest.mark.parametrize("kind", [DeepClassifier, NeuralNetClassifier])

    @nets
    @pytest.mark.parametrize("end", ["signal", "raised"])
    @pytest.mark.parametrize("call", ["teach", "fit", "relabel", "only_new"])
    def test_learner(self, kind, end, call):
        learner = ActiveLearner(make(kind, nth=2), MarginSampling(), X[:20], Y[:20])
        learner.query(X[20:], n_instances=2)
        before = learner.predict_proba(X)
        arm(ENDS[end])
        with pytest.raises(KeyboardInterrupt):
            {
                "teach": lambda: learner.teach(X[20:30], Y[20:30]),
                "fit": lambda: learner.fit(X[20:40], Y[20:40]),
                "relabel": lambda: learner.relabel(0, 1),
                "only_new": lambda: learner.teach(X[20:40], Y[20:40], only_new=True),
            }[call]()
        assert len(learner.X_training) == 20 and learner.round == 0
        np.testing.assert_array_equal(learner.predict_proba(X), before)
        assert len(learner.estimator.history) == 3

    @pytest.mark.parametrize("wrap", [Careless, lambda net: GridSearchCV(net, {"lr": [0.1]}, cv=2)])
    def test_nets_inside_of_others(self, wrap):
        learner = ActiveLearner(wrap(make(NeuralNetClassifier)), X_training=X[:24], y_training=Y[:24])
        arm(press)
        with pytest.raises(KeyboardInterrupt):
            learner.teach(X[24:], Y[24:])
        assert len(learner.X_training) == 24

    @nets
    def test_clones(self, kind):
        plain = nn.Sequential(nn.Linear(4, 3))  # no dropout: the opinions are those of trained clones
        learner = ActiveLearner(make(kind, module=plain), BALD(random_state=0), X[:20], Y[:20])
        arm(press)
        with pytest.raises(KeyboardInterrupt):
            learner.query(X[20:], n_instances=2)
        assert At.armed is None

    @nets
    def test_simulation(self, kind):
        learner = ActiveLearner(make(kind), MarginSampling(random_state=0), X[:12], Y[:12])
        rounds = simulate(learner, X[12:], Y[12:], n_queries=3, n_instances=4)
        next(rounds)
        arm(press)
        with pytest.raises(KeyboardInterrupt):
            list(rounds)
        assert At.armed is None

    @pytest.mark.parametrize("what", [DeepClassifier, "learner"])
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_grid_search(self, what, n_jobs):
        estimator = make() if what is DeepClassifier else ActiveLearner(make(NeuralNetClassifier), MarginSampling())
        estimator.set_params(**{("" if what is DeepClassifier else "estimator__") + "callbacks": [("end", Ends())]})
        name = "lr" if what is DeepClassifier else "estimator__lr"
        with pytest.raises(KeyboardInterrupt):
            GridSearchCV(estimator, {name: [0.1, 0.2]}, cv=2, n_jobs=n_jobs).fit(X, Y)

    def test_skorch_is_as_it_was_outside(self):
        net = make(NeuralNetClassifier)
        with interrupts_pass(), interrupts_pass():
            arm(press)
            with pytest.raises(KeyboardInterrupt):
                net.fit(X, Y)
        arm(press)
        assert len(net.fit(X, Y).history) == 1  # skorch's own way: the end of the training


class Ends(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_a_script():
    script = """
        import os, signal
        import numpy as np
        from skorch.callbacks import Callback
        from torch import nn
        from skal.nets import DeepClassifier

        signal.signal(signal.SIGINT, signal.default_int_handler)

        class Press(Callback):
            def on_epoch_end(self, net, **kwargs):
                if len(net.history) == 3:
                    os.kill(os.getpid(), signal.SIGINT)

        X = np.random.default_rng(0).normal(size=(40, 4))
        DeepClassifier(nn.Linear(4, 2), max_epochs=10_000, callbacks=[("press", Press())]).fit(X, np.arange(40) % 2)
        os._exit(3)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == -signal.SIGINT and "KeyboardInterrupt" in run.stderr
