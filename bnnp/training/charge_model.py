r"""Charges of a batch, differentiable in the weights of the electronegativity networks and in the hardnesses.

With the electronegativities chi_i = offset_X + scale y_X(z_i), the hardnesses J_X = unit_X h_X^2 and A of
:mod:`bnnp.charges.coulomb` the charges Q follow from :mod:`bnnp.charges.equilibration`. One more solution m
with the same matrix, sum m = 0, gives the derivatives of a loss L of the charges:

.. math::
    (A + J) m + \nu = \frac{\partial L}{\partial Q}, \quad
    \frac{\partial L}{\partial \chi_i} = -m_i, \quad
    \frac{\partial L}{\partial J_X} = -\sum_{i \in X} m_i Q_i .

Charges are linear in chi, so those of the mean over dropout masks are those of the mean chi.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.charges.equilibration import Equilibration, NotPositive
from bnnp.errors import NumericalError
from bnnp.network.compiled import Networks
from bnnp.network.masks import Masks
from bnnp.network.tensors import forward
from bnnp.training.evaluation import Evaluation, gathered
from bnnp.training.kalman.observations import Layer, propagate
from bnnp.training.model import Dropout, MaskSet, TrainedModel, mask_rows
from bnnp.training.parameters import Parameters
from bnnp.training.samples import Batch, Interaction, Sample

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ChargeParameters(Parameters):
    """The vector of all weights, and behind them the square root h of each element's hardness."""

    def __len__(self) -> int:
        return super().__len__() + self._n_roots

    def unpack(self, vector: Array) -> dict[str, Any]:
        """Networks of a vector, by element."""
        return super().unpack(vector[: -self._n_roots])

    def views(self, vector: Tensor) -> dict[str, Any]:
        """Networks, by element, that are views of `vector`."""
        return super().views(vector[: -self._n_roots])

    def roots(self, vector: Array) -> Array:
        """h of each element, (n_elements,)."""
        return vector[-self._n_roots :]

    @property
    def blocks(self) -> list[slice]:
        """Where each element's weights and biases lie in the vector, and then all hardnesses."""
        own = super().blocks
        return [*own, slice(own[-1].stop, len(self))]

    @property
    def is_weight(self) -> NDArray[np.bool_]:
        """(n_weights,) True for weights, False for biases and hardnesses, which do not decay."""
        return np.append(super().is_weight, np.zeros(self._n_roots, dtype=bool))

    @property
    def _n_roots(self) -> int:
        return len(self.architectures)


@dataclass(frozen=True, eq=False)
class ChargeVariables:
    """From outputs of networks and roots to electronegativities and hardnesses.

    Parameters
    ----------
    scale : float, energy/e
    offsets : (n_elements,) float64, energy/e
    units : (n_elements,) float64, energy/e^2
    """

    scale: float
    offsets: Array
    units: Array

    def hardness(self, roots: Array) -> Array:
        """J of each element."""
        return self.units * roots**2


