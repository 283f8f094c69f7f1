"""What input.data holds: compositions, labels, shortest distances, and what cannot be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from ase.formula import Formula

from bnnp.descriptors.length_unit import closest_pairs, other, reach, relative, unit_advice
from bnnp.errors import BnnpError
from bnnp.io.input_data import StructureFile
from bnnp.log import Log
from bnnp.settings.settings import Settings
from bnnp.structure import Set, Structure
from bnnp.units import Units

MOST_COMPOSITIONS = 20  # shown


@dataclass
class Composition:
    """The structures of one formula; energies per atom, those of free atoms subtracted."""

    n_structures: int = 0
    n_atoms: int = 0
    energies: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Closest:
    """The closest two atoms of a pair of elements: distance in the unit of the file, and where."""

    distance: float
    structure: str
    atoms: tuple[int, int]


@dataclass
class DataSet:
    """What one pass over the file found."""

    n_structures: int = 0
    n_periodic: int = 0
    n_forces: int = 0
    n_stress: int = 0
    n_pinned: dict[Set, int] = field(default_factory=lambda: dict.fromkeys(Set, 0))
    groups: set[str] = field(default_factory=set)
    n_close: int = 0
    n_unbalanced: int = 0
    largest_force: float = 0.0
    n_atoms: list[int] = field(default_factory=list)
    compositions: dict[str, Composition] = field(default_factory=dict)
    closest: dict[tuple[str, str], Closest] = field(default_factory=dict)
    reaches: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def look_at(structures: StructureFile, settings: Settings, log: Log) -> DataSet:
    """Read every structure once; what is wrong with one is noted and the next is read."""
    log.section("Structures")
    data = DataSet(n_structures=len(structures), n_atoms=structures.n_atoms.tolist())
    for warning in structures.warnings:
        log.warn(warning)
    for index in log.progress(range(len(structures)), "reading"):
        try:
            _look_at_one(data, structures[index], settings)
        except BnnpError as error:
            data.faults.append(str(error))
    return data


def _look_at_one(data: DataSet, structure: Structure, settings: Settings) -> None:
    unknown = sorted(set(structure.symbols) - set(settings.model.elements))
    if unknown:
        data.faults.append(f"{structure.where}: {', '.join(unknown)} is not among `elements` of input.nn")
        return
    data.groups.add(structure.info.get("group", ""))
    data.n_periodic += structure.periodic
    data.n_stress += structure.stress is not None
    if structure.subset:
        data.n_pinned[structure.subset] += 1
    if structure.forces is not None:
        data.n_forces += 1
        data.largest_force = max(data.largest_force, float(np.abs(structure.forces).max()))
        data.n_unbalanced += bool(
            np.linalg.norm(structure.forces.sum(axis=0)) > settings.structures.check_input_forces
        )
    count_composition(data, structure, settings.model.atom_energies)
    measure_distances(data, structure, settings.model.units, settings.structures.bond_threshold)


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
    """Note the closest atoms of a structure, if they are the closest so far."""
    shortest = closest_pairs(structure, units)
    data.reaches.append(reach(shortest, units))
    data.n_close += any(found.distance < bond_threshold for found in shortest)
    for found in shortest:
        first, second = found.numbers
        pair = (chemical_symbols[first], chemical_symbols[second])
        if pair not in data.closest or found.distance < data.closest[pair].distance:
            atoms = (found.atoms[0] + 1, found.atoms[1] + 1)
            data.closest[pair] = Closest(found.distance, structure.where, atoms)


def report_data(data: DataSet, settings: Settings, log: Log) -> None:
    """Counts, compositions, shortest distances and warnings."""
    n, units = data.n_structures, settings.model.units
    log.item("structures", f"{n}, {data.n_periodic} of them periodic")
    log.item("atoms", f"{sum(data.n_atoms)}; {min(data.n_atoms)} to {max(data.n_atoms)} in a structure")
    log.item("with forces, stress", f"{data.n_forces}, {data.n_stress}")
    log.item("pinned train, test", f"{data.n_pinned[Set.TRAIN]}, {data.n_pinned[Set.TEST]}")
    if kept := data.n_pinned[Set.CALIBRATION] + data.n_pinned[Set.OUTSIDE]:
        log.item("pinned calibration", f"{kept}, {data.n_pinned[Set.OUTSIDE]} of them out of the domain")
    log.item("largest force component", f"{data.largest_force:.4g} {units.force}")
    log.line()
    report_compositions(data, units, log)
    report_distances(data, units, log)
    for warning in _warnings(data, settings):
        log.warn(warning)


def report_compositions(data: DataSet, units: Units, log: Log) -> None:
    """One line a composition."""
    columns = ("composition", "structures", "atoms", f"energy per atom ({units.energy})")
    log.table(columns, list(_composition_rows(data)))


def _composition_rows(data: DataSet) -> Iterator[tuple[str, int, int, str]]:
    ordered = sorted(data.compositions.items(), key=lambda item: -item[1].n_structures)
    for formula, composition in ordered[:MOST_COMPOSITIONS]:
        lowest, highest = min(composition.energies, default=None), max(composition.energies, default=None)
        energies = "-" if lowest is None else f"{lowest:.6f} ... {highest:.6f}"
        yield formula, composition.n_structures, composition.n_atoms, energies
    if len(ordered) > MOST_COMPOSITIONS:
        rest = [composition for _, composition in ordered[MOST_COMPOSITIONS:]]
        yield f"{len(rest)} others", sum(c.n_structures for c in rest), sum(c.n_atoms for c in rest), ""


def report_distances(data: DataSet, units: Units, log: Log) -> None:
    """One line a pair of elements: the distance as it stands, and its ratio to bonds in either unit."""
    if not data.closest:
        return
    log.section("Shortest distances")
    log.table(
        ("pair", units.length, "Angstrom", "of covalent", f"if in {other(units).length}", "where", "atoms"),
        [
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
        ],
    )


def _relative(pair: tuple[str, str], distance: float, units: Units) -> float:
    first, second = (atomic_numbers[symbol] for symbol in pair)
    return relative((first, second), distance, units)


def _warnings(data: DataSet, settings: Settings) -> Iterator[str]:
    if (advice := unit_advice(data.reaches, settings.model.units)) is not None:
        yield advice
    if data.n_close:
        yield (
            f"{data.n_close} structures have atoms closer than bond_threshold "
            f"({settings.structures.bond_threshold:.4g} "
            f"{settings.model.units.length}): mode 1 drops them, mode 3 stops"
        )
    if data.n_unbalanced:
        yield (
            f"the forces of {data.n_unbalanced} structures add up to more than check_input_forces "
            f"({settings.structures.check_input_forces:.4g} {settings.model.units.force})"
        )
    counted = {symbol for formula in data.compositions for symbol in Formula(formula).count()}
    if counted and (absent := [element for element in settings.model.elements if element not in counted]):
        yield f"no structure contains {', '.join(absent)}"
    if settings.structures.use_short_forces and data.compositions and not data.largest_force:
        yield "use_short_forces asks to train on forces, but all forces are zero"
