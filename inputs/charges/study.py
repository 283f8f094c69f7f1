"""Where the charges of atoms depend on what is far away: potentials of the second, third, fourth generation.

    python study.py RESULTS [SITUATION ...] [--seeds 1] [--generations 2 3 4] [--structures 200]

The four situations of T. W. Ko, J. A. Finkler, S. Goedecker, J. Behler, Nat. Commun. 12, 398 (2021), made
anew and smaller: ``chain`` (C10H2 and C10H3+), ``trimer`` (Ag3+ and Ag3-) and ``salt`` (Na9Cl8+, and Na8Cl8+,
the same without one atom), labeled by GFN1-xTB (`pip install tblite`); ``surface`` (Au2 above a cluster of
MgO, with and without one Al in its lowest layer), labeled by the model of equilibrating.py. Atoms are
displaced at random. A fifth of the structures is kept for testing; mode 2 calibrates by a fifth of the
others. Results are appended to RESULTS/results.csv run by run, and the same command goes on where the last
one stopped. Of ``surface`` RESULTS/surface_SEED/curve.csv has the energy against the height of the dimer, and
figure.py draws it.
"""

from __future__ import annotations

import argparse
import csv
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import nan
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers, covalent_radii
from ase.optimize import BFGS

import bnnp
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import read_structures, write_structures
from bnnp.io.prediction import read_columns
from bnnp.structure import Structure
from bnnp.units import METAL

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tools")]

from equilibrating import Bond, Element, Equilibrating  # noqa: E402
from study_tools import append_rows, read_rows, rms, run_bnnp  # noqa: E402

COLUMNS = (
    *("situation", "generation", "seed", "structures", "energy", "force", "charge"),  # meV/atom, meV/A, e
    *("energy_sigma", "force_sigma", "energy_zms", "force_zms", "cpu"),  # calibrated; sqrt(ZMS); s
)
CUTOFF = 4.2  # Angstrom
FUNCTIONS = [f"2 0.3 0.0 {CUTOFF}", *(f"2 4.0 {r_s} {CUTOFF}" for r_s in (1.0, 1.7, 2.4, 3.1))]
FUNCTIONS += [f"3 0.02 {sign} {zeta} {CUTOFF}" for sign in (1.0, -1.0) for zeta in (1.0, 4.0)]
SCREENING = "2.0 4.2"  # Angstrom
D_MGO, HEIGHTS = 2.105, np.linspace(1.8, 4.2, 25)  # Angstrom
ELEMENTS = {  # of the model
    "Mg": Element(-30.0, 40.0, 0.8),
    "O": Element(30.0, 40.0, 0.8),
    "Al": Element(-70.0, 40.0, 0.8),
    "Au": Element(0.5, 0.5, 1.4),
}
BONDS = {
    "MgO": Bond(1.2, 1.5, 1.9),
    "AlO": Bond(1.2, 1.5, 1.9),
    "AuO": Bond(0.6, 1.5, 2.3, -4.0, -0.78),
    "AuMg": Bond(0.1, 1.2, 2.8),
    "AuAu": Bond(2.0, 1.5, 2.5, 1.0, -0.06),
}


@dataclass(frozen=True)
class Situation:
    """Where atoms are displaced from, by how much (standard deviation, Angstrom), and what labels them."""

    starts: Callable[[], list[Atoms]]
    spread: float
    calculator: Callable[[float], Calculator]


def gfn1(charge: float) -> Calculator:
    """GFN1-xTB (S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017))."""
    try:
        from tblite.ase import TBLite
    except ImportError:
        sys.exit("this situation is labeled by GFN1-xTB, and tblite is not installed: pip install tblite")
    return TBLite(method="GFN1-xTB", charge=charge, verbosity=0)


def model(charge: float) -> Calculator:
    """The model of the doped surface."""
    return Equilibrating(ELEMENTS, BONDS, charge)


def relaxed(symbols: str, positions: Sequence[Sequence[float]], charge: float) -> Atoms:
    """The molecule, relaxed by GFN1-xTB."""
    atoms = Atoms(symbols, positions, info={"charge": charge})
    atoms.calc = gfn1(charge)
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=300)
    atoms.calc = None
    return atoms


def chain() -> list[Atoms]:
    """A carbon chain with one hydrogen at each end, and with a proton more at one of them."""
    carbon = [(1.28 * i, 0.0, 0.0) for i in range(10)]
    end, left = carbon[-1][0], (-1.06, 0.0, 0.0)
    plain = relaxed("C10H2", [*carbon, left, (end + 1.06, 0.0, 0.0)], 0.0)
    two = [left, (end + 0.6, 0.95, 0.0), (end + 0.6, -0.95, 0.0)]
    return [plain, relaxed("C10H3", [*carbon, *two], 1.0)]


