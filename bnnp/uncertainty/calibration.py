"""Calibrated standard deviations: fitted to the errors of structures that were not trained on, then applied.

For the energy per atom of the total, the force components of each element, and the stress components, a
:class:`Quantity` each: a monotone map from the raw to the calibrated sigma (:mod:`bnnp.uncertainty.maps`; the
kind with the lower CRPS in a cross-validation over blocks of structures) and the conformal factors k_p: at
least the share p of the errors inside is within k_p sigma (V. Vovk et al., Algorithmic Learning in a
Random World (2005); split conformal prediction with the score |e| / sigma, where sigma is of a map that was
fitted without the block of the error).

Structures are inside, like the training set, or outside (``set=calibration_ood``). Those outside show how
large errors are at sigmas beyond those inside. Where the two overlap, a sigma of kind ``mc`` does not
distinguish them, and only the errors inside count.

The raw sigma of kind ``mc`` is the standard deviation of the Monte Carlo samples. That of ``hybrid`` is::

    sigma^2 = f_MC^2 sigma_MC^2 + f_LL^2 sigma_LL^2 + f_d^2 d^2

with the last layer and the distance d from the training set (a of an atom and its neighbors for forces, D of
the structure for energies and stress: :mod:`bnnp.uncertainty.training_statistics`), whose factors are fitted
by maximum likelihood together with a constant, which is left to the map. Inside all parts vary little, and
the fit says little about how sigma grows further out. Therefore, without structures outside that say it,
sigma is at least that of the distance alone, e d / sqrt(mean d^2) with the root mean square error e inside,
and all of it is scaled to the errors inside once more.

Further out the error does not follow the distance. Where activations are not bounded, the raw spread of the
samples, many times too large inside, has about the size of the errors: in melts predicted from crystals, at
defects and surfaces predicted from the bulk, in alloys predicted from their elements. So sigma is at most
sqrt(spread^2 + e^2) (1 + x_r): when two atoms come close, the symmetry functions, and with them the samples,
hardly change any more. And w^2 spread^2 is added to its square, with w = 1 - (2 a_0 / a)^2 for an atom beyond
twice the largest distance a_0 inside. Energies and stresses, of all atoms, get the mean of w^2.

The size of n independent errors is known to a factor of about 1 +- 1 / sqrt(2 n). The errors of energies are
often few, as frames of one trajectory share theirs (:mod:`bnnp.uncertainty.independence`). Then sigma is
widened until its normal 90 % interval is that of Student's t with n degrees of freedom (Student, Biometrika
6, 1 (1908)), and with less than ten it follows the distance alone: three factors and a map cannot be told
from so few.

No error inside tells of what was never there: two elements that never met, a function that never varied
(unseen). For atoms that see such a thing w^2 is at least 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import NumericalError
from bnnp.messages import count
from bnnp.uncertainty.hybrid import Distances, SigmaParts
from bnnp.uncertainty.maps import FITS, SigmaMap
from bnnp.uncertainty.reliability import coverage, ence, miscalibration_area
from bnnp.uncertainty.scores import crps, zms
from bnnp.uncertainty.variance import GROUPS, fit_variance

Array = NDArray[np.float64]

KINDS = ("mc", "hybrid")
LEVELS = (68, 90, 95)  # per cent, of the conformal factors
FOLDS = 5
UNSEEN = 0.5  # w^2 where something is unseen
FAR = 2.0  # reaches from which on sigma grows by the spread
PERCENT = np.concatenate([np.arange(100.0), [99.5, 99.9, 100.0]])  # of the quantiles of sigma
OVERLAP = 0.99  # quantile of sigma inside up to which a map of mc is fitted to errors inside only
FEWEST = 10  # structures for a calibration
LARGE = 1e12  # a sigma beyond any of a fit
FEWEST_INDEPENDENT = 10  # errors from which the factors of hybrid can be told


@dataclass(frozen=True, eq=False)
class Observations:
    """Errors of one quantity, and the parts of the standard deviation of each.

    Parameters
    ----------
    errors : (n,) float64
        Predicted - reference.
    parts : (n, 1) or (n, 5) float64
        sigma_MC; and, for hybrid, sigma_LL, d, x_r and the spread of the samples.
    structure : (n,) int64
        Number of the structure each error is from, ascending in the order of the data.
    outside : (n,) bool
        Whether the structure is outside.
    farthest : (n,) float64, or (0,) if it is not known
        Largest distance of an atom of the structure.
    """

    errors: Array
    parts: Array
    structure: NDArray[np.int64]
    outside: NDArray[np.bool_]
    farthest: Array = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def joined(cls, several: Sequence[Observations]) -> Observations:
        """All of them in order."""
        names = [each.name for each in fields(cls)]
        return cls(*(np.concatenate([getattr(each, name) for each in several]) for name in names))


@dataclass(frozen=True, eq=False)
class Quantity:
    """Calibration of one quantity.

    Parameters
    ----------
    map : SigmaMap
    weights : (1,) or (3,) float64
        1; or f_MC, f_LL, f_d of hybrid.
    least : float
        Of hybrid: least factor of the distance.
    inside : float
        Of hybrid: root mean square error e inside, which with the samples limits sigma; inf: no limit.
    conformal : mapping of int to float
        k_p by p in per cent.
    scores : mapping of str to float
        Of the cross-validation, for the log: the CRPS of each kind of map; sqrt(ZMS) raw and calibrated, 90 %
        coverage, ENCE and miscalibration area inside. Not written to files.
    """

    map: SigmaMap
    weights: Array
    conformal: Mapping[int, float]
    scores: Mapping[str, float] = field(default_factory=dict)
    least: float = 0.0
    inside: float = math.inf

    def raw(self, parts: Array) -> Array:
        """sqrt(sum (weight part)^2) of (..., 1 or 5) parts; parts without a weight do not count."""
        raw: Array = np.sqrt(np.square(self.components(parts)).sum(axis=-1))
        return raw

    @property
    def beyond(self) -> float:
        """Calibrated over raw sigma beyond all sigmas of the fit, where they are proportional."""
        return float(self.map(np.array(LARGE))) / LARGE

    def components(self, parts: Array) -> Array:
        """weight part, (..., 1 or 3), in the unit of sigma; closeness and spread have no weight."""
        return parts[..., : len(self.weights)] * self.weights

    def sigma(self, parts: Array, far: Array | float = 0.0) -> Array:
        """Calibrated sigma of (..., 1 or 5) parts; `far`, (...,), is w^2, or its mean over the atoms."""
        sigma = self.map(self.raw(parts))
        if len(self.weights) == 1:
            return sigma
        sigma = limited(np.maximum(sigma, self.least * parts[..., 2]), parts, self.inside)
        return np.hypot(sigma, np.sqrt(far) * parts[..., 4])


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibration of a potential, in its units. A quantity without references is None or missing.

    Parameters
    ----------
    kind : str
        One of KINDS.
    energy : Quantity or None
        Energy per atom of the total.
    forces : mapping of str to Quantity
        Force components, by element.
    stress : Quantity or None
        Stress components.
    samples : int
        Monte Carlo samples of the potential when it was made.
    structures, outside : int
        Numbers of structures inside and outside.
    quantiles : mapping of str to (len(PERCENT),) float64
        Of the calibrated sigmas of the structures inside: ``energy`` per atom, and ``forces``, the largest of
        a component.
    reach : float
        a_0; inf: sigma does not grow by the spread far out.
    """

    kind: str
    energy: Quantity | None
    forces: Mapping[str, Quantity]
    stress: Quantity | None
    samples: int
    structures: int
    outside: int = 0
    quantiles: Mapping[str, Array] = field(default_factory=dict)
    reach: float = math.inf

    @property
    def quantities(self) -> dict[str, Quantity]:
        """All calibrated quantities by name: ``energy``, ``forces X`` for each element X, ``stress``."""
        named = {"energy": self.energy, **{f"forces {x}": q for x, q in self.forces.items()}}
        return {name: q for name, q in {**named, "stress": self.stress}.items() if q is not None}

    def components_of_force(self, symbol: str, parts: Array) -> Array:
        """Size of each weighted part of the force on an atom, (3,), from the (3, 5) parts of its components.

        NaN without a calibration of this element."""
        if symbol not in self.forces:
            return np.full(3, np.nan)
        return np.asarray(np.sqrt(np.square(self.forces[symbol].components(parts)).sum(axis=0)))

    def quantile(self, quantity: str, percent: float) -> float:
        """The sigma that `percent` of the structures inside do not exceed.

        Raises
        ------
        KeyError
            The quantity is uncalibrated.
        """
        return float(np.interp(percent, PERCENT, self.quantiles[quantity]))

    def apply(
        self, parts: SigmaParts, symbols: Sequence[str]
    ) -> tuple[float | None, Array | None, Array | None]:
        """Calibrated sigmas of the energy per atom, the force components, (n_atoms, 3), and the stress, (6,).

        None for what has no parts or no calibration.

        Parameters
        ----------
        symbols : sequence of str
            Element of every atom.
        """
        far = np.zeros(len(symbols)) if parts.distances is None else self.far(parts.distances)
        energy = stress = None
        if self.energy is not None:
            energy = float(self.energy.sigma(parts.energy, far.mean()))
        if self.stress is not None and parts.stress is not None:
            stress = self.stress.sigma(parts.stress, far.mean())
        if parts.forces is None or not set(symbols) <= set(self.forces):
            return energy, None, stress
        forces, names = np.empty(parts.forces.shape[:2]), np.array(symbols)
        for element in set(symbols):
            own = names == element
            forces[own] = self.forces[element].sigma(parts.forces[own], far[own, None])
        return energy, forces, stress

    def far(self, distances: Distances) -> Array:
        """w^2 of every atom, (n_atoms,)."""
        limit, atoms = FAR * self.reach, distances.atoms
        ratio = np.divide(limit, atoms, out=np.ones_like(atoms), where=atoms > limit)
        return np.asarray(np.maximum(np.square(1.0 - ratio**2), UNSEEN * distances.unseen))

    def describe(self, elements: Sequence[str] = ()) -> str:
        """For headers: how it was made, and which quantities of a potential of these elements stay raw."""
        more = f" and {self.outside} out of the domain" if self.outside else ""
        missing = [name for name in ("energy", "forces", "stress") if not getattr(self, name)]
        if unknown := [element for element in elements if self.forces and element not in self.forces]:
            missing.append(f"forces in structures with {' or '.join(unknown)}")
        rest = f"; raw (uncalibrated): {', '.join(missing)}" if missing else ""
        return f"calibrated ({self.kind}) on {count(self.structures, 'structure')}{more}{rest}"


