"""vasprun.xml of VASP 4.6 to 6.5, streaming, whole steps of broken files included.

::

    <modeling> ... <incar> ... <parameters> ... <atominfo> ...
     <calculation>
      <scstep> ... </scstep>                               one each electronic iteration; the Ewald energy, of
                                                           the structure alone, in the first and the last
      <structure> basis, volume, fractional positions </structure>
      <varray name="forces" > ... <varray name="stress" >  kB, not with ISIF = 0
      <energy> e_fr_energy, e_wo_entrp, e_0_energy </energy>
      eigenvalues, densities of states, other electronic loops
     </calculation>

Nesting decides what counts: the labels of a step are those outside of its `<scstep>`, some of which may come
after the forces (linear response). A step that is not closed is whole if it has all of its labels.
It has converged if it has fewer iterations than NELM and the last two energies differ by less than EDIFF.
Predictions of a machine-learned force field stand outside of any `<calculation>`, or have no `<scstep>`.

No XML parser is used: a step is cut out by its tags, so that a file that ends anywhere, or has characters in
it that are no XML, gives its whole steps, at several times the speed of a parser. VASP writes each tag one
way.

Text of another step or run that was inserted shows in what ties a step together (`_ties`): the Ewald energies
of the first and the last electronic iteration are equal, and the final energy is that of the last iteration.
A tie that other steps of the file have must be there. Behind such a piece is the rest of the step that it was
inserted into, whose numbers tell where that began; until then steps are held back (`Backlog`). Less is seen
with a van der Waals correction, of which the iterations have nothing.

Three traps: NELM is 1 in the section "response functions" of the parameters. The final e_0_energy is wrong in
VASP 4 and 5, so sigma->0 is the free energy plus the last electronic iteration's difference of the two; the
last iteration itself lacks the van der Waals energy. With PSTRESS the final e_fr_energy is the enthalpy.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from bnnp._core import find_words
from bnnp.errors import InputError
from bnnp.messages import count
from vasp.backlog import Backlog
from vasp.method import Species, excluded, integer, method_word, real
from vasp.species import agreed, from_symbol, from_title
from vasp.step import (
    CUT_OFF,
    DAMAGED,
    MACHINE_LEARNED,
    MISSING,
    NO_ENERGY,
    NO_FORCES,
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
from vasp.window import Readable, Window

BEGIN, END = b"<calculation>", b"</calculation>"
STRUCTURE = b"<structure>"
NAMES = (b"basis", b"positions", b"forces", b"stress", b"rec_basis")
VARRAYS = {name: b'<varray name="%b"' % name for name in NAMES}
TAGS = (
    *(b"<scstep>", b"</scstep>", b"<structure", b"</structure>", b"<crystal>", b"</crystal>"),
    *(*VARRAYS.values(), b"<varray", b"</varray>", b"<energy>", b"</energy>", b'<i name="ewald">'),
    b'<i name="volume">',
)
LETTERS = b"sStTcCbpfxrvVeEwu".ljust(256)  # of each tag; one with a name is followed by that of any <varray>
LOOP = re.compile(rb"s(?:ew?E|vV)*S")
STEP = re.compile(
    rb"(?P<loops>(?:LOOP)*)(?P<structure>tc(?:r?vV|u)*bvV(?:r?vV|u)*C(?:vV)*pvV(?:vV)*T)(?P<forces>fvV)"
    rb"(?:vV|LOOP)*(?P<stress>xvV)?(?:vV|LOOP)*(?P<energy>eE)(?:vV|LOOP)*".replace(b"LOOP", LOOP.pattern)
)
TABLES = (b"eigenvalues", b"dos", b"projected", b"dielectricfunction")  # may be larger than memory
FREE = re.compile(rb'<i name="e_fr_energy"> *(-?\d*\.\d{8}) *</i>')
NUMBER = re.compile(rb" *(-?\d*\.\d{8}) *")
ITERATION = re.compile(  # ends with three numbers of one width
    rb'<i name="e_fr_energy">([^<]*)</i>\s*<i name="e_wo_entrp">[^<]*</i>\s*<i name="e_0_energy">([^<]*)</i>'
    rb"\s*</energy>"
)
ENERGIES = re.compile(rb'<i name="(ewald|e_fr_energy)"> *(-?\d*\.\d{8}) *</i>')
EWALD = re.compile(rb'<i name="ewald"> *(-?\d*\.\d{8}) *</i>')
VOLUME = re.compile(rb'<i name="volume">([^<]*)</i>')
RESPONSE = re.compile(rb'<separator name="response functions" *>.*?</separator>', re.DOTALL)  # its NELM is 1
ASYMMETRY = 1.0  # kB; files of VASP have up to 0.013
DAMAGED_HEAD = "the head of the file is damaged"
KILOBAR_VOLUME = 1602.17733  # kB Angstrom^3 in one eV, with the constants of VASP
INSERTED = f"{DAMAGED}: parts of two steps in one; did two programs write into this file?"
NESTED = f"{DAMAGED}: tags that are not nested; did two programs write into this file?"


@dataclass(frozen=True)
class Header:
    """What the head of the file says about all of its steps."""

    symbols: list[str]
    nelm: int
    isif: int
    pstress: float
    ediff: float  # 0 if it is not told
    excluded: str | None  # why no step is self-consistent DFT
    method: str
    valences: tuple[float, ...] = ()


def read_vasprun(stream: Readable, elements: list[str] | None = None) -> Iterator[Draft]:
    """Go through the ionic steps of a vasprun.xml.

    Parameters
    ----------
    stream : Readable
        Unpacked bytes.
    elements : list of str, optional
        One a species, in the order of POTCAR, instead of those of the file.

    Raises
    ------
    InputError
        The file does not say what its atoms are.
    """
    run, window = _Run(elements), Window(stream)
    while (end := window.find(END, condense=run.condense)) >= 0:
        run.pass_over(window.take(end), closed=True)
        window.take(len(END))
        yield from run.backlog.released()
    run.pass_over(window.held(), closed=False)
    yield from run.backlog.released(0)
    if run.header is None:
        raise InputError("the file ends before VASP has said which atoms there are")
    if run.header.excluded and not run.n_steps:
        yield flawed(run.header.excluded)


@dataclass
class _Run:
    """State between steps: the header in force, and predictions that are passed but not yet told."""

    elements: list[str] | None
    header: Header | None = None
    predicted: int = 0
    n_steps: int = 0
    begin: int = 1  # number of the first step under this header
    ties: frozenset[str] = frozenset()  # that its steps have
    damaged: frozenset[bytes] = frozenset()  # energies of damaged steps
    backlog: Backlog = field(default_factory=Backlog)

    def condense(self, text: bytes) -> bytes:
        """What is needed of the text before the end of a step: no large tables, the last of predictions."""
        last = text.rfind(STRUCTURE)
        if BEGIN in text or last <= 0:
            return _without_tables(text)
        self._read_header(text[:last])
        self.predicted += text.count(STRUCTURE, 0, last)
        return text[last:]

    def pass_over(self, text: bytes, closed: bool) -> None:
        """The predictions and the step of the text that ends with the step, `closed` if by its tag."""
        before, *bodies = text.split(BEGIN)
        self._read_header(before)
        if closed and not bodies:  # the rest of a step
            self._spoil(before)
            return
        predicted, self.predicted = self.predicted + before.count(STRUCTURE), 0
        if not bodies and not predicted:
            return
        if self.header is None:
            raise InputError("the list of atoms (<atominfo>) is missing before the first step")
        for _ in range(predicted):
            self._hold(flawed(MACHINE_LEARNED))
        self.n_steps += predicted
        *torn, whole = bodies or [b""]
        for body in torn:
            again = b"<modeling" in body  # another run was started into the same file
            self._step(body, CUT_OFF if again else NESTED)
            self._read_header(body)
        if bodies:
            self._step(whole, NESTED if torn and not again else None, closed)

    def _step(self, text: bytes, flaw: str | None, closed: bool = False) -> None:
        """A step, which has a flaw that is known or may have others."""
        assert self.header is not None
        self.n_steps += 1
        draft, body = (flawed(flaw), None) if flaw else _draft(self.header, text, closed)
        if body is not None and (flaw := self._untied(_ties(self.header, body), body)):
            draft, body = flawed(flaw), None
        if body is not None:
            self._hold(draft, body.marks, len(body.structure) + len(body.forces))
            return
        if draft.flaw != MACHINE_LEARNED and draft.flaw != self.header.excluded:
            self._spoil(text)
        marks = tuple(value for _, value in ENERGIES.findall(text))
        self.damaged |= set(marks)
        self._hold(draft, marks)

    def _untied(self, ties: frozenset[str], body: _Body) -> str | None:
        """What is wrong with a step beside others that have other ties, or parts of it."""
        if not ties <= self.ties:
            self.backlog.spoil(self.begin, INSERTED)  # those steps lack what this one has
            self.ties |= ties
        missing = self.ties - ties - (set() if body.electronic else {"energy"})
        if missing:
            return MISSING if "stress" in missing else INSERTED
        return None if self.damaged.isdisjoint(body.marks) else INSERTED

    def _hold(self, draft: Draft, marks: tuple[bytes, ...] = (), size: int = 0) -> None:
        self.backlog.add(draft, self.n_steps, size, marks)

    def _spoil(self, rest: bytes) -> None:
        """Leave out what was inserted into the step that this text ends, and the beginning of that step."""
        begin = self.backlog.first({*dict(ENERGIES.findall(rest)).values()})
        if begin is not None:
            self.backlog.spoil(begin, INSERTED)

    def _read_header(self, text: bytes) -> None:
        """Another header, if the text has one."""
        if header := _read_header(text, self.elements):
            self.header, self.begin = header, self.n_steps + 1
            self.ties, self.damaged = frozenset(), frozenset()


def _without_tables(text: bytes) -> bytes:
    """The text without the contents of large tables; the last one may go on."""
    for name in TABLES:
        at = 0
        while (begin := text.find(b"<%b>" % name, at)) >= 0:
            at = begin + len(name) + 2
            end = text.find(b"</%b>" % name, at)
            text = text[:at] + text[end if end >= 0 else max(at, len(text) - 100) :]
    return text


class _Body(NamedTuple):
    """What is between the tags of a step."""

    n_iterations: int
    former: bytes  # the free energy of the last electronic iteration but one
    structure: bytes
    forces: bytes
    stress: bytes
    energy: bytes
    enthalpy: bytes  # the number; empty if it has not all its digits
    electronic: bytes  # the free energy of the last electronic iteration
    sigma0: bytes  # and that without smearing
    ewald: bytes

    @property
    def marks(self) -> tuple[bytes, ...]:
        """Numbers that tell the step from others."""
        return self.enthalpy, self.ewald


def _draft(header: Header, text: bytes, closed: bool) -> tuple[Draft, _Body | None]:
    """The step between its tags, and its parts if it is good; the last one of a file may not be closed."""
    places, numbers = find_words(text, TAGS)
    skeleton = numbers.translate(LETTERS)
    match = STEP.match(skeleton)
    if match is None or (closed and match.end() < len(skeleton)):
        return flawed(header.excluded or (_flaw(skeleton) if closed else CUT_OFF)), None
    if header.excluded:
        return flawed(header.excluded), None
    try:
        body = _cut(text, places, match)
    except UnreadableStep as error:
        return flawed(str(error)), None
    if not body.n_iterations:
        return flawed(MACHINE_LEARNED), None
    if not body.enthalpy:
        at = body.energy.find(b"e_fr_energy")
        return flawed(reason_of(body.energy[at : body.energy.find(b"</i>", at)])), None
    if body.n_iterations > header.nelm or (not body.electronic and body.former):
        return flawed(INSERTED), None
    converged = body.n_iterations < header.nelm and _has_settled(header.ediff, body)
    return Draft(None if converged else UNCONVERGED, partial(_read, header, body)), body


def _has_settled(ediff: float, body: _Body) -> bool:
    """Whether the last two electronic iterations, printed to 1e-8 eV, differ by less than EDIFF.

    VASP makes no fewer than two (NELMIN).
    """
    if body.n_iterations < 2:
        return False
    if not (ediff and body.former and body.electronic):
        return True
    return abs(float(body.electronic) - float(body.former)) < 1.001 * ediff + 2e-8


def _flaw(skeleton: bytes) -> str:
    """Why the tags of a step are not those of `STEP`."""
    if b"t" not in skeleton or b"f" not in skeleton:
        return NO_FORCES
    return NESTED if b"e" in LOOP.sub(b"", skeleton) else NO_ENERGY


def _cut(text: bytes, places: list[int], match: re.Match[bytes]) -> _Body:
    """The parts of a step; `places` are those of its tags, which `match` tells apart."""

    def part(name: str) -> bytes:
        first, end = match.span(name)
        return text[places[first] : places[end - 1] + len(b"</varray>")] if first >= 0 else b""

    loops = match["loops"]
    begin = loops.rfind(b"s")
    last = text[places[begin] : places[match.start("structure")]] if loops else b""
    former = text[places[loops.rindex(b"s", 0, begin)] : places[begin]] if loops.count(b"s") > 1 else b""
    structure, forces, stress, energy = map(part, ("structure", "forces", "stress", "energy"))
    if energy.count(b"e_fr_energy") > 1:
        raise UnreadableStep(INSERTED)
    ends = _last(FREE, energy), *_energies(last), _ewald(text, places, loops)
    return _Body(loops.count(b"s"), _energies(former)[0], structure, forces, stress, energy, *ends)


def _energies(iteration: bytes) -> tuple[bytes, bytes]:
    """The free energy of an electronic iteration and that without smearing.

    Each is empty if it has not all its digits, the second also if it is not as wide as the first one.
    UnreadableStep if more or less than the three energies is there.
    """
    fields = ITERATION.findall(iteration)
    if len(fields) != 1 or iteration.count(b"e_fr_energy") != 1:
        if b"e_fr_energy" in iteration or b"e_0_energy" in iteration:
            raise UnreadableStep(INSERTED)
        return b"", b""
    free, sigma0 = (NUMBER.fullmatch(word) for word in fields[0])
    even = free and sigma0 and len(free[0]) == len(sigma0[0])
    return free[1] if free else b"", sigma0[1] if even and sigma0 else b""


def _ties(header: Header, body: _Body) -> frozenset[str]:
    """What of a step is there and as it must be in a whole one."""
    found = ["stress"] * (header.isif > 1 and bool(body.stress)) + ["ewald"] * bool(body.ewald)
    if body.electronic:
        gap = 0.0 if body.enthalpy == body.electronic else float(body.enthalpy) - float(body.electronic)
        if min(abs(gap), abs(gap - _work(header.pstress, body.structure))) < 1e-6:
            found.append("energy")
    return frozenset(found)


def _ewald(text: bytes, places: list[int], loops: bytes) -> bytes:
    """The Ewald energy of the first and the last electronic iteration; empty if one of them has none.

    UnreadableStep if they have not the same.
    """
    begin, end = loops.find(b"w"), loops.rfind(b"w")
    number = loops.count(b"w")
    framed = 0 <= begin < loops.find(b"S") and end > loops.rfind(b"s")
    if not framed or number not in (1, 2, loops.count(b"s")):
        return b""
    first, last = (EWALD.match(text, places[at]) for at in (begin, end))
    if first and last and first[1] != last[1]:
        raise UnreadableStep(INSERTED)
    return first[1] if first and last else b""


def _work(pstress: float, structure: bytes) -> float:
    """P V in eV by the volume that is printed with the cell; 0 if none is."""
    volume = VOLUME.search(structure) if pstress else None
    with suppress(ValueError):
        return pstress * float(volume[1]) / KILOBAR_VOLUME if volume else 0.0
    return 0.0


def _read(header: Header, body: _Body) -> Step:
    cell, volume = _rows(body.structure, b"basis"), VOLUME.search(body.structure)
    if cell.shape != (3, 3):
        raise UnreadableStep(TORN)
    if volume and not has_volume(cell, volume[1], 0.001):
        raise UnreadableStep(OTHER_VOLUME)
    free, sigma0 = float(body.enthalpy), body.sigma0
    if header.pstress:
        free = _without_work(free, body.electronic, header.pstress, cell)
    return Step(
        symbols=header.symbols,
        cell=cell,
        positions=_rows(body.structure, b"positions") @ cell,
        free_energy=free,
        sigma0_energy=free + float(sigma0) - float(body.electronic) if sigma0 and body.electronic else None,
        forces=_rows(body.forces, b"forces"),
        stress=_stress(body.stress) if header.isif > 1 else None,
        method=header.method,
        valences=header.valences,
    )


def _without_work(enthalpy: float, electronic: bytes, pstress: float, cell: Array) -> float:
    """The free energy: with PSTRESS (kB) the final energy of a step is the enthalpy, with P V.

    It is not if it is equal to that of the last electronic iteration.
    """
    if not electronic:
        raise UnreadableStep(UNREADABLE)
    work = pstress * abs(np.linalg.det(cell)) / KILOBAR_VOLUME
    return enthalpy if abs(enthalpy - float(electronic)) < 1e-6 else enthalpy - work


def _last(pattern: re.Pattern[bytes], text: bytes) -> bytes:
    """The last number of its kind; empty if there is none with all its digits."""
    found = pattern.findall(text)
    return found[-1] if found else b""


def _rows(text: bytes, name: bytes) -> Array:
    """The rows ``<v> x y z </v>`` of ``<varray name="..." >``, all with the same number of decimals."""
    at = text.find(VARRAYS[name])
    begin, end = text.find(b"\n", at) + 1, text.find(b"</varray>", at)
    if at < 0 or end < 0:
        raise UnreadableStep(TORN)
    return rows_of(text[begin : text.rfind(b"\n", begin, end)], 3, b"<v>", b"</v>", aligned=True)


def _stress(labels: bytes) -> Array | None:
    """ASE's stress from the tensor in kB; None if there is none. UnreadableStep if it is not symmetric."""
    try:
        (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = _rows(labels, b"stress").tolist()
    except (UnreadableStep, ValueError):
        return None
    if max(abs(xy - yx), abs(xz - zx), abs(yz - zy)) > ASYMMETRY:
        raise UnreadableStep(TORN)  # rows of two steps
    return stress_from_kilobar(xx, yy, zz, yz, xz, xy)


def _read_header(text: bytes, elements: list[str] | None) -> Header | None:
    """Atoms and settings; None if `text` is no head of a file."""
    begin, end = text.rfind(b"<atominfo>"), text.rfind(b"</atominfo>")
    if not 0 <= begin < end:
        return None
    head = text[max(text.rfind(b"<modeling", 0, begin), 0) : begin]
    tag = partial(_tag, head)
    flaw = _flaw_of_head(head)
    symbols, species = _symbols(text[begin:end], elements)
    mesh = re.search(rb'name="divisions">\s*(\d+)\s+(\d+)\s+(\d+)', head)
    try:
        cell = _rows(text[end:], b"basis")
    except UnreadableStep:
        cell = None
    return Header(
        symbols=symbols,
        nelm=integer(tag, "NELM", 0),
        isif=integer(tag, "ISIF", 2),
        pstress=real(tag, "PSTRESS", 0.0),
        ediff=abs(real(tag, "EDIFF", 0.0)),
        excluded=flaw or excluded(tag),
        method=method_word(tag, species, [int(n) for n in mesh.groups()] if mesh else None, cell),
        valences=species.electrons,
    )


def _flaw_of_head(head: bytes) -> str | None:
    """What a head lacks or states twice, so that it may be of two runs."""
    if not head.startswith(b"<modeling"):
        return f"{DAMAGED_HEAD}: a list of atoms without the settings of its run"
    parameters = RESPONSE.sub(b"", head[max(head.find(b"<parameters>"), 0) :])
    for name in (b"NELM", b"ISIF", b"PSTRESS"):
        values = sorted(set(re.findall(rb'name="%b">([^<]*)<' % name, parameters)))
        if len(values) > 1:
            both = " and ".join(value.decode("latin-1").strip() for value in values)
            return f"{DAMAGED_HEAD}: it states {name.decode()} twice, {both}"
    if _tag(parameters, "NELM") is None:
        return f"{DAMAGED_HEAD}: it has no NELM, without which it cannot be told what is converged"
    return None


def _tag(head: bytes, name: str) -> str | None:
    """What the head says about a tag of INCAR, as it was set or, below that, in effect."""
    name = "ENMAX" if name == "ENCUT" else name  # in effect
    found = re.search(rb'<([iv])\b[^<>]* name="%b"[^<>]*>([^<]*)</\1>' % name.encode(), head)
    return found[2].decode("latin-1").strip() if found else None


def _symbols(atominfo: bytes, elements: list[str] | None) -> tuple[list[str], Species]:
    """One symbol an atom, from the arrays "atoms" (element, type) and "atomtypes" (..., title of POTCAR)."""
    atoms, _, types = atominfo.partition(b'name="atomtypes"')
    of_atom = [_cells(row) for row in re.findall(rb"<rc>(.*?)</rc>", atoms, re.DOTALL)]
    of_type = [_cells(row) for row in re.findall(rb"<rc>(.*?)</rc>", types, re.DOTALL)]
    if elements is not None and len(elements) != len(of_type):
        raise InputError(f"--elements names {len(elements)}, but the file has {len(of_type)} species")
    try:
        kinds = [int(row[1]) - 1 for row in of_atom]
        counts = [kinds.count(kind) for kind in range(len(of_type))]
        names: Sequence[str | None]
        names = elements or agreed(
            {
                "<atomtypes>": [from_symbol(row[1]) for row in of_type],
                "the titles of <atomtypes>": [from_title(row[-1]) for row in of_type],
                "<atoms>": [_of_kind(of_atom, kind) for kind in range(1, len(of_type) + 1)],
            },
            len(of_type),
        )
        symbols = [names[kind] for kind in kinds] if names else [from_symbol(row[0]) for row in of_atom]
    except (ValueError, IndexError):
        raise InputError("the list of atoms (<atominfo>) cannot be read") from None
    total = re.search(rb"<atoms> *(\d+)", atominfo)
    told = [row[0] for row in of_type]
    if any("*" not in word and word != str(n) for word, n in zip(told, counts, strict=True)):
        raise InputError(
            f"{DAMAGED_HEAD}: <atomtypes> has {' '.join(told)} atoms of the species, but the list of atoms "
            f"{' '.join(map(str, counts))}"
        )
    if total and int(total[1]) != len(kinds):
        raise InputError(
            f"{DAMAGED_HEAD}: <atoms> says {count(int(total[1]), 'atom')}, but {len(kinds)} are listed"
        )
    if not symbols or None in symbols or min(kinds) < 0:
        raise InputError(
            f"the elements {sorted({row[0] for row in of_atom})} are no chemical symbols; name the species "
            "in the order of POTCAR with --elements, e.g. --elements 'Ge Te'"
        )
    titles = [" ".join(row[-1].split()) for row in of_type]
    species = Species([name or "" for name in names], titles, counts, _valences(of_type))
    return [symbol for symbol in symbols if symbol], species


def _valences(of_type: list[list[str]]) -> list[float]:
    """ZVAL of each species; none where the table has no such column."""
    try:
        return [float(row[3]) for row in of_type]
    except (ValueError, IndexError):
        return []


def _of_kind(of_atom: list[list[str]], kind: int) -> str | None:
    """The element of the atoms of a type, from 1; InputError if they differ."""
    found = sorted({row[0] for row in of_atom if int(row[1]) == kind})
    if len(found) > 1:
        raise InputError(f"{DAMAGED_HEAD}: the atoms of type {kind} are {' and '.join(found)} in <atominfo>")
    return from_symbol(found[0]) if found else None


def _cells(row: bytes) -> list[str]:
    """The texts of a row of cells."""
    return [
        html.unescape(text.decode("latin-1")).strip() for text in re.findall(rb"<c>(.*?)</c>", row, re.DOTALL)
    ]
