"""learning-curve.out: n2p2's columns, appended safely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnnp.errors import OutputError
from bnnp.io.learning_curve import COLUMNS, LearningCurve
from bnnp.units import METAL


def test_columns_are_n2p2_s(tmp_path: Path) -> None:
    path = tmp_path / "learning-curve.out"
    curve = LearningCurve(path, METAL, "a comment")
    curve.start([(0, np.arange(12.0))])
    curve.add(1, np.arange(12.0) + 100)
    table = np.loadtxt(path)
    assert table.shape == (2, 13)
    np.testing.assert_array_equal(table[1], [1, *(np.arange(12.0) + 100)])
    *head, names = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert len(head) == 3
    assert names[1:].split() == ["epoch", *(f"{column}_pu" for column in COLUMNS)]
    assert names[1:].split()[1:3] == ["RMSEpa_Etrain_pu", "RMSEpa_Etest_pu"]  # columns 2 and 3
    assert names[1:].split()[9:11] == ["RMSE_Ftrain_pu", "RMSE_Ftest_pu"]  # columns 10 and 11


def test_normalized_potentials_have_internal_units_too(tmp_path: Path) -> None:
    path = tmp_path / "learning-curve.out"
    LearningCurve(path, METAL, "", internal=(2.0, 5.0)).start([(3, np.ones(12))])
    row = np.loadtxt(path)
    np.testing.assert_array_equal(row, [3, *np.ones(12), *np.full(8, 2.0), *np.full(4, 5.0)])


def test_missing_errors_are_nan_and_restart_replaces(tmp_path: Path) -> None:
    path = tmp_path / "learning-curve.out"
    curve = LearningCurve(path, METAL, "")
    curve.start([(0, np.full(12, np.nan))])
    assert np.isnan(np.loadtxt(path)[1:]).all()
    curve.start([(7, np.zeros(12))])
    np.testing.assert_array_equal(np.loadtxt(path), [7, *np.zeros(12)])


def test_only_the_root_writes(tmp_path: Path) -> None:
    path = tmp_path / "learning-curve.out"
    curve = LearningCurve(path, METAL, "", enabled=False)
    curve.start([(0, np.zeros(12))])
    curve.add(1, np.zeros(12))
    assert not path.exists()


def test_bad_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="learning-curve.out"):
        LearningCurve(tmp_path / "no" / "learning-curve.out", METAL, "").add(0, np.zeros(12))
