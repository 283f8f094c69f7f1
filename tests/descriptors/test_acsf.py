"""Symmetry functions of the torch reference: values by hand, derivatives, invariances, limits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.descriptors import acsf, formulas
from bnnp.descriptors.acsf import TorchDescriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import PARAMETERS, parse_function, sort_functions
from bnnp.descriptors.neighbors import NeighborList, find_neighbors

R_C = 6.0
ELEMENTS = ("H", "O", "Ge")
Array = NDArray[np.float64]
Cell = Array | None

# one or more functions of central element O for every type
FUNCTIONS = {
    1: ["O 1 H 6.0"],
    2: ["O 2 H 0.3 1.2 6.0", "O 2 Ge 0.05 0 5.5"],
    3: ["O 3 H Ge 0.02 1 4 6.0", "O 3 H H 0.05 -1 3.5 5.5 0.7", "O 3 Ge Ge 0.01 1 1 6.0"],
    4: ["O 4 H 1.7 6.0"],
    8: ["O 8 H Ge 0.001 100 6.0", "O 8 H H 0.0005 30 6.0"],
    9: ["O 9 H Ge 0.02 1 4 6.0", "O 9 H H 0.05 -1 3.5 5.5 0.7", "O 9 O O 0.01 1 16 6.0"],
    12: ["O 12 0.3 1.2 6.0"],
    13: ["O 13 0.03 0.5 -1 2 6.0"],
    20: ["O 20 H 0.5 6.0 p2", "O 20 H -6 6 e", "O 20 H 0.5 6.0 p1a"],
    21: ["O 21 H Ge 0 6.0 30 170 p2", "O 21 H H -6 6 60 180 p3a"],
    22: ["O 22 H Ge 0 6.0 30 170 p4", "O 22 H H 0.2 6 90 270 p2a"],
    23: ["O 23 0.5 6.0 p3"],
    24: ["O 24 0 6.0 -180 180 p2a"],
    25: ["O 25 0 6.0 20 160 e"],
}
TYPES = sorted(PARAMETERS)
SMOOTH = Cutoff(6, 0.1)  # twice differentiable at r_c, so that finite differences converge there too


def descriptor(definitions: list[str], cutoff: Cutoff = SMOOTH) -> TorchDescriptor:
    functions = sort_functions(parse_function(text.split()) for text in definitions)
    return TorchDescriptor(ELEMENTS, {"O": functions}, cutoff)


def types_of(symbols: list[str]) -> NDArray[np.int32]:
    return np.array([ELEMENTS.index(symbol) for symbol in symbols], dtype=np.int32)


def evaluate(model: TorchDescriptor, symbols: list[str], positions: Array, cell: Cell = None) -> Array:
    """G, (n_atoms, width)."""
    return model.values(types_of(symbols), pairs_of(symbols, positions, cell)).numpy()


def pairs_of(symbols: list[str], positions: Array, cell: Cell) -> NeighborList:
    return find_neighbors(positions, cell, R_C, np.array([atomic_numbers[symbol] for symbol in symbols]))


def random_structure(seed: int, periodic: bool = True) -> tuple[list[str], Array, Cell]:
    """Ten atoms at least 0.8 apart, centered by oxygen, in a triclinic cell smaller than twice the cutoff."""
    rng = np.random.default_rng(seed)
    cell = np.array([[6.5, 0, 0], [1.5, 6.0, 0], [-1.0, 0.7, 7.0]])
    points: list[Array] = []
    while len(points) < 10:
        point = rng.uniform(size=3) @ cell
        if all(np.linalg.norm(point - other) > 0.8 for other in points):
            points.append(point)
    symbols = ["O", "H", "Ge", "H", "O", "H", "Ge", "H", "O", "H"]
    return symbols, np.array(points), cell if periodic else None


def position_gradient(model: TorchDescriptor, symbols: list[str], positions: Array, cell: Cell) -> Array:
    """dG_i/dr_a, (n_atoms, width, n_atoms, 3), from the derivatives with respect to the pair vectors."""
    pairs, types = pairs_of(symbols, positions, cell), types_of(symbols)
    blocks = model.jacobian(types, pairs, dtype=torch.float64).numpy()
    gradient = np.zeros((len(symbols), model.width, len(symbols), 3))
    start = 0
    for i, j in zip(pairs.centers, pairs.neighbors, strict=True):
        felt = model.sensitive(symbols[i], symbols[j])
        block = blocks[start : start + 3 * len(felt)].reshape(3, len(felt)).T
        start += block.size
        gradient[i, felt, j] += block
        gradient[i, felt, i] -= block
    assert start == len(blocks)
    return gradient


# Values by hand


def hand_cutoff(r: float, r_c: float) -> float:
    """Cutoff type 1."""
    return 0.5 * (1 + math.cos(math.pi * r / r_c)) if r < r_c else 0.0


def hand_compact(x: float, left: float, right: float, power: int = 2, asymmetric: bool = False) -> float:
    """POLY1 or POLY2 in the product form (1 - y)^n (...), which differs from the code's."""
    y = abs(x - (left + right) / 2) / ((right - left) / 2)
    if y >= 1:
        return 0.0
    y = 2 * y - y * y if asymmetric else y
    return {1: 1 - 3 * y**2 + 2 * y**3, 2: 1 - 10 * y**3 + 15 * y**4 - 6 * y**5}[power]


