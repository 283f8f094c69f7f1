"""Mode 2 through the executable: it learns, survives, is the same on all ranks, refuses bad input clearly."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.emt import EMT
from click.testing import CliRunner, Result
from signalled import run_and_signal

from bnnp.cli import main
from bnnp.errors import StaleFileError
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.io.uncertainty_data import read_uncertainty
from bnnp.io.weights import optweights_name, read_weights, weights_name
from bnnp.modes.train.output import EPOCH_FILE
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.tensors import hidden_values
from bnnp.potential.assessment import assess
from bnnp.potential.loading import load
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure
from bnnp.training.normalization import ChangeOfVariables
from bnnp.units import METAL

CURVE = "learning-curve.out"
MPIEXEC = Path(sys.executable).with_name("mpiexec")
FILES = [
    *("scaling.data", "weights.029.data", "weights.079.data", "optweights.029.out", "optweights.079.out"),
    *("uncertainty.data", "learning-curve.out", "checkpoint.npz"),
]
INPUT = """\
units metal
nn_type_short 1
use_short_nn
number_of_elements 2
elements Au Cu
random_seed 11
threads 1
use_short_forces
cutoff_type 1
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 2
global_nodes_short 8 8
global_activation_short t t l
global_symfunction_short 2 0.02 0.0 5.5
global_symfunction_short 2 2.0 1.8 5.5
global_symfunction_short 2 2.0 2.3 5.5
global_symfunction_short 2 2.0 2.8 5.5
global_symfunction_short 2 2.0 3.4 5.5
global_symfunction_short 2 2.0 4.2 5.5
global_symfunction_short 3 0.02 -1 1 5.5
global_symfunction_short 3 0.02 1 2 5.5
remove_atom_energies
atom_energy Cu 1.5
atom_energy Au -0.5
mc_samples 30
stress_weight 0.1
"""
# Mode 2 in each of the folders that are named, one after the other.
IN_EACH = """
import os, sys
from bnnp.cli import main

for folder in sys.argv[1:]:
    os.chdir(folder)
    main(["--mode", "2"], standalone_mode=False)
"""
SHORT = "optimizer adam\ndropout_rate 0.1\nepochs 6\nbatch_size 2\n"


def alloys(count: int, seed: int = 1, subset: Set | None = None) -> list[Structure]:
    """Rattled 8-atom cells of Cu and Au labeled by ASE's EMT, a quarter of them for testing."""
    rng = np.random.default_rng(seed)
    sites = np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, 3)
    found = []
    for index in range(count):
        cell = 2 * (2.5 + 0.2 * rng.random()) * np.eye(3) + rng.normal(0.0, 0.08, (3, 3))
        numbers = np.where(rng.permutation(8) < rng.integers(2, 7), 29, 79)
        atoms = Atoms(numbers, sites @ cell / 2 + rng.normal(0.0, 0.1, (8, 3)), cell=cell, pbc=True)
        atoms.calc = EMT()
        offset = atoms.numbers.tolist().count(29) * 1.5 - 0.5 * atoms.numbers.tolist().count(79)
        found.append(
            Structure(
                atoms.numbers,
                atoms.positions,
                cell,
                energy=float(atoms.get_potential_energy() + offset),
                forces=atoms.get_forces(),
                stress=atoms.get_stress(),
                subset=subset or (Set.TEST if index % 4 == 3 else Set.TRAIN),
            )
        )
    return found


def prepare(folder: Path, settings: str = SHORT, structures: list[Structure] | None = None) -> Path:
    """A folder in which mode 1 has run."""
    folder.mkdir(exist_ok=True)
    (folder / "input.nn").write_text(INPUT + settings)
    write_structures(folder / "input.data", structures or alloys(24))
    result = invoke(folder, 1)
    assert result.exit_code == 0, result.output
    return folder


def twin(source: Path, folder: Path, settings: str = SHORT) -> Path:
    """A folder with the symmetry functions of another one and its own input.nn."""
    folder.mkdir(exist_ok=True)
    for name in ("input.data", "symmetry_functions.h5"):
        shutil.copy(source / name, folder / name)
    (folder / "input.nn").write_text(INPUT + settings)
    return folder


def invoke(folder: Path, mode: int | None, *arguments: str) -> Result:
    """Run one mode, or with None that of runner_mode as RuNNer is called, in this process."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(main, [*(["--mode", str(mode)] if mode else []), *arguments])
    finally:
        os.chdir(here)


def start(
    folder: Path, *arguments: str, ranks: int = 1, program: Sequence[str] = ("-m", "bnnp", "--mode", "2")
) -> subprocess.Popen[str]:
    """Start mode 2, or another program, as a process of its own."""
    launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks > 1 else []
    return subprocess.Popen(
        [*launcher, sys.executable, *program, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def curve_of(folder: Path) -> dict[str, np.ndarray]:
    """Columns of learning-curve.out by the names in its header."""
    path = folder / "learning-curve.out"
    names = [line for line in path.read_text().splitlines() if line.startswith("#")][-1][1:].split()
    return dict(zip(names, np.loadtxt(path, ndmin=2).T, strict=True))


def best_epoch(log: str) -> int:
    """The epoch a log calls the best."""
    return int(re.findall(r"Errors of the best epoch, (\d+)", log)[0])


def epochs_done(folder: Path) -> int:
    """Lines of the learning curve, epoch 0 not counted."""
    path = folder / "learning-curve.out"
    lines = path.read_text().splitlines() if path.exists() else []
    return sum(not line.startswith("#") for line in lines) - 1


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which mode 1 has run."""
    return prepare(tmp_path_factory.mktemp("train") / "source")


