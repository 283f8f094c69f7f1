"""The heat flux of the ASE calculator: the derivative of sum_i r_i e_i, whatever cell, list and ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell
from lammps_case import make_potential, random_structure

from bnnp import BNNP
from bnnp.dynamics.driving_force import driving_forces

SILICON = """\
units metal
number_of_elements 1
elements Si
cutoff_type 2
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 2
global_nodes_short 6 5
global_activation_short t t l
zbl_repulsion 1.0 3.2
symfunction_short Si 2 Si 0.1 0.0 5.5
symfunction_short Si 2 Si 0.6 2.3 5.5
symfunction_short Si 3 Si Si 0.02 1.0 2.0 5.5
symfunction_short Si 9 Si Si 0.03 -1.0 4.0 4.5
"""


@pytest.fixture(scope="module")
def silicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One element, eV and Angstrom, with the repulsion of nuclei, without samples."""
    return make_potential(tmp_path_factory.mktemp("silicon") / "run", SILICON, ())


ELEMENTS = {"silicon": ("Si",), "ternary": ("Ge", "Sb", "Te"), "atomic": ("Ge", "Te")}


@pytest.fixture(params=sorted(ELEMENTS))
def case(request: pytest.FixtureRequest) -> tuple[Path, tuple[str, ...]]:
    """A potential and its elements: one, two in bohr and hartree, three."""
    return request.getfixturevalue(request.param), ELEMENTS[request.param]


def moving(elements: tuple[str, ...], n: int, periodic: bool, seed: int = 7) -> Atoms:
    """Atoms 2.9 Angstrom apart with velocities of a few thousand kelvin."""
    structure = random_structure(elements, seed=seed, n=n, periodic=periodic)
    atoms = Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=periodic)
    atoms.set_velocities(np.random.default_rng(seed).normal(scale=0.02, size=(n, 3)))
    return atoms


def flux(directory: Path, atoms: Atoms, **options: object) -> np.ndarray:
    return BNNP(directory, warn=False, **options).get_property("heat_flux", atoms)


def test_is_the_derivative_of_the_energy_moment_of_a_cluster(case: tuple[Path, tuple[str, ...]]) -> None:
    """d/dt sum_i r_i e_i, with r_i held by central differences along the motion, plus the convective part.

    The parts are judged apart, each by its own size: energies of free atoms can make the convective one so
    large that the other is lost in it.
    """
    directory, elements = case
    atoms = moving(elements, n=13, periodic=False)
    calc = BNNP(directory, warn=False)
    forces, velocities = calc.get_property("forces", atoms), atoms.get_velocities()
    kinetic = 0.5 * atoms.get_masses() * (velocities**2).sum(axis=1)
    convective = (kinetic + calc.get_property("energies", atoms)) @ velocities
    h = 0.003

    def moment(step: float) -> np.ndarray:
        there = atoms.copy()
        there.positions += step * velocities
        return calc.get_property("energies", there) @ atoms.positions

    expected = (moment(h) - moment(-h)) / (2 * h)
    expected += np.einsum("ia,ia->i", forces, velocities) @ atoms.positions  # of the kinetic energies
    found = calc.heat_flux(atoms)
    np.testing.assert_allclose(found.convective, convective, rtol=1e-12)
    np.testing.assert_allclose(
        found.total - found.convective, expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_driving_force_does_the_work_of_the_heat_flux(case: tuple[Path, tuple[str, ...]]) -> None:
    """sum_i F_i v_i = F_e . d/dt sum_i r_i (e_i - mean of the element), by central differences.

    The forces add up to zero. So do the velocities, as the mean force is taken out.
    """
    directory, elements = case
    atoms = moving(elements, n=13, periodic=False)
    velocities = atoms.get_velocities() - atoms.get_velocities().mean(axis=0)
    atoms.set_velocities(velocities)
    calc, field = BNNP(directory, warn=False), np.array([0.3, -0.2, 0.5])
    kinetic = 0.5 * atoms.get_masses() * (velocities**2).sum(axis=1)
    energies, virials = (calc.get_property(name, atoms) for name in ("energies", "virials"))
    symbols = np.array(atoms.symbols)
    means = {x: (kinetic + energies)[symbols == x].mean() for x in elements}
    forces = driving_forces(field, kinetic + energies, virials, atoms.numbers)
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-12 * np.abs(forces).max())
    h, own = 0.003, calc.get_property("forces", atoms)

    def moment(step: float) -> np.ndarray:
        there = atoms.copy()
        there.positions += step * velocities
        excess = calc.get_property("energies", there) + kinetic - [means[x] for x in symbols]
        return excess @ there.positions

    expected = (moment(h) - moment(-h)) / (2 * h)
    expected += np.einsum("ia,ia->i", own, velocities) @ atoms.positions
    power = np.einsum("ia,ia->", forces, velocities)
    assert power == pytest.approx(field @ expected, rel=1e-5, abs=1e-5 * np.abs(expected).max())


