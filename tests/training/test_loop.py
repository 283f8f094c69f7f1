"""The loop: exact gradients, no dependence on ranks, memory or interruptions, the best epoch kept."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bnnp.errors import InputError, NumericalError, StaleFileError
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.input_data import StructureFile
from bnnp.log import Log
from bnnp.modes.train.report import report_method
from bnnp.training.dense_blocks import DenseForces
from bnnp.training.loop import State, Trainer
from bnnp.training.model import TrainedModel
from bnnp.training.ranks import Ranks
from bnnp.training.samples import Batch, Samples, Targets

STRESS = "stress_weight 0.5"


def never() -> bool:
    return False


def last(trainer: Trainer, weights: np.ndarray) -> State:
    """State after the whole training."""
    *_, state = trainer.run(trainer.start(weights), never)
    return state


@pytest.mark.parametrize(
    "rates", ["dropout_rate 0", "dropout_rate 0.3 0.2", "dropout_rate 0.1\ndropout_rate_input 0.2"]
)
def test_gradient_of_the_loss_through_forces_and_stress(case: Callable[..., Any], rates: str) -> None:
    made = case(rates, STRESS)
    weights, batch = made.initial_weights(), made.trainer.training[:4]
    _, gradient = made.trainer.gradient(weights, 3, batch)
    rng = np.random.default_rng(0)
    for _ in range(6):
        direction = rng.normal(size=len(weights))
        step = 1e-5 / np.linalg.norm(direction)
        ends = [made.trainer.gradient(weights + s * step * direction, 3, batch)[0] for s in (1, -1)]
        assert gradient @ direction == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_masks_of_an_update_are_averaged(case: Callable[..., Any], count: int) -> None:
    """Energies and forces are those of each mask alone, averaged; the gradient is that of the mean."""
    made = case("dropout_rate 0.3 0.2", "dropout_rate_input 0.1", STRESS, f"dropout_masks {count}")
    trainer, weights, chosen = made.trainer, made.initial_weights(), made.trainer.training[:3]
    batch = Batch.of([trainer.samples[index] for index in chosen])
    vector, n = torch.tensor(weights), len(chosen)
    masks = trainer.dropout.masks(trainer.model.parameters, 2, batch.sources, batch.energy)
    whole = trainer.model(vector, batch, masks)
    alone = []
    for number in range(count):
        single = {
            x: [m if m is None else m[number * n : (number + 1) * n] for m in found]
            for x, found in masks.items()
        }
        assert all(len(m) == n for found in single.values() for m in found if m is not None)
        alone.append(trainer.model(vector, batch, single))
    for place, found in enumerate(whole):
        mean = torch.stack([each[place] for each in alone]).mean(dim=0)
        torch.testing.assert_close(found, mean, rtol=1e-12, atol=1e-12)
    if count > 1:
        assert float((alone[0][0] - alone[1][0]).detach().abs().max()) > 1e-3
    direction = np.random.default_rng(1).normal(size=len(weights))
    step = 1e-5 / np.linalg.norm(direction)
    ends = [trainer.gradient(weights + s * step * direction, 2, chosen)[0] for s in (1, -1)]
    slope = trainer.gradient(weights, 2, chosen)[1] @ direction
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_batch_is_the_sum_of_its_structures(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0.3 0.2", STRESS, "dropout_masks 3")
    batch = made.trainer.training[:4]
    total, gradient = made.trainer.gradient(made.initial_weights(), 5, batch)
    parts = [made.trainer.gradient(made.initial_weights(), 5, [index]) for index in batch]
    assert sum(part[0] for part in parts) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(sum(part[1] for part in parts), gradient, rtol=1e-9, atol=1e-12)


def test_stress_and_forces_are_part_of_the_loss(case: Callable[..., Any]) -> None:
    totals = []
    for lines in (("stress_weight 0",), ("stress_weight 1",), ("stress_weight 1", "force_weight 0")):
        made = case("dropout_rate 0", *lines)
        totals.append(made.trainer.gradient(made.initial_weights(), 1, made.trainer.training)[0])
    assert totals[0] < totals[1]
    assert totals[2] < totals[1]


def test_stored_and_recomputed_derivatives_train_alike(case: Callable[..., Any]) -> None:
    gradients = []
    for way in ("stored", "recomputed"):
        made = case("dropout_rate 0.1", STRESS, f"derivatives {way}")
        assert made.trainer.samples.stored == (way == "stored")
        gradients.append(made.trainer.gradient(made.initial_weights(), 1, made.trainer.training)[1])
    scale = np.abs(gradients[0]).max()
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-6 * scale)  # stored in single precision


def test_derivatives_are_kept_as_far_as_the_memory_goes(case: Callable[..., Any]) -> None:
    """Same training with any memory up to single precision; which are kept depends on nothing else."""
    gradients, kept = [], []
    for limit in ("1 GB", "300 kB", "10 kB"):
        made = case("dropout_rate 0.1", STRESS, "derivatives recomputed", f"memory_limit {limit}")
        gradients.append(made.trainer.gradient(made.initial_weights(), 1, made.trainer.training)[1])
        found = [made.trainer.samples[k].geometry.blocks is not None for k in range(20)]
        assert found == sorted(found, reverse=True)
        kept.append(sum(found))
        assert f"of {sum(found)} of 20" in told(made) or sum(found) in (0, 20)
    assert kept[0] == 20
    assert 0 < kept[1] < 20
    assert kept[2] == 0
    for gradient in gradients[1:]:
        np.testing.assert_allclose(gradient, gradients[0], atol=1e-6 * np.abs(gradients[0]).max())


def test_plain_torch_forces_train_alike(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0.1", STRESS)
    forces = DenseForces(made.descriptor)
    model = TrainedModel(made.trainer.model.parameters, made.variables.inputs, made.descriptor.width, forces)
    gradients = [
        trainer.gradient(made.initial_weights(), 1, made.trainer.training)[1]
        for trainer in (made.trainer, replace(made.trainer, model=model))
    ]
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-9, atol=1e-9 * np.abs(gradients[0]).max())


@pytest.mark.slow
def test_data_beyond_the_memory_limit_is_read_again(case: Callable[..., Any]) -> None:
    plenty, little = case("dropout_rate 0"), case("dropout_rate 0", "memory_limit 100 kB")
    states = [last(made.trainer, made.initial_weights()) for made in (plenty, little)]
    np.testing.assert_array_equal(states[0].optimizer.weights, states[1].optimizer.weights)
    assert little.trainer.samples.n_left_out
    assert little.trainer.samples.nbytes <= 100000
    assert not plenty.trainer.samples.n_left_out


def test_reading_ahead_changes_nothing_and_stays_within_the_memory(case: Callable[..., Any]) -> None:
    """Kept and read ahead together fit the limit; every sample is the one that is read directly."""
    made = case("dropout_rate 0", "memory_limit 150 kB")
    samples, direct = made.trainer.samples, case("dropout_rate 0").trainer.samples
    order = [*range(20), *reversed(range(20)), 3, 3, 5]
    samples.announce(order)
    for index in order:
        found, expected = samples[index], direct[index]
        for name in ("forces", "stress", "force_weight"):
            torch.testing.assert_close(
                getattr(found, name), getattr(expected, name), rtol=0, atol=0, equal_nan=True
            )
        assert all(torch.equal(x, y) for x, y in zip(found.inputs, expected.inputs, strict=True))
        np.testing.assert_array_equal(found.geometry.blocks, expected.geometry.blocks)
        np.testing.assert_array_equal(found.geometry.pairs.vectors, expected.geometry.pairs.vectors)
        largest = max(direct[k].nbytes for k in range(20))
        assert samples.nbytes + len(samples._ahead) * largest <= 150e3 + 2 * largest
    assert 0 < samples.n_left_out < 20
    assert samples._kept


def test_mistake_while_reading_ahead_reaches_the_training(case: Callable[..., Any], tmp_path: Path) -> None:
    made = case("dropout_rate 0")
    copy = tmp_path / "symmetry_functions.h5"
    shutil.copy(made.directory / copy.name, copy)
    with DescriptorFile.open(copy) as file:
        os.truncate(copy, file._file["derivatives/blocks"].id.get_offset() + 100)
        samples = Samples(file, replace(made.variables, offsets=np.zeros(2), scale=1.0), Targets(np.zeros(2)))
        samples.announce([0, 1])
        with pytest.raises(StaleFileError, match="cut short in derivatives/blocks"):
            samples[1]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_ranks_share_all_and_keep_to_their_own(size: int) -> None:
    rng = np.random.default_rng(size)
    for count in (0, 1, 4, 7, 40):
        items = rng.permutation(100)[:count].tolist()
        shares = [Ranks(rank, size).share(items) for rank in range(size)]
        assert sorted(item for share in shares for item in share) == sorted(items)
        assert max(map(len, shares)) <= -(-count // size)
        for rank, share in enumerate(shares):
            own = sum(item % size == rank for item in items)
            assert sum(Ranks(rank, size).keeps(item) for item in share) == min(own, -(-count // size))


def test_ranks_add_up_to_one(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0.1", STRESS)
    batch = made.trainer.batches(1)[0]
    total, gradient = made.trainer.gradient(made.initial_weights(), 1, batch)
    parts = [
        replace(made.trainer, ranks=Ranks(rank, 3)).gradient(made.initial_weights(), 1, batch)
        for rank in range(3)
    ]
    assert sum(part[0] for part in parts) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(sum(part[1] for part in parts), gradient, rtol=1e-9, atol=1e-12)


def test_every_epoch_has_every_structure_once_in_another_order(case: Callable[..., Any]) -> None:
    trainer = case().trainer
    orders = [sum(trainer.batches(epoch), []) for epoch in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(trainer.training)
    assert orders[0] != orders[1]


METHODS = {
    "adam": ("schedule plateau", "plateau_patience 1", "weight_average 0.9"),
    "lbfgs": ("optimizer lbfgs",),
    "polished": ("polish_epochs 3", "weight_average 0.9"),
    "joint filter": ("optimizer kalman", "polish_epochs 2"),
    "sorting filter": ("updater_type 1", "short_force_fraction 0.01", "selection_mode 1 3 2"),
    "n2p2 filter": ("updater_type 1", "short_force_fraction 0.01", "short_force_error_threshold 1"),
    "runner filter": (
        "kalman_updates runner",
        "short_force_fraction 0.01",
        "use_noisematrix",
        "kalman_q0 1e-3",
    ),
    "descent": ("optimizer descent", "learning_rate 1e-3"),
}


def stops(calls: Iterator[int], steps: int) -> bool:
    """Whether this is the call after so many steps; `calls` counts them."""
    return next(calls) == steps - 1


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_goes_on_from_its_arrays(case: Callable[..., Any], method: str) -> None:
    """Stopped after any step, written down, put together again by another program: the same numbers."""
    whole = last((made := case("dropout_rate 0.1", *METHODS[method])).trainer, made.initial_weights())
    expected = made.trainer.optimizer.arrays(whole.optimizer)
    for steps in (3, 17):
        made = case("dropout_rate 0.1", *METHODS[method])
        *_, broken = made.trainer.run(
            made.trainer.start(made.initial_weights()),
            partial(stops, iter(range(1000000)), steps),
        )
        arrays = {name: np.array(x) for name, x in made.trainer.optimizer.arrays(broken.optimizer).items()}
        again = case("dropout_rate 0.1", *METHODS[method]).trainer
        state = replace(broken, optimizer=again.optimizer.state_of(arrays), stopped=False)
        for continued in again.run(state, never):
            state = continued
        assert len(state.history) == len(whole.history) == 7
        for one, two in zip(state.history, whole.history, strict=True):
            np.testing.assert_array_equal(one.row(), two.row())
        np.testing.assert_array_equal(state.best_weights, whole.best_weights)
        found = again.optimizer.arrays(state.optimizer)
        assert list(found) == list(expected)
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name], err_msg=f"{name}, {steps} steps")


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name != "descent"])
def test_every_method_learns(case: Callable[..., Any], method: str) -> None:
    made = case("dropout_rate 0", "learning_rate 0.02", *METHODS[method], "epochs 6 off", "epochs 15")
    state = last(made.trainer, made.initial_weights())
    assert state.best_criterion < 0.3 * state.history[0].criterion


def test_runners_usual_words_lower_energies_and_forces(case: Callable[..., Any]) -> None:
    """With a gain of each element's own a quarter of the force errors stays."""
    words = (
        *("kalman_updates runner", "kalman_lambda_short 0.98", "kalman_nue_short 0.9987"),
        *("repeated_energy_update", "short_force_fraction 0.15"),
        *("short_energy_error_threshold 0.8", "short_force_error_threshold 0.8"),
    )
    made = case("dropout_rate 0", *words)
    state = last(made.trainer, made.initial_weights())
    energies, forces = (np.array([each.train_rmse[k] for each in state.history]) for k in (0, 2))
    assert forces[-1] < 0.15 * forces[0]
    assert energies[-1] < 0.2 * energies[0]


