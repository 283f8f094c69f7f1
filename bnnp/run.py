"""What a mode is given: the settings in force, the files of the working directory, the threads it may use."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from bnnp import parallel
from bnnp.settings.settings import Settings


@dataclass(frozen=True)
class Run:
    """One run of one mode.

    Parameters
    ----------
    settings : Settings
        Everything input.nn says, and the mode.
    data : Path
        The structures, normally ``input.data``.
    directory : Path
        Where results are read and written: the working directory.
    restart : bool
        Continue a former training or molecular dynamics.
    """

    settings: Settings
    data: Path = Path("input.data")
    directory: Path = field(default_factory=Path.cwd)
    restart: bool = False

    @property
    def threads(self) -> int:
        """Threads of this process: the keyword; without it all cores it may run on, or 1 a rank under MPI."""
        threads = self.settings.general.threads
        if threads:
            return threads
        return 1 if parallel.size() > 1 else available_cores()


def available_cores() -> int:
    """Cores the operating system or the batch system gives to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
