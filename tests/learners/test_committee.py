"""modAL's committees on today's stack: votes of any labels, members taught together or not at all, scikit-learn's
protocol, and modAL's own strategies."""

import copy
import pickle
from functools import partial

import modAL.models
import numpy as np
import pandas as pd
import pytest
from modAL.batch import uncertainty_batch_sampling
from modAL.disagreement import (
    consensus_entropy_sampling,
    max_disagreement_sampling,
    max_std_sampling,
    vote_entropy,
    vote_entropy_sampling,
)
from modAL.uncertainty import uncertainty_sampling
from scipy.stats import entropy
from sklearn import get_config
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from torch import nn

from skal.exceptions import PoolCapabilityError
from skal.learners import ActiveLearner, Committee, CommitteeRegressor
from skal.nets import DeepClassifier
from skal.strategies import BADGE, BALD, EntropySampling, QueryByCommittee, RandomSampling, usable_with
from skal.utils._compat import STRATEGIES_RETURN_PAIRS

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4))
NUMBERS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
Y = np.array(["ant", "bee", "caterpillar"])[NUMBERS]
POOL, Y_POOL = X[30:], Y[30:]


def members(y=Y, parts=(slice(0, 20), slice(10, 30), slice(0, 30, 2)), **params):
    estimators = [LogisticRegression(), GaussianNB(), KNeighborsClassifier(3)]
    return [
        ActiveLearner(estimator, X_training=X[part], y_training=y[part], **params)
        for estimator, part in zip(estimators, parts)
    ]


def one_class_missing():
    """Each member has seen two of the three classes, not the same ones."""
    seen = [np.flatnonzero(np.isin(Y[:30], pair)) for pair in (["ant", "bee"], ["bee", "caterpillar"])]
    return [ActiveLearner(LogisticRegression(), X_training=X[rows], y_training=Y[rows]) for rows in seen]


def state_of(committee):
    return [
        (member.estimator.predict_proba(X).tolist(), len(member.X_training), np.asarray(member.y_training).tolist())
        for member in committee
    ]


class TestVotes:
    @pytest.mark.parametrize("y", [Y, Y.astype(object), NUMBERS, NUMBERS.astype(float), NUMBERS > 0], ids=str)
    def test_votes_are_labels(self, y):
        committee = Committee(members(y))
        votes = committee.vote(POOL)
        assert votes.shape == (60, 3)
        for i, member in enumerate(committee):
            np.testing.assert_array_equal(votes[:, i], member.estimator.predict(POOL))
        np.testing.assert_array_equal(committee.classes_, np.unique(y))
        assert committee.n_classes_ == len(np.unique(y))

    def test_modals_vote_entropy_of_text(self):
        committee = Committee(members())
        shares = np.stack([(committee.vote(POOL) == label).mean(axis=1) for label in committee.classes_], axis=1)
        expected = entropy(shares, axis=1)
        assert expected.max() > 0
        np.testing.assert_allclose(vote_entropy(committee, POOL), expected)
        idx, _ = committee.query(POOL, n_instances=3)
        np.testing.assert_allclose(np.sort(expected[idx]), np.sort(expected)[-3:])

    def test_classes_that_some_members_have_not_seen(self):
        committee = Committee(one_class_missing())
        proba = committee.vote_proba(POOL)
        assert proba.shape == (60, 2, 3)
        for i, member in enumerate(committee):
            for j, label in enumerate(["ant", "bee", "caterpillar"]):
                known = member.estimator.classes_.tolist()
                column = member.predict_proba(POOL)[:, known.index(label)] if label in known else np.zeros(60)
                np.testing.assert_array_equal(proba[:, i, j], column)
        np.testing.assert_allclose(committee.predict_proba(POOL), proba.mean(axis=1))
        most = [["ant", "bee", "caterpillar"][i] for i in proba.mean(axis=1).argmax(axis=1)]
        assert committee.predict(POOL).tolist() == most
        assert committee.score(POOL, Y_POOL) == np.mean(np.array(most) == Y_POOL)
        weight = np.arange(60.0)
        assert committee.score(POOL, Y_POOL, weight) == pytest.approx(weight @ (np.array(most) == Y_POOL) / sum(weight))

    def test_a_member_that_is_taught_alone(self):
        committee = Committee(one_class_missing()[:1])
        committee.learner_list[0].teach(X[:30], Y[:30])
        assert committee.vote_proba(POOL).shape == (60, 1, 3)

    def test_before_there_are_labels(self):
        committee = Committee([ActiveLearner(LogisticRegression()), *members()[:1]])
        assert committee.classes_ is None and committee.n_classes_ == 0 and committee.X_training is None
        with pytest.raises(NotFittedError, match="A member of Committee is not fitted yet"):
            committee.predict(POOL)
        with pytest.raises(NotFittedError):
            committee.vote(POOL)
        assert len(committee.query(POOL)[0]) == 1  # modAL's measures are all zero
        committee.teach(X[:30], Y[:30])
        assert committee.n_classes_ == 3

    def test_text_beside_numbers(self):
        committee = Committee([*members()[:1], *members(NUMBERS)[1:]])
        with pytest.raises(ValueError, match="must have labels of one kind, text or numbers. Got both"):
            committee.predict(POOL)

    def test_outputs_without_a_label(self):
        from skorch import NeuralNetClassifier

        net = NeuralNetClassifier(nn.Linear(4, 3), criterion=nn.CrossEntropyLoss, train_split=None, verbose=0)
        two = np.flatnonzero(NUMBERS < 2)[:12]
        committee = Committee([ActiveLearner(net, X_training=X[two].astype("f4"), y_training=NUMBERS[two])])
        with pytest.raises(ValueError, match=r"member 0 of Committee has 3 columns, which the classes seen, \[0, 1\]"):
            committee.predict_proba(POOL.astype("f4"))


