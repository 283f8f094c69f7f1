"""Structure and motion of trajectories, as text: RDF, angles, mean-square displacement, vibrations.

\b
bnnp analyze trajectory.extxyz
bnnp analyze md_member_*/trajectory.extxyz --rdf --out members
bnnp analyze XDATCAR --timestep 2 --msd
bnnp analyze trajectory.extxyz --infrared
bnnp analyze dump.lammpstrj --format lammps-dump-text --types "Ge Te"
bnnp analyze trajectory.extxyz --error-bars
bnnp analyze dump.lammpstrj --error-bars --log log.lammps --types "Cu Au"
bnnp analyze --transport heat_flux.out
bnnp analyze --transport log.lammps --columns "c_flux[1] c_flux[2] c_flux[3]"
bnnp analyze --transport J0Jt.dat --log log.lammps --until 20

Reads what ASE reads, Angstrom throughout. One FILE is cut into blocks, whose scatter gives the errors; of
several (one run a member, say) each is a sample of its own, and the error columns are the spread over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import click
import error_bars
import numpy as np
import transport
from ase import Atoms
from ase.data import chemical_symbols
from elements_option import parse_elements
from error_bars import pairs_of
from numpy.typing import NDArray

from bnnp.analysis.angular import AngularDistribution
from bnnp.analysis.motion import (
    CM2_S,
    CM_PER_THZ,
    diffusion,
    infrared_spectrum,
    mean_square_displacement,
    unwrap,
    velocity_autocorrelation,
    vibrational_spectrum,
)
from bnnp.analysis.radial import RadialDistribution, mean_and_spread
from bnnp.command import SETTINGS, Command, say
from bnnp.errors import InputError
from bnnp.io.tables import write_table
from bnnp.io.text import reason_of
from bnnp.messages import count

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What to read and how fine.

    Parameters
    ----------
    format : str or None
        ASE's name of the format.
    types : list of str or None
        Elements of LAMMPS types 1, 2, ... in dumps without element names.
    skip, every : int
        Frames left out at the start; every n-th of the rest.
    r_max, cutoff : float, Angstrom
    bins, blocks, segments : int
    interval : float or None, fs
        Between two frames of the file.
    """

    format: str | None
    types: list[str] | None
    skip: int
    every: int
    r_max: float
    cutoff: float
    bins: int
    blocks: int
    segments: int
    interval: float | None


