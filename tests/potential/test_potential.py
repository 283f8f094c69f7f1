"""The whole chain from positions to energy, forces, stress and their standard deviations."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_numbers

from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError, NumericalError
from bnnp.io.input_data import StructureFile
from bnnp.io.scaling_data import ScalingData
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.potential.loading import load, options_of, potential_of
from bnnp.potential.member import Member
from bnnp.potential.potential import Potential
from bnnp.settings.settings import Settings, load_settings
from bnnp.structure import Structure

INPUT = """
units metal
number_of_elements 2
elements Te Ge
atom_energy Ge -1.5
atom_energy Te 0.25
remove_atom_energies
runner_mode 3
use_short_nn
nn_type_short 1
cutoff_type 1
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 2
global_nodes_short 6 5
global_activation_short t t l
global_symfunction_short 2 0.1 0.0 5.0
global_symfunction_short 2 1.0 2.5 5.0
global_symfunction_short 3 0.02 1 2 5.0
global_symfunction_short 9 0.05 -1 4 4.5
"""
RATES = (0.0, 0.2, 0.3)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    path = tmp_path_factory.mktemp("potential") / "input.nn"
    path.write_text(INPUT)
    return load_settings(path)


def networks(settings: Settings) -> dict[str, Network]:
    rng = np.random.default_rng(1)
    result = {}
    for element in settings.model.elements:
        architecture, n = settings.model.architecture[element], len(settings.model.functions[element])
        result[element] = Network.from_flat(rng.normal(size=architecture.n_weights(n)), architecture, n)
    return result


def scalings(settings: Settings) -> ScalingData:
    rng = np.random.default_rng(2)
    table = {}
    for element in settings.model.elements:
        n = len(settings.model.functions[element])
        minimum, width = rng.normal(size=n), rng.uniform(2.0, 4.0, size=n)
        table[element] = Scaling(minimum, minimum + width, minimum + 0.4 * width, 0.2 * width)
    return ScalingData(table)


def potential(settings: Settings, samples: int = 0, threads: int = 1) -> Potential:
    nets = networks(settings)
    masks = None
    if samples:
        masks = Masks.draw(7, samples, RATES, {element: nets[element].sizes for element in nets})
    return potential_of(settings, Member(nets, masks), scalings(settings), threads)


def kept(model: Potential) -> dict:
    """Which units the masks of the first member keep."""
    masks = model.members[0].masks
    assert masks is not None
    return dict(masks.keep)


def structure(seed: int = 0, n: int = 7, periodic: bool = True) -> Structure:
    rng = np.random.default_rng(seed)
    cell = np.diag([4.8, 5.4, 6.1]) + rng.normal(scale=0.3, size=(3, 3))
    grid = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)])[:n] / 2.0
    positions = (grid + rng.normal(scale=0.03, size=grid.shape)) @ cell
    numbers = np.array([atomic_numbers[symbol] for symbol in rng.choice(["Ge", "Te"], n)])
    return Structure(numbers, positions, cell if periodic else None)


def moved(base: Structure, positions: np.ndarray, cell: np.ndarray | None = None) -> Structure:
    return Structure(base.numbers.copy(), positions, base.cell if cell is None else cell)


@pytest.mark.parametrize("samples", [0, 4])
@pytest.mark.parametrize("periodic", [True, False])
def test_forces_are_minus_the_gradient_of_the_mean_energy(
    settings: Settings, samples: int, periodic: bool
) -> None:
    model, base = potential(settings, samples), structure(periodic=periodic)
    forces, step = model.predict(base).forces.value, 1e-4
    assert forces is not None
    for atom, axis in [(0, 0), (2, 1), (6, 2)]:
        energies = []
        for sign in (2, 1, -1, -2):
            positions = base.positions.copy()
            positions[atom, axis] += sign * step
            energies.append(model.predict(moved(base, positions)).energy.value)
        slope = (-energies[0] + 8 * energies[1] - 8 * energies[2] + energies[3]) / (12 * step)
        assert forces[atom, axis] == pytest.approx(-slope, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("samples", [0, 4])
def test_stress_is_the_strain_derivative(settings: Settings, samples: int) -> None:
    model, base, step = potential(settings, samples), structure(3), 1e-4
    stress, volume, cell = model.predict(base).stress.value, base.volume, base.cell
    assert stress is not None
    assert cell is not None
    for component in range(6):
        strain = np.zeros((3, 3))
        a, b = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[component]  # xx yy zz yz xz xy
        strain[a, b] += 0.5
        strain[b, a] += 0.5
        energies = []
        for sign in (2, 1, -1, -2):
            deform = np.eye(3) + sign * step * strain
            energies.append(model.predict(moved(base, base.positions @ deform, cell @ deform)).energy.value)
        slope = (-energies[0] + 8 * energies[1] - 8 * energies[2] + energies[3]) / (12 * step)
        assert stress[component] == pytest.approx(slope / volume, rel=1e-6, abs=1e-10)


def test_standard_deviations_are_those_of_the_members(settings: Settings) -> None:
    samples, base = 6, structure(5)
    model = potential(settings, samples)
    prediction = model.predict(base)
    members = []
    for sample in range(samples):
        member = model.member(sample)
        assert member.sizes == (1,)
        for element in model.elements:  # first, middle and last layer
            for own, all_samples in zip(kept(member)[element], kept(model)[element], strict=True):
                np.testing.assert_array_equal(own[0], all_samples[sample])
        members.append(member.predict(base))
    for name in ("energy", "forces", "stress", "atoms"):
        values = np.array([getattr(member, name).value for member in members])
        found = getattr(prediction, name)
        np.testing.assert_allclose(found.value, values.mean(axis=0), rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(found.std, values.std(axis=0, ddof=1), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("threads", [1, 2])
def test_one_sweep_over_the_atoms_gives_the_numbers_of_its_parts(settings: Settings, threads: int) -> None:
    model, cell = potential(settings, 6).with_options(threads=threads), structure(7)
    shifts = np.arange(12)[:, None] * cell.cell[2]  # enough atoms for two threads
    positions = (cell.positions + shifts[:, None]).reshape(-1, 3)
    base = Structure(np.tile(cell.numbers, 12), positions, cell.cell * [[1.0], [1.0], [12.0]])
    types, pairs = model.types(base), model.neighbors(base)
    values = model.descriptor.values(types, pairs)
    energies, gradient, _ = model.samplers.sample(types, model.scaled(types, values))
    rng = np.random.default_rng(2)
    factors = rng.normal(size=(len(model.elements), model.descriptor.width))
    derivatives = model.descriptor.vjp(types, pairs, gradient * factors[types])
    scaling = tuple(vars(model.inputs).values())  # shift, factor, offset
    together = model.samplers.mean_field(model.descriptor, types, pairs, scaling, factors)
    for one, other in zip(together, (values, energies, derivatives), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)


def test_resampled_masks_differ_by_structure_and_from_the_frozen_ones(settings: Settings) -> None:
    frozen, base = potential(settings, 6), structure(5)
    model = frozen.with_options(resample=True)
    first, again = model.predict(base), model.predict(base)
    other = model.predict(replace(base, index=1))
    energies = {round(prediction.energy.value, 9) for prediction in (first, other, frozen.predict(base))}
    assert len(energies) == 3
    assert first.energy.value == again.energy.value  # by structure: the same on any number of ranks


def test_mean_and_sigma_do_not_depend_on_the_description(settings: Settings) -> None:
    model, base = potential(settings, 8), structure(8)
    cell, first = base.cell, model.predict(base)
    assert cell is not None
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    order = np.random.default_rng(3).permutation(len(base))
    turned = Structure(
        base.numbers[order], (base.positions @ rotation + [3.0, -40.0, 11.0])[order], cell @ rotation
    )
    second = model.predict(turned)
    assert second.energy.value == pytest.approx(first.energy.value, rel=1e-11)
    assert second.energy.std == pytest.approx(first.energy.std, rel=1e-10)
    np.testing.assert_allclose(
        second.forces.value, (first.forces.value @ rotation)[order], rtol=1e-9, atol=1e-10
    )
    np.testing.assert_allclose(
        np.square(second.forces.std).sum(axis=1), np.square(first.forces.std[order]).sum(axis=1), rtol=1e-9
    )


def test_supercell_doubles_energy_and_sigma(settings: Settings) -> None:
    model, base = potential(settings, 8), structure(9)
    cell, first = base.cell, model.predict(base)
    assert cell is not None
    double = Structure(
        np.tile(base.numbers, 2),
        np.vstack([base.positions, base.positions + cell[0]]),
        cell * [[2], [1], [1]],
    )
    second = model.predict(double)
    assert second.energy.value == pytest.approx(2 * first.energy.value, rel=1e-12)
    assert second.energy.std == pytest.approx(2 * first.energy.std, rel=1e-9)
    np.testing.assert_allclose(
        second.forces.value, np.tile(first.forces.value, (2, 1)), rtol=1e-9, atol=1e-10
    )
    np.testing.assert_allclose(second.stress.value, first.stress.value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(second.stress.std, first.stress.std, rtol=1e-9, atol=1e-12)


def test_two_far_molecules_add_up(settings: Settings) -> None:
    model, base = potential(settings), structure(4, periodic=False)
    pair = Structure(np.tile(base.numbers, 2), np.vstack([base.positions, base.positions + 100.0]))
    assert model.predict(pair).energy.value == pytest.approx(2 * model.predict(base).energy.value, rel=1e-13)


def test_isolated_atom_is_network_of_zeros_plus_free_atom(settings: Settings) -> None:
    model = potential(settings)
    alone = Structure(np.array([atomic_numbers["Ge"]]), np.zeros((1, 3)))
    prediction = model.predict(alone)
    assert prediction.energy.value == pytest.approx(prediction.atoms.value[0] - 1.5, rel=1e-14)
    np.testing.assert_array_equal(prediction.forces.value, np.zeros((1, 3)))
    assert not prediction.descriptors.any()


def test_single_precision_changes_the_seventh_digit(settings: Settings) -> None:
    """Energy to 1e-6, standard deviations to 1e-3."""
    double, base = potential(settings, 8), structure()
    exact, rounded = double.predict(base), double.with_options(single=True)
    single = rounded.predict(base)
    assert exact.forces.value is not None
    assert single.forces.value is not None
    assert single.energy.value == pytest.approx(exact.energy.value, rel=1e-6)
    assert single.energy.std == pytest.approx(exact.energy.std, rel=1e-3)
    np.testing.assert_allclose(single.forces.std, exact.forces.std, rtol=1e-3)
    change = np.abs(single.forces.value - exact.forces.value).max() / np.abs(exact.forces.value).max()
    assert 1e-10 < change < 1e-5
    alone = rounded.predict(base, sigma=False)  # atom by atom, as in dynamics
    assert alone.energy.value == pytest.approx(single.energy.value, rel=1e-14)
    change = np.abs(alone.forces.value - exact.forces.value).max() / np.abs(exact.forces.value).max()
    assert 1e-8 < change < 1e-5


@pytest.mark.parametrize(("mode", "single"), [(3, True), (2, False)])
def test_precision_of_input_nn(tmp_path: Path, solid: Path, mode: int, single: bool) -> None:
    """Mode 2 computes symmetry functions in double, also where the training is in single precision."""
    shutil.copytree(solid, tmp_path / "solid")
    with open(tmp_path / "solid" / "input.nn", "a") as file:
        file.write("precision single\n")
    options = options_of(load_settings(tmp_path / "solid" / "input.nn", mode))
    assert options.single == single


def test_threads_change_nothing(settings: Settings) -> None:
    """600 atoms: enough for several threads, and for several pieces of the sampled forces."""
    rng = np.random.default_rng(12)
    grid = np.array(np.meshgrid(range(10), range(10), range(6))).reshape(3, 600).T * 2.7
    numbers = np.array([atomic_numbers[symbol] for symbol in rng.choice(["Ge", "Te"], 600)])
    large = Structure(numbers, grid + rng.normal(scale=0.1, size=grid.shape), np.diag([27.0, 27.0, 16.2]))
    one, three = potential(settings, 5).predict(large), potential(settings, 5, threads=3).predict(large)
    assert one.energy.value == three.energy.value
    np.testing.assert_array_equal(one.descriptors, three.descriptors)
    np.testing.assert_array_equal(one.forces.value, three.forces.value)
    np.testing.assert_array_equal(one.forces.std, three.forces.std)
    np.testing.assert_array_equal(one.stress.std, three.stress.std)


def test_coinciding_atoms_are_named(settings: Settings) -> None:
    base = structure(periodic=False)
    positions = base.positions.copy()
    positions[4] = positions[1] + 0.01
    with pytest.raises(NumericalError, match="atoms 2 and 5 are .* Angstrom apart"):
        potential(settings).predict(moved(base, positions))


def test_unknown_element_is_named(settings: Settings) -> None:
    with pytest.raises(InputError, match="element Sb is not in this potential, which knows Ge Te"):
        potential(settings).predict(Structure(np.array([atomic_numbers["Sb"]]), np.zeros((1, 3))))


@pytest.mark.parametrize("case", ["water_28", "sio2_70"])
def test_n2p2_energy_and_forces(shared: Path, case: str) -> None:
    """Numbers of n2p2's nnp-predict for the very same files (double precision)."""
    folder = shared / "reference" / case
    model = load(folder)
    prediction = model.predict(StructureFile(folder / "input.data")[0])
    rows = [line.split() for line in (folder / "energy.out").read_text().splitlines() if line[0] != "#"]
    assert prediction.energy.value == pytest.approx(float(rows[0][3]), rel=1e-12)
    rows = [
        line.split()[5:8] for line in (folder / "nnforces.out").read_text().splitlines() if line[0] != "#"
    ]
    np.testing.assert_allclose(prediction.forces.value, np.array(rows, dtype=float), rtol=0, atol=1e-9)


