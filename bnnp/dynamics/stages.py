"""Stages of a run: ensemble, temperature, pressure, length."""

from __future__ import annotations

from dataclasses import dataclass

from bnnp.messages import count


@dataclass(frozen=True)
class Stage:
    """One stage of a run of molecular dynamics.

    Parameters
    ----------
    steps : int
    timestep : float, fs
    ensemble : str
        ``nve``, ``nvt`` or ``npt``.
    thermostat : str
        ``nose_hoover``, ``langevin`` or ``bussi``, for nvt; npt has Nose-Hoover chains.
    temperature : (float, float), K
        At the start and at the end, linear in between.
    pressure : (float, float), GPa
        Likewise, for npt.
    thermostat_time, barostat_time : float, fs
    full_cell : bool
        Whether npt changes the shape of the cell as well as its volume.
    field : (float, float, float), 1/Angstrom
        Driving force of a heat flux (:mod:`bnnp.dynamics.driving_force`).
    """

    steps: int
    timestep: float = 1.0
    ensemble: str = "nve"
    thermostat: str = "nose_hoover"
    temperature: tuple[float, float] = (0.0, 0.0)
    pressure: tuple[float, float] = (0.0, 0.0)
    thermostat_time: float = 100.0
    barostat_time: float = 1000.0
    full_cell: bool = False
    field: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def method(self) -> str:
        """Name of the integrator in :data:`bnnp.dynamics.integrators.INTEGRATORS`."""
        return self.thermostat if self.ensemble == "nvt" else self.ensemble

    @property
    def driven(self) -> bool:
        """Whether there is a driving force."""
        return any(self.field)

    @property
    def ramped(self) -> bool:
        """Whether a target changes."""
        heated = self.ensemble != "nve" and self.temperature[0] != self.temperature[1]
        return heated or (self.ensemble == "npt" and self.pressure[0] != self.pressure[1])

    def targets(self, step: int) -> tuple[float, float]:
        """Temperature in K and pressure in GPa for the step after `step`."""
        share = step / max(self.steps - 1, 1)
        (t_0, t_1), (p_0, p_1) = self.temperature, self.pressure
        return t_0 + (t_1 - t_0) * share, p_0 + (p_1 - p_0) * share

    def describe(self) -> str:
        """The stage in one line."""
        time = self.steps * self.timestep / 1000.0
        parts = [
            f"{self.ensemble.upper()}, {count(self.steps, 'step')} of {self.timestep:g} fs ({time:g} ps)"
        ]
        if self.ensemble != "nve":
            chains = self.method in ("npt", "nose_hoover")
            name = "Nose-Hoover chains" if chains else self.thermostat.capitalize()
            parts.append(f"{_span(self.temperature)} K by {name} ({self.thermostat_time:g} fs)")
        if self.ensemble == "npt":
            shape = "volume and shape" if self.full_cell else "volume"
            parts.append(f"{_span(self.pressure)} GPa by MTK ({shape}, {self.barostat_time:g} fs)")
        if self.driven:
            vector = " ".join(f"{component:g}" for component in self.field)
            parts.append(f"heat driven by ({vector}) 1/Angstrom")
        return ", ".join(parts)


def _span(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g}" if ends[0] == ends[1] else f"{ends[0]:g} to {ends[1]:g}"
