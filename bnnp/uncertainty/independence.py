r"""How many independent errors there are among correlated ones.

Errors of frames of one trajectory, or of structures of one kind, resemble each other: thirty of them may say
as little about the size of errors as three. For n errors e of mean zero with correlations rho_ij, the mean of
e^2 has the variance of that of

.. math:: n_{\mathrm{eff}} = n^2 / \sum_{ij} \rho_{ij}^2

independent normal ones (M. S. Bartlett, J. R. Stat. Soc. Suppl. 8, 27 (1946)): n without correlation, 1 if
all are equal. rho depends on the distance in the order of the data, within a group, and is taken to end where
it is lost in noise. A small shift that all errors of a group share may be lost so, too, and is looked for in
another way, as a hierarchical model: e_gi = s_g + n_gi, with the variances of the shifts s_g and of the noise
n_gi (:func:`shift_and_noise`), has rho = Var s / (Var s + Var n) within a group. The smaller n_eff counts.
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
    shift, noise = shift_and_noise(errors, groups)
    sizes = np.bincount(labels)
    shared = float((sizes * (sizes - 1)).sum()) * (shift**2 / (shift**2 + noise**2)) ** 2
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
    return float(n**2 / max(total, n + shared))


def shift_and_noise(errors: NDArray[np.float64], groups: Sequence[str]) -> tuple[float, float]:
    """Standard deviations of the shift of a group, and within the groups, of `errors`, (n,), of mean zero.

    By moments (C. R. Henderson, Biometrics 9, 226 (1953), method 1, with a known mean). Of groups of one
    error each all is noise.
    """
    labels = np.unique(np.array(groups), return_inverse=True)[1]
    sizes, n = np.bincount(labels), len(errors)
    means = np.bincount(labels, errors) / sizes
    if n == len(sizes):
        return 0.0, float(np.sqrt(np.square(errors).mean()))
    noise = float(np.square(errors - means[labels]).sum()) / (n - len(sizes))
    shift = (float((sizes * means**2).sum()) - len(sizes) * noise) / n
    return float(np.sqrt(max(0.0, shift))), float(np.sqrt(noise))