def fit_calibration(
    found: Mapping[str, Observations],
    kind: str,
    samples: int,
    independent: float = math.inf,
    bounded: bool = False,
) -> Calibration:
    """Fit all quantities.

    Parameters
    ----------
    found : mapping of str to Observations
        By name as in :attr:`Calibration.quantities`; a quantity that is not there stays raw.
    samples : int
        Of the potential.
    independent : float
        How many of the errors of energies are independent.
    bounded : bool
        Whether the networks have bounded activations, so that their samples say nothing far out.

    Raises
    ------
    NumericalError
        As :func:`fit_quantity`, with the name of the quantity.
    """
    fitted = {}
    for name, observations in found.items():
        try:
            worth = independent if name == "energy" else math.inf
            fitted[name] = fit_quantity(observations, kind, worth, bounded)
        except NumericalError as error:
            raise NumericalError(f"{name}: {error}") from None
    seen = {flag: [each.structure[each.outside == flag] for each in found.values()] for flag in (0, 1)}
    count = {flag: len(np.unique(np.concatenate(structures))) for flag, structures in seen.items()}
    forces = {name.removeprefix("forces "): q for name, q in fitted.items() if name.startswith("forces ")}
    named = {"energy": {"energy"} & set(fitted), "forces": {f"forces {x}" for x in forces}}
    quantiles = {
        name: sigma_quantiles(_largest({each: fitted[each] for each in own}, found))
        for name, own in named.items()
        if own
    }
    energy, stress = fitted.get("energy"), fitted.get("stress")
    known = [each.farthest[~each.outside].max() for each in found.values() if len(each.farthest)]
    reach = math.inf if bounded or kind == "mc" else float(max(known, default=0.0)) or math.inf
    return Calibration(kind, energy, forces, stress, samples, count[0], count[1], quantiles, reach)


