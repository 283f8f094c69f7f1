"""Transfer between elements: partners by their parameters, and networks that give the very same energies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bnnp.cli import main
from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction, expand_global, parse_function, sort_functions
from bnnp.descriptors.neighbors import find_neighbors
from bnnp.descriptors.scaling import Affine
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.network.tensors import evaluate
from bnnp.structure import Set, Structure
from bnnp.training.adam import Adam
from bnnp.training.parameters import Parameters
from bnnp.training.schedule import CosineSchedule
from bnnp.training.transfer import Donor, partners, step_factors, transferred

LINES = (
    "2 0.01 0.0 4.5",
    "2 0.6 2.5 4.5",
    "2 0.6 3.2 4.5",
    "3 0.01 -1 1 4.5",
    "3 0.02 1 4 4.5",
    "9 0.02 1 2 4.5",
)
SHAPE = Architecture((6, 5), ("t", "t", "l"))
CUTOFF = Cutoff(1)


def functions(elements: tuple[str, ...], length: float = 1.0) -> dict[str, tuple[SymmetryFunction, ...]]:
    """The functions of LINES with lengths multiplied, for all elements and neighbors."""
    found: dict[str, list[SymmetryFunction]] = {element: [] for element in elements}
    for line in LINES:
        words = line.split()
        eta, r_c = float(words[1]) / length**2, float(words[-1]) * length
        middle = [str(float(words[2]) * length)] if words[0] == "2" else words[2:-1]
        for function in expand_global([words[0], repr(eta), *middle, repr(r_c)], elements):
            found[function.element].append(function)
    return {element: sort_functions(listed) for element, listed in found.items()}


def donor(elements: tuple[str, ...] = ("Si",)) -> Donor:
    """Random networks on functions scaled in some way, with a normalization header."""
    rng, own = np.random.default_rng(3), functions(elements)
    networks = {x: initial_network(SHAPE, len(own[x]), rng, "uniform", (-0.5, 0.5)) for x in elements}
    affines = {
        x: Affine(rng.normal(size=len(f)), rng.uniform(0.2, 1, len(f)), rng.normal(size=len(f)))
        for x, f in own.items()
    }
    return Donor(own, networks, affines, conv_energy=2.5, mean_energy=-0.3)


def energies(given: Donor, symbols: np.ndarray, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Energies of atoms as the donor's files say: E = output / conv + mean."""
    return atomic(
        given.functions,
        symbols,
        positions,
        cell,
        lambda x, g: (
            evaluate(given.networks[x], given.affines[x].apply(g))[0] / given.conv_energy + given.mean_energy
        ),
    )


def atomic(own, symbols, positions, cell, network) -> np.ndarray:  # type: ignore[no-untyped-def]
    elements = tuple(own)
    descriptor = Descriptor(elements, own, CUTOFF)
    numbers = np.array([{"Si": 14, "Ge": 32}[s] for s in symbols])
    pairs = find_neighbors(positions, cell, descriptor.radius, numbers)
    types = np.array([elements.index(s) for s in symbols], dtype=np.int32)
    values, found = descriptor.values(types, pairs), np.empty(len(symbols))
    for k, x in enumerate(elements):
        found[types == k] = network(x, values[types == k][:, : len(own[x])])
    return found


def geometry() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    return rng.uniform(0.0, 5.0, (8, 3)), 5.0 * np.eye(3) + rng.normal(0.0, 0.2, (3, 3))


def new_networks(
    given: Donor, own: dict, names: dict[str, str], length: float, energy: float
) -> dict[str, Network]:
    return {
        x: transferred(given.on_functions(old), partners(own[x], given.functions[old], names, length), energy)
        for x, old in names.items()
    }


@pytest.mark.parametrize("length", [1.0, 1.041])
def test_scaled_transfer_is_exact(length: float) -> None:
    """E(s R) = e E'(R): stretched structures have the old energies, times e, atom by atom."""
    given, own, (positions, cell) = donor(), functions(("Ge",), length), geometry()
    networks = new_networks(given, own, {"Ge": "Si"}, length, 0.888)
    old = energies(given, np.array(["Si"] * 8), positions, cell)
    new = atomic(
        own, np.array(["Ge"] * 8), length * positions, length * cell, lambda x, g: evaluate(networks[x], g)[0]
    )
    np.testing.assert_allclose(new, 0.888 * old, rtol=1e-9)
    assert np.ptp(old) > 1e-3