class TestTheLoop:
    @pytest.mark.parametrize(
        "strategy",
        [
            vote_entropy_sampling,
            consensus_entropy_sampling,
            max_disagreement_sampling,
            uncertainty_sampling,
            partial(uncertainty_batch_sampling, n_instances=2),
            EntropySampling(random_state=0),
            QueryByCommittee(random_state=0),
            BALD(random_state=0),
        ],
        ids=lambda strategy: getattr(strategy, "__name__", "partial"),
    )
    @pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, lambda A: pd.DataFrame(A, columns=list("abcd")), list])
    def test_query_teach_rebag(self, strategy, kind):
        pool = kind(POOL)
        made = [
            ActiveLearner(LogisticRegression(), X_training=kind(X[:20]), y_training=Y[:20]),
            ActiveLearner(GaussianNB(), X_training=kind(X[10:30]), y_training=Y[10:30]),
        ]
        committee = Committee(made, strategy)
        idx, rows = committee.query(pool)
        np.testing.assert_array_equal(np.asarray(rows), POOL[idx])
        assert type(rows) is type(pool)
        committee.teach(rows, Y_POOL[idx])
        assert [len(member.X_training) for member in committee] == [20 + len(idx)] * 2 and committee.round == 1
        committee.teach(rows, Y_POOL[idx], only_new=False, bootstrap=True)
        committee.rebag()
        assert [len(member.y_training) for member in committee] == [20 + 2 * len(idx)] * 2

    def test_frames_give_what_arrays_give(self):
        for strategy in (vote_entropy_sampling, uncertainty_batch_sampling):
            found = [
                Committee(members(), strategy).query(pool, n_instances=4)[0] for pool in (POOL, pd.DataFrame(POOL))
            ]
            np.testing.assert_array_equal(*found)

    def test_only_new_trains_on_the_new_and_keeps_the_old(self):
        committee = Committee(members())
        committee.teach(POOL, Y_POOL, only_new=True)
        expected = LogisticRegression().fit(POOL, Y_POOL).predict_proba(X)
        np.testing.assert_array_equal(committee.learner_list[0].predict_proba(X), expected)
        assert len(committee.learner_list[0].X_training) == 80

    def test_fit_forgets(self):
        committee = Committee(members())
        committee.query(POOL)
        committee.teach(X[:2], Y[:2])
        assert committee.fit(X[:40], Y[:40]) is committee and committee.round == 0
        assert [len(member.X_training) for member in committee] == [40] * 3
        committee.fit(X[:40], Y[:40], bootstrap=True)
        expected = LogisticRegression().fit(X[:40], Y[:40]).predict_proba(X)
        assert not np.array_equal(committee.learner_list[0].predict_proba(X), expected)

    def test_one_call_of_the_strategy_with_the_committee(self):
        calls = []

        def mine(committee, X_pool, n_instances=1):
            calls.append((committee, X_pool, n_instances))
            return np.arange(n_instances)

        committee = Committee(members(), mine)
        idx, rows = committee.query(POOL, 2)
        assert len(calls) == 1 and calls[0][0] is committee and calls[0][1] is POOL and calls[0][2] == 2
        assert idx.tolist() == [0, 1] and rows.shape == (2, 4)

    def test_metrics(self):
        committee = Committee(members(), EntropySampling(random_state=0))
        idx, _, scores = committee.query(POOL, n_instances=4, return_metrics=True)
        np.testing.assert_allclose(scores, entropy(committee.predict_proba(POOL), axis=1)[idx])
        foreign = Committee(members())
        if STRATEGIES_RETURN_PAIRS:
            assert foreign.query(POOL, n_instances=2, return_metrics=True)[2].shape == (2,)
        else:
            with pytest.warns(UserWarning, match="doesn't support return_metrics"):
                assert foreign.query(POOL, return_metrics=True)[2] is None

    def test_rounds_give_other_random_samples(self):
        committee = Committee(members(), RandomSampling(random_state=0))
        first = committee.query(POOL, n_instances=5)[0]
        np.testing.assert_array_equal(committee.query(POOL, n_instances=5)[0], first)
        committee.teach(POOL[first], Y_POOL[first])
        assert committee.query(POOL, n_instances=5)[0].tolist() != first.tolist()

    def test_what_a_committee_lacks(self):
        committee = Committee(members(), BADGE())
        assert {"BALD", "QueryByCommittee"} <= {*usable_with(committee)} and "BADGE" not in usable_with(committee)
        with pytest.raises(PoolCapabilityError, match="BADGE needs"):
            committee.query(POOL)
        labelled = Committee(members(), EntropySampling(random_state=0))
        labelled.query(POOL, n_instances=2, X_training=X[:30], y_training=Y[:30])

    def test_texts(self):
        texts = ["cold rain", "warm sun", "rain and wind", "sun all day"] * 3
        labels = np.array(["bad", "good"] * 6)
        made = [
            ActiveLearner(make_pipeline(CountVectorizer(), model), X_training=texts, y_training=labels)
            for model in (LogisticRegression(), RandomForestClassifier(5, random_state=0))
        ]
        committee = Committee(made, on_transformed=True)
        idx, rows = committee.query(["hail", "sun", "rain"], n_instances=2)
        assert isinstance(rows, list)
        committee.teach(rows, labels[: len(idx)])
        assert committee.transform_without_estimating(texts).shape == (12, 2 * len({*" ".join(texts + rows).split()}))

    def test_a_committee_as_the_estimator_of_a_learner(self):
        learner = ActiveLearner(Committee(members()), uncertainty_sampling, random_state=0)
        idx, rows = learner.query(POOL, n_instances=12)
        learner.teach(rows, Y_POOL[idx], bootstrap=True)
        assert [len(member.X_training) for member in learner.estimator] == [12] * 3
        assert learner.predict(POOL).shape == (60,) and {*learner.classes_} <= {*Y_POOL[idx]}

    def test_a_deep_member(self):
        net = DeepClassifier(nn.Linear(4, 3), classes=["ant", "bee", "caterpillar"], max_epochs=1, random_state=0)
        committee = Committee([ActiveLearner(net, X_training=X[:20], y_training=Y[:20]), *members()[:1]])
        idx, rows = committee.query(POOL, n_instances=2)
        committee.teach(rows, Y_POOL[idx])
        assert committee.predict(POOL).shape == (60,)


