"""The log of molecular dynamics: the plan at the start, the speed on the way, averages at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import numpy as np

from bnnp.dynamics.integrators import degrees_of_freedom
from bnnp.dynamics.simulation import RunProgress, Simulation
from bnnp.dynamics.stop_rule import Threshold
from bnnp.io import md_series
from bnnp.io.md_out import FILE_NAME, read_md_out
from bnnp.log import Log
from bnnp.messages import count
from bnnp.modes.predict.report import describe_ensemble
from bnnp.modes.simulate.output import Description, SimulationFiles
from bnnp.modes.simulate.plan import SimulationPlan, read_stages
from bnnp.modes.verdict import Verdict, energies
from bnnp.potential.potential import Potential
from bnnp.settings.settings import Settings
from bnnp.units import Units

SECONDS_PER_DAY = 86400.0
FS_PER_NS = 1.0e6


class Speed:
    """Steps a second and nanoseconds a day since `start`."""

    def __init__(self, start: RunProgress) -> None:
        self.start, self.clock = start, time.perf_counter()

    def text(self, progress: RunProgress) -> str:
        """For the line of progress."""
        seconds = max(time.perf_counter() - self.clock, 1e-9)
        steps = (progress.total - self.start.total) / seconds
        ns_per_day = (progress.time - self.start.time) / FS_PER_NS / seconds * SECONDS_PER_DAY
        return f"{steps:.0f} steps/s, {ns_per_day:.3g} ns/day"


def describe(
    plan: SimulationPlan, simulation: Simulation, potential: Potential, settings: Settings
) -> Description:
    """Units, degrees of freedom, meaning of sigma and the series that are wanted, for the files' headers."""
    n_atoms = len(simulation.atoms)
    freedoms = dict.fromkeys(degrees_of_freedom(n_atoms, stage.method) for stage in plan.stages)
    units, stages = potential.units, [stage.ensemble for stage in plan.stages]
    elements = tuple(x for x in potential.elements if x in set(simulation.atoms.symbols))
    series = {
        md_series.HEAT_FLUX: settings.dynamics.md_heat_flux
        and md_series.heat_flux_header(units, elements, plan.stages),
        md_series.SAMPLES: settings.dynamics.md_samples
        and md_series.samples_header(units, potential.samples, stages, potential.deviation_factor),
    }
    wanted = {name: head for name, head in series.items() if head}
    driven = any(stage.driven for stage in plan.stages)
    freedom = " or ".join(map(str, freedoms))
    return Description(units, freedom, potential.describe_std(), elements, driven, wanted)


def report_stages(settings: Settings, log: Log) -> None:
    """The stages, for ``bnnp --check``. Raises InputError if they are wrong."""
    log.section("Molecular dynamics")
    for number, stage in enumerate(read_stages(settings), start=1):
        log.item(f"stage {number}", stage.describe())


def report_plan(
    log: Log, plan: SimulationPlan, simulation: Simulation, potential: Potential, resumed: bool
) -> None:
    """Atoms, stages and thresholds."""
    atoms, units = simulation.atoms, potential.units
    log.section("Molecular dynamics")
    log.item("atoms", f"{len(atoms)}, {atoms.symbols.get_chemical_formula('hill')}")
    if ensemble := describe_ensemble(potential):
        log.item("potential", ensemble)
    if potential.options.single:
        log.item("precision", "single, of the symmetry functions")
    log.item("uncertainty", potential.describe_std() or "none: one network")
    for number, stage in enumerate(plan.stages, start=1):
        log.item(f"stage {number}", stage.describe())
    if bias := atoms.calc.bias:
        log.item("bias", f"-{bias:.4g} times the raw standard deviation of the energy")
    for name, thresholds in (("warn", plan.warn), ("stop", plan.stop)):
        if thresholds:
            log.item(f"md_uncertainty_{name}", ", ".join(_shown(each, potential) for each in thresholds))
    guard = plan.guard
    log.item(
        "guard",
        f"distance {guard.distance:g} covalent radii, force {guard.force:.3g} eV/Angstrom, temperature "
        f"{guard.temperature:g} K",
    )
    log.item("", f"drift {1000 * guard.drift:.3g} meV/atom")
    if potential.resample:
        log.warn(
            "mc_masks resample: new masks at every step are a random force that heats the atoms; the "
            "thermostat hides it but samples another ensemble, and the conserved quantity is none"
        )
    if resumed:
        progress = simulation.progress
        log.item("continued", f"at step {progress.total} ({progress.time:g} fs), stage {progress.stage + 1}")
    log.line()
    log.item("units of md.out", f"{units.length}, {units.energy}; trajectory.extxyz: Angstrom, eV")
    log.line()


