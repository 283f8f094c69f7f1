"""Which file is which, by content; and the runs in a directory, one file each."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from bnnp.errors import InputError
from vasp.compressed import SUFFIXES, open_stream
from vasp.ml_ab import read_ml_ab
from vasp.outcar import read_outcar
from vasp.step import Draft
from vasp.vasprun import read_vasprun

HEAD = 4096  # bytes that tell what a file is
BEST_FIRST = ("vaspout.h5", "vasprun.xml", "OUTCAR", "ML_AB")
WORDS = {
    "vaspout.h5": r"vaspout|\.h5",
    "vasprun.xml": r"vasprun|\.xml",
    "OUTCAR": "OUTCAR",
    "ML_AB": "ML_ABN?",
}
IMAGES = re.compile(rb'name="IMAGES">\s*([1-9]\d*)|^ *IMAGES *= *([1-9]\d*)', re.MULTILINE)
IMAGE_FOLDER = re.compile(r"\d\d")
HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Source:
    """A file to convert, files beside it that hold the same run, and the group of its directory."""

    path: Path
    others: tuple[Path, ...] = ()
    group: str | None = None


def find_sources(path: Path) -> list[Source]:
    """The file itself, or one file of each run in a directory and below it, in natural order.

    Each directory is a group of its own: its name, below that of `path`.

    Raises
    ------
    InputError
        There is nothing of that name, or the directory has no output of VASP.
    """
    if not path.exists():
        raise InputError("no such file or directory")
    if not path.is_dir():
        return [Source(path)]
    runs: dict[tuple[str, str], dict[str, Path]] = {}
    for folder, folders, names in os.walk(path):
        folders.sort(key=natural)
        for name in sorted(names, key=natural):
            kind = _kind_in_directory(Path(folder, name))
            if kind:
                runs.setdefault((folder, _run_name(name, kind)), {}).setdefault(kind, Path(folder, name))
    if not runs:
        raise InputError(f"no {', '.join(BEST_FIRST)} in this directory or below it")
    name = path.resolve().name
    return [
        _best(files, "/".join((name, *Path(folder).relative_to(path).parts)))
        for (folder, _), files in runs.items()
    ]


def _best(files: dict[str, Path], group: str) -> Source:
    """The file with the most digits first."""
    first, *others = sorted(files, key=BEST_FIRST.index)
    return Source(files[first], tuple(files[kind] for kind in others), group)


def _run_name(name: str, kind: str) -> str:
    """What is left of a name without the kind of file: files of one run share it."""
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    name = re.sub(WORDS[kind], "", name, flags=re.IGNORECASE)
    return re.sub(r"\.(xml|h5)\b", "", name)


def _kind_in_directory(path: Path) -> str | None:
    """The kind of a file that nobody named: known by content, or by a name that promises one."""
    try:
        return kind_of(path)
    except (InputError, OSError):
        return next(
            (kind for kind in BEST_FIRST if re.match(kind.partition(".")[0], path.name, re.IGNORECASE)), None
        )


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key that puts run10 after run9.

    >>> sorted(["run10", "run9"], key=natural)
    ['run9', 'run10']
    """
    return [(int(word), "") if word.isdigit() else (-1, word) for word in re.split(r"(\d+)", text)]


def kind_of(path: Path) -> str:
    """One of `BEST_FIRST`, by content.

    Raises
    ------
    InputError
        The file is empty or is no output of VASP that has forces.
    """
    with open_stream(path) as stream:
        head = stream.read(HEAD)
        if not head:
            raise InputError("the compressed file is damaged" if stream.broken else "the file is empty")
    if head.startswith(HDF5):
        return "vaspout.h5"
    if re.match(rb"\s*(<\?xml|<modeling)", head):
        if b"<modeling" not in head:
            raise InputError("XML, but not of VASP: no <modeling>")
        return "vasprun.xml"
    if b"The number of configurations" in head:
        return "ML_AB"
    if re.match(rb"\s*vasp\.\d", head) or re.search(rb"^ *(INCAR|POTCAR):", head, re.MULTILINE):
        return "OUTCAR"
    if b"\0" in head:
        raise InputError("binary, and not an HDF5 file")
    raise InputError(f"not recognised as one of {', '.join(BEST_FIRST)}, which have energies and forces")


def is_output(path: Path) -> bool:
    """Whether a file is one that `read_drafts` reads."""
    try:
        return bool(kind_of(path))
    except (InputError, OSError):
        return False


def read_drafts(path: Path, elements: list[str] | None) -> Iterator[Draft]:
    """The ionic steps of a file of any kind; InputError says why there are none."""
    kind = kind_of(path)
    _refuse_images(path, kind)
    if kind == "vaspout.h5":
        from vasp.vaspout import read_vaspout  # h5py takes its time and memory

        with _unpacked(path) as file:
            yield from read_vaspout(file, elements)
    else:
        readers = {"vasprun.xml": read_vasprun, "OUTCAR": read_outcar, "ML_AB": read_ml_ab}
        with open_stream(path) as stream:
            yield from readers[kind](stream, elements)


def _refuse_images(path: Path, kind: str) -> None:
    """Refuse the file that all images of a nudged elastic band write, or none."""
    with open_stream(path) as stream:
        match = IMAGES.search(stream.read(16 * HEAD))
    folder = path.resolve().parent
    if match is None or IMAGE_FOLDER.fullmatch(folder.name):
        return
    found = sorted(entry.name for entry in folder.iterdir() if IMAGE_FOLDER.fullmatch(entry.name))
    if kind == "vasprun.xml" or found:
        n_images = int(match[1] or match[2])
        raise InputError(
            f"a nudged elastic band (IMAGES = {n_images}): this file is of no single image; convert the "
            f"folders of the images, {', '.join(found) if found else f'01 to {n_images:02d}'}"
        )


@contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO]:
    """The file for reading to and fro, as HDF5 does; from a temporary copy if it is compressed."""
    with open(path, "rb") as file:
        if file.read(len(HDF5)) == HDF5:
            yield file
            return
    with open_stream(path) as stream, tempfile.TemporaryFile() as copy:
        while piece := stream.read(2**20):
            copy.write(piece)
        yield cast(BinaryIO, copy)
