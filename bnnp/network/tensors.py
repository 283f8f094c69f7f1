"""The network of an element by torch.

:func:`forward` is the differentiable form for training; :func:`evaluate` gives energies with the analytic
gradient and is the readable reference of :mod:`bnnp.network.compiled`. Equation and symbols are those of
:mod:`bnnp.network.dense`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.network.activations import activate, derivative
from bnnp.network.dense import Network

Array = NDArray[np.float64]


class TensorNetwork(NamedTuple):
    """A :class:`Network` whose weights and biases are tensors of one dtype and device."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    activations: Sequence[str]
    normalize_nodes: bool = False

    @classmethod
    def of(cls, network: Network) -> TensorNetwork:
        """With copies of weights and biases as float64 tensors on the CPU."""
        weights = [torch.tensor(weight, dtype=torch.float64) for weight in network.weights]
        biases = [torch.tensor(bias, dtype=torch.float64) for bias in network.biases]
        return cls(weights, biases, network.activations, network.normalize_nodes)


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
    weights, biases, *_ = TensorNetwork.of(network)
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
    weights, biases, *_ = TensorNetwork.of(network)
    values = [torch.as_tensor(np.array(inputs, dtype=np.float64))]
    for layer, letter in enumerate(network.activations[:-1]):
        n_in = network.sizes[layer] if network.normalize_nodes else 1
        values.append(activate(letter, torch.addmm(biases[layer], values[-1], weights[layer]) / n_in))
    return [each.numpy() for each in values]
