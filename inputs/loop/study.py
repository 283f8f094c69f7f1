"""Does it pay to choose labels by uncertainty? Copper by EMT, from a cold crystal on, against random ones.

    python inputs/loop/study.py RESULTS
    python inputs/loop/study.py RESULTS --seeds 5 --generations 4

The start set is molecular dynamics of a crystal of 32 atoms at 300 K. Campaigns of `bnnp --loop` explore
300, 800 and 1400 K and a ramp to 2500 K that heats it, with the same number of labels by uncertainty and at
random, and the potential after each generation predicts sets of EMT's own dynamics that no campaign has seen.
What is finished is not repeated; the table is made of results.csv.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import ase.units
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from bnnp.io.ase_atoms import from_atoms
from bnnp.structure import Structure
from bnnp.units import METAL

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from campaign_study import Study, arguments, run  # noqa: E402

INPUT = Path(__file__).with_name("study.nn")
SETS = {"300 K": 300.0, "1000 K": 1000.0, "liquid, 2200 K": 2200.0}
START, TEST = 80, 20  # structures
EQUILIBRATION, INTERVAL, TIMESTEP = 400, 20, 4.0  # steps, steps, fs
MELT = 4000.0  # K, at first, where the set is hotter than the crystal can be
HOTTEST = 1400.0  # K


def dynamics(temperature: float, frames: int, seed: int) -> Iterator[Structure]:
    """Snapshots of EMT's dynamics at constant volume, with energy, forces and stress."""
    rng = np.random.default_rng([seed, round(temperature)])
    atoms: Atoms = bulk("Cu", a=3.6 if temperature <= HOTTEST else 3.8, cubic=True) * (2, 2, 2)
    atoms.calc = EMT()
    thermalize_momenta(atoms, temperature_K=2.0 * temperature, rng=rng)
    step, friction = TIMESTEP * ase.units.fs, 0.02 / ase.units.fs
    bath = Langevin(atoms, step, temperature_K=temperature, friction=friction, fixcm=False, rng=rng)
    if temperature > HOTTEST:
        bath.set_temperature(temperature_K=MELT)
        bath.run(EQUILIBRATION)
        bath.set_temperature(temperature_K=temperature)
    bath.run(EQUILIBRATION)
    for _ in range(frames):
        bath.run(INTERVAL)
        atoms.get_stress()
        yield from_atoms(atoms, METAL)


def study() -> Study:
    """Copper by EMT."""
    sets = {name: partial(dynamics, temperature, TEST, 1000) for name, temperature in SETS.items()}
    return Study(INPUT, lambda seed: dynamics(300.0, START, seed), sets)


if __name__ == "__main__":
    run(study(), arguments(__doc__).parse_args())
