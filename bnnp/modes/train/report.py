"""What mode 2 tells: the data, one line an epoch, RuNNer's summary, and the errors of the best epoch.

Errors are shown in meV/atom and meV/Angstrom whatever the units of the files; RuNNer's ENERGY and FORCES
lines, which other tools read, are in eV/atom and eV/bohr (or hartree, ``fitting_unit``) and come together at
the end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import ase.units
import numpy as np

from bnnp import parallel
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.learning_curve import FILE_NAME as LEARNING_CURVE
from bnnp.log import WIDTH, Log, byte_count, duration
from bnnp.modes.calibrate.sets import calibration_warnings, calibration_words
from bnnp.potential.files import DIRECTORY
from bnnp.settings.settings import Settings
from bnnp.structure import Set
from bnnp.training.checkpoint import FILE_NAME as CHECKPOINT
from bnnp.training.checkpoint import Checkpoint
from bnnp.training.loop import Record, State
from bnnp.training.loss import Errors
from bnnp.training.refinement import Trial, trial_epochs
from bnnp.training.training import EPOCH_SAMPLES, Training
from bnnp.training.transfer import Transfer

HEADING = "   epoch     loss   energy (meV/atom)    forces (meV/A)      test     step     time     left"
COLUMNS = "             train    train      test    train     test      loss     size"


def report_division(log: Log, settings: Settings, file: DescriptorFile) -> None:
    """Warn where input.nn now would divide the structures otherwise, or leaves too few to calibrate with."""
    words = settings.general.random_seed, settings.structures.test_fraction, calibration_words(settings)
    if warning := file.division_warning(*words):
        log.warn(warning)
    kept = np.bincount(file.subset, minlength=len(Set))
    for warning in calibration_warnings(settings, kept[Set.CALIBRATION], kept[Set.OUTSIDE]):
        log.warn(warning)


def report_data(log: Log, training: Training) -> None:
    """Sizes of the sets, ranges of the references, and how they are normalized."""
    file, data = training.file, training.data
    units, references = training.settings.model.units, data.references
    log.section("Training data")
    for name, indices in (("training", data.training), ("test", data.test)):
        atoms = file.n_elements[list(indices)].sum(axis=0)
        counts = ", ".join(f"{count} {element}" for element, count in zip(file.elements, atoms, strict=True))
        log.item(f"{name} structures", f"{len(indices)} with {counts} atoms")
    low, high = references.energy_range
    log.item("energies", f"{low:.6f} ... {high:.6f} {units.energy}/atom, without free-atom energies")
    spread = references.spread
    log.item(
        "spread of energies", f"{np.sqrt(spread.energy) * units.mev:.2f} meV/atom without the offsets below"
    )
    if spread.n_forces:
        log.item(
            "size of forces", f"{np.sqrt(spread.force) * units.mev_per_angstrom:.1f} meV/A (root mean square)"
        )
    if spread.n_stresses:
        log.item("spread of stresses", f"{np.sqrt(spread.stress) * units.gpa:.3f} GPa")
    offsets = ", ".join(
        f"{x} {e:.6f}" for x, e in zip(file.elements, training.variables.offsets, strict=True)
    )
    log.item("energy offsets", f"{offsets} {units.energy}")
    report_weights(log, training)
    if not data.test:
        log.warn(
            "the test set is empty: the best epoch is that of the lowest training errors, and a potential "
            "that only learnt its data by heart cannot be told. Raise test_fraction and run mode 1 again."
        )


def report_weights(log: Log, training: Training) -> None:
    """Fitted energies, groups and densities, where there are any."""
    settings, file, widths = training.settings, training.file, training.data.density_widths
    if settings.fits_atom_energies:
        found = ", ".join(f"{x} {energy:.8f}" for x, energy in settings.model.atom_energies.items())
        log.item("free-atom energies, fitted", f"{found} {settings.model.units.energy}")
    for label, *terms in settings.loss.group_weight:
        count = int((file.group == file.groups.index(label)).sum())
        names = ", ".join(f"{n} {w:g}" for n, w in zip(("energy", "force", "stress"), terms, strict=True))
        log.item(f"weights of group {label}", f"{names} ({count} structures)")
    if widths:
        found = ", ".join(f"{element} {width:.4g}" for element, width in widths.items())
        log.item("force weights", f"by Gaussian density, width {found}")


def report_method(log: Log, training: Training) -> None:
    """Networks, loss, optimizer, dropout and memory."""
    settings, trainer, shapes = training.settings, training.trainer, training.parameters
    log.section("Training")
    for element, architecture in shapes.architectures.items():
        log.item(f"network of {element}", architecture.describe(shapes.n_inputs[element]))
    log.item("weights", len(shapes))
    log.item("trained on", ", ".join(_trained_on(training)) or "nothing: all weights are 0")
    for name, text in trainer.optimizer.describe().items():
        log.item(name, text)
    log.item("numbers", f"{settings.training.precision} precision on {settings.training.device}")
    log.item("epochs", f"{trainer.epochs}, batches of {trainer.batch_size} structures")
    masks = training.masks
    if masks is None:
        log.item("dropout", "none")
    else:
        rates = ", ".join(f"{rate:g}" for rate in masks.rates)
        log.item("dropout", f"{rates} of inputs and hidden layers, {masks.samples} frozen masks")
        if masks.samples > EPOCH_SAMPLES and trainer.test:
            few = f"the first {EPOCH_SAMPLES} masks and {len(trainer.monitored)} structures"
            log.item("errors below", f"test: mean over all masks; train: over {few}")
    for warning in _method_warnings(training):
        log.warn(warning)
    if trainer.samples.with_forces:
        log.item("derivatives", trainer.samples.derivatives)


def _trained_on(training: Training) -> list[str]:
    """The terms of the loss."""
    loss, derivatives = training.loss, training.data.forces
    weights = (loss.energy, loss.force * derivatives, loss.stress * derivatives)
    named = zip(("energies", "forces", "stress"), weights, strict=True)
    return [name for name, weight in named if weight > 0.0]


def _method_warnings(training: Training) -> Iterator[str]:
    """Stress that is not trained although it could be expected, and ranks without work."""
    settings = training.settings
    stress = bool(np.isfinite(training.file.stress[list(training.data.training)]).any())
    asked = settings.given("stress_weight") and settings.training.stress_weight > 0.0
    if (
        not settings.structures.use_short_forces
        and settings.training.stress_weight > 0.0
        and (asked or stress)
    ):
        what = "stress_weight is given" if asked else "the data has stresses"
        yield f"{what}, but the stress is not trained: it needs use_short_forces"
    elif asked and not stress:
        yield "stress_weight is given, but no training structure has a stress"
    ranks, batch = training.trainer.ranks.size, settings.training.batch_size
    if ranks > batch:
        yield (
            f"{ranks} ranks share batches of {batch} structures, so {ranks - batch} of them are idle: start "
            f"at most {batch} ranks, or raise batch_size"
        )


def report_start(log: Log, training: Training) -> None:
    """Where the training starts from, if not from random weights."""
    if training.former is not None:
        report_continuation(log, training.settings, training.former)
    elif training.transfer is not None:
        report_transfer(log, training.settings, training.transfer)


def report_continuation(log: Log, settings: Settings, former: Checkpoint) -> None:
    """Where ``--restart`` goes on, and that another number of epochs means another schedule."""
    log.item("continued", f"{CHECKPOINT}, after epoch {former.state.epoch}")
    epochs = settings.training.epochs
    if former.epochs != epochs:
        log.line(f"  epochs is {epochs}, but was {former.epochs}: from here on the step size follows")
        log.line("  the schedule of the new length, so this is not the training either would be in one go")


def report_transfer(log: Log, settings: Settings, transfer: Transfer) -> None:
    """What starts from what."""
    log.section("Transfer")
    log.item("from", " ".join(settings.transfer.transfer_from))
    for element, old in transfer.names.items():
        matched, here, there = transfer.matched[element]
        log.item(f"network of {element}", f"that of {old}; {matched} of {here} functions have a partner")
        if matched < here:
            log.warn(f"{here - matched} functions of {element} have no partner and start with weights of 0")
        if matched < there:
            log.warn(f"{there - matched} functions of {old} there are lost: they have no partner here")
    for element in settings.model.elements:
        if element not in transfer.names:
            log.item(f"network of {element}", "random weights")
    length, energy = settings.transfer.transfer_scale_length, settings.transfer.transfer_scale_energy
    log.item("scaled", f"lengths x {length:g}, energies x {energy:g}")
    if settings.transfer.transfer_freeze:
        log.item("frozen", f"the first {settings.transfer.transfer_freeze} layers")


def report_memory(log: Log, training: Training) -> None:
    """What the data took, and how much of it was streamed from the file."""
    samples = training.samples
    log.line()
    log.item(
        "memory of the data", byte_count(samples.nbytes) + (" in each rank" if parallel.size() > 1 else "")
    )
    if samples.n_left_out:
        log.item("streamed", f"{samples.n_left_out} structures beyond memory_limit, read again each time")


class EpochLines:
    """One line an epoch in a batch log, a bar with the same numbers on a terminal."""

    def __init__(self, log: Log, training: Training, done: int) -> None:
        self._log, self._units = log, training.settings.model.units
        self._scale, self._epochs = training.variables.scale, training.trainer.epochs
        epochs = self._epochs
        self._done, self._start = done, time.perf_counter()
        self._bar: Any = None
        if parallel.is_root() and sys.stdout.isatty():
            from tqdm import tqdm

            form = "  {n_fmt}/{total_fmt} |{bar}| {remaining} left{postfix}"
            self._bar = tqdm(total=epochs, initial=done, ncols=WIDTH, leave=False, bar_format=form)
        self._log.line(HEADING)
        self._log.line(COLUMNS)

    def show(self, record: Record, best: bool) -> None:
        """One epoch; a star marks the best so far."""
        seconds = time.perf_counter() - self._start
        finished = record.epoch - self._done
        left = seconds / finished * (self._epochs - record.epoch) if finished > 0 else np.nan
        energies = [rmse[0] * self._scale * self._units.mev for rmse in (record.train_rmse, record.test_rmse)]
        forces = [
            rmse[2] * self._scale * self._units.mev_per_angstrom
            for rmse in (record.train_rmse, record.test_rmse)
        ]
        if self._bar is not None:
            tested = int(np.isfinite(energies[1]))
            shown = energies[tested], forces[tested]
            self._bar.set_postfix_str(
                f"loss {record.loss:.3g}, E {shown[0]:.2f} meV/atom, F {shown[1]:.1f} meV/A, step "
                f"{record.rate:.1e}"
            )
            self._bar.update(max(0, record.epoch - self._bar.n))
            if record.epoch % max(1, self._epochs // 20) and record.epoch != self._epochs:
                return
            self._bar.clear()
        loss, step = (f"{record.loss:8.4f}", f"{record.rate:8.1e}") if record.epoch else (f"{'-':>8}",) * 2
        self._log.line(
            f"{record.epoch:8d} {loss} {energies[0]:8.2f}  {energies[1]:8.2f}"
            f" {forces[0]:8.1f} {forces[1]:8.1f} {record.criterion:9.4f} {step} {duration(seconds):>8}"
            f" {duration(left) if np.isfinite(left) else '-':>8}{' *' if best else ''}"
        )

    def __enter__(self) -> EpochLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class TrialLines:
    """One line for each dropout rate that ``dropout_rate auto`` tries."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self._log, self._units = log, settings.model.units
        log.section("Dropout rate")
        how = "with each rate; the lowest negative log-likelihood of the test set is taken"
        log.line(f"  {trial_epochs(settings)} epochs {how}")

    def show(self, trial: Trial, scale: float) -> Trial:
        """One trial; `scale` of the normalized errors. It is given back."""
        energy, force = trial.errors.rmse[[0, 2]] * scale
        self._log.item(
            f"rate {trial.rate:g}",
            f"NLL {trial.criterion:8.4f}, energies {energy * self._units.mev:.2f} meV/atom, "
            f"forces {force * self._units.mev_per_angstrom:.1f} meV/A",
        )
        return trial

    def chosen(self, trials: Sequence[Trial]) -> float:
        """The best rate."""
        rate = min((trial.criterion, trial.rate) for trial in trials)[1]
        self._log.item("chosen", f"dropout_rate {rate:g}")
        return rate


