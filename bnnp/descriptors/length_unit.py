"""Whether lengths are in the unit of input.nn: shortest distances compared to covalent radii.

The reach of a structure is its shortest distance in sums of the two covalent radii (Cordero et al., Dalton
Trans. 2008, 2832)::

    reach = min_{i<j} r_ij / (R_i + R_j)

It is about 0.75 to 1.3 with bonds, somewhat beyond in compressed hydrogen. For rare gases van der Waals
radii are taken instead (S. Alvarez, Dalton Trans. 2013, 8617). Angstrom read as bohr turn that into 0.4 to
0.7, bohr read as Angstrom into 1.4 to 2.5. The median over the structures counts, so that a few unusual ones
do not matter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import numpy as np
from ase.data import covalent_radii
from ase.data.vdw_alvarez import vdw_radii

from bnnp.descriptors.neighbors import ShortestDistance, find_neighbors, shortest_distances
from bnnp.errors import NumericalError
from bnnp.structure import Structure, Structures
from bnnp.units import ATOMIC, METAL, Units

REACH = 2.2  # distances are looked for up to this many sums of the largest covalent radius
PLAUSIBLE = (0.65, 1.5)  # median reach of a data set in the right unit
POSSIBLE = (0.5, 2.2)  # the same, where the other unit fits no better
RARE_GASES = [2, 10, 18, 36, 54]
RADII = covalent_radii.copy()  # (n_numbers,) Angstrom
RADII[RARE_GASES] = vdw_radii[RARE_GASES]
SAMPLE = 10  # structures, where a sample is enough


def closest_pairs(structure: Structure, units: Units) -> list[ShortestDistance]:
    """The closest two atoms of each pair of elements, as far as `REACH`."""
    radius = max(RADII[number] for number in structure.numbers) / units.angstrom
    pairs = find_neighbors(
        structure.positions, structure.cell, REACH * 2.0 * radius, structure.numbers, pbc=structure.pbc
    )
    return shortest_distances(pairs, structure.numbers)


def relative(numbers: tuple[int, int], distance: float, units: Units) -> float:
    """Distance in sums of the covalent radii of two elements, if it is in `units`."""
    return distance * units.angstrom / float(RADII[numbers[0]] + RADII[numbers[1]])


def reach(closest: Iterable[ShortestDistance], units: Units) -> float:
    """Smallest relative distance of one structure; inf without any."""
    return min((relative(found.numbers, found.distance, units) for found in closest), default=np.inf)


def sampled_reaches(structures: Structures, units: Units) -> list[float]:
    """Reach of a few structures, evenly spaced over the file, without those that have no neighbor list."""
    found = []
    for index in np.unique(np.linspace(0, len(structures) - 1, SAMPLE).astype(int)):
        with contextlib.suppress(NumericalError):  # the mode itself reports the structure
            found.append(reach(closest_pairs(structures[int(index)], units), units))
    return found


def other(units: Units) -> Units:
    """The unit system that is not `units`."""
    return METAL if units is ATOMIC else ATOMIC


def better_units(reaches: Iterable[float], units: Units) -> Units | None:
    """The other units, if the shortest distances are plausible in them only; None otherwise.

    Parameters
    ----------
    reaches : iterable of float
        Of each structure, with lengths in `units`; inf for one without pairs.

    Examples
    --------
    >>> better_units([1.0, 1.1, 7.0], ATOMIC)
    >>> better_units([0.55, 0.6], ATOMIC).name
    'metal'
    """
    now = _typical(reaches)
    second = other(units)
    then = now * second.angstrom / units.angstrom
    plausible = PLAUSIBLE[0] <= now <= PLAUSIBLE[1]
    return second if not plausible and PLAUSIBLE[0] <= then <= PLAUSIBLE[1] else None


def unit_advice(reaches: Iterable[float], units: Units) -> str | None:
    """A warning if the shortest distances are implausible; it says whether the other unit explains them.

    Where it does not, distances somewhat beyond `PLAUSIBLE` are those of a hot liquid of large atoms, or of
    a rare gas, and nothing is said up to `POSSIBLE`. Parameters are those of `better_units`.
    """
    reaches = list(reaches)
    now, second = _typical(reaches), better_units(reaches, units)
    found = f"the closest atoms are typically {now:.2f} of their covalent distance apart if lengths are in"
    if second is None:
        if not np.isfinite(now) or POSSIBLE[0] <= now <= POSSIBLE[1]:
            return None
        return f"{found} {units.length}, expected {PLAUSIBLE[0]:g} to {PLAUSIBLE[1]:g}."
    then = now * second.angstrom / units.angstrom
    remedy = "write `units metal` into input.nn" if second is METAL else "remove `units metal` from input.nn"
    return (
        f"this looks like {second.length}: {found} {units.length}, {then:.2f} if they are in "
        f"{second.length}. Then {remedy}, or convert the file."
    )


def option_advice(reaches: Iterable[float], units: Units) -> str | None:
    """As `unit_advice`, where ``--units`` says what the units are."""
    advice = unit_advice(reaches, units)
    return advice and f"{advice.partition(' Then ')[0]} Is --units {units.name} right?"


def _typical(reaches: Iterable[float]) -> float:
    """Median of the finite ones; NaN without any."""
    known = [value for value in reaches if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")
