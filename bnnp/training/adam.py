"""Adam with decoupled weight decay, and plain gradient descent.

With gradient g, step t from 1, step size a_t and decay l (on weights, not on biases)::

    m <- b1 m + (1 - b1) g            v <- b2 v + (1 - b2) g^2
    w <- w - a_t ( m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + l w )

(Kingma and Ba, arXiv 1412.6980, algorithm 1; Loshchilov and Hutter, arXiv 1711.05101, algorithm 2). A
gradient longer than `clip` is shortened to that length before. :class:`Descent` is w <- w - a_t g.

symbol -> variable: b1, b2 -> beta1, beta2, l -> weight_decay; a_t: :mod:`bnnp.training.schedule`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.training.optimizer import Problem, arrays_of, state_from
from bnnp.training.schedule import Schedule

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AdamState:
    """State of the optimizer after some steps.

    Parameters
    ----------
    weights, mean, square : (n_weights,) float64
        w, m and v.
    steps : int
        Steps done.
    reductions : int
        How often the schedule has reduced the step size.
    """

    weights: Array
    mean: Array
    square: Array
    steps: int = 0
    reductions: int = 0


@dataclass(frozen=True, eq=False)
class Adam:
    """The optimizer: constants and the step size; the state is passed in and out.

    Parameters
    ----------
    schedule : Schedule
    decays : (n_weights,) bool
        Which of the parameters weight decay acts on.
    weight_decay : float
        l.
    clip : float
        Longest gradient, by its Euclidean norm; 0 for no limit.
    factors : (n_weights,) float64, optional
        Of the step size of each weight; 0 freezes it.
    """

    schedule: Schedule
    decays: NDArray[np.bool_]
    weight_decay: float = 0.0
    clip: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    factors: Array | None = None

    in_place = False
    by_batches = True

    def start(self, weights: Array) -> AdamState:
        """State before the first step."""
        return AdamState(np.array(weights), np.zeros_like(weights), np.zeros_like(weights))

    def begin(self, state: AdamState, criteria: Sequence[float], errors: Array) -> AdamState:
        """State at the start of an epoch."""
        return replace(state, reductions=self.schedule.reductions(criteria))

    def n_steps(self, problem: Problem, epoch: int) -> int:
        """One step for each batch."""
        return len(problem.batches(epoch))

    def advance(self, problem: Problem, state: AdamState, epoch: int, number: int) -> tuple[AdamState, float]:
        """State after a batch, and its summed loss."""
        batch = problem.batches(epoch)[number]
        loss, slope = problem.slope(state.weights, epoch, batch)
        return self.step(state, slope / len(batch)), loss

    def step(self, state: AdamState, gradient: Array) -> AdamState:
        """State after one step along `gradient`, (n_weights,) float64."""
        t = state.steps + 1
        rate = self.schedule.rate(t, state.reductions)
        gradient = clipped(gradient, self.clip)
        mean = self.beta1 * state.mean + (1.0 - self.beta1) * gradient
        square = self.beta2 * state.square + (1.0 - self.beta2) * gradient * gradient
        direction = mean / (1.0 - self.beta1**t) / (np.sqrt(square / (1.0 - self.beta2**t)) + self.epsilon)
        decay = np.where(self.decays, self.weight_decay * state.weights, 0.0)
        change = rate * (direction + decay)
        if self.factors is not None:
            change = change * self.factors
        return AdamState(state.weights - change, mean, square, t, state.reductions)

    def evaluated(self, state: AdamState) -> Array:
        """w."""
        return state.weights

    def rate(self, state: AdamState) -> float:
        """Step size of the last step."""
        return self.schedule.rate(state.steps, state.reductions)

    def describe(self) -> dict[str, str]:
        """Lines for the log."""
        lines = {"optimizer": "Adam", "step size": self.schedule.describe()}
        if self.weight_decay > 0.0:
            lines["weight decay"] = f"{self.weight_decay:g}"
        if self.clip > 0.0:
            lines["longest gradient"] = f"{self.clip:g}"
        return lines

    def arrays(self, state: AdamState) -> dict[str, NDArray[Any]]:
        """Fields of a state, for a checkpoint."""
        return arrays_of(state)

    def state_of(self, arrays: Mapping[str, NDArray[Any]]) -> AdamState:
        """Undo :meth:`arrays`."""
        return state_from(AdamState, arrays)


@dataclass(frozen=True, eq=False)
class Descent(Adam):
    """Gradient descent with Adam's schedule and clipping; the moments stay zero."""

    def step(self, state: AdamState, gradient: Array) -> AdamState:
        """State after one step along `gradient`, (n_weights,) float64."""
        change = self.schedule.rate(state.steps + 1, state.reductions) * clipped(gradient, self.clip)
        if self.factors is not None:
            change = change * self.factors
        return replace(state, weights=state.weights - change, steps=state.steps + 1)

    def describe(self) -> dict[str, str]:
        """Lines for the log."""
        return {**super().describe(), "optimizer": "gradient descent"}


def clipped(gradient: Array, longest: float) -> Array:
    """`gradient`, shortened to the norm `longest` if it is longer; 0 means no limit."""
    norm = float(np.linalg.norm(gradient))
    return gradient * (longest / norm) if longest > 0.0 and norm > longest else gradient
