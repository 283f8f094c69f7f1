"""Does a score, for example sigma, separate structures unlike the training set from those like it?

The receiver operating characteristic is the share of structures outside that are found (true positives)
against the share of those inside that are taken for outside (false positives), for every threshold. The area
below it, ROC-AUC, is the probability that a random structure outside has a higher score than a random one
inside, equal scores counting half (D. J. Hand, R. J. Till, Mach. Learn. 45, 171 (2001), eq. 3): 1 is perfect,
0.5 is chance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import NumericalError
from bnnp.uncertainty.ranking import ranks

Array = NDArray[np.float64]


def roc_auc(inside: Array, outside: Array) -> float:
    """Area below the curve.

    Parameters
    ----------
    inside : (n,) float64
        Scores of structures like the training set.
    outside : (m,) float64
        Scores of the others, which should be higher.

    Raises
    ------
    NumericalError
        One of the two is empty, or a score is NaN.
    """
    _check(inside, outside)
    order = ranks(np.concatenate([outside, inside]))[: len(outside)]
    above = order.sum() - 0.5 * len(outside) * (len(outside) - 1)
    return float(above / (len(inside) * len(outside)))


def roc_curve(inside: Array, outside: Array) -> tuple[Array, Array]:
    """The curve, from (0, 0) to (1, 1).

    Returns
    -------
    false_positives, true_positives : (n_thresholds + 1,) float64
        One point for each different score, from the highest down.
    """
    _check(inside, outside)
    thresholds = np.unique(np.concatenate([inside, outside]))[::-1]
    false, true = (
        1.0 - np.searchsorted(np.sort(scores), thresholds, side="left") / len(scores)
        for scores in (inside, outside)
    )
    return np.concatenate([[0.0], false]), np.concatenate([[0.0], true])


def detected(inside: Array, outside: Array, false_positives: float = 0.05) -> float:
    """Largest share of true positives with at most the share `false_positives` of false ones."""
    false, true = roc_curve(inside, outside)
    return float(true[false <= false_positives].max())


def _check(inside: Array, outside: Array) -> None:
    for name, scores in (("inside", inside), ("outside", outside)):
        if len(scores) == 0 or np.isnan(scores).any():
            raise NumericalError(
                f"scores {name} the domain: {len(scores)}, {np.isnan(scores).sum()} of them NaN; "
                "expected one at least and none NaN"
            )
