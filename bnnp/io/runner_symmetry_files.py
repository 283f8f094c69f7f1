"""The files that RuNNer's mode 1 writes, for tools that read them.

============================== ===============================================================================
function.data, testing.data    atoms; per atom Z and all G (unscaled, sorted); charge, E, ... per atom
trainstruct.data, teststruct   number in the set, T or F (periodic); cell; Z x y z charge energy fx fy fz
trainforces.data, testforces   number in the set; per atom fx fy fz; only if forces are trained
============================== ===============================================================================

The first file of each pair holds the training set, the second the test set. Free-atom energies are
subtracted if input.nn says so. Readers split at white space: a number too wide for RuNNer's column keeps a
blank in front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.output import replace_file
from bnnp.structure import Set, Structure

NAMES = {
    Set.TRAIN: ("function.data", "trainstruct.data", "trainforces.data"),
    Set.TEST: ("testing.data", "teststruct.data", "testforces.data"),
}


def write_runner_files(
    folder: Path,
    file: DescriptorFile,
    structure_of: Callable[[int], Structure],
    free_atoms: Mapping[str, float],
    with_forces: bool,
) -> list[Path]:
    """Write the files of both sets.

    Parameters
    ----------
    folder : Path
    file : DescriptorFile
    structure_of : callable
        Gives the structure at a position in input.data.
    free_atoms : mapping of str to float, energy
        Free-atom energies in effect.
    with_forces : bool
        Whether to write the files of forces.

    Returns
    -------
    list of Path
        The files written.
    """
    written = []
    formats: tuple[Callable[[int, int], str], ...] = (
        lambda number, index: _functions(file, index, structure_of(int(file.source[index])), free_atoms),
        lambda number, index: _structure(number, structure_of(int(file.source[index])).closed(file.cutoff)),
        lambda number, index: _forces(number, structure_of(int(file.source[index]))),
    )
    for subset, names in NAMES.items():
        members = np.flatnonzero(file.subset == subset)
        for name, block in list(zip(names, formats, strict=True))[: 3 if with_forces else 2]:
            with replace_file(folder / name) as out:
                for number, index in enumerate(members, 1):
                    out.write(block(number, int(index)))
            written.append(folder / name)
    return written


def _functions(
    file: DescriptorFile, index: int, structure: Structure, free_atoms: Mapping[str, float]
) -> str:
    """Block of function.data."""
    rows = {element: iter(file.descriptors(element)[file.rows(index, element)]) for element in file.elements}
    lines = [f"{len(structure):6d}"]
    for symbol in structure.symbols:
        lines.append(
            f"{atomic_numbers[symbol]:3d}" + "".join(f" {value:15.10f}" for value in next(rows[symbol]))
        )
    free = sum(free_atoms.get(symbol, 0.0) for symbol in structure.symbols)
    energy = ((structure.energy or 0.0) - free) / len(structure)
    totals = (structure.charge / len(structure), energy, energy, 0.0)
    lines.append("".join(f" {value:19.10f}" for value in totals))
    return "\n".join(lines) + "\n"


def _structure(number: int, structure: Structure) -> str:
    """Block of trainstruct.data; atomic energies, and charges that input.data lacks, are written as zero."""
    lines = [f"{number:8d}  {'T' if structure.periodic else 'F'}"]
    if structure.cell is not None:
        lines += ["".join(f" {value:19.14f}" for value in vector) for vector in structure.cell]
    forces = _forces_of(structure)
    charges = np.zeros(len(structure)) if structure.charges is None else structure.charges
    for z, position, charge, force in zip(
        structure.numbers, structure.positions, charges, forces, strict=True
    ):
        lines.append(f"{z:3d}" + "".join(f" {value:15.10f}" for value in (*position, charge, 0.0, *force)))
    return "\n".join(lines) + "\n"


def _forces(number: int, structure: Structure) -> str:
    """Block of trainforces.data."""
    forces = _forces_of(structure)
    lines = [f"{number:8d}", *("".join(f" {value:14.10f}" for value in force) for force in forces)]
    return "\n".join(lines) + "\n"


def _forces_of(structure: Structure) -> NDArray[np.float64]:
    """The forces, zero where they are not known."""
    if structure.forces is None:
        return np.zeros_like(structure.positions)
    return np.nan_to_num(structure.forces)
