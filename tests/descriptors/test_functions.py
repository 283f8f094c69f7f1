"""Definitions of symmetry functions: grammar, checks, order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bnnp.descriptors.functions import (
    PARAMETERS,
    SymmetryFunction,
    expand_element,
    expand_global,
    parse_function,
    sort_functions,
)

DEFINITIONS = {
    "Ge 1 Te 6.5": SymmetryFunction("Ge", 1, ("Te",), 6.5),
    "Ge 2 Te 0.005 1.5 6.5": SymmetryFunction("Ge", 2, ("Te",), 6.5, eta=0.005, r_s=1.5),
    "Ge 3 Ge Te 0.005 -1 4 6.5": SymmetryFunction(
        "Ge", 3, ("Ge", "Te"), 6.5, eta=0.005, lambda_=-1.0, zeta=4.0
    ),
    "Ge 3 Ge Te 0.005 1 4 6.5 1.25": SymmetryFunction(
        "Ge", 3, ("Ge", "Te"), 6.5, eta=0.005, lambda_=1.0, zeta=4.0, r_s=1.25
    ),
    "Ge 4 Te 0.7 6.5": SymmetryFunction("Ge", 4, ("Te",), 6.5, eta=0.7),
    "Ge 8 Ge Te 0.002 120 6.5": SymmetryFunction("Ge", 8, ("Ge", "Te"), 6.5, eta=0.002, r_s=120.0),
    "Ge 9 Te Te 0.005 1 2.5 6.5": SymmetryFunction(
        "Ge", 9, ("Te", "Te"), 6.5, eta=0.005, lambda_=1.0, zeta=2.5
    ),
    "Ge 12 0.02 1.5 6.5": SymmetryFunction("Ge", 12, (), 6.5, eta=0.02, r_s=1.5),
    "Ge 13 0.02 1.5 -1 4 6.5": SymmetryFunction("Ge", 13, (), 6.5, eta=0.02, r_s=1.5, lambda_=-1.0, zeta=4.0),
    "Ge 20 Te -6.5 6.5 p2a": SymmetryFunction("Ge", 20, ("Te",), 6.5, r_l=-6.5, subtype="p2a"),
    "Ge 21 Ge Te 1 6.5 60 180 e": SymmetryFunction(
        "Ge", 21, ("Ge", "Te"), 6.5, r_l=1.0, angle_left=60.0, angle_right=180.0, subtype="e"
    ),
    "Ge 22 Ge Te 1 6.5 90 270 p1": SymmetryFunction(
        "Ge", 22, ("Ge", "Te"), 6.5, r_l=1.0, angle_left=90.0, angle_right=270.0, subtype="p1"
    ),
    "Ge 23 1 6.5 p3": SymmetryFunction("Ge", 23, (), 6.5, r_l=1.0, subtype="p3"),
    "Ge 24 1 6.5 -90 90 p4": SymmetryFunction(
        "Ge", 24, (), 6.5, r_l=1.0, angle_left=-90.0, angle_right=90.0, subtype="p4"
    ),
    "Ge 25 1 6.5 -180 180 p4": SymmetryFunction(
        "Ge", 25, (), 6.5, r_l=1.0, angle_left=-180.0, angle_right=180.0, subtype="p4"
    ),
}


def test_every_type_is_defined() -> None:
    assert {function.type for function in DEFINITIONS.values()} == set(PARAMETERS)


@pytest.mark.parametrize("text", DEFINITIONS)
def test_reads(text: str) -> None:
    assert parse_function(text.split()) == DEFINITIONS[text]


@pytest.mark.parametrize("text", DEFINITIONS)
def test_writes_what_it_reads(text: str) -> None:
    assert DEFINITIONS[text].definition() == text


def test_numbers_are_written_exactly() -> None:
    function = SymmetryFunction("H", 2, ("O",), 0.1 + 0.2, eta=1e-5 / 3, r_s=1e22)
    assert parse_function(function.definition().split()) == function


def test_neighbors_are_ordered_by_atomic_number() -> None:
    assert parse_function(["Ge", "3", "Te", "Ge", "0.005", "1", "4", "6.5"]).neighbors == ("Ge", "Te")


def test_fortran_exponents() -> None:
    assert parse_function(["H", "2", "O", "1.0d-3", "0.D0", "12"]).eta == 1e-3


def test_the_line_is_not_compared() -> None:
    assert SymmetryFunction("H", 1, ("H",), 6.0, line=3) == SymmetryFunction("H", 1, ("H",), 6.0, line=7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the central element"),
        ("Ge", "expected the central element"),
        ("Ge two Te 0 0 6", "`two` but must be an integer"),
        ("Ge 5 1", "type 5 only serves to debug RuNNer"),
        ("Ge 7 1", "type 7 does not exist; expected one of 1, 2, 3"),
        ("Ge 2 Te 0 6", "too few words; expected after the central element: 2 e1 eta rs rc"),
        ("Ge 2 Te 0 0 6 7", "too many words"),
        ("Ge 3 Ge Te 0 1 4", r"too few words; .* 3 e1 e2 eta lambda zeta rc \[rs\]"),
        ("Ge 13 Te 0 0 1 4 6", "too many words"),
        ("Ge 2 Te x 0 6", "parameter eta is `x` but must be a number"),
        ("Ge 2 Te nan 0 6", "eta is nan but must be finite"),
        ("Ge 2 Te 0 inf 6", "rs is inf but must be finite"),
        ("Ge 2 Te 0 0 -6", "rc is -6.0 but must be positive"),
        ("Ge 2 Te 0 0 0", "rc is 0.0 but must be positive"),
        ("Ge 2 Te -0.1 0 6", "eta is -0.1 but must not be negative"),
        ("Ge 3 Ge Te 0 1 0 6", "zeta is 0 but must be positive"),
        ("Xx 2 Te 0 0 6", "`Xx` is not an element symbol"),
        ("Ge 2 te 0 0 6", "`te` is not an element symbol"),
        ("Ge 20 Te 0 6 p5", "subtype is `p5` but must be one of p1, p2"),
        ("Ge 20 Te 6 6 p1", "rl is 6.0 but must be below rc = 6.0"),
        ("Ge 22 Ge Te 0 6 90 90 p1", "left angle is 90.0 but must be below the right angle"),
        ("Ge 22 Ge Te 0 6 -10 90 p1", "left angle is -10.0: it may be negative only if"),
        ("Ge 22 Ge Te 0 6 90 190 p1", "right angle is 190.0: it may exceed 180 only if"),
        ("Ge 25 0 6 -190 190 p1", "right angle is 190.0: it may exceed 180 only if"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_function(text.split())


def test_wrong_number_of_neighbors() -> None:
    with pytest.raises(ValueError, match="type 2 has 2 neighbor elements but needs 1"):
        SymmetryFunction("H", 2, ("H", "O"), 6.0)


def test_element_keyword_covers_every_neighbor() -> None:
    radial = expand_element(["Ge", "2", "0.01", "0", "6"], ["Te", "Ge"])
    assert [f.neighbors for f in radial] == [("Ge",), ("Te",)]
    angular = expand_element(["Ge", "3", "0.01", "1", "4", "6"], ["Te", "Ge", "O"])
    assert [f.neighbors for f in angular] == [
        ("O", "O"),
        ("O", "Ge"),
        ("O", "Te"),
        ("Ge", "Ge"),
        ("Ge", "Te"),
        ("Te", "Te"),
    ]
    assert all(f.element == "Ge" and f.zeta == 4.0 and f.r_c == 6.0 for f in angular)


def test_weighted_types_expand_to_one_function() -> None:
    assert len(expand_element(["Ge", "12", "0.01", "0", "6"], ["Te", "Ge"])) == 1


def test_global_keyword_covers_every_center() -> None:
    functions = expand_global(["9", "0.01", "1", "4", "6"], ["Te", "Ge", "O"])
    assert len(functions) == 3 * 6
    assert [f.element for f in functions] == ["O"] * 6 + ["Ge"] * 6 + ["Te"] * 6


def test_short_forms_name_their_own_grammar() -> None:
    with pytest.raises(ValueError, match="expected after the central element: 2 eta rs rc"):
        expand_element(["Ge", "2", "Te", "0.01", "0", "6"], ["Ge", "Te"])


ORDERED = """
    H 2 H 0.3 1.2 5.5
    H 2 O 0.3 1.2 5.5
    H 2 H 0.001 0 8
    H 2 O 0.001 0 8
    H 2 H 0.05 4 8
    H 2 H 0.6 0 8
    H 2 H 0.6 2.5 8
    H 3 O O 0.1 1 16 6
    H 3 H H 0.01 -1 1 8
    H 3 H H 0.01 1 1 8
    H 3 H O 0.01 1 1 8
    H 3 H H 0.01 -1 2 8
    H 3 H H 0.01 1 1 8 1.5
    H 9 H H 0.001 1 1 6
    H 12 0.5 2 6.5
    H 12 0.02 0 8
    H 13 0.01 0 1 2 8
    H 20 H 0 6 e
    H 20 O 0 6 e
    H 20 H 2 6.5 p1a
    H 20 H -7 7 p2
    H 20 H 1 7 p2
    H 21 H H 1 7.5 90 270 p2
    H 21 H H -8 8 -180 180 p2
    H 21 H H -8 8 0 90 p2
    H 21 H H -8 8 0 180 p2
    H 21 H O 0 7 0 180 p2
    H 23 -8 8 p2
