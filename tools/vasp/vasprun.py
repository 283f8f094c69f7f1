"""vasprun.xml of VASP 4.6 to 6.5, streaming, whole steps of broken files included.

::

    <modeling> ... <atominfo> ... <parameters> ...
     <calculation>
      <scstep> ... </scstep>                               one each electronic iteration
      <structure> basis, fractional positions </structure>
      <varray name="forces" > ... <varray name="stress" >  kB, not with ISIF = 0
      <energy> e_fr_energy, e_wo_entrp, e_0_energy </energy>
      eigenvalues, densities of states, other electronic loops
     </calculation>

A step is whole at the first `</energy>` after its `<structure>`; all behind it is passed over. Predictions of
a machine-learned force field stand outside of any `<calculation>`, or have no `<scstep>`.

No XML parser is used: a step is cut out by its tags, so that a file that ends anywhere, or has characters in
it that are no XML, gives its whole steps, at a few times the speed of a parser. VASP writes each tag one way.

Three traps: NELM is 1 in the section "response functions" of the parameters. The final e_0_energy is wrong in
VASP 4 and 5, so sigma->0 is the free energy plus the last electronic iteration's difference of the two; the
last iteration itself lacks the van der Waals energy. With PSTRESS the final e_fr_energy is the enthalpy.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from bnnp.errors import InputError
from vasp.species import from_symbol, from_title
from vasp.step import (
    CUT_OFF,
    MACHINE_LEARNED,
    NOT_WRITTEN,
    UNCONVERGED,
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

STRUCTURE, END = b"<structure>", b"</energy>"
FREE = re.compile(rb'<i name="e_fr_energy">([^<]*)</i>')
SIGMA0 = re.compile(rb'<i name="e_0_energy">([^<]*)</i>')
NELM_DEFAULT = 60
KILOBAR_VOLUME = 1602.17733  # kB Angstrom^3 in one eV, with the constants of VASP


@dataclass(frozen=True)
class Header:
    """What the head of the file says about all of its steps."""

    symbols: list[str]
    nelm: int
    isif: int
    pstress: float


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
    window, header = Window(stream), None
    while (begin := window.find(STRUCTURE, forget=_head_of_step)) >= 0:
        before = window.take(begin)
        header = _read_header(before, elements) or header
        if header is None:
            raise InputError("the list of atoms (<atominfo>) is missing before the first step")
        if (end := window.find(END)) < 0:
            break
        body = window.hold(end)
        restart = max(body.find(b"<calculation>"), body.find(b"<modeling"))
        if restart >= 0:  # another run was started into the same file
            window.take(restart)
            yield flawed(CUT_OFF)
            continue
        window.take(end + len(END))
        yield _draft(header, before, body)
    rest = window.held()
    if header is None and _read_header(rest, elements) is None:
        raise InputError("the file ends before VASP has said which atoms there are")
    if b"<calculation>" in rest or rest.startswith(STRUCTURE):
        yield flawed(CUT_OFF)


def _head_of_step(text: bytes) -> int:
    """What of the text between two steps can be forgotten: all before the next step or run begins."""
    starts = [at for marker in (b"<modeling", b"<calculation>") if (at := text.rfind(marker)) >= 0]
    return min(starts, default=len(text) - len(STRUCTURE))


def _draft(header: Header, before: bytes, body: bytes) -> Draft:
    """The step with the electronic iterations `before` and the labels `body`."""
    start = before.rfind(b"<calculation>")
    loop = before[start:] if start >= 0 else b""
    iterations = loop.count(b"<scstep>")
    if not iterations:
        return flawed(MACHINE_LEARNED)
    if b'name="forces"' not in body or b'name="positions"' not in body:
        return flawed(NOT_WRITTEN)
    flaw = UNCONVERGED if iterations >= header.nelm else None
    last = loop[loop.rfind(b"<scstep>") :]
    return Draft(flaw, partial(_read, header, last, body))


def _read(header: Header, last: bytes, body: bytes) -> Step:
    cell = table(_rows(body, b"basis"), 3)
    if cell.shape != (3, 3):
        raise UnreadableStep("the cell has not three vectors")
    free = _without_work(_energy(FREE, body), _energy(FREE, last), header.pstress, cell)
    return Step(
        symbols=header.symbols,
        cell=cell,
        positions=table(_rows(body, b"positions"), 3) @ cell,
        free_energy=free,
        sigma0_energy=free + _energy(SIGMA0, last) - _energy(FREE, last),
        forces=table(_rows(body, b"forces"), 3),
        stress=_stress(body) if header.isif > 1 else None,
    )


def _without_work(enthalpy: float, electronic: float, pstress: float, cell: Array) -> float:
    """The free energy: with PSTRESS (kB) the final energy of a step is the enthalpy, with P V.

    It is not if it is equal to that of the last electronic iteration.
    """
    work = pstress * abs(np.linalg.det(cell)) / KILOBAR_VOLUME
    return enthalpy if abs(enthalpy - electronic) < 1e-6 else enthalpy - work


def _energy(pattern: re.Pattern[bytes], text: bytes) -> float:
    found = pattern.findall(text)
    if not found:
        raise UnreadableStep("no energy")
    return float(numbers(found[-1:])[0])


def _rows(body: bytes, name: bytes) -> Array:
    """All numbers of ``<varray name="..." >``."""
    at = body.find(b'<varray name="%b"' % name)
    begin, end = body.find(b">", at) + 1, body.find(b"</varray>", at)
    if at < 0 or end < 0:
        raise UnreadableStep(f"no {name.decode()}")
    return numbers(body[begin:end].translate(None, b"</v>").split())  # rows are <v> x y z </v>


def _stress(body: bytes) -> Array | None:
    """ASE's stress from the symmetric tensor in kB; None if there is none."""
    try:
        (xx, xy, xz), (_, yy, yz), (_, _, zz) = table(_rows(body, b"stress"), 3)
    except (UnreadableStep, ValueError):
        return None
    return stress_from_kilobar(xx, yy, zz, yz, xz, xy)