def _largest(quantities: Mapping[str, Quantity], found: Mapping[str, Observations]) -> Array:
    """The largest calibrated sigma of each structure inside."""
    count = 1 + max(int(found[name].structure.max()) for name in quantities)
    largest = np.full(count, -np.inf)
    for name, quantity in quantities.items():
        inside = ~found[name].outside
        sigma = quantity.sigma(found[name].parts[inside])
        np.maximum.at(largest, found[name].structure[inside], sigma)
    return np.asarray(largest[np.isfinite(largest)])


def fit_quantity(
    found: Observations, kind: str, independent: float = math.inf, bounded: bool = False
) -> Quantity:
    """Fit factors, map and conformal factors; parameters as for :func:`fit_calibration`.

    Raises
    ------
    NumericalError
        Values that are not finite; errors that are all the same; sigmas that are all zero.
    """
    parts = found.parts[:, :1] if kind == "mc" else found.parts
    _check(found.errors, parts, independent)
    weights = np.ones(1) if kind == "mc" else hybrid_weights(found, independent)
    raw = np.sqrt(np.square(parts[:, : len(weights)] * weights).sum(axis=1))
    inside = ~found.outside
    used = inside | (raw > np.quantile(raw[inside], OVERLAP) if kind == "mc" else found.outside)
    held_out = {name: cross_fitted(fit, raw, found, used) for name, fit in FITS.items()}
    scores = {name: crps(found.errors[used], sigma[used]) for name, sigma in held_out.items()}
    best = min(scores, key=scores.__getitem__)
    errors, sigma, scale = found.errors[inside], held_out[best][inside], 1.0
    least = least_factor(found) if kind == "hybrid" and inside.all() else 0.0
    if least > 0.0:
        sigma = np.maximum(sigma, least * parts[:, 2])
        scale = math.sqrt(zms(errors, sigma))
        least, sigma = scale * least, scale * sigma
    limit = math.inf if bounded or kind == "mc" else math.sqrt(np.square(errors).mean())
    conformal = {level: conformal_factor(np.abs(errors) / sigma, level / 100.0) for level in LEVELS}
    wider = widening(independent)
    scale, least, limit = wider * scale, wider * least, wider * limit
    sigma = wider * sigma if kind == "mc" else limited(wider * sigma, parts[inside], limit)
    mc = parts[inside, 0]
    scores["raw"] = math.sqrt(zms(errors[mc > 0.0], mc[mc > 0.0])) if (mc > 0.0).any() else math.nan
    scores |= {
        "calibrated": math.sqrt(zms(errors, sigma)),
        "coverage": coverage(errors, sigma, 0.9),
        "ence": ence(errors, sigma),
        "area": miscalibration_area(errors, sigma),
    }
    fitted = FITS[best](raw[used], found.errors[used]).scaled(scale)
    return Quantity(fitted, weights, conformal, scores, least, limit)