@click.command("analyze", cls=Command, help=__doc__, context_settings=SETTINGS)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--rdf", is_flag=True, help="Radial distribution functions, coordination numbers.")
@click.option("--adf", is_flag=True, help="Bond-angle distributions within --cutoff.")
@click.option("--msd", is_flag=True, help="Mean-square displacement and diffusion.")
@click.option("--vdos", is_flag=True, help="Velocity autocorrelation and vibrational density of states.")
@click.option("--infrared", is_flag=True, help="Dipole moment and its spectrum, of the charges in the file.")
@click.option(
    *("--transport", "fluxes"),
    is_flag=True,
    help="FILES are heat_flux.out, or logs or fix ave/correlate of LAMMPS: conductivities.",
)
@click.option("--error-bars", "bars", is_flag=True, help="Std of the model, by reweighting with md_samples.")
@click.option(
    "--factor", type=float, help="--error-bars: of deviations of samples.  [default: that of the calibration]"
)
@click.option("--columns", default="c_flux[1] c_flux[2] c_flux[3]", show_default=True, help="Of such a log.")
@click.option("--charges", default="", metavar="'Na=1 Cl=-1'", help="For --infrared, and --transport.")
@click.option("--log", type=click.Path(path_type=Path), help="Log of the LAMMPS run that FILE is of.")
@click.option(
    "--until", type=float, metavar="PS", help="Integral of fix ave/correlate.  [default: all of it]"
)
@click.option("--any-ensemble", is_flag=True, help="--transport: also of a stage with a thermostat.")
@click.option("--out", default="", metavar="PREFIX", help="Files are PREFIX_rdf.out, ...")
@click.option(
    "--skip", type=click.IntRange(0), default=0, show_default=True, help="Frames to leave out at the start."
)
@click.option("--every", default=1, show_default=True, help="Take every n-th frame.")
@click.option("--r-max", default=10.0, show_default=True, help="Largest distance of the RDF, Angstrom.")
@click.option("--cutoff", default=3.4, show_default=True, help="Largest bond of the angles, Angstrom.")
@click.option("--bins", default=200, show_default=True)
@click.option("--blocks", default=5, show_default=True, help="For the errors of a single file.")
@click.option("--segments", default=4, show_default=True, help="Windows of the VDOS: more are smoother.")
@click.option("--timestep", type=float, help="fs between two frames, where the file does not say.")
@click.option("--format", "file_format", help="ASE's name of the format.")
@click.option("--types", callback=parse_elements, help="Elements of LAMMPS' types from 1 on, e.g. 'Ge Te'.")
def main(
    files: tuple[Path, ...],
    rdf: bool,
    adf: bool,
    msd: bool,
    vdos: bool,
    infrared: bool,
    fluxes: bool,
    bars: bool,
    factor: float | None,
    columns: str,
    charges: str,
    log: Path | None,
    until: float | None,
    any_ensemble: bool,
    out: str,
    skip: int,
    every: int,
    r_max: float,
    cutoff: float,
    bins: int,
    blocks: int,
    segments: int,
    timestep: float | None,
    file_format: str | None,
    types: list[str] | None,
) -> None:
    """Without --rdf, --adf, --msd, --vdos or --infrared: everything the files allow but the last."""
    prefix = f"{out}_" if out else ""
    if factor is not None and not bars:
        raise click.UsageError("--factor belongs to --error-bars")
    if log is not None and not (fluxes or bars):
        raise click.UsageError("--log belongs to --transport or --error-bars")
    if fluxes:
        choice = transport.Choice(prefix, skip, blocks, columns, charges, any_ensemble, log, until)
        transport.analyze(files, choice)
        return
    options = Options(file_format, types, skip, every, r_max, cutoff, bins, blocks, segments, timestep)
    if bars:
        if len(files) > 1:
            raise click.UsageError("--error-bars takes one trajectory")
        run = read_run(files[0], options)
        error_bars.analyze(run.path, run.frames, log, factor, prefix, blocks, r_max, cutoff, bins)
        return
    everything = not (rdf or adf or msd or vdos or infrared)
    runs = [read_run(path, options) for path in files]
    if rdf or everything:
        write_rdf(Path(f"{prefix}rdf.out"), runs, options)
    if adf or everything:
        write_adf(Path(f"{prefix}adf.out"), runs, options)
    if msd or (everything and all(run.interval for run in runs)):
        write_msd(Path(f"{prefix}msd.out"), runs)
    if vdos or (everything and all(run.interval for run in runs)):
        write_vdos(Path(f"{prefix}vdos.out"), runs, options)
    if infrared:
        write_infrared(Path(f"{prefix}infrared.out"), runs, options, transport.read_charges(charges))
    if everything and not all(run.interval for run in runs):
        say("no times in the files: add --timestep for the mean-square displacement and the VDOS")


