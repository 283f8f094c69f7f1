"""Arguments of a mode: settings, input file, working directory, number of threads."""

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
        From input.nn and the command line.
    data : Path
        File with the structures, normally ``input.data``.
    directory : Path
        Where results are read and written, normally the working directory.
    restart : bool
        Continue a former training or molecular dynamics.
    as_runner : bool
        Called as RuNNer is, by ``runner_mode`` alone: the log has RuNNer's lines, which other programs read.
    """

    settings: Settings
    data: Path = Path("input.data")
    directory: Path = field(default_factory=Path.cwd)
    restart: bool = False
    as_runner: bool = False

    @property
    def threads(self) -> int:
        """Threads of this process: of the keyword, else of OMP_NUM_THREADS, else 1 a rank or all cores."""
        said = self.settings.general.threads or parallel.given_threads()
        return said or (1 if parallel.size() > 1 else available_cores())


def available_cores() -> int:
    """Number of cores that the operating system or batch system grants this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
