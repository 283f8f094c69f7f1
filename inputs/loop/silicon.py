"""Rare events in silicon: does a loop learn those that its start set does not have?

    python inputs/loop/silicon.py RESULTS
    python inputs/loop/silicon.py RESULTS --seeds 5 --generations 6 --lifetimes

Labels are those of Stillinger and Weber. The start set is dynamics of the perfect crystal, 64 atoms, at
300 K. Campaigns of `bnnp --loop` explore crystal, vacancy and Frenkel pair at 0.7 to 1.1 times the melting
point of the potential, 1691 K, by uncertainty and at random. Judged by errors at 300 K and on a set of
events; and by whether runs of a picosecond from the same positions and velocities have an event, an atom that
ends more than 1.5 Angstrom from its place: missed, if only the exact run has one, and false, if only that of
the potential has. Such runs diverge in any case: the last line of the output counts both for exact runs with
velocities changed by 0.1 %. With --lifetimes, `bnnp phonons` gives the conductivity before and after, beside
the exact one (extra phonons).
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import ase.io
import ase.units
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from bnnp.errors import NumericalError
from bnnp.interfaces.ase import BNNP
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.structure import Structure
from bnnp.units import METAL

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))
from campaign_study import Study, arguments, run  # noqa: E402
from stillinger_weber import ELEMENTS, StillingerWeber, snapshots  # noqa: E402

SILICON = ELEMENTS["Si"]
MELTING, HOTTEST = 1691.0, 1.1  # K; times that
START, TEST = 60, 20  # structures
HOP = 1.5  # Angstrom, of 2.35 between neighbors
TIMESTEP, EQUILIBRATION, LENGTH, INTERVAL = 1.0, 300, 1000, 50  # fs, steps
CHANGED = 1e-3  # of velocities
MESH = 18.0  # of bnnp phonons --lifetimes


def defects() -> list[Atoms]:
    """Crystal, vacancy and Frenkel pair, 64 or 63 atoms."""
    crystal = bulk("Si", a=SILICON.lattice, cubic=True) * 2
    vacancy, pair = crystal.copy(), crystal.copy()
    del vacancy[0]
    pair.positions[0] += SILICON.lattice * np.array([0.5, 0.5, 1.5])  # a tetrahedral place, far from its own
    return [crystal, vacancy, pair]


def starts(number: int, temperature: float) -> Iterator[Atoms]:
    """Configurations with momenta, every second with a vacancy and a Frenkel pair."""
    for seed in range(number):
        rng, atoms = np.random.default_rng([seed, 7]), defects()[1 + seed % 2]
        atoms.calc = StillingerWeber(SILICON)
        thermalize_momenta(atoms, temperature_K=temperature, rng=rng)
        step, friction = TIMESTEP * ase.units.fs, 0.02 / ase.units.fs
        Langevin(atoms, step, temperature_K=temperature, friction=friction, fixcm=False, rng=rng).run(
            EQUILIBRATION
        )
        yield atoms


def follow(atoms: Atoms, calculator: Calculator) -> Iterator[Atoms]:
    """Frames of a run at constant energy; the last one tells whether there was an event."""
    moving = atoms.copy()
    moving.calc = calculator
    motion = VelocityVerlet(moving, TIMESTEP * ase.units.fs)
    for _ in range(LENGTH // INTERVAL):
        motion.run(INTERVAL)
        yield moving


def happened(atoms: Atoms, calculator: Calculator) -> bool:
    """Whether an atom has left its place at the end of a run, or the run cannot go on."""
    try:
        (*_, last) = follow(atoms, calculator)
    except NumericalError:  # of the potential: atoms that coincide
        return True
    return not np.linalg.norm(last.positions - atoms.positions, axis=1).max() <= HOP  # NaN, too


class Events:
    """Runs whose exact outcome is known, in a directory."""

    def __init__(self, results: Path, number: int) -> None:
        self.path, self.number = results / "events.extxyz", number

    @cached_property
    def known(self) -> list[Atoms]:
        """Configurations with momenta; info has `event` and `changed`, that with changed velocities."""
        if not self.path.is_file():
            found = []
            for atoms in starts(self.number, HOTTEST * MELTING):
                own = atoms.copy()
                other, exact = atoms.copy(), StillingerWeber(SILICON)
                rng = np.random.default_rng(1)
                other.set_momenta(other.get_momenta() * (1.0 + CHANGED * rng.normal(size=(len(other), 3))))
                own.info |= {"event": happened(own, exact), "changed": happened(other, exact)}
                found.append(own)
            temporary = self.path.with_suffix(".tmp")
            ase.io.write(temporary, found, format="extxyz")
            temporary.rename(self.path)
        return list(ase.io.read(self.path, ":"))

    def score(self, outcomes: list[bool]) -> dict[str, float]:
        """Missed and false events of runs, in all of them."""
        exact = np.array([bool(atoms.info["event"]) for atoms in self.known])
        found = np.array(outcomes)
        return {"missed": float(np.sum(exact & ~found)), "false": float(np.sum(~exact & found))}

    def frames(self) -> Iterator[Structure]:
        """Frames of the exact runs with an event, labeled: one of each run at most, TEST in all."""
        chosen = [atoms for atoms in self.known if atoms.info["event"]] or self.known
        for number in range(TEST):
            start = chosen[number % len(chosen)]
            for frame, moving in enumerate(follow(start, StillingerWeber(SILICON))):
                if frame == 2 + number // len(chosen) % 10:
                    moving.get_stress()
                    moving.info = {}
                    yield from_atoms(moving, METAL)
                    break


def lifetimes(potential: Path, results: Path) -> dict[str, float]:
    """Conductivity in the relaxation-time approximation, of the potential and exact, W/(m K)."""
    path = HERE.parent / "silicon_transport" / "study.py"
    spec = importlib.util.spec_from_file_location("silicon_transport_study", path)
    assert spec is not None
    assert spec.loader is not None
    transport = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(transport)
    own = results / "phonons" / f"{potential.parents[2].name}_{potential.parents[1].name}"
    if not own.exists():
        shutil.copytree(potential, own)
    ase.io.write(own.parent / "silicon.vasp", transport.crystal())
    found = {name: value for name, (value, _) in transport.properties(own, MESH).items() if "kappa" in name}
    exact = {f"{name}, exact": value for name, value in transport.exact(own, MESH).items() if "kappa" in name}
    return found | exact


def study(words: argparse.Namespace) -> Study:
    """The study of these options."""
    results = words.results.resolve()
    results.mkdir(parents=True, exist_ok=True)
    events = Events(results, words.events)

    def judge(potential: Path) -> Mapping[str, float]:
        model = BNNP(potential, warn=False)
        found = events.score([happened(atoms, model) for atoms in events.known])
        return found | (lifetimes(potential, results) if words.lifetimes else {})

    def equip(folder: Path) -> None:
        write_structures(
            folder / "starts.data", [from_atoms(each, METAL, labels=False) for each in defects()]
        )

    sets = {
        "300 K": lambda: snapshots("Si", np.array([300.0]), TEST, 999),
        "events": events.frames,
    }
    start = lambda seed: snapshots("Si", np.array([300.0]), START, seed)  # noqa: E731
    return Study(HERE / "silicon.nn", start, sets, equip, judge)


def main() -> None:
    """See the head of the file."""
    parser = arguments(__doc__)
    parser.add_argument("--events", type=int, default=40, help="runs to look for events in")
    parser.add_argument("--lifetimes", action="store_true", help="conductivity, too")
    words = parser.parse_args()
    run(study(words), words)
    known = Events(words.results.resolve(), words.events)
    changed = known.score([bool(atoms.info["changed"]) for atoms in known.known])
    number = sum(bool(atoms.info["event"]) for atoms in known.known)
    print(
        f"events in {number} of {len(known.known)} exact runs; exact, with velocities changed by 0.1 %: "
        f"{changed['missed']:.0f} missed, {changed['false']:.0f} false"
    )


if __name__ == "__main__":
    main()
