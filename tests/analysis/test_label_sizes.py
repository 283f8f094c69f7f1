"""Sizes of labels: what is planted in good data is found with its unit, and nothing else."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest

from bnnp.analysis.label_sizes import THERMAL, LabelSizes, energy_outliers, energy_residuals
from bnnp.io.ase_atoms import from_atoms
from bnnp.structure import Structure
from bnnp.units import ATOMIC, METAL, Units

HARTREE, BOHR = 27.21138602, 0.52917721067  # eV, Angstrom, CODATA 2014


def structures(number: int, units: Units = METAL, seed: int = 5) -> list[Structure]:
    """Ge and Te in changing shares: -5 and -3 eV an atom and some noise; 2 eV/Angstrom; 2 GPa."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        numbers = np.sort(rng.choice([32, 52], 8))
        energy = np.where(numbers == 32, -5.0, -3.0).sum() + rng.normal(scale=0.1)
        found.append(
            Structure(
                numbers=numbers,
                positions=np.zeros((8, 3)),
                cell=6.0 * np.eye(3),
                energy=energy / units.ev,
                forces=rng.normal(scale=0.8, size=(8, 3)) * (units.angstrom / units.ev),
                stress=rng.normal(scale=1.5, size=6) / 160.21766 * (units.angstrom**3 / units.ev),
            )
        )
    return found


def counted(found: list[Structure]) -> LabelSizes:
    sizes = LabelSizes()
    for structure in found:
        sizes.count(structure)
    return sizes


def doubts(found: list[Structure], units: Units = METAL) -> list[str]:
    return list(counted(found).doubts(units, lambda index: f"structure {index + 1}"))


def scaled(structure: Structure, **factors: float) -> Structure:
    changes = {name: getattr(structure, name) * factor for name, factor in factors.items()}
    return Structure(**{**vars(structure), **changes})


@pytest.mark.parametrize("units", [METAL, ATOMIC], ids=lambda units: units.name)
@pytest.mark.parametrize("number", [0, 1, 12, 200])
def test_no_doubt_about_good_data(number: int, units: Units) -> None:
    assert doubts(structures(number, units), units) == []


def test_energies_that_are_all_zero() -> None:
    """One number that is not zero, or too few structures, and nothing is said."""
    found = [scaled(structure, energy=0.0) for structure in structures(12)]
    assert doubts(found) == ["the energies of all structures are zero: they were not computed, or not read"]
    assert doubts(found[:9]) == []
    assert doubts([*found[:11], scaled(structures(12)[11], energy=1e-3)]) == []


