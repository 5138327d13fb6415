"""modAL's Committee, on today's stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from modAL.disagreement import vote_entropy_sampling
from modAL.models import Committee as ModALCommittee
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils import ClassifierTags

from ..exceptions import ModelNotFittedError
from ..models import Unwrapped
from ..rows import plain_labels
from ._members import Members

__all__ = ["Committee"]


class Committee(Members, ModALCommittee):
    """modAL's `Committee`: several learners that vote, for scikit-learn 1.6 to 1.9, modAL 0.4.1 and 0.4.2.1.

    Existing modAL scripts run unchanged. Beside what `ActiveLearner` mends, labels may be text (modAL's votes are
    numbers only), and members may have seen different classes.

    Parameters
    ----------
    learner_list : list of learners
        The members: `ActiveLearner`, `DeepActiveLearner` or `DM2ATLearner`, each with data and an estimator of its own.
    query_strategy : callable, default=modAL.disagreement.vote_entropy_sampling
        A strategy of `modAL.disagreement` or `modAL.uncertainty`, a `skal` strategy that a committee serves (see
        `skal.strategies.usable_with`; one that asks for the opinions of a model gets the members'), or a callable of
        your own with modAL's signature.
    on_transformed : bool, default=False
        Whether modAL's batch strategies see the samples as transformed by the members' pipelines, side by side.
    n_jobs : int or None, default=None
        Threads in which members are trained and asked; None is one, or as many as `joblib.parallel_config` says.
        Networks are trained one after the other in any case, since they draw from torch's generator.

    Attributes
    ----------
    classes_ : ndarray or None
        All classes that any member knows; None while a member is not fitted.
    n_classes_ : int
        Their number, 0 while there are none.
    X_training : None
        As in modAL: the data of the members need not be the same. Each member has its own.
    round, n_rounds, verbose, memory_limit
        As in `ActiveLearner`.

    Raises
    ------
    TypeError
        A member that is no learner, such as a bare estimator.
    ValueError
        No members, or one of them twice.

    Notes
    -----
    A failed or interrupted `query`, `teach`, `fit` or `rebag` leaves every member as it was. For that the fitted
    estimators of all members are copied first.

    Parameters of the members are ``learner_list__<i>__...``, with the position i counted from 0: in a grid,
    ``{"learner_list__0__estimator__C": [1, 10]}``. `clone` gives a committee of members without data.

    Bootstrap samples come from each member's own `random_state`: give each another one, or None, else all draw alike.

    Time: that of the members, one after the other or `n_jobs` at a time. Memory of `vote_proba`, and of `predict` and
    `predict_proba`, which average it: (n, n_members, n_classes) float64, as in modAL.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skal.learners import ActiveLearner, Committee
    >>> X, y = load_iris(return_X_y=True)
    >>> y = np.array(["setosa", "versicolor", "virginica"])[y]
    >>> start, pool = np.arange(0, 150, 15), np.setdiff1d(np.arange(150), np.arange(0, 150, 15))
    >>> members = [ActiveLearner(estimator, X_training=X[start], y_training=y[start])
    ...            for estimator in (LogisticRegression(max_iter=500), GaussianNB())]
    >>> committee = Committee(members)
    >>> query_idx, X_query = committee.query(X[pool], n_instances=5)
    >>> committee.teach(X_query, y[pool][query_idx])
    >>> committee.vote(X[:1]).tolist()
    [['setosa', 'setosa']]
    """

    def __init__(
        self,
        learner_list: list[Any],
        query_strategy: Callable[..., Any] = vote_entropy_sampling,
        on_transformed: bool = False,
        *,
        n_jobs: int | None = None,
    ) -> None:
        self._begin(learner_list, query_strategy, on_transformed, n_jobs)

    # Of the members as they are now, also where one of them was taught by itself.
    @property
    def classes_(self) -> Any:
        known = [getattr(member.estimator, "classes_", None) for member in self.learner_list]
        if any(classes is None for classes in known):
            return None
        arrays = [np.asarray(classes) for classes in known]
        if len({array.dtype.kind in "USO" for array in arrays}) > 1:
            raise ValueError("The members of Committee must have labels of one kind, text or numbers. Got both.")
        return np.unique(np.concatenate(arrays))

    @property
    def n_classes_(self) -> int:
        classes = self.classes_
        return 0 if classes is None else len(classes)

    def vote(self, X: Any, **predict_kwargs: Any) -> NDArray:
        """The class that each member predicts.

        Parameters
        ----------
        X : array-like of n samples
        **predict_kwargs
            Passed to each member's `predict`.

        Returns
        -------
        ndarray of shape (n, n_members)
            Labels as they were taught, text too.
        """
        return self._votes(X, predict_kwargs)

    def vote_proba(self, X: Any, **predict_proba_kwargs: Any) -> NDArray:
        """The class probabilities of each member; 0 for a class that a member has not seen.

        Parameters
        ----------
        X : array-like of n samples
        **predict_proba_kwargs
            Passed to each member's `predict_proba`.

        Returns
        -------
        ndarray of shape (n, n_members, n_classes)
            Columns are those of `classes_`.

        Raises
        ------
        NotFittedError
            A member is not fitted.
        ValueError
            A network whose outputs are more than the labels seen do explain.
        """
        classes = self.classes_
        if classes is None:
            raise ModelNotFittedError("A member of Committee is not fitted yet. Fit it, or teach the committee.")
        found = self._each(lambda i: np.asarray(self.learner_list[i].predict_proba(X, **predict_proba_kwargs)))
        proba = np.zeros((len(found[0]), len(found), len(classes)))
        for i, own in enumerate(found):
            columns = Unwrapped(self.learner_list[i].estimator).model.classes(own.shape[1])
            place = np.searchsorted(classes, columns).clip(max=len(classes) - 1)
            if not np.array_equal(classes[place], columns):
                raise ValueError(
                    f"predict_proba of member {i} of Committee has {own.shape[1]} columns, which the classes seen, "
                    f"{classes.tolist()[:10]}, do not explain: use skal.nets.DeepClassifier, or teach a sample of each."
                )
            proba[:, i, place] = own
        return proba

    def predict_proba(self, X: Any, **predict_proba_kwargs: Any) -> NDArray:
        """The mean of the members' class probabilities, `(n, n_classes)`."""
        return self.vote_proba(X, **predict_proba_kwargs).mean(axis=1)

    def predict(self, X: Any, **predict_proba_kwargs: Any) -> NDArray:
        """The class of the largest mean probability, `(n,)`."""
        return self.classes_[self.predict_proba(X, **predict_proba_kwargs).argmax(axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of `predict`.

        Parameters
        ----------
        X : array-like of n samples
        y : array-like of n labels
        sample_weight : array-like of shape (n,) or None, default=None

        Returns
        -------
        float
        """
        return accuracy_score(plain_labels(y), self.predict(X), sample_weight=sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags
