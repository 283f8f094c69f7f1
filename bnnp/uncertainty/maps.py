r"""From a raw standard deviation to a calibrated one, by a function that never falls.

.. math::
    \text{quadratic:} \quad \sigma_c^2 = s_0^2 + a \sigma^2 + b \sigma^4, \quad a, b \ge 0

fitted by maximum likelihood (:mod:`bnnp.uncertainty.variance`), and isotonic: the monotone steps closest to
the squared errors, by pooling adjacent violators (M. Ayer et al., Ann. Math. Stat. 26, 641 (1955)), with
straight lines between their middles. Beyond the largest sigma of the fit both go on in proportion,
sigma_c(sigma) = sigma_c(largest) sigma / largest: what is farther away is never more certain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from bnnp.uncertainty.variance import fit_variance, grouped

Array = NDArray[np.float64]

STEPS = 50  # of the isotonic map at most
STEP_VALUES = 20  # errors a step needs: their root mean square is known to 16 %
FLOOR = 1e-3  # smallest calibrated sigma, in units of the root mean square error


class SigmaMap(Protocol):
    """A monotone map; numbers in, numbers out, of one unit."""

    kind: ClassVar[str]

    def __call__(self, sigma: Array) -> Array: ...

    @property
    def numbers(self) -> tuple[float, ...]:
        """Its parameters, in the order of the file."""
        ...

    def scaled(self, factor: float) -> SigmaMap:
        """The map times a factor."""
        ...


@dataclass(frozen=True)
class Quadratic:
    """sqrt(s_0^2 + a sigma^2 + b sigma^4).

    Parameters
    ----------
    s_0 : float, unit of sigma
    a, b : float
        Not negative; b in 1/unit^2.
    largest : float
        Where the proportional part begins.
    """

    kind: ClassVar[str] = "quadratic"
    s_0: float
    a: float
    b: float
    largest: float

    def __call__(self, sigma: Array) -> Array:
        square = np.square(np.minimum(sigma, self.largest))
        known = np.sqrt(self.s_0**2 + self.a * square + self.b * square**2)
        return known * np.maximum(sigma / self.largest, 1.0)

    @property
    def numbers(self) -> tuple[float, ...]:
        """s_0, a, b, largest."""
        return self.s_0, self.a, self.b, self.largest

    def scaled(self, factor: float) -> Quadratic:
        """The map times a factor."""
        return Quadratic(self.s_0 * factor, self.a * factor**2, self.b * factor**2, self.largest)

    @classmethod
    def of(cls, numbers: tuple[float, ...]) -> Quadratic:
        """From :attr:`numbers`. Raises ValueError if they make no map."""
        s_0, a, b, largest = numbers
        if not (min(s_0, a, b) >= 0.0 and s_0 + a + b > 0.0 and 0.0 < largest < np.inf):
            raise ValueError("expected s_0, a, b >= 0, not all 0, and largest > 0")
        return cls(s_0, a, b, largest)

    @classmethod
    def fit(cls, sigma: Array, errors: Array) -> Quadratic:
        """The most likely map for `errors`, (n,), not all zero, of raw `sigma`, (n,), not all zero."""
        raw, squares, counts = grouped(sigma, errors)
        terms = np.stack([np.ones_like(raw), raw**2, raw**4], axis=1)
        theta = fit_variance(terms, squares, counts)
        s_0 = max(float(np.sqrt(theta[0])), FLOOR * float(np.sqrt(counts @ squares / counts.sum())))
        return cls(s_0, float(theta[1]), float(theta[2]), float(np.max(sigma)))


@dataclass(frozen=True, eq=False)
class Isotonic:
    """Straight lines between knots; constant below the first.

    Parameters
    ----------
    raw, calibrated : (n,) float64
        Knots, `raw` ascending and `calibrated` not falling, both positive.
    """

    kind: ClassVar[str] = "isotonic"
    raw: Array
    calibrated: Array

    def __call__(self, sigma: Array) -> Array:
        found: Array = np.interp(sigma, self.raw, self.calibrated) * np.maximum(sigma / self.raw[-1], 1.0)
        return found

    @property
    def numbers(self) -> tuple[float, ...]:
        """Knot by knot."""
        return tuple(np.stack([self.raw, self.calibrated], axis=1).ravel().tolist())

    def scaled(self, factor: float) -> Isotonic:
        """The map times a factor."""
        return Isotonic(self.raw, self.calibrated * factor)

    @classmethod
    def of(cls, numbers: tuple[float, ...]) -> Isotonic:
        """From :attr:`numbers`. Raises ValueError if they make no map."""
        raw, calibrated = np.array(numbers).reshape(-1, 2).T
        rising = np.all(np.diff(raw) > 0.0) and np.all(np.diff(calibrated) >= 0.0)
        if not (len(raw) and rising and raw[0] >= 0.0 < raw[-1] and calibrated[0] > 0.0):
            raise ValueError("expected pairs of a rising raw and a calibrated sigma that does not fall")
        return cls(raw, calibrated)

    @classmethod
    def fit(cls, sigma: Array, errors: Array) -> Isotonic:
        """The map of `errors`, (n,), not all zero, of raw `sigma`, (n,), not all zero."""
        steps = max(1, min(STEPS, len(sigma) // STEP_VALUES))
        raw, squares, counts = grouped(sigma, errors, steps)
        variance, first = pool_adjacent_violators(squares, counts)
        middles = np.array([np.sqrt(np.average(r**2, weights=c)) for r, c in _split((raw, counts), first)])
        floor = FLOOR * float(np.sqrt(counts @ squares / counts.sum()))
        keep = np.flatnonzero(np.diff(middles, append=np.inf) > 0.0)  # equal sigmas: the last, largest step
        return cls(middles[keep], np.maximum(np.sqrt(variance), floor)[keep])


MAPS: dict[str, Callable[[tuple[float, ...]], SigmaMap]] = {
    Quadratic.kind: Quadratic.of,
    Isotonic.kind: Isotonic.of,
}
FITS: dict[str, Callable[[Array, Array], SigmaMap]] = {
    Quadratic.kind: Quadratic.fit,
    Isotonic.kind: Isotonic.fit,
}


def pool_adjacent_violators(values: Array, counts: Array) -> tuple[Array, NDArray[np.int64]]:
    """The closest steps that never fall, in weighted squares.

    Returns
    -------
    levels : (n_steps,) float64
        Strictly rising.
    first : (n_steps,) int64
        Index into `values` at which each step begins.
    """
    levels: list[float] = []
    weights: list[float] = []
    first: list[int] = []
    for position, (value, count) in enumerate(zip(values.tolist(), counts.tolist(), strict=True)):
        start = position
        while levels and levels[-1] >= value:
            weight = weights.pop()
            value = (value * count + levels.pop() * weight) / (count + weight)
            count += weight
            start = first.pop()
        levels.append(value)
        weights.append(count)
        first.append(start)
    return np.array(levels), np.array(first)


def _split(columns: tuple[Array, Array], first: NDArray[np.int64]) -> list[tuple[Array, Array]]:
    """Both columns cut where steps begin."""
    one, two = (np.split(column, first[1:]) for column in columns)
    return list(zip(one, two, strict=True))
