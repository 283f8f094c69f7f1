"""What a potential says about one structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.uncertainty.hybrid import Parts

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the potential says about one structure, in the units of the potential.

    Every ``_std_raw`` is the standard deviation (S - 1) over the Monte Carlo samples, None without samples.
    An ``_std`` is the calibrated one if the potential has a calibration of the quantity, else the raw one;
    atomic energies have no reference and are never calibrated.

    Parameters
    ----------
    energy : float
        Free-atom energies included.
    energy_std : float or None
        Of the total energy.
    atomic_energies, atomic_energies_std : (n_atoms,) float64
        Without the free-atom energies. Their standard deviations are always raw: there is no reference of an
        atomic energy to calibrate them by.
    forces, forces_std : (n_atoms, 3) float64, or None if not asked for
    stress, stress_std : (6,) float64, or None without a cell or if not asked for
        ASE's sign and order, see :class:`bnnp.structure.Structure`.
    descriptors : (n_atoms, width) float64
        Unscaled symmetry functions, zero-padded.
    energy_between, forces_between : float, (n_atoms, 3) float64, or None
        The part of the raw standard deviation that is between the networks of an ensemble; None for one.
    energy_std_raw, forces_std_raw, stress_std_raw : as those without ``_raw``
    parts : Parts or None
        What the calibration works with: sigma_MC and, if the potential has a domain, last layer and distance.
    """

    energy: float
    energy_std: float | None
    atomic_energies: Array
    atomic_energies_std: Array | None
    forces: Array | None
    forces_std: Array | None
    stress: Array | None
    stress_std: Array | None
    descriptors: Array
    energy_between: float | None = None
    forces_between: Array | None = None
    energy_std_raw: float | None = None
    forces_std_raw: Array | None = None
    stress_std_raw: Array | None = None
    parts: Parts | None = None
