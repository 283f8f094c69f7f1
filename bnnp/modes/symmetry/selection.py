"""The division of input.data into sets: RuNNer's thresholds, then training, test and calibration set.

A structure is dropped for its first fault: two atoms closer than ``bond_threshold`` ("too short bond"), an
energy per atom at or above ``energy_threshold`` ("high E"; without free-atom energies where they are in
effect), a force component beyond ``force_threshold`` ("high F"). Each structure that is kept has one random
number, counted by its position in the file; it is for training if that is > ``test_fraction`` or the file
says ``begin set=train``. Frames that follow each other in time are alike, and one at a time they would test
nothing: of them whole blocks are drawn. The calibration set is then taken from the training set
(:mod:`bnnp.modes.calibrate.sets`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.analysis.label_sizes import SizeTable, label_doubts
from bnnp.analysis.label_work import LabelWork, WorkTable, work_doubts
from bnnp.descriptors.pool import SHORTEST
from bnnp.descriptors.survey import draw_share, survey, survey_dtype, trajectories
from bnnp.errors import InputError, NumericalError
from bnnp.io.input_data import StructureFile
from bnnp.io.method import group_disagreements
from bnnp.log import Log
from bnnp.messages import count
from bnnp.modes.calibrate.sets import (
    GroupLabels,
    calibration_keywords,
    calibration_warnings,
    draw_calibration,
)
from bnnp.modes.doubts import demand_calibration, demand_units
from bnnp.random import SPLIT, stream
from bnnp.settings.settings import Settings
from bnnp.structure import Set

REASONS = ("too short bond", "high E", "high F")
USES = ("used for training", "used for testing ", "used for calibration", "used for calibration")
SHOWN = 10  # structures a warning names one by one
FEW = 10  # structures below which a potential cannot be trained


@dataclass(frozen=True, eq=False)
class Survey:
    """Properties of all structures, the same on every rank.

    Parameters
    ----------
    table : (n_structures,) array of :func:`bnnp.descriptors.survey.survey_dtype`
    groups : tuple of str
        Labels ``group=`` of the comment lines; the first is the empty one.
    group : (n_structures,) int32
        Index into `groups`.
    lines : (n_structures,) int64
        Line of each structure in input.data.
    methods : dict of str to set of str
        For each ``method=`` of the comment lines the groups that have it.
    work : WorkTable
        Energies and work from frame to frame.
    """

    table: NDArray[np.void]
    groups: tuple[str, ...]
    group: NDArray[np.int32]
    lines: NDArray[np.int64]
    methods: dict[str, set[str]]
    work: WorkTable

    def where(self, index: int) -> str:
        """A structure as messages name it."""
        return f"structure {index + 1} (input.data line {self.lines[index]})"


@dataclass(frozen=True, eq=False)
class Selection:
    """The set of every structure, or why it is dropped.

    Parameters
    ----------
    kept : (n_kept,) int64
        Positions in input.data, ascending.
    subset : (n_kept,) uint8
        Numbers of :class:`bnnp.structure.Set`.
    fault : (n_structures,) int64
        Index into `REASONS`, -1 for a structure that is kept.
    runs : (n_kept,) int64
        Number of the trajectory each kept structure belongs to.
    """

    kept: NDArray[np.int64]
    subset: NDArray[np.uint8]
    fault: NDArray[np.int64]
    runs: NDArray[np.int64]

    @property
    def n_training(self) -> int:
        """Structures in the training set."""
        return int(np.count_nonzero(self.subset == Set.TRAIN))

    @property
    def n_test(self) -> int:
        """Structures in the test set."""
        return int(np.count_nonzero(self.subset == Set.TEST))

    @property
    def n_calibration(self) -> int:
        """Structures in the calibration set, including those outside the training range."""
        return int(np.count_nonzero(self.subset >= Set.CALIBRATION))

    @property
    def n_frames(self) -> tuple[int, int]:
        """Structures that follow each other in time, and the number of their trajectories."""
        lengths = np.bincount(self.runs)
        return int(lengths[lengths > 1].sum()), int(np.count_nonzero(lengths > 1))

    @property
    def n_dropped(self) -> dict[str, int]:
        """Structures dropped for each reason."""
        return {reason: int(np.count_nonzero(self.fault == number)) for number, reason in enumerate(REASONS)}


def survey_all(structures: StructureFile, settings: Settings, log: Log) -> Survey:
    """Survey every structure; each rank neighboring ones. Before functions are chosen, pairs to 5 Angstrom.

    Raises
    ------
    NumericalError
        A structure has no neighbor list (flat cell, absurd density).
    """
    mine, model, work = parallel.stretch(structures.n_atoms.tolist()), settings.model, LabelWork()
    cutoff = SHORTEST / model.units.angstrom if settings.chooses_functions else model.largest_cutoff
    labels: list[str] = []
    methods: dict[str, set[str]] = {}
    records = np.zeros(len(mine), survey_dtype(len(model.elements)))
    for structure in structures.read(range(max(mine.start - 3, 0), mine.start)):
        work.count(structure, structure.index)
    for record, structure in enumerate(structures.read(log.progress(mine, "counting neighbors"))):
        work.count(structure, structure.index)
        try:
            records[record] = survey(structure, model.elements, cutoff, model.atom_energies)
        except NumericalError as error:
            raise NumericalError(f"{structures.path.name}, {structure.where}: {error}") from error
        labels.append(sys.intern(structure.info.get("group", "")))
        methods.setdefault(structure.info.get("method", ""), set()).add(labels[-1])
    shares = parallel.broadcast(parallel.gather((mine, records, labels, methods, work.table(mine.start - 2))))
    for share in shares:
        for method, found in share[3].items():
            methods.setdefault(method, set()).update(found)
    table = np.concatenate([share[1] for share in shares])
    names = [label for share in shares for label in share[2]]
    groups = ("", *sorted(set(names) - {""}))
    number = {group: position for position, group in enumerate(groups)}
    group = np.array([number[name] for name in names], dtype=np.int32)
    steps = WorkTable.joined([share[4] for share in shares])
    return Survey(table, groups, group, structures.lines, methods, steps)


def select(found: Survey, settings: Settings) -> Selection:
    """Drop what the thresholds exclude and divide the rest.

    Raises
    ------
    InputError
        Nothing is left for training.
    """
    table = found.table
    fault = np.full(len(table), -1)
    for number in reversed(range(len(REASONS))):
        fault[_faulty(table, settings)[number]] = number
    kept = np.flatnonzero(fault < 0)
    runs = trajectories(table, found.group)[kept]
    drawn = _divide(table["subset"][kept], kept, found.group[kept], runs, settings)
    free, labels = table["subset"][kept] < 0, GroupLabels(found.groups, found.group[kept])
    selection = Selection(kept, draw_calibration(drawn, free, labels, kept, runs, settings), fault, runs)
    _demand_enough(selection, found, settings)
    return selection


def _faulty(table: NDArray[np.void], settings: Settings) -> tuple[NDArray[np.bool_], ...]:
    """For each of `REASONS` which structures it excludes."""
    high_e, high_f = settings.structures.energy_threshold, settings.structures.force_threshold
    never = np.zeros(len(table), dtype=bool)
    return (
        table["shortest"] < settings.structures.bond_threshold,
        never if high_e is None else table["energy"] >= high_e,
        never if high_f is None else table["largest_force"] > high_f,
    )


def _divide(
    pinned: NDArray[np.int8],
    kept: NDArray[np.int64],
    group: NDArray[np.int32],
    runs: NDArray[np.int64],
    settings: Settings,
) -> NDArray[np.uint8]:
    """Set of each kept structure: what the file pins, else by its random number; frames of a trajectory by
    blocks, of each group the share `test_fraction`."""
    seed, fraction = settings.general.random_seed, settings.structures.test_fraction
    draw = np.array([stream(seed, SPLIT, int(index)).random() for index in kept])
    drawn = (draw <= fraction).astype(np.int8)
    frames = (pinned < 0) & (np.bincount(runs)[runs] > 1)
    drawn[frames] = Set.TRAIN
    for number in np.unique(group[frames]):
        mine = np.flatnonzero(frames & (group == number))
        drawn[draw_share(mine, runs[mine], draw[mine], fraction)] = Set.TEST
    return np.where(pinned >= 0, pinned, drawn).astype(np.uint8)


def _demand_enough(selection: Selection, found: Survey, settings: Settings) -> None:
    """Raise InputError if what is left cannot be trained on."""
    counts = ", ".join(f"{count} {reason}" for reason, count in selection.n_dropped.items())
    n_dropped, n_all = int(np.count_nonzero(selection.fault >= 0)), len(selection.fault)
    if len(selection.kept) == 0:
        raise InputError(
            f"input.data: all structures ({n_all}) are dropped ({counts}); {_closest(found, settings)}. "
            f"Are the lengths {settings.model.units.length} and Cartesian? "
            f"See bond_threshold, energy_threshold, force_threshold in {settings.file}."
        )
    if len(selection.kept) < FEW and n_dropped > len(selection.kept):
        raise InputError(
            f"input.data: the thresholds drop {n_dropped} of {count(n_all, 'structure')} ({counts}) and "
            f"leave {len(selection.kept)}, expected at least {FEW}; {_closest(found, settings)}. Correct "
            f"bond_threshold, energy_threshold or force_threshold in {settings.file}, or the data."
        )
    if selection.n_training == 0:
        keywords = [f"test_fraction {settings.structures.test_fraction:g}", calibration_keywords(settings)]
        shown = ", ".join(filter(None, keywords))
        raise InputError(
            f"input.data: of {count(len(selection.kept), 'structure')} none is in the training set: "
            f"{selection.n_test} are for testing, {selection.n_calibration} for the calibration ({shown}); "
            "lower these or write `begin set=train` for some structures."
        )


def _closest(found: Survey, settings: Settings) -> str:
    """The two closest atoms of all structures, for messages."""
    return _describe_shortest(found, int(found.table["shortest"].argmin()), settings)


def _describe_shortest(found: Survey, index: int, settings: Settings) -> str:
    """The two closest atoms of a structure, for messages."""
    record = found.table[index]
    first, second = record["closest"] + 1
    distance = f"{record['shortest']:.6g} {settings.model.units.length}"
    return f"{found.where(index)}: atoms {first} and {second} are {distance} apart"


def group_table(found: Survey, selection: Selection) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of a table of what the structures of each group are used for, or why not."""
    uses = selection.fault + len(Set)  # the place of each structure: its set, or behind those its fault
    uses[selection.kept] = selection.subset
    places = len(Set) + len(REASONS)
    counts = np.zeros((len(found.groups), places), dtype=np.int64)
    np.add.at(counts, (found.group, uses), 1)
    shown = [k for k in range(places) if counts[:, k].any() or k <= Set.TEST]
    names = ("training", "test", "calibration", "out of domain", *REASONS)
    labels = [label or "(no group)" for label in found.groups]
    rows: list[list[object]] = [
        [label, *(int(row[k]) for k in shown)] for label, row in zip(labels, counts, strict=True) if row.any()
    ]
    return ["group", *(names[k] for k in shown)], rows


