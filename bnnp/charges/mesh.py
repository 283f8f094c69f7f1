r"""The part of an Ewald sum over wave vectors, by a mesh: the cost grows as N log N.

Charges are spread on a mesh by products of centered B-splines M of an even order p, and for Gaussians of the
widths s_i (smooth particle mesh Ewald: U. Essmann et al., J. Chem. Phys. 103, 8577 (1995)) their potential is

.. math::
    \phi_i = \sum_{0 < k} \frac{4 \pi}{V k^2} \frac{U^2(k)}{[\sum_m U^2(k + m)]^2}\,
             e^{-s_i^2 k^2 / 2}\, \Re \left[ \tilde M_i^*(k)
             \sum_j e^{-s_j^2 k^2 / 2} \tilde M_j(k) Q_j \right]

with the discrete transform of the spread unit charge of an atom and the continuous transform U of the
B-spline; the sum m goes over all wave vectors that are one on the mesh. This influence function makes the
error small where the charges lie anywhere between the points (R. W. Hockney and J. W. Eastwood, Computer
Simulation Using Particles (1988), chapter 8). Forces and virial are derivatives of just this energy, so that
a finite difference has no other error than rounding. The price is that forces add up to zero only within the
precision of the mesh; nothing is subtracted, as that would cost the conservation of energy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import pi

import numpy as np
from numpy.typing import NDArray

import bnnp._core as _core

Array = NDArray[np.float64]
Spectrum = NDArray[np.complex128]

ORDERS = (4, 6, 8, 10, 12, 14, 16)  # of the B-splines


@dataclass(frozen=True)
class Mesh:
    """Points along each axis, the order of the B-splines, and RuNNer's largest index, if it is given."""

    shape: tuple[int, int, int]
    order: int
    k_max: int | None = None

    @classmethod
    def of(cls, cell: Array, spacing: float, order: int, k_max: int | None = None) -> Mesh:
        """The coarsest mesh with points at most `spacing` apart whose Fourier transform is fast."""
        from scipy.fft import next_fast_len

        least = order if k_max is None else max(order, 2 * k_max + 1)
        numbers = np.maximum(np.ceil(np.linalg.norm(cell, axis=1) / spacing), least)
        x, y, z = (next_fast_len(int(number), real=True) for number in numbers)
        return cls((x, y, z), order, k_max)

    @property
    def points(self) -> int:
        """Of the whole mesh."""
        return self.shape[0] * self.shape[1] * self.shape[2]


def mesh_spacing(order: int, precision: float) -> float:
    """The largest distance of points, over the width of Gaussians, for a precision.

    A wave with the phase x from point to point has the share exp(-(x / spacing)^2) in the interaction of two
    Gaussians. On the mesh it appears once more, with the phase x - 2 pi and (x / (2 pi - x))^order times as
    strong; waves beyond x = pi are lost.
    """
    x = np.linspace(0.02, 1.0, 200) * pi
    twice = np.log(2.0) + order * np.log(x / (2.0 * pi - x)) - np.log(precision)  # has to be below x^2 / h^2
    return float(np.sqrt((x**2 / np.maximum(twice, 1e-9)).min()))