class Breaks(LogisticRegression):
    """Fits, and then fails when told to."""

    error = None

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        if self.error is not None:
            raise self.error
        return self


class TestAllOrNothing:
    @pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt(), MemoryError()])
    @pytest.mark.parametrize("n_jobs", [None, 3])
    @pytest.mark.parametrize(
        "work",
        [
            lambda committee: committee.teach(POOL, Y_POOL),
            lambda committee: committee.teach(POOL, Y_POOL, only_new=True),
            lambda committee: committee.fit(POOL, Y_POOL),
            lambda committee: committee.rebag(),
        ],
    )
    def test_a_member_that_fails(self, error, n_jobs, work):
        last = ActiveLearner(Breaks(), X_training=X[:30], y_training=Y[:30])
        committee = Committee([*members(), last], n_jobs=n_jobs)
        committee.query(POOL)
        before, held = state_of(committee), [member.estimator for member in committee]
        last.estimator.error = error
        with pytest.raises(type(error)):
            work(committee)
        last.estimator.error = None
        assert state_of(committee) == before and committee.round == 0
        assert all(member.estimator is estimator for member, estimator in zip(committee, held))
        committee.teach(POOL, Y_POOL)
        assert committee.round == 1

    def test_data_that_one_member_refuses(self):
        committee = Committee(
            [
                *members()[:2],
                ActiveLearner(GaussianNB(), uncertainty_sampling, X[:30], Y[:30], classes=np.unique(Y)),
            ]
        )
        before = state_of(committee)
        with pytest.raises(ValueError, match="did you mean 'bee'"):
            committee.teach(POOL[:1], ["bea"])
        with pytest.raises(ValueError):
            committee.teach(POOL[:, :2], Y_POOL)
        assert state_of(committee) == before

    def test_a_query_that_fails(self):
        def fails(committee, X_pool):
            committee.learner_list[0].estimator.coef_[:] = 0
            raise RuntimeError("broken")

        committee = Committee(members(), fails)
        before = state_of(committee)
        with pytest.raises(RuntimeError):
            committee.query(POOL)
        assert state_of(committee) == before
        committee.teach(X[:2], Y[:2])
        assert committee.round == 0


