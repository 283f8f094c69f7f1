"""Interaction of Gaussian charges: closed forms, Madelung constants, derivatives, invariances."""

from __future__ import annotations

from itertools import product
from math import erf, erfc, exp, pi, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnp.charges import coulomb as module
from bnnp.charges.coulomb import CORES, Coulomb, Screening, ewald_cell
from bnnp.charges.ewald import Ewald
from bnnp.structure import PERIODIC, VOIGT, Periodicity

Array = NDArray[np.float64]

FINE = Ewald(1.6, 14.0, 6.0)
TRICLINIC = np.array([[9.0, 1.0, 0.0], [-1.0, 8.0, 2.0], [1.0, 0.0, 10.0]])
SLAB = np.array([[9.0, 1.0, 3.0], [0.0, 0.0, 20.0], [-1.0, 8.0, 2.0]])  # the second vector is not repeated
ALL: tuple[Array | None, Periodicity] = (TRICLINIC, PERIODIC)
SYSTEMS = ((None, PERIODIC), ALL, (SLAB, (True, False, True)))
NAMES = ("molecule", "crystal", "slab")


def atoms(n: int = 10, seed: int = 3) -> tuple[Array, Array, Array, Array]:
    """Positions, widths, and two sets of charges that add up to zero."""
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(2, n))
    return rng.uniform(0.0, 8.0, (n, 3)), rng.uniform(0.5, 1.2, n), left - left.mean(), right - right.mean()


def interaction(
    positions: Array, cell: Array | None, widths: Array, pbc: Periodicity, core: str = "c"
) -> Coulomb:
    box = None if cell is None else ewald_cell(positions, cell, pbc)
    return Coulomb(positions, box, widths, Screening(1.5, 6.0, core), None if cell is None else FINE, pbc)


def central(function: object, h: float = 1e-3) -> float:
    """The derivative at 0, with an error of fourth order."""
    assert callable(function)
    return float((8.0 * (function(h) - function(-h)) - function(2 * h) + function(-2 * h)) / (12.0 * h))


@pytest.mark.parametrize("r", [1e-6, 0.3, 1.0, 2.9, 5.3, 8.4, 8.6, 30.0])
def test_two_charges_have_the_interaction_of_gaussians(r: float) -> None:
    """1 / gamma is 1 / sqrt(2) here, so that the distances reach from 0 to beyond erf = 1."""
    widths = np.array([0.6, 0.8])
    A, B = Coulomb(np.array([[0.0, 0.0, 0.0], [0.0, r, 0.0]]), None, widths, Screening(1.5, 6.0)).matrices
    expected = erf(r / sqrt(2.0)) / r
    assert A[0, 1] == pytest.approx(expected, rel=3e-15)
    assert A[1, 0] == A[0, 1]
    assert np.diagonal(A) == pytest.approx(1.0 / (widths * sqrt(pi)), rel=1e-15)
    screened = 0.0 if r < 1.5 else 1.0 if r > 6.0 else 0.5 * (1.0 - np.cos(pi * (r - 1.5) / 4.5))
    assert B[0, 1] == pytest.approx(expected * (screened - 1.0), rel=3e-15, abs=1e-300)
    assert np.diagonal(B) == pytest.approx(-1.0 / (widths * sqrt(pi)), rel=1e-15)


def test_the_functions_of_n2p2_have_their_values_in_the_middle() -> None:
    """f(1/2) is 1/2 of the cosine and the polynomials, which are odd about it, and exp(-1/3) of the last."""
    positions, r = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]), 3.0
    expected = erf(r / sqrt(2.0)) / r
    for core in CORES:
        _, B = Coulomb(positions, None, np.array([0.6, 0.8]), Screening(2.0, 4.0, core)).matrices
        assert B[0, 1] == pytest.approx(-expected * (exp(-1.0 / 3.0) if core == "e" else 0.5), rel=1e-14)


@pytest.mark.parametrize(
    ("cell", "positions", "charges", "pbc", "constant"),
    [
        (  # rock salt, d = 1
            np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]),
            [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
            [1.0, -1.0],
            PERIODIC,
            1.747564594633182,
        ),
        (  # cesium chloride
            np.eye(3) * 2.0 / sqrt(3.0),
            [[0.0, 0.0, 0.0], [1 / sqrt(3.0)] * 3],
            [1.0, -1.0],
            PERIODIC,
            1.762674773070988,
        ),
        (  # one layer of rock salt: a square lattice in the plane
            np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 5.0]]),
            [[0.0, 0.0, 0.3], [1.0, 0.0, 0.3]],
            [1.0, -1.0],
            (True, True, False),
            1.615542626712825,
        ),
    ],
)
def test_madelung_constants(
    cell: Array, positions: list[list[float]], charges: list[float], pbc: Periodicity, constant: float
) -> None:
    """Narrow charges at the distance 1, less their own energy (values: R. E. Crandall and J. P. Buhler, J.
    Phys. A 20, 5497 (1987); D. Borwein et al., J. Math. Phys. 26, 2999 (1985))."""
    r, q = np.array(positions), np.array(charges)
    box = ewald_cell(r, cell, pbc)
    A, _ = Coulomb(r, box, np.full(2, 0.05), None, Ewald(0.4, 4.0, 22.0), pbc).matrices
    energy = 0.5 * q @ (A - np.eye(2) / (0.05 * sqrt(pi))) @ q
    assert -energy == pytest.approx(constant, rel=3e-12 if all(pbc) else 3e-10)


