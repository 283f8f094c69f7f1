"""Step sizes: the plateau schedule follows the history alone. (The cosine: test_adam.)"""

from __future__ import annotations

import pytest

from bnnp.training.schedule import PlateauSchedule


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ([], 0),
        ([9.0, 8.0, 7.0, 6.0], 0),
        ([5.0, 6.0, 6.0], 0),
        ([5.0, 6.0, 6.0, 6.0], 1),
        ([5.0, 6.0, 6.0, 6.0, 4.0, 4.0, 4.0], 1),
        ([5.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0], 2),
        ([5.0, 6.0, 6.0, 6.0, 4.0, 4.5, 4.5, 4.5], 2),
    ],
)
def test_reductions_count_epochs_without_progress(criteria: list[float], expected: int) -> None:
    assert PlateauSchedule(0.1, 1e-4, 0, patience=3).reductions(criteria) == expected


def test_rate_is_halved_down_to_the_smallest() -> None:
    schedule = PlateauSchedule(0.08, 0.015, 4, patience=3)
    assert schedule.rate(1) == pytest.approx(0.02)
    assert schedule.rate(10) == 0.08
    assert schedule.rate(10, 1) == pytest.approx(0.04)
    assert schedule.rate(10, 2) == pytest.approx(0.02)
    assert schedule.rate(10, 3) == 0.015
