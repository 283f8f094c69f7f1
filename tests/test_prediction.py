"""Estimates in closed form, and what a calibration changes of a prediction."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.prediction import Estimate, Prediction
from bnnp.uncertainty.calibration import Calibration, Quantity
from bnnp.uncertainty.hybrid import SigmaParts
from bnnp.uncertainty.maps import Quadratic


def test_parts_of_the_variance_are_those_of_the_law_of_total_variance() -> None:
    found = Estimate.of(np.array([1.0, 3.0, 5.0, 10.0, 14.0]), (3, 2))
    within, between = (4.0 + 8.0) / 2, (12.0 - 3.0) ** 2 / 2
    assert found.value == pytest.approx(33.0 / 5)
    assert found.between == pytest.approx(np.sqrt(between))
    assert found.raw == pytest.approx(np.sqrt(within + between))
    assert found.std == found.raw


def test_one_network_has_its_own_spread_and_single_samples_that_between_them() -> None:
    samples = np.random.default_rng(0).normal(size=(4, 3, 12))
    one, singles = Estimate.of(samples, (12,)), Estimate.of(samples, (1,) * 12)
    np.testing.assert_array_equal(one.raw, samples.std(axis=-1, ddof=1))
    assert one.between is None
    np.testing.assert_allclose(singles.raw, samples.std(axis=-1, ddof=1))
    np.testing.assert_allclose(singles.between, singles.raw)


def test_a_plain_network_has_no_spread() -> None:
    found = Estimate.of(np.array([[2.0], [3.0]]), (1,))
    assert found.value.tolist() == [2.0, 3.0]
    assert (found.std, found.raw, found.between) == (None, None, None)


def test_a_constant_shifts_the_value_alone() -> None:
    found = Estimate.of(np.array([1.0, 3.0]), (2,)).plus(10.0)
    assert (found.value, found.std, found.raw) == (12.0, np.sqrt(2.0), np.sqrt(2.0))
    assert type(found.value) is type(found.std) is float  # as they are written with repr


def test_a_calibration_changes_std_and_leaves_raw_and_what_it_does_not_know() -> None:
    forces = np.full((2, 3), 0.5)
    raw = Prediction(
        Estimate(-6.0, 0.4, 0.4),
        Estimate(np.array([-3.0, -3.0]), np.full(2, 0.1), np.full(2, 0.1)),
        Estimate(forces, forces, forces),
        Estimate(np.ones(6), np.ones(6), np.ones(6)),
        descriptors=np.zeros((2, 1)),
        free_atoms=np.array([-1.0, 0.25]),
        parts=SigmaParts.of_samples(0.2, forces, np.ones(6)),
    )
    twice = Quantity(Quadratic(0.0, 4.0, 0.0, 10.0), np.ones(1), {})  # sqrt(4) sigma
    found = raw.calibrated(Calibration("mc", twice, {"Cu": twice}, None, 10, 50), ["Cu", "Cu"])
    assert (found.energy.std, found.energy.raw) == pytest.approx((0.8, 0.4))
    np.testing.assert_allclose(found.forces.std, 1.0)
    np.testing.assert_array_equal(found.forces.raw, forces)
    assert found.stress is raw.stress
    assert found.offset == -0.75