def test_two_elements_from_one_do_not_see_the_difference() -> None:
    """Functions of all neighbor elements start from the one of silicon: their sums are the same."""
    given, own, (positions, cell) = donor(), functions(("Si", "Ge")), geometry()
    networks = new_networks(given, own, {"Si": "Si", "Ge": "Si"}, 1.0, 1.0)
    symbols = np.array(["Si", "Ge", "Ge", "Si", "Ge", "Si", "Si", "Ge"])
    old = energies(given, np.array(["Si"] * 8), positions, cell)
    new = atomic(own, symbols, positions, cell, lambda x, g: evaluate(networks[x], g)[0])
    np.testing.assert_allclose(new, old, rtol=1e-9)


@pytest.mark.parametrize(
    ("line", "partner"),
    [
        ("Ge 2 Ge 0.6 2.5 4.5", 0),
        ("Ge 2 Ge 0.6005 2.5 4.501", 0),  # rounded
        ("Ge 2 Ge 0.63 2.5 4.5", None),
        ("Ge 2 Ge 0.6 2.6 4.5", None),
        ("Ge 3 Ge Ge 0.6 1 1 4.5", 1),
        ("Ge 3 Ge Ge 0.6 -1 1 4.5", None),
        ("Ge 9 Ge Ge 0.6 1 1 4.5", None),
        ("Ge 4 Ge 0.6 4.5", 2),
        ("Ge 12 0.6 2.5 4.5", None),  # weighted by atomic numbers
        ("Ge 20 Ge -1.0 4.5 p2", 4),
        ("Ge 20 Ge -1.0 4.5 p3", None),
    ],
)
def test_partners_by_type_elements_and_numbers(line: str, partner: int | None) -> None:
    old = [
        parse_function(text.split())
        for text in (
            "Si 2 Si 0.6 2.5 4.5",
            "Si 3 Si Si 0.6 1 1 4.5",
            "Si 4 Si 0.6 4.5",
            "Si 12 0.6 2.5 4.5",
            "Si 20 Si -1.0 4.5 p2",
        )
    ]
    assert partners([parse_function(line.split())], old, {"Ge": "Si"}) == [partner]
    assert partners([parse_function(line.split())], old, {}) == [None]


def test_lengths_are_scaled_by_their_dimension() -> None:
    old = [
        parse_function(text.split())
        for text in (
            "Si 2 Si 0.64 2.0 4.0",
            "Si 4 Si 0.6 4.0",
            "Si 8 Si Si 0.01 100 4.0",
            "Si 20 Si -1.0 4.0 p2",
        )
    ]
    new = [
        parse_function(text.split())
        for text in (
            "Ge 2 Ge 0.16 4.0 8.0",
            "Ge 4 Ge 0.3 8.0",
            "Ge 8 Ge Ge 0.01 100 8.0",
            "Ge 20 Ge -2.0 8.0 p2",
        )
    ]
    assert partners(new, old, {"Ge": "Si"}, 2.0) == [0, 1, 2, 3]
    assert partners(new, old, {"Ge": "Si"}, 1.0) == [None] * 4


def test_steps_are_frozen_and_scaled_layer_by_layer() -> None:
    shapes = Parameters({"Si": SHAPE, "Ge": SHAPE}, {"Si": 3, "Ge": 2})
    factors = step_factors(shapes, ["Ge"], 1, (9.0, 0.5, 2.0))
    assert factors is not None
    expected = [1.0] * (4 * 6 + 7 * 5 + 6) + [0.0] * (3 * 6) + [0.5] * (7 * 5) + [2.0] * 6
    assert factors.tolist() == expected
    assert step_factors(shapes, ["Ge"], 0, (1.0, 1.0, 1.0)) is None
    adam = Adam(CosineSchedule(0.1, 0.1, 0, 10), np.ones(2, dtype=bool), 0.3, factors=np.array([0.0, 0.5]))
    state = adam.step(adam.start(np.array([1.0, 1.0])), np.array([1.0, 1.0]))
    assert state.weights == pytest.approx([1.0, 1.0 - 0.5 * 0.1 * 1.3])


# through the executable

HEAD = """\
units metal
number_of_elements 1
elements {element}
random_seed 5
threads 1
use_short_forces
cutoff_type 1
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 2
global_nodes_short 6 5
global_activation_short t t l
batch_size 4
dropout_rate 0
warmup_epochs 0
"""
LENGTH, ENERGY = 1.041, 0.888


def text_of(element: str, length: float, *lines: str) -> str:
    own = functions((element,), length)[element]
    listed = [f"symfunction_short {function.definition()}" for function in own]
    return "\n".join([HEAD.format(element=element) + "\n".join(listed), *lines]) + "\n"


def run(folder: Path, mode: int) -> Result:
    here = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(main, ["--mode", str(mode)])
    finally:
        os.chdir(here)


