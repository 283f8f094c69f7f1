"""The spread of the samples: the choice of the dropout rate before a training, and fine-tuning after it.

Both judge by the negative log-likelihood of the test set, over all frozen masks, of energies, forces and
stresses (:mod:`bnnp.training.likelihood`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bnnp.errors import InputError
from bnnp.network.masks import Masks
from bnnp.settings.settings import Settings
from bnnp.training.adam import Adam
from bnnp.training.likelihood import FrozenDropout, Likelihood, MemberEvaluator, MemberModel
from bnnp.training.loop import State, Trainer
from bnnp.training.loss import Errors
from bnnp.training.schedule import CosineSchedule
from bnnp.training.training import Training, TrainingSet

RATES = (0.01, 0.025, 0.05, 0.1, 0.2)  # tried by ``dropout_rate auto``
SHARE = 4  # each trial has 1 / SHARE of the epochs
FINAL = 0.01  # step size at the end of fine-tuning, relative to that at its start


@dataclass(frozen=True, eq=False)
class Trial:
    """A short training with one dropout rate.

    Parameters
    ----------
    rate : float
    criterion : float
        Negative log-likelihood of the test set.
    errors : Errors
        Of the test set.
    """

    rate: float
    criterion: float
    errors: Errors


def demand_judge(settings: Settings, data: TrainingSet) -> None:
    """Raise InputError if ``dropout_rate auto`` has no test set or no masks to choose by."""
    if not data.test or settings.dropout.mc_samples < 2:
        missing = "a test set" if not data.test else "mc_samples of 2 or more"
        raise InputError(
            f"{settings.origins['dropout_rate']}: `dropout_rate auto` chooses by the log-likelihood of the "
            f"test set and needs {missing}; give a rate, such as 0.05, or raise test_fraction and run mode 1 "
            "again"
        )


def trial_epochs(training: Training) -> int:
    """Epochs of each trial."""
    return max(1, training.epochs // SHARE)


def with_rate(settings: Settings, rate: float) -> Settings:
    """`settings` with this drop probability of all hidden layers."""
    layers = max(len(network.nodes) for network in settings.model.architecture.values())
    return settings.changed(dropout_rate=(rate,) * layers)


def trials(training: Training) -> Iterator[Trial]:
    """A short training with each of :data:`RATES`, or one for all with ``mc_dropout after``."""
    state: State | None = None
    for rate in RATES:
        settings = with_rate(training.settings, rate)
        trial = replace(training, settings=settings.changed(epochs=trial_epochs(training)))
        trainer = replace(trial.trainer, samples=training.samples)
        if state is None or not settings.dropout.after:
            start = trainer.start(trial.initial_weights())
            *_, state = start, *trainer.run(start, lambda: False)
        judge = judging(trial, trainer, trial.masks_of(trial.networks(state.best_weights)))
        errors = judge.errors(state.best_weights, judge.test)
        yield Trial(rate, judge.criterion(errors), errors)


def former_rate(path: Path) -> float | None:
    """The dropout rate in a checkpoint; None if there is no readable one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return float(json.loads(str(archive["identity"]))["dropout_rate"][0])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def judging(training: Training, trainer: Trainer, masks: Masks | None) -> Trainer:
    """`trainer` with the log-likelihood over all `masks` as its loss and criterion.

    Raises
    ------
    InputError
        There are no masks, or only one.
    """
    descriptor = training.descriptor
    if masks is None or masks.samples < 2:
        raise InputError(
            f"{training.settings.origins['finetune']}: `finetune nll` needs dropout_rate above 0 and "
            "mc_samples of 2 or more: without samples there is no spread to be trained"
        )
    spread, weights = training.spread, training.loss_weights
    return replace(
        trainer,
        loss=Likelihood(spread, weights),
        evaluator=MemberEvaluator(training.variables.inputs, masks, descriptor, spread, descriptor.threads),
        criterion=lambda errors: errors.penalty(weights),
    )


def refiner(training: Training) -> Trainer:
    """The trainer of ``finetune nll``. It begins at the best epoch, is short, and needs no checkpoint: a
    training that is continued repeats it."""
    trainer, masks, keywords = training.trainer, training.masks, training.settings.finetuning
    judge = judging(training, trainer, masks)
    assert masks is not None  # or `judging` had raised an error
    steps = -(-len(trainer.training) // trainer.batch_size) * keywords.finetune_epochs
    rate = keywords.finetune_rate
    schedule = CosineSchedule(rate, FINAL * rate, steps // 10, steps)
    return replace(
        judge,
        model=MemberModel.like(trainer.model),
        dropout=FrozenDropout(masks, min(keywords.finetune_masks, masks.samples)),
        optimizer=Adam(schedule, trainer.model.parameters.is_weight),
        epochs=keywords.finetune_epochs,
    )
