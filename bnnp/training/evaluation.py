"""Predictions of the potential in training: the Monte Carlo mean over the frozen masks, as in mode 3.

Energies are means of the total over the samples; forces come from the mean of dE/dG, one sweep a structure.
The networks run in the C++ core, on the inputs z of the training. All in normalized units, float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.scaling import Affine
from bnnp.network.compiled import Networks
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.training.loss import Errors
from bnnp.training.pair_forces import forces_of
from bnnp.training.parameters import Parameters
from bnnp.training.samples import Sample

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Prediction and reference of one structure; NaN where there is none.

    Parameters
    ----------
    energy, reference_energy : float
        Totals.
    forces, reference_forces : (n_atoms, 3) float64
    stress, reference_stress : (6,) float64
    """

    energy: float
    reference_energy: float
    forces: Array
    reference_forces: Array
    stress: Array
    reference_stress: Array

    def count(self, errors: Errors, row: int) -> None:
        """Add the differences to `errors`, as structure `row` of them."""
        energy, reference = np.array([self.energy]), np.array([self.reference_energy])
        errors.add(row, 0, energy / len(self.forces), reference / len(self.forces))
        errors.add(row, 1, energy, reference)
        if not np.isnan(self.forces).all():
            errors.add(row, 2, self.forces, self.reference_forces)
            errors.add(row, 3, self.stress, self.reference_stress)


class Predictors(Protocol):
    """What makes a predictor of some weights; :class:`Evaluator` is one."""

    def predictor(self, parameters: Parameters, weights: Array) -> Callable[[Sample], Evaluation]:
        """What predicts a structure with these weights."""


class Evaluator:
    """Predicts single structures with given networks.

    Parameters
    ----------
    inputs : mapping of element to Affine
        z of each element.
    masks : Masks or None
        Frozen masks; None for the plain network.
    descriptor : Descriptor
    threads : int
    """

    def __init__(
        self,
        inputs: Mapping[str, Affine],
        masks: Masks | None,
        descriptor: Descriptor,
        threads: int = 1,
    ) -> None:
        self._elements, self._inputs = tuple(inputs), inputs
        self._width = max(descriptor.width, *(len(each.shift) for each in inputs.values()))
        self._masks = masks
        self.descriptor, self._threads = descriptor, threads

    def predictor(self, parameters: Parameters, weights: Array) -> Callable[[Sample], Evaluation]:
        """What predicts a structure with these weights."""
        return partial(self, self.load(parameters.unpack(weights)))

    def load(self, networks: Mapping[str, Network]) -> Networks:
        """`networks` in the C++ core, for many structures."""
        masks = self._masks
        if masks is None:
            return Networks(self._elements, networks, self._width, None, self._threads)
        factors = {element: masks.scaled(element) for element in self._elements}
        return Networks(
            self._elements, networks, self._width, factors, self._threads, masks.means, masks.centered
        )

    def __call__(self, networks: Networks, sample: Sample) -> Evaluation:
        """Prediction and reference of one structure."""
        types, inputs = gathered(sample, self._width)
        rows = [row.cpu().numpy() for row in sample.rows]
        energies, slope, _ = networks.sample(types, inputs, gradient=sample.geometry is not None)
        forces, stress = np.full((sample.n_atoms, 3), np.nan), np.full(6, np.nan)
        if sample.geometry is not None:
            gradient = np.zeros_like(inputs)
            for row, normalized in zip(rows, self._inputs.values(), strict=True):
                n = len(normalized.shift)
                gradient[row, :n] = slope[row, :n] @ normalized.matrix.T
            forces, virial = forces_of(self.descriptor, sample.geometry, gradient)
            stress = virial / sample.volume
        return Evaluation(
            energy=float(energies.sum(axis=0).mean()),
            reference_energy=sample.energy,
            forces=forces,
            reference_forces=sample.forces.cpu().numpy().astype(np.float64),
            stress=stress,
            reference_stress=sample.stress.cpu().numpy().astype(np.float64),
        )


def gathered(sample: Sample, width: int) -> tuple[NDArray[np.int32], Array]:
    """Element of every atom, (n_atoms,), and its inputs z, (n_atoms, width)."""
    inputs, types = np.zeros((sample.n_atoms, width)), np.empty(sample.n_atoms, dtype=np.int32)
    for number, (rows, z) in enumerate(zip(sample.rows, sample.inputs, strict=True)):
        row = rows.cpu().numpy()
        inputs[row, : z.shape[1]] = z.cpu().numpy()
        types[row] = number
    return types, inputs
