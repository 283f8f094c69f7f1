"""Elements from what VASP says about its pseudopotentials."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from bnnp.errors import InputError

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


def agreed(sources: Mapping[str, Sequence[str | None]], n_species: int) -> list[str | None]:
    """The element of each species from several places of a file, None where no place names one.

    Parameters
    ----------
    sources : mapping of str to sequence of (str or None)
        Elements by the place that names them, one a species; places that name none are left aside.
    n_species : int
        Number of species with atoms.

    Raises
    ------
    InputError
        A place has another number of species, or the elements differ.
    """
    advice = "the head is damaged or of two runs; name the elements with --elements, in the order of POTCAR"
    found: list[str | None] = [None] * n_species
    first = [""] * n_species
    for place, symbols in sources.items():
        if symbols and len(symbols) != n_species:
            raise InputError(
                f"{place} names {len(symbols)} species ({' '.join(name or '?' for name in symbols)}), but "
                f"the numbers of atoms are of {n_species}; {advice}"
            )
        for index, symbol in enumerate(symbols):
            if symbol and found[index] and symbol != found[index]:
                raise InputError(
                    f"species {index + 1} is {found[index]} in {first[index]}, but {symbol} in {place}; "
                    f"{advice}"
                )
            if symbol and not found[index]:
                found[index], first[index] = symbol, place
    return found
