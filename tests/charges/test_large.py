"""Sums over neighbors and a mesh: they are those of the matrices, whatever the split, and a closed form."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnp.charges.coulomb import Coulomb, Screening, ewald_cell
from bnnp.charges.ewald import Ewald
from bnnp.charges.large import LargeCoulomb, Split
from bnnp.charges.mesh import ORDERS, Mesh, MeshSum, mesh_spacing
from bnnp.structure import PERIODIC, Periodicity

Array = NDArray[np.float64]

CELL = np.array([[9.0, 1.0, 0.0], [-1.0, 8.0, 2.0], [1.0, 0.0, 10.0]])
LAYER = np.array([[9.0, 1.0, 3.0], [0.0, 0.0, 20.0], [-1.0, 8.0, 2.0]])  # the second vector is not repeated
SYSTEMS = ((CELL, PERIODIC), (LAYER, (True, False, True)))
FINE = Ewald(1.4, 20.0, 7.0)  # exp(-(k eta)^2 / 2) is 1e-21, erfc(r / sqrt(2) gamma) below 1e-17
SCREENING = Screening(1.5, 6.0, "p2")


def atoms(n: int = 20, seed: int = 3) -> tuple[Array, Array, Array, Array]:
    """Positions, widths of three kinds, and two sets of charges that do not add up to zero."""
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(2, n))
    return rng.uniform(0.0, 8.0, (n, 3)), rng.choice([0.5, 0.9, 1.6], n), left, right


def split_of(cell: Array, spread: float, order: int, precision: float) -> Split:
    spacing = mesh_spacing(order, precision) * spread
    return Split(spread, sqrt(-2.0 * np.log(precision)), Mesh.of(cell, spacing, order))


def large(cell: Array, pbc: Periodicity, spread: float = 1.1, order: int = 14) -> LargeCoulomb:
    positions, widths, *_ = atoms()
    return LargeCoulomb(positions, cell, widths, SCREENING, split_of(cell, spread, order, 1e-13), pbc)


@pytest.mark.parametrize(("cell", "pbc"), SYSTEMS, ids=["crystal", "slab"])
@pytest.mark.parametrize("spread", [0.7, 1.1, 2.0])
def test_products_and_derivatives_are_those_of_the_matrices(
    cell: Array, pbc: Periodicity, spread: float
) -> None:
    """Below, between and above the widths of the charges."""
    positions, widths, left, right = atoms()
    box = ewald_cell(positions, cell, pbc)
    dense, sparse = Coulomb(positions, box, widths, SCREENING, FINE, pbc), large(box, pbc, spread)
    for found, matrix in zip(sparse.potentials(right), dense.matrices, strict=True):
        assert found == pytest.approx(matrix @ right, abs=1e-11)
    for found, expected in zip(sparse.derivatives(left, right), dense.derivatives(left, right), strict=True):
        assert found == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("precision", [1e-3, 1e-6, 1e-9])
def test_a_mesh_has_the_precision_it_is_chosen_for(order: int, precision: float) -> None:
    """Of potentials of charges of order 1 at distances of order 1; the matrix is summed to rounding."""
    positions, widths, _, charges = atoms()
    split = split_of(CELL, 1.6, order, precision)
    if split.mesh.points > 10**6:  # B-splines of a low order are not for a high precision
        assert order < 8
        return
    found = LargeCoulomb(positions, CELL, widths, None, split).product(charges)
    A, _ = Coulomb(positions, CELL, widths, None, FINE).matrices
    assert np.abs(found - A @ charges).max() < 3.0 * precision


@pytest.mark.parametrize("precision", [1e-3, 1e-6, 1e-9, 1e-12])
def test_the_fastest_split_has_its_precision(precision: float) -> None:
    positions, widths, _, charges = atoms()
    found = LargeCoulomb(positions, CELL, widths, None, Split.of(precision, CELL, widths)).product(charges)
    A, _ = Coulomb(positions, CELL, widths, None, FINE).matrices
    assert np.abs(found - A @ charges).max() < 3.0 * precision


def test_a_little_strain_does_not_change_the_split() -> None:
    _, widths, *_ = atoms(500)
    assert Split.of(1e-9, CELL * 3.001, widths).spread == Split.of(1e-9, CELL * 3.0, widths).spread


def test_numbers_of_runner_are_taken_as_they_are() -> None:
    """Sums that are cut off much too early are the same, too."""
    positions, widths, left, right = atoms()
    ewald = Ewald(1.9, 7.0, k_max=3)
    dense = Coulomb(positions, CELL, widths, SCREENING, ewald)
    sparse = LargeCoulomb(positions, CELL, widths, SCREENING, Split.given(ewald, CELL))
    assert sparse.product(right) == pytest.approx(dense.matrices[0] @ right, abs=1e-10)
    assert sparse.derivatives(left, right)[0] == pytest.approx(dense.derivatives(left, right)[0], abs=1e-9)


def test_rock_salt_has_its_madelung_constant() -> None:
    """Point charges at the distance 1 (R. E. Crandall and J. P. Buhler, J. Phys. A 20, 5497 (1987))."""
    grid = np.array([[i, j, k] for i in range(4) for j in range(4) for k in range(4)], dtype=float)
    charges = np.where(grid.sum(axis=1) % 2, -1.0, 1.0)
    cell, widths = 4.0 * np.eye(3), np.zeros(64)
    found = LargeCoulomb(grid + 0.21, cell, widths, None, Split.of(1e-12, cell, widths)).product(charges)
    assert found == pytest.approx(-1.747564594633182 * charges, abs=1e-10)


def test_forces_are_derivatives_of_the_energy_of_a_coarse_mesh() -> None:
    """Exactly, although the mesh has only a precision of 1e-3; and the total force is no larger than that."""
    positions, widths, left, right = atoms()
    spreads = np.full(len(widths), 1.2)
    mesh = Mesh.of(CELL, 1.2 * mesh_spacing(6, 1e-3), 6)

    def energy(moved: Array, cell: Array) -> float:
        return float(0.5 * left @ MeshSum(moved @ np.linalg.inv(cell), cell, spreads, mesh).potentials(right))

    forces, virial = MeshSum(positions @ np.linalg.inv(CELL), CELL, spreads, mesh).derivatives(left, right)
    h, weights = 2e-3, ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0))
    for atom, axis in ((0, 0), (7, 1), (19, 2)):
        unit = np.zeros_like(positions)
        unit[atom, axis] = h
        slope = sum(w * energy(positions + k * unit, CELL) for k, w in weights) / (12.0 * h)
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-9)
    for a, b in ((0, 0), (1, 2), (0, 2)):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5 * h
        strain[b, a] += 0.5 * h
        deformed = [np.eye(3) + k * strain for k, _ in weights]
        values = [w * energy(positions @ x, CELL @ x) for x, (_, w) in zip(deformed, weights, strict=True)]
        assert virial[a, b] == pytest.approx(sum(values) / (12.0 * h), abs=1e-8)
    assert np.abs(forces.sum(axis=0)).max() < 1e-2


def test_threads_do_not_change_a_bit() -> None:
    positions, widths, left, right = atoms(150)
    one, three = (
        LargeCoulomb(positions, CELL, widths, SCREENING, Split.of(1e-9, CELL, widths), threads=threads)
        for threads in (1, 3)
    )
    assert np.array_equal(one.product(right), three.product(right))
    assert np.array_equal(one.derivatives(left, right)[0], three.derivatives(left, right)[0])


def test_molecules_have_products_without_a_matrix() -> None:
    positions, widths, _, charges = atoms()
    found = Coulomb(positions, None, widths, SCREENING).potentials(charges)
    for own, matrix in zip(found, Coulomb(positions, None, widths, SCREENING).matrices, strict=True):
        assert own == pytest.approx(matrix @ charges, abs=1e-13)