def test_driving_force_does_not_know_free_atom_energies() -> None:
    """Energies of each element may count from anywhere: no part of the force follows them."""
    atoms = moving(ELEMENTS["ternary"], 12, True)
    rng = np.random.default_rng(4)
    energies, virials = rng.normal(size=12), rng.normal(size=(12, 3, 3))
    field = np.array([0.0, 0.0, 1.0])
    expected = driving_forces(field, energies, virials, atoms.numbers)
    shifted = energies + 100.0 * atoms.numbers
    np.testing.assert_allclose(driving_forces(field, shifted, virials, atoms.numbers), expected, atol=1e-9)


def test_follows_the_velocities_without_a_new_evaluation(silicon: Path) -> None:
    """The flux of the same configuration is linear in small velocities, apart from the kinetic energies."""
    atoms, calc = moving(("Si",), 12, True), BNNP(silicon, warn=False, virials=True)
    calc.get_property("forces", atoms)
    first = calc.heat_flux(atoms)
    kinetic = 0.5 * (atoms.get_masses() * (atoms.get_velocities() ** 2).sum(axis=1)) @ atoms.get_velocities()
    atoms.set_velocities(-2.0 * atoms.get_velocities())
    second = calc.heat_flux(atoms)
    np.testing.assert_allclose(second.total + 2.0 * first.total, -6.0 * kinetic, rtol=0, atol=1e-9)
    np.testing.assert_allclose(second.convective + 2.0 * first.convective, -6.0 * kinetic, rtol=0, atol=1e-9)
    assert calc.evaluations == 1


def test_virials_add_up_to_the_stress(case: tuple[Path, tuple[str, ...]]) -> None:
    directory, elements = case
    atoms, calc = moving(elements, 12, True), BNNP(directory, warn=False)
    total = -calc.get_property("virials", atoms).sum(axis=0) / atoms.get_volume()
    np.testing.assert_allclose(total, total.T, atol=1e-12)  # an energy that rotations leave as it is
    stress = calc.get_property("stress", atoms)
    np.testing.assert_allclose(total[(0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)], stress, atol=1e-12)


OTHER_CELLS: dict[str, Callable[[Atoms], Atoms]] = {
    "vectors": lambda atoms: make_supercell(atoms, [[1, 0, 0], [1, 1, 0], [0, -1, 1]], wrap=True),
    "origin": lambda atoms: shifted(atoms),
    "unwrapped": lambda atoms: unwrapped(atoms),
}


def shifted(atoms: Atoms) -> Atoms:
    other = atoms.copy()
    other.translate([1.3, -0.7, 2.1])
    other.wrap()
    return other


def unwrapped(atoms: Atoms) -> Atoms:
    other = atoms.copy()
    other.positions += np.random.default_rng(3).integers(-2, 3, size=(len(atoms), 3)) @ atoms.cell.array
    return other


@pytest.mark.parametrize("change", OTHER_CELLS)
def test_the_choice_of_the_cell_changes_nothing(change: str, case: tuple[Path, tuple[str, ...]]) -> None:
    directory, elements = case
    atoms = moving(elements, 12, True)
    expected = flux(directory, atoms)
    found = flux(directory, OTHER_CELLS[change](atoms))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_twice_the_cell_twice_the_flux(case: tuple[Path, tuple[str, ...]]) -> None:
    directory, elements = case
    atoms = moving(elements, 6, True)
    expected = 2.0 * flux(directory, atoms)
    np.testing.assert_allclose(
        flux(directory, atoms * (1, 2, 1)), expected, rtol=0, atol=1e-10 * np.abs(expected).max()
    )


@pytest.mark.parametrize("options", [{"skin": 0.0}, {"skin": 2.0}, {"threads": 2}])
def test_neighbor_list_and_threads_change_nothing(options: dict[str, object], ternary: Path) -> None:
    atoms = moving(ELEMENTS["ternary"], 12, True)
    expected = flux(ternary, atoms)
    found = flux(ternary, atoms, **options)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_the_mean_of_the_samples_is_that_of_the_potential(ternary: Path) -> None:
    """The flux is linear in the energies, so that the samples have the mean flux on average."""
    atoms, calc = moving(ELEMENTS["ternary"], 9, False), BNNP(ternary, warn=False)
    samples = [BNNP(calc.potential.member(s), warn=False) for s in range(calc.potential.samples)]
    found = np.mean([each.get_property("heat_flux", atoms) for each in samples], axis=0)
    expected = calc.get_property("heat_flux", atoms)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    calc.get_property("forces_std", atoms)  # a sampled evaluation of the same configuration
    np.testing.assert_array_equal(calc.get_property("heat_flux", atoms), expected)
