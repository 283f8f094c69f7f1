"""The layout of symmetry_functions.h5: shapes of all datasets and rows of every structure in them.

It is known before anything is computed: mode 1 first counts the atoms and pairs of every structure, and the
rows follow by cumulative sums. The schema is in :mod:`bnnp.io.descriptor_file`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.model import Model

FORMAT = "bnnp symmetry functions"
VERSION = 1
DONE = "structures/done"
CHECKSUMS = "structures/checksum"
CHARGED = " charges dipoles"  # part of the key of a file with charges
DERIVATIVES = {  # datasets that exist only if derivatives are stored
    "structures/first_pair",
    "structures/first_value",
    "atoms/n_neighbors",
    "pairs/neighbor",
    "pairs/vector",
    "derivatives/blocks",
}

Integers = NDArray[np.int64]


def definitions(model: Model) -> dict[str, tuple[str, ...]]:
    """Text of every symmetry function, by element of the center."""
    return {
        element: tuple(function.definition() for function in model.functions[element])
        for element in model.elements
    }


def blocks_of(elements: Sequence[str], stored: bool, charged: bool = False) -> list[str]:
    """The datasets that are written structure by structure, in the order of the columns of the checksums."""
    of_structure, of_atoms = (("charge", "dipole"), ("charge", "born_charges")) if charged else ((), ())
    labels = [f"structures/{name}" for name in ("energy", "stress", "cell", "weight", *of_structure)]
    atoms = [f"atoms/{name}" for name in ("type", "position", "force", *of_atoms)]
    derivatives = ["atoms/n_neighbors", "pairs/neighbor", "pairs/vector", "derivatives/blocks"]
    return [*labels, *atoms, *(f"descriptors/{element}" for element in elements), *derivatives * stored]


def key_of(origin: str, tables: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of the fingerprint, digest and division in `origin`, and of the tables."""
    key = hashlib.sha256(f"{FORMAT} {VERSION} {origin}".encode())
    for name, table in sorted(tables.items()):
        key.update(f"{name} {table.shape} {table.dtype}".encode())
        key.update(np.ascontiguousarray(table).tobytes())
    return key.hexdigest()


def division_keywords(seed: int, fraction: float, calibration: str = "") -> str:
    """The keywords that determine the random sets, as text for the file and for messages.

    Parameters
    ----------
    seed, fraction
        Values of random_seed and test_fraction.
    calibration : str
        Keywords of the calibration set; empty without one.
    """
    return f"random_seed {seed}, test_fraction {fraction!r}" + (f", {calibration}" if calibration else "")


