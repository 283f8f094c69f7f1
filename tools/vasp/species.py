"""Elements from what VASP says about its pseudopotentials."""

from __future__ import annotations

import re

import numpy as np
from ase.data import atomic_masses, atomic_numbers

SYMBOL = re.compile(r"([A-Z][a-z]?)(?![a-z])")
KINDS = ("PAW", "US", "NC", "GGA", "LDA", "PBE")
MASS_TOLERANCE = 0.06  # POTCAR files round masses (H 1.000, Ti 47.88)


def from_title(title: str) -> str | None:
    """The element of a POTCAR title, e.g. ``PAW_PBE Ti_pv 07Sep2000``; None if it names none.

    >>> from_title("PAW_PBE Ti_pv 07Sep2000"), from_title("US H.5"), from_title("Al"), from_title("???")
    ('Ti', 'H', 'Al', None)
    """
    words = [word for word in title.split() if word.split("_")[0].upper() not in KINDS]
    return from_symbol(words[0]) if words else None


def from_symbol(text: str) -> str | None:
    """The element a name starts with: ``Ti_pv``, ``H1.25``, ``Cr :``; None if it starts with none."""
    match = SYMBOL.match(text.strip())
    if match is None:
        return None
    name = match[1]
    return name if name in atomic_numbers and name != "X" else None


def from_mass(mass: float) -> str | None:
    """The element of an atomic mass as POTCAR files give it; None if none or several fit."""
    fits = [
        symbol
        for symbol, number in atomic_numbers.items()
        if 0 < number < 104 and np.isclose(atomic_masses[number], mass, rtol=0.0, atol=MASS_TOLERANCE)
    ]
    return fits[0] if len(fits) == 1 else None
