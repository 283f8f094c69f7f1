"""The compiled symmetry functions against the torch reference, n2p2, and each other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.descriptors.acsf import TorchDescriptor
from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import WITHOUT_INNER_RADIUS, Cutoff
from bnnp.descriptors.functions import SymmetryFunction, expand_element, parse_function, sort_functions
from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.io.input_data import read_structures
from bnnp.settings.settings import load_settings

R_C = 5.5
GOLDEN = (1 + 5**0.5) / 2
Array = NDArray[np.float64]
Functions = dict[str, tuple[SymmetryFunction, ...]]

# words after the central element of element_symfunction_short; in every type several cutoff radii
DEFINITIONS = {
    1: ["1 5.5", "1 3.0"],
    2: ["2 0 0 5.5", "2 0.3 1.2 5.5", "2 0.05 0 4.1", "2 3.0 2.5 4.1"],
    3: [
        "3 0.02 1 4 5.5",
        "3 0.02 -1 4 5.5",
        "3 0.02 1 1 5.5",
        "3 0.02 1 16 4.6",
        "3 0.05 -1 3.5 5.5",
        "3 0.05 1 64 5.5",
        "3 0.3 -1 2 5.5 1.3",
        "3 0 1 1.5 4.1 0.4",
    ],
    4: ["4 1.7 5.5", "4 0 4.1"],
    8: ["8 0.001 100 5.5", "8 0.0005 30 4.1", "8 0 0 5.5"],
    9: [
        "9 0.02 1 4 5.5",
        "9 0.02 -1 4 5.5",
        "9 0.02 1 1 5.5",
        "9 0.02 1 16 4.6",
        "9 0.05 -1 3.5 5.5",
        "9 0.05 1 64 5.5",
        "9 0.3 -1 2 5.5 1.3",
        "9 0 1 1.5 4.1 0.4",
    ],
    12: ["12 0.3 1.2 5.5", "12 0.02 0 4.1"],
    13: ["13 0.03 0.5 -1 2 5.5", "13 0.02 0 1 2.5 4.1"],
    20: [
        f"20 {r_l} 5.5 {kind}"
        for r_l, kind in [(-5.5, "p1"), (0.5, "p2a"), (1, "p3"), (0, "p4a"), (0.5, "e")]
    ],
    21: ["21 0 5.5 30 170 p2", "21 -5.5 5.5 -120 120 p3a", "21 0.5 5 90 270 e", "21 0 5.5 0 180 p4"],
    22: ["22 0 5.5 30 170 p2", "22 -5.5 5.5 -120 120 p3a", "22 0.5 5 90 270 e", "22 0 5.5 0 180 p1a"],
    23: ["23 0.5 5.5 p3", "23 -5.5 5.5 p2a"],
    24: ["24 0 5.5 -180 180 p2a", "24 0.5 5.5 30 170 p3"],
    25: ["25 0 5.5 20 160 e", "25 -5.5 5.5 90 270 p4a"],
}
TYPES = sorted(DEFINITIONS)
CUTOFFS = [
    Cutoff(number, alpha)
    for number in range(9)
    for alpha in (0.0, 0.25)
    if alpha == 0.0 or number not in WITHOUT_INNER_RADIUS
]


@dataclass(frozen=True)
class System:
    """A structure: elements of the potential, element index of each atom, positions, cell."""

    elements: tuple[str, ...]
    types: NDArray[np.int32]
    positions: Array
    cell: Array | None

    @property
    def pairs(self) -> NeighborList:
        numbers = np.array([atomic_numbers[self.elements[type_]] for type_ in self.types])
        return find_neighbors(self.positions, self.cell, R_C, numbers)


def scattered(seed: int, elements: str, n_atoms: int, cell: Array, periodic: bool = True) -> System:
    """Atoms at least 0.7 apart, periodic images included."""
    rng = np.random.default_rng(seed)
    images = np.mgrid[-1:2, -1:2, -1:2].reshape(3, -1).T @ cell
    points: list[Array] = []
    while len(points) < n_atoms:
        point = rng.uniform(size=3) @ cell
        if all(np.linalg.norm(point - other + images, axis=1).min() > 0.7 for other in points):
            points.append(point)
    symbols = tuple(elements.split())
    types = rng.integers(0, len(symbols), size=n_atoms).astype(np.int32)
    return System(symbols, types, np.array(points), cell if periodic else None)


TRICLINIC = np.array([[6.0, 0, 0], [1.5, 6.5, 0], [-1.0, 0.7, 7.0]])


def system(elements: str, types: list[int], positions: object, cell: Array | None = None) -> System:
    return System(
        tuple(elements.split()), np.array(types, dtype=np.int32), np.array(positions, dtype=float), cell
    )


SYSTEMS = {
    "triclinic": scattered(1, "O Ge", 12, TRICLINIC),
    "six elements": scattered(2, "H C O Si Ge Te", 18, 1.3 * TRICLINIC),
    "an element absent": system("H O Ge", [0, 2, 2, 0, 0], scattered(5, "H", 5, TRICLINIC).positions),
    "molecule": scattered(4, "H O Ge Te", 9, TRICLINIC, periodic=False),
    "one atom in a tiny cell": system("Si", [0], [[9, -3, 2]], 0.35 * TRICLINIC),
    "flat cell": scattered(6, "O Ge", 3, np.diag([2.5, 9.0, 3.0])),
    "isolated atom": system("H O", [1], [[0, 0, 0]]),
    "far apart": system("H", [0, 0, 0], 7.0 * np.eye(3)),
    "dimer": system("H O", [0, 1], [[0, 0, 0], [0.9, 1, 2]]),
    "in line": system("H O", [1, 0, 0, 0], [[0, 0, 0], [1.5, 0, 0], [-2, 0, 0], [3.1, 0, 0]]),
}


def functions_of(elements: tuple[str, ...], types: list[int], seed: int = 0, most: int = 10) -> Functions:
    """Definitions of each type with random neighbor elements, `most` a type (less for the second)."""
    rng = np.random.default_rng(seed)
    functions: Functions = {}
    for rank, element in enumerate(elements):
        own: list[SymmetryFunction] = []
        for type_ in types:
            texts = rng.permutation(DEFINITIONS[type_])[: most - 2 * (rank == 1)]
            for text in texts:
                choices = expand_element([element, *text.split()], elements)
                own.append(choices[rng.integers(len(choices))])
        functions[element] = sort_functions(own)
    return functions


def copies(system: System, n: int) -> tuple[NDArray[np.int32], NeighborList]:
    """Types and pairs of `n` copies of a system that do not feel each other."""
    atoms, pairs = len(system.types), system.pairs
    firsts = [np.zeros(1, dtype=np.int64)]
    firsts += [pairs.first[1:] + copy * len(pairs) for copy in range(n)]
    shift = np.repeat(np.arange(n, dtype=np.int32) * atoms, len(pairs))
    everything = NeighborList(
        np.concatenate(firsts),
        np.tile(pairs.centers, n) + shift,
        np.tile(pairs.neighbors, n) + shift,
        np.tile(pairs.vectors, (n, 1)),
    )
    return np.tile(system.types, n), everything


def both(
    elements: tuple[str, ...], functions: Functions, cutoff: Cutoff
) -> tuple[Descriptor, TorchDescriptor]:
    return Descriptor(elements, functions, cutoff), TorchDescriptor(elements, functions, cutoff)


def rounding(functions: Functions, cutoff: Cutoff) -> float:
    """Absolute rounding error of a term of a sum, which shows where all terms are tiny.

    Terms are 1 at most, or Z Z with weights. The polynomials of types 20 - 25 and cutoffs 6 - 8 have
    coefficients of up to 540 and lose a digit.
    """
    own = [function for group in functions.values() for function in group]
    size = max((atomic_numbers[e] ** 2 for e in functions if any(f.is_weighted for f in own)), default=1)
    return size * (1e-15 if cutoff.type > 5 or any(f.type >= 20 for f in own) else 1e-16)


def assert_equal(core: Array, reference: torch.Tensor, floor: float) -> None:
    """Equal to 1e-12 of the largest entry of each column, or to `floor`."""
    expected = reference.numpy()
    assert core.shape == expected.shape
    if expected.size:
        error = np.abs(core - expected)
        limit = np.maximum(1e-12 * np.abs(expected).max(axis=0), floor)
        assert (error <= limit).all(), f"{error.max()=} {(error / limit).max()=}"


def sweeps_agree(system: System, functions: Functions, cutoff: Cutoff, seed: int = 0) -> None:
    """values, vjp, jvp and jacobian of the core equal those of the reference."""
    rng = np.random.default_rng(seed)
    core, reference = both(system.elements, functions, cutoff)
    types, pairs, floor = system.types, system.pairs, rounding(functions, cutoff)
    assert core.n_functions == reference.n_functions
    assert core.width == reference.width
    dEdG, dD = rng.normal(size=(len(types), core.width)), rng.normal(size=(len(pairs), 3))
    assert_equal(core.values(types, pairs), reference.values(types, pairs), floor)
    assert_equal(core.vjp(types, pairs, dEdG), reference.vjp(types, pairs, dEdG), 10 * floor)
    assert_equal(core.jvp(types, pairs, dD), reference.jvp(types, pairs, dD), 10 * floor)
    blocks = reference.jacobian(types, pairs, torch.float64)
    assert_equal(core.jacobian(types, pairs, np.float64), blocks, floor)


class TestAgainstTheReference:
    """Equal to 1e-12; every type, every cutoff function, every kind of structure."""

    @pytest.mark.parametrize("type_", TYPES)
    @pytest.mark.parametrize("name", SYSTEMS)
    def test_types(self, type_: int, name: str) -> None:
        system = SYSTEMS[name]
        sweeps_agree(system, functions_of(system.elements, [type_]), Cutoff(1))

    @pytest.mark.slow
    @pytest.mark.parametrize("cutoff", CUTOFFS, ids=lambda cutoff: f"{cutoff.type}-{cutoff.alpha}")
    def test_cutoffs(self, cutoff: Cutoff) -> None:
        system = SYSTEMS["triclinic"]
        sweeps_agree(system, functions_of(system.elements, [1, 2, 3, 4, 8, 9, 12, 13]), cutoff)

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(6))
    def test_random_choices_of_everything(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        elements = ["H", "H O", "Si O", "H O Ge", "O Si Ge Te", "H C O Si Ge Te"][seed]
        shape = rng.uniform(2.5, 8.0) * (np.eye(3) + 0.2 * rng.normal(size=(3, 3)))
        system = scattered(seed, " ".join(sorted(elements.split(), key=atomic_numbers.get)), 6, shape)
        functions = functions_of(system.elements, TYPES, seed, most=3)
        cutoff = CUTOFFS[rng.integers(len(CUTOFFS))]
        try:
            sweeps_agree(system, functions, cutoff, seed)
        except AssertionError as error:
            raise AssertionError(f"{seed=} {cutoff=} {system=}") from error


def shell(vectors: object) -> NeighborList:
    """The pairs of a first atom with neighbors at these vectors, which have no neighbors themselves."""
    D = np.array(vectors, dtype=float)
    first = np.array([0, *[len(D)] * (len(D) + 1)])
    neighbors = np.arange(1, len(D) + 1, dtype=np.int32)
    return NeighborList(first, np.zeros(len(D), dtype=np.int32), neighbors, D)


ICOSAHEDRON = [p for x in (-1, 1) for y in (-GOLDEN, GOLDEN) for p in ([x, y, 0], [0, x, y], [y, 0, x])]


class TestSumsOfMoments:
    """Type 9 with an integer zeta up to 4, where there are more neighbors than a few, knows no triples."""

    @pytest.mark.parametrize("elements", ["O", "O Ge", "H C O"])
    @pytest.mark.parametrize("zetas", [(1,), (2,), (1, 3), (4, 16, 2.5)], ids=str)
    def test_every_pair_of_elements(self, elements: str, zetas: tuple[float, ...]) -> None:
        """Up to ten radial factors, some of them shifted, for all pairs; zeta 16 and 2.5 have triples."""
        factors = ["0.02 5.5", "0.3 5.5 1.3", "0.1 4.1", "0 5.5", "0.05 5.5", "1 5.5 2"]
        factors = [*factors, "0.2 5", "0.4 5", "0.6 5", "0.8 5"][: {1: 10, 2: 3, 3: 1}[len(elements.split())]]
        functions: Functions = {}
        for center in elements.split():
            own: list[SymmetryFunction] = []
            for (eta, *rest), zeta, sign in product(map(str.split, factors), zetas, (1, -1)):
                words = [center, "9", eta, str(sign), str(zeta), *rest]
                own += expand_element(words, elements.split())
            functions[center] = sort_functions(own)
        sweeps_agree(scattered(7, elements, 5, 0.9 * TRICLINIC), functions, Cutoff(2))

    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("zeta", [1, 2, 3, 4])
    def test_a_shell_by_hand(self, sign: int, zeta: int) -> None:
        """An icosahedron, to whose corners cos theta is +-1 / sqrt 5 (30 pairs each) or -1 (6)."""
        function = parse_function(["Ar", "9", "Ar", "Ar", "0", str(sign), str(zeta), "5"])
        core = Descriptor(("Ar",), {"Ar": (function,)}, Cutoff(0))  # the hard cutoff: factors are 1
        cosines = {5**-0.5: 30, -(5**-0.5): 30, -1.0: 6}
        expected = 2.0 ** (1 - zeta) * sum(n * (1 + sign * c) ** zeta for c, n in cosines.items())
        G = core.values(np.zeros(13, dtype=np.int32), shell(ICOSAHEDRON))
        assert G[0, 0] == pytest.approx(expected, rel=1e-14)
        assert not G[1:].any()

    @pytest.mark.parametrize("near", [1, 3])
    @pytest.mark.parametrize("in_line", [False, True])
    def test_few_neighbors_that_count(self, near: int, in_line: bool) -> None:
        """One neighbor or three, and twelve where the cutoff function is 1e-7 or less: what is left when the
        terms j = k are subtracted is as exact as the largest of them."""
        axis = np.array([[0.6, 0.0, 0.8], [-0.6, 0.0, -0.8], [1.2, 0.0, 1.6]])
        close = axis if in_line else np.array([[0.9, 0.1, -0.3], [-0.2, 1.1, 0.4], [0.3, -0.5, 0.8]])
        far = 5.499 * np.array(ICOSAHEDRON) / np.linalg.norm(ICOSAHEDRON[0])
        pairs = shell(np.concatenate([close[:near], far]))
        types = np.array([0, *[0, 1, 0][:near], *[0, 1] * 6], dtype=np.int32)
        words = [f"{e} 9 0.02 {sign} {zeta} 5.5" for e in "HO" for sign in (1, -1) for zeta in (1, 2, 3, 4)]
        functions = {e: sort_functions(f for w in words if w[0] == e for f in expand_element(w.split(), "HO"))
                     for e in "HO"}  # fmt: skip
        core, reference = both(("H", "O"), functions, Cutoff(1))
        rng = np.random.default_rng(1)
        dEdG, dD = rng.normal(size=(len(types), core.width)), rng.normal(size=(len(pairs), 3))
        for found, expected in (
            (core.values(types, pairs), reference.values(types, pairs)),
            (core.vjp(types, pairs, dEdG), reference.vjp(types, pairs, dEdG)),
            (core.jvp(types, pairs, dD), reference.jvp(types, pairs, dD)),
            (core.jacobian(types, pairs, np.float64), reference.jacobian(types, pairs, torch.float64)),
        ):
            np.testing.assert_allclose(found, expected.numpy(), rtol=1e-11, atol=3e-14)


class TestTheFourSweeps:
    """What holds for any sweep, whatever the numbers."""

    functions = staticmethod(lambda system: functions_of(system.elements, [2, 3, 8, 9, 13, 22]))

    @pytest.mark.parametrize("name", SYSTEMS)
    def test_vjp_and_jvp_are_adjoint(self, name: str) -> None:
        """<dE/dG, J dD> = <J^T dE/dG, dD>."""
        system, rng = SYSTEMS[name], np.random.default_rng(1)
        core = Descriptor(system.elements, self.functions(system), Cutoff(2))
        dEdG, dD = rng.normal(size=(len(system.types), core.width)), rng.normal(size=(len(system.pairs), 3))
        terms = dEdG * core.jvp(system.types, system.pairs, dD)
        right = np.sum(core.vjp(system.types, system.pairs, dEdG) * dD)
        assert terms.sum() == pytest.approx(right, rel=1e-11, abs=1e-12 * np.abs(terms).sum())

    @pytest.mark.parametrize("name", SYSTEMS)
    def test_stored_blocks_do_the_same(self, name: str) -> None:
        system, rng = SYSTEMS[name], np.random.default_rng(1)
        core = Descriptor(system.elements, self.functions(system), Cutoff(2))
        types, pairs = system.types, system.pairs
        dEdG, dD = rng.normal(size=(len(types), core.width)), rng.normal(size=(len(pairs), 3))
        for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-6)):
            blocks = core.jacobian(types, pairs, dtype)
            assert blocks.dtype == dtype
            assert blocks.size == core.block_sizes(types, pairs).sum()
            for stored, direct in (
                (core.block_vjp(types, pairs, blocks, dEdG), core.vjp(types, pairs, dEdG)),
                (core.block_jvp(types, pairs, blocks, dD), core.jvp(types, pairs, dD)),
            ):
                limit = tolerance * max(1.0, np.abs(direct).max(initial=0.0))
                np.testing.assert_allclose(stored, direct, rtol=0, atol=10 * limit)

    def test_finite_differences(self) -> None:
        """jvp along a random direction of all pair vectors; no reference in between."""
        system, rng = SYSTEMS["triclinic"], np.random.default_rng(1)
        core = Descriptor(system.elements, self.functions(system), Cutoff(6))
        types, pairs, h = system.types, system.pairs, 1e-5
        dD = rng.normal(size=(len(pairs), 3))

        def moved(step: float) -> Array:
            vectors = pairs.vectors + step * dD
            return core.values(types, NeighborList(pairs.first, pairs.centers, pairs.neighbors, vectors))

        jvp, difference = core.jvp(types, pairs, dD), (moved(h) - moved(-h)) / (2 * h)
        np.testing.assert_allclose(jvp, difference, rtol=1e-5, atol=1e-6 * np.abs(jvp).max())

    @pytest.mark.parametrize("threads", [2, 3, 8])
    @pytest.mark.parametrize("name", ["triclinic", "six elements", "isolated atom"])
    def test_threads_change_no_bit(self, name: str, threads: int) -> None:
        system, rng = SYSTEMS[name], np.random.default_rng(1)
        types, pairs = copies(system, 1 + 300 // len(system.types))  # a thread needs 32 atoms
        functions = self.functions(system)
        one, many = (Descriptor(system.elements, functions, Cutoff(1), threads=n) for n in (1, threads))
        dEdG, dD = rng.normal(size=(len(types), one.width)), rng.normal(size=(len(pairs), 3))
        np.testing.assert_array_equal(many.values(types, pairs), one.values(types, pairs))
        np.testing.assert_array_equal(many.vjp(types, pairs, dEdG), one.vjp(types, pairs, dEdG))
        np.testing.assert_array_equal(many.jvp(types, pairs, dD), one.jvp(types, pairs, dD))
        np.testing.assert_array_equal(many.jacobian(types, pairs), one.jacobian(types, pairs))

    def test_atoms_do_not_feel_how_many_others_there_are(self) -> None:
        """Bit for bit the same descriptors alone and in a list twice as long."""
        system = SYSTEMS["triclinic"]
        core = Descriptor(system.elements, self.functions(system), Cutoff(1))
        G = core.values(system.types, system.pairs)
        np.testing.assert_array_equal(core.values(*copies(system, 2)), np.tile(G, (2, 1)))

    def test_padding_is_zero(self) -> None:
        system = SYSTEMS["six elements"]
        core = Descriptor(system.elements, functions_of(system.elements, [3, 9], most=8), Cutoff(1))
        G = core.values(system.types, system.pairs)
        assert len(set(core.n_functions)) > 1
        for row, type_ in zip(G, system.types, strict=True):
            assert not row[core.n_functions[type_] :].any()

    def test_sensitive(self) -> None:
        texts = ["O 2 H 0.1 0 5.5", "O 3 H Ge 0.1 1 1 5.5", "O 3 O O 0.1 1 1 5.5", "O 12 0.1 0 5.5"]
        functions = {
            e: tuple(parse_function([e, *text.split()[1:]]) for text in texts) for e in ("H", "O", "Ge")
        }
        core, reference = both(("H", "O", "Ge"), functions, Cutoff(1))
        assert core.sensitive("O", "H").tolist() == [0, 1, 3]
        assert core.sensitive("O", "O").tolist() == [2, 3]
        assert core.sensitive("O", "Ge").tolist() == [1, 3]
        for x in core.elements:
            for y in core.elements:
                np.testing.assert_array_equal(core.sensitive(x, y), reference.sensitive(x, y))

    def test_single_precision(self) -> None:
        system = SYSTEMS["triclinic"]
        functions = functions_of(system.elements, [2, 3, 9])
        single, double = (Descriptor(system.elements, functions, Cutoff(1), dtype=t) for t in ("f4", "f8"))
        G = double.values(system.types, system.pairs)
        np.testing.assert_allclose(
            single.values(system.types, system.pairs), G, rtol=1e-3, atol=1e-5 * np.abs(G).max()
        )


CASES = [
    "H2O_RPBE-D3",
    "sfmix/cutoff_type_1_alpha_0.0",
    "sfmix/cutoff_type_2_alpha_0.0",
    "sfmix/cutoff_type_4_alpha_0.3",
    "sfmix/cutoff_type_6_alpha_0.0",
    "sfmix/cutoff_type_6_alpha_0.3",
    "sfmix/cutoff_type_8_alpha_0.3",
]


@pytest.mark.parametrize("case", CASES)
def test_values_of_n2p2(case: str, shared: Path) -> None:
    """ref_G_unscaled.txt, printed by n2p2. Cutoff type 8 cancels near r_c in n2p2: 1e-15 absolute."""
    folder = shared / "reference" / case
    settings = load_settings(folder / "input.nn", mode=1)
    core = settings.model.descriptor()
    reference = {
        (int(words[0]), int(words[1])): np.array(words[5:], dtype=float)
        for words in map(str.split, (folder / "ref_G_unscaled.txt").read_text().splitlines()[1:])
    }
    compared = 0
    for structure in read_structures(folder / "input.data"):
        types = np.array(
            [settings.model.elements.index(symbol) for symbol in structure.symbols], dtype=np.int32
        )
        pairs = find_neighbors(structure.positions, structure.cell, core.radius, structure.numbers)
        for atom, row in enumerate(core.values(types, pairs)):
            expected = reference.get((structure.index, atom))
            if expected is not None:
                np.testing.assert_allclose(row[: len(expected)], expected, rtol=1e-12, atol=2e-15)
                compared += 1
    assert compared == len(reference)


def test_a_negative_zeta_has_its_value_by_hand_and_counts_zero_at_its_pole() -> None:
    """2^(1 - zeta) (1 + cos)^zeta is 4 / (1 + cos) for -1: 4 at 90 degrees; n2p2 has 0 at 180 degrees."""
    functions = {"Cu": (parse_function(["Cu", "3", "Cu", "Cu", "0", "1", "-1", "5"]),)}
    descriptor = Descriptor(("Cu",), functions, Cutoff(0))  # a hard cutoff, so that nothing else is a factor
    for corner, expected in (([0.0, 2.0, 0.0], 4.0), ([-2.0, 0.0, 0.0], 0.0)):
        positions = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], corner])
        types, pairs = np.zeros(3, np.int32), find_neighbors(positions, None, 5.0, np.full(3, 29))
        assert descriptor.values(types, pairs)[0, 0] == pytest.approx(expected, rel=1e-14, abs=0.0)
        assert np.isfinite(descriptor.vjp(types, pairs, np.array([[1.0], [0.0], [0.0]]))).all()