@dataclass(frozen=True, eq=False)
class Run:
    """The frames of one file.

    Parameters
    ----------
    path : Path
    frames : list of ase.Atoms
    interval : float or None, fs
    """

    path: Path
    frames: list[Atoms]
    interval: float | None

    @property
    def positions(self) -> Array:
        """(n_frames, n_atoms, 3), unwrapped, without the motion of the center of mass."""
        positions = np.array([frame.positions for frame in self.frames])
        if self.frames[0].pbc.any():
            positions = unwrap(positions, np.array([frame.cell.array for frame in self.frames]))
        masses = self.frames[0].get_masses()
        relative: Array = positions - np.einsum("fax,a->fx", positions, masses / masses.sum())[:, None]
        return relative

    @property
    def velocities(self) -> Array:
        """(n_frames, n_atoms, 3); central differences of the positions where the file has none."""
        if all(frame.has("momenta") for frame in self.frames):
            return np.array([frame.get_velocities() for frame in self.frames])
        return np.asarray(np.gradient(self.positions, axis=0))

    def dipoles(self, charges: Mapping[str, float]) -> Array:
        """Dipole moments about the center of mass, (n_frames, 3) e Angstrom; in a cell of unwrapped atoms,
        which should be whole molecules in the first frame.

        Parameters
        ----------
        charges : mapping of element to float, e
            Empty for those of the atoms in the file.

        Raises
        ------
        InputError
            There are no charges of some atoms.
        """
        symbols = self.frames[0].symbols
        if charges:
            if missing := sorted(set(symbols) - set(charges)):
                raise InputError(f"--charges: gives none for {', '.join(missing)}, which is in {self.path}")
            own = np.tile([charges[symbol] for symbol in symbols], (len(self.frames), 1))
        else:
            found = [getattr(frame.calc, "results", {}).get("charges") for frame in self.frames]
            if any(each is None for each in found):
                raise InputError(
                    f"{self.path}: has frames without charges: give them, as --charges 'Na=1 Cl=-1', or run "
                    "a potential that has charges"
                )
            own = np.array(found)
        return np.asarray(np.einsum("fa,fax->fx", own, self.positions))


def read_run(path: Path, options: Options) -> Run:
    """Read the chosen frames and the time between two of them."""
    extra: dict[str, Any] = (
        {"specorder": options.types} if options.types and _is_lammps(path, options) else {}
    )
    try:
        chosen = slice(options.skip, None, options.every)
        frames = ase.io.read(path, chosen, format=options.format, do_not_split_by_at_sign=True, **extra)
        assert isinstance(frames, list)
    except Exception as error:  # whatever a reader of ASE stumbles over
        raise InputError(f"{path}: cannot be read by ASE: {reason_of(error)}") from error
    if len(frames) < 2:
        raise InputError(
            f"{path}: has {count(len(frames), 'frame')} behind the first {options.skip}, expected at least 2"
        )
    if any(len(frame) != len(frames[0]) or (frame.numbers != frames[0].numbers).any() for frame in frames):
        raise InputError(f"{path}: the frames do not have the same atoms in the same order")
    return Run(path, frames, _interval(path, frames, options))


def _is_lammps(path: Path, options: Options) -> bool:
    return "lammps" in (options.format or "") or path.suffix in (".dump", ".lammpstrj")


def _interval(path: Path, frames: Sequence[Atoms], options: Options) -> float | None:
    """fs between two of the chosen frames: --timestep, or the times in the file."""
    if options.interval is not None:
        return options.interval * options.every
    times = [frame.info.get("time") for frame in frames]
    if any(time is None for time in times):
        return None
    steps = np.diff(np.array(times, dtype=np.float64))
    if not np.allclose(steps, steps[0], rtol=1e-6) or steps[0] <= 0.0:
        raise InputError(
            f"{path}: the frames are not equally far apart in time ({steps.min():g} to {steps.max():g} "
            "fs), as in "
            "stages with different time steps: choose some with --skip, or say --timestep"
        )
    return float(steps[0])


def samples(runs: Sequence[Run], options: Options) -> Iterator[list[Atoms]]:
    """What the scatter is taken over: the files, or blocks of the only one."""
    if len(runs) > 1:
        yield from (run.frames for run in runs)
        return
    frames = runs[0].frames
    for block in np.array_split(np.arange(len(frames)), min(options.blocks, len(frames))):
        yield [frames[number] for number in block]


