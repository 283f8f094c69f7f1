"""The calibration set: which structures are kept from the training for it, and whether they can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.random import CALIBRATION, stream
from bnnp.settings.settings import Settings
from bnnp.structure import Set
from bnnp.uncertainty.calibration import FEWEST


@dataclass(frozen=True, eq=False)
class Labels:
    """``group=`` of the comment lines.

    Parameters
    ----------
    groups : tuple of str
        The first is the empty one.
    of : (n_structures,) int32
        Index into `groups`.
    """

    groups: tuple[str, ...]
    of: NDArray[np.int32]


def demand_group(settings: Settings, groups: Sequence[str]) -> str:
    """The group of ``calibration_ood_group``. Raises InputError if no structure is labeled so."""
    name = " ".join(settings.calibration.calibration_ood_group)
    if name not in groups:
        there = ", ".join(sorted(filter(None, groups))) or "no groups"
        raise InputError(
            f"{settings.origins['calibration_ood_group']}: no structure of input.data has `group={name}` in "
            f"its comment; there are {there}"
        )
    return name


def draw_calibration(
    subset: NDArray[np.uint8],
    free: NDArray[np.bool_],
    labels: Labels,
    kept: NDArray[np.int64],
    settings: Settings,
) -> NDArray[np.uint8]:
    """`subset` after ``calibration_ood_group`` and ``calibration_fraction`` have taken what no file pins.

    Of each group the same share is taken, to the nearest structure: those with the smallest random numbers,
    or a contiguous block in the order of the file.

    Parameters
    ----------
    subset : (n_kept,) uint8
        Numbers of :class:`bnnp.structure.Set`.
    free : (n_kept,) bool
        Whether input.data leaves it open.
    labels : Labels
    kept : (n_kept,) int64
        Positions in input.data.

    Raises
    ------
    InputError
        There is no such group.
    """
    seed, subset = settings.general.random_seed, subset.copy()
    group = labels.of
    if settings.calibration.calibration_ood_group:
        name = demand_group(settings, labels.groups)
        subset[free & (group == labels.groups.index(name))] = Set.OUTSIDE
    for number in np.unique(group):
        mine = np.flatnonzero(free & (group == number) & (subset == Set.TRAIN))
        count = round(settings.calibration.calibration_fraction * len(mine))
        if count == 0:
            continue
        if settings.calibration.calibration_split == "blocks":
            first = int(stream(seed, CALIBRATION, int(kept[mine[0]])).integers(len(mine) - count + 1))
            subset[mine[first : first + count]] = Set.CALIBRATION
        else:
            drawn = [stream(seed, CALIBRATION, int(kept[k])).random() for k in mine]
            subset[mine[np.argsort(drawn)[:count]]] = Set.CALIBRATION
    return subset


def calibration_words(settings: Settings) -> str:
    """The keywords that draw the calibration set; empty without them."""
    words = []
    if settings.calibration.calibration_fraction > 0.0:
        fraction, split = settings.calibration.calibration_fraction, settings.calibration.calibration_split
        words.append(f"calibration_fraction {fraction!r}, calibration_split {split}")
    if settings.calibration.calibration_ood_group:
        words.append(f"calibration_ood_group {' '.join(settings.calibration.calibration_ood_group)}")
    return ", ".join(words)


def calibration_text(subset: NDArray[np.uint8]) -> str:
    """Structures in and out of the domain, in words."""
    outside = int(np.count_nonzero(subset == Set.OUTSIDE))
    more = f", and {outside} out of the domain" if outside else ""
    return f"{int(np.count_nonzero(subset == Set.CALIBRATION))}{more}; they are not trained on"


def calibration_warnings(
    settings: Settings, inside: int, outside: int, all_pinned: bool = False
) -> list[str]:
    """Why mode 2 will not calibrate, or not as asked for.

    Parameters
    ----------
    inside, outside : int
        Structures that are kept for it.
    all_pinned : bool
        Whether input.data assigns every structure to a set.
    """
    words = calibration_words(settings)
    asked = words or (settings.given("uncertainty") and settings.calibration.uncertainty == "hybrid")
    why = " (input.data pins all structures to sets, and keywords take only what it leaves open)" * all_pinned
    found = []
    if inside < FEWEST and (asked or inside or outside):
        now = f" (now: {words})" if words else ""
        found.append(
            f"{inside} structures are kept for the calibration{why}, expected at least {FEWEST}: mode 2 will "
            f"leave the standard deviations UNCALIBRATED. Raise calibration_fraction{now}, or write `begin "
            "set=calibration` for some structures"
        )
    if settings.calibration.calibration_ood_group and not outside:
        where = settings.origins["calibration_ood_group"]
        found.append(f"{where}: calibration_ood_group takes no structure{why}")
    return found
