r"""Elastic constants by finite strain, and the equation of state, of every sample of a potential at once.

.. math::
    C_{jk} = \frac{\partial \sigma_j}{\partial \eta_k} - \frac{1}{V} \Lambda_j^T \Phi^{+} \Lambda_k, \qquad
    \Lambda_k = -\frac{\partial F}{\partial \eta_k}

The first term has the atoms move with the cell, the second lets them relax, with the force constants Phi
between sublattices (M. Born, K. Huang, Dynamical Theory of Crystal Lattices (1954), sect. 11; X. Wu,
D. Vanderbilt, D. R. Hamann, Phys. Rev. B 72, 035105 (2005)). Voigt order xx yy zz yz xz xy; shear strains are
twice the components of the tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.units import GPa
from numpy.typing import NDArray

from bnnp.structure import VOIGT

Array = NDArray[np.float64]


def strained(cell: Array, component: int, amount: float) -> Array:
    """The cell, (3, 3) with lattice vectors as rows, under one component of Voigt's strain."""
    strain = np.zeros((3, 3))
    a, b = (axes[component] for axes in VOIGT)
    strain[a, b] += 0.5 * amount
    strain[b, a] += 0.5 * amount
    return cell @ (np.eye(3) + strain)


def elastic_constants(
    stress: Array, forces: Array, amount: float, volume: float, between_sublattices: Array
) -> Array:
    """Elastic constants with relaxed atoms, (6, 6, S) GPa.

    Parameters
    ----------
    stress : (6, 2, 6, S) float64, eV/Angstrom^3
        [component of the strain, minus or plus `amount`, component of the stress].
    forces : (6, 2, n_atoms, 3, S) float64, eV/Angstrom
        With the atoms moved along with the cell.
    amount : float
    volume : float, Angstrom^3
    between_sublattices : (S, 3 n_atoms, 3 n_atoms) float64, eV/Angstrom^2
        :attr:`bnnp.analysis.phonons.ForceConstants.at_zone_center`
    """
    clamped = (stress[:, 1] - stress[:, 0]) / (2.0 * amount)  # strain stress s
    slopes = -(forces[:, 1] - forces[:, 0]) / (2.0 * amount)
    slopes = slopes.reshape(6, -1, forces.shape[-1])  # strain (atom axis) s
    n = slopes.shape[1]
    inverse = np.zeros_like(between_sublattices)
    if n > 3:  # three translations cost nothing
        values, vectors = np.linalg.eigh(between_sublattices)
        order = np.argsort(np.abs(values), axis=1)[:, 3:]
        values = np.take_along_axis(values, order, axis=1)
        vectors = np.take_along_axis(vectors, order[:, None, :], axis=2)
        inverse = np.einsum("sxm,sm,sym->sxy", vectors, 1.0 / values, vectors)
    relaxed = np.einsum("jxs,sxy,kys->jks", slopes, inverse, slopes) / volume
    found = clamped - relaxed
    return np.asarray(0.5 * (found + found.transpose(1, 0, 2)) / GPa)


def bulk_and_shear_modulus(constants: Array) -> tuple[Array, Array]:
    """Voigt's averages, (S,) GPa each, of elastic constants (6, 6, S)."""
    C = constants
    normal, mixed = C[0, 0] + C[1, 1] + C[2, 2], C[0, 1] + C[1, 2] + C[0, 2]
    shear = C[3, 3] + C[4, 4] + C[5, 5]
    return (normal + 2.0 * mixed) / 9.0, (normal - mixed + 3.0 * shear) / 15.0


@dataclass(frozen=True, eq=False)
class EquationOfState:
    """F. Birch, Phys. Rev. 71, 809 (1947), of third order; NaN without a minimum among the volumes.

    Parameters
    ----------
    volume : (...) float64, Angstrom^3
        Of the lowest energy.
    energy : (...) float64, eV
    bulk_modulus : (...) float64, GPa
    derivative : (...) float64
        Of the bulk modulus by the pressure.
    """

    volume: Array
    energy: Array
    bulk_modulus: Array
    derivative: Array

    @classmethod
    def fit(cls, volumes: Array, energies: Array) -> EquationOfState:
        """By least squares: the energy is a polynomial of third order in x = V^(-2/3).

        Parameters
        ----------
        volumes : (n_volumes,) float64, Angstrom^3
            Four or more.
        energies : (n_volumes, ...) float64, eV
        """
        x = (volumes / volumes.mean()) ** (-2.0 / 3.0)
        shape = energies.shape[1:]
        solution = np.linalg.lstsq(np.vander(x, 4, increasing=True), energies.reshape(len(x), -1))[0]
        c0, c1, c2, c3 = solution.reshape(4, *shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            # the root of E' = 0 where E'' > 0, in a form that stands c3 = 0
            x0 = -2.0 * c1 / (2.0 * c2 + np.sqrt(4.0 * c2**2 - 12.0 * c1 * c3))
            curvature = 2.0 * c2 + 6.0 * c3 * x0
            among = (curvature > 0.0) & (x0 > x.min()) & (x0 < x.max())
            x0 = np.where(among, x0, np.nan)
            volume = volumes.mean() * x0**-1.5
            stiffness = 4.0 / 9.0 * curvature * x0**2  # B V
            derivative = 4.0 + 16.0 / 54.0 * 6.0 * c3 * x0**3 / stiffness
        energy = c0 + c1 * x0 + c2 * x0**2 + c3 * x0**3
        return cls(volume, energy, stiffness / volume / GPa, derivative)
