"""Labels of `bnnp --loop` with failures of all kinds, its driver killed, the disk full at times.

python tests/campaigns/loop.py --labels 200 --failures 0.2 --kills 50 --full 20 --seed 1

The labels are those of the stand-in for VASP (tests/tools/stand_in_vasp.py). Each process, of the driver and
of the jobs, has a clock of its own, which goes back. At the end every structure must have one label or one
reason, no try may have been started twice, none may have been given up for what was no fault of its own, and
what is labeled must be right. A full disk needs the right to mount.
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "tools"), str(ROOT / "tools"), str(ROOT)]

from ase.calculators.emt import EMT  # noqa: E402
from conftest import write_solid  # noqa: E402
from learning.label import FAILED, LOST, UNCONVERGED, Job, Labeling  # noqa: E402
from loop_case import at_labels, write_template  # noqa: E402
from stand_in_vasp import drawn  # noqa: E402

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
from bnnp.command import guard
from learning.campaign import Campaign
from learning.label import label
guard(lambda: label(Campaign.open(Path({root!r})), 1))
"""
CLOCK = """\
import os, random, time
time.time = lambda skew=random.Random(os.getpid()).uniform(-1e5, 1e5), now=time.time: skew - now()
"""
DISK = 200  # MB
LONGEST = 8.0  # seconds of a driver before it is killed or the disk is full
FULL = (2.0, 60.0)  # seconds at most for which it is


@dataclass(frozen=True)
class Place:
    """A folder `campaign` on a disk of its own, and a folder `clock` with a clock for each process."""

    path: Path

    def drive(self, seconds: float | None, full: float | None = None) -> str | None:
        """Run the label step, killed some seconds behind its first word; before that, the disk may be full.

        Returns None if it was killed, else what it said at its end: nothing if that was a good one.
        """
        code = DRIVER.format(path=sys.path[:4], root=str(self.path / "campaign"))
        here = os.environ | {"PYTHONPATH": str(self.path / "clock")}
        command = [sys.executable, "-uc", code]
        log = self.path / "log"
        with (
            open(log, "w") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=here) as driver,
        ):
            assert driver.stdout is not None
            driver.stdout.readline()
            with suppress(subprocess.TimeoutExpired):
                driver.wait(seconds)
            if driver.poll() is None and full is not None:
                self.fill()
                with suppress(subprocess.TimeoutExpired):
                    driver.wait(full)
                (self.path / "campaign" / "filler").unlink()
                with suppress(subprocess.TimeoutExpired):
                    driver.wait(seconds)
            if driver.poll() is None:
                os.kill(driver.pid, signal.SIGKILL)
                return None
        return log.read_text() or f"exit code {driver.returncode}" if driver.returncode else ""

    def fill(self) -> None:
        """Leave no room on the disk."""
        with open(self.path / "campaign" / "filler", "wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))


def faults(folder: Path, labeling: Labeling, number: int, share: float) -> list[str]:
    """What must never be."""
    finals = [job.final for job in labeling.jobs]
    found = [f"{sum(final is None for final in finals)} labels without an end"] * (None in finals)
    found += [f"{len(finals)} labels for {number} structures"] * (len(finals) != number)
    starts = [path.read_text() for path in folder.rglob("started")]
    twice = sum(text.count("x") > 1 for text in starts)
    found += [f"{twice} tries started twice"] * bool(twice)
    paths = [labeling.folder / name for name in ("labeled.data", "held_out.data")]
    labels = [structure for path in paths for structure in StructureFile(path)]
    converged = sum(bool(final) and final["state"] == "converged" for final in finals)
    found += [f"{len(labels)} labels of {converged} that converged"] * (len(labels) != converged)
    given_up = [
        f"{job.folder.name} ({final['reason']})"
        for job, final in zip(labeling.jobs, finals, strict=True)
        if final and wronged(job, final, share)
    ]
    found += [f"{len(given_up)} given up, such as {given_up[:1]}"] * bool(given_up)
    found += ["labels twice"] * (len({s.positions.tobytes() for s in labels}) != len(labels))
    wrong = 0
    for structure in labels:
        atoms = to_atoms(structure, METAL)
        forces = atoms.get_forces()
        atoms.calc = EMT()
        wrong += not np.allclose(forces, atoms.get_forces(), atol=1e-5)
    return found + [f"{wrong} wrong labels"] * bool(wrong)


def wronged(job: Job, final: dict[str, object], share: float) -> bool:
    """Whether a label has failed though one of its tries, which was not lost, was a good one."""
    tries = [path for path in job.tries if not (path / LOST).exists()]
    return final["state"] in (FAILED, UNCONVERGED) and any(drawn(share, path) == "good" for path in tries)


@contextmanager
def small_disk(path: Path) -> Iterator[bool]:
    """A disk in a new folder; False without the right to mount, where it is only a folder."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "bnnp", str(path)]
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


def disturb(place: Place, disturbances: list[str], draw: random.Random) -> tuple[Counter[str], list[str]]:
    """Kill the driver, or fill the disk, until it comes to its end; how often that was done, and faults."""
    done, faults = Counter[str](), list[str]()
    for kind in disturbances:
        full = draw.choice(FULL) if kind == "full" else None
        said = place.drive(draw.uniform(0.0, LONGEST), full)
        done[kind] += 1
        if said == "":
            break
        if said is not None and (kind != "full" or "Traceback" in said or "ERROR: " not in said):
            faults.append(said)
        done["ended by a full disk"] += said is not None
    return done, faults


def main() -> None:
    """Prepare, disturb, look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--failures", type=float, default=0.2)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--full", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    draw, begin = random.Random(given.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as path:
        place = Place(Path(path))
        (place.path / "clock").mkdir()
        (place.path / "clock" / "sitecustomize.py").write_text(CLOCK)
        folder = place.path / "campaign"
        with small_disk(folder) as mounted:
            campaign = at_labels(folder, write_solid(place.path / "solid"), given.labels, KEYWORDS)
            write_template(folder, "*never*) behavior=good;;", f"{given.failures}; echo x >> started")
            disturbances = ["kill"] * given.kills + ["full"] * given.full * mounted
            draw.shuffle(disturbances)
            done, wrong = disturb(place, disturbances, draw)
            said = "" if campaign.marker(1, "label") else place.drive(None)
            labeling = Labeling(campaign, 1)
            states = Counter(str((job.final or {}).get("state")) for job in labeling.jobs)
            tries = sum(len(job.tries) for job in labeling.jobs)
            wrong += [str(said)] if said else faults(folder, labeling, given.labels, given.failures)
    print(
        f"seed {given.seed}: {given.labels} labels, {tries} tries, {dict(done)}, "
        f"{(time.monotonic() - begin) / 60:.0f} minutes; {dict(states)}; faults: {wrong or 'none'}"
    )


if __name__ == "__main__":
    main()
