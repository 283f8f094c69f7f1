"""Mode 1 as users run it, timed: the executable under mpiexec, in a temporary folder."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
from benchmark_timing import show_head, show_table

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.structure import Structure

RESULT = "symmetry_functions.h5"
COLUMNS = (
    *("structures", "atoms", "ranks", "wall s", "median", "start", "us/atom", "kB/atom", "peak MB"),
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
    wall : float, seconds
        From start to end of the command.
    size : int, bytes
        Of the result.
    peak : float, bytes
        Largest resident memory of any rank; NaN without /proc.
    balance : float
        Work of the busiest rank over the mean; 1 for one rank.
    kernel : str
        Instruction set.
    """

    wall: float
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
) -> None:
    """Run mode 1 with each number of structures (0: as many as there are) and of ranks, and print a table."""
    rows: list[tuple[object, ...]] = []
    for number in numbers:
        first: tuple[float, float] | None = None
        for size in ranks:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                path = Path(place)
                prepare_folder(directory, path, 1, settings)
                start = min(run_mode_1(path, size).wall for _ in range(repeat))
                structures, atoms = prepare_folder(directory, path, number, settings)
                runs = [run_mode_1(path, size) for _ in range(repeat)]
            best = min(runs, key=lambda run: run.wall)
            now = (best.wall, best.wall - start)
            first = first or now
            shown = (best.wall, median(run.wall for run in runs), start)
            rows.append(
                (structures, atoms, size)
                + tuple(f"{seconds:.2f}" for seconds in shown)
                + (f"{1e6 * now[1] / atoms:.1f}", f"{best.size / atoms / 1e3:.2f}", f"{best.peak / 1e6:.0f}")
                + (f"{best.balance:.3f}", f"{first[0] / now[0]:.2f}", f"{first[1] / now[1]:.2f}")
            )
    words = ", ".join(f"{name} {value}" for name, value in settings.items())
    show_head(best.kernel, f"mode 1, float64, {words}")
    show_table(COLUMNS, rows)


def prepare_folder(source: Path, folder: Path, number: int, settings: Mapping[str, str]) -> tuple[int, int]:
    """Copy input.nn with some `settings` replaced, and input.data repeated; structures and atoms in it."""
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
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begun
    if done.returncode:
        raise InputError(f"mode 1 ended with exit code {done.returncode}:\n{done.stderr[-500:]}")
    peaks = [1024.0 * int(path.read_text()) for path in folder.glob("peak.*")]
    kernel = re.search(r"kernel +(\S+)", done.stdout)
    balance = re.search(r"busiest rank worked ([\d.]+)", done.stdout)
    return Run(
        wall=wall,
        size=(folder / RESULT).stat().st_size,
        peak=max(peaks, default=float("nan")),
        balance=float(balance[1]) if balance else 1.0,
        kernel=kernel[1] if kernel else "unknown",
    )
