"""Element network: from the symmetry functions of an atom to its energy, and the gradient.

With y_0 = G (scaled), layer l of L + 1, masks m (0 or 1 / (1 - rate), 1 without dropout) and n_{l-1} inputs::

    x_l = (m_{l-1} y_{l-1}) W_l + b_l          (divided by n_{l-1} if `normalize_nodes`)
    y_l = f_l(x_l),   E = y_{L+1}

and c_{l-1} + m_{l-1} (y_{l-1} - c_{l-1}) in place of m_{l-1} y_{l-1} for masks that preserve the means c

(J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007); masks: N. Srivastava et al., J. Mach. Learn.
Res. 15, 1929 (2014)).

symbol -> variable: W_l -> weights[l-1] (n_{l-1}, n_l), b_l -> biases[l-1] (n_l,), m_0 ... m_L -> masks[0]
(inputs) ... masks[L] (last hidden layer). :func:`forward` is the differentiable form for training,
:func:`evaluate` energies with the analytic gradient, and :mod:`bnnp.network.compiled` the same for many masks
at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.network.activations import activate, derivative
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

    def tensors(self) -> TensorNetwork:
        """The network with copies of weights and biases as float64 tensors on the CPU."""
        weights = [torch.tensor(weight, dtype=torch.float64) for weight in self.weights]
        biases = [torch.tensor(bias, dtype=torch.float64) for bias in self.biases]
        return TensorNetwork(weights, biases, self.activations, self.normalize_nodes)


class TensorNetwork(NamedTuple):
    """A :class:`Network` whose weights and biases are tensors of one dtype and device."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    activations: Sequence[str]
    normalize_nodes: bool = False


def forward(
    network: TensorNetwork,
    inputs: Tensor,
    masks: Sequence[Tensor | None] | None = None,
    index: Tensor | None = None,
) -> Tensor:
    """Atomic energies, differentiable any number of times in the weights and the inputs.

    Parameters
    ----------
    network : TensorNetwork
    inputs : (n_atoms, n_inputs) float
        Scaled symmetry functions.
    masks : sequence of (n_atoms, n_l) or (n_masks, n_l) float or None, optional
        Scaled masks of inputs and hidden layers; None for a layer that keeps all units.
    index : (n_copies * n_atoms,) int64, optional
        Row of the masks (the structure) each atom belongs to; without it a mask has one row an atom, or one
        for all. Longer than `inputs` if every atom has several masks: the layers before the first mask are
        then shared.

    Returns
    -------
    (n_atoms,) or (n_copies * n_atoms,) float
        E_i.
    """
    values = inputs
    layers = zip(network.weights, network.biases, network.activations, strict=True)
    for layer, (weight, bias, letter) in enumerate(layers):
        mask = None if masks is None else masks[layer]
        if mask is not None:
            rows = mask if index is None else mask[index]
            if index is not None and len(values) < len(index):
                values = values.repeat(len(index) // len(values), 1)  # (n_copies * n_atoms, n_l)
            values = values * rows
        values = torch.addmm(bias, values, weight)  # (n_atoms, n_{l+1})
        if network.normalize_nodes:
            values = values / weight.shape[0]
        values = activate(letter, values)
    return values.squeeze(-1)


def evaluate(
    network: Network,
    inputs: Array,
    masks: Sequence[Array] | None = None,
    means: Sequence[Array] | None = None,
) -> tuple[Array, Array]:
    """Atomic energies and their analytic gradient by back-propagation.

    Parameters
    ----------
    inputs : (n_atoms, n_inputs) float64
        Scaled symmetry functions.
    masks : sequence of (n_l,) or (n_atoms, n_l) float64, optional
        Scaled mask of the inputs and of each hidden layer; without it the plain network.
    means : sequence of (n_l,) float64, optional
        What a dropped unit is replaced by, instead of 0.

    Returns
    -------
    energies : (n_atoms,) float64
    gradient : (n_atoms, n_inputs) float64
        dE_i / dG_i with respect to the scaled functions.
    """
    weights, biases, *_ = network.tensors()
    factors = None if masks is None else [torch.as_tensor(mask, dtype=torch.float64) for mask in masks]
    values = torch.as_tensor(np.array(inputs, dtype=np.float64))
    slopes = []
    for layer, letter in enumerate(network.activations):
        if factors is not None:
            center = 0.0 if means is None else torch.as_tensor(means[layer])
            values = center + (values - center) * factors[layer]
        before = torch.addmm(biases[layer], values, weights[layer])  # (n_atoms, n_{l+1})
        n_in = network.sizes[layer] if network.normalize_nodes else 1
        before = before / n_in
        values = activate(letter, before)
        slopes.append(derivative(letter, before, values) / n_in)
    gradient = torch.ones_like(values)  # dE/dE, (n_atoms, 1)
    for layer in reversed(range(len(slopes))):
        gradient = (gradient * slopes[layer]) @ weights[layer].T  # (n_atoms, n_l)
        if factors is not None:
            gradient = gradient * factors[layer]
    return values.squeeze(-1).numpy(), gradient.numpy()


def hidden_values(network: Network, inputs: Array) -> list[Array]:
    """Values of the nodes without masks: of the inputs and of each hidden layer, (n_atoms, n_l).

    Parameters
    ----------
    inputs : (n_atoms, n_inputs) float64
        Scaled symmetry functions.
    """
    weights, biases, *_ = network.tensors()
    values = [torch.as_tensor(np.array(inputs, dtype=np.float64))]
    for layer, letter in enumerate(network.activations[:-1]):
        n_in = network.sizes[layer] if network.normalize_nodes else 1
        values.append(activate(letter, torch.addmm(biases[layer], values[-1], weights[layer]) / n_in))
    return [each.numpy() for each in values]
