"""Units that a frame declares itself, as keys of its comment line: ``stress-unit=GPa``.

ASE takes every number for Angstrom and eV. A key is the name of a quantity (energy, force, stress, virial,
length, pos, cell), with or without the name of a calculation, and ``unit`` or ``units``; ``units`` alone
names a system. What is not understood is refused: a number in an unknown unit is no label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ase.units

from bnnp.errors import InputError

PER_MOL = ase.units.mol
ENERGIES = {  # eV; names in lower case are read in any case
    "ev": 1.0,
    "electronvolt": 1.0,
    "meV": 1e-3,
    "hartree": ase.units.Hartree,
    "ha": ase.units.Hartree,
    "eh": ase.units.Hartree,
    "rydberg": ase.units.Rydberg,
    "ry": ase.units.Rydberg,
    "kcal/mol": ase.units.kcal / PER_MOL,
    "kj/mol": ase.units.kJ / PER_MOL,
}
LENGTHS = {  # Angstrom
    "angstrom": 1.0,
    "angstroms": 1.0,
    "ang": 1.0,
    "a": 1.0,
    "bohr": ase.units.Bohr,
    "a0": ase.units.Bohr,
    "nm": ase.units.nm,
}
PRESSURES = {  # eV/Angstrom^3
    "gpa": ase.units.GPa,
    "MPa": 1e-3 * ase.units.GPa,
    "pa": ase.units.Pascal,
    "kbar": 0.1 * ase.units.GPa,
    "kb": 0.1 * ase.units.GPa,
    "bar": ase.units.bar,
    "atm": 1.01325 * ase.units.bar,
}
SYSTEMS = {  # energy and length
    "metal": ("ev", "ang"),
    "real": ("kcal/mol", "ang"),
    "atomic": ("hartree", "bohr"),
    "au": ("hartree", "bohr"),
    "a.u.": ("hartree", "bohr"),
}
QUANTITIES = {
    "energy": "energy",
    "force": "force",
    "forces": "force",
    "stress": "stress",
    "virial": "virial",
    "virials": "virial",
    "length": "length",
    "distance": "length",
    "pos": "length",
    "position": "length",
    "positions": "length",
    "cell": "length",
    "lattice": "length",
}
OTHER = {"time", "charge", "charges", "dipole", "magmom", "velocity", "momentum", "mass", "temperature"}
SIGNS = {
    "\N{SUPERSCRIPT THREE}": "^3",
    "\N{ANGSTROM SIGN}": "A",
    "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": "A",
}
KEY = re.compile(r"(?:(.+?)[_-])?units?", re.IGNORECASE)
POWER = re.compile(r"[ .*]*([a-z0]+)\^-(\d)", re.IGNORECASE)  # eV Angstrom^-1


@dataclass(frozen=True)
class DeclaredUnits:
    """The size of each unit in Angstrom and eV; None for one that follows from nothing that is said."""

    length: float = 1.0
    energy: float = 1.0
    force: float | None = 1.0
    stress: float | None = 1.0
    virial: float | None = 1.0

    def of(self, quantity: str) -> float:
        """The size of the unit of a quantity.

        Raises
        ------
        InputError
            The energy or the length has a unit of its own, and that of `quantity` is not said.
        """
        size: float | None = getattr(self, quantity)
        if size is None:
            raise InputError(
                f"energy or length have a unit of their own, but that of the {quantity} is not said; add "
                f"{quantity}-unit=... to the frame"
            )
        return size


def declared_units(info: Mapping[str, Any], method: str = "") -> DeclaredUnits:
    """The units that the comment line of a frame declares.

    Parameters
    ----------
    info : mapping
        ``atoms.info``.
    method : str
        The calculation whose labels are taken: ``ref`` of ``REF_energy_unit``. Units of others do not count.

    Raises
    ------
    InputError
        A unit, or what it belongs to, is unknown; or two keys contradict each other.
    """
    found: dict[str, float] = {}
    for quantity, size, key in _declarations(info, method):
        if abs(found.setdefault(quantity, size) / size - 1.0) > 1e-6:
            raise InputError(f"`{key}` contradicts another unit of the {quantity}; keep the right one")
    plain = found.get("energy", 1.0) == found.get("length", 1.0) == 1.0
    return DeclaredUnits(
        found.get("length", 1.0),
        found.get("energy", 1.0),
        *(found.get(quantity, 1.0 if plain else None) for quantity in ("force", "stress", "virial")),
    )


def _declarations(info: Mapping[str, Any], method: str) -> Iterator[tuple[str, float, str]]:
    """Quantity, size of its unit and key of each declaration."""
    for key, value in info.items():
        match = KEY.fullmatch(key)
        if match is None:
            continue
        if match[1] is None:
            yield from ((quantity, size, key) for quantity, size in _system(key, str(value)).items())
            continue
        words = match[1].lower().replace("-", "_").split("_")
        known = [word for word in words if word in QUANTITIES]
        if len(known) == 1:
            if "_".join(word for word in words if word != known[0]) in ("", method):
                quantity = QUANTITIES[known[0]]
                yield quantity, _size(quantity, str(value), key), key
        elif not OTHER.intersection(words):
            raise InputError(
                f"`{key}={value}` is the unit of something unknown; expected energy-, force-, stress-, "
                "virial- or length-unit"
            )


def _system(key: str, value: str) -> dict[str, float]:
    """Sizes of all units of a system."""
    if value.lower() not in SYSTEMS:
        raise InputError(f"`{key}={value}` is no known system of units; expected {', '.join(SYSTEMS)}")
    names = SYSTEMS[value.lower()]
    energy, length = ENERGIES[names[0]], LENGTHS[names[1]]
    forces = {"force": energy / length, "stress": energy / length**3, "virial": energy}
    return {"energy": energy, "length": length, **forces}


def _size(quantity: str, text: str, key: str) -> float:
    """The size of one unit."""
    unit = text.strip().replace("**", "^")
    for sign, plain in SIGNS.items():
        unit = unit.replace(sign, plain)
    unit = POWER.sub(r"/\1^\2", unit).replace(" ", "")
    energy, length = ENERGIES["hartree"], LENGTHS["bohr"]
    size: float | None
    if unit.lower() in ("au", "a.u.", "atomic"):
        sizes = {"length": length, "force": energy / length, "stress": energy / length**3}
        size = sizes.get(quantity, energy)
    elif quantity == "length":
        size = _lookup(LENGTHS, unit)
    elif quantity in ("energy", "virial"):
        size = _lookup(ENERGIES, unit)
    else:
        size = _quotient(unit, 1 if quantity == "force" else 3)
        if quantity == "stress" and size is None:
            size = _lookup(PRESSURES, unit)
    if size is None:
        raise InputError(f"`{key}={text}` is no unit of {quantity} known here; convert the numbers first")
    return size


def _quotient(unit: str, power: int) -> float | None:
    """Energy over a power of a length: ``eV/Angstrom``, ``kcal/mol/A``, ``Ha/bohr^3``."""
    above, slash, below = unit.rpartition("/")
    below = below.strip("()").removesuffix("^1")
    if power == 3:
        if not below.endswith("3"):
            return None
        below = below[:-1].rstrip("^")
    energy, length = _lookup(ENERGIES, above), _lookup(LENGTHS, below)
    return energy / length**power if slash and energy and length else None


def _lookup(table: Mapping[str, float], unit: str) -> float | None:
    return table[unit] if unit in table else table.get(unit.lower())
