"""Ensembles: the two parts of the variance in closed form, and a committee equal to its members."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.uncertainty.ensemble import Committee, variances


def test_parts_of_the_variance_are_those_of_the_law_of_total_variance() -> None:
    found = variances(np.array([1.0, 3.0, 5.0, 10.0, 14.0]), (3, 2))
    assert found == pytest.approx(((4.0 + 8.0) / 2, (12.0 - 3.0) ** 2 / 2))


def test_single_samples_have_no_spread_within() -> None:
    samples = np.random.default_rng(0).normal(size=(4, 3, 12))
    within, between = variances(samples, (1,) * 12)
    assert not within.any()
    np.testing.assert_allclose(between, samples.var(axis=-1, ddof=1))


def test_known_variances_are_found() -> None:
    """M draws of a mean with variance 4, S samples around each with variance 1; within four sigma."""
    rng = np.random.default_rng(1)
    means = rng.normal(0.0, 2.0, (2000, 8, 1))
    samples = (means + rng.normal(0.0, 1.0, (2000, 8, 25))).reshape(2000, 200)
    within, between = variances(samples, (25,) * 8)
    assert np.mean(within) == pytest.approx(1.0, abs=4 * np.sqrt(2 / (2000 * 8 * 24)))
    assert np.mean(between) == pytest.approx(4.0 + 1 / 25, abs=4 * 4.04 * np.sqrt(2 / (2000 * 7)))


class Fixed:
    """A sampler that gives what it was made with."""

    def __init__(self, n_samples: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.n_samples = n_samples
        self.energies, self.gradient = rng.normal(size=(5, n_samples)), rng.normal(size=(5, 4))
        self.delta, self.own = seed, rng.normal(size=(5, 3, n_samples))

    def sample(self, *_: object) -> tuple:
        return self.energies, self.gradient, self.delta

    def forces(self, *arguments: object) -> tuple:
        assert arguments[-1] == self.delta
        return self.own, self.own[:3]


def test_committee_is_the_samples_of_its_members_side_by_side() -> None:
    members = [Fixed(3, 1), Fixed(1, 2), Fixed(4, 3)]
    committee = Committee(members)  # type: ignore[arg-type]
    energies, gradient, delta = committee.sample(None, np.zeros(0))
    assert committee.n_samples == 8
    np.testing.assert_array_equal(energies, np.concatenate([m.energies for m in members], axis=1))
    expected = (3 * members[0].gradient + members[1].gradient + 4 * members[2].gradient) / 8
    np.testing.assert_allclose(gradient, expected)
    forces, virials = committee.forces(None, None, None, np.zeros(0), delta)
    np.testing.assert_array_equal(forces, np.concatenate([m.own for m in members], axis=-1))
    assert virials.shape == (3, 3, 8)
