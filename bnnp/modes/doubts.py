"""What stops every mode alike before it does its work: lengths in other units, hybrid without a calibration.

``--check`` gives the same sentences as the modes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from bnnp.descriptors.length_unit import better_units, unit_advice
from bnnp.errors import InputError
from bnnp.settings.settings import Settings
from bnnp.uncertainty.calibration import FEWEST


def demand_units(reaches: Iterable[float], settings: Settings, name: str) -> str | None:
    """A warning about lengths that no unit explains, or None.

    Parameters
    ----------
    reaches : iterable of float
        As of :func:`bnnp.descriptors.length_unit.better_units`.
    name : str
        Of the file with the structures.

    Raises
    ------
    InputError
        Only the other units explain them, and ``check_units`` is on.
    """
    reaches, units = list(reaches), settings.model.units
    advice = unit_advice(reaches, units)
    if stops_for_units(reaches, settings):
        raise InputError(f"{name}: {advice} If {units.length} is right: `check_units .false.`")
    return advice


def stops_for_units(reaches: Iterable[float], settings: Settings) -> bool:
    """Whether `demand_units` raises its error."""
    return settings.general.check_units and better_units(reaches, settings.model.units) is not None


def demand_calibration(settings: Settings, inside: int, available: int, all_pinned: bool) -> None:
    """Raise InputError if ``uncertainty hybrid`` stands in input.nn and too few structures are kept for it.

    Parameters
    ----------
    inside : int
        Structures that are kept for the calibration.
    available : int
        These and those of the training set.
    all_pinned : bool
        Whether input.data assigns every structure to a set.
    """
    keywords = settings.calibration
    hybrid = settings.given("uncertainty") and keywords.uncertainty == "hybrid"
    rates = (*settings.dropout.dropout_rate, settings.dropout.dropout_rate_input)
    samples = settings.ensemble.ensemble_size > 1 or (any(rates) and settings.dropout.mc_samples > 1)
    if inside >= FEWEST or not hybrid or keywords.calibrate or not samples:
        return
    share = keywords.calibration_fraction
    ways = ["write `uncertainty mc`"]
    if all_pinned:
        kept = f"input.data pins {inside} of {available} to that set"
        ways.append(f"pin at least {FEWEST} by `begin set=calibration`")
    else:
        kept = f"of {available} for training, calibration_fraction {share:g} keeps {round(share * available)}"
        if share > 0.0:
            ways.append(f"add structures (about {math.ceil(FEWEST / share)} for training in all)")
        if available >= 2 * FEWEST:
            ways.append(f"raise calibration_fraction (to {math.ceil(100 * FEWEST / available) / 100:g})")
    ways.append("add `calibrate`, with which mode 3 takes other structures for it")
    raise InputError(
        f"{settings.origins['uncertainty']}: `uncertainty hybrid` needs a calibration with at least {FEWEST} "
        f"structures, and {kept}. Ways out: {'; '.join(ways)}"
    )
