"""The ``atom`` lines of input.data: from text to arrays.

One line is ``atom x y z symbol charge energy fx fy fz``; the energy of an atom is read but not used.
The lines of a structure without reference values may stop after the symbol. For speed all lines are split at
once and converted column by column; only if that fails they are read one by one, to find the bad line or to
read Fortran's exponents (``1.0d-3``, ``0.1-103``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bnnp._core import within
from bnnp.messages import count

COLUMNS = ("x", "y", "z", "symbol", "charge", "energy", "fx", "fy", "fz")
LABELLED, BARE = len(COLUMNS) + 1, 5  # words of a line, `atom` included
NUMBERS = {symbol.encode(): number for number, symbol in enumerate(chemical_symbols[:103]) if number}
LARGEST = 1e12  # no length, energy or force of a calculation is larger, in any unit
CHUNK = 8192  # lines split at once; bounds the memory of a structure with millions of atoms

FORTRAN_EXPONENT = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[dDqQ]([+-]?\d+)|([+-]\d+))")


class AtomLineError(ValueError):
    """A bad ``atom`` line; `row` counts the atom lines of the structure from 0."""

    def __init__(self, row: int, text: str) -> None:
        super().__init__(text)
        self.row = row


@dataclass(frozen=True)
class AtomTable:
    """The atoms of one structure, in the units of the file.

    Parameters
    ----------
    numbers : (n_atoms,) int64
        Atomic numbers.
    positions : (n_atoms, 3) float64, length
    forces : (n_atoms, 3) float64, energy/length, or None
        None if the lines end after the symbol.
    charges : (n_atoms,) float64, e, or None
        None if all are zero.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    forces: NDArray[np.float64] | None
    charges: NDArray[np.float64] | None


def parse_atoms(
    lines: Sequence[bytes], elements: Collection[str] | None = None, require_labels: bool = True
) -> AtomTable:
    """Read the ``atom`` lines of one structure.

    Parameters
    ----------
    lines : sequence of bytes
        Lines whose first word starts with ``atom``.
    elements : collection of str, optional
        Symbols that may occur; any chemical symbol from H to No by default.
    require_labels : bool
        Refuse lines that end after the symbol.

    Raises
    ------
    AtomLineError
        For the first bad line.
    """
    width = len(lines[0].split())
    chunks = [lines[start : start + CHUNK] for start in range(0, len(lines), CHUNK)]
    try:
        if width != LABELLED and (require_labels or width != BARE):
            raise ValueError
        tables = [_convert(chunk, width) for chunk in chunks]
    except (ValueError, KeyError):
        tables = [_convert_carefully(lines, require_labels)]
    numbers = np.concatenate([number for number, _ in tables])
    values = np.concatenate([value for _, value in tables])
    if not are_numbers(values):
        raise _not_finite(values)
    if elements is not None:
        _check_elements(numbers, elements)
    forces = charges = None
    if values.shape[1] == 8:
        forces = np.ascontiguousarray(values[:, 5:])
        charges = values[:, 3].copy() if values[:, 3].any() else None
    return AtomTable(numbers, np.ascontiguousarray(values[:, :3]), forces, charges)


def are_numbers(values: NDArray[np.float64]) -> bool:
    """Whether all values are finite, and not so large that sums and squares of them are not."""
    return within(values, LARGEST)


def parse_number(word: str | bytes) -> float:
    """A number as C or Fortran writes it: ``1.5``, ``1.5e-3``, ``1.5d-3``, ``1.5-103``; else ValueError.

    >>> parse_number("-1.5D-03")
    -0.0015
    """
    try:
        return float(word)
    except ValueError:
        text = word.decode("utf-8", "replace") if isinstance(word, bytes) else word
        match = FORTRAN_EXPONENT.fullmatch(text)
        if match is None:
            raise ValueError(f"`{text}` is not a number") from None
        return float(f"{match[1]}e{match[2] or match[3]}")


def _convert(chunk: Sequence[bytes], width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers (n,) and values (n, width - 2) of lines that all have `width` words."""
    words = b" ".join(chunk).split()
    n = len(chunk)
    if len(words) != n * width or words[::width].count(b"atom") != n:
        raise ValueError
    numbers = np.array([NUMBERS[symbol] for symbol in words[4::width]], dtype=np.int64)
    columns: list[bytes] = []
    for column in (1, 2, 3, *range(5, width)):
        columns += words[column::width]
    try:
        values = np.fromiter(map(float, columns), np.float64, len(columns))
    except ValueError:  # Fortran exponents, or truly not a number
        words = b" ".join(columns).replace(b"d", b"e").replace(b"D", b"E").split()
        values = np.fromiter(map(float, words), np.float64, len(columns))
    return numbers, values.reshape(width - 2, n).T


def _convert_carefully(
    lines: Sequence[bytes], require_labels: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """As `_convert`, but line by line, so that an error names the line."""
    numbers: list[int] = []
    values: list[list[float]] = []
    for row, line in enumerate(lines):
        try:
            number, value = _convert_line(line, require_labels)
            if values and len(value) != len(values[0]):
                raise ValueError(
                    "some atom lines of this structure end after the symbol and some have forces; "
                    "give all of them 4 values or all of them 9"
                )
        except ValueError as error:
            raise AtomLineError(row, str(error)) from None
        numbers.append(number)
        values.append(value)
    return np.array(numbers, dtype=np.int64), np.array(values, dtype=np.float64)


def _convert_line(line: bytes, require_labels: bool) -> tuple[int, list[float]]:
    """Atomic number and numeric columns of one line."""
    words = line.decode("utf-8", "replace").split()
    if words[0] != "atom":
        raise ValueError(f"unknown keyword `{words[0]}`; did you mean `atom`?")
    if len(words) != LABELLED and (require_labels or len(words) != BARE):
        raise ValueError(
            f"an atom line has {count(len(words) - 1, 'value')} but must have 9: {' '.join(COLUMNS)}"
            + ("" if require_labels else ", or the first 4 of them")
        )
    if words[4].encode() not in NUMBERS:
        likely = words[4].capitalize()
        advice = f"; write `{likely}`" if likely.encode() in NUMBERS else ", H to No"
        raise ValueError(f"`{words[4]}` is not a chemical symbol{advice}")
    values = []
    for column, word in zip(COLUMNS, words[1:], strict=False):
        if column != "symbol":
            try:
                values.append(parse_number(word))
            except ValueError:
                raise ValueError(f"{column} is `{word}`, which is not a number") from None
    return NUMBERS[words[4].encode()], values


def _not_finite(values: NDArray[np.float64]) -> AtomLineError:
    """The error for the first value that is NaN or infinite."""
    row, column = np.argwhere(~(np.abs(values) <= LARGEST))[0]
    name = [name for name in COLUMNS if name != "symbol"][column]
    return AtomLineError(
        int(row),
        f"{name} is {values[row, column]}, expected a finite number below {LARGEST:g}; the calculation "
        "behind this structure failed: repeat it or remove the structure",
    )


def _check_elements(numbers: NDArray[np.int64], elements: Collection[str]) -> None:
    """Raise an error for the first atom whose element is not in `elements`."""
    unknown = ~np.isin(numbers, [NUMBERS[symbol.encode()] for symbol in elements])
    if unknown.any():
        row = int(np.argmax(unknown))
        raise AtomLineError(
            row,
            f"element {chemical_symbols[numbers[row]]} is not among `elements` "
            f"({' '.join(elements)}); add it there with its symmetry functions, or remove the structure",
        )
