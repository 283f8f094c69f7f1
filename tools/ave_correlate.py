"""Files of LAMMPS' ``fix ave/correlate``: correlation functions, one for each window of time.

Three lines of comment, the third with the names of the columns, then blocks::

    # Index TimeDelta Ncount c_flux[1]*c_flux[1] c_flux[2]*c_flux[2] ...
    STEP n
    1 0 count value ...
    n ...

TimeDelta is in steps. With ``ave one`` each block is a window. With ``ave running`` it has all of the run so
far, and what is new in a block are the differences of count times value. Blocks in which a count is zero are
not complete. Reference: LAMMPS manual, `fix ave/correlate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.messages import count

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Correlations:
    """Correlation functions of one file.

    Parameters
    ----------
    steps : (n_lags,) float64
        From 0, equally far apart.
    values : mapping of str to (n_windows, n_lags) float64
        By the names of the two factors, ``c_flux[1]*c_flux[1]``, in units of LAMMPS.
    """

    steps: Array
    values: dict[str, Array]

    def autocorrelations(self, names: Sequence[str]) -> Array | None:
        """Those of all `names` and windows, (n_lags, n); None if one is missing."""
        wanted = [f"{name}*{name}" for name in names]
        if not set(wanted) <= set(self.values):
            return None
        return np.concatenate([self.values[name] for name in wanted]).T


def is_correlations(lines: Sequence[str]) -> bool:
    """Whether the third line names the columns of such a file."""
    return len(lines) > 2 and lines[2].split()[:4] == ["#", "Index", "TimeDelta", "Ncount"]


def read_correlations(path: Path, lines: Sequence[str]) -> Correlations:
    """The windows of a file whose :func:`is_correlations` holds.

    Raises
    ------
    InputError
        A line is damaged, or no block is complete.
    """
    names = lines[2].split()[4:]
    blocks: list[Array] = []
    place = 3
    while place < len(lines) and lines[place].strip():
        words = lines[place].split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            raise InputError(
                f"{path} line {place + 1}: expected a step and a number of lines, got `{lines[place]}`"
            )
        size = int(words[1])
        rows = lines[place + 1 : place + 1 + size]
        if len(rows) < size:
            break  # LAMMPS was stopped while it wrote
        blocks.append(
            np.array([_row(path, place + 2 + k, row, len(names) + 3) for k, row in enumerate(rows)])
        )
        place += 1 + size
    complete = [block for block in blocks if block.shape == blocks[0].shape and (block[:, 2] > 0).all()]
    if not complete:
        raise InputError(
            f"{path}: no block has all of its {len(blocks[0]) if blocks else 0} correlation times; run at "
            "least as many steps as the longest, Nevery * (Nrepeat - 1)"
        )
    counts, values = (
        np.array([block[:, part] for block in complete]) for part in (slice(2, 3), slice(3, None))
    )
    if len(complete) > 1 and (np.diff(counts[:, 0, 0]) > 0.0).all():  # ave running
        values = np.diff(counts * values, axis=0, prepend=0.0)
        counts = np.diff(counts, axis=0, prepend=0.0)
        values = values / counts
    return Correlations(complete[0][:, 1], {name: values[..., column] for column, name in enumerate(names)})


def _row(path: Path, number: int, line: str, width: int) -> list[float]:
    """The numbers of a line."""
    try:
        found = [float(word) for word in line.split()]
    except ValueError as error:
        raise InputError(f"{path} line {number}: is damaged ({error}); remove its block") from error
    if len(found) != width:
        got = count(len(found), "number")
        raise InputError(f"{path} line {number}: {got}, expected {width}; remove its block")
    return found
