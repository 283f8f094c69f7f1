"""Weights before training.

uniform
    weights and biases uniform in [w_min, w_max] (as in RuNNer).
nguyen_widrow
    as uniform, then for every node of hidden layer l: w <- beta w / |w| and b <- beta b with
    beta = 0.7 n_l^(1/n_{l-1}); doubled if the first hidden activation is tanh; weights and bias of the output
    uniform in [-0.5, 0.5] (D. Nguyen, B. Widrow, Proc. IJCNN 3, 21 (1990); RuNNer's variant).
glorot
    weights uniform in +-sqrt(6 / (n_{l-1} + n_l)), biases 0 (X. Glorot, Y. Bengio, Proc. Mach.
    Learn. Res. 9, 249 (2010), eq. 16).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network

Array = NDArray[np.float64]
Sizes = tuple[int, ...]
Letters = tuple[str, ...]  # of the activations
Interval = tuple[float, float]
Layers = tuple[list[Array], list[Array]]


def initial_network(
    architecture: Architecture,
    n_inputs: int,
    generator: np.random.Generator,
    scheme: str = "glorot",
    interval: Interval = (-1.0, 1.0),
    normalize_nodes: bool = False,
) -> Network:
    """Random network.

    Parameters
    ----------
    generator : numpy Generator
        For example ``stream(seed, WEIGHTS, Z)``, so that no element depends on another.
    scheme : str
        ``uniform``, ``nguyen_widrow`` or ``glorot``.
    interval : (float, float)
        w_min and w_max of the first two.
    """
    sizes = architecture.layer_sizes(n_inputs)
    weights, biases = SCHEMES[scheme](sizes, architecture.activations, generator, interval)
    return Network(tuple(weights), tuple(biases), architecture.activations, normalize_nodes)


def _uniform(sizes: Sizes, letters: Letters, generator: np.random.Generator, interval: Interval) -> Layers:
    weights = [generator.uniform(*interval, pair) for pair in pairwise(sizes)]
    return weights, [generator.uniform(*interval, n_out) for n_out in sizes[1:]]


def _nguyen_widrow(
    sizes: Sizes, letters: Letters, generator: np.random.Generator, interval: Interval
) -> Layers:
    weights, biases = _uniform(sizes, letters, generator, interval)
    n_hidden = len(sizes) - 2
    double = 2.0 if letters[0] == "t" and n_hidden else 1.0
    for layer in range(n_hidden):
        n_in, n_out = weights[layer].shape
        beta = double * 0.7 * n_out ** (1.0 / n_in)
        weights[layer] = beta * weights[layer] / np.linalg.norm(weights[layer], axis=0)
        biases[layer] = beta * biases[layer]
    weights[-1] = generator.uniform(-0.5, 0.5, weights[-1].shape)
    biases[-1] = generator.uniform(-0.5, 0.5, biases[-1].shape)
    return weights, biases


def _glorot(sizes: Sizes, letters: Letters, generator: np.random.Generator, interval: Interval) -> Layers:
    weights = [np.sqrt(6.0 / sum(pair)) * generator.uniform(-1.0, 1.0, pair) for pair in pairwise(sizes)]
    return weights, [np.zeros(n_out) for n_out in sizes[1:]]


SCHEMES: dict[str, Callable[[Sizes, Letters, np.random.Generator, Interval], Layers]] = {
    "uniform": _uniform,
    "nguyen_widrow": _nguyen_widrow,
    "glorot": _glorot,
}
