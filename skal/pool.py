"""`PoolView`: all that a strategy may ask of a model and a pool."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context

from .exceptions import ModelNotFittedError, PoolCapabilityError
from .models import Head, Kept, Model, Outputs, Unwrapped, checked_proba, clone_samples, is_detector, one_class_proba
from .rows import (
    block_rows,
    check_finite,
    check_like,
    gather,
    in_blocks,
    n_rows,
    n_workers,
    one_column,
    only_label,
    read_by,
    take_rows,
)
from .utils._compat import BaseCommittee, BaseLearner
from .utils._memory import Memory, memory_of
from .utils._random import make_generator
from .utils._validation import kind_of, shown

__all__ = ["Memory", "PoolView", "view_pool"]

_OUTPUTS = ("proba", "logits", "embeddings")
# Bytes of an output that is kept in memory.
_LIMIT = 4 << 30


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
    block_size : int or None
        Samples in a block of a large pool, which may be set; None: as many as take some 64 MB, at most 65,536, which a
        network takes of float32 and of Datasets whatever their size, and fewer where several workers share the pool.
    memory_limit : int
        Bytes above which an output of the pool is kept in a temporary file, as a memory map, and not in memory; that
        of the learner, or 4 GiB.

    Raises
    ------
    PoolCapabilityError
        On access to a member that the classifier does not supply.

    Notes
    -----
    A pool of more than one block is large: one pass of the model goes over its blocks, each of them transformed,
    checked for NaN and infinity, and forgotten, so that nothing of the size of the pool comes into being but what is
    wanted (n d values of embeddings, in the model's dtype). In a context of joblib with several workers, such as
    ``joblib.parallel_config(n_jobs=2)``, they do the blocks, see `map_blocks`.
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
        is_learner = isinstance(classifier, (BaseLearner, BaseCommittee))
        self.round = int(getattr(classifier, "round", 0) or 0) if is_learner else 0
        self.n_rounds: int | None = getattr(classifier, "n_rounds", None)
        self._n = n_rows(X)
        self._wishes = _Wishes()
        self._found = Kept()
        self._parent: PoolView | None = None
        self._whole: PoolView | None = None
        self._must_be_finite = False
        self.block_size: int | None = None
        self.memory_limit: int = getattr(classifier, "memory_limit", _LIMIT) if is_learner else _LIMIT
        self.verbose = is_learner and bool(getattr(classifier, "verbose", False))

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
        is_learner = isinstance(self.classifier, (BaseLearner, BaseCommittee))
        return memory_of(self.classifier) if is_learner else Memory(keeps=False)

    # -- the data ----------------------------------------------------------------------------------------------

    @cached_property
    def X_transformed(self) -> Any:
        """The pool behind `Pipeline[:-1]`; before there is a model, behind clones fitted on the pool."""
        X = self.X
        if self._unwrapped.transformers:
            with read_by(X, self.model_name):
                X = self._unwrapped.transform(X) if self.is_fitted else self._unwrapped.fit_transform(X)
        if self._must_be_finite:
            check_finite(X)
        return X

    @property
    def proba(self) -> NDArray:
        """Class probabilities `(n, n_classes)`."""
        return self._outputs("proba").on_host("proba")

    @property
    def logits(self) -> NDArray:
        """Logits `(n, n_classes)`."""
        return self._outputs("logits").on_host("logits")

    @property
    def embeddings(self) -> NDArray:
        """Embeddings `(n, d)`."""
        return self._outputs("embeddings").on_host("embeddings")

    def on_device(self, member: str) -> Any:
        """`proba`, `logits` or `embeddings` as a tensor where the model lives, for work that is to be done there.

        Parameters
        ----------
        member : {"proba", "logits", "embeddings"}

        Returns
        -------
        torch.Tensor or ndarray
            The numbers of the member of that name. A tensor on the model's accelerator, where it lives on one (see
            `skal.models.Model.accelerator`), and where the outputs of a pass take at most a quarter of the memory that
            a CUDA device has free, or 1 GiB of another. Else the array.

        Raises
        ------
        ValueError
            `member` is none of the three.
        PoolCapabilityError
            The classifier does not supply it.

        Notes
        -----
        What a pass finds on the accelerator stays there, and is copied to the host once, if the array is asked for. A
        `part` takes its rows there. The outputs of a large pool, found block by block, and what workers find, are
        collected on the host, and copied to the accelerator once.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skal.pool import view_pool
        >>> X, y = load_iris(return_X_y=True)
        >>> pool = view_pool(LogisticRegression(max_iter=200).fit(X, y), X)
        >>> pool.on_device("proba") is pool.proba  # on the CPU
        True
        """
        if member not in _OUTPUTS:
            raise ValueError(
                f"The 'member' parameter of on_device must be one of {_OUTPUTS}. Got {shown(member)} instead."
            )
        return self._outputs(member).on_device(member, self.model.accelerator())

    def _outputs(self, member: str) -> Kept:
        """What is known, `member` included."""
        if member not in self._found:
            want = {member, *self._wishes.members}
            if not self._wishes.are_declared and self.model.joint:
                # What costs no further pass may come along, if it is there.
                try:
                    self._find({*_OUTPUTS})
                    return self._found
                except PoolCapabilityError:
                    want = {member}
            self._find(want - self._found.keys())
        return self._found

    def _find(self, want: set[str]) -> None:
        """One pass for `want`, whose answers are kept; of a large pool in blocks."""
        if not self.is_large:
            if self.model.accelerator() is None:
                self._found.update(self._answers(want).given())
            else:
                self._found.update(self._pass(self.X_transformed, want, self.model.answers_there))
            return
        is_array = isinstance(self.X, np.ndarray) and self.X.dtype in (np.float32, np.float64)
        if "embeddings" in want and self.model.embeds_input and is_array and not self._unwrapped.transformers:
            # They are there already.
            self._found.update(self._answers({"embeddings"}).given())
            want = want - {"embeddings"}
        if want:
            self._found.update(gather(self.map_blocks(partial(_found_in, want)), len(self), self.memory_limit))

    def _answers(self, want: set[str]) -> Outputs:
        X = self.X_transformed
        # What has been looked at for NaN need not be by scikit-learn again: a sixth of the time of a linear model.
        with config_context(**({"assume_finite": True} if self._must_be_finite else {})):
            return self._pass(X, want)

    def _pass(self, X: Any, want: set[str], ask: Callable[..., Any] | None = None) -> Any:
        try:
            with read_by(X, self.model_name):
                return (ask or self.model.answers)(X, want)
        except PoolCapabilityError as error:
            raise self._in_the_name_of(error) from None

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
        found = self.map_blocks(partial(_found_in, {*want}), block_size=block_size)
        return ((rows, Outputs(**values)) for rows, values in found)

    @property
    def is_large(self) -> bool:
        """Whether the pool has more than one block."""
        return len(self) > self._rows_of_a_block

    @cached_property
    def _rows_of_a_block(self) -> int:
        if self.block_size is not None:
            return self.block_size
        return block_rows(self.X, self.model.batch_size, is_copied=bool(self._unwrapped.transformers))

    def streams(self, *members: str) -> bool:
        """Whether `members` are better seen block by block, and kept nowhere.

        That is so for a large pool of which they are not known yet, and nothing else is wanted.
        """
        outputs = {*members} & {*_OUTPUTS}
        return self.is_large and not outputs <= self._found.keys() and self._wishes.members.keys() <= outputs

    def map_blocks(
        self, work: Callable[[PoolView], Any], *, block_size: int | None = None
    ) -> Iterator[tuple[slice, Any]]:
        """``work`` of the view of each block of the pool, in the pool's order; nothing of a block is kept.

        Parameters
        ----------
        work : callable
            Gets a `PoolView` of the block, with the same model; of the labelled data it may know nothing.
        block_size : int >= 1, optional
            Samples in a block; by default the view's own.

        Yields
        ------
        rows : slice
            Where the block stands in the pool.
        answer : object
            What `work` returned.

        Raises
        ------
        ValueError
            A `block_size` that is none.
        SkalError
            A worker died; names the rows that were at work.
        Exception
            What `work` raised; the message ends with the rows of the block.

        Notes
        -----
        In a context of joblib with several workers (``joblib.parallel_config(n_jobs=2)``, ``parallel_config("dask")``)
        they do the blocks. `work` and the model are pickled once and travel once to each worker (through shared memory
        or a file, where the backend has that); memory maps and Datasets travel with them, the maps as paths that the
        workers must be able to read; all other pools travel block by block, and a few blocks wait at a time. Answers
        are the same whoever does them, but for the rounding of other processors. Without a context, or for a pool of
        one block, all is done here. What a network's `feature_cache` holds stays in the process that computed it.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skal.pool import view_pool
        >>> X, y = load_iris(return_X_y=True)
        >>> pool = view_pool(LogisticRegression(max_iter=200).fit(X, y), X)
        >>> [(rows.stop, len(most)) for rows, most in pool.map_blocks(lambda block: block.proba.max(1), block_size=60)]
        [(60, 60), (120, 60), (150, 30)]
        """
        size = self._rows_of_a_block if block_size is None else block_size
        parallel = n_workers() > 1 and len(self) > size
        view = self._without_rows() if parallel else self
        work_on = lambda rows, X: work(view.block(rows, X))  # noqa: E731
        return in_blocks(work_on, self.X, size, parallel=parallel, verbose=self.verbose)

    def block(self, rows: slice, X: Any) -> PoolView:
        """The same kind of view of the consecutive samples `rows`, which are `X`."""
        view = self._of_rows(X, rows.stop - rows.start, rows)
        view.block_size, view._wishes = len(view), self._wishes
        return view

    def _without_rows(self) -> PoolView:
        """This view without pool, labelled data and learner, to be sent."""
        view = copy.copy(self)
        for name in ("X_transformed", "box_proba", "labeled", "memory", "_one_class"):
            view.__dict__.pop(name, None)
        view.X = view.y = view._X_training = view._y_training = view._parent = view._whole = None
        view.classifier, view._found = self._unwrapped.final, Kept()
        return view

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
            self._outputs("logits")
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
                return np.unique(one_column(self._y_training))
            except TypeError:  # of numbers beside text
                raise ValueError("The labelled data must have labels of one kind, text or numbers. Got both.") from None
        known = [name for name in _OUTPUTS[:2] if name in self._found or name in self._wishes.members]
        n_columns = self._outputs(known[0])[known[0]].shape[1] if known else self.model.n_columns()
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
        for name in ("X_transformed", "box_proba", "head", "labeled", "y_encoded", "_rows_of_a_block"):
            view.__dict__.pop(name, None)
        # One set of what is wanted: what is wanted later is wanted of both.
        view.X, view.y, view._n = self._X_training, self._y_training, self.n_labeled
        view._found, view._parent, view._whole = Kept(), self, None
        view.block_size, view._must_be_finite = None, False
        return view

    def settle_cold(self) -> bool:
        """Take the embeddings that need neither label nor training, and no labelled sample; False where there are none.

        Those of a frozen backbone or of a classifier's own `embed`, else the numbers behind the transformers, which are
        fitted on the pool.
        """
        with read_by(self.X, self.model_name):
            found = self._cold_embeddings()
        if found is None:
            return False
        if not np.isfinite(found).all():
            raise ValueError(f"X must hold finite numbers to be compared by {self.model_name}. Got NaN or infinity.")
        self._X_training, self._y_training = take_rows(self.X, slice(0, 0)), np.empty(0)
        self._found["embeddings"] = found
        if self.labeled is not None:
            self.labeled._found["embeddings"] = found[:0]
        return True

    def _cold_embeddings(self) -> NDArray | None:
        if not self.is_large or self._unwrapped.transformers or isinstance(self.X, np.ndarray):
            return self.model.cold_embeddings(self.X_transformed)
        found = self.map_blocks(lambda block: block._cold_embeddings())
        pieces = ((rows, {} if values is None else {"cold": values}) for rows, values in found)
        return gather(pieces, len(self), self.memory_limit).get("cold")

    @cached_property
    def y_encoded(self) -> NDArray[np.int64]:
        """Column of `proba` for each label in `y`, `(n,)` int64; only on `labeled`."""
        return self.model.columns_of(self.y, self.classes)

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
        view = self._of_rows(take_rows(self.X, idx), len(idx), idx)
        if "X_transformed" in self.__dict__ and self._unwrapped.transformers:
            view.X_transformed = take_rows(self.X_transformed, idx)
        if "box_proba" in self.__dict__:
            view.box_proba = [self.box_proba[i] for i in idx.tolist()]
        if self.labeled is not None:
            # The labelled data are the same, and found once for both.
            view.labeled = copy.copy(self.labeled)
            view.labeled._parent, view.labeled._wishes = view, view._wishes
        return view

    def _of_rows(self, X: Any, n: int, idx: Any) -> PoolView:
        view = copy.copy(self)
        for name in ("X_transformed", "box_proba", "_rows_of_a_block"):
            view.__dict__.pop(name, None)
        view.X, view._n, view._whole = X, n, self.whole
        view._found = self._found.rows(idx)
        # What is wanted of a part is not wanted of the whole.
        view._wishes = _Wishes(by=self._wishes.by)
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
        y = one_column(self.labeled.y)
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
        check_like(self.X, self._X_training, any_shape=is_detector(self.model.estimator))
        if getattr(self.classifier, "force_all_finite", True) and not self.model.allows_nan:
            if "X_transformed" in self.__dict__:
                check_finite(self.X_transformed)
            # Otherwise with the first look at it; of a large pool block by block, since it is not to be read twice.
            self._must_be_finite = True
            if not self.is_large:
                self.X_transformed  # noqa: B018

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
        return only_label(self._y_training)


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


def _found_in(want: set[str], block: PoolView) -> dict[str, NDArray]:
    return block._answers(want).given()
