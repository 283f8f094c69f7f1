"""What tells the size of an error, side by side: Monte Carlo samples, last layer, distance from training.

For the energy per atom of the total, each force component and each stress component there are `parts`:
sigma_MC alone, or sigma_MC, sigma_LL and d (:mod:`bnnp.uncertainty.training_statistics`). The distance of the
total and of the stress is the root mean square over all atoms, that of a force the one of its atom. How parts
become one sigma is the matter of :mod:`bnnp.uncertainty.calibration`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.scaling import Scaling
from bnnp.uncertainty.ensemble import Sampler
from bnnp.uncertainty.training_statistics import TrainingStatistics

Array = NDArray[np.float64]

VOIGT = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)  # rows and columns of xx yy zz yz xz xy


@dataclass(frozen=True, eq=False)
class Parts:
    """Of one structure; the last axis has 1 part or 3.

    Parameters
    ----------
    energy : (k,) float64
        Of the energy per atom of the total.
    forces : (n_atoms, 3, k) float64 or None
    stress : (6, k) float64 or None
    """

    energy: Array
    forces: Array | None = None
    stress: Array | None = None

    @classmethod
    def of_samples(cls, energy: float, forces: Array | None, stress: Array | None) -> Parts:
        """The Monte Carlo part alone; `energy` per atom of the total."""
        return cls(
            np.array([energy]),
            None if forces is None else forces[..., None],
            None if stress is None else stress[..., None],
        )

    def beside(self, last_layer: Parts, distances: Array) -> Parts:
        """All three; `distances` of the atoms, (n_atoms,)."""
        mean = np.full(1, np.sqrt(np.square(distances).mean()))
        forces = stress = None
        if self.forces is not None:
            assert last_layer.forces is not None
            of_atoms = np.broadcast_to(distances[:, None, None], self.forces.shape)
            forces = np.concatenate([self.forces, last_layer.forces, of_atoms], axis=-1)
        if self.stress is not None:
            assert last_layer.stress is not None
            of_cell = np.broadcast_to(mean, self.stress.shape)
            stress = np.concatenate([self.stress, last_layer.stress, of_cell], axis=-1)
        return Parts(np.concatenate([self.energy, last_layer.energy, mean]), forces, stress)


class LastLayer:
    """sigma_LL of energy, forces and stress.

    Parameters
    ----------
    sampler : Sampler
        Of :func:`bnnp.uncertainty.training_statistics.probes`.
    statistics : mapping of str to TrainingStatistics
    elements : sequence of str
    """

    def __init__(
        self, sampler: Sampler, statistics: Mapping[str, TrainingStatistics], elements: Sequence[str]
    ) -> None:
        self.sampler = sampler
        means = [statistics[element].directions @ statistics[element].feature_mean for element in elements]
        self._offsets = np.concatenate(means)  # (n_samples,)
        self._owner = np.repeat(np.arange(len(elements)), [len(mean) for mean in means])

    def parts(
        self,
        descriptor: Any,
        types: NDArray[np.int32],
        pairs: Any,
        inputs: Array,
        factors: Array,
        derivatives: bool,
        volume: float | None,
    ) -> Parts:
        """Of one structure; arguments as for the compiled ``Networks``, `factors` without units."""
        energies, _, delta = self.sampler.sample(types, inputs, False, derivatives)
        counts = np.bincount(types, minlength=int(self._owner.max()) + 1)
        totals = energies.sum(axis=0) - counts[self._owner] * self._offsets  # (n_samples,)
        energy = np.array([np.sqrt(np.square(totals).sum()) / len(types)])
        if not derivatives:
            return Parts(energy)
        forces, virials = self.sampler.forces(descriptor, types, pairs, factors, delta)
        stress = None
        if volume is not None:
            stress = np.sqrt(np.square(virials[VOIGT]).sum(axis=-1, keepdims=True)) / volume
        return Parts(energy, np.sqrt(np.square(forces).sum(axis=-1, keepdims=True)), stress)


def distances(
    descriptors: Array,
    types: NDArray[np.int32],
    elements: Sequence[str],
    statistics: Mapping[str, TrainingStatistics],
    scalings: Mapping[str, Scaling],
) -> Array:
    """d of every atom, (n_atoms,), from unscaled symmetry functions, (n_atoms, width)."""
    found = np.zeros(len(types))
    for number, element in enumerate(elements):
        atoms = types == number
        if atoms.any():
            scaling = scalings[element]
            found[atoms] = statistics[element].distance(descriptors[atoms, : len(scaling)], scaling)
    return found
