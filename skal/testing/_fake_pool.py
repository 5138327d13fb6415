"""`FakePool`: a view of known numbers, to be put in the classifier's place."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from ..models import Head, Model, Outputs, checked_detections
from ..pool import Memory, PoolView
from ..rows import n_rows
from ..utils._validation import kind_of, shown

__all__ = ["FakePool"]

_OUTPUTS = ("proba", "logits", "embeddings")
_SEVERAL = ("opinions", "members", "clones", "perturbed", "snapshots")


class FakePool(PoolView):
    """A pool of known numbers, which goes in the classifier's place: ``strategy.select(fake, fake.X, k)``.

    It supplies what it is given, what follows from that, and nothing else: on all else a strategy gets
    `PoolCapabilityError`, as from a classifier that has it not.

    Parameters
    ----------
    proba : array-like of shape (n, n_classes) or callable, optional
        Class probabilities. A callable gets samples and returns their probabilities; a strategy may then ask about
        samples that are not in the pool, as `DM2` does. Without it, the softmax of the logits.
    embeddings : array-like of shape (n, d), optional
        Embeddings.
    logits : array-like of shape (n, n_classes), optional
        Logits. Without them, what the head makes of the embeddings.
    head : (weight, bias), callable or `skal.models.Head`, optional
        From embeddings to logits: a weight (n_classes, d) and a bias (n_classes,), or any function of a float64 tensor
        (n, d) under torch autograd. Needs `embeddings`.
    boxes : sequence of n array-likes of shape (n_boxes, n_classes), optional
        For what asks a detector: the class distributions of the boxes of each image.
    detections : sequence of n dicts or callable, optional
        For what asks a detector: the "boxes" (n_boxes, 4) of each image, their "scores" (n_boxes,) and, perhaps,
        "proposals" (n_boxes, 4). A callable gets the level of noise, 0 for none, and returns those under it.
    opinions, members, clones, perturbed, snapshots : sequence of array-likes of shape (n, n_classes), optional
        Class probabilities by several opinions of the model, the members of a committee, clones, copies with noise in
        their weights, and a clone at points of its training. The first of them are handed out, as many as are asked
        for, but all members; clones and noisy copies must be enough. Clones and snapshots need `labeled`.
    labeled : FakePool, optional
        The labelled data, with `y`.
    classes : array-like of shape (n_classes,), optional
        The label of each column; those of the pool for `labeled`, else 0, 1, ....
    X : n samples, optional
        The raw pool. By default the embeddings, or else the positions 0, 1, ..., (n, 1) float64.
    y : array-like of shape (n,), optional
        Labels, for what is to be another one's `labeled`.
    round : int >= 0, default=0
        Queries answered before.
    n_rounds : int, optional
        Queries planned.
    memory : Memory, optional
        That of an earlier query; by default a new one.

    Attributes
    ----------
    asked : Counter of str
        How often each member was computed.

    Raises
    ------
    ValueError
        Nothing that tells the number of samples, lengths or shapes that do not fit, a head without embeddings, or
        logits that are not the head's.

    Examples
    --------
    >>> from skal.strategies import CoreSet, MarginSampling
    >>> from skal.testing import FakePool
    >>> fake = FakePool(proba=[[0.9, 0.1], [0.5, 0.5], [0.7, 0.3]])
    >>> MarginSampling().select(fake, fake.X, 2)[0].tolist()
    [1, 2]
    >>> dict(fake.asked)
    {'proba': 1}
    >>> fake = FakePool(embeddings=[[0.0], [2.0], [5.0]], labeled=FakePool(embeddings=[[1.0]], y=[0]))
    >>> CoreSet().select(fake, fake.X, 1)
    (array([2]), array([4.]))
    """

    def __init__(
        self,
        *,
        proba: ArrayLike | Callable[[Any], ArrayLike] | None = None,
        embeddings: ArrayLike | None = None,
        logits: ArrayLike | None = None,
        head: Any = None,
        boxes: Sequence[ArrayLike] | None = None,
        detections: Sequence[dict[str, Any]] | Callable[[float], Sequence[dict[str, Any]]] | None = None,
        opinions: Sequence[ArrayLike] | None = None,
        members: Sequence[ArrayLike] | None = None,
        clones: Sequence[ArrayLike] | None = None,
        perturbed: Sequence[ArrayLike] | None = None,
        snapshots: Sequence[ArrayLike] | None = None,
        labeled: FakePool | None = None,
        classes: ArrayLike | None = None,
        X: Any = None,
        y: ArrayLike | None = None,
        round: int = 0,
        n_rounds: int | None = None,
        memory: Memory | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "proba": proba if callable(proba) else _matrix("proba", proba),
            "embeddings": _matrix("embeddings", embeddings),
            "logits": _matrix("logits", logits),
            "boxes": None if boxes is None else [np.asarray(box, dtype=np.float64) for box in boxes],
            "detections": detections if detections is None or callable(detections) else list(detections),
        }
        several = {"opinions": opinions, "members": members, "clones": clones, "perturbed": perturbed}
        for name, arrays in (several | {"snapshots": snapshots}).items():
            given[name] = None if arrays is None else [_matrix(name, array) for array in arrays]
        given["head"] = _as_head(head)
        _follow(given)
        X = _samples(X, y, given)
        given = {name: value for name, value in given.items() if value is not None}
        _check_lengths(n_rows(X), given, y)
        _check_shapes(given, classes, labeled)
        model = _Known(_Classifier(classes, memory or Memory(), round, n_rounds), X, given)
        y_training = None if labeled is None else labeled.y
        if labeled is not None and y_training is None:
            y_training = np.full(len(labeled), None)
        super().__init__(model.estimator, X, X_training=None if labeled is None else labeled.X, y_training=y_training)
        self.y = None if y is None else np.asarray(y)
        self.round = int(round)
        self._known = model
        self._given_labeled = labeled
        self._owner: FakePool | None = None
        if labeled is not None:
            labeled._owner = self

    @property
    def model(self) -> Model:
        """Tells the numbers; what it `offers` may be narrowed."""
        return self._known

    @property
    def asked(self) -> Counter[str]:
        """How often each member was computed."""
        return self._known.asked

    @cached_property
    def labeled(self) -> PoolView | None:
        """The labelled data as they were given."""
        return self._given_labeled

    @cached_property
    def classes(self) -> NDArray:
        """The label of each column of `proba`."""
        known = self._known.estimator.classes
        if known is not None:
            return np.asarray(known)
        if self._owner is not None:
            return self._owner.classes
        n_columns = self._known.n_columns()
        if n_columns is None:
            raise ValueError("FakePool needs classes=, since nothing that it was given shows how many there are.")
        return np.arange(n_columns)

    @cached_property
    def y_encoded(self) -> NDArray[np.int64]:
        """Column of `proba` for each label in `y`."""
        if self.y is None:
            raise ValueError("The FakePool of the labelled data needs y=, its labels.")
        return super().y_encoded

    def part(self, idx: NDArray[np.integer]) -> FakePool:
        """Some rows of the pool, whose numbers are counted as the pool's."""
        view: Any = super().part(idx)
        view._known = self._known.part(view.X, idx)
        return view

    def block(self, rows: slice, X: Any) -> FakePool:
        """Consecutive rows of the pool, whose numbers are counted as the pool's."""
        view: Any = super().block(rows, X)
        view._known = self._known.part(X, np.arange(rows.start, rows.stop))
        return view

    def require(self, *members: str, by: str) -> None:
        """As of any view; the labelled data hear who asks."""
        super().require(*members, by=by)
        if self.labeled is not None:
            self.labeled.require(by=by)

    def iter_outputs(self, want: tuple[str, ...], block_size: int) -> Iterator[tuple[slice, Outputs]]:
        """Members of `want` for consecutive blocks of the pool."""
        whole = self._pass(self.X, set(want))
        for start in range(0, len(self), block_size):
            rows = slice(start, min(start + block_size, len(self)))
            found = {name: getattr(whole, name) for name in _OUTPUTS}
            yield rows, Outputs(**{name: value[rows] for name, value in found.items() if value is not None})

    def iter_clone_samples(
        self, n: int, rng: np.random.Generator, *, bootstrap: bool = True, by: str | None = None
    ) -> Iterator[NDArray]:
        """The first `n` of the clones; all members, where these were given."""
        if self.model.supplies("members"):
            return self.model.members(self.X)
        return self._ask("clones", by, lambda: self._known.several("clones", n))


