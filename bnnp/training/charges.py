"""The charges that stage 1 has trained, and what they add to every structure: constants of stage 2.

Stage 2 trains the short-range networks with charges that do not change any more (T. W. Ko, J. A. Finkler, S.
Goedecker, J. Behler, Nat. Commun. 12, 398 (2021)). So the electrostatic energy and its forces, with those
through the charges, are subtracted from the references once; the charge of an atom is one more input of its
network, and its derivatives one more part of the forces (:mod:`bnnp.training.pair_forces`); not so in the
third generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.charges.electrostatics import ChargeModel
from bnnp.descriptors.scaling import Scaling
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.scaling_data import ScalingData
from bnnp.model import Model
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.potential.member import Member, Options
from bnnp.potential.potential import Potential
from bnnp.training.pair_forces import ChargeResponses

Array = NDArray[np.float64]


class TrainedCharges:
    """Charges of all structures of a file; made by all ranks together.

    Parameters
    ----------
    file : DescriptorFile
    model : Model
    charges : ChargeModel
        Networks and hardnesses in the form of the files.
    scalings : mapping of element to Scaling
        Ranges of the inputs of these networks.
    threads : int
    """

    def __init__(
        self,
        file: DescriptorFile,
        model: Model,
        charges: ChargeModel,
        scalings: Mapping[str, Scaling],
        threads: int = 1,
    ) -> None:
        self.file, self.model = file, charges
        unchanged = replace(model.normalization, mean_energy=0.0)
        alone = replace(model, atom_energies={}, repulsion=None, normalization=unchanged)
        networks = {x: _nothing(n) for x, n in model.n_network_inputs.items()}
        member = Member(networks, charges=charges)
        self._potential = Potential(alone, (member,), ScalingData(scalings), options=Options(threads=threads))
        n, n_atoms = len(file), len(file.types)
        self.values, self._energies = np.zeros(n_atoms), np.zeros(n)
        self._forces, self._stress = np.zeros((n_atoms, 3)), np.zeros((n, 6))
        for index in range(parallel.rank(), n, parallel.size()):
            found = self._potential.predict(file.structure(index), pairs=file.pairs(index))
            assert found.charges is not None
            assert found.forces is not None
            atoms = file.atoms(index)
            self.values[atoms], self._energies[index] = found.charges.value, found.energy.value
            self._forces[atoms] = found.forces.value
            if found.stress is not None:
                self._stress[index] = found.stress.value
        for table in (self.values, self._energies, self._forces, self._stress):
            parallel.sum_array(table)
        self._columns = np.array(list(model.n_inputs.values()))

    @property
    def inputs(self) -> Array | None:
        """Charges of all atoms of the file, (N,) float64, e, if they are inputs of the networks."""
        return self.values if self._potential.model.charge_input else None

    def inputs_of(self, index: int) -> Array | None:
        """Charges of the atoms of a structure, (n_atoms,), as `inputs`."""
        return None if self.inputs is None else self.inputs[self.file.atoms(index)]

    def part(self, index: int) -> tuple[float, Array, Array]:
        """Electrostatic energy, its forces (n_atoms, 3) and stress (6,), in the units of the file."""
        return self._energies[index], self._forces[self.file.atoms(index)], self._stress[index]

    def responses(self, index: int) -> ChargeResponses | None:
        """Derivatives of the charges of a structure, if they are inputs of the networks."""
        file = self.file
        if self.inputs is None:
            return None
        matrix = self._potential.charge_responses(file.structure(index), file.pairs(index))
        return ChargeResponses(matrix, self._columns[file.types[file.atoms(index)]])


def _nothing(n_inputs: int) -> Network:
    """A network whose output is 0."""
    architecture = Architecture((1,), ("l", "l"))
    return Network.from_flat(np.zeros(architecture.n_weights(n_inputs)), architecture, n_inputs)
