"""Monotone maps from raw to calibrated sigmas: recovered laws, scikit-learn's isotonic regression, limits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from bnnp.uncertainty.maps import FITS, MAPS, Isotonic, Quadratic, pool_adjacent_violators
from bnnp.uncertainty.scores import nll
from bnnp.uncertainty.variance import FLOOR, fit_variance

Array = NDArray[np.float64]


def sample(law: tuple[float, float, float], count: int = 40_000) -> tuple[Array, Array, Array]:
    """Raw sigmas, errors drawn with the variance s_0^2 + a sigma^2 + b sigma^4, and the true sigmas."""
    generator = np.random.default_rng(4)
    raw = generator.uniform(0.05, 3.0, count)
    true = np.sqrt(law[0] ** 2 + law[1] * raw**2 + law[2] * raw**4)
    return raw, generator.normal(0.0, true), true


@pytest.mark.parametrize("law", [(0.3, 0.5, 0.1), (0.0, 0.09, 0.0), (0.5, 0.0, 0.2), (0.8, 0.0, 0.0)])
@pytest.mark.parametrize("kind", list(FITS))
def test_the_law_is_found_again(kind: str, law: tuple[float, float, float]) -> None:
    raw, errors, true = sample(law)
    found = FITS[kind](raw, errors)(raw)
    error = {"quadratic": 0.05, "isotonic": 0.15}[kind]  # 800 errors a step: 2.5 %, and the width of a step
    seen = raw > 0.3
    assert np.abs(found[seen] / true[seen] - 1).max() < error
    assert nll(errors, found) < nll(errors, true) + 2e-3


def test_the_quadratic_map_is_the_most_likely_one() -> None:
    raw, errors, _ = sample((0.3, 0.5, 0.1), 3_000)
    best = Quadratic.fit(raw, errors)
    least = nll(errors, best(raw))
    for s_0, a, b in ((1.05, 1, 1), (1, 1.05, 1), (1, 1, 1.05), (0.95, 1, 1), (1, 0.95, 1), (1, 1, 0.95)):
        other = Quadratic(s_0 * best.s_0, a * best.a, b * best.b, best.largest)
        assert nll(errors, other(raw)) > least - 1e-6


def test_variance_of_one_term_is_its_mean_ratio() -> None:
    """With one term the likelihood is largest at theta = mean(e^2 / x); a column of zeros gets nothing."""
    generator = np.random.default_rng(1)
    x, squares = generator.uniform(0.5, 2.0, 50), generator.uniform(0.0, 3.0, 50)
    theta = fit_variance(np.column_stack([x, np.zeros(50)]), squares)
    assert theta[0] == pytest.approx((squares / x).mean(), rel=1e-4 + FLOOR)
    assert theta[1] == 0.0
    assert fit_variance(np.zeros((50, 2)), squares).tolist() == [0.0, 0.0]


def test_pooling_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    values, counts = generator.normal(np.linspace(0, 2, 60), 1.0), generator.uniform(0.5, 3.0, 60)
    levels, first = pool_adjacent_violators(values, counts)
    mine = np.repeat(levels, np.diff(first, append=60))
    theirs = IsotonicRegression().fit_transform(np.arange(60), values, sample_weight=counts)
    np.testing.assert_allclose(mine, theirs, atol=1e-12)
    assert (np.diff(levels) > 0).all()


@pytest.mark.parametrize("kind", list(FITS))
@pytest.mark.parametrize("law", [(0.3, 0.5, 0.1), (0.8, 0.0, 0.0)])
def test_never_falls_never_zero_and_in_proportion_beyond_the_largest(
    kind: str, law: tuple[float, float, float]
) -> None:
    raw, errors, _ = sample(law, 2_000)
    found = FITS[kind](raw, errors)
    everywhere = found(np.linspace(0.0, 100.0, 5_001))
    assert (np.diff(everywhere) >= 0.0).all()
    assert everywhere[0] > 0.0
    end = float(found(np.array([raw.max()]))[0])
    np.testing.assert_allclose(
        found(raw.max() * np.array([2.0, 30.0])), end * np.array([2.0, 30.0]), rtol=1e-9
    )


@pytest.mark.parametrize("kind", list(FITS))
def test_units_do_not_matter(kind: str) -> None:
    """In meV instead of eV the map gives a thousand times as much."""
    raw, errors, _ = sample((0.3, 0.5, 0.1), 2_000)
    one, thousand = FITS[kind](raw, errors)(raw), FITS[kind](1000 * raw, 1000 * errors)(1000 * raw)
    np.testing.assert_allclose(thousand, 1000 * one, rtol=1e-3)


@pytest.mark.parametrize("kind", list(FITS))
def test_numbers_give_the_same_map_again(kind: str) -> None:
    raw, errors, _ = sample((0.3, 0.5, 0.1), 2_000)
    found = FITS[kind](raw, errors)
    np.testing.assert_array_equal(MAPS[kind](found.numbers)(raw), found(raw))


@pytest.mark.parametrize("kind", list(FITS))
def test_few_values_and_equal_sigmas(kind: str) -> None:
    errors = np.array([1.0, -1.0, 2.0])
    found = FITS[kind](np.full(3, 0.5), errors)
    np.testing.assert_allclose(found(np.array([0.5, 1.0])), np.sqrt(2.0) * np.array([1.0, 2.0]), rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("quadratic", (0.0, 0.0, 0.0, 1.0)),
        ("quadratic", (-1.0, 1.0, 0.0, 1.0)),
        ("quadratic", (1.0, 1.0, 0.0, 0.0)),
        ("isotonic", (1.0, 2.0, 0.5, 3.0)),
        ("isotonic", (1.0, 2.0, 1.5, 1.0)),
        ("isotonic", (1.0, 0.0)),
        ("isotonic", (1.0, 2.0, 3.0)),
    ],
)
def test_numbers_that_make_no_map(kind: str, numbers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected|reshape"):
        MAPS[kind](numbers)


def test_isotonic_between_its_knots() -> None:
    found = Isotonic(np.array([1.0, 3.0]), np.array([2.0, 6.0]))
    np.testing.assert_allclose(found(np.array([0.5, 1.0, 2.0, 3.0, 6.0])), [2.0, 2.0, 4.0, 6.0, 12.0])
