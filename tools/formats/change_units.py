"""A structure in other units."""

from __future__ import annotations

from dataclasses import replace

from bnnp.structure import Structure
from bnnp.units import Units


def change_units(structure: Structure, old: Units, new: Units) -> Structure:
    """The same structure with lengths and energies in `new` units."""
    if old is new:
        return structure
    length, energy = old.angstrom / new.angstrom, old.ev / new.ev
    return replace(
        structure,
        positions=structure.positions * length,
        cell=None if structure.cell is None else structure.cell * length,
        energy=None if structure.energy is None else structure.energy * energy,
        forces=None if structure.forces is None else structure.forces * (energy / length),
        stress=None if structure.stress is None else structure.stress * (energy / length**3),
        dipole=None if structure.dipole is None else structure.dipole * length,
    )
