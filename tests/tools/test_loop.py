"""bnnp --loop as a whole: copper by EMT on a small network; killed anywhere, it comes to the same end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bnnp.io.input_data import StructureFile
from bnnp.io.lock import DirectoryLock
from bnnp.potential.loading import load

sys.path.insert(0, str(Path(__file__).parent))
from loop_case import write_campaign  # noqa: E402

KEYWORDS = """\
label_teacher emt
loop_generations 1
loop_labels 5
loop_quiet 3
loop_jobs 2
loop_seeds 2
md_restart_every 20
checkpoint_interval 1
"""
COMMAND = [sys.executable, "-m", "bnnp", "--loop"]
RESULTS = (
    *("generation_001/select/chosen.data", "generation_001/label/labeled.data"),
    *("generation_001/train/potential/weights.029.data", "generation_001/train/potential/uncertainty.data"),
)


def loop(folder: Path, *words: str) -> str:
    """Run `bnnp --loop` to its end; what it printed."""
    done = subprocess.run(
        [*COMMAND, *words], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of one generation at its end."""
    folder = write_campaign(tmp_path_factory.mktemp("loop") / "campaign", KEYWORDS)
    (folder / "log").write_text(loop(folder))
    return folder


@pytest.mark.slow
def test_a_generation_from_its_start_set_to_a_better_known_potential(finished: Path) -> None:
    text = (finished / "log").read_text()
    assert "generation 1, explore: 2 runs of molecular dynamics, 2 at once" in text
    assert "loop_generations 1 are done." in text
    step = finished / "generation_001"
    chosen = list(StructureFile(step / "select" / "chosen.data", require_labels=False))
    labels = [
        structure
        for name in ("labeled.data", "held_out.data", "doubtful.data")
        if (step / "label" / name).stat().st_size
        for structure in StructureFile(step / "label" / name)
    ]
    assert 1 <= len(chosen) <= 5
    assert {s.positions.tobytes() for s in labels} == {s.positions.tobytes() for s in chosen}
    trained = {s.positions.tobytes() for s in StructureFile(step / "train" / "input.data")}
    for path in finished.glob("generation_*/label/held_out.data"):
        held = StructureFile(path) if path.stat().st_size else []
        assert trained.isdisjoint(s.positions.tobytes() for s in held)
    marker = json.loads((step / "judge" / "done.json").read_text())
    in_force = finished / f"generation_{marker['facts']['potential']:03d}" / "train" / "potential"
    assert load(in_force).calibration is not None
    header, *rows = (finished / "loop.out").read_text().splitlines()
    names = header.strip("# ").partition("|")[0].split()
    table = dict(zip(names, np.loadtxt(rows).T, strict=True))
    assert table["labels"].tolist() == [80, len(labels)]
    assert f"Potential: {in_force.relative_to(finished)}" in text


@pytest.mark.slow
def test_each_frame_has_its_kind_by_the_levels_of_its_generation(finished: Path) -> None:
    """The quantile of the calibration set is the lower level; frames.out is judged anew here."""
    facts = json.loads((finished / "generation_001" / "explore" / "done.json").read_text())["facts"]
    calibration = load(finished / "generation_000" / "train" / "potential").calibration
    assert calibration is not None
    assert facts["lower"] == pytest.approx(calibration.quantile("forces", 95.0))
    assert facts["upper"] == pytest.approx(5 * facts["lower"])
    for line in (finished / "generation_001" / "select" / "frames.out").read_text().splitlines()[1:]:
        sigma, kind = float(line.split()[2]), line.split()[4]
        expected = {"beyond"} if sigma >= facts["upper"] else {"candidate", "unlikely"}
        assert kind in (expected if sigma >= facts["lower"] else {"quiet", "anyway"})


@pytest.mark.slow
def test_what_is_finished_stays_and_the_status_shows_it(finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("done.json")}
    assert "loop_generations 1 are done." in loop(finished)
    assert {path: path.read_bytes() for path in finished.rglob("done.json")} == before
    assert "Generation 1 is done" in loop(finished, "status")
    assert "ok start set: 80 structures" in loop(finished, "doctor")
    assert "Nobody is at work here" in loop(finished, "stop")


@pytest.mark.slow
@pytest.mark.parametrize("alone", [False, True], ids=["all", "driver"])
def test_killed_anywhere_it_comes_to_the_same_end(alone: bool, finished: Path, tmp_path: Path) -> None:
    """kill -9 within each step, of all processes or of the driver alone; the same command goes on."""
    folder = tmp_path / "campaign"
    folder.mkdir()
    for name in ("input.nn", "input.data"):
        shutil.copy(finished / name, folder)
    if not alone:  # the second time from the first potential on
        shutil.copytree(finished / "generation_000", folder / "generation_000")
    moments = [
        "generation_000/train/checkpoint.npz",
        "generation_001/explore/run_0002/job.lock",
        "generation_001/select/candidates.data",
        "generation_001/label/job_0002/try_1/submitted",
        "generation_001/train/symmetry_functions.h5",
        "generation_001/train/potential/weights.029.data",
    ]
    for moment in moments:
        if (folder / moment).exists():
            continue
        with subprocess.Popen(
            COMMAND, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True
        ) as driver:
            while not (folder / moment).exists():
                assert driver.poll() is None
                time.sleep(0.02)
            (os.kill if alone else os.killpg)(driver.pid, signal.SIGKILL)
    loop(folder)
    for name in RESULTS:
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.slow
def test_two_drivers_in_one_campaign_are_refused(tmp_path: Path) -> None:
    write_campaign(tmp_path, KEYWORDS)
    lock = DirectoryLock(tmp_path)
    lock.take("--loop")
    try:
        done = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "another run uses this directory: bnnp --loop" in " ".join(done.stderr.split())
        stop = loop(tmp_path, "stop")
        assert "ends as soon as it looks" in stop
        assert (tmp_path / "loop.stop").exists()
    finally:
        lock.release()
    assert not list(tmp_path.glob("generation_*"))


def test_a_start_set_that_is_too_small_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    write_campaign(tmp_path, KEYWORDS, number=20)
    done = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"input.data has 20 structures; at least 40", " ".join(done.stderr.split()))
    assert not list(tmp_path.glob("generation_*"))