class TestEnergies:
    @pytest.mark.parametrize("wrong", [6e7, -6e7, 30.0, -5.0])
    @pytest.mark.parametrize("index", [0, 7, 11])
    def test_one_of_twelve_does_not_hide_itself(self, wrong: float, index: int) -> None:
        """Least squares would share an error of 6e7 eV/atom out among all twelve."""
        found = structures(12)
        found[index] = Structure(**{**vars(found[index]), "energy": found[index].energy + 8 * wrong})
        (outlier,) = energy_outliers(counted(found).table(METAL))
        assert outlier.index == index
        assert outlier.residual == pytest.approx(wrong, abs=0.2)
        (doubt,) = doubts(found)
        assert f"structure {index + 1} (" in doubt

    @pytest.mark.parametrize(
        ("factor", "unit"),
        [
            (1.0 / HARTREE, "hartree"),
            (2.0 / HARTREE, "Rydberg"),
            (23.0605, "kcal/mol"),
            (1000.0, "meV"),
            (1.0 / 8.0, "eV/atom"),
        ],
    )
    def test_the_unit_that_would_fit(self, factor: float, unit: str) -> None:
        found = structures(40)
        found[3] = scaled(found[3], energy=factor)
        (doubt,) = doubts(found)
        assert f"it would fit in {unit})" in doubt

    def test_many_in_another_unit(self) -> None:
        """A third of the structures in hartree: too many for outliers, but all are off by one factor."""
        found = structures(60)
        for index in range(0, 60, 3):
            found[index] = scaled(found[index], energy=1.0 / HARTREE)
        (doubt,) = doubts(found)
        assert doubt.startswith("20 structures")
        assert "hartree" in doubt

    def test_atoms_and_dimers_lack_bonds(self) -> None:
        """An isolated atom is above the solid by its cohesive energy, here 4 eV; nothing is wrong with it."""
        atom = Structure(np.array([32]), np.zeros((1, 3)), energy=-1.0, forces=np.zeros((1, 3)))
        dimer = Structure(np.array([32, 32]), np.zeros((2, 3)), energy=-5.0)
        assert doubts([*structures(40), atom, dimer]) == []
        wrong = Structure(**{**vars(atom), "energy": -100.0})
        assert "structure 41 (" in doubts([*structures(40), wrong])[0]

    def test_a_few_of_another_phase(self) -> None:
        """A surface 0.6 eV/atom above the bulk is no mistake, but a report on the data names it."""
        found = structures(400)
        found[9] = Structure(**{**vars(found[9]), "energy": found[9].energy + 8 * 0.6})
        assert doubts(found) == []
        assert len(energy_outliers(counted(found).table(METAL), THERMAL)) == 1

    def test_a_few_hot_ones(self) -> None:
        """Half an eV an atom more at 4000 K, in proportion to the square of the forces."""
        found = structures(40)
        forces = np.random.default_rng(3).normal(size=(8, 3))
        found = [Structure(**{**vars(one), "forces": forces}) for one in found]
        found[9] = Structure(**{**vars(found[9]), "energy": found[9].energy + 8 * 0.5})
        assert len(energy_outliers(counted(found).table(METAL), THERMAL)) == 1
        found[9] = Structure(**{**vars(found[9]), "forces": 2.0 * forces})
        assert energy_outliers(counted(found).table(METAL), THERMAL) == []
        found[9] = Structure(**{**vars(found[9]), "energy": found[9].energy + 8 * 3.0})
        assert len(energy_outliers(counted(found).table(METAL), THERMAL)) == 1

    def test_two_kinds_of_data_are_no_doubt(self) -> None:
        found = structures(60)
        for index in range(0, 60, 3):
            found[index] = Structure(**{**vars(found[index]), "energy": found[index].energy + 8 * 2.0})
        assert doubts(found) == []

    def test_beyond_all_electrons(self) -> None:
        """Silicon has -7870 eV with all its electrons; -6e7 eV is impossible for a single structure, too."""
        one = Structure(np.array([14]), np.zeros((1, 3)), energy=-7870.0)
        assert doubts([one]) == []
        assert "1 structure has an energy far" in doubts([scaled(one, energy=7000.0)])[0]

    def test_residuals_are_those_of_the_fit(self) -> None:
        """Without noise, the energies of two elements leave nothing; a constant more is all that is left."""
        found = structures(30)
        numbers = np.array([one.numbers for one in found])
        exact = np.where(numbers == 32, -5.0, -3.0).sum(axis=1)
        found = [
            Structure(**{**vars(one), "energy": energy}) for one, energy in zip(found, exact, strict=True)
        ]
        found[4] = Structure(**{**vars(found[4]), "energy": exact[4] + 4.0})
        expected = np.zeros(30)
        expected[4] = 0.5
        np.testing.assert_allclose(energy_residuals(counted(found).table(METAL)), expected, atol=1e-6)


class TestStressesAndForces:
    @pytest.mark.parametrize("units", [METAL, ATOMIC], ids=lambda units: units.name)
    @pytest.mark.parametrize(("unit", "size"), [("GPa", 1.0), ("kB", 0.1), ("bar", 1e-4)])
    def test_numbers_in_another_unit(self, unit: str, size: float, units: Units) -> None:
        """Stresses of a few GPa, written as numbers of `unit` (10 kB, 10000 bar a GPa)."""
        found = [scaled(one, stress=units.gpa / size) for one in structures(20, units)]
        (doubt,) = doubts(found, units)
        assert f"GPa if the numbers are in {unit}" in doubt

    def test_a_single_structure(self) -> None:
        one = scaled(structures(1)[0], stress=160.21766 / 1e-4)
        (doubt,) = doubts([one])
        assert "if the numbers are in bar" in doubt

    def test_one_of_many(self) -> None:
        found = structures(40)
        found[8] = scaled(found[8], stress=160.21766 / 1e-4)
        (doubt,) = doubts(found)
        assert "1 structure is above 1000 GPa" in doubt
        assert "of structure 9" in doubt

    def test_forces_in_milli_electronvolt(self) -> None:
        (doubt,) = doubts([scaled(one, forces=1000.0) for one in structures(20)])
        assert "if the numbers are in meV/Angstrom" in doubt

    def test_structures_without_labels(self) -> None:
        bare = [Structure(one.numbers, one.positions, one.cell) for one in structures(20)]
        assert doubts(bare) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mlearn/Si_train", "mlearn/Ge_test", "nbmotaw/MoW_binary", "3bpa/train_300K", "gst/GeTe_1200K"]
)
def test_no_doubt_about_real_data(shared: Path, name: str) -> None:
    """DFT data with surfaces, vacancies, strained cells, alloys and a liquid."""
    frames = ase.io.iread(shared / "data" / f"{name}.extxyz.gz", slice(0, 600, 3))
    assert doubts([from_atoms(atoms, METAL) for atoms in frames]) == []
