"""OUTCAR of VASP 4.6 to 6.5, streaming.

An ionic step ends with its energies, in the section "FREE ENERGIE OF THE ION-ELECTRON SYSTEM"; what stands
between two such sections belongs to the second one::

    --- Iteration     12(   7) ---                            one each electronic iteration
      in kB     XX  YY  ZZ  XY  YZ  ZX                        not with ISIF = 0
          direct lattice vectors                              three rows, six numbers
     POSITION                    TOTAL-FORCE (eV/Angst)       a row an atom, nine numbers with van der Waals
      free  energy   TOTEN  =  ...  energy(sigma->0) =  ...

Predictions of a machine-learned force field carry "ML" in their headings; there is one for every geometry,
also for those that are computed next. "aborting loop because EDIFF is reached" is printed for unconverged
steps, too, so electronic iterations are counted against NELM. Columns are of fixed width and may touch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from bnnp.errors import InputError
from vasp.species import from_mass, from_symbol, from_title
from vasp.step import (
    CUT_OFF,
    MACHINE_LEARNED,
    NOT_WRITTEN,
    UNCONVERGED,
    UNREADABLE,
    Array,
    Draft,
    Step,
    UnreadableStep,
    flawed,
    numbers,
    stress_from_kilobar,
    table,
)
from vasp.window import LIMIT, Readable, Window

END = b"FREE ENERGIE OF THE ION-ELECTRON SYSTEM"
SECTION = 1200  # bytes that the section of the energies has at most
ENERGIES = re.compile(
    rb"free +energy +(?:ML )?TOTEN *= *(\S+).*\n(?:.*\n){1,2}?.*energy\(sigma->0\) *= *(\S+).*(?:\n|$)"
)
ITERATION = re.compile(rb"Iteration *(\d*)\**\( *(\d+)\)")
NELM_DEFAULT = 60


@dataclass(frozen=True)
class Header:
    """What the head of the file says about all of its steps."""

    symbols: list[str]
    nelm: int
    isif: int


@dataclass
class _Found:
    """What has been met of the step that is being gone through."""

    number: int = 0
    iterations: int = 0
    unconverged: bool = False
    cell: bytes = b""
    kilobar: bytes = b""
    rows: bytes = b""


@dataclass
class _Run:
    """State between steps: the header in force, the last cell, an ML prediction not yet accounted for."""

    elements: list[str] | None
    header: Header | None = None
    cell: bytes = b""
    n_steps: int = 0
    prediction: bool = False
    found: _Found = field(default_factory=_Found)


def read_outcar(stream: Readable, elements: list[str] | None = None) -> Iterator[Draft]:
    """Go through the ionic steps of an OUTCAR.

    Parameters
    ----------
    stream : Readable
        Unpacked bytes.
    elements : list of str, optional
        One a species, in the order of POTCAR, for files whose lines about it were removed.

    Raises
    ------
    InputError
        The file does not say what its atoms are.
    """
    run = _Run(elements)
    window = Window(stream)
    while (end := window.find(END, forget=partial(_pass, run))) >= 0:
        energies = ENERGIES.search(window.hold(end + SECTION), end)
        predicted = window.hold(end)[-3:] == b"ML "
        text = window.take(energies.end() if energies else end + len(END))
        former = run.header
        _look(run, text[:end])
        if run.header is not former:  # another run in the same file
            yield from [flawed(MACHINE_LEARNED)] * run.prediction
            run.n_steps, run.prediction = 0, False
        if run.prediction and (predicted or run.found.number > run.n_steps + 1):
            run.n_steps += 1
            yield flawed(MACHINE_LEARNED)
        run.prediction = predicted
        if not predicted:
            run.n_steps += 1
            yield _draft(run, energies)
        run.found = _Found()
    if run.prediction:
        yield flawed(MACHINE_LEARNED)
    rest = window.held()
    _look(run, rest)
    if run.header is None:
        raise InputError("the file ends before VASP has said which atoms there are")
    if run.found.iterations and b"General timing" not in rest:
        yield flawed(CUT_OFF)


def _pass(run: _Run, text: bytes) -> int:
    """Look at all of a very long step but its end, and forget it."""
    size = len(text) - LIMIT // 2
    _look(run, text[:size])
    return size


def _look(run: _Run, text: bytes) -> None:
    """Note what `text` says about the present step; of several tables the last one counts."""
    head = text.find(b"ions per type")
    if head >= 0 or run.header is None:
        first = text.find(b"Iteration", head) if head >= 0 else -1
        run.header = _read_header(text if first < 0 else text[:first], run)
    found = run.found
    last = text.rfind(b" Iteration")
    if last >= 0 and (match := ITERATION.match(text, last + 1)):
        found.number, found.iterations = int(match[1] or 0), int(match[2])
    found.unconverged = found.unconverged or text.find(b"EDIFF was not reached", max(last, 0)) >= 0
    if (at := text.rfind(b"in kB")) >= 0:
        found.kilobar = text[at + 5 : text.find(b"\n", at)]
    if (at := text.rfind(b"direct lattice vectors")) >= 0:
        found.cell = _lines(text, at, 1, 3)
    if (at := text.rfind(b"TOTAL-FORCE")) >= 0:
        begin = text.find(b"\n", text.find(b"\n", at) + 1) + 1
        end = text.find(b"\n -----", begin)
        found.rows = text[begin:end] if 0 < begin < end else b""


def _lines(text: bytes, at: int, skip: int, count: int) -> bytes:
    """`count` lines after the `skip`-th end of line from `at` on."""
    for _ in range(skip):
        at = text.find(b"\n", at) + 1
    end = at
    for _ in range(count):
        end = text.find(b"\n", end) + 1
    return text[at:end]


def _draft(run: _Run, energies: re.Match[bytes] | None) -> Draft:
    """The step that ends here."""
    found, header = run.found, run.header
    if header is None:
        raise InputError("the numbers of atoms (`ions per type`) are missing before the first step")
    if found.cell:
        run.cell = found.cell
    if energies is None:
        return flawed(CUT_OFF)
    if not found.rows:
        return flawed(NOT_WRITTEN)
    if not run.cell or (header.isif > 2 and not found.cell):
        return flawed(NOT_WRITTEN)
    converged = found.iterations < header.nelm and not found.unconverged
    flaw = None if converged else UNCONVERGED
    return Draft(flaw, partial(_read, header, run.cell, found, energies))


def _read(header: Header, cell: bytes, found: _Found, energies: re.Match[bytes]) -> Step:
    vectors = table(_fixed(cell, 6, 9), 6)[:, :3]
    n_rows = found.rows.count(b"\n") + 1
    if n_rows != len(header.symbols):
        raise UnreadableStep(f"{n_rows} rows of forces for {len(header.symbols)} atoms")
    words = found.rows.split()
    if len(words) == 9 * n_rows:  # forces without van der Waals correction follow, and may be NaN
        words = [word for first in range(0, len(words), 9) for word in words[first : first + 6]]
    rows = table(numbers(words) if len(words) == 6 * n_rows else _separate(found.rows), 6)
    free, sigma0 = numbers(energies.groups())
    return Step(
        symbols=header.symbols,
        cell=vectors,
        positions=rows[:, :3],
        free_energy=float(free),
        sigma0_energy=float(sigma0),
        forces=rows[:, 3:],
        stress=None if header.isif < 2 else _stress(found.kilobar),
    )


def _stress(kilobar: bytes) -> Array | None:
    """ASE's stress from the line "in kB XX YY ZZ XY YZ ZX"; None if there is none."""
    try:
        xx, yy, zz, xy, yz, zx = _fixed(kilobar, 6, 5)
    except (UnreadableStep, ValueError):
        return None
    return stress_from_kilobar(xx, yy, zz, yz, zx, xy)


