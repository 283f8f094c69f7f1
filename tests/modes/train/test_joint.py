"""Mode 2 with `train_charges joint` through the executable: what it learns, its files, restart, bad input."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from ionic_case import CHARGES, INPUT, JOINT, ionic
from signalled import run_and_signal

import bnnp
from bnnp.cli import main
from bnnp.io.input_data import write_structures
from bnnp.io.weights import weights_name


def run(folder: Path, *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(main, list(arguments))


def trained(folder: Path, text: str, count: int = 50) -> Result:
    """Modes 1 and 2 of ionic molecules, which have no charges."""
    folder.mkdir()
    write_structures(folder / "input.data", ionic(count))
    (folder / "input.nn").write_text(text)
    assert run(folder, "--mode", "1").exit_code == 0
    return run(folder, "--mode", "2")


@pytest.mark.slow
def test_charges_are_learnt_from_energies_and_forces(tmp_path: Path) -> None:
    """The forces of test structures are far better than those of networks of short range, which do not know
    the charges beyond the cutoff; and the charges are those of the data."""
    method = "optimizer kalman\nepochs 8\n"
    plain, joint = trained(tmp_path / "2G", INPUT + method), trained(tmp_path / "3G", INPUT + JOINT + method)
    assert plain.exit_code == 0, plain.output
    assert joint.exit_code == 0, joint.output
    errors = [np.nanmin(np.loadtxt(tmp_path / name / "learning-curve.out")[:, 10]) for name in ("2G", "3G")]
    assert errors[1] < 0.1 * errors[0]
    potential = bnnp.load(tmp_path / "3G" / "potential")
    found = [potential.predict(structure).charges for structure in ionic(50)[4::5]]
    charges = np.mean([each.value for each in found if each is not None], axis=0)
    expected = [CHARGES[number] for number in ionic(1)[0].numbers.tolist()]
    assert charges == pytest.approx(expected, rel=0.1)
    text = " ".join(joint.output.split())
    shown = {x: float(mean) for x, mean in re.findall(r"charges of (\w+) .*? e, mean (-?[0-9.]+)", text)}
    assert shown == pytest.approx({"Li": 0.5, "F": -0.8, "Mg": 1.1}, rel=0.1)


@pytest.mark.slow
def test_dipole_moments_are_trained_and_reported(tmp_path: Path) -> None:
    """Their errors are those of the charges that the potential predicts."""
    q = np.array([CHARGES[number] for number in ionic(1)[0].numbers.tolist()])
    write_structures(tmp_path / "input.data", [replace(x, dipole=q @ x.positions) for x in ionic(50)])
    (tmp_path / "input.nn").write_text(INPUT + JOINT + "optimizer lbfgs\nepochs 2\n")
    assert run(tmp_path, "--mode", "1").exit_code == 0
    result = run(tmp_path, "--mode", "2")
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "trained on energies, forces, dipole moments" in text
    rmse = re.search(r"dipole moments, test RMSE ([0-9.]+) e bohr", text)
    assert rmse is not None
    potential, errors = bnnp.load(tmp_path / "potential"), []
    for structure in ionic(50)[4::5]:
        found = potential.predict(structure, forces=False).charges
        assert found is not None
        errors.append((found.value - q) @ structure.positions)
    assert float(rmse[1]) == pytest.approx(float(np.sqrt(np.mean(np.square(errors)))), abs=1e-4)


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on(tmp_path: Path) -> None:
    text = INPUT + JOINT.replace("3G", "4G") + "optimizer adam\nepochs 4\ncheckpoint_interval 1\n"
    text += "".join(f"fixed_gausswidth {x} 1.5\n" for x in ("Li", "F", "Mg"))
    result = trained(tmp_path / "whole", text)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "stopped"
    shutil.copytree(tmp_path / "whole", folder)
    for path in (*folder.glob("weight*"), *folder.glob("hardness*"), *folder.glob("checkpoint*")):
        path.unlink()
    stopped = run_and_signal(folder, 2, "SIGTERM", ("learning-curve.out", 2, 2000))
    assert "--restart` continues" in " ".join(stopped.stdout.split()), stopped.stdout
    result = run(folder, "--mode", "2", "--restart")
    assert result.exit_code == 0, result.output
    names = [weights_name(x, kind) for x in ("Li", "F", "Mg") for kind in ("weights", "weightse")]
    for name in (*names, "hardness.003.data", "learning-curve.out", "scaling.data"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_charges_that_are_missing_are_no_mistake_and_told_otherwise(tmp_path: Path) -> None:
    """The check with `joint` misses none; stage 1 names the keyword."""
    folder = tmp_path / "run"
    folder.mkdir()
    write_structures(folder / "input.data", ionic(5))
    (folder / "input.nn").write_text(INPUT + JOINT)
    shown = run(folder, "--check")
    assert shown.exit_code == 0, shown.output
    assert "no charges" not in shown.output
    (folder / "input.nn").write_text(INPUT + JOINT.replace("joint", "separate"))
    assert "not with `train_charges joint`" in " ".join(run(folder, "--check").output.split())
    assert run(folder, "--mode", "1").exit_code == 0
    result = run(folder, "--mode", "2")
    assert result.exit_code == 1
    assert "or write `train_charges joint`, which learns charges from energies" in result.output


def test_the_keywords_have_no_effect_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "input.nn").write_text(INPUT + "train_charges joint\n")
    write_structures(tmp_path / "input.data", ionic(2))
    assert "train_charges" in run(tmp_path, "--check").output
    (tmp_path / "input.nn").write_text(INPUT + JOINT.replace("joint", "both"))
    result = run(tmp_path, "--check")
    assert result.exit_code == 1
    assert re.search(r"train_charges.*both.*separate.*joint", " ".join(result.output.split()))