def write_rdf(path: Path, runs: Sequence[Run], options: Options) -> None:
    """Total, partial, coordination numbers; each g with its error."""
    if any(not frame.pbc.all() for run in runs for frame in run.frames):
        raise InputError("the RDF needs periodic frames: density is not defined without a volume")
    parts = []
    for frames in samples(runs, options):
        histograms = [
            RadialDistribution.of(
                pairs_of(atoms, options.r_max), atoms.numbers, atoms.get_volume(), options.r_max, options.bins
            )
            for atoms in frames
        ]
        parts.append(sum(histograms[1:], histograms[0]))
    first = parts[0]
    if any(part.numbers != first.numbers for part in parts):
        raise InputError("the files do not have the same elements")
    names, columns = ["r"], [first.centers]
    for name, values in [("total", [part.total for part in parts])] + [
        (f"{chemical_symbols[a]}-{chemical_symbols[b]}", [part.partial[i, j] for part in parts])
        for i, a in enumerate(first.numbers)
        for j, b in enumerate(first.numbers)
        if i <= j
    ]:
        mean, error = _summary(runs, values)
        names += [f"g_{name}", f"g_{name}{_suffix(runs)}"]
        columns += [mean, error]
    for i, a in enumerate(first.numbers):
        for j, b in enumerate(first.numbers):
            names.append(f"n_{chemical_symbols[a]}-{chemical_symbols[b]}")
            columns.append(_summary(runs, [part.coordination[i, j] for part in parts])[0])
    write_table(
        path, names, columns, f"Angstrom; n_a-b: atoms b within the bin's end around an a; {_errors(runs)}"
    )
    peak = int(np.argmax(columns[1]))
    say(f"{path}: g is highest at {first.centers[peak]:.2f} Angstrom, {columns[1][peak]:.2f}")


def write_adf(path: Path, runs: Sequence[Run], options: Options) -> None:
    """Angle distributions of all triples of elements."""
    parts = []
    for frames in samples(runs, options):
        histograms = [
            AngularDistribution.of(pairs_of(atoms, options.cutoff), atoms.numbers, min(options.bins, 180))
            for atoms in frames
        ]
        parts.append(sum(histograms[1:], histograms[0]))
    first = parts[0]
    names, columns = ["angle"], [first.centers]
    zero = np.zeros(len(first.centers))
    triples = sorted({triple for part in parts for triple in part.counts})
    for name, counts in [("total", [part.total for part in parts])] + [
        ("-".join(chemical_symbols[z] for z in triple), [part.counts.get(triple, zero) for part in parts])
        for triple in triples
    ]:
        mean, error = _summary(runs, [first.density(count) for count in counts])
        names += [f"p_{name}", f"p_{name}{_suffix(runs)}"]
        columns += [mean, error]
    text = "degrees, 1/degree; the middle atom is the centre; bonds within " + (
        f"{options.cutoff:g} Angstrom; {_errors(runs)}"
    )
    write_table(path, names, columns, text)
    say(f"{path}: {sum(part.total.sum() for part in parts):.0f} angles")


def write_msd(path: Path, runs: Sequence[Run]) -> None:
    """Mean-square displacement of all atoms and of each element; diffusion coefficients on the screen."""
    intervals = demand_interval(runs)
    length = min(len(run.frames) for run in runs)
    numbers = runs[0].frames[0].numbers
    names, columns = ["time"], [np.asarray(np.arange(length) * intervals)]
    for kind in [0, *sorted(set(numbers.tolist()))]:
        mine = numbers == kind if kind else np.ones(len(numbers), dtype=bool)
        name = chemical_symbols[kind] if kind else "total"
        curves = [mean_square_displacement(run.positions[:length, mine]) for run in runs]
        mean, error = _summary(runs, curves)
        names += [f"msd_{name}", f"msd_{name}{_suffix(runs)}"]
        columns += [mean, error]
        if length >= 20:
            values = [diffusion(curve, intervals) for curve in curves]
            coefficient, error_d = (
                np.mean([value[0] for value in values]),
                np.mean([value[1] for value in values]),
            )
            if len(values) > 1:
                error_d = np.std([value[0] for value in values], ddof=1) / np.sqrt(len(values))
            say(
                f"{path}: D of {name:5} {coefficient * CM2_S:.3e} +- {error_d * CM2_S:.1e} cm^2/s "
                "(slope from 10 to 50 % of the run)"
            )
    write_table(path, names, columns, f"fs, Angstrom^2; all time origins; {_errors(runs)}")


