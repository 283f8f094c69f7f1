r"""The loss, and the errors that are reported.

For structure s of n, with per-term weights W, the weights w of single energies, atoms and stresses
(:mod:`bnnp.training.weighting`) and the spread v of each quantity over the training set::

    L = 1/n sum_s [ W_E / (v_E c_E)  w_s   rho((E_s - E_s^ref) / N_s)
                  + W_F / (v_F c_F)  sum_{i,a} w_si  rho(F_sia - F_sia^ref)
                  + W_S / (v_S c_S)  w_s   sum_k rho(sigma_sk - sigma_sk^ref) ]

    rho(e) = e^2,   or   t (2 |e| - t) where |e| > t = d sqrt(v)

with Huber's function for ``huber_delta`` d > 0 (P. J. Huber, Ann. Math. Stat. 35, 73 (1964)), times 2, so
that small errors count as with squares. v_E = variance of E/N without element offsets, v_F = mean square
force component, v_S = variance of the stress components; c is the mean number of known values of a structure
(c_E is 1 unless max_energy excludes some), so that over an epoch every known value counts alike, and
structures without forces or stress only lack that term. L = W_E + W_F + W_S for a model that knows the mean
only and weights of 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.training.samples import Batch

Array = NDArray[np.float64]

COMMON, LARGEST = 0.9, 3.0  # share of the structures, and how many times their largest loss one may count


@dataclass(frozen=True)
class Spread:
    """Spread of the references over the training set, in the units they are given in.

    Parameters
    ----------
    energy, force, stress : float
        v_E, v_F, v_S.
    n_energies, n_forces, n_stresses : float
        Mean number of known values a structure: c_E, c_F, c_S.
    """

    energy: float
    force: float
    stress: float
    n_energies: float
    n_forces: float
    n_stresses: float

    @classmethod
    def of(cls, energies: Array, forces: Iterable[Array], stresses: Array) -> Spread:
        """From energies per atom (n,), forces (n_atoms, 3) a structure, stresses (n, 6); NaN is unknown."""
        count, square = 0, 0.0
        for components in forces:
            known = components[np.isfinite(components)]
            count, square = count + known.size, square + float(known @ known)
        known_e, known_s = energies[np.isfinite(energies)], stresses[np.isfinite(stresses)]
        n = max(len(energies), 1)
        return cls(
            energy=_positive(float(np.var(known_e)) if known_e.size else 0.0),
            force=_positive(square / max(count, 1)),
            stress=_positive(float(np.var(known_s)) if known_s.size else 0.0),
            n_energies=known_e.size / n,
            n_forces=count / n,
            n_stresses=known_s.size / n,
        )

    def thresholds(self, delta: float) -> tuple[float, float, float]:
        """Huber's t of energies per atom, forces and stresses; infinite for `delta` 0."""
        delta = delta or np.inf
        return delta * self.energy**0.5, delta * self.force**0.5, delta * self.stress**0.5

    def scaled(self, scale: float) -> Spread:
        """The same for references divided by `scale`."""
        energy, force, stress = (v / scale**2 for v in (self.energy, self.force, self.stress))
        return replace(self, energy=energy, force=force, stress=stress)


def _positive(variance: float) -> float:
    """`variance`, or 1 in place of 0: for a single structure, or zero forces."""
    return variance if variance > np.finfo(float).tiny else 1.0


@dataclass(frozen=True)
class Loss:
    """Prefactors of the three sums over known values: W / (v c).

    Parameters
    ----------
    energy, force, stress : float
    thresholds : (float, float, float)
        Errors t of energies per atom, forces and stresses beyond which rho is linear.
    """

    energy: float
    force: float
    stress: float
    thresholds: tuple[float, float, float] = (np.inf, np.inf, np.inf)

    @classmethod
    def of(
        cls,
        spread: Spread,
        energy_weight: float,
        force_weight: float,
        stress_weight: float,
        huber_delta: float = 0.0,
    ) -> Loss:
        """From the weights W of input.nn, the spread of the normalized references and Huber's d (0: none)."""
        return cls(
            energy_weight / (spread.energy * max(spread.n_energies, 1e-300)) if spread.n_energies else 0.0,
            force_weight / (spread.force * spread.n_forces) if spread.n_forces else 0.0,
            stress_weight / (spread.stress * spread.n_stresses) if spread.n_stresses else 0.0,
            spread.thresholds(huber_delta),
        )

    def sum(self, batch: Batch, energy: Tensor, forces: Tensor | None, virial: Tensor | None) -> Tensor:
        """n L of a batch: the sum over its structures, a scalar.

        Parameters
        ----------
        energy : (n_structures,) float
        forces : (n_atoms, 3) float, or None
        virial : (n_structures, 6) float, or None
            Volume times stress.
        """
        difference = deviation(energy, batch.energy) / batch.n_atoms
        total = self.energy * (batch.energy_weight * _rho(difference, self.thresholds[0])).sum()
        if forces is not None and self.force:
            errors = _rho(deviation(forces, batch.forces), self.thresholds[1])
            total = total + self.force * (batch.force_weight[:, None] * errors).sum()
        if virial is not None and self.stress:
            errors = _rho(deviation(virial / batch.volume[:, None], batch.stress), self.thresholds[2])
            total = total + self.stress * (batch.stress_weight[:, None] * errors).sum()
        return total


