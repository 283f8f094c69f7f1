"""Errors and derivatives of the observations of one update: the rows of the Kalman filter, over all ranks.

A rank takes the structures dealt to it; of the others its rows are zero, and one sum over the ranks gives all
of them. Rows of a quantity whose loss has the prefactor c are multiplied by sqrt(c): energies by
sqrt(w_s c_E) / N, force components by sqrt(w_si c_F), with the weights w of :mod:`bnnp.training.weighting`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.training.kalman_updates import ENERGY, Observation, Update
from bnnp.training.observations import Observer
from bnnp.training.optimizer import Problem
from bnnp.training.samples import Samples

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """From observations to errors and derivatives.

    Parameters
    ----------
    observer : Observer
    samples : Samples
    energy, force : float
        c_E and c_F.
    share : float
        Of a scaled squared energy error in the loss.
    thresholds : (float, float)
        Huber's t of energies per atom and of forces; an error e beyond counts as t / |e| of its square does,
        which has the same gradient.
    mine : callable
        Of some structures those this rank takes.
    dtype : torch.dtype
        Of the derivatives.
    """

    observer: Observer
    samples: Samples
    energy: float
    force: float
    share: float = 1.0
    thresholds: tuple[float, float] = (np.inf, np.inf)
    mine: Callable[[Sequence[int]], Sequence[int]] = lambda structures: structures
    dtype: torch.dtype = torch.float64

    def __call__(
        self, problem: Problem, weights: Array, update: Update, epoch: int, thresholds: Array
    ) -> tuple[Array, Tensor, tuple[float, float]]:
        """Scaled errors (m,) float64 and derivatives (m, n_weights); m is 0 if none exceeds the thresholds.
        The two numbers are the terms of the loss, as the observations show them, 0 without any.

        Parameters
        ----------
        thresholds : (2,) float64
            Smallest error per atom, and of a force component.
        """
        streams, n = update.streams, len(weights)
        table = np.zeros(
            (len(streams), n + 3)
        )  # derivatives, error, whether it is a force, whether it counts
        vector = torch.tensor(weights, dtype=self.dtype)
        pending = self._share(streams)
        largest = np.full(len(streams), -1.0)
        for trial in range(max(map(len, streams))):
            pending = [number for number in pending if trial < len(streams[number])]
            chosen = {number: streams[number][trial] for number in pending}
            for number, ratio, error, row in self._observed(vector, chosen, epoch, thresholds):
                enough = ratio > 1.0 and not update.sort
                if enough or ((update.sort or update.otherwise == "worst") and ratio > largest[number]):
                    is_force = float(chosen[number].component != ENERGY)
                    table[number, :n], table[number, n:] = row, (error, is_force, 1.0)
                    largest[number] = ratio
                if enough:
                    pending = [other for other in pending if other != number]
        table = problem.total(table)
        squares = [table[(table[:, -1] > 0.0) & (table[:, -2] == k), n] ** 2 for k in (0.0, 1.0)]
        energy, force = (float(square.mean()) if len(square) else 0.0 for square in squares)
        table = _averaged(table, update.groups) if update.groups else table[table[:, -1] > 0.0]
        rows = torch.from_numpy(table[:, :n]).to(self.dtype)
        return table[:, n].copy(), rows, (self.share * energy, force)

    def _share(self, streams: Sequence[Sequence[Observation]]) -> list[int]:
        """This rank's streams; those that begin with the same structure stay together."""
        mine = set(self.mine(list(dict.fromkeys(stream[0].structure for stream in streams))))
        return [number for number, stream in enumerate(streams) if stream[0].structure in mine]

    def _observed(
        self, vector: Tensor, chosen: dict[int, Observation], epoch: int, thresholds: Array
    ) -> list[tuple[int, float, float, Array]]:
        """Of each stream: error in units of its threshold (of 1e-300 if that is 0), scaled error, scaled
        derivatives."""
        found = []
        for structure in dict.fromkeys(each.structure for each in chosen.values()):
            numbers = [number for number, each in chosen.items() if each.structure == structure]
            components = np.array([chosen[number].component for number in numbers])
            sample, forces = self.samples[structure], components[components != ENERGY]
            values, rows = self.observer(vector, sample, forces, epoch)
            reference = torch.cat([vector.new_tensor([sample.energy]), sample.forces.reshape(-1)[forces]])
            errors = (reference - values).double().numpy()
            place = np.where(components == ENERGY, 0, np.cumsum(components != ENERGY))
            for number, k in zip(numbers, place.tolist(), strict=True):
                if np.isnan(errors[k]) and bool(torch.isnan(reference[k])):
                    continue  # no reference
                size = abs(errors[k]) / (1 if k else sample.n_atoms)
                ratio = size / max(thresholds[1 if k else 0], 1e-300)
                weight = sample.energy_weight * self.energy / sample.n_atoms**2
                if k:
                    weight = float(sample.force_weight[chosen[number].component // 3]) * self.force
                factor = np.sqrt(weight * min(1.0, self.thresholds[1 if k else 0] / max(size, 1e-300)))
                found.append((number, float(ratio), factor * errors[k], factor * rows[k].double().numpy()))
        return found


def _averaged(table: Array, groups: int) -> Array:
    """Means over the streams that count, neighbours in `groups` rows; groups without any are left out."""
    rows = []
    for part in np.array_split(table, groups):
        counting = part[part[:, -1] > 0.0]
        if len(counting):
            rows.append(counting.mean(axis=0))
    return np.array(rows).reshape(-1, table.shape[1])
