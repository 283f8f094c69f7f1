"""Symmetry functions of some atoms of a data set, from which functions are chosen.

Every atom of an element is drawn with the same probability, whatever structure it is in. The file is cut into
20 consecutive blocks of structures, of which every fifth is held out, so that frames that are close in time
are on the same side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.neighbors import find_neighbors, shortest_distances
from bnnp.descriptors.survey import element_types
from bnnp.errors import InputError
from bnnp.structure import Structures

BLOCKS, HELD_OUT = 20, 5


class Environments(NamedTuple):
    """Symmetry functions of atoms of one element, each (n_atoms, n_functions) float64.

    Parameters
    ----------
    fit, test : arrays
        Of the atoms from which functions are chosen, and of the held-out ones.
    """

    fit: NDArray[np.float64]
    test: NDArray[np.float64]


def sample_environments(
    structures: Structures,
    functions: Mapping[str, tuple[SymmetryFunction, ...]],
    cutoff: Cutoff,
    number: int,
    seed: int,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> dict[str, Environments]:
    """Symmetry functions of at most `number` atoms of each element.

    Parameters
    ----------
    structures : Structures
    functions : mapping of element to its functions, elements by atomic number
    cutoff : Cutoff
    number : int
        Atoms of each element at most.
    seed : int
        Of the draw.
    progress : callable
        Iterates over a sequence, for example with a progress bar.

    Raises
    ------
    InputError
        An element does not occur in the structures.
    """
    elements = tuple(functions)
    descriptor = Descriptor(elements, functions, cutoff)
    chosen = _draw(structures, elements, number, np.random.default_rng(seed))
    parts = {x: ([np.zeros((0, len(own)))], [np.zeros((0, len(own)))]) for x, own in functions.items()}
    for index in progress(sorted(chosen)):
        structure, atoms = structures[index], chosen[index]
        types, pairs = descriptor.environments(structure)
        values = descriptor.values(types, pairs.of_centers(atoms))
        held_out = index * BLOCKS // len(structures) % HELD_OUT == HELD_OUT - 1
        for x, (element, own) in enumerate(functions.items()):
            parts[element][held_out].append(values[atoms[types[atoms] == x], : len(own)])
    return {x: Environments(np.concatenate(fit), np.concatenate(test)) for x, (fit, test) in parts.items()}


def _draw(
    structures: Structures, elements: tuple[str, ...], number: int, rng: np.random.Generator
) -> dict[int, NDArray[np.int64]]:
    """Random atoms, ascending, by index of their structure; at most `number` of each element."""
    types = [element_types(structure, elements).astype(np.int8) for structure in structures]
    kind = np.concatenate(types)
    first = np.cumsum([0, *map(len, types)])
    chosen = []
    for x, element in enumerate(elements):
        atoms = np.flatnonzero(kind == x)
        if len(atoms) == 0:
            raise InputError(
                f"no structure contains {element}, so its functions cannot be judged; add some, or leave the "
                "element out"
            )
        chosen.append(rng.choice(atoms, min(number, len(atoms)), replace=False))
    drawn = np.sort(np.concatenate(chosen))
    ends = np.searchsorted(drawn, first)
    return {k: drawn[a:b] - first[k] for k, (a, b) in enumerate(zip(ends, ends[1:], strict=False)) if b > a}


def measured_distances(structures: Structures, cutoff: float) -> dict[frozenset[str], float]:
    """Shortest distance of the elements that come closer than `cutoff`, over all structures."""
    found: dict[frozenset[str], float] = {}
    for structure in structures:
        pairs = find_neighbors(
            structure.positions, structure.cell, cutoff, structure.numbers, pbc=structure.pbc
        )
        for shortest in shortest_distances(pairs, structure.numbers):
            elements = frozenset(structure.symbols[atom] for atom in shortest.atoms)
            found[elements] = min(shortest.distance, found.get(elements, np.inf))
    return found