class _Classifier:
    """What a view is made of, instead of a learner."""

    def __init__(self, classes: ArrayLike | None, memory: Memory, round: int, n_rounds: int | None) -> None:
        self.classes = None if classes is None else np.asarray(classes)
        self.memory = memory
        self.round = round
        self.n_rounds = n_rounds


class _Known(Model):
    """Numbers of the samples `X`."""

    def __init__(self, estimator: Any, X: Any, given: dict[str, Any]) -> None:
        super().__init__(estimator)
        self.name = "FakePool"
        self.asked: Counter[str] = Counter()
        self._X = X
        self._given = given
        self.offers = frozenset(given)
        if "head" in given and given["head"].is_linear:
            self.offers |= {"linear_head"}
        found = given.get("detections")
        if found and "proposals" in (found(0.0) if callable(found) else found)[0]:
            self.offers |= {"proposals"}
        if "snapshots" in given:
            # A clone is watched.
            self.offers |= {"clones"}

    def part(self, X: Any, idx: NDArray[np.integer]) -> _Known:
        """The numbers of the samples `idx`, which are `X`; what is asked of them counts here, too."""
        twin = copy.copy(self)
        twin._X, twin._given = X, {name: _rows_of(name, value, idx) for name, value in self._given.items()}
        return twin

    def supplies(self, member: str) -> bool:
        return member in self.offers

    def advice(self, member: str) -> str:
        return f"Give it {member.replace('linear_', '')}=."

    def is_fitted(self) -> bool:
        return True

    def n_columns(self) -> int | None:
        return next(iter(_n_classes(self._given).values()), None)

    def outputs(self, X: Any, want: Collection[str]) -> Outputs:
        return Outputs(**{member: self._output(member, X) for member in sorted(want)})

    def _output(self, member: str, X: Any) -> NDArray:
        value = self._given.get(member)
        if value is None or member not in self.offers:
            raise self.lacks(member)
        self.asked[member] += 1
        if callable(value):
            return np.asarray(value(X), dtype=np.float64)
        if X is not self._X:
            raise ValueError(f"FakePool knows {member} of its own samples only: give {member} as a callable.")
        return value

    def head(self) -> Head:
        self.asked["head"] += 1
        return self._given["head"]

    def several(self, member: str, n: int) -> Iterator[NDArray]:
        """The first `n` arrays of a member."""
        if member not in self._given:
            raise self.lacks(member)
        known = self._given[member]
        if len(known) < n and member in ("clones", "perturbed"):
            raise ValueError(f"FakePool must be given as many {member} as are asked for, {n}. Got {len(known)}.")
        self.asked[member] += 1
        return iter(known[:n])

    def opinions(self, X: Any, n: int, rng: np.random.Generator) -> Iterator[NDArray]:
        return self.several("opinions", n)

    def members(self, X: Any) -> Iterator[NDArray]:
        return self.several("members", len(self._given["members"]))

    def perturbed(self, X: Any, n: int, scale: float, rng: np.random.Generator) -> Iterator[NDArray]:
        return self.several("perturbed", n)

    def snapshots(
        self,
        X: Any,
        X_labeled: Any,
        y: NDArray,
        classes: NDArray,
        n: int,
        rng: np.random.Generator,
        see: Callable[[NDArray], None],
    ) -> None:
        for proba in self.several("snapshots", n):
            see(proba)

    def boxes(self, X: Any, n: int) -> Iterator[NDArray]:
        return self.several("boxes", n)

    def detections(self, X: Any, n: int, noise: float = 0.0, seed: int = 0) -> Iterator[dict[str, NDArray]]:
        return self._detected(noise, "boxes", "scores")

    def proposals(self, X: Any, n: int) -> Iterator[dict[str, NDArray]]:
        return self._detected(0.0, "boxes", "scores", "proposals")

    def _detected(self, noise: float, *names: str) -> Iterator[dict[str, NDArray]]:
        self.asked["detections"] += 1
        found = self._given["detections"]
        return (checked_detections(one, names, self.name) for one in (found(noise) if callable(found) else found))


