"""Text output that appears whole or not at all.

A file is written under a temporary name beside its final one and renamed when it is complete: a
killed run leaves the former file, never half a new one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bnnp.errors import OutputError


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
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def cannot_write(path: str | Path, error: OSError) -> OutputError:
    """The error a user sees when `path` cannot be written."""
    path = Path(path)
    reason = error.strerror or str(error)
    folder = path.parent.resolve()
    return OutputError(
        f"{path.name}: cannot be written in {folder}: {reason}. "
        "Free space or choose a directory you may write to, then run the same command again."
    )
