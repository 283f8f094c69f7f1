"""Thin a trajectory, or choose the candidates that are worth a quantum calculation.

\b
bnnp select --number 200 input.data thinned.data
bnnp select --number 50 --beside training.data candidates.data new.data
bnnp select --potential potential/ --min-sigma 100 candidates.data new.data
bnnp select --energy-window 0.5 input.data low.data
bnnp select --hold-out 0.1 --rest input.data all.data held_out.data

One after the other: the energy window, the uncertainty, then --number of what is left: by farthest point
sampling in the space of the symmetry functions, or the most uncertain ones (--by uncertainty). --hold-out
takes a share of each group to judge a potential by later, in blocks where frames follow each other in time;
--rest keeps what is not chosen. Sigmas are
calibrated if the potential is, else raw, and what is printed says which. Symmetry
functions are those of mode 1's symmetry_functions.h5 (--features), or are computed from input.nn. What is
chosen is written unchanged, in the order of the input. Units are those of the input.nn beside INPUT, else of
--units, else of --input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from ase.data import atomic_numbers
from ase.formula import Formula
from data_summary import write_data
from data_units import demand_readable, has_settings, input_units, stated_units, units_option
from farthest_points import (
    Chosen,
    Features,
    farthest_atoms,
    farthest_points,
    standardize,
    structure_points,
)
from formats.change_units import change_units
from former_data import demand_inputs
from numpy.typing import NDArray
from tqdm import tqdm

from bnnp.command import SETTINGS, Command, say
from bnnp.descriptors.length_unit import option_advice, sampled_reaches
from bnnp.descriptors.survey import draw_share, survey, survey_dtype, trajectories
from bnnp.errors import InputError
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.input_data import StructureFile
from bnnp.messages import count
from bnnp.potential.loading import read_potential
from bnnp.settings.settings import Settings, load_settings
from bnnp.structure import Structure
from bnnp.units import ATOMIC, METAL, UNITS, Units

Indices = NDArray[np.int64]
REACH, SEED = 6.0, 1  # Angstrom; of the draw of --hold-out
SAME = 1e-6  # standard deviations: nearer structures are copies


@dataclass(frozen=True)
class Choice:
    """What the command line says."""

    number: int | None = None
    radius: float = 0.0
    by: str = "farthest"
    space: str = "structures"
    energy_window: float | None = None
    min_sigma: float | None = None
    sigma_of: str = "forces"
    settings: Path = Path("input.nn")
    features: Path | None = None
    beside: Path | None = None
    potential: Path | None = None
    units: str | None = None
    hold_out: float | None = None

    def load_settings(self) -> Settings:
        """The settings that symmetry functions need."""
        if not self.settings.is_file():
            raise InputError(
                f"{self.settings}: no such file; it defines the symmetry functions that say how far "
                "structures are apart: name an input.nn with --input"
            )
        return load_settings(self.settings, mode_required=False)

    def units_of(self, path: Path) -> Units:
        """The units of an input.data."""
        said = UNITS[self.units] if self.units else None
        if said is None and not has_settings(path) and self.settings.is_file():
            said = stated_units(self.settings) or ATOMIC
        return input_units(path, said)

    @property
    def sigma_unit(self) -> str:
        """Unit of standard deviations."""
        return "meV/Angstrom" if self.sigma_of == "forces" else "meV/atom"


def select(source: Path, choice: Choice) -> Iterator[tuple[str, Indices]]:
    """What is left after each step: its description and indices into the file, ascending."""
    structures = InUnits(source, choice.units_of(source))
    left = np.arange(len(structures))
    yield "structures", left
    if choice.hold_out is not None:
        left = held_out(structures, choice.hold_out)
        yield f"held out, {choice.hold_out:g} of each group, in blocks of consecutive frames", left
    if choice.energy_window is not None:
        left = left[in_energy_window(structures, choice.energy_window)]
        yield f"at most {choice.energy_window:g} eV/atom above the lowest of their composition", left
    sigmas, meaning = None, ""
    if choice.min_sigma is not None or choice.by == "uncertainty":
        sigmas, meaning = uncertainties(structures, left, choice)
    if choice.min_sigma is not None and sigmas is not None:
        keep = sigmas >= choice.min_sigma
        left, sigmas = left[keep], sigmas[keep]
        yield f"with a sigma of {choice.min_sigma:g} {choice.sigma_unit} or more; sigma: {meaning}", left
    if len(left) and choice.by == "uncertainty" and sigmas is not None and choice.number is not None:
        left = np.sort(left[np.argsort(-sigmas, kind="stable")[: choice.number]])
        yield f"most uncertain ones; sigma: {meaning}", left
    elif len(left) and choice.by == "farthest" and (choice.number is not None or choice.radius):
        chosen = farthest(source, structures, left, choice)
        n_same = len(left) - len(chosen.order)
        left = np.sort(left[chosen.order])
        text = f"farthest ones; those left out are within {chosen.radius:.3g} standard deviations"
        if chosen.radius <= SAME and n_same:
            others = " or one of --beside" if choice.beside else ""
            text += f"; {count(n_same, 'structure')} left out as the same as one of them{others}"
        yield text, left


class InUnits:
    """The structures of a file, with labels or without, in any units; doubtful ones are a warning."""

    def __init__(self, path: Path, units: Units) -> None:
        self.file, self.units = StructureFile(path, require_labels=False), units
        if (advice := option_advice(sampled_reaches(self.file, units), units)) is not None:
            say(f"WARNING: {path}: {advice}", err=True)

    def __len__(self) -> int:
        return len(self.file)

    def read(self, indices: Iterable[int], units: Units) -> Iterator[Structure]:
        """The structures with these numbers, in `units`."""
        return (change_units(structure, self.units, units) for structure in self.file.read(indices))


def held_out(structures: InUnits, share: float) -> Indices:
    """A share of the structures of each group, by blocks of trajectories."""
    elements = sorted({x for s in structures.read(range(len(structures)), METAL) for x in s.symbols})
    elements.sort(key=atomic_numbers.__getitem__)
    table = np.zeros(len(structures), survey_dtype(len(elements)))
    labels = []
    for record, structure in enumerate(structures.read(range(len(structures)), METAL)):
        table[record] = survey(structure, elements, REACH, {})
        labels.append(structure.info.get("group", ""))
    group = np.unique(labels, return_inverse=True)[1].astype(np.int32)
    runs, draw = trajectories(table, group), np.random.default_rng(SEED).random(len(table))
    members = (np.flatnonzero(group == number) for number in np.unique(group))
    return np.sort(np.concatenate([draw_share(each, runs[each], draw[each], share) for each in members]))


def in_energy_window(structures: InUnits, window: float) -> Indices:
    """Structures up to `window` (eV/atom) above the lowest energy of their composition."""
    energies, formulas = np.empty(len(structures)), []
    for index, structure in enumerate(structures.read(range(len(structures)), METAL)):
        if structure.energy is None:
            raise InputError(f"{structure.where}: no energy, so it cannot be in an energy window")
        energies[index] = structure.energy / len(structure)
        formulas.append(str(Formula.from_list(structure.symbols).reduce()[0].format("metal")))
    names, kinds = np.unique(formulas, return_inverse=True)
    lowest = np.full(len(names), np.inf)
    np.minimum.at(lowest, kinds, energies)
    return np.flatnonzero(energies <= lowest[kinds] + window)


def uncertainties(structures: InUnits, left: Indices, choice: Choice) -> tuple[NDArray[np.float64], str]:
    """Sigma of each structure, the largest of a force (vector) or that of the energy per atom, in meV; and
    whether they are calibrated or raw."""
    if choice.potential is None:
        raise InputError("the uncertainty needs a potential: name its directory with --potential")
    settings = load_settings(choice.potential / "input.nn", 3)
    potential = read_potential(choice.potential, settings)
    if potential.samples < 2:
        raise InputError(f"{choice.potential} has no uncertainty.data, so it gives no standard deviations")
    forces, mev = choice.sigma_of == "forces", settings.model.units.mev
    sigmas = []
    for structure in progress(structures.read(left.tolist(), settings.model.units), "uncertainty", len(left)):
        found = potential.predict(structure, forces=forces, stress=False, sigma=forces)
        if found.forces is not None and found.forces.std is not None:
            largest = np.linalg.norm(found.forces.std, axis=1).max()
            sigmas.append(float(largest) * settings.model.units.mev_per_angstrom)
        else:
            sigmas.append(float(found.energy.std or 0.0) * mev / len(found.free_atoms))
    return np.array(sigmas), potential.describe_std()


def farthest(source: Path, structures: InUnits, left: Indices, choice: Choice) -> Chosen:
    """Farthest point sampling of the structures `left`, beside others if there are any."""
    settings = choice.load_settings()
    if choice.features is None:
        features = computed_features(structures, left, settings)
    else:
        features = stored_features(choice.features, source, left, settings)
    others: list[Features] = []
    if choice.beside is not None:
        beside = InUnits(choice.beside, choice.units_of(choice.beside))
        others = computed_features(beside, np.arange(len(beside)), settings)
    scaled = standardize([*features, *others])
    new, old = scaled[: len(left)], scaled[len(left) :]
    number = len(left) if choice.number is None else choice.number
    radius = max(choice.radius, SAME)
    if choice.space == "atoms":
        return farthest_atoms(new, number, old, radius)
    points = structure_points(scaled)
    return farthest_points(points[: len(left)], number, points[len(left) :], radius)


def computed_features(structures: InUnits, left: Indices, settings: Settings) -> list[Features]:
    """Symmetry functions by element of the structures `left`."""
    descriptor = settings.model.descriptor()
    found = []
    read = structures.read(left.tolist(), settings.model.units)
    for structure in progress(read, "symmetry functions", len(left)):
        unknown = sorted(set(structure.symbols) - set(settings.model.elements))
        if unknown:
            line = settings.origins["elements"]
            raise InputError(f"{structure.where}: {', '.join(unknown)} is not among `elements` of {line}")
        types, pairs = descriptor.environments(structure)
        values = descriptor.values(types, pairs)
        found.append(
            {
                element: values[types == kind, : descriptor.n_functions[kind]]
                for kind, element in enumerate(settings.model.elements)
                if (types == kind).any()
            }
        )
    return found


def stored_features(path: Path, source: Path, left: Indices, settings: Settings) -> list[Features]:
    """Symmetry functions of mode 1's file."""
    with DescriptorFile.open(path, settings.model.fingerprint) as file:
        file.demand_same_data(source)
        place = {int(index): number for number, index in enumerate(file.source)}
        if missing := [index for index in left.tolist() if index not in place]:
            raise InputError(
                f"{path.name}: mode 1 dropped {len(missing)} of these structures (the first: structure "
                f"{missing[0] + 1}); leave --features out, so that symmetry functions are computed"
            )
        return [
            {
                element: rows
                for element in file.elements
                if len(rows := file.descriptors(element)[file.rows(place[index], element)])
            }
            for index in left.tolist()
        ]


