r"""The gradient of the standard deviation of the energy, for dynamics that seeks the unknown.

.. math::
    \sigma^2 = \frac{1}{S - 1} \sum_s (E_s - \bar E)^2, \qquad
    \frac{\partial \sigma}{\partial r_i} = \sum_s w_s \frac{\partial E_s}{\partial r_i}, \qquad
    w_s = \frac{\partial \sigma}{\partial E_s} = \frac{E_s - \bar E}{(S - 1)\, \sigma}

over the S frozen samples; for an ensemble sigma is the total of :mod:`bnnp.uncertainty.ensemble`. The
weighted sum of the dE_s/dG of all samples is swept back to the atoms once, so that the gradient costs about
as much as the forces.

A bias energy -k sigma makes the dynamics climb sigma (V. Zaverkin et al., npj Comput. Mater. 10, 83 (2024),
who have the stress of it, too). Here k is constant, so that E - k sigma is conserved; it does not saturate,
and a run ends by its stop rule. In calibrated units sigma is that of the samples times a constant factor,
that of their calibration beyond the calibration set (`Potential.spread_factor`). The last-layer and distance
parts of a hybrid sigma are left out: it jumps where an atom meets a neighbor that its element never met in
training, and no force follows from a jump.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import NeighborList
from bnnp.descriptors.pairs import stress_of_pairs, sum_pairs
from bnnp.potential.potential import Potential
from bnnp.structure import Structure
from bnnp.uncertainty.ensemble import sigma_slopes

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SigmaGradient:
    """Derivatives of the raw standard deviation of the energy.

    Parameters
    ----------
    forces : (n_atoms, 3) float64, energy/length
        MINUS the gradient, as forces are that of the energy.
    stress : (6,) float64, energy/length^3, or None without a cell
        ASE's sign and order.
    """

    forces: Array
    stress: Array | None


def sigma_gradient(
    potential: Potential, structure: Structure, pairs: NeighborList, descriptors: Array, totals: Array
) -> SigmaGradient:
    """The gradient for one structure.

    Parameters
    ----------
    potential : Potential
        With frozen masks, two samples at least, and no charges.
    pairs : NeighborList
        Of the structure, within the largest cutoff.
    descriptors, totals : (n_atoms, width), (S,) float64
        `descriptors` and `samples` of its :class:`bnnp.prediction.Prediction`.
    """
    types, networks = potential.types(structure), potential.samplers
    _, _, delta = networks.sample(types, potential.scaled(types, descriptors), False, True)
    gradient = networks.weighted_gradient(types, delta, sigma_slopes(totals, potential.sizes))
    factors = potential.inputs.factor / potential.model.normalization.conv_energy
    slopes = potential.descriptor.vjp(types, pairs, gradient * factors[types])
    volume = structure.volume
    return SigmaGradient(
        sum_pairs(pairs, slopes), None if volume is None else stress_of_pairs(pairs, slopes, volume)
    )
