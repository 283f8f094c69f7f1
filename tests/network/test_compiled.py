"""The compiled networks against the readable ones, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.network.compiled import Networks
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.network.tensors import evaluate

ELEMENTS = ("O", "Ge")
SIZES = {"O": (7, 6, 4), "Ge": (5, 3, 8)}
WIDTH = 7


def random_network(
    rng: np.random.Generator, sizes: tuple[int, ...], letters: str, normalize: bool
) -> Network:
    shapes = list(zip(sizes, (*sizes[1:], 1), strict=True))
    weights = tuple(rng.normal(scale=0.5, size=shape) for shape in shapes)
    biases = tuple(rng.normal(size=shape[1]) for shape in shapes)
    return Network(weights, biases, tuple(letters), normalize)


def build(rng: np.random.Generator, letters: str = "ttl", normalize: bool = False) -> dict[str, Network]:
    return {element: random_network(rng, SIZES[element], letters, normalize) for element in ELEMENTS}


def atoms(rng: np.random.Generator, n: int = 9) -> tuple[np.ndarray, np.ndarray]:
    types = rng.integers(0, 2, n).astype(np.int32)
    inputs = rng.normal(size=(n, WIDTH))
    inputs[types == 1, 5:] = 0.0
    return types, inputs


@pytest.mark.parametrize("letters", ["ttl", "ssl", "SSl", "ggl", "ccl", "eel", "hhl", "ppl", "rrl", "tst"])
@pytest.mark.parametrize("normalize", [False, True])
def test_plain_network_equals_reference(letters: str, normalize: bool) -> None:
    rng = np.random.default_rng(3)
    networks, (types, inputs) = build(rng, letters, normalize), atoms(rng)
    energies, gradient, _ = Networks(ELEMENTS, networks, WIDTH).sample(types, inputs)
    for row in range(len(types)):
        network = networks[ELEMENTS[types[row]]]
        n = network.n_inputs
        energy, slope = evaluate(network, inputs[row : row + 1, :n])
        np.testing.assert_allclose(energies[row], energy, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(gradient[row, :n], slope[0], rtol=1e-11, atol=1e-13)
        assert not gradient[row, n:].any()


@pytest.mark.parametrize("samples", [1, 5, 13])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("rates", [(0.0, 0.3, 0.4), (0.2, 0.3, 0.0), (0.2, 0.0, 0.0), (0.0, 0.0, 0.5)])
@pytest.mark.parametrize("centered", [False, True])
def test_every_sample_is_the_reference_with_that_mask(
    centered: bool, rates: tuple[float, ...], normalize: bool, samples: int
) -> None:
    """Centered samples: the reference with that mask and the means, less the mean over the samples, plus the
    plain network."""
    rng = np.random.default_rng(4)
    networks, (types, inputs) = build(rng, normalize=normalize), atoms(rng)
    masks = Masks.draw(11, samples, rates, SIZES)
    factors = {element: masks.scaled(element) for element in ELEMENTS}
    means = {x: [rng.normal(size=n) for n in SIZES[x]] for x in ELEMENTS} if centered else {}
    core = Networks(ELEMENTS, networks, WIDTH, factors, means=means, centered=centered)
    energies, gradient, delta = core.sample(types, inputs, delta=True)
    for row in range(len(types)):
        element = ELEMENTS[types[row]]
        network = networks[element]
        n, nodes = network.sizes[:2]
        own = inputs[row : row + 1, :n]
        each = [
            evaluate(network, own, [factor[sample] for factor in factors[element]], means.get(element))
            for sample in range(samples)
        ]
        expected = np.array([energy[0] for energy, _ in each])
        slopes = np.array([slope[0] for _, slope in each])
        if centered:
            energy, slope = evaluate(network, own)
            expected, slopes = expected - expected.mean() + energy, slopes - slopes.mean(axis=0) + slope
        np.testing.assert_allclose(energies[row], expected, rtol=1e-12, atol=1e-12)
        # delta is dE/d(pre-activation), and the chain through W_1 gives dE/dinput; or it is that already
        first = network.weights[0] / (n if normalize else 1)
        chain = delta[row, :n] if rates[0] else first @ delta[row, :nodes]
        np.testing.assert_allclose(chain[:, :samples].T, slopes, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(gradient[row, :n], slopes.mean(axis=0), rtol=1e-11, atol=1e-12)


def test_masks_that_keep_everything_give_the_plain_network_bit_for_bit() -> None:
    rng = np.random.default_rng(5)
    networks, (types, inputs) = build(rng), atoms(rng)
    masks = Masks.draw(1, 1, (0.0, 0.0, 0.0), SIZES)
    factors = {element: masks.scaled(element) for element in ELEMENTS}
    plain = Networks(ELEMENTS, networks, WIDTH).sample(types, inputs)
    sampled = Networks(ELEMENTS, networks, WIDTH, factors).sample(types, inputs)
    np.testing.assert_array_equal(plain[0], sampled[0])
    np.testing.assert_array_equal(plain[1], sampled[1])


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(6)
    networks, (types, inputs) = build(rng), atoms(rng, 200)
    masks = Masks.draw(1, 20, (0.0, 0.1, 0.1), SIZES)
    factors = {element: masks.scaled(element) for element in ELEMENTS}
    one = Networks(ELEMENTS, networks, WIDTH, factors, threads=1).sample(types, inputs, delta=True)
    two = Networks(ELEMENTS, networks, WIDTH, factors, threads=2).sample(types, inputs, delta=True)
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)
