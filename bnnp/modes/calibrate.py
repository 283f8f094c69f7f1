"""Calibration of the standard deviations: at the end of mode 2, or by ``calibrate`` before mode 3 predicts.

The structures are those that mode 1 kept for it, or those of input.data that are pinned to it; nothing that
was trained on. Both kinds, Monte Carlo alone and hybrid, are fitted; ``uncertainty`` says which is in force.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.errors import BnnpError, InputError, NumericalError
from bnnp.io.calibration_section import (
    SECTION,
    CalibrationData,
    checksums,
    format_calibration,
    parse_calibration,
)
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.io.identity import read_identity
from bnnp.io.input_data import StructureFile
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.io.uncertainty_data import read_uncertainty, replace_section
from bnnp.loader import read_potential
from bnnp.modes.calibration_report import report_calibration
from bnnp.modes.calibration_structures import CalibrationSet, kept_in, pinned_in
from bnnp.modes.in_order import in_order
from bnnp.modes.job import Job
from bnnp.modes.log import Log
from bnnp.modes.potential_directory import DIRECTORY
from bnnp.potential.potential import Potential
from bnnp.settings import Settings
from bnnp.structure import Structure
from bnnp.uncertainty.calibration import FEWEST, Calibration, Observations, fit_calibration

Array = NDArray[np.float64]


def calibrate_after_training(job: Job, log: Log, file: DescriptorFile) -> None:
    """What mode 2 does at its end, if there is a calibration set; what cannot be calibrated is a warning."""
    chosen = kept_in(file)
    if len(chosen) == 0:
        return  # the warning is at the beginning of the log
    log.section("Calibration")
    try:
        potential = read_potential(job.directory, job.settings, job.threads, calibrated=False)
        calibrate(job, log, potential, chosen)
    except BnnpError as error:
        log.warn(f"the standard deviations stay UNCALIBRATED: {error}")


def calibrate_with_data(job: Job, log: Log, potential: Potential, structures: StructureFile) -> None:
    """What ``calibrate`` in mode 3 does.

    Raises
    ------
    InputError, NumericalError
        No structures for it, too few, some that were trained on, no references, or errors that tell nothing.
    """
    log.section("Calibration")
    if former := parallel.on_root(former_calibration, job.directory):
        log.warn(f"{UNCERTAINTY} is {former}; that is replaced. Take `calibrate` out of input.nn to keep it")
    path = job.directory / FILE_NAME
    chosen = None
    if path.is_file():
        with DescriptorFile.open(path) as file:
            if file.input_digest == structures.digest:  # what was trained on is known
                chosen = kept_in(file)
                calibrate(job, log, potential, chosen)
    else:
        log.line(f"  no {FILE_NAME} here: whether a structure was trained on cannot be checked")
    if chosen is None:
        inside, outside = parallel.on_root(pinned_in, structures, job)
        chosen = CalibrationSet(structures.__getitem__, inside, outside)
        calibrate(job, log, potential, chosen)
    log.warn(
        f"{len(chosen)} of the structures predicted below were used for the calibration: there sqrt(ZMS) is "
        "about 1 by construction. Judge standard deviations by others, without `calibrate`"
    )


def former_calibration(directory: Path) -> str:
    """What uncertainty.data has been calibrated with, in words; empty if it is not."""
    path = directory / UNCERTAINTY
    lines = read_uncertainty(path).sections.get(SECTION) if path.is_file() else None
    if lines is None:
        return ""
    data = parse_calibration(lines)
    return f"calibrated already, on {data.kinds[data.use].structures} structures"


def calibrate(job: Job, log: Log, potential: Potential, chosen: CalibrationSet) -> None:
    """Predict the set, fit, and write the section of uncertainty.data.

    Raises
    ------
    InputError
        The potential has no standard deviations, or the set has too few structures.
    NumericalError
        Errors that tell nothing; the message names the quantity.
    """
    asked = f"{job.settings.origins['calibrate']}: " if job.settings["calibrate"] else ""
    if potential.samples < 2:
        raise InputError(
            f"{asked}nothing to calibrate: the potential has one network and no dropout masks (or mc_samples "
            "below 2)"
        )
    if len(chosen.inside) < FEWEST:
        raise InputError(
            f"{asked}{len(chosen.inside)} structures for the calibration, expected at least {FEWEST}. Keep "
            "more in mode 1 with calibration_fraction, or pin them with `begin set=calibration` in "
            "input.data; they must not be trained on"
        )
    numbers = sorted([*chosen.inside, *chosen.outside])
    outside = frozenset(chosen.outside)
    look = partial(observe, potential, chosen.read, numbers, outside)
    outcomes = list(log.progress(in_order(look, len(numbers)), "structures", len(numbers)))
    kinds = parallel.on_root(fit, outcomes, potential)
    report_calibration(log, kinds, potential.units)
    use = choice(job.settings, kinds)
    networks = [member.networks for member in potential.members]
    data = CalibrationData(use, checksums(networks), kinds)
    parallel.on_root(write_calibration, job.directory, data)
    log.item("in force", f"`uncertainty {use}`, in {UNCERTAINTY}")


def fit(outcomes: Sequence[Mapping[str, Observations]], potential: Potential) -> dict[str, Calibration]:
    """Calibrations by kind; hybrid if the statistics of the training set are there."""
    names = dict.fromkeys(name for outcome in outcomes for name in outcome)
    found = {name: Observations.joined([o[name] for o in outcomes if name in o]) for name in names}
    enough = {name: each for name, each in found.items() if np.sum(~each.outside) >= FEWEST}
    if "energy" not in names:
        raise InputError("calibrate: no structure for the calibration has an energy")
    if "energy" not in enough:
        count = int(np.sum(~found["energy"].outside))
        raise InputError(
            f"calibrate: {count} structures for the calibration have an energy, expected at least {FEWEST}"
        )
    kinds = ("mc",) if potential.statistics is None else ("mc", "hybrid")
    return {kind: fit_calibration(enough, kind, potential.samples) for kind in kinds}


def choice(settings: Settings, kinds: Mapping[str, Calibration]) -> str:
    """The kind in force. Raises InputError if it is not there."""
    use: str = settings["uncertainty"]
    if use not in kinds:
        raise InputError(
            f"{settings.origins['uncertainty']}: `uncertainty hybrid` needs the statistics of the training "
            f"set, and {UNCERTAINTY} has no section [domain]: run mode 2 again, or use `uncertainty mc`"
        )
    return use


def observe(
    potential: Potential,
    read: Callable[[int], Structure],
    numbers: Sequence[int],
    outside: frozenset[int],
    position: int,
) -> dict[str, Observations]:
    """Errors of one structure and what should tell their size, by name of the quantity."""
    structure = read(numbers[position])
    stress = structure.stress is not None
    prediction = potential.predict(structure, structure.forces is not None, stress)
    parts, found = prediction.parts, {}
    if parts is None:
        raise NumericalError(f"{structure.where}: has no standard deviations")

    def add(name: str, errors: Array, of: Array) -> None:
        flat = of.reshape(-1, of.shape[-1])
        places = np.full(len(flat), position)
        found[name] = Observations(
            errors.ravel(), flat, places, np.full(len(flat), numbers[position] in outside)
        )

    if structure.energy is not None:
        error = (prediction.energy.value - structure.energy) / len(structure)
        add("energy", np.array([error]), parts.energy)
    if structure.forces is not None and parts.forces is not None:
        assert prediction.forces is not None
        errors, symbols = prediction.forces.value - structure.forces, np.array(structure.symbols)
        for element in sorted(set(structure.symbols), key=atomic_numbers.__getitem__):
            add(f"forces {element}", errors[symbols == element], parts.forces[symbols == element])
    if structure.stress is not None and prediction.stress is not None and parts.stress is not None:
        add("stress", prediction.stress.value - structure.stress, parts.stress)
    return found


def write_calibration(directory: Path, data: CalibrationData) -> None:
    """Write the section here, and in potential/ if it holds the same potential."""
    path, copy = directory / UNCERTAINTY, directory / DIRECTORY / UNCERTAINTY
    lines = format_calibration(data)
    replace_section(path, SECTION, lines)
    if copy.is_file() and read_identity(copy) == read_identity(path) != {}:
        replace_section(copy, SECTION, lines)
