"""Output that grows during a run; a restart cuts it back to its size at the last restart file."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from bnnp.errors import StaleFileError
from bnnp.io.output import cannot_write, demand_no_directory
from bnnp.messages import count


class AppendedFile:
    """A text file that is started afresh, or continued from a known size.

    Parameters
    ----------
    path : Path
    size : int or None
        Bytes to keep; None starts an empty file.

    Raises
    ------
    StaleFileError
        The file to continue is shorter: it is not the one of this run.
    OutputError
        It cannot be written.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        demand_no_directory(path)
        if size:
            found = path.stat().st_size if path.is_file() else 0
            if found < size:
                raise StaleFileError(
                    f"{path.name}: has {count(found, 'byte')}, but {size} when the restart file was "
                    "written. Bring back the file of that run, or run without --restart to begin anew."
                )
        try:
            self._file = open(path, "ab" if size else "wb")  # noqa: SIM115  closed by __exit__
            if size:
                self._file.truncate(size)
        except OSError as error:
            raise cannot_write(path, error) from error
        self.size = size or 0

    def write(self, text: str) -> None:
        """Append `text` and flush it."""
        data = text.encode()
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.size += len(data)

    def sync(self) -> None:
        """Bring the file to the disk; called before a restart file is written."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> AppendedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
