r"""Charge equilibration of a large structure by conjugate gradients, without a matrix.

The equations are those of :mod:`bnnp.charges.equilibration`. Steps keep the sum of the charges: with the
preconditioner M^-1 (:meth:`bnnp.charges.mesh.MeshSum.screened_inverse`) the direction of a residual r is

.. math:: P r = M^{-1} r - M^{-1} 1 \, \frac{1 \cdot M^{-1} r}{1 \cdot M^{-1} 1},

and steps end where r P r, about the square of the error in the norm of the matrix, is TOLERANCE^2 of that
of the right side (M. R. Hestenes and E. Stiefel, J. Res. Natl. Bur. Stand. 49, 409 (1952); for charges M.
Gubler et al., J. Chem. Theory Comput. 20, 7264 (2024)). M is hardness, self-interaction, and the
interaction over wave vectors of charges as wide as their distance: what makes the matrix the worse
conditioned the larger a structure is. Of a periodic structure each direction comes from steps with rough
products, of a precision of a hundredth and a tenth of the cost; those with A correct them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bnnp.charges.equilibration import NotPositive, largest_shares
from bnnp.charges.mesh import Mesh, MeshSum
from bnnp.messages import count

Array = NDArray[np.float64]

TOLERANCE = 1e-11
SMALLEST = 1e-3  # e: charges that are all smaller are solved for as if they were as large
MOST_STEPS = 1000
NOISE = 1e-2  # e: of charges to start from, so that what makes a matrix not positive is in them
ROUGH = 3e-2  # of the residual that rough products leave
COARSE = 1.0  # width and points of the preconditioner's mesh, over the distance of the atoms


class NotConverged(ValueError):
    """The steps did not get to the solution; `residual` is over that of the right side."""

    def __init__(self, steps: int, residual: float) -> None:
        super().__init__(f"no solution after {count(steps, 'step')}")
        self.steps, self.residual = steps, residual


class Interaction(Protocol):
    """A, with `positions` (n_atoms, 3) and `widths` (n_atoms,), and `cell` (3, 3) or None."""

    @property
    def positions(self) -> Array:
        """Length."""

    @property
    def widths(self) -> Array:
        """Length."""

    @property
    def cell(self) -> Array | None:
        """That of a periodic structure, length."""

    @property
    def rough(self) -> Interaction | None:
        """The same with a much lower precision, if it takes less time."""

    def product(self, charges: Array) -> Array:
        """A Q, (n_atoms,)."""


class ConjugateGradients:
    """The equations of the fourth generation by products with A.

    Parameters
    ----------
    interaction : Interaction
    J : (n_atoms,) float64
        In the unit of A.
    """

    coupling = 1.0

    def __init__(self, interaction: Interaction, J: Array) -> None:
        self._interaction, self._J = interaction, J
        self.products = self.rough_products = 0  # so far
        n = len(J)
        cell = _box(interaction.positions) if interaction.cell is None else interaction.cell
        distance = (abs(np.linalg.det(cell)) / n) ** (1.0 / 3.0)
        spreads = np.maximum(interaction.widths, COARSE * distance)
        mesh = Mesh.of(cell, COARSE * distance, 4)
        fractional = interaction.positions @ np.linalg.inv(cell)
        self._mesh = MeshSum(fractional, cell, spreads, mesh)
        own = J + (1.0 / interaction.widths - 1.0 / spreads) / sqrt(pi)
        self._diagonal = np.maximum(own, 1e-2 / distance)
        self._kernel = self._mesh.screened_inverse(self._diagonal)
        self._ones = self._diffuse(np.ones(n))

    @property
    def n_atoms(self) -> int:
        """Number of charges."""
        return len(self._J)

    def solve(self, right: Array, total: float, start: Array | None = None) -> Array:
        """The x with (A + J) x + lambda = `right` that add up to `total`; both (n_atoms,) or (n_atoms, m).

        Parameters
        ----------
        start : like `right`, optional
            What to start from; the result depends on it within TOLERANCE only.

        Raises
        ------
        NotPositive
            The matrix is not positive definite for charges that add up to zero.
        NotConverged
        """
        if right.ndim == 2:
            starts: list[Array | None] = [None] * right.shape[1] if start is None else list(start.T)
            columns = zip(right.T, starts, strict=True)
            return np.stack([self.solve(column, total, own) for column, own in columns], axis=1)
        if start is None:
            start = np.random.default_rng(1).normal(scale=NOISE, size=self.n_atoms)
        x = start + (total - start.sum()) / self.n_atoms
        floor = SMALLEST**2 * self._diagonal.sum()
        target = TOLERANCE**2 * max(self._of_diffuse(_centered(right))[1], float(floor))
        x, square, negative = _descend(self._matrix, self._direction, x, right - self._matrix(x), target)
        if negative is not None:
            raise NotPositive(self._unbound(negative))
        if square > target:
            raise NotConverged(MOST_STEPS, float(sqrt(square / target)) * TOLERANCE)
        return np.asarray(x + (total - x.sum()) / self.n_atoms)

    def _matrix(self, charges: Array) -> Array:
        self.products += 1
        return np.asarray(self._interaction.product(charges) + self._J * charges)

    def _diffuse(self, right: Array) -> Array:
        """(D + A)^-1 `right` of diffuse charges, about."""
        scaled = right / self._diagonal
        return np.asarray(scaled - self._mesh.potentials(scaled, self._kernel) / self._diagonal)

    def _of_diffuse(self, residual: Array) -> tuple[Array, float]:
        """The direction P r of a residual r with diffuse charges, and r P r, which is never negative."""
        found = self._diffuse(residual)
        found = _centered(found - self._ones * (found.sum() / self._ones.sum()))
        return found, float(residual @ found)

    def _direction(self, residual: Array) -> tuple[Array, float]:
        """A direction by rough products, and r P r with diffuse charges."""
        first, square = self._of_diffuse(residual)
        rough = self._interaction.rough
        if rough is None:
            return first, square

        def matrix(charges: Array) -> Array:
            self.rough_products += 1
            return np.asarray(rough.product(charges) + self._J * charges)

        start = np.zeros_like(residual)
        found, _, _ = _descend(matrix, self._of_diffuse, start, residual, ROUGH**2 * square)
        found = _centered(found)
        return (found if residual @ found > 0.0 else first), square

    def _unbound(self, start: Array) -> list[int]:
        """Atoms with the largest share in the lowest eigenvector for charges that add up to zero."""
        from scipy.sparse.linalg import LinearOperator, eigsh

        def centered(charges: Array) -> Array:
            return _centered(self._matrix(_centered(charges)))

        matrix = LinearOperator((self.n_atoms,) * 2, matvec=centered, dtype=np.float64)
        vector = eigsh(matrix, k=1, which="SA", v0=start, tol=1e-3)[1][:, 0]
        return largest_shares(vector)


def _descend(
    matrix: Callable[[Array], Array],
    direction_of: Callable[[Array], tuple[Array, float]],
    x: Array,
    residual: Array,
    target: float,
) -> tuple[Array, float, Array | None]:
    """Conjugate gradients from x with this residual until r P r is at most `target`.

    Returns
    -------
    x, square
        The last x and its r P r.
    negative : (n_atoms,) float64 or None
        A direction along which the matrix is not positive, where one ended the steps.
    """
    residual = _centered(residual)
    ahead, square = direction_of(residual)
    direction = ahead
    for _ in range(MOST_STEPS):
        if square <= target:
            break
        image = _centered(matrix(direction))
        curvature = float(direction @ image)
        if curvature <= 0.0:
            return x, square, direction
        along = float(residual @ ahead)
        x, change = x + along / curvature * direction, along / curvature * image
        residual = residual - change
        ahead, square = direction_of(residual)
        # P may differ from step to step (Y. Notay, SIAM J. Sci. Comput. 22, 1444 (2000))
        direction = ahead - float(ahead @ change) / along * direction
    return x, square, None


def _centered(residual: Array) -> Array:
    """Without the constant lambda, beside which what is left would be lost in rounding."""
    return np.asarray(residual - residual.mean())


def _box(positions: Array) -> Array:
    """A cell around a molecule, twice as large as it along each axis, but no plane or line."""
    size = np.ptp(positions, axis=0)
    return np.diag(2.0 * np.maximum(size, 0.1 * size.max()))
