"""The integrators: conservation, order in dt, ensembles, and restarts bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from scipy import stats

from bnnp.dynamics.integrators import INTEGRATORS, degrees_of_freedom
from bnnp.dynamics.simulation import RunProgress, Simulation, thermalize
from bnnp.dynamics.stages import Stage

STAGES = {
    "nve": Stage(60, 2.0),
    "nose_hoover": Stage(60, 2.0, "nvt", "nose_hoover", (300.0, 300.0), thermostat_time=50.0),
    "bussi": Stage(60, 2.0, "nvt", "bussi", (300.0, 300.0), thermostat_time=50.0),
    "langevin": Stage(60, 2.0, "nvt", "langevin", (300.0, 300.0), thermostat_time=100.0),
    "npt": Stage(60, 2.0, "npt", "nose_hoover", (300.0, 300.0), (1.0, 1.0), 50.0, 300.0),
    "npt full": Stage(60, 2.0, "npt", "nose_hoover", (300.0, 300.0), (1.0, 1.0), 50.0, 300.0, full_cell=True),
    "driven": Stage(60, 2.0, "nvt", "nose_hoover", (300.0, 300.0), thermostat_time=50.0, field=(0.05, 0, 0)),
    "ramp": Stage(60, 2.0, "nvt", "nose_hoover", (300.0, 500.0), thermostat_time=50.0),
    "ramp bussi": Stage(60, 2.0, "nvt", "bussi", (300.0, 500.0), thermostat_time=50.0),
    "ramp npt": Stage(60, 2.0, "npt", "nose_hoover", (300.0, 500.0), (0.0, 3.0), 50.0, 300.0),
}


class Springs(Calculator):
    """Every atom on a spring of its own: cheap, and ergodic with any of the thermostats used here."""

    implemented_properties = ["energy", "forces", "free_energy"]
    k = 2.0

    def __init__(self, centers: np.ndarray) -> None:
        super().__init__()
        self.centers = centers

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        moved = atoms.positions - self.centers
        energy = 0.5 * self.k * (moved**2).sum() + 0.3 * (moved**4).sum()
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": -self.k * moved - 1.2 * moved**3,
        }


def run(atoms: Atoms, stage: Stage, seed: int = 0) -> Simulation:
    simulation = Simulation(atoms, [stage], np.random.default_rng(seed))
    for _ in simulation.run():
        pass
    return simulation


@pytest.mark.parametrize("name", STAGES)
def test_the_conserved_quantity_is_conserved(name: str, crystal: Callable[..., Atoms]) -> None:
    """To second order in dt, also while heat flows and targets move: the energy itself changes much more."""
    largest = {}
    for factor in (1, 2):
        stage = STAGES[name]
        stage = Stage(**{**vars(stage), "timestep": stage.timestep / factor, "steps": stage.steps * factor})
        atoms = crystal(300.0)
        simulation = Simulation(atoms, [stage], np.random.default_rng(1))
        start = atoms.get_total_energy()
        drifts, changes = [], []
        for _ in simulation.run():
            drifts.append(abs(simulation.drift()))
            changes.append(abs(atoms.get_total_energy() - start))
        largest[factor] = max(drifts)
        if name != "nve":
            assert max(changes) > 20 * max(drifts)
    assert largest[1] < 0.02  # eV of 32 atoms; the kinetic energy is 1.2
    if name not in ("langevin", "bussi", "ramp bussi"):  # random numbers differ with dt
        assert largest[1] / largest[2] == pytest.approx(4.0, rel=0.35)


def test_velocity_verlet_is_reversible(crystal: Callable[..., Atoms]) -> None:
    atoms = crystal()
    start = atoms.get_positions()
    run(atoms, Stage(50, 3.0))
    assert np.abs(atoms.positions - start).max() > 0.05
    atoms.set_momenta(-atoms.get_momenta())
    run(atoms, Stage(50, 3.0))
    np.testing.assert_allclose(atoms.positions, start, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [200.0, 700.0])
@pytest.mark.parametrize("thermostat", ["langevin", "bussi", "nose_hoover"])
def test_mean_and_variance_of_the_kinetic_energy(thermostat: str, temperature: float) -> None:
    """Canonical: <K> = f kT / 2 and var K = f (kT)^2 / 2, f as it is said to be.

    12 atoms: 3 N and 3 N - 3 differ by 8 %, the mean is known to 2 %.
    """
    generator = np.random.default_rng(7)
    centers = generator.uniform(0, 8, (12, 3))
    # masses in pairs with the same springs would not be ergodic for a chain: all different
    atoms = Atoms("Cu12", centers, masses=np.linspace(15.0, 60.0, 12), cell=[9, 9, 9], pbc=True)
    atoms.calc = Coupled(centers)
    thermalize(atoms, temperature, generator)
    stage = Stage(7000, 2.0, "nvt", thermostat, (temperature, temperature), thermostat_time=30.0)
    simulation = Simulation(atoms, [stage], generator)
    kinetic = np.array([atoms.get_kinetic_energy() for _ in simulation.run()])[1000:]
    freedom, kT = degrees_of_freedom(12, thermostat), units.kB * temperature
    assert freedom == (36 if thermostat == "langevin" else 33)
    blocks = kinetic.reshape(20, -1)
    mean, variance = 0.5 * freedom * kT, 0.5 * freedom * kT**2
    for moment, expected, precision in ((blocks, mean, 0.02), ((blocks - mean) ** 2, variance, 0.2)):
        means = moment.mean(axis=1)
        error = means.std(ddof=1) / np.sqrt(len(means))
        assert error < precision * expected
        assert abs(means.mean() - expected) < 4 * error


class Coupled(Springs):
    """Springs between all pairs of atoms: the total momentum is conserved."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        moved = atoms.positions - self.centers
        moved = moved[:, None] - moved[None]
        k, q = 0.25, 0.4
        energy = 0.25 * k * (moved**2).sum() + 0.125 * q * (moved**4).sum()
        forces = -(k * moved + q * moved**3).sum(axis=1)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}


