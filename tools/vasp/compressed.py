"""Plain, gzip, bzip2 and xz files alike, known by their first bytes and not by their names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
SUFFIXES = (".gz", ".bz2", ".xz")


class TolerantStream:
    """A stream that ends where its compression breaks off.

    Attributes
    ----------
    broken : bool
        Whether the end of the compressed data was missing or damaged.
    """

    def __init__(self, file: BufferedReader) -> None:
        self.file = file
        self.broken = False

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end or from a damage on."""
        pieces: list[bytes] = []
        while size > 0 and not self.broken:
            try:
                piece = self.file.read1(size)
            except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # not the compression, but the disk
                self.broken = True
                break
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


@contextmanager
def open_stream(path: Path) -> Iterator[TolerantStream]:
    """Open a file for reading bytes, unpacked."""
    with open(path, "rb") as raw:
        magic = raw.read(6)
    opener: Callable[..., Any] = next((OPENERS[start] for start in OPENERS if magic.startswith(start)), open)
    with cast(BufferedReader, opener(path, "rb")) as file:
        yield TolerantStream(file)
