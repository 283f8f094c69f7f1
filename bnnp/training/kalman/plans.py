"""Which updates an epoch of the Kalman filter has, in which order; there are three kinds:

joint    bnnp's: all energies and stresses of a batch of structures, and some force components of each, in one
         update.
runner   structure after structure: its energy, then its force components, then the energy again if asked
         for; one observation an update, or averages of a few (``short_energy_group``, ``short_force_group``).
n2p2     energies and force components of the whole set in random order, one stream a task and member of its
         batch (multi-stream: Singraber, Morawietz, Behler, Dellago, J. Chem. Theory Comput. 15, 3075 (2019)).

RuNNer and n2p2 do not train stresses. Where the data has them, the same share of them as of the energies is
used, the six of a structure in one update with a row each: one after the other, a filter with fading memory
would forget six times for one structure.

Random numbers are counted by (seed, epoch), the same on all ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bnnp.random import OBSERVATIONS, stream
from bnnp.training.kalman.updates import ENERGY, Index, Observation, Update, stresses_of

T = TypeVar("T")


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

    def selection(self, epoch: int) -> int:
        """No thresholds."""
        return 0

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
        """Text for the log."""
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

    def selection(self, epoch: int) -> int:
        """Thresholds."""
        return 2

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
                for component in np.flatnonzero(generator.random(self.n_components[index]) < self.force_share)
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
        """Text for the log."""
        again = ", stress" * bool(self.stressed) + ", energy again" * self.repeated
        shares = 100 * self.energy_share, 100 * self.force_share
        return f"RuNNer's: energy ({shares[0]:g} %) of a structure, force components ({shares[1]:g} %){again}"


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
    modes : tuple of (int, int)
        ``selection_mode`` from some epochs on.
    stressed : set of int
        Structures whose stress is trained.
    stress_share : float
        Of all stresses, in an epoch.
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
    modes: tuple[tuple[int, int], ...] = ((0, 2),)
    stressed: frozenset[int] = frozenset()
    stress_share: float = 1.0

    by_batches = False

    def selection(self, epoch: int) -> int:
        """``selection_mode``."""
        return max(each for each in self.modes if each[0] <= epoch)[1]

    def updates(self, batches: Sequence[Sequence[int]], epoch: int) -> list[Update]:
        """Updates of all quantities shuffled together."""
        generator = stream(self.seed, OBSERVATIONS, epoch)
        order = np.array([index for batch in batches for index in batch])
        mode = self.selection(epoch)
        trials = self.trials if mode == 2 else 1
        groups = {0: 1, 1: self.tasks, 2: 0}[self.jacobian]
        found: list[Update] = []
        for total, share, size, named in self._quantities(order):
            streams = min(size or total, total) * self.tasks
            count = max(1, round(total * share / max(streams, 1))) if share > 0.0 and total else 0
            if not count:
                continue
            needed = count * streams * trials
            if mode == 1:
                kind = named(np.zeros(1, dtype=np.int64))[0].component
                chosen = [Observation(place % total, kind) for place in range(needed)]
            else:
                chosen = named(_drawn(generator, total, needed))
            for members in _parts(_parts(chosen, trials), streams):
                found.append(Update(tuple(map(tuple, members)), groups, "worst", ranked=mode == 1))
        found += self._stresses(order)
        mixed = generator.permutation(len(found))
        if mode == 1:  # quantities are mixed, the order within each stays
            kinds = np.array([update.streams[0][0].quantity for update in found])[mixed]
            mixed = np.argsort(np.argsort(kinds, kind="stable"))
        return [found[k] for k in mixed]

    def _order(self) -> str:
        """Order of the observations, for the log."""
        order = ("at random", "largest errors first", f"up to {self.trials} trials")
        first, *later = ((epoch, order[mode]) for epoch, mode in self.modes)
        return "; ".join([first[1], *(f"from epoch {epoch} {text}" for epoch, text in later)])

    def _stresses(self, order: Index) -> list[Update]:
        """Those of structures at random, as many structures in an update as it has energies."""
        strained = [int(index) for index in order if index in self.stressed]
        chosen = strained[: round(self.stress_share * len(strained))]  # `order` is at random
        size = max(1, self.energy_batch or len(order)) * self.tasks
        parts = ([each for index in part for each in stresses_of(index)] for part in _parts(chosen, size))
        return [_update(part) for part in parts]

    def _quantities(self, order: Index) -> list[tuple[int, float, int, Callable[[Index], list[Observation]]]]:
        """For energies and for forces of the structures `order`: their number, the share that is used, how
        many of them a task has in an update, and a function from places to observations."""
        counts = self.n_components[order]
        components = partial(_force_components, order, counts)
        return [
            (len(order), self.energy_share, self.energy_batch, partial(_energies, order)),
            (int(counts.sum()), self.force_share, self.force_batch, components),
        ]

    def describe(self) -> str:
        """Text for the log."""
        shares = 100 * self.energy_share, 100 * self.force_share
        streams = self.tasks * max(self.energy_batch, 1)
        stress = " and stresses" * bool(self.stressed)
        return (
            f"n2p2's, streams {streams}: energies{stress} ({shares[0]:g} %), forces ({shares[1]:g} %), "
            f"{self._order()}"
        )


def _update(observations: Sequence[Observation], groups: int = 0) -> Update:
    """An update with one observation a stream."""
    return Update(tuple((each,) for each in observations), groups)


def _drawn(generator: np.random.Generator, total: int, needed: int) -> Index:
    """Numbers below `total`, without repetition while there are enough."""
    parts = [
        generator.choice(total, min(total, needed - first), replace=False)
        for first in range(0, needed, total)
    ]
    return np.concatenate(parts)


def _energies(order: Index, places: Index) -> list[Observation]:
    """Energies of the structures at these places of `order`."""
    return [Observation(int(index), ENERGY) for index in order[places]]


def _force_components(order: Index, counts: Index, places: Index) -> list[Observation]:
    """Force components at these places, `counts` of each structure of `order` one after the other."""
    ends = np.cumsum(counts)
    owners = np.searchsorted(ends, places, side="right")
    local = places - (ends - counts)[owners]
    return [Observation(int(index), int(c)) for index, c in zip(order[owners], local, strict=True)]


def _parts(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """`items` cut into pieces of `size`."""
    return [items[k : k + size] for k in range(0, len(items), size)]
