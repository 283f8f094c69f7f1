"""The interface between optimizers and the training loop, and an optimizer for the last epochs.

An epoch is a number of steps; after each of them the training can stop, be written to a checkpoint and be
continued without a difference. So a step depends only on the optimizer's state, the epoch and the number of
the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import NumericalError
from bnnp.training.evaluation import Evaluation

Array = NDArray[np.float64]
S = TypeVar("S")


class Problem(Protocol):
    """What an optimizer may ask of the training; :class:`bnnp.training.loop.Trainer` is one."""

    @property
    def training(self) -> Sequence[int]:
        """Positions of the training structures in the file."""

    def batches(self, epoch: int) -> list[list[int]]:
        """The training set in random order, in batches, the same on all ranks."""

    def slope(self, weights: Array, epoch: int, structures: Sequence[int]) -> tuple[float, Array]:
        """Summed loss of some structures and its gradient, (n_weights,), over all ranks; both finite."""

    def total(self, values: Array) -> Array:
        """Sum of an array over the ranks, in place."""

    def evaluations(self, weights: Array, indices: Sequence[int]) -> Iterator[tuple[int, Evaluation]]:
        """Predictions of this rank's share of some structures."""


class Optimizer(Protocol):
    """A method of training; the state is passed in and out."""

    @property
    def in_place(self) -> bool:
        """Whether a step changes its state in place, so that earlier states are lost."""

    @property
    def by_batches(self) -> bool:
        """Whether an epoch goes through the batches once, in their order."""

    def start(self, weights: Array) -> Any:
        """State before the first step."""

    def begin(self, state: Any, criteria: Sequence[float], errors: Array) -> Any:
        """State at the start of an epoch.

        Parameters
        ----------
        criteria : sequence of float
            What is minimized, on the test set, of every epoch so far, epoch 0 included.
        errors : (4,) float64
            Last root mean square errors of the training set, normalized: energy per atom, total energy,
            force, stress.
        """

    def n_steps(self, problem: Problem, epoch: int) -> int:
        """Steps of an epoch (from 1)."""

    def advance(self, problem: Problem, state: Any, epoch: int, number: int) -> tuple[Any, float]:
        """State after step `number` (from 0) of `epoch`, and the loss before it, summed over structures so
        that an epoch adds up to all of them."""

    def evaluated(self, state: Any) -> Array:
        """The weights that are evaluated and written, (n_weights,) float64."""

    def rate(self, state: Any) -> float:
        """Size of the last step, for the log."""

    def describe(self) -> Mapping[str, str]:
        """Lines for the log."""

    def arrays(self, state: Any) -> dict[str, NDArray[Any]]:
        """Contents of a state, for a checkpoint; called by all ranks."""

    def state_of(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """Undo :meth:`arrays`."""


def arrays_of(state: Any) -> dict[str, NDArray[Any]]:
    """Fields of a dataclass of arrays and numbers."""
    return {field.name: np.asarray(getattr(state, field.name)) for field in fields(state)}


def state_from(kind: type[S], arrays: Mapping[str, NDArray[Any]]) -> S:
    """Undo :func:`arrays_of`: a dataclass with numbers where the arrays have no axes."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: arrays[name] if arrays[name].ndim else arrays[name].item() for name in names})


@dataclass(frozen=True)
class PolishState:
    """State of the optimizer at work.

    Parameters
    ----------
    number : int
        0 for the first optimizer, 1 for the last.
    state : object
    """

    number: int
    state: Any


@dataclass(frozen=True)
class Polished:
    """One optimizer for most of the training, another one for the last epochs: Adam, then L-BFGS.

    Parameters
    ----------
    first, last : Optimizer
    switch : int
        Epochs with the first.
    """

    first: Optimizer
    last: Optimizer
    switch: int

    @property
    def in_place(self) -> bool:
        """Whether either optimizer changes its state in place."""
        return self.first.in_place or self.last.in_place

    @property
    def by_batches(self) -> bool:
        """As the first optimizer."""
        return self.first.by_batches

    def start(self, weights: Array) -> PolishState:
        """The first method's state, or the last one's if all epochs are its own."""
        number = 0 if self.switch else 1
        return PolishState(number, (self.first, self.last)[number].start(weights))

    def begin(self, state: PolishState, criteria: Sequence[float], errors: Array) -> PolishState:
        """Change to the last method after `switch` epochs, or back if the training was prolonged; either
        starts from the weights that are evaluated."""
        number = int(len(criteria) > self.switch)
        if number != state.number:
            state = PolishState(number, (self.first, self.last)[number].start(self.evaluated(state)))
        seen = criteria[self.switch :] if state.number else criteria
        return PolishState(state.number, self._of(state).begin(state.state, seen, errors))

    def n_steps(self, problem: Problem, epoch: int) -> int:
        """Steps of the method whose epoch it is."""
        return (self.last if epoch > self.switch else self.first).n_steps(problem, epoch)

    def advance(
        self, problem: Problem, state: PolishState, epoch: int, number: int
    ) -> tuple[PolishState, float]:
        """A step of the method at work."""
        inner, loss = self._of(state).advance(problem, state.state, epoch, number)
        return PolishState(state.number, inner), loss

    def evaluated(self, state: PolishState) -> Array:
        """Weights of the method at work."""
        return self._of(state).evaluated(state.state)

    def rate(self, state: PolishState) -> float:
        """Step size of the method at work."""
        return self._of(state).rate(state.state)

    def describe(self) -> dict[str, str]:
        """Lines for the log, of both methods."""
        last = {f"then {name}": text for name, text in self.last.describe().items()}
        return {**self.first.describe(), **last, "change": f"after epoch {self.switch}"}

    def arrays(self, state: PolishState) -> dict[str, NDArray[Any]]:
        """The number of the method and its state."""
        return {**self._of(state).arrays(state.state), "stage": np.asarray(state.number)}

    def state_of(self, arrays: Mapping[str, NDArray[Any]]) -> PolishState:
        """Undo :meth:`arrays`."""
        number = int(arrays["stage"])
        return PolishState(number, (self.first, self.last)[number].state_of(arrays))

    def _of(self, state: PolishState) -> Optimizer:
        return (self.first, self.last)[state.number]


def demand_finite(value: float, where: str, what: str = "loss") -> None:
    """Raise NumericalError if `value` is not finite."""
    if not np.isfinite(value):
        raise NumericalError(
            f"the {what} is {value} in {where}: the training has diverged, or the data has values that are "
            "not finite. The files of the best epoch before are kept. Lower learning_rate, or set "
            "gradient_clip 1, and train again."
        )
