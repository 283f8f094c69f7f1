"""Mode 1: symmetry functions of every structure of input.data, and derivatives if they fit, to one file.

The steps are those of RuNNer's mode 1, in parallel: check all structures, drop the faulty ones, divide the
rest into training and test set, compute, report the ranges. An interrupted run is continued by the same
command; the file is the same for any number of ranks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bnnp import parallel
from bnnp.io.descriptor_allocation import demand_writable, finish, prepare
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.io.input_data import StructureFile
from bnnp.io.runner_symmetry_files import write_runner_files
from bnnp.log import Log, byte_count
from bnnp.messages import count
from bnnp.modes.calibrate.sets import calibration_text
from bnnp.modes.symmetry.automatic import with_functions
from bnnp.modes.symmetry.ranges import measure_ranges, report_ranges
from bnnp.modes.symmetry.selection import (
    Selection,
    Survey,
    group_table,
    has_forces,
    select,
    selection_lines,
    selection_warnings,
    survey_all,
)
from bnnp.modes.symmetry.storage import (
    lay_out,
    missing_structures,
    report_storage,
    report_work,
    symmetry_functions,
    write_missing,
)
from bnnp.run import Run
from bnnp.settings.settings import Settings


def compute(run: Run) -> None:
    """Do mode 1 in the working directory; every rank calls this.

    Raises
    ------
    InputError, NumericalError, OutputError
        Ends the run on all ranks; what was computed is kept for the next one.
    """
    path, log = run.directory / FILE_NAME, Log(runner=run.as_runner)
    settings, model = run.settings, run.settings.model
    kernel = "" if settings.chooses_functions else model.descriptor(device=settings.training.device).kernel
    log.header(settings, kernel, run.threads)
    parallel.on_root(demand_writable, path)
    structures = parallel.on_root(index_structures, run)
    if settings.chooses_functions:
        run = with_functions(run, structures, log)
        settings, model = run.settings, run.settings.model
    descriptor = model.descriptor(run.threads, settings.training.device)
    found = survey_all(structures, settings, log)
    selection = select(found, settings)
    report_selection(structures, found, selection, settings, log)

    layout = lay_out(found, selection, structures, descriptor, settings)
    report_storage(layout, settings, has_forces(found, selection), log)
    placement = parallel.on_root(prepare, path, layout)

    compute = partial(symmetry_functions, descriptor=descriptor, derivatives=layout.stored)
    missing, mine = missing_structures(placement, found, layout)
    report_work(missing, layout, found, structures, compute, log)
    write_missing(mine, layout, placement, structures, compute, log)
    parallel.barrier()

    with DescriptorFile.open(placement.path, model, unfinished=True) as file:
        report_ranges(measure_ranges(file), settings, log)
    parallel.on_root(finish, path, layout)
    files = parallel.on_root(write_compatible_files, run, path, structures)
    report_files([path, *files], selection, log)
    log.close(1)


def index_structures(run: Run) -> StructureFile:
    """Find the structures of input.data and its checksum."""
    structures = StructureFile(run.data, run.settings.model.elements)
    assert structures.digest  # computed once, before the object is sent to the other ranks
    return structures


def report_selection(
    structures: StructureFile, found: Survey, selection: Selection, settings: Settings, log: Log
) -> None:
    """Which structures are used for what, and warnings about the data."""
    log.section("Structures")
    if log.runner:
        for line in selection_lines(selection):
            log.line(line)
        log.line()
    log.table(*group_table(found, selection))
    log.line()
    log.item("training structures", selection.n_training)
    log.item("test structures", selection.n_test)
    pinned = found.table["subset"][selection.kept] >= 0
    log.item("calibration", calibration_text(selection.subset, settings, bool(pinned.all())))
    frames, runs = selection.n_frames
    if frames and not pinned.all():
        log.item(
            "consecutive frames", f"{frames} in {count(runs, 'trajectory')}: sets are drawn by blocks of them"
        )
    if not has_forces(found, selection):
        log.item("forces", "none, or all zero: mode 2 will train on energies alone")
    for warning in (*structures.warnings, *selection_warnings(found, selection, settings)):
        log.warn(warning)


def write_compatible_files(run: Run, path: Path, structures: StructureFile) -> list[Path]:
    """RuNNer's own files, for ``write_runner_files``."""
    keywords, model = run.settings.structures, run.settings.model
    if not keywords.write_runner_files:
        return []
    with DescriptorFile.open(path, model) as file:
        read, forces = structures.__getitem__, keywords.use_short_forces
        return write_runner_files(run.directory, file, read, model.atom_energies, forces)


def report_files(files: list[Path], selection: Selection, log: Log) -> None:
    """Files and their sizes, sizes of the sets, and the next command."""
    log.section("Written")
    for path in files if parallel.is_root() else []:
        log.item(path.name, byte_count(path.stat().st_size))
    log.line()
    more = f", {selection.n_calibration} for the calibration" if selection.n_calibration else ""
    counts = f"{selection.n_training} training and {count(selection.n_test, 'test structure')}{more}"
    log.line(f"  {counts}; next: `bnnp --mode 2`")
