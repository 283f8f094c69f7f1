"""Doubts about the unit of length: where the other unit fits, and where neither does."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.descriptors.length_unit import better_units, closest_pairs, option_advice, reach, unit_advice
from bnnp.structure import Structure
from bnnp.units import ATOMIC, METAL, Units


@pytest.mark.parametrize(
    ("reach", "units", "other"),
    [
        (1.0, METAL, None),
        (1.0, ATOMIC, None),
        (1.9, METAL, ATOMIC),  # bohr read as Angstrom: 1 / 0.529
        (0.53, ATOMIC, METAL),
        (0.648, ATOMIC, METAL),
        (0.648, METAL, None),  # liquid tantalum: 2.2 Angstrom of 3.4; in bohr it would be 0.34
        (0.3, METAL, None),
    ],
)
def test_other_unit_fits_better(reach: float, units: Units, other: Units | None) -> None:
    assert better_units([reach], units) is other


def test_a_hot_liquid_is_no_doubt() -> None:
    assert unit_advice([0.648], METAL) is None
    assert "this looks like Angstrom" in str(unit_advice([0.648], ATOMIC))


def test_what_neither_unit_explains() -> None:
    advice = str(unit_advice([0.3, 0.31, 0.29], METAL))
    assert advice.startswith("the closest atoms are typically 0.30 of their covalent distance apart")
    assert advice.endswith("expected 0.65 to 1.5.")


def test_structures_without_pairs() -> None:
    assert unit_advice([np.inf, np.inf], METAL) is None
    assert unit_advice([], ATOMIC) is None
    assert better_units([np.inf], METAL) is None


def test_rare_gases_have_no_bonds() -> None:
    """Solid argon, nearest neighbors 3.76 Angstrom: twice the van der Waals radius of 1.83 Angstrom."""
    argon = Structure(np.array([18, 18]), np.array([[0.0, 0.0, 0.0], [3.76, 0.0, 0.0]]))
    found = reach(closest_pairs(argon, METAL), METAL)
    assert found == pytest.approx(3.76 / 3.66, rel=1e-12)
    assert better_units([found], METAL) is None
    assert better_units([found / 0.529177], METAL) is ATOMIC


def test_the_option_is_doubted_where_it_is_the_reason() -> None:
    assert option_advice([1.0], METAL) is None
    advice = str(option_advice([1.9], METAL))
    assert advice.startswith("this looks like bohr")
    assert advice.endswith("Is --units metal right?")
    assert "input.nn" not in advice
