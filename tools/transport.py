"""``bnnp analyze --transport``: thermal conductivity, viscosity, ionic conductivity from series of fluxes.

Read are heat_flux.out of bnnp and logs of LAMMPS with thermo output in lines (``units metal``, ``real``). The
estimate with its error is that of stacie: a model of the spectrum below a cutoff frequency that it chooses.
The second one is the mean over runs, or blocks of one run, of the integral up to the time of this cutoff.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.units
import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from bnnp.analysis.transport import autocorrelation, running_integral, traceless, without_particles
from bnnp.command import say
from bnnp.errors import InputError
from bnnp.io.md_series import VOIGT
from bnnp.io.tables import read_table, write_table
from bnnp.io.text import read_lines
from bnnp.messages import count
from bnnp.units import UNITS

Array = NDArray[np.float64]

W_MK = 1602.176634  # W/(m K) of one eV/(ps Angstrom K)
S_M = 1602.176634  # S/m of one e^2/(ps Angstrom eV)
MPA_S = 160.2176634  # mPa s of one eV ps/Angstrom^3
AT_REST = 0.01  # momentum of all atoms in units of that of one atom, above which it drifts
SHORTEST = 200  # lines
ENOUGH = 0.1  # relative error that a longer run is suggested for
LAMMPS = {  # flux in eV Angstrom/ps, pressure in eV/Angstrom^3, step in ps
    "metal": (1.0, 1e-4 * ase.units.GPa, 0.001, 1.0),
    "real": (1000.0 * ase.units.kcal / ase.units.mol, 1.01325e-4 * ase.units.GPa, 0.001, 0.001),
}


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
    """

    name: str
    interval: float
    volume: float
    temperature: float
    heat: Array | None
    pressure: Array | None
    particles: Mapping[str, Array]


def analyze(
    files: Sequence[Path], prefix: str, skip: int, blocks: int, columns: str, charges: str, ensemble: bool
) -> None:
    """One table for each coefficient that the files allow, and their values on the screen.

    Parameters
    ----------
    columns : str
        Names of the heat flux in a log of LAMMPS.
    charges : str
        ``Na=1 Cl=-1``; empty: no ionic conductivity.
    ensemble : bool
        Whether a thermostat is allowed.
    """
    try:
        import stacie  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed, and it finds transport coefficients and their errors. Install "
            "it with `pip install stacie`, or bnnp with `pip install '.[phonons]'`, then run it again."
        ) from None
    runs = [read_fluxes(path, skip, columns, ensemble) for path in files]
    demand_equal(runs)
    heat, viscosity, conductivity = (
        Coefficient("kappa", "thermal conductivity", "W/(m K)"),
        Coefficient("viscosity", "viscosity", "mPa s"),
        Coefficient("conductivity", "ionic conductivity", "S/m"),
    )
    found = 0
    if all(run.heat is not None for run in runs):
        if unknown := [run.name for run in runs if not run.particles]:
            say(
                f"{', '.join(unknown)}: no velocities of the elements, which heat_flux.out has: in a mixture "
                "the thermal conductivity contains what moves with the elements"
            )
        series = [conducted(run) for run in runs]
        factor = [W_MK / (run.volume * ase.units.kB * run.temperature**2) for run in runs]
        heat.write(prefix, runs, series, factor, blocks)
        found += 1
    if all(run.pressure is not None and np.isfinite(run.pressure).all() for run in runs):
        series = [traceless(run.pressure) for run in runs if run.pressure is not None]
        factor = [MPA_S * run.volume / (ase.units.kB * run.temperature) for run in runs]
        viscosity.write(prefix, runs, series, factor, blocks)
        found += 1
    if charges:
        series = [charge_flux(run, read_charges(charges)) for run in runs]
        factor = [S_M / (run.volume * ase.units.kB * run.temperature) for run in runs]
        conductivity.write(prefix, runs, series, factor, blocks)
        found += 1
    if not found:
        raise InputError(f"{files[0]}: has neither a heat flux nor a pressure tensor")


