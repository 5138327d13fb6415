"""`PoolView`: all that a strategy may ask of a model and a pool."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import get_tags

from .exceptions import ModelNotFittedError, PoolCapabilityError
from .models import Head, Model, Outputs, Unwrapped, checked_proba, clone_samples, is_detector, one_class_proba
from .rows import check_finite, column_names, feature_shape, n_rows, plain_labels, read_by, row_blocks, take_rows
from .utils._compat import BaseCommittee, BaseLearner
from .utils._memory import Memory
from .utils._random import make_generator
from .utils._validation import kind_of, shown

__all__ = ["Memory", "PoolView", "view_pool"]

_OUTPUTS = ("proba", "logits", "embeddings")

# Memories of learners that have none of their own, such as modAL's.
_MEMORIES: WeakKeyDictionary[Any, Memory] = WeakKeyDictionary()


@dataclass
class _Wishes:
    """What strategies have said that they want of a pool and of its labelled data."""

    by: str = "The strategy"  # who asked last
    members: dict[str, str] = field(default_factory=dict)  # outputs, and who was the first to want each
    are_declared: bool = False


class PoolView:
    """A lazy, cached view of a pool through a classifier; made by `view_pool`.

    Each member is computed at most once for a view. One pass of the model over the pool yields all of `proba`, `logits`
    and `embeddings` that are wanted (see `require`), and none that is not.

    Parameters
    ----------
    classifier : object
        What the strategy was called with: a learner, a committee, a fitted scikit-learn or skorch classifier, a fitted
        search or pipeline around one.
    X : array-like of n samples
        The pool as the user passed it.
    X_training, y_training : array-like, optional
        The labelled data. A learner brings its own.

    Attributes
    ----------
    X : array-like
        The pool as passed.
    X_transformed : array-like
        The pool behind `Pipeline[:-1]`, as the final classifier sees it.
    proba : ndarray of shape (n, n_classes)
        Class probabilities.
    logits : ndarray of shape (n, n_classes)
        `head` applied to `embeddings`; its softmax is `proba`.
    embeddings : ndarray of shape (n, d)
        Input of the classifier's head; for a classifier without a head its own (transformed) input, flattened.
    box_proba : list of n ndarrays of shape (n_boxes, n_columns)
        For a detector: the class distribution of each box of each image.
    head : Head
        Embeddings to logits, differentiable; a linear head shows `weight (n_classes, d)` and `bias (n_classes,)`.
    labeled : PoolView or None
        The same kind of view of the labelled data, with `y` and `y_encoded`; None where there is none.
    memory : Memory
        What outlives a query: ``memory.recall(owner, settings, make)``. The learner keeps it.
    whole : PoolView
        Of a `part`, the view of the whole pool; else the view itself. What is kept in `memory` is about the whole.
    classes : ndarray of shape (n_classes,)
        The label of each column of `proba`.
    n_labeled : int
        Labelled samples that came with the classifier or the call.
    round : int
        Queries already answered; 0 for what does not count them.
    n_rounds : int or None
        Queries planned for the whole run, where the learner knows.

    Raises
    ------
    PoolCapabilityError
        On access to a member that the classifier does not supply.
    """

    def __init__(
        self,
        classifier: Any,
        X: Any,
        *,
        X_training: Any = None,
        y_training: ArrayLike | None = None,
    ) -> None:
        self.X = X
        self.classifier = classifier
        self._unwrapped = Unwrapped(classifier)
        if X_training is None and not isinstance(classifier, BaseCommittee):
            X_training = getattr(classifier, "X_training", None)
            y_training = getattr(classifier, "y_training", None)
        self._X_training, self._y_training = X_training, y_training
        # Number of labelled samples that came with the classifier or the call.
        self.n_labeled = 0 if X_training is None else n_rows(X_training)
        if X_training is not None and (y_training is None or n_rows(y_training) != self.n_labeled):
            raise ValueError("X_training and y_training must hold the same number of samples.")
        self.y: Any = None
        self.round = int(getattr(classifier, "round", 0) or 0) if isinstance(classifier, BaseLearner) else 0
        self.n_rounds: int | None = getattr(classifier, "n_rounds", None)
        self._n = n_rows(X)
        self._wishes = _Wishes()
        self._found: dict[str, NDArray] = {}
        self._parent: PoolView | None = None
        self._whole: PoolView | None = None

    def __len__(self) -> int:
        return self._n

    def __repr__(self) -> str:
        return f"PoolView(n={len(self)}, model={self.model_name})"

    # -- state of the model ------------------------------------------------------------------------------------

    @cached_property
    def model(self) -> Model:
        """What the final classifier can tell, by its family."""
        return self._unwrapped.model

    @cached_property
    def is_fitted(self) -> bool:
        """Whether the model can predict."""
        return self.model.is_fitted()

    @property
    def is_cold(self) -> bool:
        """A learner that nothing has been taught yet."""
        return isinstance(self.classifier, (BaseLearner, BaseCommittee)) and self.n_labeled == 0 and not self.is_fitted

    @property
    def counts_rounds(self) -> bool:
        """Whether `round` is the learner's own count of answered queries, and not 0 for want of one."""
        return hasattr(self.classifier, "round")

    @property
    def model_name(self) -> str:
        """Class name of the final classifier, for messages."""
        return self.model.name

    @cached_property
    def memory(self) -> Memory:
        """What outlives this query; of a bare classifier nothing does."""
        if self._parent is not None:
            return self._parent.memory
        own = getattr(self.classifier, "memory", None)
        if isinstance(own, Memory):
            return own
        if not isinstance(self.classifier, (BaseLearner, BaseCommittee)):
            return Memory(keeps=False)
        return _MEMORIES.setdefault(self.classifier, Memory())

    # -- the data ----------------------------------------------------------------------------------------------

    @cached_property
    def X_transformed(self) -> Any:
        """The pool behind `Pipeline[:-1]`; before there is a model, behind clones fitted on the pool."""
        if not self._unwrapped.transformers:
            return self.X
        with read_by(self.X, self.model_name):
            return self._unwrapped.transform(self.X) if self.is_fitted else self._unwrapped.fit_transform(self.X)

    @property
    def proba(self) -> NDArray:
        """Class probabilities `(n, n_classes)`."""
        return self._found["proba"] if "proba" in self._found else self._output("proba")

    @property
    def logits(self) -> NDArray:
        """Logits `(n, n_classes)`."""
        return self._found["logits"] if "logits" in self._found else self._output("logits")

    @property
    def embeddings(self) -> NDArray:
        """Embeddings `(n, d)`."""
        return self._found["embeddings"] if "embeddings" in self._found else self._output("embeddings")

    def _output(self, member: str) -> NDArray:
        if member not in self._found:
            want = {member, *self._wishes.members}
            if not self._wishes.are_declared and self.model.joint:
                # What costs no further pass may come along, if it is there.
                try:
                    self._keep(self._pass(self.X_transformed, {*_OUTPUTS}))
                    return self._found[member]
                except PoolCapabilityError:
                    want = {member}
            self._keep(self._pass(self.X_transformed, want - self._found.keys()))
        return self._found[member]

    def _pass(self, X: Any, want: set[str]) -> Outputs:
        try:
            with read_by(X, self.model_name):
                return self.model.answers(X, want)
        except PoolCapabilityError as error:
            raise self._in_the_name_of(error) from None

    def _keep(self, found: Outputs) -> None:
        self._found |= {name: value for name in _OUTPUTS if (value := getattr(found, name)) is not None}

    def _in_the_name_of(self, error: PoolCapabilityError, by: str | None = None) -> PoolCapabilityError:
        """A family does not know who asks: who wanted the member first, or `by`, or who asked last."""
        by = by or self._wishes.members.get(str(error.member), self._wishes.by)
        return PoolCapabilityError(str(error).replace("The strategy", by, 1), member=error.member)

    def iter_outputs(self, want: tuple[str, ...], block_size: int) -> Iterator[tuple[slice, Outputs]]:
        """Members of `want` ("proba", "logits", "embeddings") for consecutive blocks of the pool; nothing is kept.

        Parameters
        ----------
        want : tuple of str
        block_size : int >= 1
            Samples in a block.

        Yields
        ------
        rows : slice
            Where the block stands in the pool.
        outputs : Outputs
        """
        for rows, block in row_blocks(self.X, block_size):
            yield rows, self._pass(self._unwrapped.transform(block), set(want))

    @cached_property
    def box_proba(self) -> list[NDArray]:
        """Class distributions `(n_boxes, n_columns)` of the boxes of each image."""
        return list(self.iter_box_proba())

    def iter_box_proba(self, *, by: str | None = None) -> Iterator[NDArray]:
        """The arrays of `box_proba` one by one, for pools whose boxes should not all be held."""
        if "box_proba" in self.__dict__:
            return iter(self.box_proba)
        return self._ask("boxes", by, lambda: self.model.boxes(self.X_transformed, len(self)))

    @cached_property
    def head(self) -> Head:
        """The head, from embeddings to logits."""
        if "logits" not in self._found:
            # The pass shows that what is found is the model's head.
            self._output("logits")
        head = self._ask("head", None, self.model.head)
        if not isinstance(head, Head):
            raise TypeError(
                f"head of {type(self.model).__name__} must return skal.models.Head. Got {kind_of(head)} instead."
            )
        return head

    @property
    def linear_head(self) -> Head:
        """The head, where it is linear: with `weight (n_classes, d)` and `bias (n_classes,)`."""
        if not self.head.is_linear:
            raise self.model.lacks("linear_head", self._wishes.by)
        return self.head

    @cached_property
    def classes(self) -> NDArray:
        """The label of each column of `proba`; of a model without probabilities, the labels that it has seen."""
        if self._parent is not None:
            return self._parent.classes
        if not self.model.supplies("proba") and self.model.n_columns() is None and self.n_labeled:
            # What is no column's label is one that has been seen.
            try:
                return np.unique(_one_column(self._y_training))
            except TypeError:  # of numbers beside text
                raise ValueError("The labelled data must have labels of one kind, text or numbers. Got both.") from None
        known = [
            self._output(member) for member in _OUTPUTS[:2] if member in self._found or member in self._wishes.members
        ]
        n_columns = known[0].shape[1] if known else self.model.n_columns()
        if n_columns is None:
            first = self._unwrapped.transform(take_rows(self.X, np.arange(1)))
            n_columns = np.asarray(self._pass(first, {"proba"}).proba).shape[1]
        return self.model.classes(n_columns)

    @cached_property
    def labeled(self) -> PoolView | None:
        """The same kind of view of the labelled data: raw `X`, the same model, the same counters."""
        if self._X_training is None:
            return None
        view = copy.copy(self)
        for name in ("X_transformed", "box_proba", "head", "labeled", "y_encoded"):
            view.__dict__.pop(name, None)
        # One set of what is wanted: what is wanted later is wanted of both.
        view.X, view.y, view._n = self._X_training, self._y_training, self.n_labeled
        view._found, view._parent, view._whole = {}, self, None
        return view

    def settle_cold(self) -> bool:
        """Take the embeddings that need neither label nor training, and no labelled sample; False where there are none.

        Those of a frozen backbone or of a classifier's own `embed`, else the numbers behind the transformers, which are
        fitted on the pool.
        """
        with read_by(self.X, self.model_name):
            found = self.model.cold_embeddings(self.X_transformed)
        if found is None:
            return False
        if not np.isfinite(found).all():
            raise ValueError(f"X must hold finite numbers to be compared by {self.model_name}. Got NaN or infinity.")
        self._X_training, self._y_training = take_rows(self.X, slice(0, 0)), np.empty(0)
        self._found["embeddings"] = found
        if self.labeled is not None:
            self.labeled._found["embeddings"] = found[:0]
        return True

    @cached_property
    def y_encoded(self) -> NDArray[np.int64]:
        """Column of `proba` for each label in `y`, `(n,)` int64; only on `labeled`."""
        y = _one_column(self.y)
        column = {label: i for i, label in enumerate(self.classes.tolist())}
        unknown = sorted({label for label in y.tolist() if label not in column}, key=str)
        if unknown:
            raise ValueError(
                f"The labelled data holds labels that {self.model_name} has no output for: {unknown[:5]}. "
                f"Its classes are {self.classes.tolist()[:10]}."
            )
        return np.fromiter((column[label] for label in y.tolist()), dtype=np.int64, count=len(y))

    def predict_proba(self, X: Any) -> NDArray:
        """Class probabilities of new raw inputs, through the whole pipeline, `(n, n_classes)`."""
        return np.asarray(self._pass(self._unwrapped.transform(X), {"proba"}).proba)

    def take(self, idx: Any) -> Any:
        """Rows of the pool, as passed, by position."""
        return take_rows(self.X, idx)

    def part(self, idx: NDArray[np.integer]) -> PoolView:
        """The same kind of view of some rows of the pool: the same model, labelled data, memory and counters.

        Parameters
        ----------
        idx : ndarray of shape (m,), int
            Positions in the pool, in the order that the part is to have.

        Returns
        -------
        PoolView
            What this view knows of the rows is not computed again; what is asked of the part is computed for them
            alone.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skal.pool import view_pool
        >>> X, y = load_iris(return_X_y=True)
        >>> pool = view_pool(LogisticRegression(max_iter=200).fit(X, y), X)
        >>> part = pool.part(np.array([140, 0]))
        >>> len(part), part.proba.argmax(axis=1).tolist(), len(part.whole)
        (2, [2, 0], 150)
        """
        view = copy.copy(self)
        for name in ("X_transformed", "box_proba"):
            view.__dict__.pop(name, None)
        view.X, view._n, view._whole = take_rows(self.X, idx), len(idx), self.whole
        view._found = {name: value[idx] for name, value in self._found.items()}
        if "X_transformed" in self.__dict__ and self._unwrapped.transformers:
            view.X_transformed = take_rows(self.X_transformed, idx)
        if "box_proba" in self.__dict__:
            view.box_proba = [self.box_proba[i] for i in idx.tolist()]
        # What is wanted of a part is not wanted of the whole.
        view._wishes = _Wishes(by=self._wishes.by)
        if self.labeled is not None:
            # The labelled data are the same, and found once for both.
            view.labeled = copy.copy(self.labeled)
            view.labeled._parent, view.labeled._wishes = view, view._wishes
        return view

    @property
    def whole(self) -> PoolView:
        """The view of the whole pool that this one is a `part` of, or this one."""
        return self if self._whole is None else self._whole

    # -- several opinions --------------------------------------------------------------------------------------

    @property
    def has_samples(self) -> bool:
        """Whether the classifier has several opinions of its own, which `proba_samples` gives."""
        return self.model.supplies("opinions")

    def proba_samples(self, n: int, random_state: int | np.random.RandomState | None = None) -> NDArray:
        """Class probabilities by several opinions of the classifier, `(m, n_pool, n_classes)`.

        A skorch classifier with dropout gives m = n passes, in eval mode but for its `nn.Dropout` layers (those of the
        head where the backbone is frozen). A random forest, `BaggingClassifier`, `VotingClassifier` or a committee
        gives its members, n of them at random where it has more. Module modes, batch statistics and global generators
        stay as they are. `iter_proba_samples` gives them one by one, for large pools.

        Raises
        ------
        PoolCapabilityError
            The classifier has one opinion only.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1. Got {n} instead.")
        return np.stack(list(self.iter_proba_samples(n, make_generator(random_state))))

    def iter_proba_samples(self, n: int, rng: np.random.Generator, *, by: str | None = None) -> Iterator[NDArray]:
        """The samples of `proba_samples`, one array `(n_pool, n_classes)` at a time."""
        return self._several("opinions", by, lambda: self.model.opinions(self.X_transformed, n, rng))

    def iter_clone_samples(
        self, n: int, rng: np.random.Generator, *, bootstrap: bool = True, by: str | None = None
    ) -> Iterator[NDArray]:
        """Class probabilities by `n` clones of the final classifier, one array `(n_pool, n_classes)` at a time.

        Each has its own seed and is trained on a bootstrap sample of the labelled data (with at least two classes), or
        on all of it. Where only one class is labelled nothing is trained: all clones are sure of that class. A
        committee brings its own members, all of them.
        """
        if self.model.supplies("members"):
            return self._several("members", by, lambda: self.model.members(self.X_transformed))
        X, y = self._training_data(by)
        if self._one_class is not None:
            return (one_class_proba(len(self), y.tolist()[0], self.classes) for _ in range(n))
        pool, classes = self.X_transformed, self.classes
        return self._several(
            "clones", by, lambda: clone_samples(self.model, pool, X, y, classes, n, rng, bootstrap=bootstrap)
        )

    def iter_noisy_samples(
        self, n: int, scale: float, rng: np.random.Generator, *, by: str | None = None
    ) -> Iterator[NDArray]:
        """Class probabilities under `n` random perturbations of the weights, one array `(n_pool, n_classes)` each.

        The noise of each weight array is Gaussian, of norm `scale` times the array's own norm.
        """
        return self._several("perturbed", by, lambda: self.model.perturbed(self.X_transformed, n, scale, rng))

    def watch_training(
        self, n: int, rng: np.random.Generator, see: Callable[[NDArray], None], *, by: str | None = None
    ) -> None:
        """Train a clone on the labelled data; `see` gets its probabilities of the pool `(n_pool, n_classes)` at up to
        `n` equally spaced epochs (iterations), the last one included."""
        X, y = self._training_data(by)
        if self._one_class is not None:
            see(one_class_proba(len(self), y.tolist()[0], self.classes))
            return
        pool = self.X_transformed
        self._ask("clones", by, lambda: None)
        self._ask("snapshots", by, lambda: self.model.snapshots(pool, X, y, self.classes, n, rng, see))

    def _ask(self, member: str, by: str | None, answer: Callable[[], Any]) -> Any:
        """The model's answer; where there is none, the error says who asked."""
        if not self.model.supplies(member):
            raise self.model.lacks(member, by or self._wishes.by)
        try:
            return answer()
        except PoolCapabilityError as error:
            raise self._in_the_name_of(error, by) from None

    def _several(self, member: str, by: str | None, answer: Callable[[], Iterator[NDArray]]) -> Iterator[NDArray]:
        """Probabilities of the pool by several opinions, each checked; what can be refused is refused at once."""
        samples = self._ask(member, by, answer)

        def each() -> Iterator[NDArray]:
            proba = None
            try:
                for proba in samples:
                    yield checked_proba(proba, len(self), self.model_name)
            except PoolCapabilityError as error:
                raise self._in_the_name_of(error, by) from None
            if proba is None:
                raise self.model.lacks(member, by or self._wishes.by)

        return each()

    def _training_data(self, by: str | None) -> tuple[Any, NDArray]:
        """Labelled samples as the final estimator sees them, and their labels `(n,)`."""
        if self.labeled is None:
            raise self.model.lacks("labeled", by or self._wishes.by)
        y = _one_column(self.labeled.y)
        self.labeled.y_encoded  # noqa: B018  (says which label is unknown)
        return self.labeled.X_transformed, y

    # -- checks ------------------------------------------------------------------------------------------------

    def check_fitted(self) -> None:
        """Raise where the model cannot predict."""
        if not self.is_fitted:
            raise ModelNotFittedError(
                f"This {self.model_name} instance is not fitted yet. Fit it, or teach the learner, before a query."
            )

    def check(self) -> None:
        """Raise where the model is not fitted, the shape is not the model's, or the pool holds NaN or infinity."""
        self.check_fitted()
        names, taught = column_names(self.X), column_names(self._X_training)
        lacking = [name for name in taught or () if name not in (names or ())] if names else []
        if lacking:
            raise ValueError(f"X lacks the column {lacking[0]!r}, which the labelled data has. It has {shown(names)}.")
        given = feature_shape(self.X)
        expected = feature_shape(self._X_training)
        differs = given is not None and expected is not None and len(given) > 0 and given != expected
        if differs and not is_detector(self.model.estimator):
            raise ValueError(
                f"X has {_shape_words(given)} per sample, but the labelled data has {_shape_words(expected)}."
            )
        if getattr(self.classifier, "force_all_finite", True) and not _allows_nan(self.model.estimator):
            check_finite(self.X_transformed)

    def require(self, *members: str, by: str) -> None:
        """Want `members`, and raise `PoolCapabilityError` that names `by` where the model has them not.

        Nothing is run: what only a run can show, such as the head of a network, is told by the pass itself, on its
        first rows. "a|b" is satisfied by either.
        """
        self._wishes.by = by
        self.check_offers(*members, by=by)
        self._wishes.are_declared = True
        heads = {"head", "linear_head"} & {*members}
        for member in (*members, *(("embeddings", "logits") if heads else ())):
            if member in _OUTPUTS:
                self._wishes.members.setdefault(member, by)

    def check_offers(self, *members: str, by: str) -> None:
        """Raise as `require` does, and want nothing: for what will be asked of a `part` only."""
        for member in members:
            if member in self.model.offers and member != "snapshots":
                continue
            parts = member.split("|")
            if not any(self._has(part) for part in parts):
                untaught = self._X_training is None and any(self.model.supplies(part) for part in parts)
                raise self.model.lacks("labeled" if untaught else member, by)

    def _has(self, member: str) -> bool:
        if member == "labeled":
            return self._X_training is not None
        if member in ("clones", "snapshots"):
            # Where one class is labelled there is nothing to train.
            return self._X_training is not None and (self.model.supplies(member) or self._one_class is not None)
        return self.model.supplies(member)

    @cached_property
    def _one_class(self) -> Any:
        """The label of all labelled samples, where they have one in common."""
        y = _one_column(self._y_training)
        try:
            return y.flat[0] if y.size and np.all(y == y.flat[0]) else None
        except TypeError:  # of pandas.NA, which is refused where labels are encoded
            return None


