"""Selection by the correlation matrix against the same done on the columns themselves, and least squares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bnnp.descriptors.pruning import (
    Budget,
    Criteria,
    Twin,
    find_twins,
    prune,
    reconstruction_errors,
    select,
    share_that_feels,
    whole_error,
)
from bnnp.descriptors.statistics import Comoments

RNG = np.random.default_rng(11)


def pool(n_atoms: int = 300, n_functions: int = 12, rank: int = 7) -> np.ndarray:
    """Functions of very different size, mixed from fewer independent ones and a little noise."""
    rng = np.random.default_rng(3)
    hidden = rng.normal(size=(n_atoms, rank)) @ rng.normal(size=(rank, n_functions))
    noise = 0.05 * rng.normal(size=(n_atoms, n_functions))
    return (hidden + noise) * 10.0 ** rng.uniform(-3, 2, n_functions) + rng.uniform(-5, 5, n_functions)


def standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def residual_of(target: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What least squares with a constant leaves of the columns of `target`."""
    basis = np.column_stack([np.ones(len(known)), known])
    return target - basis @ np.linalg.lstsq(basis, target, rcond=None)[0]


def test_errors_are_those_of_least_squares() -> None:
    values, kept = pool(), [8, 1, 5]
    fit = Comoments.of(values)
    expected = residual_of(values, values[:, kept]).std(axis=0) / values.std(axis=0)
    errors = reconstruction_errors(fit, fit, kept)
    np.testing.assert_allclose(errors, expected, rtol=1e-8, atol=1e-7)
    assert whole_error(errors) == pytest.approx(np.sqrt(np.mean(expected**2)), rel=1e-8)


def test_held_out_errors_use_the_coefficients_of_the_fit() -> None:
    """The held-out atoms have another mean and spread, so that a wrong intercept or scale would show."""
    values, kept = pool(), [0, 4, 9, 10]
    first, other = values[:200], 1.3 * values[200:] + 0.1 * values.std(axis=0)
    basis = np.column_stack([np.ones(200), first[:, kept]])
    coefficients = np.linalg.lstsq(basis, first, rcond=None)[0]
    left = other - np.column_stack([np.ones(100), other[:, kept]]) @ coefficients
    expected = np.sqrt(np.square(left).mean(axis=0)) / np.concatenate([first, other]).std(axis=0)
    errors = reconstruction_errors(Comoments.of(first), Comoments.of(other), kept)
    np.testing.assert_allclose(errors, expected, rtol=1e-7, atol=1e-7)


def test_cur_takes_the_largest_weight_of_the_leading_singular_vector() -> None:
    """With the columns: singular vectors of what is left after projection on the chosen ones."""
    values = pool()
    columns = standardised(values)
    expected: list[int] = []
    for _ in range(5):
        left = residual_of(columns, columns[:, expected]) if expected else columns
        weight = np.abs(np.linalg.svd(left)[2][0])
        weight[expected] = -1.0
        expected.append(int(weight.argmax()))
    found = select(Comoments.of(values).correlation(), range(12), "cur", 5)
    assert list(found.chosen) == expected
    for number, error in enumerate(found.errors, 1):
        left = residual_of(columns, columns[:, expected[:number]])
        assert error == pytest.approx(np.linalg.norm(left) / np.linalg.norm(columns), rel=1e-9)


def test_farthest_points_are_farthest() -> None:
    """Distance of two functions: what least squares with one leaves of the other."""
    values = pool()
    columns = standardised(values)
    distance = np.array(
        [
            [residual_of(columns[:, [c]], columns[:, [k]]).std() if c != k else 0.0 for c in range(12)]
            for k in range(12)
        ]
    )
    chosen = list(select(Comoments.of(values).correlation(), range(12), "fps", 6).chosen)
    assert chosen[0] == int((distance**2).sum(axis=0).argmin())
    for number in range(1, 6):
        nearest = distance[chosen[:number]].min(axis=0)
        assert chosen[number] == int(nearest.argmax())


def test_a_budget_takes_what_explains_most_for_its_cost() -> None:
    """Against least squares on the columns; functions 0 to 5 share a cost of 3."""
    values = standardised(pool())

    def cost(columns: Sequence[int]) -> float:
        return sum(1.0 + (k % 3) for k in columns) + 3.0 * any(k < 6 for k in columns)

    def unexplained(columns: list[int]) -> float:
        return float(np.sum(residual_of(values, values[:, columns]).var(axis=0)))

    correlation = Comoments.of(values).correlation()
    found = select(correlation, range(12), "cur", 12, budget=Budget(14.0, cost))
    chosen: list[int] = []
    while fitting := [k for k in range(12) if k not in chosen and cost([*chosen, k]) <= 14.0]:
        rates = [
            (unexplained(chosen) - unexplained([*chosen, k])) / (cost([*chosen, k]) - cost(chosen))
            for k in fitting
        ]
        chosen.append(fitting[int(np.argmax(rates))])
    assert list(found.chosen) == chosen
    assert len(chosen) > 3
    np.testing.assert_allclose(found.errors[-1], np.sqrt(unexplained(chosen) / 12), rtol=1e-6)


