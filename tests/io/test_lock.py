"""The lock of a directory: one run at a time, and what a killed run has left is no obstacle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnnp.errors import InputError, OutputError
from bnnp.io.lock import FILE_NAME, DirectoryLock

HOLD = """
import sys, time
from pathlib import Path
from bnnp.io.lock import DirectoryLock
DirectoryLock(Path(sys.argv[1])).take("mode 2")
print("held", flush=True)
time.sleep(60)
"""


def test_one_run_at_a_time(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.take("mode 2")
    with pytest.raises(InputError, match="another run uses this directory") as error:
        second.take("mode 1")
    for told in (f"process {os.getpid()}", socket.gethostname(), time.strftime("%Y-%m"), "mode 2", FILE_NAME):
        assert told in str(error.value)
    first.release()
    assert not (tmp_path / FILE_NAME).exists()
    second.take("mode 1")
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_lock_of_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(InputError, match=f"process {process.pid} on"):
            DirectoryLock(tmp_path).take("mode 2")
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / FILE_NAME).exists()
    lock = DirectoryLock(tmp_path)
    lock.take("mode 2")
    lock.release()


def test_of_another_machine_nothing_is_known(tmp_path: Path) -> None:
    """Whether that process still runs cannot be seen from here: the message says what to remove."""
    (tmp_path / FILE_NAME).write_text("node17, 4711, mode 2, 2026-01-02 03:04:05\n")
    with pytest.raises(InputError, match=r"process 4711 on node17, since 2026-01-02 .* remove bnnp\.lock"):
        DirectoryLock(tmp_path).take("mode 2")


@pytest.mark.parametrize(("count", "taken"), [("1", True), ("0", False)])
def test_a_job_that_slurm_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: str, taken: bool
) -> None:
    """After the failure of a node the same job goes on elsewhere; a step of the same start may still run."""
    (tmp_path / FILE_NAME).write_text("node17, 4711, mode 2, 2026-01-02 03:04:05, 815 0\n")
    monkeypatch.setenv("SLURM_JOB_ID", "815")
    monkeypatch.setenv("SLURM_RESTART_COUNT", count)
    lock = DirectoryLock(tmp_path)
    if taken:
        lock.take("mode 2")
        lock.release()
    else:
        with pytest.raises(InputError, match="another run uses this directory"):
            lock.take("mode 2")


@pytest.mark.parametrize("content", ["", "\x00\x01", "only words"])
def test_a_damaged_lock_of_nobody(tmp_path: Path, content: str) -> None:
    """Without the name of a machine it is taken over, else refused with the way out."""
    (tmp_path / FILE_NAME).write_text(content)
    lock = DirectoryLock(tmp_path)
    if content:
        with pytest.raises(InputError, match=r"remove bnnp\.lock"):
            lock.take("mode 2")
    else:
        lock.take("mode 2")
        lock.release()


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"bnnp\.lock: cannot be written"):
        DirectoryLock(tmp_path / "gone").take("mode 2")
