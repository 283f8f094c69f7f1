r"""Energy and its derivatives of a potential with networks of the charges.

.. math::
    E = \frac{1}{2} Q^T (A + B) Q / 4 \pi \epsilon + \sum_i \mathrm{net}_{X_i}(G_i, Q_i), \quad
    c A Q + J Q + \lambda = q, \quad q_i = s\, \mathrm{net}^Q_{X_i}(G_i)

with the matrices of :mod:`bnnp.charges.coulomb`. In the fourth generation (T. W. Ko, J. A. Finkler, S.
Goedecker, J. Behler, Nat. Commun. 12, 398 (2021)) the networks give the electronegativity, s is negative and
c is 1. In the third (T. Morawietz, V. Sharma, J. Behler, J. Chem. Phys. 136, 064103 (2012)) they give the
charge, c is 0, and the charge is no input of the networks of the energy. With the solution z of the equations
for the right side dE/dQ (:mod:`bnnp.charges.equilibration`) the derivatives of E are, at fixed Q and z, those
of

.. math::
    \sum_i [\mathrm{net}_{X_i}(G_i, Q_i) + z_i q_i] + \frac{1}{2} Q^T (A + B) Q - c\, z^T A Q.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bnnp.charges.coulomb import Coulomb
from bnnp.charges.electrostatics import ChargedEnergies
from bnnp.charges.equilibration import ChargeEquations, Equilibration, NotPositive, Restoration
from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.neighbors import NeighborList
from bnnp.descriptors.pairs import sum_pairs
from bnnp.descriptors.scaling import Affine
from bnnp.errors import NumericalError
from bnnp.model import Model
from bnnp.network.compiled import Networks
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.potential.member import Member
from bnnp.structure import VOIGT, Structure

Array = NDArray[np.float64]
Types = NDArray[np.int32]


class ChargedMember:
    """The networks of one training with charges, or one sample of them, ready to be computed.

    Parameters
    ----------
    member : Member
        Without masks, or with those of one sample.
    inputs : Affine
        Scaling of the symmetry functions.
    """

    def __init__(self, member: Member, model: Model, descriptor: Descriptor, inputs: Affine, threads: int):
        assert member.charges is not None
        assert model.electrostatics is not None
        self.model, self.electrostatics = model, model.electrostatics
        self.descriptor, self.inputs = descriptor, inputs
        elements, width = model.elements, descriptor.width
        charges, masks = member.charges, None if member.masks is None else member.charges.masks
        self._of_charges = _sampler(elements, charges.networks, width, masks, threads)
        self._short = _sampler(elements, member.networks, width + model.charge_input, member.masks, threads)
        self._hardness = np.array([charges.hardness.get(element, 0.0) for element in elements])

    @cached_property
    def _column(self) -> NDArray[np.int64]:
        """Input of the charge, by element: behind its symmetry functions."""
        return np.array([len(self.model.functions[element]) for element in self.model.elements])

    def evaluate(
        self,
        structure: Structure,
        types: Types,
        pairs: NeighborList,
        descriptors: Array,
        coulomb: Coulomb,
        derivatives: bool,
        solvers: dict[bytes, ChargeEquations] | None = None,
    ) -> ChargedEnergies:
        """Energies and charges; forces and virial are zero without `derivatives`.

        Parameters
        ----------
        solvers : dict, optional
            Equations of this structure, by the hardnesses: used and added to. Samples of one network have the
            same.

        Raises
        ------
        NumericalError
            The equilibration has no minimum.
        """
        normalization, charge_unit = self.model.normalization, self.electrostatics.conv_charge
        (A, B), epsilon = coulomb.matrices, self.electrostatics.four_pi_epsilon
        inputs, equations, charges, gains = self._solved(
            structure, types, descriptors, A, derivatives, {} if solvers is None else solvers
        )
        atoms, columns = np.arange(len(types)), self._column[types]
        if self.model.charge_input:
            inputs = np.column_stack([inputs, np.zeros(len(types))])
            inputs[atoms, columns] = charge_unit * charges
        short, dshort, _ = self._short.sample(types, inputs, derivatives)
        potential = (A @ charges + B @ charges) / epsilon
        energies = short[:, 0] / normalization.conv_energy + normalization.mean_energy
        energies = energies + 0.5 * charges * potential
        if not derivatives:
            return ChargedEnergies(energies, charges, np.zeros((len(types), 3)), np.zeros((3, 3)))

        dE_dQ, dshort = potential, dshort / normalization.conv_energy
        if self.model.charge_input:
            dE_dQ = potential + charge_unit * dshort[atoms, columns]
            dshort[atoms, columns] = 0.0
            dshort = dshort[:, :-1]
        adjoint = equations.solve(dE_dQ, 0.0)
        gradient = dshort + adjoint[:, None] * gains
        slopes = self.descriptor.vjp(types, pairs, gradient * self.inputs.factor[types])
        through = 2.0 * equations.coupling * epsilon * adjoint
        forces, virial = coulomb.derivatives(charges, charges - through)
        return ChargedEnergies(
            energies,
            charges,
            sum_pairs(pairs, slopes) + forces / epsilon,
            pairs.vectors.T @ slopes + virial / epsilon,
        )

    def responses(
        self, structure: Structure, types: Types, pairs: NeighborList, descriptors: Array, coulomb: Coulomb
    ) -> Array:
        """Derivatives of the charges, with the sign of forces and of a virial.

        Returns
        -------
        (3 n_atoms + 6, n_atoms) float64
            -dQ_k / dr_ia in the rows 3 i + a, then dQ_k / d(strain), xx yy zz yz xz xy; a function of the
            charges alone with the gradient g has the forces and the virial `responses` g.
        """
        n = len(types)
        A, _ = coulomb.matrices
        _, equations, charges, gains = self._solved(structure, types, descriptors, A, True, {})
        slopes = self.descriptor.vjp(types, pairs, gains * self.inputs.factor[types])  # dq/dD of each center
        by_position, by_strain = (equations.coupling * each for each in coulomb.responses(charges))
        np.subtract.at(by_position, (pairs.centers, pairs.neighbors), slopes)
        np.add.at(by_position, (pairs.centers, pairs.centers), slopes)
        moments = np.zeros((n, 3, 3))
        np.subtract.at(moments, pairs.centers, pairs.vectors[:, :, None] * slopes[:, None])
        by_strain = by_strain + 0.5 * (moments + moments.transpose(0, 2, 1))[:, VOIGT[0], VOIGT[1]]
        right = np.concatenate([by_position.reshape(n, -1), -by_strain], axis=1)
        return np.ascontiguousarray(equations.solve(right, 0.0).T)

    @property
    def _unit(self) -> float:
        """From outputs of the networks of the charges to the right side of the equations."""
        charge_unit, epsilon = self.electrostatics.conv_charge, self.electrostatics.four_pi_epsilon
        if not self.electrostatics.equilibrated:
            return 1.0 / charge_unit
        return -epsilon * charge_unit / self.model.normalization.conv_energy

    def _solved(
        self,
        structure: Structure,
        types: Types,
        descriptors: Array,
        A: Array,
        derivatives: bool,
        solvers: dict[bytes, ChargeEquations],
    ) -> tuple[Array, ChargeEquations, Array, Array]:
        """Scaled symmetry functions, the equations and their solution, and with `derivatives` those of the
        right side by the scaled functions."""
        key = self._hardness.tobytes()
        shift, factor, offset = (each[types] for each in vars(self.inputs).values())
        scaled = (descriptors - shift) * factor + offset
        outputs, slopes, _ = self._of_charges.sample(types, scaled, derivatives)
        if key not in solvers:
            solvers[key] = self._equations(structure, types, A)
        charges = solvers[key].solve(self._unit * outputs[:, 0], structure.charge)
        return scaled, solvers[key], charges, self._unit * slopes

    def _equations(self, structure: Structure, types: Types, A: Array) -> ChargeEquations:
        if not self.electrostatics.equilibrated:
            return Restoration(len(types))
        try:
            return Equilibration(A, self.electrostatics.four_pi_epsilon * self._hardness[types])
        except NotPositive as error:
            atoms = ", ".join(f"{atom + 1} ({structure.symbols[atom]})" for atom in error.atoms)
            raise NumericalError(
                f"{structure.where}: the charges have no equilibrium, because the matrix of hardness and "
                f"interaction is not positive definite, first for atoms {atoms}. Give a finer ewald_prec, or "
                "look at hardness.XXX.data and fixed_gausswidth."
            ) from error


def _sampler(
    elements: tuple[str, ...], networks: Mapping[str, Network], width: int, masks: Masks | None, threads: int
) -> Networks:
    """The networks in the C++ core."""
    if masks is None:
        return Networks(elements, networks, width, threads=threads)
    factors = {element: masks.scaled(element) for element in elements}
    return Networks(elements, networks, width, factors, threads, masks.means)
