"""Symmetry functions and their derivatives against the numbers n2p2 itself printed (17 digits)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.descriptors import formulas
from bnnp.descriptors.acsf import TorchDescriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.neighbors import NeighborList, find_neighbors

Array = NDArray[np.float64]
CASES = [
    "H2O_RPBE-D3",
    "sfmix/compact_types_20-25",
    "sfmix/cutoff_type_1_alpha_0.0",
    "sfmix/cutoff_type_2_alpha_0.0",
    "sfmix/cutoff_type_4_alpha_0.3",
    "sfmix/cutoff_type_6_alpha_0.0",
    "sfmix/cutoff_type_6_alpha_0.3",
    "sfmix/cutoff_type_8_alpha_0.3",
]


def without_atoms_in_line(term: Callable) -> Callable:
    """The term as n2p2 computes it: triples whose cosine rounds to 1 or -1 are left out."""

    def masked(f: SymmetryFunction, t: formulas.Triples, fc: Cutoff) -> torch.Tensor:
        return torch.where((t.ij * t.ik).sum(1).abs() / (t.r_ij * t.r_ik) < 1 - 1e-15, term(f, t, fc), 0.0)

    return masked


@pytest.mark.parametrize("case", CASES)
def test_equals_n2p2(case: str, reference_case: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """../shared/reference/*/ref_G_unscaled.txt and ref_dGdr.txt, printed by n2p2 itself with 17 digits.

    POLY4 cancels in n2p2 near the cutoff: 1e-15 absolute there, in functions of 1e-5.
    """
    for type_ in (21, 22, 24, 25):
        monkeypatch.setitem(formulas.ANGULAR, type_, without_atoms_in_line(formulas.ANGULAR[type_]))
    reference = reference_case(case)
    model = TorchDescriptor(reference.elements, reference.functions, reference.cutoff)
    for s, (cell, positions, symbols) in enumerate(reference.structures):
        if (s, 0) not in reference.values:
            continue
        types = np.array([reference.elements.index(symbol) for symbol in symbols])
        numbers = np.array([atomic_numbers[symbol] for symbol in symbols])
        pairs = find_neighbors(positions, cell, reference.radius, numbers)
        G = model.values(types, pairs).numpy()
        for atom, row in enumerate(G):
            expected = reference.values[s, atom]
            np.testing.assert_allclose(row[: len(expected)], expected, rtol=1e-12, atol=2e-15)
            assert not row[len(expected) :].any()
        check_derivatives(model, types, pairs, symbols, reference.derivatives, s)


def check_derivatives(
    model: TorchDescriptor,
    types: NDArray[np.int64],
    pairs: NeighborList,
    symbols: list[str],
    derivatives: dict[tuple[int, int], Array],
    s: int,
) -> None:
    """dG_i/dr_j summed over the images of j, and dG_i/dr_i, against the rows of ref_dGdr.txt."""
    for i in [atom for structure, atom in derivatives if structure == s]:
        own = slice(int(pairs.first[i]), int(pairs.first[i + 1]))
        alone = NeighborList(
            np.array([0, own.stop - own.start]),
            pairs.centers[own] * 0,
            pairs.neighbors[own],
            pairs.vectors[own],
        )
        block = single_center(model, int(types[i]), types, alone)  # [pair, function, xyz]
        gradient = np.zeros((len(symbols), model.width, 3))
        np.add.at(gradient, alone.neighbors, block)
        gradient[i] -= block.sum(axis=0)
        expected = np.zeros_like(gradient)
        m, j = derivatives[s, i][:, 0].astype(int) - 1, derivatives[s, i][:, 1].astype(int)
        expected[j, m] = derivatives[s, i][:, 2:]
        np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


def single_center(model: TorchDescriptor, type_: int, types: NDArray[np.int64], pairs: NeighborList) -> Array:
    """dG/dD of one atom, (n_pairs, width, 3), by one reverse sweep a function."""
    D = torch.tensor(pairs.vectors, requires_grad=True)
    neighbor_types = torch.tensor(types)[torch.tensor(pairs.neighbors, dtype=torch.int64)]
    G = model.evaluate(torch.tensor([type_]), torch.tensor(pairs.first), neighbor_types, D)
    rows = [torch.autograd.grad(G[0, m], D, retain_graph=True)[0] for m in range(model.width)]
    return torch.stack(rows, dim=1).numpy()
