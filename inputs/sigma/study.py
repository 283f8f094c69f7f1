"""Standard deviations in and out of the domain, on many materials: errors, sigma, sqrt(ZMS), 90 % intervals.

    python study.py --data DATA [--seed N] RESULTS [CASE ...]

Each case is trained by the defaults alone, calibrated on a part of its own training set, and asked about
sets it has not seen, out of the domain too. DATA has the public sets of the README. A case that is finished
is not repeated; the table is made of energy.out and nnforces.out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Frames:
    """Some frames of a file of DATA; every `every`-th after `skip`, at most `most`."""

    file: str
    skip: int = 0
    every: int = 1
    most: int = 10**6


@dataclass(frozen=True)
class Case:
    """What is trained on, and what is asked about."""

    elements: str
    train: dict[str, Frames]
    ask: dict[str, Frames]


def _gst(material: str, kelvin: int, *numbers: int) -> Frames:
    return Frames(f"gst/{material}_{kelvin}K.extxyz.gz", *numbers)


def _mlearn(element: str) -> Case:
    train, test = (Frames(f"mlearn/{element}_{part}.extxyz.gz") for part in ("train", "test"))
    return Case(element, {"train": train}, {"in test": test})


COLD, HOT, ALL = (300, 600, 750), (900, 1200, 1500), (300, 600, 900, 1200, 1500)
CASES = {
    "crystal to melt, GeTe": Case(
        "Ge Te",
        {f"{t} K": _gst("GeTe", t, 0, 4, 50) for t in COLD},
        {f"in {t} K": _gst("GeTe", t, 2, 10, 20) for t in COLD}
        | {f"out {t} K": _gst("GeTe", t, 0, 10, 20) for t in HOT},
    ),
    "ends to alloy, Ge2Sb2Te5": Case(
        "Ge Sb Te",
        {f"{m} {t} K": _gst(m, t, 0, 10, 20) for m in ("GeTe", "Sb2Te3") for t in ALL},
        {f"in {m} {t} K": _gst(m, t, 5, 20, 10) for m in ("GeTe", "Sb2Te3") for t in (300, 1200)}
        | {f"out {t} K": _gst("Ge2Sb2Te5", t, 0, 20, 10) for t in ALL},
    ),
    "cooled to hot, GeTe (DFT)": Case(
        "Ge Te",
        {f"{t} K": Frames(f"gete/gete_{t}K.extxyz.gz", 0, 4, 40) for t in (300, 450, 600, 900)},
        {f"in {t} K": Frames(f"gete/gete_{t}K.extxyz.gz", 170, 3, 10) for t in (300, 600, 900)}
        | {f"out {t} K": Frames(f"gete/gete_{t}K.extxyz.gz", 0, 3, 13) for t in (1050, 1350, 1800)},
    ),
    "elements to alloys, NbMoTaW": Case(
        "Nb Mo Ta W",
        {x: Frames(f"nbmotaw/{x}_aimd.extxyz.gz", 0, 4, 50) for x in ("Nb", "Mo", "Ta", "W")},
        {f"in {x}": Frames(f"nbmotaw/{x}_aimd.extxyz.gz", 2, 10, 20) for x in ("Nb", "W")}
        | {f"out {x}": Frames(f"nbmotaw/{x}_binary.extxyz.gz", 0, 20, 30) for x in ("MoTa", "NbW")}
        | {"out quaternary": Frames("nbmotaw/quaternary_test.extxyz.gz")},
    ),
    "Si": _mlearn("Si"),
    "Ge": _mlearn("Ge"),
    "Li": _mlearn("Li"),
    "300 K to hot, 3BPA": Case(
        "H C N O",
        {"300 K": Frames("3bpa/train_300K.extxyz.gz")},
        {"in 300 K": Frames("3bpa/mixed_300K.extxyz.gz", 0, 2)}
        | {f"out {t} K": Frames(f"3bpa/mixed_{t}K.extxyz.gz", 0, 2) for t in (600, 1200)},
    ),
}  # fmt: skip


def bnnp(folder: Path, *words: object) -> None:
    """Run one command there; its log goes to log.txt."""
    with open(folder / "log.txt", "a") as log:
        subprocess.run(
            [sys.executable, "-m", "bnnp", *map(str, words)], cwd=folder, check=True, stdout=log, stderr=log
        )


def convert(folder: Path, data: Path, frames: Frames, label: str, target: str) -> None:
    """Add frames to an input.data."""
    chosen = ("--skip", frames.skip, "--every", frames.every, "--max", frames.most)
    label = label.replace(" ", "_")
    bnnp(
        folder,
        "convert",
        "--units",
        "metal",
        *chosen,
        "--label",
        label,
        "--append",
        data / frames.file,
        target,
    )


def run(case: Case, folder: Path, data: Path, seed: int) -> None:
    """Modes 1 and 2, and mode 3 for every set that is asked about."""
    folder.mkdir(parents=True)
    for label, frames in case.train.items():
        convert(folder, data, frames, label, "input.data")
    (folder / "input.nn").write_text(
        f"units metal\nelements {case.elements}\nrandom_seed {seed}\ncalculate_forces\n"
    )
    bnnp(folder, "--mode", 1)
    bnnp(folder, "--mode", 2)
    for label, frames in case.ask.items():
        name = label.replace(" ", "_")
        convert(folder, data, frames, label, f"{name}.data")
        bnnp(folder, "--mode", 3, "--data", f"{name}.data")
        for output in ("energy", "nnforces"):
            (folder / f"{output}.out").rename(folder / f"{output}.{name}.out")


def scores(path: Path, columns: list[tuple[str, str | None, str]]) -> tuple[float, float, float]:
    """Root mean square error, sqrt(ZMS), and share of the errors in the 90 % intervals.

    `columns`: value, reference (None if the value is the error), standard deviation.
    """
    with open(path) as file:
        names = next(line for line in file if line.startswith("#")).strip("# ").split("|")[0].split()
    table = dict(zip(names, np.loadtxt(path, unpack=True, ndmin=2), strict=True))
    errors = np.concatenate([table[x] - (table[y] if y else 0.0) for x, y, _ in columns])
    sigma = np.concatenate([table[std] for *_, std in columns])
    inside = float(np.mean(np.abs(errors) < 1.645 * sigma))
    return 1e3 * float(np.sqrt(np.mean(errors**2))), float(np.sqrt(np.mean((errors / sigma) ** 2))), inside


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    print(
        "| case | asked about | E RMSE | sqrt(ZMS) | in 90 % | F RMSE | sqrt(ZMS) | in 90 % |\n|" + "---|" * 8
    )
    for name in words.cases:
        folder = words.results / f"{name.replace(' ', '_').replace(',', '')}_{words.seed}"
        if not (folder / "finished").exists():
            run(CASES[name], folder, words.data.resolve(), words.seed)
            (folder / "finished").touch()
        for label in CASES[name].ask:
            place = label.replace(" ", "_")
            energy = scores(folder / f"energy.{place}.out", [("Ediff", None, "Ennp_std_per_atom")])
            components = [(f"f{x}", f"f{x}Ref", f"f{x}_std") for x in "xyz"]
            force = scores(folder / f"nnforces.{place}.out", components)
            cells = [f"{e:.3g} | {z:.2f} | {100 * share:.0f}" for e, z, share in (energy, force)]
            print(f"| {name} | {label} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
