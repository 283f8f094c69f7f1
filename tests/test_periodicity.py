"""Slabs, wires and mixed periodicity: the same as in a large vacuum, whatever way they come in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from bnnp import BNNP, load
from bnnp.cli import main
from bnnp.descriptors.neighbors import find_neighbors
from bnnp.errors import InputError
from bnnp.interfaces.ase import periodic_cell
from bnnp.io.ase_atoms import from_atoms, to_atoms
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.input_data import read_structures, write_structures
from bnnp.settings.settings import load_settings
from bnnp.structure import Structure
from bnnp.units import METAL

Array = NDArray[np.float64]
MIXED = [
    (True, True, False),
    (True, False, True),
    (False, True, True),
    (True, False, False),
    (False, False, True),
]
CUTOFF = 6.0


def slab(pbc: tuple[bool, bool, bool], seed: int = 1) -> Structure:
    """Five atoms in a skew cell that is shorter than the cutoff along all vectors."""
    rng = np.random.default_rng(seed)
    cell = np.array([[4.1, 0.3, -0.2], [-0.9, 3.9, 0.4], [0.5, 0.7, 5.2]])
    sites = np.array([[0.1, 0.0, 0.1], [0.5, 0.5, 0.2], [0.1, 0.6, 0.7], [0.6, 0.1, 0.8], [1.4, -0.4, 0.45]])
    positions = sites @ cell + rng.normal(scale=0.1, size=(5, 3))
    return Structure(np.full(5, 29), positions, cell, pbc=pbc)


def in_vacuum(structure: Structure) -> Structure:
    """Periodic along all vectors; those that were not are longer by 50 and still point where they did.

    Images of the other vectors are the same, so that atoms that are far along them stay where they are.
    """
    assert structure.cell is not None
    cell = structure.cell.copy()
    for axis in np.flatnonzero(~np.array(structure.pbc)):
        cell[axis] *= 1.0 + 50.0 / np.linalg.norm(cell[axis])
    return replace(structure, cell=cell, pbc=(True, True, True))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pbc", MIXED)
def test_neighbors_are_those_in_vacuum(pbc: tuple[bool, bool, bool], seed: int) -> None:
    structure = slab(pbc, seed)
    found = find_neighbors(structure.positions, structure.cell, CUTOFF, structure.numbers, pbc=pbc)
    large = in_vacuum(structure)
    expected = find_neighbors(large.positions, large.cell, CUTOFF, large.numbers)
    every = find_neighbors(structure.positions, structure.cell, CUTOFF, structure.numbers)
    assert len(found) == len(expected) < len(every)
    for pairs in (found, expected):
        assert (np.diff(pairs.centers) >= 0).all()

    def rows(pairs):  # noqa: ANN001, ANN202
        table = np.column_stack([pairs.centers, pairs.neighbors, pairs.vectors])
        return table[np.lexsort(np.round(table, 6).T[::-1])]

    np.testing.assert_allclose(rows(found), rows(expected), atol=1e-12)


@pytest.mark.parametrize("pbc", MIXED)
def test_predictions_are_those_in_vacuum(pbc: tuple[bool, bool, bool], solid: Path) -> None:
    """Energy, forces, virial and all sigmas; the stress is that of the volume of the given cell."""
    structure, potential = slab(pbc), load(solid)
    large = in_vacuum(structure)
    found, expected = potential.predict(structure), potential.predict(large)
    assert found.energy.value == pytest.approx(expected.energy.value, rel=1e-12)
    assert found.energy.std == pytest.approx(expected.energy.std, rel=1e-10)
    np.testing.assert_allclose(found.forces.value, expected.forces.value, atol=1e-11)
    np.testing.assert_allclose(found.forces.std, expected.forces.std, atol=1e-11)
    virial = expected.stress.value * large.volume
    np.testing.assert_allclose(found.stress.value * structure.volume, virial, atol=1e-9)
    assert (
        abs(found.energy.value - potential.predict(replace(structure, pbc=(True,) * 3)).energy.value) > 1e-3
    )


@pytest.mark.parametrize("pbc", MIXED)
def test_ase_and_input_data_agree(pbc: tuple[bool, bool, bool], solid: Path, tmp_path: Path) -> None:
    """Atoms, input.data and back: the periodicity survives, and all ways give one energy and one stress."""
    structure = replace(slab(pbc), energy=-1.5, forces=np.zeros((5, 3)), stress=np.arange(6.0))
    write_structures(tmp_path / "input.data", [structure])
    assert f'pbc="{" ".join("FT"[along] for along in pbc)}"' in (tmp_path / "input.data").read_text()
    (read,) = read_structures(tmp_path / "input.data")
    assert read.pbc == pbc
    assert "pbc" not in read.info
    np.testing.assert_array_equal(read.cell, structure.cell)
    np.testing.assert_array_equal(read.stress, structure.stress)
    atoms = to_atoms(read, METAL)
    assert atoms.pbc.tolist() == list(pbc)
    again = from_atoms(atoms, METAL)
    assert again.pbc == pbc
    np.testing.assert_allclose(again.cell, structure.cell, rtol=1e-14)
    expected = load(solid).predict(structure)
    atoms.calc = BNNP(solid, warn=False)
    assert atoms.get_potential_energy() == pytest.approx(expected.energy.value, rel=1e-12)
    np.testing.assert_allclose(atoms.get_stress(), expected.stress.value, atol=1e-11)


def test_a_slab_without_a_third_vector(solid: Path) -> None:
    """ASE's slabs may have none: one is made up, and no image is near."""
    whole = slab((True, True, False))
    atoms = to_atoms(whole, METAL)
    atoms.cell[2] = 0.0
    structure = from_atoms(atoms, METAL, labels=False)
    assert structure.pbc == (True, True, False)
    energies = [load(solid).predict(each).energy.value for each in (structure, whole)]
    assert energies[0] == pytest.approx(energies[1], rel=1e-12)
    cell, share = periodic_cell(atoms, CUTOFF)
    assert cell is not None
    assert share == np.inf


