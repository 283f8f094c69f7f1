"""Text dumps of LAMMPS (`dump custom`) as labeled structures.

Forces are the columns fx fy fz. The energy is the sum of a column of potential energies per atom (`compute
pe/atom`), or PotEng of the thermo output at the same step. A dump has no stress: the pressure of the thermo
output contains the kinetic part. Units are those that dump or log state, else those of --lammps-units.

ASE reads the frames, but gives them the energy 0 eV and takes types for atomic numbers; both are replaced.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO, cast

import numpy as np
from ase import Atoms
from ase.calculators.lammps import convert
from ase.calculators.lammps.unitconvert import UNITSETS
from ase.io.lammpsrun import iread_lammps_dump_text

from bnnp.errors import InputError
from bnnp.messages import count
from formats.lammps_log import ThermoLog, read_log

NAMES = re.compile(r"\.(dump|lammpstrj)(\.gz|\.bz2|\.xz)?$")
ENERGY_COLUMN = re.compile(  # c_pe, c_my_pe, c_peatom, v_eng, f_energy[1]; c_pea, c_peratom
    r"[cfv]\d?_((\w*_)?[kp]e|\w*(eng|energy))\d*(_?(per)?_?atoms?)?(\[\d+\])?|c_(\w*_)?pe(a|ratom)",
    re.IGNORECASE,
)
COMPUTED = re.compile(r"[cfv]\d?_|[id]2?_")  # by computes, fixes, variables; properties of the user
NO_POTENTIAL_ENERGY = re.compile(
    r"ke|kin|tot|ave|avg|mean", re.IGNORECASE
)  # kinetic, total, of several steps
AGREES = 1e-4  # relative difference of the energy of column and log: digits of the output, tail corrections
PARTS = ("TIMESTEP", "NUMBER OF ATOMS", "BOX BOUNDS", "ATOMS")  # of a frame
CUT = "the file is damaged or cut off: take the frames before with --max, or remove this one"
OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@dataclass(frozen=True)
class DumpChoice:
    """How to understand a dump.

    Parameters
    ----------
    types : list of str, optional
        Element of each type, from 1, for dumps without a column `element`.
    units : str, optional
        LAMMPS' `units` (metal, real, ...), where neither dump nor log says them; metal by default.
    energy_key : str, optional
        The column with the energies per atom.
    log : Path, optional
        Log file with the thermo output.
    """

    types: list[str] | None = None
    units: str | None = None
    energy_key: str | None = None
    log: Path | None = None


def is_dump(path: Path) -> bool:
    """Whether the name promises a dump."""
    return NAMES.search(path.name) is not None


def read_dump(
    path: Path, choice: DumpChoice, frames: slice, labels: bool, remarks: list[str]
) -> Iterator[Atoms]:
    """The chosen frames, in Angstrom and eV, with energy and forces in their calculators.

    `remarks` gets what had to be assumed, and what was left aside.

    Raises
    ------
    InputError
        Neither a column nor the log has the energy, or both have, and different ones; elements are unknown;
        options contradict the files.
    """
    with _open(path) as file, _open(path) as again:
        columns, stated = _head(file)
        log = None
        if choice.log:
            with _open(choice.log) as text:
                log = read_log(text, choice.log)
            if log.pressures and labels:
                remarks.append(
                    f"no structure has a stress: {', '.join(log.pressures)} of {choice.log} would bring the "
                    "motion of the atoms, which a stress of the potential does not contain"
                )
        units = _units(path, choice, stated, log, remarks)
        file.seek(0)
        if choice.types is None and "element" not in columns:
            raise InputError(
                f"{path}: no column `element`; name the types from 1 on with --types, e.g. 'Ge Te'"
            )
        images = iread_lammps_dump_text(file, index=slice(None), units=units)
        column = _energy_column(columns, choice.energy_key, path, remarks) if labels else None
        energies = _Energies(column, log, choice)
        pairs = zip(_steps(again, path), images, strict=False)
        for step, atoms in islice(pairs, frames.start, frames.stop, frames.step):
            where = f"{path} step {step}"
            if choice.types is not None:
                _set_elements(atoms, choice.types, "element" in columns, where)
            if labels:
                energy = energies.of(atoms, step, where)
                atoms.calc.results["energy"] = convert(energy, "energy", units, "ASE")
            yield atoms


def _units(
    path: Path, choice: DumpChoice, stated: str | None, log: ThermoLog | None, remarks: list[str]
) -> str:
    """LAMMPS' units: one word from dump, log and option."""
    said = {f"{path}": stated, f"{choice.log}": log.units if log else None, "--lammps-units": choice.units}
    known = {where: units for where, units in said.items() if units is not None}
    if len(set(known.values())) > 1:
        texts = ", ".join(f"{where} says `{units}`" for where, units in known.items())
        raise InputError(
            f"contradicting units of LAMMPS: {texts}; leave out the option, or name the right log"
        )
    if not known:
        remarks.append(f"{path} states no units: read in LAMMPS' units metal; --lammps-units names others")
    units = next(iter(known.values()), "metal")
    if units not in UNITSETS:
        names = ", ".join(sorted(set(UNITSETS) - {"ASE"}))
        raise InputError(f"{path}: units `{units}` of LAMMPS cannot be converted; expected one of {names}")
    return units


