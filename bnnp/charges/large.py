r"""Coulomb interaction of the charges of a large periodic structure: neighbors and a mesh, no matrices.

A and B are those of :mod:`bnnp.charges.coulomb`, as products with charges. Each charge has the spread
s_i = max(sigma_i, s) in the sum over wave vectors, which :class:`bnnp.charges.mesh.MeshSum` has, and with
eta_ij^2 = s_i^2 + s_j^2 the rest is

.. math::
    A_{ij} - A^\mathrm{mesh}_{ij} = \sum_{r < \rho \eta_{ij}}
             \frac{\mathrm{erf}(r / \sqrt 2 \gamma_{ij}) - \mathrm{erf}(r / \sqrt 2 \eta_{ij})}{r}
             + \frac{\delta_{ij}}{\sqrt\pi} \left[ \frac{1}{\sigma_i} - \frac{1}{s_i} \right]
             - \frac{2 \pi \eta_{ij}^2}{V}.

Charges of the width s and wider ones have no sum over distances, so that a wide Gaussian makes the cutoff no
longer. The spread s and the mesh are those that take the least time for the precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

import bnnp._core as _core
from bnnp.charges.coulomb import CORES, POINT, Screening
from bnnp.charges.ewald import Ewald
from bnnp.charges.mesh import ORDERS, Mesh, MeshSum, mesh_spacing
from bnnp.charges.slab import DipoleCorrection
from bnnp.structure import PERIODIC, Periodicity

Array = NDArray[np.float64]
Counts = NDArray[np.signedinteger]

PRECISION = 1e-9  # relative, at least this: a large structure is not to depend on how it is summed
ROUGH = 1e-2  # of what conjugate gradients start from
# Nanoseconds, of one core: a pair in a product, and its share of the search and of the tables; a point of the
# mesh, there and back; an atom and a point that it is spread on, there and back.
PAIR, FOUND, POINTS, SPREADING = 1.5, 3.0, 20.0, 0.8
GRID = 2.0**0.25  # ratio of the spreads that are tried: a little strain shall not change the choice


@dataclass(frozen=True)
class Split:
    """What is summed over distances, and what on a mesh.

    Parameters
    ----------
    spread : float, length
        Least width of a Gaussian on the mesh.
    reach : float
        Cutoff of the sum over distances, in units of eta_ij.
    mesh : Mesh
    uniform : bool
        Whether all charges have the same spread, also wider ones, as RuNNer's numbers ask for.
    """

    spread: float
    reach: float
    mesh: Mesh
    uniform: bool = False

    def spreads(self, widths: Array) -> Array:
        """Widths on the mesh."""
        return np.full(len(widths), self.spread) if self.uniform else np.maximum(widths, self.spread)

    @classmethod
    def of(cls, precision: float, cell: Array, widths: Array) -> Split:
        """The fastest one with a relative precision."""
        reach, volume = sqrt(-2.0 * log(precision)), float(abs(np.linalg.det(cell)))
        different = np.unique(widths, return_counts=True)
        first = round(log(0.3 * (volume / len(widths)) ** (1.0 / 3.0), GRID))
        tries = [
            (GRID**step, order, GRID**step * spacing)
            for order, spacing in ((order, mesh_spacing(order, precision)) for order in ORDERS)
            for step in range(first, first + 20)
        ]
        costs = [_cost(*each, reach, volume, *different) for each in tries]
        spread, order, spacing = tries[int(np.argmin(costs))]
        return cls(spread, reach, Mesh.of(cell, spacing, order))

    def memory(self, cell: Array, widths: Array) -> float:
        """Bytes that the sums of a structure take, about."""
        volume, different = float(abs(np.linalg.det(cell))), np.unique(widths, return_counts=True)
        pairs, _ = _pairs(self.spread, self.reach, volume, *different)
        # a column and a value, in arrays that double as they grow; real and complex meshes, by width
        return 24.0 * pairs + 8.0 * self.mesh.points * (8.0 + 2.0 * len(set(self.spreads(different[0]))))

    @classmethod
    def given(cls, ewald: Ewald, cell: Array) -> Split:
        """That of RuNNer's numbers, as they are."""
        order, spread = max(ORDERS), ewald.eta / sqrt(2.0)
        mesh = Mesh.of(cell, mesh_spacing(order, 1e-12) * spread, order, ewald.k_max)
        return cls(spread, ewald.r_cut / ewald.eta, mesh, uniform=True)


