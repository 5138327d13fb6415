"""Large pools: seen block by block, here or by other processes, with the answers of the pool in one piece."""

import os
import pickle
import signal
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from skal.exceptions import PoolCapabilityError, SkalError
from skal.learners import ActiveLearner
from skal.nets import DeepClassifier
from skal.pool import view_pool
from skal.rows import _workers, opener, row_bytes, sendable, take_rows, write_shards
from skal.strategies import (
    BADGE,
    DECERN,
    CoreSet,
    EntropySampling,
    KMeansSampling,
    LeastConfidence,
    MarginSampling,
    NoiseStability,
    Prefilter,
    RandomSampling,
)

X, Y = make_blobs(640, n_features=6, centers=4, cluster_std=5.0, random_state=0)
# Rounded, and some rows twice, so that there are ties.
X = np.concatenate([X.round(0), X[:60].round(0)]).astype(np.float32)
Y = np.concatenate([Y, Y[:60]])
START, POOL = slice(0, 40), slice(40, 700)
ROWWISE = [LeastConfidence, MarginSampling, EntropySampling, RandomSampling]


class Items(Dataset):
    """Rows of X, read one by one; counts how often."""

    def __init__(self, rows):
        self.rows = list(rows)
        self.read = []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        self.read.append(i)
        return torch.from_numpy(X[self.rows[i]])


def net(**params):
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 4))
    return DeepClassifier(module, **{"max_epochs": 3, "lr": 0.05, "batch_size": 32, "random_state": 0, **params})


@pytest.fixture(scope="module")
def models():
    return {
        "linear": LogisticRegression(max_iter=300).fit(X[START], Y[START]),
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(X[START], Y[START]),
        "net": net().fit(X[START], Y[START]),
    }


@pytest.fixture
def mapped(tmp_path):
    array = np.memmap(tmp_path / "X.dat", np.float32, "w+", shape=X.shape)
    array[:] = X
    array.flush()
    return np.memmap(tmp_path / "X.dat", np.float32, "r", shape=X.shape)[POOL]


def select(strategy, model, pool, n=30, block_size=None, **kwargs):
    view = view_pool(model, pool, X_training=X[START], y_training=Y[START])
    view.block_size = block_size
    return strategy.select(view, pool, n, **kwargs)


class Wide:
    """Rows that are read to be taken."""

    def __init__(self, rows):
        self.rows = rows
        self.shape = rows.shape

    def __getitem__(self, idx):
        return self.rows[idx]


def frame(A):
    return pd.DataFrame(A, columns=list("abcdef"))


def dask_array(A):
    return pytest.importorskip("dask.array").from_array(A, chunks=(150, 6))


def dask_frame(A):
    return pytest.importorskip("dask.dataframe").from_pandas(frame(A), npartitions=4)


CONTAINERS = {
    "array": lambda A: A,
    "float64": lambda A: A.astype(np.float64),
    "frame": frame,
    "sparse": sp.csr_array,
    "coo": sp.coo_matrix,
    "tensor": torch.from_numpy,
    "list": lambda A: A.tolist(),
    "dask array": dask_array,
    "dask frame": dask_frame,
}


