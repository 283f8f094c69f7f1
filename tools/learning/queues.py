"""Jobs behind three verbs, submit, state and cancel: processes on this machine, or SLURM's arrays.

A job is a folder with ``job.sh``. When it has ended, ``exit_code`` there has its code and its seconds. No
decision depends on the clocks of machines or on the times of files.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bnnp.errors import InputError
from bnnp.io.output import replace_file
from learning import local_job
from learning.campaign import locked, write_json
from learning.local_job import CODE, LOCK, OUTPUT, SCRIPT, TIMED_OUT

NEW, WAITING, RUNNING, LATE, ENDED, GONE = "new", "waiting", "running", "late", "ended", "gone"
SUBMITTED = "submitted"  # the name of a file, made before a job on this machine is started
GRACE = 3.0  # seconds after which one without lock and code is gone: it may be starting
NOTHING = "it printed nothing"
NO_ROOM = os.strerror(errno.ENOSPC)
ROOM = 2**20  # bytes below which a disk is full
MOST = 500  # tasks of one array; SLURM's MaxArraySize is 1001 unless it is changed
PENDING = ("PENDING", "CONFIGURING", "REQUEUED", "SUSPENDED", "REQUEUE_HOLD", "RESIZING", "SPECIAL_EXIT")


@dataclass(frozen=True)
class State:
    """Where a job is.

    Parameters
    ----------
    kind : str
        ``new``, ``waiting``, ``running``, ``ended``, ``late``: SLURM has ended it, but its files are not seen
        yet; or ``gone``: it will not end any more.
    code : int
        Exit code of one that has ended.
    seconds : float
        How long it took, if it is known.
    reason : str
        Why it is gone.
    """

    kind: str
    code: int = 0
    seconds: float = 0.0
    reason: str = ""


class Queue(Protocol):
    """Where jobs run; `limit` is how many may be submitted at once."""

    limit: int

    def submit(self, folders: Sequence[Path]) -> None: ...

    def states(self, folders: Sequence[Path]) -> dict[Path, State]: ...

    def cancel(self, folders: Sequence[Path]) -> None: ...


def ended(folder: Path) -> State | None:
    """The state of a job that has left its exit code."""
    try:
        words = (folder / CODE).read_text().split()
    except OSError:
        return None
    return State(ENDED, int(words[0]), float(words[1]) if len(words) > 1 else 0.0) if words else None


def no_room(folder: Path) -> bool:
    """Whether a job has met a full disk, or one of its quota: it has said so, or there is no room yet."""
    with contextlib.suppress(OSError):
        said = (folder / OUTPUT).read_text(errors="replace")
        if any(os.strerror(number) in said for number in (errno.ENOSPC, errno.EDQUOT)):
            return True
    return shutil.disk_usage(folder).free < ROOM


def last_words(folder: Path) -> str:
    """The last line that a job has printed."""
    with contextlib.suppress(OSError):
        lines = [line.strip() for line in (folder / OUTPUT).read_text(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), NOTHING)
    return NOTHING


@dataclass
class Local:
    """Processes on this machine, each with a session of its own: they go on when the program ends."""

    limit: int = 1
    seconds: float = 0.0  # after which a job has failed; 0: never
    started: dict[Path, subprocess.Popen[bytes]] = field(default_factory=dict)
    missing: dict[Path, float] = field(default_factory=dict)

    def submit(self, folders: Sequence[Path]) -> None:
        """Start jobs."""
        for folder in folders:
            command = [sys.executable, str(Path(local_job.__file__)), str(folder), str(self.seconds)]
            self.missing.pop(folder, None)
            (folder / SUBMITTED).touch()
            self.started[folder] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )

    def states(self, folders: Sequence[Path]) -> dict[Path, State]:
        """Where each job is."""
        return {folder: self._state(folder) for folder in folders}

    def _state(self, folder: Path) -> State:
        process = self.started.get(folder)
        if process is not None and process.poll() is None:
            return State(RUNNING)
        if found := ended(folder):
            return found
        if locked(folder / LOCK):
            return State(RUNNING)
        if found := ended(folder):  # it has ended between the two looks
            return found
        if not (folder / SUBMITTED).exists():
            return State(NEW)
        first = self.missing.setdefault(folder, time.monotonic())
        if process is None and time.monotonic() - first < GRACE:
            return State(RUNNING)
        if not (folder / LOCK).exists():
            return State(NEW)
        return State(GONE, reason="its processes ended without a word: killed, or the machine went down")

    def cancel(self, folders: Sequence[Path]) -> None:
        """End jobs that run on this machine, whoever started them."""
        for folder in folders:
            process = self.started.get(folder)
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
            elif locked(folder / LOCK):
                host, _, number = (folder / LOCK).read_text().partition(" ")
                if host == socket.gethostname() and number.strip().isdigit():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(int(number), signal.SIGTERM)  # a session's number is not used again before


@dataclass
class Slurm:
    """SLURM's arrays: one sbatch for many jobs, one squeue and one sacct for the states of all.

    Parameters
    ----------
    folder : Path
        Where the scripts of the arrays are kept. Each has a name of its own, by which an array is found again
        if the program was killed before it had noted its number.
    head : str
        The #SBATCH lines of the user.
    at_once : int
        Tasks of an array that run at once.
    """

    folder: Path
    head: str
    at_once: int
    limit: int = 10**6

    def submit(self, folders: Sequence[Path]) -> None:
        """Submit jobs as arrays."""
        for first in range(0, len(folders), MOST):
            number = 1 + len(list(self.folder.glob("array_*.json")))
            own = folders[first : first + MOST]
            path = self.folder / f"array_{number:03d}.json"
            name = f"bnnp-{hash_number(str(self.folder.resolve())):08d}-{number:03d}"
            record = {"name": name, "jobs": [os.path.relpath(each, self.folder) for each in own]}
            self._write_script(path.with_suffix(".sh"), name, record["jobs"])
            write_json(path, record)
            write_json(path, {**record, "id": self._sbatch(path, name, len(own))})

    def _write_script(self, path: Path, name: str, jobs: Iterable[str]) -> None:
        words = " ".join(map(shlex.quote, jobs))
        lines = [
            "#!/bin/bash",
            *[line for line in self.head.splitlines() if line.startswith("#SBATCH")],
            f"jobs=({words})",
            f'cd {shlex.quote(str(self.folder.resolve()))}/"${{jobs[$SLURM_ARRAY_TASK_ID]}}" || exit 1',
            f"[ -e {CODE} ] && exit 0",
            "begin=$SECONDS",
            f"bash {SCRIPT} >> {OUTPUT} 2>&1",
            f'echo "$? $((SECONDS - begin))" > .{CODE}.tmp && mv .{CODE}.tmp {CODE}',
        ]
        with replace_file(path) as file:
            file.write("\n".join([*lines, ""]))

    def _sbatch(self, path: Path, name: str, number: int) -> str:
        script = path.with_suffix(".sh").name
        array = f"--array=0-{number - 1}%{self.at_once}"
        text = call("sbatch", "--parsable", f"--job-name={name}", array, script, folder=self.folder)
        found = text.strip().split(";")[0]
        if not found.isdigit():
            raise InputError(f"sbatch answered `{text.strip()[:80]}`, expected the number of a job")
        return found

    def _arrays(self) -> dict[Path, str]:
        """Number of array and task of each job that was submitted."""
        found: dict[Path, str] = {}
        for path in sorted(self.folder.glob("array_*.json")):
            record = json.loads(path.read_text())
            if "id" not in record:  # the program was killed in between: was it submitted?
                number = self._find(record["name"])
                if number is None:
                    continue
                record["id"] = number
                write_json(path, record)
            found |= {self.folder / job: f"{record['id']}_{task}" for task, job in enumerate(record["jobs"])}
        return found

    def _find(self, name: str) -> str | None:
        """Number of the array of a name, if SLURM knows one."""
        lists = [call("squeue", "--noheader", f"--name={name}", "--format=%A")]
        if shutil.which("sacct"):
            lists.append(call("sacct", "-n", "-X", "-P", f"--name={name}", "--format=JobID"))
        numbers = re.findall(r"^(\d+)", "\n".join(lists), flags=re.MULTILINE)
        return numbers[0] if numbers else None

    def states(self, folders: Sequence[Path]) -> dict[Path, State]:
        """Where each job is."""
        ids = self._arrays()
        known = {folder: ended(folder) for folder in folders}
        open_ = [folder for folder in folders if known[folder] is None and folder in ids]
        words = self._words(sorted({ids[folder].split("_")[0] for folder in open_})) if open_ else {}
        found: dict[Path, State] = {}
        for folder in folders:
            state = known[folder] or ended(folder)
            if state is None:
                state = self._state(folder, words.get(ids[folder])) if folder in ids else State(NEW)
            found[folder] = state
        return found

    def _words(self, numbers: Sequence[str]) -> dict[str, str]:
        """SLURM's word for each task of these arrays, by one squeue and one sacct."""
        user = getpass.getuser()
        text = call("squeue", "--noheader", "--array", f"--user={user}", "--format=%F_%K %T")
        words = dict(line.split()[:2] for line in text.splitlines() if len(line.split()) >= 2)
        if shutil.which("sacct"):
            jobs = ",".join(numbers)
            table = call("sacct", "-n", "-X", "-P", f"--jobs={jobs}", "--format=JobID,State", fails=False)
            rows = (line.split("|") for line in table.splitlines() if "|" in line)
            words = {row[0]: row[1].split()[0] for row in rows} | words
        return words

    def _state(self, folder: Path, word: str | None) -> State:
        if word in PENDING:
            return State(WAITING)
        if word in ("RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING"):
            return State(RUNNING)
        if word == "TIMEOUT":
            return State(ENDED, TIMED_OUT)
        mark = folder / ".missing"  # files of another node may be late: it is gone at the second look
        if word in (None, "COMPLETED") and not mark.exists():
            mark.touch()
            return State(LATE)
        what = "SLURM does not know it any more" if word is None else f"SLURM says {word}"
        return State(GONE, reason=f"{what}, and there is no {CODE}")

    def cancel(self, folders: Sequence[Path]) -> None:
        """End jobs that wait or run."""
        ids = self._arrays()
        if own := [ids[folder] for folder in folders if folder in ids]:
            call("scancel", *own)

    def numbers(self) -> list[str]:
        """Numbers of all arrays."""
        return sorted({number.split("_")[0] for number in self._arrays().values()})


def hash_number(text: str) -> int:
    """A number of eight digits for a text, the same on every machine."""
    return zlib.crc32(text.encode()) % 10**8


def call(*words: str, folder: Path | None = None, fails: bool = True) -> str:
    """What a command of SLURM prints.

    Raises
    ------
    InputError
        It is not there, does not answer, or refuses, with what it said; with `fails` only.
    """
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except FileNotFoundError:
        raise InputError(
            f"`{words[0]}` is not there: `label_queue slurm` needs SLURM's commands; run `bnnp --loop` "
            "on a node that has them, or write `label_queue local`"
        ) from None
    except subprocess.TimeoutExpired:
        raise InputError(
            f"`{words[0]}` did not answer in two minutes; run `bnnp --loop` again later"
        ) from None
    if done.returncode and fails:
        said = done.stderr.strip() or done.stdout.strip() or "nothing"
        raise InputError(
            f"`{shlex.join(words)[:100]}` ended with {done.returncode} and said: {said[-300:]}. Nothing "
            "is lost: mend the cause (limits of the queue, #SBATCH lines) and run `bnnp --loop` again"
        )
    return done.stdout
