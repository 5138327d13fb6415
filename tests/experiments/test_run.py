import json
import os

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from skal.experiments import Comparison, ResultsError, ResultsLockedError, RunError, compare
from skal.experiments._run import _seeded
from skal.learners import ActiveLearner, DM2ATLearner
from skal.nets import DeepClassifier
from skal.strategies import (
    DECERN,
    UFFM,
    EntropySampling,
    MarginSampling,
    RandomSampling,
    margin_sampling,
    uffm_sampling,
)

SMALL = {"n_initial": 5, "n_instances": 3, "n_queries": 2, "seeds": 2}
SECONDS = ["peak_memory", "fit_seconds", "query_seconds"]


def once(out):
    return {**SMALL, "seeds": 1, "out": out}


@pytest.fixture(scope="module")
def data():
    return make_classification(150, 6, n_informative=4, n_classes=3, random_state=0)


@pytest.fixture
def model():
    return LogisticRegression(max_iter=300)


class Recorder:
    """A query function that writes down the pools it is shown and takes the first samples."""

    def __init__(self):
        self.pools = []

    def __call__(self, classifier, X, n_instances=1):
        from skal.utils._compat import STRATEGIES_RETURN_PAIRS

        self.pools.append(np.array(X))
        chosen = np.arange(n_instances)
        return (chosen, np.zeros(n_instances)) if STRATEGIES_RETURN_PAIRS else chosen


class Stopper(Recorder):
    """Stops everything at its n-th call, as Ctrl-C does. What it keeps is no part of what it computes."""

    def __init__(self, n):
        super().__init__()
        self.n = n

    def __reduce__(self):
        return Stopper, ()

    def __call__(self, classifier, X, n_instances=1):
        if len(self.pools) == self.n:
            raise KeyboardInterrupt
        return super().__call__(classifier, X, n_instances)


def test_shape_of_results(data, model):
    found = compare([EntropySampling(), MarginSampling()], model, *data, **SMALL)
    results = found.results
    assert isinstance(found, Comparison) and found.reference == "RandomSampling"
    assert results["strategy"].unique().tolist() == ["RandomSampling", "EntropySampling", "MarginSampling"]
    assert len(results) == 3 * 2 * 3
    for _, run in results.groupby(["strategy", "seed"]):
        assert run["n_labels"].tolist() == [5, 8, 11] and run["round"].tolist() == [0, 1, 2]
        assert np.isnan(run["query_seconds"].iloc[0]) and (run["query_seconds"].iloc[1:] > 0).all()
    assert results["accuracy"].between(0, 1).all() and results["imbalance"].between(0, 1).all()
    assert repr(found) == "Comparison(RandomSampling, EntropySampling, MarginSampling; 2 seeds)"


class TestPairing:
    def test_same_start_for_all_and_another_for_each_seed(self, data, model):
        first, second = Recorder(), Recorder()
        found = compare({"a": first, "b": second}, model, *data, **SMALL)
        for one, other in zip(first.pools, second.pools, strict=True):
            np.testing.assert_array_equal(one, other)
        assert not np.array_equal(first.pools[0], first.pools[2])
        start = found.results[found.results["round"] == 0].pivot(index="seed", columns="strategy", values="accuracy")
        assert (start["a"] == start["RandomSampling"]).all()

    def test_pool_shrinks_by_what_was_queried(self, data, model):
        recorder = Recorder()
        compare({"a": recorder}, model, *data, **SMALL)
        np.testing.assert_array_equal(recorder.pools[0][3:], recorder.pools[1])
        assert len(recorder.pools[0]) == 150 - 38 - 5  # a quarter is the test set

    def test_fixed_test_set_and_pool_size(self, data, model):
        X, y = data
        recorder = Recorder()
        compare({"a": recorder}, model, X[:100], y[:100], X[100:], y[100:], **SMALL, pool_size=40)
        assert len(recorder.pools[0]) == 40 - 5
        rows = {row.tobytes() for row in X[:100]}
        assert all(row.tobytes() in rows for row in recorder.pools[0])

    def test_seeds_of_model_and_strategy_are_set_alike(self, data):
        seen = []

        class Spy(MLPClassifier):
            def fit(self, X, y):
                seen.append(self.random_state)
                return super().fit(X, y)

        net = Spy((4,), max_iter=2, random_state=7)
        with pytest.warns(match=r"Maximum iterations"):
            compare([RandomSampling(random_state=1)], net, *data, **SMALL)
        # Two seeds of three rounds each: one model seed for a run, and none is the estimator's own.
        assert len(set(seen[:3])) == len(set(seen[3:])) == 1 and seen[0] != seen[3] and 7 not in seen

    def test_nested_seeds(self):
        sequence = np.random.SeedSequence(0)
        strategy = RandomSampling(random_state=3)
        seeded = _seeded(strategy, sequence)
        assert strategy.random_state == 3 and isinstance(seeded.random_state, int) and seeded.random_state != 3


