"""Mode 1 as users run it, timed: the executable under mpiexec, in a temporary folder."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from benchmark_timing import Measurement, Results, measure, median, show_head, show_table, spread

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.structure import Structure

RESULT = "symmetry_functions.h5"
COLUMNS = (
    *("structures", "atoms", "ranks", "cpu s", "wall s", "+-", "start", "us/atom", "kB/atom", "peak MB"),
    *("balance", "speed-up", "without start"),
)
MPIEXEC = Path(sys.executable).with_name("mpiexec")
# the program itself, which leaves the largest memory of its process behind
PROGRAM = """
import atexit, os, re, runpy
def leave():
    with open("/proc/self/status") as status, open(f"peak.{os.getpid()}", "w") as file:
        file.write(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1])
atexit.register(leave)
runpy.run_module("bnnp", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Run:
    """One run of mode 1.

    Parameters
    ----------
    size : int, bytes
        Of the result.
    peak : float, bytes
        Largest resident memory of any rank; NaN without /proc.
    balance : float
        Work of the busiest rank over the mean; 1 for one rank.
    kernel : str
        Instruction set.
    """

    size: int
    peak: float
    balance: float
    kernel: str


def time_mode_1(
    directory: Path,
    ranks: Sequence[int],
    numbers: Sequence[int],
    settings: Mapping[str, str],
    repeat: int,
    folder: Path | None,
    results: Results,
) -> None:
    """Run mode 1 with each number of structures (0: as many as there are) and of ranks, and print a table.

    All numbers of ranks, and their runs on one structure, alternate; speed-ups are medians over the rounds.
    """
    rows: list[tuple[object, ...]] = []
    last: dict[tuple[int, str], Run] = {}

    def run(path: Path, size: int, kind: str) -> None:
        last[size, kind] = run_mode_1(path, size)

    for number in numbers:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            start, full = Path(place) / "start", Path(place) / "full"
            prepare_folder(directory, start, 1, settings)
            structures, atoms = prepare_folder(directory, full, number, settings)
            kinds = {"start": start, "full": full}
            cases = [(size, kind) for size in ranks for kind in kinds]
            calls = {f"{size} {kind}": partial(run, kinds[kind], size, kind) for size, kind in cases}
            found = measure(calls, repeat, math.inf)
        first = found[f"{ranks[0]} full"], found[f"{ranks[0]} start"]
        for size in ranks:
            now, begin, one = found[f"{size} full"], found[f"{size} start"], last[size, "full"]
            results.add(now.per(atoms), directory.resolve().name, f"mode 1, {atoms} atoms, {size} ranks")
            net = without(now, begin)
            fastest = [t / n for t, n in zip(first[0].wall, now.wall, strict=True)]
            net_fastest = [t / n for t, n in zip(without(*first), net, strict=True)]
            shown = median(now.processor), median(now.wall), spread(now.wall), median(begin.wall)
            rows.append(
                (structures, atoms, size)
                + tuple(f"{seconds:.2f}" for seconds in shown)
                + (f"{1e6 * median(net) / atoms:.1f}", f"{one.size / atoms / 1e3:.2f}")
                + (f"{one.peak / 1e6:.0f}", f"{one.balance:.3f}")
                + (f"{median(fastest):.2f}", f"{median(net_fastest):.2f}")
            )
    words = ", ".join(f"{name} {value}" for name, value in settings.items())
    show_head(one.kernel, f"mode 1, float64, {words}")
    show_table(COLUMNS, rows)


def without(full: Measurement, start: Measurement) -> list[float]:
    """Wall seconds of each round beyond those of the run on one structure."""
    return [late - early for late, early in zip(full.wall, start.wall, strict=True)]


def prepare_folder(source: Path, folder: Path, number: int, settings: Mapping[str, str]) -> tuple[int, int]:
    """Copy input.nn with some `settings` replaced, and input.data repeated; structures and atoms in it."""
    folder.mkdir()
    lines = (source / "input.nn").read_text().splitlines()
    kept = [line for line in lines if line.split()[:1] not in [[name] for name in settings]]
    changed = [f"{name} {value}" for name, value in settings.items()]
    (folder / "input.nn").write_text("\n".join([*kept, *changed]) + "\n")
    data = StructureFile(source / "input.data")
    number = number or len(data)
    write_structures(folder / "input.data", repeated(data, number))
    return number, int(data.n_atoms[np.arange(number) % len(data)].sum())


def repeated(data: StructureFile, number: int) -> Iterator[Structure]:
    """The structures of a file from the first, over and over, `number` in all."""
    return islice(cycle(data), number)


def run_mode_1(folder: Path, ranks: int) -> Run:
    """Run mode 1 from the beginning.

    Raises
    ------
    InputError
        There is no mpiexec, or the run failed.
    """
    for path in (*folder.glob(f"{RESULT}*"), *folder.glob("peak.*")):
        path.unlink()
    if ranks > 1 and not MPIEXEC.exists():
        raise InputError(f"{MPIEXEC} is not there, so there is one rank only; pip install mpich")
    launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks > 1 else []
    command = [*launcher, sys.executable, "-c", PROGRAM, "--mode", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"mode 1 ended with exit code {done.returncode}:\n{done.stderr[-500:]}")
    peaks = [1024.0 * int(path.read_text()) for path in folder.glob("peak.*")]
    kernel = re.search(r"kernel +(\S+)", done.stdout)
    balance = re.search(r"busiest rank worked ([\d.]+)", done.stdout)
    return Run(
        size=(folder / RESULT).stat().st_size,
        peak=max(peaks, default=float("nan")),
        balance=float(balance[1]) if balance else 1.0,
        kernel=kernel[1] if kernel else "unknown",
    )
