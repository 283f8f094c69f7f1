"""What is measured: the settings, a structure or a supercell of it, and a potential if there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bnnp.descriptors.scaling import Scaling
from bnnp.descriptors.statistics import Moments
from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.io.scaling_data import ScalingData
from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.potential import loading
from bnnp.potential.loading import draw_masks, read_potential
from bnnp.potential.member import Member
from bnnp.potential.potential import Potential
from bnnp.random import WEIGHTS, stream
from bnnp.settings.settings import Settings, load_settings
from bnnp.structure import Structure

SEED = 1


@dataclass(frozen=True)
class Case:
    """Settings and the first structure of the data.

    Parameters
    ----------
    directory : Path
        Where input.nn is, and scaling.data and weights.XXX.data if there is a potential.
    settings : Settings
    data : StructureFile
    structure : Structure
    """

    directory: Path
    settings: Settings
    data: StructureFile
    structure: Structure

    def describe(self, pairs: int) -> str:
        """One line for the head of a table; `pairs` is the length of the structure's neighbor list."""
        counts = ", ".join(
            f"{len(self.settings.model.functions[x])} of {x}" for x in self.settings.model.elements
        )
        cutoff = f"{self.settings.model.largest_cutoff:g} {self.settings.model.units.length}"
        return f"functions: {counts}; {pairs / len(self.structure):.1f} neighbors an atom within {cutoff}"

    def describe_networks(self, potential: Potential) -> str:
        """The line after it: sizes, where the weights are from, samples."""
        networks = [
            f"{element} {network.architecture.describe(network.n_inputs)}"
            for element, network in potential.members[0].networks.items()
        ]
        origin = "weights of the directory" if self.has_potential else "random weights"
        return f"networks: {', '.join(networks)}; {origin}, samples: {potential.sizes[0]}"

    @property
    def has_potential(self) -> bool:
        """Whether there is a potential beside input.nn."""
        return (self.directory / "scaling.data").exists()


def load_case(source: Path, data: Path | None, mode: int) -> Case:
    """Read input.nn (`source` is the file or its directory) and the first structure of `data`."""
    file = source / "input.nn" if source.is_dir() else source
    settings = load_settings(file, mode)
    structures = StructureFile(
        data or file.parent / "input.data", settings.model.elements, require_labels=False
    )
    return Case(file.parent, settings, structures, structures[0])


def supercell(structure: Structure, atoms: int) -> Structure:
    """The smallest nearly cubic repetition of a cell with at least `atoms` atoms; 0: the cell itself.

    Raises
    ------
    InputError
        A free molecule cannot be repeated.
    """
    if atoms <= len(structure):
        return structure
    if structure.cell is None:
        raise InputError(f"{structure.where}: a free molecule cannot be repeated to {atoms} atoms")
    repeats = np.ones(3, dtype=int)
    edges = np.linalg.norm(structure.cell, axis=1)
    while len(structure) * repeats.prod() < atoms:
        repeats[np.argmin(edges * repeats)] += 1
    shifts = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), axis=-1).reshape(-1, 3)
    positions = (shifts @ structure.cell)[:, None] + structure.positions
    return replace(
        structure,
        numbers=np.tile(structure.numbers, len(shifts)),
        positions=positions.reshape(-1, 3),
        cell=repeats[:, None] * structure.cell,
        forces=None if structure.forces is None else np.tile(structure.forces, (len(shifts), 1)),
    )


def potential_of(case: Case, threads: int) -> Potential:
    """The potential in the directory; without one, random networks with the dropout of input.nn."""
    if case.has_potential or case.settings.model.electrostatics is not None:
        return read_potential(case.directory, case.settings, threads)
    networks, scalings = random_parts(case)
    member = Member(networks, draw_masks(case.settings))
    return loading.potential_of(case.settings, member, scalings, threads)


def random_parts(case: Case) -> tuple[Mapping[str, Network], ScalingData]:
    """Networks with random weights, and the ranges of the symmetry functions in the structure."""
    settings, structure = case.settings, case.structure
    if not settings.model.architecture:
        raise InputError(f"{case.directory / 'input.nn'}: no network is defined (global_nodes_short, ...)")
    descriptor = settings.model.descriptor()
    types, pairs = descriptor.environments(structure)
    values = descriptor.values(types, pairs)
    networks: dict[str, Network] = {}
    scalings: dict[str, Scaling] = {}
    for index, element in enumerate(settings.model.elements):
        count = len(settings.model.functions[element])
        rows = values[types == index, :count]
        if len(rows) == 0:
            raise InputError(f"{structure.where}: has no atom of {element}, so its functions have no range")
        scalings[element] = Moments.of(rows).scaling()
        generator = stream(SEED, WEIGHTS, index)
        networks[element] = initial_network(settings.model.architecture[element], count, generator)
    return networks, ScalingData(scalings, fingerprint=settings.model.fingerprint)
