"""Series of fluxes for transport coefficients: heat_flux.out of bnnp and logs of LAMMPS."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.units
import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray
from thermo import Thermo

from bnnp.errors import InputError
from bnnp.io.md_series import DRIVEN, VOIGT, WORK
from bnnp.io.tables import read_table
from bnnp.messages import count
from bnnp.units import UNITS

Array = NDArray[np.float64]

AT_REST = 0.01  # momentum of all atoms in units of that of one atom, above which it drifts
SHORTEST = 200  # lines


@dataclass(frozen=True, eq=False)
class Fluxes:
    """Fluxes of one run at equal intervals.

    Parameters
    ----------
    name : str
    interval : float, ps
    volume : float, Angstrom^3
    temperature : float, K
    heat : (n, 3) float64, eV Angstrom/ps, or None
    pressure : (n, 6) float64, eV/Angstrom^3, Voigt order, or None
    particles : mapping of str to (n, 3) float64, Angstrom/ps
        Sums of the velocities of each element.
    force : float, 1/Angstrom
        The driving force; 0 without.
    work : (n,) float64, eV, or None
        What it has done.
    """

    name: str
    interval: float
    volume: float
    temperature: float
    heat: Array | None
    pressure: Array | None
    particles: Mapping[str, Array]
    force: float = 0.0
    work: Array | None = None


def read_fluxes(path: Path, lines: Sequence[str], skip: int, columns: str, ensemble: bool) -> Fluxes:
    """A file of bnnp or LAMMPS, by its first line, without the first `skip` lines.

    Parameters
    ----------
    columns : str
        Names of the heat flux in a log of LAMMPS.
    ensemble : bool
        Whether a thermostat is allowed.
    """
    if lines and lines[0].startswith("# step ") and "|" in lines[0]:
        return read_bnnp(path, skip, ensemble)
    return read_log(path, lines, skip, columns)


def read_bnnp(path: Path, skip: int, ensemble: bool) -> Fluxes:
    """The last stage of heat_flux.out, which must be NVE."""
    table, text = read_table(path)
    if "J_x" not in table:
        raise InputError(f"{path}: has no columns J_x, J_y, J_z, expected heat_flux.out of md_heat_flux")
    units = next((units for units in UNITS.values() if f"J and C in {units.energy}" in text), None)
    stages = text.partition("stages: ")[2].split()
    if units is None or not stages:
        raise InputError(f"{path}: the header says no unit or no stages; run the dynamics again")
    last = int(table["stage"][-1]) if len(table["stage"]) else 0
    forces = re.search(rf"{DRIVEN} in \S+: ([^;]*)", text)
    force = float(forces[1].split()[last - 1]) / units.angstrom if forces else 0.0
    if stages[last - 1] != "nve" and not ensemble and not force:
        raise InputError(
            f"{path}: its last stage, {last}, is {stages[last - 1]}, but fluxes must follow the "
            "dynamics alone: end the run with a stage `nve` (md_ensemble nvt nve), or say --any-ensemble"
        )
    # the first line of a stage is the last of the one before it
    table = {name: values[table["stage"] == last][skip:] for name, values in table.items()}
    demand_length(path, len(table["time"]))
    particles = {
        name[2:-2]: vectors(table, name[:-2]) * units.angstrom * 1000.0
        for name in table
        if re.match(r"v_.*_x$", name)
    }
    if not np.isfinite(table["volume"]).all():
        raise InputError(
            f"{path}: has no volume, as the atoms are not repeated along all three vectors; a transport "
            "coefficient is one of a bulk, so run a crystal or a liquid with a cell"
        )
    temperature = float(table["T"].mean())
    demand_rest(path, particles, temperature)
    return Fluxes(
        name=str(path),
        interval=equal_interval(path, table["time"]) / 1000.0,
        volume=float(table["volume"].mean()) * units.angstrom**3,
        temperature=temperature,
        heat=vectors(table, "J") * units.ev * units.angstrom * 1000.0,
        pressure=np.stack([table[f"p_{place}"] for place in VOIGT], axis=1) * ase.units.GPa,
        particles=particles,
        force=force,
        work=table[WORK] * units.ev if force else None,
    )


def vectors(table: Mapping[str, Array], name: str) -> Array:
    """(n, 3) from the columns name_x, name_y, name_z."""
    return np.stack([table[f"{name}_{axis}"] for axis in "xyz"], axis=1)


def read_log(path: Path, lines: Sequence[str], skip: int, columns: str) -> Fluxes:
    """The last thermo table of a log of LAMMPS."""
    log = Thermo.of(path, lines, skip)
    table, units = log.columns, log.units
    demand_length(path, len(table["Step"]))
    heat = log.demand(columns.split(), ", or name the three of the heat flux with --columns")
    temperature, volume = log.demand(["Temp", "Volume"], "")
    tensor = [f"P{place}" for place in VOIGT]
    return Fluxes(
        name=str(path),
        interval=equal_interval(path, table["Step"]) * log.timestep,
        volume=float(volume.mean()),
        temperature=float(temperature.mean()),
        heat=units.energy / units.time * np.stack(heat, axis=1),
        pressure=units.pressure * np.stack([table[p] for p in tensor], axis=1)
        if set(tensor) <= set(table)
        else None,
        particles={},
    )


def equal_interval(path: Path, times: Array) -> float:
    """The distance of two lines; InputError if it changes."""
    steps = np.diff(times)
    if steps[0] <= 0.0 or not np.allclose(steps, steps[0], rtol=1e-4):
        raise InputError(
            f"{path}: its lines are not equally far apart ({steps.min():g} to {steps.max():g}); leave some "
            "out with --skip, or write every n-th step of one run"
        )
    return float(steps[0])


def demand_length(path: Path, lines: int) -> None:
    """Raise InputError for a series of a few lines."""
    if lines < SHORTEST:
        raise InputError(
            f"{path}: {count(lines, 'line')} of one stage, but {SHORTEST} at least are needed, and thousands "
            "for a result; run longer"
        )


def demand_rest(path: Path, particles: Mapping[str, Array], temperature: float) -> None:
    """Raise InputError if the momentum of all atoms is not that of a system at rest."""
    masses = {element: atomic_masses[atomic_numbers[element]] for element in particles}
    momentum = np.linalg.norm(sum(masses[x] * v for x, v in particles.items()), axis=-1).max()
    lightest = min(masses.values())
    speed = np.sqrt(ase.units.kB * temperature / lightest) * 1000.0 * ase.units.fs  # Angstrom/ps
    if momentum > AT_REST * lightest * speed:
        raise InputError(
            f"{path}: the momentum of all atoms reaches {momentum / (lightest * speed):.2g} of that of one "
            "atom: the system moves as a whole, and its energy with it. Start nve from velocities without "
            "momentum (md_velocities thermal), and use no langevin before it"
        )


def demand_equal(runs: Sequence[Fluxes]) -> None:
    """Raise InputError for runs at different intervals, of different elements or driving forces."""
    first = runs[0]
    for run in runs[1:]:
        if abs(run.force - first.force) > 1e-6 * first.force:
            raise InputError(
                f"{run.name}: has another driving force than {first.name} ({run.force:.4g} and "
                f"{first.force:.4g} 1/Angstrom); give runs of one force, and compare what they give"
            )
        if abs(run.interval - first.interval) > 1e-6 * first.interval or set(run.particles) != set(
            first.particles
        ):
            raise InputError(f"{run.name}: has another interval or other elements than {first.name}")
