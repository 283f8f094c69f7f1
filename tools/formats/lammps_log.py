"""The thermo tables of a log of LAMMPS: PotEng of each step, and what the log says of its meaning.

Several runs in one log may count the same steps, so a step may have several energies. Commands are echoed
into the log: ``units``, and ``thermo_modify norm``, with which PotEng is that of one atom (`units lj` does so
by default).

Tables are read in the forms one, multi and yaml of ``thermo_modify line``::

    Step  PotEng            keywords: ['Step', 'PotEng', ]       --- Step     0 ----- CPU =  0.1 (sec) ---
       0  -7.25             data:                                TotEng   =  -7.25    KinEng   =   0.0
                              - [0, -7.25, ]                     PotEng   =  -7.25    E_bond   =   0.0

Reference: LAMMPS manual, `thermo_style`, `thermo_modify`, "Output structured data from LAMMPS".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from bnnp.errors import InputError
from bnnp.messages import count

PRESSURE = re.compile("press|p(xx|yy|zz|xy|xz|yz)", re.IGNORECASE)
YAML_HEAD, YAML_ROW = re.compile(r"keywords: *\[(.*)\]\s*"), re.compile(r"\s*- \[(.*)\]\s*")
MULTI_STEP = re.compile(r"-+ +Step +(\d+) +-+ +CPU = .*-\s*")
MULTI_VALUE = re.compile(r"(\S+) += +(\S+)")
SAME = 1e-6  # relative difference of a step that ends one run and begins the next


@dataclass
class _Table:
    """One thermo table: energies by step, and the atoms of the run; None until its end is read."""

    line: int
    per_atom: bool
    energies: dict[int, float] = field(default_factory=dict)
    n_atoms: int | None = None

    def add(self, step: str, energy: str, path: Path, line: int) -> None:
        """A row; one whose step is no number belongs to something else."""
        if not step.isdecimal():
            return
        try:
            value = float(energy)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{path} line {line}: PotEng of step {step} is `{energy}`, expected a number")
        if self.energies.setdefault(int(step), value) != value:
            raise InputError(
                f"{path} line {line}: step {step} has another PotEng, {value:.8g}, than before in this "
                "table; give a log with the run of the dump only"
            )


@dataclass
class ThermoLog:
    """The tables of a log, in the units of LAMMPS that it states; None if it states none."""

    path: Path
    units: str | None
    tables: list[_Table]
    pressures: list[str] = field(default_factory=list)  # columns of pressures, in which the motion counts

    def energy(self, step: int, n_atoms: int, needed: bool) -> float | None:
        """PotEng of a frame of `n_atoms` atoms; None if no table has the step and it is not `needed`.

        Raises
        ------
        InputError
            There is none, there are several, or it is not that of all atoms of the frame.
        """
        found = [table for table in self.tables if step in table.energies]
        if not found:
            if needed:
                raise InputError(
                    f"{self.path}: no thermo table has step {step}, and the dump has no column of energies "
                    "per atom (compute pe/atom); write thermo output at the steps of the dump"
                )
            return None
        first = found[0]
        value = first.energies[step]
        for other in found[1:]:
            if abs(other.energies[step] - value) > SAME * abs(value):
                raise InputError(
                    f"{self.path}: step {step} has two different PotEng, {value:.8g} in the table of line "
                    f"{first.line} and {other.energies[step]:.8g} in that of line {other.line}; give a log "
                    "with the run of the dump only"
                )
        if first.per_atom:
            raise InputError(
                f"{self.path} line {first.line}: PotEng is that of one atom (thermo_modify norm yes), "
                "expected the total; use `norm no`, or dump a column of compute pe/atom"
            )
        if first.n_atoms not in (None, n_atoms):
            raise InputError(
                f"{self.path} line {first.line}: a run of {count(first.n_atoms, 'atom')}, but the dump has "
                f"{n_atoms} at step {step}; dump all atoms, or a column of compute pe/atom"
            )
        return value


def read_log(file: TextIO, path: Path) -> ThermoLog:
    """All thermo tables of a log with Step and PotEng.

    Raises
    ------
    InputError
        There is none, or the log states several units.
    """
    tables, units, pressures = list[_Table](), set[str](), dict[str, None]()
    columns: list[str] = []
    per_atom, step, headings = False, "", dict[str, None]()
    for number, line in _whole_lines(file):
        words = _words(line)
        if multi := MULTI_STEP.fullmatch(line):
            if not step:
                tables.append(_Table(number, per_atom))
            step, columns = multi[1], []
        elif step and (values := dict(MULTI_VALUE.findall(line))):
            pressures |= dict.fromkeys(name for name in values if PRESSURE.fullmatch(name))
            if "PotEng" in values:
                tables[-1].add(step, values["PotEng"], path, number)
        elif "Step" in words[:-1]:
            columns, step, headings = [], "", {" ".join(words): None, **headings}
            if "PotEng" in words:
                columns = words
                pressures |= dict.fromkeys(word for word in words if PRESSURE.fullmatch(word))
                tables.append(_Table(number, per_atom))
        elif words[:2] == ["Loop", "time"]:
            if (columns or step) and words[-1] == "atoms" and words[-2].isdigit():
                tables[-1].n_atoms = int(words[-2])
            columns, step = [], ""
        elif columns and len(words) == len(columns):
            values = dict(zip(columns, words, strict=True))
            tables[-1].add(values["Step"], values["PotEng"], path, number)
        elif words[0] == "units" and len(words) == 2 and words[1].isalpha():
            units.add(words[1])
            per_atom = words[1] == "lj"
        elif words[0] == "thermo_modify" and "norm" in words[:-1]:
            setting = words[words.index("norm") + 1]
            per_atom = {"yes": True, "no": False}.get(setting, per_atom)
        elif words[0] == "thermo_style":  # sets thermo_modify back
            per_atom = "lj" in units
    if not any(table.energies for table in tables):
        found = f"; the last one has {next(iter(headings))}" if headings else ""
        raise InputError(
            f"{path}: no thermo table with Step and PotEng (`thermo_style custom step pe`){found}"
        )
    if len(units) > 1:
        raise InputError(f"{path}: several units, {', '.join(sorted(units))}; give the log of one run")
    return ThermoLog(path, next(iter(units), None), tables, list(pressures))


def _whole_lines(file: TextIO) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank; a last one without its end may be cut off."""
    for number, line in enumerate(file, 1):
        if line.endswith("\n") and line.strip():
            yield number, line


def _words(line: str) -> list[str]:
    """The words of a line, of a line of yaml without its signs."""
    yaml = YAML_HEAD.fullmatch(line) or YAML_ROW.fullmatch(line)
    words = yaml[1].replace(",", " ").split() if yaml else []
    return [word.strip("'\"") for word in words] or line.split()
