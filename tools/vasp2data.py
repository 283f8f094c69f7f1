"""VASP's outputs to input.data: OUTCAR, vasprun.xml, vaspout.h5, ML_AB, plain or gz, bz2, xz.

\b
bnnp vasp OUTCAR input.data
bnnp vasp --skip 500 --every 20 --label melt run_900K/ run_1200K/ input.data
bnnp vasp --units atomic --append relaxation/OUTCAR.gz --last input.data

Any number of files and directories; of a directory, and those below it, one file of each run is taken
(vaspout.h5 before vasprun.xml before OUTCAR before ML_AB), and each directory becomes a group. What a file
is, is seen from its content.

Left out, and counted by reason at the end: steps whose electronic loop did not converge, predictions of a
machine-learned force field, steps without forces, steps that are damaged or cut off, and all that is no
self-consistent DFT (ICHARG >= 10, GW, BSE). --skip, --every and --last count the steps that remain, in each
file. A file that gives nothing is named with the reason, the others are converted, and the exit code is 1.

ACF.dat (bader) or DDEC6_even_tempered_net_atomic_charges.xyz (Chargemol) beside a run give charges to the
atoms of its last step.

The energy is the free energy TOTEN, whose derivatives the forces are. The comment line says where a structure
comes from (source=file:step), its group (--label, or the directory), its stress and how it was calculated
(method=...: functional, ENCUT, PREC, spin, k-points, POTCAR). Files whose methods differ are named.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import click
import numpy as np
from ase.data import atomic_numbers
from data_summary import Summary, check_units, write_data, written_to
from data_units import output_units, units_option
from elements_option import parse_elements
from former_data import FormerData, demand_inputs
from numpy.typing import NDArray
from tqdm import tqdm
from vasp.files import Source, find_sources, kind_of, read_drafts
from vasp.partition import find_partition
from vasp.step import ONE_ENERGY, UNCONVERGED, Step, UnreadableStep

from bnnp.command import SETTINGS, Command, say
from bnnp.errors import BnnpError, InputError
from bnnp.io.method import disagreements
from bnnp.messages import count
from bnnp.structure import Structure
from bnnp.units import UNITS, Units

ENERGIES = ("free", "sigma0")
DECIMALS = 12  # of positions and forces, more than VASP prints
EXISTS = "exists; add --append or --overwrite, or choose another name"


@dataclass(frozen=True)
class Choice:
    """What to take of each file and how to mark it."""

    units: Units
    energy: str = "free"
    skip: int = 0
    every: int = 1
    last: bool = False
    keep_unconverged: bool = False
    group: str | None = None
    elements: list[str] | None = None


@dataclass
class Tally:
    """What became of the steps of one file, or of all files."""

    taken: int = 0
    usable: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    charges: str = ""  # the file that gave those of the last step
    flaw: str = ""  # why such a file gave none

    @property
    def steps(self) -> int:
        """Ionic steps met, whole or not."""
        return self.usable + self.left_out.total()

    def add(self, other: Tally) -> None:
        """Count another file's, too."""
        self.taken += other.taken
        self.usable += other.usable
        self.left_out += other.left_out

    def reasons(self) -> str:
        """Why steps were left out, e.g. ``2 electronic loop not converged``."""
        return "; ".join(f"{number} {reason}" for reason, number in self.left_out.most_common())


def read_file(path: Path, choice: Choice, tally: Tally) -> Iterator[Structure]:
    """The chosen steps of one file, as structures in `choice.units`; the last step of the run with the
    charges of a file beside it."""
    partition = None
    try:
        partition = find_partition(path.parent)
    except InputError as error:
        tally.flaw = str(error)
    for number, step, flaw, last in with_end(choose(path, choice, tally)):
        charges = None
        if partition is not None and last:
            try:
                if number != tally.steps:
                    raise InputError(
                        f"{partition.name} is of the last step, {tally.steps}, which is not converted"
                    )
                charges = partition.charges_of(step)
                tally.charges = partition.name
            except InputError as error:
                tally.flaw = str(error)
        info = {"group": choice.group} if choice.group else {}
        if step.method:
            info["method"] = step.method
        info["source"] = f"{'/'.join(path.parts[-2:])}:{number}"
        if flaw:
            info["converged"] = "no"
        structure = to_structure(step, choice, info)
        if charges is not None:
            structure = replace(structure, charge=step.charge, charges=charges)
        tally.taken += 1
        yield structure


