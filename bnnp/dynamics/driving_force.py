r"""Homogeneous nonequilibrium dynamics: a force on each atom that drives a heat flux, and the conductivity.

.. math::
    F_i = (e_i - \bar e_{X_i}) F_e + F_e \cdot W_i - \bar F, \qquad
    \kappa = \frac{\langle J \cdot F_e \rangle}{T V F_e^2}, \qquad J \cdot F_e = \sum_i F_i \cdot v_i

with e_i and W_i of :mod:`bnnp.dynamics.heat_flux`: D. J. Evans, Phys. Lett. A 91, 457 (1982); Z. Fan et al.,
Phys. Rev. B 99, 064308 (2019), eqs. 8 and 11. The mean energy of each element, e_X, is subtracted, as
free-atom energies would pull the elements apart, which is no conduction in a solid. The mean force is
subtracted, so that the momentum is conserved. The heat J . F_e dt that the force gives to the atoms is known
step by step; a thermostat takes it away. F_e must be so small that kappa does not depend on it.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

Array = NDArray[np.float64]


def driving_forces(field: Array, energies: Array, virials: Array, numbers: NDArray[np.integer]) -> Array:
    """F_i above, (n_atoms, 3) energy/length.

    Parameters
    ----------
    field : (3,) float64, 1/length
        F_e.
    energies : (n_atoms,) float64, energy
        e_i, with the kinetic part.
    virials : (n_atoms, 3, 3) float64, energy
        W_i; its first index is that of J.
    numbers : (n_atoms,) int
        Atomic numbers.
    """
    _, element, size = np.unique(numbers, return_inverse=True, return_counts=True)
    excess = energies - (np.bincount(element, energies) / size)[element]
    forces = excess[:, None] * field + np.einsum("a,iab->ib", field, virials)
    return np.asarray(forces - forces.mean(axis=0))


def kick(atoms: Atoms, field: Array, time: float) -> float:
    """Let the driving force act for `time`; the work it does, eV.

    Parameters
    ----------
    atoms : ase.Atoms
        With a :class:`bnnp.interfaces.ase.BNNP`; its momenta change.
    field : (3,) float64, 1/Angstrom
    time : float, ASE's unit
    """
    masses, velocities = atoms.get_masses(), atoms.get_velocities()
    kinetic = 0.5 * masses * np.einsum("ia,ia->i", velocities, velocities)
    virials, energies = (atoms.calc.get_property(name, atoms) for name in ("virials", "energies"))
    forces = driving_forces(field, kinetic + energies, virials, atoms.numbers)
    atoms.set_momenta(atoms.get_momenta() + time * forces)
    return float(atoms.get_kinetic_energy() - kinetic.sum())