@pytest.fixture(scope="module")
def finished(source: Path) -> Path:
    """A folder in which mode 2 has learnt well; its log is mode2.out."""
    settings = "dropout_rate 0.02\nepochs 60\nlearning_rate 0.02\nweight_decay 0.1\n"
    folder = prepare(source.parent / "finished", settings, alloys(100))
    with open(folder / "input.nn", "a") as file:
        file.write("runner_mode 2\n")
    result = invoke(folder, None)
    assert result.exit_code == 0, result.output
    (folder / "mode2.out").write_text(result.output)
    return folder


def test_data_changed_since_mode_1_is_refused(source: Path, tmp_path: Path) -> None:
    """One digit of one energy; without the file mode 2 goes on: it reads symmetry_functions.h5 alone."""
    folder = twin(source, tmp_path, SHORT.replace("epochs 6", "epochs 1"))
    text = (folder / "input.data").read_text()
    (folder / "input.data").write_text(text.replace("energy ", "energy 1", 1))
    result = invoke(folder, 2)
    assert result.exit_code == 1
    assert "input.data has changed since mode 1" in result.stderr
    assert "run mode 1 again" in result.stderr
    assert not (folder / "weights.029.data").exists()
    (folder / "input.data").unlink()
    assert invoke(folder, 2).exit_code == 0


@pytest.mark.slow
def test_another_division_is_told(tmp_path: Path) -> None:
    """test_fraction acts in mode 1: mode 2 keeps its sets and says so; not if the data pins them."""
    settings = "epochs 1\ntest_fraction 0.3\n"
    free = [replace(structure, subset=None) for structure in alloys(24)]
    for structures, told in ((free, True), (alloys(24), False)):
        folder = prepare(tmp_path / str(told), settings, structures)
        assert "are those of mode 1" not in invoke(folder, 2).output
        (folder / "input.nn").write_text(INPUT + settings.replace("0.3", "0.1"))
        text = " ".join(invoke(folder, 2).output.split())
        assert ("those of mode 1 (random_seed 11, test_fraction 0.3" in text) == told


def test_it_learns(finished: Path) -> None:
    curve = curve_of(finished)
    reference = np.concatenate([structure.forces for structure in alloys(100)])  # type: ignore[misc]
    assert len(curve["epoch"]) == 61
    assert curve["RMSE_Ftest_pu"].min() < 0.25 * np.sqrt(np.mean(reference**2))
    assert curve["RMSEpa_Etest_pu"].min() < 0.1 * curve["RMSEpa_Etest_pu"][0]


def test_all_files_are_there(finished: Path) -> None:
    best = best_epoch((finished / "mode2.out").read_text())
    points = [
        f"{subset}{kind}.{best:06d}.out" for subset in ("train", "test") for kind in ("points", "forces")
    ]
    assert all((finished / name).exists() for name in FILES + points)
    shape = Architecture((8, 8), ("t", "t", "l"))
    networks = {}
    for element, n in (("Cu", 18), ("Au", 18)):
        networks[element] = read_weights(finished / weights_name(element), element, shape, n)
        same = read_weights(finished / optweights_name(element), element, shape, n)
        np.testing.assert_array_equal(networks[element].flat(), same.flat())
    assert read_uncertainty(finished / "uncertainty.data", networks).masks.samples == 30
    assert not [name for name in os.listdir(finished) if name.endswith(".tmp")]


def test_log_has_the_lines_other_tools_read(finished: Path) -> None:
    log = (finished / "mode2.out").read_text()
    energies = np.array(
        [line.split()[1:] for line in log.splitlines() if line.startswith(" ENERGY ")], dtype=float
    )
    forces = np.array(
        [line.split()[1:] for line in log.splitlines() if line.startswith(" FORCES ")], dtype=float
    )
    curve = curve_of(finished)
    np.testing.assert_allclose(energies[:, 2], curve["RMSEpa_Etest_pu"], atol=1e-6)  # eV and eV
    np.testing.assert_allclose(forces[:, 1], curve["RMSE_Ftrain_pu"] * 0.529177, atol=1e-6)  # eV/bohr
    assert "Normal termination of RuNNer" in "".join(log.splitlines()[-5:])
    flat = " ".join(log.split())
    assert "in RuNNer's units, whatever `units` is, for tools that read it: 1 eV/Bohr = 1889.73 meV/A" in flat


