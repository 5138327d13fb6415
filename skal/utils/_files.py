"""Files that survive a crash: written as a whole or not at all, and held by one writer at a time."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FileLock", "LockHeldError", "sync_folder", "write_atomically"]

# Windows locks bytes instead of files, and nobody else can read those: one far behind the text.
_LOCKED_BYTE = 1 << 30


def write_atomically(path: str | os.PathLike, content: str | bytes) -> None:
    """Replace a file as a whole: after a crash at any moment it has its old content or the new one.

    On an error (a full disk, say) the old content stays, and nothing else is left behind; a killed process leaves a
    file ``.<name>.<pid>.tmp`` at most. The error names the file itself.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: str | os.PathLike) -> None:
    """Have the names in a folder on disk; some systems cannot, which is no error."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class LockHeldError(OSError):
    """Somebody else holds the lock: `host` and `pid` say who, None where that cannot be read."""

    def __init__(self, host: str | None, pid: int | None) -> None:
        super().__init__(f"held by {'another process' if pid is None else f'process {pid} on {host}'}")
        self.host = host
        self.pid = pid


class FileLock:
    """A lock that one holder has at a time, among processes and threads; made and taken at once.

    The operating system decides, so that a dead process holds nothing; the text in the file, host and process, is for
    people. It ends with `close`, with the object's collection, or with the process, whose forks have no part in it.

    Parameters
    ----------
    path : path
        The file of the lock, which is removed when it ends in order.

    Raises
    ------
    LockHeldError
        If it is held, be it by this process.
    OSError
        If the file cannot be made.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if not _try_to_lock(descriptor):
                    raise LockHeldError(*_read_holder(self.path))
                # Its last holder may have removed the file between the two steps: then this is a lock on nothing.
                fresh = _is_at(self.path, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            if fresh:
                break
            os.close(descriptor)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
        self._end = weakref.finalize(self, _release, self.path, descriptor, os.getpid())
        _HELD.add(self)

    def close(self) -> None:
        """End the lock; again is fine."""
        self._end()

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


_HELD: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _close_in_fork() -> None:
    """A lock is shared by all copies of its descriptor: forks close theirs, or they would keep it after our death."""
    for lock in list(_HELD):
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_fork)


def _release(path: Path, descriptor: int, owner: int) -> None:
    if os.getpid() == owner:
        with suppress(OSError):  # Windows removes no open file
            path.unlink()
    os.close(descriptor)


def _try_to_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _read_holder(path: Path) -> tuple[str | None, int | None]:
    """Who holds it; a holder that has only just taken it gets a moment to write that down."""
    for _ in range(20):
        try:
            holder = json.loads(path.read_text(encoding="utf-8"))
            return str(holder["host"]), int(holder["pid"])
        except (OSError, ValueError, TypeError, KeyError):
            time.sleep(0.01)
    return None, None
