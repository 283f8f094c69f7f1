"""Molecular dynamics of CP2K: PROJECT-pos-1.xyz, with PROJECT-frc-1.xyz and a cell beside it.

Both files have for each step the number of atoms, a comment, and a line for each atom::

     i =        5, time =        2.500, E =       -34.4251347379
      O         1.2345678901        0.1234567890       -0.2345678901

The energy is that of the step in hartree, positions are in Angstrom, forces in hartree/bohr: CP2K's own
units, as the files state none. Steps are matched by their number i; those without forces are left out. The
cell is that of the step in PROJECT-1.cell, else the one of ``&CELL`` in PROJECT-1.restart or PROJECT.inp.
What the files do not say: the stress, and whether the electronic iterations converged.

Reference: CP2K manual, ``MOTION / PRINT``, ``SUBSYS / CELL``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ase.units
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cell import Cell
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.atom_lines import parse_number

Array = NDArray[np.float64]

COMMENT = re.compile(r"\s*i\s*=\s*(\d+)\s*,.*\bE\s*=\s*([^\s,]+)")
CHANGES = re.compile(
    r"^\s*(ENSEMBLE\s+(?:NPT|NPE|NPH)\S*|RUN_TYPE\s+CELL_OPT)", re.MULTILINE | re.IGNORECASE
)  # of the cell
LENGTHS = {"[angstrom]": 1.0, "[bohr]": ase.units.Bohr, "[nm]": 10.0, "[pm]": 0.01}
CUT_OFF, NO_FORCES = "not complete", "without forces"
SILENT = (
    "{}: read in Angstrom, hartree and hartree/bohr (CP2K's own); the files do not say whether the "
    "electronic iterations converged: look for `SCF run NOT converged` in the log"
)


@dataclass(frozen=True)
class _Frame:
    """One step of a file: number, energy in hartree, symbols, and the (n_atoms, 3) numbers."""

    step: int
    energy: float
    symbols: list[str]
    values: Array


def is_trajectory(path: Path) -> bool:
    """Whether a file is CP2K's by its first comment."""
    if path.suffix != ".xyz" or not path.is_file():
        return False
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline().strip().isdecimal() and bool(COMMENT.match(file.readline(500)))


def read_trajectory(path: Path, left_out: Counter[str]) -> Iterator[tuple[int, Atoms]]:
    """The steps that have forces, each with its number in the file from 1.

    Raises
    ------
    InputError
        There are no forces or no cell beside the file, or they do not belong to it.
    """
    if "-pos-" not in path.name:
        raise InputError(
            f"{path} is of CP2K, but not its positions; give PROJECT-pos-1.xyz, with PROJECT-frc-1.xyz "
            "beside it"
        )
    beside = path.with_name(path.name.replace("-pos-", "-frc-"))
    if not beside.is_file():
        raise InputError(
            f"{path}: the forces are missing: there is no {beside.name} beside it; CP2K writes it with "
            "MOTION / PRINT / FORCES"
        )
    cells = _Cells(path)
    forces = _frames(beside, Counter())
    force = next(forces, None)
    for number, frame in enumerate(_frames(path, left_out), 1):
        while force is not None and force.step < frame.step:
            force = next(forces, None)
        if force is None or force.step != frame.step:
            left_out[NO_FORCES] += 1
            continue
        if force.symbols != frame.symbols:
            raise InputError(f"{path} and {beside.name} have other atoms at step {frame.step}; not one run?")
        cell, pbc = cells.of(frame.step)
        atoms = Atoms(frame.symbols, frame.values, cell=cell, pbc=pbc)
        labels = {"energy": frame.energy * ase.units.Hartree}
        atoms.calc = SinglePointCalculator(
            atoms, **labels, forces=force.values * (ase.units.Hartree / ase.units.Bohr)
        )
        force = next(forces, None)
        yield number, atoms


