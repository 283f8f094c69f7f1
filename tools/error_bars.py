"""``bnnp analyze --error-bars``: the model's standard deviation of averages, from one trajectory.

Reads trajectory.extxyz and, beside it, sample_energies.out (``md_samples``), or a dump and the log of LAMMPS
(``pair_style bnnp samples``): frames whose step is in both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.units
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from thermo import Thermo

from bnnp.analysis.angular import AngularDistribution
from bnnp.analysis.radial import RadialDistribution
from bnnp.analysis.reweighting import Reweighted
from bnnp.command import say
from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.errors import InputError
from bnnp.interfaces.ase import periodic_cell
from bnnp.io.md_series import SAMPLES
from bnnp.io.tables import read_table, write_table
from bnnp.io.text import read_lines
from bnnp.messages import count
from bnnp.units import UNITS

Array = NDArray[np.float64]

FEWEST = 20  # frames
FIRST = 6  # number of compute pair from which on it has energies of samples
LARGE = 1.0  # spread of (V_s - V) / kT, beyond which first order is not enough
TEXT = "err: standard error of the trajectory; std: of the model, over its samples"


def analyze(
    path: Path,
    frames: Sequence[Atoms],
    log: Path | None,
    factor: float | None,
    prefix: str,
    blocks: int,
    r_max: float,
    cutoff: float,
    bins: int,
) -> None:
    """g(r), angles, energy and volume, each with its statistical error and the std of the model.

    Parameters
    ----------
    path : Path
        Of the trajectory.
    frames : sequence of ase.Atoms
        Those chosen of it.
    log : Path or None
        Of a run of LAMMPS.
    factor : float or None
        Of the deviations of samples; None for that in their file.
    """
    frames, deviations, energies = matched(path, frames, log, factor)
    periodic = all(frame.pbc.all() for frame in frames)
    if periodic:
        write_rdf(Path(f"{prefix}rdf.out"), frames, deviations, blocks, r_max, bins)
    write_adf(Path(f"{prefix}adf.out"), frames, deviations, blocks, cutoff, min(bins, 180))
    scalars = {"E_pot (eV/atom)": energies / len(frames[0])}
    if periodic and np.ptp([frame.get_volume() for frame in frames]) > 0.0:
        scalars["volume (Angstrom^3/atom)"] = np.array([frame.get_volume() for frame in frames]) / len(
            frames[0]
        )
    for name, values in scalars.items():
        found = Reweighted.of(values[:, None], deviations, blocks)
        say(f"{name}: {found.mean[0]:.6g}, err {found.error[0]:.2g}, std {found.std[0]:.2g}")
    spread = deviations.std(axis=0)
    typical = float(np.sqrt(np.mean(np.square(spread))))
    verdict = f"(V_s - V) / kT scatters by {typical:.2g} (root mean square), {spread.max():.2g} (most)"
    if typical > LARGE:
        say(
            f"warning: {verdict} over {count(len(frames), 'frame')}, more than {LARGE:g}: the std, of "
            "first order, is only a rough guide. Use md_members, or a smaller cell"
        )
    else:
        say(f"{verdict}: first order holds")


@dataclass(frozen=True, eq=False)
class SampleEnergies:
    """Energies of all samples along a run.

    Parameters
    ----------
    name : str
        Of the file.
    steps, stages : (n,) float64
    temperatures : (n,) float64, K
    energies : (n,) float64, eV
        Of the potential.
    samples : (n, S) float64, eV
    ensembles : sequence of str
        Of each stage, if known.
    factor : float
        That brings the deviations of the samples to the size of errors; 1 if it is not known.
    """

    name: str
    steps: Array
    stages: Array
    temperatures: Array
    energies: Array
    samples: Array
    ensembles: Sequence[str] = ()
    factor: float = 1.0


def read_own(path: Path) -> SampleEnergies:
    """sample_energies.out, which lies beside the trajectory `path`."""
    energies = path.with_name(SAMPLES)
    if not energies.is_file():
        raise InputError(
            f"{energies}: not found beside {path.name}; run the dynamics with `md_samples n`, n being "
            "md_write_every or a divisor of it, or name the log of LAMMPS with --log"
        )
    table, text = read_table(energies)
    units = next((units for units in UNITS.values() if f"of each sample in {units.energy}" in text), None)
    if units is None:
        raise InputError(f"{energies}: the header says no unit, expected a file of md_samples")
    samples = np.stack([values for name, values in table.items() if name.startswith("V_")], axis=1)
    ensembles = text.partition("stages: ")[2].split()
    factor = re.search(r"deviations from E_pot times (\S+) are", text)
    return SampleEnergies(
        name=SAMPLES,
        steps=table["step"],
        stages=table["stage"],
        temperatures=table["T"],
        energies=table["E_pot"] * units.ev,
        samples=samples * units.ev,
        ensembles=ensembles,
        factor=float(factor[1]) if factor else 1.0,
    )


def read_lammps(path: Path) -> SampleEnergies:
    """The log of a run with ``pair_style bnnp samples``, whose potential is the mean of the samples."""
    log = Thermo.of(path, read_lines(path, "a log of LAMMPS"))
    computes = re.findall(r"^compute\s+(\S+)\s+\S+\s+pair\s+bnnp", log.text, re.MULTILINE)
    names = [f"c_{compute}[{FIRST}]" for compute in computes if f"c_{compute}[{FIRST}]" in log.columns]
    if not names:
        raise InputError(
            f"{path} line {log.line}: has no energies of samples; run with `pair_style bnnp samples ...`, "
            "`compute sigma all pair bnnp` after pair_coeff, and c_sigma[*] in thermo_style custom"
        )
    if re.search(r"^thermo_modify\s.*norm\s+yes", log.text, re.MULTILINE):
        raise InputError(f"{path}: thermo_modify norm yes divides the energies; use `norm no`, the default")
    stem, temperatures = names[0].partition("[")[0], log.demand(["Temp"], "")[0]
    columns = [values for name, values in log.columns.items() if name.startswith(f"{stem}[")][FIRST - 1 :]
    samples = log.units.energy * np.stack(columns, axis=1)
    steps = log.columns["Step"]
    return SampleEnergies(str(path), steps, np.ones_like(steps), temperatures, samples.mean(axis=1), samples)


def matched(
    path: Path, frames: Sequence[Atoms], log: Path | None, factor: float | None = None
) -> tuple[list[Atoms], Array, Array]:
    """Frames with energies of the samples, (V_s - V) / kT of each, (n, S), and the energies, (n,) eV.

    Raises
    ------
    InputError
        No energies, too few frames, frames of several stages.
    """
    known = read_own(path) if log is None else read_lammps(log)
    rows = {int(step): row for row, step in enumerate(known.steps)}
    steps = [frame.info.get("step", frame.info.get("timestep")) for frame in frames]  # of bnnp, of a dump
    chosen = [(frame, rows[step]) for frame, step in zip(frames, steps, strict=True) if step in rows]
    if len(chosen) < FEWEST:
        raise InputError(
            f"{path}: {count(len(chosen), 'frame')} of {len(frames)} have a line in {known.name}, expected "
            f"{FEWEST} at least; write energies of samples at the steps of the frames"
        )
    own = np.array([row for _, row in chosen])
    if len(set(known.stages[own])) > 1:
        raise InputError(
            f"{path}: the frames are of several stages, which differ in temperature; leave the first ones "
            "out with --skip"
        )
    if known.ensembles and known.ensembles[int(known.stages[own[0]]) - 1] == "nve":
        say("warning: weights are those of a constant temperature, but the stage is nve; use nvt or npt")
    temperature = float(known.temperatures[own].mean())
    used = known.factor if factor is None else factor
    if used == 1.0:
        say("deviations of the samples: raw; --factor brings them to the size of errors")
    else:
        say(f"deviations of the samples times {used:.3g} ({known.name if factor is None else '--factor'})")
    deviations = used * (known.samples[own] - known.energies[own, None]) / (ase.units.kB * temperature)
    return [frame for frame, _ in chosen], deviations, known.energies[own]


def write_rdf(
    path: Path, frames: Sequence[Atoms], deviations: Array, blocks: int, r_max: float, bins: int
) -> None:
    """Total and partial radial distribution functions."""
    each = [
        RadialDistribution.of(pairs_of(atoms, r_max), atoms.numbers, atoms.get_volume(), r_max, bins)
        for atoms in frames
    ]
    numbers = each[0].numbers
    curves = {"g_total": np.array([one.total for one in each])}
    curves |= {
        f"g_{chemical_symbols[a]}-{chemical_symbols[b]}": np.array([one.partial[i, j] for one in each])
        for i, a in enumerate(numbers)
        for j, b in enumerate(numbers)
        if i <= j
    }
    write(path, "r", each[0].centers, curves, deviations, blocks, f"Angstrom; {TEXT}")


def write_adf(
    path: Path, frames: Sequence[Atoms], deviations: Array, blocks: int, cutoff: float, bins: int
) -> None:
    """Distribution of all angles."""
    each = [AngularDistribution.of(pairs_of(atoms, cutoff), atoms.numbers, bins) for atoms in frames]
    curves = {"p_total": np.array([one.density(one.total) for one in each])}
    write(path, "angle", each[0].centers, curves, deviations, blocks, f"degrees, 1/degree; {TEXT}")


def write(
    path: Path, axis: str, x: Array, curves: dict[str, Array], deviations: Array, blocks: int, text: str
) -> None:
    """Each curve, (n_frames, n) values, with its error and std."""
    names, columns = [axis], [x]
    for name, values in curves.items():
        found = Reweighted.of(values, deviations, blocks)
        names += [name, f"{name}_err", f"{name}_std"]
        columns += [found.mean, found.error, found.std]
    write_table(path, names, columns, text)
    peak = int(np.argmax(columns[1]))
    say(
        f"{path}: {names[1]} is highest at {x[peak]:.4g}: {columns[1][peak]:.4g}, err {columns[2][peak]:.2g}"
        f", std {columns[3][peak]:.2g}"
    )


def pairs_of(atoms: Atoms, cutoff: float) -> NeighborList:
    """All pairs of a frame within `cutoff`."""
    cell, _ = periodic_cell(atoms, cutoff)
    return find_neighbors(atoms.positions, cell, cutoff, atoms.numbers)
