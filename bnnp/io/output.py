"""Output files that appear complete or not at all.

A file is written under a temporary name in the same directory and renamed when it is complete: a
killed run leaves the former file, never half a new one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bnnp.errors import OutputError

_SPACE = "Free space, or work in a directory on a disk that has some"
_RIGHTS = "Work in a directory you may write to"
_NAME = "Move away or rename what has this name"
ADVICE = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.EISDIR: _NAME,
    errno.EEXIST: _NAME,
    errno.ENOTDIR: _NAME,
    errno.ENOTEMPTY: _NAME,
    errno.ENOENT: "Make the directory, or work in one that exists",
}


@contextmanager
def replace_file(path: str | Path) -> Iterator[TextIO]:
    """Open a text file for writing that takes its final name only when the block ends well.

    Parameters
    ----------
    path : str or Path
        Final name. An existing file is replaced, by an atomic rename.

    Raises
    ------
    OutputError
        The directory is not writable, the disk is full, ... The former file is untouched.
    """
    with replacement(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        yield file


@contextmanager
def replacement(path: str | Path) -> Iterator[Path]:
    """A temporary name in the directory of `path`; it is renamed to `path` when the block ends without error.

    A device or a pipe (/dev/null, /dev/stdout) is not replaced but written to.
    """
    path = Path(path)
    demand_no_directory(path)
    if path.exists() and not path.is_file():
        yield path
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make the directory `path` and its parents where they are missing; OutputError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def demand_no_directory(path: Path) -> None:
    """Raise OutputError if an output file has the name of a directory. Call it before the computation."""
    if path.is_dir():
        raise cannot_write(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))


def cannot_write(path: str | Path, error: OSError) -> OutputError:
    """The error a user sees when `path` cannot be written."""
    path = Path(path)
    reason = error.strerror or str(error)
    folder = path.parent.resolve()
    advice = ADVICE.get(error.errno or 0, "Look at the directory and the disk")
    return OutputError(
        f"{path.name}: cannot be written in {folder}: {reason}. {advice}, then run the same command again."
    )
