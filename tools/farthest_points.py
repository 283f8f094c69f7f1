"""Farthest point sampling of structures in the space of their symmetry functions.

The next structure is the one whose distance to the nearest chosen one is largest (T. F. Gonzalez, Theor.
Comput. Sci. 38, 293 (1985)): the first n cover the set within twice the smallest radius that any n could.

Symmetry functions count in standard deviations over all atoms of an element. A structure is a point: the
mean and the spread of each function over its atoms of each element, and its composition. Or it is the set of
its atoms, and as far as its most unusual one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Features = dict[str, Array]  # element: (atoms of the element in one structure, functions)


@dataclass(frozen=True)
class Chosen:
    """Structures in the order of their choice.

    Parameters
    ----------
    order : (n,) int64
    distances : (n,) float64
        Of each to the nearest chosen before, in standard deviations; inf for the first.
    radius : float
        Largest distance of any structure to its nearest chosen one, at the end.
    """

    order: NDArray[np.int64]
    distances: Array
    radius: float


def standardize(structures: Sequence[Features]) -> list[Features]:
    """Functions in standard deviations over all atoms of their element; constant ones become zero."""
    elements = sorted({element for features in structures for element in features})
    scales = {}
    for element in elements:
        rows = np.concatenate([features[element] for features in structures if element in features])
        spread = rows.std(axis=0)
        scales[element] = rows.mean(axis=0), np.where(spread > 1e-12, 1.0 / np.maximum(spread, 1e-12), 0.0)
    return [
        {element: (rows - scales[element][0]) * scales[element][1] for element, rows in features.items()}
        for features in structures
    ]


def structure_points(structures: Sequence[Features]) -> Array:
    """One point a structure, (n_structures, n_features), so scaled that distances are root mean squares."""
    widths: dict[str, int] = {}
    for features in structures:
        widths |= {element: rows.shape[1] for element, rows in features.items()}
    points = []
    for features in structures:
        n_atoms = sum(len(rows) for rows in features.values())
        parts: list[Array] = []
        for element in sorted(widths):
            rows = features.get(element, np.zeros((1, widths[element])))
            share = len(features.get(element, ())) / n_atoms
            parts += [rows.mean(axis=0), rows.std(axis=0), np.array([share])]
        points.append(np.concatenate(parts))
    table: NDArray[np.float64] = np.array(points)
    table /= np.sqrt(table.shape[1])
    return table


def farthest_points(points: Array, number: int, before: Array | None = None, radius: float = 0.0) -> Chosen:
    """Choose among points.

    Parameters
    ----------
    points : (n, d) float64
    number : int
        How many to choose at most.
    before : (m, d) float64, optional
        Points that are chosen already. Without any, the one nearest to the mean is the first.
    radius : float
        Stop when all points are this near to a chosen one.
    """
    nearest = np.full(len(points), np.inf)
    for point in () if before is None else before:
        np.minimum(nearest, np.linalg.norm(points - point, axis=1), out=nearest)
    order: list[int] = []
    distances: list[float] = []
    while len(order) < min(number, len(points)):
        if np.isinf(nearest).all():
            index = int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))
        else:
            index = int(np.argmax(nearest))
        if nearest[index] <= radius:
            break
        order.append(index)
        distances.append(float(nearest[index]))
        np.minimum(nearest, np.linalg.norm(points - points[index], axis=1), out=nearest)
    return Chosen(np.array(order, dtype=np.int64), np.array(distances), float(nearest.max(initial=0.0)))


def farthest_atoms(
    structures: Sequence[Features], number: int, before: Sequence[Features] = (), radius: float = 0.0
) -> Chosen:
    """Choose the structure with the most unusual atom, again and again; else as `farthest_points`."""
    elements = sorted({element for features in structures for element in features})
    rows, owners, nearest = {}, {}, {}
    for element in elements:
        parts = {index: found[element] for index, found in enumerate(structures) if element in found}
        rows[element] = np.concatenate(list(parts.values()))
        owners[element] = np.repeat(list(parts), [len(part) for part in parts.values()])
        nearest[element] = np.full(len(owners[element]), np.inf)

    def take(features: Features) -> None:
        for element, atoms in features.items():
            for atom in atoms if element in rows else ():
                distance = np.sqrt(((rows[element] - atom) ** 2).mean(axis=1))
                np.minimum(nearest[element], distance, out=nearest[element])

    def of_structures() -> Array:
        largest = np.zeros(len(structures))
        for element in elements:
            np.maximum.at(largest, owners[element], nearest[element])
        return largest

    for features in before:
        take(features)
    order: list[int] = []
    distances: list[float] = []
    largest = of_structures()
    while len(order) < min(number, len(structures)) and largest.max() > radius:
        index = int(np.argmax(largest))
        order.append(index)
        distances.append(float(largest[index]))
        take(structures[index])
        largest = of_structures()
    return Chosen(np.array(order, dtype=np.int64), np.array(distances), float(largest.max(initial=0.0)))
