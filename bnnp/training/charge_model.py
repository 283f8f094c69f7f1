r"""Charges of a batch, differentiable in the weights of their networks and in the hardnesses.

With the electronegativities chi_i = offset_X + scale y_X(z_i), the hardnesses J_X = unit_X h_X^2 and A of
:mod:`bnnp.charges.coulomb` the charges Q follow from :mod:`bnnp.charges.equilibration`. One more solution m
with the same matrix, sum m = 0, gives the derivatives of a loss L of the charges:

.. math::
    (A + J) m + \nu = \frac{\partial L}{\partial Q}, \quad
    \frac{\partial L}{\partial \chi_i} = -m_i, \quad
    \frac{\partial L}{\partial J_X} = -\sum_{i \in X} m_i Q_i .

In the third generation the outputs offset_X + scale y_X(z_i) are the charges before their total is restored,
and take the place of -chi; there are no hardnesses. Charges are linear in the outputs, so those of the mean
over dropout masks are those of the mean output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.charges.equilibration import ChargeEquations, Equilibration, NotPositive, Restoration
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
    """The vector of all weights, and behind them the square root h of each element's hardness.

    Parameters
    ----------
    equilibrated : bool
        Whether there are hardnesses: in the fourth generation.
    """

    equilibrated: bool = True

    def __len__(self) -> int:
        return self.n_weights + self.n_roots

    def unpack(self, vector: Array) -> dict[str, Any]:
        """Networks of a vector, by element."""
        return super().unpack(vector[: self.n_weights])

    def views(self, vector: Tensor) -> dict[str, Any]:
        """Networks, by element, that are views of `vector`."""
        return super().views(vector[: self.n_weights])

    @property
    def blocks(self) -> list[slice]:
        """Where each element's weights and biases lie in the vector, and then all hardnesses."""
        return super().blocks + [slice(self.n_weights, len(self))] * self.equilibrated

    @property
    def is_weight(self) -> NDArray[np.bool_]:
        """(n_weights,) True for weights, False for biases and hardnesses, which do not decay."""
        return np.append(super().is_weight, np.zeros(self.n_roots, dtype=bool))

    @property
    def n_weights(self) -> int:
        """Weights and biases of all networks."""
        return super().__len__()

    @property
    def n_roots(self) -> int:
        """Number of hardnesses."""
        return len(self.architectures) * self.equilibrated


@dataclass(frozen=True, eq=False)
class ChargeVariables:
    """From outputs of networks and roots to the right side of the equations of charges, and hardnesses.

    Parameters
    ----------
    scale : float, energy/e
    offsets : (n_elements,) float64, energy/e
        Both of the electronegativities; in the third generation of the charges, e.
    units : (n_elements,) float64, energy/e^2
    equilibrated : bool
    """

    scale: float
    offsets: Array
    units: Array
    equilibrated: bool = True

    @property
    def sign(self) -> float:
        """Of electronegativities or charges in the equations."""
        return -1.0 if self.equilibrated else 1.0

    def hardness(self, roots: Array) -> Array:
        """J of each element; 0 in the third generation, whose `roots` are none."""
        return self.units * roots**2 if self.equilibrated else 0.0 * self.units


