"""Errors of predictions, and how well their standard deviations fit, as sums over structures.

With errors e_i = predicted - reference and standard deviations sigma_i::

    RMSE = sqrt(mean e^2)    MAE = mean |e|    bias = mean e
    ZMS  = mean (e / sigma)^2          1 if sigma has the right size on average (Pernot, arXiv:2402.10043)

:class:`ErrorSum` holds sums only, which are added over the structures, always in the same order, without
keeping the errors. Scores that need all errors are in :mod:`bnnp.uncertainty.scores`, ``reliability``,
``ranking`` and ``detection``.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.units import Units

Array = NDArray[np.float64]

NOISE = 1e-10  # rounding, in the unit of the values
ZERO = {"forces": 1.0, "stress": 0.01}  # meV/Angstrom, GPa: a zero of a quantum code, with its noise
SYMMETRIC = 1e-3  # of ZERO: sigma of such a component, where positions have five digits, as in OUTCAR


def zero_by_symmetry(quantity: str, errors: Array, raw: Array, units: Units) -> NDArray[np.bool_]:
    """Which components symmetry makes zero, so that they say nothing of the size of errors.

    All networks give zero there, so that sigma is rounding, and e / sigma is any number; the reference is
    zero, too. Where it is not, as for an atom without neighbors in the cutoff, the error is real and counts.

    Parameters
    ----------
    quantity : str
        ``forces`` or ``stress``; other quantities have no such components.
    errors, raw : (...,) float64
        Errors, and standard deviations of the samples, in `units`.
    """
    if quantity not in ZERO:
        return np.zeros(errors.shape, dtype=bool)
    zero = ZERO[quantity] / (units.gpa if quantity == "stress" else units.mev_per_angstrom)
    symmetric: NDArray[np.bool_] = (raw <= SYMMETRIC * zero) & (np.abs(errors) <= zero)
    return symmetric


def has_score(errors: Array, sigma: Array, symmetric: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Which of these errors, all of one shape, have a score: sigma is not zero, not both are rounding noise,
    and they are not `symmetric` components of :func:`zero_by_symmetry`."""
    known = (sigma > 0.0) & (np.maximum(np.abs(errors), sigma) > NOISE)
    return np.asarray(known if symmetric is None else known & ~symmetric)


@dataclass(frozen=True)
class ErrorSum:
    """Sums over `count` errors, `sigmas` standard deviations and `scores` pairs of both.

    An error and a sigma that are both below NOISE, as the forces of isolated atoms, have no score, nor have
    `symmetric` components that symmetry makes zero.
    """

    count: int = 0
    error: float = 0.0
    absolute: float = 0.0
    square: float = 0.0
    sigmas: int = 0
    sigma: float = 0.0
    scores: int = 0
    score: float = 0.0
    symmetric: int = 0

    @classmethod
    def of(
        cls,
        predicted: Array,
        reference: Array | None = None,
        sigma: Array | None = None,
        symmetric: NDArray[np.bool_] | None = None,
    ) -> ErrorSum:
        """Sums of arrays of one shape; without a reference there are no errors, without sigma no scores.

        `symmetric` are the components of :func:`zero_by_symmetry`, which have none either. A reference that
        is NaN is left out, with its sigma.
        """
        if reference is not None and np.isnan(reference).any():
            known = ~np.isnan(reference)
            sigma = None if sigma is None else sigma[known]
            symmetric = None if symmetric is None else symmetric[known]
            return cls.of(predicted[known], reference[known], sigma, symmetric)
        errors = np.zeros(0) if reference is None else (predicted - reference).ravel()
        spread = np.zeros(0) if sigma is None else sigma.ravel()
        score, omitted = np.zeros(0), 0
        if len(errors) == len(spread):
            known = has_score(errors, spread, None if symmetric is None else symmetric.ravel())
            omitted = 0 if symmetric is None else int(np.count_nonzero(symmetric))
            score = np.square(errors[known] / spread[known])
        return cls(
            len(errors),
            float(errors.sum()),
            float(np.abs(errors).sum()),
            float(np.square(errors).sum()),
            len(spread),
            float(spread.sum()),
            len(score),
            float(score.sum()),
            omitted,
        )

    def __add__(self, other: ErrorSum) -> ErrorSum:
        return ErrorSum(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def rmse(self) -> float:
        """Root of the mean square error; NaN without errors."""
        return float(np.sqrt(self.square / self.count)) if self.count else np.nan

    @property
    def mae(self) -> float:
        """Mean absolute error; NaN without errors."""
        return self.absolute / self.count if self.count else np.nan

    @property
    def bias(self) -> float:
        """Mean error, predicted - reference; NaN without errors."""
        return self.error / self.count if self.count else np.nan

    @property
    def mean_sigma(self) -> float:
        """Mean standard deviation; NaN without samples."""
        return self.sigma / self.sigmas if self.sigmas else np.nan

    @property
    def zms(self) -> float:
        """Mean squared z-score, where sigma is not zero and not both are rounding noise; NaN without."""
        return self.score / self.scores if self.scores else np.nan
