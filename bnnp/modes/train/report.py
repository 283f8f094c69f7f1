"""The log of mode 2: the data, one line for each epoch, RuNNer's summary, and the errors of the best epoch.

Errors are shown in meV/atom and meV/Angstrom whatever the units of the files; RuNNer's ENERGY and FORCES
lines, which other tools read, are in eV/atom and eV/bohr (or hartree, ``fitting_unit``) and come together at
the end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import ase.units
import numpy as np
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.learning_curve import FILE_NAME as LEARNING_CURVE
from bnnp.log import Log, byte_count, duration
from bnnp.messages import count
from bnnp.modes.calibrate.sets import calibration_warnings, division_arguments
from bnnp.modes.doubts import demand_calibration
from bnnp.modes.verdict import Verdict, energies, forces, limits_of_training
from bnnp.potential.files import DIRECTORY
from bnnp.settings.settings import Settings
from bnnp.structure import Set
from bnnp.training import CHECKPOINT
from bnnp.training.charge_training import ChargeTraining
from bnnp.training.checkpoint import Checkpoint
from bnnp.training.joint_model import JointLoss
from bnnp.training.joint_training import JointTraining
from bnnp.training.loop import Record, State
from bnnp.training.loss import Errors
from bnnp.training.refinement import Trial, trial_epochs
from bnnp.training.training import Training, has_forces
from bnnp.training.transfer import Transfer

HEADING = " epoch     loss energy (meV/atom)  forces (meV/A)     test     step       left"
COLUMNS = "          train    train    test    train    test     loss     size"


def report_division(log: Log, settings: Settings, file: DescriptorFile) -> None:
    """Warn if input.nn would now divide the structures differently, or leaves too few to calibrate with."""
    if warning := file.division_warning(*division_arguments(settings)):
        log.warn(warning)
    kept = np.bincount(file.subset, minlength=len(Set)).tolist()
    inside = kept[Set.CALIBRATION]
    demand_calibration(settings, inside, inside + kept[Set.TRAIN], all_pinned=False)
    for warning in calibration_warnings(settings, inside, kept[Set.OUTSIDE]):
        log.warn(warning)


def report_data(log: Log, training: Training) -> None:
    """Sizes of the sets, ranges of the references, and how they are normalized."""
    file, data = training.file, training.data
    units, references = training.settings.model.units, data.references
    log.section("Training data")
    for name, indices in (("training", data.training), ("test", data.test)):
        atoms = file.n_elements[list(indices)].sum(axis=0)
        counts = ", ".join(f"{number} {x}" for x, number in zip(file.elements, atoms, strict=True))
        log.item(f"{name} structures", f"{len(indices)}; atoms: {counts}")
    low, high = references.energy_range
    log.item("energies", f"{low:.6f} ... {high:.6f} {units.energy}/atom, without free-atom energies")
    spread = references.spread
    energy, force = np.sqrt(spread.energy) * units.mev, np.sqrt(spread.force) * units.mev_per_angstrom
    log.item("spread of energies", f"{energy:.2f} meV/atom without the offsets below")
    if spread.n_forces and has_forces(file, data.training):
        log.item("size of forces", f"{force:.1f} meV/A (root mean square)")
    if spread.n_stresses:
        log.item("spread of stresses", f"{np.sqrt(spread.stress) * units.gpa:.3f} GPa")
    offsets = zip(file.elements, training.variables.offsets, strict=True)
    log.item("energy offsets", f"{', '.join(f'{x} {e:.6f}' for x, e in offsets)} {units.energy}")
    report_weights(log, training)
    if not data.test:
        log.warn(
            "the test set is empty: the best epoch is that of the lowest training errors, and a potential "
            "that only learnt its data by heart cannot be told. Raise test_fraction and run mode 1 again."
        )


def report_charge_method(log: Log, training: ChargeTraining) -> None:
    """Stage 1: the charges of the data, the networks and hardnesses, and how they are trained."""
    file, trainer, shapes = training.file, training.trainer, training.parameters
    assert file.charges is not None
    log.section("Stage 1: charges")
    log.item("structures", f"{len(training.training)} for training, {len(training.test)} for testing")
    for number, element in enumerate(file.elements):
        own = file.charges[file.types == number]
        text = f"{np.nanmin(own):.4f} ... {np.nanmax(own):.4f} e, mean {np.nanmean(own):.4f}"
        log.item(f"charges of {element}", text)
        log.item(f"network of {element}", shapes.architectures[element].describe(shapes.n_inputs[element]))
    log.item("spread of charges", f"{np.sqrt(training.spread.force):.4f} e about the mean of each element")
    log.item("weights", f"{len(shapes)}, {shapes.n_roots or 'none'} of them hardnesses")
    for name, text in trainer.optimizer.describe().items():
        log.item(name, "charges take the place of forces; " * (name == "updates") + text)
    log.item("epochs", f"{trainer.epochs}, batches of {count(trainer.batch_size, 'structure')}")


def report_learnt_charges(log: Log, training: JointTraining, weights: NDArray[np.float64]) -> None:
    """Charges of the training structures by element, and the hardnesses; every rank calls this."""
    found, file = training.charges_of(weights), training.file
    atoms = np.concatenate([np.arange(*file.atoms(k).indices(2**62)) for k in training.data.training])
    types, values = file.types[atoms], found.values[atoms]
    log.line()
    for number, element in enumerate(file.elements):
        own = values[types == number]
        text = f"{own.min():.4f} ... {own.max():.4f} e, mean {own.mean():.4f}"
        log.item(f"charges of {element}", text)
    for element, hardness in found.model.hardness.items():
        log.item(f"hardness of {element}", f"{hardness:.6f} {training.settings.model.units.energy}/e^2")
    for name, indices in (("training", training.data.training), ("test", training.data.test)):
        dipole, born_charge = training.moment_errors(weights, indices)
        if np.isfinite(dipole):
            unit = f"e {training.settings.model.units.length}"
            log.item(f"dipole moments, {name}", f"RMSE {dipole:.4f} {unit} (components)")
        if np.isfinite(born_charge):
            log.item(f"Born charges, {name}", f"RMSE {born_charge:.4f} e (components)")


def report_charges(log: Log, training: ChargeTraining, state: State) -> None:
    """Errors of the best epoch of stage 1, and the hardnesses."""
    trainer, rows = training.trainer, []
    sets = [each for each in (("training", training.training), ("test", training.test)) if each[1]]
    for name, indices in sets:
        errors = trainer.errors(state.best_weights, indices)
        rows.append((name, f"{errors.rmse[2]:.6f}", f"{errors.mae[2]:.6f}"))
    log.section(f"Charges of the best epoch, {state.best_epoch}")
    log.table(("set", "RMSE (e)", "MAE (e)"), rows)
    unit = f"{training.settings.model.units.energy}/e^2"  # none in the third generation
    for element, hardness in training.charge_model(state.best_weights).hardness.items():
        log.item(f"hardness of {element}", f"{hardness:.6f} {unit}")


def report_weights(log: Log, training: Training) -> None:
    """Fitted energies, groups and densities, where there are any."""
    settings, file, widths = training.settings, training.file, training.data.density_widths
    if settings.fits_atom_energies:
        found = ", ".join(f"{x} {energy:.8f}" for x, energy in settings.model.atom_energies.items())
        log.item("free-atom energies, fitted", f"{found} {settings.model.units.energy}")
    for label, *terms in settings.loss.group_weight:
        owned = int((file.group == file.groups.index(label)).sum())
        names = ", ".join(f"{n} {w:g}" for n, w in zip(("energy", "force", "stress"), terms, strict=True))
        log.item(f"weights of group {label}", f"{names} ({count(owned, 'structure')})")
    if widths:
        found = ", ".join(f"{element} {width:.4g}" for element, width in widths.items())
        log.item("force weights", f"by Gaussian density, width {found}")


def report_method(log: Log, training: Training) -> None:
    """Networks, loss, optimizer, dropout and memory."""
    settings, trainer, shapes = training.settings, training.trainer, training.parameters
    log.section("Training" if training.data.charges is None else "Stage 2: energies and forces")
    for element, architecture in shapes.architectures.items():
        log.item(f"network of {element}", architecture.describe(shapes.n_inputs[element]))
    if isinstance(training, JointTraining):
        log.item("charges", "learnt with the energies, without references (train_charges joint)")
        of_charges = training.parameters.of_charges
        for element, architecture in of_charges.architectures.items():
            log.item(f"charge of {element}", architecture.describe(of_charges.n_inputs[element]))
    log.item("weights", len(shapes))
    log.item("trained on", ", ".join(_trained_on(training)) or "nothing: all weights are 0")
    for name, text in trainer.optimizer.describe().items():
        log.item(name, text)
    if settings.training.optimizer == "kalman" and settings.kalman.kalman_updates != "joint":
        log.line(
            "  `optimizer kalman` takes all observations of a batch in one update, and usually reaches the "
            "same errors in less time than updates of single observations"
        )
    log.item("numbers", f"{settings.training.precision} precision on {settings.training.device}")
    log.item("epochs", f"{trainer.epochs}, batches of {count(trainer.batch_size, 'structure')}")
    masks = training.masks
    if masks is None:
        log.item("dropout", "none")
        if settings.model.electrostatics is not None:
            log.line(
                "  Mode 3 tells no standard deviations then: they need a `dropout_rate`, whose masks follow "
                "the training, or `ensemble_size 4`"
            )
        elif not settings.given("dropout_rate"):
            _, _, reason = settings.origins["dropout_rate"].rstrip(")").partition(" (")
            log.line(
                f"  {reason}. With `mc_dropout after` mode 3, ASE and LAMMPS tell a standard deviation with "
                "each prediction, and molecular dynamics can stop where it is large"
            )
    else:
        rates = ", ".join(f"{rate:g}" for rate in masks.rates)
        when = "after the training only, " if settings.dropout.after else ""
        log.item(
            "dropout", f"{when}{rates} of inputs and hidden layers, {count(masks.samples, 'frozen mask')}"
        )
    if len(trainer.monitored) < len(trainer.training):
        log.item(
            "training errors below", f"of {count(len(trainer.monitored), 'structure')}; at the end of all"
        )
    for warning in _method_warnings(training):
        log.warn(warning)
    if trainer.samples.with_forces:
        log.item("derivatives", trainer.samples.derivatives)


def _trained_on(training: Training) -> list[str]:
    """The terms of the loss."""
    loss = training.loss
    prefactors = {"energies": loss.energy, "forces": loss.force, "stress": loss.stress}
    if isinstance(loss, JointLoss) and training.settings.training.optimizer != "kalman":
        prefactors |= {"dipole moments": loss.dipole, "Born charges": loss.born_charge}
    return [name for name, prefactor in prefactors.items() if prefactor > 0.0]


def _method_warnings(training: Training) -> Iterator[str]:
    """Warnings of stresses that are not trained although this could be expected, and of idle ranks."""
    settings = training.settings
    stress = bool(np.isfinite(training.file.stress[list(training.data.training)]).any())
    weighted, forces = settings.training.stress_weight > 0.0, settings.structures.use_short_forces
    asked = settings.given("stress_weight") and weighted
    if weighted and not forces and (asked or stress):
        what = "stress_weight is given" if asked else "the data has stresses"
        yield f"{what}, but the stress is not trained: it needs use_short_forces"
    elif asked and not stress:
        yield "stress_weight is given, but no training structure has a stress"
    if not forces and has_forces(training.file, training.data.training):
        where = settings.origins["use_short_forces"]
        yield f"the data has forces, and they are not trained: {where}, use_short_forces .false."
    loss, optimizer = training.loss, settings.training.optimizer
    if isinstance(loss, JointLoss) and (loss.dipole or loss.born_charge) and optimizer == "kalman":
        yield (
            "the data has dipole moments or Born charges, and `optimizer kalman` does not train on them: "
            "choose adam or lbfgs"
        )
    ranks, batch = training.trainer.ranks.size, settings.training.batch_size
    if ranks > batch:
        yield (
            f"{ranks} ranks share batches of {batch} structures, so {ranks - batch} of them are idle: start "
            f"at most {batch} ranks, or raise batch_size"
        )


def report_start(log: Log, training: Training) -> None:
    """The checkpoint or the potential the training starts from, if any."""
    if training.former is not None:
        report_continuation(log, training.epochs, training.former)
    elif training.transfer is not None:
        report_transfer(log, training.settings, training.transfer)


def report_continuation(log: Log, epochs: int, former: Checkpoint, name: str = CHECKPOINT) -> None:
    """Where ``--restart`` continues; a note if another number of epochs changes the schedule."""
    log.item("continued", f"{name}, after epoch {former.state.epoch}")
    if former.epochs != epochs:
        log.line(
            f"  epochs is {epochs}, but was {former.epochs}: from here on the step size follows the schedule "
            "of the new length, so this is not the training either would be in one go"
        )


def report_transfer(log: Log, settings: Settings, transfer: Transfer) -> None:
    """Which network starts from which, and how many functions have a partner."""
    log.section("Transfer")
    log.item("from", " ".join(settings.transfer.transfer_from))
    for element, old in transfer.names.items():
        matched, here, there = transfer.matched[element]
        log.item(
            f"network of {element}", f"that of {old}; {matched} of its functions ({here}) have a partner"
        )
        if matched < here:
            log.warn(
                f"{here - matched} of the functions of {element} have no partner: they start with weights "
                "of 0"
            )
        if matched < there:
            log.warn(f"{there - matched} of the functions of {old} there are lost, without partner here")
    for element in settings.model.elements:
        if element not in transfer.names:
            log.item(f"network of {element}", "random weights")
    length, energy = settings.transfer.transfer_scale_length, settings.transfer.transfer_scale_energy
    log.item("scaled", f"lengths x {length:g}, energies x {energy:g}")
    if settings.transfer.transfer_freeze:
        log.item("frozen", f"the first {count(settings.transfer.transfer_freeze, 'layer')}")


def report_memory(log: Log, training: Training) -> None:
    """Memory of the data, and how much of it was streamed from the file."""
    samples = training.samples
    log.line()
    log.item("memory of the data", byte_count(samples.nbytes) + " in each rank" * (parallel.size() > 1))
    if samples.n_left_out:
        log.item(
            "streamed", f"{count(samples.n_left_out, 'structure')} beyond memory_limit, read again each time"
        )


class EpochLines:
    """One line an epoch in a batch log, a bar with the same numbers on a terminal."""

    heading = HEADING, COLUMNS

    def __init__(self, log: Log, training: Training | ChargeTraining, done: int) -> None:
        self._log, self._units = log, training.settings.model.units
        self._scale, self._epochs = training.variables.scale, training.trainer.epochs
        self._done, self._start = done, time.perf_counter()
        self._bar: Any = None
        if parallel.is_root() and sys.stdout.isatty():
            from tqdm import tqdm

            form = "  {n_fmt}/{total_fmt} |{bar}| {remaining} left{postfix}"
            self._bar = tqdm(total=self._epochs, initial=done, ncols=log.width, leave=False, bar_format=form)
        self._log.line("  root mean square errors (RMSE); *: the best epoch so far, of the lowest test loss")
        for line in self.heading:
            self._log.line(line)

    def show(self, state: State) -> None:
        """The last epoch; a star marks the best so far."""
        record = state.last
        seconds = time.perf_counter() - self._start
        finished = record.epoch - self._done
        left = seconds / finished * (self._epochs - record.epoch) if finished > 0 else np.nan
        errors, short = self._errors(record)
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {record.loss:.3g}, {short}, step {record.rate:.1e}")
            self._bar.update(max(0, record.epoch - self._bar.n))
            if record.epoch % max(1, self._epochs // 20) and record.epoch != self._epochs:
                return
            self._bar.clear()
        loss, step = (f"{record.loss:8.4f}", f"{record.rate:8.1e}") if record.epoch else (f"{'-':>8}",) * 2
        self._log.line(
            f"{record.epoch:6d} {loss} {errors} {record.criterion:8.4f} {step}"
            f"{duration(left) if np.isfinite(left) else '-':>11}{' *' if state.improved else ''}"
        )

    def _errors(self, record: Record) -> tuple[str, str]:
        """The columns of the errors, and a short text for the bar."""
        errors = record.train_rmse, record.test_rmse
        energies = [rmse[0] * self._scale * self._units.mev for rmse in errors]
        forces = [rmse[2] * self._scale * self._units.mev_per_angstrom for rmse in errors]
        tested = int(np.isfinite(energies[1]))
        short = f"E {energies[tested]:.2f} meV/atom, F {forces[tested]:.1f} meV/A"
        return f"{energies[0]:8.2f} {energies[1]:7.2f} {forces[0]:8.1f} {forces[1]:7.1f}", short

    def __enter__(self) -> EpochLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class ChargeLines(EpochLines):
    """The same for stage 1."""

    heading = (
        " epoch     loss  charges (0.001 e)     test     step       left",
        "          train    train    test    loss     size",
    )

    def _errors(self, record: Record) -> tuple[str, str]:
        """The columns of the errors, and a short text for the bar."""
        train, test = (1000.0 * rmse[2] for rmse in (record.train_rmse, record.test_rmse))
        shown = test if np.isfinite(test) else train
        return f"{train:9.3f} {test:8.3f}", f"Q {shown:.3f} 0.001 e"


def report_trials(log: Log, training: Training, trials: Iterable[Trial]) -> float:
    """One line for each dropout rate that ``dropout_rate auto`` tries; returns the best rate."""
    units, scale = training.settings.model.units, training.variables.scale
    log.section("Dropout rate")
    how = "with each rate; the lowest negative log-likelihood (NLL) of the test set is taken"
    log.line(f"  {count(trial_epochs(training), 'epoch')} {how}")
    criteria = []
    for trial in trials:
        energy, force = trial.errors.rmse[[0, 2]] * scale
        log.item(
            f"rate {trial.rate:g}",
            f"NLL {trial.criterion:8.4f}, energies {energy * units.mev:.2f} meV/atom, "
            f"forces {force * units.mev_per_angstrom:.1f} meV/A",
        )
        criteria.append((trial.criterion, trial.rate))
    _, rate = min(criteria)
    log.item("chosen", f"dropout_rate {rate:g}")
    return rate


class RefinementLines:
    """One line for each epoch of ``finetune nll``."""

    def __init__(self, log: Log, training: Training) -> None:
        self._log, self._units = log, training.settings.model.units
        self._scale = training.variables.scale
        log.section("Fine-tuning by the negative log-likelihood")
        log.line("   epoch      NLL  NLL test   energy   forces    (test: meV/atom, meV/A)")

    def show(self, state: State) -> None:
        """The last epoch; a star marks the best so far."""
        record, units, scale = state.last, self._units, self._scale
        errors = record.test_rmse if np.isfinite(record.test_rmse[0]) else record.train_rmse
        loss = f"{record.loss:8.4f}" if record.epoch else f"{'-':>8}"
        self._log.line(
            f"{record.epoch:8d} {loss} {record.criterion:9.4f} {errors[0] * scale * units.mev:8.2f} "
            f"{errors[2] * scale * units.mev_per_angstrom:8.1f}{' *' * state.improved}"
        )


def report_runner_lines(log: Log, training: Training, state: State) -> None:
    """RuNNer's summary of all epochs, which other tools read."""
    settings = training.settings
    units, hartree = settings.model.units, settings.output.fitting_unit == "Ha"
    energy = units.ev / (ase.units.Hartree if hartree else 1.0) * training.variables.scale
    force = energy * ase.units.Bohr / units.angstrom
    name = "Ha" if hartree else "eV"
    log.section("Summary in RuNNer's form")
    in_mev = 1000.0 * (ase.units.Hartree if hartree else 1.0) / ase.units.Bohr
    log.line(
        "  in RuNNer's units, whatever `units` is, for tools that read it: "
        f"1 {name}/Bohr = {in_mev:.6g} meV/A"
    )
    log.line(f" RMSEs (energies: {name}/atom, forces: {name}/Bohr):")
    log.line("               epoch        train         test")
    for record in state.history:
        errors = [("ENERGY", "FORCES", record.train_rmse, record.test_rmse)]
        if settings.output.print_mad:
            errors.append(("MADE", "MADF", record.train_mae, record.test_mae))
        for of_energies, of_forces, train, test in errors:
            for title, quantity, factor in ((of_energies, 0, energy), (of_forces, 2, force)):
                if np.isfinite(train[quantity]):
                    numbers = f"{train[quantity] * factor:13.6f}{test[quantity] * factor:13.6f}"
                    log.line(f" {title:<7}{record.epoch:5d} {numbers}")
    if state.best_epoch == 0:
        log.line(" No improvement of the short range fit has been obtained")
        return
    log.line(f" Best short range fit has been obtained in epoch {state.best_epoch:5d}")
    best = next(record for record in state.history if record.epoch == state.best_epoch)
    train, test = best.train_rmse, best.test_rmse
    values = (train[0] * energy, test[0] * energy, train[2] * force, test[2] * force)
    log.line(" OPTSHORT " + " ".join(f"{value:13.6f}" for value in values))


