"""Text outputs of quantum programs that ASE reads, run by run: what they are, and what did not converge.

The program is told by a line that each of its runs begins with, not by the name of the file. A file may hold
several runs, as of a restart, or of many structures one after the other; ASE is given them one by one. What a
program says of a calculation that did not converge, ASE passes over in most formats:

==================  ============================================  =======================================
program             a run begins with                             electronic iterations did not converge
==================  ============================================  =======================================
Quantum ESPRESSO    ``Program PWSCF``                             ``convergence NOT achieved``
FHI-aims            ``Invoking FHI-aims``                         ``self-consistency cycle not converged``
Gaussian            ``Entering Gaussian System``                  ``Convergence failure``
ORCA                ``* O   R   C   A *``                         ``SCF NOT CONVERGED``
CASTEP              ``| CCC   AA    SSS  TTTTT  EEEEE  PPPP``     ``has not reached the ground state``
GPAW                ``___ ___ ___ _ _ _``                         ``Did not converge!``
NWChem              ``Northwest Computational Chemistry``         ``Calculation failed to converge``
ABINIT              ``.Version ... of ABINIT``                    ``not enough scf cycles to converge``
==================  ============================================  =======================================

CP2K and SIESTA are known to be told that ASE does not read their logs. References: the outputs and sources of
the programs; :mod:`ase.io`.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from vasp.compressed import open_stream

from bnnp.errors import InputError
from bnnp.io.text import reason_of
from bnnp.messages import count

HEAD = 50_000  # bytes in which the first run begins
UNCONVERGED = "electronic iterations not converged"
CUT_OFF = "not complete"


@dataclass(frozen=True)
class Program:
    """A program and its output.

    Parameters
    ----------
    name : str
    format : str
        ASE's name of it; empty if ASE does not read it.
    start, failure : re.Pattern
        The line that begins a run, and one of a calculation that did not converge.
    advice : str
        What to do where ASE does not read it.
    marked : bool
        Whether a calculation that did not converge has no energy, or no frame, in what ASE reads.
    options : dict
        For ASE's reader.
    """

    name: str
    format: str
    start: re.Pattern[str]
    failure: re.Pattern[str]
    advice: str = ""
    marked: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def _program(
    name: str,
    format_: str,
    start: str,
    failure: str,
    advice: str = "",
    marked: bool = False,
    **options: Any,
) -> Program:
    flags = re.MULTILINE | re.IGNORECASE
    begin, failed = (re.compile(f"^.*(?:{pattern}).*$", flags) for pattern in (start, failure))
    return Program(name, format_, begin, failed, advice, marked, options)


PROGRAMS = (
    _program("Quantum ESPRESSO", "espresso-out", "Program PWSCF", "convergence NOT achieved", marked=True),
    _program(
        "FHI-aims",
        "aims-output",
        "Invoking FHI-aims",
        r"(self-consistency|scf) cycle (did not converge|not converged)",
        non_convergence_ok=True,  # else the whole file is refused for its last step, and for no other
    ),
    _program(
        "Gaussian",
        "gaussian-out",
        "Entering Gaussian System",
        "Convergence failure|Convergence criterion not met",
    ),
    _program("ORCA", "orca-output", r"\* O   R   C   A \*", "SCF NOT CONVERGED|not fully converged"),
    _program(
        "CASTEP",
        "castep-castep",
        r"\| *CCC +AA +SSS +TTTTT +EEEEE +PPPP *\|",
        "system has not reached the ground ?state",
    ),
    _program("GPAW", "gpaw-out", "___ ___ ___ _ _ _", "Did not converge!"),
    _program(
        "NWChem", "nwchem-out", "Northwest Computational Chemistry Package", "Calculation failed to converge"
    ),
    _program("ABINIT", "abinit-out", r"\.Version .* of ABINIT", "not enough scf cycles to converge"),
    _program(
        "CP2K",
        "",
        r"CP2K\| version string",
        "SCF run NOT converged",
        "give its trajectory, PROJECT-pos-1.xyz, with PROJECT-frc-1.xyz beside it",
    ),
    _program(
        "SIESTA",
        "",
        r"Siesta Version|SIESTA *version",
        "SCF_NOT_CONV",
        "write its steps as extended xyz, for example with sisl",
    ),
)


def program_of(path: Path) -> Program | None:
    """The program whose output a file is; None if it is of none of these, is xyz, or cannot be read."""
    try:
        with open_stream(path) as stream:
            head = stream.read(HEAD).decode("latin-1")
    except OSError:
        return None
    if head.partition("\n")[0].strip().isdecimal():  # the comment of a frame may name a program
        return None
    return next((program for program in PROGRAMS if program.start.search(head)), None)


def read_output(path: Path, program: Program, left_out: Counter[str] | None) -> Iterator[tuple[int, Atoms]]:
    """The frames of all runs that can be used, each with its number in the file from 1.

    Parameters
    ----------
    left_out : Counter of str, or None
        Frames that are not used are counted here by their reason; without it all are used.

    Raises
    ------
    InputError
        A run has several frames, and one of them, it is not said which, did not converge; or ASE cannot read
        it.
    """
    if not program.format:
        raise InputError(f"{path} is an output of {program.name}, which ASE does not read; {program.advice}")
    with open_stream(path) as stream:
        text = b"".join(iter(lambda: stream.read(2**20), b"")).decode("latin-1")
    starts = [match.start() for match in program.start.finditer(text)]
    number = 0
    for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
        begin = 0 if start == starts[0] else start
        images = _images(path, program, text[begin:stop], number)
        failed = list(program.failure.finditer(text, begin, stop)) if left_out is not None else []
        flaws = _flaws(images, bool(failed)) if left_out is not None else [""] * len(images)
        if left_out is not None and program.marked:  # frames without anything are not among the images
            left_out += Counter({UNCONVERGED: len(failed) - flaws.count(UNCONVERGED)})
        elif failed and UNCONVERGED not in flaws:
            if len(images) > 1:
                line = text.count("\n", 0, failed[0].start()) + 1
                raise InputError(
                    f"{path} line {line}: `{failed[0][0].strip()[:60]}`: "
                    f"of the {count(len(images), 'frame')} of this run one did not converge, and "
                    f"{program.name} does not say which one ASE has of it; repeat the run with more "
                    "electronic iterations, or cut the file before that step"
                )
            flaws = [UNCONVERGED] * len(images)
        for atoms, flaw in zip(images, flaws, strict=True):
            number += 1
            if flaw and left_out is not None:
                left_out[flaw] += 1
            else:
                yield number, atoms


def _images(path: Path, program: Program, text: str, before: int) -> list[Atoms]:
    """The frames of one run."""
    try:
        with warnings.catch_warnings(), tempfile.NamedTemporaryFile("w", encoding="latin-1") as file:
            warnings.simplefilter("ignore")  # what matters is said here
            file.write(text)
            file.flush()
            frames = ase.io.read(file.name, slice(None), format=program.format, **program.options)
    except Exception as error:  # whatever a reader of ASE stumbles over
        raise InputError(
            f"{path}: ASE cannot read the run of {program.name} that begins after {count(before, 'frame')}: "
            f"{reason_of(error)}; is it complete?"
        ) from error
    return frames if isinstance(frames, list) else [frames]


def _flaws(images: list[Atoms], failed: bool) -> list[str]:
    """Why frames of a run cannot be used, as far as they show it themselves; empty of those that can."""
    results = [getattr(atoms.calc, "results", {}) for atoms in images]
    whole = [np.isfinite(each.get("energy", np.nan)) and each.get("forces") is not None for each in results]
    flaws = [UNCONVERGED if failed and not complete else "" for complete in whole]
    if any(whole) and not (whole[-1] or failed):
        flaws[-1] = CUT_OFF
    return flaws
