"""Whatever fails, wherever and however: the learner goes on as one that never met the failure."""

import copy
import functools
import random
import threading
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from modAL.models import Committee
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skal.learners import ActiveLearner, DM2ATLearner, simulate
from skal.learners._transaction import Snapshot, unchanged_on_error
from skal.meta import ActiveLearningClassifier
from skal.nets import DeepClassifier
from skal.pool import Memory

rng = np.random.default_rng(0)
Y = np.tile([0, 1, 1, 0, 0, 1], 12)
X = np.clip(0.5 + 0.1 * rng.normal(size=(72, 4)) + 0.15 * (2 * Y[:, None] - 1), 0, 1)

ERRORS = {
    "value": ValueError("bad"),
    "disk": OSError(28, "No space left on device"),
    "memory": MemoryError(),
    "ctrl-c": KeyboardInterrupt(),
    "exit": SystemExit(1),
}


class Fuse:
    """Counts what happens at each moment, and raises at the one that it is set to."""

    error, moment, left = None, None, 0
    counts: ClassVar = defaultdict(int)

    @classmethod
    def burn(cls, moment):
        cls.counts[moment] += 1
        if cls.error is not None and moment == cls.moment:
            cls.left -= 1
            if cls.left == 0:
                error, cls.error = cls.error, None
                raise error

    @classmethod
    def set(cls, error, moment, at=1):
        cls.error, cls.moment, cls.left = error, moment, at


@pytest.fixture(autouse=True)
def _a_cold_fuse():
    Fuse.set(None, None)


class Burning:
    """Before an estimator's class: fails where `Fuse` says."""

    def fit(self, X, y, **params):
        Fuse.burn("fit")
        super().fit(X, y, **params)
        Fuse.burn("fit")
        return self

    def predict(self, X):
        Fuse.burn("predict")
        return super().predict(X)


class Linear(Burning, LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight=sample_weight)

    def decision_function(self, X):  # what wrappers may ask for instead
        Fuse.burn("predict")
        return super().decision_function(X)


class Forest(Burning, RandomForestClassifier):
    def fit(self, X, y):
        self.n_estimators += 2  # as people do with warm_start
        return super().fit(X, y)


class Boosting(Burning, HistGradientBoostingClassifier):
    def fit(self, X, y):
        self.max_iter += 1
        return super().fit(X, y)


class Descent(Burning, SGDClassifier):
    pass


class Perceptrons(Burning, MLPClassifier):
    pass


class Net(Burning, NeuralNetClassifier):
    pass


class Deep(Burning, DeepClassifier):
    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight=sample_weight)


class InPlace(SGDClassifier):
    """Goes on from its weights in place."""

    def fit(self, X, y):
        Fuse.burn("fit")
        self.partial_fit(X, y, classes=[0, 1])
        Fuse.burn("fit")
        return self

    def predict(self, X):
        Fuse.burn("predict")
        return super().predict(X)


class Slotted:
    """Weights in slots, which refuses to be copied."""

    __slots__ = ("fits", "weights")

    def __init__(self):
        self.weights = np.zeros(4)

    def __deepcopy__(self, memo):
        raise TypeError("this cannot be copied")

    __copy__ = __reduce_ex__ = __deepcopy__


class Numbers(ClassifierMixin, BaseEstimator):
    """Trained in place, on all kinds of numbers and generators, beside a lock."""

    def __init__(self, generator=None):
        self.generator = generator

    def fit(self, X, y):
        if not hasattr(self, "inner_"):
            self.classes_ = np.array([0, 1])
            self.inner_, self.lock_, self.torch_ = Slotted(), threading.Lock(), torch.Generator().manual_seed(3)
            self.bytes_, self.queue_, self.seen_ = bytearray(2), deque(maxlen=2), set()
            self.frame_, self.plain_ = pd.DataFrame({"n": [0, 0]}), random.Random(1)
            self.step_ = functools.partial(np.add, OrderedDict(a=1))
        Fuse.burn("fit")
        self.queue_.append(len(X))
        self.seen_.add(len(X))
        self.bytes_[0] += 1
        self.frame_.iloc[0, 0] += 1
        self.step_.args[0]["a"] = self.plain_.random()
        self.inner_.fits = len(X)
        noise = self.generator.normal() + torch.rand(1, generator=self.torch_).item()
        Fuse.burn("fit")
        self.inner_.weights += X[y == 1].mean(axis=0) - X[y == 0].mean(axis=0) + 0.01 * noise
        Fuse.burn("fit")
        return self

    def predict(self, X):
        Fuse.burn("predict")
        values = (X - 0.5) @ self.inner_.weights + 1e-3 * self.frame_.iloc[0, 0] + 1e-3 * sum(self.queue_)
        return (values + 1e-3 * self.bytes_[0] + 1e-3 * self.step_.args[0]["a"] > 0.03).astype(int)


