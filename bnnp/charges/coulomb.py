r"""Coulomb interaction of the Gaussian charges of a structure, and its derivatives.

With the widths sigma_i, gamma_ij^2 = sigma_i^2 + sigma_j^2, and distances r_ij over all images,

.. math::
    A_{ij} = \sum \frac{\mathrm{erf}(r_{ij} / \sqrt 2 \gamma_{ij})}{r_{ij}}, \quad
    A_{ii} = \frac{1}{\sigma_i \sqrt\pi} \; (+ \text{images}), \quad
    B_{ij} = \sum \frac{\mathrm{erf}(r_{ij} / \sqrt 2 \gamma_{ij})}{r_{ij}} [f_s(r_{ij}) - 1], \quad
    B_{ii} = -\frac{1}{\sigma_i \sqrt\pi} \; (+ \text{images}),

all over 4 pi epsilon. A gives the charges, and the energy is 1/2 Q (A + B) Q: the screening function f_s, 0
below r_in and 1 above r_out, leaves short distances and the self-interaction to the networks (T. W. Ko, J. A.
Finkler, S. Goedecker, J. Behler, Nat. Commun. 12, 398 (2021)). A width of 0 is a point charge, whose
self-interaction is left out of A and B. A of a periodic structure is an Ewald sum:

.. math::
    A_{ij} = \sum_{r < r_\mathrm{cut}} \frac{\mathrm{erfc}(r / \sqrt 2 \eta)
             - \mathrm{erfc}(r / \sqrt 2 \gamma_{ij})}{r}
             + \sum_{0 < k < k_\mathrm{cut}} \frac{4 \pi}{V k^2} e^{-\eta^2 k^2 / 2} \cos k \cdot r_{ij}
             - \delta_{ij} \left[ \sqrt{\frac{2}{\pi}} \frac{1}{\eta} - \frac{1}{\sigma_i \sqrt\pi} \right]
             - \frac{2 \pi \eta^2}{V}.

The last term is that of the uniform background that neutralizes a charged cell; it changes no charge and no
energy of a neutral one. A slab gets a cell with vacuum, and with it :mod:`bnnp.charges.slab`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import pi

import numpy as np
from numpy.typing import NDArray

import bnnp._core as _core
from bnnp.charges.ewald import Ewald
from bnnp.charges.slab import DipoleCorrection
from bnnp.structure import PERIODIC, VOIGT, Periodicity

Array = NDArray[np.float64]

CORES = ("c", "p1", "p2", "p3", "p4", "e")  # n2p2's names: cosine, polynomials, exponential
POINT = 1e-12  # length: the width that stands for 0 in sums over pairs
VACUUM = 4.0  # of a slab, in units of its longest lateral period: images weigh exp(-2 pi VACUUM) = 1e-11


@dataclass(frozen=True)
class Screening:
    """The screening function f_s = 1 - f((r - inner) / (outer - inner)), with 0 below and 1 above.

    Parameters
    ----------
    inner, outer : float, length
    core : str
        f, one of `CORES`.
    """

    inner: float
    outer: float
    core: str = "c"

    def __post_init__(self) -> None:
        if not 0.0 <= self.inner < self.outer:
            raise ValueError(f"expects 0 <= r_in < r_out, got {self.inner:g} and {self.outer:g}")
        if self.core not in CORES:
            raise ValueError(f"expects one of {' '.join(CORES)} behind the radii, got `{self.core}`")


def ewald_cell(positions: Array, cell: Array, pbc: Periodicity) -> Array:
    """The cell of the Ewald sum: that of the structure, or one with VACUUM for a slab, (3, 3)."""
    if all(pbc):
        return cell
    (axis,) = np.flatnonzero(~np.array(pbc))
    lateral = cell[np.array(pbc)]
    normal = np.cross(*lateral)
    normal /= np.linalg.norm(normal)
    period = max(np.linalg.norm(lateral, axis=1))
    changed = np.array(cell)
    changed[axis] = normal * (np.ptp(positions @ normal) + VACUUM * period)
    return changed


class Coulomb:
    """A and B of one structure, without the factor 1 / (4 pi epsilon).

    Parameters
    ----------
    positions : (n_atoms, 3) float64, length
    cell : (3, 3) float64, length, or None
        That of :func:`ewald_cell`; None for a molecule.
    widths : (n_atoms,) float64, length
        0 of a point charge.
    screening : Screening or None
    ewald : Ewald or None
        None only without a cell.
    pbc : tuple of three bool
        Three, or two for a slab.
    threads : int
    """

    def __init__(
        self,
        positions: Array,
        cell: Array | None,
        widths: Array,
        screening: Screening | None = None,
        ewald: Ewald | None = None,
        pbc: Periodicity = PERIODIC,
        threads: int = 1,
    ) -> None:
        assert (cell is None) == (ewald is None)
        self.widths, self.cell, self.ewald, self.pbc = widths, cell, ewald, pbc
        inner, outer = (0.0, 0.0) if screening is None else (screening.inner, screening.outer)
        core = 0 if screening is None else CORES.index(screening.core)
        images, spreads, r_cut = np.zeros((3, 1)), np.empty(0), np.inf
        self.positions = np.array(positions)
        if cell is not None and ewald is not None:
            fractional = positions @ np.linalg.inv(cell)
            wrapped = np.where(pbc, fractional - np.floor(fractional), fractional)
            self.positions = wrapped @ cell
            spreads, r_cut = np.full(len(widths), ewald.eta / np.sqrt(2.0)), ewald.r_cut
            images = translations(cell, np.ptp(wrapped, axis=0), max(r_cut, outer))
        spread = np.maximum(widths, POINT)
        self._sums = _core.ChargeSums(
            self.positions, spread, spreads, images, r_cut, inner, outer, core, max(1, threads)
        )
        self._slab = DipoleCorrection.of(self.positions, cell, pbc)

    @cached_property
    def volume(self) -> float:
        """Of the cell of the Ewald sum, length^3."""
        assert self.cell is not None
        return float(abs(np.linalg.det(self.cell)))

    @cached_property
    def matrices(self) -> tuple[Array, Array]:
        """A and B, each (n_atoms, n_atoms), 1/length."""
        A, B = self._sums.matrices()
        own = np.divide(1.0, self.widths * np.sqrt(pi), where=self.widths > 0.0, out=0.0 * self.widths)
        diagonal = np.arange(len(own))
        B[diagonal, diagonal] -= own
        A[diagonal, diagonal] += own
        if self.ewald is None:
            return A, B
        A[diagonal, diagonal] -= np.sqrt(2.0 / pi) / self.ewald.eta
        cos, sin = self._waves
        A += (cos * self._strengths) @ cos.T + (sin * self._strengths) @ sin.T
        A -= 2.0 * pi * self.ewald.eta**2 / self.volume
        return (A if self._slab is None else A + self._slab.matrix), B

    @property
    def rough(self) -> None:
        """A molecule has no sum with less precision."""

    def product(self, charges: Array) -> Array:
        """A Q, (n_atoms,); of a molecule without the matrix."""
        return self.potentials(charges)[0]

    def potentials(self, charges: Array) -> tuple[Array, Array]:
        """A Q and B Q, each (n_atoms,); of a molecule without the matrices, unless they are there."""
        if self.cell is None and "matrices" not in vars(self):
            by_A, by_B = self._sums.products(charges)
            own = np.divide(charges, self.widths * np.sqrt(pi), where=self.widths > 0.0, out=0.0 * charges)
            return by_A + own, by_B - own
        A, B = self.matrices
        return A @ charges, B @ charges

    def derivatives(self, left: Array, right: Array) -> tuple[Array, Array]:
        """Forces -d/dr and virial d/d(strain) of 1/2 left (A right + B left), at fixed `left` and `right`.

        Parameters
        ----------
        left, right : (n_atoms,) float64, e

        Returns
        -------
        forces : (n_atoms, 3) float64, e^2/length^2
        virial : (3, 3) float64, e^2/length
        """
        forces, virial = self._sums.derivatives(left, right)
        if self.ewald is None:
            return forces, virial
        cos, sin = self._waves
        half = 0.5 * self._strengths
        cos_l, sin_l, cos_r, sin_r = left @ cos, left @ sin, right @ cos, right @ sin
        along_cos = half * (np.outer(left, sin_r) + np.outer(right, sin_l))  # (n_atoms, n_waves)
        along_sin = half * (np.outer(left, cos_r) + np.outer(right, cos_l))
        forces = forces - (along_cos * cos - along_sin * sin) @ self._vectors
        energies = half * (cos_l * cos_r + sin_l * sin_r)
        k, squares = self._vectors, np.einsum("kx,kx->k", self._vectors, self._vectors)
        virial = virial + (k.T * (energies * (2.0 / squares + self.ewald.eta**2))) @ k
        background = -pi * self.ewald.eta**2 / self.volume * left.sum() * right.sum()
        isotropic = -energies.sum() - background
        if self._slab is not None:
            own = self._slab.derivatives(left, right)
            forces, virial = forces + own[0], virial + own[1]
        return forces, virial + isotropic * np.eye(3)

    def responses(self, charges: Array) -> tuple[Array, Array]:
        """Derivatives of A Q at fixed charges Q.

        Parameters
        ----------
        charges : (n_atoms,) float64, e

        Returns
        -------
        by_position : (n_atoms, n_atoms, 3) float64, e/length^2
            d(A Q)_i / dr_k.
        by_strain : (n_atoms, 6) float64, e/length
            d(A Q)_i / d(strain), xx yy zz yz xz xy.
        """
        pairs, strained = self._slopes(screened=False)
        by_strain = (strained @ charges + charges @ np.triu(strained, 1)).T
        if self.ewald is not None:
            cos, sin = self._waves
            by_strain += (cos * (charges @ cos) + sin * (charges @ sin)) @ self._strained
            isotropic = np.full(len(charges), 2.0 * pi * self.ewald.eta**2 / self.volume * charges.sum())
            if (slab := self._slab) is not None:
                own = slab.product(charges)
                isotropic -= own
                by_strain += np.outer(2.0 * own, np.outer(slab.normal, slab.normal)[VOIGT])
            by_strain += np.outer(isotropic, np.eye(3)[VOIGT])
        by_position = np.moveaxis(pairs * charges, 0, -1)
        atoms = np.arange(len(charges))
        by_position[atoms, atoms] = -(pairs @ charges).T
        return np.ascontiguousarray(by_position), by_strain

    def slopes(self, screened: bool) -> tuple[Array, Array]:
        """Derivatives of A, or `screened` of A + B.

        Returns
        -------
        by_position : (3, n_atoms, n_atoms) float64, 1/length^2
            dA_ik / dr_k, antisymmetric in i and k.
        by_strain : (6, n_atoms, n_atoms) float64, 1/length
            dA_ik / d(strain), xx yy zz yz xz xy.
        """
        by_position, above = self._slopes(screened)
        by_strain = above + np.triu(above, 1).transpose(0, 2, 1)
        if self.ewald is None:
            return by_position, by_strain
        cos, sin = self._waves
        for number, weights in enumerate(self._strained.T):
            by_strain[number] += (cos * weights) @ cos.T + (sin * weights) @ sin.T
        by_strain[:3] += 2.0 * pi * self.ewald.eta**2 / self.volume
        if (slab := self._slab) is not None:
            by_strain[:3] -= slab.matrix
            by_strain += 2.0 * np.outer(slab.normal, slab.normal)[VOIGT][:, None, None] * slab.matrix
        return by_position, by_strain

    def _slopes(self, screened: bool) -> tuple[Array, Array]:
        """dA_ik/dr_k, (3, n_atoms, n_atoms), and of the pairs dA_ik/d(strain) for i <= k, (6, n_atoms,
        n_atoms)."""
        slopes = self._sums.slopes(screened)
        above, strained = slopes[:3], slopes[3:]
        pairs = above - above.transpose(0, 2, 1)
        if self.ewald is not None:
            cos, sin = self._waves
            for axis in range(3):
                product = (sin * (self._strengths * self._vectors[:, axis])) @ cos.T
                pairs[axis] += product - product.T
        if (slab := self._slab) is not None:
            apart = np.subtract.outer(slab.heights, slab.heights)  # z_i - z_k
            pairs += 4.0 * pi / self.volume * apart * slab.normal[:, None, None]
        return pairs, strained

    @cached_property
    def _strained(self) -> Array:
        """Derivatives of `_strengths` by the strain, (n_waves, 6)."""
        assert self.ewald is not None
        k, squares = self._vectors, np.einsum("kx,kx->k", self._vectors, self._vectors)
        moments = k[:, VOIGT[0]] * k[:, VOIGT[1]] * (2.0 / squares + self.ewald.eta**2)[:, None]
        return np.asarray(self._strengths[:, None] * (moments - np.eye(3)[VOIGT]))

    @cached_property
    def _vectors(self) -> Array:
        """Wave vectors of a half space, (n_waves, 3)."""
        assert self.cell is not None
        assert self.ewald is not None
        return wave_vectors(self.cell, self.ewald)

    @cached_property
    def _strengths(self) -> Array:
        """Factor of the cosine of each wave vector, (n_waves,), both half spaces."""
        assert self.ewald is not None
        squares = np.einsum("kx,kx->k", self._vectors, self._vectors)
        return np.asarray(8.0 * pi / self.volume * np.exp(-0.5 * self.ewald.eta**2 * squares) / squares)

    @cached_property
    def _waves(self) -> tuple[Array, Array]:
        """Cosine and sine of k r, (n_atoms, n_waves)."""
        phases = self.positions @ self._vectors.T
        return np.cos(phases), np.sin(phases)


def translations(cell: Array, spans: Array, reach: float) -> Array:
    """Lattice vectors with which atoms can come within `reach` of others, (3, n); the first is zero.

    Parameters
    ----------
    spans : (3,) float64
        Largest differences of the fractional positions.
    """
    widths = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)  # between opposite faces of the cell
    most = np.floor(reach / widths + spans).astype(int)
    grid = np.array(list(product(*(range(-n, n + 1) for n in most))))
    grid = grid[np.argsort(np.abs(grid).sum(axis=1), kind="stable")]
    return np.ascontiguousarray((grid @ cell).T)


def wave_vectors(cell: Array, ewald: Ewald) -> Array:
    """Wave vectors within the limits of `ewald`, one of k and -k, (n_waves, 3) 1/length."""
    reciprocal = 2.0 * pi * np.linalg.inv(cell).T
    if ewald.k_max is None:
        most = np.floor(ewald.k_cut * np.linalg.norm(cell, axis=1) / (2.0 * pi)).astype(int)
    else:
        most = np.full(3, ewald.k_max)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[len(grid) // 2 + 1 :]  # behind 0 in lexical order
    vectors = grid @ reciprocal
    return np.asarray(vectors[np.einsum("kx,kx->k", vectors, vectors) < ewald.k_cut**2])