class EquilibratedCharges(torch.autograd.Function):
    """Electronegativities and hardnesses of the atoms of a batch, each (n_atoms,), -> charges (n_atoms,)."""

    @staticmethod
    def forward(ctx: Any, chi: Tensor, hardness: Tensor, interactions: Sequence[Interaction]) -> Tensor:
        """Factorize and solve each structure, in float64 whatever the dtype of the network."""
        ctx.dtype, ctx.solvers, found, first = chi.dtype, [], [], 0
        for interaction in interactions:
            last = first + len(interaction.matrix)
            right, J = (x[first:last].detach().double().numpy() for x in (chi, hardness))
            ctx.solvers.append(factorized(interaction, J))
            found.append(ctx.solvers[-1].solve(-right, interaction.total))
            first = last
        ctx.charges = np.concatenate(found)
        return torch.from_numpy(ctx.charges).to(ctx.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        """The adjoint solutions."""
        slopes, parts, first = upstream[0].double().numpy(), [], 0
        for solver in ctx.solvers:
            last = first + solver.n_atoms
            parts.append(solver.solve(slopes[first:last], 0.0))
            first = last
        adjoint = np.concatenate(parts)
        by_chi, by_hardness = (torch.from_numpy(-each) for each in (adjoint, adjoint * ctx.charges))
        return by_chi.to(ctx.dtype), by_hardness.to(ctx.dtype), None


def factorized(interaction: Interaction, J: Array) -> Equilibration:
    """The equations of a structure. Raises NumericalError if the charges have no equilibrium."""
    try:
        return Equilibration(interaction.matrix, J)
    except NotPositive as error:
        atoms = ", ".join(str(atom + 1) for atom in error.atoms)
        raise NumericalError(
            f"{interaction.where}: the charges have no equilibrium, because the matrix of hardness and "
            f"interaction is not positive definite, first for atoms {atoms}. Give a larger initial_hardness, "
            "smaller steps (learning_rate), or a finer ewald_prec."
        ) from error


class EquilibratedModel(TrainedModel):
    """Charges as a function of the weights; they take the place of the forces, (n_atoms, 1)."""

    parameters: ChargeParameters
    variables: ChargeVariables

    def __init__(self, parameters: ChargeParameters, variables: ChargeVariables) -> None:
        self.parameters, self.variables = parameters, variables

    def __call__(
        self, vector: Tensor, batch: Batch, masks: Mapping[str, MaskSet]
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Zeros in place of energies (n_structures,), charges (n_atoms, 1) in e, and None."""
        variables, energy = self.variables, torch.zeros_like(batch.energy)
        roots = vector[-len(self.parameters.architectures) :]
        chi = batch.forces.new_zeros(len(batch.forces))
        hardness = torch.zeros_like(chi)
        columns = zip(
            self.parameters.views(vector).items(), batch.inputs, batch.rows, batch.owners, strict=True
        )
        for number, ((element, network), z, rows, owners) in enumerate(columns):
            chosen = mask_rows(masks[element], owners, len(energy)) if masks else None
            samples = forward(network, z, masks.get(element), chosen)
            mean = samples.view(-1, max(len(z), 1)).mean(dim=0)[: len(z)]
            chi = chi.index_add(0, rows, variables.offsets[number] + variables.scale * mean)
            own = (variables.units[number] * roots[number] ** 2).expand(len(rows))
            hardness = hardness.index_add(0, rows, own)
        charges = EquilibratedCharges.apply(chi, hardness, batch.interactions)  # type: ignore[no-untyped-call]
        return energy, charges[:, None], None


@dataclass(frozen=True, eq=False)
class ChargeEvaluator:
    """Predicts the charges of single structures: of the mean over all masks, or of the plain networks.

    Parameters
    ----------
    elements : tuple of str
    width : int
        Columns of the inputs.
    variables : ChargeVariables
    masks : Masks or None
    threads : int
    """

    elements: tuple[str, ...]
    width: int
    variables: ChargeVariables
    masks: Masks | None = None
    threads: int = 1

    def predictor(self, parameters: Parameters, weights: Array) -> Callable[[Sample], Evaluation]:
        """What predicts a structure with these weights; charges take the place of forces, (n_atoms, 1)."""
        assert isinstance(parameters, ChargeParameters)
        factors = None if self.masks is None else {x: self.masks.scaled(x) for x in self.elements}
        networks = Networks(self.elements, parameters.unpack(weights), self.width, factors, self.threads)
        hardness = self.variables.hardness(parameters.roots(weights))

        def predict(sample: Sample) -> Evaluation:
            assert sample.interaction is not None
            types, inputs = gathered(sample, self.width)
            outputs, _, _ = networks.sample(types, inputs, gradient=False)
            chi = self.variables.offsets[types] + self.variables.scale * outputs.mean(axis=1)
            charges = factorized(sample.interaction, hardness[types]).solve(-chi, sample.interaction.total)
            reference, unknown = sample.forces.numpy().astype(np.float64), np.full(6, np.nan)
            return Evaluation(np.nan, np.nan, charges[:, None], reference, unknown, unknown)

        return predict


@dataclass(frozen=True, eq=False)
class ChargeObserver:
    """Charges of single atoms with their derivatives: the rows of a Kalman filter.

    Parameters
    ----------
    parameters : ChargeParameters
    variables : ChargeVariables
    dropout : Dropout
    dtype : torch.dtype
        Of the derivatives.
    """

    parameters: ChargeParameters
    variables: ChargeVariables
    dropout: Dropout
    dtype: torch.dtype = torch.float64

    def __call__(
        self, vector: Tensor, sample: Sample, components: Index, epoch: int, energy: bool = True
    ) -> tuple[Tensor, Callable[[], Tensor]]:
        """Charges of the atoms `components`, behind a 0 in place of the energy.

        Returns
        -------
        values : (1 + n_components,) float
        rows : callable
            () -> (1 + n_components, n_weights) float, their derivatives.
        """
        interaction, variables = sample.interaction, self.variables
        assert interaction is not None
        masks = self.dropout.masks(self.parameters, epoch, [sample.source], vector)
        roots = self.parameters.roots(vector.double().numpy())
        chi, hardness = np.zeros(sample.n_atoms), np.zeros(sample.n_atoms)
        layers = []
        views = self.parameters.views(vector).items()
        for number, ((element, network), z) in enumerate(zip(views, sample.inputs, strict=True)):
            own, outputs = propagate(network, z, masks.get(element))
            layers.append(own)
            rows = sample.rows[number].numpy()
            mean = outputs.view(-1, max(len(z), 1)).mean(dim=0).double().numpy()[: len(z)]
            chi[rows] = variables.offsets[number] + variables.scale * mean
            hardness[rows] = variables.hardness(roots)[number]
        solver = factorized(interaction, hardness)
        charges = solver.solve(-chi, interaction.total)

        def derivatives() -> Tensor:
            ones = np.zeros((sample.n_atoms, len(components)))
            ones[components, np.arange(len(components))] = 1.0
            by_chi = -solver.solve(ones, 0.0).T  # dQ_c/dchi_i, (n_components, n_atoms)
            found = vector.new_zeros(1 + len(components), len(vector))
            by_root = found[1:, self.parameters.blocks[-1]]
            for number, own in enumerate(layers):
                rows = sample.rows[number].numpy()
                slopes = torch.from_numpy(by_chi[:, rows]).to(found.dtype)
                place = self.parameters.blocks[number]
                found[1:, place] = variables.scale * (slopes @ _rows_of_atoms(own, len(rows)))
                by_root[:, number] = (
                    2.0
                    * variables.units[number]
                    * roots[number]
                    * (slopes @ torch.from_numpy(charges[rows]).to(found.dtype))
                )
            return found

        values = np.append(0.0, charges[components])
        return torch.from_numpy(values).to(vector.dtype), derivatives


def _rows_of_atoms(layers: Sequence[Layer], n_atoms: int) -> Tensor:
    """Derivatives of the output of each atom, mean over its masks, (n_atoms, n_weights of the network)."""
    slope, parts = layers[-1].first, []  # dy/dx, (copies n_atoms, n_out)
    for number in reversed(range(len(layers))):
        layer = layers[number]
        parts += [slope, (layer.values[:, :, None] * slope[:, None, :]).flatten(1)]
        if number:
            slope = layers[number - 1].first * layer.masked(slope @ layer.weight.T)
    rows = torch.cat(parts[::-1], dim=1)
    return rows.view(-1, n_atoms, rows.shape[1]).mean(dim=0) if n_atoms else rows
