"""Generation 0: input.data is divided into what is trained on, tested, calibrated with, and held out.

A structure keeps its set for ever: a potential that begins with the weights of the last one has seen what
that was trained on, so nothing of it may be drawn for the calibration later, or be held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.descriptors.survey import draw_share, survey, survey_dtype, trajectories
from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.messages import count
from bnnp.structure import Set, Structure
from bnnp.uncertainty.calibration import FEWEST
from learning.campaign import Campaign, announce

REACH = 6.0  # Angstrom
SPARE = 3  # structures more than FEWEST that the calibration set of the start is meant to have
LEAST = 4 * FEWEST  # structures of a start set


def divide_start(campaign: Campaign) -> None:
    """Write label/labeled.data and label/held_out.data of generation 0.

    Raises
    ------
    InputError
        There are too few structures to train, test, calibrate and judge.
    """
    source = campaign.root / "input.data"
    structures = list(StructureFile(source, campaign.settings.model.elements))
    if len(structures) < LEAST:
        raise InputError(
            f"input.data has {count(len(structures), 'structure')}: at least {LEAST} are needed to begin, as "
            f"{FEWEST} calibrate the standard deviations and others test and judge; add snapshots of "
            "molecular dynamics or strained and displaced crystals"
        )
    folder = campaign.start(0, "label")
    sizes = write_divided(campaign, 0, structures, FEWEST + SPARE, folder)
    paths = [folder / "labeled.data", folder / "held_out.data"]
    announce(0, "label", ", ".join(f"{number} {name}" for name, number in sizes.items()))
    campaign.finish(0, "label", [source], paths, sizes=sizes, labels=len(structures))


def write_divided(
    campaign: Campaign, generation: int, structures: Sequence[Structure], calibration: int, folder: Path
) -> dict[str, int]:
    """Divide labels, write them, and return the number of each set.

    Parameters
    ----------
    calibration : int
        How many are wanted for the calibration at least.
    """
    settings = campaign.settings
    share = max(settings.calibration.calibration_fraction, min(calibration / max(len(structures), 1), 0.6))
    shares = {
        "held out": settings.loop.loop_hold_out,
        "calibration": share,
        "test": settings.structures.test_fraction,
    }
    names = divide(structures, shares, settings.general.random_seed + generation, campaign.units.angstrom)
    sets = {"train": Set.TRAIN, "test": Set.TEST, "calibration": Set.CALIBRATION}
    pairs = list(zip(structures, names, strict=True))
    kept = [(each, each.subset or sets[name]) for each, name in pairs if each.subset or name in sets]
    write_structures(folder / "labeled.data", (replace(each, subset=subset) for each, subset in kept))
    held_out = [replace(each, subset=None) for each, name in pairs if not (each.subset or name in sets)]
    write_structures(folder / "held_out.data", held_out)
    found = {label: sum(subset is own for _, subset in kept) for label, own in sets.items()}
    return {**found, "held out": len(held_out)}


def divide(
    structures: Sequence[Structure], shares: dict[str, float], seed: int, angstrom: float
) -> list[str]:
    """Name of the set of each structure: one of `shares`, else ``train``.

    Frames of a trajectory are drawn in blocks, others one by one, of each group the same share; a share that
    is not zero gives one structure at least.
    """
    if not structures:
        return []
    elements = sorted({x for each in structures for x in each.symbols}, key=atomic_numbers.__getitem__)
    table = np.zeros(len(structures), survey_dtype(len(elements)))
    for record, structure in enumerate(structures):
        table[record] = survey(structure, elements, REACH / angstrom, {})
    groups = [each.info.get("group", "") for each in structures]
    group = np.unique(groups, return_inverse=True)[1].astype(np.int32)
    runs, draw = trajectories(table, group), np.random.default_rng(seed).random(len(structures))
    names = np.full(len(structures), "train", dtype=object)
    for name, share in shares.items():
        chosen = [
            draw_share(
                own, runs[own], draw[own], min(1.0, share * np.sum(group == number) / max(len(own), 1))
            )
            for number in np.unique(group)
            for own in [np.flatnonzero((group == number) & (names == "train"))]
        ]
        taken: NDArray[np.int64] = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
        free = np.flatnonzero(names == "train")
        if not len(taken) and share > 0.0 and len(free) > 1:
            taken = free[np.argmin(draw[free])][None]
        names[taken] = name
    return [str(name) for name in names]
