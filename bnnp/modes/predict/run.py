"""Mode 3: energies, forces and stresses of every structure of input.data, each with its standard deviation.

The potential (input.nn, scaling.data, weights.XXX.data, uncertainty.data) is in the working directory.
Structures are distributed over the MPI ranks in small batches and written in their order: the files do not
depend on the number of ranks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bnnp import parallel
from bnnp.io.input_data import StructureFile
from bnnp.io.prediction import PredictionWriter, file_names
from bnnp.log import Log
from bnnp.modes.predict.report import Report, describe_potential
from bnnp.modes.predict.structure import predict_structure
from bnnp.potential.files import read_members
from bnnp.potential.loading import assemble
from bnnp.potential.potential import Potential
from bnnp.run import Run


def predict(run: Run) -> None:
    """Predict every structure and write energy.out, nnforces.out, nnstress.out, nnatoms.out, output.data.

    Raises
    ------
    InputError, NumericalError, StaleFileError, OutputError
        The potential, a structure or a prediction is wrong, or a file cannot be written.
    """
    log, settings = Log(runner=run.as_runner), run.settings
    members = read_members(run.directory, settings)
    potential = assemble(members, settings, run.threads, calibrated=not settings.calibration.calibrate)
    structures = StructureFile(run.data, settings.model.elements, require_labels=False)
    names = file_names(settings.prediction.calculate_forces, settings.prediction.calculate_stress)
    log.header(settings, potential.kernel, run.threads)
    if settings.calibration.calibrate:
        from bnnp.modes.calibrate.run import calibrate_with_data

        members = calibrate_with_data(run, log, members, potential, structures)
        potential = assemble(members, settings, run.threads)
    describe_potential(log, run, potential, members[0].uncertainty, structures, names)

    predict = partial(predict_structure, structures, potential, settings, names)
    report = Report(potential, settings.general.random_seed)
    with open_files(run.directory, names, potential) as files:
        outcomes = parallel.ordered_map(predict, len(structures))
        for outcome in log.progress(outcomes, "structures", len(structures)):
            files.write(outcome.texts)
            report.add(outcome)
    report.write(log, names)
    log.close(settings.mode)


def open_files(directory: Path, names: tuple[str, ...], potential: Potential) -> PredictionWriter:
    """The output files, which only the root has."""
    own = names if parallel.is_root() else ()
    calibration = potential.calibration
    raw = potential.describe_raw() if calibration else ""
    hybrid = calibration is not None and calibration.kind == "hybrid"
    return PredictionWriter(directory, own, potential.units, potential.describe_std(), raw, hybrid)
