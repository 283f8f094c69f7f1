"""A run through its stages, which can be stopped after any step and continued bit for bit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.velocitydistribution import thermalize_momenta

from bnnp.dynamics.integrators import ALONE, INTEGRATORS, Integrator, degrees_of_freedom
from bnnp.dynamics.stages import Stage


@dataclass(frozen=True)
class RunProgress:
    """Stage, steps and time a run has reached.

    Parameters
    ----------
    stage : int
        From 0.
    step : int
        Steps done in the stage.
    total : int
        Steps done in all.
    time : float, fs
    """

    stage: int = 0
    step: int = 0
    total: int = 0
    time: float = 0.0


def thermalize(atoms: Atoms, temperature: float, generator: np.random.Generator) -> None:
    """Draw momenta without total momentum, at exactly `temperature` (K) for 3 N - 3 degrees of freedom."""
    thermalize_momenta(atoms, temperature_K=temperature, rng=generator, comm=ALONE)
    momenta, masses = atoms.get_momenta(), atoms.get_masses()[:, None]
    if len(atoms) > 1:
        momenta -= masses * momenta.sum(axis=0) / masses.sum()
    kinetic = 0.5 * (momenta**2 / masses).sum()
    wanted = 0.5 * degrees_of_freedom(len(atoms), "nve") * units.kB * temperature
    atoms.set_momenta(momenta * np.sqrt(wanted / kinetic) if kinetic > 0.0 else momenta)


class Simulation:
    """Molecular dynamics of `atoms` through `stages`.

    Parameters
    ----------
    atoms : ase.Atoms
        With calculator and momenta, in Angstrom and eV; moved in place.
    stages : sequence of Stage
    generator : numpy.random.Generator
        Of the thermostats.

    Attributes
    ----------
    progress : RunProgress
    reference : float
        Conserved quantity at the start of the stage, eV.
    """

    def __init__(self, atoms: Atoms, stages: Sequence[Stage], generator: np.random.Generator) -> None:
        self.atoms, self.stages, self.generator = atoms, tuple(stages), generator
        self.progress = RunProgress()
        self.integrator = self._integrator(0)
        self.reference = self.integrator.conserved()

    @property
    def stage(self) -> Stage:
        """The stage the run is in."""
        return self.stages[self.progress.stage]

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        last = self.progress.stage == len(self.stages) - 1
        return last and self.progress.step >= self.stage.steps

    def run(self) -> Iterator[RunProgress]:
        """Go on to the end; yields the progress after every step."""
        while not self.finished:
            if self.progress.step >= self.stage.steps:
                self._next_stage()
            self.integrator.step(self.progress.step)
            now = self.progress
            self.progress = RunProgress(
                now.stage, now.step + 1, now.total + 1, now.time + self.stage.timestep
            )
            yield self.progress

    def temperature(self) -> float:
        """Kinetic temperature, K, for the degrees of freedom of the integrator."""
        return float(2.0 * self.atoms.get_kinetic_energy() / (units.kB * self.integrator.freedom))

    def drift(self) -> float:
        """Change of the conserved quantity since the start of the stage, eV."""
        return self.integrator.conserved() - self.reference

    def state(self) -> dict[str, np.ndarray]:
        """Arrays from which :meth:`restore` continues."""
        atoms, now = self.atoms, self.progress
        own = {
            "place": np.array([now.stage, now.step, now.total]),
            "time": np.array(now.time),
            "reference": np.array(self.reference),
            "positions": atoms.get_positions(),
            "momenta": atoms.get_momenta(),
            "cell": atoms.cell.array.copy(),
            "generator": np.array(json.dumps(_plain(self.generator.bit_generator.state))),
        }
        return own | {f"integrator.{name}": value for name, value in self.integrator.state().items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go back to a former state of a run of the same structure and stages."""
        stage, step, total = (int(number) for number in state["place"])
        self.progress = RunProgress(stage, step, total, float(state["time"]))
        self.reference = float(state["reference"])
        self.atoms.set_cell(state["cell"])
        self.atoms.set_positions(state["positions"])
        self.atoms.set_momenta(state["momenta"])
        self.integrator = self._integrator(stage)
        prefix = "integrator."
        self.integrator.restore(
            {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        )
        self.generator.bit_generator.state = json.loads(str(state["generator"]))

    def _next_stage(self) -> None:
        now = self.progress
        self.progress = RunProgress(now.stage + 1, 0, now.total, now.time)
        self.integrator = self._integrator(self.progress.stage)
        self.reference = self.integrator.conserved()

    def _integrator(self, stage: int) -> Integrator:
        return INTEGRATORS[self.stages[stage].method](self.atoms, self.stages[stage], self.generator)


def _plain(value: Any) -> Any:
    """The state of a generator with lists instead of arrays, for JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.integer) else value
