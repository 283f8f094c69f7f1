"""ASE's Atoms to a Structure and back, and with them every format that ASE reads or writes.

ASE uses Angstrom and eV, a Structure the units of its input.data. The energy is the free energy where there
is one, as forces are its derivative (VASP's TOTEN). Forces are those of the calculator, not those that ASE
sets to zero for constrained atoms. Stress has ASE's sign.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.structure import SET_LABELS, Set, Structure
from bnnp.units import Units

ENERGY_KEYS = ("free_energy", "energy")
FORCE_KEYS = ("forces", "force")
PASSED_ON = {"group": "group", "config_type": "group", "weight": "weight", "source": "source"}
PREDICTED = {"labels": "predicted"}  # marks structures whose energy and forces are those of a potential


def from_atoms(
    atoms: Atoms,
    units: Units,
    labels: bool = True,
    stress: bool = True,
    energy_key: str | None = None,
    forces_key: str | None = None,
) -> Structure:
    """Convert Atoms, with the results of their calculator and `atoms.info` and `atoms.arrays`.

    Parameters
    ----------
    atoms : Atoms
        Angstrom and eV. Periodic along any axis means periodic along all: input.data knows nothing between.
    units : Units
        Units of the result.
    labels : bool
        Whether to take energy and forces, which must then be there.
    stress : bool
        Whether to take the stress if there is one; only with `labels`.
    energy_key, forces_key : str, optional
        Names in `atoms.info` and `atoms.arrays` to use instead of the usual ones.

    Raises
    ------
    InputError
        Energy or forces are missing, or a value is not finite or has a wrong shape.
    """
    periodic = bool(atoms.pbc.any())
    cell = np.array(atoms.cell) / units.angstrom if periodic else None
    if cell is not None and abs(np.linalg.det(cell)) < 1e-7:
        raise InputError("periodic, but the cell has no volume; give all three lattice vectors or pbc=False")
    energy = forces = voigt = None
    if labels:
        energy = float(_find(atoms, "info", "energy", energy_key, ENERGY_KEYS)) / units.ev
        forces = _find(atoms, "arrays", "forces", forces_key, FORCE_KEYS) * (units.angstrom / units.ev)
        if forces.shape != (len(atoms), 3):
            raise InputError(f"forces have the shape {forces.shape}, expected ({len(atoms)}, 3)")
        voigt = _stress(atoms, units) if stress and periodic else None
    values = {"position": atoms.positions, "cell": cell, "energy": energy, "force": forces, "stress": voigt}
    for name, value in values.items():
        if value is not None and not np.isfinite(value).all():
            raise InputError(f"a {name} is not finite; repeat that calculation or leave the frame out")
    info = {to: str(atoms.info[key]) for key, to in PASSED_ON.items() if key in atoms.info}
    if labels and not energy_key and is_predicted(atoms):
        info |= PREDICTED
    subset = atoms.info.get("set")
    return Structure(
        numbers=atoms.numbers.astype(np.int64),
        positions=atoms.positions / units.angstrom,
        cell=cell,
        energy=energy,
        forces=forces,
        stress=voigt,
        charge=float(atoms.info.get("charge", 0.0)),
        info=info,
        subset=Set.labeled(subset) if subset in SET_LABELS else None,
    )


def is_predicted(atoms: Atoms) -> bool:
    """Whether energy and forces are those of a potential: marked as such or with standard deviations."""
    marked = PREDICTED.items() <= atoms.info.items()
    return marked or "energy_std" in atoms.info or "forces_std" in atoms.arrays


def to_atoms(structure: Structure, units: Units) -> Atoms:
    """Convert a structure in `units` to Atoms in Angstrom and eV, its labels in a SinglePointCalculator."""
    atoms = Atoms(structure.numbers, structure.positions * units.angstrom)
    if structure.cell is not None:
        atoms.set_cell(structure.cell * units.angstrom)
        atoms.pbc = True
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
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _find(
    atoms: Atoms, attribute: str, what: str, key: str | None, usual: tuple[str, ...]
) -> NDArray[np.float64]:
    """The label `what`: atoms.<attribute>[key], or without a key of the calculator or under a usual name."""
    stored = getattr(atoms, attribute)
    calculated = getattr(atoms.calc, "results", {})
    sources = (
        [(stored, key)] if key else [(values, name) for values in (calculated, stored) for name in usual]
    )
    for values, name in sources:
        if values.get(name) is not None:
            return np.array(values[name], dtype=np.float64)
    found = ", ".join(sorted({*calculated, *stored} - {"numbers", "positions"})) or "nothing"
    wanted = f"`{key}`" if key else what
    raise InputError(f"has no {wanted} (there is: {found})")


def _stress(atoms: Atoms, units: Units) -> NDArray[np.float64] | None:
    """Stress (6,) of the calculator or of atoms.info; None without one."""
    value = getattr(atoms.calc, "results", {}).get("stress", atoms.info.get("stress"))
    if value is None:
        return None
    array = np.array(value, dtype=np.float64)
    voigt = full_3x3_to_voigt_6_stress(array.reshape(3, 3)) if array.size == 9 else array
    if voigt.shape != (6,):
        raise InputError(f"the stress has {array.size} values, expected 6 (xx yy zz yz xz xy) or 9")
    return voigt * (units.angstrom**3 / units.ev)
