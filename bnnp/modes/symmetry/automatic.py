"""The choice of the symmetry functions by the training structures, where input.nn has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bnnp import parallel
from bnnp.descriptors.length_unit import sampled_reaches
from bnnp.descriptors.pool import Pool, automatic_pool
from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.io.output import replace_file
from bnnp.log import Log
from bnnp.messages import WIDTH, fold
from bnnp.modes.doubts import demand_units
from bnnp.modes.symmetry.selection import select, survey_all
from bnnp.run import Run
from bnnp.settings.settings import automatic_file, load_settings
from bnnp.structure import Set, Structure


@dataclass(frozen=True)
class Part:
    """Some structures of a file, read one by one; a :class:`bnnp.structure.Structures`."""

    structures: StructureFile
    indices: list[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Structure:
        return self.structures[self.indices[index]]

    def __iter__(self) -> Iterator[Structure]:
        return self.structures.read(self.indices)


def with_functions(run: Run, structures: StructureFile, log: Log) -> Run:
    """`run` with functions chosen from the structures, and written to input.nn.auto; every rank calls this.

    Raises
    ------
    InputError
        The lengths are in other units, an element does not occur, or nothing varies.
    """
    log.section("Symmetry functions")
    settings = run.settings
    parallel.on_root(_demand_units, run, structures)
    selection = select(survey_all(structures, settings, log), settings)
    training = Part(structures, selection.kept[selection.subset == Set.TRAIN].tolist())
    pool = parallel.on_root(choose, run, training, log)
    target = automatic_file(run.settings.file)
    parallel.on_root(write, target, pool)
    for remark in pool.remarks:
        log.line(fold(remark, log.width, "  ", "      "))
    log.item("written", f"{target.name}, {pool.counts}: modes 2 and 3 read it beside {run.settings.file}")
    return replace(run, settings=load_settings(run.settings.file, run.settings.mode))


def _demand_units(run: Run, structures: StructureFile) -> None:
    """Raise InputError where the lengths are in other units."""
    demand_units(sampled_reaches(structures, run.settings.model.units), run.settings, run.data.name)


def choose(run: Run, structures: Part, log: Log) -> Pool:
    """The functions for these structures."""
    settings, model = run.settings, run.settings.model
    keep, seed = settings.descriptors.most_functions(len(model.elements)), settings.general.random_seed
    try:
        return automatic_pool(
            structures,
            model.elements,
            model.cutoff,
            model.units,
            keep,
            seed,
            lambda indices: log.progress(indices, "symmetry functions to choose from"),
        )
    except InputError as error:
        raise InputError(f"{run.data.name}, training set: {error}") from None
    except ValueError as error:
        raise InputError(f"{run.data.name}: {error}: add structures that differ") from None


def write(path: Path, pool: Pool) -> None:
    """Write input.nn.auto."""
    remarks = (
        "Written by mode 1: modes 2 and 3 read these lines as if they stood in input.nn, which has none.",
        "Copy them into input.nn to keep them; mode 1 writes this file again.",
        *pool.remarks,
    )
    with replace_file(path) as file:
        file.writelines(f"{fold(remark, WIDTH, '# ', '#     ')}\n" for remark in remarks)
        file.writelines(f"{line}\n" for line in pool.lines())