def test_the_energy_of_one_charge_in_its_background() -> None:
    """A point charge in a cubic cell of edge 1: -2.837297479 / 2 (M. Leslie and M. J. Gillan, J. Phys. C 18,
    973 (1985))."""
    A, _ = Coulomb(np.zeros((1, 3)), np.eye(3), np.array([0.02]), None, Ewald(0.15, 1.5, 60.0)).matrices
    assert A[0, 0] - 1.0 / (0.02 * sqrt(pi)) == pytest.approx(-2.837297479480619, rel=1e-12)


@pytest.mark.parametrize(("cell", "pbc"), SYSTEMS[1:], ids=NAMES[1:])
def test_the_width_of_the_sum_changes_nothing(cell: Array, pbc: Periodicity) -> None:
    """Not even for charges that do not add up to zero, where the background counts."""
    positions, widths, *_ = atoms()
    box = ewald_cell(positions, cell, pbc)
    A, B = Coulomb(positions, box, widths, None, Ewald(1.5, 13.0, 6.5), pbc).matrices
    other_A, other_B = Coulomb(positions, box, widths, None, Ewald(2.2, 18.0, 4.5), pbc).matrices
    assert other_A == pytest.approx(A, abs=1e-11)
    assert other_B == pytest.approx(B, abs=1e-15)


def test_the_vacuum_of_a_slab_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    positions, widths, left, right = atoms()
    energies = []
    for vacuum in (3.0, 4.0, 6.0):
        monkeypatch.setattr(module, "VACUUM", vacuum)
        A, _ = interaction(positions, SLAB, widths, (True, False, True)).matrices
        energies.append(left @ A @ right)
    assert energies[1] == pytest.approx(energies[0], rel=1e-8)
    assert energies[2] == pytest.approx(energies[1], rel=1e-9)


def test_a_slab_of_dipoles_is_a_capacitor() -> None:
    """Between two sheets of charge +-s = 1 / area the potential changes by 4 pi s d, wherever they lie."""
    d, edge = 12.0, 3.0
    cell = np.diag([edge, edge, 30.0])
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, d]])
    A, _ = interaction(positions, cell, np.array([0.8, 0.8]), (True, True, False)).matrices
    sheet, _ = interaction(positions[:1], cell, np.array([0.8]), (True, True, False)).matrices
    step = 0.5 * (A[0, 0] + A[1, 1] - 2.0 * A[0, 1])  # energy of the pair of sheets for charges +1 and -1
    far, _ = interaction(positions * 2.0, cell, np.array([0.8, 0.8]), (True, True, False)).matrices
    assert 0.5 * (far[0, 0] + far[1, 1] - 2.0 * far[0, 1]) - step == pytest.approx(
        2.0 * pi * d / edge**2, rel=1e-10
    )
    assert np.isfinite(sheet).all()


@pytest.mark.parametrize(("cell", "pbc"), SYSTEMS, ids=NAMES)
@pytest.mark.parametrize("core", CORES)
def test_forces_are_finite_differences(cell: Array | None, pbc: Periodicity, core: str) -> None:
    positions, widths, left, right = atoms()
    box = None if cell is None else ewald_cell(positions, cell, pbc)
    forces, _ = interaction(positions, cell, widths, pbc, core).derivatives(left, right)

    def energy(atom: int, axis: int, shift: float) -> float:
        moved = positions.copy()
        moved[atom, axis] += shift
        ewald = None if box is None else FINE
        A, B = Coulomb(moved, box, widths, Screening(1.5, 6.0, core), ewald, pbc).matrices
        return float(0.5 * left @ (A @ right + B @ left))

    for atom, axis in product((0, 7), range(3)):
        numerical = -central(lambda shift, i=atom, k=axis: energy(i, k, shift))
        assert forces[atom, axis] == pytest.approx(numerical, abs=1e-10)
    assert forces.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)


@pytest.mark.parametrize(("cell", "pbc"), SYSTEMS[1:], ids=NAMES[1:])
def test_the_virial_is_a_finite_difference(cell: Array, pbc: Periodicity) -> None:
    """Of all strains of a crystal, and of those in the plane of a slab."""
    positions, widths, left, right = atoms()
    _, virial = interaction(positions, cell, widths, pbc, "p2").derivatives(left, right)
    normal = np.cross(*cell[list(pbc)]) if not all(pbc) else np.zeros(3)
    basis = np.linalg.svd(np.vstack([normal, np.zeros((2, 3))]))[2]
    plane = basis[1:] if not all(pbc) else np.eye(3)  # directions that are strained

    def energy(a: Array, b: Array, size: float) -> float:
        strain = np.eye(3) + 0.5 * size * (np.outer(a, b) + np.outer(b, a))
        A, B = interaction(positions @ strain, cell @ strain, widths, pbc, "p2").matrices
        return float(0.5 * left @ (A @ right + B @ left))

    for a, b in product(plane, plane):
        numerical = central(lambda size, a=a, b=b: energy(a, b, size))
        assert 0.5 * a @ (virial + virial.T) @ b == pytest.approx(numerical, abs=3e-9)


