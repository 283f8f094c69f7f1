"""Which observations the Kalman filter takes up, in which order: one list of updates an epoch.

An observation is the energy, a force component or a stress component of a structure. An update has streams,
each with one or more observations to choose from (the first whose error exceeds the threshold is taken), and
the streams are averaged in groups; without grouping each stream is a row of the Jacobian matrix. Three
habits:

joint    bnnp's: all energies and stresses of a batch of structures, and some force components of each, in one
         update.
runner   structure after structure: its energy, then its force components, then the energy again if asked
         for; one observation an update, or averages of a few (``short_energy_group``, ``short_force_group``).
n2p2     energies and force components of the whole set in random order, one stream a task and member of its
         batch (multi-stream: Singraber, Morawietz, Behler, Dellago, J. Chem. Theory Comput. 15, 3075 (2019)).

RuNNer and n2p2 do not train stresses. Where the data has them, the energies' share of them is taken up:
n2p2's habit mixes their components with the rest; RuNNer's has the six of a structure in one update, since
one after the other would make the filter with fading memory forget six times for one structure.

Random numbers are counted by (seed, epoch), the same on all ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bnnp.network.streams import OBSERVATIONS, stream

Index = NDArray[np.int64]

ENERGY = -1
STRESS = -2  # xx; yy zz yz xz xy are -3 to -7
N_STRESSES = 6


class Observation(NamedTuple):
    """A position in the file, and a force component 3 i + a, ENERGY, or a stress component STRESS - k."""

    structure: int
    component: int

    @property
    def quantity(self) -> int:
        """0 an energy, 1 a force component, 2 a stress component."""
        if self.component >= 0:
            return 1
        return 0 if self.component == ENERGY else 2


def stresses_of(structure: int) -> list[Observation]:
    """All stress components of a structure."""
    return [Observation(structure, STRESS - k) for k in range(N_STRESSES)]


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

    def has(self, quantity: int) -> bool:
        """Whether it takes up any energy (0), force component (1) or stress component (2)."""
        return any(stream[0].quantity == quantity for stream in self.streams)


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
    stressed : set of int
        Structures whose stress is trained.
    """

    seed: int
    n_components: NDArray[np.int64]
    energies: bool
    most: int
    stressed: frozenset[int] = frozenset()

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
        if index in self.stressed:
            yield from stresses_of(index)

    def describe(self) -> str:
        """In words."""
        forces = f"{f'up to {self.most}' if self.most else 'all'} force components"
        stress = ", stress" * bool(self.stressed)
        return f"energy{stress} and {forces} of each structure of a batch together"


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
    stressed : set of int
        Structures whose stress is trained.
    stress_share : float
        Chance of a structure's stress.
    """

    seed: int
    n_components: NDArray[np.int64]
    energy_share: float
    force_share: float
    energy_group: int = 1
    force_group: int = 1
    repeated: bool = False
    stressed: frozenset[int] = frozenset()
    stress_share: float = 1.0

    by_batches = False

    def updates(self, batches: Sequence[Sequence[int]], epoch: int) -> list[Update]:
        """Structure after structure."""
        generator = stream(self.seed, OBSERVATIONS, epoch)
        order, found = [index for batch in batches for index in batch], list[Update]()
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
            found += [_update(each, groups=1) for each in (energies, *_parts(forces, self.force_group))]
            found += [
                _update(stresses_of(index))
                for index in members
                if index in self.stressed and generator.random() < self.stress_share
            ]
            found += [_update(energies, groups=1)] * self.repeated
        return [update for update in found if update.streams]

    def describe(self) -> str:
        """In words."""
        again = ", its stress" * bool(self.stressed) + ", and the energy again" * self.repeated
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
    stressed : set of int
        Structures whose stress is trained.
    stress_share : float
        Of all stress components, in an epoch.
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
    stressed: frozenset[int] = frozenset()
    stress_share: float = 1.0

    by_batches = False

    def updates(self, batches: Sequence[Sequence[int]], epoch: int) -> list[Update]:
        """Updates of all quantities shuffled together."""
        generator = stream(self.seed, OBSERVATIONS, epoch)
        order = np.array([index for batch in batches for index in batch])
        strained = [int(index) for index in order if index in self.stressed]
        found: list[Update] = []
        for total, share, size, named in (
            (len(order), self.energy_share, self.energy_batch, partial(_energies, order)),
            (
                int(self.n_components[order].sum()),
                self.force_share,
                self.force_batch,
                partial(_force_components, order, self.n_components[order]),
            ),
            (
                N_STRESSES * len(strained),
                self.stress_share,
                self.force_batch,
                partial(_stress_components, strained),
            ),
        ):
            streams = min(size or total, total) * self.tasks
            count = max(1, round(total * share / max(streams, 1))) if share > 0.0 and total else 0
            needed = count * streams * self.trials
            if not needed:
                continue
            drawn = np.concatenate(  # without repetition while there are enough
                [np.empty(0, dtype=np.int64)]
                + [
                    generator.choice(total, min(total, needed - first), replace=False)
                    for first in range(0, needed, max(total, 1))
                ]
            )
            groups = {0: 1, 1: self.tasks, 2: 0}[self.jacobian]
            for members in _parts(_parts(named(drawn), self.trials), streams):
                found.append(Update(tuple(map(tuple, members)), groups, "worst", self.sort))
        return [found[k] for k in generator.permutation(len(found))]

    def describe(self) -> str:
        """In words."""
        forces = "force and stress components" if self.stressed else "force components"
        return (
            f"n2p2's: {100 * self.energy_share:g} % of the energies and {100 * self.force_share:g} % of the "
            f"{forces} in random order, {self.tasks * max(self.energy_batch, 1)} streams, up to "
            f"{self.trials} trials"
        )


def _update(observations: Sequence[Observation], groups: int = 0) -> Update:
    """One without a choice."""
    return Update(tuple((each,) for each in observations), groups)


def _energies(order: Index, places: Index) -> list[Observation]:
    """Energies of the structures at these places of `order`."""
    return [Observation(int(index), ENERGY) for index in order[places]]


def _force_components(order: Index, counts: Index, places: Index) -> list[Observation]:
    """Force components at these places, `counts` of each structure of `order` one after the other."""
    ends = np.cumsum(counts)
    owners = np.searchsorted(ends, places, side="right")
    local = places - (ends - counts)[owners]
    return [Observation(int(index), int(c)) for index, c in zip(order[owners], local, strict=True)]


def _stress_components(structures: Sequence[int], places: Index) -> list[Observation]:
    """Stress components at these places, six of each structure one after the other."""
    return [Observation(structures[k // N_STRESSES], STRESS - int(k) % N_STRESSES) for k in places]


def _parts(items: Sequence, size: int) -> list:
    """`items` cut into pieces of `size`."""
    return [items[k : k + size] for k in range(0, len(items), size)]
