"""Make the cases of inputs/benchmark: water-like, crystalline and organic structures, and their functions.

\b
python tools/make_benchmark_cases.py inputs/benchmark
python tools/make_benchmark_cases.py --seed 7 elsewhere

Water and ethanol are rigid molecules at random places and orientations at the density of the liquid (overlaps
avoided, nothing equilibrated), sulfide and telluride are crystals with thermal noise. Energies and forces
are random numbers: the cases measure speed, there is nothing to learn from them. The symmetry functions have
the number, types, cutoffs and so the cost of published sets; every function stands in a line of its own, so
that n2p2 reads the same input.nn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from pathlib import Path

import click
import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import vdw_radii
from numpy.typing import NDArray

from bnnp.io.input_data import write_structures
from bnnp.io.output import replace_file
from bnnp.structure import Structure
from bnnp.units import ATOMIC, METAL, UNITS

Array = NDArray[np.float64]

TRIALS = 300  # places and orientations tried for each molecule; the one with most room is taken
DIGITS = 6  # of positions, so that the files stay small


@dataclass(frozen=True)
class Case:
    """One directory: its settings and how its structures are made."""

    elements: tuple[str, ...]
    units: str
    cutoff_type: int
    nodes: tuple[int, int]
    functions: tuple[str, ...]
    title: str


def water_functions() -> Iterator[str]:
    """57 functions as published for water: radial and narrow angular ones, 12 bohr, 27 of H and 30 of O."""
    radial = ("0.001 0", "0.01 0", "0.03 0", "0.06 0", "0.15 0.9", "0.3 0.9", "0.6 0.9", "1.5 0.9")
    wide, narrow = ("0.001 -1 4", "0.001 1 4", "0.03 -1 1", "0.03 1 1"), ("0.01 -1 4", "0.01 1 4")
    close = (*narrow, "0.03 -1 1", "0.03 1 1", "0.07 -1 1", "0.07 1 1")
    for center, neighbor, parameters in product("HO", "HO", radial):
        yield f"{center} 2 {neighbor} {parameters} 12"
    angular = {"H": {"H O": (*close, "0.2 1 1"), "O O": wide}, "O": {"H H": close, "H O": wide, "O O": wide}}
    for center, pairs in angular.items():
        for pair, members in pairs.items():
            yield from (f"{center} 3 {pair} {parameters} 12" for parameters in members)


def sulfide_functions() -> Iterator[str]:
    """138 functions of types 2, 3 and 9 as published for Cu2S, 6 Angstrom, 69 of each element."""
    shifted = [f"4 {r_s:.1f}" for r_s in (1.8, 2.2, 2.6, 3.0, 3.4, 3.8, 4.2, 4.6)]
    radial = ("0.003 0", "0.04 0", "0.1 0", "0.3 0", *shifted)
    angles = [f"{lambda_} {zeta}" for lambda_, zeta in product((-1, 1), (1, 4, 16))]
    narrow = (*(f"0.01 {angle}" for angle in angles), "0.06 -1 1", "0.06 1 1")
    wide = (*(f"0.01 {angle}" for angle in angles), "0.06 1 1")
    for center in ("S", "Cu"):
        yield from (f"{center} 2 {x} {parameters} 6" for x in ("S", "Cu") for parameters in radial)
        for pair in ("S S", "S Cu", "Cu Cu"):
            yield from (f"{center} 3 {pair} {parameters} 6" for parameters in narrow)
            yield from (f"{center} 9 {pair} {parameters} 6" for parameters in wide)


def telluride_functions() -> Iterator[str]:
    """120 functions of types 2 and 9, 6.5 Angstrom, 60 of each element; the largest zeta is 4."""
    radial = ("0.003 0", "0.05 0", "0.2 0", "2 2.5", "2 3.5", "2 4.5")
    wide = product((0.003, 0.02, 0.05, 0.15), ("1 1", "-1 2", "1 4", "-1 4"))
    angular = tuple(f"{eta} {angle}" for eta, angle in wide)
    for center in ("Ge", "Te"):
        yield from (f"{center} 2 {x} {parameters} 6.5" for x in ("Ge", "Te") for parameters in radial)
        for pair in ("Ge Ge", "Ge Te", "Te Te"):
            yield from (f"{center} 9 {pair} {parameters} 6.5" for parameters in angular)


def compact_functions() -> Iterator[str]:
    """369 functions of types 20 and 22, 15 bohr, 123 of each element: windows of distance and of angle."""
    shells = ((-15, 15), (-12, 12), (-9, 9), (-6, 6), (0, 8), (2, 10), (4, 12), (6, 14), (8, 15))
    balls = ((-15, 15), (-12, 12), (-9, 9), (-6, 6))
    angles = ((-60, 60), (0, 120), (60, 180), (120, 240))
    elements = ("H", "C", "O")
    for center in elements:
        for neighbor, (r_l, r_c) in product(elements, shells):
            yield f"{center} 20 {neighbor} {r_l} {r_c} p2"
        for pair in combinations_with_replacement(elements, 2):
            for (r_l, r_c), (left, right) in product(balls, angles):
                yield f"{center} 22 {' '.join(pair)} {r_l} {r_c} {left} {right} p2"


CASES = {
    "water": Case(("H", "O"), "atomic", 2, (25, 25), tuple(water_functions()), "Water-like liquid"),
    "sulfide": Case(("S", "Cu"), "metal", 1, (15, 15), tuple(sulfide_functions()), "Cu2S-like crystal"),
    "telluride": Case(("Ge", "Te"), "metal", 1, (15, 15), tuple(telluride_functions()), "GeTe-like crystal"),
    "compact": Case(
        ("H", "C", "O"), "atomic", 1, (15, 15), tuple(compact_functions()), "Ethanol-like liquid"
    ),
}


def liquid(name: str, edge: int, density: float, rng: np.random.Generator) -> Atoms:
    """`edge`^3 molecules of ASE's `name`, one near each site of a cubic grid, `density` in atoms/Angstrom^3.

    The molecules come one after the other, in random order; each takes the place and orientation of many
    random ones that leaves most room to those already there.
    """
    rigid = molecule(name)
    template = rigid.positions - rigid.get_center_of_mass()
    side = (edge**3 * len(rigid) / density) ** (1.0 / 3.0)
    spacing = side / edge
    sites = spacing * (np.stack(np.meshgrid(*[np.arange(edge)] * 3), axis=-1).reshape(-1, 3) + 0.5)
    radii = vdw_radii[rigid.numbers]
    placed, sizes = np.zeros((0, 3)), np.zeros(0)
    for site in rng.permutation(sites):
        turns, _ = np.linalg.qr(rng.normal(size=(TRIALS, 3, 3)))
        shifts = site + rng.uniform(-0.5, 0.5, (TRIALS, 1, 3)) * spacing
        trials = np.einsum("txy,ay->tax", turns, template) + shifts
        best = trials[int(np.argmax(_room(trials, radii, placed, sizes, side)))]
        placed, sizes = np.concatenate([placed, best]), np.concatenate([sizes, radii])
    return Atoms(list(rigid.symbols) * edge**3, placed, cell=side * np.eye(3), pbc=True)


def _room(trials: Array, radii: Array, placed: Array, sizes: Array, side: float) -> Array:
    """For each trial the smallest distance to a placed atom, in sums of van der Waals radii."""
    if len(placed) == 0:
        return np.ones(len(trials))
    delta = trials[:, :, None] - placed  # (trials, atoms, placed, 3)
    delta -= side * np.round(delta / side)
    distances = np.sqrt(np.square(delta).sum(axis=-1))
    room: Array = (distances / (radii[:, None] + sizes)).min(axis=(1, 2))
    return room


def sulfide(edge: int, rng: np.random.Generator) -> Atoms:
    """Antifluorite Cu2S, `edge`^3 cubic cells of 12 atoms, with normal displacements of 0.12 Angstrom."""
    atoms: Atoms = bulk("SCu2", "fluorite", a=5.57, cubic=True).repeat(edge)
    atoms.positions += rng.normal(0.0, 0.12, atoms.positions.shape)
    return atoms


def telluride(edge: int, rng: np.random.Generator) -> Atoms:
    """Rock salt GeTe as thin as the glass, `edge`^3 cubic cells, with displacements of 0.2 Angstrom."""
    atoms: Atoms = bulk("GeTe", "rocksalt", a=6.2, cubic=True).repeat(edge)
    atoms.positions += rng.normal(0.0, 0.2, atoms.positions.shape)
    return atoms


MAKERS = {  # densities that give 103, 56, 33 and 186 neighbors
    "water": lambda rng: liquid("H2O", 4, 0.0970, rng),
    "sulfide": lambda rng: sulfide(3, rng),
    "telluride": lambda rng: telluride(3, rng),
    "compact": lambda rng: liquid("CH3CH2OH", 4, 0.0889, rng),
}


def structure_of(atoms: Atoms, units: str, rng: np.random.Generator) -> Structure:
    """The atoms in `units`, with random energy and forces."""
    length = UNITS[units].angstrom
    forces = np.round(rng.normal(0.0, 0.02, atoms.positions.shape), 4)
    forces[0] -= forces.sum(axis=0)
    return Structure(
        numbers=atoms.numbers,
        positions=np.round(atoms.positions / length, DIGITS),
        cell=np.round(atoms.cell.array / length, DIGITS),
        energy=round(float(rng.normal()), 4),
        forces=np.round(forces, 4),
        info={"source": "made-up"},
    )


def input_nn(case: Case) -> str:
    """The settings of a case: what n2p2 knows too, but for `units`."""
    units = {"atomic": ATOMIC, "metal": METAL}[case.units]
    words = {
        "units": "metal" if case.units == "metal" else None,
        "number_of_elements": len(case.elements),
        "elements": " ".join(case.elements),
        "use_short_forces": "",
        "random_seed": 1,
        "test_fraction": 0.1,
        "cutoff_type": case.cutoff_type,
        "scale_symmetry_functions": "",
        "center_symmetry_functions": "",
        "scale_min_short": "0.0",
        "scale_max_short": "1.0",
        "global_hidden_layers_short": len(case.nodes),
        "global_nodes_short": " ".join(map(str, case.nodes)),
        "global_activation_short": "t t l",
        "optimizer": "adam",
        "epochs": 2,
        "calculate_forces": "",
    }
    lines = [f"# {case.title}: made to measure speed by tools/make_benchmark_cases.py."]
    lines += [f"# Lengths in {units.length}, energies in {units.energy}."]
    lines += [f"{name:<27} {value}".rstrip() for name, value in words.items() if value is not None]
    return "\n".join([*lines, *_function_lines(case.functions)]) + "\n"


def _function_lines(functions: Iterable[str]) -> list[str]:
    return [f"symfunction_short {words}" for words in functions]


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of all random numbers.")
@click.option(
    "--case", "names", multiple=True, type=click.Choice(list(CASES)), help="Only this one; all by default."
)
def main(directory: Path, seed: int, names: Sequence[str]) -> None:
    """Write input.nn and input.data of every case."""
    for number, (name, case) in enumerate(CASES.items()):
        if names and name not in names:
            continue
        rng = np.random.default_rng([seed, number])
        structure = structure_of(MAKERS[name](rng), case.units, rng)
        folder = directory / name
        folder.mkdir(parents=True, exist_ok=True)
        with replace_file(folder / "input.nn") as file:
            file.write(input_nn(case))
        write_structures(folder / "input.data", [structure])
        click.echo(f"{folder}: {len(structure)} atoms, {len(case.functions)} functions")


if __name__ == "__main__":
    main()
