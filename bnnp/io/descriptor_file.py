"""symmetry_functions.h5: what mode 1 writes and mode 2 reads.

Schema, version 1. n structures, N atoms, n_e elements (ascending atomic number), units of input.data. All
datasets are contiguous, little-endian; structures are in the order of input.data, without the rejected
ones; atoms are in the order of their structure.

====================== ============= ======= ================================================================
name                   shape         dtype   content
====================== ============= ======= ================================================================
structures/first_atom  (n + 1,)      int64   atoms of structure i are first_atom[i] ... first_atom[i + 1] - 1
structures/first_row   (n + 1, n_e)  int64   likewise its rows in descriptors/X of each element
structures/source      (n,)          int64   position in input.data, from 0
structures/subset      (n,)          uint8   0 training, 1 test, 2 calibration, 3 calibration_ood
structures/group       (n,)          int32   index into `groups`
structures/energy      (n,)          float64 total energy as in input.data (with free-atom energies), energy
structures/stress      (n, 6)        float64 ASE's sign, xx yy zz yz xz xy, energy/length^3; NaN without
structures/cell        (n, 3, 3)     float64 rows are the lattice vectors, length; NaN for a free molecule
structures/pbc         (n, 3)        uint8   1: repeated along this vector; missing where all are
structures/weight      (n,)          float64 weight in the training loss
structures/charge      (n,)          float64 total charge, e; only for a potential with charges, as the next
structures/dipole      (n, 3)        float64 dipole moment, e length; NaN without
structures/done        (n,)          uint8   1: the structure is written
structures/checksum    (n, n_blocks) uint32  CRC-32 of its rows in each dataset of :func:`blocks_of`
atoms/type             (N,)          int32   index of the element
atoms/position         (N, 3)        float64 length
atoms/force            (N, 3)        float64 energy/length; NaN without
atoms/charge           (N,)          float64 e; NaN without; only for a potential with charges, as the next
atoms/born_charges     (N, 3, 3)     float64 e; dP_a / dr_b; NaN without
descriptors/X          (N_X, n_X)    float64 symmetry functions of the atoms of element X, unscaled
functions/X            (n_X,)        text    their definitions, the arguments of `symfunction_short`
groups                 (n_groups,)   text    labels `group=` of the comment lines; the first is empty
only if derivatives are stored, pairs in the order of :class:`bnnp.descriptors.neighbors.NeighborList`:
structures/first_pair  (n + 1,)      int64   pairs of structure i
structures/first_value (n + 1,)      int64   values of structure i in derivatives/blocks
atoms/n_neighbors      (N,)          int32   neighbors of each atom
pairs/neighbor         (N_pairs,)    int32   index of the neighbor within the structure
pairs/vector           (N_pairs, 3)  float64 D = r_j + image - r_i, length
derivatives/blocks     (N_values,)   float32 dG/dD, pair by pair: (3, functions of X that depend on Y)
====================== ============= ======= ================================================================

Attributes of the root: format, version, elements, units, cutoff_type, cutoff_alpha, cutoff_radius (the
largest), derivatives (stored or recomputed), fingerprint (elements, functions, cutoff, units), input_digest
(sha256 of input.data), division (the keywords that determine the random sets; empty if input.data assigns all
structures to sets), key (of everything the contents follow from), complete (1 when every structure is there).

What is read is compared with the checksums and the key, so that a damaged file is refused. Files of bnnp 0.2
and before have no checksums and are read without.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.errors import InputError, StaleFileError
from bnnp.io.descriptor_allocation import unfinished_name
from bnnp.io.descriptor_layout import (
    CHARGED,
    DERIVATIVES,
    FORMAT,
    VERSION,
    blocks_of,
    definitions,
    division_keywords,
    key_of,
)
from bnnp.model import Model
from bnnp.structure import Periodicity, Structure

FILE_NAME = "symmetry_functions.h5"
DAMAGED = (  # what h5py and numpy raise for damaged headers
    *(KeyError, OSError, RuntimeError, ValueError, TypeError, IndexError, AttributeError, MemoryError),
    *(OverflowError, ZeroDivisionError),
)


class DescriptorFile:
    """A complete file, open for reading. A context manager.

    Attributes hold the datasets of the schema: those with one value per structure, and `types`, as arrays in
    memory; positions and forces as HDF5 datasets, which are read when they are sliced.

    Attributes
    ----------
    elements : tuple of str
    definitions : dict of str to tuple of str
        Text of each function by element.
    units : str
    derivatives : str
        ``stored`` or ``recomputed``.
    first_atom, first_row, source, subset, group, energy, stress, cell, weight : arrays as in the schema
    pbc : (n, 3) bool
    groups : tuple of str
    numbers : (n_elements,) int64
        Atomic numbers of the elements.
    types : (N,) int32
    positions, forces : (N, 3) float64 datasets
    charge : (n,) float64, or None
        Total charges; None in the file of a potential without charges.
    charges : (N,) float64, or None
        Of the atoms.
    dipole : (n, 3) float64
    born_charges : (N, 3, 3) float64 dataset
        NaN where there are none; only with `charges`.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._descriptor = os.open(file.filename, os.O_RDONLY)
        attributes = {name: _text(value) for name, value in file.attrs.items()}
        self.elements: tuple[str, ...] = tuple(attributes["elements"].split())
        self.units: str = attributes["units"]
        self.derivatives: str = attributes["derivatives"]
        self.fingerprint: str = attributes["fingerprint"]
        self.input_digest: str = attributes["input_digest"]
        self.division: str = attributes.get("division", "")
        self.cutoff: float = float(attributes["cutoff_radius"])
        self.definitions = {element: _texts(file[f"functions/{element}"]) for element in self.elements}
        self.groups = _texts(file["groups"])
        structures = file["structures"]
        self.first_atom: NDArray[np.int64] = structures["first_atom"][:]
        self.first_row: NDArray[np.int64] = structures["first_row"][:]
        self.source: NDArray[np.int64] = structures["source"][:]
        self.subset: NDArray[np.uint8] = structures["subset"][:]
        self.group: NDArray[np.int32] = structures["group"][:]
        self.energy: NDArray[np.float64] = structures["energy"][:]
        self.stress: NDArray[np.float64] = structures["stress"][:]
        self.cell: NDArray[np.float64] = structures["cell"][:]
        self.pbc = np.ones((len(self.cell), 3), dtype=bool)
        if "pbc" in structures:
            self.pbc = structures["pbc"][:].astype(bool)
        self.weight: NDArray[np.float64] = structures["weight"][:]
        self.types: NDArray[np.int32] = file["atoms/type"][:]
        charged = "charge" in structures
        self.charge: NDArray[np.float64] | None = structures["charge"][:] if charged else None
        self.charges: NDArray[np.float64] | None = file["atoms/charge"][:] if charged else None
        if charged:
            self.dipole: NDArray[np.float64] = structures["dipole"][:]
            self.born_charges: h5py.Dataset = file["atoms/born_charges"]
        self.positions: h5py.Dataset = file["atoms/position"]
        self.forces: h5py.Dataset = file["atoms/force"]
        self.numbers = np.array([atomic_numbers[element] for element in self.elements])
        stored = self.derivatives == "stored"
        ranges = ("first_pair", "first_value") if stored else ()
        self._first = {name: structures[name][:] for name in ranges}
        self._columns = {name: k for k, name in enumerate(blocks_of(self.elements, stored, charged))}
        self._checksums = structures["checksum"][:] if "checksum" in structures else None
        if self._checksums is not None:
            self._demand_key(attributes["key"], stored)

    @classmethod
    def open(
        cls,
        path: str | Path,
        expected: Model | str | None = None,
        *,
        unfinished: bool = False,
        share: tuple[int, int] = (0, 1),
    ) -> DescriptorFile:
        """Open a file; refuse one that is not complete or was made with other settings.

        Parameters
        ----------
        path : str or Path
        expected : Model, str or None
            The model of input.nn, or its fingerprint: elements, functions, cutoff and units must be equal.
        unfinished : bool
            Whether mode 1 is still writing the file; `path` is its temporary name.
        share : (int, int)
            Number of this process and how many there are, for each to verify a part of the file.

        Raises
        ------
        InputError
            There is no such file.
        StaleFileError
            It is incomplete, damaged, of another format version, or made with other settings.
        """
        path = Path(path)
        file = h5py.File(path, "r", locking=False) if unfinished else _open_complete(path)
        try:
            found = cls(file)
            if not unfinished:
                found.verify(range(share[0], len(found), share[1]))
        except StaleFileError:
            file.close()
            raise
        except DAMAGED as error:
            file.close()
            raise damaged(f"{error}") from error
        cutoff = expected.largest_cutoff if isinstance(expected, Model) else found.cutoff
        if found.fingerprint == getattr(expected, "fingerprint", "") and found.cutoff != cutoff:
            found.close()
            raise damaged(f"its cutoff radius is {found.cutoff:g}, that of its functions {cutoff:g}")
        if expected is not None:
            fingerprint = expected if isinstance(expected, str) else expected.fingerprint
            if fingerprint != found.fingerprint:
                difference = "" if isinstance(expected, str) else found.difference(expected)
                found.close()
                raise StaleFileError(
                    f"{path.name}: was made with other settings than input.nn has now{difference}; "
                    "run mode 1 again"
                )
        return found

    def verify(self, structures: Iterable[int]) -> None:
        """Raise StaleFileError if anything but the derivatives of these structures has been damaged; those
        are verified when they are read."""
        names = [name for name in self._columns if name not in DERIVATIVES]
        for structure in structures if self._checksums is not None else ():
            for name in names:
                self._block(name, structure)

    def _block(self, name: str, structure: int) -> NDArray[Any]:
        """The rows of `structure` in a dataset, compared with their checksum."""
        kind, _, leaf = name.partition("/")
        if kind == "structures":
            rows = slice(structure, structure + 1)
        elif kind == "atoms":
            rows = self.atoms(structure)
        elif kind == "descriptors":
            rows = self.rows(structure, leaf)
        else:
            rows = self._range(structure, "first_pair" if kind == "pairs" else "first_value")
        values = self._rows(name, rows)
        if self._checksums is not None:
            found = zlib.crc32(values.reshape(-1).view(np.uint8).data)
            if found != self._checksums[structure, self._columns[name]]:
                where = f"structure {self.source[structure] + 1} of input.data"
                raise damaged(f"the checksum of {name} of {where} does not fit")
        return values

    def _demand_key(self, key: str, stored: bool) -> None:
        """Raise StaleFileError if the tables have changed since the file was begun."""
        names = [f"structures/{name}" for name in ("first_atom", "first_row", "source", "subset", "group")]
        names += [f"structures/{name}" for name in (*self._first, *["pbc"] * (not self.pbc.all()))]
        names += ["groups", *(f"functions/{element}" for element in self.elements)]
        tables = {name: self._file[name][:] for name in names}
        origin = f"{self.fingerprint} {self.input_digest} {self.division}" + CHARGED * (
            self.charge is not None
        )
        if key_of(origin, tables) != key:
            raise damaged("the tables of structures and functions do not fit its key")

    def demand_same_data(self, path: Path) -> None:
        """Raise StaleFileError if `path`, the input.data of mode 1, exists and has changed since."""
        if not path.is_file():
            return
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self.input_digest:
            raise StaleFileError(
                f"{path.name} has changed since mode 1 made {FILE_NAME} of it; run mode 1 again"
            )

    def division_warning(self, seed: int, fraction: float, calibration: str = "") -> str:
        """Warning if these keywords would divide the structures in another way, else an empty text."""
        wanted = division_keywords(seed, fraction, calibration)
        if self.division in ("", wanted):
            return ""
        return (
            f"the sets of structures are those of mode 1 ({self.division}), not those of input.nn now "
            f"({wanted}): run mode 1 again if they are to follow it"
        )

    def __enter__(self) -> DescriptorFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; its datasets cannot be read afterwards."""
        if self._file:
            self._file.close()
            os.close(self._descriptor)

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms of each structure, (n,) int64."""
        return np.diff(self.first_atom)

    @property
    def n_elements(self) -> NDArray[np.int64]:
        """Atoms of each element in each structure, (n, n_e) int64."""
        return np.diff(self.first_row, axis=0)

    def atoms(self, structure: int) -> slice:
        """Rows of `structure` in types, positions and forces."""
        return slice(int(self.first_atom[structure]), int(self.first_atom[structure + 1]))

    def rows(self, structure: int, element: str) -> slice:
        """Rows of `structure` in the descriptors of `element`."""
        column = self.elements.index(element)
        return slice(int(self.first_row[structure, column]), int(self.first_row[structure + 1, column]))

    def descriptors(self, element: str) -> h5py.Dataset:
        """Symmetry functions of all atoms of `element`, (N_X, n_X) float64, read when sliced."""
        return self._file[f"descriptors/{element}"]

    def periodic_cell(self, structure: int) -> NDArray[np.float64] | None:
        """Cell of `structure`, (3, 3) float64, or None for a free molecule."""
        cell = self.cell[structure]
        return None if np.isnan(cell).any() else cell

    def periodicity(self, structure: int) -> Periodicity:
        """Whether the cell is repeated along each of its vectors."""
        along = self.pbc[structure].tolist()
        return along[0], along[1], along[2]

    def structure(self, structure: int) -> Structure:
        """Atoms, cell and charges of `structure`, without its other references."""
        atoms = self.atoms(structure)
        known = None if self.charges is None or np.isnan(self.charges[atoms]).any() else self.charges[atoms]
        return Structure(
            self.numbers[self.types[atoms]],
            self.positions[atoms],
            self.periodic_cell(structure),
            pbc=self.periodicity(structure),
            charge=0.0 if self.charge is None else float(self.charge[structure]),
            charges=known,
            index=int(self.source[structure]),
        )

    def volume(self, structure: int) -> float | None:
        """Volume of the cell of `structure`, length^3; None without one."""
        cell = self.periodic_cell(structure)
        return None if cell is None else abs(float(np.linalg.det(cell))) or None

    def pairs(self, structure: int) -> NeighborList:
        """Pairs of `structure`: read if they are stored, else searched again."""
        atoms = self.atoms(structure)
        if self.derivatives != "stored":
            numbers, cell = self.numbers[self.types[atoms]], self.periodic_cell(structure)
            pbc = self.periodicity(structure)
            return find_neighbors(self.positions[atoms], cell, self.cutoff, numbers, pbc=pbc)
        n_neighbors = self._block("atoms/n_neighbors", structure)
        first = np.concatenate([[0], np.cumsum(n_neighbors, dtype=np.int64)])
        centers = np.repeat(np.arange(len(n_neighbors), dtype=np.int32), n_neighbors)
        neighbors, vectors = (self._block(f"pairs/{name}", structure) for name in ("neighbor", "vector"))
        return NeighborList(first, centers, neighbors, vectors)

    def blocks(self, structure: int) -> NDArray[np.float32]:
        """Derivative blocks of `structure`, flat float32; only if derivatives are stored."""
        if self.derivatives != "stored":
            raise ValueError("this file stores no derivatives")
        return self._block("derivatives/blocks", structure)

    def _range(self, structure: int, name: str) -> slice:
        first = self._first[name]
        return slice(int(first[structure]), int(first[structure + 1]))

    def _rows(self, name: str, rows: slice) -> NDArray[Any]:
        """Rows of a dataset, read without HDF5, whose lock would stop the other threads meanwhile.

        Raises
        ------
        StaleFileError
            The file is shorter than its datasets.
        """
        try:
            dataset = self._file[name]
            offset = dataset.id.get_offset()  # of a contiguous dataset, None if it has no storage
            if offset is None:
                return np.asarray(dataset[rows])
            values = np.empty((rows.stop - rows.start, *dataset.shape[1:]), dtype=dataset.dtype)
            row = values.nbytes // max(len(values), 1)
            left, position = values.reshape(-1).view(np.uint8).data, offset + rows.start * row
            while len(left):
                count = os.preadv(self._descriptor, [left], position)
                if count == 0:
                    raise damaged(f"it is cut short in {name}")
                left, position = left[count:], position + count
        except DAMAGED as error:
            raise damaged(f"{name}: {error}") from error
        return values

    def difference(self, model: Model) -> str:
        """How `model` differs from that of the file, for a message; begins with a comma."""
        if self.elements != model.elements:
            return f", elements {' '.join(self.elements)} instead of {' '.join(model.elements)}"
        if self.units != model.units.name:
            return f", units {self.units} instead of {model.units.name}"
        for element, wanted in definitions(model).items():
            had = self.definitions[element]
            if had != wanted:
                odd = next((text for text in wanted if text not in had), None)
                detail = (
                    f"`symfunction_short {odd}` is not in it"
                    if odd
                    else "it has functions that input.nn lacks"
                )
                return f", {len(had)} functions of {element} instead of {len(wanted)}: {detail}"
        return ", another cutoff function"


