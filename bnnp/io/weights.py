"""weights.XXX.data and optweights.XXX.out: weights and biases of one element network (XXX = atomic number).

The values stand in the first column, in RuNNer and n2p2 in the same order: layer by layer, all weights with
the source node as outer and the target node as inner loop, then the biases; sum_l (n_{l-1} + 1) n_l in all.
bnnp writes n2p2's layout with 17 digits, its header with the line ``# potential`` (:mod:`bnnp.io.checksums`),
or RuNNer's without a header (10 decimals), and reads any::

     value a counter l-1 source l target        weight
     value b counter l target                   bias
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.errors import InputError, NumericalError
from bnnp.io.output import replace_file
from bnnp.io.text import read_lines
from bnnp.messages import count
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network

Array = NDArray[np.float64]

TITLE = "# Neural network connection values"
_HEADER = f"""\
{TITLE} (weights and biases) of {{element}}: {{shape}}
{{identity}}# value, a, number, layer and node it comes from, layer and node it goes to     (weight)
# value, b, number, layer, node                                                 (bias)
"""


class _Layout(NamedTuple):
    """Header and printf-formats of one program."""

    header: str
    weight: str
    bias: str


LAYOUTS = {
    "n2p2": _Layout(_HEADER, "%24.16E a %9d %5d %5d %5d %5d\n", "%24.16E b %9d %5d %5d\n"),
    "runner": _Layout("", "%18.10f a%10d%6d%6d%6d%6d\n", "%18.10f b%10d%6d%6d\n"),
}


def weights_name(element: str, kind: str = "weights") -> str:
    """Name of the weights file of `element`; `kind` is ``weightse`` for its electronegativity network.

    >>> weights_name("Ge"), weights_name("Ge", "weightse")
    ('weights.032.data', 'weightse.032.data')
    """
    return f"{kind}.{atomic_numbers[element]:03d}.data"


def optweights_name(element: str) -> str:
    """Name of the file that RuNNer's mode 2 writes for the best epoch."""
    return f"optweights.{atomic_numbers[element]:03d}.out"


def weights_checksum(network: Network) -> str:
    """sha256 of the values as little-endian float64, whatever the layout of the file."""
    return hashlib.sha256(network.flat().astype("<f8").tobytes()).hexdigest()


def demand_finite(network: Network, element: str) -> None:
    """Raise NumericalError for weights or biases that are not finite. Call it before writing them."""
    if bad := np.count_nonzero(~np.isfinite(network.flat())):
        raise NumericalError(
            f"{weights_name(element)}: {bad} of {count(len(network.flat()), 'weight')} and biases of "
            f"{element} are not finite, so they are not written and the former files are kept. The training "
            "has diverged, or numbers in the data are far too large: look at them, lower learning_rate, "
            "and train again."
        )


def write_weights(
    path: str | Path, network: Network, element: str, layout: str = "n2p2", identity: str = ""
) -> None:
    """Write one element network.

    Parameters
    ----------
    layout : str
        ``n2p2`` (exact) or ``runner`` (10 decimals, no header, for RuNNer itself).
    identity : str
        The line ``# potential`` for the header.

    Raises
    ------
    NumericalError
        A value is not finite; the file is untouched.
    """
    demand_finite(network, element)
    header, weight, bias = LAYOUTS[layout]
    shape = network.architecture.describe(network.n_inputs)
    with replace_file(path) as file:
        file.write(header.format(element=element, shape=shape, identity=identity))
        for indices, value in zip(_indices(network), network.flat(), strict=True):
            file.write((weight if len(indices) == 5 else bias) % (value, *indices))


def read_weights(
    path: str | Path, element: str, architecture: Architecture, n_inputs: int, normalize_nodes: bool = False
) -> Network:
    """Read one element network in any layout.

    Parameters
    ----------
    architecture, n_inputs
        Of input.nn; the number of values must fit exactly.

    Raises
    ------
    InputError
        No such file, not numbers, not finite, or another number of values.
    """
    path = Path(path)
    values = np.array([_number(path, *item) for item in _first_words(path, element)])
    expected = architecture.n_weights(n_inputs)
    if len(values) != expected:
        raise InputError(
            f"{path.name}: {count(len(values), 'weight')} and biases, but the network of {element} in "
            f"input.nn, {architecture.describe(n_inputs)} with {count(n_inputs, 'input')}, has "
            f"{expected}. The file is cut short or belongs to another input.nn; bring the two that were "
            "made together."
        )
    return Network.from_flat(values, architecture, n_inputs, normalize_nodes)


def _indices(network: Network) -> Iterator[tuple[int, ...]]:
    """The integer columns of every line."""
    number = 0
    for layer, weight in enumerate(network.weights, start=1):
        n_in, n_out = weight.shape
        for source in range(1, n_in + 1):
            for target in range(1, n_out + 1):
                number += 1
                yield number, layer - 1, source, layer, target
        for target in range(1, n_out + 1):
            number += 1
            yield number, layer, target


def _first_words(path: Path, element: str) -> list[tuple[int, str]]:
    """(line, first word) of every line that has one."""
    expected = f"the weights and biases of {element}, a number a line"
    lines = read_lines(path, expected, _missing(path, element))
    words = ((number, line.split("#")[0].split()) for number, line in enumerate(lines, start=1))
    return [(number, line[0]) for number, line in words if line]


def _missing(path: Path, element: str) -> str:
    """Message for a weights file that does not exist."""
    best = path.with_name(optweights_name(element))
    hint = f"run mode 2, or copy the weights of {element} here"
    if best.exists():
        hint = f"{best.name} is here: copy it to {path.name}"
    return f"{path.name}: no such file in {path.parent.resolve()}; it holds the network of {element}; {hint}."


def _number(path: Path, line: int, word: str) -> float:
    try:
        value = float(word.lower().replace("d", "e"))
    except ValueError:
        raise InputError(
            f"{path.name} line {line}: `{word}` is not a number, expected a weight or bias"
        ) from None
    if not np.isfinite(value):
        raise InputError(
            f"{path.name} line {line}: the value is {word}, expected a finite number. The training that "
            "wrote it has diverged; take the weights of an earlier epoch."
        )
    return value
