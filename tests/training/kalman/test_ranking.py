"""The order of errors, against the torch model and a plain sort, on one rank and on several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bnnp.training.evaluation import Evaluation
from bnnp.training.kalman.ranking import ranking
from bnnp.training.kalman.updates import ENERGY
from bnnp.training.ranks import Ranks
from bnnp.training.samples import Batch


@pytest.fixture
def made(case: Callable[..., Any]) -> Any:
    plain = case("dropout_rate 0")
    limit = np.quantile(np.abs(plain.file.forces), 0.9)  # beyond it there is no reference
    return case("dropout_rate 0", "optimizer kalman", "kalman_updates n2p2", f"max_force {limit}")


def errors_of(made: Any) -> list[dict[tuple[int, int], float]]:
    """By observation, of energies and force components; -1 without a reference."""
    trainer, found = made.trainer, [{}, {}]  # type: ignore[var-annotated]
    for index in trainer.training:
        sample = trainer.samples[index]
        predicted = trainer.model(torch.tensor(made.initial_weights()), Batch.of([sample]), {})
        energy, forces = (each.detach() for each in predicted[:2])
        found[0][index, ENERGY] = abs(float(energy[0]) - sample.energy) / sample.n_atoms
        for c, error in enumerate((forces - sample.forces).abs().reshape(-1).tolist()):
            found[1][index, c] = -1.0 if np.isnan(error) else error
    return found


def test_observations_come_by_their_errors(made: Any) -> None:
    plan = made.trainer.optimizer.plan
    tables = ranking(made.trainer, made.initial_weights(), plan.n_components)
    unknown = 0
    for table, errors in zip(tables, errors_of(made), strict=True):
        assert len(table) == len(errors) > 10
        assert {tuple(each) for each in table.tolist()} == set(errors)
        sizes = np.array([errors[tuple(each)] for each in table.tolist()])  # type: ignore[index]
        assert (np.diff(sizes) <= 1e-5 * sizes.max()).all()  # stored derivatives are float32
        assert sizes[0] > 2 * sizes[len(sizes) // 2] > 0
        unknown += int((sizes < 0).sum())
    assert unknown > 5


def test_several_ranks_give_the_same_order(made: Any) -> None:
    trainer, plan, parts = made.trainer, made.trainer.optimizer.plan, []

    def part(values: np.ndarray) -> np.ndarray:
        parts.append(values[:-1].copy())
        return values

    for rank in range(3):
        ranking(replace(trainer, ranks=Ranks(rank, 3, part)), made.initial_weights(), plan.n_components)
    assert all((values != 0).any() for values in parts)
    one: list[np.ndarray] = []
    alone = Ranks(0, 1, lambda values: (one.append(values[:-1].copy()), values)[1])
    ranking(replace(trainer, ranks=alone), made.initial_weights(), plan.n_components)
    np.testing.assert_allclose(sum(parts), one[0], rtol=1e-12)


def test_the_largest_errors_come_first_in_a_training(case: Callable[..., Any]) -> None:
    lines = ("optimizer kalman", "kalman_updates n2p2", "short_force_fraction 0.1", "selection_mode 2 2 1")
    made = case("dropout_rate 0", *lines)
    trainer = made.trainer
    kalman, seen = trainer.optimizer, []
    observe = kalman.rows

    class Spy:
        def __call__(self, problem: Any, weights: Any, update: Any, *rest: Any) -> Any:
            seen.extend(stream[0] for stream in update.streams)
            return observe(problem, weights, update, *rest)

    kalman.rows = Spy()
    state = kalman.start(made.initial_weights())
    state = kalman.begin(state, [1.0, 1.0], np.ones(4))  # epoch 2
    np.testing.assert_array_equal(state.thresholds, np.zeros(3))
    n_steps = kalman.n_steps(trainer, 2)
    for number in range(n_steps):
        state, _ = kalman.advance(trainer, state, 2, number)
    for quantity, errors in enumerate(errors_of(made)):
        taken = [tuple(o) for o in seen if o.quantity == quantity]
        sizes = [errors[each] for each in taken]  # type: ignore[index]
        assert len(taken) > 3
        assert (np.diff(sizes) <= 1e-5 * max(sizes)).all()
        assert min(sizes) == pytest.approx(sorted(errors.values())[-len(taken)], rel=1e-4)


def test_energies_are_compared_per_atom_and_unknown_references_come_last() -> None:
    def evaluation(energy: float, forces: Any) -> Evaluation:
        zeros, stress = np.zeros((len(forces), 3)), np.full(6, np.nan)
        return Evaluation(energy, 0.0, zeros, np.array(forces, dtype=float), stress, stress)

    class Three:
        training = (4, 1, 2)

        def evaluations(self, weights: Any, indices: Any) -> Any:
            return {
                1: evaluation(-2.0, [[5.0, np.nan, 0.0]]),
                2: evaluation(6.0, np.zeros((4, 3))),  # the largest total
                4: evaluation(5.0, [[0.0, -7.0, 1.0], [6.0, np.nan, 2.0]]),
            }.items()

        def total(self, values: np.ndarray) -> np.ndarray:
            return values

    energies, forces = ranking(Three(), np.zeros(1), np.array([0, 3, 0, 0, 6]))  # type: ignore[arg-type]
    assert energies.tolist() == [[4, ENERGY], [1, ENERGY], [2, ENERGY]]
    assert forces.tolist() == [[4, 1], [4, 3], [1, 0], [4, 5], [4, 2], [4, 0], [1, 2], [4, 4], [1, 1]]
