r"""The extended Kalman filter: weights as a state that is corrected by every observation.

With the errors xi = reference - prediction of some observations, their derivatives H in the weights, (n, m),
and the covariance P of the weights (Blank and Brown, J. Chemometrics 8, 391 (1994); Singraber, Morawietz,
Behler, Dellago, J. Chem. Theory Comput. 15, 3075 (2019))::

    A = H^T P H + R          K = P H A^-1          w <- w + K xi          P <- P - K H^T P

standard        R = I / eta, eta growing to eta_max by a factor exp(eta_tau) an epoch
fading memory   R = lambda I, then P <- P / lambda and lambda <- nu lambda + 1 - nu

and P <- P + q I with process noise q that falls from q_0 to q_min. P starts as I / epsilon. With the Cholesky
factor A = L L^T and Y = P H L^-T the update is P <- P - Y Y^T: symmetric, so only a triangle is kept.

Errors and derivatives are scaled so that the filter minimizes the loss of :mod:`bnnp.training.loss`: a row of
a quantity with prefactor c counts sqrt(c).

P has all weights (``full``), or one block an element with a common A (``element``; decoupled filter of
Puskorius and Feldkamp, IEEE Trans. Neural Netw. 5, 279 (1994)). RuNNer, and n2p2 with ``update_strategy 1``,
give each block an A of its own. Then each of n elements corrects the whole error, where the gain is near 1,
and what remains is 1 - n times the error: with two elements it never ends, with three it grows. So their
words select ``element`` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.errors import NumericalError
from bnnp.training.kalman.ranking import Ranking, ranking
from bnnp.training.kalman.rows import Rows
from bnnp.training.kalman.symmetric_matrix import SymmetricMatrix
from bnnp.training.kalman.updates import Update, UpdatePlan
from bnnp.training.optimizer import Problem, demand_finite

Array = NDArray[np.float64]
Coupling = Literal["full", "element"]


@dataclass(frozen=True)
class Memory:
    """Constants of the filter: weights of new and old observations.

    Parameters
    ----------
    fading : bool
        Fading memory; otherwise the standard form.
    lambda_, nu : float
        Forgetting factor of the first update, and its growth.
    epsilon : float
        P(0) = I / epsilon.
    q_0, q_tau, q_min : float
        Process noise: q_0 exp(-q_tau t) after t epochs, at least q_min.
    eta, eta_tau, eta_max : float
        Learning rate of the standard form: eta exp(eta_tau t), at most eta_max.
    """

    fading: bool = True
    lambda_: float = 0.98
    nu: float = 0.9987
    epsilon: float = 1.0
    q_0: float = 0.0
    q_tau: float = 0.0
    q_min: float = 0.0
    eta: float = 0.01
    eta_tau: float = 2.302
    eta_max: float = 1.0

    def noise(self, epochs: float) -> float:
        """q after so many epochs."""
        return max(self.q_0 * float(np.exp(-self.q_tau * epochs)), self.q_min)

    def learning_rate(self, epochs: float) -> float:
        """eta after so many epochs."""
        return min(self.eta * float(np.exp(min(self.eta_tau * epochs, 700.0))), max(self.eta, self.eta_max))


@dataclass(frozen=True, eq=False)
class KalmanState:
    """State of the filter; the covariance is changed in place.

    Parameters
    ----------
    weights : (n_weights,) float64
    covariance : tuple of SymmetricMatrix
        P, or its blocks.
    lambda_ : float
    epochs : float
        Epochs done, counted by updates.
    thresholds : (3,) float64
        Smallest error per atom, of a force and of a stress component that is used, normalized.
    ranking : tuple of array
        Observations in the order of their errors when the epoch began, where the plan asks for it.
    """

    weights: Array
    covariance: tuple[SymmetricMatrix, ...]
    lambda_: float
    epochs: float
    thresholds: Array
    ranking: Ranking = ()


@dataclass(eq=False)
class Kalman:
    """The optimizer.

    Parameters
    ----------
    memory : Memory
    plan : UpdatePlan
    rows : Rows
        Errors and derivatives of observations.
    blocks : sequence of slice
        The weights of each element.
    coupling : str
    matrix : callable
        (size, diagonal) -> SymmetricMatrix of the right precision, distributed over the ranks.
    thresholds : (float, float)
        Smallest errors that are used, of energies per atom and of force (and stress) components, in units of
        their last root mean square error.
    free : (n_weights,) bool, optional
        Which weights move; all by default.
    resets : bool
        Whether P begins anew every epoch.
    """

    memory: Memory
    plan: UpdatePlan
    rows: Rows
    blocks: Sequence[slice]
    coupling: Coupling
    matrix: Callable[[int, float], SymmetricMatrix]
    thresholds: tuple[float, float] = (0.0, 0.0)
    free: NDArray[np.bool_] | None = None
    resets: bool = False
    _updates: tuple[int, list[Update]] = field(default=(-1, []), init=False)
    _counts: tuple[int, ...] = field(default=(), init=False)  # of the updates with each quantity

    in_place = True

    @property
    def by_batches(self) -> bool:
        """As the plan of updates."""
        return self.plan.by_batches

    def start(self, weights: Array) -> KalmanState:
        """State before the first step."""
        return KalmanState(np.array(weights), self._covariance(), self.memory.lambda_, 0.0, np.zeros(3))

    def begin(self, state: KalmanState, criteria: Sequence[float], errors: Array) -> KalmanState:
        """State at the start of an epoch: thresholds follow the last errors."""
        energy, force = self.thresholds
        covariance = self._covariance() if self.resets else state.covariance
        thresholds = np.nan_to_num(errors[[0, 2, 3]]) * (energy, force, force)
        if self.plan.selection(len(criteria)) != 2:
            thresholds = np.zeros(3)
        return replace(state, covariance=covariance, thresholds=thresholds, ranking=())

    def n_steps(self, problem: Problem, epoch: int) -> int:
        """Updates of an epoch."""
        if self._updates[0] != epoch:
            updates = self.plan.updates(problem.batches(epoch), epoch)
            self._updates = (epoch, updates)
            self._counts = tuple(sum(each.has(k) for each in updates) for k in range(3))
        return len(self._updates[1])

    def advance(
        self, problem: Problem, state: KalmanState, epoch: int, number: int
    ) -> tuple[KalmanState, float]:
        """State after one update, and the loss estimated from its observations."""
        n_steps = self.n_steps(problem, epoch)
        if number == 0 and self.plan.selection(epoch) == 1:
            order = ranking(problem, state.weights, self.plan.n_components)
            state = replace(state, ranking=order)
        update = self._updates[1][number].resolved(state.ranking)
        errors, rows, losses = self.rows(problem, state.weights, update, epoch, state.thresholds)
        where = f"update {number + 1} of epoch {epoch}"
        demand_finite(float(np.abs(errors).sum()), where, "sum of the errors")
        later = replace(state, epochs=state.epochs + 1.0 / n_steps)
        loss = len(problem.training) * sum(x / max(n, 1) for x, n in zip(losses, self._counts, strict=True))
        return (self._corrected(later, errors, rows) if len(errors) else later), loss

    def _corrected(self, state: KalmanState, errors: Array, rows: Tensor) -> KalmanState:
        """The filter's equations for `errors`, (m,), and their derivatives `rows`, (m, n_weights)."""
        memory, weights, lambda_ = self.memory, state.weights.copy(), state.lambda_
        if self.free is not None:
            rows = rows * torch.from_numpy(self.free).to(rows.dtype)
        noise = lambda_ if memory.fading else 1.0 / memory.learning_rate(state.epochs)
        scale = 1.0 / lambda_ if memory.fading else 1.0
        columns = [rows[:, block].T.contiguous() for block in self._blocks]  # H, (n_block, m)
        products = [p.product(h) for p, h in zip(state.covariance, columns, strict=True)]
        inner = [h.T.double() @ x.double() for h, x in zip(columns, products, strict=True)]
        a = torch.stack(inner).sum(dim=0)  # H^T P H
        lower = _factor(0.5 * (a + a.T) + noise * torch.eye(len(a), dtype=torch.float64))
        xi = torch.linalg.solve_triangular(lower, torch.from_numpy(errors)[:, None], upper=False)
        for block, p, x in zip(self._blocks, state.covariance, products, strict=True):
            y = torch.linalg.solve_triangular(lower, x.T.double(), upper=False)  # Y^T, (m, n_block)
            weights[block] += (y.T @ xi)[:, 0].numpy()
            p.subtract(y.T.to(rows.dtype), scale)
            if (shift := memory.noise(state.epochs)) > 0.0:
                p.shift(shift)
        if memory.fading:
            lambda_ = memory.nu * lambda_ + 1.0 - memory.nu
        return replace(state, weights=weights, lambda_=lambda_)

    def _covariance(self) -> tuple[SymmetricMatrix, ...]:
        """P before the first update."""
        return tuple(self.matrix(b.stop - b.start, 1.0 / self.memory.epsilon) for b in self._blocks)

    @property
    def _blocks(self) -> Sequence[slice]:
        """Weights of each block of P."""
        return [slice(0, self.blocks[-1].stop)] if self.coupling == "full" else self.blocks

    def evaluated(self, state: KalmanState) -> Array:
        """w."""
        return state.weights

    def rate(self, state: KalmanState) -> float:
        """lambda, or eta."""
        return state.lambda_ if self.memory.fading else self.memory.learning_rate(state.epochs)

    def describe(self) -> dict[str, str]:
        """Lines for the log."""
        memory = self.memory
        form = f"fading memory, lambda {memory.lambda_:g}, nu {memory.nu:g}"
        if not memory.fading:
            form = f"standard, eta {memory.eta:g} to {max(memory.eta, memory.eta_max):g}"
        covariance = {"full": "of all weights together", "element": "of each element's weights, common gain"}
        lines = {
            "optimizer": f"extended Kalman filter, {form}",
            "updates": self.plan.describe(),
            "covariance": covariance[self.coupling] + ", anew every epoch" * self.resets,
        }
        if any(self.thresholds):
            energy, force = self.thresholds
            lines["thresholds"] = f"{energy:g} and {force:g} times the last RMSE of energies and forces"
        return lines

    def arrays(self, state: KalmanState) -> dict[str, NDArray[Any]]:
        """Contents of a state, for a checkpoint; called by all ranks."""
        own = {
            "weights": state.weights,
            "lambda": np.asarray(state.lambda_),
            "epochs": np.asarray(state.epochs),
            "thresholds": state.thresholds,
        }
        own |= {f"ranking_{quantity}": table for quantity, table in enumerate(state.ranking)}
        for number, matrix in enumerate(state.covariance):
            own |= {f"covariance_{number}_{name}": array for name, array in matrix.arrays().items()}
        return own

    def state_of(self, arrays: Mapping[str, NDArray[Any]]) -> KalmanState:
        """Undo :meth:`arrays`."""
        state = self.start(arrays["weights"])
        for number, matrix in enumerate(state.covariance):
            prefix = f"covariance_{number}_"
            own = {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}
            matrix.load(own)
        return replace(
            state,
            lambda_=float(arrays["lambda"]),
            epochs=float(arrays["epochs"]),
            thresholds=arrays["thresholds"],
            ranking=tuple(arrays[name] for name in sorted(arrays) if name.startswith("ranking_")),
        )


def _factor(matrix: Tensor) -> Tensor:
    """Cholesky factor L of A = L L^T."""
    lower: Tensor
    lower, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed) or not bool(torch.isfinite(lower).all()):
        raise NumericalError(
            "the covariance of the Kalman filter is no longer positive: rounding errors, or errors that are "
            "not finite. The files of the best epoch before are kept. Use `precision double`, a larger "
            "kalman_q0 and kalman_qmin, or a larger kalman_epsilon, and train again."
        )
    return lower
