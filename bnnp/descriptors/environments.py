"""Symmetry functions of some atoms of a data set, from which functions are chosen.

Every atom of an element is drawn with the same probability, whatever structure it is in. The file is cut into
20 consecutive blocks of structures, of which every fifth is held out, so that frames that are close in time
are on the same side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
BINS = 500  # of the distances


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
        held_out = _held_out(index, len(structures))
        for x, (element, own) in enumerate(functions.items()):
            parts[element][held_out].append(values[atoms[types[atoms] == x], : len(own)])
    return {x: Environments(np.concatenate(fit), np.concatenate(test)) for x, (fit, test) in parts.items()}


def blocks_of(n_structures: int) -> tuple[list[int], list[int]]:
    """Positions of the structures that are not held out, and of those that are."""
    parts: tuple[list[int], list[int]] = ([], [])
    for index in range(n_structures):
        parts[_held_out(index, n_structures)].append(index)
    return parts


def _held_out(index: int, n_structures: int) -> bool:
    return index * BLOCKS // n_structures % HELD_OUT == HELD_OUT - 1


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


@dataclass(frozen=True, eq=False)
class MeasuredDistances:
    """Distances of all pairs of atoms closer than a cutoff radius, over all structures.

    Parameters
    ----------
    shortest : dict of frozenset of one or two elements to float, length
        For the elements that come so close.
    neighbors : (n_bins,) float64
        Mean number of neighbors of an atom within each of `edges`.
    edges : (n_bins,) float64, length
        Up to the cutoff radius.
    """

    shortest: dict[frozenset[str], float]
    neighbors: NDArray[np.float64]
    edges: NDArray[np.float64]

    def radius(self, number: float) -> float:
        """Smallest of the edges within which an atom has `number` neighbors in the mean, else the last."""
        enough = np.flatnonzero(self.neighbors >= number)
        return float(self.edges[enough[0] if len(enough) else -1])


def measure_distances(structures: Structures, cutoff: float) -> MeasuredDistances:
    """Distances in all structures up to `cutoff`, length."""
    shortest: dict[frozenset[str], float] = {}
    edges, counts, n_atoms = np.linspace(0.0, cutoff, BINS + 1), np.zeros(BINS), 0
    for structure in structures:
        pairs = find_neighbors(
            structure.positions, structure.cell, cutoff, structure.numbers, pbc=structure.pbc
        )
        for closest in shortest_distances(pairs, structure.numbers):
            elements = frozenset(structure.symbols[atom] for atom in closest.atoms)
            shortest[elements] = min(closest.distance, shortest.get(elements, np.inf))
        counts += np.histogram(np.linalg.norm(pairs.vectors, axis=1), edges)[0]
        n_atoms += len(structure)
    return MeasuredDistances(shortest, np.cumsum(counts) / max(n_atoms, 1), edges[1:])
