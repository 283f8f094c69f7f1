"""Standard deviations in and out of the domain, on many materials: errors, sigma, sqrt(ZMS), 90 % intervals.

    python study.py --data DATA RESULTS [CASE ...] [--seeds 1 2 3] [--keywords FILE]

Each case is trained by the defaults alone, calibrated on a part of its own training set, and asked about
sets it has not seen, out of the domain too. DATA has the public sets of the README. A case that is finished
is not repeated; the table is made of energy.out and nnforces.out. Lines of FILE are added to input.nn, to try
something else in another folder RESULTS.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
import silicon
from numpy.typing import NDArray

from bnnp.io.prediction import read_columns
from bnnp.uncertainty.reliability import coverage
from bnnp.uncertainty.scores import zms

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Frames:
    """Every `every`-th frame of a file of DATA after `skip`, at most `most`; of some `groups` alone."""

    file: str
    skip: int = 0
    every: int = 1
    most: int = 10**6
    groups: tuple[str, ...] = ()


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


def _defects(element: str) -> Case:
    """Trained on one group of mlearn, asked about others."""
    part = f"mlearn/{element}_{{}}.extxyz.gz"
    return Case(
        element,
        {"bulk": Frames(part.format("train"), groups=(BULK,))},
        {"in bulk": Frames(part.format("test"), groups=(BULK,))}
        | {f"out {name.lower()}": Frames(part.format("train"), groups=(name,)) for name in DEFECTS},
    )


def _silicon(name: str) -> Frames:
    return Frames(f"silicon/{name}.extxyz")


SILICON = "bulk to anything, Si (Stillinger-Weber)"
FORMATS = [".3g", ".2f", ".0f"]
BULK, DEFECTS = "AIMD-NVT", ("Vacancy", "Elastic", "Surface")
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
    "bulk to defects, Si": _defects("Si"),
    "bulk to defects, Ge": _defects("Ge"),
    "bulk to defects, Li": _defects("Li"),
    SILICON: Case(
        "Si",
        {"crystals": _silicon("crystals")},
        {"in crystals": _silicon("in")} | {f"out {x}": _silicon(x) for x in silicon.KINDS if x != "in"},
    ),
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
    source = data / frames.file
    if frames.groups:
        kept = [atoms for atoms in ase.io.read(source, ":") if atoms.info["group"] in frames.groups]
        source = folder / "frames.extxyz"
        ase.io.write(source, kept)
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
        source,
        target,
    )


def run(case: Case, folder: Path, data: Path, seed: int, more: str) -> None:
    """Modes 1 and 2, and mode 3 for every set that is asked about."""
    folder.mkdir(parents=True)
    for label, frames in case.train.items():
        convert(folder, data, frames, label, "input.data")
    (folder / "input.nn").write_text(
        f"units metal\nelements {case.elements}\nrandom_seed {seed}\ncalculate_forces\n{more}"
    )
    bnnp(folder, "--mode", 1)
    bnnp(folder, "--mode", 2)
    for label, frames in case.ask.items():
        name = label.replace(" ", "_")
        convert(folder, data, frames, label, f"{name}.data")
        bnnp(folder, "--mode", 3, "--data", f"{name}.data")
        for output in ("energy", "nnforces"):
            (folder / f"{output}.out").rename(folder / f"{output}.{name}.out")


def scores(folder: Path, label: str) -> list[float]:
    """Of energies, then of force components: root mean square error (meV/atom, meV/Angstrom), sqrt(ZMS), and
    how many per cent of the errors are in the 90 % intervals."""
    name = label.replace(" ", "_")
    energy, force = (read_columns(folder / f"{output}.{name}.out")[0] for output in ("energy", "nnforces"))
    errors = {
        "energy": (energy["Ediff"], energy["Ennp_std_per_atom"]),
        "force": tuple(
            np.concatenate(x)
            for x in zip(
                *((force[f"f{c}"] - force[f"f{c}Ref"], force[f"f{c}_std"]) for c in "xyz"), strict=True
            )
        ),
    }
    found = []
    for error, sigma in errors.values():
        found += [
            1e3 * float(np.sqrt(np.square(error).mean())),
            np.sqrt(zms(error, sigma)),
            100.0 * coverage(error, sigma, 0.9),
        ]
    return found


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="SEED")
    parser.add_argument("--keywords", type=Path, help="lines to add to input.nn")
    words = parser.parse_args()
    more = words.keywords.read_text() if words.keywords else ""
    for seed in words.seeds:
        for name in words.cases:
            folder = place(words.results, name, seed)
            if not (folder / "finished").exists():
                shutil.rmtree(folder, ignore_errors=True)
                data = words.data.resolve()
                if name == SILICON:
                    data = words.results.resolve()
                    silicon.make(data / "silicon")
                run(CASES[name], folder, data, seed, more)
                (folder / "finished").touch()
    print(
        "| case | asked about | E RMSE | sqrt(ZMS) | in 90 % | F RMSE | sqrt(ZMS) | in 90 % |\n|" + "---|" * 8
    )
    for name in words.cases:
        for label in CASES[name].ask:
            found = np.array([scores(place(words.results, name, seed), label) for seed in words.seeds])
            cells = [shown(values, form) for values, form in zip(found.T, 2 * FORMATS, strict=True)]
            print(f"| {name} | {label} | {' | '.join(cells)} |")


def place(results: Path, name: str, seed: int) -> Path:
    """Folder of one case and seed."""
    return results / f"{name.replace(' ', '_').replace(',', '')}_{seed}"


def shown(values: Array, form: str) -> str:
    """Median, and the range of several."""
    low, middle, high = (format(float(x), form) for x in np.quantile(values, (0.0, 0.5, 1.0)))
    return middle if len(values) == 1 else f"{middle} ({low} - {high})"


if __name__ == "__main__":
    main()
