"""tools/compare_arms.py: scores worked out by hand; two arms on a made-up crystal, stopped and resumed."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from types import SimpleNamespace

import arm_results
import compare_arms as tool
import numpy as np
import pytest
import stillinger_weber
from ase.build import bulk
from click.testing import CliRunner
from study_tools import read_rows

from bnnp.io.input_data import write_structures
from bnnp.prediction import Estimate
from bnnp.structure import Set, Structure
from bnnp.units import METAL

INPUT = """units metal
number_of_elements 1
elements Si
test_fraction 0
global_symfunction_short 2 0.3 0.0 5.0
global_symfunction_short 2 4.0 2.5 5.0
global_symfunction_short 9 0.05 1 1 5.0
global_hidden_layers_short 2
global_nodes_short 3 3
global_activation_short t t l
mc_samples 5
optimizer kalman
epochs 1
precision single
"""


def predicted(energy: list[float], forces: list[list[float]], extrapolations: int) -> tool.Predicted:
    return tool.Predicted(np.array(energy), np.array(forces), extrapolations)


def test_scores_are_those_of_the_numbers() -> None:
    """Errors, raw and calibrated sigma of two structures inside and two outside, worked out on paper."""
    inside = [predicted([1.0, 1.0, 2.0], [[1.0, 2.0, 4.0]], 0), predicted([0.0, 3.0, 2.0], [[1, 3, 4]], 1)]
    outside = [
        predicted([3.0, 2.0, 6.0], [[4.0, 2.0, 8.0], [0.0, 1.0, 8.0]], 2),
        predicted([-4.0, 4.0, 8.0], [[0.0, 4.0, 8.0], [0.0, 2.5, 8.0]], 0),
    ]
    found = dict(zip(arm_results.COLUMNS[5:], tool.scores(outside, inside, False), strict=False))
    expected = {
        "energy_rmse": np.sqrt((9 + 16) / 2),
        "energy_bias": -0.5,
        "energy_sigma": 3.0,
        "energy_sigma_calibrated": 7.0,
        "energy_sqrt_zms": np.sqrt((1.5**2 + 1.0) / 2),
        "energy_sqrt_zms_calibrated": 0.5,
        "energy_cover_90_calibrated": 100.0,  # within 1.645 sigma
        "force_rmse": 2.0,
        "force_sigma": (2.0 + 1.0 + 4.0 + 2.5) / 4,
        "force_sigma_calibrated": 8.0,
        "force_sqrt_zms": 1.0,
        "force_sqrt_zms_calibrated": 0.25,
        "force_cover_90_calibrated": 100.0,
        "force_spearman": -1 / np.sqrt(15),  # of 4 0 0 0 with 2 1 4 2.5
        "auc_energy_sigma": 3 / 4,  # pairs in the right order: 2 > 1, 4 > 1, 4 > 3, not 2 > 3
        "auc_force_sigma": (0.5 + 0.0 + 1.0 + 1.0) / 4,  # 2 and 4 against 2 and 3
        "auc_energy_calibrated": 1.0,
        "auc_force_calibrated": 1.0,
        "auc_extrapolations": (1.0 + 1.0 + 0.5 + 0.0) / 4,  # 2 and 0 against 0 and 1
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert np.isnan(tool.scores(inside, inside, True)[-5:]).all()
    several = np.array([[1.0, 1.0, 1.0], [1.5, 1.0, 1.0], [1.7, 1.0, 1.0], [9.0, 1.0, 9.0]])
    assert tool.sizes(several)[-1] == 75.0  # 1.7 is beyond 1.645 sigma


def test_a_structure_is_judged_in_its_units_and_without_sigmas_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """2 eV for two atoms are 1000 meV/atom; half an eV/Angstrom is 500 meV/Angstrom."""
    monkeypatch.setattr(tool, "extrapolations", lambda *_: ({"Si": SimpleNamespace(count=np.ones(3))}, []))
    structure = Structure(np.array([14, 14]), np.zeros((2, 3)), None, energy=-8.0, forces=np.zeros((2, 3)))
    found = SimpleNamespace(
        energy=Estimate(-6.0, std=8.0, raw=4.0),
        forces=Estimate(np.full((2, 3), 0.5), std=np.ones((2, 3)), raw=np.full((2, 3), 0.25)),
        descriptors={},
    )
    potential = SimpleNamespace(
        predict=lambda *_, **__: found,
        samples=5,
        calibration=object(),
        units=METAL,
        scalings=SimpleNamespace(scalings={}),
        model=SimpleNamespace(functions={}),
    )
    judged = tool.judge(potential, structure)
    assert judged.energy.tolist() == pytest.approx([1000.0, 2000.0, 4000.0])
    assert judged.force.tolist() == [pytest.approx([500.0, 250.0, 1000.0])] * 6
    assert judged.extrapolations == 3
    potential.samples, potential.calibration = 1, None
    judged = tool.judge(potential, structure)
    assert judged.energy[0] == pytest.approx(1000.0)
    assert np.isnan(judged.energy[1:]).all()
    assert np.isnan(judged.force[:, 1:]).all()


def test_keywords_are_changed_where_they_stand_or_added() -> None:
    text = "epochs 3   # few\nepochs_of 4\n"
    assert tool.with_keyword(text, "epochs", "9").split() == ["epochs", "9", "#", "few", "epochs_of", "4"]
    assert tool.with_keyword(text, "threads", "1") == text + "threads 1\n"


def test_table_has_medians_and_ranges() -> None:
    columns = dict.fromkeys(arm_results.COLUMNS, "nan")
    values = [1.0, 5.0, 2.0]
    rows = [
        columns | {"target": "energy", "arm": "plain", "seed": str(k), "group": "a_b", "energy_rmse": str(x)}
        for k, x in enumerate(values)
    ]
    lines = list(arm_results.table(rows))
    assert f"| a b | {statistics.median(values)} (1.0 - 5.0) |" in lines
    assert sum(line.startswith("**") and "energies, meV" in line for line in lines) == 1


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """Eight atoms of silicon, rattled a little, and a lot."""
    rng = np.random.default_rng(1)
    crystal = bulk("Si", "diamond", a=5.43, cubic=True)

    def rattled(group: str, spread: float, subset: Set | None = None) -> Structure:
        positions, cell = crystal.positions + rng.normal(0.0, spread, (8, 3)), np.array(crystal.cell)
        energy, forces, _ = stillinger_weber.evaluate(positions, cell, stillinger_weber.ELEMENTS["Si"])
        numbers = crystal.numbers
        info = {"group": group}
        return Structure(numbers, positions, cell, energy=energy, forces=forces, subset=subset, info=info)

    subsets = [Set.TRAIN] * 8 + [Set.TEST] * 3 + [Set.CALIBRATION] * 30
    write_structures(tmp_path / "input.data", [rattled("cold", 0.05, subset) for subset in subsets])
    tested = [rattled(name, spread) for name, spread in (("cold", 0.05), ("hot", 0.4)) for _ in range(3)]
    write_structures(tmp_path / "test.data", tested)
    (tmp_path / "input.nn").write_text(INPUT)
    return tmp_path


@pytest.mark.slow
def test_runs_are_appended_once_and_gone_on_with(case: Path) -> None:
    arguments = [str(case), "--seeds", "1", "--targets", "energy", "--arms", "dropout_0.1", "--arms", "plain"]
    result = CliRunner().invoke(tool.main, arguments)
    assert result.exit_code == 0, result.output
    rows = read_rows(case)
    assert [(row["arm"], row["group"], row["structures"]) for row in rows] == [
        ("dropout_0.1", "cold", "3"),
        ("dropout_0.1", "hot", "3"),
        ("plain", "cold", "3"),
        ("plain", "hot", "3"),
    ]
    assert rows[0]["auc_energy_sigma"] == "nan"
    assert 0.0 <= float(rows[1]["auc_energy_calibrated"]) <= 1.0
    assert float(rows[1]["energy_rmse"]) > float(rows[0]["energy_rmse"])
    assert rows[3]["energy_sigma"] == "nan"
    assert not list(case.glob("energy_*"))
    assert "epochs 5" in (case / "energy" / "input.nn").read_text()  # five times as many

    with open(case / "results.csv", newline="") as file:
        kept = list(csv.reader(file))[:3]  # as if stopped after the first run
    with open(case / "results.csv", "w", newline="") as file:
        csv.writer(file).writerows(kept)
    assert CliRunner().invoke(tool.main, arguments).exit_code == 0
    again = read_rows(case)
    assert [{**row, "seconds": ""} for row in again] == [{**row, "seconds": ""} for row in rows]
    assert again[0]["seconds"] == rows[0]["seconds"]  # not run again


def test_a_case_that_does_not_train_is_named(case: Path) -> None:
    (case / "input.nn").write_text(INPUT + "no_such_keyword 1\n")
    result = CliRunner().invoke(tool.main, [str(case), "--seeds", "1"])
    assert result.exit_code != 0
    assert "mode 1 failed" in str(result.exception)
