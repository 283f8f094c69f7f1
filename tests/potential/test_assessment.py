"""Assessment of one prediction: per atom, by component, and only where there is a reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnnp.descriptors.functions import parse_function
from bnnp.descriptors.scaling import Scaling
from bnnp.potential.assessment import Assessment, assess, extrapolations, group_of
from bnnp.prediction import Estimate, Prediction
from bnnp.structure import Set, Structure
from bnnp.units import METAL

STRUCTURE = Structure(
    np.array([32, 52]), np.zeros((2, 3)), 2 * np.eye(3), energy=-4.0, forces=np.zeros((2, 3))
)
FOUND = Prediction(
    Estimate(-3.0, 0.5),
    Estimate(np.zeros(2)),
    Estimate(np.array([[1.0, 0, 0], [0, -2.0, 0]]), np.full((2, 3), 0.25)),
    Estimate(np.array([-1.0, -2.0, -6.0, 9.0, 9.0, 9.0])),
    descriptors=np.zeros((2, 1)),
    free_atoms=np.zeros(2),
)


def test_energy_is_per_atom_of_the_total() -> None:
    energy = assess(STRUCTURE, FOUND, METAL).energy
    assert (energy.rmse, energy.bias, energy.mean_sigma) == (0.5, 0.5, 0.25)


def test_forces_are_by_component() -> None:
    forces = assess(STRUCTURE, FOUND, METAL).forces
    assert forces.rmse == pytest.approx(np.sqrt(5 / 6))
    assert forces.mae == 0.5
    assert forces.mean_sigma == 0.25


def test_pressure_is_positive_under_compression() -> None:
    """ASE's stress is negative then: p = -trace/3."""
    assert assess(STRUCTURE, FOUND, METAL).pressure.bias == 3.0


def test_without_references_only_sigmas_remain() -> None:
    bare = assess(replace(STRUCTURE, energy=None, forces=None), FOUND, METAL)
    assert np.isnan([bare.energy.rmse, bare.forces.rmse, bare.stress.rmse]).all()
    assert bare.energy.mean_sigma == 0.25


def test_structures_add_up() -> None:
    other = assess(STRUCTURE, replace(FOUND, energy=Estimate(-6.0, 0.5)), METAL)
    both = assess(STRUCTURE, FOUND, METAL) + other + Assessment()
    assert both.structures == 2
    assert both.energy.rmse == pytest.approx(np.sqrt((0.25 + 1.0) / 2))
    assert both.energy.bias == pytest.approx(-0.25)


def test_groups() -> None:
    assert group_of(STRUCTURE) == "all"
    assert group_of(replace(STRUCTURE, subset=Set.TEST)) == "test"
    assert group_of(replace(STRUCTURE, subset=Set.TEST, info={"group": "300K"})) == "300K"


def test_extrapolations_name_the_atom_of_the_structure() -> None:
    functions = {
        "Ge": (parse_function(["Ge", "2", "Te", "0.1", "0", "6"]),),
        "Te": (
            parse_function(["Te", "2", "Ge", "0.1", "0", "6"]),
            parse_function(["Te", "2", "Te", "0.1", "0", "6"]),
        ),
    }
    one = Scaling(np.zeros(1), np.ones(1), np.full(1, 0.5), np.ones(1))
    two = Scaling(np.zeros(2), np.ones(2), np.full(2, 0.5), np.ones(2))
    descriptors = np.array(
        [[0.5, 7.0], [0.5, 1.5]]
    )  # the first row is padded: its second column means nothing
    tallies, lines = extrapolations(STRUCTURE, descriptors, {"Ge": one, "Te": two}, functions, 10)
    assert tallies["Ge"].count.tolist() == [0]
    assert tallies["Te"].count.tolist() == [0, 1]
    (line,) = lines
    assert "ATOM:         1 ELEMENT: Te SYMFUNC:    2 TYPE:  2" in line
    assert extrapolations(STRUCTURE, descriptors, {"Ge": one, "Te": two}, functions, 0)[1] == []
