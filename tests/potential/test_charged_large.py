"""Potentials with charges of structures that are summed by neighbors and a mesh, here all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from charged_case import GENERATIONS, HARDNESS, INPUT, structure, write_charged

import bnnp
import bnnp._core as _core
from bnnp.charges import conjugate_gradients, electrostatics
from bnnp.errors import InputError, NumericalError
from bnnp.io.ase_atoms import to_atoms
from bnnp.potential import charged
from bnnp.potential.potential import ChargeStarts, Potential
from bnnp.structure import Structure


@pytest.fixture(autouse=True)
def _all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(electrostatics, "LARGE", 0)
    monkeypatch.setattr(charged, "LARGE_MOLECULE", 0)
    monkeypatch.setattr(conjugate_gradients, "TOLERANCE", 1e-13)  # finite differences divide by steps


@pytest.fixture(scope="module", params=["4G", "3G", "fixed"])
def potential(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Potential:
    """Of each kind of charges, with ewald_prec 1e-12."""
    folder = tmp_path_factory.mktemp(request.param)
    return bnnp.load(write_charged(folder, GENERATIONS[request.param]))


def structure_of(potential: Potential, kind: str) -> Structure:
    """With a total charge of 0.7, but neutral for fixed charges."""
    found = structure(kind)
    return found if potential.model.fixed_charges is None else replace(found, charge=0.0)


def values(potential: Potential, of: Structure) -> dict[str, np.ndarray]:
    found = potential.predict(of)
    assert found.charges is not None
    assert found.forces is not None
    kept = {"energy": found.energy.value, "charges": found.charges.value, "forces": found.forces.value}
    return kept if found.stress is None else kept | {"stress": found.stress.value}


@pytest.mark.parametrize("kind", ["molecule", "crystal", "slab"])
def test_predictions_are_those_of_the_matrices(
    potential: Potential, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = structure_of(potential, kind)
    large = values(potential, start)
    monkeypatch.setattr(electrostatics, "LARGE", 1000)
    monkeypatch.setattr(charged, "LARGE_MOLECULE", 1000)
    small = values(potential, start)
    assert large["energy"] == pytest.approx(small["energy"], rel=1e-10)
    for name in large:
        assert large[name] == pytest.approx(small[name], abs=1e-9), name
    assert kind == "molecule" or np.any(large["forces"] != small["forces"])  # another way


@pytest.mark.parametrize("kind", ["molecule", "crystal", "slab"])
def test_forces_are_finite_differences(potential: Potential, kind: str) -> None:
    start, h = structure_of(potential, kind), 4e-3
    forces = values(potential, start)["forces"]
    for atom, axis in ((0, 0), (8, 2)):
        unit = np.zeros_like(start.positions)
        unit[atom, axis] = h
        slope = 0.0
        for k, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
            moved = replace(start, positions=start.positions + k * unit)
            slope += weight * potential.predict(moved, forces=False, stress=False).energy.value
        expected = -slope / (12.0 * h)
        assert forces[atom, axis] == pytest.approx(expected, abs=1e-8 * max(np.abs(forces).max(), 0.1))


def test_stress_is_a_finite_difference(potential: Potential) -> None:
    start, h = structure_of(potential, "crystal"), 1e-3
    stress = values(potential, start)["stress"]
    assert start.cell is not None
    assert start.volume is not None
    for place, (a, b) in ((0, (0, 0)), (3, (1, 2)), (5, (0, 1))):
        slope = 0.0
        for k, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
            strain = np.eye(3)
            strain[a, b] += 0.5 * k * h
            strain[b, a] += 0.5 * k * h
            moved = replace(start, positions=start.positions @ strain, cell=start.cell @ strain)
            slope += weight * potential.predict(moved, forces=False, stress=False).energy.value
        expected = slope / (12.0 * h) / start.volume
        assert stress[place] == pytest.approx(expected, abs=2e-8 * np.abs(stress).max())


def test_supercell_rotation_and_order(potential: Potential) -> None:
    start = structure_of(potential, "crystal")
    assert start.cell is not None
    rotation = np.linalg.qr(np.random.default_rng(8).normal(size=(3, 3)))[0]
    order = np.random.default_rng(9).permutation(2 * len(start))
    positions = np.vstack([start.positions, start.positions + start.cell[2]])
    double = replace(
        start,
        numbers=np.tile(start.numbers, 2)[order],
        positions=(positions @ rotation)[order],
        cell=(start.cell * [[1], [1], [2]]) @ rotation,
        charge=2 * start.charge,
    )
    one, two = values(potential, start), values(potential, double)
    assert two["energy"] == pytest.approx(2.0 * one["energy"], rel=1e-9)
    assert two["charges"] == pytest.approx(np.tile(one["charges"], 2)[order], abs=1e-9)
    assert two["forces"] == pytest.approx((np.tile(one["forces"], (2, 1)) @ rotation)[order], abs=1e-9)


def test_a_trajectory_starts_from_its_last_charges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes fewer products, and results stay within the precision of the charges."""
    potential = bnnp.load(write_charged(tmp_path))
    made: list[conjugate_gradients.ConjugateGradients] = []
    monkeypatch.setattr(
        charged,
        "ConjugateGradients",
        lambda *parts: made.append(conjugate_gradients.ConjugateGradients(*parts)) or made[-1],
    )
    atoms = to_atoms(structure("crystal"), potential.units)
    atoms.calc = bnnp.BNNP(potential, warn=False)
    atoms.get_forces()
    atoms.positions += np.random.default_rng(1).normal(scale=1e-5, size=atoms.positions.shape)
    warm = atoms.get_forces()
    atoms.calc = bnnp.BNNP(potential, warn=False)
    assert atoms.get_forces() == pytest.approx(warm, abs=1e-9)
    first, second, third = (each.rough_products for each in made)
    assert second < min(first, third)


