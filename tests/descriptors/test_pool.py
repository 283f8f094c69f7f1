"""The functions mode 1 chooses by itself: cutoff radius and distances of the data, no useless function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.pool import LONGEST, SHORTEST, automatic_pool, recipe_pool
from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.structure import Structure
from bnnp.units import ATOMIC, METAL, Units

CUTOFF = Cutoff(1)


def cubes(
    folder: Path, lattice: float, numbers: tuple[int, ...] = (32, 52), count: int = 25
) -> StructureFile:
    """Rattled simple cubic cells of 27 atoms, lattice constant in Angstrom."""
    rng = np.random.default_rng(5)
    sites = np.indices((3, 3, 3)).reshape(3, -1).T
    found = [
        Structure(
            np.resize(numbers, 27),
            lattice * (sites + rng.normal(0.0, 0.06, sites.shape)),
            3 * lattice * np.eye(3),
            0.0,
        )
        for _ in range(count)
    ]
    write_structures(folder / "input.data", found)
    return StructureFile(folder / "input.data", require_labels=False)


def choose(structures: StructureFile, elements: tuple[str, ...], units: Units = METAL, keep: int = 25):  # type: ignore[no-untyped-def]
    return automatic_pool(structures, elements, CUTOFF, units, keep, 1)


@pytest.mark.parametrize(
    ("lattice", "radius"),
    [
        (3.0, None),  # shells of 6, 12, 8, 6 atoms: the 30th neighbor is at sqrt(4) = 2 lattice constants
        (2.0, SHORTEST),
        (4.5, LONGEST),
    ],
)
def test_cutoff_radius_holds_thirty_neighbors(tmp_path: Path, lattice: float, radius: float | None) -> None:
    pool = choose(cubes(tmp_path, lattice), ("Ge", "Te"))
    (found,) = {function.r_c for own in pool.functions.values() for function in own}
    assert found == pytest.approx(radius or 6.0, abs=0.0 if radius else 0.4)


@pytest.mark.parametrize(("distance", "radius"), [(2.6, 4.0), (5.6, 6.5)])
def test_cutoff_radius_of_clusters_by_their_forces(tmp_path: Path, distance: float, radius: float) -> None:
    """Fewer than 30 neighbors within 6.5 Angstrom: the shortest radius wins that holds the interaction."""
    rng, sites = np.random.default_rng(4), 2.6 * np.indices((2, 3, 3)).reshape(3, -1).T
    found = []
    for _ in range(30):
        positions = sites + rng.normal(0.0, 0.15, sites.shape)
        vectors = positions[None] - positions[:, None]
        r = np.linalg.norm(vectors, axis=2) + np.eye(len(sites))
        slopes = (r - distance) * np.exp(-4.0 * (r - distance) ** 2) / r  # of a well at that distance
        forces = np.einsum("ij,ijx->ix", slopes, vectors)
        found.append(Structure(np.full(18, 14), positions, None, 0.0, forces))
    write_structures(tmp_path / "input.data", found)
    pool = choose(StructureFile(tmp_path / "input.data"), ("Si",), keep=20)
    assert {function.r_c for function in pool.functions["Si"]} == {radius}


def test_functions_are_few_vary_and_are_felt(tmp_path: Path) -> None:
    structures = cubes(tmp_path, 3.0)
    pool = choose(structures, ("Ge", "Te"))
    assert [len(own) for own in pool.functions.values()] == [25, 25]
    descriptor = Descriptor(("Ge", "Te"), pool.functions, CUTOFF)
    for kind, number in enumerate((32, 52)):
        rows = []
        for structure in structures:
            types, pairs = descriptor.environments(structure)
            rows.append(descriptor.values(types, pairs)[structure.numbers == number, :25])
        values = np.concatenate(rows)
        assert (np.ptp(values, axis=0) > 1e-3).all(), kind
        assert (values.std(axis=0) > 0.019 * np.ptp(values, axis=0)).all()
        correlation = np.abs(np.corrcoef(values.T)) - np.eye(25)
        assert correlation.max() < 0.9995


def test_the_choice_does_not_depend_on_units(tmp_path: Path) -> None:
    """The same structures in bohr: each function with its lengths in bohr, but for five digits."""
    bohr = 0.529177210903
    metal = choose(cubes(tmp_path, 3.0), ("Ge", "Te"), keep=8)
    structures = [
        Structure(each.numbers, each.positions / bohr, each.cell / bohr, 0.0)
        for each in cubes(tmp_path, 3.0)
        if each.cell is not None
    ]
    write_structures(tmp_path / "bohr.data", structures)
    atomic = choose(StructureFile(tmp_path / "bohr.data", require_labels=False), ("Ge", "Te"), ATOMIC, keep=8)
    for element, own in metal.functions.items():
        both = zip(own, atomic.functions[element], strict=True)
        assert {first.type == second.type for first, second in both} == {True}
        for first, second in zip(own, atomic.functions[element], strict=True):
            assert second.r_c * bohr == pytest.approx(first.r_c, rel=1e-3)
            assert second.eta / bohr**2 == pytest.approx(first.eta, rel=1e-2)


def test_lines_are_those_of_input_nn(tmp_path: Path) -> None:
    pool = choose(cubes(tmp_path, 3.0), ("Ge", "Te"), keep=3)
    lines = [line for line in pool.lines() if line]
    assert len(lines) == 6
    assert all(line.startswith(("symfunction_short Ge ", "symfunction_short Te ")) for line in lines)
    assert pool.counts == "3 of Ge, 3 of Te"
    assert "shortest distances (of the data): " in " ".join(pool.remarks)


def test_an_element_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no structure contains Sb"):
        choose(cubes(tmp_path, 3.0), ("Ge", "Sb", "Te"))


def test_perfect_crystals_vary_in_nothing(tmp_path: Path) -> None:
    crystal = Structure(np.array([14]), np.zeros((1, 3)), 3.0 * np.eye(3), 0.0)
    write_structures(tmp_path / "input.data", 30 * [crystal])
    with pytest.raises(ValueError, match="no symmetry function of Si varies"):
        choose(StructureFile(tmp_path / "input.data", require_labels=False), ("Si",))


def test_absurd_distances_in_the_data_do_not_count() -> None:
    """0.1 Angstrom between two Si is a mistake; 2.0 is not: 0.85 times the sum of the radii is 1.887."""
    pool = recipe_pool(("shifted",), ("Si",), 6.0, 60, CUTOFF, METAL, {frozenset(("Si",)): 0.1})
    assert "Si-Si 1.13" in pool.remarks[-1]  # 0.6 * 1.887
    pool = recipe_pool(("shifted",), ("Si",), 6.0, 60, CUTOFF, METAL, {frozenset(("Si",)): 2.0})
    assert "Si-Si 2." in pool.remarks[-1]
