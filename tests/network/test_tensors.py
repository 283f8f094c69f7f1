"""Element networks by torch: closed forms, gradient = autograd = finite differences, for every activation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bnnp.network.activations import activate, derivative
from bnnp.network.architecture import ACTIVATIONS, Architecture
from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.network.masks import TrainingMasks
from bnnp.network.tensors import TensorNetwork, evaluate, forward, hidden_values

# RuNNer's activation letters by hand, at x = 0.7 and x = -1.3
HAND = {
    "l": lambda x: x,
    "t": lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)),
    "s": lambda x: 1 / (1 + math.exp(-x)),
    "S": lambda x: 1 - 1 / (1 + math.exp(-x)),
    "g": lambda x: math.exp(-x * x / 2),
    "c": math.cos,
    "e": lambda x: math.exp(-x),
    "h": lambda x: x * x,
    "p": lambda x: math.log(1 + math.exp(x)),
    "r": lambda x: max(0.0, x),
}


def make(letters: tuple[str, ...], normalize: bool = False, seed: int = 1) -> Network:
    generator = np.random.default_rng(seed)
    return initial_network(Architecture((6, 5), letters), 4, generator, "uniform", (-0.8, 0.8), normalize)


@pytest.mark.parametrize("letter", ACTIVATIONS)
def test_activation_is_the_printed_formula(letter: str) -> None:
    for x in (0.7, -1.3):
        got = activate(letter, torch.tensor(x, dtype=torch.float64)).item()
        assert got == pytest.approx(HAND[letter](x), rel=1e-14)


@pytest.mark.parametrize("letter", ACTIVATIONS)
def test_activation_derivative_is_that_of_autograd(letter: str) -> None:
    x = torch.tensor([-40.0, -3.0, -0.4, 0.3, 2.5, 40.0], dtype=torch.float64, requires_grad=True)
    y = activate(letter, x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    got = derivative(letter, x, y).detach()
    np.testing.assert_allclose(got.numpy(), slope.numpy(), rtol=1e-14, atol=1e-16)


def test_softplus_does_not_overflow() -> None:
    x = torch.tensor([800.0, -800.0], dtype=torch.float64)
    assert activate("p", x).tolist() == [800.0, 0.0]


def test_one_hidden_layer_by_hand() -> None:
    """E = tanh(x1 w11 + x2 w21 + b1) v1 + tanh(...) v2 + c, written out: source node is the row of a weight
    matrix."""
    weights = (np.array([[0.1, -0.2], [0.3, 0.4]]), np.array([[0.5], [-0.6]]))
    network = Network(weights, (np.array([0.05, -0.1]), np.array([0.7])), ("t", "l"))
    energy, _ = evaluate(network, np.array([[2.0, 3.0]]))
    first, second = math.tanh(2 * 0.1 + 3 * 0.3 + 0.05), math.tanh(-2 * 0.2 + 3 * 0.4 - 0.1)
    assert energy[0] == pytest.approx(0.5 * first - 0.6 * second + 0.7, rel=1e-15)


def test_normalize_nodes_divides_the_argument_by_the_layer_before() -> None:
    """n2p2 and RuNNer: (bias + sum w y) / n_prev in every layer, the output included."""
    weights = (np.array([[0.1], [0.3]]), np.array([[0.5]]))
    network = Network(weights, (np.array([0.05]), np.array([0.7])), ("t", "l"), normalize_nodes=True)
    energy, _ = evaluate(network, np.array([[2.0, 3.0]]))
    assert energy[0] == pytest.approx((0.5 * math.tanh((0.2 + 0.9 + 0.05) / 2) + 0.7) / 1, rel=1e-15)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("letter", ACTIVATIONS)
def test_gradient_is_autograd_and_finite_difference(letter: str, normalize: bool) -> None:
    network = make((letter, letter, "l"), normalize)
    generator = np.random.default_rng(2)
    inputs = generator.uniform(0.1, 0.9, (3, 4))
    masks = [generator.uniform(0.0, 2.0, size) for size in network.sizes]
    _, gradient = evaluate(network, inputs, masks)

    x = torch.tensor(inputs, requires_grad=True)
    tensors = [torch.as_tensor(mask).expand(3, -1) for mask in masks]
    energies = forward(TensorNetwork.of(network), x, tensors)
    (auto,) = torch.autograd.grad(energies.sum(), x)
    np.testing.assert_allclose(gradient, auto.numpy(), rtol=1e-11, atol=1e-14)

    step = 1e-6  # central differences: error ~ step^2 and rounding / step, both below 1e-8
    for k in range(4):
        shift = np.zeros(4)
        shift[k] = step
        upper, lower = (evaluate(network, inputs + sign * shift, masks)[0] for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, k], (upper - lower) / (2 * step), rtol=1e-6, atol=2e-8)


@pytest.mark.parametrize("letter", [letter for letter in ACTIVATIONS if letter != "r"])
def test_gradient_of_the_gradient(letter: str) -> None:
    """Force training differentiates dE/dG with respect to the weights: torch's own second-order check."""
    network = make((letter, "t", "l"))
    x = torch.tensor(np.random.default_rng(3).uniform(0.1, 0.9, (2, 4)), requires_grad=True)
    tensors = TensorNetwork.of(network)
    for tensor in (*tensors.weights, *tensors.biases):
        tensor.requires_grad_()

    def slopes(*weights: torch.Tensor) -> torch.Tensor:
        energies = forward(tensors._replace(weights=weights), x)
        return torch.autograd.grad(energies.sum(), x, create_graph=True)[0]

    assert torch.autograd.gradcheck(slopes, tensors.weights)


