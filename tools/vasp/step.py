"""One ionic step of a VASP run, in Angstrom and eV, and the reasons for which a step is left out.

VASP prints the stress as "in kB", positive where the cell wants to expand: the negative of ASE's stress.
The energy the forces are the derivative of is the free energy TOTEN (G. Kresse, J. Furthmueller, Comput.
Mater. Sci. 6, 15 (1996)); "sigma->0" is the extrapolation to no smearing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

import ase.units
import numpy as np
from numpy.typing import NDArray

from bnnp._core import parse_rows, within
from bnnp.io.atom_lines import LARGEST

Array = NDArray[np.float64]

KILOBAR = 0.1 * ase.units.GPa  # in eV/Angstrom^3

UNCONVERGED = "electronic loop not converged within NELM iterations"
MACHINE_LEARNED = "prediction of VASP's machine-learned force field, not DFT"
CUT_OFF = "cut off: the file ends within the step"
NOT_WRITTEN = "positions and forces not written (NWRITE)"
NO_FORCES = "no forces"
NO_CELL = "no cell of the step"
NO_ENERGY = "no total energy"
ONE_ENERGY = "one energy only, no energy(sigma->0) that can be read; use --energy free"
UNREADABLE = "with numbers that cannot be read (*** or NaN)"
DAMAGED = "damaged"
TWICE = f"{DAMAGED}: a step, or one of its tables, stands in the file twice; did two programs write into it?"
MISSING = f"{DAMAGED}: no cell or stress, which other steps of the file have"
TORN = f"{DAMAGED}: rows or numbers that are not whole"
OTHER_VOLUME = f"{DAMAGED}: the cell has not the volume that is printed with it"
OTHER_ATOMS = f"{DAMAGED}: not as many rows as atoms"


class UnreadableStep(Exception):
    """The numbers of a step are not numbers, or not as many as there must be; the text is the reason."""


@dataclass(frozen=True)
class Step:
    """Structure and labels of one ionic step.

    Parameters
    ----------
    symbols : list of str
    cell : (3, 3) float64, Angstrom
        Rows are the lattice vectors.
    positions : (n_atoms, 3) float64, Angstrom
        Cartesian.
    free_energy : float, eV
        TOTEN.
    sigma0_energy : float or None, eV
        Extrapolated to no smearing; None where the file has only one energy.
    forces : (n_atoms, 3) float64, eV/Angstrom
    stress : (6,) float64, eV/Angstrom^3, or None
        ASE's sign and order xx yy zz yz xz xy.
    method : str
        The word of :mod:`bnnp.io.method`; empty if the file does not say how it was calculated.
    valences : tuple of float
        Electrons of each atom in POTCAR (ZVAL); empty if the file does not say.
    """

    symbols: list[str]
    cell: Array
    positions: Array
    free_energy: float
    sigma0_energy: float | None
    forces: Array
    stress: Array | None
    method: str = ""
    valences: tuple[float, ...] = ()

    @property
    def charge(self) -> float:
        """Of the cell, e, as `method` has it; 0 if the file does not say."""
        pairs = dict(word.split(":", 1) for word in self.method.split(",") if ":" in word)
        return float(pairs.get("charge", 0.0))

    def __post_init__(self) -> None:
        shape = (len(self.symbols), 3)
        if self.positions.shape != shape or self.forces.shape != shape or self.cell.shape != (3, 3):
            raise UnreadableStep(OTHER_ATOMS)
        volume = volume_of(self.cell)
        finite = within(self.positions, LARGEST) and within(self.forces, LARGEST)
        if not (finite and isfinite(self.free_energy) and isfinite(volume)):
            raise UnreadableStep(UNREADABLE)
        if volume < 1e-6:
            raise UnreadableStep("the cell has no volume")


class Draft(NamedTuple):
    """An ionic step that has been found, but not yet read.

    Parameters
    ----------
    flaw : str or None
        One of the reasons of this module, if there is one to leave the step out.
    read : callable
        Gives the Step; raises UnreadableStep. Steps that are UNCONVERGED can be read, too.
    """

    flaw: str | None
    read: Callable[[], Step]


def flawed(flaw: str) -> Draft:
    """A step there is nothing to read of."""

    def read() -> Step:
        raise UnreadableStep(flaw)

    return Draft(flaw, read)


def rows_of(text: bytes, columns: int, start: bytes = b"", stop: bytes = b"", aligned: bool = False) -> Array:
    """The rows `start` numbers `stop` of a text, (n_rows, columns); UnreadableStep if one is not so.

    Numbers that are `aligned` have the same number of decimals.
    """
    try:
        return parse_rows(text, columns, start, stop, aligned)
    except ValueError:
        raise UnreadableStep(reason_of(text)) from None


def reason_of(text: bytes) -> str:
    """Why numbers of a text cannot be read."""
    return UNREADABLE if re.search(rb"\*|nan|inf", text, re.IGNORECASE) else TORN


def has_volume(cell: Array, text: bytes, rounding: float) -> bool:
    """Whether the cell (3, 3) has the volume of a text, Angstrom^3, which is rounded by that much.

    A volume that did not fit its column (***) is taken for right.
    """
    if b"*" in text:
        return True
    try:
        volume = float(text)
    except ValueError:
        return False
    return cell.shape == (3, 3) and abs(volume - volume_of(cell)) < rounding + 1e-6 * volume


def volume_of(cell: Array) -> float:
    """Volume of a cell (3, 3), many times faster than by numpy."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell.tolist()
    return float(abs(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)))


def stress_from_kilobar(xx: float, yy: float, zz: float, yz: float, xz: float, xy: float) -> Array | None:
    """ASE's stress, (6,), from VASP's in kB; None if it is not finite."""
    kilobar = (xx, yy, zz, yz, xz, xy)
    return -KILOBAR * np.array(kilobar) if all(map(isfinite, kilobar)) else None