def _fixed(text: bytes, columns: int, decimals: int) -> Array:
    """Numbers of rows of `columns`, also where they touch: they have a fixed number of decimals."""
    words = text.split()
    rows = text.strip().count(b"\n") + 1
    if len(words) != rows * columns:
        words = re.findall(rb"-?\d+\.\d{%d}" % decimals, text)
    if len(words) != rows * columns:
        raise UnreadableStep(UNREADABLE)
    return numbers(words)


def _separate(rows: bytes) -> Array:
    """Positions (5 decimals) and forces (6 decimals) of rows whose columns touch."""
    row = re.compile(rb" *" + rb" *(-?\d+\.\d{5})" * 3 + rb" *(-?\d+\.\d{6})" * 3)
    matches = [row.match(line) for line in rows.split(b"\n")]
    if None in matches:
        raise UnreadableStep(UNREADABLE)
    return numbers(word for match in matches if match for word in match.groups())


def _read_header(text: bytes, run: _Run) -> Header | None:
    """Species, NELM and ISIF; the former header if `text` has none."""
    counts = _atoms_per_type(text)
    if counts is None:
        return run.header
    symbols = _species(text, len(counts), run.elements)
    nelm = re.search(rb"NELM *= *(\d+);", text) or re.search(rb"NELM *= *(\d+)", text)
    isif = re.findall(rb"ISIF *= *(\d+)", text)
    return Header(
        symbols=[symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)],
        nelm=int(nelm[1]) if nelm else NELM_DEFAULT,
        isif=int(isif[-1]) if isif else 2,
    )


