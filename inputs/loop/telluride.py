"""Ge-Sb-Te from crystals at 300 K to melt and quench: how many labels does a loop need?

    python inputs/loop/telluride.py RESULTS --data FOLDER
    python inputs/loop/telluride.py RESULTS --data FOLDER --seeds 5 --generations 8 --all

FOLDER has sets of GeTe, Sb2Te3 and Ge2Sb2Te5 as MATERIAL_TEMPERATUREK.extxyz.gz with energies and forces, and
teacher.py with a function `teacher` that makes the calculator which labeled them. The start set is 20 frames
of each material at 300 K; the loop heats them to 1500 K and quenches them, and chooses by uncertainty or at
random. Judged by errors on 8 frames of each file that nobody trains on; --all trains on the others, 192 of
200, of 300, 600, 900, 1200 and 1500 K, to compare with. The first and the last potential run `RUNS` times
10 ps at 1500 K and 10 ps of quench to 300 K, and runs that the guard stops are counted.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import ase.io
import numpy as np

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.structure import Structure
from bnnp.units import METAL

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))
from campaign_study import COLUMNS, Study, arguments, run, table  # noqa: E402
from study_tools import append_rows, read_rows, run_bnnp, with_keyword  # noqa: E402

MATERIALS = ("GeTe", "Ge2Sb2Te5", "Sb2Te3")
KELVIN = (300, 600, 900, 1200, 1500)
START, TEST = 20, 8  # frames of a material; of a file
RUNS = 5
DYNAMICS = {  # 10 ps molten, 10 ps of quench
    "threads": "1",
    "md_steps": "5000 5000",
    "md_timestep": "2",
    "md_thermostat": "bussi",
    "md_temperature": "1500 1500:300",
    "md_uncertainty_every": "500",
}
GUARD = 3  # exit code of a run that was stopped


def frames(folder: Path, material: str, kelvin: int) -> list[Structure]:
    """All structures of a file."""
    found = ase.io.iread(folder / f"{material}_{kelvin}K.extxyz.gz", ":")
    return [from_atoms(atoms, METAL) for atoms in found]


def divided(folder: Path, material: str, kelvin: int) -> tuple[list[Structure], list[Structure]]:
    """Frames that may be trained on, and evenly spaced ones to judge by."""
    every = frames(folder, material, kelvin)
    apart = set(np.linspace(0, len(every) - 1, TEST).astype(int).tolist())
    trained = [each for number, each in enumerate(every) if number not in apart]
    return trained, [every[number] for number in sorted(apart)]


def start(folder: Path, seed: int) -> Iterator[Structure]:
    """Frames of all materials at 300 K, drawn by the seed."""
    for material in MATERIALS:
        own, _ = divided(folder, material, KELVIN[0])
        chosen = np.random.default_rng(seed).permutation(len(own))[:START]
        yield from (own[k] for k in sorted(chosen.tolist()))


def judging(folder: Path, kelvin: int) -> Iterator[Structure]:
    """Frames of all materials at a temperature to judge by."""
    for material in MATERIALS:
        yield from divided(folder, material, kelvin)[1]


def stopped(potential: Path, crystals: list[Structure]) -> int:
    """Runs of melt and quench that the guard has stopped."""
    own, number = potential.parent / "runs", 0
    for run_number in range(RUNS):
        folder = own / f"run_{run_number}"
        if not (folder / "code").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(potential, folder)
            write_structures(folder / "input.data", [crystals[run_number % len(crystals)]])
            text = (folder / "input.nn").read_text()
            for name, value in {**DYNAMICS, "random_seed": str(run_number + 1)}.items():
                text = with_keyword(text, name, value)
            (folder / "input.nn").write_text(text)
            command = [sys.executable, "-m", "bnnp", "--mode", "3"]
            with open(folder / "md.log", "w") as log:
                code = subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=False).returncode
            if code not in (0, GUARD):
                sys.exit(f"molecular dynamics failed in {folder}; see md.log there")
            (folder / "code").write_text(str(code))
        number += (folder / "code").read_text() == str(GUARD)
    return number


def train_on_all(words: argparse.Namespace, judged: Study) -> None:
    """The errors of a training on all frames, in the same table."""
    results, folder = words.results.resolve(), words.results.resolve() / "all"
    if any(row["arm"] == "all" for row in read_rows(results)):
        return
    folder.mkdir(parents=True, exist_ok=True)
    every = [s for m in MATERIALS for t in KELVIN for s in divided(words.data, m, t)[0]]
    write_structures(folder / "input.data", every)
    text = re.sub(r"^(loop|md)_.*\n", "", judged.settings.read_text(), flags=re.MULTILINE)
    for name, value in words.keyword:
        text = with_keyword(text, name, value)
    (folder / "input.nn").write_text(text)
    for mode in "12":
        run_bnnp(folder, f"mode{mode}.log", "--mode", mode)
    rows = [
        ("all", 1, 0, len(every), *each) for each in judged.quantities(results, folder / "potential", True)
    ]
    append_rows(results, COLUMNS, rows)


def study(words: argparse.Namespace) -> Study:
    """The study of these options."""
    data = words.data.resolve()
    crystals = [divided(data, material, KELVIN[0])[0][0] for material in MATERIALS]
    settings = words.results.resolve() / "telluride.nn"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text((HERE / "telluride.nn").read_text() + "label_teacher teacher:teacher\n")

    def judge(potential: Path) -> Mapping[str, float]:
        return {f"stopped of {RUNS}": float(stopped(potential, crystals))} if words.runs else {}

    def equip(folder: Path) -> None:
        write_structures(folder / "starts.data", crystals)
        for path in data.iterdir():
            if path.is_file() and path.suffix in (".py", ".txt"):
                shutil.copyfile(path, folder / path.name)

    sets = {f"{kelvin} K": partial(judging, data, kelvin) for kelvin in KELVIN}
    return Study(settings, partial(start, data), sets, equip, judge)


def main() -> None:
    """See the head of the file."""
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="sets and teacher.py")
    parser.add_argument("--all", action="store_true", help="a training on all frames, too")
    parser.add_argument("--no-runs", dest="runs", action="store_false", help="no melt and quench")
    words = parser.parse_args()
    own = study(words)
    run(own, words)
    if words.all:
        train_on_all(words, own)
        print("\n".join(table(read_rows(words.results.resolve()))))


if __name__ == "__main__":
    main()
