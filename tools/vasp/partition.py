"""Charges of the atoms from a partition of the electron density, in a file beside the run.

ACF.dat, by Henkelman's bader (W. Tang, E. Sanville, G. Henkelman, J. Phys.: Condens. Matter 21, 084204
(2009)): positions in Angstrom and electrons of each atom, between two rules; the charge is ZVAL of POTCAR
less the electrons::

        #         X           Y           Z       CHARGE      MIN DIST   ATOMIC VOL
     --------------------------------------------------------------------------------
        1    0.000000    0.000000    0.000000    6.123456    1.123456   10.123456
     --------------------------------------------------------------------------------
        NUMBER OF ELECTRONS:       14.0000

DDEC6_even_tempered_net_atomic_charges.xyz, by Chargemol (T. A. Manz, N. Gabaldon Limas, RSC Adv. 6, 47771
(2016)): the number of atoms, a line, then symbol, position in Angstrom and charge of each; more text follows.

Both are of the density at the end of a run: of its last step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnnp.charges import TOLERANCE
from bnnp.errors import InputError
from bnnp.messages import count
from vasp.step import Array, Step

ACF, DDEC6 = "ACF.dat", "DDEC6_even_tempered_net_atomic_charges.xyz"
APART = 0.01  # Angstrom: an atom that is farther from that of the run is another one


@dataclass(frozen=True)
class Partition:
    """The contents of a file.

    Parameters
    ----------
    name : str
    symbols : list of str
        Empty if the file names none.
    positions : (n_atoms, 3) float64, Angstrom
    values : (n_atoms,) float64, e
        Charges, or numbers of electrons.
    electrons : bool
        Which of them.
    """

    name: str
    symbols: list[str]
    positions: Array
    values: Array
    electrons: bool

    def charges_of(self, step: Step) -> Array:
        """The charges of the atoms of a step, (n_atoms,) float64, e.

        Raises
        ------
        InputError
            The file is of another structure, the run does not say its ZVAL, or the charges do not add up to
            the charge of the cell.
        """
        n, name = len(step.symbols), self.name
        if len(self.values) != n:
            raise InputError(f"{name} has {count(len(self.values), 'atom')}, the run {n}: of another run?")
        if self.symbols and self.symbols != step.symbols:
            place = next(k for k in range(n) if self.symbols[k] != step.symbols[k])
            raise InputError(
                f"{name}: atom {place + 1} is {self.symbols[place]}, but {step.symbols[place]} in the run; "
                "the order of the atoms must be that of POSCAR"
            )
        fractional = (self.positions - step.positions) @ np.linalg.inv(step.cell)
        apart = np.linalg.norm((fractional - np.round(fractional)) @ step.cell, axis=1)
        if apart.max() > APART:
            raise InputError(
                f"{name}: atom {int(apart.argmax()) + 1} is {apart.max():.3f} Angstrom away from that of the "
                "last step, so it is of another structure; make it of the density of this run"
            )
        charges = self.values
        if self.electrons:
            if not step.valences:
                raise InputError(f"{name}: gives electrons, and the run has no ZVAL to subtract them from")
            charges = np.array(step.valences) - self.values
        if abs(charges.sum() - step.charge) > TOLERANCE:
            raise InputError(
                f"{name}: the charges add up to {charges.sum():.3f} e, but the cell has {step.charge:g} e; "
                "take a finer grid (or the sum of AECCAR0 and AECCAR2 as reference), or the right file"
            )
        return charges


def find_partition(folder: Path) -> Partition | None:
    """What stands beside a run, None without any.

    Raises
    ------
    InputError
        There are two, or the file is damaged.
    """
    readers: dict[str, Callable[[Path], Partition]] = {ACF: read_acf, DDEC6: read_ddec6}
    there = [name for name in readers if (folder / name).is_file()]
    if len(there) > 1:
        raise InputError(f"{' and '.join(there)} give two charges for each atom; remove one of them")
    return readers[there[0]](folder / there[0]) if there else None


def read_acf(path: Path) -> Partition:
    """ACF.dat of bader. Raises InputError, with the line, if it is damaged or cut off."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rules = [number for number, line in enumerate(lines) if line.strip().startswith("---")]
    if not rules or "CHARGE" not in lines[0]:
        raise InputError(f"{path.name} is no output of bader: it has no heading and rule before the atoms")
    if len(rules) < 2:
        raise InputError(f"{path.name} line {len(lines)}: cut off, no rule follows the atoms; make it again")
    first, last = rules[0] + 1, rules[1]
    rows = [_numbers(path, k, lines[k].split(), 7)[:5] for k in range(first, last)]
    for number, row in enumerate(rows, 1):
        if row[0] != number:
            raise InputError(f"{path.name} line {first + number}: atom {row[0]:g}, expected {number}")
    table = _table(path, rows)
    return Partition(path.name, [], table[:, 1:4], table[:, 4], electrons=True)


def read_ddec6(path: Path) -> Partition:
    """The charges of Chargemol. Raises InputError, with the line, if the file is damaged or cut off."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    head = lines[0].split() if lines else []
    if len(head) != 1 or not head[0].isdecimal():
        raise InputError(f"{path.name} line 1: expected the number of atoms, got `{' '.join(head)}`")
    n = int(head[0])
    if len(lines) < n + 2:
        raise InputError(
            f"{path.name}: cut off, {count(n, 'atom')} announced and {max(len(lines) - 2, 0)} there; make it "
            "again"
        )
    words = [lines[k].split() for k in range(2, n + 2)]
    rows = [_numbers(path, k, own[1:], 4) for k, own in enumerate(words, 2)]
    table = _table(path, rows)
    return Partition(path.name, [own[0] for own in words], table[:, :3], table[:, 3], electrons=False)


def _numbers(path: Path, row: int, words: list[str], size: int) -> list[float]:
    """At least so many numbers of a line, `row` from 0."""
    try:
        found = [float(word) for word in words[:size]]
    except ValueError:
        found = []
    if len(found) < size or not np.isfinite(found).all():
        text = " ".join(words)
        raise InputError(
            f"{path.name} line {row + 1}: `{text}`, expected {count(size, 'number')}; make it again"
        )
    return found


def _table(path: Path, rows: list[list[float]]) -> Array:
    """The rows as an array."""
    if not rows:
        raise InputError(f"{path.name} has no atoms; make it again")
    return np.array(rows)
