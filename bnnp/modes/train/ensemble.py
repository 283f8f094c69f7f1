"""``ensemble_size M``: M trainings of the same data that differ in their random numbers.

The first one is in the working directory, as without the keyword. Member k is trained in the directory
member_0k with ``random_seed`` + k - 1: other initial weights, order, dropout masks and, with
``ensemble_bootstrap``, another training set, drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bnnp import parallel
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.output import cannot_write
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.io.uncertainty_data import UncertaintyData, write_uncertainty
from bnnp.network.masks import Masks
from bnnp.potential.files import DIRECTORY, member_directory, read_members, write_directory
from bnnp.run import Run
from bnnp.settings.settings import Settings
from bnnp.training import CHECKPOINT
from bnnp.training.checkpoint import CHARGES
from bnnp.training.statistics import with_statistics

CHECKPOINTS = (CHARGES, CHECKPOINT)


def members(run: Run) -> Iterator[Run]:
    """The run of each member; makes their directories, and removes checkpoints of a former ensemble.

    With ``--restart`` members without a checkpoint begin from the start.
    """
    count = run.settings.ensemble.ensemble_size
    if not run.restart:
        parallel.on_root(_prepare, run.directory, count)
    for number in range(1, count + 1):
        directory = member_directory(run.directory, number)
        begun = parallel.on_root(_begun, directory)
        restart = run.restart and (begun or number == 1)
        settings = member_settings(run.settings, number, run.directory)
        if run.restart and number > 1:
            parallel.on_root(_make, directory)
        yield replace(run, directory=directory, settings=settings, restart=restart)


def member_settings(settings: Settings, number: int, directory: Path) -> Settings:
    """Settings of one member: with its own seed, and ``transfer_from`` as an absolute path."""
    changed = settings.changed(ensemble_size=1, random_seed=settings.general.random_seed + number - 1)
    if source := settings.transfer.transfer_from:
        return changed.changed(transfer_from=(str((directory / " ".join(source)).resolve()),))
    return changed


def _prepare(directory: Path, count: int) -> None:
    for number in range(2, count + 1):
        _make(member_directory(directory, number))
        for name in CHECKPOINTS:
            (member_directory(directory, number) / name).unlink(missing_ok=True)


def _begun(directory: Path) -> bool:
    """Whether there is a checkpoint of either stage."""
    return any((directory / name).is_file() for name in CHECKPOINTS)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(directory, error) from error


def write_ensemble(run: Run, file: DescriptorFile, training: Sequence[int]) -> None:
    """Write all members into potential/; without dropout also an uncertainty.data, for statistics and
    calibration."""
    first, *others = read_members(run.directory, run.settings, samples=1)
    if first.uncertainty is None:
        sizes = {element: network.sizes for element, network in first.networks.items()}
        rates = (0.0,) * max(map(len, sizes.values()))
        masks = Masks.draw(run.settings.general.random_seed, 1, rates, sizes)
        plain = replace(first, uncertainty=UncertaintyData.of(masks, first.networks))
        first = with_statistics(plain, file, training)
        assert first.uncertainty is not None
        write_uncertainty(run.directory / UNCERTAINTY, first.uncertainty, first.line)
    write_directory(run.directory / DIRECTORY, [first, *others])
