"""The chosen frames of any file or directory, as structures in the units asked for."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import ase.io
import vasp2data
from ase import Atoms
from ase.io.formats import UnknownFileTypeError, filetype
from data_summary import Summary
from data_units import input_units, reason_of_units
from vasp.files import is_output

from bnnp.analysis.label_sizes import LabelSizes
from bnnp.descriptors.length_unit import SAMPLE, closest_pairs, option_advice, reach
from bnnp.errors import BnnpError, InputError, NumericalError
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.ase_labels import LabelKeys, MissingLabel, find_labels
from bnnp.io.input_data import read_structures
from bnnp.io.method import disagreements
from bnnp.io.text import reason_of
from bnnp.messages import count as counted
from bnnp.structure import Set, Structure
from bnnp.units import Units
from formats import cp2k
from formats.change_units import change_units
from formats.deepmd import find_systems, is_deepmd_file, read_systems
from formats.extxyz import demand_columns, parse_comment
from formats.lammps_dump import DumpChoice, is_dump, read_dump
from formats.programs import Program, program_of, read_output
from formats.runner_tree import find_data, read_tree

SILENT = ("traj", "bundletrajectory", "castep-md", "castep-geom")  # formats of quantum programs


@dataclass(frozen=True)
class Choice:
    """What to take of each input file and how to mark it.

    `said` are the units of --units; `contradict` whether an input.nn beside an input.data may say others.
    """

    units: Units
    said: Units | None = None
    contradict: bool = True
    skip: int = 0
    every: int = 1
    most: int | None = None
    labels: bool = True
    stress: bool = True
    group: str | None = None
    subset: Set | None = None
    format: str | None = None
    keys: LabelKeys = field(default_factory=LabelKeys)
    types: list[str] | None = None
    lammps_units: str | None = None
    log: Path | None = None

    @property
    def stop(self) -> int | None:
        """The frame to stop before."""
        return None if self.most is None else self.skip + self.every * self.most


class CheckedSummary(Summary):
    """Counts, and what makes one doubt the units or the labels."""

    def __init__(self, units: Units) -> None:
        super().__init__(units)
        self.partly_periodic = 0
        self.reaches: list[float] = []  # of the first structures
        self.sizes = LabelSizes()
        self.left_aside: Counter[str] = Counter()  # structures by the name of a label that was not taken
        self.remarks: list[str] = []  # what was understood without being told
        self.methods: dict[str, set[str]] = {}  # files and groups of each `method=`

    def count(self, structure: Structure) -> None:
        """Count one structure."""
        super().count(structure)
        self.partly_periodic += structure.periodic and not all(structure.pbc)
        self.sizes.count(structure)
        if len(self.reaches) < SAMPLE:
            with contextlib.suppress(NumericalError):  # no neighbor list: mode 1 will tell
                self.reaches.append(reach(closest_pairs(structure, self.units), self.units))

    def notes(self) -> Iterator[str]:
        """What was understood without being told, and labels that were not taken."""
        yield from self.remarks
        if self.partly_periodic:
            along = counted(self.partly_periodic, "frame is", "frames are")
            yield (
                f"{along} periodic along one or two lattice vectors only, as comments in input.data say "
                '(pbc="T T F"). RuNNer and n2p2 do not read that: for them, vacuum must be thicker than the '
                "cutoff"
            )
        if self.left_aside:
            names = ", ".join(f"{name} ({number})" for name, number in sorted(self.left_aside.items()))
            yield f"left aside, with the number of structures that have it: {names}"

    def warnings(self) -> Iterator[str]:
        """What the user should look at."""
        yield from super().warnings()
        yield from disagreements(self.methods)
        advice = option_advice(self.reaches, self.units)
        yield from self.sizes.doubts(
            self.units, lambda index: f"structure {index + 1}", certain=advice is None
        )
        if advice is not None:
            yield advice


def read_file(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen frames of one file, as structures in `choice.units`."""
    with_stress, wanted = 0, choice.keys.stress or choice.keys.virial
    reader = find_reader(path)
    if reader is not read_with_ase:
        demand_no_keys(path, choice.keys if reader is not read_lammps else replace(choice.keys, energy=None))
    for structure in reader(path, choice, summary):
        info = dict(structure.info)
        with_stress += structure.stress is not None
        place = f"{path}, group {info['group']}" if "group" in info else str(path)
        summary.methods.setdefault(info.get("method", ""), set()).add(place)
        if choice.group:
            info["group"] = choice.group
        yield replace(structure, info=info, subset=choice.subset or structure.subset, index=0, line=0)
    if wanted and choice.labels and not with_stress:
        raise InputError(f"{path}: no periodic frame has `{wanted}`; see --stress-key and --virial-key")


