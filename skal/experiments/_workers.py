"""Processes that work for a comparison, and live no longer than it.

Each is a plain Python process with a pipe to it and one back. It reads that pipe all the time: when it ends, since the
parent ended in whatever way, the process does, too. There is nothing else to tidy up: no semaphores, no named files.
Each has a session of its own, so that a terminal's Ctrl-C is the parent's alone.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import IO, Any

import cloudpickle
import numpy as np

__all__ = ["WorkerDiedError", "run_in_processes", "serve"]

_START = "import sys; sys.path[:] = {path!r}; from {module} import serve; serve()"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
# Arrays that share the file stand on lines of the cache.
_ALIGNED = 64


class WorkerDiedError(RuntimeError):
    """A process ended in the middle of a job; `job` is its arguments."""

    def __init__(self, job: tuple, code: int) -> None:
        super().__init__(f"its process ended {f'by signal {-code}' if code < 0 else f'with code {code}'}")
        self.job = job


def run_in_processes(
    function: Callable[..., Any], jobs: Iterable[tuple], n_processes: int, n_threads: int
) -> Generator[Any, None, None]:
    """Yield ``function(*job)`` of each job as they are finished; closing the iterator ends the processes.

    Functions and classes of ``__main__`` travel by value. Arrays in `function` are written to an unnamed file once,
    which all processes map into memory; memory maps are opened again by path.

    Parameters
    ----------
    function : callable
    jobs : iterable of tuple
        Arguments of each call.
    n_processes : int
        At most one for each job is started.
    n_threads : int
        Threads of the numerical libraries in each.

    Raises
    ------
    BaseException
        What a job raises, KeyboardInterrupt too.
    WorkerDiedError
        If a process ended by itself.
    """
    waiting = deque(jobs)
    n_jobs, answers = len(waiting), queue.SimpleQueue[Any]()
    processes: list[subprocess.Popen] = []
    with tempfile.TemporaryFile() as shared:
        # A file without a name can be handed down on POSIX alone; elsewhere all goes through the pipe.
        task = _pack(function, shared if os.name == "posix" else None)
        try:
            for _ in range(min(n_processes, n_jobs)):
                processes.append(_start(shared.fileno(), n_threads))
                driver = threading.Thread(target=_drive, args=(processes[-1], task, waiting, answers), daemon=True)
                driver.start()
            for _ in range(n_jobs):
                kind, value = _next(answers)
                if kind == "error":
                    raise value
                yield value
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()


def _start(shared: int, n_threads: int) -> subprocess.Popen:
    # Numerical libraries read their number of threads when they are loaded; what the user has set is obeyed.
    environment = {**dict.fromkeys(_THREADS, str(n_threads)), **os.environ}
    if os.name == "posix":
        apart: dict[str, Any] = {"pass_fds": (shared,), "start_new_session": True}
    else:
        apart = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    start = _START.format(path=sys.path, module=__name__)
    return subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, **apart
    )


def _next(answers: queue.SimpleQueue) -> Any:
    while True:
        try:
            # Windows hears no Ctrl-C in a wait without end.
            return answers.get(timeout=1)
        except queue.Empty:
            continue


def _drive(process: subprocess.Popen, task: bytes, waiting: deque, answers: queue.SimpleQueue) -> None:
    """Hand one process its jobs, one after the other. `popleft` and `put` are safe among threads."""
    job: tuple = ()
    try:
        _send(process.stdin, task)
        while waiting:
            try:
                job = waiting.popleft()
            except IndexError:  # another was quicker
                return
            _send(process.stdin, cloudpickle.dumps(job))
            answers.put(pickle.loads(_receive(process.stdout)))
    except (OSError, ValueError, EOFError):
        answers.put(("error", WorkerDiedError(job, process.wait())))


# -- in the process ----------------------------------------------------------------------------------------------


def serve() -> None:
    """What a process does: read the function, then call it with one job after the other."""
    # The libraries' own messages must not come between the answers.
    back = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, messages), daemon=True).start()
    try:
        function = _unpack(messages.get())
    except BaseException as error:  # whatever happens is the parent's to know
        _answer(back, "error", error)
        return
    while True:
        job = pickle.loads(messages.get())
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            kind, value = "value", function(*job)
        except BaseException as error:  # Ctrl-C and exits, too
            kind, value = "error", error
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _answer(back, kind, value)


def _listen(pipe: IO[bytes], messages: queue.SimpleQueue) -> None:
    try:
        while True:
            messages.put(_receive(pipe))
    except (OSError, EOFError):
        os._exit(0)  # The parent has ended, and nobody waits for what is being done.


def _answer(back: IO[bytes], kind: str, value: Any) -> None:
    if kind == "error":
        value.add_note("In a process of the comparison:\n" + "".join(traceback.format_exception(value)))
    try:
        message = cloudpickle.dumps((kind, value))
        pickle.loads(message)
    except Exception:  # an error that does not survive the way is told by its text
        message = pickle.dumps(("error", RuntimeError(f"{type(value).__name__}: {value}")))
    _send(back, message)


# -- messages ----------------------------------------------------------------------------------------------------


def _send(pipe: IO[bytes] | None, message: bytes) -> None:
    if pipe is not None:
        pipe.write(len(message).to_bytes(8, "little") + message)
        pipe.flush()


def _receive(pipe: IO[bytes] | None) -> bytes:
    n = int.from_bytes(_read(pipe, 8), "little")
    return _read(pipe, n)


def _read(pipe: IO[bytes] | None, n: int) -> bytes:
    content = pipe.read(n) if pipe is not None else b""
    if len(content) < n:
        raise EOFError
    return content


class _Pickler(cloudpickle.Pickler):
    """Memory maps of whole files travel as their paths."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is np.memmap and isinstance(obj.base, mmap.mmap) and obj.filename is not None:
            order = "C" if obj.flags.c_contiguous else "F"
            return np.memmap, (os.fspath(obj.filename), obj.dtype, "c", obj.offset, obj.shape, order)
        return super().reducer_override(obj)


def _pack(obj: Any, shared: IO[bytes] | None) -> bytes:
    """The object as bytes, its arrays in the file `shared`, where there is one."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=None if shared is None else buffers.append).dump(obj)
    places = []
    if shared is not None:
        for buffer in buffers:
            content = buffer.raw()
            shared.seek(-shared.tell() % _ALIGNED, os.SEEK_CUR)
            places.append((shared.tell(), content.nbytes))
            shared.write(content)
        shared.write(b"\0")  # an empty file cannot be mapped
        shared.flush()
    return pickle.dumps((None if shared is None else shared.fileno(), places, stream.getvalue()))


def _unpack(message: bytes) -> Any:
    descriptor, places, content = pickle.loads(message)
    if descriptor is None:
        return pickle.loads(content)
    # Copied on write: each process may change its own.
    mapped = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
    os.close(descriptor)
    return pickle.loads(content, buffers=[mapped[start : start + n] for start, n in places])
