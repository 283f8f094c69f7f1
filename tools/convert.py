"""Any format ASE reads to input.data, and input.data to any format ASE writes.

\b
python tools/convert.py OUTCAR_300K OUTCAR_600K input.data
python tools/convert.py --units metal --every 4 --max 35 --set train frames.extxyz.gz input.data
python tools/convert.py input.data structures.extxyz

A name that ends in .data is an input.data file, in the units of --units (bohr and hartree, or Angstrom
and eV); every other file is in ASE's own. --skip, --every and --max count the frames of each input file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

import ase.io
import click
from ase.io.formats import UnknownFileTypeError, filetype, ioformats
from data_summary import Summary, write_data
from tqdm import tqdm

from bnnp.errors import BnnpError, InputError, NumericalError, OutputError
from bnnp.io.ase_atoms import from_atoms, to_atoms
from bnnp.io.input_data import read_structures
from bnnp.io.output import cannot_write
from bnnp.modes.length_unit import SAMPLE, closest_pairs, reach, unit_advice
from bnnp.structure import Structure
from bnnp.units import UNITS, Units


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
    subset: str | None = None
    format: str | None = None
    energy_key: str | None = None
    forces_key: str | None = None

    @property
    def stop(self) -> int | None:
        """The frame to stop before."""
        return None if self.most is None else self.skip + self.every * self.most


def read_file(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen frames of one file, as structures in `choice.units`."""
    frames = read_data(path, choice) if path.suffix == ".data" else read_with_ase(path, choice, summary)
    for structure in frames:
        info = dict(structure.info)
        if choice.group:
            info["group"] = choice.group
        yield replace(structure, info=info, subset=choice.subset or structure.subset, index=0, line=0)


def read_data(path: Path, choice: Choice) -> Iterator[Structure]:
    """The chosen structures of an input.data file."""
    structures = read_structures(path, None, choice.labels)
    for structure in islice(structures, choice.skip, choice.stop, choice.every):
        if not choice.labels:
            yield replace(structure, energy=None, forces=None, stress=None)
        else:
            yield structure if choice.stress else replace(structure, stress=None)