def limited(sigma: Array, parts: Array, inside: float) -> Array:
    """`sigma`, (...,), but at most sqrt(spread^2 + inside^2) (1 + closeness), of (..., 5) parts."""
    return np.asarray(np.minimum(sigma, np.hypot(parts[..., 4], inside) * (1.0 + parts[..., 3])))


def widening(independent: float) -> float:
    """Ratio of the 90 % intervals of Student's t and of the normal distribution; 1 for very many errors."""
    if math.isinf(independent):
        return 1.0
    from scipy.special import ndtri, stdtrit

    return float(stdtrit(max(independent, 1.0), 0.95) / ndtri(0.95))


def hybrid_weights(found: Observations, independent: float = math.inf) -> Array:
    """f_MC, f_LL, f_d of the sum of squares, (3,), fitted together with a constant; the last alone if errors
    are few."""
    parts, errors = found.parts, found.errors
    if independent < FEWEST_INDEPENDENT:
        return np.array([0.0, 0.0, least_factor(found)])
    terms = np.column_stack([np.ones(len(errors)), np.square(parts[:, :3])])
    if len(errors) > 100 * GROUPS:  # an even sample gives four numbers just as well
        chosen = np.linspace(0, len(errors) - 1, 100 * GROUPS).astype(int)
        terms, errors = terms[chosen], errors[chosen]
    weights = np.sqrt(fit_variance(terms, np.square(errors))[1:])
    return weights if weights.any() else np.eye(len(weights))[0]