class Notes(GaussianNB):
    """Notes in which thread, and with which settings, it was fitted."""

    def fit(self, X, y):
        import threading

        self.noted_ = threading.current_thread().name, get_config()["assume_finite"]
        return super().fit(X, y)


class TestThreads:
    def test_the_same_answers(self):
        one, several = Committee(members(random_state=3)), Committee(members(random_state=3), n_jobs=2)
        for committee in (one, several):
            idx, rows = committee.query(POOL, n_instances=5)
            committee.teach(rows, Y_POOL[idx])
            committee.rebag()
        assert state_of(one) == state_of(several)
        np.testing.assert_array_equal(one.vote_proba(POOL), several.vote_proba(POOL))

    def test_threads_are_used_and_keep_the_settings(self):
        import sklearn

        made = [ActiveLearner(Notes()) for _ in range(3)]
        with sklearn.config_context(assume_finite=True):
            Committee(made, n_jobs=2).fit(X, Y)
        assert all(member.estimator.noted_[0] != "MainThread" and member.estimator.noted_[1] for member in made)
        Committee(made).fit(X, Y)
        assert all(member.estimator.noted_ == ("MainThread", False) for member in made)

    def test_networks_are_trained_one_by_one_and_repeat(self):
        body = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))

        def made(n_jobs):
            nets = [DeepClassifier(copy.deepcopy(body), max_epochs=3, random_state=seed) for seed in range(2)]
            return Committee([ActiveLearner(net) for net in nets] + members()[:2], n_jobs=n_jobs).fit(X, Y)

        np.testing.assert_array_equal(made(4).vote_proba(POOL), made(None).vote_proba(POOL))


