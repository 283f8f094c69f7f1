"""Silicon by the Stillinger-Weber potential: crystals to train on, and all kinds of structures to ask about.

    python silicon.py DIRECTORY

Writes crystals.extxyz (64 atoms, 300, 600 and 900 K), and for each kind of `KINDS` a file: the crystals of a
second run, hotter ones, the melt, a vacancy, an interstitial, a surface, cells of 0.85 to 1.15 times the
lattice constant, and two atoms pushed together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import ase.io
import ase.units
import numpy as np
from ase import Atoms
from ase.build import bulk, diamond100
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from stillinger_weber import ELEMENTS, StillingerWeber  # noqa: E402

TIMESTEP = 2.0 * ase.units.fs
FRICTION = 0.02 / ase.units.fs
INTERVAL = 25  # steps between frames
TRAINED = (300, 600, 900)  # K
SCALES = (0.85, 0.90, 0.95, 1.05, 1.10, 1.15)
CLOSE = (2.1, 1.9, 1.7, 1.5, 1.3)  # Angstrom

Maker = Callable[[np.random.Generator], list[Atoms]]


def crystal() -> Atoms:
    """64 atoms."""
    return bulk("Si", "diamond", a=ELEMENTS["Si"].lattice, cubic=True) * (2, 2, 2)


def dynamics(atoms: Atoms, kelvin: float, frames: int, rng: np.random.Generator) -> list[Atoms]:
    """A run that begins with the given positions; the first 150 steps are not kept."""
    atoms = atoms.copy()
    atoms.calc = StillingerWeber(ELEMENTS["Si"])
    thermalize_momenta(atoms, temperature_K=kelvin, rng=rng)
    run = Langevin(atoms, TIMESTEP, temperature_K=kelvin, friction=FRICTION, fixcm=False, rng=rng)
    run.run(150)
    found = []
    for _ in range(frames):
        run.run(INTERVAL)
        found.append(Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True))
    return found


def crystals(rng: np.random.Generator, frames: int = 6) -> list[Atoms]:
    """At the temperatures of the training."""
    return [each for kelvin in TRAINED for each in dynamics(crystal(), kelvin, frames, rng)]


def melt(rng: np.random.Generator) -> list[Atoms]:
    """Melted at 4000 K, then at 2500 K."""
    return dynamics(dynamics(crystal(), 4000, 40, rng)[-1], 2500, 16, rng)


def vacancy(rng: np.random.Generator) -> list[Atoms]:
    """63 atoms at 600 K."""
    return dynamics(crystal()[1:], 600, 16, rng)


def interstitial(rng: np.random.Generator) -> list[Atoms]:
    """65 atoms at 600 K, one of which began in a tetrahedral site."""
    found = crystal()
    found.append("Si")
    found.positions[-1] = np.full(3, 0.5 * ELEMENTS["Si"].lattice)
    return dynamics(found, 600, 16, rng)


def surface(rng: np.random.Generator) -> list[Atoms]:
    """Both (100) sides of a slab of 64 atoms in vacuum at 600 K; dimers form within the first frames."""
    found = diamond100("Si", (4, 2, 8), a=ELEMENTS["Si"].lattice, vacuum=6.0)
    found.pbc = True
    return dynamics(found, 600, 16, rng)


def scaled(rng: np.random.Generator) -> list[Atoms]:
    """Crystals at 300 K, compressed and stretched."""
    found = []
    for each, scale in zip(dynamics(crystal(), 300, 3 * len(SCALES), rng), 3 * SCALES, strict=True):
        each.set_cell(scale * each.cell, scale_atoms=True)
        found.append(each)
    return found


def close_contacts(rng: np.random.Generator) -> list[Atoms]:
    """Crystals at 300 K with one atom moved towards a neighbor."""
    found = []
    for each, length in zip(dynamics(crystal(), 300, 3 * len(CLOSE), rng), 3 * CLOSE, strict=True):
        near = int(np.argsort(each.get_distances(0, range(len(each)), mic=True))[1])
        each.set_distance(0, near, length, fix=1, mic=True)
        found.append(each)
    return found


KINDS: dict[str, Maker] = {
    "in": crystals,
    "hotter": lambda rng: dynamics(crystal(), 1500, 16, rng),
    "melt": melt,
    "vacancy": vacancy,
    "interstitial": interstitial,
    "surface": surface,
    "scaled": scaled,
    "close": close_contacts,
}


def make(directory: Path) -> None:
    """All files, unless they are there."""
    if (directory / f"{list(KINDS)[-1]}.extxyz").exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    write(directory / "crystals.extxyz", crystals(np.random.default_rng(1), 40))
    for number, (name, make) in enumerate(KINDS.items(), 2):
        write(directory / f"{name}.extxyz", make(np.random.default_rng(number)))


def write(path: Path, structures: Sequence[Atoms]) -> None:
    """Label and write."""
    teacher = StillingerWeber(ELEMENTS["Si"])
    for atoms in structures:
        teacher.calculate(atoms)
        atoms.calc = SinglePointCalculator(atoms, **teacher.results)
    ase.io.write(path, structures)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(Path(sys.argv[1]))