class Holder(ClassifierMixin, BaseEstimator):
    """Holds others in a list, a dict and an attribute that are no parameters, and trains them further."""

    def fit(self, X, y):
        if not hasattr(self, "members"):
            make = functools.partial(InPlace, loss="log_loss", random_state=0)
            self.members, self.named, self.inner = [make(), make()], {"a": [make()]}, make_pipeline(make())
            self.classes_ = np.array([0, 1])
        for member in self._all():
            member.fit(X, y)
        return self

    def _all(self):
        return [*self.members, *self.named["a"], self.inner]

    def predict(self, X):
        return (np.mean([member.predict(X) for member in self._all()], axis=0) > 0.5).astype(int)


class Members(ClassifierMixin, BaseEstimator):
    """A modAL Committee in an estimator, whose members go on in place."""

    def fit(self, X, y):
        if not hasattr(self, "committee_"):
            self.committee_ = Committee(
                [ActiveLearner(InPlace(loss="log_loss", random_state=i), X_training=X, y_training=y) for i in range(2)]
            )
        self.committee_.teach(X, y)
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X):
        found = self.committee_.predict(X)
        Fuse.burn("predict")
        return found


class Keeping:
    """A strategy with a state of its own, kept in every way."""

    def __init__(self):
        self.draw, self.generator = np.random.RandomState(5), np.random.default_rng(5)
        self.asked, self.counts = [], np.zeros(72, dtype=int)

    def __call__(self, classifier, X, n_instances=1):
        self.asked.append(n_instances)
        self.counts[:n_instances] += 1
        self.draw.rand()
        Fuse.burn("strategy")
        classifier.predict(X)
        order = self.draw.permutation(len(X)) + self.generator.random(len(X)) + 0.1 * self.counts[: len(X)]
        return np.argsort(order)[:n_instances]


def module():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def plain_net():
    kept = module()
    net = Net(
        kept, criterion=nn.CrossEntropyLoss, max_epochs=2, optimizer=torch.optim.Adam, warm_start=True, verbose=0,
        train_split=None, iterator_train__generator=torch.Generator().manual_seed(1), iterator_train__shuffle=True,
    )  # fmt: skip
    return net.set_params(callbacks__print_log=None)


KINDS = {
    "pipeline": lambda: make_pipeline(StandardScaler(), Linear()),
    "feature union": lambda: make_pipeline(FeatureUnion([("a", StandardScaler()), ("b", PCA(2))]), Linear()),
    "column transformer": lambda: make_pipeline(
        make_column_transformer((StandardScaler(), [0, 1]), remainder="passthrough"), Linear()
    ),
    "voting": lambda: VotingClassifier([("a", Linear()), ("b", GaussianNB()), ("c", Linear(C=0.1))]),
    "stacking": lambda: StackingClassifier([("a", Linear()), ("b", GaussianNB())], Linear(), cv=2),
    "calibrated": lambda: CalibratedClassifierCV(Linear(), cv=2),
    "one versus rest": lambda: OneVsRestClassifier(Linear()),
    "several outputs": lambda: MultiOutputClassifier(Linear()),
    "grid": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), Linear()), {"linear__C": [0.1, 1]}, cv=2, error_score="raise"
    ),
    "halving": lambda: HalvingGridSearchCV(
        make_pipeline(StandardScaler(), Linear()), {"linear__C": [0.1, 1]}, cv=2, error_score="raise", random_state=0,
        min_resources=8,
    ),
    "bagging": lambda: BaggingClassifier(Linear(), n_estimators=3, random_state=np.random.RandomState(0)),
    "boosting": lambda: AdaBoostClassifier(Linear(), n_estimators=3, random_state=0),
    "held elsewhere": Holder,
    "imblearn": lambda: make_imblearn_pipeline(
        StandardScaler(), RandomOverSampler(random_state=np.random.RandomState(0)), Linear()
    ),
    "learner": lambda: ActiveLearner(InPlace(random_state=0), Keeping()),
    "committee": Members,
    "net of a module": plain_net,
    "deep": lambda: Deep(module(), max_epochs=2, optimizer=torch.optim.Adam, warm_start=True, random_state=0),
    "forest": lambda: Forest(2, warm_start=True, random_state=np.random.RandomState(0)),
    "histograms": lambda: Boosting(max_iter=2, warm_start=True, random_state=0, min_samples_leaf=3),
    "sgd": lambda: Descent(warm_start=True, random_state=np.random.RandomState(0)),
    "perceptrons": lambda: Perceptrons((3,), warm_start=True, max_iter=3, random_state=np.random.RandomState(0)),
    "in place": lambda: InPlace(random_state=np.random.RandomState(0)),
    "numbers": lambda: Numbers(np.random.default_rng(2)),
    "adversarial": lambda: Deep(module(), max_epochs=2, optimizer=torch.optim.Adam, warm_start=True, random_state=0),
}  # fmt: skip


