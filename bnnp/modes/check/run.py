"""``bnnp --check``: read both input files, show what is in force and what a run would take; run nothing.

Every structure is read. What is wrong with single structures is collected and told at the end, all at
once, so that a data set can be mended in one go.
"""

from __future__ import annotations

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.log import Log
from bnnp.modes.calibrate.sets import demand_group
from bnnp.modes.check.data import DataSet, look_at, report_data
from bnnp.modes.check.settings import report_settings
from bnnp.modes.check.simulation_cost import report_simulation_estimate
from bnnp.modes.check.symmetry_cost import report_estimate
from bnnp.modes.check.training_cost import report_training_estimate
from bnnp.modes.simulate.report import report_stages
from bnnp.run import Run

MOST_FAULTS = 10  # shown


def check(run: Run) -> None:
    """Check the settings and the structures of a run.

    Raises
    ------
    InputError
        Something that would stop a run.
    """
    log = Log()
    log.header(run.settings, threads=run.threads)
    report_settings(run.settings, log)
    dynamics = bool(run.settings.dynamics.md_steps) and run.settings.mode in (0, 3)
    if dynamics:
        report_stages(run.settings, log)
    structures = StructureFile(run.data, require_labels=run.settings.mode != 3)
    data = look_at(structures, run.settings, log)
    report_data(data, run.settings, log)
    if run.settings.calibration.calibration_ood_group and (
        run.settings.mode < 3 or run.settings.calibration.calibrate
    ):
        demand_group(run.settings, sorted(data.groups))
    if not data.faults:
        stored = report_estimate(structures, run, log)
        if not run.settings.missing[2]:
            report_training_estimate(structures, run, stored, log)
        if dynamics and run.settings.model.architecture:
            report_simulation_estimate(run, log)
    _conclude(data, run, log)


def _conclude(data: DataSet, run: Run, log: Log) -> None:
    """Which modes can run; stop with the list of faults if there are any."""
    log.section("Result")
    if data.faults:
        hidden = len(data.faults) - MOST_FAULTS
        more = [f"... and {hidden} more"] if hidden > 0 else []
        lines = [f"    {fault}" for fault in data.faults[:MOST_FAULTS] + more]
        log.line(f"  {len(data.faults)} structures of {run.data.name} cannot be used.")
        raise InputError(
            "\n".join([f"{run.data.name}: {len(data.faults)} structures cannot be used", *lines])
        )
    for mode, missing in run.settings.missing.items():
        log.item(f"mode {mode}", f"needs {', '.join(missing)} in input.nn" if missing else "ready")
    log.close(0)