def progress(items: object, description: str, total: int | None = None) -> tqdm:
    """A bar on a terminal."""
    return tqdm(items, desc=description, total=total, disable=None, leave=False)


def demand_output(source: Path, output: Path, overwrite: bool) -> None:
    """Refuse to write over a file by accident."""
    if output.resolve() == source.resolve():
        raise InputError(f"{output} is the input, too; choose another name")
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists; add --overwrite or choose another name")


@click.command("select", cls=Command, help=__doc__, context_settings=SETTINGS)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("-n", "--number", type=click.IntRange(1), help="Structures to choose.")
@click.option("--radius", type=click.FloatRange(0), default=0.0, help="Stop when none is farther than this.")
@click.option(
    "--by",
    type=click.Choice(["farthest", "uncertainty"]),
    default="farthest",
    show_default=True,
    help="Order.",
)
@click.option(
    "--space",
    type=click.Choice(["structures", "atoms"]),
    default="structures",
    show_default=True,
    help="What is far: a structure as a whole, or its most unusual atom.",
)
@click.option(
    "--energy-window", type=click.FloatRange(0), help="eV/atom above the lowest of each composition."
)
@click.option("--potential", type=click.Path(path_type=Path), help="Directory of a potential with masks.")
@click.option("--min-sigma", type=click.FloatRange(0), help="Smallest sigma, meV/Angstrom or meV/atom.")
@click.option(
    "--sigma-of", type=click.Choice(["forces", "energy"]), default="forces", show_default=True, help="Which."
)
@click.option(
    "--input",
    "settings",
    type=click.Path(path_type=Path),
    default="input.nn",
    show_default=True,
    metavar="FILE",
    help="The settings, with the symmetry functions.",
)
@units_option
@click.option("--features", type=click.Path(path_type=Path), help="symmetry_functions.h5 of INPUT.")
@click.option("--beside", type=click.Path(path_type=Path), help="Structures that are there already.")
@click.option(
    "--hold-out",
    type=click.FloatRange(0.0, 0.9, min_open=True),
    metavar="SHARE",
    help="Take this share of each group, in blocks of consecutive frames.",
)
@click.option("--rest", type=click.Path(path_type=Path), help="Write what is not chosen to this file.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT (and REST) if it exists.")
def main(source: Path, output: Path, rest: Path | None, overwrite: bool, **options: object) -> None:
    """Choose, print what was chosen, write it."""
    choice = replace(Choice(), **options)  # type: ignore[arg-type]
    wanted = choice.radius or choice.energy_window or choice.min_sigma or choice.hold_out
    if choice.number is None and not wanted:
        raise click.UsageError(
            "say what to choose: --number, --radius, --energy-window, --min-sigma or --hold-out"
        )
    if rest == output:
        raise click.UsageError("--rest and OUTPUT are the same file")
    demand_inputs([source])
    for target in filter(None, (output, rest)):
        demand_output(source, target, overwrite)
        demand_readable(target, choice.units_of(source))
    left = np.empty(0, dtype=np.int64)
    for text, left in select(source, choice):
        say(f"{len(left):7d} {text}")
    if len(left) < (choice.number or 0):
        say(f"note: --number {choice.number} asks for more than there are")
    if not len(left):
        raise InputError("no structure is left; nothing was written")
    structures = StructureFile(source, require_labels=False)
    write_data(output, (structures[int(index)] for index in left))
    say(f"Written: {output}")
    if rest is not None:
        others = sorted({*range(len(structures))} - {*left.tolist()})
        write_data(rest, (structures[index] for index in others))
        say(f"Written: {rest}, with the {count(len(others), 'structure')} not chosen")


if __name__ == "__main__":
    main()
