"""Folding is exact, whitening is white, offsets are least squares."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.descriptors.scaling import Affine, Scaling, ScalingScheme
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.network.tensors import evaluate
from bnnp.training.normalization import (
    ChangeOfVariables,
    as_scaled,
    element_offsets,
    principal,
    whitening_matrix,
)

N = 7


@pytest.fixture
def values() -> np.ndarray:
    """Symmetry functions that hang together and differ in size."""
    rng = np.random.default_rng(1)
    mixed = rng.normal(size=(400, 3)) @ rng.normal(size=(3, N)) + 0.05 * rng.normal(size=(400, N))
    return mixed * np.logspace(-3, 1, N) + np.linspace(0.0, 30.0, N)


def white(values: np.ndarray) -> Affine:
    scaling = Scaling.of(values)
    return Affine.mixing(scaling.mean, whitening_matrix(np.cov(values.T, bias=True), scaling))


def test_functions_that_never_vary_change_nothing(values: np.ndarray) -> None:
    """The others are whitened as without them, and none of their directions is blown up."""
    dead = [1, 4]
    alive = [k for k in range(N) if k not in dead]
    values[:, dead] = 3.0
    found = principal(white(values), Scaling.of(values)).apply(values)
    without = values[:, alive]
    expected = principal(white(without), Scaling.of(without)).apply(without)
    np.testing.assert_allclose(found[:, alive], expected, rtol=1e-9, atol=1e-12)
    assert not found[:, dead].any()


def test_an_element_of_which_nothing_varies_has_no_inputs() -> None:
    values = np.full((20, N), 3.0)
    assert not principal(white(values), Scaling.of(values)).apply(values).any()


def random_network(normalize_nodes: bool) -> Network:
    shape, generator = Architecture((4, 3), ("t", "s", "l")), np.random.default_rng(2)
    return initial_network(shape, N, generator, "uniform", normalize_nodes=normalize_nodes)


@pytest.mark.parametrize("normalize_nodes", [False, True])
@pytest.mark.parametrize("kind", ["none", "scale", "center", "both", "sigma"])
def test_folded_network_on_scaled_functions_is_the_trained_one(
    values: np.ndarray, kind: str, normalize_nodes: bool
) -> None:
    affine = Scaling.of(values).affine(ScalingScheme(kind, -1.0, 1.5))
    fold = ChangeOfVariables(
        white(values), affine, scale=0.2, offset=-164.6, conv_energy=3.7, mean_energy=-160.0
    )
    network = random_network(normalize_nodes)
    trained, slope = evaluate(network, fold.inputs.apply(values))
    plain, plain_slope = evaluate(fold.to_plain(network), affine.apply(values))
    expected = (fold.offset + fold.scale * trained - fold.mean_energy) * fold.conv_energy
    np.testing.assert_allclose(plain, expected, rtol=1e-12)
    wanted = 3.7 * 0.2 * slope @ fold.inputs.matrix.T
    rounding = 1e-12 * np.abs(wanted).max()  # products of functions of very different size cancel
    np.testing.assert_allclose(plain_slope * affine.factor, wanted, atol=rounding)


@pytest.mark.parametrize("normalize_nodes", [False, True])
def test_folding_can_be_undone(values: np.ndarray, normalize_nodes: bool) -> None:
    fold = ChangeOfVariables(
        white(values), Scaling.of(values).affine(ScalingScheme("both")), 0.3, 12.0, 2.0, 11.0
    )
    network = random_network(normalize_nodes)
    again = fold.from_plain(fold.to_plain(network))
    np.testing.assert_allclose(again.flat(), network.flat(), rtol=1e-8, atol=1e-10)


def test_scaled_inputs_need_no_folding(values: np.ndarray) -> None:
    affine = Scaling.of(values).affine(ScalingScheme("scale", -1.0, 1.0))
    np.testing.assert_allclose(as_scaled(affine).apply(values), affine.apply(values), atol=1e-12)
    network = random_network(False)
    fold = ChangeOfVariables(as_scaled(affine), affine, 1.0, 0.0)
    np.testing.assert_allclose(fold.to_plain(network).flat(), network.flat(), atol=1e-12)


def test_strong_directions_get_unit_variance_and_weak_ones_less(values: np.ndarray) -> None:
    z = white(values).apply(values)
    covariance = np.cov(z.T, bias=True)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0.0, atol=1e-9)
    variances = np.sort(np.diag(covariance))
    np.testing.assert_allclose(variances[-3:], 1.0, atol=2e-2)
    assert (variances <= 1.0 + 1e-12).all()


def test_function_that_never_varies_is_not_seen(values: np.ndarray) -> None:
    values[:, 2] = 4.0
    inputs = white(values)
    assert not inputs.matrix[2].any()
    assert np.isfinite(inputs.matrix).all()


def test_one_composition_gives_equal_offsets() -> None:
    counts = np.full((6, 2), 108.0)
    offsets = element_offsets(counts, -35000.0 + np.arange(6.0))
    np.testing.assert_allclose(offsets, (-35000.0 + 2.5) / 216, rtol=1e-14)


def test_several_compositions_give_the_energies_of_the_elements() -> None:
    counts = np.array([[1.0, 3.0], [2.0, 2.0], [4.0, 1.0], [0.0, 5.0]])
    np.testing.assert_allclose(element_offsets(counts, counts @ [-3.0, -105.0]), [-3.0, -105.0], rtol=1e-10)


def test_offsets_without_energies_are_zero() -> None:
    assert not element_offsets(np.zeros((0, 2)), np.zeros(0)).any()
