"""From data to a trusted potential: convert, check, divide, train, calibrate, predict what was held out.

\b
bnnp auto RUN1 RUN2 --minutes 10
bnnp auto train.extxyz --folder silicon

DATA are directories of VASP runs, OUTCARs, vasprun.xml, or any file that `bnnp convert` reads. FOLDER gets
the ordinary files of bnnp, an input.nn with comments, and the output of each step in a log; the commands are
printed, and each can be repeated by hand in FOLDER. The last words are those of mode 3 about the structures
that were held out: what the potential is good for, what limits it, and what to compute next.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from ase.data import atomic_numbers
from former_data import demand_inputs
from vasp.files import find_sources, kind_of

from bnnp.command import SETTINGS, Command, say
from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.io.output import replace_file
from bnnp.messages import count
from bnnp.uncertainty.calibration import FEWEST

ALL, TRAINING, HELD_OUT = "all.data", "input.data", "held_out.data"
SHARE = 0.1  # of the structures that are held out
TRAINING_SHARE = 0.6  # of the time
ENOUGH = 30  # structures without which there is nothing to train, to calibrate and to test
USUAL = 300
SETTINGS_TEXT = """\
# Written by bnnp auto. Each keyword: `bnnp --keywords NAME`; what is in force, and why: `bnnp --check`.
units            metal        # Angstrom and eV in all files
elements         {elements}
random_seed      {seed}
test_fraction    0.1          # chooses the epoch; in blocks of consecutive frames
training_time    {minutes:<12g} # minutes
# Functions, networks, the optimizer and the number of epochs are the defaults: mode 1 chooses the symmetry
# functions by the structures (input.nn.auto), mode 2 takes the Kalman filter. A fifth of the structures is
# kept for the calibration of the standard deviations, where these are 10 or more.
calculate_forces
calculate_stress
"""


class Steps:
    """The commands of one run, each with its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begin = time.monotonic()

    def run(self, name: str, *words: object) -> str:
        """Run ``bnnp WORDS`` in the folder; returns what it printed.

        Raises
        ------
        InputError
            It failed, with its last words.
        """
        command = [str(word) for word in words]
        click.echo(f"$ bnnp {shlex.join(command)} > {name}.log")
        done = subprocess.run(
            [sys.executable, "-m", "bnnp", *command],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        (self.folder / f"{name}.log").write_text(done.stdout)
        if done.returncode:
            last = done.stdout.rpartition("ERROR: ")[2].strip()
            raise InputError(f"bnnp {command[0]} failed, see {self.folder / name}.log: {last}")
        for warning in warnings_in(done.stdout):
            say(f"  {warning}")
        return done.stdout

    @property
    def minutes(self) -> float:
        """Since the beginning."""
        return (time.monotonic() - self.begin) / 60.0


def warnings_in(text: str) -> Iterator[str]:
    """The warnings of a log, each in one line."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("WARNING: "):
            more = []
            for other in lines[number + 1 :]:
                if not other.startswith("         "):
                    break
                more.append(other.strip())
            yield " ".join([line, *more])


def readers(data: Sequence[Path]) -> list[tuple[str, list[Path]]]:
    """Which verb reads what: outputs of VASP, then all others."""
    vasp = [path for path in data if is_vasp(path)]
    others = [path for path in data if path not in vasp]
    return [(verb, paths) for verb, paths in (("vasp", vasp), ("convert", others)) if paths]


def is_vasp(path: Path) -> bool:
    """Whether a file or a directory is of VASP."""
    try:
        return bool(find_sources(path)) if path.is_dir() else bool(kind_of(path))
    except (InputError, OSError):
        return False


def demand_enough(number: int) -> None:
    """Raise InputError with what to compute if there are too few structures."""
    if number < ENOUGH:
        raise InputError(
            f"{count(number, 'structure')} with energies: at least {ENOUGH} are needed to train, calibrate "
            f"and test, and {USUAL} are usual, so compute {ENOUGH - number} to {USUAL - number} more. Which: "
            "those of the temperatures, phases, strains and defects the potential is made for. Of a "
            "trajectory without labels `bnnp select --number N` takes the ones that differ most (it reads "
            "symmetry functions from an input.nn: `bnnp functions ELEMENTS --cutoff 6 --units metal "
            "--complete > input.nn`)"
        )


def last_section(log: str, title: str) -> list[str]:
    """The lines of a section of a log, up to the end of the log."""
    lines = log.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(f"{title} -")]
    return lines[starts[-1] :] if starts else []


@click.command("auto", cls=Command, help=__doc__, context_settings=SETTINGS)
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("auto"), show_default=True, help="Results."
)
@click.option("--minutes", type=click.FloatRange(0.1), default=10.0, show_default=True, help="About so long.")
@click.option("--seed", default=1, show_default=True, help="Of all random numbers.")
def main(data: tuple[Path, ...], folder: Path, minutes: float, seed: int) -> None:
    """Do all steps."""
    demand_inputs(data)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} exists and is not empty; choose another --folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder)
    click.echo(f"$ cd {shlex.quote(str(folder))}")
    for number, (verb, paths) in enumerate(readers(data)):
        names = [os.path.relpath(path, folder) for path in paths]
        more = ["--append"] if number else []
        steps.run(f"{number + 1}_{verb}", verb, "--units", "metal", *more, *names, ALL)
    structures = StructureFile(folder / ALL)
    demand_enough(len(structures))
    steps.run(
        "3_divide", "select", "--units", "metal", "--hold-out", SHARE, "--rest", TRAINING, ALL, HELD_OUT
    )
    elements = sorted({x for each in structures for x in each.symbols}, key=atomic_numbers.__getitem__)
    text = SETTINGS_TEXT.format(
        elements=" ".join(elements), seed=seed, minutes=round(TRAINING_SHARE * minutes, 2)
    )
    with replace_file(folder / "input.nn") as file:
        file.write(text)
    say("  Written: input.nn")
    steps.run("4_check", "--check")
    steps.run("5_mode1", "--mode", 1)
    training = steps.run("6_mode2", "--mode", 2)
    prediction = steps.run("7_mode3", "--mode", 3, "--data", HELD_OUT)
    page = f"; page: {folder / 'report.html'}"
    try:
        steps.run("8_report", "plot", "report")
    except InputError as error:  # without matplotlib the potential is as good
        page = f". No report page: {error}"
    say(f"\n{steps.minutes:.1f} minutes. Potential: {folder / 'potential'}{page}")
    if "UNCALIBRATED" in training:
        say(f"The standard deviations are not calibrated: that takes {count(FEWEST, 'structure')}.")
    say(f"\nStructures that were held out, {len(StructureFile(folder / HELD_OUT))} of {len(structures)}:")
    click.echo("\n".join(last_section(prediction, "Verdict")).rpartition("\n\n")[0] or prediction)


if __name__ == "__main__":
    main()
