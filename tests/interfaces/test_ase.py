"""The ASE calculator: units, derivatives, standard deviations, files, and what ASE does with calculators."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100
from ase.calculators.calculator import PropertyNotImplementedError, get_calculator_class
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.mep import NEB
from ase.optimize import BFGS, FIRE
from ase.phonons import Phonons

import bnnp
from bnnp import BNNP
from bnnp.errors import InputError, NumericalError
from bnnp.interfaces.ase import ExtrapolationWarning
from bnnp.io.ase_atoms import from_atoms
from bnnp.units import METAL


def crystal(seed: int = 1, repeat: int = 2, scale: float = 0.08) -> Atoms:
    atoms = bulk("Cu", a=4.0, cubic=True) * repeat
    atoms.rattle(scale, seed=seed)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.02 * np.arange(9).reshape(3, 3) / 9), scale_atoms=True)
    return atoms


class TestExtrapolation:
    """One atom is so close to another that a function is beyond its range in scaling.data."""

    def close(self) -> Atoms:
        atoms = crystal(scale=0.02)
        atoms.positions[5] += 0.4 * (atoms.positions[6] - atoms.positions[5])
        return atoms

    def test_the_first_is_a_warning_all_are_counted(self, solid: Path) -> None:
        calc, usual, atoms = BNNP(solid), crystal(scale=0.02), self.close()
        calc.get_potential_energy(usual)
        assert calc.extrapolated == 0
        with pytest.warns(ExtrapolationWarning, match=r"symmetry function 1 of atom \d+ \(Cu\)"):
            calc.get_potential_energy(atoms)
        calc.get_forces(atoms)  # the same configuration
        assert calc.extrapolated == 1
        atoms.positions[0] += 0.01
        calc.get_potential_energy(atoms)  # a second warning would be an error here
        assert calc.extrapolated == 2
        calc.get_potential_energy(usual)
        assert calc.extrapolated == 2

    def test_the_number_of_functions_is_that_of_scaling_data(self, solid: Path) -> None:
        calc, atoms = BNNP(solid, warn=False), self.close()
        values, ranges = (
            calc.potential.predict(from_atoms(atoms, METAL, labels=False)).descriptors,
            read_ranges(solid),
        )
        expected = int(((values < ranges[0]) | (values > ranges[1])).sum())
        assert calc.extrapolations(atoms) == expected > 0


def read_ranges(folder: Path) -> np.ndarray:
    """Minimum and maximum of each function of the only element, (2, n)."""
    rows = np.loadtxt(folder / "scaling.data", ndmin=2)
    return rows[:, 2:4].T


class TestResults:
    @pytest.mark.parametrize("unit", ["metal", "atomic"])
    def test_closed_form_in_ev_and_angstrom(
        self, unit: str, tmp_path: Path, solid_writer: Callable[..., Path]
    ) -> None:
        """Without samples, against the sum over images written down here."""
        atoms = crystal()
        atoms.calc = BNNP(solid_writer(tmp_path, units=unit, samples=0))
        shifts = np.array(np.meshgrid(*[range(-2, 3)] * 3)).reshape(3, -1).T @ atoms.cell.array
        D = atoms.positions[None, :, None] - atoms.positions[:, None, None] + shifts
        r = np.linalg.norm(D, axis=-1).ravel()
        r = r[(r > 1e-9) & (r < 5.0)]
        phi = 800.0 * np.exp(-(r**2)) - 1.25 * np.exp(-1.5 * (r - 2.9) ** 2)
        expected = (phi * np.tanh(1 - r / 5.0) ** 3).sum()
        assert atoms.get_potential_energy() == pytest.approx(expected, rel=1e-9)
        assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
        assert atoms.get_potential_energies().sum() == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("unit", ["metal", "atomic"])
    @pytest.mark.parametrize("pbc", [True, (True, False, True), (False, False, True), False])
    def test_forces_and_stress_are_derivatives(
        self, unit: str, pbc: object, tmp_path: Path, solid_writer: Callable[..., Path]
    ) -> None:
        atoms = crystal(repeat=1, scale=0.2)
        atoms.pbc = pbc
        atoms.calc = BNNP(solid_writer(tmp_path, units=unit), samples=3, warn=False)
        np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, 1e-4), atol=3e-6)
        if pbc:
            np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, 1e-4), atol=1e-7)
        else:
            with pytest.raises(PropertyNotImplementedError):
                atoms.get_stress()

    @pytest.mark.parametrize("unit", ["metal", "atomic"])
    def test_standard_deviations_are_those_of_the_members(
        self, unit: str, tmp_path: Path, solid_writer: Callable[..., Path]
    ) -> None:
        atoms = crystal()
        calc = BNNP(solid_writer(tmp_path, units=unit))
        members = [BNNP(calc.potential.member(sample)) for sample in range(10)]
        for name in ("energy", "energies", "forces", "stress"):
            values = np.array([member.get_property(name, atoms) for member in members])
            np.testing.assert_allclose(calc.get_property(name, atoms), values.mean(axis=0), atol=1e-9)
            spread = calc.get_property(f"{name}_std", atoms)
            np.testing.assert_allclose(spread, values.std(axis=0, ddof=1), rtol=1e-7, atol=1e-9)
        energies = [member.get_property("energy", atoms) for member in members]
        np.testing.assert_allclose(calc.get_property("sample_energies", atoms), energies, rtol=1e-12)

    def test_slab_needs_no_vacuum(self, solid: Path) -> None:
        """Half periodic: the same as fully periodic with more vacuum than the cutoff."""
        slab = fcc100("Cu", (2, 2, 3), a=4.0, vacuum=None)
        slab.rattle(0.1, seed=2)
        slab.calc = BNNP(solid)
        padded = slab.copy()
        padded.center(vacuum=8.0, axis=2)
        padded.pbc = True
        padded.calc = BNNP(solid)
        assert slab.get_potential_energy() == pytest.approx(padded.get_potential_energy(), rel=1e-12)
        np.testing.assert_allclose(slab.get_forces(), padded.get_forces(), atol=1e-10)
        with pytest.raises(PropertyNotImplementedError, match="no volume"):
            slab.get_stress()

    def test_only_what_is_asked_for_is_computed(self, solid: Path) -> None:
        atoms = crystal()
        atoms.calc = BNNP(solid)
        atoms.get_potential_energy()
        names = {"energy", "free_energy", "energies", "energy_std", "energies_std", "sample_energies"}
        assert set(atoms.calc.results) == names
        atoms.get_forces()
        assert {"forces", "stress"} <= set(atoms.calc.results)
        assert "forces_std" not in atoms.calc.results
        atoms.calc.get_property("forces_std", atoms)
        assert {"forces_std", "stress_std", "energy_std"} <= set(atoms.calc.results)
        assert atoms.calc.evaluations == 1

    def test_looking_at_the_sigmas_does_not_change_a_bit_of_the_rest(self, solid: Path) -> None:
        """Forces of the samples' mean and the mean of sampled forces differ in their last digits; a run that
        is looked at must go on as one that is not."""
        atoms = crystal()
        atoms.calc = BNNP(solid)
        generator = np.random.default_rng(1)
        for _ in range(5):
            atoms.positions += generator.normal(0.0, 0.02, (len(atoms), 3))
            atoms.get_forces()
            before = {name: np.copy(value) for name, value in atoms.calc.results.items()}
            atoms.calc.get_property("forces_std", atoms)
            for name, value in before.items():
                np.testing.assert_array_equal(atoms.calc.results[name], value, err_msg=name)

    def test_every_nth_configuration_has_force_sigmas(self, solid: Path) -> None:
        atoms = crystal()
        atoms.calc = BNNP(solid, sigma_every=3)
        found = []
        for _ in range(7):
            atoms.positions[0, 0] += 0.01
            atoms.get_forces()
            found.append("forces_std" in atoms.calc.results)
        assert found == [False, False, True, False, False, True, False]

    def test_plain_networks_have_no_sigma(self, tmp_path: Path, solid_writer: Callable[..., Path]) -> None:
        atoms = crystal()
        atoms.calc = BNNP(solid_writer(tmp_path, samples=0))
        atoms.get_forces()
        assert "energy_std" not in atoms.info
        with pytest.raises(PropertyNotImplementedError):
            atoms.calc.get_property("energy_std", atoms)

    def test_resampled_masks_change_with_the_configuration_only(
        self, tmp_path: Path, solid_writer: Callable[..., Path]
    ) -> None:
        atoms = crystal()
        atoms.calc = BNNP(solid_writer(tmp_path, extra="mc_masks resample\n"))
        first = atoms.get_potential_energy()
        forces = atoms.get_forces()
        assert atoms.get_potential_energy() == first
        atoms.calc.get_property("forces_std", atoms)
        # the same masks; the mean over the samples' own forces rounds differently from the forces of the mean
        np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0.0, atol=1e-13)
        atoms.positions[0] += 0.1
        atoms.get_potential_energy()
        atoms.positions[0] -= 0.1
        assert abs(atoms.get_potential_energy() - first) > 1e-4

    def test_mistakes_have_clear_errors(self, solid: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="has no input.nn"):
            BNNP(tmp_path)
        gold = bulk("Au")
        gold.calc = BNNP(solid)
        with pytest.raises(InputError, match="element Au is not in this potential, which knows Cu"):
            gold.get_potential_energy()
        dimer = Atoms("Cu2", [[0, 0, 0], [0, 0, 0.1]])
        dimer.calc = BNNP(solid)
        with pytest.raises(NumericalError, match="atoms 1 and 2 are 0.1 Angstrom apart"):
            dimer.get_potential_energy()
        empty = Atoms()
        empty.calc = BNNP(solid)
        with pytest.raises(InputError, match="without atoms have no energy"):
            empty.get_potential_energy()
        with pytest.raises(ValueError, match="no parameter skn to set"):
            BNNP(solid, skn=0.3)
        with pytest.raises(ValueError, match="give them to bnnp.load"):
            BNNP(bnnp.load(solid), samples=3)


class TestFiles:
    @pytest.mark.parametrize("name", ["frame.extxyz", "frame.traj", "frame.db", "frame.json"])
    def test_sigmas_survive_ases_files(self, name: str, solid: Path, tmp_path: Path) -> None:
        atoms = crystal()
        atoms.calc = BNNP(solid)
        spread = atoms.calc.get_property("forces_std", atoms)
        write(tmp_path / name, atoms)
        again = read(tmp_path / name)
        np.testing.assert_allclose(again.get_forces(), atoms.get_forces(), atol=1e-7)
        assert again.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
        if name in ("frame.extxyz", "frame.traj"):  # ASE's databases keep neither info nor arrays
            assert again.info["energy_std"] == pytest.approx(atoms.info["energy_std"], rel=1e-7)
            np.testing.assert_allclose(again.info["stress_std"], atoms.info["stress_std"], atol=1e-7)
        if name == "frame.extxyz":  # a trajectory keeps no arrays
            np.testing.assert_allclose(again.arrays["forces_std"], spread, atol=1e-7)

    def test_no_sigma_of_a_former_configuration_is_left(self, solid: Path) -> None:
        atoms = crystal()
        atoms.calc = BNNP(solid)
        atoms.calc.get_property("forces_std", atoms)
        former = atoms.info["energy_std"]
        assert "forces_std" in atoms.arrays
        atoms.positions[0] += 0.2
        atoms.get_forces()
        assert "forces_std" not in atoms.arrays
        assert "stress_std" not in atoms.info
        assert atoms.info["energy_std"] != former


class TestCalculatorsInASE:
    def test_is_registered(self) -> None:
        assert get_calculator_class("bnnp") is BNNP

    @pytest.mark.parametrize(
        "copied", [copy.copy, copy.deepcopy, lambda calc: pickle.loads(pickle.dumps(calc))]
    )
    def test_copies_and_pickles_give_the_same_numbers(self, copied: Callable, solid: Path) -> None:
        atoms = crystal()
        atoms.calc = BNNP(solid)
        expected = atoms.get_forces()
        other = crystal()
        other.calc = copied(atoms.calc)
        np.testing.assert_array_equal(other.get_forces(), expected)
        other.positions[0] += 0.1  # a fresh calculation, not the copied result
        assert np.abs(other.get_forces() - expected).max() > 0.01
        np.testing.assert_array_equal(atoms.get_forces(), expected)

    def test_skin_changes_nothing(self, solid: Path) -> None:
        atoms, generator = crystal(), np.random.default_rng(3)
        wide, none = BNNP(solid), BNNP(solid, skin=0.0)
        for _ in range(25):
            atoms.positions += generator.normal(scale=0.02, size=(len(atoms), 3))
            np.testing.assert_array_equal(
                wide.get_property("forces", atoms), none.get_property("forces", atoms)
            )
            assert wide.get_property("energy", atoms) == none.get_property("energy", atoms)
        assert wide._pairs.searches < 15

    @pytest.mark.parametrize("what", ["positions", "numbers", "cell", "pbc"])
    def test_the_smallest_change_is_noticed(self, what: str, solid: Path) -> None:
        """One bit of a position or of the cell, an element, a periodic axis; and nothing else."""
        atoms = crystal()
        atoms.calc = BNNP(solid)
        atoms.get_forces()
        atoms.set_momenta(np.ones((len(atoms), 3)))
        atoms.info["anything"] = 1
        atoms.get_forces()
        atoms.get_stress()
        assert atoms.calc.evaluations == 1
        if what == "positions":
            atoms.positions[3, 1] = np.nextafter(atoms.positions[3, 1], 9.0)
        elif what == "numbers":
            atoms.numbers[3] = 79
        elif what == "cell":
            atoms.cell[2, 2] = np.nextafter(atoms.cell[2, 2], 99.0)
        else:
            atoms.pbc[2] = False
        assert atoms.calc.check_state(atoms) == [what]

    def test_another_structure_with_the_same_calculator(self, solid: Path) -> None:
        calc = BNNP(solid)
        small, large = crystal(repeat=1), crystal(repeat=2)
        energies = [calc.get_property("energy", atoms) for atoms in (small, large, small)]
        assert energies[0] == energies[2] == BNNP(solid).get_property("energy", small)

    @pytest.mark.slow
    def test_optimizers_find_the_crystal(self, solid: Path) -> None:
        atoms = crystal(scale=0.15)
        atoms.calc = BNNP(solid)
        BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.002, steps=200)
        assert np.abs(atoms.get_stress()).max() < 1e-4
        lengths = np.linalg.norm(atoms.cell.array, axis=1) / 2
        np.testing.assert_allclose(lengths, lengths.mean(), atol=0.01)
        perfect = bulk("Cu", a=lengths.mean(), cubic=True)
        perfect.calc = BNNP(solid)
        assert atoms.get_potential_energy() / 32 == pytest.approx(
            perfect.get_potential_energy() / 4, abs=1e-4
        )
        FIRE(atoms, logfile=None).run(fmax=0.01, steps=100)

    def test_phonons_of_the_crystal_are_real_and_acoustic(self, solid: Path, tmp_path: Path) -> None:
        cell = bulk("Cu", a=4.05)
        phonons = Phonons(cell, BNNP(solid), supercell=(3, 3, 3), delta=0.02, name=str(tmp_path / "phonon"))
        phonons.run()
        phonons.read(acoustic=True)
        gamma, zone_boundary = phonons.band_structure([[0, 0, 0], [0.5, 0.5, 0]])
        np.testing.assert_allclose(gamma, 0.0, atol=1e-5)
        assert zone_boundary.min() > 0.003  # eV: stable

    def test_neb_of_a_vacancy_that_hops(self, solid: Path) -> None:
        """Both ends are the same crystal, so the path is symmetric and has a barrier in the middle."""
        full = bulk("Cu", a=4.05, cubic=True) * 2
        hopping = 1 + int(np.argmin(full.get_distances(0, range(1, len(full)), mic=True)))
        first, last = full.copy(), full.copy()
        last.positions[hopping] += full.get_distance(hopping, 0, mic=True, vector=True)
        images = [first, *(first.copy() for _ in range(3)), last]
        for image in images:
            del image[0]
            image.calc = BNNP(solid)
        for end in (first, last):
            BFGS(end, logfile=None).run(fmax=0.01, steps=80)
        neb = NEB(images, method="improvedtangent")
        neb.interpolate(mic=True)
        FIRE(neb, logfile=None).run(fmax=0.05, steps=80)
        energies = np.array([image.get_potential_energy() for image in images])
        np.testing.assert_allclose(energies, energies[::-1], atol=2e-3)
        assert energies[2] > energies[0] + 0.1
