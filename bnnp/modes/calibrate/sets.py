"""The calibration set: which structures are kept for it, whether they are enough, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.survey import draw_share
from bnnp.errors import InputError
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.io.input_data import StructureFile
from bnnp.messages import count
from bnnp.random import CALIBRATION, stream
from bnnp.run import Run
from bnnp.settings.settings import Settings
from bnnp.structure import Set, Structure
from bnnp.uncertainty.calibration import FEWEST


@dataclass(frozen=True, eq=False)
class GroupLabels:
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
    labels: GroupLabels,
    kept: NDArray[np.int64],
    runs: NDArray[np.int64],
    settings: Settings,
) -> NDArray[np.uint8]:
    """`subset` with the structures that ``calibration_ood_group`` and ``calibration_fraction`` select.

    Of each group the same share is taken, by :func:`draw_share`. Without the keyword there is no calibration
    set where input.data assigns one, or where it would be smaller than FEWEST.

    Parameters
    ----------
    subset : (n_kept,) uint8
        Numbers of :class:`bnnp.structure.Set`.
    free : (n_kept,) bool
        Whether input.data assigns it to no set.
    labels : GroupLabels
    kept : (n_kept,) int64
        Positions in input.data.
    runs : (n_kept,) int64
        Number of the trajectory each structure belongs to.

    Raises
    ------
    InputError
        There is no such group.
    """
    seed, subset, group = settings.general.random_seed, subset.copy(), labels.of
    split, share = settings.calibration.calibration_split, settings.calibration.calibration_fraction
    if settings.calibration.calibration_ood_group:
        name = demand_group(settings, labels.groups)
        subset[free & (group == labels.groups.index(name))] = Set.OUTSIDE
    chosen = subset.copy()
    for number in np.unique(group):
        mine = np.flatnonzero(free & (group == number) & (subset == Set.TRAIN))
        count = round(share * len(mine))
        if count and split == "blocks":
            first = int(stream(seed, CALIBRATION, int(kept[mine[0]])).integers(len(mine) - count + 1))
            chosen[mine[first : first + count]] = Set.CALIBRATION
        elif count:
            own = np.arange(len(runs)) if split == "random" else runs
            draw = [stream(seed, CALIBRATION, int(kept[k])).random() for k in mine]
            chosen[draw_share(mine, own[mine], np.array(draw), share)] = Set.CALIBRATION
    kept_back = int(np.count_nonzero(chosen == Set.CALIBRATION))
    pinned = Set.CALIBRATION in subset
    return subset if not settings.given("calibration_fraction") and (pinned or kept_back < FEWEST) else chosen


def calibration_keywords(settings: Settings) -> str:
    """The lines of input.nn that select the calibration set; empty without them."""
    found, keywords = [], settings.calibration
    if keywords.calibration_fraction > 0.0:
        fraction, split = keywords.calibration_fraction, keywords.calibration_split
        found.append(f"calibration_fraction {fraction!r}, calibration_split {split}")
    if keywords.calibration_ood_group:
        found.append(f"calibration_ood_group {' '.join(keywords.calibration_ood_group)}")
    return ", ".join(found)


def division_arguments(settings: Settings) -> tuple[int, float, str]:
    """Seed, test fraction and calibration keywords: what the division into sets depends on."""
    seed, fraction = settings.general.random_seed, settings.structures.test_fraction
    return seed, fraction, calibration_keywords(settings)


def calibration_text(subset: NDArray[np.uint8], settings: Settings, all_pinned: bool) -> str:
    """Numbers of structures inside and outside the training range, or why there are none, for the log."""
    inside, outside = (int(np.count_nonzero(subset == each)) for each in (Set.CALIBRATION, Set.OUTSIDE))
    if inside or outside:
        more = f", and {outside} out of the domain" if outside else ""
        return f"{inside}{more}; they are not trained on"
    share, training = settings.calibration.calibration_fraction, int(np.count_nonzero(subset == Set.TRAIN))
    if share == 0.0 or all_pinned:
        return "no structures" + ": input.data assigns all to other sets" * (share > 0.0)
    return f"no structures: of {training} for training {share:g} would be fewer than {FEWEST}"


def calibration_warnings(
    settings: Settings, inside: int, outside: int, all_pinned: bool = False
) -> list[str]:
    """Why mode 2 will not calibrate, or not as asked for.

    Parameters
    ----------
    inside, outside : int
        Structures that are kept for the calibration.
    all_pinned : bool
        Whether input.data assigns every structure to a set.
    """
    keywords = calibration_keywords(settings)
    outsiders = bool(settings.calibration.calibration_ood_group)
    asked = settings.given("calibration_fraction") or outsiders
    why = " (input.data pins all structures to sets, and keywords take only what it leaves open)" * all_pinned
    found = []
    if inside < FEWEST and (asked or inside or outside):
        now = f" (now: {keywords})" if keywords else ""
        raised = f"Raise calibration_fraction{now}, which takes what input.data does not pin, or write"
        way = "Write" if all_pinned else raised
        found.append(
            f"{count(inside, 'structure is', 'structures are')} kept for the calibration{why}, expected at "
            f"least {FEWEST}: mode 2 will leave the standard deviations UNCALIBRATED. {way} `begin "
            "set=calibration` for some structures"
        )
    if settings.calibration.calibration_ood_group and not outside:
        where = settings.origins["calibration_ood_group"]
        found.append(f"{where}: calibration_ood_group takes no structure{why}")
    return found


@dataclass(frozen=True)
class CalibrationSet:
    """Structures that were not trained on.

    Parameters
    ----------
    read, group : callable
        Number -> structure, and its group.
    inside, outside : sequence of int
        Numbers of those inside the training range, and of those that represent what is outside.
    """

    read: Callable[[int], Structure]
    group: Callable[[int], str]
    inside: Sequence[int]
    outside: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.inside) + len(self.outside)


def kept_in(file: DescriptorFile) -> CalibrationSet:
    """The structures mode 1 has kept for the calibration."""
    inside, outside = (
        np.flatnonzero(file.subset == number).tolist() for number in (Set.CALIBRATION, Set.OUTSIDE)
    )
    return CalibrationSet(
        partial(structure_of, file), lambda number: file.groups[file.group[number]], inside, outside
    )


def pinned_in(structures: StructureFile, run: Run) -> tuple[list[int], list[int], list[str]]:
    """Numbers of the structures of input.data for the calibration, inside and outside the training range, and
    the group of every structure.

    They are those that input.data assigns to these sets, or all if it assigns none to any set; outside are
    also those of ``calibration_ood_group``.

    Raises
    ------
    InputError
        No structure has the group; one was trained on; all references are zero.
    """
    groups, subsets = [], []
    for structure in structures:
        groups.append(structure.info.get("group", ""))
        subsets.append(structure.subset)
    name = demand_group(run.settings, groups) if run.settings.calibration.calibration_ood_group else ""
    pins = any(subsets)
    inside, outside = [], []
    for number, (subset, group) in enumerate(zip(subsets, groups, strict=True)):
        if subset == Set.OUTSIDE or (subset is None and name and group == name):
            outside.append(number)
        elif subset == Set.CALIBRATION or not pins:
            inside.append(number)
    numbers = sorted([*inside, *outside])
    _demand_references(structures, numbers)
    if (run.directory / FILE_NAME).is_file():
        with DescriptorFile.open(run.directory / FILE_NAME) as file:
            _demand_new(structures, numbers, file)
    return inside, outside, groups


def _demand_references(structures: StructureFile, numbers: Sequence[int]) -> None:
    """Raise InputError if all energies and forces are 0, as in files that have none."""
    for number in numbers:
        structure = structures[number]
        forces = structure.forces
        if structure.energy not in (None, 0.0) or (forces is not None and np.nan_to_num(forces).any()):
            return
    if numbers:
        raise InputError(
            f"{structures.path.name}: energies and forces of all structures ({len(numbers)}) are 0: these "
            "are no references to calibrate with"
        )


def _demand_new(structures: StructureFile, numbers: Sequence[int], file: DescriptorFile) -> None:
    """Raise InputError if a structure is in the training set of symmetry_functions.h5: same energy and
    positions."""
    energies = np.where(file.subset == Set.TRAIN, file.energy, np.nan)
    known = []
    for structure in map(structures.__getitem__, numbers):
        if structure.energy is None:
            continue
        for number in np.flatnonzero(np.isclose(energies, structure.energy, rtol=1e-9, atol=1e-9)).tolist():
            theirs, ours = file.positions[file.atoms(number)], structure.positions
            if theirs.shape == ours.shape and np.allclose(theirs, ours, atol=1e-4):
                known.append(structure.where)
                break
    if known:
        raise InputError(
            f"{structures.path.name}: {known[0]} is in the training set of {FILE_NAME}, as {len(known)} of "
            f"the {count(len(numbers), 'structure')} for the calibration are; give others, that were not "
            "trained on"
        )


def structure_of(file: DescriptorFile, number: int) -> Structure:
    """A structure from symmetry_functions.h5, with those of its references that are known."""
    energy, forces, stress = float(file.energy[number]), file.forces[file.atoms(number)], file.stress[number]
    return replace(
        file.structure(number),
        energy=energy if np.isfinite(energy) else None,
        forces=forces if np.isfinite(forces).any() else None,
        stress=np.array(stress) if np.isfinite(stress).all() else None,
    )
