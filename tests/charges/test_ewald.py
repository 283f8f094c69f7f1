"""Width and cutoffs of the Ewald sum: the conditions they fulfill, and precisions that cannot be."""

from __future__ import annotations

from math import exp, pi, sqrt

import pytest

from bnnp.charges.ewald import Ewald, EwaldRule
from bnnp.errors import InputError

VOLUME, ATOMS = 14600.0, 110


def test_jackson_and_catlow() -> None:
    """Both Gaussians have fallen to the precision at their cutoff, and the width balances them."""
    found = EwaldRule(0, 1e-5).of(VOLUME, ATOMS, 1.0, 1.0)
    assert found.eta == pytest.approx(VOLUME ** (1 / 3) / sqrt(2 * pi))
    assert exp(-0.5 * (found.r_cut / found.eta) ** 2) == pytest.approx(1e-5)
    assert exp(-0.5 * (found.k_cut * found.eta) ** 2) == pytest.approx(1e-5)


@pytest.mark.parametrize("r_cut", [None, 25.0])
def test_kolafa_and_perram(r_cut: float | None) -> None:
    """Errors of a force: 2 q^2 sqrt(N / (r V)) exp(-r^2 / 2 eta^2) of the sum over distances, and q^2 / eta
    sqrt(8 N / (k V)) exp(-(k eta)^2 / 2) of that over wave vectors, 4 pi epsilon = 2."""
    q, precision = 0.45, 1e-5
    found = EwaldRule(1, precision, q, r_cut).of(VOLUME, ATOMS, 2.0, 2.0)
    strength = q**2 / 2.0 * sqrt(ATOMS / VOLUME)
    real = 2.0 * strength / sqrt(found.r_cut / 2.0) * exp(-0.5 * (found.r_cut / found.eta) ** 2)
    waves = 2.0 * strength / found.eta * sqrt(2.0 / found.k_cut) * exp(-0.5 * (found.k_cut * found.eta) ** 2)
    assert real == pytest.approx(precision, rel=1e-9)
    assert waves == pytest.approx(precision, rel=1e-9)
    assert found.r_cut == (r_cut or found.r_cut)


def test_wide_charges_get_a_longer_cutoff() -> None:
    """The widest pair has sqrt(2) times the width of a charge, more than eta in a small cell."""
    found = EwaldRule(0, 1e-8).of(300.0, 4, 3.0, 1.0)
    assert exp(-0.5 * found.r_cut**2 / (2.0 * 3.0**2)) == pytest.approx(1e-8)


def test_fixed_numbers_are_taken() -> None:
    fixed = Ewald(2.0, 9.0, k_max=7)
    assert EwaldRule(fixed=fixed).of(VOLUME, ATOMS, 9.0, 1.0) == fixed


def test_what_cannot_be_reached() -> None:
    with pytest.raises(
        InputError, match=r"input.nn line 3: the cutoff 9 is too short .* wide as 4 .* at least"
    ):
        EwaldRule(1, 1e-5, 0.5, 9.0, where="input.nn line 3").of(VOLUME, ATOMS, 4.0, 1.0)
    for r_cut in (None, 2.0):
        with pytest.raises(InputError, match="the precision is too coarse"):
            EwaldRule(1, 0.5, 0.1, r_cut).of(VOLUME, ATOMS, 0.1, 1.0)
