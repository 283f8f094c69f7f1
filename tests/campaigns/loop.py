"""Labels of `bnnp --loop` with failures of all kinds while its driver is killed again and again.

python tests/campaigns/loop.py --labels 200 --failures 0.2 --kills 50 --seed 1

The labels are those of the stand-in for VASP (tests/tools/stand_in_vasp.py). At the end every structure must
have one label or one reason, no try may have been started twice, and what is labeled must be right.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "tools"), str(ROOT / "tools"), str(ROOT)]

from ase.calculators.emt import EMT  # noqa: E402
from conftest import write_solid  # noqa: E402
from learning.label import Labeling  # noqa: E402
from loop_case import at_labels, write_template  # noqa: E402

from bnnp.io.ase_atoms import to_atoms  # noqa: E402
from bnnp.io.input_data import StructureFile  # noqa: E402
from bnnp.units import METAL  # noqa: E402

KEYWORDS = """\
label_template label_template
label_jobs 4
label_timeout 0.5
label_retry NELM=120
label_doubt 1e9
loop_failures 1
"""
DRIVER = """\
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from learning.campaign import Campaign
from learning.label import label
label(Campaign.open(Path({root!r})), 1)
"""


def drive(folder: Path, seconds: float | None) -> bool:
    """Run the label step, killed some seconds after its first word; whether it came to its end."""
    code = DRIVER.format(path=sys.path[:4], root=str(folder))
    with subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        try:
            return driver.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            os.kill(driver.pid, signal.SIGKILL)
            return False


def faults(folder: Path, labeling: Labeling, number: int) -> list[str]:
    """What must never be."""
    finals = [job.final for job in labeling.jobs]
    found = [f"{sum(final is None for final in finals)} labels without an end"] * (None in finals)
    found += [f"{len(finals)} labels for {number} structures"] * (len(finals) != number)
    starts = [path.read_text() for path in folder.rglob("started")]
    found += [f"{sum(text != 'x' + chr(10) for text in starts)} tries started twice"] * any(
        text != "x\n" for text in starts
    )
    paths = [labeling.folder / name for name in ("labeled.data", "held_out.data")]
    labels = [structure for path in paths for structure in StructureFile(path)]
    converged = sum(bool(final) and final["state"] == "converged" for final in finals)
    found += [f"{len(labels)} labels of {converged} that converged"] * (len(labels) != converged)
    found += ["labels twice"] * (len({s.positions.tobytes() for s in labels}) != len(labels))
    wrong = 0
    for structure in labels:
        atoms = to_atoms(structure, METAL)
        forces = atoms.get_forces()
        atoms.calc = EMT()
        wrong += not np.allclose(forces, atoms.get_forces(), atol=1e-5)
    return found + [f"{wrong} wrong labels"] * bool(wrong)


def main() -> None:
    """Prepare, kill, look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--failures", type=float, default=0.2)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    draw, begin = random.Random(given.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "campaign"
        campaign = at_labels(folder, write_solid(Path(place) / "solid"), given.labels, KEYWORDS)
        write_template(folder, "*never*) behavior=good;;", f"{given.failures}; echo x >> started")
        kills = 0
        while kills < given.kills and not drive(folder, draw.uniform(0.0, 8.0)):
            kills += 1
        ended = campaign.marker(1, "label") is not None or drive(folder, None)
        labeling = Labeling(campaign, 1)
        states = Counter(str((job.final or {}).get("state")) for job in labeling.jobs)
        tries = sum(len(job.tries) for job in labeling.jobs)
        wrong = faults(folder, labeling, given.labels) if ended else ["it did not end"]
    print(
        f"seed {given.seed}: {given.labels} labels, {tries} tries, {kills} kills of the driver, "
        f"{(time.monotonic() - begin) / 60:.0f} minutes; {dict(states)}; faults: {wrong or 'none'}"
    )


if __name__ == "__main__":
    main()
