"""Any format ASE reads to input.data, and input.data to any format ASE writes; or a report on the data.

\b
bnnp convert run_300K.extxyz run_600K.traj input.data
bnnp convert --every 4 --max 35 --set train frames.extxyz.gz input.data
bnnp convert --energy-key REF_energy --virial-key REF_virial a.xyz input.data
bnnp convert input.data structures.extxyz
bnnp convert deepmd_systems/ n2p2_study/ input.data
bnnp convert --types "Ge Te" --log log.lammps melt.dump input.data
bnnp convert --check input.data

A name that ends in .data is an input.data file, in the units that an input.nn beside it states, else in
those of --units (bohr and hartree, or Angstrom and eV), else in Angstrom and eV; every other file is in the
units that it states, else in ASE's own. Energy, forces and stress are those of one calculation, without a
name (energy, forces, stress or virial), or the one that the --...-key options name.

Outputs of Quantum ESPRESSO, FHI-aims, Gaussian, ORCA, CASTEP, GPAW, NWChem and ABINIT are known by their
content; steps that did not converge are left out or refused. Of CP2K, PROJECT-pos-1.xyz is read, with
PROJECT-frc-1.xyz and the cell (.cell, .restart or .inp) beside it.

A directory, or an HDF5 file, is one of DeePMD-kit's systems; or a directory of RuNNer's or n2p2's input.data
files. Dumps of LAMMPS (.dump, .lammpstrj) need an energy: a column of a compute pe/atom, or the log. VASP's
files are read as bnnp vasp does. --skip, --every and --max count the frames of each input.

--check converts nothing and reports on all inputs: compositions, groups, ranges, shortest distances,
duplicates, net forces, outliers, and thresholds for input.nn.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import ase.io
import click
from ase.io.formats import UnknownFileTypeError, filetype, ioformats
from data_check import DataCheck
from data_summary import Summary, check_units, write_data, written_to
from data_units import input_units, output_units, stated_units, units_option
from elements_option import parse_elements
from formats.frames import CheckedSummary, Choice, read_file
from former_data import FormerData, demand_inputs
from tqdm import tqdm

from bnnp.command import SETTINGS, Command, say
from bnnp.errors import BnnpError, InputError, OutputError
from bnnp.io.ase_atoms import to_atoms
from bnnp.io.ase_labels import LabelKeys
from bnnp.io.output import cannot_write
from bnnp.log import Log
from bnnp.messages import count
from bnnp.structure import SET_LABELS, Set, Structure
from bnnp.units import METAL, UNITS, Units


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


def check_target(target: Path, inputs: Iterable[Path], append: bool, overwrite: bool, units: Units) -> None:
    """Refuse to write over a file by accident, or to add to one in other units."""
    if any(target.resolve() == path.resolve() for path in inputs):
        raise InputError(f"{target} is an input and the output; the last name is the file to write")
    if target.exists() and not (append or overwrite):
        raise InputError(f"{target} exists; add --append or --overwrite, or choose another name")
    if target.suffix == ".data":
        if append and target.is_file():
            check_units(target, units)
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


def in_units(output: Path, units: Units) -> str:
    """In which units an input.data is; empty for other files."""
    if output.suffix != ".data":
        return ""
    advice = "; write `units metal` into input.nn" if units is METAL and stated_units(output) is None else ""
    return f" ({units.length} and {units.energy}, units {units.name}){advice}"


@click.command("convert", cls=Command, help=__doc__, context_settings=SETTINGS)
@click.argument("paths", nargs=-1, required=True, metavar="INPUTS... OUTPUT", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Report on all files named; convert nothing.")
@units_option
@click.option("--skip", type=click.IntRange(0), default=0, help="Frames to leave out first, in each file.")
@click.option("--every", type=click.IntRange(1), default=1, help="Take every N-th frame of each file.")
@click.option("--max", "most", type=click.IntRange(1), help="Frames to take of each file at most.")
@click.option("--label", help="Group name, written as group=... in the comment line.")
@click.option("--set", "subset", type=click.Choice(SET_LABELS), help="Pin the structures to a set.")
@click.option(
    "--labels/--no-labels", default=True, help="Energies and forces must be there (default) or are left out."
)
@click.option("--stress/--no-stress", default=True, help="Take stress along where there is one (default).")
@click.option("--energy-key", help="Name of the energy in the files, e.g. REF_energy.")
@click.option(
    "--forces-key", help="Name of the forces in the files; by default those of the same calculation."
)
@click.option("--stress-key", help="Name of the stress in the files, the same.")
@click.option("--virial-key", help="Name of a virial, minus the volume times the stress, instead.")
@click.option("--format", "format_", help="ASE's name of the format of the inputs, e.g. vasp-out.")
@click.option("--types", callback=parse_elements, help="Elements of LAMMPS' types from 1 on, e.g. 'Ge Te'.")
@click.option(
    "--lammps-units",
    help="Of a dump that states none, nor its log: metal (default), real, ...",
)
@click.option("--log", type=click.Path(path_type=Path, exists=True), help="LAMMPS' log with Step and PotEng.")
@click.option("--append", is_flag=True, help="Add to OUTPUT if it exists.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
def main(
    paths: tuple[Path, ...],
    check: bool,
    units: str | None,
    skip: int,
    every: int,
    most: int | None,
    label: str | None,
    subset: str | None,
    labels: bool,
    stress: bool,
    energy_key: str | None,
    forces_key: str | None,
    stress_key: str | None,
    virial_key: str | None,
    format_: str | None,
    types: list[str] | None,
    lammps_units: str | None,
    log: Path | None,
    append: bool,
    overwrite: bool,
) -> None:
    """Run the conversion, or the check, and print what was found."""
    if not check and len(paths) < 2:
        raise click.UsageError("missing argument OUTPUT: the last name is the file to write")
    if stress_key and virial_key:
        raise click.UsageError("--stress-key and --virial-key both name the stress; give one of them")
    choice = Choice(
        units=METAL,
        said=UNITS[units] if units else None,
        contradict=not check and paths[-1].suffix == ".data",
        skip=skip,
        every=every,
        most=most,
        labels=labels,
        stress=stress,
        group=label,
        subset=Set.labeled(subset) if subset else None,
        format=format_,
        keys=LabelKeys(energy_key, forces_key, stress_key, virial_key),
        types=types,
        lammps_units=lammps_units,
        log=log,
    )
    demand_inputs(paths if check else paths[:-1])
    if check:
        stated = (input_units(path, choice.said) for path in paths if path.suffix == ".data")
        check_data(paths, replace(choice, units=choice.said or next(stated, METAL)))
    else:
        written = output_units(paths[-1], choice.said) if paths[-1].suffix == ".data" else choice.said
        convert(paths[:-1], paths[-1], replace(choice, units=written or METAL), append, overwrite)


def check_data(paths: Iterable[Path], choice: Choice) -> None:
    """Report on all structures of some files."""
    found, summary, log = DataCheck(choice.units), Summary(choice.units), Log()
    reading = CheckedSummary(choice.units)  # only what a reader notices: `found` judges the structures
    for path in paths:
        found.watch(summary.watch(read_file(path, choice, reading)))
    if not found.entries:
        raise InputError("there is no structure to report on")
    found.report(log)
    for note in reading.notes():
        log.note(note)
    for warning in (*summary.warnings(), *reading.warnings()):
        log.warn(warning)


def convert(inputs: tuple[Path, ...], output: Path, choice: Choice, append: bool, overwrite: bool) -> None:
    """Write the structures of some files to another one, and print what was found."""
    summary = CheckedSummary(choice.units)

    def structures() -> Iterator[Structure]:
        for path in inputs:
            frames = read_file(path, choice, summary)
            bar = tqdm(frames, desc=path.name, unit="frame", disable=None, leave=False)
            n_frames = 0
            for structure in bar:
                n_frames += 1
                yield structure
            if not n_frames:
                raise InputError(f"{path}: none of its frames is chosen; check --skip ({choice.skip})")
            say(f"{path}: {count(n_frames, 'frame')}")

    check_target(output, inputs, append, overwrite, choice.units)
    former = FormerData(output if append and output.suffix == ".data" else None)
    summary.methods |= former.methods
    new = summary.watch(former.without(structures()))
    write_file(output, new, choice.units, append)
    for line in (*summary.lines(), *summary.notes(), *former.notes()):
        say(line)
    say(f"{written_to(output, append, len(summary))}{in_units(output, choice.units)}")
    for warning in summary.warnings():
        say(f"WARNING: {warning}", err=True)


if __name__ == "__main__":
    main()
