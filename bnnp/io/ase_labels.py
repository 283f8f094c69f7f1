"""The labels of ASE's Atoms: which energy, forces and stress belong together.

A label has a plain name (energy, free_energy, forces, force, stress, virial, virials), or one that also says
the calculation it is of: ``REF_energy``, ``dft_virial``, ``forces_mace``. All labels of a structure are taken
from one calculation, the one without a name unless keys name another; where that leaves two different values
for one label, none is taken. The energy is the free energy where there is one, as forces are its derivative
(VASP's TOTEN). Forces are those of the calculator, not those that ASE sets to zero for constrained atoms.

Stress has ASE's sign, and with the virial W of GAP, NEP, MACE and DeePMD-kit::

    sigma = -W / volume

Nine numbers are the symmetric matrix, six ASE's (and MACE's) Voigt order xx yy zz yz xz xy.

References: QUIP, GAP and GPUMD manuals, "virial"; MACE, ``virials``; :mod:`ase.stress`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.atom_lines import LARGEST, are_numbers, parse_number
from bnnp.io.declared_units import DeclaredUnits, declared_units
from bnnp.messages import count

Array = NDArray[np.float64]

ENERGY_KEYS = ("free_energy", "energy")
QUANTITIES = {
    "energy": "energy",
    "force": "forces",
    "forces": "forces",
    "stress": "stress",
    "virial": "virial",
    "virials": "virial",
}
ADJECTIVES = {"free", "total", "potential"}  # of an energy: no name of a calculation
NO_LABEL = {"std", "sigma", "var", "error", "weight", "weights", "mask", "unit", "units"}
PREDICTED = {"labels": "predicted"}  # marks structures whose energy and forces are those of a potential
CONVERGED = ("converged", "scf_converged", "electronic_converged")
NOT = ("f", "false", "no", "0")
CHARGES = ("charges", "charge", "initial_charges")
SAME = 1e-6  # relative difference of two forms of a number, from rounding in a file
SAME_STRESS = 1e-3  # the same, after a division by the volume
LOPSIDED = 0.1  # |A - A^T| / max |A| of a tensor that is not symmetric


class MissingLabel(InputError):
    """A structure has no such label, but perhaps under another name."""


@dataclass(frozen=True)
class LabelKeys:
    """Names of labels that the user gives; None for those of the calculation that the others are of."""

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None


@dataclass(frozen=True)
class Labels:
    """The labels of one structure, in Angstrom and eV.

    Parameters
    ----------
    energy : float
    forces : (n_atoms, 3) float64
    stress : (6,) float64 or None
    units : DeclaredUnits
        In which they, and positions and cell, stood in the file.
    predicted : bool
        They are those of a potential: marked as such, or with standard deviations.
    left_aside : tuple of str
        Names of other labels of the structure.
    """

    energy: float
    forces: Array
    stress: Array | None
    units: DeclaredUnits
    predicted: bool
    left_aside: tuple[str, ...]


@dataclass(frozen=True)
class _Stored:
    """One value of the Atoms, with the quantity and the calculation that its name says."""

    name: str
    value: Any
    quantity: str | None
    method: str | None


def find_labels(atoms: Atoms, keys: LabelKeys | None = None, stress: bool = True) -> Labels:
    """Energy, forces and stress of one calculation.

    Parameters
    ----------
    atoms : Atoms
        Labels are in the results of the calculator, ``info`` and ``arrays``; Angstrom and eV, or as declared.
    keys : LabelKeys, optional
    stress : bool
        Whether to take the stress of a periodic structure, if there is one.

    Raises
    ------
    MissingLabel
        There is no energy, or no forces.
    InputError
        There are several, or they are no numbers of the right shape.
    """
    _demand_converged(atoms)
    keys = keys or LabelKeys()
    sources = _Sources(atoms)
    named = keys.energy or keys.forces
    method = split_name(named)[1] if named else ""
    energies = sources.of("energy", keys.energy, method)
    forces = sources.of("forces", keys.forces, method)
    if method is None:  # a name that says no calculation
        method = sources.demand_no_rival(energies, forces, keys)
    elif named is None:
        sources.demand_one_calculation(energies, forces)
    units = declared_units(atoms.info, method or "")
    free = [one for one in energies if "free" in one.name.lower()]
    taken = free or energies
    energy = _agreeing([(one.name, _energy(one, len(atoms))) for one in taken], "energy", SAME)
    force = _agreeing([(one.name, _forces(one, len(atoms))) for one in forces], "forces", SAME)
    tensors = sources.tensors(keys, method) if stress and atoms.pbc.any() else []
    each = [(one.name, _stress(one, atoms, units)) for one in tensors]
    alike = [one for one in energies if _equal(one.value, taken[0].value)]
    used = {one.name for one in (*taken, *alike, *forces, *tensors)}
    return Labels(
        energy=float(energy) * units.energy,
        forces=force * units.of("force"),
        stress=_agreeing(each, "stress", SAME_STRESS) if each else None,
        units=units,
        predicted=keys.energy is None and is_predicted(atoms),
        left_aside=tuple(
            one.name
            for one in sources.stored.values()
            if one.name not in used and (one.quantity or one.name in sources.results)
            if stress or one.quantity not in ("stress", "virial")
        ),
    )


def _demand_converged(atoms: Atoms) -> None:
    """Refuse the labels of a calculation that says of itself that it did not converge."""
    for name, value in atoms.info.items():
        if name.lower() in CONVERGED and str(value).strip().lower() in NOT:
            raise InputError(
                f"`{name}={value}`: its calculation did not converge; repeat it, leave the frame out, or "
                "take out the mark if the labels are good"
            )


def is_predicted(atoms: Atoms) -> bool:
    """Whether energy and forces are those of a potential: marked as such or with standard deviations."""
    marked = PREDICTED.items() <= atoms.info.items()
    return marked or "energy_std" in atoms.info or "forces_std" in atoms.arrays


def find_charges(atoms: Atoms) -> Array | None:
    """Charge of each atom, (n_atoms,) e: of the calculator, else ASE's initial ones; None if all are zero."""
    results = getattr(atoms.calc, "results", {})
    for value in (results.get("charges"), *(atoms.arrays.get(name) for name in CHARGES)):
        if value is not None and np.any(charges := _numbers("charges", value)):
            if charges.shape != (len(atoms),):
                raise InputError(f"charges have the shape {charges.shape}, expected ({len(atoms)},)")
            return charges
    return None


