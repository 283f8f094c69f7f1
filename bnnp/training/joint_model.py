r"""Energies, forces and virials of a batch whose charges are hidden outputs, differentiable in all weights.

With the outputs q_i = offset_X + scale y^Q_X(z_i) of the networks of the charges (third generation), or their
negative, the electronegativities (fourth), and the equations of :mod:`bnnp.charges.equilibration`,

.. math::
    E = \sum_i \mathrm{net}_{X_i}(z_i, Q_i) + \frac{1}{2} Q^T M Q, \quad
    c A Q + J Q + \lambda = q, \quad \sum_i Q_i = Q_\mathrm{tot}, \quad M = A + B

Autograd gives dE/dz_i through the charges, and z = dE/dq, the adjoint solution; what the atoms change at
fixed network inputs are the matrices, so that

.. math::
    F = F[dE/dG] - \frac{1}{2} Q^T \frac{dM}{dr} Q + c\, z^T \frac{dA}{dr} Q

and likewise the virial. All of it is made of differentiable operations on matrices that stay the same during
the training, and the gradient of a loss of E, F and the stress comes from autograd once more. Where the data
has dipole moments mu or Born effective charges Z, they are

.. math::
    \mu_a = \sum_i Q_i r_{ia}, \quad
    Z_{i,ab} = \frac{\partial \mu_a}{\partial r_{ib}}
             = Q_i \delta_{ab} + \sum_k (r_{ka} - \bar r_a) \frac{\partial q_k}{\partial r_{ib}}

of a molecule in the third generation, with the mean position (the total charge is restored by the same amount
on every atom). In a periodic structure charge that is transferred belongs to the nearest images, and that the
restored total comes from far away: r_k - r_i of each pair takes the place of r_k minus its mean. That charges
need no reference when networks of charges are trained on energies and forces is an old remark (N. Artrith, T.
Morawietz, J. Behler, Phys. Rev. B 83, 153101 (2011), trains them one after the other).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.charges.electrostatics import Electrostatics
from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.scaling import Affine
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.network.tensors import forward
from bnnp.training.charge_model import ChargeParameters, ChargeVariables, equations
from bnnp.training.evaluation import Evaluation
from bnnp.training.kalman.updates import STRESS
from bnnp.training.loss import Loss, deviation
from bnnp.training.model import MaskSet, TrainedModel
from bnnp.training.pair_forces import Geometry, Sweeps, descriptor_changes, pair_derivatives
from bnnp.training.parameters import Parameters
from bnnp.training.samples import Batch, Interaction, Sample, Samples

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class JointParameters(Parameters):
    """The vector of all weights of the energy, and behind them what gives the charges.

    Parameters
    ----------
    of_charges : ChargeParameters
    """

    of_charges: ChargeParameters = field(kw_only=True)

    def __len__(self) -> int:
        return self.n_short + len(self.of_charges)

    @property
    def n_short(self) -> int:
        """Weights and biases of the networks of the energy."""
        return super().__len__()

    def unpack(self, vector: Array) -> dict[str, Any]:
        """Networks of the energy, by element."""
        return super().unpack(vector[: self.n_short])

    def views(self, vector: Tensor) -> dict[str, Any]:
        """Networks of the energy, by element, that are views of `vector`."""
        return super().views(vector[: self.n_short])

    @property
    def blocks(self) -> list[slice]:
        """Where the networks of the energy lie in the vector, then those of the charges, then all
        hardnesses."""
        n = self.n_short
        return super().blocks + [slice(n + own.start, n + own.stop) for own in self.of_charges.blocks]

    @property
    def is_weight(self) -> NDArray[np.bool_]:
        """(n_weights,) True for weights, False for biases and hardnesses."""
        return np.concatenate([super().is_weight, self.of_charges.is_weight])


@dataclass(frozen=True, eq=False)
class ElectrostaticMatrices(Interaction):
    """The matrices of a structure: energy/e^2, and over length or for a strain.

    Parameters
    ----------
    energy : (n_atoms, n_atoms) float64
        M over 4 pi epsilon.
    slopes : (9, n_atoms, n_atoms) float64, or None
        dM_ik/dr_k, x y z, then dM_ik/d(strain) in Voigt's order; None if only energies are trained.
    coupled : (10, n_atoms, n_atoms) float64, or None
        A and its derivatives; None in the third generation.
    positions : (n_atoms, 3) float64, length
        From their mean.
    dipole : (3,) float64, e length
        Reference; NaN without.
    born_charges : (n_atoms, 3, 3) float64, e, or None
    periodic : bool
    """

    energy: Tensor
    slopes: Tensor | None
    coupled: Tensor | None
    positions: Tensor
    dipole: Tensor
    born_charges: Tensor | None
    periodic: bool

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        tensors = (self.energy, self.slopes, self.coupled, self.born_charges)
        return super().nbytes + sum(x.numel() * x.element_size() for x in tensors if x is not None)


class JointSamples(Samples):
    """Structures with the matrices of their electrostatic energy."""

    def __init__(self, electrostatics: Electrostatics, *arguments: object, threads: int = 1) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._electrostatics, self._threads = electrostatics, threads

    def _read(self, index: int) -> Sample:
        found = matrices_of(self.file, self._electrostatics, index, self.with_forces, self._threads)
        return replace(super()._read(index), interaction=found)


def matrices_of(
    file: DescriptorFile, electrostatics: Electrostatics, index: int, forces: bool, threads: int = 1
) -> ElectrostaticMatrices:
    """The matrices of a structure of the file; their derivatives only for `forces`."""
    structure, epsilon = file.structure(index), electrostatics.four_pi_epsilon
    coulomb = electrostatics.interaction(structure, threads)
    A, B = coulomb.matrices

    def derivatives(screened: bool) -> Tensor:
        return torch.from_numpy(np.concatenate(coulomb.slopes(screened)) / epsilon)

    coupled = None
    if electrostatics.equilibrated:
        coupled = torch.from_numpy(A[None] / epsilon)
        coupled = torch.cat([coupled, derivatives(screened=False)]) if forces else coupled
    born_charges = torch.from_numpy(file.born_charges[file.atoms(index)])
    known = forces and bool(torch.isfinite(born_charges).any())
    return ElectrostaticMatrices(
        len(structure),
        A / epsilon if electrostatics.equilibrated else None,
        structure.charge,
        structure.where,
        torch.from_numpy((A + B) / epsilon),
        derivatives(screened=True) if forces else None,
        coupled,
        torch.from_numpy(structure.positions - structure.positions.mean(axis=0)),
        torch.from_numpy(file.dipole[index]),
        born_charges if known else None,
        structure.periodic,
    )


class Moments(NamedTuple):
    """Dipole moments, (n_structures, 3) e length; Born charges of each structure, (n_atoms, 3, 3) e, or None,
    or an empty tuple."""

    dipoles: Tensor
    born_charges: tuple[Tensor | None, ...]


class JointModel(TrainedModel):
    """Energies, forces and virials as a function of all weights.

    The attributes of :class:`TrainedModel`, whose inputs are those of the symmetry functions alone, and:

    Parameters
    ----------
    scale : float, energy
        Unit of the energies in training.
    variables : ChargeVariables
    charge_inputs : mapping of element to Affine
        Of the charge as an input of the networks of the energy; empty in the third generation.
    descriptor : Descriptor
    """

    parameters: JointParameters
    scale: float
    variables: ChargeVariables
    charge_inputs: Mapping[str, Affine]
    descriptor: Descriptor

    def __call__(  # type: ignore[override]
        self, vector: Tensor, batch: Batch, masks: Mapping[str, MaskSet]
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Moments]:
        """Energies (n_structures,), forces (n_atoms, 3), virials (n_structures, 6), normalized, and moments.

        Forces and virials are None if the batch has no geometries.
        """
        forces = bool(batch.geometries)
        inputs = [z.detach().requires_grad_(forces) for z in batch.inputs]
        q, hardness = self._outputs(vector[self.parameters.n_short :], batch, inputs)
        own = _parts(q, hardness, batch.interactions)
        charges = [charges_of(*each) for each in own]
        energy = torch.stack(
            [0.5 * Q @ each.energy @ Q for Q, (each, _, _) in zip(charges, own, strict=True)]
        )
        energy = (energy / self.scale).to(batch.energy.dtype)
        every, views = torch.cat(charges).to(vector.dtype), self.parameters.views(vector).items()
        columns = zip(views, inputs, batch.rows, batch.owners, strict=True)
        for (element, network), z, rows, owners in columns:
            values = z
            if self.charge_inputs:
                affine = self.charge_inputs[element]
                charge = (every[rows] - affine.shift[0]) * affine.matrix[0, 0]
                values = torch.cat([z, charge[:, None]], dim=1)
            energy = energy.index_add(0, owners, forward(network, values))
        dipoles = torch.stack([Q @ each.positions for Q, (each, _, _) in zip(charges, own, strict=True)])
        if not forces:
            return energy, None, None, Moments(dipoles, ())
        graph = vector.requires_grad
        *slopes, adjoint = torch.autograd.grad(
            energy.sum(), [*inputs, q], create_graph=graph, retain_graph=True
        )
        gradient = self._by_functions(batch, slopes)
        found, virial = self._forces(gradient, batch.geometries)
        direct = [
            moved(each, Q, z, self.scale)
            for (each, _, _), Q, z in zip(own, charges, _split(adjoint, batch.interactions), strict=True)
        ]
        born_charges: tuple[Tensor | None, ...] = ()
        if any(each.born_charges is not None for each, _, _ in own):
            born_charges = self._born_charges(batch, inputs, q, charges, [each for each, _, _ in own], graph)
        return (
            energy,
            found + torch.cat([forces for forces, _ in direct]).to(found.dtype),
            virial + torch.stack([strain for _, strain in direct]).to(virial.dtype),
            Moments(dipoles, born_charges),
        )

    def _born_charges(
        self,
        batch: Batch,
        inputs: Sequence[Tensor],
        q: Tensor,
        charges: Sequence[Tensor],
        interactions: Sequence[ElectrostaticMatrices],
        graph: bool,
    ) -> tuple[Tensor | None, ...]:
        """Born effective charges of the structures that have references."""
        slopes = torch.autograd.grad(q.sum(), inputs, create_graph=graph, retain_graph=True)
        found: list[Tensor | None] = []
        first = 0
        gradient = self._by_functions(batch, slopes)
        for each, Q, geometry in zip(interactions, charges, batch.geometries, strict=True):
            own = gradient[first : first + each.n_atoms]
            first += each.n_atoms
            if each.born_charges is None:
                found.append(None)
                continue
            d = PairSlopes.apply(own, self.descriptor, geometry).double()  # type: ignore[no-untyped-call]
            centers, neighbors = (
                torch.from_numpy(ends.astype(np.int64))
                for ends in (geometry.pairs.centers, geometry.pairs.neighbors)
            )
            Z = Q[:, None, None] * torch.eye(3, dtype=torch.float64)
            if each.periodic:
                apart = torch.from_numpy(-geometry.pairs.vectors)  # of the center, whose charge it is
                found.append(Z.index_add(0, neighbors, apart[:, :, None] * d[:, None, :]))
                continue
            product = each.positions[centers][:, :, None] * d[:, None, :]
            found.append(Z.index_add(0, neighbors, product).index_add(0, centers, -product))
        return tuple(found)

    def _by_functions(self, batch: Batch, slopes: Sequence[Tensor]) -> Tensor:
        """Derivatives by the symmetry functions, (n_atoms, width), of those by the inputs of each element."""
        gradient = batch.forces.new_zeros(len(batch.forces), self._width)
        for element, slope, rows in zip(self.parameters.architectures, slopes, batch.rows, strict=True):
            chained = slope @ self._chain[element]
            padded = torch.nn.functional.pad(chained, (0, self._width - chained.shape[1]))
            gradient = gradient.index_add(0, rows, padded)
        return gradient

    def _outputs(self, vector: Tensor, batch: Batch, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Right sides of the equations, and hardnesses, of the atoms, each (n_atoms,) float64."""
        parameters, variables = self.parameters.of_charges, self.variables
        q = torch.zeros(len(batch.forces), dtype=torch.float64)
        hardness, roots = torch.zeros_like(q), vector[parameters.n_weights :].double()
        columns = zip(parameters.views(vector).values(), inputs, batch.rows, strict=True)
        for number, (network, z, rows) in enumerate(columns):
            value = variables.offsets[number] + variables.scale * forward(network, z).double()
            q = q.index_add(0, rows, variables.sign * value)
            if variables.equilibrated:
                own = variables.units[number] * roots[number] ** 2
                hardness = hardness.index_add(0, rows, own.expand(len(rows)))
        return q, hardness


