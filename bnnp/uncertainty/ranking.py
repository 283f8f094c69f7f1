"""Does a larger sigma mean a larger error?

Spearman's rank correlation of sigma with |e| cannot reach 1, because an error is a random number even if its
sigma is right: :func:`spearman_ceiling` is its value for errors drawn from these sigmas (P. Pernot,
arXiv:2402.10043). The confidence (sparsification) curve is the RMSE of the remaining values when the
share with the largest sigma is removed; the oracle removes the largest errors. The area between the two, both
in units of the RMSE of all, is AUSE (E. Ilg et al., ECCV 2018, section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bnnp.uncertainty.scores import standardized

Array = NDArray[np.float64]

REPEATS = 20  # simulations of the ceiling
PAIRS = 100_000  # that are kept of a stream
FEWEST = 10  # pairs of which a correlation says something
POINTS = 100


def spearman(sigma: Array, errors: Array) -> float:
    """Rank correlation of `sigma` with the size of `errors`, both (n,); NaN if one of them is constant."""
    first, second = ranks(sigma), ranks(np.abs(errors))
    first, second = first - first.mean(), second - second.mean()
    norm = np.sqrt(np.square(first).sum() * np.square(second).sum())
    return float(first @ second / norm) if norm > 0.0 else np.nan


def spearman_ceiling(sigma: Array, generator: np.random.Generator, repeats: int = REPEATS) -> float:
    """Mean of :func:`spearman` for normal errors with exactly these `sigma`."""
    found = [spearman(sigma, generator.normal(0.0, sigma)) for _ in range(repeats)]
    return float(np.mean(found))


@dataclass
class RankedPairs:
    """Errors and standard deviations of a stream, thinned evenly to at most `most`, to be ranked at its end.

    Parameters
    ----------
    most : int
        Pairs that are kept.
    """

    most: int = PAIRS
    _kept: list[Array] = field(default_factory=list)
    _step: int = 1  # every `_step`-th pair of the stream is kept
    _seen: int = 0
    _count: int = 0

    def add(self, pairs: Array) -> None:
        """Add (2, n) errors and standard deviations."""
        self._kept.append(pairs[:, -self._seen % self._step :: self._step])
        self._count += self._kept[-1].shape[1]
        self._seen += pairs.shape[1]
        while self._count > self.most:
            self._kept = [np.concatenate(self._kept, axis=1)[:, ::2]]
            self._step, self._count = 2 * self._step, self._kept[0].shape[1]

    def correlation(self, generator: np.random.Generator) -> tuple[float, float]:
        """:func:`spearman` and :func:`spearman_ceiling`; NaN of fewer than :data:`FEWEST` pairs."""
        if self._count < FEWEST:
            return np.nan, np.nan
        errors, sigma = np.concatenate(self._kept, axis=1)
        return spearman(sigma, errors), spearman_ceiling(sigma, generator)


def ranks(values: Array) -> Array:
    """Ranks from 0; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: Array = last - 0.5 * (counts + 1.0)
    return middle[inverse]


@dataclass(frozen=True, eq=False)
class ConfidenceCurve:
    """RMSE of the remaining values, in units of that of all.

    Parameters
    ----------
    removed : (n_points,) float64
        Share of the values removed, from 0 to below 1.
    error : (n_points,) float64
        RMSE if they are removed in the order of falling sigma.
    oracle : (n_points,) float64
        RMSE if they are removed in the order of falling errors.
    """

    removed: Array
    error: Array
    oracle: Array

    @property
    def ause(self) -> float:
        """Area between the two curves; 0 is the best."""
        return float(np.trapezoid(self.error - self.oracle, self.removed))


def confidence_curve(errors: Array, sigma: Array, points: int = POINTS) -> ConfidenceCurve:
    """Remove 0, 1/points, 2/points, ... of the values (rounded down, at least one remains).

    Parameters
    ----------
    errors, sigma : (n,) float64, one unit
    """
    standardized(errors, sigma)
    count = len(errors)
    removed = np.unique(np.arange(points) * count // points)
    left = count - removed
    squares = np.square(errors)
    whole = np.sqrt(squares.mean())
    by_sigma = np.cumsum(squares[np.argsort(sigma, kind="stable")])[left - 1]
    by_error = np.cumsum(np.sort(squares))[left - 1]
    scale = whole if whole > 0.0 else 1.0
    return ConfidenceCurve(
        removed / count, np.sqrt(by_sigma / left) / scale, np.sqrt(by_error / left) / scale
    )


def ause(errors: Array, sigma: Array, points: int = POINTS) -> float:
    """Area under the sparsification error; 0 is the best."""
    return confidence_curve(errors, sigma, points).ause
