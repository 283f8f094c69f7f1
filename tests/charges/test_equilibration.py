"""Charge equilibration: two atoms by hand, the constraint, the adjoint, and matrices without a minimum."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.charges.equilibration import Equilibration, NotPositive


def test_two_charges_by_hand() -> None:
    """The minimum of chi_1 q + chi_2 (Q - q) + 1/2 J_1 q^2 + 1/2 J_2 (Q - q)^2 + a q (Q - q)."""
    chi, J, a, total = np.array([0.3, -0.5]), (2.0, 3.0), 0.7, 0.4
    charges = Equilibration(np.array([[0.0, a], [a, 0.0]]), np.array(J)).solve(-chi, total)
    q = (chi[1] - chi[0] + (J[1] - a) * total) / (J[0] + J[1] - 2 * a)
    assert charges == pytest.approx([q, total - q], rel=1e-13)


def test_all_charges_have_one_electronegativity() -> None:
    rng = np.random.default_rng(1)
    root, chi = rng.normal(size=(9, 9)), rng.normal(size=9)
    matrix = root @ root.T + 0.1 * np.eye(9)
    charges = Equilibration(matrix, np.zeros(len(matrix))).solve(-chi, 1.5)
    assert charges.sum() == pytest.approx(1.5, rel=1e-12)
    assert np.ptp(matrix @ charges + chi) < 1e-11


def test_a_constant_for_all_elements_changes_no_charge() -> None:
    """Only the sum over all charges multiplies it: a matrix needs to be positive for neutral charges only."""
    rng = np.random.default_rng(2)
    root, chi = rng.normal(size=(6, 6)), rng.normal(size=6)
    matrix = root @ root.T + np.eye(6)
    negative = matrix - 5.0
    assert np.linalg.eigvalsh(negative)[0] < 0.0
    assert Equilibration(negative, np.zeros(len(matrix))).solve(-chi, 0.7) == pytest.approx(
        Equilibration(matrix, np.zeros(len(matrix))).solve(-chi, 0.7)
    )


def test_the_adjoint_gives_derivatives_through_the_charges() -> None:
    rng = np.random.default_rng(3)
    root, chi, direction = rng.normal(size=(7, 7)), rng.normal(size=7), rng.normal(size=(7, 7))
    matrix, change = root @ root.T + np.eye(7), direction + direction.T

    def energy(step: float) -> float:
        q = Equilibration(matrix + step * change, np.zeros(len(matrix))).solve(-chi * (1.0 + step), 0.3)
        return float(np.sin(q).sum())

    charges = Equilibration(matrix, np.zeros(len(matrix))).solve(-chi, 0.3)
    y = Equilibration(matrix, np.zeros(len(matrix))).solve(-np.cos(charges), 0.0)
    h = 1e-4
    numerical = (8 * (energy(h) - energy(-h)) - energy(2 * h) + energy(-2 * h)) / (12 * h)
    assert y @ (chi + change @ charges) == pytest.approx(numerical, rel=1e-9)


def test_a_matrix_without_a_minimum_names_its_atoms() -> None:
    matrix = np.diag([1.0, 1.0, -2.0, 1.0, -2.0]) + 0.1
    with pytest.raises(NotPositive) as caught:
        Equilibration(matrix, np.zeros(len(matrix)))
    assert sorted(caught.value.atoms) == [2, 4]
