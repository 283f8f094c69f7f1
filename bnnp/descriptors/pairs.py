r"""From pairs to atoms and back: forces from dE/dD, and the transposed map.

.. math:: F_i = \sum_{p: i \to j} d_p - \sum_{p: j \to i} d_p,

with d_p = dE/dD_p; transposed, values x of the atoms become x_i - x_j of every pair.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import bnnp._core as _core
from bnnp.descriptors.neighbors import NeighborList
from bnnp.structure import VOIGT

Array = NDArray[np.float64]


def sum_pairs(pairs: NeighborList, derivatives: Array) -> Array:
    """Forces from dE/dD: plus for the center of a pair, minus for its neighbor.

    Parameters
    ----------
    derivatives : (n_pairs, 3) float64, energy/length

    Returns
    -------
    (n_atoms, 3) float64, energy/length
    """
    return _core.sum_pairs(pairs.first, pairs.neighbors, derivatives)


def stress_of_pairs(pairs: NeighborList, derivatives: Array, volume: float) -> Array:
    """Stress +(1/V) dE/d(strain) in Voigt order, (6,) energy/length^3, from dE/dD of all pairs.

    Parameters
    ----------
    derivatives : (n_pairs, 3) float64, energy/length
    volume : float, length^3
    """
    return virial_of_pairs(pairs, derivatives)[VOIGT] / volume


def virial_of_pairs(pairs: NeighborList, derivatives: Array) -> Array:
    """dE/d(strain) = sum_p D_p (x) dE/dD_p, (3, 3) energy, as :func:`stress_of_pairs`."""
    return np.array([column @ derivatives for column in pairs.vectors.T])  # thrice as fast as one product


def virials_of_pairs(pairs: NeighborList, derivatives: Array) -> Array:
    r"""Virials of the atoms, :math:`W_j = -\sum_i D_{ij} \otimes \partial U_i / \partial D_{ij}`.

    They belong to the neighbor j, and W_j[a, b] v_j[b] is what atom j adds to the heat flux
    (:mod:`bnnp.dynamics.heat_flux`). Minus their sum is the volume times the stress.

    Parameters
    ----------
    derivatives : (n_pairs, 3) float64, energy/length
        dU_i/dD_ij of the energy U_i of the center.

    Returns
    -------
    (n_atoms, 3, 3) float64, energy
    """
    return _core.neighbor_virials(pairs.first, pairs.neighbors, pairs.vectors, derivatives)


def pair_differences(pairs: NeighborList, values: Array) -> Array:
    """Value of the center minus value of the neighbor, (n_pairs, 3): the transpose of :func:`sum_pairs`.

    Parameters
    ----------
    values : (n_atoms, 3) float64
    """
    return _core.pair_differences(pairs.first, pairs.neighbors, values)
