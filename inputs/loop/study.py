"""Does it pay to choose labels by uncertainty? Copper by EMT, from a cold crystal on, against random ones.

    python inputs/loop/study.py RESULTS
    python inputs/loop/study.py RESULTS --seeds 5 --generations 4

The start set is molecular dynamics of a crystal of 32 atoms at 300 K. Campaigns of `bnnp --loop` explore
300, 800 and 1400 K and a ramp to 2500 K that heats it, with the same number of labels by uncertainty and at
random, and the potential after each generation predicts sets of EMT's own dynamics that no campaign has seen.
What is finished is not repeated; the table is made of results.csv.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import ase.units
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.potential.loading import load
from bnnp.structure import Structure
from bnnp.units import METAL

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from study_tools import append_rows, read_rows, rms, run_bnnp  # noqa: E402

INPUT = Path(__file__).with_name("study.nn")
ARMS = ("uncertainty", "random")
SETS = {"300 K": 300.0, "1000 K": 1000.0, "liquid, 2200 K": 2200.0}
COLUMNS = ("arm", "seed", "generation", "labels", "set", "rmse_E", "rmse_F")
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


def prepare(folder: Path, seed: int) -> None:
    """The start set of a seed, and the sets to judge by."""
    for name, temperature in SETS.items():
        path = folder / f"{name}.data"
        if not path.is_file():
            write_structures(path, dynamics(temperature, TEST, 1000))
    path = folder / f"start_{seed}.data"
    if not path.is_file():
        write_structures(path, dynamics(300.0, START, seed))


def campaign(folder: Path, arm: str, seed: int, generations: int) -> Path:
    """Run a campaign to its end, or go on with it."""
    own = folder / f"{arm}_{seed}"
    own.mkdir(exist_ok=True)
    text = INPUT.read_text() + f"random_seed {seed}\nloop_select {arm}\nloop_generations {generations}\n"
    (own / "input.nn").write_text(text)
    (own / "input.data").write_text((folder / f"start_{seed}.data").read_text())
    first = folder / f"{ARMS[0]}_{seed}" / "generation_000"  # the same for all arms
    if (first / "judge" / "done.json").is_file() and not (own / "generation_000").exists():
        shutil.copytree(first, own / "generation_000")
    run_bnnp(own, "loop.log", "--loop")
    return own


def errors(folder: Path, own: Path, generation: int) -> Iterator[tuple[str, float, float]]:
    """Root mean square errors on each set, meV/atom and meV/Angstrom, of the potential of a generation."""
    potential = load(own / f"generation_{generation:03d}" / "train" / "potential")
    for name in SETS:
        structures = list(StructureFile(folder / f"{name}.data"))
        found = [potential.predict(each, forces=True, stress=False) for each in structures]
        energy = [(f.energy.value - s.energy) / len(s) for f, s in zip(found, structures, strict=True)]
        force = [np.ravel(f.forces.value - s.forces) for f, s in zip(found, structures, strict=True)]
        yield name, 1000.0 * rms(np.array(energy)), 1000.0 * rms(np.concatenate(force))


def labels(own: Path, generation: int) -> int:
    """Labels that a campaign has used up to a generation."""
    rows = np.loadtxt(own / "loop.out", ndmin=2)
    return int(rows[: generation + 1, 1].sum())


def table(rows: list[dict[str, str]]) -> Iterator[str]:
    """Mean over the seeds, and its standard error, of the force errors of each arm."""
    keys = sorted({(int(row["generation"]), row["arm"]) for row in rows})
    yield "| generation | arm | labels | " + " | ".join(f"F, {name}" for name in SETS) + " |"
    yield "|---|---|---|" + "---|" * len(SETS)
    for generation, arm in keys:
        own = [row for row in rows if row["arm"] == arm and int(row["generation"]) == generation]
        cells = []
        for name in SETS:
            values = np.array([float(row["rmse_F"]) for row in own if row["set"] == name])
            several = len(values) > 1
            error = f" +- {values.std(ddof=1) / np.sqrt(len(values)):.0f}" if several else ""
            cells.append(f"{values.mean():.0f}{error}")
        mean = np.mean([float(row["labels"]) for row in own])
        yield f"| {generation} | {arm} | {mean:.0f} | " + " | ".join(cells) + " |"


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--generations", type=int, default=4)
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    for seed in range(1, given.seeds + 1):
        prepare(given.results, seed)
        for arm in ARMS:
            done = {(row["arm"], row["seed"], row["generation"]) for row in read_rows(given.results)}
            wanted = [g for g in range(given.generations + 1) if (arm, str(seed), str(g)) not in done]
            if wanted:
                own = campaign(given.results, arm, seed, given.generations)
            for generation in wanted:
                number = labels(own, generation)
                found = errors(given.results, own, generation)
                rows = [(arm, seed, generation, number, *each) for each in found]
                append_rows(given.results, COLUMNS, rows)
    print("\n".join(table(read_rows(given.results))))


if __name__ == "__main__":
    main()
