r"""Atom-centered symmetry functions, the readable reference in torch.

.. math:: G_i = \sum_{j} w_j\, g(r_{ij}) \quad\text{or}\quad
          G_i = \sum_{j<k} w_j w_k\, g(r_{ij}, r_{ik}, r_{jk}, \theta)

with the terms g of :mod:`bnnp.descriptors.formulas`; w = 1 for neighbors of the function's elements and 0
for others, or the atomic number for the weighted types. Everything is differentiable twice by autograd, in
either precision and on any device. :class:`TorchDescriptor` has the methods of the compiled
:class:`bnnp.descriptors.compiled.Descriptor`, which the tests hold equal to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from ase.data import atomic_numbers
from torch import Tensor

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.formulas import ANGULAR, RADIAL, Triples, norm
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.neighbors import NeighborList

TRIPLES_AT_ONCE = 1_000_000  # bounds the memory of the methods that work through the centers in blocks


def symmetry_functions(
    functions: Sequence[SymmetryFunction], cutoff: Cutoff, first: Tensor, numbers: Tensor, vectors: Tensor
) -> Tensor:
    """Symmetry functions of atoms of ONE element.

    Parameters
    ----------
    functions : sequence of SymmetryFunction
        Those of the element, which gives the order of the columns.
    cutoff : Cutoff
    first : (n_centers + 1,) int64
        The neighbors of center i are the rows ``first[i]`` to ``first[i + 1]``.
    numbers : (n_pairs,) int64
        Atomic number of each neighbor.
    vectors : (n_pairs, 3) float, length
        From the center to each neighbor.

    Returns
    -------
    (n_centers, n_functions) float
        Unscaled values.
    """
    n_centers = len(first) - 1
    centers = torch.repeat_interleave(first.diff())  # [pair]
    r = norm(vectors)
    columns: dict[SymmetryFunction, Tensor] = {}
    for group in _groups(functions):
        r_max = max(f.r_c for f in group)
        chosen = ((r < r_max) & _is_neighbor(group[0], numbers)).nonzero().squeeze(1)
        if group[0].is_angular:
            terms, owner = _angular_terms(group, cutoff, centers[chosen], numbers[chosen], vectors[chosen])
        else:
            weight = numbers[chosen] if group[0].is_weighted else 1.0
            terms = [weight * RADIAL[f.type](f, r[chosen], cutoff) for f in group]
            owner = centers[chosen]
        for f, term in zip(group, terms, strict=True):
            columns[f] = vectors.new_zeros(n_centers).index_add(0, owner, term)
    return torch.stack([columns[f] for f in functions], dim=1) if columns else vectors.new_zeros(n_centers, 0)


def _groups(functions: Sequence[SymmetryFunction]) -> list[list[SymmetryFunction]]:
    """Functions that sum over the same pairs or triples."""
    groups: dict[Any, list[SymmetryFunction]] = {}
    for f in functions:
        groups.setdefault((f.is_angular, f.neighbors), []).append(f)
    return list(groups.values())


def _is_neighbor(f: SymmetryFunction, numbers: Tensor) -> Tensor:
    """Mask of the neighbors whose elements the function sums over."""
    if f.is_weighted:
        return torch.ones_like(numbers, dtype=torch.bool)
    return torch.isin(numbers, numbers.new_tensor([atomic_numbers[element] for element in f.neighbors]))


def _angular_terms(
    group: list[SymmetryFunction], cutoff: Cutoff, centers: Tensor, numbers: Tensor, vectors: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Terms of every function of the group, (n_triples,) each, and the center of each triple."""
    j, k = _couples(centers)
    weight: Tensor | float = 1.0
    if group[0].is_weighted:
        weight = numbers[j] * numbers[k]
    else:
        e1, e2 = (atomic_numbers[element] for element in group[0].neighbors)
        wanted = ((numbers[j] == e1) & (numbers[k] == e2)) | ((numbers[j] == e2) & (numbers[k] == e1))
        j, k = j[wanted], k[wanted]
    triples = Triples(vectors[j], vectors[k])
    return [weight * ANGULAR[f.type](f, triples, cutoff) for f in group], centers[j]