R1, R2, THETA = 1.9, 2.6, math.radians(107.0)  # O-H, O-Ge, H-O-Ge
R3 = math.sqrt(R1**2 + R2**2 - 2 * R1 * R2 * math.cos(THETA))
E = math.exp
C107 = math.cos(THETA)
TRIMER = np.array([[0, 0, 0], [R1, 0, 0], [R2 * math.cos(THETA), R2 * math.sin(THETA), 0]])
F1, F2, F3 = (hand_cutoff(r, R_C) for r in (R1, R2, R3))


def gauss8(x: float) -> float:
    return math.exp(-0.001 * x * x)


def squares(shift: float, *distances: float) -> float:
    return sum((r - shift) ** 2 for r in distances)


C = hand_compact
BY_HAND = {
    "O 1 H 6": F1,
    "O 1 Ge 6": F2,
    "O 2 H 0.3 1.2 6": E(-0.3 * 0.7**2) * F1,
    "O 2 Ge 0.3 1.2 6": E(-0.3 * 1.4**2) * F2,
    "O 2 O 0.3 1.2 6": 0.0,
    "O 3 H Ge 0.02 1 4 6": (1 + C107) ** 4 / 8 * E(-0.02 * squares(0, R1, R2, R3)) * F1 * F2 * F3,
    "O 3 H Ge 0.02 -1 2.5 6": (1 - C107) ** 2.5 / 2**1.5 * E(-0.02 * squares(0, R1, R2, R3)) * F1 * F2 * F3,
    "O 3 Ge H 0.02 1 1 6 0.5": (1 + C107) * E(-0.02 * squares(0.5, R1, R2, R3)) * F1 * F2 * F3,
    "O 3 H Ge 0 1 1 3.5": 0.0,  # r_jk is beyond the cutoff
    "O 3 H H 0.02 1 4 6": 0.0,
    "O 4 H 1.7 6": math.cos(1.7 * R1) * F1,
    "O 8 H Ge 0.001 100 6": (gauss8(7) + gauss8(153) + gauss8(207) + gauss8(353)) * F1 * F2 * F3,
    "O 9 H Ge 0.02 1 4 6": (1 + C107) ** 4 / 8 * E(-0.02 * squares(0, R1, R2)) * F1 * F2,
    "O 9 H Ge 0.02 -1 1 6 0.5": (1 - C107) * E(-0.02 * squares(0.5, R1, R2)) * F1 * F2,
    "O 9 H Ge 0 1 1 3.5": (1 + C107) * hand_cutoff(R1, 3.5) * hand_cutoff(R2, 3.5),
    "O 12 0.3 1.2 6": 1 * E(-0.3 * 0.7**2) * F1 + 32 * E(-0.3 * 1.4**2) * F2,
    "O 13 0.03 0.5 -1 2 6": 32 * (1 - C107) ** 2 / 2 * E(-0.03 * squares(0.5, R1, R2, R3)) * F1 * F2 * F3,
    "O 20 H 0.5 6 p2": C(R1, 0.5, 6),
    "O 20 H -6 6 p1a": C(R1, -6, 6, 1, asymmetric=True),
    "O 20 Ge 0.5 6 e": E(1 - 1 / (1 - ((R2 - 3.25) / 2.75) ** 2)),
    "O 21 H Ge 0 6 30 170 p2": C(R1, 0, 6) * C(R2, 0, 6) * C(R3, 0, 6) * C(107, 30, 170),
    # in n2p2 C(r_jk) of type 21 is not asymmetric
    "O 21 H Ge 0 6 30 170 p2a": C(R1, 0, 6, 2, True) * C(R2, 0, 6, 2, True) * C(R3, 0, 6) * C(107, 30, 170),
    "O 22 H Ge 0 6 30 170 p1": C(R1, 0, 6, 1) * C(R2, 0, 6, 1) * C(107, 30, 170, 1),
    "O 22 Ge H 0 6 30 170 p2a": C(R1, 0, 6, 2, True) * C(R2, 0, 6, 2, True) * C(107, 30, 170),
    "O 23 0.5 6 p2": C(R1, 0.5, 6) + 32 * C(R2, 0.5, 6),
    "O 24 0 6 30 170 p2a": 32 * math.prod(C(r, 0, 6, 2, True) for r in (R1, R2, R3)) * C(107, 30, 170),
    "O 25 0 6 -150 150 p2": 32 * C(R1, 0, 6) * C(R2, 0, 6) * C(107, -150, 150),
}