def _rows_of(name: str, value: Any, idx: NDArray[np.integer]) -> Any:
    """Rows of what was given as `name`: a head and a callable have none."""
    if name in _SEVERAL:
        return [array[idx] for array in value]
    if name == "detections" and callable(value):
        return lambda noise: [value(noise)[i] for i in idx.tolist()]
    if name in ("boxes", "detections"):
        return [value[i] for i in idx.tolist()]
    return value[idx] if isinstance(value, np.ndarray) else value


# -- what was given ----------------------------------------------------------------------------------------------


def _matrix(name: str, values: Any) -> NDArray | None:
    """`values` as a float array of two axes."""
    if values is None:
        return None
    array = np.asarray(values)
    array = array if array.dtype.kind == "f" else array.astype(np.float64)
    if array.ndim != 2:
        raise ValueError(f"The '{name}' of FakePool must have two axes, samples first. Got shape {array.shape}.")
    return array


def _as_head(head: Any) -> Head | None:
    if head is None or isinstance(head, Head):
        return head
    if isinstance(head, (tuple, list)) and len(head) == 2:
        weight, bias = (np.asarray(part, dtype=np.float64) for part in head)
        if weight.ndim == 2 and bias.shape == (len(weight),):
            return Head(weight=weight, bias=bias)
        raise ValueError(
            "The 'head' of FakePool must be a weight (n_classes, d) and a bias (n_classes,). "
            f"Got shapes {weight.shape} and {bias.shape}."
        )
    if callable(head):
        return Head(head)
    raise ValueError(f"The 'head' of FakePool must be (weight, bias), a callable or a Head. Got {shown(head)} instead.")


