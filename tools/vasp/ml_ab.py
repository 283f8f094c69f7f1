"""ML_AB and ML_ABN: the training data of VASP's machine-learned force fields, from DFT.

A list of sections, each a title, a line of dashes and its data; sections end with a line of "=", "*" or "-".
A block "Configuration num." has positions in Angstrom (Cartesian), forces in eV/Angstrom, one energy in eV
(the one VASP fits) and the stress in kbar with VASP's sign. The file does not say how it was calculated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache, partial

from bnnp._core import find_words
from bnnp.errors import InputError
from vasp.backlog import Backlog
from vasp.species import from_symbol
from vasp.step import (
    CUT_OFF,
    DAMAGED,
    NO_ENERGY,
    NO_FORCES,
    TORN,
    TWICE,
    Array,
    Draft,
    Step,
    UnreadableStep,
    flawed,
    rows_of,
    stress_from_kilobar,
)
from vasp.window import Readable, Window

START = b"Configuration num."
HEADS = b"The number of configurations"
HEAD = re.compile(rb"Version\s+\*+\s+" + HEADS)
RULE = re.compile(rb"\n[ \t]*[=*-]{10,}[ \t]*(?=\n|$)")
CELL, POSITIONS = b"Primitive lattice vectors (ang.)", b"Atomic positions (ang.)"
ENERGY, FORCES = b"Total energy (eV)", b"Forces (eV ang.^-1)"
ATOMS, NORMAL, SHEAR = b"Atom types and atom numbers", b"XX YY ZZ", b"XY YZ ZX"
NEEDED = (CELL, POSITIONS, FORCES)
LISTED, NUMBER = b"The atom types in the data file", b"The number of atoms"
TITLES = (NUMBER, ATOMS, CELL, POSITIONS, ENERGY, FORCES, NORMAL, SHEAR)  # in the order of the file


def read_ml_ab(stream: Readable, elements: list[str] | None = None) -> Iterator[Draft]:
    """Go through the configurations of an ML_AB file.

    Parameters
    ----------
    stream : Readable
        Unpacked bytes.
    elements : list of str, optional
        Not needed: the file names its elements.

    Raises
    ------
    InputError
        The file has no configuration.
    """
    window = Window(stream)
    if (first := window.find(START)) < 0:
        raise InputError("the file ends before its first configuration")
    elements_of_file = _listed(window.take(first))
    window.take(len(START))
    backlog, last = Backlog(), 0
    while True:
        size = window.find(START)
        text = window.take(size) if size >= 0 else window.held()
        text, *heads = HEAD.split(text) if HEADS in text else [text]  # of other files behind it
        if heads:
            text = text[: text.rfind(b"\n")]
        number = _number(text)
        if 1 < number <= last:  # a second list begins with 1
            backlog.spoil(number - 1, TWICE)
        backlog.add(_draft(text, elements_of_file, last=size < 0), number, len(text))
        last = 0 if heads else number
        elements_of_file = _listed(heads[-1]) if heads else elements_of_file
        if size < 0:
            break
        yield from backlog.released()
        window.take(len(START))
    yield from backlog.released(0)


def _number(text: bytes) -> int:
    """The number of a configuration, 0 if there is none."""
    word = text[: max(text.find(b"\n"), 0)].strip()
    return int(word) if word.isdigit() else 0


def _listed(head: bytes) -> frozenset[str]:
    """The elements that the head lists; empty if it lists none."""
    begin = head.find(LISTED)
    rule = RULE.search(head, head.find(b"\n", head.find(b"\n", begin) + 1))
    names = head[begin + len(LISTED) : rule.start()].decode("latin-1").split() if begin >= 0 and rule else []
    return frozenset(symbol for name in names if (symbol := from_symbol(name)))


def _draft(text: bytes, listed: frozenset[str], last: bool) -> Draft:
    """One configuration; the last one of the file may be cut off."""
    _, found = find_words(text, TITLES)
    if len(set(found)) < len(found):
        return flawed(TWICE)
    sections, in_order = _sections(text)
    missing = not all(map(sections.get, NEEDED))
    if last and (missing or not _whole(text)):
        return flawed(CUT_OFF)
    if missing:
        return flawed(NO_FORCES)
    if not in_order or len(sections) < len(found):
        return flawed(TORN)
    return Draft(None, partial(_read, sections, listed)) if sections.get(ENERGY) else flawed(NO_ENERGY)


def _whole(text: bytes) -> bool:
    """Whether the stress, the last section, has its last line, or a line of "*" ends the configuration."""
    stress = text.rfind(SHEAR)
    return (stress >= 0 and text.count(b"\n", stress) > 2) or text.rstrip().endswith(b"*" * 10)


def _sections(text: bytes) -> tuple[dict[bytes, bytes], bool]:
    """What stands between the rule below each of `TITLES` and the next rule.

    And whether a rule follows the number of the configuration, and a title or the end each of these rules.
    """
    number, *titles = map(bytes.strip, RULE.split(text))
    places = [at for at, title in enumerate(titles[:-1]) if title in TITLES]
    behind = [titles[at + 2] for at in places if at + 2 < len(titles)]
    ends = [title for title in behind if title and not title[:1].isalpha()]
    in_order = number.isdigit() and places == sorted(places, key=lambda at: TITLES.index(titles[at]))
    return {titles[at]: titles[at + 1] for at in places}, in_order and not ends


def _read(sections: dict[bytes, bytes], listed: frozenset[str]) -> Step:
    symbols = list(_symbols(sections.get(ATOMS, b""), listed))
    if sections.get(NUMBER, b"").strip() not in (b"", b"%d" % len(symbols)):
        raise UnreadableStep(f"{DAMAGED}: the numbers of atoms do not add up")
    return Step(
        symbols=symbols,
        cell=rows_of(sections[CELL], 3),
        positions=rows_of(sections[POSITIONS], 3),
        free_energy=_row(sections[ENERGY], 1)[0],
        sigma0_energy=None,
        forces=rows_of(sections[FORCES], 3),
        stress=_stress(sections),
    )


@lru_cache(maxsize=16)  # configurations that follow one another are alike
def _symbols(text: bytes, listed: frozenset[str]) -> tuple[str, ...]:
    """One symbol an atom, from lines of an element and a number."""
    symbols: list[str] = []
    for line in text.decode("latin-1").splitlines():
        name, count, *_ = *line.split(), "", ""
        symbol = from_symbol(name)
        if symbol is None or not count.isdigit():
            raise UnreadableStep(TORN)
        if listed and symbol not in listed:
            raise UnreadableStep(
                f"{DAMAGED}: {symbol} is none of the elements that the head of the file lists"
            )
        symbols += [symbol] * int(count)
    return tuple(symbols)


def _row(text: bytes, columns: int) -> list[float]:
    """The one row of a section."""
    row, *others = rows_of(text, columns).tolist() or [[]]
    if others or not row:
        raise UnreadableStep(TORN)
    return list(row)


def _stress(sections: dict[bytes, bytes]) -> Array | None:
    """ASE's stress; None where it was not written. Six zeros are a stress: the block is there."""
    try:
        (xx, yy, zz), (xy, yz, zx) = (_row(sections.get(title, b""), 3) for title in (NORMAL, SHEAR))
    except UnreadableStep:
        return None
    return stress_from_kilobar(xx, yy, zz, yz, zx, xy)
