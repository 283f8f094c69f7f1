"""The log of mode 3: the potential at the start; errors, uncertainties and extrapolations at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bnnp.descriptors.length_unit import sampled_reaches, unit_advice
from bnnp.io.input_data import StructureFile
from bnnp.io.uncertainty_data import FILE_NAME, UncertaintyData
from bnnp.log import Log
from bnnp.modes.predict.structure import LINES, Outcome
from bnnp.potential.assessment import Assessment
from bnnp.potential.potential import Potential
from bnnp.run import Run
from bnnp.settings.arguments import AUTO
from bnnp.settings.settings import Settings
from bnnp.uncertainty.extrapolation import Tally
from bnnp.uncertainty.metrics import NOISE
from bnnp.units import Units


def describe_potential(
    log: Log,
    run: Run,
    potential: Potential,
    uncertainty: UncertaintyData | None,
    structures: StructureFile,
    names: Sequence[str],
) -> None:
    """Networks, samples and data of this run; `uncertainty` are the contents of uncertainty.data."""
    log.section("Potential")
    for element, network in potential.members[0].networks.items():
        log.item(f"network of {element}", network.architecture.describe(network.n_inputs))
    log.item("uncertainty", describe_ensemble(potential) or _describe_samples(run, potential, uncertainty))
    log.item("structures", f"{len(structures)} in {structures.path.name}, {structures.n_atoms.sum()} atoms")
    if meaning := potential.describe_std():
        log.item("standard deviations", meaning)
    warnings = (*_other_rates(run.settings, uncertainty), *_other_samples(potential))
    for warning in (*structures.warnings, *warnings):
        log.warn(warning)
    units = potential.units
    if (advice := unit_advice(sampled_reaches(structures, units), units)) is not None:
        log.warn(advice)
    if potential.scalings is None:
        log.warn("no scaling.data: extrapolation cannot be seen")
    for name in {"nnforces.out", "nnstress.out"} - set(names):
        if (run.directory / name).exists():
            log.warn(f"{name} is from a former run: this one writes {', '.join(names)}")


def describe_ensemble(potential: Potential) -> str:
    """Networks and the samples of each; empty for a single network."""
    masks = potential.members[0].masks
    if len(potential.members) == 1:
        return ""
    if masks is None:
        return f"ensemble of {len(potential.sizes)} plain networks"
    samples = " + ".join(map(str, potential.sizes))
    rates = f"dropout rates {_rates(masks.rates)} (inputs, hidden layers)"
    return f"ensemble of {len(potential.sizes)} networks with {samples} Monte Carlo samples; {rates}"


def _describe_samples(run: Run, potential: Potential, uncertainty: UncertaintyData | None) -> str:
    if uncertainty is None:
        unused = f"mc_samples 0, {FILE_NAME} is not used"
        reason = unused if (run.directory / FILE_NAME).exists() else f"no {FILE_NAME}"
        return f"{reason}: the plain network, without standard deviations"
    masks = potential.members[0].masks
    if masks is None:
        return f"the dropout rates of {FILE_NAME} are 0: the plain network, without standard deviations"
    stored = uncertainty.masks.samples
    origin = "redrawn for every structure" if potential.resample else f"of {FILE_NAME}"
    if masks.samples > stored:
        origin += f" ({stored} there, the others from its seed {masks.seed})"
    rates = _rates(masks.rates)
    return f"{masks.samples} Monte Carlo samples {origin}; dropout rates {rates} (inputs, hidden layers)"


def _other_rates(settings: Settings, uncertainty: UncertaintyData | None) -> list[str]:
    """A warning if input.nn gives dropout rates that are not those of the masks in use."""
    if settings.dropout.mc_samples < 1 or uncertainty is None:
        return []
    rates = uncertainty.masks.rates
    used = {"dropout_rate_input": rates[:1], "dropout_rate": rates[1:]}
    wanted: dict[str, tuple[Any, ...]] = {
        "dropout_rate_input": (settings.dropout.dropout_rate_input,),
        "dropout_rate": tuple(settings.dropout.dropout_rate),
    }
    return [
        f"{settings.origins[name]}: {name} {_rates(wanted[name])} has no effect in mode 3: the masks of "
        f"{FILE_NAME} were drawn with {_rates(used[name])}, and these are used"
        for name in used
        if settings.given(name) and settings.value(name) != AUTO and wanted[name] != used[name]
    ]


def _other_samples(potential: Potential) -> list[str]:
    """A warning if the calibration was made with more or fewer samples."""
    calibration = potential.calibration
    if calibration is None or calibration.samples == potential.samples:
        return []
    how = "more" if potential.samples < calibration.samples else "less"
    return [
        f"the calibration was made with {calibration.samples} Monte Carlo samples, here are "
        f"{potential.samples}: these sigmas scatter {how} than those it knows"
    ]


def _rates(rates: Sequence[float]) -> str:
    return " ".join(f"{rate:g}" for rate in rates)


def describe_variances(found: Assessment, units: Units) -> str:
    """Root mean squares of the two parts of the raw variance of an ensemble, for the log."""
    texts = []
    for name, sums, factor, unit in (
        ("energies", found.energy_parts, units.mev, "meV/atom"),
        ("forces", found.forces_parts, units.mev_per_angstrom, "meV/A"),
    ):
        if sums.count:
            within, between = (factor * root for root in sums.roots)
            texts.append(f"{name} {within:.2f} within and {between:.2f} {unit} between")
    return f"raw sigma (root mean square) in its parts: {'; '.join(texts)} the networks"


class Report:
    """Assessments by group, collected in the order of the file, and their tables."""

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.groups: dict[str, Assessment] = {}
        self.tallies: dict[str, Tally] = {}
        self.lines: list[str] = []

    def add(self, outcome: Outcome) -> None:
        """Add one structure."""
        self.groups[outcome.group] = self.groups.get(outcome.group, Assessment()) + outcome.assessment
        for element, tally in outcome.tallies.items():
            self.tallies[element] = self.tallies[element] + tally if element in self.tallies else tally
        self.lines += outcome.warnings[: LINES - len(self.lines)]

    def write(self, log: Log, names: Sequence[str]) -> None:
        """All tables and the names of the files; the errors and sigmas last, where they are seen first."""
        self._extrapolations(log)
        log.section("Files")
        log.line(f"  written: {', '.join(names)}")
        log.section("Results")
        log.line(
            "  E: energies, meV/atom; F, S: components of forces, meV/Angstrom, and of stress, GPa; "
            "pressure: GPa"
        )
        meaning = self.potential.describe_std()
        if meaning:
            log.line(f"  sigma: mean standard deviation, {meaning}")
            if self.potential.calibration is not None:
                log.line("  raw: the same before the calibration")
            log.line(
                "  sqrt(ZMS): root mean square of error / sigma; 1 = sigma has the right size on average"
            )
        calibrated = self.potential.calibration is not None
        columns, rows = _table(self.groups, self.potential.units, calibrated)
        log.table(columns, rows)
        if len(self.potential.members) > 1:
            total = sum(self.groups.values(), Assessment())
            log.line(f"  {describe_variances(total, self.potential.units)}")

    def _extrapolations(self, log: Log) -> None:
        log.section("Extrapolation")
        for line in self.lines:
            log.line(line)
        log.note_warnings(len(self.lines))
        rows = [row for element, tally in self.tallies.items() for row in self._rows(element, tally)]
        if not rows:
            log.line("  no symmetry function left its training range")
            return
        total = sum(int(tally.count.sum()) for tally in self.tallies.values())
        log.line(f"  {total} values outside the training range; above are the first {LINES} at most,")
        log.line("  where structures and atoms count from 0")
        log.line("  excess: worst distance beyond the range in units of the range (G_max - G_min)")
        log.table(("element", "function", "count", "excess", "definition"), rows)
        if any(row[3] == "never varied" for row in rows):
            log.warn(
                "functions that never varied in the training set vary here: the network knows nothing of them"
            )

    def _rows(self, element: str, tally: Tally) -> list[tuple[object, ...]]:
        """Lines of the table for the functions of one element."""
        rows: list[tuple[object, ...]] = []
        columns = zip(tally.count, tally.excess, self.potential.model.functions[element], strict=True)
        for number, (count, excess, function) in enumerate(columns, start=1):
            if count:
                shown = f"{excess:.3g}" if math.isfinite(excess) else "never varied"
                rows.append((element, number, int(count), shown, function.definition()))
        return rows


def _table(
    groups: Mapping[str, Assessment], units: Units, calibrated: bool
) -> tuple[list[str], list[list[object]]]:
    """One row for each group (and one for all); columns with a number somewhere, raw sigmas only if there are
    calibrated ones."""
    shown = dict(groups)
    if len(groups) > 1:
        shown["total"] = sum(groups.values(), Assessment())
    names = (
        *(f"E {name}" for name in ("RMSE", "MAE", "bias", "sigma", "sqrt(ZMS)", "raw")),
        *(f"F {name}" for name in ("RMSE", "MAE", "sigma", "sqrt(ZMS)", "raw")),
        *(f"S {name}" for name in ("RMSE", "sigma", "sqrt(ZMS)")),
        "pressure",
    )
    numbers = [_numbers(assessment, units) for assessment in shown.values()]
    used = [
        k
        for k, name in enumerate(names)
        if any(math.isfinite(row[k]) for row in numbers) and (calibrated or not name.endswith("raw"))
    ]
    rows: list[list[object]] = [
        [group, assessment.structures, *(_shown(row[k]) for k in used)]
        for (group, assessment), row in zip(shown.items(), numbers, strict=True)
    ]
    return ["group", "structures", *(names[k] for k in used)], rows


def _numbers(assessment: Assessment, units: Units) -> list[float]:
    energy, forces, stress = assessment.energy, assessment.forces, assessment.stress
    return [
        *(units.mev * value for value in (energy.rmse, energy.mae, energy.bias, energy.mean_sigma)),
        math.sqrt(energy.zms),
        units.mev * assessment.energy_raw.mean_sigma,
        *(units.mev_per_angstrom * value for value in (forces.rmse, forces.mae, forces.mean_sigma)),
        math.sqrt(forces.zms),
        units.mev_per_angstrom * assessment.forces_raw.mean_sigma,
        *(units.gpa * value for value in (stress.rmse, stress.mean_sigma)),
        math.sqrt(stress.zms),
        units.gpa * assessment.pressure.bias,
    ]


def _shown(value: float) -> str:
    if abs(value) < NOISE:
        return "0"
    return f"{value:.4g}" if math.isfinite(value) else "-"
