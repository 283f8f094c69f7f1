"""The electrostatics of a potential: what input.nn says of it, and the interaction in one structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import bnnp._core as _core
from bnnp.charges import TOLERANCE
from bnnp.charges.coulomb import Coulomb, Screening, ewald_cell
from bnnp.charges.ewald import Ewald, EwaldRule
from bnnp.charges.large import PRECISION, LargeCoulomb, Split
from bnnp.errors import InputError
from bnnp.messages import count
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.structure import Structure

Array = NDArray[np.float64]

FINEST = 1e-15  # relative precision of an Ewald sum
LARGE = 1000  # atoms beyond which products with A are faster than the matrix and its factor


@dataclass(frozen=True, eq=False)
class ChargeModel:
    """What gives the charges of a training: networks and hardnesses, by element.

    Parameters
    ----------
    networks : mapping of str to Network
        From the scaled symmetry functions to the electronegativity, or in the third generation the charge.
    hardness : mapping of str to float, energy/e^2
        Empty in the third generation.
    masks : Masks or None
        Frozen dropout masks of these networks, as many as those of the networks of the energy.
    """

    networks: Mapping[str, Network]
    hardness: Mapping[str, float]
    masks: Masks | None = None

    def with_masks(self, change: Callable[[Masks], Masks]) -> ChargeModel:
        """The same with other masks, if there are any."""
        return self if self.masks is None else replace(self, masks=change(self.masks))


@dataclass(frozen=True, eq=False)
class ChargedEnergies:
    """Energies of the atoms of a structure that depend on its charges, and their derivatives.

    Parameters
    ----------
    energies : (n_atoms,) float64, energy
        With half of the electrostatic energy of each pair.
    charges : (n_atoms,) float64, e
    forces : (n_atoms, 3) float64, energy/length
    virial : (3, 3) float64, energy
        dE/d(strain).
    """

    energies: Array
    charges: Array
    forces: Array
    virial: Array


@dataclass(frozen=True)
class Electrostatics:
    """Widths, screening and summation of the charges.

    Parameters
    ----------
    widths : mapping of element to float, length
        Of the Gaussian charges; 0 for point charges.
    architecture : mapping of element to Architecture
        Of the networks of the charges; empty of fixed ones.
    equilibrated : bool
        Whether the charges equilibrate (fourth generation): then they are also inputs of the networks of the
        energy. In the third generation networks give them.
    four_pi_epsilon : float, e^2/(energy length)
        1 in atomic units.
    screening : Screening or None
    ewald : EwaldRule
    conv_charge : float
        n2p2's normalization: factor of charges.
    """

    widths: Mapping[str, float]
    architecture: Mapping[str, Architecture]
    equilibrated: bool = True
    four_pi_epsilon: float = 1.0
    screening: Screening | None = None
    ewald: EwaldRule = EwaldRule()
    conv_charge: float = 1.0

    def interaction(self, structure: Structure, threads: int = 1) -> Coulomb:
        """A and B of a structure, without 1 / (4 pi epsilon), as matrices.

        Raises
        ------
        InputError
            A wire, a charged slab, or a precision that cannot be reached.
        """
        widths = self._widths_of(structure)
        if structure.cell is None:
            return Coulomb(structure.positions, None, widths, self.screening, threads=threads)
        cell, ewald = self._periodic(structure, widths)
        return Coulomb(structure.positions, cell, widths, self.screening, ewald, structure.pbc, threads)

    def products(self, structure: Structure, threads: int = 1) -> Coulomb | LargeCoulomb:
        """The same as products with charges: by matrices up to LARGE atoms. Raises InputError, too."""
        if len(structure) <= LARGE or structure.cell is None:
            return self.interaction(structure, threads)
        widths = self._widths_of(structure)
        cell, ewald = self._periodic(structure, widths)
        if self.ewald.fixed is None:
            split = Split.of(min(ewald.precision, PRECISION), cell, widths)
        else:
            split = Split.given(ewald, cell)
        needed, there = split.memory(cell, widths), _core.physical_memory()
        if needed > there:
            raise InputError(
                f"{structure.where}: the electrostatics of {count(len(structure), 'atom')} would take "
                f"{needed / 1e9:.0f} GB, and the machine has {there / 1e9:.0f}. Are the lengths in the unit "
                f"that input.nn says? Else give a coarser ewald_prec ({self.ewald.where}) or a smaller cell."
            )
        return LargeCoulomb(structure.positions, cell, widths, self.screening, split, structure.pbc, threads)

    def _widths_of(self, structure: Structure) -> Array:
        return np.array([self.widths[symbol] for symbol in structure.symbols])

    def _periodic(self, structure: Structure, widths: Array) -> tuple[Array, Ewald]:
        """Cell and parameters of the Ewald sum."""
        assert structure.cell is not None
        if sum(structure.pbc) < 2:
            raise InputError(
                f"{structure.where}: is repeated along one vector only, and bnnp sums charges over three, "
                "two (a slab) or none. Use a cell with vacuum that is repeated along all three."
            )
        if structure.charge and not all(structure.pbc):
            raise InputError(
                f"{structure.where}: is a slab with the total charge {structure.charge:g}, whose energy has "
                "no limit. Repeat it along all three vectors, where a background neutralizes it."
            )
        cell = ewald_cell(structure.positions, structure.cell, structure.pbc)
        volume = float(abs(np.linalg.det(cell)))
        found = self.ewald.of(volume, len(widths), float(widths.max()), self.four_pi_epsilon)
        if self.ewald.fixed is None and found.precision < FINEST:
            raise InputError(
                f"{self.ewald.where}: ewald_prec is a relative precision of {found.precision:.1g}, finer "
                "than sums of double precision can be: give one that is larger by "
                f"{FINEST / found.precision:.1g} or more"
            )
        return cell, found

    @property
    def text(self) -> str:
        """All numbers, to tell one electrostatics from another."""
        widths = " ".join(f"{element} {float(width)!r}" for element, width in self.widths.items())
        screening = self.screening and (self.screening.inner, self.screening.outer, self.screening.core)
        rule = self.ewald
        ewald = rule.method, rule.precision, rule.largest_charge, rule.r_cut, rule.fixed
        third = "" if self.equilibrated else " third generation"
        return f"{widths} {self.four_pi_epsilon!r} {screening} {ewald} {self.conv_charge!r}{third}"


@dataclass(frozen=True)
class FixedCharges:
    """A charge of each element, the same wherever the atom is: its energy needs no network.

    Parameters
    ----------
    values : mapping of element to float, e
    electrostatics : Electrostatics
        Without networks.
    """

    values: Mapping[str, float]
    electrostatics: Electrostatics

    def of(self, structure: Structure) -> Array:
        """Charges of the atoms, (n_atoms,) float64, e.

        Raises
        ------
        InputError
            They do not add up to the total charge of the structure.
        """
        charges = np.array([self.values[symbol] for symbol in structure.symbols])
        if abs(charges.sum() - structure.charge) > TOLERANCE:
            raise InputError(
                f"{structure.where}: the charges of its atoms (fixed_charge of input.nn) add up to "
                f"{charges.sum():.4g}, but its total charge (`charge` in input.data) is "
                f"{structure.charge:.4g}. Correct one of them, or leave the structure out."
            )
        return charges

    def energies(self, structure: Structure, threads: int = 1) -> ChargedEnergies:
        """The electrostatic energy 1/2 Q (A + B) Q / (4 pi epsilon). Raises InputError as
        :meth:`Electrostatics.interaction` and :meth:`of`."""
        charges, epsilon = self.of(structure), self.electrostatics.four_pi_epsilon
        coulomb = self.electrostatics.products(structure, threads)
        forces, virial = coulomb.derivatives(charges, charges)
        by_A, by_B = coulomb.potentials(charges)
        energies = 0.5 * charges * (by_A + by_B) / epsilon
        return ChargedEnergies(energies, charges, forces / epsilon, virial / epsilon)

    @property
    def text(self) -> str:
        """All numbers, to tell one from another."""
        values = " ".join(f"{element} {float(value)!r}" for element, value in self.values.items())
        return f"fixed {values}; {self.electrostatics.text}"
