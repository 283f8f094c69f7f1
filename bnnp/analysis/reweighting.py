r"""Averages by every sample of a potential from one trajectory, by reweighting in first order.

.. math::
    \langle a \rangle_s = \langle a \rangle - \langle a\, d_s \rangle + \langle a \rangle \langle d_s \rangle,
    \qquad d_s = \frac{V_s - V}{k_B T}

the stable form of G. Imbalzano et al., J. Chem. Phys. 154, 074102 (2021), eq. 18. It holds where d_s scatters
by about one or less over the trajectory, and for averages over configurations: the motion is that of V.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reweighted:
    """An average with its two errors, (k,) float64 each.

    Parameters
    ----------
    mean : over the trajectory of V
    error : standard error of the mean, from blocks
    std : standard deviation over the samples, less the noise of the finite trajectory
    """

    mean: Array
    error: Array
    std: Array

    @classmethod
    def of(cls, values: Array, deviations: Array, blocks: int) -> Reweighted:
        """From the values of each frame.

        Parameters
        ----------
        values : (n_frames, k) float64
        deviations : (n_frames, S) float64
            d_s above.
        blocks : int
            Whose means scatter like independent ones.

        Notes
        -----
        A covariance from n independent frames has the variance var(a) var(d_s) / n, and var(a) / n is the
        square of the standard error: so much is subtracted from the variance over the samples.
        """
        mean, scatter = values.mean(axis=0), values - values.mean(axis=0)
        parts = np.array([part.mean(axis=0) for part in np.array_split(values, blocks)])
        error = parts.std(axis=0, ddof=1) / np.sqrt(blocks)
        relative = deviations - deviations.mean(axis=0)
        shifts = -scatter.T @ relative / len(values)  # k s
        noise = error**2 * np.square(relative).mean()
        return cls(mean, error, np.sqrt((shifts.var(axis=1, ddof=1) - noise).clip(0.0)))
