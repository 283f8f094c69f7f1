"""Monte Carlo samples of one element network: the readable reference of the C++ core.

Only the tests use it. They hold it, and :mod:`bnnp.network.compiled`, equal to
:func:`bnnp.network.dense.evaluate` with each mask.

Without dropout of the inputs the first mask acts on the output of layer 1. Hence x_1 = G W_1 + b_1 is the
same in all samples, and each dE_s/dG is delta_s times W_1^T. With delta_s = dE_s/dx_1, (n_atoms, S, n_1)::

    dE_s/dG = delta_s W_1^T,     mean_s dE_s/dG = (mean_s delta_s) W_1^T

so the mean forces cost one gradient, and the forces of the samples follow from delta. With dropout on the
inputs layer 1 is different in every sample and dE_s/dG_j = m_{0,sj} (delta_s W_1^T)_j.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.network.activations import activate, derivative
from bnnp.network.dense import Network

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NetworkSamples:
    """Energies and derivatives of all samples for the atoms of one element.

    Parameters
    ----------
    energies : (n_atoms, S) float64
        E_i of every sample.
    gradient : (n_atoms, n_inputs) float64
        Mean over samples of dE_i/dG_i (scaled functions).
    delta : (n_atoms, S, n_1) float64
        dE_i/dx_1 of every sample: the derivative by x_1 = G_i W_1 + b_1 itself, before the division by n_in
        of `normalize_nodes`.
    """

    energies: Array
    gradient: Array
    delta: Array


def sample(
    network: Network, inputs: Array, masks: Sequence[Array], drops_inputs: bool | None = None
) -> NetworkSamples:
    """Evaluate all samples at once.

    Parameters
    ----------
    network : Network
    inputs : (n_atoms, n_inputs) float64
        Scaled symmetry functions.
    masks : sequence of (S, n_l) float64
        Scaled masks of the inputs and of each hidden layer (:meth:`bnnp.network.masks.Masks.scaled`).
    drops_inputs : bool, optional
        Whether layer 1 differs between samples; by default, whether any input factor is not 1.
    """
    factors = [torch.as_tensor(mask, dtype=torch.float64) for mask in masks]  # per layer (S, n_l)
    if drops_inputs is None:
        drops_inputs = bool((factors[0] != 1.0).any())
    weights, biases, *_ = network.tensors()
    values = torch.as_tensor(np.array(inputs, dtype=np.float64)).unsqueeze(1)  # (n_atoms, 1, n_inputs)
    slopes: list[Tensor] = []
    for layer, letter in enumerate(network.activations):
        if layer > 0 or drops_inputs:
            values = values * factors[layer]  # (n_atoms, S, n_l)
        n_in = network.sizes[layer] if network.normalize_nodes else 1
        before = (values @ weights[layer] + biases[layer]) / n_in  # (n_atoms, 1 or S, n_{l+1})
        values = activate(letter, before)
        slopes.append(derivative(letter, before, values) / n_in)
    n_samples = len(factors[0])
    delta = slopes[-1].expand(-1, n_samples, 1)  # of the output layer, (n_atoms, S, 1)
    for layer in reversed(range(1, len(slopes))):
        delta = (delta @ weights[layer].T) * factors[layer] * slopes[layer - 1]  # (n_atoms, S, n_l)
    gradient = _mean_gradient(delta, weights[0], factors[0] if drops_inputs else None)
    energies = values.squeeze(-1).expand(-1, n_samples)
    return NetworkSamples(energies.numpy().copy(), gradient.numpy(), delta.numpy().copy())


def _mean_gradient(delta: Tensor, weights: Tensor, inputs_mask: Tensor | None) -> Tensor:
    """Mean over the samples of dE_i/dG_i, (n_atoms, n_inputs); weights are W_1, (n_inputs, n_1)."""
    if inputs_mask is None:
        return delta.mean(dim=1) @ weights.T
    product = torch.einsum("asn,gn,sg->ag", delta, weights, inputs_mask)  # atom, sample, node of layer 1, G
    return product / len(inputs_mask)


def sample_gradients(samples: NetworkSamples, network: Network, inputs_mask: Array | None = None) -> Array:
    """dE_i/dG_i of every sample, (n_atoms, S, n_inputs); `inputs_mask` is masks[0] if inputs are dropped."""
    gradients = samples.delta @ network.weights[0].T
    return gradients if inputs_mask is None else gradients * inputs_mask