def test_choice_ends_when_nothing_is_left_or_enough_is_known() -> None:
    hidden = RNG.normal(size=(100, 3))
    values = np.column_stack([hidden, hidden @ RNG.normal(size=(3, 4))])  # rank 3
    correlation = Comoments.of(values).correlation()
    for method in ("cur", "fps"):
        assert len(select(correlation, range(7), method, 7).chosen) == 3
        assert select(correlation, range(7), method, 2).errors[-1] > 0.01
        assert len(select(correlation, range(7), method, 7, error=0.9).chosen) < 3
        assert set(select(correlation, (4, 5), method, 7).chosen) == {4, 5}


def test_twins_name_a_function_that_stays() -> None:
    """2 is like 0 and 3 like 2 only: 3 stays, as 2 goes; the sign does not matter, and 4 is nobody's twin."""
    correlation = np.eye(5)
    for j, k, r in ((0, 1, -0.9995), (0, 2, 0.9996), (2, 3, 0.9999), (0, 3, 0.998), (0, 4, 0.99991)):
        correlation[j, k] = correlation[k, j] = r
    assert find_twins(correlation, 0.999, skip=[4]) == [Twin(1, 0, -0.9995), Twin(2, 0, 0.9996)]


def test_scaled_and_shifted_copies_are_twins() -> None:
    values = RNG.normal(size=(50, 2))
    values = np.column_stack([values, 1e3 - 1e-3 * values[:, 0]])
    (twin,) = find_twins(Comoments.of(values).correlation(), 0.999)
    assert (twin.function, twin.other) == (2, 0)
    assert twin.correlation == pytest.approx(-1.0)


def test_prune_tells_the_fate_of_every_function() -> None:
    base = RNG.normal(size=(200, 3))
    values = np.column_stack(
        [
            base[:, 0],
            np.full(200, 2.0),  # constant
            1e-6 * base[:, 1],  # range too small
            base[:, 1],
            5.0 - base[:, 0],  # repeats 0
            base[:, 2] + base[:, 0],
        ]
    )
    found = prune(values[:150], values[150:], Criteria("cur", 2, 0.0, 1e-3, largest_correlation=0.999))
    assert found.flat == (1, 2)
    assert [(twin.function, twin.other) for twin in found.twins] == [(4, 0)]
    assert len(found.selection.chosen) == 2
    assert set(found.selection.chosen) < {0, 3, 5}
    assert np.flatnonzero(np.isnan(found.errors)).tolist() == [1, 2]
    np.testing.assert_allclose(found.errors[list(found.selection.chosen)], 0.0, atol=1e-6)
    assert found.selection.errors[-1] == pytest.approx(whole_error(found.errors), abs=1e-6)
    assert np.isfinite(found.held_out[[0, 3, 4, 5]]).all()
    assert found.rare == ()
    everything = prune(values, values[:0], Criteria())
    assert np.isnan(everything.held_out).all()
    assert len(everything.selection.chosen) == 3  # rank; 2 and 4 are copies up to scale and shift


def test_a_function_that_one_atom_in_ten_thousand_feels_is_left_out() -> None:
    """Of n atoms k feel it fully: its standard deviation is sqrt(k / n) of its range, 0.010 and 0.032."""
    rare, common = np.zeros(10000), np.zeros(10000)
    rare[:1], common[:10] = 3.0, 3.0
    values = np.column_stack([RNG.normal(size=10000), rare, common])
    found = prune(values, values[:0], Criteria(smallest_spread=0.02))
    assert (found.flat, found.rare) == ((), (1,))
    assert sorted(found.selection.chosen) == [0, 2]
    assert np.flatnonzero(np.isnan(found.errors)).tolist() == [1]


def test_share_of_atoms_that_feel_a_function() -> None:
    """Two values, one of them on a share p: the kurtosis is 1 / (p q) - 3 with q = 1 - p; of a normal
    distribution it is 3."""
    two, n = np.zeros(10000), 10000
    two[:30] = -7.0
    values = np.column_stack([two, np.full(n, 4.0), RNG.normal(size=n)])
    found = share_that_feels(values)
    assert found[0] == pytest.approx(1.0 / (1.0 / (0.003 * 0.997) - 3.0), rel=1e-9)
    assert found[1] == 1.0
    assert found[2] == pytest.approx(1.0 / 3.0, rel=0.1)
    pruned = prune(values, values[:0], Criteria(smallest_share=0.005))
    assert (pruned.flat, pruned.rare) == ((1,), (0,))
    assert prune(values, values[:0], Criteria(smallest_share=0.002)).rare == ()
