"""Extrapolation: atoms whose symmetry functions leave the range of the training set.

A network extrapolates when G < G_min or G > G_max for any function (J. Behler, J. Phys.: Condens. Matter 26,
183001 (2014), section 4). The relative excess, max(G_min - G, G - G_max) / (G_max - G_min), is infinite for a
function that was constant in training. The tolerance is n2p2's, 1000 times the rounding of float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.scaling import Scaling

Array = NDArray[np.float64]

TOLERANCE = 1000.0 * np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """The values outside of their training ranges, as arrays of one length.

    Parameters
    ----------
    atom : (n,) int64
        Row of the descriptors, from 0.
    function : (n,) int64
        From 0, in the order of the element's functions.
    value, minimum, maximum : (n,) float64
    """

    atom: NDArray[np.int64]
    function: NDArray[np.int64]
    value: Array
    minimum: Array
    maximum: Array

    def first(self, count: int) -> Extrapolation:
        """The first `count` values."""
        return Extrapolation(*(getattr(self, each.name)[:count] for each in fields(self)))


@dataclass(frozen=True, eq=False)
class Tally:
    """How often and how far each function of one element was outside of its training range.

    Parameters
    ----------
    count : (n_functions,) int64
    excess : (n_functions,) float64
        Largest relative excess; 0 if never outside, infinite if the function was constant in training.
    outside, atoms : int
        Atoms with a function outside, and all atoms of the element.
    """

    count: NDArray[np.int64]
    excess: Array
    outside: int
    atoms: int

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.count + other.count,
            np.maximum(self.excess, other.excess),
            self.outside + other.outside,
            self.atoms + other.atoms,
        )


def outside(values: Array, scaling: Scaling) -> Extrapolation:
    """Find the values beyond the training range.

    Parameters
    ----------
    values : (n_atoms, n_functions) float64
        Unscaled symmetry functions of the atoms of one element.
    """
    beyond = (values < scaling.minimum - TOLERANCE) | (values > scaling.maximum + TOLERANCE)
    atom, function = np.nonzero(beyond)
    limits = scaling.minimum[function], scaling.maximum[function]
    return Extrapolation(atom, function, values[atom, function], *limits)


def tally(found: Extrapolation, scaling: Scaling, atoms: int) -> Tally:
    """Count `found`, of so many `atoms`, by function."""
    distance = np.maximum(found.minimum - found.value, found.value - found.maximum)
    constant = scaling.constant[found.function]
    relative = np.divide(
        distance, found.maximum - found.minimum, out=np.full(len(distance), np.inf), where=~constant
    )
    excess = np.zeros(len(scaling))
    np.maximum.at(excess, found.function, relative)
    count = np.bincount(found.function, minlength=len(scaling))
    return Tally(count, excess, len(np.unique(found.atom)), atoms)


def warning_lines(
    found: Extrapolation, structure: int, atoms: NDArray[np.int64], element: str, types: Mapping[int, int]
) -> list[str]:
    """The warning of n2p2 for every value outside, a line that other programs search for.

    Parameters
    ----------
    structure : int
        Number of the structure, from 0 as n2p2 counts.
    atoms : (n_atoms,) int64
        Number in the structure, from 0, of each row of the descriptors.
    types : mapping of int to int
        Type of each symmetry function of `element`, by its number from 0.
    """
    rows = zip(found.atom, found.function, found.value, found.minimum, found.maximum, strict=True)
    return [
        f"### NNP EXTRAPOLATION WARNING ### STRUCTURE: {structure:6d} ATOM: {atoms[row]:9d} ELEMENT: "
        f"{element:>2} SYMFUNC: {function + 1:4d} TYPE: {types[int(function)]:2d} VALUE: {value:10.3E} "
        f"MIN: {minimum:10.3E} MAX: {maximum:10.3E}"
        for row, function, value, minimum, maximum in rows
    ]


def energy_warning(energy: float, limits: tuple[float, float] | None) -> str:
    """RuNNer's warning if the short-range energy per atom is outside of its training range, else empty."""
    if limits is None or limits[0] <= energy <= limits[1]:
        return ""
    below = energy < limits[0]
    fault = "eshort is .lt. eshortmin" if below else "eshort is .gt. eshortmax"
    return f"WARNING: {fault}: average per atom {energy:.8f}, limit {limits[0 if below else 1]:.8f}"
