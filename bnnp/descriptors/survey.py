"""Survey of a structure before its symmetry functions are computed: atoms, pairs, distances, forces.

The survey of all structures decides which are used, how large the descriptor file gets and how the work
is shared. It has one record of :func:`survey_dtype` a structure::

    n_atoms        (n_elements,)             atoms of each element
    n_pairs        (n_elements, n_elements)  pairs (center, neighbor) within the cutoff
    n_triples      sum_i n_i (n_i - 1) / 2, what angular functions cost
    shortest       smallest distance, length; inf without any pair
    closest        (2,)                      its two atoms
    reach          smallest distance / sum of the covalent radii in Angstrom: about 1 in Angstrom, 1.9 in bohr
    net_force      |sum_i F_i|, energy/length; 0 without those of all atoms
    largest_force  max |F_ia|, energy/length; 0 without forces
    stress         largest component of the stress, energy/length^3; NaN without stress
    energy         total energy minus free atoms, per atom, energy; NaN without an energy
    subset         number of the bnnp.structure.Set that input.data assigns; -1 if it assigns none
    kind           checksum of the elements of all atoms, in their order
    cell           (3, 3) lattice vectors as rows, length; 0 without a cell
    pbc            (3,) whether it is repeated along each of them
    probe          (4, 3) positions of four atoms, length
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.descriptors.length_unit import RADII
from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.structure import Structure

FREE = -1
PROBED = 4  # atoms whose positions are kept
BLOCK = 5  # frames of a trajectory that are at least taken or left together
NEAR = 0.5  # of the shortest distance: frames whose atoms have moved less follow each other in time


def survey_dtype(n_elements: int) -> np.dtype[np.void]:
    """The record of one structure among `n_elements` elements."""
    return np.dtype(
        [
            ("n_atoms", np.int64, (n_elements,)),
            ("n_pairs", np.int64, (n_elements, n_elements)),
            ("n_triples", np.int64),
            ("shortest", np.float64),
            ("closest", np.int32, (2,)),
            ("reach", np.float64),
            ("net_force", np.float64),
            ("largest_force", np.float64),
            ("stress", np.float64),
            ("energy", np.float64),
            ("subset", np.int8),
            ("kind", np.uint32),
            ("cell", np.float32, (3, 3)),
            ("pbc", np.bool_, (3,)),
            ("probe", np.float32, (PROBED, 3)),
        ]
    )


def survey(
    structure: Structure, elements: Sequence[str], cutoff: float, free_atoms: Mapping[str, float]
) -> NDArray[np.void]:
    """Survey one structure.

    Parameters
    ----------
    structure : Structure
    elements : sequence of str
        All elements, ascending atomic number; those of the structure are among them.
    cutoff : float, length
        Largest cutoff radius of all symmetry functions.
    free_atoms : mapping of str to float, energy
        Free-atom energies in effect.

    Returns
    -------
    () array of survey_dtype(len(elements))
    """
    record = np.zeros((), survey_dtype(len(elements)))
    types = element_types(structure, elements)
    record["n_atoms"] = np.bincount(types, minlength=len(elements))
    record["subset"] = FREE if structure.subset is None else structure.subset
    record["kind"] = crc32(structure.numbers.tobytes())
    record["cell"] = 0.0 if structure.cell is None else structure.cell
    record["pbc"] = structure.pbc
    record["probe"] = structure.positions[np.linspace(0, len(structure) - 1, PROBED).astype(int)]
    record["shortest"] = record["reach"] = np.inf
    free = np.array([free_atoms.get(element, 0.0) for element in elements])
    energy = np.nan if structure.energy is None else structure.energy
    record["energy"] = (energy - record["n_atoms"] @ free) / len(structure)
    if structure.forces is not None:
        record["net_force"] = np.nan_to_num(np.linalg.norm(structure.forces.sum(axis=0)))
        record["largest_force"] = np.nanmax(np.abs(structure.forces))
    record["stress"] = np.nan if structure.stress is None else np.abs(structure.stress).max()
    pairs = find_neighbors(structure.positions, structure.cell, cutoff, structure.numbers, pbc=structure.pbc)
    _survey_pairs(record, structure, types, pairs)
    return record


def _survey_pairs(
    record: NDArray[np.void], structure: Structure, types: NDArray[np.int32], pairs: NeighborList
) -> None:
    """Set the fields that depend on the pairs."""
    n_elements = len(record["n_atoms"])
    kinds = types[pairs.centers].astype(np.int64) * n_elements + types[pairs.neighbors]  # (n_pairs,)
    record["n_pairs"] = np.bincount(kinds, minlength=n_elements**2).reshape(n_elements, n_elements)
    n_neighbors = np.diff(pairs.first)
    record["n_triples"] = (n_neighbors * (n_neighbors - 1) // 2).sum()
    if len(kinds) == 0:
        return
    distances = np.linalg.norm(pairs.vectors, axis=1)
    nearest = int(distances.argmin())
    radii = RADII[structure.numbers]
    record["shortest"] = distances[nearest]
    record["closest"] = pairs.centers[nearest], pairs.neighbors[nearest]
    record["reach"] = (distances / (radii[pairs.centers] + radii[pairs.neighbors])).min()


def element_types(structure: Structure, elements: Sequence[str]) -> NDArray[np.int32]:
    """Index into `elements` (ascending atomic number) of every atom, (n_atoms,) int32."""
    numbers = np.array([atomic_numbers[element] for element in elements])
    return np.searchsorted(numbers, structure.numbers).astype(np.int32)


def trajectories(table: NDArray[np.void], group: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number of the run each structure belongs to, (n_structures,), ascending.

    A structure is in the run of the one before if it has the same group, the same atoms in the same order
    and almost the same cell, and its atoms have moved by less than NEAR of the shortest distance (root mean
    square of four of them, to the nearest image).

    Parameters
    ----------
    table : (n_structures,) array of survey_dtype
        In the order of the file.
    group : (n_structures,) int32
    """
    before, after = table[:-1], table[1:]
    cells = after["cell"].astype(np.float64)
    moved = after["probe"].astype(np.float64) - before["probe"]
    periodic = np.abs(np.linalg.det(cells)) > 0.0
    shifts = np.round(moved[periodic] @ np.linalg.inv(cells[periodic]))  # whole lattice vectors
    moved[periodic] -= shifts @ cells[periodic]
    near = NEAR * np.minimum(before["shortest"], after["shortest"])
    follows = (
        (group[1:] == group[:-1])
        & (after["kind"] == before["kind"])
        & (np.abs(cells - before["cell"]).max(axis=(1, 2)) < near)
        & (np.sqrt(np.square(moved).sum(axis=2).mean(axis=1)) < near)
        & np.isfinite(near)
    )
    return np.concatenate([[0], np.cumsum(~follows)]).astype(np.int64)[: len(table)]


