"""inputs/paper_alloy: which frame is used for what, told by frames that carry their number."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import ModuleType

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from case_scripts import load_script

from bnnp.io.input_data import read_structures
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure

CASE = Path(__file__).resolve().parents[2] / "inputs" / "paper_alloy"


@pytest.fixture
def prepare() -> ModuleType:
    """The script as a module."""
    return load_script("paper_alloy", "prepare")


def run(prepare: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["prepare.py", *map(str, arguments)])
    prepare.main()


def test_tellurides(prepare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends: frames 0-9 fitted, 11-13 choose the epoch, 15-20 calibrate; test runs have seeds of their own."""
    asked = []

    def dynamics(_: Path, system: str, frames: int, seed: int, *options: object) -> list[Structure]:
        asked.append((system, seed, *options))
        return [
            Structure(
                np.array([48]),
                np.full((1, 3), 0.01 * k),
                np.eye(3) * 9,
                energy=0.0,
                forces=np.zeros((1, 3)),
                info={"group": f"{system}_{kelvin}K"},
            )
            for kelvin in (300, 600, 900)
            for k in range(frames)
        ]

    monkeypatch.setattr(prepare, "dynamics", dynamics)
    run(prepare, monkeypatch, "tellurides", tmp_path)
    found: dict[tuple[str, Set | None], list[int]] = {}
    for structure in read_structures(tmp_path / "input.data"):
        frame = round(structure.positions[0, 0] / 0.01)
        found.setdefault((structure.info["group"], structure.subset), []).append(frame)
    sets = {Set.TRAIN: [*range(10)], Set.TEST: [11, 12, 13], Set.CALIBRATION: [*range(15, 21)]}
    assert found == {
        (f"{end}_{t}K", name): frames
        for end in ("CdTe", "ZnTe")
        for t in (300, 600, 900)
        for name, frames in sets.items()
    }
    assert len({seed for _, seed, *_ in asked}) == len(asked) == 7
    assert [options[1] for system, _, *options in asked if system == "CdZnTe"] == [0.25, 0.5, 0.75]
    assert len(list(read_structures(tmp_path / "test.data"))) == 5 * 3 * 8


def frames(count: int, temperature: int = 300, start: float = 0.0) -> list[Atoms]:
    """Atoms whose first coordinate is their number."""
    several = []
    for k in range(count):
        atoms = Atoms("Nb", [[start + 0.01 * k, 0.0, 0.0]], cell=np.eye(3) * 99, pbc=True)
        atoms.info["md"] = f"md-{temperature}-{k}"
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((1, 3)))
        several.append(atoms)
    return several


def test_refractory(prepare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame in two sets, frames from all over each file; the quaternary by temperature."""
    names = [*(f"{b}_binary" for b in prepare.BINARIES), *(f"{m}_aimd" for m in prepare.METALS)]
    for number, name in enumerate(names):
        with gzip.open(tmp_path / f"{name}.extxyz.gz", "wt") as file:
            ase.io.write(file, frames(60, start=float(number)), format="extxyz")
    with gzip.open(tmp_path / "quaternary_test.extxyz.gz", "wt") as file:
        ase.io.write(file, [*frames(3, 3000), *frames(2, 300)], format="extxyz")
    run(prepare, monkeypatch, "refractory", tmp_path / "case", tmp_path)

    structures = [*read_structures(tmp_path / "case" / "input.data")]
    tested = [*read_structures(tmp_path / "case" / "test.data")]
    used = [s.positions[0, 0] for s in [*structures, *tested[:-5]]]
    assert len(used) == len(set(used)) == 6 * (16 + 4 + 5 + 8) + 4 * (10 + 2 + 3 + 4)
    first = [s.positions[0, 0] for s in structures if s.subset == Set.TRAIN][:16]
    assert min(first) < 0.15 < 0.45 < max(first)
    assert {s.info["group"] for s in structures} == {"binaries", "elements"}
    assert [s.info["group"] for s in tested[-5:]] == ["NbMoTaW_300K"] * 2 + ["NbMoTaW_3000K"] * 3
    calibration = [s for s in structures if s.subset == Set.CALIBRATION]
    assert len(calibration) == 6 * 5 + 4 * 3


@pytest.mark.parametrize("name", ["tellurides", "refractory"])
def test_inputs_are_complete(name: str, tmp_path: Path) -> None:
    (tmp_path / "input.nn").write_text((CASE / f"{name}.nn").read_text())
    for mode in (1, 2):
        warnings = load_settings(tmp_path / "input.nn", mode).warnings
        assert all("random_seed" in warning for warning in warnings)


def test_wrong_calls_say_what_is_wanted(prepare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="python prepare.py"):
        run(prepare, monkeypatch, "ceramics", "here")
    with pytest.raises(SystemExit, match="FOLDER"):
        run(prepare, monkeypatch, "refractory", "here")
