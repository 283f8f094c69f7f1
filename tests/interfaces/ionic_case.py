r"""Ionic molecules of lithium, magnesium and fluorine: point charges, and a repulsion of close pairs.

.. math:: E = \sum_{i<j} q_i q_j / r_{ij} + \sum_{i<j} 3 \exp(-r_{ij} / 0.6)

in hartree and bohr. Atoms are apart by up to four cutoffs of the symmetry functions, beyond which the
repulsion is below 1e-4 of the energy: what networks of short range cannot know are the charges of far atoms.
"""

from __future__ import annotations

import numpy as np

from bnnp.structure import Set, Structure

CHARGES = {3: 0.5, 12: 1.1, 9: -0.8}  # Li, Mg, F; 2, 2 and 4 of them are neutral
NUMBERS = np.array([3, 3, 12, 12, 9, 9, 9, 9])
INPUT = """\
number_of_elements 3
elements Li F Mg
random_seed 3
use_short_forces
test_fraction 0.2
check_units .false.
cutoff_type 2
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 1
global_nodes_short 6
global_activation_short t l
global_symfunction_short 2 0.10 0.0 6.0
global_symfunction_short 2 0.60 3.5 6.0
dropout_rate 0.0
"""
JOINT = """\
nnp_type 3G-HDNNP
train_charges joint
global_hidden_layers_electrostatic 1
global_nodes_electrostatic 3
global_activation_electrostatic t l
"""


def ionic(count: int, seed: int = 2) -> list[Structure]:
    """Molecules with energies, forces and no charges; every fifth is for testing."""
    rng, q = np.random.default_rng(seed), np.array([CHARGES[number] for number in NUMBERS.tolist()])
    found: list[Structure] = []
    while len(found) < count:
        r = rng.uniform(0.0, 14.0, (8, 3))
        D = r[:, None] - r
        square = (D**2).sum(axis=2) + 1e9 * np.eye(8)
        if square.min() < 3.2**2:
            continue
        distance = np.sqrt(square)
        coulomb, repulsion = np.outer(q, q) / distance, 3.0 * np.exp(-distance / 0.6)
        np.fill_diagonal(coulomb, 0.0)
        energy = 0.5 * (coulomb + repulsion).sum()
        pull = coulomb / square + repulsion / (0.6 * distance)
        forces = (pull[:, :, None] * D).sum(axis=1)
        subset = Set.TEST if len(found) % 5 == 4 else Set.TRAIN
        found.append(Structure(NUMBERS, r, energy=float(energy), forces=forces, subset=subset))
    return found
