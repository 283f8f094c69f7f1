"""bnnp plot symmetry: shapes are the formulas, and the pictures appear for what mode 1 wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import plot as tool
import pytest
from click.testing import CliRunner
from plotting.symmetry import angular_curve, distinct, radial_curve

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import parse_function
from bnnp.io.input_data import write_structures
from bnnp.structure import Structure

COSINE = Cutoff(1)


def function(text: str):  # noqa: ANN201
    return parse_function(text.split())


def test_radial_curve_is_the_formula_of_a_dimer() -> None:
    """exp(-eta (r - r_s)^2) (cos(pi r / r_c) + 1) / 2, J. Behler, J. Chem. Phys. 134, 074106 (2011)."""
    r, values = radial_curve(function("Cu 2 Cu 0.3 2.5 6.0"), COSINE)
    expected = np.exp(-0.3 * (r - 2.5) ** 2) * 0.5 * (np.cos(np.pi * r / 6.0) + 1.0)
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-15)
    assert r[-1] == 6.0


@pytest.mark.parametrize(("lambda_", "zeta"), [(1, 1), (-1, 4)])
def test_wide_angular_curve_is_the_angular_factor(lambda_: int, zeta: int) -> None:
    """Without r_jk the distances are constant: (1 + lambda cos theta)^zeta over its maximum is left."""
    theta, values = angular_curve(function(f"Cu 9 Cu Cu 0.05 {lambda_} {zeta} 6.0"), COSINE)
    expected = (1.0 + lambda_ * np.cos(np.radians(theta))) ** zeta
    np.testing.assert_allclose(values, expected / expected.max(), rtol=1e-10, atol=1e-14)
    assert 0.0 < theta[0] < 1.0
    assert 179.0 < theta[-1] < 180.0


def test_narrow_angular_curve_has_the_third_distance() -> None:
    theta, values = angular_curve(function("Cu 3 Cu Au 0.02 1 2 6.0"), COSINE)
    r_jk = 2.0 * 3.0 * np.sin(np.radians(theta) / 2.0)
    factor = np.exp(-0.02 * r_jk**2) * 0.5 * (np.cos(np.pi * np.minimum(r_jk, 6.0) / 6.0) + 1.0)
    expected = (1.0 + np.cos(np.radians(theta))) ** 2 * factor
    np.testing.assert_allclose(values, expected / expected.max(), rtol=1e-9, atol=1e-14)


def test_functions_that_differ_by_neighbors_are_drawn_once() -> None:
    texts = ("Cu 2 Cu 0.1 0 6", "Cu 2 Au 0.1 0 6", "Cu 2 Au 0.2 0 6", "Cu 3 Cu Au 0.1 1 1 6", "Cu 12 0.1 0 6")
    functions = [function(text) for text in texts]
    assert [f.type for f in distinct(functions, angular=False)] == [2, 2, 12]
    assert len(distinct(functions, angular=True)) == 1


INPUT = """number_of_elements 2
elements Cu Au
units metal
cutoff_type 2
derivatives recomputed
test_fraction 0
global_symfunction_short 2 0.1 0.0 5.0
global_symfunction_short 20 1.0 5.0 p2
element_symfunction_short Cu 22 0.5 5.0 0 180 p2
"""


@pytest.mark.slow
def test_pictures_of_every_element(tmp_path: Path) -> None:
    """One element without angular functions, one whose function never varies."""
    rng = np.random.default_rng(3)
    start = np.array([[0.0, 0, 0], [2.5, 0, 0], [0, 2.5, 0], [0, 0, 2.5]])
    structures = [
        Structure(
            np.array([29, 79, 29, 79]), start + 0.1 * rng.normal(size=(4, 3)), None, -1.0, np.zeros((4, 3))
        )
        for _ in range(5)
    ]
    (tmp_path / "input.nn").write_text(INPUT)
    write_structures(tmp_path / "input.data", structures)
    missing = CliRunner().invoke(tool.main, ["symmetry", str(tmp_path)])
    assert missing.exit_code == 1
    assert "mode 1" in missing.output
    subprocess.run(
        [sys.executable, "-m", "bnnp", "--mode", "1"], cwd=tmp_path, check=True, capture_output=True
    )
    result = CliRunner().invoke(tool.main, ["symmetry", str(tmp_path), "--out", str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    (tmp_path / "taken").write_text("")
    refused = CliRunner().invoke(tool.main, ["symmetry", str(tmp_path), "--out", str(tmp_path / "taken")])
    assert refused.exit_code == 1
    assert "ERROR: taken: cannot be written in" in refused.output
    stems = [f"symmetry_{kind}_{e}" for kind in ("shapes", "distributions") for e in ("Cu", "Au")]
    for stem in stems:
        assert (tmp_path / "new" / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "new" / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
