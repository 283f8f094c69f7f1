"""inputs/loop: its inputs are legal, its scripts valid, and the study runs on a small scale and goes on."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.neighborlist import neighbor_list
from campaign_study import arguments, run, table
from case_scripts import load_script
from learning import vasp_label
from learning.campaign import Campaign
from learning.doctor import demand_healthy

from bnnp.errors import InputError
from bnnp.io.ase_atoms import to_atoms
from bnnp.io.input_data import StructureFile, write_structures
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
    rows = [
        {
            "arm": "random",
            "seed": str(seed),
            "generation": "1",
            "labels": "90",
            "quantity": name,
            "value": value,
        }
        for name in ("F, 300 K", "F, melt")
        for seed, value in enumerate(("100", "120"))
    ]
    rows.append({**rows[0], "quantity": "missed", "value": "3"})
    header, _, row = table(rows)
    assert header == "| generation | arm | labels | F, 300 K | F, melt | missed |"
    assert row == "| 1 | random | 90 | 110 +- 10 | 110 +- 10 | 3 |"


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
        run(study.study(), arguments("").parse_args(words))
        with open(tmp_path / "results" / "results.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 2 * 2 * 2 * len(study.SETS)  # arms, generations, E and F; none twice
    counts = {(row["arm"], row["generation"]): int(row["labels"]) for row in rows}
    assert counts["uncertainty", "0"] == counts["random", "0"] == study.START
    assert os.path.isdir(tmp_path / "results" / "random_1" / "generation_001")


def test_defects_of_silicon_are_what_they_are_called() -> None:
    """Within 2.7 Angstrom a vacancy leaves four atoms with three neighbors; the atom in the tetrahedral place
    of the Frenkel pair has four more, which then have five."""
    silicon = load_script("loop", "silicon")
    counts = []
    for atoms in silicon.defects():
        counts.append(np.bincount(neighbor_list("i", atoms, 2.7), minlength=len(atoms)).tolist())
    assert counts[0] == [4] * 64
    assert sorted(counts[1]) == [3] * 4 + [4] * 59
    assert counts[2][0] == 4
    assert sorted(counts[2]) == [3] * 4 + [4] * 56 + [5] * 4


def test_an_event_is_an_atom_that_has_left_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thrown atom leaves it, those at rest do not; missed and false by hand."""
    silicon = load_script("loop", "silicon")
    monkeypatch.setattr(silicon, "LENGTH", 100)
    exact, crystal = silicon.StillingerWeber(silicon.SILICON), silicon.defects()[0]
    assert not silicon.happened(crystal, exact)
    crystal.set_momenta(crystal.get_masses()[:, None] * np.array([0.0, 0.0, 2.0]))  # 20 Angstrom/ps
    assert silicon.happened(crystal, exact)
    events = silicon.Events(tmp_path, 4)
    known = []
    for event in (True, True, False, False):
        known.append(crystal.copy())
        known[-1].info |= {"event": event, "changed": event}
    ase.io.write(events.path, known)
    assert events.score([True, False, False, True]) == {"missed": 1.0, "false": 1.0}


def test_the_telluride_study_divides_files_and_has_a_legal_input(tmp_path: Path) -> None:
    """Frames that are judged by are never trained on; campaigns find starts and teacher."""
    telluride = load_script("loop", "telluride")
    for material in telluride.MATERIALS:
        frames = []
        for number in range(50):
            atoms = Atoms("GeSbTe", np.eye(3) * (3.0 + 0.001 * number), cell=[6.0] * 3, pbc=True)
            atoms.calc = SinglePointCalculator(atoms, energy=-7.0 - number, forces=np.zeros((3, 3)))
            frames.append(atoms)
        for kelvin in telluride.KELVIN:
            ase.io.write(tmp_path / f"{material}_{kelvin}K.extxyz.gz", frames, format="extxyz")
    (tmp_path / "teacher.py").write_text("def teacher(): ...\n")
    first, second = (list(telluride.start(tmp_path, seed)) for seed in (1, 2))
    assert len(first) == 60
    assert [s.energy for s in first] != [s.energy for s in second]
    judged = {s.energy for s in telluride.judging(tmp_path, 300)}
    assert len(judged) == 8
    assert judged.isdisjoint(s.energy for s in [*first, *second])
    study = telluride.study(Namespace(results=tmp_path / "results", data=tmp_path, runs=False))
    own = tmp_path / "campaign"
    own.mkdir()
    study.equip(own)
    assert len(StructureFile(own / "starts.data", require_labels=False)) == 3
    (own / "input.nn").write_text(study.settings.read_text() + "random_seed 1\n")
    settings = load_settings(own / "input.nn", 1, choosing=True)
    assert settings.label.label_teacher == ("teacher:teacher",)
    assert settings.loop.loop_structures == ("starts.data",)
    assert (own / "teacher.py").is_file()


