"""Initial weights: intervals, norms and spreads of the three schemes."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.random import WEIGHTS, stream

SHAPE = Architecture((40, 30), ("t", "t", "l"))


def make(scheme: str, architecture: Architecture = SHAPE, seed: int = 1) -> Network:
    return initial_network(architecture, 50, stream(seed, WEIGHTS, 32), scheme)


def test_uniform_fills_the_interval() -> None:
    values = initial_network(SHAPE, 50, stream(1, WEIGHTS, 32), "uniform", (-0.3, 0.5)).flat()
    assert -0.3 <= values.min() < -0.29
    assert 0.49 < values.max() <= 0.5
    assert abs(values.mean() - 0.1) < 4 * 0.8 / np.sqrt(12 * len(values))


@pytest.mark.parametrize(("letter", "double"), [("t", 2.0), ("s", 1.0)])
def test_nguyen_widrow_norm(letter: str, double: float) -> None:
    """|w| of each hidden node is 0.7 n_l^(1/n_{l-1}), doubled if the first activation is tanh; output in
    [-0.5, 0.5]."""
    network = make("nguyen_widrow", Architecture((40, 30), (letter, letter, "l")))
    for layer, (n_in, n_out) in enumerate([(50, 40), (40, 30)]):
        beta = double * 0.7 * n_out ** (1 / n_in)
        np.testing.assert_allclose(np.linalg.norm(network.weights[layer], axis=0), beta, rtol=1e-13)
        assert np.abs(network.biases[layer]).max() <= beta
    assert np.abs(network.weights[2]).max() <= 0.5


def test_glorot_keeps_the_variance() -> None:
    """Weights of variance 2 / (n_in + n_out) and no bias (Glorot and Bengio, eq. 16)."""
    network = make("glorot")
    for weight in network.weights[:2]:
        variance = 2 / sum(weight.shape)
        # the variance of n uniform numbers scatters by sqrt(4/5 / n)
        assert np.mean(weight**2) == pytest.approx(variance, rel=4 * np.sqrt(0.8 / weight.size))
    assert all((bias == 0).all() for bias in network.biases)


def test_seed_reproduces_and_elements_differ() -> None:
    first, again = make("glorot"), make("glorot")
    other = initial_network(SHAPE, 50, stream(1, WEIGHTS, 52), "glorot")
    np.testing.assert_array_equal(first.flat(), again.flat())
    assert not np.allclose(first.flat(), other.flat())
    assert not np.allclose(first.flat(), make("glorot", seed=2).flat())
