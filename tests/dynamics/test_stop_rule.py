"""Thresholds, patience and calibration; the guard; which frames are kept."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.dynamics.candidates import CandidateWindow
from bnnp.dynamics.guard import Guard
from bnnp.dynamics.observables import Uncertainty, observe, uncertainty_of
from bnnp.dynamics.simulation import Simulation
from bnnp.dynamics.stages import Stage
from bnnp.dynamics.stop_rule import StopRule, Threshold

RAW = Threshold("forces", 0.5, raw=True)


def seen(forces: float = 0.0, energy: float = 0.0, extrapolations: int = 0) -> Uncertainty:
    return Uncertainty(energy, forces, 3, extrapolations)


class TestRule:
    def test_patience_counts_looks_running(self) -> None:
        rule = StopRule(stop=[RAW], patience=3)
        values = [0.6, 0.6, 0.4, 0.6, 0.6, 0.6]
        assert [rule.judge(seen(value)).stop for value in values] == [False] * 5 + [True]

    def test_warnings_do_not_stop(self) -> None:
        rule = StopRule(warn=[RAW], patience=1)
        verdicts = [rule.judge(seen(value)) for value in (0.4, 0.6, 9.0)]
        assert [verdict.flagged for verdict in verdicts] == [False, True, True]
        assert not any(verdict.stop for verdict in verdicts)

    @pytest.mark.parametrize(
        ("threshold", "below", "above", "words"),
        [
            (Threshold("energy", 0.002, raw=True), seen(energy=0.002), seen(energy=0.0021), "2.1 meV/atom"),
            (RAW, seen(0.5), seen(0.51), "a force on atom 4 510 meV/Angstrom"),
            (Threshold("extrapolations", 7), seen(extrapolations=7), seen(extrapolations=8), "8 symmetry"),
        ],
    )
    def test_each_quantity(
        self, threshold: Threshold, below: Uncertainty, above: Uncertainty, words: str
    ) -> None:
        rule = StopRule(stop=[threshold])
        assert not rule.judge(below).flagged
        verdict = rule.judge(above)
        assert verdict.stop
        assert words in verdict.reasons[0]

    def test_not_a_number_is_no_certainty(self) -> None:
        assert StopRule(stop=[RAW]).judge(seen(nan)).stop

    def test_calibrated_thresholds_need_and_use_a_calibration(self) -> None:
        limit = Threshold("forces", 0.5)
        with pytest.raises(ValueError, match="needs a calibration"):
            StopRule(stop=[limit])
        rule = StopRule(stop=[limit, Threshold("energy", 0.1)], calibrated=True)
        assert not rule.judge(Uncertainty(0.09, 0.49, energy_raw=9.0, forces_raw=9.0)).flagged
        assert rule.judge(Uncertainty(0.0, 0.51, energy_raw=0.0, forces_raw=0.0)).stop
        assert rule.judge(Uncertainty(0.11, 0.0, energy_raw=0.0, forces_raw=0.0)).stop
        raw = StopRule(stop=[RAW], calibrated=True)
        assert not raw.judge(Uncertainty(9.0, 9.0, forces_raw=0.49)).flagged
        assert raw.judge(Uncertainty(0.0, 0.0, forces_raw=0.51)).stop


class TestGuard:
    def simulation(self, crystal: Callable[..., Atoms], temperature: float = 300.0) -> Simulation:
        return Simulation(crystal(temperature), [Stage(5)], np.random.default_rng(0))

    def test_quiet_crystal(self, crystal: Callable[..., Atoms]) -> None:
        simulation = self.simulation(crystal)
        assert Guard(0.5, 10.0, 400.0, 0.01).check(simulation) == ""
        assert Guard(0.5, 10.0, 400.0, 0.01).check_drift(simulation) == ""

    def test_hot(self, crystal: Callable[..., Atoms]) -> None:
        assert "the temperature is 300 K" in Guard(temperature=299.0).check(self.simulation(crystal))

    def test_large_force(self, crystal: Callable[..., Atoms]) -> None:
        simulation = self.simulation(crystal)
        simulation.atoms.positions[5] += 0.6
        force = np.linalg.norm(simulation.atoms.get_forces(), axis=1)
        assert f"the force on atom {force.argmax() + 1} (Cu)" in Guard(force=force.max() * 0.99).check(
            simulation
        )
        assert Guard(force=force.max() * 1.01).check(simulation) == ""

    def test_drift_is_per_atom_and_of_either_sign(self, crystal: Callable[..., Atoms]) -> None:
        simulation = self.simulation(crystal)
        for sign in (1, -1):
            simulation.reference = simulation.integrator.conserved() + sign * 32 * 0.011
            assert f"changed by {-sign * 11} meV/atom" in Guard(drift=0.010).check_drift(simulation)
            assert Guard(drift=0.012).check_drift(simulation) == ""

    def test_distance_in_covalent_radii(self) -> None:
        """H2 at 0.74 and GeTe at 1.5 Angstrom: the first is a molecule, the second a collision."""
        atoms = Atoms("H2GeTe", [[0, 0, 0], [0, 0, 0.74], [9, 0, 0], [9, 0, 1.5]])
        pairs = find_neighbors(atoms.positions, None, 3.0, atoms.numbers)
        assert Guard(0.5).check_distances(atoms, pairs) == ""  # 0.31 and 1.29 Angstrom
        assert Guard(0.6).check_distances(atoms, pairs) == "atoms 3 (Ge) and 4 (Te) are 1.5 Angstrom apart"
        assert Guard(0.0).check_distances(atoms, pairs) == ""


class TestWindow:
    def frames(self, window: CandidateWindow, count: int, spacing: float = 50.0, first: int = 0) -> None:
        for step in range(first, first + count):
            window.add(bulk("Cu"), step, step * spacing)

    def test_event_with_the_frames_before_it(self) -> None:
        window = CandidateWindow(3, 50.0)
        self.frames(window, 10)
        assert [frame.step for frame in window.take()] == [6, 7, 8, 9]

    def test_frames_are_apart(self) -> None:
        window = CandidateWindow(5, 100.0)
        self.frames(window, 10)
        assert [frame.step for frame in window.take()] == [5, 7, 9]
        self.frames(window, 1, first=10)
        assert list(window.take()) == []  # 50 fs behind the last one
        self.frames(window, 1, first=11)
        assert [frame.step for frame in window.take()] == [11]

    def test_nothing_twice_even_if_forced(self) -> None:
        window = CandidateWindow(2, 1000.0)
        self.frames(window, 4)
        assert [frame.step for frame in window.take()] == [3]
        self.frames(window, 1, first=4)
        assert [frame.step for frame in window.take(force=True)] == [4]
        assert list(window.take(force=True)) == []

    def test_no_window(self) -> None:
        window = CandidateWindow(0, 0.0)
        self.frames(window, 4)
        assert [frame.step for frame in window.take()] == [3]

    def test_positions_are_those_of_their_time_and_survive_a_restart(self) -> None:
        window, atoms = CandidateWindow(3, 0.0), bulk("Cu", cubic=True)
        for step in range(3):
            atoms.positions += 0.1
            window.add(atoms, step, float(step))
        other = CandidateWindow(3, 0.0)
        other.restore(window.state(), atoms)
        for found in (window, other):
            frames = list(found.take())
            assert [frame.step for frame in frames] == [0, 1, 2]
            assert frames[0].atoms.positions[0, 0] == pytest.approx(0.1)
            assert frames[0].atoms.pbc.all()


def test_look_and_observation(crystal: Callable[..., Atoms]) -> None:
    simulation = Simulation(crystal(), [Stage(3, 2.0)], np.random.default_rng(0))
    list(simulation.run())
    atoms = simulation.atoms
    found = uncertainty_of(atoms)
    spread = atoms.calc.get_property("forces_std", atoms)
    assert found.forces == spread.max()
    assert spread[found.atom].max() == spread.max()
    assert found.energy == atoms.calc.results["energy_std"] / 32
    assert found.extrapolations == 0
    seen = observe(simulation, found)
    assert (seen.stage, seen.step, seen.time) == (1, 3, 6.0)
    assert seen.conserved == pytest.approx(seen.potential + seen.kinetic, rel=1e-14)
    assert seen.temperature == pytest.approx(atoms.get_temperature() * 96 / 93, rel=1e-12)
    virial = -atoms.get_stress()[:3].mean() * atoms.get_volume()
    ideal = 2 * seen.kinetic / 3
    assert seen.pressure * atoms.get_volume() / 160.21766 == pytest.approx(virial + ideal, rel=1e-7)
    atoms.positions[0] += [0.8, 0.8, 0.0]  # closer than in any crystal: functions leave their ranges
    assert uncertainty_of(atoms).extrapolations > 0
