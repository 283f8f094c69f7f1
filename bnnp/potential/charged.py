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

from bnnp.charges.conjugate_gradients import ConjugateGradients, NotConverged
from bnnp.charges.coulomb import Coulomb
from bnnp.charges.electrostatics import ChargedEnergies
from bnnp.charges.equilibration import ChargeEquations, Equilibration, NotPositive, Restoration
from bnnp.charges.large import LargeCoulomb
from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.neighbors import NeighborList
from bnnp.descriptors.pairs import sum_pairs
from bnnp.descriptors.scaling import Affine
from bnnp.errors import NumericalError
from bnnp.messages import count
from bnnp.model import Model
from bnnp.network.compiled import Networks
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.potential.member import Member
from bnnp.structure import VOIGT, Structure

Array = NDArray[np.float64]
Types = NDArray[np.int32]

LARGE_MOLECULE = 3000  # atoms beyond which sums over all pairs are faster than the factor of the matrix


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
        coulomb: Coulomb | LargeCoulomb,
        derivatives: bool,
        solvers: dict[bytes, ChargeEquations] | None = None,
        starts: dict[str, Array] | None = None,
    ) -> ChargedEnergies:
        """Energies and charges; forces and virial are zero without `derivatives`.

        Parameters
        ----------
        solvers : dict, optional
            Equations of this structure, by the hardnesses: used and added to. Samples of one network have the
            same.
        starts : dict, optional
            Solutions of a former structure, which iterations start from; replaced by those of this one.

        Raises
        ------
        NumericalError
            The equilibration has no minimum.
        """
        normalization, charge_unit = self.model.normalization, self.electrostatics.conv_charge
        epsilon, solvers = self.electrostatics.four_pi_epsilon, {} if solvers is None else solvers
        starts = {} if starts is None else starts
        inputs, equations, right, gains = self._equations(
            structure, types, descriptors, coulomb, derivatives, solvers
        )
        charges = self._solution(equations, structure, right, structure.charge, "charges", starts)
        atoms, columns = np.arange(len(types)), self._column[types]
        if self.model.charge_input:
            inputs = np.column_stack([inputs, np.zeros(len(types))])
            inputs[atoms, columns] = charge_unit * charges
        short, dshort, _ = self._short.sample(types, inputs, derivatives)
        by_A, by_B = coulomb.potentials(charges)
        potential = (by_A + by_B) / epsilon
        energies = short[:, 0] / normalization.conv_energy + normalization.mean_energy
        energies = energies + 0.5 * charges * potential
        if not derivatives:
            return ChargedEnergies(energies, charges, np.zeros((len(types), 3)), np.zeros((3, 3)))

        dE_dQ, dshort = potential, dshort / normalization.conv_energy
        if self.model.charge_input:
            dE_dQ = potential + charge_unit * dshort[atoms, columns]
            dshort[atoms, columns] = 0.0
            dshort = dshort[:, :-1]
        adjoint = self._solution(equations, structure, dE_dQ, 0.0, "adjoint", starts)
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
        _, equations, right, gains = self._equations(structure, types, descriptors, coulomb, True, {})
        charges = equations.solve(right, structure.charge)
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

    def _equations(
        self,
        structure: Structure,
        types: Types,
        descriptors: Array,
        coulomb: Coulomb | LargeCoulomb,
        derivatives: bool,
        solvers: dict[bytes, ChargeEquations],
    ) -> tuple[Array, ChargeEquations, Array, Array]:
        """Scaled symmetry functions, the equations and their right side, and with `derivatives` those of the
        right side by the scaled functions."""
        key = self._hardness.tobytes()
        shift, factor, offset = (each[types] for each in vars(self.inputs).values())
        scaled = (descriptors - shift) * factor + offset
        outputs, slopes, _ = self._of_charges.sample(types, scaled, derivatives)
        if key not in solvers:
            solvers[key] = self._solver(structure, types, coulomb)
        return scaled, solvers[key], self._unit * outputs[:, 0], self._unit * slopes

    def _solver(self, structure: Structure, types: Types, coulomb: Coulomb | LargeCoulomb) -> ChargeEquations:
        if not self.electrostatics.equilibrated:
            return Restoration(len(types))
        J = self.electrostatics.four_pi_epsilon * self._hardness[types]
        if isinstance(coulomb, LargeCoulomb) or len(types) > LARGE_MOLECULE:
            return ConjugateGradients(coulomb, J)
        try:
            return Equilibration(coulomb.matrices[0], J)
        except NotPositive as error:
            raise _without_equilibrium(structure, error) from error

    def _solution(
        self,
        equations: ChargeEquations,
        structure: Structure,
        right: Array,
        total: float,
        name: str,
        starts: dict[str, Array],
    ) -> Array:
        """The solution of the equations, which is kept in `starts`."""
        start = starts.get(name)
        try:
            found = equations.solve(
                right, total, start if start is not None and start.shape == right.shape else None
            )
        except NotPositive as error:
            raise _without_equilibrium(structure, error) from error
        except NotConverged as error:
            raise NumericalError(
                f"{structure.where}: {count(error.steps, 'step')} of conjugate gradients did not find the "
                f"charges; {error.residual:.1g} of the right side are left. The matrix of hardness and "
                "interaction is close to one that is not positive definite: look at hardness.XXX.data and "
                "fixed_gausswidth."
            ) from error
        starts[name] = found
        return found


def _without_equilibrium(structure: Structure, error: NotPositive) -> NumericalError:
    atoms = ", ".join(f"{atom + 1} ({structure.symbols[atom]})" for atom in error.atoms)
    return NumericalError(
        f"{structure.where}: the charges have no equilibrium, because the matrix of hardness and "
        f"interaction is not positive definite, first for atoms {atoms}. Give a finer ewald_prec, or "
        "look at hardness.XXX.data and fixed_gausswidth."
    )


def _sampler(
    elements: tuple[str, ...], networks: Mapping[str, Network], width: int, masks: Masks | None, threads: int
) -> Networks:
    """The networks in the C++ core."""
    if masks is None:
        return Networks(elements, networks, width, threads=threads)
    factors = {element: masks.scaled(element) for element in elements}
    return Networks(elements, networks, width, factors, threads, masks.means)
