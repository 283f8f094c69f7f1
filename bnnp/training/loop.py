"""The training loop: shuffled batches, one gradient sum over ranks a step, an evaluation every epoch, the
best epoch kept.

Nothing depends on a state that is not in :class:`State`: the order of an epoch and the masks are counted by
(seed, epoch, structure), so a training that is stopped anywhere and continued is the same as one that never
stopped. Each rank works on its share of every batch; the sum of gradients is the same for any number of ranks
up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from bnnp.errors import NumericalError
from bnnp.network.streams import SHUFFLE, stream
from bnnp.training.adam import Adam, AdamState
from bnnp.training.evaluation import Evaluation, Evaluator
from bnnp.training.likelihood import FrozenDropout, Likelihood
from bnnp.training.loss import Errors, Loss
from bnnp.training.model import Dropout, Model
from bnnp.training.samples import Batch, Samples

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Record:
    """One epoch in numbers; errors in normalised units, each (4,): energy per atom, total energy, force,
    stress.

    Parameters
    ----------
    epoch : int
    rate, loss : float
        Step size at its end, and mean loss of its batches (with dropout: of single masks); NaN in epoch 0.
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
        """From what :meth:`row` gave."""
        errors = np.split(np.array(row[4:]), 4)
        return cls(int(row[0]), float(row[1]), float(row[2]), float(row[3]), *errors)


@dataclass(frozen=True, eq=False)
class State:
    """Where the training stands.

    Parameters
    ----------
    optimizer : AdamState
    epoch : int
        Epochs completed.
    batch : int
        Batches done of the epoch under way; 0 unless it was interrupted.
    loss : float
        Sum of the loss over the structures of these batches.
    best_epoch : int
    best_criterion : float
    best_weights : (n_weights,) float64
    history : tuple of Record
        One for every completed epoch, and epoch 0.
    stopped : bool
        Whether the training was asked to end here.
    """

    optimizer: AdamState
    epoch: int
    batch: int
    loss: float
    best_epoch: int
    best_criterion: float
    best_weights: Array
    history: tuple[Record, ...]
    stopped: bool = False


