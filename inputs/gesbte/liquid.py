"""The liquid of a potential beside that of its teacher: g(r) at 1200 K (Fig. 4 of the paper).

    python liquid.py MATERIAL FOLDER DIRECTORY [--frames 40] [--runs 3] [--seed 1] [--first]

MATERIAL is GeTe, Sb2Te3 or Ge2Sb2Te5. The potential is trained by the defaults on so many frames of each of
the six temperatures, evenly spaced over 13 ps, or the first ones, 80 fs apart (`--first`). Each run begins in
the liquid, with the last frame at 1500 K: 20 ps NVT, then 10 ps NVE, of which a frame is kept every 50 fs.
FOLDER/rdf has three such runs of the teacher. A bin of g(r) is inside if the means over the runs differ by
less than t(97.5 %) sqrt(s_t^2 / n_t + s_b^2 / n_b), with the spread s over n runs of the teacher and of bnnp
(Student's t of n_t + n_b - 2 degrees of freedom), or by less than 0.02. Equal liquids have 95 % of the bins
inside on average. Finished parts are kept.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.io.tables import read_table
from bnnp.units import METAL

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from study_tools import run_bnnp  # noqa: E402

TEMPERATURES = (300, 600, 750, 900, 1200, 1500)
TRAINED = 160  # frames of a run of 200 that may be trained on
LIQUID = 1200
R_MAX, BINS = 8.0, 160
SMALLEST = 0.02  # difference of g(r) that is none
INPUT = """units metal
elements {elements}
random_seed {seed}
calculate_forces
"""
DYNAMICS = """random_seed {seed}
md_structure start.extxyz
md_ensemble nvt nve
md_steps 5000 5000
md_timestep 4 2
md_temperature 1200 1200
md_thermostat langevin
md_thermostat_time 500
md_write_every 25
md_uncertainty_every 100
"""

Array = NDArray[np.float64]
Table = dict[str, Array]


def main() -> None:
    """Train, simulate, compare."""
    words = arguments()
    folder, base, material = words.folder.resolve(), words.directory.resolve(), words.material
    train(base, words)
    runs = [simulate(base, number) for number in range(1, words.runs + 1)]
    teacher = sorted((folder / "rdf").glob(f"{material}_{LIQUID}K_r*.extxyz.gz"))
    theirs, ours = (analyze(base, name, paths) for name, paths in (("teacher", teacher), ("bnnp", runs)))
    print("| | bins inside | first peak, Angstrom | height |\n|---|---|---|---|")
    for name in [column.removeprefix("g_") for column in theirs if column.startswith("g_")]:
        if not name.endswith("_std"):
            print(compare(name, (theirs, len(teacher)), (ours, len(runs))))
    states = [f"{energy:.4f} eV/atom at {kelvin:.0f} K" for energy, kelvin in map(state, (teacher, runs))]
    print(f"\nPotential energy of the teacher's runs {states[0]}, of bnnp's {states[1]}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("material", choices=("GeTe", "Sb2Te3", "Ge2Sb2Te5"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", action="store_true", help="train on the first frames, one after the other")
    parser.add_argument("--add", default="", help="more lines of input.nn, such as `zbl_repulsion 1.0 2.5`")
    return parser.parse_args()


def train(base: Path, words: argparse.Namespace) -> None:
    """Modes 1 and 2 by the defaults."""
    if (base / "potential").exists():
        return
    base.mkdir(parents=True, exist_ok=True)
    chosen = slice(words.frames) if words.first else slice(0, TRAINED, TRAINED // words.frames)
    structures = []
    for kelvin in TEMPERATURES:
        run = ase.io.read(words.folder / f"{words.material}_{kelvin}K.extxyz.gz", ":")
        structures += [replace(from_atoms(x, METAL), info={"group": f"{kelvin}K"}) for x in run[chosen]]
    write_structures(base / "input.data", structures)
    elements = " ".join(x for x in ("Ge", "Sb", "Te") if x in set(structures[0].symbols))
    (base / "input.nn").write_text(INPUT.format(elements=elements, seed=words.seed) + words.add + "\n")
    ase.io.write(base / "start.extxyz", run[-1])
    for mode in ("1", "2"):
        run_bnnp(base, f"mode{mode}.log", "--mode", mode)


def simulate(base: Path, number: int) -> Path:
    """One run; returns its frames of the second stage."""
    directory = base / f"run_{number}"
    liquid = directory / "nve.extxyz"
    if not liquid.exists():
        directory.mkdir(exist_ok=True)
        for path in [base / "start.extxyz", base / "uncertainty.data", base / "scaling.data"] + [
            *base.glob("weights.*.data"),
            *base.glob("input.nn.auto"),
        ]:
            (directory / path.name).write_bytes(path.read_bytes())
        text = (base / "input.nn").read_text().replace("random_seed", "# random_seed")
        (directory / "input.nn").write_text(text + DYNAMICS.format(seed=number))
        run_bnnp(directory, "md.log", "--mode", "3")
        frames = ase.io.read(directory / "trajectory.extxyz", ":")
        ase.io.write(liquid, [frame for frame in frames if frame.info["stage"] == 2])
    return liquid


def analyze(base: Path, name: str, paths: list[Path]) -> Table:
    """Mean g(r) over the runs, and its spread."""
    words = ["--rdf", "--r-max", str(R_MAX), "--bins", str(BINS), "--out", name]
    run_bnnp(base, f"{name}.log", "analyze", *map(str, paths), *words)
    return read_table(base / f"{name}_rdf.out")[0]


def state(paths: list[Path]) -> tuple[float, float]:
    """Mean potential energy of an atom (eV) and mean kinetic temperature (K) of runs."""
    frames = [frame for path in paths for frame in ase.io.read(path, ":")]
    energies = [frame.get_potential_energy() / len(frame) for frame in frames]
    kelvin = [frame.info.get("T_inst") or frame.get_temperature() for frame in frames]
    return float(np.mean(energies)), float(np.mean(kelvin))


def compare(name: str, teacher: tuple[Table, int], ours: tuple[Table, int]) -> str:
    """A row of the table: bins inside, position and height of the first peak, teacher and bnnp."""
    r = teacher[0]["r"]
    (g_t, s_t, n_t), (g_b, s_b, n_b) = (
        (table[f"g_{name}"], table[f"g_{name}_std"], number) for table, number in (teacher, ours)
    )
    band = stdtrit(n_t + n_b - 2, 0.975) * np.sqrt(s_t**2 / n_t + s_b**2 / n_b)
    filled = (g_t > 0.0) | (g_b > 0.0)
    inside = np.abs(g_b - g_t)[filled] <= np.maximum(band, SMALLEST)[filled]
    peaks = [vertex(r, g) for g in (g_t, g_b)]
    places, heights = (", ".join(f"{value:.3f}" for value in values) for values in zip(*peaks, strict=True))
    return f"| {name} | {100.0 * np.mean(inside):.0f} % | {places} | {heights} |"


def vertex(r: Array, g: Array) -> tuple[float, float]:
    """Position and height of the parabola through the highest bin and four neighbors (least squares)."""
    top = int(np.argmax(g))
    near = slice(top - 2, top + 3)
    a, b, c = np.polyfit(r[near] - r[top], g[near], 2)
    return float(r[top] - b / (2.0 * a)), float(c - b**2 / (4.0 * a))


if __name__ == "__main__":
    main()
