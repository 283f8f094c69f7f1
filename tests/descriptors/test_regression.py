"""Choice of symmetry functions by the forces: coefficients of linear forces, order by what each adds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.pairs import sum_pairs
from bnnp.descriptors.regression import Products, force_products, most_telling, relative_error
from bnnp.structure import Structure

CUTOFF = Cutoff(1)
ELEMENTS = ("Ge", "Te")
FUNCTIONS = {
    center: tuple(
        SymmetryFunction(center, 2, (other,), 4.5, eta=eta, r_s=r_s)
        for other in ELEMENTS
        for eta, r_s in ((0.1, 0.0), (0.5, 0.0), (2.0, 2.5), (2.0, 3.2))
    )
    for center in ELEMENTS
}
WIDTH = 8


def structures(coefficients: np.ndarray, count: int = 12) -> list[Structure]:
    """Rattled cubes whose energy is the sum of the functions times `coefficients`, (2, 8)."""
    rng, descriptor = np.random.default_rng(3), Descriptor(ELEMENTS, FUNCTIONS, CUTOFF)
    sites, found = 2.8 * np.indices((3, 3, 3)).reshape(3, -1).T, []
    for _ in range(count):
        bare = Structure(
            np.resize((32, 52), 27), sites + rng.normal(0.0, 0.2, sites.shape), 8.4 * np.eye(3), 0.0
        )
        types, pairs = descriptor.environments(bare)
        forces = sum_pairs(pairs, descriptor.vjp(types, pairs, coefficients[types]))
        found.append(Structure(bare.numbers, bare.positions, bare.cell, 0.0, forces))
    return found


@pytest.mark.parametrize("large", [500, 20])
def test_linear_forces_solve_the_normal_equations(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    """Not uniquely: Te around Ge and Ge around Te are the same pairs. Structures have 27 atoms."""
    monkeypatch.setattr("bnnp.descriptors.regression.LARGE", large)
    wanted = np.random.default_rng(0).normal(size=(2, WIDTH))
    fitted = force_products(structures(wanted), range(12), FUNCTIONS, CUTOFF, seed=1)
    assert fitted.functions @ wanted.ravel() == pytest.approx(
        fitted.targets, rel=1e-4
    )  # derivatives in single precision


def test_the_functions_that_make_the_forces_are_taken_first() -> None:
    wanted = np.zeros((2, WIDTH))
    wanted[0, 2], wanted[1, 7] = 1.0, -2.0
    fitted = force_products(structures(wanted), range(12), FUNCTIONS, CUTOFF, seed=1)
    assert set(most_telling(fitted, np.repeat([0, 1], WIDTH), WIDTH)[:2]) == {2, WIDTH + 7}


def test_unknown_forces_do_not_count() -> None:
    """Some atoms of every structure, as where ``forces=1:9`` stands in its comment: the same solution."""
    wanted = np.zeros((2, WIDTH))
    wanted[0, 2], wanted[1, 7] = 1.0, -2.0
    partly = []
    for structure in structures(wanted):
        forces = structure.forces.copy()
        forces[9:] = np.nan
        partly.append(replace(structure, forces=forces))
    fitted = force_products(partly, range(12), FUNCTIONS, CUTOFF, seed=1)
    assert fitted.functions @ wanted.ravel() == pytest.approx(fitted.targets, rel=1e-4)
    assert set(most_telling(fitted, np.repeat([0, 1], WIDTH), WIDTH)[:2]) == {2, WIDTH + 7}


def test_without_forces_nothing_is_told() -> None:
    bare = [
        Structure(each.numbers, each.positions, each.cell, 0.0) for each in structures(np.ones((2, 8)), 3)
    ]
    fitted = force_products(bare, range(3), FUNCTIONS, CUTOFF, seed=1)
    assert most_telling(fitted, np.repeat([0, 1], WIDTH), WIDTH) == []


def test_order_by_what_each_adds() -> None:
    """y = 3 a + 2 b + c of orthonormal a, b, c; d = (a + b) / sqrt 2 tells most alone, 5^2 / 2."""
    columns = np.column_stack([np.eye(3), [0.5**0.5, 0.5**0.5, 0.0], [0.0, 0.0, 2.0]])
    y = np.array([3.0, 2.0, 1.0])
    fitted = Products(columns.T @ columns, y @ columns, y @ y)
    # beside d, a and b tell the same, (1 / sqrt 2)^2; c tells 1, and after it its double nothing
    order = most_telling(fitted, np.zeros(5, dtype=int), 5)
    assert order[:2] == [3, 2]
    assert order[2:] in ([0], [1])
    assert most_telling(fitted, np.array([0, 0, 1, 1, 1]), 1) == [3, order[2]]
    # y = (5 / sqrt 2) d + c + what is left, (3 - 2)^2 / 2 of 14
    assert relative_error(fitted, fitted, order[:2]) == pytest.approx((0.5 / 14.0) ** 0.5, rel=1e-5)
    assert relative_error(fitted, fitted, order) == pytest.approx(0.0, abs=1e-5)


def test_the_error_of_other_structures() -> None:
    wanted = np.random.default_rng(0).normal(size=(2, WIDTH))
    found = structures(wanted)
    fitted = force_products(found, range(9), FUNCTIONS, CUTOFF, seed=1)
    others = force_products(found, range(9, 12), FUNCTIONS, CUTOFF, seed=1)
    assert relative_error(fitted, others, list(range(2 * WIDTH))) < 1e-3
    assert relative_error(fitted, others, list(range(WIDTH))) > 0.1
