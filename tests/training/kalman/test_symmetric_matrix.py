"""Half of a symmetric matrix, against the whole one, on one rank and dealt to several."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bnnp.training.kalman import symmetric_matrix
from bnnp.training.kalman.symmetric_matrix import SymmetricMatrix

N = 53


@pytest.fixture(autouse=True, params=[1, 6, 100])
def small_slabs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates are made at once, now and then, or never."""
    monkeypatch.setattr(symmetric_matrix, "ROWS", 8)
    monkeypatch.setattr(symmetric_matrix, "PENDING", request.param)


def changed(matrix: SymmetricMatrix) -> np.ndarray:
    """Change it in all ways; the same changes to a full matrix."""
    rng = np.random.default_rng(3)
    full = 2.5 * np.eye(N)
    for scale in (1.0, 1.25):
        factor = 0.2 * rng.normal(size=(N, 4))
        matrix.subtract(torch.from_numpy(factor), scale)
        full = scale * (full - factor @ factor.T)
        matrix.shift(0.125)
        full += 0.125 * np.eye(N)
    return full


def test_products_and_updates_are_those_of_the_full_matrix() -> None:
    matrix = SymmetricMatrix(N, 2.5)
    full = changed(matrix)
    for columns in (np.eye(N), np.random.default_rng(1).normal(size=(N, 1))):
        found = matrix.product(torch.from_numpy(columns)).numpy()
        np.testing.assert_allclose(found, full @ columns, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_ranks_hold_it_together(n_ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetric_matrix, "PENDING", 1)  # what is put off is not of one rank
    parts = [SymmetricMatrix(N, 2.5, rank=rank, n_ranks=n_ranks) for rank in range(n_ranks)]
    fulls = [changed(part) for part in parts]
    found = sum(part.product(torch.eye(N, dtype=torch.float64)).numpy() for part in parts)
    np.testing.assert_allclose(found, fulls[0], rtol=1e-13, atol=1e-13)
    sizes = [sum(slab.numel() for slab in part._slabs.values()) for part in parts]
    assert max(sizes) < 1.7 * min(sizes)  # seven slabs cannot be shared better


def test_it_comes_back_bit_for_bit_on_any_number_of_ranks() -> None:
    matrix = SymmetricMatrix(N, 2.5)
    changed(matrix)
    arrays = {name: np.array(array) for name, array in matrix.arrays().items()}
    one = SymmetricMatrix(N, 1.0)
    one.load(arrays)
    columns = torch.from_numpy(np.random.default_rng(1).normal(size=(N, 3)))
    assert torch.equal(one.product(columns), matrix.product(columns))
    for each in (one, matrix):
        changed(each)
    assert torch.equal(one.product(columns), matrix.product(columns))
    parts = [SymmetricMatrix(N, 1.0, rank=rank, n_ranks=2) for rank in range(2)]
    for part in parts:
        part.load(arrays)
    triangles = [part.arrays()["triangle"] for part in parts]
    np.testing.assert_array_equal(triangles[0] + triangles[1], arrays["triangle"])


def test_memory_is_that_of_a_triangle() -> None:
    slabs = SymmetricMatrix(N, 1.0)._slabs
    assert sum(slab.numel() for slab in slabs.values()) < 0.6 * N * N
