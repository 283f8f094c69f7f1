"""Observations of the Kalman filter, and the updates made of them.

An observation is the energy, a force component or a stress component of a structure. An update has streams,
each with one or more observations to choose from (the first whose error exceeds the threshold is used), and
the streams are averaged in groups; without grouping each stream is a row of the Jacobian matrix. The updates
of an epoch are chosen in :mod:`bnnp.training.kalman.plans`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

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
        Number of rows into which consecutive streams are averaged; 0: no averaging.
    otherwise : str
        What a stream uses if no error exceeds the threshold: ``nothing``, or the ``worst`` one.
    ranked : bool
        Whether the structure of an observation is its place in the order of errors instead, from 0, and its
        component ENERGY or any of a force (:mod:`bnnp.training.kalman.ranking`).
    """

    streams: tuple[tuple[Observation, ...], ...]
    groups: int = 0
    otherwise: Literal["nothing", "worst"] = "nothing"
    ranked: bool = False

    def resolved(self, ranking: Sequence[Index]) -> Update:
        """The same with observations for places in the order of errors."""
        if not self.ranked:
            return self
        streams = tuple(
            tuple(Observation(*ranking[each.quantity][each.structure].tolist()) for each in stream)
            for stream in self.streams
        )
        return replace(self, streams=streams, ranked=False)

    def has(self, quantity: int) -> bool:
        """Whether it uses any energy (0), force component (1) or stress component (2)."""
        return any(stream[0].quantity == quantity for stream in self.streams)


class UpdatePlan(Protocol):
    """Which updates an epoch has, in which order."""

    @property
    def by_batches(self) -> bool:
        """Whether it goes through the batches once, in their order."""

    @property
    def n_components(self) -> Index:
        """(n_structures in the file,) force components of each structure; zeros if forces are not trained."""

    def selection(self, epoch: int) -> int:
        """How observations are selected: 0 at random, 1 by the order of errors, 2 at random by thresholds."""

    def updates(self, batches: Sequence[Sequence[int]], epoch: int) -> list[Update]:
        """The updates of an epoch; `batches` are all training structures in random order."""

    def describe(self) -> str:
        """Text for the log."""