def selection_lines(selection: Selection) -> Iterator[str]:
    """RuNNer's line about every structure, which other tools read."""
    counts: Counter[str] = Counter()
    subset = dict(zip(selection.kept.tolist(), selection.subset.tolist(), strict=True))
    for index, fault in enumerate(selection.fault.tolist()):
        verdict = f"rejected ({REASONS[fault]})" if fault >= 0 else USES[subset[index]]
        counts[verdict] += 1
        yield f"{index + 1:8d} Point is {verdict} {counts[verdict]:8d}"


def selection_warnings(found: Survey, selection: Selection, settings: Settings) -> list[str]:
    """Everything that may be wrong with the data or the division.

    Raises
    ------
    InputError
        As :mod:`bnnp.modes.doubts`: a reason for every mode to stop.
    """
    doubts = _units(found, selection, settings)
    return [
        *group_disagreements(found.methods),
        *_dropped(found, selection, settings),
        *_net_forces(found, selection, settings),
        *doubts,
        *_sizes(found, selection, settings, certain=not doubts),
        *_subsets(found, selection, settings),
        *_calibration(found, selection, settings),
    ]


def _dropped(found: Survey, selection: Selection, settings: Settings) -> list[str]:
    """Structures with atoms too close, and a large share dropped."""
    close = np.flatnonzero(selection.fault == 0)
    warnings = [
        f"dropped, too short bond: {_describe_shortest(found, int(index), settings)}"
        for index in close[:SHOWN]
    ]
    if len(close) > SHOWN:
        warnings.append(
            f"... and {count(len(close) - SHOWN, 'more structure')} with a bond shorter than bond_threshold"
        )
    n_dropped = np.count_nonzero(selection.fault >= 0)
    if n_dropped > len(selection.kept):
        warnings.append(
            f"the thresholds drop {n_dropped} of {count(len(selection.fault), 'structure')}: are they meant "
            "so?"
        )
    return warnings


