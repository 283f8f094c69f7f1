"""Calibration of known laws: factors, quantiles, conformal coverage, folds, errors that tell nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnp.errors import NumericalError
from bnnp.uncertainty.calibration import (
    Calibration,
    Observations,
    Quantity,
    conformal_factor,
    cross_fitted,
    fit_calibration,
    fit_quantity,
    hybrid_weights,
    sigma_quantiles,
)
from bnnp.uncertainty.hybrid import Distances, SigmaParts
from bnnp.uncertainty.maps import Quadratic
from bnnp.uncertainty.scores import zms

Array = NDArray[np.float64]


def observations(
    factor: float = 0.25, structures: int = 100, each: int = 20, outside: int = 0, kinds: int = 1
) -> Observations:
    """Normal errors whose size is `factor` times the first part."""
    generator = np.random.default_rng(9)
    parts = generator.uniform(0.2, 2.0, (structures * each, kinds))
    return Observations(
        generator.normal(0.0, factor * parts[:, 0]),
        parts,
        np.repeat(np.arange(structures), each),
        np.repeat(np.arange(structures) >= structures - outside, each),
    )


def complete(parts: Array, close: float = 0.0, spread: float = 1e9) -> Array:
    """(..., 5) parts from the first three; samples that spread so much set no limit."""
    more = np.broadcast_to([close, spread], (*parts.shape[:-1], 2))
    return np.concatenate([parts, more], axis=-1)


def test_a_sigma_four_times_too_large() -> None:
    found = observations(0.25)
    quantity = fit_quantity(found, "mc")
    sigma = quantity.sigma(found.parts)
    assert zms(found.errors, sigma) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 2000))
    np.testing.assert_allclose(sigma, 0.25 * found.parts[:, 0], rtol=0.2)
    assert quantity.scores["raw"] == pytest.approx(0.25, rel=0.05)
    assert quantity.scores["calibrated"] == pytest.approx(1.0, abs=0.05)
    assert quantity.scores["coverage"] == pytest.approx(0.9, abs=0.03)


def test_the_map_with_the_lower_crps_is_taken() -> None:
    """A step is no quadratic law, a straight line is one: each is found by its own kind of map."""
    found = observations(1.0, structures=400)
    steps = np.where(found.parts[:, 0] > 1.1, 10.0, 0.1)
    step = replace(found, errors=found.errors / found.parts[:, 0] * steps)
    for each, kind in ((found, "quadratic"), (step, "isotonic")):
        quantity = fit_quantity(each, "mc")
        assert quantity.map.kind == kind
        other = {"quadratic": "isotonic", "isotonic": "quadratic"}[kind]
        assert quantity.scores[kind] < quantity.scores[other]


def test_hybrid_finds_the_part_that_matters() -> None:
    """The error is that of the third part, and no map of the first can know it."""
    found = observations(1.0, structures=200, kinds=3)
    found = replace(found, errors=found.errors / found.parts[:, 0] * 0.5 * found.parts[:, 2])
    found = replace(found, parts=complete(found.parts))
    weights = hybrid_weights(found)
    np.testing.assert_allclose(weights, [0.0, 0.0, 0.5], atol=0.12)
    np.testing.assert_allclose(np.square(weights) @ np.ones(3), 0.25, rtol=0.1)
    assert fit_quantity(found, "hybrid").scores["quadratic"] < fit_quantity(found, "mc").scores["quadratic"]


def test_sigma_of_hybrid_is_at_least_that_of_the_distance() -> None:
    """Errors of 0.3 at distances of 2, whatever the samples say: 0.6 at 4, and 60 at 400."""
    rng = np.random.default_rng(3)
    count = 2000
    parts = np.column_stack([rng.uniform(0.9, 1.1, count), rng.uniform(0.9, 1.1, count), np.full(count, 2.0)])
    errors = 0.3 * rng.choice([-1.0, 1.0], count)
    parts = complete(parts)
    found = Observations(errors, parts, np.arange(count) // 10, np.zeros(count, dtype=np.bool_))
    quantity = fit_quantity(found, "hybrid")
    assert quantity.least == pytest.approx(0.15, rel=1e-12)
    far = complete(np.array([[1.0, 1.0, 4.0], [1.0, 1.0, 400.0]]))
    np.testing.assert_allclose(quantity.sigma(far), [0.6, 60.0], rtol=1e-3)
    outside = replace(found, outside=np.arange(count) >= count - 200)  # these say how it grows
    assert fit_quantity(outside, "hybrid").least == 0.0


def test_sigma_of_hybrid_has_the_size_of_the_errors_inside() -> None:
    """Also where the least, from the distance, and the map, from the samples, disagree."""
    rng = np.random.default_rng(4)
    count = 4000
    parts = complete(np.abs(rng.normal(size=(count, 3))) + 0.2)
    errors = rng.normal(size=count) * parts[:, 0]
    found = Observations(errors, parts, np.arange(count) // 10, np.zeros(count, dtype=np.bool_))
    quantity = fit_quantity(found, "hybrid")
    assert zms(errors, quantity.sigma(parts)) == pytest.approx(1.0, abs=0.05)
    assert quantity.least > 0.0


@pytest.mark.parametrize(("independent", "wider"), [(1.0, 3.838), (3.0, 1.431), (9.0, 1.114), (1e9, 1.0)])
def test_few_independent_errors_widen_sigma(independent: float, wider: float) -> None:
    """t(0.95) of 1, 3 and 9 degrees of freedom is 6.314, 2.353, 1.833; the normal one 1.645."""
    found = observations(factor=4.0)
    many, few = fit_quantity(found, "mc"), fit_quantity(found, "mc", independent)
    assert few.sigma(found.parts) == pytest.approx(wider * many.sigma(found.parts), rel=1e-3)
    assert few.conformal == many.conformal  # of the wider sigma, so that intervals are wider too


def test_few_independent_errors_take_the_shape_of_the_distance() -> None:
    """The Monte Carlo part has no say, so that sigma is in proportion to the distance."""
    rng = np.random.default_rng(4)
    found = observations()
    parts = np.column_stack(
        [rng.uniform(0.1, 1.0, (len(found.errors), 2)), rng.uniform(0.5, 2.0, len(found.errors))]
    )
    found = replace(found, errors=parts[:, 2] * rng.normal(size=len(parts)), parts=complete(parts))
    quantity = fit_quantity(found, "hybrid", 4.0)
    far = complete(np.array([[0.0, 0.0, 20.0], [9.0, 9.0, 20.0]]))
    near = complete(np.array([[0.0, 0.0, 2.0], [9.0, 9.0, 2.0]]))
    assert quantity.sigma(far)[0] == quantity.sigma(far)[1]
    assert quantity.sigma(far) == pytest.approx(10.0 * quantity.sigma(near), rel=0.2)


HYBRID = Quantity(Quadratic(0.1, 1.0, 0.0, 1.0), np.array([0.0, 0.0, 0.1]), {}, least=0.1, inside=0.3)


def test_the_spread_of_the_samples_limits_sigma() -> None:
    """0.1 a distance, but at most sqrt(0.4^2 + 0.3^2) = 0.5; at a closeness of 1 twice that."""
    far, near = np.array([0.4, 0.2, 50.0]), np.array([0.4, 0.2, 1.0])
    assert HYBRID.sigma(complete(far, spread=0.4)) == pytest.approx(0.5, rel=1e-12)
    assert HYBRID.sigma(complete(far, close=1.0, spread=0.4)) == pytest.approx(1.0, rel=1e-12)
    assert HYBRID.sigma(complete(near, spread=0.4)) == pytest.approx(np.hypot(0.1, 0.1), rel=1e-12)
    assert replace(HYBRID, inside=np.inf).sigma(complete(far, spread=0.4)) == pytest.approx(5.025, rel=1e-3)


def far_off(atoms: list[float], unseen: list[bool] | None = None) -> Distances:
    flags = np.zeros(len(atoms), dtype=np.bool_) if unseen is None else np.array(unseen)
    return Distances(np.array(atoms), np.zeros(len(atoms)), 1.0, flags)


def test_the_spread_counts_beyond_twice_the_reach() -> None:
    """With a reach of 2, w = 0 up to a distance of 4, 3/4 at 8; the energy has the mean of w^2."""
    calibration = Calibration("hybrid", HYBRID, {"Ge": HYBRID}, HYBRID, 10, 50, reach=2.0)
    parts = SigmaParts(
        complete(np.full(3, 0.1), spread=3.0),
        complete(np.full((4, 3, 3), 0.1), spread=6.0),
        complete(np.full((6, 3), 0.1), spread=4.0),
    )
    near, far = (calibration.apply(replace(parts, distances=far_off(atoms)), ["Ge"] * 4) for atoms in ATOMS)
    np.testing.assert_allclose((far[1] ** 2 - near[1] ** 2)[3], 36.0 * 9 / 16, rtol=1e-9)
    np.testing.assert_array_equal(far[1][:3], near[1][:3])
    assert far[0] ** 2 - near[0] ** 2 == pytest.approx(9.0 * 9 / 64, rel=1e-9)
    np.testing.assert_allclose(far[2] ** 2 - near[2] ** 2, 16.0 * 9 / 64, rtol=1e-9)


ATOMS = [0.0, 1.0, 4.0, 4.0], [0.0, 1.0, 4.0, 8.0]


def test_reach_and_limit_of_a_fit() -> None:
    """Of unbounded networks only; the largest distance of all structures inside."""
    found = observations(1.0, kinds=3)
    found = replace(found, parts=complete(found.parts), farthest=np.linspace(3.0, 1.0, len(found.errors)))
    far = replace(found, outside=found.structure < 5)  # the first ones
    free, bounded = (fit_calibration({"energy": found}, "hybrid", 10, bounded=flag) for flag in (False, True))
    assert free.energy is not None
    assert bounded.energy is not None
    assert (free.reach, bounded.reach) == (3.0, np.inf)
    assert 1.0 < fit_calibration({"energy": far}, "hybrid", 10).reach < 3.0
    assert fit_calibration({"energy": found}, "mc", 10).reach == np.inf
    assert free.energy.inside == pytest.approx(np.sqrt(np.mean(found.errors**2)), rel=1e-12)
    assert bounded.energy.inside == np.inf


def test_distances_that_are_all_zero_have_no_reach() -> None:
    """So that an element whose functions never vary keeps its calibrated sigma."""
    found = observations(1.0, kinds=3)
    found = replace(found, parts=complete(found.parts), farthest=np.zeros(len(found.errors)))
    assert fit_calibration({"forces Ge": found}, "hybrid", 10).reach == np.inf


def test_a_force_without_a_calibration_has_three_parts_that_are_no_numbers() -> None:
    calibration = Calibration("hybrid", HYBRID, {"Ge": HYBRID}, None, 10, 50)
    parts = complete(np.full((3, 3), 0.1))
    assert calibration.components_of_force("Te", parts).shape == (3,)
    assert np.isnan(calibration.components_of_force("Te", parts)).all()
    np.testing.assert_allclose(calibration.components_of_force("Ge", parts), [0, 0, np.sqrt(3.0) * 0.01])


def test_no_error_has_a_share_in_its_own_sigma() -> None:
    """With one structure that is far off, its own sigma is not raised by it, those of the others are."""
    found = observations(1.0, structures=5, each=50)
    errors = found.errors.copy()
    errors[found.structure == 2] *= 100.0
    found = replace(found, errors=errors)
    sigma = cross_fitted(Quadratic.fit, found.parts[:, 0], found, np.ones(250, dtype=bool))
    assert sigma[found.structure == 2].max() < 5.0
    assert sigma[found.structure == 1].min() > 5.0


def test_conformal_factor_by_hand() -> None:
    """n = 9: the rank is ceil(10 p), at most 9."""
    ratios = np.array([0.9, 0.1, 0.5, 0.3, 0.7, 0.2, 0.4, 0.8, 0.6])
    assert conformal_factor(ratios, 0.68) == 0.7
    assert conformal_factor(ratios, 0.62) == 0.7  # the 7th of 9, not ceil(9 p) = 6th
    assert conformal_factor(ratios, 0.5) == 0.5
    assert conformal_factor(ratios, 0.95) == 0.9


def test_conformal_factors_cover_new_errors_that_are_not_normal() -> None:
    """Errors of a Student's t distribution: k_90 of the normal distribution would be 1.64."""
    generator = np.random.default_rng(2)
    parts = generator.uniform(0.5, 2.0, (8000, 1))
    errors = generator.standard_t(2.5, 8000) * parts[:, 0]
    half = Observations(errors[:4000], parts[:4000], np.arange(4000), np.zeros(4000, dtype=bool))
    quantity = fit_quantity(half, "mc")
    for level, factor in quantity.conformal.items():
        share = np.mean(np.abs(errors[4000:]) <= factor * quantity.sigma(parts[4000:]))
        assert abs(share - level / 100) < 4 * np.sqrt(0.25 / 4000) + 0.01
    assert list(quantity.conformal) == [68, 90, 95]