def draw_share(
    members: NDArray[np.int64], runs: NDArray[np.int64], draw: NDArray[np.float64], share: float
) -> NDArray[np.int64]:
    """A share of `members`, to the nearest structure or block.

    Neighbors in a run are cut into parts, and of each part with the smallest random number of its first frame
    a block is taken: the share of the run, but BLOCK frames at least, or as many as are wanted in all. So a
    long trajectory gives one block, short ones are taken or left whole, and structures that are no frames are
    drawn one by one.

    Parameters
    ----------
    members : (n,) int64
        Numbers of structures, ascending.
    runs : (n,) int64
        Number of the trajectory of each.
    draw : (n,) float64
        A random number of each.
    """
    wanted = round(share * len(members))
    breaks = np.flatnonzero((np.diff(members) > 1) | (np.diff(runs) != 0)) + 1
    blocks: list[NDArray[np.int64]] = []
    for run in np.split(np.arange(len(members)), breaks):
        size = max(math.ceil(share * len(run)), min(BLOCK, wanted), 1)
        blocks += [part[:size] for part in np.array_split(run, max(1, len(run) // size))]
    taken = np.zeros(0, dtype=np.int64)
    for block in sorted(blocks, key=lambda block: float(draw[block[0]])):
        missing = wanted - len(taken)
        part = block[: max(missing, BLOCK)]
        if len(part) / 2 <= missing:
            taken = np.append(taken, part)
    return members[taken]


def cost(table: NDArray[np.void]) -> NDArray[np.float64]:
    """Work of computing each surveyed structure, in units of one triple of atoms.

    The weights are between those fitted to clusters, sparse and dense cells with sets of inputs/benchmark:
    (structure, atom, pair, triple) = (6000, 280, 23, 1) for the 57 functions of water (types 2 and 3),
    (1300, 140, 4, 1) for the 138 of the sulfide (2, 3 and 9). Only ratios between structures matter.
    """
    n_atoms = table["n_atoms"].sum(axis=-1)
    n_pairs = table["n_pairs"].sum(axis=(-1, -2))
    return np.asarray(3000.0 + 150.0 * n_atoms + 12.0 * n_pairs + table["n_triples"], dtype=np.float64)
