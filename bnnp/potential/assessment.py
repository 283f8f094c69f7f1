"""Errors of predictions, their standard deviations and extrapolations, summed over structures.

Everything is a sum or a maximum, so that the assessments of structures can be added. Energies (errors and
standard deviations) are total energies per atom; forces and stress are taken by component.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.scaling import Scaling
from bnnp.prediction import Estimate, Prediction
from bnnp.structure import Structure
from bnnp.uncertainty.extrapolation import Tally, outside, tally, warning_lines
from bnnp.uncertainty.metrics import ErrorSum, has_score, zero_by_symmetry
from bnnp.units import Units

Array = NDArray[np.float64]


@dataclass(frozen=True)
class VarianceSum:
    """Variances within and between the networks of an ensemble, summed over `count` values."""

    count: int = 0
    within: float = 0.0
    between: float = 0.0

    @classmethod
    def of(cls, estimate: Estimate[Any] | None, size: int = 1) -> VarianceSum:
        """Of all components of an estimate divided by `size`; zero for a single network."""
        if estimate is None or estimate.raw is None or estimate.between is None:
            return cls()
        total, between = np.square(estimate.raw), np.square(estimate.between)
        return cls(np.size(total), float(np.sum(total - between)) / size**2, float(np.sum(between)) / size**2)

    def __add__(self, other: VarianceSum) -> VarianceSum:
        return VarianceSum(self.count + other.count, self.within + other.within, self.between + other.between)

    @property
    def roots(self) -> tuple[float, float]:
        """Root-mean-square standard deviations within and between the networks."""
        within, between = (math.sqrt(max(sum_, 0.0) / self.count) for sum_ in (self.within, self.between))
        return within, between


@dataclass(frozen=True)
class Assessment:
    """Sums over `structures` structures, in the units of the potential.

    Parameters
    ----------
    energy : ErrorSum, energy/atom
    forces : ErrorSum, energy/length
    stress : ErrorSum, energy/length^3
    pressure : ErrorSum, energy/length^3
        Predicted pressures against zero, so that `bias` is their mean.
    forces_size : ErrorSum, energy/length
        Zero against the reference forces, so that `rmse` is their size.
    energy_raw, forces_raw : ErrorSum
        As `energy` and `forces`, with the raw standard deviations.
    energy_parts, forces_parts : VarianceSum
        Raw variances of an ensemble, of energies per atom and force components.
    charges : ErrorSum, e
        Of a potential with charges.
    """

    structures: int = 0
    energy: ErrorSum = field(default_factory=ErrorSum)
    forces: ErrorSum = field(default_factory=ErrorSum)
    stress: ErrorSum = field(default_factory=ErrorSum)
    pressure: ErrorSum = field(default_factory=ErrorSum)
    forces_size: ErrorSum = field(default_factory=ErrorSum)
    energy_raw: ErrorSum = field(default_factory=ErrorSum)
    forces_raw: ErrorSum = field(default_factory=ErrorSum)
    energy_parts: VarianceSum = field(default_factory=VarianceSum)
    forces_parts: VarianceSum = field(default_factory=VarianceSum)
    charges: ErrorSum = field(default_factory=ErrorSum)

    @property
    def has_references(self) -> bool:
        """Whether there is anything to compare with."""
        return any(each.count for each in (self.energy, self.forces, self.stress))

    def __add__(self, other: Assessment) -> Assessment:
        names = (each.name for each in fields(self))
        return Assessment(*(getattr(self, name) + getattr(other, name) for name in names))


def assess(structure: Structure, found: Prediction, units: Units) -> Assessment:
    """Compare one prediction with the reference values that the structure has, all in `units`."""
    n_atoms, energy, forces, stress = len(structure), found.energy, found.forces, found.stress
    values = np.array([energy.value / n_atoms])
    reference = None if structure.energy is None else np.array([structure.energy / n_atoms])
    of_energy, of_energy_raw = (
        ErrorSum.of(values, reference, None if std is None else np.array([std / n_atoms]))
        for std in (energy.std, energy.raw)
    )
    of_forces = of_forces_raw = of_stress = pressure = size = ErrorSum()
    if structure.forces is not None:
        size = ErrorSum.of(np.zeros_like(structure.forces), structure.forces)
    if forces is not None:
        symmetric = _symmetric("forces", forces, structure.forces, units)
        of_forces = ErrorSum.of(forces.value, structure.forces, forces.std, symmetric)
        of_forces_raw = ErrorSum.of(forces.value, structure.forces, forces.raw, symmetric)
    if stress is not None:
        symmetric = _symmetric("stress", stress, structure.stress, units)
        of_stress = ErrorSum.of(stress.value, structure.stress, stress.std, symmetric)
        pressure = ErrorSum.of(np.array([-stress.value[:3].mean()]), np.zeros(1))
    charges = ErrorSum()
    if found.charges is not None:
        charges = ErrorSum.of(found.charges.value, structure.charges, found.charges.std)
    parts = VarianceSum.of(energy, n_atoms), VarianceSum.of(forces), charges
    return Assessment(
        1, of_energy, of_forces, of_stress, pressure, size, of_energy_raw, of_forces_raw, *parts
    )


def scored_pairs(structure: Structure, found: Prediction, units: Units) -> dict[str, Array]:
    """Errors and standard deviations of the energy per atom and of the force components that have a score,
    each (2, n) float64; nothing where either is missing."""
    pairs: dict[str, Array] = {}
    if structure.energy is not None and found.energy.std is not None:
        error = found.energy.value - structure.energy
        pairs["energy"] = np.array([[error], [found.energy.std]]) / len(structure)
    forces = found.forces
    if structure.forces is not None and forces is not None and forces.std is not None:
        errors = forces.value - structure.forces
        counts = has_score(errors, forces.std, _symmetric("forces", forces, structure.forces, units))
        pairs["forces"] = np.array([errors[counts], forces.std[counts]])
    return pairs


def _symmetric(
    quantity: str, found: Estimate[Array], reference: Array | None, units: Units
) -> NDArray[np.bool_] | None:
    """The components that symmetry makes zero; None without errors or standard deviations."""
    if reference is None or found.raw is None:
        return None
    return zero_by_symmetry(quantity, found.value - reference, found.raw, units)


def group_of(structure: Structure) -> str:
    """Group of a structure in tables: ``group=`` of its comment, else the set in input.data, else ``all``."""
    subset = "all" if structure.subset is None else structure.subset.label
    return structure.info.get("group") or subset


def extrapolations(
    structure: Structure,
    descriptors: Array,
    scalings: Mapping[str, Scaling],
    functions: Mapping[str, Sequence[SymmetryFunction]],
    limit: int,
) -> tuple[dict[str, Tally], list[str]]:
    """Extrapolations of each element, and the first `limit` warning lines in n2p2's format.

    Parameters
    ----------
    descriptors : (n_atoms, width) float64
        Unscaled symmetry functions.
    """
    tallies: dict[str, Tally] = {}
    lines: list[str] = []
    symbols = np.array(structure.symbols)
    for element, scaling in scalings.items():
        atoms = np.flatnonzero(symbols == element)
        found = outside(descriptors[atoms, : len(scaling)], scaling)
        tallies[element] = tally(found, scaling, len(atoms))
        types = {number: function.type for number, function in enumerate(functions[element])}
        lines += warning_lines(found.first(limit - len(lines)), structure.index, atoms, element, types)
    return tallies, lines