def report_end(
    log: Log, plan: SimulationPlan, simulation: Simulation, files: SimulationFiles, stopped: str, member: bool
) -> None:
    """Averages by stage from md.out, the files, and a verdict; a `member` is the run of one sample."""
    table = read_md_out(files.directory / FILE_NAME)
    units, n_atoms = files.description.units, len(simulation.atoms)
    rows = []
    for number, stage in enumerate(plan.stages, start=1):
        mine = {name: values[table["stage"] == number] for name, values in table.items()}
        if len(mine["step"]) == 0:
            continue
        rows.append(
            (
                number,
                stage.ensemble,
                f"{mine['time'][-1] / 1000:.6g}",
                f"{mine['T'].mean():.1f}",
                f"{mine['T'].std():.1f}",
                _number(mine["pressure"].mean(), "{:.3f}"),
                _drift(mine["time"], mine["E_conserved"] * units.mev / n_atoms),
                _number(mine["E_std"].mean() * units.mev, "{:.3g}"),
                _number(mine["E_std"].max() * units.mev, "{:.3g}"),
                _largest(mine["F_std_max"] * units.mev_per_angstrom),
            )
        )
    log.section("Results")
    log.line(
        "  T, spread: mean and standard deviation of the temperature, K; drift: of the conserved quantity, "
        "meV/atom/ps, with its standard error; sigma E: meV/atom (mean, largest); sigma F: largest, "
        "meV/Angstrom; pressure: GPa"
    )
    log.table(
        ("stage", "", "to ps", "T", "spread", "pressure", "drift", "sigma E", "max", "sigma F"),
        rows,
    )
    log.section("Files")
    log.line(f"  written: {', '.join(files.written())}")
    if files.candidates:
        log.line(f"  {count(files.candidates, 'frame')} for DFT in candidates.data")
    judge(table, units, files.description.std, files.candidates, member).report(log)
    if stopped:
        log.line("  stopped: see the message below")


def judge(
    table: Mapping[str, np.ndarray], units: Units, std: str, candidates: int, member: bool = False
) -> Verdict:
    """Whether the potential knew the structures of the run, by its standard deviations.

    A `member` runs with one sample of the potential, and has none.
    """
    if member:
        limit = "this is the run of one sample: the spread over the members is the uncertainty of a result"
        return Verdict("Nothing to judge by.", [], [limit], ["compare the results of all members"])
    if not std:
        limit = "without standard deviations nothing tells whether the potential knew these structures"
        return Verdict("Nothing to judge by.", [], [limit], ["train with dropout_rate above 0"])
    limits, advice = [], []
    if candidates:
        limits.append("some structures were beyond md_uncertainty_warn or md_uncertainty_stop")
        advice.append("compute candidates.data by DFT, add them to the training data and train again")
    if np.nansum(table["extrapolations"]) > 0:
        limits.append("symmetry functions left their training range: there the networks extrapolate")
    title = f"Mean standard deviations ({std}) stand for the errors:"
    sigma = float(np.nanmean(table["E_std"]) * units.mev) if np.isfinite(table["E_std"]).any() else math.nan
    raw = std.startswith("raw")
    if raw:
        limits.append("no calibration: standard deviations rank structures, but their size is not known")
        advice.append("calibration_fraction 0.2 in input.nn, and run modes 1 and 2 again")
    return Verdict(title, [energies(sigma)], limits, advice, lowered=int(candidates > 0), graded=not raw)


def _drift(time: np.ndarray, energy: np.ndarray) -> str:
    """Slope of a straight line, meV/atom/ps, and its standard error."""
    if len(time) < 3:
        return "-"
    ps = time / 1000.0
    (slope, _), covariance = np.polyfit(ps, energy - energy[0], 1, cov="unscaled")
    residual = energy - energy[0] - np.polyval(np.polyfit(ps, energy - energy[0], 1), ps)
    error = np.sqrt(covariance[0, 0] * np.square(residual).sum() / max(len(ps) - 2, 1))
    return f"{slope:.2g} +- {error:.1g}"


def _shown(threshold: Threshold, potential: Potential) -> str:
    """Value and unit, whether it is raw or calibrated, and the quantile it was given as."""
    if threshold.quantity == "extrapolations":
        return f"extrapolations {threshold.value:g}"
    unit = "meV/atom" if threshold.quantity == "energy" else "meV/Angstrom"
    kind = "raw" if threshold.raw else "calibrated"
    if threshold.quantile is not None and potential.calibration is not None:
        kind += f", q{threshold.quantile:g} of {count(potential.calibration.structures, 'structure')}"
    return f"{threshold.quantity} {1000 * threshold.value:.6g} {unit} ({kind})"


def _largest(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"{known.max():.3g}" if len(known) else "-"


def _number(value: float, pattern: str) -> str:
    return pattern.format(value) if np.isfinite(value) else "-"
