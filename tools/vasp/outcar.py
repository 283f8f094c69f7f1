"""OUTCAR of VASP 4.6 to 6.5, streaming.

The file is cut at its markers into sections; a step is what stands from its first `Iteration n(` to the first
one of another number::

    --- Iteration     12(   7) ---                            one each electronic iteration
      in kB     XX  YY  ZZ  XY  YZ  ZX                        not with ISIF = 0
      external pressure =  ... kB
      volume of cell :      512.00
          direct lattice vectors                              three rows, six numbers
     POSITION                    TOTAL-FORCE (eV/Angst)       a row an atom, nine numbers with van der Waals
        total drift:
      FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)            VASP 4.6 to 5.2: before `in kB`
      free  energy   TOTEN  =  ...  energy(sigma->0) =  ...

Iterations that follow the forces are of other loops (linear response). Predictions of a machine-learned force
field carry "ML" in their headings; there is one for every geometry, also for those that are computed next.
"aborting loop because EDIFF is reached" is printed for unconverged steps, too, so electronic iterations are
counted against NELM. Columns are of fixed width and may touch.

Images of a nudged elastic band: VASP's own code adds the springs below the table of forces ("CHAIN + TOTAL"),
so that the table is of DFT. With VTST's code ("NEB: projections on to tangent" below it) the table has them
already, says its author (G. Henkelman, VTST forum, t=10969); a user finds that it has not (t=12280). These
steps are left out. vasprun.xml does not tell the codes apart: the band is named in `method`.

Text of another step or run that was inserted shows in three places: it tears a table from the line below it
(`BELOW`) or repeats one of them; the numbers of iterations jump; and behind it they go back, or tables follow
the end, so that the latest steps (`HELD`) are passed on only when nothing more of them has come.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

import numpy as np

from bnnp.errors import InputError
from bnnp.messages import count
from vasp.backlog import HELD, Backlog
from vasp.method import Species, excluded, integer, method_word, valences_of
from vasp.species import agreed, from_mass, from_symbol, from_title
from vasp.step import (
    CUT_OFF,
    DAMAGED,
    MACHINE_LEARNED,
    MISSING,
    NO_CELL,
    NO_ENERGY,
    NO_FORCES,
    NOT_WRITTEN,
    OTHER_VOLUME,
    TORN,
    UNCONVERGED,
    UNREADABLE,
    Array,
    Draft,
    Step,
    UnreadableStep,
    flawed,
    has_volume,
    reason_of,
    rows_of,
    stress_from_kilobar,
)
from vasp.window import Readable, cut_at

RUN, DONE, ITERATION, LOOP_END = b" vasp.", b"General timing", b" Iteration ", b"aborting loop"
ITERATION_END, ITERATION_ENERGY = b")  ---", b"free energy    TOTEN"  # once in each iteration
KILOBAR, VOLUME, CELL, FORCES = b"in kB", b"volume of cell :", b"direct lattice vectors", b"TOTAL-FORCE"
EXTERNAL, DRIFT, FREE_ENERGY = b"external pressure", b"total drift", b"free  energy   TOTEN"
ENERGIES = b"  FREE ENERGIE OF THE ION-ELECTRON SYSTEM"  # two blanks: predictions have "ML FREE ENERGIE"
PREDICTED = b"ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM"
BELOW = {EXTERNAL: KILOBAR, CELL: VOLUME, DRIFT: FORCES, FREE_ENERGY: ENERGIES}  # each right behind the other
SPRINGS = b"NEB: proj"
MARKERS = (RUN, DONE, ITERATION, LOOP_END, PREDICTED, SPRINGS, *BELOW, *BELOW.values())
BEHIND = {table: line for line, table in BELOW.items() if line != EXTERNAL}  # not behind each stress
RULE = b"\n ----------"

VERSION = re.compile(rb" vasp\.\d+\.\d+\.\d+[ .]")
COUNT = re.compile(rb" Iteration *(\d+|\*+)\( *(\d+)\)")
FREE = re.compile(rb"free  energy   TOTEN  = (?=[ \d-]{9}\.) *(-?\d*\.\d{6}(?:\d\d)?) eV")
SIGMA0 = re.compile(
    rb"[^\n]*\n\s*energy  without entropy *=(?: *NUMBER eV +w/o vdW =)? *NUMBER +"
    rb"energy\(sigma->0\) *= *(-?\d*\.\d{6}(?:\d\d)?)\s".replace(b"NUMBER", rb"(?:-?\d*\.\d+|\*+)")
)
VECTOR = re.compile(rb" *(-?\d+\.\d{9})" * 3 + rb"(?: *(?:-?\d+\.\d{9}|\*+)){3} *")  # and a reciprocal one
ROW = re.compile(rb" *(-?\d+\.\d{5})" * 3 + rb" *(-?\d+\.\d{6})" * 3 + rb" *")
ROW_VDW = re.compile(ROW.pattern + rb"\S.*")  # forces without the correction follow, and may be NaN
PRESSURES = [re.compile(rb" *(-?\d*\.\d{%d})" % decimals * 6 + rb" *") for decimals in (5, 2)]  # 2: VASP 4.6
FORMAT = b"%13.5f" * 3 + b"    " + b"%14.6f" * 3  # numbers that are too wide push the others to the right
NO_ITERATION = f"{DAMAGED}: no `Iteration` before the energies, so that what belongs together cannot be told"
LOST_ITERATION = (
    f"{DAMAGED}: an `Iteration` line that cannot be read, so that the iterations cannot be counted"
)
TWO_WRITERS = f"{DAMAGED}: iterations or steps are not in order; did two programs write into this file?"
INSERTED = f"{DAMAGED}: a table and the line below it are torn apart; did two programs write into this file?"
VTST = "a nudged elastic band of VTST, whose forces may have those of the springs in them"
TWICE = f"{DAMAGED}: two energies, tables of forces, stresses, cells or electronic loops in one step"


@dataclass(frozen=True)
class Header:
    """What the head of the file says about all of its steps."""

    symbols: list[str]
    nelm: int
    isif: int
    nwrite: int
    excluded: str | None  # why no step is self-consistent DFT
    method: str
    valences: tuple[float, ...] = ()


@dataclass
class _Found:
    """What has been met of a step."""

    number: int
    iterations: int = 0
    unconverged: bool = False
    loop_ends: int = 0
    again: bool = False  # iterations behind the tables
    damage: str | None = None
    conflict: bool = False  # two stresses or cells before the forces
    volume: bytes = b""
    cell: bytes = b""
    kilobar: bytes = b""
    pressure: bool = False  # the line below the stress was met
    met: set[bytes] = field(default_factory=set)  # markers
    rows: bytes = b""
    energies: bytes = b""


@dataclass
class _Run:
    """State between sections: the head that is being collected, or the one in force and the present step."""

    elements: list[str] | None
    head: list[bytes] | None = field(default_factory=list)
    header: Header | None = None
    cell: bytes = b""
    ended: bool = False  # and no other head since
    n_steps: int = 0
    last: int = 0  # number of a step
    shortened: bool = False  # somebody has removed iterations
    pairs: set[bytes] = field(default_factory=set)  # lines of `BELOW` that this file has below their tables
    previous: bytes = b""  # marker
    rest: bytes = b""  # of its section, behind the first line
    prediction: bool = False  # not yet accounted for
    found: _Found | None = None
    backlog: Backlog = field(default_factory=Backlog)


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
    for marker, section in cut_at(stream, MARKERS, _is_whole):
        if marker == RUN and not VERSION.match(section):
            marker = b""
        if marker == DONE and run.head is not None:  # no iteration at all
            run.header = _read_header(run) or run.header
        if marker in (RUN, DONE):
            _end_run(run, finished=marker == DONE)
            run.head, run.ended = [], marker == DONE
            _forget_atoms(run)
        if run.head is not None and marker in (ITERATION, PREDICTED, ENERGIES):
            run.header, run.head = _read_header(run) or run.header, None
        if run.head is not None:
            run.head.append(settings_lines(section))
        if marker == ITERATION:
            _begin(run, section)
        elif marker == PREDICTED:
            _predicted(run)
        elif marker:
            _note(run, marker, section)
        if marker:
            run.previous, run.rest = marker, section[section.find(b"\n") :]
        yield from run.backlog.released(0 if marker == RUN else HELD)
    if run.header is None and _read_header(run) is None:
        raise InputError("the file ends before VASP has said which atoms there are")
    _end_run(run, finished=False)
    yield from run.backlog.released(0)


def _is_whole(marker: bytes, section: bytes) -> bool:
    """Whether a section that no other marker ends yet has all that is needed of it."""
    return marker not in (FORCES, ENERGIES, KILOBAR, FREE_ENERGY) or b"sigma->0" in section


def settings_lines(text: bytes) -> bytes:
    """The lines of the head that can set something: no coordinates, k-points or tables."""
    return b"\n".join(line for line in text.split(b"\n") if b"=" in line or b":" in line)


def _begin(run: _Run, section: bytes) -> None:
    """An electronic iteration: of the present step, of a new one, or of another loop of the present one."""
    match = COUNT.match(section)
    found = run.found
    if match is None:
        if found is not None and not found.rows:
            found.damage = found.damage or TWO_WRITERS
        return
    iteration = int(match[2])
    stars = match[1].startswith(b"*")  # beyond the width of the column
    if stars and found is not None:
        number = found.number + (iteration == 1 and bool(found.rows or found.energies))
    else:
        number = 0 if stars else int(match[1])
    if found is None or found.number != number:
        unfinished = found is not None and not found.energies
        run.shortened = run.shortened or (run.last == 0 and iteration != 1)
        damage = TWO_WRITERS if unfinished or (iteration != 1 and not run.shortened) else None
        in_order = stars or number == run.last + 1 or (run.prediction and number > run.last)
        if found is not None and not in_order:
            found.damage = found.damage or TWO_WRITERS
        _close(run, finished=True)
        if not in_order:
            _forget_atoms(run)
        if run.ended or number <= run.last:
            run.backlog.spoil(number - 1, TWO_WRITERS)
        if run.prediction and number > run.n_steps + 1:
            _flush(run)
        run.prediction, run.last = False, number
        run.found = _Found(number, iteration, damage=damage)
    elif found.iterations and not (found.rows or found.energies):
        if iteration <= found.iterations or (iteration != found.iterations + 1 and not run.shortened):
            found.damage = TWO_WRITERS
        found.iterations = iteration
    else:
        found.again = True
    found = run.found
    if found and not found.again and max(map(section.count, (ITERATION_END, ITERATION_ENERGY))) > 1:
        found.damage = found.damage or LOST_ITERATION


def _forget_atoms(run: _Run) -> None:
    """Leave out what follows until there is another head: of which atoms it is cannot be told."""
    if run.header:
        run.header = replace(run.header, excluded=run.header.excluded or TWO_WRITERS)


def _predicted(run: _Run) -> None:
    """The energies of a prediction: it counts as a step unless its geometry is computed next."""
    _close(run, finished=True)
    _flush(run)
    run.prediction = True


def _flush(run: _Run) -> None:
    """The prediction that turned out not to be computed."""
    if run.prediction:
        run.n_steps += 1
        run.backlog.add(flawed(MACHINE_LEARNED))
    run.prediction = False


def _note(run: _Run, marker: bytes, section: bytes) -> None:
    """What a section says about the present step, or about the cell of all."""
    if marker == CELL and run.head is not None:
        run.cell = _lines(section, 1, 3)
    found = run.found
    if found is None and run.ended and marker in (KILOBAR, FORCES, DRIFT, FREE_ENERGY):
        run.backlog.spoil(0, TWO_WRITERS)  # the rest of a step, which text up to the end was inserted into
    elif found is None and marker == FREE_ENERGY:
        run.found = _Found(0, damage=NO_ITERATION, energies=section)
    if found is None:
        return
    _check_order(run, found, marker, section)
    if marker == FREE_ENERGY:
        found.energies = section
    elif marker == FORCES and b"(ML)" not in section[: section.find(b"\n")]:
        found.rows = section
    elif found.rows:
        return  # what follows is of a prediction or of linear response
    elif marker == FORCES:  # of a prediction, and so was what stood before
        found.cell = found.volume = found.kilobar = b""
        found.conflict = False
    elif marker == KILOBAR:
        former, found.kilobar = found.kilobar, section[len(KILOBAR) : section.find(b"\n")]
        found.conflict = found.conflict or former not in (b"", found.kilobar)
    elif marker == EXTERNAL:
        found.pressure = True
    elif marker == VOLUME:
        found.volume = section[len(VOLUME) : section.find(b"\n")]
    elif marker == CELL:
        former, found.cell = found.cell, _lines(section, 1, 3)
        if VECTOR.fullmatch(_lines(section, 4, 1)):
            found.damage = found.damage or INSERTED  # a fourth vector
        found.conflict = found.conflict or former not in (b"", found.cell)
    elif marker == LOOP_END and not found.energies:
        _end_loop(found, section[: section.find(b"\n")])


def _check_order(run: _Run, found: _Found, marker: bytes, section: bytes) -> None:
    """Whether a table and the line below it belong together, and are the first of their kind in the step."""
    if marker in BELOW and run.previous == BELOW[marker]:
        run.pairs.add(marker)
        if marker != DRIFT and run.rest.strip(b" -\n"):  # text between
            found.damage = found.damage or INSERTED
    elif marker in run.pairs or BELOW.get(marker) in found.met or _is_alone(run, marker):
        found.damage = found.damage or INSERTED
    found.met.add(marker)
    former = found.energies if marker in (ENERGIES, FREE_ENERGY) else found.rows if marker == FORCES else b""
    if former and b"(ML)" not in section[: section.find(b"\n")]:
        found.damage = found.damage or TWICE
        if found.again:
            run.backlog.spoil(found.number - 1, TWO_WRITERS)


def _is_alone(run: _Run, marker: bytes) -> bool:
    """Whether another marker follows the former table than its line."""
    return run.previous in BEHIND and (run.previous == marker or BEHIND[run.previous] in run.pairs)


def _end_loop(found: _Found, line: bytes) -> None:
    """How the electronic loop ended."""
    if b"not reached" in line or b"hard stop" in line:
        found.unconverged = True
    elif b"EDIFF is reached" not in line:
        found.damage = found.damage or TORN
    found.loop_ends += 1
    found.conflict = found.conflict or found.loop_ends > 1


def _lines(text: bytes, first: int, count: int) -> bytes:
    """`count` lines, the end of the last one included; empty if they are not all there."""
    lines = text.split(b"\n", first + count)
    return b"\n".join(lines[first : first + count]) if len(lines) > first + count else b""


def _end_run(run: _Run, finished: bool) -> None:
    """The last step of a run."""
    _close(run, finished)
    _flush(run)
    if finished and not run.n_steps and run.header and run.header.excluded:
        run.backlog.add(flawed(run.header.excluded))
    run.n_steps, run.last, run.cell, run.shortened = 0, 0, b"", False


def _close(run: _Run, finished: bool) -> None:
    """The present step, if there is one; what it lacks was cut off unless `finished`."""
    found, run.found = run.found, None
    if found is None:
        return
    if run.header is None:
        raise InputError("the numbers of atoms (`ions per type`) are missing before the first step")
    no_cell, no_stress = not found.cell and CELL in run.pairs, not found.pressure and EXTERNAL in run.pairs
    if found.rows and (no_cell or no_stress):
        found.damage = found.damage or MISSING
    run.n_steps += 1
    size = len(found.rows) + len(found.energies) + len(found.cell)
    run.backlog.add(_draft(run.header, found, run.cell, finished), found.number, size)


def _draft(header: Header, found: _Found, fixed_cell: bytes, finished: bool) -> Draft:
    """A step that has ended."""
    if reason := header.excluded or found.damage:
        return flawed(reason)
    missing = not found.rows or not found.energies or (header.isif > 2 and not found.cell)
    whole = found.rows.count(RULE) > 1 and b"sigma->0" in found.energies
    if not finished and (missing or not whole):
        return flawed(CUT_OFF)
    if missing and found.energies and header.nwrite < 2:
        return flawed(NOT_WRITTEN)
    if missing:
        return flawed(NO_ENERGY if not found.energies else NO_CELL if found.rows else NO_FORCES)
    if found.conflict:
        return flawed(TWICE)
    if SPRINGS in found.met:
        return flawed(VTST)
    converged = found.iterations < header.nelm and not found.unconverged
    return Draft(None if converged else UNCONVERGED, partial(_read, header, found, found.cell or fixed_cell))


def _read(header: Header, found: _Found, cell: bytes) -> Step:
    free = FREE.search(found.energies)
    if free is None:
        raise UnreadableStep(UNREADABLE)
    sigma0 = SIGMA0.match(found.energies, free.end())
    if found.energies.count(b"sigma->0") > 1:
        raise UnreadableStep(INSERTED)
    vectors = np.array([_fixed(VECTOR, line) for line in cell.split(b"\n")])
    if found.cell and found.volume and not has_volume(vectors, found.volume, 0.006):
        raise UnreadableStep(OTHER_VOLUME)
    rows = _rows(found.rows)
    return Step(
        symbols=header.symbols,
        cell=vectors,
        positions=rows[:, :3],
        free_energy=float(free[1]),
        sigma0_energy=float(sigma0[1]) if sigma0 else None,
        forces=rows[:, 3:],
        stress=None if header.isif < 2 else _stress(found.kilobar, found.pressure),
        method=header.method,
        valences=header.valences,
    )


def _rows(section: bytes) -> Array:
    """Positions and forces, (n_atoms, 6), of the table of forces, each row matched whole.

    The rows of Fortran are equally long, with all points below each other. Where numbers touch, rows are
    matched one by one.
    """
    if section.count(RULE) != 2:
        raise UnreadableStep(TORN)
    heading, table, end = section.split(RULE, 2)
    if end.strip(b" -\n"):
        raise UnreadableStep(INSERTED)
    table = table[table.find(b"\n") + 1 :]
    pattern = ROW_VDW if b"," in heading else ROW
    first, *_ = lines = table.split(b"\n")
    match = pattern.fullmatch(first)
    even = all(len(line) == len(first) for line in lines)
    if even and match and pattern is ROW:
        ends = zip(range(1, 7), (6, 6, 6, 7, 7, 7), strict=True)
        points = (table[match.end(column) - back :: len(first) + 1] for column, back in ends)
        if all(column.count(b".") == len(lines) for column in points):
            with suppress(UnreadableStep):
                return rows_of(table, 6)
    rows = [_fixed(pattern, line) for line in lines]
    if not even and not all(map(bytes.startswith, lines, (FORMAT % tuple(row) for row in rows))):
        raise UnreadableStep(reason_of(table))
    return np.array(rows)


def _fixed(pattern: re.Pattern[bytes], line: bytes) -> list[float]:
    """The numbers of a line that a pattern describes whole; decimals tell them apart where they touch."""
    match = pattern.fullmatch(line)
    if match is None:
        raise UnreadableStep(reason_of(line))
    return [float(word) for word in match.groups()]


def _stress(kilobar: bytes, in_columns: bool) -> Array | None:
    """ASE's stress from the line "in kB XX YY ZZ XY YZ ZX"; None if there is none that can be read.

    Raises
    ------
    UnreadableStep
        It is not whole: VASP writes six columns of one width (`in_columns`).
    """
    for pattern in PRESSURES:
        if match := pattern.fullmatch(kilobar):
            xx, yy, zz, xy, yz, zx = map(float, match.groups())
            ends = [match.end(column) for column in range(1, 7)]
            if pattern is PRESSURES[0] and in_columns and len({b - a for a, b in pairwise(ends)}) > 1:
                raise UnreadableStep(TORN)
            return stress_from_kilobar(xx, yy, zz, yz, zx, xy)
    if kilobar and b"*" not in kilobar:
        raise UnreadableStep(reason_of(kilobar))
    return None


def _read_header(run: _Run) -> Header | None:
    """Species, settings and method of the head that was collected; None if it has none."""
    text = b"\n".join(run.head or [])
    counts = _atoms_per_type(text)
    if counts is None:
        return None
    symbols, tag = _species(text, len(counts), run.elements), partial(_tag, text)
    flaw = _flaw_of_head(text) or excluded(tag)
    titles = _titles(text, rb"TITEL *= *([^\n]*)") or _titles(text, rb"POTCAR: *([^\n]*)")[: len(counts)]
    mesh = re.findall(rb"generate k-points for: *(\d+) +(\d+) +(\d+)", text)
    if not mesh and re.search(rb"NKPTS *= *1 ", text):
        mesh = [(b"1", b"1", b"1")]
    try:
        cell = np.array([_fixed(VECTOR, line) for line in run.cell.split(b"\n")])
    except UnreadableStep:
        cell = None
    species = Species(symbols, titles, counts, valences_of(text))
    return Header(
        symbols=[symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)],
        nelm=integer(tag, "NELM", 0),
        isif=integer(tag, "ISIF", 2),
        nwrite=integer(tag, "NWRITE", 2),
        excluded=flaw,
        method=method_word(tag, species, [int(n) for n in mesh[-1]] if mesh else None, cell),
        valences=species.electrons,
    )


def _flaw_of_head(text: bytes) -> str | None:
    """What a head states twice, or must state and does not."""
    if text.count(b"ions per type =") > 1:
        return f"{DAMAGED}: the head states the numbers of atoms twice"
    parameters = text[max(text.find(b"Dimension of arrays"), 0) :]
    for name in ("NELM", "ISIF", "NWRITE", "ICHARG"):
        values = set(re.findall(rb"(?<![A-Z0-9_])%b *= *([^\s;]*)" % name.encode(), parameters))
        if len(values) > 1:
            return f"{DAMAGED}: the head states {name} twice, {b' and '.join(sorted(values)).decode()}"
    if _tag(text, "NELM") is None:
        return f"{DAMAGED}: the head has no NELM, without which it cannot be told what is converged"
    return None


def _tag(text: bytes, name: str) -> str | None:
    """What the head says about a tag of INCAR: the list of all parameters stands below what INCAR has set."""
    if name == "LDAU" and b"LDA+U is selected" in text:
        return "T"
    found = re.findall(rb"(?<![A-Z0-9_])%b *= *([^;\n]*)" % name.encode(), text)
    if not found:
        return None
    value = found[0 if name == "METAGGA" else -1].decode("latin-1")  # its parameter is T or F
    several = name in ("ALGO", "EFOR", "LDAUL", "LDAUU", "LDAUJ")
    return value.strip() if several else " ".join(value.split()[:1])


def _titles(text: bytes, pattern: bytes) -> list[str]:
    """The first words of each title of POTCAR."""
    return [" ".join(title.decode("latin-1").split()) for title in re.findall(pattern, text)]


def _atoms_per_type(text: bytes) -> list[int] | None:
    """Number of atoms of each species.

    The line "ions per type" has room for ten numbers of four digits: 1000 atoms and more touch the number
    before, 10000 are "****". With more species, Fortran prints the rest into the places of a second table
    "Dimension of arrays", whatever these are called.
    """
    match = re.search(rb"ions per type *= {0,12}([ \d*]*)$", text, re.MULTILINE)
    if match is None:
        return None
    total = re.search(rb"NIONS *= *(\d+)", text)
    words, line = match[1].split(), match[1].rstrip()
    if any(len(word) > 4 or b"*" in word for word in words):
        words = [line[at : at + 4].strip() for at in range(0, len(line), 4)]
    counts = [int(word) if word.isdigit() else 0 for word in words]
    if total is None:
        return counts if all(counts) else None
    n_atoms, unknown = int(total[1]), counts.count(0)
    if unknown == 1:
        counts[counts.index(0)] = n_atoms - sum(counts)
    elif unknown == 0 and sum(counts) < n_atoms:
        rest = text[match.end() : text.find(b"equivalent", match.end())]
        for word in re.findall(rb"= *(\d+)", rest):
            counts.append(int(word))
            if sum(counts) >= n_atoms:
                break
    if sum(counts) != n_atoms or unknown > 1:
        raise InputError(
            f"`ions per type` is {b' '.join(words).decode()}, which cannot be "
            f"{count(n_atoms, 'atom')} (NIONS); convert vasprun.xml of this run"
        )
    return counts


def _species(text: bytes, n_types: int, elements: list[str] | None) -> list[str]:
    """One symbol a species: as told, or from titles, orbitals, the list of POTCAR, or masses."""
    if elements is not None:
        if len(elements) != n_types:
            raise InputError(f"--elements names {len(elements)}, but the file has {n_types} species")
        return elements

    def all_lines(pattern: bytes) -> list[str]:
        return [match.decode("ascii", "replace") for match in re.findall(pattern, text)]

    listed = [from_title(title) for title in all_lines(rb"POTCAR: *([^\n]*)")]  # once or twice
    named = agreed(
        {
            "TITEL": [from_title(title) for title in all_lines(rb"TITEL *= *([^\n]*)")],
            "VRHFIN": [from_symbol(name) for name in all_lines(rb"VRHFIN *= *([^\n]*)")],
            "the list of POTCAR": listed[: max(n_types, len(listed) // 2)],
            "the second list of POTCAR": listed[max(n_types, len(listed) // 2) :],
        },
        n_types,
    )
    masses = re.search(rb"POMASS *=([^\n;]*)$", text, re.MULTILINE)  # of all species in one line
    by_mass = [from_mass(mass) for mass in _fixed_masses(masses[1] if masses else b"")]
    for symbols in (named, by_mass):
        if len(symbols) == n_types and None not in symbols:
            return [symbol for symbol in symbols if symbol]
    raise InputError(
        f"the lines that name the elements (TITEL, VRHFIN, POTCAR) are missing; name the {n_types} species "
        "in the order of POTCAR with --elements, e.g. --elements 'Ge Te'"
    )


def _fixed_masses(text: bytes) -> list[float]:
    """Masses with two decimals, which may touch."""
    return [float(word) for word in re.findall(rb"\d+\.\d\d", text)]
