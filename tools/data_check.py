"""A report on a data set: what is in it, what looks wrong, and which thresholds would keep the wrong out.

For energies far from the others, and stresses and forces in other units, see
:mod:`bnnp.analysis.label_sizes`.

Two structures look the same if all numbers of a fingerprint agree: sides and angles of the cell, and means
over the neighbors of all atoms. No shift, rotation, or other choice of images changes it. They are the same
if their labels agree, too: two orders of an alloy on a small lattice may differ in no pair and no triple of
atoms, but in energies and forces they do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from ase.formula import Formula
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bnnp.analysis.data_set import (
    DataSet,
    composition_table,
    count_composition,
    distance_table,
    measure_distances,
)
from bnnp.analysis.label_sizes import THERMAL, energy_outliers, outside, rare
from bnnp.descriptors.length_unit import option_advice
from bnnp.descriptors.neighbors import find_neighbors
from bnnp.errors import NumericalError
from bnnp.log import Log
from bnnp.messages import count
from bnnp.structure import Structure
from bnnp.units import Units

SAME = 2e-5  # difference of fingerprints, from rounding of coordinates
OTHER_ENERGY = 1e-3  # eV an atom: difference of two calculations that do not belong together
SAME_ENERGY, SAME_FORCE = 2e-5, 1e-3  # eV an atom, eV/Angstrom: differences of two runs of one calculation
LIQUID_FORCE = 20.0  # eV/Angstrom: up to here a hot liquid or a strained bond is as good a reason
NET_FORCE = 0.01  # eV/Angstrom an atom: what the settings of a quantum code leave
RADIUS = 6.0  # Angstrom, of the neighbors that count for it
SIZES = (1, 1, 3, 9, 9)  # components of the sums of the fingerprint
CHECK_INPUT_FORCES = 0.001  # default of the keyword, in the unit of the file
HAVE = "structure has", "structures have"
SHOWN = 5  # structures named of each kind
UNLABELLED = "-"


@dataclass(frozen=True)
class Entry:
    """What is kept of one structure; eV and Angstrom."""

    where: str
    formula: str
    charge: float
    group: str
    n_atoms: int
    energy: float  # an atom
    largest_force: float  # component
    force_rms: float
    net_force: float  # an atom
    pressure: float  # GPa
    fingerprint: tuple[float, ...]


@dataclass
class DataCheck:
    """Structures are counted one by one, then judged together."""

    units: Units
    data: DataSet = field(default_factory=DataSet)
    entries: list[Entry] = field(default_factory=list)

    def watch(self, structures: Iterable[Structure]) -> None:
        """Look at all structures."""
        for structure in structures:
            structure = replace(structure, index=self.data.n_structures)
            self.data.n_structures += 1
            self.data.n_atoms.append(len(structure))
            self.data.n_periodic += structure.periodic
            self.data.n_forces += structure.forces is not None
            self.data.n_stress += structure.stress is not None
            count_composition(self.data, structure, defaultdict(float))
            try:
                measure_distances(self.data, structure, self.units, 0.0)
                self.entries.append(describe(structure, self.units))
                self.data.sizes.count(structure)
            except NumericalError as error:
                self.data.faults.append(str(error))

    def report(self, log: Log) -> None:
        """Print everything."""
        log.section("Structures")
        log.item("structures", f"{self.data.n_structures}, {self.data.n_periodic} of them periodic")
        n_atoms = self.data.n_atoms
        log.item("atoms", f"{sum(n_atoms)}; {min(n_atoms)} to {max(n_atoms)} in a structure")
        log.item("with forces, stress", f"{self.data.n_forces}, {self.data.n_stress}")
        log.line()
        log.table(*composition_table(self.data, self.units))
        log.section("Labels")
        log.table(
            ("group", "structures", "eV/atom", "+-", "rms f (eV/A)", "largest f", "pressure (GPa)"),
            list(self._group_rows()),
        )
        log.line("  f: force components")
        if self.data.closest:
            log.section("Shortest distances")
            log.table(*distance_table(self.data, self.units))
        self._report_doubts(log)
        log.section("Thresholds for input.nn")
        for keyword, value, remark in self.thresholds():
            log.line(f"  {keyword:<20} {value:<12.6g} # {remark}")

    def _group_rows(self) -> Iterator[tuple[object, ...]]:
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.group, []).append(entry)
        for group, entries in groups.items():
            energies = np.array([entry.energy for entry in entries if np.isfinite(entry.energy)] or [np.nan])
            atoms = [entry.n_atoms for entry in entries]
            rms = np.sqrt(np.average([entry.force_rms**2 for entry in entries], weights=atoms))
            pressures = [entry.pressure for entry in entries if np.isfinite(entry.pressure)]
            span = f"{min(pressures):.2f} ... {max(pressures):.2f}" if pressures else "-"
            largest = max(entry.largest_force for entry in entries)
            numbers = ((energies.mean(), 4), (energies.std(), 4), (rms, 3), (largest, 3))
            shown = [f"{value:.{digits}f}" if np.isfinite(value) else "-" for value, digits in numbers]
            yield group, len(entries), *shown, span

    def _report_doubts(self, log: Log) -> None:
        """Units, duplicates, net forces, outliers."""
        log.section("Doubts")
        before = log.n_warnings
        advice = option_advice(self.data.reaches, self.units)
        if advice is not None:
            log.warn(advice)
        for fault in self.data.faults[:SHOWN]:
            log.warn(fault)
        for one, several, what, lines in (
            ("structure is", "structures are", "the same as another one", self.duplicates()),
            (
                "pair",
                "pairs",
                "of structures that look the same, with other energies",
                self.conflicts(),
            ),
            (*HAVE, f"a net force above {NET_FORCE} eV/Angstrom an atom", self.unbalanced()),
            (*HAVE, "a force far above those of the others", self.force_outliers()),
        ):
            if lines:
                more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
                log.warn(f"{count(len(lines), one, several)} {what}: {'; '.join(lines[:SHOWN])}{more}")
        for doubt in self.label_doubts(certain=advice is None):
            log.warn(doubt)
        if log.n_warnings == before:
            log.line("  none")

    def pairs(self) -> list[tuple[Entry, Entry]]:
        """Structures that are the same, the earlier one first."""
        found = []
        kinds: dict[tuple[str, float, int], list[int]] = {}
        for index, entry in enumerate(self.entries):
            kind = entry.formula, entry.charge, len(entry.fingerprint)
            kinds.setdefault(kind, []).append(index)
        for members in kinds.values():
            points = np.array([self.entries[index].fingerprint for index in members])
            for first, second in sorted(cKDTree(points).query_pairs(SAME, p=np.inf)):
                found.append((self.entries[members[first]], self.entries[members[second]]))
        return found

    def duplicates(self) -> list[str]:
        """Same structure and same labels."""
        same = [pair for pair in self.pairs() if _agree(*pair)]
        return list({second.where: f"{second.where} as {first.where}" for first, second in same}.values())

    def conflicts(self) -> list[str]:
        """Same structure, other energy."""
        return [
            f"{first.where} and {second.where}"
            for first, second in self.pairs()
            if abs(first.energy - second.energy) > OTHER_ENERGY
        ]

    def unbalanced(self) -> list[str]:
        """Forces do not add up to zero."""
        bad = sorted(
            (entry for entry in self.entries if entry.net_force > NET_FORCE), key=lambda e: -e.net_force
        )
        return [f"{entry.where} ({entry.net_force:.3g})" for entry in bad]

    def force_outliers(self) -> list[str]:
        """Largest force components far above the others'."""
        return [
            f"{self.entries[index].where} ({self.entries[index].largest_force:.3g} eV/Angstrom)"
            for index in self.far_forces()
        ]

    def far_forces(self) -> list[int]:
        """The structures of these, the largest first."""
        forces = np.array([entry.largest_force for entry in self.entries])
        return [index for index in far(forces) if forces[index] > LIQUID_FORCE]

    def label_doubts(self, certain: bool = True) -> list[str]:
        """Energies far from the others; stresses and forces of another unit, if that of lengths is clear."""
        names = [entry.where for entry in self.entries]
        return list(self.data.sizes.doubts(self.units, names.__getitem__, THERMAL, certain))

    def thresholds(self) -> Iterator[tuple[str, float, str]]:
        """Keyword, value in the units of the file, and why."""
        if self.data.closest:
            shortest = min(closest.distance for closest in self.data.closest.values())
            yield (
                "bond_threshold",
                0.9 * shortest,
                f"nine tenths of the shortest distance ({self.units.length})",
            )
        forces = np.array([entry.largest_force for entry in self.entries])
        if outliers := self.far_forces():
            inside = np.delete(forces, outliers).max()
            value = 1.1 * inside * self.units.angstrom / self.units.ev
            yield "force_threshold", value, f"drops {count(len(outliers), 'outlier')} ({self.units.force})"
        if high := [
            one.index
            for one in energy_outliers(self.data.sizes.table(self.units), THERMAL)
            if one.residual > 0
        ]:
            energies = np.array([entry.energy for entry in self.entries])
            inside = np.nanmax(np.delete(energies, high))
            if min(energies[high]) > inside:
                value = 0.5 * (inside + min(energies[high])) / self.units.ev
                yield (
                    "energy_threshold",
                    value,
                    f"drops {count(len(high), 'outlier')} ({self.units.energy}/atom)",
                )
        nets = np.array([entry.net_force * entry.n_atoms for entry in self.entries])
        if np.isfinite(nets).any():
            value = 2.0 * float(np.nanquantile(nets, 0.95)) * self.units.angstrom / self.units.ev
            if value < CHECK_INPUT_FORCES:  # the default serves
                return
            yield "check_input_forces", value, f"twice the net force of 95 % of them ({self.units.force})"


