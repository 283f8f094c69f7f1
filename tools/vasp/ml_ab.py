"""ML_AB and ML_ABN: the training data of VASP's machine-learned force fields, from DFT.

A list of sections, each a title, a line of dashes and its data; sections end with a line of "=" or "*". A
block "Configuration num." has positions in Angstrom (Cartesian), forces in eV/Angstrom, one energy in eV (the
one VASP fits) and the stress in kbar with VASP's sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from bnnp.errors import InputError
from vasp.species import from_symbol
from vasp.step import (
    CUT_OFF,
    NO_ENERGY,
    NOT_WRITTEN,
    Array,
    Draft,
    Step,
    UnreadableStep,
    flawed,
    numbers,
    stress_from_kilobar,
    table,
)
from vasp.window import Readable, Window

START = b"Configuration num."
RULE = re.compile(rb"^[ \t]*[=*-]{10,}[ \t\r]*$", re.MULTILINE)
CELL, POSITIONS = "Primitive lattice vectors (ang.)", "Atomic positions (ang.)"
ENERGY, FORCES = "Total energy (eV)", "Forces (eV ang.^-1)"
NEEDED = (CELL, POSITIONS, FORCES)


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
    window.take(first + len(START))
    while (size := window.find(START)) >= 0:
        yield _draft(window.take(size), last=False)
        window.take(len(START))
    yield _draft(window.held(), last=True)


def _draft(text: bytes, last: bool) -> Draft:
    """One configuration; the last one of the file may be cut off."""
    sections = _sections(text)
    missing = [title for title in NEEDED if not sections.get(title)]
    if last and (missing or not _whole(text)):
        return flawed(CUT_OFF)
    if missing:
        return flawed(NOT_WRITTEN)
    if not sections.get(ENERGY):
        return flawed(NO_ENERGY)
    return Draft(None, partial(_read, sections))


def _whole(text: bytes) -> bool:
    """Whether the stress, the last section, has its last line, or a line of "*" ends the configuration."""
    stress = text.rfind(b"XY YZ ZX")
    return (stress >= 0 and text.count(b"\n", stress) > 2) or text.rstrip().endswith(b"*" * 10)


def _sections(text: bytes) -> dict[str, list[bytes]]:
    """Lines of each section by its title: the first line of a part is a title, the next one its data."""
    parts = [part.strip() for part in RULE.split(text)]
    return {
        " ".join(title.decode("latin-1").split()): data.splitlines()
        for title, data in zip(parts[1:], parts[2:], strict=False)
        if title and b"\n" not in title
    }


def _read(sections: dict[str, list[bytes]]) -> Step:
    symbols: list[str] = []
    for line in sections.get("Atom types and atom numbers", []):
        name, count = (word.decode("latin-1") for word in line.split()[:2])
        symbol = from_symbol(name)
        if symbol is None or not count.isdigit():
            raise UnreadableStep(f"`{name} {count}` is no element and number")
        symbols += [symbol] * int(count)
    energy = float(_numbers(sections[ENERGY])[0])
    return Step(
        symbols=symbols,
        cell=table(_numbers(sections[CELL]), 3),
        positions=table(_numbers(sections[POSITIONS]), 3),
        free_energy=energy,
        sigma0_energy=None,
        forces=table(_numbers(sections[FORCES]), 3),
        stress=_stress(sections),
    )


def _numbers(lines: list[bytes]) -> Array:
    return numbers(b" ".join(lines).split())


def _stress(sections: dict[str, list[bytes]]) -> Array | None:
    """ASE's stress; None where it was not written, or written as zeros."""
    try:
        xx, yy, zz = _numbers(sections.get("XX YY ZZ", []))
        xy, yz, zx = _numbers(sections.get("XY YZ ZX", []))
    except (UnreadableStep, ValueError):
        return None
    return stress_from_kilobar(xx, yy, zz, yz, zx, xy)
