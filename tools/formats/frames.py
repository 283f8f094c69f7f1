"""The chosen frames of any file or directory, as structures in the units asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

import ase.io
from ase import Atoms
from data_summary import Summary

from bnnp.descriptors.length_unit import SAMPLE, closest_pairs, reach, unit_advice
from bnnp.errors import BnnpError, InputError, NumericalError
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import read_structures
from bnnp.io.text import reason_of
from bnnp.structure import Set, Structure
from bnnp.units import Units
from formats.deepmd import find_systems, read_systems
from formats.lammps_dump import DumpChoice, is_dump, read_dump
from formats.runner_tree import find_data, read_tree


@dataclass(frozen=True)
class Choice:
    """What to take of each input file and how to mark it."""

    units: Units
    skip: int = 0
    every: int = 1
    most: int | None = None
    labels: bool = True
    stress: bool = True
    group: str | None = None
    subset: Set | None = None
    format: str | None = None
    energy_key: str | None = None
    forces_key: str | None = None
    types: list[str] | None = None
    lammps_units: str = "metal"
    log: Path | None = None

    @property
    def stop(self) -> int | None:
        """The frame to stop before."""
        return None if self.most is None else self.skip + self.every * self.most


class CheckedSummary(Summary):
    """Counts, and what makes one doubt the units or the periodicity."""

    def __init__(self, units: Units) -> None:
        super().__init__(units)
        self.partly_periodic = 0
        self.reaches: list[float] = []  # of the first structures

    def count(self, structure: Structure) -> None:
        """Count one structure."""
        super().count(structure)
        if len(self.reaches) < SAMPLE:
            with contextlib.suppress(NumericalError):  # no neighbor list: mode 1 will tell
                self.reaches.append(reach(closest_pairs(structure, self.units), self.units))

    def warnings(self) -> Iterator[str]:
        """What the user should look at."""
        yield from super().warnings()
        if self.partly_periodic:
            yield (
                f"{self.partly_periodic} frames are periodic along one or two axes only (pbc `T T F`): "
                "input.data knows all or nothing, so they are now periodic along ALL axes. Atoms see their "
                "images across a vacuum that is thinner than the cutoff"
            )
        advice = unit_advice(self.reaches, self.units)
        if advice:
            yield f"{advice.partition(' Then ')[0]} Is --units {self.units.name} right?"


def read_file(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen frames of one file, as structures in `choice.units`."""
    for structure in find_reader(path)(path, choice, summary):
        info = dict(structure.info)
        if choice.group:
            info["group"] = choice.group
        yield replace(structure, info=info, subset=choice.subset or structure.subset, index=0, line=0)


def find_reader(path: Path) -> Callable[[Path, Choice, CheckedSummary], Iterator[Structure]]:
    """The function that reads a file or a directory."""
    if path.is_dir():
        if find_systems(path):
            return read_deepmd
        if find_data(path):
            return read_runner
        raise InputError(
            f"{path}: neither systems of DeePMD-kit (type.raw) nor input.data in this directory or below it"
        )
    if path.suffix == ".data":
        return read_data
    return read_lammps if is_dump(path) else read_with_ase


def read_data(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen structures of an input.data file."""
    return choose(read_structures(path, None, choice.labels), choice)


def read_deepmd(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen frames of DeePMD-kit's systems."""
    for structure in choose(read_systems(path, choice.units), choice):
        missing = "energy" if structure.energy is None else "forces" if structure.forces is None else None
        if choice.labels and missing:
            source = structure.info["source"]
            raise InputError(f"{path}: {source} has no {missing}.npy; --no-labels leaves labels out")
        yield structure


def read_runner(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen structures of RuNNer's and n2p2's directories."""
    return choose(read_tree(path, choice.units, choice.labels), choice)


def choose(structures: Iterator[Structure], choice: Choice) -> Iterator[Structure]:
    """The chosen ones, with the chosen labels."""
    for structure in islice(structures, choice.skip, choice.stop, choice.every):
        if not choice.labels:
            yield replace(structure, energy=None, forces=None, stress=None)
        else:
            yield structure if choice.stress else replace(structure, stress=None)


def read_lammps(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen frames of a dump of LAMMPS."""
    how = DumpChoice(choice.types, choice.lammps_units, choice.energy_key, choice.log)
    frames = slice(choice.skip, choice.stop, choice.every)
    images = read_dump(path, how, frames, choice.labels)
    plain = replace(choice, energy_key=None)
    yield from structures_of(images, path, plain, summary)


def read_with_ase(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen frames of a file that ASE reads, each marked with where it comes from."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    frames = slice(choice.skip, choice.stop, choice.every)
    images = ase.io.iread(path, frames, format=choice.format, do_not_split_by_at_sign=True)
    yield from structures_of(images, path, choice, summary)


def structures_of(
    images: Iterator[Atoms], path: Path, choice: Choice, summary: CheckedSummary
) -> Iterator[Structure]:
    """Frames as structures, with errors that name the frame."""
    for number in count(choice.skip, choice.every):
        try:
            atoms = next(images)
        except StopIteration:
            return
        except BnnpError:
            raise
        except Exception as error:  # whatever a reader of ASE stumbles over
            raise InputError(
                f"{path}: ASE cannot read frame {number}: {reason_of(error)}; "
                "name the format with --format, or check that the file is complete"
            ) from error
        try:
            structure = from_atoms(
                atoms, choice.units, choice.labels, choice.stress, choice.energy_key, choice.forces_key
            )
        except InputError as error:
            raise InputError(
                f"{path} frame {number} (from 0): {error}; --energy-key and --forces-key name other keys, "
                "--no-labels makes input.data for prediction only"
            ) from error
        summary.partly_periodic += bool(atoms.pbc.any() and not atoms.pbc.all())
        info = dict(structure.info)
        if ":" not in info.get("source", ""):  # not yet "file:frame"
            info["source"] = f"{'/'.join(path.parts[-2:])}:{number}"
        yield replace(structure, info=info)