def _read_header(text: bytes, elements: list[str] | None) -> Header | None:
    """Atoms, NELM and ISIF; None if `text` is no head of a file."""
    begin, end = text.rfind(b"<atominfo>"), text.rfind(b"</atominfo>")
    if not 0 <= begin < end:
        return None
    head = text[max(text.rfind(b"<modeling", 0, begin), 0) : begin]
    nelm = re.search(rb'name="NELM">\s*(\d+)', head)
    isif = re.search(rb'name="ISIF">\s*(\d+)', head)
    pstress = re.search(rb'name="PSTRESS">\s*(-?[\d.]+)', head)
    return Header(
        symbols=_symbols(text[begin:end], elements),
        nelm=int(nelm[1]) if nelm else NELM_DEFAULT,
        isif=int(isif[1]) if isif else 2,
        pstress=float(pstress[1]) if pstress else 0.0,
    )


def _symbols(atominfo: bytes, elements: list[str] | None) -> list[str]:
    """One symbol an atom, from the arrays "atoms" (element, type) and "atomtypes" (..., title of POTCAR)."""
    atoms, _, types = atominfo.partition(b'name="atomtypes"')
    of_atom = [_cells(row) for row in re.findall(rb"<rc>(.*?)</rc>", atoms, re.DOTALL)]
    of_type = [_cells(row) for row in re.findall(rb"<rc>(.*?)</rc>", types, re.DOTALL)]
    try:
        kinds = [int(row[1]) - 1 for row in of_atom]
        names = [from_symbol(row[1]) or from_title(row[-1]) for row in of_type]
        if elements is not None:
            if len(elements) != len(of_type):
                raise InputError(f"--elements names {len(elements)}, but the file has {len(of_type)} species")
            return [elements[kind] for kind in kinds]
        symbols = [names[kind] for kind in kinds] if names else [from_symbol(row[0]) for row in of_atom]
    except (ValueError, IndexError):
        raise InputError("the list of atoms (<atominfo>) cannot be read") from None
    if not symbols or None in symbols:
        raise InputError(
            f"the elements {sorted({row[0] for row in of_atom})} are no chemical symbols; name the species "
            "in the order of POTCAR with --elements, e.g. --elements 'Ge Te'"
        )
    return [symbol for symbol in symbols if symbol]


def _cells(row: bytes) -> list[str]:
    """The texts of a row of cells."""
    return [
        html.unescape(text.decode("latin-1")).strip() for text in re.findall(rb"<c>(.*?)</c>", row, re.DOTALL)
    ]
