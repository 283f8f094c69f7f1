"""scaling.data: range, mean and standard deviation of every symmetry function over the training atoms.

n2p2's layout is written (17 digits): after lines with ``#``, one line per function with::

    element   function   minimum   maximum   mean   sigma          both numbers from 1, in sorted order

and, as in RuNNer, a last line with the smallest and largest training energy per atom (without free-atom
energies). RuNNer's five columns, without sigma, are read too. bnnp's header has the fingerprint of the
symmetry functions, by which a file of other functions is recognized; in files without it only their number
is checked. Lines ``# atom_energy X E`` hold the free-atom energies fitted by ``atom_energy fit``. The line
``# potential`` identifies the weights it belongs to (:mod:`bnnp.io.checksums`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError, StaleFileError
from bnnp.io.output import replace_file
from bnnp.io.text import read_lines
from bnnp.messages import count

_HEADER = """\
# Symmetry function scaling data over the training atoms, written by bnnp.
# fingerprint {fingerprint}
{identity}{energies}# e_index, sf_index: element ({elements}) and function, from 1, in sorted order
# sf_sigma: standard deviation with n - 1. Last line: smallest and largest training energy per atom.
#  e_index   sf_index {columns}
"""
_ROUNDING = 1e-8  # of RuNNer's nine decimals, relative to the larger limit or absolute


@dataclass(frozen=True, eq=False)
class ScalingData:
    """Contents of scaling.data.

    Parameters
    ----------
    scalings : mapping of str to Scaling
        By element; sigma is NaN if the file has no such column.
    energy_range : (float, float) or None
        Smallest and largest training energy per atom without free-atom energies, in the units of the file.
    fingerprint : str
        Of the symmetry functions; empty in files of other programs.
    atom_energies : mapping of str to float, energy
        Fitted free-atom energies; empty if they stand in input.nn.
    """

    scalings: Mapping[str, Scaling]
    energy_range: tuple[float, float] | None = None
    fingerprint: str = ""
    atom_energies: Mapping[str, float] = field(default_factory=dict)


def write_scaling(path: str | Path, data: ScalingData, identity: str = "") -> None:
    """Write scaling.data; elements in the order of the mapping, which must be that of the atomic number.

    Parameters
    ----------
    data : ScalingData
        Functions whose sigma is NaN get no sigma column.
    identity : str
        The line ``# potential`` (:mod:`bnnp.io.checksums`).
    """
    with replace_file(path) as file:
        columns = " ".join(f"{name:>24}" for name in ("sf_min", "sf_max", "sf_mean", "sf_sigma"))
        fingerprint, elements = data.fingerprint or "unknown", " ".join(data.scalings)
        energies = "".join(f"# atom_energy {x} {energy!r}\n" for x, energy in data.atom_energies.items())
        header = {"fingerprint": fingerprint, "identity": identity, "energies": energies}
        file.write(_HEADER.format(**header, elements=elements, columns=columns))
        for index, scaling in enumerate(data.scalings.values(), start=1):
            rows = zip(scaling.minimum, scaling.maximum, scaling.mean, scaling.sigma, strict=True)
            for number, row in enumerate(rows, start=1):
                known = row[:3] if np.isnan(row[3]) else row
                file.write(f"{index:10d} {number:10d} " + _row(known))
        if data.energy_range is not None:
            file.write(_row(data.energy_range))


def read_scaling(
    path: str | Path, functions: Mapping[str, int], sigma: bool = False, fingerprint: str = ""
) -> ScalingData:
    """Read scaling.data of n2p2, RuNNer or bnnp.

    Parameters
    ----------
    functions : mapping of str to int
        Number of symmetry functions of each element in input.nn, sorted by atomic number.
    sigma : bool
        Whether the scaling needs the sixth column.
    fingerprint : str
        Of input.nn; compared if the file has one.

    Raises
    ------
    InputError
        No such file, not numbers, not finite, impossible ranges, or no sigma although it is needed.
    StaleFileError
        Other symmetry functions than input.nn.
    """
    path = Path(path)
    rows, found, energies = _rows(path)
    if fingerprint and found and found != fingerprint:
        raise StaleFileError(
            f"{path.name}: made for other elements, symmetry functions, cutoffs or units than input.nn now "
            "has. Run modes 1 and 2 again, or bring back the input.nn it was made with."
        )
    last = rows.pop()[1] if rows and len(rows[-1][1]) == 2 else None
    _check_counts(path, rows, functions, sigma)
    scalings, first = {}, 0
    for element, width in functions.items():
        table = np.full((width, 4), np.nan)
        for number, (_, row) in enumerate(rows[first : first + width]):
            table[number, : len(row) - 2] = row[2:]
        scalings[element] = Scaling(*(np.array(column) for column in table.T))
        first += width
    return ScalingData(scalings, (last[0], last[1]) if last else None, found, energies)


def _row(values: Iterable[float]) -> str:
    return " ".join(f"{value:24.16E}" for value in values) + "\n"


def _rows(path: Path) -> tuple[list[tuple[int, list[float]]], str, dict[str, float]]:
    """(line, numbers) of every line with numbers; fingerprint and free-atom energies of bnnp's header."""
    missing = (
        f"{path.name}: no such file in {path.parent.resolve()}; it holds the ranges of the symmetry "
        "functions. Run mode 2, or copy it here with the weights it belongs to."
    )
    lines = read_lines(path, "ranges of symmetry functions, numbers in columns", missing)
    rows, fingerprint, energies = [], "", {}
    for number, line in enumerate(lines, start=1):
        if match := re.match(r"#\s*fingerprint\s+([0-9a-f]{8,})", line):
            fingerprint = match[1]
        if match := re.match(r"#\s*atom_energy\s+([A-Z][a-z]?)\s+(-?[0-9.]\S*)\s*$", line):
            energies[match[1]] = _numbers(path, number, [match[2]] * 2)[0]
        words = line.split("#")[0].split()
        if words:
            rows.append((number, _numbers(path, number, words)))
    return rows, fingerprint, energies


