"""The model of a potential as input.nn describes it: elements, symmetry functions, networks, units.

Modes 1 and 2 start from it; a potential adds weights and training statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.charges.electrostatics import Electrostatics, FixedCharges
from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction, fingerprint
from bnnp.descriptors.neighbors import NeighborList
from bnnp.descriptors.pairs import sum_pairs, virial_of_pairs
from bnnp.descriptors.scaling import ScalingScheme
from bnnp.network.architecture import Architecture
from bnnp.repulsion import Repulsion
from bnnp.structure import Structure
from bnnp.units import ATOMIC, Normalization, Units

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Baseline:
    """What no network has to learn of a structure: the repulsion, and the energy of fixed charges.

    Parameters
    ----------
    energies : (n_atoms,) float64, energy
    forces : (n_atoms, 3) float64, energy/length
    virial : (3, 3) float64, energy
        dE/d(strain).
    slopes : (n_pairs, 3) float64, energy/length, or None
        dE/dD of the repulsion.
    charges : (n_atoms,) float64, e, or None
        The fixed ones.
    """

    energies: Array
    forces: Array
    virial: Array
    slopes: Array | None = None
    charges: Array | None = None

    @classmethod
    def nothing(cls, n_atoms: int) -> Baseline:
        """Zeros."""
        return cls(np.zeros(n_atoms), np.zeros((n_atoms, 3)), np.zeros((3, 3)))


@dataclass(frozen=True)
class Model:
    """Everything a potential consists of except weights and training statistics.

    Parameters
    ----------
    functions : mapping of element to tuple of SymmetryFunction
        Elements by atomic number, functions in n2p2's order, which is that of scaling.data and of the network
        inputs.
    cutoff : Cutoff
    scaling : ScalingScheme
    architecture : mapping of element to Architecture
        Empty where no network is needed.
    normalize_nodes : bool
    atom_energies : mapping of element to float, energy
        Free-atom energies in effect; 0 for elements that are missing.
    normalization : Normalization
        Of the network output in an n2p2-normalized potential.
    repulsion : Repulsion or None
        Added to the networks.
    electrostatics : Electrostatics or None
        Of a potential with networks of the charges.
    fixed_charges : FixedCharges or None
        Whose energy is added to the networks; not with `electrostatics`.
    units : Units
        Of every number in every file.
    """

    functions: Mapping[str, tuple[SymmetryFunction, ...]]
    cutoff: Cutoff
    scaling: ScalingScheme = field(default_factory=ScalingScheme)
    architecture: Mapping[str, Architecture] = field(default_factory=dict)
    normalize_nodes: bool = False
    atom_energies: Mapping[str, float] = field(default_factory=dict)
    normalization: Normalization = field(default_factory=Normalization)
    repulsion: Repulsion | None = None
    electrostatics: Electrostatics | None = None
    fixed_charges: FixedCharges | None = None
    units: Units = ATOMIC

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Sorted by atomic number."""
        return tuple(sorted(self.functions, key=atomic_numbers.__getitem__))

    @property
    def largest_cutoff(self) -> float:
        """Longest cutoff radius of all symmetry functions, length; 0 without any."""
        return max((function.r_c for own in self.functions.values() for function in own), default=0.0)

    @property
    def n_inputs(self) -> dict[str, int]:
        """Symmetry functions of each element."""
        return {element: len(self.functions[element]) for element in self.elements}

    @property
    def n_network_inputs(self) -> dict[str, int]:
        """Inputs of the network of each element: its symmetry functions, and the charge if that is one."""
        return {element: n + self.charge_input for element, n in self.n_inputs.items()}

    @property
    def charge_input(self) -> bool:
        """Whether the charge of the atom is the last input of its network."""
        return self.electrostatics is not None and self.electrostatics.equilibrated

    @property
    def charged(self) -> bool:
        """Whether the atoms have charges."""
        return self.electrostatics is not None or self.fixed_charges is not None

    @property
    def has_baseline(self) -> bool:
        """Whether the baseline is not zero everywhere."""
        return self.repulsion is not None or self.fixed_charges is not None

    def baseline(self, structure: Structure, pairs: NeighborList, threads: int = 1) -> Baseline:
        """What the networks do not learn, but for free-atom energies.

        Parameters
        ----------
        pairs : NeighborList
            Within the largest cutoff.

        Raises
        ------
        InputError
            Fixed charges do not add up to the total charge, or their energy has no limit.
        """
        found = Baseline.nothing(len(structure))
        if self.repulsion is not None:
            energies, slopes = self.repulsion.of_pairs(structure.numbers, pairs)
            found = Baseline(energies, sum_pairs(pairs, slopes), virial_of_pairs(pairs, slopes), slopes)
        if self.fixed_charges is not None:
            more = self.fixed_charges.energies(structure, threads)
            found = Baseline(
                found.energies + more.energies,
                found.forces + more.forces,
                found.virial + more.virial,
                found.slopes,
                more.charges,
            )
        return found

    def descriptor(self, threads: int = 1, device: str = "cpu", single: bool = False) -> Descriptor:
        """The symmetry functions, ready to be computed: by the C++ core, or by torch on another `device`.

        In single or double precision inside; all arrays are float64.

        Raises
        ------
        InputError
            Torch cannot use this device.
        """
        dtype = np.float32 if single else np.float64
        if device == "cpu":
            return Descriptor(self.elements, self.functions, self.cutoff, dtype, threads)
        from bnnp.descriptors.device import DeviceDescriptor

        return DeviceDescriptor(self.elements, self.functions, self.cutoff, device, threads, dtype)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over what the symmetry functions depend on: elements, functions, cutoff function, units."""
        return fingerprint(self.functions, self.cutoff, self.units.name)
