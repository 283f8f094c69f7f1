"""Structure of liquid GeTe: radial and angular distributions of molecular dynamics beside those of DFT.

    python rdf.py FOLDER [--temperatures 1200 900] [--out rdf] [--input FILE]

FOLDER holds gete_300K.extxyz.gz, ... (see README.md). The settings are those of input.nn here, but for
CHANGES below, or those of another file. One potential is trained on the first 70 % of the frames of every
temperature (later frames choose the epoch). Then, for each temperature,

* the protocol of the paper: 216 atoms, 1 fs, NVT 20 ps, NVE 10 ps, compared with all DFT frames;
* the same age: NVE from the second DFT frame with DFT's velocities (central differences of the positions;
  the time between frames follows from the forces) for as long as the DFT trajectory is.

Bands are 95 % of 2000 moving-block bootstraps of the DFT frames (H. R. Kuensch, Ann. Stat. 17, 1217 (1989)).
They say how sure the mean over this one trajectory is, not whether a few picoseconds have seen all of the
liquid. Last, --members runs of single samples show the uncertainty of the potential. Finished parts are kept.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from numpy.typing import NDArray
from PIL import Image
from study import run_bnnp, with_keyword

from bnnp import BNNP
from bnnp.analysis.angular import AngularDistribution
from bnnp.analysis.radial import RadialDistribution
from bnnp.descriptors.neighbors import find_neighbors
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.structure import Set
from bnnp.units import METAL

Array = NDArray[np.float64]
Curves = dict[str, Array]  # (n_frames, n_bins) or (n_bins,) by name: total, Ge-Ge, ...

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / "tools"
TEMPERATURES = (300, 450, 600, 750, 900, 1050, 1200, 1350, 1500, 1800)
CHANGES = {"optimizer": "kalman", "batch_size": "1", "kalman_components": "48", "precision": "single"}
CHANGES |= {"epochs": "10", "dropout_rate": "0 0.1", "threads": "1"}
TRAINED, CHOOSING, STRUCTURES = 0.7, 0.05, 35  # shares of the frames; frames of a temperature at most
R_MAX, BINS, BOND, ANGLES = 8.0, 80, 3.4, 60  # Angstrom, of the RDF; Angstrom, of the angles
BLOCKS, BOOTSTRAPS = 8, 2000
PAIRS = {"total": None, "Ge-Ge": (0, 0), "Ge-Te": (0, 1), "Te-Te": (1, 1)}


def main() -> None:
    """Train, simulate, compare, draw."""
    options = parse_arguments()
    base, folder = options.out.resolve(), options.folder.resolve()
    train(base, folder, options.input)
    lines = ["| | | bins inside | first peak, Angstrom | height |", "|---|---|---|---|---|"]
    for temperature in options.temperatures:
        dft = frames_of(folder, temperature)
        simulate(base, temperature, dft[-1])
        run = ase.io.read(base / f"{temperature}K" / "trajectory.extxyz", ":")
        liquid = [frame for frame in run if frame.info["stage"] == 2]
        followed = follow(base / "potential", dft)
        write_table(base / f"rdf_{temperature}K_dft.out", dft, np.random.default_rng(1))
        for name, frames in (("md", liquid), ("same_age", followed)):
            write_table(base / f"rdf_{temperature}K_{name}.out", frames)
            lines += compare(f"{temperature} K, {name.replace('_', ' ')}", dft, frames)
        draw(base, temperature)
    members(base, options.temperatures[0], options.members)
    (base / "numbers.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--temperatures", type=int, nargs="+", default=[1200, 900])
    parser.add_argument("--members", type=int, default=10, help="runs of single samples; 0: none")
    parser.add_argument("--out", type=Path, default=Path("rdf"))
    parser.add_argument("--input", type=Path, help="settings of the training and of mode 3")
    return parser.parse_args()


def frames_of(folder: Path, temperature: int) -> list[Atoms]:
    """All DFT frames of a temperature."""
    with gzip.open(folder / f"gete_{temperature}K.extxyz.gz", "rt") as file:
        return list(ase.io.read(file, ":", format="extxyz"))


def train(base: Path, folder: Path, settings: Path | None) -> None:
    """The potential of all temperatures, split by time."""
    if (base / "potential" / "input.nn").exists():
        return
    base.mkdir(parents=True, exist_ok=True)
    structures = []
    for temperature in TEMPERATURES:
        frames = frames_of(folder, temperature)
        first, last = round(TRAINED * len(frames)), round((TRAINED + CHOOSING) * len(frames))
        step = max(1, first // STRUCTURES)
        for subset, chosen in ((Set.TRAIN, frames[:first:step]), (Set.TEST, frames[first:last:step])):
            for frame in chosen:
                frame.info = {"group": f"{temperature}K"}
                structures.append(replace(from_atoms(frame, METAL), subset=subset))
    write_structures(base / "input.data", structures)
    text = (settings or HERE / "input.nn").read_text()
    if settings is None:
        for name, value in CHANGES.items():
            text = with_keyword(text, name, value)
        text = text.replace("learning_rate ", "# learning_rate ")
    (base / "input.nn").write_text(text)
    run_bnnp(base, "mode1.log", "--mode", "1")
    run_bnnp(base, "mode2.log", "--mode", "2")


def simulate(base: Path, temperature: int, start: Atoms, steps: str = "20000 10000", more: str = "") -> Path:
    """NVT, then NVE, from a structure; continued if it was cut short."""
    out = base / f"{temperature}K{'_members' if more else ''}"
    if (out / "finished").exists():
        return out
    restart = (out / "input.nn").exists() and not more
    if not restart:
        shutil.copytree(base / "potential", out, dirs_exist_ok=True)
        write_structures(out / "input.data", [from_atoms(start, METAL)])
        with open(out / "input.nn", "a") as file:
            file.write(
                f"threads 1\nmd_steps {steps}\nmd_ensemble nvt nve\nmd_thermostat bussi\n"
                f"md_temperature {temperature}\nmd_write_every 25\nmd_uncertainty_every 25\n{more}"
            )
    run_bnnp(out, "mode3.log", "--mode", "3", *["--restart"] * restart)
    (out / "finished").touch()
    return out


def members(base: Path, temperature: int, count: int) -> None:
    """RDF of single samples, one run each from the last frame: NVT 0.5 ps, NVE 1 ps."""
    if count < 2:
        return
    start = ase.io.read(base / f"{temperature}K" / "trajectory.extxyz", -1)
    out = simulate(base, temperature, start, "500 1000", f"md_members {count}\n")
    files = sorted(map(str, out.glob("md_member_*/trajectory.extxyz")))
    command = [sys.executable, str(TOOLS / "analyze_trajectory.py"), *files, "--rdf", "--skip", "21"]
    command += ["--r-max", str(R_MAX), "--bins", str(BINS), "--out", str(base / "members")]
    subprocess.run(command, check=True)


def follow(potential: Path, dft: Sequence[Atoms]) -> list[Atoms]:
    """NVE from the state of the second DFT frame, one frame for each of DFT's."""
    atoms, dt = dft[1].copy(), interval(dft)
    moved = displacement(dft[0], dft[1]) + displacement(dft[1], dft[2])
    atoms.set_velocities(moved / (2.0 * dt))
    atoms.calc = BNNP(potential)
    dynamics = VelocityVerlet(atoms, dt / round(dt / units.fs))
    frames = [atoms.copy()]
    while len(frames) < len(dft) - 1:
        dynamics.run(round(dt / units.fs))
        frames.append(atoms.copy())
    return frames