class PairSlopes(torch.autograd.Function):
    """Derivatives of an output by the symmetry functions of its atom, (n_atoms, width), to those by the
    vectors of the pairs of a structure, (n_pairs, 3)."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, sweeps: Sweeps, geometry: Geometry) -> Tensor:
        """Sweep back to the pairs."""
        ctx.sweeps, ctx.geometry, ctx.dtype = sweeps, geometry, gradient.dtype
        return torch.from_numpy(pair_derivatives(sweeps, geometry, gradient.detach().double().numpy()))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        """Sweep forward."""
        direction = np.ascontiguousarray(upstream[0].double().numpy())
        found = descriptor_changes(ctx.sweeps, ctx.geometry, direction)
        return torch.from_numpy(found).to(ctx.dtype), None, None


@dataclass(frozen=True, eq=False)
class JointLoss(Loss):
    """The loss, with dipole moments and Born charges.

    Parameters
    ----------
    dipole, born_charge : float
        Prefactors W / (v c), as of the others; a structure counts with the weight of its energy.
    """

    dipole: float = 0.0
    born_charge: float = 0.0

    def sum(
        self,
        batch: Batch,
        energy: Tensor,
        forces: Tensor | None,
        virial: Tensor | None,
        moments: Moments | None = None,
    ) -> Tensor:
        """n L of a batch: the sum over its structures, a scalar."""
        total = super().sum(batch, energy, forces, virial)
        if moments is None or not (self.dipole or self.born_charge):
            return total
        for number, interaction in enumerate(batch.interactions):
            assert isinstance(interaction, ElectrostaticMatrices)
            weight = float(batch.energy_weight[number])
            squares = deviation(moments.dipoles[number], interaction.dipole).square().sum()
            total = total + weight * self.dipole * squares.to(total.dtype)
            if moments.born_charges and interaction.born_charges is not None:
                found = moments.born_charges[number]
                assert found is not None
                squares = deviation(found, interaction.born_charges).square().sum()
                total = total + weight * self.born_charge * squares.to(total.dtype)
        return total


def charges_of(interaction: ElectrostaticMatrices, q: Tensor, hardness: Tensor) -> Tensor:
    """Charges of one structure, (n_atoms,), from the right sides and hardnesses; they add up to the total.

    Raises
    ------
    NumericalError
        The charges have no equilibrium.
    """
    n = interaction.n_atoms
    if interaction.coupled is None:
        return q + (interaction.total - q.sum()) / n
    equations(interaction, hardness.detach().numpy())  # refuses a matrix that is not positive definite
    matrix = torch.ones(n + 1, n + 1, dtype=torch.float64)
    matrix[n, n] = 0.0
    matrix[:n, :n] = interaction.coupled[0]
    diagonal = torch.cat([hardness, hardness.new_zeros(1)])
    right = torch.cat([q, q.new_tensor([interaction.total])])
    found: Tensor = torch.linalg.solve(matrix + torch.diag(diagonal), right)
    return found[:n]


def moved(
    each: ElectrostaticMatrices, charges: Tensor, adjoint: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Forces (n_atoms, 3) and virial (6,) at fixed network inputs, normalized.

    Parameters
    ----------
    charges : (n_atoms,) float64, e
    adjoint : (n_atoms,) float64
        dE/dq, normalized.
    scale : float, energy
    """
    assert each.slopes is not None
    products = charges @ each.slopes / scale  # (9, n_atoms)
    forces, virial = -charges * products[:3], 0.5 * products[3:] @ charges
    if each.coupled is not None:
        of_charges, of_adjoint = charges @ each.coupled[1:], adjoint @ each.coupled[1:]
        forces = forces + charges * of_adjoint[:3] + adjoint * of_charges[:3]
        virial = virial - of_adjoint[3:] @ charges
    return forces.T, virial


