"""md.out, frames, candidates and restart files of molecular dynamics: written, read, refused."""

from __future__ import annotations

from math import nan
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units

from bnnp.dynamics.observables import Snapshot, Uncertainty
from bnnp.errors import InputError, StaleFileError
from bnnp.io.appended import AppendedFile
from bnnp.io.input_data import read_structures
from bnnp.io.md_out import COLUMNS, header, read_md_out, row
from bnnp.io.md_restart import read_restart, write_restart
from bnnp.io.trajectory import format_candidate
from bnnp.units import ATOMIC, METAL

SEEN = Snapshot(2, 30, 45.5, 301.25, -10.0, 0.5, -9.5, 1.25, 250.0, 0.004, Uncertainty(0.004, 0.75, 6, 3))


@pytest.mark.parametrize("unit", [METAL, ATOMIC])
def test_lines_of_md_out_are_read_back(unit: object, tmp_path: Path) -> None:
    path = tmp_path / "md.out"
    quiet = Snapshot(1, 20, 30.0, 300.0, -10.0, 0.5, -9.5, nan, nan, nan)
    path.write_text(header(unit, "93", "raw, 10 samples") + row(quiet, unit) + row(SEEN, unit))
    table = read_md_out(path)
    assert tuple(table) == COLUMNS
    length, energy = (1.0, 1.0) if unit is METAL else (units.Bohr, units.Hartree)
    expected = {
        **{"step": 30, "stage": 2, "time": 45.5, "T": 301.25, "E_pot": -10.0 / energy, "E_kin": 0.5 / energy},
        **{"E_conserved": -9.5 / energy, "pressure": 1.25, "volume": 250.0 / length**3},
        **{"E_std": 0.004 / energy, "F_std_max": 0.75 * length / energy, "atom": 7, "extrapolations": 3},
    }
    for name, value in expected.items():
        assert table[name][1] == pytest.approx(value, rel=1e-6), name
    for name in ("pressure", "volume", "E_std", "F_std_max", "extrapolations"):
        assert np.isnan(table[name][0]), name


def test_what_is_no_md_out_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "md.out"
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_md_out(path)
    path.write_text("# Conf. natoms | hartree\n1 2\n")
    with pytest.raises(InputError, match="is no md.out"):
        read_md_out(path)
    path.write_text(header(METAL, "93", "") + row(SEEN, METAL)[:60] + "\n")
    with pytest.raises(InputError, match="line 2: is cut short or damaged"):
        read_md_out(path)
    path.write_text(header(METAL, "93", ""))
    assert len(read_md_out(path)["step"]) == 0


def test_candidates_are_unlabeled_wrapped_structures(tmp_path: Path) -> None:
    atoms = Atoms("CuAu", [[-1.0, 0.5, 0.5], [2.0, 9.0, 1.0]], cell=[4, 4, 4], pbc=True)
    atoms.info |= {"weight": "7", "charge": -1.0}
    path = tmp_path / "candidates.data"
    path.write_text(format_candidate(atoms, ATOMIC, "run/md:30", ["sigma 5", "8 outside"]))
    (found,) = read_structures(path, require_labels=False)
    np.testing.assert_allclose(found.positions * units.Bohr, [[3.0, 0.5, 0.5], [2.0, 1.0, 1.0]], atol=1e-12)
    assert found.energy is None
    assert found.forces is None
    assert found.charge == -1.0
    assert dict(found.info) == {"source": "run/md:30", "reason": "sigma 5, 8 outside"}
    assert atoms.positions[0, 0] == -1.0
    with pytest.raises(InputError, match="energy"):  # nobody trains on it by mistake
        list(read_structures(path))


def test_appended_files_are_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with AppendedFile(path) as file:
        file.write("one\n")
        size = file.size
        file.write("two is lost\n")
    with AppendedFile(path, size) as file:
        file.write("three\n")
        file.sync()
    assert path.read_text() == "one\nthree\n"
    with pytest.raises(StaleFileError, match="out: has 10 bytes, but 11 when the restart file was written"):
        AppendedFile(path, 11)
    with AppendedFile(path) as file:
        assert file.size == 0
    assert path.read_text() == ""


def test_restart_files_belong_to_one_run(tmp_path: Path) -> None:
    path = tmp_path / "md_restart.npz"
    state = {
        "positions": np.random.default_rng(0).normal(size=(3, 3)),
        "text": np.array('{"a": [18446744073709551615]}'),
    }
    write_restart(path, state, {"stage 1": [["steps", 5]], "member": None})
    found = read_restart(path, {"stage 1": [("steps", 5)], "member": None})
    np.testing.assert_array_equal(found["positions"], state["positions"])
    assert str(found["text"]) == str(state["text"])
    with pytest.raises(StaleFileError, match="made with member = None, but now it is 3"):
        read_restart(path, {"member": 3})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StaleFileError, match="damaged"):
        read_restart(path, {})
