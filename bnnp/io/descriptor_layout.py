"""Where everything stands in symmetry_functions.h5 before anything is computed.

The survey of mode 1 knows the atoms and pairs of every structure, so the shape of every dataset and the
rows of every structure in it follow by cumulative sums. The schema is in :mod:`bnnp.io.descriptor_file`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.model import Model

FORMAT = "bnnp symmetry functions"
VERSION = 1
MARKS = "structures/done"
DERIVATIVES = {  # datasets that are there only if derivatives are stored
    "structures/first_pair",
    "structures/first_value",
    "atoms/n_neighbors",
    "pairs/neighbor",
    "pairs/vector",
    "derivatives/blocks",
}

Integers = NDArray[np.int64]


def definitions(model: Model) -> dict[str, tuple[str, ...]]:
    """Text of every function, by element of the center."""
    return {
        element: tuple(function.definition() for function in model.functions[element])
        for element in model.elements
    }


def division_words(seed: int, fraction: float, calibration: str = "") -> str:
    """The keywords that draw the sets, as the file keeps them and messages show them; `calibration` has those
    of the calibration set."""
    return f"random_seed {seed}, test_fraction {fraction!r}" + (f", {calibration}" if calibration else "")


@dataclass(frozen=True, eq=False)
class FileLayout:
    """Shapes and row ranges of all datasets for n kept structures and n_e elements.

    Parameters
    ----------
    model : Model
    input_digest : str
        sha256 of input.data.
    division : str
        The keywords that drew the sets, :func:`division_words`; empty if input.data pins every structure.
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
        Functions of a center that can feel a neighbor.
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
    division: str = ""

    def __len__(self) -> int:
        return len(self.source)

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
        """The small datasets that are known now."""
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
            "atoms/type": (self.first_atom, (), integer),
            "atoms/position": (self.first_atom, (3,), real),
            "atoms/force": (self.first_atom, (3,), real),
        }
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
        return slices

    @property
    def bytes_without_derivatives(self) -> int:
        """Size of all datasets but pairs and derivatives."""
        tables = sum(table.nbytes for name, table in self.tables.items() if name not in DERIVATIVES)
        return tables + len(self) + sum(self._bytes(name) for name in self.slices if name not in DERIVATIVES)

    @property
    def bytes_of_derivatives(self) -> int:
        """Size that pairs and derivatives take, or would take."""
        n_atoms, n_pairs, n_values = (
            int(self.first_atom[-1]),
            int(self.first_pair[-1]),
            int(self.first_value[-1]),
        )
        return 4 * n_atoms + (4 + 24) * n_pairs + 4 * n_values + 2 * 8 * (len(self) + 1)

    @property
    def bytes(self) -> int:
        """Size of the file, without HDF5's few kilobytes of its own."""
        return self.bytes_without_derivatives + (self.bytes_of_derivatives if self.stored else 0)

    def _bytes(self, name: str) -> int:
        first, shape, dtype = self.slices[name]
        return int(first[-1]) * int(np.prod(shape, dtype=np.int64)) * dtype.itemsize

    @cached_property
    def key(self) -> str:
        """Sha256 of all the content follows from: an unfinished file with this key can be continued."""
        origin = f"{self.model.fingerprint} {self.input_digest} {self.division}"
        key = hashlib.sha256(f"{FORMAT} {VERSION} {origin}".encode())
        for name, table in sorted(self.tables.items()):
            key.update(f"{name} {table.shape} {table.dtype}".encode())
            key.update(np.ascontiguousarray(table).tobytes())
        return key.hexdigest()


def _offsets(counts: Sequence[int] | Integers) -> Integers:
    """0, then the cumulative sums."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
