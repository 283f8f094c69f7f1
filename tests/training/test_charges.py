"""Both stages of a training with charges: derivatives in every parameter, and that mode 3 finds the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from charged_case import GENERATIONS, INPUT, TRAINING, labeled

import bnnp
from bnnp.errors import InputError
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.io.input_data import write_structures
from bnnp.modes.symmetry import run as symmetry
from bnnp.run import Run
from bnnp.settings.settings import Settings, load_settings
from bnnp.structure import Structure
from bnnp.training.charge_model import ChargeObserver
from bnnp.training.charge_training import ChargeTraining, demand_charges
from bnnp.training.charges import TrainedCharges
from bnnp.training.kalman.observations import Observer, Responses
from bnnp.training.model import Dropout
from bnnp.training.samples import Targets
from bnnp.training.training import Training, training_set

Array = np.ndarray


def opened(folder: Path, structures: list[Structure], text: str = INPUT) -> tuple[Settings, DescriptorFile]:
    """Mode 1 of these structures."""
    folder.mkdir(exist_ok=True)
    write_structures(folder / "input.data", structures)
    (folder / "input.nn").write_text(text + TRAINING)
    symmetry.compute(Run(load_settings(folder / "input.nn", 1), folder / "input.data", folder))
    settings = load_settings(folder / "input.nn", 2)
    return settings, DescriptorFile.open(folder / FILE_NAME, settings.model)


@pytest.fixture(scope="module", params=["4G", "3G"])
def text(request: pytest.FixtureRequest) -> str:
    return GENERATIONS[request.param]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, text: str) -> list[Structure]:
    return labeled(tmp_path_factory.mktemp("teacher"), text=text)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, data: list[Structure], text: str) -> ChargeTraining:
    folder = tmp_path_factory.mktemp("charges")
    settings, file = opened(folder, data, text)
    return ChargeTraining.prepare(settings, file, folder)


@pytest.fixture(scope="module")
def second(first: ChargeTraining) -> Training:
    """Stage 2 after no epoch of stage 1."""
    settings, file, folder = first.settings, first.file, first.directory
    charges = TrainedCharges(file, settings.model, first.charge_model(weights(first)), first.scalings)
    found = replace(training_set(settings, file, folder, charges), charges=charges)
    return Training.prepare(settings, file, folder, settings.model.descriptor(), found)


def weights(training: ChargeTraining | Training, seed: int = 1) -> Array:
    """Weights a little away from the initial ones, so that nothing is zero."""
    start = training.initial_weights()
    return start + 0.1 * np.random.default_rng(seed).normal(size=len(start))


def numerical(function: Callable[[Array], Array], at: Array, place: int, h: float = 1e-4) -> Array:
    """The derivative by one parameter, with an error of fourth order."""
    step = np.zeros_like(at)
    step[place] = h
    values = [function(at + k * step) for k in (1, -1, 2, -2)]
    return (8.0 * (values[0] - values[1]) - (values[2] - values[3])) / (12.0 * h)


def places(training: ChargeTraining | Training) -> list[int]:
    """Some weights and biases of each element, and all hardnesses."""
    blocks = training.parameters.blocks
    chosen = [k for block in blocks[:3] for k in np.linspace(block.start, block.stop - 1, 7).astype(int)]
    return [*chosen, *(k for block in blocks[3:] for k in range(block.start, block.stop))]


@pytest.mark.parametrize("name", ["first", "second"])
def test_the_gradient_is_a_finite_difference(name: str, first: ChargeTraining, second: Training) -> None:
    training: ChargeTraining | Training = first if name == "first" else second
    trainer, at, batch = training.trainer, weights(training), list(training.trainer.training[:3])
    _, slope = trainer.gradient(at, 1, batch)
    for place in places(training):
        expected = numerical(lambda w: np.array(trainer.gradient(w, 1, batch)[0]), at, place)
        assert slope[place] == pytest.approx(float(expected), rel=1e-6, abs=1e-7 * np.abs(slope).max())


def test_rows_of_charges_are_finite_differences(first: ChargeTraining) -> None:
    dropout = Dropout(0, (0.0,), 1)
    observer = ChargeObserver(first.parameters, first.trainer.model.variables, dropout)  # type: ignore[attr-defined]
    check_rows(observer, first, np.array([0, 4, 11]))


@pytest.mark.parametrize("components", [[-1], [0, 4, 20, 35], [-2, -3, -4, -5, -6, -7]])
def test_rows_of_energies_forces_and_stresses_are_finite_differences(
    second: Training, components: list[int]
) -> None:
    responses = Responses(second.descriptor)
    observer = Observer(second.parameters, second.variables.inputs, Dropout(0, (0.0,), 1), responses)
    others = np.array([k for k in components if k != -1], dtype=np.int64)
    check_rows(observer, second, others)
    crystal, at = second.trainer.training[1], weights(second)
    ((_, found),) = second.trainer.evaluations(at, [crystal])
    values, _ = observer(torch.from_numpy(at), second.samples[crystal], others, 1)
    of = np.concatenate([[found.energy], found.forces.ravel(), found.stress])
    places = [0, *(1 + k if k >= 0 else 1 + found.forces.size - 2 - k for k in others)]
    assert values.numpy() == pytest.approx(of[places], abs=2e-6 * np.abs(of[places]).max())


def check_rows(
    observer: ChargeObserver | Observer, training: ChargeTraining | Training, components: Array
) -> None:
    """The rows of the second structure, a crystal."""
    sample, at = training.samples[training.trainer.training[1]], weights(training)

    def values(w: Array) -> Array:
        return observer(torch.from_numpy(w), sample, components, 1)[0].numpy()

    rows = observer(torch.from_numpy(at), sample, components, 1)[1]().numpy()
    for place in places(training):
        assert rows[:, place] == pytest.approx(numerical(values, at, place), abs=1e-7 * np.abs(rows).max())


def test_predictions_of_the_training_are_those_of_its_potential(
    second: Training, data: list[Structure]
) -> None:
    """Molecules, crystals and slabs: energies, forces through the charges, and stresses."""
    at, scale = weights(second), second.variables.scale
    potential, counts = second.potential(at), second.file.n_elements
    for index, found in second.trainer.evaluations(at, second.trainer.training):
        known = second.targets.known_part(second.file, index)
        own = potential.predict(data[int(second.file.source[index])])
        assert own.forces is not None
        energy = scale * found.energy + known.energy + counts[index] @ second.variables.offsets
        assert energy == pytest.approx(own.energy.value, rel=1e-11)
        forces = scale * found.forces + known.forces
        assert forces == pytest.approx(own.forces.value, abs=2e-6 * np.abs(own.forces.value).max())
        if own.stress is not None:
            stress = scale * found.stress + known.stress
            assert stress == pytest.approx(own.stress.value, abs=2e-6 * np.abs(own.stress.value).max())


def test_charges_of_stage_1_are_those_of_the_potential(first: ChargeTraining, second: Training) -> None:
    at = weights(first)
    potential = second.potential(weights(second))
    for index, found in first.trainer.evaluations(at, first.training[:3]):
        charges = potential.predict(first.file.structure(index), forces=False, stress=False).charges
        assert charges is not None
        assert found.forces[:, 0] == pytest.approx(charges.value, abs=1e-10)


def test_a_hardness_stays_positive(first: ChargeTraining) -> None:
    at = weights(first)
    at[-3:] = [-0.5, 0.7, -2.0]
    hardness = first.charge_model(at).hardness
    expected = {"Na": 0.25, "Cl": 0.6 * 0.49, "Au": 4.0}  # none in the third generation
    assert hardness == pytest.approx(expected if first.parameters.equilibrated else {})


def test_charges_begin_with_the_mean_of_each_element_in_the_third_generation(tmp_path: Path) -> None:
    """And with the spread about it: then charges add up nearly without the restored total."""
    structures = labeled(tmp_path / "teacher", text=GENERATIONS["3G"])
    settings, file = opened(tmp_path / "run", structures, GENERATIONS["3G"])
    training = ChargeTraining.prepare(settings, file, tmp_path)
    assert file.charges is not None
    atoms = np.concatenate([np.arange(12 * index, 12 * index + 12) for index in training.training])
    own = [file.charges[atoms][file.types[atoms] == number] for number in range(3)]
    assert training.variables.offsets == pytest.approx([each.mean() for each in own], rel=1e-12)


@pytest.mark.parametrize("name", ["3G", "fixed"])
def test_stage_2_trains_on_the_short_range_part(name: str, tmp_path: Path) -> None:
    """Without the electrostatic part the labels of a teacher are the energies, forces and stresses of its
    networks alone: those of the same weights in a potential without charges."""
    text = GENERATIONS[name]
    structures = labeled(tmp_path / "teacher", charge=0.7 if name == "3G" else 0.0, text=text)
    settings, file = opened(tmp_path / "run", structures, text)
    teacher, charges = bnnp.load(tmp_path / "teacher"), None
    if name == "3G":
        scalings, own = ChargeTraining.prepare(settings, file, tmp_path).scalings, teacher.members[0].charges
        assert own is not None
        charges = TrainedCharges(file, replace(settings.model, scaling=teacher.model.scaling), own, scalings)
    (tmp_path / "teacher" / "input.nn").write_text(
        "".join(f"{line}\n" for line in INPUT.splitlines() if not line.startswith(("nnp_type", "fixed")))
    )
    plain = bnnp.load(tmp_path / "teacher")
    assert not plain.model.charged
    free = np.array([-3.5, 0.0, 0.0])
    for index in range(len(structures)):
        energy, forces, stress = Targets(free, model=settings.model, charges=charges).of(file, index)
        found = plain.predict(structures[index])
        assert found.forces is not None
        assert energy == pytest.approx(found.energy.value - found.offset, abs=1e-12)
        assert forces == pytest.approx(found.forces.value, abs=1e-12)
        if structures[index].cell is not None:
            stored = plain.predict(structures[index]).stress
            assert stored is not None
            assert stress == pytest.approx(stored.value, abs=1e-14)


def test_structures_without_charges_or_with_others_are_refused(tmp_path: Path, data: list[Structure]) -> None:
    _, file = opened(tmp_path / "a", [*data[:2], replace(data[2], charges=None)])
    with file, pytest.raises(InputError, match=r"structure 3 of input.data: has no charges"):
        demand_charges(file, range(3))
    _, file = opened(tmp_path / "b", [replace(data[0], charge=0.71), replace(data[1], charge=0.6)])
    with file, pytest.raises(InputError, match=r"structure 2 .* add up to 0.7000, .*`charge` says 0.6"):
        demand_charges(file, range(2))  # the first differs by rounding
    text = (tmp_path / "a" / "input.nn").read_text().replace("nnp_type 4G-HDNNP\n", "")
    (tmp_path / "a" / "input.nn").write_text(text)
    plain = load_settings(tmp_path / "a" / "input.nn", 1)
    symmetry.compute(Run(plain, tmp_path / "a" / "input.data", tmp_path / "a"))
    file = DescriptorFile.open(tmp_path / "a" / FILE_NAME, plain.model)
    with file, pytest.raises(InputError, match="run mode 1 again"):
        demand_charges(file, range(3))
