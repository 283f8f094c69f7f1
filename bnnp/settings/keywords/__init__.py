"""All keywords of input.nn, and the search for the record of a name.

Each module has a few chapters; ``SECTIONS`` maps the name of each chapter in the settings (``training`` of
``settings.training``) to its class, ``KEYWORDS`` the canonical name of a keyword to its record, in the order
of the chapters. Families of refused keywords are patterns (``ewald_*``).
"""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase

from bnnp.settings.keywords.charges import ChargeSettings
from bnnp.settings.keywords.descriptors import DescriptorSettings, ScalingSettings
from bnnp.settings.keywords.dynamics import DynamicsSettings
from bnnp.settings.keywords.general import GeneralSettings, StructureSettings
from bnnp.settings.keywords.ignored import IGNORED
from bnnp.settings.keywords.kalman import KalmanSettings
from bnnp.settings.keywords.learning import LabelSettings, LoopSettings
from bnnp.settings.keywords.network import DropoutSettings, NetworkSettings
from bnnp.settings.keywords.prediction import CalibrationSettings, PredictionSettings
from bnnp.settings.keywords.record import Keyword, Section
from bnnp.settings.keywords.refused import REFUSED
from bnnp.settings.keywords.training import (
    EnsembleSettings,
    FinetuningSettings,
    LossSettings,
    OutputSettings,
    TrainingSettings,
    TransferSettings,
)

__all__ = ["KEYWORDS", "SECTIONS", "SECTION_OF", "Keyword", "Section", "lookup", "nearest"]

SECTIONS: dict[str, type[Section]] = {
    "general": GeneralSettings,
    "structures": StructureSettings,
    "descriptors": DescriptorSettings,
    "scaling": ScalingSettings,
    "network": NetworkSettings,
    "charges": ChargeSettings,
    "dropout": DropoutSettings,
    "training": TrainingSettings,
    "loss": LossSettings,
    "ensemble": EnsembleSettings,
    "finetuning": FinetuningSettings,
    "transfer": TransferSettings,
    "output": OutputSettings,
    "calibration": CalibrationSettings,
    "prediction": PredictionSettings,
    "dynamics": DynamicsSettings,
    "loop": LoopSettings,
    "label": LabelSettings,
    "kalman": KalmanSettings,
}
SECTION_OF = {keyword.name: name for name, section in SECTIONS.items() for keyword in section.keywords()}
KEYWORDS: dict[str, Keyword] = {
    keyword.name: keyword
    for chapter in (*(section.keywords() for section in SECTIONS.values()), IGNORED, REFUSED)
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
