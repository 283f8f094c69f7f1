"""trainpoints.YYYYYY.out, testpoints, trainforces, testforces: references and predictions of both sets.

One ``#`` header line each, in the columns of recent RuNNer, which begin as n2p2's do; YYYYYY is the epoch::

    points   index  natoms  Eref               Ennp      Eref-Ennp
    forces   index  atom    FxRef FyRef FzRef  Fx Fy Fz

index is the position in input.data; it and the atoms count from 1. Units are those of input.data; energies
are totals that include the free atoms.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.io.output import replace_file
from bnnp.units import Units

Array = NDArray[np.float64]

HEADER = "# Conf."


def points_name(subset: str, epoch: int) -> str:
    """Name of the energy file; `subset` is train or test.

    >>> points_name("test", 12)
    'testpoints.000012.out'
    """
    return f"{subset}points.{epoch:06d}.out"


def forces_name(subset: str, epoch: int) -> str:
    """Name of the force file."""
    return f"{subset}forces.{epoch:06d}.out"


def write_points(path: Path, units: Units, points: Iterable[tuple[int, int, float, float]]) -> None:
    """Write (index from 0, natoms, reference, prediction) of each structure, total energies."""
    with replace_file(path) as file:
        names = "".join(f" {name:>24}" for name in ("Eref", "Ennp", "Eref-Ennp"))
        file.write(f"{HEADER}   natoms{names} | {units.energy}\n")
        for index, n_atoms, reference, prediction in points:
            values = (reference, prediction, reference - prediction)
            file.write(
                f"{index + 1:8d} {n_atoms:7d}" + "".join(f" {value:24.16E}" for value in values) + "\n"
            )


def write_forces(path: Path, units: Units, forces: Iterable[tuple[int, Array, Array]]) -> None:
    """Write (index from 0, (n_atoms, 3) reference, (n_atoms, 3) prediction) of each structure.

    Atoms whose reference is NaN are left out.
    """
    with replace_file(path) as file:
        names = "".join(f" {name:>16}" for name in ("FxRef", "FyRef", "FzRef", "Fx", "Fy", "Fz"))
        file.write(f"{HEADER}     atom{names} | {units.force}\n")
        for index, reference, prediction in forces:
            for atom, row in enumerate(np.concatenate([reference, prediction], axis=1), start=1):
                if np.isfinite(row[0]):
                    numbers = "".join(f" {value:16.8E}" for value in row)
                    file.write(f"{index + 1:8d} {atom:7d}{numbers}\n")