def make_learner(kind):
    make = DM2ATLearner if kind == "adversarial" else ActiveLearner
    y = np.column_stack([Y, 1 - Y]) if kind == "several outputs" else Y
    given = X.astype(np.float32) if kind in ("net of a module", "deep", "adversarial") else X
    learner = make(KINDS[kind](), Keeping(), given[:24], y[:24], random_state=np.random.RandomState(7))
    idx, samples = learner.query(given[30:], n_instances=4)
    learner.teach(samples, y[30:][idx])
    learner.query(given[30:], n_instances=2)
    return learner, given, y


def all_of(learner, X):
    """What can be seen of a learner, and of what it draws from."""
    strategy = learner.query_strategy
    return {
        "predictions": learner.predict(X).tolist(),
        "labels": (np.asarray(learner.X_training).tolist(), np.asarray(learner.y_training).tolist()),
        "round": (learner.round, learner._has_query, learner.n_rounds),
        "memory": repr(learner.memory._entries),
        "generators": (
            learner.random_state.get_state()[1].tolist(), strategy.draw.get_state()[1].tolist(),
            strategy.draw.get_state()[2], str(strategy.generator.bit_generator.state),
        ),
        "strategy": (strategy.asked.copy(), strategy.counts.tolist()),
    }  # fmt: skip


@functools.cache
def burns(kind, verb):
    """How often the fuse burns in one call of a verb."""
    learner, given, y = make_learner(kind)
    Fuse.counts.clear()
    call(learner, verb, given, y)
    return Fuse.counts["fit"]


