"""Files that survive a crash, and locks that a dead process does not keep."""

import gc
import os
import socket
import subprocess
import sys
import threading

import pytest

from skal.utils._files import FileLock, LockHeldError, write_atomically

HOLD = "import sys; from skal.utils._files import FileLock; lock = FileLock(sys.argv[1]); print('held', flush=True); "


class TestAtomicWrites:
    def test_text_and_bytes_replace_what_was_there(self, tmp_path):
        path = tmp_path / "file"
        for content, stored in (("a\nü", "a\nü".encode()), (b"\x00\r\n", b"\x00\r\n"), ("", b"")):
            write_atomically(path, content)
            assert path.read_bytes() == stored and os.listdir(tmp_path) == ["file"]

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_a_failure_leaves_the_old_content_and_nothing_else(self, tmp_path, monkeypatch, step, error):
        write_atomically(tmp_path / "file", "old")

        def fail(*args):
            raise error

        monkeypatch.setattr(os, step, fail)
        with pytest.raises(type(error)):
            write_atomically(tmp_path / "file", "new")
        monkeypatch.undo()
        assert (tmp_path / "file").read_text() == "old" and os.listdir(tmp_path) == ["file"]

    def test_it_is_on_disk_before_it_has_its_name(self, tmp_path, monkeypatch):
        steps = []
        for step in ("fsync", "replace"):
            real = getattr(os, step)
            monkeypatch.setattr(os, step, lambda *args, real=real, step=step: (steps.append(step), real(*args))[1])
        write_atomically(tmp_path / "file", "new")
        assert steps[:2] == ["fsync", "replace"]


class TestLock:
    def test_one_holder_at_a_time(self, tmp_path):
        path = tmp_path / "lock"
        with FileLock(path):
            for _ in range(2):
                with pytest.raises(LockHeldError, match=rf"held by process {os.getpid()} on ") as held:
                    FileLock(path)
                assert (held.value.host, held.value.pid) == (socket.gethostname(), os.getpid())
        assert not path.exists()
        with FileLock(path):
            assert path.exists()

    def test_among_threads(self, tmp_path):
        found = []

        def take():
            try:
                FileLock(tmp_path / "lock").close()
                found.append("free")
            except LockHeldError:
                found.append("held")

        with FileLock(tmp_path / "lock"):
            thread = threading.Thread(target=take)
            thread.start()
            thread.join()
        take()
        assert found == ["held", "free"]

    def test_closing_twice_takes_nothing_from_the_next_holder(self, tmp_path):
        first = FileLock(tmp_path / "lock")
        first.close()
        second = FileLock(tmp_path / "lock")
        first.close()
        with pytest.raises(LockHeldError):
            FileLock(tmp_path / "lock")
        second.close()

    def test_collection_ends_it(self, tmp_path):
        lock = FileLock(tmp_path / "lock")
        del lock
        gc.collect()
        FileLock(tmp_path / "lock").close()

    def test_a_killed_process_keeps_nothing_and_its_file_is_no_obstacle(self, tmp_path):
        path = tmp_path / "lock"
        holder = subprocess.Popen([sys.executable, "-c", HOLD + "input()", path], stdout=-1, stdin=-1, text=True)
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockHeldError, match=rf"held by process {holder.pid} on {socket.gethostname()}"):
            FileLock(path)
        holder.kill()
        holder.communicate()
        assert path.exists()
        FileLock(path).close()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
    def test_a_fork_has_no_part_in_it(self, tmp_path):
        """As a DataLoader's process: it goes on for a while after the one that holds the lock was killed."""
        fork = "import os, signal; os.fork() or print(os.getpid(), flush=True); signal.pause()"
        holder = subprocess.Popen([sys.executable, "-c", HOLD + fork, tmp_path / "lock"], stdout=-1, text=True)
        assert holder.stdout.readline() == "held\n"
        child = int(holder.stdout.readline())
        with pytest.raises(LockHeldError):
            FileLock(tmp_path / "lock")
        holder.kill()
        holder.wait()
        try:
            FileLock(tmp_path / "lock").close()
        finally:
            os.kill(child, 9)
            holder.stdout.close()

    def test_text_that_cannot_be_read(self, tmp_path):
        with FileLock(tmp_path / "lock"):
            (tmp_path / "lock").write_text("{")
            with pytest.raises(LockHeldError, match=r"held by another process"):
                FileLock(tmp_path / "lock")

    def test_a_folder_that_does_not_exist(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            FileLock(tmp_path / "no" / "lock")
