"""Mode 2: train the element networks on symmetry_functions.h5 and write the potential of the best epoch.

The steps: compute the statistics of the training set, normalize it, train with a checkpoint every few epochs,
and write the potential, the learning curve, and predictions with their references. The best epoch is that
with the lowest loss on the test set of what mode 3 predicts: the plain networks, or with dropout in training
the Monte Carlo mean over the frozen masks.
"""

from __future__ import annotations

from dataclasses import replace

from bnnp import parallel
from bnnp.descriptors.compiled import Descriptor
from bnnp.errors import NumericalError
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.log import Log
from bnnp.messages import count
from bnnp.modes.calibrate.run import calibrate_after_training
from bnnp.modes.train.charges import trained_charges
from bnnp.modes.train.ensemble import members, write_ensemble
from bnnp.modes.train.output import Output
from bnnp.modes.train.report import (
    EpochLines,
    RefinementLines,
    judge,
    report_data,
    report_division,
    report_end,
    report_errors,
    report_learnt_charges,
    report_method,
    report_removed,
    report_start,
    report_trials,
    report_written,
)
from bnnp.modes.verdict import Verdict
from bnnp.potential.files import DIRECTORY
from bnnp.run import Run
from bnnp.settings.arguments import AUTO
from bnnp.training import CHECKPOINT
from bnnp.training.checkpoint import conditions, read_checkpoint
from bnnp.training.interruption import Interruption
from bnnp.training.joint_training import JointTraining
from bnnp.training.loop import State
from bnnp.training.refinement import demand_judge, former_rate, refiner, trials, with_rate
from bnnp.training.training import Training, TrainingSet, divided, training_set, with_fitted_energies
from bnnp.training.transfer import read_transfer


def train(run: Run) -> None:
    """Do mode 2 in the working directory; every rank calls this.

    Raises
    ------
    InputError, StaleFileError, NumericalError, OutputError
        Ends the run on all ranks; the files of the best epoch so far and the last checkpoint are kept.
    SignalStop
        A signal came; the checkpoint is written.
    """
    log, settings, stop = Log(runner=run.as_runner), run.settings, Interruption()
    descriptor = settings.model.descriptor(run.threads)
    log.header(settings, descriptor.kernel, run.threads)
    share = parallel.rank(), parallel.size()
    with DescriptorFile.open(run.directory / FILE_NAME, settings.model, share=share) as file:
        parallel.on_root(file.demand_same_data, run.data)
        run = replace(run, settings=parallel.on_root(with_fitted_energies, settings, file))
        report_division(log, settings, file)
        charged, verdict = settings.model.electrostatics is not None, None
        joint = charged and settings.charges.train_charges == "joint"
        if not charged:
            data = parallel.on_root(training_set, run.settings, file, run.directory)
            run = with_chosen_rate(run, file, descriptor, data, log)
        for member in members(run):
            if member.directory != run.directory:
                log.section(f"Ensemble: {member.directory.name}")
            if charged and not joint:
                charges, unfinished = trained_charges(member, file, log, stop)
                if charges is None:
                    break
                data = parallel.on_root(training_set, member.settings, file, member.directory, charges)
                data = replace(data, charges=charges)
            training = prepare_member(member, file, descriptor, None if joint else data, log)
            unfinished, verdict = train_member(training, log, stop)
            if unfinished:
                break
        else:
            finish_ensemble(run, file, log)
            if not calibrate_after_training(run, log, file) and verdict is not None:
                verdict = verdict.uncalibrated()
    if verdict is not None:
        verdict.report(log)
    report_end(log, unfinished, verdict is None or verdict.calibrated)
    stop.end(bool(unfinished))


def with_chosen_rate(
    run: Run, file: DescriptorFile, descriptor: Descriptor, data: TrainingSet, log: Log
) -> Run:
    """With ``dropout_rate auto`` `run` with the rate of the lowest negative log-likelihood, or with that of
    the checkpoint if a training is continued."""
    if run.settings.dropout.dropout_rate != AUTO:
        return run
    if run.restart:
        rate = parallel.on_root(former_rate, run.directory / CHECKPOINT)
    else:
        demand_judge(run.settings, data)
        training = Training.prepare(run.settings, file, run.directory, descriptor, data)
        rate = report_trials(log, training, trials(training))
    return run if rate is None else replace(run, settings=with_rate(run.settings, rate))


