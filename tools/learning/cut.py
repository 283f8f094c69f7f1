"""The region around an uncertain atom, cut out of a large cell and made periodic; which forces count there.

The region is a box along the vectors of the cell, so large that every atom within `radius` of the center has
in it all neighbors that it has in the large cell: its heights are 2 (radius + cutoff), or up to `LONGER`
more. Of these the first is taken at which what is cut off continues what is left about as well as at the best
one: in a crystal a repeat of its lattice. Its faces are moved to where they meet few atoms. A vector that is
hardly longer is not cut. Of two atoms that the box brings much closer than any such pair of the large cell,
the one farther from the center goes.

The force on an atom counts if its environment within the cutoff, so all its symmetry functions, is that in
the large cell, which is looked at atom by atom. Near the faces atoms are in surroundings that exist nowhere,
whose forces and energies are of no use; so the energy does not count, unless ``loop_cut_energy`` says so, and
the stress with it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.io.structure_block import format_ranges, parse_ranges
from bnnp.structure import Structure

Array = NDArray[np.float64]

LONGER = 6.0  # Angstrom: a height more than the least one; the cubic cell of most crystals is smaller
ENOUGH = 1.5  # times the best fit
TRIED = 121  # heights, and positions of a face
DEPTH = 3.0  # Angstrom from a face in which the fit is looked at
CLEAR = 1.0  # Angstrom that atoms should be away from it
CLOSE = 0.85  # of the shortest distance of two elements in the large cell
SAME = 1e-6  # Angstrom, of vectors that are equal
CORE = "core"  # array of `atoms` and key in `info` of structures: atoms whose forces count


def cut(atoms: Atoms, center: int, radius: float, cutoff: float) -> Atoms:
    """The region around an atom; `atoms` themselves, without the array ``core``, if they are no larger.

    Parameters
    ----------
    center : int
    radius, cutoff : float, Angstrom
        Of what is of interest, and the largest of the symmetry functions.
    """
    cell, least = atoms.cell.array, 2.0 * (radius + cutoff)
    if not atoms.pbc.any():
        return atoms
    closed = atoms.copy()
    closed.cell = atoms.cell.complete()
    heights = 1.0 / np.linalg.norm(np.linalg.inv(closed.cell.array), axis=0)
    scaled = closed.get_scaled_positions(wrap=False)
    places = scaled - scaled[center]
    places -= np.round(places) * atoms.pbc
    smallest = np.where(atoms.pbc & (least + LONGER < heights), least / heights, np.inf)
    if np.isinf(smallest).all():
        return atoms
    shares, middle = smallest.copy(), np.zeros(3)
    for axis in np.flatnonzero(np.isfinite(smallest)).tolist():
        tried = smallest[axis] + np.linspace(0.0, LONGER, TRIED) / heights[axis]
        boxes = np.where(np.arange(3) == axis, tried[:, None], shares)
        misfits = np.array([misfit(closed, places, box, axis) for box in boxes])
        best = int(np.argmax(misfits <= ENOUGH * misfits.min() + SAME))
        while best + 1 < TRIED and misfits[best + 1] < misfits[best]:
            best += 1
        shares = boxes[best]
        slack = (shares[axis] - smallest[axis]) / 2
        middle[axis] = clearest(places[:, axis], shares[axis], slack, CLEAR / heights[axis])
    inside = np.flatnonzero(((places >= middle - shares / 2) & (places < middle + shares / 2)).all(axis=1))
    region = Atoms(
        atoms.numbers[inside],
        (places[inside] + scaled[center]) @ closed.cell.array,
        cell=cell * np.where(np.isinf(shares), 1.0, shares)[:, None],
        pbc=atoms.pbc,
    )
    whole = neighbors_of(atoms, cutoff)
    kept = without_overlaps(region, atoms, whole, int(np.flatnonzero(inside == center)[0]))
    region, inside = region[kept], inside[kept]
    region.arrays[CORE] = same_environments(region, inside, whole, cutoff)
    return region


def misfit(atoms: Atoms, places: Array, shares: Array, axis: int) -> float:
    """How badly the box of these `shares` of the cell continues beyond its upper face along an axis: the mean
    square distance, Angstrom^2, of the atoms at the lower face, moved there, to atoms of their element.

    Parameters
    ----------
    places : (n_atoms, 3) float64
        Scaled positions from the center.
    """
    depth = DEPTH * np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    others = np.delete(np.arange(3), axis)

    def chosen(along: Array, low: float, high: float, margin: Array) -> NDArray[np.int64]:
        beside = np.abs(places[:, others]) <= (shares / 2 + margin)[others]
        return np.flatnonzero((along >= low) & (along < high) & beside.all(axis=1))

    half, own = shares[axis] / 2, depth[axis]
    lower = chosen(places[:, axis], -half, -half + own, np.zeros(3))
    there = (places[:, axis] - half + own) % 1.0  # periodic along this axis
    upper = chosen(there, 0.0, 3.0 * own, depth)
    moved = places[upper] - places[lower][:, None]  # (n_lower, n_upper, 3)
    moved[..., axis] -= shares[axis]
    moved -= np.round(moved) * atoms.pbc
    squares = np.square(moved @ atoms.cell.array).sum(axis=-1)
    squares[atoms.numbers[lower][:, None] != atoms.numbers[upper]] = np.inf
    return float(squares.min(axis=1, initial=np.inf).mean()) if len(lower) else np.inf


def clearest(places: Array, share: float, slack: float, clear: float) -> float:
    """Where along an axis the middle of a box of this share of the cell is, up to `slack` from 0, so that its
    faces meet few atoms nearer than `clear`; all are shares of the cell."""
    middles = np.linspace(-slack, slack, TRIED)
    faces = np.stack([middles - share / 2, middles + share / 2], axis=1)  # (TRIED, 2)
    away = np.abs(places - faces[..., None])  # (TRIED, 2, n_atoms)
    return float(middles[np.maximum(1.0 - away / clear, 0.0).sum(axis=(1, 2)).argmin()])


def neighbors_of(atoms: Atoms, cutoff: float) -> NeighborList:
    """Pairs closer than `cutoff`, Angstrom."""
    pbc = (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2]))
    return find_neighbors(atoms.positions, atoms.cell.array, cutoff, atoms.numbers, pbc=pbc)


def without_overlaps(region: Atoms, atoms: Atoms, whole: NeighborList, center: int) -> NDArray[np.int64]:
    """Atoms of the region that stay; `whole` are the pairs of the large cell."""
    numbers, lengths = atoms.numbers.astype(np.int64), np.linalg.norm(whole.vectors, axis=1)
    shortest = np.full((numbers.max() + 1,) * 2, np.inf)
    np.minimum.at(shortest, (numbers[whole.centers], numbers[whole.neighbors]), lengths)
    known = CLOSE * np.where(np.isinf(shortest), 0.0, shortest)  # 0 for elements that never meet
    kept = np.arange(len(region))
    away = np.linalg.norm(region.positions - region.positions[center], axis=1)
    while True:
        pairs = neighbors_of(region[kept], float(known.max()))
        own = region.numbers[kept]
        short = np.linalg.norm(pairs.vectors, axis=1) < known[own[pairs.centers], own[pairs.neighbors]]
        if not short.any():
            return kept
        among = np.unique(np.concatenate([pairs.centers[short], pairs.neighbors[short]]))
        kept = np.delete(kept, among[np.argmax(away[kept[among]])])


def same_environments(
    region: Atoms, inside: NDArray[np.int64], whole: NeighborList, cutoff: float
) -> NDArray[np.bool_]:
    """Which atoms of the region have the neighbors of the large cell, (n_atoms,).

    Parameters
    ----------
    inside : (n_atoms,) int64
        Number of each atom in the large cell.
    """
    pairs = neighbors_of(region, cutoff)
    found = np.zeros(len(region), dtype=np.bool_)
    for number, atom in enumerate(inside):
        here, there = slice(*pairs.first[number : number + 2]), slice(*whole.first[atom : atom + 2])
        one = ordered(inside[pairs.neighbors[here]], pairs.vectors[here])
        other = ordered(whole.neighbors[there], whole.vectors[there])
        found[number] = one.shape == other.shape and bool(np.all(np.abs(one - other) < SAME))
    return found


def ordered(neighbors: NDArray[np.integer], vectors: Array) -> Array:
    """Neighbors and vectors in one array, (n, 4), in an order that does not depend on rounding."""
    rows = np.column_stack([neighbors, vectors])
    return rows[np.lexsort(np.round(rows / (1e3 * SAME)).T[::-1])]


def counted(structure: Structure, energy: bool) -> Structure:
    """A label with only those values that count; all of them if it was not cut out."""
    info = dict(structure.info)
    if CORE not in info or structure.forces is None:
        return structure
    core = parse_ranges(info.pop(CORE), len(structure))
    forces = np.full_like(structure.forces, np.nan)
    forces[core] = structure.forces[core]
    info["forces"] = format_ranges(core)
    if energy:
        return replace(structure, forces=forces, info=info)
    return replace(structure, forces=forces, energy=None, stress=None, info={**info, "energy": "none"})
