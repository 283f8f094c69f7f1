"""heat_flux.out, sample_energies.out: series of molecular dynamics; md_series.h5: these and md.out.

Each text has one header line ``# columns | units``, then numbers; NaN where there is no value (pressure
without a cell). heat_flux.out, every ``md_heat_flux`` steps::

    step  stage  time  T  volume  J_x .. J_z  C_x .. C_z  p_xx p_yy p_zz p_yz p_xz p_xy
    v_X_x  v_X_y  v_X_z of each element X

J is the heat flux times the volume (:mod:`bnnp.dynamics.heat_flux`), C its convective part, p the pressure
tensor with its kinetic part, v_X the sum of the velocities of the atoms of element X, which the conductivity
of a mixture needs: the energies in J have the free-atom energies in them, and only v_X tells what they add.
With a driving force (``md_driving_force``) there is a last column, ``work``, what it has done in the stage
(:mod:`bnnp.dynamics.driving_force`). The header names the ensemble and the driving force of each stage.
sample_energies.out, every ``md_samples`` steps::

    step  stage  time  T  volume  E_pot  V_1 .. V_S

with the potential energy and that of each Monte Carlo sample, raw; the header has the factor that brings
their deviations to the size of errors (`Potential.deviation_factor`). In md_series.h5, written at the end,
each text is a group with its columns as float64 datasets and its header as the attribute ``header``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ase.units
import h5py
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from bnnp.dynamics.heat_flux import HeatFlux
from bnnp.dynamics.observables import Snapshot
from bnnp.dynamics.stages import Stage
from bnnp.io.output import replacement
from bnnp.io.tables import read_table
from bnnp.units import Units

WORK, DRIVEN = "work", "driving force of each stage"
HEAT_FLUX, SAMPLES, HDF5 = "heat_flux.out", "sample_energies.out", "md_series.h5"
VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
_STEP = ("step", "stage", "time", "T", "volume")

Array = NDArray[np.float64]


def heat_flux_header(units: Units, elements: Sequence[str], stages: Sequence[Stage]) -> str:
    """The header line of heat_flux.out."""
    sums = [f"v_{element}" for element in elements]
    vectors = [f"{name}_{axis}" for name in ("J", "C", *sums) for axis in "xyz"]
    names = [*_STEP, *vectors[:6], *(f"p_{place}" for place in VOIGT), *vectors[6:]]
    driven = ""
    if any(stage.driven for stage in stages):
        names.append(WORK)
        forces = " ".join(f"{np.linalg.norm(stage.field) * units.angstrom:.9g}" for stage in stages)
        driven = f"; {DRIVEN} in 1/{units.length}: {forces}; work in {units.energy}"
    return (
        f"# {' '.join(names)} | time in fs, T in K, volume in {units.length}^3, J and C in {units.energy} "
        f"{units.length}/fs, p in GPa, v in {units.length}/fs{driven}; "
        f"stages: {' '.join(stage.ensemble for stage in stages)}\n"
    )


def heat_flux_row(
    seen: Snapshot, flux: HeatFlux, atoms: Atoms, elements: Sequence[str], units: Units, driven: bool
) -> str:
    """A line of heat_flux.out, with the work if `driven`; snapshot, flux and atoms are in ASE's units."""
    velocities, symbols = atoms.get_velocities() * ase.units.fs / units.angstrom, np.array(atoms.symbols)
    sums = [velocities[symbols == element].sum(axis=0) for element in elements]
    periodic = np.isfinite(seen.pressure)
    pressure = -atoms.get_stress(include_ideal_gas=True) / ase.units.GPa if periodic else np.full(6, np.nan)
    fluxes = np.concatenate([flux.total, flux.convective]) * ase.units.fs / (units.ev * units.angstrom)
    work = [seen.work / units.ev] if driven else []
    return _row(seen, units, [*fluxes, *pressure, *np.concatenate(sums), *work])


def samples_header(units: Units, samples: int, stages: Sequence[str], factor: float) -> str:
    """The header line of sample_energies.out; `factor` brings deviations to the size of errors."""
    names = [*_STEP, "E_pot", *(f"V_{sample}" for sample in range(1, samples + 1))]
    return (
        f"# {' '.join(names)} | time in fs, T in K, volume in {units.length}^3, E_pot and V of each sample "
        f"in {units.energy}, raw; deviations from E_pot times {factor:.6g} are of the size of errors; "
        f"stages: {' '.join(stages)}\n"
    )


def samples_row(seen: Snapshot, energies: Array, units: Units) -> str:
    """A line of sample_energies.out; `energies`, (S,), in eV."""
    return _row(seen, units, [seen.potential / units.ev, *(energies / units.ev)])


def _row(seen: Snapshot, units: Units, values: Sequence[float]) -> str:
    return (
        f"{seen.step:10d} {seen.stage:3d} {seen.time:14.4f} {seen.temperature:10.3f} "
        f"{seen.volume / units.angstrom**3:16.6f} " + " ".join(f"{value:18.11e}" for value in values) + "\n"
    )


def write_hdf5(directory: Path, names: Sequence[str]) -> None:
    """Write md_series.h5 from the texts `names` of the directory; OutputError if that fails."""
    with replacement(directory / HDF5) as temporary, h5py.File(temporary, "w") as file:
        for name in names:
            columns, header = read_table(directory / name)
            group = file.create_group(name.removesuffix(".out"))
            group.attrs["header"] = header
            for column, values in columns.items():
                group[column] = values
