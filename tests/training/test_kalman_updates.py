"""What each habit takes up in an epoch, and how rows come out of it, on one rank and on several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bnnp.training.kalman_rows import Rows
from bnnp.training.kalman_updates import (
    ENERGY,
    STRESS,
    JointPlan,
    N2p2Plan,
    Observation,
    RunnerPlan,
    Update,
)
from bnnp.training.observations import Observer, Responses
from bnnp.training.ranks import Ranks

COUNTS = np.array([6, 9, 3, 12, 6, 30])  # force components of six structures
BATCHES = [[3, 0], [5, 1], [4]]  # structure 2 is not for training


def observations(updates: list[Update]) -> list[Observation]:
    return [each for update in updates for stream in update.streams for each in stream]


def split(updates: list[Update]) -> tuple[list[int], list[Observation]]:
    """Structures whose energies are taken up, and the force components."""
    found = observations(updates)
    return [o.structure for o in found if o.component == ENERGY], [o for o in found if o.component != ENERGY]


def test_joint_update_takes_a_batch() -> None:
    updates = JointPlan(1, COUNTS, True, 7).updates(BATCHES, 1)
    assert [sorted({o.structure for o in observations([u])}) for u in updates] == [[0, 3], [1, 5], [4]]
    energies, forces = split(updates)
    assert energies == [3, 0, 5, 1, 4]
    assert len(set(forces)) == len(forces)
    assert Counter(o.structure for o in forces) == {3: 9, 0: 6, 5: 9, 1: 9, 4: 6}  # whole atoms
    other = split(JointPlan(1, COUNTS, True, 7).updates(BATCHES, 2))[1]
    assert set(other) != set(forces)
    assert len(split(JointPlan(1, COUNTS, True, 0).updates(BATCHES, 1))[1]) == 63
    assert split(JointPlan(1, COUNTS, False, 0).updates(BATCHES, 1))[0] == []


def test_runner_goes_from_structure_to_structure() -> None:
    plan = RunnerPlan(1, COUNTS, 1.0, 0.5, repeated=True)
    updates = plan.updates(BATCHES, 1)
    assert all(len(update.streams) == 1 for update in updates)
    order = [o.structure for o in observations(updates)]
    assert list(dict.fromkeys(order)) == [3, 0, 5, 1, 4]
    energies, forces = split(updates)
    assert energies == [3, 3, 0, 0, 5, 5, 1, 1, 4, 4]  # again after the forces
    assert abs(len(forces) - 31.5) < 4 * np.sqrt(63 / 4)  # binomial
    assert observations(updates)[0].component == ENERGY
    grouped = RunnerPlan(1, COUNTS, 1.0, 1.0, force_group=4).updates([[3]], 1)
    assert [len(update.streams) for update in grouped] == [1, 4, 4, 4]
    assert all(update.groups == 1 for update in grouped)


def test_n2p2_mixes_energies_and_forces() -> None:
    plan = N2p2Plan(1, COUNTS, 1.0, 0.25, tasks=2, trials=3)
    updates = plan.updates(BATCHES, 1)
    kinds = [update.streams[0][0].component == ENERGY for update in updates]
    assert kinds.count(True) == round(5 / 2)
    assert kinds.count(False) == round(0.25 * 63 / 2)
    assert kinds != sorted(kinds)
    assert {len(update.streams) for update in updates} == {2}
    assert {len(stream) for update in updates for stream in update.streams} == {3}
    _, forces = split(updates)
    assert all(0 <= o.component < COUNTS[o.structure] and o.structure != 2 for o in forces)
    assert len(set(forces)) == len(forces)
    assert [o.component for o in forces] != sorted(o.component for o in forces)


def test_n2p2_takes_the_whole_set_at_once_for_batch_size_zero() -> None:
    updates = N2p2Plan(1, COUNTS, 1.0, 1.0, energy_batch=0, force_batch=0).updates(BATCHES, 1)
    assert sorted(len(update.streams) for update in updates) == [5, 63]


@pytest.mark.parametrize("plan", [JointPlan(1, COUNTS, True, 7), RunnerPlan(1, COUNTS, 0.5, 0.5)])
def test_epochs_can_be_repeated(plan: Any) -> None:
    assert plan.updates(BATCHES, 3) == plan.updates(BATCHES, 3)
    assert plan.updates(BATCHES, 3) != plan.updates(BATCHES, 4)


def test_stresses_come_with_the_other_observations() -> None:
    stressed = frozenset({0, 1, 2, 5})  # 2 is not for training

    def found(plan: Any, epoch: int = 1) -> list[list[Observation]]:
        updates = [[o for o in observations([u]) if o.quantity == 2] for u in plan.updates(BATCHES, epoch)]
        return [update for update in updates if update]

    every = [Observation(s, STRESS - k) for s in (0, 5, 1) for k in range(6)]
    joint = found(JointPlan(1, COUNTS, True, 7, stressed))
    assert joint == [every[:6], every[6:]]  # with the batches [3, 0] and [5, 1]
    plan = RunnerPlan(1, COUNTS, 1.0, 0.5, force_group=4, stressed=stressed)
    assert found(plan) == [every[:6], every[6:12], every[12:]]
    updates = plan.updates(BATCHES, 1)
    assert {u.groups for u in updates if u.has(2)} == {0}  # a row each
    order = [u.streams[0][0].structure for u in updates]
    assert list(dict.fromkeys(order)) == [3, 0, 5, 1, 4]
    fewer = [len(found(RunnerPlan(1, COUNTS, 1.0, 0.5, 1, 1, False, stressed, 0.4), e)) for e in range(99)]
    assert abs(np.mean(fewer) - 0.4 * 3) < 4 * np.sqrt(3 * 0.4 * 0.6 / 99)  # binomial
    n2p2 = found(N2p2Plan(1, COUNTS, 1.0, 0.25, stressed=stressed))
    assert sorted(n2p2) == sorted([each] for each in every)
    assert n2p2 != sorted(n2p2)
    half = found(N2p2Plan(1, COUNTS, 1.0, 0.25, tasks=2, stressed=stressed, stress_share=0.5))
    assert [len(update) for update in half] == [2] * round(0.5 * 18 / 2)
    energies = split(N2p2Plan(1, COUNTS, 0.0, 0.0, stressed=stressed).updates(BATCHES, 1))[0]
    assert energies == []


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
        made.normalized.inputs,
        made.trainer.dropout,
        Responses(made.descriptor),
    )
    return made, Rows(observer, made.trainer.samples, 4.0, 9.0)


@pytest.mark.parametrize("delta", [0.0, 0.4])
def test_rows_sum_up_to_the_gradient_of_the_loss(case: Callable[..., Any], delta: float) -> None:
    """-2 H xi is the gradient of the loss, if all observations of a structure are taken up."""
    made = case("dropout_rate 0", "stress_weight 0.7", "force_weighting gdf", f"huber_delta {delta}")
    trainer, index = made.trainer, made.trainer.training[1]
    assert np.isfinite(trainer.samples.file.stress[index]).all()
    sizes = trainer.samples[index].force_weight
    assert float(sizes.std()) > 1e-3
    observer = Observer(
        trainer.model.parameters, made.normalized.inputs, trainer.dropout, Responses(made.descriptor)
    )
    loss = trainer.loss
    rows = Rows(observer, trainer.samples, loss.energy, loss.force, loss.stress, thresholds=loss.thresholds)
    update = Update(tuple((Observation(index, c),) for c in range(STRESS - 5, 24)))
    errors, table, losses = rows(Alone(), made.weights, update, 1, NOTHING)
    total, slope = trainer.gradient(made.weights, 1, [index])
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
    everything, _, _ = observe(Alone(), made.weights, update, 1, NOTHING)
    sizes = np.abs(everything) / 3.0  # the factor is sqrt(9)
    threshold = float(np.sort(sizes)[-5])
    errors, table, _ = observe(Alone(), made.weights, update, 1, np.array([0.0, threshold * (1 + 1e-9), 0.0]))
    np.testing.assert_array_equal(errors, everything[sizes > threshold * (1 + 1e-9)])
    assert table.shape == (4, len(made.weights))
    none, table, _ = observe(Alone(), made.weights, update, 1, np.array([0.0, 1e9, 0.0]))
    assert len(none) == len(table) == 0


def test_runner_takes_up_errors_beyond_a_fixed_size(rows: tuple[Any, Rows]) -> None:
    """Energies per atom; forces divided by the number of atoms, 8."""
    made, observe = rows
    index = made.trainer.training[0]
    update = Update(tuple((Observation(index, c),) for c in range(ENERGY, 24)))
    every, _, _ = observe(Alone(), made.weights, update, 1, NOTHING)
    per_atom = np.abs(every) / np.append(2.0, np.full(24, 3.0 * 8))  # sqrt(4) and sqrt(9); row 0 is dE / 8
    force, energy = float(np.sort(per_atom[1:])[-7]) * 1.0000001, float(per_atom[0])
    for factor, n_energies in ((0.999, 1), (1.001, 0)):
        fixed = replace(observe, smallest=(factor * energy, force))
        errors, _, _ = fixed(Alone(), made.weights, update, 1, NOTHING)
        assert len(errors) == 6 + n_energies
        np.testing.assert_array_equal(
            errors, every[per_atom > np.append(factor * energy, np.full(24, force))]
        )
    relative = np.array([0.0, 8 * float(np.sort(per_atom[1:])[-4]) * 1.0000001, 0.0])  # the larger one counts
    errors, _, _ = fixed(Alone(), made.weights, update, 1, relative)
    assert len(errors) == 3


def test_damping_is_of_the_errors_alone(rows: tuple[Any, Rows]) -> None:
    made, observe = rows
    update = Update(tuple((Observation(made.trainer.training[0], c),) for c in (ENERGY, 3, STRESS)))
    observe = replace(observe, stress=1.0)
    errors, table, losses = observe(Alone(), made.weights, update, 1, NOTHING)
    damped = replace(observe, damping=(0.5, 0.25))(Alone(), made.weights, update, 1, NOTHING)
    np.testing.assert_allclose(damped[0], errors * [0.5, 0.25, 1.0], rtol=1e-12)
    torch.testing.assert_close(damped[1], table)
    np.testing.assert_array_equal(damped[2], losses)


def test_a_stream_chooses_among_its_trials(rows: tuple[Any, Rows]) -> None:
    made, observe = rows
    index = made.trainer.training[0]
    every, _, _ = observe(
        Alone(), made.weights, Update(tuple((Observation(index, c),) for c in range(6))), 1, NOTHING
    )
    stream = tuple(Observation(index, c) for c in range(6))
    sizes = np.abs(every) / 3.0
    limit = float(np.sort(sizes)[2]) * (1 + 1e-9)

    def taken(threshold: float, **how: Any) -> int:
        found, _, _ = observe(
            Alone(), made.weights, Update((stream,), **how), 1, np.array([0.0, threshold, 0.0])
        )
        return int(np.argmin(np.abs(found[0] - every)))

    assert taken(0.0, otherwise="worst") == 0
    assert taken(limit, otherwise="worst") == np.argmax(sizes > limit)  # the first that is large enough
    assert taken(1e9, otherwise="worst") == np.argmax(sizes)
    assert taken(0.0, sort=True) == np.argmax(sizes)


def test_groups_are_averaged(rows: tuple[Any, Rows]) -> None:
    made, observe = rows
    index = made.trainer.training[0]
    streams = tuple((Observation(index, c),) for c in range(6))
    every, table, _ = observe(Alone(), made.weights, Update(streams), 1, NOTHING)
    errors, rows_, _ = observe(Alone(), made.weights, Update(streams, groups=2), 1, NOTHING)
    np.testing.assert_allclose(errors, [every[:3].mean(), every[3:].mean()], rtol=1e-12)
    torch.testing.assert_close(rows_, torch.stack([table[:3].mean(0), table[3:].mean(0)]))


def test_ranks_add_up_to_one(rows: tuple[Any, Rows]) -> None:
    made, observe = rows
    streams = tuple((Observation(index, c),) for index in made.trainer.training[:5] for c in (ENERGY, 3, 20))
    one, table, _ = observe(Alone(), made.weights, Update(streams), 1, NOTHING)
    tables: list[np.ndarray] = []

    class Collect:
        def total(self, values: np.ndarray) -> np.ndarray:
            tables.append(values.copy())
            return values

    for rank in range(3):
        replace(observe, mine=Ranks(rank, 3).share)(Collect(), made.weights, Update(streams), 1, NOTHING)
    assert all((part[:, -1] > 0).any() for part in tables)
    total = sum(tables)
    np.testing.assert_allclose(total[:, len(made.weights)], one, rtol=1e-12)
    np.testing.assert_allclose(total[:, : len(made.weights)], table.numpy(), rtol=1e-12)


def test_unknown_references_are_left_out(case: Callable[..., Any]) -> None:
    plain = case("dropout_rate 0")
    limit = np.median(np.abs(plain.file.forces[plain.file.atoms(plain.trainer.training[0])]))
    made = case("dropout_rate 0", f"max_force {limit}")
    observer = Observer(
        made.trainer.model.parameters,
        made.normalized.inputs,
        made.trainer.dropout,
        Responses(made.descriptor),
    )
    observe = Rows(observer, made.trainer.samples, 4.0, 9.0)
    index = made.trainer.training[0]
    known = made.trainer.samples[index].forces.isfinite().reshape(-1)
    assert 0 < int(known.sum()) < 24
    update = Update(tuple((Observation(index, c),) for c in range(24)))
    errors, _, _ = observe(Alone(), made.weights, update, 1, NOTHING)
    assert len(errors) == int(known.sum())


def test_runner_words_reach_the_filter(case: Callable[..., Any]) -> None:
    lines = (
        *("kalman_updates runner", "optimizer kalman", "reset_kalman", "kalman_damp_force 0.3"),
        *("fixed_short_energy_error_threshold 0.002", "noise_energy 0.001", "noise_force 0.004"),
    )
    made = case(*lines)
    rows, scale = made.trainer.optimizer.rows, made.normalized.scale
    np.testing.assert_allclose(rows.smallest, [0.002 / scale, 0.004 / scale])
    assert rows.damping == (1.0, 0.3)
    assert made.trainer.optimizer.resets
    joint = case("kalman_updates joint", *lines[1:]).trainer.optimizer
    assert (joint.rows.smallest, joint.rows.damping, joint.resets) == ((0.0, 0.0), (1.0, 1.0), False)


def test_ranks_is_the_loops(case: Callable[..., Any]) -> None:
    """The update of the filter is the same whatever the number of ranks: plans do not know them."""
    made = case("optimizer kalman")
    plan = made.trainer.optimizer.plan
    assert plan.updates(BATCHES[:1], 1) == replace(made.trainer, ranks=Ranks(1, 4)).optimizer.plan.updates(
        BATCHES[:1], 1
    )


HABITS = {
    "joint": ("kalman_components 9",),
    "runner": ("kalman_updates runner", "short_force_fraction 0.1", "kalman_lambda_short 0.998"),
    "n2p2": ("kalman_updates n2p2", "short_force_fraction 0.1", "selection_mode 0"),
}


@pytest.mark.parametrize("habit", HABITS)
def test_stress_errors_fall_where_the_stress_is_trained(case: Callable[..., Any], habit: str) -> None:
    """With the energies and a few forces the stress is learnt in part; with its own rows much better."""
    errors = {}
    for weight in (0.0, 1.0):
        lines = ("dropout_rate 0", "optimizer kalman", f"stress_weight {weight}", "epochs 3")
        made = case("epochs 6 off", *lines, *HABITS[habit])
        states = list(made.trainer.run(made.trainer.start(made.weights), lambda: False))
        errors[weight] = [record.train_rmse[3] for record in states[-1].history]
    assert errors[1.0][-1] < 0.25 * errors[1.0][0]
    assert errors[1.0][-1] < 0.8 * errors[0.0][-1]