def report_errors(log: Log, training: Training, state: State, errors: Mapping[Set, Errors]) -> None:
    """Memory, RuNNer's summary, and the errors of the best epoch."""
    report_memory(log, training)
    if log.runner:
        report_runner_lines(log, training, state)
    report_best(log, training, state, errors)


def report_best(log: Log, training: Training, state: State, errors: Mapping[Set, Errors]) -> None:
    """Errors of the potential that was written, over all structures and with all masks."""
    units, scale = training.settings.model.units, training.variables.scale
    masks = training.averaged_masks
    quantities = (
        (0, "energy (meV/atom)", units.mev * scale),
        (2, "forces (meV/A)", units.mev_per_angstrom * scale),
        (3, "stress (GPa)", units.gpa * scale),
    )
    mean = f", mean over {count(masks.samples, 'mask')}" if masks else ""
    log.section(f"Errors of the best epoch, {state.best_epoch}{mean}")
    log.line("  RMSE: root mean square error, MAE: mean absolute error, over all structures of a set")
    rows = []
    for place, name, factor in quantities:
        numbers = [
            f"{value[place] * factor:.2f}"
            for subset in (Set.TRAIN, Set.TEST)
            for value in (errors[subset].rmse, errors[subset].mae)
        ]
        if errors[Set.TRAIN].sums[4 * place]:
            rows.append((name, *numbers))
    log.table(("quantity", "RMSE train", "MAE train", "RMSE test", "MAE test"), rows)


