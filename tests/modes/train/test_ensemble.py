"""``ensemble_size`` through the executable: members, restart, bootstrap, prediction with both parts."""

from __future__ import annotations

import contextlib
import copy
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from click.testing import CliRunner
from signalled import run_and_signal
from test_train import alloys, epochs_done, invoke, prepare, twin

from bnnp import BNNP
from bnnp.cli import main
from bnnp.io.ase_atoms import to_atoms
from bnnp.io.input_data import StructureFile
from bnnp.io.md_out import read_md_out
from bnnp.potential.loading import load, read_potential
from bnnp.potential.member import Member
from bnnp.settings.settings import load_settings
from bnnp.units import ATOMIC

SETTINGS = "dropout_rate {rate}\nepochs 4\nbatch_size 2\nensemble_size {size}\n"
FILES = ("weights.029.data", "weights.079.data", "scaling.data", "uncertainty.data")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which an ensemble of three has been trained."""
    made = prepare(tmp_path_factory.mktemp("ensemble") / "run", SETTINGS.format(rate=0.1, size=3), alloys(16))
    result = invoke(made, 2)
    assert result.exit_code == 0, result.output
    assert "Ensemble: member_02" in result.output
    assert result.output.count("Next: ") == 1
    return made


@pytest.mark.slow
def test_members_are_trainings_with_other_seeds(folder: Path, tmp_path: Path) -> None:
    """The second is what random_seed + 1 gives alone, byte for byte."""
    alone = twin(folder, tmp_path / "alone", SETTINGS.format(rate=0.1, size=1))
    text = (alone / "input.nn").read_text()
    (alone / "input.nn").write_text(text.replace("random_seed 11", "random_seed 12"))
    assert invoke(alone, 2).exit_code == 0
    for name in FILES:
        assert (folder / "member_02" / name).read_bytes() == (alone / name).read_bytes()
        assert (folder / "member_03" / name).read_bytes() != (
            alone / name
        ).read_bytes() or name == "scaling.data"


def test_prediction_is_the_mean_over_all_and_its_variance_has_two_parts(folder: Path) -> None:
    ensemble = read_potential(folder, load_settings(folder / "input.nn", 3))
    assert ensemble.sizes == (10, 10, 10)  # mc_samples 30
    single = load_settings(folder / "input.nn", 3)
    alone = single.changed(ensemble_size=1)
    places = (folder, folder / "member_02", folder / "member_03")
    members = [read_potential(place, alone, samples=10) for place in places]
    structure = next(iter(StructureFile(folder / "input.data")))
    found, parts = ensemble.predict(structure), [m.predict(structure) for m in members]
    assert found.energy.value == pytest.approx(np.mean([p.energy.value for p in parts]), rel=1e-12)
    np.testing.assert_allclose(
        found.forces.value, np.mean([p.forces.value for p in parts], axis=0), atol=1e-10
    )
    np.testing.assert_allclose(
        found.stress.value, np.mean([p.stress.value for p in parts], axis=0), atol=1e-12
    )
    within = np.mean([p.energy.std**2 for p in parts])
    between = np.var([p.energy.value for p in parts], ddof=1)
    assert found.energy.between == pytest.approx(np.sqrt(between), rel=1e-9)
    assert found.energy.std == pytest.approx(np.sqrt(within + between), rel=1e-9)
    within = np.mean([p.forces.std**2 for p in parts], axis=0)
    between = np.var([p.forces.value for p in parts], axis=0, ddof=1)
    np.testing.assert_allclose(found.forces.between, np.sqrt(between), atol=1e-8)
    np.testing.assert_allclose(found.forces.std, np.sqrt(within + between), atol=1e-8)
    sample = ensemble.member(13)
    np.testing.assert_allclose(
        sample.predict(structure).forces.value, members[1].member(3).predict(structure).forces.value
    )
    with pytest.raises(IndexError, match="30 samples"):
        ensemble.member(30)


def test_potential_directory_has_all_members(folder: Path) -> None:
    assert not (folder / "potential" / "member_02" / "input.nn").exists()
    structure = next(iter(StructureFile(folder / "input.data")))
    here = read_potential(folder, load_settings(folder / "input.nn", 3))
    there = load(folder / "potential", samples=30)
    assert there.sizes == here.sizes
    assert there.predict(structure).energy.value == here.predict(structure).energy.value
    copied = there.with_options(threads=1)
    assert copied.predict(structure).energy.std == there.predict(structure).energy.std


def test_mode_3_shows_both_parts(folder: Path) -> None:
    result = invoke(folder, 3)
    assert result.exit_code == 0, result.output
    flat = " ".join(result.output.split())
    assert "ensemble of 3 networks with 10 + 10 + 10 Monte Carlo samples; dropout" in flat
    assert "10 Monte Carlo samples of uncertainty.data" not in result.output
    assert "raw sigma (root mean square) in its parts: energies " in flat
    assert re.search(r"energies \d+\.\d+ within and \d+\.\d+ meV/atom between", flat)
    rows = np.loadtxt(folder / "energy.out")
    assert rows.shape[1] == 8
    assert "3 networks, 30 Monte Carlo samples" in (folder / "energy.out").read_text().splitlines()[0]


def test_ensemble_without_dropout_has_the_spread_of_its_networks(folder: Path, tmp_path: Path) -> None:
    made = twin(folder, tmp_path / "plain", SETTINGS.format(rate=0, size=2))
    assert invoke(made, 2).exit_code == 0
    potential = read_potential(made, load_settings(made / "input.nn", 3))
    assert potential.sizes == (1, 1)
    found = potential.predict(next(iter(StructureFile(made / "input.data"))))
    assert found.energy.std == found.energy.between
    assert found.energy.std > 0.0
    result = invoke(made, 3)
    assert result.exit_code == 0, result.output
    assert "ensemble of 2 plain networks" in result.output
    assert "without standard deviations" not in result.output


@pytest.mark.slow
def test_restart_goes_on_with_the_members_that_are_missing(folder: Path, tmp_path: Path) -> None:
    """As if the job had been killed in the second member."""
    made = tmp_path / "killed"
    shutil.copytree(folder, made)
    shutil.rmtree(made / "member_03")
    for name in FILES:
        (made / "member_02" / name).unlink()
    (made / "member_02" / "checkpoint.npz").unlink()
    assert "member 2 of 3 is not there" in " ".join(invoke(made, 3).output.split())
    result = invoke(made, 2, "--restart")
    assert result.exit_code == 0, result.output
    for number in ("member_02", "member_03"):
        for name in FILES:
            assert (made / number / name).read_bytes() == (folder / number / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_killed_in_a_member_and_restarted_is_uninterrupted(folder: Path, tmp_path: Path, name: str) -> None:
    settings = SETTINGS.format(rate=0.1, size=3).replace("epochs 4", "epochs 9\ncheckpoint_interval 3")
    whole, broken = twin(folder, tmp_path / "whole", settings), twin(folder, tmp_path / "broken", settings)
    assert invoke(whole, 2).exit_code == 0
    run_and_signal(broken, 2, name, ("member_02/learning-curve.out", 5, 200))
    assert epochs_done(broken / "member_02") == 5
    assert not (broken / "member_03" / "checkpoint.npz").exists()
    result = invoke(broken, 2, "--restart")
    assert result.exit_code == 0, result.output
    for place in (".", "member_02", "member_03"):
        for file in (*FILES, "learning-curve.out"):
            assert (broken / place / file).read_bytes() == (whole / place / file).read_bytes(), file


@pytest.mark.slow
def test_bootstrap_draws_with_replacement(folder: Path, tmp_path: Path) -> None:
    made = twin(folder, tmp_path / "boot", SETTINGS.format(rate=0.1, size=2) + "ensemble_bootstrap\n")
    assert invoke(made, 2).exit_code == 0
    assert (made / "scaling.data").read_text().splitlines()[5:] == (
        (folder / "scaling.data").read_text().splitlines()[5:]
    )
    used = [
        np.loadtxt(next(place.glob("trainpoints*")), ndmin=2)[:, 0] for place in (made, made / "member_02")
    ]
    assert len(np.unique(used[0])) < 12
    assert set(used[0]) != set(used[1])
    assert read_potential(made, load_settings(made / "input.nn", 3)).samples == 30


def test_members_of_different_trainings_are_refused(folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "mixed"
    shutil.copytree(folder, made)
    other = prepare(tmp_path / "other", SETTINGS.format(rate=0.1, size=1), alloys(16, seed=9))
    assert invoke(other, 2).exit_code == 0
    for name in FILES:
        shutil.copy(other / name, made / "member_02" / name)
    result = invoke(made, 3)
    assert result.exit_code == 1
    assert "the members are of different trainings" in " ".join(result.output.split())


class TestDynamics:
    """Molecular dynamics and ASE with the ensemble as the potential."""

    MD = (
        "md_temperature 300\nmd_ensemble nve\nmd_log_every 5\nmd_write_every 5\nmd_uncertainty_every 5\n"
        "md_guard_distance 0\nmd_guard_force 1e9\nmd_guard_temperature 1e9\nmd_guard_drift 1e9\n"
    )

    @pytest.fixture
    def dynamics(self, folder: Path, tmp_path: Path) -> Path:
        made = tmp_path / "dynamics"
        shutil.copytree(folder, made)
        with open(made / "input.nn", "a") as file:
            file.write(self.MD)
        return made

    @staticmethod
    def add(made: Path, text: str) -> None:
        with open(made / "input.nn", "a") as file:
            file.write(text)

    def test_numbers_are_those_of_the_whole_ensemble(self, dynamics: Path) -> None:
        self.add(dynamics, "md_steps 10\n")
        result = invoke(dynamics, 3)
        assert result.exit_code == 0, result.output
        flat = " ".join(result.output.split())
        assert "ensemble of 3 networks with 10 + 10 + 10 Monte Carlo samples" in flat
        assert "3 networks, 30 Monte Carlo samples" in flat
        table = read_md_out(dynamics / "md.out")
        frame = ase.io.read(dynamics / "trajectory.extxyz", 2)
        potential = read_potential(dynamics, load_settings(dynamics / "input.nn", 3))
        frame.calc = BNNP(potential, warn=False)
        ev = potential.units.ev
        assert table["E_pot"][2] * ev == pytest.approx(frame.get_potential_energy(), abs=1e-4)
        spread = frame.calc.get_property("energy_std", frame) / len(frame)
        assert table["E_std"][2] * ev == pytest.approx(spread, rel=1e-4)
        largest = frame.calc.get_property("forces_std", frame).max()
        assert table["F_std_max"][2] * ev / potential.units.angstrom == pytest.approx(largest, rel=1e-4)

    def test_continued_is_never_stopped_and_knows_all_networks(self, dynamics: Path) -> None:
        self.add(dynamics, "md_steps 20\n")
        assert invoke(dynamics, 3).exit_code == 0
        whole = (dynamics / "md.out").read_bytes()
        text = (dynamics / "input.nn").read_text()
        (dynamics / "input.nn").write_text(text.replace("md_steps 20", "md_steps 10"))
        assert invoke(dynamics, 3).exit_code == 0
        (dynamics / "input.nn").write_text(text)
        assert invoke(dynamics, 3, "--restart").exit_code == 0
        assert (dynamics / "md.out").read_bytes() == whole
        for name in FILES:
            shutil.copy(dynamics / "member_02" / name, dynamics / "member_03" / name)
        refused = invoke(dynamics, 3, "--restart")
        assert refused.exit_code == 1
        assert "made with ensemble" in refused.output

    def test_members_are_samples_of_all_networks_in_turn(self, dynamics: Path) -> None:
        """Their directories are not those of the networks."""
        self.add(dynamics, "md_steps 1\nmd_members 4\n")
        assert invoke(dynamics, 3).exit_code == 0
        potential = read_potential(dynamics, load_settings(dynamics / "input.nn", 3))
        for number, sample in enumerate((0, 10, 20, 1), start=1):
            place = dynamics / f"md_member_{number:02d}"
            frame = ase.io.read(place / "trajectory.extxyz", 0)
            frame.calc = BNNP(potential.member(sample))
            energy = read_md_out(place / "md.out")["E_pot"][0] * potential.units.ev
            assert energy == pytest.approx(frame.get_potential_energy(), abs=1e-4)
        assert not (dynamics / "member_02" / "md.out").exists()

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda calc: pickle.loads(pickle.dumps(calc))])
    def test_the_calculator_is_copied_with_all_networks(self, copied: Callable, folder: Path) -> None:
        atoms = to_atoms(next(iter(StructureFile(folder / "input.data"))), ATOMIC)
        calculator = BNNP(folder / "potential", warn=False)
        for name in ("energy", "energy_std", "forces", "forces_std"):
            expected = calculator.get_property(name, atoms)
            np.testing.assert_array_equal(copied(calculator).get_property(name, atoms), expected)

    def test_export_for_pair_style_bnnp_says_that_it_runs_one_network(
        self, folder: Path, tmp_path: Path
    ) -> None:
        target = tmp_path / "new"
        with contextlib.chdir(folder):
            result = CliRunner().invoke(main, ["--export", "bnnp", str(target)])
        assert result.exit_code == 0, result.output
        assert "pair_coeff" not in result.output
        assert "runs one network and refuses it" in result.output
        structure = StructureFile(folder / "input.data")[0]
        whole = load(folder / "potential")
        assert load(target).predict(structure).energy.value == whole.predict(structure).energy.value
        text = (target / "input.nn").read_text()
        (target / "input.nn").write_text(re.sub(r"ensemble_size.*\n", "", text))
        first = load(target)
        assert len(first.members) == 1
        networks, masks = whole.members[0].networks, first.members[0].masks
        expected = replace(whole, members=(Member(networks, masks),)).predict(structure).energy.value
        assert first.predict(structure).energy.value == expected

    def test_export_says_what_is_missing(self, folder: Path, tmp_path: Path) -> None:
        with contextlib.chdir(folder):
            result = CliRunner().invoke(main, ["--export", "hdnnp", str(tmp_path / "n2p2")])
        assert result.exit_code == 0, result.output
        text = " ".join(result.output.split())
        assert "first of the 3 members" in text
        assert "NOT the mean over all members" in text
        whole = load(folder / "potential")
        first = replace(whole, members=(Member(whole.members[0].networks),))
        exported = load(tmp_path / "n2p2")
        structure = next(iter(StructureFile(folder / "input.data")))
        assert exported.predict(structure).energy.value == pytest.approx(
            first.predict(structure).energy.value, rel=1e-10
        )