def test_masks_by_structure_index_are_those_of_each_structure_alone() -> None:
    network = make(("t", "t", "l"))
    inputs = torch.tensor(np.random.default_rng(4).random((7, 4)))
    index = torch.tensor([0, 0, 1, 2, 2, 2, 1])
    drawn = TrainingMasks(5, (0.2, 0.3, 0.4)).draw("Ge", network.sizes, 3, [10, 11, 12])
    masks = [torch.tensor(mask) for mask in drawn if mask is not None]
    energies = forward(TensorNetwork.of(network), inputs, masks, index)
    for structure in range(3):
        rows = index == structure
        alone, _ = evaluate(network, inputs[rows].numpy(), [mask[structure].numpy() for mask in masks])
        np.testing.assert_allclose(energies[rows].numpy(), alone, rtol=1e-14)


def test_a_dropped_unit_is_replaced_by_its_mean() -> None:
    """One hidden layer of two nodes by hand: 2 (c + (y - c) m) + 3 y', with y = 0.3, y' = 0.8, c = 0.5."""
    network = Network(
        (np.array([[1.0, 1.0]]), np.array([[2.0], [3.0]])), (np.array([0.1, 0.6]), np.zeros(1)), ("l", "l")
    )
    ones, means = np.ones(1), [np.zeros(1), np.array([0.5, 9.0])]
    for mask, expected in ((0.0, 2 * 0.5 + 3 * 0.8), (1.25, 2 * (0.5 - 0.2 * 1.25) + 3 * 0.8)):
        energy, slope = evaluate(network, np.array([[0.2]]), [ones, np.array([mask, 1.0])], means)
        assert energy[0] == pytest.approx(expected, rel=1e-14)
        assert slope[0, 0] == pytest.approx(2 * mask + 3, rel=1e-14)


def test_masks_that_preserve_the_mean_do_not_spread_the_mean_atom() -> None:
    """With the means of one atom its energy is that of the plain network in every sample; else not."""
    rng = np.random.default_rng(4)
    network = initial_network(Architecture((5, 4), ("p", "t", "l")), 3, rng)
    inputs = rng.normal(size=(1, 3))
    means = [each[0] for each in hidden_values(network, inputs)]
    masks = [np.ones(3), np.array([0, 1.25, 1.25, 0, 1.25]), np.array([1.25, 0, 0, 1.25])]
    plain, _ = evaluate(network, inputs)
    assert evaluate(network, inputs, masks, means)[0] == pytest.approx(plain, rel=1e-13)
    assert evaluate(network, inputs, masks)[0] != pytest.approx(plain, rel=1e-3)
