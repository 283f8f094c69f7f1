"""Files of a potential: read and written again they are the same bytes; what does not fit is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnnp.errors import InputError, StaleFileError
from bnnp.io.calibration_section import CalibrationData, checksums
from bnnp.potential.files import PotentialFiles, read_members, write_directory
from bnnp.potential.loading import assemble, load, read_potential
from bnnp.settings.settings import load_settings
from bnnp.structure import Structure
from bnnp.uncertainty.calibration import Calibration, Quantity
from bnnp.uncertainty.maps import Quadratic
from bnnp.uncertainty.training_statistics import TrainingStatistics

NAMES = ("scaling.data", "uncertainty.data", "weights.032.data", "weights.052.data")
MOLECULE = Structure(np.array([32, 52, 52]), np.array([[0.0, 0, 0], [2.5, 0, 0], [0, 2.7, 0.3]]))


def read(folder: Path) -> PotentialFiles:
    (files,) = read_members(folder, load_settings(folder / "input.nn", 3))
    return files


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in NAMES}


def calibration(files: PotentialFiles) -> CalibrationData:
    """Twice the raw sigma of the energy, thrice that of the forces."""
    energy, force = (Quantity(Quadratic(0.0, a, 0.0, 0.1), np.ones(1), {68: 1.0}) for a in (4.0, 9.0))
    kind = Calibration("mc", energy, dict.fromkeys(files.networks, force), None, 5, 40)
    return CalibrationData("mc", checksums([files.networks]), {"mc": kind})


def test_factors_of_the_calibration(folder: Path) -> None:
    """Beyond the data of the fit: 2 of energies, and of forces the root mean square over the elements."""
    files = read(folder)
    data = calibration(files)
    first, second = files.networks
    quantities = {
        x: Quantity(Quadratic(0.0, a, 0.0, 0.1), np.ones(1), {}) for x, a in ((first, 1.0), (second, 49.0))
    }
    kinds = {"mc": replace(data.kinds["mc"], forces=quantities)}
    files.with_calibration(replace(data, kinds=kinds)).write(folder)
    potential = load(folder)
    assert potential.spread_factor == pytest.approx(2.0)
    assert potential.deviation_factor == pytest.approx(5.0)
    read(folder).write(folder)


def statistics(files: PotentialFiles) -> dict[str, TrainingStatistics]:
    rng = np.random.default_rng(2)
    return {
        x: TrainingStatistics.of(
            rng.random((9, network.n_inputs)), rng.random((9, network.sizes[-1])), np.arange(9)
        )
        for x, network in files.networks.items()
    }


def test_what_is_read_is_written_byte_by_byte(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    files = read(folder)
    whole = files.with_statistics(statistics(files)).with_calibration(calibration(files))
    whole.write(folder)
    other = tmp_path_factory.mktemp("other")
    read(folder).write(other)
    assert contents(other) == contents(folder)
    text = (folder / "uncertainty.data").read_text()
    assert 0 < text.index("[masks]") < text.index("[domain]") < text.index("[calibration]")
    lines = {text.splitlines()[1] for name in NAMES if (text := (folder / name).read_text())}
    assert sum(line.startswith("# potential functions:") for line in lines) == 1  # one line, in all headers


def test_a_new_calibration_takes_the_place_of_the_former_one(folder: Path) -> None:
    files = read(folder).with_calibration(calibration(read(folder)))
    files.write(folder)
    before = contents(folder)
    again = read(folder)
    again.with_calibration(calibration(again)).write_calibration(folder)
    assert contents(folder) == before


def test_calibration_goes_into_the_directory_of_the_same_potential_only(folder: Path) -> None:
    files = read(folder)
    write_directory(folder / "potential", [files])
    calibrated = files.with_calibration(calibration(files))
    calibrated.write_calibration(folder)
    copy = folder / "potential" / "uncertainty.data"
    assert copy.read_bytes() == (folder / "uncertainty.data").read_bytes()
    assert b"[calibration]" in copy.read_bytes()
    network = files.networks["Ge"]
    other = replace(network, biases=(network.biases[0] + 1.0, *network.biases[1:]))
    replace(files, networks={**files.networks, "Ge": other}).write(folder / "potential")
    before = copy.read_bytes()
    calibrated.write_calibration(folder)
    assert copy.read_bytes() == before


def test_a_line_that_was_removed_stays_away(folder: Path) -> None:
    for name in NAMES:
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(line for line in lines if not line.startswith("# potential")))
    before = contents(folder)
    files = read(folder)
    assert not files.marked
    files.write(folder)
    assert contents(folder) == before


def test_statistics_and_calibration_reach_the_potential(folder: Path) -> None:
    settings = load_settings(folder / "input.nn", 3)
    raw = load(folder).predict(MOLECULE)
    files = read(folder)
    files = files.with_statistics(statistics(files)).with_calibration(calibration(files))
    found = assemble([files], settings).predict(MOLECULE)
    assert found.energy.std == pytest.approx(2.0 * raw.energy.raw, rel=1e-12)
    np.testing.assert_allclose(found.forces.std, 3.0 * raw.forces.raw, rtol=1e-12)
    assert found.parts.energy.shape == (1,)  # of kind mc: no last layer, no distance
    bare = assemble([files], settings, calibrated=False)
    assert bare.calibration is None
    assert bare.predict(MOLECULE).parts.energy.shape == (5,)


def test_samples_that_are_not_wanted_need_no_masks(folder: Path) -> None:
    (folder / "uncertainty.data").write_text("damaged")
    settings = load_settings(folder / "input.nn", 3)
    assert read_potential(folder, settings, samples=0).samples == 1
    with pytest.raises(InputError, match=r"uncertainty.data line 1"):
        read_potential(folder, settings)


def test_plain_networks_have_no_masks_and_leave_no_former_ones(folder: Path) -> None:
    files = replace(read(folder), uncertainty=None)
    files.write(folder)
    assert not (folder / "uncertainty.data").exists()
    with pytest.raises(InputError, match="no uncertainty.data here that could hold a calibration"):
        files.with_calibration(calibration(files))


def test_fitted_energies_are_those_of_scaling_data(folder: Path) -> None:
    alone = Structure(np.array([32]), np.zeros((1, 3)))
    found = load(folder).predict(alone)
    assert found.offset == -1.5
    write_directory(folder / "potential", [read(folder)])
    assert "atom_energy Ge -1.5\natom_energy Te 0.25\n" in (folder / "potential" / "input.nn").read_text()
    assert load(folder / "potential").predict(alone).energy.value == found.energy.value


def test_members_of_two_trainings_are_refused(folder: Path) -> None:
    files = read(folder)
    table = files.scalings.scalings["Ge"]
    other = replace(
        files.scalings,
        scalings={**files.scalings.scalings, "Ge": replace(table, maximum=table.maximum + 1.0)},
    )
    (folder / "member_02").mkdir()
    replace(files, scalings=other).write(folder / "member_02")
    (folder / "input.nn").write_text((folder / "input.nn").read_text() + "ensemble_size 2\n")
    with pytest.raises(StaleFileError, match="member_02/scaling.data differs"):
        load(folder)
    files.write(folder / "member_02")
    assert load(folder, samples=7).sizes == (4, 4)
    assert load(folder, samples=0).sizes == (1, 1)