class TestScikitLearn:
    def test_parameters_of_members(self):
        committee = Committee(members(), EntropySampling())
        params = committee.get_params()
        assert params["learner_list__0__estimator__C"] == 1.0 and params["learner_list__2__estimator__n_neighbors"] == 3
        assert params["learner_list__1"] is committee.learner_list[1] and "query_strategy__random_state" in params
        assert {*committee.get_params(deep=False)} == {"learner_list", "query_strategy", "on_transformed", "n_jobs"}
        given, other = committee.learner_list, members()[0]
        committee.set_params(learner_list__0__estimator__C=5, learner_list__1=other, n_jobs=2)
        assert committee.learner_list[0].estimator.C == 5 and committee.learner_list[1] is other
        assert committee.learner_list is not given and given[1] is not other and committee.n_jobs == 2
        assert committee.set_params(n_jobs=None) is committee

    @pytest.mark.parametrize("name", ["learner_list__3__estimator__C", "learner_list__x", "learner_list__-1"])
    def test_members_that_are_not_there(self, name):
        with pytest.raises(ValueError, match="which has members 0 to 2: learner_list__0__estimator, for example"):
            Committee(members()).set_params(**{name: 1})

    def test_a_parameter_that_is_not_there(self):
        with pytest.raises(ValueError, match="Invalid parameter"):
            Committee(members()).set_params(learner_list__0__estimator__D=1)
        with pytest.raises(ValueError, match="Invalid parameter"):
            Committee(members()).set_params(learner=1)

    @pytest.mark.parametrize("kind", [Committee, CommitteeRegressor])
    def test_clone_has_no_data_and_pickle_all(self, kind):
        y = X[:, 0] if kind is CommitteeRegressor else Y
        model = LinearRegression() if kind is CommitteeRegressor else LogisticRegression()
        committee = kind([ActiveLearner(clone(model), X_training=X[i:30], y_training=y[i:30]) for i in range(2)])
        committee.n_rounds = 7
        committee.query(POOL)
        committee.teach(X[:2], y[:2])
        committee.memory.recall("anyone", {}, lambda: "kept")
        twin = clone(committee)
        assert twin.learner_list[0].X_training is None and twin.n_rounds == 7 and twin.round == 0
        assert twin.learner_list[0] is not committee.learner_list[0] and len(committee.learner_list[0].X_training) == 32
        again = pickle.loads(pickle.dumps(committee))
        np.testing.assert_array_equal(again.predict(POOL), committee.predict(POOL))
        assert again.round == 1 and again.memory.recall("anyone", {}, lambda: "lost") == "kept"
        assert kind.__name__ in repr(committee) and "X_training" not in repr(committee)

    def test_searches_and_scores(self):
        committee = Committee([ActiveLearner(LogisticRegression()), ActiveLearner(GaussianNB())])
        assert is_classifier(committee)
        assert cross_val_score(committee, X, Y, cv=3).mean() > 0.6
        assert cross_val_score(committee, X, Y, cv=3, scoring="neg_log_loss").max() < 0
        grid = {
            "learner_list__0__estimator__C": [1e-6, 1.0],
            "learner_list__1__estimator": [GaussianNB(var_smoothing=9)],
        }
        search = GridSearchCV(committee, grid, cv=3).fit(X, Y)
        assert search.best_params_["learner_list__0__estimator__C"] == 1.0
        assert search.best_estimator_.learner_list[1].estimator.var_smoothing == 9
        assert search.n_features_in_ == 4

    def test_missing_values_are_the_members_business(self):
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.utils import get_tags

        takes = ActiveLearner(HistGradientBoostingClassifier())
        assert get_tags(Committee([takes])).input_tags.allow_nan
        assert not get_tags(Committee([takes, *members()])).input_tags.allow_nan


