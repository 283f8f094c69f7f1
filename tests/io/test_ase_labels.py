"""Labels of Atoms: one calculation, the sign of a virial, stated units, values that are no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from bnnp.errors import InputError
from bnnp.io.ase_atoms import from_atoms, to_atoms
from bnnp.io.ase_labels import LabelKeys, MissingLabel, find_labels
from bnnp.units import ATOMIC, METAL

GPA = 1.0 / 160.21766208  # eV/Angstrom^3, CODATA 2014
HARTREE, BOHR = 27.21138602, 0.52917721067  # eV, Angstrom, CODATA 2014
KCAL = 0.0433641153  # kcal/mol in eV
MATRIX = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
FORCE = np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])


def frame(info: dict[str, Any], arrays: dict[str, Any] | None = None, **results: Any) -> Atoms:
    """Two atoms in a cell of 6 * 6 * 5 = 180 cubic Angstrom; labels where the caller puts them."""
    atoms = Atoms("Cu2", [[1.0, 1.0, 1.0], [3.5, 1.0, 1.0]], cell=[6.0, 6.0, 5.0], pbc=True)
    atoms.info.update(info)
    for name, value in (arrays or {}).items():
        atoms.arrays[name] = np.array(value)
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def two_methods() -> Atoms:
    """A force field's labels under plain names, those of DFT as REF_..."""
    info = {"REF_energy": -7.0, "REF_stress": 0.01 * np.eye(3)}
    return frame(info, {"REF_forces": FORCE}, energy=-1.0, forces=9.0 * FORCE, stress=np.full(6, 9.0))


class TestOneCalculation:
    def test_two_are_refused_by_name(self) -> None:
        with pytest.raises(
            InputError, match=r"energy, forces, and REF_energy, REF_forces.*--energy-key REF_en"
        ):
            find_labels(two_methods())

    @pytest.mark.parametrize(
        "keys",
        [LabelKeys("REF_energy", "REF_forces"), LabelKeys("REF_energy"), LabelKeys(forces="REF_forces")],
    )
    def test_one_key_brings_the_others(self, keys: LabelKeys) -> None:
        found = find_labels(two_methods(), keys)
        assert found.energy == -7.0
        np.testing.assert_array_equal(found.forces, FORCE)
        np.testing.assert_array_equal(found.stress, [0.01, 0.01, 0.01, 0, 0, 0])
        assert sorted(found.left_aside) == ["energy", "forces", "stress"]

    def test_plain_names_can_be_chosen(self) -> None:
        found = find_labels(two_methods(), LabelKeys("energy"))
        assert (found.energy, found.stress[0]) == (-1.0, 9.0)
        assert sorted(found.left_aside) == ["REF_energy", "REF_forces", "REF_stress"]

    def test_equal_labels_are_no_contradiction(self) -> None:
        info = {"REF_energy": -1.0}
        assert find_labels(frame(info, {"REF_forces": FORCE}, energy=-1.0, forces=FORCE)).energy == -1.0

    def test_stress_of_another_calculation_is_left_aside(self) -> None:
        found = find_labels(frame({"dft_virial": MATRIX}, energy=-1.0, forces=FORCE))
        assert found.stress is None
        assert found.left_aside == ("dft_virial",)
        plain = frame({"dft_energy": -1.0}, {"dft_force": FORCE}, stress=np.ones(6))
        assert find_labels(plain, LabelKeys("dft_energy")).stress is None

    def test_forces_of_another_calculation_are_missing(self) -> None:
        with pytest.raises(MissingLabel, match="has no forces of the calculation `ref`"):
            find_labels(frame({"REF_energy": -1.0}, energy=-2.0, forces=FORCE), LabelKeys("REF_energy"))

    def test_missing_energy_names_the_key_that_would_do(self) -> None:
        with pytest.raises(MissingLabel, match="--energy-key dft_energy takes those of `dft`"):
            find_labels(frame({"dft_energy": -1.0}, {"dft_forces": FORCE}))

    def test_a_name_that_says_no_calculation(self) -> None:
        """Forces may follow if they belong to no other energy."""
        assert find_labels(frame({"E0": -3.0}, forces=FORCE), LabelKeys("E0")).energy == -3.0
        with pytest.raises(InputError, match="which forces belong to `E0`"):
            find_labels(frame({"E0": -3.0}, energy=-1.0, forces=FORCE), LabelKeys("E0"))

    def test_two_names_for_one_label(self) -> None:
        with pytest.raises(InputError, match="`forces` and `force` are two different values"):
            find_labels(frame({}, {"force": 2.0 * FORCE}, energy=-1.0, forces=FORCE))
        with pytest.raises(
            InputError, match="two different values of `energy`: of the calculator, and beside"
        ):
            find_labels(frame({"energy": -2.0}, energy=-1.0, forces=FORCE))

    def test_free_energy_goes_first(self) -> None:
        assert find_labels(frame({}, energy=-2.0, free_energy=-7.0, forces=FORCE)).energy == -7.0

    def test_standard_deviations_are_no_labels(self) -> None:
        found = find_labels(frame({"energy_std": 0.1, "stress_std": np.ones(6)}, energy=-1.0, forces=FORCE))
        assert found.left_aside == ()
        assert found.predicted


