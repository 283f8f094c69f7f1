"""Adam against its closed forms: the first step, the schedule, the decay, a quadratic bowl."""

from __future__ import annotations

import numpy as np
import pytest

from bnnp.training.adam import Adam, clipped
from bnnp.training.schedule import CosineSchedule

CONSTANT = CosineSchedule(0.1, 0.1, 0, 100)


def test_first_step_has_the_length_of_the_step_size() -> None:
    adam = Adam(CONSTANT, np.ones(3, dtype=bool))
    state = adam.step(adam.start(np.zeros(3)), np.array([1e-3, -5.0, 70.0]))
    np.testing.assert_allclose(state.weights, [-0.1, 0.1, -0.1], rtol=1e-4)
    assert state.steps == 1


def test_second_step_follows_the_algorithm() -> None:
    adam = Adam(CONSTANT, np.ones(1, dtype=bool), epsilon=0.0)
    first, second = 2.0, -1.0
    state = adam.step(adam.step(adam.start(np.zeros(1)), np.array([first])), np.array([second]))
    mean = (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.9**2)
    square = (0.999 * 0.001 * first**2 + 0.001 * second**2) / (1 - 0.999**2)
    np.testing.assert_allclose(state.weights, -0.1 - 0.1 * mean / np.sqrt(square), rtol=1e-13)


def test_decay_acts_on_weights_only_and_is_not_part_of_the_moments() -> None:
    adam = Adam(CONSTANT, np.array([True, False]), weight_decay=0.5)
    state = adam.step(adam.start(np.array([2.0, 2.0])), np.zeros(2))
    np.testing.assert_allclose(state.weights, [2.0 - 0.1 * 0.5 * 2.0, 2.0])
    assert not state.mean.any()


def test_clipping_keeps_the_direction() -> None:
    np.testing.assert_allclose(clipped(np.array([3.0, 4.0]), 1.0), [0.6, 0.8])
    np.testing.assert_array_equal(clipped(np.array([3.0, 4.0]), 6.0), [3.0, 4.0])
    np.testing.assert_array_equal(clipped(np.array([3.0, 4.0]), 0.0), [3.0, 4.0])


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (1, 0.1 * (0.5 * (1 + np.cos(np.pi * 0.01)) * 0.99 + 0.01)),
        (10, 0.5 * (1 + np.cos(np.pi * 0.1)) * 0.99 + 0.01),
        (50, 0.5 * 0.99 + 0.01),
        (100, 0.01),
        (150, 0.01),
    ],
)
def test_schedule_is_a_rise_and_half_a_cosine(step: int, expected: float) -> None:
    assert CosineSchedule(1.0, 0.01, 10, 100).rate(step) == pytest.approx(expected, rel=1e-13)


def test_minimum_of_a_bowl_is_found() -> None:
    adam = Adam(CosineSchedule(0.1, 1e-6, 10, 800), np.ones(4, dtype=bool))
    goal, state = np.array([1.0, -2.0, 0.5, 3.0]), adam.start(np.zeros(4))
    for _ in range(800):
        state = adam.step(state, np.array([1.0, 10.0, 100.0, 1000.0]) * (state.weights - goal))
    np.testing.assert_allclose(state.weights, goal, atol=1e-4)