def _atoms_per_type(text: bytes) -> list[int] | None:
    """Number of atoms of each species.

    The line "ions per type" has room for ten. With more, Fortran prints the rest into the places of a second
    table "Dimension of arrays", whatever these are called.
    """
    match = re.search(rb"ions per type *=([ \d]*)\n", text)
    total = re.search(rb"NIONS *= *(\d+)", text)
    if match is None:
        return None
    counts = [int(word) for word in match[1].split()]
    if total is None or sum(counts) == int(total[1]):
        return counts
    rest = text[match.end() : text.find(b"equivalent", match.end())]
    for word in re.findall(rb"= *(\d+)", rest):
        counts.append(int(word))
        if sum(counts) >= int(total[1]):
            break
    if sum(counts) != int(total[1]):
        raise InputError(f"`ions per type` gives {sum(counts)} atoms, but NIONS is {int(total[1])}")
    return counts


def _species(text: bytes, n_types: int, elements: list[str] | None) -> list[str]:
    """One symbol a species: as told, or from titles, orbitals, the list of POTCAR, or masses."""
    if elements is not None:
        if len(elements) != n_types:
            raise InputError(f"--elements names {len(elements)}, but the file has {n_types} species")
        return elements

    def all_lines(pattern: bytes) -> list[str]:
        return [match.decode("ascii", "replace") for match in re.findall(pattern, text)]

    masses = re.search(rb"Mass of Ions in am\s*\n\s*POMASS *=([^\n]*)", text)
    sources = [
        [from_title(title) for title in all_lines(rb"TITEL *= *([^\n]*)")],
        [from_symbol(name) for name in all_lines(rb"VRHFIN *= *([^\n]*)")],
        [from_title(title) for title in all_lines(rb"POTCAR: *([^\n]*)")[:n_types]],
        [from_mass(mass) for mass in _fixed_masses(masses[1] if masses else b"")],
    ]
    for symbols in sources:
        if len(symbols) == n_types and None not in symbols:
            return [symbol for symbol in symbols if symbol]
    raise InputError(
        f"the lines that name the elements (TITEL, VRHFIN, POTCAR) are missing; name the {n_types} species "
        "in the order of POTCAR with --elements, e.g. --elements 'Ge Te'"
    )


def _fixed_masses(text: bytes) -> list[float]:
    """Masses with two decimals, which may touch."""
    return [float(word) for word in re.findall(rb"\d+\.\d\d", text)]
