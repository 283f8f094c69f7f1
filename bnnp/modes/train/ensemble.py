"""``ensemble_size M``: M trainings of the same data that differ in their random numbers.

The first one is that of the working directory, as without the keyword. Member k is trained in the directory
member_0k with ``random_seed`` + k - 1: other initial weights, order, dropout masks and, with
``ensemble_bootstrap``, another training set, drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bnnp import parallel
from bnnp.io.output import cannot_write
from bnnp.loader import member_directory
from bnnp.run import Run
from bnnp.settings.settings import Settings
from bnnp.training.checkpoint import FILE_NAME as CHECKPOINT


def members(run: Run) -> Iterator[Run]:
    """The run of each member; their directories are made, and checkpoints of a former ensemble forgotten.

    With ``--restart`` a member that has no checkpoint yet begins.
    """
    count = run.settings.ensemble.ensemble_size
    if not run.restart:
        parallel.on_root(_prepare, run.directory, count)
    for number in range(1, count + 1):
        directory = member_directory(run.directory, number)
        begun = parallel.on_root((directory / CHECKPOINT).is_file)
        restart = run.restart and (begun or number == 1)
        settings = member_settings(run.settings, number, run.directory)
        if run.restart and number > 1:
            parallel.on_root(_make, directory)
        yield replace(run, directory=directory, settings=settings, restart=restart)


def member_settings(settings: Settings, number: int, directory: Path) -> Settings:
    """Settings of one member: its seed, and a path to other files that holds in its directory."""
    changed = settings.changed(ensemble_size=1, random_seed=settings.general.random_seed + number - 1)
    if source := settings.transfer.transfer_from:
        return changed.changed(transfer_from=(str((directory / " ".join(source)).resolve()),))
    return changed


def _prepare(directory: Path, count: int) -> None:
    for number in range(2, count + 1):
        _make(member_directory(directory, number))
        (member_directory(directory, number) / CHECKPOINT).unlink(missing_ok=True)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(directory, error) from error
