"""The extended Kalman filter against the textbook's equations with full matrices, and against regression."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bnnp.errors import NumericalError
from bnnp.training.kalman import symmetric_matrix
from bnnp.training.kalman.filter import Kalman, KalmanState, Memory
from bnnp.training.kalman.symmetric_matrix import SymmetricMatrix
from bnnp.training.kalman.updates import ENERGY, Observation, Update

Array = np.ndarray

N, SPLIT = 12, 5
WEIGHTS = np.random.default_rng(8).normal(size=N)


class Linear:
    """Errors y - X w of a linear model: rows and plan of the filter at once, `m` observations an update."""

    def __init__(
        self, n_updates: int, m: int, noise: float = 0.0, dtype: torch.dtype = torch.float64
    ) -> None:
        rng = np.random.default_rng(5)
        self.x = rng.normal(size=(n_updates, m, N))
        self.y = self.x @ WEIGHTS + noise * rng.normal(size=(n_updates, m))
        self.dtype = dtype

    def __call__(
        self, problem: Any, weights: Array, update: Update, epoch: int, thresholds: Array
    ) -> tuple[Array, torch.Tensor, Array]:
        number = update.streams[0][0].structure
        errors = self.y[number] - self.x[number] @ weights
        return (
            errors,
            torch.from_numpy(self.x[number]).to(self.dtype),
            np.array([(errors**2).mean(), 0.0, 0.0]),
        )

    def updates(self, batches: Sequence[Sequence[int]], epoch: int) -> list[Update]:
        return [Update(((Observation(k, ENERGY),),)) for k in range(len(self.x))]

    def selection(self, epoch: int) -> int:
        return 2 if epoch < 3 else 0

    def describe(self) -> str:
        return "all"


class Problem:
    training = (0, 1, 2)

    def batches(self, epoch: int) -> list[list[int]]:
        return [[0, 1, 2]]


@pytest.fixture(autouse=True, params=[1, 5])
def small_slabs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetric_matrix, "ROWS", 4)
    monkeypatch.setattr(symmetric_matrix, "PENDING", request.param)


def make(memory: Memory, model: Linear, coupling: Any = "full", **extra: Any) -> Kalman:
    blocks = [slice(0, SPLIT), slice(SPLIT, N)]
    dtype = extra.pop("dtype", torch.float64)
    return Kalman(memory, model, model, blocks, coupling, partial(SymmetricMatrix, dtype=dtype), **extra)  # type: ignore[arg-type]


def run(kalman: Kalman, state: KalmanState, epochs: int = 1) -> KalmanState:
    for epoch in range(1, epochs + 1):
        for number in range(kalman.n_steps(Problem(), epoch)):  # type: ignore[arg-type]
            state, _ = kalman.advance(Problem(), state, epoch, number)  # type: ignore[arg-type]
    return state


def dense(state: KalmanState, number: int = 0) -> Array:
    matrix = state.covariance[number]
    return matrix.product(torch.eye(matrix.size, dtype=torch.float64)).numpy()


def textbook(memory: Memory, model: Linear, blocks: Sequence[slice]) -> tuple[Array, list[Array]]:
    """The filter with full matrices and a plain inverse, update after update."""
    w, lambda_ = np.zeros(N), memory.lambda_
    ps = [np.eye(b.stop - b.start) / memory.epsilon for b in blocks]
    n = len(model.x)
    for number, (x, y) in enumerate(zip(model.x, model.y, strict=True)):
        t = (number + 1) / n
        eta = min(memory.eta * np.exp(memory.eta_tau * t), memory.eta_max)
        r = (lambda_ if memory.fading else 1 / eta) * np.eye(len(y))
        hs = [x[:, b].T for b in blocks]
        a = sum(h.T @ p @ h for h, p in zip(hs, ps, strict=True)) + r
        errors, new = y - x @ w, w.copy()
        for k, (b, h) in enumerate(zip(blocks, hs, strict=True)):
            gain = ps[k] @ h @ np.linalg.inv(a)
            new[b] += gain @ errors
            ps[k] = ps[k] - gain @ h.T @ ps[k]
            if memory.fading:
                ps[k] = ps[k] / lambda_
            ps[k] = ps[k] + max(memory.q_0 * np.exp(-memory.q_tau * t), memory.q_min) * np.eye(len(h))
        w = new
        lambda_ = memory.nu * lambda_ + 1 - memory.nu if memory.fading else lambda_
    return w, ps


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("coupling", ["full", "element"])
@pytest.mark.parametrize(
    "memory",
    [
        Memory(fading=True, lambda_=0.9, nu=0.95, epsilon=0.2),
        Memory(
            fading=False, epsilon=0.01, q_0=0.02, q_tau=3.0, q_min=0.004, eta=0.05, eta_tau=4.0, eta_max=1.0
        ),
    ],
)
def test_filter_is_that_of_the_textbook(memory: Memory, coupling: Any, m: int) -> None:
    model = Linear(9, m, noise=0.3)
    kalman = make(memory, model, coupling)
    state = run(kalman, kalman.start(np.zeros(N)))
    blocks = [slice(0, N)] if coupling == "full" else [slice(0, SPLIT), slice(SPLIT, N)]
    weights, ps = textbook(memory, model, blocks)
    np.testing.assert_allclose(state.weights, weights, rtol=1e-10, atol=1e-12)
    for number, p in enumerate(ps):
        np.testing.assert_allclose(dense(state, number), p, rtol=1e-10, atol=1e-12)


def test_elements_share_an_error() -> None:
    """One observation of n elements: lambda / (lambda + sum_X h_X P_X h_X) of the error remains, with
    P = I / epsilon. Gains of their own would leave 1 - sum_X h_X P_X h_X / (lambda + h_X P_X h_X), near
    1 - n: the error would turn round, and grow with three elements."""
    memory, model = Memory(fading=True, lambda_=0.98, nu=0.9987, epsilon=1e-3), Linear(1, 1)
    kalman = make(memory, model, "element")
    state = run(kalman, kalman.start(np.zeros(N)))
    x, y = model.x[0, 0], float(model.y[0, 0])
    strength = 1e3 * float(x @ x)  # of all elements together
    assert y - x @ state.weights == pytest.approx(0.98 / (0.98 + strength) * y, rel=1e-9)
    assert state.lambda_ == pytest.approx(0.9987 * 0.98 + 1 - 0.9987, rel=1e-14)


@pytest.mark.parametrize(("n_updates", "m"), [(30, 1), (6, 5), (1, 30)])
def test_linear_model_gets_the_ridge_regression(n_updates: int, m: int) -> None:
    """Without forgetting all ways to take up the data end at (X^T X + epsilon R)^-1 X^T y."""
    model = Linear(n_updates, m, noise=0.2)
    memory = Memory(fading=False, epsilon=0.5, eta=0.25, eta_tau=0.0, eta_max=0.25)  # R = 4
    kalman = make(memory, model)
    state = run(kalman, kalman.start(np.zeros(N)))
    x, y = model.x.reshape(-1, N), model.y.reshape(-1)
    expected = np.linalg.solve(x.T @ x / 4.0 + 0.5 * np.eye(N), x.T @ y / 4.0)
    np.testing.assert_allclose(state.weights, expected, rtol=1e-10)
    np.testing.assert_allclose(dense(state), np.linalg.inv(x.T @ x / 4.0 + 0.5 * np.eye(N)), rtol=1e-9)


def test_single_precision_follows_double() -> None:
    states = []
    for dtype in (torch.float64, torch.float32):
        kalman = make(Memory(lambda_=0.98, nu=0.99), Linear(20, 2, noise=0.1, dtype=dtype), dtype=dtype)
        states.append(run(kalman, kalman.start(np.zeros(N))))
    assert states[1].covariance[0].product(torch.eye(N)).dtype == torch.float32
    np.testing.assert_allclose(states[1].weights, states[0].weights, atol=1e-4)


def test_frozen_weights_stay() -> None:
    free = np.ones(N, dtype=bool)
    free[[2, 7]] = False
    kalman = make(Memory(), Linear(5, 2), free=free)
    state = run(kalman, kalman.start(np.full(N, 0.25)))
    assert (state.weights[~free] == 0.25).all()
    assert (state.weights[free] != 0.25).all()


def test_arrays_bring_everything_back() -> None:
    model = Linear(6, 2, noise=0.1)
    memory = Memory(fading=False, q_0=0.01, q_tau=1.0)
    kalman = make(memory, model, "element")
    state = run(kalman, kalman.start(np.zeros(N)))
    arrays = {name: np.array(array) for name, array in kalman.arrays(state).items()}
    whole = run(kalman, state, 2)  # in place: `state` is lost
    again = make(memory, model, "element")
    continued = run(again, again.state_of(arrays), 2)
    np.testing.assert_array_equal(continued.weights, whole.weights)
    np.testing.assert_array_equal(dense(continued, 1), dense(whole, 1))
    assert continued.epochs == whole.epochs


def test_thresholds_follow_the_last_errors() -> None:
    kalman = make(Memory(), Linear(1, 1), thresholds=(0.5, 2.0))
    state = kalman.begin(kalman.start(np.zeros(N)), [1.0], np.array([0.2, 7.0, 3.0, 0.7]))
    np.testing.assert_allclose(state.thresholds, [0.1, 6.0, 1.4])
    without = kalman.begin(state, [1.0], np.array([0.2, 7.0, 3.0, np.nan]))
    np.testing.assert_allclose(without.thresholds, [0.1, 6.0, 0.0])
    later = kalman.begin(state, [1.0, 1.0, 1.0], np.ones(4))
    assert not later.thresholds.any()  # selected otherwise in epoch 3


@pytest.mark.parametrize("resets", [True, False])
def test_covariance_begins_anew_where_asked_for(resets: bool) -> None:
    kalman = make(Memory(epsilon=0.1), Linear(4, 1), resets=resets)
    state = run(kalman, kalman.start(np.zeros(N)))
    used = dense(state)
    later = kalman.begin(state, [1.0, 1.0], np.zeros(4))
    np.testing.assert_allclose(dense(later), 10.0 * np.eye(N) if resets else used, rtol=1e-12)
    np.testing.assert_array_equal(later.weights, state.weights)
    assert later.lambda_ == state.lambda_ > Memory().lambda_  # as in RuNNer, the forgetting factor goes on


def test_errors_that_are_not_finite_end_the_training() -> None:
    model = Linear(3, 2)
    model.y[1, 0] = np.nan
    kalman = make(Memory(), model)
    with pytest.raises(NumericalError, match="update 2 of epoch 1"):
        run(kalman, kalman.start(np.zeros(N)))


def test_covariance_that_is_not_positive_ends_the_training() -> None:
    kalman = make(Memory(), Linear(1, 2))
    state = kalman.start(np.zeros(N))
    state.covariance[0].shift(-10.0)
    with pytest.raises(NumericalError, match="no longer positive"):
        run(kalman, state)
