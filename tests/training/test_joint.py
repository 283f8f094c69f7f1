"""Charges as hidden outputs: derivatives in every weight, and that mode 3 finds the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from charged_case import GENERATIONS, TRAINING, labeled

import bnnp
from bnnp.errors import InputError
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.io.input_data import write_structures
from bnnp.modes.symmetry import run as symmetry
from bnnp.run import Run
from bnnp.settings.settings import load_settings
from bnnp.structure import Structure
from bnnp.training.joint_training import JointTraining
from bnnp.training.samples import Batch

Array = np.ndarray

THIRD, CROSSING = GENERATIONS["3G"], 1


@pytest.fixture(scope="module", params=["4G", "3G", "points"])
def text(request: pytest.FixtureRequest) -> str:
    return GENERATIONS[request.param]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, text: str) -> list[Structure]:
    return labeled(tmp_path_factory.mktemp("teacher"), text=text)


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory, data: list[Structure], text: str) -> JointTraining:
    """Of structures whose reference charges are not read."""
    return begun(tmp_path_factory.mktemp("joint"), [replace(each, charges=None) for each in data], text)


def begun(folder: Path, structures: list[Structure], text: str) -> JointTraining:
    folder.mkdir(exist_ok=True)
    write_structures(folder / "input.data", structures)
    (folder / "input.nn").write_text(text + TRAINING + "train_charges joint\n")
    symmetry.compute(Run(load_settings(folder / "input.nn", 1), folder / "input.data", folder))
    settings = load_settings(folder / "input.nn", 2)
    file = DescriptorFile.open(folder / FILE_NAME, settings.model)
    return JointTraining.begin(settings, file, folder, settings.model.descriptor())


def weights(training: JointTraining, seed: int = 1) -> Array:
    """Weights a little away from the initial ones, so that nothing is zero."""
    start = training.initial_weights()
    return start + 0.1 * np.random.default_rng(seed).normal(size=len(start))


def numerical(function: Callable[[Array], Array], at: Array, place: int, h: float = 1e-4) -> Array:
    """The derivative by one parameter, with an error of fourth order."""
    step = np.zeros_like(at)
    step[place] = h
    values = [function(at + k * step) for k in (1, -1, 2, -2)]
    return (8.0 * (values[0] - values[1]) - (values[2] - values[3])) / (12.0 * h)


def places(training: JointTraining) -> list[int]:
    """Some weights and biases of each network, and all hardnesses."""
    blocks = training.parameters.blocks
    chosen = [k for block in blocks[:6] for k in np.linspace(block.start, block.stop - 1, 3).astype(int)]
    return [*chosen, *(k for block in blocks[6:9] for k in range(block.start, block.stop))]


def test_the_gradient_is_a_finite_difference(joint: JointTraining) -> None:
    """Of a molecule, a crystal and a slab, with energies, forces and stresses."""
    trainer, at, batch = joint.trainer, weights(joint), list(joint.trainer.training[:3])
    _, slope = trainer.gradient(at, 1, batch)
    of_charges = slope[joint.parameters.n_short :]
    assert np.abs(of_charges).max() > 1e-3 * np.abs(slope).max()
    for place in places(joint):
        expected = numerical(lambda w: np.array(trainer.gradient(w, 1, batch)[0]), at, place)
        assert slope[place] == pytest.approx(float(expected), rel=1e-6, abs=1e-7 * np.abs(slope).max())


@pytest.mark.parametrize("components", [[-1], [0, 4, 20, 35], [-2, -3, -4, -5, -6, -7]])
def test_rows_of_the_filter_are_finite_differences(joint: JointTraining, components: list[int]) -> None:
    others, at = np.array([k for k in components if k != -1], dtype=np.int64), weights(joint)
    sample = joint.samples[joint.trainer.training[1]]

    def values(w: Array) -> Array:
        return joint.observer(torch.from_numpy(w), sample, others, 1)[0].numpy()

    rows = joint.observer(torch.from_numpy(at), sample, others, 1)[1]().numpy()
    for place in places(joint):
        assert rows[:, place] == pytest.approx(numerical(values, at, place), abs=1e-7 * np.abs(rows).max())
    ((_, found),) = joint.trainer.evaluations(at, [sample.index])
    of = np.concatenate([[found.energy], found.forces.ravel(), found.stress])
    chosen = [0, *(1 + k if k >= 0 else 1 + found.forces.size - 2 - k for k in others)]
    assert values(at) == pytest.approx(of[chosen], rel=1e-12)


def test_predictions_of_the_training_are_those_of_its_potential(
    joint: JointTraining, data: list[Structure]
) -> None:
    """Whose energies, forces and stresses have their own tests. The total charge is kept exactly."""
    at, scale = weights(joint), joint.variables.scale
    potential, counts = joint.potential(at), joint.file.n_elements
    for index, found in joint.trainer.evaluations(at, joint.trainer.training):
        own = potential.predict(data[int(joint.file.source[index])])
        assert own.forces is not None
        assert own.charges is not None
        assert own.charges.value.sum() == pytest.approx(joint.file.structure(index).charge, abs=1e-12)
        energy = scale * found.energy + counts[index] @ joint.variables.offsets
        assert energy == pytest.approx(own.energy.value, rel=1e-11)
        assert scale * found.forces == pytest.approx(
            own.forces.value, abs=2e-6 * np.abs(own.forces.value).max()
        )
        if own.stress is not None:
            assert scale * found.stress == pytest.approx(
                own.stress.value, abs=2e-6 * np.abs(own.stress.value).max()
            )


def with_moments(structures: list[Structure]) -> list[Structure]:
    """Made-up dipole moments of molecules, which become neutral, and Born charges of all; the first crystal
    is a molecule that crosses the border of a large cell, and an atom far from it."""
    rng, found = np.random.default_rng(8), []
    for index, each in enumerate(structures):
        own = replace(each, charges=None, charge=0.0)
        if index == CROSSING:
            positions = np.concatenate([structures[0].positions, [[30.0, 30.0, 30.0]]])
            numbers, forces = np.append(own.numbers, 11), np.zeros((13, 3))
            cell = 60.0 * np.eye(3)
            own = replace(own, numbers=numbers, positions=positions % 60.0, forces=forces, cell=cell)
        own = replace(own, born_charges=rng.normal(size=(len(own), 3, 3)))
        found.append(own if own.cell is not None else replace(own, dipole=rng.normal(size=3)))
    return found


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> JointTraining:
    """With dipole moments and Born charges."""
    structures = with_moments(labeled(tmp_path_factory.mktemp("teacher"), text=THIRD))
    return begun(tmp_path_factory.mktemp("moments"), structures, THIRD + "dipole_weight 100.0\n")


def born_charges(training: JointTraining, index: int, at: Array) -> Array:
    found = training.trained_model(torch.from_numpy(at), Batch.of([training.samples[index]]), {})[3]
    assert found.born_charges[0] is not None
    return found.born_charges[0].detach().numpy()


def charges(training: JointTraining, structure: Structure, at: Array) -> Array:
    found = training.potential(at).predict(structure, forces=False, stress=False).charges
    assert found is not None
    return found.value


def test_the_gradient_of_moments_is_a_finite_difference(moments: JointTraining) -> None:
    trainer, at, batch = moments.trainer, weights(moments), list(moments.trainer.training[:3])
    _, slope = trainer.gradient(at, 1, batch)
    trainer.loss = replace(moments.loss, dipole=0.0, born_charge=0.0)
    _, without = trainer.gradient(at, 1, batch)
    trainer.loss = moments.loss
    assert np.abs(slope - without).max() > 0.1 * np.abs(slope).max()
    for place in places(moments):
        expected = numerical(lambda w: np.array(trainer.gradient(w, 1, batch)[0]), at, place)
        assert slope[place] == pytest.approx(float(expected), rel=1e-6, abs=1e-7 * np.abs(slope).max())


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("kind", ["dipole", "born_charges"])
def test_moments_decide_the_sign_of_the_first_charges(
    joint: JointTraining, tmp_path: Path, sign: float, kind: str
) -> None:
    """Dipole moments or Born charges of the charges without them, or of the opposite ones."""
    if joint.settings.model.electrostatics.equilibrated and kind == "born_charges":  # type: ignore[union-attr]
        pytest.skip("refused")
    structures = [replace(each, charge=0.0) for each in bnnp.read_data(joint.directory / "input.data")[::3]]
    text = (joint.directory / "input.nn").read_text().partition(TRAINING)[0]
    plain = begun(tmp_path / "plain", structures, text)
    own = sign * plain.charges_of(plain.initial_weights()).values.reshape(len(structures), -1)
    told = [
        replace(x, dipole=q @ x.positions)
        if kind == "dipole"
        else replace(x, born_charges=q[:, None, None] * np.eye(3))
        for x, q in zip(structures, own, strict=True)
    ]
    found = begun(tmp_path / "told", told, text)
    assert found.of_charges.variables.offsets == pytest.approx(sign * plain.of_charges.variables.offsets)


def test_moments_are_those_of_the_predicted_charges(moments: JointTraining) -> None:
    """Of a molecule: the dipole is the sum of charges times positions, its derivatives the Born charges."""
    at, molecule = weights(moments), moments.file.structure(0)
    batch = Batch.of([moments.samples[0]])
    found = moments.trained_model(torch.from_numpy(at), batch, {})[3].dipoles[0].detach().numpy()

    def dipole(positions: Array) -> Array:
        own = replace(molecule, positions=positions.reshape(-1, 3))
        return charges(moments, own, at) @ own.positions

    assert found == pytest.approx(dipole(molecule.positions), abs=1e-10)
    own = born_charges(moments, 0, at)
    for place in (0, 13, 35):
        slope = numerical(dipole, molecule.positions.ravel(), place, 1e-3)
        assert own[place // 3, :, place % 3] == pytest.approx(slope, abs=2e-6)


def test_born_charges_in_a_cell_are_of_nearest_images(moments: JointTraining) -> None:
    """The charge of the far atom changes by what the restored total adds to each. Without that, charge that
    moves to k when i is displaced counts r_k - r_i, across the border of the cell, too."""
    at, crystal = weights(moments), moments.file.structure(CROSSING)
    found, unwrapped = born_charges(moments, CROSSING, at), np.array(crystal.positions)
    unwrapped[unwrapped > 45.0] -= 60.0
    assert (unwrapped != crystal.positions).any()
    whole = replace(crystal, positions=unwrapped)
    for place in (0, 13, 32):
        atom, axis = divmod(place, 3)

        def own(r: Array) -> Array:
            return charges(moments, replace(whole, positions=r.reshape(-1, 3)), at)

        change = numerical(own, unwrapped.ravel(), place, 1e-3)
        expected = (change - change[-1]) @ (unwrapped - unwrapped[atom])
        expected[axis] += charges(moments, whole, at)[atom]
        assert found[atom, :, axis] == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(
    ("change", "text", "message"),
    [
        ({"charge": 1.0}, THIRD, "structure 1 .* total charge 1, .* depends on the origin"),
        (
            {"cell": 12.0 * np.eye(3)},
            THIRD,
            "1 structure cannot .* structure 1 .* is periodic, where a dipole moment is not def",
        ),
        ({"dipole": None}, GENERATIONS["4G"], "structure 1 .* has Born charges, which are trained with .*3G"),
    ],
)
def test_moments_that_are_not_defined_are_refused(
    tmp_path: Path, moments: JointTraining, change: dict[str, object], text: str, message: str
) -> None:
    structures = bnnp.read_data(moments.directory / "input.data")[::3]
    structures[0] = replace(structures[0], **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        begun(tmp_path / "run", structures, text)
