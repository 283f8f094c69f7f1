"""From dE/dG to forces and virial, differentiable once more: this makes training on forces cheap.

With the vectors D_p = r_j - r_i of all pairs p = (i, j) of a structure, dE/dG is swept back to the pairs
(vjp) and scattered::

    d_p = dE/dD_p = sum_k dE/dG_ik dG_ik/dD_p
    F_i = sum_{p: center i} d_p - sum_{p: neighbor i} d_p,      W_ab = sum_p (D_pa d_pb + D_pb d_pa) / 2,
    sigma = W / V

All of this is linear in dE/dG, so its own derivative, wanted by the loss L, is the transposed map: gather
dL/dF and dL/dW to the pairs and sweep forward (jvp)::

    dL/dd_p = dL/dF_i - dL/dF_j + (dL/dW) D_p,      dL/d(dE/dG)_ik = sum_p dG_ik/dD_p . dL/dd_p

No matrix dF/dw and no dense dG/dr is ever formed. The sweeps are those of the C++ core: over derivative
blocks kept in memory, or recomputed from the vectors; :mod:`bnnp.training.dense_blocks` does the same in
plain torch for a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.descriptors.neighbors import NeighborList
from bnnp.descriptors.pairs import pair_differences, sum_pairs
from bnnp.structure import VOIGT

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ChargeResponses:
    """How the charges of a structure follow its atoms and its cell.

    Parameters
    ----------
    matrix : (3 n_atoms + 6, n_atoms) float64
        -dQ_k / dr_ia in the rows 3 i + a, then dQ_k / d(strain), xx yy zz yz xz xy.
    columns : (n_atoms,) int64
        Where dE/dQ of each atom stands in its row of dE/dG.
    """

    matrix: Array
    columns: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Geometry:
    """What the forces of one structure depend on, apart from dE/dG.

    Parameters
    ----------
    types : (n_atoms,) int32
        Index into the sorted elements.
    pairs : NeighborList
    blocks : (n_values,) float32 or None
        dG/dD of every pair (the order of ``Descriptor.jacobian``); None: recomputed from the vectors.
    charges : ChargeResponses or None
        Of a potential with charges, where dE/dG has dE/dQ behind the functions of each element.
    """

    types: NDArray[np.int32]
    pairs: NeighborList
    blocks: NDArray[np.float32] | None
    charges: ChargeResponses | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        pairs = self.pairs
        arrays = (self.types, pairs.first, pairs.centers, pairs.neighbors, pairs.vectors, self.blocks)
        charges = 0 if self.charges is None else self.charges.matrix.nbytes
        return charges + sum(array.nbytes for array in arrays if array is not None)


class Sweeps(Protocol):
    """The reverse and forward sweep; :class:`bnnp.descriptors.compiled.Descriptor` is one."""

    def vjp(self, types: Any, pairs: NeighborList, gradient: Array, /) -> Array: ...
    def jvp(self, types: Any, pairs: NeighborList, direction: Array, /) -> Array: ...
    def block_vjp(self, types: Any, pairs: NeighborList, blocks: Any, gradient: Array, /) -> Array: ...
    def block_jvp(self, types: Any, pairs: NeighborList, blocks: Any, direction: Array, /) -> Array: ...


def pair_derivatives(sweeps: Sweeps, geometry: Geometry, gradient: Array) -> Array:
    """d_p of `gradient` = dE/dG, (n_atoms, width); (n_pairs, 3) float64."""
    if geometry.blocks is None:
        return sweeps.vjp(geometry.types, geometry.pairs, gradient)
    return sweeps.block_vjp(geometry.types, geometry.pairs, geometry.blocks, gradient)


def descriptor_changes(sweeps: Sweeps, geometry: Geometry, direction: Array) -> Array:
    """sum_p dG/dD_p . direction_p, (n_atoms, width) float64: the transposed map."""
    if geometry.blocks is None:
        return sweeps.jvp(geometry.types, geometry.pairs, direction)
    return sweeps.block_jvp(geometry.types, geometry.pairs, geometry.blocks, direction)


def forces_of(sweeps: Sweeps, geometry: Geometry, gradient: Array) -> tuple[Array, Array]:
    """Forces (n_atoms, 3) and virial (6,) of `gradient` = dE/dG, (n_atoms, width), with dE/dQ if there are
    charges."""
    charges = geometry.charges
    if charges is None:
        return scatter(geometry.pairs, pair_derivatives(sweeps, geometry, gradient))
    atoms, gradient = np.arange(len(gradient)), gradient.copy()
    by_charge = gradient[atoms, charges.columns]
    gradient[atoms, charges.columns] = 0.0
    functions = np.ascontiguousarray(gradient[:, :-1])
    forces, virial = scatter(geometry.pairs, pair_derivatives(sweeps, geometry, functions))
    through = charges.matrix @ by_charge
    return forces + through[:-6].reshape(-1, 3), virial + through[-6:]


def gradient_of(sweeps: Sweeps, geometry: Geometry, forces: Array, virial: Array) -> Array:
    """dL/d(dE/dG), (n_atoms, width), of dL/dF (n_atoms, 3) and dL/dW (6,): the transpose of `forces_of`."""
    found = descriptor_changes(sweeps, geometry, gather(geometry.pairs, forces, virial))
    charges = geometry.charges
    if charges is None:
        return found
    found = np.column_stack([found, np.zeros(len(found))])
    found[np.arange(len(found)), charges.columns] = np.append(forces.ravel(), virial) @ charges.matrix
    return found


def scatter(pairs: NeighborList, derivatives: Array) -> tuple[Array, Array]:
    """Forces (n_atoms, 3) and virial (6,) of d_p, (n_pairs, 3)."""
    moments = pairs.vectors.T @ derivatives  # sum_p D_pa d_pb, (3, 3)
    return sum_pairs(pairs, derivatives), 0.5 * (moments + moments.T)[VOIGT]


def gather(pairs: NeighborList, forces: Array, virial: Array) -> Array:
    """dL/dd_p, (n_pairs, 3), of dL/dF (n_atoms, 3) and dL/dW (6,): the transpose of :func:`scatter`."""
    moments = np.zeros((3, 3))
    moments[VOIGT] = virial
    direction = pair_differences(pairs, forces)
    if virial.any():
        direction += pairs.vectors @ (0.5 * (moments + moments.T))
    return direction


class PairForces(torch.autograd.Function):
    """dE/dG (n_atoms, width) of a batch -> forces (n_atoms, 3) and virials (n_structures, 6).

    Called as ``PairForces.apply(gradient, sweeps, geometries)`` with the atoms of the batch structure after
    structure. Works on the CPU, in float64 whatever the dtype of the network.
    """

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, sweeps: Sweeps, geometries: Sequence[Geometry]
    ) -> tuple[Tensor, Tensor]:
        """Sweep back to the pairs and scatter."""
        ctx.sweeps, ctx.geometries, ctx.dtype = sweeps, geometries, gradient.dtype
        values = gradient.detach().to(torch.float64).numpy()
        forces, virials = np.empty((len(values), 3)), np.empty((len(geometries), 6))
        first = 0
        for number, geometry in enumerate(geometries):
            atoms = slice(first, first + len(geometry.types))
            forces[atoms], virials[number] = forces_of(sweeps, geometry, values[atoms])
            first = atoms.stop
        return torch.from_numpy(forces).to(ctx.dtype), torch.from_numpy(virials).to(ctx.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        """Gather to the pairs and sweep forward."""
        forces, virials = (gradient.to(torch.float64).numpy() for gradient in upstream)
        parts, first = [], 0
        for virial, geometry in zip(virials, ctx.geometries, strict=True):
            atoms = slice(first, first + len(geometry.types))
            parts.append(gradient_of(ctx.sweeps, geometry, forces[atoms], virial))
            first = atoms.stop
        return torch.from_numpy(np.concatenate(parts)).to(ctx.dtype), None, None