def demand_no_keys(path: Path, keys: LabelKeys) -> None:
    """Refuse names of labels for a format in which labels have none."""
    if given := [f"--{name}-key {key}" for name, key in vars(keys).items() if key]:
        raise InputError(f"{path}: labels have no names in this format; leave out {', '.join(given)}")


def find_reader(path: Path) -> Callable[[Path, Choice, CheckedSummary], Iterator[Structure]]:
    """The function that reads a file or a directory."""
    if path.is_dir():
        if find_systems(path):
            return read_deepmd
        if find_data(path):
            return read_runner
        raise InputError(
            f"{path}: neither systems of DeePMD-kit (type.raw) nor input.data in this directory or below it; "
            "directories of VASP's runs are for bnnp vasp"
        )
    if path.suffix == ".data":
        return read_data
    if is_deepmd_file(path):
        return read_deepmd
    if is_output(path):
        return read_vasp
    if cp2k.is_trajectory(path):
        return read_cp2k
    return read_lammps if is_dump(path) else read_with_ase


def read_data(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen structures of an input.data file."""
    own = input_units(path, choice.said, choice.contradict)
    why = reason_of_units(path, choice.said)
    summary.remarks.append(f"{path} was read in {own.length} and {own.energy} ({why})")
    for structure in choose(read_structures(path, None, choice.labels), choice):
        yield change_units(structure, own, choice.units)


def read_deepmd(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen frames of DeePMD-kit's systems."""
    for structure in choose(read_systems(path, choice.units, summary.left_aside), choice):
        missing = "energy" if structure.energy is None else "force" if structure.forces is None else None
        if choice.labels and missing:
            source = structure.info["source"]
            raise InputError(f"{path}: {source} has no {missing}; --no-labels leaves labels out")
        yield structure


def read_runner(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen structures of RuNNer's and n2p2's directories."""
    return choose(read_tree(path, choice.units, choice.said, choice.labels, summary.remarks), choice)


def choose(structures: Iterator[Structure], choice: Choice) -> Iterator[Structure]:
    """The chosen ones, with the chosen labels."""
    for structure in islice(structures, choice.skip, choice.stop, choice.every):
        if not choice.labels:
            without = replace(structure, energy=None, forces=None, stress=None, charges=None)
            yield replace(without, dipole=None, born_charges=None)
        else:
            yield structure if choice.stress else replace(structure, stress=None)


def read_lammps(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen frames of a dump of LAMMPS."""
    how = DumpChoice(choice.types, choice.lammps_units, choice.keys.energy, choice.log)
    frames = slice(choice.skip, choice.stop, choice.every)
    images = read_dump(path, how, frames, choice.labels, summary.remarks)
    yield from structures_of(images, path, replace(choice, keys=LabelKeys()), summary)


def read_vasp(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen steps of an output of VASP, as bnnp vasp takes them."""
    tally = vasp2data.Tally()
    how = vasp2data.Choice(choice.units, skip=choice.skip, every=choice.every)
    try:
        yield from choose(vasp2data.read_file(path, how, tally), replace(choice, skip=0, every=1))
        if not tally.taken:
            raise InputError(vasp2data.why_nothing(tally, choice.skip))
        if tally.flaw:
            summary.remarks.append(f"{path}: no charges, as {tally.flaw}")
    except Exception as error:  # as vasp2data.py does
        raise InputError(f"{path}: {vasp2data.reason_of(error)}") from error
    if tally.left_out:
        summary.remarks.append(f"{path}: left out, {tally.reasons()}; see bnnp vasp")


def read_with_ase(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen frames of a file that ASE reads, each marked with where it comes from."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    program = None if choice.format else program_of(path)
    if program is not None:
        yield from read_program(path, program, choice, summary)
        return
    format_ = choice.format or format_of(path)
    if choice.labels and format_ in SILENT:
        summary.remarks.append(
            f"{path}: files of this kind ({format_}) do not say whether the electronic iterations converged"
        )
    options: dict[str, Any] = {}
    if format_ == "extxyz":
        demand_columns(path)
        options = {"properties_parser": parse_comment}

    def images(frames: slice) -> Iterator[Atoms]:
        return ase.io.iread(path, frames, format=choice.format, do_not_split_by_at_sign=True, **options)

    structure = None
    for structure in structures_of(
        images(slice(choice.skip, choice.stop, choice.every)), path, choice, summary
    ):
        yield structure
    if structure is None and next(images(slice(0, 1)), None) is None:
        raise InputError(
            f"{path}: ASE, which reads it as {format_}, finds no structure in it; is the file complete, and "
            "is it the one with the structures? --format names another format"
        )


def read_program(
    path: Path, program: Program, choice: Choice, summary: CheckedSummary
) -> Iterator[Structure]:
    """The chosen frames of an output of a quantum program, of all its runs."""
    left_out: Counter[str] = Counter()
    frames = read_output(path, program, left_out if choice.labels else None)
    return read_usable(frames, left_out, f"{path} ({program.name})", path, choice, summary)


def read_cp2k(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen steps of CP2K's molecular dynamics."""
    left_out: Counter[str] = Counter()
    summary.remarks.append(cp2k.SILENT.format(path))
    return read_usable(cp2k.read_trajectory(path, left_out), left_out, str(path), path, choice, summary)


def read_usable(
    frames: Iterator[tuple[int, Atoms]],
    left_out: Counter[str],
    name: str,
    path: Path,
    choice: Choice,
    summary: CheckedSummary,
) -> Iterator[Structure]:
    """The chosen ones of numbered frames, whose reader counts what it leaves out."""
    usable = 0

    def images() -> Iterator[Atoms]:
        nonlocal usable
        for number, atoms in frames:
            usable += 1
            atoms.info["source"] = f"{'/'.join(path.parts[-2:])}:{number}"
            yield atoms

    yield from structures_of(islice(images(), choice.skip, choice.stop, choice.every), path, choice, summary)
    reasons = "; ".join(f"{number} {reason}" for reason, number in left_out.items())
    if not usable:
        frames_found = counted(left_out.total(), "frame")
        why = f"none of its {frames_found} can be used: {reasons}" if left_out else "no structure in it"
        raise InputError(f"{name}: {why}; is the file complete, and is it the one with the structures?")
    if left_out:
        summary.remarks.append(f"{name}: left out, {reasons}")


def format_of(path: Path) -> str:
    """ASE's name of the format; empty if it does not know it."""
    try:
        return str(filetype(str(path)))
    except (UnknownFileTypeError, OSError):
        return ""


def structures_of(
    images: Iterator[Atoms], path: Path, choice: Choice, summary: CheckedSummary
) -> Iterator[Structure]:
    """Frames as structures, with errors that name the frame."""
    for number in count(choice.skip, choice.every):
        where = f"{path} frame {number + 1}"
        try:
            atoms = next(images)
        except StopIteration:
            return
        except BnnpError:
            raise
        except Exception as error:  # whatever a reader of ASE stumbles over
            raise InputError(
                f"{path}: ASE cannot read frame {number + 1}: {reason_of(error)}; "
                "name the format with --format, or check that the file is complete"
            ) from error
        try:
            wanted = choice.labels and len(atoms) > 0
            labels = find_labels(atoms, choice.keys, choice.stress) if wanted else None
            structure = from_atoms(atoms, choice.units, labels or False)
        except MissingLabel as error:
            raise InputError(
                f"{where}: {error}; --energy-key and --forces-key name other keys, "
                "--no-labels makes input.data for prediction only"
            ) from error
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        if labels:
            summary.left_aside.update(labels.left_aside)
        info = dict(structure.info)
        if ":" not in info.get("source", ""):  # not yet "file:frame"
            info["source"] = f"{'/'.join(path.parts[-2:])}:{number + 1}"
        yield replace(structure, info=info)