def with_end(steps: Iterator[tuple[int, Step, str | None]]) -> Iterator[tuple[int, Step, str | None, bool]]:
    """The same, and whether it is the last one."""
    held = next(steps, None)
    while held is not None:
        following = next(steps, None)
        yield *held, following is None
        held = following


def choose(path: Path, choice: Choice, tally: Tally) -> Iterator[tuple[int, Step, str | None]]:
    """Number from 1, step and flaw of what is taken of a file."""
    latest = None
    for number, draft in enumerate(tqdm_steps(path, choice), 1):
        if draft.flaw and not (draft.flaw == UNCONVERGED and choice.keep_unconverged):
            tally.left_out[draft.flaw] += 1
            continue
        wait = (tally.usable - choice.skip) % choice.every if tally.usable >= choice.skip else 1
        if wait and not choice.last:
            tally.usable += 1
            continue
        try:
            latest = number, _with_energy(draft.read(), choice), draft.flaw
        except UnreadableStep as error:
            tally.left_out[str(error)] += 1
            continue
        tally.usable += 1
        if not choice.last:
            yield latest
    if choice.last and latest:
        yield latest


def _with_energy(step: Step, choice: Choice) -> Step:
    """The step, if it has the energy that is asked for."""
    if choice.energy == "sigma0" and step.sigma0_energy is None:
        raise UnreadableStep(ONE_ENERGY)
    return step


def tqdm_steps(path: Path, choice: Choice) -> tqdm:
    """The steps of a file, with a progress bar on a terminal."""
    drafts = read_drafts(path, choice.elements)
    return tqdm(drafts, desc=path.name, unit="step", disable=None, leave=False)


def to_structure(step: Step, choice: Choice, info: dict[str, str]) -> Structure:
    """A step in Angstrom and eV as a structure in `choice.units`."""
    energy = step.free_energy if choice.energy == "free" else step.sigma0_energy
    assert energy is not None
    length, ev = choice.units.angstrom, choice.units.ev
    return Structure(
        numbers=numbers_of(tuple(step.symbols)),
        positions=step.positions / length,
        cell=step.cell / length,
        energy=energy / ev,
        forces=step.forces * (length / ev),
        stress=None if step.stress is None else step.stress * (length**3 / ev),
        info=info,
    )


@lru_cache(maxsize=16)  # the steps of a run are alike
def numbers_of(symbols: tuple[str, ...]) -> NDArray[np.int64]:
    """Atomic numbers of symbols."""
    return np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64)


def why_nothing(tally: Tally, skip: int) -> str:
    """The reason for which a file gave no structure."""
    if tally.usable:
        return f"{count(tally.usable, 'step')}, none of them chosen; check --skip ({skip})"
    if not tally.steps:
        return "no ionic step was finished"
    return f"none of {count(tally.steps, 'step')} can be used: {tally.reasons()}"