def report_written(log: Log, potential: Sequence[str], points: Sequence[str], limits: Sequence[str]) -> None:
    """The files that were written; `limits` are reasons why n2p2 and LAMMPS cannot use the potential."""
    log.section("Written")
    log.item("the potential", " ".join(["input.nn", *potential]))
    if not limits:
        log.item("to take along", f"{DIRECTORY}/ with an input.nn for n2p2 and LAMMPS too")
    for limit in limits:
        log.warn(limit)
    log.item("to look at", " ".join([LEARNING_CURVE, *points]))
    log.item("to continue", CHECKPOINT)


def report_removed(log: Log, names: Sequence[str]) -> None:
    """Files of a former training or of a former best epoch that are gone now."""
    if names:
        more = f" ... {names[-1]}" if len(names) > 1 else ""
        files = count(len(names), "file")
        log.line(f"  Removed, of a former training or best epoch: {files}, {names[0]}{more}")


def judge(training: Training, state: State, errors: Mapping[Set, Errors]) -> Verdict:
    """Whether the potential that was written is good enough, from all structures of both sets."""
    units, scale, data = training.settings.model.units, training.variables.scale, training.data
    found = []
    for make, place, factor, spread in (
        (energies, 0, units.mev, data.references.spread.energy),
        (forces, 2, units.mev_per_angstrom, data.references.spread.force),
    ):
        train, test = (float(errors[each].rmse[place] * factor * scale) for each in (Set.TRAIN, Set.TEST))
        found.append(make(test if data.test else train, float(np.sqrt(spread)) * factor, train))
    known = [each for each in found if np.isfinite(each.error)]
    finished, epochs = training.trainer.finished(state), training.epochs
    pairs = list(limits_of_training(known, len(data.test), state.best_epoch, epochs, not finished))
    if not data.test:
        limit = "no test set: these are errors of the training set, and say nothing about other structures"
        pairs.insert(0, (limit, "raise test_fraction in input.nn, and run modes 1 and 2 again"))
    number, subset = (len(data.test), "test") if data.test else (len(data.training), "training")
    if training.masks is not None and not np.isin(Set.CALIBRATION, training.file.subset):
        limit = "no calibration: the standard deviations rank structures, but their size is not known"
        pairs.append((limit, "calibration_fraction 0.2 in input.nn, and run modes 1 and 2 again"))
    last = "compare with experiment or DFT what the potential is made for, before you rely on it"
    limits, advice = [limit for limit, _ in pairs], [*(what for _, what in pairs), last]
    return Verdict(
        f"Root mean square errors (RMSE) of {count(number, f'{subset} structure')}:", known, limits, advice
    )


def report_end(log: Log, unfinished: str, calibrated: bool) -> None:
    """Advice on the next command; not `calibrated`: that failed."""
    log.line()
    if unfinished:
        log.line("  Next: `bnnp --mode 2 --restart` continues with what is left.")
    elif not calibrated:
        log.line(
            "  Next: mend what the calibration lacks, as its warning says. Until then predictions of "
            "`bnnp --mode 3` have raw standard deviations, which cannot be compared with errors."
        )
    else:
        log.line("  Next: `bnnp --mode 3` predicts the structures of input.data with this potential.")
    log.close(2, unfinished)
