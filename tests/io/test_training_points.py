"""trainpoints and trainforces: columns of RuNNer's newer layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnnp.io.training_points import forces_name, points_name, write_forces, write_points
from bnnp.units import ATOMIC


def test_points_have_index_atoms_reference_prediction_difference(tmp_path: Path) -> None:
    path = tmp_path / points_name("train", 3)
    assert path.name == "trainpoints.000003.out"
    write_points(path, ATOMIC, [(4, 216, -35580.25, -35580.5)])
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("#")
    np.testing.assert_array_equal(np.loadtxt(path), [5, 216, -35580.25, -35580.5, 0.25])


def test_forces_have_one_line_an_atom(tmp_path: Path) -> None:
    path = tmp_path / forces_name("test", 12)
    assert path.name == "testforces.000012.out"
    reference = np.arange(6.0).reshape(2, 3)
    write_forces(path, ATOMIC, [(0, reference, -reference)])
    table = np.loadtxt(path)
    np.testing.assert_array_equal(table[:, :2], [[1, 1], [1, 2]])
    np.testing.assert_array_equal(table[:, 2:5], reference)
    np.testing.assert_array_equal(table[:, 5:], -reference)