def test_cutoffs_longer_than_the_cell_count_all_images() -> None:
    """A cell and its double have the same energy for each atom, with screening far beyond the cell."""
    positions, widths = np.array([[0.1, 0.2, 0.3], [1.4, 1.6, 1.2]]), np.array([0.6, 0.9])
    cell, charges, screening = np.diag([3.0, 3.2, 2.8]), np.array([1.0, -1.0]), Screening(2.0, 7.0)
    one = sum(Coulomb(positions, cell, widths, screening, FINE).matrices)
    double = np.vstack([positions, positions + cell[1]])
    two = sum(Coulomb(double, cell * [[1], [2], [1]], np.tile(widths, 2), screening, FINE).matrices)
    charged = np.tile(charges, 2)
    assert charged @ two @ charged == pytest.approx(2.0 * charges @ one @ charges, rel=1e-11)


def test_neither_order_nor_rotation_nor_the_cell_of_an_atom_matters() -> None:
    positions, widths, left, right = atoms()
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    order = np.random.default_rng(6).permutation(len(widths))
    moved = positions + np.random.default_rng(7).integers(-2, 3, positions.shape) @ TRICLINIC
    first = interaction(positions, TRICLINIC, widths, PERIODIC)
    other = interaction((moved @ rotation)[order], TRICLINIC @ rotation, widths[order], PERIODIC)
    assert other.matrices[0] == pytest.approx(first.matrices[0][np.ix_(order, order)], abs=1e-12)
    forces, virial = first.derivatives(left, right)
    turned, turned_virial = other.derivatives(left[order], right[order])
    assert turned == pytest.approx((forces @ rotation)[order], abs=1e-12)
    assert turned_virial == pytest.approx(rotation.T @ virial @ rotation, abs=1e-11)


def test_threads_do_not_change_a_bit() -> None:
    positions, widths, left, right = atoms(40)
    one, three = (
        Coulomb(positions, TRICLINIC, widths, Screening(1.5, 6.0), FINE, threads=threads)
        for threads in (1, 3)
    )
    assert np.array_equal(one.matrices[0], three.matrices[0])
    assert np.array_equal(one.derivatives(left, right)[0], three.derivatives(left, right)[0])


def test_the_missing_part_of_the_sum_over_distances_is_that_of_erfc() -> None:
    """One pair beyond the cutoff: the difference of two cutoffs is its term."""
    positions, widths = np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]), np.array([0.7, 0.4])
    cell, gamma = np.eye(3) * 11.0, sqrt(0.7**2 + 0.4**2)
    near, far = (Coulomb(positions, cell, widths, None, Ewald(2.0, r, 4.0)).matrices[0] for r in (4.9, 5.1))
    expected = (erfc(5.0 / (sqrt(2.0) * 2.0)) - erfc(5.0 / (sqrt(2.0) * gamma))) / 5.0
    assert (far - near)[0, 1] == pytest.approx(expected, rel=1e-12)


def test_radii_and_functions_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="0 <= r_in < r_out, got 4 and 3"):
        Screening(4.0, 3.0)
    with pytest.raises(ValueError, match="c p1 p2 p3 p4 e behind the radii, got `p9`"):
        Screening(3.0, 4.0, "p9")


@pytest.mark.parametrize(("cell", "pbc"), SYSTEMS, ids=NAMES)
def test_matrices_of_slopes_are_those_of_the_derivatives(cell: Array | None, pbc: Periodicity) -> None:
    """Forces and virial of 1/2 Q (A + B) Q and, at fixed y, of y A Q, which have tests of their own; charges
    do not add up to zero."""
    positions, widths, left, right = atoms()
    own = interaction(positions, cell, widths, pbc)
    left, right = left + 0.1, right - 0.2 * (cell is None)
    slopes, strained = own.slopes(screened=True)
    forces, virial = own.derivatives(left, left)
    assert -left * (left @ slopes) == pytest.approx(forces.T, abs=1e-12)
    assert 0.5 * left @ strained @ left == pytest.approx(virial[VOIGT], abs=1e-11)
    slopes, strained = own.slopes(screened=False)
    by_position, by_strain = own.responses(right)
    expected = np.einsum("i,ika->ak", left, by_position)
    assert right * (left @ slopes) + left * (right @ slopes) == pytest.approx(expected, abs=1e-12)
    assert left @ strained @ right == pytest.approx(left @ by_strain, abs=1e-11)
