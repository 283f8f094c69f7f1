"""Makes input.nn, input.data and test.data of one study of the paper on Ge-Sb-Te.

    python prepare.py temperatures DIRECTORY FOLDER    GeTe, 300 to 900 K in, 1200 and 1500 K out (Table 1)
    python prepare.py crystals DIRECTORY FOLDER        GeTe, 300, 600, 750 K in, 900 to 1500 K out
    python prepare.py ends DIRECTORY FOLDER            GeTe and Sb2Te3 in, Ge2Sb2Te5 out (Table 2)

FOLDER holds GeTe_300K.extxyz.gz and so on, a run at one temperature each (README.md says what they are).
Contiguous blocks of each run are fitted, choose the epoch, calibrate and test, with gaps between.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ase.io import read

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.structure import Set, Structure
from bnnp.units import METAL

HERE = Path(__file__).resolve().parent
HOT = (1200, 1500)
STUDIES = {  # materials and temperatures (K) that are trained on, and that are not
    "temperatures": (("GeTe",), (300, 600, 900), ("GeTe",), HOT),
    "crystals": (("GeTe",), (300, 600, 750), ("GeTe",), (900, *HOT)),
    "ends": (("GeTe", "Sb2Te3"), (300, 600, 900, *HOT), ("Ge2Sb2Te5",), (300, 600, 900, *HOT)),
}
TRAIN = range(0, 120, 6)  # frames of a run of 200, 80 fs apart
CHOOSE = range(126, 142, 5)
CALIBRATE = range(148, 170, 2)
KNOWN = range(178, 200, 2)
OUTSIDE = range(10, 200, 18)


def main() -> None:
    """The study named first, into the directory named second."""
    if len(sys.argv) != 4 or sys.argv[1] not in STUDIES:
        sys.exit(__doc__)
    name, directory, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    materials, known, others, outside = STUDIES[name]
    every = len(materials)  # two materials: half as many frames of each
    fitted: list[Structure] = []
    tested: list[Structure] = []
    for material in materials:
        for kelvin in known:
            run = read(folder / f"{material}_{kelvin}K.extxyz.gz", ":")
            for subset, frames in {Set.TRAIN: TRAIN, Set.TEST: CHOOSE, Set.CALIBRATION: CALIBRATE}.items():
                fitted += [replace(s, subset=subset) for s in chosen(run, frames[::every], material, kelvin)]
            tested += chosen(run, KNOWN[::every], material, kelvin)
    for material in others:
        for kelvin in outside:
            tested += chosen(read(folder / f"{material}_{kelvin}K.extxyz.gz", ":"), OUTSIDE, material, kelvin)
    directory.mkdir(parents=True, exist_ok=True)
    elements = "Ge Sb Te" if "Sb2Te3" in materials else "Ge Te"
    shutil.copy(HERE / "input.nn", directory)
    with open(directory / "input.nn", "a") as file:
        file.write(f"elements {elements}\n")
    write_structures(directory / "input.data", fitted)
    write_structures(directory / "test.data", tested)


def chosen(run: Sequence[object], frames: Iterable[int], material: str, kelvin: int) -> Iterator[Structure]:
    """Some frames of a run, as one group."""
    for number in frames:
        structure = from_atoms(run[number], METAL)
        yield replace(structure, info={"group": f"{material}_{kelvin}K", "source": f"frame {number}"})


if __name__ == "__main__":
    main()
