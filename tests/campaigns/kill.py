"""kill -9 at random moments; then the run is continued, and must give what it gives undisturbed.

python tests/campaigns/kill.py --trials 100 --seed 1 >> results.txt
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from case import DYNAMICS, MPIEXEC, TIMEOUT, Ended, command, copy, demand, environment, make, run

FIRST = 0.3  # share of the duration of an undisturbed run before which nothing is killed: Python starts
AGAIN = 0.4  # chance that a continued run is killed, too


@dataclass(frozen=True)
class Task:
    """What is killed.

    Parameters
    ----------
    name : str
    arguments : list of str
        Of the first run.
    restart : list of str
        Added to continue it.
    files : list of str
        Patterns of the results.
    begin_anew : str
        Message of a run that was killed before there was anything to continue.
    """

    name: str
    arguments: list[str]
    restart: list[str]
    files: list[str]
    begin_anew: str = ""


WEIGHTS = [
    "scaling.data",
    "weights.*.data",
    "uncertainty.data",
    "learning-curve.out",
    "t*.out",
    "potential/*",
]
TASKS = (
    Task("mode 1", ["--mode", "1"], [], ["symmetry_functions.h5"]),
    Task("mode 2", ["--mode", "2"], ["--restart"], WEIGHTS, "there is no training to continue"),
    Task("mode 3", ["--mode", "3"], [], ["*.out", "output.data"]),
    Task("MD", ["--mode", "3"], ["--restart"], ["**/md.out", "**/*.extxyz"], "there is no run to continue"),
    Task("calibration", ["--mode", "3"], [], ["uncertainty.data", "potential/*", "*.out", "output.data"]),
)


def main() -> None:
    """Prepare each task, take its undisturbed results, and kill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="such tasks", choices=[task.name for task in TASKS])
    parser.add_argument("--ranks", type=int, help="runs on so many ranks only")
    parser.add_argument("--keep", type=Path, help="folder for the runs that differ")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as place:
        cases = [
            (task, ranks, *undisturbed(task, ranks, Path(place)))
            for task in TASKS
            for ranks in ((1, 2) if MPIEXEC.exists() else (1,))
            if given.only in (None, task.name) and given.ranks in (None, ranks)
        ]
        faults: Counter[str] = Counter()
        kills = 0
        for trial in range(given.trials):
            task, ranks, source, expected, duration = cases[trial % len(cases)]
            found, killed = disturbed(task, ranks, source, expected, duration, draw)
            kills += killed
            faults.update(found)
            note = "; ".join(found) or "the same"
            print(f"{trial + 1:4d} {task.name:<12} {ranks} ranks, killed {killed} times: {note}", flush=True)
            if found and given.keep:
                copy(source.parent / "run", given.keep / str(trial + 1))
    print(
        f"seed {given.seed}: {given.trials} runs, {kills} kills, faults: {dict(faults) or 'none'}", flush=True
    )


def undisturbed(
    task: Task, ranks: int, place: Path, replicas: int = 20
) -> tuple[Path, dict[str, str], float]:
    """The directory in which a task begins, its results, and how long it takes in seconds.

    Mode 1 has so many copies of the structures.
    """
    source = place / f"{task.name}-{ranks}"
    if task.name == "mode 1":
        make(source, replicas=replicas)
    else:
        copy(former(place, trained=task.name != "mode 2"), source)
        members = f"md_members {ranks}\n" * (ranks > 1)
        more = {"MD": DYNAMICS + members, "calibration": "\ncalibrate\n"}
        with open(source / "input.nn", "a") as file:
            file.write(more.get(task.name, ""))
    folder, start = copy(source, place / "run"), time.monotonic()
    demand(run(folder, *task.arguments, ranks=ranks))
    return source, results(folder, task), time.monotonic() - start


def former(place: Path, trained: bool) -> Path:
    """A directory after mode 1, or after mode 2, made once."""
    source = place / ("trained" if trained else "computed")
    if not source.exists():
        copy(former(place, trained=False), source) if trained else make(source)
        demand(run(source, "--mode", "2" if trained else "1"))
    return source


def results(folder: Path, task: Task) -> dict[str, str]:
    """Checksums of the results, without dates."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in task.files
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def disturbed(
    task: Task, ranks: int, source: Path, expected: dict[str, str], duration: float, draw: random.Random
) -> tuple[list[str], int]:
    """What goes wrong when a task is killed and continued to its end, and how often it was killed."""
    folder, killed, faults = copy(source, source.parent / "run"), 0, []
    more: list[str] = []
    while killed == 0 or draw.random() < AGAIN:
        ended = kill(folder, [*task.arguments, *more], ranks, duration * draw.uniform(FIRST, 1.0))
        faults += [fault for fault in ended.faults if fault != "crash"]
        killed += 1
        more = task.restart
    ended = run(folder, *task.arguments, *more, ranks=ranks)
    (folder / "log").write_text(ended.text)
    if task.begin_anew and task.begin_anew in " ".join(ended.text.split()):
        ended = run(folder, *task.arguments, ranks=ranks)
    faults += ended.faults
    if ended.code != 0:
        faults.append(f"exit code {ended.code}: {ended.text.strip().splitlines()[-1]}")
    found = results(folder, task)
    faults += [f"{name} differs" for name in expected if found.get(name) != expected[name]]
    left = [path.name for path in folder.rglob("*") if path.name.endswith((".part", ".lock"))]
    return faults + [f"{name} is left" for name in left], killed


def kill(folder: Path, arguments: list[str], ranks: int, seconds: float) -> Ended:
    """Start a run and kill all its processes after some seconds."""
    with subprocess.Popen(
        command(arguments, ranks),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            text, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            for number in session(process.pid):
                os.kill(number, signal.SIGKILL)
            text, _ = process.communicate(timeout=TIMEOUT)
    return Ended(process.returncode, text.decode(errors="replace"))


def session(leader: int) -> list[int]:
    """All processes that `leader` started, and itself."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [leader]
    for number in found:
        found += children.get(number, [])
    return found


if __name__ == "__main__":
    main()
