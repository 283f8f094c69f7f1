"""Moments: merged pieces equal the whole, whatever the pieces."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from bnnp.descriptors.statistics import Moments


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