def test_coupled_springs_are_what_they_say() -> None:
    generator = np.random.default_rng(1)
    centers = generator.uniform(0, 8, (5, 3))
    atoms = Atoms("Cu5", centers + generator.normal(scale=0.2, size=(5, 3)))
    atoms.calc = Coupled(centers)
    forces = atoms.get_forces()
    atoms.positions[2, 1] += 1e-4
    up = atoms.get_potential_energy()
    atoms.positions[2, 1] -= 2e-4
    assert forces[2, 1] == pytest.approx(-(up - atoms.get_potential_energy()) / 2e-4, rel=1e-5)
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-12)


@pytest.mark.slow
def test_langevin_momenta_are_normal() -> None:
    """Every component of every atom: variance m k T, no correlation with its mass."""
    generator = np.random.default_rng(3)
    centers = generator.uniform(0, 8, (20, 3))
    atoms = Atoms("Cu20", centers, masses=np.linspace(10.0, 60.0, 20))
    atoms.calc = Springs(centers)
    thermalize(atoms, 300.0, generator)
    stage = Stage(12000, 2.0, "nvt", "langevin", (300.0, 300.0), thermostat_time=20.0)
    simulation = Simulation(atoms, [stage], generator)
    z = []
    for place in simulation.run():
        if place.step > 500 and place.step % 50 == 0:
            z.append(atoms.get_momenta() / np.sqrt(atoms.get_masses() * units.kB * 300.0)[:, None])
    assert stats.kstest(np.ravel(z), "norm").pvalue > 1e-3


@pytest.mark.parametrize("name", ["nve", "nose_hoover", "bussi", "npt", "npt full"])
def test_total_momentum_stays_zero(name: str, crystal: Callable[..., Atoms]) -> None:
    simulation = run(crystal(), STAGES[name])
    np.testing.assert_allclose(simulation.atoms.get_momenta().sum(axis=0), 0.0, atol=1e-9)


@pytest.mark.slow
def test_npt_reaches_the_pressure(crystal: Callable[..., Atoms]) -> None:
    """Compressed to 10 GPa the crystal is smaller, and its mean pressure is that."""
    atoms = crystal(200.0)
    before = atoms.get_volume()
    stage = Stage(900, 3.0, "npt", "nose_hoover", (200.0, 200.0), (10.0, 10.0), 60.0, 200.0)
    simulation = Simulation(atoms, [stage], np.random.default_rng(0))
    found = []
    for place in simulation.run():
        if place.step > 400:
            found.append(-atoms.get_stress(include_ideal_gas=True)[:3].mean() / units.GPa)
    assert np.mean(found) == pytest.approx(10.0, abs=0.8)
    assert atoms.get_volume() < 0.95 * before


