"""A crystal for phonons: primitive cell, supercell, and what every sample of a potential says of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.geometry import minkowski_reduce
from ase.optimize import BFGS
from ase.units import GPa
from numpy.typing import NDArray

from bnnp.analysis.phonons import ForceConstants, without_drift
from bnnp.command import say
from bnnp.errors import InputError
from bnnp.interfaces.ase import BNNP
from bnnp.messages import count
from bnnp.potential.potential import Potential
from bnnp.prediction import SamplePredictions
from bnnp.structure import Structure

Array = NDArray[np.float64]

MOST_STEPS = 500  # of a relaxation
TIGHT = 1e-4  # eV/Angstrom
SMALLEST, LARGEST = 0.01, 0.1  # Angstrom, of `displaced`
STRAINED = 0.01
EQUALLY_FAR = 1e-4  # Angstrom; images of an atom count as equally far


def primitive_cell(atoms: Atoms, tolerance: float) -> tuple[Atoms, dict[str, Any]]:
    """The standardized primitive cell, and seekpath's answer: lines, points, space group.

    Y. Hinuma et al., Comp. Mater. Sci. 128, 140 (2017).

    Raises
    ------
    InputError
        It is no crystal, or its symmetry is not found.
    """
    import seekpath

    demand_crystal(atoms)
    given = atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what seekpath calls in spglib is deprecated
            found = seekpath.get_path(given, symprec=tolerance)
    except Exception as error:  # seekpath and spglib raise many kinds
        raise InputError(
            f"the symmetry of the crystal is not found with --tolerance {tolerance:g} Angstrom ({error}); "
            "try another one, or relax the structure first"
        ) from error
    primitive = Atoms(
        numbers=found["primitive_types"],
        cell=found["primitive_lattice"],
        scaled_positions=found["primitive_positions"],
        pbc=True,
    )
    return primitive, found


def demand_crystal(atoms: Atoms) -> None:
    """Raise InputError if the atoms are not repeated along all three vectors."""
    if not atoms.pbc.all() or abs(atoms.cell.volume) < 1e-9:
        raise InputError(
            "phonons need a crystal that is repeated along all three vectors, but this structure is a "
            "molecule, a wire or a slab"
        )


def relax(potential: Potential, atoms: Atoms) -> Atoms:
    """The crystal with relaxed cell and atoms, by the mean of the samples; InputError if that fails."""
    relaxed: Atoms = atoms.copy()
    relaxed.calc = BNNP(potential, warn=False)
    optimizer = BFGS(FrechetCellFilter(relaxed), logfile=None)  # type: ignore[arg-type]
    if not optimizer.run(fmax=TIGHT, steps=MOST_STEPS):
        force, stress = residuals(potential, relaxed)
        raise InputError(
            f"the crystal is not relaxed after {count(MOST_STEPS, 'step')}: force {force:.3g} eV/Angstrom, "
            f"stress {stress:.3g} GPa. Start closer to the equilibrium; the potential may have none here"
        )
    relaxed.calc = None
    return relaxed


def scaled(potential: Potential, atoms: Atoms, factor: float) -> Atoms:
    """The crystal with its volume times `factor`, and relaxed atoms; InputError if that fails."""
    there: Atoms = atoms.copy()
    there.set_cell(atoms.cell.array * factor ** (1.0 / 3.0), scale_atoms=True)
    if residuals(potential, there)[0] > TIGHT:
        there.calc = BNNP(potential, warn=False)
        if not BFGS(there, logfile=None).run(fmax=TIGHT, steps=MOST_STEPS):
            raise InputError(
                f"the atoms are not relaxed after {count(MOST_STEPS, 'step')} in a cell of {factor:.3g} "
                "times the volume: the potential may have no equilibrium there"
            )
        there.calc = None
    return there


def residuals(potential: Potential, atoms: Atoms) -> tuple[float, float]:
    """Largest force, eV/Angstrom, and largest component of the stress, GPa."""
    there = atoms.copy()
    there.calc = BNNP(potential, warn=False)
    forces, stress = there.get_forces(), there.get_stress()
    return float(np.linalg.norm(forces, axis=1).max()), float(np.abs(stress).max() / GPa)


def by_sample(potential: Potential, atoms: Atoms) -> SamplePredictions:
    """Energies, forces and stress in eV and Angstrom, of every sample, with deviations of the size of errors
    (`Potential.deviation_factor`), and last, S + 1st, of the potential."""
    length, ev = potential.units.angstrom, potential.units.ev
    structure = Structure(
        numbers=atoms.numbers.astype(np.int64),
        positions=atoms.positions / length,
        cell=atoms.cell.array / length,
    )
    found = potential.by_sample(structure).scaled(potential.deviation_factor)
    assert found.stress is not None
    parts = found.energies * ev, found.forces * (ev / length), found.stress * (ev / length**3)
    return SamplePredictions(*(np.concatenate([p, p.mean(axis=-1, keepdims=True)], axis=-1) for p in parts))


def shortest_vector(cell: Array) -> float:
    """Length of the shortest vector of a lattice, rows are its vectors."""
    return float(np.linalg.norm(minkowski_reduce(cell)[0], axis=1).min())


def shortest_vectors(supercell: Atoms, n: int) -> tuple[Array, NDArray[np.int64]]:
    """All shortest vectors between the first `n` atoms and all others, images included.

    Returns
    -------
    vectors : (n_vectors, 3) float64, Angstrom
    chosen : (n_atoms, n, 2) int64
        How many of `vectors` are those of a pair, and where they begin.
    """
    lattice = minkowski_reduce(supercell.cell.array)[0]
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    between = supercell.positions[:, None] - supercell.positions[None, :n]  # J i xyz
    between = between - np.rint(between @ np.linalg.inv(lattice)) @ lattice
    images = between[:, :, None] + steps @ lattice
    lengths = np.linalg.norm(images, axis=-1)
    short = lengths < lengths.min(axis=-1, keepdims=True) + EQUALLY_FAR
    counts = short.sum(axis=-1)
    starts = np.cumsum(counts.ravel()).reshape(counts.shape) - counts
    return images[short], np.stack([counts, starts], axis=-1)


def read_repeats(text: str, option: str = "--supercell") -> tuple[int, int, int]:
    """The three numbers of a supercell, '4 4 4'; UsageError if they are none."""
    words = text.split()
    if len(words) != 3 or not all(word.isdigit() and int(word) > 0 for word in words):
        raise click.UsageError(f"{option} '{text}': expected three numbers from 1 on, as '4 4 4'")
    first, second, third = map(int, words)
    return first, second, third


def wide_repeats(atoms: Atoms, length: float) -> tuple[int, int, int]:
    """Repeats of a cell with which no lattice vector of the supercell is shorter than `length`, Angstrom."""
    repeats, cell = np.ones(3, dtype=int), atoms.cell.array
    while shortest_vector(repeats[:, None] * cell) < length:
        repeats[np.argmin(repeats * np.linalg.norm(cell, axis=1))] += 1
    first, second, third = repeats.tolist()
    return first, second, third


def displaced(supercell: Atoms, number: int, rng: np.random.Generator) -> list[Atoms]:
    """Copies with random strains and displacements, small enough to tell the curvature of the energy.

    Components of the displacements scatter by `SMALLEST` Angstrom in the first, by `LARGEST` in the last,
    those of the symmetric strain by `STRAINED` in every one.
    """
    found = []
    for size in np.geomspace(SMALLEST, LARGEST, number):
        atoms: Atoms = supercell.copy()
        strain = rng.normal(scale=STRAINED, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        atoms.positions += rng.normal(scale=size, size=atoms.positions.shape)
        atoms.info["group"] = "small_displacements"
        found.append(atoms)
    return found


@dataclass(frozen=True, eq=False)
class Lattice:
    """A primitive cell with a supercell: where force constants come from.

    Parameters
    ----------
    atoms : ase.Atoms
        The primitive cell.
    repeats : three int
        The supercell.
    """

    atoms: Atoms
    repeats: tuple[int, int, int]

    @classmethod
    def of(cls, atoms: Atoms, supercell: str | None, potential: Potential) -> Lattice:
        """With the repeats `supercell`, '4 4 4', or those that are exact for the cutoff of the potential.

        Raises
        ------
        InputError
            The supercell is none, or too small for the cutoff.
        """
        cutoff = potential.descriptor.radius * potential.units.angstrom
        if supercell is None:
            return cls(atoms, wide_repeats(atoms, 4.0 * cutoff))
        lattice = cls(atoms, read_repeats(supercell))
        lattice.demand_reach(cutoff)
        return lattice

    def at(self, atoms: Atoms) -> Lattice:
        """The same supercell of another cell."""
        return Lattice(atoms, self.repeats)

    def force_constants(self, potential: Potential, distance: float) -> ForceConstants:
        """As :func:`by_sample`, by central differences of `distance`, Angstrom, of each primitive atom."""
        supercell, n = self.atoms.repeat(self.repeats), len(self.atoms)  # its first n atoms are the cell
        values = np.empty((potential.samples + 1, n, len(supercell), 3, 3))
        for atom in range(n):
            for axis in range(3):
                forces = []
                for sign in (1.0, -1.0):
                    moved = supercell.copy()
                    moved.positions[atom, axis] += sign * distance
                    forces.append(by_sample(potential, moved).forces)
                slopes = -(forces[0] - forces[1]) / (2.0 * distance)  # J b s
                values[:, atom, :, axis, :] = slopes.transpose(2, 0, 1)
        vectors, chosen = shortest_vectors(supercell, n)
        return ForceConstants(
            values=without_drift(values, np.arange(n)),
            images=np.tile(np.arange(n), len(supercell) // n),
            vectors=vectors @ np.linalg.inv(self.atoms.cell.array),
            chosen=chosen,
            masses=self.atoms.get_masses(),
        )

    def third_repeats(self, supercell: str | None, potential: Potential) -> tuple[int, int, int]:
        """The supercell of third-order force constants, two cutoffs wide if none is given; InputError."""
        cutoff = potential.descriptor.radius * potential.units.angstrom
        if supercell is None:
            return wide_repeats(self.atoms, 2.0 * cutoff)
        repeats = read_repeats(supercell)
        shortest = shortest_vector(np.array(repeats)[:, None] * self.atoms.cell.array)
        if shortest < 2.0 * cutoff:
            raise InputError(
                f"--third-supercell '{supercell}': its shortest lattice vector is {shortest:.2f} Angstrom, "
                f"but must be twice the cutoff of {cutoff:.2f} Angstrom at least, or an atom feels a "
                "displaced one and its image; leave the option out"
            )
        return repeats

    def demand_reach(self, cutoff: float) -> None:
        """Raise InputError if an atom of the supercell feels another one and its image; warn of less.

        Parameters
        ----------
        cutoff : float, Angstrom
            Of the potential. Two atoms that are twice as far apart can still feel each other, by one between.
        """
        cell = np.array(self.repeats)[:, None] * self.atoms.cell.array
        shortest, name = shortest_vector(cell), " ".join(map(str, self.repeats))
        exact = " ".join(map(str, wide_repeats(self.atoms, 4.0 * cutoff)))
        if shortest < 2.0 * cutoff:
            raise InputError(
                f"--supercell '{name}': its shortest lattice vector is {shortest:.2f} Angstrom, but must be "
                f"twice the cutoff of {cutoff:.2f} Angstrom at least, or an atom feels a displaced one and "
                f"its image. Use '{exact}', which is exact, or leave the option out"
            )
        if shortest < 4.0 * cutoff:
            say(
                f"warning: force constants reach twice the cutoff, {2.0 * cutoff:.2f} Angstrom, so "
                f"that those of images overlap in '{name}'; '{exact}' is exact"
            )