def test_starts_of_another_structure_do_no_harm(tmp_path: Path) -> None:
    potential = bnnp.load(write_charged(tmp_path))
    starts: ChargeStarts = {}
    potential.predict(structure("crystal"), starts=starts)
    other = structure("slab", seed=9)
    found, expected = potential.predict(other, starts=starts), potential.predict(other)
    assert found.energy.value == pytest.approx(expected.energy.value, rel=1e-11)
    half = Structure(other.numbers[:6], other.positions[:6])
    assert potential.predict(half, starts=starts).energy.value == pytest.approx(
        potential.predict(half).energy.value, rel=1e-11
    )


def test_what_cannot_be_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardness, precision, memory, steps: each with what to do."""
    start = structure("crystal")
    potential = bnnp.load(write_charged(tmp_path / "good"))
    member = potential.members[0]
    assert member.charges is not None
    soft = replace(member, charges=replace(member.charges, hardness=HARDNESS | {"Na": -2.0}))
    with pytest.raises(NumericalError, match=r"not positive definite, first for atoms [0-9]+ \(Na\)"):
        replace(potential, members=(soft,)).predict(start)
    too_fine = INPUT.replace("ewald_prec 1e-12", "ewald_prec 1e-18")
    with pytest.raises(InputError, match=r"ewald_prec is a relative precision of 1e-18.*larger by 1e\+03"):
        bnnp.load(write_charged(tmp_path / "fine", too_fine)).predict(start)
    with monkeypatch.context() as patch:
        patch.setattr(conjugate_gradients, "MOST_STEPS", 1)
        with pytest.raises(NumericalError, match="1 step of conjugate gradients did not find the charges"):
            potential.predict(start)
    monkeypatch.setattr(_core, "physical_memory", lambda: 1e4)
    with pytest.raises(InputError, match=r"electrostatics of 12 atoms would take [0-9]+ GB, and the machine"):
        potential.predict(start)
