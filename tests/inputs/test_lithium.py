"""inputs/lithium: the functions of a mix, the splits, the study on tiny made-up data, stopped and resumed."""

from __future__ import annotations

import csv
from pathlib import Path
from types import ModuleType, SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from case_scripts import load_script
from click.testing import CliRunner

from bnnp.settings.settings import load_settings
from bnnp.structure import Structure

CASE = Path(__file__).resolve().parents[2] / "inputs" / "lithium"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The script as a module."""
    return load_script("lithium", "study")


def test_nine_mixes_have_24_functions_of_their_types(study: ModuleType, tmp_path: Path) -> None:
    """12 radial of type 1, 2 or 4 (the cosine, G3 by its first authors), 12 angular of type 3, 9 or both."""
    radial, angular = {"G1": 1, "G2": 2, "G3": 4}, {"12G4": [3], "12G5": [9], "6G4+6G5": [3, 9]}
    assert len(study.MIXES) == 9
    for mix in study.MIXES:
        name, _, kinds = mix.removeprefix("12").partition("+")
        for cutoff in study.CUTOFFS:
            text = (CASE / "input.nn").read_text() + "global_nodes_short 27\n"
            (tmp_path / "input.nn").write_text(text + "\n".join(study.functions(mix, cutoff)) + "\n")
            settings = load_settings(tmp_path / "input.nn", 1)
            found = settings.model.functions["Li"]
            assert len(set(found)) == 24, (mix, cutoff)
            assert sum(f.type == radial[name] for f in found) == 12
            assert sorted({f.type for f in found} - {radial[name]}) == angular[kinds]
            assert max(f.r_c for f in found) == pytest.approx(cutoff)


def test_splits(study: ModuleType) -> None:
    """No structure twice; blocks in the order of time; the seed changes the draw, not the sizes."""
    for count, sizes in ((1000, (100, 20, 40)), (192, (96, 11, 40))):
        for split in study.SPLITS:
            parts = study.division(count, split, 1)
            assert tuple(map(len, parts)) == sizes
            assert len(np.unique(np.concatenate(parts))) == sum(sizes)
            again = study.division(count, split, 2)
            assert any(not np.array_equal(np.sort(a), np.sort(b)) for a, b in zip(parts, again, strict=True))
        fitted, chosen, held = study.division(count, "block", 1)
        assert fitted.max() < count / 2 < chosen.min()
        assert chosen.max() < 0.6 * count <= held.min()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files as the DFT set has them: frames of dynamics out of order, and others that are not wanted."""
    rng, frames = np.random.default_rng(1), []
    for step in [*range(1000, 5000, 100), 700, 300]:
        atoms = bulk("Li", "bcc", a=3.47, cubic=True)
        atoms.positions += rng.normal(0.0, 0.1, (2, 3))
        atoms.calc = LennardJones(sigma=2.6, epsilon=0.2, rc=5.0)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        atoms.info["description"] = f"Snapshot {step} of 100000 of AIMD NVT simulation at 300 K"
        frames.append(atoms)
    other: Atoms = frames[0].copy()
    other.info["description"] = "Ground state crystal"
    other.calc = frames[0].calc
    ase.io.write(tmp_path / "Li_train.extxyz.gz", [other, *frames[1:]], format="extxyz")
    ase.io.write(tmp_path / "Li_test.extxyz.gz", frames[:1], format="extxyz")
    return tmp_path


def test_dft_frames_are_those_of_dynamics_by_their_step(study: ModuleType, folder: Path) -> None:
    steps = [int(structure.info["source"]) for structure in study.dynamics(folder)]
    assert steps == [300, 700, *range(1000, 5000, 100)]


def test_errors_are_per_atom_and_in_mev(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "functions").mkdir()
    for name in ("input.nn", "input.data", "symmetry_functions.h5"):
        (tmp_path / "functions" / name).write_text("")
    two = Structure(np.array([3, 3]), np.zeros((2, 3)), None, energy=-8.0, forces=np.zeros((2, 3)))
    found = SimpleNamespace(
        energy=SimpleNamespace(value=-6.0), forces=SimpleNamespace(value=np.full((2, 3), 0.5))
    )
    monkeypatch.setattr(study, "call", lambda *_: None)
    monkeypatch.setattr(study, "load", lambda _: SimpleNamespace(predict=lambda *_, **__: found))
    assert study.run(tmp_path, [two], 2, 1)[:2] == pytest.approx((1000.0, 500.0))


@pytest.mark.slow
def test_study_is_resumed_and_drawn(study: ModuleType, folder: Path) -> None:
    arguments = [str(folder), "--labels", "dft", "--seeds", "1", "--out", str(folder / "out")]
    arguments += ["--cutoffs", "8", "--widths", "27", "--mixes", study.MIXES[3]]
    result = CliRunner().invoke(study.main, arguments)
    assert result.exit_code == 0, result.output
    base = folder / "out" / "dft"
    rows = study.read_rows(base)
    assert [row["split"] for row in rows] == ["block", "random"]
    assert all(0.0 < float(row["energy"]) < 1000.0 for row in rows)
    assert (base / "lithium.png").read_bytes().startswith(b"\x89PNG")
    assert f"| {study.MIXES[3]} | 8 | 27 | 1 |" in (base / "table.md").read_text()

    with open(base / "results.csv", newline="") as file:
        kept = list(csv.reader(file))[:2]
    with open(base / "results.csv", "w", newline="") as file:
        csv.writer(file).writerows(kept)
    assert CliRunner().invoke(study.main, arguments).exit_code == 0
    again = study.read_rows(base)
    assert again[0] == rows[0]
    assert {**again[1], "seconds": ""} == {**rows[1], "seconds": ""}


def test_dft_needs_its_folder(study: ModuleType, tmp_path: Path) -> None:
    result = CliRunner().invoke(study.main, ["--labels", "dft", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "FOLDER" in result.output
