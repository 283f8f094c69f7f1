"""What mode 2 tells: the data, one line an epoch, RuNNer's summary, and the errors of the best epoch.

Errors are shown in meV/atom and meV/Angstrom whatever the units of the files; RuNNer's ENERGY and FORCES
lines, which other tools read, are in eV/atom and eV/bohr (or hartree, ``fitting_unit``) and come together at
the end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import ase.units
import numpy as np

from bnnp import parallel
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.modes.log import WIDTH, Log, byte_count, duration
from bnnp.modes.training_networks import parameters_of
from bnnp.modes.training_setup import EPOCH_SAMPLES, TrainingSet
from bnnp.modes.training_weights import report_weights
from bnnp.potential.loading import draw_masks
from bnnp.settings import Settings
from bnnp.training.checkpoint import FILE_NAME as CHECKPOINT
from bnnp.training.checkpoint import Checkpoint, Normalized
from bnnp.training.loop import Record, State, Trainer
from bnnp.training.loss import Errors, Loss

HEADING = "   epoch     loss   energy (meV/atom)    forces (meV/A)      test     step     time     left"
COLUMNS = "             train    train      test    train     test      loss     size"


def report_data(
    log: Log, settings: Settings, file: DescriptorFile, data: TrainingSet, normalized: Normalized
) -> None:
    """Sizes of the sets, ranges of the references, and how they are normalised."""
    units, references = settings.units, data.references
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
    offsets = ", ".join(f"{x} {e:.6f}" for x, e in zip(file.elements, normalized.offsets, strict=True))
    log.item("energy offsets", f"{offsets} {units.energy}")
    report_weights(log, settings, file, data.density_widths)
    if not data.test:
        log.warn(
            "the test set is empty: the best epoch is that of the lowest training errors, and a potential "
            "that only learnt its data by heart cannot be told. Raise test_fraction and run mode 1 again."
        )


def report_method(log: Log, settings: Settings, trainer: Trainer) -> None:
    """Networks, loss, optimizer, dropout and memory."""
    shapes = parameters_of(settings)
    log.section("Training")
    for element, architecture in shapes.architectures.items():
        log.item(f"network of {element}", architecture.describe(shapes.n_inputs[element]))
    log.item("weights", len(shapes))
    log.item("trained on", ", ".join(_trained_on(trainer)) or "nothing: all weights are 0")
    for name, text in trainer.optimizer.describe().items():
        log.item(name, text)
    log.item("numbers", f"{settings['precision']} precision on {settings['device']}")
    log.item("epochs", f"{trainer.epochs}, batches of {trainer.batch_size} structures")
    masks = draw_masks(settings)
    if masks is None:
        log.item("dropout", "none")
    else:
        rates = ", ".join(f"{rate:g}" for rate in masks.rates)
        log.item("dropout", f"{rates} of inputs and hidden layers, {masks.samples} frozen masks")
        if masks.samples > EPOCH_SAMPLES and trainer.test:
            few = f"the first {EPOCH_SAMPLES} masks and {len(trainer.monitored)} structures"
            log.item("errors below", f"test: mean over all masks; train: over {few}")
    for warning in _method_warnings(settings, trainer):
        log.warn(warning)
    if trainer.samples.with_forces:
        log.item("derivatives", trainer.samples.derivatives)


def _trained_on(trainer: Trainer) -> list[str]:
    """The terms of the loss."""
    loss, derivatives = trainer.loss, trainer.samples.with_forces
    assert isinstance(loss, Loss)  # that of the training itself
    weights = {
        "energies": loss.energy,
        "forces": loss.force if derivatives else 0.0,
        "stress": loss.stress if derivatives else 0.0,
    }
    return [name for name, weight in weights.items() if weight > 0.0]


def _method_warnings(settings: Settings, trainer: Trainer) -> Iterator[str]:
    """Stress that is not trained although it could be expected, and ranks without work."""
    stress = bool(np.isfinite(trainer.samples.file.stress[list(trainer.training)]).any())
    asked = settings.given("stress_weight") and settings["stress_weight"] > 0.0
    if not settings["use_short_forces"] and settings["stress_weight"] > 0.0 and (asked or stress):
        what = "stress_weight is given" if asked else "the data has stresses"
        yield f"{what}, but the stress is not trained: it needs use_short_forces"
    elif asked and not stress:
        yield "stress_weight is given, but no training structure has a stress"
    ranks, batch = trainer.ranks.size, settings["batch_size"]
    if ranks > batch:
        yield (
            f"{ranks} ranks share batches of {batch} structures, so {ranks - batch} of them are idle: start "
            f"at most {batch} ranks, or raise batch_size"
        )


def report_continuation(log: Log, settings: Settings, former: Checkpoint) -> None:
    """Where ``--restart`` goes on, and that another number of epochs means another schedule."""
    log.item("continued", f"{CHECKPOINT}, after epoch {former.state.epoch}")
    if former.epochs != settings["epochs"]:
        log.line(
            f"  epochs is {settings['epochs']}, but was {former.epochs}: from here on the step size follows"
        )
        log.line("  the schedule of the new length, so this is not the training either would be in one go")


def report_memory(log: Log, trainer: Trainer) -> None:
    """What the data took, and how much of it was streamed from the file."""
    samples = trainer.samples
    log.line()
    log.item(
        "memory of the data", byte_count(samples.nbytes) + (" in each rank" if parallel.size() > 1 else "")
    )
    if samples.n_left_out:
        log.item("streamed", f"{samples.n_left_out} structures beyond memory_limit, read again each time")


class EpochLines:
    """One line an epoch in a batch log, a bar with the same numbers on a terminal."""

    def __init__(self, log: Log, settings: Settings, normalized: Normalized, epochs: int, done: int) -> None:
        self._log, self._units, self._scale = log, settings.units, normalized.scale
        self._epochs, self._done, self._start = epochs, done, time.perf_counter()
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


def report_runner_lines(log: Log, settings: Settings, state: State, normalized: Normalized) -> None:
    """RuNNer's summary of all epochs, which other tools read."""
    units, hartree = settings.units, settings["fitting_unit"] == "Ha"
    energy = units.ev / (ase.units.Hartree if hartree else 1.0) * normalized.scale
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
        if settings["print_mad"]:
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


def report_best(
    log: Log, settings: Settings, state: State, normalized: Normalized, errors: Mapping[str, Errors]
) -> None:
    """Errors of the potential that was written, over all structures and with all masks."""
    units, scale = settings.units, normalized.scale
    factors = [units.mev * scale, units.mev_per_angstrom * scale, units.gpa * scale]
    names = ["energy (meV/atom)", "forces (meV/A)", "stress (GPa)"]
    masks = draw_masks(settings)
    log.section(
        f"Errors of the best epoch, {state.best_epoch}"
        + (f", mean over {masks.samples} masks" if masks else "")
    )
    rows = []
    for place, (name, factor) in zip((0, 2, 3), zip(names, factors, strict=True), strict=True):
        numbers = [
            f"{value[place] * factor:.2f}"
            for subset in ("train", "test")
            for value in (errors[subset].rmse, errors[subset].mae)
        ]
        if errors["train"].sums[4 * place]:
            rows.append((name, *numbers))
    log.table(("quantity", "RMSE train", "MAE train", "RMSE test", "MAE test"), rows)
