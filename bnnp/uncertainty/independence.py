r"""How many independent errors there are among correlated ones.

Errors of frames of one trajectory, or of structures of one kind, resemble each other: thirty of them may say
as little about the size of errors as three. For n errors e of mean zero with correlations rho_ij, the mean of
e^2 has the variance of that of

.. math:: n_{\mathrm{eff}} = n^2 / \sum_{ij} \rho_{ij}^2

independent normal ones (M. S. Bartlett, J. R. Stat. Soc. Suppl. 8, 27 (1946)): n without correlation, 1 if
all are equal. rho depends on the distance in the order of the data, within a group, and is taken to end where
it is lost in noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NOISE = 2.0  # standard deviations 1 / sqrt(pairs) of an estimated correlation, below which it is none
NONE = 0.5  # correlations above this count however few pairs there are


def independent_errors(errors: NDArray[np.float64], groups: Sequence[str]) -> float:
    """n_eff of `errors`, (n,), in the order of the data; those of different `groups` are independent."""
    square, n = float(np.mean(np.square(errors))), len(errors)
    if square == 0.0:
        return 1.0
    labels = np.unique(np.array(groups), return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    values, labels = errors[order], labels[order]
    total = float(n)
    for lag in range(1, n):
        pairs = labels[lag:] == labels[:-lag]
        count = int(np.count_nonzero(pairs))
        if count == 0:
            break
        rho = min(1.0, float(np.mean((values[lag:] * values[:-lag])[pairs])) / square)
        if rho <= min(NONE, NOISE / np.sqrt(count)):
            break
        total += 2.0 * count * rho**2
    return n**2 / total
