"""input.data: the structures to train on or to predict.

::

    file      := { structure }                      text before the first `begin` is skipped
    structure := begin [set=NAME] { line } end      NAME: train, test, calibration or calibration_ood
    line      := comment free text and key=value pairs
               | lattice ax ay az                   none or three, the rows of the cell
               | atom x y z symbol charge energy fx fy fz
               | energy E                           once
               | charge Q                           once, 0 if missing

All numbers are in the units of the run (`units` of input.nn). `read_structures` goes through a file once;
`StructureFile` finds where each structure begins, so that each rank reads only its own. The whole file is
never in memory. For the blocks see :mod:`bnnp.io.structure_block`.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.output import replace_file
from bnnp.io.structure_block import Location, format_structure, parse_block
from bnnp.messages import count
from bnnp.structure import Structure

__all__ = ["StructureFile", "format_structure", "read_structures", "write_structures"]

WARNINGS = (  # number of structures, line of the first
    "{} structures have the word `begin` or `end` in a comment (first: the one that starts at line {}); bnnp "
    "reads them, but other programs split the file there",
    "{} periodic structures have a total charge (first: the one that starts at line {}): n2p2 refuses them; "
    "only potentials with charges use it, with a uniform background that neutralizes the cell",
)


def read_structures(
    path: str | Path, elements: Collection[str] | None = None, require_labels: bool = True
) -> Iterator[Structure]:
    """Go through the structures of a file once, in order.

    Parameters
    ----------
    path : str or Path
    elements : collection of str, optional
        Symbols that may occur; any chemical symbol by default.
    require_labels : bool
        Refuse structures without energy or forces. Otherwise `atom` lines may stop after the symbol (forces
        None) and `energy` may be missing (energy None), as in mode 3.

    Raises
    ------
    InputError
        With file, line and structure, for everything that is not in this format.
    """
    path = Path(path)
    with _open(path) as file:
        for index, block in enumerate(_blocks(file, path.name)):
            yield parse_block(block.lines, Location(path.name, index, block.line), elements, require_labels)


def write_structures(
    target: str | Path | TextIO, structures: Iterable[Structure], decimals: int | None = None
) -> int:
    """Write structures to a path (replaced when complete) or to an open text file; return their number.

    `decimals` of positions and forces are written; by default as many digits as give the same float64 back.
    """
    if not isinstance(target, str | Path):
        count = 0
        for structure in structures:
            target.write(format_structure(structure, decimals))
            count += 1
        return count
    with replace_file(target) as file:
        return write_structures(file, structures, decimals)


class StructureFile:
    """The structures of an input.data file by number, each read when needed.

    The file is scanned once to find the structures; the object can then be sent to other processes, which
    read only what they need.

    Parameters
    ----------
    path : str or Path
    elements, require_labels
        As for `read_structures`.

    Attributes
    ----------
    n_atoms : (n_structures,) int64
    offsets, sizes : (n_structures,) int64, bytes
        Position and length of each block in the file.
    lines : (n_structures,) int64
        Line of each ``begin``, from 1.
    warnings : tuple of str
        About structures that bnnp reads but other programs do not.

    Raises
    ------
    InputError
        The file cannot be read, holds no structure, or is truncated.
    """

    def __init__(
        self, path: str | Path, elements: Collection[str] | None = None, require_labels: bool = True
    ) -> None:
        self.path = Path(path)
        self.elements = None if elements is None else tuple(elements)
        self.require_labels = require_labels
        with _open(self.path) as file:
            index = array("q")  # 8 bytes a number: files have up to millions of structures
            for block in _blocks(file, self.path.name):
                index.extend(block.summary())
        columns = np.array(index, dtype=np.int64).reshape(-1, 6).T
        self.offsets: NDArray[np.int64] = columns[0].copy()
        self.sizes: NDArray[np.int64] = columns[1].copy()
        self.lines: NDArray[np.int64] = columns[2].copy()
        self.n_atoms: NDArray[np.int64] = columns[3].copy()
        self.warnings = tuple(
            warning.format(len(lines), lines[0])
            for warning, flags in zip(WARNINGS, columns[4:], strict=True)
            if len(lines := self.lines[flags == 1])
        )

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> Structure:
        if not -len(self) <= index < len(self):
            raise IndexError(f"structure {index + 1} of {len(self)} in {self.path.name}")
        return next(self.read([index % len(self)]))

    def __iter__(self) -> Iterator[Structure]:
        return self.read(range(len(self)))

    def read(self, indices: Iterable[int]) -> Iterator[Structure]:
        """Yield the structures with these numbers, from 0; the file is opened once."""
        with _open(self.path) as file:
            for index in indices:
                yield self._read(file, index)

    def _read(self, file: BufferedReader, index: int) -> Structure:
        file.seek(self.offsets[index])
        data = file.read(self.sizes[index])
        if data.split(None, 1)[:1] != [b"begin"]:
            raise InputError(f"{self.path.name} was changed while it was being read; run the command again")
        location = Location(self.path.name, index, int(self.lines[index]))
        return parse_block(data.splitlines(), location, self.elements, self.require_labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file, 64 hexadecimal digits."""
        with _open(self.path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class _BlockLines:
    """The lines of one structure; the first has the number `line`, from 1, and begins at byte `offset`."""

    offset: int
    line: int
    lines: list[bytes]

    def summary(self) -> tuple[int, int, int, int, int, int]:
        """Offset, size, line, number of atoms, and 1 or 0 for each of the `WARNINGS`."""
        others = [line.split() for line in self.lines if line.lstrip()[:4] != b"atom"]
        n_atoms = len(self.lines) - len(others)
        comments = [words[1:] for words in others if words[:1] == [b"comment"]]
        splits = any(b"begin" in word or word == b"end" for words in comments for word in words)
        charges = [words[1] for words in others if words[:1] == [b"charge"] and len(words) > 1]
        periodic = any(words[:1] == [b"lattice"] for words in others)
        charged = periodic and any(charge.strip(b"+-0.eEdD") for charge in charges)
        return self.offset, sum(map(len, self.lines)), self.line, n_atoms, int(splits), int(charged)


def _blocks(file: BufferedReader, name: str) -> Iterator[_BlockLines]:
    """The blocks of an open file, each with all its lines from ``begin`` to ``end``."""
    block: _BlockLines | None = None
    found = offset = number = 0
    for number, raw in enumerate(file, 1):
        word = raw.lstrip()[:6].split(None, 1)[:1]  # enough for "begin " and "end"
        if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
            raise InputError(
                f"{name} starts with a byte order mark; save it as plain text (ASCII or UTF-8 without BOM)"
            )
        if word == [b"begin"]:
            if block is not None:
                raise _truncated(name, block, found, f"line {number} begins the next one")
            block = _BlockLines(offset, number, [raw])
        elif block is not None:
            block.lines.append(raw)
            if word == [b"end"]:
                yield block
                found += 1
                block = None
        elif word and (found or word in ([b"atom"], [b"end"])) and not word[0].startswith(b"#"):
            text = raw.decode("utf-8", "replace").strip()[:60]
            raise InputError(
                f"{name} line {number}: `{text}` stands outside a structure; put it between `begin` and "
                "`end`, or start the line with # if it is a remark"
            )
        offset += len(raw)
    if block is not None:
        raise _truncated(name, block, found, f"the file stops at line {number}")
    if not found:
        raise InputError(
            f"{name} holds no structure: no line starts with `begin` ({count(number, 'line')} read); "
            "bnnp convert makes input.data from the files of other programs"
        )


def _truncated(name: str, block: _BlockLines, index: int, reason: str) -> InputError:
    return InputError(
        f"{name} line {block.line} (structure {index + 1}): the structure has no `end`, {reason}; "
        "the file is truncated: copy it again or remove the incomplete structure"
    )


@contextmanager
def _open(path: Path) -> Iterator[BufferedReader]:
    """Open the file for reading bytes; InputError if it is missing, unreadable or compressed."""
    try:
        file = open(path, "rb")  # noqa: SIM115 (closed below, outside of this try)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file in {Path.cwd()}; change to the directory that holds it, "
            "or name it with --data"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        if file.read(2) == b"\x1f\x8b":
            raise InputError(f"{path.name} is compressed; unpack it with gunzip first")
        file.seek(0)
        yield file
