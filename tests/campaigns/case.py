"""The case of the campaigns: inputs/quickstart, shortened, with a calibration set; how a run is judged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "inputs" / "quickstart"
MPIEXEC = Path(sys.executable).with_name("mpiexec")
EPOCHS = 12
TIMEOUT = 300.0  # seconds after which a run hangs
DYNAMICS = """
md_steps 1500
md_structure 1
md_temperature 300
md_thermostat bussi
md_log_every 10
md_write_every 50
md_restart_every 100
md_uncertainty_every 50
"""


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Parameters
    ----------
    code : int
        Exit code; negative: the signal that killed it; None: it did not end in time.
    text : str
        All it printed.
    """

    code: int | None
    text: str

    @property
    def faults(self) -> list[str]:
        """What must never happen, whatever the input."""
        found = ["traceback"] * (
            "Traceback (most recent call last)" in self.text or "bug in bnnp" in self.text
        )
        found += ["hang"] * (self.code is None)
        found += ["warning of a library"] * ("RuntimeWarning" in self.text)
        found += ["crash"] * (self.code is not None and self.code < 0)
        return found


def make(folder: Path, replicas: int = 1, epochs: int = EPOCHS) -> Path:
    """input.nn and input.data of the case; every third training structure is for the calibration."""
    folder.mkdir(parents=True)
    blocks = (QUICKSTART / "input.data").read_text().split("begin set=train\n")
    text = blocks[0]
    for number, block in enumerate(blocks[1:]):
        text += f"begin set={'calibration' if number % 3 == 2 else 'train'}\n{block}"
    (folder / "input.data").write_text(text * replicas)
    settings = (
        (QUICKSTART / "input.nn").read_text().replace("epochs                      150", f"epochs {epochs}")
    )
    (folder / "input.nn").write_text(settings + "\nthreads 1\ncheckpoint_interval 3\n")
    return folder


def command(arguments: list[str], ranks: int = 1) -> list[str]:
    """The command line of a run of bnnp."""
    launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks > 1 else []
    return [*launcher, sys.executable, "-m", "bnnp", *arguments]


def environment() -> dict[str, str]:
    """That of a run: this source tree, one thread."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(folder: Path, *arguments: str, ranks: int = 1, words: list[str] | None = None) -> Ended:
    """Run bnnp, or the command `words`, in `folder` to its end."""
    try:
        done = subprocess.run(
            words or command([*arguments], ranks),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
            check=False,
            start_new_session=True,  # no signal of a terminal or of the program that started the campaign
        )
    except subprocess.TimeoutExpired as error:
        return Ended(None, (error.stdout or b"").decode(errors="replace"))
    return Ended(done.returncode, done.stdout.decode(errors="replace"))


def copy(source: Path, target: Path) -> Path:
    """A fresh copy of a prepared directory."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target))


def demand(ended: Ended) -> None:
    """Stop the campaign if a run that nobody disturbs does not end well."""
    if ended.code != 0:
        raise SystemExit(f"an undisturbed run ended with {ended.code}:\n{ended.text}")
