"""The choice of the symmetry functions by the structures, where input.nn has none."""

from __future__ import annotations

from dataclasses import replace
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
from bnnp.run import Run
from bnnp.settings.settings import automatic_file, load_settings


def with_functions(run: Run, structures: StructureFile, log: Log) -> Run:
    """`run` with functions chosen from the structures, and written to input.nn.auto; every rank calls this.

    Raises
    ------
    InputError
        The lengths are in other units, an element does not occur, or nothing varies.
    """
    log.section("Symmetry functions")
    pool = parallel.on_root(choose, run, structures, log)
    target = automatic_file(run.settings.file)
    parallel.on_root(write, target, pool)
    for remark in pool.remarks:
        log.line(fold(remark, log.width, "  ", "      "))
    log.item("written", f"{target.name}, {pool.counts}: modes 2 and 3 read it beside {run.settings.file}")
    return replace(run, settings=load_settings(run.settings.file, run.settings.mode))


def choose(run: Run, structures: StructureFile, log: Log) -> Pool:
    """The functions for these structures."""
    settings, model = run.settings, run.settings.model
    demand_units(sampled_reaches(structures, model.units), settings, run.data.name)
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
        raise InputError(f"{structures.path.name}: {error}") from None
    except ValueError as error:
        raise InputError(f"{structures.path.name}: {error}: add structures that differ") from None


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
