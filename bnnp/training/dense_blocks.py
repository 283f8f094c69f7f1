"""Forces from derivative blocks in plain torch, for a GPU.

The pairs of one class (element of center X, of neighbor Y) have blocks of one shape, so d_p = B_p^T
(dE/dG)_i is one batched product for each class, and forces are two index sums. Plain torch operations: the
backward pass is autograd's. The mathematics is that of :mod:`bnnp.training.pair_forces`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.descriptors.compiled import Descriptor
from bnnp.structure import VOIGT
from bnnp.training.pair_forces import Geometry


@dataclass(frozen=True, eq=False)
class PairClass:
    """Pairs of one class in one structure.

    Parameters
    ----------
    centers, neighbors : (n_pairs,) int64
    columns : (n_sensitive,) int64
        Functions of the center that depend on the neighbor.
    blocks : (n_pairs, 3, n_sensitive) float
    vectors : (n_pairs, 3) float
    """

    centers: Tensor
    neighbors: Tensor
    columns: Tensor
    blocks: Tensor
    vectors: Tensor


@dataclass(eq=False)
class DenseForces:
    """The function (dE/dG, geometries) -> forces and virials of a :class:`bnnp.training.model.TrainedModel`.

    Parameters
    ----------
    descriptor : Descriptor
        For the layout of the blocks; computes them where a geometry has none.
    dtype : torch.dtype
    device : str
        The blocks of a structure stay on the device as long as its geometry is kept.
    """

    descriptor: Descriptor
    dtype: torch.dtype = torch.float64
    device: str = "cpu"
    _classes: WeakKeyDictionary[Geometry, list[PairClass]] = field(default_factory=WeakKeyDictionary)

    def __call__(self, gradient: Tensor, geometries: Sequence[Geometry]) -> tuple[Tensor, Tensor]:
        """Forces (n_atoms, 3) and virials (n_structures, 6) of dE/dG, (n_atoms, width)."""
        parts, virials, first = [], [], 0
        for geometry in geometries:
            slope = gradient[first : first + len(geometry.types)]
            first += len(geometry.types)
            forces, moments = slope.new_zeros(len(slope), 3), slope.new_zeros(3, 3)
            for pairs in self._of(geometry):
                weights = slope[pairs.centers][:, pairs.columns]  # (n_pairs, n_sensitive)
                derivatives = torch.einsum("pak,pk->pa", pairs.blocks, weights)  # dE/dD, (n_pairs, 3)
                forces = forces.index_add(0, pairs.centers, derivatives)
                forces = forces.index_add(0, pairs.neighbors, -derivatives)
                moments = moments + pairs.vectors.T @ derivatives
            parts.append(forces)
            virials.append(0.5 * (moments + moments.T)[VOIGT])
        return torch.cat(parts), torch.stack(virials)

    def _of(self, geometry: Geometry) -> list[PairClass]:
        if geometry not in self._classes:
            self._classes[geometry] = self._split(geometry)
        return self._classes[geometry]

    def _split(self, geometry: Geometry) -> list[PairClass]:
        types, pairs = geometry.types, geometry.pairs
        blocks = geometry.blocks
        if blocks is None:
            blocks = np.asarray(self.descriptor.jacobian(types, pairs, np.float32))
        sizes = self.descriptor.block_sizes(types, pairs)
        first = np.concatenate([[0], np.cumsum(sizes)])
        centers, neighbors = types[pairs.centers], types[pairs.neighbors]
        classes = []
        for x, y in np.ndindex(len(self.descriptor.elements), len(self.descriptor.elements)):
            mine = np.flatnonzero((centers == x) & (neighbors == y))
            columns = self.descriptor.sensitive(self.descriptor.elements[x], self.descriptor.elements[y])
            if len(mine) and len(columns):
                values = blocks[first[mine][:, None] + np.arange(3 * len(columns))]
                pair_class = PairClass(
                    centers=self._index(pairs.centers[mine]),
                    neighbors=self._index(pairs.neighbors[mine]),
                    columns=self._index(columns),
                    blocks=self._real(values.reshape(len(mine), 3, len(columns))),
                    vectors=self._real(pairs.vectors[mine]),
                )
                classes.append(pair_class)
        return classes

    def _index(self, values: NDArray[np.integer]) -> Tensor:
        return torch.as_tensor(np.asarray(values, dtype=np.int64), device=self.device)

    def _real(self, values: NDArray[np.floating]) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=self.dtype, device=self.device)