def test_the_silicon_campaign_is_healthy(tmp_path: Path) -> None:
    silicon = load_script("loop", "silicon")
    silicon.study(Namespace(results=tmp_path, events=2, lifetimes=False)).equip(tmp_path)
    (tmp_path / "input.nn").write_text((CASE / "silicon.nn").read_text())
    write_structures(tmp_path / "input.data", silicon.snapshots("Si", np.array([300.0]), 40, 1))
    demand_healthy(Campaign.open(tmp_path))


@pytest.mark.slow
def test_the_silicon_study_runs_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silicon = load_script("loop", "silicon")
    for name, number in {"START": 40, "TEST": 2, "EQUILIBRATION": 5, "LENGTH": 20, "INTERVAL": 2}.items():
        monkeypatch.setattr(silicon, name, number)
    small = {"epochs": "1", "md_steps": "40", "md_uncertainty_every": "20", "loop_temperature": "1520"}
    small |= {"loop_quiet": "1", "loop_labels": "4"}
    words = ["silicon.py", str(tmp_path), "--seeds", "1", "--generations", "1", "--events", "2"]
    words += [word for pair in small.items() for word in ("--keyword", *pair)]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", words)
        silicon.main()
        with open(tmp_path / "results.csv", newline="") as file:
            rows = list(csv.DictReader(file))
    found = Counter((row["arm"], row["generation"]) for row in rows)
    errors = 4  # E and F of both sets; then missed and false of first and last potential
    assert found == {
        ("uncertainty", "0"): errors + 2,
        ("uncertainty", "1"): errors + 2,
        ("random", "0"): errors,
        ("random", "1"): errors + 2,
    }
    assert "events in 0 of 2 exact runs; exact, with velocities changed" in capsys.readouterr().out


TEACHER = """
from ase.calculators.lj import LennardJones

def teacher():
    return LennardJones(sigma=2.6, epsilon=0.3, rc=5.5, smooth=True)
"""


@pytest.mark.slow
def test_the_telluride_study_runs_and_counts_stopped_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small cells of a Lennard-Jones teacher."""
    telluride, rng = load_script("loop", "telluride"), np.random.default_rng(1)
    data, scope = tmp_path / "data", {}
    data.mkdir()
    (data / "teacher.py").write_text(TEACHER)
    exec(TEACHER, scope)
    monkeypatch.setattr(telluride, "KELVIN", (300, 1500))
    for name, number in {"START": 14, "TEST": 2, "RUNS": 1}.items():
        monkeypatch.setattr(telluride, name, number)
    monkeypatch.setattr(telluride, "DYNAMICS", {"md_steps": "10 10", "md_temperature": "1500 1500:300"})
    for material in telluride.MATERIALS:
        for kelvin in telluride.KELVIN:
            frames = []
            for _ in range(16):
                atoms = bulk("Ge", "fcc", a=4.2, cubic=True) * (2, 1, 1)
                atoms.symbols[:] = rng.permutation(["Ge"] * 2 + ["Sb"] * 2 + ["Te"] * 4)
                atoms.rattle(0.05 + 1e-4 * kelvin, rng=rng)
                atoms.calc = scope["teacher"]()
                atoms.get_stress()
                frames.append(atoms)
            ase.io.write(data / f"{material}_{kelvin}K.extxyz.gz", frames, format="extxyz")
    small = {"epochs": "1", "md_steps": "20 20", "md_uncertainty_every": "10", "symmetry_functions": "auto 6"}
    small |= {"mc_samples": "5", "loop_seeds": "1", "loop_labels": "4", "md_guard_force": "1e6"}
    words = ["telluride.py", str(tmp_path / "results"), "--data", str(data), "--all"]
    words += ["--seeds", "1", "--generations", "1"]
    words += [word for pair in small.items() for word in ("--keyword", *pair)]
    monkeypatch.setattr(sys, "argv", words)
    telluride.main()
    with open(tmp_path / "results" / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    stopped = {(row["arm"], row["generation"]) for row in rows if row["quantity"] == "stopped of 1"}
    assert stopped == {("uncertainty", "0"), ("uncertainty", "1"), ("random", "1"), ("all", "0")}
    assert {row["labels"] for row in rows if row["arm"] == "all"} == {str(14 * 6)}
    assert {row["labels"] for row in rows if row["generation"] == "0" and row["arm"] == "random"} == {"42"}
