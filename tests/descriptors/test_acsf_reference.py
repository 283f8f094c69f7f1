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


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_equals_n2p2(case: str, reference_case: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """../shared/reference/*/ref_G_unscaled.txt and ref_dGdr.txt.

    n2p2's POLY4, with coefficients of 540, cancels near the cutoff: some 1e-14 absolute there, which shows in
    functions that are tiny. Compact functions of atoms exactly in line (images in a small cell) are dropped
    or kept by n2p2 as its cosine happens to round.
    """
    rounding = 1e-13 if case.endswith("20-25") else 2e-15
    reference = reference_case(case)
    model = TorchDescriptor(reference.elements, reference.functions, reference.cutoff)
    for s, (cell, positions, symbols) in enumerate(reference.structures):
        if (s, 0) not in reference.values:
            continue
        types = np.array([reference.elements.index(symbol) for symbol in symbols])
        numbers = np.array([atomic_numbers[symbol] for symbol in symbols])
        pairs = find_neighbors(positions, cell, reference.radius, numbers)
        G = model.values(types, pairs).numpy()
        with monkeypatch.context() as patch:
            for type_ in (21, 22, 24, 25):
                patch.setitem(formulas.ANGULAR, type_, without_atoms_in_line(formulas.ANGULAR[type_]))
            least = model.values(types, pairs).numpy()
        settled = np.isclose(least, G, rtol=1e-13, atol=0)
        for atom, row in enumerate(G):
            expected = reference.values[s, atom]
            n, same = len(expected), settled[atom, : len(expected)]
            np.testing.assert_allclose(row[:n][same], expected[same], rtol=1e-12, atol=rounding)
            assert ((expected <= row[:n]) & (expected >= least[atom, :n]))[~same].all()
            assert not row[n:].any()
        atoms = [atom for structure, atom in sorted(reference.derivatives) if structure == s]
        if not atoms:
            continue
        for i, gradient in zip(atoms, position_gradients(model, types, pairs, atoms), strict=True):
            expected = dense(reference.derivatives[s, i], model.width, len(symbols))
            difference = (gradient - expected)[settled[i]]
            assert np.abs(difference).max() < 1e-12 * np.abs(expected).max()


def without_atoms_in_line(term: Callable) -> Callable:
    """The term for all triples but those whose cosine is 1 or -1 to rounding."""

    def masked(f: SymmetryFunction, t: formulas.Triples, fc: Cutoff) -> torch.Tensor:
        return torch.where(t.cos_theta.abs() < 1 - 1e-14, term(f, t, fc), 0.0)

    return masked


def position_gradients(
    model: TorchDescriptor, types: NDArray[np.int64], pairs: NeighborList, atoms: list[int]
) -> Array:
    """dG_i/dr_j summed over the images of j, and dG_i/dr_i: (i of atoms, function, j, xyz)."""
    own = np.concatenate([np.arange(pairs.first[i], pairs.first[i + 1]) for i in atoms])
    first = np.concatenate([[0], np.cumsum(np.diff(pairs.first)[atoms])])
    center, neighbor = np.repeat(np.arange(len(atoms)), np.diff(first)), pairs.neighbors[own]
    D = torch.tensor(pairs.vectors[own], requires_grad=True)
    G = model.evaluate(*map(torch.tensor, (types[atoms], first, types[neighbor])), D)
    gradient = np.zeros((len(atoms), model.width, len(types), 3))
    for m in range(model.width):
        block = torch.autograd.grad(G[:, m].sum(), D, retain_graph=True)[0].numpy()
        np.add.at(gradient, (center, m, neighbor), block)
        np.subtract.at(gradient, (center, m, np.array(atoms)[center]), block)
    return gradient


def dense(rows: Array, width: int, n_atoms: int) -> Array:
    """(function, j, xyz) from the rows (function from 1, j, dx, dy, dz) of ref_dGdr.txt."""
    gradient = np.zeros((width, n_atoms, 3))
    gradient[rows[:, 0].astype(int) - 1, rows[:, 1].astype(int)] = rows[:, 2:]
    return gradient