def test_n2p2_normalized_potential(shared: Path) -> None:
    """A potential with n2p2's normalization header: energies and forces come out in physical units."""
    folder = shared / "reference" / "H2O_RPBE-D3"
    model = load(folder)
    prediction = model.predict(StructureFile(folder / "input.data")[0])
    lines = [line.split() for line in (folder / "ref_energy.txt").read_text().splitlines() if line[0] != "#"]
    assert prediction.energy.value == pytest.approx(float(lines[0][2]), rel=1e-12)
    atoms = [float(line[4]) for line in lines if line[0] == "A" and line[1] == "0"]
    np.testing.assert_allclose(prediction.atoms.value, atoms, rtol=1e-11)
    lines = [line.split() for line in (folder / "ref_forces.txt").read_text().splitlines() if line[0] != "#"]
    forces = np.array([line[3:6] for line in lines if line[0] == "0"], dtype=float)
    np.testing.assert_allclose(prediction.forces.value, forces, rtol=0, atol=1e-9)


def test_pickled_and_changed_potentials(settings: Settings) -> None:
    model, base = potential(settings, 4), structure(5)
    expected = model.predict(base)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), model.with_options(threads=2)):
        found = other.predict(base)
        assert found.energy.value == expected.energy.value
        np.testing.assert_array_equal(found.forces.std, expected.forces.std)
    plain = replace(model, members=(Member(model.members[0].networks),))
    assert plain.predict(base).energy.value == potential(settings).predict(base).energy.value
    with pytest.raises(IndexError, match="sample 4 of a potential with 4 samples"):
        model.member(4)


