"""Regions cut out of a large cell: as in it around the center, a lattice in a crystal; what counts there."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from learning.campaign import Campaign
from learning.cut import CORE, counted, cut, neighbors_of
from learning.judge import Errors
from learning.label import Job, with_info
from learning.label_checks import doubt
from learning.selection import Frame, region_of, to_structure

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import read_structures, write_structures
from bnnp.potential.loading import load
from bnnp.structure import Structure
from bnnp.units import METAL

sys.path.insert(0, str(Path(__file__).parent))
from loop_case import write_campaign  # noqa: E402

CUTOFF = 5.0


def crystal(rattle: float = 0.1, repeat: int = 9) -> Atoms:
    atoms = bulk("Cu", cubic=True) * repeat
    atoms.rattle(rattle, seed=2)
    return atoms


def liquid() -> Atoms:
    """Two elements at random places, none closer than 2.2 Angstrom, in a skew cell."""
    rng, cell = np.random.default_rng(4), np.array([[30.0, 0, 0], [4.0, 31.0, 0], [-3.0, 5.0, 29.0]])
    places: list[np.ndarray] = []
    while len(places) < 900:
        place = rng.random(3)
        moved = np.array(places or [[9.0, 9.0, 9.0]]) - place
        moved -= np.round(moved)
        if np.linalg.norm(moved @ cell, axis=1).min() > 2.2:
            places.append(place)
    numbers = rng.choice([32, 52], 900)
    return Atoms(numbers, np.array(places) @ cell, cell=cell, pbc=True)


@pytest.mark.parametrize("kind", ["crystal", "liquid"])
def test_all_within_the_radius_have_the_descriptors_of_the_large_cell(kind: str, solid: Path) -> None:
    """To 1e-12, and so has every atom that counts; no other has them."""
    atoms = crystal() if kind == "crystal" else liquid()
    radius, center = 1.5 if kind == "crystal" else 3.0, 40
    region = cut(atoms, center, radius, CUTOFF)
    assert len(region) < 0.6 * len(atoms)
    model = load(solid)

    def values(of: Atoms) -> np.ndarray:
        plain = from_atoms(Atoms("Cu" * len(of), of.positions, cell=of.cell, pbc=True), METAL, labels=False)
        return model.predict(plain).descriptors

    whole, part = values(atoms), values(region)
    difference = region.positions[:, None] - atoms.positions  # (n_region, n_atoms, 3)
    scaled = difference @ np.linalg.inv(atoms.cell.array)
    distance = np.linalg.norm((scaled - np.round(scaled)) @ atoms.cell.array, axis=-1)
    places = distance.argmin(axis=1)
    assert distance.min(axis=1).max() < 1e-9
    moved = (atoms.positions[places] - atoms.positions[center]) @ np.linalg.inv(atoms.cell.array)
    near = np.linalg.norm((moved - np.round(moved)) @ atoms.cell.array, axis=1) <= radius
    core = region.arrays[CORE]
    assert center in places[near]
    assert near.sum() > (0 if kind == "crystal" else 1)
    assert core[near].all()
    assert not core.all()
    same = np.abs(part - whole[places]).max(axis=1) < 1e-12 * np.abs(whole).max()
    np.testing.assert_array_equal(same, core)


def test_a_crystal_is_cut_at_repeats_of_its_lattice() -> None:
    atoms = crystal(0.0)
    region = cut(atoms, 0, 0.5, CUTOFF)
    heights = region.cell.lengths() / 3.61
    np.testing.assert_allclose(heights, np.round(heights), atol=0.01)
    assert len(region) == 4 * round(float(np.prod(heights)))
    shortest = np.linalg.norm(neighbors_of(region, 4.0).vectors, axis=1).min()
    assert shortest == pytest.approx(3.61 / np.sqrt(2), rel=0.02)


def test_atoms_are_nowhere_much_closer_than_in_the_large_cell() -> None:
    atoms = liquid()
    region = cut(atoms, 7, 2.0, CUTOFF)
    assert np.linalg.norm(neighbors_of(region, 4.0).vectors, axis=1).min() > 0.85 * 2.2
    density = len(region) / region.get_volume() / (len(atoms) / atoms.get_volume())
    assert 0.85 < density < 1.05


def test_what_is_small_or_no_crystal_stays_whole() -> None:
    """A vector that is not longer than the region is not cut; a slab keeps its vacuum."""
    small = crystal(repeat=3)
    assert cut(small, 0, 1.0, CUTOFF) is small
    molecule = crystal()
    molecule.pbc = False
    assert cut(molecule, 0, 1.0, CUTOFF) is molecule
    slab = crystal() * (1, 1, 1)
    slab = slab[slab.positions[:, 2] < 9.0]
    slab.pbc = (True, True, False)
    slab.center(5.0, axis=2)
    region = cut(slab, 5, 0.5, CUTOFF)
    assert region.cell[2].tolist() == slab.cell[2].tolist()
    assert region.pbc.tolist() == [True, True, False]
    assert len(region) < 0.6 * len(slab)
    assert region.arrays[CORE].any()


def labeled(atoms: Atoms, info: dict[str, str]) -> Structure:
    own = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    own.calc = EMT()
    own.get_stress()
    return replace(from_atoms(own, METAL), info=info)


@pytest.mark.parametrize("energy", [False, True])
def test_a_label_keeps_only_what_counts(energy: bool, solid: Path, tmp_path: Path) -> None:
    """From a frame to input.data: around the most uncertain atom; errors are those of what counts."""
    more = "label_teacher emt\nloop_cut 0.5\n" + "loop_cut_energy\n" * energy
    campaign = Campaign.open(write_campaign(tmp_path, more))
    atoms = crystal()
    atoms.arrays["forces_std"] = np.full((len(atoms), 3), 0.1)
    atoms.arrays["forces_std"][123, 1] = 0.2
    rng = np.random.default_rng(1)
    frame = region_of(campaign, Frame(atoms, "run", 5, 0.2, -1.0), CUTOFF, rng)
    structure = to_structure(campaign, frame, 1)
    write_structures(tmp_path / "structure.data", [structure])
    label = labeled(frame.atoms, {})
    kept = with_info(campaign, label, Job(tmp_path))
    write_structures(tmp_path / "labeled.data", [kept])
    (again,) = read_structures(tmp_path / "labeled.data")
    core = np.isfinite(again.forces).all(axis=1)
    np.testing.assert_array_equal(core, frame.atoms.arrays[CORE])
    np.testing.assert_array_equal(again.forces[core], label.forces[core])
    moved = (again.positions - atoms.positions[123]) @ np.linalg.inv(again.cell)
    center = np.linalg.norm((moved - np.round(moved)) @ again.cell, axis=1).argmin()
    assert core[center]
    assert again.energy == (label.energy if energy else None)
    assert (again.stress is None) is not energy
    assert (again.info["group"], again.info["source"]) == ("generation_001", "run:5")
    model = load(solid)
    found = model.predict(again)
    errors = Errors.of(model, [tmp_path / "labeled.data"])
    expected = np.abs(found.forces.value - label.forces)[core].max() * 1000
    assert errors.largest[0] == pytest.approx(expected)
    assert (len(errors.force), len(errors.energy), len(errors)) == (3 * core.sum(), int(energy), 1)
    assert ("energy" if energy else "force") in doubt(campaign, model, again)


def test_at_random_the_region_is_around_any_atom(tmp_path: Path) -> None:
    more = "label_teacher emt\nloop_cut 0.5\nloop_select random\n"
    campaign = Campaign.open(write_campaign(tmp_path, more))
    atoms = crystal()
    atoms.arrays["forces_std"] = np.full((len(atoms), 3), 0.1)
    frame, rng = Frame(atoms, "run", 5, 0.2, -1.0), np.random.default_rng(1)
    first, second = (region_of(campaign, frame, CUTOFF, rng).atoms for _ in range(2))
    assert not np.array_equal(first.positions, second.positions)


def test_labels_of_whole_cells_count_as_they_are() -> None:
    label = labeled(crystal(repeat=1), {"group": "a"})
    assert counted(label, False) is label
