"""Errors and their statistics: closed forms, and sums that may be added."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.uncertainty.metrics import ErrorSum, zero_by_symmetry
from bnnp.units import ATOMIC, METAL, Units


def test_by_hand() -> None:
    total = ErrorSum.of(np.array([1.0, 4.0]), np.array([2.0, 2.0]), np.array([0.5, 1.0]))
    assert total.rmse == pytest.approx(np.sqrt((1 + 4) / 2))
    assert total.mae == 1.5
    assert total.bias == 0.5
    assert total.mean_sigma == 0.75
    assert total.zms == pytest.approx((4 + 4) / 2)


def test_parts_add_up_to_the_whole() -> None:
    predicted, reference, sigma = np.random.default_rng(1).random((3, 30, 3))
    whole = ErrorSum.of(predicted, reference, sigma)
    parts = [ErrorSum.of(predicted[k], reference[k], sigma[k]) for k in range(30)]
    total = sum(parts, ErrorSum())
    for name in ("rmse", "mae", "bias", "mean_sigma", "zms"):
        assert getattr(total, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_without_reference_or_samples_there_is_no_number() -> None:
    only_sigma = ErrorSum.of(np.ones(3), None, np.full(3, 0.2))
    assert np.isnan(only_sigma.rmse)
    assert np.isnan(only_sigma.zms)
    assert only_sigma.mean_sigma == pytest.approx(0.2)
    assert np.isnan(ErrorSum.of(np.ones(3), np.ones(3)).mean_sigma)


def test_rounding_noise_has_no_score() -> None:
    """Forces of isolated atoms, alone and among others; a sigma that is far too small keeps its score."""
    noise = ErrorSum.of(np.full(3, 9.8e-15), np.zeros(3), np.full(3, 2e-17))
    assert np.isnan(noise.zms)
    honest = ErrorSum.of(np.array([0.2]), np.zeros(1), np.array([0.1]))
    assert (noise + honest).zms == pytest.approx(4.0)
    assert ErrorSum.of(np.array([0.2]), np.zeros(1), np.array([1e-15])).zms == pytest.approx(4e28)


@pytest.mark.parametrize("units", [METAL, ATOMIC])
def test_what_symmetry_makes_zero_has_no_score(units: Units) -> None:
    """Forces of an uncalibrated potential on a symmetric crystal (meV/Angstrom): rounding of positions."""
    scale = 1.0 / units.mev_per_angstrom
    errors, raw = scale * np.array([0.0, 0.4, 40.0, 3.0]), scale * np.array([1e-14, 1e-12, 1e-12, 3.0])
    symmetric = zero_by_symmetry("forces", errors, raw, units)
    assert symmetric.tolist() == [True, True, False, False]  # the third: no neighbor in the cutoff
    assert not zero_by_symmetry("energy", errors, raw, units).any()
    total = ErrorSum.of(errors[[0, 1, 3]], np.zeros(3), raw[[0, 1, 3]], symmetric[[0, 1, 3]])
    assert (total.count, total.scores, total.symmetric) == (3, 1, 2)
    assert total.zms == pytest.approx(1.0)


def test_zms_is_one_for_honest_sigmas() -> None:
    generator = np.random.default_rng(1)
    sigma = generator.uniform(0.1, 2.0, 20_000)
    zms = ErrorSum.of(generator.normal(0.0, sigma), np.zeros(20_000), sigma).zms
    assert abs(zms - 1) < 4 * np.sqrt(2 / 20_000)  # a chi-squared mean
