"""Keywords of the calibration of standard deviations."""

from __future__ import annotations

from bnnp.keyword_table.arguments import choice, flag, real, text
from bnnp.keyword_table.record import Keyword

CALIBRATION = (
    Keyword(
        "calibration_fraction",
        "x",
        real(0.0, below=1.0),
        0.0,
        "share of the training structures of each group that is kept for the calibration of sigma instead",
        "Calibration",
        modes="12",
        dialect="bnnp",
        note="30 structures at least are needed. `begin set=calibration` pins a structure to this set.",
    ),
    Keyword(
        "calibration_split",
        "random|blocks",
        choice("random", "blocks"),
        "random",
        "how they are drawn: one by one, or as one contiguous block of each group",
        "Calibration",
        modes="12",
        dialect="bnnp",
        note="Frames of one trajectory resemble their neighbours: for them blocks are the honest choice.",
    ),
    Keyword(
        "calibration_ood_group",
        "name",
        text,
        None,
        "structures with `group=name` are not trained on: they calibrate sigma as out of the domain",
        "Calibration",
        modes="123",
        dialect="bnnp",
        note="For example the highest temperature. `begin set=calibration_ood` pins a structure to this set.",
    ),
    Keyword(
        "calibrate",
        "",
        flag,
        False,
        "calibrate the standard deviations with structures that were not trained on, before predicting",
        "Calibration",
        modes="3",
        dialect="bnnp",
        note="Mode 2 does it at its end if mode 1 has kept a calibration set.",
    ),
    Keyword(
        "uncertainty",
        "mc|hybrid",
        choice("mc", "hybrid"),
        "mc",
        "calibrated sigma from the Monte Carlo samples alone, or with last layer and distance to training",
        "Calibration",
        modes="23",
        dialect="bnnp",
        note="Without the keyword mode 3 uses the choice the calibration was made with.",
    ),
)