class TestBlocks:
    @pytest.mark.parametrize("container", CONTAINERS)
    @pytest.mark.parametrize("kind", ROWWISE, ids=lambda kind: kind.__name__)
    def test_rowwise_picks_are_those_of_a_plain_loop(self, kind, container):
        pool = CONTAINERS[container](X[POOL])
        start = frame(X[START]) if container.endswith("frame") else X[START]
        model = LogisticRegression(max_iter=300).fit(start, Y[START])
        loop = {
            LeastConfidence: lambda p: 1 - max(p),
            MarginSampling: lambda p: sorted(p)[-2] - sorted(p)[-1],
            EntropySampling: lambda p: -sum(each * np.log(each) for each in p if each),
            RandomSampling: lambda p: 0.0,
        }[kind]
        proba = model.predict_proba(frame(X[POOL]) if container.endswith("frame") else X[POOL]).astype(np.float64)
        expected = np.array([loop(row.tolist()) for row in proba])
        picks, scores = select(kind(random_state=0), model, pool, block_size=37)
        np.testing.assert_allclose(scores, expected[picks], atol=1e-6)
        assert expected[picks].min() >= np.sort(expected)[-30] - 1e-6
        whole = select(kind(random_state=0), model, pool, block_size=len(X))
        np.testing.assert_array_equal(picks, whole[0])

    def test_rowwise_is_said_of_what_is(self):
        known = {kind.__name__ for kind in ROWWISE}
        from skal import strategies

        kinds = {name: getattr(strategies, name) for name in strategies.__all__ if name[0].isupper()}
        assert {name for name, kind in kinds.items() if getattr(kind, "rowwise", False)} == known

    @pytest.mark.parametrize("kind", ["linear", "pipeline", "net"])
    def test_no_strategy_sees_a_difference(self, kind, models):
        model = models[kind]
        for strategy in (MarginSampling(), CoreSet(), BADGE(), DECERN(), KMeansSampling(), NoiseStability()):
            strategy = strategy.with_params({"random_state": 0})
            whole = select(strategy, model, X[POOL], block_size=len(X))
            blocks = select(strategy, model, X[POOL], block_size=64)
            np.testing.assert_array_equal(blocks[0], whole[0], err_msg=repr(strategy))
            np.testing.assert_allclose(blocks[1], whole[1], rtol=1e-5)

    def test_the_model_sees_one_block_at_a_time_and_each_sample_once(self):
        seen = []

        class Counting(LogisticRegression):
            def predict_proba(self, X):
                seen.append(len(X))
                return super().predict_proba(X)

        model = make_pipeline(StandardScaler(), Counting(max_iter=300)).fit(X[START], Y[START])
        for strategy in (MarginSampling(), DECERN(random_state=0)):
            seen.clear()
            select(strategy, model, X[POOL], block_size=50)
            assert seen[: 660 // 50 + 1] == [50] * 13 + [10]
            # The labelled data, where the strategy looks at them, besides.
            assert sum(seen) <= 660 + 40

    def test_a_row_wise_query_keeps_no_output(self, models):
        view = view_pool(models["linear"], X[POOL])
        view.block_size = 50
        MarginSampling().select(view, X[POOL], 5)
        assert not view._found
        # What is known, or wanted besides, is not found anew.
        view.require("proba", "embeddings", by="a test")
        assert not view.streams("proba")
        view = view_pool(models["linear"], X[POOL])
        view.block_size = 50
        assert view.streams("proba")
        _ = view.proba
        assert not view.streams("proba")
        assert not view_pool(models["linear"], X[POOL]).streams("proba")

    def test_pieces_are_put_together_as_they_are(self):
        def pieces(*arrays):
            ends = np.cumsum([len(array) for array in arrays])
            return ((slice(end - len(array), end), {"proba": array}) for end, array in zip(ends, arrays))

        fine = np.array([[0.1], [0.2]])
        found = _workers.gather(pieces(np.ones((3, 1), np.float32), fine), 5, np.inf)["proba"]
        np.testing.assert_array_equal(found, [[1], [1], [1], [0.1], [0.2]])
        words = r"^The proba of all samples must have one shape, \(3,\)\. Got \(1,\) in rows 2 to 3 of the pool\.$"
        with pytest.raises(ValueError, match=words):
            _workers.gather(pieces(np.ones((2, 3)), np.ones((2, 1))), 4, np.inf)

    @pytest.mark.parametrize("size", [0, -3, 2.5, "many"])
    def test_wrong_sizes_of_blocks(self, size, models):
        view = view_pool(models["linear"], X[POOL])
        words = rf"^The 'block_size' of a pool must be an int of at least 1\. Got {size!r} instead\.$"
        with pytest.raises(ValueError, match=words):
            view.iter_outputs(("proba",), size)

    def test_sizes_of_blocks(self, models):
        wide = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1_000, 1 << 21), (0, 0))
        for pool, size in ((np.zeros((200_000, 3)), 65_536), (wide, 4), (["text"] * 70_000, 65_536)):
            view = view_pool(models["linear"], pool)
            assert view.is_large
            assert view._rows_of_a_block == size
        # A whole number of a network's batches, at least one; of what it can take batch by batch, many.
        for pool, size in (
            (frame(X), 65_536),
            (wide, 65_536),
            (Items(range(5)), 65_536),
            (Wide(wide), 32),
            (wide.view(np.int32), 32),
        ):
            assert view_pool(models["net"], pool)._rows_of_a_block == size
        piped = make_pipeline(StandardScaler(), net()).fit(X[START], Y[START])
        assert view_pool(piped, wide)._rows_of_a_block == 32
        with joblib.parallel_config("threading", n_jobs=2):
            assert view_pool(models["linear"], np.zeros((200_000, 3)))._rows_of_a_block == 25_000
            assert not view_pool(models["linear"], np.zeros((4_000, 3))).is_large
            assert view_pool(models["net"], X)._rows_of_a_block == 96

    def test_bytes_of_a_row(self):
        assert row_bytes(X) == 48
        assert row_bytes(sp.csr_array(np.eye(10))) == 16
        assert row_bytes(["a text"]) == 0
        assert row_bytes({"a": X, "b": X}) == 96
        assert row_bytes(Items(range(3))) == 0

    @pytest.mark.parametrize("container", ["array", "frame"])
    def test_what_is_wrong_is_said_of_which_block(self, container):
        bad = X[POOL].copy()
        bad[432, 3] = np.nan
        start, pool = (frame(X[START]), frame(bad)) if container.endswith("frame") else (X[START], bad)
        learner = ActiveLearner(LogisticRegression(max_iter=300), MarginSampling(), start, Y[START])
        view = view_pool(learner, pool)
        view.block_size = 100
        where = " in the column 'd'" if container.endswith("frame") else ""
        with pytest.raises(ValueError, match=rf"^X contains NaN or infinity{where}, in rows 400 to 499 of the pool\.$"):
            MarginSampling().select(view, pool, 5)
        with pytest.raises(ValueError, match=rf"^X contains NaN or infinity{where}\.$"):
            learner.query(pool)
        assert learner.round == 0

    def test_errors_with_other_arguments_get_a_note(self, models):
        view = view_pool(models["linear"], X[POOL])

        def fails(block):
            raise OSError(5, "Input/output error", "a file")

        with pytest.raises(OSError, match="Input/output error") as caught:
            list(view.map_blocks(fails, block_size=600))
        assert caught.value.__notes__ == ["This happened in rows 0 to 599 of the pool."]

        def lacks(block):
            raise PoolCapabilityError("The strategy needs more.", member="head")

        with pytest.raises(PoolCapabilityError, match=r"^The strategy needs more\.$"):
            list(view.map_blocks(lacks, block_size=600))

    def test_an_interrupt_passes_and_leaves_the_learner(self):
        class Interrupted(LogisticRegression):
            def predict_proba(self, X):
                raise KeyboardInterrupt

        learner = ActiveLearner(Interrupted(max_iter=300), MarginSampling(), X[START], Y[START])
        with pytest.raises(KeyboardInterrupt):
            learner.query(X[POOL])
        assert learner.round == 0
        assert len(learner.X_training) == 40

    def test_large_outputs_lie_in_a_file_of_no_name(self, models, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        learner = ActiveLearner(net(), MarginSampling(), X[START], Y[START])
        learner.memory_limit = 8_000
        view = view_pool(learner, X[POOL])
        view.block_size = 64
        view.require("proba", "embeddings", by="a test")
        assert isinstance(view.embeddings, np.memmap)
        # 660 x 4 float32 would fit below a limit of 8 bytes more.
        assert isinstance(view.proba, np.memmap)
        assert not list(tmp_path.iterdir())
        whole = view_pool(learner, X[POOL])
        np.testing.assert_array_equal(view.embeddings, whole.embeddings)
        learner.memory_limit = 4 * 660 * 4
        view = view_pool(learner, X[POOL])
        view.block_size = 64
        assert not isinstance(view.proba, np.memmap)

    def test_embeddings_that_are_the_input_are_not_copied(self, models):
        view = view_pool(models["linear"], X)
        view.block_size = 64
        assert np.shares_memory(view.embeddings, X)

    def test_the_first_samples_of_a_large_pool(self):
        strategy = KMeansSampling(random_state=0)
        pool = torch.from_numpy(X[POOL])
        whole = strategy.select(ActiveLearner(LogisticRegression(), strategy), pool, 5)[0]
        view = view_pool(ActiveLearner(LogisticRegression(), strategy), pool)
        view.block_size = 50
        np.testing.assert_array_equal(strategy.select(view, pool, 5)[0], whole)

    def test_a_bar_is_shown_where_it_was_asked_for(self, monkeypatch, capsys):
        monkeypatch.setattr(_workers, "_QUIET", 0.0)
        learner = ActiveLearner(LogisticRegression(max_iter=300), MarginSampling(), X[START], Y[START])
        for is_shown in (False, True):
            learner.verbose = is_shown
            view = view_pool(learner, X[POOL])
            view.block_size = 50
            MarginSampling().select(view, X[POOL], 5)
            err = capsys.readouterr().err
            assert ("/660" in err) is is_shown


class Sent(LogisticRegression):
    """Counts how often it is pickled, in this process."""

    pickled = 0

    def __getstate__(self):
        type(self).pickled += 1
        return super().__getstate__()


class TestTravel:
    def test_a_memory_map_travels_as_its_path(self, mapped):
        for array in (mapped, mapped[17:], mapped[::-3], np.asarray(mapped)[:, 2:5], mapped.view(np.int32)):
            sent = pickle.dumps(opener(array))
            assert len(sent) < 1_000
            np.testing.assert_array_equal(pickle.loads(sent)(), array)
        assert opener(X) is None
        copied = np.memmap(mapped.filename, np.float32, "c", shape=(5, 6))
        assert opener(copied) is None
        written = np.memmap(mapped.filename, np.float32, "r+", shape=(5, 6))
        written[2] = 7
        assert (opener(written)()[2] == 7).all()

    def test_shards_travel_as_their_folder(self, tmp_path):
        pool = shards(tmp_path)
        assert len(pickle.dumps(opener(pool))) < 1_000
        np.testing.assert_array_equal(opener(take_rows(pool, [5, 2]))()[:], X[[45, 42]])

    def test_rows_travel_without_the_rest(self):
        tensors = torch.from_numpy(X)
        size = len(pickle.dumps(tensors[:10].clone()))
        assert len(pickle.dumps(tensors[:10])) > 10 * size
        assert len(pickle.dumps(sendable(tensors[:10]))) == size
        assert set(sendable({"a": tensors[:10]})) == {"a"}
        assert len(pickle.dumps(sendable({"a": tensors[:10]}))) < 2 * size
        for dataset in (TensorDataset(tensors), Subset(TensorDataset(tensors), range(700))):
            assert opener(dataset) is None
            part = sendable(take_rows(dataset, slice(5, 15)))
            assert len(pickle.dumps(part)) < 4 * size
            assert [item[0].tolist() for item in part] == X[5:15].tolist()

    def test_a_dataset_travels_itself(self):
        dataset = ConcatDataset([Items(range(40, 300)), Items(range(300, 700))])
        assert opener(dataset)() is dataset
        both = ConcatDataset([Items(range(5)), TensorDataset(torch.from_numpy(X))])
        assert opener(both) is None
        assert [len(sendable(both)), sendable(both)[6][0].tolist()] == [705, X[1].tolist()]


class TestWorkers:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setattr("skal.rows._workers._FEW", 50)

    @pytest.mark.parametrize("container", [*CONTAINERS, "map", "shards", "items", "tensors", "dict"])
    def test_threads_choose_the_same(self, container, models, mapped, tmp_path):
        model, pool = models["net"], X[POOL]
        if container == "map":
            pool = mapped
        elif container == "shards":
            pool = shards(tmp_path)
        elif container == "items":
            pool = Items(range(40, 700))
        elif container == "tensors":
            pool = TensorDataset(torch.from_numpy(pool))
        elif container == "dict":
            pool = {"input": torch.from_numpy(pool)}
            model = net().fit({"input": X[START]}, Y[START])
        else:
            pool = CONTAINERS[container](pool)
            model = models["linear"]
            if container.endswith("frame"):
                model = LogisticRegression(max_iter=300).fit(frame(X[START]), Y[START])
        whole = select(MarginSampling(random_state=0), model, pool)
        with joblib.parallel_config("threading", n_jobs=2):
            assert view_pool(model, pool).is_large
            blocks = select(MarginSampling(random_state=0), model, pool)
        np.testing.assert_array_equal(blocks[0], whole[0])
        np.testing.assert_allclose(blocks[1], whole[1])

    def test_the_model_is_pickled_once(self):
        model = Sent(max_iter=300).fit(X[START], Y[START])
        Sent.pickled = 0
        with joblib.parallel_config("threading", n_jobs=2):
            select(MarginSampling(), model, X[POOL], block_size=20)
        assert Sent.pickled == 1

    def test_what_cannot_be_pickled(self):
        model = LogisticRegression(max_iter=300).fit(X[START], Y[START])
        model.lock = threading.Lock()
        words = r"^What goes to other processes must be picklable: .*lock.*\. Query "
        with joblib.parallel_config("threading", n_jobs=2), pytest.raises(TypeError, match=words):
            select(MarginSampling(), model, X[POOL])
        assert len(select(MarginSampling(), model, X[POOL])[0]) == 30

    def test_errors_of_workers(self):
        bad = X[POOL].copy()
        bad[432, 3] = np.nan
        learner = ActiveLearner(LogisticRegression(max_iter=300), MarginSampling(), X[START], Y[START])
        words = r"^X contains NaN or infinity, in rows 415 to 497 of the pool\.$"
        with joblib.parallel_config("threading", n_jobs=2), pytest.raises(ValueError, match=words):
            learner.query(bad)
        assert learner.round == 0

    def test_one_worker_or_one_block_is_no_other_process(self, models):
        Sent.pickled = 0
        model = Sent(max_iter=300).fit(X[START], Y[START])
        with joblib.parallel_config("loky", n_jobs=1):
            select(MarginSampling(), model, X[POOL], block_size=100)
        with joblib.parallel_config("loky", n_jobs=2):
            select(MarginSampling(), model, X[POOL], block_size=1_000)
        assert Sent.pickled == 0


EIGHT = [
    *(kind(random_state=0) for kind in ROWWISE),
    CoreSet(random_state=0),
    BADGE(random_state=0),
    DECERN(random_state=0),
    Prefilter(KMeansSampling(random_state=0), first=MarginSampling(), n_candidates=200, random_state=0),
    NoiseStability(random_state=0),
]


def picks(models, pool):
    return {
        (repr(strategy), kind): select(strategy, models[kind], pool)[0].tolist()
        for strategy in EIGHT
        for kind in ("pipeline", "net")
    }


def shards(folder):
    return write_shards(folder / "shards", [X[40:300], X[300:]])


class Kills(BaseEstimator):
    """A model that ends any other process that asks it about one sample."""

    def __init__(self, here, sample):
        self.here = here
        self.sample = sample

    def fit(self, X, y):
        self.classes_ = np.arange(2)
        return self

    def predict_proba(self, X):
        if os.getpid() != self.here and (np.asarray(X) == self.sample).all(axis=1).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full((len(X), 2), 0.5)


class TestProcesses:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setattr("skal.rows._workers._FEW", 50)

    def test_loky_chooses_the_same(self, models, mapped, tmp_path):
        expected = picks(models, X[POOL])
        with joblib.parallel_config("loky", n_jobs=2):
            assert picks(models, X[POOL]) == expected
            assert picks(models, mapped) == expected
            assert picks(models, shards(tmp_path)) == expected

    def test_a_killed_worker(self):
        pool = np.arange(800.0)[:, None]
        learner = ActiveLearner(Kills(os.getpid(), 333.0), MarginSampling(), [[0.0], [1.0]], [0, 1])
        with joblib.parallel_config("loky", n_jobs=2):
            with pytest.raises(SkalError, match=r"^A worker process died at work on rows .*300 to 399.* of the pool: "):
                learner.query(pool)
            assert learner.round == 0
            learner.estimator.sample = -1.0
            assert len(learner.query(pool, n_instances=3)[0]) == 3

    def test_dask_chooses_the_same(self, models, mapped, tmp_path):
        distributed = pytest.importorskip("dask.distributed")
        with (
            distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster),
            joblib.parallel_config("dask"),
        ):
            found = picks(models, X[POOL])
            assert picks(models, mapped) == found
            assert picks(models, shards(tmp_path)) == found
        assert found == picks(models, X[POOL])
