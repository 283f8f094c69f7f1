"""Neighbor lists against brute force over images and against ASE's."""

from __future__ import annotations

import ase.neighborlist
import numpy as np
import pytest
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import NeighborList, find_neighbors, shortest_distances
from bnnp.errors import NumericalError

CUTOFF = 6.0


def random_structure(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.int64]]:
    """Triclinic cells below and above the cutoff, atoms inside and outside of them; free molecules."""
    rng = np.random.default_rng(seed)
    n_atoms = int(rng.integers(1, 12))
    numbers = rng.choice([1, 8, 32, 52], size=n_atoms)
    edge = rng.choice([2.0, 4.0, 7.0, 14.0])
    if seed % 5 == 0:
        return edge * rng.normal(size=(n_atoms, 3)), None, numbers
    cell = edge * (np.eye(3) + 0.35 * rng.normal(size=(3, 3)))
    if abs(np.linalg.det(cell)) < 0.2 * edge**3:
        cell = edge * np.array([[1.0, 0.0, 0.0], [0.6, 0.9, 0.0], [-0.4, 0.5, -0.8]])
    positions = rng.uniform(-1.5, 2.5, size=(n_atoms, 3)) @ cell
    return positions, cell, numbers


def brute_force(
    positions: NDArray[np.float64], cell: NDArray[np.float64] | None, cutoff: float
) -> list[tuple[int, int, NDArray[np.float64]]]:
    """Every pair over enough images, by loops."""
    shifts = [np.zeros(3)]
    if cell is not None:
        heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
        spread = np.ptp(positions @ np.linalg.inv(cell), axis=0)
        n = np.ceil(cutoff / heights + spread).astype(int) + 1
        grid = np.mgrid[-n[0] : n[0] + 1, -n[1] : n[1] + 1, -n[2] : n[2] + 1].reshape(3, -1).T
        shifts = list(grid @ cell)
    pairs = []
    for i, center in enumerate(positions):
        for j, neighbor in enumerate(positions):
            D = neighbor - center + np.array(shifts)
            r = np.linalg.norm(D, axis=1)
            keep = (r < cutoff) & ~((i == j) & (np.abs(shifts).sum(axis=1) == 0))
            pairs += [(i, j, vector) for vector in D[keep]]
    return pairs


