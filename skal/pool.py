"""`PoolView`: all that a strategy may ask of a model and a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from .exceptions import ModelNotFittedError, PoolCapabilityError
from .models._adapters import Head, Outputs, box_distributions, model_for
from .models._nets import is_detector, is_skorch
from .models._samples import clone_samples, noisy_samples, one_class_proba, own_samples, some_of, spread, watch_training
from .rows import check_finite, feature_shape, n_rows, take_rows
from .utils._compat import BaseCommittee, BaseLearner
from .utils._random import make_generator

__all__ = ["PoolView", "view_pool"]

_ADVICE = {
    "head": "Use a skorch classifier whose module ends in torch.nn.Linear, skal.nets.DeepClassifier, "
    "LogisticRegression or MLPClassifier.",
    "logits": "Use a skorch classifier whose module ends in torch.nn.Linear, skal.nets.DeepClassifier, "
    "LogisticRegression or MLPClassifier.",
    "embeddings": "Use numeric samples, or a classifier with embeddings of its own such as skal.nets.DeepClassifier.",
    "proba": "Use a classifier with predict_proba.",
    "box_proba": "Use skal.nets.DeepDetector, or a detector whose predict_proba returns for each image an array "
    "(n_boxes, n_classes).",
    "labeled": "Teach the learner first, or pass X_training= and y_training=.",
    "samples": "Use a skorch classifier with nn.Dropout layers (with a frozen backbone, in its head), a random forest, "
    "BaggingClassifier, VotingClassifier or a modAL Committee.",
    "clones": "Use a classifier with fit and get_params.",
    "weights": "Use a skorch classifier, skal.nets.DeepClassifier, LogisticRegression or MLPClassifier.",
    "steps": "Use a skorch classifier, skal.nets.DeepClassifier, or one with max_iter such as LogisticRegression.",
}
_DETECTOR_ADVICE = (
    "It is a detector, which tells of boxes: use DetectionEntropy, DetectionMargin or DetectionLeastConfidence, alone "
    "or in UFFM with a descriptor=."
)
_WORDING = {
    "head": "a differentiable `head`",
    "logits": "`logits`",
    "embeddings": "`embeddings`",
    "proba": "class probabilities",
    "box_proba": "class distributions of the boxes in each image",
    "labeled": "the labelled data",
    "samples": "several opinions of the classifier",
    "clones": "clones to train",
    "weights": "weights to perturb",
    "steps": "a training in steps",
}


class PoolView:
    """A lazy, cached view of a pool through a classifier; made by `view_pool`.

    Each member is computed at most once for a view, and one pass of the model over the pool yields `embeddings`,
    `logits` and `proba` together.

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
        The same view of the labelled data, with `y` and `y_encoded`; None where there is none.
    classes : ndarray of shape (n_classes,)
        The label of each column of `proba`.
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
        self._transforms, self._final = _unwrap(classifier)
        if X_training is None and not isinstance(classifier, BaseCommittee):
            X_training = getattr(classifier, "X_training", None)
            y_training = getattr(classifier, "y_training", None)
        if X_training is not None and (y_training is None or n_rows(X_training) != n_rows(y_training)):
            raise ValueError("X_training and y_training must hold the same number of samples.")
        self._X_training, self._y_training = X_training, y_training
        self.y: Any = None
        self.round = int(getattr(classifier, "round", 0) or 0) if isinstance(classifier, BaseLearner) else 0
        self.n_rounds: int | None = getattr(classifier, "n_rounds", None)
        self._n = n_rows(X)

    def __len__(self) -> int:
        return self._n

    def __repr__(self) -> str:
        return f"PoolView(n={len(self)}, model={type(self._final).__name__})"

    # -- state of the model ------------------------------------------------------------------------------------

    @cached_property
    def is_fitted(self) -> bool:
        """Whether the model can predict."""
        return _is_fitted(self.classifier)

    @property
    def is_cold(self) -> bool:
        """A learner that nothing has been taught yet."""
        return isinstance(self.classifier, (BaseLearner, BaseCommittee)) and self.n_labeled == 0 and not self.is_fitted

    @property
    def n_labeled(self) -> int:
        """Number of labelled samples that came with the classifier or the call."""
        return 0 if self._X_training is None else n_rows(self._X_training)

    @property
    def model_name(self) -> str:
        """Class name of the final classifier, for messages."""
        return type(self._final).__name__

    # -- the data ----------------------------------------------------------------------------------------------

    @cached_property
    def X_transformed(self) -> Any:
        """The pool behind `Pipeline[:-1]`."""
        return self._transform(self.X)

    @cached_property
    def _model(self) -> Any:
        return model_for(self._final)

    @cached_property
    def _outputs(self) -> Outputs:
        return self._model.outputs(self.X_transformed)

    @property
    def proba(self) -> NDArray:
        """Class probabilities `(n, n_classes)`."""
        return self._outputs.proba

    @cached_property
    def box_proba(self) -> list[NDArray]:
        """Class distributions `(n_boxes, n_columns)` of the boxes of each image."""
        return list(self.iter_box_proba())

    def iter_box_proba(self, *, by: str = "The strategy") -> Iterator[NDArray]:
        """The arrays of `box_proba` one by one, for pools whose boxes should not all be held."""
        if "box_proba" in self.__dict__:
            return iter(self.box_proba)
        found = box_distributions(self._final, self.X_transformed, len(self))
        if found is None:
            raise self._lacks("box_proba", by)
        return found

    @property
    def logits(self) -> NDArray:
        """Logits `(n, n_classes)`."""
        if self._outputs.logits is None:
            raise self._lacks("logits")
        return self._outputs.logits

    @property
    def embeddings(self) -> NDArray:
        """Embeddings `(n, d)`."""
        if self._outputs.embeddings is None:
            raise self._lacks("embeddings")
        return self._outputs.embeddings

    @cached_property
    def head(self) -> Head:
        """The head, from embeddings to logits."""
        head = None if self._outputs.logits is None else self._model.head()
        if head is None:
            raise self._lacks("head")
        return head

    @cached_property
    def classes(self) -> NDArray:
        """The label of each column of `proba`."""
        return self._model.classes(self.proba.shape[1])

    @cached_property
    def labeled(self) -> PoolView | None:
        """The same view of the labelled data."""
        if self._X_training is None:
            return None
        view = PoolView(self._final, self._transform(self._X_training))
        view.y = self._y_training
        return view

    @cached_property
    def y_encoded(self) -> NDArray[np.int64]:
        """Column of `proba` for each label in `y`, `(n,)` int64; only on `labeled`."""
        y = np.asarray(self.y)
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
        return self._model.proba(self._transform(X))

    def take(self, idx: Any) -> Any:
        """Rows of the pool, as passed, by position."""
        return take_rows(self.X, idx)

    # -- several opinions --------------------------------------------------------------------------------------

    @cached_property
    def has_samples(self) -> bool:
        """Whether the classifier has several opinions of its own, which `proba_samples` gives."""
        if isinstance(self.classifier, BaseCommittee):
            return True
        return own_samples(self._final, self.X_transformed, 1, np.random.default_rng(0)) is not None

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

    def iter_proba_samples(self, n: int, rng: np.random.Generator, *, by: str = "The strategy") -> Iterator[NDArray]:
        """The samples of `proba_samples`, one array `(n_pool, n_classes)` at a time."""
        if isinstance(self.classifier, BaseCommittee):
            learners = self.classifier.learner_list
            views = (PoolView(learners[i], self.X) for i in some_of(len(learners), n, rng))
            return (spread(view.proba, view.classes, self.classes) for view in views)
        samples = own_samples(self._final, self.X_transformed, n, rng)
        if samples is None:
            raise self._lacks("samples", by)
        return samples

    def iter_clone_samples(
        self, n: int, rng: np.random.Generator, *, bootstrap: bool = True, by: str = "The strategy"
    ) -> Iterator[NDArray]:
        """Class probabilities by `n` clones of the final classifier, one array `(n_pool, n_classes)` at a time.

        Each has its own seed and is trained on a bootstrap sample of the labelled data (with at least two classes), or
        on all of it. Where only one class is labelled nothing is trained: all clones are sure of that class. A
        committee brings its own members, all of them.
        """
        if isinstance(self.classifier, BaseCommittee):
            return self.iter_proba_samples(len(self.classifier.learner_list), rng, by=by)
        X, y = self._training_data(by)
        if np.all(y == y[0]):
            return (one_class_proba(len(self), y.tolist()[0], self.classes) for _ in range(n))
        self._check_cloneable(by)
        return clone_samples(self._final, self.X_transformed, X, y, self.classes, n, rng, bootstrap=bootstrap)

    def iter_noisy_samples(
        self, n: int, scale: float, rng: np.random.Generator, *, by: str = "The strategy"
    ) -> Iterator[NDArray]:
        """Class probabilities under `n` random perturbations of the weights, one array `(n_pool, n_classes)` each.

        The noise of each weight array is Gaussian, of norm `scale` times the array's own norm.
        """
        samples = noisy_samples(self._final, self.X_transformed, n, scale, rng)
        if samples is None:
            raise self._lacks("weights", by)
        return samples

    def watch_training(
        self, n: int, rng: np.random.Generator, see: Callable[[NDArray], None], *, by: str = "The strategy"
    ) -> None:
        """Train a clone on the labelled data; `see` gets its probabilities of the pool `(n_pool, n_classes)` at up to
        `n` equally spaced epochs (iterations), the last one included."""
        X, y = self._training_data(by)
        if np.all(y == y[0]):
            see(one_class_proba(len(self), y.tolist()[0], self.classes))
            return
        self._check_cloneable(by)
        if not watch_training(self._final, self.X_transformed, X, y, self.classes, n, rng, see):
            raise self._lacks("steps", by)

    def _training_data(self, by: str) -> tuple[Any, NDArray]:
        if self.labeled is None:
            raise self._lacks("labeled", by)
        y = np.asarray(self.labeled.y)
        if not np.isin(y, self.classes).all():
            self.labeled.y_encoded  # noqa: B018  (says which label is unknown)
        return self.labeled.X, y

    def _check_cloneable(self, by: str) -> None:
        if not (hasattr(self._final, "get_params") and hasattr(self._final, "fit")):
            raise self._lacks("clones", by)

    # -- checks ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise where the model is not fitted, the shape is not the model's, or the pool holds NaN or infinity."""
        if not self.is_fitted:
            raise ModelNotFittedError(
                f"This {self.model_name} instance is not fitted yet. Fit it, or teach the learner, before a query."
            )
        given = feature_shape(self.X)
        expected = feature_shape(self._X_training)
        any_size = is_detector(self._final)
        if not any_size and given is not None and expected is not None and len(given) > 0 and given != expected:
            raise ValueError(
                f"X has {_shape_words(given)} per sample, but the labelled data has {_shape_words(expected)}."
            )
        if getattr(self.classifier, "force_all_finite", True) and not _allows_nan(self._final):
            check_finite(self.X_transformed)

    def require(self, *members: str, by: str) -> None:
        """Raise `PoolCapabilityError` that names `by` where one of `members` is absent."""
        for member in members:
            try:
                absent = getattr(self, member) is None
            except PoolCapabilityError:
                absent = True
            if absent:
                raise self._lacks(member, by)

    def _lacks(self, member: str, by: str = "The strategy") -> PoolCapabilityError:
        advice = _DETECTOR_ADVICE if is_detector(self._final) and member != "box_proba" else _ADVICE[member]
        return PoolCapabilityError(f"{by} needs {_WORDING[member]}, which {self.model_name} does not supply. {advice}")

    def _transform(self, X: Any) -> Any:
        for transform in self._transforms:
            X = transform.transform(X)
        return X


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