def _net_forces(found: Survey, selection: Selection, settings: Settings) -> list[str]:
    """Structures whose forces do not sum to zero, or no forces at all."""
    force, unit = found.table["net_force"], settings.model.units.force
    large = [int(index) for index in selection.kept if force[index] > settings.structures.check_input_forces]
    warnings = [
        f"net force vector is large for structure {index + 1:8d} {force[index]:14.8f} {unit}"
        for index in large[:SHOWN]
    ]
    if len(large) > SHOWN:
        warnings.append(
            f"... and {count(len(large) - SHOWN, 'more structure')} with a net force beyond "
            "check_input_forces"
        )
    wanted, asked = settings.structures.use_short_forces, settings.given("use_short_forces")
    if not wanted and has_forces(found, selection):
        where = settings.origins["use_short_forces"]
        warnings.append(f"input.data has forces, and they are not trained: {where}, use_short_forces .false.")
    elif wanted and asked and not has_forces(found, selection):
        warnings.append("every force in input.data is zero, but use_short_forces asks to train on them")
    return warnings


def has_forces(found: Survey, selection: Selection) -> bool:
    """Whether any force of the structures that are kept is not zero; files without forces have zeros."""
    return bool(found.table["largest_force"][selection.kept].any())


def _units(found: Survey, selection: Selection, settings: Settings) -> list[str]:
    """Shortest distances that do not fit the covalent radii."""
    reaches = found.table["reach"][selection.kept] * settings.model.units.angstrom
    advice = demand_units(reaches, settings, "input.data")
    return [advice] if advice else []


