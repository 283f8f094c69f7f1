"""L-BFGS on functions with known minima, alone and continued from its arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from bnnp.training.lbfgs import Lbfgs, LbfgsState
from bnnp.training.optimizer import arrays_of

Array = np.ndarray


class Function:
    """A problem whose loss is a function of the weights."""

    training = (0, 1, 2)

    def __init__(self, function: Callable[[Array], tuple[float, Array]]) -> None:
        self.function, self.calls = function, 0

    def batches(self, epoch: int) -> list[list[int]]:
        return [[0, 1, 2]]

    def slope(self, weights: Array, epoch: int, structures: Sequence[int]) -> tuple[float, Array]:
        self.calls += 1
        assert epoch == 0  # the same dropout masks in every evaluation
        assert tuple(structures) == self.training
        return self.function(weights)

    def total(self, values: Array) -> Array:
        return values


def rosenbrock(w: Array) -> tuple[float, Array]:
    """Minimum 0 at (1, 1)."""
    a, b = 1.0 - w[0], w[1] - w[0] ** 2
    return a * a + 100.0 * b * b, np.array([-2.0 * a - 400.0 * w[0] * b, 200.0 * b])


def run(optimizer: Lbfgs, state: LbfgsState, problem: Function, steps: int) -> LbfgsState:
    for epoch in range(1, steps + 1):
        state, _ = optimizer.advance(problem, state, epoch, 0)
    return state


def test_valley_is_followed_to_its_minimum() -> None:
    problem = Function(rosenbrock)
    state = run(Lbfgs(), Lbfgs().start(np.array([-1.2, 1.0])), problem, 45)
    np.testing.assert_allclose(state.weights, [1.0, 1.0], atol=1e-6)
    assert problem.calls < 80  # steepest descent takes thousands


def test_every_step_satisfies_the_strong_wolfe_conditions() -> None:
    optimizer, state = Lbfgs(), Lbfgs().start(np.array([-1.2, 1.0]))
    for _ in range(15):
        new = run(optimizer, state, Function(rosenbrock), 1)
        before, slope = rosenbrock(state.weights)
        after, new_slope = rosenbrock(new.weights)
        step = new.weights - state.weights
        assert after <= before + 1e-4 * slope @ step
        assert abs(new_slope @ step) <= 0.9 * abs(slope @ step)
        state = new


def test_loss_and_gradient_of_the_last_point_are_not_computed_again() -> None:
    problem, optimizer = Function(rosenbrock), Lbfgs()
    state, loss = optimizer.advance(problem, optimizer.start(np.array([-1.2, 1.0])), 1, 0)
    assert loss == rosenbrock(np.array([-1.2, 1.0]))[0]
    assert state.loss == rosenbrock(state.weights)[0]
    calls = problem.calls
    assert state.evaluations == calls
    state, loss = optimizer.advance(problem, state, 2, 0)
    assert state.evaluations == problem.calls


@pytest.mark.parametrize("stop", [1, 2, 9])
def test_continued_from_its_arrays_is_uninterrupted(stop: int) -> None:
    optimizer = Lbfgs(memory=4)
    start = optimizer.start(np.array([-1.2, 1.0]))
    whole = run(optimizer, start, Function(rosenbrock), 14)
    arrays = optimizer.arrays(run(optimizer, start, Function(rosenbrock), stop))
    copies = {name: np.array(array) for name, array in arrays.items()}
    continued = run(Lbfgs(memory=4), Lbfgs(memory=4).state_of(copies), Function(rosenbrock), 14 - stop)
    for name, array in arrays_of(whole).items():
        np.testing.assert_array_equal(arrays_of(continued)[name], array, err_msg=name)


def test_frozen_weights_stay() -> None:
    optimizer = Lbfgs(free=np.array([True, False]))
    state = run(optimizer, optimizer.start(np.array([-1.2, 0.5])), Function(rosenbrock), 20)
    assert state.weights[1] == 0.5
    assert abs(rosenbrock(state.weights)[1][0]) < 1e-5
