"""DeePMD-kit's npy systems: a directory a composition, or a "mixed" one with types for every frame.

::

    type.raw                     index of the element of each atom, from 0
    type_map.raw                 the elements
    nopbc                        an empty file: free molecules
    set.000/coord.npy            (n_frames, 3 n_atoms) Angstrom
            box.npy              (n_frames, 9) Angstrom, rows are the lattice vectors
            energy.npy           (n_frames,) eV
            force.npy            (n_frames, 3 n_atoms) eV/Angstrom
            virial.npy           (n_frames, 9) eV, = -volume * stress
            real_atom_types.npy  (n_frames, n_atoms) of mixed systems

Reference: DeePMD-kit manual, "Data formats of a system".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.structure import Structure
from bnnp.units import METAL, Units
from formats.change_units import change_units

Array = NDArray[np.float64]


def find_systems(path: Path) -> list[Path]:
    """The systems in a directory and below it."""
    return sorted(file.parent for file in path.rglob("type.raw"))


def read_systems(path: Path, units: Units) -> Iterator[Structure]:
    """The frames of all systems in a directory, in `units`.

    Raises
    ------
    InputError
        A file is missing or has the wrong size.
    """
    for system in find_systems(path):
        for number, structure in enumerate(_read_system(system)):
            info = {"source": f"{'/'.join(system.parts[-2:])}:{number}"}
            yield change_units(Structure(**structure, info=info), METAL, units)


def _read_system(path: Path) -> Iterator[dict[str, Any]]:
    """Arguments of `Structure` for each frame, in Angstrom and eV."""
    types = np.atleast_1d(np.loadtxt(path / "type.raw", dtype=int))
    numbers = _elements(path)
    if types.min() < 0 or types.max() >= len(numbers):
        raise InputError(f"{path}/type.raw: types go to {types.max()}, but type_map.raw names {len(numbers)}")
    sets = sorted(path.glob("set.*"))
    if not sets:
        raise InputError(f"{path}: no set.* in this system of DeePMD-kit")
    for folder in sets:
        coord = _load(folder, "coord", 3 * len(types))
        n_frames = len(coord)
        arrays = {
            name: _load(folder, name, size, n_frames)
            for name, size in (("box", 9), ("energy", 1), ("force", 3 * len(types)), ("virial", 9))
            if (folder / f"{name}.npy").exists()
        }
        mixed = folder / "real_atom_types.npy"
        real = np.load(mixed).astype(int) if mixed.exists() else np.tile(types, (n_frames, 1))
        periodic = not (path / "nopbc").exists()
        if periodic and "box" not in arrays:
            raise InputError(f"{folder}: no box.npy, and no file `nopbc` that says it is a free molecule")
        for frame in range(n_frames):
            real_types, values = real[frame], {name: array[frame] for name, array in arrays.items()}
            yield _frame(numbers[real_types], coord[frame], values, periodic)


def _frame(
    numbers: NDArray[np.int64], coord: Array, values: dict[str, Array], periodic: bool
) -> dict[str, Any]:
    cell = stress = None
    if periodic:
        cell = values["box"].reshape(3, 3)
    if cell is not None and "virial" in values:
        tensor = -values["virial"].reshape(3, 3) / abs(np.linalg.det(cell))
        stress = 0.5 * (tensor + tensor.T).ravel()[[0, 4, 8, 5, 2, 1]]
    return {
        "numbers": numbers,
        "positions": coord.reshape(-1, 3),
        "cell": cell,
        "energy": float(values["energy"][0]) if "energy" in values else None,
        "forces": values["force"].reshape(-1, 3) if "force" in values else None,
        "stress": stress,
    }


def _elements(path: Path) -> NDArray[np.int64]:
    """Atomic number of each type."""
    file = path / "type_map.raw"
    if not file.exists():
        raise InputError(f"{path}: no type_map.raw, which names the elements; write it, one symbol a line")
    symbols = file.read_text(encoding="utf-8").split()
    if unknown := [symbol for symbol in symbols if symbol not in atomic_numbers]:
        raise InputError(f"{file}: `{unknown[0]}` is no chemical symbol")
    return np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64)


def _load(folder: Path, name: str, width: int, n_frames: int | None = None) -> NDArray[np.float64]:
    """One array, (n_frames, width) float64."""
    file = folder / f"{name}.npy"
    try:
        array: NDArray[np.float64] = np.load(file).astype(np.float64)
        array = array.reshape(len(array) if n_frames is None else n_frames, width)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as numbers of {width} a frame ({error})") from None
    if not np.isfinite(array).all():
        raise InputError(f"{file}: a number is not finite; repeat that calculation")
    return array
