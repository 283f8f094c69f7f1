"""The gradient of sigma of the energy against finite differences, and dynamics that climbs it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from bnnp.descriptors.scaling import Scaling
from bnnp.dynamics.simulation import Simulation, thermalize
from bnnp.dynamics.stages import Stage
from bnnp.interfaces.ase import BNNP
from bnnp.io.scaling_data import ScalingData
from bnnp.network.initial import initial_network
from bnnp.network.masks import Masks
from bnnp.potential.loading import load, potential_of
from bnnp.potential.member import Member
from bnnp.potential.potential import Potential
from bnnp.settings.settings import load_settings
from bnnp.uncertainty.calibration import Quantity
from bnnp.uncertainty.ensemble import sigma_slopes
from bnnp.uncertainty.maps import Isotonic, Quadratic

INPUT = """
units {units}
elements Te Ge
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 2
global_nodes_short 6 5
global_activation_short t t l
global_symfunction_short 2 0.1 0.0 {r_c}
global_symfunction_short 3 0.02 1 2 {r_c}
symfunction_short Ge 2 Te 0.3 1.0 {r_c}
"""
RATES = (0.0, 0.2, 0.3)
CASES = ["masks", "masked inputs", "centered", "ensemble", "plain ensemble", "normalized", "atomic"]


def potential(case: str, folder: Path) -> Potential:
    """Random networks, with samples of one kind."""
    unit = "atomic" if case == "atomic" else "metal"
    text = INPUT.format(units=unit, r_c=9.0 if unit == "atomic" else 5.0)
    if case == "normalized":
        text += "normalize_nodes\nmean_energy -0.3\nconv_energy 2.0\nconv_length 1.0\n"
    (folder / "input.nn").write_text(text)
    settings, rng = load_settings(folder / "input.nn", 3), np.random.default_rng(3)
    model = settings.model
    scalings = {}
    for element, functions in model.functions.items():
        low = rng.normal(size=len(functions))
        scalings[element] = Scaling(low, low + 3.0, low + 1.0, np.full(len(functions), 0.5))
    members = []
    for seed in range(3 if "ensemble" in case else 1):
        own = {
            x: initial_network(
                model.architecture[x], len(functions), rng, normalize_nodes=model.normalize_nodes
            )
            for x, functions in model.functions.items()
        }
        sizes = {x: network.sizes for x, network in own.items()}
        rates = (0.1, *RATES[1:]) if case == "masked inputs" else RATES
        masks = None if case == "plain ensemble" else Masks.draw(seed, 4 + seed, rates, sizes)
        if masks is not None and case == "centered":
            means = {
                x: tuple(
                    rng.normal(size=n) * (rate > 0.0) for n, rate in zip(network.sizes, rates, strict=False)
                )
                for x, network in own.items()
            }
            masks = masks.with_means(means)
        members.append(Member(own, masks))
    return replace(potential_of(settings, members[0], ScalingData(scalings)), members=tuple(members))


def crystal(seed: int = 1) -> Atoms:
    atoms = bulk("GeTe", "rocksalt", a=6.0, cubic=True)
    atoms.set_cell(atoms.cell + 0.2 * np.random.default_rng(seed).normal(size=(3, 3)), scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def test_slopes_of_the_standard_deviation() -> None:
    """By hand for two numbers, sigma = |a - b| / sqrt(2); by differences for an ensemble."""
    np.testing.assert_allclose(sigma_slopes(np.array([1.0, 4.0]), (2,)), np.array([-1, 1]) / np.sqrt(2))
    assert not sigma_slopes(np.ones(3), (3,)).any()
    samples, sizes, step = np.array([1.0, 2.5, 4.0, 7.0, 7.5, 3.0]), (3, 2, 1), 1e-5

    def sigma(values: np.ndarray) -> float:
        within = np.mean([np.var(values[:3], ddof=1), np.var(values[3:5], ddof=1), 0.0])
        means = [values[:3].mean(), values[3:5].mean(), values[5]]
        return float(np.sqrt(within + np.var(means, ddof=1)))

    steps = step * np.eye(6)
    expected = [(sigma(samples + e) - sigma(samples - e)) / (2 * step) for e in steps]
    np.testing.assert_allclose(sigma_slopes(samples, sizes), expected, rtol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_biased_forces_and_stress_are_derivatives_of_the_biased_energy(case: str, tmp_path: Path) -> None:
    """Of E - k sigma, with E and sigma from a calculator without bias."""
    model, k, step = potential(case, tmp_path), 2.5, 1e-3
    atoms, plain = crystal(), BNNP(model, warn=False)
    atoms.calc = BNNP(model, bias=k, warn=False)
    forces, stress = atoms.get_forces(), atoms.get_stress()
    sigma = plain.get_property("energy_std", atoms)
    assert atoms.get_potential_energy() == pytest.approx(plain.get_property("energy", atoms) - k * sigma)
    assert np.abs(atoms.calc.results["bias_forces"]).max() > 0.05 * np.abs(forces).max()
    np.testing.assert_allclose(
        forces - atoms.calc.results["bias_forces"], plain.get_property("forces", atoms)
    )

    def energy(moved: Atoms) -> float:
        return float(plain.get_property("energy", moved) - k * plain.get_property("energy_std", moved))

    def slope(change: np.ndarray, deform: bool) -> float:
        found = []
        for sign in (2, 1, -1, -2):
            moved = atoms.copy()
            if deform:
                moved.set_cell(atoms.cell @ (np.eye(3) + sign * step * change), scale_atoms=True)
            else:
                moved.positions += sign * step * change
            found.append(energy(moved))
        return float(np.dot([-1, 8, -8, 1], found) / (12 * step))

    for atom, axis in [(0, 0), (3, 1), (6, 2)]:
        change = np.zeros((len(atoms), 3))
        change[atom, axis] = 1.0
        assert forces[atom, axis] == pytest.approx(-slope(change, False), rel=1e-6, abs=1e-8)
    for component, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5
        strain[b, a] += 0.5
        expected = slope(strain, True) / atoms.get_volume()
        assert stress[component] == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_a_molecule_is_biased_too(tmp_path: Path) -> None:
    """It has no stress; the forces add up to zero."""
    molecule = crystal()
    molecule.pbc = False
    molecule.calc = BNNP(potential("masks", tmp_path), bias=1.0, warn=False)
    np.testing.assert_allclose(molecule.get_forces().sum(axis=0), 0.0, atol=1e-10)
    assert "bias_stress" not in molecule.calc.results


def test_the_biased_energy_is_conserved(solid: Path) -> None:
    """In NVE to second order in the time step, while E alone is not; and sigma rises."""
    largest, sigmas = {}, {}
    for factor, k in ((1, 40.0), (2, 40.0), (1, 0.0)):
        atoms = bulk("Cu", a=4.05, cubic=True) * 2
        atoms.calc = BNNP(load(solid), bias=k, warn=False)
        thermalize(atoms, 300.0, np.random.default_rng(1))
        simulation = Simulation(atoms, [Stage(100 * factor, 2.0 / factor)], np.random.default_rng(1))
        unbiased, drifts, sigma = [], [], []
        for _ in simulation.run():
            drifts.append(abs(simulation.drift()))
            unbiased.append(atoms.get_total_energy() - atoms.calc.results.get("bias_energy", 0.0))
            sigma.append(float(atoms.calc.results["energy_std"]))
        largest[factor, k], sigmas[k] = max(drifts), np.mean(sigma)
        if k:
            assert np.ptp(unbiased) > 20 * max(drifts)
    assert largest[1, 40.0] / largest[2, 40.0] == pytest.approx(4.0, rel=0.35)
    assert sigmas[40.0] > 1.01 * sigmas[0.0]


def test_the_factor_of_the_calibration_is_that_far_out() -> None:
    """Both maps go on in proportion beyond their largest sigma."""
    quadratic = Quantity(Quadratic(0.3, 0.0, 0.0, 0.5), np.ones(1), {})
    isotonic = Quantity(Isotonic(np.array([0.1, 0.4]), np.array([0.2, 1.0])), np.ones(1), {})
    assert quadratic.beyond == pytest.approx(0.3 / 0.5)
    assert isotonic.beyond == pytest.approx(1.0 / 0.4)
    assert quadratic.sigma(np.array([[5.0]]))[0] == pytest.approx(5.0 * quadratic.beyond)