def _unwrap(classifier: Any) -> tuple[list[Any], Any]:
    """Transformers on the way, and the final classifier, of learner -> search -> pipeline -> last step."""
    transforms: list[Any] = []
    model = classifier
    while True:
        if isinstance(model, BaseLearner):
            model = model.estimator
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif isinstance(model, Pipeline):
            if len(model.steps) > 1:
                transforms.append(model[:-1])
            last = model.steps[-1][1]
            if last is None or isinstance(last, str):
                return transforms, model
            model = last
        else:
            return transforms, model


def _is_fitted(classifier: Any) -> bool:
    """Whether `predict_proba` can be asked; true for what does not say."""
    if isinstance(classifier, BaseCommittee):
        return all(_is_fitted(learner) for learner in classifier.learner_list)
    if isinstance(classifier, BaseLearner):
        return _is_fitted(classifier.estimator)
    if isinstance(classifier, Pipeline) and classifier.steps and is_skorch(classifier.steps[-1][1]):
        return _is_fitted(classifier.steps[-1][1])
    if is_skorch(classifier):
        # Older skorch does not tell scikit-learn.
        return bool(getattr(classifier, "initialized_", False))
    try:
        check_is_fitted(classifier)
    except NotFittedError:
        return False
    except TypeError:
        # Not a scikit-learn estimator: it cannot be asked, so its predict_proba will have to tell.
        return True
    return True


def _allows_nan(estimator: Any) -> bool:
    try:
        return bool(get_tags(estimator).input_tags.allow_nan)
    except (AttributeError, TypeError, ValueError):
        return False


def _shape_words(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} features" if len(shape) == 1 else f"shape {shape}"
