"""Stages around a training that look at the spread of its samples: choosing the dropout rate before it, and
fine-tuning by the negative log-likelihood after it.

Both judge by the negative log-likelihood of the test set, over all frozen masks, of energies, forces and
stresses (:mod:`bnnp.training.likelihood`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bnnp import parallel
from bnnp.core import Descriptor
from bnnp.errors import InputError
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.keyword_table.arguments import AUTO
from bnnp.modes.job import Job
from bnnp.modes.log import Log
from bnnp.modes.training_networks import initial_weights
from bnnp.modes.training_setup import TrainingSet, build_trainer, folds_of, normalize
from bnnp.potential.loading import draw_masks
from bnnp.settings import Settings
from bnnp.training.adam import Adam, CosineSchedule
from bnnp.training.checkpoint import Normalized
from bnnp.training.likelihood import FrozenDropout, Likelihood, MemberEvaluator, MemberModel
from bnnp.training.loop import State, Trainer

RATES = (0.01, 0.025, 0.05, 0.1, 0.2)  # that ``dropout_rate auto`` tries
SHARE = 4  # of the epochs, the training of each of them has one in so many
FINAL = 0.01  # step size at the end of fine-tuning, relative to that at its start


def with_chosen_rate(
    job: Job, log: Log, file: DescriptorFile, data: TrainingSet, descriptor: Descriptor, former: Path
) -> Job:
    """`job` with the dropout rate that gives the lowest NLL, if ``dropout_rate auto`` asks.

    A short training with each of :data:`RATES`; a training that is continued has made its choice, which is
    taken from its checkpoint `former`.

    Raises
    ------
    InputError
        There is no test set, or there are no masks to judge by.
    """
    settings = job.settings
    if settings["dropout_rate"] != AUTO:
        return job
    if job.restart:
        known = parallel.on_root(_former_rate, former)
        return with_rate(job, known[0]) if known else job
    if not data.test or settings["mc_samples"] < 2:
        missing = "a test set" if not data.test else "mc_samples of 2 or more"
        raise InputError(
            f"{settings.origins['dropout_rate']}: `dropout_rate auto` chooses by the log-likelihood of the "
            f"test set and needs {missing}; give a rate, such as 0.05, or raise test_fraction and run mode 1 "
            "again"
        )
    epochs = max(1, settings["epochs"] // SHARE)
    log.section("Dropout rate")
    log.line(f"  {epochs} epochs with each rate; the lowest negative log-likelihood of the test set is taken")
    normalized = parallel.on_root(normalize, job, file, data, descriptor)
    samples = build_trainer(job, file, data, normalized, descriptor).samples
    found = []
    for rate in RATES:
        trial = with_rate(job, rate, epochs)
        trainer = replace(build_trainer(trial, file, data, normalized, descriptor), samples=samples)
        start = trainer.start(initial_weights(trial, folds_of(trial.settings, data, normalized)))
        *_, state = start, *trainer.run(start, lambda: False)
        judge = judging(trial, trainer, data, normalized, descriptor)
        errors = judge.errors(state.best_weights, judge.test)
        found.append((judge.criterion(errors), rate))
        energy, force = errors.rmse[[0, 2]] * normalized.scale
        log.item(
            f"rate {rate:g}",
            f"NLL {found[-1][0]:8.4f}, energies {energy * settings.units.mev:.2f} meV/atom, "
            f"forces {force * settings.units.mev_per_angstrom:.1f} meV/A",
        )
    log.item("chosen", f"dropout_rate {min(found)[1]:g}")
    return with_rate(job, min(found)[1])


def with_rate(job: Job, rate: float, epochs: int | None = None) -> Job:
    """`job` with this drop probability of all hidden layers, and another number of epochs."""
    settings = job.settings
    layers = max(len(network.nodes) for network in settings.architecture.values())
    values = {**settings.values, "dropout_rate": (rate,) * layers}
    if epochs is not None:
        values["epochs"] = epochs
    return replace(job, settings=replace(settings, values=values))


def _former_rate(path: Path) -> list[float]:
    """The dropout rates of the training a checkpoint is of; empty if there is no readable one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return list(json.loads(str(archive["identity"]))["dropout_rate"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def judging(
    job: Job, trainer: Trainer, data: TrainingSet, normalized: Normalized, descriptor: Descriptor
) -> Trainer:
    """`trainer` whose errors and criterion are those of the log-likelihood over all frozen masks.

    Raises
    ------
    InputError
        There are no masks, or only one.
    """
    settings = job.settings
    masks = draw_masks(settings)
    if masks is None or masks.samples < 2:
        raise InputError(
            f"{settings.origins['finetune']}: `finetune nll` needs dropout_rate above 0 and mc_samples of 2 "
            "or more: without samples there is no spread to be trained"
        )
    spread = data.references.spread.scaled(normalized.scale)
    weights = loss_weights(settings, data)
    members = (settings.elements, normalized.inputs)
    return replace(
        trainer,
        loss=Likelihood(spread, weights),
        evaluator=MemberEvaluator(*members, masks, descriptor, spread, job.threads),
        monitor=MemberEvaluator(
            *members, masks.take(min(masks.samples, 20)), descriptor, spread, job.threads
        ),
        criterion=lambda errors: errors.penalty(weights),
    )


def loss_weights(settings: Settings, data: TrainingSet) -> tuple[float, float, float]:
    """Weights of energies, forces and stresses that are in effect."""
    derivatives = (settings["force_weight"], settings["stress_weight"]) if data.forces else (0.0, 0.0)
    return (settings["energy_weight"], *derivatives)


def finetune(
    job: Job,
    log: Log,
    trainer: Trainer,
    state: State,
    data: TrainingSet,
    normalized: Normalized,
    descriptor: Descriptor,
    stop: Callable[[], bool],
) -> State:
    """`state` with the best weights of a fine-tuning by the log-likelihood, if ``finetune nll`` asks.

    It begins at the best epoch, is short, and needs no checkpoint: a training that is continued repeats it.
    """
    settings = job.settings
    if settings["finetune"] != "nll":
        return state
    masks = draw_masks(settings)
    refiner = judging(job, trainer, data, normalized, descriptor)
    assert masks is not None  # or there was no judge
    steps = -(-len(trainer.training) // trainer.batch_size) * settings["finetune_epochs"]
    rate, model = settings["finetune_rate"], trainer.model
    refiner = replace(
        refiner,
        model=MemberModel.like(model),
        dropout=FrozenDropout(masks, min(settings["finetune_masks"], masks.samples)),
        optimizer=Adam(CosineSchedule(rate, FINAL * rate, steps // 10, steps), model.parameters.is_weight),
        epochs=settings["finetune_epochs"],
    )
    log.section("Fine-tuning by the negative log-likelihood")
    log.line("   epoch      NLL  NLL test   energy   forces    (test: meV/atom, meV/A)")
    refined = refiner.start(state.best_weights)
    _show(log, settings, normalized, refined, best=True)
    for reached in refiner.run(refined, stop):
        refined = reached
        if refined.batch == 0:
            _show(log, settings, normalized, refined, refined.best_epoch == refined.epoch)
    return replace(state, best_weights=refined.best_weights, stopped=state.stopped or refined.stopped)


def _show(log: Log, settings: Settings, normalized: Normalized, state: State, best: bool) -> None:
    record, units, scale = state.history[-1], settings.units, normalized.scale
    errors = record.test_rmse if np.isfinite(record.test_rmse[0]) else record.train_rmse
    loss = f"{record.loss:8.4f}" if record.epoch else f"{'-':>8}"
    log.line(
        f"{record.epoch:8d} {loss} {record.criterion:9.4f} {errors[0] * scale * units.mev:8.2f} "
        f"{errors[2] * scale * units.mev_per_angstrom:8.1f}{' *' * best}"
    )
