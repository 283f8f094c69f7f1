"""How errors and derivatives come out of observations, on one rank and on several, and what is learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bnnp.training.kalman.observations import Observer, Responses
from bnnp.training.kalman.rows import Rows
from bnnp.training.kalman.updates import ENERGY, STRESS, Observation, Update
from bnnp.training.ranks import Ranks


class Alone:
    """The problem of one rank."""

    def total(self, values: np.ndarray) -> np.ndarray:
        return values


NOTHING = np.zeros(3)


@pytest.fixture
def rows(case: Callable[..., Any]) -> tuple[Any, Rows]:
    made = case("dropout_rate 0")
    observer = Observer(
        made.trainer.model.parameters,
        made.variables.inputs,
        made.trainer.dropout,
        Responses(made.descriptor),
    )
    return made, Rows(observer, made.trainer.samples, (4.0, 9.0, 0.0))


@pytest.mark.parametrize("delta", [0.0, 0.4])
def test_rows_sum_up_to_the_gradient_of_the_loss(case: Callable[..., Any], delta: float) -> None:
    """-2 H xi is the gradient of the loss, if all observations of a structure are taken up."""
    made = case("dropout_rate 0", "stress_weight 0.7", "force_weighting gdf", f"huber_delta {delta}")
    trainer, index = made.trainer, made.trainer.training[1]
    assert np.isfinite(trainer.samples.file.stress[index]).all()
    sizes = trainer.samples[index].force_weight
    assert float(sizes.std()) > 1e-3
    observer = Observer(
        trainer.model.parameters, made.variables.inputs, trainer.dropout, Responses(made.descriptor)
    )
    loss = trainer.loss
    prefactors = (loss.energy, loss.force, loss.stress)
    rows = Rows(observer, trainer.samples, prefactors, thresholds=loss.thresholds)
    update = Update(tuple((Observation(index, c),) for c in range(STRESS - 5, 24)))
    errors, table, losses = rows(Alone(), made.initial_weights(), update, 1, NOTHING)
    total, slope = trainer.gradient(made.initial_weights(), 1, [index])
    if delta == 0.0:
        assert float(errors @ errors) == pytest.approx(total, rel=1e-10)
        assert losses @ [1, 24, 6] == pytest.approx(total, rel=1e-10)
    np.testing.assert_allclose(
        -2.0 * errors @ table.numpy(), slope, rtol=1e-8, atol=1e-9 * np.abs(slope).max()
    )


def test_small_errors_are_left_out(rows: tuple[Any, Rows]) -> None:
    made, observe = rows
    index = made.trainer.training[0]
    update = Update(tuple((Observation(index, c),) for c in range(24)))
    everything, _, _ = observe(Alone(), made.initial_weights(), update, 1, NOTHING)
    sizes = np.abs(everything) / 3.0  # the factor is sqrt(9)
    threshold = float(np.sort(sizes)[-5])
    errors, table, _ = observe(
        Alone(), made.initial_weights(), update, 1, np.array([0.0, threshold * (1 + 1e-9), 0.0])
    )
    np.testing.assert_array_equal(errors, everything[sizes > threshold * (1 + 1e-9)])
    assert table.shape == (4, len(made.initial_weights()))
    none, table, _ = observe(Alone(), made.initial_weights(), update, 1, np.array([0.0, 1e9, 0.0]))
    assert len(none) == len(table) == 0


def test_runner_takes_up_errors_beyond_a_fixed_size(rows: tuple[Any, Rows]) -> None:
    """Energies per atom; forces divided by the number of atoms, 8."""
    made, observe = rows
    index = made.trainer.training[0]
    update = Update(tuple((Observation(index, c),) for c in range(ENERGY, 24)))
    every, _, _ = observe(Alone(), made.initial_weights(), update, 1, NOTHING)
    per_atom = np.abs(every) / np.append(2.0, np.full(24, 3.0 * 8))  # sqrt(4) and sqrt(9); row 0 is dE / 8
    force, energy = float(np.sort(per_atom[1:])[-7]) * 1.0000001, float(per_atom[0])
    for factor, n_energies in ((0.999, 1), (1.001, 0)):
        fixed = replace(observe, smallest=(factor * energy, force))
        errors, _, _ = fixed(Alone(), made.initial_weights(), update, 1, NOTHING)
        assert len(errors) == 6 + n_energies
        np.testing.assert_array_equal(
            errors, every[per_atom > np.append(factor * energy, np.full(24, force))]
        )
    relative = np.array([0.0, 8 * float(np.sort(per_atom[1:])[-4]) * 1.0000001, 0.0])  # the larger one counts
    errors, _, _ = fixed(Alone(), made.initial_weights(), update, 1, relative)
    assert len(errors) == 3


def test_damping_is_of_the_errors_alone(rows: tuple[Any, Rows]) -> None:
    made, observe = rows
    update = Update(tuple((Observation(made.trainer.training[0], c),) for c in (ENERGY, 3, STRESS)))
    observe = replace(observe, prefactors=(4.0, 9.0, 1.0))
    errors, table, losses = observe(Alone(), made.initial_weights(), update, 1, NOTHING)
    damped = replace(observe, damping=(0.5, 0.25))(Alone(), made.initial_weights(), update, 1, NOTHING)
    np.testing.assert_allclose(damped[0], errors * [0.5, 0.25, 1.0], rtol=1e-12)
    torch.testing.assert_close(damped[1], table)
    np.testing.assert_array_equal(damped[2], losses)


def test_a_stream_chooses_among_its_trials(rows: tuple[Any, Rows]) -> None:
    made, observe = rows
    index = made.trainer.training[0]
    every, _, _ = observe(
        Alone(), made.initial_weights(), Update(tuple((Observation(index, c),) for c in range(6))), 1, NOTHING
    )
    stream = tuple(Observation(index, c) for c in range(6))
    sizes = np.abs(every) / 3.0
    limit = float(np.sort(sizes)[2]) * (1 + 1e-9)

    def taken(threshold: float, **how: Any) -> int:
        found, _, _ = observe(
            Alone(), made.initial_weights(), Update((stream,), **how), 1, np.array([0.0, threshold, 0.0])
        )
        return int(np.argmin(np.abs(found[0] - every)))

    assert taken(0.0, otherwise="worst") == 0
    assert taken(limit, otherwise="worst") == np.argmax(sizes > limit)  # the first that is large enough
    assert taken(1e9, otherwise="worst") == np.argmax(sizes)


def test_groups_are_averaged_with_all_errors_positive(rows: tuple[Any, Rows]) -> None:
    """So that errors of both signs do not cancel."""
    made, observe = rows
    index = made.trainer.training[0]
    streams = tuple((Observation(index, c),) for c in range(6))
    every, table, _ = observe(Alone(), made.initial_weights(), Update(streams), 1, NOTHING)
    errors, rows_, _ = observe(Alone(), made.initial_weights(), Update(streams, groups=2), 1, NOTHING)
    assert (every[:3] < 0).any()
    assert (every[:3] > 0).any()
    np.testing.assert_allclose(errors, [np.abs(every[:3]).mean(), np.abs(every[3:]).mean()], rtol=1e-12)
    table *= torch.from_numpy(np.sign(every))[:, None]
    torch.testing.assert_close(rows_, torch.stack([table[:3].mean(0), table[3:].mean(0)]))


def test_ranks_add_up_to_one(rows: tuple[Any, Rows]) -> None:
    made, observe = rows
    streams = tuple((Observation(index, c),) for index in made.trainer.training[:5] for c in (ENERGY, 3, 20))
    one, table, _ = observe(Alone(), made.initial_weights(), Update(streams), 1, NOTHING)
    tables: list[np.ndarray] = []

    class Collect:
        def total(self, values: np.ndarray) -> np.ndarray:
            tables.append(values.copy())
            return values

    for rank in range(3):
        replace(observe, mine=Ranks(rank, 3).share)(
            Collect(), made.initial_weights(), Update(streams), 1, NOTHING
        )
    assert all((part[:, -1] > 0).any() for part in tables)
    total = sum(tables)
    np.testing.assert_allclose(total[:, len(made.initial_weights())], one, rtol=1e-12)
    np.testing.assert_allclose(total[:, : len(made.initial_weights())], table.numpy(), rtol=1e-12)


def test_unknown_references_are_left_out(case: Callable[..., Any]) -> None:
    plain = case("dropout_rate 0")
    limit = np.median(np.abs(plain.file.forces[plain.file.atoms(plain.trainer.training[0])]))
    made = case("dropout_rate 0", f"max_force {limit}")
    observer = Observer(
        made.trainer.model.parameters,
        made.variables.inputs,
        made.trainer.dropout,
        Responses(made.descriptor),
    )
    observe = Rows(observer, made.trainer.samples, (4.0, 9.0, 0.0))
    index = made.trainer.training[0]
    known = made.trainer.samples[index].forces.isfinite().reshape(-1)
    assert 0 < int(known.sum()) < 24
    update = Update(tuple((Observation(index, c),) for c in range(24)))
    errors, _, _ = observe(Alone(), made.initial_weights(), update, 1, NOTHING)
    assert len(errors) == int(known.sum())


def test_runner_words_reach_the_filter(case: Callable[..., Any]) -> None:
    lines = (
        *("kalman_updates runner", "optimizer kalman", "reset_kalman", "kalman_damp_force 0.3"),
        *("fixed_short_energy_error_threshold 0.002", "noise_energy 0.001", "noise_force 0.004"),
    )
    made = case(*lines)
    rows, scale = made.trainer.optimizer.rows, made.variables.scale
    np.testing.assert_allclose(rows.smallest, [0.002 / scale, 0.004 / scale])
    assert rows.damping == (1.0, 0.3)
    assert made.trainer.optimizer.resets
    joint = case("kalman_updates joint", *lines[1:]).trainer.optimizer
    assert (joint.rows.smallest, joint.rows.damping, joint.resets) == ((0.0, 0.0), (1.0, 1.0), False)


def test_ranks_is_the_loops(case: Callable[..., Any]) -> None:
    """The update of the filter is the same whatever the number of ranks: plans do not know them."""
    made = case("optimizer kalman")
    plan, batches = made.trainer.optimizer.plan, [list(made.trainer.training[:3])]
    other = replace(made.trainer, ranks=Ranks(1, 4)).optimizer.plan
    assert plan.updates(batches, 1) == other.updates(batches, 1)


HABITS = {
    "joint": ("kalman_components 9",),
    "runner": ("kalman_updates runner", "short_force_fraction 0.1", "kalman_lambda_short 0.998"),
    "n2p2": ("kalman_updates n2p2", "short_force_fraction 0.1", "selection_mode 0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("habit", HABITS)
def test_stress_errors_fall_where_the_stress_is_trained(case: Callable[..., Any], habit: str) -> None:
    """With the energies and a few forces the stress is learnt in part; with its own rows much better."""
    errors = {}
    for weight in (0.0, 1.0):
        lines = ("dropout_rate 0", "optimizer kalman", f"stress_weight {weight}", "epochs 3")
        made = case("epochs 6 off", *lines, *HABITS[habit])
        states = list(made.trainer.run(made.trainer.start(made.initial_weights()), lambda: False))
        errors[weight] = [record.train_rmse[3] for record in states[-1].history]
    assert errors[1.0][-1] < 0.25 * errors[1.0][0]
    assert errors[1.0][-1] < 0.8 * errors[0.0][-1]