def as_rows(pairs: list[tuple[int, int, NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Pairs as rows i, j, D in an order that does not depend on rounding of D."""
    rows = np.array([(i, j, *vector) for i, j, vector in pairs]).reshape(-1, 5)
    return rows[np.lexsort(np.round(rows, 6).T[::-1])]


def listed(pairs: NeighborList) -> list[tuple[int, int, NDArray[np.float64]]]:
    return list(zip(pairs.centers.tolist(), pairs.neighbors.tolist(), pairs.vectors, strict=True))


@pytest.mark.parametrize("seed", range(40))
def test_equals_brute_force(seed: int) -> None:
    positions, cell, numbers = random_structure(seed)
    pairs = find_neighbors(positions, cell, CUTOFF, numbers)
    expected = as_rows(brute_force(positions, cell, CUTOFF))
    assert len(pairs) == len(expected), f"{seed=} {cell=} {positions=}"
    np.testing.assert_allclose(as_rows(listed(pairs)), expected, atol=1e-12, err_msg=f"{seed=} {cell=}")


@pytest.mark.parametrize("seed", range(20))
def test_equals_ase(seed: int) -> None:
    positions, cell, numbers = random_structure(seed)
    pbc = cell is not None
    box = cell if pbc else np.zeros((3, 3))
    i, j, D = ase.neighborlist.primitive_neighbor_list("ijD", [pbc] * 3, box, positions, CUTOFF)
    expected = as_rows(list(zip(i, j, D, strict=True)))
    pairs = find_neighbors(positions, cell, CUTOFF, numbers)
    np.testing.assert_allclose(as_rows(listed(pairs)), expected, atol=1e-12, err_msg=f"{seed=} {cell=}")


@pytest.mark.parametrize(
    "cell", [None, np.array([[21.0, 0, 0], [5, 19, 0], [-4, 7, 23]]), np.diag([40.0, 9.0, 70.0])]
)
@pytest.mark.parametrize("threads", [1, 3])
def test_many_bins_equal_ase(cell: NDArray[np.float64] | None, threads: int) -> None:
    """Hundreds of atoms: bins as wide as the cutoff and half as wide, ranks of two bytes, several threads."""
    rng = np.random.default_rng(5)
    frame = np.diag([20.0, 20.0, 20.0]) if cell is None else cell
    positions = rng.uniform(-0.2, 1.2, size=(400, 3)) @ frame
    numbers = rng.choice([1, 8, 52], size=400)
    i, j, D = ase.neighborlist.primitive_neighbor_list(
        "ijD", [cell is not None] * 3, frame, positions, CUTOFF
    )
    pairs = find_neighbors(positions, cell, CUTOFF, numbers, threads)
    expected = as_rows(list(zip(i, j, D, strict=True)))
    np.testing.assert_allclose(as_rows(listed(pairs)), expected, atol=1e-12)
    keys = list(zip(pairs.centers, numbers[pairs.neighbors], pairs.neighbors, strict=True))
    assert keys == sorted(keys)


def test_order_of_seventy_thousand_atoms() -> None:
    """Ranks of three bytes."""
    rng = np.random.default_rng(6)
    positions, numbers = 250.0 * rng.uniform(size=(70_000, 3)), rng.choice([1, 8], size=70_000)
    pairs = find_neighbors(positions, 250.0 * np.eye(3), 5.0, numbers)
    key = (pairs.centers.astype(np.int64) * 10 + numbers[pairs.neighbors]) * 100_000 + pairs.neighbors
    assert (np.diff(key) > 0).all()
    expected = 70_000**2 * 4.0 / 3.0 * np.pi * 5.0**3 / 250.0**3
    assert len(pairs) == pytest.approx(expected, abs=5.0 * np.sqrt(2.0 * expected))


@pytest.mark.parametrize("seed", range(20))
def test_layout_and_order(seed: int) -> None:
    positions, cell, numbers = random_structure(seed)
    pairs = find_neighbors(positions, cell, CUTOFF, numbers)
    assert pairs.first.dtype == np.int64
    assert pairs.centers.dtype == pairs.neighbors.dtype == np.int32
    assert pairs.vectors.dtype == np.float64
    assert pairs.vectors.flags.c_contiguous
    assert pairs.first.shape == (len(positions) + 1,)
    assert pairs.first[0] == 0
    assert pairs.first[-1] == len(pairs)
    np.testing.assert_array_equal(np.diff(pairs.first), np.bincount(pairs.centers, minlength=len(positions)))
    keys = list(zip(pairs.centers, numbers[pairs.neighbors], pairs.neighbors, strict=True))
    assert keys == sorted(keys)


@pytest.mark.parametrize("seed", range(20))
def test_both_directions_are_exact_negatives(seed: int) -> None:
    positions, cell, numbers = random_structure(seed)
    pairs = find_neighbors(positions, cell, CUTOFF, numbers)
    forward = sorted((i, j, *D) for i, j, D in listed(pairs))
    backward = sorted((j, i, *(-D + 0.0)) for i, j, D in listed(pairs))
    assert forward == backward


@pytest.mark.parametrize("seed", range(1, 20))
def test_same_list_for_atoms_moved_by_lattice_vectors(seed: int) -> None:
    positions, cell, numbers = random_structure(seed)
    if cell is None:
        return
    rng = np.random.default_rng(seed)
    moved = positions + rng.integers(-3, 4, size=positions.shape) @ cell
    pairs, again = (find_neighbors(points, cell, CUTOFF, numbers) for points in (positions, moved))
    np.testing.assert_array_equal(pairs.neighbors, again.neighbors)
    np.testing.assert_allclose(pairs.vectors, again.vectors, atol=1e-11)


def test_left_handed_cell() -> None:
    cell = np.diag([4.0, 5.0, -6.0])
    positions = np.array([[0.1, 0.2, 0.3], [2.0, 1.0, -3.0]])
    expected = as_rows(brute_force(positions, cell, CUTOFF))
    pairs = find_neighbors(positions, cell, CUTOFF, np.array([1, 8]))
    np.testing.assert_allclose(as_rows(listed(pairs)), expected, atol=1e-12)


@pytest.mark.parametrize("cell", [None, 20.0 * np.eye(3)])
def test_the_cutoff_itself_is_outside(cell: NDArray[np.float64] | None) -> None:
    numbers = np.array([1, 1])
    at = find_neighbors(np.array([[0.0, 0, 0], [CUTOFF, 0, 0]]), cell, CUTOFF, numbers)
    below = find_neighbors(np.array([[0.0, 0, 0], [np.nextafter(CUTOFF, 0), 0, 0]]), cell, CUTOFF, numbers)
    assert len(at) == 0
    assert len(below) == 2


@pytest.mark.parametrize("cell", [None, 20.0 * np.eye(3)])
@pytest.mark.parametrize("n_atoms", [0, 1])
def test_no_neighbors(cell: NDArray[np.float64] | None, n_atoms: int) -> None:
    pairs = find_neighbors(np.zeros((n_atoms, 3)), cell, CUTOFF, np.ones(n_atoms, dtype=int))
    assert pairs.first.tolist() == [0] * (n_atoms + 1)
    assert pairs.vectors.shape == (0, 3)
    assert shortest_distances(pairs, np.ones(n_atoms, dtype=int)) == []


def test_an_atom_is_its_own_neighbor() -> None:
    """Simple cubic: 6 neighbors at a, 12 at sqrt(2) a, 8 at sqrt(3) a, 6 at 2 a."""
    pairs = find_neighbors(np.zeros((1, 3)), 3.0 * np.eye(3), 6.01, np.array([14]))
    shells, counts = np.unique(np.round(np.linalg.norm(pairs.vectors, axis=1), 9), return_counts=True)
    np.testing.assert_allclose(shells, 3.0 * np.sqrt([1, 2, 3, 4]), rtol=1e-8)
    assert counts.tolist() == [6, 12, 8, 6]


def test_molecules_far_apart() -> None:
    """A grid over the space between them would not fit in any memory."""
    molecule = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.5]])
    positions = np.concatenate([molecule, molecule + [1e9, 0, 0], molecule - [0, 1e8, 1e9]])
    pairs = find_neighbors(positions, None, CUTOFF, np.array([1, 8, 1, 8, 1, 8]))
    assert pairs.centers.tolist() == [0, 1, 2, 3, 4, 5]
    assert pairs.neighbors.tolist() == [1, 0, 3, 2, 5, 4]


def test_result_does_not_depend_on_the_order_found() -> None:
    """The same atoms in another order give bit for bit the same vectors."""
    rng = np.random.default_rng(3)
    cell = np.array([[7.0, 0, 0], [2, 8, 0], [1, -1, 6]])
    positions = rng.uniform(size=(30, 3)) @ cell
    numbers = rng.choice([1, 8], size=30)
    shuffle = rng.permutation(30)
    pairs = find_neighbors(positions, cell, CUTOFF, numbers)
    again = find_neighbors(positions[shuffle], cell, CUTOFF, numbers[shuffle])
    one = sorted((i, j, *D) for i, j, D in listed(pairs))
    two = sorted((int(shuffle[i]), int(shuffle[j]), *D) for i, j, D in listed(again))
    assert one == two


def test_shortest_distances() -> None:
    positions = np.array([[0.0, 0, 0], [0, 0, 1.0], [3.0, 0, 0], [3.0, 2.0, 0]])
    numbers = np.array([8, 1, 1, 8])
    shortest = shortest_distances(find_neighbors(positions, None, CUTOFF, numbers), numbers)
    assert [entry.numbers for entry in shortest] == [(1, 1), (1, 8), (8, 8)]
    np.testing.assert_allclose([entry.distance for entry in shortest], [np.sqrt(10), 1.0, np.sqrt(13)])
    assert [set(entry.atoms) for entry in shortest] == [{1, 2}, {0, 1}, {0, 3}]
    assert shortest[1].atoms == (1, 0)  # in the order of the elements


@pytest.mark.parametrize("cell", [None, 3.0 * np.eye(3)])
def test_coincident_atoms_are_found(cell: NDArray[np.float64] | None) -> None:
    positions = np.array([[0.5, 0.5, 0.5], [1.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    if cell is not None:
        positions[2] += [3.0, -6.0, 0.0]
    numbers = np.array([32, 32, 52])
    shortest = {
        s.numbers: s for s in shortest_distances(find_neighbors(positions, cell, CUTOFF, numbers), numbers)
    }
    assert shortest[32, 52].distance == 0.0
    assert shortest[32, 52].atoms == (0, 2)


@pytest.mark.parametrize(
    ("positions", "cell", "text"),
    [
        ([[0, 0, np.nan]], None, "position of atom 1 is not finite"),
        ([[0, 0, 0], [0, np.inf, 0]], np.eye(3), "position of atom 2 is not finite"),
        ([[0, 0, 0]], np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]]), "lie in a plane"),
        ([[0, 0, 0]], np.zeros((3, 3)), "lie in a plane"),
        ([[0, 0, 0]], np.array([[np.nan, 0, 0], [0, 1, 0], [0, 0, 1]]), "lattice vector is not finite"),
        ([[0, 0, 0]], 1e-2 * np.eye(3), "are the lengths in the unit"),
        ([[0, 0, 1e12]], 5 * np.eye(3), "away from the origin"),
    ],
)
def test_impossible_structures(positions: list, cell: NDArray[np.float64] | None, text: str) -> None:
    with pytest.raises(NumericalError, match=text):
        find_neighbors(np.array(positions, dtype=float), cell, CUTOFF, np.ones(len(positions), dtype=int))


def test_an_absurd_cutoff_is_a_sentence() -> None:
    """Its cube is beyond the largest float64."""
    with pytest.raises(NumericalError, match="inf neighbors within 1e"):
        find_neighbors(np.zeros((1, 3)), 5.0 * np.eye(3), 1e150, np.array([29]))
