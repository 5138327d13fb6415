"""Models that live on an accelerator: what strategies get of them are tensors that lie there."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from skal.models import Head, Model, Outputs
from skal.pool import PoolView, view_pool
from skal.testing import FakePool

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4)).astype(np.float32)
Y = np.arange(30) % 3


class There(Model):
    """A linear model that answers in tensors alone; its accelerator is the CPU."""

    offers = frozenset({"proba", "logits", "embeddings", "head", "linear_head"})
    joint = True
    weight = torch.arange(12.0).reshape(4, 3) / 10

    def __init__(self, estimator):
        super().__init__(estimator)
        self.rooms = []

    def accelerator(self):
        return torch.device("cpu")

    def outputs(self, X, want):
        raise AssertionError("nothing goes through NumPy")

    def tensors(self, X, want, room):
        self.rooms.append(room)
        embeddings = torch.as_tensor(X)
        logits = embeddings @ self.weight
        found = {"embeddings": embeddings, "logits": logits, "proba": logits.softmax(1)}
        return {member: found[member] for member in want}


def view_of(family, X=X):
    view = PoolView(LogisticRegression().fit(X[:6], Y[:6]), X)
    view.model = family(view.classifier)
    return view


def test_tensors_come_as_they_are_and_stay():
    view = view_of(There)
    view.require("embeddings", "proba", by="Somebody")
    embeddings, proba = view.on_device("embeddings"), view.on_device("proba")
    assert type(embeddings) is type(proba) is torch.Tensor and len(view.model.rooms) == 1
    assert view.model.rooms[0] == 2**30
    assert view.on_device("proba") is proba
    np.testing.assert_array_equal(view.proba, proba.numpy())
    assert view.proba is view.proba
    assert view.classes.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(view.on_device("logits").softmax(1), proba)


@pytest.mark.parametrize("idx", [np.array([7, 2, 7]), np.array([4, 3, 2])[::-1], np.array([], dtype=np.int64)])
def test_parts_take_rows_where_they_lie(idx):
    view = view_of(There)
    part = view.part(idx)
    expected = view.on_device("embeddings")[idx.copy()]
    known = view.part(idx)
    assert type(known.on_device("embeddings")) is torch.Tensor
    torch.testing.assert_close(known.on_device("embeddings"), expected, rtol=0, atol=0)
    np.testing.assert_array_equal(known.embeddings, expected.numpy())
    if len(idx):
        # What the whole did not know yet is found for the part alone.
        torch.testing.assert_close(part.on_device("embeddings"), expected, rtol=0, atol=0)


class OnlyArrays(There):
    def outputs(self, X, want):
        return Outputs(**{member: values.numpy() for member, values in There.tensors(self, X, want, 0).items()})

    def tensors(self, X, want, room):
        return Model.tensors(self, X, want, room)


def test_a_family_that_gives_arrays_is_served_too():
    view = view_of(OnlyArrays)
    assert type(view.on_device("logits")) is torch.Tensor
    np.testing.assert_array_equal(view.logits, view_of(There).logits)


def test_what_does_not_fit_is_the_array(monkeypatch):
    monkeypatch.setattr("skal.models._kept.room_on", lambda device: 30 * 3 * 4)
    view = view_of(OnlyArrays)
    view.block_size = 7  # a large pool, whose outputs are gathered on the host
    assert view.on_device("embeddings") is view.embeddings
    assert type(view.on_device("proba")) is torch.Tensor
    np.testing.assert_array_equal(view.on_device("proba"), view.proba)


@pytest.mark.parametrize(
    "model",
    [LogisticRegression(max_iter=200), MLPClassifier((4,), max_iter=20, random_state=0)],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_of_models_of_the_cpu_it_is_the_array(model):
    view = view_pool(model.fit(X, Y), X)
    assert view.model.accelerator() is None
    for member in ("proba", "logits", "embeddings"):
        assert view.on_device(member) is getattr(view, member)
    fake = FakePool(proba=view.proba)
    assert fake.on_device("proba") is fake.proba


def test_members_are_named():
    with pytest.raises(ValueError, match="'member' parameter of on_device must be one of .*Got 'head' instead"):
        view_of(There).on_device("head")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"proba": torch.full((30, 3), 0.5)}, r"Each row .* LogisticRegression must be a distribution.*sums to 1.5"),
        ({"proba": torch.full((30, 3), torch.nan)}, "Each row .* must be a distribution"),
        ({"proba": torch.full((29, 2), 0.5)}, r"must return class probabilities .*Got shape \(29, 2\)"),
        ({"embeddings": torch.full((30, 2), torch.inf)}, "The embeddings of LogisticRegression must be finite"),
        ({"embeddings": torch.zeros(30)}, "The embeddings of LogisticRegression must be an array of numbers of shape"),
        ({}, "Broken offers 'embeddings' of LogisticRegression, but its tensors has none"),
    ],
)
def test_answers_in_tensors_are_looked_at(values, message):
    class Broken(There):
        def tensors(self, X, want, room):
            return values

    with pytest.raises((ValueError, TypeError), match=message):
        view_of(Broken).model.answers_there(X, {"proba"} if "proba" in values else {"embeddings"})


def test_further_axes_are_flattened_and_half_precision_is_taken():
    class Maps(There):
        def tensors(self, X, want, room):
            return {"embeddings": torch.arange(120.0).reshape(30, 2, 2).half()}

    found = view_of(Maps).model.answers_there(X, {"embeddings"})["embeddings"]
    assert found.shape == (30, 4) and found.dtype == torch.float64  # as of an array
    np.testing.assert_array_equal(found, np.arange(120.0).reshape(30, 4))


def test_a_head_of_layers_takes_tensors_of_any_float():
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh()).double()
    head, rows = Head(module), torch.from_numpy(X)
    torch.testing.assert_close(head(rows), module(rows.double()).float())
    assert next(module.parameters()).dtype == torch.float64