def trimer() -> list[Atoms]:
    """Three silver atoms, with either charge."""
    corners = [(0.0, 0.0, 0.0), (2.75, 0.0, 0.0), (1.375, 2.38, 0.0)]
    both = [relaxed("Ag3", corners, charge) for charge in (1.0, -1.0)]
    positions = np.mean([each.positions for each in both], axis=0)
    return [Atoms("Ag3", positions, info=each.info) for each in both]


def salt() -> list[Atoms]:
    """A rod of eight pairs of ions with one more sodium at its end, and without that, both with charge 1."""
    grid = [(i, j, k) for k in range(4) for i in range(2) for j in range(2)]
    symbols = "".join("Na" if sum(place) % 2 else "Cl" for place in grid)
    whole = relaxed(symbols + "Na", [*(2.8 * np.array(grid)), (1.4, 1.4, 11.0)], 1.0)  # between both Cl
    less = whole[:-1]
    return [whole, less]


def surface() -> list[Atoms]:
    """Two gold atoms above an oxygen of 36 atoms of MgO, without and with one Al far below."""
    grid = np.array([(i, j, -k) for k in range(3) for i in range(4) for j in range(3)])
    symbols = ["Mg" if place.sum() % 2 else "O" for place in grid]
    top = D_MGO * np.array([1.0, 1.0, 0.0])
    bottom = [n for n, place in enumerate(grid) if place[2] == -2 and symbols[n] == "Mg"]
    far = max(bottom, key=lambda n: np.linalg.norm(D_MGO * grid[n] - top))
    doped = [*symbols[:far], "Al", *symbols[far + 1 :]]
    dimer = [top, top + [0.0, 0.0, 2.55]]
    positions = np.concatenate([D_MGO * grid, dimer])
    return [Atoms([*each, "Au", "Au"], positions, info={"charge": 0.0}) for each in (symbols, doped)]


SITUATIONS = {
    "chain": Situation(chain, 0.06, gfn1),
    "trimer": Situation(trimer, 0.12, gfn1),
    "salt": Situation(salt, 0.08, gfn1),
    "surface": Situation(surface, 0.05, model),
}


def raised(atoms: Atoms, height: float) -> Atoms:
    """The surface with its dimer so far above."""
    moved = atoms.copy()
    moved.positions[-2:, 2] += height
    return moved


def labeled(situation: Situation, count: int, seed: int) -> Iterator[Structure]:
    """Displaced structures, all starts in turn, with energy, forces and charges."""
    rng, starts = np.random.default_rng(seed), situation.starts()
    for index in range(count):
        atoms = starts[index % len(starts)].copy()
        if "Au" in atoms.symbols:
            atoms = raised(atoms, rng.uniform(HEIGHTS[0], HEIGHTS[-1]))
        atoms.positions += rng.normal(scale=situation.spread, size=atoms.positions.shape)
        atoms.calc = situation.calculator(atoms.info["charge"])
        atoms.get_forces()
        yield from_atoms(atoms, METAL)


def input_nn(elements: Sequence[str], generation: int, seed: int) -> str:
    """The same symmetry functions and networks for each generation."""
    lines = ["units metal", f"elements {' '.join(elements)}", f"random_seed {seed}", "check_units .false."]
    lines += [f"nnp_gen {generation}", "global_nodes_short 15 15", "dropout_rate 0.05", "test_fraction 0.1"]
    lines += ["atom_energy fit"]
    lines += [f"global_symfunction_short {each}" for each in FUNCTIONS]
    if generation > 2:
        radii = {element: covalent_radii[atomic_numbers[element]] for element in elements}
        lines += [f"fixed_gausswidth {element} {radius:.2f}" for element, radius in radii.items()]
        lines += [f"screen_electrostatics {SCREENING}", "global_nodes_electrostatic 15 15"]
    return "\n".join([*lines, ""])


