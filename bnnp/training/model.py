"""Energies, forces and virials of a batch, differentiable in the weights.

With z = (G - mean) A of atom i of element X, its network y_X, masks m_s of structure s, and C_X = A_X^T::

    E_s = sum_{i in s} y_X(z_i, m_s)        dE/dG_i = (dy_X/dz_i) C_X         F, W: bnnp.training.pair_forces

dy/dz comes from autograd with its graph, so that the loss on forces can be differentiated once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from bnnp.descriptors.scaling import Affine
from bnnp.network.masks import TrainingMasks
from bnnp.network.tensors import forward
from bnnp.training.pair_forces import Geometry
from bnnp.training.parameters import Parameters
from bnnp.training.samples import Batch

MaskSet = Sequence[Tensor | None]
Forces = Callable[[Tensor, Sequence[Geometry]], tuple[Tensor, Tensor]]


class Dropout(TrainingMasks):
    """Random masks of the batches; with several for each structure the loss is that of the mean over them."""

    def masks(
        self, parameters: Parameters, epoch: int, sources: Sequence[int], like: Tensor
    ) -> dict[str, MaskSet]:
        """Scaled masks of a batch by element: for each layer (count * n_structures, n_l) or None, the first
        masks of all structures first; an empty dict without dropout."""
        if not self.active:
            return {}
        masks: dict[str, MaskSet] = {}
        for element, architecture in parameters.architectures.items():
            nodes = (parameters.n_inputs[element], *architecture.nodes)
            masks[element] = [
                None if mask is None else torch.as_tensor(mask, dtype=like.dtype, device=like.device)
                for mask in self.draw(element, nodes, epoch, sources)
            ]
        return masks


class TrainedModel:
    """Energies, forces and virials as a function of the weights.

    Parameters
    ----------
    parameters : Parameters
    inputs : mapping of element to Affine
        z of each element.
    width : int
        Columns of dE/dG: the largest number of functions.
    forces : callable
        (dE/dG, geometries) -> forces (n_atoms, 3) and virials (n_structures, 6).
    dtype : torch.dtype
    device : str
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
        """An object of this class with the attributes of `other`."""
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
        for (element, network), z, rows, owners in zip(
            self.parameters.views(vector).items(), batch.inputs, batch.rows, batch.owners, strict=True
        ):
            if len(rows) == 0:
                continue
            z = z.detach().requires_grad_(bool(batch.geometries))
            chosen = mask_rows(masks[element], owners, len(energy)) if masks else None
            samples = forward(network, z, masks.get(element), chosen)
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