class MeshSum:
    """The interaction of Gaussians over wave vectors, of one structure.

    Parameters
    ----------
    fractional : (n_atoms, 3) float64
        Positions over the lattice vectors.
    cell : (3, 3) float64, length
    spreads : (n_atoms,) float64, length
        Widths of the Gaussians; each different one costs transforms of its own.
    mesh : Mesh
    threads : int
    """

    def __init__(self, fractional: Array, cell: Array, spreads: Array, mesh: Mesh, threads: int = 1) -> None:
        self.cell, self.mesh, self.n_atoms, self._threads = cell, mesh, len(spreads), max(1, threads)
        self._inverse = np.linalg.inv(cell)
        self._spreads = np.unique(spreads)
        self._rows = [np.flatnonzero(spreads == spread) for spread in self._spreads]
        self._weights = [
            _core.ChargeMesh(fractional[rows], mesh.shape, mesh.order, self._threads) for rows in self._rows
        ]

    def potentials(self, charges: Array, kernel: Array | None = None) -> Array:
        """Potential of the charges at each of them, both (n_atoms,).

        Parameters
        ----------
        kernel : (*shape of a transform) float64, optional
            In place of `influence`.
        """
        factor = self.influence if kernel is None else kernel
        return self._at_atoms(np.sum(list(self._spectra(charges)), axis=0) * factor)

    def derivatives(self, left: Array, right: Array) -> tuple[Array, Array]:
        """Forces (n_atoms, 3) and virial (3, 3) of half the interaction of `left` and `right`."""
        spectra, by_square = [], []  # of the Gaussians, and with the square of each width as a factor
        for charges in (left, right):
            parts = list(self._spectra(charges))
            spectra.append(np.sum(parts, axis=0))
            scaled = [s**2 * part for s, part in zip(self._spreads, parts, strict=True)]
            by_square.append(np.sum(scaled, axis=0))
        forces = np.zeros((self.n_atoms, 3))
        for own, other in ((left, spectra[1]), (right, spectra[0])):
            slopes = self._at_atoms(other * self.influence, slopes=True)
            forces -= 0.5 * own[:, None] * (slopes @ self._inverse.T)
        once = np.full(self._squares.shape, 2.0)  # the waves k and -k, of which a real transform has one
        once[..., 0] = 1.0
        if self.mesh.shape[2] % 2 == 0:
            once[..., -1] = 1.0
        factor = 0.5 * once * self.influence / self.mesh.points
        energies = factor * (spectra[0].conj() * spectra[1]).real
        narrowing = factor * (spectra[0].conj() * by_square[1] + by_square[0].conj() * spectra[1]).real
        inner = 2.0 * np.divide(energies, self._squares, where=self._squares > 0.0, out=0.0 * energies)
        weights, vectors = (inner + narrowing).reshape(-1), self._vectors.reshape(-1, 3)
        virial = (vectors * weights[:, None]).T @ vectors
        return forces, virial - energies.sum() * np.eye(3)

    def screened_inverse(self, diagonal: Array) -> Array:
        r"""The kernel C with which (D + A)^-1 is close to D^-1 - D^-1 C D^-1, (*shape of a transform).

        A = U^* G U with the influence function G and the transform U, and by Woodbury's formula C is
        1 / (1 / G + U D^-1 U^*) on the mesh. The diagonal w that is taken for the last term is not below it
        for any wave, by Gershgorin's theorem for D^-1 spread on the mesh, so that the approximation is
        positive definite.
        """
        bound = np.zeros(self._squares.shape)
        for rows, weights, damping in zip(self._rows, self._weights, self._damping, strict=True):
            bound += weights.spread(1.0 / diagonal[rows]).max() * damping**2
        return np.asarray(self.influence / (1.0 + self.influence * bound))

    @cached_property
    def influence(self) -> Array:
        """Factor of each wave but that of the Gaussians, (*shape of a transform), 1/length."""
        volume = float(abs(np.linalg.det(self.cell)))
        factors = [self._interpolation(axis) for axis in range(3)]
        outer = factors[0][:, None, None] * factors[1][:, None] * factors[2]
        found = np.divide(outer, self._squares, where=self._squares > 0.0, out=np.zeros_like(outer))
        found *= 4.0 * pi * self.mesh.points / volume
        if self.mesh.k_max is not None:
            for axis, index in enumerate(self._indices):
                shape = [-1 if a == axis else 1 for a in range(3)]
                found *= (np.abs(index) <= self.mesh.k_max).reshape(shape)
        return found

    def _interpolation(self, axis: int) -> Array:
        """U^2 / (sum_m U^2)^2 along an axis, over points^2."""
        n, order = self.mesh.shape[axis], self.mesh.order
        x = self._indices[axis][:, None] / n + np.arange(-4, 5)
        powers = np.sinc(x) ** (2 * order)
        return np.asarray(powers[:, 4] / powers.sum(axis=1) ** 2)

    @cached_property
    def _indices(self) -> tuple[Array, Array, Array]:
        """Indices of the waves along each axis; of the last axis only those that are not negative."""
        x, y, z = self.mesh.shape
        signed = (np.rint(np.fft.fftfreq(n, 1.0 / n)) for n in (x, y))
        return next(signed), next(signed), np.arange(z // 2 + 1.0)

    @cached_property
    def _vectors(self) -> Array:
        """Wave vectors, (*shape of a transform, 3), 1/length."""
        grid = np.stack(np.meshgrid(*self._indices, indexing="ij"), axis=-1)
        return np.asarray(grid @ (2.0 * pi * self._inverse.T))

    @cached_property
    def _squares(self) -> Array:
        return np.asarray(np.einsum("xyzc,xyzc->xyz", self._vectors, self._vectors))

    @cached_property
    def _damping(self) -> list[Array]:
        """exp(-s^2 k^2 / 2) of each width."""
        return [np.exp(-0.5 * spread**2 * self._squares) for spread in self._spreads]

    def _spectra(self, charges: Array) -> Iterator[Spectrum]:
        """Transforms of the Gaussians of each width."""
        from scipy.fft import rfftn

        for rows, weights, damping in zip(self._rows, self._weights, self._damping, strict=True):
            yield rfftn(weights.spread(charges[rows]), workers=self._threads) * damping

    def _at_atoms(self, spectrum: Spectrum, slopes: bool = False) -> Array:
        """The mesh with this transform at the atoms, (n_atoms,), or `slopes` by the fractional positions,
        (n_atoms, 3)."""
        from scipy.fft import irfftn

        found = np.empty((self.n_atoms, 3) if slopes else self.n_atoms)
        for rows, weights, damping in zip(self._rows, self._weights, self._damping, strict=True):
            mesh = irfftn(spectrum * damping, self.mesh.shape, workers=self._threads)
            found[rows] = weights.gradients(mesh) if slopes else weights.values(mesh)
        return found
