"""Ranges, means, deviations and correlations of symmetry functions, one pass over any number of atoms.

Two sets of n_a and n_b rows are merged exactly (Chan, Golub and LeVeque, Am. Stat. 37, 242 (1983), eq. 2.1)::

    delta = mean_b - mean_a
    mean  = mean_a + delta n_b / (n_a + n_b)
    M     = M_a + M_b + delta^2 n_a n_b / (n_a + n_b)          M = sum (G - mean)^2
    P     = P_a + P_b + delta delta^T n_a n_b / (n_a + n_b)    P = sum (G - mean) (G - mean)^T

No square of a large mean is ever subtracted, so functions that hardly vary keep their digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.scaling import Scaling

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Statistics of `count` rows of symmetry functions.

    Parameters
    ----------
    count : int
    minimum, maximum, mean, squares : (n_functions,) float64
        `squares` is sum (G - mean)^2.
    """

    count: int
    minimum: Array
    maximum: Array
    mean: Array
    squares: Array

    @classmethod
    def nothing(cls, n_functions: int) -> Moments:
        """Statistics of no rows, the neutral element of :meth:`merge`."""
        zero, infinite = np.zeros(n_functions), np.full(n_functions, np.inf)
        return cls(0, infinite, -infinite, zero, zero)

    @classmethod
    def of(cls, values: Array) -> Moments:
        """Statistics of `values`, (n_atoms, n_functions) float64."""
        if len(values) == 0:
            return cls.nothing(values.shape[1])
        mean = values.mean(axis=0)
        return cls(
            len(values), values.min(axis=0), values.max(axis=0), mean, np.square(values - mean).sum(axis=0)
        )

    def merge(self, other: Moments) -> Moments:
        """Statistics of the rows of both."""
        count = self.count + other.count
        if count == 0:
            return self
        delta = other.mean - self.mean
        return Moments(
            count,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            self.mean + delta * (other.count / count),
            self.squares + other.squares + delta**2 * (self.count * other.count / count),
        )

    @property
    def sigma(self) -> Array:
        """Standard deviation with n - 1 in the denominator, (n_functions,)."""
        return np.asarray(np.sqrt(self.squares / max(self.count - 1, 1)))

    def scaling(self) -> Scaling:
        """The statistics that scale network inputs. Raises ValueError without rows."""
        if self.count == 0:
            raise ValueError("no atoms to take statistics of")
        return Scaling(self.minimum, self.maximum, self.mean, self.sigma)


@dataclass(frozen=True, eq=False)
class Comoments:
    """Covariation of `count` rows of symmetry functions.

    Parameters
    ----------
    count : int
    mean : (n_functions,) float64
    products : (n_functions, n_functions) float64
        sum (G - mean) (G - mean)^T.
    """

    count: int
    mean: Array
    products: Array

    @classmethod
    def nothing(cls, n_functions: int) -> Comoments:
        """Statistics of no rows, the neutral element of :meth:`merge`."""
        return cls(0, np.zeros(n_functions), np.zeros((n_functions, n_functions)))

    @classmethod
    def of(cls, values: Array) -> Comoments:
        """Statistics of `values`, (n_atoms, n_functions) float64."""
        if len(values) == 0:
            return cls.nothing(values.shape[1])
        mean = values.mean(axis=0)
        difference = values - mean
        return cls(len(values), mean, difference.T @ difference)

    def merge(self, other: Comoments) -> Comoments:
        """Statistics of the rows of both."""
        count = self.count + other.count
        if count == 0:
            return self
        mean = self.mean + (other.mean - self.mean) * (other.count / count)
        return Comoments(count, mean, self.about(mean) + other.about(mean))

    def about(self, origin: Array) -> Array:
        """sum (G - origin) (G - origin)^T, (n_functions, n_functions)."""
        shift = self.mean - origin
        return np.asarray(self.products + self.count * np.multiply.outer(shift, shift))

    def correlation(self) -> Array:
        """Pearson's coefficients, (n_functions, n_functions) from -1 to 1; 0 for constant functions."""
        sigma = np.sqrt(np.diag(self.products))
        inverse = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=sigma > 0.0)
        return np.asarray(np.clip(inverse[:, None] * self.products * inverse, -1.0, 1.0))
