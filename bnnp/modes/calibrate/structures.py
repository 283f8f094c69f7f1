"""The structures a calibration is made with: what mode 1 has kept, or a file of structures in mode 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from ase.data import atomic_numbers

from bnnp.errors import InputError
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.io.input_data import StructureFile
from bnnp.modes.calibrate.sets import demand_group
from bnnp.run import Run
from bnnp.structure import Set, Structure


@dataclass(frozen=True)
class CalibrationSet:
    """Structures that were not trained on.

    Parameters
    ----------
    read : callable
        Number to structure.
    inside, outside : sequence of int
        Numbers of those in the domain, and of the group that stands for what is out of it.
    """

    read: Callable[[int], Structure]
    inside: Sequence[int]
    outside: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.inside) + len(self.outside)


def kept_in(file: DescriptorFile) -> CalibrationSet:
    """The structures mode 1 has kept."""
    inside, outside = (
        np.flatnonzero(file.subset == number).tolist() for number in (Set.CALIBRATION, Set.OUTSIDE)
    )
    return CalibrationSet(partial(structure_of, file), inside, outside)


def pinned_in(structures: StructureFile, run: Run) -> tuple[list[int], list[int]]:
    """The structures of input.data in and out of the domain: those that it pins to the sets, or all if it
    pins none to any set; with ``calibration_ood_group``.

    Raises
    ------
    InputError
        No structure has the group; one was trained on; all references are zero.
    """
    groups, subsets = [], []
    for structure in structures:
        groups.append(structure.info.get("group", ""))
        subsets.append(structure.subset)
    name = demand_group(run.settings, groups) if run.settings.calibration.calibration_ood_group else ""
    pins = any(subsets)
    inside, outside = [], []
    for number, (subset, group) in enumerate(zip(subsets, groups, strict=True)):
        if subset == Set.OUTSIDE or (subset is None and name and group == name):
            outside.append(number)
        elif subset == Set.CALIBRATION or not pins:
            inside.append(number)
    numbers = sorted([*inside, *outside])
    _demand_references(structures, numbers)
    if (run.directory / FILE_NAME).is_file():
        with DescriptorFile.open(run.directory / FILE_NAME) as file:
            _demand_new(structures, numbers, file)
    return inside, outside


def _demand_references(structures: StructureFile, numbers: Sequence[int]) -> None:
    """Raise InputError if all energies and forces are 0, as in files that have none."""
    for number in numbers:
        structure = structures[number]
        if structure.energy != 0.0 or (structure.forces is not None and structure.forces.any()):
            return
    if numbers:
        raise InputError(
            f"{structures.path.name}: energies and forces of all {len(numbers)} structures are 0: these are "
            "no references to calibrate with"
        )


def _demand_new(structures: StructureFile, numbers: Sequence[int], file: DescriptorFile) -> None:
    """Raise InputError if a structure is in the training set of symmetry_functions.h5: same energy and
    positions."""
    energies = np.where(file.subset == Set.TRAIN, file.energy, np.nan)
    known = []
    for structure in map(structures.__getitem__, numbers):
        if structure.energy is None:
            continue
        for number in np.flatnonzero(np.isclose(energies, structure.energy, rtol=1e-9, atol=1e-9)).tolist():
            positions = file.positions[file.atoms(number)]
            if positions.shape == structure.positions.shape and np.allclose(
                positions, structure.positions, atol=1e-4
            ):
                known.append(structure.where)
                break
    if known:
        raise InputError(
            f"{structures.path.name}: {known[0]} is in the training set of {FILE_NAME}, as {len(known)} of "
            f"the {len(numbers)} structures for the calibration are; give others, that were not trained on"
        )


def structure_of(file: DescriptorFile, number: int) -> Structure:
    """A structure from symmetry_functions.h5, with what is known of its labels."""
    atoms = file.atoms(number)
    table = np.array([atomic_numbers[element] for element in file.elements], dtype=np.int64)
    energy, forces, stress = float(file.energy[number]), file.forces[atoms], file.stress[number]
    return Structure(
        table[file.types[atoms]],
        file.positions[atoms],
        file.periodic_cell(number),
        energy if np.isfinite(energy) else None,
        forces if np.isfinite(forces).all() else None,
        np.array(stress) if np.isfinite(stress).all() else None,
        index=int(file.source[number]),
    )
