"""Make input.data of a two-element alloy with the effective medium theory (EMT) of ASE, in seconds.

\b
python tools/make_reference_data.py input.data
python tools/make_reference_data.py --elements Ag Pd -T 300 -T 900 --seed 7 input.data

For each composition and temperature a few short Langevin runs start from a randomly strained fcc cell
with randomly placed elements; free clusters are cut from the same crystal. Runs, not frames, are
pinned to the test set and the calibration set, so that none of their structures is a neighbor in time of
a training structure.

The EMT of K. W. Jacobsen, P. Stoltze, J. K. Norskov, Surf. Sci. 366, 394 (1996), stands in for a quantum
code: many-body, smooth, with energies, forces and stress that belong together, and no further package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import ase.units
import click
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from bnnp.errors import BnnpError, InputError
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.structure import Set, Structure
from bnnp.units import UNITS, Units

METALS = {  # fcc metals that EMT knows, with their lattice constants in Angstrom
    "Al": 4.05,
    "Ni": 3.52,
    "Cu": 3.61,
    "Pd": 3.89,
    "Ag": 4.09,
    "Pt": 3.92,
    "Au": 4.08,
}
CELLS = ((2, 1, 1), (2, 2, 1), (3, 2, 1), (2, 2, 2))  # cubic cells of 4 atoms: 8 to 32 atoms
CLUSTER_SIZES = (8, 13, 19)
STRAIN = 0.03  # standard deviation of the volume change of a side and of the shear
TIMESTEP = 4.0 * ase.units.fs
FRICTION = 0.02 / ase.units.fs
EQUILIBRATION = 250  # steps before the first snapshot, 1 ps
INTERVAL = 100  # steps between snapshots
DIGITS = 6  # of positions and cells, rounded BEFORE the labels are computed


@dataclass(frozen=True)
class Run:
    """One Langevin run: what it is made of and how it is marked."""

    elements: tuple[str, str]
    fraction: float
    temperature: float
    cluster: bool
    subset: Set | None

    @property
    def group(self) -> str:
        """Name that the structures of the run carry in the comment line."""
        return f"{'cluster' if self.cluster else 'bulk'}_{self.temperature:.0f}K"


def plan(
    elements: tuple[str, str],
    temperatures: tuple[float, ...],
    compositions: int,
    runs: int,
    test_runs: int,
    clusters: int,
    calibration_runs: int,
) -> list[Run]:
    """All runs: `runs` for fitting and `test_runs` for testing of each composition and temperature.

    Of clusters there are `clusters` for fitting at each temperature and, if anything is tested, one for
    testing. If anything is tested, `calibration_runs` of each kind follow at the end.
    """
    sets = [*runs * [Set.TRAIN], *test_runs * [Set.TEST]] if test_runs else runs * [None]
    cluster_sets = (
        [*clusters * [Set.TRAIN], *([Set.TEST] if clusters else [])] if test_runs else clusters * [None]
    )
    fractions = np.linspace(0.0, 1.0, compositions).tolist()
    result = []
    for temperature in temperatures:
        result += [Run(elements, x, temperature, False, subset) for x in fractions for subset in sets]
        result += [Run(elements, 0.5, temperature, True, subset) for subset in cluster_sets]
    tested = list(dict.fromkeys(run for run in result if run.subset == Set.TEST))
    return result + [replace(run, subset=Set.CALIBRATION) for run in tested for _ in range(calibration_runs)]


def starting_atoms(run: Run, rng: np.random.Generator) -> Atoms:
    """A strained fcc cell, or a free cluster cut from it, with the elements placed at random."""
    first, second = (METALS[element] for element in run.elements)
    side = (1.0 - run.fraction) * first + run.fraction * second  # Vegard's law
    cell = (4, 4, 4) if run.cluster else CELLS[rng.integers(len(CELLS))]
    atoms: Atoms = bulk("Cu", "fcc", a=side, cubic=True) * cell
    if run.cluster:
        center = atoms.cell.sum(axis=0) / 2 + rng.uniform(0.0, side, 3)
        nearest = np.argsort(np.linalg.norm(atoms.positions - center, axis=1))
        atoms = atoms[nearest[: rng.choice(CLUSTER_SIZES)]]
        atoms.pbc = False
        atoms.cell = None
    else:
        strain = rng.normal(scale=STRAIN, size=(3, 3))
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
    replaced = rng.permutation(len(atoms)) < round(run.fraction * len(atoms))
    atoms.symbols = np.where(replaced, run.elements[1], run.elements[0])
    return atoms


def snapshots(run: Run, number: int, rng: np.random.Generator) -> Iterator[Atoms]:
    """Frames of a Langevin run, one every `INTERVAL` steps."""
    atoms = starting_atoms(run, rng)
    atoms.calc = EMT()
    thermalize_momenta(atoms, temperature_K=run.temperature, rng=rng)
    dynamics = Langevin(
        atoms, TIMESTEP, temperature_K=run.temperature, friction=FRICTION, fixcm=False, rng=rng
    )
    for frame in range(number):
        dynamics.run(INTERVAL if frame else EQUILIBRATION)
        yield atoms


def label(atoms: Atoms, units: Units) -> Structure:
    """The structure with EMT's energy, forces and, in a cell, stress."""
    cell = np.round(atoms.cell.array, DIGITS) if atoms.pbc.all() else None
    rounded = Atoms(atoms.numbers, np.round(atoms.positions, DIGITS), cell=cell, pbc=cell is not None)
    rounded.calc = EMT()
    rounded.get_forces()
    if cell is not None:
        rounded.get_stress()
    return from_atoms(rounded, units)


