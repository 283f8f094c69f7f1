"""Dropout masks: which units are kept, for every layer and element.

A mask is one vector a layer and element, shared by ALL atoms of a structure: one sample is one network (M.
Wen, E. B. Tadmor, npj Comput. Mater. 6, 124 (2020)). A unit is kept when a uniform number is >= the drop
rate, and then multiplied by 1 / (1 - rate) (inverted dropout: with every unit kept the network is the plain
one). The output is never dropped, inputs only if their rate is not zero. If a layer loses all its units, the
inputs of the next one are zeros.

Masks of a network that was trained without dropout are centered. With c the mean of a unit over the training
atoms of its element, the next layer gets c + (y - c) m instead of y m: a dropped unit is replaced by its
mean, and only what varies is spread. And with the plain network E and its samples E_s, sample s of the
energy is E_s - mean_s E_s + E: the mean prediction is that of the plain network.

Sample masks are counted by (layer, sample, Z): the first k of n samples are the same for any n, and no
element depends on another. Training masks are counted by (epoch, structure, Z): they do not depend on batches
or ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp import random as streams

Array = NDArray[np.float64]
Keep = NDArray[np.bool_]

_LAYERS = 2**16  # more than any network has


@dataclass(frozen=True, eq=False)
class Masks:
    """The frozen masks of all Monte Carlo samples.

    Parameters
    ----------
    seed : int
        ``random_seed`` they were drawn with.
    samples : int
        Number of samples S, at least 1.
    rates : tuple of float
        Drop probability of the inputs, then of every hidden layer.
    keep : mapping of str to tuple of (S, n_l) bool
        For each element: inputs, hidden layer 1, ..., L. True where a unit is kept.
    means : mapping of str to tuple of (n_l,) float64
        Means c of the units, layer by layer as `keep`; empty for the usual masks.
    centered : bool
        Whether the mean over the samples is the plain network, as for all masks with `means`; not for
        :meth:`only` one of them.
    """

    seed: int
    samples: int
    rates: tuple[float, ...]
    keep: Mapping[str, tuple[Keep, ...]]
    means: Mapping[str, tuple[Array, ...]] = field(default_factory=dict)
    centered: bool = False

    @classmethod
    def draw(
        cls,
        seed: int,
        samples: int,
        rates: Sequence[float],
        sizes: Mapping[str, Sequence[int]],
        evaluation: int | None = None,
    ) -> Masks:
        """Draw `samples` masks.

        Parameters
        ----------
        sizes : mapping of str to sequence of int
            Nodes of the inputs and the hidden layers of each element, without the output. An element with
            fewer layers than `rates` uses the first rates.
        evaluation : int, optional
            Masks for this one evaluation (``mc_masks resample``), independent of the frozen ones.

        Raises
        ------
        ValueError
            No samples, a rate outside 0 <= rate < 1, or an element with more layers than rates.
        """
        rates = _checked_rates(rates, max((len(layers) for layers in sizes.values()), default=0))
        if samples < 1:
            raise ValueError(f"{samples} Monte Carlo samples, expected at least 1")
        keep = {}
        for element, layers in sizes.items():
            number = atomic_numbers[element]
            keep[element] = tuple(
                np.stack([_keep(seed, (layer, s, number), rate, nodes, evaluation) for s in range(samples)])
                for layer, (nodes, rate) in enumerate(zip(layers, rates, strict=False))
            )  # per layer (S, n_l)
        return cls(seed, samples, rates, keep)

    def with_means(self, means: Mapping[str, tuple[Array, ...]]) -> Masks:
        """Centered masks, with the `means` of the units."""
        return replace(self, means=means, centered=True)

    def take(self, samples: int) -> Masks:
        """The first `samples` masks of the sequence that the seed gives, at least 1."""
        if samples < 1:
            raise ValueError(f"{samples} Monte Carlo samples, expected at least 1")
        if samples > self.samples:
            return self._drawn(samples)
        return self._chosen(slice(samples), samples)

    def only(self, sample: int) -> Masks:
        """The masks of one sample, from 0."""
        return replace(self._chosen(slice(sample, sample + 1), 1), centered=False)

    def redrawn(self, evaluation: int) -> Masks:
        """As many masks for one evaluation, independent of the frozen ones."""
        return self._drawn(self.samples, evaluation)

    def _drawn(self, samples: int, evaluation: int | None = None) -> Masks:
        sizes = {element: [layer.shape[1] for layer in layers] for element, layers in self.keep.items()}
        drawn = Masks.draw(self.seed, samples, self.rates, sizes, evaluation)
        return drawn if not self.means else drawn.with_means(self.means)

    def _chosen(self, rows: slice, samples: int) -> Masks:
        keep = {element: tuple(layer[rows] for layer in layers) for element, layers in self.keep.items()}
        return replace(self, samples=samples, keep=keep)

    def scaled(self, element: str) -> tuple[Array, ...]:
        """Factors of the units of `element`: 0 or 1 / (1 - rate), (S, n_l) for inputs and hidden layers."""
        return tuple(keep / (1.0 - rate) for keep, rate in zip(self.keep[element], self.rates, strict=False))

    @property
    def drops_inputs(self) -> bool:
        """Whether the first layer differs between samples."""
        return self.rates[0] > 0.0

    @property
    def active(self) -> bool:
        """Whether any unit can be dropped; if not, all samples are the plain network."""
        return any(rate > 0.0 for rate in self.rates)


def _checked_rates(rates: Sequence[float], layers: int) -> tuple[float, ...]:
    """`rates` as a tuple, once it is clear that `layers` (with the inputs) have one each, 0 <= rate < 1."""
    for rate in rates:
        if not 0.0 <= rate < 1.0:
            raise ValueError(
                f"dropout rate {rate:g}, expected 0 <= rate < 1 (the probability to DROP a unit)"
            )
    if len(rates) < max(layers, 1):
        raise ValueError(f"{len(rates)} dropout rates for inputs and hidden layers, expected {layers}")
    return tuple(float(rate) for rate in rates)


@dataclass(frozen=True)
class TrainingMasks:
    """Random masks for every structure, element and epoch of a training.

    Parameters
    ----------
    seed : int
    rates : tuple of float
        Drop probability of the inputs and of each hidden layer.
    count : int
        Masks of each structure in an update; the first k of n are the same for any n.
    """

    seed: int
    rates: tuple[float, ...]
    count: int = 1

    @property
    def active(self) -> bool:
        """Whether any unit can be dropped."""
        return any(rate > 0.0 for rate in self.rates)

    def draw(
        self, element: str, nodes: Sequence[int], epoch: int, structures: Sequence[int]
    ) -> tuple[Array | None, ...]:
        """Scaled masks of one element for some structures.

        Parameters
        ----------
        nodes : sequence of int
            Units of the inputs and of each hidden layer.
        epoch : int
            From 0 or 1, as the caller counts.
        structures : sequence of int
            Position of each structure in the data file, not in the batch.

        Returns
        -------
        tuple of (count * n_structures, n_l) float64, or None
            0 or 1 / (1 - rate), first mask of all structures first; None for a layer whose rate is 0.
        """
        rates = self.rates[: len(nodes)]
        if not any(rates):
            return tuple(None for _ in nodes)
        number, total = atomic_numbers[element], sum(nodes)
        uniform = np.empty((self.count, len(structures), total))
        for position, structure in enumerate(structures):
            generator = streams.stream(self.seed, streams.TRAINING, epoch, int(structure), number)
            uniform[:, position] = generator.random((self.count, total))
        parts = np.split(uniform.reshape(-1, total), np.cumsum(nodes)[:-1], axis=1)
        return tuple(
            (part >= rate) / (1.0 - rate) if rate > 0.0 else None
            for part, rate in zip(parts, rates, strict=False)
        )


def _keep(seed: int, place: tuple[int, int, int], rate: float, nodes: int, evaluation: int | None) -> Keep:
    """Units that are kept at `place`: layer, sample, atomic number."""
    if rate == 0.0:
        return np.ones(nodes, dtype=np.bool_)
    layer, sample, number = place
    if evaluation is None:
        generator = streams.stream(seed, streams.SAMPLES, layer, sample, number)
    else:
        generator = streams.stream(seed, streams.RESAMPLE, layer + evaluation * _LAYERS, sample, number)
    return generator.random(nodes) >= rate
