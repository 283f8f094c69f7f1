"""The training loop: the optimizer's steps, an evaluation every epoch, the best epoch kept.

Everything that changes is in :class:`State`: the order of an epoch and the masks are counted by (seed, epoch,
structure), so a training that is stopped anywhere and continued is the same as one that never stopped. Each
rank works on its share of every batch; in every step one sum over the ranks, which is the same for any number
of ranks up to rounding, also carries requests to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bnnp.random import SHUFFLE, stream
from bnnp.training.evaluation import Evaluation, Predictors
from bnnp.training.likelihood import FrozenDropout, Likelihood
from bnnp.training.loss import Errors, Loss
from bnnp.training.model import Dropout, TrainedModel
from bnnp.training.optimizer import Optimizer, demand_finite
from bnnp.training.ranks import Ranks
from bnnp.training.samples import Batch, Samples

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Record:
    """One epoch in numbers; errors in normalized units, each (4,): energy per atom, total energy, force,
    stress.

    Parameters
    ----------
    epoch : int
    rate, loss : float
        Step size at its end, and mean loss of its steps (with dropout: of single masks); NaN in epoch 0.
    criterion : float
        Loss of the Monte Carlo mean on the test set, by which the best epoch is chosen.
    train_rmse, test_rmse, train_mae, test_mae : (4,) float64
    """

    epoch: int
    rate: float
    loss: float
    criterion: float
    train_rmse: Array
    test_rmse: Array
    train_mae: Array
    test_mae: Array

    def row(self) -> Array:
        """All numbers in a line, (20,) float64."""
        head = [self.epoch, self.rate, self.loss, self.criterion]
        return np.concatenate([head, self.train_rmse, self.test_rmse, self.train_mae, self.test_mae])

    @classmethod
    def of_row(cls, row: Array) -> Record:
        """Undo :meth:`row`."""
        errors = np.split(np.array(row[4:]), 4)
        return cls(int(row[0]), float(row[1]), float(row[2]), float(row[3]), *errors)


@dataclass(frozen=True, eq=False)
class State:
    """State of a training after some epochs and steps.

    Parameters
    ----------
    optimizer : object
        State of the optimizer.
    epoch : int
        Epochs completed.
    batch : int
        Steps done of the epoch under way; 0 unless it was interrupted.
    loss : float
        Sum of the loss over the structures of these steps.
    best_epoch : int
    best_criterion : float
    best_weights : (n_weights,) float64
    history : tuple of Record
        One for every completed epoch, and epoch 0.
    stopped : bool
        Whether the training was asked to end here.
    """

    optimizer: Any
    epoch: int
    batch: int
    loss: float
    best_epoch: int
    best_criterion: float
    best_weights: Array
    history: tuple[Record, ...]
    stopped: bool = False

    @property
    def last(self) -> Record:
        """The last completed epoch."""
        return self.history[-1]

    @property
    def improved(self) -> bool:
        """Whether the last completed epoch is the best so far."""
        return self.best_epoch == self.epoch


@dataclass(eq=False)
class Trainer:
    """The training loop and everything that stays the same during it.

    Parameters
    ----------
    model, loss, optimizer, dropout, samples, ranks
    evaluator : Predictors
        Monte Carlo mean over all masks, the same for test and training errors.
    training, test : sequence of int
        Positions in the file. Without a test set the best epoch is that of the lowest training errors.
    monitored : sequence of int
        Part of the training set that is evaluated every epoch.
    criterion : callable
        Errors -> what is minimized over the epochs.
    seed, batch_size, epochs : int
    patience : int
        Epochs without a new best one after which the training ends; 0: no limit.
    rests : tuple of int
        Epochs at which the count begins anew: where another method takes over.
    late : callable
        Whether the time is up on this rank: the epoch under way is then the last, and ends with its step.
    """

    model: TrainedModel
    loss: Loss | Likelihood
    optimizer: Optimizer
    dropout: Dropout | FrozenDropout
    samples: Samples
    evaluator: Predictors
    training: Sequence[int]
    test: Sequence[int]
    monitored: Sequence[int]
    criterion: Callable[[Errors], float]
    seed: int
    batch_size: int
    epochs: int
    ranks: Ranks
    patience: int = 0
    rests: tuple[int, ...] = ()
    late: Callable[[], bool] = field(default_factory=lambda: _never)
    _stop: Callable[[], bool] = field(default_factory=lambda: _never, init=False)
    _stopped: bool = field(default=False, init=False)
    _late: bool = field(default=False, init=False)
    _batches: tuple[int, list[list[int]]] = field(default=(-1, []), init=False)

    def start(self, weights: Array) -> State:
        """State with the initial weights, evaluated as epoch 0."""
        record = self._evaluate(weights, 0, np.nan, np.nan)
        demand_finite(record.criterion, "the initial weights")
        return State(
            optimizer=self.optimizer.start(weights),
            epoch=0,
            batch=0,
            loss=0.0,
            best_epoch=0,
            best_criterion=record.criterion,
            best_weights=weights,
            history=(record,),
        )

    def run(self, state: State, stop: Callable[[], bool]) -> Iterator[State]:
        """Train; yields the state after each epoch, and where `stop` became true on some rank.

        Raises
        ------
        NumericalError
            The loss or its gradient is not finite any more.
        """
        self._stop = stop
        while not self.finished(state):
            state = self._epoch(state)
            yield state
            if state.stopped:
                return

    def finished(self, state: State) -> bool:
        """Whether all epochs are done, none of the last `patience` has been the best, or the time is up."""
        since = max([state.best_epoch, *(rest for rest in self.rests if rest <= state.epoch)])
        return self._late or state.epoch >= self.epochs or 0 < self.patience <= state.epoch - since

    def batches(self, epoch: int) -> list[list[int]]:
        """Positions in the file of every batch of an epoch (from 1), the same on all ranks."""
        if self._batches[0] != epoch:
            order = stream(self.seed, SHUFFLE, epoch).permutation(len(self.training))
            shuffled, size = [self.training[k] for k in order], self.batch_size
            self._batches = (epoch, [shuffled[k : k + size] for k in range(0, len(shuffled), size)])
        return self._batches[1]

    def total(self, values: Array) -> Array:
        """Sum of an array over the ranks; also notes whether any rank was asked to stop, or is late."""
        flags = float(self._stop()), float(self.late())
        summed = self.ranks.sum_array(np.append(values.ravel(), flags))
        self._stopped, self._late = self._stopped or bool(summed[-2]), self._late or bool(summed[-1])
        return summed[:-2].reshape(values.shape)

    def slope(self, weights: Array, epoch: int, structures: Sequence[int]) -> tuple[float, Array]:
        """Summed loss of some structures and its gradient, (n_weights,), over all ranks; both finite."""
        sums, size = np.zeros(len(weights) + 1), self.batch_size * self.ranks.size
        pieces = [structures[first : first + size] for first in range(0, len(structures), size)]
        if len(pieces) > 1:  # too many to be in memory at once
            self._announce(pieces)
        for piece in pieces:
            loss, slope = self.gradient(weights, epoch, piece)
            sums[0] += loss
            sums[1:] += slope
        sums = self.total(sums)
        where = f"epoch {epoch}" if epoch else "a line search"
        demand_finite(float(sums[0]), where)
        demand_finite(float(np.abs(sums[1:]).max()), where, "largest slope")
        return float(sums[0]), sums[1:]

    def gradient(self, weights: Array, epoch: int, batch: Sequence[int]) -> tuple[float, Array]:
        """Summed loss of those structures of `batch` that are this rank's, and its gradient, (n_weights,)."""
        mine = self.ranks.share(batch)
        if not mine:
            return 0.0, np.zeros_like(weights)
        structures = Batch.of([self.samples[index] for index in mine])
        like = structures.energy
        vector = torch.tensor(weights, dtype=like.dtype, device=like.device, requires_grad=True)
        masks = self.dropout.masks(self.model.parameters, epoch, structures.sources, like)
        total = self.loss.sum(structures, *self.model(vector, structures, masks))
        (slope,) = torch.autograd.grad(total, vector)
        return float(total.detach()), slope.cpu().numpy().astype(np.float64)

    def evaluations(self, weights: Array, indices: Sequence[int]) -> Iterator[tuple[int, Evaluation]]:
        """Monte Carlo mean over all masks of this rank's share of some structures."""
        predict = self.evaluator.predictor(self.model.parameters, weights)
        mine = self.ranks.share(indices)
        self.samples.announce(mine)
        for index in mine:
            yield index, predict(self.samples[index])

    def errors(self, weights: Array, indices: Sequence[int]) -> Errors:
        """Errors of the Monte Carlo mean over some structures, on every rank."""
        errors = Errors.none(len(indices), self.loss.thresholds)
        row = {index: k for k, index in enumerate(indices)}
        for index, evaluation in self.evaluations(weights, indices):
            evaluation.count(errors, row[index])
        self.ranks.sum_array(errors.rows)
        return errors

    def _epoch(self, state: State) -> State:
        """One epoch, or the rest of an interrupted one; ends early if asked to stop."""
        epoch = state.epoch + 1
        if state.batch == 0:
            criteria = [record.criterion for record in state.history]
            begun = self.optimizer.begin(state.optimizer, criteria, state.last.train_rmse)
            state = replace(state, optimizer=begun)
        n_steps, self._stopped = self.optimizer.n_steps(self, epoch), False
        if self.optimizer.by_batches:
            self._announce(self.batches(epoch)[state.batch :])
        for number in range(state.batch, n_steps):
            optimizer, loss = self.optimizer.advance(self, state.optimizer, epoch, number)
            state = replace(
                state, optimizer=optimizer, batch=number + 1, loss=state.loss + loss, stopped=self._stopped
            )
            if self._late:
                state = replace(state, loss=state.loss * n_steps / (number + 1))
                break
            if state.stopped and number + 1 < n_steps:
                return state
        return self._complete(state, epoch)

    def _announce(self, batches: Sequence[Sequence[int]]) -> None:
        """Let this rank's structures of `batches` be read ahead, in this order."""
        self.samples.announce(chain.from_iterable(map(self.ranks.share, batches)))

    def _complete(self, state: State, epoch: int) -> State:
        """Evaluate a finished epoch and keep its weights if they are the best."""
        weights = self.optimizer.evaluated(state.optimizer)
        rate = self.optimizer.rate(state.optimizer)
        record = self._evaluate(weights, epoch, rate, state.loss / len(self.training))
        demand_finite(record.criterion, f"epoch {epoch}")
        state = replace(state, epoch=epoch, batch=0, loss=0.0, history=(*state.history, record))
        if record.criterion <= state.best_criterion:
            state = replace(
                state, best_epoch=epoch, best_criterion=record.criterion, best_weights=weights.copy()
            )
        return state

    def _evaluate(self, weights: Array, epoch: int, rate: float, loss: float) -> Record:
        train, test = self.errors(weights, self.monitored), self.errors(weights, self.test)
        criterion = self.criterion(test if self.test else train)
        return Record(epoch, rate, loss, criterion, train.rmse, test.rmse, train.mae, test.mae)


def clock(minutes: float) -> Callable[[], bool]:
    """Whether so many minutes are over, from now on; never for 0."""
    end = monotonic() + 60.0 * minutes if minutes else float("inf")
    return lambda: monotonic() > end


def _never() -> bool:
    return False