def _follow(given: dict[str, Any]) -> None:
    """Add to `given` the logits of the head, and the probabilities of the logits."""
    head, embeddings = given["head"], given["embeddings"]
    if head is not None:
        if embeddings is None:
            raise ValueError("The 'head' of FakePool needs embeddings=, which it maps to the logits.")
        if head.is_linear and head.weight.shape[1] != embeddings.shape[1]:
            raise ValueError(
                f"The 'head' of FakePool takes embeddings of {head.weight.shape[1]} dimensions, "
                f"but these have {embeddings.shape[1]}."
            )
        with torch.no_grad():
            logits = np.asarray(head(torch.tensor(embeddings, dtype=torch.float64)))
        if given["logits"] is None:
            given["logits"] = logits
        elif given["logits"].shape != logits.shape or not np.allclose(given["logits"], logits, atol=1e-5):
            raise ValueError("The 'logits' of FakePool must be what its head makes of its embeddings.")
    if given["proba"] is None and given["logits"] is not None:
        given["proba"] = softmax(given["logits"], axis=1)


def _samples(X: Any, y: Any, given: dict[str, Any]) -> Any:
    """The raw pool, where none was given."""
    if X is not None:
        return X
    if given["embeddings"] is not None:
        return given["embeddings"]
    outputs = [given["proba"], given["logits"], given["boxes"], given["detections"], y]
    several = [arrays[0] for name in _SEVERAL if (arrays := given[name])]
    known = [value for value in [*outputs, *several] if value is not None and not callable(value)]
    if not known:
        raise ValueError("FakePool needs X=, since nothing that it was given shows how many samples there are.")
    return np.arange(len(known[0]), dtype=np.float64)[:, None]


def _check_lengths(n: int, given: dict[str, Any], y: Any) -> None:
    names = [name for name in (*_OUTPUTS, "boxes", "detections") if name in given and not callable(given[name])]
    lengths = {name: len(given[name]) for name in names}
    lengths |= {name: len(array) for name in _SEVERAL for array in given.get(name, [])}
    lengths |= {} if y is None else {"y": len(np.asarray(y))}
    wrong = {name: length for name, length in lengths.items() if length != n}
    if wrong:
        words = ", ".join(f"{name} has {length}" for name, length in wrong.items())
        raise ValueError(f"All that FakePool is given must be of the same number of samples, {n}: {words}.")


def _check_shapes(given: dict[str, Any], classes: Any, labeled: FakePool | None) -> None:
    if labeled is not None and not isinstance(labeled, FakePool):
        raise ValueError(f"The 'labeled' of FakePool must be another FakePool. Got {kind_of(labeled)}.")
    widths = _n_classes(given) | ({} if classes is None else {"classes": len(classes)})
    if len(set(widths.values())) > 1:
        raise ValueError(f"All that FakePool is given must have one column for each class. Got {widths}.")
    if labeled is not None:
        theirs, ours = labeled.model.n_columns(), next(iter(widths.values()), None)
        if theirs is not None and ours is not None and theirs != ours:
            raise ValueError(f"The labelled FakePool must have the pool's classes, {ours}. Got {theirs}.")


def _n_classes(given: dict[str, Any]) -> dict[str, int]:
    """Number of classes that each member shows."""
    widths = {}
    for name, value in given.items():
        if isinstance(value, Head):
            widths[name] = None if value.weight is None else len(value.weight)
        elif isinstance(value, list) and name != "detections":
            widths[name] = next((array.shape[1] for array in value if array.size), None)
        elif name not in ("embeddings", "detections") and not callable(value):
            widths[name] = value.shape[1]
    return {name: width for name, width in widths.items() if width is not None}
