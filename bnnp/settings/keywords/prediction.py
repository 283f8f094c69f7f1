"""Keywords of mode 3 and of the calibration of its standard deviations."""

from __future__ import annotations

from dataclasses import dataclass

from bnnp.settings.arguments import choice, flag, real, text
from bnnp.settings.keywords.record import BNNP, RUNNER, Section, keyword


# fmt: off
@dataclass(frozen=True)
class CalibrationSettings(Section, title="Calibration", modes="12", dialect=BNNP):
    """Calibration of standard deviations."""

    calibration_fraction: float = keyword("x", real(0.0, below=1.0), 0.2,
        "share of the training structures of each group that is kept for the calibration of sigma instead",
        note="10 structures at least are needed: without the keyword none are kept where there are fewer, or "
             "where there is nothing to calibrate (dropout_rate 0 and one network). `begin set=calibration` "
             "pins a structure to this set.")
    calibration_split: str = keyword("auto|random|blocks", choice("auto", "random", "blocks"), "auto",
        "how they are drawn: as auto, one by one, or as one contiguous block of each group",
        note="auto: frames that follow each other in time by blocks, as for the test set; others one by one.")
    calibration_ood_group: tuple[str, ...] = keyword("name", text, (),
        "structures with `group=name` are not trained on: they calibrate sigma as out of the domain",
        modes="123",
        note="For example the highest temperature. `begin set=calibration_ood` pins a structure to this set.")
    calibrate: bool = keyword("", flag, False,
        "calibrate the standard deviations with structures that were not trained on, before predicting",
        modes="3",
        note="Mode 2 does it at its end if mode 1 has kept a calibration set.")
    uncertainty: str = keyword("mc|hybrid", choice("mc", "hybrid"), "hybrid",
        "calibrated sigma from the Monte Carlo samples alone, or with last layer and distance to training",
        modes="23",
        note="Without the keyword mode 3 uses the choice the calibration was made with, and raw standard "
             "deviations without a calibration.")


@dataclass(frozen=True)
class PredictionSettings(Section, title="Prediction", modes="3", dialect=RUNNER):
    """What mode 3 writes."""

    calculate_forces: bool = keyword("", flag, False,
        "write nnforces.out",
        note="On without the keyword in an n2p2 input, as nnp-predict does.")
    calculate_stress: bool = keyword("", flag, False,
        "write nnstress.out, for periodic structures; switches forces on")
    check_forces: bool = keyword("", flag, False,
        "stop if the forces of a structure do not add up to zero within 1e-6; switches forces on",
        tier="R")
