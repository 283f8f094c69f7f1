"""Adam with decoupled weight decay, and its step size over a training.

With gradient g, step t from 1, step size a_t and decay l (on weights, not on biases)::

    m <- b1 m + (1 - b1) g            v <- b2 v + (1 - b2) g^2
    w <- w - a_t ( m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + l w )

(Kingma and Ba, arXiv 1412.6980, algorithm 1; Loshchilov and Hutter, arXiv 1711.05101, algorithm 2). The step
size rises linearly over T_w steps and falls along half a cosine to a_T at the last step T (Loshchilov and
Hutter, arXiv 1608.03983)::

    a_t = min(1, t / T_w) [ a_T + (a_0 - a_T) (1 + cos(pi t / T)) / 2 ]

symbol -> variable: a_0 -> initial, a_T -> final, T_w -> warmup, T -> total, b1, b2 -> beta1, beta2, l ->
weight_decay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CosineSchedule:
    """Step size a_t: a linear rise, then half a cosine.

    Parameters
    ----------
    initial, final : float
        a_0 and a_T.
    warmup, total : int
        T_w and T, in steps; a warm-up longer than the training is legal.
    """

    initial: float
    final: float
    warmup: int
    total: int

    def rate(self, step: int) -> float:
        """a_t of `step`, counted from 1."""
        cosine = 0.5 * (1.0 + np.cos(np.pi * min(step / max(self.total, 1), 1.0)))
        return float(
            min(1.0, step / max(self.warmup, 1)) * (self.final + (self.initial - self.final) * cosine)
        )


@dataclass(frozen=True, eq=False)
class AdamState:
    """Where the optimizer stands.

    Parameters
    ----------
    weights, mean, square : (n_weights,) float64
        w, m and v.
    steps : int
        Steps done.
    """

    weights: Array
    mean: Array
    square: Array
    steps: int = 0


@dataclass(frozen=True, eq=False)
class Adam:
    """The optimizer: constants and the step size; the state is passed in and out.

    Parameters
    ----------
    schedule : CosineSchedule
    decays : (n_weights,) bool
        Which of the parameters weight decay acts on.
    weight_decay : float
        l.
    clip : float
        Longest gradient, by its Euclidean norm; 0 for no limit.
    factors : (n_weights,) float64, optional
        Of the step size of each weight; 0 freezes it.
    """

    schedule: CosineSchedule
    decays: NDArray[np.bool_]
    weight_decay: float = 0.0
    clip: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    factors: Array | None = None

    def start(self, weights: Array) -> AdamState:
        """State before the first step."""
        return AdamState(np.array(weights), np.zeros_like(weights), np.zeros_like(weights))

    def step(self, state: AdamState, gradient: Array) -> AdamState:
        """State after one step along `gradient`, (n_weights,) float64."""
        t = state.steps + 1
        rate = self.schedule.rate(t)
        gradient = clipped(gradient, self.clip)
        mean = self.beta1 * state.mean + (1.0 - self.beta1) * gradient
        square = self.beta2 * state.square + (1.0 - self.beta2) * gradient * gradient
        direction = mean / (1.0 - self.beta1**t) / (np.sqrt(square / (1.0 - self.beta2**t)) + self.epsilon)
        decay = np.where(self.decays, self.weight_decay * state.weights, 0.0)
        change = rate * (direction + decay)
        if self.factors is not None:
            change = change * self.factors
        return AdamState(state.weights - change, mean, square, t)


def clipped(gradient: Array, longest: float) -> Array:
    """`gradient`, shortened to the norm `longest` if it is longer; 0 means no limit."""
    norm = float(np.linalg.norm(gradient))
    return gradient * (longest / norm) if longest > 0.0 and norm > longest else gradient
