"""The loss in closed form, and references that are not known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bnnp.training.loss import Errors, Loss, Spread
from bnnp.training.samples import Batch


def batch(**changes: torch.Tensor) -> Batch:
    """Two structures of 2 and 1 atoms, all references zero."""
    fields = {
        "n_atoms": torch.tensor([2.0, 1.0]),
        "energy_weight": torch.tensor([1.0, 3.0]),
        "force_weight": torch.tensor([1.0, 1.0, 3.0]),
        "stress_weight": torch.tensor([1.0, 3.0]),
        "energy": torch.zeros(2),
        "volume": torch.tensor([10.0, 20.0]),
        "forces": torch.zeros(3, 3),
        "stress": torch.zeros(2, 6),
    } | changes
    owner = torch.tensor([0, 0, 1])
    return Batch(sources=(0, 1), inputs=(), rows=(), owners=(), atom_owner=owner, geometries=(), **fields)


def test_every_term_has_its_weight_and_its_structure_s() -> None:
    loss = Loss(energy=2.0, force=0.5, stress=4.0)
    energy = torch.tensor([4.0, 1.0])
    forces = torch.ones(3, 3)
    virial = torch.ones(2, 6) * torch.tensor([[10.0], [20.0]])
    expected = 2.0 * (1 * 2.0**2 + 3 * 1.0) + 0.5 * (6 + 3 * 3) + 4.0 * (6 + 3 * 6)
    assert float(loss.sum(batch(), energy, forces, virial)) == pytest.approx(expected, rel=1e-6)


def test_unknown_references_neither_count_nor_pull() -> None:
    known = batch(
        energy=torch.tensor([0.0, float("nan")]),
        forces=torch.tensor([[0.0] * 3, [float("nan")] * 3, [0.0] * 3]),
        stress=torch.full((2, 6), float("nan")),
    )
    forces = torch.full((3, 3), 2.0, requires_grad=True)
    virial = torch.ones(2, 6, requires_grad=True)
    energy = torch.tensor([2.0, 5.0], requires_grad=True)
    total = Loss(1.0, 1.0, 1.0).sum(known, energy, forces, virial)
    total.backward()
    assert float(total.detach()) == pytest.approx(1.0 + 12.0 + 3 * 12.0)
    assert energy.grad is not None
    assert forces.grad is not None
    assert virial.grad is not None
    assert float(energy.grad[1]) == 0.0
    assert not forces.grad[1].any()
    assert not virial.grad.any()


@pytest.mark.parametrize("name", ["energy", "forces", "virial"])
def test_prediction_that_is_nan_is_a_loss_that_is_nan(name: str) -> None:
    """Only what the reference lacks is left out."""
    predicted = {"energy": torch.zeros(2), "forces": torch.zeros(3, 3), "virial": torch.zeros(2, 6)}
    assert float(Loss(1.0, 1.0, 1.0).sum(batch(), **predicted)) == 0.0
    predicted[name].view(-1)[1] = float("nan")
    assert torch.isnan(Loss(1.0, 1.0, 1.0).sum(batch(), **predicted))


def test_model_that_knows_the_mean_has_the_sum_of_the_weights() -> None:
    rng = np.random.default_rng(0)
    per_atom, forces = rng.normal(3.0, 0.2, 50), [rng.normal(0.0, 0.7, (4, 3)) for _ in range(50)]
    stress = np.where(np.arange(50)[:, None] < 20, rng.normal(1.0, 0.1, (50, 6)), np.nan)
    spread = Spread.of(per_atom, forces, stress)
    loss = Loss.of(spread, 1.0, 2.0, 0.5)
    total = loss.energy * ((per_atom - per_atom.mean()) ** 2).sum()
    total += loss.force * (np.stack(forces) ** 2).sum()
    total += loss.stress * ((stress[:20] - stress[:20].mean()) ** 2).sum()
    assert total / 50 == pytest.approx(3.5, rel=1e-12)


def test_spread_that_is_nothing_does_not_divide_by_zero() -> None:
    spread = Spread.of(np.array([2.0]), [np.zeros((3, 3))], np.full((1, 6), np.nan))
    loss = Loss.of(spread, 1.0, 1.0, 1.0)
    assert np.isfinite([loss.energy, loss.force]).all()
    assert loss.stress == 0.0


def test_errors_count_what_is_known_and_show_a_prediction_that_is_not_finite() -> None:
    errors = Errors.none(1)
    errors.add(0, 2, np.array([1.0, 3.0, 9.0]), np.array([0.0, 0.0, np.nan]))
    assert errors.rmse[2] == pytest.approx(np.sqrt(5.0))
    assert errors.mae[2] == pytest.approx(2.0)
    assert np.isnan(errors.rmse[3])
    errors.add(0, 0, np.array([np.nan]), np.array([0.0]))
    assert np.isnan(errors.rmse[0])


def test_criterion_is_the_loss_of_the_errors() -> None:
    errors = Errors.none(1)
    errors.add(0, 0, np.array([0.2]), np.array([0.0]))
    errors.add(0, 2, np.array([0.3, -0.3]), np.zeros(2))
    spread = Spread(0.01, 0.09, 1.0, 1.0, 1.0, 0.0)
    assert errors.criterion(spread, (1.0, 2.0, 7.0)) == pytest.approx(4.0 + 2.0)


def test_terms_and_atoms_have_weights_of_their_own() -> None:
    weighted = batch(
        energy_weight=torch.tensor([2.0, 0.0]),
        force_weight=torch.tensor([1.0, 5.0, 0.0]),
        stress_weight=torch.tensor([0.0, 7.0]),
    )
    forces = torch.tensor([[1.0] * 3, [2.0] * 3, [4.0] * 3])
    virial = torch.ones(2, 6) * torch.tensor([[10.0], [20.0]])
    found = Loss(1.0, 1.0, 1.0).sum(weighted, torch.tensor([4.0, 1.0]), forces, virial)
    assert float(found) == pytest.approx(2.0 * 2.0**2 + (3 * 1.0 + 5 * 3 * 4.0) + 7 * 6)


def test_huber_is_linear_beyond_its_threshold_and_smooth_there() -> None:
    """Twice Huber's function: e^2, then t (2 |e| - t); the spread of the forces is 0.25."""
    spread = Spread(0.04, 0.25, 1.0, 1.0, 3.0, 0.0)
    loss = Loss.of(spread, 1.0, 1.0, 0.0, huber_delta=2.0)
    assert loss.thresholds == pytest.approx((0.4, 1.0, 2.0))
    plain = Loss(0.0, 1.0, 0.0, (np.inf, 1.0, np.inf))
    errors = torch.tensor([[0.5, -0.999999, 1.000001], [3.0, -3.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    total = plain.sum(batch(force_weight=torch.ones(3)), torch.zeros(2), errors, None)
    assert float(total.detach()) == pytest.approx(0.25 + 1.0 + 1.0 + 2 * (6.0 - 1.0), rel=1e-5)
    total.backward()
    assert errors.grad is not None
    assert errors.grad[0].tolist() == pytest.approx([1.0, -2.0, 2.0], rel=1e-5)
    assert errors.grad[1].tolist() == pytest.approx([2.0, -2.0, 0.0])


def test_criterion_is_huber_s_too() -> None:
    errors = Errors.none(1, (0.1, 0.2, np.inf))
    errors.add(0, 0, np.array([0.05]), np.array([0.0]))
    errors.add(0, 2, np.array([0.1, 5.0]), np.zeros(2))
    spread = Spread(0.01, 0.04, 1.0, 1.0, 1.0, 0.0)
    expected = 0.05**2 / 0.01 + (0.1**2 + 0.2 * (10.0 - 0.2)) / 2 / 0.04
    assert errors.criterion(spread, (1.0, 1.0, 1.0)) == pytest.approx(expected)
    assert errors.rmse[2] == pytest.approx(np.sqrt((0.01 + 25.0) / 2))


def test_one_outlier_does_not_choose_the_epoch() -> None:
    """Of 20 structures 19 get better from one epoch to the next and one, with a wrong label, worse."""
    spread = Spread(1.0, 1.0, 1.0, 1.0, 1.0, 0.0)

    def criterion(common: float, outlier: float) -> float:
        errors = Errors.none(20)
        for row in range(20):
            errors.add(row, 0, np.array([outlier if row == 7 else common]), np.zeros(1))
        return errors.criterion(spread, (1.0, 1.0, 0.0))

    assert criterion(0.1, 50.0) < criterion(0.2, 40.0)
    assert criterion(0.1, 50.0) == pytest.approx((19 * 0.01 + 3 * 0.01) / 20)
    assert criterion(0.1, 0.15) == pytest.approx((19 * 0.01 + 0.0225) / 20)  # not an outlier: the plain loss
