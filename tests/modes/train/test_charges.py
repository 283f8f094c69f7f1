"""Mode 2 of a potential with charges through the executable: both stages, files, restart, ensembles."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from charged_case import FIXED, INPUT, THIRD, TRAINING, labeled
from click.testing import CliRunner, Result
from signalled import run_and_signal

import bnnp
from bnnp.cli import main
from bnnp.io.descriptor_file import FILE_NAME as DESCRIPTORS
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.hardness import hardness_name, read_hardness
from bnnp.io.input_data import write_structures
from bnnp.io.prediction import read_columns
from bnnp.io.uncertainty_data import read_uncertainty
from bnnp.io.weights import weights_name
from bnnp.modes.calibrate.sets import structure_of
from bnnp.structure import Set

ELEMENTS = ("Na", "Cl", "Au")
CURVE = "learning-curve.out.stage-1"
MPIEXEC = Path(sys.executable).with_name("mpiexec")
IN_EACH = """
import os, sys
from bnnp.cli import main

for folder in sys.argv[1:]:
    os.chdir(folder)
    for mode in "23":
        main(["--mode", mode], standalone_mode=False)
"""
FILES = [
    *(weights_name(element, kind) for element in ELEMENTS for kind in ("weights", "weightse")),
    *map(hardness_name, ELEMENTS),
    *("scaling.data", "uncertainty.data", "uncertaintye.data"),
]


def run(folder: Path, *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(main, list(arguments))


def after_mode_1(folder: Path, text: str, charge: float = 0.7) -> Path:
    """A directory with structures that a potential of this input has labeled."""
    folder.mkdir()
    structures = labeled(folder.with_name("teacher"), charge=charge, text=text)
    write_structures(folder / "input.data", structures)
    (folder / "input.nn").write_text(text + TRAINING + "mc_samples 4\n")
    result = run(folder, "--mode", "1")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return after_mode_1(tmp_path_factory.mktemp("fourth") / "start", INPUT)


@pytest.fixture(scope="module")
def third(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return after_mode_1(tmp_path_factory.mktemp("third") / "start", THIRD)


def trained(start: Path, folder: Path, *lines: str, mode: int = 2) -> tuple[Path, Result]:
    """A copy of the directory with these lines in input.nn, after mode 2."""
    shutil.copytree(start, folder)
    given = {line.split()[0] for line in lines}
    former = (start / "input.nn").read_text().splitlines()
    kept = [line for line in former if line and line.split()[0] not in given]
    (folder / "input.nn").write_text("\n".join([*kept, *lines, ""]))
    return folder, run(folder, "--mode", str(mode))


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        pytest.param(("optimizer adam",), id="adam"),
        pytest.param(("optimizer kalman",), id="joint"),
        pytest.param(
            ("updater_type 1", "kalman_type 1", "charge_fraction 0.5", "short_force_fraction 0.05"),
            id="n2p2",
            marks=pytest.mark.slow,
        ),
        pytest.param(("optimizer lbfgs",), id="lbfgs", marks=pytest.mark.slow),
    ],
)
def test_both_stages_learn_and_mode_3_finds_what_they_found(
    start: Path, tmp_path: Path, method: tuple[str, ...]
) -> None:
    """The references are those of a potential of this kind, so that all errors fall."""
    folder, result = trained(start, tmp_path / "run", *method, "epochs 8", "learning_rate 0.01")
    assert result.exit_code == 0, result.output
    charges, energies = (np.loadtxt(folder / name) for name in (CURVE, "learning-curve.out"))
    assert charges[:, 1].min() < 0.75 * charges[0, 1]
    assert np.nanmin(energies[:, 9]) < 0.8 * energies[0, 9]
    predicted = run(folder, "--mode", "3")
    assert predicted.exit_code == 0, predicted.output
    rmse = re.search(r"charges +RMSE ([0-9.]+) e", predicted.output)
    assert rmse is not None
    columns, _, _ = read_columns(folder / "nnatoms.out")
    expected = np.sqrt(np.mean((columns["Qref"] - columns["Qnnp"]) ** 2))
    assert float(rmse[1]) == pytest.approx(expected, abs=1e-6)
    train = np.concatenate([np.arange(12 * k, 12 * k + 12) for k in range(9)])
    errors = (columns["Qref"] - columns["Qnnp"])[train]
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(charges[:, 1].min(), rel=0.3)


def test_the_third_generation_learns_charges_and_energies(third: Path, tmp_path: Path) -> None:
    """Of a teacher of its kind, from charges whose spread is known; mode 3 finds what was trained."""
    lines = ("optimizer kalman", "epochs 6", "dropout_rate 0.1", "conv_charge 1.5")
    folder, result = trained(third, tmp_path / "run", *lines)
    assert result.exit_code == 0, result.output
    assert "none of them hardnesses" in " ".join(result.output.split())
    charges, energies = (np.loadtxt(folder / name) for name in (CURVE, "learning-curve.out"))
    reference = np.concatenate([each.charges for each in bnnp.read_data(folder / "input.data")[:9]])
    spread = np.std(reference.reshape(-1, 3), axis=0)  # Na Cl Au in turn
    assert charges[:, 1].min() < 0.2 * np.sqrt(np.mean(spread**2))
    assert np.nanmin(energies[:, 9]) < 0.5 * energies[0, 9]
    predicted = run(folder, "--mode", "3")
    assert predicted.exit_code == 0, predicted.output
    assert "charge of Na" in predicted.output
    columns, _, _ = read_columns(folder / "nnatoms.out")
    errors = (columns["Qref"] - columns["Qnnp"])[: 9 * 12]
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(charges[:, 1].min(), rel=1e-6)
    found = bnnp.load(folder / "potential").predict(bnnp.read_data(folder / "input.data")[1])
    assert found.charges is not None
    assert found.charges.std is not None
    assert found.charges.std.min() > 0.0
    assert found.charges.value.sum() == pytest.approx(0.7, abs=1e-12)
    assert not list(folder.glob("hardness*"))


def test_fixed_charges_through_all_modes(tmp_path: Path) -> None:
    """The networks of the teacher, which has no charges of its own to learn, give its labels."""
    start = after_mode_1(tmp_path / "start", FIXED, charge=0.0)
    folder, result = trained(start, tmp_path / "run", "optimizer kalman", "epochs 6", "dropout_rate 0.1")
    assert result.exit_code == 0, result.output
    assert "Stage" not in result.output
    errors = np.loadtxt(folder / "learning-curve.out")
    assert np.nanmin(errors[:, 9]) < 0.5 * errors[0, 9]
    result = run(folder, "--mode", "3")
    assert result.exit_code == 0, result.output
    assert "Na +0.9, Cl -0.8, Au -0.1 e" in " ".join(result.output.split())
    columns, _, _ = read_columns(folder / "nnatoms.out")
    assert set(columns["Qnnp"]) == {0.9, -0.8, -0.1}
    (folder / "input.nn").write_text((folder / "input.nn").read_text().replace("Na 0.9", "Na 1.9"))
    for arguments in (("--check",), ("--mode", "3")):
        result = run(folder, *arguments)
        assert result.exit_code == 1
        assert "Traceback" not in result.output
    assert "the charges: input.nn" in " ".join(result.output.split())


@pytest.mark.slow
@pytest.mark.parametrize("lines", [("uncertainty hybrid",), ("finetune nll", "finetune_epochs 2")])
def test_fixed_charges_are_a_training_on_what_they_leave(lines: tuple[str, ...], tmp_path: Path) -> None:
    """With every part of the uncertainty: the same as without charges, on labels without their energy."""
    structures = labeled(tmp_path / "teacher", 45, charge=0.0, text=FIXED)
    fixed = bnnp.load(tmp_path / "teacher").model.fixed_charges
    assert fixed is not None
    parts = [fixed.energies(each) for each in structures]
    sets = [Set.TRAIN] * 30 + [Set.TEST] * 3 + [Set.CALIBRATION] * 12
    whole, rest = [], []
    for each, part, subset in zip(structures, parts, sets, strict=True):
        assert each.energy is not None
        assert each.forces is not None
        one = replace(each, subset=subset, stress=None, charges=None)
        whole.append(one)
        less = each.energy - part.energies.sum(), each.forces - part.forces
        rest.append(replace(one, energy=less[0], forces=less[1]))
    of_charges = (
        "fixed_",
        "screen_",
        "ewald_",
        "global_hidden_layers_e",
        "global_nodes_e",
        "global_activation_e",
    )
    plain = FIXED.replace("3G-HDNNP", "2G-HDNNP").splitlines()
    texts = {"whole": FIXED, "rest": "\n".join(x for x in plain if not x.startswith(of_charges)) + "\n"}
    potentials = []
    for (name, text), data in zip(texts.items(), (whole, rest), strict=True):
        folder = tmp_path / name
        folder.mkdir()
        write_structures(folder / "input.data", data)
        more = "\n".join(["mc_samples 5", "dropout_rate 0.1", "optimizer kalman", *lines, ""])
        (folder / "input.nn").write_text(text + TRAINING.replace("initial_hardness Cl 0.6\n", "") + more)
        for mode in "12":
            result = run(folder, "--mode", mode)
            assert result.exit_code == 0, result.output
        potentials.append(bnnp.load(folder))
    for one, part in zip(whole[30:33], parts[30:33], strict=True):
        found, expected = (potential.predict(one) for potential in potentials)
        assert found.forces is not None
        assert expected.forces is not None
        assert found.energy.std is not None
        assert found.energy.std > 0.0
        energy = expected.energy.value + part.energies.sum()
        assert found.energy.value == pytest.approx(energy, rel=1e-7)
        assert found.forces.value == pytest.approx(expected.forces.value + part.forces, abs=1e-6)
        assert found.energy.std == pytest.approx(expected.energy.std, rel=1e-4)
        assert found.forces.std == pytest.approx(expected.forces.std, rel=1e-4)


def test_the_files_are_those_of_one_potential(start: Path, tmp_path: Path) -> None:
    folder, result = trained(
        start,
        tmp_path / "run",
        "dropout_rate 0.1",
        "mean_energy -1.0",
        "conv_energy 2.0",
        "conv_length 1.0",
        "conv_charge 1.5",
    )
    assert result.exit_code == 0, result.output
    assert all((folder / place / name).is_file() for name in FILES for place in (".", "potential"))
    hardness = [read_hardness(folder / hardness_name(x), x) for x in ELEMENTS]
    assert hardness == pytest.approx([1.0, 0.6, 1.0], rel=0.3)  # where it began, a few steps ago
    here, there = bnnp.load(folder), bnnp.load(folder / "potential")
    one = bnnp.read_data(folder / "input.data")[1]
    first, second = here.predict(one), there.predict(one)
    assert here.samples == there.samples == 4
    assert first.energy.value == second.energy.value
    assert first.charges is not None
    assert second.charges is not None
    assert np.array_equal(first.charges.std, second.charges.std)
    assert first.charges.std.min() > 0.0
    points = np.loadtxt(next(folder.glob("trainpoints.*.out")))
    assert first.energy.value == pytest.approx(points[1, 3], rel=1e-11)
    masks = [read_uncertainty(folder / f"uncertainty{e}.data").masks.keep["Na"][1] for e in ("", "e")]
    assert masks[0].shape == (4, 6)
    assert masks[1].shape == (4, 4)
    assert not np.array_equal(masks[0][:, :4], masks[1])


@pytest.mark.slow
def test_stage_1_can_start_from_networks_and_hardnesses_that_are_there(start: Path, tmp_path: Path) -> None:
    folder, result = trained(start, tmp_path / "run", "optimizer kalman")
    assert result.exit_code == 0, result.output
    best = np.loadtxt(folder / CURVE)[:, 2].min()
    with open(folder / "input.nn", "a") as file:
        file.write("use_old_weights_charge\n")
    result = run(folder, "--mode", "2")
    assert result.exit_code == 0, result.output
    assert np.loadtxt(folder / CURVE)[0, 2] == pytest.approx(best, rel=1e-6)


@pytest.mark.slow
def test_energies_and_forces_are_calibrated_charges_stay_raw(tmp_path: Path) -> None:
    structures = labeled(tmp_path / "teacher", 32)
    sets = [Set.TRAIN] * 14 + [Set.TEST] * 4 + [Set.CALIBRATION] * 14
    folder = tmp_path / "run"
    folder.mkdir()
    chosen = [replace(each, subset=subset) for each, subset in zip(structures, sets, strict=True)]
    write_structures(folder / "input.data", chosen)
    (folder / "input.nn").write_text(INPUT + TRAINING + "mc_samples 5\noptimizer kalman\n")
    for mode in ("1", "2", "3"):
        result = run(folder, "--mode", mode)
        assert result.exit_code == 0, result.output
    potential = bnnp.load(folder)
    assert potential.calibration is not None
    found = potential.predict(structures[0])
    assert found.forces is not None
    assert found.charges is not None
    assert not np.allclose(found.forces.std, found.forces.raw)
    assert np.array_equal(found.charges.std, found.charges.raw)
    assert re.search(r"charges +RMSE .* raw sigma .* sqrt\(ZMS\)", " ".join(result.output.split()))


def test_the_calibration_reads_structures_as_they_are_in_input_data(start: Path) -> None:
    """Also their total charge, by which the charges and so the energies change."""
    structures = bnnp.read_data(start / "input.data")
    assert {each.charge for each in structures} == {0.0, 0.7}
    with DescriptorFile.open(start / DESCRIPTORS) as file:
        for number, source in enumerate(file.source.tolist()):
            found, expected = structure_of(file, number), structures[source]
            assert (found.charge, found.energy, found.pbc) == (expected.charge, expected.energy, expected.pbc)
            for name in ("numbers", "positions", "cell", "forces", "stress"):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_a_hardness_of_another_training_is_noticed(start: Path, tmp_path: Path) -> None:
    folder, _ = trained(start, tmp_path / "run")
    path = folder / hardness_name("Cl")
    path.write_text(path.read_text().replace("E-01", "E-02"))
    result = run(folder, "--mode", "3")
    assert result.exit_code == 1
    assert "the charges: input.nn, weightse or hardness files" in " ".join(result.output.split())


@pytest.mark.slow
@pytest.mark.parametrize("curve", [CURVE, "learning-curve.out"])
@pytest.mark.parametrize("name", ["start", "third"])
def test_a_training_that_was_stopped_in_either_stage_goes_on(
    name: str, tmp_path: Path, curve: str, request: pytest.FixtureRequest
) -> None:
    start: Path = request.getfixturevalue(name)
    lines = ("optimizer kalman", "epochs 4", "checkpoint_interval 1")
    whole, result = trained(start, tmp_path / "whole", *lines)
    assert result.exit_code == 0, result.output
    folder = shutil.copytree(start, tmp_path / "stopped")
    (folder / "input.nn").write_text((whole / "input.nn").read_text())
    stopped = run_and_signal(folder, 2, "SIGTERM", (curve, 2, 2000))
    assert "--restart` continues" in " ".join(stopped.stdout.split()), stopped.stdout
    result = run(folder, "--mode", "2", "--restart")
    assert result.exit_code == 0, result.output
    for file in (*FILES, CURVE, "learning-curve.out"):
        if name == "start" or not file.startswith("hardness"):
            assert (folder / file).read_bytes() == (whole / file).read_bytes(), file


@pytest.mark.slow
@pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec")
def test_two_ranks_give_what_one_gives(start: Path, third: Path, tmp_path: Path) -> None:
    """Curves of both stages, and mode 3 with the networks that two ranks have trained; one start for all."""
    cases = [(third, "adam"), (third, "kalman"), (start, "kalman")]
    pairs = []
    for number, (source, method) in enumerate(cases):
        lines = (f"optimizer {method}", "dropout_rate 0.1", "batch_size 3")
        one, result = trained(source, tmp_path / f"one_{number}", *lines)
        assert result.exit_code == 0, result.output
        many = shutil.copytree(source, tmp_path / f"two_{number}")
        (many / "input.nn").write_text((one / "input.nn").read_text())
        pairs.append((one, many))
    folders = [str(many) for _, many in pairs]
    done = subprocess.run(
        [MPIEXEC, "-n", "2", sys.executable, "-c", IN_EACH, *folders], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for one, many in pairs:
        result = run(one, "--mode", "3")
        assert result.exit_code == 0, result.output
        for name in (CURVE, "learning-curve.out"):
            curves = [np.loadtxt(each / name) for each in (many, one)]
            np.testing.assert_allclose(*curves, rtol=1e-8, atol=1e-8, err_msg=f"{many.name} {name}")
        for name in ("energy.out", "nnforces.out", "nnatoms.out"):
            of_two, of_one = (read_columns(each / name)[0] for each in (many, one))
            for column, values in of_one.items():
                message = f"{many.name} {name} {column}"
                np.testing.assert_allclose(of_two[column], values, rtol=1e-7, atol=1e-9, err_msg=message)


@pytest.mark.slow
def test_members_of_an_ensemble_have_their_own_charges(start: Path, tmp_path: Path) -> None:
    folder, result = trained(start, tmp_path / "run", "ensemble_size 2", "dropout_rate 0.0", "epochs 2")
    assert result.exit_code == 0, result.output
    found = bnnp.load(folder).predict(bnnp.read_data(folder / "input.data")[0])
    assert found.charges is not None
    assert found.charges.between is not None
    assert found.charges.between.min() > 0.0


def test_the_check_finds_what_the_training_refuses(start: Path, tmp_path: Path) -> None:
    """A keyword that does not go with charges, and charges that do not add up to that of a structure."""
    folder = shutil.copytree(start, tmp_path / "run")
    text = (folder / "input.nn").read_text()
    assert "mode 2 stops" not in " ".join(run(folder, "--check").output.split())
    (folder / "input.nn").write_text(text + "transfer_from elsewhere\n")
    assert "charges cannot be transferred" in run(folder, "--check").output
    (folder / "input.nn").write_text(text)
    first, *others = bnnp.read_data(folder / "input.data")
    write_structures(folder / "input.data", [replace(first, charge=first.charge + 1.0), *others])
    shown = " ".join(run(folder, "--check").output.split())
    assert "1 structure has no charges" in shown
    assert "mode 2 stops if it trains on structures without charges" in shown


def test_a_file_of_mode_1_without_charges_is_refused(start: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(start, tmp_path / "run")
    text = (folder / "input.nn").read_text()
    (folder / "input.nn").write_text(text.replace("4G-HDNNP", "2G-HDNNP"))
    assert run(folder, "--mode", "1").exit_code == 0
    (folder / "input.nn").write_text(text)
    result = run(folder, "--mode", "2")
    assert result.exit_code == 1
    assert "symmetry_functions.h5: has no charges" in " ".join(result.output.split())
    assert "Traceback" not in result.output