def view_pool(
    classifier: Any,
    X: Any,
    *,
    X_training: Any = None,
    y_training: ArrayLike | None = None,
) -> PoolView:
    """View the pool `X` through `classifier`.

    Parameters
    ----------
    classifier : object
        A modAL or skal learner or committee, or a fitted classifier, search or pipeline. A `PoolView` is returned as
        it is, so that a strategy may ask another one about the view it has.
    X : array-like of n samples
        NumPy array, DataFrame, sparse matrix, list, tensor, dict of these, or torch Dataset.
    X_training, y_training : array-like, optional
        Labelled data for a bare fitted classifier, which has none of its own.

    Returns
    -------
    PoolView

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.pool import view_pool
    >>> X, y = load_iris(return_X_y=True)
    >>> pool = view_pool(LogisticRegression(max_iter=200).fit(X, y), X)
    >>> pool.proba.shape, pool.embeddings.shape, pool.head.weight.shape
    ((150, 3), (150, 4), (3, 4))
    """
    if isinstance(classifier, PoolView):
        return classifier
    return PoolView(classifier, X, X_training=X_training, y_training=y_training)


def _allows_nan(estimator: Any) -> bool:
    try:
        return bool(get_tags(estimator).input_tags.allow_nan)
    except (AttributeError, TypeError, ValueError):
        return False


def _one_column(y: Any) -> NDArray:
    """Labels `(n,)`, also of a column of them or a frame of one column."""
    try:
        labels = np.asarray(plain_labels(y))
    except ValueError:  # of a ragged list
        labels = np.empty((len(y), 0))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or any(isinstance(label, (Mapping, list, tuple, set)) for label in labels[:1].tolist()):
        raise ValueError(
            "The labelled data must have one label for each sample, in one dimension. "
            f"Got {shown(np.asarray(labels[0]).tolist()) if labels.size else 'several or none'} for the first."
        )
    return labels


def _shape_words(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} features" if len(shape) == 1 else f"shape {shape}"