class SolvedCharges(torch.autograd.Function):
    """Right sides and hardnesses of the atoms of a batch, each (n_atoms,), -> charges (n_atoms,)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, hardness: Tensor, interactions: Sequence[Interaction]) -> Tensor:
        """Solve the equations of each structure, in float64 whatever the dtype of the network."""
        ctx.dtype, ctx.solvers, found, first = q.dtype, [], [], 0
        for interaction in interactions:
            last = first + interaction.n_atoms
            right, J = (x[first:last].detach().double().numpy() for x in (q, hardness))
            ctx.solvers.append(equations(interaction, J))
            found.append(ctx.solvers[-1].solve(right, interaction.total))
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
        by_q, by_hardness = (torch.from_numpy(each) for each in (adjoint, -adjoint * ctx.charges))
        return by_q.to(ctx.dtype), by_hardness.to(ctx.dtype), None


def equations(interaction: Interaction, J: Array) -> ChargeEquations:
    """The equations of a structure. Raises NumericalError if the charges have no equilibrium."""
    if interaction.matrix is None:
        return Restoration(interaction.n_atoms)
    try:
        return Equilibration(interaction.matrix, J)
    except NotPositive as error:
        atoms = ", ".join(str(atom + 1) for atom in error.atoms)
        raise NumericalError(
            f"{interaction.where}: the charges have no equilibrium, because the matrix of hardness and "
            f"interaction is not positive definite, first for atoms {atoms}. Give a larger initial_hardness, "
            "smaller steps (learning_rate), or a finer ewald_prec."
        ) from error


class ChargedModel(TrainedModel):
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
        roots = vector[self.parameters.n_weights :]
        q = batch.forces.new_zeros(len(batch.forces))
        hardness = torch.zeros_like(q)
        columns = zip(
            self.parameters.views(vector).items(), batch.inputs, batch.rows, batch.owners, strict=True
        )
        for number, ((element, network), z, rows, owners) in enumerate(columns):
            chosen = mask_rows(masks[element], owners, len(energy)) if masks else None
            samples = forward(network, z, masks.get(element), chosen)
            mean = samples.view(-1, max(len(z), 1)).mean(dim=0)[: len(z)]
            value = variables.sign * (variables.offsets[number] + variables.scale * mean)
            q = q.index_add(0, rows, value)
            if variables.equilibrated:
                own = (variables.units[number] * roots[number] ** 2).expand(len(rows))
                hardness = hardness.index_add(0, rows, own)
        charges = SolvedCharges.apply(q, hardness, batch.interactions)  # type: ignore[no-untyped-call]
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
        hardness = self.variables.hardness(weights[parameters.n_weights :])

        def predict(sample: Sample) -> Evaluation:
            assert sample.interaction is not None
            types, inputs = gathered(sample, self.width)
            outputs, _, _ = networks.sample(types, inputs, gradient=False)
            values = self.variables.offsets[types] + self.variables.scale * outputs.mean(axis=1)
            solver, total = equations(sample.interaction, hardness[types]), sample.interaction.total
            charges = solver.solve(self.variables.sign * values, total)
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
        roots = vector[self.parameters.n_weights :].double().numpy()
        values, hardness = np.zeros(sample.n_atoms), np.zeros(sample.n_atoms)
        layers = []
        views = self.parameters.views(vector).items()
        for number, ((element, network), z) in enumerate(zip(views, sample.inputs, strict=True)):
            own, outputs = propagate(network, z, masks.get(element))
            layers.append(own)
            rows = sample.rows[number].numpy()
            mean = outputs.view(-1, max(len(z), 1)).mean(dim=0).double().numpy()[: len(z)]
            values[rows] = variables.offsets[number] + variables.scale * mean
            hardness[rows] = variables.hardness(roots)[number]
        solver = equations(interaction, hardness)
        charges = solver.solve(variables.sign * values, interaction.total)

        def derivatives() -> Tensor:
            ones = np.zeros((sample.n_atoms, len(components)))
            ones[components, np.arange(len(components))] = 1.0
            by_right = solver.solve(ones, 0.0).T  # dQ_c/dq_i, (n_components, n_atoms)
            found = vector.new_zeros(1 + len(components), len(vector))
            by_root = found[1:, self.parameters.n_weights :]
            for number, own in enumerate(layers):
                rows = sample.rows[number].numpy()
                slopes = torch.from_numpy(by_right[:, rows]).to(found.dtype)
                place, factor = self.parameters.blocks[number], variables.sign * variables.scale
                found[1:, place] = factor * (slopes @ _rows_of_atoms(own, len(rows)))
                if variables.equilibrated:
                    through = slopes @ torch.from_numpy(charges[rows]).to(found.dtype)
                    by_root[:, number] = -2.0 * variables.units[number] * roots[number] * through
            return found

        return torch.from_numpy(np.append(0.0, charges[components])).to(vector.dtype), derivatives


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
