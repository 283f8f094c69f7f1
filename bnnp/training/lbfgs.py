"""L-BFGS: quasi-Newton steps on the whole training set, with a strong Wolfe line search.

The direction is -H g with the inverse Hessian H of the last `memory` pairs of steps and gradient changes
(Nocedal, Math. Comput. 35, 773 (1980)); the step along it satisfies the strong Wolfe conditions (Nocedal and
Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6). Both are torch.optim.LBFGS; this module passes
it the gradient of all ranks and keeps its state. An epoch is one iteration. With dropout the masks stay the
same throughout, because a line search needs one function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bnnp.messages import count
from bnnp.training.optimizer import Problem, arrays_of, state_from

Array = NDArray[np.float64]

MASKS = 0  # epoch whose dropout masks are used
EVALUATIONS = 25  # the most in one line search


@dataclass(frozen=True, eq=False)
class LbfgsState:
    """State of the optimizer, with k pairs in its memory.

    Parameters
    ----------
    weights : (n_weights,) float64
    steps, changes : (k, n_weights) float64
        Steps taken and the changes of the gradient over them.
    former : (n_weights,) float64
        Gradient at the weights before the last step; zeros before the first one.
    direction : (n_weights,) float64
    scale, length, former_loss : float
        Scale of the initial inverse Hessian, length of the last step, loss before it.
    iterations, evaluations : int
    loss : float
        At `weights`, summed over structures; NaN if not known yet.
    gradient : (n_weights,) float64
        Likewise.
    """

    weights: Array
    steps: Array
    changes: Array
    former: Array
    direction: Array
    scale: float
    length: float
    former_loss: float
    iterations: int
    evaluations: int
    loss: float
    gradient: Array


@dataclass(frozen=True, eq=False)
class Lbfgs:
    """The optimizer.

    Parameters
    ----------
    memory : int
        Pairs of steps and gradient changes that are kept.
    free : (n_weights,) bool, optional
        Which weights move; all by default.
    """

    memory: int = 20
    free: NDArray[np.bool_] | None = None

    in_place = False
    by_batches = False  # a line search goes through the set several times, announced as it does

    def start(self, weights: Array) -> LbfgsState:
        """State before the first step."""
        none, zeros = np.empty((0, len(weights))), np.zeros_like(weights)
        return LbfgsState(
            weights=np.array(weights),
            steps=none,
            changes=none,
            former=zeros,
            direction=zeros,
            scale=1.0,
            length=0.0,
            former_loss=0.0,
            iterations=0,
            evaluations=0,
            loss=float("nan"),
            gradient=zeros,
        )

    def begin(self, state: LbfgsState, criteria: Sequence[float], errors: Array) -> LbfgsState:
        """Nothing depends on the epoch."""
        return state

    def n_steps(self, problem: Problem, epoch: int) -> int:
        """One iteration an epoch."""
        return 1

    def advance(
        self, problem: Problem, state: LbfgsState, epoch: int, number: int
    ) -> tuple[LbfgsState, float]:
        """State after one iteration, and the summed loss before it."""
        known = [] if np.isnan(state.loss) else [(state.weights, state.loss, state.gradient)]
        weights = torch.tensor(state.weights, requires_grad=True)

        def closure() -> float:
            here = weights.detach().numpy().copy()
            found = next((entry for entry in known if np.array_equal(entry[0], here)), None)
            if found is None:
                found = (here, *self._slope(problem, here))
                known.append(found)
            weights.grad = torch.from_numpy(found[2].copy())
            return found[1]

        inner = torch.optim.LBFGS(
            [weights],
            max_iter=1,
            max_eval=EVALUATIONS,
            history_size=self.memory,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )
        inner.state[weights].update(_torch_state(state))
        before = float(inner.step(closure))  # type: ignore[no-untyped-call]
        final = weights.detach().numpy().copy()
        _, loss, gradient = next(
            (e for e in known if np.array_equal(e[0], final)), (None, np.nan, state.former)
        )
        evaluations = state.evaluations + len(known) - (not np.isnan(state.loss))
        kept = _own_state(inner.state[weights])
        new = LbfgsState(final, **kept, evaluations=evaluations, loss=loss, gradient=gradient)
        return new, before

    def _slope(self, problem: Problem, weights: Array) -> tuple[float, Array]:
        """Loss of the training set and its gradient; frozen weights have none."""
        loss, slope = problem.slope(weights, MASKS, problem.training)
        return loss, slope if self.free is None else np.where(self.free, slope, 0.0)

    def evaluated(self, state: LbfgsState) -> Array:
        """The weights."""
        return state.weights

    def rate(self, state: LbfgsState) -> float:
        """Length of the last step in units of the quasi-Newton step."""
        return state.length

    def describe(self) -> dict[str, str]:
        """Lines for the log."""
        return {
            "optimizer": f"L-BFGS, {count(self.memory, 'pair')}, strong Wolfe line search, one iteration "
            "an epoch"
        }

    def arrays(self, state: LbfgsState) -> dict[str, NDArray[Any]]:
        """Fields of a state, for a checkpoint."""
        return arrays_of(state)

    def state_of(self, arrays: Mapping[str, NDArray[Any]]) -> LbfgsState:
        """Undo :meth:`arrays`."""
        return state_from(LbfgsState, arrays)


def _torch_state(state: LbfgsState) -> dict[str, Any]:
    """The state in the form of torch.optim.LBFGS; empty before the first iteration."""
    if not state.iterations:
        return {}
    steps, changes = ([torch.from_numpy(row.copy()) for row in rows] for rows in (state.steps, state.changes))
    return {
        "func_evals": state.evaluations,
        "n_iter": state.iterations,
        "d": torch.from_numpy(state.direction.copy()),
        "t": state.length,
        "old_dirs": changes,
        "old_stps": steps,
        "ro": [1.0 / change.dot(step) for change, step in zip(changes, steps, strict=True)],
        "H_diag": torch.tensor(state.scale, dtype=torch.float64),
        "prev_flat_grad": torch.from_numpy(state.former.copy()),
        "prev_loss": state.former_loss,
    }


def _own_state(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Undo :func:`_torch_state`, as keywords of :class:`LbfgsState`."""
    n = len(kept["d"])
    return {
        "steps": np.array([row.numpy() for row in kept["old_stps"]]).reshape(-1, n),
        "changes": np.array([row.numpy() for row in kept["old_dirs"]]).reshape(-1, n),
        "former": kept["prev_flat_grad"].numpy().copy(),
        "direction": kept["d"].numpy().copy(),
        "scale": float(kept["H_diag"]),
        "length": float(kept["t"]),
        "former_loss": float(kept["prev_loss"]),
        "iterations": int(kept["n_iter"]),
    }