def _cost(
    spread: float, order: int, spacing: float, reach: float, volume: float, widths: Array, counts: Counts
) -> float:
    """Time of a product with A, about, ns; `widths` are the different ones, which `counts` atoms have."""
    pairs, found = _pairs(spread, reach, volume, widths, counts)
    transforms = len(set(np.maximum(widths, spread))) * volume / spacing**3
    spreading = counts.sum() * order**3
    return float(pairs * PAIR + found * FOUND + transforms * POINTS + spreading * SPREADING)


def _pairs(spread: float, reach: float, volume: float, widths: Array, counts: Counts) -> tuple[float, float]:
    """Pairs of neighbors that are summed, and those that are found, of a homogeneous structure."""
    spreads = np.maximum(widths, spread)
    narrow = (spreads > widths)[:, None] | (spreads > widths)
    cubes = narrow * (reach * np.hypot(spreads[:, None], spreads)) ** 3
    density = 0.5 * 4.0 / 3.0 * pi / volume
    return float(density * counts @ cubes @ counts), float(density * counts.sum() ** 2 * cubes.max())


class LargeCoulomb:
    """A and B of one periodic structure, without the factor 1 / (4 pi epsilon), as products with charges.

    Parameters
    ----------
    positions, cell, widths, screening, pbc, threads
        As of :class:`bnnp.charges.coulomb.Coulomb`.
    split : Split
    """

    def __init__(
        self,
        positions: Array,
        cell: Array,
        widths: Array,
        screening: Screening | None,
        split: Split,
        pbc: Periodicity = PERIODIC,
        threads: int = 1,
    ) -> None:
        self.positions, self.cell, self.widths, self.split = positions, cell, widths, split
        self._pbc, self._threads = pbc, threads
        spreads = split.spreads(widths)
        self._squares = spreads**2
        self._volume = float(abs(np.linalg.det(cell)))
        own = np.divide(1.0, np.sqrt(pi) * widths, where=widths > 0.0, out=0.0 * widths)
        self._own = own - 1.0 / (np.sqrt(pi) * spreads)
        self._screened_own = -own
        inner, outer = (0.0, 0.0) if screening is None else (screening.inner, screening.outer)
        core = 0 if screening is None else CORES.index(screening.core)
        narrow = np.where(spreads != widths, spreads, 0.0).max()
        radius = max(outer, split.reach * np.hypot(narrow, spreads.max()) if narrow else 0.0)
        spread, threads = np.maximum(widths, POINT), max(1, threads)
        self._near = _core.NearCharges(
            positions, cell, spread, spreads, radius, split.reach, inner, outer, core, threads
        )
        self._mesh = MeshSum(positions @ np.linalg.inv(cell), cell, spreads, split.mesh, threads)
        self._slab = DipoleCorrection.of(positions, cell, pbc)

    @cached_property
    def rough(self) -> LargeCoulomb:
        """The same with a precision of ROUGH, without screening."""
        split = Split.of(ROUGH, self.cell, self.widths)
        return LargeCoulomb(self.positions, self.cell, self.widths, None, split, self._pbc, self._threads)

    def product(self, charges: Array) -> Array:
        """A Q, (n_atoms,)."""
        found = self._near.times_A(charges) + self._mesh.potentials(charges) + self._own * charges
        background = self._squares * charges.sum() + self._squares @ charges
        found -= 2.0 * pi / self._volume * background
        return np.asarray(found if self._slab is None else found + self._slab.product(charges))

    def potentials(self, charges: Array) -> tuple[Array, Array]:
        """A Q and B Q, each (n_atoms,)."""
        return self.product(charges), self._near.times_B(charges) + self._screened_own * charges

    def derivatives(self, left: Array, right: Array) -> tuple[Array, Array]:
        """As :meth:`bnnp.charges.coulomb.Coulomb.derivatives`."""
        near, mesh = self._near.derivatives(left, right), self._mesh.derivatives(left, right)
        forces, virial = near[0] + mesh[0], near[1] + mesh[1]
        squares, factor = self._squares, pi / self._volume
        isotropic = factor * ((squares @ left) * right.sum() + left.sum() * (squares @ right))
        virial = virial + isotropic * np.eye(3)
        if self._slab is not None:
            own = self._slab.derivatives(left, right)
            forces, virial = forces + own[0], virial + own[1]
        return forces, virial
