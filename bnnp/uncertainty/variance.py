r"""A variance as a sum of known terms with factors that are not negative, fitted to errors.

.. math::
    \sigma_i^2 = \sum_k \theta_k x_{ik}, \quad \theta_k \ge 0, \quad
    \min_\theta \sum_i w_i \left[ \ln \sigma_i^2 + e_i^2 / \sigma_i^2 \right]

which is twice the negative log-likelihood of normal errors with mean zero, without constants (D. A. Nix,
A. S. Weigend, Proc. ICNN 1994, vol. 1, p. 55).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLOOR = 1e-8  # added to every variance, in units of the mean square error: keeps the logarithm finite
GROUPS = 1000  # of values with almost the same sigma, which are fitted as one


def fit_variance(terms: Array, squares: Array, weights: Array | None = None) -> Array:
    """The factors theta.

    Parameters
    ----------
    terms : (n, k) float64
        x, not negative; a column of zeros gets the factor 0.
    squares : (n,) float64
        Squared errors, or their means over groups; not all zero.
    weights : (n,) float64, optional
        Weights w; 1 if None.

    Returns
    -------
    (k,) float64
        Each in the unit of `squares` over that of its column.
    """
    from scipy.optimize import minimize

    weights = np.ones(len(squares)) if weights is None else weights
    weights = weights / weights.sum()
    mean_square, mean_terms = weights @ squares, weights @ terms
    theta, present = np.zeros(terms.shape[1]), mean_terms > 0.0
    number = int(present.sum())
    if number == 0:
        return theta
    x, y = terms[:, present] / mean_terms[present], squares / mean_square  # each alone: a factor of about 1

    def loss(theta: Array) -> tuple[float, Array]:
        variance = x @ theta + FLOOR
        ratio = y / variance
        return float(weights @ (np.log(variance) + ratio)), x.T @ (weights * (1.0 - ratio) / variance)

    # The loss is not convex: start from equal factors and near each single term. The lowest loss is kept,
    # whether or not its search has met the tolerance (`success`): no other point is known to be better.
    starts = [np.full(number, 1.0 / number), *np.where(np.eye(number) > 0, 0.9, 0.1 / number)]
    bounds = [(0.0, None)] * number
    found = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in starts]
    theta[present] = min(found, key=lambda each: each.fun).x * mean_square / mean_terms[present]
    return theta


def grouped(sigma: Array, errors: Array, groups: int = GROUPS) -> tuple[Array, Array, Array]:
    """Means over values of about the same sigma, in groups of equal number (to within one).

    Parameters
    ----------
    sigma, errors : (n,) float64, of one unit
    groups : int
        At most so many.

    Returns
    -------
    sigma : (n_groups,) float64
        Root mean square, ascending.
    squares : (n_groups,) float64
        Mean squared error.
    counts : (n_groups,) float64
        Values in each group.
    """
    order = np.argsort(sigma, kind="stable")
    parts = np.array_split(order, min(groups, len(order)))
    rms = np.array([np.sqrt(np.square(sigma[part]).mean()) for part in parts])
    return (
        rms,
        np.array([np.square(errors[part]).mean() for part in parts]),
        np.array([float(len(part)) for part in parts]),
    )
