"""The physical guard: limits that need no uncertainty.

Whatever the stop rule says, a run ends when two atoms are closer than a share of the sum of their covalent
radii (B. Cordero et al., Dalton Trans. 2008, 2832), when a force or the temperature is too large, or when the
conserved quantity drifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from bnnp.descriptors.neighbors import NeighborList
from bnnp.dynamics.simulation import Simulation
from bnnp.messages import count


@dataclass(frozen=True)
class Guard:
    """Limits of what is physical. A check returns a sentence about what is wrong, or an empty string.

    Parameters
    ----------
    distance : float
        Shortest distance in sums of covalent radii; 0 for none.
    force : float, eV/Angstrom
        Largest length of a force.
    temperature : float, K
    drift : float, eV
        Largest change of the conserved quantity per atom in a stage.
    """

    distance: float = 0.0
    force: float = inf
    temperature: float = inf
    drift: float = inf

    def check(self, simulation: Simulation) -> str:
        """Check forces and temperature."""
        atoms = simulation.atoms
        forces = atoms.get_forces()
        lengths = np.sqrt(np.einsum("ax,ax->a", forces, forces))
        worst = int(np.argmax(lengths))
        if not lengths[worst] <= self.force:
            return (
                f"the force on atom {worst + 1} ({atoms.symbols[worst]}) is {lengths[worst]:.3g} eV/Angstrom"
            )
        temperature = simulation.temperature()
        if not temperature <= self.temperature:
            return f"the temperature is {temperature:.0f} K"
        return ""

    def check_drift(self, simulation: Simulation) -> str:
        """Check the conserved quantity."""
        drift = simulation.drift() / len(simulation.atoms)
        if not abs(drift) <= self.drift:
            return (
                f"the conserved quantity has changed by {1000 * drift:.3g} meV/atom in "
                f"{count(simulation.progress.step, 'step')} of {simulation.stage.timestep:g} fs"
            )
        return ""

    def check_distances(self, atoms: Atoms, pairs: NeighborList) -> str:
        """Check the distances of `pairs`, whose vectors are in Angstrom."""
        if self.distance <= 0.0 or len(pairs) == 0:
            return ""
        radii = covalent_radii[atoms.numbers]
        shortest = self.distance * (radii[pairs.centers] + radii[pairs.neighbors])
        squares = np.einsum("pc,pc->p", pairs.vectors, pairs.vectors)
        excess = squares / np.square(shortest)
        pair = int(np.argmin(excess))
        if excess[pair] >= 1.0:
            return ""
        i, j = int(pairs.centers[pair]), int(pairs.neighbors[pair])
        return (
            f"atoms {i + 1} ({atoms.symbols[i]}) and {j + 1} ({atoms.symbols[j]}) are "
            f"{np.sqrt(squares[pair]):.3g} Angstrom apart"
        )