def test_a_stress_needs_a_volume() -> None:
    atoms = to_atoms(
        replace(slab((True, True, False)), energy=0.0, forces=np.zeros((5, 3)), stress=np.ones(6)), METAL
    )
    atoms.cell[2] = 0.0
    with pytest.raises(InputError, match="its cell has no volume that it could belong to"):
        from_atoms(atoms, METAL)


BLOCK = "begin\ncomment a slab {}\n{}atom 0 0 0 Cu 0 0 0 0 0\natom 1 1 2.5 Cu 0 0 0 0 0\nenergy 0\nend\n"
LATTICE = "lattice 5 0 0\nlattice 0 5 0\nlattice 0 0 5\n"


@pytest.mark.parametrize("text", ['pbc="T T F"', "pbc=TTF", 'pbc="t t f"'])
def test_ways_to_write_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "input.data").write_text(BLOCK.format(text, LATTICE))
    (found,) = read_structures(tmp_path / "input.data")
    assert found.pbc == (True, True, False)
    assert found.comment == "a slab"


def test_no_vector_that_is_repeated_is_a_molecule(tmp_path: Path) -> None:
    (tmp_path / "input.data").write_text(
        BLOCK.format('pbc="F F F"', LATTICE) + BLOCK.format('pbc="F F F"', "")
    )
    assert [found.cell for found in read_structures(tmp_path / "input.data")] == [None, None]


@pytest.mark.parametrize(
    ("text", "lattice", "message"),
    [
        ('pbc="T T"', LATTICE, "must be three letters T or F"),
        ('pbc="1 1 0"', LATTICE, "must be three letters T or F"),
        ('pbc="T T F"', "", "is given but no `lattice`"),
    ],
)
def test_mistakes(text: str, lattice: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "input.data").write_text(BLOCK.format(text, lattice))
    with pytest.raises(InputError, match=f"line 2 .*{message}"):
        list(read_structures(tmp_path / "input.data"))


INPUT = """\
units metal
number_of_elements 1
elements Cu
symfunction_short Cu 2 Cu 0.05 0.0 6.0
symfunction_short Cu 3 Cu Cu 0.01 1.0 1.0 6.0
global_hidden_layers_short 1
global_nodes_short 3
global_activation_short t l
test_fraction 0.0
use_short_forces
epochs 1
"""


@pytest.mark.parametrize("derivatives", ["stored", "recomputed"])
def test_training_sees_the_slab(derivatives: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """symmetry_functions.h5 has functions, virial, and pairs, stored or searched again, of the vacuum."""
    structures = [
        replace(slab(pbc), energy=-1.5, forces=np.zeros((5, 3)), stress=np.arange(6.0)) for pbc in MIXED
    ]
    write_structures(tmp_path / "input.data", structures)
    (tmp_path / "input.nn").write_text(f"{INPUT}derivatives {derivatives}\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["--mode", "1"])
    assert result.exit_code == 0, result.output
    model = load_settings(tmp_path / "input.nn", 2).model
    descriptor = model.descriptor()
    with DescriptorFile.open(tmp_path / "symmetry_functions.h5", model) as file:
        assert file.derivatives == derivatives
        for number, structure in enumerate(structures):
            large = in_vacuum(structure)
            pairs = find_neighbors(large.positions, large.cell, 6.0, large.numbers)
            expected = descriptor.values(np.zeros(5, dtype=np.int32), pairs)
            np.testing.assert_allclose(file.descriptors("Cu")[file.rows(number, "Cu")], expected, atol=1e-11)
            assert len(file.pairs(number)) == len(pairs)
            np.testing.assert_array_equal(file.periodic_cell(number), structure.cell)
            np.testing.assert_array_equal(file.stress[number], structure.stress)
            assert file.periodicity(number) == structure.pbc
            assert file.volume(number) == structure.volume


def test_stress_errors_of_training_are_those_of_the_potential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stress counts with the volume of the given cell, as in mode 3."""
    structures = [
        replace(slab(pbc), energy=-1.5, forces=np.eye(5, 3), stress=0.1 * np.arange(6.0)) for pbc in MIXED
    ]
    write_structures(tmp_path / "input.data", structures)
    (tmp_path / "input.nn").write_text(f"{INPUT}stress_weight 1\ndropout_rate 0\n")
    monkeypatch.chdir(tmp_path)
    for mode in ("1", "2"):
        result = CliRunner().invoke(main, ["--mode", mode])
        assert result.exit_code == 0, result.output
    (line,) = (line for line in result.output.splitlines() if line.strip().startswith("stress (GPa)"))
    potential = load(tmp_path)
    errors = [METAL.gpa * (potential.predict(each).stress.value - each.stress) for each in structures]
    assert float(line.split()[2]) == pytest.approx(np.sqrt(np.mean(np.square(errors))), abs=0.006)
