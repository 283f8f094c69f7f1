"""Units: RuNNer's atomic units, or Angstrom and electronvolt.

``units atomic`` (the default) is bohr and hartree as RuNNer is hard-wired to, ``units metal`` is
Angstrom and electronvolt. Constants: CODATA 2014, those of :mod:`ase.units`. All numbers in a file are in its
units; the log shows errors in meV/atom and meV/Angstrom whatever the units.
"""

from __future__ import annotations

from dataclasses import dataclass

import ase.units

COULOMB = ase.units.Hartree * ase.units.Bohr  # e^2 / (4 pi epsilon_0), eV Angstrom
GPA_PER_EV_A3 = 1.0 / ase.units.GPa  # 160.2177 GPa in one eV/Angstrom^3


@dataclass(frozen=True)
class Units:
    """A unit system.

    Parameters
    ----------
    name : str
        Value of the keyword ``units``: ``atomic`` or ``metal``.
    length, energy : str
        Names of the units for headers and messages.
    angstrom : float
        Length of one unit in Angstrom.
    ev : float
        Size of one energy unit in eV.
    """

    name: str
    length: str
    energy: str
    angstrom: float
    ev: float

    @property
    def force(self) -> str:
        """Name of the unit of force."""
        return f"{self.energy}/{self.length}"

    @property
    def stress(self) -> str:
        """Name of the unit of stress."""
        return f"{self.energy}/{self.length}^3"

    @property
    def mev(self) -> float:
        """Energy: factor from this unit to meV."""
        return 1000.0 * self.ev

    @property
    def mev_per_angstrom(self) -> float:
        """Force: factor from this unit to meV/Angstrom."""
        return 1000.0 * self.ev / self.angstrom

    @property
    def gpa(self) -> float:
        """Stress and pressure: factor from this unit to GPa."""
        return self.ev / self.angstrom**3 * GPA_PER_EV_A3

    def over(self, other: Units) -> tuple[float, float]:
        """The units of length and energy as multiples of those of `other`."""
        return self.angstrom / other.angstrom, self.ev / other.ev


ATOMIC = Units("atomic", "bohr", "hartree", ase.units.Bohr, ase.units.Hartree)
METAL = Units("metal", "Angstrom", "eV", 1.0, 1.0)
UNITS = {units.name: units for units in (ATOMIC, METAL)}


@dataclass(frozen=True)
class Normalization:
    """n2p2's normalization, E* = (E - N mean_energy) conv_energy, r* = r conv_length; the default is none."""

    mean_energy: float = 0.0
    conv_energy: float = 1.0
    conv_length: float = 1.0
