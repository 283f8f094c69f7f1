"""Step sizes over a training: a linear warm-up, then half a cosine, or reductions whenever progress stops.

Half a cosine from a_0 to a_T over T steps, with T_w steps of warm-up (Loshchilov and Hutter, arXiv
1608.03983, equation 5)::

    a_t = min(1, t / T_w) [ a_T + (a_0 - a_T) (1 + cos(pi t / T)) / 2 ]

Plateau: a_t = min(1, t / T_w) max(a_T, a_0 f^k), where k counts how often the criterion has not reached a new
minimum for `patience` epochs in a row.

symbol -> variable: a_0 -> initial, a_T -> final, T_w -> warmup, T -> total, f -> factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bnnp.messages import count


class Schedule(Protocol):
    """Step sizes."""

    @property
    def initial(self) -> float:
        """Step size after the warm-up."""

    @property
    def final(self) -> float:
        """Smallest step size."""

    @property
    def warmup(self) -> int:
        """Steps of the warm-up."""

    def rate(self, step: int, reductions: int = 0) -> float:
        """Step size of `step`, counted from 1."""

    def reductions(self, criteria: Sequence[float]) -> int:
        """How often the step size has been reduced after epochs with these criteria (epoch 0 included)."""

    def describe(self) -> str:
        """Text for the log."""


@dataclass(frozen=True)
class CosineSchedule:
    """A linear rise, then half a cosine.

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

    def rate(self, step: int, reductions: int = 0) -> float:
        """a_t of `step`, counted from 1."""
        cosine = 0.5 * (1.0 + np.cos(np.pi * min(step / max(self.total, 1), 1.0)))
        return float(
            min(1.0, step / max(self.warmup, 1)) * (self.final + (self.initial - self.final) * cosine)
        )

    def reductions(self, criteria: Sequence[float]) -> int:
        """0: this schedule does not depend on progress."""
        return 0

    def describe(self) -> str:
        """Text for the log."""
        if self.initial == self.final:
            return f"{self.initial:g}, {count(self.warmup, 'step')} of warm-up"
        return (
            f"{self.initial:g} to {self.final:g} along half a cosine, {count(self.warmup, 'step')} of warm-up"
        )


@dataclass(frozen=True)
class PlateauSchedule:
    """A linear rise, then constant steps that are reduced whenever progress stops.

    Parameters
    ----------
    initial, final : float
        a_0 and the smallest step size.
    warmup : int
        T_w, in steps.
    patience : int
        Epochs without a new minimum before a reduction.
    factor : float
        f.
    """

    initial: float
    final: float
    warmup: int
    patience: int
    factor: float = 0.5

    def rate(self, step: int, reductions: int = 0) -> float:
        """a_t of `step`, counted from 1."""
        size = max(self.initial * self.factor**reductions, self.final)
        return min(1.0, step / max(self.warmup, 1)) * size

    def reductions(self, criteria: Sequence[float]) -> int:
        """k, counted from the whole history, so that it need not be in a checkpoint."""
        best, waited, count = np.inf, 0, 0
        for criterion in criteria:
            waited = 0 if criterion < best else waited + 1
            best = min(best, criterion)
            if waited >= self.patience:
                waited, count = 0, count + 1
        return count

    def describe(self) -> str:
        """Text for the log."""
        return (
            f"{self.initial:g}, times {self.factor:g} after {count(self.patience, 'epoch')} without "
            f"progress, at least {self.final:g}; {count(self.warmup, 'step')} of warm-up"
        )
