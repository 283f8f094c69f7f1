"""Mode 3: energies, forces and stresses of every structure of input.data, each with its standard deviation.

The potential (input.nn, scaling.data, weights.XXX.data, uncertainty.data) lies in the working directory.
Structures are dealt over the MPI ranks in small batches and written in their order: the files do not depend
on the number of ranks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from bnnp import parallel
from bnnp.errors import NumericalError
from bnnp.io.input_data import StructureFile
from bnnp.io.prediction import PredictionWriter, file_names, format_prediction
from bnnp.log import Log
from bnnp.modes.calibrate.run import calibrate_with_data
from bnnp.modes.predict.report import LINES, Outcome, Report, describe_potential
from bnnp.potential.assessment import assess, extrapolations, group_of
from bnnp.potential.files import read_members
from bnnp.potential.loading import assemble
from bnnp.potential.potential import Potential
from bnnp.prediction import Prediction
from bnnp.run import Run
from bnnp.settings.settings import Settings
from bnnp.structure import Structure
from bnnp.uncertainty.extrapolation import Tally, energy_warning

NET_FORCE = 1e-6  # RuNNer's limit of `check_forces`, in the unit of the forces


def predict(run: Run) -> None:
    """Predict every structure and write energy.out, nnforces.out, nnstress.out, nnatoms.out, output.data."""
    log = Log()
    settings = run.settings
    members = read_members(run.directory, settings)
    potential = assemble(members, settings, run.threads, calibrated=not settings.calibration.calibrate)
    structures = StructureFile(run.data, settings.model.elements, require_labels=False)
    names = file_names(settings.prediction.calculate_forces, settings.prediction.calculate_stress)
    log.header(settings, potential.kernel, run.threads)
    if settings.calibration.calibrate:
        members = calibrate_with_data(run, log, members, potential, structures)
        potential = assemble(members, settings, run.threads)
    describe_potential(log, run, potential, members[0].uncertainty, structures, names)

    predict = partial(predict_structure, structures, potential, settings, names)
    report = Report(potential)
    with open_files(run.directory, names, potential) as files:
        outcomes = parallel.ordered_map(predict, len(structures))
        for outcome in log.progress(outcomes, "structures", len(structures)):
            files.write(outcome.texts)
            report.add(outcome)
    report.write(log, names)
    log.close(settings.mode)


def predict_structure(
    structures: StructureFile, potential: Potential, settings: Settings, names: tuple[str, ...], index: int
) -> Outcome:
    """One structure, from the file to the lines of the output files."""
    structure = structures[index]
    prediction = potential.predict(
        structure, settings.prediction.calculate_forces, settings.prediction.calculate_stress
    )
    if settings.prediction.check_forces:
        check_net_force(structure, prediction)
    tallies, warnings = look_outside(structure, prediction, potential)
    texts = format_prediction(names, structure, prediction, potential.calibration)
    return Outcome(texts, group_of(structure), assess(structure, prediction), tallies, warnings)


def look_outside(
    structure: Structure, prediction: Prediction, potential: Potential
) -> tuple[dict[str, Tally], list[str]]:
    """Symmetry functions and energy beyond the training range, if that is known."""
    if potential.scalings is None:
        return {}, []
    functions, scalings = potential.model.functions, potential.scalings
    tallies, lines = extrapolations(structure, prediction.descriptors, scalings.scalings, functions, LINES)
    warning = energy_warning(
        (prediction.energy.value - prediction.offset) / len(structure), scalings.energy_range
    )
    return tallies, lines + [f"{structure.where}: {warning}"] * bool(warning)


def check_net_force(structure: Structure, prediction: Prediction) -> None:
    """``check_forces``: forces on all atoms must add up to nothing."""
    if prediction.forces is None:
        return
    if (net := np.abs(prediction.forces.value.sum(axis=0)).max()) > NET_FORCE:
        raise NumericalError(
            f"{structure.where}: the forces add up to {net:.3g}, more than {NET_FORCE:g}. Rounding can do "
            f"this in "
            "very large or very strained structures: look at it, or remove check_forces."
        )


def open_files(directory: Path, names: tuple[str, ...], potential: Potential) -> PredictionWriter:
    """The output files; only the root has any."""
    own = names if parallel.is_root() else ()
    calibration = potential.calibration
    raw = potential.describe_raw() if calibration else ""
    hybrid = calibration is not None and calibration.kind == "hybrid"
    return PredictionWriter(directory, own, potential.units, potential.describe_std(), raw, hybrid)
