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
from bnnp.modes.job import Job
from bnnp.modes.training_setup import TrainingSet
from bnnp.network.streams import BOOTSTRAP, stream
from bnnp.potential.files import member_directory
from bnnp.settings import Settings
from bnnp.training.checkpoint import FILE_NAME as CHECKPOINT


def members(job: Job) -> Iterator[Job]:
    """The job of each member; their directories are made, and checkpoints of a former ensemble forgotten.

    With ``--restart`` a member that has no checkpoint yet begins.
    """
    count = job.settings["ensemble_size"]
    if not job.restart:
        parallel.on_root(_prepare, job.directory, count)
    for number in range(1, count + 1):
        directory = member_directory(job.directory, number)
        begun = parallel.on_root((directory / CHECKPOINT).is_file)
        restart = job.restart and (begun or number == 1)
        settings = member_settings(job.settings, number, job.directory)
        if job.restart and number > 1:
            parallel.on_root(_make, directory)
        yield replace(job, directory=directory, settings=settings, restart=restart)


def member_settings(settings: Settings, number: int, directory: Path) -> Settings:
    """Settings of one member: its seed, and a path to other files that holds in its directory."""
    values = dict(settings.values)
    values |= {"ensemble_size": 1, "random_seed": settings["random_seed"] + number - 1}
    if settings["transfer_from"]:
        values["transfer_from"] = (str((directory / " ".join(settings["transfer_from"])).resolve()),)
    return replace(settings, values=values)


def resampled(data: TrainingSet, settings: Settings) -> TrainingSet:
    """The training set of a member: with ``ensemble_bootstrap`` as many structures, drawn with replacement.

    Ranges and scales stay those of the whole set, so that all members have the same scaling.data.
    """
    if not settings["ensemble_bootstrap"]:
        return data
    count = len(data.training)
    chosen = stream(settings["random_seed"], BOOTSTRAP).integers(count, size=count)
    return replace(data, training=tuple(data.training[k] for k in sorted(chosen.tolist())))


def _prepare(directory: Path, count: int) -> None:
    for number in range(2, count + 1):
        _make(member_directory(directory, number))
        (member_directory(directory, number) / CHECKPOINT).unlink(missing_ok=True)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(directory, error) from error
