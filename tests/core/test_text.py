"""Rows of numbers to arrays, and arrays to `atom` lines: equal to what Python reads and writes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bnnp._core import find_words, format_atoms, parse_rows, within


def test_numbers_are_those_of_python() -> None:
    """Bit for bit: fixed and exponential, up to more digits and powers than the fast way takes."""
    generator = np.random.default_rng(3)
    words = [b"0", b"-0.0", b"+.5", b"5.", b"1e22", b"1e23", b"-1E-22", b"123456789012345678901234567890"]
    words += [
        b"9007199254740993",
        b"0.1e-400",
        b"1.7976931348623157e308",
        b"00000000000000000001.5",
        b"1e+05",
    ]
    for value in generator.normal(size=500) * 10.0 ** generator.integers(-30, 30, 500):
        words += [b"%.8f" % value, b"%.15E" % value, b"%.17g" % value, repr(float(value)).encode()]
    found = parse_rows(b"\n".join(words), 1)[:, 0]
    np.testing.assert_array_equal(found, [float(word) for word in words])
    assert np.signbit(found[1])


def test_rows() -> None:
    rows = parse_rows(b"\n  <v> 1.0 2.5\t-3 </v>\n\n<v>4 5 6</v>", 3, b"<v>", b"</v>")
    np.testing.assert_array_equal(rows, [[1.0, 2.5, -3.0], [4.0, 5.0, 6.0]])
    assert parse_rows(b"  \n", 3).shape == (0, 3)
    assert np.isnan(parse_rows(b"1 nan", 2)[0, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"1 2 3\n4 5", "row 2 has not 3 numbers"),
        (b"1 2 3 4", "row 1 has not 3 numbers"),
        (b"1 2 ***", "could not convert"),
        (b"1 2 3.0.1", "could not convert"),
        (b"1 2 3e", "could not convert"),
        (b"1 2 1_0", "could not convert"),
        (b"1 2 -", "could not convert"),
        (b"1 2 3\0\0", "zero byte"),
    ],
)
def test_what_is_no_row(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_rows(text, 3)


def test_rows_without_their_tags() -> None:
    for text in (b"1 2 3", b"<v> 1 2 3", b"<v>"):
        with pytest.raises(ValueError, match="row 1 is not `<v> ... </v>`"):
            parse_rows(text, 3, b"<v>", b"</v>")


def test_rows_that_are_aligned() -> None:
    """All numbers have as many decimals: a number that lost its last digits, or an exponent, is refused."""
    text = b"<v> 1.25 -0.50 10.00 </v>\n<v> 0.75 2.00 -3.25 </v>"
    np.testing.assert_array_equal(
        parse_rows(text, 3, b"<v>", b"</v>", aligned=True), [[1.25, -0.5, 10.0], [0.75, 2.0, -3.25]]
    )
    for other in (b"2.0", b"2.000", b"2", b"2.", b"2e00", b"2.0e0"):
        with pytest.raises(ValueError, match="row 2 has other decimals"):
            parse_rows(text.replace(b"2.00", other), 3, b"<v>", b"</v>", aligned=True)


def test_within() -> None:
    for values, expected in (
        ([[1.0, -2.0]], True),
        ([2.0, -2.1], False),
        ([np.nan], False),
        ([-np.inf], False),
        ([], True),
    ):
        assert within(np.array(values), 2.0) is expected


@pytest.mark.parametrize("decimals", range(1, 16))
def test_atom_lines_are_those_of_printf(decimals: int) -> None:
    """Of all sizes, and ties: 0.125 has 0.12."""
    generator = np.random.default_rng(decimals)
    ties = generator.integers(-(10**6), 10**6, 600) / 2.0 ** generator.integers(0, 30, 600)
    values = [*ties, *(generator.normal(size=588) * 10.0 ** generator.integers(-30, 20, 588))]
    values += [0.0, -0.0, 0.125, -0.5, 2.5, 9.5, 1e12, 2.0**53, 2.0**63, 1e300, 5e-324, -1e-20]
    positions, forces = np.array(values).reshape(2, -1, 3)
    for line, numbers in zip(
        format_atoms(["H"] * len(positions), positions, forces, decimals).split("\n"),
        np.hstack([positions, forces]),
        strict=True,
    ):
        words = line.split()
        assert words[1:4] + words[7:] == [f"{number:.{decimals}f}" for number in numbers]


@pytest.mark.parametrize("decimals", [1, 8, 12])
def test_atom_lines(decimals: int) -> None:
    """To half a unit of the last decimal, and as wide as printf; also numbers beyond 2^53 last decimals."""
    generator = np.random.default_rng(4)
    positions, forces = generator.normal(size=(2, 5, 3)) * 100.0
    positions[0] = [0.0, -0.25, 1e9]
    symbols = ["H", "Ge", "O", "Te", "H"]
    lines = format_atoms(symbols, positions, forces, decimals).split("\n")
    assert len(lines) == 5
    for line, symbol, position, force in zip(lines, symbols, positions, forces, strict=True):
        words = line.split()
        assert [words[0], *words[4:7]] == ["atom", symbol, "0.0", "0.0"]
        found = [float(word) for word in words[1:4] + words[7:]]
        np.testing.assert_allclose(found, [*position, *force], rtol=1e-15, atol=0.50001 * 10.0**-decimals)
        assert all(len(word.partition(".")[2]) == decimals for word in words[1:4] + words[7:])
    width = decimals + 6
    assert lines[0].startswith("atom" + f" {0.0:{width}.{decimals}f} {-0.25:{width}.{decimals}f}")


@pytest.mark.parametrize("tags", [False, True])
def test_words_are_found_where_python_finds_them(tags: bool) -> None:
    """Words that overlap, repeat and begin one another, before and behind the start."""
    draw = random.Random(1)
    for _ in range(300):
        text = bytes(draw.choices(b"<ab>", k=draw.randint(0, 60)))
        drawn = {bytes(draw.choices(b"<ab>", k=draw.randint(2, 4))) for _ in range(draw.randint(1, 6))}
        words, start = (
            [(b"<" if tags else b"a" * (len(word) < 3)) + word for word in drawn],
            draw.randint(0, 5),
        )
        ends = ((at, n) for at in range(start, len(text)) for n in range(len(words)))
        expected = [(at, n) for at, n in ends if text.startswith(words[n], at)]
        assert list(zip(*find_words(text, words, start), strict=True)) == expected


def test_words_that_cannot_be_looked_for() -> None:
    for words in ([], [b"ab"], [b"abc"] * 32):
        with pytest.raises(ValueError, match="word"):
            find_words(b"text", words)