@pytest.mark.parametrize("text", BY_HAND)
def test_trimer_by_hand(text: str) -> None:
    """O with one H and one Ge neighbor; the other elements have no functions."""
    G = evaluate(descriptor([text], Cutoff(1)), ["O", "H", "Ge"], TRIMER)
    assert G.shape == (3, 1)
    assert G[0, 0] == pytest.approx(BY_HAND[text], rel=1e-13, abs=1e-16)
    assert G[1:].tolist() == [[0.0], [0.0]]


def test_every_type_is_covered() -> None:
    assert {int(text.split()[1]) for text in BY_HAND} == set(TYPES) == set(FUNCTIONS)
    assert set(formulas.RADIAL) | set(formulas.ANGULAR) == set(TYPES)


def test_triples_of_one_element_count_once() -> None:
    """Three equal neighbors in a right-angled corner: three triples, cos = 0 in each."""
    positions = np.concatenate([np.zeros((1, 3)), 2.0 * np.eye(3)])
    G = evaluate(descriptor(["O 9 H H 0.1 1 3 6"], Cutoff(1)), ["O", "H", "H", "H"], positions)
    expected = 3 * 2.0**-2 * math.exp(-0.1 * 8) * hand_cutoff(2.0, 6.0) ** 2
    assert G[0, 0] == pytest.approx(expected, rel=1e-13)


def test_three_neighbor_elements_pair_up_correctly() -> None:
    """Two H and one Ge: one H-H triple, two H-Ge triples."""
    positions = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]])
    model = descriptor(["O 9 H H 0 1 1 6", "O 9 H Ge 0 1 1 6", "O 9 Ge Ge 0 1 1 6"], Cutoff(1))
    counts = evaluate(model, ["O", "H", "H", "Ge"], positions)[0] / hand_cutoff(2.0, 6.0) ** 2
    np.testing.assert_allclose(counts, [1, 2, 0], atol=1e-13)


