"""Monte Carlo sampling: against one network at a time, against closed forms, and its limits."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.network.architecture import ACTIVATIONS, Architecture
from bnnp.network.dense import Network, evaluate
from bnnp.network.initial import initial_network
from bnnp.network.masks import Masks
from bnnp.network.sampling import sample, sample_gradients

RATES = {"inputs kept": (0.0, 0.1, 0.2), "inputs dropped": (0.3, 0.1, 0.2)}


def make(letter: str = "t", normalize: bool = False) -> Network:
    architecture = Architecture((12, 9), (letter, letter, "l"))
    return initial_network(architecture, 20, np.random.default_rng(1), "glorot", normalize_nodes=normalize)


@pytest.mark.parametrize("rates", RATES.values(), ids=RATES)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("letter", ACTIVATIONS)
def test_every_sample_is_one_network(letter: str, normalize: bool, rates: tuple[float, ...]) -> None:
    network = make(letter, normalize)
    inputs = np.random.default_rng(2).random((7, 20))
    masks = Masks.draw(3, 8, rates, {"Ge": network.sizes}).scaled("Ge")
    samples = sample(network, inputs, masks)
    gradients = sample_gradients(samples, network, masks[0])
    for number in range(8):
        energies, gradient = evaluate(network, inputs, [mask[number] for mask in masks])
        np.testing.assert_allclose(samples.energies[:, number], energies, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(gradients[:, number], gradient, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(samples.gradient, gradients.mean(axis=1), rtol=1e-11, atol=1e-14)


def test_without_dropout_every_sample_is_the_plain_network() -> None:
    network = make()
    inputs = np.random.default_rng(2).random((5, 20))
    samples = sample(network, inputs, Masks.draw(3, 4, (0.0, 0.0, 0.0), {"Ge": network.sizes}).scaled("Ge"))
    energies, gradient = evaluate(network, inputs)
    assert samples.energies.shape == (5, 4)
    np.testing.assert_allclose(samples.energies, energies[:, None].repeat(4, axis=1), rtol=1e-14)
    np.testing.assert_allclose(samples.gradient, gradient, rtol=1e-13, atol=1e-15)


def test_mean_and_variance_of_one_dropped_layer() -> None:
    """E = c + sum_k m_k y_k v_k with m = Bernoulli(1 - p)/(1 - p): mean c + y.v, variance p/(1 - p) sum (y
    v)^2."""
    rate, count = 0.2, 20_000
    network = initial_network(Architecture((15,), ("t", "l")), 10, np.random.default_rng(1), "glorot")
    inputs = np.random.default_rng(2).random((1, 10))
    masks = Masks.draw(3, count, (0.0, rate), {"Ge": network.sizes}).scaled("Ge")
    energies = sample(network, inputs, masks).energies[0]
    hidden = np.tanh(inputs[0] @ network.weights[0] + network.biases[0]) * network.weights[1][:, 0]
    mean, variance = hidden.sum() + network.biases[1][0], rate / (1 - rate) * np.sum(hidden**2)
    assert abs(energies.mean() - mean) < 4 * np.sqrt(variance / count)
    assert np.var(energies, ddof=1) == pytest.approx(variance, rel=4 * np.sqrt(2 / count))


def test_atoms_of_a_structure_share_the_mask() -> None:
    """Two equal atoms have equal samples, so that sigma of the total is twice that of one, not sqrt(2)
    times."""
    network = make()
    inputs = np.random.default_rng(2).random((1, 20)).repeat(2, axis=0)
    energies = sample(
        network, inputs, Masks.draw(3, 50, (0.0, 0.1, 0.2), {"Ge": network.sizes}).scaled("Ge")
    ).energies
    np.testing.assert_array_equal(energies[0], energies[1])
    assert energies.sum(axis=0).std(ddof=1) == pytest.approx(2 * energies[0].std(ddof=1), rel=1e-12)


@pytest.mark.slow
def test_spread_vanishes_with_the_rate() -> None:
    """sigma^2 is proportional to p/(1 - p) for small p: from 0.01 to 0.0001 it falls a hundredfold."""
    network = make()
    inputs = np.random.default_rng(2).random((1, 20))
    spread = []
    for rate in (0.01, 0.0001):
        masks = Masks.draw(3, 100_000, (0.0, 0.0, rate), {"Ge": network.sizes}).scaled("Ge")
        spread.append(sample(network, inputs, masks).energies.var(ddof=1))
    # 9 units x 1e5 samples x 1e-4 = 90 drops: the variance scatters by sqrt(2/90) or so
    assert spread[0] / spread[1] == pytest.approx(100, rel=0.6)
    assert spread[1] > 0.0


def test_all_units_dropped_leaves_the_bias() -> None:
    network = make()
    masks = [np.ones((1, 20)), np.ones((1, 12)), np.zeros((1, 9))]
    samples = sample(network, np.random.default_rng(2).random((3, 20)), masks)
    np.testing.assert_array_equal(samples.energies, np.full((3, 1), network.biases[2][0]))
    np.testing.assert_array_equal(samples.gradient, np.zeros((3, 20)))


def test_gradient_of_the_mean_is_that_of_the_mean_energy() -> None:
    network = make()
    inputs = np.random.default_rng(2).random((1, 20))
    masks = Masks.draw(3, 30, (0.0, 0.1, 0.2), {"Ge": network.sizes}).scaled("Ge")
    gradient = sample(network, inputs, masks).gradient[0]
    step = 1e-6
    for k in (0, 7, 19):
        shift = np.zeros(20)
        shift[k] = step
        upper, lower = (sample(network, inputs + sign * shift, masks).energies.mean() for sign in (1, -1))
        assert gradient[k] == pytest.approx((upper - lower) / (2 * step), abs=1e-8)
