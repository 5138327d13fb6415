"""modAL's ActiveLearner, on today's scikit-learn and pandas, as a full scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from modAL.uncertainty import uncertainty_sampling
from sklearn.base import clone, is_classifier

from ..base import QueryStrategy
from ..models import is_fitted
from ..rows import check_classes, check_labels, take_rows
from ..utils._compat import ModALActiveLearner
from ..utils._validation import shown
from ._arguments import NOT_GIVEN, check_cold_start, check_estimator, check_query_strategy, first_strategy
from ._labels import LabeledSet, is_one_label
from ._one_estimator import OneEstimator
from ._transaction import Snapshot, unchanged_on_error

__all__ = ["ActiveLearner"]


class ActiveLearner(OneEstimator, ModALActiveLearner):
    """modAL's `ActiveLearner`, for scikit-learn 1.6 to 1.9, pandas 2 and 3, modAL 0.4.1 and 0.4.2.1.

    Existing modAL scripts run unchanged. What modAL's own class cannot do on today's stack works here: `teach` and
    `fit`, DataFrames with integer columns, float64 pools for a float32 network, `clone`, `repr`, `get_params`,
    `cross_val_score` and `GridSearchCV` on the learner itself. A strategy is called exactly once per query, and its
    exceptions pass through; a failed `query`, `fit` or `teach` leaves the learner as it was. The last `teach` can be
    taken back (`undo`), and labels can be corrected (`relabel`).

    Parameters
    ----------
    estimator : estimator
        Any scikit-learn or skorch estimator; it is fitted in place, as modAL does.
    query_strategy : callable, default=modAL.uncertainty.uncertainty_sampling
        A `skal` strategy or its function twin, any of modAL's query functions, or a callable of your own with
        modAL's signature ``(classifier, X, n_instances=1, **kwargs)``.
    X_training : array-like of n samples, optional
        Initial samples: NumPy array (images too), DataFrame, sparse matrix, list (of strings too), tensor or dict of
        these. Given, the estimator is fitted at once.
    y_training : array-like of n labels, optional
        Their labels; for a detector a list of dicts with "boxes" and "labels", one for each of a list of images.
    bootstrap_init : bool, default=False
        Whether that first fit uses a bootstrap sample.
    on_transformed : bool, default=False
        Whether modAL's batch strategies see the samples as transformed by the estimator's pipeline. skal's
        strategies always use the transformed samples as embeddings.
    force_all_finite : bool, default=True
        Whether NaN and infinity in samples are an error. They are none where the estimator says that it takes them, or
        is a Pipeline, whose steps decide.
    random_state : int, RandomState or None, default=None
        Seeds bootstrap samples.
    classes : array-like of labels or None, default=None
        All labels that there are. A label that is missing, empty or none of them is then an error, which names the
        nearest, wherever labels come in.
    cold_start : "random" or strategy, default="random"
        Who chooses while there are no labels: uniformly at random, or a strategy that needs embeddings only
        (TypiClust, KMeansSampling, ActiveFT, CoreSet, ProbCover), or one that asks for no more while nothing is
        labelled (MaxHerding, UncertaintyHerding), whatever `query_strategy` is. Embeddings are then those of a frozen
        backbone (``DeepClassifier(freeze="backbone")``), of an estimator's own `embed`, or the numbers behind the
        transformers, fitted on the pool. Not given, a `query_strategy` that can choose the first labels by itself does
        so; else it is random, with a `ColdStartWarning`.
    **fit_kwargs
        Passed to the estimator's `fit` when it is fitted at construction; not reused by `teach`, as in modAL.

    Attributes
    ----------
    X_training, y_training : array-like or None
        All labelled data so far. They may be set by hand; what was taught before can then no longer be undone.
    round : int
        Queries that have been answered by `teach`.
    n_rounds : int or None
        Queries planned for the whole run; a loop may set it for strategies that follow a schedule.
    classes_ : ndarray
        The estimator's classes.
    verbose : bool
        May be set: whether a query that takes more than a few seconds shows a bar on standard error. False.
    memory_limit : int
        May be set: bytes above which embeddings, or another output that a strategy needs of the whole pool, are kept
        in a temporary file (of no name, in the system's folder for such, see `tempfile`) instead of in memory. 4 GiB.

    Raises
    ------
    TypeError
        `query_strategy` is not callable, or a keyword that is neither a parameter nor one of the estimator's `fit`.
    ValueError
        Samples and labels of different number, NaN or infinity.

    Notes
    -----
    Differences from modAL, beside the repairs: `teach(only_new=True)` always adds the new samples to `X_training`
    (as modAL 0.4.1 does; 0.4.2.1 drops them); bootstrap samples come from `random_state`, never from NumPy's global
    generator; `clone` gives a learner with the same parameters and without data, as scikit-learn defines it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.learners import ActiveLearner
    >>> from skal.strategies import DECERN
    >>> X, y = load_iris(return_X_y=True)
    >>> start, pool = np.arange(0, 150, 15), np.setdiff1d(np.arange(150), np.arange(0, 150, 15))
    >>> learner = ActiveLearner(
    ...     LogisticRegression(max_iter=500),
    ...     query_strategy=DECERN(random_state=0),
    ...     X_training=X[start],
    ...     y_training=y[start],
    ... )
    >>> query_idx, X_query = learner.query(X[pool], n_instances=5)
    >>> learner.teach(X_query, y[pool][query_idx])
    >>> len(learner.X_training)
    15
    """

    _labels: LabeledSet

    def __init__(
        self,
        estimator: Any,
        query_strategy: Callable[..., Any] = uncertainty_sampling,
        X_training: Any = None,
        y_training: Any = None,
        bootstrap_init: bool = False,
        on_transformed: bool = False,
        force_all_finite: bool = True,
        random_state: int | np.random.RandomState | None = None,
        *,
        classes: Any = None,
        cold_start: Any = NOT_GIVEN,
        **fit_kwargs: Any,
    ) -> None:
        check_estimator(estimator, has_data=X_training is not None)
        check_query_strategy(query_strategy)
        check_cold_start(cold_start)
        if classes is not None:
            check_classes(classes, type(self).__name__)
        if not isinstance(force_all_finite, bool):
            raise TypeError(f"force_all_finite must be a bool. Got {shown(force_all_finite)} instead.")
        self.estimator = estimator
        self.query_strategy = query_strategy
        self.bootstrap_init = bootstrap_init
        self.on_transformed = on_transformed
        self.force_all_finite = force_all_finite
        self.random_state = random_state
        self.classes = classes
        self.cold_start = cold_start
        self._begin_with(LabeledSet())
        self._fit_kwargs = fit_kwargs
        self._check_fit_kwargs(fit_kwargs)
        if X_training is not None:
            with unchanged_on_error(self.estimator, self.random_state):
                self._begin_with(self._checked(X_training, y_training))
                self._fit_to_known(bootstrap=bootstrap_init, **fit_kwargs)
        elif y_training is not None:
            raise ValueError("y_training was given without X_training.")

    # -- the loop ----------------------------------------------------------------------------------------------

    def teach(self, X: Any, y: Any, bootstrap: bool = False, only_new: bool = False, **fit_kwargs: Any) -> None:
        """Add labelled samples and retrain.

        Parameters
        ----------
        X : array-like of m samples
            New samples.
        y : array-like of m labels
            Their labels.
        bootstrap : bool, default=False
            Whether to train on a bootstrap sample.
        only_new : bool, default=False
            Whether to train on the new samples alone (they join `X_training` all the same). An estimator whose `fit`
            starts afresh, every network without ``warm_start=True`` included, forgets the older ones.
        **fit_kwargs
            Passed to the estimator's `fit`.
        """
        with self._unchanged_on_error():
            self._add_training_data(X, y)
            if only_new:
                self._fit_on_new(X, y, bootstrap=bootstrap, **fit_kwargs)
            else:
                self._fit_to_known(bootstrap=bootstrap, **fit_kwargs)
            self._answered()

    def fit(self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any) -> ActiveLearner:
        """Forget all data, take `X` and `y` as the labelled data, and train on them.

        Parameters
        ----------
        X : array-like of n samples
        y : array-like of n labels
        bootstrap : bool, default=False
            Whether to train on a bootstrap sample.
        **fit_kwargs
            Passed to the estimator's `fit`.

        Returns
        -------
        self
        """
        with self._unchanged_on_error():
            self._begin_with(self._checked(X, y))
            self._fit_to_known(bootstrap=bootstrap, **fit_kwargs)
        return self

    def undo(self, bootstrap: bool = False, **fit_kwargs: Any) -> ActiveLearner:
        """Take back the last `teach`: its samples, its labels, and the query that it answered.

        The estimator is trained on what is left; where nothing is, it is as it was before that `teach`. Called again,
        it takes back the `teach` before. The query stays open, so that `teach` can answer it anew. Labels that
        `relabel` has changed in what is left stay changed.

        Parameters
        ----------
        bootstrap : bool, default=False
            Whether to train on a bootstrap sample.
        **fit_kwargs
            Passed to the estimator's `fit`; what holds one entry for each sample, for those that are left.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Nothing has been taught since the initial data, or since `X_training` was set by hand.
        """
        with self._unchanged_on_error():
            self._labels, (self.round, self._has_query, untaught) = self._labels.without_last()
            if len(self._labels):
                self._fit_to_known(bootstrap=bootstrap, **fit_kwargs)
            elif untaught.root is self.estimator:
                untaught.put_back()
            else:
                self.estimator = clone(self.estimator)
        return self

    def relabel(self, position: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any) -> ActiveLearner:
        """Correct labels, and train anew on all labelled data.

        Parameters
        ----------
        position : int or array-like of int
            One or several different positions in `X_training`.
        y : label or array-like of labels
            The right label of each; for a single position the label alone will do.
        bootstrap : bool, default=False
            Whether to train on a bootstrap sample.
        **fit_kwargs
            Passed to the estimator's `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Positions that do not exist or come twice, or another number of labels. The learner stays as it was.
        """
        if self.classes is not None:
            check_labels([y] if is_one_label(y) else y, check_classes(self.classes, type(self).__name__))
        with self._unchanged_on_error():
            self._labels = self._labels.relabeled(position, y)
            self._checked(self.X_training, self.y_training)
            self._fit_to_known(bootstrap=bootstrap, **fit_kwargs)
        return self

    def retrain(self, X: Any = None, y: Any = None, *, source: str, **fit_kwargs: Any) -> ActiveLearner:
        """Take the samples and labels that `source` keeps, all of them anew, and train on all that is labelled.

        For whoever keeps the labels elsewhere, and corrects, takes back and adds, such as a labelling session. What
        the learner has of its own stands before them. Round, open query and what strategies keep stay. `undo` does not
        reach behind them.

        Parameters
        ----------
        X : array-like of m samples or None, default=None
            In place of what `source` gave before. None: it has none.
        y : array-like of m labels or None, default=None
        source : str
            Who keeps them.
        **fit_kwargs
            Passed to the estimator's `fit`.

        Returns
        -------
        self

        Notes
        -----
        While all labels are one class, and the learner has none of its own, a classifier has nothing to learn: it
        stays untrained, the labels are not taken, and `cold_start` goes on choosing. What the learner is afterwards
        depends on the labels and their order alone, not on how they came in; so the copies of `DM2ATLearner` are those
        of a network trained on the labels, at the cost of a second training.
        """
        with self._unchanged_on_error():
            own = self._labels.without(source)
            self._labels = own
            if X is not None and (len(own) or not _classifies(self.estimator) or _has_classes(y)):
                new = self._checked(X, y)
                self._labels = own.with_lesson(new.X, new.y, source=source)
                self._fit_to_known(**fit_kwargs)
                copies = self._copies(new.X, new.y)
                if copies is not None:
                    self._labels = own.with_lesson(new.X, new.y, copies=copies, source=source)
                    self._fit_to_known(**fit_kwargs)
            elif len(own):
                self._fit_to_known(**fit_kwargs)
            elif is_fitted(self.estimator):
                self.estimator = clone(self.estimator)
        return self

    # -- what is labelled ----------------------------------------------------------------------------------------

    @property
    def X_training(self) -> Any:
        """All labelled samples so far; None while there are none."""
        return self._labels.X

    @X_training.setter
    def X_training(self, X: Any) -> None:
        self._labels = self._labels.with_columns(X=X)

    @property
    def y_training(self) -> Any:
        """Their labels."""
        return self._labels.y

    @y_training.setter
    def y_training(self, y: Any) -> None:
        self._labels = self._labels.with_columns(y=y)

    def _begin_with(self, labels: LabeledSet) -> None:
        """Forget all data, rounds and what strategies keep, and hold `labels`."""
        self._labels = labels
        self._start_anew()

    def _data(self) -> Iterable[Any]:
        return (self.X_training, self.y_training)

    def _first_strategy(self) -> QueryStrategy | None:
        if len(self._labels) or is_fitted(self.estimator):
            return None
        return first_strategy(self.cold_start, self.random_state)

    def _checked(self, X: Any, y: Any) -> LabeledSet:
        """Samples and labels that fit together."""
        return LabeledSet(*self._check_data(X, y, self.classes))

    # -- the parts that modAL's Committee calls ------------------------------------------------------------------

    def _add_training_data(self, X: Any, y: Any) -> None:
        new = self._checked(X, y)
        # Without labels there is nothing to train on again, so that `undo` needs the estimator as it is now.
        untaught = None if len(self._labels) else Snapshot(self.estimator)
        before = (self.round, self._has_query, untaught)
        self._labels = self._labels.with_lesson(new.X, new.y, copies=self._copies(new.X, new.y), before=before)

    def _copies(self, X: Any, y: Any) -> Any:
        """What is kept beside new samples, one row for each; a plain learner keeps nothing."""
        return None

    def _fit_to_known(self, bootstrap: bool = False, **fit_kwargs: Any) -> ActiveLearner:
        return self._fit_estimator(self.X_training, self.y_training, bootstrap, fit_kwargs)

    def _fit_on_new(self, X: Any, y: Any, bootstrap: bool = False, **fit_kwargs: Any) -> ActiveLearner:
        new = self._checked(X, y)
        return self._fit_estimator(new.X, new.y, bootstrap, fit_kwargs)

    # -- scikit-learn's protocol ---------------------------------------------------------------------------------

    def __sklearn_clone__(self) -> ActiveLearner:
        """The same parameters without the data: nothing is refitted here, and nothing labelled leaks into a fold."""
        params = self.get_params(deep=False)
        del params["X_training"], params["y_training"]
        twin = type(self)(**{name: clone(value, safe=False) for name, value in params.items()})
        twin._fit_kwargs = dict(self._fit_kwargs)
        twin.n_rounds = self.n_rounds
        return twin


def _classifies(estimator: Any) -> bool:
    try:
        return bool(is_classifier(estimator))
    except (AttributeError, TypeError):  # of an estimator without scikit-learn's tags
        return hasattr(estimator, "predict_proba")


def _has_classes(y: Any) -> bool:
    """Whether there is more than one label."""
    first = take_rows(y, slice(0, 1))
    return bool(np.any(np.asarray(y) != np.asarray(first)))
