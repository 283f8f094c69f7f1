"""Keywords of mode 3."""

from __future__ import annotations

from bnnp.keyword_table.arguments import flag
from bnnp.keyword_table.record import Keyword

PREDICTION = (
    Keyword(
        "calculate_forces",
        "",
        flag,
        False,
        "write nnforces.out",
        "Prediction",
        modes="3",
        dialect="RuNNer",
        note="On without the keyword in an n2p2 input, as nnp-predict does.",
    ),
    Keyword(
        "calculate_stress",
        "",
        flag,
        False,
        "write nnstress.out, for periodic structures; switches forces on",
        "Prediction",
        modes="3",
        dialect="RuNNer",
    ),
    Keyword(
        "check_forces",
        "",
        flag,
        False,
        "stop if the forces of a structure do not add up to zero within 1e-6; switches forces on",
        "Prediction",
        modes="3",
        tier="R",
        dialect="RuNNer",
    ),
)
