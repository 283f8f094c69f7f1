"""Sets by recipe: as many functions as asked for, each legal, in a stable order, for 1 to 6 elements."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bnnp.descriptors.functions import parse_function, sort_functions
from bnnp.descriptors.generate import (
    RECIPES,
    SIZES,
    Counts,
    counts_of,
    expected_distances,
    generate,
    merge,
)

ELEMENTS = ("H", "C", "O", "Cu", "Ge", "Te")


def make(name: str, elements: tuple[str, ...], size: str | int = "medium", r_c: float = 6.5):  # noqa: ANN201
    recipe = RECIPES[name]
    counts = counts_of(size, len(elements), recipe.weighted)
    return generate(recipe, elements, r_c, counts, expected_distances(elements, 1.0))


@pytest.mark.slow
@pytest.mark.parametrize("size", [*SIZES, 200])
@pytest.mark.parametrize("n_elements", range(1, 7))
@pytest.mark.parametrize("name", RECIPES)
def test_counts_and_order(name: str, n_elements: int, size: str | int) -> None:
    """radial x neighbor elements + angular x pairs, all different, sorted, and read back as they are."""
    elements = ELEMENTS[:n_elements]
    counts = counts_of(size, n_elements, RECIPES[name].weighted)
    neighbors = 1 if RECIPES[name].weighted else n_elements
    expected = counts.radial * neighbors + counts.angular * neighbors * (neighbors + 1) // 2
    found = make(name, elements, size)
    assert tuple(found) == elements
    for element, functions in found.items():
        assert len(set(functions)) == len(functions) == expected
        assert sort_functions(functions) == functions
        assert {function.element for function in functions} == {element}
        assert max(function.r_c for function in functions) == 6.5
        assert tuple(parse_function(function.definition().split()) for function in functions) == functions


def test_order_of_elements_does_not_matter() -> None:
    assert make("shifted", ("Te", "Ge")) == make("shifted", ("Ge", "Te", "Ge"))


@pytest.mark.parametrize(
    ("size", "n_elements", "expected"),
    [
        ("small", 2, Counts(5, 4)),
        (60, 2, Counts(6, 16)),  # 12 + 48
        (200, 2, Counts(16, 56)),  # 32 + 168
        (60, 1, Counts(12, 48)),
        (60, 6, Counts(3, 2)),  # 18 + 42
        (10, 2, Counts(2, 2)),
    ],
)
def test_sizes(size: str | int, n_elements: int, expected: Counts) -> None:
    assert counts_of(size, n_elements) == expected


def test_numbers_are_not_exceeded() -> None:
    for n in range(1, 7):
        n_pairs = n * (n + 1) // 2
        for size in range(2 * n + 2 * n_pairs, 400):
            counts = counts_of(size, n)
            assert size - n < counts.radial * n + counts.angular * n_pairs <= size
            assert counts.radial >= 2
            assert counts.angular in (2, 4, 6) or counts.angular % 8 == 0


def test_types_and_zetas() -> None:
    """One element, medium: 8 radial, a narrow and a wide set of lambda = +-1 and zeta = 1, 2, 4, 16."""
    for name, types in (("shifted", (2, 3, 9)), ("compact", (20, 21, 22)), ("weighted", (12, 13, 13))):
        functions = make(name, ("Ge",))["Ge"]
        expected = Counter({types[0]: 8}) + Counter({types[1]: 8}) + Counter({types[2]: 8})
        assert Counter(function.type for function in functions) == expected
    narrow = [function for function in make("shifted", ("Ge",))["Ge"] if function.type == 3]
    assert {(f.lambda_, f.zeta) for f in narrow} == {(s, z) for s in (1, -1) for z in (1, 2, 4, 16)}
    assert {f.zeta for f in make("behler", ("Ge",), "small")["Ge"] if f.type == 3} == {1, 4}
    assert not [f for f in make("behler", ("Ge",), "small")["Ge"] if f.type == 9]
    wide = [function for function in make("wide", ("Ge",))["Ge"] if function.is_angular]
    assert {(f.type, f.lambda_, f.zeta) for f in wide} == {(9, s, z) for s in (1, -1) for z in (1, 2, 3, 4)}


def test_half_of_the_angular_functions_of_shells_are_in_shells() -> None:
    """48 angular ones are six sets: two narrow, one wide and three in shells, at r_0, r_0 + d, r_0 + 2 d with
    d = (r_c - r_0) / 3; 12 radial ones, eight of them shifted."""
    functions = make("shells", ("Ge",), 60)["Ge"]
    r_0 = expected_distances(("Ge",), 1.0)[frozenset(("Ge",))]
    kinds = Counter((f.type, f.r_s > 0.0) for f in functions)
    assert kinds == {(2, True): 8, (2, False): 4, (3, False): 16, (9, False): 8, (9, True): 24}
    step = (6.5 - r_0) / 3
    shells = {(f.r_s, f.eta) for f in functions if f.type == 9 and f.r_s}
    np.testing.assert_allclose(sorted(shells), [(r_0 + k * step, 0.5 / step**2) for k in range(3)], rtol=1e-4)
    assert {f.r_s for f in make("shells", ("Ge",), 10)["Ge"] if f.type != 2} == {0.0}  # one set is narrow


def test_distances_are_those_of_the_pair() -> None:
    """The first Gaussian sits where two H can be, that of Te farther out; in bohr as in Angstrom."""
    functions = make("shifted", ("H", "Te"))["H"]
    first = {n: min(f.r_s for f in functions if f.neighbors == (n,)) for n in ("H", "Te")}
    assert first == {"H": pytest.approx(0.85 * 0.62), "Te": pytest.approx(0.85 * (0.31 + 1.38))}
    bohr = expected_distances(("H",), 0.529177)[frozenset("H")]
    assert bohr == pytest.approx(0.85 * 0.62 / 0.529177)


def test_cutoff_stays_as_given() -> None:
    """Other numbers have five digits."""
    for name in RECIPES:
        functions = make(name, ("Ge",), r_c=6.123456789)["Ge"]
        assert max(function.r_c for function in functions) == 6.123456789


def test_merge_takes_each_once() -> None:
    """The recipes of Gastegger share their angular functions."""
    shifted, centered = make("shifted", ("Ge",)), make("centred", ("Ge",))
    both = merge([shifted, centered])
    assert len(both["Ge"]) == 24 + 8
    assert sort_functions(both["Ge"]) == both["Ge"]


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="`Xx` is not an element symbol"):
        expected_distances(("Ge", "Xx"), 1.0)
    with pytest.raises(
        ValueError, match="must be larger than the shortest distance to Ge, 2.04; are the units"
    ):
        make("shifted", ("Ge",), r_c=2.0)
    with pytest.raises(ValueError, match="needs a cutoff radius of more than twice"):
        make("behler", ("Ge",), r_c=4.0)
    with pytest.raises(ValueError, match="2 elements need at least 10 functions"):
        counts_of(9, 2)


def test_one_of_zeta_1_and_2_follows_from_the_others() -> None:
    """(1 + c)^2 - (1 - c)^2 = 2 (1 + c) - 2 (1 - c): 8 functions of one eta have rank 7 for all angles."""
    c = np.random.default_rng(1).uniform(-1.0, 1.0, 100)
    terms = [
        2.0 ** (1.0 - f.zeta) * (1.0 + f.lambda_ * c) ** f.zeta
        for f in make("shifted", ("Ge",))["Ge"]
        if f.type == 3
    ]
    assert np.linalg.matrix_rank(np.array(terms), tol=1e-9) == len(terms) - 1 == 7