def test_mode_3_predicts_what_mode_2_reports(finished: Path) -> None:
    result = invoke(finished, 3)
    assert result.exit_code == 0, result.output
    points = np.concatenate([np.loadtxt(path) for path in finished.glob("t*points.*.out")])
    predicted = np.loadtxt(finished / "energy.out")
    assert len(points) == len(predicted) == 100
    np.testing.assert_allclose(points[np.argsort(points[:, 0]), 3], predicted[:, 3], rtol=1e-9)
    np.testing.assert_allclose(points[np.argsort(points[:, 0]), 2], predicted[:, 2], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lines",
    [
        "mean_energy -1.25\nconv_energy 3.5\nconv_length 1.8\n",
        "normalize_nodes\nscale_max_short_atomic 2.0\n",
        "dropout_rate_input 0.1\n",
        "use_old_scaling\nuse_old_weights_short\n",
    ],
)
def test_every_variant_is_predicted_as_it_was_trained(
    finished: Path, tmp_path: Path, lines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = twin(finished, tmp_path / "variant", "dropout_rate 0.02\nepochs 2\nlearning_rate 1e-4\n" + lines)
    for name in FILES[:3]:
        shutil.copy(finished / name, folder / name)
    assert invoke(folder, 2).exit_code == 0
    if "use_old_weights" in lines:
        former, now = (curve_of(path) for path in (finished, folder))
        best = former["RMSE_Ftest_pu"].min()
        assert now["RMSE_Ftest_pu"][0] == pytest.approx(
            best, rel=0.1
        )  # the best epoch is the best by the whole loss
    result = invoke(folder, 3)
    assert result.exit_code == 0, result.output
    points = np.concatenate([np.loadtxt(path) for path in folder.glob("t*points.*.out")])
    predicted = np.loadtxt(folder / "energy.out")
    np.testing.assert_allclose(points[np.argsort(points[:, 0]), 3], predicted[:, 3], rtol=1e-8)


def test_energies_alone_can_be_trained(source: Path, tmp_path: Path) -> None:
    folder = twin(source, tmp_path / "energies", "dropout_rate 0\nepochs 40\nlearning_rate 0.02\n")
    text = (folder / "input.nn").read_text()
    (folder / "input.nn").write_text(text.replace("use_short_forces\n", "use_short_forces .false.\n"))
    result = invoke(folder, 2)
    text = " ".join(result.output.split())
    assert re.search(r"forces, and they are not trained: \S*input.nn line \d+, use_short_forces", text)
    assert result.exit_code == 0, result.output
    curve = curve_of(folder)
    assert curve["RMSEpa_Etrain_pu"].min() < 0.2 * curve["RMSEpa_Etrain_pu"][0]
    assert np.isnan(curve["RMSE_Ftrain_pu"]).all()
    assert " FORCES" not in result.output
    assert not list(folder.glob("*forces.*.out"))
    assert not (folder / "uncertainty.data").exists()


def test_forces_of_the_data_are_trained_without_a_word(source: Path, tmp_path: Path) -> None:
    folder = twin(source, tmp_path / "silent", "dropout_rate 0\nepochs 2\n")
    text = (folder / "input.nn").read_text()
    assert "use_short_forces\n" in text
    (folder / "input.nn").write_text(text.replace("use_short_forces\n", ""))
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    assert re.search(r"trained on +energies, forces", result.output)
    assert np.isfinite(curve_of(folder)["RMSE_Ftrain_pu"]).all()


@pytest.mark.parametrize("keyword", ["", "use_short_forces\n"])
def test_a_file_without_forces_has_zeros_and_they_are_not_trained(tmp_path: Path, keyword: str) -> None:
    """RuNNer's files of energies alone have zeros in the columns of the forces."""
    folder = tmp_path / "zeros"
    structures = [replace(each, forces=np.zeros((len(each), 3)), stress=None) for each in alloys(20)]
    prepare(folder, "dropout_rate 0\nepochs 2\n", structures)
    text = (folder / "input.nn").read_text()
    (folder / "input.nn").write_text(text.replace("use_short_forces\n", keyword))
    result = invoke(folder, 2)
    if keyword:
        assert result.exit_code == 1
        assert "use_short_forces asks to train on forces, but no training structure has any" in result.stderr
    else:
        assert result.exit_code == 0, result.output
        assert re.search(r"trained on +energies\n", result.output)


def test_words_of_runner_train_without_dropout_and_the_log_says_so(source: Path, tmp_path: Path) -> None:
    words = "kalman_lambda_short 0.98\nkalman_nue_short 0.9987\nshort_force_fraction 0.01\nepochs 1\n"
    folder = twin(source, tmp_path / "plain", words)
    text = (folder / "input.nn").read_text()
    (folder / "input.nn").write_text(text.replace("mc_samples 30\n", ""))  # a word that asks for dropout
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "dropout none as in RuNNer and n2p2, whose `kalman_lambda_short` is in line" in text
    assert "With `mc_dropout after`" in text
    assert "`optimizer kalman` takes all observations of a batch in one update" in text


METHODS = {
    "Adam": "dropout_rate 0.1\n",
    "Kalman, L-BFGS": "optimizer kalman\nkalman_components 9\ndropout_rate 0\npolish_epochs 30\n",
    "L-BFGS": "optimizer lbfgs\ndropout_rate 0\n",
    "Kalman": "optimizer kalman\nkalman_components 9\ndropout_rate 0.1\n",
    "RuNNer": "optmode_short_energy 1\nshort_force_fraction 0.02\ndropout_rate 0\n",
    "n2p2": (
        "updater_type 1\nshort_force_fraction 0.02\nshort_force_error_threshold 1\nselection_mode 1 30 2\n"
        "dropout_rate 0\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_forces_that_do_not_count_change_nothing(tmp_path: Path, method: str) -> None:
    """``forces=1:3 energy=none``: whatever stands in the other columns, the weights are the same, and those
    of a training with these forces are others. Nor are they among the errors of mode 3."""
    structures, found = alloys(16), []
    for number, (beyond, note, n) in enumerate([(0.0, "1:3", 3), (50.0, "1:3", 3), (50.0, "1:8", 8)]):
        forces = structures[0].forces.copy()
        forces[3:] = beyond
        info = {"forces": note, "energy": "none"}
        cut = replace(structures[0], energy=None, stress=None, forces=forces, info=info)
        folder = prepare(tmp_path / str(number), METHODS[method] + "epochs 2\n", [cut, *structures[1:]])
        result = invoke(folder, 2)
        assert result.exit_code == 0, result.output
        found.append([(folder / weights_name(x)).read_bytes() for x in ("Cu", "Au")])
        prediction = load(folder).predict(cut)
        errors = assess(StructureFile(folder / "input.data")[0], prediction, METAL)
        size = np.sqrt(np.mean(np.square(prediction.forces.value[:n] - forces[:n])))
        assert errors.forces.rmse == pytest.approx(size, rel=1e-12)
        assert (errors.forces.count, errors.energy.count) == (3 * n, 0)
    assert found[0] == found[1]
    assert found[1] != found[2]


@pytest.mark.slow
@pytest.mark.parametrize(("note", "known"), [("1:6", False), ("1:8", True)])
def test_surroundings_of_atoms_that_do_not_count_are_unknown(note: str, known: bool, tmp_path: Path) -> None:
    """Two atoms 1.2 Angstrom apart: known to the distance from the training set if their forces count."""
    first, *others = alloys(16)
    positions = first.positions.copy()
    positions[7] = positions[6] + [1.2, 0.0, 0.0]
    info = {"forces": note, "energy": "none"}
    cut = replace(first, positions=positions, energy=None, stress=None, info=info)
    folder = prepare(tmp_path / "cut", SHORT.replace("epochs 6", "epochs 1"), [cut, *others])
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    statistics = read_uncertainty(folder / "uncertainty.data").statistics
    shortest = min(min(own.shortest.values()) for own in statistics.values())
    assert (shortest < 1.3) is known


@pytest.mark.slow
@pytest.mark.parametrize("method", ["Adam", "Kalman, L-BFGS", "n2p2"])
def test_killed_and_restarted_is_uninterrupted(source: Path, tmp_path: Path, method: str) -> None:
    settings = METHODS[method].replace("30", "5") + "epochs 12\ncheckpoint_interval 4\nearly_stopping 30\n"
    whole, broken = twin(source, tmp_path / "whole", settings), twin(source, tmp_path / "broken", settings)
    assert invoke(whole, 2).exit_code == 0
    killed = run_and_signal(broken, 2, "SIGKILL", (CURVE, 6, 200))
    assert killed.returncode == -signal.SIGKILL
    assert epochs_done(broken) == 6
    result = invoke(broken, 2, "--restart")
    assert result.exit_code == 0, result.output
    names = [name for name in FILES[:-1] if (whole / name).exists()]
    assert len(names) >= 6
    for name in names:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    with np.load(whole / "checkpoint.npz") as one, np.load(broken / "checkpoint.npz") as two:
        assert all(
            np.array_equal(one[name], two[name], equal_nan=one[name].dtype.kind == "f") for name in one
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "method"),
    [("SIGINT", "Adam"), ("SIGUSR1", "Adam"), ("SIGTERM", "Kalman"), ("SIGUSR1", "L-BFGS")],
)
def test_signal_ends_with_a_checkpoint(source: Path, tmp_path: Path, name: str, method: str) -> None:
    settings = f"{METHODS[method]}epochs 50\ncheckpoint_interval 50\n"
    folder = twin(source, tmp_path / "signal", settings)
    ended = run_and_signal(folder, 2, name, (CURVE, 3, 200))
    assert ended.returncode == 128 + signal.Signals[name], ended.stdout
    assert "Next: `bnnp --mode 2 --restart` continues" in ended.stdout
    assert "of 50 epochs done" in ended.stdout.splitlines()[-1]
    assert "Normal termination" not in ended.stdout
    assert "--mode 3" not in ended.stdout
    assert (folder / "checkpoint.npz").exists()
    assert (folder / "weights.029.data").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "calls"), [("Adam", 700), ("Kalman", 3000), ("L-BFGS", 0)])