def test_what_is_out_of_the_domain_shapes_the_map_but_not_the_quantiles() -> None:
    found = observations(0.5, structures=100, each=1, outside=40)
    far = found.outside
    parts = np.where(far[:, None], 10.0, found.parts)
    errors = np.where(far, 50.0 * np.sign(found.errors), found.errors)
    both = replace(found, parts=parts, errors=errors)
    calibration = fit_calibration({"energy": both}, "mc", 10)
    assert (calibration.structures, calibration.outside) == (60, 40)
    assert calibration.energy is not None
    assert calibration.energy.sigma(np.array([10.0])) == pytest.approx(50.0, rel=0.1)
    assert calibration.quantile("energy", 100.0) < 5.0
    alone = {"energy": replace(both, outside=np.zeros(100, dtype=bool))}
    assert fit_calibration(alone, "mc", 10).quantile("energy", 100.0) > 40.0


def test_quantiles_are_of_structures_and_of_their_largest_force() -> None:
    ge, te = observations(1.0, each=3), observations(1.0, each=6)
    calibration = fit_calibration(
        {"energy": observations(1.0, each=1), "forces Ge": ge, "forces Te": te}, "mc", 10
    )
    largest = [
        max(
            calibration.forces[x].sigma(each.parts[each.structure == k]).max()
            for x, each in (("Ge", ge), ("Te", te))
        )
        for k in range(100)
    ]
    for percent in (0.0, 50.0, 99.0, 99.5, 100.0):
        expected = np.percentile(largest, percent)
        assert calibration.quantile("forces", percent) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(KeyError):
        calibration.quantile("stress", 99.0)
    assert sigma_quantiles(np.arange(5.0))[0] == 0.0


