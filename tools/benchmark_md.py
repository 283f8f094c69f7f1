"""``benchmark.py md``: steps a second of molecular dynamics, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from bnnp.descriptors.skin import SkinNeighbors
from bnnp.dynamics.simulation import thermalize
from bnnp.interfaces.ase import BNNP
from bnnp.io.ase_atoms import to_atoms
from bnnp.io.input_data import StructureFile
from bnnp.potential.loading import load
from bnnp.potential.potential import Potential
from bnnp.structure import Structure

WARM_UP = 10  # steps before the clock starts


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
def md(
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
    seconds, processor = time_steps(atoms, steps)
    best, middle = min(seconds), median(seconds)
    click.echo(f"steps/s                     best {1 / best:8.1f}   median {1 / middle:8.1f}")
    click.echo(f"processor time of a step    mean {1000 * processor:8.3f} ms")
    click.echo(f"ns/day at 1 fs              best {0.0864 / best:8.2f}   median {0.0864 / middle:8.2f}")
    searches = atoms.calc.searches
    click.echo(f"neighbour searches          one in {(steps + WARM_UP) / max(searches - 1, 1):.0f} steps")
    click.echo("share of a step             ms (best)      %")
    parts = time_parts(potential, atoms)
    parts["integrator, ASE, the rest"] = max(best - sum(parts.values()), 0.0)
    for name, part in parts.items():
        click.echo(f"{name:26}{1000 * part:10.3f} {100 * part / best:9.1f}")
    click.echo(f"{'all':26}{1000 * best:10.3f} {100.0:9.1f}")
    forces, more = time_heat_flux(potential, atoms)
    click.echo(f"a heat flux on top of a force call of {1000 * forces:.3f} ms: {100 * more / forces:.1f} %")


def time_steps(atoms: Atoms, steps: int) -> tuple[list[float], float]:
    """Seconds of every step, and processor seconds of one on average."""
    dynamics = VelocityVerlet(atoms, units.fs)
    dynamics.run(WARM_UP)
    processor = time.process_time()
    seconds = [timed(dynamics.step) for _ in range(steps)]
    return seconds, (time.process_time() - processor) / steps


def time_parts(potential: Potential, atoms: Atoms, repeat: int = 25) -> dict[str, float]:
    """Seconds of the parts of one evaluation, each the best of some."""
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
    calls: dict[str, Callable[[], object]] = {
        "neighbours (skin list)": lambda: skin.find(structure.positions, structure.cell, structure.numbers),
        "symmetry functions": lambda: descriptor.values(types, pairs),
        "networks, all samples": lambda: core.sample(types, inputs, True, False),
        "forces (reverse sweep)": lambda: descriptor.vjp(types, pairs, values),
    }
    return {name: min(timed(call) for _ in range(repeat)) for name, call in calls.items()}


def time_heat_flux(potential: Potential, atoms: Atoms, repeat: int = 25) -> tuple[float, float]:
    """Seconds of a force call, and what it takes longer with the heat flux, each the best of some."""
    plain, with_virials = BNNP(potential, warn=False), BNNP(potential, virials=True, warn=False)

    def forces(calc: BNNP) -> None:
        atoms.positions[0, 0] += 1e-6  # or the last result would do
        calc.get_property("forces", atoms)

    def flux() -> None:
        forces(with_virials)
        with_virials.heat_flux(atoms)

    pairs = [(timed(lambda: forces(plain)), timed(flux)) for _ in range(repeat)]
    best, best_flux = (min(times) for times in zip(*pairs, strict=True))
    return best, best_flux - best


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
