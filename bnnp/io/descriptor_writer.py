"""Writing symmetry_functions.h5 from many ranks at once, so that a killed run loses nothing it finished.

h5py's wheels are serial, but contiguous HDF5 datasets have a fixed place in the file: the root allocates
them and tells every rank the byte offsets (:mod:`bnnp.io.descriptor_allocation`), each rank writes its own
structures there with `pwrite`, and the root gives the file its final name when all are there. Nothing in
the file depends on who wrote it or when: the bytes are the same for any number of ranks.

A structure is marked once its data is on the disk (fsync), so an interrupted run continues with those that
have no mark. A network file system is assumed: no mmap, no locks, and nobody reads the file while it is
written (it is opened for writing only, and :func:`bnnp.io.descriptor_allocation.prepare` leaves nothing of it
in the cache), so that a client never writes back a whole page which another rank is writing part of.
"""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import NeighborList
from bnnp.io.descriptor_allocation import Placement
from bnnp.io.descriptor_layout import MARKS, FileLayout
from bnnp.io.output import cannot_write
from bnnp.structure import Structure

FLUSH_SECONDS = 1.0  # finished structures are secured this often


class DescriptorWriter:
    """One rank's hand in the file: writes whole structures, each at its place.

    A context manager: leaving it without an error secures and marks what was written.
    """

    def __init__(self, placement: Placement, layout: FileLayout) -> None:
        self._layout = layout
        self._placement = placement
        self._unmarked: list[int] = []
        self._secured = time.monotonic()
        try:
            self._file = os.open(placement.path, os.O_WRONLY)
        except OSError as error:
            raise cannot_write(placement.path, error) from error

    def __enter__(self) -> DescriptorWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.secure()
        finally:
            os.close(self._file)

    def write(
        self,
        number: int,
        structure: Structure,
        types: NDArray[np.int32],
        values: NDArray[np.float64],
        pairs: NeighborList | None = None,
        blocks: NDArray[np.float32] | NDArray[np.float64] | None = None,
    ) -> None:
        """Write structure `number` of the layout.

        Parameters
        ----------
        number : int
        structure : Structure
        types : (n_atoms,) int32
            Index of the element.
        values : (n_atoms, width) float64
            Symmetry functions, zero-padded to the longest set.
        pairs : NeighborList, optional
        blocks : flat float, optional
            Derivative blocks in pair order; with `pairs`, if derivatives are stored.
        """
        arrays: dict[str, Any] = {
            "structures/energy": _or_nan(structure.energy, (1,)),
            "structures/stress": _or_nan(structure.stress, (1, 6)),
            "structures/cell": _or_nan(structure.cell, (1, 3, 3)),
            "structures/weight": np.array([structure.weight]),
            "atoms/type": types,
            "atoms/position": structure.positions,
            "atoms/force": _or_nan(structure.forces, (len(structure), 3)),
        }
        for index, element in enumerate(self._layout.model.elements):
            width = len(self._layout.model.functions[element])
            arrays[f"descriptors/{element}"] = values[types == index, :width]
        if pairs is not None:
            arrays |= {
                "atoms/n_neighbors": np.diff(pairs.first),
                "pairs/neighbor": pairs.neighbors,
                "pairs/vector": pairs.vectors,
                "derivatives/blocks": blocks,
            }
        for name, array in arrays.items():
            self._put(name, number, np.asarray(array))
        self._unmarked.append(number)
        if time.monotonic() - self._secured > FLUSH_SECONDS:
            self.secure()

    def secure(self) -> None:
        """Bring what was written to the disk, then mark it."""
        try:
            os.fsync(self._file)
            for number in self._unmarked:
                self._write_at(self._placement.offsets[MARKS] + number, b"\x01")
            os.fsync(self._file)
        except OSError as error:
            raise cannot_write(self._placement.path, error) from error
        self._unmarked.clear()
        self._secured = time.monotonic()

    def _put(self, name: str, number: int, array: NDArray[Any]) -> None:
        """Write the rows of structure `number` of one dataset."""
        first, shape, dtype = self._layout.slices[name]
        start, end = int(first[number]), int(first[number + 1])
        assert array.shape == (end - start, *shape), (name, array.shape, (end - start, *shape))
        if array.size == 0:
            return
        row = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        try:
            data = np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8)
            self._write_at(self._placement.offsets[name] + start * row, data.data)
        except OSError as error:
            raise cannot_write(self._placement.path, error) from error

    def _write_at(self, offset: int, view: bytes | memoryview) -> None:
        while len(view):
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written


def _or_nan(array: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """`array` in `shape`, or NaN where the structure has none."""
    return np.full(shape, np.nan) if array is None else np.reshape(array, shape)
