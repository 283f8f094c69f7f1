"""``ase.io.read("input.data")`` and ``ase.io.write``: the format ``bnnp-data`` of ASE, for names in .data.

The units are those of the argument ``units``, "metal" or "atomic"; else of input.nn in the same directory;
else RuNNer's, bohr and hartree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ase import Atoms

from bnnp.errors import InputError
from bnnp.io.ase_atoms import from_atoms, to_atoms
from bnnp.io.ase_labels import ENERGY_KEYS
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.settings.keyword_file import KeywordFile
from bnnp.units import ATOMIC, UNITS, Units

LAMMPS_ATOMS = re.compile(rb"^\s*\d+\s+atoms\b", re.MULTILINE)  # `864 atoms` in the header


def read_bnnp_data(
    filename: str | Path, index: int | slice = -1, units: str | None = None
) -> Iterator[Atoms]:
    """Yield structures as Atoms in Angstrom and eV, with energy, forces and stress in a calculator.

    Raises
    ------
    InputError
        With file, line and structure.
    """
    _demand_runner(filename)
    file = StructureFile(filename, require_labels=False)
    chosen = range(len(file))[index]
    for number in [chosen] if isinstance(chosen, int) else chosen:
        yield to_atoms(file[number], _units(filename, units))


def write_bnnp_data(filename: str | Path, images: Atoms | Iterable[Atoms], units: str | None = None) -> None:
    """Replace the file by these structures, with energy and forces where there are any."""
    several = [images] if isinstance(images, Atoms) else images
    unit = _units(filename, units)
    write_structures(Path(filename), (from_atoms(atoms, unit, labels=_labeled(atoms)) for atoms in several))


def _demand_runner(filename: str | Path) -> None:
    """Raise InputError for a data file of LAMMPS, which may have the same extension."""
    path = Path(filename)
    if path.suffix == ".data" and path.is_file():
        with open(path, "rb") as file:
            head = file.read(2000)
        if LAMMPS_ATOMS.search(head):
            raise InputError(
                f"{path} is a data file of LAMMPS; names in .data are read as input.data of bnnp and RuNNer "
                'unless the format is named: ase.io.read(..., format="lammps-data")'
            )


def _units(filename: str | Path, name: str | None) -> Units:
    if name is None:
        settings = Path(filename).resolve().with_name("input.nn")
        return UNITS[KeywordFile(settings).value("units")] if settings.is_file() else ATOMIC
    if name not in UNITS:
        raise InputError(f"units is `{name}`, expected one of {', '.join(UNITS)}")
    return UNITS[name]


def _labeled(atoms: Atoms) -> bool:
    known = {**atoms.info, **getattr(atoms.calc, "results", {})}
    return any(known.get(key) is not None for key in ENERGY_KEYS)
