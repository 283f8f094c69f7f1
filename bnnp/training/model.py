"""Energies, forces and virials of a batch, differentiable in the weights.

With z = (G - mean) A of atom i of element X, its network y_X, masks m_s of structure s, and C_X = A_X^T::

    E_s = sum_{i in s} y_X(z_i, m_s)        dE/dG_i = (dy_X/dz_i) C_X         F, W: bnnp.training.pair_forces

dy/dz comes from autograd with its graph, so that the loss on forces can be differentiated once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from bnnp.descriptors.scaling import Affine
from bnnp.network.dense import forward
from bnnp.network.masks import training_masks
from bnnp.training.pair_forces import Geometry
from bnnp.training.parameters import Parameters
from bnnp.training.samples import Batch

MaskSet = Sequence[Tensor | None]
Forces = Callable[[Tensor, Sequence[Geometry]], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Dropout:
    """Masks of the training, one for each structure, element and epoch.

    Parameters
    ----------
    seed : int
    rates : tuple of float
        Drop probability of the inputs and of each hidden layer.
    count : int
        Masks of each structure in an update; the loss is that of the mean over them.
    """

    seed: int
    rates: tuple[float, ...]
    count: int = 1

    @property
    def active(self) -> bool:
        """Whether anything is dropped at all."""
        return any(rate > 0.0 for rate in self.rates)

    def masks(
        self, parameters: Parameters, epoch: int, sources: Sequence[int], like: Tensor
    ) -> dict[str, MaskSet]:
        """Scaled masks of a batch by element: for each layer (n_structures, n_l) or None; {}: no dropout."""
        if not self.active:
            return {}
        masks: dict[str, MaskSet] = {}
        for element, architecture in parameters.architectures.items():
            nodes = (parameters.n_inputs[element], *architecture.nodes)
            rates = self.rates[: len(nodes)]
            drawn = training_masks(self.seed, epoch, sources, element, rates, nodes, self.count)
            masks[element] = [
                None if mask is None else torch.as_tensor(mask, dtype=like.dtype, device=like.device)
                for mask in drawn
            ]
        return masks


class TrainedModel:
    """The function that is trained.

    Parameters
    ----------
    parameters : Parameters
    inputs : mapping of element to Affine
        z of each element.
    width : int
        Columns of dE/dG: the largest number of functions.
    forces : callable
        (dE/dG, geometries) -> forces (n_atoms, 3) and virials (n_structures, 6).
    dtype, device
        Of all tensors.
    """

    def __init__(
        self,
        parameters: Parameters,
        inputs: Mapping[str, Affine],
        width: int,
        forces: Forces,
        dtype: torch.dtype = torch.float64,
        device: str = "cpu",
    ) -> None:
        self.parameters, self._width, self._forces = parameters, width, forces
        self._chain = {
            element: torch.tensor(z.matrix.T.copy(), dtype=dtype, device=device)
            for element, z in inputs.items()
        }

    @classmethod
    def like(cls, other: TrainedModel) -> Self:
        """The same networks and functions as those of `other`, in this class."""
        model = cls.__new__(cls)
        model.__dict__.update(other.__dict__)
        return model

    def __call__(
        self, vector: Tensor, batch: Batch, masks: Mapping[str, MaskSet]
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Energies (n_structures,), forces (n_atoms, 3), virials (n_structures, 6), all normalized.

        Forces and virials are None if the batch has no geometries.
        """
        energy = torch.zeros_like(batch.energy)
        gradient = batch.forces.new_zeros(len(batch.forces), self._width)
        for (element, (weights, biases)), z, rows, owners in zip(
            self.parameters.views(vector).items(), batch.inputs, batch.rows, batch.owners, strict=True
        ):
            if len(rows) == 0:
                continue
            z = z.detach().requires_grad_(bool(batch.geometries))
            samples = forward(
                weights,
                biases,
                self.parameters.architectures[element].activations,
                z,
                masks.get(element),
                mask_rows(masks[element], owners, len(energy)) if masks else None,
                self.parameters.normalize_nodes,
            )
            atomic = samples.view(-1, len(z)).mean(dim=0)  # (n_X,)
            energy = energy.index_add(0, owners, atomic)
            if batch.geometries:
                (slope,) = torch.autograd.grad(atomic.sum(), z, create_graph=True)
                padded = torch.nn.functional.pad(slope @ self._chain[element], (0, self._width - z.shape[1]))
                gradient = gradient.index_add(0, rows, padded)  # (n_atoms, width)
        if not batch.geometries:
            return energy, None, None
        forces, virial = self._forces(gradient, batch.geometries)
        return energy, forces, virial


def mask_rows(masks: MaskSet, owners: Tensor, n_structures: int) -> Tensor:
    """Row of the masks for each copy of each atom, (count * n_X,); `owners` are their structures, (n_X,)."""
    count = max((len(mask) // n_structures for mask in masks if mask is not None), default=1)
    copies = torch.arange(count, device=owners.device)[:, None] * n_structures
    return (copies + owners).reshape(-1)