def least_factor(found: Observations) -> float:
    """Root mean square error in units of the root mean square distance."""
    size, distance = (np.square(x).mean() for x in (found.errors, found.parts[:, 2]))
    return math.sqrt(size / distance) if distance > 0.0 else 0.0


def cross_fitted(
    fit: Callable[[Array, Array], SigmaMap], raw: Array, found: Observations, used: NDArray[np.bool_]
) -> Array:
    """Calibrated sigma of every error, (n,), by a map that was fitted without its block of structures.

    Only errors that are `used` take part in the fits.
    """
    sigma = np.empty_like(raw)
    for outside in (False, True):  # blocks of both kinds in every fold
        own = np.unique(found.structure[found.outside == outside])
        for fold in np.array_split(own, min(FOLDS, len(own))) if len(own) else []:
            left_out = np.isin(found.structure, fold)
            kept = ~left_out & used
            if len(own) < FOLDS or not raw[kept].any() or not found.errors[kept].any():
                kept = used  # too few to leave any out
            sigma[left_out] = fit(raw[kept], found.errors[kept])(raw[left_out])
    return sigma


def conformal_factor(ratios: Array, level: float) -> float:
    """The smallest k that at least ceil((n + 1) level) of n `ratios` do not exceed, or the largest ratio."""
    count = len(ratios)
    rank = min(count, math.ceil((count + 1) * level))
    return float(np.sort(ratios)[rank - 1])


def sigma_quantiles(sigmas: Array) -> Array:
    """Quantiles at PERCENT of the sigmas of structures, (n,)."""
    return np.asarray(np.percentile(sigmas, PERCENT))


def _check(errors: Array, parts: Array, independent: float) -> None:
    if not (np.isfinite(errors).all() and np.isfinite(parts).all()):
        bad = int(np.count_nonzero(~(np.isfinite(errors) & np.isfinite(parts).all(axis=1))))
        raise NumericalError(f"{bad} of {count(len(errors), 'error')} or standard deviations are not finite")
    largest = np.abs(errors).max(initial=0.0)
    if largest == 0.0 or (math.isinf(independent) and np.ptp(errors) <= 1e-12 * largest):
        shown = f"all errors ({len(errors)}) are {errors[0]:g}" if len(errors) else "there are no errors"
        raise NumericalError(f"{shown}, so they tell nothing of their size: are the references right?")
    if not parts[:, 0].any():
        raise NumericalError("all raw standard deviations are zero")
