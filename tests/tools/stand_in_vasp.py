"""A stand-in for VASP: python stand_in_vasp.py [BEHAVIOR], where POSCAR, POTCAR, INCAR and KPOINTS are.

Energy, forces and stress are those of EMT; they are written as OUTCAR and vasprun.xml in VASP's layout (one
element, as tools/make_vasp_example.py writes them). As VASP it may not converge (unless NELM is 100 or more),
die, write half a step, hang, end without a word, be killed, or calculate something else.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import sys
import time
from pathlib import Path

import ase.io
from ase.calculators.emt import EMT

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from make_vasp_example import outcar, vasprun  # noqa: E402

CONVERGED, UNCONVERGED = 10, 1  # frames of a run whose first step is written so
BEHAVIORS = ("unconverged", "dies", "half", "hangs", "silent", "killed", "moved")


def drawn(share: float, folder: Path) -> str:
    """A behavior by the structure and the try: `share` of all are no good one."""
    seed = (folder / "POSCAR").read_bytes() + folder.name.encode()
    number = int(hashlib.sha256(seed).hexdigest()[:8], 16) / 2**32
    return "good" if number >= share else BEHAVIORS[int(number / share * len(BEHAVIORS))]


def main(behavior: str) -> None:
    """Calculate, well or badly."""
    if behavior.startswith("0."):
        behavior = drawn(float(behavior), Path.cwd())
    settings = Path("INCAR").read_text()
    atoms = ase.io.read("POSCAR", format="vasp")
    titles = re.findall(r"^PAW_PBE (\w+)", Path("POTCAR").read_text(), flags=re.MULTILINE)
    assert titles == list(dict.fromkeys(atoms.symbols)), "the order of POTCAR is not that of POSCAR"
    if behavior == "moved":
        atoms.positions[0] += 0.1
    atoms.calc = EMT()
    nelm = int((re.search(r"NELM\s*=\s*(\d+)", settings) or [0, "60"])[1])
    frames = UNCONVERGED if behavior == "unconverged" and nelm < 100 else CONVERGED
    cutoff = (re.search(r"ENCUT\s*=\s*(\d+)", settings) or [0, "400"])[1]
    texts = {
        "vasprun.xml": vasprun(iter([atoms]), frames).replace(
            " </parameters>", f'    <i name="ENMAX">{cutoff}</i>\n </parameters>'
        ),
        "OUTCAR": outcar(iter([atoms]), frames),
    }
    if behavior in ("dies", "half", "hangs", "killed"):
        texts = {name: text[: len(text) // 3] for name, text in texts.items()}
    for name, text in texts.items() if behavior != "silent" else ():
        Path(name).write_text(text)
    if behavior == "hangs":
        time.sleep(1000)
    if behavior == "killed":
        os.killpg(0, signal.SIGKILL)
    if behavior == "dies":
        sys.exit(" BRMIX: very serious problems")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "good")
