"""Runs job.sh in a folder, as a process of its own that needs nobody: python local_job.py FOLDER [SECONDS].

The file job.lock is locked as long as any process of the job runs, so that nobody starts it twice; it has
the machine and the number of the session. What the job prints is in job.out; at the end exit_code has its
code and its seconds, 124 if it took longer than allowed.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

LOCK, CODE, OUTPUT, SCRIPT = "job.lock", "exit_code", "job.out", "job.sh"
TIMED_OUT = 124
PATIENCE, MERCY = 2.0, 5.0  # seconds: others look at the lock for a moment; between SIGTERM and SIGKILL


def main(folder: Path, limit: float) -> None:
    """Run the job, unless it runs or has run."""
    os.chdir(folder)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    if not taken(lock) or Path(CODE).exists():
        return
    os.truncate(lock, 0)
    os.pwrite(lock, f"{socket.gethostname()} {os.getpid()}\n".encode(), 0)
    signal.signal(signal.SIGTERM, cancel)
    begin = time.monotonic()
    with open(OUTPUT, "ab") as output:
        process = subprocess.Popen(
            ["bash", SCRIPT],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
        )
        try:
            code = process.wait(limit or None)
        except subprocess.TimeoutExpired:
            code = TIMED_OUT
            end_all(process)
    temporary = Path(f".{CODE}.tmp")
    temporary.write_text(f"{code} {time.monotonic() - begin:.2f}\n")
    temporary.replace(CODE)
    if code == TIMED_OUT:
        os.killpg(0, signal.SIGKILL)  # what has ignored SIGTERM, and this process with it


def taken(lock: int) -> bool:
    """Lock the open file; False if another process has it."""
    for _ in range(int(PATIENCE / 0.05)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def end_all(process: subprocess.Popen[bytes]) -> None:
    """Ask all processes of this session but this one to end, and wait for the script."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    try:
        process.wait(MERCY)
    except subprocess.TimeoutExpired:
        process.kill()


def cancel(number: int, frame: FrameType | None) -> None:
    """End all of it without a code: it is as if it had not been run."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    with suppress(OSError):  # a full disk: it leaves no code, and is lost
        main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