def write_vdos(path: Path, runs: Sequence[Run], options: Options) -> None:
    """Vibrational density of states, and the velocity autocorrelation beside it."""
    interval, length = demand_interval(runs), min(len(run.frames) for run in runs)
    masses = runs[0].frames[0].get_masses()
    spectra = [
        vibrational_spectrum(run.velocities[:length], masses, interval, options.segments) for run in runs
    ]
    frequencies = spectra[0][0]
    mean, error = _summary(runs, [density for _, density in spectra])
    columns = [frequencies, np.asarray(frequencies * CM_PER_THZ), mean, error]
    text = f"THz, 1/cm, 1/THz (integral 1), mass-weighted; {_errors(runs)}"
    write_table(path, ["frequency", "wavenumber", "vdos", f"vdos{_suffix(runs)}"], columns, text)
    if not all(frame.has("momenta") for run in runs for frame in run.frames):
        say(f"{path}: velocities are differences of positions; only frequencies far below the highest count")
    correlations = [velocity_autocorrelation(run.velocities[:length], masses) for run in runs]
    other = path.with_name(path.name.replace("vdos", "vacf"))
    mean, error = _summary(runs, correlations)
    write_table(
        other, ["time", "vacf", f"vacf{_suffix(runs)}"], [np.arange(length) * interval, mean, error], "fs, 1"
    )
    say(f"{path}, {other}: up to {frequencies[-1]:.1f} THz in steps of {frequencies[1]:.3g} THz")


def write_infrared(path: Path, runs: Sequence[Run], options: Options, charges: Mapping[str, float]) -> None:
    """Infrared spectrum, and the dipole moment of the first file beside it."""
    interval, length = demand_interval(runs), min(len(run.frames) for run in runs)
    series = [run.dipoles(charges)[:length] for run in runs]
    spectra = [infrared_spectrum(dipoles, interval, options.segments) for dipoles in series]
    frequencies = spectra[0][0]
    mean, error = _summary(runs, [intensity for _, intensity in spectra])
    columns = [frequencies, np.asarray(frequencies * CM_PER_THZ), mean, error]
    text = f"THz, 1/cm, 1/THz (integral 1): absorption of classical nuclei; {_errors(runs)}"
    write_table(path, ["frequency", "wavenumber", "infrared", f"infrared{_suffix(runs)}"], columns, text)
    other = path.with_name(path.name.replace("infrared", "dipole"))
    names, text = ["time", "M_x", "M_y", "M_z"], f"fs, e Angstrom about the center of mass; of {runs[0].path}"
    write_table(other, names, [np.arange(length) * interval, *series[0].T], text)
    say(f"{path}, {other}: up to {frequencies[-1]:.1f} THz in steps of {frequencies[1]:.3g} THz")


def demand_interval(runs: Sequence[Run]) -> float:
    """The time between frames, the same in all files."""
    intervals = {run.interval for run in runs}
    interval = runs[0].interval
    if interval is None or len(intervals) > 1:
        what = (
            "do not say how far apart in time they are" if interval is None else "are not equally far apart"
        )
        raise InputError(f"the frames {what}: add --timestep with the fs between two of them")
    return interval


def _summary(runs: Sequence[Run], parts: Sequence[Array]) -> tuple[Array, Array]:
    """Mean, and the spread over several files or the standard error over the blocks of one."""
    mean, spread = mean_and_spread(parts)
    return mean, spread if len(runs) > 1 else spread / np.sqrt(len(parts))


def _suffix(runs: Sequence[Run]) -> str:
    return "_std" if len(runs) > 1 else "_err"


def _errors(runs: Sequence[Run]) -> str:
    if len(runs) > 1:
        return f"std: standard deviation over {count(len(runs), 'file')}"
    return "err: standard error of the mean over blocks (0 where there are none)"


if __name__ == "__main__":
    main()