def call(learner, verb, given, y):
    verbs = {
        "teach": lambda: learner.teach(given[24:30], y[24:30], bootstrap=True),
        "fit": lambda: learner.fit(given[10:50], y[10:50], bootstrap=True),
        "relabel": lambda: learner.relabel([0, 3], 1 - y[[0, 3]]),
        "undo": learner.undo,
        "query": lambda: learner.query(given[30:], n_instances=3),
    }
    return verbs[verb]()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_changed_by_what_fails(kind, error):
    error = ERRORS[error]
    learner, given, y = make_learner(kind)
    twin = make_learner(kind)[0]
    before, params, own = all_of(learner, given), learner.get_params(), dict(vars(learner))
    assert before == all_of(twin, given)
    same = [
        name for name, value in learner.get_params().items() if params[name] is value
    ]  # skorch makes callbacks anew
    moments = [("query", "strategy", 1), ("query", "predict", 1)]
    for verb in ("teach", "fit", "relabel", "undo"):
        n = burns(kind, verb)
        moments += [(verb, "fit", at) for at in sorted({1, n // 2 + 1, n})]
    for verb, moment, at in moments:
        Fuse.set(error, moment, at)
        with pytest.raises(type(error)):
            call(learner, verb, given, y)
        assert all_of(learner, given) == before, (verb, moment, at)
        now = learner.get_params()
        assert now.keys() == params.keys()
        assert [name for name in same if now[name] is not params[name]] == []
        assert all(vars(learner)[name] is own[name] for name in own)
    for one in (learner, twin):
        one.teach(given[24:30], y[24:30])
    picks = [one.query(given[30:], n_instances=5)[0].tolist() for one in (learner, twin)]
    assert picks[0] == picks[1]
    for one in (learner, twin):
        one.teach(given[50:60], y[50:60], bootstrap=True)
    assert all_of(learner, given) == all_of(twin, given)


@pytest.mark.parametrize("error", ERRORS)
def test_what_outsiders_hold_is_still_what_is_trained(error):
    """The module that a plain net was given, the optimizer's parameters, and a view of an array of weights."""
    learner, given, y = make_learner("net of a module")
    net, kept = learner.estimator, learner.estimator.module
    assert net.module_ is kept
    weights = {name: value.clone() for name, value in kept.state_dict().items()}
    states = copy.deepcopy(net.optimizer_.state_dict())
    Fuse.set(ERRORS[error], "fit", 2)
    with pytest.raises(type(ERRORS[error])):
        learner.teach(given[24:30], y[24:30])
    assert learner.estimator is net and net.module is kept and net.module_ is kept
    assert all(torch.equal(value, weights[name]) for name, value in kept.state_dict().items())
    assert [id(p) for group in net.optimizer_.param_groups for p in group["params"]] == [
        id(p) for p in kept.parameters()
    ]
    now = net.optimizer_.state_dict()
    assert all(torch.equal(now["state"][i][name], one[name]) for i, one in states["state"].items() for name in one)


def test_a_failing_construction_leaves_the_estimator():
    estimator = InPlace(loss="log_loss", random_state=0).fit(X[:20], Y[:20])
    coef = estimator.coef_.copy()
    Fuse.set(MemoryError(), "fit", 2)
    with pytest.raises(MemoryError):
        ActiveLearner(estimator, Keeping(), X[20:40], Y[20:40])
    np.testing.assert_array_equal(estimator.coef_, coef)


@pytest.mark.parametrize(
    "make",
    [ActiveLearner, lambda *args: Committee([ActiveLearner(*args[:1], X_training=X[:9], y_training=Y[:9])], args[1])],
)
def test_a_failed_round_of_simulate_takes_its_query_back(make):
    """The query succeeds and draws; the training fails."""
    learner = make(InPlace(loss="log_loss", random_state=0), Keeping())
    steps = simulate(learner, X, Y, initial=np.arange(20), n_instances=4, n_queries=2)
    next(steps)
    strategy, before = learner.query_strategy, learner.predict(X).tolist()
    drawn = strategy.draw.get_state()[1].tolist()
    Fuse.set(KeyboardInterrupt(), "fit", 2)
    with pytest.raises(KeyboardInterrupt):
        next(steps)
    assert strategy.asked == [] and strategy.counts.sum() == 0
    assert strategy.draw.get_state()[1].tolist() == drawn
    assert learner.predict(X).tolist() == before


@pytest.mark.parametrize("error", ERRORS)
def test_a_failed_fit_of_the_loop_leaves_it(error):
    template, strategy, draw = InPlace(loss="log_loss", random_state=0), Keeping(), np.random.RandomState(1)
    al = ActiveLearningClassifier(template, strategy, n_initial=10, n_instances=4, n_queries=2, random_state=draw)
    al.fit(X, Y)
    before, predictions, state = dict(vars(al)), al.predict(X).tolist(), draw.get_state()[1].tolist()
    inner = copy.copy(al.estimator_.coef_)
    for moment, at in (("fit", 3), ("strategy", 2)):
        Fuse.set(ERRORS[error], moment, at)
        with pytest.raises(type(ERRORS[error])):
            al.fit(X[:60], Y[:60])
        assert vars(al) == before and al.predict(X).tolist() == predictions
        assert draw.get_state()[1].tolist() == state
        np.testing.assert_array_equal(al.estimator_.coef_, inner)
    assert strategy.asked == [] and not hasattr(template, "coef_")


# -- the parts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frozen:
    values: list
    count: int = 0


class Slots:
    """An attribute in a slot, and no way to be pickled of its own."""

    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


class Box:
    """Whatever it is given."""

    def __init__(self, **values):
        vars(self).update(values)

    def fill(self, value):
        self.a.append(value)


def counting(classifier, X, n_instances=1):
    counting.calls += 1


counting.calls = 0


CHANGES = {
    "attribute": (Box(a=1), lambda one: setattr(one, "a", 2), lambda one: one.a),
    "new attribute": (Box(), lambda one: setattr(one, "a", 2), lambda one: vars(one).copy()),
    "lost attribute": (Box(a=1), lambda one: delattr(one, "a"), lambda one: vars(one).copy()),
    "frozen slots": (Frozen([1]), lambda one: (one.values.append(2), object.__setattr__(one, "count", 5)), repr),
    "slots": (Slots(1), lambda one: setattr(one, "a", 2), lambda one: one.a),
    "memory": (Memory(), lambda one: one.keep("owner", {}, 1), lambda one: repr(vars(one))),
    "ordered": (OrderedDict(a=1, b=2), lambda one: one.move_to_end("a"), lambda one: list(one)),
    "default": (defaultdict(list, a=[1]), lambda one: one["b"].append(one["a"].append(2)), repr),
    "deque": (deque([1, 2], maxlen=2), lambda one: one.append(3), repr),
    "set": ({1}, lambda one: one.add(2), repr),
    "bytes": (bytearray(b"a"), lambda one: one.extend(b"b"), bytes),
    "array": (np.arange(3), lambda one: one.__setitem__(0, 9), lambda one: one.tolist()),
    "masked": (np.ma.array([1, 2], mask=[0, 1]), lambda one: one.__setitem__(1, 9), repr),
    "objects": (np.array([[1], None], dtype=object), lambda one: one[0].append(2), repr),
    "frame": (pd.DataFrame({"a": [1, 2]}), lambda one: one.__setitem__("a", 9), repr),
    "cell of a frame": (pd.DataFrame({"a": [1, 2]}), lambda one: one.__setattr__("a", one.a.shift()), repr),
    "tensor": (torch.zeros(2), lambda one: one.add_(1), lambda one: one.tolist()),
    "other shape": (torch.zeros(2), lambda one: setattr(one, "data", torch.ones(3)), lambda one: one.tolist()),
    "frozen weights": (nn.Linear(2, 1), lambda one: one.requires_grad_(False), lambda one: one.weight.requires_grad),
    "mode": (nn.Linear(2, 1), lambda one: one.eval(), lambda one: one.training),
    "lazy": (nn.LazyLinear(2), lambda one: one(torch.ones(1, 3)), lambda one: (type(one), type(one.weight))),
    "double": (nn.Linear(2, 1), lambda one: one.double(), lambda one: one.weight.dtype),
    "partial": (functools.partial(max, [1], key={}), lambda one: one.args[0].append(2), repr),
    "method": (Box(a=[1]).fill, lambda one: one(2), lambda one: list(one.__self__.a)),
    "function": (counting, lambda one: setattr(one, "calls", 3), lambda one: one.calls),
    "random": (random.Random(0), lambda one: one.random(), lambda one: one.getstate()),
    "state": (np.random.RandomState(0), lambda one: one.rand(), lambda one: one.get_state()[1].tolist()),
    "mersenne": (
        np.random.Generator(np.random.MT19937(0)), lambda one: one.random(), lambda one: str(one.bit_generator.state)
    ),
    "torch": (torch.Generator(), lambda one: torch.rand(1, generator=one), lambda one: one.get_state().tolist()),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_each_kind_of_object_gets_its_content_back(kind):
    one, change, read = CHANGES[kind]
    holder = {"deep": [(Box(inner=one),)]}
    before = read(one)
    with pytest.raises(KeyboardInterrupt), unchanged_on_error(holder):
        change(one)
        assert read(one) != before
        raise KeyboardInterrupt
    assert read(one) == before
    assert holder["deep"][0][0].inner is one


def test_the_last_gradient_and_shared_weights():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    net(torch.ones(1, 2)).sum().backward()
    gradient, weight = net[0].weight.grad.clone(), net[0].weight.detach().clone()
    with pytest.raises(ValueError), unchanged_on_error(net):
        torch.optim.SGD(net.parameters(), lr=1.0).step()
        net.zero_grad()
        raise ValueError
    assert net[1].weight is net[0].weight
    assert torch.equal(net[0].weight, weight) and torch.equal(net[0].weight.grad, gradient)


def test_what_is_at_work_and_global_generators_are_left():
    lock, stream = threading.Lock(), np.random.get_state.__self__
    worker = Box(lock=lock, done=0)
    state = stream.get_state()
    try:
        with pytest.raises(ValueError), unchanged_on_error(Box(worker=worker, stream=stream, stack=Box(a=1))):
            worker.done = 1
            stream.rand()
            after = stream.get_state()[2]
            raise ValueError
        assert worker.done == 1 and stream.get_state()[2] == after
    finally:
        stream.set_state(state)


def test_large_arrays_are_not_copied_where_nothing_trains():
    small, large = np.zeros(3), np.zeros(300)
    with pytest.raises(ValueError), unchanged_on_error([small, large], largest=100):
        small[0] = large[0] = 1
        raise ValueError
    assert small[0] == 0 and large[0] == 1
    assert len(Snapshot([large], leave=(large,))._parts) == 1


def test_a_second_interruption_leaves_no_half(monkeypatch):
    values, pressed = [1], []
    before = Snapshot.put_back

    def put_back(self):
        if not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        before(self)

    monkeypatch.setattr(Snapshot, "put_back", put_back)
    with pytest.raises(KeyboardInterrupt), unchanged_on_error(values):
        values.append(2)
        raise ValueError
    assert values == [1]
