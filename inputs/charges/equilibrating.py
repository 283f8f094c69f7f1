r"""A model of atoms whose charges equilibrate and change their bonds, as a calculator of ASE: exact labels.

.. math::
    E = \min_Q \Big[ \sum_i \chi_i Q_i + \frac{1}{2} J_i Q_i^2 + \frac{1}{2} \sum_{ij} A_{ij} Q_i Q_j \Big]
        + \sum_{i < j} D_{ij} [1 + c_{ij} (Q_i + Q_j - s_{ij})] (x_{ij}^2 - 2 x_{ij}),
    \quad x_{ij} = e^{-a_{ij} (r_{ij} - R_{ij})}

with the total charge kept in the minimum, the interaction A of Gaussian charges (T. W. Ko, J. A. Finkler, S.
Goedecker, J. Behler, Nat. Commun. 12, 398 (2021), equations 3 to 5), and a Morse potential for each bond,
whose depth depends on the charges. Without periods. Energies are in eV, lengths in Angstrom. Forces come by
automatic differentiation; nothing here is part of bnnp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import torch
from ase.calculators.calculator import Calculator, all_changes
from torch import Tensor

COULOMB = 14.399645  # eV Angstrom / e^2


@dataclass(frozen=True)
class Element:
    """Electronegativity (eV/e), hardness (eV/e^2) and width of the charge (Angstrom)."""

    electronegativity: float
    hardness: float
    width: float


@dataclass(frozen=True)
class Bond:
    """Depth D (eV) at the sum s of both charges (e), its change c (1/e), a (1/Angstrom), length R
    (Angstrom)."""

    depth: float
    a: float
    length: float
    change: float = 0.0
    sum: float = 0.0


class Equilibrating(Calculator):  # type: ignore[misc]
    """Energy, forces and charges of a molecule.

    Parameters
    ----------
    elements : mapping of symbol to Element
    bonds : mapping of two symbols, joined in the order of the alphabet, to Bond
        Others have none.
    charge : float, e
        Of the molecule.
    """

    implemented_properties = ("energy", "forces", "charges")

    def __init__(
        self, elements: Mapping[str, Element], bonds: Mapping[str, Bond], charge: float = 0.0
    ) -> None:
        super().__init__()
        self.elements, self.bonds, self.charge = elements, bonds, charge

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """ASE's interface."""
        super().calculate(atoms, properties, system_changes)
        positions = torch.tensor(atoms.positions, requires_grad=True)
        energy, charges = self.energy(positions, list(atoms.symbols))
        (gradient,) = torch.autograd.grad(energy, positions)
        charges = charges.detach().numpy()
        self.results = {"energy": energy.item(), "forces": -gradient.numpy(), "charges": charges}

    def energy(self, positions: Tensor, symbols: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Energy and charges of the atoms at `positions`, (n_atoms, 3)."""
        n, own = len(symbols), [self.elements[symbol] for symbol in symbols]
        chi, J, sigma = (
            positions.new_tensor([getattr(each, name) for each in own])
            for name in ("electronegativity", "hardness", "width")
        )
        apart = ~torch.eye(n, dtype=torch.bool)
        squares = ((positions[:, None] - positions) ** 2).sum(dim=-1)
        r = torch.where(apart, squares, 1.0).sqrt()
        gamma = (sigma[:, None] ** 2 + sigma**2).sqrt()
        A = torch.where(apart, torch.erf(r / (sqrt(2.0) * gamma)) / r, 0.0)
        A = COULOMB * (A + torch.diag(1.0 / (sigma * sqrt(pi)))) + torch.diag(J)
        bordered = positions.new_ones(n + 1, n + 1)
        bordered[:n, :n], bordered[n, n] = A, 0.0
        Q = torch.linalg.solve(bordered, torch.cat([-chi, positions.new_tensor([self.charge])]))[:n]
        none = Bond(0.0, 1.0, 0.0)
        pairs = [[self.bonds.get("".join(sorted((x, y))), none) for y in symbols] for x in symbols]
        D, a, R, c, s = (
            positions.new_tensor([[getattr(each, name) for each in row] for row in pairs])
            for name in ("depth", "a", "length", "change", "sum")
        )
        x = torch.where(apart, torch.exp(-a * (r - R)), 0.0)
        bonds = D * (1.0 + c * (Q[:, None] + Q - s)) * (x**2 - 2.0 * x)
        return chi @ Q + 0.5 * Q @ A @ Q + 0.5 * bonds.sum(), Q