# Derivatives


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("periodic", [True, False])
def test_gradient_is_the_finite_difference(type_: int, periodic: bool) -> None:
    symbols, positions, cell = random_structure(type_, periodic)
    model = descriptor(FUNCTIONS[type_])
    gradient = position_gradient(model, symbols, positions, cell)
    scale = np.abs(gradient).max()
    assert scale > 1e-3
    h = 1e-5
    for atom in (0, 1, 2, 4):
        for axis in range(3):
            step = np.zeros_like(positions)
            step[atom, axis] = h
            plus, minus = (evaluate(model, symbols, positions + s * step, cell) for s in (1, -1))
            difference = (plus - minus) / (2 * h)
            np.testing.assert_allclose(gradient[:, :, atom, axis], difference, rtol=1e-6, atol=1e-7 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("type_", TYPES)
def test_second_derivatives(type_: int) -> None:
    """Training differentiates forces, so the reference must be differentiable twice."""
    symbols = ["O", "H", "Ge", "H"]
    positions = np.array([[0.0, 0, 0], [1.7, 0.3, 0.1], [-0.4, 2.1, 0.6], [-1.0, -0.9, 1.4]])
    model = descriptor(FUNCTIONS[type_])
    pairs, types = pairs_of(symbols, positions, None), torch.tensor(types_of(symbols), dtype=torch.int64)
    own = slice(0, int(pairs.first[1]))  # the neighbors of O
    first = torch.tensor([0, own.stop])
    neighbor_types = types[torch.tensor(pairs.neighbors[own], dtype=torch.int64)]
    D = torch.tensor(pairs.vectors[own], requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda D: model.evaluate(types[:1], first, neighbor_types, D), D)


@pytest.mark.parametrize("type_", TYPES)
def test_sweeps_agree_with_the_jacobian(type_: int) -> None:
    symbols, positions, cell = random_structure(7)
    model, types, pairs = descriptor(FUNCTIONS[type_]), types_of(symbols), pairs_of(symbols, positions, cell)
    rng = np.random.default_rng(1)
    dEdG, dD = rng.normal(size=(len(symbols), model.width)), rng.normal(size=(len(pairs), 3))
    blocks = model.jacobian(types, pairs, dtype=torch.float64).numpy()
    vjp, jvp, start = np.zeros((len(pairs), 3)), np.zeros((len(symbols), model.width)), 0
    for p, (i, j) in enumerate(zip(pairs.centers, pairs.neighbors, strict=True)):
        felt = model.sensitive(symbols[i], symbols[j])
        block = blocks[start : start + 3 * len(felt)].reshape(3, len(felt))
        start += block.size
        vjp[p] = block @ dEdG[i, felt]
        jvp[i, felt] += dD[p] @ block
    np.testing.assert_allclose(model.vjp(types, pairs, dEdG), vjp, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(model.jvp(types, pairs, dD), jvp, rtol=1e-11, atol=1e-12)


@pytest.mark.slow
def test_blocks_of_centers_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    symbols, positions, cell = random_structure(2)
    model = descriptor([text for texts in FUNCTIONS.values() for text in texts])
    types, pairs = types_of(symbols), pairs_of(symbols, positions, cell)
    rng = np.random.default_rng(1)
    dEdG, dD = rng.normal(size=(len(symbols), model.width)), rng.normal(size=(len(pairs), 3))

    def sweep() -> list[Array]:
        return [
            model.values(types, pairs).numpy(),
            model.vjp(types, pairs, dEdG).numpy(),
            model.jvp(types, pairs, dD).numpy(),
            model.jacobian(types, pairs).numpy(),
        ]

    at_once = sweep()
    monkeypatch.setattr(acsf, "TRIPLES_AT_ONCE", 300)
    for whole, parts in zip(at_once, sweep(), strict=True):
        np.testing.assert_allclose(parts, whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("type_", TYPES)
def test_forces_and_torques_add_up_to_zero(type_: int) -> None:
    """Sum of dG/dr over all atoms, and of r x dG/dr, for a free cluster."""
    symbols, positions, _ = random_structure(type_, periodic=False)
    gradient = position_gradient(descriptor(FUNCTIONS[type_]), symbols, positions, None)
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(gradient.sum(axis=2), 0.0, atol=1e-13 * scale)
    np.testing.assert_allclose(np.cross(positions, gradient).sum(axis=2), 0.0, atol=1e-12 * scale)


# Invariances


@pytest.mark.parametrize("type_", TYPES)
def test_invariances(type_: int) -> None:
    symbols, positions, cell = random_structure(type_ + 100)
    assert cell is not None
    model = descriptor(FUNCTIONS[type_])
    G = evaluate(model, symbols, positions, cell)
    assert (np.abs(G[0]) > 0).all()
    rng = np.random.default_rng(type_)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]  # a reflection as often as not
    close = {"rtol": 1e-11, "atol": 1e-13}
    np.testing.assert_allclose(evaluate(model, symbols, positions @ rotation, cell @ rotation), G, **close)
    np.testing.assert_allclose(evaluate(model, symbols, positions + rng.normal(size=3), cell), G, **close)
    lattice = rng.integers(-2, 3, size=positions.shape) @ cell
    np.testing.assert_allclose(evaluate(model, symbols, positions + lattice, cell), G, **close)
    order = rng.permutation(len(symbols))
    shuffled = evaluate(model, [symbols[a] for a in order], positions[order], cell)
    np.testing.assert_allclose(shuffled, G[order], **close)
    copies = [np.array([a, b, c]) @ cell for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    supercell = np.concatenate([positions + copy for copy in copies])
    np.testing.assert_allclose(evaluate(model, symbols * 8, supercell, 2 * cell), np.tile(G, (8, 1)), **close)


@pytest.mark.parametrize(
    "type_", [t for t in TYPES if len(FUNCTIONS[t][0].split()) > 4 and t in (3, 8, 9, 21, 22)]
)
def test_neighbor_elements_may_be_swapped(type_: int) -> None:
    symbols, positions, cell = random_structure(type_)
    element, number, e1, e2, *rest = FUNCTIONS[type_][0].split()
    swapped = " ".join([element, number, e2, e1, *rest])
    one, two = (
        evaluate(descriptor([text]), symbols, positions, cell) for text in (FUNCTIONS[type_][0], swapped)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("type_", TYPES)
def test_neighbors_may_come_in_any_order(type_: int) -> None:
    """Lists from elsewhere are not sorted by element."""
    symbols, positions, cell = random_structure(type_)
    model, pairs = descriptor(FUNCTIONS[type_]), pairs_of(symbols, positions, cell)
    backwards = np.concatenate([np.arange(b)[: a - b - 1 : -1] for a, b in itertools.pairwise(pairs.first)])
    reverse = NeighborList(
        pairs.first, pairs.centers[backwards], pairs.neighbors[backwards], pairs.vectors[backwards]
    )
    values = model.values(types_of(symbols), pairs)
    np.testing.assert_allclose(model.values(types_of(symbols), reverse), values, rtol=1e-12, atol=1e-14)


# Limits


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("number", range(1, 9))
def test_atom_entering_the_cutoff(type_: int, number: int) -> None:
    """The change is of second order in how deep the atom is inside, for both distances of a triple."""
    model = descriptor([FUNCTIONS[type_][0]], Cutoff(number))
    symbols = ["O", "H", "Ge", "H"] if model.functions[1][0].is_angular else ["O", "Ge", "H", "H"]
    entering = model.functions[1][0].r_c

    def change(depth: float) -> float:
        positions = np.array([[0.0, 0, 0], [1.5, 0, 0], [0.5, 1.5, 0.2], [0, 0, entering - depth]])
        G = evaluate(model, symbols, positions)[0, 0]
        return abs(G - evaluate(model, symbols[:3], positions[:3])[0, 0])

    assert change(0.0) == change(-0.1) == 0.0
    deep, half = change(2e-3), change(1e-3)
    assert half <= 0.26 * deep + 1e-15
    assert change(0.5) > 0.0


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("angle", [0.0, 180.0])
def test_atoms_in_line(type_: int, angle: float) -> None:
    """At 0 and 180 degrees all derivatives are finite and the value is the limit of a small bend."""
    model = descriptor(FUNCTIONS[type_])
    symbols = ["O", "H", "Ge", "H", "Ge"]

    def bent(bend: float) -> Array:
        phi = math.radians(angle) + bend
        arm = np.array([math.cos(phi), math.sin(phi), 0])
        return np.stack([np.zeros(3), np.array([1.5, 0, 0]), 2.5 * arm, 3.5 * arm, np.array([4.5, 0, 0])])

    exact = evaluate(model, symbols, bent(0.0))
    np.testing.assert_allclose(evaluate(model, symbols, bent(1e-7)), exact, rtol=1e-6, atol=1e-9)
    gradient, nearby = (position_gradient(model, symbols, bent(bend), None) for bend in (0.0, 1e-6))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(nearby, gradient, rtol=1e-3, atol=1e-12 + 1e-3 * np.abs(gradient).max())


def test_no_neighbors() -> None:
    model = descriptor([text for texts in FUNCTIONS.values() for text in texts])
    types, pairs = types_of(["O"]), pairs_of(["O"], np.zeros((1, 3)), None)
    zeros = np.zeros((1, model.width))
    np.testing.assert_array_equal(model.values(types, pairs), zeros)
    np.testing.assert_array_equal(model.jvp(types, pairs, np.zeros((0, 3))), zeros)
    assert model.vjp(types, pairs, zeros).shape == (0, 3)
    assert model.jacobian(types, pairs).shape == (0,)


def test_hard_cutoff_counts_neighbors() -> None:
    """Type 2 with eta = 0 and cutoff type 0; there is nothing to differentiate."""
    model = descriptor(["O 2 H 0 0 6"], Cutoff(0))
    symbols, positions = ["O", "H", "H", "H"], np.array([[0.0, 0, 0], [1, 0, 0], [0, 5.9, 0], [0, 0, 6.1]])
    pairs = pairs_of(symbols, positions, None)
    assert model.values(types_of(symbols), pairs)[0, 0] == 2
    assert not model.vjp(types_of(symbols), pairs, np.ones((4, 1))).any()


def test_single_precision() -> None:
    symbols, positions, cell = random_structure(0)
    definitions = [text for texts in FUNCTIONS.values() for text in texts]
    functions = sort_functions(parse_function(text.split()) for text in definitions)
    single = TorchDescriptor(ELEMENTS, {"O": functions}, SMOOTH, dtype=torch.float32)
    types, pairs = types_of(symbols), pairs_of(symbols, positions, cell)
    values = single.values(types, pairs)
    assert values.dtype == torch.float32
    np.testing.assert_allclose(values, descriptor(definitions).values(types, pairs), rtol=2e-4, atol=1e-5)
