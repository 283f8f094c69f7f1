"""Elastic constants and the equation of state against models with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from ase.units import GPa

from bnnp.analysis.elasticity import (
    EquationOfState,
    bulk_and_shear_modulus,
    elastic_constants,
    strained,
)


def test_strain_is_voigts() -> None:
    """A normal strain is the relative change of a length, a shear strain the change of the angle."""
    cell = np.diag([2.0, 3.0, 4.0])
    np.testing.assert_allclose(strained(cell, 1, 0.01), np.diag([2.0, 3.03, 4.0]))
    sheared = strained(cell, 3, 0.01)
    cosine = sheared[1] @ sheared[2] / np.linalg.norm(sheared[1]) / np.linalg.norm(sheared[2])
    assert np.pi / 2 - np.arccos(cosine) == pytest.approx(0.01, rel=1e-4)


def test_atoms_relax_in_a_strained_cell() -> None:
    """A harmonic energy of strain and two atoms: the second derivative of its minimum over the atoms."""
    rng, V, S = np.random.default_rng(2), 20.0, 3
    clamped = rng.normal(size=(S, 6, 6))
    clamped = clamped @ clamped.transpose(0, 2, 1)
    coupling = rng.normal(size=(S, 3, 6))
    coupling = np.concatenate([coupling, -coupling], axis=1)  # no net force
    springs = rng.normal(size=(S, 3, 3))
    springs = springs @ springs.transpose(0, 2, 1) + 0.5 * np.eye(3)
    springs = np.block([[springs, -springs], [-springs, springs]])

    def relaxed_energy(s: int, strain: np.ndarray) -> float:
        force = -coupling[s] @ strain
        u = np.linalg.lstsq(springs[s], force, rcond=1e-10)[0]
        return float(
            0.5 * V * strain @ clamped[s] @ strain + strain @ coupling[s].T @ u + 0.5 * u @ springs[s] @ u
        )

    amount, unit = 0.01, np.eye(6)
    signs = np.array([-1.0, 1.0]) * amount
    stress = np.einsum("sjk,x->kxjs", clamped, signs)
    forces = -np.einsum("sck,x->kxcs", coupling, signs).reshape(6, 2, 2, 3, S)
    found = elastic_constants(stress, forces, amount, V, springs)
    for s in range(S):
        for j in range(6):
            for k in range(6):
                plus, minus = (relaxed_energy(s, unit[j] + x * unit[k]) for x in (1.0, -1.0))
                assert found[j, k, s] == pytest.approx((plus - minus) / 2.0 / V / GPa, rel=1e-8, abs=1e-8)


def test_moduli_of_an_isotropic_body() -> None:
    """B = lambda + 2 mu / 3, G = mu."""
    lame, mu = np.array([50.0, 80.0]), np.array([30.0, 20.0])
    C = np.zeros((6, 6, 2))
    C[:3, :3] = lame
    for k in range(3):
        C[k, k] += 2.0 * mu
        C[3 + k, 3 + k] = mu
    bulk, shear = bulk_and_shear_modulus(C)
    np.testing.assert_allclose(bulk, lame + 2.0 * mu / 3.0)
    np.testing.assert_allclose(shear, mu)


def birch(V: np.ndarray, V0: float, E0: float, B0: float, B1: float) -> np.ndarray:
    """F. Birch, Phys. Rev. 71, 809 (1947), eV and Angstrom^3; B0 in GPa."""
    x = (V0 / V) ** (2.0 / 3.0)
    return E0 + 9.0 * V0 * B0 * GPa / 16.0 * ((x - 1.0) ** 3 * B1 + (x - 1.0) ** 2 * (6.0 - 4.0 * x))


def test_equation_of_state_is_recovered() -> None:
    V = np.linspace(18.0, 23.0, 7)
    rows = [(20.0, -5.0, 98.0, 4.2), (21.0, 3.0, 50.0, 6.0)]
    fit = EquationOfState.fit(V, np.stack([birch(V, *row) for row in rows], axis=-1))
    found = np.stack([fit.volume, fit.energy, fit.bulk_modulus, fit.derivative], axis=-1)
    np.testing.assert_allclose(found, rows, rtol=1e-6)


def test_energy_without_a_minimum() -> None:
    V = np.linspace(18.0, 23.0, 7)
    assert np.isnan(EquationOfState.fit(V, -((V - 20.0) ** 2)[:, None]).volume).all()
