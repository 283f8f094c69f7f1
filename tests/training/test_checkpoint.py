"""checkpoint.npz: everything comes back bit for bit, and another training is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnnp.descriptors.scaling import Affine
from bnnp.errors import InputError, OutputError, StaleFileError
from bnnp.training.checkpoint import (
    Checkpoint,
    Variables,
    check_identity,
    read_checkpoint,
    write_checkpoint,
)
from bnnp.training.loop import Record, State

IDENTITY = {"random_seed": 5, "dropout rates": (0.0, 0.1), "networks": ["3-2-1 (t l)"]}


@pytest.fixture
def state() -> State:
    rng = np.random.default_rng(0)
    history = tuple(
        Record(epoch, 0.1, np.nan if epoch == 0 else 0.5, 0.3, *rng.normal(size=(4, 4))) for epoch in range(3)
    )
    optimizer = {"weights": rng.normal(size=9), "steps": np.asarray(17), "ridge": rng.normal(size=(2, 9))}
    return State(optimizer, 2, 4, 1.25, 1, 0.3, rng.normal(size=9), history)


@pytest.fixture
def variables() -> Variables:
    rng = np.random.default_rng(1)
    inputs = {element: Affine.mixing(rng.normal(size=3), rng.normal(size=(3, 3))) for element in ("Si", "Ge")}
    return Variables(inputs, np.array([-5.0, -4.0]), 0.2)


def test_everything_comes_back(tmp_path: Path, state: State, variables: Variables) -> None:
    path = tmp_path / "checkpoint.npz"
    write_checkpoint(path, Checkpoint(state, variables, 9), IDENTITY)
    checkpoint = read_checkpoint(path, IDENTITY)
    found, same = checkpoint.state, checkpoint.variables
    assert checkpoint.epochs == 9
    assert (found.epoch, found.batch, found.loss, found.best_epoch) == (2, 4, 1.25, 1)
    assert found.best_criterion == 0.3
    assert list(found.optimizer) == list(state.optimizer)
    for name, array in state.optimizer.items():
        np.testing.assert_array_equal(found.optimizer[name], array)
    np.testing.assert_array_equal(found.best_weights, state.best_weights)
    for one, two in zip(found.history, state.history, strict=True):
        np.testing.assert_array_equal(one.row(), two.row())
    assert list(same.inputs) == ["Si", "Ge"]
    np.testing.assert_array_equal(same.inputs["Ge"].matrix, variables.inputs["Ge"].matrix)
    np.testing.assert_array_equal(same.offsets, variables.offsets)
    assert same.scale == 0.2
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_another_training_is_named(tmp_path: Path, state: State, variables: Variables) -> None:
    path = tmp_path / "checkpoint.npz"
    write_checkpoint(path, Checkpoint(state, variables, 9), IDENTITY)
    with pytest.raises(StaleFileError, match="random_seed = 5, but now it is 6"):
        read_checkpoint(path, IDENTITY | {"random_seed": 6})


@pytest.mark.parametrize(
    ("former", "present", "message"),
    [
        (list(range(100)), [*range(99), 77], "... 97 98 99, but now it is ... 97 98 77."),
        ({"Si": 1.5}, {"Si": 2.5}, "Si 1.5, but now it is Si 2.5."),
        (True, False, "x = on, but now it is off."),
    ],
)
def test_both_sides_of_a_difference_are_told(
    tmp_path: Path, former: object, present: object, message: str
) -> None:
    """Long values are cut where they begin to differ, not before."""
    with pytest.raises(StaleFileError) as caught:
        check_identity(tmp_path / "checkpoint.npz", {"x": former}, {"x": present})
    told = str(caught.value)
    for part in message.split("..."):
        assert part.strip() in told
    first, second = told.partition("x = ")[2].split(", but now it is ")
    assert first != second.partition(". Restore")[0]
    assert len(told) < 300


def test_missing_damaged_and_unwritable(tmp_path: Path, state: State, variables: Variables) -> None:
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(InputError, match="without --restart"):
        read_checkpoint(path, IDENTITY)
    write_checkpoint(path, Checkpoint(state, variables, 9), IDENTITY)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(StaleFileError, match="damaged"):
        read_checkpoint(path, IDENTITY)
    with pytest.raises(OutputError):
        write_checkpoint(tmp_path / "missing" / "checkpoint.npz", Checkpoint(state, variables, 9), IDENTITY)
