"""Stage 1 of mode 2 for a potential with charges: electronegativity networks and hardnesses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.errors import NumericalError
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.learning_curve import CHARGES as LEARNING_CURVE
from bnnp.io.learning_curve import ChargeCurve
from bnnp.log import Log
from bnnp.messages import count
from bnnp.modes.train.report import ChargeLines, report_charge_method, report_charges, report_continuation
from bnnp.potential.files import write_charge_model
from bnnp.run import Run
from bnnp.training import CHECKPOINT as SECOND
from bnnp.training.charge_training import ChargeTraining
from bnnp.training.charges import TrainedCharges
from bnnp.training.checkpoint import CHARGES as CHECKPOINT
from bnnp.training.checkpoint import Checkpoint, conditions, read_checkpoint, write_checkpoint
from bnnp.training.interruption import Interruption
from bnnp.training.loop import Record, State


def trained_charges(
    run: Run, file: DescriptorFile, log: Log, stop: Interruption
) -> tuple[TrainedCharges | None, str]:
    """Do stage 1, or what is left of it; returns the charges, or None and why it is not finished.

    Raises
    ------
    InputError, StaleFileError, NumericalError, OutputError
        The files of the best epoch so far and the last checkpoint are kept.
    """
    known = conditions(run.settings, file)
    former = parallel.on_root(read_checkpoint, run.directory / CHECKPOINT, known) if run.restart else None
    training = ChargeTraining.prepare(run.settings, file, run.directory, run.threads, former)
    report_charge_method(log, training)
    if former is not None:
        report_continuation(log, training.epochs, former, CHECKPOINT)
    elif parallel.is_root():
        (run.directory / SECOND).unlink(missing_ok=True)  # of another stage 1
    state = _fit(training, log, stop)
    if state.stopped:
        log.line(f"  Stopped by a signal, {CHECKPOINT} is written: `bnnp --mode 2 --restart` continues.")
        return (
            None,
            f"stopped by a signal, {state.epoch} of {count(training.epochs, 'epoch')} of stage 1 done",
        )
    report_charges(log, training, state)
    model = training.charge_model(state.best_weights)
    charges = TrainedCharges(file, run.settings.model, model, training.scalings, run.threads)
    return charges, ""


def _fit(training: ChargeTraining, log: Log, stop: Interruption) -> State:
    """Train to the last epoch, or until a signal comes; returns the state reached."""
    state, interval = training.start(), training.settings.output.checkpoint_interval
    curve = ChargeCurve(
        training.directory / LEARNING_CURVE,
        training.settings.model.units,
        f"Training errors over {len(training.trainer.monitored)} of "
        f"{count(len(training.training), 'structure')}, "
        f"test errors over {len(training.test)}.",
        enabled=parallel.is_root(),
    )
    curve.start([(record.epoch, _errors(record)) for record in state.history])
    if training.former is None:
        _save(training, state)
    with ChargeLines(log, training, state.epoch) as lines, stop:
        lines.show(state)
        try:
            for reached in training.run(state, stop):
                state = reached
                if state.stopped and state.batch:
                    break
                lines.show(state)
                curve.add(state.epoch, _errors(state.last))
                if state.epoch % interval == 0:
                    _save(training, state)
        except NumericalError:
            _save(training, state, checkpoint=not training.trainer.optimizer.in_place)
            raise
    _save(training, state)
    return state


def _save(training: ChargeTraining, state: State, checkpoint: bool = True) -> None:
    """The networks and hardnesses of the best epoch so far, and a checkpoint."""
    parallel.on_root(write_charge_model, training.directory, training.charge_model(state.best_weights))
    if not checkpoint:
        return
    state = replace(state, optimizer=training.trainer.optimizer.arrays(state.optimizer))
    content = Checkpoint(state, training.variables, training.epochs)
    known = conditions(training.settings, training.file)
    parallel.on_root(write_checkpoint, training.directory / CHECKPOINT, content, known)


def _errors(record: Record) -> NDArray[np.float64]:
    """The four columns of the learning curve, e."""
    rmse, mae = (record.train_rmse[2], record.test_rmse[2]), (record.train_mae[2], record.test_mae[2])
    return np.array([*rmse, *mae])
