r"""The heat flux of a potential of atomic energies.

.. math::
    J = \sum_i e_i v_i + \sum_j W_j v_j, \quad e_i = \tfrac{1}{2} m_i v_i^2 + U_i, \quad
    W_j = -\sum_i D_{ij} \otimes \frac{\partial U_i}{\partial D_{ij}}

with D_ij = r_j - r_i of every pair, images apart: Z. Fan et al., Phys. Rev. B 92, 094301 (2015). The first
sum is the convective part. Without a cell J is d/dt sum_i r_i e_i. The virial belongs to the neighbor j, not
to the center i or half to each, which is right for pair potentials only (D. Surblys et al., Phys. Rev. E 99,
051301 (2019)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeatFlux:
    """Heat flux of one configuration, times the volume.

    Parameters
    ----------
    total, convective : (3,) float64, energy length / time
    """

    total: Array
    convective: Array

    @classmethod
    def of(cls, masses: Array, velocities: Array, energies: Array, virials: Array) -> HeatFlux:
        """From the atoms, in one system of units (mass velocity^2 is an energy).

        Parameters
        ----------
        masses : (n_atoms,) float64, mass
        velocities : (n_atoms, 3) float64, length / time
        energies : (n_atoms,) float64, energy
        virials : (n_atoms, 3, 3) float64, energy
            :func:`bnnp.descriptors.pairs.virials_of_pairs`
        """
        kinetic = 0.5 * masses * np.einsum("ia,ia->i", velocities, velocities)
        convective = (kinetic + energies) @ velocities
        return cls(convective + np.einsum("iab,ib->a", virials, velocities), convective)
