"""The moving average against its sum, and that it is what is evaluated."""

from __future__ import annotations

import numpy as np

from bnnp.training.adam import Adam
from bnnp.training.averaging import Averaged
from bnnp.training.schedule import CosineSchedule

RATE = CosineSchedule(0.1, 0.1, 0, 100)


def test_average_is_a_weighted_mean_that_forgets_the_start() -> None:
    optimizer = Averaged(Adam(RATE, np.ones(2, dtype=bool)), 0.9)
    state = optimizer.start(np.array([5.0, -5.0]))
    path = []
    for step in range(200):
        inner = optimizer.optimizer.step(state.state, np.array([1.0, np.cos(step)]))  # type: ignore[attr-defined]
        path.append(inner.weights)
        state = optimizer.follow(inner, state)
    # long after the start b_t = b: v = (1 - b) sum_k b^k w_{t-k}
    expected = sum(0.1 * 0.9**k * path[-1 - k] for k in range(150))
    np.testing.assert_allclose(optimizer.evaluated(state), expected, rtol=1e-6)
    assert np.abs(optimizer.evaluated(state) - state.state.weights).max() > 0.01


def test_first_decays_grow() -> None:
    optimizer = Averaged(Adam(RATE, np.ones(1, dtype=bool)), 0.999)
    state = optimizer.start(np.array([5.0]))
    inner = optimizer.optimizer.step(state.state, np.array([1.0]))  # type: ignore[attr-defined]
    state = optimizer.follow(inner, state)
    np.testing.assert_allclose(state.average, 2 / 11 * 5.0 + 9 / 11 * inner.weights, rtol=1e-14)


def test_arrays_bring_everything_back() -> None:
    optimizer = Averaged(Adam(RATE, np.ones(2, dtype=bool)), 0.9)
    state = optimizer.start(np.array([5.0, -5.0]))
    for _ in range(3):
        state = optimizer.follow(optimizer.optimizer.step(state.state, np.ones(2)), state)  # type: ignore[attr-defined]
    back = optimizer.state_of(optimizer.arrays(state))
    np.testing.assert_array_equal(back.average, state.average)
    np.testing.assert_array_equal(back.state.weights, state.state.weights)
    assert (back.steps, back.state.steps) == (3, 3)