def _couples(centers: Tensor) -> tuple[Tensor, Tensor]:
    """All j < k with the same center, from the sorted center of each pair."""
    pair = torch.arange(len(centers), device=centers.device)
    n_partners = torch.searchsorted(centers, centers, right=True) - 1 - pair  # those behind j
    j = torch.repeat_interleave(pair, n_partners)
    before = n_partners.cumsum(0) - n_partners
    k = j + 1 + torch.arange(len(j), device=centers.device) - before[j]
    return j, k


class TorchDescriptor:
    """Symmetry functions of whole structures with the methods of the compiled ``Descriptor``.

    Parameters
    ----------
    elements : tuple of str
        By rising atomic number; `types` below are indices into it.
    functions : mapping of str to tuple of SymmetryFunction
        Functions of each central element.
    cutoff : Cutoff
    dtype, device :
        Of the calculation and of the results, tensors throughout.
    """

    def __init__(
        self,
        elements: Sequence[str],
        functions: Mapping[str, Sequence[SymmetryFunction]],
        cutoff: Cutoff,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
    ) -> None:
        self.elements = tuple(elements)
        self.functions = tuple(tuple(functions.get(element, ())) for element in self.elements)
        self.cutoff = cutoff
        self.dtype = dtype
        self.device = torch.device(device)
        self.n_functions = tuple(len(group) for group in self.functions)
        self.width = max(self.n_functions, default=0)
        self._numbers = torch.tensor(
            [atomic_numbers[element] for element in self.elements], device=self.device
        )

    def sensitive(self, center: str, neighbor: str) -> np.ndarray:
        """Indices of the functions of element `center` that depend on neighbors of element `neighbor`."""
        group = self.functions[self.elements.index(center)]
        return np.array(
            [m for m, f in enumerate(group) if f.is_weighted or neighbor in f.neighbors], dtype=int
        )

    def evaluate(
        self, center_types: Tensor, first: Tensor, neighbor_types: Tensor, vectors: Tensor
    ) -> Tensor:
        """Values with their graph, for autograd.

        Parameters
        ----------
        center_types : (n_centers,) int64
        first : (n_centers + 1,) int64
        neighbor_types : (n_pairs,) int64
        vectors : (n_pairs, 3) float, length

        Returns
        -------
        (n_centers, width) float
            Padded with zeros on the right.
        """
        G = vectors.new_zeros(len(center_types), self.width)
        numbers = self._numbers[neighbor_types]
        for type_, functions in enumerate(self.functions):
            atoms = (center_types == type_).nonzero().squeeze(1)
            counts = first.diff()
            mine = torch.repeat_interleave(center_types == type_, counts)  # [pair]
            own_first = torch.cat([first.new_zeros(1), counts[atoms].cumsum(0)])
            values = symmetry_functions(functions, self.cutoff, own_first, numbers[mine], vectors[mine])
            G = G.index_put((atoms,), torch.nn.functional.pad(values, (0, self.width - len(functions))))
        return G

    def values(self, types: Any, pairs: NeighborList) -> Tensor:
        """Symmetry functions, (n_atoms, width), padded with zeros."""
        with torch.no_grad():
            return torch.cat([block.compute() for block in self._blocks(types, pairs)])

    def vjp(self, types: Any, pairs: NeighborList, dEdG: Any) -> Tensor:
        """dE/dD, (n_pairs, 3), from dE/dG, (n_atoms, width), with the sweep of autograd."""
        dEdG = self._tensor(dEdG)
        blocks = self._blocks(types, pairs)
        return torch.cat([_gradient(block.compute(), block.vectors, dEdG[block.atoms]) for block in blocks])

    def jvp(self, types: Any, pairs: NeighborList, dD: Any) -> Tensor:
        """dG, (n_atoms, width), from changes dD of the vectors, (n_pairs, 3)."""
        dD = self._tensor(dD)
        rows = []
        for block in self._blocks(types, pairs):
            G = block.compute()
            dEdG = torch.zeros_like(G, requires_grad=True)  # dE/dD is linear in it
            dEdD = _gradient(G, block.vectors, dEdG)
            rows.append(_gradient(dEdD, dEdG, dD[block.pairs]))
        return torch.cat(rows)

    def jacobian(self, types: Any, pairs: NeighborList, dtype: torch.dtype = torch.float32) -> Tensor:
        """dG/dD, flat: for each pair a block (3, n_sensitive(center, neighbor)) in C order."""
        types = self._tensor(types, torch.int64)
        centers, neighbors = (self._tensor(atoms, torch.int64) for atoms in (pairs.centers, pairs.neighbors))
        sensitive = self._sensitive()[types[centers], types[neighbors]]  # [pair, function]
        unit = torch.eye(self.width, dtype=self.dtype, device=self.device)
        rows = []
        for block in self._blocks(types, pairs):
            G, D = block.compute(), block.vectors
            columns = [_gradient(G, D, row.expand_as(G), keep=True) for row in unit]
            full = torch.stack(columns, dim=2)  # [pair, xyz, function]
            rows.append(full[sensitive[block.pairs][:, None, :].expand_as(full)])
        return torch.cat(rows).to(dtype)

    def _sensitive(self) -> Tensor:
        """Mask [center type, neighbor type, function] of :meth:`sensitive`."""
        n_elements = len(self.elements)
        mask = torch.zeros(n_elements, n_elements, self.width, dtype=torch.bool, device=self.device)
        for x, center in enumerate(self.elements):
            for y, neighbor in enumerate(self.elements):
                mask[x, y, self.sensitive(center, neighbor)] = True
        return mask

    def _blocks(self, types: Any, pairs: NeighborList) -> Iterator[_CenterBlock]:
        """Consecutive centers with so few triples that they fit in memory."""
        types, first = self._tensor(types, torch.int64), self._tensor(pairs.first, torch.int64)
        neighbor_types = types[self._tensor(pairs.neighbors, torch.int64)]
        vectors = self._tensor(pairs.vectors)
        counts = first.diff()
        number = (counts * (counts - 1) // 2).cumsum(0) // TRIPLES_AT_ONCE
        edges = [0, *(number.diff().nonzero().flatten() + 1).tolist(), len(counts)]
        for a, b in itertools.pairwise(edges):
            own = slice(int(first[a]), int(first[b]))
            D = vectors[own].clone().requires_grad_()
            compute = partial(self.evaluate, types[a:b], first[a : b + 1] - first[a], neighbor_types[own], D)
            yield _CenterBlock(compute, D, slice(a, b), own)

    def _tensor(self, array: Any, dtype: torch.dtype | None = None) -> Tensor:
        tensor: Tensor = array if isinstance(array, Tensor) else torch.tensor(np.asarray(array))
        return tensor.to(device=self.device, dtype=dtype or self.dtype)


@dataclass(frozen=True, eq=False)
class _CenterBlock:
    """Consecutive centers: what computes their values, the vectors it starts from, their atoms and pairs."""

    compute: Callable[[], Tensor]
    vectors: Tensor
    atoms: slice
    pairs: slice


def _gradient(outputs: Tensor, inputs: Tensor, weights: Tensor, keep: bool = False) -> Tensor:
    """Vector-Jacobian product; zeros where nothing depends on the inputs (no neighbors, hard cutoff)."""
    if not outputs.requires_grad:
        return torch.zeros_like(inputs)
    twice = weights.requires_grad
    gradient: Tensor = torch.autograd.grad(
        outputs, inputs, weights, create_graph=twice, retain_graph=keep or twice, materialize_grads=True
    )[0]
    return gradient