@dataclass(frozen=True, eq=False)
class Ranks:
    """This process among others: the verbs of :mod:`bnnp.parallel` the loop needs."""

    rank: int = 0
    size: int = 1
    sum_array: Callable[[Array], Array] = lambda array: array

    def share(self, items: Sequence[int]) -> Sequence[int]:
        """What this rank does of `items`: as many as the others, and as many as can be of its own."""
        most = -(-len(items) // self.size)
        shares: list[list[int]] = [[] for _ in range(self.size)]
        rest: list[int] = []
        for item in items:
            home = shares[item % self.size]
            (home if len(home) < most else rest).append(item)
        for item in rest:
            min(shares, key=len).append(item)
        return shares[self.rank]

    def at_home(self, item: int) -> bool:
        """Whether this rank is the one that keeps `item` in memory."""
        return item % self.size == self.rank


@dataclass(eq=False)
class Trainer:
    """All that stays the same during a training.

    Parameters
    ----------
    model, loss, optimizer, dropout, samples, ranks
        The parts.
    evaluator : Evaluator
        Monte Carlo mean over all masks, for the test set.
    monitor : Evaluator
        Mean over fewer masks, for the training errors of every epoch.
    training, test : sequence of int
        Positions in the file. Without a test set the best epoch is that of the lowest training errors.
    monitored : sequence of int
        Part of the training set that is evaluated every epoch.
    criterion : callable
        Errors -> what is minimised over the epochs.
    seed, batch_size, epochs : int
    """

    model: Model
    loss: Loss | Likelihood
    optimizer: Adam
    dropout: Dropout | FrozenDropout
    samples: Samples
    evaluator: Evaluator
    monitor: Evaluator
    training: Sequence[int]
    test: Sequence[int]
    monitored: Sequence[int]
    criterion: Callable[[Errors], float]
    seed: int
    batch_size: int
    epochs: int
    ranks: Ranks

    def start(self, weights: Array) -> State:
        """State with the initial weights, evaluated as epoch 0."""
        record = self._evaluate(weights, 0, np.nan, np.nan)
        _demand_finite(record.criterion, "the initial weights")
        return State(self.optimizer.start(weights), 0, 0, 0.0, 0, record.criterion, weights, (record,))

    def run(self, state: State, stop: Callable[[], bool]) -> Iterator[State]:
        """Train, and give the state after each epoch, and where it ends because `stop` became true on some
        rank.

        Raises
        ------
        NumericalError
            The loss or its gradient is not finite any more.
        """
        while state.epoch < self.epochs:
            state = self._epoch(state, stop)
            yield state
            if state.stopped:
                return

    def batches(self, epoch: int) -> list[list[int]]:
        """Positions in the file of every batch of an epoch (from 1), the same on all ranks."""
        order = stream(self.seed, SHUFFLE, epoch).permutation(len(self.training))
        shuffled = [self.training[k] for k in order]
        return [shuffled[k : k + self.batch_size] for k in range(0, len(shuffled), self.batch_size)]

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

    def evaluations(
        self, weights: Array, indices: Sequence[int], evaluator: Evaluator | None = None
    ) -> Iterator[tuple[int, Evaluation]]:
        """Monte Carlo mean of this rank's share of some structures, over all masks by default."""
        evaluator = evaluator or self.evaluator
        networks = evaluator.load(self.model.parameters.unpack(weights))
        mine = self.ranks.share(indices)
        self.samples.announce(mine)
        for index in mine:
            yield index, evaluator(networks, self.samples[index])

    def errors(self, weights: Array, indices: Sequence[int], evaluator: Evaluator | None = None) -> Errors:
        """Errors of the Monte Carlo mean over some structures, on every rank."""
        errors = Errors(thresholds=self.loss.thresholds)
        for _, evaluation in self.evaluations(weights, indices, evaluator):
            evaluation.count(errors)
        self.ranks.sum_array(errors.sums)
        return errors

    def _epoch(self, state: State, stop: Callable[[], bool]) -> State:
        """One epoch, or what is left of it; batches until `stop`."""
        epoch, batches = state.epoch + 1, self.batches(state.epoch + 1)
        self.samples.announce(chain.from_iterable(map(self.ranks.share, batches[state.batch :])))
        for number in range(state.batch, len(batches)):
            batch = batches[number]
            total, slope = self.gradient(state.optimizer.weights, epoch, batch)
            reduced = self.ranks.sum_array(np.concatenate([slope, [total, float(stop())]]))
            _demand_finite(float(reduced[-2]), f"epoch {epoch}")
            _demand_finite(float(np.abs(reduced[:-2]).max()), f"epoch {epoch}", "largest slope")
            optimizer = self.optimizer.step(state.optimizer, reduced[:-2] / len(batch))
            loss, stopped = state.loss + float(reduced[-2]), bool(reduced[-1] > 0.0)
            state = replace(state, optimizer=optimizer, batch=number + 1, loss=loss, stopped=stopped)
            if stopped and number + 1 < len(batches):
                return state
        return self._complete(state, epoch)

    def _complete(self, state: State, epoch: int) -> State:
        """Evaluate a finished epoch and keep its weights if they are the best."""
        weights = state.optimizer.weights
        rate = self.optimizer.schedule.rate(state.optimizer.steps)
        record = self._evaluate(weights, epoch, rate, state.loss / len(self.training))
        _demand_finite(record.criterion, f"epoch {epoch}")
        state = replace(state, epoch=epoch, batch=0, loss=0.0, history=(*state.history, record))
        if record.criterion <= state.best_criterion:
            state = replace(state, best_epoch=epoch, best_criterion=record.criterion, best_weights=weights)
        return state

    def _evaluate(self, weights: Array, epoch: int, rate: float, loss: float) -> Record:
        monitor = self.monitor if self.test else self.evaluator
        train, test = self.errors(weights, self.monitored, monitor), self.errors(weights, self.test)
        criterion = self.criterion(test if self.test else train)
        return Record(epoch, rate, loss, criterion, train.rmse, test.rmse, train.mae, test.mae)


def _demand_finite(value: float, where: str, what: str = "loss") -> None:
    if not np.isfinite(value):
        raise NumericalError(
            f"the {what} is {value} in {where}: the training has diverged, or the data has values that are "
            "not finite. The files of the best epoch before are kept. Lower learning_rate, or set "
            "gradient_clip 1, and train again."
        )