@dataclass(frozen=True)
class Coefficient:
    """A transport coefficient: name of its file, in words, and unit."""

    name: str
    words: str
    unit: str

    def write(
        self,
        prefix: str,
        runs: Sequence[Fluxes],
        series: Sequence[Array],
        factors: Sequence[float],
        blocks: int,
    ) -> None:
        """Correlation and integral with errors as a table, both estimates in its header and on the screen."""
        length, interval = min(map(len, series)), runs[0].interval
        value, error, cutoff = spectral(series, factors, length, interval)
        parts = [
            np.sqrt(factor) * part
            for own, factor in zip(series, factors, strict=True)
            for part in (np.array_split(own[:length], blocks) if len(series) == 1 else [own[:length]])
        ]
        lags = min(min(map(len, parts)) // 2, max(10, round(2.0 / (cutoff * interval))))
        curves = np.concatenate([autocorrelation(part, lags) for part in parts], axis=1)
        integrals = running_integral(curves, interval)
        end = min(lags - 1, round(1.0 / (cutoff * interval)))
        n = curves.shape[1]
        second, second_error = integrals[end].mean(), integrals[end].std(ddof=1) / np.sqrt(n)
        text = (
            f"{self.words} {value:.4g} +- {error:.2g} {self.unit} (stacie, below {cutoff:.3g} THz); "
            f"{second:.4g} +- {second_error:.2g} (integral to {end * interval:.3g} ps, "
            f"{count(len(parts), 'run' if len(series) > 1 else 'block')})"
        )
        path = Path(f"{prefix}{self.name}.out")
        columns = [interval * np.arange(lags)]
        for each in (curves, integrals):
            columns += [each.mean(axis=1), each.std(axis=1, ddof=1) / np.sqrt(n)]
        names = ["time", "correlation", "correlation_err", "integral", "integral_err"]
        write_table(path, names, columns, f"ps, {self.unit}/ps, {self.unit}; {text}")
        say(f"{path}: {text}")
        total = length * interval * len(series)
        if not error < ENOUGH * abs(value):
            longer = total * (error / (ENOUGH * abs(value))) ** 2
            say(
                f"warning: {total:.4g} ps are too short for an error of {100 * ENOUGH:g} %: about "
                f"{longer:.2g} ps would do, in one run or in several"
            )


def spectral(
    series: Sequence[Array], factors: Sequence[float], length: int, interval: float
) -> tuple[float, float, float]:
    """Value, standard error and cutoff frequency, THz, by stacie."""
    from stacie import ExpPolyModel, compute_spectrum, estimate_acint

    sequences = [
        (factor, np.ascontiguousarray(own[:length].T)) for own, factor in zip(series, factors, strict=True)
    ]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spectrum = compute_spectrum(
                sequences, prefactors=None, timestep=interval, include_zero_freq=False
            )
            result = estimate_acint(spectrum, ExpPolyModel([0, 2]))
    except Exception as error:  # stacie raises several kinds where a series is too short
        raise InputError(
            f"{count(length, 'line')}, {length * interval:.4g} ps: stacie finds no low-frequency part of the "
            f"spectrum ({type(error).__name__}: {error}); the run is too short, ten times as long is a start"
        ) from error
    props = result.props
    return float(props["acint"]), float(props["acint_std"]), float(props["fcut"])


def conducted(run: Fluxes) -> Array:
    """The heat flux, in a mixture without what moves with the elements."""
    assert run.heat is not None
    moving = list(run.particles.values())[:-1]  # the last follows from the momentum
    return without_particles(run.heat, np.stack(moving, axis=1)) if moving else run.heat


def charge_flux(run: Fluxes, charges: Mapping[str, float]) -> Array:
    """Sum of charges times velocities, (n, 3) e Angstrom/ps."""
    if missing := sorted(set(run.particles) - set(charges)):
        raise InputError(
            f"{run.name}: --charges has none for {', '.join(missing)}; give one for each element"
        )
    if not run.particles:
        raise InputError(f"{run.name}: has no velocities of elements; write heat_flux.out with md_heat_flux")
    return np.asarray(sum(charges[element] * velocity for element, velocity in run.particles.items()))


def read_charges(text: str) -> dict[str, float]:
    """``Na=1 Cl=-1``."""
    try:
        return {name: float(value) for name, value in (word.split("=") for word in text.split())}
    except ValueError:
        raise InputError(f"--charges '{text}': expected a charge for each element, as 'Na=1 Cl=-1'") from None


def read_fluxes(path: Path, skip: int, columns: str, ensemble: bool) -> Fluxes:
    """A file of bnnp or LAMMPS, by its first line."""
    lines = read_lines(path, "heat_flux.out of bnnp or a log of LAMMPS")
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
    if stages[last - 1] != "nve" and not ensemble:
        raise InputError(
            f"{path}: its last stage, {last}, is {stages[last - 1]}, but fluxes must follow the "
            "dynamics alone: "
            "end the run with a stage `nve` (md_ensemble nvt nve), or say --any-ensemble"
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
    )


def vectors(table: Mapping[str, Array], name: str) -> Array:
    """(n, 3) from the columns name_x, name_y, name_z."""
    return np.stack([table[f"{name}_{axis}"] for axis in "xyz"], axis=1)


def read_log(path: Path, lines: Sequence[str], skip: int, columns: str) -> Fluxes:
    """The last thermo table of a log of LAMMPS."""
    text = "\n".join(lines)
    style = re.findall(r"^units\s+(\w+)", text, re.MULTILINE)
    if not style or style[-1] not in LAMMPS:
        raise InputError(
            f"{path}: says no `units metal` or `units real`, expected a log of LAMMPS with its commands"
        )
    flux, pressure, step, time_unit = LAMMPS[style[-1]]
    steps = re.findall(r"^timestep\s+(\S+)", text, re.MULTILINE)
    step = float(steps[-1]) * time_unit if steps else step
    starts = [number for number, line in enumerate(lines) if line.split()[:1] == ["Step"]]
    if not starts:
        raise InputError(
            f"{path}: has no thermo output in lines (`thermo_modify line one`), which begins with Step"
        )
    names, rows = lines[starts[-1]].split(), []
    for line in lines[starts[-1] + 1 :]:
        words = line.split()
        if len(words) != len(names) or not words[0].isdigit():
            if line.startswith("WARNING"):
                continue
            break
        rows.append([float(word) for word in words])
    table = dict(zip(names, np.array(rows[skip:]).reshape(-1, len(names)).T, strict=True))
    demand_length(path, len(table["Step"]))
    wanted = columns.split()
    if missing := [name for name in ("Temp", "Volume", *wanted) if name not in table]:
        raise InputError(
            f"{path} line {starts[-1] + 1}: has no column {', '.join(missing)}; add it to thermo_style, "
            "or name the three of the heat flux with --columns"
        )
    tensor = [f"P{place}" for place in VOIGT]
    return Fluxes(
        name=str(path),
        interval=equal_interval(path, table["Step"]) * step,
        volume=float(table["Volume"].mean()),
        temperature=float(table["Temp"].mean()),
        heat=flux * np.stack([table[name] for name in wanted], axis=1),
        pressure=pressure * np.stack([table[p] for p in tensor], axis=1)
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
    """Raise InputError for runs at different intervals or of different elements."""
    first = runs[0]
    for run in runs[1:]:
        if abs(run.interval - first.interval) > 1e-6 * first.interval or set(run.particles) != set(
            first.particles
        ):
            raise InputError(f"{run.name}: has another interval or other elements than {first.name}")