def prepare(name: str, seed: int, count: int, folder: Path) -> None:
    """learn.data and test.data of a situation, each written once."""
    if (folder / "test.data").exists():
        there = sum(1 for part in ("learn", "test") for _ in read_structures(folder / f"{part}.data"))
        if there != count:
            sys.exit(
                f"{folder} has {there} structures, expected {count} (--structures); give another folder in "
                f"place of {folder.parent}, or `--structures {there}`"
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        found = list(labeled(SITUATIONS[name], count, seed))
        n_learn = count - count // 5  # starts alternate, so that both sets have them alike
        write_structures(folder / "learn.data", found[:n_learn])
        write_structures(folder / "test.data", found[n_learn:])


def run(name: str, generation: int, seed: int, data: Path, more: str = "") -> list[object]:
    """Modes 1 to 3 of one generation; its row of the results."""
    folder = data / f"generation_{generation}"
    folder.mkdir(exist_ok=True)
    learn = list(read_structures(data / "learn.data"))
    elements = sorted({x for each in learn for x in each.symbols}, key=atomic_numbers.__getitem__)
    (folder / "input.nn").write_text(input_nn(elements, generation, seed) + more)
    write_structures(folder / "input.data", learn)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    run_bnnp(folder, "mode1.log", "--mode", "1")
    run_bnnp(folder, "mode2.log", "--mode", "2")
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    run_bnnp(folder, "mode3.log", "--mode", "3", "--data", "../test.data")
    energies = read_columns(folder / "energy.out")[0]
    forces = read_columns(folder / "nnforces.out")[0]
    charge = nan
    if generation > 2:
        atoms = read_columns(folder / "nnatoms.out")[0]
        charge = rms(atoms["Qnnp"] - atoms["Qref"])
    energy, sigma = 1e3 * energies["Ediff"], 1e3 * energies["Ennp_std_per_atom"]
    force, force_sigma = (
        1e3 * np.concatenate(each)
        for each in (
            [forces[f"f{x}"] - forces[f"f{x}Ref"] for x in "xyz"],
            [forces[f"f{x}_std"] for x in "xyz"],
        )
    )
    sigmas = [rms(sigma), rms(force_sigma), rms(energy / sigma), rms(force / force_sigma)]
    return [name, generation, seed, len(learn), rms(energy), rms(force), charge, *sigmas, cpu]


def write_curve(seed: int, data: Path, generations: Sequence[int]) -> None:
    """curve.csv: energy (eV) against height, of the model and the potentials, from that at the largest."""
    potentials = {n: bnnp.load(data / f"generation_{n}" / "potential") for n in generations}
    starts = dict(zip(("plain", "doped"), SITUATIONS["surface"].starts(), strict=True))
    with open(data / "curve.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["surface", "height", "model", *(f"{n}G" for n in generations)])
        for name, atoms in starts.items():
            moved = [raised(atoms, height) for height in HEIGHTS]
            for each in moved:
                each.calc = model(0.0)
            energies = [[each.get_potential_energy() for each in moved]]
            structures = [from_atoms(each, METAL, labels=False) for each in moved]
            for potential in potentials.values():
                energies.append([potential.predict(each).energy.value for each in structures])
            table = np.array(energies).T
            rows = np.column_stack([HEIGHTS, table - table[-1]])
            writer.writerows([name, *(f"{x:.4f}" for x in row)] for row in rows)


def table(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """Lines of the table of the README: the mean over the seeds."""
    yield "| | generation | energy | force | charge | sigma E | sigma F | sqrt(ZMS) E | F | CPU s |"
    yield "|" + "---|" * 10
    for name, generation in product(SITUATIONS, "234"):
        own = [row for row in rows if (row["situation"], row["generation"]) == (name, generation)]
        if own:
            values = [np.mean([float(row[column]) for row in own]) for column in COLUMNS[4:]]
            shown = ["-" if np.isnan(value) else f"{value:.3g}" for value in values]
            yield f"| {name} | {generation} | {' | '.join(shown)} |"


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("situations", nargs="*", metavar="SITUATION", default=list(SITUATIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--generations", type=int, nargs="+", choices=(2, 3, 4), default=[2, 3, 4])
    parser.add_argument("--structures", type=int, default=200)
    words = parser.parse_args()
    if unknown := [name for name in words.situations if name not in SITUATIONS]:
        parser.error(f"{unknown[0]}: expected one of {', '.join(SITUATIONS)}")
    for seed in words.seeds:
        for name in words.situations:
            data = words.results / f"{name}_{seed}"
            prepare(name, seed, words.structures, data)
            for generation in words.generations:
                key = {"situation": name, "generation": str(generation), "seed": str(seed)}
                if not any(key.items() <= row.items() for row in read_rows(words.results)):
                    append_rows(words.results, COLUMNS, [run(name, generation, seed, data)])
            if name == "surface":
                write_curve(seed, data, words.generations)
    print("\n".join(table(read_rows(words.results))))


if __name__ == "__main__":
    main()