def _frames(path: Path, left_out: Counter[str]) -> Iterator[_Frame]:
    """The steps of one file; one that is cut off at the end is left out."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = enumerate(file, 1)
        for number, line in lines:
            if not line.strip():
                continue
            comment = COMMENT.match(next(lines, (0, ""))[1])
            if not line.strip().isdecimal() or comment is None:
                raise InputError(
                    f"{path} line {number}: expected the number of atoms, and below it `i = ..., E = ...`"
                )
            rows = [next(lines, (0, ""))[1].split() for _ in range(int(line))]
            if not rows[-1]:
                left_out[CUT_OFF] += 1
                return
            try:
                values = np.array([[parse_number(word) for word in row[1:4]] for row in rows])
                symbols = [_symbol(row[0]) for row in rows]
                energy = parse_number(comment[2])
                if values.shape != (len(rows), 3):
                    raise ValueError
            except (ValueError, IndexError):
                raise InputError(
                    f"{path} line {number}: in the step that begins here a line is no symbol with three "
                    "numbers, or the energy is no number; is the file damaged?"
                ) from None
            yield _Frame(int(comment[1]), energy, symbols, values)


def _symbol(label: str) -> str:
    """The element of an atom: ``Fe`` of ``Fe1``. Raises ValueError if there is none."""
    symbol = label.rstrip("0123456789_")
    if symbol not in atomic_numbers:
        raise ValueError(label)
    return symbol


class _Cells:
    """The cell of each step: of the file of cells, or one for all."""

    def __init__(self, path: Path) -> None:
        project, number = path.stem.split("-pos-", 1)
        self.path = path.with_name(f"{project}-{number}.cell")
        self.steps: dict[int, Array] = {}
        inputs = [path.with_name(f"{project}-{number}.restart"), path.with_name(f"{project}.inp")]
        stated = next((one for one in inputs if one.is_file()), None)
        self.cell, self.pbc = (None, (True, True, True)) if stated is None else _stated_cell(stated)
        if self.path.is_file():
            for row in self.path.read_text(encoding="utf-8").splitlines():
                words = row.split()
                if words and words[0].isdecimal() and len(words) >= 11:
                    self.steps[int(words[0])] = np.array(words[2:11], dtype=np.float64).reshape(3, 3)
            return
        if stated is not None and (found := CHANGES.search(stated.read_text(errors="replace"))):
            raise InputError(
                f"{path}: the cell changes (`{' '.join(found[1].split())}` in {stated.name}), and "
                f"{self.path.name} with that of each step is missing; copy it there (MOTION / PRINT / CELL)"
            )
        if self.cell is None and any(self.pbc):
            names = ", ".join(one.name for one in (self.path, *inputs))
            raise InputError(f"{path}: the cell is missing: none of {names} beside it; copy one there")

    def of(self, step: int) -> tuple[Array | None, tuple[bool, bool, bool]]:
        """Cell (3, 3) in Angstrom, and along which of its vectors it is repeated."""
        if self.steps and any(self.pbc):
            if step not in self.steps:
                raise InputError(f"{self.path}: has no step {step}, which the positions have; not one run?")
            return self.steps[step], self.pbc
        return self.cell, self.pbc


def _sections(text: str) -> Iterator[dict[str, list[str]]]:
    """The keywords of each ``&CELL``, without those of sections within it."""
    rows: list[list[str]] | None = None
    depth = 0
    for line in text.splitlines():
        words = re.split("[!#]", line)[0].split()
        if not words:
            continue
        opened, ended = words[0].startswith("&"), words[0].upper() == "&END"
        if rows is None:
            rows, depth = ([] if words[0].upper() == "&CELL" else None), 1
        elif opened:
            depth += -1 if ended else 1
            if depth == 0:
                yield {row[0].upper(): row[1:] for row in rows}
                rows = None
        elif depth == 1:
            rows.append(words)


def _lengths(words: list[str]) -> Array:
    """Three lengths in Angstrom, behind another unit or without one. Raises KeyError, ValueError."""
    unit = 1.0
    if words[0].startswith("["):
        unit, words = LENGTHS[words[0].lower()], words[1:]
    found = unit * np.array(words, dtype=np.float64)
    if found.shape != (3,):
        raise ValueError
    return found


def _stated_cell(path: Path) -> tuple[Array | None, tuple[bool, bool, bool]]:
    """Cell and periodicity of ``&CELL``; no cell where nothing is repeated, or the file has none."""
    for words in _sections(path.read_text(encoding="utf-8", errors="replace")):
        if not words.keys() & {"ABC", "A", "B", "C"}:  # what to print of it
            continue
        periodic = (words.get("PERIODIC") or ["XYZ"])[0].upper()
        if periodic == "NONE":
            return None, (False, False, False)
        try:
            if "ABC" in words:
                angles = np.array(words.get("ALPHA_BETA_GAMMA", [90, 90, 90]), dtype=np.float64)
                cell = Cell.new([*_lengths(words["ABC"]), *angles]).array
            else:
                cell = np.array([_lengths(words[axis]) for axis in "ABC"])
            cell = cell * np.array(words.get("MULTIPLE_UNIT_CELL", [1, 1, 1]), dtype=np.int64)[:, None]
        except (KeyError, ValueError, IndexError):
            lines = "; ".join(" ".join((name, *values)) for name, values in words.items())
            raise InputError(
                f"{path}: the cell cannot be read in &CELL: expected ABC, or A, B and C, each with three "
                f"numbers (in Angstrom, or behind one of {', '.join(LENGTHS)}), got `{lines}`"
            ) from None
        return cell, ("X" in periodic, "Y" in periodic, "Z" in periodic)
    return None, (True, True, True)
