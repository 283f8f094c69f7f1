"""Distributions and motion against ASE, plain sums and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry.rdf import get_rdf

from bnnp.analysis.angular import AngularDistribution
from bnnp.analysis.motion import (
    diffusion,
    mean_square_displacement,
    unwrap,
    velocity_autocorrelation,
    vibrational_spectrum,
)
from bnnp.analysis.radial import RadialDistribution, mean_and_spread
from bnnp.descriptors.neighbors import NeighborList, find_neighbors


def liquid(seed: int = 0, n: int = 60) -> Atoms:
    generator = np.random.default_rng(seed)
    cell = np.diag([12.0, 12.5, 13.0]) + generator.normal(scale=0.7, size=(3, 3))
    symbols = ["Ge"] * (n // 3) + ["Te"] * (n - n // 3)
    return Atoms(symbols, scaled_positions=generator.random((n, 3)), cell=cell, pbc=True)


def pairs_of(atoms: Atoms, cutoff: float) -> NeighborList:
    return find_neighbors(atoms.positions, atoms.cell.array, cutoff, atoms.numbers)


class TestRadial:
    @pytest.mark.parametrize("elements", [None, ("Ge", "Ge"), ("Ge", "Te"), ("Te", "Ge"), ("Te", "Te")])
    def test_equal_to_ase(self, elements: tuple[str, str] | None) -> None:
        atoms = liquid()
        found = RadialDistribution.of(pairs_of(atoms, 5.0), atoms.numbers, atoms.get_volume(), 5.0, 40)
        expected, r = get_rdf(atoms, 5.0, 40, elements=elements)
        kinds = {"Ge": 0, "Te": 1}
        ours = found.total if elements is None else found.partial[kinds[elements[0]], kinds[elements[1]]]
        np.testing.assert_allclose(found.centers, r)
        np.testing.assert_allclose(ours, expected, rtol=1e-10)

    def test_partial_ones_by_a_double_sum(self) -> None:
        atoms = liquid(1)
        found = RadialDistribution.of(pairs_of(atoms, 5.0), atoms.numbers, atoms.get_volume(), 5.0, 10)
        distances = atoms.get_all_distances(mic=True)
        for i, j in itertools.product(range(2), range(2)):
            a, b = (atoms.numbers == found.numbers[k] for k in (i, j))
            d = distances[np.ix_(a, b)]
            counts, _ = np.histogram(d[d > 0], found.edges)
            shells = 4 / 3 * np.pi * np.diff(found.edges**3)
            expected = counts * atoms.get_volume() / (a.sum() * b.sum() * shells)
            np.testing.assert_allclose(found.partial[i, j], expected, rtol=1e-12)
            np.testing.assert_allclose(found.coordination[i, j], counts.cumsum() / a.sum(), rtol=1e-12)

    def test_ideal_gas_is_one_beyond_the_cell(self) -> None:
        frames = [liquid(seed, 90) for seed in range(12)]
        r_max = 14.0  # longer than the cell: images count
        parts = [
            RadialDistribution.of(pairs_of(a, r_max), a.numbers, a.get_volume(), r_max, 20) for a in frames
        ]
        total = sum(parts[1:], parts[0])
        assert total.frames == 12
        np.testing.assert_allclose(total.total[8:], 1.0, atol=0.06)
        np.testing.assert_allclose(total.partial[0, 1, 8:], 1.0, atol=0.06)

    def test_crystal_has_its_shells(self) -> None:
        crystal = bulk("Cu", a=4.0, cubic=True)
        found = RadialDistribution.of(pairs_of(crystal, 5.0), crystal.numbers, crystal.get_volume(), 5.0, 50)
        occupied = found.centers[found.total > 0]
        np.testing.assert_allclose(occupied, [2.85, 4.05, 4.85], atol=1e-9)  # bins of a/sqrt 2, a, a sqrt 3/2
        assert found.coordination[0, 0, -1] == pytest.approx(12 + 6 + 24)

    def test_sum_is_the_mean_of_frames(self) -> None:
        parts = []
        for seed in (3, 4):
            atoms = liquid(seed)
            parts.append(
                RadialDistribution.of(pairs_of(atoms, 5.0), atoms.numbers, atoms.get_volume(), 5.0, 10)
            )
        np.testing.assert_allclose((parts[0] + parts[1]).partial, (parts[0].partial + parts[1].partial) / 2)
        other = RadialDistribution.of(pairs_of(bulk("Cu"), 5.0), np.array([29]), 10.0, 5.0, 10)
        with pytest.raises(ValueError, match=r"elements \(32, 52\) and \(29,\)"):
            _ = parts[0] + other

    def test_histograms_of_other_bins_are_not_added(self) -> None:
        """As many bins up to another r_max are other bins."""
        atoms = liquid(3)
        first, *others = (
            RadialDistribution.of(pairs_of(atoms, 5.0), atoms.numbers, atoms.get_volume(), r_max, bins)
            for r_max, bins in ((5.0, 10), (4.0, 10), (5.0, 8))
        )
        for other, theirs in zip(others, ("r_max 4 in 10 bins", "r_max 5 in 8 bins"), strict=True):
            with pytest.raises(ValueError, match=f"r_max 5 in 10 bins and {theirs}"):
                _ = first + other

    def test_pairs_beyond_the_last_bin_do_not_count(self) -> None:
        """Shells of 12, 6 and 24 atoms at a/sqrt 2, a and a sqrt 3/2: the third is beyond 4.5."""
        crystal = bulk("Cu", a=4.0)
        found = RadialDistribution.of(pairs_of(crystal, 5.0), crystal.numbers, 16.0, 4.5, 9)
        np.testing.assert_allclose(found.neighbors[0, 0], [0, 0, 0, 0, 0, 12, 0, 0, 6], atol=1e-12)

    def test_mean_and_spread(self) -> None:
        mean, spread = mean_and_spread([np.array([1.0, 2.0]), np.array([3.0, 2.0]), np.array([5.0, 2.0])])
        np.testing.assert_allclose(mean, [3.0, 2.0])
        np.testing.assert_allclose(spread, [2.0, 0.0])


class TestAngular:
    def test_by_a_triple_sum(self) -> None:
        atoms = liquid(5, 30)
        found = AngularDistribution.of(pairs_of(atoms, 4.2), atoms.numbers, 18)
        expected: dict[tuple[int, int, int], np.ndarray] = {}
        vectors = atoms.get_all_distances(mic=True, vector=True)
        for i in range(30):
            near = [j for j in range(30) if j != i and np.linalg.norm(vectors[i, j]) < 4.2]
            for j, k in itertools.combinations(near, 2):
                angle = atoms.get_angle(j, i, k, mic=True)
                ends = sorted((int(atoms.numbers[j]), int(atoms.numbers[k])))
                name = (ends[0], int(atoms.numbers[i]), ends[1])
                expected.setdefault(name, np.zeros(18))[min(int(angle // 10), 17)] += 1
        assert set(found.counts) == set(expected)
        for name, counts in expected.items():
            np.testing.assert_array_equal(found.counts[name], counts)
        np.testing.assert_array_equal(found.total, sum(expected.values()))
        assert (found.density(found.total) * 10.0).sum() == pytest.approx(1.0)
        np.testing.assert_array_equal((found + found).total, 2 * found.total)

    def test_angles_of_the_fcc_crystal(self) -> None:
        """12 neighbors: 66 couples at 60 (24), 90 (12), 120 (24) and 180 degrees (6)."""
        crystal = bulk("Cu", a=4.0)
        found = AngularDistribution.of(pairs_of(crystal, 3.2), crystal.numbers, 36)  # bins of 5 degrees
        counts = found.total
        near = [counts[int(angle / 5) - 1 : int(angle / 5) + 1].sum() for angle in (60, 90, 120, 180)]
        assert near == [24, 12, 24, 6]
        assert counts.sum() == 66

    def test_no_couples(self) -> None:
        alone = find_neighbors(np.zeros((1, 3)), None, 3.0, np.array([32]))
        found = AngularDistribution.of(alone, np.array([32]), 10)
        assert found.counts == {}
        assert not found.density(found.total).any()


class TestMotion:
    def test_msd_by_a_double_sum(self) -> None:
        positions = np.random.default_rng(0).normal(size=(25, 4, 3)).cumsum(axis=0)
        expected = [
            np.mean([np.square(positions[t + lag] - positions[t]).sum(axis=1) for t in range(25 - lag)])
            for lag in range(25)
        ]
        np.testing.assert_allclose(mean_square_displacement(positions), expected, rtol=1e-9, atol=1e-9)

    def test_random_walk_diffuses(self) -> None:
        """<r^2> = 6 D t: steps of variance 2 D dt a component."""
        coefficient, interval = 0.4, 50.0  # Angstrom^2/ps, fs
        steps = np.random.default_rng(1).normal(scale=np.sqrt(2 * coefficient * 0.05), size=(3000, 60, 3))
        found, error = diffusion(mean_square_displacement(steps.cumsum(axis=0)), interval, (0.01, 0.1))
        assert found == pytest.approx(coefficient, rel=0.08)
        assert error < 0.1 * coefficient
        with pytest.raises(ValueError, match="too few"):
            diffusion(np.arange(5.0), interval)

    def test_unwrapping_in_a_changing_triclinic_cell(self) -> None:
        generator = np.random.default_rng(2)
        cells = np.diag([4.0, 5.0, 6.0]) + generator.normal(scale=0.3, size=(3, 3)) + np.zeros((80, 3, 3))
        cells = cells * np.linspace(1.0, 1.1, 80)[:, None, None]
        scaled = generator.random((1, 7, 3)) + generator.normal(scale=0.12, size=(80, 7, 3)).cumsum(axis=0)
        free = np.einsum("fas,fsx->fax", scaled, cells)
        wrapped = np.einsum("fas,fsx->fax", scaled % 1.0, cells)
        moved = unwrap(wrapped, cells)
        start = np.einsum("as,fsx->fax", np.floor(scaled[0]), cells)
        np.testing.assert_allclose(moved + start, free, atol=1e-9)

    def test_oscillators_show_their_frequencies(self) -> None:
        """Two kinds at 3 and 8 THz: peaks there, with weights m v^2; the integral is one."""
        time = np.arange(4000) * 2.0  # fs
        phases = np.random.default_rng(3).uniform(0, 2 * np.pi, (10, 3))
        frequency = np.repeat([3.0, 8.0], 5)[:, None] / 1000.0
        amplitude = np.repeat([1.0, 0.5], 5)[:, None]
        velocities = amplitude * np.cos(2 * np.pi * frequency * time[:, None, None] + phases)
        masses = np.repeat([20.0, 60.0], 5)
        nu, density = vibrational_spectrum(velocities, masses, 2.0)
        width = nu[1]
        assert density.sum() * width == pytest.approx(1.0)
        low, high = (density[abs(nu - f) < 1.0].sum() * width for f in (3.0, 8.0))
        assert nu[density.argmax()] == pytest.approx(3.0, abs=width)
        assert low / high == pytest.approx((20.0 * 1.0) / (60.0 * 0.25), rel=0.02)
        assert nu[-1] == pytest.approx(250.0)

    def test_velocity_autocorrelation_by_a_double_sum(self) -> None:
        velocities = np.random.default_rng(4).normal(size=(20, 3, 3))
        masses = np.array([1.0, 5.0, 9.0])
        sums = [
            np.mean(
                [(masses * (velocities[t] * velocities[t + lag]).sum(axis=1)).sum() for t in range(20 - lag)]
            )
            for lag in range(20)
        ]
        np.testing.assert_allclose(
            velocity_autocorrelation(velocities, masses), np.array(sums) / sums[0], atol=1e-12
        )
