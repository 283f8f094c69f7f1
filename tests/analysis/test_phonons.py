"""Frequencies, density of states and thermal properties against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from ase.units import _hplanck, _k

from bnnp.analysis.phonons import (
    THZ,
    ForceConstants,
    density_of_states,
    gruneisen,
    thermal_properties,
    without_drift,
)

CELLS = 6  # of the chain


def chain(springs: list[float], masses: list[float]) -> ForceConstants:
    """A chain along x with one spring between neighbors, one sample for each of `springs`, eV/Angstrom^2."""
    n = len(masses)
    total = CELLS * n  # atom J is number J % n of cell J // n, equally far apart
    values = np.zeros((len(springs), n, total, 3, 3))
    vectors, chosen = [], np.zeros((total, n, 2), dtype=np.int64)
    for J in range(total):
        for i in range(n):
            apart = J - i
            steps = sorted({apart, apart - total, apart + total}, key=abs)
            short = [step for step in steps if abs(step) == abs(steps[0])]
            chosen[J, i] = len(short), len(vectors)
            vectors += [[step / n, 0.0, 0.0] for step in short]
            if abs(steps[0]) == 1:
                values[:, i, J, 0, 0] = -np.array(springs)
    home = np.arange(n)
    images = np.tile(np.arange(n), CELLS)
    return ForceConstants(without_drift(values, home), images, np.array(vectors), chosen, np.array(masses))


Q = np.linspace(-0.5, 0.5, 11)
POINTS = np.stack([Q, np.zeros(11), np.zeros(11)], axis=1)


def test_unit_of_frequencies() -> None:
    """VaspToTHz of phonopy: 15.633302 THz of one (eV/Angstrom^2/amu)^(1/2)."""
    assert pytest.approx(15.633302, rel=1e-6) == THZ


def test_chain_of_equal_atoms() -> None:
    """omega = 2 sqrt(K/m) |sin(q a / 2)|: N. Ashcroft, N. Mermin, Solid State Physics (1976), (22.29)."""
    found = chain([1.0, 4.0], [28.0]).frequencies(POINTS)
    assert found.shape == (11, 3, 2)
    expected = THZ * 2.0 * np.sqrt(np.array([1.0, 4.0]) / 28.0) * np.abs(np.sin(np.pi * Q))[:, None]
    np.testing.assert_allclose(found[:, 2], expected, atol=1e-6)
    np.testing.assert_allclose(found[:, :2], 0.0, atol=1e-6)


def test_chain_of_two_masses() -> None:
    """omega^2 = K (1/m + 1/M) -+ K sqrt((1/m + 1/M)^2 - 4 sin^2(q a / 2) / (m M)): Ashcroft (22.37)."""
    m, M, K = 12.0, 70.0, 2.5
    found = chain([K], [m, M]).frequencies(POINTS)[..., 0]
    both = 1.0 / m + 1.0 / M
    root = np.sqrt(both**2 - 4.0 * np.sin(np.pi * Q) ** 2 / (m * M))
    np.testing.assert_allclose(found[:, -1], THZ * np.sqrt(K * (both + root)), rtol=1e-9)
    np.testing.assert_allclose(found[:, -2], THZ * np.sqrt(K * (both - root).clip(0.0)), atol=1e-6)


def test_a_spring_that_pushes_is_imaginary() -> None:
    found = chain([-1.0], [28.0]).frequencies(POINTS)
    np.testing.assert_allclose(found[0, 0, 0], -THZ * 2.0 / np.sqrt(28.0), rtol=1e-9)


def test_zone_center() -> None:
    springs = chain([1.0, 3.0], [12.0, 70.0])
    roots = np.sqrt(np.repeat(springs.masses, 3))
    expected = springs.dynamical_matrices(np.zeros((1, 3)))[0].real * np.outer(roots, roots)
    np.testing.assert_allclose(springs.at_zone_center, expected, atol=1e-12)
    assert springs.at_zone_center[1, 0, 3] == pytest.approx(-6.0)  # two springs of 3


def test_thermal_properties_of_one_oscillator() -> None:
    """F from the partition function, S = -dF/dT and C = T dS/dT by differences, and the limits."""
    nu = np.array([3.0, 7.0]).reshape(1, 1, 2)
    kelvin = np.array([0.0, 299.5, 300.0, 300.5, 50000.0])
    found = thermal_properties(nu, np.ones(1), kelvin)
    x = _hplanck * nu[0, 0] * 1e12 / (_k * 300.0)
    boltzmann = 8.617333262e-5  # eV/K, CODATA 2018
    np.testing.assert_allclose(
        found.free_energy[2], boltzmann * 300.0 * np.log(2.0 * np.sinh(x / 2.0)), rtol=1e-6
    )
    np.testing.assert_allclose(
        found.free_energy[0], 0.5 * _hplanck * nu[0, 0] * 1e12 / 1.602176634e-19, rtol=1e-6
    )
    slope = -(found.free_energy[3] - found.free_energy[1]) / boltzmann
    np.testing.assert_allclose(found.entropy[2], slope, rtol=1e-5)
    np.testing.assert_allclose(
        found.heat_capacity[2], 300.0 * (found.entropy[3] - found.entropy[1]), rtol=1e-4
    )
    np.testing.assert_allclose(found.heat_capacity[[0, 4]], [[0.0, 0.0], [1.0, 1.0]], atol=1e-5)


def test_imaginary_and_silent_modes_have_no_part() -> None:
    nu = np.array([5.0, -3.0, 1e-5]).reshape(1, 3, 1)
    found, alone = (thermal_properties(each, np.ones(1), np.array([300.0])) for each in (nu, nu[:, :1]))
    assert found.entropy == alone.entropy
    assert found.free_energy == alone.free_energy


def test_density_of_states() -> None:
    """The integral is the number of branches; weights count."""
    nu = np.array([[2.0, 6.0], [4.0, 6.0]])[..., None]
    points, density = density_of_states(nu, np.array([1, 3]), smearing=0.1, step=0.01)
    assert density[:, 0].sum() * 0.01 == pytest.approx(2.0, rel=1e-6)
    below = points < 3.0
    assert density[below, 0].sum() * 0.01 == pytest.approx(0.25, rel=1e-6)
    width = np.sqrt((density[below, 0] * (points[below] - 2.0) ** 2).sum() / density[below, 0].sum())
    assert width == pytest.approx(0.1, rel=0.02)


def test_gruneisen_of_a_power_law() -> None:
    """nu ~ V^-2: gamma = 2; acoustic modes at the zone center have none."""
    nu = np.array([5.0, 0.0]).reshape(1, 2, 1)
    found = gruneisen(nu * 0.99**-2, nu * 1.01**-2, nu, 0.01)
    assert found[0, 0, 0] == pytest.approx(2.0, rel=1e-3)
    assert np.isnan(found[0, 1, 0])
