"""Grids of parameters against what they promise."""

from __future__ import annotations

from math import cos, exp, pi

import numpy as np
import pytest
import torch

from bnnp.descriptors import grids
from bnnp.descriptors.cutoffs import cutoff

R_0, R_C = 2.2, 6.5


def test_inflection_points_are_where_they_are_said_to_be() -> None:
    """Second derivative of exp(-eta r^2) f_c(r) by differences: its sign changes at the point."""
    found = grids.inflection_points(6, R_0, R_C)
    assert [r_s for _, r_s in found] == 6 * [0.0]

    def curvature(r: float, eta: float, h: float = 1e-4) -> float:
        f = [exp(-eta * x * x) * 0.5 * (1 + cos(pi * x / R_C)) for x in (r - h, r, r + h)]
        return (f[0] - 2 * f[1] + f[2]) / h**2

    for (eta, _), r in zip(found, np.linspace(R_0, R_C / 2, 6), strict=True):
        assert curvature(r - 0.02, eta) < 0.0 < curvature(r + 0.02, eta)
    assert found[-1][0] == 0.0
    with pytest.raises(ValueError, match="more than twice the shortest distance"):
        grids.inflection_points(6, 3.3, R_C)


def test_shifted_gaussians_cross_at_the_same_height() -> None:
    """Centers from r_0, a step apart, the last a step before the cutoff; exp(-1/8) half way between."""
    found = grids.shifted(5, R_0, R_C)
    centers = np.array([r_s for _, r_s in found])
    step = (R_C - R_0) / 5
    np.testing.assert_allclose(np.diff(centers), step)
    np.testing.assert_allclose(centers[[0, -1]], [R_0, R_C - step])
    for eta, _ in found:
        assert exp(-eta * (step / 2) ** 2) == pytest.approx(exp(-1 / 8))


def test_centered_gaussians_have_their_standard_deviation_on_the_grid() -> None:
    etas = np.array([eta for eta, _ in grids.centered(4, R_0, R_C)])
    np.testing.assert_allclose(1 / np.sqrt(2 * etas), np.linspace(R_0, R_C, 4))


def test_geometric_grids_by_hand() -> None:
    """r_c = 6, n = 4: five centered ones, eta from 1/36 to 16/36 by factors of 2; four at R = 6 / 4^(m/4)."""
    found = grids.geometric(9, R_0, 6.0)
    np.testing.assert_allclose([eta for eta, _ in found[:5]], np.array([1, 2, 4, 8, 16]) / 36)
    assert [r_s for _, r_s in found[:5]] == 5 * [0.0]
    root = np.sqrt(2.0)
    radii = np.array([6.0, 6.0 / root, 3.0, 3.0 / root, 1.5])
    np.testing.assert_allclose([r_s for _, r_s in found[5:]], radii[1:])
    np.testing.assert_allclose([eta for eta, _ in found[5:]], 1.0 / np.diff(radii) ** 2)
    assert len(grids.geometric(3, R_0, 6.0)) == 3
    np.testing.assert_allclose(grids.geometric_etas(2, R_0, 6.0), np.array([1, 2]) / 36)


def test_decay_reaches_inwards_in_equal_ratios() -> None:
    radii = grids.decay_radii(4, R_0, R_C)
    np.testing.assert_allclose(np.array(radii[1:]) / radii[:-1], (R_0 / R_C) ** 0.25)
    assert radii[0] == R_C
    assert grids.decay(2, R_0, R_C)[0] == pytest.approx(1 / (2 * R_C**2))
    assert grids.decay_from_zero(1, R_0, R_C) == [0.0]
    assert grids.decay_from_zero(3, R_0, R_C)[1:] == grids.decay(2, R_0, R_C)


@pytest.mark.parametrize("number", [2, 4, 6])
@pytest.mark.parametrize("core", [5, 6, 7, 8])  # p1 ... p4 as cutoff functions
def test_angle_windows_add_up_to_one(number: int, core: int) -> None:
    angles = torch.linspace(0.0, 180.0, 37, dtype=torch.float64)
    total = torch.zeros_like(angles)
    for left, right in grids.angle_windows(number):
        total += cutoff((angles - 0.5 * (left + right)).abs(), 0.5 * (right - left), core)
    np.testing.assert_allclose(total.numpy(), 1.0, rtol=1e-12)


def test_radial_windows_reach_to_the_next_centers() -> None:
    found = np.array(grids.radial_windows(5, R_0, R_C))
    np.testing.assert_allclose(found[2:, 0], found[:-2, 1])
    np.testing.assert_allclose(found.mean(axis=1)[0], R_0)
    assert found[-1, 1] == pytest.approx(R_C)
