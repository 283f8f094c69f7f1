"""ASE's integrators with one interface: step, targets, conserved quantity, state.

===========  =========================================================  =============================
nve          velocity Verlet                                            E_kin + E_pot
nose_hoover  Nose-Hoover chain of three (Martyna et al., J. Chem.       + energy of the chain
             Phys. 97, 2635 (1992))
bussi        stochastic velocity rescaling (Bussi et al., J. Chem.      - heat given by the rescaling
             Phys. 126, 014101 (2007), eq. A7)
langevin     BAOAB (Leimkuhler, Matthews, J. Chem. Phys. 138,           - heat given by the O steps
             174102 (2013))
npt          Martyna, Tobias, Klein, J. Chem. Phys. 101, 4177 (1994),   + chains, barostat and p V
             with Nose-Hoover chains
===========  =========================================================  =============================

Degrees of freedom: the total momentum is zero and stays zero, so there are f = 3 N - 3; with Langevin, whose
noise moves the center of mass, f = 3 N. ASE's chains count 3 N. The stationary distribution of a chain with
g = 3 N at T' is canonical for the f it acts on at T = T' g / f (the phase-space compressibility is -f times
the friction; W. G. Hoover, Phys. Rev. A 31, 1695 (1985)), so they get T' = T f / g.

A target that changes does work on the chains; what the bookkeeping of ASE gains by it is subtracted, so that
the conserved quantity is constant in a ramp, too. So is the work of a driving force
(:mod:`bnnp.dynamics.driving_force`), which acts for half a step before and after each step of the integrator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet
from ase.parallel import DummyMPI

from bnnp.dynamics.driving_force import kick
from bnnp.dynamics.stages import Stage

ALONE = DummyMPI()  # each run belongs to one process: ASE must not communicate with other ranks


def degrees_of_freedom(n_atoms: int, method: str) -> int:
    """Degrees of freedom that share the kinetic energy: 3 N - 3, or 3 N with Langevin and for one atom.

    >>> degrees_of_freedom(216, "bussi"), degrees_of_freedom(216, "langevin")
    (645, 648)
    """
    return 3 * n_atoms if method == "langevin" or n_atoms == 1 else 3 * n_atoms - 3


class Integrator:
    """Velocity Verlet, and the base class of all integrators.

    Parameters
    ----------
    atoms : ase.Atoms
        With a calculator and momenta; changed in place.
    stage : Stage
    generator : numpy.random.Generator
        For the thermostats that need random numbers.
    """

    def __init__(self, atoms: Atoms, stage: Stage, generator: np.random.Generator) -> None:
        self.atoms, self.stage = atoms, stage
        self.freedom = degrees_of_freedom(len(atoms), stage.method)
        self.dynamics: Any = self.build(stage.timestep * units.fs, generator)
        self.work = 0.0  # eV done by changes of the targets or the driving force

    def build(self, dt: float, generator: np.random.Generator) -> Any:
        """The integrator of ASE with a time step `dt`, in ASE's unit."""
        return VelocityVerlet(self.atoms, dt, comm=ALONE)

    def step(self, number: int) -> None:
        """Step `number` (from 0) of the stage."""
        if self.stage.ramped:
            before = self.bookkeeping()
            self.aim(*self.stage.targets(number))
            self.work += self.bookkeeping() - before
        self.drive()
        self.dynamics.step()
        self.drive()

    def drive(self) -> None:
        """Let the driving force act for half a step."""
        if self.stage.driven:
            field = np.array(self.stage.field)
            self.work += kick(self.atoms, field, 0.5 * self.stage.timestep * units.fs)

    def aim(self, temperature: float, pressure: float) -> None:
        """Set the targets, K and GPa."""

    def bookkeeping(self) -> float:
        """Energy of thermostat and barostat, eV; E_kin + E_pot and this are constant without ramps."""
        return 0.0

    def conserved(self) -> float:
        """The conserved quantity, eV."""
        return float(self.atoms.get_total_energy()) + self.bookkeeping() - self.work

    def state(self) -> dict[str, np.ndarray]:
        """Everything a restart needs except positions, momenta and cell."""
        found = {"work": np.array(self.work)}
        for part in self.parts():
            for name, value in vars(part).items():
                if isinstance(value, float | np.ndarray | np.floating):
                    found[f"{type(part).__name__}.{name}"] = np.array(value)
        return found

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go back to a former :meth:`state`."""
        self.work = float(state["work"])
        for part in self.parts():
            for name, value in vars(part).items():
                if isinstance(value, float | np.ndarray | np.floating):
                    stored = state[f"{type(part).__name__}.{name}"]
                    setattr(part, name, stored.copy() if isinstance(value, np.ndarray) else float(stored))

    def parts(self) -> list[Any]:
        """Objects of ASE that hold the state."""
        return [self.dynamics]


class BussiThermostat(Integrator):
    """Stochastic velocity rescaling."""

    def build(self, dt: float, generator: np.random.Generator) -> Any:
        dynamics = Bussi(
            self.atoms,
            dt,
            temperature_K=self.stage.temperature[0],
            taut=self.stage.thermostat_time * units.fs,
            rng=generator,
            comm=ALONE,
        )
        dynamics.ndof = self.freedom
        dynamics.target_kinetic_energy = 0.5 * dynamics.temp * self.freedom
        return dynamics

    def aim(self, temperature: float, pressure: float) -> None:
        self.dynamics.temp = units.kB * temperature
        self.dynamics.target_kinetic_energy = 0.5 * self.dynamics.temp * self.freedom

    def bookkeeping(self) -> float:
        return -float(self.dynamics.transferred_energy)


class _CountingBAOAB(LangevinBAOAB):
    """BAOAB that adds up the heat of its O steps."""

    heat = 0.0

    def _BAOAB_OU(self, drag_gamma_mod: float = 0.0) -> None:
        before = self.atoms.get_kinetic_energy()
        super()._BAOAB_OU(drag_gamma_mod)  # type: ignore[no-untyped-call]
        self.heat += float(self.atoms.get_kinetic_energy() - before)


class LangevinThermostat(Integrator):
    """Friction and noise on every atom."""

    def build(self, dt: float, generator: np.random.Generator) -> Any:
        dynamics = _CountingBAOAB(  # type: ignore[no-untyped-call]
            self.atoms,
            dt,
            temperature_K=self.stage.temperature[0],
            T_tau=self.stage.thermostat_time * units.fs,
            rng=generator,
            comm=ALONE,
        )
        dynamics.heat = 0.0
        return dynamics

    def aim(self, temperature: float, pressure: float) -> None:
        self.dynamics.set_temperature(temperature)

    def bookkeeping(self) -> float:
        return -float(self.dynamics.heat)


class NoseHooverThermostat(Integrator):
    """A Nose-Hoover chain."""

    def build(self, dt: float, generator: np.random.Generator) -> Any:
        return NoseHooverChainNVT(
            self.atoms,
            dt,
            temperature_K=self.chain_temperature(self.stage.temperature[0]),
            tdamp=self.stage.thermostat_time * units.fs,
            comm=ALONE,
        )

    def drive(self) -> None:
        super().drive()
        if self.stage.driven:
            self.dynamics._p = self.atoms.get_momenta()  # ASE's chain keeps momenta of its own

    def chain_temperature(self, temperature: float) -> float:
        """Temperature T' of ASE's chain, K; see the module."""
        return temperature * self.freedom / (3 * len(self.atoms))

    def aim(self, temperature: float, pressure: float) -> None:
        self.dynamics._thermostat._kT = units.kB * self.chain_temperature(temperature)

    def bookkeeping(self) -> float:
        return float(self.dynamics.get_conserved_energy()) - float(self.atoms.get_total_energy())

    def parts(self) -> list[Any]:
        return [self.dynamics, self.dynamics._thermostat]


class Barostat(NoseHooverThermostat):
    """Constant pressure: volume, or volume and shape."""

    def build(self, dt: float, generator: np.random.Generator) -> Any:
        kind = MTKNPT if self.stage.full_cell else IsotropicMTKNPT
        return kind(
            self.atoms,
            dt,
            temperature_K=self.chain_temperature(self.stage.temperature[0]),
            pressure_au=self.stage.pressure[0] * units.GPa,
            tdamp=self.stage.thermostat_time * units.fs,
            pdamp=self.stage.barostat_time * units.fs,
            comm=ALONE,
        )

    def aim(self, temperature: float, pressure: float) -> None:
        super().aim(temperature, pressure)
        self.dynamics._barostat._kT = self.dynamics._thermostat._kT
        self.dynamics._pressure_au = pressure * units.GPa

    def parts(self) -> list[Any]:
        return [self.dynamics, self.dynamics._thermostat, self.dynamics._barostat]


INTEGRATORS: dict[str, type[Integrator]] = {
    "nve": Integrator,
    "nose_hoover": NoseHooverThermostat,
    "bussi": BussiThermostat,
    "langevin": LangevinThermostat,
    "npt": Barostat,
}
