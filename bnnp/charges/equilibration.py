r"""Equations of the charges of a structure: equilibration, or the restored total; derivatives through them.

In the fourth generation the charges minimize the energy of charge equilibration,

.. math::
    \sum_j (A_{ij} + \delta_{ij} J_i) Q_j + \lambda = -\chi_i, \quad \sum_j Q_j = Q_\mathrm{tot}

with the electronegativities chi and hardnesses J. A function E of the charges changes with chi and A by

.. math::
    dE = \sum_i y_i \left( d\chi_i + \sum_j dA_{ij} Q_j \right), \quad
    (A + J) y + \mu = -\frac{\partial E}{\partial Q}, \quad \sum_i y_i = 0,

one more solution with the same matrix (A. K. Rappe and W. A. Goddard, J. Phys. Chem. 95, 3358 (1991); with
the adjoint M. Gubler et al., J. Chem. Theory Comput. 20, 7264 (2024)).

In the third, networks give the charges q, and all get the same share of what is missing to the total,

.. math:: Q_i + \lambda = q_i, \quad \sum_i Q_i = Q_\mathrm{tot},

which are the equations above without A, with J = 1 and -chi = q (networks of charges: T. Morawietz, V.
Sharma, J. Behler, J. Chem. Phys. 136, 064103 (2012)). RuNNer restores the total only with
``enforce_totcharge 1``, and multiplies positive and negative charges by a number each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]


class NotPositive(ValueError):
    """The energy has no minimum: charges could grow without end.

    `atoms` are the indices, from 0, of those that would take the largest charges, at most four.
    """

    def __init__(self, atoms: list[int]) -> None:
        super().__init__("the matrix of charge equilibration is not positive definite")
        self.atoms = atoms


class ChargeEquations(Protocol):
    """The equations of one structure; their matrix is symmetric."""

    @property
    def n_atoms(self) -> int:
        """Number of charges."""

    @property
    def coupling(self) -> float:
        """Factor of A in the matrix."""

    def solve(self, right: Array, total: float, start: Array | None = None) -> Array:
        """The charges with this right side that add up to `total`; both (n_atoms,) or (n_atoms, m).

        `start` is what an iteration starts from; the result does not depend on it.
        """


@dataclass(frozen=True)
class Restoration:
    """The equations of the third generation: a unit matrix."""

    n_atoms: int
    coupling: float = 0.0

    def solve(self, right: Array, total: float, start: Array | None = None) -> Array:
        """`right` with the same change of all numbers (of a column), so that they add up to `total`."""
        return np.asarray(right + (total - right.sum(axis=0)) / self.n_atoms)


class Equilibration:
    """The equations of the fourth generation, by the factorized matrix A + J.

    Parameters
    ----------
    A : (n_atoms, n_atoms) float64
    J : (n_atoms,) float64
        In the unit of A, which is that of `right` over charge.

    Raises
    ------
    NotPositive
        It is not positive definite for charges that add up to zero.
    """

    coupling = 1.0

    def __init__(self, A: Array, J: Array) -> None:
        diagonal = np.diagonal(A) + J
        # A constant for all elements changes lambda only, and makes the matrix definite where it has to be.
        shifted = A + np.abs(diagonal).max()
        shifted.flat[:: len(A) + 1] += J
        self._factor, info = torch.linalg.cholesky_ex(torch.from_numpy(shifted))
        if info.item():
            raise NotPositive(_unbound(A + np.diag(J)))
        ones = torch.ones(len(A), 1, dtype=torch.float64)
        self._response = torch.cholesky_solve(ones, self._factor).squeeze(1).numpy()  # of Q to lambda

    @property
    def n_atoms(self) -> int:
        """Size of the matrix."""
        return len(self._factor)

    def solve(self, right: Array, total: float, start: Array | None = None) -> Array:
        """The x with (A + J) x + lambda = `right` that add up to `total`; both (n_atoms,) or (n_atoms, m)."""
        columns = torch.from_numpy(np.ascontiguousarray(right)).reshape(len(right), -1)
        found = torch.cholesky_solve(columns, self._factor).numpy()
        found = found + np.outer(self._response, (total - found.sum(axis=0)) / self._response.sum())
        return np.asarray(found.reshape(right.shape))


def _unbound(matrix: Array) -> list[int]:
    """Atoms with the largest share in the lowest eigenvector for charges that add up to zero."""
    centered = matrix - matrix.mean(axis=0)
    centered = centered - centered.mean(axis=1, keepdims=True)
    return largest_shares(np.linalg.eigh(centered)[1][:, 0])


def largest_shares(eigenvector: Array) -> list[int]:
    """Indices, at most four, of elements that are more than half of the largest, in falling order."""
    weights = np.abs(eigenvector)
    return [int(atom) for atom in np.argsort(-weights)[:4] if weights[atom] > 0.5 * weights.max()]
