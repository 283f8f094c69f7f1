"""Element networks: the order of the values in a weights file."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network


def test_flat_order_is_that_of_a_weights_file() -> None:
    """Per layer all weights, source outer and target inner, then the biases."""
    values = np.arange(1.0, 2 * 3 + 3 + 3 + 1 + 1)
    network = Network.from_flat(values, Architecture((3,), ("t", "l")), 2)
    assert network.weights[0].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert network.biases[0].tolist() == [7, 8, 9]
    assert network.weights[1].ravel().tolist() == [10, 11, 12]
    np.testing.assert_array_equal(network.flat(), values)


def test_wrong_number_of_values() -> None:
    with pytest.raises(ValueError, match=r"expected \(13,\)"):
        Network.from_flat(np.zeros(12), Architecture((3,), ("t", "l")), 2)
