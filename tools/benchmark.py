"""Measure the speed of the parts of bnnp on this machine, with input.nn and input.data of your own.

\b
python tools/benchmark.py descriptors inputs/benchmark/water --precision float64 --precision float32
python tools/benchmark.py descriptors input.nn input.data --replicate 1000 --replicate 100000
python tools/benchmark.py predict potential/ structures.data --n2p2 ~/n2p2/bin
python tools/benchmark.py mode1 inputs/benchmark/water --structures 500 --ranks 1 --ranks 2
python tools/benchmark.py md potential/ structures.data --threads 2
python tools/benchmark.py read
python tools/benchmark.py train FOLDER --set "optimizer kalman" --goal 4.08 874

python tools/benchmark.py --save FILE predict potential/ structures.data
python tools/benchmark.py --compare FILE predict potential/ structures.data

What stands in one table is run in alternation, round by round. Times are medians over the rounds, +- half the
distance of the quartiles: processor time of all threads and processes together, which other work on the
machine hardly changes, and wall time. Memory is the largest resident memory of the process meanwhile. The
instruction set is the best of the machine, or what --instruction-set or BNNP_INSTRUCTION_SET say.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from benchmark_case import load_case, potential_of, random_parts, supercell
from benchmark_md import md
from benchmark_mode1 import time_mode_1
from benchmark_n2p2 import N2p2
from benchmark_parts import COLUMNS, descriptor_of, descriptor_parts, measured, neighbors_of, prediction_parts
from benchmark_reading import time_reading
from benchmark_timing import Results, show_head, show_table
from benchmark_train import train

from bnnp.errors import BnnpError
from bnnp.memory import keep_freed_memory

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


class Group(click.Group):
    """Shows an error of bnnp as one sentence."""

    def invoke(self, context: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(context)
        except BnnpError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)


@click.group(cls=Group, help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Keep the rows of all rounds.")
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Show what has changed since --save FILE.",
)
@click.pass_context
def main(context: click.Context, save: Path | None, compare: Path | None) -> None:
    """Collect the verbs below; memory is handled as the program does."""
    keep_freed_memory()
    context.obj = Results()
    if compare:
        Results.read(compare)  # a wrong file is told before the work


@main.result_callback()
@click.pass_obj
def conclude(results: Results, _: object, save: Path | None, compare: Path | None) -> None:
    """Compare and write what a verb has measured."""
    if compare:
        results.compare(Results.read(compare))
    if save:
        results.save(save)


def common(verb: Callable[..., None]) -> Callable[..., None]:
    """Arguments and options of the verbs that time calls of the core."""
    for add in (
        click.option("--n2p2", "tools", type=FOLDER, help="Folder of n2p2's tools: run them too."),
        click.option("--instruction-set", help="For example x86-64-v3."),
        click.option(
            "--repeat", default=15, show_default=True, help="Rounds; no more after 5 s for each part."
        ),
        click.option(
            "--replicate", "sizes", multiple=True, default=(0,), help="Repeat the cell to this many atoms."
        ),
        click.option("--threads", multiple=True, default=(1,), show_default=True),
        click.argument("data", required=False, type=FILE),
        click.argument("source", metavar="INPUT_NN", type=click.Path(exists=True, path_type=Path)),
    ):
        verb = add(verb)
    return verb


main.add_command(md)


@main.command()
@common
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(["float64", "float32"]),
    default=("float64",),
    show_default=True,
)
@click.pass_obj
def descriptors(
    results: Results,
    source: Path,
    data: Path | None,
    threads: Sequence[int],
    sizes: Sequence[int],
    repeat: int,
    instruction_set: str | None,
    tools: Path | None,
    precisions: Sequence[str],
) -> None:
    """Time neighbor list and symmetry functions.

    INPUT_NN is the file or the directory it is in, DATA the structures (input.data beside it by default), of
    which the first is taken. Options can be repeated to measure several sizes, threads, precisions.
    """
    choose_instruction_set(instruction_set)
    case = load_case(source, data, 1)
    rows: list[tuple[object, ...]] = []
    for structure in (supercell(case.structure, size) for size in sizes):
        for number, precision in ((n, p) for n in threads for p in precisions):
            parts = descriptor_parts(structure, descriptor_of(case, number, precision))
            rows += measured(parts, repeat, results, case, len(structure), number, precision)
    descriptor = descriptor_of(case, 1, "float64")
    show_head(descriptor.kernel, case.describe(len(neighbors_of(case.structure, descriptor))))
    show_table(COLUMNS, rows)
    if tools:
        with N2p2(tools, case, *random_parts(case), min(repeat, 5)) as n2p2:
            n2p2.compare_descriptors(descriptor_parts(case.structure, descriptor))


@main.command()
@common
@click.pass_obj
def predict(
    results: Results,
    source: Path,
    data: Path | None,
    threads: Sequence[int],
    sizes: Sequence[int],
    repeat: int,
    instruction_set: str | None,
    tools: Path | None,
) -> None:
    """Time the parts of one prediction.

    INPUT_NN is that of a potential, or its directory; without scaling.data and weights beside it the weights
    are random, with dropout as in input.nn. DATA are the structures (input.data beside it by default), of
    which the first is taken.
    """
    choose_instruction_set(instruction_set)
    case = load_case(source, data, 3)
    rows: list[tuple[object, ...]] = []
    for structure in (supercell(case.structure, size) for size in sizes):
        for number in threads:
            parts = prediction_parts(structure, potential_of(case, number))
            rows += measured(parts, repeat, results, case, len(structure), number, "float64")
    potential = potential_of(case, 1)
    neighbors = len(potential.neighbors(case.structure))
    show_head(potential.kernel, case.describe(neighbors), case.describe_networks(potential))
    show_table(COLUMNS, rows)
    if tools:
        assert potential.scalings is not None
        with N2p2(tools, case, potential.members[0].networks, potential.scalings, min(repeat, 5)) as n2p2:
            n2p2.compare_predictions(prediction_parts(case.structure, potential))


@main.command()
@click.argument("directory", type=FOLDER)
@click.option("--ranks", multiple=True, default=(1,), show_default=True, help="MPI processes.")
@click.option("--structures", "numbers", multiple=True, default=(0,), help="Repeat input.data to this many.")
@click.option(
    "--derivatives", type=click.Choice(["stored", "recomputed"]), default="stored", show_default=True
)
@click.option("--threads", default=1, show_default=True, help="Of each rank.")
@click.option("--repeat", default=3, show_default=True)
@click.option("--folder", type=FOLDER, help="To work in, for example on another file system.")
@click.option("--instruction-set", help="For example x86-64-v3.")
@click.pass_obj
def mode1(
    results: Results,
    directory: Path,
    ranks: Sequence[int],
    numbers: Sequence[int],
    derivatives: str,
    threads: int,
    repeat: int,
    folder: Path | None,
    instruction_set: str | None,
) -> None:
    """Time mode 1, writing included, in a temporary copy of DIRECTORY (input.nn and input.data).

    `start` is a run on one structure; it is subtracted in the time of an atom and in the second speed-up.
    """
    choose_instruction_set(instruction_set)
    settings = {"derivatives": derivatives, "threads": str(threads)}
    time_mode_1(directory, ranks, numbers, settings, repeat, folder, results)


main.add_command(train)


@main.command()
@click.option("--atoms", default=1_000_000, show_default=True, help="Atom lines in the file.")
@click.option("--size", default=200, show_default=True, help="Atoms in each structure.")
@click.option("--repeat", default=3, show_default=True)
@click.pass_obj
def read(results: Results, atoms: int, size: int, repeat: int) -> None:
    """Read input.data: periodic structures with forces, all digits."""
    time_reading(atoms, size, repeat, results)


def choose_instruction_set(name: str | None) -> None:
    """Set what the core looks at when it is first used."""
    if name:
        os.environ["BNNP_INSTRUCTION_SET"] = name


if __name__ == "__main__":
    main()
