"""Make the symmetry functions of input.nn by a published recipe, or choose the best of many on your data.

\b
bnnp functions Ge Te --cutoff 6.5 --units metal > functions.nn
bnnp functions Ge Te --cutoff 6.5 --size 200 \\
       --data input.data --keep 60 > functions.nn
bnnp functions --input input.nn --data input.data --error 0.02 > functions.nn
bnnp functions Ge Te --cutoff 6.5 --size 200 --recipe imbalzano \\
       --recipe wide --data input.data --budget 10 > functions.nn

The first makes a set of medium size, to be pasted into input.nn. The second makes 200 functions for each
element and keeps the 60 that tell most of what all 200 tell about the atoms in input.data. The third chooses
among the functions of an input.nn until they tell the rest to 2 %. The fourth takes those that tell most for
their cost, until energy and forces take 10 microseconds an atom, networks excluded. A table on standard error
says what each removal costs. Recipes, with their papers: bnnp/descriptors/generate.py.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import numpy as np
from data_units import input_units, output_units, reason_of_units

from bnnp.command import SETTINGS, Command, say
from bnnp.descriptors.costs import cost, mean_neighbors
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.environments import Environments, measure_distances, sample_environments
from bnnp.descriptors.generate import RECIPES, SIZES
from bnnp.descriptors.length_unit import option_advice, sampled_reaches
from bnnp.descriptors.pool import (
    ENVIRONMENTS,
    LARGEST_CORRELATION,
    SMALLEST_RANGE,
    SMALLEST_SHARE,
    SMALLEST_SPREAD,
    Pool,
    percent,
    recipe_pool,
    summary,
)
from bnnp.descriptors.pruning import METHODS, Budget, Criteria, Pruned, prune, share_that_feels
from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.io.output import replace_file
from bnnp.messages import WIDTH, count, fold
from bnnp.settings.settings import load_settings
from bnnp.units import UNITS, Units

FEW = 3  # atoms a function, below which errors are those of chance


def pool_of(
    recipes: Iterable[str],
    elements: tuple[str, ...],
    r_c: float,
    size: str | int,
    cutoff: Cutoff,
    units: Units,
    data: Path | None,
) -> Pool:
    """Functions by recipes; with `data` the shortest distances are those of its structures."""
    measured = None
    if data is not None:
        structures = StructureFile(data, elements, False)
        if (advice := option_advice(sampled_reaches(structures, units), units)) is not None:
            click.echo(f"WARNING: {advice}", err=True)
        measured = measure_distances(structures, r_c).shortest
    try:
        return recipe_pool(recipes, elements, r_c, size, cutoff, units, measured)
    except ValueError as error:
        raise InputError(str(error)) from None


def length_units(data: Path | None, output: Path | None, said: Units | None) -> Units:
    """Those of the data, else of the input.nn that the functions are made for; what they are is said."""
    beside = data or output or Path("input.nn")
    units = input_units(beside, said) if data else output_units(beside, said)
    if said is None:
        say(f"Lengths are in {units.length}: {reason_of_units(beside, said)}.", err=True)
    return units


def sampled(structures: StructureFile, pool: Pool, number: int, seed: int) -> dict[str, Environments]:
    """Environments of at most `number` atoms of each element, with the file named if one is missing."""
    try:
        return sample_environments(structures, pool.functions, pool.cutoff, number, seed, _progress)
    except InputError as error:
        raise InputError(f"{structures.path.name}: {error}") from None


def budgets_of(structures: StructureFile, pool: Pool, limit: float) -> dict[str, Budget]:
    """For the functions of each element so many microseconds an atom."""
    radius = max(function.r_c for own in pool.functions.values() for function in own)
    around = mean_neighbors(structures, tuple(pool.functions), radius)

    def budget(element: str) -> Budget:
        own = pool.functions[element]
        return Budget(limit, lambda columns: cost([own[k] for k in columns], around[element], radius))

    found = {element: budget(element) for element in pool.functions}
    for element, own in found.items():
        least = min(own.cost([k]) for k in range(len(pool.functions[element])))
        if least > limit:
            raise InputError(
                f"--budget is {limit:g} microseconds an atom but {element} needs more than {least:.2g} for "
                "its neighbors and a single function: give more"
            )
    return found


def settings_pool(path: Path) -> Pool:
    """The functions of an input.nn."""
    settings = load_settings(path, 1)
    return Pool(
        settings.model.functions, settings.model.cutoff, settings.model.units, (f"Functions of {path.name}.",)
    )


def lines(pool: Pool, complete: bool) -> Iterator[str]:
    """The piece of input.nn; `complete`: with what else mode 1 demands."""
    yield f"# ----- symmetry functions: {pool.counts} ".ljust(WIDTH, "-")
    words = sys.argv[1:]
    command = f"bnnp functions {shlex.join(words[words[:1] == ['functions'] :])}"
    for remark in (*pool.remarks, f"Lengths in {pool.units.length} (`units {pool.units.name}`).", command):
        yield fold(remark, WIDTH, "# ", "#     ")
    if complete:
        alpha = f" {pool.cutoff.alpha:g}" if pool.cutoff.alpha else ""
        keywords = {
            "units": f"{pool.units.name:10} # {pool.units.length}, {pool.units.energy}",
            "number_of_elements": str(len(pool.functions)),
            "elements": " ".join(pool.functions),
            "nn_type_short": "1",
            "use_short_nn": "",
            "use_short_forces": "",
            "cutoff_type": f"{pool.cutoff.type}{alpha}",
            "scale_symmetry_functions": "",
            "center_symmetry_functions": "",
        }
        yield from (f"{name:27} {value}".rstrip() for name, value in keywords.items())
    yield from pool.lines()


def report(
    pool: Pool, found: Mapping[str, Pruned], samples: Mapping[str, Environments], method: str
) -> Iterator[str]:
    """For each element what stays, in the order of choice, and what each removal costs."""
    for element, own in pool.functions.items():
        yield ""
        yield summary(element, found[element], samples[element])
        names = [function.definition() for function in own]
        yield from removals(names, found[element], samples[element], method)


def removals(names: list[str], found: Pruned, sample: Environments, method: str) -> Iterator[str]:
    """The tables of one element."""
    width = max(len(name) for name in names)
    twins = {twin.function: twin for twin in found.twins}
    selected = found.selection.chosen
    left = set(range(len(names))) - {*selected, *found.flat, *found.rare, *twins}
    yield f"  {len(found.flat):5} removed, range too small"
    yield f"  {len(found.rare):5} removed, hardly any atom feels it"
    yield f"  {len(twins):5} removed, repeat another"
    yield f"  {len(left):5} removed, not chosen by {method}"
    yield f"  {len(selected):5} kept"
    if len(sample.fit) < FEW * len(names):
        few = f"{count(len(sample.fit), 'atom is', 'atoms are')} few for {count(len(names), 'function')}"
        yield f"  WARNING: {few}: the errors mean little"
    yield ""
    yield f"  kept  {'symfunction_short':{width}}  error of all, told by the functions so far"
    for number, (k, error) in enumerate(zip(selected, found.selection.errors, strict=True), 1):
        yield f"  {number:4}  {names[k]:{width}}  {percent(error):>9}"
    yield ""
    yield f"        {'removed':{width}}      error   held out  reason"
    for k in sorted({*found.flat, *found.rare, *twins, *left}):
        reason = "not chosen"
        if k in twins:
            reason = f"correlation {twins[k].correlation:+.6f} with {names[twins[k].other]}"
        elif k in found.flat:
            reason = f"range {np.ptp(sample.fit[:, k]):.2g}"
        elif k in found.rare:
            column = sample.fit[:, [k]]
            share = percent(float(share_that_feels(column)[0]))
            spread = np.std(column) / np.ptp(column)
            reason = f"spread {spread:.2g} of its range, felt by {share} of the atoms"
        errors = f"{percent(found.errors[k]):>9}  {percent(found.held_out[k]):>9}"
        yield f"        {names[k]:{width}}  {errors}  {reason}"


def _demand_functions(found: Mapping[str, Pruned], data: Path) -> None:
    for element, pruned in found.items():
        if not pruned.selection.chosen:
            raise InputError(
                f"{data.name}: no function of {element} varies by more than --min-range, --min-spread and "
                "--min-share: add structures that differ, or lower them"
            )


def _write(path: Path | None, text: list[str], err: bool = False) -> None:
    """To the file, or without one to the terminal."""
    if path is None:
        if err:
            say("\n".join(text), err=True)
        else:
            click.echo("\n".join(text))  # a piece of input.nn
        return
    with replace_file(path) as file:
        file.writelines(f"{line}\n" for line in text)


def _progress(indices: Sequence[int]) -> Iterator[int]:
    with click.progressbar(indices, label="symmetry functions", file=sys.stderr) as bar:
        yield from bar


def _size(context: click.Context, parameter: click.Parameter, value: str) -> str | int:
    if value in SIZES:
        return value
    if value.isdigit() and int(value) > 0:
        return int(value)
    raise click.BadParameter(f"`{value}` is neither {', '.join(SIZES)} nor a number of functions")


@click.command("functions", cls=Command, help=__doc__, context_settings=SETTINGS)
@click.argument("elements", nargs=-1)
@click.option("--cutoff", "r_c", type=click.FloatRange(0.0, min_open=True), help="Cutoff radius.")
@click.option(
    "--units",
    type=click.Choice(list(UNITS)),
    help="Of lengths: atomic (bohr) or metal (Angstrom). Default: `units` of an input.nn beside the "
    "structures, or where the functions are written, else metal.",
)
@click.option("--cutoff-type", type=click.IntRange(0, 8), default=1, show_default=True)
@click.option(
    "--size",
    default="medium",
    show_default=True,
    callback=_size,
    metavar="small|medium|large|N",
    help="N: at most so many functions of each element.",
)
@click.option(
    "--recipe",
    "recipes",
    type=click.Choice(list(RECIPES)),
    multiple=True,
    default=("shifted",),
    show_default=True,
    help="Repeat the option to join several.",
)
@click.option(
    "--input",
    "settings_file",
    type=click.Path(path_type=Path),
    help="Choose among the functions of this input.nn, whose elements, cutoffs and units count.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Structures to choose by: an input.data.")
@click.option("--keep", type=click.IntRange(1), help="Functions to keep of each element, at most.")
@click.option(
    "--error",
    type=click.FloatRange(0.0, 1.0),
    default=0.0,
    help="Keep no more than tell the others to this relative error.",
)
@click.option(
    "--budget",
    type=click.FloatRange(0.0, min_open=True),
    metavar="US",
    help="Choose by cost: at most so many microseconds an atom for neighbors, functions and forces, as "
    "modelled for one core with AVX-512.",
)
@click.option("--method", type=click.Choice(list(METHODS)), help="Not with --budget.  [default: cur]")
@click.option(
    "--min-range",
    default=SMALLEST_RANGE,
    show_default=True,
    help="Remove functions that vary by less than this.",
)
@click.option(
    "--min-spread",
    default=SMALLEST_SPREAD,
    show_default=True,
    help="Remove functions whose standard deviation is less than this share of their range.",
)
@click.option(
    "--min-share",
    default=SMALLEST_SHARE,
    show_default=True,
    help="Remove functions that a smaller share of the atoms feels (inverse kurtosis).",
)
@click.option(
    "--max-correlation",
    default=LARGEST_CORRELATION,
    show_default=True,
    help="Of two functions with a larger |correlation| remove the later one.",
)
@click.option(
    "--environments",
    type=click.IntRange(10),
    default=ENVIRONMENTS,
    show_default=True,
    help="Atoms of each element to look at, at most; each takes 30 bytes a function.",
)
@click.option("--seed", default=1, show_default=True, help="Of the choice of these atoms.")
@click.option("--complete", is_flag=True, help="Write the other keywords that mode 1 demands, too.")
@click.option("-o", "--out", "output", type=click.Path(path_type=Path), help="Instead of standard output.")
@click.option("--table", type=click.Path(path_type=Path), help="Keep the table of costs in this file, too.")
def main(
    elements: tuple[str, ...],
    r_c: float | None,
    units: str | None,
    cutoff_type: int,
    size: str | int,
    recipes: tuple[str, ...],
    settings_file: Path | None,
    data: Path | None,
    keep: int | None,
    error: float,
    budget: float | None,
    method: str | None,
    min_range: float,
    min_spread: float,
    min_share: float,
    max_correlation: float,
    environments: int,
    seed: int,
    complete: bool,
    output: Path | None,
    table: Path | None,
) -> None:
    """Make a pool of functions, choose from it if there is data, write what is left."""
    if bool(elements) == bool(settings_file):
        raise click.UsageError("name either the elements or an --input file")
    if elements and r_c is None:
        raise click.UsageError("--cutoff is missing: the cutoff radius, in the length unit of --units")
    if data is None and (keep or error or budget or table or settings_file):
        raise click.UsageError("--data is missing: structures to choose functions by")
    if budget and method is not None:
        raise click.UsageError(f"--budget chooses by gain per cost, not by --method {method}: leave one out")
    if settings_file is not None:
        pool = settings_pool(settings_file)
    else:
        assert r_c is not None
        used = length_units(data, output, UNITS[units] if units else None)
        pool = pool_of(recipes, elements, r_c, size, Cutoff(cutoff_type), used, data)
    if data is not None:
        structures = StructureFile(data, tuple(pool.functions), require_labels=False)
        samples = sampled(structures, pool, environments, seed)
        method = method or "cur"
        criteria = Criteria(method, keep, error, min_range, min_spread, min_share, max_correlation)
        budgets = budgets_of(structures, pool, budget) if budget else {}
        found = {x: prune(sample.fit, sample.test, criteria, budgets.get(x)) for x, sample in samples.items()}
        how = f"gain per cost ({budget:g} microseconds an atom)" if budget else method.upper()
        costs = list(report(pool, found, samples, how))
        for x, own in budgets.items():
            costs.append(f"{x}: {own.cost(found[x].selection.chosen):.1f} microseconds an atom, modelled")
        _write(None, costs, err=True)
        _demand_functions(found, data)
        if table is not None:
            _write(table, costs)
        pool = pool.chosen(found, samples, f"{how} on {data.name}")
    _write(output, list(lines(pool, complete)))


if __name__ == "__main__":
    main()
