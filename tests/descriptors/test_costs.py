"""Work and cost of sets of symmetry functions."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from bnnp.descriptors.costs import amounts, cost, mean_neighbors
from bnnp.descriptors.functions import SymmetryFunction, parse_function
from bnnp.structure import Structure

AROUND = {"O": 6.0, "Ge": 8.0}
RADIUS = 5.0


def functions(*texts: str) -> list[SymmetryFunction]:
    return [parse_function(["Ge", *text.split()]) for text in texts]


def work(*texts: str, around: dict[str, float] = AROUND) -> dict[str, float]:
    """What is done at all."""
    return {name: n for name, n in amounts(functions(*texts), around, RADIUS).items() if n}


def test_work_by_hand() -> None:
    assert work("2 O 0.1 0 5", "2 Ge 0.1 0 2.5") == {"atom": 1, "neighbor": 14, "radial": 6 + 8 / 8}
    both = 6 * 8 * 15 / 32  # pairs of neighbors, and the share of them that are close to each other
    assert work("3 O Ge 0.1 1 1 5", "3 O Ge 0.1 -1 4 5") == pytest.approx(
        {"atom": 1, "neighbor": 14, "narrow triple": both, "Gaussian factor": both}
    )
    pairs = 8 * 7 / 2
    assert work("9 Ge Ge 0.1 1 2.5 5", "22 Ge Ge 0 5 30 90 p2") == pytest.approx(
        {"atom": 1, "neighbor": 14, "wide triple": pairs, "wide window": pairs,
         "other factor": 2 * pairs}
    )  # fmt: skip


def test_wide_functions_with_a_small_zeta_have_no_triples() -> None:
    """10 monomials up to degree 2, of two radial factors, for two pairs of elements and three functions."""
    found = work("9 O Ge 0.1 1 1 5", "9 O O 0.1 -1 2 5", "9 O O 0.2 -1 2 5")
    moments = {"moment": 14 * 10 * 2, "sum of moments": 2 * 10 + 3}
    assert found == {"atom": 1, "neighbor": 14, **moments}


@pytest.mark.parametrize("text", ["2 O 0.1 0 5", "3 O O 0.1 1 4 5", "9 O O 0.1 1 4 5", "9 O O 0.1 1 8 5"])
def test_a_second_function_is_not_free_and_shares_work(text: str) -> None:
    one, other = functions(text), functions(text.replace(" 0.1 ", " 0.3 "))
    nothing, first = cost([], AROUND, RADIUS), cost(one, AROUND, RADIUS)
    second = cost(one + other, AROUND, RADIUS)
    assert nothing < first < second < 2 * first


def test_triples_grow_faster_than_moments() -> None:
    more = {element: 4 * n for element, n in AROUND.items()}
    triples, moments = (
        [cost(functions(f"9 O Ge 0.1 1 {zeta} 5"), around, RADIUS) for around in (AROUND, more)]
        for zeta in (5, 4)
    )
    assert triples[1] / triples[0] > 1.5 * moments[1] / moments[0]


def test_neighbors_of_a_crystal() -> None:
    """Rock salt: 6 of the other kind at a / 2, 12 of the same at a / sqrt 2."""
    atoms = bulk("MgO", "rocksalt", a=4.2)
    structure = Structure(atoms.numbers, atoms.positions, np.array(atoms.cell), 0.0)
    found = mean_neighbors([structure, structure], ("O", "Mg"), 3.2)
    assert found == {"O": {"O": 12, "Mg": 6}, "Mg": {"O": 6, "Mg": 12}}
