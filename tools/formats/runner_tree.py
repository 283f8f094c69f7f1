"""Directories of RuNNer or n2p2: every input.data in them, in the units of the input.nn beside it.

Where n2p2's nnp-train has left train.data and test.data and no input.data is there, these are read, and their
structures pinned to the sets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from data_units import input_units, reason_of_units

from bnnp.io.input_data import read_structures
from bnnp.messages import count
from bnnp.structure import Set, Structure
from bnnp.units import Units
from formats.change_units import change_units

SETS = {"train.data": Set.TRAIN, "test.data": Set.TEST}


def find_data(path: Path) -> list[Path]:
    """The files of structures in a directory and below it."""
    folders = sorted({file.parent for name in ("input.data", *SETS) for file in path.rglob(name)})
    return [file for folder in folders for file in _files(folder)]


def _files(folder: Path) -> list[Path]:
    whole = folder / "input.data"
    return [whole] if whole.is_file() else [folder / name for name in SETS if (folder / name).is_file()]


def read_tree(
    path: Path, units: Units, said: Units | None, labels: bool, remarks: list[str]
) -> Iterator[Structure]:
    """The structures of all files in a directory, in `units`.

    RuNNer and n2p2 have no keyword for it: RuNNer's data is in bohr and hartree, n2p2's in anything. So where
    no input.nn states `units`, those of --units count (`said`). `remarks` are told which count, and why.
    """
    found: Counter[str] = Counter()
    for file in find_data(path):
        own = input_units(file, said, contradict=True)
        found[f"{own.length} and {own.energy} ({reason_of_units(file, said)})"] += 1
        for number, structure in enumerate(read_structures(file, None, labels), 1):
            info = dict(structure.info)
            info.setdefault("source", f"{'/'.join(file.parts[-2:])}:{number}")
            subset = structure.subset or SETS.get(file.name)
            yield change_units(replace(structure, info=info, subset=subset), own, units)
    remarks += [f"{count(number, 'file')} of {path} read in {how}" for how, number in found.items()]
