"""What symmetry functions cost: microseconds an atom for neighbor list, values and reverse sweep.

The kernels (bnnp/core/kernels) share work between functions, so the cost of a function depends on the others:
one neighbor list, one set of triples for all functions of a pair of elements, one radial factor for all that
differ in the angle alone, no triples for wide functions with zeta 1 to 4. :func:`amounts` counts this work,
:data:`MICROSECONDS` is what a unit of it took on one core of an AMD EPYC (AVX-512): medians of three fits by
inputs/benchmark/costs.py on a busy machine. Other machines are faster or slower, in about the same ratios.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.functions import COMPACT, SymmetryFunction
from bnnp.descriptors.neighbors import find_neighbors
from bnnp.structure import Structures

SAMPLE = 50  # structures, evenly over the data, from which the neighbors are counted
LARGEST_DEGREE = 4  # of wide functions without triples: bnnp/core/plan/symmetry_functions.cpp
WITHIN = 15 / 32  # share of the pairs of points in a sphere that are closer than its radius
NARROW = (3, 8, 13, 21, 24)
MICROSECONDS = {
    "atom": 4.7,
    "neighbor": 0.043,
    "radial": 0.015,
    "narrow triple": 0.018,
    "wide triple": 0.007,
    "narrow window": 0.033,
    "wide window": 0.00084,
    "Gaussian factor": 0.0036,
    "other factor": 0.0013,
    "moment": 0.0002,
    "sum of moments": 0.0005,
}


def mean_neighbors(
    structures: Structures, elements: Sequence[str], radius: float
) -> dict[str, dict[str, float]]:
    """Mean number of neighbors of each element around atoms of each element, [center][neighbor].

    Parameters
    ----------
    structures : Structures
        All atoms are of `elements`.
    elements : sequence of str
    radius : float, length
    """
    atoms = dict.fromkeys(elements, 0)
    counts = {center: dict.fromkeys(elements, 0.0) for center in elements}
    for index in np.unique(np.linspace(0, len(structures) - 1, SAMPLE).astype(int)).tolist():
        structure = structures[index]
        pairs = find_neighbors(
            structure.positions, structure.cell, radius, structure.numbers, pbc=structure.pbc
        )
        symbols = np.array(structure.symbols)
        for center in elements:
            atoms[center] += int(np.count_nonzero(symbols == center))
            around = symbols[pairs.neighbors[symbols[pairs.centers] == center]]
            for neighbor in elements:
                counts[center][neighbor] += float(np.count_nonzero(around == neighbor))
    return {
        center: {neighbor: n / max(atoms[center], 1) for neighbor, n in own.items()}
        for center, own in counts.items()
    }


def cost(functions: Sequence[SymmetryFunction], neighbors: Mapping[str, float], radius: float) -> float:
    """Microseconds an atom for the functions of one central element, as :func:`amounts` has them."""
    found = amounts(functions, neighbors, radius)
    return sum(MICROSECONDS[name] * amount for name, amount in found.items())


def amounts(
    functions: Sequence[SymmetryFunction], neighbors: Mapping[str, float], radius: float
) -> dict[str, float]:
    """How often each kind of work in :data:`MICROSECONDS` is done.

    Parameters
    ----------
    functions : sequence of SymmetryFunction
        Of one central element.
    neighbors : mapping of element to float
        Mean number of neighbors within `radius`; within other radii the density is taken as uniform.
    radius : float, length
    """
    found = dict.fromkeys(MICROSECONDS, 0.0)
    everything = sum(neighbors.values())
    largest = max((function.r_c for function in functions), default=0.0)
    found["atom"], found["neighbor"] = 1.0, everything * (largest / radius) ** 3
    bundles: dict[object, list[SymmetryFunction]] = defaultdict(list)
    moments: list[SymmetryFunction] = []
    for function in functions:
        if function.is_angular:
            wide_power = function.type == 9 and function.zeta in range(1, LARGEST_DEGREE + 1)
            key = (function.type in NARROW, function.neighbors, function.r_c)
            (moments if wide_power else bundles[key]).append(function)
        else:
            around = [neighbors[x] for x in function.neighbors] or [everything]
            found["radial"] += around[0] * (function.r_c / radius) ** 3
    for own in bundles.values():
        _add_triples(own, _triples(own[0], neighbors, radius), found)
    if moments:
        size = _size(max(int(function.zeta) for function in moments))
        factors = {_factor(function) for function in moments}
        found["moment"] = found["neighbor"] * size * len(factors)
        found["sum of moments"] = len({function.neighbors for function in moments}) * size
        found["sum of moments"] += len(moments)
    return found


def _triples(function: SymmetryFunction, neighbors: Mapping[str, float], radius: float) -> float:
    """Mean number of pairs of neighbors that a function sums over."""
    scale = (function.r_c / radius) ** 3
    kinds = function.neighbors or (None, None)
    first, second = (scale * (neighbors[x] if x else sum(neighbors.values())) for x in kinds)
    number = 0.5 * first * max(first - 1.0, 0.0) if kinds[0] == kinds[1] else first * second
    return number * (WITHIN if function.type in NARROW else 1.0)


def _add_triples(functions: Sequence[SymmetryFunction], triples: float, found: dict[str, float]) -> None:
    """The work of a bundle: geometry, angular windows, radial factors."""
    narrow = functions[0].type in NARROW
    found["narrow triple" if narrow else "wide triple"] += triples
    windows = {
        (f.type, f.angle_left, f.angle_right, f.subtype, f.eta * (f.type == 8), f.r_s * (f.type == 8))
        for f in functions
        if f.type == 8 or f.type in COMPACT
    }
    found["narrow window" if narrow else "wide window"] += triples * len(windows)
    factors = {_factor(f) for f in functions}
    gaussians = narrow and all(f.type in (3, 13) and f.r_s == 0.0 for f in functions)
    found["Gaussian factor" if gaussians else "other factor"] += triples * len(factors)


def _factor(f: SymmetryFunction) -> object:
    """Functions with the same share a radial factor."""
    return (f.r_c,) if f.type == 8 else (f.eta, f.r_s, f.r_l, f.r_c, f.subtype)


def _size(degree: int) -> int:
    """Monomials in x, y, z up to a degree."""
    return (degree + 1) * (degree + 2) * (degree + 3) // 6


def array_of(found: Mapping[str, float]) -> NDArray[np.float64]:
    """Amounts in the order of :data:`MICROSECONDS`, (n_kinds,) float64."""
    return np.array([found[name] for name in MICROSECONDS])
