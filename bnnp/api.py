"""Functions for notebooks and scripts: reading data and computing symmetry functions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from bnnp.descriptors.compiled import Descriptor
from bnnp.errors import InputError
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import read_structures
from bnnp.settings.settings import Settings, load_settings
from bnnp.structure import Structure


def read_data(path: str | Path = "input.data", require_labels: bool = False) -> list[Structure]:
    """The structures of an input.data, in the units of the file.

    Parameters
    ----------
    path : str or Path
    require_labels : bool
        Refuse structures without energy or forces.

    Raises
    ------
    InputError
        With file, line and structure, for everything that is not in the format of input.data.
    """
    return list(read_structures(path, require_labels=require_labels))


def symmetry_functions(
    structures: Structure | Atoms | Iterable[Structure | Atoms],
    input_nn: str | Path = "input.nn",
    threads: int = 1,
) -> list[NDArray[np.float64]]:
    """Symmetry functions, unscaled, as mode 1 computes them.

    Parameters
    ----------
    structures : Structure, ase.Atoms, or several of them
        A Structure in the units of input.nn, Atoms in Angstrom.
    input_nn : str or Path
        Elements, symmetry functions, cutoff function and units.
    threads : int

    Returns
    -------
    list of (n_atoms, width) float64
        One array per structure. A row holds the functions of the atom's element in the order of scaling.data
        (``load_settings(input_nn).model.functions[element]``) and zeros up to the longest list.

    Raises
    ------
    InputError, NumericalError
        A mistake in input.nn, an element that it does not contain, coinciding atoms or positions that are not
        finite.
    """
    settings = load_settings(input_nn, mode_required=False)
    descriptor = settings.model.descriptor(threads)
    several = [structures] if isinstance(structures, Structure | Atoms) else structures
    return [_values(structure, descriptor, settings) for structure in several]


def _values(structure: Structure | Atoms, descriptor: Descriptor, settings: Settings) -> NDArray[np.float64]:
    if isinstance(structure, Atoms):
        structure = from_atoms(structure, settings.model.units, labels=False)
    unknown = sorted(set(structure.symbols) - set(settings.model.elements))
    if unknown:
        raise InputError(
            f"{structure.where}: element {', '.join(unknown)} is not among the elements of input.nn, "
            f"{' '.join(settings.model.elements)}. Remove the structure or add the element."
        )
    types, pairs = descriptor.environments(structure)
    return descriptor.values(types, pairs)
