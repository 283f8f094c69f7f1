"""bnnp plot training: numbers from the files of mode 2, pictures for each case, and clear mistakes."""

from __future__ import annotations

from pathlib import Path

import ase.units
import numpy as np
import plot as tool
import pytest
from click.testing import CliRunner, Result
from plotting.training import best_epoch, read_curve, read_subset, worst_structures

from bnnp.io.learning_curve import LearningCurve
from bnnp.io.training_points import forces_name, points_name, write_forces, write_points
from bnnp.units import ATOMIC, METAL, Units

NAMES = ("training_curves", "training_parity", "training_errors")


def finished(folder: Path, units: Units = METAL, test: int = 4, forces: bool = True, n: int = 12) -> Path:
    """What mode 2 leaves: structure k is k/100 eV/atom off, its forces k/10 eV/Angstrom, but for number 3."""
    folder.mkdir(exist_ok=True)
    curve = LearningCurve(folder / "learning-curve.out", units, "comment", None)
    missing = np.array([np.nan if not test and k % 2 else 1.0 for k in range(12)])
    missing[8:] *= 1.0 if forces else np.nan
    curve.start([(epoch, missing / (1 + epoch)) for epoch in range(4)])
    sets = {"train": range(n - test), "test": range(n - test, n)}
    for subset, indices in sets.items():
        rows = [(k, 2, -10.0 + 0.1 * k, -10.0 + 0.1 * k + 2 * k / 100) for k in indices]
        write_points(folder / points_name(subset, 3), units, rows)
        if forces:
            found = [
                (k, np.full((2, 3), 0.5), np.full((2, 3), 0.5) + k / 10 * (1 + 9 * (k == 3))) for k in indices
            ]
            write_forces(folder / forces_name(subset, 3), units, found)
    np.savez(folder / "checkpoint.npz", best_epoch=3)
    return folder


def draw(*arguments: str) -> Result:
    return CliRunner().invoke(tool.main, ["training", *arguments])


@pytest.mark.slow
@pytest.mark.parametrize(("test", "forces"), [(4, True), (0, True), (4, False)])
def test_every_case_has_its_pictures(tmp_path: Path, test: int, forces: bool) -> None:
    folder = finished(tmp_path / "run", test=test, forces=forces)
    result = draw(str(folder), "--out", str(tmp_path / "figures"))
    assert result.exit_code == 0, result.output
    for name in NAMES:
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = draw(str(finished(tmp_path / "run")), "--out", str(tmp_path / "taken"))
    assert result.exit_code == 1
    assert "ERROR: taken: cannot be written in" in result.output


@pytest.mark.slow
def test_many_forces_are_drawn_as_a_density(tmp_path: Path) -> None:
    result = draw(str(finished(tmp_path / "run", n=700, test=2)))
    assert result.exit_code == 0, result.output


def test_numbers_are_in_mev_whatever_the_units(tmp_path: Path) -> None:
    for units, energy, length in ((METAL, 1.0, 1.0), (ATOMIC, ase.units.Hartree, ase.units.Bohr)):
        folder = finished(tmp_path / units.name, units)
        _, found = read_curve(folder)
        assert found is units
        subset = read_subset(folder, "test", best_epoch(folder), found)
        assert subset.index.tolist() == [9, 10, 11, 12]
        np.testing.assert_allclose(subset.energy_errors, 1000 * energy * np.arange(8, 12) / 100)
        expected = np.repeat(1000 * energy / length * np.arange(8, 12) / 10, 2)[:, None]
        np.testing.assert_allclose(subset.force_errors, np.broadcast_to(expected, (8, 3)))
        np.testing.assert_allclose(subset.forces[..., 0], 500 * energy / length)


def test_worst_structures_come_first_by_their_source(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    _, units = read_curve(folder)
    subsets = {name: read_subset(folder, name, 3, units) for name in ("train", "test")}
    tables = worst_structures(subsets, [f"g{k}" for k in range(12)]).split("\n\n")
    rows = [[line.split() for line in table.splitlines() if not line.startswith("#")] for table in tables]
    assert [row[0] for row in rows[0]][:3] == ["12", "11", "10"]
    assert rows[0][0] == ["12", "test", "2", "110.00", "1100.0", "1100.0", "1", "g11"]
    assert [row[0] for row in rows[1]][:3] == ["4", "12", "11"]  # number 3 counts from 0
    assert rows[1][0][4] == "3000.0"


@pytest.mark.parametrize(
    ("missing", "arguments", "message"),
    [
        ("learning-curve.out", (), "run `bnnp --mode 2` there first"),
        ("testpoints.000003.out", (), "testpoints.000003.out: no such file"),
        (None, ("--epoch", "2"), "trainpoints.000002.out: no such file"),
    ],
)
def test_missing_files_are_named(
    tmp_path: Path, missing: str | None, arguments: tuple[str, ...], message: str
) -> None:
    folder = finished(tmp_path / "run")
    if missing:
        (folder / missing).unlink()
    result = draw(str(folder), *arguments)
    assert result.exit_code == 1
    assert message in result.output
