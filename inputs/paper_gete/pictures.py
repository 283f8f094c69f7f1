"""Fig. 2 and Fig. 3 of the paper from one run of the study: sigma against error, and predictions against DFT.

    python pictures.py study/energy_and_forces/dropout_0.05/seed_1

Mode 3 predicts each set of test.data in a folder of its own below RUN/pictures, the held-out frames of all
temperatures as one set; tools/plot.py draws them. Written are uncertainty.png, .pdf and .txt,
prediction_parity.png and .pdf.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from training import run_bnnp

from bnnp.io.input_data import StructureFile, write_structures

PLOT = Path(__file__).resolve().parents[2] / "tools" / "plot.py"
SETS = ("held_out", "750K", "1200K", "1500K")  # what the groups end with
OUTSIDE = ("1200K", "1500K")


def main() -> None:
    """Predict, draw."""
    run = Path(sys.argv[1]).resolve()
    pictures, structures = run / "pictures", list(StructureFile(run.parents[2] / "test.data"))
    for name in (*SETS, "all"):
        folder = pictures / name
        shutil.copytree(run / "potential", folder, dirs_exist_ok=True)
        chosen = (s for s in structures if name == "all" or s.info["group"].endswith(name))
        write_structures(folder / "input.data", chosen)
        run_bnnp(folder, "mode3.log", "--mode", "3")
    outside = [word for name in OUTSIDE for word in ("--outside", name)]
    plot(pictures, "uncertainty", *SETS, *outside)
    plot(pictures, "parity", "all")


def plot(pictures: Path, verb: str, *arguments: str) -> None:
    """A verb of tools/plot.py."""
    command = [sys.executable, str(PLOT), verb, *arguments, "--out", "."]
    subprocess.run(command, cwd=pictures, check=True)


if __name__ == "__main__":
    main()