class TestStress:
    @pytest.mark.parametrize("name", ["virial", "virials", "Virial"])
    @pytest.mark.parametrize("value", [MATRIX, MATRIX.ravel(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    def test_virial_is_minus_volume_times_stress(self, name: str, value: Any) -> None:
        found = find_labels(frame({name: value}, energy=-1.0, forces=FORCE))
        np.testing.assert_allclose(found.stress, -np.arange(1.0, 7.0) / 180.0)

    def test_keys(self) -> None:
        atoms = frame({"mystress": [1, 2, 3, 4, 5, 6], "W": MATRIX}, energy=-1.0, forces=FORCE)
        np.testing.assert_array_equal(find_labels(atoms, LabelKeys(stress="mystress")).stress, range(1, 7))
        found = find_labels(atoms, LabelKeys(virial="W"))
        np.testing.assert_allclose(found.stress, -np.arange(1.0, 7.0) / 180.0)

    def test_stress_and_virial_must_agree(self) -> None:
        agreeing = {"virial": -180.0 * MATRIX, "stress": MATRIX}
        found = find_labels(frame(agreeing, energy=-1.0, forces=FORCE))
        np.testing.assert_array_equal(found.stress, range(1, 7))
        with pytest.raises(InputError, match="`stress` and `virial` are two different values"):
            find_labels(frame({"virial": MATRIX, "stress": MATRIX}, energy=-1.0, forces=FORCE))

    def test_exactly_zero_is_a_stress(self) -> None:
        stress = from_atoms(frame({"stress": np.zeros(6)}, energy=-1.0, forces=FORCE), METAL).stress
        np.testing.assert_array_equal(stress, np.zeros(6))

    def test_half_a_matrix_is_refused(self) -> None:
        with pytest.raises(InputError, match="no symmetric matrix"):
            find_labels(frame({"stress": np.triu(MATRIX)}, energy=-1.0, forces=FORCE))

    def test_wrong_number(self) -> None:
        atoms = frame({"stress": [1.0, 2.0, 3.0]}, energy=-1.0, forces=FORCE)
        with pytest.raises(InputError, match="has 3 numbers, expected 6"):
            find_labels(atoms)
        assert find_labels(atoms, stress=False).stress is None


class TestNumbers:
    @pytest.mark.parametrize("value", ["-7.0d0", "-7", -7, np.array([-7.0]), np.float32(-7.0)])
    def test_one_number(self, value: Any) -> None:
        assert find_labels(frame({"energy": value}, forces=FORCE)).energy == -7.0

    @pytest.mark.parametrize("value", ["-7 eV", True, [True, False], "none", {"dft": -7.0}])
    def test_no_number(self, value: Any) -> None:
        with pytest.raises(InputError, match="`energy` is `"):
            find_labels(frame({"energy": value}, forces=FORCE))

    def test_an_energy_an_atom(self) -> None:
        with pytest.raises(InputError, match="`energy` holds 2 numbers, one an atom"):
            find_labels(frame({}, {"energy": [-3.0, -4.0]}, forces=FORCE))

    def test_no_atoms(self) -> None:
        with pytest.raises(InputError, match="has no atoms"):
            from_atoms(Atoms(), METAL)


class TestUnits:
    @pytest.mark.parametrize(
        ("key", "unit", "size"),
        [
            ("stress-unit", "GPa", GPA),
            ("stress_units", "kB", 0.1 * GPA),
            ("stress-unit", "bar", 1e-4 * GPA),
            ("stress-unit", "eV/Angstrom^3", 1.0),
            ("stress-unit", "Ha/bohr^3", HARTREE / BOHR**3),
        ],
    )
    def test_stress(self, key: str, unit: str, size: float) -> None:
        atoms = frame({"stress": MATRIX, key: unit}, energy=-1.0, forces=FORCE)
        np.testing.assert_allclose(find_labels(atoms).stress, size * np.arange(1.0, 7.0), rtol=1e-8)

    def test_energy_and_force(self) -> None:
        info = {"energy-unit": "hartree", "force-unit": "hartree/bohr"}
        found = find_labels(frame(info, energy=-0.5, forces=FORCE))
        assert found.energy == pytest.approx(-0.5 * HARTREE)
        np.testing.assert_allclose(found.forces, FORCE * HARTREE / BOHR)

    @pytest.mark.parametrize("unit", ["kcal/mol/A", "kcal/mol/Angstrom", "kcal/mol Ang^-1"])
    def test_force_of_three_parts(self, unit: str) -> None:
        found = find_labels(frame({"force-unit": unit}, energy=-0.5, forces=FORCE))
        np.testing.assert_allclose(found.forces, FORCE * KCAL, rtol=1e-6)

    def test_lengths_and_a_virial_in_atomic_units(self) -> None:
        """Positions and cell follow, and the volume with which the virial becomes a stress."""
        structure = from_atoms(
            frame({"units": "atomic", "virial": MATRIX}, energy=-1.0, forces=FORCE), ATOMIC
        )
        assert structure.cell[0, 0] == pytest.approx(6.0)
        assert structure.positions[1, 0] == pytest.approx(3.5)
        assert structure.energy == pytest.approx(-1.0)
        np.testing.assert_allclose(structure.forces, FORCE)
        np.testing.assert_allclose(structure.stress, -np.arange(1.0, 7.0) / 180.0)

    @pytest.mark.parametrize(
        ("info", "message"),
        [
            ({"stress-unit": "furlong"}, "`stress-unit=furlong` is no unit of stress"),
            ({"energy-unit": "MeV"}, "is no unit of energy"),
            ({"units": "lj"}, "is no known system of units"),
            ({"pressure-unit": "GPa"}, "is the unit of something unknown"),
            ({"energy-unit": "hartree"}, "that of the force is not said; add force-unit="),
            ({"energy-unit": "eV", "energy_units": "Ry"}, "contradicts another unit of the energy"),
        ],
    )
    def test_refused(self, info: dict[str, str], message: str) -> None:
        with pytest.raises(InputError, match=message):
            find_labels(frame(info, energy=-1.0, forces=FORCE))

    def test_of_what_is_not_taken(self) -> None:
        info = {"time-unit": "fs", "REF_energy-unit": "furlong", "energy-unit": "eV"}
        assert find_labels(frame(info, energy=-1.0, forces=FORCE)).energy == -1.0


class TestCharges:
    @pytest.mark.parametrize("name", ["charges", "initial_charges"])
    def test_of_atoms_there_and_back(self, name: str) -> None:
        structure = from_atoms(frame({"charge": 1.0}, {name: [0.25, 0.75]}, energy=-1.0, forces=FORCE), METAL)
        np.testing.assert_array_equal(structure.charges, [0.25, 0.75])
        assert structure.charge == 1.0
        np.testing.assert_array_equal(from_atoms(to_atoms(structure, METAL), METAL).charges, [0.25, 0.75])

    def test_those_of_the_calculator_go_first(self) -> None:
        atoms = frame({}, {"initial_charges": [1.0, -1.0]}, energy=-1.0, forces=FORCE, charges=[0.4, -0.4])
        np.testing.assert_array_equal(from_atoms(atoms, METAL).charges, [0.4, -0.4])