def interval(dft: Sequence[Atoms]) -> float:
    """Time between two frames in ASE's unit, from Newton's second law for second differences."""
    steps = np.array([displacement(first, second) for first, second in zip(dft, dft[1:], strict=False)])
    pushes = np.array([frame.get_forces() / frame.get_masses()[:, None] for frame in dft[1:-1]])
    squared = (np.diff(steps, axis=0) * pushes).sum() / (pushes**2).sum()
    return round(float(np.sqrt(squared)) / units.fs) * units.fs


def displacement(first: Atoms, second: Atoms) -> Array:
    """How far the atoms have moved, nearest images, (n_atoms, 3) Angstrom."""
    fractions = (second.positions - first.positions) @ np.linalg.inv(first.cell.array)
    return (fractions - np.round(fractions)) @ first.cell.array


def distributions(frames: Sequence[Atoms]) -> tuple[Curves, Curves]:
    """g(r) and the distributions of angles of every frame."""
    radial, angular = [], []
    for frame in frames:
        pairs = [find_neighbors(frame.positions, frame.cell.array, r, frame.numbers) for r in (R_MAX, BOND)]
        radial.append(RadialDistribution.of(pairs[0], frame.numbers, frame.get_volume(), R_MAX, BINS))
        angular.append(AngularDistribution.of(pairs[1], frame.numbers, ANGLES))
    g = {
        name: np.array([one.partial[pair] if pair else one.total for one in radial])
        for name, pair in PAIRS.items()
    }
    return g, {"angles": np.array([one.density(one.total) for one in angular])}


