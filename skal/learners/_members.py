"""What is true of every committee: its members are taught together, or not at all."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import sklearn
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, clone

from ..models import input_tags, is_fitted, is_skorch, takes_missing
from ..utils._compat import BaseLearner
from ..utils._validation import shown
from ._arguments import check_query_strategy
from ._asking import Asking, side_by_side, without_data

__all__ = ["Members"]


class Members(Asking):
    """The members of a committee, and what is done with all of them; goes before modAL's class."""

    learner_list: list[Any]
    n_jobs: int | None

    def _begin(self, learner_list: Any, query_strategy: Any, on_transformed: bool, n_jobs: int | None) -> None:
        self._check_members(learner_list)
        check_query_strategy(query_strategy)
        self.learner_list = learner_list
        self.query_strategy = query_strategy
        self.on_transformed = on_transformed
        self.n_jobs = n_jobs
        # As in modAL, whose batch strategies ask for it: the members' data need not be the same.
        self.X_training: Any = None
        self._start_anew()

    def _check_members(self, learner_list: Any) -> None:
        name = type(self).__name__
        if not isinstance(learner_list, (list, tuple)):
            raise TypeError(
                f"The 'learner_list' parameter of {name} must be a list of learners. Got {shown(learner_list)} instead."
            )
        if not learner_list:
            raise ValueError(f"The 'learner_list' parameter of {name} must hold at least one learner. Got none.")
        for i, member in enumerate(learner_list):
            is_other = isinstance(member, BaseEstimator) or not hasattr(member, "predict")
            if is_other and not isinstance(member, BaseLearner):
                hint = f"; did you mean ActiveLearner({type(member).__name__}(...))?" if hasattr(member, "fit") else "."
                raise TypeError(
                    f"The members of {name} must be learners, such as skal.learners.ActiveLearner. Got {shown(member)} "
                    f"at position {i}{hint}"
                )
        if len({id(member) for member in learner_list}) < len(learner_list):
            raise ValueError(f"The members of {name} must be different learners. Got one of them twice.")

    # -- the loop ----------------------------------------------------------------------------------------------

    def teach(self, X: Any, y: Any, bootstrap: bool = False, only_new: bool = False, **fit_kwargs: Any) -> None:
        """Add labelled samples to the data of each member, and retrain all of them.

        Parameters
        ----------
        X : array-like of m samples
            New samples.
        y : array-like of m labels
            Their labels.
        bootstrap : bool, default=False
            Whether each member trains on its own bootstrap sample.
        only_new : bool, default=False
            Whether to train on the new samples alone.
        **fit_kwargs
            Passed to each estimator's `fit`.

        Raises
        ------
        Exception
            What a member raised; every member is then as it was.
        """
        with self._unchanged_on_error():
            for i in range(len(self.learner_list)):
                if self._keeps_data(i):
                    with _on_this_stack(self.learner_list[i]):
                        self.learner_list[i]._add_training_data(X, y)

            def train(i: int) -> None:
                member = self.learner_list[i]
                if not self._keeps_data(i):
                    member.teach(X, y, bootstrap=bootstrap, **fit_kwargs)
                elif only_new:
                    member._fit_on_new(X, y, bootstrap=bootstrap, **fit_kwargs)
                else:
                    member._fit_to_known(bootstrap=bootstrap, **fit_kwargs)

            self._each(train)
            self._answered()

    def fit(self, X: Any, y: Any, **fit_kwargs: Any) -> Any:
        """Make each member forget its data, take `X` and `y`, and train on them.

        Parameters
        ----------
        X : array-like of n samples
        y : array-like of n labels
        **fit_kwargs
            Passed to each member's `fit`: ``bootstrap=True`` for a bootstrap sample each.

        Returns
        -------
        self

        Raises
        ------
        Exception
            What a member raised; every member is then as it was.
        """
        with self._unchanged_on_error():
            self._each(lambda i: self.learner_list[i].fit(X, y, **fit_kwargs))
            self._start_anew()
        return self

    def rebag(self, **fit_kwargs: Any) -> None:
        """Train each member on a bootstrap sample of its own labelled data.

        Parameters
        ----------
        **fit_kwargs
            Passed to each estimator's `fit`.

        Raises
        ------
        ValueError
            A member holds no labelled data.
        """
        for i, member in enumerate(self.learner_list):
            if not self._keeps_data(i) or member.X_training is None:
                raise ValueError(
                    f"rebag needs members that hold labelled data. Got {type(member).__name__} at position {i}, which "
                    "holds none."
                )
        with self._unchanged_on_error():
            self._fit_to_known(bootstrap=True, **fit_kwargs)

    def _fit_to_known(self, bootstrap: bool = False, **fit_kwargs: Any) -> None:
        self._each(lambda i: self.learner_list[i]._fit_to_known(bootstrap=bootstrap, **fit_kwargs))

    def _keeps_data(self, i: int) -> bool:
        return hasattr(self.learner_list[i], "X_training")

    def _votes(self, X: Any, predict_kwargs: dict[str, Any]) -> NDArray:
        """The prediction of each member, `(n, n_members)`."""
        found = self._each(lambda i: self.learner_list[i].predict(X, **predict_kwargs))
        columns = [np.asarray(votes) for votes in found]
        for i, votes in enumerate(columns):
            if votes.ndim != 1 and votes.shape[1:] != (1,):
                raise ValueError(
                    f"The members of {type(self).__name__} must give one prediction for each sample. Member {i} gives "
                    f"predictions of shape {votes.shape}."
                )
        return np.stack([votes.reshape(-1) for votes in columns], axis=1)

    def _each(self, work: Callable[[int], Any]) -> list[Any]:
        """`work` of each member, by position, in up to `n_jobs` threads; none is at work any more when this ends."""
        n = len(self.learner_list)
        # A network in training draws from torch's global generator, which threads would share.
        alone = {i for i, member in enumerate(self.learner_list) if _has_net(member)}
        n_threads = min(effective_n_jobs(self.n_jobs), n - len(alone))
        if n_threads < 2:
            return [self._work_of(i, work) for i in range(n)]
        config = get_config()

        def in_thread(i: int) -> Any:
            with config_context(**config):
                return self._work_of(i, work)

        with ThreadPoolExecutor(n_threads) as pool:
            try:
                waiting = {i: pool.submit(in_thread, i) for i in range(n) if i not in alone}
                return [waiting[i].result() if i in waiting else self._work_of(i, work) for i in range(n)]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _work_of(self, i: int, work: Callable[[int], Any]) -> Any:
        with _on_this_stack(self.learner_list[i]):
            return work(i)

    def _for_modal(self, strategy: Any, X_pool: Any) -> tuple[Any, Any]:
        # modAL's measures of disagreement ask for the shape of the pool.
        return super()._for_modal(strategy, np.asarray(X_pool) if isinstance(X_pool, (list, tuple)) else X_pool)

    def _data(self) -> Iterable[Any]:
        members = [member for member in self.learner_list if hasattr(member, "X_training")]
        return [part for member in members for part in (member.X_training, getattr(member, "y_training", None))]

    def transform_without_estimating(self, X: Any) -> Any:
        """`X` behind the transformers of each member's pipeline, side by side; once for each member, as in modAL."""
        return side_by_side([member.transform_without_estimating(X) for member in self.learner_list])

    # -- scikit-learn's protocol -------------------------------------------------------------------------------

    @property
    def n_features_in_(self) -> int:
        return self.learner_list[0].n_features_in_

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters; those of the member at position i are ``learner_list__<i>__...``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to name the members and their parameters, too.

        Returns
        -------
        dict
        """
        params: dict[str, Any] = super().get_params(deep)  # type: ignore[misc]
        for i, member in enumerate(self.learner_list if deep else ()):
            params[f"learner_list__{i}"] = member
            inner = member.get_params(deep=True) if hasattr(member, "get_params") else {}
            params |= {f"learner_list__{i}__{name}": value for name, value in inner.items()}
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters, also of members: ``learner_list__0__estimator__C``, or ``learner_list__0`` as a whole.

        Parameters
        ----------
        **params

        Returns
        -------
        self

        Raises
        ------
        ValueError
            There is no such parameter, or no such member.
        """
        own = {name: value for name, value in params.items() if not name.startswith("learner_list__")}
        super().set_params(**own)  # type: ignore[misc]
        members, inner = list(self.learner_list), defaultdict[int, dict[str, Any]](dict)
        for name in params.keys() - own.keys():
            position, _, rest = name.removeprefix("learner_list__").partition("__")
            if not position.isdigit() or int(position) >= len(members):
                raise ValueError(
                    f"Invalid parameter {name!r} of {type(self).__name__}, which has members 0 to {len(members) - 1}: "
                    "learner_list__0__estimator, for example."
                )
            if rest:
                inner[int(position)][rest] = params[name]
            else:
                members[int(position)] = params[name]
        self._check_members(members)
        if any(new is not old for new, old in zip(members, self.learner_list)):
            self.learner_list = members
        for i, changed in inner.items():
            members[i].set_params(**changed)
        return self

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """The parameters, and the members without their data."""
        twin = copy.copy(self)
        twin.learner_list = [without_data(member) for member in self.learner_list]
        return super(Members, twin).__repr__(N_CHAR_MAX)  # type: ignore[call-arg]

    def __sklearn_is_fitted__(self) -> bool:
        return all(is_fitted(member) for member in self.learner_list)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        first = self.learner_list[0].estimator
        tags.input_tags = (input_tags(first) if hasattr(first, "get_params") else None) or tags.input_tags
        tags.input_tags.allow_nan = all(takes_missing(member.estimator) for member in self.learner_list)
        return tags

    def __sklearn_clone__(self) -> Any:
        """The same parameters, and members without data."""
        params: dict[str, Any] = super().get_params(deep=False)  # type: ignore[misc]
        twin = type(self)(**{name: clone(value, safe=False) for name, value in params.items()})
        twin.n_rounds = self.n_rounds
        return twin


def _has_net(member: Any) -> bool:
    estimator: Any = getattr(member, "estimator", None)
    parts = estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ()
    return any(is_skorch(part) for part in (estimator, *parts))


@contextmanager
def _on_this_stack(member: Any) -> Iterator[None]:
    """Say what to do where a learner of modAL's own does not run."""
    try:
        yield
    except TypeError as error:
        if "force_all_finite" not in str(error) or not type(member).__module__.startswith("modAL."):
            raise
        raise TypeError(
            f"modAL's own {type(member).__name__} cannot be taught with scikit-learn {sklearn.__version__}: make the "
            "member with skal.learners.ActiveLearner."
        ) from error
