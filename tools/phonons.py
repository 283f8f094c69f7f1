"""Phonons, elastic constants, equation of state of a crystal, each with a standard deviation.

\b
bnnp phonons silicon.cif --potential my_run/potential --relax
bnnp phonons POSCAR --supercell "4 4 4" --quasi-harmonic
bnnp phonons silicon.cif --reference C11=165.8 --reference C12=63.9
bnnp phonons silicon.cif --relax --lifetimes rta --at "300 600"
bnnp phonons silicon.cif --structures 30

The value is that of the potential, the standard deviation that over its Monte Carlo samples, at the geometry
of the potential: they share neighbors and symmetry functions, so 100 samples cost 1.5 times one. Deviations
of samples are first brought to the size of errors by the calibration of the forces.
Angstrom, eV, THz, GPa, K whatever the units of the potential.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ase.io
import click
import numpy as np
from ase import Atoms
from click.core import ParameterSource
from numpy.typing import NDArray

from bnnp.analysis.elasticity import (
    EquationOfState,
    bulk_and_shear_modulus,
    elastic_constants,
    strained,
)
from bnnp.analysis.phonons import (
    STABLE,
    ForceConstants,
    density_of_states,
    gruneisen,
    thermal_properties,
)
from bnnp.command import SETTINGS, Command, say
from bnnp.errors import InputError
from bnnp.io.output import replace_file
from bnnp.io.tables import write_table
from bnnp.io.text import reason_of
from bnnp.messages import count
from bnnp.potential.loading import load
from bnnp.potential.potential import Potential
from bnnp.prediction import Estimate

Array = NDArray[np.float64]

STRAIN = 0.005  # of the elastic constants
SPAN, VOLUMES = 0.06, 7  # of the equation of state: relative changes of the volume, and how many
CHANGE = 0.01  # of the volume for Grueneisen parameters
SMEARING, STEP = 0.1, 0.02  # THz, of the density of states
SMALL_CELL = 10.0  # Angstrom, shortest lattice vector of --structures
LABELS = {"structure", "structures", "supercell", "seed", "out"}  # parameters that --structures uses
COMPONENTS = [f"C{i}{j}" for i in range(1, 7) for j in range(i, 7)]


@dataclass(frozen=True)
class Spread:
    """From values of every sample, and last that of the potential, to a value and its standard deviation.

    Parameters
    ----------
    sizes : tuple of int
        Samples of each network.
    text : str
        What headers say of them.
    """

    sizes: tuple[int, ...]
    text: str

    def of(self, values: Array) -> tuple[Array, Array]:
        """Value and standard deviation, (...) each, of `values`, (..., S + 1); NaN for a single sample."""
        raw = Estimate.of(values[..., :-1], self.sizes).raw
        value = values[..., -1]
        return value, np.full(value.shape, np.nan) if raw is None else raw

    def columns(self, name: str, values: Array) -> tuple[list[str], list[Array]]:
        """Names and values, (n,) each, of a column with its standard deviation."""
        return [name, f"{name}_std"], list(self.of(values))

    def shown(self, name: str, values: Array) -> str:
        """A value with its standard deviation, in the digits that count."""
        value, std = self.of(values)
        if not np.isfinite(std) or std == 0.0:
            return f"{name} {value:.5g}"
        digits = max(0, 1 - int(np.floor(np.log10(std))))
        return f"{name} {value:.{digits}f} +- {std:.{digits}f}"


@click.command("phonons", cls=Command, help=__doc__, context_settings=SETTINGS)
@click.argument("structure", type=click.Path(path_type=Path))
@click.option("--potential", "directory", type=click.Path(path_type=Path), default=Path("potential"))
@click.option("--samples", type=click.IntRange(0), help="Monte Carlo samples.  [default: those of the files]")
@click.option("--relax/--check", "relaxing", default=False, help="Relax cell and atoms, or demand they are.")
@click.option("--max-force", default=0.01, show_default=True, help="Largest residual force, eV/Angstrom.")
@click.option("--max-stress", default=0.2, show_default=True, help="Largest residual stress, GPa.")
@click.option("--supercell", help="Repeats of the primitive cell, '4 4 4'.  [default: four cutoffs wide]")
@click.option("--distance", default=0.01, show_default=True, help="Of the displacements, Angstrom.")
@click.option("--points", default=200, show_default=True, help="Wave vectors along the path.")
@click.option("--mesh", default=60.0, show_default=True, help="Of the DOS: points along b are mesh |b|.")
@click.option("--temperatures", default="0:1000:20", show_default=True, help="T1:T2:step, K.")
@click.option("--quasi-harmonic", is_flag=True, help="Thermal expansion too: phonons at seven volumes.")
@click.option(
    "--lifetimes", type=click.Choice(["rta", "lbte"]), help="Lifetimes and conductivity (phono3py)."
)
@click.option("--at", default="300", show_default=True, metavar="'T ...'", help="Temperatures of these, K.")
@click.option("--third-supercell", help="Of third-order force constants.  [default: two cutoffs wide]")
@click.option("--third-distance", default=0.03, show_default=True, help="Of their displacements, Angstrom.")
@click.option("--third-mesh", default=30.0, show_default=True, help="Of the lifetimes: points along b.")
@click.option("--reference", multiple=True, metavar="NAME=VALUE", help="To judge standard deviations by.")
@click.option(
    "--factor", type=float, help="Of the deviations of samples.  [default: by the calibration of the forces]"
)
@click.option("--tolerance", default=1e-3, show_default=True, help="Of the symmetry search, Angstrom.")
@click.option(
    "--structures",
    type=click.IntRange(1),
    help="Only write so many small displacements, to label, in a supercell of the cell as it is given.",
)
@click.option("--seed", default=1, show_default=True, help="Of these.")
@click.option("--threads", default=1, show_default=True)
@click.option("--out", default="phonons", show_default=True, metavar="PREFIX", help="PREFIX_bands.out, ...")
def main(
    structure: Path,
    directory: Path,
    samples: int | None,
    relaxing: bool,
    max_force: float,
    max_stress: float,
    supercell: str | None,
    distance: float,
    points: int,
    mesh: float,
    temperatures: str,
    quasi_harmonic: bool,
    lifetimes: str | None,
    at: str,
    third_supercell: str | None,
    third_distance: float,
    third_mesh: float,
    reference: tuple[str, ...],
    factor: float | None,
    tolerance: float,
    structures: int | None,
    seed: int,
    threads: int,
    out: str,
) -> None:
    """Relax or check the crystal, then one property after the other."""
    from crystal import Lattice, primitive_cell, read_repeats, relax, scaled

    demand_used(click.get_current_context(), structures is not None, lifetimes is not None)
    references, kelvin = read_references(reference), read_temperatures(temperatures)
    warm = read_kelvin(at)
    for option, text in (("--supercell", supercell), ("--third-supercell", third_supercell)):
        if text is not None:
            read_repeats(text, option)
    if structures is not None:
        path = Path(f"{out}_structures.extxyz")
        write_structures(path, read_crystal(structure), supercell, structures, seed)
        return
    demand_packages()
    from brillouin import BandPath, irreducible

    if lifetimes:
        from lifetimes import demand_phono3py

        demand_phono3py()
    crystal = read_crystal(structure)
    potential = load(directory, samples, threads)
    demand_elements(structure, crystal, potential)
    if factor is not None:
        potential = replace(potential, deviation_factor=factor)
    spread = Spread(potential.sizes, describe(potential, factor is not None))
    cell, found = primitive_cell(crystal, tolerance)
    if relaxing:
        cell, found = primitive_cell(relax(potential, cell), tolerance)
    check_residuals(potential, cell, max_force, max_stress)
    say(
        f"{cell.symbols.get_chemical_formula()}, {found['spacegroup_international']}, volume "
        f"{cell.cell.volume:.4f} Angstrom^3; {spread.text}"
    )
    lattice = Lattice.of(cell, supercell, potential)
    springs = lattice.force_constants(potential, distance)
    lines, mesh_points = BandPath.of(found, cell, points), irreducible(cell, mesh, tolerance)

    scalars = write_elastic(Path(f"{out}_elastic.out"), potential, cell, springs, spread)
    scalars |= write_equation_of_state(Path(f"{out}_eos.out"), potential, cell, spread)
    bands = springs.frequencies(lines.points)
    others = [
        lattice.at(scaled(potential, cell, 1.0 + change)).force_constants(potential, distance)
        for change in (-CHANGE, CHANGE)
    ]
    smaller, larger = (each.frequencies(lines.points) for each in others)
    parameters = gruneisen(smaller, larger, bands, CHANGE)
    scalars |= write_bands(Path(f"{out}_bands.out"), lines, bands, parameters, spread)
    frequencies = springs.frequencies(mesh_points[0])
    write_dos(Path(f"{out}_dos.out"), frequencies, mesh_points[1], spread)
    write_thermal(Path(f"{out}_thermal.out"), frequencies, mesh_points[1], kelvin, len(cell), spread)
    if quasi_harmonic:
        free = [
            (each.atoms, each.force_constants(potential, distance))
            for each in (lattice.at(scaled(potential, cell, 1.0 + x)) for x in changes_of_volume())
        ]
        write_quasi_harmonic(Path(f"{out}_qha.out"), potential, free, mesh_points, kelvin, spread)
    if lifetimes:
        from lifetimes import find_lifetimes, write_lifetimes

        repeats = lattice.third_repeats(third_supercell, potential)
        given = lattice, repeats, third_mesh, third_distance, warm, lifetimes == "lbte"
        scalars |= write_lifetimes(out, find_lifetimes(potential, *given), warm, spread)
    report_imaginary(lines, bands, frequencies, mesh_points[1], spread)
    judge(references, scalars, spread, potential.deviation_factor)


def demand_used(context: click.Context, structures: bool, lifetimes: bool) -> None:
    """Raise UsageError if an option is given that this command would not use."""
    given = {
        "/".join([*option.opts, *option.secondary_opts]): str(option.name)
        for option in context.command.params
        if context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
    }
    if structures and (unused := [option for option, name in given.items() if name not in LABELS]):
        raise click.UsageError(
            f"--structures only writes displacements and does not use {', '.join(unused)}: leave out what it "
            "does not use"
        )
    if not structures and "--seed" in given:
        raise click.UsageError("--seed is that of --structures: give both or none")
    if not lifetimes and (unused := [name for name in given if name == "--at" or name.startswith("--third")]):
        raise click.UsageError(f"{', '.join(unused)}: only --lifetimes uses it; add --lifetimes rta")


def demand_packages() -> None:
    """Raise InputError if seekpath is missing."""
    try:
        import seekpath  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed, and it finds the symmetry and the path of the bands. Install it "
            "with `pip install seekpath`, or bnnp with `pip install '.[phonons]'`, then run the same command "
            "again."
        ) from None


def read_crystal(path: Path) -> Atoms:
    """The last structure of a file."""
    try:
        atoms = ase.io.read(path, index=-1, do_not_split_by_at_sign=True)
        assert isinstance(atoms, Atoms)
    except Exception as error:  # whatever a reader of ASE stumbles over
        raise InputError(f"{path}: cannot be read by ASE: {reason_of(error)}") from error
    return atoms


def demand_elements(path: Path, atoms: Atoms, potential: Potential) -> None:
    """Raise InputError if the potential does not know an element of the crystal."""
    if unknown := sorted(set(atoms.symbols) - set(potential.elements)):
        raise InputError(
            f"{path}: element {', '.join(unknown)} is not in this potential, which knows "
            f"{' '.join(potential.elements)}"
        )


def write_structures(path: Path, crystal: Atoms, supercell: str | None, number: int, seed: int) -> None:
    """Supercells with small strains and displacements, for labels that tell the curvature of the energy."""
    from crystal import demand_crystal, displaced, read_repeats, wide_repeats

    demand_crystal(crystal)
    cell = Atoms(crystal.numbers, crystal.positions, cell=crystal.cell, pbc=True)  # without its labels
    repeats = wide_repeats(cell, SMALL_CELL) if supercell is None else read_repeats(supercell)
    found = displaced(cell.repeat(repeats), number, np.random.default_rng(seed))
    with replace_file(path) as file:
        ase.io.write(file, found, format="extxyz")
    say(
        f"{path}: {count(number, 'structure')} of {count(len(found[0]), 'atom')}; label them by the "
        "reference, and train with them and with hot ones"
    )


def read_temperatures(text: str) -> Array:
    """T1:T2:step in K."""
    try:
        first, last, step = map(float, text.split(":"))
        if not 0.0 <= first < last < np.inf or not 0.0 < step < np.inf:
            raise ValueError
    except ValueError:
        raise click.UsageError(
            f"--temperatures {text}: expected T1:T2:step with 0 <= T1 < T2 and step > 0, as 0:1000:20"
        ) from None
    return np.arange(first, last + 1e-9 * step, step)


def read_kelvin(text: str) -> list[float]:
    """One or more temperatures in K."""
    try:
        found = [float(word) for word in text.split()]
        if not found or not all(0.0 < each < np.inf for each in found):
            raise ValueError
    except ValueError:
        raise click.UsageError(f"--at '{text}': expected temperatures above 0 K, as '300 600'") from None
    return found


def read_references(given: Sequence[str]) -> dict[str, float]:
    """NAME=VALUE pairs."""
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
            if not np.isfinite(found[name]):
                raise ValueError
        except ValueError:
            raise click.UsageError(
                f"--reference {text}: expected NAME=VALUE, as C11=165.8 or X:1=4.5"
            ) from None
    return found


def describe(potential: Potential, given: bool) -> str:
    """Meaning of the standard deviations, for headers; `given`: by an option."""
    if potential.samples < 2:
        return "std: none, one network"
    factor = potential.deviation_factor
    origin = "--factor" if given else "calibration of the forces"
    how = "raw, " if factor == 1.0 else f"deviations times {factor:.3g} ({origin}), "
    return f"std: {how}over {potential.describe_raw()}; values are those of the potential"


def check_residuals(potential: Potential, cell: Atoms, most_force: float, most_stress: float) -> None:
    """Print the residual force and stress; InputError beyond the limits."""
    from crystal import residuals

    force, stress = residuals(potential, cell)
    text = f"residual force {force:.2g} eV/Angstrom, residual stress {stress:.2g} GPa"
    if force > most_force or stress > most_stress:
        raise InputError(
            f"the crystal is not at the equilibrium of this potential: {text}, but at most {most_force:g} "
            f"and {most_stress:g} are allowed (--max-force, --max-stress). Add --relax; or raise the limit "
            "for a crystal under pressure"
        )
    say(text)


def write_elastic(
    path: Path, potential: Potential, cell: Atoms, springs: ForceConstants, spread: Spread
) -> dict[str, Array]:
    """Elastic constants and moduli; by name, (S + 1,) GPa each."""
    from crystal import by_sample

    pairs = []
    for component in range(6):
        for sign in (-1.0, 1.0):
            moved = cell.copy()
            moved.set_cell(strained(cell.cell.array, component, sign * STRAIN), scale_atoms=True)
            pairs.append(by_sample(potential, moved))
    stress = np.array([each.stress for each in pairs]).reshape(6, 2, 6, -1)
    forces = np.array([each.forces for each in pairs]).reshape(6, 2, len(cell), 3, -1)
    constants = elastic_constants(stress, forces, STRAIN, cell.cell.volume, springs.at_zone_center)
    bulk, shear = bulk_and_shear_modulus(constants)
    rows = {name: constants[int(name[1]) - 1, int(name[2]) - 1] for name in COMPONENTS}
    rows |= {"B": bulk, "G": shear}
    with replace_file(path) as file:
        axes = "; ".join(" ".join(f"{x:.4f}" for x in vector) for vector in cell.cell.array)
        file.write(
            f"# quantity value std | GPa; Voigt's averages B and G; lattice vectors {axes}; {spread.text}\n"
        )
        for name, values in rows.items():
            value, std = spread.of(values)
            file.write(f"{name:8} {value:16.8e} {std:16.8e}\n")
    shown = [name for name in ("C11", "C12", "C13", "C33", "C44", "C66") if abs(rows[name][-1]) > 0.01]
    say(f"{path}: " + ", ".join(spread.shown(name, rows[name]) for name in [*shown, "B", "G"]) + " GPa")
    return rows


def changes_of_volume() -> Array:
    """Relative changes of the volume for the equation of state."""
    return np.linspace(-SPAN, SPAN, VOLUMES)


def write_equation_of_state(
    path: Path, potential: Potential, cell: Atoms, spread: Spread
) -> dict[str, Array]:
    """Energy over volume, and what follows at the minimum of each sample; by name, (S + 1,) each."""
    from crystal import by_sample, scaled

    cells = [scaled(potential, cell, 1.0 + change) for change in changes_of_volume()]
    volumes = np.array([each.cell.volume for each in cells])
    energies = np.array([by_sample(potential, each).energies for each in cells])
    fit = EquationOfState.fit(volumes, energies)
    found = {"V0": fit.volume, "B0": fit.bulk_modulus, "B0'": fit.derivative}
    text = ", ".join(spread.shown(name, values) for name, values in found.items())
    relative = energies - energies[:, [-1]].min() * np.ones_like(energies)
    names, columns = spread.columns("E", relative)
    write_table(
        path,
        ["V", *names],
        [volumes, *columns],
        f"Angstrom^3, eV (above the lowest); Birch-Murnaghan: {text} (Angstrom^3, GPa, 1); {spread.text}",
    )
    say(f"{path}: {text} (Angstrom^3, GPa, 1)")
    return found


def write_bands(path: Path, lines: Any, bands: Array, parameters: Array, spread: Spread) -> dict[str, Array]:
    """Frequencies and Grueneisen parameters along the path; frequencies of the special points by name."""
    names, columns = ["distance", "q_a", "q_b", "q_c"], [lines.distances, *lines.points.T]
    for branch in range(bands.shape[1]):
        for name, values in ((f"f_{branch + 1}", bands), (f"gamma_{branch + 1}", parameters)):
            more, found = spread.columns(name, values[:, branch])
            names += more
            columns += found
    text = f"1/Angstrom, THz, 1 (gamma: Grueneisen); path: {lines.describe()}; {spread.text}"
    write_table(path, names, columns, text)
    highest = np.unravel_index(np.argmax(bands[..., -1]), bands.shape[:2])
    say(f"{path}: {count(bands.shape[1], 'branch', 'branches')}, {spread.shown('to', bands[highest])} THz")
    return {
        f"{name}:{branch + 1}": bands[place, branch]
        for name, place in lines.labels
        for branch in range(bands.shape[1])
    }


def write_dos(path: Path, frequencies: Array, weights: NDArray[np.int64], spread: Spread) -> None:
    """Density of states."""
    points, density = density_of_states(frequencies, weights, SMEARING, STEP)
    names, columns = spread.columns("dos", density)
    text = f"THz, 1/THz (integral: number of branches), Gaussians of {SMEARING:g} THz; {spread.text}"
    write_table(path, ["frequency", *names], [points, *columns], text)
    say(f"{path}: {count(int(weights.sum()), 'wave vector')}")


def write_thermal(
    path: Path, frequencies: Array, weights: NDArray[np.int64], kelvin: Array, n_atoms: int, spread: Spread
) -> None:
    """Free energy, entropy and heat capacity of an atom."""
    found = thermal_properties(frequencies, weights, kelvin)
    names, columns = ["T"], [kelvin]
    for name, values in (("F", found.free_energy), ("S", found.entropy), ("Cv", found.heat_capacity)):
        more, own = spread.columns(name, values / n_atoms)
        names += more
        columns += own
    write_table(path, names, columns, f"K, eV/atom, k_B/atom, k_B/atom; harmonic; {spread.text}")
    say(f"{path}: {kelvin[0]:g} to {kelvin[-1]:g} K")


def write_quasi_harmonic(
    path: Path,
    potential: Potential,
    cells: Sequence[tuple[Atoms, ForceConstants]],
    mesh: tuple[Array, NDArray[np.int64]],
    kelvin: Array,
    spread: Spread,
) -> None:
    """Volume, thermal expansion and bulk modulus over the temperature, where the free energy is lowest."""
    from crystal import by_sample

    volumes = np.array([atoms.cell.volume for atoms, _ in cells])
    free = np.array(
        [
            by_sample(potential, atoms).energies
            + thermal_properties(springs.frequencies(mesh[0]), mesh[1], kelvin).free_energy
            for atoms, springs in cells
        ]
    )  # volume temperature s
    fit = EquationOfState.fit(volumes, free)
    expansion = np.gradient(np.log(fit.volume), kelvin, axis=0) * 1e6
    names, columns = ["T"], [kelvin]
    for name, values in (("V", fit.volume), ("alpha", expansion), ("B", fit.bulk_modulus)):
        more, own = spread.columns(name, values)
        names += more
        columns += own
    text = "K, Angstrom^3, 1e-6/K (of the volume), GPa; NaN: a sample is beyond these volumes"
    write_table(path, names, columns, f"{text}; quasi-harmonic; {spread.text}")
    middle = len(kelvin) // 2
    say(f"{path}: at {kelvin[middle]:g} K {spread.shown('alpha', expansion[middle])} 1e-6/K")


def report_imaginary(
    lines: Any, bands: Array, frequencies: Array, weights: NDArray[np.int64], spread: Spread
) -> None:
    """Name the branches of the path that are imaginary, in the potential or in some of its samples."""
    for branch in range(bands.shape[1]):
        lowest = int(np.argmin(bands[:, branch, -1]))
        if bands[lowest, branch, -1] < -STABLE:
            say(
                f"imaginary: {spread.shown(f'branch {branch + 1}', bands[lowest, branch])} THz at "
                f"{lines.near(lowest)}: the crystal is not stable there"
            )
    share = np.einsum("q,qms->s", weights / weights.sum(), frequencies < -STABLE) / frequencies.shape[1]
    if share[-1] > 0.0:
        say(f"{100 * share[-1]:.2g} % of the modes of the mesh are imaginary, not in the thermal file")
    if some := int((share[:-1] > 0.0).sum()) if spread.sizes != (1,) else 0:
        say(f"{some} of {count(len(share) - 1, 'sample')} have imaginary modes")


def judge(references: dict[str, float], scalars: dict[str, Array], spread: Spread, used: float) -> None:
    """Errors by references in units of the standard deviation, and the factor, instead of that `used`, that
    makes them right."""
    ratios = []
    for name, reference in references.items():
        if name not in scalars:
            raise click.UsageError(f"--reference {name}: there are {', '.join(sorted(scalars))}")
        value, std = spread.of(scalars[name])
        ratios.append((value - reference) / std)
        say(f"{spread.shown(name, scalars[name])}, reference {reference:g}: error {ratios[-1]:.2g} std")
    if ratios and np.isfinite(ratios).all():
        factor = used * float(np.sqrt(np.mean(np.square(ratios))))
        say(f"--factor {factor:.3g} makes the standard deviations those of {count(len(ratios), 'reference')}")


if __name__ == "__main__":
    main()
