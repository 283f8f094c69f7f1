"""``bnnp --check``: read both input files, show what is in force and what a run would take; run nothing.

Every structure is read. The faults of all structures are collected and reported together at the end, so that
a data set can be corrected in one go.
"""

from __future__ import annotations

from bnnp.analysis.data_set import DataSet
from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.log import Log
from bnnp.messages import count
from bnnp.modes.calibrate.sets import demand_group
from bnnp.modes.check.costs import (
    report_simulation_estimate,
    report_symmetry_estimate,
    report_training_estimate,
)
from bnnp.modes.check.inputs import lacks_charges, lacks_forces, read_data, report_data, report_settings
from bnnp.modes.doubts import demand_units
from bnnp.modes.simulate.report import report_stages
from bnnp.modes.symmetry.selection import select, selection_warnings, survey_all
from bnnp.run import Run
from bnnp.settings.settings import Settings

MOST_FAULTS = 10  # shown


def check(run: Run) -> None:
    """Check the settings and the structures of a run.

    Raises
    ------
    InputError
        Something that would stop a run.
    """
    log, settings = Log(), run.settings
    log.header(settings, threads=run.threads)
    report_settings(settings, log)
    if runs_dynamics(settings):
        report_stages(settings, log)
    structures = StructureFile(run.data, require_labels=settings.mode != 3)
    data = read_data(structures, settings, log)
    report_data(data, settings, log)
    if calibrates_out_of_range(settings):
        demand_group(settings, sorted(data.groups))
    if not data.faults:
        demand_units(data.reaches, settings, run.data.name)
        if settings.mode < 3:
            foresee_division(structures, settings)
        if settings.chooses_functions:
            log.line("  Time and memory are estimated once mode 1 has chosen the symmetry functions.")
        else:
            stored = report_symmetry_estimate(structures, run, log)
            if settings.model.electrostatics is None:
                report_training_estimate(structures, run, stored, log)
        if runs_dynamics(settings) and not settings.chooses_functions:
            report_simulation_estimate(run, log)
    conclude(data, run, log)


def runs_dynamics(settings: Settings) -> bool:
    """Whether mode 3 would run molecular dynamics."""
    return bool(settings.dynamics.md_steps) and settings.mode in (0, 3)


def calibrates_out_of_range(settings: Settings) -> bool:
    """Whether ``calibration_ood_group`` acts in this mode."""
    acts = settings.mode < 3 or settings.calibration.calibrate
    return bool(settings.calibration.calibration_ood_group) and acts


def foresee_division(structures: StructureFile, settings: Settings) -> None:
    """Divide the structures as mode 1 will, where ``uncertainty hybrid`` depends on the result."""
    if settings.given("uncertainty") and settings.calibration.uncertainty == "hybrid":
        found = survey_all(structures, settings, Log(enabled=False))
        selection_warnings(found, select(found, settings), settings)


def conclude(data: DataSet, run: Run, log: Log) -> None:
    """Report which modes can run; raise InputError with the list of faults if there are any."""
    log.section("Result")
    if data.faults:
        hidden = len(data.faults) - MOST_FAULTS
        more = [f"... and {hidden} more"] if hidden > 0 else []
        lines = [f"    {fault}" for fault in data.faults[:MOST_FAULTS] + more]
        faulty = count(len(data.faults), "structure")
        log.line(f"  {faulty} of {run.data.name} cannot be used.")
        summary = f"{run.data.name}: {faulty} cannot be used"
        raise InputError("\n".join([summary, *lines]))
    doubtful = data.doubts or data.n_close == data.n_structures
    able = "what the data hold is doubtful: see the warnings" if doubtful else "ready"
    stops = {2: "stops, as it finds no forces"} if lacks_forces(data, run.settings) else {}
    if lacks_charges(data, run.settings):
        stops = {2: "stops if it trains on structures without charges, or whose charges do not add up"}
    for mode in (1, 2, 3):
        log.item(f"mode {mode}", stops.get(mode, able))
    log.close(0)
