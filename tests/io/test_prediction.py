"""Output files of mode 3: columns, one header line, signs, missing values, all or nothing."""

from __future__ import annotations

import errno
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnnp.errors import InputError, OutputError
from bnnp.io.input_data import read_structures
from bnnp.io.prediction import COLUMNS, PredictionWriter, file_names, format_prediction, read_columns
from bnnp.prediction import Estimate, Prediction
from bnnp.structure import Structure
from bnnp.uncertainty.calibration import Calibration, Quantity
from bnnp.uncertainty.hybrid import SigmaParts
from bnnp.uncertainty.maps import Quadratic
from bnnp.units import ATOMIC, METAL

STD = "raw (uncalibrated), 100 Monte Carlo samples"


@pytest.fixture
def structure() -> Structure:
    generator = np.random.default_rng(1)
    return Structure(
        np.array([32, 52, 52]),
        generator.random((3, 3)),
        4 * np.eye(3),
        energy=-6.0,
        forces=generator.random((3, 3)),
        info={"group": "melt"},
        index=4,
    )


@pytest.fixture
def prediction() -> Prediction:
    generator = np.random.default_rng(2)
    forces, std = generator.random((2, 3, 3))
    stress, stress_std = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), np.arange(0.1, 0.65, 0.1)
    return Prediction(
        Estimate(-6.6, 0.3),
        Estimate(np.array([-1.0, -2.0, -3.0]), np.full(3, 0.1)),
        Estimate(forces, std),
        Estimate(stress, stress_std),
        descriptors=forces,
        free_atoms=np.full(3, -0.2),
    )


def plain(prediction: Prediction) -> Prediction:
    names = ("energy", "atoms", "forces", "stress")
    return replace(prediction, **{name: Estimate(getattr(prediction, name).value) for name in names})


def write(folder: Path, structures: list[Structure], predictions: list[Prediction], std: str) -> None:
    names = file_names(forces=True, stress=True)
    with PredictionWriter(folder, names, ATOMIC, std) as writer:
        for structure, prediction in zip(structures, predictions, strict=True):
            writer.write(format_prediction(names, structure, prediction))


def columns(path: Path) -> tuple[list[str], np.ndarray]:
    """Names of the header and the numbers below, as a reader would get them."""
    header = path.read_text().splitlines()[0]
    assert header.startswith("# Conf. ")
    names = header[2:].split("|")[0].split()
    table = np.loadtxt(path, ndmin=2)
    assert table.shape[1] == len(names)
    return names, table


def test_energy(structure: Structure, prediction: Prediction, tmp_path: Path) -> None:
    write(tmp_path, [structure], [prediction], STD)
    names, table = columns(tmp_path / "energy.out")
    assert names[1:] == ["natoms", "Eref", "Ennp", "Ediff", "E_offset", "Ennp_std", "Ennp_std_per_atom"]
    np.testing.assert_allclose(table[0], [5, 3, -6.0, -6.6, 0.2, -0.6, 0.3, 0.1], rtol=1e-14)


def test_forces(structure: Structure, prediction: Prediction, tmp_path: Path) -> None:
    write(tmp_path, [structure], [prediction], STD)
    names, table = columns(tmp_path / "nnforces.out")
    assert names[1:] == [
        "index",
        "fxRef",
        "fyRef",
        "fzRef",
        "fx",
        "fy",
        "fz",
        "fx_std",
        "fy_std",
        "fz_std",
        "f_std",
    ]
    np.testing.assert_array_equal(table[:, :2], [[5, 1], [5, 2], [5, 3]])
    np.testing.assert_array_equal(table[:, 2:5], structure.forces)
    np.testing.assert_array_equal(table[:, 5:8], prediction.forces.value)
    np.testing.assert_array_equal(table[:, 8:11], prediction.forces.std)
    np.testing.assert_allclose(table[:, 11] ** 2, (prediction.forces.std**2).sum(axis=1), rtol=1e-14)


def test_stress_has_the_sign_of_runner_and_says_so(
    structure: Structure, prediction: Prediction, tmp_path: Path
) -> None:
    """xx yy zz yz xz xy = 1 ... 6 inside; the trace / 3 of the file is the pressure, -2."""
    write(tmp_path, [structure], [prediction], STD)
    names, table = columns(tmp_path / "nnstress.out")
    assert names[1:] == ["s_i1", "s_i2", "s_i3", "s_i1_std", "s_i2_std", "s_i3_std"]
    np.testing.assert_array_equal(table[:, 1:4], -np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]]))
    np.testing.assert_allclose(table[:, 4:], np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]]) / 10, rtol=1e-14)
    header = (tmp_path / "nnstress.out").read_text().splitlines()[0]
    assert "-(1/V) dE/d(strain)" in header
    assert "hartree/bohr^3" in header