def test_repeats_itself_and_leaves_global_generators_alone(data, model):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = compare([EntropySampling()], model, *data, **SMALL).results.drop(columns=SECONDS)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    second = compare([EntropySampling()], model, *data, **SMALL).results.drop(columns=SECONDS)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    third = compare([EntropySampling()], model, *data, **{**SMALL, "seeds": [5, 6]}).results
    assert first["accuracy"].tolist() != third["accuracy"].tolist()


def test_processes_give_the_same_results(data, model):
    one = compare([EntropySampling()], model, *data, **SMALL).results
    two = compare([EntropySampling()], model, *data, **SMALL, n_jobs=2).results
    pd.testing.assert_frame_equal(one.drop(columns=SECONDS), two.drop(columns=SECONDS), check_exact=True)


class TestResume:
    def test_goes_on_where_it_was_interrupted(self, data, model, tmp_path):
        whole = compare({"a": Recorder()}, model, *data, **SMALL).results.drop(columns=SECONDS)
        stopper = Stopper(n=3)
        stopper_settings = {**SMALL, "out": tmp_path}
        with pytest.raises(KeyboardInterrupt):
            compare({"a": stopper}, model, *data, **stopper_settings)
        done = pd.read_csv(tmp_path / "results.csv")
        # Seed 0 is complete, of seed 1 only random sampling is.
        assert set(zip(done["strategy"], done["seed"], strict=True)) == {
            ("RandomSampling", 0),
            ("a", 0),
            ("RandomSampling", 1),
        }
        stopper.n = -1
        found = compare({"a": stopper}, model, *data, **stopper_settings)
        assert len(stopper.pools) == 3 + SMALL["n_queries"]
        pd.testing.assert_frame_equal(found.results.drop(columns=SECONDS), whole, check_exact=True)
        kept = pd.read_csv(tmp_path / "results.csv")[["fit_seconds"]].head(6)
        pd.testing.assert_frame_equal(kept, done[["fit_seconds"]].head(6))

    def test_finished_comparison_runs_nothing_and_gives_the_same(self, data, tmp_path):
        first = compare([EntropySampling()], LogisticRegression(), *data, **SMALL, out=tmp_path)
        again = compare([EntropySampling()], LogisticRegression(), *data, **SMALL, out=tmp_path)
        pd.testing.assert_frame_equal(first.results, again.results, check_exact=True)
        pd.testing.assert_frame_equal(first.summary(), again.summary(), check_exact=True)

    def test_strategies_and_seeds_may_join(self, data, model, tmp_path):
        compare([EntropySampling()], model, *data, **SMALL, out=tmp_path)
        found = compare([MarginSampling()], model, *data, **{**SMALL, "seeds": 3}, out=tmp_path)
        assert found.results["strategy"].unique().tolist() == ["RandomSampling", "MarginSampling"]
        assert found.results["seed"].nunique() == 3
        assert len(pd.read_csv(tmp_path / "results.csv")) == 3 * (3 + 2 + 3)

    def test_seeds_of_models_and_strategies_do_not_count(self, data, tmp_path):
        """Each run sets them."""
        first = compare([EntropySampling(random_state=0)], MLPClassifier((2,), random_state=1), *data, **once(tmp_path))
        again = compare([EntropySampling(random_state=5)], MLPClassifier((2,), random_state=2), *data, **once(tmp_path))
        pd.testing.assert_frame_equal(first.results, again.results, check_exact=True)

    def test_a_strategy_that_computes_something_else_is_named(self, data, model, tmp_path):
        def version(k):
            def mine(classifier, X, n_instances=1):
                return np.arange(k, k + n_instances)

            return mine

        compare({"mine": version(0)}, model, *data, **SMALL, out=tmp_path)
        compare({"mine": version(0)}, model, *data, **SMALL, out=tmp_path)
        with pytest.raises(ValueError, match=r"other settings: the strategy 'mine' was another"):
            compare({"mine": version(40)}, model, *data, **SMALL, out=tmp_path)

    def test_other_weights_are_another_model(self, data, tmp_path):
        X, y = data[0].astype(np.float32), data[1]

        def net(seed):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return DeepClassifier(nn.Linear(6, 3), classes=[0, 1, 2], max_epochs=1)

        compare([], net(0), X, y, **SMALL, out=tmp_path)
        compare([], net(0), X, y, **SMALL, out=tmp_path)
        with pytest.raises(ValueError, match=r"other settings: model was"):
            compare([], net(1), X, y, **SMALL, out=tmp_path)

    @pytest.mark.parametrize("damage", [lambda lines: lines[:-2], lambda lines: lines[:6] + lines[7:]])
    def test_damaged_runs_are_run_again(self, data, model, tmp_path, damage):
        path = tmp_path / "results.csv"
        whole = compare([MarginSampling()], model, *data, **SMALL, out=tmp_path).results
        path.write_text("".join(damage(path.read_text().splitlines(True))))
        with pytest.warns(UserWarning, match=r"damaged or not whole \(MarginSampling with seed"):
            found = compare([MarginSampling()], model, *data, **SMALL, out=tmp_path).results
        pd.testing.assert_frame_equal(found.drop(columns=SECONDS), whole.drop(columns=SECONDS), check_exact=True)

    def test_one_comparison_at_a_time(self, data, model, tmp_path):
        def meanwhile(classifier, X, n_instances=1):
            with pytest.raises(ResultsLockedError, match=r"in use: it is held by process \d+ on .+\. Wait"):
                compare([], model, *data, **SMALL, out=tmp_path)
            return np.arange(n_instances)

        assert len(compare([meanwhile], model, *data, **SMALL, out=tmp_path).results) == 12

    def test_a_full_disk_keeps_finished_runs(self, data, model, tmp_path, monkeypatch):
        whole = compare([MarginSampling()], model, *data, **SMALL).results
        real, calls = os.replace, []

        def full(source, target):
            calls.append(target)
            if len(calls) > 3:
                raise OSError(28, "No space left on device")
            real(source, target)

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(ResultsError, match=r"No space left on device. Finished runs are kept"):
            compare([MarginSampling()], model, *data, **SMALL, out=tmp_path)
        monkeypatch.undo()
        assert len(pd.read_csv(tmp_path / "results.csv")) == 6
        found = compare([MarginSampling()], model, *data, **SMALL, out=tmp_path).results
        pd.testing.assert_frame_equal(found.drop(columns=SECONDS), whole.drop(columns=SECONDS), check_exact=True)

    @pytest.mark.parametrize("change", [{"n_queries": 1}, {"n_instances": 4}, {"pool_size": 50}, "model", "data"])
    def test_other_settings_are_refused(self, data, model, tmp_path, change):
        X, y = data
        compare([], model, X, y, **SMALL, out=tmp_path)
        sizes = SMALL if isinstance(change, str) else {**SMALL, **change}
        if change == "model":
            model = LogisticRegression(C=3)
        if change == "data":
            X = X + 1
        with pytest.raises(ValueError, match=r"holds results of other settings"):
            compare([], model, X, y, **sizes, out=tmp_path)


