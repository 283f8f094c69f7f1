r"""Energy and its derivatives of a potential of the fourth generation.

.. math::
    E = \frac{1}{2} Q^T (A + B) Q / 4 \pi \epsilon + \sum_i \mathrm{net}_{X_i}(G_i, Q_i), \quad
    \chi_i = \mathrm{net}^\chi_{X_i}(G_i)

with the charges Q of :mod:`bnnp.charges.equilibration` and the matrices of :mod:`bnnp.charges.coulomb` (T. W.
Ko, J. A. Finkler, S. Goedecker, J. Behler, Nat. Commun. 12, 398 (2021)). With the solution y of the adjoint
equation for dE/dQ the derivatives of E are, at fixed Q and y, those of

.. math::
    \sum_i [\mathrm{net}_{X_i}(G_i, Q_i) + y_i \chi_i] + \frac{1}{2} Q^T (A + B) Q + y^T A Q.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bnnp.charges.coulomb import Coulomb
from bnnp.charges.equilibration import Equilibration, NotPositive
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


@dataclass(frozen=True, eq=False)
class ChargedEnergies:
    """What the networks of one training give for a structure, in the units of the potential.

    Parameters
    ----------
    energies : (n_atoms,) float64
        Atomic energies, with half of the electrostatic energy of each pair.
    charges : (n_atoms,) float64, e
    forces : (n_atoms, 3) float64
    virial : (3, 3) float64
        dE/d(strain).
    """

    energies: Array
    charges: Array
    forces: Array
    virial: Array


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
        self._chi = _sampler(elements, charges.networks, width, masks, threads)
        self._short = _sampler(elements, member.networks, width + 1, member.masks, threads)
        self._hardness = np.array([member.charges.hardness[element] for element in elements])

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
        solvers: dict[bytes, Equilibration] | None = None,
    ) -> ChargedEnergies:
        """Energies and charges; forces and virial are zero without `derivatives`.

        Parameters
        ----------
        solvers : dict, optional
            Factorized equations of this structure, by the hardnesses: used and added to. Samples of one
            network have the same.

        Raises
        ------
        NumericalError
            The equilibration has no minimum.
        """
        normalization, charge_unit = self.model.normalization, self.electrostatics.conv_charge
        chi_unit = self._chi_unit
        (A, B), epsilon = coulomb.matrices, self.electrostatics.four_pi_epsilon
        scaled, solver, charges, dchi = self._equilibrium(
            structure, types, descriptors, A, derivatives, {} if solvers is None else solvers
        )

        atoms = np.arange(len(types))
        inputs = np.column_stack([scaled, np.zeros(len(types))])
        inputs[atoms, self._column[types]] = charge_unit * charges
        short, dshort, _ = self._short.sample(types, inputs, derivatives)
        potential = (A @ charges + B @ charges) / epsilon
        energies = short[:, 0] / normalization.conv_energy + normalization.mean_energy
        energies = energies + 0.5 * charges * potential
        if not derivatives:
            return ChargedEnergies(energies, charges, np.zeros((len(types), 3)), np.zeros((3, 3)))

        dE_dQ = potential + chi_unit * dshort[atoms, self._column[types]]
        adjoint = solver.solve(-epsilon * dE_dQ, 0.0)
        dshort[atoms, self._column[types]] = 0.0
        gradient = dshort[:, :-1] / normalization.conv_energy + (chi_unit * adjoint)[:, None] * dchi
        slopes = self.descriptor.vjp(types, pairs, gradient * self.inputs.factor[types])
        forces, virial = coulomb.derivatives(charges, charges + 2.0 * adjoint)
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
        n, epsilon = len(types), self.electrostatics.four_pi_epsilon
        A, _ = coulomb.matrices
        _, solver, charges, dchi = self._equilibrium(structure, types, descriptors, A, True, {})
        slopes = self.descriptor.vjp(types, pairs, self._chi_unit * dchi * self.inputs.factor[types])
        by_position, by_strain = coulomb.responses(charges)
        np.add.at(by_position, (pairs.centers, pairs.neighbors), epsilon * slopes)  # dchi/dD of each center
        np.subtract.at(by_position, (pairs.centers, pairs.centers), epsilon * slopes)
        moments = np.zeros((n, 3, 3))
        np.add.at(moments, pairs.centers, epsilon * pairs.vectors[:, :, None] * slopes[:, None])
        by_strain = by_strain + 0.5 * (moments + moments.transpose(0, 2, 1))[:, VOIGT[0], VOIGT[1]]
        right = np.concatenate([by_position.reshape(n, -1), -by_strain], axis=1)
        return np.ascontiguousarray(solver.solve(right, 0.0).T)

    @property
    def _chi_unit(self) -> float:
        """Factor of the outputs of the electronegativity networks."""
        return self.electrostatics.conv_charge / self.model.normalization.conv_energy

    def _equilibrium(
        self,
        structure: Structure,
        types: Types,
        descriptors: Array,
        A: Array,
        derivatives: bool,
        solvers: dict[bytes, Equilibration],
    ) -> tuple[Array, Equilibration, Array, Array]:
        """Scaled symmetry functions, the equations and their solution, and with `derivatives` those of the
        electronegativities by the scaled functions."""
        epsilon, key = self.electrostatics.four_pi_epsilon, self._hardness.tobytes()
        shift, factor, offset = (each[types] for each in vars(self.inputs).values())
        scaled = (descriptors - shift) * factor + offset
        chi, dchi, _ = self._chi.sample(types, scaled, derivatives)
        if key not in solvers:
            solvers[key] = self._solver(structure, A, epsilon * self._hardness[types])
        right = -epsilon * self._chi_unit * chi[:, 0]
        return scaled, solvers[key], solvers[key].solve(right, structure.charge), dchi

    def _solver(self, structure: Structure, A: Array, J: Array) -> Equilibration:
        try:
            return Equilibration(A, J)
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
