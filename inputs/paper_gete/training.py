"""Data and trainings of the study: what lies in the folder of results, and how it gets there.

    FOLDER/input.data, test.data, symmetry_functions.h5    mode 1, once for all
    FOLDER/energy_and_forces/dropout_0.05/seed_1/          mode 2: a potential with its calibration

A training that is complete is kept. An ensemble continues from the single network of the same seed.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import ase.io

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.structure import Set, Structure
from bnnp.units import METAL

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from study_tools import run_bnnp  # noqa: E402

DONE = "Normal termination"


@dataclass(frozen=True)
class Block:
    """Consecutive frames of one trajectory: `count` of them, each `every`-th from the frame `first` on."""

    temperature: int
    file: str
    subset: Set | None
    label: str
    first: int
    count: int
    every: int


INSIDE, CALIBRATION_OUTSIDE = (300, 600, 900), 1050
OUTSIDE = {450: 20, 750: 10, 1200: 4, 1350: 4, 1500: 4, 1800: 4}  # every n-th frame
BLOCKS = tuple(
    block
    for t in INSIDE
    for block in (  # gaps of 10 frames before calibration and test
        Block(t, "input.data", Set.TRAIN, f"{t}K", 0, 20, 6),
        Block(t, "input.data", Set.TEST, f"{t}K", 120, 3, 4),  # chooses the epoch
        Block(t, "input.data", Set.CALIBRATION, f"{t}K", 138, 15, 2),
        Block(t, "test.data", None, f"{t}K_held_out", 177, 12, 2),
    )
)
BLOCKS += (Block(CALIBRATION_OUTSIDE, "input.data", Set.OUTSIDE, "1050K", 0, 10, 4),)
BLOCKS += tuple(Block(t, "test.data", None, f"{t}K", 0, 10, every) for t, every in OUTSIDE.items())


@dataclass(frozen=True)
class Arm:
    """One way to make a potential: `dropout_rate` and `ensemble_size`."""

    name: str
    rate: str = "0"
    size: int = 1


ARMS = (
    Arm("dropout_0.05", "0.05"),
    Arm("plain"),
    Arm("dropout_0.1", "0.1"),
    Arm("ensemble_of_4", size=4),
    Arm("4_x_dropout_0.05", "0.05", 4),
)
TARGETS = ("energy_and_forces", "energy_only")


def prepare(folder: Path, base: Path, changes: dict[str, str]) -> None:
    """input.data and test.data from the trajectories in `folder`, and symmetry_functions.h5."""
    base.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(block.file for block in BLOCKS):
        if not (base / name).exists():
            chosen = (block for block in BLOCKS if block.file == name)
            write_structures(base / name, (frame for block in chosen for frame in frames(folder, block)))
    (base / "input.nn").write_text(with_keywords((HERE / "input.nn").read_text(), changes))
    run_bnnp(base, "mode1.log", "--mode", "1")


def frames(folder: Path, block: Block) -> Iterator[Structure]:
    """Those of a block."""
    last = block.first + block.every * (block.count - 1)
    path = folder / f"gete_{block.temperature}K.extxyz.gz"
    for atoms in ase.io.read(path, f"{block.first}:{last + 1}:{block.every}"):
        yield replace(from_atoms(atoms, METAL), subset=block.subset, info={"group": block.label})


def train(base: Path, target: str, arm: Arm, seed: int) -> Path:
    """The directory of a trained and calibrated potential."""
    directory = base / target / arm.name / f"seed_{seed}"
    if complete(directory):
        return directory
    # a member of an ensemble has the seed of the one before + 1
    changes: dict[str, str | None] = {"dropout_rate": arm.rate, "random_seed": str(10 * seed), "threads": "1"}
    if target == "energy_only":
        changes["use_short_forces"] = ".false."
    if arm.size > 1:
        single = next(each for each in ARMS if (each.rate, each.size) == (arm.rate, 1))
        if not directory.exists():
            draft = directory.with_name(f"draft_{seed}")
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(train(base, target, single, seed), draft, copy_function=copy)
            (draft / "mode2.log").unlink()
            draft.rename(directory)
        changes["ensemble_size"] = str(arm.size)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "input.nn").write_text(with_keywords((base / "input.nn").read_text(), changes))
    if not (directory / "symmetry_functions.h5").exists():
        os.link(base / "symmetry_functions.h5", directory / "symmetry_functions.h5")
    run_bnnp(directory, "mode2.log", "--mode", "2", *(["--restart"] if arm.size > 1 else []))
    return directory


def complete(directory: Path) -> bool:
    """Whether mode 2 has come to its end."""
    log = directory / "mode2.log"
    return log.is_file() and DONE in log.read_text()


def copy(source: str, target: str) -> None:
    """A copy of a file; large ones share their place on the disk."""
    (os.link if source.endswith(".h5") else shutil.copy)(source, target)


def with_keywords(text: str, changes: dict[str, str] | dict[str, str | None]) -> str:
    """input.nn with keywords set to other values, or taken out (None)."""
    for name, value in changes.items():
        line = "" if value is None else f"{name} {value}  "
        text, count = re.subn(rf"^{name}\b[^#\n]*", line, text, flags=re.MULTILINE)
        text += "" if count or value is None else f"{line}\n"
    return text
