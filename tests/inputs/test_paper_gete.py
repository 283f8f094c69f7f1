"""The study of the paper's GeTe results: scores of numbers told by hand, the whole on tiny made-up data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from case_scripts import load_script

from bnnp.structure import Set

CASE = Path(__file__).resolve().parents[2] / "inputs" / "paper_gete"
SETTINGS = ("epochs=1", "mc_samples=8", "dropout_masks=1", "global_nodes_short=3 3")
SCALES = np.arange(0.80, 1.2501, 0.025)


def module(name: str) -> ModuleType:
    """A script of the case that needs no other."""
    return load_script("paper_gete", name)


def test_frames_of_a_trajectory_keep_their_distance() -> None:
    """Training, choice of the epoch, calibration and test follow each other in time, 10 frames between the
    last three; no frame is used twice."""
    training = module("training")
    for temperature in training.INSIDE:
        blocks = [block for block in training.BLOCKS if block.temperature == temperature]
        assert [block.subset for block in blocks] == [Set.TRAIN, Set.TEST, Set.CALIBRATION, None]
        ends = [block.first + block.every * (block.count - 1) for block in blocks]
        starts = [block.first for block in blocks]
        gaps = [start - end for start, end in zip(starts[1:], ends, strict=False)]
        assert gaps[0] > 0
        assert min(gaps[1:]) >= 10
        assert ends[-1] < 200
    assert {b.subset for b in training.BLOCKS if b.temperature == training.CALIBRATION_OUTSIDE} == {
        Set.OUTSIDE
    }


def test_keywords_are_set_added_and_taken_out() -> None:
    text = "epochs 60\nuse_short_forces   # yes\nrandom_seed 1 # n\n"
    changes = {"random_seed": "20", "use_short_forces": None, "ensemble_size": "4"}
    words = [
        line.split("#")[0].split() for line in module("training").with_keywords(text, changes).split("\n")
    ]
    assert [each for each in words if each] == [
        ["epochs", "60"],
        ["random_seed", "20"],
        ["ensemble_size", "4"],
    ]


def test_fall_on_the_cold_curve() -> None:
    """From the middle outwards, on both sides, and only where the curve is out of the domain."""
    fall, n = module("judgement").fall, len(SCALES)
    far = np.abs(SCALES - 1.0) > 0.06
    rising = 1.0 + np.abs(SCALES - 1.0)
    assert fall(rising, far) == 0.0
    dented = rising.copy()
    dented[n - 2] = 0.5  # expanded, far: 0.5 after 1.2
    assert fall(dented, far) == pytest.approx(1.0 - 0.5 / rising[n - 3])
    near = rising.copy()
    near[9] = 0.1
    assert fall(near, far) == 0.0
    assert fall(rising[::-1] * np.where(SCALES < 1.0, 1.0, 0.9), far) == 0.0  # sides are not compared
    squeezed = rising.copy()
    squeezed[0] = squeezed[1] * 0.8  # the most compressed cell
    assert fall(squeezed, far) == pytest.approx(0.2)


def test_scores_of_a_set() -> None:
    """Two structures in the domain, one out of it, with one and two atoms."""
    judgement = module("judgement")
    forces = np.array([[3.0, 0, 0], [0, 4, 0], [1, 1, 1], [2, 2, 2.0]])
    sigma = np.array([[2.0, 1, 1], [1, 1, 1], [5, 1, 1], [1, 1, 1.0]])
    everything = judgement.Predicted(
        np.array(["300K_held_out", "600K_held_out", "1200K"]),
        np.array([1.0, -2.0, 6.0]),
        forces,
        np.array([0, 1, 2, 2]),
        np.array([0.0, 0.1, 0.05]),
        {"raw": (np.array([1.0, 1, 2]), sigma), "mc": (np.array([2.0, 2, 3]), 2 * sigma)},
    )
    sets = judgement.sets_of(everything.groups)
    assert sets["inside"].tolist() == [True, True, False]
    assert sets["outside"].tolist() == [False, False, True]
    inside = judgement.row(everything, sets["inside"], "mc")
    assert inside["E_RMSE"] == pytest.approx(np.sqrt(2.5))
    assert inside["E_ZMS"] == pytest.approx((0.25 + 1.0) / 2)
    assert inside["E_ZMS_raw"] == pytest.approx(2.5)
    assert inside["F_RMSE"] == pytest.approx(np.sqrt(25 / 6))
    assert "AUC_E" not in inside
    far = judgement.row(everything, sets["outside"], "mc")
    assert far["F_ZMS_raw"] == pytest.approx((0.04 + 1 + 1 + 4 + 4 + 4) / 6)
    assert (far["AUC_E"], far["AUC_Fmax"], far["AUC_count"]) == (1.0, 1.0, 0.5)
    assert everything.scores("mc")["AUC_Frms"][2] == pytest.approx(2 * np.sqrt((9 + 1) / 2))  # 27 / 3, 3 / 3


def test_tables_show_medians_and_mark_what_is_reached() -> None:
    tables = module("tables")
    row = {"target": "t", "kind": "mc", "set": "inside"}
    seeds = [
        {**row, "arm": "a", "seed": str(k), "F_ZMS": str(x), "E_ZMS": "2.0"}
        for k, x in enumerate((0.8, 1.0, 1.3))
    ]
    names = {goal.column for goal in tables.GOALS}
    rows = [{**dict.fromkeys(names, "nan"), **each} for each in seeds]
    cells = {line.split(" | ")[0][2:]: line.split(" | ")[1:] for line in tables.goals(rows, "mc")}
    assert cells["ZMS, forces"] == ["0.9 - 1.1", "**1** (0.8 - 1.3) |"]
    assert cells["ZMS, energy"] == ["0.9 - 1.1", "2 (2 - 2) |"]
    assert cells["ENCE, forces"][1] == "- |"


def test_table_of_sizes_has_medians_of_each_kind() -> None:
    tables = module("tables")
    rows = [
        {"arm": "a", "seed": str(k), "set": "inside", "kind": kind, "E_RMSE": str(k), "E_raw": "7"}
        | {"E_sigma": str(factor * k), "F_RMSE": "1", "F_raw": "2", "F_sigma": "3"}
        for k in (1, 2, 6)
        for kind, factor in (("mc", 10), ("hybrid", 100))
    ]
    lines = list(tables.sizes(rows, "a"))
    assert lines[2] == "| held out | 2 | 7 | 20 | 200 | 1 | 2 | 3 | 3 |"
    assert lines[3] == "| 450K | - | - | - | - | - | - | - | - |"


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four atoms that shake about rock salt, harder if hotter, held by springs."""
    folder, rng = tmp_path_factory.mktemp("trajectories"), np.random.default_rng(1)
    sites = Atoms("GeGeTeTe", [[0, 0, 0], [3, 3, 0], [3, 0, 0], [0, 3, 0]], cell=[6, 6, 6], pbc=True)
    for temperature in (300, 450, 600, 750, 900, 1050, 1200, 1350, 1500, 1800):
        images = []
        for _ in range(200 if temperature < 1000 else 37):
            moved = rng.normal(0.0, 0.003 * np.sqrt(temperature), (4, 3))
            atoms = sites.copy()
            atoms.positions += moved
            energy, forces = float(np.square(moved).sum()), -2.0 * moved
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
            images.append(atoms)
        ase.io.write(folder / f"gete_{temperature}K.extxyz.gz", images, format="extxyz")
    return folder


