"""The shipped cases: their files are read, belong together, and say what their READMEs say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnnp.io.input_data import StructureFile
from bnnp.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "inputs" / "quickstart"
GETE = ROOT / "inputs" / "gete"


@pytest.mark.parametrize("mode", [1, 2, 3])
@pytest.mark.parametrize("case", [QUICKSTART, GETE], ids=lambda path: path.name)
def test_input_nn_is_complete_and_without_warning(case: Path, mode: int) -> None:
    settings = load_settings(case / "input.nn", mode)
    assert settings.units.name == "metal"
    assert settings.warnings == ()


def test_gete_has_the_functions_of_the_reference(shared: Path) -> None:
    """The 23 compact lines stand for the 60 functions an element that n2p2 was trained with."""
    ours = load_settings(GETE / "input.nn", 1).functions
    theirs = load_settings(shared / "reference/gete_n2p2/input.nn", 1).functions
    assert {element: len(functions) for element, functions in ours.items()} == {"Ge": 60, "Te": 60}
    assert ours == theirs


@pytest.fixture(scope="module")
def quickstart() -> StructureFile:
    return StructureFile(QUICKSTART / "input.data", load_settings(QUICKSTART / "input.nn", 1).elements)


def test_quickstart_data(quickstart: StructureFile) -> None:
    structures = list(quickstart)
    assert {s.subset for s in structures} == {"train", "test"}
    assert {s.periodic for s in structures} == {True, False}
    assert all((s.stress is not None) == s.periodic for s in structures)
    runs = {
        subset: {s.info["source"] for s in structures if s.subset == subset} for subset in ("train", "test")
    }
    assert not runs["train"] & runs["test"]  # no run is in both sets


def test_quickstart_files_are_small() -> None:
    sizes = [path.stat().st_size for path in QUICKSTART.rglob("*") if path.is_file()]
    assert sum(sizes) < 1.5e6


def test_quickstart_prediction_is_hotter(quickstart: StructureFile) -> None:
    """Forces, so also energies, of the structures to predict go beyond those of the training set."""

    def spread(file: StructureFile) -> float:
        return float(np.concatenate([s.forces for s in file if s.forces is not None]).std())

    unseen = StructureFile(QUICKSTART / "predict" / "input.data", quickstart.elements)
    assert all(s.subset is None for s in unseen)
    assert spread(unseen) > 1.3 * spread(quickstart)


@pytest.mark.slow
def test_gete_prepare(shared: Path, tmp_path: Path) -> None:
    """The split of the reference: 35 frames to fit, 12 held out, 10 of each other temperature."""
    command = ["sh", str(GETE / "prepare.sh"), str(shared / "data" / "gete")]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    groups: dict[tuple[str, str | None], list[int]] = {}
    for name in ("input.data", "test.data"):
        for structure in StructureFile(tmp_path / name, ("Ge", "Te")):
            frame = int(structure.info["source"].rpartition(":")[2])
            groups.setdefault((structure.info["group"], structure.subset), []).append(frame)
    for t in (300, 600, 900):
        assert groups.pop((f"{t}K", "train")) == list(range(0, 137, 4))
        assert groups.pop((f"{t}K", "test")) == [140, 144, 148]
        assert groups.pop((f"{t}K_held_out", None)) == list(range(152, 197, 4))
    for t in (750, 1050, 1200, 1500):
        assert groups.pop((f"{t}K", None)) == list(range(0, 37, 4))
    assert groups == {}
