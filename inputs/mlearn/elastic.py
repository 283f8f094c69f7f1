r"""Elastic constants of the potentials of study.py beside those of DFT, from the same strained crystals.

    python elastic.py --data DATA RESULTS [NAME ...]

The strained crystals are those of the training set whose atoms sit at the same fractions of the cell. Over
their strains e (Green's, Voigt's order, shear strains twice the components of the tensor) of at most 9 %, one
component each, the energy per volume of the unstrained crystal is fitted by

    c + t (e_1 + e_2 + e_3) + C11 / 2 (e_1^2 + e_2^2 + e_3^2) + C44 / 2 (e_4^2 + e_5^2 + e_6^2)

and the sums of e_i^3 and e_i^4 (i = 1, 2, 3) and of e_i^4 (i = 4, 5, 6), with the energies of DFT and with
those of the potential. Atoms do not relax: in the diamond structure C44 is larger than the one measured. C12
needs two strains at once, which the sets do not have.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.units import GPa
from numpy.typing import NDArray

from bnnp.interfaces.ase import BNNP
from bnnp.potential.loading import load

LARGEST = 0.09  # strain
SAME = 1e-3  # of the cell

Array = NDArray[np.float64]


def strained_crystals(frames: Sequence[Atoms]) -> tuple[list[Atoms], Array, float]:
    """The strained crystals, their strains from the cubic one of lowest energy, (n, 6), and its volume."""
    cubic = [
        a for a in frames if np.ptp(a.cell.lengths()) < SAME and np.abs(a.cell.angles() - 90).max() < SAME
    ]
    still = [a for a in cubic if np.abs(a.get_forces()).max() < 1e-2]
    best = min(still, key=lambda a: a.get_potential_energy() / len(a))
    places, edge = best.get_scaled_positions(wrap=False), best.cell.lengths().mean()
    chosen, strains = [], []
    for atoms in frames:
        if len(atoms) != len(best):
            continue
        moved = atoms.get_scaled_positions(wrap=False) - places
        metric = atoms.cell.array @ atoms.cell.array.T / edge**2  # does not see rotations
        green = 0.5 * (metric - np.eye(3))
        strain = np.array([*np.diag(green), *(2.0 * green[[1, 0, 0], [2, 2, 1]])])
        if np.abs(moved - np.round(moved)).max() < SAME and np.abs(strain).max() <= LARGEST:
            chosen.append(atoms)
            strains.append(strain)
    return chosen, np.array(strains), best.get_volume()


def elastic_constants(strains: Array, energies: Array, volume: float) -> tuple[float, float]:
    """C11 and C44, GPa, from strains (n, 6), energies (n,) eV, and the volume in Angstrom^3."""
    normal, shear = strains[:, :3], strains[:, 3:]
    columns = [normal**0 / 3.0, normal, 0.5 * normal**2, 0.5 * shear**2, normal**3, normal**4, shear**4]
    matrix = np.column_stack([column.sum(axis=1) for column in columns])
    found = np.linalg.lstsq(matrix, energies / volume / GPa)[0]
    return float(found[2]), float(found[3])


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", default=["Ni", "Cu", "Li", "Mo", "Si", "Ge"])
    parser.add_argument("--data", type=Path, required=True)
    words = parser.parse_args()
    print("| GPa | C11 | DFT | C44 | DFT |\n|" + "---|" * 5)
    for name in words.names:
        folders = sorted(words.results.glob(f"{name}_*/potential"))
        if not folders:
            continue
        (path,) = words.data.glob(f"{name}_train.extxyz*")
        crystals, strains, volume = strained_crystals(ase.io.read(path, index=":"))
        reference = elastic_constants(strains, np.array([a.get_potential_energy() for a in crystals]), volume)
        found = []
        for folder in folders:
            calculator = BNNP(load(folder, 0), warn=False)
            energies = np.array([calculator.get_potential_energy(atoms) for atoms in crystals])
            found.append(elastic_constants(strains, energies, volume))
        cells = []
        for values, dft in zip(zip(*found, strict=True), reference, strict=True):
            cells += [f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})", f"{dft:.3g}"]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