COMMAND = [sys.executable, str(CASE / "study.py"), "--seeds", "3", "--targets", "energy_and_forces"]
COMMAND += ["--arms", "dropout_0.05", "4_x_dropout_0.05", "--set", *SETTINGS, "--out"]


@pytest.fixture(scope="module")
def study(trajectories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A single network and the ensemble that continues it."""
    folder = tmp_path_factory.mktemp("run") / "study"
    first = subprocess.run(
        [*COMMAND, str(folder), str(trajectories)], capture_output=True, text=True, timeout=300
    )
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.count("seed 3:") == 2
    return folder


@pytest.mark.slow
def test_study_from_trajectories_to_tables(trajectories: Path, study: Path) -> None:
    """The ensemble has the single network as its first member; done runs are not done again."""
    ensemble = study / "energy_and_forces/4_x_dropout_0.05/seed_3"
    single = study / "energy_and_forces/dropout_0.05/seed_3"
    assert (ensemble / "weights.032.data").read_text() == (single / "weights.032.data").read_text()
    assert (ensemble / "member_04/weights.032.data").is_file()
    results = (study / "results.txt").read_text()
    rows = module("tables").read_results(study / "results.txt")
    assert {row["kind"] for row in rows} == {"mc", "hybrid"}
    assert all(float(row["F_ZMS"]) > 0 for row in rows if row["set"] == "inside")
    held_out = next(row for row in rows if row["set"] == "inside")
    assert (held_out["n"], held_out["seed"]) == ("36", "3")
    command = [*COMMAND, str(study), str(trajectories)]
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "seed 3:" not in again.stdout
    assert (study / "results.txt").read_text() == results
    assert again.stdout.strip() == (study / "tables.md").read_text().strip()


@pytest.mark.slow
def test_pictures_of_a_run(study: Path) -> None:
    """Mode 3 of each set, and both figures."""
    run = study / "energy_and_forces/4_x_dropout_0.05/seed_3"
    command = [sys.executable, str(CASE / "pictures.py"), str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("uncertainty.png", "uncertainty.txt", "prediction_parity.png"):
        assert (run / "pictures" / name).stat().st_size > 1000, name


@pytest.mark.slow
def test_figure_of_sizes(study: Path) -> None:
    command = [sys.executable, str(CASE / "sizes.py"), str(study / "results.txt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (study / "sizes.png").stat().st_size > 1000