def test_atoms(structure: Structure, prediction: Prediction, tmp_path: Path) -> None:
    write(tmp_path, [structure], [prediction], STD)
    names, table = columns(tmp_path / "nnatoms.out")
    assert names[1:] == ["index", "Z", "Qref", "Qnnp", "Eref_atom", "Ennp_atom", "Ennp_atom_std"]
    np.testing.assert_array_equal(table[:, :3], [[5, 1, 32], [5, 2, 52], [5, 3, 52]])
    assert np.isnan(table[:, 3:6]).all()
    np.testing.assert_array_equal(table[:, 6:], [[-1, 0.1], [-2, 0.1], [-3, 0.1]])


def test_headers_say_what_is_raw_and_what_is_of_an_atom_or_a_vector() -> None:
    """Beside a hybrid calibration; the meaning stays the last thing in the line, where it is read from."""
    std, raw = "calibrated (hybrid) on 40 structures", "100 Monte Carlo samples"
    headers = {name: layout.header(METAL, std, raw, hybrid=True) for name, layout in COLUMNS.items()}
    assert "; std: raw (an atomic energy has no reference" in headers["nnatoms.out"]
    assert "calibrated (" not in headers["nnatoms.out"]
    assert "E_std_MC E_std_LL E_std_d (Monte Carlo, last layer, distance) in eV/atom" in headers["energy.out"]
    assert "f_std_MC f_std_LL f_std_d (Monte" in headers["nnforces.out"].partition("of the whole vector")[2]
    for name in ("energy.out", "nnforces.out", "nnstress.out"):
        assert headers[name].partition("std: ")[2] == f"{std}; std_raw: {raw}\n"
    plain = COLUMNS["energy.out"].header(METAL, std, raw)
    assert "last layer" not in plain


def test_rows_are_as_long_where_a_quantity_has_no_calibration(
    structure: Structure, prediction: Prediction
) -> None:
    """A hybrid calibration of everything, and of one element's forces alone: the rest is NaN."""
    quantity = Quantity(Quadratic(0.1, 1.0, 0.0, 1.0), np.array([1.0, 0.5, 0.1]), {})
    parts = SigmaParts(np.ones(5), np.ones((3, 3, 5)), np.ones((6, 5)))
    whole = Calibration("hybrid", quantity, {"Ge": quantity, "Te": quantity}, quantity, 100, 40)
    some = Calibration("hybrid", None, {"Ge": quantity}, None, 100, 40)
    names, lengths = ("energy.out", "nnforces.out", "nnstress.out"), []
    for calibration in (whole, some):
        found = replace(prediction, parts=parts)
        texts = format_prediction(names, structure, found, calibration)
        lengths.append(
            {name: {len(row.split()) for row in text.splitlines()} for name, text in texts.items()}
        )
    assert lengths[0] == lengths[1]
    assert all(len(each) == 1 for each in lengths[0].values())


def test_output_data_is_input_data_with_the_prediction(
    structure: Structure, prediction: Prediction, tmp_path: Path
) -> None:
    write(tmp_path, [structure], [prediction], STD)
    (again,) = read_structures(tmp_path / "output.data")
    assert again.energy == prediction.energy.value
    np.testing.assert_array_equal(again.forces, prediction.forces.value)
    np.testing.assert_array_equal(again.stress, prediction.stress.value)
    np.testing.assert_array_equal(again.positions, structure.positions)
    assert again.info["group"] == "melt"


def test_without_samples_there_are_no_std_columns(
    structure: Structure, prediction: Prediction, tmp_path: Path
) -> None:
    write(tmp_path, [structure], [plain(prediction)], "")
    for name, count in (("energy.out", 6), ("nnforces.out", 8), ("nnstress.out", 4), ("nnatoms.out", 7)):
        names, _ = columns(tmp_path / name)
        assert len(names) == count
        assert "std" not in (tmp_path / name).read_text()


def test_meaning_of_std_is_in_every_header(
    structure: Structure, prediction: Prediction, tmp_path: Path
) -> None:
    write(tmp_path, [structure] * 2, [prediction] * 2, STD)
    for name in COLUMNS:
        lines = (tmp_path / name).read_text().splitlines()
        assert f"std: {STD}" in lines[0]
        assert not any(line.startswith("#") for line in lines[1:])


