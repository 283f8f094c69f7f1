"""What one prediction is worth: its errors where a reference is there, its sigmas, its extrapolations.

Everything is a sum or a maximum, so that assessments of structures add up to those of a group. Energies are
taken per atom of the total (error and sigma alike), forces and stress by component.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.scaling import Scaling
from bnnp.structure import Structure
from bnnp.uncertainty.extrapolation import Tally, outside, tally, warning_lines
from bnnp.uncertainty.metrics import ErrorSum

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Assessment:
    """Sums over `structures` structures, in the units of the potential.

    Parameters
    ----------
    energy : ErrorSum, energy/atom
    forces : ErrorSum, energy/length
    stress : ErrorSum, energy/length^3
    pressure : ErrorSum, energy/length^3
        Predicted pressures, without a reference; its `bias` is their mean.
    energy_raw, forces_raw : ErrorSum
        As `energy` and `forces`, with the raw standard deviations; empty without a calibration.
    """

    structures: int = 0
    energy: ErrorSum = field(default_factory=ErrorSum)
    forces: ErrorSum = field(default_factory=ErrorSum)
    stress: ErrorSum = field(default_factory=ErrorSum)
    pressure: ErrorSum = field(default_factory=ErrorSum)
    energy_raw: ErrorSum = field(default_factory=ErrorSum)
    forces_raw: ErrorSum = field(default_factory=ErrorSum)

    def __add__(self, other: Assessment) -> Assessment:
        return Assessment(
            self.structures + other.structures,
            self.energy + other.energy,
            self.forces + other.forces,
            self.stress + other.stress,
            self.pressure + other.pressure,
            self.energy_raw + other.energy_raw,
            self.forces_raw + other.forces_raw,
        )


@dataclass(frozen=True)
class Values:
    """Predicted values and standard deviations of one structure: the fields of a prediction that are
    judged."""

    energy: float
    energy_std: float | None = None
    forces: Array | None = None
    forces_std: Array | None = None
    stress: Array | None = None
    stress_std: Array | None = None
    energy_std_raw: float | None = None
    forces_std_raw: Array | None = None


def assess(structure: Structure, values: Values) -> Assessment:
    """Compare one prediction with the reference the structure brings, as far as it does."""
    n_atoms = len(structure)
    reference = None if structure.energy is None else np.array([structure.energy / n_atoms])
    energy, energy_raw = (
        ErrorSum.of(
            np.array([values.energy / n_atoms]), reference, None if std is None else np.array([std / n_atoms])
        )
        for std in (values.energy_std, values.energy_std_raw)
    )
    forces = stress = pressure = forces_raw = ErrorSum()
    if values.forces is not None and values.forces_std_raw is not None:
        forces_raw = ErrorSum.of(values.forces, structure.forces, values.forces_std_raw)
    if values.forces is not None:
        forces = ErrorSum.of(values.forces, structure.forces, values.forces_std)
    if values.stress is not None:
        stress = ErrorSum.of(values.stress, structure.stress, values.stress_std)
        pressure = ErrorSum.of(np.array([-values.stress[:3].mean()]), np.zeros(1))
    return Assessment(1, energy, forces, stress, pressure, energy_raw, forces_raw)


def group_of(structure: Structure) -> str:
    """Row of the table a structure belongs to: ``group=`` of its comment, else its pinned set, else
    ``all``."""
    subset = "all" if structure.subset is None else structure.subset.label
    return structure.info.get("group") or subset


def extrapolations(
    structure: Structure,
    descriptors: Array,
    scalings: Mapping[str, Scaling],
    functions: Mapping[str, Sequence[SymmetryFunction]],
    limit: int,
) -> tuple[dict[str, Tally], list[str]]:
    """Tally of each element, and n2p2's warning lines (the first `limit`).

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
        tallies[element] = tally(found, scaling)
        types = {number: function.type for number, function in enumerate(functions[element])}
        lines += warning_lines(found.first(limit - len(lines)), structure.index, atoms, element, types)
    return tallies, lines
