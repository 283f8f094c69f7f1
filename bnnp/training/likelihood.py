r"""Fine-tuning of mean and spread together: the negative log-likelihood of a shallow ensemble.

The frozen masks are S networks with common weights, a shallow ensemble. With mean m and variance s^2 (S - 1)
over the members of a quantity whose reference is y::

    NLL = [ (y - m)^2 / (s^2 + s_0^2) + log((s^2 + s_0^2) / v) ] / 2,      s_0^2 = FLOOR v

(M. Kellner, M. Ceriotti, Mach. Learn.: Sci. Technol. 5, 035006 (2024)), where v is the spread of the quantity
over the training set: a model that knows only this has NLL 1/2. The loss is, with the weights and counts of
:mod:`bnnp.training.loss`::

    L = 1/n sum_s [ W_E / c_E  w_s NLL(E_s / N_s) + W_F / c_F sum_{i,a} w_si NLL(F_sia)
                  + W_S / c_S  w_s sum_k NLL(sigma_sk) ]

In an update each structure has some of the masks, others in every epoch. Forces of every member are needed,
so an update costs as many sweeps as there are masks in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.scaling import Affine
from bnnp.network.compiled import Networks
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.network.tensors import forward
from bnnp.random import SUBSET, stream
from bnnp.structure import VOIGT
from bnnp.training.evaluation import Evaluation, Evaluator, gathered
from bnnp.training.loss import Errors, Spread
from bnnp.training.model import MaskSet, TrainedModel, mask_rows
from bnnp.training.parameters import Parameters
from bnnp.training.samples import Batch, Sample

Array = NDArray[np.float64]

FLOOR = 1e-6  # s_0^2 / v: no spread is taken to be smaller than a thousandth of that of the data


@dataclass(frozen=True, eq=False)
class FrozenDropout:
    """Some of the frozen masks for each structure and epoch, in place of random ones.

    Parameters
    ----------
    frozen : Masks
    count : int
        Masks of each structure in an update.
    """

    frozen: Masks
    count: int

    def masks(
        self, parameters: Parameters, epoch: int, sources: Sequence[int], like: Tensor
    ) -> dict[str, MaskSet]:
        """Scaled masks of a batch, as :meth:`bnnp.training.model.Dropout.masks`."""
        chosen = np.stack([self._chosen(epoch, x) for x in sources], axis=1)  # (count, n_structures)
        found: dict[str, MaskSet] = {}
        for element in parameters.architectures:
            factors = self.frozen.scaled(element)
            found[element] = [
                None
                if rate == 0.0
                else torch.as_tensor(factor[chosen.ravel()], dtype=like.dtype, device=like.device)
                for factor, rate in zip(factors, self.frozen.rates, strict=False)
            ]
        return found

    def _chosen(self, epoch: int, source: int) -> NDArray[np.int64]:
        order = stream(self.frozen.seed, SUBSET, epoch, source).permutation(self.frozen.samples)
        return order[: self.count]


class MemberModel(TrainedModel):
    """Energies, forces and virials of every member of the ensemble; each mask is a member."""

    def __call__(
        self, vector: Tensor, batch: Batch, masks: Mapping[str, MaskSet]
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Energies (S, n_structures), forces (S, n_atoms, 3), virials (S, n_structures, 6), normalized."""
        n_structures, n_atoms = len(batch.energy), len(batch.forces)
        count = next(len(mask) for found in masks.values() for mask in found if mask is not None)
        count //= n_structures
        energy = batch.energy.new_zeros(count, n_structures)
        gradient = batch.forces.new_zeros(count, n_atoms, self._width)
        for (element, network), z, rows, owners in zip(
            self.parameters.views(vector).items(), batch.inputs, batch.rows, batch.owners, strict=True
        ):
            if len(rows) == 0:
                continue
            copies = z.detach().repeat(count, 1)  # (S n_X, n_functions)
            copies.requires_grad_(bool(batch.geometries))
            chosen = mask_rows(masks[element], owners, n_structures)
            atomic = forward(network, copies, masks[element], chosen)
            energy = energy.index_add(1, owners, atomic.view(count, -1))
            if batch.geometries:
                (slope,) = torch.autograd.grad(atomic.sum(), copies, create_graph=True)
                padded = torch.nn.functional.pad(slope @ self._chain[element], (0, self._width - z.shape[1]))
                gradient = gradient.index_add(1, rows, padded.view(count, len(rows), -1))
        if not batch.geometries:
            return energy, None, None
        forces, virial = self._forces(gradient.view(count * n_atoms, -1), batch.geometries * count)
        return energy, forces.view(count, n_atoms, 3), virial.view(count, n_structures, 6)


@dataclass(frozen=True)
class Likelihood:
    """The loss L.

    Parameters
    ----------
    spread : Spread
        Of the normalized references: v and c.
    weights : (float, float, float)
        W_E, W_F, W_S.
    thresholds : (float, float, float)
        As in :class:`bnnp.training.loss.Loss`; infinite, as the likelihood has no Huber function.
    """

    spread: Spread
    weights: tuple[float, float, float]
    thresholds: tuple[float, float, float] = (np.inf, np.inf, np.inf)

    def sum(self, batch: Batch, energy: Tensor, forces: Tensor | None, virial: Tensor | None) -> Tensor:
        """n L of a batch, from what :class:`MemberModel` gives."""
        spread, (w_energy, w_force, w_stress) = self.spread, self.weights
        found = _nll(energy / batch.n_atoms, batch.energy / batch.n_atoms, spread.energy)
        total = w_energy / max(spread.n_energies, 1e-300) * (batch.energy_weight * found).sum()
        if forces is not None and w_force and spread.n_forces:
            found = _nll(forces, batch.forces, spread.force)
            total = total + w_force / spread.n_forces * (batch.force_weight[:, None] * found).sum()
        if virial is not None and w_stress and spread.n_stresses:
            found = _nll(virial / batch.volume[:, None], batch.stress, spread.stress)
            total = total + w_stress / spread.n_stresses * (batch.stress_weight[:, None] * found).sum()
        return total


