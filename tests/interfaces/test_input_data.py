"""input.data as a file format of ASE, through the entry point of setup.cfg."""

from __future__ import annotations

import configparser
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.emt import EMT
from ase.io import formats, read, write

from bnnp.errors import InputError
from bnnp.io.input_data import read_structures

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def registered() -> None:
    """What ASE does with the entry points of installed packages, for the one in setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options.entry_points"]["ase.ioformats"].strip().splitlines()
    for line in lines:
        name, value = (word.strip() for word in line.split("="))
        if name not in formats.ioformats:
            formats.define_external_io_format(EntryPoint(name, value, "ase.ioformats"))
    assert [line.split("=")[0].strip() for line in lines] == ["bnnp-data"]


def frames() -> list[Atoms]:
    atoms = [Atoms("Cu2", [[0, 0, 0], [0, 0, z]]) for z in (2.3, 2.5, 2.7)]
    atoms[2].set_cell([8, 8, 9])
    atoms[2].pbc = True
    for frame in atoms:
        frame.calc = EMT()
        frame.get_forces()
    return atoms


@pytest.mark.parametrize(
    ("settings", "length", "energy"),
    [("random_seed 1\n", units.Bohr, units.Hartree), ("units metal\n", 1, 1)],
)
def test_written_and_read_in_the_units_of_the_input_nn(
    settings: str, length: float, energy: float, tmp_path: Path
) -> None:
    (tmp_path / "input.nn").write_text(settings)
    path = tmp_path / "input.data"
    write(path, frames())  # the format by the name of the file
    stored = list(read_structures(path))
    assert stored[1].positions[1, 2] * length == pytest.approx(2.5, rel=1e-15)
    assert stored[1].energy * energy == pytest.approx(frames()[1].get_potential_energy(), rel=1e-14)
    again = read(path, index=":")
    assert len(again) == 3
    for atoms, expected in zip(again, frames(), strict=True):
        np.testing.assert_allclose(atoms.positions, expected.positions, rtol=1e-14)
        np.testing.assert_allclose(atoms.get_forces(), expected.get_forces(), atol=1e-13)
        assert atoms.get_potential_energy() == pytest.approx(expected.get_potential_energy(), rel=1e-13)
    assert read(path).cell[2, 2] == pytest.approx(9.0)
    assert read(path, index=0).positions[1, 2] == pytest.approx(2.3)
    assert [a.positions[1, 2] for a in read(path, index=slice(1, None))] == pytest.approx([2.5, 2.7])


@pytest.mark.parametrize("name", ["output.data", "candidates.data", "test.data", "some_run.data"])
def test_every_data_file_is_read_in_the_units_beside_it(name: str, tmp_path: Path) -> None:
    """ASE's own reader of this grammar takes the numbers for bohr and hartree."""
    (tmp_path / "input.nn").write_text("units metal\n")
    write(tmp_path / name, frames())
    assert "begin" in (tmp_path / name).read_text()
    atoms = read(tmp_path / name, index=1)
    assert formats.filetype(str(tmp_path / name)) == "bnnp-data"
    assert atoms.positions[1, 2] == pytest.approx(2.5, rel=1e-14)
    assert atoms.get_potential_energy() == pytest.approx(frames()[1].get_potential_energy(), rel=1e-13)


def test_data_files_of_lammps_are_left_to_their_reader(tmp_path: Path) -> None:
    crystal = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]], cell=[8, 8, 9], pbc=True)
    write(tmp_path / "melt.data", crystal, format="lammps-data", masses=True)
    again = read(tmp_path / "melt.data", format="lammps-data")
    assert again.positions[1, 2] == pytest.approx(2.3)
    with pytest.raises(InputError, match='a data file of LAMMPS.*format="lammps-data"'):
        read(tmp_path / "melt.data")


def test_units_can_be_named_and_labels_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "some.data"
    write(path, Atoms("Cu", [[0, 0, 1.0]]), format="bnnp-data", units="metal")
    assert next(read_structures(path, require_labels=False)).positions[0, 2] == 1.0
    bohr = read(path, format="bnnp-data", units="atomic")
    assert bohr.positions[0, 2] == pytest.approx(units.Bohr)
    with pytest.raises(InputError, match="units is `angstrom`, expected one of atomic, metal"):
        read(path, format="bnnp-data", units="angstrom")