def read_with_ase(path: Path, choice: Choice, summary: CheckedSummary) -> Iterator[Structure]:
    """The chosen frames of a file that ASE reads, each marked with where it comes from."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    frames = slice(choice.skip, choice.stop, choice.every)
    images = ase.io.iread(path, frames, format=choice.format, do_not_split_by_at_sign=True)
    for number in count(choice.skip, choice.every):
        try:
            atoms = next(images)
        except StopIteration:
            return
        except Exception as error:  # whatever a reader of ASE stumbles over
            raise InputError(
                f"{path}: ASE cannot read frame {number}: {type(error).__name__}: {error}; "
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
            with contextlib.suppress(NumericalError):  # no neighbour list: mode 1 will tell
                self.reaches.append(reach(closest_pairs(structure, self.units), self.units))

    def warnings(self) -> Iterator[str]:
        """What the user should look at."""
        if self.partly_periodic:
            yield (
                f"{self.partly_periodic} frames are periodic along one or two axes only (pbc `T T F`): "
                "input.data knows all or nothing, so they are now periodic along ALL axes. Atoms see their "
                "images across a vacuum that is thinner than the cutoff"
            )
        advice = unit_advice(self.reaches, self.units)
        if advice:
            yield f"{advice.partition(' Then ')[0]} Is --units {self.units.name} right?"


def write_file(target: Path, structures: Iterable[Structure], units: Units, append: bool) -> None:
    """Write structures in `units`; the target changes only when all of them are written."""
    if target.suffix == ".data":
        write_data(target, structures, append)
        return
    try:
        with tempfile.TemporaryDirectory(dir=target.resolve().parent, prefix=".convert") as folder:
            draft = Path(folder) / target.name  # formats are known by their names
            if append and target.exists():
                shutil.copy(target, draft)
            images = [to_atoms(structure, units) for structure in structures]
            ase.io.write(draft, images, append=append)
            os.replace(draft, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    except BnnpError:
        raise
    except Exception as error:  # whatever a writer of ASE stumbles over
        raise OutputError(
            f"{target}: ASE cannot write this: {type(error).__name__}: {error}; name another format by the "
            "end of the file's name, for example .extxyz"
        ) from error


def check_target(target: Path, inputs: Iterable[Path], append: bool, overwrite: bool) -> None:
    """Refuse to write over a file by accident."""
    if any(target.resolve() == path.resolve() for path in inputs):
        raise InputError(f"{target} is an input and the output; the last name is the file to write")
    if target.exists() and not (append or overwrite):
        raise InputError(f"{target} exists; add --append or --overwrite, or choose another name")
    if target.suffix == ".data":
        return
    try:
        known = ioformats[filetype(str(target), read=False)].can_write
    except (UnknownFileTypeError, KeyError):  # KeyError: an ending that is no format
        known = False
    if not known:
        raise InputError(
            f"{target}: ASE knows no format to write under this name; end it in .data for input.data, or for "
            "example in .extxyz (`ase info --formats` lists all)"
        )


def in_units(inputs: Iterable[Path], output: Path, units: Units) -> str:
    """In which units the files of --units are; empty if there are none."""
    unit = f"{units.length} and {units.energy}, units {units.name}"
    if output.suffix == ".data":
        return f" ({unit})"
    read = [path.name for path in inputs if path.suffix == ".data"]
    return f" ({read[0]} was read in {unit})" if read else ""


@click.command(help=__doc__)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--units",
    type=click.Choice(list(UNITS)),
    default="atomic",
    show_default=True,
    help="Units of input.data.",
)
@click.option("--skip", type=click.IntRange(0), default=0, help="Frames to leave out first, in each file.")
@click.option("--every", type=click.IntRange(1), default=1, help="Take every N-th frame of each file.")
@click.option("--max", "most", type=click.IntRange(1), help="Frames to take of each file at most.")
@click.option("--label", help="Group name, written as group=... in the comment line.")
@click.option("--set", "subset", type=click.Choice(["train", "test"]), help="Pin the structures to a set.")
@click.option(
    "--labels/--no-labels", default=True, help="Energies and forces must be there (default) or are left out."
)
@click.option("--stress/--no-stress", default=True, help="Take stress along where there is one (default).")
@click.option("--energy-key", help="Name of the energy in the files, e.g. REF_energy.")
@click.option("--forces-key", help="Name of the forces in the files, e.g. REF_forces.")
@click.option("--format", "format_", help="ASE's name of the format of the inputs, e.g. vasp-out.")
@click.option("--append", is_flag=True, help="Add to OUTPUT if it exists.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
def main(
    inputs: tuple[Path, ...],
    output: Path,
    units: str,
    skip: int,
    every: int,
    most: int | None,
    label: str | None,
    subset: str | None,
    labels: bool,
    stress: bool,
    energy_key: str | None,
    forces_key: str | None,
    format_: str | None,
    append: bool,
    overwrite: bool,
) -> None:
    """Run the conversion and print what was found."""
    choice = Choice(
        units=UNITS[units],
        skip=skip,
        every=every,
        most=most,
        labels=labels,
        stress=stress,
        group=label,
        subset=subset,
        format=format_,
        energy_key=energy_key,
        forces_key=forces_key,
    )
    summary = CheckedSummary(choice.units)

    def structures() -> Iterator[Structure]:
        for path in inputs:
            before = len(summary)
            frames = read_file(path, choice, summary)
            bar = tqdm(frames, desc=path.name, unit="frame", disable=None, leave=False)
            yield from summary.watch(bar)
            if len(summary) == before:
                raise InputError(f"{path}: none of its frames is chosen; check --skip ({skip})")
            click.echo(f"{path}: {len(summary) - before} frames")

    try:
        check_target(output, inputs, append, overwrite)
        write_file(output, structures(), choice.units, append)
    except BnnpError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    for line in summary.lines():
        click.echo(line)
    click.echo(f"{'Added to' if append else 'Written'}: {output}{in_units(inputs, output, choice.units)}")
    for warning in summary.warnings():
        click.echo(f"WARNING: {warning}", err=True)


if __name__ == "__main__":
    main()
