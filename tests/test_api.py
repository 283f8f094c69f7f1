"""The calls for notebooks: the same numbers as the modes, and an import that costs nothing."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk

import bnnp
from bnnp.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
CASE = ROOT / "inputs" / "quickstart"


@pytest.mark.slow
def test_import_is_cheap() -> None:
    """No numpy, torch or ase behind `import bnnp`, and every name of __all__ is there when asked for."""
    code = (
        "import sys, bnnp; heavy = {'numpy', 'torch', 'ase', 'h5py', 'bnnp.core'} & set(sys.modules);"
        "assert not heavy, heavy; assert set(bnnp.__all__) <= set(dir(bnnp));"
        "[getattr(bnnp, name) for name in bnnp.__all__]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = bnnp.laod


def test_symmetry_functions_of_structures_and_atoms() -> None:
    structures = bnnp.read_data(CASE / "input.data")[:2]
    values = bnnp.symmetry_functions(structures, CASE / "input.nn")
    assert [len(v) for v in values] == [len(s) for s in structures]
    (again,) = bnnp.symmetry_functions(structures[1], CASE / "input.nn")
    np.testing.assert_array_equal(values[1], again)


def test_symmetry_function_of_a_crystal_by_hand(tmp_path: Path) -> None:
    """Type 1, sum of the cosine cutoff: 12 nearest neighbors of an fcc crystal, lengths from Angstrom to
    bohr."""
    (tmp_path / "input.nn").write_text(
        "number_of_elements 1\nelements Cu\ncutoff_type 1\nsymfunction_short Cu 1 Cu 6.0\n"
    )
    crystal = bulk("Cu", cubic=True)
    distance = 3.61 / np.sqrt(2) / units.Bohr
    (values,) = bnnp.symmetry_functions(crystal, tmp_path / "input.nn")
    expected = 12 * 0.5 * (np.cos(np.pi * distance / 6.0) + 1.0)
    np.testing.assert_allclose(values, np.full((4, 1), expected), rtol=1e-12)
    with pytest.raises(InputError, match="element Au is not among the elements of input.nn, Cu"):
        bnnp.symmetry_functions([bulk("Au")], tmp_path / "input.nn")


def test_load_says_what_a_potential_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no input.nn. A potential is a directory"):
        bnnp.load(tmp_path)
    with pytest.raises(InputError, match="is a file, expected a directory"):
        bnnp.load(CASE / "input.nn")


def test_reference_potential_survives_pickling(shared: Path) -> None:
    folder = shared / "reference" / "water_28"
    potential = bnnp.load(folder)
    structure = bnnp.read_data(folder / "input.data")[0]
    first, second = (p.predict(structure) for p in (potential, pickle.loads(pickle.dumps(potential))))
    assert first.energy.value == second.energy.value
    np.testing.assert_array_equal(first.forces.value, second.forces.value)
