r"""Is sigma right at every size of sigma, and do intervals contain the share of errors they should?

Reliability: values in bins of equal number, in the order of sigma; in each the root mean variance (RMV)
should be the root mean square error (RMSE), and the expected normalized calibration error is

.. math:: \mathrm{ENCE} = \frac{1}{B} \sum_b \frac{|\mathrm{RMV}_b - \mathrm{RMSE}_b|}{\mathrm{RMV}_b}

(D. Levi et al., Sensors 22, 5540 (2022), eq. 8). Calibration curve: the share of errors within the central
normal interval of probability p, for all p; the miscalibration area is that between this curve and the
diagonal (K. Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020), section 2.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bnnp.uncertainty.scores import standardized

Array = NDArray[np.float64]

BINS = 10
LEVELS = 100


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predicted and found sizes of the errors, in bins of rising sigma.

    Parameters
    ----------
    sigma : (n_bins,) float64
        Root mean variance.
    error : (n_bins,) float64
        Root mean square error.
    count : (n_bins,) int64
    """

    sigma: Array
    error: Array
    count: NDArray[np.int64]

    @property
    def ence(self) -> float:
        """Expected normalized calibration error; 0 is right."""
        return float((np.abs(self.sigma - self.error) / self.sigma).mean())


def reliability(errors: Array, sigma: Array, bins: int = BINS) -> Reliability:
    """Sizes in `bins` bins of equal number (one a value if there are fewer values).

    Parameters
    ----------
    errors, sigma : (n,) float64, one unit
    """
    standardized(errors, sigma)
    order = np.argsort(sigma, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    found, predicted = (
        np.array([np.sqrt(np.square(values[part]).mean()) for part in parts]) for values in (errors, sigma)
    )
    return Reliability(predicted, found, np.array([len(part) for part in parts]))


def ence(errors: Array, sigma: Array, bins: int = BINS) -> float:
    """Expected normalized calibration error over `bins` bins; 0 is right."""
    return reliability(errors, sigma, bins).ence


def coverage(errors: Array, sigma: Array, level: float) -> float:
    """Share of the errors within the central normal interval of probability `level`, 0 < level < 1."""
    return float(np.mean(np.abs(standardized(errors, sigma)) <= half_width(level)))


def half_width(level: float) -> float:
    """Half the width of the central interval of probability `level` in standard deviations."""
    return NormalDist().inv_cdf(0.5 + 0.5 * level)


def calibration_curve(errors: Array, sigma: Array, levels: int = LEVELS) -> tuple[Array, Array]:
    """Expected and observed share of errors within central intervals.

    Returns
    -------
    expected, observed : (levels,) float64
        `expected` goes from 0 to 1 in equal steps.
    """
    sizes = np.sort(np.abs(standardized(errors, sigma)))
    expected = np.linspace(0.0, 1.0, levels)
    widths = [half_width(level) for level in expected[:-1]] + [np.inf]  # level 1: everything
    return expected, np.searchsorted(sizes, widths, side="right") / len(sizes)


def miscalibration_area(errors: Array, sigma: Array, levels: int = LEVELS) -> float:
    """Area between the calibration curve and the diagonal; 0 is right, 0.5 the worst."""
    expected, observed = calibration_curve(errors, sigma, levels)
    gap = observed - expected
    first, second = gap[:-1], gap[1:]
    total = np.abs(first) + np.abs(second)
    crossing = first * second < 0.0  # two triangles instead of a trapezium
    squares = np.square(first) + np.square(second)
    area = np.where(crossing, np.divide(squares, total, out=np.zeros_like(total), where=total > 0.0), total)
    return float(0.5 * (area * np.diff(expected)).sum())
