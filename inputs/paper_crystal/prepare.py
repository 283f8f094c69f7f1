"""Makes input.data and test.data: silicon crystals in, hotter crystals and melt out.

    python prepare.py [DIRECTORY]

Three runs by tools/stillinger_weber.py, which share no frame:

    input.data   300, 600, 900 K, 60 frames each: 0, 2, ... 38 fitted, 42 ... 47 to choose the epoch,
                 48 ... 59 to calibrate
    test.data    300 ... 1500 K, 20 frames each, of a second run; melt of 3000, 2500 and 2000 K, 20 each
                 (a crystal melted at 4000 K and cooled)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bnnp.io.input_data import read_structures, write_structures
from bnnp.structure import Set, Structure

HERE = Path(__file__).resolve().parent
TOOL = HERE.parents[1] / "tools" / "stillinger_weber.py"
RUNS = {  # temperatures (first, last, number), frames at each, seed
    "cold": ((300, 900, 3), 60, 1),
    "warm": ((300, 1500, 5), 20, 2),
    "melt": ((4000, 2000, 5), 20, 3),
}
MELTING = ("4000K", "3500K")  # still on the way


def main(directory: Path) -> None:
    """Three runs, two files."""
    with tempfile.TemporaryDirectory() as scratch:
        runs = {name: dynamics(Path(scratch) / f"{name}.data", *RUNS[name]) for name in RUNS}
    melt = [
        replace(s, info={**s.info, "group": f"melt_{s.info['group']}"})
        for s in runs["melt"]
        if s.info["group"] not in MELTING
    ]
    directory.mkdir(parents=True, exist_ok=True)
    if directory != HERE:
        shutil.copy(HERE / "input.nn", directory)
    write_structures(directory / "test.data", runs["warm"] + melt)
    write_structures(directory / "input.data", pinned(runs["cold"], RUNS["cold"][1]))


def dynamics(path: Path, temperatures: Sequence[int], frames: int, seed: int) -> list[Structure]:
    """Silicon at these temperatures."""
    command = [TOOL, "Si", path, "--temperatures", *temperatures, "--frames", frames, "--seed", seed]
    subprocess.run([sys.executable, *map(str, command)], check=True)
    return list(read_structures(path))


def pinned(structures: Sequence[Structure], frames: int) -> list[Structure]:
    """Every structure in its set, by its place in the run of its temperature; gaps between the sets."""
    kept = []
    for number, structure in enumerate(structures):
        place = number % frames / frames
        if place < 0.66 and number % 2 == 0:
            kept.append(replace(structure, subset=Set.TRAIN))
        elif place >= 0.7:
            kept.append(replace(structure, subset=Set.TEST if place < 0.8 else Set.CALIBRATION))
    return kept


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else HERE).resolve())