def _rho(errors: Tensor, threshold: float) -> Tensor:
    """rho of every error."""
    if not np.isfinite(threshold):
        return errors * errors
    size = errors.abs()
    return torch.where(size > threshold, threshold * (2.0 * size - threshold), errors * errors)


def deviation(prediction: Tensor, reference: Tensor) -> Tensor:
    """0, also for the gradient, where the reference is NaN; a prediction that is NaN gives NaN."""
    difference = prediction - reference
    return torch.where(torch.isnan(reference), torch.zeros_like(difference), difference)


@dataclass(frozen=True, eq=False)
class Errors:
    """Sums over each structure from which all reported errors follow; the array can be summed over ranks.

    A row has: count, sum |x|, sum x^2, sum rho(x) for energies per atom, total energies, forces and stresses.

    Parameters
    ----------
    rows : (n_structures, 16) float64
    thresholds : (float, float, float)
        Of rho, as in :class:`Loss`.
    """

    rows: Array
    thresholds: tuple[float, float, float] = (np.inf, np.inf, np.inf)

    @classmethod
    def none(cls, count: int, thresholds: tuple[float, float, float] = (np.inf, np.inf, np.inf)) -> Errors:
        """Of `count` structures that are still to be added."""
        return cls(np.zeros((count, 16)), thresholds)

    def add(
        self, row: int, place: int, prediction: Array, reference: Array, penalty: Array | None = None
    ) -> None:
        """Add differences of quantity `place` of structure `row`; a NaN reference is left out, a NaN
        prediction is not.

        `penalty`, of the same shape, takes the place of rho.
        """
        known = ~np.isnan(reference)
        sizes = np.abs((prediction - reference)[known])
        squares, threshold = sizes * sizes, self.thresholds[max(place - 1, 0)]
        rho = squares if penalty is None else penalty[known]
        if penalty is None and np.isfinite(threshold):
            rho = np.where(sizes > threshold, threshold * (2.0 * sizes - threshold), squares)
        self.rows[row, 4 * place : 4 * place + 4] += (sizes.size, sizes.sum(), squares.sum(), rho.sum())

    @property
    def sums(self) -> Array:
        """Over all structures, (16,)."""
        return np.asarray(self.rows.sum(axis=0))

    @property
    def rmse(self) -> Array:
        """(4,) of energy per atom, total energy, force, stress; NaN where nothing was counted."""
        result: Array = np.sqrt(self._mean(2))
        return result

    @property
    def mae(self) -> Array:
        """(4,) mean absolute errors."""
        return self._mean(1)

    def _mean(self, power: int) -> Array:
        sums = self.sums
        count = sums[0::4]
        return np.where(count > 0, sums[power::4] / np.maximum(count, 1), np.nan)

    def criterion(self, spread: Spread, weights: tuple[float, float, float]) -> float:
        """The loss of these errors without weights of single structures; the best epoch has the lowest.

        A structure counts with at most LARGEST times what nine of ten stay below (P. J. Huber, Ann. Math.
        Stat. 35, 73 (1964)): a few structures that no epoch describes, or with wrong labels, do not choose
        the epoch.
        """
        scales = np.array([spread.energy, spread.force, spread.stress])
        counts = self.rows[:, [0, 8, 12]].mean(axis=0)
        factors = np.where(counts > 0, np.array(weights) / scales / np.maximum(counts, 1e-300), 0.0)
        losses = self.rows[:, [3, 11, 15]] @ factors
        if not counts.any() or not np.isfinite(losses).all():
            return np.nan
        return float(np.minimum(losses, LARGEST * np.quantile(losses, COMMON, method="lower")).mean())

    def penalty(self, weights: Sequence[float]) -> float:
        """Weighted sum of the mean rho of energies per atom, forces and stresses."""
        counted = self.sums[[0, 8, 12]] > 0
        terms = np.array(weights) * self._mean(3)[[0, 2, 3]]
        return float(terms[counted].sum()) if counted.any() else np.nan
