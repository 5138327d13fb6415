"""Generators and locks in processes that are forked while other threads are at work."""

import os
import threading

import numpy as np
import pytest
import torch
from torch import nn

from skal.nets import DeepClassifier
from skal.rows import FeatureStore
from skal.utils._torch import torch_rng


def in_child(check):
    """Whether `check()` holds in a forked child, which is ended where it waits for a lock."""
    child = os.fork()
    if child == 0:
        import signal

        signal.alarm(20)
        code = 1
        try:
            code = 0 if check() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
class TestForks:
    def held_by_a_thread(self, block):
        """Start a thread that waits inside `block()`; returns what ends it."""
        inside, go_on = threading.Event(), threading.Event()

        def work():
            with block():
                inside.set()
                go_on.wait(30)

        thread = threading.Thread(target=work)
        thread.start()
        assert inside.wait(30)

        def end():
            go_on.set()
            thread.join(30)

        return end

    def test_generators_of_another_thread_are_put_back(self):
        net = DeepClassifier(nn.Linear(2, 2), random_state=0)
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
        end = self.held_by_a_thread(lambda: net._seeded(3))

        def check():
            same = torch.equal(torch.get_rng_state(), torch_state)
            same &= bool(np.array_equal(np.random.get_state()[1], numpy_state))  # noqa: NPY002
            with torch_rng(1):
                return same

        try:
            assert not torch.equal(torch.get_rng_state(), torch_state)
            assert in_child(check)
        finally:
            end()
        assert torch.equal(torch.get_rng_state(), torch_state)

    def test_a_fork_inside_a_block_goes_on_in_it(self):
        with torch_rng(5):
            inner = torch.get_rng_state()
            assert in_child(lambda: torch.equal(torch.get_rng_state(), inner) and threads_wait())
        assert in_child(lambda: not threads_wait())

    def test_stores(self):
        store = FeatureStore()
        store.put({b"a": np.zeros(3)}, 10_000)
        done = threading.Event()

        def work():
            i = 0
            while not done.is_set():
                store.put({b"%d" % i: np.zeros(3)}, 10_000)
                i += 1

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for _ in range(5):
                assert in_child(lambda: len(store.get(list(store._rows))) == len(store) and store.clear() is None)
        finally:
            done.set()
            thread.join(30)


def threads_wait():
    """Whether another thread is kept out of the generators."""
    entered = threading.Event()

    def work():
        with torch_rng():
            entered.set()

    threading.Thread(target=work, daemon=True).start()
    return not entered.wait(0.5)
