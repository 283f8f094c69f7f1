"""Rows of the Kalman filter: energies, forces and their derivatives are those of autograd on the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.io.input_data import read_structures
from bnnp.network.activations import activate, curvature
from bnnp.network.architecture import ACTIVATIONS
from bnnp.training.kalman import observations
from bnnp.training.kalman.observations import Observer, Responses
from bnnp.training.kalman.updates import STRESS
from bnnp.training.samples import Batch


@pytest.mark.parametrize("letter", ACTIVATIONS)
def test_curvature_is_the_second_derivative(letter: str) -> None:
    x = torch.tensor([-3.1, -0.7, 0.2, 1.9], dtype=torch.float64, requires_grad=True)
    y = activate(letter, x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    expected = torch.zeros_like(x)
    if first.requires_grad:
        (expected,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(curvature(letter, x.detach(), y.detach()), expected, rtol=1e-12, atol=1e-12)


def observer_of(made: Any) -> Observer:
    return Observer(
        made.trainer.model.parameters,
        made.variables.inputs,
        made.trainer.dropout,
        Responses(made.descriptor),
    )


def by_autograd(made: Any, sample: Any, vector: torch.Tensor, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Energy, all force components and the stress of a structure, and their derivatives."""
    batch, vector = Batch.of([sample]), vector.clone().requires_grad_(True)
    model = made.trainer.model
    masks = made.trainer.dropout.masks(model.parameters, epoch, batch.sources, batch.energy)
    energy, forces, virial = model(vector, batch, masks)
    values = torch.cat([energy, forces.reshape(-1), virial[0] / sample.volume])
    rows = [torch.autograd.grad(value, vector, retain_graph=True)[0] for value in values]
    return values.detach().numpy(), torch.stack(rows).numpy()


@pytest.mark.parametrize(
    "lines", [("global_activation_short s p l",), ("normalize_nodes",), ("global_activation_short t t t",)]
)
@pytest.mark.parametrize(
    "rates", ["dropout_rate 0", "dropout_rate 0.3 0.2\ndropout_masks 3\ndropout_rate_input 0.1"]
)
def test_rows_are_those_of_autograd(
    case: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...], rates: str
) -> None:
    monkeypatch.setattr(observations, "ROWS", 5)  # several pieces
    removed = ("global_activation_short t t l off",) if "activation" in lines[0] else ()
    made = case(*removed, *lines, rates)
    vector = torch.tensor(made.initial_weights())
    observer = observer_of(made)
    for index in (0, 4):  # a crystal and a cluster
        sample = made.trainer.samples[index]
        expected, expected_rows = by_autograd(made, sample, vector, 3)
        n = 3 * sample.n_atoms
        components = np.append(np.random.default_rng(0).permutation(n)[:17], [STRESS - 3, STRESS, STRESS - 5])
        components = np.random.default_rng(1).permutation(components)
        values, rows = observer(vector, sample, components, 3)
        chosen = np.append(0, 1 + np.where(components < 0, n + STRESS - components, components))
        scale = np.abs(expected_rows).max()
        np.testing.assert_allclose(
            values.numpy(), expected[chosen], rtol=1e-9, atol=1e-10 * np.abs(expected).max()
        )
        np.testing.assert_allclose(rows().numpy(), expected_rows[chosen], rtol=1e-8, atol=1e-10 * scale)


def test_stress_is_the_slope_of_the_energy_under_strain(
    case: Callable[..., Any], label: Callable[..., Any]
) -> None:
    """sigma_ab = 1/V dE/d(strain_ab), and its derivatives in the weights, from finite differences alone."""
    made = case("dropout_rate 0")
    rng = np.random.default_rng(2)
    sample, vector = made.trainer.samples[0], torch.tensor(made.initial_weights())
    observer = observer_of(made)
    structure = next(iter(read_structures(made.directory / "input.data")))
    direction = torch.from_numpy(rng.normal(size=len(vector)))

    def energy(weights: torch.Tensor, strain: np.ndarray) -> float:
        deformed = np.eye(3) + strain
        positions, cell = structure.positions @ deformed, structure.cell @ deformed
        pairs = find_neighbors(positions, cell, 4.5, structure.numbers)
        types = sample.geometry.types
        values = made.descriptor.values(types, pairs)
        inputs = tuple(
            torch.from_numpy(each.apply(values[rows.numpy(), : len(each.matrix)]))
            for each, rows in zip(made.variables.inputs.values(), sample.rows, strict=True)
        )
        moved = replace(sample, inputs=inputs)
        return float(observer(weights, moved, np.empty(0, dtype=np.int64), 1)[0][0])

    exact = replace(sample, geometry=replace(sample.geometry, blocks=None))  # stored ones are float32
    values, rows = observer(vector, exact, STRESS - np.arange(6), 1)
    h = 2e-5
    for k, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strain = np.zeros((3, 3))
        strain[a, b] += h / 2
        strain[b, a] += h / 2

        def stress(weights: torch.Tensor, strain: np.ndarray = strain) -> float:
            return (energy(weights, strain) - energy(weights, -strain)) / (2 * h * sample.volume)

        assert float(values[1 + k]) == pytest.approx(stress(vector), rel=1e-5, abs=1e-8)
        slope = (stress(vector + h * direction) - stress(vector - h * direction)) / (2 * h)
        assert float(rows()[1 + k] @ direction) == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_derivatives_that_are_not_stored_are_computed(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0")
    sample, vector = made.trainer.samples[1], torch.tensor(made.initial_weights())
    observer = observer_of(made)
    components = np.append(np.arange(3 * sample.n_atoms), STRESS - np.arange(6))
    without = replace(sample, geometry=replace(sample.geometry, blocks=None))
    (values, rows), (computed, computed_rows) = (
        observer(vector, each, components, 1) for each in (sample, without)
    )
    for one, two in ((values, computed), (rows(), computed_rows())):
        torch.testing.assert_close(two, one, rtol=1e-6, atol=1e-6 * float(one.abs().max()))


@pytest.mark.parametrize("rates", ["dropout_rate 0", "dropout_rate 0.3 0.2\ndropout_masks 3"])
def test_forces_without_the_energy_are_the_same(case: Callable[..., Any], rates: str) -> None:
    """Few components look at a few atoms only, many at all of them."""
    made = case(rates)
    sample, vector = made.trainer.samples[0], torch.tensor(made.initial_weights())
    observer = observer_of(made)
    for components in (np.array([4]), np.array([7, 2, STRESS - 1]), np.arange(3 * sample.n_atoms)):
        values, rows = observer(vector, sample, components, 3)
        alone, alone_rows = observer(vector, sample, components, 3, energy=False)
        assert float(alone[0]) == 0.0
        torch.testing.assert_close(alone[1:], values[1:], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(alone_rows()[1:], rows()[1:], rtol=1e-9, atol=1e-12)


def test_energies_alone_need_no_geometry(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0")
    sample, vector = made.trainer.samples[1], torch.tensor(made.initial_weights())
    observer = observer_of(made)
    values, rows = observer(vector, replace(sample, geometry=None), np.empty(0, dtype=np.int64), 1)
    expected, expected_rows = by_autograd(made, sample, vector, 1)
    assert float(values[0]) == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(rows()[0].numpy(), expected_rows[0], rtol=1e-10, atol=1e-12)
