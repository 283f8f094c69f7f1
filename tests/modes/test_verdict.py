"""The verdict at the end of a log: grades by targets and by the spread of the data, reasons, and advice."""

from __future__ import annotations

import io
import math

import pytest

from bnnp.log import Log
from bnnp.modes.verdict import USES, Grade, Verdict, energies, forces, limits_of_training


@pytest.mark.parametrize(
    ("error", "spread", "grade"),
    [
        (3.0, 100.0, Grade.GOOD),
        (3.0, 10.0, Grade.FAIR),  # 30 % of the spread
        (3.0, 4.0, Grade.POOR),  # within the target, but hardly better than the mean of the data
        (8.0, 100.0, Grade.FAIR),
        (10.1, 1000.0, Grade.POOR),  # twice the target
        (3.0, math.nan, Grade.GOOD),
    ],
)
def test_energies_by_target_and_spread(error: float, spread: float, grade: Grade) -> None:
    assert energies(error, spread).grade == grade


def test_forces_have_a_target_of_their_own() -> None:
    assert forces(140.0, 2000.0).grade == Grade.GOOD
    assert forces(301.0, 10_000.0).grade == Grade.POOR
    assert forces(120.0, 600.0).describe() == (
        "120 meV/A, within the usual 50-150; 20 % of the spread of the data (600)"
    )
    assert "better than the usual 1-5" in energies(0.4).describe()


def told(verdict: Verdict) -> str:
    stream = io.StringIO()
    verdict.report(Log(stream, enabled=True))
    return stream.getvalue()


def test_the_worst_quantity_decides_and_unknown_ones_are_left_out() -> None:
    text = told(Verdict("Errors:", [energies(2.0, 100.0), forces(900.0, 1000.0)], ["this"], ["do", "that"]))
    flat = " ".join(text.split())
    assert USES[Grade.POOR] in flat
    assert "what limits it this what to do next do that" in flat
    assert max(map(len, text.splitlines())) <= 80
    assert "forces" not in told(Verdict("Errors:", [energies(2.0), forces(math.nan)], [], []))
    raw = told(Verdict("Raw sigma:", [energies(400.0)], [], [], graded=False))
    assert "400 meV/atom" in raw
    assert "Not good enough" not in raw  # nobody knows its size
    (lower,) = {told(Verdict("Errors:", [energies(2.0)], [], [], lowered=n)) for n in (2, 3)}
    assert USES[Grade.POOR] in " ".join(lower.split())
    nothing = told(Verdict("Nothing to judge by.", [energies(math.nan)], [], []))
    assert not any(use.split(".")[0] in " ".join(nothing.split()) for use in USES.values())


def reasons(train: float, test: float, n_test: int = 100, best: int = 10, done: bool = True) -> list[str]:
    found = [energies(test, 100.0, train)]
    return [reason for reason, _ in limits_of_training(found, n_test, best, 100, not done)]


def test_what_limits_a_training() -> None:
    """Few data if test errors are much larger, the length if the last epoch is the best, else the model."""
    assert reasons(2.0, 2.5) == []
    (few,) = reasons(2.0, 4.0)
    assert "2.0 times as large in the test set" in few
    (short,) = reasons(8.0, 9.0, best=99)
    assert "epoch 99 of 100 is the best" in short
    (model,) = reasons(8.0, 9.0)
    assert model.startswith("the model")
    assert reasons(8.0, 9.0, done=False) == ["the training is not finished"]
    (small,) = reasons(2.0, 2.5, n_test=8)
    assert "25 %" in small  # a standard deviation of 8 errors has a relative error of 1 / sqrt(2 * 8)
