"""``bnnp analyze --error-bars``: the model's standard deviation of averages, from one trajectory.

Reads trajectory.extxyz and, beside it, sample_energies.out (``md_samples``): frames whose step is in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ase.units
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bnnp.analysis.angular import AngularDistribution
from bnnp.analysis.radial import RadialDistribution
from bnnp.analysis.reweighting import Reweighted
from bnnp.command import say
from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.errors import InputError
from bnnp.interfaces.ase import periodic_cell
from bnnp.io.md_series import SAMPLES
from bnnp.io.tables import read_table, write_table
from bnnp.messages import count
from bnnp.units import UNITS

Array = NDArray[np.float64]

FEWEST = 20  # frames
LARGE = 1.0  # spread of (V_s - V) / kT, beyond which first order is not enough
TEXT = "err: standard error of the trajectory; std: of the model, over its samples (raw)"


def analyze(
    path: Path, frames: Sequence[Atoms], prefix: str, blocks: int, r_max: float, cutoff: float, bins: int
) -> None:
    """g(r), angles, energy and volume, each with its statistical error and the std of the model.

    Parameters
    ----------
    path : Path
        Of the trajectory.
    frames : sequence of ase.Atoms
        Those chosen of it.
    """
    frames, deviations, energies = matched(path, frames)
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


def matched(path: Path, frames: Sequence[Atoms]) -> tuple[list[Atoms], Array, Array]:
    """Frames with energies of the samples, (V_s - V) / kT of each, (n, S), and the energies, (n,) eV.

    Raises
    ------
    InputError
        No energies, too few frames, frames of several stages.
    """
    energies = path.with_name(SAMPLES)
    if not energies.is_file():
        raise InputError(
            f"{energies}: not found beside {path.name}; run the dynamics with `md_samples n`, n being "
            "md_write_every or a divisor of it"
        )
    table, text = read_table(energies)
    units = next((units for units in UNITS.values() if f"of each sample in {units.energy}" in text), None)
    if units is None:
        raise InputError(f"{energies}: the header says no unit, expected a file of md_samples")
    rows = {int(step): row for row, step in enumerate(table["step"])}
    chosen = [(frame, rows[frame.info["step"]]) for frame in frames if frame.info.get("step") in rows]
    if len(chosen) < FEWEST:
        raise InputError(
            f"{path}: {count(len(chosen), 'frame')} of {len(frames)} have a line in {SAMPLES}, expected "
            f"{FEWEST} at least; let md_samples be md_write_every or a divisor of it"
        )
    own = np.array([row for _, row in chosen])
    if len(set(table["stage"][own])) > 1:
        raise InputError(
            f"{path}: the frames are of several stages, which differ in temperature; leave the first ones "
            "out with --skip"
        )
    ensemble = text.partition("stages: ")[2].split()[int(table["stage"][own[0]]) - 1]
    if ensemble == "nve":
        say("warning: weights are those of a constant temperature, but the stage is nve; use nvt or npt")
    samples = np.stack([values for name, values in table.items() if name.startswith("V_")], axis=1)[own]
    temperature = float(table["T"][own].mean())
    deviations = (samples - table["E_pot"][own, None]) * units.ev / (ase.units.kB * temperature)
    return [frame for frame, _ in chosen], deviations, table["E_pot"][own] * units.ev


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
