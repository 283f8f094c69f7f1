"""ASE's Atoms to a Structure and back, and with them every format that ASE reads or writes.

ASE uses Angstrom and eV, a Structure the units of its input.data. Which of several energies, forces and
stresses are the labels, is said in :mod:`bnnp.io.ase_labels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.ase_labels import PREDICTED, Labels, cell_volume, find_charges, find_labels, find_total_charge
from bnnp.io.declared_units import declared_units
from bnnp.structure import PERIODIC, SET_LABELS, Set, Structure, closed_cell
from bnnp.units import Units

Array = NDArray[np.float64]

BORN_CHARGES = ("born_effective_charges", "bec")
VACUUM = 10.0  # Angstrom at least, beside a slab whose cell has no third vector
# Key of `atoms.info` -> key of Structure.info; the later wins, so that `group` has priority.
KEPT = {"config_type": "group"} | {key: key for key in ("group", "weight", "source", "method")}


def from_atoms(atoms: Atoms, units: Units, labels: bool | Labels = True) -> Structure:
    """Convert Atoms, with the results of their calculator and `atoms.info` and `atoms.arrays`.

    Parameters
    ----------
    atoms : Atoms
        Angstrom and eV, or the units that ``atoms.info`` declares. Vectors that are missing in the cell of a
        slab or wire are made up.
    units : Units
        Units of the result.
    labels : bool or Labels
        Whether to take energy and forces, which must then be there, and stress and charges; or what
        :func:`bnnp.io.ase_labels.find_labels` has found.

    Raises
    ------
    InputError
        There are no atoms, energy or forces are missing, or a value is not finite or has a wrong shape.
    """
    if len(atoms) == 0:
        raise InputError("has no atoms")
    periodic = bool(atoms.pbc.any())
    pbc = (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2]))
    cell = np.array(atoms.cell)
    missing = ~cell.any(axis=1)
    made_up = periodic and missing.any() and not (missing & atoms.pbc).any()
    if made_up:
        cell = closed_cell(atoms.positions, cell, pbc, VACUUM)
    elif periodic:
        cell_volume(atoms)
    found = find_labels(atoms) if labels is True else labels or None
    lengths = (found.units if found else declared_units(atoms.info)).length / units.angstrom
    stress = found.stress if found else None
    if made_up and stress is not None:
        raise InputError(
            "has a stress, but its cell has no volume that it could belong to; give all three lattice "
            "vectors, or leave the stress out (--no-stress)"
        )
    subset = atoms.info.get("set")
    structure = Structure(
        numbers=atoms.numbers.astype(np.int64),
        positions=atoms.positions * lengths,
        cell=cell * lengths if periodic else None,
        pbc=pbc if periodic else PERIODIC,
        energy=found.energy / units.ev if found else None,
        forces=found.forces * (units.angstrom / units.ev) if found else None,
        stress=None if stress is None else stress * (units.angstrom**3 / units.ev),
        charge=find_total_charge(atoms) or 0.0,
        charges=find_charges(atoms) if found else None,
        dipole=dipole_of(atoms, lengths) if found else None,
        born_charges=born_charges_of(atoms) if found else None,
        info=_passed_on(atoms, bool(found and found.predicted)),
        subset=Set.labeled(subset) if subset in SET_LABELS else None,
    )
    moments = "charge", "charges", "dipole", "born_charges"
    for name in ("positions", "cell", "energy", "forces", "stress", *moments):
        value = getattr(structure, name)
        if value is not None and not np.isfinite(value).all():
            raise InputError(f"{name}: a number is not finite; repeat the calculation or leave the frame out")
    return structure


def dipole_of(atoms: Atoms, lengths: float) -> Array | None:
    """Dipole moment of a molecule, (3,), from the calculator or ``info``, times `lengths`; None without one,
    and of periodic structures, where it is not defined.

    Raises
    ------
    InputError
        It has not three numbers.
    """
    results = {} if atoms.calc is None else getattr(atoms.calc, "results", {})
    value = results.get("dipole", atoms.info.get("dipole"))
    return None if value is None or atoms.pbc.any() else _shaped("dipole", value, (3,)) * lengths


def born_charges_of(atoms: Atoms) -> Array | None:
    """Born effective charges, (n_atoms, 3, 3), from the columns ``born_effective_charges`` or ``bec``; None
    without any.

    Raises
    ------
    InputError
        They are not nine numbers an atom.
    """
    results = {} if atoms.calc is None else getattr(atoms.calc, "results", {})
    for name in BORN_CHARGES:
        value = results.get(name, atoms.arrays.get(name))
        if value is not None:
            return _shaped(name, value, (len(atoms), 3, 3))
    return None


def _shaped(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    """`value` as numbers in this shape."""
    try:
        return np.array(value, dtype=np.float64).reshape(shape)
    except (TypeError, ValueError):
        wanted = " x ".join(map(str, shape))
        raise InputError(
            f"{name}: expected an array of {wanted}, got {str(value)[:60]}; correct or remove it"
        ) from None


def _passed_on(atoms: Atoms, predicted: bool) -> dict[str, str]:
    """What is kept of `atoms.info`."""
    info = {to: str(atoms.info[key]) for key, to in KEPT.items() if key in atoms.info}
    return info | PREDICTED if predicted else info


def to_atoms(structure: Structure, units: Units) -> Atoms:
    """Convert a structure in `units` to Atoms in Angstrom and eV, its labels in a SinglePointCalculator."""
    atoms = Atoms(structure.numbers, structure.positions * units.angstrom)
    if structure.cell is not None:
        atoms.set_cell(structure.cell * units.angstrom)
        atoms.pbc = structure.pbc
    atoms.info.update(structure.info)
    if structure.subset:
        atoms.info["set"] = structure.subset.label
    if structure.charge:
        atoms.info["charge"] = structure.charge
    results: dict[str, Any] = {}
    if structure.energy is not None:
        results["energy"] = results["free_energy"] = structure.energy * units.ev
    if structure.forces is not None:
        results["forces"] = structure.forces * (units.ev / units.angstrom)
    if structure.stress is not None:
        results["stress"] = structure.stress * (units.ev / units.angstrom**3)
    if structure.charges is not None:
        results["charges"] = structure.charges
    if structure.dipole is not None:
        results["dipole"] = structure.dipole * units.angstrom
    if structure.born_charges is not None:
        atoms.set_array(BORN_CHARGES[0], structure.born_charges.reshape(-1, 9))
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms
