"""The number of independent errors, where theory has it in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.uncertainty.independence import independent_errors, shift_and_noise


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_an_autoregressive_series(phi: float) -> None:
    """rho(t) = phi^t, so sum rho^2 = (1 + phi^2) / (1 - phi^2)."""
    n, generator = 20000, np.random.default_rng(3)
    noise, errors = generator.normal(size=n), np.zeros(n)
    for k in range(1, n):
        errors[k] = phi * errors[k - 1] + noise[k]
    expected = n * (1 - phi**2) / (1 + phi**2)
    assert independent_errors(errors, ["md"] * n) == pytest.approx(expected, rel=0.1)


def test_independent_errors_all_count() -> None:
    errors = np.random.default_rng(1).normal(size=400)
    assert independent_errors(errors, ["a", "b"] * 200) == pytest.approx(400, rel=0.05)


@pytest.mark.parametrize("each", [2, 7, 60])
def test_equal_errors_count_once_for_each_group(each: int) -> None:
    errors = np.repeat([1.3, -0.2, 0.8, -1.9], each)
    assert independent_errors(errors, np.repeat(list("abcd"), each).tolist()) == pytest.approx(4.0, rel=1e-9)


def test_groups_may_be_interleaved() -> None:
    errors, groups = np.array([1.0, -2.0] * 40), ["a", "b"] * 40
    assert independent_errors(errors, groups) == pytest.approx(2.0, rel=1e-9)


def test_errors_of_zero_tell_nothing() -> None:
    assert independent_errors(np.zeros(50), ["a"] * 50) == 1.0


def test_a_shift_of_each_group_is_told_from_the_noise() -> None:
    """Variances 0.25 and 1 of 2000 groups of five: rho = 0.2, n_eff = n / (1 + 4 rho^2) (Bartlett)."""
    generator = np.random.default_rng(5)
    errors = (0.5 * generator.normal(size=(2000, 1)) + generator.normal(size=(2000, 5))).ravel()
    groups = np.repeat(np.arange(2000), 5).astype(str).tolist()
    assert shift_and_noise(errors, groups) == pytest.approx((0.5, 1.0), rel=0.05)
    assert independent_errors(errors, groups) == pytest.approx(10000 / 1.16, rel=0.02)


def test_shift_and_noise_by_hand() -> None:
    """Means 2 and -1; sums of squares 2 within (two degrees of freedom), 2 (4 + 1) between: (10 - 2) / 4."""
    errors = np.array([3.0, 1.0, -1.0, -1.0])
    assert shift_and_noise(errors, ["a", "a", "b", "b"]) == pytest.approx((np.sqrt(2.0), 1.0))
    assert shift_and_noise(errors, list("abcd")) == pytest.approx((0.0, np.sqrt(3.0)))