def _set_elements(atoms: Atoms, types: list[str], known: bool, where: str) -> None:
    """Elements by types; where the dump has a column `element`, both must agree."""
    found = atoms.arrays.get("type")
    if found is None:
        raise InputError(f"{where}: no column `type`, which --types is for")
    if found.min() < 1 or found.max() > len(types):
        raise InputError(
            f"{where}: types go from {found.min()} to {found.max()}, but --types names {len(types)} from 1 on"
        )
    symbols = np.array(types)[found - 1].tolist()
    if known and symbols != list(atoms.symbols):
        raise InputError(f"{where}: --types contradicts the column `element`; leave --types out")
    atoms.symbols[:] = symbols


def _energy_column(columns: list[str], key: str | None, path: Path, remarks: list[str]) -> str | None:
    """The column of potential energies; None if there is none."""
    energies = [name for name in columns if ENERGY_COLUMN.fullmatch(name)]
    if key:
        if key not in columns:
            raise InputError(f"{path}: no column `{key}`; there are {', '.join(columns)}")
        found = [key]
    else:
        found = [name for name in energies if not NO_POTENTIAL_ENERGY.search(name.partition("_")[2])]
    if len(found) > 1:
        raise InputError(
            f"{path}: which column has the potential energies? Name it with --energy-key: {', '.join(found)}"
        )
    if left := [name for name in columns if COMPUTED.match(name) and name not in found]:
        remarks.append(f"{path}: columns left aside: {', '.join(left)} (--energy-key would take one)")
    return found[0] if found else None


@dataclass
class _Energies:
    """The potential energies of frames: of a column, or of the log."""

    column: str | None
    log: ThermoLog | None
    choice: DumpChoice
    seen: dict[int, int] = field(default_factory=dict)  # hash of the positions, by step of the log

    def of(self, atoms: Atoms, step: int, where: str) -> float:
        """The energy of a frame, in LAMMPS' units."""
        if atoms.calc is None:
            raise InputError(f"{where}: no columns fx fy fz; write them with dump custom, or use --no-labels")
        summed = None if self.column is None else float(atoms.arrays[self.column].sum())
        if self.log is None:
            if summed is None:
                raise InputError(
                    f"{where}: no column of energies per atom (compute pe/atom), and no --log was given; "
                    "forces without an energy are no label; --energy-key names a column with another name"
                )
            return summed
        thermo = self.log.energy(step, len(atoms), needed=summed is None)
        if summed is None:
            assert thermo is not None
            self._demand_one_frame(atoms, step, where)
            return thermo
        if thermo is None or self.choice.energy_key:
            return summed
        if abs(summed - thermo) > AGREES * max(abs(thermo), abs(summed)):
            raise InputError(
                f"{where}: two different energies, {summed:.8g} of the column {self.column} and {thermo:.8g} "
                f"of {self.choice.log}; leave out --log, or name the column with --energy-key"
            )
        return thermo

    def _demand_one_frame(self, atoms: Atoms, step: int, where: str) -> None:
        """Refuse a second frame of a step: the log cannot tell which of them its energy is of."""
        positions = hash(atoms.positions.tobytes())
        if self.seen.setdefault(step, positions) != positions:
            raise InputError(
                f"{where}: the dump has this step twice, with different positions, and the log cannot tell "
                "of which of them its energy is; give dump and log of one run"
            )


def _head(file: TextIO) -> tuple[list[str], str | None]:
    """Names of the columns of the first frame, and the units that the dump states."""
    units = None
    for line in file:
        if line.startswith("ITEM: UNITS"):
            units = next(file, "").strip()
        elif line.startswith("ITEM: ATOMS"):
            return line.split()[2:], units
    return [], units


def _steps(file: TextIO, path: Path) -> Iterator[int]:
    """Number of the step of each frame, which must be whole: ASE would read on in the next one.

    Raises
    ------
    InputError
        A frame lacks a line, has one too many, or an atom twice.
    """
    frame, where = list[str](), ""
    for number, line in enumerate(file, 1):
        if line.startswith("ITEM: TIMESTEP"):
            if where:
                yield _step(frame, where)
            frame, where = [], f"{path} line {number}"
        frame.append(line)
    if where:
        yield _step(frame, where)


def _step(lines: list[str], where: str) -> int:
    """The step of one frame, from its first line to that of the next one."""
    sections: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("ITEM: "):
            sections.append((line, []))
        else:
            sections[-1][1].append(line)
    found = {title: (head, rows) for head, rows in sections for title in PARTS if head[6:].startswith(title)}
    if [title for head, _ in sections for title in PARTS if head[6:].startswith(title)] != list(PARTS):
        raise InputError(f"{where}: this frame has not the sections {', '.join(PARTS)}, each once; {CUT}")
    (_, step), (_, number), (_, box), (head, atoms) = found.values()
    columns, words = head.split()[2:], [line.split() for line in atoms]
    if not (len(step) == len(number) == 1 and step[0].strip().isdecimal() and number[0].strip().isdecimal()):
        raise InputError(f"{where}: step and number of atoms of this frame are no single numbers; {CUT}")
    if len(box) != 3 or len(atoms) != int(number[0]) or any(len(row) != len(columns) for row in words):
        raise InputError(
            f"{where}: this frame has {count(len(atoms), 'row')} for {count(int(number[0]), 'atom')}, or "
            f"rows with other than {count(len(columns), 'column')}; {CUT}"
        )
    if "id" in columns and len({row[columns.index("id")] for row in words}) < len(words):
        raise InputError(f"{where}: an id stands twice in this frame; {CUT}")
    return int(step[0])


def _open(path: Path) -> TextIO:
    opener = OPENERS.get(path.suffix, open)
    try:
        return cast(TextIO, opener(path, "rt", encoding="utf-8"))  # type: ignore[operator]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
