"""Shape of an element network: nodes of the hidden layers and one activation letter a layer.

A network of RuNNer's short-range kind is n_inputs - n_1 - ... - n_L - 1, fully connected, with a bias in
every layer; `activations` has L + 1 letters, the last for the output. The number of weights and biases is
sum_l (n_{l-1} + 1) n_l (J. Behler, J. Chem. Phys. 134, 074106 (2011)).
"""

from __future__ import annotations

from dataclasses import dataclass

from bnnp.messages import count

ACTIVATIONS = {
    "l": "x",
    "t": "tanh(x)",
    "s": "1 / (1 + exp(-x))",
    "S": "1 - 1 / (1 + exp(-x))",
    "g": "exp(-x^2 / 2)",
    "c": "cos(x)",
    "e": "exp(-x)",
    "h": "x^2",
    "p": "ln(1 + exp(x))",
    "r": "max(0, x)",
}
BOUNDED = frozenset("tsSgc")


@dataclass(frozen=True)
class Architecture:
    """Hidden layers of one element network; the output layer has one node.

    Parameters
    ----------
    nodes : tuple of int
        Nodes of the hidden layers, first to last; empty for a linear model.
    activations : tuple of str
        One letter for every hidden layer and one for the output.

    Raises
    ------
    ValueError
        A layer without nodes, an unknown letter, or another number of letters than layers.
    """

    nodes: tuple[int, ...]
    activations: tuple[str, ...]

    def __post_init__(self) -> None:
        for number, nodes in enumerate(self.nodes, start=1):
            if nodes < 1:
                raise ValueError(f"hidden layer {number} has {count(nodes, 'node')} but needs at least 1")
        for letter in self.activations:
            if letter not in ACTIVATIONS:
                raise ValueError(f"unknown activation `{letter}`, expected one of {' '.join(ACTIVATIONS)}")
        if len(self.activations) != len(self.nodes) + 1:
            raise ValueError(
                f"{count(len(self.activations), 'activation letter')} for "
                f"{count(len(self.nodes), 'hidden layer')} and the output, expected {len(self.nodes) + 1}"
            )

    def layer_sizes(self, n_inputs: int) -> tuple[int, ...]:
        """Nodes of all layers: inputs, hidden layers, output (always 1)."""
        return (n_inputs, *self.nodes, 1)

    def n_weights(self, n_inputs: int) -> int:
        """Number of weights and biases for `n_inputs` symmetry functions."""
        sizes = self.layer_sizes(n_inputs)
        return sum((n_in + 1) * n_out for n_in, n_out in zip(sizes, sizes[1:], strict=False))

    def describe(self, n_inputs: int) -> str:
        """Nodes and activations for the log, for example ``60-15-15-1 (t t l)``."""
        return f"{'-'.join(map(str, self.layer_sizes(n_inputs)))} ({' '.join(self.activations)})"
