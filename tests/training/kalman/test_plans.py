"""What each habit takes up in an epoch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from bnnp.training.kalman.plans import JointPlan, N2p2Plan, RunnerPlan
from bnnp.training.kalman.updates import ENERGY, STRESS, Observation, Update

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


def test_sorted_observations_are_taken_up_from_the_first_on() -> None:
    plan = N2p2Plan(
        1, COUNTS, 0.6, 0.25, trials=3, modes=((0, 1),), stressed=frozenset({0, 5}), stress_share=0.6
    )
    updates = plan.updates(BATCHES, 1)
    assert all(update.ranked != update.has(2) and update.streams[0][1:] == () for update in updates)
    assert sum(update.has(2) for update in updates) == 1
    taken = [update.streams[0][0] for update in updates]
    places = {quantity: [o.structure for o in taken if o.quantity == quantity] for quantity in range(2)}
    assert places == {0: [0, 1, 2], 1: list(range(16))}  # of 5 and 63
    kinds = [o.quantity for o in taken]
    assert kinds != sorted(kinds)
    grouped = N2p2Plan(1, COUNTS, 1.0, 0.0, energy_batch=2, tasks=2, modes=((0, 1),)).updates(BATCHES, 1)
    assert [[stream[0].structure for stream in update.streams] for update in grouped] == [[0, 1, 2, 3]]


def test_places_become_observations() -> None:
    tables = [np.array([[4, ENERGY], [3, ENERGY]]), np.array([[3, 7], [4, 2]])]
    update = Update(((Observation(1, ENERGY),), (Observation(0, 0),)), ranked=True)
    assert observations([update.resolved(tables)]) == [(3, ENERGY), (3, 7)]
    plain = Update(((Observation(1, ENERGY),),))
    assert plain.resolved(()) is plain


def test_selection_changes_with_the_epochs() -> None:
    plan = N2p2Plan(1, COUNTS, 1.0, 0.25, trials=3, modes=((0, 2), (15, 1), (20, 0)))
    assert [plan.selection(epoch) for epoch in (1, 14, 15, 19, 20, 99)] == [2, 2, 1, 1, 0, 0]
    lengths = [
        {len(s) for update in plan.updates(BATCHES, epoch) for s in update.streams} for epoch in (1, 15, 20)
    ]
    assert lengths == [{3}, {1}, {1}]  # trials are a matter of thresholds
    assert [any(update.ranked for update in plan.updates(BATCHES, e)) for e in (1, 15, 20)] == [0, 1, 0]


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
    n2p2 = N2p2Plan(1, COUNTS, 1.0, 0.25, stressed=stressed)
    assert sorted(found(n2p2)) == sorted([every[:6], every[6:12], every[12:]])
    assert {u.groups for u in n2p2.updates(BATCHES, 1) if u.has(2)} == {0}
    kinds = [u.streams[0][0].quantity for u in n2p2.updates(BATCHES, 1)]
    assert kinds != sorted(kinds)
    pairs = found(N2p2Plan(1, COUNTS, 1.0, 0.25, tasks=2, stressed=stressed, stress_share=0.67))
    assert pairs == [every[:12]]
    energies = split(N2p2Plan(1, COUNTS, 0.0, 0.0, stressed=stressed).updates(BATCHES, 1))[0]
    assert energies == []
