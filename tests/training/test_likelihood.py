"""Fine-tuning: the likelihood in closed form, members one by one, gradients, and its purpose."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.log import Log
from bnnp.modes.train.run import refine
from bnnp.settings.keywords import SECTION_OF
from bnnp.training.interruption import Interruption
from bnnp.training.likelihood import FLOOR, FrozenDropout, Likelihood, MemberModel, likelihood
from bnnp.training.loss import Spread
from bnnp.training.refinement import judging, with_rate
from bnnp.training.samples import Batch

SPREAD = Spread(0.5, 2.0, 3.0, 1.0, 9.0, 6.0)


def likely(made: Any, count: int = 5) -> Any:
    """A trainer of the likelihood."""
    dropout = FrozenDropout(made.masks, count)
    masks = made.masks_of(made.networks(made.initial_weights()))
    return replace(
        judging(made, made.trainer, masks), model=MemberModel.like(made.trainer.model), dropout=dropout
    )


def test_likelihood_is_that_of_a_gaussian() -> None:
    """Up to log(2 pi v) / 2; with the variance of the data and no bias it is 1/2 on average."""
    rng = np.random.default_rng(0)
    errors = rng.normal(0.0, 1.5, 200000)
    assert likelihood(errors, 1.5**2, 1.5**2).mean() == pytest.approx(0.5, abs=0.01)
    expected = 0.5 * np.log(2 * np.pi * 0.7) + 0.4**2 / (2 * 0.7) - 0.5 * np.log(2 * np.pi * 3.0)
    assert likelihood(np.array([0.4]), 0.7 - FLOOR * 3.0, 3.0)[0] == pytest.approx(expected)


def test_loss_has_every_term_its_weights_and_counts() -> None:
    batch = Batch(
        sources=(0, 1), inputs=(), rows=(), owners=(), geometries=(),
        n_atoms=torch.tensor([2.0, 1.0]), volume=torch.tensor([10.0, 20.0]),
        energy_weight=torch.tensor([1.0, 3.0]), stress_weight=torch.tensor([2.0, 0.0]),
        force_weight=torch.tensor([1.0, 0.0, 4.0]), energy=torch.tensor([1.0, float("nan")]),
        forces=torch.tensor([[0.1] * 3, [0.2] * 3, [float("nan"), 0.0, 0.5]]),
        atom_owner=torch.tensor([0, 0, 1]), stress=torch.zeros(2, 6),
    )  # fmt: skip
    rng = np.random.default_rng(1)
    energy, forces, virial = rng.normal(size=(4, 2)), rng.normal(size=(4, 3, 3)), rng.normal(size=(4, 2, 6))
    found = Likelihood(SPREAD, (2.0, 0.5, 1.5)).sum(
        batch, torch.tensor(energy), torch.tensor(forces), torch.tensor(virial)
    )

    def nll(members: np.ndarray, reference: float, v: float) -> float:
        s2 = members.var(ddof=1) + FLOOR * v
        return float(0.5 * ((members.mean() - reference) ** 2 / s2 + np.log(s2 / v)))

    expected = 2.0 * nll(energy[:, 0] / 2, 0.5, SPREAD.energy)
    for atom, weight in ((0, 1.0), (2, 4.0)):
        for axis in range(3):
            if (atom, axis) != (2, 0):
                reference = float(batch.forces[atom, axis])
                expected += 0.5 / 9.0 * weight * nll(forces[:, atom, axis], reference, SPREAD.force)
    expected += 1.5 / 6.0 * 2.0 * sum(nll(virial[:, 0, k] / 10.0, 0.0, SPREAD.stress) for k in range(6))
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("lines", [("dropout_rate 0.3 0.2",), ("dropout_rate 0 0.3",)])
def test_members_are_the_networks_of_single_masks(case: Callable[..., Any], lines: tuple[str, ...]) -> None:
    made = case(*lines, "stress_weight 0.5")
    trainer = likely(made)
    batch = Batch.of([trainer.samples[index] for index in trainer.training[:3]])
    masks = trainer.dropout.masks(trainer.model.parameters, 4, batch.sources, batch.energy)
    vector, n = torch.tensor(made.initial_weights()), 3
    found = trainer.model(vector, batch, masks)
    for member in range(5):
        single = {
            x: [m if m is None else m[member * n : (member + 1) * n] for m in layers]
            for x, layers in masks.items()
        }
        for one, all_ in zip(made.trainer.model(vector, batch, single), found, strict=True):
            torch.testing.assert_close(all_[member], one, rtol=1e-11, atol=1e-12)
    assert float(found[0].detach().std(dim=0).min()) > 1e-4


def test_masks_are_some_of_the_frozen_ones_and_change_with_the_epoch(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0.3 0.2")
    masks = made.masks
    assert masks is not None
    dropout, shapes = FrozenDropout(masks, 3), made.trainer.model.parameters
    epochs = [dropout.masks(shapes, epoch, [7, 2], torch.zeros(1, dtype=torch.float64)) for epoch in (1, 2)]
    rows = {tuple(np.concatenate(row)) for row in zip(*(f for f in masks.scaled("Si")[1:]), strict=True)}
    for epoch in epochs:
        drawn = torch.cat([m for m in epoch["Si"] if m is not None], dim=1)
        assert drawn.shape[0] == 6
        assert {tuple(row.tolist()) for row in drawn} <= rows
    assert not torch.equal(epochs[0]["Si"][1], epochs[1]["Si"][1])
    whole = FrozenDropout(masks, masks.samples).masks(shapes, 1, [3], torch.zeros(1, dtype=torch.float64))
    assert {tuple(row.tolist()) for row in torch.cat(whole["Si"][1:], dim=1)} == rows


def test_gradient_of_the_likelihood_through_forces_and_stress(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0.3 0.2", "stress_weight 0.5")
    trainer, weights, batch = likely(made), made.initial_weights(), made.trainer.training[:3]
    _, gradient = trainer.gradient(weights, 3, batch)
    rng = np.random.default_rng(0)
    for _ in range(4):
        direction = rng.normal(size=len(weights))
        step = 1e-6 / np.linalg.norm(direction)
        ends = [trainer.gradient(weights + s * step * direction, 3, batch)[0] for s in (1, -1)]
        assert gradient @ direction == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize(
    "lines",
    [
        ("dropout_rate 0.2",),
        ("dropout_rate 0.1", "dropout_rate_input 0.2"),
        ("mc_dropout after", "dropout_rate 0.2"),
        ("mc_dropout after", "dropout_rate 0.2", "dropout_rate_input 0.1"),
    ],
)
def test_variances_are_those_the_potential_predicts(
    case: Callable[..., Any], directory: Path, lines: tuple[str, ...]
) -> None:
    made = case(*lines, "calculate_stress")
    trainer, scale = likely(made), made.variables.scale
    potential = made.potential(made.initial_weights())
    structures = StructureFile(directory / "input.data")
    for index, found in trainer.evaluations(made.initial_weights(), range(5)):
        expected = potential.predict(structures[index])
        assert np.sqrt(found.energy_variance) * scale == pytest.approx(expected.energy.std, rel=1e-8)
        np.testing.assert_allclose(np.sqrt(found.forces_variance) * scale, expected.forces.std, atol=1e-6)
        if expected.stress is not None:
            np.testing.assert_allclose(np.sqrt(found.stress_variance) * scale, expected.stress.std, atol=1e-6)


@pytest.mark.slow
def test_fine_tuning_lowers_the_likelihood_of_the_test_set(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0.2", "finetune nll", "finetune_epochs 15", "finetune_rate 0.01")
    *_, state = made.trainer.run(made.trainer.start(made.initial_weights()), lambda: False)
    judge, stream = likely(made), io.StringIO()
    refined = refine(made, state, Log(stream, enabled=True), Interruption())
    before, after = (judge.criterion(judge.errors(s.best_weights, judge.test)) for s in (state, refined))
    assert after < before - 0.1
    assert f"{after:9.4f}" in stream.getvalue()
    assert refined.epoch == state.epoch


def test_fine_tuning_needs_samples(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0", "finetune nll")
    with pytest.raises(InputError, match="finetune nll` needs dropout_rate above 0"):
        likely(made)


def test_another_rate_changes_nothing_else(case: Callable[..., Any]) -> None:
    settings = case("dropout_rate 0.2").settings
    changed = with_rate(settings, 0.025)
    assert {name for name in SECTION_OF if changed.value(name) != settings.value(name)} == {"dropout_rate"}
    assert changed.dropout.dropout_rate == (0.025, 0.025)
