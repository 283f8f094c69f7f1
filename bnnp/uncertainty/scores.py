r"""How well standard deviations describe errors, in one number.

With errors e_i = predicted - reference, their standard deviations sigma_i and z_i = e_i / sigma_i, means over
i, and the density phi and the distribution function Phi of the standard normal distribution:

.. math::
    \mathrm{ZMS} = \langle z^2 \rangle, \quad
    \mathrm{NLL} = \langle \tfrac{1}{2} \ln(2 \pi \sigma^2) + \tfrac{1}{2} z^2 \rangle, \quad
    \mathrm{CRPS} = \langle \sigma \,[\, z (2 \Phi(z) - 1) + 2 \varphi(z) - \pi^{-1/2} \,] \rangle

ZMS is 1 if sigma has the right size on average (P. Pernot, arXiv:2402.10043); NLL and CRPS are proper scores,
lower is better (T. Gneiting, A. E. Raftery, J. Am. Stat. Assoc. 102, 359 (2007), eq. 21). The sharpness is
the root mean square of sigma; of two calibrated ones the smaller is better.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import NumericalError
from bnnp.messages import count

Array = NDArray[np.float64]

_ERF = np.vectorize(math.erf, otypes=[np.float64])


def standardized(errors: Array, sigma: Array) -> Array:
    """z = e / sigma.

    Parameters
    ----------
    errors, sigma : (n,) float64, one unit

    Raises
    ------
    NumericalError
        No values, lengths that differ, a value that is not finite, or a sigma that is not positive.
    """
    errors, sigma = np.asarray(errors, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
    if errors.ndim != 1 or errors.shape != sigma.shape or len(errors) == 0:
        raise NumericalError(
            f"errors and standard deviations have the shapes {errors.shape} and {sigma.shape}, expected (n,) "
            "twice with n > 0"
        )
    if bad := int(np.count_nonzero(~np.isfinite(errors))):
        raise NumericalError(f"{bad} of {count(len(errors), 'error')} not finite")
    if bad := int(np.count_nonzero(~(np.isfinite(sigma) & (sigma > 0.0)))):
        raise NumericalError(f"{bad} of {len(sigma)} standard deviations are not positive and finite")
    return errors / sigma


def zms(errors: Array, sigma: Array) -> float:
    """Mean squared z-score; 1 is right, more is overconfident."""
    return float(np.square(standardized(errors, sigma)).mean())


def nll(errors: Array, sigma: Array) -> float:
    """Mean negative logarithm of the normal density; depends on the unit."""
    z = standardized(errors, sigma)
    return float((np.log(sigma) + 0.5 * np.square(z)).mean() + 0.5 * math.log(2.0 * math.pi))


def crps(errors: Array, sigma: Array) -> float:
    """Mean continuous ranked probability score of normal distributions, in the unit of the errors."""
    z = standardized(errors, sigma)
    density = np.exp(-0.5 * np.square(z)) / math.sqrt(2.0 * math.pi)
    inside = _ERF(z / math.sqrt(2.0))  # 2 Phi(z) - 1
    return float((sigma * (z * inside + 2.0 * density - 1.0 / math.sqrt(math.pi))).mean())


def sharpness(sigma: Array) -> float:
    """Root mean square of sigma."""
    return float(np.sqrt(np.square(sigma).mean()))
