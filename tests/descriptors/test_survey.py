"""The survey of a structure: counts, distances and net forces that can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ase.data import covalent_radii

from bnnp.descriptors.survey import cost, survey
from bnnp.structure import Set, Structure

ELEMENTS = ("O", "Si")
FREE = {"O": -1.0, "Si": -10.0}


def molecule() -> Structure:
    """O at the corner of a right angle, Si at 1.6 and 2.0 from it; 2.56 apart."""
    return Structure(
        numbers=np.array([14, 8, 14]),
        positions=np.array([[1.6, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]),
        energy=-24.0,
        forces=np.array([[1.0, 0.0, 0.0], [0.0, -4.0, 0.0], [2.0, 0.0, 0.0]]),
        subset=Set.TEST,
    )


def test_molecule() -> None:
    found = survey(molecule(), ELEMENTS, 2.2, FREE)
    assert found["n_atoms"].tolist() == [1, 2]
    assert found["n_pairs"].tolist() == [[0, 2], [2, 0]]  # Si-Si is beyond the cutoff
    assert found["n_triples"] == 1  # around O only
    assert found["shortest"] == pytest.approx(1.6)
    assert sorted(found["closest"].tolist()) == [0, 1]
    assert found["reach"] == pytest.approx(1.6 / (covalent_radii[8] + covalent_radii[14]))
    assert found["net_force"] == pytest.approx(5.0)  # (3, -4, 0)
    assert found["largest_force"] == 4.0
    assert found["energy"] == pytest.approx((-24.0 + 21.0) / 3)
    assert found["subset"] == 1


def test_images_count_as_neighbors() -> None:
    """One atom in a cube of edge 2: within 2.1 its six nearest images, 15 pairs of them."""
    atom = Structure(numbers=np.array([14]), positions=np.zeros((1, 3)), cell=2.0 * np.eye(3), energy=0.0)
    found = survey(atom, ELEMENTS, 2.1, {})
    assert found["n_pairs"].tolist() == [[0, 0], [0, 6]]
    assert found["n_triples"] == 15
    assert found["shortest"] == 2.0


def test_lone_atom_has_no_distance() -> None:
    lone = Structure(numbers=np.array([8]), positions=np.zeros((1, 3)), energy=-1.0)
    found = survey(lone, ELEMENTS, 5.0, FREE)
    assert np.isinf(found["shortest"])
    assert found["energy"] == 0.0
    assert cost(found) > 0.0
