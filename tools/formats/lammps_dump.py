"""Text dumps of LAMMPS (`dump custom`) as labeled structures.

Forces are the columns fx fy fz. The energy is the sum of a column of energies per atom (`compute pe/atom`),
or PotEng of the thermo output at the same step. A dump has no stress: the pressure of the thermo output
contains the kinetic part.

ASE reads the frames, but gives them the energy 0 eV; it is replaced here.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO, cast

from ase import Atoms
from ase.calculators.lammps import convert
from ase.io.lammpsrun import iread_lammps_dump_text

from bnnp.errors import InputError

NAMES = re.compile(r"\.(dump|lammpstrj)(\.gz|\.bz2|\.xz)?$")
ENERGY_COLUMN = re.compile(r"[cfv]\d?_\w*(pe|eng|energy)", re.IGNORECASE)
OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@dataclass(frozen=True)
class DumpChoice:
    """How to understand a dump.

    Parameters
    ----------
    types : list of str, optional
        Element of each type, from 1, for dumps without a column `element`.
    units : str
        LAMMPS' `units`: metal, real, ...
    energy_key : str, optional
        The column with the energies per atom.
    log : Path, optional
        Log file with the thermo output.
    """

    types: list[str] | None = None
    units: str = "metal"
    energy_key: str | None = None
    log: Path | None = None


def is_dump(path: Path) -> bool:
    """Whether the name promises a dump."""
    return NAMES.search(path.name) is not None


def read_dump(path: Path, choice: DumpChoice, frames: slice, labels: bool) -> Iterator[Atoms]:
    """The chosen frames, in Angstrom and eV, with energy and forces in their calculators.

    Raises
    ------
    InputError
        Neither a column nor the log has the energy, or elements are unknown.
    """
    energies = read_log(choice.log) if choice.log else {}
    with _open(path) as file, _open(path) as again:
        columns = _columns(file)
        file.seek(0)
        if choice.types is None and "element" not in columns:
            raise InputError(
                f"{path}: no column `element`; name the types from 1 on with --types, e.g. 'Ge Te'"
            )
        images = iread_lammps_dump_text(file, index=slice(None), units=choice.units, specorder=choice.types)
        steps = _steps(again)
        chosen = islice(zip(images, steps, strict=False), frames.start, frames.stop, frames.step)
        for atoms, step in chosen:
            if labels:
                _label(atoms, step, energies, choice, path)
            yield atoms


def _label(atoms: Atoms, step: int, energies: dict[int, float], choice: DumpChoice, path: Path) -> None:
    """Replace the energy."""
    if atoms.calc is None:
        raise InputError(f"{path}: no columns fx fy fz; write them with dump custom, or use --no-labels")
    names = [name for name in atoms.arrays if ENERGY_COLUMN.fullmatch(name)]
    key = choice.energy_key or (names[0] if names else None)
    if key is not None:
        if key not in atoms.arrays:
            raise InputError(f"{path}: no column `{key}`; there are {', '.join(sorted(atoms.arrays))}")
        energy = float(atoms.arrays[key].sum())
    elif step in energies:
        energy = energies[step]
    else:
        where = f"nor step {step} in {choice.log}" if choice.log else "and no --log was given"
        raise InputError(
            f"{path}: no column of energies per atom (compute pe/atom), {where}; forces without an energy "
            "are no label"
        )
    atoms.calc.results["energy"] = convert(energy, "energy", choice.units, "ASE")


def read_log(path: Path) -> dict[int, float]:
    """PotEng of each step, from the thermo tables of a log file, in LAMMPS' units."""
    energies: dict[int, float] = {}
    columns: list[str] = []
    with _open(path) as file:
        for line in file:
            words = line.split()
            if words[:1] == ["Step"]:
                columns = words
            elif columns and len(words) == len(columns) and words[0].isdigit() and "PotEng" in columns:
                energies[int(words[0])] = float(words[columns.index("PotEng")])
            elif words[:2] == ["Loop", "time"]:
                columns = []
    if not energies:
        raise InputError(f"{path}: no thermo table with Step and PotEng (`thermo_style custom step pe`)")
    return energies


def _columns(file: TextIO) -> list[str]:
    """Names of the columns of the first frame."""
    return next((line.split()[2:] for line in file if line.startswith("ITEM: ATOMS")), [])


def _steps(file: TextIO) -> Iterator[int]:
    """Number of the step of each frame."""
    for line in file:
        if line.startswith("ITEM: TIMESTEP"):
            yield int(next(file))


def _open(path: Path) -> TextIO:
    opener = OPENERS.get(path.suffix, open)
    try:
        return cast(TextIO, opener(path, "rt", encoding="utf-8"))  # type: ignore[operator]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
