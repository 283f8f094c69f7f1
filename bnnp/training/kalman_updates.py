"""Which observations the Kalman filter takes up, in which order: one list of updates an epoch.

An observation is the energy or one force component of a structure. An update has streams, each with one or
more observations to choose from (the first whose error exceeds the threshold is taken), and the streams are
averaged in groups; without grouping each stream is a row of the Jacobian matrix. Three habits:

joint    bnnp's: all energies of a batch of structures, and some force components of each, in one update.
runner   structure after structure: its energy, then its force components, then the energy again if asked
         for; one observation an update, or averages of a few (``short_energy_group``, ``short_force_group``).
n2p2     energies and force components of the whole set in random order, one stream a task and member of its
         batch (multi-stream: Singraber, Morawietz, Behler, Dellago, J. Chem. Theory Comput. 15, 3075 (2019)).

Random numbers are counted by (seed, epoch), the same on all ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bnnp.network.streams import OBSERVATIONS, stream

ENERGY = -1


class Observation(NamedTuple):
    """A position in the file, and a force component 3 i + a or ENERGY."""

    structure: int
    component: int


@dataclass(frozen=True)
class Update:
    """One update of the filter.

    Parameters
    ----------
    streams : tuple of tuple of Observation
        Of each stream the observations it may choose from.
    groups : int
        Into how many rows the streams are averaged, neighbours together; 0: none is averaged.
    otherwise : str
        What a stream does without an error above the threshold: ``nothing``, or the ``worst`` one.
    sort : bool
        Whether a stream always takes its worst one.
    """

    streams: tuple[tuple[Observation, ...], ...]
    groups: int = 0
    otherwise: Literal["nothing", "worst"] = "nothing"
    sort: bool = False

    def has(self, forces: int) -> bool:
        """Whether it takes up any energy (0) or force component (1)."""
        return any((stream[0].component != ENERGY) == bool(forces) for stream in self.streams)


class Plan(Protocol):
    """A habit."""

    @property
    def by_batches(self) -> bool:
        """Whether it goes once through the structures in their order."""

    def updates(self, batches: Sequence[Sequence[int]], epoch: int) -> list[Update]:
        """The updates of an epoch; `batches` are all training structures in random order."""

    def describe(self) -> str:
        """In words."""


@dataclass(frozen=True, eq=False)
class JointPlan:
    """Batches of structures.

    Parameters
    ----------
    seed : int
    n_components : (n_structures in the file,) int64
        Force components of each structure; zeros if forces are not trained.
    energies : bool
        Whether energies are trained.
    most : int
        Force components of a structure, those of atoms drawn anew every epoch; 0: all.
    """

    seed: int
    n_components: NDArray[np.int64]
    energies: bool
    most: int

    by_batches = True

    def updates(self, batches: Sequence[Sequence[int]], epoch: int) -> list[Update]:
        """One update a batch."""
        generator = stream(self.seed, OBSERVATIONS, epoch)
        return [
            Update(tuple((each,) for index in batch for each in self._of(index, generator)))
            for batch in batches
        ]

    def _of(self, index: int, generator: np.random.Generator) -> Iterator[Observation]:
        if self.energies:
            yield Observation(index, ENERGY)
        total = int(self.n_components[index])
        count = min(total, -(-(self.most or total) // 3) * 3)
        atoms = np.sort(generator.choice(total // 3, count // 3, replace=False)) if count else ()
        for atom in atoms:
            yield from (Observation(index, 3 * int(atom) + axis) for axis in range(3))

    def describe(self) -> str:
        """In words."""
        forces = f"up to {self.most}" if self.most else "all"
        return f"energy and {forces} force components of each structure of a batch together"


@dataclass(frozen=True, eq=False)
class RunnerPlan:
    """RuNNer's online loop.

    Parameters
    ----------
    seed : int
    n_components : (n_structures in the file,) int64
    energy_share, force_share : float
        Chance of an energy, of a force component, to be used in an epoch.
    energy_group, force_group : int
        How many are averaged for one update.
    repeated : bool
        Whether the energies come again after the forces.
    """

    seed: int
    n_components: NDArray[np.int64]
    energy_share: float
    force_share: float
    energy_group: int = 1
    force_group: int = 1
    repeated: bool = False

    by_batches = False

    def updates(self, batches: Sequence[Sequence[int]], epoch: int) -> list[Update]:
        """Structure after structure."""
        generator = stream(self.seed, OBSERVATIONS, epoch)
        order, found = [index for batch in batches for index in batch], []
        for members in _parts(order, self.energy_group):
            energies = [
                Observation(index, ENERGY) for index in members if generator.random() < self.energy_share
            ]
            forces = [
                Observation(index, int(component))
                for index in members
                for component in np.flatnonzero(
                    generator.random(int(self.n_components[index])) < self.force_share
                )
            ]
            found += [energies, *_parts(forces, self.force_group)] + [energies] * self.repeated
        return [Update(tuple((each,) for each in group), groups=1) for group in found if group]

    def describe(self) -> str:
        """In words."""
        again = ", and the energy again" * self.repeated
        return (
            f"RuNNer's: a structure's energy ({100 * self.energy_share:g} % of all), then its force "
            f"components ({100 * self.force_share:g} %){again}"
        )


@dataclass(frozen=True, eq=False)
class N2p2Plan:
    """n2p2's random mixture of energies and force components, multi-stream.

    Parameters
    ----------
    seed : int
    n_components : (n_structures in the file,) int64
    energy_share, force_share : float
        Of all energies, of all force components, in an epoch.
    energy_batch, force_batch : int
        In one update of each task; 0: all.
    tasks : int
        MPI ranks.
    trials : int
        Observations a stream may choose from (``rmse_threshold_trials``).
    jacobian : int
        ``jacobian_mode``: 0 one averaged row, 1 one a task, 2 one a stream.
    sort : bool
        ``selection_mode 1``: of these observations the one with the largest error.
    """

    seed: int
    n_components: NDArray[np.int64]
    energy_share: float
    force_share: float
    energy_batch: int = 1
    force_batch: int = 1
    tasks: int = 1
    trials: int = 1
    jacobian: int = 2
    sort: bool = False

    by_batches = False

    def updates(self, batches: Sequence[Sequence[int]], epoch: int) -> list[Update]:
        """Energy and force updates shuffled together."""
        generator = stream(self.seed, OBSERVATIONS, epoch)
        order = np.array([index for batch in batches for index in batch])
        ends = np.cumsum(self.n_components[order])
        found: list[Update] = []
        for total, share, size in (
            (len(order), self.energy_share, self.energy_batch),
            (int(ends[-1]), self.force_share, self.force_batch),
        ):
            energies = total == len(order) and not found
            streams = min(size or total, total) * self.tasks
            count = max(1, round(total * share / max(streams, 1))) if share > 0.0 and total else 0
            needed = count * streams * self.trials
            drawn = np.concatenate(  # without repetition while there are enough
                [np.empty(0, dtype=np.int64)]
                + [
                    generator.choice(total, min(total, needed - first), replace=False)
                    for first in range(0, needed, max(total, 1))
                ]
            )
            if energies:
                flat = [Observation(int(order[k]), ENERGY) for k in drawn]
            else:
                owners = np.searchsorted(ends, drawn, side="right")
                local = drawn - (ends - self.n_components[order])[owners]
                flat = [Observation(int(order[o]), int(c)) for o, c in zip(owners, local, strict=True)]
            groups = {0: 1, 1: self.tasks, 2: 0}[self.jacobian]
            for members in _parts(_parts(flat, self.trials), streams):
                found.append(Update(tuple(map(tuple, members)), groups, "worst", self.sort))
        return [found[k] for k in generator.permutation(len(found))]

    def describe(self) -> str:
        """In words."""
        return (
            f"n2p2's: {100 * self.energy_share:g} % of the energies and {100 * self.force_share:g} % of the "
            f"force components in random order, {self.tasks * max(self.energy_batch, 1)} streams, up to "
            f"{self.trials} trials"
        )


def _parts(items: Sequence, size: int) -> list:
    """`items` cut into pieces of `size`."""
    return [items[k : k + size] for k in range(0, len(items), size)]
