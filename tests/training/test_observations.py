"""Rows of the Kalman filter: energies, forces and their derivatives are those of autograd on the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bnnp.network.activations import activate, curvature
from bnnp.network.architecture import ACTIVATIONS
from bnnp.training import observations
from bnnp.training.observations import Observer, Responses
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


def by_autograd(made: Any, sample: Any, vector: torch.Tensor, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Energy and all force components of a structure, and their derivatives."""
    batch, vector = Batch.of([sample]), vector.clone().requires_grad_(True)
    model = made.trainer.model
    masks = made.trainer.dropout.masks(model.parameters, epoch, batch.sources, batch.energy)
    energy, forces, _ = model(vector, batch, masks)
    values = torch.cat([energy, forces.reshape(-1)])
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
    vector = torch.tensor(made.weights)
    observer = Observer(
        made.trainer.model.parameters,
        made.normalized.inputs,
        made.trainer.dropout,
        Responses(made.descriptor),
    )
    for index in (0, 4):  # a crystal and a cluster
        sample = made.trainer.samples[index]
        expected, expected_rows = by_autograd(made, sample, vector, 3)
        components = np.random.default_rng(0).permutation(3 * sample.n_atoms)[:17]
        values, rows = observer(vector, sample, components, 3)
        chosen = np.append(0, 1 + components)
        scale = np.abs(expected_rows).max()
        np.testing.assert_allclose(
            values.numpy(), expected[chosen], rtol=1e-9, atol=1e-10 * np.abs(expected).max()
        )
        np.testing.assert_allclose(rows.numpy(), expected_rows[chosen], rtol=1e-8, atol=1e-10 * scale)


def test_derivatives_that_are_not_stored_are_computed(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0")
    sample, vector = made.trainer.samples[1], torch.tensor(made.weights)
    observer = Observer(
        made.trainer.model.parameters,
        made.normalized.inputs,
        made.trainer.dropout,
        Responses(made.descriptor),
    )
    components = np.arange(3 * sample.n_atoms)
    stored = observer(vector, sample, components, 1)
    without = replace(sample, geometry=replace(sample.geometry, blocks=None))
    for one, two in zip(stored, observer(vector, without, components, 1), strict=True):
        torch.testing.assert_close(two, one, rtol=1e-6, atol=1e-6 * float(one.abs().max()))


def test_energies_alone_need_no_geometry(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0")
    sample, vector = made.trainer.samples[1], torch.tensor(made.weights)
    observer = Observer(
        made.trainer.model.parameters,
        made.normalized.inputs,
        made.trainer.dropout,
        Responses(made.descriptor),
    )
    values, rows = observer(vector, replace(sample, geometry=None), np.empty(0, dtype=np.int64), 1)
    expected, expected_rows = by_autograd(made, sample, vector, 1)
    assert float(values[0]) == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(rows[0].numpy(), expected_rows[0], rtol=1e-10, atol=1e-12)
