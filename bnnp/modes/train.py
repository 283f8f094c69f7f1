"""Mode 2: train the element networks on symmetry_functions.h5 and write the potential of the best epoch.

The steps: look at the training set, normalise it, train with a checkpoint every few epochs, and leave the
potential, the learning curve, and predictions beside references. Which epoch is best is decided by the Monte
Carlo mean over the frozen dropout masks on the test set, which is what mode 3 will predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bnnp import parallel
from bnnp.core import Descriptor
from bnnp.errors import NumericalError
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.io.learning_curve import FILE_NAME as LEARNING_CURVE
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.io.uncertainty_data import UncertaintyData, write_uncertainty
from bnnp.modes.calibrate.run import calibrate_after_training
from bnnp.modes.calibration_set import INSIDE, OUTSIDE, calibration_warnings, calibration_words
from bnnp.modes.ensemble_members import members, resampled
from bnnp.modes.job import Job
from bnnp.modes.log import Log
from bnnp.modes.training_identity import identity
from bnnp.modes.training_networks import initial_weights
from bnnp.modes.training_output import Files
from bnnp.modes.training_refinement import finetune, with_chosen_rate
from bnnp.modes.training_report import (
    EpochLines,
    report_best,
    report_continuation,
    report_data,
    report_memory,
    report_method,
    report_runner_lines,
)
from bnnp.modes.training_setup import (
    TrainingSet,
    build_trainer,
    folds_of,
    normalize,
    training_set,
)
from bnnp.modes.training_statistics import with_statistics
from bnnp.modes.training_transfer import factors_of, read_transfer, report_transfer, transferred_weights
from bnnp.modes.training_weights import with_fitted_energies
from bnnp.network.masks import Masks
from bnnp.potential.files import DIRECTORY, PotentialFiles, read_members, write_directory
from bnnp.settings import Settings
from bnnp.training.checkpoint import FILE_NAME as CHECKPOINT
from bnnp.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from bnnp.training.interruption import Interruption
from bnnp.training.loop import State, Trainer


def run(job: Job) -> None:
    """Do mode 2 in the working directory; every rank calls this.

    Raises
    ------
    InputError, StaleFileError, NumericalError, OutputError
        Ends the run on all ranks; the files of the best epoch so far and the last checkpoint are kept.
    """
    log, directory = Log(), job.directory
    settings = job.settings
    descriptor = Descriptor(settings.elements, settings.functions, settings.cutoff, threads=job.threads)
    log.header(settings, descriptor.kernel, job.threads)
    outcome, stopped = "", False
    with DescriptorFile.open(directory / FILE_NAME, settings) as file:
        parallel.on_root(file.demand_same_data, job.data)
        job = parallel.on_root(with_fitted_energies, job, file)
        words = settings["random_seed"], settings["test_fraction"], calibration_words(settings)
        if warning := file.division_warning(*words):
            log.warn(warning)
        kept = np.bincount(file.subset, minlength=OUTSIDE + 1)
        for warning in calibration_warnings(settings, kept[INSIDE], kept[OUTSIDE]):
            log.warn(warning)
        data = parallel.on_root(training_set, job, file)
        job = with_chosen_rate(job, log, file, data, descriptor, directory / CHECKPOINT)
        for member in members(job):
            if member.directory != directory:
                log.section(f"Ensemble: {member.directory.name}")
            outcome, stopped = train(member, log, file, resampled(data, member.settings), descriptor)
            if outcome or stopped:
                break
        else:
            finish_ensemble(job, log, file, data)
            calibrate_after_training(job, log, file)
    log.line()
    if outcome or stopped:
        log.line("  Next: `bnnp --mode 2 --restart` continues with what is left.")
    else:
        log.line("  Next: `bnnp --mode 3` predicts the structures of input.data with this potential.")
    log.close(2, outcome)


def train(
    job: Job, log: Log, file: DescriptorFile, data: TrainingSet, descriptor: Descriptor
) -> tuple[str, bool]:
    """Train the networks of one potential.

    Returns
    -------
    str
        What is to be told if it did not come to its end.
    bool
        Whether a signal came, even if nothing was left to be done.
    """
    settings = job.settings
    continued = read_former(job, file)
    normalized = (
        continued.normalized if continued else parallel.on_root(normalize, job, file, data, descriptor)
    )
    report_data(log, settings, file, data, normalized)

    transfer = parallel.on_root(read_transfer, job) if settings["transfer_from"] else None
    factors = factors_of(settings, transfer.names) if transfer else None
    trainer = build_trainer(job, file, data, normalized, descriptor, factors)
    report_method(log, settings, trainer)
    if continued:
        report_continuation(log, settings, continued)
    folds = folds_of(settings, data, normalized)
    files = Files(job.directory, settings, data, normalized, folds)

    if continued:
        state = resumed(trainer, continued)
    elif transfer:
        report_transfer(log, settings, transfer)
        state = trainer.start(transferred_weights(transfer, trainer, folds, settings))
    else:
        state = trainer.start(initial_weights(job, folds))
    state = fit(job, log, trainer, state, files)
    unfinished = state.stopped and not trainer.finished(state)
    if unfinished:
        log.line(f"  Stopped by a signal, {CHECKPOINT} is written: `bnnp --mode 2 --restart` continues.")
    else:
        with Interruption() as stop:
            state = finetune(job, log, trainer, state, data, normalized, descriptor, stop)
    finish(job, log, trainer, state, files, file, data)
    outcome = f"stopped by a signal, {state.epoch} of {trainer.epochs} epochs are done" * unfinished
    return outcome, state.stopped


def finish_ensemble(job: Job, log: Log, file: DescriptorFile, data: TrainingSet) -> None:
    """potential/ with all members."""
    count = job.settings["ensemble_size"]
    if count == 1:
        return
    parallel.on_root(write_ensemble, job, file, data.training)
    log.section("Ensemble")
    log.item("members", f"{count}: this directory and member_02 to member_{count:02d}, all in {DIRECTORY}/")
    log.warn("n2p2 uses the first member only, pair_style bnnp none; mode 3 and ASE use all")


def write_ensemble(job: Job, file: DescriptorFile, training: Sequence[int]) -> None:
    """All members into potential/; plain ones with an uncertainty.data to hold statistics and calibration."""
    settings = job.settings
    first, *others = read_members(job.directory, settings, samples=1)
    if first.uncertainty is None:
        sizes = {element: network.sizes for element, network in first.networks.items()}
        masks = Masks.draw(settings["random_seed"], 1, (0.0,) * max(map(len, sizes.values())), sizes)
        plain = replace(first, uncertainty=UncertaintyData.of(masks, first.networks))
        first = with_statistics(plain, file, training)
        assert first.uncertainty is not None
        write_uncertainty(job.directory / UNCERTAINTY, first.uncertainty, first.line)
    write_directory(job.directory / DIRECTORY, [first, *others])


def write_trained(
    directory: Path, potential: PotentialFiles, file: DescriptorFile, training: Sequence[int]
) -> list[str]:
    """The potential with statistics of its training atoms, here and in potential/; what keeps others from
    using it."""
    potential = with_statistics(potential, file, training)
    potential.write(directory, optweights=True)
    return write_directory(directory / DIRECTORY, [potential])


def read_former(job: Job, file: DescriptorFile) -> Checkpoint | None:
    """The checkpoint of ``--restart``."""
    if not job.restart:
        return None
    return parallel.on_root(read_checkpoint, job.directory / CHECKPOINT, identity(job.settings, file))


def fit(job: Job, log: Log, trainer: Trainer, state: State, files: Files) -> State:
    """Train to the last epoch, or until a signal comes; the state there."""
    settings, unpack = job.settings, trainer.model.parameters.unpack
    curve = files.learning_curve(state.history)
    log.line()
    with (
        EpochLines(log, settings, files.normalized, trainer.epochs, state.epoch) as lines,
        Interruption() as stop,
    ):
        lines.show(state.history[-1], state.best_epoch == state.epoch)
        try:
            for reached in trainer.run(state, stop):
                state = reached
                if state.stopped and state.batch:
                    break  # in the middle of an epoch: nothing to show yet
                record = state.history[-1]
                lines.show(record, state.best_epoch == record.epoch)
                curve.add(record.epoch, files.errors(record))
                files.write_epoch(unpack(trainer.optimizer.evaluated(state.optimizer)), record.epoch)
                write_due_points(settings, trainer, state, files)
                if record.epoch % settings["checkpoint_interval"] == 0:
                    save(job, trainer, state, files)
        except NumericalError:
            save(job, trainer, state, files, checkpoint=not trainer.optimizer.in_place)
            raise
        except KeyboardInterrupt:
            if (job.directory / CHECKPOINT).is_file():
                log.line(f"  Interrupted: `bnnp --mode 2 --restart` continues from the last {CHECKPOINT}.")
            raise
    save(job, trainer, state, files)
    return state


def write_due_points(settings: Settings, trainer: Trainer, state: State, files: Files) -> None:
    """Predictions beside references of this epoch, if ``write_trainpoints``, ``write_trainforces`` ask."""
    energies, forces = (
        settings[name].due(state.epoch) for name in ("write_trainpoints", "write_trainforces")
    )
    if energies or forces:
        points, _ = files.points(trainer, trainer.optimizer.evaluated(state.optimizer))
        parallel.on_root(files.write_points, points, state.epoch, energies, forces)


def save(job: Job, trainer: Trainer, state: State, files: Files, checkpoint: bool = True) -> None:
    """The potential of the best epoch so far, and a checkpoint."""
    files.write_potential(trainer.model.parameters.unpack(state.best_weights))
    if not checkpoint:
        return
    known = identity(job.settings, trainer.samples.file)
    arrays = trainer.optimizer.arrays(state.optimizer)
    content = Checkpoint(replace(state, optimizer=arrays), files.normalized, trainer.epochs)
    parallel.on_root(write_checkpoint, job.directory / CHECKPOINT, content, known)


def resumed(trainer: Trainer, former: Checkpoint) -> State:
    """The state of a checkpoint, its optimizer put together again."""
    return replace(former.state, optimizer=trainer.optimizer.state_of(former.state.optimizer))


def finish(
    job: Job,
    log: Log,
    trainer: Trainer,
    state: State,
    files: Files,
    file: DescriptorFile,
    data: TrainingSet,
) -> None:
    """Errors of the best epoch with all masks, its predictions, and what was written."""
    settings = job.settings
    points, errors = files.points(trainer, state.best_weights)
    names = parallel.on_root(files.write_points, points, state.best_epoch)
    report_memory(log, trainer)
    report_runner_lines(log, settings, state, files.normalized)
    report_best(log, settings, state, files.normalized, errors)
    potential = files.potential(trainer.model.parameters.unpack(state.best_weights))
    limits = parallel.on_root(write_trained, job.directory, potential, file, data.training)
    log.section("Written")
    log.item("the potential", " ".join(["input.nn", *potential.names()]))
    if not limits:
        log.item("to take along", f"{DIRECTORY}/ with an input.nn for n2p2 and LAMMPS too")
    for limit in limits:
        log.warn(limit)
    log.item("to look at", " ".join([LEARNING_CURVE, *names]))
    log.item("to continue", CHECKPOINT)
    if state.stopped and not trainer.finished(state):
        log.line()
        log.line("  The potential is that of the best epoch so far.")
