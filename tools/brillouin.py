"""Wave vectors: lines between the special points of a crystal, and irreducible meshes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BandPath:
    """Lines between special points.

    Parameters
    ----------
    points : (n, 3) float64
        In units of the reciprocal lattice vectors.
    distances : (n,) float64, 1/Angstrom
        Along the path, with the factor 2 pi; jumps have no length.
    labels : list of (str, int)
        Special points and where they are among `points`.
    """

    points: Array
    distances: Array
    labels: list[tuple[str, int]]

    @classmethod
    def of(cls, found: Mapping[str, Any], atoms: Atoms, number: int) -> BandPath:
        """The path that seekpath has found, with about `number` points."""
        reciprocal = 2.0 * np.pi * np.linalg.inv(atoms.cell.array).T
        special = {name: np.array(point) for name, point in found["point_coords"].items()}
        ends = [(special[a], special[b]) for a, b in found["path"]]
        lengths = [float(np.linalg.norm((b - a) @ reciprocal)) for a, b in ends]
        points: list[Array] = []
        distances: list[float] = []
        labels: list[tuple[str, int]] = []
        at = 0.0
        for (first, last), (a, b), length in zip(found["path"], ends, lengths, strict=True):
            n = max(3, round(number * length / sum(lengths)))
            labels += [(first, len(points)), (last, len(points) + n - 1)]
            points += list(np.linspace(a, b, n))
            distances += (at + np.linspace(0.0, length, n)).tolist()
            at += length
        return cls(np.array(points), np.array(distances), labels)

    def describe(self) -> str:
        """Names and places of the special points, for a header."""
        return " ".join(f"{name} {self.distances[place]:.6f}" for name, place in self.labels)

    def near(self, point: int) -> str:
        """A point of the path by its coordinates and the closest special point."""
        q = " ".join(f"{x:.3f}" for x in self.points[point])
        name, place = min(self.labels, key=lambda label: abs(label[1] - point))
        return f"({q}), {'at' if place == point else 'near'} {name}"


def irreducible(atoms: Atoms, length: float, tolerance: float) -> tuple[Array, NDArray[np.int64]]:
    """Wave vectors of a mesh around the zone center that symmetry does not connect, and their weights.

    Parameters
    ----------
    length : float, Angstrom
        Times the length of a reciprocal vector (without 2 pi): points along it.
    tolerance : float, Angstrom
    """
    reciprocal = np.linalg.inv(atoms.cell.array).T
    mesh = np.maximum(1, np.rint(length * np.linalg.norm(reciprocal, axis=1)).astype(int))
    cell = atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that spglib will drop
        mapping, addresses = spglib.get_ir_reciprocal_mesh(mesh, cell, is_shift=[0, 0, 0], symprec=tolerance)
    chosen, weights = np.unique(mapping, return_counts=True)
    return addresses[chosen] / mesh, weights
