"""Sampled environments: the values of those atoms, each element's share, blocks that are held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.environments import measure_distances, sample_environments
from bnnp.descriptors.functions import SymmetryFunction, parse_function
from bnnp.descriptors.neighbors import find_neighbors
from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.structure import Structure

ELEMENTS = ("Ge", "Te")
CUTOFF = Cutoff(1)


def functions() -> dict[str, tuple[SymmetryFunction, ...]]:
    lines = ["2 Ge 0.1 0 5", "2 Te 0.1 0 5", "3 Ge Te 0.01 1 2 5", "9 Te Te 0.01 -1 1 5"]
    both = {x: tuple(parse_function(f"{x} {line}".split()) for line in lines) for x in ELEMENTS}
    return both | {"Te": both["Te"][:3]}  # unequal widths


@pytest.fixture
def structures(tmp_path: Path) -> StructureFile:
    """40 boxes of 20 atoms, a fifth of them Ge; the box grows with time, so that G tells the time."""
    rng = np.random.default_rng(8)
    boxes = []
    for index in range(40):
        edge = 8.0 + 0.1 * index
        positions = edge * (np.indices((3, 3, 3)).reshape(3, -1).T[:20] + rng.uniform(-0.1, 0.1, (20, 3))) / 3
        boxes.append(Structure(np.array([52, 52, 32, 52, 52] * 4), positions, edge * np.eye(3), -1.0))
    write_structures(tmp_path / "input.data", boxes)
    return StructureFile(tmp_path / "input.data", ELEMENTS, require_labels=False)


def all_values(structures: StructureFile) -> dict[str, list[np.ndarray]]:
    """Per structure the functions of all atoms of each element."""
    descriptor = Descriptor(ELEMENTS, functions(), CUTOFF)
    found: dict[str, list[np.ndarray]] = {x: [] for x in ELEMENTS}
    for structure in structures:
        types = (structure.numbers == 52).astype(np.int32)
        pairs = find_neighbors(structure.positions, structure.cell, descriptor.radius, structure.numbers)
        values = descriptor.values(types, pairs)
        for x, element in enumerate(ELEMENTS):
            found[element].append(values[types == x, : len(functions()[element])])
    return found


def test_all_atoms_if_there_are_fewer(structures: StructureFile) -> None:
    """Blocks of 2 structures, of which the 5th, 10th, 15th and 20th are held out."""
    found = sample_environments(structures, functions(), CUTOFF, 10**6, seed=1)
    held_out = [8, 9, 18, 19, 28, 29, 38, 39]
    for element, values in all_values(structures).items():
        test = np.concatenate([values[k] for k in held_out])
        fit = np.concatenate([each for k, each in enumerate(values) if k not in held_out])
        np.testing.assert_allclose(found[element].test, test, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(found[element].fit, fit, rtol=1e-13, atol=1e-15)


def test_a_share_is_drawn_from_all_structures(structures: StructureFile) -> None:
    found = sample_environments(structures, functions(), CUTOFF, 100, seed=1)
    values = {element: np.concatenate(each) for element, each in all_values(structures).items()}
    for element, (fit, test) in found.items():
        drawn = np.concatenate([fit, test])
        assert len(drawn) == 100
        distance = np.abs(drawn[:, None] - values[element]).max(
            axis=2
        )  # each is one of the atoms, and another
        assert distance.min(axis=1).max() < 1e-13
        assert len(set(distance.argmin(axis=1).tolist())) == 100
    again = sample_environments(structures, functions(), CUTOFF, 100, seed=1)
    np.testing.assert_array_equal(again["Ge"].fit, found["Ge"].fit)
    other = sample_environments(structures, functions(), CUTOFF, 100, seed=2)
    assert other["Ge"].fit.shape != found["Ge"].fit.shape or (other["Ge"].fit != found["Ge"].fit).any()


def test_missing_element(structures: StructureFile) -> None:
    wider = {**functions(), "Bi": functions()["Te"]}
    with pytest.raises(InputError, match="^no structure contains Bi, so its functions cannot be judged"):
        sample_environments(structures, wider, CUTOFF, 10, seed=1)


def test_measure_distances(tmp_path: Path) -> None:
    """Over all structures; elements that never come close are left out."""
    rows = [(0.0, 52), (2.9, 32), (5.4, 32)]
    first = Structure(np.array([z for _, z in rows]), np.array([[x, 0.0, 0.0] for x, _ in rows]), None, 0.0)
    second = Structure(np.array([52, 32]), np.array([[0.0, 0.0, 0.0], [0.0, 2.7, 0.0]]), None, 0.0)
    write_structures(tmp_path / "input.data", [first, second])
    found = measure_distances(StructureFile(tmp_path / "input.data", require_labels=False), 6.0)
    shortest = {frozenset(("Ge", "Te")): pytest.approx(2.7), frozenset(("Ge",)): pytest.approx(2.5)}
    assert found.shortest == shortest
    # pairs of 2.5, 2.7, 2.9 and 5.4, each seen from both ends, over 5 atoms
    within = {2.49: 0.0, 2.6: 0.4, 2.8: 0.8, 3.0: 1.2, 5.5: 1.6}
    for radius, number in within.items():
        assert found.neighbors[np.searchsorted(found.edges, radius)] == pytest.approx(number)
    assert found.radius(1.0) == pytest.approx(2.904, abs=0.013)
    assert found.radius(30.0) == 6.0