def damaged(reason: str) -> StaleFileError:
    """The error of a file whose bytes have changed since it was written."""
    return StaleFileError(f"{FILE_NAME}: damaged: {reason}. Remove it and run mode 1 again.")


def _open_complete(path: Path) -> h5py.File:
    """Open `path` and check that it is a complete file of this version."""
    if path.is_dir():
        raise InputError(f"{path.name}: is a directory; move it away and run mode 1")
    if not path.is_file():
        if unfinished_name(path).is_file():
            raise StaleFileError(
                f"{path.name}: mode 1 was interrupted; run mode 1 again, it continues where it was"
            )
        raise InputError(f"{path.name}: not found in {path.parent.resolve()}; run mode 1 first")
    try:
        file = h5py.File(path, "r", locking=False)
        attributes: Mapping[str, Any] = {name: _text(value) for name, value in file.attrs.items()}
    except DAMAGED as error:
        raise StaleFileError(
            f"{path.name}: cannot be read as HDF5, it is damaged or no HDF5 file; remove it and run mode 1 "
            "again"
        ) from error
    version = attributes.get("version")
    complaint = ""
    if attributes.get("format") != FORMAT:
        complaint = "was not written by bnnp; move it away and run mode 1"
    elif version != VERSION:
        complaint = f"has format version {version} but this bnnp reads version {VERSION}; run mode 1 again"
    elif attributes.get("complete") != 1:
        complaint = "is incomplete; run mode 1 again to continue"
    if complaint:
        file.close()
        raise StaleFileError(f"{path.name}: {complaint}")
    return file


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _texts(dataset: h5py.Dataset) -> tuple[str, ...]:
    return tuple(text.decode() for text in dataset[:])