def find_total_charge(atoms: Atoms) -> float | None:
    """Total charge in e; None if nothing is said."""
    for name in ("charge", "total_charge"):
        if name in atoms.info:
            value = _numbers(name, atoms.info[name])
            if value.size != 1:
                raise InputError(f"`{name}` holds {count(value.size, 'number')}, expected one")
            return float(value.item())
    return None


def split_name(name: str) -> tuple[str | None, str | None]:
    """Quantity and calculation that a name says; None for both if it is no name of a label.

    >>> split_name("REF_forces"), split_name("free_energy"), split_name("energy_std"), split_name("E0")
    (('forces', 'ref'), ('energy', ''), (None, None), (None, None))
    """
    words = name.lower().replace("-", "_").split("_")
    known = [word for word in words if word in QUANTITIES]
    if len(known) != 1 or NO_LABEL.intersection(words):
        return None, None
    quantity = QUANTITIES[known[0]]
    words.remove(known[0])
    if quantity == "energy":
        words = [word for word in words if word not in ADJECTIVES]
    return quantity, "_".join(words)


class _Sources:
    """All that Atoms hold beside their structure, each name once.

    Raises
    ------
    InputError
        A label stands in the calculator and beside it, with different values.
    """

    def __init__(self, atoms: Atoms) -> None:
        self.results = getattr(atoms.calc, "results", {})
        self.stored: dict[str, _Stored] = {}
        for values in (self.results, atoms.info, atoms.arrays):
            for name, value in values.items():
                if value is None or name in ("numbers", "positions", *CHARGES):
                    continue
                quantity, method = split_name(name)
                known = self.stored.setdefault(name, _Stored(name, value, quantity, method))
                if quantity and known.value is not value and not _equal(known.value, value):
                    raise InputError(
                        f"two different values of `{name}`: of the calculator, and beside it; remove one"
                    )

    def of(self, quantity: str, key: str | None, method: str | None) -> list[_Stored]:
        """The values of a label: the one named `key`, else those of a calculation, of any if it is None."""
        if key:
            if key not in self.stored:
                raise MissingLabel(f"has no `{key}` (there is: {self.names})")
            return [self.stored[key]]
        found = self._all(quantity, method)
        if quantity == "energy" and method == "":  # a `total_energy` may have the kinetic one in it
            found = [one for one in found if one.name.lower() in ENERGY_KEYS]
        if not found:
            owner = f" of the calculation `{method}`" if method else ""
            advice = "".join(
                f"; --energy-key {self._all('energy', other)[0].name} takes those of `{other}`"
                for other in self.calculations
                if other != method
            )
            raise MissingLabel(f"has no {quantity}{owner} (there is: {self.names}){advice}")
        return found

    def _all(self, quantity: str, method: str | None) -> list[_Stored]:
        return [
            one for one in self.stored.values() if one.quantity == quantity and method in (None, one.method)
        ]

    def tensors(self, keys: LabelKeys, method: str | None) -> list[_Stored]:
        """Stress or virial: the one named, else those of a calculation."""
        for kind, key in (("stress", keys.stress), ("virial", keys.virial)):
            if key:
                if {kind, split_name(key)[0]} == {"stress", "virial"}:
                    raise InputError(
                        f"--{kind}-key names `{key}`, which is a {split_name(key)[0]} by its name"
                    )
                return [replace(self.stored[key], quantity=kind)] if key in self.stored else []
        return [] if method is None else [*self._all("stress", method), *self._all("virial", method)]

    @property
    def calculations(self) -> list[str]:
        """Those with a name that have both energy and forces."""
        methods = sorted({one.method for one in self.stored.values() if one.method})
        return [one for one in methods if self._all("energy", one) and self._all("forces", one)]

    @property
    def names(self) -> str:
        """All names, for messages."""
        return ", ".join(sorted(self.stored)) or "nothing"

    def demand_one_calculation(self, energies: list[_Stored], forces: list[_Stored]) -> None:
        """Refuse a second calculation with energy and forces, if these are not the same."""
        for method in self.calculations:
            others = self._all("energy", method)[:1], self._all("forces", method)[:1]
            same = [
                any(_equal(one.value, mine.value) for mine in own for one in other)
                for own, other in zip((energies, forces), others, strict=True)
            ]
            if not all(same):
                pairs = (energies, forces), others
                first, second = (", ".join(one.name for one in (*pair[0], *pair[1])) for pair in pairs)
                raise InputError(
                    f"has the labels of two calculations: {first}, and {second}; choose with "
                    f"--energy-key {energies[0].name} or --energy-key {others[0][0].name}"
                )

    def demand_no_rival(self, energies: list[_Stored], forces: list[_Stored], keys: LabelKeys) -> str | None:
        """The calculation of the label that has no key; it must be the only one, and lack the other label."""
        if keys.energy and keys.forces:
            return None
        what, kept, found, other = "forces", keys.energy, forces, "energy"
        if not keys.energy:
            what, kept, found, other = "energy", keys.forces, energies, "forces"
        methods = {one.method for one in found}
        if len(methods) > 1 or any(one.name != kept for one in self._all(other, found[0].method)):
            names = " or ".join(f"`{one.name}`" for one in found)
            raise InputError(f"which {what} belong to `{kept}`? Name them with --{what}-key: {names}")
        return found[0].method


