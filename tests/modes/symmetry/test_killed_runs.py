"""Mode 1 after kill -9 at any moment: the rerun computes what is missing and leaves the same bytes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from bnnp.io.input_data import write_structures
from bnnp.structure import Structure

pytestmark = pytest.mark.slow

MPIEXEC = Path(sys.executable).with_name("mpiexec")
NAME = "symmetry_functions.h5"
INPUT = """\
units metal
use_short_forces
number_of_elements 2
elements Te Ge
random_seed 7
test_fraction 0
threads 1
global_symfunction_short 2 0.05 0.0 6.0
global_symfunction_short 3 0.01 -1 4 6.0
"""
# Runs mode 1 again and again, killed before the k-th call that touches a file; each run is a forked child.
EVERY_MOMENT = """
import os, signal, sys
from pathlib import Path
import h5py
from bnnp.io import descriptor_writer
from bnnp.modes.symmetry import run as symmetry
from bnnp.run import Run
from bnnp.settings.settings import load_settings

NAME = "symmetry_functions.h5"
DEADLY = [(os, "pwrite"), (os, "fsync"), (os, "replace"), (h5py.File, "close"),
          (h5py.AttributeManager, "modify"), (Path, "unlink"), (Path, "touch")]
descriptor_writer.FLUSH_SECONDS = 0.0

def mode_1(fatal):
    '''Exit status of a run that is killed before call number `fatal`, and the structures it wrote.'''
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            return os.waitpid(child, 0)[1], len(pipe.read())
    calls = [0]
    def deadly(function):
        def call(*arguments, **options):
            calls[0] += 1
            if calls[0] == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return call
    for owner, name in DEADLY:
        setattr(owner, name, deadly(getattr(owner, name)))
    plain = descriptor_writer.DescriptorWriter.write
    def write(self, *arguments):
        os.write(writer, b"x")
        plain(self, *arguments)
    descriptor_writer.DescriptorWriter.write = write
    symmetry.compute(run)
    os._exit(0)

def marked():
    for name in (NAME, NAME + ".part"):
        if os.path.exists(name):
            with h5py.File(name, "r", locking=False) as file:
                return int(file["structures/done"][:].sum())
    return 0

report, sys.stdout = sys.stdout, open(os.devnull, "w")
run = Run(load_settings("input.nn", 1), Path("input.data"), Path.cwd())
symmetry.compute(run)  # here and not in a child, so that all modules are loaded
expected = Path(NAME).read_bytes()
fatal, status = 0, -1
while status:
    fatal += 1
    Path(NAME).unlink(missing_ok=True)
    status, _ = mode_1(fatal)
    assert status in (0, signal.SIGKILL), status
    missing = int(sys.argv[1]) - marked()
    after, written = mode_1(0)
    assert after == 0 and written == missing, (fatal, after, written, missing)
    assert Path(NAME).read_bytes() == expected, fatal
    assert sorted(os.listdir()) == ["input.data", "input.nn", NAME], (fatal, os.listdir())
print(fatal - 1, file=report)
"""


def prepare(folder: Path, count: int, edge: int) -> Path:
    """input.nn and rattled cubes of Ge and Te, alternately `edge` and `edge` + 1 atoms wide."""
    rng = np.random.default_rng(1)
    structures = []
    for index in range(count):
        n = edge + index % 2
        sites = 3.0 * np.stack(np.meshgrid(*[np.arange(n)] * 3), axis=-1).reshape(-1, 3)
        positions = sites + rng.normal(0.0, 0.1, sites.shape)
        numbers = rng.choice([32, 52], len(sites))
        structures.append(Structure(numbers, positions, 3.0 * n * np.eye(3), 0.0, np.zeros(sites.shape)))
    folder.mkdir(exist_ok=True)
    (folder / "input.nn").write_text(INPUT)
    write_structures(folder / "input.data", structures)
    return folder


def test_killed_before_every_call_that_touches_a_file(tmp_path: Path) -> None:
    """Allocation, writing, marking, finishing, renaming: no call is left out."""
    folder = prepare(tmp_path, 2, 2)
    command = [sys.executable, "-c", EVERY_MOMENT, "2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 40


# Mode 1 of which one rank is killed before it writes its n-th structure; the launcher then kills the others.
KILLED_RANK = """
import os, signal, sys
from bnnp.cli import main
from bnnp.io import descriptor_writer
from bnnp.parallel import rank

descriptor_writer.FLUSH_SECONDS = 0.0
plain, victim, left = descriptor_writer.DescriptorWriter.write, int(sys.argv[1]), [int(sys.argv[2])]

def write(self, *arguments):
    if rank() == victim:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    plain(self, *arguments)

descriptor_writer.DescriptorWriter.write = write
main(["--mode", "1"])
"""


def mode_1(folder: Path, *words: str, ranks: int = 1) -> int:
    """Exit code of mode 1, or of a program with its arguments in place of ``-m bnnp --mode 1``."""
    launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks > 1 else []
    command = [*launcher, sys.executable, *(words or ("-m", "bnnp", "--mode", "1"))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=300, check=False)
    return done.returncode


def marks(folder: Path) -> int:
    """Structures the unfinished file says are done."""
    try:
        with h5py.File(folder / f"{NAME}.part", "r", locking=False) as file:
            return int(file["structures/done"][:].sum())
    except OSError:
        return 0


@pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec")
def test_killed_at_random_on_two_ranks(tmp_path: Path) -> None:
    """What is marked only grows from kill to kill; at last the bytes are those of one rank left alone."""
    alone, folder = prepare(tmp_path / "alone", 40, 4), prepare(tmp_path / "killed", 40, 4)
    assert mode_1(alone) == 0
    draw = random.Random(3)
    kept = 0
    for _ in range(int(os.environ.get("BNNP_TEST_KILLS", "2"))):
        if kept > 36:
            break
        victim, place = draw.randrange(2), draw.randint(1, (40 - kept) // 4)
        assert mode_1(folder, "-c", KILLED_RANK, str(victim), str(place), ranks=2) != 0
        assert not (folder / NAME).exists()
        assert marks(folder) >= kept + place - 1
        kept = marks(folder)
    assert mode_1(folder, ranks=2) == 0
    assert (folder / NAME).read_bytes() == (alone / NAME).read_bytes()
