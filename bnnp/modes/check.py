"""``bnnp --check``: read both input files, show what is in force and what a run would take; run nothing.

Every structure is read. What is wrong with single structures is collected and told at the end, all at
once, so that a data set can be mended in one go.
"""

from __future__ import annotations

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.modes.calibration_set import demand_group
from bnnp.modes.data_report import DataSet, look_at, report_data
from bnnp.modes.estimate import report_estimate
from bnnp.modes.job import Job
from bnnp.modes.log import Log
from bnnp.modes.settings_report import report_settings
from bnnp.modes.simulation_estimate import report_simulation_estimate
from bnnp.modes.simulation_report import report_stages
from bnnp.modes.training_estimate import report_training_estimate

MOST_FAULTS = 10  # shown


def run(job: Job) -> None:
    """Check the settings and the structures of a job.

    Raises
    ------
    InputError
        Something that would stop a run.
    """
    log = Log()
    log.header(job.settings, threads=job.threads)
    report_settings(job.settings, log)
    dynamics = bool(job.settings["md_steps"]) and job.settings.mode in (0, 3)
    if dynamics:
        report_stages(job.settings, log)
    structures = StructureFile(job.data, require_labels=job.settings.mode != 3)
    data = look_at(structures, job.settings, log)
    report_data(data, job.settings, log)
    if job.settings["calibration_ood_group"] and (job.settings.mode < 3 or job.settings["calibrate"]):
        demand_group(job.settings, sorted(data.groups))
    if not data.faults:
        stored = report_estimate(structures, job, log)
        if not job.settings.missing[2]:
            report_training_estimate(structures, job, stored, log)
        if dynamics and job.settings.architecture:
            report_simulation_estimate(job, log)
    _conclude(data, job, log)


def _conclude(data: DataSet, job: Job, log: Log) -> None:
    """Which modes can run; stop with the list of faults if there are any."""
    log.section("Result")
    if data.faults:
        hidden = len(data.faults) - MOST_FAULTS
        more = [f"... and {hidden} more"] if hidden > 0 else []
        lines = [f"    {fault}" for fault in data.faults[:MOST_FAULTS] + more]
        log.line(f"  {len(data.faults)} structures of {job.data.name} cannot be used.")
        raise InputError(
            "\n".join([f"{job.data.name}: {len(data.faults)} structures cannot be used", *lines])
        )
    for mode, missing in job.settings.missing.items():
        log.item(f"mode {mode}", f"needs {', '.join(missing)} in input.nn" if missing else "ready")
    log.close(0)
