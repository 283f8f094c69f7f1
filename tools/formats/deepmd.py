"""DeePMD-kit's systems: a directory a composition, or a "mixed" one with types for every frame.

::

    type.raw                     index of the element of each atom, from 0
    type_map.raw                 the elements
    nopbc                        an empty file: free molecules
    set.000/coord.npy            (n_frames, 3 n_atoms) Angstrom
            box.npy              (n_frames, 9) Angstrom, rows are the lattice vectors
            energy.npy           (n_frames,) eV
            force.npy            (n_frames, 3 n_atoms) eV/Angstrom
            virial.npy           (n_frames, 9) eV, = -volume * stress
            real_atom_types.npy  (n_frames, n_atoms) of mixed systems; -1 is no atom, but fills a row

Where there is no set.*, the same as text: coord.raw, box.raw, ..., a line a frame. An HDF5 file has these
files as datasets, in one group a system (nopbc may be there, and false); the first dpdata that wrote HDF5
called them coords.npy, cells.npy, energies.npy, forces.npy, virials.npy. What else a set has (fparam.npy,
spin.npy, ...) is left aside, and so is the virial of a molecule.

References: DeePMD-kit manual, "Formats of a system", "Mixed type"; dpdata, "deepmd/raw", "deepmd/hdf5".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.errors import BnnpError, InputError
from bnnp.io.ase_labels import LOPSIDED
from bnnp.io.atom_lines import LARGEST, are_numbers
from bnnp.io.text import read_lines, reason_of
from bnnp.messages import count
from bnnp.structure import Structure
from bnnp.units import METAL, Units
from formats.change_units import change_units

Array = NDArray[np.float64]

HDF5_NAMES = (".h5", ".hdf5", ".hdf")
WIDTHS = {"coord": 3, "box": 9, "energy": 1, "force": 3, "virial": 9, "real_atom_types": 1}  # numbers a frame
OF_ATOMS = ("coord", "force", "real_atom_types")  # so many an atom
OLD_NAMES = {"coord": "coords", "box": "cells", "energy": "energies", "force": "forces", "virial": "virials"}
NO_ATOM = -1
OF_SYSTEM = ("type.raw", "type_map.raw")
FLAT = 1e-7  # Angstrom^3: of lattice vectors in one plane
END = {0: 40, 1: 44, 2: 28, 3: 28}  # where a version of HDF5's superblock has the length of the file


class Folder(Protocol):
    """A directory, or a group of an HDF5 file."""

    @property
    def where(self) -> str:
        """As messages name it."""
        ...

    def names(self) -> list[str]:
        """What is in it, sorted."""
        ...

    def folder(self, name: str) -> Folder:
        """A folder in it."""
        ...

    def words(self, name: str) -> list[str]:
        """The words of a small text file."""
        ...

    def numbers(self, name: str) -> Array:
        """The numbers of a file, (rows, ...) float64."""
        ...

    def is_periodic(self) -> bool:
        """Whether it has no `nopbc`."""
        ...


@dataclass(frozen=True)
class Directory:
    """A directory with npy or text files."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        return sorted(file.name for file in self.path.iterdir())

    def folder(self, name: str) -> Directory:
        return Directory(self.path / name)

    def words(self, name: str) -> list[str]:
        return "\n".join(read_lines(self.path / name, "the types or elements of DeePMD-kit")).split()

    def numbers(self, name: str) -> Array:
        file = self.path / name
        if name.endswith(".raw"):
            return np.loadtxt(file, dtype=np.float64, ndmin=2)
        with open(file, "rb") as stream:
            array = np.load(stream).astype(np.float64)
            if stream.read(1):
                raise ValueError("it is longer than its header says: damaged")
        return np.asarray(array)

    def is_periodic(self) -> bool:
        return not (self.path / "nopbc").exists()


@dataclass(frozen=True)
class Group:
    """A group of an HDF5 file."""

    group: Any

    @property
    def where(self) -> str:
        return f"{self.group.file.filename}#{self.group.name}"

    def names(self) -> list[str]:
        return sorted(self.group)

    def folder(self, name: str) -> Group:
        return Group(self.group[name])

    def words(self, name: str) -> list[str]:
        values = np.atleast_1d(self.group[name][()]).ravel().tolist()
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values]

    def numbers(self, name: str) -> Array:
        return np.asarray(self.group[name][()].astype(np.float64))

    def is_periodic(self) -> bool:
        return "nopbc" not in self.group or not np.asarray(self.group["nopbc"][()]).any()


