"""Sizes of labels that no calculation gives: energies far from the others, stresses in another unit.

What energies and forces say of each other along a run: :mod:`bnnp.analysis.label_work`.

Energies are judged after a fit to the composition, E = sum_elements N_X e_X, so that data of many
compositions can be compared. The fit minimizes the sum of absolute residuals (by iteratively reweighted
least squares), so that a wrong energy does not hide itself, and is repeated by least squares without the far
ones. A residual is far if it is more than `FAR` robust standard deviations (1.4826 times the median absolute
deviation) from the median. Far ones are rare: where there are many, the data is of several kinds, and nothing
is said unless they are in another unit or beyond any chemistry. The energy of an atom is never far below that
of all its electrons, -20.9 Z^(7/3) eV of Thomas and Fermi.

References: P. J. Huber, Robust Statistics (1981), chapters 5 and 7; L. H. Thomas (1927), E. Fermi (1927), in
R. G. Parr, W. Yang, Density-Functional Theory of Atoms and Molecules (1989), section 6.2.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import ase.units
import numpy as np
from numpy.typing import NDArray

from bnnp.analysis.label_work import ENERGY_UNITS, LabelWork, work_doubts
from bnnp.analysis.least_absolute import least_absolute
from bnnp.messages import count
from bnnp.structure import Structure
from bnnp.units import GPA_PER_EV_A3, Units

Array = NDArray[np.float64]

FAR = 8.0  # robust standard deviations from the median
FEW = 10  # structures below which nothing is called an outlier
RARE = 0.01  # share of structures that can be outliers, or three
THERMAL = 0.1  # eV/atom: what structures of one composition differ by if they are about as hot
HOT = 1.5  # times the median of the largest forces: of structures that are hotter than the others
BONDS = 2.0  # eV/atom: more than melting, surfaces and defects make of a solid
CHEMISTRY = 50.0  # eV/atom: no two structures of one composition and calculation differ by more
ELECTRONS = 20.92  # eV
LIKE = 0.03  # relative difference of an energy in another unit from what the others give
UNBALANCED = 0.05  # net force, as a share of all magnitudes, that no calculation leaves
SHOWN = 5  # structures named


@dataclass(frozen=True)
class Kind:
    """How large a label is; the number that is judged is the largest component of a structure.

    Parameters
    ----------
    typical, absurd : float
        Above this size the median, or a single structure, is doubted.
    usual : (float, float)
        Sizes between which a set of structures is expected, to find the unit.
    units : mapping of str to float
        Sizes of other units.
    """

    name: str
    unit: str
    typical: float
    absurd: float
    usual: tuple[float, float]
    units: Mapping[str, float]


STRESS = Kind(
    "stresses",
    "GPa",
    50.0,
    1000.0,
    (0.05, 60.0),
    {"GPa": 1.0, "kB": 0.1, "bar": 1e-4, "eV/Angstrom^3": GPA_PER_EV_A3},
)
FORCE = Kind(
    "forces",
    "eV/Angstrom",
    100.0,
    10000.0,
    (0.05, 20.0),
    {
        "meV/Angstrom": 1e-3,
        "kcal/mol/Angstrom": ase.units.kcal / ase.units.mol,
        "kJ/mol/nm": 0.1 * ase.units.kJ / ase.units.mol,
    },
)


@dataclass(frozen=True)
class SizeTable:
    """Sizes of the labels of some structures; NaN where there is none.

    Parameters
    ----------
    numbers : (n_elements,) int
        Atomic numbers.
    counts : (n_structures, n_elements) float64
        Atoms of each element.
    energies : (n_structures,) float64, eV/atom
    forces, stresses : (n_structures,) float64, eV/Angstrom, eV/Angstrom^3
        Magnitude of the largest component.
    """

    numbers: NDArray[np.int64]
    counts: Array
    energies: Array
    forces: Array
    stresses: Array

    @classmethod
    def of(
        cls,
        numbers: NDArray[np.int64],
        counts: Array,
        energies: Array,
        forces: Array,
        stresses: Array,
        units: Units,
    ) -> SizeTable:
        """The table from sizes in `units`."""
        force = units.ev / units.angstrom
        return cls(
            numbers, counts, energies * units.ev, forces * force, stresses * (force / units.angstrom**2)
        )


@dataclass(frozen=True)
class Outlier:
    """An energy far from the others: structure, from 0; distance in eV/atom; the unit it seems to be in."""

    index: int
    residual: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.residual:+.3f} eV/atom" + (f"; it would fit in {self.unit}" if self.unit else "")


class LabelSizes:
    """Labels of structures that are counted one by one, in their order; a few numbers of each are kept."""

    def __init__(self) -> None:
        self.positions = array("q")  # index of each structure in its file
        self._kinds: dict[bytes, int] = {}  # elements of a structure -> its composition
        self._compositions: list[dict[int, int]] = []
        self._composition, self._sizes = array("q"), array("d")
        self._work = LabelWork()
        self._fixed: list[tuple[int, int, int]] = []  # structure, its atoms without a force, all its atoms

    def count(self, structure: Structure) -> None:
        """Count one structure."""
        self._work.count(structure, len(self.positions))
        if (idle := idle_atoms(structure.forces)) > 0:
            self._fixed.append((len(self.positions), idle, len(structure)))
        self.positions.append(structure.index)
        key = structure.numbers.tobytes()
        if key not in self._kinds:
            elements, counts = np.unique(structure.numbers, return_counts=True)
            self._kinds[key] = len(self._compositions)
            self._compositions.append(dict(zip(elements.tolist(), counts.tolist(), strict=True)))
        self._composition.append(self._kinds[key])
        energy = np.nan if structure.energy is None else structure.energy / len(structure)
        self._sizes.extend((energy, largest(structure.forces), largest(structure.stress)))

    def table(self, units: Units) -> SizeTable:
        """The sizes, of labels in `units`."""
        each = self._compositions
        numbers = sorted({number for counts in each for number in counts})
        kinds = np.array([[counts.get(number, 0) for number in numbers] for counts in each], dtype=np.float64)
        counts = kinds.reshape(len(each), len(numbers))[np.array(self._composition, dtype=np.int64)]
        energies, forces, stresses = np.array(self._sizes).reshape(-1, 3).T
        return SizeTable.of(np.array(numbers, dtype=np.int64), counts, energies, forces, stresses, units)

    def doubts(
        self, units: Units, where: Callable[[int], str], least: float = BONDS, certain: bool = True
    ) -> Iterator[str]:
        """What looks wrong with labels in `units`; see `label_doubts` and `work_doubts`."""
        yield from label_doubts(self.table(units), units, where, least, certain)
        if self._fixed:
            first, idle, n_atoms = self._fixed[0]
            yield (
                f"{count(len(self._fixed), 'structure has', 'structures have')} atoms without any force and "
                f"a net force of the others, as {where(first)} ({idle} of {count(n_atoms, 'atom')}): were "
                "the forces of fixed atoms set to zero? A potential learns these zeros; leave the structures "
                "out, or take forces without constraints (ASE: get_forces(apply_constraint=False))"
            )
        if certain:
            yield from work_doubts(self._work.table(), units, where)


def idle_atoms(forces: Array | None) -> int:
    """How many atoms have no force at all, where those of the others, (n_atoms, 3), do not add up to zero."""
    if forces is None or not (idle := int(np.count_nonzero(~forces.any(axis=1)))) or idle == len(forces):
        return 0
    net, sizes = np.linalg.norm(forces.sum(axis=0)), np.linalg.norm(forces, axis=1)
    return idle if net > UNBALANCED * sizes.sum() else 0


def largest(label: Array | None) -> float:
    """Magnitude of the largest component; NaN without one."""
    return np.nan if label is None else float(np.nanmax(np.abs(label)))


def label_doubts(
    table: SizeTable, units: Units, where: Callable[[int], str], least: float = BONDS, certain: bool = True
) -> Iterator[str]:
    """One sentence for each kind of label of a size that no calculation gives.

    Parameters
    ----------
    units : Units
        Of the file, to say in which other unit its numbers would be.
    where : callable
        Name of a structure by its number from 0.
    least : float, eV/atom
        Energies nearer to the others are not doubted.
    certain : bool
        Whether the lengths speak for `units`. If not, sizes of forces and stresses follow from units that are
        doubted already, and nothing is guessed from them.
    """
    if outliers := energy_outliers(table, least):
        named = "; ".join(f"{where(one.index)} ({one})" for one in outliers[:SHOWN])
        more = f"; and {len(outliers) - SHOWN} more" if len(outliers) > SHOWN else ""
        yield (
            f"{count(len(outliers), 'structure has', 'structures have')} an energy far from the others of "
            f"their composition: {named}{more}"
        )
    if np.isfinite(table.energies).sum() >= FEW and not np.nan_to_num(table.energies).any():
        yield "the energies of all structures are zero: they were not computed, or not read"
    if not certain:
        return
    forces = units.ev / units.angstrom
    yield from _size_doubts(table.forces, forces, FORCE, where)
    yield from _size_doubts(table.stresses * GPA_PER_EV_A3, units.gpa, STRESS, where)


def _size_doubts(sizes: Array, own: float, kind: Kind, where: Callable[[int], str]) -> Iterator[str]:
    """The doubt about forces or stresses; `own` is the unit of the file."""
    known = sizes[sizes > 0.0]  # not NaN
    if not len(known):
        return
    median, absurd = float(np.median(known)), int(np.count_nonzero(known > kind.absurd))
    if median <= kind.typical and not absurd:
        return
    worst = int(np.nanargmax(sizes))
    text = f"the {kind.name} are too large for a calculation: "
    if median > kind.typical:
        text += f"typically {median:.3g} {kind.unit} (largest component of a structure)"
    else:
        text += f"{count(absurd, 'structure is', 'structures are')} above {kind.absurd:g} {kind.unit}"
        median = float(np.median(known[known > kind.absurd]))
    text += f", up to {sizes[worst]:.3g} of {where(worst)}"
    fits = {name: median / own * size for name, size in kind.units.items() if abs(size / own - 1.0) > 1e-6}
    middle = np.sqrt(kind.usual[0] * kind.usual[1])
    likely = sorted(fits, key=lambda name: abs(np.log(fits[name] / middle)))
    likely = [name for name in likely if kind.usual[0] <= fits[name] <= kind.usual[1]]
    if likely:
        options = ", ".join(f"{fits[name]:.2g} {kind.unit} if the numbers are in {name}" for name in likely)
        text += f"; that would be {options}"
    yield f"{text}. Convert the numbers, or leave these labels out"


def energy_outliers(table: SizeTable, least: float = BONDS) -> list[Outlier]:
    """Energies far from the others by `least` eV/atom, or beyond all electrons; the farthest first.

    Atoms and dimers, which lack most of the bonds of the others, are far only beyond any chemistry, and
    structures with larger forces, which are hotter, only beyond BONDS.
    """
    residuals = energy_residuals(table)
    smallest = np.where(table.counts.sum(axis=1) > 2, least, CHEMISTRY)
    if np.isfinite(table.forces).any():
        hot = table.forces > HOT * np.nanmedian(table.forces)  # False without forces
        smallest = np.where(hot, np.maximum(smallest, BONDS), smallest)
    limit = 2.0 * ELECTRONS * table.numbers ** (7.0 / 3.0) + 1000.0  # eV an atom
    shares = table.counts / table.counts.sum(axis=1, keepdims=True)
    impossible = np.flatnonzero(np.abs(table.energies) > shares @ limit).tolist()
    far_ones = [one for one in outside(residuals, both=True) if abs(residuals[one]) > smallest[one]]
    found = {index: Outlier(index, residuals[index], _unit(table, residuals, index)) for index in far_ones}
    if len(found) > rare(residuals):
        in_a_unit = {index: one for index, one in found.items() if one.unit}
        beyond = {index: one for index, one in found.items() if abs(one.residual) > CHEMISTRY}
        found = in_a_unit if len(in_a_unit) > 0.9 * len(found) else beyond
    for index in impossible:
        found.setdefault(index, Outlier(index, residuals[index] or table.energies[index]))
    return sorted(found.values(), key=lambda one: -abs(one.residual))


def _unit(table: SizeTable, residuals: Array, index: int) -> str:
    """The unit in which an energy would fit to the others; empty if there is none."""
    expected = table.energies[index] - residuals[index]
    if abs(expected) < 1.0:  # too small to tell
        return ""
    ratio = table.energies[index] / expected
    n_atoms = table.counts[index].sum()
    sizes = {**ENERGY_UNITS, "eV/atom": 1.0 / n_atoms}
    close = [name for name, size in sizes.items() if abs(ratio / size - 1.0) < LIKE and name != "eV"]
    return close[0] if close else ""


def energy_residuals(table: SizeTable) -> Array:
    """(n_structures,) eV/atom: energies after the robust fit to the composition; NaN without energy."""
    known = np.isfinite(table.energies)
    residuals = table.energies.copy()
    if not known.any():
        return residuals
    shares = table.counts[known] / table.counts[known].sum(axis=1, keepdims=True)
    middle = float(np.median(table.energies[known]))
    energies = table.energies[known] - middle
    rest = energies - shares @ least_absolute(shares, energies)
    far_ones = outside(rest, both=True)
    near = np.delete(np.arange(len(rest)), far_ones)
    if len(near) > 2 * len(table.numbers):
        fit = np.linalg.lstsq(shares[near], energies[near], rcond=None)[0]
        seen = shares[near].any(axis=0)  # elements of the far ones only keep their first fit
        if seen.all():
            rest = energies - shares @ fit
    residuals[known] = rest
    return residuals


def rare(values: Array) -> float:
    """How many of some values can be outliers."""
    return max(3.0, RARE * float(np.isfinite(values).sum()))


def outside(values: Array, both: bool = False) -> list[int]:
    """Indices of values far above (or on both sides of) the median, the farthest first."""
    known = np.isfinite(values)
    if known.sum() < FEW:
        return []
    shifts = values - np.median(values[known])
    spread = 1.4826 * np.median(np.abs(shifts[known]))
    scores = np.abs(shifts) if both else shifts
    found = np.flatnonzero(known & (scores > FAR * max(spread, 1e-6)))
    farthest: list[int] = found[np.argsort(-scores[found], kind="stable")].tolist()
    return farthest
