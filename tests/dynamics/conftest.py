"""A small crystal of the closed-form potential, ready to move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from bnnp.dynamics.simulation import thermalize
from bnnp.interfaces.ase import BNNP


@pytest.fixture
def crystal(solid: Path) -> Callable[..., Atoms]:
    """Copper at its lattice constant with thermal momenta; a supercell of `repeat`."""

    def make(temperature: float = 300.0, repeat: int = 2, seed: int = 1, lattice: float = 4.05) -> Atoms:
        atoms = bulk("Cu", a=lattice, cubic=True) * repeat
        atoms.calc = BNNP(solid, warn=False)
        thermalize(atoms, temperature, np.random.default_rng(seed))
        return atoms

    return make
