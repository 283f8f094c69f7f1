"""Writing symmetry_functions.h5 from many ranks at once; a killed run can be continued.

h5py's wheels are serial, but contiguous HDF5 datasets have a fixed position in the file: the root allocates
them and broadcasts the byte offsets (:mod:`bnnp.io.descriptor_allocation`), each rank writes its structures
there with `pwrite`, and the root renames the file when all are written. The bytes of the file are the same
for any number of ranks.

A structure is marked when its data is on the disk (fsync), so an interrupted run continues with those without
a mark. On a network file system a client must never write back a whole page while another rank writes a part
of it. Therefore there is no mmap and no lock, the file is open for writing only, and
:func:`bnnp.io.descriptor_allocation.prepare` leaves nothing of it in the cache.
"""

from __future__ import annotations

import os
import time
import zlib
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import NeighborList
from bnnp.io.descriptor_allocation import Placement
from bnnp.io.descriptor_layout import CHECKSUMS, DONE, DescriptorLayout
from bnnp.io.output import cannot_write
from bnnp.structure import Structure

FLUSH_SECONDS = 1.0  # finished structures are brought to the disk this often


class DescriptorWriter:
    """Writes the structures of one rank.

    A context manager: leaving it without an error brings them to the disk and marks them as written.
    """

    def __init__(self, placement: Placement, layout: DescriptorLayout) -> None:
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
            Symmetry functions, zero-padded to the longest list.
        pairs : NeighborList, optional
            With `blocks`, if derivatives are stored.
        blocks : (n_values,) float, optional
            Derivative blocks in the order of the pairs.
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
        if self._layout.charged:
            arrays |= {
                "structures/charge": np.array([structure.charge]),
                "structures/dipole": _or_nan(structure.dipole, (1, 3)),
                "atoms/charge": _or_nan(structure.charges, (len(structure),)),
                "atoms/born_charges": _or_nan(structure.born_charges, (len(structure), 3, 3)),
            }
        data = {name: self._bytes_of(name, number, np.asarray(array)) for name, array in arrays.items()}
        sums = [zlib.crc32(data[name]) for name in self._layout.slices if name in data]
        data[CHECKSUMS] = self._bytes_of(CHECKSUMS, number, np.array([sums]))
        for name, view in data.items():
            self._put(name, number, view)
        self._unmarked.append(number)
        if time.monotonic() - self._secured > FLUSH_SECONDS:
            self.secure()

    def secure(self) -> None:
        """Bring the structures written so far to the disk, then mark them."""
        try:
            os.fsync(self._file)
            for number in self._unmarked:
                self._write_at(self._placement.offsets[DONE] + number, b"\x01")
            os.fsync(self._file)
        except OSError as error:
            raise cannot_write(self._placement.path, error) from error
        self._unmarked.clear()
        self._secured = time.monotonic()

    def _bytes_of(self, name: str, number: int, array: NDArray[Any]) -> memoryview:
        """The rows of structure `number` of one dataset, as they stand in the file."""
        first, shape, dtype = self._layout.slices[name]
        count = int(first[number + 1] - first[number])
        assert array.shape == (count, *shape), (name, array.shape, (count, *shape))
        return np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data

    def _put(self, name: str, number: int, view: memoryview) -> None:
        """Write these rows."""
        if not len(view):
            return
        first, shape, dtype = self._layout.slices[name]
        row = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        try:
            self._write_at(self._placement.offsets[name] + int(first[number]) * row, view)
        except OSError as error:
            raise cannot_write(self._placement.path, error) from error

    def _write_at(self, offset: int, view: bytes | memoryview) -> None:
        while len(view):
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written


def _or_nan(array: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """`array` in this shape, or NaN if the structure has none."""
    return np.full(shape, np.nan) if array is None else np.reshape(array, shape)
