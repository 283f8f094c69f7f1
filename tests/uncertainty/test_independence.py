"""The number of independent errors, where theory has it in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.uncertainty.independence import independent_errors


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