def _nll(members: Tensor, reference: Tensor, spread: float) -> Tensor:
    """NLL of every value; 0, also for the gradient, where the reference is NaN."""
    known = ~torch.isnan(reference)
    variance = members.var(dim=0, unbiased=True) + FLOOR * spread
    errors = torch.where(known, members.mean(dim=0) - reference, torch.zeros_like(reference))
    found = 0.5 * (errors * errors / variance + torch.log(variance / spread))
    return torch.where(known, found, torch.zeros_like(found))


@dataclass(frozen=True, eq=False)
class Members(Evaluation):
    """An evaluation with the variances over the members, and the spreads v of the references.

    Parameters
    ----------
    energy_variance : float
        Of the total energy.
    forces_variance : (n_atoms, 3) float64
    stress_variance : (6,) float64
    spread : Spread
    """

    energy_variance: float
    forces_variance: Array
    stress_variance: Array
    spread: Spread

    def count(self, errors: Errors, row: int) -> None:
        """Add the differences to `errors`, as structure `row` of them, with NLL in place of rho."""
        n_atoms, spread = len(self.forces), self.spread
        energy, reference = np.array([self.energy]), np.array([self.reference_energy])
        errors.add(row, 1, energy, reference)
        energy, reference, variance = energy / n_atoms, reference / n_atoms, self.energy_variance / n_atoms**2
        errors.add(row, 0, energy, reference, likelihood(energy - reference, variance, spread.energy))
        if not np.isnan(self.forces).all():
            found = likelihood(self.forces - self.reference_forces, self.forces_variance, spread.force)
            errors.add(row, 2, self.forces, self.reference_forces, found)
            found = likelihood(self.stress - self.reference_stress, self.stress_variance, spread.stress)
            errors.add(row, 3, self.stress, self.reference_stress, found)


def likelihood(errors: Array, variance: Array | float, spread: float) -> Array:
    """NLL of every error, the same shape."""
    variance = np.asarray(variance) + FLOOR * spread
    found: Array = 0.5 * (errors**2 / variance + np.log(variance / spread))
    return found


class MemberNetworks(NamedTuple):
    """The same networks for inputs z and for unscaled symmetry functions."""

    inputs: Networks
    functions: Networks


class MemberEvaluator(Evaluator):
    """Predicts single structures with the mean over all members, and the variance.

    Parameters
    ----------
    inputs, masks, descriptor, threads
        As for :class:`Evaluator`; there must be masks.
    spread : Spread
        Of the normalized references.
    """

    def __init__(
        self,
        inputs: Mapping[str, Affine],
        masks: Masks,
        descriptor: Descriptor,
        spread: Spread,
        threads: int = 1,
    ) -> None:
        super().__init__(inputs, masks, descriptor, threads)
        self._spread = spread
        self._masked_inputs = masks.rates[0] > 0.0

    def load(self, networks: Mapping[str, Network]) -> MemberNetworks:  # type: ignore[override]
        """`networks` on the inputs z, and once more on G, for the derivatives of the members."""
        on_functions = {
            element: replace(
                network, weights=(self._inputs[element].matrix @ network.weights[0], *network.weights[1:])
            )
            for element, network in networks.items()
        }
        return MemberNetworks(super().load(networks), super().load(on_functions))

    def __call__(self, networks: MemberNetworks, sample: Sample) -> Members:  # type: ignore[override]
        """Mean and variance over the members, and reference, of one structure."""
        mean = super().__call__(networks.inputs, sample)
        types, inputs = gathered(sample, self._width)
        with_forces = sample.geometry is not None
        energies, _, delta = networks.inputs.sample(types, inputs, gradient=False, delta=with_forces)
        forces, stress = np.full_like(mean.forces, np.nan), np.full(6, np.nan)
        if sample.geometry is not None:
            factors = np.ones((len(self._elements), self._width))
            if self._masked_inputs:  # delta is dE/dz then
                delta = self._to_functions(types, delta)
            pairs = sample.geometry.pairs
            members, virials = networks.functions.forces(self.descriptor, types, pairs, factors, delta)
            forces = members.var(axis=-1, ddof=1)
            symmetric = (virials + virials.transpose(1, 0, 2)) / 2.0
            variances = symmetric.var(axis=-1, ddof=1)  # (3, 3)
            stress = variances[VOIGT] / sample.volume**2
        return Members(
            **vars(mean),
            energy_variance=float(energies.sum(axis=0).var(ddof=1)),
            forces_variance=forces,
            stress_variance=stress,
            spread=self._spread,
        )

    def _to_functions(self, types: NDArray[np.int32], slopes: Array) -> Array:
        """dE/dG from dE/dz, (n_atoms, inputs, n_samples)."""
        found = np.zeros((len(types), self._width, slopes.shape[2]))
        for number, element in enumerate(self._elements):
            matrix, atoms = self._inputs[element].matrix, np.flatnonzero(types == number)
            n_functions, n_inputs = matrix.shape
            found[atoms, :n_functions] = np.einsum("gz,azs->ags", matrix, slopes[atoms, :n_inputs])
        return found
