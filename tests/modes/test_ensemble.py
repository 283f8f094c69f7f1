"""``ensemble_size`` through the executable: members, restart, bootstrap, prediction with both parts."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_train import alloys, invoke, prepare, twin

from bnnp.io.input_data import StructureFile
from bnnp.loader import load, read_potential
from bnnp.settings import load_settings

SETTINGS = "dropout_rate {rate}\nepochs 4\nbatch_size 2\nensemble_size {size}\n"
FILES = ("weights.029.data", "weights.079.data", "scaling.data", "uncertainty.data")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which an ensemble of three has been trained."""
    made = prepare(tmp_path_factory.mktemp("ensemble") / "run", SETTINGS.format(rate=0.1, size=3), alloys(16))
    result = invoke(made, 2)
    assert result.exit_code == 0, result.output
    assert "Ensemble: member_02" in result.output
    return made


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
    values = {**single.values, "ensemble_size": 1}
    alone = replace(single, values=values)
    places = (folder, folder / "member_02", folder / "member_03")
    members = [read_potential(place, alone, samples=10) for place in places]
    structure = next(iter(StructureFile(folder / "input.data")))
    found, parts = ensemble.predict(structure), [m.predict(structure) for m in members]
    assert found.energy == pytest.approx(np.mean([p.energy for p in parts]), rel=1e-12)
    np.testing.assert_allclose(found.forces, np.mean([p.forces for p in parts], axis=0), atol=1e-10)
    np.testing.assert_allclose(found.stress, np.mean([p.stress for p in parts], axis=0), atol=1e-12)
    within = np.mean([p.energy_std**2 for p in parts])
    between = np.var([p.energy for p in parts], ddof=1)
    assert found.energy_between == pytest.approx(np.sqrt(between), rel=1e-9)
    assert found.energy_std == pytest.approx(np.sqrt(within + between), rel=1e-9)
    within = np.mean([p.forces_std**2 for p in parts], axis=0)
    between = np.var([p.forces for p in parts], axis=0, ddof=1)
    np.testing.assert_allclose(found.forces_between, np.sqrt(between), atol=1e-8)
    np.testing.assert_allclose(found.forces_std, np.sqrt(within + between), atol=1e-8)
    sample = ensemble.member(13)
    np.testing.assert_allclose(
        sample.predict(structure).forces, members[1].member(3).predict(structure).forces
    )
    with pytest.raises(IndexError, match="30 samples"):
        ensemble.member(30)


def test_potential_directory_has_all_members(folder: Path) -> None:
    assert not (folder / "potential" / "member_02" / "input.nn").exists()
    structure = next(iter(StructureFile(folder / "input.data")))
    here = read_potential(folder, load_settings(folder / "input.nn", 3))
    there = load(folder / "potential", samples=30)
    assert there.sizes == here.sizes
    assert there.predict(structure).energy == here.predict(structure).energy
    copied = there.replace(threads=1)
    assert copied.predict(structure).energy_std == there.predict(structure).energy_std


def test_mode_3_shows_both_parts(folder: Path) -> None:
    result = invoke(folder, 3)
    assert result.exit_code == 0, result.output
    assert "3 networks with 10 + 10 + 10 samples" in result.output
    assert re.search(r"energies \d+\.\d+ within and \d+\.\d+ meV/atom between", result.output)
    rows = np.loadtxt(folder / "energy.out")
    assert rows.shape[1] == 8
    assert "3 networks, 30 Monte Carlo samples" in (folder / "energy.out").read_text().splitlines()[0]


def test_ensemble_without_dropout_has_the_spread_of_its_networks(folder: Path, tmp_path: Path) -> None:
    made = twin(folder, tmp_path / "plain", SETTINGS.format(rate=0, size=2))
    assert invoke(made, 2).exit_code == 0
    potential = read_potential(made, load_settings(made / "input.nn", 3))
    assert potential.sizes == (1, 1)
    found = potential.predict(next(iter(StructureFile(made / "input.data"))))
    assert found.energy_std == found.energy_between
    assert found.energy_std > 0.0
    assert invoke(made, 3).exit_code == 0


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
