"""The network of an element: from the symmetry functions of an atom to its energy.

With y_0 = G (scaled), layer l of L + 1, masks m (0 or 1 / (1 - rate), 1 without dropout) and n_{l-1} inputs::

    x_l = (m_{l-1} y_{l-1}) W_l + b_l          (divided by n_{l-1} if `normalize_nodes`)
    y_l = f_l(x_l),   E = y_{L+1}

and c_{l-1} + m_{l-1} (y_{l-1} - c_{l-1}) in place of m_{l-1} y_{l-1} for masks that preserve the means c

(J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007); masks: N. Srivastava et al., J. Mach. Learn.
Res. 15, 1929 (2014)).

symbol -> variable: W_l -> weights[l-1] (n_{l-1}, n_l), b_l -> biases[l-1] (n_l,), m_0 ... m_L -> masks[0]
(inputs) ... masks[L] (last hidden layer). :mod:`bnnp.network.compiled` computes it for many masks at once,
:mod:`bnnp.network.tensors` by torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bnnp.network.architecture import Architecture

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Network:
    """Weights and biases of one element, as they stand in weights.XXX.data.

    Parameters
    ----------
    weights : tuple of (n_in, n_out) float64
        Layer by layer; row = source node, column = target node.
    biases : tuple of (n_out,) float64
    activations : tuple of str
        One letter a layer.
    normalize_nodes : bool
        Whether a pre-activation is divided by the number of nodes of the layer before.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activations: tuple[str, ...]
    normalize_nodes: bool = False

    @classmethod
    def from_flat(
        cls, values: Array, architecture: Architecture, n_inputs: int, normalize_nodes: bool = False
    ) -> Network:
        """Network of the (n_weights,) values of a weights file: per layer all weights, source outer, then
        biases."""
        sizes = architecture.layer_sizes(n_inputs)
        if values.shape != (architecture.n_weights(n_inputs),):
            raise ValueError(f"{values.shape} values, expected ({architecture.n_weights(n_inputs)},)")
        weights, biases, first = [], [], 0
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            bias = first + n_in * n_out
            weights.append(np.array(values[first:bias], dtype=np.float64).reshape(n_in, n_out))
            biases.append(np.array(values[bias : bias + n_out], dtype=np.float64))
            first = bias + n_out
        return cls(tuple(weights), tuple(biases), architecture.activations, normalize_nodes)

    def flat(self) -> Array:
        """All values in the order of a weights file, (n_weights,)."""
        layers = zip(self.weights, self.biases, strict=True)
        return np.concatenate([np.append(weight.ravel(), bias) for weight, bias in layers])

    def with_mask(self, masks: Sequence[Array], means: Sequence[Array]) -> Network:
        """The plain network that computes what this one does with c + m (y - c) in place of y.

        Parameters
        ----------
        masks, means : sequence of (n_l,) float64
            m and c of the inputs and of every hidden layer.
        """
        layers = list(zip(self.weights, self.biases, masks, means, strict=True))
        return replace(
            self,
            weights=tuple(m[:, None] * weight for weight, _, m, _ in layers),
            biases=tuple(
                bias + ((1.0 - m) * c) @ weight / (len(m) if self.normalize_nodes else 1)
                for weight, bias, m, c in layers
            ),
        )

    @property
    def n_inputs(self) -> int:
        """Number of symmetry functions."""
        return int(self.weights[0].shape[0])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Nodes of the inputs and the hidden layers, which can be dropped."""
        return tuple(weight.shape[0] for weight in self.weights)

    @property
    def architecture(self) -> Architecture:
        """Shape of the network."""
        return Architecture(self.sizes[1:], self.activations)
