"""The log of mode 3: the potential at the start; errors, uncertainties and extrapolations at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bnnp.descriptors.length_unit import sampled_reaches
from bnnp.io.input_data import StructureFile
from bnnp.io.uncertainty_data import FILE_NAME, UncertaintyData
from bnnp.log import Log
from bnnp.messages import count, fold, percent
from bnnp.modes.doubts import demand_units
from bnnp.modes.predict.structure import LINES, Outcome
from bnnp.modes.verdict import Quality, Verdict, energies, forces
from bnnp.potential.assessment import Assessment
from bnnp.potential.potential import Potential
from bnnp.random import CEILING, stream
from bnnp.run import Run
from bnnp.settings.arguments import AUTO
from bnnp.settings.settings import Settings
from bnnp.uncertainty.extrapolation import Tally
from bnnp.uncertainty.metrics import NOISE, ErrorSum
from bnnp.uncertainty.ranking import RankedPairs
from bnnp.units import Units

TRUSTED = 1.4  # sqrt(ZMS) of standard deviations of the right size, or its inverse, at most
MISLEADING = 2.0  # the same in a group, from which standard deviations do not tell where errors are large
CHANCE = 0.005  # of a sqrt(ZMS) as far from 1 as that of a group to be named
RARELY, OFTEN = 0.05, 0.5  # of the atoms outside of the training range
QUANTITIES = {"energy": "energies", "forces": "forces"}
WORSE = 1.5  # times the RMSE of all: that of a group to be named
NEVER_VARIED = "never varied"


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
    if (charges := potential.members[0].charges) is not None:
        for element, network in charges.networks.items():
            shape = network.architecture.describe(network.n_inputs)
            if element in charges.hardness:
                shape += f"; hardness {charges.hardness[element]:g}"
            log.item(f"{'electronegativity' if charges.hardness else 'charge'} of {element}", shape)
    if (fixed := potential.model.fixed_charges) is not None:
        log.item("fixed charges", ", ".join(f"{x} {value:+g}" for x, value in fixed.values.items()) + " e")
    if potential.options.single:
        log.item("precision", "single, of the symmetry functions")
    log.item("uncertainty", describe_ensemble(potential) or _describe_samples(run, potential, uncertainty))
    log.item(
        "structures",
        f"{len(structures)} in {structures.path.name}, {count(structures.n_atoms.sum(), 'atom')}",
    )
    if meaning := potential.describe_std():
        log.item("standard deviations", meaning)
    warnings = (*_other_rates(run.settings, uncertainty), *_other_samples(potential))
    for warning in (*structures.warnings, *warnings):
        log.warn(warning)
    reaches = sampled_reaches(structures, potential.units)
    if (advice := demand_units(reaches, run.settings, structures.path.name)) is not None:
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

    def __init__(self, potential: Potential, seed: int) -> None:
        self.potential, self.seed = potential, seed
        self.groups: dict[str, Assessment] = {}
        self.tallies: dict[str, Tally] = {}
        self.lines: list[str] = []
        self.energies: list[str] = []
        self.ranked = {quantity: RankedPairs() for quantity in QUANTITIES}
        self.outside: list[int] = []
        self._seen = 0

    def add(self, outcome: Outcome) -> None:
        """Add one structure."""
        self.groups[outcome.group] = self.groups.get(outcome.group, Assessment()) + outcome.assessment
        for element, tally in outcome.tallies.items():
            self.tallies[element] = self.tallies[element] + tally if element in self.tallies else tally
        for quantity, pairs in outcome.pairs.items():
            self.ranked[quantity].add(pairs)
        self.lines += outcome.warnings[: LINES - len(self.lines)]
        self.energies += [outcome.energy_warning] * bool(outcome.energy_warning)
        self._seen += 1
        if any(tally.count.any() for tally in outcome.tallies.values()):
            self.outside.append(self._seen)

    @property
    def total(self) -> Assessment:
        """All groups together."""
        return sum(self.groups.values(), Assessment())

    def write(self, log: Log, names: Sequence[str]) -> None:
        """All tables and the names of the files; errors, sigmas and the verdict last, where they are seen."""
        self._extrapolations(log)
        log.section("Files")
        log.line(f"  written: {', '.join(names)}")
        log.section("Results")
        log.line(
            "  E: energies, meV/atom; F, S: components of forces, meV/Angstrom, and of stress, GPa; "
            "pressure: GPa"
        )
        if self.total.has_references:
            log.line("  RMSE: root mean square error; MAE: mean absolute error; bias: mean error")
        meaning = self.potential.describe_std()
        if meaning:
            log.line(f"  sigma: mean standard deviation, {meaning}")
            if self.potential.calibration is not None:
                log.line("  raw: the same before the calibration")
            log.line(
                "  sqrt(ZMS): root of the mean square of error / sigma (z-score); 1 = sigma has the right "
                "size on average"
            )
        calibrated = self.potential.calibration is not None
        columns, rows = _table(self.groups, self.potential.units, calibrated)
        log.table(columns, rows)
        self._charges(log)
        if omitted := self.total.forces.symmetric + self.total.stress.symmetric:
            left = count(omitted, "component")
            log.line(f"  without score: {left} of forces and stresses that symmetry makes zero")
        if ranking := self._ranking():
            log.line(fold(ranking, log.width, "  ", "  "))
        if len(self.potential.members) > 1:
            log.line(f"  {describe_variances(self.total, self.potential.units)}")
        graded = self.total.has_references or self.potential.calibration is not None
        title, qualities = judged(self)
        limits, advice, lowered = limits_of_prediction(self)
        Verdict(title, qualities, limits, advice, lowered, graded).report(log)

    def _charges(self, log: Log) -> None:
        """Errors and raw standard deviations of the charges, where there are any."""
        found, texts = self.total.charges, []
        if found.count:
            texts.append(f"RMSE {found.rmse:.6f} e, MAE {found.mae:.6f} e")
        if found.sigmas:
            texts.append(f"raw sigma {found.mean_sigma:.6f} e")
        if found.scores:
            texts.append(f"sqrt(ZMS) {math.sqrt(found.zms):.3f}")
        if texts:
            log.item("charges", ", ".join(texts))

    def _ranking(self) -> str:
        """How well sigma tells large errors from small ones, in words; empty where nothing can be ranked."""
        found = {
            QUANTITIES[name]: pairs.correlation(stream(self.seed, CEILING))
            for name, pairs in self.ranked.items()
        }
        texts = [f"{name} {r:.2f} ({c:.2f})" for name, (r, c) in found.items() if math.isfinite(r)]
        if not texts:
            return ""
        meaning = "rank correlation (Spearman) of sigma with the size of the error"
        return f"{meaning}, in brackets that of errors drawn from these sigmas: {', '.join(texts)}"

    def _extrapolations(self, log: Log) -> None:
        log.section("Extrapolation")
        if log.runner:
            for line in (*self.lines, *self.energies):
                log.raw(line)  # n2p2 counts structures and atoms from 0
        if self.energies:
            place, _, fault = self.energies[0].partition(": WARNING: ")  # RuNNer's words
            log.warn(
                f"outside the training range: the energies of {len(self.energies)} of "
                f"{count(self._seen, 'structure')}, the first of {place}: {fault.partition(': ')[2]}"
            )
        rows = [self._row(element, tally) for element, tally in self.tallies.items() if tally.count.any()]
        if not rows:
            log.line("  no symmetry function left its training range")
            return
        log.warn(
            f"outside of their training range: symmetry functions of {len(self.outside)} of "
            f"{count(self._seen, 'structure')}, the first is structure {self.outside[0]}: there the networks "
            "extrapolate"
        )
        log.line(
            "  values: how many, over all atoms; excess: the worst distance beyond the range in units of the "
            "range (G_max - G_min), and the function it belongs to"
        )
        log.table(("element", "values", "functions", "excess", "worst function"), rows)
        if any(row[3] == NEVER_VARIED for row in rows):
            log.warn(
                "functions that never varied in the training set vary here: the network knows nothing of them"
            )

    def _row(self, element: str, tally: Tally) -> tuple[object, ...]:
        """Line of the table for one element."""
        functions, worst = self.potential.model.functions[element], int(tally.excess.argmax())
        excess = float(tally.excess[worst])
        shown = f"{excess:.3g}" if math.isfinite(excess) else NEVER_VARIED
        outside = f"{np.count_nonzero(tally.count)} of {len(functions)}"
        return element, int(tally.count.sum()), outside, shown, functions[worst].definition()


def judged(report: Report) -> tuple[str, list[Quality]]:
    """Errors for the verdict, or standard deviations where there are no references; and which of them."""
    total, units = report.total, report.potential.units
    factors = units.mev, units.mev_per_angstrom
    if total.has_references:
        size = total.forces_size.rmse * units.mev_per_angstrom
        found = [energies(total.energy.rmse * factors[0]), forces(total.forces.rmse * factors[1], size)]
        return f"Root mean square errors (RMSE) of {count(total.structures, 'structure')}:", found
    found = [energies(total.energy.mean_sigma * factors[0]), forces(total.forces.mean_sigma * factors[1])]
    if not any(math.isfinite(each.error) for each in found):
        return "Nothing to judge by: no reference values and no standard deviations.", found
    kind = "calibrated" if report.potential.calibration is not None else "raw, so perhaps of another size"
    return f"No reference values; mean standard deviations ({kind}) stand for the errors:", found


def limits_of_prediction(report: Report) -> tuple[list[str], list[str], int]:
    """What speaks against these predictions, what to do about it, and by how many grades it counts.

    Extrapolation counts from RARELY of the atoms on, and twice from OFTEN on; standard deviations that are
    MISLEADING times too small in a group count, as they do not tell where the potential fails.
    """
    limits, advice, lowered, total = [], [], 0, report.total
    if report.outside:
        structures = len(report.outside) / total.structures
        atoms = sum(tally.outside for tally in report.tallies.values())
        share = atoms / sum(tally.atoms for tally in report.tallies.values())
        lowered += (share >= RARELY) + (share >= OFTEN)
        limits.append(
            f"extrapolation: {percent(share)} of the atoms, in {percent(structures)} of the structures, are "
            "outside of the training range: trust them least"
        )
        advice.append("compute some of these by DFT and train again (bnnp select chooses)")
    wrong = {
        name: _wrong_sizes(
            getattr(total, name), {x: getattr(each, name) for x, each in report.groups.items()}
        )
        for name in ("energy", "forces")
    }
    lowered += any(root > MISLEADING for roots in wrong.values() for root in roots.values())
    for name, roots in wrong.items():
        for place, root in roots.items():
            how = f"{root:.2g} times too small" if root > 1 else f"{1 / root:.2g} times too large"
            limits.append(f"standard deviations of the {QUANTITIES[name]} are {how} {place}")
    if any(wrong.values()):
        advice.append(
            "calibrate with structures that were not trained on (`calibrate`, or calibration_fraction in "
            "mode 1), among them some of each group"
        )
    elif report.potential.calibration is None and report.potential.samples > 1:
        limits.append("standard deviations are not calibrated: they rank structures, their size is not known")
    sizes = {name: np.nan_to_num(each.forces.rmse) for name, each in report.groups.items()}
    worst = max(sizes, key=sizes.__getitem__, default="")  # only the root has groups
    if worst and sizes[worst] > WORSE * total.forces.rmse:
        limits.append(f"forces of group {worst} have {sizes[worst] / total.forces.rmse:.1f} times the RMSE")
        advice.append(f"add structures like those of group {worst} to the training data")
    return limits, advice, lowered


def _wrong_sizes(total: ErrorSum, groups: Mapping[str, ErrorSum]) -> dict[str, float]:
    """sqrt(ZMS) by place, where standard deviations have the wrong size: on average, and of the groups where
    they are the most too small and the most too large."""
    found = {"on average": math.sqrt(total.zms)} if _is_wrong(total) else {}
    roots = {name: math.sqrt(each.zms) for name, each in groups.items() if _is_wrong(each)}
    if len(groups) > 1 and roots:
        small, large = max(roots, key=roots.__getitem__), min(roots, key=roots.__getitem__)
        found |= {
            f"in group {name}": roots[name]
            for name, side in ((small, roots[small] > 1.0), (large, roots[large] < 1.0))
            if side
        }
    return found


def _is_wrong(found: ErrorSum) -> bool:
    """Whether sqrt(ZMS) is off by more than TRUSTED, and not by chance.

    The sum of n squares of standard normal numbers has a chi-square distribution with n degrees of freedom.
    """
    if found.scores == 0 or 1 / TRUSTED <= math.sqrt(found.zms) <= TRUSTED:
        return False
    from scipy.special import chdtrc

    beyond = float(chdtrc(found.scores, found.score))  # the chance of more
    return min(beyond, 1.0 - beyond) < CHANCE


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
