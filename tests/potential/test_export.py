"""Exports that need no other program; those that are run in one are in tests/interfaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnnp.interfaces.export import export
from bnnp.potential.loading import load
from bnnp.structure import Structure

MOLECULE = Structure(np.array([32, 52, 52]), np.array([[0.0, 0, 0], [2.5, 0, 0], [0, 2.7, 0.3]]))


@pytest.mark.parametrize("program", ["bnnp", "hdnnp"])
def test_fitted_free_atom_energies_are_exported(folder: Path, tmp_path: Path, program: str) -> None:
    """Those that mode 2 has fitted are in scaling.data, not in the input.nn that is exported."""
    target = tmp_path / "out"
    export(program, target, folder / "input.nn")
    if program == "hdnnp":  # n2p2 knows no keyword for the units
        (target / "input.nn").write_text("units metal\n" + (target / "input.nn").read_text())
    samples = None if program == "bnnp" else 0
    expected, found = load(folder, samples).predict(MOLECULE), load(target, samples).predict(MOLECULE)
    assert found.energy.value == pytest.approx(expected.energy.value, rel=1e-13)
    assert found.offset == -1.5 + 2 * 0.25


def test_all_masks_are_exported_whatever_mc_samples_says(folder: Path, tmp_path: Path) -> None:
    (folder / "input.nn").write_text((folder / "input.nn").read_text() + "mc_samples 2\n")
    export("bnnp", tmp_path / "out", folder / "input.nn")
    assert (tmp_path / "out" / "uncertainty.data").read_bytes() == (folder / "uncertainty.data").read_bytes()
