"""Calibration of the standard deviations: at the end of mode 2, or by ``calibrate`` before mode 3 predicts.

The structures are those that mode 1 kept for it, or those that input.data assigns to it; none of them was
trained on. Both kinds, Monte Carlo alone and hybrid, are fitted; ``uncertainty`` selects one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from bnnp import parallel
from bnnp.errors import BnnpError, InputError
from bnnp.io.calibration_section import CalibrationData, checksums
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.io.input_data import StructureFile
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.log import Log
from bnnp.messages import count
from bnnp.modes.calibrate.observations import fit, observe, worth_of_energies
from bnnp.modes.calibrate.report import report_calibration
from bnnp.modes.calibrate.sets import CalibrationSet, kept_in, pinned_in
from bnnp.potential.files import PotentialFiles, read_members
from bnnp.potential.loading import assemble
from bnnp.potential.potential import Potential
from bnnp.run import Run
from bnnp.settings.settings import Settings
from bnnp.uncertainty.calibration import FEWEST, Calibration


def calibrate_after_training(run: Run, log: Log, file: DescriptorFile) -> bool:
    """Calibrate at the end of mode 2, if there is a calibration set.

    An error becomes a warning, and False is returned.
    """
    chosen = kept_in(file)
    if len(chosen) == 0:
        return True  # the log began with a warning
    log.section("Calibration")
    try:
        members = read_members(run.directory, run.settings)
        potential = assemble(members, run.settings, run.threads, calibrated=False)
        calibrate(run, log, members, potential, chosen)
    except BnnpError as error:
        log.warn(f"the standard deviations stay UNCALIBRATED: {error}")
        return False
    return True


def calibrate_with_data(
    run: Run, log: Log, members: Sequence[PotentialFiles], potential: Potential, structures: StructureFile
) -> list[PotentialFiles]:
    """Calibrate because of ``calibrate`` in mode 3; returns the files with the new calibration.

    Raises
    ------
    InputError, NumericalError
        Too few structures, some that were trained on, no references, or errors that cannot be fitted.
    """
    log.section("Calibration")
    uncertainty = members[0].uncertainty
    if uncertainty is not None and (former := uncertainty.calibration) is not None:
        used = count(former.kinds[former.use].structures, "structure")
        log.warn(
            f"{UNCERTAINTY} is calibrated already, on {used}; that is replaced. Take `calibrate` "
            "out of input.nn to keep it"
        )
    path, chosen = run.directory / FILE_NAME, None
    if path.is_file():
        with DescriptorFile.open(path) as file:
            if file.input_digest == structures.digest:  # so it holds the division of these structures
                chosen = kept_in(file)
                found = calibrate(run, log, members, potential, chosen)
    else:
        log.line(f"  no {FILE_NAME} here: whether a structure was trained on cannot be checked")
    if chosen is None:
        inside, outside, groups = parallel.on_root(pinned_in, structures, run)
        chosen = CalibrationSet(structures.__getitem__, groups.__getitem__, inside, outside)
        found = calibrate(run, log, members, potential, chosen)
    log.warn(
        f"{len(chosen)} of the structures predicted below were used for the calibration: there sqrt(ZMS) is "
        "about 1 by construction. Judge standard deviations by others, without `calibrate`"
    )
    return found


def calibrate(
    run: Run, log: Log, members: Sequence[PotentialFiles], potential: Potential, chosen: CalibrationSet
) -> list[PotentialFiles]:
    """Predict the set, fit, and write the calibration into uncertainty.data; returns the files with it.

    Raises
    ------
    InputError
        The potential has no standard deviations, or the set has too few structures.
    NumericalError
        Errors that cannot be fitted; the message names the quantity.
    """
    asked = f"{run.settings.origins['calibrate']}: " if run.settings.calibration.calibrate else ""
    if potential.samples < 2:
        raise InputError(
            f"{asked}nothing to calibrate: the potential has one network and no dropout masks (or mc_samples "
            "below 2)"
        )
    if len(chosen.inside) < FEWEST:
        raise InputError(
            f"{asked}{count(len(chosen.inside), 'structure')} for the calibration, expected at least "
            f"{FEWEST}. Keep more in mode 1 with calibration_fraction, which takes what input.data does not "
            "pin, or pin them with `begin set=calibration` in input.data; they must not be trained on"
        )
    numbers = sorted([*chosen.inside, *chosen.outside])
    outside = frozenset(chosen.outside)
    errors_of = partial(observe, potential, chosen.read, numbers, outside)
    found = parallel.ordered_map(errors_of, len(numbers))
    outcomes = list(log.progress(found, "structures", len(numbers)))
    groups = [chosen.group(number) for number in numbers]
    worth = parallel.on_root(worth_of_energies, outcomes, groups)  # other ranks have no outcomes
    kinds, omitted = parallel.on_root(fit, outcomes, potential, worth.independent)
    if omitted:
        left = count(omitted, "component")
        log.line(f"  left out: {left} of forces and stresses that symmetry makes zero")
    report_calibration(log, kinds, worth, potential.units)
    use = choice(run.settings, kinds)
    data = CalibrationData(use, checksums([member.networks for member in members]), kinds)
    first = members[0].with_calibration(data)
    parallel.on_root(first.write_calibration, run.directory)
    log.item("in force", f"`uncertainty {use}`, in {UNCERTAINTY}")
    return [first, *members[1:]]


def choice(settings: Settings, kinds: Mapping[str, Calibration]) -> str:
    """The kind that ``uncertainty`` selects, or mc without statistics of the training set.

    Raises
    ------
    InputError
        The keyword asks for hybrid, which was not fitted.
    """
    use = settings.calibration.uncertainty
    if use not in kinds and not settings.given("uncertainty"):
        return "mc"
    if use not in kinds:
        raise InputError(
            f"{settings.origins['uncertainty']}: `uncertainty hybrid` needs the statistics of the training "
            f"set, and {UNCERTAINTY} has no section [domain]: run mode 2 again, or use `uncertainty mc`"
        )
    return use
