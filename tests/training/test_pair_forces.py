"""Forces and virial of the training: derivatives of the energy, adjoint maps, three ways that agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.training.dense_blocks import DenseForces
from bnnp.training.pair_forces import Geometry, PairForces, gather, scatter

NUMBERS = np.array([14, 32])


@pytest.fixture
def structure(case: Callable[..., Any]) -> tuple[Any, Geometry, np.ndarray, np.ndarray]:
    """(descriptor, geometry, positions, cell) of a small periodic structure, derivatives recomputed."""
    descriptor = case().descriptor
    rng = np.random.default_rng(0)
    types = np.array([0, 1, 1, 0, 1], dtype=np.int32)
    positions, cell = rng.uniform(0.0, 4.6, (5, 3)), 4.6 * np.eye(3) + rng.normal(0.0, 0.3, (3, 3))
    pairs = find_neighbors(positions, cell, descriptor.radius, NUMBERS[types])
    return descriptor, Geometry(types, pairs, None), positions, cell


def energy(
    descriptor: Any, types: np.ndarray, positions: np.ndarray, cell: np.ndarray, slope: np.ndarray
) -> float:
    """sum of slope * G: linear in G, so that dE/dG is `slope`."""
    pairs = find_neighbors(positions, cell, descriptor.radius, NUMBERS[types])
    return float((slope * descriptor.values(types, pairs)).sum())


def apply(descriptor: Any, geometry: Geometry, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    forces, virials = PairForces.apply(torch.tensor(slope), descriptor, [geometry])
    return forces.numpy(), virials.numpy()[0]


def test_forces_are_minus_the_gradient(structure: Any) -> None:
    descriptor, geometry, positions, cell = structure
    slope = np.random.default_rng(1).normal(size=(5, descriptor.width))
    forces, _ = apply(descriptor, geometry, slope)
    step = 1e-5
    for atom, axis in [(0, 0), (2, 1), (4, 2)]:
        shift = np.zeros_like(positions)
        shift[atom, axis] = step
        ends = [energy(descriptor, geometry.types, positions + s * shift, cell, slope) for s in (1, -1)]
        assert forces[atom, axis] == pytest.approx(-(ends[0] - ends[1]) / (2 * step), rel=1e-7, abs=1e-7)
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-10)


def test_virial_is_the_derivative_with_respect_to_strain(structure: Any) -> None:
    descriptor, geometry, positions, cell = structure
    slope = np.random.default_rng(2).normal(size=(5, descriptor.width))
    _, virial = apply(descriptor, geometry, slope)
    step = 1e-6
    for place, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        ends = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += 0.5 * sign * step
            strain[b, a] += 0.5 * sign * step
            ends.append(energy(descriptor, geometry.types, positions @ strain, cell @ strain, slope))
        assert virial[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-6)


def test_gather_is_the_transpose_of_scatter(structure: Any) -> None:
    _, geometry, _, _ = structure
    rng = np.random.default_rng(3)
    d, dF, dW = rng.normal(size=(len(geometry.pairs.vectors), 3)), rng.normal(size=(5, 3)), rng.normal(size=6)
    forces, virial = scatter(geometry.pairs, d)
    left = (forces * dF).sum() + virial @ dW
    assert left == pytest.approx((d * gather(geometry.pairs, dF, dW)).sum(), rel=1e-12)


def test_backward_is_the_transposed_sweep(structure: Any) -> None:
    descriptor, geometry, _, _ = structure
    rng = np.random.default_rng(4)
    slope = torch.tensor(rng.normal(size=(5, descriptor.width)), requires_grad=True)
    target, stress = torch.tensor(rng.normal(size=(5, 3))), torch.tensor(rng.normal(size=(1, 6)))
    forces, virials = PairForces.apply(slope, descriptor, [geometry])
    ((forces * target).sum() + (virials * stress).sum()).backward()
    assert slope.grad is not None
    for atom, column in [(0, 0), (1, 3), (4, 7)]:
        one = np.zeros((5, descriptor.width))
        one[atom, column] = 1.0  # the map is linear: no step size needed
        change_f, change_w = apply(descriptor, geometry, one)
        expected = (change_f * target.numpy()).sum() + (change_w * stress.numpy()).sum()
        assert float(slope.grad[atom, column]) == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_stored_blocks_recomputed_sweeps_and_plain_torch_agree(structure: Any) -> None:
    descriptor, geometry, _, _ = structure
    blocks = descriptor.jacobian(geometry.types, geometry.pairs, np.float64)
    stored = Geometry(geometry.types, geometry.pairs, blocks)
    rng = np.random.default_rng(5)
    values, target = rng.normal(size=(10, descriptor.width)), torch.tensor(rng.normal(size=(10, 3)))
    results = []
    for forces, geometries in [
        (lambda g, each: PairForces.apply(g, descriptor, each), [geometry, geometry]),
        (lambda g, each: PairForces.apply(g, descriptor, each), [stored, stored]),
        (DenseForces(descriptor), [stored, stored]),
    ]:
        slope = torch.tensor(values, requires_grad=True)
        found, virials = forces(slope, geometries)
        ((found * target).sum() + virials.square().sum()).backward()
        assert slope.grad is not None
        results.append([found.detach().numpy(), virials.detach().numpy(), slope.grad.numpy()])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_allclose(two, one, rtol=1e-10, atol=1e-10)