class RefinementLines:
    """One line for each epoch of ``finetune nll``."""

    def __init__(self, log: Log, training: Training) -> None:
        self._log, self._units = log, training.settings.model.units
        self._scale = training.variables.scale
        log.section("Fine-tuning by the negative log-likelihood")
        log.line("   epoch      NLL  NLL test   energy   forces    (test: meV/atom, meV/A)")

    def show(self, state: State, best: bool) -> None:
        """One epoch; a star marks the best so far."""
        record, units, scale = state.history[-1], self._units, self._scale
        errors = record.test_rmse if np.isfinite(record.test_rmse[0]) else record.train_rmse
        loss = f"{record.loss:8.4f}" if record.epoch else f"{'-':>8}"
        self._log.line(
            f"{record.epoch:8d} {loss} {record.criterion:9.4f} {errors[0] * scale * units.mev:8.2f} "
            f"{errors[2] * scale * units.mev_per_angstrom:8.1f}{' *' * best}"
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
        errors = [
            ("ENERGY", record.train_rmse, record.test_rmse, 0),
            ("FORCES", record.train_rmse, record.test_rmse, 2),
        ]
        if settings.output.print_mad:
            errors += [
                ("MADE", record.train_mae, record.test_mae, 0),
                ("MADF", record.train_mae, record.test_mae, 2),
            ]
        for title, train, test, quantity in errors:
            factor = energy if quantity == 0 else force
            if np.isfinite(train[quantity]):
                log.line(
                    f" {title:<7}{record.epoch:5d} "
                    f"{train[quantity] * factor:13.6f}{test[quantity] * factor:13.6f}"
                )
    if state.best_epoch == 0:
        log.line(" No improvement of the short range fit has been obtained")
        return
    log.line(f" Best short range fit has been obtained in epoch {state.best_epoch:5d}")
    best = next(record for record in state.history if record.epoch == state.best_epoch)
    values = (
        best.train_rmse[0] * energy,
        best.test_rmse[0] * energy,
        best.train_rmse[2] * force,
        best.test_rmse[2] * force,
    )
    log.line(" OPTSHORT " + " ".join(f"{value:13.6f}" for value in values))


def report_errors(log: Log, training: Training, state: State, errors: Mapping[Set, Errors]) -> None:
    """Memory, RuNNer's summary, and the errors of the best epoch."""
    report_memory(log, training)
    report_runner_lines(log, training, state)
    report_best(log, training, state, errors)


def report_best(log: Log, training: Training, state: State, errors: Mapping[Set, Errors]) -> None:
    """Errors of the potential that was written, over all structures and with all masks."""
    units, scale, masks = training.settings.model.units, training.variables.scale, training.masks
    factors = [units.mev * scale, units.mev_per_angstrom * scale, units.gpa * scale]
    names = ["energy (meV/atom)", "forces (meV/A)", "stress (GPa)"]
    log.section(
        f"Errors of the best epoch, {state.best_epoch}"
        + (f", mean over {masks.samples} masks" if masks else "")
    )
    rows = []
    for place, (name, factor) in zip((0, 2, 3), zip(names, factors, strict=True), strict=True):
        numbers = [
            f"{value[place] * factor:.2f}"
            for subset in (Set.TRAIN, Set.TEST)
            for value in (errors[subset].rmse, errors[subset].mae)
        ]
        if errors[Set.TRAIN].sums[4 * place]:
            rows.append((name, *numbers))
    log.table(("quantity", "RMSE train", "MAE train", "RMSE test", "MAE test"), rows)


def report_written(log: Log, potential: Sequence[str], points: Sequence[str], limits: Sequence[str]) -> None:
    """The files that are there now; `limits` say what keeps n2p2 and LAMMPS from using the potential."""
    log.section("Written")
    log.item("the potential", " ".join(["input.nn", *potential]))
    if not limits:
        log.item("to take along", f"{DIRECTORY}/ with an input.nn for n2p2 and LAMMPS too")
    for limit in limits:
        log.warn(limit)
    log.item("to look at", " ".join([LEARNING_CURVE, *points]))
    log.item("to continue", CHECKPOINT)


def report_end(log: Log, unfinished: str, stopped: bool) -> None:
    """What comes next."""
    log.line()
    if unfinished or stopped:
        log.line("  Next: `bnnp --mode 2 --restart` continues with what is left.")
    else:
        log.line("  Next: `bnnp --mode 3` predicts the structures of input.data with this potential.")
    log.close(2, unfinished)