def _energy(one: _Stored, n_atoms: int) -> Array:
    """The total energy, ()."""
    value = _numbers(one.name, one.value)
    if value.size != 1:
        each = ", one an atom" if value.size == n_atoms else ""
        raise InputError(
            f"`{one.name}` holds {count(value.size, 'number')}{each}; expected one, the total energy of the "
            "structure"
        )
    return value.reshape(())


def _forces(one: _Stored, n_atoms: int) -> Array:
    """Forces, (n_atoms, 3)."""
    value = _numbers(one.name, one.value)
    if value.shape != (n_atoms, 3):
        raise InputError(f"`{one.name}` has the shape {value.shape}, expected ({n_atoms}, 3)")
    return value


def _stress(one: _Stored, atoms: Atoms, units: DeclaredUnits) -> Array:
    """Stress (6,), eV/Angstrom^3, from a stress or a virial."""
    value = _numbers(one.name, one.value).ravel()
    if value.size not in (6, 9):
        raise InputError(
            f"`{one.name}` has {count(value.size, 'number')}, expected 6 (xx yy zz yz xz xy) or 9"
        )
    if value.size == 9:
        matrix = value.reshape(3, 3)
        if np.abs(matrix - matrix.T).max() > LOPSIDED * np.abs(matrix).max():
            raise InputError(
                f"`{one.name}` is no symmetric matrix; give all nine numbers, or six: xx yy zz yz xz xy"
            )
        value = full_3x3_to_voigt_6_stress(matrix)
    if one.quantity == "virial":
        return 0.0 - value * (units.of("virial") / (cell_volume(atoms) * units.length**3))  # no -0.0
    return value * units.of("stress")


