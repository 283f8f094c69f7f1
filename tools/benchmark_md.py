"""``benchmark.py md``: steps a second of molecular dynamics, and where the time goes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from benchmark_timing import COLUMNS, Results, measure, median, show_table

from bnnp.descriptors.skin import SkinNeighbors
from bnnp.dynamics.simulation import thermalize
from bnnp.interfaces.ase import BNNP
from bnnp.io.ase_atoms import to_atoms
from bnnp.io.input_data import StructureFile
from bnnp.potential.loading import load
from bnnp.potential.potential import Potential
from bnnp.structure import Structure

WARM_UP = 10  # steps before the clock starts
BLOCK = 10  # steps of a round
STEP = "a step"
PARTS = (
    "neighbors (skin list)",
    "symmetry functions",
    "networks, all samples",
    "forces (reverse sweep)",
)


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--structure", default=1, show_default=True, help="Number in DATA, from 1.")
@click.option("--steps", default=200, show_default=True)
@click.option("--temperature", default=600.0, show_default=True, help="K")
@click.option("--threads", default=1, show_default=True)
@click.option(
    "--sigma-every", default=0, show_default=True, help="Sigmas of the forces every n steps; 0: never."
)
@click.pass_obj
def md(
    results: Results,
    directory: Path,
    data: Path,
    structure: int,
    steps: int,
    temperature: float,
    threads: int,
    sigma_every: int,
) -> None:
    """Time NVE steps of 1 fs: mean over all samples, sigma of the energy at every step."""
    potential = load(directory, threads=threads)
    start = StructureFile(data, potential.elements, require_labels=False)[structure - 1]
    atoms = to_atoms(start, potential.units)
    atoms.calc = BNNP(potential, sigma_every=sigma_every)
    thermalize(atoms, temperature, np.random.default_rng(1))
    samples = potential.sizes[0]
    click.echo(
        f"{len(atoms)} atoms, {max(potential.descriptor.n_functions)} functions, {samples} samples, "
        f"{threads} threads, {potential.kernel}"
    )
    dynamics = VelocityVerlet(atoms, units.fs)
    dynamics.run(WARM_UP)
    parts = parts_of(potential, atoms)
    calls = {STEP: partial(dynamics.run, BLOCK)} | {name: partial(block, parts[name]) for name in parts}
    found = measure(calls, steps // BLOCK, math.inf)
    step = found[STEP].per(BLOCK)
    by_clock, by_processor = (1 / median(each) for each in (step.wall, step.processor))
    click.echo(f"steps/s                 {by_clock:8.1f}, of a processor {by_processor:8.1f}")
    click.echo(f"ns/day at 1 fs          {0.0864 * by_clock:8.2f}")
    searches = dynamics.nsteps / max(atoms.calc.searches - 1, 1)
    click.echo(f"neighbor searches       one in {searches:.0f} steps")
    rows, rest = [], 1.0
    for name, row in found.items():
        share = median(row.processor) / median(found[STEP].processor)
        rest -= share if name in PARTS else 0.0
        row = results.add(row.per(BLOCK * len(atoms)), directory.resolve().name, "md", name)
        rows.append((name, *row.cells(), f"{100 * share:.1f}"))
    show_table(("part", *COLUMNS, "% of a step"), rows)
    click.echo(f"integrator, ASE, the rest: {100 * rest:.1f} %")


def block(call: Callable[[], object]) -> None:
    """Call BLOCK times, as there are BLOCK steps in a round."""
    for _ in range(BLOCK):
        call()


def parts_of(potential: Potential, atoms: Atoms) -> dict[str, Callable[[], object]]:
    """The parts of one evaluation, a whole one, and one with the heat flux."""
    length = potential.units.angstrom
    structure = Structure(
        atoms.numbers.astype(np.int64),
        atoms.positions / length,
        np.array(atoms.cell) / length if atoms.pbc.any() else None,
    )
    skin = SkinNeighbors(potential.descriptor.radius, 0.5 / length)
    descriptor, types = potential.descriptor, potential.types(structure)
    pairs = skin.find(structure.positions, structure.cell, structure.numbers)
    values = descriptor.values(types, pairs)
    inputs, core = potential.scaled(types, values), potential.samplers
    plain, with_virials = BNNP(potential, warn=False), BNNP(potential, virials=True, warn=False)
    still = atoms.copy()

    def forces(calc: BNNP) -> None:
        still.positions[0, 0] += 1e-6  # or the last result would do
        calc.get_property("forces", still)

    def flux() -> None:
        forces(with_virials)
        with_virials.heat_flux(still)

    calls: tuple[Callable[[], object], ...] = (
        lambda: skin.find(structure.positions, structure.cell, structure.numbers),
        lambda: descriptor.values(types, pairs),
        lambda: core.sample(types, inputs, True, False),
        lambda: descriptor.vjp(types, pairs, values),
    )
    return dict(zip(PARTS, calls, strict=True)) | {
        "a force call": lambda: forces(plain),
        "the same with a heat flux": flux,
    }