def test_kinds_of_input(data, model):
    X, y = data
    names = np.array(["ant", "bee", "cow"])[y]
    expected = compare([MarginSampling()], model, X, y, **SMALL).results["accuracy"].tolist()
    frame = pd.DataFrame(X, columns=list("abcdef"))
    for X_, y_ in ((frame, pd.Series(names)), (sp.csr_matrix(X), y), (X, names), (X, y.tolist())):
        found = compare([MarginSampling()], model, X_, y_, **SMALL)
        assert found.results["accuracy"].tolist() == pytest.approx(expected, abs=0.06)


class TestLearner:
    """`learner=` and learners among the strategies."""

    @pytest.fixture
    def net(self):
        torch.manual_seed(0)
        return DeepClassifier(nn.Linear(6, 3), classes=[0, 1, 2], max_epochs=3, lr=0.1)

    def test_a_template_runs_all_strategies(self, data, net):
        X, y = data[0].astype(np.float32), data[1]
        settings = {"clip": None, "epsilon": 0.5}
        plain = compare([MarginSampling()], net, X, y, **SMALL).results
        found = compare([MarginSampling()], net, X, y, **SMALL, learner=DM2ATLearner(None, **settings)).results
        assert found["n_labels"].tolist() == plain["n_labels"].tolist()
        same = found["accuracy"] == plain["accuracy"]
        # Round 0 has no copies; what comes later does.
        assert same[found["round"] == 0].all() and not same.all()
        unmoved = DM2ATLearner(None, clip=None, adversarial_weight=0.0)
        assert len(compare([], net, X, y, **SMALL, learner=unmoved).results) == 6

    def test_a_strategy_may_bring_its_own(self, data, net):
        X, y = data[0].astype(np.float32), data[1]
        at = DM2ATLearner(None, MarginSampling(), clip=None, epsilon=0.5)
        both = compare({"plain": MarginSampling(), "at": at}, net, X, y, **SMALL).results
        of = {name: run["accuracy"].tolist() for name, run in both.groupby("strategy")}
        assert of["at"] != of["plain"]
        alone = compare([MarginSampling()], net, X, y, **SMALL, learner=DM2ATLearner(None, clip=None, epsilon=0.5))
        margin = alone.results[alone.results["strategy"] == "MarginSampling"]
        assert of["at"] == margin["accuracy"].tolist()
        assert at.X_training is None and at.query_strategy.random_state is None
        named = compare([DM2ATLearner(None, MarginSampling(), clip=None)], net, X, y, **SMALL)
        assert named.results["strategy"].unique().tolist() == ["RandomSampling", "DM2ATLearner"]

    def test_it_is_part_of_the_settings_only_where_given(self, data, net, tmp_path):
        X, y = data[0].astype(np.float32), data[1]
        template = DM2ATLearner(None, clip=None, epsilon=0.5)
        compare([], net, X, y, **SMALL, out=tmp_path / "plain")
        assert "learner" not in json.loads((tmp_path / "plain" / "settings.json").read_text())
        compare([], net, X, y, **SMALL, out=tmp_path / "at", learner=template)
        compare([], net, X, y, **SMALL, out=tmp_path / "at", learner=template)
        for folder, learner in (("plain", template), ("at", None), ("at", DM2ATLearner(None, clip=None))):
            with pytest.raises(ValueError, match=r"holds results of other settings: learner was"):
                compare([], net, X, y, **SMALL, out=tmp_path / folder, learner=learner)

    def test_it_must_be_a_learner(self, data, model):
        for wrong in (MarginSampling(), DM2ATLearner):
            with pytest.raises(TypeError, match=r"'learner' of compare must be an ActiveLearner or None. Got "):
                compare([], model, *data, **SMALL, learner=wrong)

    def test_processes(self, data, net):
        X, y = data[0].astype(np.float32), data[1]
        at = {"at": DM2ATLearner(None, MarginSampling(), clip=None, epsilon=0.5)}
        one, two = (compare(at, net, X, y, **SMALL, n_jobs=n_jobs).results for n_jobs in (1, 2))
        pd.testing.assert_frame_equal(one.drop(columns=SECONDS), two.drop(columns=SECONDS), check_exact=True)


