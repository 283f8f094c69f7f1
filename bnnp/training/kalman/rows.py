"""Errors and derivatives of the observations of one update: the rows of the Kalman filter, over all ranks.

Each rank computes the rows of its structures and has zeros for the others; one sum over the ranks gives all
of them. Rows of a quantity whose loss has the prefactor c are multiplied by sqrt(c): energies by
sqrt(w_s c_E) / N, force components by sqrt(w_si c_F), stress components by sqrt(w_s c_S), with the weights w
of :mod:`bnnp.training.weighting`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.training.kalman.observations import Observers
from bnnp.training.kalman.updates import ENERGY, STRESS, Observation, Update
from bnnp.training.optimizer import Problem
from bnnp.training.samples import Sample, Samples

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """From observations to errors and derivatives.

    Parameters
    ----------
    observer : Observers
    samples : Samples
    prefactors : (float, float, float)
        c_E, c_F and c_S.
    shares : (float, float, float)
        Weights of the mean scaled squared errors of the three in the loss of a structure.
    thresholds : (float, float, float)
        Huber's t of energies per atom, forces and stresses; the square of a larger error e counts t / |e|,
        which gives the same gradient.
    mine : callable
        Structures -> those of this rank.
    dtype : torch.dtype
        Of the derivatives.
    smallest : (float, float)
        Smallest errors that are used, of energies per atom and of force components divided by the number of
        atoms, as in RuNNer.
    damping : (float, float)
        Factors of the errors of energies and of force components.
    """

    observer: Observers
    samples: Samples
    prefactors: tuple[float, float, float]
    shares: tuple[float, float, float] = (1.0, 1.0, 1.0)
    thresholds: tuple[float, float, float] = (np.inf, np.inf, np.inf)
    mine: Callable[[Sequence[int]], Sequence[int]] = lambda structures: structures
    dtype: torch.dtype = torch.float64
    smallest: tuple[float, float] = (0.0, 0.0)
    damping: tuple[float, float] = (1.0, 1.0)

    def __call__(
        self, problem: Problem, weights: Array, update: Update, epoch: int, thresholds: Array
    ) -> tuple[Array, Tensor, Array]:
        """Errors and derivatives of one update, over all ranks.

        Parameters
        ----------
        thresholds : (3,) float64
            Smallest error per atom, of a force component and of a stress component.

        Returns
        -------
        errors : (m,) float64
            Scaled; m is 0 if no error exceeds its threshold.
        rows : (m, n_weights) float
            Their derivatives.
        losses : (3,) float64
            The terms of the loss, estimated from these observations; 0 without any.
        """
        streams, n = update.streams, len(weights)
        table = np.zeros((len(streams), n + 3))  # derivatives, error, which quantity, whether it counts
        vector = torch.tensor(weights, dtype=self.dtype)
        pending = self._share(streams)
        largest, found = np.full(len(streams), -1.0), {}
        for trial in range(max(map(len, streams))):
            pending = [number for number in pending if trial < len(streams[number])]
            chosen = {number: streams[number][trial] for number in pending}
            for number, ratio, error, row in self._observed(vector, chosen, epoch, thresholds):
                enough = ratio > 1.0
                if enough or (update.otherwise == "worst" and ratio > largest[number]):
                    table[number, n:] = (error, chosen[number].quantity, 1.0)
                    largest[number], found[number] = ratio, row
                if enough:
                    pending = [other for other in pending if other != number]
        while found:  # derivatives are computed only now, and only for the observations used
            number, row = found.popitem()
            table[number, :n] = row()
        table = problem.total(table)
        squares = [table[(table[:, -1] > 0.0) & (table[:, -2] == k), n] ** 2 for k in range(3)]
        losses = np.array([square.mean() if len(square) else 0.0 for square in squares])
        table[:, n] *= np.append(self.damping, 1.0)[table[:, -2].astype(int)]
        table = _averaged(table, update.groups) if update.groups else table[table[:, -1] > 0.0]
        rows = torch.from_numpy(table[:, :n]).to(self.dtype)
        return table[:, n].copy(), rows, np.array(self.shares) * losses

    def _share(self, streams: Sequence[Sequence[Observation]]) -> list[int]:
        """This rank's streams; those that begin with the same structure stay together."""
        mine = set(self.mine(list(dict.fromkeys(stream[0].structure for stream in streams))))
        return [number for number, stream in enumerate(streams) if stream[0].structure in mine]

    def _observed(
        self, vector: Tensor, chosen: dict[int, Observation], epoch: int, thresholds: Array
    ) -> list[tuple[int, float, float, Callable[[], Array]]]:
        """For each stream its number, the error in units of its threshold (of 1e-300 if that is 0), the
        scaled error, and a function that computes the scaled derivatives."""
        found: list[tuple[int, float, float, Callable[[], Array]]] = []
        for structure in dict.fromkeys(each.structure for each in chosen.values()):
            numbers = [number for number, each in chosen.items() if each.structure == structure]
            components = np.array([chosen[number].component for number in numbers])
            sample, others = self.samples[structure], components[components != ENERGY]
            values, rows = self.observer(vector, sample, others, epoch, len(others) < len(components))
            rows, reference = cache(rows), _reference(sample, others)
            errors = reference - values.double().numpy()
            place = np.where(components == ENERGY, 0, np.cumsum(components != ENERGY))
            for number, k in zip(numbers, place.tolist(), strict=True):
                if np.isnan(reference[k]):
                    continue
                quantity = chosen[number].quantity
                size = abs(errors[k]) / (sample.n_atoms if quantity == 0 else 1)
                least = (self.smallest[0], self.smallest[1] * sample.n_atoms, 0.0)[quantity]
                ratio = size / max(thresholds[quantity], least, 1e-300)
                weight = self._weight(sample, chosen[number])
                factor = np.sqrt(weight * min(1.0, self.thresholds[quantity] / max(size, 1e-300)))
                found.append((number, float(ratio), factor * errors[k], partial(_scaled, rows, k, factor)))
        return found

    def _weight(self, sample: Sample, observation: Observation) -> float:
        """Weight of the square of an error in the loss."""
        energy, force, stress = self.prefactors
        if observation.quantity == 0:
            return sample.energy_weight * energy / sample.n_atoms**2
        if observation.quantity == 2:
            return sample.stress_weight * stress
        return float(sample.force_weight[observation.component // sample.forces.shape[1]]) * force


def _scaled(rows: Callable[[], Tensor], place: int, factor: float) -> Array:
    """One row times a factor."""
    return factor * rows()[place].double().numpy()


def _reference(sample: Sample, components: NDArray[np.int64]) -> Array:
    """References of the energy and of some force and stress components; NaN where there is none."""
    forces, stress = (x.double().numpy().reshape(-1) for x in (sample.forces, sample.stress))
    values = np.full(len(components), np.nan)
    is_force = components >= 0
    values[is_force] = forces[components[is_force]]
    values[~is_force] = stress[STRESS - components[~is_force]]
    return np.append(sample.energy, values)


def _averaged(table: Array, groups: int) -> Array:
    """Means over the streams that count, neighbors in `groups` rows; groups without any are left out.

    Errors and their derivatives get the sign that makes the error positive, as in RuNNer: errors of both
    signs would cancel, and the mean would be no observation of their size.
    """
    rows = []
    for part in np.array_split(table, groups):
        counting = part[part[:, -1] > 0.0]
        if len(counting):
            signs = np.where(counting[:, -3:-2] < 0.0, -1.0, 1.0)  # of the errors
            rows.append((signs * counting).mean(axis=0))
    return np.array(rows).reshape(-1, table.shape[1])
