"""hardness.XXX.data, the hardness of an element in potentials of the fourth generation of n2p2 and RuNNer.

One number, in energy/e^2; ``#`` begins a comment.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ase.data import atomic_numbers

from bnnp.errors import InputError
from bnnp.io.output import replace_file
from bnnp.io.text import read_lines
from bnnp.messages import count


def hardness_name(element: str) -> str:
    """Name of the file of `element`.

    >>> hardness_name("O")
    'hardness.008.data'
    """
    return f"hardness.{atomic_numbers[element]:03d}.data"


def read_hardness(path: Path, element: str) -> float:
    """The hardness of `element`, energy/e^2.

    Raises
    ------
    InputError
        No such file, or not one positive number.
    """
    expected = f"the hardness of {element}, one number"
    missing = (
        f"{path.name}: no such file in {path.parent.resolve()}; it holds the hardness of {element}, one "
        "number; bring the one of the training."
    )
    lines = read_lines(path, expected, missing)
    words = [(number, line.split("#")[0].split()) for number, line in enumerate(lines, start=1)]
    rows = [(number, row) for number, row in words if row]
    if len(rows) != 1:
        raise InputError(f"{path.name}: {count(len(rows), 'line')} with a value, expected {expected}")
    (number, (word, *_)), value = rows[0], float("nan")
    with suppress(ValueError):
        value = float(word.lower().replace("d", "e"))
    if not 0.0 < value < float("inf"):
        raise InputError(
            f"{path.name} line {number}: the hardness of {element} is `{word}`, expected a positive number: "
            "charges would grow without end. Bring the file of the training."
        )
    return value


def write_hardness(path: Path, element: str, hardness: float, identity: str = "") -> None:
    """Write the hardness of `element`, with the line ``# potential`` (`identity`)."""
    with replace_file(path) as file:
        file.write(f"# Hardness of {element}, written by bnnp.\n{identity}{hardness:24.16E}\n")