def _agree(first: Entry, second: Entry) -> bool:
    """Whether the labels are the same, or missing."""
    energy, force = abs(first.energy - second.energy), abs(first.force_rms - second.force_rms)
    return not (energy > SAME_ENERGY or force > SAME_FORCE)


def far(values: NDArray[np.float64]) -> list[int]:
    """Indices of a few values far above the median, the farthest first; none if they are many."""
    found = outside(values)
    return found if len(found) <= rare(values) else []


def describe(structure: Structure, units: Units) -> Entry:
    """What is kept of a structure."""
    n_atoms, ev, angstrom = len(structure), units.ev, units.angstrom
    forces = np.full((n_atoms, 3), np.nan) if structure.forces is None else structure.forces * (ev / angstrom)
    pressure = np.nan if structure.stress is None else -float(structure.stress[:3].mean()) * units.gpa
    source, known = structure.info.get("source"), bool(np.isfinite(forces).any())
    return Entry(
        where=f"{structure.where}, {source}" if source else structure.where,
        formula=str(Formula.from_list(structure.symbols).format("metal")),
        charge=structure.charge,
        group=structure.info.get("group", UNLABELLED),
        n_atoms=n_atoms,
        energy=np.nan if structure.energy is None else structure.energy * ev / n_atoms,
        largest_force=float(np.fmax.reduce(np.abs(forces), axis=None)),
        force_rms=float(np.sqrt(np.mean(forces[np.isfinite(forces)] ** 2))) if known else np.nan,
        net_force=float(np.linalg.norm(forces.sum(axis=0))) / n_atoms,
        pressure=pressure,
        fingerprint=fingerprint(structure, units),
    )