@pytest.fixture(scope="module")
def silicon(tmp_path_factory: pytest.TempPathFactory, label: Callable[..., Structure]) -> Path:
    """A directory in which a potential of one element has been trained."""
    folder = tmp_path_factory.mktemp("silicon")
    rng, sites = np.random.default_rng(2), np.stack(np.meshgrid(*[np.arange(2)] * 3), -1).reshape(-1, 3)
    structures = [
        label(
            np.full(8, 14),
            sites * 2.8 + rng.normal(0, 0.15, (8, 3)),
            5.6 * np.eye(3),
            subset=Set.TEST if k % 4 == 3 else Set.TRAIN,
        )
        for k in range(16)
    ]
    write_structures(folder / "input.data", structures)
    (folder / "input.nn").write_text(text_of("Si", 1.0, "epochs 30"))
    for mode in (1, 2):
        assert run(folder, mode).exit_code == 0
    return folder


def germanium(silicon: Path, folder: Path, *lines: str) -> Result:
    """Mode 2 on silicon's structures stretched, with labels scaled and another zero of the energy."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    stretched = [
        Structure(
            np.full(8, 32),
            LENGTH * s.positions,
            LENGTH * s.cell,
            ENERGY * s.energy - 8 * 7.0,
            ENERGY / LENGTH * s.forces,
            subset=s.subset,
        )
        for s in StructureFile(silicon / "input.data")
    ]
    write_structures(folder / "input.data", stretched)
    shutil.copytree(silicon / "potential", folder / "old")
    (folder / "input.nn").write_text(text_of("Ge", LENGTH, "transfer_from old", *lines))
    assert run(folder, 1).exit_code == 0
    return run(folder, 2)


SCALES = (f"transfer_scale_length {LENGTH}", f"transfer_scale_energy {ENERGY}")


def rmse(path: Path) -> np.ndarray:
    """Energy and force RMSE of the training set, last epoch."""
    return np.loadtxt(path / "learning-curve.out", ndmin=2)[-1, [1, 9]]


def test_transferred_potential_is_as_good_as_its_origin(silicon: Path, tmp_path: Path) -> None:
    """Before the first step: errors of silicon at its best epoch, in the new units, whatever the zero."""
    result = germanium(silicon, tmp_path / "ge", "transfer_map Ge Si", *SCALES, "epochs 0")
    assert result.exit_code == 0, result.output
    assert "that of Si; 6 of its functions (6) have a partner" in result.output
    best = sorted(silicon.glob("trainforces.*"))[-1]
    forces = np.loadtxt(best)
    expected = ENERGY / LENGTH * np.sqrt(np.mean((forces[:, 2:5] - forces[:, 5:8]) ** 2))
    assert rmse(tmp_path / "ge")[1] == pytest.approx(expected, rel=1e-4)
    points = np.loadtxt(best.with_name(best.name.replace("forces", "points")))
    errors = points[:, 4] / 8
    assert rmse(tmp_path / "ge")[0] == pytest.approx(ENERGY * errors.std(), rel=1e-4)


def test_frozen_layers_stay_as_they_were(silicon: Path, tmp_path: Path) -> None:
    """The function of G behind the first layer is that of the donor; the rest has learnt."""
    result = germanium(
        silicon, tmp_path / "ge", "transfer_map Ge Si", *SCALES, "epochs 5", "transfer_freeze 1"
    )
    assert result.exit_code == 0, result.output
    old, new = (
        np.loadtxt(p, usecols=0) for p in (silicon / "weights.014.data", tmp_path / "ge" / "weights.032.data")
    )
    first = 6 * 6 + 6  # first layer; both are on functions scaled alike: the data are silicon's, stretched
    np.testing.assert_allclose(new[:first], old[:first], rtol=1e-6, atol=1e-8)
    assert np.abs(new[first:-6] - old[first:-6]).max() > 1e-4


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("transfer_map Ge Si",), "no symmetry function of Ge has a partner"),
        ((), "none of the elements here; say what starts from what: `transfer_map Ge Si`"),
        (("transfer_map Ge Sn",), "the elements here are Ge, those there Si"),
        (("transfer_map Ge Si Ge Si",), "names Ge twice"),
        (("transfer_map Ge",), "expects pairs of elements"),
        (("transfer_map Ge Si", *SCALES, "normalize_nodes"), "normalize_nodes is True here, but False"),
        (("transfer_map Ge Si", *SCALES, "use_old_weights_short"), "exclude each other"),
    ],
)
def test_what_cannot_be_transferred_is_told(
    silicon: Path, tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    folder = tmp_path / "ge"
    try:
        result = germanium(silicon, folder, *lines, "epochs 0")
    except AssertionError:  # mode 1 says it already
        result = run(folder, 1)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())