def _numbers(path: Path, line: int, words: list[str]) -> list[float]:
    """The finite numbers of one line, Fortran's exponents included."""
    try:
        values = [float(word.lower().replace("d", "e")) for word in words]
    except ValueError:
        raise InputError(f"{path.name} line {line}: `{' '.join(words)}`, expected numbers only") from None
    if not np.isfinite(values).all() or len(values) not in (2, 5, 6):
        raise InputError(
            f"{path.name} line {line}: `{' '.join(words)}`, expected element, function, minimum, maximum, "
            "mean and sigma (RuNNer: without sigma), all finite. The file is cut short or damaged: run mode "
            "2 again."
        )
    return values


def _check_counts(
    path: Path, rows: list[tuple[int, list[float]]], functions: Mapping[str, int], sigma: bool
) -> None:
    """Raise an error unless there is one line for each function of input.nn, in its order."""
    expected = [
        (index, number, element)
        for index, (element, count) in enumerate(functions.items(), start=1)
        for number in range(1, count + 1)
    ]
    for (line, row), (index, number, element) in zip(rows, expected, strict=False):
        if (row[0], row[1]) != (index, number):
            raise StaleFileError(
                f"{path.name} line {line}: function {row[1]:g} of element {row[0]:g}, expected function "
                f"{number} of element {index} ({element}). {_belongs(functions)}"
            )
        _check_row(path, line, row, sigma)
    if len(rows) != len(expected):
        raise StaleFileError(
            f"{path.name}: {count(len(rows), 'function')}, expected {len(expected)}. {_belongs(functions)}"
        )


def _check_row(path: Path, line: int, row: list[float], sigma: bool) -> None:
    """Raise InputError for a line with too few or impossible numbers."""
    if len(row) == 2:
        raise InputError(
            f"{path.name} line {line}: two numbers, expected a function; only the last line is an energy "
            f"range"
        )
    if sigma and len(row) < 6:
        raise InputError(
            f"{path.name} line {line}: five columns, but `scale_symmetry_functions_sigma` needs sigma in the "
            "sixth. RuNNer does not write it: use a scaling.data of n2p2 or bnnp, or another scaling keyword."
        )
    minimum, maximum, mean = row[2:5]
    slack = _ROUNDING * max(1.0, abs(minimum), abs(maximum))
    if not minimum - slack <= mean <= maximum + slack or (len(row) == 6 and row[5] < 0.0):
        raise InputError(
            f"{path.name} line {line}: minimum {minimum:g}, maximum {maximum:g}, mean {mean:g}: not in this "
            "order, or a negative sigma. The file is damaged: run mode 2 again."
        )


def _belongs(functions: Mapping[str, int]) -> str:
    have = ", ".join(f"{element} {count}" for element, count in functions.items())
    return f"The file belongs to another network: input.nn has the functions {have}."
