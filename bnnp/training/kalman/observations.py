r"""Energies, force and stress components of a structure with their derivatives in the weights: the rows of a
Kalman filter.

A force component is a directional derivative of the energies. With v_k, the change of the symmetry functions
of atom k that belongs to F_ia (:class:`Responses`), and \dot z_k = v_k A that of its network inputs,

.. math:: F_{ia} = \sum_k \dot y(z_k), \qquad \dot y = \frac{\partial y}{\partial z} \dot z .

A stress component sigma_ab = 1/V sum_p (D_pa d_pb + D_pb d_pa) / 2 is another one, with the changes v under
strain.

A forward pass computes the values of each layer, x_l = a_{l-1} W_l + b_l, a_l = f(x_l), and their tangents
(marked '), a reverse pass d_l = dy/dx_l and its tangents; so a row costs a few times the number of weights
per atom, whatever the number of symmetry functions (B. A. Pearlmutter, Neural Comput. 6, 147 (1994))::

    a'_l = f'(x_l) x'_l
    d_l  = f'(x_l) (d_{l+1} W_{l+1}^T)
    d'_l = f'(x_l) (d'_{l+1} W_{l+1}^T) + f''(x_l) x'_l (d_{l+1} W_{l+1}^T)
    dy/dW_l  = a_{l-1} d_l^T                        dy/db_l  = d_l
    dy'/dW_l = a'_{l-1} d_l^T + a_{l-1} d'_l^T      dy'/db_l = d'_l
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.scaling import Affine
from bnnp.network.activations import activate, curvature, derivative
from bnnp.network.tensors import TensorNetwork
from bnnp.training.kalman.updates import STRESS
from bnnp.training.model import Dropout, MaskSet, mask_rows
from bnnp.training.pair_forces import Geometry, descriptor_changes, gather
from bnnp.training.parameters import Parameters
from bnnp.training.samples import Sample

Index = NDArray[np.int64]

ROWS = 48  # force components at a time: a compromise between memory and the work shared by neighbors


@dataclass(eq=False)
class Responses:
    """Changes of the symmetry functions with displacements: v of F_ia = sum_k dE/dG_k . v_k.

    From the blocks B_p = dG/dD of the pairs p = (k, j): v_k = sum_p B_p[a] (delta_ki - delta_ji).

    Parameters
    ----------
    descriptor : Descriptor
        For the layout of the blocks; computes them where a geometry has none.
    dtype : torch.dtype
        Of the result.
    """

    descriptor: Descriptor
    dtype: torch.dtype = torch.float64
    _first: WeakKeyDictionary[Geometry, Index] = field(default_factory=WeakKeyDictionary)

    def __call__(self, geometry: Geometry, components: Index) -> tuple[NDArray[np.int32], Tensor]:
        """v of some force components 3 i + a.

        Returns
        -------
        near : (n_near,) int32
            Atoms whose functions change at all.
        v : (n_components, n_near, width) float
        """
        atoms, slots = np.unique(components // 3, return_inverse=True)
        types, pairs = geometry.types, geometry.pairs
        slot = np.full(len(types), -1)
        slot[atoms] = np.arange(len(atoms))
        touching = np.flatnonzero((slot[pairs.centers] >= 0) | (slot[pairs.neighbors] >= 0))
        centers, neighbors = pairs.centers[touching], pairs.neighbors[touching]
        near, owners = np.unique(centers, return_inverse=True)
        result = torch.zeros(len(atoms) * len(near), 3, self.descriptor.width, dtype=self.dtype)
        blocks, first = self._blocks(geometry)
        elements = self.descriptor.elements
        for x, y in np.ndindex(len(elements), len(elements)):
            mine = np.flatnonzero((types[centers] == x) & (types[neighbors] == y))
            columns = self.descriptor.sensitive(elements[x], elements[y])
            if not len(mine) or not len(columns):
                continue
            values = blocks[first[touching[mine]][:, None] + np.arange(3 * len(columns))]
            rows, signed = [], []
            for ends, sign in ((centers[mine], 1), (neighbors[mine], -1)):
                chosen = np.flatnonzero(slot[ends] >= 0)
                rows.append(slot[ends[chosen]] * len(near) + owners[mine[chosen]])
                signed.append(values[chosen] if sign > 0 else -values[chosen])
            targets, places = np.unique(np.concatenate(rows), return_inverse=True)
            total = torch.zeros(len(targets), 3 * len(columns), dtype=self.dtype)
            moved = torch.from_numpy(np.concatenate(signed)).to(self.dtype)
            total.index_add_(0, torch.from_numpy(places), moved)
            where = (
                torch.from_numpy(targets)[:, None, None],
                torch.arange(3)[:, None],
                torch.from_numpy(columns),
            )
            result[where] += total.view(len(targets), 3, -1)
        by_atom = result.view(len(atoms), len(near), 3, self.descriptor.width)
        return near, by_atom[torch.from_numpy(slots), :, torch.from_numpy(components % 3)]

    def strained(self, geometry: Geometry, volume: float, numbers: Index) -> tuple[NDArray[np.int32], Tensor]:
        """v of some stress components, `numbers` in Voigt's order; as for force components."""
        still = np.zeros((len(geometry.types), 3))
        changes = [
            descriptor_changes(self.descriptor, geometry, gather(geometry.pairs, still, virial / volume))
            for virial in np.eye(6)[numbers]
        ]
        near = np.arange(len(geometry.types), dtype=np.int32)
        return near, torch.from_numpy(np.stack(changes)).to(self.dtype)

    def _blocks(self, geometry: Geometry) -> tuple[NDArray[np.floating], Index]:
        """All blocks of a structure and where each begins."""
        if geometry not in self._first:
            sizes = self.descriptor.block_sizes(geometry.types, geometry.pairs)
            self._first[geometry] = np.concatenate([[0], np.cumsum(sizes)])
        blocks = geometry.blocks
        if blocks is None:
            blocks = np.asarray(self.descriptor.jacobian(geometry.types, geometry.pairs, np.float32))
        return blocks, self._first[geometry]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer for all atoms of an element after the forward pass.

    Parameters
    ----------
    weight : (n_in, n_out) float
    mask : (n_atoms, n_in) float or None
    values : (n_atoms, n_in) float
        a, masked.
    first, second : (n_atoms, n_out) float
        f'(x) and f''(x).
    """

    weight: Tensor
    mask: Tensor | None
    values: Tensor
    first: Tensor
    second: Tensor

    def take(self, atoms: Tensor, n_atoms: int) -> Layer:
        """The same for some of the `n_atoms`; each may be there several times, once for every mask."""
        copies = len(self.values) // max(n_atoms, 1)
        rows = (torch.arange(copies)[:, None] * n_atoms + atoms).reshape(-1)
        mask = None if self.mask is None else self.mask[rows]
        return Layer(self.weight, mask, self.values[rows], self.first[rows], self.second[rows])

    def masked(self, values: Tensor) -> Tensor:
        """`values` of this layer's inputs, (..., n_atoms, n_in), times the mask."""
        return values if self.mask is None else values * self.mask


