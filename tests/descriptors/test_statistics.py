"""Moments and comoments: merged pieces equal the whole, whatever the pieces."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from bnnp.descriptors.statistics import Comoments, Moments


@pytest.mark.parametrize("cuts", [[], [1], [3, 3, 50], [10, 20, 30, 99]])
def test_merged_pieces_equal_the_whole(cuts: list[int]) -> None:
    """Against NumPy on all rows; a large offset makes the naive sum of squares lose all digits."""
    values = 1e6 + np.random.default_rng(2).normal(size=(100, 4)) * [1e-3, 1.0, 10.0, 0.0]
    merged = reduce(
        Moments.merge, (Moments.of(piece) for piece in np.split(values, cuts)), Moments.nothing(4)
    )
    assert merged.count == 100
    np.testing.assert_array_equal(merged.minimum, values.min(axis=0))
    np.testing.assert_array_equal(merged.maximum, values.max(axis=0))
    np.testing.assert_allclose(merged.mean, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(merged.sigma, values.std(axis=0, ddof=1), rtol=1e-6, atol=1e-9)


def test_scaling_has_the_same_statistics() -> None:
    values = np.random.default_rng(3).normal(size=(20, 2))
    scaling = Moments.of(values).scaling()
    np.testing.assert_array_equal(scaling.maximum, values.max(axis=0))
    np.testing.assert_allclose(scaling.sigma, values.std(axis=0, ddof=1))
    with pytest.raises(ValueError, match="no atoms"):
        Moments.nothing(2).scaling()


def mixed(n_atoms: int = 400) -> np.ndarray:
    """Columns: two that hang together, one of them shifted far away, one nearly constant, one constant."""
    first, noise, other = np.random.default_rng(5).normal(size=(3, n_atoms))
    return np.stack(
        [first, 1e6 - 2.0 * first + 0.1 * noise, 1e4 + 1e-6 * other, np.full(n_atoms, 7.3)], axis=1
    )


@pytest.mark.parametrize("cuts", [[], [1], [3, 3, 50], [100, 101, 399]])
def test_merged_comoments_equal_the_whole(cuts: list[int]) -> None:
    """Against NumPy on centered rows: E[xy] - E[x] E[y] would have lost all digits of columns 1 and 2."""
    values = mixed()
    pieces = [Comoments.of(piece) for piece in np.split(values, cuts)]
    merged = reduce(Comoments.merge, pieces, Comoments.nothing(4))
    centered = values - values.mean(axis=0)
    scale = np.sqrt(np.multiply.outer(*2 * [np.square(centered).sum(axis=0)]))
    assert merged.count == 400
    np.testing.assert_allclose(merged.mean, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(
        merged.products[:3, :3] / scale[:3, :3], (centered.T @ centered)[:3, :3] / scale[:3, :3], atol=1e-4
    )
    np.testing.assert_allclose(merged.products[:2, :2], (centered.T @ centered)[:2, :2], rtol=1e-9)
    expected = np.corrcoef(values[:, :3].T)
    np.testing.assert_allclose(merged.correlation()[:3, :3], expected, atol=1e-4)
    assert abs(merged.correlation()[0, 2]) < 0.2  # the nearly constant one looks like nothing else


def test_constant_column_has_no_correlation() -> None:
    correlation = Comoments.of(np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 5.0]])).correlation()
    np.testing.assert_array_equal(correlation, [[0.0, 0.0], [0.0, 1.0]])


def test_products_about_another_origin() -> None:
    values, origin = np.random.default_rng(6).normal(size=(30, 3)), np.array([1.0, -2.0, 0.5])
    expected = (values - origin).T @ (values - origin)
    np.testing.assert_allclose(Comoments.of(values).about(origin), expected, rtol=1e-13)
