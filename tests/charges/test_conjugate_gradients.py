"""Charges by conjugate gradients: those of the factorized matrix, whatever they start from."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnp.charges import conjugate_gradients
from bnnp.charges.conjugate_gradients import ConjugateGradients, NotConverged
from bnnp.charges.coulomb import Coulomb
from bnnp.charges.equilibration import Equilibration, NotPositive
from bnnp.charges.ewald import Ewald
from bnnp.charges.large import LargeCoulomb, Split

Array = NDArray[np.float64]

N = 60
CELL = np.array([[14.0, 1.0, 0.0], [-1.0, 13.0, 2.0], [1.0, 0.0, 15.0]])
RNG = np.random.default_rng(7)
POSITIONS = np.array([[i, j, k] for i in range(3) for j in range(4) for k in range(5)]) * [4.6, 3.2, 3.0]
POSITIONS = POSITIONS + RNG.uniform(-0.5, 0.5, (N, 3))
WIDTHS = RNG.choice([0.8, 1.5], N)
J = RNG.uniform(0.1, 0.4, N)
CHI = RNG.normal(scale=0.3, size=N)


def matrix(periodic: bool) -> Array:
    ewald = Ewald(1.8, 22.0, 6.0) if periodic else None
    return Coulomb(POSITIONS, CELL if periodic else None, WIDTHS, None, ewald).matrices[0]


def iterated(periodic: bool, hardness: Array = J) -> ConjugateGradients:
    if not periodic:
        return ConjugateGradients(Coulomb(POSITIONS, None, WIDTHS), hardness)
    split = Split.of(1e-13, CELL, WIDTHS)
    return ConjugateGradients(LargeCoulomb(POSITIONS, CELL, WIDTHS, None, split), hardness)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("total", [0.0, -1.5])
def test_charges_are_those_of_the_factorized_matrix(periodic: bool, total: float) -> None:
    expected = Equilibration(matrix(periodic), J).solve(-CHI, total)
    found = iterated(periodic).solve(-CHI, total)
    assert found == pytest.approx(expected, abs=1e-10)
    assert found.sum() == pytest.approx(total, abs=1e-13)


def test_several_right_sides_are_solved_one_after_the_other() -> None:
    right = np.stack([CHI, CHI**2], axis=1)
    expected = Equilibration(matrix(True), J).solve(right, 0.0)
    assert iterated(True).solve(right, 0.0) == pytest.approx(expected, abs=1e-10)


def test_the_start_changes_only_the_number_of_steps() -> None:
    cold, warm, wild = (iterated(True) for _ in range(3))
    found = cold.solve(-CHI, 0.3)
    again = warm.solve(-CHI, 0.3, found + 1e-6)
    far = wild.solve(-CHI, 0.3, 5.0 * RNG.normal(size=N))
    assert again == pytest.approx(found, abs=1e-10)
    assert far == pytest.approx(found, abs=1e-10)
    assert warm.rough_products < cold.rough_products


@pytest.mark.parametrize("tolerance", [1e-11, 1e-13, 1e-15])
def test_a_large_common_electronegativity_changes_nothing(
    tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rounding is as large as the last residuals, which must not end the steps at a wrong place."""
    monkeypatch.setattr(conjugate_gradients, "TOLERANCE", tolerance)
    expected = Equilibration(matrix(True), J).solve(-CHI, 0.0)
    for common in (0.0, 1.0, 1e3):
        assert iterated(True).solve(common - CHI, 0.0) == pytest.approx(expected, abs=1e-10)


def test_equal_electronegativities_leave_no_charge() -> None:
    assert iterated(True).solve(np.full(N, 0.7), 0.0) == pytest.approx(np.zeros(N), abs=1e-10)


@pytest.mark.parametrize("periodic", [True, False])
def test_a_matrix_without_a_minimum_names_its_atoms(periodic: bool) -> None:
    """As the factorized matrix does, also where all charges would be zero."""
    hardness = J.copy()
    hardness[[11, 47]] = -3.0
    with pytest.raises(NotPositive) as factorized:
        Equilibration(matrix(periodic), hardness)
    for right in (-CHI, np.zeros(N)):
        with pytest.raises(NotPositive) as caught:
            iterated(periodic, hardness).solve(right, 0.0)
        assert set(caught.value.atoms) == set(factorized.value.atoms) <= {11, 47}


def test_steps_that_do_not_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conjugate_gradients, "MOST_STEPS", 2)
    with pytest.raises(NotConverged) as caught:
        iterated(False).solve(-CHI, 0.0)
    assert caught.value.steps == 2
    assert caught.value.residual > conjugate_gradients.TOLERANCE
