r"""Symmetry functions to choose from, and those that are chosen from the data alone.

:func:`automatic_pool` is what mode 1 uses where input.nn has no symmetry function. From the structures come

* the shortest distances of the pairs of elements, with which the pool of the recipe begins,
* the cutoff radius: the smallest within which an atom has :data:`NEIGHBORS` others in the mean, between
  5 and 6.5 Angstrom; where there are fewer, that of :data:`SPARSE` with the lowest error of forces,
* the choice: without functions that hardly vary, that hardly any atom feels, or that repeat another
  (:mod:`bnnp.descriptors.pruning`), those that together tell most about all, by CUR. Where these leave more
  than 1 % of the others untold, as with several elements, and in molecules, those that tell most about the
  forces instead (:mod:`bnnp.descriptors.regression`), if there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.environments import Environments, blocks_of, measure_distances, sample_environments
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.generate import RECIPES, Distances, counts_of, expected_distances, generate, merge
from bnnp.descriptors.pruning import Criteria, Pruned, passing, prune, whole_error
from bnnp.descriptors.regression import force_products, most_telling, relative_error
from bnnp.messages import count
from bnnp.structure import Structures
from bnnp.units import Units

FAULTY = 0.6  # of the distance to expect: shorter ones are mistakes in the data
SMALLEST_RANGE = 1e-3  # functions that vary by less are left out
SMALLEST_SPREAD = 0.02  # of the range: functions that vary less are felt by hardly any atom
SMALLEST_SHARE = 0.002  # of the atoms that feel a function (inverse kurtosis)
LARGEST_CORRELATION = 0.999
ENVIRONMENTS = 5000  # atoms of each element to choose by
RECIPES_OF_POOL = ("imbalzano", "shells")  # by CUR of the first, by the forces of both
POOL, HALF_POOL, LARGEST_POOL = 300, 150, 400  # functions of an element by the first, and by each of both
TOLD = 0.01  # relative error of all functions that those by CUR must reach
NEIGHBORS, SHORTEST, LONGEST = 30.0, 5.0, 6.5  # neighbors within the cutoff radius, in Angstrom
SPARSE = (6.5, 5.0, 4.0)  # of which one is chosen where 6.5 Angstrom hold fewer neighbors, as in molecules
CLOSE = 0.9  # of the cutoff radius: pairs of elements that never come closer have no neighbors worth a grid
STEP = 0.05  # of that radius, Angstrom

Progress = Callable[[Sequence[int]], Iterable[int]]


@dataclass(frozen=True)
class Pool:
    """Functions to write or to choose from.

    Parameters
    ----------
    functions : mapping of element to functions in their final order
        Elements by atomic number.
    cutoff : Cutoff
    units : Units
    remarks : tuple of str
        Where they come from.
    """

    functions: Mapping[str, tuple[SymmetryFunction, ...]]
    cutoff: Cutoff
    units: Units
    remarks: tuple[str, ...]

    @property
    def counts(self) -> str:
        """Number of functions of each element, in words."""
        return ", ".join(f"{len(own)} of {element}" for element, own in self.functions.items())

    def lines(self) -> Iterator[str]:
        """The functions as lines of input.nn."""
        for functions in self.functions.values():
            yield ""
            yield from (f"symfunction_short {function.definition()}" for function in functions)

    def chosen(self, found: Mapping[str, Pruned], samples: Mapping[str, Environments], how: str) -> Pool:
        """The functions that stay, and how well they tell what all do."""
        remarks = [*self.remarks, f"Chosen by {how}:"]
        remarks += [summary(element, found[element], samples[element]) for element in found]
        functions = {
            element: tuple(own[k] for k in sorted(found[element].selection.chosen))
            for element, own in self.functions.items()
        }
        return replace(self, functions=functions, remarks=tuple(remarks))


def recipe_pool(
    recipes: Iterable[str],
    elements: Sequence[str],
    r_c: float,
    size: str | int,
    cutoff: Cutoff,
    units: Units,
    measured: Distances | None = None,
) -> Pool:
    """Functions by recipes.

    Parameters
    ----------
    recipes : iterable of str
        Names in :data:`bnnp.descriptors.generate.RECIPES`.
    elements : sequence of str
    r_c : float, length
    size : str or int
        As of :func:`bnnp.descriptors.generate.counts_of`.
    cutoff : Cutoff
    units : Units
    measured : mapping of frozenset of one or two elements to float, length, optional
        Shortest distances in the data, which win over those to expect unless they are absurd.

    Raises
    ------
    ValueError
        An unknown element, too few functions for so many elements, or a cutoff radius that is not larger than
        the shortest distance.
    """
    remarks, sets = [], []
    expected = expected_distances(elements, units.angstrom)
    measured = {pair: r for pair, r in (measured or {}).items() if pair in expected}
    shortest = expected | {pair: max(r, FAULTY * expected[pair]) for pair, r in measured.items()}
    source = "of the data" if measured else "0.85 of the covalent radii"
    if any(r < shortest[pair] for pair, r in measured.items()):
        source += f", at least {FAULTY:g} times 0.85 of the covalent radii"
    for name in dict.fromkeys(recipes):
        recipe = RECIPES[name]
        counts = counts_of(size, len(set(elements)), recipe.weighted)
        sets.append(generate(recipe, elements, r_c, counts, shortest))
        each, pair = ("", "") if recipe.weighted else (" for each neighbor element", " for each pair")
        remarks += [
            f"Recipe {name}: {recipe.source};",
            f"{count(counts.radial, 'radial function')}{each}, {counts.angular} angular ones{pair}.",
        ]
    distances = ", ".join(f"{'-'.join(_ends(pair))} {r:.3g}" for pair, r in shortest.items())
    remarks.append(f"Cutoff radius {r_c:g} {units.length}; shortest distances ({source}): {distances}.")
    return Pool(merge(sets), cutoff, units, tuple(remarks))


def automatic_pool(
    structures: Structures,
    elements: Sequence[str],
    cutoff: Cutoff,
    units: Units,
    keep: int,
    seed: int,
    progress: Progress = iter,
) -> Pool:
    """At most `keep` functions of each element, chosen from the structures.

    Parameters
    ----------
    structures : Structures
    elements : sequence of str
    cutoff : Cutoff
    units : Units
        Of the structures and the functions.
    keep : int
    seed : int
        Of the draw of atoms.
    progress : callable
        Iterates over a sequence, for example with a progress bar.

    Raises
    ------
    InputError
        An element does not occur in the structures.
    ValueError
        No function of an element varies over the structures.
    """
    found = measure_distances(structures, LONGEST / units.angstrom)
    sparse, n = bool(found.neighbors[-1] < NEIGHBORS), len(elements)
    limits = SMALLEST_RANGE, SMALLEST_SPREAD, SMALLEST_SHARE, LARGEST_CORRELATION
    criteria = Criteria("cur", keep, 0.0, *limits)

    def sampled(recipes: Sequence[str], radius: float, size: int) -> tuple[Pool, dict[str, Environments]]:
        r_c = float(f"{radius / units.angstrom:.4g}")
        shortest = {pair: r for pair, r in found.shortest.items() if r < CLOSE * r_c}
        pool = recipe_pool(recipes, elements, r_c, size, cutoff, units, shortest)
        return pool, sample_environments(structures, pool.functions, cutoff, ENVIRONMENTS, seed, progress)

    radius = np.ceil(found.radius(NEIGHBORS) * units.angstrom / STEP) * STEP
    radius = min(max(radius, SHORTEST), LONGEST)
    pool, samples = sampled(RECIPES_OF_POOL[:1], radius, max(POOL, 4 * n * (n + 1) + 8 * n))
    pruned = {element: prune(sample.fit, sample.test, criteria) for element, sample in samples.items()}
    for element, each in pruned.items():
        if not each.selection.chosen:
            raise ValueError(f"no symmetry function of {element} varies over the structures")
    by_variance = pool.chosen(pruned, samples, "CUR on the data")
    if not sparse and max(whole_error(each.errors) for each in pruned.values()) <= TOLD:
        return by_variance
    size = max(HALF_POOL, min(20 * n * (n + 1), LARGEST_POOL), n * (n + 3))  # at best 40 for a pair
    candidates = []
    for r_c in SPARSE if sparse else (radius,):
        pool, samples = sampled(RECIPES_OF_POOL, r_c, size)
        if all(passing(sample.fit, criteria) for sample in samples.values()):
            candidate = _Candidate.of(structures, pool, samples, criteria, seed, progress, judged=sparse)
            candidates += [candidate] * any(candidate.first.values())
    if not candidates:
        return by_variance
    best = min(candidates, key=lambda each: (np.isnan(each.error), each.error))
    pruned = {
        element: prune(sample.fit, sample.test, criteria, first=best.first[element])
        for element, sample in best.samples.items()
    }
    how = "a linear fit of the forces, to which those left out, however they vary, add least"
    if sparse:
        tried = ", ".join(f"{radius:g}" for radius in SPARSE)
        how += f" (lowest error of held-out forces of the cutoff radii {tried} Angstrom)"
    return best.pool.chosen(pruned, best.samples, how)


class _Candidate(NamedTuple):
    """A pool, the columns of each element to take first, and the error of held-out forces, or NaN."""

    pool: Pool
    samples: Mapping[str, Environments]
    first: Mapping[str, list[int]]
    error: float

    @classmethod
    def of(
        cls,
        structures: Structures,
        pool: Pool,
        samples: Mapping[str, Environments],
        criteria: Criteria,
        seed: int,
        progress: Progress,
        judged: bool,
    ) -> _Candidate:
        """At most ``criteria.keep`` columns of each element, by what they tell about the forces; of all
        structures, unless some are held out to be `judged` by."""
        columns = [(x, k) for x, sample in samples.items() for k in passing(sample.fit, criteria)]
        functions = {x: tuple(pool.functions[x][k] for own, k in columns if own == x) for x in samples}
        parts = blocks_of(len(structures)) if judged else (range(len(structures)), [])
        fitted, held_out = (
            force_products(structures, part, functions, pool.cutoff, seed, progress) for part in parts
        )
        owners = np.repeat(np.arange(len(functions)), [len(own) for own in functions.values()])
        assert criteria.keep is not None
        taken = most_telling(fitted, owners, criteria.keep)
        first: dict[str, list[int]] = {element: [] for element in functions}
        for place in taken:
            element, k = columns[place]
            first[element].append(k)
        return cls(pool, samples, first, relative_error(fitted, held_out, taken))


def summary(element: str, found: Pruned, sample: Environments) -> str:
    """How well the functions that stay tell what all do, in words."""
    n_kept, n_all = len(found.selection.chosen), len(found.errors)
    inside, outside = (percent(whole_error(errors)) for errors in (found.errors, found.held_out))
    return (
        f"{element}: {n_kept} of {count(n_all, 'function')} reproduce all to {inside} "
        f"({count(len(sample.fit), 'atom')}), held out {outside} ({count(len(sample.test), 'atom')})"
    )


def percent(share: float) -> str:
    """In words; ``-`` where it is not known."""
    return f"{100.0 * share:.2f} %" if np.isfinite(share) else "-"


def _ends(elements: frozenset[str]) -> tuple[str, str]:
    return min(elements), max(elements)
