"""Fit what the kinds of work of symmetry functions cost, the table of bnnp/descriptors/costs.py.

    python inputs/benchmark/costs.py

Random subsets of the recipes' functions are timed on the structures of the cases beside this file: neighbor
list, values and reverse sweep, smallest processor time of a few calls, one thread. Non-negative least squares
of the relative error give microseconds a unit of work; a fifth of the sets is held out.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.costs import MICROSECONDS, amounts, array_of, mean_neighbors
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.generate import RECIPES as ALL
from bnnp.descriptors.generate import counts_of, expected_distances, generate
from bnnp.io.input_data import StructureFile

HERE = Path(__file__).parent
CASES = {  # elements, unit length in Angstrom, cutoff radii
    "water": (("H", "O"), 0.529177, (8.0, 10.0, 12.0)),
    "telluride": (("Ge", "Te"), 1.0, (4.5, 5.5, 6.5)),
    "compact": (("H", "C", "O"), 0.529177, (8.0, 11.0)),
}
RECIPES = ("imbalzano", "shifted", "wide", "compact")
SETS, CALLS = 4, 8  # of each case, radius and recipe; timed calls of a set


def seconds(descriptor: Descriptor, structure: object, rng: np.random.Generator) -> float:
    """Of the neighbor list, the values and the reverse sweep."""
    types, pairs = descriptor.environments(structure)
    slopes = rng.normal(size=(len(types), descriptor.width))
    times = []
    for _ in range(CALLS):
        begun = time.process_time()
        types, pairs = descriptor.environments(structure)
        descriptor.values(types, pairs)
        descriptor.vjp(types, pairs, slopes)
        times.append(time.process_time() - begun)
    return min(times)


def main() -> None:
    """Time, fit and print."""
    rng = np.random.default_rng(1)
    rows, times = [], []
    for case, (elements, angstrom, radii) in CASES.items():
        structures = StructureFile(HERE / case / "input.data", elements)
        structure, shortest = structures[0], expected_distances(elements, angstrom)
        for r_c in radii:
            around = mean_neighbors(structures, elements, r_c)
            for recipe in RECIPES:
                pool = generate(ALL[recipe], elements, r_c, counts_of(300, len(elements)), shortest)
                for _ in range(SETS):
                    share = rng.choice([0.03, 0.1, 0.2, 0.4])
                    functions = {
                        x: tuple(f for f in own if rng.random() < share) or own[:2] for x, own in pool.items()
                    }
                    work = {x: array_of(amounts(own, around[x], r_c)) for x, own in functions.items()}
                    rows.append(np.mean([work[x] for x in structure.symbols], axis=0))
                    found = seconds(Descriptor(elements, functions, Cutoff(1)), structure, rng)
                    times.append(1e6 * found / len(structure))
    work, target = np.array(rows), np.array(times)
    held_out = rng.random(len(target)) < 0.2
    fit = ~held_out
    found, _ = nnls(work[fit] / target[fit, None], np.ones(fit.sum()))
    error = np.abs(work @ found / target - 1.0)
    for name, value in zip(MICROSECONDS, found, strict=True):
        print(f'    "{name}": {value:.2g},')
    print(f"{len(target)} sets of {target.min():.1f} to {target.max():.0f} us/atom")
    print(f"relative error, median and largest: {np.median(error[fit]):.1%}, {error[fit].max():.1%};")
    print(f"held out: {np.median(error[held_out]):.1%}, {error[held_out].max():.1%}")


if __name__ == "__main__":
    main()
