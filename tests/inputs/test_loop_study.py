"""inputs/loop: its inputs are legal, its scripts valid, and the study runs on a small scale and goes on."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from case_scripts import load_script
from learning import vasp_label

from bnnp.errors import InputError
from bnnp.io.ase_atoms import to_atoms
from bnnp.settings.settings import load_settings
from bnnp.units import METAL

CASE = Path(__file__).resolve().parents[2] / "inputs" / "loop"


def test_the_campaign_is_legal_but_for_the_files_a_user_has() -> None:
    settings = load_settings(CASE / "input.nn", 1, choosing=True)
    assert settings.label.label_queue == "slurm"
    assert (CASE / settings.loop.loop_resubmit[0]).is_file()
    with pytest.raises(InputError, match="has no POTCAR.Ge, POTCAR.Te"):
        vasp_label.demand_template(CASE / "label_template", settings.model.elements)
    vasp_label.demand_retry(settings.label.label_retry, "")


@pytest.mark.parametrize("script", ["loop.sh", "label_template/label.sh"])
def test_scripts_are_bash(script: str) -> None:
    subprocess.run(["bash", "-n", str(CASE / script)], check=True)


@pytest.mark.slow
def test_sets_are_as_hot_as_they_are_called_and_labeled_by_emt() -> None:
    study = load_script("loop", "study")
    spread = {}
    for temperature in (300.0, 2200.0):
        structures = list(study.dynamics(temperature, 2, 1))
        for structure in structures:
            atoms = to_atoms(structure, METAL)
            forces = atoms.get_forces()
            atoms.calc = EMT()
            np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-8)
        spread[temperature] = structures[0].energy / 32
    assert (
        spread[2200.0] - spread[300.0] > 1.5 * 8.617e-5 * 1900
    )  # more than a harmonic crystal: it has melted


def test_the_table_is_of_means_with_their_errors() -> None:
    study = load_script("loop", "study")
    rows = [
        {
            "arm": "random",
            "seed": str(seed),
            "generation": "1",
            "labels": "90",
            "set": name,
            "rmse_F": str(value),
        }
        for name in study.SETS
        for seed, value in enumerate((100.0, 120.0))
    ]
    assert list(study.table(rows))[2] == "| 1 | random | 90 | 110 +- 10 | 110 +- 10 | 110 +- 10 |"


@pytest.mark.slow
def test_the_study_runs_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = load_script("loop", "study")
    small = study.INPUT.read_text().replace("md_steps                    1000", "md_steps 100")
    small = small.replace("300 800 1400 300:2500", "800").replace("15 15", "4 4")
    (tmp_path / "study.nn").write_text(small + "epochs 1\n")
    monkeypatch.setattr(study, "INPUT", tmp_path / "study.nn")
    for name, number in {"START": 70, "TEST": 3, "EQUILIBRATION": 20, "INTERVAL": 8}.items():
        monkeypatch.setattr(study, name, number)
    words = [str(tmp_path / "results"), "--seeds", "1", "--generations", "1"]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["study.py", *words])
        study.main()
        with open(tmp_path / "results" / "results.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 2 * 2 * len(study.SETS)  # arms, generations; none twice
    counts = {(row["arm"], row["generation"]): int(row["labels"]) for row in rows}
    assert counts["uncertainty", "0"] == counts["random", "0"] == study.START
    assert os.path.isdir(tmp_path / "results" / "random_1" / "generation_001")
