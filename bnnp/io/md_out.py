"""md.out: time series of molecular dynamics, one line every few steps.

One header line ``# step stage ... | units``, then numbers in columns; NaN where there is no value (pressure
without a cell, force uncertainties between two evaluations of them)::

    step  stage  time  T  E_pot  E_kin  E_conserved  pressure  volume  E_std  F_std_max  atom  extrapolations
    E_std_raw  F_std_max_raw

E_std is the standard deviation of the total energy divided by the number of atoms; F_std_max the largest
standard deviation of a force component, on `atom` (from 1; 0: not evaluated). Both are calibrated if the
potential has a calibration, which the header states. Energies, forces and volumes are in the units of the
potential.
"""

from __future__ import annotations

from math import nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.dynamics.observables import Snapshot
from bnnp.errors import InputError
from bnnp.io.text import read_lines
from bnnp.units import Units

FILE_NAME = "md.out"
COLUMNS = (
    *("step", "stage", "time", "T", "E_pot", "E_kin", "E_conserved", "pressure", "volume"),
    *("E_std", "F_std_max", "atom", "extrapolations", "E_std_raw", "F_std_max_raw"),
)


def header(units: Units, freedom: str, std: str) -> str:
    """The header line.

    Parameters
    ----------
    freedom : str
        Degrees of freedom of the temperature, for example ``645``.
    std : str
        Meaning of the standard deviations; empty without samples.
    """
    text = (
        f"time in fs, T in K of {freedom} degrees of freedom, E in {units.energy}, pressure in GPa, volume "
        f"in {units.length}^3, E_std in {units.energy}/atom, F_std_max in {units.force}"
    )
    return f"# {' '.join(COLUMNS)} | {text}{f'; std: {std}' if std else ''}\n"


def row(seen: Snapshot, units: Units) -> str:
    """The line of one step; a snapshot is in ASE's units."""
    found = seen.uncertainty
    force, atom, outside = (
        (nan, 0, nan) if found is None else (found.forces, found.atom + 1, found.extrapolations)
    )
    raw_energy = seen.energy_std if seen.energy_std_raw is None else seen.energy_std_raw
    raw_force = force if found is None or found.forces_raw is None else found.forces_raw
    energies = (value / units.ev for value in (seen.potential, seen.kinetic, seen.conserved))
    return (
        f"{seen.step:10d} {seen.stage:3d} {seen.time:14.4f} {seen.temperature:10.3f} "
        + " ".join(f"{energy:20.10f}" for energy in energies)
        + f" {seen.pressure:12.6f} {seen.volume / units.angstrom**3:16.6f} "
        f"{seen.energy_std / units.ev:14.6e} {force * units.angstrom / units.ev:14.6e} {atom:7d} "
        f"{outside:6.0f} {raw_energy / units.ev:14.6e} {raw_force * units.angstrom / units.ev:14.6e}\n"
    )


def read_md_out(path: str | Path) -> dict[str, NDArray[np.float64]]:
    """Columns by name, each (n_lines,) float64.

    Raises
    ------
    InputError
        No such file, or not an md.out.
    """
    path = Path(path)
    lines = read_lines(path, "columns of numbers")
    if not lines or tuple(lines[0].partition("|")[0].lstrip("# ").split()) != COLUMNS:
        raise InputError(f"{path}: is no {FILE_NAME}: its first line should be `# {' '.join(COLUMNS)} | ...`")
    table = np.empty((len(lines) - 1, len(COLUMNS)))
    for number, line in enumerate(lines[1:]):
        try:
            table[number] = [float(word) for word in line.split()]
        except ValueError as error:
            raise InputError(f"{path} line {number + 2}: is cut short or damaged: {error}") from error
    return {name: table[:, number] for number, name in enumerate(COLUMNS)}