def bootstrap(values: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Ends of the 95 % band of the mean over correlated frames (n_frames, n_bins)."""
    n = len(values)
    length = max(1, n // BLOCKS)
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), values]), axis=0)
    blocks = (sums[length:] - sums[:-length]) / length  # mean of every block of this length
    chosen = generator.integers(len(blocks), size=(BOOTSTRAPS, -(-n // length)))
    low, high = np.quantile(blocks[chosen].mean(axis=1), (0.025, 0.975), axis=0)
    return low, high


def compare(label: str, dft: Sequence[Atoms], frames: Sequence[Atoms]) -> list[str]:
    """Rows of the table: bins inside of DFT's band, position and height of the first peak."""
    rows = []
    references, found = distributions(dft), distributions(frames)
    for kind in (0, 1):
        for name, values in references[kind].items():
            low, high = bootstrap(values, np.random.default_rng(1))
            mean = found[kind][name].mean(axis=0)
            there = (high > 0.0) | (mean > 0.0)
            inside = np.mean(((mean >= low) & (mean <= high))[there])
            row = f"| {label} | {name} | {100 * inside:.0f} % |"
            if kind == 0:
                (r_0, g_0), (r_1, g_1) = first_peak(values.mean(axis=0)), first_peak(mean)
                row += f" {r_1:.2f} (DFT {r_0:.2f}) |"
                row += f" {g_1:.2f} (DFT {g_0:.2f}: {100 * (g_1 / g_0 - 1):+.0f} %) |"
            else:
                row += " | |"
            rows.append(row)
    return rows


def first_peak(g: Array) -> tuple[float, float]:
    """Position and height of the highest peak, by a parabola through three bins."""
    k = int(np.argmax(g[1:-1])) + 1
    left, top, right = g[k - 1 : k + 2]
    shift = 0.5 * (left - right) / (left - 2.0 * top + right)
    width = R_MAX / BINS
    return (k + 0.5 + shift) * width, top - 0.25 * (left - right) * shift


def write_table(path: Path, frames: Sequence[Atoms], generator: np.random.Generator | None = None) -> None:
    """g(r) for bnnp plot; with a generator the band of the bootstrap beside it."""
    names, columns = ["r"], [(np.arange(BINS) + 0.5) * R_MAX / BINS]
    for name, values in distributions(frames)[0].items():
        names.append(f"g_{name}")
        columns.append(values.mean(axis=0))
        if generator is not None:
            names += [f"g_{name}_low", f"g_{name}_high"]
            columns += bootstrap(values, generator)
    np.savetxt(path, np.column_stack(columns), fmt="%14.6e", header=f"{' '.join(names)} | Angstrom")


def draw(base: Path, temperature: int) -> None:
    """The three distributions in one picture."""
    labels = {"dft": "DFT", "md": "NVT 20 ps, NVE 10 ps", "same_age": "same age"}
    command = [sys.executable, str(TOOLS / "plot.py"), "rdf", "--out", str(base / f"rdf_{temperature}K")]
    for name, label in labels.items():
        command += [str(base / f"rdf_{temperature}K_{name}.out"), "--label", label]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TOOLS), os.environ.get("PYTHONPATH", "")]),
    }
    subprocess.run(command, check=True, env=environment)
    picture = base / f"rdf_{temperature}K.png"
    Image.open(picture).convert("RGB").quantize(48).save(picture, optimize=True)


if __name__ == "__main__":
    main()