class TestRegressors:
    def test_mean_and_spread(self):
        y = np.sin(X[:, 0])
        made = [ActiveLearner(Ridge(alpha), X_training=X[:30], y_training=y[:30, None]) for alpha in (0.1, 1, 100)]
        committee = CommitteeRegressor(made)
        votes = np.stack([member.predict(POOL).ravel() for member in made], axis=1)
        np.testing.assert_array_equal(committee.vote(POOL), votes)
        mean, std = committee.predict(POOL, return_std=True)
        np.testing.assert_allclose(mean, committee.predict(POOL))
        np.testing.assert_allclose([mean, std], [votes.mean(axis=1), votes.std(axis=1)])
        idx, rows = committee.query(POOL)
        assert idx[0] == std.argmax()
        committee.teach(rows, y[30:][idx, None])
        assert [len(member.X_training) for member in made] == [31] * 3
        scalar = CommitteeRegressor(made, lambda regressor, X: np.argmax(regressor.predict(X, return_std=True)[1]))
        assert scalar.query(POOL)[1].shape == (4,)  # as in modAL's example of ensemble regression

    def test_scikit_learn(self):
        made = [ActiveLearner(Ridge()), ActiveLearner(GaussianProcessRegressor(alpha=0.1))]
        committee = CommitteeRegressor(made, max_std_sampling, n_jobs=2)
        assert is_regressor(committee)
        assert cross_val_score(committee, X, X[:, 0], cv=3).min() > 0.8
        search = GridSearchCV(committee, {"learner_list__0__estimator__alpha": [0.1, 1e6]}, cv=3).fit(X, X[:, 0])
        assert search.best_params_ == {"learner_list__0__estimator__alpha": 0.1}

    def test_several_values_for_each_sample(self):
        committee = CommitteeRegressor([ActiveLearner(Ridge(), X_training=X[:30], y_training=X[:30, :2])])
        with pytest.raises(ValueError, match=r"one prediction for each sample. Member 0 gives .* shape \(60, 2\)"):
            committee.predict(POOL)

    def test_skals_strategies_are_for_classifiers(self):
        committee = CommitteeRegressor(
            [ActiveLearner(Ridge(), X_training=X[:30], y_training=X[:30, 0])], EntropySampling()
        )
        with pytest.raises((PoolCapabilityError, TypeError, AttributeError)):
            committee.query(POOL)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("learner_list", "error", "message"),
        [
            (None, TypeError, "'learner_list' parameter of Committee must be a list of learners. Got None"),
            ([], ValueError, "must hold at least one learner. Got none"),
            (
                [LogisticRegression()],
                TypeError,
                r"at position 0; did you mean ActiveLearner\(LogisticRegression\(...\)\)",
            ),
            (["learner"], TypeError, "Got 'learner' at position 0."),
        ],
    )
    def test_members(self, learner_list, error, message):
        with pytest.raises(error, match=message):
            Committee(learner_list)

    def test_the_same_member_twice(self):
        one = members()[0]
        with pytest.raises(ValueError, match="must be different learners. Got one of them twice"):
            Committee([one, one])

    def test_a_strategy_that_is_none(self):
        with pytest.raises(TypeError, match="query_strategy must be callable"):
            Committee(members(), "vote")

    def test_rebag_without_data(self):
        committee = Committee([*members(), ActiveLearner(GaussianNB())])
        with pytest.raises(ValueError, match="Got ActiveLearner at position 3, which holds none"):
            committee.rebag()

    def test_members_of_modals_own_class(self):
        made = [modAL.models.ActiveLearner(GaussianNB(), X_training=X[:30], y_training=Y[:30]) for _ in range(2)]
        committee = Committee(made)
        assert len(committee.query(POOL, n_instances=2)[0]) == 2
        try:
            made[0].fit(X[:30], Y[:30])
        except TypeError:
            for work in (committee.teach, committee.fit):
                with pytest.raises(TypeError, match="modAL's own ActiveLearner cannot be taught with scikit-learn"):
                    work(X[:2], Y[:2])
        else:  # before scikit-learn 1.8
            committee.teach(X[:2], Y[:2])
            assert len(made[0].X_training) == 32
