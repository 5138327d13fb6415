"""The whole active-learning loop as one scikit-learn classifier, for comparing and tuning after the fact."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import column_or_1d, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm.auto import tqdm

from ..learners import LARGEST_IN_QUERY, ActiveLearner, Round, learner_from, simulate, unchanged_on_error
from ..models import input_tags, is_detector, model_for, takes_missing
from ..rows import check_training_data, feature_shape, n_rows, plain_labels, take_rows
from ..strategies import RandomSampling
from ..utils._compat import HasMethods, Interval, RealNotInt, StrOptions, validate_parameter_constraints
from ..utils._random import make_generator, sklearn_seed
from ..utils._validation import kind_of

__all__ = ["ActiveLearningClassifier"]

# A stream for each source of randomness, so that another strategy meets the same start and model seeds.
_INITIAL, _STRATEGY, _ESTIMATOR = 1, 2, 3

_COUNT = [Interval(Integral, 1, None, closed="left"), Interval(RealNotInt, 0, 1, closed="right")]


def _estimator_has(method: str) -> Callable[[Any], bool]:
    def check(self: Any) -> bool:
        # Not hasattr: scikit-learn shows the inner AttributeError as the cause.
        getattr(getattr(self, "estimator_", self.estimator), method)
        return True

    return check


class ActiveLearningClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier that is trained by a simulated active-learning loop.

    `fit(X, y)` hides `y`, labels an initial set, and then repeats: ask the query strategy, reveal the labels
    it asked for, train again. The result is an ordinary scikit-learn classifier, so that `cross_validate`
    compares strategies, and `GridSearchCV` tunes their parameters, the number of samples per query and the
    model together.

    This is **retrospective**: `y` plays the oracle, so every label must be known beforehand, those of all
    training folds included. What a strategy would have spent is `n_labels_`; what a search over strategies
    has read is all of `y`. Use it to choose a strategy on data that is labelled already; to label new data
    use :class:`skal.learners.ActiveLearner`.

    Parameters
    ----------
    estimator : classifier
        Model to train; a clone of it is fitted from scratch after each query. Pipelines, skorch networks and
        `GridSearchCV` are welcome.
    query_strategy : QueryStrategy or callable
        What to label next: a strategy of :mod:`skal.strategies`, or any function with modAL's signature
        `(classifier, X, n_instances)`, such as `modAL.uncertainty.margin_sampling` or a `functools.partial`.
        A clone is used (a copy where it is no estimator).
    init_strategy : QueryStrategy, callable, "query_strategy" or None, default=None
        What to label first, while there is no model. None draws uniformly at random. `"query_strategy"` lets
        the query strategy begin by itself, which suits one with a cold start of its own. Anything else is
        called like a query strategy, with a learner that is not fitted.
    n_initial : int or float, default=0.1
        Size of the initial set: samples (at least 1), or a fraction of the training samples in (0, 1],
        rounded, at least one sample. See Notes for a set that holds a single class.
    n_instances : int or float, default=0.05
        Samples per query, in the units of `n_initial`.
    n_queries : int, default=5
        Number of queries after the initial set, at least 0. A schedule longer than the data stops as soon as
        everything is labelled.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial draw, and of every `random_state` parameter of `estimator` and of the strategies
        that is None (those already set are kept). None: not repeatable, and nothing is seeded. The loop never
        uses NumPy's global generator. A plain function, or a model without a `random_state`, keeps its own
        randomness.
    learner : ActiveLearner or None, default=None
        A template of the learner that runs the loop, such as ``DM2ATLearner(None, epsilon=0.05)``; its parameters are
        searched as `learner__epsilon`. Its own `estimator`, `query_strategy`, `force_all_finite` and data are not read.
        None is a plain `ActiveLearner`.
    verbose : int or bool, default=0
        1 or more: a progress bar over the rounds.

    Attributes
    ----------
    estimator_ : classifier
        The model, trained on all revealed labels.
    learner_ : ActiveLearner
        The learner that ran the loop; holds the labelled rows, and the strategy with whatever it remembers.
    classes_ : ndarray of shape (n_classes,)
        Labels in `y`, revealed or not, and those that the model knows besides.
    query_round_ : ndarray of shape (n_samples,), int64
        When each training sample was labelled: 0 initial set, r the r-th query, -1 never.
    queried_idx_ : ndarray of shape (n_labels_,), int64
        Positions of the labelled samples in `X`, in the order of labelling.
    n_labels_ : int
        Number of labels spent.
    history_ : list of dict
        One dict per round: `round` (0 is the initial set), `n_labels` (after the round), `query_seconds`,
        `fit_seconds`, and `score`, the accuracy on `eval_set`, where one was given.
    n_features_in_ : int
        Number of features, where `X` is a table.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where `X` is a DataFrame whose names are all strings.

    See Also
    --------
    skal.learners.ActiveLearner : The same loop, one step at a time, with a real oracle.

    Notes
    -----
    Most classifiers cannot be fitted to a single class. Where the initial set turns out to hold one class
    only, labelling goes on with further samples, one at a time and at random, until a second class is found.
    That is what an annotator would do, and these labels count in `n_labels_` like all others (unless all of
    `y` is one class: then there is nothing to find, and the set stays as it is). No other decision of the
    loop looks at a hidden label.

    With an integer `random_state` the initial draw, the strategies and the model have a stream each: two
    strategies (or two models) that are compared under one seed start from the same initial set.

    Time and memory are those of `n_queries` queries and `n_queries + 1` fits, and one copy of the unlabelled
    rows per query. Arrays of any dimension, DataFrames, sparse matrices (converted to CSR), lists and tensors
    pass on to the estimator as they are; NaN and infinity are refused unless the estimator says that it takes
    them, or is a Pipeline, whose steps decide. Keyword arguments of `fit` that hold one entry per sample are
    cut down to the labelled ones.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skal.meta import ActiveLearningClassifier
    >>> from skal.strategies import EntropySampling, MarginSampling, RandomSampling
    >>> X, y = load_iris(return_X_y=True)
    >>> al = ActiveLearningClassifier(LogisticRegression(max_iter=1000), MarginSampling(),
    ...                               n_initial=10, n_instances=5, n_queries=4, random_state=0)
    >>> al.fit(X, y).n_labels_
    30
    >>> [step["n_labels"] for step in al.history_]
    [10, 15, 20, 25, 30]
    >>> grid = {"query_strategy": [RandomSampling(), EntropySampling()], "n_instances": [2, 5]}
    >>> search = GridSearchCV(al, grid, cv=3)
    >>> sorted(search.fit(X, y).best_params_)
    ['n_instances', 'query_strategy']
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "query_strategy": [callable],
        "init_strategy": [callable, StrOptions({"query_strategy"}), None],
        "n_initial": _COUNT,
        "n_instances": _COUNT,
        "n_queries": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
        "learner": [ActiveLearner, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any,
        query_strategy: Callable[..., Any],
        *,
        init_strategy: Callable[..., Any] | str | None = None,
        n_initial: int | float = 0.1,
        n_instances: int | float = 0.05,
        n_queries: int = 5,
        random_state: int | np.random.RandomState | None = None,
        learner: ActiveLearner | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.estimator = estimator
        self.query_strategy = query_strategy
        self.init_strategy = init_strategy
        self.n_initial = n_initial
        self.n_instances = n_instances
        self.n_queries = n_queries
        self.random_state = random_state
        self.learner = learner
        self.verbose = verbose

    def fit(
        self, X: Any, y: Any, eval_set: tuple[Any, Any] | None = None, **fit_params: Any
    ) -> ActiveLearningClassifier:
        """Run the loop on `X`, with `y` as the oracle.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, sparse matrix, list or tensor
            Training samples: the initial pool.
        y : array-like of shape (n_samples,)
            Their labels, hidden from model and strategy until asked for.
        eval_set : tuple (X_val, y_val) or None, default=None
            Held-out data; the accuracy on it after each round goes into `history_`. Never used for training.
        **fit_params : dict
            Passed to the estimator's `fit`; what holds one entry per sample (`sample_weight`) is cut down to
            the labelled samples. With scikit-learn's metadata routing enabled, what the estimator requests.

        Returns
        -------
        self : ActiveLearningClassifier
            The fitted classifier.

        Raises
        ------
        ValueError, TypeError
            A parameter out of range, data that does not fit together, or a strategy that answers with
            anything but unique positions in the pool. Attributes of an earlier fit stay as they were.
        """
        self._check_params()
        X, y = self._check_data(X, y)
        if eval_set is not None:
            eval_set = self._check_eval_set(eval_set, X)
        if get_config()["enable_metadata_routing"]:
            fit_params = process_routing(self, "fit", **fit_params).estimator.fit

        with unchanged_on_error(self, largest=LARGEST_IN_QUERY):
            learner, init_strategy = self._make_learner()
            rounds, history = self._run(learner, init_strategy, X, y, eval_set, fit_params)
            queried = rounds[-1].labeled
            classes = np.union1d(y, _column_labels(learner, take_rows(X, queried[:1])))

            for name in ("n_features_in_", "feature_names_in_"):
                self.__dict__.pop(name, None)
            if _is_table(X):
                validate_data(self, X, skip_check_array=True)
            self.learner_ = learner
            self.estimator_ = learner.estimator
            self.classes_ = classes
            self.queried_idx_ = queried
            self.query_round_ = np.full(n_rows(X), -1, dtype=np.int64)
            for step in rounds:
                self.query_round_[step.queried] = step.round
            self.n_labels_ = len(queried)
            self.history_ = history
        return self

    def _check_params(self) -> None:
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), caller_name=type(self).__name__
        )
        if is_detector(self.estimator):
            raise TypeError(
                f"The 'estimator' parameter of {type(self).__name__} must be a classifier. "
                f"{type(self.estimator).__name__} is a detector: use it in ActiveLearner."
            )
        for name in ("query_strategy", "init_strategy"):
            strategy = getattr(self, name)
            if inspect.isclass(strategy):
                raise TypeError(
                    f"The {name!r} parameter of {type(self).__name__} must be an instance or a function. "
                    f"Got the class {strategy.__name__}; write {strategy.__name__}()."
                )

    def _check_data(self, X: Any, y: Any) -> tuple[Any, NDArray]:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        is_sparse = sp.issparse(X)
        if is_sparse:
            X = X.tocsr()
        elif not hasattr(X, "shape") and hasattr(X, "__array__"):
            X = np.asarray(X)
        tags = input_tags(self.estimator)
        if isinstance(X, np.ndarray) and X.dtype.kind == "O" and tags is not None and not tags.string:
            X = _floats(X)
        check_training_data(X, y, ensure_all_finite=not takes_missing(self.estimator))
        y = plain_labels(y)
        try:
            is_complex = np.asarray(y).dtype.kind == "c"
        except ValueError:  # of lists of several lengths
            raise ValueError("y must hold one class label for each sample. Got several for some.") from None
        if is_complex:
            raise ValueError("y must hold one class label for each sample. Complex data not supported.")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return X, y

    def _check_eval_set(self, eval_set: Any, X: Any) -> tuple[Any, NDArray]:
        if not isinstance(eval_set, (tuple, list)) or len(eval_set) != 2:
            raise TypeError(f"eval_set must be a pair (X_val, y_val). Got {kind_of(eval_set)} instead.")
        X_val, y_val = self._check_data(*eval_set)
        if None not in (feature_shape(X), feature_shape(X_val)) and feature_shape(X) != feature_shape(X_val):
            raise ValueError(
                f"Samples of eval_set must have the shape {feature_shape(X)} of those in X. "
                f"Got {feature_shape(X_val)} instead."
            )
        return X_val, y_val

    def _make_learner(self) -> tuple[Any, Callable[..., Any]]:
        """A learner without data around clones, and the strategy for the initial set; all seeded."""
        estimator = clone(self.estimator)
        strategy = _as_strategy(self.query_strategy)
        if self.init_strategy is None:
            init_strategy: Any = RandomSampling()
        elif isinstance(self.init_strategy, str):
            init_strategy = strategy
        else:
            init_strategy = _as_strategy(self.init_strategy)
        if self.random_state is not None:
            _set_missing_seeds(estimator, make_generator(self.random_state, _ESTIMATOR))
            _set_missing_seeds(strategy, make_generator(self.random_state, _STRATEGY))
            _set_missing_seeds(init_strategy, make_generator(self.random_state, _INITIAL))
        learner = learner_from(self.learner, estimator, strategy)
        # Strategies with a schedule (BAL) plan with it; the initial set is its round 0.
        learner.n_rounds = 1 + self.n_queries
        return learner, init_strategy

    def _run(
        self,
        learner: Any,
        init_strategy: Callable[..., Any],
        X: Any,
        y: NDArray,
        eval_set: tuple[Any, NDArray] | None,
        fit_params: dict[str, Any],
    ) -> tuple[list[Round], list[dict[str, Any]]]:
        """The rounds, and what is recorded of them."""
        rounds: list[Round] = []
        history: list[dict[str, Any]] = []
        steps = simulate(
            learner,
            X,
            y,
            n_initial=_count(self.n_initial, len(y)),
            n_instances=_count(self.n_instances, len(y)),
            n_queries=self.n_queries,
            init_strategy=init_strategy,
            random_state=self.random_state,
            fit_params=fit_params,
        )
        with tqdm(steps, total=1 + self.n_queries, desc="rounds", disable=not self.verbose) as bar:
            for step in bar:
                rounds.append(step)
                history.append(
                    {
                        "round": step.round,
                        "n_labels": len(step.labeled),
                        "query_seconds": step.query_seconds,
                        "fit_seconds": step.fit_seconds,
                    }
                )
                if eval_set is not None:
                    X_val, y_val = eval_set
                    history[-1]["score"] = float(np.mean(learner.predict(X_val) == y_val))
                bar.set_postfix(labels=len(step.labeled))
        return rounds, history

    def predict(self, X: Any) -> NDArray:
        """Predicted labels, `(n_samples,)`."""
        self._check_new(X)
        return self.learner_.predict(X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray:
        """Probabilities `(n_samples, n_classes)`, columns as in `classes_`; 0 for a class never revealed."""
        self._check_new(X)
        proba = np.asarray(self.learner_.predict_proba(X))
        return self._spread(proba, model_for(self.estimator_).classes(proba.shape[1]), 0.0)

    @available_if(_estimator_has("predict_proba"))
    def predict_log_proba(self, X: Any) -> NDArray:
        """Logarithm of `predict_proba`, `(n_samples, n_classes)`; -inf for a class never revealed."""
        proba = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(proba)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> NDArray:
        """The estimator's decision values.

        `(n_samples,)` with two classes, else `(n_samples, n_classes)` in the order of `classes_`, with -inf
        for a class never revealed. Where only two of several classes were revealed, they get plus and minus
        the value.
        """
        self._check_new(X)
        values = np.asarray(self.estimator_.decision_function(X))
        seen = self.estimator_.classes_
        if np.array_equal(seen, self.classes_):
            return values
        if values.ndim == 1:
            values = np.column_stack([-values, values])
        if values.shape[1] != len(seen):
            raise ValueError(
                f"decision_function of {type(self.estimator_).__name__} must have one column for each of its "
                f"{len(seen)} classes to be mapped onto classes_. Got {values.shape[1]} columns."
            )
        return self._spread(values, seen, -np.inf)

    def _check_new(self, X: Any) -> None:
        check_is_fitted(self)
        if hasattr(self, "n_features_in_") and _is_table(X):
            validate_data(self, X, reset=False, skip_check_array=True)

    def _spread(self, columns: NDArray, labels: NDArray, fill: float) -> NDArray:
        """`columns`, one for each of `labels`, moved to the places of their labels in `classes_`."""
        if np.array_equal(labels, self.classes_):
            return columns
        spread = np.full((len(columns), len(self.classes_)), fill, dtype=columns.dtype)
        spread[:, np.searchsorted(self.classes_, labels)] = columns
        return spread

    def get_metadata_routing(self) -> MetadataRouter:
        """Where the metadata of `fit` goes: `eval_set` to this object, the rest to the estimator."""
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(estimator=self.estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        # Rows are taken, never columns, so a precomputed kernel cannot pass.
        tags.input_tags.pairwise = False
        tags.non_deterministic = inner.non_deterministic
        tags.no_validation = inner.no_validation
        if inner.classifier_tags is not None:
            tags.classifier_tags.poor_score = inner.classifier_tags.poor_score
            tags.classifier_tags.multi_class = inner.classifier_tags.multi_class
        return tags


def _floats(X: NDArray) -> NDArray:
    """An object array as numbers, where it holds numbers; texts stay, and other objects raise `TypeError`."""
    try:
        return X.astype(np.float64)
    except ValueError:
        return X


def _is_table(X: Any) -> bool:
    """Whether X has columns whose number and names can be checked; images, texts and tensors do not."""
    shape = getattr(X, "shape", None)
    return len(shape) == 2 if shape is not None else isinstance(X, (list, tuple))


def _count(size: int | float, n: int) -> int:
    """A count or a fraction as a number of samples in [1, n]."""
    return min(int(size), n) if isinstance(size, Integral) else max(1, round(float(size) * n))


def _as_strategy(strategy: Any) -> Any:
    """A private copy of a strategy; a function twin becomes its class, which can be seeded and keeps its state."""
    if hasattr(strategy, "strategy_class"):
        return strategy.strategy_class()
    return clone(strategy, safe=False)


def _set_missing_seeds(target: Any, rng: np.random.Generator) -> None:
    """Seed every parameter `random_state` of `target`, however deep, that is None."""
    while isinstance(target, functools.partial):
        target = target.func
    if not hasattr(target, "get_params"):
        return
    unset = [
        name
        for name, value in sorted(target.get_params(deep=True).items())
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    ]
    if unset:
        target.set_params(**{name: sklearn_seed(rng) for name in unset})


def _column_labels(learner: Any, X: Any) -> NDArray:
    """Labels that the model can predict; `X` tells a network's width, which `classes_` need not."""
    if hasattr(learner.estimator, "predict_proba"):
        return model_for(learner.estimator).classes(learner.predict_proba(X).shape[1])
    return np.asarray(learner.classes_)