def generate(runs: list[Run], number: int, seed: int, units: Units) -> Iterator[Structure]:
    """The structures of all runs; run k has its own random numbers, from (seed, k)."""
    for k, run in enumerate(runs):
        for atoms in snapshots(run, number, np.random.default_rng([seed, k])):
            info = {"group": run.group, "source": f"EMT:{k}"}
            yield replace(label(atoms, units), info=info, subset=run.subset)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--elements", nargs=2, default=("Cu", "Au"), show_default=True, help="Two fcc metals.")
@click.option(
    "-T",
    "--temperature",
    "temperatures",
    multiple=True,
    type=float,
    default=(300.0, 600.0, 900.0),
    show_default=True,
    help="Temperature in K; repeat the option for more.",
)
@click.option(
    "--compositions", type=click.IntRange(1), default=5, show_default=True, help="From pure to pure."
)
@click.option(
    "--runs",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="Runs for each composition and temperature.",
)
@click.option(
    "--test-runs",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="The same, pinned to the test set; 0: nothing is pinned.",
)
@click.option(
    "--calibration-runs",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="The same, pinned to the calibration set, if anything is pinned.",
)
@click.option(
    "--clusters",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Runs of free clusters for each temperature.",
)
@click.option(
    "--snapshots",
    "number",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Structures taken of each run.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of all random numbers.")
@click.option("--units", type=click.Choice(list(UNITS)), default="metal", show_default=True)
def main(
    output: Path,
    elements: tuple[str, str],
    temperatures: tuple[float, ...],
    compositions: int,
    runs: int,
    test_runs: int,
    calibration_runs: int,
    clusters: int,
    number: int,
    seed: int,
    units: str,
) -> None:
    """Make the data and say what was made."""
    try:
        if not set(elements) <= set(METALS):
            raise InputError(f"--elements {' '.join(elements)}: EMT knows the fcc metals {', '.join(METALS)}")
        everything = plan(elements, temperatures, compositions, runs, test_runs, clusters, calibration_runs)
        with click.progressbar(
            generate(everything, number, seed, UNITS[units]), length=len(everything) * number, label="EMT"
        ) as structures:
            count = write_structures(output, structures)
    except BnnpError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"{output}: {count} structures of {' and '.join(elements)}, units {units}")


if __name__ == "__main__":
    main()