def test_apply_takes_the_map_of_each_element() -> None:
    scaled = {"energy": observations(1.0, each=1)}
    scaled |= {"forces Ge": observations(0.1), "forces Te": observations(10.0)}
    calibration = fit_calibration(scaled, "mc", 10)
    parts = SigmaParts(np.array([1.0]), np.ones((3, 3, 1)), np.ones((6, 1)))
    energy, forces, stress = calibration.apply(parts, ["Te", "Ge", "Te"])
    assert energy == pytest.approx(1.0, rel=0.3)
    assert stress is None
    assert forces is not None
    np.testing.assert_allclose(forces.mean(axis=1), [10.0, 0.1, 10.0], rtol=0.1)
    assert calibration.apply(parts, ["Te", "Sb"])[1] is None
    assert "raw (uncalibrated): stress" in calibration.describe()


def test_what_was_never_seen_counts_with_the_raw_spread() -> None:
    """One atom of four: its force sigma^2 + spread^2 / 2, energy and stress sigma^2 + spread^2 / 8."""
    calibration = Calibration("hybrid", HYBRID, {"Ge": HYBRID}, HYBRID, 10, 50)
    plain = SigmaParts(
        complete(np.full(3, 0.1), spread=3.0),
        complete(np.full((4, 3, 3), 0.1), spread=2.0),
        complete(np.full((6, 3), 0.1), spread=4.0),
    )
    new = replace(plain, distances=far_off([0.0] * 4, [False, True, False, False]))
    before, after = (calibration.apply(parts, ["Ge"] * 4) for parts in (plain, new))
    assert after[0] == pytest.approx(np.sqrt(before[0] ** 2 + 9.0 / 8), rel=1e-12)
    np.testing.assert_allclose(after[2] ** 2 - before[2] ** 2, 16.0 / 8, rtol=1e-9)
    np.testing.assert_allclose(after[1][1] ** 2 - before[1][1] ** 2, 2.0, rtol=1e-9)
    np.testing.assert_array_equal(np.delete(after[1], 1, axis=0), np.delete(before[1], 1, axis=0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"errors": np.full(2000, 0.3)}, "all errors .2000. are 0.3"),
        ({"errors": np.zeros(2000)}, "all errors .2000. are 0"),
        ({"errors": np.full(2000, np.nan)}, "2000 of 2000 errors or standard deviations are not finite"),
        ({"parts": np.zeros((2000, 1))}, "all raw standard deviations are zero"),
    ],
)
def test_errors_that_tell_nothing(change: dict[str, Array], message: str) -> None:
    with pytest.raises(NumericalError, match=f"energy: {message}"):
        fit_calibration({"energy": replace(observations(), **change)}, "mc", 10)
