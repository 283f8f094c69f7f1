"""Extrapolation warnings: which values, how far, and n2p2's line to the letter."""

from __future__ import annotations

import numpy as np

from bnnp.descriptors.scaling import Scaling
from bnnp.uncertainty.extrapolation import energy_warning, outside, tally, warning_lines

SCALING = Scaling(
    np.array([0.0, 1.0, 5.0]), np.array([2.0, 3.0, 5.0]), np.array([1.0, 2.0, 5.0]), np.array([0.5, 0.5, 0.0])
)


def test_values_outside_are_found() -> None:
    values = np.array([[1.0, 2.0, 5.0], [2.5, 2.0, 5.0], [-1.0, 4.0, 5.0]])
    found = outside(values, SCALING)
    assert list(zip(found.atom, found.function, found.value, strict=True)) == [
        (1, 0, 2.5),
        (2, 0, -1.0),
        (2, 1, 4.0),
    ]


def test_relative_excess_is_in_units_of_the_training_range() -> None:
    table = tally(outside(np.array([[2.5, 2.0, 5.0], [-1.0, 4.0, 5.0]]), SCALING), SCALING, 2)
    assert table.count.tolist() == [2, 1, 0]
    assert (table.outside, table.atoms) == (2, 2)
    assert table.excess.tolist() == [0.5, 0.5, 0.0]  # (0 - -1)/2 and (4 - 3)/2


def test_constant_function_that_varies_is_infinitely_far() -> None:
    table = tally(outside(np.array([[1.0, 2.0, 5.001]]), SCALING), SCALING, 1)
    assert table.excess.tolist() == [0.0, 0.0, np.inf]


def test_limits_and_rounding_are_inside() -> None:
    """A training structure read again must not warn: n2p2's tolerance is 1000 times the rounding."""
    values = np.array([[0.0, 1.0, 5.0], [2.0, 3.0, 5.0], [2.0 + 1e-13, 3.0 + 1e-13, 5.0 + 1e-13]])
    assert len(outside(values, SCALING).atom) == 0


def test_tallies_add() -> None:
    one = tally(outside(np.array([[2.5, 2.0, 5.0]]), SCALING), SCALING, 1)
    two = tally(outside(np.array([[4.0, 2.0, 5.0]]), SCALING), SCALING, 1)
    assert (one + two).count.tolist() == [2, 0, 0]
    assert ((one + two).outside, (one + two).atoms) == (2, 2)
    assert (one + two).excess.tolist() == [1.0, 0.0, 0.0]


def test_line_is_that_of_n2p2() -> None:
    """Format of SymFncStatistics; readers split it and take words 6, 8, ... 20."""
    found = outside(np.array([[1.0, 2.0, 5.0], [1.0, 4.0, 5.0]]), SCALING)
    (line,) = warning_lines(found, 3, np.array([0, 11]), "O", {0: 2, 1: 3, 2: 3})
    assert line == (
        "### NNP EXTRAPOLATION WARNING ### STRUCTURE:      3 ATOM:        11 ELEMENT:  O SYMFUNC:    2 "
        "TYPE:  3 "
        "VALUE:  4.000E+00 MIN:  1.000E+00 MAX:  3.000E+00"
    )
    words = line.split()
    assert [words[k] for k in (6, 8, 10, 12, 14)] == ["3", "11", "O", "2", "3"]
    assert [float(words[k]) for k in (16, 18, 20)] == [4.0, 1.0, 3.0]


def test_energy_outside_the_training_range() -> None:
    assert energy_warning(-3.0, (-3.5, -2.5)) == ""
    assert energy_warning(-9.0, None) == ""
    assert "eshort is .gt. eshortmax" in energy_warning(-2.0, (-3.5, -2.5))
    assert "eshort is .lt. eshortmin" in energy_warning(-4.0, (-3.5, -2.5))