def test_signal_and_restart_are_uninterrupted(source: Path, tmp_path: Path, method: str, calls: int) -> None:
    """Wherever in an epoch the signal came."""
    settings = f"{METHODS[method]}epochs 8\n"
    whole, broken = twin(source, tmp_path / "whole", settings), twin(source, tmp_path / "broken", settings)
    assert invoke(whole, 2).exit_code == 0
    ended = run_and_signal(broken, 2, "SIGTERM", (CURVE, 3, calls))
    assert "of 8 epochs done" in ended.stdout.splitlines()[-1]
    assert invoke(broken, 2, "--restart").exit_code == 0
    for name in ("weights.029.data", "weights.079.data", "learning-curve.out"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec")
@pytest.mark.skipif(signal.getsignal(signal.SIGINT) == signal.SIG_IGN, reason="Ctrl-C is ignored here")
def test_ctrl_c_under_mpiexec(source: Path, tmp_path: Path) -> None:
    """One checkpoint, one message, the exit code of Ctrl-C, and no lock left."""
    folder = twin(source, tmp_path, "dropout_rate 0\nepochs 100000\ncheckpoint_interval 100000\n")
    process = start(folder, ranks=2)
    while epochs_done(folder) < 2:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 130, output
    assert output.count("NOT FINISHED: mode 2, stopped by a signal") == 1
    assert not (folder / "bnnp.lock").exists()
    with np.load(folder / "checkpoint.npz") as archive:
        assert int(archive["epoch"]) >= 1


@pytest.mark.slow
def test_killed_in_its_first_epoch_it_can_be_continued(source: Path, tmp_path: Path) -> None:
    """By kill -9, with the first checkpoint due much later; and the lock of the killed run is taken over."""
    settings = "dropout_rate 0\nepochs 4\ncheckpoint_interval 50\n"
    whole, broken = twin(source, tmp_path / "whole", settings), twin(source, tmp_path / "broken", settings)
    assert invoke(whole, 2).exit_code == 0
    ended = run_and_signal(broken, 2, "SIGKILL", (CURVE, 1, 500))
    assert ended.returncode == -signal.SIGKILL
    with np.load(broken / "checkpoint.npz") as archive:
        assert int(archive["epoch"]) == 0
    result = invoke(broken, 2, "--restart")
    assert result.exit_code == 0, result.output
    for name in ("weights.029.data", "weights.079.data", "learning-curve.out"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


def test_files_of_a_former_training_are_removed(source: Path, tmp_path: Path) -> None:
    """Those of epochs that this training does not write; files of RuNNer under such names are kept."""
    folder = twin(source, tmp_path / "again", "dropout_rate 0\nepochs 3\nwrite_trainpoints 1\n")
    assert invoke(folder, 2).exit_code == 0
    for former in (folder / "trainpoints.000001.out", folder / "000009.short.029.out"):
        former.write_text("   Conf.   natoms  of RuNNer\n")
    for name in ("testforces", "trainforces", "testpoints"):
        shutil.copy(next(folder.glob(f"{name}.*")), folder / f"{name}.000700.out")
    text = (folder / "input.nn").read_text()
    (folder / "input.nn").write_text(text.replace("write_trainpoints 1\n", ""))
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    removed = [line for line in result.output.splitlines() if "Removed, of a former training" in line]
    assert len(removed) == 1
    best = f"{best_epoch(result.output):06d}"
    left = sorted(path.name for path in folder.iterdir() if EPOCH_FILE.fullmatch(path.name))
    by_runner = ["000009.short.029.out", "trainpoints.000001.out"]
    written = [f"{part}{kind}.{best}.out" for part in ("train", "test") for kind in ("points", "forces")]
    assert left == sorted({*by_runner, *written})


@pytest.mark.slow
@pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec")
def test_three_ranks_give_the_same_learning_curve(source: Path, tmp_path: Path) -> None:
    """All methods in one start of the ranks, which takes longer than the trainings."""
    methods, pairs = ("Adam", "Kalman", "Kalman, L-BFGS", "L-BFGS", "RuNNer"), []
    for method in methods:
        settings = METHODS[method].replace("30", "4") + "epochs 5\nbatch_size 3\n"
        one, many = (twin(source, tmp_path / f"{method} {name}", settings) for name in ("one", "many"))
        assert invoke(one, 2).exit_code == 0
        pairs.append((method, one, many))
    process = start(tmp_path, *(str(many) for _, _, many in pairs), ranks=3, program=("-c", IN_EACH))
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert output.count("Normal termination") == len(methods)
    for method, *folders in pairs:
        curves = [np.loadtxt(folder / CURVE) for folder in folders]
        np.testing.assert_allclose(curves[1], curves[0], rtol=1e-8, atol=1e-8, err_msg=method)
        points = [
            np.concatenate([np.loadtxt(path) for path in sorted(folder.glob("*points*"))])
            for folder in folders
        ]
        np.testing.assert_allclose(points[1], points[0], rtol=1e-8, atol=1e-8, err_msg=method)


def test_empty_test_set_is_a_warning(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "case", SHORT, alloys(12, subset=Set.TRAIN))
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    assert "the test set is empty" in result.output
    assert np.isnan(curve_of(folder)["RMSEpa_Etest_pu"]).all()
    assert (folder / "weights.029.data").exists()


def test_epoch_files_are_written_when_asked_for(source: Path, tmp_path: Path) -> None:
    lines = "write_weights_epoch 2\nwrite_trainpoints 3\n"
    folder = twin(source, tmp_path / "epochs", "dropout_rate 0.1\nepochs 4\n" + lines)
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.glob("*.short.029.out")) == [
        "000002.short.029.out",
        "000004.short.029.out",
    ]
    best = best_epoch(result.output)
    points, forces = (
        {int(path.name.split(".")[1]) for path in folder.glob(f"train{kind}.*")}
        for kind in ("points", "forces")
    )
    assert points == {3, best}
    assert forces == {best}


def test_no_epochs_evaluate_the_initial_weights(source: Path, tmp_path: Path) -> None:
    folder = twin(source, tmp_path / "none", "dropout_rate 0\nepochs 0\n")
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    assert best_epoch(result.output) == 0
    assert " ENERGY " not in result.output  # each epoch once, unless it is called as RuNNer is
    assert max(map(len, result.output.splitlines())) <= 80
    assert result.output.index("Verdict ---") > result.output.index("Written ---")
    assert (folder / "trainpoints.000000.out").exists()


def change(folder: Path, name: str, index: int, value: float) -> None:
    """Change one number of symmetry_functions.h5."""
    with h5py.File(folder / "symmetry_functions.h5", "r+") as file:
        file[name][index] = value


def test_label_that_is_not_finite_is_named(source: Path, tmp_path: Path) -> None:
    folder = twin(source, tmp_path / "nan")
    change(folder, "structures/energy", 5, np.nan)
    result = invoke(folder, 2)
    assert result.exit_code == 1
    assert re.search(r"structure 6 of\s+input.data", result.output)
    assert "Traceback" not in result.output


def test_other_symmetry_functions_are_refused(source: Path, tmp_path: Path) -> None:
    folder = twin(source, tmp_path / "stale", SHORT + "global_symfunction_short 2 0.5 0.0 5.5\n")
    result = invoke(folder, 2)
    assert result.exit_code == 1
    assert "mode 1" in result.output


def test_missing_symmetry_functions_are_named(tmp_path: Path) -> None:
    (tmp_path / "input.nn").write_text(INPUT + SHORT)
    result = invoke(tmp_path, 2)
    assert result.exit_code == 1
    assert "run mode 1" in result.output


def test_function_that_never_varies_is_named_with_its_line(source: Path, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "constant", SHORT + "symfunction_short Cu 2 Au 1.0 0.1 0.5\n")
    result = invoke(folder, 2)
    assert result.exit_code == 1
    line = (folder / "input.nn").read_text().splitlines().index("symfunction_short Cu 2 Au 1.0 0.1 0.5") + 1
    assert f"input.nn line {line}: symfunction_short Cu 2 Au" in result.output


def test_diverging_training_keeps_the_best_epoch(source: Path, tmp_path: Path) -> None:
    folder = twin(
        source, tmp_path / "diverge", "dropout_rate 0\nepochs 9\nlearning_rate 1e300\nwarmup_epochs 0\n"
    )
    result = invoke(folder, 2)
    assert result.exit_code == 1
    assert "learning_rate" in result.output
    assert read_weights(
        folder / "weights.029.data", "Cu", Architecture((8, 8), ("t", "t", "l")), 18
    )  # finite, or the reader would stop


def test_weights_that_are_not_finite_touch_no_file(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last network cannot be folded: the first is not replaced either, nor scaling.data or the masks."""
    before = {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    fold = ChangeOfVariables.to_plain

    def broken(self: ChangeOfVariables, network: Network) -> Network:
        plain = fold(self, network)
        return replace(plain, biases=(*plain.biases[:-1], plain.biases[-1] * np.nan))

    monkeypatch.setattr(ChangeOfVariables, "to_plain", broken)
    result = invoke(finished, 2, "--restart")
    assert result.exit_code == 1
    assert "are not finite, so they are not written" in " ".join(result.output.split())
    names = [name for name in before if name.endswith((".data", ".out")) and name != "mode2.out"]
    assert all((finished / name).read_bytes() == before[name] for name in names)


@pytest.mark.slow
@pytest.mark.parametrize(("former", "rate"), [(0.1, 0.1), (0, 0.1), (0.1, 0)])
def test_killed_between_two_files_is_refused_by_mode_3(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, former: float, rate: float
) -> None:
    """Of all stages between the former potential and the new one only these two themselves are accepted.

    The new one also before the statistics for ``uncertainty hybrid`` have gone into uncertainty.data.
    """
    settings = "epochs 0\nbatch_size 2\ndropout_rate "
    folder = prepare(tmp_path / "killed", f"{settings}{former}\n", alloys(12, seed=5))
    assert invoke(folder, 2).exit_code == 0
    twin(source, folder, f"{settings}{rate}\n")
    stages: list[dict[str, bytes]] = []

    def observe() -> None:
        paths = [path for path in folder.glob("*.data") if path.name != "input.data"]
        stage = {path.name: path.read_bytes() for path in paths}
        if stage not in stages:
            stages.append(stage)

    replace_file, unlink = os.replace, Path.unlink
    monkeypatch.setattr(os, "replace", lambda *names: [observe(), replace_file(*names), observe()])
    monkeypatch.setattr(
        Path, "unlink", lambda path, missing_ok=False: [unlink(path, missing_ok=missing_ok), observe()]
    )
    assert invoke(folder, 2).exit_code == 0
    monkeypatch.undo()
    assert len(stages) >= 5
    accepted, refused = [], 0
    for number, stage in enumerate(stages):
        for path in folder.glob("*.data"):
            if path.name != "input.data":
                path.unlink()
        for name, content in stage.items():
            (folder / name).write_bytes(content)
        try:
            load(folder)
            accepted.append(number)
        except StaleFileError:
            refused += 1
    last, masks = stages[-1], "uncertainty.data"
    before_statistics = [
        {**last, masks: stage[masks]}
        for stage in stages
        if masks in stage and last.get(masks, b"").startswith(stage[masks])
    ]
    whole = [n for n, stage in enumerate(stages) if stage in (last, *before_statistics)]
    assert accepted == [0, *whole]
    assert refused == len(stages) - len(accepted)
    assert len(whole) <= 2


@pytest.mark.slow
def test_training_that_has_not_written_yet_keeps_the_former_potential(source: Path, tmp_path: Path) -> None:
    """Killed before its first potential: scaling.data is still that of the former weights."""
    folder = prepare(tmp_path / "early", SHORT, alloys(12, seed=5))
    assert invoke(folder, 2).exit_code == 0
    before = (folder / "scaling.data").read_bytes()
    twin(source, folder, "dropout_rate 0.1\nepochs 50\ncheckpoint_interval 50\n")
    (folder / "learning-curve.out").unlink()
    killed = run_and_signal(folder, 2, "SIGKILL", (CURVE, 1, 200))
    assert killed.returncode == -signal.SIGKILL
    assert epochs_done(folder) == 1
    assert (folder / "scaling.data").read_bytes() == before
    assert invoke(folder, 3).exit_code == 0


def test_best_weights_may_be_copied_as_with_runner(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copied"
    folder.mkdir()
    for name in ("input.nn", "input.data", "scaling.data", "uncertainty.data"):
        shutil.copy(finished / name, folder / name)
    for element in ("Cu", "Au"):
        shutil.copy(finished / optweights_name(element), folder / weights_name(element))
    assert invoke(folder, 3).exit_code == 0


@pytest.mark.slow
def test_full_disk_leaves_no_half_written_file(source: Path, tmp_path: Path) -> None:
    folder = twin(source, tmp_path / "full")
    limit = 6000  # bytes a file may have: enough for scaling.data, not for the checkpoint
    done = subprocess.run(
        [sys.executable, "-m", "bnnp", "--mode", "2"],
        cwd=folder,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "checkpoint.npz").exists()
    assert not [path for path in folder.iterdir() if path.name.endswith(".tmp")]


def test_restart_needs_the_same_training(source: Path, tmp_path: Path) -> None:
    folder = twin(source, tmp_path / "restart")
    result = invoke(folder, 2, "--restart")
    assert result.exit_code == 1
    assert "no training to continue" in result.output
    assert invoke(folder, 2).exit_code == 0
    (folder / "input.nn").write_text((INPUT + SHORT).replace("random_seed 11", "random_seed 12"))
    result = invoke(folder, 2, "--restart")
    assert result.exit_code == 1
    assert "random_seed = 11" in result.output


@pytest.mark.parametrize(
    ("former", "line", "message"),
    [
        ("force_weight 1", "force_weight 2", "force_weight = 1.0, but now it is 2.0"),
        ("stress_weight 0.1", "stress_weight 0.2", "stress_weight = 0.1, but now it is 0.2"),
        ("energy_weight 1", "energy_weight 3", "energy_weight = 1.0, but now it is 3.0"),
        ("dropout_rate 0.1", "dropout_rate 0.2", "dropout_rate = 0.1 0.1, but now it is 0.2 0.2"),
        ("dropout_masks 4", "dropout_masks 2", "dropout_masks = 4, but now it is 2"),
        ("mc_samples 30", "mc_samples 31", "mc_samples = 30, but now it is 31"),
        ("learning_rate 0.01", "learning_rate 0.02", "learning_rate = 0.01, but now it is 0.02"),
        ("warmup_epochs 5", "warmup_epochs 0", "warmup_epochs = 5, but now it is 0"),
        ("max_force 10000", "max_force 9", "max_force = "),
        ("gradient_clip 0", "gradient_clip 1", "gradient_clip = 0.0, but now it is 1.0"),
        (
            "gradient_adam_beta1 0.9",
            "gradient_adam_beta1 0.8",
            "gradient_adam_beta1 = 0.9, but now it is 0.8",
        ),
        ("center_symmetry_functions", "", "scaling = both 0.0 1.0, but now it is scale 0.0 1.0"),
        (
            "remove_atom_energies",
            "",
            "atom energies in effect = Cu 1.5, Au -0.5, but now it is Cu 0.0, Au 0.0",
        ),
        (
            "mean_energy",
            "mean_energy -1\nconv_energy 2\nconv_length 1",
            "conv_length = 0.0 1.0 1.0, but now it is -1.0 2.0 1.0",
        ),
        ("global_nodes_short 8 8", "global_nodes_short 8 9", "networks = Cu 18-8-8-1"),
        ("use_short_forces", "use_short_forces .false.", "use_short_forces = on, but now it is off"),
    ],
)
def test_restart_refuses_another_training(
    restartable: Path, tmp_path: Path, former: str, line: str, message: str
) -> None:
    """Each keyword that shapes the training is named, with its former and its present value."""
    text = (restartable / "input.nn").read_text()
    changed = text.replace(former, line) if former in text else text + line + "\n"
    assert changed != text
    (tmp_path / "input.nn").write_text(changed)
    for name in ("input.data", "symmetry_functions.h5", "checkpoint.npz"):
        shutil.copy(restartable / name, tmp_path / name)
    result = invoke(tmp_path, 2, "--restart")
    assert result.exit_code == 1
    assert message in result.output
    assert "without --restart" in result.output


@pytest.fixture(scope="module")
def restartable(source: Path) -> Path:
    """A folder in which a short training has ended."""
    folder = twin(source, source.parent / "restartable")
    assert invoke(folder, 2).exit_code == 0
    return folder


def test_finished_training_can_be_prolonged(restartable: Path, tmp_path: Path) -> None:
    """The way it runs and is written may change, too; the log tells that the schedule is another one."""
    folder = twin(restartable, tmp_path / "longer")
    shutil.copy(restartable / "checkpoint.npz", folder / "checkpoint.npz")
    (folder / "input.nn").write_text(
        (INPUT + SHORT).replace("epochs 6", "epochs 8")
        + "checkpoint_interval 3\nmemory_limit 1 GB\nderivatives recomputed\nwrite_trainpoints 4\n"
    )
    result = invoke(folder, 2, "--restart")
    assert result.exit_code == 0, result.output
    assert epochs_done(folder) == 8
    assert "continued                  checkpoint.npz, after epoch 6" in result.output
    assert "epochs is 8, but was 6" in result.output


def test_gpu_that_is_not_there_is_told(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder = twin(source, tmp_path / "gpu", SHORT + "device cuda\n")
    result = invoke(folder, 2)
    assert result.exit_code == 1
    assert "device is cuda, but PyTorch sees no GPU" in result.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "input.data",
        "input.nn",
        "symmetry_functions.h5",
    ]


def test_fitted_free_atom_energies_go_with_the_potential(source: Path, tmp_path: Path) -> None:
    """Least squares over the training set; mode 3 has them from scaling.data, potential/ as plain numbers."""
    folder = twin(source, tmp_path / "fit", "epochs 2\ndropout_rate 0.1\n")
    text = (folder / "input.nn").read_text()
    for line in ("atom_energy Cu 1.5\n", "atom_energy Au -0.5\n", "remove_atom_energies\n"):
        text = text.replace(line, "")
    (folder / "input.nn").write_text(text + "atom_energy fit\n")
    assert invoke(folder, 2).exit_code == 0
    assert invoke(folder, 2, "--restart").exit_code == 0
    structures = [s for s in StructureFile(folder / "input.data") if s.subset == Set.TRAIN]
    shares = np.array([[np.mean(s.numbers == z) for z in (29, 79)] for s in structures])
    expected = np.linalg.lstsq(shares, [s.energy / len(s) for s in structures], rcond=None)[0]
    portable = load_settings(folder / "potential" / "input.nn", 3)
    np.testing.assert_allclose([portable.model.atom_energies[x] for x in ("Cu", "Au")], expected, atol=1e-7)
    here = load(folder)
    there = load(folder / "potential")
    assert here.predict(structures[0]).energy.value == there.predict(structures[0]).energy.value
    assert invoke(folder, 3).exit_code == 0
    scaling = (folder / "scaling.data").read_text().splitlines(keepends=True)
    (folder / "scaling.data").write_text("".join(line for line in scaling if "atom_energy" not in line))
    result = invoke(folder, 3)
    assert result.exit_code == 1
    assert "has no free-atom energy of Cu, Au" in result.output


def test_fitted_and_given_free_atom_energies_exclude_each_other(source: Path, tmp_path: Path) -> None:
    folder = twin(source, tmp_path / "both", SHORT + "atom_energy fit\n")
    result = invoke(folder, 2)
    assert result.exit_code == 1
    assert "remove the other atom_energy lines" in result.output


def test_weights_of_groups_are_told(tmp_path: Path) -> None:
    structures = [
        replace(structure, info={"group": "melt" if k % 2 else "solid"})
        for k, structure in enumerate(alloys(12))
    ]
    folder = prepare(tmp_path / "groups", SHORT + "group_weight melt 2 0.5 1\n", structures)
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    assert "weights of group melt      energy 2, force 0.5, stress 1 (6 structures)" in result.output


@pytest.mark.slow
def test_dropout_rate_is_chosen_by_the_likelihood_of_the_test_set(source: Path, tmp_path: Path) -> None:
    """The chosen one has the lowest NLL of the table, is in uncertainty.data, and is kept by --restart."""
    folder = twin(source, tmp_path / "auto", "epochs 8\nbatch_size 2\ndropout_rate auto\n")
    result = invoke(folder, 2)
    assert result.exit_code == 0, result.output
    rows = re.findall(r"rate ([0-9.]+) +NLL +(-?[0-9.]+)", result.output)
    found = {float(rate): float(nll) for rate, nll in rows}
    assert len(found) == 5
    chosen = float(re.findall(r"chosen +dropout_rate ([0-9.]+)", result.output)[0])
    assert found[chosen] == min(found.values())
    assert read_uncertainty(folder / "uncertainty.data").masks.rates == (0.0, chosen, chosen)
    again = invoke(folder, 2, "--restart")
    assert again.exit_code == 0, again.output
    assert "NLL" not in again.output
    assert invoke(folder, 3).exit_code == 0


def test_dropout_rate_cannot_be_chosen_without_a_test_set(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "case", "epochs 2\ndropout_rate auto\n", alloys(8, subset=Set.TRAIN))
    result = invoke(folder, 2)
    assert result.exit_code == 1
    assert "needs a test set" in result.output


@pytest.mark.slow
def test_fine_tuned_potential_is_written_and_repeated_by_restart(source: Path, tmp_path: Path) -> None:
    settings = "epochs 8\nbatch_size 2\ndropout_rate 0.1\n"
    plain = twin(source, tmp_path / "plain", settings)
    tuned = twin(
        source, tmp_path / "tuned", settings + "finetune nll\nfinetune_epochs 6\nfinetune_rate 0.01\n"
    )
    assert invoke(plain, 2).exit_code == 0
    result = invoke(tuned, 2)
    assert result.exit_code == 0, result.output
    assert "Fine-tuning by the negative log-likelihood" in result.output
    first = (tuned / "weights.029.data").read_bytes()
    assert first != (plain / "weights.029.data").read_bytes()
    assert invoke(tuned, 2, "--restart").exit_code == 0
    assert (tuned / "weights.029.data").read_bytes() == first
    assert invoke(tuned, 3).exit_code == 0


def test_mc_dropout_after_trains_the_plain_network_and_gives_it_a_spread(
    source: Path, tmp_path: Path
) -> None:
    """The same weights, energies and forces as without dropout, bit for bit, but with standard deviations.
    The file has the means of the hidden nodes over the training atoms."""
    plain = twin(source, tmp_path / "plain", "dropout_rate 0\nepochs 3\nbatch_size 2\n")
    after = twin(source, tmp_path / "after", "epochs 3\nbatch_size 2\n")
    for folder in (plain, after):
        result = invoke(folder, 2)
        assert result.exit_code == 0, result.output
        assert invoke(folder, 3).exit_code == 0
    assert "after the training only, 0, 0.05, 0.05 of inputs and hidden layers, 30 frozen" in " ".join(
        result.output.split()
    )
    for name in ("weights.029.data", "weights.079.data"):
        ours, theirs = (Path(folder / name).read_text().splitlines() for folder in (after, plain))
        assert [x for x in ours if x[0] != "#"] == [x for x in theirs if x[0] != "#"]
    energies = [np.loadtxt(folder / "energy.out") for folder in (plain, after)]
    np.testing.assert_allclose(energies[1][:, 3], energies[0][:, 3], rtol=1e-13)
    loaded = load(after / "potential")
    masks, network = loaded.members[0].masks, loaded.members[0].networks["Cu"]
    assert masks is not None
    assert masks.centered
    structures = [each for each in alloys(24) if each.subset == Set.TRAIN]
    values = [
        loaded.predict(each, forces=False, stress=False).descriptors[loaded.types(each) == 0]
        for each in structures
    ]
    inputs = loaded.scaled(np.zeros(sum(map(len, values)), dtype=np.int32), np.concatenate(values))
    for layer, hidden in enumerate(hidden_values(network, inputs[:, : network.n_inputs])):
        if layer > 0:
            np.testing.assert_allclose(masks.means["Cu"][layer], hidden.mean(axis=0), rtol=1e-9, atol=1e-12)
    prediction = loaded.predict(structures[0])
    assert prediction.forces is not None
    assert prediction.forces.raw is not None
    assert (prediction.forces.raw > 0.0).all()
    assert prediction.energy.raw is not None
    assert prediction.energy.raw > 0.0


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", "after"),
        ("dropout_rate 0.1\n", "during"),
        ("dropout_masks 2\n", "during"),
        ("mc_dropout after\ndropout_rate 0.1\n", "after"),
        ("mc_dropout during\n", "during"),
    ],
)
def test_when_nodes_are_dropped(source: Path, tmp_path: Path, lines: str, expected: str) -> None:
    folder = twin(source, tmp_path / "when", "epochs 3\n" + lines)
    assert load_settings(folder / "input.nn", 2).dropout.mc_dropout == expected


def test_finetuning_needs_dropout_in_training(source: Path, tmp_path: Path) -> None:
    folder = twin(source, tmp_path / "both", "epochs 3\nmc_dropout after\nfinetune nll\n")
    result = invoke(folder, 2)
    assert result.exit_code != 0
    assert "`mc_dropout` is `after`, but finetune trains the samples" in " ".join(result.output.split())
