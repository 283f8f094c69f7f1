"""The section ``[domain]`` of uncertainty.data: statistics of the training atoms, for the hybrid uncertainty.

::

    version 2
    mean Ge 0.41 1.3 ...             of the unscaled symmetry functions
    covariance Ge 1 0.02             lower triangle, row by row
    covariance Ge 2 0.01 0.05
    feature_mean Ge 0.2 -0.9 ...     of the last hidden nodes, without masks
    feature_covariance Ge 1 0.3
    ...
    structure_covariance Ge 1 0.01   of the means of the symmetry functions over a structure
    ...
    shortest Ge Te 2.61              distance in training, length

They belong to the weights whose checksums are in ``[masks]``. See
:mod:`bnnp.uncertainty.training_statistics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError, StaleFileError
from bnnp.io.text import exact
from bnnp.messages import count
from bnnp.uncertainty.training_statistics import TrainingStatistics

Array = NDArray[np.float64]

SECTION = "domain"
VERSION = "2"
_WHERE = "uncertainty.data, [domain]"
_AGAIN = "Run mode 2 again, or remove this section and write `uncertainty mc`."


def format_statistics(statistics: Mapping[str, TrainingStatistics]) -> tuple[str, ...]:
    """The lines below the heading."""
    lines = [f"version {VERSION}"]
    for element, own in statistics.items():
        lines.append(f"mean {element} {exact(own.mean)}")
        lines += _triangle(f"covariance {element}", own.covariance)
        lines.append(f"feature_mean {element} {exact(own.feature_mean)}")
        lines += _triangle(f"feature_covariance {element}", own.feature_covariance)
        lines += _triangle(f"structure_covariance {element}", own.structure_covariance)
        lines += [f"shortest {element} {other} {value!r}" for other, value in own.shortest.items()]
    return tuple(lines)


def parse_statistics(
    lines: Sequence[str], sizes: Mapping[str, tuple[int, int]]
) -> dict[str, TrainingStatistics]:
    """Read the lines below the heading.

    Parameters
    ----------
    sizes : mapping of str to (int, int)
        Numbers of symmetry functions and of last hidden nodes of each element.

    Raises
    ------
    InputError, StaleFileError
        Not in the format above or of other sizes; of a later version.
    """
    rows: dict[tuple[str, str], list[list[str]]] = {}
    for line in lines:
        if words := line.split("#")[0].split():
            rows.setdefault((words[0], words[1] if len(words) > 1 else ""), []).append(words[2:])
    if ("version", VERSION) not in rows:
        raise StaleFileError(f"{_WHERE}: not of version {VERSION}, which this bnnp knows. {_AGAIN}")
    try:
        return {element: _of_element(rows, element, *size) for element, size in sizes.items()}
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{_WHERE}: cut short, damaged or of another potential ({error}). {_AGAIN}"
        ) from None


def _of_element(
    rows: Mapping[tuple[str, str], list[list[str]]], element: str, n: int, hidden: int
) -> TrainingStatistics:
    def mean(name: str, size: int) -> Array:
        values = np.array(rows[name, element][0], dtype=np.float64)
        if values.shape != (size,):
            raise ValueError(f"{name} {element} has {count(len(values), 'number')}, expected {size}")
        return values

    def matrix(name: str, size: int) -> Array:
        lower = np.zeros((size, size))
        for number, row in enumerate(rows[name, element]):
            lower[number, : number + 1] = np.array(row[1:], dtype=np.float64)
        if len(rows[name, element]) != size:
            raise ValueError(
                f"{name} {element} has {count(len(rows[name, element]), 'row')}, expected {size}"
            )
        return lower + np.tril(lower, -1).T

    return TrainingStatistics(
        mean("mean", n),
        matrix("covariance", n),
        mean("feature_mean", hidden),
        matrix("feature_covariance", hidden),
        matrix("structure_covariance", n),
        {other: _distance(value) for other, value in rows.get(("shortest", element), ())},
    )


def _distance(word: str) -> float:
    value = float(word)
    if not 0.0 < value < np.inf:
        raise ValueError(f"shortest distance {word}")
    return value


def _triangle(name: str, matrix: Array) -> Iterator[str]:
    for number, row in enumerate(matrix, start=1):
        yield f"{name} {number} {exact(row[:number])}"
