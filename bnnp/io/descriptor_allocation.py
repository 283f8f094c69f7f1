"""Creating symmetry_functions.h5 with all its datasets allocated, before the first number is computed.

The datasets are contiguous, allocated early and never filled: HDF5 writes only headers, and its byte offsets
are all that :mod:`bnnp.io.descriptor_writer` needs. The file is called ``symmetry_functions.h5.part``, which
appears when its headers are complete, until all structures are written. A killed run leaves it behind with a
mark for each finished structure, and the next run continues it if its ``key`` (settings, input.data, layout)
is the same; a complete file with this key is kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from bnnp.errors import OutputError
from bnnp.io.descriptor_layout import DONE, FORMAT, VERSION, DescriptorLayout
from bnnp.io.output import cannot_write, demand_no_directory
from bnnp.messages import count

OVERHEAD = 1 << 20  # bytes HDF5 needs for itself, generously


@dataclass(frozen=True)
class Placement:
    """Byte offsets of the datasets in a file.

    Parameters
    ----------
    path : Path
        The unfinished file, or the complete one of a former run.
    offsets : mapping of str to int
        Byte offset of each dataset that is not empty.
    done : (n,) bool
        Structures a former run finished.
    """

    path: Path
    offsets: Mapping[str, int]
    done: NDArray[np.bool_]


def unfinished_name(path: Path) -> Path:
    """Name of the file until it is complete."""
    return path.with_name(path.name + ".part")


def prepare(path: Path, layout: DescriptorLayout) -> Placement:
    """Create the file with all its datasets allocated, or find that of a killed run. Called on the root only.

    Parameters
    ----------
    path : Path
        Final name.
    layout : DescriptorLayout

    Raises
    ------
    OutputError
        For example too little space or no permission.
    """
    part = unfinished_name(path)
    placement = find_placement(part, layout) or find_placement(path, layout)
    if placement is None:
        part.unlink(missing_ok=True)
        check_space(path.parent, layout.bytes)
        _create(part, layout)
        placement = find_placement(part, layout)
        if placement is None:
            raise OutputError(f"{part.name}: was written but cannot be read back; is the disk in order?")
    _leave_cache(placement.path)
    return placement


def _leave_cache(path: Path) -> None:
    """Bring the file to the disk and drop this machine's cache of it.

    When a few bytes of a page change, an NFS client that has the page in its cache writes all of it back
    (nfs_can_extend_write in Linux), over what ranks on other machines have written there meanwhile. Without
    the page in its cache it writes only these bytes.
    """
    try:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        raise cannot_write(path, error) from error


def demand_writable(path: Path) -> None:
    """Raise OutputError if the directory of `path` is not writable. Call it before the computation."""
    demand_no_directory(path)
    demand_no_directory(unfinished_name(path))
    probe = _temporary_name(path)
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def _temporary_name(path: Path) -> Path:
    """Name while the headers are written: without a process id, so that killed runs leave one such file."""
    return path.with_name(f".{path.name}.tmp")


def check_space(folder: Path, needed: int) -> None:
    """Raise OutputError unless the disk of `folder` has `needed` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed + OVERHEAD:
        raise OutputError(
            f"symmetry_functions.h5 needs {needed / 1e6:.1f} MB but {folder.resolve()} has "
            f"{free / 1e6:.1f} MB left. Free space, run elsewhere, or set `derivatives recomputed`."
        )


def _create(part: Path, layout: DescriptorLayout) -> None:
    """Write headers and small tables, allocate the rest; then the file gets the name `part`."""
    temporary = _temporary_name(part.with_suffix(""))
    try:
        with open(temporary, "wb") as probe:  # the operating system's reason is clearer than HDF5's
            probe.truncate(layout.bytes + OVERHEAD)
        with h5py.File(temporary, "w", libver="earliest", track_order=False, locking=False) as file:
            _describe(file, layout)
            for name, table in layout.tables.items():
                _allocate(file, name, table.shape, table.dtype).write(h5py.h5s.ALL, h5py.h5s.ALL, table)
            _allocate(file, DONE, (len(layout),), np.dtype(np.uint8))
            for name, (first, shape, dtype) in layout.slices.items():
                _allocate(file, name, (int(first[-1]), *shape), dtype)
        os.replace(temporary, part)
    except OSError as error:
        raise cannot_write(part, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _describe(file: h5py.File, layout: DescriptorLayout) -> None:
    """Write the attributes; text has fixed length, so that the bytes are always the same."""
    model = layout.model
    texts = {
        "format": FORMAT,
        "key": layout.key,
        "fingerprint": model.fingerprint,
        "input_digest": layout.input_digest,
        "division": layout.division,
        "elements": " ".join(model.elements),
        "units": model.units.name,
        "derivatives": "stored" if layout.stored else "recomputed",
    }
    for name, text in texts.items():
        file.attrs.create(name, np.bytes_(text.encode()))
    file.attrs.create("version", VERSION, dtype=np.int64)
    file.attrs.create("cutoff_type", model.cutoff.type, dtype=np.int64)
    file.attrs.create("cutoff_alpha", model.cutoff.alpha, dtype=np.float64)
    file.attrs.create("cutoff_radius", model.largest_cutoff, dtype=np.float64)
    file.attrs.create("complete", 0, dtype=np.uint8)


def _allocate(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.h5d.DatasetID:
    """Create a contiguous dataset whose bytes are allocated but not written."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    folder, _, leaf = name.rpartition("/")
    group = file.require_group(folder) if folder else file
    kind, space = h5py.h5t.py_create(dtype), h5py.h5s.create_simple(shape)
    return h5py.h5d.create(group.id, leaf.encode(), kind, space, dcpl=properties)


def find_placement(path: Path, layout: DescriptorLayout) -> Placement | None:
    """Placement of an existing file, or None if there is none or it belongs to other input."""
    if not path.is_file():
        return None
    try:
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs["key"] != layout.key.encode():
                return None
            datasets = {name: file[name] for name in (DONE, *layout.slices)}
            offsets = {name: data.id.get_offset() for name, data in datasets.items() if data.size}
            return Placement(path, offsets, datasets[DONE][:] == 1)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError):  # not an HDF5 file, or a damaged one
        return None


def finish(path: Path, layout: DescriptorLayout) -> None:
    """Check that every structure is there, mark the file as complete and rename it. Called on the root only.

    Raises
    ------
    OutputError
        Structures are missing, or another run replaced the file meanwhile.
    """
    part = unfinished_name(path)
    if not part.exists() and find_placement(path, layout) is not None:
        return  # a former run had done this
    placement = find_placement(part, layout)
    if placement is None or not placement.done.all():
        missing = (
            "" if placement is None else f" lacks {count(int((~placement.done).sum()), 'structure')} and"
        )
        raise OutputError(
            f"{part.name}:{missing} is not the file this run wrote; does another run use the same directory? "
            "End it and run mode 1 again: what is finished is kept."
        )
    try:
        with h5py.File(part, "r+", libver="earliest", locking=False) as file:
            file.attrs.modify("complete", np.uint8(1))
        with open(part, "rb") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
    except OSError as error:
        raise cannot_write(path, error) from error
