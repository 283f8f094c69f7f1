"""tools/make_reference_data.py: the same seed gives the same data, and labels that belong together."""

from __future__ import annotations

from pathlib import Path

import make_reference_data as tool
import numpy as np
import pytest
from ase.calculators.emt import EMT
from click.testing import CliRunner

from bnnp.io.ase_atoms import to_atoms
from bnnp.io.input_data import read_structures
from bnnp.structure import Set, Structure
from bnnp.units import ATOMIC, METAL

SMALL = ("-T", "300", "--compositions", "2", "--runs", "1", "--clusters", "1", "--snapshots", "2")


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "EQUILIBRATION", 10)
    monkeypatch.setattr(tool, "INTERVAL", 5)


def make(path: Path, *arguments: str) -> list[Structure]:
    result = CliRunner().invoke(tool.main, [str(path), *arguments])
    assert result.exit_code == 0, result.output
    return list(read_structures(path))


@pytest.mark.slow
def test_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        make(tmp_path / name, *SMALL, "--seed", seed)
    first, second, third = ((tmp_path / name).read_text() for name in "abc")
    assert first == second
    assert first != third


def test_what_is_made(tmp_path: Path) -> None:
    structures = make(tmp_path / "input.data", *SMALL, "--elements", "Ag", "Pd")
    bulk = [s for s in structures if s.periodic]
    clusters = [s for s in structures if not s.periodic]
    assert len(bulk) == 2 * 3 * 2  # compositions, runs with the test and the calibration run, snapshots
    assert len(clusters) == 3 * 2  # runs with those two, snapshots
    assert {frozenset(s.symbols) for s in bulk} == {frozenset({"Ag"}), frozenset({"Pd"})}
    assert all(set(s.symbols) == {"Ag", "Pd"} and s.stress is None for s in clusters)
    assert {s.info["group"] for s in clusters} == {"cluster_300K"}
    assert {(s.info["source"], s.subset) for s in bulk} == {
        ("EMT:0", Set.TRAIN),
        ("EMT:1", Set.TEST),
        ("EMT:2", Set.TRAIN),
        ("EMT:3", Set.TEST),
        ("EMT:6", Set.CALIBRATION),  # EMT:4 and 5 are clusters
        ("EMT:7", Set.CALIBRATION),
    }
    unpinned = make(tmp_path / "free.data", *SMALL, "--test-runs", "0")
    assert {s.subset for s in unpinned} == {None}


def test_labels_belong_to_the_positions_in_the_file(tmp_path: Path) -> None:
    """Forces and stress of the file are derivatives of EMT's energy, by central differences."""
    structure = next(s for s in make(tmp_path / "input.data", *SMALL) if s.periodic)
    assert structure.forces is not None
    assert structure.stress is not None

    def energy(shift: float, strain: float) -> float:
        atoms = to_atoms(structure, METAL)
        atoms.positions[0, 1] += shift
        atoms.set_cell(atoms.cell.array * np.array([1.0, 1.0 + strain, 1.0]), scale_atoms=True)
        atoms.calc = EMT()
        return atoms.get_potential_energy()

    step = 1e-4
    assert energy(0, 0) == pytest.approx(structure.energy, rel=1e-12)
    force = -(energy(step, 0) - energy(-step, 0)) / (2 * step)
    stress = (energy(0, step) - energy(0, -step)) / (2 * step * structure.volume)
    assert structure.forces[0, 1] == pytest.approx(force, abs=1e-6)
    assert structure.stress[1] == pytest.approx(stress, abs=1e-6)


@pytest.mark.slow
def test_units(tmp_path: Path) -> None:
    metal = make(tmp_path / "metal.data", *SMALL)[0]
    atomic = make(tmp_path / "atomic.data", *SMALL, "--units", "atomic")[0]
    np.testing.assert_allclose(atomic.positions * ATOMIC.angstrom, metal.positions, rtol=1e-12)
    assert atomic.energy * ATOMIC.ev == pytest.approx(metal.energy)


def test_unknown_metal(tmp_path: Path) -> None:
    result = CliRunner().invoke(tool.main, [str(tmp_path / "a.data"), "--elements", "Cu", "Fe"])
    assert result.exit_code == 1
    assert "EMT knows the fcc metals" in result.output
