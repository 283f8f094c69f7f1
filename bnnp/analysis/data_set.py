"""Summary of a data set: its compositions, energy ranges and the shortest distances of its elements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ase.data import atomic_numbers, chemical_symbols
from ase.formula import Formula

from bnnp.analysis.label_sizes import LabelSizes
from bnnp.descriptors.length_unit import closest_pairs, other, reach, relative
from bnnp.structure import Set, Structure
from bnnp.units import Units

MOST_COMPOSITIONS = 20  # rows of the table

Table = tuple[tuple[str, ...], list[tuple[object, ...]]]


@dataclass
class Composition:
    """The structures of one formula; energies per atom without those of free atoms."""

    n_structures: int = 0
    n_atoms: int = 0
    energies: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Closest:
    """The closest two atoms of a pair of elements: distance in the unit of the file, structure, atoms."""

    distance: float
    structure: str
    atoms: tuple[int, int]


@dataclass
class DataSet:
    """Counts and extremes over all structures of a file."""

    n_structures: int = 0
    n_periodic: int = 0
    n_forces: int = 0
    n_charges: int = 0
    n_stress: int = 0
    n_pinned: dict[Set, int] = field(default_factory=lambda: dict.fromkeys(Set, 0))
    groups: set[str] = field(default_factory=set)
    methods: dict[str, set[str]] = field(default_factory=dict)
    n_close: int = 0
    n_unbalanced: int = 0
    largest_force: float = 0.0
    n_atoms: list[int] = field(default_factory=list)
    compositions: dict[str, Composition] = field(default_factory=dict)
    closest: dict[tuple[str, str], Closest] = field(default_factory=dict)
    reaches: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    sizes: LabelSizes = field(default_factory=LabelSizes)


def count_composition(data: DataSet, structure: Structure, atom_energies: Mapping[str, float]) -> None:
    """Count a structure under its formula; the energies of free atoms are subtracted."""
    symbols = structure.symbols
    formula = str(Formula.from_list(symbols).reduce()[0].format("metal"))
    composition = data.compositions.setdefault(formula, Composition())
    composition.n_structures += 1
    composition.n_atoms += len(structure)
    if structure.energy is not None:
        free = sum(atom_energies[symbol] for symbol in symbols)
        composition.energies.append((structure.energy - free) / len(structure))


def measure_distances(data: DataSet, structure: Structure, units: Units, bond_threshold: float) -> None:
    """Update shortest distances with those of a structure."""
    shortest = closest_pairs(structure, units)
    close = any(found.distance < bond_threshold for found in shortest)
    data.n_close += close
    if not close:
        data.reaches.append(reach(shortest, units))
    for found in shortest:
        first, second = found.numbers
        pair = (chemical_symbols[first], chemical_symbols[second])
        if pair not in data.closest or found.distance < data.closest[pair].distance:
            atoms = (found.atoms[0] + 1, found.atoms[1] + 1)
            data.closest[pair] = Closest(found.distance, structure.where, atoms)


def composition_table(data: DataSet, units: Units) -> Table:
    """Header, and a row for each composition."""
    columns = ("composition", "structures", "atoms", f"energy per atom ({units.energy})")
    return columns, list(_composition_rows(data))


def _composition_rows(data: DataSet) -> Iterator[tuple[object, ...]]:
    ordered = sorted(data.compositions.items(), key=lambda item: -item[1].n_structures)
    for formula, composition in ordered[:MOST_COMPOSITIONS]:
        lowest, highest = min(composition.energies, default=None), max(composition.energies, default=None)
        energies = "-" if lowest is None else f"{lowest:.6f} ... {highest:.6f}"
        yield formula, composition.n_structures, composition.n_atoms, energies
    if len(ordered) > MOST_COMPOSITIONS:
        rest = [composition for _, composition in ordered[MOST_COMPOSITIONS:]]
        yield f"{len(rest)} others", sum(c.n_structures for c in rest), sum(c.n_atoms for c in rest), ""


def distance_table(data: DataSet, units: Units) -> Table:
    """Header, and a row for each pair of elements: the distance, and its ratio to a bond in either unit."""
    second = f"if in {other(units).length}"
    columns = ("pair", units.length, "Angstrom", "of covalent", second, "where", "atoms")
    rows: list[tuple[object, ...]] = [
        (
            "-".join(pair),
            f"{closest.distance:.4f}",
            f"{closest.distance * units.angstrom:.4f}",
            f"{_relative(pair, closest.distance, units):.2f}",
            f"{_relative(pair, closest.distance, other(units)):.2f}",
            closest.structure,
            "{} {}".format(*closest.atoms),
        )
        for pair, closest in sorted(data.closest.items())
    ]
    return columns, rows


def _relative(pair: tuple[str, str], distance: float, units: Units) -> float:
    first, second = (atomic_numbers[symbol] for symbol in pair)
    return relative((first, second), distance, units)