class Observers(Protocol):
    """What predicts observations of a structure with their derivatives; :class:`Observer` is one."""

    @property
    def parameters(self) -> Parameters:
        """Shape of the vector of all weights."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the derivatives."""

    def __call__(
        self, vector: Tensor, sample: Sample, components: Index, epoch: int, energy: bool = True, /
    ) -> tuple[Tensor, Callable[[], Tensor]]:
        """As :meth:`Observer.__call__`."""


@dataclass(frozen=True, eq=False)
class Observer:
    """Energies, forces and stresses of structures, with derivatives.

    Parameters
    ----------
    parameters : Parameters
    inputs : mapping of element to Affine
    dropout : Dropout
    responses : Responses
    """

    parameters: Parameters
    inputs: Mapping[str, Affine]
    dropout: Dropout
    responses: Responses

    @property
    def dtype(self) -> torch.dtype:
        """Of the derivatives."""
        return self.responses.dtype

    def __call__(
        self, vector: Tensor, sample: Sample, components: Index, epoch: int, energy: bool = True
    ) -> tuple[Tensor, Callable[[], Tensor]]:
        """Energy and some force components 3 i + a or stress components STRESS - k of one structure,
        normalized.

        Parameters
        ----------
        vector : (n_weights,) float
        components : (n_components,) int64
        epoch : int
            Which dropout masks act.
        energy : bool
            Whether the energy is wanted; without it a few force components need the networks of a few atoms.

        Returns
        -------
        values : (1 + n_components,) float
            The energy first, 0 if it is not wanted.
        rows : callable
            () -> (1 + n_components, n_weights) float, their derivatives: computed when called.
        """
        masks = self.dropout.masks(self.parameters, epoch, [sample.source], vector)
        values = vector.new_zeros(1 + len(components))
        parts: list[tuple[int | Tensor, slice, Callable[[], Tensor]]] = []
        views = self.parameters.views(vector)
        places, whole = self.parameters.blocks, []
        if energy or len(components) > ROWS:
            whole = [
                propagate(network, z, masks.get(element))
                for (element, network), z in zip(views.items(), sample.inputs, strict=True)
            ]
        if energy:
            for place, (layers, outputs), z in zip(places, whole, sample.inputs, strict=True):
                values[0] += outputs.sum() / max(len(outputs) // max(len(z), 1), 1)
                parts.append((0, place, partial(_energy_row, layers, len(z))))
        for piece in _pieces(components):
            near, changes = self._changes(sample, components[piece])
            mine = torch.from_numpy(1 + piece)
            for number, (element, network) in enumerate(views.items()):
                atoms, z = sample.rows[number].numpy(), sample.inputs[number]
                _, here, there = np.intersect1d(near, atoms, True, True)
                matrix = torch.as_tensor(self.inputs[element].matrix, dtype=vector.dtype)
                tangents = changes[:, torch.from_numpy(here), : len(matrix)] @ matrix
                some = torch.from_numpy(there)
                if whole:
                    layers = [layer.take(some, len(atoms)) for layer in whole[number][0]]
                else:
                    layers, _ = propagate(network, z[some], masks.get(element))
                value, rows = _tangents(layers, tangents)
                values[mine] += value
                parts.append((mine, places[number], rows))
        return values, partial(_assembled, vector.new_zeros(len(values), len(vector)), parts)

    def _changes(self, sample: Sample, components: Index) -> tuple[NDArray[np.int32], Tensor]:
        """Atoms whose functions change, and v, for force components or for stress components."""
        geometry = sample.geometry
        assert geometry is not None
        if components[0] >= 0:
            near, changes = self.responses(geometry, components)
            rows, unit = components, 1.0
        else:
            near, changes = self.responses.strained(geometry, sample.volume, STRESS - components)
            rows, unit = 3 * sample.n_atoms + STRESS - components, sample.volume
        if geometry.charges is None:
            return near, changes
        atoms = np.arange(sample.n_atoms, dtype=np.int32)  # the charges of all change
        all_changes = changes.new_zeros(len(components), len(atoms), changes.shape[2] + 1)
        all_changes[:, torch.from_numpy(near), :-1] = changes
        columns = torch.from_numpy(geometry.charges.columns)
        charges = torch.from_numpy(geometry.charges.matrix[rows] / unit).to(changes.dtype)
        all_changes[:, torch.from_numpy(atoms), columns] = charges
        return atoms, all_changes


def propagate(network: TensorNetwork, z: Tensor, masks: MaskSet | None) -> tuple[list[Layer], Tensor]:
    """Layers of one element's network and its outputs, (copies n_atoms, 1): atoms once for every mask."""
    copies = 1
    if masks is not None:
        owners = torch.zeros(len(z), dtype=torch.int64)
        index = mask_rows(masks, owners, 1)
        copies = len(index) // max(len(z), 1)
    values, layers = z.repeat(copies, 1), []
    columns = zip(network.weights, network.biases, network.activations, strict=True)
    for number, (weight, bias, letter) in enumerate(columns):
        found = None if masks is None else masks[number]
        mask = None if found is None else found[index]
        values = values if mask is None else values * mask
        n_in = weight.shape[0] if network.normalize_nodes else 1
        before = torch.addmm(bias, values, weight) / n_in
        after = activate(letter, before)
        first, second = derivative(letter, before, after), curvature(letter, before, after)
        layers.append(Layer(weight, mask, values, first / n_in, second / n_in**2))
        values = after
    return layers, values


def _assembled(rows: Tensor, parts: Sequence[tuple[int | Tensor, slice, Callable[[], Tensor]]]) -> Tensor:
    """Rows of all observations from those of each network."""
    for mine, place, compute in parts:
        rows[mine, place] = compute()
    return rows


def _pieces(components: Index) -> list[Index]:
    """Places of the force components, some at a time, and of the stress components."""
    forces, stresses = np.flatnonzero(components >= 0), np.flatnonzero(components < 0)
    pieces = [forces[first : first + ROWS] for first in range(0, len(forces), ROWS)]
    return [*pieces, stresses] if len(stresses) else pieces


def _energy_row(layers: Sequence[Layer], n_atoms: int) -> Tensor:
    """Derivatives of the sum of atomic energies, one network, in the order of its weights file."""
    copies = len(layers[0].values) // max(n_atoms, 1)
    parts, slope = [], layers[-1].first  # dy/dx, (n_atoms, n_out)
    for number in reversed(range(len(layers))):
        layer = layers[number]
        parts += [slope.sum(dim=0), (layer.values.T @ slope).reshape(-1)]
        if number:
            slope = layers[number - 1].first * layer.masked(slope @ layer.weight.T)
    return torch.cat(parts[::-1]) / max(copies, 1)


def _tangents(layers: Sequence[Layer], tangents: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
    """Sums over atoms of y' for z' = `tangents`, (n_components, n_atoms, n_inputs), and a function that
    computes their derivatives."""
    copies = len(layers[0].values) // max(tangents.shape[1], 1)
    inner, before = [], []  # a' and x' of each layer
    values = tangents.repeat(1, copies, 1)
    for layer in layers:
        values = layer.masked(values)
        inner.append(values)
        before.append(values @ layer.weight)  # (n_components, n_atoms, n_out)
        values = layer.first * before[-1]
    return values.sum(dim=(1, 2)) / max(copies, 1), partial(_tangent_rows, layers, inner, before, copies)


def _tangent_rows(
    layers: Sequence[Layer], inner: Sequence[Tensor], before: Sequence[Tensor], copies: int
) -> Tensor:
    """Derivatives of the sums of :func:`_tangents`, (n_components, n_weights of the network)."""
    slope, change = layers[-1].first, layers[-1].second * before[-1]  # d and d'
    parts = []
    for number in reversed(range(len(layers))):
        layer = layers[number]
        weight_rows = inner[number].transpose(1, 2) @ slope + layer.values.T @ change
        parts += [change.sum(dim=1), weight_rows.flatten(1)]
        if number:
            lower, up = layers[number - 1], layer.masked(slope @ layer.weight.T)
            change = (
                lower.first * layer.masked(change @ layer.weight.T) + lower.second * before[number - 1] * up
            )
            slope = lower.first * up
    return torch.cat(parts[::-1], dim=1) / max(copies, 1)
