"""Functions that mode 1 chooses: by the forces of the training structures, and of no others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnnp.io.input_data import write_structures
from bnnp.structure import Set, Structure

INPUT = "units metal\nelements Si\ncalculate_forces\nsymmetry_functions auto {}\nepochs 1\n"


def cubes() -> list[Structure]:
    """Rattled cubes, every fourth for testing, with forces of springs between neighbors along x, y and z."""
    rng, sites = np.random.default_rng(2), np.indices((3, 3, 3)).reshape(3, -1).T
    found = []
    for index in range(16):
        moved = rng.normal(0.0, 0.15, sites.shape)
        grid = moved.reshape(3, 3, 3, 3)
        springs = np.sum([np.roll(grid, step, axis) - grid for step in (1, -1) for axis in range(3)], axis=0)
        subset = Set.TEST if index % 4 == 3 else Set.TRAIN
        found.append(
            Structure(
                np.full(27, 14),
                2.6 * sites + moved,
                7.8 * np.eye(3),
                float(index % 5),
                springs.reshape(-1, 3),
                subset=subset,
            )
        )
    return found


def chosen(folder: Path, change: Callable[[Structure], Structure], most: int = 6) -> list[str]:
    """The lines of input.nn.auto for the cubes after a change."""
    folder.mkdir()
    (folder / "input.nn").write_text(INPUT.format(most))
    write_structures(folder / "input.data", list(map(change, cubes())))
    subprocess.run(
        [sys.executable, "-m", "bnnp", "--mode", "1"], cwd=folder, check=True, stdout=subprocess.PIPE
    )
    return (folder / "input.nn.auto").read_text().splitlines()


def with_others(each: Structure) -> Structure:
    """Other forces, of the same sum."""
    assert each.forces is not None
    return replace(each, forces=np.roll(each.forces, 5, axis=0))


@pytest.mark.slow
def test_the_forces_of_training_structures_decide(tmp_path: Path) -> None:
    plain = chosen(tmp_path / "plain", lambda each: each)
    test = chosen(tmp_path / "test", lambda each: with_others(each) if each.subset is Set.TEST else each)
    training = chosen(
        tmp_path / "train", lambda each: with_others(each) if each.subset is Set.TRAIN else each
    )
    assert any("linear fit of the forces" in line for line in plain)
    assert plain == test
    assert plain != training


@pytest.mark.slow
def test_without_forces_the_functions_decide(tmp_path: Path) -> None:
    lines = chosen(tmp_path / "bare", lambda each: replace(each, forces=np.zeros((27, 3))))
    assert any("CUR" in line for line in lines)
    assert sum(line.startswith("symfunction_short") for line in lines) == 6


def test_functions_that_tell_all_others_are_kept(tmp_path: Path) -> None:
    lines = chosen(tmp_path / "many", lambda each: each, most=60)
    assert any("CUR" in line for line in lines)
    told = [float(line.split(" %")[0].split()[-1]) for line in lines if "reproduce all to" in line]
    assert all(percent < 1.0 for percent in told)
    assert told
