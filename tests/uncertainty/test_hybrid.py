"""Distance from the training set and the last layer: closed forms, invariances, the unlimited growth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from numpy.typing import NDArray
from scipy.spatial.distance import mahalanobis

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError, StaleFileError
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.statistics_section import format_statistics, parse_statistics
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.network.tensors import evaluate, hidden_values
from bnnp.potential.loading import load
from bnnp.potential.potential import Potential
from bnnp.structure import Structure
from bnnp.uncertainty.calibration import Calibration, Quantity
from bnnp.uncertainty.hybrid import Distances, SigmaParts, closeness, distances, strangers, surroundings
from bnnp.uncertainty.maps import Quadratic
from bnnp.uncertainty.training_statistics import (
    TrainingStatistics,
    excess,
    inverse_root,
    with_directions,
)
from bnnp.units import METAL

Array = NDArray[np.float64]
EACH = np.arange(500) // 5  # structures of the atoms of `values`


@pytest.fixture
def values() -> Array:
    """Correlated functions of 500 atoms; the last one never varies."""
    generator = np.random.default_rng(3)
    mixing = generator.normal(size=(4, 4))
    return np.column_stack([generator.normal(size=(500, 4)) @ mixing, np.full(500, 0.25)])


def network(n_inputs: int = 5, normalize: bool = False) -> Network:
    found = initial_network(
        Architecture((6, 3), ("t", "t", "l")), n_inputs, np.random.default_rng(1), "glorot"
    )
    return replace(found, normalize_nodes=normalize)


class TestDistance:
    def test_inside_it_is_that_of_mahalanobis(self, values: Array) -> None:
        domain, scaling = TrainingStatistics.of(values, values, EACH), Scaling.of(values)
        inverse = np.linalg.inv(np.cov(values[:, :4].T))
        expected = [mahalanobis(row, values[:, :4].mean(axis=0), inverse) / 2.0 for row in values[:9, :4]]
        np.testing.assert_allclose(domain.distance(values[:9], scaling), expected, rtol=1e-9)
        assert np.sqrt(np.square(domain.distance(values, scaling)).mean()) == pytest.approx(1.0, rel=2e-3)

    def test_beyond_the_range_the_excess_is_added(self, values: Array) -> None:
        domain, scaling = TrainingStatistics.of(values, values, EACH), Scaling.of(values)
        atom = values[:1].copy()
        atom[0, 1] = scaling.maximum[1] + 2.5 * scaling.spread[1]
        inverse = np.linalg.inv(np.cov(values[:, :4].T))
        inner = mahalanobis(atom[0, :4], values[:, :4].mean(axis=0), inverse) / 2.0
        assert domain.distance(atom, scaling)[0] == pytest.approx(np.hypot(inner, 2.5), rel=1e-9)

    def test_a_function_that_never_varied_is_no_distance_but_unseen(self, values: Array) -> None:
        domain, scaling = TrainingStatistics.of(values, values, EACH), Scaling.of(values)
        atoms = np.repeat(values[:1], 4, axis=0)
        atoms[1:, 4] += np.array([0.009, 0.011, -1e6]) * np.median(scaling.spread[:4])
        assert len(set(domain.distance(atoms, scaling))) == 1
        assert domain.unseen(atoms, scaling).tolist() == [False, False, True, True]
        atoms[:, 1] += 1e3  # a function that varied is far, not unseen
        assert not domain.unseen(atoms[:1], scaling).any()

    def test_no_limit_to_growth(self, values: Array) -> None:
        domain, scaling = TrainingStatistics.of(values, values, EACH), Scaling.of(values)
        away = values.mean(axis=0) + np.linspace(1.0, 50.0, 30)[:, None] * np.array(
            [1.0, 2.0, -1.0, 0.5, 0.0]
        )
        found = domain.distance(away, scaling)
        assert (np.diff(found) > 0.0).all()
        assert found[-1] / found[14] == pytest.approx(2.0, rel=0.1)

    def test_excess_by_hand(self) -> None:
        scaling = Scaling.of(np.array([[0.0, 1.0], [2.0, 5.0]]))
        np.testing.assert_allclose(
            excess(np.array([[3.0, 1.0], [-1.0, 7.0]]), scaling), [[0.5, 0], [0.5, 0.5]]
        )


class TestStructure:
    def test_mean_of_equal_atoms(self) -> None:
        """Two structures, of three atoms at 0, 1, 2 and of one at 5: the mean of all atoms is 2 and their
        variance 14 / 3. Means 1 and 5 are 1 and 3 off: (3 + 9) / 4, and 7 / 3 for independent atoms."""
        values = np.array([[0.0], [1], [2], [5]])
        domain, scaling = TrainingStatistics.of(values, values, np.array([7, 7, 7, 9])), Scaling.of(values)
        assert domain.structure_covariance == pytest.approx(np.array([[3.0 + 7 / 3]]))
        found = domain.structure_square(np.array([[3.0], [5.0]]), scaling)
        assert found == pytest.approx(4.0 / (3.0 + 7 / 3), rel=1e-12)

    def test_whitened_by_its_own_covariance(self, values: Array) -> None:
        domain, scaling = TrainingStatistics.of(values, values, EACH), Scaling.of(values)
        mean = values[:9].mean(axis=0)
        inverse = np.linalg.inv(domain.structure_covariance[:4, :4])
        expected = mahalanobis(mean[:4], values[:, :4].mean(axis=0), inverse) ** 2 / 4.0
        assert domain.structure_square(values[:9], scaling) == pytest.approx(expected, rel=1e-9)

    def test_atoms_that_are_unusual_in_the_same_direction(self, values: Array) -> None:
        """Hundred atoms, each as far as usual: D is small if they differ, large if all are the same."""
        domain, scaling = TrainingStatistics.of(values, values, EACH), Scaling.of(values)
        same = np.repeat(values[np.argmax(domain.distance(values, scaling))][None], 100, axis=0)
        assert domain.structure_square(values[:100], scaling) < 0.1
        assert domain.structure_square(same, scaling) > 5.0

    def test_surroundings_by_hand(self) -> None:
        """Atoms at 0, 2 and 4 in a cutoff of 4: f(2)^2 = 1/4, and nothing from 4."""
        positions = np.array([[0.0, 0, 0], [2, 0, 0], [4, 0, 0]])
        pairs = find_neighbors(positions, None, 4.0, np.array([29, 29, 29]))
        found = surroundings(np.array([0.0, 3.0, 0.0]), pairs, 4.0)
        expected = [(9 / 4) / (5 / 4), 9 / (6 / 4), (9 / 4) / (5 / 4)]
        np.testing.assert_allclose(np.square(found), expected, rtol=1e-12)


class TestCloseness:
    SHORTEST = np.array([[2.0, 3.0], [3.0, 0.0]])  # the second element never beside itself

    def found(self, types: list[int], positions: list[list[float]]) -> Array:
        numbers = np.array([(32, 52)[t] for t in types])
        pairs = find_neighbors(np.array(positions), None, 6.0, numbers)
        return closeness(np.array(types, dtype=np.int32), pairs, self.SHORTEST)

    def test_by_hand(self) -> None:
        """0-0 at 1, 0-1 at 2.5 and 3.5, 1-1 nowhere: the nearest counts, relative to its own shortest."""
        found = self.found([0, 0, 1], [[0, 0, 0], [1, 0, 0], [3.5, 0, 0]])
        near, far = 2.0**6 - 1.0, (3.0 / 2.5) ** 6 - 1.0
        np.testing.assert_allclose(found, [near, near, far], rtol=1e-12)

    def test_nothing_at_usual_distances_or_where_none_is_known(self) -> None:
        assert not self.found([0, 0], [[0, 0, 0], [2.0, 0, 0]]).any()
        assert not self.found([1, 1], [[0, 0, 0], [0.5, 0, 0]]).any()

    def test_sigma_of_a_potential_grows_as_atoms_approach(self, potential: Potential) -> None:
        """The functions of copper saturate; with the shortest distance of training sigma does not."""
        own = potential.statistics["Cu"]
        known = replace(potential, statistics={"Cu": replace(own, shortest={"Cu": 2.2})})
        radii = np.array([2.2, 1.9, 1.5, 1.0, 0.7])

        def far(model: Potential, r: float) -> float:
            atoms = Structure(np.array([29, 29]), np.array([[0.0, 0, 0], [r, 0, 0]]))
            return float(model.predict(atoms, sigma=False).parts.energy[2])

        plain, grown = (np.array([far(model, r) for r in radii]) for model in (potential, known))
        assert grown[0] == plain[0]
        squares = grown**2 - plain**2
        np.testing.assert_allclose(np.sqrt(squares)[1:], (2.2 / radii[1:]) ** 6 - 1.0, rtol=1e-6)


class TestLastLayer:
    def test_inverse_root(self) -> None:
        matrix = np.cov(np.random.default_rng(2).normal(size=(3, 50)))
        rows = inverse_root(matrix, 1e-6)
        np.testing.assert_allclose(rows.T @ rows, np.linalg.inv(matrix), rtol=1e-9)

    @pytest.mark.parametrize("normalize", [False, True])
    def test_features_are_what_the_energy_is_linear_in(self, normalize: bool) -> None:
        net = network(normalize=normalize)
        inputs = np.random.default_rng(5).normal(size=(7, 5))
        hidden = hidden_values(net, inputs)[-1]
        assert hidden.shape == (7, 3)
        last = net.weights[-1][:, 0] / (3.0 if normalize else 1.0)
        bias = net.biases[-1] / (3.0 if normalize else 1.0)
        np.testing.assert_allclose(hidden @ last + bias, evaluate(net, inputs)[0], rtol=1e-12)
        summed = with_directions(net, np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 2.0]]))
        expected = hidden.sum(axis=1) + 2.0 * hidden[:, 2]
        np.testing.assert_allclose(evaluate(summed, inputs)[0], expected, rtol=1e-12)


def crystal(scale: float, seed: int) -> Structure:
    """Four atoms of copper, displaced."""
    atoms = bulk("Cu", a=4.05 * scale, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return from_atoms(atoms, METAL, labels=False)


@pytest.fixture
def structure() -> Structure:
    return crystal(1.0, 2)


@pytest.fixture
def potential(solid: Path) -> Potential:
    """A potential with masks, trained as it were on crystals of all sizes within 3 %."""
    found = load(solid)
    sizes = enumerate(np.linspace(0.97, 1.03, 30))
    values = np.concatenate([found.predict(crystal(x, k), False, False).descriptors for k, x in sizes])
    scaling = Scaling.of(values)
    assert found.scalings is not None
    found = replace(found, scalings=replace(found.scalings, scalings={"Cu": scaling}))
    scaled = found.scaled(np.zeros(len(values), dtype=np.int32), values)
    hidden = hidden_values(found.members[0].networks["Cu"], scaled)[-1]
    hidden = hidden + np.random.default_rng(1).normal(scale=0.1, size=hidden.shape)  # not all of one line
    owners = np.repeat(np.arange(30), 4)
    return replace(found, statistics={"Cu": TrainingStatistics.of(values, hidden, owners)})


class TestPotential:
    def test_stress_part_by_strain(self, potential: Potential, structure: Structure) -> None:
        """Last layer by finite differences of the sum of hidden nodes; the distance is that of the energy."""
        assert potential.statistics is not None
        assert structure.cell is not None
        inverse = np.linalg.inv(potential.statistics["Cu"].feature_covariance)

        def sums(strain: Array) -> Array:
            m = np.eye(3) + strain
            moved = replace(structure, positions=structure.positions @ m, cell=structure.cell @ m)
            found = replace(potential, statistics=None).predict(moved, False, False)
            net = potential.members[0].networks["Cu"]
            inputs = potential.scaled(potential.types(moved), found.descriptors)
            return hidden_values(net, inputs[:, : net.n_inputs])[-1].sum(axis=0)

        parts, volume = potential.predict(structure).parts, abs(np.linalg.det(structure.cell))
        assert parts is not None
        assert parts.forces is not None
        assert parts.stress is not None
        for k, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
            strain = np.zeros((3, 3))
            strain[a, b] += 5e-6
            strain[b, a] += 5e-6
            slope = (sums(strain) - sums(-strain)) / 2e-5
            expected = np.sqrt(slope @ inverse @ slope) / volume
            assert parts.stress[k, 1] == pytest.approx(expected, rel=1e-4)
        assert parts.distances is not None
        np.testing.assert_array_equal(parts.stress[:, 2], parts.distances.structure)
        assert parts.energy[2] == parts.distances.structure > 0.0

    def test_last_layer_sigma_by_its_definition(self, potential: Potential, structure: Structure) -> None:
        """Forces by finite differences of H, with the inverse covariance written out."""

        def sums(positions: Array) -> Array:
            moved = replace(structure, positions=positions)
            prediction = replace(potential, statistics=None).predict(moved, False, False)
            types = potential.types(moved)
            inputs = potential.scaled(types, prediction.descriptors)
            element = structure.symbols[0]
            net = potential.members[0].networks[element]
            return hidden_values(net, inputs[:, : net.n_inputs])[-1].sum(axis=0)

        assert potential.statistics is not None
        domain = potential.statistics[structure.symbols[0]]
        inverse = np.linalg.inv(domain.feature_covariance)
        parts = potential.predict(structure).parts
        assert parts is not None
        assert parts.forces is not None
        deviation = sums(structure.positions) - len(structure) * domain.feature_mean
        expected = np.sqrt(deviation @ inverse @ deviation) / len(structure)
        assert parts.energy[1] == pytest.approx(expected, rel=1e-6)
        step, shift = 1e-5, np.zeros_like(structure.positions)
        shift[1, 2] = step
        slope = (sums(structure.positions + shift) - sums(structure.positions - shift)) / (2 * step)
        assert parts.forces[1, 2, 1] == pytest.approx(np.sqrt(slope @ inverse @ slope), rel=1e-5)

    def test_supercell_rotation_and_permutation(self, potential: Potential, structure: Structure) -> None:
        assert structure.cell is not None
        images = np.array([[0, 0, 0], [1, 0, 0]]) @ structure.cell
        twice = Structure(
            np.tile(structure.numbers, 2),
            np.concatenate([structure.positions + image for image in images]),
            np.diag([2.0, 1.0, 1.0]) @ structure.cell,
        )
        angle = 0.7
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        turned = replace(structure, positions=structure.positions @ turn.T, cell=structure.cell @ turn.T)
        order = np.array([2, 0, 3, 1])
        permuted = replace(structure, numbers=structure.numbers[order], positions=structure.positions[order])
        one = potential.predict(structure).parts
        assert one is not None
        assert one.forces is not None
        for other in (twice, turned, permuted):
            found = potential.predict(other).parts
            assert found is not None
            np.testing.assert_allclose(found.energy, one.energy, rtol=1e-8)
        found = potential.predict(turned).parts
        assert found is not None
        assert found.forces is not None
        sizes = np.square(found.forces[..., 1]).sum(axis=1), np.square(one.forces[..., 1]).sum(axis=1)
        np.testing.assert_allclose(*sizes, rtol=1e-7)

    def test_cold_curve_has_no_plateau(self, potential: Potential, structure: Structure) -> None:
        """Cell scaled from 0.80 to 1.25: outside of the training range sigma rises outwards on both sides."""
        quantity = Quantity(Quadratic(0.001, 1.0, 0.0, 0.1), np.array([0.3, 0.002, 0.02]), {})
        calibration = Calibration(
            "hybrid", quantity, dict.fromkeys(structure.symbols, quantity), None, 10, 50
        )
        known = replace(potential, calibration=calibration)
        assert structure.cell is not None
        scales, sigma, far = np.arange(0.80, 1.2501, 0.025), [], []
        for scale in scales:
            scaled = replace(structure, positions=scale * structure.positions, cell=scale * structure.cell)
            prediction = known.predict(scaled, False, False)
            assert prediction.energy.std is not None
            assert prediction.parts is not None
            sigma.append(prediction.energy.std)
            far.append(prediction.parts.energy[2])
        for side in (scales < 0.97, scales > 1.03):
            outward = slice(None, None, -1 if scales[side][0] < 1.0 else 1)
            found, distance = np.array(sigma)[side][outward], np.array(far)[side][outward]
            assert (found[1:] > 0.9 * found[:-1]).all()
            assert (np.diff(distance) > 0.0).all()
            assert found[-1] > 1.5 * found[0]


class TestSection:
    def test_round_trip(self, values: Array) -> None:
        domain = TrainingStatistics.of(values, values[:, :3], EACH, {"Ge": 2.4, "Te": 1.0 / 3.0})
        again = parse_statistics(format_statistics({"Ge": domain}), {"Ge": (5, 3)})["Ge"]
        assert again.shortest == domain.shortest
        for name in ("mean", "covariance", "feature_mean", "feature_covariance", "structure_covariance"):
            np.testing.assert_array_equal(getattr(again, name), getattr(domain, name))

    def test_mistakes(self, values: Array) -> None:
        lines = format_statistics({"Ge": TrainingStatistics.of(values, values[:, :3], EACH)})
        with pytest.raises(InputError, match="mean Ge has 5 numbers, expected 4"):
            parse_statistics(lines, {"Ge": (4, 3)})
        cut = [line for line in lines if not line.startswith("covariance Ge 5")]
        with pytest.raises(InputError, match="covariance Ge has 4 rows, expected 5"):
            parse_statistics(cut, {"Ge": (5, 3)})
        with pytest.raises(InputError, match=r"\[domain\]: cut short"):
            parse_statistics(lines, {"Te": (5, 3)})
        for wrong in ("shortest Ge Te 0.0", "shortest Ge Te nan", "shortest Ge 2.4", "shortest Ge Te x"):
            with pytest.raises(InputError, match=r"\[domain\]: cut short"):
                parse_statistics([*lines, wrong], {"Ge": (5, 3)})
        with pytest.raises(StaleFileError, match="not of version 2"):
            parse_statistics(["version 1"], {"Ge": (5, 3)})


class TestUnseen:
    def test_strangers_by_hand(self) -> None:
        """A met A and B, B met A and C, C met B only. A-C, B-B, C-C are new, and B between A and C."""
        shortest = np.array([[2.0, 2.0, 0], [2.0, 0, 2.0], [0, 2.0, 0]])
        cases = {
            "AB": "..", "AA": "..", "AC": "!!", "BB": "!!", "CC": "!!", "BC": "..", "ABC": ".!.",
            "AAB": "...",
        }  # fmt: skip
        for atoms, expected in cases.items():  # 4 apart in a row: the third is no neighbor of the first
            positions = np.arange(len(atoms))[:, None] * np.array([4.0, 0, 0])
            types = np.array(["ABC".index(x) for x in atoms], dtype=np.int32)
            found = strangers(types, find_neighbors(positions, None, 6.0, 32 + types), shortest)
            assert "".join(".!"[each] for each in found.astype(int)) == expected, atoms

    def test_elements_that_never_met(self, values: Array) -> None:
        """Ge and Te met each other, Ge itself too, Te never itself: a pair of Te is new, also with others."""
        scaling = Scaling.of(values)
        statistics = {
            "Ge": TrainingStatistics.of(values, values, EACH, {"Ge": 2.4, "Te": 2.6}),
            "Te": TrainingStatistics.of(values, values, EACH, {"Ge": 2.6}),
        }
        scalings = {"Ge": scaling, "Te": scaling}
        positions = np.array([[0.0, 0, 0], [3, 0, 0], [0, 20, 0], [3, 20, 0], [1.5, 22.6, 0]])
        types = np.array([0, 1, 1, 1, 0], dtype=np.int32)
        pairs = find_neighbors(positions, None, 6.0, np.array([32, 52, 52, 52, 32]))
        inside = np.repeat(values[:1], 5, axis=0)
        found = distances(inside, types, ("Ge", "Te"), statistics, scalings, pairs, 6.0)
        assert found.unseen.tolist() == [False, False, True, True, False]
        np.testing.assert_allclose(found.atoms, statistics["Ge"].distance(inside, scaling), rtol=1e-12)
        np.testing.assert_array_equal(found.closeness, 0.0)
        squares = [statistics["Ge"].structure_square(inside[types == k], scaling) for k in (0, 1)]
        assert found.structure == pytest.approx(np.sqrt(0.4 * squares[0] + 0.6 * squares[1]), rel=1e-12)
        unknown = {x: replace(each, shortest={}) for x, each in statistics.items()}  # of a former version
        assert not distances(inside, types, ("Ge", "Te"), unknown, scalings, pairs, 6.0).unseen.any()

    def test_parts_by_hand(self) -> None:
        """Two atoms whose surroundings are at 3 and 4, in a structure at 5. One is close, by 2."""
        forces = np.array([[[1.0], [2.0], [2.0]], [[0.0], [0.0], [6.0]]])
        parts = SigmaParts(np.full(1, 7.0), forces, np.arange(6.0)[:, None])
        far = Distances(np.array([3.0, 4.0]), np.array([0.0, 2.0]), 5.0, np.zeros(2, dtype=np.bool_))
        joined = parts.joined(parts, far)
        assert joined.forces is not None
        assert joined.stress is not None
        assert joined.distances is far
        np.testing.assert_array_equal(joined.forces[:, :, 2], [[3.0] * 3, [4.0] * 3])
        np.testing.assert_array_equal(joined.forces[:, :, 3], [[0.0] * 3, [2.0] * 3])
        np.testing.assert_allclose(joined.forces[:, :, 4], [[np.sqrt(3.0)] * 3, [np.sqrt(12.0)] * 3])
        np.testing.assert_allclose(joined.energy[2:], [5.0, np.sqrt(2.0), 7.0], rtol=1e-14)
        np.testing.assert_allclose(joined.stress[0, 2:], [5.0, np.sqrt(2.0), np.sqrt(55.0 / 6.0)], rtol=1e-14)
