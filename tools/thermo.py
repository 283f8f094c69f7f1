"""The last thermo table of a log of LAMMPS, with the units and the time step that its commands say.

Thermo output in lines (``thermo_modify line one``) of ``units metal`` or ``real``, commands echoed into the
log, as they are by default.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import ase.units
import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.messages import count

Array = NDArray[np.float64]


class LammpsUnits(NamedTuple):
    """Units of LAMMPS: energy in eV, pressure in eV/Angstrom^3, time in ps, the usual time step in ps."""

    energy: float
    pressure: float
    time: float
    timestep: float


UNITS = {
    "metal": LammpsUnits(1.0, 1e-4 * ase.units.GPa, 1.0, 0.001),
    "real": LammpsUnits(ase.units.kcal / ase.units.mol, 1.01325e-4 * ase.units.GPa, 0.001, 0.001),
}


@dataclass(frozen=True, eq=False)
class Thermo:
    """The last thermo table of a log.

    Parameters
    ----------
    path : Path
    text : str
        The whole log.
    line : int
        Of the names of the columns.
    columns : mapping of str to (n,) float64, in units of LAMMPS
    units : LammpsUnits
    timestep : float, ps
    """

    path: Path
    text: str
    line: int
    columns: dict[str, Array]
    units: LammpsUnits
    timestep: float

    @classmethod
    def of(cls, path: Path, lines: Sequence[str], skip: int = 0) -> Thermo:
        """From the lines of a log, without the first `skip` lines of the table.

        Raises
        ------
        InputError
            The log says no units that are known, has no such table, no line of it is left, or one is damaged.
        """
        text = "\n".join(lines)
        style = re.findall(r"^units\s+(\w+)", text, re.MULTILINE)
        if not style or style[-1] not in UNITS:
            raise InputError(
                f"{path}: says no `units metal` or `units real`, expected a log of LAMMPS with its commands"
            )
        units = UNITS[style[-1]]
        steps = re.findall(r"^timestep\s+(\S+)", text, re.MULTILINE)
        starts = [number for number, line in enumerate(lines) if line.split()[:1] == ["Step"]]
        if not starts:
            raise InputError(
                f"{path}: has no thermo output in lines (`thermo_modify line one`), which begins with Step"
            )
        names, rows = lines[starts[-1]].split(), []
        for number, line in enumerate(lines[starts[-1] + 1 :], starts[-1] + 2):
            words = line.split()
            if line.startswith("WARNING"):
                continue
            if len(words) != len(names) or not words[0].isdigit():
                break
            try:
                rows.append([float(word) for word in words])
            except ValueError as error:
                raise InputError(f"{path} line {number}: is damaged ({error}); remove the line") from error
        if len(rows) <= skip:
            raise InputError(
                f"{path} line {starts[-1] + 1}: {count(len(rows), 'line')} of thermo output "
                f"behind the names of the columns, but {skip} are left out; "
                "expected more: lower --skip, or run longer"
            )
        values = np.array(rows[skip:]).reshape(-1, len(names)).T
        try:
            timestep = float(steps[-1]) * units.time if steps else units.timestep
        except ValueError:
            raise InputError(
                f"{path}: `timestep {steps[-1]}` is no number; write it as one in the commands of LAMMPS"
            ) from None
        columns = dict(zip(names, values, strict=True))
        return cls(path, text, starts[-1] + 1, columns, units, timestep)

    def demand(self, names: Sequence[str], advice: str) -> list[Array]:
        """These columns; InputError with `advice` if one is missing."""
        if missing := [name for name in names if name not in self.columns]:
            raise InputError(
                f"{self.path} line {self.line}: has no column {', '.join(missing)}; add it to "
                f"thermo_style{advice}"
            )
        return [self.columns[name] for name in names]