class Conversion:
    """All files of one command: structures go out, counts and refusals stay."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.total = Tally()
        self.refused: list[str] = []
        self.files: dict[str, set[str]] = {}  # of each method

    def run(self, paths: tuple[Path, ...]) -> Iterator[Structure]:
        """The structures of all files; a line is printed for each file."""
        for path in paths:
            try:
                sources = find_sources(path)
            except (InputError, OSError) as error:
                self.refuse(path, error)
                continue
            for source in sources:
                yield from self.convert(source)
        if not self.total.taken:
            raise InputError("nothing was converted")

    def convert(self, source: Source) -> Iterator[Structure]:
        """The structures of one run, from the first of its files that has any; the other runs go on."""
        path, tally = source.path, Tally()
        choice = replace(self.choice, group=self.choice.group or source.group)
        try:
            for structure in read_file(path, choice, tally):
                self.files.setdefault(structure.info.get("method", ""), set()).add(str(path))
                yield structure
            if not tally.taken:
                raise InputError(why_nothing(tally, choice.skip))
            say(self.line(source, tally))
            if tally.flaw:
                self.refused.append(f"the charges of {path}: {tally.flaw}")
        except GeneratorExit:
            raise
        except Exception as error:  # a file nobody has thought of shall not cost the others
            if source.others and not tally.taken:
                say(f"{path}: {reason_of(error)}; {source.others[0].name} is read instead")
                yield from self.convert(Source(source.others[0], source.others[1:], source.group))
                return
            self.refuse(path, error, tally.taken)
        self.total.add(tally)

    def line(self, source: Source, tally: Tally) -> str:
        """What was done with one file."""
        text = f"{source.path}: {count(tally.taken, 'structure')} of {count(tally.steps, 'step')}"
        if tally.left_out:
            text += f" (left out: {tally.reasons()})"
        if tally.charges:
            others = f", {count(tally.taken - 1, 'other')} without" * (tally.taken > 1)
            text += f"; {tally.charges} gives the charges of the last step{others}"
        if source.others:
            text += f"; the same run, not read: {', '.join(path.name for path in source.others)}"
        return text

    def refuse(self, path: Path, error: Exception, taken: int = 0) -> None:
        """Remember that a file gave nothing, or stopped in the middle."""
        after = f" (after {count(taken, 'structure')})" if taken else ""
        self.refused.append(f"{path}{after}: {reason_of(error)}")

    def lines(self) -> Iterator[str]:
        """The closing summary of what was left out."""
        if self.total.left_out:
            yield f"{self.total.left_out.total()} of {count(self.total.steps, 'step')} left out:"
            for reason, number in self.total.left_out.most_common():
                advice = "; --keep-unconverged takes them" if reason == UNCONVERGED else ""
                yield f"  {number:7d}  {reason}{advice}"


def reason_of(error: Exception) -> str:
    """An error in one sentence."""
    if isinstance(error, BnnpError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"cannot be understood ({type(error).__name__}: {error})"


def check_output(output: Path, inputs: tuple[Path, ...], append: bool, overwrite: bool, units: Units) -> None:
    """Refuse to write over, or into, what is not meant."""
    if any(output.resolve() == path.resolve() for path in inputs):
        raise InputError(f"{output} is an input and the output; the last name is the file to write")
    last = "the last name is the file to write, for example input.data"
    if output.is_dir():
        raise InputError(f"{output} is a directory; {last}")
    if not output.is_file():
        return
    try:
        kind = kind_of(output)
    except (InputError, OSError):
        kind = ""
    if kind:
        raise InputError(f"{output} is an output of VASP ({kind}); {last}")
    if not (append or overwrite):
        raise InputError(f"{output} {EXISTS}")
    if append:
        check_units(output, units)


@click.command("vasp", cls=Command, help=__doc__, context_settings=SETTINGS)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@units_option
@click.option("--skip", type=click.IntRange(0), default=0, help="Steps to leave out first, in each file.")
@click.option("--every", type=click.IntRange(1), default=1, help="Take every N-th step of each file.")
@click.option("--last", is_flag=True, help="Take the last step of each file only (relaxations).")
@click.option("--label", help="Group name, group=... in the comment line; else each directory is one.")
@click.option(
    "--energy",
    "--energies",
    type=click.Choice(ENERGIES),
    default="free",
    show_default=True,
    help="TOTEN, or its extrapolation to no smearing.",
)
@click.option("--keep-unconverged", is_flag=True, help="Take unconverged steps, too.")
@click.option(
    "--elements",
    callback=parse_elements,
    help="Species in the order of POTCAR, for files that do not name them: 'Ge Te'.",
)
@click.option("--append", is_flag=True, help="Add to OUTPUT if it exists.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
def main(
    inputs: tuple[Path, ...],
    output: Path,
    units: str | None,
    skip: int,
    every: int,
    last: bool,
    label: str | None,
    energy: str,
    keep_unconverged: bool,
    elements: list[str] | None,
    append: bool,
    overwrite: bool,
) -> None:
    """Run the conversion and print what was found."""
    if last and (skip or every > 1):
        raise click.UsageError("--last takes one step of each file: it does not go with --skip or --every")
    if not any(path.exists() for path in inputs):  # else what is there is converted
        demand_inputs(inputs)
    written = output_units(output, UNITS[units] if units else None)
    check_output(output, inputs, append, overwrite, written)
    choice = Choice(written, energy, skip, every, last, keep_unconverged, label, elements)
    former = FormerData(output if append else None)
    conversion, summary = Conversion(choice), Summary(choice.units)
    conversion.files |= former.methods
    failure = None
    try:
        write_data(output, summary.watch(former.without(conversion.run(inputs))), append, DECIMALS)
    except BnnpError as error:
        failure = error
    else:
        for line in summary.lines():
            say(line)
    for line in (*conversion.lines(), *former.notes()):
        say(line)
    if failure is None:
        unit = f"{written.length} and {written.energy}; `units {written.name}` in input.nn"
        say(f"{written_to(output, append, len(summary))} ({unit})")
    for warning in disagreements(conversion.files):
        say(f"WARNING: {warning}", err=True)
    for text in conversion.refused:
        say(f"Not converted: {text}", err=True)
    if failure:
        raise failure
    if conversion.refused:
        sys.exit(1)


if __name__ == "__main__":
    main()