def _split(values: Tensor, interactions: Sequence[Interaction]) -> Sequence[Tensor]:
    """Values of the atoms of a batch, structure by structure."""
    return torch.split(values, [each.n_atoms for each in interactions])


def _parts(
    q: Tensor, hardness: Tensor, interactions: Sequence[Interaction]
) -> list[tuple[ElectrostaticMatrices, Tensor, Tensor]]:
    """Matrices, right sides and hardnesses of each structure."""
    columns = zip(interactions, _split(q, interactions), _split(hardness, interactions), strict=True)
    found = []
    for interaction, right, own in columns:
        assert isinstance(interaction, ElectrostaticMatrices)
        found.append((interaction, right, own))
    return found


@dataclass(frozen=True, eq=False)
class JointEvaluator:
    """Predicts single structures by the plain networks.

    Parameters
    ----------
    model : JointModel
    """

    model: JointModel

    def predictor(self, parameters: Parameters, weights: Array) -> Callable[[Sample], Evaluation]:
        """What predicts a structure with these weights."""

        def predict(sample: Sample) -> Evaluation:
            batch = Batch.of([sample])
            energy, forces, virial, _ = self.model(torch.as_tensor(weights).to(batch.energy.dtype), batch, {})
            found, stress = np.full((sample.n_atoms, 3), np.nan), np.full(6, np.nan)
            if forces is not None and virial is not None:
                found, stress = _numbers(forces), _numbers(virial[0]) / sample.volume
            return Evaluation(
                energy.item(), sample.energy, found, _numbers(sample.forces), stress, _numbers(sample.stress)
            )

        return predict


