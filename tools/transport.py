"""``bnnp analyze --transport``: thermal conductivity, viscosity, ionic conductivity from series of fluxes.

Read are heat_flux.out of bnnp and logs of LAMMPS with thermo output in lines (``units metal``, ``real``). The
estimate with its error is that of stacie: a model of the spectrum below a cutoff frequency that it chooses.
The second one is the mean over runs, or blocks of one run, of the integral up to the time of this cutoff.
Files of ``fix ave/correlate`` have correlation functions already, and the log of the run tells the rest: of
them the integral is the only estimate, its error that of the mean over windows and directions.
With a driving force (``md_driving_force``) the thermal conductivity is the heat flux along it, by its work
(:mod:`bnnp.dynamics.driving_force`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.units
import numpy as np
from ave_correlate import is_correlations, read_correlations
from fluxes import Fluxes, demand_equal, equal_interval, read_fluxes
from numpy.typing import NDArray
from thermo import Thermo

from bnnp.analysis.transport import autocorrelation, running_integral, traceless, without_particles
from bnnp.command import say
from bnnp.errors import InputError
from bnnp.io.tables import write_table
from bnnp.io.text import read_lines
from bnnp.messages import count

Array = NDArray[np.float64]

W_MK = 1602.176634  # W/(m K) of one eV/(ps Angstrom K)
S_M = 1602.176634  # S/m of one e^2/(ps Angstrom eV)
MPA_S = 160.2176634  # mPa s of one eV ps/Angstrom^3
ENOUGH = 0.1  # relative error that a longer run is suggested for
STRESSES = (  # names of the shear components of a pressure in fix ave/correlate
    ("v_pxy", "v_pxz", "v_pyz"),
    ("c_thermo_press[4]", "c_thermo_press[5]", "c_thermo_press[6]"),
)


@dataclass(frozen=True)
class Choice:
    """What to make of the files.

    Parameters
    ----------
    prefix : str
        Of the tables.
    skip, blocks : int
    columns : str
        Names of the heat flux in files of LAMMPS.
    charges : str
        ``Na=1 Cl=-1``; empty: no ionic conductivity.
    ensemble : bool
        Whether a thermostat is allowed.
    log : Path or None
        Of the run of a file of fix ave/correlate.
    until : float or None, ps
        Up to which such a file is integrated; None: all of it.
    """

    prefix: str
    skip: int
    blocks: int
    columns: str
    charges: str
    ensemble: bool
    log: Path | None
    until: float | None


def analyze(files: Sequence[Path], choice: Choice) -> None:
    """One table for each coefficient that the files allow, and their values on the screen."""
    texts = [read_lines(path, "heat_flux.out of bnnp or a log of LAMMPS") for path in files]
    correlated = [is_correlations(lines) for lines in texts]
    if any(correlated):
        if len(files) > 1:
            raise InputError(
                f"{files[correlated.index(True)]}: is a file of fix ave/correlate; give it alone"
            )
        analyze_correlations(files[0], texts[0], choice)
        return
    if choice.log is not None or choice.until is not None:
        raise InputError(
            f"{files[0]}: --log and --until belong to files of fix ave/correlate; leave them out"
        )
    runs = [
        read_fluxes(path, lines, choice.skip, choice.columns, choice.ensemble)
        for path, lines in zip(files, texts, strict=True)
    ]
    demand_equal(runs)
    if runs[0].force:
        write_driven(runs, choice)
        return
    try:
        import stacie  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed, and it finds transport coefficients and their errors. Install "
            "it with `pip install stacie`, or bnnp with `pip install '.[phonons]'`, then run it again."
        ) from None
    ions = [charge_flux(run, read_charges(choice.charges)) for run in runs] if choice.charges else []
    found = 0
    if all(run.heat is not None for run in runs):
        if unknown := [run.name for run in runs if not run.particles]:
            say(
                f"{', '.join(unknown)}: no velocities of the elements, which heat_flux.out has: in a mixture "
                "the thermal conductivity contains what moves with the elements"
            )
        HEAT.write(choice, runs, [conducted(run) for run in runs])
        found += 1
    if all(run.pressure is not None and np.isfinite(run.pressure).all() for run in runs):
        SHEAR.write(choice, runs, [traceless(run.pressure) for run in runs if run.pressure is not None])
        found += 1
    if ions:
        IONS.write(choice, runs, ions)
        found += 1
    if not found:
        raise InputError(f"{files[0]}: has neither a heat flux nor a pressure tensor")


def write_driven(runs: Sequence[Fluxes], choice: Choice) -> None:
    """The thermal conductivity of driven runs: mean over the run, error by blocks or over the runs."""
    if choice.charges:
        raise InputError(
            f"{runs[0].name}: a driving force acts on it, so that it tells no ionic conductivity; use a run "
            "without md_driving_force for --charges"
        )
    if len(runs) == 1 and choice.blocks < 2:
        raise InputError(f"--blocks {choice.blocks}: one run needs two blocks at least for its error")
    curves, values = [], []
    for run in runs:
        assert run.work is not None
        times = run.interval * np.arange(len(run.work))
        factor = W_MK / (run.temperature * run.volume * run.force**2)
        heat = factor * (run.work - run.work[0])
        curves.append(heat[1:] / times[1:])
        ends = np.linspace(0, len(heat) - 1, choice.blocks + 1).astype(int) if len(runs) == 1 else [0, -1]
        values += list(np.diff(heat[ends]) / np.diff(times[ends]))
    length = min(map(len, curves))
    value, error = mean_and_error(np.array(values))
    text = (
        f"thermal conductivity {value:.4g} +- {error:.2g} W/(m K) (driving force {runs[0].force:.4g} "
        f"1/Angstrom, {count(len(values), 'run' if len(runs) > 1 else 'block')})"
    )
    path = Path(f"{choice.prefix}kappa.out")
    mean = np.mean([curve[:length] for curve in curves], axis=0)
    columns = [runs[0].interval * np.arange(1, length + 1), mean]
    write_table(path, ["time", "running_mean"], columns, f"ps, W/(m K); {text}")
    say(f"{path}: {text}")
    suggest(length * runs[0].interval * len(runs), float(value), float(error))


def analyze_correlations(path: Path, lines: Sequence[str], choice: Choice) -> None:
    """As :func:`analyze` for a file of fix ave/correlate."""
    if choice.log is None:
        raise InputError(
            f"{path}: fix ave/correlate writes no units, time step, volume and temperature; name the "
            "log of the run with --log log.lammps"
        )
    if choice.charges:
        raise InputError(f"{path}: has no velocities of elements for --charges; use heat_flux.out")
    log = Thermo.of(choice.log, read_lines(choice.log, "a log of LAMMPS"), choice.skip)
    volume, temperature = (x.mean() for x in log.demand(["Volume", "Temp"], ""))
    found = read_correlations(path, lines)
    times = found.steps * log.timestep
    heat = found.autocorrelations(choice.columns.split())
    shear = [curves for names in STRESSES if (curves := found.autocorrelations(names)) is not None]
    if heat is not None:
        flux = log.units.energy / log.units.time
        HEAT.write_integral(choice, times, HEAT.factor(volume, temperature) * flux**2 * heat)
    for curves in shear[:1]:
        factor = SHEAR.factor(volume, temperature) * log.units.pressure**2
        SHEAR.write_integral(choice, times, factor * curves)
    if heat is None and not shear:
        raise InputError(
            f"{path} line 3: has {', '.join(found.values)}, but neither the autocorrelations of "
            f"{choice.columns} (name others with --columns) nor those of "
            f"{' or of '.join(map(' '.join, STRESSES))}"
        )


@dataclass(frozen=True)
class Coefficient:
    """A transport coefficient F times the integral of a correlation function: its names, and F.

    Parameters
    ----------
    name, words, unit : str
        Of its file; in sentences; of the value.
    scale : float
        `unit` of one eV, Angstrom, ps, K.
    volume, kelvin : int
        F is proportional to V^volume / (k_B T^kelvin).
    """

    name: str
    words: str
    unit: str
    scale: float
    volume: int
    kelvin: int

    def factor(self, volume: float, temperature: float) -> float:
        """F in `unit` per eV, Angstrom and ps."""
        return self.scale * volume**self.volume / (ase.units.kB * temperature**self.kelvin)

    def write(self, choice: Choice, runs: Sequence[Fluxes], series: Sequence[Array]) -> None:
        """Correlation and integral with errors as a table, both estimates in its header and on the screen."""
        length, interval, blocks = min(map(len, series)), runs[0].interval, choice.blocks
        factors = [self.factor(run.volume, run.temperature) for run in runs]
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
        second, second_error = mean_and_error(integrals[end])
        text = (
            f"{self.words} {value:.4g} +- {error:.2g} {self.unit} (stacie, below {cutoff:.3g} THz); "
            f"{second:.4g} +- {second_error:.2g} (integral to {end * interval:.3g} ps, "
            f"{count(len(parts), 'run' if len(series) > 1 else 'block')})"
        )
        self._table(choice, interval * np.arange(lags), curves, integrals, text)
        suggest(length * interval * len(series), value, error)

    def write_integral(self, choice: Choice, times: Array, curves: Array) -> None:
        """As :meth:`write` from correlation functions, (n_lags, n), that have F in them, at `times` in ps."""
        if len(times) < 2:
            raise InputError("fix ave/correlate has one correlation time, expected many (Nrepeat)")
        integrals = running_integral(curves, equal_interval(Path("fix ave/correlate"), times))
        end = (
            len(times) - 1 if choice.until is None else int(np.searchsorted(times, choice.until, "right")) - 1
        )
        if end < 1:
            raise InputError(f"--until {choice.until:g}: expected at least {times[1]:g} ps, the first time")
        value, error = mean_and_error(integrals[end])
        text = (
            f"{self.words} {value:.4g} +- {error:.2g} {self.unit} (integral to {times[end]:.3g} ps, "
            f"{count(curves.shape[1], 'correlation function')})"
        )
        self._table(choice, times, curves, integrals, text)
        moved, noise = mean_and_error(integrals[end] - integrals[2 * end // 3])
        if abs(moved) > 2.0 * noise:
            say(
                f"warning: the last third of the integral adds {moved:.2g} +- {noise:.2g}: choose a time "
                "where it is flat with --until, or correlate over longer times (Nrepeat)"
            )

    def _table(
        self, choice: Choice, times: NDArray[np.floating], curves: Array, integrals: Array, text: str
    ) -> None:
        path, columns = Path(f"{choice.prefix}{self.name}.out"), [times]
        for each in (curves, integrals):
            columns += mean_and_error(each)
        names = ["time", "correlation", "correlation_err", "integral", "integral_err"]
        write_table(path, names, columns, f"ps, {self.unit}/ps, {self.unit}; {text}")
        say(f"{path}: {text}")


HEAT = Coefficient("kappa", "thermal conductivity", "W/(m K)", W_MK, -1, 2)
SHEAR = Coefficient("viscosity", "viscosity", "mPa s", MPA_S, 1, 1)
IONS = Coefficient("conductivity", "ionic conductivity", "S/m", S_M, -1, 1)


def suggest(total: float, value: float, error: float) -> None:
    """Say how long a run would do, if this one, of `total` ps, is too short."""
    if not error < ENOUGH * abs(value):
        longer = total * (error / (ENOUGH * abs(value))) ** 2
        say(
            f"warning: {total:.4g} ps are too short for an error of {100 * ENOUGH:g} %: about "
            f"{longer:.2g} ps would do, in one run or in several"
        )


def mean_and_error(values: Array) -> tuple[Array, Array]:
    """Mean over the last axis, of n independent values, and its standard error."""
    return values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])


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
    if not run.particles:
        raise InputError(f"{run.name}: has no velocities of elements; write heat_flux.out with md_heat_flux")
    if unknown := sorted(set(charges) - set(run.particles)):
        raise InputError(f"{run.name}: --charges has {', '.join(unknown)}, which is not in the run")
    if missing := sorted(set(run.particles) - set(charges)):
        raise InputError(
            f"{run.name}: --charges has none for {', '.join(missing)}; give one for each element"
        )
    return np.asarray(sum(charges[element] * velocity for element, velocity in run.particles.items()))


def read_charges(text: str) -> dict[str, float]:
    """``Na=1 Cl=-1``."""
    try:
        return {name: float(value) for name, value in (word.split("=") for word in text.split())}
    except ValueError:
        raise InputError(f"--charges '{text}': expected a charge for each element, as 'Na=1 Cl=-1'") from None