def fingerprint(structure: Structure, units: Units) -> tuple[float, ...]:
    """Numbers that two copies of a structure share, whatever their origin, orientation and images.

    For each pair of elements X, Y: root mean squares over the atoms of X of five sums over their neighbors
    of Y, with the unit vector n to a neighbor and its weight w = (1 - r^2 / r_c^2)^3: w, w^3, w n, w n n,
    w^3 n n. For a cell its sides and angles, too.
    """
    positions, cell = structure.positions * units.angstrom, structure.cell
    parts: list[float] = []
    if cell is not None:
        cell = cell * units.angstrom
        sides = np.linalg.norm(cell, axis=1)
        cosines = (cell @ cell.T / np.outer(sides, sides))[[0, 0, 1], [1, 2, 2]]
        parts += np.sort(sides).tolist() + np.sort(cosines).tolist()
    pairs = find_neighbors(positions, cell, RADIUS, structure.numbers, pbc=structure.pbc)
    lengths = np.linalg.norm(pairs.vectors, axis=1)
    weights = (1.0 - (lengths / RADIUS) ** 2) ** 3
    directions = pairs.vectors / np.maximum(lengths, 1e-9)[:, None]
    dyads = (directions[:, :, None] * directions[:, None, :]).reshape(-1, 9)
    columns = np.hstack([np.ones((len(directions), 2)), directions, dyads, dyads])  # (n_pairs, 23)
    columns *= (weights[:, None] ** np.repeat([1, 3, 1, 1, 3], SIZES)).reshape(-1, sum(SIZES))
    for neighbor in np.unique(structure.numbers):
        chosen = np.flatnonzero(structure.numbers[pairs.neighbors] == neighbor)
        sums = np.zeros((len(structure), sum(SIZES)))
        np.add.at(sums, pairs.centers[chosen], columns[chosen])
        for center in np.unique(structure.numbers):
            squares = (sums[structure.numbers == center] ** 2).mean(axis=0)
            parts += np.sqrt(np.add.reduceat(squares, np.cumsum([0, *SIZES[:-1]]))).tolist()
    return tuple(parts)