def test_missing_references_are_nan(structure: Structure, prediction: Prediction, tmp_path: Path) -> None:
    write(tmp_path, [replace(structure, energy=None, forces=None)], [prediction], STD)
    _, energy = columns(tmp_path / "energy.out")
    _, forces = columns(tmp_path / "nnforces.out")
    assert np.isnan(energy[0, [2, 4]]).all()
    assert np.isfinite(energy[0, [3, 5, 6, 7]]).all()
    assert np.isnan(forces[:, 2:5]).all()


def test_free_molecule_has_no_stress(structure: Structure, prediction: Prediction, tmp_path: Path) -> None:
    molecule = replace(structure, cell=None)
    free = replace(prediction, stress=None)
    write(tmp_path, [molecule, structure], [free, prediction], STD)
    _, table = columns(tmp_path / "nnstress.out")
    assert table.shape == (3, 7)


def test_files_not_asked_for_are_not_written() -> None:
    assert file_names(forces=False, stress=False) == ("energy.out", "nnatoms.out", "output.data")
    assert "nnstress.out" in file_names(forces=True, stress=True)


def test_units_of_the_header() -> None:
    assert "eV/Angstrom" in COLUMNS["nnforces.out"].header(METAL, "")


def test_a_failure_leaves_the_former_files(
    structure: Structure, prediction: Prediction, tmp_path: Path
) -> None:
    (tmp_path / "energy.out").write_text("former\n")
    unfinished = replace(prediction, forces=None)  # the second structure cannot be written
    with pytest.raises(AssertionError):
        write(tmp_path, [structure] * 2, [prediction, unfinished], STD)
    assert (tmp_path / "energy.out").read_text() == "former\n"
    assert [path.name for path in tmp_path.iterdir()] == ["energy.out"]


def test_unwritable_directory(tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path / "nowhere", ("energy.out",), ATOMIC)
    with pytest.raises(OutputError, match="energy.out"):
        writer.__enter__()


def test_full_disk_names_the_file_and_keeps_the_former_ones(tmp_path: Path) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "energy.out").write_text("former\n")

    def fill() -> None:
        with PredictionWriter(tmp_path, ("energy.out", "nnatoms.out"), ATOMIC) as writer:
            writer._files["energy.out"] = Full()
            writer.write({"energy.out": "1\n", "nnatoms.out": "1\n"})

    with pytest.raises(OutputError, match="energy.out: cannot be written in .*: No space left"):
        fill()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("energy.out", "former\n")]


def test_columns_are_read_by_their_names(
    tmp_path: Path, structure: Structure, prediction: Prediction
) -> None:
    """With and without standard deviations, in either unit, whatever the order in the file."""
    write(tmp_path, [structure, structure], [prediction, prediction], STD)
    table, meaning, units = read_columns(tmp_path / "energy.out")
    assert (meaning, units) == (STD, ATOMIC)
    assert [table[name].tolist() for name in ("natoms", "Ennp", "Ennp_std")] == [
        [3, 3],
        [-6.6] * 2,
        [0.3] * 2,
    ]
    np.testing.assert_allclose(table["Ediff"], 0.2, rtol=1e-15)
    table, _, units = read_columns(tmp_path / "nnforces.out")
    assert units is ATOMIC
    np.testing.assert_allclose(table["fy"], [*prediction.forces.value[:, 1]] * 2, rtol=1e-15)
    np.testing.assert_allclose(table["fzRef"], [*structure.forces[:, 2]] * 2, rtol=1e-15)
    write(tmp_path, [structure], [plain(prediction)], "")
    table, meaning, _ = read_columns(tmp_path / "energy.out")
    assert meaning == ""
    assert "Ennp_std" not in table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# Conf. natoms Eref | no unit\n1 3 0.0\n", "names 3 columns and no unit, the numbers have 3"),
        ("# Conf. natoms Eref | eV\n1 3\n", "names 3 columns and a unit, the numbers have 2"),
    ],
)
def test_columns_that_are_not_those_of_the_header(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "energy.out").write_text(text)
    with pytest.raises(InputError, match=f"energy.out: the first line {message}"):
        read_columns(tmp_path / "energy.out")
    with pytest.raises(InputError, match="nnforces.out: no such file; run `bnnp --mode 3` there first"):
        read_columns(tmp_path / "nnforces.out")
