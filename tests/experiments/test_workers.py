"""Processes that work for a comparison: what they are given, what they give back, and how they end."""

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from skal.experiments import RunError, compare
from skal.experiments._workers import WorkerDiedError, run_in_processes

posix = pytest.mark.skipif(os.name != "posix", reason="signals")


def gone(pid, seconds=60):
    """Whether a process ends within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_arrays_travel_once_and_each_process_may_write_into_its_own(tmp_path):
    X, small = np.arange(60_000.0).reshape(200, 300), np.asfortranarray(np.eye(3))
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    read_only = np.ones(3)
    read_only.flags.writeable = False

    def work(arrays, i, word):
        first, second, third, fourth = arrays["all"]
        first[0, 0] = second[0, 0] = third[0, 0] = i
        kinds = type(third).__name__, second.flags.f_contiguous, fourth.flags.writeable
        return i, word, float(first.sum() + third.sum()), kinds, os.getpid()

    arrays = {"all": [X, small, mapped, read_only]}
    with closing(run_in_processes(partial(work, arrays), [(i, "ä") for i in range(5)], 2, 1)) as found:
        answers = sorted(found)
    for i, answer in enumerate(answers):
        assert answer[:4] == (i, "ä", 2 * X.sum() + 2 * i, ("memmap", True, False))
    assert os.getpid() not in {answer[4] for answer in answers}
    assert X[0, 0] == mapped[0, 0] == 0 and small[0, 0] == 1
    assert all(gone(answer[4]) for answer in answers)


def test_threads_of_the_libraries(monkeypatch):
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    def work():
        import os

        return [os.environ[name] for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")]

    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    assert list(run_in_processes(work, [()], 2, 3)) == [["3", "7", "3"]]


def test_nothing_to_do():
    assert list(run_in_processes(len, [], 2, 1)) == []


def fails(error):
    def work():
        print("not an answer")
        os.write(1, b"nor this")
        raise error

    return work


def _exit(*args):
    os._exit(3)


class Stubborn(Exception):
    """An error that does not survive the way between processes."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (ZeroDivisionError("no luck"), ZeroDivisionError, "no luck"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
        (SystemExit(3), SystemExit, "3"),
    ],
)
def test_errors_come_back(error, expected, text):
    with pytest.raises(expected) as caught:
        list(run_in_processes(fails(error), [()], 1, 1))
    assert str(caught.value) == text and "in work" in caught.value.__notes__[0]


def test_an_error_that_cannot_be_pickled_is_told_by_its_text():
    def work():
        class Local(Exception):
            def __init__(self, a, b):
                super().__init__(f"{a} and {b}")

        raise Local(1, 2)

    with pytest.raises(RuntimeError, match=r"^Local: 1 and 2$"):
        list(run_in_processes(work, [()], 1, 1))


def test_what_cannot_be_sent_is_an_error_before_anything_is_started():
    with pytest.raises((TypeError, pickle.PicklingError)):
        list(run_in_processes(partial(len, open(os.devnull)), [()], 1, 1))  # noqa: SIM115


@posix
def test_a_process_that_ends_names_its_job():
    def work(i):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerDiedError, match=r"its process ended by signal 9") as caught:
        list(run_in_processes(work, [(5,)], 1, 1))
    assert caught.value.job == (5,)


@posix
class TestCompare:
    SIZES = {"n_initial": 5, "n_instances": 3, "n_queries": 2, "seeds": 2}  # noqa: RUF012

    @pytest.fixture(scope="class")
    def data(self):
        return make_classification(150, 6, n_informative=4, n_classes=3, random_state=0)

    def test_a_killed_run_is_named(self, data):
        def deadly(classifier, X, n_instances=1):
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)

        with pytest.raises(RunError, match=r"^deadly with seed \d failed: its process ended by signal 9\.$"):
            compare([deadly], LogisticRegression(), *data, **self.SIZES, n_jobs=2)

    @pytest.mark.parametrize("n_jobs", [1, 2, -1])
    def test_ctrl_c_comes_out(self, data, tmp_path, n_jobs):
        """Of a run that would go on for an hour; whole runs stay, no process does, and the same call goes on."""
        parent, pids, out = os.getpid(), tmp_path / "pids", tmp_path / "out"
        stop = tmp_path / "stop"
        stop.touch()

        def slow(classifier, X, n_instances=1, names=(str(pids), str(stop))):
            import os
            import signal
            import time

            if os.path.exists(names[1]):
                with open(names[0], "a") as file:
                    file.write(f"{os.getpid()}\n")
                os.kill(parent, signal.SIGINT)
                time.sleep(3600)
            return list(range(n_instances))

        settings = {**self.SIZES, "n_jobs": n_jobs, "out": out}
        with pytest.raises(KeyboardInterrupt):
            compare([slow], LogisticRegression(), *data, **settings)
        for pid in set(map(int, pids.read_text().split())) - {parent}:
            assert gone(pid)
        if (out / "results.csv").exists():
            assert (out / "results.csv").read_text().count("\nRandomSampling") % 3 == 0
            assert "slow" not in (out / "results.csv").read_text()
        assert not {path.name for path in out.iterdir()} - {"results.csv", "settings.json"}
        stop.unlink()
        assert len(compare([slow], LogisticRegression(), *data, **settings).results) == 12

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_processes_end_with_the_one_that_started_them(self, tmp_path, number):
        script = tmp_path / "script.py"
        script.write_text(
            "import os, sys, time\n"
            "from skal.experiments._workers import run_in_processes\n"
            "PIDS = sys.argv[1]\n"
            "def work(i):\n"
            "    with open(PIDS, 'a') as file: file.write(f'{os.getpid()}\\n')\n"
            "    time.sleep(3600)\n"
            "list(run_in_processes(work, [(0,), (1,)], 2, 1))\n"
        )
        pids = tmp_path / "pids"
        pids.touch()
        parent = subprocess.Popen([sys.executable, script, pids], stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 120
        while len(pids.read_text().split()) < 2 and parent.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        parent.send_signal(number)
        assert parent.communicate(timeout=60)[1] == "" and parent.returncode == -number
        found = [int(pid) for pid in pids.read_text().split()]
        assert len(found) == 2 and all(map(gone, found))
