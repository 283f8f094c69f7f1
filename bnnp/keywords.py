"""All keywords of input.nn, and how a name finds its record.

``KEYWORDS`` maps the canonical name to the record (:class:`Keyword`), in the order of the chapters; the
records stand in :mod:`bnnp.keyword_table`. Families of refused keywords are patterns (``ewald_*``).
"""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase

from bnnp.keyword_table.calibration import CALIBRATION
from bnnp.keyword_table.dynamics import DYNAMICS
from bnnp.keyword_table.general import GENERAL, STRUCTURES
from bnnp.keyword_table.ignored import IGNORED
from bnnp.keyword_table.kalman import KALMAN
from bnnp.keyword_table.loss import LOSS
from bnnp.keyword_table.network import DROPOUT, NETWORK
from bnnp.keyword_table.prediction import PREDICTION
from bnnp.keyword_table.record import Keyword
from bnnp.keyword_table.refinement import REFINEMENT
from bnnp.keyword_table.refused import REFUSED
from bnnp.keyword_table.symmetry_functions import SCALING, SYMMETRY_FUNCTIONS
from bnnp.keyword_table.training import TRAINING, TRAINING_OUTPUT
from bnnp.keyword_table.transfer import TRANSFER

__all__ = ["KEYWORDS", "Keyword", "lookup", "nearest"]

KEYWORDS: dict[str, Keyword] = {
    keyword.name: keyword
    for chapter in (
        GENERAL,
        STRUCTURES,
        SYMMETRY_FUNCTIONS,
        SCALING,
        NETWORK,
        DROPOUT,
        TRAINING,
        LOSS,
        REFINEMENT,
        TRANSFER,
        TRAINING_OUTPUT,
        CALIBRATION,
        PREDICTION,
        DYNAMICS,
        KALMAN,
        IGNORED,
        REFUSED,
    )
    for keyword in chapter
}
_SPELLINGS: dict[str, Keyword] = {
    spelling: keyword for keyword in KEYWORDS.values() for spelling in (keyword.name, *keyword.aliases)
}
_PATTERNS = tuple(keyword for keyword in KEYWORDS.values() if keyword.is_pattern)


def lookup(name: str) -> Keyword | None:
    """The record of a keyword by name or alias, or the refused family it belongs to; None if unknown."""
    if name in _SPELLINGS:
        return _SPELLINGS[name]
    return next((keyword for keyword in _PATTERNS if fnmatchcase(name, keyword.name)), None)


def nearest(name: str) -> str | None:
    """The accepted keyword spelled most like `name`; None if nothing comes close."""
    known = [spelling for spelling, keyword in _SPELLINGS.items() if keyword.accepted]
    matches = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return matches[0] if matches else None