@pytest.mark.slow
@pytest.mark.parametrize("ends", [(300.0, 600.0), (600.0, 300.0)])
def test_a_ramp_reaches_its_end(ends: tuple[float, float], crystal: Callable[..., Atoms]) -> None:
    assert Stage(11, temperature=ends).targets(0)[0] == ends[0]
    assert Stage(11, temperature=ends).targets(10)[0] == ends[1]
    assert Stage(11, temperature=ends).targets(5)[0] == pytest.approx(450.0)
    stage = Stage(600, 3.0, "nvt", "bussi", ends, thermostat_time=20.0)
    atoms = crystal(ends[0])
    simulation = Simulation(atoms, [stage], np.random.default_rng(1))
    late = [simulation.temperature() for place in simulation.run() if place.step > 540]
    assert np.mean(late) == pytest.approx(ends[1], rel=0.12)


def test_thermal_momenta(crystal: Callable[..., Atoms]) -> None:
    atoms = crystal(500.0)
    kinetic = atoms.get_kinetic_energy()
    assert kinetic == pytest.approx(0.5 * (3 * 32 - 3) * units.kB * 500.0, rel=1e-12)
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0.0, atol=1e-12)
    other, again = crystal(500.0, seed=2), crystal(500.0)
    assert np.abs(other.get_momenta() - atoms.get_momenta()).max() > 0.1
    np.testing.assert_array_equal(again.get_momenta(), atoms.get_momenta())
    assert crystal(0.0).get_kinetic_energy() == 0.0


class TestStages:
    def test_one_stage_after_the_other(self, crystal: Callable[..., Atoms]) -> None:
        stages = [
            Stage(5, 2.0, "nvt", "bussi", (300.0, 300.0)),
            Stage(4, 1.0),
            Stage(3, 0.5, "nvt", "langevin", (200.0, 200.0)),
        ]
        simulation = Simulation(crystal(), stages, np.random.default_rng(1))
        places = list(simulation.run())
        assert [place.stage for place in places] == [0] * 5 + [1] * 4 + [2] * 3
        assert places[-1] == RunProgress(2, 3, 12, 5 * 2.0 + 4 + 1.5)
        assert [place.step for place in places] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 1, 2, 3]
        assert simulation.finished

    @pytest.mark.parametrize("name", STAGES)
    @pytest.mark.parametrize("at", [1, 17])
    def test_restored_is_uninterrupted_bit_for_bit(
        self, name: str, at: int, crystal: Callable[..., Atoms]
    ) -> None:
        """Into another object, whose atoms and random numbers began elsewhere; across a border of stages."""
        stages = [Stage(**{**vars(STAGES[name]), "steps": 20}), Stage(6, 1.0), STAGES["bussi"]]
        first = Simulation(crystal(), stages, np.random.Generator(np.random.Philox(5)))
        states = {}
        for place in first.run():
            if place.total in (at, 23, 33):
                states[place.total] = first.state()
            if place.total == 40:
                break
        for total, state in states.items():
            other = Simulation(crystal(700.0, seed=9), stages, np.random.Generator(np.random.Philox(8)))
            other.restore(state)
            assert other.progress.total == total
            for place in other.run():
                if place.total == 40:
                    break
            np.testing.assert_array_equal(other.atoms.positions, first.atoms.positions)
            np.testing.assert_array_equal(other.atoms.get_momenta(), first.atoms.get_momenta())
            np.testing.assert_array_equal(other.atoms.cell.array, first.atoms.cell.array)
            assert other.integrator.conserved() == first.integrator.conserved()
            assert other.drift() == first.drift()

    def test_every_method_has_an_integrator(self) -> None:
        assert {stage.method for stage in STAGES.values()} == set(INTEGRATORS)

    def test_description(self) -> None:
        assert Stage(20000, 1.0, "nvt", "bussi", (300.0, 1200.0)).describe() == (
            "NVT, 20000 steps of 1 fs (20 ps), 300 to 1200 K by Bussi (100 fs)"
        )
        assert STAGES["npt full"].describe() == (
            "NPT, 60 steps of 2 fs (0.12 ps), 300 K by Nose-Hoover chains (50 fs), 1 GPa by MTK (volume and "
            "shape, 300 fs)"
        )