def cell_volume(atoms: Atoms) -> float:
    """Volume of a periodic cell in the unit of its lengths, cubed.

    Raises
    ------
    InputError
        It has none.
    """
    if not are_numbers(np.array(atoms.cell)):
        raise InputError(f"a lattice vector is not finite, or above {LARGEST:g}: damaged?")
    volume = abs(float(np.linalg.det(atoms.cell)))
    if volume < 1e-7:
        raise InputError("periodic, but the cell has no volume; give all three lattice vectors or pbc=False")
    return volume


def _numbers(name: str, value: Any) -> Array:
    """A value as float64, also from text with Fortran's exponents: ``-7.0d0``."""
    try:
        if isinstance(value, str):
            numbers = [parse_number(word) for word in value.replace(",", " ").split()]
            found = np.array(numbers[0] if len(numbers) == 1 else numbers, dtype=np.float64)
        elif np.asarray(value).dtype.kind in "iuf":
            found = np.asarray(value).astype(np.float64)
        else:
            raise ValueError
        if (np.isfinite(found) & (np.abs(found) > LARGEST)).any():
            raise ValueError
        return found
    except ValueError:
        raise InputError(f"`{name}` is `{str(value)[:60]}`, expected a number or numbers") from None


def _agreeing(values: list[tuple[str, Array]], what: str, tolerance: float) -> Array:
    """The first of several forms of one label, (...); they must agree."""
    name, first = values[0]
    for other, value in values[1:]:
        if np.abs(value - first).max(initial=0.0) > tolerance * (1.0 + np.abs(first).max(initial=0.0)):
            keys = "--stress-key or --virial-key" if what == "stress" else f"--{what}-key"
            raise InputError(
                f"`{name}` and `{other}` are two different values of the {what}; name one with {keys}"
            )
    return first


def _equal(first: Any, second: Any) -> bool:
    """Whether two values are the same numbers, or the same text."""
    try:
        one, other = _numbers("", first).ravel(), _numbers("", second).ravel()
    except InputError:
        return str(first) == str(second)
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=SAME, atol=SAME, equal_nan=True))
