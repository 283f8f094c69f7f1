"""The model of a potential as input.nn describes it: elements, symmetry functions, networks, units.

Modes 1 and 2 start from it; a potential adds weights and training statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from ase.data import atomic_numbers

from bnnp.charges.electrostatics import Electrostatics
from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction, fingerprint
from bnnp.descriptors.scaling import ScalingScheme
from bnnp.network.architecture import Architecture
from bnnp.repulsion import Repulsion
from bnnp.units import ATOMIC, Normalization, Units


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
        Of a potential with charges, whose networks have the charge of the atom as their last input.
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
        """Inputs of the network of each element: its symmetry functions, and the charge if there is one."""
        more = self.electrostatics is not None
        return {element: n + more for element, n in self.n_inputs.items()}

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