@dataclass(frozen=True, eq=False)
class JointObserver:
    """Energies, forces and stresses of structures, with derivatives: the rows of a Kalman filter.

    Each row is one more reverse pass through the graph of the structure.

    Parameters
    ----------
    model : JointModel
    dtype : torch.dtype
        Of the derivatives.
    """

    model: JointModel
    dtype: torch.dtype = torch.float64

    @property
    def parameters(self) -> JointParameters:
        """Shape of the vector of all weights."""
        return self.model.parameters

    def __call__(
        self, vector: Tensor, sample: Sample, components: NDArray[np.int64], epoch: int, energy: bool = True
    ) -> tuple[Tensor, Callable[[], Tensor]]:
        """As :meth:`bnnp.training.kalman.observations.Observer.__call__`."""
        weights = vector.detach().clone().requires_grad_()
        total, forces, virial, _ = self.model(weights, Batch.of([sample]), {})
        values = [total]
        if len(components):
            assert forces is not None
            assert virial is not None
            every = torch.cat([forces.reshape(-1), virial[0] / sample.volume])
            places = np.where(components >= 0, components, forces.numel() + STRESS - components)
            values.append(every[torch.from_numpy(places)])
        found = torch.cat(values)

        def rows() -> Tensor:
            return torch.stack([torch.autograd.grad(each, weights, retain_graph=True)[0] for each in found])

        return found.detach(), rows


def _numbers(values: Tensor) -> Array:
    return values.detach().numpy().astype(np.float64)