"""


def test_order_is_n2p2s() -> None:
    """Type, rc, eta, rs, zeta, lambda, elements; compact: type, subtype, elements, rc, rl, angles."""
    ordered = [parse_function(line.split()) for line in ORDERED.strip().splitlines()]
    shuffled = ordered.copy()
    random.Random(1).shuffle(shuffled)
    assert sort_functions(shuffled) == tuple(ordered)


CASES = [
    "H2O_RPBE-D3",
    "sfmix/compact_types_20-25",
    "sfmix/cutoff_type_1_alpha_0.0",
    "sfmix/cutoff_type_2_alpha_0.0",
    "sfmix/cutoff_type_4_alpha_0.3",
    "sfmix/cutoff_type_6_alpha_0.0",
    "sfmix/cutoff_type_6_alpha_0.3",
    "sfmix/cutoff_type_8_alpha_0.3",
]


@pytest.mark.parametrize("case", CASES)
def test_order_of_n2p2_itself(case: str, shared: Path) -> None:
    """ref_symfunc_order.txt is n2p2's own list; its last column is the line of input.nn."""
    folder = shared / "reference" / case
    functions = []
    for line, text in enumerate((folder / "input.nn").read_text().splitlines(), start=1):
        words = text.split("#")[0].split()
        if words and words[0] == "symfunction_short":
            functions.append((line, parse_function(words[1:])))
    expected: dict[str, list[int]] = {}
    for text in (folder / "ref_symfunc_order.txt").read_text().splitlines():
        words = text.split()
        if words[0].isdigit():
            expected.setdefault(words[1], []).append(int(words[-1]))
    line_of = {function: line for line, function in functions}
    for element, lines in expected.items():
        own = sort_functions(function for _, function in functions if function.element == element)
        assert [line_of[function] for function in own] == lines
