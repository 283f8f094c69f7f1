r"""Neighbor lists: every pair of atoms closer than a cutoff, periodic images included.

A pair is a displacement vector

.. math:: D = r_j + S \cdot H - r_i, \qquad |D| < r_c

from the center i to the neighbor j, with the cell H (rows) and the integer lattice shift S. The list is
full (i-j and j-i), so cutoffs longer than the cell and atoms that are their own neighbors are legal.
The C++ core finds them by a grid of bins, O(N).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import bnnp._core as _core
from bnnp.errors import NumericalError
from bnnp.messages import count
from bnnp.structure import PERIODIC, Periodicity, closed_cell

MAX_NEIGHBORS = 1.0e5  # mean number per atom beyond which the length unit must be wrong
MAX_EXTENT = 1.0e8  # distance of an atom from the cell, in cutoffs, beyond which rounding spoils the vectors


@dataclass(frozen=True, eq=False)
class NeighborList:
    """Full neighbor list, sorted by center, atomic number and index of the neighbor, lattice shift.

    Parameters
    ----------
    first : (n_atoms + 1,) int64
        The pairs of center i are ``first[i]`` to ``first[i + 1]``.
    centers, neighbors : (n_pairs,) int32
        Indices of the two atoms.
    vectors : (n_pairs, 3) float64, length
        From the center to the neighbor; those of i-j and j-i are exact negatives.
    """

    first: NDArray[np.int64]
    centers: NDArray[np.int32]
    neighbors: NDArray[np.int32]
    vectors: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.centers)

    def of_centers(self, atoms: NDArray[np.integer]) -> NeighborList:
        """The pairs of some centers; the others have none."""
        wanted = np.isin(self.centers, atoms)
        first = np.zeros_like(self.first)
        np.cumsum(np.bincount(self.centers[wanted], minlength=len(first) - 1), out=first[1:])
        return NeighborList(first, self.centers[wanted], self.neighbors[wanted], self.vectors[wanted])


@dataclass(frozen=True)
class ShortestDistance:
    """The two closest atoms of a pair of elements.

    Parameters
    ----------
    numbers : tuple of two int
        Atomic numbers, in rising order.
    distance : float, length
    atoms : tuple of two int
        Indices of the atoms from 0, in the order of `numbers`; equal for an atom and its own image.
    """

    numbers: tuple[int, int]
    distance: float
    atoms: tuple[int, int]


def find_neighbors(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64] | None,
    cutoff: float,
    numbers: NDArray[np.integer],
    threads: int = 1,
    pbc: Periodicity = PERIODIC,
) -> NeighborList:
    """Neighbor list of one structure.

    Parameters
    ----------
    positions : (n_atoms, 3) float64, length
        Anywhere, also outside of the cell.
    cell : (3, 3) float64, length, or None
        Rows are the lattice vectors, of either handedness; None for a free molecule.
    cutoff : float, length
        Pairs with ``|D| < cutoff`` are listed.
    numbers : (n_atoms,) int
        Atomic numbers, for the order of the list.
    threads : int
        The list does not depend on their number.
    pbc : tuple of three bool
        Along which vectors the cell is repeated.

    Raises
    ------
    NumericalError
        If a position is not finite, the cell is flat, or the neighbors are too many for any memory.
    """
    positions = np.ascontiguousarray(positions, dtype=np.float64).reshape(-1, 3)
    if cell is not None and not all(pbc) and np.isfinite(positions).all() and len(positions):
        cell = closed_cell(positions, cell, pbc, cutoff)
    _check(positions, cell, cutoff)
    box = None if cell is None else np.ascontiguousarray(cell, dtype=np.float64)
    points = positions if cell is not None else _without_gaps(positions, 2.0 * cutoff)
    atomic_numbers = np.ascontiguousarray(numbers, dtype=np.int64)
    return NeighborList(*_core.find_neighbors(positions, points, box, atomic_numbers, cutoff, threads))


def shortest_distances(pairs: NeighborList, numbers: NDArray[np.integer]) -> list[ShortestDistance]:
    """Closest two atoms of every pair of elements that has neighbors, by rising atomic numbers.

    Parameters
    ----------
    pairs : NeighborList
    numbers : (n_atoms,) int
        Atomic numbers.
    """
    numbers = np.asarray(numbers)
    center, neighbor = numbers[pairs.centers], numbers[pairs.neighbors]
    forward = np.flatnonzero(center <= neighbor)  # i-j; the full list has j-i too
    distances = np.linalg.norm(pairs.vectors[forward], axis=1)
    elements = np.stack([center[forward], neighbor[forward]], axis=1)
    order = np.lexsort((distances, elements[:, 1], elements[:, 0]))
    _, closest = np.unique(elements[order], axis=0, return_index=True)
    return [
        ShortestDistance(
            numbers=(int(elements[p, 0]), int(elements[p, 1])),
            distance=float(distances[p]),
            atoms=(int(pairs.centers[forward[p]]), int(pairs.neighbors[forward[p]])),
        )
        for p in order[closest]
    ]


def _without_gaps(positions: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Positions with empty slabs wider than `gap` shrunk to it, as the bins cover empty space too."""
    order = np.argsort(positions, axis=0)
    ordered = np.take_along_axis(positions, order, axis=0)
    steps = np.diff(ordered, axis=0, prepend=ordered[:1])
    points = np.empty_like(positions)
    np.put_along_axis(points, order, np.cumsum(np.minimum(steps, gap), axis=0), axis=0)
    return points


def _check(positions: NDArray[np.float64], cell: NDArray[np.float64] | None, cutoff: float) -> None:
    if not np.isfinite(positions).all():
        atom = int(np.flatnonzero(~np.isfinite(positions).all(axis=1))[0])
        raise NumericalError(f"the position of atom {atom + 1} is not finite")
    if cell is None or len(positions) == 0:
        return
    if not np.isfinite(cell).all():
        raise NumericalError("a lattice vector is not finite")
    if np.abs(positions).max() > MAX_EXTENT * cutoff:
        raise NumericalError(
            f"an atom is {np.abs(positions).max():g} away from the origin of a periodic cell"
        )
    volume = abs(float(np.linalg.det(cell)))
    edges = float(np.prod(np.linalg.norm(cell, axis=1)))
    if not volume > 1.0e-10 * edges:
        raise NumericalError(f"the cell has volume {volume:g}: its lattice vectors lie in a plane")
    sphere = (
        4.0 / 3.0 * np.pi * cutoff * cutoff * cutoff
    )  # inf for an absurd cutoff, where ** raises an error
    n_neighbors = len(positions) * sphere / volume
    if n_neighbors > MAX_NEIGHBORS:
        raise NumericalError(
            f"an atom would have about {n_neighbors:.3g} neighbors within {cutoff:g}, as the volume of "
            f"{count(len(positions), 'atom')} is {volume:g}: are the lengths in the unit that input.nn says?"
        )