@pytest.mark.parametrize("repulsion", ["", "zbl_repulsion 1.0 3.5\n"])
@pytest.mark.parametrize("samples", [0, 4])
@pytest.mark.parametrize("periodic", [True, False])
def test_by_sample_is_what_each_member_predicts(
    samples: int, periodic: bool, repulsion: str, tmp_path: Path
) -> None:
    """Energy, forces and stress; one sample for the plain network."""
    (tmp_path / "input.nn").write_text(
        INPUT + "mean_energy -0.3\nconv_energy 2.0\nconv_length 1.0\n" + repulsion
    )
    model = potential(load_settings(tmp_path / "input.nn"), samples)
    base = structure(periodic=periodic)
    found = model.by_sample(base)
    assert found.energies.shape == (max(samples, 1),)
    for sample in range(max(samples, 1)):
        expected = (model.member(sample) if samples else model).predict(base)
        assert found.energies[sample] == pytest.approx(expected.energy.value, rel=1e-12)
        np.testing.assert_allclose(found.forces[..., sample], expected.forces.value, atol=1e-11)
        if periodic:
            assert found.stress is not None
            np.testing.assert_allclose(found.stress[:, sample], expected.stress.value, atol=1e-12)
        else:
            assert found.stress is None


@pytest.mark.parametrize("normalize", [False, True])
def test_members_of_a_calibrated_potential_deviate_by_the_size_of_errors(
    settings: Settings, normalize: bool
) -> None:
    """Centered masks m become 1 + f (m - 1). With f = 1 that is the sample itself, all layers in one plain
    network; with a small f it deviates from the plain network by f times what a smaller f says."""
    rng = np.random.default_rng(7)
    own = {x: replace(network, normalize_nodes=normalize) for x, network in networks(settings).items()}
    sizes = {x: network.sizes for x, network in own.items()}
    masks = Masks.draw(5, 6, (0.3, 0.2, 0.3), sizes)
    masks = masks.with_means({x: tuple(rng.normal(size=n) for n in sizes[x]) for x in sizes})
    member = Member(own, masks)
    inputs = {x: rng.normal(size=(4, network.n_inputs)) for x, network in own.items()}

    def energies(networks: Mapping[str, Network], sample: int | None = None) -> np.ndarray:
        """By the formula in the head of dense.py."""
        found = []
        for x, network in networks.items():
            y = inputs[x]
            for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
                if sample is not None:
                    m, c = masks.scaled(x)[layer][sample], masks.means[x][layer]
                    y = c + m * (y - c)
                y = y @ weight / (len(weight) if normalize else 1) + bias
                y = np.tanh(y) if network.activations[layer] == "t" else y
            found.append(y[:, 0])
        return np.concatenate(found)

    for sample in (0, 5):
        whole = member.only(sample, 1.0 - 1e-15)
        assert whole.masks is None
        np.testing.assert_allclose(energies(whole.networks), energies(own, sample), rtol=1e-11)
        assert member.only(sample).masks is not None
        steps = [energies(member.only(sample, f).networks) - energies(own) for f in (2e-4, 1e-4)]
        assert np.abs(steps[1]).max() > 0.0
        np.testing.assert_allclose(steps[0], 2.0 * steps[1], rtol=1e-2, atol=1e-9)
    potential = replace(potential_of(settings, member, scalings(settings)), deviation_factor=0.5)
    chosen = potential.member(5).members[0]
    np.testing.assert_array_equal(energies(chosen.networks), energies(member.only(5, 0.5).networks))
