"""SIGINT and SIGTERM at random moments; the run ends in one sentence, and some are continued to the end.

python tests/campaigns/signals.py --trials 240 --seed 1 >> results.txt

A signal goes to the process that was started, which is mpiexec where there are several ranks, or to all
processes, as Ctrl-C in a terminal and the end of a batch job do.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from case import MPIEXEC, ROOT, Ended, command, copy, environment, run
from kill import TASKS, Task, results, session, undisturbed

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS = 60.0  # in which a run must end
PATIENCE = 10.0  # seconds in which all its processes must
CONTINUED = 0.3  # share of the runs that are continued, as `kill.py` does with all
LATEST = 0.9  # share of the duration of an undisturbed run
ENDS = re.compile(
    r"^(?:Interrupted|Ended by signal|signal SIG\w+|.*Stopped by (?:signal|Ctrl-C))", re.MULTILINE
)


def main() -> None:
    """Prepare each task, take its undisturbed results, and send signals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="such tasks", choices=[task.name for task in TASKS])
    parser.add_argument("--ranks", type=int, help="runs on so many ranks only")
    parser.add_argument("--keep", type=Path, help="folder for the runs with a fault")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as place:
        cases = [
            (task, ranks, *undisturbed(task, ranks, Path(place), replicas=2))
            for task in TASKS
            for ranks in ((1, 2) if MPIEXEC.exists() else (1,))
            if given.only in (None, task.name) and given.ranks in (None, ranks)
        ]
        faults: Counter[str] = Counter()
        for trial in range(given.trials):
            task, ranks, source, expected, duration = cases[trial % len(cases)]
            number, to_all = draw.choice(SIGNALS), draw.random() < 0.5
            moment = duration * draw.uniform(0.0, LATEST)
            folder = copy(source, source.parent / "run")
            ended, orphans = interrupted(folder, command(task.arguments, ranks), number, to_all, moment)
            (folder / "signaled").write_text(ended.text)
            found = judged(ended, number, orphans) + left(folder)
            if draw.random() < CONTINUED:
                found += resumed(folder, task, ranks, expected)
            faults.update(found)
            whom = "all" if to_all else "one"
            note = "; ".join(found) or "good"
            print(
                f"{trial + 1:4d} {task.name:<12} {ranks} ranks, {signal.Signals(number).name} to {whom} at "
                f"{moment:.2f} s of {duration:.2f}, code {ended.code}: {note}",
                flush=True,
            )
            if found and given.keep:
                copy(folder, given.keep / str(trial + 1))
    print(f"seed {given.seed}: {given.trials} runs, faults: {dict(faults) or 'none'}", flush=True)


def interrupted(
    folder: Path, words: list[str], number: signal.Signals, to_all: bool, seconds: float
) -> tuple[Ended, list[int]]:
    """A run that gets a signal after some seconds, and which of its processes are left."""
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # not ignored, as in a background job
    ) as process:
        try:
            text, _ = process.communicate(timeout=seconds)
            return Ended(process.returncode, text.decode(errors="replace")), []
        except subprocess.TimeoutExpired:
            members = session(process.pid)
        for member in members if to_all else members[:1]:
            with suppress(ProcessLookupError):
                os.kill(member, number)
        try:
            text, _ = process.communicate(timeout=SECONDS)
            code = process.returncode
        except subprocess.TimeoutExpired:
            code = None
        end = time.monotonic() + PATIENCE
        while (orphans := [member for member in members if runs(member)]) and time.monotonic() < end:
            time.sleep(0.1)
        for member in orphans:
            with suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        if code is None:
            text, _ = process.communicate()
    return Ended(code, text.decode(errors="replace")), orphans


def runs(number: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def judged(ended: Ended, number: signal.Signals, orphans: list[int]) -> list[str]:
    """What is wrong with how a run ended."""
    if too_early(ended, number):
        return ["orphans"] * bool(orphans)
    faults = [*ended.faults] if ended.code is None or ended.code >= 0 else [f"killed by {-ended.code}"]
    if ended.code not in (None, 0, 128 + number):
        faults.append(f"exit code {ended.code}")
    if ended.code == 128 + number and len(ENDS.findall(ended.text)) > 1:
        faults.append("two messages")
    return faults + ["orphans"] * bool(orphans)


def too_early(ended: Ended, number: signal.Signals) -> bool:
    """Whether the signal came before bnnp: it has ended mpiexec or Python while these were starting."""
    by_signal = ended.code == -number and not ended.text
    by_mpiexec = ended.code == number and f"signal {number:d}" in ended.text
    by_python = "Traceback" in ended.text and f"{ROOT}/bnnp/" not in ended.text
    return by_signal or by_mpiexec or by_python


def left(folder: Path) -> list[str]:
    """Files that a run must not leave; mode 1 continues with what it has written of its own."""
    return [
        f"{path.name} is left"
        for path in folder.rglob("*")
        if path.name.endswith((".part", ".lock", ".tmp")) and path.name != "symmetry_functions.h5.part"
    ]


def resumed(folder: Path, task: Task, ranks: int, expected: dict[str, str]) -> list[str]:
    """What differs when the run is continued, or begun anew where there is nothing to continue."""
    ended = run(folder, *task.arguments, *task.restart, ranks=ranks)
    if task.begin_anew and task.begin_anew in " ".join(ended.text.split()):
        ended = run(folder, *task.arguments, ranks=ranks)
    (folder / "log").write_text(ended.text)
    if ended.code != 0:
        return [f"exit code {ended.code} when continued"]
    found = results(folder, task)
    return [f"{name} differs" for name in expected if found.get(name) != expected[name]]


if __name__ == "__main__":
    main()