def test_average_is_what_is_evaluated(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0", "weight_average 0.9")
    state = last(made.trainer, made.initial_weights())
    errors = made.trainer.errors(state.optimizer.average, made.trainer.test)
    assert made.trainer.criterion(errors) == pytest.approx(state.history[-1].criterion, rel=1e-12)
    assert np.abs(state.optimizer.average - state.optimizer.state.weights).max() > 1e-4


def test_polish_begins_where_the_first_method_ends(case: Callable[..., Any]) -> None:
    plain = case("dropout_rate 0", "epochs 6 off", "epochs 4")
    former = last(plain.trainer, plain.initial_weights())
    made = case("dropout_rate 0", "polish_epochs 2")
    state = last(made.trainer, made.initial_weights())
    for one, two in zip(former.history, state.history[:5], strict=True):
        np.testing.assert_array_equal(one.row(), two.row())
    total = made.trainer.slope(former.optimizer.weights, 0, made.trainer.training)[0]
    assert state.history[5].loss == pytest.approx(total / len(made.trainer.training), rel=1e-12)
    assert state.history[6].loss < state.history[5].loss


def test_patience_ends_the_training(case: Callable[..., Any]) -> None:
    """After so many epochs without a new best one; counted anew where another method takes over."""
    lines = ("dropout_rate 0", "epochs 6 off", "epochs 40", "early_stopping 3")
    made = case(*lines, "learning_rate 0.3", "learning_rate_final 0.3")
    state = last(made.trainer, made.initial_weights())
    assert state.epoch == state.best_epoch + 3 < 40
    hopeless = case(*lines, "optimizer descent", "learning_rate 1e-12", "polish_epochs 38")
    trainer = hopeless.trainer
    state = replace(trainer.start(hopeless.initial_weights()), best_epoch=0)
    assert [trainer.finished(replace(state, epoch=epoch)) for epoch in (1, 2, 3, 4, 5)] == [False] * 4 + [
        True
    ]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adam", "lbfgs", "joint filter", "descent"])
def test_factors_freeze_weights_whatever_the_method(case: Callable[..., Any], method: str) -> None:
    made = case("dropout_rate 0", *METHODS[method])
    factors = np.where(np.arange(len(made.initial_weights())) % 3 == 0, 0.0, 1.0)
    transfer = SimpleNamespace(step_factors=lambda settings, parameters: factors)
    state = last(replace(made, transfer=transfer).trainer, made.initial_weights())
    assert (state.best_weights == made.initial_weights())[factors == 0.0].all()
    assert (state.best_weights != made.initial_weights())[factors == 1.0].all()


def test_prolonged_polish_returns_to_the_first_method(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0", "epochs 6 off", "epochs 4", "polish_epochs 2")
    state = last(made.trainer, made.initial_weights())
    longer = case("dropout_rate 0", "epochs 6 off", "epochs 8", "polish_epochs 2").trainer
    stages = [reached.optimizer.number for reached in longer.run(state, never)]
    assert stages == [0, 0, 1, 1]


def test_kalman_filter_is_for_the_cpu(case: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(InputError, match="works on the CPU"):
        case("optimizer kalman", "device cuda").start()


@pytest.mark.slow
def test_stopped_anywhere_and_continued_is_uninterrupted(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0.1")
    whole = last(made.trainer, made.initial_weights())
    for steps in (1, 5, 8):
        start = made.trainer.start(made.initial_weights())
        *_, broken = made.trainer.run(start, partial(stops, iter(range(1000)), steps))
        assert broken.stopped
        assert broken.optimizer.steps == steps
        *_, continued = made.trainer.run(replace(broken, stopped=False), never)
        np.testing.assert_array_equal(continued.optimizer.weights, whole.optimizer.weights)
        np.testing.assert_array_equal(continued.best_weights, whole.best_weights)
        for one, two in zip(continued.history, whole.history, strict=True):
            np.testing.assert_array_equal(one.row(), two.row())


def test_best_epoch_has_the_lowest_criterion_on_the_test_set(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0.2", "learning_rate 0.05")
    state = last(made.trainer, made.initial_weights())
    criteria = [record.criterion for record in state.history]
    assert state.best_criterion == min(criteria)
    assert state.history[state.best_epoch].criterion == min(criteria)
    errors = made.trainer.errors(state.best_weights, made.trainer.test)
    assert made.trainer.criterion(errors) == pytest.approx(min(criteria), rel=1e-12)


def test_evaluation_is_what_the_potential_predicts(case: Callable[..., Any], directory: Path) -> None:
    made = case("dropout_rate 0.2", "calculate_stress")
    potential = made.potential(made.initial_weights())
    structures = StructureFile(directory / "input.data")
    for index, found in made.trainer.evaluations(made.initial_weights(), range(4)):
        expected = potential.predict(structures[index])
        energy = found.energy * made.variables.scale + made.file.n_elements[index] @ made.variables.offsets
        assert energy == pytest.approx(expected.energy.value, rel=1e-9)
        np.testing.assert_allclose(found.forces * made.variables.scale, expected.forces.value, atol=1e-6)
        if expected.stress is not None:
            np.testing.assert_allclose(found.stress * made.variables.scale, expected.stress.value, atol=1e-7)


def test_single_precision_follows_double(case: Callable[..., Any]) -> None:
    states = []
    for precision in ("double", "single"):
        made = case("dropout_rate 0", f"precision {precision}")
        states.append(last(made.trainer, made.initial_weights()))
    np.testing.assert_allclose(states[1].optimizer.weights, states[0].optimizer.weights, atol=1e-3)


def test_loss_that_is_not_finite_ends_the_training(case: Callable[..., Any]) -> None:
    made = case("learning_rate 1e300", "dropout_rate 0")
    with pytest.raises(NumericalError, match="epoch 1"):
        last(made.trainer, made.initial_weights())


def test_gradient_that_is_not_finite_ends_the_training(case: Callable[..., Any]) -> None:
    """A loss of 0 whose slope is infinite: the weights would be NaN one step later."""

    class Kink:
        thresholds = (np.inf,) * 3

        def sum(self, batch: Batch, energy: torch.Tensor, *_: object) -> torch.Tensor:
            return (0.0 * energy).abs().sqrt().sum()

    made = case("dropout_rate 0")
    with pytest.raises(NumericalError, match="slope is nan in epoch 1"):
        last(replace(made.trainer, loss=Kink()), made.initial_weights())


def test_structure_beyond_max_energy_is_not_used_at_all(case: Callable[..., Any]) -> None:
    """As in RuNNer: neither its energy nor its forces and stress."""
    plain = case("dropout_rate 0", STRESS)
    per_atom = plain.file.energy / plain.file.n_atoms
    training = list(plain.trainer.training)
    highest = training[int(np.argmax(per_atom[training]))]
    limit = float(np.sort(per_atom[training])[-2:].mean())
    made = case("dropout_rate 0", STRESS, f"max_energy {limit!r}")
    used = made.trainer.samples
    for index in training:
        sample = used[index]
        known = [np.isfinite(sample.energy), *(bool(x.isfinite().any()) for x in (sample.forces,))]
        assert known == [index != highest] * 2
    assert not used[highest].stress.isfinite().any()
    assert made.trainer.gradient(made.initial_weights(), 1, [highest])[0] == 0.0
    forces = plain.file.forces
    kept = np.concatenate([forces[plain.file.atoms(index)] for index in training if index != highest])
    assert made.data.references.spread.force == pytest.approx(np.mean(kept**2), rel=1e-12)


NO_FORCES = ("use_short_forces off", "use_short_forces .false.")


def told(made: Any, ranks: Ranks | None = None) -> str:
    """What the log says about the method, on one line."""
    stream, made.trainer.ranks = io.StringIO(), ranks or made.trainer.ranks
    report_method(Log(stream, enabled=True), made)
    return " ".join(stream.getvalue().split())


@pytest.mark.parametrize(
    ("lines", "terms", "warning"),
    [
        ((), "energies, forces, stress", None),
        (("stress_weight 0",), "energies, forces", None),
        (("energy_weight 0", "force_weight 0", STRESS), "stress", None),
        (("use_short_forces off", "stress_weight 0"), "energies, forces", None),
        (NO_FORCES, "energies", "the data has stresses, but the stress is not trained"),
        ((*NO_FORCES, STRESS), "energies", "stress_weight is given, but the stress is not"),
        ((*NO_FORCES, "stress_weight 0"), "energies", "the data has forces, and they are not trained"),
    ],
)
def test_log_names_what_is_trained(
    case: Callable[..., Any], lines: tuple[str, ...], terms: str, warning: str | None
) -> None:
    text = told(case("dropout_rate 0", *lines))
    assert f"trained on {terms} optimizer Adam" in text
    assert (warning in text) if warning else ("WARNING" not in text)


def test_ranks_without_work_are_a_warning(case: Callable[..., Any]) -> None:
    made = case("dropout_rate 0")
    assert "idle" not in told(made, Ranks(0, 4))
    text = told(made, Ranks(0, 6))
    assert "6 ranks share batches of 4 structures, so 2 of them are idle" in text
