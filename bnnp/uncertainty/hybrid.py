"""Parts of a standard deviation: Monte Carlo samples, last layer, distance from the training set.

For the total energy per atom, each force component and each stress component the parts are sigma_MC alone,
or sigma_MC, sigma_LL, a distance, a closeness (:mod:`bnnp.uncertainty.training_statistics`) and the spread of
the samples. The last three of a force component are a and x_r of its atom and the root mean square of
sigma_MC over its three components; those of energy and stress are D of the structure, the root mean square
of x_r, and sigma_MC or its root mean square over the six components.
:mod:`bnnp.uncertainty.calibration` makes one sigma of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.neighbors import NeighborList
from bnnp.descriptors.scaling import Scaling
from bnnp.structure import VOIGT
from bnnp.uncertainty.ensemble import Sampler
from bnnp.uncertainty.training_statistics import TrainingStatistics

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Distances:
    """How far one structure is from the training set.

    Parameters
    ----------
    atoms : (n_atoms,) float64
        a, of the surroundings of every atom.
    closeness : (n_atoms,) float64
        x_r.
    structure : float
        D.
    unseen : (n_atoms,) bool
        Atoms in whose surroundings is what was not in the training set at all.
    """

    atoms: Array
    closeness: Array
    structure: float
    unseen: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SigmaParts:
    """Parts of the standard deviations of one structure, on the last axis: k = 1, or 5 with `distances`.

    Parameters
    ----------
    energy : (k,) float64
        Of the total energy per atom.
    forces : (n_atoms, 3, k) float64 or None
    stress : (6, k) float64 or None
    distances : Distances or None
    """

    energy: Array
    forces: Array | None = None
    stress: Array | None = None
    distances: Distances | None = None

    @classmethod
    def of_samples(cls, energy: float, forces: Array | None, stress: Array | None) -> SigmaParts:
        """The Monte Carlo part alone; `energy` is that of the total energy per atom."""
        return cls(
            np.array([energy]),
            None if forces is None else forces[..., None],
            None if stress is None else stress[..., None],
        )

    def joined(self, last_layer: SigmaParts, distances: Distances) -> SigmaParts:
        """All five parts."""
        of_cell = np.array([distances.structure, np.sqrt(np.square(distances.closeness).mean())])
        forces = stress = None
        if self.forces is not None:
            assert last_layer.forces is not None
            own = np.column_stack([distances.atoms, distances.closeness])
            of_atoms = np.broadcast_to(own[:, None], (*self.forces.shape[:2], 2))
            spread = _spread(self.forces)
            forces = np.concatenate([self.forces, last_layer.forces, of_atoms, spread], axis=-1)
        if self.stress is not None:
            assert last_layer.stress is not None
            spread = _spread(self.stress)
            every = np.broadcast_to(of_cell, (6, 2))
            stress = np.concatenate([self.stress, last_layer.stress, every, spread], axis=-1)
        energy = np.concatenate([self.energy, last_layer.energy, of_cell, self.energy])
        return SigmaParts(energy, forces, stress, distances)


def _spread(samples: Array) -> Array:
    """Root mean square over the components, the last axis but one, for each of them."""
    return np.broadcast_to(np.sqrt(np.square(samples).mean(axis=-2, keepdims=True)), samples.shape)


class LastLayer:
    """sigma_LL of energy, forces and stress.

    Parameters
    ----------
    sampler : Sampler
        Of :func:`bnnp.uncertainty.training_statistics.probes`.
    descriptor : Descriptor
    factors : (n_elements, width) float64
        d(scaled)/d(unscaled) symmetry function.
    statistics : mapping of str to TrainingStatistics
    elements : sequence of str
    """

    def __init__(
        self,
        sampler: Sampler,
        descriptor: Descriptor,
        factors: Array,
        statistics: Mapping[str, TrainingStatistics],
        elements: Sequence[str],
    ) -> None:
        self.sampler, self.descriptor, self.factors = sampler, descriptor, factors
        means = [statistics[element].directions @ statistics[element].feature_mean for element in elements]
        self._offsets = np.concatenate(means)  # (n_samples,)
        self._owner = np.repeat(np.arange(len(elements)), [len(mean) for mean in means])

    def parts(
        self,
        types: NDArray[np.int32],
        pairs: NeighborList,
        inputs: Array,
        derivatives: bool,
        volume: float | None,
    ) -> SigmaParts:
        """sigma_LL of one structure as the only part.

        Parameters
        ----------
        types : (n_atoms,) int32
        pairs : NeighborList
        inputs : (n_atoms, width) float64
            Scaled symmetry functions.
        derivatives : bool
            Whether to give those of the forces and, with a `volume` (length^3), of the stress.
        """
        energies, _, delta = self.sampler.sample(types, inputs, False, derivatives)
        counts = np.bincount(types, minlength=int(self._owner.max()) + 1)
        totals = energies.sum(axis=0) - counts[self._owner] * self._offsets  # (n_samples,)
        energy = np.array([np.sqrt(np.square(totals).sum()) / len(types)])
        if not derivatives:
            return SigmaParts(energy)
        forces, virials = self.sampler.forces(self.descriptor, types, pairs, self.factors, delta)
        stress = None
        if volume is not None:
            stress = np.sqrt(np.square(virials[VOIGT]).sum(axis=-1, keepdims=True)) / volume
        return SigmaParts(energy, np.sqrt(np.square(forces).sum(axis=-1, keepdims=True)), stress)


def distances(
    descriptors: Array,
    types: NDArray[np.int32],
    elements: Sequence[str],
    statistics: Mapping[str, TrainingStatistics],
    scalings: Mapping[str, Scaling],
    pairs: NeighborList,
    radius: float,
) -> Distances:
    """How far a structure is from the training set.

    Parameters
    ----------
    descriptors : (n_atoms, width) float64
        Unscaled symmetry functions.
    radius : float, length
        The largest cutoff, r_c of the surroundings.
    """
    found, unseen = np.zeros(len(types)), np.zeros(len(types), dtype=np.bool_)
    shortest = np.array([[statistics[x].shortest.get(y, 0.0) for y in elements] for x in elements])
    close = closeness(types, pairs, shortest)
    square = float(np.square(close).mean())
    for number, element in enumerate(elements):
        atoms = types == number
        if atoms.any():
            scaling, own = scalings[element], descriptors[atoms, : len(scalings[element])]
            found[atoms] = statistics[element].distance(own, scaling)
            unseen[atoms] = statistics[element].unseen(own, scaling)
            square += float(atoms.mean()) * statistics[element].structure_square(own, scaling)
    around = surroundings(np.hypot(found, close), pairs, radius)
    return Distances(around, close, np.sqrt(square), unseen | strangers(types, pairs, shortest))


def surroundings(own: Array, pairs: NeighborList, radius: float) -> Array:
    """a of every atom, (n_atoms,), from d, (n_atoms,), and r_c = `radius`."""
    lengths = np.minimum(np.sqrt(np.einsum("pk,pk->p", pairs.vectors, pairs.vectors)), radius)
    weights = np.square(0.5 * (np.cos(np.pi * lengths / radius) + 1.0))
    sums = np.bincount(pairs.centers, weights * np.square(own)[pairs.neighbors], minlength=len(own))
    return np.sqrt((np.square(own) + sums) / (1.0 + np.bincount(pairs.centers, weights, minlength=len(own))))


def strangers(types: NDArray[np.int32], pairs: NeighborList, shortest: Array) -> NDArray[np.bool_]:
    """Which atoms have two elements around them, or themselves and a neighbor, that never met, (n_atoms,).

    Parameters
    ----------
    shortest : as for :func:`closeness`
        A row of zeros is of an element that never had a neighbor: nothing follows from it.
    """
    there = np.zeros((len(types), len(shortest)), dtype=np.bool_)
    there[np.arange(len(types)), types] = True
    own, other = types[pairs.centers], types[pairs.neighbors]
    there[pairs.centers, other] = True
    never = (shortest == 0.0) & shortest.any(axis=1, keepdims=True)
    apart = never & ~np.eye(len(shortest), dtype=np.bool_)
    found = np.asarray(
        np.einsum("ix,xy,iy->i", *(each.astype(np.int64) for each in (there, apart, there))) > 0
    )
    found[pairs.centers[never[own, other]]] = True
    return found


def closeness(types: NDArray[np.int32], pairs: NeighborList, shortest: Array) -> Array:
    """x_r of every atom, (n_atoms,).

    Parameters
    ----------
    shortest : (n_elements, n_elements) float64, length
        Shortest distance in training of an element and a neighboring one; 0 if never seen.
    """
    squares = np.einsum("pk,pk->p", pairs.vectors, pairs.vectors)
    limits = np.square(shortest)[types[pairs.centers], types[pairs.neighbors]]
    near = np.flatnonzero(squares < limits)
    found = np.zeros(len(types))
    np.maximum.at(found, pairs.centers[near], (limits[near] / squares[near]) ** 3 - 1.0)
    return found
