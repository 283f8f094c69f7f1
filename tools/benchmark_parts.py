"""The calls that are timed: the sweeps of the core, and the parts of a prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from benchmark_case import Case
from benchmark_timing import COLUMNS as TIMES
from benchmark_timing import Results, measure

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.descriptors.pairs import sum_pairs
from bnnp.descriptors.survey import element_types
from bnnp.messages import count
from bnnp.potential.potential import Potential
from bnnp.structure import Structure

LARGEST = 4e9  # bytes of derivatives beyond which they are not computed
COLUMNS = ("atoms", "threads", "precision", "part", *TIMES)

Parts = Mapping[str, Callable[[], object]]


def descriptor_of(case: Case, threads: int, precision: str) -> Descriptor:
    """The symmetry functions of a case."""
    settings = case.settings
    return Descriptor(
        settings.model.elements, settings.model.functions, settings.model.cutoff, np.dtype(precision), threads
    )


def neighbors_of(structure: Structure, descriptor: Descriptor) -> NeighborList:
    """Neighbor list as modes 1 and 3 make it."""
    return find_neighbors(structure.positions, structure.cell, descriptor.radius, structure.numbers)


def descriptor_parts(structure: Structure, descriptor: Descriptor) -> Parts:
    """Neighbor list, the four sweeps, and all that energy and forces need but the network."""
    types = element_types(structure, descriptor.elements)
    pairs = neighbors_of(structure, descriptor)
    rng = np.random.default_rng(1)
    slopes = rng.normal(size=(len(structure), descriptor.width))  # dE/dG
    steps = rng.normal(size=pairs.vectors.shape)  # dD

    def forces() -> object:
        found = neighbors_of(structure, descriptor)
        descriptor.values(types, found)
        return sum_pairs(found, descriptor.vjp(types, found, slopes))

    parts: dict[str, Callable[[], object]] = {
        "neighbor list": lambda: neighbors_of(structure, descriptor),
        "values": lambda: descriptor.values(types, pairs),
        "vjp (reverse)": lambda: descriptor.vjp(types, pairs, slopes),
        "jvp (forward)": lambda: descriptor.jvp(types, pairs, steps),
        "jacobian": lambda: descriptor.jacobian(types, pairs),
        "list + values + vjp": forces,
    }
    if 4.0 * float(descriptor.block_sizes(types, pairs).sum()) > LARGEST:
        del parts["jacobian"]
    return parts


def prediction_parts(structure: Structure, potential: Potential) -> Parts:
    """The parts of one prediction, and predictions with the plain network and with all samples."""
    plain = replace(potential, members=(replace(potential.members[0], masks=None),))
    types, pairs = potential.types(structure), potential.neighbors(structure)
    descriptor = potential.descriptor
    values = descriptor.values(types, pairs)
    parts: dict[str, Callable[[], object]] = {
        "neighbor list": lambda: potential.neighbors(structure),
        "values": lambda: descriptor.values(types, pairs),
        "vjp (reverse)": lambda: descriptor.vjp(types, pairs, values),
        "all, plain network": lambda: plain.predict(structure),
    }
    if (electrostatics := potential.model.electrostatics) is not None:
        interaction = electrostatics.interaction(structure)
        parts["interaction of charges"] = lambda: electrostatics.interaction(structure).matrices
        parts["its derivatives"] = lambda: interaction.derivatives(*np.ones((2, len(structure))))
        parts["energy and forces"] = lambda: plain.predict(structure, stress=False)
    if potential.members[0].masks is not None:
        parts["all, mean over samples"] = lambda: potential.predict(structure, sigma=False)
        parts["all, sigma of every force"] = lambda: potential.predict(structure)
    return parts


def measured(
    parts: Parts, repeat: int, results: Results, case: Case, atoms: int, threads: int, precision: str
) -> Iterator[tuple[object, ...]]:
    """One row of the table for each part, which `results` gets, too."""
    for name, found in measure(parts, repeat).items():
        words = case.directory.resolve().name, f"{atoms} atoms", count(threads, "thread"), precision, name
        yield atoms, threads, precision, name, *results.add(found.per(atoms), *words).cells()
