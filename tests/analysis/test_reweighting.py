"""Averages by every sample from one trajectory, on a harmonic oscillator where all is known."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.analysis.reweighting import Reweighted

KT, STIFFNESS = 0.05, 2.0


def oscillator(rng: np.random.Generator, n: int, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x^2 of n independent frames at kT, and (V_s - V) / kT of samples of `factors` times the stiffness."""
    squares = rng.normal(scale=np.sqrt(KT / STIFFNESS), size=n) ** 2
    return squares[:, None], 0.5 * STIFFNESS * np.outer(squares, factors - 1.0) / KT


def test_first_order_of_the_exact_average() -> None:
    """<x^2>_s = kT / k_s, in first order kT/k (1 - (k_s - k) / k): the std is kT/k times that of k_s / k."""
    rng = np.random.default_rng(1)
    factors = 1.0 + 0.05 * rng.normal(size=50)
    found = Reweighted.of(*oscillator(rng, 200000, factors), 10)
    assert found.mean[0] == pytest.approx(KT / STIFFNESS, rel=0.01)
    assert found.std[0] == pytest.approx(KT / STIFFNESS * factors.std(ddof=1), rel=0.03)
    exact = (KT / STIFFNESS / factors).std(ddof=1)
    assert found.std[0] == pytest.approx(exact, rel=0.08)  # beyond first order


def test_two_samples_by_hand() -> None:
    """One sample pulls x with a force of 0.1 kT and shifts its average by 0.1, the other does not."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(100000, 1))
    d = np.concatenate([-0.1 * x, 0.0 * x], axis=1)  # <x>_1 = 0.1, <x>_2 = 0
    assert Reweighted.of(x, d, 10).std[0] == pytest.approx(0.1 / np.sqrt(2.0), rel=0.05)


def test_a_constant_shift_of_the_energies_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    values, deviations = oscillator(rng, 1000, np.array([0.9, 1.0, 1.2]))
    shifted = deviations + [5.0, -7.0, 100.0]
    assert Reweighted.of(values, shifted, 5).std == pytest.approx(Reweighted.of(values, deviations, 5).std)


def test_the_statistical_error_is_apart() -> None:
    """Energies that know nothing of the average give no std, however short the run; err ~ 1/sqrt(n)."""
    rng = np.random.default_rng(4)
    stds, errors = [], []
    for _ in range(100):
        values, deviations = rng.normal(size=(400, 1)), rng.normal(size=(400, 20))
        found = Reweighted.of(values, deviations, 20)
        stds.append(found.std[0])
        errors.append(found.error[0])
    assert np.mean(errors) == pytest.approx(1.0 / 20.0, rel=0.1)
    assert np.mean(np.square(stds)) < 0.3 * np.mean(np.square(errors))  # 1 with the noise