def find_systems(path: Path) -> list[Path]:
    """The systems in a directory and below it."""
    return sorted(file.parent for file in path.rglob("type.raw"))


def is_deepmd_file(path: Path) -> bool:
    """Whether a file is HDF5 with a system in it."""
    if path.suffix not in HDF5_NAMES or not h5py.is_hdf5(path):
        return False
    with opened(path) as file:
        return bool(_groups(file))


def read_systems(path: Path, units: Units, left_aside: Counter[str]) -> Iterator[Structure]:
    """The frames of all systems in a directory or an HDF5 file, in `units`.

    `left_aside` counts the frames by the name of what was not taken of them.

    Raises
    ------
    InputError
        A file is missing or has the wrong size, or a type has no element.
    """
    with ExitStack() as stack:
        systems: list[tuple[Path, str, Folder]] = [(one, "", Directory(one)) for one in find_systems(path)]
        if path.is_file():
            file = stack.enter_context(opened(path))
            systems = [(path, f"#{name}", Group(file[name])) for name in _groups(file)]
        for place, name, system in systems:
            for number, structure in enumerate(_read_system(system, left_aside), 1):
                info = {"source": f"{'/'.join(place.parts[-2:])}{name}:{number}"}
                yield change_units(Structure(**structure, info=info), METAL, units)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file; what h5py stumbles over becomes an InputError."""
    try:
        _demand_length(path)
        with h5py.File(path) as file:
            yield file
    except BnnpError:
        raise
    except Exception as error:
        raise InputError(f"{path}: damaged, or no HDF5 file: {reason_of(error)}") from error


def _demand_length(path: Path) -> None:
    """Refuse an HDF5 file that is longer than it says: something was inserted, and numbers are displaced."""
    with open(path, "rb") as file:
        head = file.read(52)
    place = END.get(head[8], 0)
    known = int.from_bytes(head[place : place + 8], "little")
    if place and path.stat().st_size > known:
        raise InputError(
            f"{path}: has {count(path.stat().st_size, 'byte')}, but {known} by its head: damaged; copy or "
            "write it again"
        )


def _groups(file: Any) -> list[str]:
    """Names of the systems in an HDF5 file."""
    names = ["/"] if "type.raw" in file else []
    file.visit(lambda name: names.append(name.rpartition("/")[0]) if name.endswith("/type.raw") else None)
    return sorted(names)


def _read_system(system: Folder, left_aside: Counter[str]) -> Iterator[dict[str, Any]]:
    """Arguments of `Structure` for each frame, in Angstrom and eV."""
    types, numbers = _types(system), _elements(system)
    _demand_known(types, numbers, f"{system.where}/type.raw")
    periodic = system.is_periodic()
    for folder in _sets(system):
        arrays, others = _load(folder, len(types))
        if periodic and "box" not in arrays:
            raise InputError(
                f"{folder.where}: no box.npy, and no file `nopbc` that says it is a free molecule"
            )
        if not periodic and "virial" in arrays:
            others.append("virial")
        for frame in range(len(arrays["coord"])):
            left_aside.update(others)
            values = {name: array[frame] for name, array in arrays.items()}
            real = types
            if "real_atom_types" in values:
                real = values["real_atom_types"].astype(np.int64)
                if np.any(real != values["real_atom_types"]):
                    raise InputError(
                        f"{folder.where}/real_atom_types.npy frame {frame + 1}: a type is no whole number"
                    )
                kept = real != NO_ATOM
                real = real[kept]
                _demand_known(real, numbers, f"{folder.where}/real_atom_types.npy frame {frame + 1}")
                for name in {"coord", "force"} & set(values):
                    values[name] = values[name].reshape(-1, 3)[kept]
            yield _frame(numbers[real], values, periodic, f"{folder.where} frame {frame + 1}")


def _frame(
    numbers: NDArray[np.int64], values: dict[str, Array], periodic: bool, where: str
) -> dict[str, Any]:
    cell = stress = None
    if periodic:
        cell = values["box"].reshape(3, 3)
    if cell is not None and "virial" in values:
        volume = abs(float(np.linalg.det(cell)))
        if volume < FLAT:
            raise InputError(f"{where}: its cell has no volume; correct the box, or add a file `nopbc`")
        tensor = -values["virial"].reshape(3, 3) / volume
        if np.abs(tensor - tensor.T).max() > LOPSIDED * np.abs(tensor).max():
            raise InputError(f"{where}: its virial is no symmetric matrix: damaged, or not of this frame")
        stress = 0.5 * (tensor + tensor.T).ravel()[[0, 4, 8, 5, 2, 1]]
    return {
        "numbers": numbers,
        "positions": values["coord"].reshape(-1, 3),
        "cell": cell,
        "energy": float(values["energy"][0]) if "energy" in values else None,
        "forces": values["force"].reshape(-1, 3) if "force" in values else None,
        "stress": stress,
    }


def _demand_known(types: NDArray[np.int64], numbers: NDArray[np.int64], where: str) -> None:
    """Refuse types that type_map.raw does not name, and a frame without atoms."""
    if not len(types):
        raise InputError(f"{where}: there is no atom")
    if types.min() < 0 or types.max() >= len(numbers):
        wrong = types.min() if types.min() < 0 else types.max()
        raise InputError(
            f"{where}: there is type {wrong}, but type_map.raw names {count(len(numbers), 'element')}, "
            f"types 0 to {len(numbers) - 1}"
        )


def _sets(system: Folder) -> list[Folder]:
    """The parts of a system: set.*, or where there is none itself, with text files."""
    names = system.names()
    if sets := [system.folder(name) for name in names if name.startswith("set.")]:
        return sets
    if "coord.raw" in names:
        return [system]
    raise InputError(f"{system.where}: neither set.* nor coord.raw in this system of DeePMD-kit")


def _types(system: Folder) -> NDArray[np.int64]:
    """Type of each atom, from 0."""
    try:
        return np.array([int(word) for word in system.words("type.raw")], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{system.where}/type.raw: cannot be read as numbers of types ({error})") from None


def _elements(system: Folder) -> NDArray[np.int64]:
    """Atomic number of each type."""
    if "type_map.raw" not in system.names():
        raise InputError(
            f"{system.where}: no type_map.raw, which names the elements; write it, one symbol a line"
        )
    symbols = system.words("type_map.raw")
    if unknown := [symbol for symbol in symbols if symbol not in atomic_numbers]:
        raise InputError(f"{system.where}/type_map.raw: `{unknown[0]}` is no chemical symbol")
    return np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64)


def _load(folder: Folder, n_atoms: int) -> tuple[dict[str, Array], list[str]]:
    """All arrays of a set, (n_frames, numbers a frame) float64, by name, and the names of what else it has.

    There is always `coord`.
    """
    there = folder.names()
    ending = "raw" if "coord.raw" in there else "npy"
    others = {name for name in there if name.endswith(f".{ending}") and name not in OF_SYSTEM}
    arrays: dict[str, Array] = {}
    for name, width in WIDTHS.items():
        file, old = f"{name}.{ending}", f"{OLD_NAMES.get(name, name)}.{ending}"
        if file not in there and old in there:
            file = old
        elif file != old and {file, old} <= set(there):
            raise InputError(f"{folder.where}: {file} and {old}; remove one of them")
        elif file not in there and name != "coord":
            continue
        others.discard(file)
        width *= n_atoms if name in OF_ATOMS else 1
        try:
            array = folder.numbers(file)
        except Exception as error:  # whatever NumPy and h5py stumble over
            raise InputError(
                f"{folder.where}/{file}: cannot be read as numbers ({reason_of(error)})"
            ) from None
        n_frames = len(arrays["coord"]) if arrays else len(array) if array.ndim else 1
        if array.size != n_frames * width:
            raise InputError(
                f"{folder.where}/{file}: {count(array.size, 'number')} in the shape {array.shape}, expected "
                f"{width} for each of {count(n_frames, 'frame')}"
            )
        array = array.reshape(n_frames, width)
        if not are_numbers(array):
            raise InputError(
                f"{folder.where}/{file}: a number is not finite, or above {LARGEST:g}; repeat that "
                "calculation"
            )
        arrays[name] = array
    return arrays, sorted(name.removesuffix(f".{ending}") for name in others)