@dataclass(frozen=True, eq=False)
class DescriptorLayout:
    """Shapes and row ranges of all datasets, for n kept structures and n_e elements.

    Parameters
    ----------
    model : Model
    input_digest : str
        SHA-256 of input.data.
    stored : bool
        Whether pairs and derivatives are stored.
    source : (n,) int64
        Position in input.data of each kept structure, from 0, ascending.
    subset : (n,) uint8
        Number of the :class:`bnnp.structure.Set`.
    group : (n,) int32
        Index into `groups`.
    groups : tuple of str
    n_atoms : (n, n_e) int64
        Atoms of each element.
    n_pairs : (n, n_e, n_e) int64
        Pairs by element of center and neighbor.
    n_sensitive : (n_e, n_e) int64
        Functions of a center that depend on a neighbor, by their elements.
    pbc : (n, 3) bool, optional
        Whether each cell is repeated along its vectors; by default along all.
    division : str
        The keywords that determine the random sets, :func:`division_keywords`; empty if input.data assigns
        every structure to a set.
    """

    model: Model
    input_digest: str
    stored: bool
    source: Integers
    subset: NDArray[np.uint8]
    group: NDArray[np.int32]
    groups: tuple[str, ...]
    n_atoms: Integers
    n_pairs: Integers
    n_sensitive: Integers
    pbc: NDArray[np.bool_] | None = None
    division: str = ""

    def __len__(self) -> int:
        return len(self.source)

    @property
    def charged(self) -> bool:
        """Whether charges are stored: for a potential that has them."""
        return self.model.charged

    @cached_property
    def first_atom(self) -> Integers:
        """First atom of each structure, (n + 1,) int64."""
        return _offsets(self.n_atoms.sum(axis=1))

    @cached_property
    def first_row(self) -> Integers:
        """First row of each structure in the descriptors of each element, (n + 1, n_e) int64."""
        return np.stack([_offsets(column) for column in self.n_atoms.T], axis=1)

    @cached_property
    def first_pair(self) -> Integers:
        """First pair of each structure, (n + 1,) int64."""
        return _offsets(self.n_pairs.sum(axis=(1, 2)))

    @cached_property
    def first_value(self) -> Integers:
        """First value of each structure in the derivative blocks, (n + 1,) int64."""
        return _offsets(3 * (self.n_pairs * self.n_sensitive).sum(axis=(1, 2)))

    @property
    def tables(self) -> dict[str, NDArray[Any]]:
        """The datasets whose contents are known before the computation."""
        tables: dict[str, NDArray[Any]] = {
            "structures/first_atom": self.first_atom,
            "structures/first_row": self.first_row,
            "structures/source": self.source,
            "structures/subset": self.subset,
            "structures/group": self.group,
            "groups": np.array([group.encode() for group in self.groups], dtype=np.bytes_),
        }
        for element, texts in definitions(self.model).items():
            tables[f"functions/{element}"] = np.array([text.encode() for text in texts], dtype=np.bytes_)
        if self.pbc is not None and not self.pbc.all():
            tables["structures/pbc"] = self.pbc.astype(np.uint8)
        if self.stored:
            tables |= {"structures/first_pair": self.first_pair, "structures/first_value": self.first_value}
        return tables

    @cached_property
    def slices(self) -> dict[str, tuple[Integers, tuple[int, ...], np.dtype[Any]]]:
        """For each dataset written structure by structure: first rows (n + 1,), shape of a row, dtype."""
        real, single, integer = np.dtype("<f8"), np.dtype("<f4"), np.dtype("<i4")
        one = np.arange(len(self) + 1)
        slices: dict[str, tuple[Integers, tuple[int, ...], np.dtype[Any]]] = {
            "structures/energy": (one, (), real),
            "structures/stress": (one, (6,), real),
            "structures/cell": (one, (3, 3), real),
            "structures/weight": (one, (), real),
            "structures/charge": (one, (), real),
            "structures/dipole": (one, (3,), real),
            "atoms/type": (self.first_atom, (), integer),
            "atoms/position": (self.first_atom, (3,), real),
            "atoms/force": (self.first_atom, (3,), real),
            "atoms/charge": (self.first_atom, (), real),
            "atoms/born_charges": (self.first_atom, (3, 3), real),
        }
        if not self.charged:
            wanted = blocks_of((), stored=False)
            slices = {name: slices[name] for name in wanted}
        for number, element in enumerate(self.model.elements):
            width = len(self.model.functions[element])
            slices[f"descriptors/{element}"] = (self.first_row[:, number], (width,), real)
        if self.stored:
            slices |= {
                "atoms/n_neighbors": (self.first_atom, (), integer),
                "pairs/neighbor": (self.first_pair, (), integer),
                "pairs/vector": (self.first_pair, (3,), real),
                "derivatives/blocks": (self.first_value, (), single),
            }
        assert list(slices) == blocks_of(self.model.elements, self.stored, self.charged)
        return slices | {CHECKSUMS: (one, (len(slices),), np.dtype("<u4"))}

    @property
    def bytes_without_derivatives(self) -> int:
        """Size of all datasets except pairs and derivatives."""
        tables = sum(table.nbytes for name, table in self.tables.items() if name not in DERIVATIVES)
        return tables + len(self) + sum(self._bytes(name) for name in self.slices if name not in DERIVATIVES)

    @property
    def bytes_of_derivatives(self) -> int:
        """Size that pairs and derivatives take, or would take."""
        starts = (self.first_atom, self.first_pair, self.first_value)
        n_atoms, n_pairs, n_values = (int(first[-1]) for first in starts)
        return 4 * n_atoms + (4 + 24) * n_pairs + 4 * n_values + 2 * 8 * (len(self) + 1)

    @property
    def bytes(self) -> int:
        """Size of the file, without the few kilobytes of HDF5's headers."""
        return self.bytes_without_derivatives + (self.bytes_of_derivatives if self.stored else 0)

    def _bytes(self, name: str) -> int:
        first, shape, dtype = self.slices[name]
        return int(first[-1]) * int(np.prod(shape, dtype=np.int64)) * dtype.itemsize

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything the contents follow from; a run continues an unfinished file with its key."""
        origin = f"{self.model.fingerprint} {self.input_digest} {self.division}"
        return key_of(origin + CHARGED * self.charged, self.tables)


def _offsets(counts: Sequence[int] | Integers) -> Integers:
    """0, then the cumulative sums."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