def test_missing_values_where_the_model_takes_them(data, model):
    X, y = data[0].copy(), data[1]
    X[::7, 1] = np.nan
    with pytest.raises(RunError, match="NaN"):
        compare([], model, X, y, **SMALL)
    for estimator in (HistGradientBoostingClassifier(max_iter=2), make_pipeline(SimpleImputer(), model)):
        for rows in (X, pd.DataFrame(X, columns=list("abcdef"))):
            found = compare([MarginSampling()], estimator, rows, y, **SMALL)
            assert found.results["n_labels"].max() == 11


def test_names_and_reference(data, model):
    found = compare({"chance": RandomSampling(), "margin": margin_sampling}, model, *data, **SMALL)
    assert found.reference == "chance"
    assert found.results["strategy"].unique().tolist() == ["chance", "margin"]
    assert (
        compare([margin_sampling], model, *data, **SMALL).results["strategy"].unique().tolist()[1] == "margin_sampling"
    )


def test_uncertainty_beats_random_where_it_must():
    """Two classes on a line: margin sampling closes in on the border, random sampling does not look there."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (600, 1))
    y = (X[:, 0] > 0.123).astype(int)
    found = compare(
        [MarginSampling()], LogisticRegression(C=1e4), X, y, n_initial=4, n_instances=1, n_queries=8, seeds=8
    )
    row = found.summary().loc["MarginSampling"]
    assert row["area_verdict"] == row["final_verdict"] == "better"


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"n_initial": 1}, r"'n_initial' of compare must be an integer >= 2. Got 1"),
            ({"n_queries": True}, r"'n_queries' of compare must be an integer >= 1. Got True"),
            ({"test_size": 0.01}, r"both parts of the split. Got 3 classes, .* and 2 test samples"),
            ({"n_queries": 0}, r"'n_queries' of compare must be an integer >= 1. Got 0"),
            ({"n_instances": 2.5}, r"'n_instances' of compare must be an integer >= 1. Got 2.5"),
            ({"n_instances": 60}, r"must fit into the pool of 112 samples. Got 125"),
            ({"pool_size": 10}, r"must fit into the pool of 10 samples. Got 11"),
            ({"pool_size": 0}, r"'pool_size' of compare must be an integer >= 1. Got 0"),
            ({"test_size": 1}, r"'test_size' of compare must be a share in \(0, 1\). Got 1"),
            ({"seeds": 0}, r"'seeds' of compare must be a count >= 1"),
            ({"seeds": [1, 1]}, r"distinct non-negative integers. Got \[1, 1\]"),
            ({"seeds": [-1]}, r"'seeds' of compare"),
            ({"seeds": 1.5}, r"'seeds' of compare must be a count >= 1 or distinct non-negative integers. Got 1.5"),
            ({"seeds": 1 << 63}, r"'seeds' of compare must fit into 64 bits. Got 9223372036854775808.$"),
            ({"seeds": [0, 1 << 63]}, r"must fit into 64 bits. Got 9223372036854775808.$"),
            ({"seeds": [0, 1.5]}, r"'seeds' of compare"),
            ({"seeds": True}, r"'seeds' of compare"),
            ({"seeds": "12"}, r"'seeds' of compare"),
            ({"n_jobs": 0}, r"'n_jobs' of compare must be a number of processes, -1 for one per core, or None. Got 0"),
            ({"n_jobs": 1.5}, r"'n_jobs' of compare"),
            ({"test_size": "half"}, r"'test_size' of compare must be a share in \(0, 1\). Got 'half'"),
            ({"X_test": np.ones((2, 6))}, r"'X_test' and 'y_test' of compare must be given together"),
            ({"X_test": np.ones((2, 6)), "y_test": [1]}, r"'y_test' of compare must be one-dimensional"),
        ],
    )
    def test_sizes(self, data, model, change, message):
        with pytest.raises(ValueError, match=message):
            compare([], model, *data, **{**SMALL, **change})

    def test_labels(self, data, model):
        X, y = data
        with pytest.raises(ValueError, match=r"one label per row of 'X'. Got shape \(149,\) for 150 rows"):
            compare([], model, X, y[1:], **SMALL)
        with pytest.raises(ValueError, match=r"at least two classes"):
            compare([], model, X, np.zeros(150), **SMALL)
        with pytest.raises(ValueError, match=r"the smallest of 1"):
            compare([], model, X, np.arange(150) == 3, **SMALL)
        with pytest.raises(ValueError, match=r"'y' of compare must hold the labels of classes. Got .* such as 0.5: a"):
            compare([], model, X, np.arange(150) / 2, **SMALL)
        with pytest.raises(ValueError, match=r"'y' of compare must hold a label for each row. Got NaN"):
            compare([], model, X, np.where(np.arange(150) == 3, np.nan, y), **SMALL)
        with pytest.raises(ValueError, match=r"'y_test' of compare must hold the labels of classes"):
            compare([], model, X, y, X[:2], [0.25, 1.0], **SMALL)
        # No classifier can name them.
        for labels, got in (([0, 7], "7"), (["0", "1"], "'0', '1'"), ([9, 8, 7, 6, 5, 4], "4, 5, 6, 7, 8 and more")):
            with pytest.raises(ValueError, match=rf"'y_test' of compare must hold classes of 'y' alone. Got {got}.$"):
                compare([], model, X, y, X[: len(labels)], labels, **SMALL)

    def test_no_path(self, data, model):
        with pytest.raises(TypeError, match=r"'out' of compare must be a path or None. Got 3.$"):
            compare([], model, *data, **SMALL, out=3)

    def test_strategies(self, data, model):
        with pytest.raises(ValueError, match=r"Got EntropySampling twice; pass a dict"):
            compare([EntropySampling(), EntropySampling()], model, *data, **SMALL)
        with pytest.raises(ValueError, match=r"must be that of a RandomSampling object"):
            compare({"RandomSampling": margin_sampling}, model, *data, **SMALL)

    @pytest.mark.parametrize(
        ("strategies", "message"),
        [
            (
                [EntropySampling],
                r"must be a strategy object or function. Got <class .*; write .* EntropySampling\(\)\.",
            ),
            (
                ["MarginSampling"],
                r"'MarginSampling' .* Got 'MarginSampling'; write an instance, such as MarginSampling\(",
            ),
            (["decren"], r"Got 'decren'; write an instance, such as DECERN\(\)\."),
            ({"a": "margin"}, r"Strategy 'a' of compare must be a strategy object or function. Got 'margin'"),
            ([3], r"Strategy 'int' of compare must be a strategy object or function. Got 3\."),
            ("MarginSampling", r"must be a list of strategies, or a dict .* Got 'MarginSampling'; write an instance"),
            (MarginSampling(), r"must be a list of strategies, or a dict .* Got MarginSampling\(\)\."),
            (MarginSampling, r"must be a list of strategies, or a dict .* Got <class .*such as MarginSampling\(\)\."),
            (margin_sampling, r"must be a list of strategies, or a dict"),
            (3, r"must be a list of strategies, or a dict of them by name. Got 3\."),
            (None, r"must be a list of strategies, or a dict of them by name. Got None\."),
            ({"a\n": MarginSampling()}, r"must be printable texts, not empty. Got 'a\\n'"),
            ({1: MarginSampling()}, r"must be printable texts, not empty. Got 1"),
        ],
    )
    def test_no_strategies(self, data, model, strategies, message):
        with pytest.raises(TypeError, match=message):
            compare(strategies, model, *data, **SMALL)

    def test_any_iterable_of_strategies_is_fine(self, data, model):
        found = compare((each for each in [MarginSampling()]), model, *data, **SMALL)
        assert found.results["strategy"].nunique() == 2

    def test_estimators(self, data):
        with pytest.raises(TypeError, match=r"'estimator' .* such as LogisticRegression\(\). Got the class itself"):
            compare([], LogisticRegression, *data, **SMALL)
        for wrong in (None, "LogisticRegression", MarginSampling()):
            with pytest.raises(TypeError, match=r"'estimator' of compare must be a classifier of scikit-learn's kind"):
                compare([], wrong, *data, **SMALL)

    @pytest.mark.parametrize("wrong", [DECERN(xi=7), UFFM(DECERN(xi=7))])
    def test_parameters_of_a_strategy_are_looked_at_before_any_run(self, wrong, data, model, tmp_path):
        with pytest.raises(ValueError, match=r"The 'xi' parameter of DECERN must be .* Got 7 instead"):
            compare([MarginSampling(), wrong], model, *data, **SMALL, out=tmp_path / "never")
        assert not (tmp_path / "never").exists()

    def test_a_failing_run_is_named_and_the_others_are_kept(self, data, model, tmp_path):
        def broken(classifier, X, n_instances=1):
            raise ZeroDivisionError("no\nluck")

        with pytest.raises(RunError, match=r"broken with seed 0 failed: ZeroDivisionError: no luck"):
            compare([broken], model, *data, **SMALL, out=tmp_path)
        assert pd.read_csv(tmp_path / "results.csv")["strategy"].unique().tolist() == ["RandomSampling"]

    def test_repeated_positions_are_refused(self, data, model):
        def twice(classifier, X, n_instances=1):
            return np.zeros(n_instances, dtype=int), None

        with pytest.raises(RunError, match=r"twice with seed 0 failed"):
            compare([twice], DummyClassifier(), *data, **SMALL)


def test_summary_files_and_table_of_a_real_comparison(tmp_path):
    X, y = load_digits(return_X_y=True)
    found = compare(
        [EntropySampling(), MarginSampling()],
        LogisticRegression(max_iter=100),
        X[:500] / 16,
        y[:500],
        n_initial=20,
        n_instances=20,
        n_queries=3,
        seeds=3,
    )
    found.to_csv(tmp_path / "own.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "own.csv"), found.results)
    summary = found.summary()
    assert (summary["final"] > 0.6).all() and (summary["area"] < summary["final"]).all()
    assert "MarginSampling" in found.table() and "Undecided: the p-value" in found.table()


def test_what_uffm_matches_by_default_is_said_under_the_table(data):
    X, y = data[0].astype(np.float32), data[1]
    net = DeepClassifier(nn.Linear(6, 3), classes=[0, 1, 2], max_epochs=1)
    named = {"U": UFFM(), "F": UFFM(descriptor=StandardScaler()), "M": MarginSampling()}
    found = compare(named, net, X, y, **SMALL)
    assert found.table().splitlines()[-1].startswith("U matches the classifier's own embeddings, the layer that UFFM's")
    both = compare({"U": UFFM(), "L": ActiveLearner(None, uffm_sampling)}, net, X, y, **SMALL)
    assert both.notes[0].startswith("U, L match the classifier's own")
    assert compare([MarginSampling()], net, X, y, **SMALL).notes == ()
    assert list(found.summary().index) == ["RandomSampling", "U", "F", "M"]


class TestScoring:
    def test_columns_by_score_and_the_same_accuracy(self, data, model):
        plain = compare([MarginSampling()], model, *data, **SMALL)
        scoring = {"f1": "f1_macro", "hits": hits, "accuracy": "accuracy"}
        found = compare([MarginSampling()], model, *data, **SMALL, scoring=scoring)
        assert found.scores == ["f1", "hits", "accuracy"] and plain.scores == ["accuracy"]
        assert found.results["accuracy"].tolist() == plain.results["accuracy"].tolist()
        assert (found.results["hits"] == (found.results["accuracy"] * 38).round()).all()
        last = found.results[found.results["round"] == 2].groupby("strategy")["f1"].mean()
        assert found.summary()["final"].to_dict() == pytest.approx(last.to_dict())
        assert "final" in found.table() and "f1" in found.table().splitlines()[1]
        assert compare([], model, *data, **SMALL, scoring=hits).scores == ["score"]
        assert compare([], model, *data, **SMALL, scoring=("f1_macro", "accuracy")).scores == ["f1_macro", "accuracy"]

    def test_they_are_part_of_the_settings(self, data, model, tmp_path):
        scoring = {"accuracy": "accuracy", "hits": hits}
        first = compare([], model, *data, **SMALL, scoring=scoring, out=tmp_path)
        turned = dict(reversed(scoring.items()))
        second = compare([], model, *data, **SMALL, scoring=turned, out=tmp_path)
        assert second.scores == ["hits", "accuracy"] and len(pd.read_csv(tmp_path / "results.csv")) == 6
        pd.testing.assert_frame_equal(first.results, second.results[first.results.columns], check_exact=True)
        for other in ("accuracy", {"accuracy": "accuracy", "hits": lambda learner, X, y: 1.0}):
            with pytest.raises(ValueError, match=r"other settings: scoring was"):
                compare([], model, *data, **SMALL, scoring=other, out=tmp_path)

    @pytest.mark.parametrize(
        ("scoring", "error", "message"),
        [
            (
                "acuracy",
                ValueError,
                r"'scoring' of compare must be the name of a score .* 'acuracy'; did you mean accuracy\?",
            ),
            ("zzz", ValueError, r"or several of them. Got 'zzz'.$"),
            (3, ValueError, r"the name of a score of scikit-learn's, or a callable, or several of them. Got 3."),
            ([], ValueError, r"'scoring' of compare must hold at least one score. Got none."),
            ([max], TypeError, r"must hold names of scores; callables get theirs in a dict. Got <built-in .* in it."),
            ({"area": "accuracy"}, ValueError, r"Names in 'scoring' of compare .* none of area, .* Got 'area'."),
            ({"a,b": "accuracy"}, ValueError, r"printable texts without commas, .* Got 'a,b'."),
            ({3: "accuracy"}, ValueError, r"Got 3."),
            # They would hide columns of the summary.
            ({"area_low": "accuracy"}, ValueError, r"Names in 'scoring' of compare .* Got 'area_low'.$"),
            ({"labels_saved_censored": "accuracy"}, ValueError, r"Got 'labels_saved_censored'.$"),
            ({"accuracy": "accuracy", "accuracy_exact_p": "f1_macro"}, ValueError, r"Got 'accuracy_exact_p'.$"),
        ],
    )
    def test_errors(self, data, model, scoring, error, message):
        with pytest.raises(error, match=message):
            compare([], model, *data, **SMALL, scoring=scoring)

    def test_names_of_what_is_computed_on_the_way_are_free(self, data, model):
        scoring = dict.fromkeys(["accuracy", "differences", "_order", "position"], "accuracy")
        found = compare([MarginSampling()], model, *data, **SMALL, scoring=scoring)
        summary = found.summary()
        for name in list(scoring)[1:]:
            assert found.results[name].tolist() == found.results["accuracy"].tolist()
            assert summary[name].tolist() == summary["accuracy"].tolist()
            assert summary[f"{name}_difference"].tolist()[1:] == summary["final_difference"].tolist()[1:]

    def test_a_class_without_labels_has_probability_0(self, data, model):
        X, y = data
        rare = np.concatenate([np.flatnonzero(y[:110] != 2), np.flatnonzero(y[:110] == 2)[:4]])
        names = np.array(["ant", "bee", "cow"])[y]
        sizes = {**SMALL, "seeds": 4, "scoring": ["accuracy", "neg_log_loss", "roc_auc_ovr"]}
        found = compare([], model, X[rare], names[rare], X[110:], names[110:], **sizes).results
        few = found[found["n_classes"] == 2]
        # Every cow costs the logarithm of the least number.
        least = np.mean(y[110:] == 2) * np.log(np.finfo(float).eps)
        assert len(few) and (few["neg_log_loss"] < least).all() and few["roc_auc_ovr"].between(0.3, 1).all()
        svc = LinearSVC()
        binary = compare([], svc, X, y == 1, **SMALL, scoring=["roc_auc", "average_precision"]).results
        assert binary["roc_auc"].between(0, 1).all()

    def test_predictions_are_made_once_for_all_scores(self, data):
        calls = []

        class Counting(LogisticRegression):
            def predict(self, X):
                calls.append(len(X))
                return super().predict(X)

        compare([], Counting(), *data, **SMALL, scoring=["accuracy", "f1_macro", "balanced_accuracy"])
        assert calls == [38] * 6

    @pytest.mark.parametrize(("value", "got"), [(np.nan, "nan"), ("x", "'x'"), (np.ones(2), "ndarray"), (None, "None")])
    def test_a_score_is_a_finite_number(self, data, model, value, got):
        with pytest.raises(
            RunError, match=rf"with seed 0 failed: .* the score 'own' must be a finite number. Got {got}"
        ):
            compare([], model, *data, **SMALL, scoring={"own": lambda learner, X, y: value})


def hits(learner, X, y):
    return int((learner.predict(X) == y).sum())


class TestReference:
    def test_any_strategy(self, data, model):
        strategies = [MarginSampling(), EntropySampling()]
        plain = compare(strategies, model, *data, **SMALL)
        found = compare(strategies, model, *data, **SMALL, reference="MarginSampling", correction=None)
        assert found.reference == "MarginSampling" and found.correction is None
        pd.testing.assert_frame_equal(
            found.results.drop(columns=SECONDS), plain.results.drop(columns=SECONDS), check_exact=True
        )
        summary = found.summary()
        assert summary["area_verdict"]["MarginSampling"] == "reference"
        there, back = summary.loc["RandomSampling"], found.summary("RandomSampling").loc["MarginSampling"]
        assert there["area_difference"] == -back["area_difference"] and there["area_p"] == back["area_p"]
        assert "area against MarginSampling" in found.table()
        with pytest.raises(ValueError, match=r"'reference' must be the name of a strategy: RandomSampling, .* Got 'x'"):
            found.summary("x")

    def test_errors(self, data, model):
        with pytest.raises(ValueError, match=r"Got 'marginsampling'; did you mean MarginSampling\?"):
            compare([MarginSampling()], model, *data, **SMALL, reference="marginsampling")
        with pytest.raises(ValueError, match=r"The 'correction' of compare must be 'holm' or None. Got 'none'"):
            compare([], model, *data, **SMALL, correction="none")
        with pytest.raises(ValueError, match=r"The 'aa' parameter of compare must be a bool. Got 1 instead."):
            compare([], model, *data, **SMALL, aa=1)
        with pytest.raises(ValueError, match=r"The name 'all labels' .* stands for one of its checks; use another."):
            compare({"all labels": MarginSampling()}, model, *data, **SMALL)


class TestRecord:
    def test_a_run_comes_again_from_what_was_queried(self, data, model):
        X, y = data
        sizes = {**SMALL, "n_queries": 3, "pool_size": 60}
        found = compare([MarginSampling()], model, X[:110], y[:110], X[110:], y[110:], **sizes)
        for (name, seed), part in found.queried.groupby(["strategy", "seed"]):
            rows = found.results[(found.results["strategy"] == name) & (found.results["seed"] == seed)]
            for row in rows.itertuples():
                taught = part[part["round"] <= row.round]["position"]
                assert len(taught) == row.n_labels == taught.nunique()
                score = model.fit(X[taught], y[taught]).score(X[110:], y[110:])
                assert score == row.accuracy and row.n_classes == len(set(y[taught]))
        assert found.queried["round"].value_counts().to_dict() == {0: 20, 1: 12, 2: 12, 3: 12}

    def test_it_is_kept_in_the_folder(self, data, model, tmp_path):
        first = compare([MarginSampling()], model, *data, **SMALL, out=tmp_path)
        second = compare([MarginSampling()], model, *data, **SMALL, out=tmp_path)
        pd.testing.assert_frame_equal(first.queried, second.queried)
        assert "queried" not in first.results.columns

    def test_overlap_and_classes(self, data, model):
        X, y = data
        names = np.array(["ant", "bee", "cow"])[y]
        first = Recorder()
        found = compare({"a": first, "b": Recorder(), "m": MarginSampling()}, model, X, names, **SMALL)
        overlap = found.overlap()
        assert overlap.loc["a", "b"] == 1 and overlap.loc["a", "m"] == overlap.loc["m", "a"] < 1
        queried = found.queried
        of = {key: set(part["position"]) for key, part in queried[queried["round"] > 0].groupby(["strategy", "seed"])}
        assert overlap.loc["a", "m"] == np.mean([len(of["a", s] & of["m", s]) / 6 for s in (0, 1)])
        counts = found.class_counts()
        assert counts.columns.tolist() == ["ant", "bee", "cow"] and counts.sum(axis=1).tolist() == [11.0] * 4
        own = queried[queried["strategy"] == "m"]["position"]
        assert counts.loc["m", "bee"] == np.mean(names[own] == "bee") * 11

    def test_results_alone_have_none(self):
        alone = Comparison(pd.DataFrame({"strategy": ["a"], "seed": [0], "round": [0], "accuracy": [1.0]}), "a")
        for ask in (lambda: alone.queried, alone.overlap, alone.class_counts, alone.aa):
            with pytest.raises(ValueError, match=r"known of a Comparison that compare has made. This one has results"):
                ask()


class TestChecks:
    def test_second_random_and_ceiling(self, data, model, tmp_path):
        X, y = data
        sizes = {**SMALL, "seeds": 3}
        plain = compare([MarginSampling()], model, X[:110], y[:110], X[110:], y[110:], **sizes)
        found = compare([MarginSampling()], model, X[:110], y[:110], X[110:], y[110:], **sizes, aa=True, out=tmp_path)
        pd.testing.assert_frame_equal(
            found.results.drop(columns=SECONDS), plain.results.drop(columns=SECONDS), check_exact=True
        )
        whole = model.fit(X[:110], y[:110]).score(X[110:], y[110:])
        assert found.ceiling().loc["accuracy"].tolist() == pytest.approx([whole] * 3)
        row = found.aa()
        assert row["area_verdict"] in ("undecided", "better", "worse") and row["area_difference"] != 0
        # It is the same with or without, and found again in the folder.
        later = compare([MarginSampling()], model, X[:110], y[:110], X[110:], y[110:], **sizes, out=tmp_path)
        pd.testing.assert_frame_equal(later.results, found.results, check_exact=True)
        with pytest.raises(ValueError, match=r"run by compare\(..., aa=True\). This one was run without."):
            later.aa()
        with pytest.raises(ValueError, match=r"run by compare\(..., aa=True\)"):
            later.ceiling()
        again = compare([], model, X[:110], y[:110], X[110:], y[110:], **sizes, aa=True, out=tmp_path)
        pd.testing.assert_series_equal(again.aa(), row)

    def test_against_any_reference(self, data, model):
        strategies = {"m": MarginSampling(), "chance": RandomSampling()}
        found = compare(strategies, model, *data, **SMALL, aa=True, reference="m", n_jobs=2)
        assert found.reference == "m" and np.isfinite(found.aa()["area_difference"])


def test_runs_needed_are_those_of_the_areas(data, model):
    found = compare([MarginSampling()], model, *data, **{**SMALL, "seeds": 6})
    needed = found.runs_needed()
    assert np.isnan(needed["RandomSampling"]) and needed["MarginSampling"] >= 2
    assert found.runs_needed(0.1)["MarginSampling"] < needed["MarginSampling"]
    assert found.runs_needed(reference="MarginSampling")["RandomSampling"] == needed["MarginSampling"]
    one = compare([MarginSampling()], model, *data, **{**SMALL, "seeds": 1})
    assert one.runs_needed().isna().all()
