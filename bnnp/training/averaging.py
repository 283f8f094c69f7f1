"""Exponential moving average of the weights, which is evaluated and written in their place.

After step t (from 1), with decay b::

    v <- b_t v + (1 - b_t) w,      b_t = min(b, (1 + t) / (10 + t))

so that the first weights soon lose their influence (B. T. Polyak, A. B. Juditsky, SIAM J. Control Optim. 30,
838 (1992); the growing decay is that of TensorFlow's ExponentialMovingAverage).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.training.optimizer import Optimizer, Problem

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AverageState:
    """State of the optimizer, and the average.

    Parameters
    ----------
    state : object
    average : (n_weights,) float64
        v.
    steps : int
        t.
    """

    state: Any
    average: Array
    steps: int = 0


@dataclass(frozen=True, eq=False)
class Averaged:
    """An optimizer whose weights are averaged.

    Parameters
    ----------
    optimizer : Optimizer
    decay : float
        b, for example 0.999: about the last 1000 steps count.
    """

    optimizer: Optimizer
    decay: float

    @property
    def in_place(self) -> bool:
        """As the optimizer."""
        return self.optimizer.in_place

    @property
    def by_batches(self) -> bool:
        """As the optimizer."""
        return self.optimizer.by_batches

    def start(self, weights: Array) -> AverageState:
        """State before the first step."""
        return AverageState(self.optimizer.start(weights), np.array(weights))

    def begin(self, state: AverageState, criteria: Sequence[float], errors: Array) -> AverageState:
        """State at the start of an epoch."""
        return AverageState(self.optimizer.begin(state.state, criteria, errors), state.average, state.steps)

    def n_steps(self, problem: Problem, epoch: int) -> int:
        """Steps of the optimizer."""
        return self.optimizer.n_steps(problem, epoch)

    def advance(
        self, problem: Problem, state: AverageState, epoch: int, number: int
    ) -> tuple[AverageState, float]:
        """A step of the optimizer, and one of the average."""
        inner, loss = self.optimizer.advance(problem, state.state, epoch, number)
        return self.follow(inner, state), loss

    def follow(self, inner: Any, state: AverageState) -> AverageState:
        """The average of `state` after the optimizer went to `inner`."""
        t = state.steps + 1
        decay = min(self.decay, (1.0 + t) / (10.0 + t))
        change = self.optimizer.evaluated(inner) - state.average  # exactly 0 for frozen weights
        return AverageState(inner, state.average + (1.0 - decay) * change, t)

    def evaluated(self, state: AverageState) -> Array:
        """v."""
        return state.average

    def rate(self, state: AverageState) -> float:
        """Step size of the optimizer."""
        return self.optimizer.rate(state.state)

    def describe(self) -> dict[str, str]:
        """Lines for the log."""
        return {**self.optimizer.describe(), "weights written": f"moving average, decay {self.decay:g}"}

    def arrays(self, state: AverageState) -> dict[str, NDArray[Any]]:
        """Contents of a state, for a checkpoint."""
        own = {"average": state.average, "average_steps": np.asarray(state.steps)}
        return {**self.optimizer.arrays(state.state), **own}

    def state_of(self, arrays: Mapping[str, NDArray[Any]]) -> AverageState:
        """Undo :meth:`arrays`."""
        inner = self.optimizer.state_of(arrays)
        return AverageState(inner, arrays["average"], int(arrays["average_steps"]))
