"""All weights and biases of all elements as one vector.

The optimizer, the gradient sum over ranks and the checkpoint use one flat vector; the networks are views of
it. Order: elements by atomic number, each as in its weights file (:meth:`bnnp.network.dense.Network.flat`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.tensors import TensorNetwork

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Parameters:
    """Shape of the vector.

    Parameters
    ----------
    architectures : mapping of str to Architecture
        By element, in the order of the atomic number.
    n_inputs : mapping of str to int
    normalize_nodes : bool
    """

    architectures: Mapping[str, Architecture]
    n_inputs: Mapping[str, int]
    normalize_nodes: bool = False

    def __len__(self) -> int:
        return sum(self._counts)

    def pack(self, networks: Mapping[str, Network]) -> Array:
        """(n_weights,) float64 of all `networks`."""
        return np.concatenate([networks[element].flat() for element in self.architectures])

    def unpack(self, vector: Array) -> dict[str, Network]:
        """Networks of a vector, by element."""
        parts = np.split(vector, np.cumsum(self._counts)[:-1])
        return {
            element: Network.from_flat(part, architecture, self.n_inputs[element], self.normalize_nodes)
            for (element, architecture), part in zip(self.architectures.items(), parts, strict=True)
        }

    def views(self, vector: Tensor) -> dict[str, TensorNetwork]:
        """Networks, by element, whose weights and biases are views of `vector`; gradients flow back to it."""
        pieces = iter(
            torch.split(vector, [size for sizes in self._shapes.values() for pair in sizes for size in pair])
        )
        result = {}
        for element, architecture in self.architectures.items():
            sizes = architecture.layer_sizes(self.n_inputs[element])
            weights, biases = [], []
            for n_in, n_out in zip(sizes, sizes[1:], strict=False):
                weights.append(next(pieces).view(n_in, n_out))
                biases.append(next(pieces))
            result[element] = TensorNetwork(weights, biases, architecture.activations, self.normalize_nodes)
        return result

    @property
    def blocks(self) -> list[slice]:
        """Where each element's weights and biases lie in the vector."""
        ends = np.cumsum([0, *self._counts]).tolist()
        return [slice(first, last) for first, last in zip(ends, ends[1:], strict=False)]

    @cached_property
    def is_weight(self) -> NDArray[np.bool_]:
        """(n_weights,) True for weights, False for biases."""
        flags = [np.repeat([True, False], pair) for sizes in self._shapes.values() for pair in sizes]
        return np.concatenate(flags)

    @cached_property
    def _shapes(self) -> dict[str, list[tuple[int, int]]]:
        """For every element and layer the number of weights and of biases."""
        shapes = {}
        for element, architecture in self.architectures.items():
            sizes = architecture.layer_sizes(self.n_inputs[element])
            shapes[element] = [(n_in * n_out, n_out) for n_in, n_out in zip(sizes, sizes[1:], strict=False)]
        return shapes

    @property
    def _counts(self) -> list[int]:
        return [sum(map(sum, sizes)) for sizes in self._shapes.values()]
