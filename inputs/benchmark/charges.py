"""Time of a step with charges of the fourth generation, by the number of atoms; processor time of one core.

    python inputs/benchmark/charges.py
    python inputs/benchmark/charges.py --atoms 500 --atoms 1000 --folder POTENTIAL

Rigid water molecules on a grid with random orientations, at the density of the liquid, with the symmetry
functions of the case `water`, random weights, and Gaussians of the covalent radii. A step is energy, forces
and stress, after random displacements as large as those of 0.5 fs at 300 K; the first begins without charges.
Each number is the median of the steps. `--folder` adds energy and forces of the first structure of another
potential.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from ase.build import molecule
from ase.data import covalent_radii

import bnnp
from bnnp.charges import electrostatics
from bnnp.io.weights import weights_name, write_weights
from bnnp.network.dense import Network
from bnnp.potential.potential import ChargeStarts, Potential
from bnnp.settings.settings import load_settings
from bnnp.structure import Structure
from bnnp.units import ATOMIC

HERE = Path(__file__).parent
DENSITY = 0.1002 * ATOMIC.angstrom**3  # atoms/bohr^3
ELEMENTS = {1: "H", 8: "O"}
HARDNESS = 0.3  # hartree/e^2
MOVE = 0.01  # bohr, of each component


def water(atoms: int, rng: np.random.Generator) -> Structure:
    """About so many atoms in a cubic cell."""
    rigid = molecule("H2O")
    template = (rigid.positions - rigid.get_center_of_mass()) / ATOMIC.angstrom
    edge = round((atoms / 3.0) ** (1.0 / 3.0))
    count = edge**3
    side = (3.0 * count / DENSITY) ** (1.0 / 3.0)
    sites = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    turns = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    positions = (side / edge * sites)[:, None] + template @ turns
    return Structure(np.tile(rigid.numbers, count), positions.reshape(-1, 3), np.eye(3) * side)


def potential_of(folder: Path, rng: np.random.Generator) -> Potential:
    """The case `water` with charges and random weights, written into `folder`."""
    lines = [
        x for x in (HERE / "water/input.nn").read_text().splitlines() if not x.startswith(("scale", "center"))
    ]
    radii = {x: covalent_radii[number] / ATOMIC.angstrom for number, x in ELEMENTS.items()}
    lines += ["nnp_type 4G-HDNNP", "check_units .false.", "screen_electrostatics 3.0 8.0"]
    lines += [f"fixed_gausswidth {x} {radius}" for x, radius in radii.items()]
    (folder / "input.nn").write_text("\n".join([*lines, ""]))
    model = load_settings(folder / "input.nn", 3).model
    assert model.electrostatics is not None
    for number, element in ELEMENTS.items():
        for kind, architecture, inputs in (
            ("weights", model.architecture[element], model.n_network_inputs[element]),
            ("weightse", model.electrostatics.architecture[element], model.n_inputs[element]),
        ):
            weights = rng.normal(scale=0.1, size=architecture.n_weights(inputs))
            network = Network.from_flat(weights, architecture, inputs)
            write_weights(folder / weights_name(element, kind), network, element)
        (folder / f"hardness.{number:03d}.data").write_text(f"{HARDNESS}\n")
    return bnnp.load(folder)


def seconds(potential: Potential, structure: Structure, steps: int, rng: np.random.Generator) -> list[float]:
    """Of each step."""
    starts: ChargeStarts = {}
    found, positions = [], structure.positions
    for _ in range(steps):
        moved = Structure(structure.numbers, positions, structure.cell)
        begin = time.process_time()
        potential.predict(moved, starts=starts)
        found.append(time.process_time() - begin)
        positions = positions + rng.normal(scale=MOVE, size=positions.shape)
    return found


@click.command(help=__doc__)
@click.option("--atoms", multiple=True, type=int, default=(375, 1029, 3000, 10125, 20577))
@click.option("--steps", default=6, show_default=True, help="After the first.")
@click.option("--folder", type=click.Path(path_type=Path), help="A potential with input.data.")
@click.option("--large", type=int, help="Atoms beyond which charges are iterated, in place of the usual.")
def main(atoms: tuple[int, ...], steps: int, folder: Path | None, large: int | None) -> None:
    if large is not None:
        electrostatics.LARGE = large
    if folder is not None:
        given, structure = bnnp.load(folder), bnnp.read_data(folder / "input.data")[0]
        times = []
        for _ in range(30):
            begin = time.process_time()
            given.predict(structure, stress=False)
            times.append(time.process_time() - begin)
        click.echo(f"{folder}: {len(structure)} atoms, {1e3 * np.median(times):.2f} ms")
    click.echo(f"{'atoms':>8}{'first/s':>10}{'step/s':>10}{'step/(N log N)/ns':>20}")
    rng = np.random.default_rng(1)
    with TemporaryDirectory() as name:
        potential = potential_of(Path(name), rng)
        for number in atoms:
            structure = water(number, rng)
            first, *others = seconds(potential, structure, steps + 1, rng)
            n, median = len(structure), float(np.median(others))
            click.echo(f"{n:8d}{first:10.3f}{median:10.3f}{1e9 * median / (n * np.log(n)):20.0f}")


if __name__ == "__main__":
    main()
