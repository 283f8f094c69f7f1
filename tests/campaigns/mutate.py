"""Damaged files of all kinds: bits, numbers, lines and pieces changed at random, one change a run.

A run may refuse the file or, where the change is a possible input, work with it; it must not print a
traceback, hang, crash, or write NaN. Of files with checksums (symmetry_functions.h5, the restart files, the
potential) a run that ends well must give what the undamaged file gives. A structure that was converted from a
damaged file must be one of the undamaged file with a few numbers changed, never with labels of two of them.

python tests/campaigns/mutate.py --trials 1000 --seed 1 >> results.txt
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import runpy
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from case import DYNAMICS, ROOT, Ended, copy, demand, make, run
from labeled_files import write_files

if TYPE_CHECKING:
    from bnnp.structure import Structure

sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
LIMIT = 60.0  # seconds after which a run hangs
STRUCTURES = 40
MOST_CHANGED = 30  # numbers in 200 bytes of a binary file, and some of the next row
NUMBERS = (b"nan", b"inf", b"-1", b"0", b"1e308", b"-1e-308", b"99999999999999999999", b"****", b"1.2.3", b"")
NAN = re.compile(r"(?<![a-z_])nan(?![a-z_])", re.IGNORECASE)
NO_REFERENCE = {"learning-curve.out"}  # columns of what is not there are NaN


@dataclass(frozen=True)
class Target:
    """A file, the arguments of bnnp or the script that reads it, and whether it has a checksum."""

    file: str
    prepared: str
    arguments: tuple[str, ...]
    protected: bool = False


CONVERT = "tools/convert.py"
DEEPMD = ("coord", "box", "energy", "force", "virial")
TARGETS = (
    Target("input.nn", "data", ("--mode", "1")),
    Target("input.data", "data", ("--mode", "1")),
    Target("input.data", "data", ("--check",)),
    Target("input.nn", "trained", ("--mode", "3")),
    Target("input.data", "trained", ("--mode", "3")),
    Target("symmetry_functions.h5", "functions", ("--mode", "2"), True),
    Target("symmetry_functions.h5", "functions", ("--mode", "2"), True),
    Target("checkpoint.npz", "stopped", ("--mode", "2", "--restart"), True),
    Target("scaling.data", "trained", ("--mode", "3"), True),
    Target("weights.029.data", "trained", ("--mode", "3"), True),
    Target("uncertainty.data", "trained", ("--mode", "3"), True),
    Target("frames.extxyz", "labeled", (CONVERT, "frames.extxyz", "made.data")),
    Target("ML_AB", "labeled", ("tools/vasp2data.py", "ML_AB", "made.data")),
    Target("vaspout.h5", "labeled", ("tools/vasp2data.py", "vaspout.h5", "made.data")),
    *(Target(f"npy/set.000/{name}.npy", "labeled", (CONVERT, "npy", "made.data")) for name in DEEPMD),
    *(Target(f"raw/{name}.raw", "labeled", (CONVERT, "raw", "made.data")) for name in (*DEEPMD, "type")),
    Target("systems.hdf5", "labeled", (CONVERT, "systems.hdf5", "made.data")),
    Target("systems.hdf5", "labeled", (CONVERT, "systems.hdf5", "made.data")),
    Target("pe.dump", "labeled", (CONVERT, "pe.dump", "made.data")),
    Target("md.dump", "labeled", (CONVERT, "--log", "log.lammps", "md.dump", "made.data")),
    Target("log.lammps", "labeled", (CONVERT, "--log", "log.lammps", "md.dump", "made.data")),
    Target("log.yaml", "labeled", (CONVERT, "--log", "log.yaml", "md.dump", "made.data")),
    Target("OUTCAR", "files", ("tools/vasp2data.py", "OUTCAR", "made.data")),
    Target("vasprun.xml", "files", ("tools/vasp2data.py", "vasprun.xml", "made.data")),
    Target("trajectory.extxyz", "moved", ("tools/analyze_trajectory.py", "trajectory.extxyz", "--rdf")),
    Target("md_restart.npz", "moved", ("--mode", "3", "--restart"), True),
)
RESULTS = (
    "weights.*.data",
    "scaling.data",
    "energy.out",
    "nnforces.out",
    "md.out",
    "trajectory.extxyz",
    "made.data",
)


def main() -> None:
    """Prepare the files, damage them, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="targets prepared in this directory: data, trained, labeled, ...")
    given = parser.parse_args()
    targets = [one for one in TARGETS if given.only in (None, one.prepared)]
    draw, faults, refused = random.Random(given.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as place:
        prepared = prepare(Path(place))
        load_libraries()
        folder = Path(place) / "run"
        expected = {target: undamaged(prepared, target, folder) for target in targets}
        for trial in range(given.trials):
            target = targets[trial % len(targets)]
            copy(prepared[target.prepared], folder)
            change = damage(folder / target.file, draw)
            ended = forked(folder, target.arguments)
            found = judge(folder, target, change, ended, expected[target])
            refused += ended.code == 1
            faults.update(found)
            for fault in found:
                print(f"{trial + 1:5d} {target.file} {' '.join(target.arguments)}: {change}: {fault}")
                print("      " + "\n      ".join(ended.text.strip().splitlines()[-4:]), flush=True)
    print(
        f"seed {given.seed}: {given.trials} damaged files, {refused} refused, "
        f"faults: {dict(faults) or 'none'}",
        flush=True,
    )


def prepare(place: Path) -> dict[str, Path]:
    """Directories before mode 1, before mode 2, after a stopped and a finished training, after dynamics."""
    data = make(place / "data", epochs=2)
    blocks = (data / "input.data").read_text().split("begin")
    (data / "input.data").write_text("begin".join(blocks[: STRUCTURES + 1]))
    functions = copy(data, place / "functions")
    demand(run(functions, "--mode", "1"))
    stopped = copy(functions, place / "stopped")
    demand(run(stopped, "--mode", "2"))
    trained = copy(stopped, place / "trained")
    text = (stopped / "input.nn").read_text()
    (stopped / "input.nn").write_text(text.replace("epochs 2", "epochs 3"))
    moved = copy(trained, place / "moved")
    dynamics = DYNAMICS.replace("1500", "20").replace("md_write_every 50", "md_write_every 5")
    with open(moved / "input.nn", "a") as file:
        file.write(dynamics)
    demand(run(moved, "--mode", "3"))
    text = (moved / "input.nn").read_text()
    (moved / "input.nn").write_text(text.replace("md_steps 20", "md_steps 40"))
    files = place / "files"
    files.mkdir()
    example = [sys.executable, str(ROOT / "tools" / "make_vasp_example.py"), "runs", "--frames", "4"]
    demand(run(files, words=[*example, "--temperatures", "300", "--temperatures", "600"]))
    for path in [*files.glob("runs/*/OUTCAR"), *files.glob("runs/*/vasprun.xml")]:
        path.rename(files / path.name)
    labeled = place / "labeled"
    labeled.mkdir()
    write_files(labeled)
    return {path.name: path for path in (data, functions, stopped, trained, moved, files, labeled)}


def load_libraries() -> None:
    """Load once what every run needs, so that a run is a fork of this process."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    from importlib import import_module

    from bnnp import cli

    for module, _ in (*cli.MODES.values(), cli.DYNAMICS, cli.CHECK):
        import_module(module)


def forked(folder: Path, arguments: tuple[str, ...]) -> Ended:
    """Run bnnp in a fork of this process, its output in a file."""
    log = folder / "log"
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        file = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        from bnnp.cli import main as bnnp

        code = 99
        try:
            if arguments[0].endswith(".py"):
                sys.argv = list(arguments)
                runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
            else:
                bnnp(list(arguments))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return Ended(os.waitstatus_to_exitcode(status), log.read_text(errors="replace"))
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return Ended(None, log.read_text(errors="replace"))


def damage(path: Path, draw: random.Random) -> str:
    """Change the file in one place; returns what was done."""
    data = bytearray(path.read_bytes())
    place, length = draw.randrange(len(data)), draw.randint(1, 200)
    kind = draw.choice(["bit", "byte", "cut", "piece", "twice", "zeros", "number", "lines", "binary"])
    if kind == "bit":
        data[place] ^= 1 << draw.randrange(8)
    elif kind == "byte":
        data[place] = draw.randrange(256)
    elif kind == "cut":
        del data[place:]
    elif kind == "piece":
        del data[place : place + length]
    elif kind == "twice":
        data[place:place] = data[place : place + length]
    elif kind == "zeros":
        data[place : place + length] = bytes(min(length, len(data) - place))
    elif kind == "binary":
        data[place:place] = draw.randbytes(length)
    elif kind == "number" and (found := list(re.finditer(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?", data))):
        word = draw.choice(found)
        data[word.start() : word.end()] = draw.choice(NUMBERS)
    else:
        lines = bytes(data).splitlines(keepends=True)
        one, two = draw.randrange(len(lines)), draw.randrange(len(lines))
        lines[one], lines[two] = lines[two], lines[one]
        data = bytearray(b"".join(lines))
    path.write_bytes(data)
    return f"{kind} at {place}"


def undamaged(prepared: dict[str, Path], target: Target, folder: Path) -> dict[str, bytes]:
    """Results of the undamaged file."""
    copy(prepared[target.prepared], folder)
    demand(forked(folder, target.arguments))
    return results(folder)


def results(folder: Path) -> dict[str, bytes]:
    """Contents of the files that a run writes."""
    paths = [path for pattern in RESULTS for path in folder.glob(pattern)]
    return {path.name: path.read_bytes() for path in paths}


def judge(folder: Path, target: Target, change: str, ended: Ended, expected: dict[str, bytes]) -> list[str]:
    """What went wrong."""
    faults = ended.faults
    if ended.code not in (0, 1, 2, 3, None) and not faults:
        faults.append(f"exit code {ended.code}")
    if ended.code == 1 and "error: " not in ended.text.lower():
        faults.append("no message")
    if ended.code != 0:
        return faults
    for name, content in results(folder).items():
        if name == target.file:
            continue
        if target.protected and expected.get(name) != content:
            faults.append(f"accepted, and {name} differs")
        elif name not in NO_REFERENCE and not target.protected and has_nan(folder / name):
            faults.append(f"NaN in {name}")
    exchanged = change.startswith("lines")  # rows of a table: another file without damage
    if target.prepared in ("labeled", "files") and not exchanged:
        faults += wrong_labels(folder / "made.data", expected["made.data"])
    return faults


def wrong_labels(made: Path, expected: bytes) -> list[str]:
    """Structures that are none of the file with a few numbers changed.

    Labels of one structure at another, or numbers in other places, are a fault; numbers that are none of the
    file, or one of them, are the damage itself, which nobody can see.
    """
    from bnnp.errors import BnnpError
    from bnnp.io.input_data import read_structures

    original = made.with_name("expected.data")
    original.write_bytes(expected)
    whole = [values(structure) for structure in read_structures(original)]
    known = {number for structure in whole for array in structure for number in array} - {0.0}
    faults = []
    try:
        structures = list(read_structures(made))
    except BnnpError:
        return []  # mode 1 refuses it
    for structure in structures:
        found = values(structure)
        nearest = min(whole, key=lambda other: len(changed(found, other)))
        wrong = changed(found, nearest)
        foreign = [number for number in wrong if number not in known]
        if len(wrong) - len(foreign) > 1:
            faults.append("numbers of another place")
        elif len(foreign) > MOST_CHANGED:
            faults.append("many numbers changed")
    return faults[:1]


def values(structure: Structure) -> list[tuple[float, ...]]:
    """Elements, positions, cell, energy, forces and stress as numbers of ten digits."""
    parts = (structure.numbers, structure.positions, structure.cell, structure.energy, structure.forces)
    return [
        tuple(float(f"{x:.9e}") for x in np.ravel([] if part is None else part))
        for part in (*parts, structure.stress)
    ]


def changed(found: list[tuple[float, ...]], other: list[tuple[float, ...]]) -> list[float]:
    """Numbers of a structure that are not at their places in the other one."""
    return [
        number
        for mine, its in zip(found, other, strict=True)
        for number, former in zip_longest(mine, its)
        if number is not None and number != former
    ]


def has_nan(path: Path) -> bool:
    """Whether a column that is no reference has NaN."""
    with contextlib.suppress(UnicodeDecodeError):
        lines = path.read_text().splitlines()
        names = next((line[1:].partition("|")[0].split() for line in lines if line.startswith("#")), [])
        for line in lines:
            words = line.split()
            for name, word in zip(names, words, strict=False):
                if NAN.fullmatch(word) and "Ref" not in name and "diff" not in name:
                    return True
    return False


if __name__ == "__main__":
    main()
