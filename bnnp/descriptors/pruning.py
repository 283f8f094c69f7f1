r"""Which symmetry functions to keep of many: thresholds, farthest point sampling and CUR selection.

Everything follows from the correlations R of the functions over the atoms of one element, in units of their
standard deviations, so that no function counts for its size. After functions K have been chosen, the part of
the others that they do not explain (least squares, with a constant) has the covariance

.. math:: S = R - R_{:K} R_{KK}^{-1} R_{K:},

found by eliminating one function after another, :math:`S \leftarrow S - s_k s_k^T / S_{kk}`. S_cc is the
unexplained share of the variance of function c, its square root the relative error of reconstructing c, and
sqrt(tr S / tr R) that of the whole pool (the feature space reconstruction error of A. Goscinski et al., Mach.
Learn.: Sci. Technol. 2, 025028 (2021)).

farthest point sampling
    The next function is the one most unlike all chosen ones, by the sine of the angle between the two,
    sqrt(1 - R_ck^2): a copy with the other sign is a copy.
CUR
    The next function has the largest weight in the leading eigenvector of S: M. W. Mahoney, P. Drineas, Proc.
    Natl. Acad. Sci. 106, 697 (2009), one column at a time as in G. Imbalzano et al., J. Chem. Phys. 148,
    241730 (2018).
with a budget
    The next function is the one that lowers tr S most for each microsecond it adds, until none fits any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.scaling import Scaling
from bnnp.descriptors.statistics import Comoments

Array = NDArray[np.float64]

EXPLAINED = 1e-10  # share of the variance below which only rounding is left


class Budget(NamedTuple):
    """What the chosen functions may cost together.

    Parameters
    ----------
    limit : float
    cost : callable
        Of a sequence of columns, all of them together; in the unit of `limit`.
    """

    limit: float
    cost: Callable[[Sequence[int]], float]


class Twin(NamedTuple):
    """A function that repeats an earlier one."""

    function: int
    other: int
    correlation: float


@dataclass(frozen=True, eq=False)
class FunctionSelection:
    """Functions in the order in which they were chosen.

    Parameters
    ----------
    chosen : tuple of int
        Their columns.
    errors : tuple of float
        Relative error of the whole pool after each of them.
    """

    chosen: tuple[int, ...]
    errors: tuple[float, ...]


@dataclass(frozen=True)
class Criteria:
    """What decides which functions of a pool are kept.

    Parameters
    ----------
    method : str
        ``cur`` or ``fps``.
    keep : int or None
        Most functions to keep; None for all that pass the thresholds and are not explained by the others.
    error : float
        Relative error of the whole pool that is small enough.
    smallest_range : float
        Functions with a smaller range are removed.
    smallest_spread : float
        Functions with a smaller standard deviation, in units of their range, are removed: hardly any atom
        feels them, and a network learns from few atoms how all others depend on them.
    smallest_share : float
        Functions that a smaller share of the atoms feels are removed, too: the inverse kurtosis, which is the
        share where a function has one value on these atoms and another on all others.
    largest_correlation : float
        Of two functions with a larger \\|correlation\\| the later one is removed.
    """

    method: str = "cur"
    keep: int | None = None
    error: float = 0.0
    smallest_range: float = 0.0
    smallest_spread: float = 0.0
    smallest_share: float = 0.0
    largest_correlation: float = 1.0


@dataclass(frozen=True, eq=False)
class Pruned:
    """The functions of a pool that are kept, and why the others are not.

    Parameters
    ----------
    selection : FunctionSelection
        The functions that are kept.
    flat : tuple of int
        Removed, as their range is below the threshold. Errors of the pool do not count them.
    rare : tuple of int
        Removed, as hardly any atom feels them. Errors of the pool do not count them, either.
    twins : tuple of Twin
        Removed, as each repeats another.
    errors : (n_functions,) float64
        Relative error of each function, predicted from the kept ones; NaN for flat and rare ones.
    held_out : (n_functions,) float64
        The same over atoms that were not used for the choice; all NaN without such atoms.
    """

    selection: FunctionSelection
    flat: tuple[int, ...]
    rare: tuple[int, ...]
    twins: tuple[Twin, ...]
    errors: Array
    held_out: Array


def prune(
    values: Array, test: Array, criteria: Criteria, budget: Budget | None = None, first: Sequence[int] = ()
) -> Pruned:
    """Apply the range and the correlation threshold, then select; with the errors this causes.

    Parameters
    ----------
    values, test : (n_atoms, n_functions) float64
        Functions of the atoms from which to choose, and of others to validate with (there may be none).
    criteria : Criteria
    budget : Budget, optional
        Decides in place of the method of `criteria`; its columns are those of `values`.
    first : sequence of int
        Functions to take before the others, of those that :func:`passing` names.
    """
    n_functions = values.shape[1]
    flat, rare, twins = _thresholds(values, criteria)
    alive = np.flatnonzero(~(flat | rare))
    place = {int(column): k for k, column in enumerate(alive)}
    pool, check = Comoments.of(values[:, alive]), Comoments.of(test[:, alive])
    candidates = set(range(len(alive))) - {place[twin.function] for twin in twins}
    keep = n_functions if criteria.keep is None else criteria.keep
    if budget is not None:
        cost = budget.cost
        budget = Budget(budget.limit, lambda columns: cost([int(alive[k]) for k in columns]))
    start = [place[k] for k in first]
    found = select(pool.correlation(), candidates, criteria.method, keep, criteria.error, budget, start)
    errors, held_out = np.full(n_functions, np.nan), np.full(n_functions, np.nan)
    errors[alive] = reconstruction_errors(pool, pool, found.chosen)
    if check.count:
        held_out[alive] = reconstruction_errors(pool, check, found.chosen)
    return Pruned(
        FunctionSelection(tuple(int(alive[k]) for k in found.chosen), found.errors),
        tuple(np.flatnonzero(flat).tolist()),
        tuple(np.flatnonzero(rare).tolist()),
        tuple(twins),
        errors,
        held_out,
    )


def passing(values: Array, criteria: Criteria) -> list[int]:
    """Columns of `values`, (n_atoms, n_functions), that no threshold of `criteria` removes."""
    flat, rare, twins = _thresholds(values, criteria)
    removed = flat | rare
    removed[[twin.function for twin in twins]] = True
    return np.flatnonzero(~removed).tolist()


def _thresholds(values: Array, criteria: Criteria) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[Twin]]:
    """Which columns are flat, which are rare, and which of the others repeat one of them."""
    scaling = Scaling.of(values)
    flat = scaling.constant | (scaling.spread < criteria.smallest_range)
    few = share_that_feels(values) < criteria.smallest_share
    rare = ~flat & (few | (scaling.sigma < criteria.smallest_spread * scaling.spread))
    correlation = Comoments.of(values).correlation()
    skip = set(np.flatnonzero(flat | rare).tolist())
    return flat, rare, find_twins(correlation, criteria.largest_correlation, skip)


def share_that_feels(values: Array) -> Array:
    """<x^2>^2 / <x^4> of the deviations x from the mean, the inverse kurtosis of each column.

    Parameters
    ----------
    values : (n_atoms, n_functions) float64

    Returns
    -------
    (n_functions,) float64
        From 1 / n_atoms, one atom alone, to 1; 1 for a constant.
    """
    squares = np.square(values - values.mean(axis=0))
    squares /= np.maximum(squares.max(axis=0, initial=0.0), np.finfo(np.float64).tiny)
    fourth = np.square(squares).mean(axis=0)
    share: Array = np.ones_like(fourth)
    np.divide(np.square(squares.mean(axis=0)), fourth, out=share, where=fourth > 0.0)
    return share


def find_twins(correlation: Array, limit: float, skip: Collection[int] = ()) -> list[Twin]:
    """Functions to remove so that no two of the others have \\|correlation\\| above `limit`.

    Each is compared to those before it that are kept.

    Parameters
    ----------
    correlation : (n_functions, n_functions) float64
    limit : float
    skip : collection of int
        Functions that are not compared.
    """
    size = np.abs(correlation)
    kept: list[int] = []
    twins = []
    for k in range(len(size)):
        if k in skip:
            continue
        other = kept[int(np.argmax(size[kept, k]))] if kept else k
        if other != k and size[other, k] > limit:
            twins.append(Twin(k, other, float(correlation[other, k])))
        else:
            kept.append(k)
    return twins


def select(
    correlation: Array,
    candidates: Collection[int],
    method: str,
    keep: int,
    error: float = 0.0,
    budget: Budget | None = None,
    first: Sequence[int] = (),
) -> FunctionSelection:
    """Choose among `candidates` until there are `keep`, or the whole pool is known to `error`.

    Parameters
    ----------
    correlation : (n_functions, n_functions) float64
        Of the pool; functions that never vary have zeros.
    candidates : collection of int
        Functions that may be chosen.
    method : str
        ``cur`` or ``fps``.
    keep : int
        Most functions to choose; fewer are chosen once they explain all others.
    error : float
        Relative error of the whole pool that is small enough.
    budget : Budget, optional
        Decides in place of `method`.
    first : sequence of int
        Candidates to take before the others, in this order.
    """
    rule = METHODS[method]
    left = sorted(candidates)
    residual = correlation.copy()
    total = float(np.trace(correlation))
    chosen: list[int] = []
    errors: list[float] = []
    while left and len(chosen) < keep and (not errors or errors[-1] > error):
        left = [c for c in left if residual[c, c] > EXPLAINED]
        prices = {}
        if budget is not None:
            prices = {c: budget.cost([*chosen, c]) for c in left}
            left = [c for c in left if prices[c] <= budget.limit]
        if not left:
            break
        given = next((k for k in first if k in left), None)
        if given is not None:
            chosen.append(given)
        elif budget is None:
            chosen.append(rule(correlation, residual, chosen, left))
        else:
            chosen.append(_by_rate(residual, left, prices, budget.cost(chosen)))
        left.remove(chosen[-1])
        residual = _eliminate(residual, chosen[-1])
        errors.append(float(np.sqrt(max(np.trace(residual), 0.0) / total)))
    return FunctionSelection(tuple(chosen), tuple(errors))


def reconstruction_errors(fit: Comoments, test: Comoments, kept: Collection[int]) -> Array:
    """Relative error of every function, predicted from the kept ones by least squares.

    Parameters
    ----------
    fit, test : Comoments
        Over the atoms the coefficients are fitted to, and over those the errors are taken of; the same
        object twice gives the error of the fit.
    kept : collection of int

    Returns
    -------
    (n_functions,) float64
        Root mean square error over the atoms of `test` / standard deviation over all atoms, which bounds it
        for a function that hardly varies in one of the two; 0 (rounding) for kept functions, NaN for those
        that never vary.
    """
    columns = sorted(kept)
    sigma = np.sqrt(np.diag(fit.products) / fit.count)
    unit = np.where(sigma > 0.0, sigma, 1.0)
    correlation = fit.correlation()
    known = correlation[np.ix_(columns, columns)]
    inverse = np.linalg.pinv(known, rcond=EXPLAINED, hermitian=True)
    coefficients = inverse @ correlation[columns]  # (n_kept, n_functions)
    mixing = np.eye(len(sigma))
    mixing[columns] -= coefficients  # columns of G @ mixing: what is left of each function
    products = test.about(fit.mean) / np.multiply.outer(unit, unit) / test.count
    left = np.einsum("kc,kl,lc->c", mixing, products, mixing, optimize=True)
    both = np.diag(fit.merge(test).products) / (fit.count + test.count) / unit**2
    relative = np.divide(np.maximum(left, 0.0), both, out=np.full(len(both), np.nan), where=both > 0.0)
    return np.asarray(np.sqrt(relative))


def whole_error(errors: Array) -> float:
    """Relative error of the whole pool: root mean square over the functions that vary; NaN if none does."""
    known = errors[np.isfinite(errors)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else float("nan")


def _eliminate(residual: Array, k: int) -> Array:
    """Residual covariance after function `k` has been chosen, too."""
    left = residual - np.multiply.outer(residual[k], residual[k]) / residual[k, k]
    left[k] = left[:, k] = 0.0
    return np.asarray(left)


def _by_cur(correlation: Array, residual: Array, chosen: list[int], left: list[int]) -> int:
    """Largest weight in the leading eigenvector of what is left."""
    vector = np.linalg.eigh(residual[np.ix_(left, left)])[1][:, -1]
    return left[int(np.argmax(np.abs(vector)))]


def _by_rate(residual: Array, left: list[int], prices: dict[int, float], paid: float) -> int:
    """Largest decrease of what is left, for each unit of what it costs beside those already paid for."""

    def rate(c: int) -> float:
        gain = float(residual[c] @ residual[c] / residual[c, c])
        return gain / max(prices[c] - paid, EXPLAINED)

    return max(left, key=rate)


def _by_distance(correlation: Array, residual: Array, chosen: list[int], left: list[int]) -> int:
    """Farthest from all chosen ones; the first is the one most like all others."""
    if not chosen:
        return left[int(np.argmax(np.square(correlation[np.ix_(left, left)]).sum(axis=0)))]
    nearest = np.square(correlation[np.ix_(chosen, left)]).max(axis=0)
    return left[int(np.argmin(nearest))]


Rule = Callable[[Array, Array, list[int], list[int]], int]
METHODS: dict[str, Rule] = {"cur": _by_cur, "fps": _by_distance}
