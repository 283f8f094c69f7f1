"""One ionic step of a VASP run, in Angstrom and eV, and the reasons for which a step is left out.

VASP prints the stress as "in kB", positive where the cell wants to expand: the negative of ASE's stress.
The energy the forces are the derivative of is the free energy TOTEN (G. Kresse, J. Furthmueller, Comput.
Mater. Sci. 6, 15 (1996)); "sigma->0" is the extrapolation to no smearing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import ase.units
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

KILOBAR = 0.1 * ase.units.GPa  # in eV/Angstrom^3

UNCONVERGED = "electronic loop not converged within NELM iterations"
MACHINE_LEARNED = "prediction of VASP's machine-learned force field, not DFT"
CUT_OFF = "cut off: the file ends within the step"
NOT_WRITTEN = "positions and forces not written (NWRITE)"
UNREADABLE = "numbers that cannot be read (*** or NaN)"
NO_ENERGY = "no total energy"


class UnreadableStep(Exception):
    """The numbers of a step are not numbers, or not as many as there must be."""


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
    """

    symbols: list[str]
    cell: Array
    positions: Array
    free_energy: float
    sigma0_energy: float | None
    forces: Array
    stress: Array | None

    def __post_init__(self) -> None:
        shape = (len(self.symbols), 3)
        if self.positions.shape != shape or self.forces.shape != shape or self.cell.shape != (3, 3):
            raise UnreadableStep("positions, forces or cell have the wrong size")
        numbers = (self.cell, self.positions, self.forces, self.free_energy)
        if not all(np.isfinite(values).all() for values in numbers):
            raise UnreadableStep("a number is not finite")
        if abs(np.linalg.det(self.cell)) < 1e-6:
            raise UnreadableStep("the cell has no volume")


@dataclass(frozen=True)
class Draft:
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


def numbers(words: Iterable[bytes]) -> Array:
    """Words as float64; UnreadableStep if one is no number."""
    try:
        return np.fromiter(map(float, words), dtype=np.float64)
    except ValueError as error:
        raise UnreadableStep(str(error)) from None


def table(values: Array, columns: int) -> Array:
    """Numbers as rows of `columns`; UnreadableStep if they do not fill the rows."""
    if values.size % columns:
        raise UnreadableStep(f"{values.size} numbers in rows of {columns}")
    return values.reshape(-1, columns)


def stress_from_kilobar(xx: float, yy: float, zz: float, yz: float, xz: float, xy: float) -> Array | None:
    """ASE's stress, (6,), from VASP's in kB; None if it was not computed (not finite, or all zero)."""
    kilobar = np.array([xx, yy, zz, yz, xz, xy])
    return -KILOBAR * kilobar if np.isfinite(kilobar).all() and kilobar.any() else None
