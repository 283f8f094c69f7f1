r"""A variance as a sum of known terms with factors that are not negative, fitted to errors.

.. math::
    \sigma_i^2 = \sum_k \theta_k x_{ik}, \quad \theta_k \ge 0, \quad
    \min_\theta \sum_i w_i \left[ \ln \sigma_i^2 + e_i^2 / \sigma_i^2 \right]

which is twice the negative log-likelihood of normal errors with mean zero, without constants.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]

SMALLEST = 1e-8  # variance that is added, in units of the mean square error: keeps the logarithm finite
GROUPS = 1000  # of values with almost the same sigma, which are fitted as one


def fit_variance(shapes: Array, squares: Array, counts: Array | None = None) -> Array:
    """The factors theta.

    Parameters
    ----------
    shapes : (n, k) float64
        x, not negative; a column of zeros gets the factor 0.
    squares : (n,) float64
        Squared errors, or their means over groups; not all zero.
    counts : (n,) float64, optional
        Weights w, 1 without.

    Returns
    -------
    (k,) float64
    """
    weights = np.ones(len(squares)) if counts is None else counts
    weights = weights / weights.sum()
    size, scale = weights @ squares, weights @ shapes
    known = scale > 0.0
    x, y = shapes[:, known] / scale[known], squares / size  # every column alone would have the factor 1
    number = int(known.sum())

    def loss(theta: Array) -> tuple[float, Array]:
        variance = x @ theta + SMALLEST
        ratio = y / variance
        return float(weights @ (np.log(variance) + ratio)), x.T @ (weights * (1.0 - ratio) / variance)

    starts = [np.full(number, 1.0 / number), *np.where(np.eye(number) > 0, 0.9, 0.1 / number)]
    bounds = [(0.0, None)] * number
    found = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in starts]
    theta = np.zeros(shapes.shape[1])
    theta[known] = min(found, key=lambda each: each.fun).x * size / scale[known]
    return theta


def grouped(sigma: Array, errors: Array, groups: int = GROUPS) -> tuple[Array, Array, Array]:
    """Means over values of about the same sigma, in groups of equal number.

    Returns
    -------
    sigma : (n_groups,) float64
        Root mean square, ascending.
    squares : (n_groups,) float64
        Mean squared error.
    counts : (n_groups,) float64
    """
    order = np.argsort(sigma, kind="stable")
    parts = np.array_split(order, min(groups, len(order)))
    rms = np.array([np.sqrt(np.square(sigma[part]).mean()) for part in parts])
    return (
        rms,
        np.array([np.square(errors[part]).mean() for part in parts]),
        np.array([float(len(part)) for part in parts]),
    )
