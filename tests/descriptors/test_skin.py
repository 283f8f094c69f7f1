"""Skin lists: bit for bit the list of a fresh search, whatever moved; and searched rarely."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.descriptors.skin import SkinNeighbors

FIELDS = ("first", "centers", "neighbors", "vectors")


def same(found, expected) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
        assert getattr(found, name).dtype == getattr(expected, name).dtype


def crystal(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    cell = 9.0 * np.eye(3) + generator.normal(scale=0.6, size=(3, 3))
    return generator.random((n, 3)) @ cell, cell, generator.choice([32, 52], n)


@pytest.mark.parametrize("kind", ["periodic", "free", "small cell"])
@pytest.mark.parametrize("breathing", [False, True])
def test_same_list_as_a_fresh_search(kind: str, breathing: bool) -> None:
    generator = np.random.default_rng(4)
    positions, cell, numbers = crystal(40, 3)
    if kind == "small cell":  # images of an atom among its own neighbors
        positions, cell, numbers = positions[:3] * 0.3, cell * 0.3, numbers[:3]
    box = None if kind == "free" else cell
    skin = SkinNeighbors(4.0, 0.8)
    steps = 60
    for _ in range(steps):
        same(skin.find(positions, box, numbers), find_neighbors(positions, box, 4.0, numbers))
        positions = positions + generator.normal(scale=0.03, size=positions.shape)
        if breathing and box is not None:
            strain = np.eye(3) + generator.normal(scale=0.004, size=(3, 3))
            box, positions = box @ strain, positions @ strain
    assert 1 < skin.searches < steps / 2


def test_one_fast_atom_is_not_missed() -> None:
    """Just below and just beyond half of the skin: the list must be searched before the atom can matter."""
    positions = np.array([[0.0, 0.0, 0.0], [4.9, 0.0, 0.0]])
    numbers = np.array([1, 1])
    skin = SkinNeighbors(4.0, 0.8)
    assert len(skin.find(positions, None, numbers)) == 0
    positions[1, 0] -= 0.39
    assert len(skin.find(positions, None, numbers)) == 0
    assert skin.searches == 1
    positions[1, 0] -= 0.6
    assert len(skin.find(positions, None, numbers)) == 2
    assert skin.searches == 2


def test_shrinking_cell_brings_pairs_in() -> None:
    """The cell alone shrinks by more than the skin: pairs from outside of the first search are there."""
    positions, cell, numbers = crystal(40, 5)
    skin = SkinNeighbors(4.0, 0.5)
    skin.find(positions, cell, numbers)
    same(
        skin.find(positions * 0.8, cell * 0.8, numbers),
        find_neighbors(positions * 0.8, cell * 0.8, 4, numbers),
    )
    assert skin.searches == 2


def test_uniform_breathing_within_the_skin_needs_no_search() -> None:
    positions, cell, numbers = crystal(40, 6)
    skin = SkinNeighbors(4.0, 0.5)
    for scale in (1.0, 1.05, 0.95, 0.9):
        same(
            skin.find(positions * scale, cell * scale, numbers),
            find_neighbors(positions * scale, cell * scale, 4.0, numbers),
        )
    assert skin.searches == 1


def test_another_structure_is_noticed() -> None:
    positions, cell, numbers = crystal(40, 7)
    skin = SkinNeighbors(4.0, 0.5)
    skin.find(positions, cell, numbers)
    for change in (
        (positions, cell, numbers[::-1]),
        (positions[:20], cell, numbers[:20]),
        (positions, None, numbers),
    ):
        same(skin.find(*change), find_neighbors(change[0], change[1], 4.0, change[2]))
    assert skin.searches == 4


def test_positions_are_copied() -> None:
    """The caller's array may be changed in place, as ASE does."""
    positions, cell, numbers = crystal(40, 8)
    skin = SkinNeighbors(4.0, 0.5)
    skin.find(positions, cell, numbers)
    positions[0] += 2.0
    same(skin.find(positions, cell, numbers), find_neighbors(positions, cell, 4.0, numbers))


def test_no_atoms_within_reach_and_no_skin() -> None:
    positions, cell, numbers = crystal(40, 9)
    assert len(SkinNeighbors(4.0, 1.0).find(np.zeros((1, 3)), None, np.array([32]))) == 0
    fresh = SkinNeighbors(4.0, 0.0)
    for _ in range(2):
        same(fresh.find(positions, cell, numbers), find_neighbors(positions, cell, 4.0, numbers))
    assert fresh.searches == 2
    with pytest.raises(ValueError, match=r"is -1 but must not be negative"):
        SkinNeighbors(4.0, -1.0)
