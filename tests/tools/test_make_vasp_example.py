"""tools/make_vasp_example.py: what is read back is what the potential says."""

from __future__ import annotations

from pathlib import Path

import make_vasp_example as tool
import numpy as np
import pytest
import vasp2data
from ase import Atoms
from click.testing import CliRunner
from stillinger_weber import ELEMENTS, evaluate

from bnnp.io.input_data import read_structures


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example") / "vasp"
    result = CliRunner().invoke(tool.main, [str(folder), "--frames", "4"])
    assert result.exit_code == 0, result.output
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("run", "count"), [("Si_300K", 3), ("Si_900K", 3), ("Si_1500K", 2)])
def test_labels_belong_to_the_positions(directory: Path, tmp_path: Path, run: str, count: int) -> None:
    """Energy, forces and stress of the files are those of the potential at the positions of the files.

    One of four steps is left out as not converged, and the last one of the last run is cut off. Positions
    have five digits in OUTCAR, which is an error of the forces of up to 1e-4 eV/Angstrom.
    """
    output = tmp_path / "input.data"
    result = CliRunner().invoke(vasp2data.main, ["--units", "metal", str(directory / run), str(output)])
    assert result.exit_code == 0, result.output
    structures = list(read_structures(output))
    assert len(structures) == count
    assert "electronic loop not converged" in result.output
    for structure in structures:
        energy, forces, virial = evaluate(structure.positions, structure.cell, ELEMENTS["Si"])
        assert structure.energy == pytest.approx(energy, abs=1e-3)
        np.testing.assert_allclose(structure.forces, forces, atol=5e-4)
        stress = virial / abs(np.linalg.det(structure.cell))
        np.testing.assert_allclose(
            structure.stress, stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], atol=1e-5
        )


def test_order_of_the_pressures() -> None:
    """VASP: kB, compression positive, XX YY ZZ XY YZ ZX; ASE: eV/Angstrom^3, xx yy zz yz xz xy."""

    class Known(Atoms):
        def get_stress(self) -> np.ndarray:  # type: ignore[override]
            return np.arange(1.0, 7.0)

    in_kilobar = -1602.176634 * np.array([1.0, 2.0, 3.0, 6.0, 4.0, 5.0])
    np.testing.assert_allclose(tool.kilobars(Known("Si")), in_kilobar, rtol=1e-7)


def test_existing_directory_is_kept(directory: Path) -> None:
    result = CliRunner().invoke(tool.main, [str(directory)])
    assert result.exit_code == 1
    assert "exists" in result.output