def prepare_member(
    run: Run, file: DescriptorFile, descriptor: Descriptor, data: TrainingSet | None, log: Log
) -> Training:
    """The training of one member, ready to start or to be continued; without `data` one of charges, too."""
    settings, model = run.settings, None if data is None or data.charges is None else data.charges.model
    known, path = conditions(run.settings, file, model), run.directory / CHECKPOINT
    begun = run.restart and (model is None or parallel.on_root(path.is_file))  # or stopped in stage 1
    former = parallel.on_root(read_checkpoint, path, known) if begun else None
    training: Training
    if data is None:
        training = JointTraining.begin(settings, file, run.directory, descriptor, former)
    else:
        if settings.ensemble.ensemble_bootstrap:
            data = data.resampled(settings.general.random_seed)
        training = Training.prepare(settings, file, run.directory, descriptor, data, former)
    report_data(log, training)
    if settings.transfer.transfer_from:
        training = replace(training, transfer=parallel.on_root(read_transfer, settings, run.directory))
    report_method(log, training)
    return training


def train_member(training: Training, log: Log, stop: Interruption) -> tuple[str, Verdict]:
    """Train the networks of one potential.

    Returns
    -------
    str
        Why it is not finished, after a signal; else empty.
    Verdict
    """
    output = Output(training)
    state = fit(training, output, log, stop)
    if state.stopped:
        log.line(f"  Stopped by a signal, {CHECKPOINT} is written: `bnnp --mode 2 --restart` continues.")
    else:
        state = refine(training, state, log, stop)
    verdict = finish(training, output, state, log)
    outcome = f"stopped by a signal, {state.epoch} of {count(training.trainer.epochs, 'epoch')} done"
    return outcome * state.stopped, verdict


def fit(training: Training, output: Output, log: Log, stop: Interruption) -> State:
    """Train to the last epoch, or until a signal comes; returns the state reached."""
    report_start(log, training)
    state = training.start()
    if training.former is None:
        output.save_checkpoint(state)  # so that a training that is killed in its first epoch can be continued
        report_removed(log, output.remove_former())
    curve = output.learning_curve(state.history)
    log.line()
    with EpochLines(log, training, state.epoch) as lines, stop:
        lines.show(state)
        try:
            for reached in training.run(state, stop):
                state = reached
                if state.stopped and state.batch:
                    break  # within an epoch: nothing to show yet
                lines.show(state)
                curve.add(state.epoch, output.errors(state.last))
                output.write_epoch(state)
        except NumericalError:
            output.save(state, checkpoint=not training.trainer.optimizer.in_place)
            raise
        except KeyboardInterrupt:
            if (output.directory / CHECKPOINT).is_file():
                log.line(f"  Interrupted: `bnnp --mode 2 --restart` continues from the last {CHECKPOINT}.")
            raise
    output.save(state)
    return state


def refine(training: Training, state: State, log: Log, stop: Interruption) -> State:
    """With ``finetune nll`` `state` with the best weights of a fine-tuning by the log-likelihood."""
    if training.settings.finetuning.finetune != "nll":
        return state
    trainer = refiner(training)
    lines = RefinementLines(log, training)
    refined = trainer.start(state.best_weights)
    lines.show(refined)
    with stop:
        for reached in trainer.run(refined, stop):
            refined = reached
            if refined.batch == 0:
                lines.show(refined)
    return replace(state, best_weights=refined.best_weights, stopped=state.stopped or refined.stopped)


def finish(training: Training, output: Output, state: State, log: Log) -> Verdict:
    """Report the errors of the best epoch with all masks, and write its potential and predictions."""
    points, errors = output.points(state.best_weights)
    names = parallel.on_root(output.write_points, points, state.best_epoch)
    report_removed(log, output.remove_former(state))
    report_errors(log, training, state, errors)
    if isinstance(training, JointTraining):
        report_learnt_charges(log, training, state.best_weights)
    files = training.files(state.best_weights)
    limits = parallel.on_root(output.write_trained, files)
    report_written(log, files.names(), names, limits)
    return judge(training, state, errors)


def finish_ensemble(run: Run, file: DescriptorFile, log: Log) -> None:
    """Write potential/ with all members of an ensemble."""
    count = run.settings.ensemble.ensemble_size
    if count == 1:
        return
    parallel.on_root(write_ensemble, run, file, divided(file)[0])
    log.section("Ensemble")
    log.item("members", f"{count}: this directory and member_02 to member_{count:02d}, all in {DIRECTORY}/")
    log.warn("n2p2 uses the first member only, pair_style bnnp none; mode 3 and ASE use all")
