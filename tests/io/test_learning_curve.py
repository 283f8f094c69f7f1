"""learning-curve.out: n2p2's columns, appended safely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnnp.errors import InputError, OutputError
from bnnp.io.learning_curve import COLUMNS, LearningCurve, read_learning_curve
from bnnp.units import METAL


def test_columns_are_n2p2_s(tmp_path: Path) -> None:
    path = tmp_path / "learning-curve.out"
    curve = LearningCurve(path, METAL, "a comment")
    curve.start([(0, np.arange(12.0))])
    curve.add(1, np.arange(12.0) + 100)
    table = np.loadtxt(path)
    assert table.shape == (2, 13)
    np.testing.assert_array_equal(table[1], [1, *(np.arange(12.0) + 100)])
    columns = read_learning_curve(path)
    assert columns["RMSEpa_Etrain_pu"][0] == table[0, 1]  # column 2
    assert columns["RMSEpa_Etest_pu"][0] == table[0, 2]
    assert columns["RMSE_Ftrain_pu"][0] == table[0, 9]  # column 10
    assert columns["RMSE_Ftest_pu"][0] == table[0, 10]
    assert all(line.startswith("#") for line in path.read_text().splitlines()[:4])


def test_normalised_potentials_have_internal_units_too(tmp_path: Path) -> None:
    path = tmp_path / "learning-curve.out"
    LearningCurve(path, METAL, "", internal=(2.0, 5.0)).start([(3, np.ones(12))])
    row = np.loadtxt(path)
    np.testing.assert_array_equal(row, [3, *np.ones(12), *np.full(8, 2.0), *np.full(4, 5.0)])
    assert len(read_learning_curve(path)) == len(COLUMNS) + 1


def test_missing_errors_are_nan_and_restart_replaces(tmp_path: Path) -> None:
    path = tmp_path / "learning-curve.out"
    curve = LearningCurve(path, METAL, "")
    curve.start([(0, np.full(12, np.nan))])
    assert np.isnan(read_learning_curve(path)["MAE_Ftest_pu"]).all()
    curve.start([(7, np.zeros(12))])
    np.testing.assert_array_equal(read_learning_curve(path)["epoch"], [7])


def test_only_the_root_writes(tmp_path: Path) -> None:
    path = tmp_path / "learning-curve.out"
    curve = LearningCurve(path, METAL, "", enabled=False)
    curve.start([(0, np.zeros(12))])
    curve.add(1, np.zeros(12))
    assert not path.exists()


def test_bad_places_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        LearningCurve(tmp_path / "no" / "learning-curve.out", METAL, "").add(0, np.zeros(12))
    (tmp_path / "learning-curve.out").write_text("# epoch\n 1 2 3\n")
    with pytest.raises(InputError, match="13 numbers"):
        read_learning_curve(tmp_path / "learning-curve.out")
