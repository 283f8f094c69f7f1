"""Observables of a step: energies, temperature, pressure, and the uncertainty of the potential."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from ase import Atoms, units

from bnnp.dynamics.simulation import Simulation


@dataclass(frozen=True)
class Uncertainty:
    """Standard deviations of one configuration, calibrated if the potential has a calibration; NaN without
    samples.

    Parameters
    ----------
    energy : float, eV
        Of the total energy, divided by the number of atoms.
    forces : float, eV/Angstrom
        Largest of a force component.
    atom : int
        The atom it belongs to, from 0.
    extrapolations : int
        Symmetry functions outside of their training range.
    energy_raw, forces_raw : float or None
        The raw standard deviations, if the others are calibrated.
    """

    energy: float = nan
    forces: float = nan
    atom: int = -1
    extrapolations: int = 0
    energy_raw: float | None = None
    forces_raw: float | None = None


@dataclass(frozen=True)
class Snapshot:
    """One line of md.out.

    Parameters
    ----------
    stage, step : int
        Stage from 1; steps since the start of the run.
    time : float, fs
    temperature : float, K
    potential, kinetic, conserved : float, eV
        The first without, the last with the bias.
    pressure : float, GPa
        With the kinetic part; NaN without a cell.
    volume : float, Angstrom^3
        NaN without a cell.
    energy_std : float, eV
        Of the total energy, per atom; NaN without samples.
    uncertainty : Uncertainty or None
        If it was evaluated at this step.
    energy_std_raw : float or None, eV
        The raw standard deviation, if the other is calibrated.
    work : float, eV
        Of the driving force, or of changes of the targets, since the start of the stage.
    """

    stage: int
    step: int
    time: float
    temperature: float
    potential: float
    kinetic: float
    conserved: float
    pressure: float
    volume: float
    energy_std: float
    uncertainty: Uncertainty | None = None
    energy_std_raw: float | None = None
    work: float = 0.0


def observe(simulation: Simulation, uncertainty: Uncertainty | None = None) -> Snapshot:
    """The observables of a run now."""
    atoms, progress = simulation.atoms, simulation.progress
    periodic = bool(atoms.pbc.all())
    energy = float(atoms.get_potential_energy() - atoms.calc.results.get("bias_energy", 0.0))
    raw = atoms.calc.results.get("energy_std_raw")
    return Snapshot(
        stage=progress.stage + 1,
        step=progress.total,
        time=progress.time,
        temperature=simulation.temperature(),
        potential=energy,
        kinetic=float(atoms.get_kinetic_energy()),
        conserved=simulation.integrator.conserved(),
        pressure=pressure(atoms) if periodic else nan,
        volume=float(atoms.get_volume()) if periodic else nan,
        energy_std=float(atoms.calc.results.get("energy_std", nan)) / len(atoms),
        uncertainty=uncertainty,
        energy_std_raw=None if raw is None else float(raw) / len(atoms),
        work=simulation.integrator.work,
    )


def pressure(atoms: Atoms) -> float:
    """Minus a third of the trace of the stress, with the kinetic part, GPa."""
    stress = atoms.get_stress(include_ideal_gas=True)
    return -float(stress[:3].mean()) / units.GPa


def uncertainty_of(atoms: Atoms) -> Uncertainty:
    """Standard deviations of energy and forces, and extrapolations, of a configuration.

    `atoms.calc` is a :class:`bnnp.interfaces.ase.BNNP`.
    """
    calculator = atoms.calc
    outside = calculator.extrapolations(atoms)
    if "forces_std" not in calculator.implemented_properties:
        return Uncertainty(extrapolations=outside)
    spread = calculator.get_property("forces_std", atoms)
    atom = int(np.argmax(spread.max(axis=1)))
    energy = float(calculator.results["energy_std"]) / len(atoms)
    raw: tuple[float | None, float | None] = (None, None)
    if "forces_std_raw" in calculator.results:
        raw = (
            float(calculator.results["energy_std_raw"]) / len(atoms),
            float(calculator.results["forces_std_raw"].max()),
        )
    return Uncertainty(energy, float(spread.max()), atom, outside, *raw)
