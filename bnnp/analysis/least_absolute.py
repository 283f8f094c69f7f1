"""Least absolute deviations: a linear fit that a few wrong values do not spoil.

By iteratively reweighted least squares: P. J. Huber, Robust Statistics (1981), chapter 7.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ITERATIONS = 100


def least_absolute(columns: Array, values: Array) -> Array:
    """The factors (n_columns,) that minimize the sum of |values - columns @ factors|.

    Parameters
    ----------
    columns : (n_values, n_columns) float64
        Of the order of 1, as `values`: differences of 1e-6 do not count.
    values : (n_values,) float64
    """
    weights = np.ones(len(values))
    fit: Array = np.zeros(columns.shape[1])
    for _ in range(ITERATIONS):
        weighted = columns * weights[:, None]
        former = fit
        fit = np.asarray(np.linalg.lstsq(columns.T @ weighted, weighted.T @ values, rcond=None)[0])
        weights = 1.0 / np.maximum(np.abs(values - columns @ fit), 1e-6)
        if np.abs(fit - former).max() < 1e-6:
            break
    return fit
