"""Shapes of element networks and the mistakes one can make in them."""

from __future__ import annotations

import pytest

from bnnp.network.architecture import Architecture


def test_number_of_weights_is_that_of_the_paper() -> None:
    # 60-15-15-1: (60 + 1) 15 + (15 + 1) 15 + (15 + 1) 1
    network = Architecture((15, 15), ("t", "t", "l"))
    assert network.layer_sizes(60) == (60, 15, 15, 1)
    assert network.n_weights(60) == 915 + 240 + 16


def test_linear_model_has_no_hidden_layer() -> None:
    assert Architecture((), ("l",)).n_weights(7) == 8


@pytest.mark.parametrize(
    ("nodes", "letters", "text"),
    [
        ((15, 0), ("t", "t", "l"), "hidden layer 2 has 0 nodes"),
        ((15,), ("t", "x"), "unknown activation `x`"),
        ((15, 15), ("t", "l"), "expected 3"),
    ],
)
def test_mistakes_are_named(nodes: tuple[int, ...], letters: tuple[str, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Architecture(nodes, letters)
