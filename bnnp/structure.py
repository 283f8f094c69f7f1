"""One structure: elements, positions, cell, and the reference values from a quantum-mechanical code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Protocol

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

Array = NDArray[np.float64]
Periodicity = tuple[bool, bool, bool]

PERIODIC: Periodicity = (True, True, True)
VOIGT = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)  # rows and columns of the stress: xx yy zz yz xz xy


class Set(IntEnum):
    """What a structure is used for; the number is kept in symmetry_functions.h5, the label in input.data."""

    TRAIN = 0
    TEST = 1
    CALIBRATION = 2
    OUTSIDE = 3

    def __bool__(self) -> bool:
        """True, also for number 0, so that ``structure.subset or other`` replaces None only."""
        return True

    @property
    def label(self) -> str:
        """LABEL in ``begin set=LABEL`` of input.data."""
        return SET_LABELS[self]

    @classmethod
    def labeled(cls, label: str) -> Set:
        """The set of a label. Raises ValueError if there is none."""
        return cls(SET_LABELS.index(label))


SET_LABELS = ("train", "test", "calibration", "calibration_ood")


def closed_cell(positions: Array, cell: Array, pbc: Periodicity, reach: float) -> Array:
    """A cell that is periodic along all vectors and gives the same neighbors within `reach`.

    Vectors that are not repeated are replaced by ones normal to the others, so long that no image is a
    neighbor; in steps of `reach`, so that small motions change nothing.

    Parameters
    ----------
    positions : (n_atoms, 3) float64, length
    cell : (3, 3) float64, length
        Vectors that are not repeated may be zero.
    pbc : tuple of three bool
        One of them at least is true.

    Returns
    -------
    (3, 3) float64, length
    """
    periodic, closed = np.array(pbc), np.array(cell)
    normals = np.linalg.svd(closed[periodic])[2][periodic.sum() :]  # orthonormal, normal to the periodic ones
    for axis, normal in zip(np.flatnonzero(~periodic), normals, strict=True):
        length = np.ptp(positions @ normal) + reach
        closed[axis] = normal * reach * np.ceil(length / reach + 1.0)
    return closed


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms in a cell or in free space, in the units of the file they came from.

    Parameters
    ----------
    numbers : (n_atoms,) int64
        Atomic numbers.
    positions : (n_atoms, 3) float64, length
        Cartesian, not necessarily inside the cell.
    cell : (3, 3) float64, length, or None
        Rows are the lattice vectors; None for a free molecule.
    pbc : tuple of three bool
        Whether the cell is repeated along each lattice vector: two of them for a slab, one for a wire. The
        others only give the cell a volume. Without a cell it says nothing.
    energy : float or None
        Total energy of all atoms, free-atom energies included.
    forces : (n_atoms, 3) float64, energy/length, or None
        NaN for atoms that ``forces=`` in `info` does not name.
    stress : (6,) float64, energy/length^3, or None
        ASE's sign (+1/V dE/d strain) and Voigt order xx yy zz yz xz xy.
    charge : float
        Total charge, e; acts on potentials with charges only.
    charges : (n_atoms,) float64, e, or None
        Reference charges of the atoms; kept for writing the structure and for nnatoms.out.
    dipole : (3,) float64, e length, or None
        Dipole moment; for ``train_charges joint``.
    born_charges : (n_atoms, 3, 3) float64, e, or None
        Born effective charges, dP_a / dr_ib; likewise.
    comment : str
        Free text of the comment lines, without the key=value pairs below.
    info : mapping of str to str
        key=value pairs of the comment line: group, weight, source, ...
    subset : Set or None
        The set that the file assigns, if any.
    index : int
        Position in the file, from 0.
    line : int
        Line of ``begin`` in the file, from 1; 0 if the structure is not from a file.
    """

    numbers: NDArray[np.int64]
    positions: Array
    cell: Array | None = None
    pbc: Periodicity = field(default=PERIODIC, kw_only=True)
    energy: float | None = None
    forces: Array | None = None
    stress: Array | None = None
    charge: float = 0.0
    charges: Array | None = field(default=None, kw_only=True)
    dipole: Array | None = field(default=None, kw_only=True)
    born_charges: Array | None = field(default=None, kw_only=True)
    comment: str = ""
    info: Mapping[str, str] = field(default_factory=dict)
    subset: Set | None = None
    index: int = 0
    line: int = 0

    def __post_init__(self) -> None:
        labels = self.forces, self.stress, self.charges, self.dipole, self.born_charges
        for array in (self.numbers, self.positions, self.cell, *labels):
            if array is not None:
                array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def symbols(self) -> list[str]:
        """Element symbols, one an atom."""
        return [chemical_symbols[number] for number in self.numbers]

    @property
    def periodic(self) -> bool:
        """Whether the structure has a cell, that is repeated along one vector at least."""
        return self.cell is not None

    def closed(self, reach: float) -> Structure:
        """This structure, repeated along all vectors of a cell that gives the same neighbors within `reach`.

        The stress is that of the other volume, so that the virial remains.
        """
        if self.cell is None or all(self.pbc):
            return self
        closed = replace(self, cell=closed_cell(self.positions, self.cell, self.pbc, reach), pbc=PERIODIC)
        if self.stress is None:
            return closed
        assert self.volume is not None
        assert closed.volume is not None
        return replace(closed, stress=self.stress * (self.volume / closed.volume))

    @property
    def volume(self) -> float | None:
        """Volume of the cell, length^3; None without a cell."""
        return None if self.cell is None else float(abs(np.linalg.det(self.cell)))

    @property
    def weight(self) -> float:
        """Weight in the training loss, from ``weight=`` in the comment line; 1 without it."""
        return float(self.info.get("weight", 1.0))

    @property
    def where(self) -> str:
        """The structure as an error message names it."""
        place = f" (line {self.line})" if self.line else ""
        return f"structure {self.index + 1}{place}"


class Structures(Protocol):
    """Several structures in an order: a list of them, or a file that is read one by one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Structure: ...

    def __iter__(self) -> Iterator[Structure]: ...
