"""The shipped cases through the executable: modes 1, 2 and 3 one after the other, as a user runs them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnnp.io.input_nn import read_input_nn

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
N2P2_WORDS = {
    "number_of_elements",
    "elements",
    "atom_energy",
    "cutoff_type",
    "scale_symmetry_functions",
    "center_symmetry_functions",
    "scale_min_short",
    "scale_max_short",
    "global_hidden_layers_short",
    "global_nodes_short",
    "global_activation_short",
    "symfunction_short",
}


def bnnp(directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "bnnp", *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of inputs/quickstart after all three modes, with few epochs."""
    directory = tmp_path_factory.mktemp("run") / "quickstart"
    shutil.copytree(ROOT / "inputs" / "quickstart", directory)
    text = (directory / "input.nn").read_text()
    (directory / "input.nn").write_text(
        re.sub(r"^epochs .*$", "epochs 4\nthreads 1", text, flags=re.MULTILINE)
    )
    bnnp(directory, "--mode", "1")
    bnnp(directory, "--mode", "2")
    (directory / "mode3.log").write_text(bnnp(directory, "--mode", "3", "--data", "predict/input.data"))
    return directory


def test_readme_tree_of_files_appears(quickstart: Path) -> None:
    names = {path.name for path in quickstart.iterdir()}
    assert {"symmetry_functions.h5", "scaling.data", "uncertainty.data", "potential"} <= names
    assert {"learning-curve.out", "checkpoint.npz", "energy.out", "nnforces.out", "nnstress.out"} <= names
    assert {"nnatoms.out", "output.data", "weights.029.data", "weights.079.data"} <= names
    assert {"optweights.029.out", "optweights.079.out"} <= names
    assert not [name for name in names if name.endswith((".tmp", ".part"))]


def test_it_has_learnt_and_doubts_what_is_hotter(quickstart: Path) -> None:
    energy = np.loadtxt(quickstart / "energy.out")
    spread = energy[:, 2] / energy[:, 1]
    assert np.std(energy[:, 4]) < 0.5 * np.std(spread)
    temperatures = re.findall(r"group=bulk_(\d+)K", (quickstart / "predict" / "input.data").read_text())
    hot = np.array([int(word) >= 2000 for word in temperatures])
    forces = np.loadtxt(quickstart / "nnforces.out")
    sigma = np.array([forces[forces[:, 0] == conf, -1].mean() for conf in energy[:, 0]])
    assert sigma[hot].mean() > sigma[~hot].mean() > 0.0


def test_table_of_results_stands_in_the_log(quickstart: Path) -> None:
    log = (quickstart / "mode3.log").read_text()
    assert re.search(r"bulk_3000K +\d+ +[\d.]+", log)
    assert "calibrated (hybrid) on 54 structures" in log
    assert "uncalibrated" not in log
    assert log.splitlines()[-1].startswith("Normal termination")


def test_potential_directory_is_complete_and_gives_the_same_numbers(quickstart: Path, tmp_path: Path) -> None:
    shutil.copytree(quickstart / "potential", tmp_path / "potential")
    there = tmp_path / "potential"
    words = {entry.name for entry in read_input_nn(there / "input.nn")}
    assert words - {"units"} <= N2P2_WORDS
    with (there / "input.nn").open("a") as file:
        file.write("calculate_forces\ncalculate_stress\n")
    bnnp(there, "--mode", "3", "--data", str(quickstart / "predict" / "input.data"))
    for name in ("energy.out", "nnforces.out", "nnstress.out", "nnatoms.out"):
        assert (there / name).read_bytes() == (quickstart / name).read_bytes()


def test_two_ranks_predict_the_same_bytes(quickstart: Path, tmp_path: Path) -> None:
    mpiexec = Path(sys.executable).parent / "mpiexec"
    if not mpiexec.exists():
        pytest.skip("no mpiexec beside this Python (pip install mpich)")
    shutil.copytree(quickstart / "potential", tmp_path / "two")
    with (tmp_path / "two" / "input.nn").open("a") as file:
        file.write("calculate_forces\n")
    data = str(quickstart / "predict" / "input.data")
    command = [str(mpiexec), "-n", "2", sys.executable, "-m", "bnnp", "--mode", "3", "--data", data]
    done = subprocess.run(
        command, cwd=tmp_path / "two", capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "two" / "nnforces.out").read_bytes() == (quickstart / "nnforces.out").read_bytes()
