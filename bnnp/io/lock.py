"""bnnp.lock: keeps two runs out of one directory.

One line, ``host, process, mode, start, job``, while a run writes there; removed when it ends. The operating
system has the file locked (flock) and forgets that when the process is gone, so that what a killed run has
left on the same machine is taken over. Of another machine's process nothing can be known, unless it is of an
earlier start of the same SLURM job.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from pathlib import Path

from bnnp.errors import InputError
from bnnp.io.output import cannot_write

FILE_NAME = "bnnp.lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES)  # of flock, and of the locks of an NFS server


class DirectoryLock:
    """The lock of a directory, held from :meth:`take` to :meth:`release`."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self._file: int | None = None

    def take(self, purpose: str) -> None:
        """Take the lock for `purpose`, such as ``mode 2``.

        Raises
        ------
        InputError
            Another run has it, or perhaps has it; the message says which, and what to remove if it is gone.
        OutputError
            The directory cannot be written.
        """
        try:
            while True:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
                if self._is_taken(file):
                    break
                os.close(file)  # the other run ended meanwhile and removed the file
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._file = file
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        os.truncate(file, 0)
        job = [" ".join(_job())] if _job() else []
        holder = ", ".join([socket.gethostname(), str(os.getpid()), purpose, now, *job])
        os.pwrite(file, f"{holder}\n".encode(), 0)

    def _is_taken(self, file: int) -> bool:
        """Lock the open file; False if it is not the one in the directory any more."""
        holder = os.pread(file, 1000, 0).decode(errors="replace").strip()
        host, _, rest = holder.partition(", ")
        process = rest.partition(",")[0]
        held, here = False, host == socket.gethostname()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # in use, or a disk without locks
            held = error.errno in _HELD or (here and _runs(process))
        if held or (holder and not here and not _started_again(holder)):
            os.close(file)
            raise InputError(self._in_use(holder))
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _in_use(self, holder: str) -> str:
        host, process, purpose, start = [*holder.split(", "), *["?"] * 4][:4]
        return (
            f"{self.path.resolve()}: another run uses this directory: bnnp {purpose}, process {process} on "
            f"{host}, since {start}. Two runs would overwrite each other's files: wait for it, or work in "
            f"another directory. If that process is gone (`ps -p {process}` on {host}), remove {FILE_NAME} "
            "and run the same command again."
        )

    @property
    def held(self) -> bool:
        """Whether this process has it."""
        return self._file is not None

    def release(self) -> None:
        """Remove the file, also for the process that has it: called by any rank that ends all of them."""
        self.path.unlink(missing_ok=True)
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _job() -> list[str]:
    """Number of the SLURM job, and how often it has been started again; nothing outside of a job."""
    job = os.environ.get("SLURM_JOB_ID", "")
    return [job, os.environ.get("SLURM_RESTART_COUNT", "0")] if job else []


def _started_again(holder: str) -> bool:
    """Whether the lock is of an earlier start of this SLURM job, which has ended therefore."""
    former, mine = holder.rpartition(", ")[2].split(), _job()
    return len(former) == len(mine) == 2 and former[0] == mine[0] and former[1] != mine[1]


def _runs(process: str) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass  # that of another user
    return True
