"""Make input.data of silicon or germanium with the Stillinger-Weber potential: molecular dynamics, labeled.

\b
python tools/stillinger_weber.py Si silicon.data
python tools/stillinger_weber.py Ge germanium.data --temperatures 60 2040 34 --frames 14 --seed 2

A diamond cell of 64 atoms goes through the temperatures from low to high (Langevin dynamics), `frames`
snapshots at each, every 20 steps of 2 fs. The energy is, with x = r / sigma and h the angle at atom i
(F. H. Stillinger, T. A. Weber, Phys. Rev. B 31, 5262 (1985))::

    E = epsilon [ sum_{i<j} A (B x_ij^-p - x_ij^-q) exp(1 / (x_ij - a))
                + sum_i sum_{j<k} lambda (cos h_jik + 1/3)^2 exp(gamma / (x_ij - a) + gamma / (x_ik - a)) ]

Germanium: epsilon, sigma, lambda of K. Ding, H. C. Andersen, Phys. Rev. B 34, 6987 (1986). Its pair part is
silicon's with lengths times 1.041 and energies times 0.888; only the weight of the angles, 31 instead of 21,
differs. Angstrom and eV.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ase.units
import click
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.errors import BnnpError
from bnnp.interfaces.ase import periodic_cell
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.structure import Structure
from bnnp.units import METAL

Array = NDArray[np.float64]

A, B, P, Q, CUTOFF, GAMMA, COSINE = 7.049556277, 0.6022245584, 4, 0, 1.8, 1.2, -1.0 / 3.0
TIMESTEP = 2.0 * ase.units.fs
FRICTION = 0.02 / ase.units.fs
EQUILIBRATION = 100  # steps at each temperature before its first snapshot
INTERVAL = 20  # steps between snapshots


@dataclass(frozen=True)
class Parameters:
    """Parameters of one element: epsilon in eV, sigma and the lattice constant in Angstrom."""

    epsilon: float
    sigma: float
    lambda_: float
    lattice: float


ELEMENTS = {
    "Si": Parameters(2.1683, 2.0951, 21.0, 5.431),
    "Ge": Parameters(1.92590365783, 2.181, 31.0, 5.654),
}


class StillingerWeber(Calculator):
    """ASE calculator of one element."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 - as ASE has it

    def __init__(self, parameters: Parameters) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.own = parameters

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: object = ("energy",),
        system_changes: object = all_changes,
    ) -> None:
        """Energy, forces and stress."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        found = self.atoms
        assert found is not None
        cell, _ = periodic_cell(found, CUTOFF * self.own.sigma)
        energy, forces, virial = evaluate(found.positions, cell, self.own)
        self.results = {"energy": energy, "forces": forces}
        if cell is not None:
            self.results["stress"] = virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / found.get_volume()


def evaluate(positions: Array, cell: Array | None, own: Parameters) -> tuple[float, Array, Array]:
    """Energy (eV), forces (n_atoms, 3) and virial sum_p D_p (x) dE/dD_p, (3, 3).

    Parameters
    ----------
    positions : (n_atoms, 3) float64, Angstrom
    cell : (3, 3) float64, Angstrom, or None
    """
    pairs = find_neighbors(positions, cell, CUTOFF * own.sigma, np.full(len(positions), 14))
    vectors, centers = pairs.vectors, pairs.centers
    x = np.linalg.norm(vectors, axis=1) / own.sigma
    inside = CUTOFF - x > 1e-3  # beyond it the exponential is nothing
    vectors, centers, neighbors, x = vectors[inside], centers[inside], pairs.neighbors[inside], x[inside]
    units = vectors / (x * own.sigma)[:, None]
    fade = np.exp(1.0 / (x - CUTOFF))
    core = B * x**-P - x**-Q
    energy = 0.5 * own.epsilon * A * float(core @ fade)
    slope = A * (-P * B * x ** (-P - 1) + Q * x ** (-Q - 1) - core / (x - CUTOFF) ** 2) * fade
    derivatives = (0.5 * own.epsilon / own.sigma * slope)[:, None] * units  # dE/dD of every pair
    first, second = _triples(centers, len(positions))
    cosine = np.einsum("tc,tc->t", units[first], units[second])
    tail = np.exp(GAMMA / (x - CUTOFF))
    strength = own.epsilon * own.lambda_ * tail[first] * tail[second]
    deviation = cosine - COSINE
    energy += float(strength @ deviation**2)
    for one, other in ((first, second), (second, first)):
        radial = -strength * deviation**2 * GAMMA / (x[one] - CUTOFF) ** 2 / own.sigma
        turned = (units[other] - cosine[:, None] * units[one]) / (x[one] * own.sigma)[:, None]
        change = radial[:, None] * units[one] + (2.0 * strength * deviation)[:, None] * turned
        np.add.at(derivatives, one, change)
    forces = np.zeros_like(positions)
    np.add.at(forces, centers, derivatives)
    np.add.at(forces, neighbors, -derivatives)
    return energy, forces, np.asarray(vectors.T @ derivatives)


def _triples(centers: NDArray[np.int32], n_atoms: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all two different pairs of one center, each two once."""
    counts = np.bincount(centers, minlength=n_atoms)
    starts = np.concatenate([[0], np.cumsum(counts)])
    found = [
        start + np.stack(np.triu_indices(count, 1)) for start, count in zip(starts, counts, strict=False)
    ]
    first, second = np.concatenate(found, axis=1) if found else np.zeros((2, 0), dtype=np.int64)
    return first, second


def snapshots(element: str, temperatures: Array, frames: int, seed: int) -> Iterator[Structure]:
    """Structures of a run through the temperatures, with energy, forces and stress."""
    rng = np.random.default_rng(seed)
    atoms = bulk(element, "diamond", a=ELEMENTS[element].lattice, cubic=True) * (2, 2, 2)
    atoms.calc = StillingerWeber(ELEMENTS[element])
    thermalize_momenta(atoms, temperature_K=float(temperatures[0]), rng=rng)
    for temperature in temperatures:
        dynamics = Langevin(
            atoms, TIMESTEP, temperature_K=float(temperature), friction=FRICTION, fixcm=False, rng=rng
        )
        dynamics.run(EQUILIBRATION)
        for frame in range(frames):
            dynamics.run(INTERVAL)
            atoms.get_stress()
            atoms.info = {"group": f"{temperature:.0f}K", "source": f"sw_seed_{seed}:{frame}"}
            yield from_atoms(atoms, METAL)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("element", type=click.Choice(sorted(ELEMENTS)))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--temperatures",
    type=(float, float, int),
    default=(60.0, 2040.0, 34),
    show_default=True,
    metavar="LOW HIGH NUMBER",
    help="Kelvin, evenly spaced.",
)
@click.option("--frames", default=10, show_default=True, help="Snapshots at each temperature.")
@click.option("--seed", default=1, show_default=True)
def main(element: str, output: Path, temperatures: tuple[float, float, int], frames: int, seed: int) -> None:
    """Run, label, write."""
    structures = list(snapshots(element, np.linspace(*temperatures), frames, seed))
    try:
        write_structures(output, structures)
    except BnnpError as error:
        click.echo(f"ERROR: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"{len(structures)} structures of {len(structures[0])} {element} atoms in {output}")


if __name__ == "__main__":
    main()