def _sizes(found: Survey, selection: Selection, settings: Settings, certain: bool) -> list[str]:
    """Energies, forces and stresses of a size that no calculation gives, or that contradict each other."""
    table, units = found.table[selection.kept], settings.model.units
    numbers = np.array([atomic_numbers[element] for element in settings.model.elements])
    counts = table["n_atoms"].astype(np.float64)
    sizes = SizeTable.of(numbers, counts, table["energy"], table["largest_force"], table["stress"], units)
    doubts = list(label_doubts(sizes, units, lambda k: found.where(int(selection.kept[k])), certain=certain))
    return [*doubts, *(work_doubts(found.work, units, found.where) if certain else ())]


def _calibration(found: Survey, selection: Selection, settings: Settings) -> list[str]:
    """A calibration that cannot be made of what is kept for it."""
    all_pinned = bool((found.table["subset"][selection.kept] >= 0).all())
    counts = np.bincount(selection.subset, minlength=len(Set)).tolist()
    inside = counts[Set.CALIBRATION]
    demand_calibration(settings, inside, inside + counts[Set.TRAIN], all_pinned)
    return calibration_warnings(settings, inside, counts[Set.OUTSIDE], all_pinned)


def _subsets(found: Survey, selection: Selection, settings: Settings) -> list[str]:
    """An empty or tiny test set, and elements that are missing."""
    warnings = []
    if selection.n_test == 0:
        warnings.append(
            "the test set is empty: mode 2 cannot tell a good fit from an overfit one; raise test_fraction "
            f"(now {settings.structures.test_fraction:g}) or write `begin set=test` for some structures"
        )
    elif selection.n_test < FEW and len(selection.kept) > 10 * FEW:
        warnings.append(
            f"the test set has only {count(selection.n_test, 'structure')}: its errors will mean little"
        )
    n_atoms = found.table["n_atoms"][selection.kept].sum(axis=0)
    missing = [element for element, count in zip(settings.model.elements, n_atoms, strict=True) if count == 0]
    if missing:
        warnings.append(f"no structure that is used contains {', '.join(missing)}, which `elements` lists")
    return warnings
